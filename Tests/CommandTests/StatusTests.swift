import Glibc
import Host
import HostTestKit
import LinuxHost
import OCF
import Testing

@testable import vpnha

/// The recorded configuration of a healthy pair, changed in one place, judged with Pacemaker's own crm_mon and crm_simulate.
@Suite struct StatusTests {
  static func status(_ changes: [(String, String)], looks: Looks? = nil, _ edit: (String) -> String = { $0 }) throws -> ClusterStatus {
    let file = "/tmp/vpnha-status-\(getpid())-\(UInt32.random(in: 0 ... .max)).xml"
    defer { unlink(file) }
    let cib = edit(try Pair.cib(changes)).replacing("FIVE-SECONDS-AGO", with: "\(time(nil) - 5)")
    try LinuxFiles().replace(file, with: Array(cib.utf8), mode: 0o644)
    return try PacemakerTools(
      processes: LinuxProcesses(), files: LinuxFiles(), clock: LinuxClock(), environment: ["CIB_file": file]
    ).status(looks: looks, at: looks == nil ? nil : moment)
  }

  @Test func aHealthyPairIsGood() throws {
    let status = try Self.status([])
    #expect(status.verdict == .good)
    #expect(status.serving == "moon" && status.successor == "sun" && status.wouldSucceed == true)
    #expect(status.since == Timestamp(seconds: 1_795_867_513))
    #expect(status.findings == [] && status.past == [])
    #expect(status.nodes.map(\.role) == ["serves", "standby"] && status.nodes.map(\.score) == [300, 300] && status.nodes.map(\.path) == ["1", "1"])
  }

  /// Pacemaker 3.0's crm_simulate says in XML only what it injected, and schema 3 is an old one to it. That the answer is the right one is
  /// shown on Debian 13's nodes (`make bed-trixie`).
  @Test func pacemaker3IsAskedInTwoSteps() throws {
    let (old, new) = (Array(try Pair.cib([]).utf8), Array(try Pair.cib([(#"crm_feature_set="3.16.1""#, #"crm_feature_set="3.20.0""#)]).utf8))
    #expect(!PacemakerTools.isFromPacemaker3(old) && PacemakerTools.isFromPacemaker3(new))
    #expect(PacemakerTools.trusted(old) != old && PacemakerTools.trusted(new) == new)
    for (cib, steps) in [(old, 1), (new, 2)] {
      let machine = InMemoryMachine()
      var asked: [[String]] = []
      machine.processes.programs["/usr/sbin/crm_simulate"] = { command in
        asked.append(command.arguments)
        let path = command.arguments.first { $0.hasPrefix("--save-") }?.split(separator: "=").last.map(String.init)
        if let path { machine.files.put("<cib after=\"\(asked.count)\"/>", at: path) }
        return CommandResult(.exited(0), output: Array("<r><revised_cluster_status><nodes/><resources/></revised_cluster_status></r>".utf8))
      }
      let tools = PacemakerTools(machine.host)
      let saved = try tools.simulated([PacemakerTools.Question(arguments: ["--node-fail", "moon"], cib: cib, isSaved: true)])[0].cib
      _ = try tools.simulated(["--node-fail", "moon"], in: cib)
      _ = try tools.simulated([], in: cib)
      #expect(saved == Array("<cib after=\"\(steps)\"/>".utf8))
      #expect(asked.map { $0.contains("--node-fail") } == (steps == 1 ? [true, true, false] : [true, false, true, false, false]), "\(asked)")
      #expect(asked.map { $0.contains("--simulate") } == (steps == 1 ? [true, true, true] : [false, true, false, true, true]), "\(asked)")
    }
  }

  struct Case: CustomTestStringConvertible {
    var name: String
    var changes: [(String, String)]
    var would: Bool
    var verdict: Verdict = .risk
    var id: FindingID
    var fix: String
    var testDescription: String { name }
  }

  static let cases = [
    Case(
      name: "the standby is in standby", changes: [(#"<node id="2" uname="sun"/>"#, #"<node id="2" uname="sun"><instance_attributes id="n2"><nvpair id="n2-s" name="standby" value="on"/></instance_attributes></node>"#)],
      would: false, id: .NODE2, fix: "pcs node unstandby sun"),
    Case(name: "a ban", changes: [Pair.constraint(#"<rsc_location id="cli-ban-vpn-clone-on-sun" rsc="vpn-clone" node="sun" role="Promoted" score="-INFINITY"/>"#)], would: false, id: .BAN1, fix: "pcs resource clear vpn-clone"),
    Case(name: "a ban of a member", changes: [Pair.constraint(#"<rsc_location id="never" rsc="vpn-clone" node="sun" score="-INFINITY"/>"#)], would: false, id: .BAN1, fix: "pcs constraint delete never"),
    Case(name: "maintenance", changes: [Pair.property("maintenance-mode", "true")], would: false, id: .MAINT1, fix: "pcs property set maintenance-mode=false"),
    Case(name: "no path", changes: [Pair.attribute("sun", "vpnha-path", "0")], would: false, id: .PATH1, fix: "vpnha run --resource path monitor"),
    Case(
      name: "barred", changes: [Pair.attribute("sun", "fail-count-strongswan#start_0", "INFINITY"), Pair.attribute("sun", "last-failure-strongswan#start_0", "FIVE-SECONDS-AGO")],
      would: false, id: .BARRED1, fix: "pcs resource cleanup strongswan node=sun"),
    Case(name: "unfit", changes: [Pair.attribute("sun", "master-strongswan", "5"), Pair.attribute("sun", "vpnha-risk-strongswan", "2026-11-28T09:05:00Z connections: l2tp has no pre-shared key")], would: false, id: .UNFIT1, fix: "vpnha run --resource strongswan monitor --depth 10"),
    Case(
      name: "unfit, and what mends it", changes: [Pair.attribute("sun", "master-strongswan", "5"), Pair.attribute("sun", "vpnha-risk-strongswan", "2026-11-28T09:05:00Z connections: l2tp has no pre-shared key")],
      would: false, id: .UNFIT1, fix: "swanctl --load-creds"),
    Case(
      name: "a connection that its file has not", changes: [Pair.attribute("sun", "master-strongswan", "5"), Pair.attribute("sun", "vpnha-risk-strongswan", "2026-11-28T09:05:00Z connections: l2tp is not in /etc/swanctl/swanctl.conf")],
      would: false, id: .UNFIT1, fix: "editor /etc/swanctl/swanctl.conf"),
    Case(
      name: "what mends a risk", changes: [Pair.attribute("sun", "master-xl2tpd", "50"), Pair.attribute("sun", "vpnha-risk-xl2tpd", "2026-11-28T09:05:00Z moon gives out 10.9.0.10, too: make the ip ranges of the nodes disjoint")],
      would: true, id: .RISK1, fix: "pcs node standby sun"),
    Case(
      name: "pppd's options", changes: [Pair.attribute("sun", "master-xl2tpd", "5"), Pair.attribute("sun", "vpnha-risk-xl2tpd", "2026-11-28T09:05:00Z pppd: In file /etc/ppp/options.xl2tpd: unrecognized option 'crtscs'")],
      would: false, id: .UNFIT1, fix: "editor /etc/ppp/options.xl2tpd"),
    Case(name: "no score of one member", changes: [(#"id="status-2-master-xl2tpd" name="master-xl2tpd""#, #"id="status-2-gone" name="gone""#)], would: true, id: .SCORE1, fix: "pcs resource refresh xl2tpd node=sun"),
    Case(
      name: "no score of one member, which is on its way",
      changes: [
        (#"id="status-2-master-xl2tpd" name="master-xl2tpd""#, #"id="status-2-gone" name="gone""#),
        (
          #"operation_key="xl2tpd_start_0" operation="start" crm-debug-origin="do_update_resource" crm_feature_set="3.16.1" transition-key="34:7:0:0cabcf3f-b0d9-469b-9c87-6519b39617cd" transition-magic="0:0;34:7:0:0cabcf3f-b0d9-469b-9c87-6519b39617cd" exit-reason="" on_node="sun" call-id="43" rc-code="0" op-status="0""#,
          #"operation_key="xl2tpd_start_0" operation="start" crm-debug-origin="do_update_resource" crm_feature_set="3.16.1" transition-key="34:7:0:0cabcf3f-b0d9-469b-9c87-6519b39617cd" transition-magic="-1:193;34:7:0:0cabcf3f-b0d9-469b-9c87-6519b39617cd" exit-reason="" on_node="sun" call-id="-1" rc-code="193" op-status="-1""#
        ),
      ], would: true, id: .SCORE1, fix: "crm_resource --wait    # and then look again"),
    Case(name: "no fence device for the serving node", changes: [(#"name="pcmk_host_list" value="moon""#, #"name="pcmk_host_list" value="mars""#)], would: false, id: .FENCE2, fix: "pcs stonith create fence-moon AGENT … pcmk_host_list=moon"),
    Case(name: "levels that end another node", changes: [Pair.levels(#"<fencing-level id="l1" target="moon" index="1" devices="fence-sun"/>"#)], would: false, id: .FENCE2, fix: "pcs stonith level clear target moon"),
    Case(name: "levels that do", changes: [Pair.levels(#"<fencing-level id="l0" target="moon" index="1" devices="fence-sun"/><fencing-level id="l1" target="moon" index="2" devices="fence-moon"/>"#), Pair.fence("moon", "pcmk_delay_base", "10s")], would: true, id: .DELAY1, fix: "pcs stonith update fence-moon pcmk_delay_base="),
    Case(name: "a device that is kept off the one that is left", changes: [(#"rsc="fence-moon" node="moon""#, #"rsc="fence-moon" node="sun""#)], would: false, id: .FENCE3, fix: "pcs constraint delete location-fence-moon-moon--INFINITY"),
    Case(
      name: "a device that is switched off",
      changes: [
        (#"<primitive id="fence-moon" class="stonith" type="fence_bed">"#, #"<primitive id="fence-moon" class="stonith" type="fence_bed"><meta_attributes id="x"><nvpair id="x-t" name="target-role" value="Stopped"/></meta_attributes>"#),
        (#"operation_key="fence-moon_start_0" operation="start""#, #"operation_key="fence-moon_stop_0" operation="stop""#), (#"operation_key="fence-moon_monitor_60000" operation="monitor""#, #"operation_key="fence-moon_stop_0" operation="stop""#),
      ], would: false, id: .FENCE3, fix: "pcs stonith enable fence-moon"),
    Case(name: "given up before its delay is over", changes: [Pair.fence("moon", "pcmk_delay_base", "8s"), Pair.property("stonith-timeout", "2s")], would: false, id: .FENCE3, fix: "pcs property set stonith-timeout=60s"),
    Case(name: "plugs exchanged", changes: [(#"name="pcmk_host_list" value="moon""#, #"name="pcmk_host_map" value="moon:sun""#)], would: false, id: .FENCE3, fix: "pcs stonith update fence-moon pcmk_host_map= pcmk_host_list=moon"),
    Case(name: "one plug for both", changes: [(#"name="pcmk_host_list" value="moon""#, #"name="pcmk_host_map" value="moon:1;sun:1""#)], would: false, id: .FENCE3, fix: "pcs stonith update fence-moon pcmk_host_map=…"),
    Case(name: "given up by the device", changes: [(#"name="pcmk_host_list" value="moon""#, #"name="pcmk_host_list" value="moon"/><nvpair id="fence-moon-t" name="pcmk_reboot_timeout" value="2s"/><nvpair id="fence-moon-d" name="pcmk_delay_base" value="8s""#)], would: false, id: .FENCE3, fix: "pcs stonith update fence-moon pcmk_reboot_timeout="),
    Case(name: "at risk only", changes: [Pair.attribute("sun", "master-xl2tpd", "50"), Pair.attribute("sun", "vpnha-risk-xl2tpd", "2026-11-28T09:05:00Z the pools overlap")], would: true, id: .RISK1, fix: "vpnha run --resource xl2tpd monitor --depth 10"),
    Case(
      name: "another program's rules", changes: [Pair.attribute("sun", "vpnha-risk-firewall", "2026-11-28T09:05:00Z accept UDP 500, UDP 4500 in chain input of table inet filter, which drops them")],
      would: false, id: .FILTER1, fix: "nft insert rule inet filter input udp dport 500 accept"),
    Case(name: "other rules", changes: [Pair.attribute("sun", "firewall-digest", "0123456789abcdef")], would: true, id: .DRIFT1, fix: "nft list table inet vpnha"),
    Case(name: "fencing off", changes: [(#"name="stonith-enabled" value="true""#, #"name="stonith-enabled" value="false""#)], would: true, id: .FENCE1, fix: "pcs property set stonith-enabled=true"),
  ]

  /// What corosync goes by counts, not what its file says by now.
  @Test func theVotesInForceCount() {
    let nodes = "nodelist {\n node {\n ring0_addr: a\n }\n node {\n ring0_addr: b\n }\n}\n"
    func found(_ quorum: String, _ runs: Bool?) -> [Finding.Severity] {
      var votes = CorosyncConfiguration(nodes + "quorum {\n \(quorum)\n}\n")
      votes.runsAsTwoNode = runs
      return votes.findings.map(\.severity)
    }
    #expect(found("two_node: 1", nil) == [] && found("two_node: 1", true) == [] && found("two_node: 1", false) == [.bad])
    #expect(found("", nil) == [.bad] && found("", false) == [.bad] && found("", true) == [.risk])
  }

  /// As crm_mon prints it before anything is configured.
  @Test func aClusterWithoutResourcesIsRead() throws {
    let monitor = try ClusterMonitor(Array("<pacemaker-result><nodes><node name='moon' online='true'/></nodes></pacemaker-result>".utf8))
    #expect(monitor.nodes.map(\.name) == ["moon"] && monitor.serving([]) == nil)
  }

  @Test func aCommandForTheOtherNodeSaysSo() throws {
    var status = try Self.status([Pair.attribute("sun", "master-strongswan", "5"), Pair.attribute("sun", "vpnha-risk-strongswan", "2026-11-28T09:05:00Z connections: l2tp has no pre-shared key")])
    status.locate(from: "sun")
    #expect(status.reasons.first { $0.id == .UNFIT1 }?.fix.contains("swanctl --load-creds") == true)
    status.locate(from: "moon")
    #expect(status.reasons.first { $0.id == .UNFIT1 }?.fix.contains("swanctl --load-creds    # on sun") == true)
  }

  /// A group runs up to the member that fails: an address that answers is no VPN.
  @Test(arguments: [["xl2tpd"], ["strongswan", "xl2tpd"]]) func anAddressWithoutAVPNBehindItIsBad(missing: [String]) throws {
    let members = ["vip", "strongswan", "xl2tpd"]
    let primitives = members.map { "<primitive id='\($0)' class='ocf' provider='vpnha' type='\($0)'/>" }.joined()
    let configuration = try ClusterConfiguration(Array("<cib><configuration><resources><group id='vpn'>\(primitives)</group></resources></configuration></cib>".utf8))
    let resources = members.map { "<resource id='\($0)' role='\(missing.contains($0) ? "Stopped" : "Started")' resource_agent='ocf:vpnha:\($0)'>\(missing.contains($0) ? "" : "<node name='moon'/>")</resource>" }.joined()
    let monitor = try ClusterMonitor(Array("<status><nodes><node name='moon' online='true'/><node name='sun' online='true'/></nodes><resources>\(resources)</resources></status>".utf8))
    let status = ClusterStatus(configuration, monitor, losingServing: nil, votes: nil, looks: Looks(), at: Self.moment)
    #expect(status.verdict == .bad && status.serving == nil)
    let found = try #require(status.findings.first { $0.id == .HALF1 })
    #expect(found.summary == "the address is on moon, and \(missing.joined(separator: ", ")) \(missing.count == 1 ? "does" : "do") not serve there")
    #expect(found.fix == missing.map { "pcs resource cleanup \($0)" })
  }

  /// Nothing runs on the standby of a plain group: what a start would come to is known there, and nowhere else.
  @Test func thePeerOfAPlainGroupIsAskedWhatAStartWouldComeTo() throws {
    let members = ["vip", "strongswan", "xl2tpd"]
    let primitives = members.map { "<primitive id='\($0)' class='ocf' provider='vpnha' type='\($0)'/>" }.joined()
    let off = "<crm_config><cluster_property_set id='p'><nvpair id='s' name='stonith-enabled' value='false'/></cluster_property_set></crm_config>"
    let configuration = try ClusterConfiguration(Array("<cib><configuration>\(off)<resources><group id='vpn'>\(primitives)</group></resources></configuration></cib>".utf8))
    func monitor(serving node: String) throws -> ClusterMonitor {
      let resources = members.map { "<resource id='\($0)' role='Started' resource_agent='ocf:vpnha:\($0)'><node name='\(node)'/></resource>" }.joined()
      return try ClusterMonitor(Array("<status><nodes><node name='moon' online='true'/><node name='sun' online='true'/></nodes><resources>\(resources)</resources></status>".utf8))
    }
    func judged(on here: String, _ foreseen: [String: ResourceState]) throws -> ClusterStatus {
      var looks = Looks()
      (looks.here, looks.foreseen) = (here, foreseen)
      return ClusterStatus(configuration, try monitor(serving: "moon"), losingServing: try monitor(serving: "sun"), votes: nil, looks: looks, at: Self.moment)
    }
    let good: [String: ResourceState] = ["vip": .running, "strongswan": .running, "xl2tpd": .running]
    let there = try judged(on: "moon", [:])
    #expect(there.wouldSucceed == nil && there.reasons.map(\.summary) == ["vip, strongswan, xl2tpd would be started on sun: whether that works is known there"])
    #expect(try judged(on: "sun", good).wouldSucceed == true && judged(on: "sun", good).reasons == [])
    let risky = try judged(on: "sun", good.merging(["xl2tpd": .atRisk("the pools overlap")]) { $1 })
    #expect(risky.wouldSucceed == true && risky.reasons.map(\.severity) == [.risk])
    for (state, why) in [(ResourceState.failed("config: /etc/swanctl/swanctl.conf is missing"), "strongswan would not start on sun"), (.atRisk("connections: l2tp has no pre-shared key", unfit: true), "strongswan on sun could not serve")] {
      let bad = try judged(on: "sun", good.merging(["strongswan": state]) { $1 })
      #expect(bad.wouldSucceed == false && bad.reasons.map(\.id) == [.UNFIT1] && bad.reasons.first?.summary.hasPrefix(why) == true, "\(bad.reasons)")
      #expect(bad.reasons.first?.fix.last == "vpnha check --resource strongswan")
    }
  }

  @Test(arguments: cases) func whatStandsInTheWay(_ one: Case) throws {
    let status = try Self.status(one.changes)
    #expect(status.serving == "moon")
    #expect(status.wouldSucceed == one.would)
    #expect(status.verdict == one.verdict)
    let finding = status.findings.first { $0.id == one.id }
    #expect(finding?.fix.contains(one.fix) == true, "\(status.findings)")
    // In the way, or merely a risk.
    #expect(status.reasons.contains { $0.severity == .bad } == !one.would, "\(status.reasons)")
    #expect(status.findings.filter { $0.severity != .note }.map(\.id).allSatisfy { $0 == one.id }, "\(status.findings)")
  }

  /// As after the death of a node's attribute daemon.
  @Test func withoutAnyScoreNothingIsPromoted() throws {
    // A location rule for the promoted role would be a score as well.
    let status = try Self.status([(#"role="Promoted" score="1000""#, #"role="Promoted" score="0""#)] + ["vip", "strongswan", "xl2tpd"].map { ("id=\"status-2-master-\($0)\" name=\"master-\($0)\"", "id=\"status-2-no-\($0)\" name=\"no-\($0)\"") })
    #expect(status.wouldSucceed == false)
    #expect(status.reasons.map(\.id) == [.SCORE1, .SCORE1, .SCORE1] && status.reasons.allSatisfy { $0.severity == .bad })
  }

  /// The start of a resource on sun failed, and then it succeeded.
  static func failedOnce(_ resource: String, reason: String) -> (String) -> String {
    { cib in
      cib.split(separator: "\n", omittingEmptySubsequences: false).flatMap { line -> [String] in
        guard line.contains("on_node=\"sun\""), line.contains("id=\"\(resource)_last_0\"") else { return [String(line)] }
        let failure = String(line).replacing("id=\"\(resource)_last_0\"", with: "id=\"\(resource)_last_failure_0\"")
          .replacing("exit-reason=\"\"", with: "exit-reason=\"\(reason)\"").replacing("rc-code=\"0\"", with: "rc-code=\"1\"")
          .replacing("transition-magic=\"0:0;", with: "transition-magic=\"0:1;")
        return [failure, String(line).replacing("call-id=\"", with: "call-id=\"1")]
      }.joined(separator: "\n").replacing("call-id=\"50\" ", with: "call-id=\"2050\" ").replacing("call-id=\"51\" ", with: "call-id=\"2051\" ")
    }
  }

  @Test func whatIsOverIsHistory() throws {
    let status = try Self.status([], Self.failedOnce("firewall", reason: "nft said no"))
    #expect(status.verdict == .good && status.findings == [])
    #expect(status.past.map(\.reason) == ["nft said no"] && status.past.first?.node == "sun" && status.past.first?.resource == "firewall")
    let text = StatusReport(status: status, now: Timestamp(seconds: 1_795_867_513 + 60)).text
    #expect(text.contains("was  sun: firewall start failed") && text.contains("pcs resource cleanup firewall"))
  }

  @Test func aFirewallThatIsMissingOnTheStandby() throws {
    let status = try Self.status(
      [Pair.attribute("sun", "fail-count-firewall#start_0", "INFINITY"), Pair.attribute("sun", "last-failure-firewall#start_0", "FIVE-SECONDS-AGO")]
    ) { cib in
      cib.split(separator: "\n").filter { !($0.contains("on_node=\"sun\"") && $0.contains("id=\"firewall_monitor")) }.map { line in
        line.contains("on_node=\"sun\"") ? String(line).replacing("operation_key=\"firewall_start_0\" operation=\"start\"", with: "operation_key=\"firewall_stop_0\" operation=\"stop\"") : String(line)
      }.joined(separator: "\n")
    }
    #expect(status.wouldSucceed == false)
    #expect(status.findings.contains { $0.id == .BARRED1 && $0.fix == ["pcs resource cleanup firewall node=sun"] }, "\(status.findings)")
    #expect(status.findings.contains { $0.id == .WALL1 && $0.place == "sun" }, "\(status.findings)")
  }

  @Test func neitherNodeHasAPath() throws {
    let status = try Self.status([Pair.attribute("sun", "vpnha-path", "0"), Pair.attribute("moon", "vpnha-path", "0")])
    #expect(status.findings.map(\.summary) == ["sun has no way to the world (path)", "moon has no way to the world (path)"])
    #expect(status.verdict == .risk)
  }

  @Test func conntrackdElsewhereIsARisk() throws {
    let status = try Self.status([], Pair.withConntrackdOnSun)
    #expect(status.findings.first { $0.id == .SPLT1 }?.fix.first == "pcs resource move conntrackd-clone moon --promoted")
    #expect(status.wouldSucceed == true && status.verdict == .risk)
  }

  @Test func aBarEndsWithFailureTimeout() throws {
    let status = try Self.status([
      Pair.attribute("sun", "fail-count-strongswan#start_0", "INFINITY"), Pair.attribute("sun", "last-failure-strongswan#start_0", "FIVE-SECONDS-AGO"),
    ])
    let until = try #require(status.nodes.last?.barredUntil)
    #expect(abs(until.seconds - (Int64(time(nil)) + 25)) <= 20, "thirty seconds after the failure")
  }

  @Test func oneVoteOfTwoIsNoQuorum() throws {
    let two = "totem {\n}\nnodelist {\n  node {\n    ring0_addr: 10.0.0.1\n  }\n  node {\n    ring0_addr: 10.0.0.2\n  }\n}\n"
    #expect(CorosyncConfiguration(two + "quorum {\n  provider: corosync_votequorum\n}\n").findings.map(\.id) == [.QUOR2])
    #expect(CorosyncConfiguration(two + "quorum {\n  two_node: 1\n}\n").findings == [])
    #expect(CorosyncConfiguration(two + "quorum {\n  device {\n    model: net\n  }\n}\n").findings == [])
  }

  @Test func nobodyServing() throws {
    // The cluster has only just been configured.
    let status = try Self.status([]) { cib in
      guard let start = cib.firstRange(of: "<status>"), let end = cib.firstRange(of: "</status>") else { return cib }
      return cib[..<start.lowerBound] + "<status/>" + cib[end.upperBound...]
    }
    #expect(status.serving == nil && status.verdict == .bad && status.wouldSucceed == nil)
    #expect(status.findings.first?.id == .SERV1)
    #expect(StatusReport(status: status, now: Timestamp(seconds: 0)).brief == "BAD      nobody serves")
  }

  /// What was typed on a live pair, and the command that brings the service back: a cleanup does not.
  @Test(arguments: [
    (Pair.meta("vpn-clone", "target-role", "Stopped"), "vpn-clone is switched off (target-role=Stopped)", "pcs resource enable vpn-clone"),
    (Pair.meta("vpn-clone", "target-role", "Unpromoted"), "vpn-clone is switched off (target-role=Unpromoted)", "pcs resource enable vpn-clone"),
    (Pair.property("stop-all-resources", "true"), "every resource is switched off (stop-all-resources)", "pcs property set stop-all-resources=false"),
    (Pair.property("symmetric-cluster", "false"), "symmetric-cluster=false, and no constraint lets vpn-clone run anywhere", "pcs property set symmetric-cluster=true"),
    // The VPN runs nowhere without it.
    (Pair.meta("firewall-clone", "target-role", "Stopped"), "firewall-clone is switched off (target-role=Stopped)", "pcs resource enable firewall-clone"),
    ((#"<primitive id="xl2tpd" class="ocf" type="xl2tpd" provider="vpnha">"#, #"<primitive id="xl2tpd" class="ocf" type="xl2tpd" provider="vpnha"><meta_attributes id="x"><nvpair id="x-t" name="target-role" value="Stopped"/></meta_attributes>"#), "xl2tpd is switched off (target-role=Stopped)", "pcs resource enable xl2tpd"),
  ]) func whatIsSwitchedOffIsSwitchedOn(change: (String, String), summary: String, fix: String) throws {
    let status = try Self.status([change])
    let first = try #require(status.findings.first)
    #expect(status.verdict == .bad && first.id == .OFF1 && first.summary == summary && first.fix == [fix])
    #expect(!status.findings.contains { [.SERV1, .MEMB1, .HALF1].contains($0.id) })
  }

  /// All the rest of it is as on a healthy pair, so that only the configuration says what is wrong.
  @Test func membersWithoutRolesServeNobody() throws {
    let status = try Self.status([(#"name="promotable" value="true""#, #"name="promotable" value="false""#)])
    let first = try #require(status.findings.first)
    #expect(status.serving == nil && status.verdict == .bad && first.id == .CLONE3 && first.fix == ["pcs resource meta vpn-clone promotable=true"])
  }

  @Test func anUnhealthyNodeTakesNothingOver() throws {
    let changes = [Pair.attribute("sun", "#health-disk", "red"), Pair.property("node-health-strategy", "migrate-on-red")]
    let status = try Self.status(changes)
    #expect(status.wouldSucceed == false && status.verdict == .risk)
    let finding = try #require(status.findings.first { $0.id == .NODE3 })
    #expect(finding.summary == "sun is unhealthy (#health-disk red), and node-health-strategy=migrate-on-red keeps everything off it")
    #expect(finding.fix.first?.hasPrefix("attrd_updater --node sun --name '#health-disk' --delete") == true)
    // Nobody acts on it.
    #expect(try Self.status([changes[0]]).verdict == .good)

    // Written down by hand, and no attribute daemon has it.
    let kept = (#"<node id="2" uname="sun"/>"#, ##"<node id="2" uname="sun"><instance_attributes id="n2"><nvpair id="n2-h" name="#health-disk" value="red"/></instance_attributes></node>"##)
    let other = try #require(try Self.status([kept, changes[1]]).findings.first { $0.id == .NODE3 })
    #expect(other.summary == finding.summary && other.fix == ["crm_attribute --node sun --name '#health-disk' --delete"])
  }

  /// Nothing failed, and a cleanup would change nothing.
  @Test func whatPacemakerDoesNotPlaceIsNotCleanedUp() throws {
    let rule = Pair.constraint(#"<rsc_location id="r" rsc="vpn-clone"><rule id="r1" score="-INFINITY"><expression id="r2" attribute="site" operation="not_defined"/></rule></rsc_location>"#)
    func stopped(_ cib: String) -> String {
      cib.split(separator: "\n", omittingEmptySubsequences: false).map { line in
        guard ["vip", "strongswan", "xl2tpd"].contains(where: { line.contains("operation_key=\"\($0)_") }) else { return String(line) }
        // Stopped, as Pacemaker's history has it.
        guard !line.contains("operation=\"monitor\"") else { return "" }
        return String(line).replacing("_promote_0\"", with: "_stop_0\"").replacing("_start_0\"", with: "_stop_0\"").replacing("operation=\"promote\"", with: "operation=\"stop\"").replacing("operation=\"start\"", with: "operation=\"stop\"")
      }.joined(separator: "\n")
    }
    let status = try Self.status([], stopped)
    let ruled = try Self.status([rule], stopped)
    #expect(ruled.findings.filter { $0.id == .BAN1 }.map(\.fix) == [["pcs constraint delete r"], ["pcs constraint delete r"]])
    #expect(status.findings.contains { $0.id == .MEMB1 && $0.fix.first?.hasPrefix("crm_simulate -sL | grep 'vip.* on sun'") == true }, "\(status.findings)")
    #expect(status.verdict == .bad && !status.findings.map(\.fix).joined().contains { $0.contains("cleanup") }, "\(status.findings)")
  }

  @Test func twoPromotedMembersAreBadAndOneInstanceIsARisk() throws {
    func meta(_ name: String, _ old: String, _ new: String) -> (String, String) { (#"name="\#(name)" value="\#(old)""#, #"name="\#(name)" value="\#(new)""#) }
    let two = try Self.status([meta("promoted-max", "1", "2")])
    #expect(two.verdict == .bad && two.findings.first?.id == .TWO1)
    let one = try Self.status([(#"<nvpair id="vpn-clone-meta_attributes-clone-max" name="clone-max" value="2"/>"#, #"<nvpair id="vpn-clone-meta_attributes-clone-max" name="clone-max" value="1"/>"#)])
    #expect(one.findings.contains { $0.id == .CLONE4 && $0.severity == .risk && $0.fix == ["pcs resource meta vpn-clone clone-max="] })
  }

  // MARK: What was seen of the daemons

  static let moment = Timestamp(seconds: 1_795_867_600)

  static func looks(_ change: (inout Looks) -> Void = { _ in }) -> Looks {
    var looks = Looks()
    for (index, member) in ["vip", "strongswan", "xl2tpd", "conntrackd", "sessions"].enumerated() {
      for node in ["moon", "sun"] { looks.told[member, default: [:]][node] = Look(at: Timestamp(seconds: moment.seconds - 10 - Int64(index)), version: "0.2.0", counts: [:]) }
    }
    looks.told["strongswan"]?["sun"]?.counts = ["sas": 214]
    looks.told["xl2tpd"]?["moon"]?.counts = ["sessions": 207]
    looks.told["conntrackd"]?["sun"]?.counts = ["flows": 1898]
    looks.told["sessions"]?["moon"]?.counts = ["ledger": 207]
    looks.told["sessions"]?["sun"]?.counts = ["ledger": 206]
    change(&looks)
    return looks
  }

  @Test func whatTheNodesCountIsShown() throws {
    let status = try Self.status([], looks: Self.looks())
    #expect(status.verdict == .good && status.wouldSucceed == true)
    let sun = try #require(status.nodes.last)
    #expect(sun.sas == 214 && sun.flows == 1898 && sun.sessions == nil && sun.version == "0.2.0")
    #expect(sun.looked == Timestamp(seconds: Self.moment.seconds - 12), "the least recent one of those that serve")
    let report = StatusReport(status: status, now: Self.moment)
    #expect(report.json.contains(#""sun":{"role":"standby","path":"up","sessions":null,"sas":214,"flows":1898,"ledger":206,"version":"0.2.0","looked":"2026-11-28T12:06:28Z","#))
    #expect(report.text.split(separator: "\n").allSatisfy { $0.count <= 80 })
    #expect(report.text.contains("\nsun knows 206 sessions, moon carries 207 (ledger)\n") || report.text.hasSuffix("\nsun knows 206 sessions, moon carries 207 (ledger)"))
  }

  @Test(arguments: [(1, 0, true), (1, 1, false), (0, 0, false), (0, 1, false), (nil, 0, false)] as [(UInt64?, UInt64, Bool)])
  func aWayThatOnlyTheServingNodeHas(_ serving: UInt64?, _ standby: UInt64, _ isTold: Bool) throws {
    let status = try Self.status(
      [],
      looks: Self.looks {
        $0.told["vip"]?["moon"]?.counts[Look.defaultRoute] = serving
        $0.told["vip"]?["sun"]?.counts[Look.defaultRoute] = standby
      })
    #expect(status.wouldSucceed == true && status.findings.map(\.id) == (isTold ? [.WAY1] : []) && status.verdict == (isTold ? .risk : .good))
  }

  @Test func aDaemonOfPacemakersThatIsStoppedIsNamed() throws {
    let machine = InMemoryMachine()
    machine.processes.appear("/usr/lib/pacemaker/pacemaker-controld")
    machine.processes.appear("/usr/sbin/pacemakerd")
    let silent = SystemError("asking /usr/sbin/crm_mon", .timedOut)
    #expect(StatusCommand.unanswered(silent, machine.processes).fix.last?.hasPrefix("systemctl restart pacemaker") == true)
    let stopped = machine.processes.appear("/usr/lib/pacemaker/pacemaker-execd", state: "T")
    let finding = StatusCommand.unanswered(silent, machine.processes)
    #expect(finding.id == .PCMK2 && finding.fix.first?.hasPrefix("kill -CONT \(stopped.pid) ") == true)
    for (here, would) in [("sun", false), ("moon", true)] {
      let status = try Self.status([], looks: Self.looks { ($0.here, $0.stoppedDaemons) = (here, StoppedDaemon.all(machine.processes)) })
      #expect(status.wouldSucceed == would && status.reasons.map(\.id) == (would ? [] : [.PCMK2]))
    }
    #expect(StatusCommand.unanswered(silent, InMemoryMachine().processes).fix.first == "pcs cluster start")
  }

  @Test func whatNobodyHasLookedAtIsNotKnown() throws {
    for last in [nil, Look(at: Timestamp(seconds: Self.moment.seconds - 151), version: "0.2.0", counts: [:])] {
      let status = try Self.status([], looks: Self.looks { $0.told["strongswan"]?["sun"] = last })
      #expect(status.wouldSucceed == nil && status.verdict == .risk && status.successor == "sun")
      #expect(status.reasons.map(\.id) == [.LOOK1])
      #expect(StatusReport(status: status, now: Self.moment).brief.hasSuffix("whether sun would take over is not known"))
    }
    // On the node itself it is looked at now.
    let there = try Self.status(
      [],
      looks: Self.looks {
        $0.told["strongswan"] = nil
        $0.here = "sun"
        $0.seen["strongswan"] = .running
      })
    #expect(there.wouldSucceed == true)
  }

  @Test(arguments: [ResourceState.failed("charon is suspended"), .stopped, .atRisk("no key", unfit: true)])
  func whatIsSeenHereCountsBeforeTheClusterKnows(_ state: ResourceState) throws {
    let standby = try Self.status(
      [],
      looks: Self.looks {
        $0.here = "sun"
        $0.seen["strongswan"] = state
      })
    let isUnfit = if case .atRisk = state { true } else { false }
    // What Pacemaker has to restart first may be back in time.
    #expect(standby.wouldSucceed == (isUnfit ? false : nil) && standby.reasons.map(\.id) == [isUnfit ? .UNFIT1 : .LOOK2] && standby.verdict == .risk)
    let serving = try Self.status(
      [],
      looks: Self.looks {
        $0.here = "moon"
        $0.seen["strongswan"] = state
      })
    #expect(serving.wouldSucceed == true)
    #expect(serving.verdict == .bad && serving.serving == "moon" && serving.findings.map(\.id) == [isUnfit ? .SHUT1 : .DOWN1])
  }

  /// The close look says it to the other node, and the risk says why.
  @Test(arguments: [(true, "moon", [.SHUT1]), (false, "moon", [.RISK1]), (true, "sun", [.RISK1])] as [(Bool, String, [FindingID])])
  func whoeverDialsInIsTurnedAway(isUnfit: Bool, node: String, found: [FindingID]) throws {
    let looks = Self.looks {
      $0.here = node == "moon" ? "sun" : "moon"
      $0.told["strongswan", default: [:]][node]?.counts[Look.unfit] = isUnfit ? 1 : nil
    }
    let status = try Self.status([Pair.attribute(node, "vpnha-risk-strongswan", "2026-11-28T09:05:00Z connections: l2tp has no pre-shared key for 203.0.113.50 in /etc/swanctl/swanctl.conf")], looks: looks)
    #expect(status.findings.map(\.id) == found && status.verdict == (found == [.SHUT1] ? .bad : .risk) && status.wouldSucceed == true, "\(status.findings)")
    #expect(status.findings.first?.fix == ["editor /etc/swanctl/swanctl.conf    # on \(node)", "swanctl --load-creds    # on \(node)"])
  }

  /// Nobody new gets in, whoever is in stays.
  @Test func whatAnotherTableDropsWhereItServesIsBad() throws {
    let status = try Self.status([Pair.attribute("moon", "vpnha-risk-firewall", "2026-11-28T09:05:00Z accept UDP 500 in chain input of table inet filter, which drops them")])
    #expect(status.verdict == .bad && status.findings.map(\.id) == [.FILTER1] && status.serving == "moon" && status.wouldSucceed == true)
  }

  /// The rest of what goes with the VPN is looked at here as well.
  @Test func whatGoesWithItIsLookedAtHere() throws {
    let status = try Self.status(
      [],
      looks: Self.looks {
        $0.here = "sun"
        $0.seen["firewall"] = .failed("table inet vpnha is missing")
        $0.seen["conntrackd"] = .stopped
      })
    #expect(status.wouldSucceed == true && status.findings.map(\.id) == [.SIDE1, .WALL1], "\(status.findings)")
    #expect(status.findings.map(\.summary) == ["conntrackd on sun: it does not run, and Pacemaker has not noticed yet", "firewall on sun: table inet vpnha is missing"])
  }

  /// What only the node that is left knows: whether its own fencer could end the other one.
  @Test(
    arguments: [
      (["fence-moon"], [], true), ([], [], false), (["fence-sun"], [], false), (nil, [], false), (["fence-moon"], ["fence-moon"], false), (["fence-moon"], ["fence-sun"], true),
    ] as [([String]?, Set<String>, Bool)]) func theFencerHereIsAsked(known: [String]?, absent: Set<String>, would: Bool) throws
  {
    func status(on here: String) throws -> ClusterStatus {
      try Self.status(
        [],
        looks: Self.looks {
          $0.here = here
          $0.enders = ["moon": known.map { Set($0) }]
          $0.absentFences = absent
        })
    }
    let there = try status(on: "sun")
    #expect(there.wouldSucceed == would && there.findings.map(\.id) == (would ? [] : [.FENCE3]) && there.findings.allSatisfy { $0.severity == .bad && !$0.fix.isEmpty })
    // Where it serves, that is no matter.
    #expect(try status(on: "moon").wouldSucceed == true)
  }

  @Test func aWatchdogIsAFence() throws {
    let none = [(#"name="pcmk_host_list" value="moon""#, #"name="pcmk_host_list" value="mars""#)]
    #expect(try Self.status(none + [Pair.property("have-watchdog", "true"), Pair.property("stonith-watchdog-timeout", "10s")]).wouldSucceed == true)
    #expect(try Self.status(none + [Pair.property("have-watchdog", "true"), Pair.property("stonith-watchdog-timeout", "0")]).wouldSucceed == false)
    #expect(try Self.status(none + [Pair.property("have-watchdog", "false"), Pair.property("stonith-watchdog-timeout", "10s")]).wouldSucceed == false)
  }

  /// Reloaded, and put into maintenance before a monitor told its role: Pacemaker has it as unpromoted for as long as that lasts.
  @Test(arguments: ["moon", "sun"]) func aMemberThatWasReloadedIsNotKnownToStandBy(_ here: String) throws {
    func reloaded(_ cib: String) -> String {
      cib.replacing(#"operation_key="strongswan_promote_0" operation="promote""#, with: #"operation_key="strongswan_reload-agent_0" operation="reload-agent""#).split(separator: "\n")
        .filter { !$0.contains(#"<lrm_rsc_op id="strongswan_monitor_10000""#) && !$0.contains(#"<lrm_rsc_op id="strongswan_monitor_60000""#) }.joined(separator: "\n")
    }
    let status = try Self.status(
      [Pair.property("maintenance-mode", "true")],
      looks: Self.looks {
        $0.here = here
        $0.seen = ["vip": here == "moon" ? .promoted : .running, "strongswan": here == "moon" ? .promoted : .running, "xl2tpd": here == "moon" ? .promoted : .running]
      }, reloaded)
    #expect(!status.findings.contains { [.HALF1, .SERV1].contains($0.id) } && status.findings.contains { $0.id == .MAINT1 }, "\(status.findings)")
    #expect(status.serving == (here == "moon" ? "moon" : nil) && status.verdict != .bad)
  }

  /// As a live pair of Pacemaker 2.1.5 was seen for 80 s after four refreshes, while it served all the time: nothing of its history is left.
  @Test(arguments: ["moon", "sun", nil]) func whatPacemakerHasForgottenIsNotStopped(_ here: String?) throws {
    func refreshed(_ cib: String) -> String {
      let parts = cib.split(separator: "<lrm_resources>")
      return parts.enumerated().map { index, part in index == 0 ? part : part[(part.firstRange(of: "</lrm_resources>")?.lowerBound ?? part.startIndex)...] }.joined(separator: "<lrm_resources>")
    }
    func status(_ seen: ResourceState) throws -> ClusterStatus {
      try Self.status(
        [],
        looks: Self.looks {
          $0.here = here
          for member in ["vip", "strongswan", "xl2tpd"] { $0.seen[member] = here == nil ? nil : seen }
        }, refreshed)
    }
    let standby = try status(.running)
    #expect(standby.verdict == .unknown && standby.serving == nil && standby.wouldSucceed == nil)
    #expect(standby.findings.map(\.id) == [.ASKS1] && !standby.findings.map(\.fix).joined().contains { $0.contains("pcs") })
    #expect(StatusReport(status: standby, now: Self.moment).brief == "UNKNOWN  who serves is not known here")
    guard let here else { return }
    let serving = try status(.promoted)
    #expect(serving.verdict == .risk && serving.serving == here && serving.wouldSucceed == nil && serving.findings.map(\.id) == [.ASKS1])
    #expect(Set(serving.nodes.map(\.role)) == ["serves", "unknown"])
    // What is broken is seen all the same.
    let broken = try Self.status(
      [],
      looks: Self.looks {
        $0.here = here
        $0.seen = ["vip": .promoted, "strongswan": .failed("charon has ended"), "xl2tpd": .promoted]
      }, refreshed)
    #expect(broken.verdict == .bad && broken.findings.map(\.id) == [.DOWN1, .ASKS1])
  }

  @Test func everyRiskIsAFindingOfItsOwn() throws {
    let text = "2026-11-28T09:05:00Z no key; and the pools overlap (since 2026-11-28T09:06:00Z); and no user"
    let unfit = try Self.status([Pair.attribute("sun", "master-xl2tpd", "5"), Pair.attribute("sun", "vpnha-risk-xl2tpd", text)])
    func said(_ findings: [Finding]) -> [String] { findings.map { "\($0.id) \($0.summary) \($0.since.map { "\($0)" } ?? "")" } }
    #expect(
      said(unfit.findings) == [
        "UNFIT1 xl2tpd on sun could not serve: no key 2026-11-28T09:05:00Z", "RISK1 xl2tpd on sun: the pools overlap 2026-11-28T09:06:00Z", "RISK1 xl2tpd on sun: no user 2026-11-28T09:05:00Z",
      ])
    #expect(RiskReport(text).text == text && RiskReport("what is this").entries == [.init(since: nil, "what is this")])
  }

  @Test func whatIsMendedIsSeenAtOnce() throws {
    let unfit = [Pair.attribute("sun", "master-strongswan", "5"), Pair.attribute("sun", "vpnha-risk-strongswan", "2026-11-28T09:05:00Z no key")]
    #expect(try Self.status(unfit, looks: Self.looks()).wouldSucceed == false)
    #expect(
      try Self.status(
        unfit,
        looks: Self.looks {
          $0.here = "sun"
          $0.seen["strongswan"] = .running
        }
      ).wouldSucceed == true)
  }

  @Test func twoVersionsAreARisk() throws {
    let status = try Self.status([], looks: Self.looks { $0.told["vip"]?["sun"]?.version = "0.1.0" })
    #expect(status.findings.map(\.id) == [.VERS1] && status.verdict == .risk && status.wouldSucceed == true)
  }

  // MARK: What is printed

  @Test func theVerdictIsTheFirstLine() throws {
    let healthy = StatusReport(status: try Self.status([]), now: Timestamp(seconds: 1_795_867_513 + 3700))
    #expect(healthy.brief == "GOOD     moon serves, for 1 h; sun would take over now")
    #expect(healthy.text.split(separator: "\n").first.map(String.init) == healthy.brief)
    #expect(
      healthy.json
        == #"{"verdict":"good","serving":"moon","since":"2026-11-28T12:05:13Z","failover":{"would_succeed":true,"to":"sun","reasons":[]},"nodes":{"moon":{"role":"serves","path":"up","sessions":null,"sas":null,"flows":null,"ledger":null,"version":null,"looked":null,"score":300,"risks":[],"barred_until":null},"sun":{"role":"standby","path":"up","sessions":null,"sas":null,"flows":null,"ledger":null,"version":null,"looked":null,"score":300,"risks":[],"barred_until":null}},"findings":[],"fencing":[],"was":[]}"#)
  }

  @Test func anUnfitStandbyInWords() throws {
    let status = try Self.status([
      Pair.attribute("sun", "master-strongswan", "5"),
      Pair.attribute("sun", "vpnha-risk-strongswan", "2026-11-28T12:05:13Z connections: l2tp has no pre-shared key for 203.0.113.50 in /etc/swanctl/swanctl.conf"),
    ])
    let text = StatusReport(status: status, now: Timestamp(seconds: 1_795_867_513 + 60)).text
    #expect(text.hasPrefix("AT RISK  moon serves, for 1 min; sun would NOT take over\n"))
    #expect(text.contains("UNFIT1   bad   strongswan on sun could not serve: connections: l2tp has no"))
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    #expect(lines.count <= 24 && lines.allSatisfy { $0.count <= 80 })
  }

  @Test func aScreenHoldsWhatFits() {
    var screen = Screen()
    for number in 0..<40 { screen.add("finding \(number)") }
    let lines = screen.text(more: "vpnha status --json").split(separator: "\n")
    #expect(lines.count == 24 && lines.last == "... 17 more lines: vpnha status --json")
    var wrapped = Screen()
    wrapped.add(String(repeating: "word ", count: 40).trimmed, indent: 9)
    #expect(wrapped.lines.count == 3 && wrapped.lines.allSatisfy { $0.count <= 80 } && wrapped.lines[1].hasPrefix("         word"))
    // A command is one word to whoever copies it.
    var long = Screen()
    long.add("x " + String(repeating: "y", count: 100))
    #expect(long.lines == ["x", String(repeating: "y", count: 100)])
  }

  @Test func withoutPacemakerTheAnswerIsUnknown() throws {
    let tools = PacemakerTools(processes: LinuxProcesses(), files: LinuxFiles(), clock: LinuxClock(), environment: ["CIB_file": "/nowhere/cib.xml"])
    #expect(throws: SystemError.self) { try tools.status() }
    let said = StatusReport.unknown(Finding(.PCMK1, .bad, "the cluster cannot be asked here"))
    #expect(said.brief == "UNKNOWN  the cluster cannot be asked here")
    #expect(said.json.hasPrefix(#"{"verdict":"unknown","serving":null,"since":null,"failover":{"would_succeed":null,"#))
  }

  @Test(arguments: [(0, "1970-01-01T00:00:00Z"), (951_782_400, "2000-02-29T00:00:00Z"), (1_795_867_513, "2026-11-28T12:05:13Z")])
  func timestampsAreRead(_ seconds: Int64, _ text: String) {
    #expect(Timestamp(text) == Timestamp(seconds: seconds) && Timestamp(seconds: seconds).description == text)
    #expect(Timestamp(text + "x") == nil && Timestamp("2026-13-28T12:05:13Z") == nil)
  }

  // MARK: IDs

  @Test func everyIDIsExplained() {
    for id in FindingID.allCases {
      #expect(id.why.hasSuffix(".") && id.remedy.hasSuffix("."), "\(id)")
      #expect(id.explanation.hasPrefix("\(id.rawValue): "))
    }
  }

  @Test(
    arguments: [
      ("2026-11-30 01:05:04Z", "2026-11-30T01:05:04Z"), ("2026-11-30 01:05:04.123456Z", "2026-11-30T01:05:04Z"), ("2026-11-30 01:05:04 +02:00", "2026-11-29T23:05:04Z"),
      ("2026-11-30 01:05:04.123456 -05:30", "2026-11-30T06:35:04Z"), ("2026-11-30 01:05:04", nil), ("2026-11-30 01:05:04 +99:99", nil), ("yesterday", nil), ("", nil),
    ] as [(String, String?)]) func whenTheFencerEndedANode(text: String, expected: String?)
  {
    let moment = Timestamp(fencer: text)
    #expect(moment.map { "\($0)" } == expected)
  }

  /// As crm_mon 2.1.5 printed it on a live pair.
  @Test func fencingWasTested() throws {
    let event = { (node: String, time: String, result: String) in "<fence_event action=\"reboot\" target=\"\(node)\" client=\"stonith_admin.495\" origin=\"sun\" status=\"\(result)\" delegate=\"sun\" completed=\"\(time)\"/>" }
    let xml = "<r><nodes/><resources/><fence_history>\(event("moon", "2026-11-30 01:05:04Z", "success"))\(event("moon", "2026-11-29 01:05:04Z", "failed"))</fence_history></r>"
    let fencings = try ClusterMonitor(Array(xml.utf8)).fencings
    #expect(fencings.map(\.result) == ["success", "failed"] && fencings[0].node == "moon" && fencings[0].ended == Timestamp("2026-11-30T01:05:04Z"))
    var status = try StatusTests.status([])
    status.fencing = [.init(node: "moon", last: fencings[0]), .init(node: "sun", last: nil)]
    let report = StatusReport(status: status, now: Timestamp(seconds: (fencings[0].ended?.seconds ?? 0) + 7200))
    #expect(report.text.contains("\nfencing tested: moon 2 h ago, reboot; sun: none remembered"))
    #expect(report.json.contains(#""fencing":[{"node":"moon","tested":"2026-11-30T01:05:04Z","action":"reboot","result":"success"},{"node":"sun","tested":null,"action":null,"result":null}]"#))
    status.fencing = [.init(node: "moon", last: fencings[1])]
    let aMinuteLater = Timestamp(seconds: (fencings[1].ended?.seconds ?? 0) + 60)
    let failed = StatusReport(status: status, now: aMinuteLater).text
    #expect(failed.contains("fencing tested: moon 1 min ago, reboot FAILED"))
  }
}

/// The recorded pair: moon serves, sun stands by.
enum Pair {
  static func cib(_ changes: [(String, String)]) throws -> String {
    let path = #filePath.split(separator: "/").dropLast().joined(separator: "/")
    var text = String(decoding: try #require(try LinuxFiles().read("/\(path)/pair-cib.xml", limit: 1 << 20)), as: UTF8.self)
    for (old, new) in changes {
      try #require(text.contains(old), "\(old)")
      text = text.replacing(old, with: new)
    }
    return text
  }

  static func defaults(_ name: String, _ value: String) -> (String, String) {
    ("<meta_attributes id=\"rsc_defaults-meta_attributes\">", "<meta_attributes id=\"rsc_defaults-meta_attributes\"><nvpair id=\"d-\(name)\" name=\"\(name)\" value=\"\(value)\"/>")
  }
  static func node(_ node: String, _ name: String, _ value: String) -> (String, String) {
    let begin = "<node id=\"\(node == "moon" ? 1 : 2)\" uname=\"\(node)\""
    return ("\(begin)/>", "\(begin)><instance_attributes id=\"n-\(node)\"><nvpair id=\"n-\(node)-\(name)\" name=\"\(name)\" value=\"\(value)\"/></instance_attributes></node>")
  }
  static func constraint(_ element: String) -> (String, String) { ("<constraints>", "<constraints>\(element)") }
  static func property(_ name: String, _ value: String) -> (String, String) {
    ("<cluster_property_set id=\"cib-bootstrap-options\">", "<cluster_property_set id=\"cib-bootstrap-options\"><nvpair id=\"p-\(name)\" name=\"\(name)\" value=\"\(value)\"/>")
  }
  static func meta(_ clone: String, _ name: String, _ value: String) -> (String, String) {
    ("<meta_attributes id=\"\(clone)-meta_attributes\">", "<meta_attributes id=\"\(clone)-meta_attributes\"><nvpair id=\"m-\(name)\" name=\"\(name)\" value=\"\(value)\"/>")
  }
  /// In front of what the node has under that name; the first one counts.
  static func attribute(_ node: String, _ name: String, _ value: String) -> (String, String) {
    let set = "<instance_attributes id=\"status-\(node == "moon" ? 1 : 2)\">"
    let id = "a-" + String(name.map { $0 == "#" ? "." : $0 })
    return (set, "\(set)<nvpair id=\"\(id)\" name=\"\(name)\" value=\"\(value)\"/>")
  }
  static func levels(_ elements: String) -> (String, String) { ("</constraints>", "</constraints><fencing-topology>\(elements)</fencing-topology>") }
  static func fence(_ node: String, _ name: String, _ value: String) -> (String, String) {
    let set = "<instance_attributes id=\"fence-\(node)-instance_attributes\">"
    return (set, "\(set)<nvpair id=\"f-\(node)-\(name)\" name=\"\(name)\" value=\"\(value)\"/>")
  }
  /// Its history as if it had been promoted there.
  static func withConntrackdOnSun(_ cib: String) -> String {
    cib.split(separator: "\n", omittingEmptySubsequences: false).map { line in
      guard line.contains("<lrm_rsc_op"), line.contains("operation_key=\"conntrackd_") else { return String(line) }
      let isMoon = line.contains("on_node=\"moon\"")
      let (old, new) = isMoon ? ("promote", "start") : ("start", "promote")
      let isMonitor = line.contains("operation=\"monitor\"")
      let (status, now) = isMoon ? ("8", "0") : ("0", "8")
      var text = String(line).replacing("conntrackd_\(old)_0", with: "conntrackd_\(new)_0").replacing("operation=\"\(old)\"", with: "operation=\"\(new)\"")
      if isMonitor { text = text.replacing("rc-code=\"\(status)\"", with: "rc-code=\"\(now)\"").replacing("transition-magic=\"0:\(status);", with: "transition-magic=\"0:\(now);") }
      return text
    }.joined(separator: "\n")
  }
}
