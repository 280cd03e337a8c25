import Host

/// Why BIRD gave no answer that can be used.
public struct BIRDError: Error, Equatable, Sendable, CustomStringConvertible {
  public enum Kind: Equatable, Sendable {
    /// There is no socket.
    case absent
    /// The socket is there and nobody listens: left over by a daemon that died.
    case unread
    /// The daemon is there and does not answer.
    case unanswered
    /// The answer is none of BIRD's.
    case malformed
    /// BIRD says no, by this code.
    case refused(Int)
    case system(Errno)
  }

  public var kind: Kind
  public var reason: String

  public var description: String { reason }

  static func system(_ error: SystemError, _ path: String) -> BIRDError {
    let kind: Kind =
      switch error.errno {
      case .noSuchFile: .absent
      case .connectionRefused: .unread
      case .timedOut: .unanswered
      default: .system(error.errno)
      }
    return BIRDError(kind: kind, reason: "asking BIRD through \(path): \(error.errno)")
  }

  static func malformed(_ what: String) -> BIRDError { BIRDError(kind: .malformed, reason: "reading BIRD's answer: \(what)") }
}
