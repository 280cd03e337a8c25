import Host
import OCF
import Testing

@testable import vpnha

@Suite struct RunTests {
  // MARK: What the cluster has

  /// As Pacemaker 2.1.5 prints it, with what does not matter here left out.
  static let monitorOutput = """
    <pacemaker-result api-version="2.25" request="crm_mon">
      <resources>
        <resource id="web" resource_agent="ocf:heartbeat:nginx" role="Started"><node name="moon" id="1"/></resource>
        <resource id="plain" resource_agent="ocf:vpnha:vip" role="Started" active="true"><node name="sun" id="2"/></resource>
        <group id="pair"><resource id="in-a-group" resource_agent="ocf:vpnha:strongswan" role="Started"><node name="moon" id="1"/></resource></group>
        <clone id="firewall-clone" multi_state="false">
          <resource id="firewall" resource_agent="ocf:vpnha:firewall" role="Started"><node name="sun" id="2"/></resource>
          <resource id="firewall" resource_agent="ocf:vpnha:firewall" role="Started"><node name="moon" id="1"/></resource>
        </clone>
        <clone id="vpn-clone" multi_state="true">
          <group id="vpn:0"><resource id="x&quot;&amp;'é" resource_agent="ocf:vpnha:xl2tpd" role="Promoted"><node name="sun" id="2"/></resource></group>
          <group id="vpn:1"><resource id="x&quot;&amp;'é" resource_agent="ocf:vpnha:xl2tpd" role="Unpromoted"><node name="moon" id="1"/></resource></group>
        </clone>
        <clone id="old-clone" multi_state="true">
          <resource id="numbered:0" resource_agent="ocf:vpnha:conntrackd" role="Slave"><node name="sun" id="2"/></resource>
          <resource id="numbered:1" resource_agent="ocf:vpnha:conntrackd" role="Master"><node name="moon" id="1"/></resource>
        </clone>
      </resources>
    </pacemaker-result>
    """

  @Test func theResourcesOfOurAgentsAreRead() throws {
    let found = try ClusterResource.all(inMonitorOutput: Array(Self.monitorOutput.utf8), node: "moon")
    #expect(
      found == [
        ClusterResource(id: "plain", agent: "vip", membership: .plain, top: "plain", role: .stopped),
        ClusterResource(id: "in-a-group", agent: "strongswan", membership: .plain, top: "pair", role: .started),
        ClusterResource(id: "firewall", agent: "firewall", membership: .clone, top: "firewall-clone", role: .started),
        ClusterResource(id: "x\"&'é", agent: "xl2tpd", membership: .promotable, top: "vpn-clone", role: .unpromoted),
        ClusterResource(id: "numbered", agent: "conntrackd", membership: .promotable, top: "old-clone", role: .promoted),
      ])
    let onSun = try ClusterResource.all(inMonitorOutput: Array(Self.monitorOutput.utf8), node: "sun")
    #expect(onSun.map(\.role) == [.started, .stopped, .started, .promoted, .unpromoted])
    #expect(throws: SystemError.self) { try ClusterResource.all(inMonitorOutput: [], node: "moon") }
  }

  @Test(arguments: [("xl2tpd:0", "xl2tpd"), ("xl2tpd", "xl2tpd"), ("a:b", "a:b"), ("a:1:12", "a:1"), ("", "")])
  func theNumberOfAnInstanceIsNoPartOfTheName(_ name: String, _ expected: String) { #expect(withoutInstance(name) == expected) }

  // MARK: What is not done unasked

  static let promoted = ClusterResource(id: "vip", agent: "vip", membership: .promotable, top: "vpn-clone", role: .promoted)
  static let running = ClusterView.known([promoted], node: "moon", isRunning: true)

  @Test(arguments: Action.allCases.map(\.rawValue) + ["migrate_to"])
  func onlyWhatChangesNothingIsDoneUnasked(_ action: String) {
    let isHarmless = ["monitor", "validate-all", "meta-data"].contains(action)
    for view in [Self.running, .known([], node: "moon", isRunning: true), .known([Self.promoted], node: "moon", isRunning: false), .unknown("no answer")] {
      let objection = Objection(to: invocation(action), view.resources.first, view)
      #expect((objection == nil) == isHarmless, "\(view)")
    }
    #expect(Objection(to: invocation(action), nil, .absent) == nil)
    #expect(Objection(to: invocation(action), nil, .known([], node: "moon", isRunning: false)) == nil, "the cluster has nothing of the kind")
  }

  @Test func theObjectionSaysWhatWouldHappenAndWhatToDoInstead() throws {
    let objection = try #require(Objection(to: invocation("stop"), Self.promoted, Self.running))
    #expect(
      objection.lines == [
        "not done: Pacemaker runs on this node and is in charge of vip, which is Promoted on moon",
        "stop would: disconnect its clients here; the next monitor counts it as a failure, and the cluster starts it again or moves it",
        "the cluster's own way: pcs resource move vpn-clone, pcs node standby, or pcs resource disable vpn-clone",
        "to do it all the same: add --really",
      ])
    #expect(objection.json.hasPrefix("{\"done\":false,\"agent\":\"vip\",\"resource\":\"vip\",\"action\":\"stop\","))
  }

  // MARK: Words

  @Test func theAgentIsNamedOrIsTheResources() throws {
    let named = try RunCommand.Words(["vip", "monitor", "ip=192.0.2.10"], hasResource: false)
    #expect(named.agent == "vip" && named.action == "monitor" && named.parameters == [.init("ip", "192.0.2.10")])
    let resources = try RunCommand.Words(["monitor"], hasResource: true)
    #expect(resources.agent == nil && resources.action == "monitor")
    #expect(try RunCommand.Words(["vip", "monitor"], hasResource: true).agent == "vip")
    for words in [[], ["monitor"], ["nobody", "monitor"], ["vip"], ["vip", "ip=192.0.2.10"], ["vip", "start", "ip"]] {
      #expect(throws: (any Error).self, "\(words)") { try RunCommand.Words(words, hasResource: false) }
    }
  }

  @Test(arguments: [
    ("adress", "address"), ("conections", "connections"), ("drain-timeout", "drain_timeout"), ("adderss", "address"), ("Address", "address"),
    ("nonsense", nil), ("", nil),
  ])
  func theNearestNameIsFound(_ typed: String, _ meant: String?) {
    #expect(nearest(to: typed, among: ["address", "connections", "drain_timeout", "unit"]) == meant)
  }

  @Test func anUnknownParameterIsRefusedByName() {
    let agent = ManualPageTests.agent
    #expect(agent.complaint(about: "ip") == nil)
    #expect(agent.complaint(about: "netmak") == "netmak: no such parameter of vip, did you mean netmask?")
    #expect(agent.complaint(about: "colour") == "colour: no such parameter of vip")
  }

  // MARK: The report

  @Test func theReportIsShortAndWhole() {
    let long = String(repeating: "long ", count: 60) + "end"
    let result = CommandResult(.exited(8), error: Array("WARNING: something\u{1b}[2J\nocf-exit-reason:\(long)\n".utf8))
    let report = RunReport(invocation("monitor", ["ip=192.0.2.10"], interval: .seconds(10), .promotable, role: .promoted), result, took: .milliseconds(12))
    #expect(
      report.lines(isVerbose: false) == [
        "8 OCF_RUNNING_PROMOTED: running, promoted, but at risk (monitor of vip, 12 ms)", "reason: \(long)", "the cluster: content",
        "  WARNING: something [2J",
      ])
    #expect(report.lines(isVerbose: true).last?.contains("OCF_RESKEY_ip=192.0.2.10") == true)
    #expect(report.json.contains("\"status\":8,") && report.json.contains("\"reason\":\"\(long)\"") && report.json.contains("\"role\":\"Promoted\""))
  }
}
