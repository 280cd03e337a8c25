import Host

/// Why an L2TP exchange came to nothing.
public struct L2TPError: Error, Equatable, Sendable, CustomStringConvertible {
  public enum Kind: Equatable, Sendable {
    /// Bytes that are not an L2TPv2 control message.
    case malformed
    /// Nothing answered before the deadline.
    case unanswered
    /// The port is closed: a daemon would have answered.
    case closed
    /// The peer answered and went against the protocol or ended the exchange.
    case refused
    /// The kernel refused.
    case system(Errno)
  }

  public var kind: Kind
  /// What went wrong, as a clause: *doing what: what*.
  public var reason: String

  public var description: String { reason }

  static func malformed(_ reason: String) -> L2TPError {
    L2TPError(kind: .malformed, reason: "reading a control message: \(reason)")
  }
  static func unanswered(_ waitingFor: String) -> L2TPError {
    L2TPError(kind: .unanswered, reason: "waiting for \(waitingFor): no answer in time")
  }
  static func refused(_ reason: String) -> L2TPError { L2TPError(kind: .refused, reason: reason) }
  static func system(_ error: SystemError) -> L2TPError {
    L2TPError(kind: error.errno == .connectionRefused ? .closed : .system(error.errno), reason: "\(error)")
  }
}
