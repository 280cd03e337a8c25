import Glibc
import Host
import HostTestKit
import LinuxHost
import Testing

@testable import vpnha

/// One mistake at a time in the configuration of a healthy pair and in the tree of a healthy node.
@Suite struct DoctorTests {
  // MARK: The cluster

  static let corosync = "totem {\n}\nnodelist {\n  node {\n    ring0_addr: 10.0.0.1\n    ring1_addr: 10.0.1.1\n  }\n  node {\n    ring0_addr: 10.0.0.2\n    ring1_addr: 10.0.1.2\n  }\n}\nquorum {\n  two_node: 1\n}\n"

  static func cluster(_ changes: [(String, String)], corosync: String = corosync) throws -> [Finding] {
    ClusterChecks(configuration: try ClusterConfiguration(Array(try Pair.cib(changes).utf8)), votes: CorosyncConfiguration(corosync)).findings()
  }

  @Test func aHealthyPairHasNotesAlone() throws {
    #expect(try Self.cluster([]).filter { $0.severity != .note } == [])
    #expect(try Self.cluster([]).map(\.id) == [.DELAY1, .QUOR3])
  }

  struct Mistake: CustomTestStringConvertible {
    var id: FindingID
    var changes: [(String, String)]
    var fix: String
    var testDescription: String { "\(id): \(fix)" }
    init(_ id: FindingID, _ changes: (String, String)..., fix: String) { (self.id, self.changes, self.fix) = (id, changes, fix) }
  }

  static func without(_ line: String) -> (String, String) { (line, "<!-- -->") }
  static let colocation = #"score="INFINITY" rsc-role="Promoted" with-rsc-role="Promoted" influence="false""#
  static let timeout = #"<nvpair id="vpn-clone-meta_attributes-failure-timeout" name="failure-timeout" value="30s"/>"#

  /// pcs changes no device whose agent is not installed.
  static let dummies = (#"type="fence_bed""#, #"type="fence_dummy""#)

  static let clusterMistakes = [
    Mistake(.COLO1, (colocation, #"score="1000" rsc-role="Promoted" with-rsc-role="Promoted""#), fix: "pcs constraint colocation add Promoted conntrackd-clone with Promoted vpn-clone score=INFINITY influence=false"),
    Mistake(.COLO1, (colocation, #"score="500000" rsc-role="Master" with-rsc-role="Master" influence="false""#), fix: "pcs constraint delete colocation-conntrackd-clone-vpn-clone-INFINITY"),
    Mistake(.COLO2, (colocation, #"score="INFINITY" rsc-role="Promoted" with-rsc-role="Promoted""#), fix: "pcs constraint delete colocation-conntrackd-clone-vpn-clone-INFINITY"),
    Mistake(.COLO3, (colocation, #"score="INFINITY""#), fix: "pcs constraint colocation add Promoted conntrackd-clone with Promoted vpn-clone score=INFINITY influence=false"),
    Mistake(.BAR1, without(timeout), fix: "pcs resource meta vpn-clone failure-timeout=30s"),
    Mistake(.BAR1, (timeout, #"<nvpair id="t" name="failure-timeout" value="0"/>"#), fix: "pcs resource meta vpn-clone failure-timeout=30s"),
    Mistake(.BAR2, (timeout, #"<nvpair id="t" name="failure-timeout" value="5min"/><nvpair id="m" name="migration-threshold" value="1"/>"#), fix: "pcs resource meta vpn-clone failure-timeout=30s migration-threshold="),
    Mistake(.BAR2, (timeout, timeout + #"<nvpair id="m" name="migration-threshold" value="1"/>"#), fix: "pcs resource meta vpn-clone migration-threshold="),
    Mistake(.BAR3, without(#"<nvpair id="conntrackd-meta_attributes-failure-timeout" name="failure-timeout" value="30s"/>"#), fix: "pcs resource meta conntrackd-clone failure-timeout=30s"),
    Mistake(.BAR3, without(#"<nvpair id="firewall-meta_attributes-failure-timeout" name="failure-timeout" value="30s"/>"#), fix: "pcs resource meta firewall-clone failure-timeout=30s"),
    Mistake(.MON1, without(#"<op name="monitor" interval="10s" timeout="20s" role="Promoted" id="xl2tpd-monitor-interval-10s"/>"#), (#"<op name="monitor" interval="60s" timeout="20s" role="Promoted" id="xl2tpd-monitor-interval-60s">"#, #"<op name="start" interval="60s" timeout="30s" id="xl2tpd-monitor-interval-60s">"#), fix: "pcs resource op add xl2tpd monitor interval=10s timeout=20s role=Promoted"),
    // What `pcs resource create … op monitor interval=5s promotable` makes of the deep and the quick ones: one without a role.
    Mistake(.MON6, without(#"<op name="monitor" interval="10s" timeout="20s" role="Promoted" id="xl2tpd-monitor-interval-10s"/>"#), fix: "pcs resource op add xl2tpd monitor interval=10s timeout=20s role=Promoted"),
    Mistake(.MON1, (#"interval="10s" timeout="20s" role="Promoted" id="vip-"#, #"interval="5s" timeout="20s" id="vip-"#), (#"interval="60s" timeout="20s" role="Promoted" id="vip-"#, #"interval="6s" timeout="20s" id="vip-"#), fix: "pcs resource op add vip monitor interval=10s timeout=20s role=Promoted"),
    Mistake(.MON1, (#"<op name="monitor" interval="10s" timeout="20s" id="path-monitor-interval-10s"/>"#, ""), fix: "pcs resource op add path monitor interval=12s timeout=20s"),
    Mistake(.MON2, (#"interval="11s" timeout="20s" role="Unpromoted" id="vip-"#, #"interval="10s" timeout="20s" role="Unpromoted" id="vip-"#), fix: "pcs resource op remove vip-monitor-interval-11s"),
    Mistake(.MON3, (#"name="OCF_CHECK_LEVEL" value="10""#, #"name="OCF_CHECK_LEVEL" value="0""#), fix: "pcs resource op add strongswan monitor interval=63s timeout=20s role=Promoted OCF_CHECK_LEVEL=10"),
    Mistake(.MON4, (#"<op name="promote" interval="0s" timeout="20s" id="vip-promote-interval-0s"/>"#, #"<op name="monitor" interval="12s" id="vip-monitor-interval-12s"/>"#), fix: "pcs resource op remove vip-monitor-interval-12s"),
    Mistake(.FENCE1, (#"name="stonith-enabled" value="true""#, #"name="stonith-enabled" value="false""#), fix: "pcs property set stonith-enabled=true"),
    Mistake(.FENCE2, (#"name="pcmk_host_list" value="sun""#, #"name="pcmk_host_list" value="mars""#), fix: "pcs stonith create fence-sun AGENT … pcmk_host_list=sun"),
    Mistake(.FENCE2, Pair.levels(#"<fencing-level id="l1" target="moon" index="1" devices="fence-sun"/>"#), fix: "pcs stonith level clear target moon"),
    Mistake(.FENCE2, Pair.levels(#"<fencing-level id="l1" target-pattern="m.*" index="1" devices="fence-moon,fence-sun"/><fencing-level id="l2" target-pattern="m.*" index="2" devices="fence-gone"/>"#), fix: "pcs stonith level clear target 'regexp%m.*'"),
    Mistake(.DELAY1, Pair.fence("moon", "pcmk_delay_base", "40s"), dummies, fix: "pcs stonith update fence-moon pcmk_delay_base="),
    Mistake(.DELAY1, Pair.fence("sun", "pcmk_delay_max", "moon:1s;sun:1min"), dummies, fix: "pcs stonith update fence-sun pcmk_delay_max="),
    Mistake(.RACE1, (#"name="priority-fencing-delay" value="5s""#, #"name="priority-fencing-delay" value="0""#), fix: "pcs property set priority-fencing-delay=3s"),
    Mistake(.DELAY1, fix: "pcs property set priority-fencing-delay=3s"),
    Mistake(.DELAY2, without(#"<nvpair id="vpn-clone-meta_attributes-priority" name="priority" value="10"/>"#), fix: "pcs resource meta vpn-clone priority=10"),
    Mistake(.QUOR3, fix: "pcs quorum device add model net host=HOST algorithm=ffsplit"),
    Mistake(.CLEAR1, (#"<primitive id="firewall" class="ocf" type="firewall" provider="vpnha""#, #"<primitive id="wall" class="ocf" type="Dummy" provider="heartbeat""#), ("firewall-clone", "wall-clone"), fix: "pcs resource create firewall ocf:vpnha:firewall address=203.0.113.50 outside=eth0 meta failure-timeout=30s clone interleave=true"),
    Mistake(.CLONE2, without(#"<nvpair id="firewall-clone-meta_attributes-interleave" name="interleave" value="true"/>"#), fix: "pcs resource meta firewall-clone interleave=true"),
    Mistake(.CLONE2, without(#"<nvpair id="vpn-clone-meta_attributes-interleave" name="interleave" value="true"/>"#), fix: "pcs resource meta vpn-clone interleave=true"),
    Mistake(.NOTIFY1, (#"<nvpair id="vpn-clone-meta_attributes-notify" name="notify" value="false"/>"#, #"<nvpair id="vpn-clone-meta_attributes-notify" name="notify" value="true"/>"#), fix: "pcs resource meta vpn-clone notify=false"),
    Mistake(.CLONE1, (#"<clone id="path-clone">"#, #"<group id="path-clone">"#), ("</primitive>\n      </clone>\n    </resources>", "</primitive>\n      </group>\n    </resources>"), fix: "pcs resource clone path interleave=true"),
    Mistake(.PASS1, (#"<instance_attributes id="xl2tpd-instance_attributes">"#, #"<instance_attributes id="xl2tpd-instance_attributes"><nvpair id="pw" name="test_password" value="hunter2"/>"#), fix: "pcs resource update xl2tpd test_password= test_password_file=/etc/vpnha/test_password"),
    Mistake(.ALERT1, ("<alerts>", "<!--"), ("</alerts>", "-->"), fix: "pcs alert recipient add vpnha value=journal"),
    Mistake(.MOVED1, Pair.constraint(#"<rsc_location id="cli-prefer-vpn-clone" rsc="vpn-clone" node="moon" score="INFINITY" role="Promoted"/>"#), fix: "pcs resource clear vpn-clone"),
    Mistake(.ADDR1, (#"id="xl2tpd-instance_attributes-address" name="address" value="203.0.113.50""#, #"id="xl2tpd-instance_attributes-address" name="address" value="203.0.113.5""#), fix: "pcs resource update xl2tpd address=203.0.113.50"),
    Mistake(.PROBE1, (#"attribute="vpnha-path""#, #"attribute="pingd""#), fix: "pcs constraint location vpn-clone rule role=Promoted score=1000 not_defined vpnha-path or vpnha-path gt 0"),
    Mistake(.OFF1, Pair.property("symmetric-cluster", "false"), fix: "pcs property set symmetric-cluster=true"),
    Mistake(.CLONE3, (#"<nvpair id="vpn-clone-meta_attributes-promotable" name="promotable" value="true"/>"#, #"<nvpair id="vpn-clone-meta_attributes-promotable" name="promotable" value="false"/>"#), fix: "pcs resource meta vpn-clone promotable=true"),
    Mistake(.CLONE5, Pair.meta("vpn-clone", "globally-unique", "true"), fix: "pcs resource meta vpn-clone globally-unique="),
    Mistake(.UTIL1, Pair.property("placement-strategy", "utilization"), (#"<instance_attributes id="vip-instance_attributes">"#, #"<utilization id="u"><nvpair id="u-c" name="cpu" value="4"/></utilization><instance_attributes id="vip-instance_attributes">"#), fix: "pcs property set placement-strategy="),
    Mistake(.DELAY1, (#"name="priority-fencing-delay" value="5s""#, #"name="priority-fencing-delay" value="60s""#), fix: "pcs property set priority-fencing-delay=3s"),
    Mistake(.QUOR4, Pair.property("no-quorum-policy", "ignore"), fix: "pcs property set no-quorum-policy=stop"),
    Mistake(.OFF1, Pair.meta("vpn-clone", "target-role", "Stopped"), fix: "pcs resource enable vpn-clone"),
    Mistake(.MAINT1, Pair.meta("firewall-clone", "is-managed", "false"), fix: "pcs resource manage firewall-clone"),
    Mistake(.TWO1, (#"name="promoted-max" value="1""#, #"name="promoted-max" value="2""#), fix: "pcs resource meta vpn-clone promoted-max=1"),
    Mistake(.MON5, (#"<op name="monitor" interval="10s" timeout="20s" role="Promoted" id="xl2tpd-monitor-interval-10s"/>"#, #"<op name="monitor" interval="10s" timeout="20s" role="Promoted" on-fail="ignore" id="xl2tpd-monitor-interval-10s"/>"#), fix: "pcs resource op remove xl2tpd-monitor-interval-10s"),
    Mistake(.ORDER1, (#"<group id="vpn">"#, #"<group id="vpn"><primitive id="xl2tpd2" class="ocf" provider="vpnha" type="xl2tpd"><operations><op id="x6" name="start" interval="0s" timeout="30s"/><op id="x7" name="stop" interval="0s" timeout="40s"/><op id="x8" name="demote" interval="0s" timeout="40s"/><op id="x1" name="monitor" interval="10s" role="Promoted"/><op id="x2" name="monitor" interval="11s"/><op id="x3" name="monitor" interval="60s" role="Promoted"><instance_attributes id="x4"><nvpair id="x5" name="OCF_CHECK_LEVEL" value="10"/></instance_attributes></op></operations></primitive>"#), fix: "pcs resource group add vpn vip --before xl2tpd2"),
    Mistake(.FENCE5, Pair.property("startup-fencing", "false"), fix: "pcs property set startup-fencing=true"),
    Mistake(.OFF1, Pair.property("stop-all-resources", "true"), fix: "pcs property set stop-all-resources=false"),
    Mistake(.OFF1, (#"<instance_attributes id="fence-sun-instance_attributes">"#, #"<meta_attributes id="f"><nvpair id="f-t" name="target-role" value="Stopped"/></meta_attributes><instance_attributes id="fence-sun-instance_attributes">"#), fix: "pcs stonith enable fence-sun"),
    Mistake(.BAN1, Pair.constraint(#"<rsc_location id="location-vpn-clone-sun" rsc="vpn-clone" node="sun" score="-INFINITY"/>"#), fix: "pcs constraint delete location-vpn-clone-sun"),
    Mistake(.PREFER1, Pair.constraint(#"<rsc_location id="location-vpn-clone-moon-50" rsc="vpn-clone" node="moon" score="50"/>"#), fix: "pcs constraint delete location-vpn-clone-moon-50"),
    Mistake(.CLONE4, (#"<nvpair id="vpn-clone-meta_attributes-clone-max" name="clone-max" value="2"/>"#, #"<nvpair id="vpn-clone-meta_attributes-clone-max" name="clone-max" value="1"/>"#), fix: "pcs resource meta vpn-clone clone-max="),
    Mistake(.WALL2, without(#"<rsc_colocation rsc="vpn-clone" with-rsc="firewall-clone" score="INFINITY" id="colocation-vpn-clone-firewall-clone-INFINITY"/>"#), fix: "pcs constraint colocation add vpn-clone with firewall-clone score=INFINITY"),
    Mistake(.COLO4, (#"with-rsc="firewall-clone" score="INFINITY""#, #"with-rsc="firewall-clone" score="INFINITY" rsc-role="Promoted" with-rsc-role="Started""#), (#"name="dc-version" value="2.1.5"#, #"name="dc-version" value="3.0.0"#), fix: "pcs constraint colocation add vpn-clone with firewall-clone score=INFINITY"),
    Mistake(.COLO4, (#"with-rsc="firewall-clone" score="INFINITY""#, #"with-rsc="firewall-clone" score="INFINITY" rsc-role="Promoted""#), fix: "pcs constraint delete colocation-vpn-clone-firewall-clone-INFINITY"),
    Mistake(.WALL2, without(#"<rsc_order first="firewall-clone" then="vpn-clone" kind="Optional" first-action="start" then-action="promote" id="order-firewall-clone-vpn-clone-Optional"/>"#), fix: "pcs constraint order start firewall-clone then promote vpn-clone kind=Optional"),
    Mistake(.STOP1, (#"<op name="stop" interval="0s" timeout="40s" id="xl2tpd-stop-interval-0s"/>"#, #"<op name="stop" interval="0s" timeout="40s" on-fail="ignore" id="xl2tpd-stop-interval-0s"/>"#), fix: "pcs resource op add xl2tpd stop interval=0s timeout=40s"),
    Mistake(.TIME1, (#"<op name="stop" interval="0s" timeout="60s" id="strongswan-stop-interval-0s"/>"#, #"<op name="stop" interval="0s" timeout="15s" id="strongswan-stop-interval-0s"/>"#), fix: "pcs resource update strongswan op stop interval=0s timeout=60s"),
    Mistake(.TIME1, without(#"<op name="demote" interval="0s" timeout="30s" id="conntrackd-demote-interval-0s"/>"#), fix: "pcs resource update conntrackd op demote interval=0s timeout=30s"),
    Mistake(.MAINT1, Pair.property("maintenance-mode", "true"), fix: "pcs property set maintenance-mode=false"),
    Mistake(.MAINT1, Pair.node("sun", "maintenance", "true"), fix: "pcs node unmaintenance sun"),
    Mistake(.NODE2, Pair.node("sun", "standby", "on"), fix: "pcs node unstandby sun"),
    Mistake(.MAINT1, Pair.defaults("is-managed", "false"), fix: "pcs resource defaults update is-managed="),
    Mistake(.OFF1, Pair.defaults("target-role", "Stopped"), fix: "pcs resource defaults update target-role="),
    Mistake(.ADDR2, ("<resources>", #"<resources><primitive id="old" class="ocf" provider="heartbeat" type="IPaddr2"><instance_attributes id="o"><nvpair id="o-i" name="ip" value="203.0.113.50"/></instance_attributes></primitive>"#), fix: "pcs resource delete old"),
    Mistake(.FENCE6, Pair.fence("sun", "pcmk_reboot_action", "metadata"), dummies, fix: "pcs stonith update fence-sun pcmk_reboot_action="),
    Mistake(.FENCE6, Pair.property("stonith-action", "off"), fix: "pcs property set stonith-action="),
    Mistake(.TWO1, (#"name="promoted-max" value="1""#, #"name="promoted-max" value="0""#), fix: "pcs resource meta vpn-clone promoted-max=1"),
    Mistake(.CLONE4, Pair.meta("vpn-clone", "clone-node-max", "0"), fix: "pcs resource meta vpn-clone clone-node-max="),
    Mistake(.BAN1, Pair.constraint(##"<rsc_location id="no-sun" rsc="vpn-clone"><rule id="r" role="Promoted" score="-INFINITY"><expression id="e" attribute="#uname" operation="eq" value="sun"/></rule></rsc_location>"##), fix: "pcs constraint delete no-sun"),
    Mistake(.BAN1, Pair.constraint(#"<rsc_colocation id="apart" rsc="conntrackd-clone" with-rsc="vpn-clone" rsc-role="Promoted" with-rsc-role="Promoted" score="-INFINITY"/>"#), fix: "pcs constraint delete apart"),
    // The quick one switched off.
    Mistake(.MON6, (#"<op name="monitor" interval="10s" timeout="20s" role="Promoted" id="xl2tpd-monitor-interval-10s"/>"#, #"<op name="monitor" interval="10s" timeout="20s" role="Promoted" enabled="false" id="xl2tpd-monitor-interval-10s"/>"#), fix: "pcs resource op add xl2tpd monitor interval=10s timeout=20s role=Promoted"),
    Mistake(.BAN1, Pair.constraint(#"<rsc_location id="no-wall" rsc="firewall-clone" node="sun" score="-INFINITY"/>"#), fix: "pcs constraint delete no-wall"),
    Mistake(.WALL3, (#"name="outside" value="eth0""#, #"name="outside" value="eth1""#), fix: "pcs resource update firewall outside=eth0"),
    Mistake(.WALL3, (#"id="firewall-instance_attributes-address" name="address" value="203.0.113.50""#, #"id="firewall-instance_attributes-address" name="address" value="203.0.113.51""#), fix: "pcs resource update firewall address=203.0.113.50"),
    Mistake(.MON6, (#"<op name="monitor" interval="10s" timeout="20s" role="Promoted" id="xl2tpd-monitor-interval-10s"/>"#, #"<op name="monitor" interval="15min" timeout="20s" role="Promoted" id="xl2tpd-monitor-interval-10s"/>"#), (#"<op name="monitor" interval="60s" timeout="20s" role="Promoted" id="xl2tpd-monitor-interval-60s">"#, #"<op name="monitor" interval="20min" timeout="20s" role="Promoted" id="xl2tpd-monitor-interval-60s">"#), fix: "pcs resource op add xl2tpd monitor interval=10s timeout=20s role=Promoted"),
    Mistake(.TIME1, (#"<op name="monitor" interval="10s" timeout="20s" role="Promoted" id="xl2tpd-monitor-interval-10s"/>"#, #"<op name="monitor" interval="10s" timeout="1s" role="Promoted" id="xl2tpd-monitor-interval-10s"/>"#), fix: "pcs resource op add xl2tpd monitor interval=10s timeout=20s role=Promoted"),
    Mistake(.MON5, ("<rsc_defaults>", #"<op_defaults><meta_attributes id="d-o"><nvpair id="d-of" name="on-fail" value="block"/></meta_attributes></op_defaults><rsc_defaults>"#), fix: "pcs resource op defaults update on-fail="),
    Mistake(.ORDER2, (#"<rsc_order first="conntrackd-clone" then="vpn-clone" kind="Optional""#, #"<rsc_order first="conntrackd-clone" then="vpn-clone" kind="Mandatory""#), fix: "pcs constraint order promote conntrackd-clone then promote vpn-clone kind=Optional"),
    Mistake(.ORDER2, Pair.constraint(#"<rsc_order id="late" first="vpn-clone" then="conntrackd-clone" first-action="promote" then-action="promote"/>"#), fix: "pcs constraint delete late"),
  ]

  /// `pcs resource group remove vpn xl2tpd`: it stays where it is when the address moves.
  @Test func aMemberOutsideOfTheGroupIsBound() throws {
    let apart = [
      (#"<primitive id="xl2tpd" class="ocf" type="xl2tpd" provider="vpnha">"#, #"<primitive id="other" class="ocf" type="Dummy" provider="heartbeat">"#),
      (#"<clone id="conntrackd-clone">"#, #"<primitive id="xl2tpd" class="ocf" type="xl2tpd" provider="vpnha"/><clone id="conntrackd-clone">"#),
    ]
    let found = try Self.cluster(apart).filter { $0.id == .BIND1 }
    #expect(found.map(\.fix) == [["pcs resource group add vpn xl2tpd"]])
    let bound = Pair.constraint(#"<rsc_colocation id="c" rsc="xl2tpd" with-rsc="vpn-clone" with-rsc-role="Promoted" score="INFINITY"/>"#)
    #expect(try !Self.cluster(apart + [bound]).contains { $0.id == .BIND1 })
  }

  @Test(arguments: clusterMistakes) func aMistakeInTheClusterIsFound(_ mistake: Mistake) throws {
    let found = try Self.cluster(mistake.changes)
    let finding = found.filter { $0.id == mistake.id }
    #expect(finding.contains { $0.fix.contains(mistake.fix) }, "\(found)")
    // And nothing else that matters.
    let others = found.filter { $0.severity != .note && $0.id != mistake.id }
    #expect(others == [])
    #expect(!found.map(\.json).joined().contains("hunter2"))
  }

  @Test func votesThatCannotDo() throws {
    #expect(try Self.cluster([], corosync: Self.corosync.replacing("two_node: 1", with: "")).map(\.id).contains(.QUOR2))
    #expect(try Self.cluster([], corosync: Self.corosync.replacing("    ring1_addr: 10.0.1.1\n", with: "").replacing("    ring1_addr: 10.0.1.2\n", with: "")).map(\.id).contains(.RING1))
    #expect(try Self.cluster([], corosync: Self.corosync.replacing("two_node: 1", with: "device {\n}")).map(\.id) == [.DELAY1])
  }

  /// Where votes decide a split, nobody needs a head start, and none is missed.
  @Test func aQuorumDeviceNeedsNoDelay() throws {
    let voted = Self.corosync.replacing("two_node: 1", with: "device {\n}")
    let none = (#"name="priority-fencing-delay" value="5s""#, #"name="priority-fencing-delay" value="0""#)
    #expect(try Self.cluster([none], corosync: voted) == [])
    #expect(try Self.cluster([], corosync: voted).map(\.fix) == [["pcs property set priority-fencing-delay="]])
  }

  /// crmsh's way: the operations of a template are those of the resource.
  @Test func aTemplateCounts() throws {
    let cib = """
      <cib><configuration><crm_config/><nodes/><resources>
        <template id="t" class="ocf" provider="vpnha" type="probe"><operations><op id="o" name="monitor" interval="10s"/></operations></template>
        <clone id="c"><primitive id="p" template="t"/></clone>
      </resources><constraints/></configuration></cib>
      """
    let configuration = try ClusterConfiguration(Array(cib.utf8))
    #expect(configuration.own("probe").map(\.id) == ["p"])
    #expect(!ClusterChecks(configuration: configuration, votes: nil).findings().map(\.id).contains(.MON1))
  }

  /// A group of plain resources goes where it likes when a node comes back; a promoted role stays.
  @Test func aGroupHasToStick() throws {
    func found(_ defaults: String) throws -> [FindingID] {
      let members = [("vip", "<nvpair id=\"ip\" name=\"ip\" value=\"203.0.113.50\"/>"), ("strongswan", ""), ("xl2tpd", "")].map { agent, parameters in
        "<primitive id=\"\(agent)\" class=\"ocf\" provider=\"vpnha\" type=\"\(agent)\"><instance_attributes id=\"\(agent)-i\">\(parameters)</instance_attributes></primitive>"
      }
      let cib = "<cib><configuration><crm_config/><nodes/><resources><group id=\"vpn\">\(members.joined())</group></resources><constraints/>\(defaults)</configuration></cib>"
      return ClusterChecks(configuration: try ClusterConfiguration(Array(cib.utf8)), votes: nil).findings().map(\.id)
    }
    #expect(try found("").contains(.PREFER1))
    #expect(try !found("<rsc_defaults><meta_attributes id=\"d\"><nvpair id=\"s\" name=\"resource-stickiness\" value=\"100\"/></meta_attributes></rsc_defaults>").contains(.PREFER1))
    // What nobody gave a time has 20 s.
    #expect(try found("").count { $0 == .TIME1 } == 4)
    #expect(try found("<op_defaults><meta_attributes id=\"o\"><nvpair id=\"t\" name=\"timeout\" value=\"60s\"/></meta_attributes></op_defaults>").count { $0 == .TIME1 } == 0)
  }

  // MARK: The ledger of sessions

  /// The healthy pair with sessions beside conntrackd, in the same way.
  static func withLedger(_ old: String = "", _ new: String = "") throws -> [UInt8] {
    var text = try Pair.cib([])
    let clone = try #require(text.components(after: "<clone id=\"conntrackd-clone\">")?.components(before: "</clone>"))
    let bond = try #require(text.components(after: "<rsc_colocation rsc=\"conntrackd-clone\"")?.components(before: "/>"))
    let address = "provider=\"vpnha\"><instance_attributes id=\"sessions-i\"><nvpair id=\"sessions-a\" name=\"address\" value=\"203.0.113.50\"/></instance_attributes>"
    let ledger = "<clone id=\"sessions-clone\">\(clone)</clone>".replacing("conntrackd", with: "sessions").replacing("provider=\"vpnha\">", with: address)
    var bound = "<rsc_colocation rsc=\"sessions-clone\"\(bond.replacing("conntrackd", with: "sessions"))/>"
    var added = ledger
    if !old.isEmpty {
      try #require(added.contains(old) || bound.contains(old), "\(old)")
      (added, bound) = (added.replacing(old, with: new), bound.replacing(old, with: new))
    }
    text = text.replacing("</resources>", with: "\(added)</resources>").replacing("</constraints>", with: "\(bound)</constraints>")
    return Array(text.utf8)
  }

  @Test(
    arguments: [
      ("", "", nil, ""), ("score=\"INFINITY\"", "score=\"1000\"", FindingID.COLO1, "pcs constraint colocation add Promoted sessions-clone with Promoted vpn-clone score=INFINITY influence=false"),
      ("influence=\"false\"", "", .COLO2, "pcs constraint delete colocation-sessions-clone-vpn-clone-INFINITY"),
      ("rsc-role=\"Promoted\" ", "", .COLO3, "pcs constraint colocation add Promoted sessions-clone with Promoted vpn-clone score=INFINITY influence=false"),
      ("name=\"promotable\" value=\"true\"", "name=\"promotable\" value=\"false\"", .CLONE3, "pcs resource meta sessions-clone promotable=true"),
      ("203.0.113.50", "203.0.113.5", .ADDR1, "pcs resource update sessions address=203.0.113.50"),
    ] as [(String, String, FindingID?, String)]) func aMistakeAboutTheLedger(old: String, new: String, id: FindingID?, fix: String) throws
  {
    let checks = ClusterChecks(configuration: try ClusterConfiguration(try Self.withLedger(old, new)), votes: CorosyncConfiguration(Self.corosync))
    let found = checks.findings().filter { $0.severity != .note }
    #expect(id == nil ? found.isEmpty : found.contains { $0.id == id && $0.fix.contains(fix) }, "\(found)")
  }

  /// What routers are told may move the VPN, and has to follow it.
  @Test func anAnnouncementFollowsTheVPNAndMayMoveIt() throws {
    func found(_ old: String, _ new: String) throws -> [Finding] {
      let cib = String(decoding: try Self.withLedger(old, new), as: UTF8.self).replacing("sessions", with: "announce")
      return ClusterChecks(configuration: try ClusterConfiguration(Array(cib.utf8)), votes: CorosyncConfiguration(Self.corosync)).findings().filter { $0.severity != .note }
    }
    #expect(try found("influence=\"false\"", "").isEmpty)
    let unbound = try found("rsc-role=\"Promoted\" ", "")
    #expect(unbound.map(\.id) == [.COLO3] && unbound.first?.fix == ["pcs constraint colocation add Promoted announce-clone with Promoted vpn-clone score=INFINITY"], "\(unbound)")
  }

  static func nodeWithLedger(_ change: (InMemoryFiles) throws -> Void) throws -> [FindingID] {
    let files = try tree()
    files.put(String(repeating: "k", count: 48), at: "/etc/vpnha/sessions.key", mode: 0o600)
    edited(files, "/etc/strongswan.conf", "load = no", "load = yes")
    try change(files)
    let configuration = try ClusterConfiguration(try withLedger())
    let found = try NodeChecks(files: files, processes: ScriptedProcesses(), clock: ManualClock(), configuration: configuration, running: nil).findings()
    #expect(found.allSatisfy { $0.severity == .risk && !$0.fix.isEmpty })
    return found.map(\.id)
  }

  @Test func whatTheLedgerNeedsOnANode() throws {
    #expect(try Self.nodeWithLedger { _ in } == [])
    #expect(try Self.nodeWithLedger { try $0.remove("/etc/vpnha/sessions.key") } == [.KEY1])
    #expect(try Self.nodeWithLedger { $0.put(String(repeating: "k", count: 48), at: "/etc/vpnha/sessions.key", mode: 0o644) } == [.KEY1])
    #expect(try Self.nodeWithLedger { Self.edited($0, "/etc/strongswan.conf", "load = yes", "load = no") } == [.HA3])
    #expect(try Self.nodeWithLedger { Self.edited($0, "/etc/ppp/options.xl2tpd", "noccp", "#noccp") } == [.PPP5])
  }

  // MARK: A node

  /// What the package's examples make of a node.
  static func tree() throws -> InMemoryFiles {
    let files = InMemoryFiles()
    let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/") + "/Packaging/"
    for (path, example) in [
      ("/etc/xl2tpd/xl2tpd.conf", "examples/xl2tpd/xl2tpd.conf"), ("/etc/swanctl/swanctl.conf", "examples/strongswan/swanctl.conf"),
      ("/etc/conntrackd/conntrackd.conf", "examples/conntrackd/conntrackd.conf"), ("/etc/strongswan.conf", "examples/strongswan/vpnha.conf"),
      ("/etc/ppp/chap-secrets", "examples/ppp/chap-secrets"), ("/etc/ppp/options.xl2tpd", "examples/ppp/options.xl2tpd"), ("/etc/sysctl.d/vpnha.conf", "examples/sysctl.d/vpnha.conf"), ("/etc/needrestart/conf.d/vpnha.conf", "needrestart.conf"),
    ] {
      files.put(String(decoding: try #require(try LinuxFiles().read(root + example, limit: 1 << 20), "\(example)"), as: UTF8.self), at: path, mode: 0o600)
    }
    files.put("", at: "/dev/ppp")
    files.put("", at: "/usr/sbin/needrestart")
    files.put("", at: "/sys/module/l2tp_ppp/refcnt")
    for unit in ["ssh", "pacemaker", "corosync", "chrony"] { files.put("", at: "/etc/systemd/system/multi-user.target.wants/\(unit).service") }
    files.put("", at: "/run/systemd/system/x")
    files.kernelParameters = ["net.ipv4.ip_forward": "1", "net.ipv4.conf.all.rp_filter": "2"]
    return files
  }

  static func node(running: Set<String>? = nil, _ processes: ScriptedProcesses = ScriptedProcesses(), _ change: (InMemoryFiles) throws -> Void) throws -> [Finding] {
    let files = try tree()
    try change(files)
    let configuration = try ClusterConfiguration(Array(try Pair.cib([]).utf8))
    return try NodeChecks(files: files, processes: processes, clock: ManualClock(), configuration: configuration, running: running).findings()
  }

  @Test func aHealthyNodeHasNothing() throws { #expect(try Self.node { _ in } == []) }

  struct Slip: CustomTestStringConvertible {
    var id: FindingID
    var place: String
    var fix: String
    var change: @Sendable (InMemoryFiles) throws -> Void
    var testDescription: String { "\(id) \(place)" }
    init(_ id: FindingID, _ place: String, fix: String, _ change: @escaping @Sendable (InMemoryFiles) throws -> Void) {
      (self.id, self.place, self.fix, self.change) = (id, place, fix, change)
    }
  }

  static func edited(_ files: InMemoryFiles, _ path: String, _ old: String, _ new: String) {
    guard let text = files.text(at: path), text.contains(old) else {
      Issue.record("\(path) has no \(old)")
      return
    }
    files.put(text.replacing(old, with: new), at: path, mode: 0o600)
  }

  static let swanctl = "/etc/swanctl/swanctl.conf"
  static let wants = "/etc/systemd/system/multi-user.target.wants"
  static let slips: [Slip] = [
    Slip(.UNIT1, "\(wants)/strongswan.service", fix: "systemctl disable strongswan.service") { $0.put("", at: "\(wants)/strongswan.service") },
    Slip(.UNIT1, "\(wants)/strongswan-starter.service", fix: "systemctl disable strongswan-starter.service") { $0.put("", at: "\(wants)/strongswan-starter.service") },
    Slip(.UNIT1, "\(wants)/xl2tpd.service", fix: "systemctl disable xl2tpd.service") { $0.put("", at: "\(wants)/xl2tpd.service") },
    Slip(.UNIT1, "/etc/rc3.d/S01xl2tpd", fix: "systemctl disable xl2tpd.service") { $0.put("", at: "/etc/rc3.d/S01xl2tpd") },
    Slip(.UNIT1, "\(wants)/conntrackd.service", fix: "systemctl disable conntrackd.service") { $0.put("", at: "\(wants)/conntrackd.service") },
    Slip(.ROTA1, "/etc/logrotate.d/conntrackd:3", fix: "sed -i '3s/^/#/' /etc/logrotate.d/conntrackd") {
      $0.put("/var/log/conntrackd-stats.log {\n  postrotate\n    invoke-rc.d conntrackd restart >/dev/null\n  endscript\n}\n", at: "/etc/logrotate.d/conntrackd")
      $0.put("x", at: "/var/log/conntrackd-stats.log")
    },
    Slip(.FORWARD1, "net.ipv4.ip_forward", fix: "sysctl -w net.ipv4.ip_forward=1") { $0.kernelParameters["net.ipv4.ip_forward"] = "0" },
    Slip(.RPF1, "net.ipv4.conf.all.rp_filter", fix: "sysctl -w net.ipv4.conf.all.rp_filter=2") { $0.kernelParameters["net.ipv4.conf.all.rp_filter"] = "1" },
    Slip(.FORWARD1, "net.ipv4.conf.default.forwarding", fix: "sysctl -w net.ipv4.conf.default.forwarding=1") { $0.kernelParameters["net.ipv4.conf.default.forwarding"] = "0" },
    Slip(.FORWARD1, "net.ipv4.conf.eth0.forwarding", fix: "echo net.ipv4.conf.eth0.forwarding=1 >>/etc/sysctl.d/60-vpnha.conf") { $0.kernelParameters["net.ipv4.conf.eth0.forwarding"] = "0" },
    Slip(.RPF1, "net.ipv4.conf.eth0.rp_filter", fix: "sysctl -w net.ipv4.conf.eth0.rp_filter=2") {
      $0.kernelParameters["net.ipv4.conf.all.rp_filter"] = "0"
      $0.kernelParameters["net.ipv4.conf.eth0.rp_filter"] = "1"
    },
    Slip(.ROTA1, "/etc/logrotate.d/xl2tpd:3", fix: "sed -i '3s/^/#/' /etc/logrotate.d/xl2tpd") {
      $0.put("/var/log/xl2tpd.log {\n  postrotate\n    systemctl restart xl2tpd\n  endscript\n}\n", at: "/etc/logrotate.d/xl2tpd")
    },
    Slip(.SWAN3, "\(swanctl):26", fix: "sed -i '26s|mode *=[^}]*|mode = transport|' \(swanctl)") { edited($0, swanctl, "mode = transport", "mode = tunnel") },
    Slip(.SWAN3, "\(swanctl):25", fix: "swanctl --load-all --noprompt") { edited($0, swanctl, "        mode = transport\n", "") },
    Slip(.SWAN3, "\(swanctl):27", fix: "sed -i '27s|local_ts *=[^}]*|local_ts = dynamic[udp/1701]|' \(swanctl)") { edited($0, swanctl, "local_ts = dynamic[udp/1701]", "local_ts = dynamic[tcp/1701]") },
    Slip(.CERT2, "\(swanctl):19", fix: "swanctl --load-all --noprompt") { edited($0, swanctl, "    local {\n      auth = psk\n", "    local {\n      auth = psk\n      certs = gateway.pem\n") },
    Slip(.SWAN4, "", fix: "swanctl --load-all --noprompt") { edited($0, swanctl, "    version = 1\n", "    version = 2\n") },
    Slip(.SWAN4, "", fix: "swanctl --load-all --noprompt") { edited($0, swanctl, "    remote {\n      auth = psk\n", "    remote {\n      auth = pubkey\n") },
    Slip(.SWAN4, "", fix: "swanctl --load-all --noprompt") { edited($0, swanctl, "    remote {\n      auth = psk\n", "    remote {\n") },
    Slip(.SWAN4, "", fix: "swanctl --load-all --noprompt") { edited($0, swanctl, "    remote {\n      auth = psk\n    }\n", "") },
    Slip(.SWAN4, "", fix: "swanctl --load-all --noprompt") { edited($0, swanctl, "    mobike = no\n", "    remote_addrs = 203.0.113.50\n") },
    Slip(.SWAN5, "", fix: "") { edited($0, "/etc/strongswan.conf", "threads = 32", "port = 1500") },
    Slip(.SWAN5, "", fix: "") { edited($0, "/etc/strongswan.conf", "threads = 32", "interfaces_use = eth1") },
    Slip(.SWAN5, "", fix: "") { edited($0, "/etc/strongswan.conf", "threads = 32", "interfaces_ignore = eth0, eth7") },
    Slip(.SWAN5, "", fix: "") { edited($0, "/etc/strongswan.conf", "  plugins {\n", "  plugins {\n    vici { load = no }\n") },
    Slip(.XL1, "/etc/xl2tpd/xl2tpd.conf:6", fix: "editor +6 /etc/xl2tpd/xl2tpd.conf") { edited($0, "/etc/xl2tpd/xl2tpd.conf", "port = 1701\n", "prot = 1701\n") },
    Slip(.XL1, "", fix: "") { edited($0, "/etc/xl2tpd/xl2tpd.conf", "length bit = yes", "length bit = on") },
    Slip(.XL1, "", fix: "") { edited($0, "/etc/xl2tpd/xl2tpd.conf", "ip range = 10.9.0.10-10.9.0.127", "ip range = 10.9.0.127-10.9.0.10") },
    Slip(.XL5, "/etc/xl2tpd/xl2tpd.conf:6", fix: "sed -i '6d' /etc/xl2tpd/xl2tpd.conf") { edited($0, "/etc/xl2tpd/xl2tpd.conf", "port = 1701\n", "access control = yes\n") },
    Slip(.XL5, "", fix: "") { edited($0, "/etc/xl2tpd/xl2tpd.conf", "length bit = yes", "challenge = yes") },
    Slip(.XL5, "", fix: "") { edited($0, "/etc/xl2tpd/xl2tpd.conf", "ip range = 10.9.0.10-10.9.0.127", "") },
    Slip(.XL6, "", fix: "pcs resource update firewall pool=\"10.9.0.0/24 10.8.0.0/25\"    # or ip range in /etc/xl2tpd/xl2tpd.conf") { edited($0, "/etc/xl2tpd/xl2tpd.conf", "10.9.0.10-10.9.0.127", "10.8.0.10-10.8.0.127") },
    Slip(.XL6, "", fix: "pcs resource update firewall pool=\"10.9.0.0/24 10.8.0.0/25\"    # or ip range in /etc/xl2tpd/xl2tpd.conf") { edited($0, "/etc/xl2tpd/xl2tpd.conf", "10.9.0.10-10.9.0.127", "10.8.0.10-127") },
    Slip(.XL6, "", fix: "") { edited($0, "/etc/xl2tpd/xl2tpd.conf", "local ip = 10.9.0.1\n", "local ip = 10.9.0.100\n") },
    Slip(.PPP7, "", fix: "") { edited($0, "/etc/ppp/options.xl2tpd", "require-mschap-v2\n", "require-mschap-v2\nrequire-mppe-128\n") },
    Slip(.USER3, "/etc/ppp/chap-secrets:2", fix: "sed -i '2s/[[:space:]]*$/ */' /etc/ppp/chap-secrets") { $0.put("alice vpnha hunter2 *\nbob vpnha hunter2\n", at: "/etc/ppp/chap-secrets", mode: 0o600) },
    Slip(.USER4, "/etc/ppp/chap-secrets:2", fix: "editor +2 /etc/ppp/chap-secrets") { $0.put("alice vpnha hunter2 10.9.0.251\nbob vpnha hunter2 10.9.0.251\n", at: "/etc/ppp/chap-secrets", mode: 0o600) },
    // A password in the column of the server is not shown.
    Slip(.USER2, "/etc/ppp/chap-secrets:1", fix: "") { $0.put("alice \"change me\" vpnha *\n\"the boss\" hunter2 vpnha *\n", at: "/etc/ppp/chap-secrets", mode: 0o600) },
    Slip(.XFRM1, "net.ipv4.conf.eth0.disable_xfrm", fix: "sysctl -w net.ipv4.conf.eth0.disable_xfrm=0") { $0.kernelParameters["net.ipv4.conf.eth0.disable_xfrm"] = "1" },
    Slip(.XFRM1, "", fix: "sysctl -w net.ipv4.conf.all.disable_policy=0") { $0.kernelParameters["net.ipv4.conf.all.disable_policy"] = "1" },
    Slip(.TRACK4, "", fix: "sysctl -w net.netfilter.nf_conntrack_max=2048") { $0.kernelParameters.merge(["net.netfilter.nf_conntrack_max": "1024", "net.netfilter.nf_conntrack_count": "1000"]) { $1 } },
    Slip(.BOOT1, "/etc/network/interfaces:3", fix: "editor +3 /etc/network/interfaces") { $0.put("# 203.0.113.50 moves\niface eth0 inet static\n  up ip address add 203.0.113.50/24 dev eth0\n", at: "/etc/network/interfaces") },
    Slip(.BOOT1, "", fix: "editor +3 /etc/systemd/network/eth0.network") { $0.put("[Network]\nAddress=203.0.113.5/24\nAddress=203.0.113.50/24\n", at: "/etc/systemd/network/eth0.network") },
    Slip(.BOOT1, "", fix: "") {
      $0.put("vrrp_instance vpn {\n  virtual_ipaddress {\n    203.0.113.50/24 dev eth0\n  }\n}\n", at: "/etc/keepalived/keepalived.conf")
      $0.put("", at: "\(wants)/keepalived.service")
    },
    Slip(.FILTER3, "/etc/nftables.conf:2", fix: "sed -i '2s/.*/table inet filter\\ndelete table inet filter/' /etc/nftables.conf") {
      $0.put("#!/usr/sbin/nft -f\nflush ruleset\ntable inet filter {\n}\n", at: "/etc/nftables.conf")
      $0.put("", at: "/etc/systemd/system/sysinit.target.wants/nftables.service")
    },
    Slip(.FORWARD2, "/etc/sysctl.d/zz-hardening.conf:2", fix: "sed -i '2s/0[[:space:]]*$/1/' /etc/sysctl.d/zz-hardening.conf") { $0.put("# no routers here\nnet.ipv4.ip_forward = 0\n", at: "/etc/sysctl.d/zz-hardening.conf") },
    Slip(.USER2, "/etc/ppp/chap-secrets:4", fix: "") { edited($0, "/etc/ppp/chap-secrets", "     vpnha ", "     vpn   ") },
    Slip(.MTU1, "/etc/ppp/options.xl2tpd:9", fix: "sed -i '9s/.*/mtu 1400/' /etc/ppp/options.xl2tpd") { edited($0, "/etc/ppp/options.xl2tpd", "mtu 1400", "mtu 1500") },
    Slip(.MTU1, "/etc/ppp/options.xl2tpd", fix: "sed -i '1i mtu 1400' /etc/ppp/options.xl2tpd") { edited($0, "/etc/ppp/options.xl2tpd", "mtu 1400\n", "\n") },
    Slip(.FILTER2, "/proc/net/ip_tables_names", fix: "iptables-legacy -t filter -S") { $0.put("nat\nfilter\n", at: "/proc/net/ip_tables_names") },
    Slip(.UPGRADE2, "/etc/apt/apt.conf.d/50unattended-upgrades:2", fix: #"sed -i '/Automatic-Reboot /s/"true"/"false"/' /etc/apt/apt.conf.d/50unattended-upgrades"#) {
      $0.put("// Unattended-Upgrade::Automatic-Reboot \"true\";\nUnattended-Upgrade::Automatic-Reboot \"true\";\n", at: "/etc/apt/apt.conf.d/50unattended-upgrades")
      $0.put("", at: "/usr/bin/unattended-upgrade")
    },
    Slip(.HA4, "", fix: "") {
      edited($0, "/etc/strongswan.conf", "load = no", "load = yes")
      edited($0, "/etc/strongswan.conf", "fifo_interface = yes", "fifo_interface = no")
    },
    Slip(.HA5, "", fix: "") {
      edited($0, "/etc/strongswan.conf", "load = no", "load = yes")
      edited($0, "/etc/strongswan.conf", "remote = 10.77.0.2", "remote = 10.77.0.1")
    },
    Slip(.MODE1, "/etc/swanctl/private/gateway.pem", fix: "chmod o= /etc/swanctl/private/gateway.pem") { $0.put("-----BEGIN", at: "/etc/swanctl/private/gateway.pem", mode: 0o644) },
    Slip(.PPP1, "/dev/ppp", fix: "modprobe ppp_generic") { try $0.remove("/dev/ppp") },
    Slip(.L2TP1, "/sys/module/l2tp_ppp", fix: "modprobe l2tp_ppp") { try $0.remove("/sys/module/l2tp_ppp/refcnt") },
    Slip(.XL1, "/etc/xl2tpd/xl2tpd.conf:1", fix: "vpnha run --resource xl2tpd validate-all") { $0.put("no equals sign\n", at: "/etc/xl2tpd/xl2tpd.conf") },
    Slip(.XL1, "/etc/xl2tpd/xl2tpd.conf", fix: "cp /usr/share/doc/vpnha/examples/xl2tpd/xl2tpd.conf /etc/xl2tpd/xl2tpd.conf") { try $0.remove("/etc/xl2tpd/xl2tpd.conf") },
    Slip(.XL2, "/etc/xl2tpd/xl2tpd.conf", fix: "sed -i '/^\\[global\\]/a listen-addr = 203.0.113.50' /etc/xl2tpd/xl2tpd.conf") { edited($0, "/etc/xl2tpd/xl2tpd.conf", "listen-addr", ";listen-addr") },
    Slip(.XL2, "/etc/xl2tpd/xl2tpd.conf:2", fix: "sed -i '2s/.*/listen-addr = 203.0.113.50/' /etc/xl2tpd/xl2tpd.conf") { $0.put("[global]\nlisten-addr = 203.0.113.11\n[lns default]\nip range = 10.9.0.10-10.9.0.127\n", at: "/etc/xl2tpd/xl2tpd.conf") },
    Slip(.SWAN1, "\(swanctl):1", fix: "editor +1 \(swanctl)") { $0.put("connections {{\n", at: swanctl, mode: 0o600) },
    Slip(.SWAN1, swanctl, fix: "swanctl --load-all --noprompt") { try $0.remove(swanctl) },
    Slip(.SWAN2, swanctl, fix: "editor \(swanctl)") { edited($0, swanctl, "  l2tp {\n    version", "  l2pt {\n    version") },
    Slip(.PSK1, "", fix: "swanctl --load-creds") { edited($0, swanctl, "secret = ", "sekret = ") },
    Slip(.PSK1, "", fix: "swanctl --load-creds") { edited($0, swanctl, "  ike-l2tp {\n    id = 203.0.113.50", "  ike-l2tp {\n    id = 203.0.113.51") },
    Slip(.LOCAL1, "", fix: "swanctl --load-all --noprompt") { edited($0, swanctl, "local_addrs = 203.0.113.50", "local_addrs = 203.0.113.11") },
    Slip(.TRACK1, "/etc/conntrackd/conntrackd.conf", fix: "cp /usr/share/doc/vpnha/examples/conntrackd/conntrackd.conf /etc/conntrackd/conntrackd.conf") { try $0.remove("/etc/conntrackd/conntrackd.conf") },
    Slip(.TRACK1, "", fix: "editor +1 /etc/conntrackd/conntrackd.conf") { $0.put("Sync {\n", at: "/etc/conntrackd/conntrackd.conf") },
    Slip(.TRACK2, "/etc/conntrackd/conntrackd.conf", fix: "cp /usr/share/doc/vpnha/examples/conntrackd/conntrackd.conf /etc/conntrackd/conntrackd.conf") { $0.put("General {\n}\nStats {\n}\n", at: "/etc/conntrackd/conntrackd.conf") },
    Slip(.LOCK1, "/etc/conntrackd/conntrackd.conf", fix: "sed -i 's|LockFile.*|LockFile /run/conntrackd.lock|' /etc/conntrackd/conntrackd.conf") {
      $0.put("Sync {\n}\nGeneral {\n  LockFile /srv/open/lock\n}\n", at: "/etc/conntrackd/conntrackd.conf")
      $0.put("", at: "/srv/open/.", mode: 0o1777)
    },
    Slip(.TRACK3, "/etc/conntrackd/conntrackd.conf", fix: "sed -i 's/Mode *NOTRACK/Mode FTFW/I' /etc/conntrackd/conntrackd.conf") { edited($0, "/etc/conntrackd/conntrackd.conf", "Mode FTFW", "Mode NOTRACK") },
    Slip(.XL3, "/etc/xl2tpd/xl2tpd.conf", fix: "cp /usr/share/doc/vpnha/examples/xl2tpd/xl2tpd.conf /etc/xl2tpd/xl2tpd.conf") { edited($0, "/etc/xl2tpd/xl2tpd.conf", "[lns default]", "[lns other]") },
    Slip(.XL4, "/etc/xl2tpd/xl2tpd.conf:6", fix: "sed -i '6d' /etc/xl2tpd/xl2tpd.conf") { edited($0, "/etc/xl2tpd/xl2tpd.conf", "port = 1701\n", "ipsec saref = no\n") },
    Slip(.PORT2, "/etc/xl2tpd/xl2tpd.conf:6", fix: "pcs resource update firewall port=1702") { edited($0, "/etc/xl2tpd/xl2tpd.conf", "port = 1701\n", "port = 1702\n") },
    Slip(.PPP2, "/etc/ppp/options.xl2tpd", fix: "cp /usr/share/doc/vpnha/examples/ppp/options.xl2tpd /etc/ppp/options.xl2tpd") { try $0.remove("/etc/ppp/options.xl2tpd") },
    Slip(.PPP3, "/etc/ppp/options.xl2tpd:4", fix: "sed -i '4d' /etc/ppp/options.xl2tpd") { edited($0, "/etc/ppp/options.xl2tpd", "require-mschap-v2\n", "crtscts\n") },
    Slip(.PPP3, "/etc/ppp/options.xl2tpd:4", fix: "sed -i '4d' /etc/ppp/options.xl2tpd") { edited($0, "/etc/ppp/options.xl2tpd", "require-mschap-v2\n", "lock\n") },
    Slip(.PPP4, "/etc/ppp/options.xl2tpd:3", fix: "sed -i '3s/noauth/auth/' /etc/ppp/options.xl2tpd") { edited($0, "/etc/ppp/options.xl2tpd", "\nauth\n", "\nnoauth\n") },
    Slip(.USER1, "/etc/ppp/chap-secrets", fix: "editor /etc/ppp/chap-secrets") {
      $0.put("# nobody yet\n", at: "/etc/ppp/chap-secrets", mode: 0o600)
      // As Debian's ppp has it.
      $0.put("*\thostname\t\"\"\t*\nguest\thostname\t\"*\"\t-\n", at: "/etc/ppp/pap-secrets", mode: 0o600)
    },
    Slip(.USER1, "/etc/ppp/chap-secrets", fix: "editor /etc/ppp/chap-secrets") { $0.put("# nobody yet\n", at: "/etc/ppp/chap-secrets", mode: 0o600) },
    Slip(.FORWARD2, "/etc/sysctl.d", fix: "cp /usr/share/doc/vpnha/examples/sysctl.d/vpnha.conf /etc/sysctl.d/vpnha.conf") { try $0.remove("/etc/sysctl.d/vpnha.conf") },
    Slip(.FORWARD2, "/etc/sysctl.d", fix: "cp /usr/share/doc/vpnha/examples/sysctl.d/vpnha.conf /etc/sysctl.d/vpnha.conf") { edited($0, "/etc/sysctl.d/vpnha.conf", "net.ipv4.ip_forward", "# net.ipv4.ip_forward") },
    Slip(.UNIT3, "/etc/systemd/system", fix: "systemctl enable corosync pacemaker") { try $0.remove("\(wants)/pacemaker.service") },
    Slip(.CLOCK1, "/etc/systemd/system", fix: "apt-get install chrony") { try $0.remove("\(wants)/chrony.service") },
    Slip(.FLOOD1, "/etc/strongswan.conf", fix: "cp /usr/share/doc/vpnha/examples/strongswan/vpnha.conf /etc/strongswan.d/vpnha.conf") { edited($0, "/etc/strongswan.conf", "block_threshold", "#block_threshold") },
    Slip(.HA1, "", fix: "") {
      edited($0, "/etc/strongswan.conf", "load = no", "load = yes")
      edited($0, "/etc/strongswan.conf", "secret = ", "#secret = ")
    },
    Slip(.HA2, "", fix: "") {
      edited($0, "/etc/strongswan.conf", "load = no", "load = yes")
      edited($0, "/etc/strongswan.conf", "monitor = no", "monitor = yes")
    },
    Slip(.MODE1, swanctl, fix: "chmod o= \(swanctl)") { $0.put($0.text(at: swanctl) ?? "", at: swanctl, mode: 0o644) },
    Slip(.MODE1, "/etc/ppp/chap-secrets", fix: "chmod o= /etc/ppp/chap-secrets") { $0.put("alice * secret *\n", at: "/etc/ppp/chap-secrets", mode: 0o644) },
    Slip(.RESTART1, "/etc/needrestart/conf.d", fix: "apt-get install --reinstall -o Dpkg::Options::=--force-confmiss vpnha") { try $0.remove("/etc/needrestart/conf.d/vpnha.conf") },
    Slip(.UPGRADE1, "/etc/apt/apt.conf.d/20auto-upgrades:2", fix: "") {
      $0.put("APT::Periodic::Update-Package-Lists \"1\";\nAPT::Periodic::Unattended-Upgrade \"1\";\n", at: "/etc/apt/apt.conf.d/20auto-upgrades")
      $0.put("", at: "/usr/bin/unattended-upgrade")
    },
  ]

  @Test(arguments: slips) func aMistakeOnANodeIsFound(_ slip: Slip) throws {
    let found = try Self.node { try slip.change($0) }
    #expect(found.map(\.id) == [slip.id], "\(found)")
    let finding = try #require(found.first)
    #expect(!finding.fix.isEmpty && (slip.fix.isEmpty || finding.fix.contains(slip.fix)), "\(finding.fix)")
    #expect(slip.place.isEmpty || finding.place == slip.place, "\(finding.place ?? "")")
    #expect(!found.map(\.json).joined().contains("change me"))
  }

  /// Those commands that only touch files, in a copy of the tree, by a shell.
  @Test(arguments: slips) func theCommandMendsIt(_ slip: Slip) throws {
    let files = try Self.tree()
    try slip.change(files)
    let configuration = try ClusterConfiguration(Array(try Pair.cib([]).utf8))
    func findings() throws -> [Finding] {
      try NodeChecks(files: files, processes: ScriptedProcesses(), clock: ManualClock(), configuration: configuration, running: nil).findings()
    }
    let commands = try findings().flatMap(\.fix).filter { command in ["sed ", "cp ", "install ", "chmod ", "echo "].contains { command.hasPrefix($0) } }
    // What a person or the kernel has to do cannot be typed here.
    guard !commands.isEmpty, try findings().allSatisfy({ !["FORWARD1", "RPF1", "PPP1", "L2TP1", "FILTER2", "XFRM1", "TRACK4"].contains($0.id.rawValue) }) else { return }
    let root = "/tmp/vpnha-doctor-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    let disk = LinuxFiles()
    defer { _ = try? LinuxProcesses().run(Command("/bin/rm", ["-r", root]), before: LinuxClock().now + .seconds(20)) }
    for folder in ["conntrackd", "xl2tpd", "ppp", "swanctl", "sysctl.d", "strongswan.d", "logrotate.d", "apt/apt.conf.d"] { try disk.makeDirectory("\(root)/etc/\(folder)", mode: 0o755) }
    for (path, node) in files.nodes where path.hasPrefix("/etc/") && node.status.kind == .regular && !path.contains("systemd") {
      try disk.makeDirectory(root + path.split(separator: "/").dropLast().map { "/\($0)" }.joined(), mode: 0o755)
      try disk.replace(root + path, with: node.bytes, mode: node.status.mode)
    }
    let examples = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/") + "/Packaging/examples"
    for command in commands {
      let here = command.replacing("/usr/share/doc/vpnha/examples", with: examples).replacing(" /etc/", with: " \(root)/etc/").replacing(">/etc/", with: ">\(root)/etc/")
      let result = try LinuxProcesses().run(Command("/bin/sh", ["-ec", here]), before: LinuxClock().now + .seconds(20))
      #expect(result.succeeded, "\(here): \(String(decoding: result.error, as: UTF8.self))")
    }
    var paths = files.nodes.keys.filter { $0.hasPrefix("/etc/") && !$0.contains("systemd") }
    for word in commands.flatMap({ $0.split { $0 == " " || $0 == ">" } }) where word.hasPrefix("/etc/") { paths.append(String(word)) }
    for path in paths {
      guard let status = try disk.status(root + path), status.kind == .regular, let bytes = try disk.read(root + path, limit: 1 << 20) else { continue }
      files.nodes[path] = .init(bytes, .regular, mode: status.mode)
    }
    // charon reads what the folder holds.
    if slip.id == .FLOOD1, let text = files.text(at: "/etc/strongswan.d/vpnha.conf") { files.put(text, at: "/etc/strongswan.conf") }
    let left = try findings()
    #expect(left.map(\.id) == [], "\(commands): \(left)")
  }

  /// An editor of another system ends lines in two characters. The daemons take both for white space.
  @Test func linesThatEndInTwoCharacters() throws {
    let found = try Self.node { files in
      for path in ["/etc/ppp/chap-secrets", "/etc/ppp/options.xl2tpd", "/etc/xl2tpd/xl2tpd.conf", "/etc/sysctl.d/vpnha.conf"] {
        files.put((files.text(at: path) ?? "").replacing("\n", with: "\r\n"), at: path, mode: 0o600)
      }
    }
    #expect(found == [])
  }

  @Test func optionsThatPPPDRefuses() throws {
    let processes = ScriptedProcesses()
    processes.whenRun("/usr/sbin/pppd") { _ throws(SystemError) in
      CommandResult(.exited(2), error: Array("/usr/sbin/pppd: In file /etc/ppp/options.xl2tpd: unrecognized option 'mtuu'\n".utf8))
    }
    let found = try Self.node(running: nil, processes) { files in
      files.putExecutable("/usr/sbin/pppd")
      files.put("# for clients\nauth\nmtuu 1400\nnoccp\n", at: "/etc/ppp/options.xl2tpd")
    }
    #expect(found.map(\.id) == [.PPP6] && found[0].summary == "pppd refuses the options: In file /etc/ppp/options.xl2tpd: unrecognized option 'mtuu'")
    #expect(found.first?.place == "/etc/ppp/options.xl2tpd:3" && found.first?.fix.first == "editor +3 /etc/ppp/options.xl2tpd")
  }

  /// The parameter may be the slip as well as the file.
  @Test func aConnectionThatTheFileHasNot() throws {
    let files = try Self.tree()
    Self.edited(files, Self.swanctl, "  l2tp {\n    version", "  l2pt {\n    version")
    let found = try NodeChecks(files: files, processes: ScriptedProcesses(), clock: ManualClock(), configuration: try ClusterConfiguration(Array(try Pair.cib([]).utf8)), running: nil).findings()
    #expect(found.first { $0.id == .SWAN2 }?.fix.last == "pcs resource update strongswan connections=l2pt    # where l2tp is the slip")
  }

  /// What pppd reads is what its files take in, word by word.
  @Test func optionsInOtherFiles() throws {
    let found = try Self.node(running: nil, ScriptedProcesses()) { files in
      files.put("auth noccp mtu 1400\nfile /etc/ppp/users\n", at: "/etc/ppp/options.xl2tpd")
      files.put("plugin radius.so\n", at: "/etc/ppp/users")
      files.put("", at: "/etc/ppp/chap-secrets", mode: 0o600)
    }
    #expect(found.filter { [.USER1, .USER2, .PPP5].contains($0.id) }.isEmpty)
    let serial = try Self.node(running: nil, ScriptedProcesses()) { files in
      files.put("auth\nnoccp\nfile /etc/ppp/more\n", at: "/etc/ppp/options.xl2tpd")
      files.put("mtu 1400\nlock\n", at: "/etc/ppp/more")
    }
    #expect(serial.filter { $0.id == .PPP3 }.map(\.place) == ["/etc/ppp/more:2"] && serial.first { $0.id == .PPP3 }?.fix == ["sed -i '2d' /etc/ppp/more"])
  }

  @Test func anotherTableThatDrops() throws {
    let processes = ScriptedProcesses()
    let chains = "table inet vpnha {\n\tchain input {\n\t\ttype filter hook input priority filter; policy drop;\n\t}\n}\ntable inet filter {\n\tchain input {\n\t\ttype filter hook input priority filter; policy drop;\n\t}\n}\n"
    processes.whenRun("/usr/sbin/nft") { _ throws(SystemError) in CommandResult(.exited(0), output: Array(chains.utf8)) }
    let found = try Self.node(running: nil, processes) { $0.putExecutable("/usr/sbin/nft") }
    #expect(found.map(\.id) == [.FILTER1] && found[0].fix == ["nft list table inet filter"])
    // What goes through the gateway has to pass as well.
    processes.whenRun("/usr/sbin/nft") { _ throws(SystemError) in CommandResult(.exited(0), output: Array(chains.replacing("hook input", with: "hook forward").utf8)) }
    #expect(try Self.node(running: nil, processes) { $0.putExecutable("/usr/sbin/nft") }.map(\.id) == [.FILTER1])
  }

  @Test func sixtyMistakesAreInTheTables() {
    #expect(Self.clusterMistakes.count + Self.slips.count + Self.votes.count >= 100)
  }

  @Test func aClockThatIsNotInStep() throws {
    let processes = ScriptedProcesses()
    var answer = "no\n"
    processes.whenRun("/usr/bin/timedatectl") { _ throws(SystemError) in CommandResult(.exited(0), output: Array(answer.utf8)) }
    #expect(try Self.node(running: nil, processes) { $0.putExecutable("/usr/bin/timedatectl") }.map(\.id) == [.CLOCK2])
    answer = "yes\n"
    #expect(try Self.node(running: nil, processes) { $0.putExecutable("/usr/bin/timedatectl") } == [])
  }

  /// Where only the second of two connections is for L2TP, none is missing.
  @Test func aConnectionBesideTheOneForL2TP() throws {
    let more = "connections {\n  roadwarrior {\n    version = 2\n    local_addrs = 203.0.113.50\n    children {\n      net {\n        local_ts = 192.0.2.0/24\n      }\n    }\n  }\n"
    #expect(try Self.node { $0.put(($0.text(at: Self.swanctl) ?? "").replacing("connections {\n", with: more), at: Self.swanctl, mode: 0o600) } == [])
  }

  static let votes: [(FindingID, String, String)] = [
    (.RING2, "totem {\n", "totem {\n  crypto_cipher: none\n"), (.RING3, "totem {\n", "totem {\n  token: 300\n"),
    (.QUOR5, "two_node: 1", "two_node: 1\n  device {\n  }"), (.QUOR6, "two_node: 1", "two_node: 1\n  wait_for_all: 0"),
    (.QUOR7, "two_node: 1", "two_node: 1\n  expected_votes: 3"), (.RING4, "    ring1_addr: 10.0.1.2\n", ""), (.RING5, "totem {\n", "totem {\n  transport: udpu\n"),
  ]
  /// The command that edits the file is typed on a copy.
  @Test(arguments: votes.indices) func aMistakeInCorosync(_ index: Int) throws {
    let (id, old, new) = Self.votes[index]
    let text = Self.corosync.replacing(old, with: new, maxReplacements: 1)
    let finding = try #require(CorosyncConfiguration(text).traps.first { $0.id == id })
    let file = "/tmp/vpnha-doctor-\(getpid())-\(index).conf"
    defer { unlink(file) }
    try LinuxFiles().replace(file, with: Array(text.utf8), mode: 0o600)
    let line = try #require(finding.fix.first).replacing(CorosyncConfiguration.path, with: file)
    #expect(try LinuxProcesses().run(Command("/bin/bash", ["-c", line], outputLimit: 4096), before: LinuxClock().now + .seconds(30)).ending == .exited(0))
    let mended = CorosyncConfiguration(String(decoding: try #require(try LinuxFiles().read(file, limit: 1 << 20)), as: UTF8.self))
    #expect(!mended.traps.map(\.id).contains(id))
    #expect(CorosyncConfiguration(Self.corosync).traps == [])
  }

  @Test func aDaemonThatTheClusterDidNotStart() throws {
    let processes = ScriptedProcesses()
    processes.appear("/usr/sbin/xl2tpd")
    #expect(try Self.node(running: ["xl2tpd", "strongswan"], processes) { _ in } == [])
    let found = try Self.node(running: ["strongswan"], processes) { _ in }
    #expect(found.map(\.id) == [.UNIT2] && found[0].fix[0] == "systemctl stop xl2tpd" && found[0].severity == .bad)
    // Whether the cluster started it is not known.
    #expect(try Self.node(running: nil, processes) { _ in } == [])
  }

  @Test func aCertificateNearItsEnd() throws {
    let processes = ScriptedProcesses()
    let answers: [String: CommandResult] = [
      "/etc/swanctl/x509/good.pem": CommandResult(.exited(0), output: Array("notAfter=Jan  1 00:00:00 2036 GMT\nCertificate will not expire\n".utf8)),
      "/etc/swanctl/x509/old.pem": CommandResult(.exited(1), output: Array("notAfter=Dec  1 00:00:00 2026 GMT\nCertificate will expire\n".utf8)),
      "/etc/swanctl/x509/over.pem": CommandResult(.exited(1), output: Array("notAfter=Dec  1 00:00:00 2025 GMT\nCertificate will expire\n".utf8)),
      "/etc/swanctl/x509/README": CommandResult(.exited(1), error: Array("Could not read certificate\n".utf8)),
    ]
    processes.whenRun("/usr/bin/openssl") { command throws(SystemError) in
      let path = command.arguments.last ?? ""
      return command.arguments.contains("0") && path.hasSuffix("old.pem") ? CommandResult(.exited(0)) : answers[path] ?? CommandResult(.exited(2))
    }
    let found = try Self.node(running: nil, processes) { files in
      files.putExecutable("/usr/bin/openssl")
      for path in answers.keys { files.put("", at: path) }
    }
    #expect(found.map(\.summary) == ["/etc/swanctl/x509/old.pem ends on Dec  1 00:00:00 2026 GMT", "/etc/swanctl/x509/over.pem ended on Dec  1 00:00:00 2025 GMT"])
    #expect(found.map(\.id) == [.CERT1, .CERT1] && found.map(\.severity) == [.risk, .bad])
  }

  @Test func aMaskedUnitIsNotEnabled() throws {
    let found = try Self.node {
      $0.put("", at: "\(Self.wants)/strongswan.service")
      $0.nodes["/etc/systemd/system/strongswan.service"] = .init([], .symbolicLink)
    }
    #expect(found == [])
  }

  @Test func withoutAClusterTheNodeIsLookedAt() throws {
    let files = try Self.tree()
    files.kernelParameters["net.ipv4.ip_forward"] = "0"
    #expect(try NodeChecks(files: files, processes: ScriptedProcesses(), clock: ManualClock(), configuration: nil).findings().map(\.id) == [.FORWARD1])
  }

  // MARK: What is printed

  @Test func theVerdictIsTheFirstLine() {
    #expect(Checkup([]).text(notes: false) == "GOOD     nothing found; nothing was changed")
    let one = Checkup([Finding(.ALERT1, .note, "no alert is configured", fix: ["x"]), Finding(.FENCE1, .bad, "fencing is switched off", fix: ["a …", "b"])])
    #expect(one.text(notes: true).hasPrefix("BAD      1 bad, 1 note; nothing was changed\nFENCE1   bad   fencing is switched off\n               a …\n"))
    #expect(one.text(notes: false).hasPrefix("BAD      1 bad, 1 note; nothing was changed (--notes lists them)\nFENCE1 "))
    #expect(one.fixes == "# FENCE1: fencing is switched off\n# a …\nb\n# ALERT1: no alert is configured\nx")
    #expect(one.json.hasPrefix(#"{"verdict":"bad","findings":[{"id":"FENCE1","severity":"bad","summary":"fencing is switched off","why":"#))
    #expect(one.with(skipped: [.FENCE1], only: nil).verdict == .good)
    #expect(one.with(skipped: [.FENCE1], only: nil).summary == "GOOD     1 note; skipped: FENCE1; nothing was changed")
    #expect(one.with(skipped: [], only: "FENCE").findings.map(\.id) == [.FENCE1])
  }
}
