import Host

/// A client's PPP session over L2TP, as far as it has got: one that is still negotiating has no address, perhaps no user.
public struct Session: Hashable, Sendable {
  /// Its pppd.
  public var pid: Int32
  /// As the client named itself, once it was believed. Anything may be in it.
  public var user: String?
  /// What the client was given.
  public var inner: IPAddress?
  /// Where the client's packets come from.
  public var outer: IPAddress?
  /// Bytes from the client and to it, as its interface counts them; nil without an interface.
  public var received: UInt64?
  public var sent: UInt64?
  /// When its pppd was started, which is when its call was taken.
  public var since: Timestamp
  public var interface: String?
  /// The kernel's tunnel and session; nil where the daemon carries the packets itself.
  public var kernel: L2TPSocket?
  /// Whether the daemon that took the call is gone.
  public var isOrphan = false
}
