import CLinux
import Host

/// The value of a system call that answers -1 and sets `errno`; repeated while a signal interrupts it.
@discardableResult
func check<Value: SignedInteger>(_ operation: @autoclosure () -> String, _ call: () -> Value) throws(SystemError) -> Value {
  while true {
    let value = call()
    if value != -1 { return value }
    let number = errno
    if number != EINTR { throw SystemError(operation(), Errno(rawValue: number)) }
  }
}

/// For calls that answer the error number itself (`posix_spawn`, `pthread_*`).
func checkNumber(_ operation: @autoclosure () -> String, _ number: Int32) throws(SystemError) {
  if number != 0 { throw SystemError(operation(), Errno(rawValue: number)) }
}

/// An open file descriptor, closed when it goes out of scope.
struct Descriptor: ~Copyable {
  let number: Int32

  /// - Parameter flags: `O_CLOEXEC` is added.
  init(opening path: String, _ flags: Int32, mode: UInt32 = 0, at directory: Int32 = AT_FDCWD, operation: String) throws(SystemError) {
    number = try check(operation) { clinux_openat(directory, path, flags | O_CLOEXEC, mode) }
  }
  init(owning number: Int32) { self.number = number }
  // Not repeated when interrupted: Linux has released the number by then.
  deinit { _ = close(number) }

  func status(_ operation: @autoclosure () -> String) throws(SystemError) -> stat {
    var status = stat()
    try check(operation()) { fstat(number, &status) }
    return status
  }

  /// Everything from the current position; `EFBIG` above `limit` bytes.
  func readToEnd(limit: Int, _ operation: @autoclosure () -> String) throws(SystemError) -> [UInt8] {
    var bytes: [UInt8] = []
    // One byte more than allowed tells a full file from one that is too large.
    while bytes.count <= limit {
      let part = try readPart(min(65_536, limit - bytes.count + 1), operation())
      if part.isEmpty { return bytes }
      bytes += part
    }
    throw SystemError(operation(), .tooLarge)
  }

  /// One read; empty at the end.
  func readPart(_ count: Int, _ operation: @autoclosure () -> String) throws(SystemError) -> [UInt8] {
    var buffer = [UInt8](repeating: 0, count: count)
    let got = try check(operation()) { buffer.withUnsafeMutableBytes { read(number, $0.baseAddress, $0.count) } }
    buffer.removeLast(count - got)
    return buffer
  }

  func writeAll(_ bytes: [UInt8], _ operation: @autoclosure () -> String) throws(SystemError) {
    var done = 0
    while done < bytes.count {
      done += try check(operation()) {
        bytes.withUnsafeBytes { write(number, $0.baseAddress.map { $0 + done }, $0.count - done) }
      }
    }
  }
}

extension stat {
  func `is`(_ type: UInt32) -> Bool { st_mode & 0o170000 == type }
}

/// `S_IF*` of `sys/stat.h`; imported from two modules they are ambiguous.
enum FileType {
  static let fifo: UInt32 = 0o010000
  static let directory: UInt32 = 0o040000
  static let regular: UInt32 = 0o100000
  static let symbolicLink: UInt32 = 0o120000
  static let socket: UInt32 = 0o140000
}

/// Keeps a write to a pipe without readers from killing the process: it then answers `EPIPE`.
///
/// The process's own disposition of SIGPIPE is left alone, since children inherit it.
func withoutSIGPIPE<Value>(_ body: () throws(SystemError) -> Value) throws(SystemError) -> Value {
  var pipeOnly = sigset_t()
  var before = sigset_t()
  var pending = sigset_t()
  sigemptyset(&pipeOnly)
  sigaddset(&pipeOnly, SIGPIPE)
  sigpending(&pending)
  let wasPending = sigismember(&pending, SIGPIPE) == 1
  guard pthread_sigmask(SIG_BLOCK, &pipeOnly, &before) == 0 else { return try body() }
  defer {
    if !wasPending {
      var now = timespec()
      while sigtimedwait(&pipeOnly, nil, &now) == -1, errno == EINTR {}
    }
    _ = pthread_sigmask(SIG_SETMASK, &before, nil)
  }
  return try body()
}

/// Waits until one of `requests` is ready.
///
/// - Returns: whether one was before `deadline`. It looks once even when that has passed.
func pollUntil(_ deadline: Instant, _ requests: inout [pollfd], _ operation: @autoclosure () -> String) throws(SystemError) -> Bool {
  while true {
    let left = (deadline - LinuxClock.now).pollMilliseconds
    let ready = poll(&requests, nfds_t(requests.count), left)
    if ready > 0 { return true }
    if ready == 0 {
      // poll rounds and its milliseconds are bounded; only the clock says that it is over.
      if LinuxClock.now >= deadline { return false }
    } else if errno != EINTR {
      throw SystemError(operation(), Errno(rawValue: errno))
    }
  }
}
