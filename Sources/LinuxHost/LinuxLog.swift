import Host

/// Lines on standard error.
public final class LinuxLog: Log {
  public init(environment: [String: String], type: String, instance: String, action: String) {}
  public func write(_ level: LogLevel, _ message: String, _ fields: [(String, String)]) {
    if level >= .info { writeAll(Array("\(level): \(message)\n".utf8), to: 2) }
  }
  public func recordFailure(status: Int32, reason: String) {}
}
