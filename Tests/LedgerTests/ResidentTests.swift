import Host
import HostTestKit
import LinuxHost
import RADIUS
import Testing

@testable import Adoption
@testable import Ledger
@testable import vpnha_ledger

@Suite struct ResidentTests {
  private static let good = [
    "--instance", "sessions", "--address", "203.0.113.50", "--key-file", "/etc/vpnha/sessions.key", "--peer", "10.0.0.2", "--source", "10.0.0.1", "--port", "4511",
    "--strongswan", "strongswan",
  ]

  @Test func theCommandLineIsWholeOrRefused() throws {
    let options = try #require(Options(Self.good))
    #expect(options.instance == "sessions" && options.address == IPAddress("203.0.113.50") && options.port == 4511)
    for index in stride(from: 0, to: Self.good.count, by: 2) {
      var missing = Self.good
      missing.removeSubrange(index..<index + 2)
      #expect(Options(missing) == nil)
      var twice = Self.good
      twice[index] = Self.good[(index + 2) % Self.good.count]
      #expect(Options(twice) == nil)
      var cut = Self.good
      cut.remove(at: index + 1)
      #expect(Options(cut) == nil)
    }
    for (index, value) in [(1, "../x"), (1, ""), (3, "2001:db8::1"), (3, "x"), (7, "10.0.0"), (9, "fe80::1"), (11, "0"), (11, "65536"), (13, "")] {
      var wrong = Self.good
      wrong[index] = value
      #expect(Options(wrong) == nil, "\(value)")
    }
  }

  @Test func theServersOfAccountsComeTogetherOrNotAtAll() throws {
    let radius = ["--radius", "198.51.100.20,2001:db8::20", "--radius-port", "1813", "--radius-secret-file", "/etc/vpnha/radius.secret"]
    let options = try #require(Options(Self.good + radius))
    #expect(options.radius?.servers.map(\.description) == ["198.51.100.20", "2001:db8::20"] && options.radius?.port == 1813)
    #expect(Options(Self.good)?.radius == nil && Options(Self.good + radius.prefix(4)) == nil)
    for (index, value) in [(1, "x"), (1, ""), (1, "198.51.100.20,,x"), (3, "0"), (3, "65536"), (4, "--radius-file")] {
      var wrong = radius
      wrong[index] = value
      #expect(Options(Self.good + wrong) == nil, "\(value)")
    }
  }

  private func resident() throws -> SessionResident {
    let host = Host.refusing
    var quiet = host
    quiet.clock = ManualClock()
    quiet.files = InMemoryFiles()
    quiet.network = InMemoryNetwork([], calls: Calls(), clock: ManualClock())
    return SessionResident(try #require(Options(Self.good)), try Replica(key: Pair.key), quiet, kernel: nil)
  }

  @Test func theAgentIsAnsweredByRole() throws {
    let resident = try resident()
    #expect(
      resident.answer("status") == [
        "ok", "version 1", "role standby", "own 0", "adopted 0", "told 0", "lost 0", "ready 0", "up 0", "lag 0", "link never", "unacknowledged 0", "silence -", "held 0", "peer-carries -",
        "peer-ready 0", "peer-full 0", "refused 0",
      ])
    #expect(resident.answer("list") == ["ok"])
    #expect(resident.answer("promote") == ["ok"] && resident.answer("promote") == ["ok"])
    #expect(resident.answer("status").contains("role promoted"))
    #expect(resident.answer("demote") == ["ok"] && resident.answer("demote") == ["ok"])
    #expect(resident.answer("status").contains("role standby"))
    for command in ["", "status ", "PROMOTE", "promote now", "yield 203.0.113.51", "carry", "farewell"] { #expect(resident.answer(command) == ["error unknown command"]) }
  }

  /// Role and address come in any order; what is carried follows the address.
  @Test func itServesWhereTheAddressIs() throws {
    let machine = InMemoryMachine(links: [Link(index: 2, name: "eth0")])
    let resident = SessionResident(try #require(Options(Self.good)), try Replica(key: Pair.key), machine.host, kernel: nil)
    func yields() -> String { resident.answer("yield 203.0.113.50")[0] }
    #expect(resident.answer("promote") == ["ok"])
    #expect(yields() == "error this node does not serve")
    machine.network.hold(InterfaceAddress(IPAddress("203.0.113.50")!, prefixLength: 24, link: 2))
    #expect(resident.answer("promote") == ["ok"])
    // Nobody's session is here that somebody would have to take.
    #expect(yields() == "ok")
    // The role goes before the address does.
    #expect(resident.answer("demote") == ["ok"] && resident.answer("status").contains("role standby"))
    #expect(yields() == "ok")
    machine.network.addresses = []
    #expect(resident.answer("demote") == ["ok"])
    #expect(yields() == "error this node does not serve")
    #expect(resident.answer("accounts 203.0.113.50") == ["error no account goes on here"])
  }

  @Test func anAddressThatNoVipHasTakenIsNoReasonToSpeak() throws {
    let machine = InMemoryMachine(links: [Link(index: 2, name: "eth0")])
    let resident = SessionResident(try #require(Options(Self.good)), try Replica(key: Pair.key), machine.host, kernel: nil)
    #expect(!resident.isTaken)
    for (name, text, isTaken) in [
      ("vpnha-vip-vip.standby", "203.0.113.50 - 1\n", false), ("vpnha-vip-other.held", "203.0.113.5 24@2 1\n", false), ("vpnha-vip-odd.held", "", false),
      ("vpnha-xl2tpd-x.held", "203.0.113.50 24@2 1\n", false), ("vpnha-vip-vip.held", "203.0.113.50 24@2 1\n", true),
    ] {
      try machine.files.replace("/run/resource-agents/\(name)", with: Array(text.utf8), mode: 0o600)
      #expect(resident.isTaken == isTaken, "\(name)")
    }
  }

  /// Of each client the youngest SA counts: its older ones came over when the sync still worked.
  @Test func clientsWhoseAssociationsThePeerLacksAreCounted() throws {
    let alice = try #require(IPAddress("192.0.2.1")), bob = try #require(IPAddress("192.0.2.2"))
    func association(_ spi: UInt32, _ age: UInt64, _ client: IPAddress) -> OutboundAssociation { .init(spi: spi, age: age, sequence: 0, destination: client) }
    let here = [association(1, 90, alice), association(2, 40, alice), association(3, 90, bob), association(4, 90, bob)]
    func missing(_ spis: [UInt32], _ associations: [OutboundAssociation]) -> Int {
      SessionResident.unsynchronised(associations, of: [alice, bob], on: AssociationFilter(spis))
    }
    #expect(missing([2, 3, 4], here) == 0 && missing([1, 3, 4], here) == 1 && missing([2, 3], here) == 1 && missing([], here) == 2)
    // One of a moment ago is on its way; somebody else's is nobody's session.
    #expect(missing([2, 3, 4], here + [association(5, 1, alice), association(6, 60, try #require(IPAddress("192.0.2.3")))]) == 0)
    #expect(missing([2, 3, 4], here + [association(5, 2, alice)]) == 1)
  }

  @Test func aFilterKnowsItsAssociationsAndFewOthers() throws {
    let held = (0..<900).map { UInt32($0) &* 2_654_435_761 }
    let filter = AssociationFilter(held)
    #expect(held.allSatisfy(filter.mayContain) && (1..<10_000).count { filter.mayContain(0xc000_0000 + UInt32($0)) } < 500)
    #expect(!AssociationFilter().mayContain(7) && AssociationFilter(bytes: [1, 2]) == nil)
    for filter in [filter, AssociationFilter()] {
      let report = Report(stream: 1, sequence: 2, isFull: false, carries: nil, ready: 3, associations: filter)
      #expect(try Report(decoding: report.bytes) == report)
      #expect(throws: LedgerError.self) { try Report(decoding: Array(report.bytes.dropLast())) }
    }
  }

  /// As pppd calls it (pppd(8)); how long a session lasted is known at its end.
  @Test func scriptsOfALinkAreCalledAsPPPDDoes() throws {
    let machine = InMemoryMachine()
    let record = SessionRecord(
      tunnel: 3, session: 4, peerTunnel: 5, peerSession: 6, gateway: IPAddress("203.0.113.50")!, peer: IPAddress("192.0.2.9")!, peerPort: 1701,
      local: IPAddress("10.9.0.1")!, remote: IPAddress("10.9.0.10")!, mtu: 1400, receivesSequences: false, sendsSequences: false, user: "alice", since: 1000)
    var scripts = LinkScripts()
    let events = [true, false].map { Adoption.LinkEvent(record: record, interface: "ppp7", isUp: $0) }
    scripts.add(events)
    // Without a script nothing is run.
    scripts.runNext(on: machine.host)
    #expect(machine.processes.launched.isEmpty && !scripts.isIdle)
    let down = LinkScripts.command("/etc/ppp/ip-down", events[1], now: 1600)
    #expect(down.path == "/usr/bin/setsid" && down.arguments == ["-f", "/etc/ppp/ip-down", "ppp7", "", "0", "10.9.0.1", "10.9.0.10", "192.0.2.9"])
    #expect(down.environment["CONNECT_TIME"] == "600" && down.environment["PEERNAME"] == "alice" && down.environment["IFNAME"] == "ppp7")
    #expect(LinkScripts.command("/etc/ppp/ip-up", events[0], now: 1600).environment["CONNECT_TIME"] == nil)
  }

  /// What strongswan leaves to it: nothing leaves from an address that has gone.
  @Test func anAddressThatLeavesAfterAHandOverIsSilenced() throws {
    let machine = InMemoryMachine(links: [Link(index: 2, name: "eth0")])
    let resident = SessionResident(try #require(Options(Self.good)), try Replica(key: Pair.key), machine.host, kernel: NoSessionKernel())
    let here = InterfaceAddress(IPAddress("203.0.113.50")!, prefixLength: 24, link: 2)
    machine.network.hold(here)
    for isToSilence in [false, true] {
      #expect(resident.answer("promote") == ["ok"])
      #expect(resident.answer("hold 203.0.113.50") == ["error the address is not about to leave"])
      #expect(resident.answer("yield 203.0.113.50") == ["ok", "sessions 0"] && resident.answer("carry 203.0.113.50") == ["ok"])
      if isToSilence { #expect(resident.answer("hold 203.0.113.50") == ["ok"]) }
      machine.network.addresses = []
      #expect(resident.answer("demote") == ["ok"])
      #expect(machine.network.quiet == (isToSilence ? [here.address] : []))
      #expect(resident.answer("hold 203.0.113.50") == ["error the address is not about to leave"])
      machine.network.hold(here)
    }
  }
}

/// Makes nothing.
private final class NoSessionKernel: SessionKernel {
  let descriptor: Int32 = -1
  func openTunnel(for record: SessionRecord) throws(SystemError) -> TunnelSockets { throw SystemError("making a tunnel", .notSupported) }
  func openSession(for record: SessionRecord, in tunnel: TunnelSockets) throws(SystemError) -> SessionSockets { throw SystemError("making a session", .notSupported) }
  func switchOn(_ session: SessionSockets) throws(SystemError) {}
  func totals(of session: SessionSockets) -> AccountTotals? { nil }
  func close(_ session: SessionSockets) {}
  func close(_ tunnel: TunnelSockets) {}
  func ready() -> [Int32] { [] }
  func receive(from socket: Int32) -> SessionInput { .nothing }
  func send(_ bytes: [UInt8], to socket: Int32) {}
}
