import CLinux
import Host

extension Message {
  /// Asks for the routes of one table, by `dump`.
  public static func getRoutes(isIPv6: Bool, table: UInt32 = RT_TABLE_MAIN.rawValue) -> Message {
    var message = route(RTM_GETROUTE, family: UInt8(isIPv6 ? AF_INET6 : AF_INET))
    message.attribute(UInt16(RTA_TABLE.rawValue), table)
    return message
  }

  /// Asks which entry of the routing tables decides about `address` (`RTM_F_FIB_MATCH`), without making a route of it.
  ///
  /// Equivalent to: `ip route get ADDRESS oif LINK fibmatch`.
  public static func matchRoute(to address: IPAddress, link: Int32? = nil) -> Message {
    var message = route(
      RTM_GETROUTE, family: address.family, prefixLength: UInt8(address.bits), flags: UInt32(RTM_F_FIB_MATCH))
    message.attribute(UInt16(RTA_DST.rawValue), address.bytes)
    if let link { message.attribute(UInt16(RTA_OIF.rawValue), UInt32(bitPattern: link)) }
    return message
  }

  /// Asks for the route that a packet would take; the answer is an error where there is none.
  ///
  /// Equivalent to: `ip route get ADDRESS from SOURCE`.
  public static func getRoute(to address: IPAddress, from source: IPAddress?) -> Message {
    var message = route(
      RTM_GETROUTE, family: address.family, prefixLength: UInt8(address.bits), sourceLength: UInt8(source?.bits ?? 0))
    message.attribute(UInt16(RTA_DST.rawValue), address.bytes)
    if let source { message.attribute(UInt16(RTA_SRC.rawValue), source.bytes) }
    return message
  }

  /// `struct rtmsg`
  private static func route(
    _ type: some BinaryInteger, family: UInt8, prefixLength: UInt8 = 0, sourceLength: UInt8 = 0, flags: UInt32 = 0
  ) -> Message {
    var message = Message(type: UInt16(type), flags: 0)
    message.append(family)
    message.append(prefixLength)
    message.append(sourceLength)
    message.append(UInt8(0))  // type of service
    message.append(UInt8(0))  // table: RTA_TABLE has room for all of them
    message.append(UInt8(0))  // protocol
    message.append(UInt8(0))  // scope
    message.append(UInt8(0))  // type
    message.append(flags)
    return message
  }
}

/// A routing table entry with what is needed to judge it.
public struct RouteEntry: Equatable, Sendable {
  public var route: Route
  /// The destination; nil is the default route.
  public var destination: IPAddress?
  /// `RTN_*`: 1 unicast, 2 local, 3 broadcast …
  public var type: UInt8
  public var table: UInt32

  public var isLocal: Bool { type == UInt8(RTN_LOCAL) }

  /// Whether this is a directly connected network that `address` lies in.
  public func connects(_ address: IPAddress) -> Bool {
    guard type == UInt8(RTN_UNICAST), !route.isGateway, route.link > 0, route.prefixLength > 0, let destination else {
      return false
    }
    return destination.bits == address.bits && address.isIn(destination, prefixLength: route.prefixLength)
  }

  /// Reads `RTM_NEWROUTE`; nil for any other message.
  public init?(_ message: ReceivedMessage) throws(Malformed) {
    guard message.type == UInt16(RTM_NEWROUTE) else { return nil }
    guard let prefixLength = message.payload.field(UInt8.self, at: 1), let table = message.payload.field(UInt8.self, at: 4),
      let origin = message.payload.field(UInt8.self, at: 5), let type = message.payload.field(UInt8.self, at: 7),
      message.payload.count >= 12
    else { throw Malformed(what: "a route that ends early") }
    route = Route(link: 0, prefixLength: Int(prefixLength), protocolNumber: origin)
    self.type = type
    self.table = UInt32(table)
    var attributes = Attributes(message.payload.bytes(from: 12))
    while let (type, value) = try attributes.next() {
      switch UInt32(type) {
      case RTA_DST.rawValue: destination = IPAddress(bytes: Array(value))
      case RTA_OIF.rawValue: route.link = value.field(Int32.self, at: 0) ?? 0
      case RTA_PREFSRC.rawValue: route.source = IPAddress(bytes: Array(value))
      case RTA_PRIORITY.rawValue: route.metric = value.field(UInt32.self, at: 0) ?? 0
      case RTA_TABLE.rawValue: self.table = value.field(UInt32.self, at: 0) ?? self.table
      case RTA_GATEWAY.rawValue, RTA_VIA.rawValue, RTA_MULTIPATH.rawValue: route.isGateway = true
      default: break
      }
    }
  }
}
