import CLinux
import Host

extension Message {
  /// Asks for the link with this name or alternative name.
  public static func getLink(named name: String) -> Message {
    var message = link(RTM_GETLINK, index: 0)
    // IFLA_IFNAME takes fifteen characters; the other attribute takes any name.
    message.attribute(UInt16(name.utf8.count < IFNAMSIZ ? IFLA_IFNAME : IFLA_ALT_IFNAME), name)
    return message
  }

  public static func getLink(index: Int32) -> Message { link(RTM_GETLINK, index: index) }

  /// Asks for all links, by `dump`.
  public static var getLinks: Message { link(RTM_GETLINK, index: 0) }

  /// Asks for all links and what went through them, by `dump`.
  public static var getLinksWithTraffic: Message { link(RTM_GETLINK, index: 0, hasTraffic: true) }

  /// Equivalent to: `ip link set … up`.
  public static func bringUp(link index: Int32) -> Message {
    link(RTM_NEWLINK, index: index, flags: UInt32(IFF_UP), changes: UInt32(IFF_UP))
  }

  /// Equivalent to: `ip link set … mtu SIZE`.
  public static func set(mtu: UInt32, link index: Int32) -> Message {
    var message = link(RTM_NEWLINK, index: index)
    message.attribute(UInt16(IFLA_MTU), mtu)
    return message
  }

  /// Sets `promote_secondaries` of one link.
  public static func promoteSecondaries(_ isOn: Bool, link index: Int32) -> Message {
    var message = link(RTM_SETLINK, index: index)
    message.nested(UInt16(IFLA_AF_SPEC)) { families in
      families.nested(UInt16(AF_INET)) { settings in
        settings.nested(UInt16(IFLA_INET_CONF)) { $0.attribute(UInt16(IPV4_DEVCONF_PROMOTE_SECONDARIES), UInt32(isOn ? 1 : 0)) }
      }
    }
    return message
  }

  /// `struct ifinfomsg`
  private static func link(
    _ type: some BinaryInteger, index: Int32, flags: UInt32 = 0, changes: UInt32 = 0, hasTraffic: Bool = false
  ) -> Message {
    var message = Message(type: UInt16(type), flags: 0)
    message.append(UInt8(AF_UNSPEC))
    message.append(UInt8(0))
    message.append(UInt16(0))  // device type
    message.append(index)
    message.append(flags)
    message.append(changes)
    if type == RTM_GETLINK, !hasTraffic { message.attribute(UInt16(IFLA_EXT_MASK), UInt32(1 << 3)) }  // RTEXT_FILTER_SKIP_STATS
    return message
  }

  /// The longest name the kernel takes, in bytes (`ALTIFNAMSIZ`, less the zero).
  public static let longestLinkName = 127
}

extension Link {
  /// Reads `RTM_NEWLINK`; nil for any other message.
  public init?(_ message: ReceivedMessage) throws(Malformed) {
    guard message.type == UInt16(RTM_NEWLINK) else { return nil }
    guard let hardwareType = message.payload.field(UInt16.self, at: 2),
      let index = message.payload.field(Int32.self, at: 4), let flags = message.payload.field(UInt32.self, at: 8)
    else { throw Malformed(what: "a link that ends early") }
    self.init(
      index: index, name: "", isUp: flags & UInt32(IFF_UP) != 0, hasCarrier: flags & 0x10000 != 0,  // IFF_LOWER_UP
      isLoopback: flags & UInt32(IFF_LOOPBACK) != 0, operationalState: 0, mtu: 0)
    self.hardwareType = hardwareType
    answersARP = flags & UInt32(IFF_NOARP) == 0
    var attributes = Attributes(message.payload.bytes(from: 16))
    while let (type, value) = try attributes.next() {
      switch Int(type) {
      case Int(IFLA_IFNAME): name = value.text
      case Int(IFLA_ADDRESS): hardwareAddress = Array(value)
      case Int(IFLA_BROADCAST): broadcastHardwareAddress = Array(value)
      case Int(IFLA_MTU): mtu = Int(value.field(UInt32.self, at: 0) ?? 0)
      case Int(IFLA_LINK): lower = value.field(Int32.self, at: 0)
      case Int(IFLA_MASTER): master = value.field(Int32.self, at: 0)
      case Int(IFLA_LINK_NETNSID): lowerIsElsewhere = true
      case Int(IFLA_OPERSTATE): operationalState = value.first ?? 0
      case Int(IFLA_LINKINFO):
        var details = Attributes(value)
        while let (type, value) = try details.next() {
          if type == UInt16(IFLA_INFO_KIND) { kind = value.text }
          guard type == UInt16(IFLA_INFO_DATA), kind == "vrf" else { continue }
          var settings = Attributes(value)
          while let (type, value) = try settings.next() {
            if type == UInt16(IFLA_VRF_TABLE) { routingTable = value.field(UInt32.self, at: 0) }
          }
        }
      case Int(IFLA_AF_SPEC):
        var families = Attributes(value)
        while let (family, value) = try families.next() {
          var details = Attributes(value)
          while let (type, value) = try details.next() {
            // Another array, numbered from zero.
            if family == UInt16(AF_INET6), type == UInt16(IFLA_INET6_CONF) {
              disablesIPv6 = value.field(UInt32.self, at: 4 * Int(DEVCONF_DISABLE_IPV6)) ?? 0 != 0
            }
            guard family == UInt16(AF_INET) else { continue }
            // An array of the settings, numbered from one.
            if type == UInt16(IFLA_INET_CONF) {
              promotesSecondaries = value.field(UInt32.self, at: 4 * (Int(IPV4_DEVCONF_PROMOTE_SECONDARIES) - 1)) != 0
            }
          }
        }
      case Int(IFLA_PROP_LIST):
        var names = Attributes(value)
        while let (type, value) = try names.next() {
          if type == UInt16(IFLA_ALT_IFNAME) { alternativeNames.append(value.text) }
        }
      default: break
      }
    }
    if lowerIsElsewhere { lower = nil }
  }
}

extension PPPLink {
  /// Reads `RTM_NEWLINK` of a PPP interface; nil for any other message.
  public init?(_ message: ReceivedMessage) throws(Malformed) {
    guard let link = try Link(message), link.hardwareType == 512 else { return nil }  // ARPHRD_PPP
    self.init(index: link.index, name: link.name)
    var attributes = Attributes(message.payload.bytes(from: 16))
    while let (type, value) = try attributes.next() {
      // struct rtnl_link_stats64: packets in and out, then bytes in and out.
      guard type == UInt16(IFLA_STATS64) else { continue }
      received = value.field(UInt64.self, at: 16) ?? 0
      sent = value.field(UInt64.self, at: 24) ?? 0
    }
  }
}
