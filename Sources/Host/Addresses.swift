/// An address on an interface (rtnetlink `RTM_NEWADDR`).
public struct InterfaceAddress: Hashable, Sendable, CustomStringConvertible {
  public var address: IPAddress
  public var prefixLength: Int
  public var link: Int32
  /// The other end, on a point-to-point link.
  public var peer: IPAddress?
  /// IPv4 only.
  public var broadcast: IPAddress?
  /// IPv4 only: `eth0:vpn`; nil means the interface's own name.
  public var label: String?
  public var flags: AddressFlags
  /// Metric of the prefix route; 0 is the kernel's default (`IFA_RT_PRIORITY`).
  public var metric: UInt32
  /// Seconds the address may be a source of new connections; nil is for ever.
  public var preferredLifetime: UInt32?
  /// Seconds until the kernel takes it away, as it does with what DHCP or a router's advertisement gave; nil is never.
  public var lifetime: UInt32?

  public init(
    _ address: IPAddress, prefixLength: Int, link: Int32, broadcast: IPAddress? = nil, label: String? = nil,
    flags: AddressFlags = [], metric: UInt32 = 0, preferredLifetime: UInt32? = nil
  ) {
    self.address = address
    self.prefixLength = prefixLength
    self.link = link
    self.broadcast = broadcast
    self.label = label
    self.flags = flags
    self.metric = metric
    self.preferredLifetime = preferredLifetime
  }

  public var description: String { "\(address)/\(prefixLength)" }
}

/// `IFA_F_*` of `linux/if_addr.h`.
public struct AddressFlags: OptionSet, Hashable, Sendable {
  public var rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }
  public static let secondary = AddressFlags(rawValue: 0x01)
  public static let noDAD = AddressFlags(rawValue: 0x02)
  public static let optimistic = AddressFlags(rawValue: 0x04)
  public static let dadFailed = AddressFlags(rawValue: 0x08)
  public static let deprecated = AddressFlags(rawValue: 0x20)
  public static let tentative = AddressFlags(rawValue: 0x40)
  public static let permanent = AddressFlags(rawValue: 0x80)
  public static let noPrefixRoute = AddressFlags(rawValue: 0x200)
}

/// The addresses of a node.
public protocol AddressTable: AnyObject {
  /// Every interface's copy of `address`; empty when the node does not hold it.
  ///
  /// Equivalent to: `ip address show to ADDRESS`.
  func holders(of address: IPAddress) throws(SystemError) -> [InterfaceAddress]
  /// The address by which this node came into the network that `copy` is in, on its link and with its prefix length: the first
  /// one, of those that do not expire. Nil where all of them do.
  func firstAddress(inNetworkOf copy: InterfaceAddress) throws(SystemError) -> IPAddress?
  /// One copy of `address`, found without listing the node's other addresses, however many there are: on `link` and
  /// labelled `label` if they are given. Of an IPv4 copy only address, prefix, link and label are told.
  ///
  /// Nil means that there is no short way to it, not that the node does not hold it: then ask `holders`.
  func copy(of address: IPAddress, on link: Link?, label: String?) throws(SystemError) -> InterfaceAddress?
  /// Equivalent to: `ip address add … dev …`. `EEXIST` when the link holds it already.
  func add(_ address: InterfaceAddress) throws(SystemError)
  /// Equivalent to: `ip address del … dev …`. `EADDRNOTAVAIL` when the link does not hold it.
  func remove(_ address: InterfaceAddress) throws(SystemError)
  /// Sets the label of exactly this IPv6 address in the policy table of RFC 6724, or takes it away; nothing happens when it
  /// is like that already.
  ///
  /// Equivalent to: `ip addrlabel add|del prefix ADDRESS label LABEL`.
  func setPolicyLabel(_ label: UInt32?, of address: IPAddress) throws(SystemError)
  /// Resets TCP connections whose local end is `address`, not listening sockets; returns how many.
  ///
  /// Equivalent to: `ss -K src ADDRESS`. `EOPNOTSUPP` when the kernel cannot.
  func closeConnections(from address: IPAddress) throws(SystemError) -> Int
}

extension AddressTable {
  /// Whether this node holds `address`. One that is there is found without a look at the node's other addresses.
  public func holds(_ address: IPAddress) throws(SystemError) -> Bool {
    if try copy(of: address, on: nil, label: nil) != nil { return true }
    return try !holders(of: address).isEmpty
  }
}
