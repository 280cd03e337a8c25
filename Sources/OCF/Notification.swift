/// A clone's notification (`CRM_meta_notify_*`), under the names of Pacemaker 2.1 or the older ones.
public struct Notification: Equatable, Sendable {
  public enum Moment: String, Sendable { case pre, post }
  public let moment: Moment
  /// `start`, `stop`, `promote`, `demote`.
  public let operation: Action
  /// Node names whose instance the operation concerns.
  public let starting, stopping, promoting, demoting: [String]
  /// Node names where an instance has that role now.
  public let promoted, unpromoted, active: [String]

  /// Nil when the environment holds no notification.
  public init?(environment: [String: String]) {
    func meta(_ name: String) -> String? { environment["OCF_RESKEY_CRM_meta_notify_\(name)"] }
    func nodes(_ names: String...) -> [String] {
      for name in names { if let text = meta("\(name)_uname") { return text.split(separator: " ").map(String.init) } }
      return []
    }
    guard let moment = meta("type").flatMap(Moment.init(rawValue:)),
      let operation = meta("operation").flatMap(Action.init(rawValue:))
    else { return nil }
    self.moment = moment
    self.operation = operation
    starting = nodes("start")
    stopping = nodes("stop")
    promoting = nodes("promote")
    demoting = nodes("demote")
    promoted = nodes("promoted", "master")
    unpromoted = nodes("unpromoted", "slave")
    active = nodes("active")
  }
}
