import Host
import OCF
import Testing

@testable import vpnha

/// Every gateway serves, and one of them directs.
@Suite struct BalancedTests {
  static let now = Timestamp(seconds: 1_795_867_600)

  static func configuration(_ changes: (String, String)...) throws -> ClusterConfiguration {
    func primitive(_ id: String, _ parameters: [(String, String)] = []) -> String {
      "<primitive id='\(id)' class='ocf' provider='vpnha' type='\(id)'><instance_attributes id='\(id)-i'>\(parameters.map { "<nvpair id='\(id)-\($0.0)' name='\($0.0)' value='\($0.1)'/>" }.joined())</instance_attributes></primitive>"
    }
    func clone(_ id: String, _ meta: [(String, String)], _ inside: String) -> String {
      "<clone id='\(id)-clone'>\(inside)<meta_attributes id='\(id)-m'>\(meta.map { "<nvpair id='\(id)-\($0.0)' name='\($0.0)' value='\($0.1)'/>" }.joined())</meta_attributes></clone>"
    }
    let gateways = clone("vpn", [("interleave", "true")], "<group id='vpn'>" + primitive("vip", [("ip", "203.0.113.50"), ("nic", "lo")]) + primitive("strongswan") + primitive("xl2tpd") + "</group>")
    let balancer = clone("balancer", [("promotable", "true"), ("notify", "true"), ("interleave", "true"), ("priority", "10")], primitive("balancer", [("address", "203.0.113.50"), ("nic", "eth0")]))
    let fences = ["moon", "sun"].map { node in
      "<primitive id='fence-\(node)' class='stonith' type='fence_bed'><instance_attributes id='f-\(node)'><nvpair id='h-\(node)' name='pcmk_host_list' value='\(node)'/></instance_attributes></primitive>"
    }
    let constraints = "<constraints><rsc_order id='o' first='vpn-clone' then='balancer-clone'/><rsc_colocation id='c' rsc='balancer-clone' with-rsc='vpn-clone' score='INFINITY'/></constraints>"
    let options = "<crm_config><cluster_property_set id='p'><nvpair id='d' name='priority-fencing-delay' value='3s'/></cluster_property_set></crm_config>"
    let states = ["moon", "sun"].map { "<node_state uname='\($0)'><transient_attributes id='\($0)'><instance_attributes id='t-\($0)'><nvpair id='s-\($0)' name='master-balancer' value='100'/></instance_attributes></transient_attributes></node_state>" }.joined()
    var cib = "<cib><configuration>\(options)<nodes><node id='1' uname='moon'/><node id='2' uname='sun'/></nodes><resources>\(gateways)\(balancer)\(fences.joined())</resources>\(constraints)</configuration><status>\(states)</status></cib>"
    for (old, new) in changes {
      #expect(cib.contains(old), "\(old)")
      cib = cib.replacing(old, with: new)
    }
    return try ClusterConfiguration(Array(cib.utf8))
  }

  /// - Parameter gone: of a node, what does not run there.
  static func monitor(_ director: String?, gone: [String: Set<String>] = [:]) throws -> ClusterMonitor {
    var rows = ""
    for node in ["moon", "sun"] {
      for own in ["vip", "strongswan", "xl2tpd", "balancer"] where gone[node]?.contains(own) != true {
        let role = own != "balancer" ? "Started" : node == director ? "Promoted" : "Unpromoted"
        rows += "<resource id='\(own)' role='\(role)' resource_agent='ocf:vpnha:\(own)'><node name='\(node)'/></resource>"
      }
      rows += "<resource id='fence-\(node)' role='Started' resource_agent='stonith:fence_bed'><node name='\(node == "moon" ? "sun" : "moon")'/></resource>"
    }
    return try ClusterMonitor(Array("<s><nodes><node name='moon' online='true'/><node name='sun' online='true'/></nodes><resources>\(rows)</resources></s>".utf8))
  }

  static func status(gone: [String: Set<String>] = [:]) throws -> ClusterStatus {
    ClusterStatus(try configuration(), try monitor("moon", gone: gone), losingServing: try monitor("sun"), votes: nil, at: now)
  }

  @Test func whoDirectsAndWhoServes() throws {
    let status = try Self.status()
    #expect(status.verdict == .good && status.address == "203.0.113.50" && status.nodes.map(\.role) == ["directs", "serves"], "\(status.findings)")
    #expect(StatusReport(status: status, now: Self.now).brief == "GOOD     moon directs; moon and sun serve; sun would take over now")
  }

  @Test func aGatewayThatServesNobodyIsNamed() throws {
    let status = try Self.status(gone: ["sun": ["strongswan", "xl2tpd", "balancer"]])
    #expect(status.nodes.map(\.role) == ["directs", "stopped"] && status.verdict != .good)
    #expect(status.complaints.contains { $0.id == .GATE1 && $0.place == "sun" && $0.summary.contains("strongswan does not run there") }, "\(status.findings)")
  }

  @Test func theRecipeIsWellShaped() throws {
    func found(_ changes: (String, String)) throws -> [FindingID] { ClusterChecks(configuration: try Self.configuration(changes), votes: nil).findings().map(\.id) }
    let good = try found(("'o'", "'o'"))
    for id in [FindingID.GATE2, .CLONE3, .NOTIFY1, .COLO3, .OFF1, .BIND1, .ORDER1, .DELAY2] { #expect(!good.contains(id), "\(id)") }
    for change in [("name='notify' value='true'", "name='notify' value='false'"), ("<rsc_order id='o' first='vpn-clone' then='balancer-clone'/>", ""), ("with-rsc='vpn-clone'", "with-rsc='other'")] {
      #expect(try found(change).contains(.GATE2), "\(change)")
    }
    #expect(try found(("name='nic' value='lo'", "name='nic' value='eth0'")).contains(.CLONE3))
  }

  /// What they would say of a node that serves would be true of one of several only.
  @Test func whatKnowsOneServerAloneRefuses() throws {
    #expect(throws: SystemError.self) { try Self.configuration().looking(at: nil) }
    #expect(try Self.configuration().gatewayAddress == IPAddress("203.0.113.50"))
  }
}
