import Host
import Sessions

extension PacemakerTools {
  func crmResource(_ arguments: [String]) throws(SystemError) { _ = try run("/usr/sbin/crm_resource", arguments, within: .seconds(20)) }
}

/// A rehearsal under way.
struct RehearsalRun {
  var rehearsal: Rehearsal
  var host: Host
  var tools: PacemakerTools
  /// Told each step as it happens.
  var say: (Rehearsal.Step) -> Void = { _ in }

  static let lock = "/run/vpnha-drill.lock"
  private static let pause = Duration.milliseconds(200)

  /// Does it, and returns when the service is settled, or when what can be taken back is.
  ///
  /// - Throws: what kept it from being begun; `ETIMEDOUT` while another one is under way.
  func outcome() throws(SystemError) -> Rehearsal.Outcome {
    let lock = try host.files.lock(Self.lock, before: host.clock.now)
    let outcome: Result<Rehearsal.Outcome, SystemError>
    do throws(SystemError) { outcome = .success(try drained()) } catch { outcome = .failure(error) }
    lock.release()
    return try outcome.get()
  }

  /// Without new clients on this node, if they are to leave first.
  private func drained() throws(SystemError) -> Rehearsal.Outcome {
    guard let time = rehearsal.drain, let address = rehearsal.address else { return try measured() }
    let drain = Drain(address: address)
    let began = host.clock.now
    // It ends by itself if this program does not live to end it.
    try drain.begin(time + .seconds(Rehearsal.lifetime), on: host)
    let result: Result<Rehearsal.Outcome, SystemError>
    do throws(SystemError) {
      var left = try sessions()
      while left > 0, host.clock.now < began + time {
        host.clock.sleep(until: host.clock.now + .seconds(1))
        left = try sessions()
      }
      let waited = host.clock.now - began
      var outcome = try measured()
      outcome.steps.insert(Rehearsal.Step(at: .zero, what: "\(left) session\(left == 1 ? "" : "s") left after no new clients were taken for \(shown(waited))"), at: 0)
      result = .success(outcome)
    } catch { result = .failure(error) }
    try drain.end(on: host)
    return try result.get()
  }

  private func sessions() throws(SystemError) -> Int { try SessionInventory().sessions(on: host).count { $0.inner != nil } }

  private func measured() throws(SystemError) -> Rehearsal.Outcome {
    let meter = try begin()
    let outcome: Result<Rehearsal.Outcome, SystemError>
    do throws(SystemError) { outcome = .success(try observed(by: meter)) } catch { outcome = .failure(error) }
    if let meter { try host.processes.signal(.terminate, to: meter) }
    return try outcome.get()
  }

  /// The measuring process, when it has its first answer; nil when the address does not answer this node.
  private func begin() throws(SystemError) -> Process? {
    guard let address = rehearsal.address else { return nil }
    let meter = try host.processes.relaunch(["ask", address.description, "--for", "600"], environment: [:])
    let isHeard = host.until(before: host.clock.now + .seconds(3)) { silences(meter).first != nil }
    if !isHeard {
      try host.processes.signal(.terminate, to: meter)
      return nil
    }
    return meter
  }

  private func silences(_ meter: Process?) -> Silences {
    meter.map { Silences(String(decoding: host.processes.output(of: $0), as: UTF8.self)) } ?? Silences()
  }

  private func observed(by meter: Process?) throws(SystemError) -> Rehearsal.Outcome {
    var outcome = Rehearsal.Outcome(from: rehearsal.status.serving ?? "")
    let began = host.clock.now
    func note(_ what: String) {
      let step = Rehearsal.Step(at: host.clock.now - began, what: what)
      outcome.steps.append(step)
      say(step)
    }
    let before = try victims()
    try harm(before, note)
    let patience = began + max(.seconds(90), rehearsal.limit + .seconds(45))
    var serving = rehearsal.status.serving
    var isNoticed = false
    var unserved: Instant?
    while true {
      do throws(SystemError) {
        let now = try tools.monitor()
        let present = now.serving(rehearsal.service)
        if present != serving { note(present.map { "\($0) serves" } ?? "nobody serves as a whole") }
        serving = present
        unserved = present == nil ? unserved ?? host.clock.now : nil
        if !isNoticed, try notices(now, before) {
          isNoticed = true
          if case .node(let node) = rehearsal.event { note("\(node) is off") }
        }
        let isOpen = silences(meter).open != nil
        if isNoticed, let present, isRight(present), !isOpen, !rehearsal.service.contains(where: { now.instance($0.id, on: present)?.isFailed == true }) { break }
      } catch {
        // The cluster on this node may be busy with itself for a moment.
        unserved = unserved ?? host.clock.now
      }
      let silent = silences(meter).open ?? (meter == nil ? unserved : nil)
      if let silent, host.clock.now - silent > rehearsal.limit {
        outcome.complaint = "nobody has served for \(shown(host.clock.now - silent))"
        break
      }
      guard host.clock.now < patience else {
        outcome.complaint = serving == nil ? "nobody serves" : "\(serving ?? "") serves, and what was to happen did not"
        break
      }
      host.clock.sleep(until: host.clock.now + Self.pause)
    }
    let settled = host.clock.now
    try tidy(note)
    if outcome.complaint != nil { outcome.isUndone = try undo(outcome.from, note) }
    if case .switchover(let node) = rehearsal.event, outcome.complaint == nil { try stay(on: node, &outcome) }
    // Longer than a silence has to last in order to be one.
    host.clock.sleep(until: host.clock.now + AskCommand.patience * 2)
    let heard = silences(meter)
    if meter != nil {
      outcome.outage = heard.total(since: began) + (heard.open.map { host.clock.now - $0 } ?? .zero)
      for span in heard.spans where span.to > began { outcome.steps.append(Rehearsal.Step(at: span.from - began, what: "no answer to IKE for \(shown(span.length))")) }
      outcome.steps = outcome.steps.enumerated().sorted { ($0.element.at, $0.offset) < ($1.element.at, $1.offset) }.map(\.element)
    }
    // IKE does not see a dead xl2tpd: until the cluster serves again is the most that it can be.
    if case .daemon("xl2tpd") = rehearsal.event { outcome.outage = max(outcome.outage ?? .zero, settled - began) }
    outcome.to = try tools.monitor().serving(rehearsal.service)
    return outcome
  }

  /// Whether the service stays where it was moved to when nothing holds it there any more, and how the pair stands then.
  private func stay(on node: String, _ outcome: inout Rehearsal.Outcome) throws(SystemError) {
    // A cluster that has not come to rest by then is looked at as it is.
    do throws(SystemError) { try tools.crmResource(["--wait", "--timeout=15s"]) } catch {}
    let status = try tools.status(of: rehearsal.configuration.top)
    guard status.serving == node else {
      outcome.complaint = "\(node) served and did not keep the service"
      return
    }
    outcome.left = status.findings.filter { $0.severity != .note }
  }

  // MARK: What is done

  /// The processes that a drill of a daemon ends.
  private func victims() throws(SystemError) -> [Process] {
    guard case .daemon(let name) = rehearsal.event else { return [] }
    var found: [Process] = []
    for program in Rehearsal.daemons[name] ?? [] { found += try host.processes.running(program).filter(rehearsal.isMeant) }
    if found.isEmpty { throw SystemError("looking for \(name)", .noSuchProcess, detail: "it does not run on this node") }
    return found
  }

  private func harm(_ victims: [Process], _ note: (String) -> Void) throws(SystemError) {
    switch rehearsal.event {
    case .switchover(let node):
      try tools.move(rehearsal.top, to: node, isPromoted: rehearsal.isPromotable, lifetime: Rehearsal.lifetime)
      note("asked Pacemaker to move \(rehearsal.top) to \(node)")
    case .node(let node):
      _ = try tools.run("/usr/sbin/stonith_admin", ["--reboot", node], within: .seconds(60))
      note("\(node) is fenced")
    case .daemon(let name):
      for victim in victims { try host.processes.signal(.kill, to: victim) }
      note("killed \(name) (\(victims.map { "\($0.pid)" }.joined(separator: ", ")))")
    case .uplink:
      if rehearsal.targets.isEmpty { throw SystemError("cutting the uplink", .invalidArgument, detail: "the probe asks no literal address, or there is no probe") }
      _ = try tools.run("/usr/sbin/nft", ["-f", "-"], input: Array(rehearsal.cut.utf8), within: .seconds(10))
      note("what the probe asks is out of reach")
    }
  }

  /// Whether the cluster has seen what was done.
  private func notices(_ now: ClusterMonitor, _ before: [Process]) throws(SystemError) -> Bool {
    switch rehearsal.event {
    case .switchover, .uplink: return true
    case .node(let node): return now.node(node)?.isOnline == false
    case .daemon(let name):
      let pids = Set(before.map(\.pid))
      for program in Rehearsal.daemons[name] ?? [] where try host.processes.running(program).contains(where: { !pids.contains($0.pid) && rehearsal.isMeant($0) }) { return true }
      // A plain group starts it elsewhere.
      return now.serving(rehearsal.service).map { $0 != rehearsal.here } ?? false
    }
  }

  private func isRight(_ serving: String) -> Bool {
    switch rehearsal.event {
    case .switchover(let node): serving == node
    case .node(let node): serving != node
    case .uplink: serving != rehearsal.here
    case .daemon: true
    }
  }

  /// What was put there for the event.
  private func tidy(_ note: (String) -> Void) throws(SystemError) {
    switch rehearsal.event {
    case .switchover:
      try tools.crmResource(rehearsal.clear)
      note("took away the constraint")
    case .uplink:
      _ = try tools.run("/usr/sbin/nft", ["delete", "table", "inet", Rehearsal.table], within: .seconds(10))
      note("what the probe asks is in reach again")
    case .node, .daemon: break
    }
  }

  /// - Returns: whether somebody serves again.
  private func undo(_ from: String, _ note: (String) -> Void) throws(SystemError) -> Bool {
    if case .switchover = rehearsal.event {
      try tools.move(rehearsal.top, to: from, isPromoted: rehearsal.isPromotable, lifetime: Rehearsal.lifetime)
      note("asked Pacemaker to move \(rehearsal.top) back to \(from)")
    } else {
      try tools.crmResource(rehearsal.cleanup)
      note("asked Pacemaker to forget the failures of \(rehearsal.top)")
    }
    let deadline = host.clock.now + .seconds(60)
    var isServed = false
    while !isServed, host.clock.now < deadline {
      do throws(SystemError) {
        let serving = try tools.monitor().serving(rehearsal.service)
        if case .switchover = rehearsal.event { isServed = serving == from } else { isServed = serving != nil }
      } catch { isServed = false }
      if !isServed { host.clock.sleep(until: host.clock.now + Self.pause) }
    }
    if case .switchover = rehearsal.event { try tools.crmResource(rehearsal.clear) }
    note(isServed ? "somebody serves again" : "nobody serves yet: vpnha status")
    return isServed
  }
}
