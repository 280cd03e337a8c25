import Host
import Testing

@testable import vpnha

func invocation(
  _ action: String = "start", _ parameters: [String] = [], interval: Duration? = nil, _ membership: ClusterResource.Membership = .plain,
  role: ClusterResource.Role? = nil
) -> Invocation {
  Invocation(
    agent: "vip", program: "/usr/lib/ocf/resource.d/vpnha/vip", action: action,
    parameters: parameters.compactMap { Invocation.Setting($0) }, instance: "vip", timeout: .seconds(20), interval: interval,
    depth: 0, membership: membership, role: role)
}

@Suite struct InvocationTests {
  @Test func aParameterIsANameAndAValue() {
    #expect(Invocation.Setting("ip=192.0.2.10") == Invocation.Setting("ip", "192.0.2.10"))
    #expect(Invocation.Setting("options=a=b c") == Invocation.Setting("options", "a=b c"))
    #expect(Invocation.Setting("ip=") == Invocation.Setting("ip", ""))
    for text in ["ip", "=x", "", "a-b=c", "a b=c", "é=1"] { #expect(Invocation.Setting(text) == nil, "\(text)") }
  }

  @Test func theEnvironmentIsTheClusters() {
    let environment = invocation("monitor", ["ip=192.0.2.10", "nic=eth0"], interval: .seconds(10)).environment(inherited: [:])
    #expect(environment["OCF_ROOT"] == "/usr/lib/ocf")
    #expect(environment["OCF_RA_VERSION_MAJOR"] == "1")
    #expect(environment["OCF_RA_VERSION_MINOR"] == "1")
    #expect(environment["OCF_EXIT_REASON_PREFIX"] == "ocf-exit-reason:")
    #expect(environment["OCF_RESOURCE_PROVIDER"] == "vpnha")
    #expect(environment["OCF_RESOURCE_TYPE"] == "vip")
    #expect(environment["OCF_RESKEY_CRM_meta_timeout"] == "20000")
    #expect(environment["OCF_RESKEY_CRM_meta_interval"] == "10000")
    #expect(environment["OCF_RESKEY_ip"] == "192.0.2.10")
    #expect(environment["OCF_CHECK_LEVEL"] == nil)
    #expect(environment["OCF_RESKEY_CRM_meta_promoted_max"] == nil)
  }

  @Test func aProbeHasIntervalZeroAndOtherActionsNone() {
    #expect(invocation("monitor").environment(inherited: [:])["OCF_RESKEY_CRM_meta_interval"] == "0")
    #expect(invocation("start").environment(inherited: [:])["OCF_RESKEY_CRM_meta_interval"] == nil)
  }

  /// Only the cluster's own calls name the node; the agents change attributes and scores for no other.
  @Test func itIsACallByHand() {
    for action in ["start", "monitor", "promote"] {
      let environment = invocation(action, interval: .seconds(10), .promotable, role: .promoted).environment(inherited: [:])
      #expect(environment["OCF_RESKEY_CRM_meta_on_node"] == nil)
      #expect(environment["VPNHA_RUN"] == "1")
    }
  }

  @Test func aMonitorIsThatOfTheRoleHere() {
    func role(_ role: ClusterResource.Role?, interval: Duration? = .seconds(10)) -> String? {
      invocation("monitor", interval: interval, .promotable, role: role).environment(inherited: [:])["OCF_RESKEY_CRM_meta_role"]
    }
    #expect(role(.promoted) == "Promoted")
    #expect(role(.unpromoted) == "Unpromoted")
    #expect(role(.stopped) == nil)
    #expect(role(nil) == nil)
    #expect(role(.promoted, interval: nil) == nil, "a probe has none")
  }

  @Test func aMemberOfAPlainCloneIsNotPromotable() {
    let environment = invocation("start", [], .clone).environment(inherited: [:])
    #expect(environment["OCF_RESKEY_CRM_meta_clone"] == "0")
    #expect(environment["OCF_RESKEY_CRM_meta_promoted_max"] == nil)
  }

  @Test func aPromotableMemberSeesBothNames() {
    let environment = invocation("promote", [], .promotable).environment(inherited: [:])
    #expect(environment["OCF_RESKEY_CRM_meta_promoted_max"] == "1")
    #expect(environment["OCF_RESKEY_CRM_meta_master_max"] == "1")
  }

  @Test func nothingOfAnotherCallLeaksIn() {
    let inherited = [
      "PATH": "/bin", "OCF_RESKEY_CRM_meta_promoted_max": "1", "OCF_CHECK_LEVEL": "20", "OCF_RESOURCE_INSTANCE": "other",
      "OCF_TRACE_RA": "1", "OCF_RESKEY_CRM_meta_on_node": "moon",
    ]
    let environment = invocation().environment(inherited: inherited)
    #expect(environment["PATH"] == "/bin")
    #expect(environment["OCF_TRACE_RA"] == "1")
    #expect(environment["OCF_RESKEY_CRM_meta_promoted_max"] == nil)
    #expect(environment["OCF_CHECK_LEVEL"] == nil)
    #expect(environment["OCF_RESOURCE_INSTANCE"] == "vip")
    #expect(environment["OCF_RESKEY_CRM_meta_on_node"] == nil)
  }

  @Test(arguments: ["test_password=open sesame", "Passwd=open sesame", "ha_secret=open sesame", "psk=open sesame"])
  func secretsAreGivenAndNotShown(_ parameter: String) {
    let call = invocation("monitor", [parameter])
    #expect(!call.shellLine.contains("sesame"))
    #expect(call.shellLine.contains("=<secret>"))
    #expect(call.environment(inherited: [:]).values.contains("open sesame"))
  }

  @Test func theCallCanBePastedIntoAShell() {
    let line = invocation("start", ["a=it's", "b=", "c=x y", "d=plain-1.2/3"]).shellLine
    #expect(line.hasPrefix("env OCF_ROOT=/usr/lib/ocf \\\n"))
    #expect(line.contains(#"OCF_RESKEY_a='it'\''s'"#))
    #expect(line.contains("OCF_RESKEY_b='' "))
    #expect(line.contains("OCF_RESKEY_c='x y'"))
    #expect(line.contains("OCF_RESKEY_d=plain-1.2/3 "))
    #expect(line.hasSuffix("/usr/lib/ocf/resource.d/vpnha/vip start"))
  }

  @Test func agentsAreFoundWhereTheyBelong() {
    #expect(AgentFolder(besides: "/usr/sbin/vpnha").program("vip") == "/usr/lib/ocf/resource.d/vpnha/vip")
    #expect(AgentFolder(besides: "/tmp/x/usr/sbin/vpnha").path == "/tmp/x/usr/lib/ocf/resource.d/vpnha")
    #expect(AgentFolder(besides: "/src/.build/debug/vpnha").program("xl2tpd") == "/src/.build/debug/xl2tpd")
  }
}
