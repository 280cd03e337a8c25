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

/// The interfaces of a node.
public protocol LinkTable: AnyObject {
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
}
