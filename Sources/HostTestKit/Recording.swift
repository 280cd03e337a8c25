import Host

/// Keeps every line.
public final class RecordingLog: Log {
  public struct Line: Hashable {
    public var level: LogLevel
    public var message: String
    public var fields: [String: String]
  }

  public private(set) var lines: [Line] = []

  public init() {}

  public func write(_ level: LogLevel, _ message: String, _ fields: [(String, String)]) {
    lines.append(Line(level: level, message: message, fields: Dictionary(fields, uniquingKeysWith: { _, last in last })))
  }

  /// Messages at `level` and above.
  public func messages(from level: LogLevel = .info) -> [String] { lines.filter { $0.level >= level }.map(\.message) }
}

/// Keeps scores and shared values. Unreachable, it fails as every call outside a cluster does.
public final class RecordingCluster: Cluster {
  public var isReachable = true
  public var scores: [String: Int] = [:]
  /// What was shared: by attribute, by node. This node is the first of `nodes`.
  public var shared: [String: [String: String]] = [:]
  public var nodes = ["moon", "sun"]
  /// The attribute daemon's process id.
  public var daemon: Int32 = 77
  /// Every score that was set, nil where it was deleted.
  public private(set) var scoresSet: [Int?] = []

  /// Attributes of this node, which is `moon`.
  public var attributes: [String: String] = [:]
  /// Attributes of the others: by attribute, by node.
  public var peers: [String: [String: String]] = [:]
  /// Every value that was given to an attribute, nil where it was deleted, with its dampening.
  public private(set) var attributesSet: [(name: String, value: String?, dampening: Duration)] = []

  private let calls: Calls

  public init(calls: Calls = Calls()) { self.calls = calls }

  public func setNodeAttribute(_ name: String, to value: String?, dampening: Duration) throws(SystemError) {
    try calls.changes("cluster.setNodeAttribute(\(name) to \(value ?? "nil"))")
    try reach("setting \(name)")
    attributesSet.append((name, value, dampening))
    attributes[name] = value
    if value == nil { shared[name]?[nodes[0]] = nil }
  }
  public func setPromotionScore(_ score: Int?, of resource: String) throws(SystemError) {
    try calls.changes("cluster.setPromotionScore(\(score.map(String.init) ?? "nil") of \(resource))")
    try reach("setting the promotion score of \(resource)")
    scoresSet.append(score)
    scores[resource] = score
  }
  public func takeUpAttributes() throws(SystemError) {
    try calls.changes("cluster.takeUpAttributes()")
    try reach("having the cluster take up its attributes")
  }
  public func share(_ value: String, as name: String, on node: String?) throws(SystemError) {
    try calls.changes("cluster.share(\(value) as \(name)\(node.map { " on \($0)" } ?? ""))")
    try reach("setting \(name)")
    shared[name, default: [:]][node ?? nodes[0]] = value
  }
  public func attributeDaemon() throws(SystemError) -> Int32 {
    try calls.sees("cluster.attributeDaemon()")
    try reach("looking for the attribute daemon")
    return daemon
  }
  public func members() throws(SystemError) -> [String] {
    try calls.sees("cluster.members()")
    try reach("listing the nodes of the cluster")
    return nodes
  }

  public func nodeAttribute(_ name: String) throws(SystemError) -> [String: String] {
    try calls.sees("cluster.nodeAttribute(\(name))")
    try reach("reading node attribute \(name)")
    var values = peers[name] ?? [:]
    if let own = attributes[name] { values["moon"] = own }
    values.merge(shared[name] ?? [:]) { $1 }
    return values
  }

  private func reach(_ operation: String) throws(SystemError) {
    guard isReachable else { throw SystemError(operation, .connectionRefused) }
  }
}
