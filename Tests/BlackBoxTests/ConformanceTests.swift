import Testing

/// The tools that people already use, against the agents and the real daemons.
struct ConformanceTests {
  @Test("ocf-tester passes", .needsNamespaces, .needs("/usr/sbin/ocf-tester", "/usr/bin/xmllint"), arguments: Agent.allCases)
  func ocfTester(_ agent: Agent) throws {
    let options = agent.parameters.sorted { $0.key < $1.key }.flatMap { ["-o", "\($0.key)=\($0.value)"] }
    let answer = try Sandbox.run(
      ["ocf-tester", "-n", agent.rawValue] + options + ["/usr/lib/ocf/resource.d/vpnha/\(agent.rawValue)"], within: .seconds(180))
    #expect(answer.status == 0)
    #expect(answer.output.contains("passed all tests"), "\(answer.output)\(answer.error)")
  }

  @Test("crm_resource, pcs and crmsh read the meta-data", .needsNamespaces, .needs("/usr/sbin/pcs", "/usr/sbin/crm"), arguments: Agent.allCases)
  func description(_ agent: Agent) throws {
    let answer = try Sandbox.run(
      [
        "bash", "-euc",
        """
        name=ocf:vpnha:\(agent.rawValue)
        crm_resource --show-metadata $name | grep -q '<resource-agent name="\(agent.rawValue)"'
        crm_resource --show-metadata $name --output-as=xml >/dev/null
        pcs resource describe $name --full
        crm ra info $name </dev/null
        crm_resource --list-agents ocf:vpnha | grep -qx '\(agent.rawValue)'
        """,
      ])
    #expect(answer.status == 0, "\(answer.output)\(answer.error)")
    #expect(!answer.output.contains("unknown"), "\(answer.output)")
    #expect(answer.output.contains("Operations' defaults (advisory minimum)"), "\(answer.output)")
  }
}
