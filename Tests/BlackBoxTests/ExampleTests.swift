import OCFMetadata
import Testing

@testable import vpnha

/// The examples of the manual pages and of the package, typed into the tools they are for.
struct ExampleTests {
  struct Monitor: Hashable {
    var interval: Int?
    var timeout: Int?
    var role: String?
    var level: Int?
  }

  /// What the agent advises for a member of the clone it is meant for.
  static func advised(_ agent: Agent) throws -> Set<Monitor> {
    let said = try agent.answer(["meta-data"]).output
    let description = try AgentDescription(xml: Array(said.utf8))
    let isPromotable = description.operations.contains { $0.name == "promote" }
    let monitors = description.operations.filter { $0.name == "monitor" && ($0.role != nil) == isPromotable }
    return Set(monitors.map { Monitor(interval: $0.interval, timeout: $0.timeout, role: $0.role, level: $0.depth) })
  }

  /// The monitors that a CIB has for each agent.
  static func monitors(in cib: String) throws -> [String: Set<Monitor>] {
    let root = try #require(try XMLDocument(Array(cib.utf8))?.root)
    var found: [String: Set<Monitor>] = [:]
    for primitive in root.all(named: "primitive") where primitive["provider"] == "vpnha" {
      let operations = primitive.all(named: "op").filter { $0["name"] == "monitor" && $0["enabled"] != "false" }
      found[primitive["type"] ?? ""] = Set(
        operations.map { operation in
          let level = operation.all(named: "nvpair").first { $0["name"] == "OCF_CHECK_LEVEL" }?["value"]
          return Monitor(
            interval: operation["interval"].flatMap(seconds), timeout: operation["timeout"].flatMap(seconds), role: operation["role"],
            level: level.flatMap { Int($0) })
        })
    }
    return found
  }

  /// The text of an example on a manual page, as a reader copies it.
  static func example(_ title: String, of agent: Agent) throws -> String {
    let page = try Answer(.init("\(Built.folder)/vpnha", ["metadata", "--man", agent.rawValue], outputLimit: 1 << 20), within: .seconds(20)).output
    let section = try #require(page.split(separator: ".SH EXAMPLE \(title)\n.EX\n").last?.split(separator: "\n.EE").first)
    return String(section).replacing("\\e", with: "\\").replacing("\\-", with: "-")
  }

  static func load(_ script: String) throws -> String {
    let preamble = """
      set -euo pipefail
      cd /run
      cibadmin --empty >cib.xml
      sed -i "s#<nodes/>#<nodes><node id='1' uname='moon'/><node id='2' uname='sun'/></nodes>#" cib.xml
      pcs -f cib.xml property set stonith-enabled=false

      """
    let answer = try Sandbox.run(["bash", "-c", preamble + script + "\n! crm_verify --xml-file cib.xml -V 2>&1 | grep error >&2\ncat cib.xml"], within: .seconds(120))
    #expect(answer.status == 0, "\(answer.output)\(answer.error)")
    #expect(!answer.error.contains("smaller than the advised"), "\(answer.error)")
    return answer.output.firstRange(of: "<cib ").map { String(answer.output[$0.lowerBound...]) } ?? ""
  }

  @Test("a page's pcs example makes a clone with every advised monitor", .needsNamespaces, .needs("/usr/sbin/pcs"), arguments: Agent.allCases)
  func pcs(_ agent: Agent) throws {
    let example = try Self.example("PCS", of: agent)
    let cib = try Self.load(example.replacing("pcs resource", with: "pcs -f cib.xml resource"))
    #expect(try Self.monitors(in: cib) == [agent.rawValue: Self.advised(agent)], "\(cib)")
    #expect(cib.contains(agent == .libreswan ? "<group " : "<clone "))
  }

  @Test("a page's crm example makes the same", .needsNamespaces, .needs("/usr/sbin/pcs", "/usr/sbin/crm"), arguments: Agent.allCases)
  func crm(_ agent: Agent) throws {
    let cib = try Self.load(
      """
      cat >example.crm <<'END'
      \(try Self.example("CRM SHELL", of: agent))
      END
      CIB_file=/run/cib.xml crm --force configure load update example.crm >&2
      """)
    #expect(try Self.monitors(in: cib) == [agent.rawValue: Self.advised(agent)], "\(cib)")
    #expect(cib.contains(agent == .libreswan ? "<group " : "<clone "))
  }

  @Test("the package's configurations for crmsh load, with every advised monitor", .needsNamespaces, .needs("/usr/sbin/pcs", "/usr/sbin/crm", "/usr/sbin/fence_ipmilan"))
  func gateway() throws {
    // With the fence device that its remarks name.
    let cib = try Self.load(
      """
      sed -E 's/^#   (primitive|location) /\\1 /' '\(Built.checkout)/Packaging/examples/crmsh/gateway.crm' >gateway.crm
      CIB_file=/run/cib.xml crm --force configure load update gateway.crm >&2
      """)
    let found = try Self.monitors(in: cib)
    // These are recipes of their own.
    for agent in Agent.allCases where agent != .sessions && agent != .announce && agent != .libreswan && agent != .balancer { #expect(try found[agent.rawValue] == Self.advised(agent), "\(agent)") }
    #expect(cib.contains("influence=\"false\""), "conntrackd follows the VPN and does not drag it")
  }

  @Test("the examples' values are good, and all that is required is among them", arguments: Agent.allCases)
  func values(_ agent: Agent) throws {
    let description = try AgentDescription(xml: Array(agent.answer(["meta-data"]).output.utf8))
    let names = (Example.parameters[agent.rawValue] ?? "").matches(of: /([a-z_]+)=/).map { String($0.output.1) }
    for name in names { #expect(description.complaint(about: name) == nil) }
    for parameter in description.parameters where parameter.isRequired { #expect(names.contains(parameter.name), "\(parameter.name)") }
    let line = "'\(Built.folder)/vpnha' run \(agent.rawValue) validate-all \(Example.parameters[agent.rawValue] ?? "")"
    let answer = try Answer(.init("/bin/bash", ["-c", line]), within: .seconds(20))
    #expect(answer.status == 0, "\(answer.output)\(answer.error)")
  }
}
