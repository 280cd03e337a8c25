import Host
import Testing

@testable import vpnha

/// What `vpnha switchover` would do; that it does so is shown on live clusters (`Tests/Bed`).
@Suite struct SwitchoverTests {
  static func plan(to node: String? = nil, _ changes: [(String, String)] = []) throws -> SwitchoverReport {
    try SwitchoverReport(to: node, StatusTests.status(changes), ClusterConfiguration(Array(Pair.cib(changes).utf8)).service)
  }

  @Test func aHealthyPairMovesToTheOther() throws {
    for node in [nil, "sun"] {
      let plan = try Self.plan(to: node)
      #expect(plan.verdict == .good && plan.from == "moon" && plan.to == "sun" && !plan.done && plan.reasons == [])
      #expect(plan.commands == ["crm_resource --move --resource vpn-clone --node sun --promoted", "crm_resource --clear --resource vpn-clone"])
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
