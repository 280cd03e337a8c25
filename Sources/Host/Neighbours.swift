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

/// The hosts on the same link.
public protocol Neighbours: AnyObject {
  /// Sends the first frame of `announcement` before it returns and the rest from a detached sender that is ours by
  /// identity and does not keep the action waiting.
  func announce(_ announcement: Announcement) throws(SystemError)
  /// Asks the neighbours on `link` whether one of them uses `address`, without claiming it (ARP probe, RFC 5227 §2.1;
  /// neighbour solicitation from the unspecified address, RFC 4862 §5.4), and returns the hardware address of the first
  /// that does; nil when nobody has answered by `deadline`.
  func conflictingHost(for address: IPAddress, on link: Link, before deadline: Instant) throws(SystemError) -> [UInt8]?
  /// Ends a burst for `address` that an earlier call left running.
  func stopAnnouncing(_ address: IPAddress) throws(SystemError)
}
