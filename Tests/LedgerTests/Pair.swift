import Host
import RADIUS

@testable import Ledger

/// Two ends of a ledger, and a network between them that does what a test tells it.
final class Pair {
  var a: Replica
  var b: Replica
  var now = Instant(nanoseconds: 1_000_000_000)
  /// Everything that was ever sent, in order: what somebody on the link could have recorded.
  var recorded: [(toB: Bool, bytes: [UInt8])] = []
  /// What becomes of a datagram: none, one or more, in any order.
  var network: (_ toB: Bool, _ datagrams: [[UInt8]]) -> [[UInt8]] = { $1 }

  static var key: LedgerKey { get throws { try LedgerKey([UInt8](repeating: 7, count: 32)) } }

  init() throws {
    a = try Replica(key: Self.key)
    b = try Replica(key: Self.key)
  }

  /// Time passes in steps of 10 ms.
  func run(for duration: Duration) {
    let end = now + duration
    while now < end {
      exchange()
      now = now + .milliseconds(10)
    }
    exchange()
  }

  func exchange() {
    let fromA = a.due(at: now)
    let fromB = b.due(at: now)
    recorded += fromA.map { (true, $0) } + fromB.map { (false, $0) }
    for datagram in network(true, fromA) { b.receive(datagram, at: now) }
    for datagram in network(false, fromB) { a.receive(datagram, at: now) }
  }

  static func record(_ number: Int, user: String = "alice", hops: UInt8 = 0) throws -> SessionRecord {
    func address(_ text: String) throws -> IPAddress {
      guard let address = IPAddress(text) else { throw LedgerError(.malformed, "a test's address", text) }
      return address
    }
    return SessionRecord(
      tunnel: UInt16(1 + number), session: UInt16(1 + number / 2), peerTunnel: 77, peerSession: 78, gateway: try address("203.0.113.50"),
      peer: try address("198.51.100.7"), peerPort: 1701, local: try address("10.9.0.1"),
      remote: try address("10.9.\(number >> 8 & 255).\(number & 255)"), mtu: 1400, user: user, account: SessionAccount(constant: [44, 4, 0x35, 0x46], began: 0x65, interval: 60, totals: AccountTotals(octetsIn: 1, octetsOut: 2, packetsIn: 3, packetsOut: 4)), since: 1_700_000_000,
      hops: hops)
  }
}
