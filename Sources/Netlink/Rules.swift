import CLinux
import Host

/// The rule that keeps a node from sending as an address which it may hold: everything from it is unreachable, but for what the
/// table of local addresses, which comes before, gives to this node itself.
///
/// Neighbour discovery and packet sockets ask no rule. ARP and what arrives for an IPv4 address do where `rp_filter` is on: the kernel
/// then looks for the way of an answer, finds none, and drops it, ARP requests for the address among it.
///
/// Equivalent to: `ip rule add priority 1 from ADDRESS unreachable protocol 86`.
public struct SilencingRule: Equatable, Sendable {
  public var address: IPAddress

  /// Before every rule but that of local addresses.
  static let priority: UInt32 = 1
  /// Tells our rules from others, as `RTPROT_*` tells who made a route; nobody has it in iproute2's list.
  static let origin: UInt8 = 86

  /// Reads `RTM_NEWRULE` (`struct fib_rule_hdr`); nil for any other message and for a rule that is none of ours.
  public init?(_ message: ReceivedMessage) throws(Malformed) {
    guard message.type == UInt16(RTM_NEWRULE) else { return nil }
    guard let sourceLength = message.payload.field(UInt8.self, at: 2), let action = message.payload.field(UInt8.self, at: 7),
      message.payload.count >= 12
    else { throw Malformed(what: "a routing rule that ends early") }
    guard action == UInt8(FR_ACT_UNREACHABLE) else { return nil }
    var source: IPAddress?
    var priority: UInt32 = 0
    var origin: UInt8 = 0
    var attributes = Attributes(message.payload.bytes(from: 12))
    while let (type, value) = try attributes.next() {
      switch Int(type) {
      case Int(FRA_SRC): source = IPAddress(bytes: Array(value))
      case Int(FRA_PRIORITY): priority = value.field(UInt32.self, at: 0) ?? 0
      case Int(FRA_PROTOCOL): origin = value.first ?? 0
      default: break
      }
    }
    guard let source, Int(sourceLength) == source.bits, priority == Self.priority, origin == Self.origin else { return nil }
    address = source
  }
}

extension Message {
  /// Asks for the routing rules of one family, by `dump`.
  public static func getRules(isIPv6: Bool) -> Message { rule(RTM_GETRULE, family: UInt8(isIPv6 ? AF_INET6 : AF_INET)) }

  /// Adds or takes away the rule that silences `address`.
  public static func silencingRule(_ isThere: Bool, for address: IPAddress) -> Message {
    var message = rule(
      isThere ? RTM_NEWRULE : RTM_DELRULE, family: address.family, sourceLength: UInt8(address.bits),
      action: UInt8(FR_ACT_UNREACHABLE))
    if isThere { message.flags = UInt16(NLM_F_CREATE | NLM_F_EXCL) }
    message.attribute(UInt16(FRA_SRC), address.bytes)
    message.attribute(UInt16(FRA_PRIORITY), SilencingRule.priority)
    message.attribute(UInt16(FRA_PROTOCOL), [SilencingRule.origin])
    return message
  }

  /// `struct fib_rule_hdr`
  private static func rule(
    _ type: some BinaryInteger, family: UInt8, sourceLength: UInt8 = 0, action: UInt8 = 0
  ) -> Message {
    var message = Message(type: UInt16(type), flags: 0)
    message.append(family)
    message.append(UInt8(0))  // destination prefix length
    message.append(sourceLength)
    message.append(UInt8(0))  // type of service
    message.append(UInt8(0))  // table
    message.append(UInt16(0))  // reserved
    message.append(action)
    message.append(UInt32(0))  // flags
    return message
  }
}
