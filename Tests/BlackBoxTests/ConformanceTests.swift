import Host
import Testing

/// The tools that people already use, against the agents and the real daemons.
struct ConformanceTests {
  @Test("ocf-tester passes", .needsNamespaces, .needs("/usr/sbin/ocf-tester", "/usr/bin/xmllint"), arguments: Agent.playable)
  func ocfTester(_ agent: Agent) throws {
    let options = agent.parameters.sorted { $0.key < $1.key }.flatMap { ["-o", "\($0.key)=\($0.value)"] }
    let answer = try Sandbox.run(
      ["ocf-tester", "-n", agent.rawValue] + options + ["\(Agent.folder)/\(agent.rawValue)"], within: .seconds(180))
    #expect(answer.status == 0)
    #expect(answer.output.contains("passed all tests"), "\(answer.output)\(answer.error)")
  }

  /// Cases of the public suite that end otherwise here, and why that is right: `docs/vip.md` says the same in a table.
  static let deviations: [String: [String]] = [
    "IPaddr2": ["check base env: set invalid 'OCF_RESKEY_nic'"],  // 2 for 6: another node may have the interface
    "IPaddr2v4": [],
    "IPaddr2v6": ["params with force cidr_netmask (base netmask < assigned netmask)"],  // starts: the route tells the rest
  ]

  @Test(
    "the public ocft cases for IPaddr2 pass with vip, but for the documented ones", .needsNamespaces,
    .needs("/usr/sbin/ocft"), arguments: deviations.keys.sorted())
  func ocft(_ configuration: String) throws {
    let answer = try Answer(
      Command("\(Built.checkout)/Tests/BlackBoxTests/ocft", [Agent.vip.program, configuration], outputLimit: 1 << 20),
      within: .seconds(400))
    let lines = answer.output.split(separator: "\n").filter { $0.hasPrefix("\(configuration): ") }
    let failed = lines.filter { $0.contains("FAILED") || $0.contains("ERROR") }.compactMap {
      $0.dropFirst(configuration.count + 2).split(separator: " - ").first.map(String.init)
    }
    #expect(lines.count > 15 && answer.output.contains("Cleaning"), "\(answer.output)\(answer.error)")
    #expect(failed == Self.deviations[configuration] ?? [], "\(answer.output)")
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
