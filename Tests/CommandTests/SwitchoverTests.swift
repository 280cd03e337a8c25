import Glibc
import Host
import LinuxHost
import Testing

@testable import vpnha

/// What `vpnha switchover` would do; that it does so is shown on live clusters (`Tests/Bed`).
@Suite struct SwitchoverTests {
  static func plan(to node: String? = nil, drain: Duration? = nil, here: String = "moon", _ changes: [(String, String)] = []) throws -> RehearsalReport {
    let status = try StatusTests.status(changes)
    let rehearsal = Rehearsal(
      event: .switchover(to: node, status), here: here, status: status, configuration: try ClusterConfiguration(Array(Pair.cib(changes).utf8)), drain: drain)
    return RehearsalReport(title: "switchover", rehearsal: rehearsal, conditions: rehearsal.conditions, began: Timestamp(seconds: 0))
  }

  /// With crm_resource --move --lifetime Pacemaker would stop both members and start them in each other's place.
  @Test(arguments: ["vip", "strongswan", "xl2tpd"], [("sun", "50"), ("sun", "20"), ("sun", "5"), ("moon", "20")])
  func aMoveToAWorseCandidateStopsNobody(_ member: String, _ score: (node: String, value: String)) throws {
    let preference = Preference(resource: "vpn-clone", node: "sun", isPromoted: true, end: Timestamp(seconds: Int64(time(nil)) + 300))
    let cib = try Pair.cib([Pair.attribute(score.node, "master-\(member)", score.value), ("</constraints>", preference.xml + "</constraints>")])
    let file = "/tmp/vpnha-preference-\(getpid())-\(UInt32.random(in: 0 ... .max)).xml"
    defer { unlink(file) }
    try LinuxFiles().replace(file, with: Array(cib.utf8), mode: 0o644)
    let command = Command("/usr/sbin/crm_simulate", ["--simulate", "--xml-file", file], outputLimit: 1 << 20)
    let plan = String(decoding: try LinuxProcesses().run(command, before: LinuxClock().now + .seconds(20)).output, as: UTF8.self)
    for member in ["vip", "strongswan", "xl2tpd"] {
      #expect(plan.contains("Executing action: \(member)") || plan.contains("Resource action: \(member)"), "\(plan)")
    }
    #expect(plan.split(separator: "\n").contains { $0.contains("Promote ") && $0.contains("vip") && $0.contains("Promoted sun") }, "\(plan)")
    #expect(!plan.contains("Move ") && !plan.contains(" stop on ") && !plan.contains(" start on "), "\(plan)")
  }

  @Test func aHealthyPairMovesToTheOther() throws {
    for node in [nil, "sun"] {
      let plan = try Self.plan(to: node)
      #expect(plan.verdict == .good && plan.isReady && plan.rehearsal.event == .switchover(to: "sun"))
      #expect(plan.rehearsal.plan == [Preference(resource: "vpn-clone", node: "sun", isPromoted: true).typed, "crm_resource --resource vpn-clone --clear --promoted"])
      #expect(plan.text("--yes").hasPrefix("GOOD     switchover can be done; nothing was done\n") && plan.text("--yes").hasSuffix(" now    --yes does it"))
      #expect(plan.text("--yes").split(separator: "\n").allSatisfy { $0.count <= Screen.width })
      #expect(plan.json.contains("\"outage\":null") && plan.json.contains("\"done\":false"))
    }
  }

  @Test func whereItServesNothingIsDone() throws {
    let plan = try Self.plan(to: "moon")
    #expect(plan.verdict == .good && plan.rehearsal.isNeedless && plan.text("--yes") == "GOOD     moon serves already; nothing was done")
  }

  @Test(arguments: [
    Pair.property("maintenance-mode", "true"), Pair.attribute("sun", "vpnha-path", "0"), Pair.attribute("sun", "master-strongswan", "5"),
    Pair.constraint(#"<rsc_location id="never" rsc="vpn-clone" node="sun" score="-INFINITY"/>"#),
  ]) func whoCouldNotServeIsNotAsked(change: (String, String)) throws {
    let plan = try Self.plan([change])
    #expect(plan.verdict == .bad && !plan.isReady, "\(plan.conditions)")
  }

  @Test func aNodeThatIsNotThere() throws {
    let plan = try Self.plan(to: "mars")
    #expect(plan.verdict == .bad && plan.conditions.contains { $0.what == "there is no node mars: the nodes are moon, sun" })
  }

  @Test func aRiskIsSaidAndIsNoObstacle() throws {
    let plan = try Self.plan([Pair.attribute("sun", "master-xl2tpd", "50"), Pair.attribute("sun", "vpnha-risk-xl2tpd", "2026-11-28T09:05:00Z the pools overlap")])
    #expect(plan.isReady && plan.conditions.contains { $0.what == "sun could serve (at risk: RISK1)" }, "\(plan.conditions)")
  }

  /// New clients are refused by the packet filter of the node that serves.
  @Test func clientsLeaveWhereTheyAre() throws {
    let plan = try Self.plan(drain: .seconds(600))
    #expect(plan.isReady && plan.text("--yes").contains("will   take no new clients on moon, and wait up to 10 min until all have left\n"))
    #expect(try Self.plan(drain: .seconds(600), here: "sun").conditions.contains { !$0.isMet && $0.what.contains("--drain is asked for there") })
    let without = (#"type="firewall" provider="vpnha""#, #"type="Dummy" provider="heartbeat""#)
    #expect(try Self.plan(drain: .seconds(600), [without]).conditions.contains { !$0.isMet && $0.fix == ["vpnha recipe firewall"] })
  }

  @Test(arguments: ["0", "soon", "25h", "-1"]) func noTimeToLeave(time: String) {
    #expect(throws: (any Error).self) { try SwitchoverCommand.parse(["--drain=\(time)"]) }
  }

  @Test func aDrainMayHaveATime() throws {
    #expect(try SwitchoverCommand.parse(["--drain", "--yes"]).drain == "10min" && SwitchoverCommand.parse(["--drain=1h"]).drain == "1h")
    #expect(try SwitchoverCommand.parse(["--yes"]).drain == nil && SwitchoverCommand.parse(["--to", "sun", "--drain", "30min"]).drain == "30min")
  }
}
