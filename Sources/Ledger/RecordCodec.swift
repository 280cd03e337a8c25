import Host
import RADIUS

/// What names a session on the node that carries it: no two have the same pair of ids.
public struct SessionKey: Hashable, Comparable, Sendable {
  public var tunnel: UInt16
  public var session: UInt16

  public init(tunnel: UInt16, session: UInt16) {
    self.tunnel = tunnel
    self.session = session
  }

  public static func < (a: SessionKey, b: SessionKey) -> Bool { (a.tunnel, a.session) < (b.tunnel, b.session) }
}

extension SessionRecord {
  public var key: SessionKey { SessionKey(tunnel: tunnel, session: session) }

  /// Bytes of a name at most.
  public static let nameLimit = 253
  /// Bytes of an encoded record at most: 22 of fixed fields, four addresses and a name with a length before each, and the account.
  static let sizeLimit = 22 + 4 * 17 + 1 + nameLimit + 2 + HeardAccounting.limit + 44

  /// The record in network byte order. A name of more than 253 bytes is cut between two characters.
  ///
  /// | bytes | |
  /// | --- | --- |
  /// | 2 each | tunnel, session, peer's tunnel, peer's session, peer's port, MTU |
  /// | 1 | bit 0: sequence numbers are expected, bit 1: they are sent; others 0 |
  /// | 1 | hops |
  /// | 8 | since |
  /// | 1 + 4 or 16 each | gateway, peer, local, remote, with their length |
  /// | 1 + n | user, with its length |
  /// | 2 + n | attributes of its account, with their length; 0 without an account |
  /// | 8, 4, 4 × 8 | with an account: its beginning, its interval, octets in and out, packets in and out |
  public func encoded() -> [UInt8] {
    var writer = ByteWriter()
    for number in [tunnel, session, peerTunnel, peerSession, peerPort, mtu] { writer.put(number) }
    writer.put(UInt8((receivesSequences ? 1 : 0) | (sendsSequences ? 2 : 0)))
    writer.put(hops)
    writer.put(since)
    for address in [gateway, peer, local, remote] { writer.put(counted: address.bytes) }
    writer.put(counted: Self.cut(user))
    guard let account, account.constant.count <= HeardAccounting.limit else {
      writer.put(UInt16(0))
      return writer.bytes
    }
    writer.put(UInt16(account.constant.count))
    writer.bytes += account.constant
    writer.put(account.began)
    writer.put(account.interval)
    for number in [account.totals.octetsIn, account.totals.octetsOut, account.totals.packetsIn, account.totals.packetsOut] { writer.put(number) }
    return writer.bytes
  }

  private static func cut(_ name: String) -> [UInt8] {
    var name = name[...]
    while name.utf8.count > nameLimit { name.removeLast() }
    return Array(name.utf8)
  }

  /// Throws `malformed` unless the bytes are exactly one record that can be meant: ids that are not 0, addresses of one family
  /// outside and of one family inside.
  public init(decoding bytes: [UInt8]) throws(LedgerError) {
    var reader = ByteReader(bytes[...])
    self = try reader.record()
    guard reader.isAtEnd else { throw ByteReader.malformed("bytes behind a record") }
  }
}

extension ByteReader {
  mutating func record() throws(LedgerError) -> SessionRecord {
    let (tunnel, session, peerTunnel, peerSession) = (try uint16(), try uint16(), try uint16(), try uint16())
    let (port, mtu, flags, hops, since) = (try uint16(), try uint16(), try uint8(), try uint8(), try uint64())
    let (gateway, peer, local, remote) = (try address(), try address(), try address(), try address())
    let (user, account) = (try name(), try account())
    guard tunnel != 0, session != 0, peerTunnel != 0, peerSession != 0 else { throw Self.malformed("a session without its ids") }
    guard port != 0, mtu >= 68 else { throw Self.malformed("port \(port), MTU \(mtu)") }
    guard flags <= 3 else { throw Self.malformed("unknown flags") }
    guard gateway.isIPv6 == peer.isIPv6, local.isIPv6 == remote.isIPv6 else { throw Self.malformed("addresses of two families") }
    return SessionRecord(
      tunnel: tunnel, session: session, peerTunnel: peerTunnel, peerSession: peerSession, gateway: gateway, peer: peer, peerPort: port,
      local: local, remote: remote, mtu: mtu, receivesSequences: flags & 1 != 0, sendsSequences: flags & 2 != 0, user: user,
      account: account, since: since, hops: hops)
  }

  private mutating func address() throws(LedgerError) -> IPAddress {
    guard let address = IPAddress(bytes: try counted()) else { throw Self.malformed("an address of neither family") }
    return address
  }

  private mutating func account() throws(LedgerError) -> SessionAccount? {
    let count = Int(try uint16())
    guard count > 0 else { return nil }
    guard count <= HeardAccounting.limit else { throw Self.malformed("an account of more than \(HeardAccounting.limit) bytes") }
    let (constant, began, interval) = (try take(count), try uint64(), try uint32())
    let totals = AccountTotals(octetsIn: try uint64(), octetsOut: try uint64(), packetsIn: try uint64(), packetsOut: try uint64())
    return SessionAccount(constant: constant, began: began, interval: interval, totals: totals)
  }

  private mutating func name() throws(LedgerError) -> String {
    let bytes = try counted()
    guard bytes.count <= SessionRecord.nameLimit, let text = String(validating: bytes, as: UTF8.self) else {
      throw Self.malformed("a name that is no text of up to \(SessionRecord.nameLimit) bytes")
    }
    return text
  }
}

/// Numbers in network byte order, one behind the other.
struct ByteWriter {
  var bytes: [UInt8] = []

  mutating func put<Number: FixedWidthInteger & UnsignedInteger>(_ number: Number) {
    for shift in stride(from: Number.bitWidth - 8, through: 0, by: -8) { bytes.append(UInt8(truncatingIfNeeded: number >> Number(shift))) }
  }

  /// At most 255 bytes, their count before them.
  mutating func put(counted part: [UInt8]) {
    bytes.append(UInt8(part.count))
    bytes += part
  }
}

/// Reads what `ByteWriter` has written, and never behind the end.
struct ByteReader {
  private var rest: ArraySlice<UInt8>
  init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

  var isAtEnd: Bool { rest.isEmpty }
  var remaining: ArraySlice<UInt8> { rest }

  static func malformed(_ detail: String) -> LedgerError { LedgerError(.malformed, "reading a session", detail) }

  mutating func take(_ count: Int) throws(LedgerError) -> [UInt8] {
    guard rest.count >= count else { throw Self.malformed("it ends too early") }
    defer { rest = rest.dropFirst(count) }
    return Array(rest.prefix(count))
  }

  mutating func counted() throws(LedgerError) -> [UInt8] { try take(Int(try uint8())) }
  mutating func uint8() throws(LedgerError) -> UInt8 { try take(1)[0] }
  mutating func uint16() throws(LedgerError) -> UInt16 { UInt16(truncatingIfNeeded: try number(2)) }
  mutating func uint32() throws(LedgerError) -> UInt32 { UInt32(truncatingIfNeeded: try number(4)) }
  mutating func uint64() throws(LedgerError) -> UInt64 { try number(8) }

  private mutating func number(_ count: Int) throws(LedgerError) -> UInt64 {
    try take(count).reduce(0) { $0 << 8 | UInt64($1) }
  }
}
