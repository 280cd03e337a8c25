import CLinux
import Host

/// A TCP socket as the kernel lists it (`struct inet_diag_msg`).
public struct TCPConnection: Hashable, Sendable {
  public var local: IPAddress
  /// `struct inet_diag_sockid`, as it came: ports, addresses, interface, cookie.
  public var identity: [UInt8]
  public var family: UInt8

  /// Reads the answer to `getConnections`; nil for any other message. An IPv4 connection of an IPv6 socket is an IPv4 one.
  public init?(_ message: ReceivedMessage) throws(Malformed) {
    guard message.type == UInt16(SOCK_DIAG_BY_FAMILY) else { return nil }
    guard let family = message.payload.first, let identity = message.payload.bytes(at: 4, 48),
      var bytes = identity.bytes(at: 4, 16)
    else { throw Malformed(what: "a socket that ends early") }
    let mapped: [UInt8] = [UInt8](repeating: 0, count: 10) + [0xff, 0xff]
    if family == UInt8(AF_INET) {
      bytes = bytes.prefix(4)
    } else if bytes.starts(with: mapped) {
      bytes = bytes.suffix(4)
    }
    guard let local = IPAddress(bytes: Array(bytes)) else { return nil }
    self.local = local
    self.identity = Array(identity)
    self.family = family
  }
}

extension Message {
  /// Asks for the TCP connections of one family, by `dump`: those with a peer that can still be reset.
  public static func getConnections(family: UInt8) -> Message {
    connection(type: SOCK_DIAG_BY_FAMILY, family: family, states: connected, identity: [])
  }

  /// Resets a connection (`SOCK_DESTROY`).
  public static func destroy(_ connection: TCPConnection) -> Message {
    Message.connection(
      type: SOCK_DESTROY, family: connection.family, states: connected, identity: connection.identity)
  }

  /// One bit a state of `tcp_states.h`: established 1, SYN sent 2 and received 3, FIN wait 4 and 5, close wait 8, last ACK
  /// 9, closing 11. Not time wait, closed, or listening.
  private static let connected: UInt32 = [1, 2, 3, 4, 5, 8, 9, 11].reduce(0) { $0 | 1 << $1 }

  /// `struct inet_diag_req_v2`
  private static func connection(type: some BinaryInteger, family: UInt8, states: UInt32, identity: [UInt8]) -> Message {
    var message = Message(type: UInt16(type), flags: 0)
    message.append(family)
    message.append(UInt8(IPPROTO_TCP))
    message.append(UInt8(0))  // extensions
    message.append(UInt8(0))
    message.append(states)
    message.append(identity)
    message.pad(to: 56)
    return message
  }
}
