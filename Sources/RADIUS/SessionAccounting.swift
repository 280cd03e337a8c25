import Digests
import Host

/// What a session's account says of it at a moment (RFC 2866 §5): bytes and packets from its client and to it.
public struct AccountTotals: Hashable, Sendable {
  public var octetsIn: UInt64
  public var octetsOut: UInt64
  public var packetsIn: UInt64
  public var packetsOut: UInt64

  public init(octetsIn: UInt64 = 0, octetsOut: UInt64 = 0, packetsIn: UInt64 = 0, packetsOut: UInt64 = 0) {
    (self.octetsIn, self.octetsOut, self.packetsIn, self.packetsOut) = (octetsIn, octetsOut, packetsIn, packetsOut)
  }

  public static func + (a: AccountTotals, b: AccountTotals) -> AccountTotals {
    AccountTotals(
      octetsIn: a.octetsIn &+ b.octetsIn, octetsOut: a.octetsOut &+ b.octetsOut, packetsIn: a.packetsIn &+ b.packetsIn, packetsOut: a.packetsOut &+ b.packetsOut)
  }
}

/// An Accounting-Request about a session that another program of this node has sent, and was heard.
public struct HeardAccounting: Equatable, Sendable {
  public enum Status: UInt32, Sendable { case start = 1, stop = 2, interim = 3 }

  public var status: Status
  /// Acct-Session-Id.
  public var id: [UInt8]
  /// What the client was given (Framed-IP-Address).
  public var client: IPAddress
  /// Who it is (User-Name).
  public var user: String
  /// The attributes that every request about this session repeats, as they stand in a packet: who and where it is, its
  /// Acct-Session-Id, and whatever else, but not what changes from one to the next.
  public var constant: [UInt8]
  /// Seconds that the session has lasted; 0 in a Start.
  public var time: UInt32
  public var totals: AccountTotals

  /// Bytes of attributes at most that are kept of a session.
  public static let limit = 512

  /// Nil when it is no such request, has no Acct-Session-Id or Framed-IP-Address, has too many attributes, or was made by somebody who
  /// does not know the secret.
  public init?(_ datagram: [UInt8], secret: SharedSecret) {
    guard datagram.count >= 20, datagram[0] == AccountingPacket.Code.request else { return nil }
    let length = Int(datagram[2]) << 8 | Int(datagram[3])
    guard Answer.sizes.contains(length), length <= datagram.count else { return nil }
    let packet = Array(datagram.prefix(length))
    guard md5(packet[..<4] + [UInt8](repeating: 0, count: 16) + packet[20...] + secret.bytes) == Array(packet[4..<20]),
      let attributes = Answer.attributes(of: packet)
    else { return nil }
    func number(_ kind: AccountingPacket.Kind) -> UInt32? {
      attributes.first { $0.type == kind.rawValue && $0.value.count == 4 }.map { packet[$0.value].reduce(0) { $0 << 8 | UInt32($1) } }
    }
    func whole(_ low: AccountingPacket.Kind, _ high: AccountingPacket.Kind) -> UInt64 { UInt64(number(high) ?? 0) << 32 | UInt64(number(low) ?? 0) }
    guard let status = number(.statusType).flatMap(Status.init), let address = attributes.first(where: { $0.type == AccountingPacket.Kind.framedIPAddress.rawValue }),
      let client = IPAddress(bytes: Array(packet[address.value])), let session = attributes.first(where: { $0.type == AccountingPacket.Kind.session.rawValue })
    else { return nil }
    id = Array(packet[session.value])
    self.status = status
    self.client = client
    user = attributes.first { $0.type == AccountingPacket.Kind.userName.rawValue }.map { String(decoding: packet[$0.value], as: UTF8.self) } ?? ""
    constant = attributes.filter { !Self.changing.contains($0.type) }.flatMap { Array(packet[($0.value.lowerBound - 2)..<$0.value.upperBound]) }
    guard constant.count <= Self.limit else { return nil }
    time = number(.time) ?? 0
    totals = AccountTotals(
      octetsIn: whole(.octetsIn, .gigawordsIn), octetsOut: whole(.octetsOut, .gigawordsOut), packetsIn: UInt64(number(.packetsIn) ?? 0),
      packetsOut: UInt64(number(.packetsOut) ?? 0))
  }

  private static let changing = Set(
    [
      .statusType, .delay, .octetsIn, .octetsOut, .time, .packetsIn, .packetsOut, .terminateCause, .gigawordsIn, .gigawordsOut, .eventTime, .proxyState,
      .messageAuthenticator,
    ].map { (kind: AccountingPacket.Kind) in kind.rawValue })
}

/// An Interim-Update or a Stop for a session that another node began: with the attributes of its own, and totals that go on.
public struct SessionAccounting: Sendable {
  /// Why a session is over (RFC 2866 §5.10).
  public enum Cause: UInt32, Sendable { case userRequest = 1, lostCarrier = 2, lostService = 3, adminReset = 6, nasError = 9 }

  private let packet: AccountingPacket
  private let secret: SharedSecret

  /// - Parameters:
  ///   - constant: what `HeardAccounting` has of the session.
  ///   - time: seconds that it has lasted.
  ///   - delay: seconds since that was so (Acct-Delay-Time).
  ///   - cause: nil while it lasts.
  public init(identifier: UInt8, constant: [UInt8], totals: AccountTotals, time: UInt32, delay: UInt32, cause: Cause?, secret: SharedSecret) {
    var attributes = AccountingPacket.attribute(.statusType, cause == nil ? HeardAccounting.Status.interim.rawValue : HeardAccounting.Status.stop.rawValue)
    attributes += constant
    attributes += AccountingPacket.attribute(.time, time) + AccountingPacket.attribute(.delay, delay)
    for (low, high, octets) in [(AccountingPacket.Kind.octetsIn, AccountingPacket.Kind.gigawordsIn, totals.octetsIn), (.octetsOut, .gigawordsOut, totals.octetsOut)] {
      attributes += AccountingPacket.attribute(low, UInt32(truncatingIfNeeded: octets))
      // pppd leaves it out, and a server that has had one expects it.
      if octets >> 32 > 0 { attributes += AccountingPacket.attribute(high, UInt32(truncatingIfNeeded: octets >> 32)) }
    }
    attributes += AccountingPacket.attribute(.packetsIn, UInt32(truncatingIfNeeded: totals.packetsIn))
    attributes += AccountingPacket.attribute(.packetsOut, UInt32(truncatingIfNeeded: totals.packetsOut))
    if let cause { attributes += AccountingPacket.attribute(.terminateCause, cause.rawValue) }
    packet = AccountingPacket(identifier: identifier, attributes: attributes, secret: secret)
    self.secret = secret
  }

  /// The packet as it goes into a datagram.
  public var bytes: [UInt8] { packet.bytes }

  /// Whether `datagram` is the server's Accounting-Response.
  public func isAnswered(by datagram: [UInt8]) -> Bool { packet.isAnswered(by: datagram, secret) }
}
