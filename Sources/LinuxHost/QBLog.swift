import CLinux
import CQB
import DynamicLibrary
import Host

/// libqb's log: syslog, a file, and the blackbox that `qb-blackbox` reads. One at a time: libqb's state is the process's.
final class QBLog {
  private let fini: cqb_log_fini
  private let ctl: cqb_log_ctl
  private let filterCtl: cqb_log_filter_ctl
  private let formatSet: cqb_log_format_set
  private let fileOpen: cqb_log_file_open
  private let writeBlackbox: cqb_log_blackbox_write_to_file
  private let log: UnsafeMutableRawPointer
  private var files: [Int32] = []

  private static let syslog = Int32(QB_LOG_SYSLOG.rawValue)
  private static let blackbox = Int32(QB_LOG_BLACKBOX.rawValue)

  /// - Parameters:
  ///   - identity: the syslog tag without the pid.
  ///   - facility: `LOG_DAEMON` …
  init(identity: String, facility: Int32) throws(SystemError) {
    let library = try DynamicLibrary("libqb.so.100", package: "libqb100")
    let initialise: cqb_log_init = try library.function("qb_log_init")
    fini = try library.function("qb_log_fini")
    ctl = try library.function("qb_log_ctl")
    filterCtl = try library.function("qb_log_filter_ctl")
    formatSet = try library.function("qb_log_format_set")
    fileOpen = try library.function("qb_log_file_open")
    writeBlackbox = try library.function("qb_log_blackbox_write_to_file")
    log = try library.address(of: "qb_log_from_external_source")
    initialise(identity, facility, UInt8(LOG_DEBUG))
    formatSet(Self.syslog, "%b")
  }

  deinit { fini() }

  func setSyslog(_ isOn: Bool) { _ = ctl(Self.syslog, QB_LOG_CONF_ENABLED, isOn ? 1 : 0) }

  /// Lines go to the end of `path` as well, as `ocf_log` writes them: `DATE  TAG:    LEVEL: message`.
  func append(to path: String, from level: LogLevel) throws(SystemError) {
    let operation = "opening log file \(path)"
    let target = fileOpen(path)
    try check(operation, target)
    files.append(target)
    formatSet(target, "%t  %N[%P]:    %b")
    try addFilter(target, level, operation)
    try check(operation, ctl(target, QB_LOG_CONF_ENABLED, 1))
  }

  func write(_ priority: UInt8, caller: String, file: String, _ message: String) {
    // libqb makes a call site of file, line and priority; it must not take two of them for one.
    cqb_log(log, caller, file, priority, UInt32(priority), 0, message)
  }

  /// Writes `records` into a blackbox and that into the existing file `path`. Nothing can be written after it.
  ///
  /// libqb stamps a line with the time at which it is replayed, so each begins with the time since the action began.
  func record(_ records: [FlightRing.Record], caller: String, file: String, into path: String) throws(SystemError) {
    let operation = "writing the flight recording"
    setSyslog(false)
    for file in files { _ = ctl(file, QB_LOG_CONF_ENABLED, 0) }
    try addFilter(Self.blackbox, .debug, operation)
    try check(operation, ctl(Self.blackbox, QB_LOG_CONF_SIZE, 128 * 1024))
    try check(operation, ctl(Self.blackbox, QB_LOG_CONF_ENABLED, 1))
    defer { _ = ctl(Self.blackbox, QB_LOG_CONF_ENABLED, 0) }
    for record in records {
      write(record.level.priority, caller: caller, file: file, "+\(milliseconds(record.after)) ms \(record.message)")
    }
    var written = 0
    try withoutStandardOutput { written = writeBlackbox(path) }
    guard written > 0 else { throw SystemError(operation, Errno(rawValue: Int32(clamping: -written))) }
  }

  private func addFilter(_ target: Int32, _ level: LogLevel, _ operation: String) throws(SystemError) {
    try check(operation, filterCtl(target, QB_LOG_FILTER_ADD, QB_LOG_FILTER_FILE, "*", level.priority))
  }

  private func check(_ operation: String, _ answer: Int32) throws(SystemError) {
    if answer < 0 { throw SystemError(operation, Errno(rawValue: -answer)) }
  }
}

/// Runs `body` with standard output on `/dev/null`: libqb tells it about its ring buffer, and an agent's output is metadata
/// or nothing.
private func withoutStandardOutput(_ body: () -> Void) throws(SystemError) {
  let operation = "putting standard output aside"
  let nowhere = try Descriptor(opening: "/dev/null", O_WRONLY, operation: operation)
  fflush(nil)
  let saved = Descriptor(owning: try check(operation) { clinux_fcntl(1, F_DUPFD_CLOEXEC, 3) })
  try check(operation) { dup2(nowhere.number, 1) }
  body()
  fflush(nil)
  try check(operation) { dup2(saved.number, 1) }
}

/// `12.345`
func milliseconds(_ duration: Duration) -> String {
  let micros = max(0, duration.nanoseconds) / 1000
  let fraction = String(micros % 1000)
  return "\(micros / 1000).\(String(repeating: "0", count: 3 - fraction.count))\(fraction)"
}
