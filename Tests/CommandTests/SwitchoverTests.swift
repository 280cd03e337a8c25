import Glibc
import Host
import LinuxHost
import Testing

@testable import vpnha

/// What `vpnha switchover` would do; that it does so is shown on live clusters (`Tests/Bed`).
@Suite struct SwitchoverTests {
  static func plan(to node: String? = nil, _ changes: [(String, String)] = []) throws -> SwitchoverReport {
    try SwitchoverReport(to: node, StatusTests.status(changes), ClusterConfiguration(Array(Pair.cib(changes).utf8)).service)
  }

  /// With crm_resource --move Pacemaker would stop both members and start them in each other's place.
  @Test func aMoveToAWorseCandidateStopsNobody() throws {
    let preference = Preference(resource: "vpn-clone", node: "sun", isPromoted: true, end: Timestamp(seconds: Int64(time(nil)) + 300))
    let cib = try Pair.cib([Pair.attribute("sun", "master-vip", "50"), ("</constraints>", preference.xml + "</constraints>")])
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
      #expect(plan.verdict == .good && plan.from == "moon" && plan.to == "sun" && !plan.done && plan.reasons == [])
      #expect(plan.commands == [Preference(resource: "vpn-clone", node: "sun", isPromoted: true).typed, "crm_resource --clear --resource vpn-clone"])
      #expect(plan.text.hasPrefix("GOOD     moon serves, and sun could; nothing was changed\n") && plan.text.hasSuffix("vpnha switchover --to sun --yes"))
      #expect(plan.json.contains("\"outage_ms\":null") && plan.json.contains("\"done\":false"))
    }
  }

  @Test func whereItServesNothingIsDone() throws {
    let plan = try Self.plan(to: "moon")
    #expect(plan.verdict == .good && plan.commands == [] && plan.words == "moon serves already")
  }

  @Test(arguments: [
    Pair.property("maintenance-mode", "true"), Pair.attribute("sun", "vpnha-path", "0"), Pair.attribute("sun", "master-strongswan", "5"),
    Pair.constraint(#"<rsc_location id="never" rsc="vpn-clone" node="sun" score="-INFINITY"/>"#),
  ]) func whoCouldNotServeIsNotAsked(change: (String, String)) throws {
    let plan = try Self.plan([change])
    #expect(plan.verdict == .bad && plan.commands == [] && !plan.reasons.isEmpty, "\(plan)")
  }

  @Test func aNodeThatIsNotThere() throws {
    let plan = try Self.plan(to: "mars")
    #expect(plan.verdict == .bad && plan.commands == [] && plan.words == "there is no node mars; there are moon, sun")
  }

  @Test func aRiskIsSaidAndIsNoObstacle() throws {
    let plan = try Self.plan([Pair.attribute("sun", "master-xl2tpd", "50"), Pair.attribute("sun", "vpnha-risk-xl2tpd", "2026-11-28T09:05:00Z the pools overlap")])
    #expect(plan.verdict == .risk && plan.commands.count == 2 && plan.reasons.map(\.id) == [.RISK1])
  }
}
