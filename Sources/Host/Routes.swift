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

/// The ways from a node.
public protocol Routes: AnyObject {
  /// The most specific connected route to `address`, found without listing the routes, however many there are.
  ///
  /// Nil means that there is no short way to it, as when this node holds the address: then ask `connectedRoutes`.
  func connectedRoute(to address: IPAddress) throws(SystemError) -> Route?
  /// The connected routes that cover `address`, most specific first; never a default route. Those of the main table, or of
  /// the VRF that `link` is part of.
  func connectedRoutes(covering address: IPAddress, near link: Link?) throws(SystemError) -> [Route]
  /// Whether the routing tables have what arrives for `address`, which `link` holds, taken in by this node.
  ///
  /// Equivalent to: `ip route get ADDRESS oif LINK`, which says `local` then.
  func delivers(_ address: IPAddress, on link: Link) throws(SystemError) -> Bool
  /// Whether routes and rules let a packet go to `target`, from `source` or, nil, from the address that the kernel chooses.
  ///
  /// Equivalent to: `ip route get TARGET from SOURCE`.
  func hasRoute(to target: IPAddress, from source: IPAddress?) throws(SystemError) -> Bool
  /// The priority of a rule that certainly refuses what is sent from `source`, held here or not; nil where there is none. The one that
  /// `blockEgress` makes does not count.
  ///
  /// Equivalent to: `ip rule show`.
  func refusal(of source: IPAddress) throws(SystemError) -> UInt32?
  /// Forgets what was remembered about single destinations (redirects, path MTUs).
  ///
  /// Equivalent to: `ip route flush cache`.
  func flushRouteCache(isIPv6: Bool) throws(SystemError)
}

extension Routes {
  public func connectedRoutes(covering address: IPAddress) throws(SystemError) -> [Route] {
    try connectedRoutes(covering: address, near: nil)
  }
}
