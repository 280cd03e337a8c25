import Host

/// Observe, act, observe: runs one action and makes the exit status of what was seen.
///
/// `meta-data` and unknown actions are answered before this, without a host.
/// - Parameter start: when the process began, from which the cluster counts its timeout.
public func perform<Agent: ResourceAgent>(_: Agent.Type, _ request: Request, on host: Host, from start: Instant) -> Outcome {
  guard let action = request.action, Agent.supports(action) else {
    return Outcome(.unimplemented, "\(request.actionName): no such action")
  }
  let loaded = Agent.loaded(from: request)
  let call = Call(host: host, request: request, deadline: request.deadline(from: start))
  let problems = loaded.refusals
  let isMinor = problems.allSatisfy { loaded.isReloadable($0) }
  let former = Agent.startsWithDefaults || !isMinor || action == .start || action == .validateAll ? nil : ValuesInForce.agent(Agent.self, call, isRefused: !problems.isEmpty)
  let complaint = problems.isEmpty ? nil : problems.joined(separator: "; ")
  if let complaint, let outcome = answer(action, complaint, loaded.isUnidentified, isMinor: isMinor, hasDefaults: Agent.startsWithDefaults || former != nil, request, host.log) {
    return outcome
  }
  let loop = Loop(agent: former ?? loaded.agent, wanted: loaded.agent, call: call, problems: problems)
  // A deeper monitor runs between two of the basic ones and changes nothing about them.
  if request.isFromCluster, action != .monitor || request.isProbe {
    WaitingRule(call).interrupt()
    call.adoptNumbered()
  }
  switch action {
  case .start: return loop.start()
  case .stop: return loop.stop()
  case .monitor: return loop.monitor()
  case .promote: return (loop.agent as? any PromotableAgent).map(loop.promote) ?? Outcome(.unimplemented)
  case .demote: return (loop.agent as? any PromotableAgent).map(loop.demote) ?? Outcome(.unimplemented)
  case .reloadAgent: return (loop.wanted as? any ReloadableAgent).map(loop.reload) ?? Outcome(.unimplemented)
  case .notify: return (loop.agent as? any NotifiableAgent).map(loop.notify) ?? Outcome(.unimplemented)
  case .validateAll: return loop.validate()
  case .metaData: return Outcome(.unimplemented)
  }
}

extension ResourceAgent {
  /// Whether the agent has `action`: what its type conforms to decides.
  public static func supports(_ action: Action) -> Bool {
    switch action {
    case .start, .stop, .monitor, .validateAll, .metaData: true
    case .promote, .demote: isPromotable
    case .reloadAgent: Self.self is any ReloadableAgent.Type
    case .notify: Self.self is any NotifiableAgent.Type
    }
  }
}

/// What bad parameters mean for an action; nil when it can go on with defaults.
///
/// Nothing stands in front of stop, and a recurring monitor never bans a resource from every node
/// (resource-agents' `ocf-rarun`, `handle_invalid_env`). A wrong value that could be given to a running resource stops none:
/// a start that refused it would leave no node to serve. Nor does a promote: between a reload and the next monitor Pacemaker
/// does not know that the member is promoted, and promotes it again.
private func answer(
  _ action: Action, _ reason: String, _ isUnidentified: Bool, isMinor: Bool, hasDefaults: Bool, _ request: Request,
  _ log: any Log
) -> Outcome? {
  switch action {
  // The deeper validation says what a start would do.
  case .start, .promote,
    .validateAll where request.depth >= .service:
    guard isMinor else { return Outcome(.misconfigured, reason) }
    // Refused here only: what runs elsewhere with the values from before goes on.
    guard hasDefaults else { return Outcome(.genericError, reason) }
    log.error("going on with defaults: \(reason)")
    return nil
  case .validateAll, .metaData:
    return Outcome(.misconfigured, reason)
  case .stop, .monitor, .demote, .notify, .reloadAgent:
    if action != .monitor { log.warning("going on with defaults: \(reason)") }
    guard isUnidentified else { return nil }
    // A resource that cannot be named cannot have been started by us.
    switch action {
    case .stop, .notify: return Outcome(.success)
    case .monitor: return request.isProbe ? Outcome(.notRunning) : Outcome(.genericError, reason)
    default: return Outcome(.misconfigured, reason)
    }
  }
}

private struct Loop<Agent: ResourceAgent> {
  /// With the values that are in force.
  let agent: Agent
  /// With those that the cluster has. Others than in force only where they were refused, or are about to be taken over.
  let wanted: Agent
  let call: Call
  /// What is wrong with the parameters that it goes on without.
  let problems: [String]
  private var complaint: String? { problems.isEmpty ? nil : problems.joined(separator: "; ") }
  private func with(_ call: Call) -> Loop { Loop(agent: agent, wanted: wanted, call: call, problems: problems) }

  // MARK: Actions

  func start() -> Outcome {
    guard let peer = whoWaits() else { return begin() }
    let outcome = with(call.within(Standing.restart)).begin()
    guard outcome.status != .success else { return outcome }
    return Outcome(outcome.status, "\(outcome.reason ?? "") (given \(Standing.restart.components.seconds) s, because \(peer) waits to take over; the next start has all its time)")
  }

  /// Another node whose member could be promoted, once this one, which failed a moment ago, has been started again or has not:
  /// Pacemaker promotes no member of a clone before all that it starts in the same transition have been started. Asked for the
  /// first start after a failure.
  private func whoWaits() -> String? {
    guard call.request.isFromCluster, isCandidate, LastFailure.isNew(call) else { return nil }
    do throws(SystemError) {
      let scores = try call.host.cluster.nodeAttribute(promotionScoreAttribute(of: call.request.instance))
      return scores.filter { $0.key != call.request.nodeName && Int($0.value) ?? 0 > 0 }.keys.min()
    } catch {
      call.log.debug("\(error)")
      return nil
    }
  }

  private func begin() -> Outcome {
    do throws(OCFError) {
      let state = try observe()
      if state.role != nil {
        keepValues()
        report(state)
        return Outcome(.success)
      }
      try agent.checkNode(call)
      call.log.debug("starting")
      try agent.start(call)
    } catch {
      return Outcome(error)
    }
    let outcome = settle("start") { $0.role != nil }
    if outcome.status == .success { keepValues() }
    return outcome
  }

  private func keepValues() {
    if !Agent.startsWithDefaults, problems.isEmpty { ValuesInForce.keep(of: agent, call) }
  }

  func stop() -> Outcome {
    call.log.debug("stopping")
    var problem: OCFError?
    do throws(OCFError) { try agent.stop(call) } catch { problem = error }
    let outcome = settle("stop") { $0 == .stopped }
    // Something of ours is left that an observation does not see.
    if let problem { return Outcome(.genericError, problem.reason) }
    if !Agent.startsWithDefaults, outcome.status == .success { ValuesInForce.forget(call) }
    return outcome
  }

  func monitor() -> Outcome {
    var (outcome, isContent) = (looksAgain ? closer : self).check()
    guard agent.watch.seconds > 0, WaitingRule(call).concerns, isContent else { return outcome }
    agent.wait(call) {
      (outcome, isContent) = check()
      return isContent
    }
    return outcome
  }

  /// Whether a basic monitor looks as deep as the deeper one: whether what makes this standby unfit is mended, or because a file that
  /// was judged is another one now.
  private var looksAgain: Bool {
    guard Agent.looksAgainWhileUnfit || Agent.judgesFiles, call.request.isFromCluster, !call.request.isProbe, call.depth < .service else { return false }
    let standing = Standing.read(call)
    if Agent.looksAgainWhileUnfit, standing.risks.contains(where: { $0.isUnfit && $0.origin == .check(.service) }) { return true }
    return standing.marks.contains { $0 != FileMark($0.path, call) }
  }
  private var closer: Loop { with(call.with(depth: .service)) }

  /// One look, and whether all is as the cluster expects.
  private func check() -> (outcome: Outcome, isContent: Bool) {
    // Before they are read: what changes meanwhile is looked at again.
    let marks = Agent.judgesFiles && call.depth >= .service && call.request.isFromCluster && !call.request.isProbe ? FileMark.all(agent.judgedFiles(call), call) : nil
    do throws(OCFError) {
      var state = try observe()
      if let surprise = unexpectedRole(state) {
        report(.failed(surprise.reason ?? ""))
        return (surprise, false)
      }
      retryReload()
      let comparison = compared(state)
      if let role = state.role, !comparison.risks.isEmpty { state = .working(promoted: role == .promoted, state.risks + comparison.risks) }
      report(state, marks)
      tellLook(state, comparison)
      let risk = shown(state)
      switch state {
      case .stopped: return (Outcome(.notRunning, call.request.isProbe ? nil : agent.obituary(call)), false)
      case .running, .atRisk(_, promoted: false): return (Outcome(.success, risk), true)
      case .promoted, .atRisk(_, promoted: true): return (Outcome(.runningPromoted, risk), true)
      case .failed(let why, let promoted): return (Outcome(promoted ? .failedPromoted : .genericError, why), false)
      }
    } catch {
      switch (error.status, call.request.isProbe) {
      case (.notInstalled, true), (.invalidHere, true): return (Outcome(.notRunning), false)
      default:
        report(.failed(error.reason))
        return (Outcome(.genericError, error.reason), false)
      }
    }
  }

  /// A working resource in a role that the cluster did not give it is one that it recovers; nil: the role is as expected.
  private func unexpectedRole(_ state: ResourceState) -> Outcome? {
    guard call.isPromotable, !call.request.isProbe, let role = state.role else { return nil }
    switch (call.request.expectedRole, role) {
    case (.promoted, .unpromoted):
      return Outcome(.failedPromoted, "not promoted any more, and no action of the cluster demoted it")
    case (.unpromoted, .promoted):
      return Outcome(.runningPromoted, "promoted, and no action of the cluster promoted it")
    default: return nil
    }
  }

  func promote(_ agent: any PromotableAgent) -> Outcome {
    func failed(_ reason: String) -> Outcome {
      report(.failed(reason))
      return Outcome(.genericError, reason)
    }
    do throws(OCFError) {
      let state = try observe()
      switch state {
      case .promoted, .atRisk(_, promoted: true):
        report(state)
        return Outcome(.success)
      case .running, .atRisk(_, promoted: false): break
      case .stopped:
        // Outside a promotable clone (by hand, ocf-tester) a plain resource may be promoted from nothing.
        if call.isPromotable { return failed("promoting: it is not started here") }
      case .failed(let why, _): return failed("promoting: \(why)")
      }
      call.log.debug("promoting")
      try agent.promote(call)
    } catch {
      return failed(error.reason)
    }
    let outcome = settle("promote") { state in
      switch state {
      case .promoted, .atRisk(_, promoted: true): true
      case .running, .atRisk(_, promoted: false): !call.isPromotable
      case .stopped, .failed: false
      }
    }
    guard outcome.status == .success else { return failed(outcome.reason ?? "promote") }
    agent.promoted(call)
    return outcome
  }

  func demote(_ agent: any PromotableAgent) -> Outcome {
    var wasBroken = false
    do throws(OCFError) {
      switch try observe() {
      // Nothing of it is promoted any more. The monitor has said what became of it; a failure here would count it twice.
      case .stopped: return Outcome(.success)
      case .running, .atRisk(_, promoted: false):
        if call.isPromotable { return Outcome(.success) }
      case .promoted, .atRisk(_, promoted: true): break
      case .failed: wasBroken = true
      }
      call.log.debug("demoting")
      try agent.demote(call)
    } catch {
      return Outcome(.genericError, error.reason)
    }
    return settle("demote") { state in
      switch state {
      case .running, .atRisk(_, promoted: false): true
      // A daemon that hangs cannot step back. It was ended, as the stop that follows a failure would have done.
      case .stopped: wasBroken || !call.isPromotable
      // Nothing of it is promoted any more, and what fails still is not the demote's to mend: a parameter that was changed to a value
      // which cannot be used here. Pacemaker gives a demote the new value, and the stop that follows the old one.
      case .failed(_, promoted: false): wasBroken
      case .promoted, .atRisk(_, promoted: true), .failed: false
      }
    }
  }

  /// Always 0 for a resource that works: the cluster recovers a failed reload by stop and start, and a value that cannot be
  /// loaded here cannot be started with anywhere. What was in force stays in force, and that is a risk.
  func reload(_ agent: any ReloadableAgent) -> Outcome {
    var refusal = complaint
    if refusal == nil {
      do throws(OCFError) { try agent.reload(call) } catch { refusal = error.reason }
    }
    var isPromoted = false
    do throws(OCFError) {
      let state = try (refusal == nil ? Loop(agent: wanted, wanted: wanted, call: call, problems: problems) : self).observe()
      isPromoted = state.role == .promoted
      switch state {
      case .running, .promoted, .atRisk: break
      case .stopped: return Outcome(.genericError, refusal ?? "reloading: it is not running")
      case .failed(let why, _): return Outcome(.genericError, "reloading: \(why)")
      }
    } catch {
      return Outcome(error)
    }
    if let refusal { call.log.error("the reload was refused, what was in force stays: \(refusal)") } else { keepValues() }
    guard call.request.isFromCluster else { return Outcome(.success, refusal) }
    keep(refusal, Standing.read(call), score: isPromoted && isCandidate && Agent.hasHeadStart ? Standing.reloaded : nil)
    return Outcome(.success, refusal)
  }

  /// What a reload refused may be mended by now: its file, say. Looked at once a minute, by the deeper monitor.
  private func retryReload() {
    guard call.depth >= .service, call.request.isFromCluster, !call.request.isProbe, complaint == nil,
      let agent = wanted as? any ReloadableAgent
    else { return }
    let before = Standing.read(call)
    guard before.risks.contains(where: { $0.origin == .reload }) else { return }
    var refusal: String?
    do throws(OCFError) { try agent.reload(call) } catch { refusal = error.reason }
    if refusal == nil { keepValues() }
    keep(refusal, before)
  }

  private func keep(_ refusal: String?, _ before: Standing, score: Int? = nil) {
    var standing = before
    standing.found(refusal.map { [Risk($0)] } ?? [], by: .reload, at: call.host.clock.timestamp)
    logChanges(from: before.risks, to: standing.risks)
    tell(standing, score: score, before)
  }

  /// Always 0: the cluster ignores anything else, and a failure would only be noise.
  func notify(_ agent: any NotifiableAgent) -> Outcome {
    guard let notification = Notification(environment: call.request.environment) else { return Outcome(.success) }
    do throws(OCFError) { try agent.notify(notification, call) } catch { call.log.warning("notify: \(error.reason)") }
    return Outcome(.success)
  }

  /// Level 0 looks at parameters only, and those are known to be good here; level 10 says what a start would do on this node: why it
  /// would fail, or what would put the resource at risk.
  func validate() -> Outcome {
    guard call.depth >= .service else { return Outcome(.success) }
    do throws(OCFError) {
      try agent.checkNode(call)
      return Outcome(.success, (try agent.foreseen(call) + problems.map { Risk($0) }).ordered.sentence)
    } catch { return Outcome(error) }
  }

  // MARK: Observations

  private func observe() throws(OCFError) -> ResourceState {
    let state = try agent.observe(call)
    call.log.debug("observed: \(state)")
    return state
  }

  /// Looks until what was wanted is there. Only an observation makes an action succeed.
  private func settle(_ action: String, _ isWanted: (ResourceState) -> Bool) -> Outcome {
    var last = ""
    var final = ResourceState.stopped
    let reached = call.until {
      do throws(OCFError) {
        let state = try observe()
        last = "still \(state)"
        final = state
        return isWanted(state)
      } catch {
        last = error.reason
        final = .stopped
        // What cannot be on this node is not running on it, just as for a probe.
        return (error.status == .notInstalled || error.status == .invalidHere) && isWanted(.stopped)
      }
    }
    guard reached else { return Outcome(.genericError, "\(action): \(last)") }
    report(final)
    return Outcome(.success, shown(final))
  }

  /// The risks that belong to a state, the parameters' included.
  private func risks(_ state: ResourceState) -> [Risk] {
    state.role == nil ? [] : (state.risks + problems.map { Risk($0) }).ordered
  }
  private func shown(_ state: ResourceState) -> String? { risks(state).sentence }

  // MARK: What the cluster is told

  /// Tells the cluster what `state` changes about this member. A call by hand tells it nothing.
  ///
  /// A failure lowers the score before the action reports it, so that the cluster already knows the better candidate when
  /// it hears of the failure. A cluster that cannot be told is logged: the resource is as it was observed all the same.
  /// - Parameter marks: of the files that were judged; nil: none were.
  private func report(_ state: ResourceState, _ marks: [FileMark]? = nil) {
    guard call.request.isFromCluster else { return }
    let action = call.request.action
    let before = Standing.read(call)
    var standing = before
    var score: Int?
    switch state {
    case .stopped where action == .stop:
      return withdraw(before)
    case .stopped where call.request.isProbe: return
    case .stopped, .failed:
      // A probe finds what another manager of this node left; the cluster stops it before it counts on it.
      guard !call.request.isProbe, action == .monitor || action == .promote else { return }
      LastFailure.keep(call)
      score = Standing.failedLately
    case .running, .promoted, .atRisk:
      guard let role = state.role else { return }
      if let marks { standing.marks = marks }
      if action == .start { standing.found([], by: .reload, at: call.host.clock.timestamp) }
      // A start may have looked as deep as the deeper monitor does: the next basic one cannot tell that it is over.
      standing.found(risks(state), by: .check(action == .start ? max(call.depth, .service) : call.depth), at: call.host.clock.timestamp)
      logChanges(from: before.risks, to: standing.risks)
      // What changes inside promote or demote would abort the transition that they are part of.
      if action == .promote || action == .demote {
        if standing != before { standing.write(call) }
        return
      }
      if isCandidate {
        let isOnProbation = role == .unpromoted && before.score?.value ?? 0 < Standing.healthy && LastFailure.isRecent(call)
        score = standing.score(role, failedLately: isOnProbation)
      }
    }
    tell(standing, score: isCandidate ? score : nil, before)
  }

  private var isCandidate: Bool { call.isPromotable && Agent.isPromotable }

  private func logChanges(from before: [Standing.Known], to after: [Standing.Known]) {
    for risk in after where !before.contains(where: { $0.isAbout(risk.reason) }) {
      call.log.warning("at risk: \(risk.reason)", ("VPNHA_RISK", risk.reason))
    }
    for risk in before where !after.contains(where: { $0.isAbout(risk.reason) }) {
      call.log.info("no longer at risk: \(risk.reason) (since \(risk.since))")
    }
  }

  /// Tells what the attribute daemon has not heard yet, and keeps what it has heard.
  private func tell(_ wanted: Standing, score: Int?, _ before: Standing) {
    var standing = wanted
    defer { if standing != before { standing.write(call) } }
    let cluster = call.host.cluster
    // Nothing to tell, nobody to ask.
    guard score != nil || standing.text != nil || standing.told != nil else { return }
    do throws(SystemError) {
      let daemon = try cluster.attributeDaemon()
      // Once a minute without believing the record.
      let isDoubted = call.depth >= .service || call.request.isProbe || call.request.action == .start
      if let score, isDoubted || standing.score?.value != score || standing.score?.daemon != daemon {
        standing.score = nil
        try cluster.setPromotionScore(score, of: call.request.instance)
        standing.score = (score, daemon)
        // A controller that starts again asks what runs, and has had the cluster forget the score: to the attribute daemon the same value is no news.
        if call.request.isProbe, call.request.isFromCluster { try cluster.takeUpAttributes() }
      }
      let text = standing.text
      if let text, isDoubted || standing.told?.text != text || standing.told?.daemon != daemon {
        standing.told = nil
        try cluster.setNodeAttribute(call.request.riskAttribute, to: text, dampening: riskDampening)
        standing.told = (text, daemon)
      } else if text == nil, standing.told != nil {
        try cluster.setNodeAttribute(call.request.riskAttribute, to: nil, dampening: riskDampening)
        standing.told = nil
      }
    } catch {
      call.log.warning("\(error)")
    }
  }

  /// With what the peers have, when they were last looked at closely.
  private func compared(_ state: ResourceState) -> Comparison {
    guard call.depth >= .service, state.role != nil, !call.request.isProbe || !call.request.isFromCluster else { return Comparison([], call) }
    do throws(OCFError) { return Comparison(try agent.commonThings(call), call) } catch {
      call.log.debug("looking for what the nodes should have alike: \(error.reason)")
      return Comparison([], call)
    }
  }

  /// That this member was looked at closely and works, for those who ask on another node.
  private func tellLook(_ state: ResourceState, _ comparison: Comparison) {
    guard call.request.isFromCluster, !call.request.isProbe, call.depth >= .service, state.role != nil else { return }
    var counts: [String: UInt64] = [:]
    do throws(OCFError) { counts = try agent.counts(call) } catch { call.log.debug("counting: \(error.reason)") }
    if case .atRisk(let risks, promoted: _) = state, risks.contains(where: \.isUnfit) { counts[Look.unfit] = 1 }
    do throws(SystemError) {
      let look = Look(at: call.host.clock.timestamp, counts: counts, digests: comparison.digests)
      try call.host.cluster.share(look.text, as: call.request.lookAttribute, on: nil)
    } catch { call.log.debug("\(error)") }
  }

  /// After a stop: a member that is not there is no candidate, and at no risk.
  private func withdraw(_ before: Standing) {
    do throws(SystemError) {
      if isCandidate {
        try call.host.cluster.setPromotionScore(nil, of: call.request.instance)
      }
      if before.told != nil {
        try call.host.cluster.setNodeAttribute(call.request.riskAttribute, to: nil, dampening: riskDampening)
      }
    } catch {
      call.log.warning("\(error)")
    }
    Standing.forget(call)
  }
}

/// A risk is no reason to plan anew while a take-over is under way.
private let riskDampening = Duration.seconds(5)
