import CLinux
import Host

/// Every line of an action with its time, where `trace_ra` asks for it. Not part of the log: nobody has to read it.
///
/// Understands what resource-agents' `ocf_start_trace` does: `OCF_TRACE_RA` (or the parameter `trace_ra`), and
/// `OCF_TRACE_FILE` (or `trace_file`), a descriptor from 3 to 9 or an absolute path. By default a file of its own:
/// `/var/lib/heartbeat/trace_ra/TYPE/INSTANCE.ACTION.DATE.TIME`, in another place with `trace_dir`; by hand, standard error.
final class Trace {
  private let target: Int32
  private let isOurs: Bool

  /// Nil when no trace is wanted, or none can be written: tracing never fails an action.
  init?(environment: [String: String], type: String, instance: String, action: String, begin: Instant) {
    let isWanted = environment["OCF_TRACE_RA"].flatMap { $0.isEmpty ? nil : $0 } ?? environment["OCF_RESKEY_trace_ra"] ?? ""
    guard Self.isTrue(isWanted) else { return nil }
    let file = environment["OCF_TRACE_FILE"].flatMap { $0.isEmpty ? nil : $0 } ?? environment["OCF_RESKEY_trace_file"] ?? ""
    do throws(SystemError) {
      if let number = Int32(file), (3...9).contains(number) {
        try check("tracing to descriptor \(number)") { clinux_fcntl(number, F_GETFD, 0) }
        target = number
        isOurs = false
      } else if file == "/dev/stderr" || (file.isEmpty && isatty(0) == 1) {
        // What it stands for may be a socket, which cannot be opened by this name.
        target = 2
        isOurs = false
      } else if file.hasPrefix("/") {
        // The devices that stand for standard streams are links.
        target = try Self.open(file, file.hasPrefix("/dev/") ? 0 : O_NOFOLLOW)
        isOurs = true
      } else {
        let root = environment["OCF_RESKEY_trace_dir"].flatMap { $0.hasPrefix("/") ? $0 : nil } ?? "/var/lib/heartbeat/trace_ra"
        let directory = "\(root)/\(type)"
        try LinuxFiles().makeDirectory(directory, mode: 0o755)
        // In a folder that others can write to, it may be a link of theirs.
        let opened = try Descriptor(opening: directory, O_PATH | O_DIRECTORY | O_NOFOLLOW, operation: "opening trace directory \(directory)")
        target = try Self.open("\(instance).\(action).\(timestamp())", O_NOFOLLOW, at: opened.number)
        isOurs = true
      }
    } catch {
      writeAll(Array("WARNING: no trace: \(error)\n".utf8), to: 2)
      return nil
    }
    let line = "\(type)(\(instance))[\(getpid())] \(action), \(timestamp()), monotonic clock \(milliseconds(begin - Instant(nanoseconds: 0))) ms\n"
    writeAll(Array(line.utf8), to: target)
  }

  deinit { if isOurs { _ = close(target) } }

  func write(_ record: FlightRing.Record) {
    writeAll(Array("+\(milliseconds(record.after)) ms \(record.level) \(record.message)\n".utf8), to: target)
  }

  private static func open(_ path: String, _ flags: Int32, at directory: Int32 = AT_FDCWD) throws(SystemError) -> Int32 {
    try check("opening trace file \(path)") {
      clinux_openat(directory, path, O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY | O_NONBLOCK | O_CLOEXEC | flags, 0o600)
    }
  }

  /// `ocf_is_true`
  private static func isTrue(_ text: String) -> Bool {
    ["yes", "true", "1", "YES", "TRUE", "True", "ja", "on", "ON"].contains(text)
  }
}
