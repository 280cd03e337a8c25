/// How much a line matters. `debug` is an observation, `info` a change that was made.
public enum LogLevel: Int, Comparable, Sendable {
  case debug, info, notice, warning, error
  public static func < (a: LogLevel, b: LogLevel) -> Bool { a.rawValue < b.rawValue }
}

/// Where lines for the operator go. A monitor that finds all well writes nothing above `debug`.
public protocol Log: AnyObject {
  /// One line, without secrets; facts go in `fields` (upper-case journal names, such as `VPNHA_ADDRESS`).
  func write(_ level: LogLevel, _ message: String, _ fields: [(String, String)])
}

extension Log {
  public func debug(_ message: String, _ fields: (String, String)...) { write(.debug, message, fields) }
  public func info(_ message: String, _ fields: (String, String)...) { write(.info, message, fields) }
  public func notice(_ message: String, _ fields: (String, String)...) { write(.notice, message, fields) }
  public func warning(_ message: String, _ fields: (String, String)...) { write(.warning, message, fields) }
  public func error(_ message: String, _ fields: (String, String)...) { write(.error, message, fields) }
}
