import Host
import HostTestKit
import OCF
import Testing

@testable import XL2TPDAgent

/// A daemon that answers is not all that clients need.
@Suite struct XL2TPDFitnessTests {
  static let pppd = "/usr/sbin/pppd"
  static let options = "/etc/ppp/options.xl2tpd"
  static let words = "pppd: In file /etc/ppp/options.xl2tpd: unrecognized option 'crtscs'"

  /// A node whose pppd reads its options as the real one does; what it says is on standard error.
  static func node(_ text: String = "") -> L2TPGateway {
    let node = L2TPGateway()
    node.machine.files.put(text, at: options)
    node.machine.processes.whenRun(pppd) { [unowned node] command in
      let text = command.arguments.last.flatMap { node.machine.files.text(at: $0) } ?? ""
      guard text.contains("crtscs") else { return CommandResult(.exited(4), error: Array("no /dev/ppp\n".utf8)) }
      return CommandResult(.exited(2), error: Array("/usr/sbin/pppd: In file \(options): unrecognized option 'crtscs'\n".utf8))
    }
    return node
  }

  @Test func optionsThatPPPDRefusesAreNamedBeforeAClientMeetsThem() {
    let node = Self.node("auth\ncrtscs\n")
    #expect(node.perform("validate-all", level: 10) == Outcome(.genericError, Self.words))
    #expect(node.perform("start") == Outcome(.genericError, Self.words))
    #expect(node.machine.processes.launched.isEmpty)
    #expect(node.machine.processes.ran.allSatisfy { $0.arguments == ["dryrun", "notty", "nodetach", "file", Self.options] })
    node.machine.files.put("noauth\n", at: Self.options)
    #expect(node.perform("validate-all", level: 10) == Outcome(.success))
    #expect(node.perform("start") == Outcome(.success))
  }

  /// A monitor runs no program unless there is something new to ask.
  @Test func aMonitorAsksOnlyAboutWhatIsNew() {
    let node = Self.node("noauth\n")
    #expect(node.perform("start") == Outcome(.success))
    let asked = node.machine.processes.ran.count
    #expect(asked == 1)
    for level in [0, 10, 10] { #expect(node.perform("monitor", level: level) == Outcome(.success)) }
    #expect(node.machine.processes.ran.count == asked)
    node.machine.files.put("noauth\ncrtscs\n", at: Self.options)
    #expect(node.perform("monitor") == Outcome(.success))
    for _ in 1...3 { #expect(node.perform("monitor", level: 10) == Outcome(.success, Self.words)) }
    #expect(node.machine.processes.ran.count == asked + 1)
    #expect(node.perform("stop") == Outcome(.success))
    #expect(!node.traces.contains { $0.hasSuffix(".pppd") })
  }

  /// A pppd that does not answer has refused nothing.
  @Test(arguments: [CommandResult.Ending.timedOut, .exited(1), .exited(4), .signalled(11), .exited(0)])
  func whoCannotBeAskedRefusesNothing(ending: CommandResult.Ending) {
    let node = Self.node("crtscs\n")
    node.machine.processes.whenRun(Self.pppd) { _ in CommandResult(ending, error: Array("In file x: unrecognized option 'y'\n".utf8)) }
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.perform("monitor", level: 10) == Outcome(.success))
  }

  /// Over L2TP in the kernel there is no serial line.
  @Test(arguments: ["crtscts", "lock", "115200", "  modem # as always"]) func serialOptionsAreRefusedWhereTheKernelCarriesSessions(option: String) {
    let word = option.split(separator: " ")[0]
    let words = "pppd: In file /etc/ppp/options.xl2tpd: unrecognized option '\(word)'"
    let node = Self.node("noauth\nname lock # crtscts\n\(option)\n")
    #expect(node.perform("validate-all", level: 10) == Outcome(.genericError, words))
    // No kernel for it: the daemon carries them, and pppd has its pseudo-terminal.
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.perform("monitor", level: 10) == Outcome(.success))
    node.machine.files.put("", at: "/proc/net/pppol2tp")
    #expect(node.perform("monitor", level: 10) == Outcome(.success, words))
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.perform("start") == Outcome(.genericError, words))
    node.machine.files.put(L2TPGateway.configuration + "\n[global]\nforce userspace = yes\n", at: "/etc/xl2tpd/xl2tpd.conf")
    #expect(node.perform("validate-all", level: 10) == Outcome(.success))
    #expect(node.perform("start") == Outcome(.success))
  }

  @Test(arguments: [
    ("auth", "", false), ("auth", "# client server secret IP\n", false), ("require-mschap-v2", "", false), ("auth", "alice * secret *\n", true), ("auth", "alice * secret\n", false),
    ("auth\nplugin radius.so", "", true), ("noauth", "", true), ("", "", true), ("auth\nlogin", "", true),
  ]) func withoutUsersNobodyGetsIn(options: String, secrets: String, isFit: Bool) {
    let node = Self.node(options)
    node.machine.files.put(secrets, at: "/etc/ppp/chap-secrets", mode: 0o600)
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.perform("monitor") == Outcome(.success))
    let reason = "no user can log in: /etc/ppp/chap-secrets has no entry, and no plugin of pppd is configured"
    #expect(node.perform("monitor", level: 10) == Outcome(.success, isFit ? nil : reason))
  }

  /// pppd reads words, not lines, and files that its files name.
  @Test(arguments: [
    ("auth\nfile /etc/ppp/more", "plugin radius.so", nil), ("auth file \"/etc/ppp/more\"", "noauth", nil), ("auth\ncall vpn", "plugin radius.so", nil), ("auth plugin radius.so", "", nil), ("file\n/etc/ppp/more", "file /etc/ppp/options.xl2tpd login", nil),
    ("auth\nfile /etc/ppp/more", "mtu 1400", "no user can log in: /etc/ppp/chap-secrets has no entry, and no plugin of pppd is configured"),
    ("file /etc/ppp/more", "\"auth\"", "no user can log in: /etc/ppp/chap-secrets has no entry, and no plugin of pppd is configured"),
    ("auth\nfile /etc/ppp/more", "crtscs noauth", words),
  ]) func filesThatAFileNamesAreReadToo(options: String, more: String, reason: String?) {
    let node = Self.node("noauth\n")
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.perform("monitor", level: 10) == Outcome(.success))
    node.machine.files.put(options, at: Self.options)
    for file in ["/etc/ppp/more", "/etc/ppp/peers/vpn"] { node.machine.files.put("noauth\n", at: file) }
    #expect(node.perform("monitor", level: 10) == Outcome(.success))
    // One of them alone has changed.
    node.machine.processes.whenRun(Self.pppd) { _ in more.contains("crtscs") ? CommandResult(.exited(2), error: Array("/usr/sbin/pppd: \(Self.words.dropFirst(6))\n".utf8)) : CommandResult(.exited(4)) }
    for file in ["/etc/ppp/more", "/etc/ppp/peers/vpn"] { node.machine.files.put(more, at: file) }
    #expect(node.perform("monitor", level: 10) == Outcome(.success, reason))
  }

  /// A daemon that answers is well whatever lies in the place of what its clients need.
  @Test(arguments: ["/etc/ppp/options", options, "/etc/ppp/chap-secrets", "/etc/ppp/pap-secrets"]) func whatCannotBeReadFailsNoDaemon(file: String) {
    let node = Self.node("auth\n")
    node.machine.files.put("alice * secret *\n", at: "/etc/ppp/chap-secrets")
    #expect(node.perform("start") == Outcome(.success))
    node.machine.files.nodes[file] = nil
    node.machine.files.put(String(repeating: "#", count: 1 << 21), at: file)
    let outcome = node.perform("monitor", level: 10)
    #expect(outcome.status == .success && outcome.reason?.contains(file) != false, "\(outcome)")
  }

  /// Debian's own file, whose entries let nobody in by CHAP, and by PAP only who has a password of the system's.
  @Test(arguments: [("auth\nrequire-mschap-v2", false), ("auth\nrefuse-pap", false), ("auth", false), ("auth\nrequire-pap", false), ("auth\nlogin", true)])
  func theEntriesThatDebiansPPPBringsAreNoUsers(options: String, isFit: Bool) {
    let node = Self.node(options)
    node.machine.files.put("", at: "/etc/ppp/chap-secrets", mode: 0o600)
    node.machine.files.put("*\thostname\t\"\"\t*\nguest\thostname\t\"*\"\t-\n", at: "/etc/ppp/pap-secrets", mode: 0o600)
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.perform("monitor", level: 10).reason?.hasPrefix("no user can log in") ?? false == !isFit)
  }

  @Test func aStandbyWithoutTheKernelsPPPCouldNotServe() throws {
    let node = Self.node()
    #expect(node.perform("start", clone: true) == Outcome(.success))
    node.machine.files.nodes["/dev/ppp"] = nil
    let call = Call(host: node.machine.host, request: node.request("monitor", clone: true, level: 10), deadline: node.machine.clock.now + .seconds(20))
    #expect(try XL2TPD().observe(call) == .atRisk("/dev/ppp is missing: modprobe ppp_generic (the kernel has no PPP)", unfit: true))
  }

  /// What the daemon's own file asks for counts as well, and /etc/ppp/options is read with every file.
  @Test func itCountsWhereverAUserIsAskedFor() {
    for (file, line) in [("/etc/xl2tpd/xl2tpd.conf", L2TPGateway.configuration + "\nrequire chap = yes\n"), ("/etc/ppp/options", "auth\n")] {
      let node = Self.node()
      node.machine.files.put(line, at: file)
      #expect(node.perform("start") == Outcome(.success))
      #expect(node.perform("monitor", level: 10).reason?.hasPrefix("no user can log in") == true)
    }
  }

  /// Who is let in here is let in there.
  @Test(arguments: [
    ("/etc/ppp/chap-secrets", "alice  *\tsecret * \n# of both\n\n", nil), ("/etc/ppp/chap-secrets", "alice * Secret *\n", "the users in /etc/ppp/chap-secrets and /etc/ppp/pap-secrets"),
    ("/etc/ppp/chap-secrets", "", "the users in /etc/ppp/chap-secrets and /etc/ppp/pap-secrets"), ("/etc/ppp/pap-secrets", "bob * x *\n", "the users in /etc/ppp/chap-secrets and /etc/ppp/pap-secrets"),
    (options, "noauth\nmtu 1400\n", "the options of pppd"), (options, "  noauth\r\n#mtu 1400\n", nil), ("/etc/ppp/options", "mtu 1400\n", "the options of pppd"),
    ("/etc/xl2tpd/l2tp-secrets", "* * hush\n", "the secrets in /etc/xl2tpd/l2tp-secrets"),
    ("/etc/xl2tpd/xl2tpd.conf", L2TPGateway.configuration + "\n[global]\nauth file = /etc/ppp/options.xl2tpd\n", "the secrets in /etc/ppp/options.xl2tpd"),
  ]) func whatTheOtherNodeHasNotIsARisk(file: String, text: String, what: String?) {
    func node() -> L2TPGateway {
      let node = Self.node("noauth\n")
      node.machine.files.put("alice * secret *\n", at: "/etc/ppp/chap-secrets")
      node.machine.files.put("0123456789abcdef", at: "/etc/corosync/authkey", mode: 0o400)
      #expect(node.perform("start") == Outcome(.success))
      return node
    }
    let cluster = ["OCF_RESKEY_CRM_meta_on_node": "moon"]
    let (sun, moon) = (node(), node())
    #expect(sun.perform("monitor", level: 10, environment: cluster) == Outcome(.success))
    let told = sun.machine.cluster.shared["vpnha-look-l2tp"]?["moon"] ?? ""
    #expect(told.contains(" users:") && told.utf8.count < 250)
    moon.machine.cluster.peers["vpnha-look-l2tp"] = ["sun": told]
    #expect(moon.perform("monitor", level: 10, environment: cluster) == Outcome(.success))
    moon.machine.files.put(text, at: file)
    #expect(moon.perform("monitor", level: 10, environment: cluster) == Outcome(.success, what.map { "\($0) are not those of sun: make them the same" }))
  }

  @Test func aNodeThatForwardsNothingIsNoGateway() throws {
    let node = Self.node()
    node.machine.files.kernelParameters["net.ipv4.ip_forward"] = "0"
    #expect(node.perform("start", clone: true) == Outcome(.success))
    #expect(node.perform("monitor", clone: true) == Outcome(.success))
    let reason = "set net.ipv4.ip_forward=1: this node forwards nothing for clients"
    #expect(node.perform("monitor", clone: true, level: 10) == Outcome(.success, reason))
    let call = Call(host: node.machine.host, request: node.request("monitor", clone: true, level: 10), deadline: node.machine.clock.now + .seconds(20))
    #expect(try XL2TPD().observe(call) == .atRisk(reason, unfit: true))
    node.machine.files.kernelParameters["net.ipv4.ip_forward"] = "1"
    #expect(node.perform("monitor", clone: true, level: 10) == Outcome(.success))
    // Sessions' interfaces take over what `default` has; where answers come in, only they are lost.
    node.machine.files.kernelParameters["net.ipv4.conf.default.forwarding"] = "0"
    #expect(try XL2TPD().observe(call) == .atRisk("set net.ipv4.conf.default.forwarding=1: this node forwards nothing for clients", unfit: true))
    node.machine.files.kernelParameters = ["net.ipv4.ip_forward": "1", "net.ipv4.conf.eth0/100.forwarding": "0"]
    node.machine.files.put("Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\neth0.100\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n", at: "/proc/net/route")
    #expect(try XL2TPD().observe(call) == .atRisk("set net.ipv4.conf.eth0/100.forwarding=1: what arrives on eth0.100 reaches no client"))
  }

  /// pppd takes the users of its own name only.
  @Test(arguments: [("alice vpnha secret *", true), ("alice * secret *", true), ("\"alice b\" \"vpnha\" \"my secret\" *", true), ("alice other secret *", false), ("# alice vpnha secret", false)])
  func aUserIsOfAServer(line: String, fits: Bool) {
    let node = Self.node("auth\n")
    node.machine.files.put(L2TPGateway.configuration + "\nname = vpnha\n", at: "/etc/xl2tpd/xl2tpd.conf")
    node.machine.files.put("\(line)\n", at: "/etc/ppp/chap-secrets", mode: 0o600)
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.perform("monitor", level: 10).reason?.hasPrefix("no user can log in") == (fits ? nil : true))
  }

  /// L2TP on a port that the firewall of this node does not guard is let in without IPsec.
  @Test func aPortThatNoFirewallGuards() {
    let node = Self.node()
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.perform("monitor", level: 10) == Outcome(.success), "without a firewall of ours")
    node.machine.files.put("1702\n", at: "/run/resource-agents/vpnha-firewall-wall.guards")
    let risk = "wall guards UDP port 1702, xl2tpd serves 1701: L2TP in clear text is let in; set port=1701 of wall"
    #expect(node.perform("monitor", level: 10) == Outcome(.success, risk))
    #expect(node.perform("validate-all", level: 10) == Outcome(.success, risk))
    node.machine.files.put("1701\n", at: "/run/resource-agents/vpnha-firewall-second.guards")
    #expect(node.perform("monitor", level: 10) == Outcome(.success))
    node.machine.files.nodes["/run/resource-agents/vpnha-firewall-second.guards"] = nil
    node.machine.files.put("nonsense", at: "/run/resource-agents/vpnha-firewall-wall.guards")
    #expect(node.perform("monitor", level: 10) == Outcome(.success))
  }

  /// Nobody said that the gateway is an open L2TP server.
  @Test func aNodeWithoutAnyPacketFilterIsOpen() {
    typealias Chain = BaseChain
    let risk = "add a firewall resource: nothing keeps L2TP to IPsec, UDP port 1701 is answered in clear text"
    let table: [(chains: [Chain], isOpen: Bool)] = [
      ([], true), ([Chain(family: "inet", table: "filter", name: "input", hook: .input, dropsByDefault: false)], false),
      ([Chain(family: "ip", table: "raw", name: "PREROUTING", hook: .prerouting, dropsByDefault: false)], false),
      // What translates, forwards or sees IPv6 only drops none of it.
      ([Chain(family: "ip", table: "nat", name: "PREROUTING", hook: .prerouting, dropsByDefault: false, translates: true)], true),
      ([Chain(family: "ip", table: "filter", name: "FORWARD", hook: .forward, dropsByDefault: true)], true),
      ([Chain(family: "ip6", table: "filter", name: "INPUT", hook: .input, dropsByDefault: true)], true),
    ]
    for row in table {
      let node = Self.node()
      node.machine.packetFilter.chains = row.chains
      #expect(node.perform("validate-all", level: 10) == Outcome(.success), "the firewall is started before it")
      #expect(node.perform("start") == Outcome(.success))
      #expect(node.perform("monitor") == Outcome(.success))
      #expect(node.perform("monitor", level: 10) == Outcome(.success, row.isOpen ? risk : nil), "\(row.chains)")
      node.machine.files.put("filter\n", at: "/proc/net/ip_tables_names")
      #expect(node.perform("monitor", level: 10) == Outcome(.success))
      node.machine.files.nodes["/proc/net/ip_tables_names"] = nil
      node.machine.files.put("1701\n", at: "/run/resource-agents/vpnha-firewall-wall.guards")
      #expect(node.perform("monitor", level: 10) == Outcome(.success))
    }
  }

  // MARK: ip_nonlocal_bind

  private func nonlocal(_ node: L2TPGateway) -> String? { node.machine.files.kernelParameters["net.ipv4.ip_nonlocal_bind"] }

  @Test func whatWasSetForAStandbyIsSetBack() {
    let node = L2TPGateway()
    #expect(node.perform("start", clone: true) == Outcome(.success) && nonlocal(node) == "1")
    #expect(node.perform("promote", clone: true) == Outcome(.success))
    #expect(node.perform("demote", clone: true) == Outcome(.success) && nonlocal(node) == "1")
    #expect(node.perform("stop", clone: true) == Outcome(.success) && nonlocal(node) == "0")
    #expect(!node.traces.contains { $0.hasSuffix(".nonlocal") })
  }

  @Test func whatSomebodyElseSetStays() {
    let node = L2TPGateway()
    node.machine.files.kernelParameters["net.ipv4.ip_nonlocal_bind"] = "1"
    #expect(node.perform("start", clone: true) == Outcome(.success))
    #expect(node.perform("stop", clone: true) == Outcome(.success) && nonlocal(node) == "1")
  }

  @Test func theLastOfTwoSetsItBack() throws {
    let node = L2TPGateway()
    func bind(_ instance: String) -> NonlocalBind {
      let request = Request(
        arguments: ["xl2tpd", "start"], environment: ["OCF_RESOURCE_TYPE": "xl2tpd", "OCF_RESOURCE_INSTANCE": instance])
      return NonlocalBind(Call(host: node.machine.host, request: request, deadline: node.machine.clock.now + .seconds(9)))
    }
    try bind("a").allow()
    try bind("b").allow()
    bind("a").restore()
    #expect(nonlocal(node) == "1")
    bind("a").restore()
    #expect(nonlocal(node) == "1")
    bind("b").restore()
    #expect(nonlocal(node) == "0")
  }
}
