import Host
import OCF

/// What the end of an action means: to a person, and to the cluster.
///
/// Sources: OCF Resource Agent API 1.1, "Return Codes"; Pacemaker 2.1.5 `lib/pengine/unpack.c` (remap_operation),
/// `lib/common/probes.c` (pcmk_xe_mask_probe_failure) and `lib/pengine/pe_actions.c` (a stop's on-fail).
struct Explanation: Equatable {
  /// The number as the cluster sees it, and its name.
  var status: String
  var meaning: String
  var consequence: String

  /// - Parameter hasReason: whether the agent gave a reason: with a healthy result, that of a risk.
  init(_ invocation: Invocation, _ ending: CommandResult.Ending, hasReason: Bool = false) {
    let action = Action(rawValue: invocation.action)
    switch ending {
    case .exited(let number):
      guard let status = Status(rawValue: number) else {
        self.status = "\(number)"
        meaning = "not a status of OCF"
        consequence = Self.consequence(of: action, .genericError, invocation)
        return
      }
      self.status = "\(number) \(status.name)"
      let isAtRisk = hasReason && (action == .monitor || action == .validateAll) && (status == .success || status == .runningPromoted)
      meaning = Self.meaning(of: action, status, invocation) + (isAtRisk ? ", but at risk" : "")
      consequence = Self.consequence(of: action, status, invocation)
    case .signalled(let signal):
      status = "killed by signal \(signal)"
      meaning = "to the cluster this is 1 \(Status.genericError.name)"
      consequence = Self.consequence(of: action, .genericError, invocation)
    case .timedOut:
      status = "not done after \(invocation.timeout.milliseconds / 1000) s"
      meaning = "killed with everything it started, as the cluster does, to which this is a failure"
      consequence = Self.consequence(of: action, .genericError, invocation)
    }
  }

  private static func meaning(of action: Action?, _ status: Status, _ invocation: Invocation) -> String {
    switch status {
    case .success:
      switch action {
      case .monitor: invocation.isPromotable ? "running, unpromoted" : "running"
      case .start: "started, and seen running"
      case .stop: "stopped: nothing of it is left"
      case .promote: "this node serves"
      case .demote: "stepped back"
      case .validateAll: "the parameters are good"
      case .reloadAgent: "the changed parameters are in effect"
      case .notify, .metaData, nil: "done"
      }
    case .genericError: "broken, or in doubt"
    case .invalidHere: "a value cannot be used on this node"
    case .unimplemented: "the agent has no such action"
    case .insufficientPrivileges: "privileges are missing"
    case .notInstalled: "something is not installed on this node"
    case .misconfigured: "a value is wrong, on every node"
    case .notRunning: "cleanly stopped"
    case .runningPromoted: "running, promoted"
    case .failedPromoted: "promoted, or perhaps so, and broken"
    }
  }

  private static func consequence(of action: Action?, _ status: Status, _ invocation: Invocation) -> String {
    switch action {
    case .start: start(status)
    case .stop:
      status == .success
        ? "goes on" : "a failed stop: fences the node; without fencing, blocks the resource until somebody cleans up"
    case .monitor: invocation.interval == nil ? probe(status) : monitor(status, invocation.role)
    case .promote:
      switch status {
      case .success: "counts this node as promoted"
      case .misconfigured: "takes the resource off every node until its definition is corrected"
      default: "a failed promotion (8 as well): demotes and stops it here, counts a failure, promotes another node"
      }
    case .demote:
      switch status {
      case .success: "counts this node as unpromoted"
      default: "a failed demotion: stops it here, counts a failure, starts it again here or elsewhere"
      }
    case .notify: "ignores the outcome of a notification"
    case .reloadAgent:
      status == .success ? "goes on; nothing is restarted" : "counts a failure and recovers: stops and starts it"
    case .validateAll:
      status == .success
        ? "is not involved; pcs and crm accept the values" : "is not involved; pcs and crm show the reason and refuse or warn"
    case .metaData: status == .success ? "knows the agent" : "cannot use the agent"
    case nil: "asks for this only if somebody configured it; not supported, nothing is recovered"
    }
  }

  private static func start(_ status: Status) -> String {
    switch status {
    case .success: "goes on"
    case .misconfigured: "takes the resource off every node until its definition is corrected and it is cleaned up"
    case .invalidHere, .unimplemented, .insufficientPrivileges, .notInstalled:
      "bars this node for the resource until cleanup, stops what is left, starts it elsewhere"
    case .genericError, .notRunning, .runningPromoted, .failedPromoted:
      "a failed start: stops what is left and starts it elsewhere; this node is out until cleanup or failure-timeout "
        + "(start-failure-is-fatal)"
    }
  }

  /// - Parameter role: what the cluster has it for here; nil when that is not known.
  private static func monitor(_ status: Status, _ role: ClusterResource.Role?) -> String {
    switch status {
    case .success:
      switch role {
      case .promoted: "counts a failure: it should be promoted here; demotes and recovers it"
      case .stopped: "finds it active where it should be stopped: stops it, and counts it as active on too many nodes"
      case .started, .unpromoted: "content"
      case nil: "content, if it should be running (a promoted one counts as failed: demotes and recovers it)"
      }
    case .runningPromoted:
      switch role {
      case .promoted: "content"
      case nil: "content, if it should be promoted here"
      case .started, .stopped, .unpromoted: "counts a failure: it should not be promoted here; demotes and recovers it"
      }
    case .notRunning:
      switch role {
      case .stopped: "content: it should be stopped here"
      case nil: "content, if it should be stopped; else counts a failure, starts it again here, or elsewhere at migration-threshold"
      case .promoted, .unpromoted, .started: "counts a failure, starts it again here, or elsewhere at migration-threshold"
      }
    case .genericError: "counts a failure and recovers: stops it, starts it here, or elsewhere at migration-threshold"
    case .failedPromoted: "counts a failure and recovers: demotes, stops, starts, promotes here, or elsewhere at migration-threshold"
    case .invalidHere, .insufficientPrivileges, .notInstalled: "bars this node for the resource until cleanup and moves it elsewhere"
    case .misconfigured: "takes the resource off every node until its definition is corrected"
    case .unimplemented: "takes the monitor for unsupported; nothing is recovered"
    }
  }

  /// What an action would do to a cluster that did not ask for it, and how the cluster is asked instead.
  static func harm(of action: String, _ resource: ClusterResource?) -> (would: String, instead: String?) {
    let name = resource?.id ?? "ID"
    let top = resource?.top ?? "ID"
    return switch Action(rawValue: action) {
    case .start:
      (
        "bring it up behind the cluster's back: an address can be on two nodes until a monitor finds it, and the cluster recovers it then",
        "pcs resource enable \(top); after a failure that is mended: pcs resource cleanup \(name)"
      )
    case .stop:
      (
        "disconnect its clients here; the next monitor counts it as a failure, and the cluster starts it again or moves it",
        "pcs resource move \(top), pcs node standby, or pcs resource disable \(top)"
      )
    case .promote: ("make this node serve beside the one that the cluster promoted", "pcs resource move \(top) NODE --promoted")
    case .demote:
      ("take the service away from its clients here; the next monitor counts it as a failure", "pcs resource move \(top) --promoted")
    case .reloadAgent:
      ("put these values into effect here, and the cluster's own again at the next change", "pcs resource update \(name) PARAMETER=VALUE")
    case .notify: ("tell the agent of a change that is not happening", nil)
    case .monitor, .validateAll, .metaData, nil: ("ask the agent for something that Pacemaker would not", nil)
    }
  }

  private static func probe(_ status: Status) -> String {
    switch status {
    case .success: "finds the resource active here"
    case .runningPromoted: "finds the resource active and promoted here"
    case .notRunning: "finds the resource stopped here, as it expects before a start"
    case .invalidHere, .notInstalled: "takes it for stopped here, and logs the reason"
    case .misconfigured: "takes the resource off every node until its definition is corrected"
    case .genericError, .failedPromoted, .insufficientPrivileges, .unimplemented: "takes it for active and broken: stops it first"
    }
  }
}

/// The last reason an agent gave, as Pacemaker finds it: to the end of the line, cut at 128 bytes, empty ones overlooked.
func exitReason(in output: String, prefix: String = "ocf-exit-reason:") -> String? {
  for line in output.split(whereSeparator: \.isNewline).reversed() {
    guard let mark = line.ranges(of: prefix).last else { continue }
    let reason = line[mark.upperBound...].drop { $0 == " " }
    if !reason.isEmpty { return String(reason) }
  }
  return nil
}
