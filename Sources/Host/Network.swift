/// A network interface as the kernel lists it (rtnetlink `RTM_NEWLINK`).
public struct Link: Hashable, Sendable {
  public var index: Int32
  public var name: String
  /// Other names of the same interface (`ip link property add … altname`).
  public var alternativeNames: [String]
  /// 6 bytes on Ethernet; empty where the link has none.
  public var hardwareAddress: [UInt8]
  public var isUp: Bool
  /// Carrier: `IFF_LOWER_UP`.
  public var hasCarrier: Bool
  public var isLoopback: Bool
  /// RFC 2863 operational state, as in `linux/if.h` (`IF_OPER_*`): 0 unknown, 2 down, 3 lower layer down, 5 dormant, 6 up.
  public var operationalState: UInt8
  public var mtu: Int
  /// `ppp`, `vlan`, `bond` …, empty for a physical link.
  public var kind: String
  /// `ARPHRD_*` of `linux/if_arp.h`: 1 Ethernet, 32 InfiniBand, 512 PPP, 772 loopback.
  public var hardwareType: UInt16 = 1
  /// Where a frame for everybody goes.
  public var broadcastHardwareAddress: [UInt8] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff]
  /// Not `IFF_NOARP`.
  public var answersARP = true
  /// The link under a VLAN or macvlan, if it is in this network namespace (`IFLA_LINK`).
  public var lower: Int32?
  /// Whether the link under it is in another network namespace (the other end of a veth pair, say).
  public var lowerIsElsewhere = false
  /// The bond, bridge or VRF this link is part of.
  public var master: Int32?
  /// The routing table of a VRF.
  public var routingTable: UInt32?
  /// Its own `promote_secondaries`: when an IPv4 address goes, the later ones of its network stay.
  public var promotesSecondaries = true
  /// Its own `disable_ipv6`.
  public var disablesIPv6 = false

  public init(
    index: Int32, name: String, alternativeNames: [String] = [], hardwareAddress: [UInt8] = [], isUp: Bool = true,
    hasCarrier: Bool = true, isLoopback: Bool = false, operationalState: UInt8 = 6, mtu: Int = 1500, kind: String = ""
  ) {
    self.index = index
    self.name = name
    self.alternativeNames = alternativeNames
    self.hardwareAddress = hardwareAddress
    self.isUp = isUp
    self.hasCarrier = hasCarrier
    self.isLoopback = isLoopback
    self.operationalState = operationalState
    self.mtu = mtu
    self.kind = kind
  }
}

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

/// A route's answer: which interface reaches an address, and with which prefix (rtnetlink `RTM_NEWROUTE`).
public struct Route: Hashable, Sendable {
  public var link: Int32
  public var prefixLength: Int
  /// The source address the kernel prefers on it, if one is set.
  public var source: IPAddress?
  /// `RTPROT_*`.
  public var protocolNumber: UInt8
  public var isGateway: Bool
  /// Lower wins.
  public var metric: UInt32 = 0

  public init(link: Int32, prefixLength: Int, source: IPAddress? = nil, protocolNumber: UInt8 = 2, isGateway: Bool = false) {
    self.link = link
    self.prefixLength = prefixLength
    self.source = source
    self.protocolNumber = protocolNumber
    self.isGateway = isGateway
  }
}

/// How an address is announced to the neighbours.
public struct Announcement: Hashable, Sendable {
  public var address: IPAddress
  public var link: Int32
  /// How many frames, the first at once.
  public var count: Int
  public var interval: Duration
  /// IPv4: gratuitous ARP as a reply (RFC 5227 §3) in place of a request.
  public var asReply: Bool
  /// Neighbours told by unicast as well.
  public var targets: [IPAddress]

  public init(
    _ address: IPAddress, link: Int32, count: Int, interval: Duration = .milliseconds(200), asReply: Bool = false,
    targets: [IPAddress] = []
  ) {
    self.address = address
    self.link = link
    self.count = count
    self.interval = interval
    self.asReply = asReply
    self.targets = targets
  }
}

/// A PPP interface and what went through it.
public struct PPPLink: Hashable, Sendable {
  public var index: Int32
  public var name: String
  /// The other end's IPv4 address; nil until one was agreed upon.
  public var peer: IPAddress?
  /// Bytes that came in and went out (`struct rtnl_link_stats64`).
  public var received: UInt64
  public var sent: UInt64

  public init(index: Int32, name: String, peer: IPAddress? = nil, received: UInt64 = 0, sent: UInt64 = 0) {
    self.index = index
    self.name = name
    self.peer = peer
    self.received = received
    self.sent = sent
  }
}

/// An ESP SA of the kernel, on the side that sends.
public struct OutboundAssociation: Hashable, Sendable {
  /// Host byte order.
  public var spi: UInt32
  /// Whole seconds since it was installed on this node by this node's clock, at most what it may live.
  public var age: UInt64
  /// Of the last packet sent; more than 32 bits where the SA has extended sequence numbers.
  public var sequence: UInt64

  public init(spi: UInt32, age: UInt64, sequence: UInt64) {
    self.spi = spi
    self.age = age
    self.sequence = sequence
  }
}

/// The kernel's network configuration.
public protocol Network: AnyObject {
  /// The same in the network namespace of this name (`/run/netns/NAME`); `ENOENT` when there is none.
  ///
  /// Equivalent to: `ip netns exec NAME …`.
  func inside(namespace name: String) throws(SystemError) -> any Network
  /// The link with this name or alternative name, nil when there is none.
  func link(named name: String) throws(SystemError) -> Link?
  func link(at index: Int32) throws(SystemError) -> Link?
  /// All links.
  func links() throws(SystemError) -> [Link]
  /// The PPP interfaces (by their hardware type, whatever they are called).
  ///
  /// Equivalent to: `ip -s link show type ppp` and `ip -4 address show`.
  func pppLinks() throws(SystemError) -> [PPPLink]
  /// Equivalent to: `ip link set … up`. Carrier may take a few seconds longer.
  func bringUp(_ link: Link) throws(SystemError)
  /// Equivalent to: `sysctl net.ipv4.conf.LINK.promote_secondaries=0|1`.
  func promoteSecondaries(_ isOn: Bool, on link: Link) throws(SystemError)
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
  /// The most specific connected route to `address`, found without listing the routes, however many there are.
  ///
  /// Nil means that there is no short way to it, as when this node holds the address: then ask `connectedRoutes`.
  func connectedRoute(to address: IPAddress) throws(SystemError) -> Route?
  /// The connected routes that cover `address`, most specific first; never a default route. Those of the main table, or of
  /// the VRF that `link` is part of.
  func connectedRoutes(covering address: IPAddress, near link: Link?) throws(SystemError) -> [Route]
  /// Sets the label of exactly this IPv6 address in the policy table of RFC 6724, or takes it away; nothing happens when it
  /// is like that already.
  ///
  /// Equivalent to: `ip addrlabel add|del prefix ADDRESS label LABEL`.
  func setPolicyLabel(_ label: UInt32?, of address: IPAddress) throws(SystemError)
  /// Forgets what was remembered about single destinations (redirects, path MTUs).
  ///
  /// Equivalent to: `ip route flush cache`.
  func flushRouteCache(isIPv6: Bool) throws(SystemError)
  /// Resets TCP connections whose local end is `address`, not listening sockets; returns how many.
  ///
  /// Equivalent to: `ss -K src ADDRESS`. `EOPNOTSUPP` when the kernel cannot.
  func closeConnections(from address: IPAddress) throws(SystemError) -> Int
  /// Sends the first frame of `announcement` before it returns and the rest from a detached sender that is ours by
  /// identity and does not keep the action waiting.
  func announce(_ announcement: Announcement) throws(SystemError)
  /// Asks the neighbours on `link` whether one of them uses `address`, without claiming it (ARP probe, RFC 5227 §2.1;
  /// neighbour solicitation from the unspecified address, RFC 4862 §5.4), and returns the hardware address of the first
  /// that does; nil when nobody has answered by `deadline`.
  func rival(for address: IPAddress, on link: Link, before deadline: Instant) throws(SystemError) -> [UInt8]?
  /// Ends a burst for `address` that an earlier call left running.
  func silence(_ address: IPAddress) throws(SystemError)
  /// Removes IPsec SAs and policies whose endpoint is `address` and nothing else; returns how many went.
  ///
  /// Equivalent to: `ip xfrm state/policy deleteall` restricted to one endpoint.
  func removeIPsecState(endpoint address: IPAddress) throws(SystemError) -> Int
  /// The ESP SAs that leave from `address`.
  func outboundAssociations(from address: IPAddress) throws(SystemError) -> [OutboundAssociation]
  /// Has each of them go on behind the number that `first` gives it, where it has not come that far. One that has is left
  /// alone: a peer drops what comes with a number it has seen.
  ///
  /// - Returns: how many were raised.
  func raiseSequences(from address: IPAddress, to first: (OutboundAssociation) -> UInt32) throws(SystemError) -> Int
  /// Has nothing leave this node from `address`, whoever sends it and through whatever IPsec SA, but what goes to the node itself
  /// and what asks no routing table (ARP, packet sockets). Nothing happens when it is like that already.
  ///
  /// Equivalent to: `ip rule add from ADDRESS unreachable`, marked as ours. A socket that names no source and is given
  /// `address` by a route's preferred source is not held back.
  func hush(_ address: IPAddress) throws(SystemError)
  /// Ends `hush`; nothing happens where it was not.
  func unhush(_ address: IPAddress) throws(SystemError)
  /// Every address that `hush` holds back.
  func hushed() throws(SystemError) -> [IPAddress]
  /// SAs and policies whose endpoint is `address`.
  func ipsecState(endpoint address: IPAddress) throws(SystemError) -> Int
}

extension Network {
  /// Whether this node holds `address`. One that is there is found without a look at the node's other addresses.
  public func holds(_ address: IPAddress) throws(SystemError) -> Bool {
    if try copy(of: address, on: nil, label: nil) != nil { return true }
    return try !holders(of: address).isEmpty
  }
  public func connectedRoutes(covering address: IPAddress) throws(SystemError) -> [Route] {
    try connectedRoutes(covering: address, near: nil)
  }
}
