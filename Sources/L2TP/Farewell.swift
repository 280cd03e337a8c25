import Host

/// Ends a tunnel of the client's whose server is gone, in that server's name, so that the client redials now and not when its own
/// timers run out.
///
/// The sequence numbers that the client expects are not known. A HELLO that repeats the number 0, which a client has had long ago, is
/// acknowledged as a duplicate (RFC 2661 §5.8) and the acknowledgement tells both; StopCCN then has the numbers that the client
/// accepts. To a client that has had more than half of the numbers 0 is one to come, and it is silent: the second try repeats 0x8000.
/// One over a socket that is connected to the client, with the server's address and port: the session's data and whatever else comes
/// over it is passed over.
public struct Farewell {
  /// The server's number of the tunnel, and the client's.
  public var tunnel: UInt16
  public var peerTunnel: UInt16

  public init(tunnel: UInt16, peerTunnel: UInt16) {
    self.tunnel = tunnel
    self.peerTunnel = peerTunnel
  }

  public enum Outcome: Equatable, Sendable {
    /// The client has acknowledged the end, or has ended the tunnel itself.
    case told
    /// The client's port is closed: nobody is there to be told.
    case closed
    /// What was wrong with the answers, or that there were none.
    case unanswered(String)
  }

  /// How often each of the two messages is sent: at once, and again after each pause without an answer.
  static let pause = Duration.milliseconds(500)
  static let attempts = 4

  private enum Step: Equatable {
    case asking(left: Int)
    case stopping(ControlMessage, left: Int)
    case done(Outcome)
  }
  private var step = Step.asking(left: Farewell.attempts)
  private var next: Instant?

  /// Nil until it is over.
  public var outcome: Outcome? {
    if case .done(let outcome) = step { outcome } else { nil }
  }

  /// When `due` has something to do without an answer; nil when it is over.
  public var deadline: Instant? { outcome == nil ? next ?? Instant(nanoseconds: .min) : nil }

  /// The datagram to send now, if one is due.
  public mutating func due(at now: Instant) -> [UInt8]? {
    guard outcome == nil, next.map({ now >= $0 }) ?? true else { return nil }
    next = now + Self.pause
    switch step {
    case .asking(0):
      step = .done(.unanswered("the client does not answer"))
      return nil
    case .asking(let left):
      step = .asking(left: left - 1)
      // Of two numbers half the range apart, one at least is behind what the client expects.
      let number: UInt16 = (Self.attempts - left).isMultiple(of: 2) ? 0 : 0x8000
      return ControlMessage(.hello, tunnel: peerTunnel, number: number, expected: 0).bytes
    case .stopping(_, 0):
      step = .done(.unanswered("the client does not acknowledge the end"))
      return nil
    case .stopping(let message, let left):
      step = .stopping(message, left: left - 1)
      return message.bytes
    case .done: return nil
    }
  }

  /// What came from the client.
  ///
  /// - Returns: what is to be answered at once, if anything.
  public mutating func receive(_ datagram: [UInt8]) -> [UInt8]? {
    guard outcome == nil, let message = Self.control(datagram) else { return nil }
    // A request for a new tunnel (to number 0): the client has begun again by itself, and nothing of the old one is left.
    if message.tunnel == 0, message.kind == .startRequest {
      step = .done(.told)
      return nil
    }
    guard message.tunnel == tunnel else { return nil }
    if message.kind == .stop {
      step = .done(.told)
      return ControlMessage(tunnel: peerTunnel, number: message.expected, expected: message.number &+ 1).bytes
    }
    switch step {
    case .asking:
      // Everything but an acknowledgement takes a number of its own, which the next one comes after.
      let theirs = message.isAcknowledgement ? message.number : message.number &+ 1
      step = .stopping(
        ControlMessage(
          .stop, tunnel: peerTunnel, number: message.expected, expected: theirs,
          [.number(.assignedTunnel, tunnel), .number(.resultCode, 1 as UInt16)]), left: Self.attempts)
      next = nil
    case .stopping(let stop, _):
      if message.expected == stop.number &+ 1 { step = .done(.told) }
    case .done: break
    }
    return nil
  }

  /// The kernel says that nobody listens there (`ECONNREFUSED`).
  public mutating func refused() {
    if outcome == nil { step = .done(.closed) }
  }

  private static func control(_ datagram: [UInt8]) -> ControlMessage? {
    do { return try ControlMessage(datagram) } catch { return nil }
  }
}
