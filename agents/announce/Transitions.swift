import BIRD
import Daemon
import Host
import OCF

extension RouteAnnouncement {
  package func start(_ call: Call) throws(OCFError) {
    if !call.isPromotable { return try announce(call, otherwise: .stopped) }
    let bird = try connect(call)
    defer { bird.close() }
    try apply(.standby, bird, call)
    guard try loaded(bird) != nil else {
      throw .failed(lacksOurs)
    }
  }

  package func stop(_ call: Call) throws(OCFError) { try withdraw(.stopped, call) }

  package func reload(_ call: Call) throws(OCFError) {
    guard let heading = try heading(call), heading.standing != .stopped else { throw .failed("reloading: it is not started here") }
    let bird = try connect(call)
    defer { bird.close() }
    if heading.standing == .announcing { try checkHeld(call) }
    try apply(heading.standing, bird, call)
  }

  /// Opens the list and waits until enough neighbours are told; else the list is what it was, in the standing `otherwise`.
  private func announce(_ call: Call, otherwise: RouteList.Standing) throws(OCFError) {
    try checkHeld(call)
    // The last second and a half belong to taking it back.
    let soon = call.within(max(.zero, call.deadline - call.host.clock.now - .milliseconds(1500)))
    // One that hangs is not waited for, its neighbours are.
    try connect(call).close()
    let bird = try connect(call, patience: .seconds(3600))
    defer { bird.close() }
    try apply(.announcing, bird, call)
    var reason = ""
    do throws(OCFError) {
      let isTold = try soon.until { () throws(OCFError) in
        let all = try chosen(bird)
        let told = try toldNeighbours(all, bird)
        reason = shortage(all, told)
        return told.count >= minNeighbors
      }
      if isTold { return call.log.info("announced: \(prefixes.map(\.description).joined(separator: " "))") }
    } catch { reason = error.reason }
    do throws(OCFError) { try withdraw(otherwise, call) } catch { call.log.warning(error.reason) }
    throw .failed(reason)
  }

  /// Has BIRD load a list. One that it refuses is taken back: the one before may be in force for a long time yet.
  private func apply(_ standing: RouteList.Standing, _ bird: BIRDControl, _ call: Call) throws(OCFError) {
    _ = try heading(call)
    let before = try attempt("include", try call.host.files.read(include.description, limit: Self.longestFile))
    let list = list(standing, owner: String(call.request.instance), localAS: standby == .prepend ? try chosen(bird).lazy.compactMap(\.localAS).first : nil)
    try write(list, call)
    if let refusal = try refusal(bird) {
      if let before { try attempt("include", try call.host.files.replace(include.description, with: before, mode: 0o644)) }
      throw .failed(refusal)
    }
    try asked(try bird.configure())
    call.log.info("\(include): \(standing.rawValue)")
  }

  /// Closes the list first of all, so that nothing BIRD does from here on opens it again. Then it is told, and the network has time to learn it.
  ///
  /// A BIRD that is gone announces nothing. One that does not take its configuration goes on until protocol direct misses the address,
  /// which goes next: that is said, and is no reason to fence the node. One that hangs misses nothing: the routers go on sending here
  /// until the hold time is over, so that it fails, and what is written says that the withdrawal is not known to have happened.
  private func withdraw(_ standing: RouteList.Standing, _ call: Call) throws(OCFError) {
    let known: RouteList.Heading?
    do throws(OCFError) { known = try heading(call) } catch {
      // Nothing of ours.
      return call.log.debug(error.reason)
    }
    if standing == .stopped, known == nil || known?.standing == .stopped { return }
    try close(to: standing, call)
    // Where no neighbour has been told anything, a BIRD that hangs need not be waited for.
    let mayBeTold = known.map { $0.standing == .announcing || $0.standing == .withdrawing || standby == .prepend } ?? true
    do throws(OCFError) {
      let bird = try connect(call, patience: mayBeTold ? nil : Self.haste)
      defer { bird.close() }
      let wasTold = try isAnybodyTold(bird)
      if let refusal = try refusal(bird) { return call.log.error("\(refusal); what is announced ends with the address") }
      try asked(try bird.configure())
      guard wasTold, standing == .stopped || standby == .withdraw else { return }
      let isOver = try call.within(Self.haste).until { () throws(OCFError) in try !isAnybodyTold(bird) }
      guard isOver else { return call.log.error("withdrawing: BIRD goes on announcing: an export filter does not ask \(function)()") }
      call.log.info("withdrawn: \(prefixes.map(\.description).joined(separator: " "))")
      call.host.clock.sleep(until: call.within(.seconds(withdrawWait)).deadline)
    } catch {
      guard known?.standing == .announcing || known?.standing == .withdrawing, !isGone(error) else {
        return call.log.warning("withdrawing: \(error.reason)")
      }
      try write(list(.withdrawing, owner: String(call.request.instance), localAS: nil), call)
      throw .failed("kill BIRD (systemctl kill -s KILL bird), the routers may go on sending to this node: \(error.reason)")
    }
  }

  private func isGone(_ error: OCFError) -> Bool { error.status == .notInstalled || error.reason.hasPrefix("BIRD does not run") }

  private func close(to standing: RouteList.Standing, _ call: Call) throws(OCFError) {
    var number: UInt32?
    if standing == .standby, standby == .prepend {
      do throws(OCFError) {
        let bird = try connect(call)
        defer { bird.close() }
        number = try chosen(bird).lazy.compactMap(\.localAS).first
      } catch { call.log.warning("withdrawing: \(error.reason)") }
    }
    do throws(OCFError) { try write(list(standing, owner: String(call.request.instance), localAS: number), call) } catch {
      guard standing == .stopped else { throw error }
      // No room for it: without the file BIRD takes no configuration, and announces nothing once it or the address goes.
      call.log.error(error.reason)
      try attempt("include", try call.host.files.remove(include.description))
    }
  }

  private func write(_ list: RouteList, _ call: Call) throws(OCFError) {
    try attempt("include", try call.host.files.replace(include.description, with: Array(list.text(function).utf8), mode: 0o644))
  }
}

// MARK: - Roles

extension RouteAnnouncement: PromotableAgent {
  package func promote(_ call: Call) throws(OCFError) { try announce(call, otherwise: .standby) }

  package func demote(_ call: Call) throws(OCFError) {
    if !call.isPromotable { return }
    try withdraw(.standby, call)
  }
}
