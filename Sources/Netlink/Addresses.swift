import CLinux
import Host

extension IPAddress {
  /// `AF_INET` or `AF_INET6`.
  public var family: UInt8 { UInt8(isIPv6 ? AF_INET6 : AF_INET) }
}

extension Message {
  /// Asks for the addresses of one family, by `dump`; of one interface only when `link` is given.
  public static func getAddresses(isIPv6: Bool, link: Int32? = nil) -> Message {
    address(RTM_GETADDR, family: UInt8(isIPv6 ? AF_INET6 : AF_INET), prefixLength: 0, link: link ?? 0)
  }

  /// Asks for one IPv6 address, on one interface or on whichever has it. The kernel keeps a hash, so this costs the same
  /// however many addresses there are. (For IPv4 there is no such request.)
  public static func getIPv6Address(_ address: IPAddress, link: Int32? = nil) -> Message {
    var message = Message.address(RTM_GETADDR, family: UInt8(AF_INET6), prefixLength: 0, link: link ?? 0)
    message.attribute(UInt16(IFA_ADDRESS), address.bytes)
    return message
  }

  public static func addAddress(_ address: InterfaceAddress) -> Message {
    var message = Message.address(
      RTM_NEWADDR, family: address.address.family, prefixLength: address.prefixLength, link: address.link,
      scope: address.address.isLoopback ? UInt8(RT_SCOPE_HOST.rawValue) : 0)
    message.flags = UInt16(NLM_F_CREATE | NLM_F_EXCL)
    message.attribute(UInt16(IFA_LOCAL), address.address.bytes)
    message.attribute(UInt16(IFA_ADDRESS), (address.peer ?? address.address).bytes)
    if let broadcast = address.broadcast { message.attribute(UInt16(IFA_BROADCAST), broadcast.bytes) }
    if let label = address.label { message.attribute(UInt16(IFA_LABEL), label) }
    let asked = address.flags.intersection([.noDAD, .noPrefixRoute, .optimistic])
    if !asked.isEmpty { message.attribute(UInt16(IFA_FLAGS), asked.rawValue) }
    if address.metric != 0 { message.attribute(UInt16(IFA_RT_PRIORITY), address.metric) }
    if let preferred = address.preferredLifetime {
      // struct ifa_cacheinfo: preferred, valid (for ever), and two time stamps that only the kernel writes.
      var lifetimes = Message(type: 0, flags: 0)
      for value in [preferred, .max, 0, 0] { lifetimes.append(value) }
      message.attribute(UInt16(IFA_CACHEINFO), lifetimes.payload)
    }
    return message
  }

  /// Names the address by its prefix too, so that a duplicate with another prefix stays.
  public static func removeAddress(_ address: InterfaceAddress) -> Message {
    var message = Message.address(
      RTM_DELADDR, family: address.address.family, prefixLength: address.prefixLength, link: address.link)
    message.attribute(UInt16(IFA_LOCAL), address.address.bytes)
    message.attribute(UInt16(IFA_ADDRESS), (address.peer ?? address.address).bytes)
    return message
  }

  /// Sets the label of one IPv6 address in the policy table of RFC 6724, or takes it away (`struct ifaddrlblmsg`).
  public static func policyLabel(_ label: UInt32?, of address: IPAddress) -> Message {
    var message = Message(type: UInt16(label == nil ? RTM_DELADDRLABEL : RTM_NEWADDRLABEL), flags: 0)
    if label != nil { message.flags = UInt16(NLM_F_CREATE | NLM_F_REPLACE) }
    message.append(UInt8(AF_INET6))
    message.append(UInt8(0))
    message.append(UInt8(clamping: address.bits))  // prefix length
    message.append(UInt8(0))  // flags
    message.append(UInt32(0))  // any interface
    message.append(UInt32(0))  // sequence: only the kernel writes it
    message.attribute(UInt16(IFAL_ADDRESS), address.bytes)
    message.attribute(UInt16(IFAL_LABEL), label ?? 0)
    return message
  }

  /// `struct ifaddrmsg`
  private static func address(
    _ type: some BinaryInteger, family: UInt8, prefixLength: Int, link: Int32, scope: UInt8 = 0
  ) -> Message {
    var message = Message(type: UInt16(type), flags: 0)
    message.append(family)
    message.append(UInt8(clamping: prefixLength))
    message.append(UInt8(0))  // flags: the low eight bits; IFA_FLAGS carries all of them
    message.append(scope)
    message.append(link)
    return message
  }
}

extension InterfaceAddress {
  /// When the address of `RTM_NEWADDR` was added: hundredths of a second since the machine started (`cstamp` of `struct ifa_cacheinfo`).
  public static func moment(_ message: ReceivedMessage) throws(Malformed) -> UInt32 {
    var attributes = Attributes(message.payload.bytes(from: 8))
    while let (type, value) = try attributes.next() {
      if type == UInt16(IFA_CACHEINFO), let created = value.field(UInt32.self, at: 8) { return created }
    }
    throw Malformed(what: "an address without a time")
  }

  /// Reads `RTM_NEWADDR`; nil for any other message, and for another address than `wanted` if that is given.
  public init?(_ message: ReceivedMessage, only wanted: IPAddress? = nil) throws(Malformed) {
    guard message.type == UInt16(RTM_NEWADDR) else { return nil }
    guard let family = message.payload.field(UInt8.self, at: 0), let prefix = message.payload.field(UInt8.self, at: 1),
      let flags = message.payload.field(UInt8.self, at: 2), let link = message.payload.field(Int32.self, at: 4)
    else { throw Malformed(what: "an address that ends early") }
    if let wanted, wanted.family != family { return nil }
    var own: ArraySlice<UInt8>?
    var peer: ArraySlice<UInt8>?
    var rest = Attributes(message.payload.bytes(from: 8))
    while let (type, value) = try rest.next() {
      if type == UInt16(IFA_LOCAL) { own = value }
      if type == UInt16(IFA_ADDRESS) { peer = value }
    }
    // IFA_LOCAL is ours and IFA_ADDRESS the other end of a point-to-point link; IPv6 has the former only with a peer.
    guard let mine = own ?? peer else { return nil }
    if let wanted, !mine.elementsEqual(wanted.bytes) { return nil }
    guard let address = IPAddress(bytes: Array(mine)) else { throw Malformed(what: "an address of \(mine.count) bytes") }
    self.init(address, prefixLength: Int(prefix), link: link, flags: AddressFlags(rawValue: UInt32(flags)))
    if let peer, !peer.elementsEqual(mine) { self.peer = IPAddress(bytes: Array(peer)) }
    rest = Attributes(message.payload.bytes(from: 8))
    while let (type, value) = try rest.next() {
      switch Int(type) {
      case Int(IFA_BROADCAST): broadcast = IPAddress(bytes: Array(value))
      case Int(IFA_LABEL): label = value.text
      case Int(IFA_FLAGS): self.flags = AddressFlags(rawValue: value.field(UInt32.self, at: 0) ?? UInt32(flags))
      case Int(IFA_RT_PRIORITY): metric = value.field(UInt32.self, at: 0) ?? 0
      case Int(IFA_CACHEINFO):
        let preferred = value.field(UInt32.self, at: 0) ?? .max
        preferredLifetime = preferred == .max ? nil : preferred
        let valid = value.field(UInt32.self, at: 4) ?? .max
        lifetime = valid == .max ? nil : valid
      default: break
      }
    }
  }
}
