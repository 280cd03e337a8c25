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

/// A routing rule, as far as it decides what may leave from an address.
public struct RoutingRule: Equatable, Sendable {
  public var priority: UInt32 = 0
  public var source: IPAddress?
  public var sourceLength: Int
  /// Nil: it refuses what it matches (unreachable, prohibit, blackhole).
  public var table: UInt32?
  /// Whether nothing but the source is asked.
  public var asksMore: Bool

  /// Reads `RTM_NEWRULE`; nil for any other message and for a rule that only leads to another one.
  public init?(_ message: ReceivedMessage) throws(Malformed) {
    guard message.type == UInt16(RTM_NEWRULE) else { return nil }
    let header = message.payload
    guard header.count >= 12, let destinationLength = header.field(UInt8.self, at: 1), let sourceLength = header.field(UInt8.self, at: 2), let service = header.field(UInt8.self, at: 3),
      let table = header.field(UInt8.self, at: 4), let action = header.field(UInt8.self, at: 7), let flags = header.field(UInt32.self, at: 8)
    else { throw Malformed(what: "a routing rule that ends early") }
    switch action {
    case UInt8(FR_ACT_UNREACHABLE), UInt8(FR_ACT_PROHIBIT), UInt8(FR_ACT_BLACKHOLE): self.table = nil
    case UInt8(FR_ACT_TO_TBL): self.table = UInt32(table)
    default: return nil
    }
    self.sourceLength = Int(sourceLength)
    // FIB_RULE_INVERT of linux/fib_rules.h.
    asksMore = destinationLength != 0 || service != 0 || flags & 2 != 0
    var attributes = Attributes(header.bytes(from: 12))
    while let (type, value) = try attributes.next() {
      switch Int(type) {
      case Int(FRA_SRC): source = IPAddress(bytes: Array(value))
      case Int(FRA_PRIORITY): priority = value.field(UInt32.self, at: 0) ?? 0
      case Int(FRA_TABLE): if action == UInt8(FR_ACT_TO_TBL) { self.table = value.field(UInt32.self, at: 0) }
      // No suppression is -1.
      case Int(FRA_PROTOCOL), Int(FRA_PAD), Int(FRA_SUPPRESS_PREFIXLEN), Int(FRA_SUPPRESS_IFGROUP): break
      default: asksMore = true
      }
    }
  }

  private func covers(_ address: IPAddress) -> Bool { sourceLength == 0 || source.map { $0.isIPv6 == address.isIPv6 && address.isIn($0, prefixLength: sourceLength) } ?? false }

  /// Tables that hold no way into the world: that of local addresses, and charon's.
  private static let aside: Set<UInt32> = [UInt32(RT_TABLE_LOCAL.rawValue), 220]

  /// The rule that certainly refuses all that leaves from `address`, whatever the tables hold: none before it looks for a way. The one that silences
  /// a standby is not meant.
  public static func refusal(of address: IPAddress, in rules: [RoutingRule]) -> RoutingRule? {
    let ours = SilencingRule.priority
    for rule in rules.filter({ $0.covers(address) && $0.priority != ours }).sorted(by: { $0.priority < $1.priority }) {
      guard let table = rule.table else {
        if rule.asksMore { continue }
        return rule
      }
      if !aside.contains(table) { return nil }
    }
    return nil
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
