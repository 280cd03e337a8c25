import Host

/// What a node must know of one L2TP/PPP session to carry it on: constant from the moment its link comes up until it goes.
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
  /// RADIUS Acct-Session-Id, at most 253 bytes; empty if nobody accounts it.
  public var accountingID: String
  /// Unix time, seconds, when the link came up: for people only, never for intervals.
  public var since: UInt64
  /// How many nodes carried it before this one.
  public var hops: UInt8

  public init(
    tunnel: UInt16, session: UInt16, peerTunnel: UInt16, peerSession: UInt16, gateway: IPAddress, peer: IPAddress, peerPort: UInt16,
    local: IPAddress, remote: IPAddress, mtu: UInt16, receivesSequences: Bool = false, sendsSequences: Bool = false, user: String = "",
    accountingID: String = "", since: UInt64 = 0, hops: UInt8 = 0
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
    self.accountingID = accountingID
    self.since = since
    self.hops = hops
  }
}
