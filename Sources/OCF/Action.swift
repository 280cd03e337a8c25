/// The actions of OCF Resource Agent API 1.1 that agents of this suite can have.
public enum Action: String, Sendable, CaseIterable {
  case start, stop, monitor, promote, demote, notify
  case reloadAgent = "reload-agent"
  case validateAll = "validate-all"
  case metaData = "meta-data"
}

/// How deep a monitor looks (`OCF_CHECK_LEVEL`). A level that an agent does not have means the next lower one.
public enum CheckLevel: Int, Comparable, Sendable {
  /// The process or kernel object, and that it answers.
  case basic = 0
  /// The service from inside, cheaply.
  case service = 10
  /// The service as a client sees it.
  case client = 20

  public static func < (a: CheckLevel, b: CheckLevel) -> Bool { a.rawValue < b.rawValue }

  init(_ number: Int) { self = number >= 20 ? .client : number >= 10 ? .service : .basic }
}

public enum Role: String, Sendable {
  case promoted = "Promoted"
  case unpromoted = "Unpromoted"
}

/// A line of the `<actions>` element: what the cluster is advised to use. All times in seconds.
public struct Operation: Equatable, Sendable {
  public var action: Action
  public var timeout: Int
  public var interval: Int?
  public var depth: CheckLevel?
  public var role: Role?

  public static func start(timeout: Int) -> Operation { Operation(.start, timeout) }
  public static func stop(timeout: Int) -> Operation { Operation(.stop, timeout) }
  public static func promote(timeout: Int) -> Operation { Operation(.promote, timeout) }
  public static func demote(timeout: Int) -> Operation { Operation(.demote, timeout) }
  public static func notify(timeout: Int) -> Operation { Operation(.notify, timeout) }
  public static func reloadAgent(timeout: Int) -> Operation { Operation(.reloadAgent, timeout) }
  public static func validateAll(timeout: Int) -> Operation { Operation(.validateAll, timeout) }
  public static func metaData(timeout: Int) -> Operation { Operation(.metaData, timeout) }
  public static func monitor(_ role: Role? = nil, every interval: Int, timeout: Int, depth: CheckLevel? = nil) -> Operation {
    Operation(.monitor, timeout, interval: interval, depth: depth, role: role)
  }

  private init(_ action: Action, _ timeout: Int, interval: Int? = nil, depth: CheckLevel? = nil, role: Role? = nil) {
    self.action = action
    self.timeout = timeout
    self.interval = interval
    self.depth = depth
    self.role = role
  }
}
