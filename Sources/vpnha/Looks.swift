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

  /// Pacemaker's daemons on this node that a signal has stopped.
  var stoppedDaemons: [StoppedDaemon] = []

  static let limit = Look.lifetime

  func look(at resource: String, on node: String) -> Look? { told[resource]?[node] }
  func state(of resource: String, on node: String) -> ResourceState? { node == here ? seen[resource] : nil }

  func count(_ name: String, on node: String) -> UInt64? { told.values.compactMap { $0[node]?.counts[name] }.max() }
  func versions(on node: String) -> Set<String> { Set(told.values.compactMap { $0[node]?.version }) }
}

/// A daemon of Pacemaker's that does nothing until it is told to go on.
struct StoppedDaemon: Equatable {
  var name: String
  var pid: Int32

  /// Without the fencer's answer nobody is ended, and the others do the rest of what a take-over takes.
  static let names = ["based", "fenced", "execd", "attrd", "schedulerd", "controld"].map { "pacemaker-\($0)" }

  func finding(on node: String) -> Finding {
    Finding(
      .PCMK2, .bad, "\(name) (pid \(pid)) on \(node) is stopped by a signal: this node takes nothing over as long as that lasts",
      fix: ["kill -CONT \(pid)    # on \(node)", "systemctl restart pacemaker    # on \(node), if another one serves and this does not help"], at: node)
  }

  static func all(_ processes: any Processes) -> [StoppedDaemon] {
    names.flatMap { name -> [StoppedDaemon] in
      do throws(SystemError) { return try processes.running("/usr/lib/pacemaker/\(name)").filter(\.isStopped).map { StoppedDaemon(name: name, pid: $0.pid) } } catch { return [] }
    }
  }
}
