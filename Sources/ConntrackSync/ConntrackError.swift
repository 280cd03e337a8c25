import Host

/// Why conntrackd gave no answer that can be used.
public struct ConntrackError: Error, Equatable, Sendable, CustomStringConvertible {
  public enum Kind: Equatable, Sendable {
    /// There is no socket.
    case absent
    /// The socket is there and nobody listens: left over by a daemon that died.
    case unread
    /// The daemon is there and does not answer.
    case unanswered
    /// The answer is not what was asked for: another mode, another version.
    case malformed
    case system(Errno)
  }

  public var kind: Kind
  public var reason: String

  public var description: String { reason }

  static func system(_ error: SystemError, _ request: ConntrackSocket.Request, _ path: String) -> ConntrackError {
    let kind: Kind =
      switch error.errno {
      case .noSuchFile: .absent
      case .connectionRefused: .unread
      case .timedOut: .unanswered
      default: .system(error.errno)
      }
    return ConntrackError(kind: kind, reason: "asking \(path) to \(request.words): \(error.errno)")
  }

  static func malformed(_ what: String) -> ConntrackError {
    ConntrackError(kind: .malformed, reason: "reading conntrackd's statistics: \(what)")
  }
}
