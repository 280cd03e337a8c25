import Host

/// Who answers a server that is about to leave, heard on copies of what arrives for it (`Sockets.overhear`).
///
/// xl2tpd sends each farewell once and is gone before it is acknowledged, so the acknowledgement tells only us that a peer
/// knows (RFC 2661 §5.7, §5.8).
public final class PeerAnswers {
  /// The server's own identifiers of the tunnels whose peers acknowledged something, or said goodbye themselves.
  public private(set) var tunnels: Set<Int> = []
  private let socket: any DatagramSocket

  /// - Parameter socket: each datagram begins with its UDP header.
  public init(over socket: any DatagramSocket) { self.socket = socket }

  private static let udpHeader = 8
  /// Of a flood no more is read at once: whoever sends it shall not keep us.
  private static let mostAtOnce = 10_000

  /// Takes in what has arrived; waits for nothing.
  public func collect(_ clock: any Clock) throws(SystemError) {
    for _ in 0..<Self.mostAtOnce {
      guard let datagram = try socket.receive(limit: 65_536, before: clock.now) else { return }
      do throws(L2TPError) {
        let message = try ControlMessage(Array(datagram.dropFirst(Self.udpHeader)))
        switch message.kind {
        case nil where message.isAcknowledgement, .stop, .callDisconnect: tunnels.insert(Int(message.tunnel))
        default: break
        }
      } catch {
        // Data, or not L2TP at all: anybody may send anything.
      }
    }
  }

  public func close() { socket.close() }
}
