import Testing

@testable import vpnha

@Suite struct ManualPageTests {
  static let agent = AgentDescription(
    name: "vip", short: "Floating IPv4 or IPv6 address", long: "Adds an address.\n\n.Announces it - to all.",
    parameters: [
      .init(
        name: "ip", short: "Address", long: "Address. An IPv4 or IPv6 literal.", type: "string", defaultValue: nil, isRequired: true,
        isReloadable: false, deprecation: nil),
      .init(
        name: "netmask", short: "Old name", long: "Old name. Default: 24.", type: "string", defaultValue: "24", isRequired: false, isReloadable: true,
        deprecation: "cidr_netmask"),
    ],
    operations: [
      .init(name: "start", timeout: 20), .init(name: "monitor", timeout: 15, interval: 10, role: "Promoted"),
      .init(name: "monitor", timeout: 16, interval: 11, role: "Unpromoted"), .init(name: "monitor", timeout: 17, interval: 12),
      .init(name: "monitor", timeout: 30, interval: 60, depth: 10),
    ])

  @Test func everythingIsOnThePage() {
    let page = ManualPage(agent: Self.agent).roff
    #expect(page.hasPrefix(".TH OCF_VPNHA_VIP 7 \"\" vpnha \"OCF resource agents\"\n.SH NAME\nocf_vpnha_vip \\- floating IPv4 or IPv6 address\n"))
    #expect(page.contains(".SH DESCRIPTION\nAdds an address.\n.PP\n\\&.Announces it \\- to all.\n"))
    #expect(page.contains(".B ip\n(string, required)\n.br\nAddress. An IPv4 or IPv6 literal.\n"))
    #expect(page.contains("(string, changes without a restart, deprecated, use cidr_netmask)\n.br\nOld name. Default: 24.\n"))
    #expect(page.contains(".RB [ start | monitor ]\n"))
    #expect(page.contains("Advised: timeout 15 s, every 10 s, role Promoted.\n"))
    #expect(page.contains(".SH EXAMPLE PCS\n.EX\npcs resource create vip ocf:vpnha:vip ip=203.0.113.50 cidr_netmask=24 nic=eth0 \\e\n"))
  }

  /// Those of a promotable clone when the agent is promotable, else those of a plain one; each with its level.
  @Test func anExampleHasEveryMonitorOfAMember() {
    var agent = Self.agent
    #expect(
      Example(agent: agent).pcs == """
        pcs resource create vip ocf:vpnha:vip ip=203.0.113.50 cidr_netmask=24 nic=eth0 \\
            op monitor interval=12s timeout=17s \\
               monitor interval=60s timeout=30s OCF_CHECK_LEVEL=10 \\
            clone interleave=true
        """)
    agent.operations.append(.init(name: "promote", timeout: 21))
    #expect(
      Example(agent: agent).crm == """
        primitive vip ocf:vpnha:vip params ip=203.0.113.50 cidr_netmask=24 nic=eth0 \\
            op start interval=0 timeout=20s \\
            op promote interval=0 timeout=21s \\
            op monitor interval=10s role=Promoted timeout=15s \\
            op monitor interval=11s role=Unpromoted timeout=16s
        clone vip-clone vip meta promotable=true promoted-max=1 clone-max=2 interleave=true notify=false
        """)
  }

  @Test func theAdviceIsThatForTheSituation() {
    let agent = Self.agent
    #expect(agent.operation("start", depth: 0, role: "Unpromoted")?.timeout == 20)
    #expect(agent.operation("monitor", depth: 0, role: nil)?.interval == 12)
    #expect(agent.operation("monitor", depth: 0, role: "Unpromoted")?.interval == 11)
    #expect(agent.operation("monitor", depth: 0, role: "Promoted")?.interval == 10)
    #expect(agent.operation("monitor", depth: 10, role: nil)?.interval == 60)
    #expect(agent.operation("promote", depth: 0, role: nil) == nil)
  }

  @Test(arguments: [("20s", 20), ("20", 20), ("20000ms", 20), ("5min", 300), ("5m", 300), ("x", nil), ("", nil), ("3h", 10800), ("3d", nil)])
  func durations(_ text: String, _ expected: Int?) { #expect(seconds(text) == expected) }

  @Test func metaDataIsRead() throws {
    let xml = """
      <?xml version="1.0"?>
      <resource-agent name="vip" version="0.1">
      <version>1.1</version>
      <longdesc lang="en">
      Adds &lt;an&gt; address.
      </longdesc>
      <shortdesc lang="en">Floating address</shortdesc>
      <parameters>
      <parameter name="ip" required="1"><longdesc lang="en">A literal.</longdesc><shortdesc lang="en">Address</shortdesc><content type="string"/></parameter>
      <parameter name="netmask" reloadable="1"><deprecated><replaced-with name="cidr_netmask"/></deprecated><longdesc lang="en">Old.</longdesc><shortdesc lang="en">Old</shortdesc><content type="integer" default="24"/></parameter>
      </parameters>
      <actions><action name="monitor" timeout="20s" interval="10s" depth="10" role="Promoted"/></actions>
      </resource-agent>
      """
    let agent = try AgentDescription(xml: Array(xml.utf8))
    #expect(agent.long == "Adds <an> address.")
    #expect(agent.parameters.map(\.name) == ["ip", "netmask"])
    #expect(agent.parameters[0].isRequired)
    #expect(agent.parameters[1].deprecation == "cidr_netmask")
    #expect(agent.parameters[1].defaultValue == "24")
    #expect(agent.operations == [.init(name: "monitor", timeout: 20, interval: 10, depth: 10, role: "Promoted")])
    #expect(throws: (any Error).self) { try AgentDescription(xml: Array("nonsense".utf8)) }
    #expect(throws: (any Error).self) { try AgentDescription(xml: Array("<other/>".utf8)) }
    #expect(throws: (any Error).self) { try AgentDescription(xml: []) }
  }
}
