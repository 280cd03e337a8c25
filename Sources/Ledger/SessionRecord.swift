import Host
import RADIUS

/// The RADIUS account of a session, as the node that carries it goes on with it.
public struct SessionAccount: Hashable, Sendable {
  /// The attributes of every request about it (`HeardAccounting.constant`).
  public var constant: [UInt8]
  /// Unix time, seconds, of its Start: what Acct-Session-Time counts from.
  public var began: UInt64
  /// Seconds between two Interim-Updates; 0: none has been heard.
  public var interval: UInt32
  /// When this was last told.
  public var totals: AccountTotals

  public init(constant: [UInt8], began: UInt64, interval: UInt32 = 0, totals: AccountTotals = AccountTotals()) {
    self.constant = constant
    self.began = began
    self.interval = interval
    self.totals = totals
  }
}

/// What a node must know of one L2TP/PPP session to carry it on: constant, but for the account, from the moment its link comes up until
/// it goes.
public struct SessionRecord: Hashable, Sendable {
  /// Tunnel and session ids of this side and of the client (RFC 2661 section 3.1), host order.
  public var tunnel: UInt16
  public var session: UInt16
  public var peerTunnel: UInt16
  public var peerSession: UInt16
  /// The address the client dialled (the virtual IP), and the client's address and UDP port as the kernel's L2TP socket sees them.
  public var gateway: IPAddress
  public var peer: IPAddress
  public var peerPort: UInt16
  /// Addresses at the two ends of the PPP link.
  public var local: IPAddress
  public var remote: IPAddress
  /// Bytes.
  public var mtu: UInt16
  /// Data messages carry sequence numbers (RFC 2661 section 5.4): expected from the client, sent to it.
  public var receivesSequences: Bool
  public var sendsSequences: Bool
  /// Name that pppd authenticated, at most 253 bytes; empty if unknown.
  public var user: String
  /// Nil if nobody accounts it, or nobody has heard of that.
  public var account: SessionAccount?
  /// Unix time, seconds, when the link came up: for people only, never for intervals.
  public var since: UInt64
  /// How many nodes carried it before this one.
  public var hops: UInt8

  public init(
    tunnel: UInt16, session: UInt16, peerTunnel: UInt16, peerSession: UInt16, gateway: IPAddress, peer: IPAddress, peerPort: UInt16,
    local: IPAddress, remote: IPAddress, mtu: UInt16, receivesSequences: Bool = false, sendsSequences: Bool = false, user: String = "",
    account: SessionAccount? = nil, since: UInt64 = 0, hops: UInt8 = 0
  ) {
    self.tunnel = tunnel
    self.session = session
    self.peerTunnel = peerTunnel
    self.peerSession = peerSession
    self.gateway = gateway
    self.peer = peer
    self.peerPort = peerPort
    self.local = local
    self.remote = remote
    self.mtu = mtu
    self.receivesSequences = receivesSequences
    self.sendsSequences = sendsSequences
    self.user = user
    self.account = account
    self.since = since
    self.hops = hops
  }

  /// What the kernel makes a session of is the same.
  public func isSame(as other: SessionRecord) -> Bool {
    var (one, two) = (self, other)
    (one.account, two.account) = (nil, nil)
    return one == two
  }
}
