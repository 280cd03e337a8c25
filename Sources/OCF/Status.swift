/// The exit status of an action (OCF Resource Agent API 1.1, "Return Codes").
///
/// 190 and 191 (degraded) are left out: a recurring monitor that ends with them can hold a take-over up for more than a minute
/// (see `docs/decisions/no-degraded-status.md`). What works but is at risk is told as a node attribute (`Standing`).
public enum Status: Int32, Sendable, CaseIterable {
  case success = 0
  /// Broken or in doubt; the cluster tries to recover here.
  case genericError = 1
  /// A value cannot be used on this node.
  case invalidHere = 2
  case unimplemented = 3
  case insufficientPrivileges = 4
  /// A program is missing on this node.
  case notInstalled = 5
  /// A value is wrong on every node.
  case misconfigured = 6
  case notRunning = 7
  case runningPromoted = 8
  case failedPromoted = 9

  /// The constant's name in the specification.
  public var name: String {
    switch self {
    case .success: "OCF_SUCCESS"
    case .genericError: "OCF_ERR_GENERIC"
    case .invalidHere: "OCF_ERR_ARGS"
    case .unimplemented: "OCF_ERR_UNIMPLEMENTED"
    case .insufficientPrivileges: "OCF_ERR_PERM"
    case .notInstalled: "OCF_ERR_INSTALLED"
    case .misconfigured: "OCF_ERR_CONFIGURED"
    case .notRunning: "OCF_NOT_RUNNING"
    case .runningPromoted: "OCF_RUNNING_PROMOTED"
    case .failedPromoted: "OCF_FAILED_PROMOTED"
    }
  }
}

/// Why an action cannot succeed, and so who must act. Made by the constructors that say it.
public struct OCFError: Error, Equatable, Sendable {
  public let status: Status
  /// *doing what: what went wrong*; begins with a parameter's wire name if that parameter is to blame.
  public let reason: String

  private init(_ status: Status, _ reason: String) {
    self.status = status
    self.reason = reason
  }

  /// The resource's definition is wrong on every node: somebody must change it.
  public static func misconfigured(_ reason: String) -> OCFError { OCFError(.misconfigured, reason) }
  /// The definition does not fit this node.
  public static func wrongHere(_ reason: String) -> OCFError { OCFError(.invalidHere, reason) }
  /// Something is not installed on this node.
  public static func notInstalled(_ reason: String) -> OCFError { OCFError(.notInstalled, reason) }
  /// A program is missing; names the package that brings it.
  public static func missing(_ path: String, package: String) -> OCFError {
    .notInstalled("\(path) is missing (package \(package))")
  }
  public static func denied(_ reason: String) -> OCFError { OCFError(.insufficientPrivileges, reason) }
  public static func failed(_ reason: String) -> OCFError { OCFError(.genericError, reason) }
}

/// What was observed of a resource. An agent can say no more than this; the action loop makes the exit status of it.
public enum ResourceState: Equatable, Sendable {
  /// Cleanly absent. Doubt is `failed`.
  case stopped
  /// Active; in a promotable clone: active and unpromoted.
  case running
  case promoted
  /// Works, but at risk: shown to the operator, nothing is recovered. The gravest risk first.
  case atRisk([Risk], promoted: Bool)
  /// Active and broken, or in doubt.
  case failed(String, promoted: Bool = false)
}

extension ResourceState {
  public static func atRisk(_ reason: String, promoted: Bool = false, unfit: Bool = false) -> ResourceState {
    .atRisk([Risk(reason, unfit: unfit)], promoted: promoted)
  }

  /// A resource that works, with whatever puts it at risk.
  public static func working(promoted: Bool, _ risks: [Risk]) -> ResourceState {
    risks.isEmpty ? promoted ? .promoted : .running : .atRisk(risks.ordered, promoted: promoted)
  }

  /// What puts a working resource at risk.
  public var risks: [Risk] {
    switch self {
    case .atRisk(let risks, _): risks
    case .stopped, .running, .promoted, .failed: []
    }
  }

  /// The role of a working resource.
  var role: Role? {
    switch self {
    case .running, .atRisk(_, promoted: false): .unpromoted
    case .promoted, .atRisk(_, promoted: true): .promoted
    case .stopped, .failed: nil
    }
  }
}

extension ResourceState: CustomStringConvertible {
  public var description: String {
    switch self {
    case .stopped: "stopped"
    case .running: "running"
    case .promoted: "promoted"
    case .atRisk(let risks, let promoted):
      "at risk\(promoted ? ", promoted" : "")\(risks.contains(where: \.isUnfit) ? ", could not serve" : ""): \(risks.sentence ?? "")"
    case .failed(let why, let promoted): "failed\(promoted ? ", promoted" : ""): \(why)"
    }
  }
}

/// How an action ended: the exit status and the one reason.
public struct Outcome: Equatable, Sendable {
  public var status: Status
  public var reason: String?

  public init(_ status: Status, _ reason: String? = nil) {
    self.status = status
    self.reason = reason
  }

  init(_ error: OCFError) { self.init(error.status, error.reason) }
}
