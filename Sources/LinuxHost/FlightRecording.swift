import CLinux
import Host

/// A file for one flight recording, made empty with mode 0600 in a directory that only its owner can write to.
///
/// Few are kept: the newest of each name, and not many in all. They are for the person who comes to look, not an archive.
struct FlightRecording {
  static let perName = 5
  static let inAll = 60

  /// Leads through the open directory, so that nobody can put another in its place.
  let path: String
  private let directory: Directory

  private final class Directory {
    let descriptor: Descriptor
    init(_ descriptor: consuming Descriptor) { self.descriptor = consume descriptor }
  }

  /// - Parameter name: `vip-vip0-start`
  init(in directory: String, named name: String) throws(SystemError) {
    let operation = "making a flight recording in \(directory)"
    try LinuxFiles().makeDirectory(directory, mode: 0o700)
    let opened = try Descriptor(opening: directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, operation: operation)
    let status = try opened.status(operation)
    guard status.st_uid == geteuid(), status.st_mode & 0o022 == 0 else {
      throw SystemError(operation, .notPermitted, detail: "others can write to it")
    }
    try Self.sweep(opened, name, operation)
    let file = "\(name).\(timestamp()).\(getpid())"
    let flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW
    _ = try Descriptor(opening: file, flags, mode: 0o600, at: opened.number, operation: operation)
    path = "/proc/self/fd/\(opened.number)/\(file)"
    self.directory = Directory(opened)
  }

  func discard() { _ = unlink(path) }

  /// Makes room for one more of `name`.
  private static func sweep(_ directory: borrowing Descriptor, _ name: String, _ operation: String) throws(SystemError) {
    var all: [(name: String, suffix: String)] = []
    for entry in try names(in: directory, operation) {
      // NAME.DATE.TIME.PID; the name itself may hold dots.
      let parts = entry.split(separator: ".", omittingEmptySubsequences: false)
      guard parts.count >= 4, let pid = parts.last, Int32(pid) != nil else { continue }
      let suffix = parts.suffix(3).joined(separator: ".")
      all.append((String(entry.dropLast(suffix.utf8.count + 1)), suffix))
    }
    all.sort { $0.suffix < $1.suffix }
    let own = all.filter { $0.name == name }
    let others = all.filter { $0.name != name }
    let surplus = own.dropLast(perName - 1) + others.prefix(max(0, all.count - (inAll - 1)))
    for old in surplus { _ = unlinkat(directory.number, "\(old.name).\(old.suffix)", 0) }
  }
}

/// `2026-11-24.14:25:33`, local time, as resource-agents names its traces.
func timestamp() -> String {
  var now = time(nil)
  var parts = tm()
  localtime_r(&now, &parts)
  func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
  let date = "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))"
  return "\(date).\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))"
}
