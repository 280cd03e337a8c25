import CLinux
import Host

extension Message {
  /// Asks whether an interface forwards IPv6 (`struct netconfmsg`, `NETCONFA_FORWARDING`).
  public static func getIPv6Forwarding(link: Int32) -> Message {
    var message = Message(type: UInt16(RTM_GETNETCONF), flags: 0)
    message.append(UInt8(AF_INET6))
    message.pad(to: 4)
    message.attribute(UInt16(NETCONFA_IFINDEX), UInt32(bitPattern: link))
    return message
  }

  /// Reads the answer to `getIPv6Forwarding`; nil for any other message.
  public static func forwarding(_ message: ReceivedMessage) throws(Malformed) -> Bool? {
    guard message.type == UInt16(RTM_NEWNETCONF) else { return nil }
    var attributes = Attributes(message.payload.bytes(from: 4))
    while let (type, value) = try attributes.next() {
      if type == UInt16(NETCONFA_FORWARDING) { return (value.field(Int32.self, at: 0) ?? 0) != 0 }
    }
    return nil
  }
}
