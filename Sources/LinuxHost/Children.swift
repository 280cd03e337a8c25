import CLinux
import Host

/// A child to be waited for. One that is forgotten on the way out of an error is killed with its group.
struct Child: ~Copyable {
  private(set) var pid: Int32

  init(_ pid: Int32) { self.pid = pid }
  deinit {
    guard pid > 0 else { return }
    _ = kill(-pid, SIGKILL)
    while waitpid(pid, nil, 0) == -1, errno == EINTR {}
  }

  func killGroup() { _ = kill(-pid, SIGKILL) }
  mutating func abandon() { pid = 0 }

  /// Nil when somebody else has waited for it.
  mutating func reap() -> CommandResult.Ending? {
    var status: Int32 = 0
    var answer: Int32
    repeat { answer = waitpid(pid, &status, 0) } while answer == -1 && errno == EINTR
    defer { pid = 0 }
    guard answer == pid else { return nil }
    let signal = status & 0x7f
    return signal == 0 ? .exited(status >> 8 & 0xff) : .signalled(signal)
  }
}

/// A command that was started, until its end is seen. One that is forgotten is killed with its group.
final class RunningCommand {
  private let operation: String
  private let output: Capture
  private let error: Capture
  private var child: Child
  private let ended: Descriptor
  private(set) var hasEnded = false

  init(_ child: consuming Child, _ output: Capture, _ error: Capture, _ operation: String) throws(SystemError) {
    (self.operation, self.output, self.error) = (operation, output, error)
    output.closeWriting()
    error.closeWriting()
    let pid = child.pid
    ended = Descriptor(owning: try check(operation) { clinux_pidfd_open(pid) })
    self.child = child
  }

  /// What to wait for: its end, and the two pipes.
  var requests: [pollfd] {
    [ended.number, output.readingNumber, error.readingNumber].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
  }

  /// Takes what is there; the result once it has ended.
  ///
  /// - Parameter answers: to `requests`.
  func look(_ answers: ArraySlice<pollfd>) throws(SystemError) -> CommandResult? {
    let has = answers.map { $0.revents != 0 }
    // The ending is looked at first and the pipes after it, so that all the child wrote is read.
    hasEnded = has[0]
    if has[0] || has[1] { try output.drain(operation) }
    if has[0] || has[2] { try error.drain(operation) }
    guard hasEnded else { return nil }
    guard let ending = child.reap() else { throw SystemError(operation, .noSuchProcess) }
    return CommandResult(ending, output: output.bytes, error: error.bytes)
  }

  /// Its time is over.
  func kill() throws(SystemError) -> CommandResult {
    child.killGroup()
    // A process in an uninterruptible call does not die; init will reap it after us.
    var last = [requests[0]]
    if try pollUntil(LinuxClock.now + .milliseconds(200), &last, operation) { _ = child.reap() } else { child.abandon() }
    hasEnded = true
    try output.drain(operation)
    try error.drain(operation)
    return CommandResult(.timedOut, output: output.bytes, error: error.bytes)
  }
}

/// A file without a name that a daemon writes into as long as it lives. It does not grow: what is written beyond its end is refused
/// (EPERM), and nobody is kept waiting. It is gone with the daemon.
final class Output {
  let file: Descriptor
  private static let size = 65_536

  /// Nil where there can be none: the daemon is started all the same.
  init?() {
    let file = Descriptor(owning: clinux_memfd_create("output", 3 /* MFD_CLOEXEC | MFD_ALLOW_SEALING */))
    // F_ADD_SEALS; F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW
    guard file.number != -1, ftruncate(file.number, off_t(Self.size)) == 0, clinux_fcntl(file.number, 1033, 1 | 2 | 4) == 0
    else { return nil }
    self.file = file
  }

  /// Who writes and we have one offset between us.
  var bytes: [UInt8] {
    let count = lseek(file.number, 0, SEEK_CUR)
    guard count > 0 else { return [] }
    var buffer = [UInt8](repeating: 0, count: Int(count))
    let got = buffer.withUnsafeMutableBytes { pread(file.number, $0.baseAddress, $0.count, 0) }
    return Array(buffer.prefix(max(0, got)))
  }
}

/// A pipe a child writes into, of which the first bytes are kept.
final class Capture {
  private(set) var bytes: [UInt8] = []
  private var reading: Descriptor? = nil
  private var writing: Descriptor? = nil
  private let limit: Int

  var readingNumber: Int32 { reading?.number ?? -1 }
  var writingNumber: Int32 { writing?.number ?? -1 }

  init(limit: Int, _ operation: String) throws(SystemError) {
    self.limit = max(0, limit)
    var ends: [Int32] = [-1, -1]
    try check(operation) { pipe2(&ends, O_CLOEXEC) }
    reading = Descriptor(owning: ends[0])
    writing = Descriptor(owning: ends[1])
    // The child's end stays blocking.
    try check(operation) { clinux_fcntl(ends[0], F_SETFL, O_NONBLOCK) }
  }

  func closeWriting() { writing = nil }

  /// Reads what is there. The end, once met, is not asked for again.
  func drain(_ operation: String) throws(SystemError) {
    // A child that writes without end must not keep us here past its deadline: at most a pipe's capacity each time.
    var left = 1_048_576
    while left > 0, reading != nil {
      do throws(SystemError) {
        guard let part = try reading?.readPart(16_384, operation) else { return }
        if part.isEmpty {
          reading = nil
          return
        }
        left -= part.count
        bytes += part.prefix(limit - bytes.count)
      } catch  where error.errno == .wouldBlock {
        return
      }
    }
  }
}

/// A file without a name that a child reads from its beginning. Unlike a pipe it takes everything at once, however slowly it
/// is read.
final class Input {
  let file: Descriptor

  init(_ bytes: [UInt8], _ operation: String) throws(SystemError) {
    file = Descriptor(owning: try check(operation) { clinux_memfd_create("input", 1 /* MFD_CLOEXEC */) })
    try file.writeAll(bytes, operation)
    try check(operation) { lseek(file.number, 0, SEEK_SET) }
  }
}

/// A null-terminated array of C strings, as `execve` wants it.
func withCStrings<Value>(_ texts: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Value) -> Value {
  var bytes: [CChar] = []
  var starts: [Int] = []
  for text in texts {
    starts.append(bytes.count)
    bytes += text.utf8CString
  }
  return bytes.withUnsafeMutableBufferPointer { bytes in
    var pointers: [UnsafeMutablePointer<CChar>?] = starts.map { start in bytes.baseAddress.map { $0 + start } }
    pointers.append(nil)
    return pointers.withUnsafeBufferPointer { pointers in
      // An array with the final nil in it is never empty.
      guard let base = pointers.baseAddress else { preconditionFailure("an array of pointers without storage") }
      return body(base)
    }
  }
}
