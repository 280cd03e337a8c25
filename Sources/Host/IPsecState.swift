/// An ESP SA of the kernel, on the side that sends.
public struct OutboundAssociation: Hashable, Sendable {
  /// Host byte order.
  public var spi: UInt32
  /// Whole seconds since it was installed on this node by this node's clock, at most what it may live.
  public var age: UInt64
  /// Of the last packet sent; more than 32 bits where the SA has extended sequence numbers.
  public var sequence: UInt64
  /// Where it ends; nil where nobody asked.
  public var destination: IPAddress?

  public init(spi: UInt32, age: UInt64, sequence: UInt64, destination: IPAddress? = nil) {
    self.destination = destination
    self.spi = spi
    self.age = age
    self.sequence = sequence
  }
}

/// What the kernel encrypts with, and what may leave from an address.
public protocol IPsecState: AnyObject {
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
  func blockEgress(from address: IPAddress) throws(SystemError)
  /// Ends `blockEgress`; nothing happens where it was not.
  func unblockEgress(from address: IPAddress) throws(SystemError)
  /// Every address that `blockEgress` holds back.
  func blockedEgress() throws(SystemError) -> [IPAddress]
}
