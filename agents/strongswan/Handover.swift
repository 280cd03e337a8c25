import Daemon
import Host
import OCF
import Sessions
import VICI

extension StrongSwan: PromotableAgent {
  /// Makes this node's charon the one that serves.
  package func promote(_ call: Call) throws(OCFError) {
    let process = try promotable(call)
    // The address comes first: with the segment and without the address charon would talk to clients from nowhere.
    if let address {
      let within = call.within(.seconds(2))
      guard try ask(try within.until { () throws(VICIError) in try holdsAddress(address, call) })
      else { throw .failed("address: \(address) is not on this node") }
    }
    let hasHA = try hasHA(call)
    var epoch: Epoch?
    if hasHA {
      epoch = try raiseSequences(call)
      try keepSilent(false, call)
      try takeSegment(call)
    } else {
      call.log.notice("promoted without the ha plugin: clients find out by their own timers and connect again")
    }
    try attempt("recording the role", try daemon(call).record(.promoted, of: process, call))
    if hasHA { Rekeying.launch(call, in: epoch) }
    if call.isPromotable { initiate(call) }
  }

  /// Steps back to warm standby. A daemon that hangs cannot, and is ended: the stop that would do it waits for it once more, and the
  /// peer for both.
  package func demote(_ call: Call) throws(OCFError) {
    let process = try promotable(call)
    let hasHA: Bool
    do throws(VICIError) { hasHA = try connect(call, within: Self.haste).statistics().hasPlugin("ha") } catch {
      guard call.isPromotable, error.kind == .timedOut else { throw explain(error) }
      call.log.warning("\(daemon(call).name) (pid \(process.pid)) hangs and is killed: \(error)")
      try end(call, atOnce: true)
      return
    }
    if call.isPromotable { withdraw(call) }
    // The peer of a member that is not promoted may serve: from it nothing is taken.
    let isPromoted = isPromoted(process, call)
    let farewell = hasHA ? try handOver(call.within(.seconds(2)), undoing: isPromoted ? .take : nil) : try ask(try drain(call))
    if hasHA, !isSilencedLater(call) { try keepSilent(true, call) }
    try attempt("recording the role", try daemon(call).record(.unpromoted, of: process, call))
    call.log.info(farewell.words.map { "demoted: \($0)" } ?? "demoted")
  }

  private func promotable(_ call: Call) throws(OCFError) -> Process {
    guard let process = try attempt("looking for \(daemon(call).name)", try daemon(call).find(call)) else {
      throw .failed("\(daemon(call).name) does not run")
    }
    guard !process.isStopped else { throw .failed("\(daemon(call).name) (pid \(process.pid)) is suspended (SIGSTOP)") }
    return process
  }

  func hasHA(_ call: Call) throws(OCFError) -> Bool {
    try ask { () throws(VICIError) in
      try connect(call, within: patience(for: call)).statistics().hasPlugin("ha")
    }
  }

  // MARK: Segments of the ha plugin

  /// What the ha plugin is told about its segment. There is one: two nodes, one active.
  enum SegmentOrder: String {
    case take = "+1"
    case drop = "-1"
    /// Send the peer everything, and rekey every CHILD SA.
    case resync = "*1"
  }

  /// Writes to the plugin's FIFO. charon opens it anew for every message, so that for an instant nobody reads from it.
  private func send(_ order: SegmentOrder, _ call: Call) throws(OCFError) {
    let bytes = Array("\(order.rawValue)\n".utf8)
    var refusal: SystemError?
    _ = call.within(.seconds(1)).until {
      do throws(SystemError) {
        try call.host.files.send(bytes, toFIFO: haFifo.description)
        refusal = nil
        return true
      } catch {
        refusal = error
        return ![.noSuchDeviceOrAddress, .brokenPipe].contains(error.errno)
      }
    }
    if let refusal { throw explain(refusal, while: "ha_fifo") }
    let words =
      switch order {
      case .take: "took the ha segment"
      case .drop: "gave up the ha segment"
      case .resync: "sends its peer every SA again"
      }
    call.log.info(words, ("VPNHA_FIFO", haFifo.description))
  }

  /// Gives an order until it shows, at most for `limit`; whether it did.
  ///
  /// charon reads one order at a time. What is written while it carries out another, such as the one to send its peer
  /// everything, it closes the pipe over. And an order changes only the SAs that are not being rekeyed just then, and nothing
  /// where the segment is already as it says.
  /// - Parameter inverse: is given before the order is given once more, so that it changes something.
  private func give(
    _ order: SegmentOrder, undoing inverse: SegmentOrder? = nil, within limit: Duration, _ call: Call, until isDone: (Call) throws(VICIError) -> Bool
  ) throws(OCFError) -> Bool {
    let within = call.within(limit)
    var again = false
    repeat {
      if again, let inverse {
        try send(inverse, call)
        call.host.clock.sleep(until: call.host.clock.now + .milliseconds(50))
      }
      again = true
      try send(order, call)
      let pause = within.within(.milliseconds(250))
      if try ask(try pause.until { () throws(VICIError) in try isDone(within) }) { return true }
    } while call.host.clock.now < within.deadline
    return false
  }

  /// Takes the segment, and looks whether charon made the inherited SAs its own. It does so only when its segment changes: one that
  /// had the segment already, because of the plugin's own monitor, leaves them passive for ever.
  private func takeSegment(_ call: Call) throws(OCFError) {
    let isActive = try give(.take, within: .milliseconds(500), call) { within throws(VICIError) in
      var passive = 0
      do throws(VICIError) {
        try connect(within, within: .seconds(2)).sas { if isOurs($0), $0.isPassive { passive += 1 } }
      } catch {
        call.log.warning("verifying the ha segment: \(error)")
        return true
      }
      return passive == 0
    }
    if !isActive { call.log.warning("charon took the ha segment and leaves SAs passive: it had the segment before") }
  }

  /// What a daemon that has just come up is to the clients. A plain resource has no peer that could hold the segment; a standby
  /// whose peer holds it keeps silent.
  func takePlace(_ call: Call) throws(OCFError) {
    let statistics = try ask(try connect(call, within: patience(for: call)).statistics())
    if let problem = standsUnguarded(statistics, call) { throw .wrongHere(problem) }
    let hasHA = statistics.hasPlugin("ha")
    try keepSilent(hasHA && call.isPromotable, call)
    if hasHA, !call.isPromotable { try send(.take, call) }
  }

  /// Whether this charon has what only a promoted member may have, whatever the role record says: a promotion that was cut short
  /// left it so, or the peer gave its segment up.
  func hasTheSegment(_ call: Call) throws(VICIError) -> Bool {
    if let address {
      do throws(SystemError) { if try !call.host.network.blockedEgress().contains(address), !isSilencedLater(call) { return true } } catch {
        throw VICIError(.unreachable, "looking at routing rules", "\(error.errno)", errno: error.errno)
      }
    }
    return try counted(call).active > 0
  }

  /// How many SAs of ours charon speaks for, and how many it holds for its peer. An SA that is busy is waited for.
  private func counted(_ call: Call) throws(VICIError) -> (active: Int, passive: Int) {
    var counts = (active: 0, passive: 0)
    try connect(call, within: .seconds(2)).sas(waiting: true) {
      guard isOurs($0) else { return }
      if $0.isActive { counts.active += 1 }
      if $0.isPassive { counts.passive += 1 }
    }
    return counts
  }

  /// Why a standby with the ha plugin would speak on its peer's SAs; nil when it would not.
  func standsUnguarded(_ statistics: Statistics, _ call: Call) -> String? {
    guard address == nil, call.isPromotable, statistics.hasPlugin("ha") else { return nil }
    return "address: set it: with the ha plugin a standby is kept silent on that address only"
  }

  /// Gives the segment up and waits until none of our SAs is active: then nothing is said to a client any more.
  private func handOver(_ call: Call, undoing inverse: SegmentOrder? = nil) throws(OCFError) -> Farewell {
    var counts = (active: 0, passive: 0)
    let isPassive = try give(.drop, undoing: inverse, within: .seconds(2), call) { within throws(VICIError) in
      counts = try counted(within)
      return counts.active == 0
    }
    guard isPassive else { throw .failed("giving up the ha segment: \(counts.active) SAs are still active") }
    return .handedOver(counts.passive)
  }

  /// What clients are told before charon is ended. It must not keep charon from being ended: nothing is thrown.
  ///
  /// Of SAs that are active charon tells clients *and its peer* that they are deleted when it is asked to end. So a member with the
  /// ha plugin gives its segment up first, whatever its record says; where that cannot be had in two seconds, charon must not
  /// be asked: its peer has everything.
  func leave(_ process: Process, _ call: Call) -> Farewell {
    var hasSegment: Bool?
    do throws(OCFError) {
      guard !process.isStopped else { throw .failed("it is suspended (SIGSTOP)") }
      let within = call.within(.seconds(2))
      hasSegment = call.isPromotable ? try hasHA(within) : false
      if hasSegment == true { return try handOver(within) }
      // An unpromoted member holds nobody's sessions but its peer's.
      guard !call.isPromotable || isPromoted(process, call) else { return .nobody }
      return try ask(try drain(call))
    } catch {
      call.log.warning("leaving \(daemon(call).name): \(error.reason)")
      return hasSegment ?? (call.isPromotable && hasSegmentPipe(call)) ? .withheld : .failed
    }
  }

  private func isPromoted(_ process: Process, _ call: Call) -> Bool {
    do throws(SystemError) { return try daemon(call).isPromoted(process, call) } catch {
      call.log.warning("reading the role: \(error)")
      return false
    }
  }

  /// Whether the ha plugin's pipe is there: how a charon that does not answer is known to have the plugin.
  private func hasSegmentPipe(_ call: Call) -> Bool {
    do throws(SystemError) { return try call.host.files.status(haFifo.description)?.kind == .fifo } catch {
      call.log.warning("looking at \(haFifo): \(error)")
      return true
    }
  }

  /// Has charon negotiate the SA between the two nodes at once.
  ///
  /// One second after its start the ha plugin asks its peer for all SAs, once. With a `secret` that question needs this SA;
  /// without one the kernel drops it and begins the negotiation, and the standby would stay empty.
  func reachPeer(_ call: Call) {
    do throws(OCFError) {
      guard try hasHA(call) else { return }
      let lock = try exclusive(call)
      defer { lock.release() }
      try ask(try connect(call, within: .seconds(2)).initiate(child: "ha", of: "ha"))
    } catch { call.log.debug("reaching the ha peer: \(error.reason)") }
  }

  /// Sends the peer everything when it has come back and has not been sent what it asked for.
  ///
  /// Its one question may have been lost (`reachPeer`). Had it been answered, every CHILD SA would be younger than the SA
  /// between the nodes. Nobody acknowledges what is sent either: while most CHILD SAs stay older it is sent again, after a minute,
  /// two, four and so on up to an hour. A few that stay are clients that are away.
  func resyncPeer(_ call: Call) {
    var tunnel: (id: UInt64, age: UInt64)?
    var children: [UInt64] = []
    do throws(OCFError) {
      try ask { () throws(VICIError) in
        try connect(call, within: .seconds(5)).sas { sa in
          guard sa.isEstablished, let age = sa.age else { return }
          let ages = sa.children.filter(\.isInstalled).map(\.age)
          if sa.connection == "ha" {
            // One that was only rekeyed has a CHILD SA from before.
            if ages.contains(where: { $0 <= age &+ 2 }), age < tunnel?.age ?? .max { tunnel = (sa.uniqueID, age) }
          } else if isOurs(sa) {
            children += ages
          }
        }
      }
      // An answer that is under way gets its time.
      guard let tunnel, tunnel.age > Self.resyncTime else { return }
      let missed = children.filter { $0 > tunnel.age &+ 1 }.count
      guard missed > 0 else { return }
      let path = Self.resyncRecord(for: call.request)
      let record = try attempt("reading \(path)", try call.host.files.read(path, limit: 64)) ?? []
      let numbers = String(decoding: record, as: UTF8.self).split(whereSeparator: \.isWhitespace).compactMap { UInt64($0) }
      // Which SA between the nodes it was sent for, how often, and when.
      let isAgain = numbers.count == 3 && numbers[0] == tunnel.id
      let times = isAgain ? min(max(numbers[1], 1), 6) : 0
      let now = UInt64(max(call.host.clock.now.nanoseconds, 0))
      if isAgain, missed * 2 <= children.count || now < numbers[2] || now - numbers[2] < 60_000_000_000 << (times - 1) { return }
      let mark = Array("\(tunnel.id) \(times + 1) \(now)\n".utf8)
      try attempt("writing \(path)", try call.host.files.replace(path, with: mark, mode: 0o600))
      try send(.resync, call)
    } catch { call.log.warning("looking after the ha peer: \(error.reason)") }
  }

  /// Seconds within which a peer that asks is answered and its SAs are rekeyed.
  static let resyncTime: UInt64 = 15
  static func resyncRecord(for request: Request) -> String { DaemonRole.path(for: request, "resync") }

  /// Says what the ha plugin's configuration lacks; never changes an exit status.
  func reviewHA(_ call: Call) {
    do throws(OCFError) { guard try hasHA(call) else { return } } catch { return }
    let settings: SettingsFile
    do throws(SettingsError) { settings = try SettingsFile(reading: Self.daemonSettings, from: call.host.files) } catch { return }
    if settings.daemonValue("plugins.ha.secret") == nil {
      call.log.warning("the ha plugin has no secret: keys and pre-shared secrets cross the network in clear text")
    }
    if settings.daemonValue("plugins.ha.monitor").map({ ["no", "false", "0", "disabled"].contains($0) }) != true {
      call.log.warning("the ha plugin's monitor is on: a standby would take the segment behind the cluster's back")
    }
  }

  // MARK: Saying goodbye

  /// Between two goodbyes; less where many clients are to be told in the time there is.
  static let farewellPause = Duration.milliseconds(10)

  /// Whether a client's SA ends at our address. The two nodes' own SA of the ha plugin is nobody's session.
  func isOurs(_ sa: IKESA) -> Bool {
    guard sa.connection != "ha" else { return false }
    guard let address else { return true }
    return IPAddress(sa.localHost) == address
  }

  /// Tells every client goodbye and waits until it has confirmed, at most `drain_timeout` seconds.
  ///
  /// By identity and without waiting for each: charon would take SAs one after the other, each with the whole timeout.
  /// Who connects meanwhile is told too.
  private func drain(_ call: Call) throws(VICIError) -> Farewell {
    let left = call.deadline - call.host.clock.now
    // A third of the time is kept for what comes after.
    let within = call.within(min(.seconds(drainTimeout), left * 2 / 3))
    // It is an arrangement among ourselves: where its file cannot be had, nobody else has it.
    var lock: (any FileLock)?
    do throws(VICIError) { lock = try Charon.lock(on: call.host, before: call.within(.seconds(2)).deadline) } catch {
      guard error.kind == .unreachable else { throw error }
      call.log.warning("\(error)")
    }
    defer { lock?.release() }
    var told: Set<UInt64> = []
    var remaining = 0
    func tell() throws(VICIError) {
      // One answer may take this long even where nobody waits for the clients.
      let charon = try connect(call, within: .seconds(max(drainTimeout, 2)))
      var ids: [UInt64] = []
      try charon.sas { if isOurs($0), $0.hasPeer, ids.count < 100_000 { ids.append($0.uniqueID) } }
      remaining = ids.count
      // IKEv1 says it once and hears nothing back: a burst that overflows a buffer on the way is a client that was not told.
      let pause = min(Self.farewellPause, Duration.seconds(drainTimeout) / (2 * max(ids.count, 1)))
      for id in ids where told.insert(id).inserted {
        try charon.terminate(.ikeID(id))
        call.host.clock.sleep(until: min(within.deadline, call.host.clock.now + pause))
      }
    }
    try tell()
    guard remaining > 0 else { return .told(0, unconfirmed: 0) }
    let isEmpty = try within.until { () throws(VICIError) in
      try tell()
      return remaining == 0
    }
    return .told(told.count, unconfirmed: isEmpty ? 0 : remaining)
  }
}

/// What clients were told when this node stepped back, as it is logged.
enum Farewell: Equatable {
  /// Nobody's sessions were here but the peer's, or no charon that could be asked.
  case nobody
  case told(Int, unconfirmed: Int)
  case handedOver(Int)
  /// charon may still be the one that speaks to clients, and whatever it says now would end the sessions that its peer has.
  case withheld
  case failed

  /// Nil where there is nothing to say.
  var words: String? {
    switch self {
    case .nobody, .told(0, _), .handedOver(0): nil
    case .told(let count, 0): "\(count) clients were told goodbye"
    case .told(let count, let unconfirmed): "\(count) clients were told goodbye, \(unconfirmed) did not confirm"
    case .handedOver(let count): "\(count) SAs were handed over"
    case .withheld: "the ha segment could not be given up, so no client was told anything"
    case .failed: "clients could not be told"
    }
  }
}
