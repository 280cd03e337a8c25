import Host

/// Why an exchange with charon did not succeed, sorted by what the caller can do about it.
///
/// Printed as *operation: detail*, for example
/// `connecting to charon at /run/charon.vici: connection refused (ECONNREFUSED)`.
public struct VICIError: Error, Equatable, Sendable, CustomStringConvertible {
  public enum Kind: Hashable, Sendable {
    /// Nobody listens on the socket, or it is not there: the daemon does not run (or is not allowed to us).
    case unreachable
    /// The daemon went away in the middle of an exchange.
    case closed
    /// What came is not VICI, or what was asked does not fit into it.
    case malformed
    /// charon understood and said no; `detail` is its `errmsg`.
    case refused
    /// This charon has no such command or event.
    case notSupported
    /// No answer before the deadline: the daemon hangs, or every one of its threads is busy.
    case timedOut
  }
  public var kind: Kind
  /// A verb in its -ing form, and what it acts on.
  public var operation: String
  public var detail: String
  /// What the kernel said, where it said anything.
  public var errno: Errno?

  public init(_ kind: Kind, _ operation: String, _ detail: String, errno: Errno? = nil) {
    self.kind = kind
    self.operation = operation
    self.detail = detail
    self.errno = errno
  }

  public var description: String { "\(operation): \(detail)" }
}

extension VICIError {
  static func unreachable(_ error: SystemError, at path: String) -> VICIError {
    let kind: Kind = error.errno == .timedOut ? .timedOut : .unreachable
    let detail = error.errno == .timedOut ? "nobody accepts the connection (ETIMEDOUT)" : error.errno.description
    return VICIError(kind, "connecting to charon at \(path)", detail, errno: error.errno)
  }

  static func interrupted(_ error: SystemError, while operation: String) -> VICIError {
    let kind: Kind =
      switch error.errno {
      case .timedOut: .timedOut
      case .brokenPipe, .connectionReset: .closed
      default: .unreachable
      }
    return VICIError(kind, operation, error.errno.description, errno: error.errno)
  }

  static func closed(while operation: String) -> VICIError {
    VICIError(.closed, operation, "charon closed the connection")
  }

  static func timedOut(while operation: String) -> VICIError {
    VICIError(.timedOut, operation, Errno.timedOut.description, errno: .timedOut)
  }

  static func malformed(_ what: String, while operation: String = "reading a VICI message") -> VICIError {
    VICIError(.malformed, operation, what)
  }

  static func refused(_ reply: Message, while operation: String) -> VICIError {
    VICIError(.refused, operation, reply.printable("errmsg") ?? "charon gave no reason")
  }

  static func notSupported(_ name: String, while operation: String) -> VICIError {
    VICIError(.notSupported, operation, "this charon does not know \(name)")
  }
}
