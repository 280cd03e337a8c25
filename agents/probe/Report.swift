import Daemon
import Host
import OCF

/// What the prober wrote last: who it is, that it lives, what it found, and what it told the cluster.
///
/// A file below `/run/resource-agents`, replaced whole at least once a second, so that a monitor needs neither a fork nor an
/// answer, and a prober that hangs is seen by its age.
struct Report: Equatable {
  var pid: Int32
  var startTime: UInt64
  /// The monotonic clock when it was written.
  var written: Instant
  /// Attributes and the values they should have.
  var values: [String: String] = [:]
  /// Why the cluster could not be told.
  var untold: String?
  var troubles: [String] = []

  /// A prober writes every second; publishing may take it three.
  static let patience = Duration.seconds(10)
  static let limit = 65_536

  static let kind = "report"
  static func path(for request: Request) -> String { request.recordPath(kind) }

  func isAbout(_ process: Process) -> Bool { pid == process.pid && startTime == process.startTime }

  var bytes: [UInt8] {
    var lines = ["process \(pid) \(startTime)", "written \(written.nanoseconds)"]
    lines += values.sorted { $0.key < $1.key }.map { "value \($0.key) \($0.value)" }
    if let untold { lines.append("untold \(untold)") }
    lines += troubles.map { "trouble \($0)" }
    return Array(lines.map { line in String(line.map { $0.isNewline ? " " : $0 }) + "\n" }.joined().utf8)
  }

  /// Nil unless it is a whole report.
  init?(_ bytes: [UInt8]) {
    var process: (Int32, UInt64)?
    var written: Int64?
    var values: [String: String] = [:]
    for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
      let words = line.split(separator: " ", maxSplits: 1).map(String.init)
      guard words.count == 2 else { return nil }
      switch words[0] {
      case "process":
        let numbers = words[1].split(separator: " ")
        guard numbers.count == 2, let pid = Int32(numbers[0]), let startTime = UInt64(numbers[1]) else { return nil }
        process = (pid, startTime)
      case "written": written = Int64(words[1])
      case "value":
        let pair = words[1].split(separator: " ").map(String.init)
        guard pair.count == 2 else { return nil }
        values[pair[0]] = pair[1]
      case "untold": untold = words[1]
      case "trouble": troubles.append(words[1])
      default: return nil
      }
    }
    guard let process, let written else { return nil }
    (pid, startTime) = process
    self.written = Instant(nanoseconds: written)
    self.values = values
  }

  init(by process: Process, at now: Instant) {
    pid = process.pid
    startTime = process.startTime
    written = now
  }
}
