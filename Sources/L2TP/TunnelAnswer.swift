/// What is to be done about a control message of a tunnel that another server has set up and that is to stay (RFC 2661 §5.5 to §5.8).
///
/// Every message is acknowledged with the sequence numbers that it has itself, so none need be known beforehand.
public enum TunnelAnswer: Equatable, Sendable {
  /// Nothing; or no message of this tunnel's.
  case nothing
  /// It goes on; this is to be sent.
  case goesOn([UInt8])
  /// The peer ends the call with one of these numbers, ours or its own; the one that it did not say is 0.
  case callEnds(session: UInt16, peerSession: UInt16, [UInt8])
  case tunnelEnds([UInt8])
  /// The peer asks for a new tunnel: it has been restarted, and knows nothing of this one. A server that hears the same request
  /// once more will answer.
  case beginsAnew

  /// - Parameters:
  ///   - datagram: from the peer, whatever is in it.
  ///   - tunnel: our number of the tunnel, and the peer's.
  public init(to datagram: [UInt8], tunnel: UInt16, peerTunnel: UInt16) {
    self = .nothing
    let message: ControlMessage
    do { message = try ControlMessage(datagram) } catch { return }
    if message.tunnel == 0 {
      if message.kind == .startRequest { self = .beginsAnew }
      return
    }
    guard message.tunnel == tunnel, !message.isAcknowledgement else { return }
    let answer = ControlMessage(tunnel: peerTunnel, number: message.expected, expected: message.number &+ 1).bytes
    switch message.kind {
    case .stop: self = .tunnelEnds(answer)
    case .callDisconnect:
      let said = message[.assignedSession].flatMap { $0.isHidden ? nil : $0.number }
      self = .callEnds(session: message.session, peerSession: said ?? 0, answer)
    default: self = .goesOn(answer)
    }
  }
}
