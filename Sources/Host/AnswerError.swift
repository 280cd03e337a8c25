/// Why a daemon that is asked over its Unix socket gave no answer that can be used.
public struct AnswerError: Error, Equatable, Sendable, CustomStringConvertible {
  public enum Kind: Equatable, Sendable {
    /// There is no socket.
    case absent
    /// The socket is there and nobody listens: left over by a daemon that died.
    case unread
    /// The daemon is there and does not answer.
    case unanswered
    /// The answer is not what was asked for: another program's, another mode, another version.
    case malformed
    /// The daemon says no, by this code.
    case refused(Int)
    case system(Errno)
  }

  public var kind: Kind
  public var reason: String

  public var description: String { reason }

  public init(kind: Kind, reason: String) {
    self.kind = kind
    self.reason = reason
  }

  /// - Parameter asking: a verb in its -ing form, and whom.
  public init(_ error: SystemError, _ asking: String) {
    kind =
      switch error.errno {
      case .noSuchFile: .absent
      case .connectionRefused: .unread
      case .timedOut: .unanswered
      default: .system(error.errno)
      }
    reason = "\(asking): \(error.errno)"
  }
}
