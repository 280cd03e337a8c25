import CLinux
import Digests
import Host
import HostTestKit
import LinuxHost
import RADIUS
import Testing

@testable import Ledger
@testable import vpnha_ledger

/// The accounts of sessions that another node began.
@Suite(.serialized) struct AccountingTests {
  private static let secret = SharedSecret(file: Array("hunter2\n".utf8))!
  private static let constant: [UInt8] = [44, 16] + Array("656B10F003E500".utf8) + [1, 7] + Array("alice".utf8) + [8, 6, 10, 9, 0, 10]
  /// As in pppd's Interim-Update.
  private static let otherwise = Array(constant[16...] + constant[..<16])

  private static func packet(_ status: UInt8, _ more: [UInt8] = []) -> [UInt8] {
    let attributes = [40, 6, 0, 0, 0, status] + (status == 3 ? otherwise : constant) + more
    let head: [UInt8] = [4, 7, 0, UInt8(20 + attributes.count)]
    return head + md5(head + [UInt8](repeating: 0, count: 16) + attributes + "hunter2".utf8) + attributes
  }
  private static func heard(_ status: UInt8, _ more: [UInt8] = []) throws -> HeardAccounting { try #require(HeardAccounting(packet(status, more), secret: secret)) }
  private static func record(since: UInt64) throws -> SessionRecord {
    var record = try Pair.record(10)
    (record.account, record.since) = (nil, since)
    return record
  }

  @Test func whatPPPDReportsBelongsToTheSessionWithItsAddress() throws {
    let machine = InMemoryMachine()
    let learning = Learning(gateway: try #require(IPAddress("203.0.113.50")), machine.host)
    let began = UInt64(machine.clock.timestamp.seconds)
    let session = try Self.record(since: began)
    #expect(learning.accounted(session).account == nil)
    learning.hear(try Self.heard(1))
    #expect(learning.accounted(session).account == SessionAccount(constant: Self.constant, began: began))
    // Another's: of a later session, or of somebody else with the address.
    #expect(learning.accounted(try Self.record(since: began + 10)).account == nil)
    var bob = session
    bob.user = "bob"
    #expect(learning.accounted(bob).account == nil)
    // Repeated for want of an answer, then an hour of reports: how often they come is learned.
    machine.clock.advance(by: .seconds(3))
    learning.hear(try Self.heard(1))
    #expect(learning.accounted(session).account?.interval == 0)
    machine.clock.advance(by: .seconds(300))
    learning.hear(try Self.heard(3, [42, 6, 0, 0, 0, 5]))
    #expect(learning.accounted(session).account == SessionAccount(constant: Self.constant, began: began, interval: 300, totals: AccountTotals(octetsIn: 5)))
    learning.hear(try Self.heard(2))
    #expect(learning.accounted(session).account == nil)
  }

  /// A server that takes nothing, and one that takes all.
  @Test func aReportGoesToTheNextServerAndIsNotForgotten() throws {
    let machine = InMemoryMachine()
    let gateway = try #require(IPAddress("203.0.113.50"))
    let servers = try ["198.51.100.20", "198.51.100.21"].map { try #require(IPAddress($0)) }
    var asked: [(server: IPAddress, bytes: [UInt8])] = []
    var takes = false
    machine.sockets.whenConnectedOverUDP { address, port, source in
      #expect(port == 1813 && source == gateway)
      return ScriptedDatagrams(from: gateway, calls: machine.calls, clock: machine.clock) { bytes in
        asked.append((address, bytes))
        let head: [UInt8] = [5, bytes[1], 0, 20]
        return takes && address == servers[1] ? [head + md5(head + bytes[4..<20] + "hunter2".utf8)] : [[UInt8](repeating: 5, count: 20)]
      }
    }
    let reporting = Reporting(from: gateway, to: servers, port: 1813, Self.secret, machine.host)
    var record = try Self.record(since: 0)
    reporting.report(record)
    #expect(reporting.deadline == nil)
    record.account = SessionAccount(constant: Self.constant, began: UInt64(machine.clock.timestamp.seconds), totals: AccountTotals(octetsOut: 77))
    reporting.report(record, .userRequest)
    func pass(_ seconds: Int) {
      for _ in 0..<seconds {
        reporting.turn(at: machine.clock.now)
        machine.clock.advance(by: .seconds(1))
      }
      reporting.turn(at: machine.clock.now)
    }
    pass(5)
    #expect(asked.map(\.server) == [servers[0], servers[1], servers[0]])
    // The same session, and how late it is.
    let bytes = try #require(asked.last?.bytes)
    let last = try #require(HeardAccounting(bytes, secret: Self.secret))
    #expect(last.status == .stop && last.constant == Self.constant && last.totals.octetsOut == 77)
    #expect(asked.map { $0.bytes[20 + 6 + Self.constant.count + 6 + 5] } == [0, 2, 4] && Set(asked.map { $0.bytes[1] }).count == 3)
    takes = true
    pass(2)
    #expect(asked.count == 4 && reporting.deadline == nil && reporting.sockets.isEmpty && reporting.lost == 0)
    takes = false
    reporting.report(record)
    pass(60)
    // It begins with the one that has answered, and an interim is not worth more.
    #expect(asked.dropFirst(4).map(\.server) == [servers[1], servers[0], servers[1]] && reporting.lost == 1 && reporting.deadline == nil)
  }

  @Test func headersThatLieAreNoPacket() {
    let packet: [UInt8] = [0x45] + [UInt8](repeating: 0, count: 19) + [UInt8](repeating: 1, count: 8) + [9, 8]
    #expect(AccountWatch.payload(packet[...]) == [9, 8])
    for count in 0..<28 { #expect(AccountWatch.payload(packet.prefix(count)) == nil) }
    for first: UInt8 in [0x65, 0x44, 0x4f] { #expect(AccountWatch.payload(([first] + packet.dropFirst())[...]) == nil) }
  }

  /// Over the loopback interface: what leaves for the port from the address is heard once, and nothing else.
  @Test(.enabled(if: geteuid() == 0)) func theKernelShowsWhatLeaves() throws {
    let gateway = try #require(IPAddress("127.0.0.51")), other = try #require(IPAddress("127.0.0.52")), server = try #require(IPAddress("127.0.0.1"))
    let watch = try AccountWatch(from: gateway, toPort: 47_813, Self.secret)
    let sockets = LinuxSockets()
    func say(_ bytes: [UInt8], from source: IPAddress, to port: UInt16) throws { try sockets.connect(toUDP: server, port: port, from: source, on: nil).send(bytes) }
    try say(Self.packet(1), from: other, to: 47_813)
    try say(Self.packet(1), from: gateway, to: 47_814)
    try say([1, 2, 3], from: gateway, to: 47_813)
    try say(Self.packet(3), from: gateway, to: 47_813)
    #expect(try sockets.wait(for: [watch], before: LinuxClock().now + .seconds(10)) == [0])
    #expect(watch.heard() == [try Self.heard(3)])
  }
}
