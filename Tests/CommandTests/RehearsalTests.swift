import Host
import HostTestKit
import LinuxHost
import Testing

@testable import vpnha

/// What a planned or rehearsed failover looks at before, and what it makes of what it saw.
@Suite struct RehearsalTests {
  static func rehearsal(_ event: Rehearsal.Event, here: String = "moon", _ changes: [(String, String)] = []) throws -> Rehearsal {
    Rehearsal(event: event, here: here, status: try StatusTests.status(changes), configuration: try ClusterConfiguration(Array(try Pair.cib(changes).utf8)))
  }

  @Test func aHealthyPairIsReady() throws {
    for event in [Rehearsal.Event.switchover(to: "sun"), .daemon("charon"), .uplink] {
      let unmet = try Self.rehearsal(event).conditions.filter { !$0.isMet }
      #expect(unmet.isEmpty, "\(event): \(unmet)")
    }
    #expect(try Self.rehearsal(.node("moon"), here: "sun").conditions.allSatisfy(\.isMet))
    #expect(try Self.rehearsal(.switchover(to: "sun")).plan.first?.contains("value=\"sun\"") == true)
  }

  struct Case: CustomTestStringConvertible {
    var testDescription: String
    var event: Rehearsal.Event
    var here = "moon"
    var changes: [(String, String)] = []
    var says: String
  }
  static let cases = [
    Case(testDescription: "no such node", event: .switchover(to: "mars"), says: "there is no node mars"),
    Case(testDescription: "unfit", event: .switchover(to: "sun"), changes: [Pair.attribute("sun", "master-strongswan", "5")], says: "sun could not serve: UNFIT1"),
    Case(testDescription: "no path", event: .uplink, changes: [Pair.attribute("sun", "vpnha-path", "0")], says: "sun could not serve: PATH1"),
    Case(testDescription: "maintenance", event: .switchover(to: "sun"), changes: [Pair.property("maintenance-mode", "true")], says: "maintenance mode"),
    Case(testDescription: "a move's leftover", event: .switchover(to: "sun"), changes: [Pair.constraint(#"<rsc_location id="cli-prefer-vpn-clone" rsc="vpn-clone" node="moon" role="Promoted" score="INFINITY"/>"#)], says: "cli-prefer-vpn-clone"),
    Case(testDescription: "the wrong node", event: .daemon("charon"), here: "sun", says: "ask on moon"),
    Case(testDescription: "itself", event: .node("moon"), says: "ask on another node"),
    Case(testDescription: "no fencing", event: .node("moon"), here: "sun", changes: [(#"name="stonith-enabled" value="true""#, #"name="stonith-enabled" value="false""#)], says: "fencing is switched off"),
  ]
  @Test(arguments: cases) func refused(_ one: Case) throws {
    let unmet = try Self.rehearsal(one.event, here: one.here, one.changes).conditions.filter { !$0.isMet }
    #expect(unmet.contains { $0.what.contains(one.says) }, "\(unmet)")
  }

  /// How a lost node is ended matters to nobody who moves the service on purpose.
  @Test func aPlannedMoveNeedsNoFencing() throws {
    let rehearsal = try Self.rehearsal(.switchover(to: "sun"), [(#"name="pcmk_host_list" value="moon""#, #"name="pcmk_host_list" value="mars""#)])
    #expect(rehearsal.status.wouldSucceed == false && rehearsal.conditions.allSatisfy(\.isMet))
  }

  @Test func silencesAreRead() {
    let heard = Silences("first 100\nsilent 1000000000\nanswers 1500000000\nnonsense\nsilent x\nsilent 3000000000\n")
    #expect(heard.first == Instant(nanoseconds: 100) && heard.open == Instant(nanoseconds: 3_000_000_000))
    #expect(heard.spans.map(\.length) == [.milliseconds(500)])
    #expect(heard.total(since: Instant(nanoseconds: 0)) == .milliseconds(500) && heard.total(since: Instant(nanoseconds: 2_000_000_000)) == .zero)
    #expect(Silences("answers 5").spans.isEmpty && Silences("").first == nil)
  }

  @Test func aClientsLogIsRead() {
    func line(_ tenths: Int) -> String { "[\(1_000 + tenths / 10).\(tenths % 10)00000] 64 bytes from 10.9.0.1: icmp_seq=1 ttl=64 time=1 ms\n" }
    let log = ClientLog("PING 10.9.0.1\n" + (0..<100).filter { !(52..<65).contains($0) }.map(line).joined())
    #expect(log.outage(since: Timestamp(seconds: 1_005)) == ClientLog.Outage(length: .milliseconds(1_300), answers: 87))
    // An outage before does not count; a log that ends before says nothing.
    #expect(log.outage(since: Timestamp(seconds: 1_008))?.length == .zero)
    #expect(log.outage(since: Timestamp(seconds: 1_010)) == nil && log.outage(since: Timestamp(seconds: 1_000)) == nil)
    #expect(ClientLog("[99999999999999999999.000000] 64 bytes from x\n[1.2] 64 bytes from x\n[]\n[").answers.isEmpty)
  }

  /// A client that dials in again after its own timers is waited for; one that stays away is not measured.
  @Test func aClientIsWaitedFor() throws {
    let machine = InMemoryMachine()
    func line(_ second: Int) -> String { "[\(second).000000] 64 bytes from 10.9.0.1: icmp_seq=1 ttl=64 time=1 ms\n" }
    let before = (1_000..<1_010).map(line).joined()
    machine.files.put(before, at: "/client.log")
    #expect(try ClientLog.settled("/client.log", on: machine.host, within: .seconds(30)) == nil)
    machine.clock.after(.milliseconds(12_500)) { machine.files.put(before + line(1_025), at: "/client.log") }
    #expect(try ClientLog.settled("/client.log", on: machine.host, within: .seconds(30))?.outage(since: Timestamp(seconds: 1_005))?.length == .seconds(15))
    #expect(throws: SystemError.self) { try ClientLog.settled("/absent", on: machine.host, within: .seconds(30)) }
  }

  @Test func theVerdict() throws {
    var report = RehearsalReport(title: "switchover", rehearsal: try Self.rehearsal(.switchover(to: "sun")), conditions: [.init(isMet: true, what: "moon serves")], began: Timestamp(seconds: 0))
    #expect(report.verdict == .good && report.headline == "GOOD     switchover can be done; nothing was done")
    report.outcome = .init(from: "moon", to: "sun", outage: .milliseconds(620))
    #expect(report.verdict == .good && report.headline == "GOOD     sun serves; moon did; without service: 0.62 s as this node saw it")
    report.client = .init(length: .seconds(16), answers: 9)
    #expect(report.verdict == .risk && report.headline.hasSuffix("16.00 s as the client did; the limit is 15.00 s"))
    #expect(report.markdown.contains("| without service, as the client saw it | 16.00 s (9 answers in its log) |"))
    report.outcome?.complaint = "nobody has served for 15.10 s"
    report.outcome?.isUndone = true
    report.outcome?.to = "moon"
    #expect(report.verdict == .bad && report.headline == "BAD      nobody has served for 15.10 s; undone: moon serves")
    report.outcome = .init(from: "moon", to: "sun")
    report.client = nil
    #expect(report.verdict == .unknown)
    // How the pair stands after a planned move.
    report.outcome = .init(from: "moon", to: "sun", outage: .milliseconds(620), left: [])
    #expect(report.verdict == .good)
    report.outcome?.left = [Finding(.LOOK1, .risk, "vip on moon has not been looked at closely yet", at: "moon")]
    #expect(report.verdict == .risk && !report.headline.contains("limit") && report.text("--yes").contains("\nLOOK1    risk  vip on moon"))
  }

  @Test func aCutEndsByItself() throws {
    let cut = try Self.rehearsal(.uplink).cut
    #expect(cut.contains("timeout 60s") && cut.contains("ip daddr @ipcut drop") && !cut.contains("ip6"))
  }
}
