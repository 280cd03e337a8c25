import Glibc
import Host
import LinuxHost
import Testing

@testable import vpnha

/// The recorded pair, and what Pacemaker's own scheduler makes of failures.
@Suite struct PlanTests {
  static func plan(_ words: [String], _ changes: [(String, String)] = [], looks: Looks? = nil) throws -> Plan {
    let file = "/tmp/vpnha-plan-\(getpid())-\(UInt32.random(in: 0 ... .max)).xml"
    defer { unlink(file) }
    let cib = try Pair.cib(changes).replacing("FIVE-SECONDS-AGO", with: "\(time(nil) - 5)")
    try LinuxFiles().replace(file, with: Array(cib.utf8), mode: 0o644)
    let tools = PacemakerTools(processes: LinuxProcesses(), files: LinuxFiles(), clock: LinuxClock(), environment: ["CIB_file": file])
    return try #require(Plan.all(tools, words, looks: looks, at: Timestamp(seconds: Int64(time(nil)))).first)
  }

  @Test func aHealthyPairServesAfterEachFailure() throws {
    let plan = try Self.plan([])
    #expect(plan.verdict == .good && plan.serving == "moon" && plan.findings == [])
    func server(_ words: String, after: String? = nil) -> String? {
      plan.outcomes.first { $0.failure.words == words && $0.after?.words == after }?.serving
    }
    #expect(server("moon is lost") == "sun" && server("sun is lost") == "moon")
    #expect(server("moon loses its uplink") == "sun" && server("sun loses its uplink") == "moon")
    #expect(server("strongswan fails on moon") == "sun" && server("conntrackd fails on moon") == "moon")
    #expect(server("strongswan fails on sun", after: "moon is lost") == "sun")
    #expect(server("strongswan fails on sun", after: "strongswan fails on moon") != nil)
    #expect(plan.outcomes.first { $0.failure.words == "moon is lost" }?.fences == "moon")
    // Without the sessions agent a move is a new call for everybody; what does not move loses nobody.
    #expect(plan.outcomes.first { $0.failure.words == "moon is lost" }?.dropsSessions == true)
    #expect(plan.outcomes.first { $0.failure.words == "conntrackd fails on moon" }?.dropsSessions == false)
    let lines = plan.text.split(separator: "\n", omittingEmptySubsequences: false)
    #expect(lines.first == "GOOD     moon serves now; somebody serves after each failure; nothing was done")
    #expect(lines.count <= 24 && lines.allSatisfy { $0.count <= 80 })
    #expect(plan.json.hasPrefix(#"{"verdict":"good","serving":"moon","outcomes":[{"failure":"moon is lost","after":null,"serving":"sun","address_without_vpn":[],"idle":[],"fenced":"moon","sessions_lost":true,"findings":[]}"#))
  }

  @Test func aBanLeavesNobody() throws {
    let ban = Pair.constraint(#"<rsc_location id="never" rsc="vpn-clone" node="sun" score="-INFINITY"/>"#)
    let plan = try Self.plan(["node", "moon"], [ban])
    #expect(plan.verdict == .bad)
    #expect(plan.findings.map(\.id) == [.GAP1] && plan.findings[0].fix.first == "pcs constraint delete never")
    #expect(plan.outcomes[0].idle == ["sun"] && plan.outcomes[0].words == "moon is fenced, NOBODY SERVES")
  }

  /// A ban of charon's promotion alone, where the address goes all the same.
  @Test func anAddressWithoutAVPN() throws {
    let plan = try Self.plan(
      ["node", "moon"],
      [
        ("<group id=\"vpn\">", "<group id=\"vpn\"><meta_attributes id=\"g\"><nvpair id=\"g-o\" name=\"ordered\" value=\"false\"/></meta_attributes>"),
        Pair.attribute("sun", "fail-count-xl2tpd#start_0", "INFINITY"), Pair.attribute("sun", "last-failure-xl2tpd#start_0", "FIVE-SECONDS-AGO"),
      ])
    // Whether the scheduler still promotes the rest of the group there or nothing at all, it is no service, and is said.
    #expect(plan.outcomes[0].serving == nil && plan.verdict == .bad)
    #expect(plan.findings.contains { $0.id == .HOLLOW1 || $0.id == .GAP1 })
  }

  @Test func aStandbyThatCouldNotServe() throws {
    let plan = try Self.plan(
      ["node", "moon"],
      [
        Pair.attribute("sun", "master-strongswan", "5"), Pair.attribute("sun", "vpnha-risk-strongswan", "2026-11-28T09:05:00Z connections: l2tp has no pre-shared key"),
      ])
    #expect(plan.outcomes[0].serving == nil && plan.verdict == .bad)
    #expect(plan.outcomes[0].words == "moon is fenced, the address is on sun, without a VPN")
    #expect(plan.findings.map(\.id) == [.UNFIT1])
  }

  /// A fence that status calls no fence is none here either: nothing is taken over from a node whose loss is never confirmed.
  @Test(
    arguments: [
      (["fence-moon"], [], true), ([], [], false), (nil, [], false), (["fence-moon"], ["fence-moon"], false),
    ] as [([String]?, Set<String>, Bool)]) func theFencerIsAsked(known: [String]?, absent: Set<String>, would: Bool) throws
  {
    var looks = Looks()
    looks.here = "sun"
    looks.enders = ["moon": known.map { Set($0) }]
    looks.absentFences = absent
    let plan = try Self.plan(["node", "moon"], looks: looks)
    #expect(plan.outcomes[0].serving == (would ? "sun" : nil) && plan.outcomes[0].fences == (would ? "moon" : nil) && plan.verdict == (would ? .good : .bad))
    #expect(plan.findings.map(\.id) == (would ? [] : [.FENCE3]))
    // Where it serves, and of another failure, that is no matter.
    #expect(try Self.plan(["daemon", "strongswan"], looks: looks).verdict == .good)
    looks.here = "moon"
    #expect(try Self.plan(["node", "moon"], looks: looks).verdict == .good)
  }

  @Test func aFenceThatIsMissing() throws {
    let plan = try Self.plan(["node", "moon"], [(#"name="pcmk_host_list" value="moon""#, #"name="pcmk_host_list" value="mars""#)])
    #expect(plan.outcomes[0].words == "NOBODY SERVES" && plan.findings.map(\.id) == [.FENCE2] && plan.verdict == .bad)
  }

  /// After a refresh the scheduler knows of nothing that runs.
  @Test func whatPacemakerHasForgottenIsNotWorkedOut() {
    #expect(throws: SystemError.self) { try Self.plan([], [(#"<lrm_resource id="xl2tpd""#, #"<lrm_resource id="mars""#)]) }
  }

  @Test func aBrokenLink() throws {
    #expect(try Self.plan(["link"]).verdict == .good)
    #expect(try Self.plan(["link"], [(#"name="stonith-enabled" value="true""#, #"name="stonith-enabled" value="false""#)]).findings.map(\.id) == [.FENCE1])
    let race = try Self.plan(["link"], [(#"name="priority-fencing-delay" value="5s""#, #"name="priority-fencing-delay" value="0""#)])
    #expect(race.findings.map(\.id) == [.RACE1] && race.verdict == .risk)
  }

  @Test func whatIsNotThereIsNotKnown() {
    #expect(throws: SystemError.self) { try Self.plan(["node", "mars"]) }
    #expect(throws: SystemError.self) { try Self.plan(["daemon", "pppd"]) }
    #expect(throws: (any Error).self) { try Operator.parseAsRoot(["plan", "weather"]) }
  }

  /// What the agents would say is put into the copy, and everything else stays.
  @Test func attributesInACopy() throws {
    let before = try ClusterConfiguration(Array(try Pair.cib([]).utf8))
    let text = before.cib.text(setting: [NodeAttribute(node: "sun", name: "vpnha-path", value: "0"), NodeAttribute(node: "moon", name: "new<\"&", value: "a\"b")])
    let after = try ClusterConfiguration(text)
    #expect(after.attributes(of: "sun")["vpnha-path"] == "0" && after.attributes(of: "moon")["vpnha-path"] == "1")
    #expect(after.attributes(of: "moon")["new<\"&"] == "a\"b" && after.attributes(of: "sun")["new<\"&"] == nil)
    #expect(after.primitives.map(\.id) == before.primitives.map(\.id) && after.constraints("rsc_colocation").count == before.constraints("rsc_colocation").count)
  }
}
