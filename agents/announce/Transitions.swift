import BGP
import Daemon
import Host
import OCF

extension RouteAnnouncement {
  package func start(_ call: Call) throws(OCFError) {
    if !call.isPromotable { return try announce(call, otherwise: .stopped) }
    let driver = try connect(call)
    defer { driver.daemon.close() }
    try asked(try driver.daemon.checkFollowsKernel())
    try apply(.standby, driver, call)
    if let lack = try asked(try driver.lack()) { throw .failed(lack) }
  }

  package func stop(_ call: Call) throws(OCFError) { try withdraw(.stopped, call) }

  package func reload(_ call: Call) throws(OCFError) {
    guard let heading = try heading(call), heading.standing != .stopped else { throw .failed("reloading: it is not started here") }
    let driver = try connect(call)
    defer { driver.daemon.close() }
    if heading.standing == .announcing { try checkHeld(call) }
    try apply(heading.standing, driver, call)
  }

  /// Opens the list and waits until enough neighbours are told; else the list is what it was, in the standing `otherwise`.
  private func announce(_ call: Call, otherwise: RouteList.Standing) throws(OCFError) {
    try checkHeld(call)
    // The last second and a half belong to taking it back.
    let soon = call.within(max(.zero, call.deadline - call.host.clock.now - .milliseconds(1500)))
    // One that hangs is not waited for, its neighbours are.
    let quick = try connect(call)
    defer { quick.daemon.close() }
    try asked(try quick.daemon.checkFollowsKernel())
    let driver = try connect(call, patience: .seconds(3600))
    defer { driver.daemon.close() }
    try apply(.announcing, driver, call)
    var reason = ""
    do throws(OCFError) {
      let isTold = try soon.until { () throws(OCFError) in
        let all = try chosen(driver)
        let told = try toldNeighbours(all, driver)
        reason = shortage(all, told, driver)
        return isEnough(all, told)
      }
      if isTold { return call.log.info("announced: \(prefixes.map(\.description).joined(separator: " "))") }
    } catch { reason = error.reason }
    do throws(OCFError) { try withdraw(otherwise, call) } catch { call.log.warning(error.reason) }
    throw .failed(reason)
  }

  /// Has the daemon load a list. One that it refuses is taken back: the one before may be in force for a long time yet.
  private func apply(_ standing: RouteList.Standing, _ driver: any RouteDriver, _ call: Call) throws(OCFError) {
    let former = try heading(call)?.routes ?? []
    let before = try attempt("include", try call.host.files.read(listPath(call), limit: Self.longestFile))
    let list = try list(standing, driver, call)
    try write(list, call)
    var refusal = try asked(try driver.daemon.refusal())
    if refusal == nil {
      do throws(AnswerError) { try driver.load(list, insteadOf: former) } catch {
        guard case .refused = error.kind else { throw explain(error) }
        refusal = error.reason
      }
    }
    if let refusal {
      if let before {
        try attempt("include", try call.host.files.replace(listPath(call), with: before, mode: 0o644))
      } else if daemon == .frr {
        try attempt("the record", try call.host.files.remove(listPath(call)))
      }
      throw .failed(refusal)
    }
    call.log.info("\(listPath(call)): \(standing.rawValue)")
  }

  /// Closes the list first of all, so that nothing the daemon does from here on opens it again. Then it is told, and the network has time to learn it.
  ///
  /// A daemon that is gone announces nothing. One that refuses to change goes on until it misses the address,
  /// which goes next: that is said, and is no reason to fence the node. One that hangs misses nothing: the routers go on sending here
  /// until the hold time is over, so that it fails, and what is written says that the withdrawal is not known to have happened.
  private func withdraw(_ standing: RouteList.Standing, _ call: Call) throws(OCFError) {
    let known: RouteList.Heading?
    do throws(OCFError) { known = try heading(call) } catch {
      // Nothing of ours.
      return call.log.debug(error.reason)
    }
    if standing == .stopped, known == nil || known?.standing == .stopped { return }
    // Where no neighbour has been told anything, a daemon that hangs need not be waited for.
    let mayBeTold = known.map { $0.standing == .announcing || $0.standing == .withdrawing || standby == .prepend } ?? true
    var list = RouteList(standing, of: String(call.request.instance), prefixes)
    if standing == .standby, standby != .withdraw {
      do throws(OCFError) {
        let driver = try connect(call)
        defer { driver.daemon.close() }
        list = try self.list(standing, driver, call)
      } catch { call.log.warning("withdrawing: \(error.reason)") }
    }
    // FRR reads no list: until it has answered, nothing is closed.
    if daemon == .bird { try close(list, call) }
    do throws(OCFError) { try tell(list, insteadOf: known?.routes ?? [], within: mayBeTold ? nil : Self.haste, call) } catch {
      guard known?.standing == .announcing || known?.standing == .withdrawing, !isGone(error) else {
        call.log.warning("withdrawing: \(error.reason)")
        if daemon == .frr { try close(list, call) }
        return
      }
      let former = (known?.routes ?? []).compactMap { $0.split(separator: "/").first.flatMap { IPAddress($0) } }.map { HostRoute($0) }
      list = RouteList(.withdrawing, of: String(call.request.instance), prefixes + former.filter { !prefixes.contains($0) })
      try write(list, call)
      throw .failed("kill \(daemon.name) (systemctl kill -s KILL \(daemon.unit)), the routers may go on sending to this node: \(error.reason)")
    }
    if daemon == .frr { try close(list, call) }
  }

  /// Has the daemon take the list, and the network take what was withdrawn.
  private func tell(_ list: RouteList, insteadOf former: [String], within patience: Duration?, _ call: Call) throws(OCFError) {
    let driver = try connect(call, patience: patience)
    defer { driver.daemon.close() }
    let wasTold = try isAnybodyTold(driver, former)
    do throws(AnswerError) { try driver.load(list, insteadOf: former) } catch {
      guard case .refused = error.kind else { throw explain(error) }
      return call.log.error("\(error.reason); what is announced ends with the address")
    }
    guard wasTold, list.standing == .stopped || standby == .withdraw else { return }
    let isOver = try call.within(Self.haste).until { () throws(OCFError) in try !isAnybodyTold(driver, former) }
    guard isOver else { return call.log.error("withdrawing: \(daemon.name) goes on announcing: \(driver.whyOpen)") }
    call.log.info("withdrawn: \(prefixes.map(\.description).joined(separator: " "))")
    call.host.clock.sleep(until: call.within(.seconds(withdrawWait)).deadline)
  }

  private func close(_ list: RouteList, _ call: Call) throws(OCFError) {
    if daemon == .frr, list.standing == .stopped { return try attempt("the record", try call.host.files.remove(listPath(call))) }
    do throws(OCFError) { try write(list, call) } catch {
      guard list.standing == .stopped else { throw error }
      // No room for it: without the file BIRD takes no configuration, and announces nothing once it or the address goes.
      call.log.error(error.reason)
      try attempt("include", try call.host.files.remove(listPath(call)))
    }
  }

  func write(_ list: RouteList, _ call: Call) throws(OCFError) {
    switch daemon {
    case .bird: try attempt("include", try call.host.files.replace(include.description, with: Array(list.included(as: function).utf8), mode: 0o644))
    case .frr: try attempt("recording", try call.keep(Array(list.recorded.utf8), as: Self.record))
    }
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
