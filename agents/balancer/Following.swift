import Daemon
import Host
import OCF

/// Which servers get clients is the cluster's to say: a member is started where its gateway runs, says so while it is, and is forgotten
/// with its node. Nobody is asked over the wire.
extension Balancer {
  /// In the memory of the attribute daemons: `yes` from a member that is started, `no` from one that was stopped.
  func standing(_ call: Call) -> String { "vpnha-serves-\(call.request.resource)" }
  /// Set by a person: anything but 0 has a node get no new clients.
  func draining(_ call: Call) -> String { "vpnha-drain-\(call.request.resource)" }

  func say(_ serves: Bool, _ call: Call) {
    guard call.request.isFromCluster else { return }
    do throws(SystemError) { try call.host.cluster.share(serves ? "yes" : "no", as: standing(call), on: nil) } catch {
      call.log.warning("telling the cluster that this gateway \(serves ? "serves" : "does not serve"): \(error)")
    }
  }

  /// Sets servers and weights as the cluster's state asks. In doubt a server is left as it is.
  func follow(_ call: Call) throws(OCFError) {
    guard let home = call.request.home else { return }
    let cluster = call.host.cluster
    let (up, says, drained) = try attempt("asking the cluster") { () throws(SystemError) in
      (try cluster.members(), try cluster.nodeAttribute(standing(call)), try cluster.nodeAttribute(draining(call)))
    }
    let clients = try clients(call)
    guard up.contains(home) else { throw .failed("the cluster does not count this node among its own") }
    // An attribute daemon that was started anew has forgotten what it was told.
    if says[home] == nil, call.request.action == .monitor { say(true, call) }
    let present = try listed(call)
    for server in servers {
      let found = present.first { $0.address == server.address }
      let wanted: UInt32?
      if !up.contains(server.node) || says[server.node] == "no" {
        wanted = nil
      } else if says[server.node] == "yes" {
        wanted = ["", "0"].contains(drained[server.node] ?? "") && !isFull(clients[server.node], now: found) ? server.weight : 0
      } else {
        continue
      }
      try set(server, to: wanted, from: found, call)
    }
    try removeForeign(present, call)
  }

  /// What each gateway has counted of its own, where that matters.
  private func clients(_ call: Call) throws(OCFError) -> [String: UInt64] {
    guard maxSessions > 0 else { return [:] }
    return try attempt("asking for the gateways' clients", try call.host.cluster.nodeAttribute(call.request.lookAttribute)).compactMapValues { Look($0)?.counts[Self.clients] }
  }

  /// One that has no room left gets none until a tenth has gone. Not known: as it is.
  private func isFull(_ clients: UInt64?, now found: RealServer?) -> Bool {
    guard maxSessions > 0 else { return false }
    let isClosed = found?.weight == 0
    guard let clients else { return isClosed }
    return clients >= UInt64(maxSessions) || isClosed && clients * 10 > UInt64(maxSessions) * 9
  }

  /// What is lost with a gateway has to find room in the others.
  func withoutOne(_ present: [RealServer], _ call: Call) throws(OCFError) -> [Risk] {
    guard maxSessions > 0 else { return [] }
    let clients = try clients(call)
    let serving = servers.filter { server in present.contains { $0.address == server.address } }
    return serving.compactMap { lost in
      let own = clients[lost.node] ?? 0
      let room = serving.filter { $0.node != lost.node }.reduce(UInt64(0)) { $0 + UInt64(maxSessions) - min(UInt64(maxSessions), clients[$1.node] ?? 0) }
      guard own > room else { return nil }
      return Risk("\(lost.node) has \(own) clients, and without it the others have room for \(room): max_sessions")
    }
  }

  private func removeForeign(_ present: [RealServer], _ call: Call) throws(OCFError) {
    // A list that cannot be read says nothing of them.
    guard !servers.isEmpty else { return }
    for foreign in present where !servers.contains(where: { $0.address == foreign.address }) {
      try attempt("removing server \(foreign.address)", try call.host.network.removeServer(foreign.address, mark: UInt32(mark)))
      call.log.info("server \(foreign.address), which is none of servers, removed")
    }
  }

  /// All of them at their weights: where there is no cluster to ask.
  func setAll(_ call: Call) throws(OCFError) {
    let present = try listed(call)
    for server in servers { try set(server, to: server.weight, from: present.first { $0.address == server.address }, call) }
    try removeForeign(present, call)
  }

  private func listed(_ call: Call) throws(OCFError) -> [RealServer] { try attempt("listing servers", try call.host.network.servers(mark: UInt32(mark))) }

  private func set(_ server: Server, to weight: UInt32?, from found: RealServer?, _ call: Call) throws(OCFError) {
    guard let weight else {
      guard found != nil else { return }
      try attempt("removing server \(server)", try call.host.network.removeServer(server.address, mark: UInt32(mark)))
      return call.log.info("\(server.node) serves no longer: its clients' entries are removed", ("VPNHA_ADDRESS", "\(server.address)"))
    }
    if let found, found.weight == weight, found.isDirect { return }
    try attempt("setting server \(server)", try call.host.network.set(RealServer(server.address, weight: weight), mark: UInt32(mark)))
    call.log.info("\(server.node) has weight \(weight)", ("VPNHA_ADDRESS", "\(server.address)"))
  }
}

extension Balancer: NotifiableAgent {
  /// Every member knows at once which gateway leaves or has come; and before one of them is promoted, or once one has started, all tell it of
  /// their own sessions.
  package func notify(_ notification: Notification, _ call: Call) throws(OCFError) {
    // The rest is on the way of a director that moves, where clients wait.
    guard [.start, .stop].contains(notification.operation) || (notification.moment, notification.operation) == (.pre, .promote) else { return }
    guard try attempt("looking at IPVS", try call.host.network.virtualService(mark: UInt32(mark))) != nil else { return }
    switch (notification.moment, notification.operation) {
    case (.pre, .promote): try seed(call)
    // The one that is lost with its node as well: a take-over waits for this, so nobody is asked.
    case (_, .stop):
      let present = try listed(call)
      for server in servers where notification.stopping.contains(server.node) {
        try set(server, to: nil, from: present.first { $0.address == server.address }, call)
      }
    case (.post, .start):
      try follow(call)
      try seed(call)
    default: break
    }
  }
}
