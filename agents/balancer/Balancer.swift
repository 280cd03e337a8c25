import Daemon
import Host
import OCF
import Sessions
import VICI

/// IPVS on the gateways themselves: one of them, the director, has the address answer on the outside and hands each client's packets to the
/// gateway that has its session; the others serve, and know every entry.
///
/// Running means: service, servers and marks as wanted, the address on lo, and the sync daemon *backup*, which keeps this node from directing.
/// Promoted: the sync daemon *master*, and the address on the outside interface. All of it is asked of the kernel.
package struct Balancer: ResourceAgent, ReloadableAgent {
  package init() {}

  package static let about = About(
    "Every gateway serves: a balancer on one of them (IPVS)",
    """
    Has clients of one address served by all gateways: IKE, NAT-T and ESP of a client always by the same one. Direct routing: answers leave each gateway \
    directly. Meant as a promotable clone beside gateways that run on every node. Unpromoted, a member has everything loaded, hears of the \
    director's entries and serves; promoted, it directs, and the address answers on the outside. It holds the address itself: no vip beside it. \
    The clone needs notify=true, and runs where the gateway runs: a gateway takes clients as long as the member on its node is started. IPv4.
    """)

  /// What is balanced, and to whom, is what it is.
  package static let startsWithDefaults = false

  package static let operations: [Operation] = [
    .start(timeout: 20), .stop(timeout: 20), .promote(timeout: 20), .demote(timeout: 20), .notify(timeout: 20),
    .monitor(.promoted, every: 10, timeout: 20), .monitor(.promoted, every: 15, timeout: 20, depth: .service),
    .monitor(.unpromoted, every: 11, timeout: 20), .monitor(.unpromoted, every: 16, timeout: 20, depth: .service),
    .monitor(every: 12, timeout: 20), .monitor(every: 17, timeout: 20, depth: .service), .reloadAgent(timeout: 20), .validateAll(timeout: 20), .metaData(timeout: 5),
  ]

  @Parameter("The address that clients connect to", "An IPv4 address; IPsec and L2TP listen on it on every gateway.", uniqueGroup: "address")
  var address: IPAddress
  @Parameter("The outside interface", "Where clients' packets arrive, and where the gateways reach each other's outside addresses without a router.", required: true)
  var nic = ""
  @Parameter(
    "The gateways", "NODE:ADDRESS or NODE:ADDRESS=WEIGHT: the cluster's name of a node and its own outside address. The same text on every node. Space-separated.",
    required: true, reloadable: true)
  var servers: [Server] = []
  @Parameter(
    "The interface for the director's entries", "Multicast 224.0.0.81, UDP 8848, without authentication: a link that none but the gateways reach.", required: true)
  var syncNic = ""
  @Parameter("The number of the group of directors on that link", "From 0 to 255; another for each pair on one link.")
  var syncId = 1
  @Parameter("The mark of packets that are balanced", "Each resource needs its own, and no other rule may set it.", uniqueGroup: "mark")
  var mark = 1
  @Parameter(
    "Seconds in which a client comes back to the same gateway", "Counted from the end of its last entry, 300 s after its last packet.", reloadable: true)
  var persistence = 600
  @Parameter(
    "Clients that a gateway may have",
    """
    Each gateway counts its own every 15 s: charon's IKE SAs or xl2tpd's sessions, whichever are more. One that has as many gets no new clients until a tenth \
    has gone. Set it so that the others have room for those of a gateway that is lost. 0: no limit.
    """, reloadable: true)
  var maxSessions = 0
  @Parameter("charon's VICI socket", "Its SAs are told to the other members before one of them is promoted, and when one has started.", reloadable: true)
  var vici: AbsolutePath = "/run/charon.vici"

  var service: VirtualService { VirtualService(mark: UInt32(mark), scheduler: "mh", persistence: UInt32(persistence), hasFallback: true) }
  func syncDaemon(_ role: SyncDaemon.Role) -> SyncDaemon { SyncDaemon(role, on: syncNic, id: UInt8(clamping: syncId)) }
  static let ports: [UInt16] = [500, 4500]
  var marks: [ArrivalMark] { Self.ports.map { ArrivalMark(address, port: $0, mark: UInt32(mark)) } }

  package func checkParameters() throws(OCFError) {
    guard !address.isIPv6, !address.isLoopback, !address.isNoHost else { throw .misconfigured("address: expected an IPv4 address that others reach") }
    for (name, value) in [("nic", nic), ("sync_nic", syncNic)] {
      guard (1...15).contains(value.utf8.count), value.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "/") }) else {
        throw .misconfigured("\(name): expected an interface's name")
      }
    }
    guard !servers.isEmpty else { throw .misconfigured("servers: is required") }
    for (index, server) in servers.enumerated() {
      guard !servers[..<index].contains(where: { $0.node == server.node || $0.address == server.address }) else { throw .misconfigured("servers: \(server) is there twice") }
      guard server.address != address else { throw .misconfigured("servers: \(server) has the address that clients connect to") }
    }
    guard syncId <= 255 else { throw .misconfigured("sync_id: expected at most 255, got \(syncId)") }
    guard mark > 0 else { throw .misconfigured("mark: expected at least 1") }
    guard (60...86_400).contains(persistence) else { throw .misconfigured("persistence: expected 60 to 86400, got \(persistence)") }
  }

  package func checkNode(_ call: Call) throws(OCFError) {
    for (name, parameter) in [(nic, "nic"), (syncNic, "sync_nic")] {
      guard try call.link(named: name) != nil else { throw .wrongHere("\(parameter): \(name) is not on this node") }
    }
    guard try own(call) != nil else { throw .wrongHere("servers: none of these addresses is one of this node's") }
    if let other = try attempt("looking for sync daemons", try call.host.network.syncDaemons()).first(where: { !isOurs($0) }) {
      throw .failed("a sync daemon runs already on \(other.link) with number \(other.id), and the kernel has one for each role: ipvsadm --stop-daemon \(other.role)")
    }
  }

  func outside(_ call: Call) throws(OCFError) -> Link {
    guard let link = try attempt("looking for \(nic)", try call.host.network.link(named: nic)) else { throw .wrongHere("nic: \(nic) is not on this node") }
    return link
  }

  /// This node among the servers: the one whose address it holds.
  func own(_ call: Call) throws(OCFError) -> Server? {
    for server in servers where try attempt("looking for \(server.address)", try call.host.network.holds(server.address)) { return server }
    return nil
  }

  func isOurs(_ daemon: SyncDaemon) -> Bool { daemon == syncDaemon(daemon.role) }

  /// `clients`: what this gateway has; and by what hardware address another one knows its answers.
  package func counts(_ call: Call) throws(OCFError) -> [String: UInt64] {
    var counts = Call.hardware(of: try outside(call))
    do throws(VICIError) {
      counts[Self.clients] = UInt64(clamping: try Charon(at: vici.description, on: call.host, before: call.within(.seconds(1)).deadline).statistics().ikeSAs)
    } catch { call.log.debug("asking charon for its SAs: \(error)") }
    do throws(SystemError) {
      let sessions = UInt64(try SessionProcesses(marks: SessionMarks()).all(on: call.host).count)
      if let sas = counts[Self.clients] { counts[Self.clients] = max(sas, sessions) }
    } catch { call.log.debug("counting sessions: \(error)") }
    return counts
  }
  static let clients = "clients"

  // MARK: - Observing

  package func observe(_ call: Call) throws(OCFError) -> ResourceState {
    let network = call.host.network
    let (service, daemons) = try attempt("looking at IPVS") { () throws(SystemError) in
      (try network.virtualService(mark: UInt32(mark)), try network.syncDaemons().filter(isOurs))
    }
    let link = try attempt("looking for \(nic)", try network.link(named: nic))
    let marks = try link.map { (link) throws(OCFError) in try attempt("looking for marks", try network.arrivalMarks(on: link).filter { $0.mark == UInt32(mark) }) } ?? []
    if service == nil, daemons.isEmpty, marks.isEmpty { return .stopped }
    let copies = try attempt("looking for \(address)", try network.holders(of: address))
    let isOutside = link.map { link in copies.contains { $0.link == link.index } } ?? false
    let isPromoted = (isOutside || daemons.contains { $0.role == .master }) && call.isPromotable
    do throws(OCFError) {
      guard let link else { throw .failed("nic: \(nic) has gone") }
      guard let service else { throw .failed("the service of mark \(mark) has gone: see who ran ipvsadm") }
      guard service == self.service else { throw .failed("the service of mark \(mark) is not as it was set: \(service.scheduler), persistent \(service.persistence) s") }
      if let missing = self.marks.first(where: { wanted in marks.filter { $0 == wanted }.count != 1 }) ?? marks.first(where: { !self.marks.contains($0) }) {
        throw .failed("the mark of UDP \(missing.port) to \(missing.address) on \(nic) is not as it was set: see tc filter show dev \(nic) ingress")
      }
      guard try isOnLoopback(copies, call) else { throw .failed("\(address) is not on lo: what the director hands over is not taken") }
      switch (isOutside, daemons.map(\.role)) {
      case (true, [.master]):
        if !link.isUp || !link.hasCarrier { throw .failed("\(nic) has no carrier") }
      case (false, [.backup]): break
      case (true, _): throw .failed("\(address) is on \(nic), and the sync master does not run alone")
      case (false, []): throw .failed("the sync daemon has gone")
      case (false, _): throw .failed("the sync master runs, and \(address) is not on \(nic)")
      }
      let risks = try risks(link, isPromoted: isPromoted, call)
      return .working(promoted: isPromoted, risks)
    } catch {
      return .failed(error.reason, promoted: isPromoted)
    }
  }

  func isOnLoopback(_ copies: [InterfaceAddress], _ call: Call) throws(OCFError) -> Bool {
    for copy in copies {
      if try attempt("looking for the link of \(copy)", try call.host.network.link(at: copy.link))?.isLoopback == true { return true }
    }
    return false
  }

  package func obituary(_ call: Call) -> String? {
    notes(call).isEmpty ? nil : "service, marks and sync daemon are gone, and the cluster did not stop it: see who ran ipvsadm and tc"
  }

  /// What weakens it. A recurring deep monitor first sets right what the cluster knows better, and what somebody has changed.
  private func risks(_ link: Link, isPromoted: Bool, _ call: Call) throws(OCFError) -> [Risk] {
    var risks: [Risk] = []
    if !link.isUp || !link.hasCarrier { risks.append(Risk("could not direct: \(nic) has no carrier", unfit: true)) }
    if call.depth >= .service {
      for setting in Setting.neighbours + Setting.balancing {
        let value = try attempt("reading \(setting.name)", try call.host.files.kernelParameter(setting.name)) ?? "absent"
        guard !setting.isMet(by: value) else { continue }
        risks.append(Risk("\(setting.name) was \(value), and has to be \(setting.value): see /etc/sysctl.d"))
        if mends(call) { try attempt("setting \(setting.name)", try call.host.files.setKernelParameter(setting.name, to: setting.value)) }
      }
      if mends(call) {
        do throws(OCFError) { try follow(call) } catch { risks.append(Risk("servers are left as they are: \(error.reason)")) }
      }
    }
    let present = try attempt("listing servers", try call.host.network.servers(mark: UInt32(mark)))
    for server in servers {
      switch present.first(where: { $0.address == server.address }) {
      case nil: risks.append(Risk("\(server.node) (\(server.address)) serves nobody: see pcs status"))
      case let found? where found.weight == 0: risks.append(Risk("\(server.node) (\(server.address)) gets no new clients: it is drained, or has as many as max_sessions"))
      case let found? where found.weight != server.weight || !found.isDirect: risks.append(Risk("\(server.node) (\(server.address)) is not as it was set: weight \(found.weight)"))
      default: break
      }
    }
    if !servers.isEmpty, let foreign = present.first(where: { found in !servers.contains { $0.address == found.address } }) { risks.append(Risk("\(foreign.address) is none of servers, and gets clients")) }
    if isPromoted, call.depth >= .service, call.request.action == .monitor {
      risks += try withoutOne(present, call)
      if let rival = call.rival(answeringFor: address, on: link, within: .milliseconds(200)) {
        risks.append(Risk(rival.node.map { "\($0) answers for \(address), too: two directors" } ?? "\(address) is used by \(rival.hardware) on \(nic) as well"))
      }
    }
    return risks
  }

  private func mends(_ call: Call) -> Bool { call.request.action == .monitor && call.request.isFromCluster && !call.request.isProbe && !call.request.isForAPerson }
}
