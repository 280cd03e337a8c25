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
  var problems = loaded.problems
  if problems.isEmpty {
    do throws(OCFError) { try loaded.agent.checkParameters() } catch { problems.append(error.reason) }
  }
  if !problems.isEmpty {
    if let outcome = answer(action, problems, loaded.isUnidentified, request, host.log) { return outcome }
  }
  let loop = Loop(agent: loaded.agent, call: call)
  switch action {
  case .start: return loop.start()
  case .stop: return loop.stop()
  case .monitor: return loop.monitor()
  case .promote: return (loaded.agent as? any PromotableAgent).map(loop.promote) ?? Outcome(.unimplemented)
  case .demote: return (loaded.agent as? any PromotableAgent).map(loop.demote) ?? Outcome(.unimplemented)
  case .reloadAgent: return (loaded.agent as? any ReloadableAgent).map(loop.reload) ?? Outcome(.unimplemented)
  case .notify: return (loaded.agent as? any NotifiableAgent).map(loop.notify) ?? Outcome(.unimplemented)
  case .validateAll: return loop.validate()
  case .metaData: return Outcome(.unimplemented)
  }
}

extension ResourceAgent {
  /// Whether the agent has `action`: what its type conforms to decides.
  public static func supports(_ action: Action) -> Bool {
    switch action {
    case .start, .stop, .monitor, .validateAll, .metaData: true
    case .promote, .demote: Self.self is any PromotableAgent.Type
    case .reloadAgent: Self.self is any ReloadableAgent.Type
    case .notify: Self.self is any NotifiableAgent.Type
    }
  }
}

/// What bad parameters mean for an action; nil when it can go on with defaults.
///
/// Nothing stands in front of stop, and a recurring monitor never bans a resource from every node
/// (resource-agents' `ocf-rarun`, `handle_invalid_env`).
private func answer(
  _ action: Action, _ problems: [String], _ isUnidentified: Bool, _ request: Request, _ log: any Log
) -> Outcome? {
  let reason = problems.joined(separator: "; ")
  switch action {
  case .start, .promote, .reloadAgent, .validateAll, .metaData:
    return Outcome(.misconfigured, reason)
  case .stop, .monitor, .demote, .notify:
    log.warning("going on with defaults: \(reason)")
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
  let agent: Agent
  let call: Call

  // MARK: Actions

  func start() -> Outcome {
    do throws(OCFError) {
      if let role = try observe().role {
        setScore(role)
        return Outcome(.success)
      }
      try agent.checkNode(call)
      call.log.debug("starting")
      try agent.start(call)
    } catch {
      return Outcome(error)
    }
    return settle("start", score: .unpromoted) { $0.role != nil }
  }

  func stop() -> Outcome {
    call.log.debug("stopping")
    var problem: OCFError?
    do throws(OCFError) { try agent.stop(call) } catch { problem = error }
    let outcome = settle("stop", score: nil) { $0 == .stopped }
    // Something of ours is left that an observation does not see.
    if let problem { return Outcome(.genericError, problem.reason) }
    return outcome
  }

  func monitor() -> Outcome {
    do throws(OCFError) {
      let state = try observe()
      // The cluster forgets scores when it restarts around a running resource, and then probes.
      if call.request.isProbe, let role = state.role { setScore(role) }
      switch state {
      case .stopped: return Outcome(.notRunning)
      case .running: return Outcome(.success)
      case .promoted: return Outcome(.runningPromoted)
      case .degraded(let why, let promoted): return Outcome(promoted ? .degradedPromoted : .degraded, why)
      case .failed(let why, let promoted): return Outcome(promoted ? .failedPromoted : .genericError, why)
      }
    } catch {
      switch (error.status, call.request.isProbe) {
      case (.notInstalled, true), (.invalidHere, true): return Outcome(.notRunning)
      default: return Outcome(.genericError, error.reason)
      }
    }
  }

  func promote(_ agent: any PromotableAgent) -> Outcome {
    do throws(OCFError) {
      switch try observe() {
      case .promoted, .degraded(_, promoted: true):
        setScore(.promoted)
        return Outcome(.success)
      case .running, .degraded(_, promoted: false): break
      case .stopped:
        // Outside a promotable clone (by hand, ocf-tester) a plain resource may be promoted from nothing.
        if call.isPromotable { return Outcome(.genericError, "promoting: it is not started here") }
      case .failed(let why, _): return Outcome(.genericError, "promoting: \(why)")
      }
      call.log.debug("promoting")
      try agent.promote(call)
    } catch {
      return Outcome(.genericError, error.reason)
    }
    return settle("promote", score: .promoted) { state in
      switch state {
      case .promoted, .degraded(_, promoted: true): true
      case .running, .degraded(_, promoted: false): !call.isPromotable
      case .stopped, .failed: false
      }
    }
  }

  func demote(_ agent: any PromotableAgent) -> Outcome {
    do throws(OCFError) {
      switch try observe() {
      case .stopped: return Outcome(call.isPromotable ? .notRunning : .success, call.isPromotable ? "demoting: it is not running" : nil)
      case .running, .degraded(_, promoted: false):
        guard call.isPromotable else { break }
        setScore(.unpromoted)
        return Outcome(.success)
      case .promoted, .degraded(_, promoted: true), .failed: break
      }
      call.log.debug("demoting")
      try agent.demote(call)
    } catch {
      return Outcome(.genericError, error.reason)
    }
    return settle("demote", score: .unpromoted) { state in
      switch state {
      case .running, .degraded(_, promoted: false): true
      case .stopped: !call.isPromotable
      case .promoted, .degraded(_, promoted: true), .failed: false
      }
    }
  }

  func reload(_ agent: any ReloadableAgent) -> Outcome {
    do throws(OCFError) {
      try agent.reload(call)
      switch try observe() {
      case .running, .promoted, .degraded: return Outcome(.success)
      case .stopped: return Outcome(.genericError, "reloading: it is not running")
      case .failed(let why, _): return Outcome(.genericError, "reloading: \(why)")
      }
    } catch {
      return Outcome(error)
    }
  }

  /// Always 0: the cluster ignores anything else, and a failure would only be noise.
  func notify(_ agent: any NotifiableAgent) -> Outcome {
    guard let notification = Notification(environment: call.request.environment) else { return Outcome(.success) }
    do throws(OCFError) { try agent.notify(notification, call) } catch { call.log.warning("notify: \(error.reason)") }
    return Outcome(.success)
  }

  /// Level 0 looks at parameters only, and those are known to be good here; level 10 looks at this node too.
  func validate() -> Outcome {
    guard call.depth >= .service else { return Outcome(.success) }
    do throws(OCFError) { try agent.checkNode(call) } catch { return Outcome(error) }
    return Outcome(.success)
  }

  // MARK: Observations

  private func observe() throws(OCFError) -> ResourceState {
    let state = try agent.observe(call)
    call.log.debug("observed: \(state)")
    return state
  }

  /// Looks until what was wanted is there. Only an observation makes an action succeed; the score follows it.
  private func settle(_ action: String, score role: Role?, _ isWanted: (ResourceState) -> Bool) -> Outcome {
    var last = ""
    let reached = call.until {
      do throws(OCFError) {
        let state = try observe()
        last = "still \(state)"
        return isWanted(state)
      } catch {
        last = error.reason
        // What cannot be on this node is not running on it, just as for a probe.
        return (error.status == .notInstalled || error.status == .invalidHere) && isWanted(.stopped)
      }
    }
    guard reached else { return Outcome(.genericError, "\(action): \(last)") }
    setScore(role)
    return Outcome(.success)
  }

  /// Tells the cluster how good a candidate this node is; nil: none. A cluster that cannot be told is logged: the
  /// resource is as it was observed all the same.
  private func setScore(_ role: Role?) {
    guard call.isPromotable, let agent = agent as? any PromotableAgent else { return }
    do throws(OCFError) {
      let score = try role.map { (role) throws(OCFError) in try agent.promotionScore(role, call) }
      do throws(SystemError) {
        try call.host.cluster.setPromotionScore(score, of: call.request.instance)
      } catch {
        call.log.warning("\(error)")
      }
    } catch {
      call.log.warning("promotion score: \(error.reason)")
    }
  }
}
