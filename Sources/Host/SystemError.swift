/// What the kernel or the C library refused: which operation, on what, with which error number.
///
/// Printed as *operation object: words (NAME)*, for example
/// `adding 192.0.2.1/24 to eth0: no such device (ENODEV)`.
public struct SystemError: Error, Equatable, Sendable, CustomStringConvertible {
  /// A verb in its -ing form, and what it acts on.
  public var operation: String
  public var errno: Errno
  /// The kernel's own words (netlink extended ACK) or those of a peer, if it gave any.
  public var detail: String?

  public init(_ operation: String, _ errno: Errno, detail: String? = nil) {
    self.operation = operation
    self.errno = errno
    self.detail = detail
  }

  public var description: String {
    guard let detail, !detail.isEmpty else { return "\(operation): \(errno)" }
    return "\(operation): \(detail) (\(errno.name))"
  }
}

/// An error number of Linux (`asm-generic/errno-base.h`, `asm-generic/errno.h`).
public struct Errno: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  public var rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }

  public static let notPermitted = Errno(rawValue: 1)
  public static let noSuchFile = Errno(rawValue: 2)
  public static let noSuchProcess = Errno(rawValue: 3)
  public static let interrupted = Errno(rawValue: 4)
  public static let io = Errno(rawValue: 5)
  public static let noSuchDeviceOrAddress = Errno(rawValue: 6)
  public static let wouldBlock = Errno(rawValue: 11)
  public static let outOfMemory = Errno(rawValue: 12)
  public static let accessDenied = Errno(rawValue: 13)
  public static let exists = Errno(rawValue: 17)
  public static let noSuchDevice = Errno(rawValue: 19)
  public static let notADirectory = Errno(rawValue: 20)
  public static let isADirectory = Errno(rawValue: 21)
  public static let invalidArgument = Errno(rawValue: 22)
  public static let noSpace = Errno(rawValue: 28)
  public static let readOnly = Errno(rawValue: 30)
  public static let brokenPipe = Errno(rawValue: 32)
  public static let tooLarge = Errno(rawValue: 27)
  public static let nameTooLong = Errno(rawValue: 36)
  public static let notImplemented = Errno(rawValue: 38)
  public static let tooManyLinks = Errno(rawValue: 40)
  public static let protocolError = Errno(rawValue: 71)
  public static let badMessage = Errno(rawValue: 74)
  public static let messageTooLong = Errno(rawValue: 90)
  public static let protocolNotSupported = Errno(rawValue: 93)
  public static let notSupported = Errno(rawValue: 95)
  public static let familyNotSupported = Errno(rawValue: 97)
  public static let addressInUse = Errno(rawValue: 98)
  public static let addressNotAvailable = Errno(rawValue: 99)
  public static let networkDown = Errno(rawValue: 100)
  public static let networkUnreachable = Errno(rawValue: 101)
  public static let connectionReset = Errno(rawValue: 104)
  public static let noBufferSpace = Errno(rawValue: 105)
  public static let timedOut = Errno(rawValue: 110)
  public static let connectionRefused = Errno(rawValue: 111)
  public static let hostUnreachable = Errno(rawValue: 113)

  /// The name in `errno.h`, or `errno N` where this table has none.
  public var name: String { entry?.name ?? "errno \(rawValue)" }
  public var description: String { entry.map { "\($0.words) (\($0.name))" } ?? name }

  private var entry: (name: String, words: String)? {
    switch rawValue {
    case 1: ("EPERM", "operation not permitted")
    case 2: ("ENOENT", "no such file or directory")
    case 3: ("ESRCH", "no such process")
    case 4: ("EINTR", "interrupted")
    case 5: ("EIO", "input/output error")
    case 6: ("ENXIO", "nobody reads from it")
    case 7: ("E2BIG", "argument list too long")
    case 8: ("ENOEXEC", "not an executable format")
    case 9: ("EBADF", "bad file descriptor")
    case 11: ("EAGAIN", "not ready")
    case 12: ("ENOMEM", "out of memory")
    case 13: ("EACCES", "permission denied")
    case 16: ("EBUSY", "busy")
    case 17: ("EEXIST", "exists already")
    case 19: ("ENODEV", "no such device")
    case 20: ("ENOTDIR", "not a directory")
    case 21: ("EISDIR", "is a directory")
    case 22: ("EINVAL", "invalid argument")
    case 23: ("ENFILE", "the system has too many open files")
    case 24: ("EMFILE", "too many open files")
    case 26: ("ETXTBSY", "the program is being written")
    case 27: ("EFBIG", "too large")
    case 28: ("ENOSPC", "no space left")
    case 30: ("EROFS", "read-only file system")
    case 32: ("EPIPE", "the other end is closed")
    case 34: ("ERANGE", "out of range")
    case 36: ("ENAMETOOLONG", "name too long")
    case 38: ("ENOSYS", "not in this kernel")
    case 39: ("ENOTEMPTY", "directory not empty")
    case 40: ("ELOOP", "a symbolic link where none may be")
    case 71: ("EPROTO", "protocol error")
    case 74: ("EBADMSG", "malformed message")
    case 90: ("EMSGSIZE", "message too long")
    case 92: ("ENOPROTOOPT", "no such option")
    case 93: ("EPROTONOSUPPORT", "protocol not in this kernel")
    case 95: ("EOPNOTSUPP", "not supported")
    case 97: ("EAFNOSUPPORT", "address family not in this kernel")
    case 98: ("EADDRINUSE", "address in use")
    case 99: ("EADDRNOTAVAIL", "address not on this node")
    case 100: ("ENETDOWN", "network is down")
    case 101: ("ENETUNREACH", "network is unreachable")
    case 103: ("ECONNABORTED", "connection aborted")
    case 104: ("ECONNRESET", "connection reset")
    case 105: ("ENOBUFS", "no buffer space")
    case 110: ("ETIMEDOUT", "no answer in time")
    case 111: ("ECONNREFUSED", "connection refused")
    case 113: ("EHOSTUNREACH", "host unreachable")
    default: nil
    }
  }
}
