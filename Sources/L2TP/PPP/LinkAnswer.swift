/// What is to be done about a frame of a PPP link that was negotiated by somebody else and is to stay up: LCP as far as a link that
/// is open needs it (RFC 1661 §5), and nothing of negotiation.
public enum LinkAnswer: Equatable, Sendable {
  /// Nothing; or no PPP at all.
  case nothing
  /// The peer has answered an echo request.
  case isAlive
  /// It goes on; this is to be sent.
  case goesOn([UInt8])
  /// The peer hangs up; this is the last word.
  case isOver([UInt8])
  /// The peer negotiates once more, which cannot be answered here: as if it had been restarted.
  case beginsAnew

  /// - Parameter frame: from its protocol number on.
  public init(to frame: [UInt8]) {
    self = .nothing
    guard let frame = PPPFrame(frame[...]), let packet = PPPPacket(frame.payload[...]) else { return }
    switch frame.proto {
    case PPPProtocol.lcp:
      switch packet.code {
      case PPPPacket.Code.configureRequest: self = .beginsAnew
      case PPPPacket.Code.terminateRequest:
        self = .isOver(Self.lcp(PPPPacket(PPPPacket.Code.terminateAck, packet.identifier, packet.data)))
      case PPPPacket.Code.echoRequest:
        // The number that the server gave itself is not known; zeros stand for none (§6.4).
        guard packet.data.count >= 4 else { return }
        self = .goesOn(Self.lcp(PPPPacket(PPPPacket.Code.echoReply, packet.identifier, Self.noMagic + packet.data.dropFirst(4))))
      case PPPPacket.Code.echoReply: self = .isAlive
      default: break
      }
    case PPPProtocol.ipcp:
      if [PPPPacket.Code.configureRequest, PPPPacket.Code.terminateRequest].contains(packet.code) { self = .beginsAnew }
    case PPPProtocol.pap, PPPProtocol.chap: break
    default:
      // Only what asks for something: an answer to an answer would have no end. The number is not the request's own (§5.7).
      guard frame.proto >= 0x8000, packet.code == PPPPacket.Code.configureRequest else { return }
      let rejected = [UInt8(frame.proto >> 8), UInt8(frame.proto & 0xff)] + frame.payload
      self = .goesOn(Self.lcp(PPPPacket(PPPPacket.Code.protocolReject, packet.identifier, rejected)))
    }
  }

  /// Asks whether the peer is there.
  public static func echoRequest(_ identifier: UInt8) -> [UInt8] { lcp(PPPPacket(PPPPacket.Code.echoRequest, identifier, noMagic)) }

  /// A sign of life that nobody has asked for: pppd stops counting the requests that were not answered when it hears one.
  public static var signOfLife: [UInt8] { lcp(PPPPacket(PPPPacket.Code.echoReply, 0, noMagic)) }

  private static let noMagic: [UInt8] = [0, 0, 0, 0]

  /// Without address and control, which the kernel puts in front.
  private static func lcp(_ packet: PPPPacket) -> [UInt8] {
    [UInt8(PPPProtocol.lcp >> 8), UInt8(PPPProtocol.lcp & 0xff)] + packet.bytes
  }
}
