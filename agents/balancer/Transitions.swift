import Daemon
import Host
import OCF

extension Balancer {
  /// What a start leaves as it found it is not touched: entries live in what is there.
  package func start(_ call: Call) throws(OCFError) {
    let network = call.host.network
    let link = try outside(call)
    try note("at \(address) \(nic) \(mark) \(syncNic) \(syncId)", call)
    // What was promoted here and is not any more.
    try leave(address, nic, call)
    try loadService(call)
    for setting in Setting.neighbours + Setting.balancing { try apply(setting, call) }
    say(true, call)
    do throws(OCFError) {
      guard call.request.isFromCluster else { throw .failed("by hand") }
      try follow(call)
    } catch {
      if call.request.isFromCluster { call.log.warning("every server is taken for one that serves: \(error.reason)") }
      try setAll(call)
    }
    let wanted = marks
    let present = try attempt("looking for marks", try network.arrivalMarks(on: link))
    if present.contains(where: { !wanted.contains($0) }) || Set(present).count != present.count {
      try attempt("removing other marks", try network.removeArrivalMarks(on: link))
    }
    for mark in wanted where !(try attempt("looking for marks", try network.arrivalMarks(on: link))).contains(mark) {
      try attempt("marking", try network.add(mark, on: link))
    }
    if !(try isOnLoopback(try attempt("looking for \(address)", try network.holders(of: address)), call)) {
      try note("lo", call)
      let loopback = try attempt("looking for lo", try network.link(named: "lo"))
      guard let loopback else { throw .failed("lo is not on this node") }
      try attempt("adding \(address) to lo", try network.add(InterfaceAddress(address, prefixLength: address.bits, link: loopback.index)))
      call.log.info("added \(address) to lo", ("VPNHA_ADDRESS", "\(address)"))
    }
    try become(.backup, call)
  }

  /// IPVS and its scheduler are loaded where they are not yet.
  private func loadService(_ call: Call) throws(OCFError) {
    let network = call.host.network
    if try attempt("looking at IPVS", try network.virtualService(mark: UInt32(mark))) == service { return }
    do throws(SystemError) { return try network.set(service) } catch {
      guard error.errno == .noSuchFile else { throw explain(error, while: "starting") }
    }
    let result = try attempt("loading IPVS", try call.host.processes.run(Command(Self.loader, ["--all", "ip_vs", "ip_vs_mh"], outputLimit: 4096), before: call.within(.seconds(5)).deadline))
    if case .exited(0) = result.ending {
    } else {
      throw .failed("loading IPVS: \(Self.loader): \(String(decoding: result.error, as: UTF8.self).prefix { $0 != "\n" })")
    }
    try attempt("starting", try network.set(service))
  }

  static let loader = "/sbin/modprobe"

  private func apply(_ setting: Setting, _ call: Call) throws(OCFError) {
    guard let value = try attempt("reading \(setting.name)", try call.host.files.kernelParameter(setting.name)) else { throw .failed("the kernel has no \(setting.name)") }
    guard !setting.isMet(by: value) else { return }
    try note("was \(setting.name) \(value.split(whereSeparator: \.isWhitespace).joined(separator: " "))", call)
    try attempt("setting \(setting.name)", try call.host.files.setKernelParameter(setting.name, to: setting.value))
  }

  /// Has the sync daemon of a role run, and no other one of ours. The new one first: without any, a node that was a backup would direct.
  private func become(_ role: SyncDaemon.Role, _ call: Call) throws(OCFError) {
    let network = call.host.network
    let present = try attempt("looking for sync daemons", try network.syncDaemons())
    if !present.contains(syncDaemon(role)) { try attempt("starting the sync \(role)", try network.start(syncDaemon(role))) }
    let other: SyncDaemon.Role = role == .master ? .backup : .master
    if present.contains(syncDaemon(other)) { try attempt("stopping the sync \(other)", try network.stopSync(other)) }
  }

  package func reload(_ call: Call) throws(OCFError) {
    guard try attempt("looking at IPVS", try call.host.network.virtualService(mark: UInt32(mark))) != nil else { throw .failed("reloading: it is not started here") }
    guard try own(call) != nil else { throw .wrongHere("servers: none of these addresses is one of this node's") }
    try attempt("setting the service", try call.host.network.set(service))
    if call.request.isFromCluster { try follow(call) } else { try setAll(call) }
  }

  /// By what was noted when it was started, since the parameters may be others now.
  package func stop(_ call: Call) throws(OCFError) {
    let network = call.host.network
    say(false, call)
    var problem: OCFError?
    func go(_ step: () throws(OCFError) -> Void) { do throws(OCFError) { try step() } catch { problem = problem ?? error } }
    let notes = notes(call)
    var places = [Place(address, nic, mark, syncNic, syncId)]
    for place in notes.compactMap(Place.init) where !places.contains(place) { places.append(place) }
    for place in places {
      go { () throws(OCFError) in try leave(place.address, place.nic, call) }
      go { () throws(OCFError) in
        for daemon in try attempt("looking for sync daemons", try network.syncDaemons()) where daemon.link == place.syncNic && daemon.id == UInt8(clamping: place.syncId) {
          try attempt("stopping the sync \(daemon.role)", try network.stopSync(daemon.role))
        }
      }
      go { () throws(OCFError) in
        guard let link = try attempt("looking for \(place.nic)", try network.link(named: place.nic)),
          try attempt("looking for marks", try network.arrivalMarks(on: link)).contains(where: { $0.mark == UInt32(place.mark) })
        else { return }
        try attempt("removing marks", try network.removeArrivalMarks(on: link))
      }
      go { () throws(OCFError) in try attempt("removing the service", try network.removeService(mark: UInt32(place.mark))) }
      guard notes.contains("lo") else { continue }
      go { () throws(OCFError) in
        for copy in try attempt("looking for \(place.address)", try network.holders(of: place.address)) {
          guard try attempt("looking for its link", try network.link(at: copy.link))?.isLoopback == true else { continue }
          try attempt("removing \(copy) from lo", try network.remove(copy))
        }
      }
    }
    var isKept = false
    go { () throws(OCFError) in isKept = try isOnLoopback(try attempt("looking for \(address)", try network.holders(of: address)), call) }
    for words in notes.map({ $0.split(separator: " ", maxSplits: 2) }) where words.count == 3 && words[0] == "was" {
      // Where the address stays on lo, neighbours must still not be told of it.
      if isKept, Setting.neighbours.contains(where: { $0.name == words[1] }) { continue }
      go { () throws(OCFError) in
        // Gone with its module.
        guard try attempt("reading \(words[1])", try call.host.files.kernelParameter(String(words[1]))) != nil else { return }
        try attempt("setting \(words[1])", try call.host.files.setKernelParameter(String(words[1]), to: String(words[2])))
      }
    }
    if let problem { throw problem }
    try attempt("removing the notes", try call.host.files.remove(call.request.recordPath("before")))
  }

  /// Takes the address off the outside interface.
  private func leave(_ address: IPAddress, _ nic: String, _ call: Call) throws(OCFError) {
    let network = call.host.network
    guard let link = try attempt("looking for \(nic)", try network.link(named: nic)) else { return }
    for copy in try attempt("looking for \(address)", try network.holders(of: address)) where copy.link == link.index {
      try attempt("ending announcements", try network.stopAnnouncing(address))
      do throws(SystemError) { try network.remove(copy) } catch {
        if error.errno != .addressNotAvailable { throw explain(error, while: "removing \(copy) from \(nic)") }
      }
      call.log.info("removed \(copy) from \(nic)", ("VPNHA_ADDRESS", "\(address)"), ("VPNHA_LINK", nic))
    }
  }

  // MARK: Notes

  /// Where a start has put things.
  private struct Place: Equatable {
    var address: IPAddress
    var nic: String
    var mark: Int
    var syncNic: String
    var syncId: Int

    init(_ address: IPAddress, _ nic: String, _ mark: Int, _ syncNic: String, _ syncId: Int) {
      (self.address, self.nic, self.mark, self.syncNic, self.syncId) = (address, nic, mark, syncNic, syncId)
    }
    init?(_ note: String) {
      let words = note.split(separator: " ")
      guard words.count == 6, words[0] == "at", let address = IPAddress(words[1]), let mark = Int(words[3]), let id = Int(words[5]), mark > 0 else { return nil }
      self.init(address, String(words[2]), mark, String(words[4]), id)
    }
  }

  /// What was there before, which the kernel cannot tell afterwards: one line each, written before the change and never replaced.
  func notes(_ call: Call) -> [String] {
    do throws(SystemError) {
      return String(decoding: try call.host.files.read(call.request.recordPath("before"), limit: 16_384) ?? [], as: UTF8.self).split(separator: "\n").map(String.init)
    } catch {
      call.log.warning("reading what was there before: \(error)")
      return []
    }
  }

  private func note(_ line: String, _ call: Call) throws(OCFError) {
    let known = notes(call)
    // The first value of a parameter is the one to go back to.
    let subject = line.hasPrefix("was ") ? line.split(separator: " ").prefix(2).joined(separator: " ") + " " : line
    guard !known.contains(where: { $0 == line || subject != line && $0.hasPrefix(subject) }) else { return }
    try attempt("noting what was there", try call.keep(Array((known + [line]).joined(separator: "\n").utf8), as: "before"))
  }
}

// MARK: - Roles

extension Balancer: PromotableAgent {
  /// Directs first, and has the address answer then: no packet meets a director that does not direct.
  package func promote(_ call: Call) throws(OCFError) {
    let network = call.host.network
    let link = try outside(call)
    guard link.isUp, link.hasCarrier else { throw .failed("\(nic) has no carrier") }
    try checkPeers(link, call)
    do throws(OCFError) {
      do throws(OCFError) { awaitEntries(try seed(call), call) } catch { call.log.warning(error.reason) }
      try become(.master, call)
      do throws(SystemError) {
        try network.add(InterfaceAddress(address, prefixLength: address.bits, link: link.index))
      } catch {
        if error.errno != .exists { throw explain(error, while: "adding \(address) to \(nic)") }
      }
      do throws(SystemError) { try network.announce(Announcement(address, link: link.index, count: 5)) } catch { call.log.warning("announcing \(address): \(error)") }
      call.log.info("directs: \(address) is on \(nic)", ("VPNHA_ADDRESS", "\(address)"), ("VPNHA_LINK", nic))
    } catch {
      do throws(OCFError) { try stepBack(call) } catch { call.log.warning(error.reason) }
      throw error
    }
    do throws(OCFError) { try follow(call) } catch { call.log.warning("servers are left as they are: \(error.reason)") }
  }

  /// Two directors would each send clients where the other one does not. One that the cluster does not manage any more, as in maintenance, answers
  /// within a millisecond. Each refusal has the cluster plan anew, so it takes its time.
  private func checkPeers(_ link: Link, _ call: Call) throws(OCFError) {
    let within = call.within(.seconds(5))
    while let node = call.peer(answeringFor: address, on: link, within: .milliseconds(25)) {
      guard call.host.clock.now < within.deadline else { throw .failed("\(node) still directs: it answers for \(address); is it in maintenance? pcs node unmaintenance \(node)") }
      call.host.clock.sleep(until: within.within(.milliseconds(250)).deadline)
    }
  }

  package func demote(_ call: Call) throws(OCFError) { try stepBack(call) }

  private func stepBack(_ call: Call) throws(OCFError) {
    try leave(address, nic, call)
    try become(.backup, call)
  }
}
