import Host
import OCF

/// What was seen of the members, by their agents on each node and by this program here.
struct Looks {
  /// The last close look, by resource and node.
  var told: [String: [String: Look]] = [:]
  /// This node.
  var here: String?
  /// What is there now on this node, by resource.
  var seen: [String: ResourceState] = [:]
  /// What a start would come to on this node, of those that are stopped and are to be started when they are needed.
  var foreseen: [String: ResourceState] = [:]
  /// What each node has of what should be the same; this one's is of now.
  var prints: [String: Fingerprint] = [:]

  /// Fence devices whose agent this node has not.
  var absentFences: Set<String> = []

  /// Fence devices with which Pacemaker's fencer on this node could end another one, by that one's name. An empty answer of the fencer is one; none is
  /// nil.
  var enders: [String: Set<String>?] = [:]

  static let limit = Look.lifetime

  func look(at resource: String, on node: String) -> Look? { told[resource]?[node] }
  func state(of resource: String, on node: String) -> ResourceState? { node == here ? seen[resource] : nil }

  func count(_ name: String, on node: String) -> UInt64? { told.values.compactMap { $0[node]?.counts[name] }.max() }
  func versions(on node: String) -> Set<String> { Set(told.values.compactMap { $0[node]?.version }) }
}
