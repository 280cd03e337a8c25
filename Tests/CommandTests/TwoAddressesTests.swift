import Host
import OCF
import Testing

@testable import vpnha

/// A pair in which each node serves an address: each is judged by itself, and the worst one speaks first.
@Suite struct TwoAddressesTests {
  static let now = Timestamp(seconds: 1_795_867_600)

  static func configuration(priorities: [Int] = [10, 0]) throws -> ClusterConfiguration {
    func primitive(_ id: String, _ agent: String, _ parameters: String = "") -> String {
      "<primitive id='\(id)' class='ocf' provider='vpnha' type='\(agent)'><instance_attributes id='\(id)-i'>\(parameters)</instance_attributes></primitive>"
    }
    func clone(_ id: String, _ meta: [(String, String)], _ inside: String) -> String {
      "<clone id='\(id)-clone'>\(inside)<meta_attributes id='\(id)-m'>\(meta.map { "<nvpair id='\(id)-\($0.0)' name='\($0.0)' value='\($0.1)'/>" }.joined())</meta_attributes></clone>"
    }
    let vpns = zip(["", "-b"], priorities).enumerated().map { index, one in
      clone(
        "vpn\(one.0)", [("promotable", "true"), ("priority", "\(one.1)")],
        "<group id='vpn\(one.0)'>" + primitive("vip\(one.0)", "vip", "<nvpair id='ip\(one.0)' name='ip' value='203.0.113.5\(index)'/>") + primitive("xl2tpd\(one.0)", "xl2tpd") + "</group>")
    }
    let fences = ["moon", "sun"].map { node in
      "<primitive id='fence-\(node)' class='stonith' type='fence_bed'><instance_attributes id='f-\(node)'><nvpair id='h-\(node)' name='pcmk_host_list' value='\(node)'/></instance_attributes></primitive>"
    }
    let options = "<crm_config><cluster_property_set id='p'><nvpair id='d' name='priority-fencing-delay' value='3s'/></cluster_property_set></crm_config>"
    let nodes = "<nodes><node id='1' uname='moon'/><node id='2' uname='sun'/></nodes>"
    let scores = ["vip", "xl2tpd", "vip-b", "xl2tpd-b"].map { "<nvpair id='s-\($0)' name='master-\($0)' value='100'/>" }.joined()
    let states = ["moon", "sun"].map { "<node_state uname='\($0)'><transient_attributes id='\($0)'><instance_attributes id='t-\($0)'>\(scores)</instance_attributes></transient_attributes></node_state>" }.joined()
    return try ClusterConfiguration(
      Array("<cib><configuration>\(options)\(nodes)<resources>\(clone("strongswan", [], primitive("strongswan", "strongswan")))\(vpns.joined())\(fences.joined())</resources></configuration><status>\(states)</status></cib>".utf8))
  }

  /// Who serves each address; nil: it is promoted nowhere.
  static func monitor(_ places: [String?], without gone: String = "", on node: String = "") throws -> ClusterMonitor {
    let vpns = zip(["", "-b"], places).flatMap { suffix, place in
      ["vip", "xl2tpd"].flatMap { own in ["moon", "sun"].filter { $0 != node || own + suffix != gone }.map { "<resource id='\(own)\(suffix)' role='\($0 == place ? "Promoted" : "Unpromoted")' resource_agent='ocf:vpnha:\(own)'><node name='\($0)'/></resource>" } }
    }
    let others = ["moon", "sun"].map { "<resource id='strongswan' role='Started' resource_agent='ocf:vpnha:strongswan'><node name='\($0)'/></resource><resource id='fence-\($0)' role='Started' resource_agent='stonith:fence_bed'><node name='\($0 == "moon" ? "sun" : "moon")'/></resource>" }
    return try ClusterMonitor(Array("<s><nodes><node name='moon' online='true'/><node name='sun' online='true'/></nodes><resources>\((vpns + others).joined())</resources></s>".utf8))
  }

  static func statuses(_ places: [String?], lost moon: [String?], _ sun: [String?]) throws -> [ClusterStatus] {
    let now = try monitor(places)
    var all = try configuration().services.map { one in
      let loss = try now.serving(one.service).map { try monitor($0 == "moon" ? moon : sun) }
      return ClusterStatus(one, now, losingServing: loss, votes: nil, at: Self.now)
    }
    ClusterStatus.compare(&all)
    return all
  }

  @Test func eachHasItsOwnDaemonAndTheCommonOne() throws {
    let services = try Self.configuration().services
    #expect(services.map { $0.service.map(\.id) } == [["vip", "xl2tpd", "strongswan"], ["vip-b", "xl2tpd-b", "strongswan"]])
    #expect(services.map(\.gatewayAddress) == [IPAddress("203.0.113.50"), IPAddress("203.0.113.51")])
    let configuration = try Self.configuration()
    #expect(try configuration.looking(at: "203.0.113.51").service.first?.id == "vip-b")
    #expect(throws: SystemError.self) { try configuration.looking(at: nil) }
    #expect(throws: SystemError.self) { try configuration.looking(at: "203.0.113.52") }
  }

  @Test func eachOfTwoNodesServes() throws {
    let all = try Self.statuses(["moon", "sun"], lost: ["sun", "sun"], ["moon", "moon"])
    #expect(all.map(\.verdict) == [.good, .good] && all.map(\.serving) == ["moon", "sun"] && all.map(\.successor) == ["sun", "moon"])
    let lines = StatusReport(all, now: Self.now).text.split(separator: "\n")
    #expect(lines.prefix(2) == ["GOOD     203.0.113.50: moon serves; sun would take over now", "         203.0.113.51: sun serves; moon would take over now"])
    #expect(StatusReport(all, now: Self.now).json.contains(#""addresses":[{"address":"203.0.113.50","verdict":"good","serving":"moon","#))
  }

  @Test func theWorstOneSpeaksFirst() throws {
    let all = try Self.statuses(["moon", "sun"], lost: ["sun", "sun"], ["moon", nil])
    #expect(all.map(\.verdict) == [.good, .risk])
    let report = StatusReport(all, now: Self.now)
    #expect(report.status.verdict == .risk && report.brief == "AT RISK  203.0.113.51: sun serves; moon would NOT take over")
    #expect(report.text.contains("\n         203.0.113.50: moon serves; sun would take over now\n"))
    let dead = StatusReport(try Self.statuses(["moon", nil], lost: ["sun", nil], ["moon", nil]), now: Self.now)
    #expect(dead.status.verdict == .bad && dead.brief == "BAD      203.0.113.51: nobody serves")
  }

  /// What is missing of one address is no risk to the other one.
  @Test func aMemberOfOneIsNoneOfTheOther() throws {
    let now = try Self.monitor(["moon", "sun"], without: "vip-b", on: "moon")
    let all = try Self.configuration().services.map { ClusterStatus($0, now, losingServing: try Self.monitor(["moon", "sun"]), votes: nil, at: Self.now) }
    #expect(!all[0].findings.contains { $0.summary.contains("vip-b") })
  }

  @Test func whereOneNodeServesBothTheOtherOneIsNamed() throws {
    let all = try Self.statuses(["moon", "moon"], lost: ["sun", "sun"], [nil, nil])
    #expect(all.map(\.verdict) == [.good, .good])
    let both = try #require(StatusReport(all, now: Self.now).text.split(separator: "\n").first { $0.hasPrefix("BOTH1") })
    #expect(both.contains("moon serves 203.0.113.51 as well, and sun could"))
    #expect(all.flatMap(\.findings).filter { $0.id == .BOTH1 }.map(\.fix) == [["pcs resource move vpn-b-clone sun --promoted    # its clients dial again"]])
    // A node that could not take it is not asked to.
    #expect(try Self.statuses(["moon", "moon"], lost: [nil, nil], [nil, nil]).flatMap(\.findings).contains { $0.id == .BOTH1 } == false)
  }

  /// Each node would be worth as much as the other.
  @Test func equalPrioritiesAreARace() throws {
    func found(_ priorities: [Int]) throws -> [Finding] {
      ClusterChecks(configuration: try Self.configuration(priorities: priorities), votes: nil).findings().filter { [.RACE1, .DELAY2].contains($0.id) }
    }
    #expect(try found([10, 0]) == [])
    #expect(try found([10, 10]).map(\.id) == [.RACE1] && found([10, 5]).map(\.fix) == [["pcs resource meta vpn-b-clone priority="]])
    #expect(try found([0, 0]).map(\.id) == [.DELAY2])
  }
}
