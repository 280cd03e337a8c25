import Host
import Testing

/// `vpnha` as an operator types it, with the agents beside it.
struct CommandLineTests {
  func vpnha(_ words: String..., environment: [String: String] = [:]) throws -> Answer {
    try Answer(Command("\(Built.folder)/vpnha", words, environment: environment, outputLimit: 1_048_576), within: .seconds(30))
  }

  @Test("the outcome, the reason and the consequence are shown, the call only on request; the status is the agent's")
  func explained() throws {
    let answer = try vpnha("run", "vip", "validate-all", "ip=nonsense")
    #expect(answer.status == 6)
    let lines = answer.output.split(separator: "\n").map(String.init)
    #expect(lines.count == 3, "\(answer.output)")
    #expect(lines.first?.hasPrefix("6 OCF_ERR_CONFIGURED: ") == true)
    #expect(lines.dropFirst().first?.hasPrefix("reason: ip: ") == true)
    #expect(lines.last?.hasPrefix("the cluster: ") == true)
    let verbose = try vpnha("run", "vip", "validate-all", "ip=nonsense", "-v").output
    #expect(verbose.contains("OCF_RESKEY_ip=nonsense \\\n"))
    #expect(verbose.contains("\(Built.folder)/vip validate-all\n"))
    #expect(try vpnha("run", "vip", "validate-all", "ip=192.0.2.10", "nic=v0").status == 0)
    #expect(try vpnha("run", "vip", "frobnicate", "ip=192.0.2.10").status == 3)
    let json = try vpnha("run", "vip", "validate-all", "ip=nonsense", "--json").output
    #expect(json.hasPrefix("{\"done\":true,\"agent\":\"vip\",") && json.contains("\"status\":6,") && json.contains("\"reason\":\"ip: "))
  }

  @Test("the reason is whole, where the cluster's has 128 bytes")
  func wholeReason() throws {
    let values = ["ip=\(String(repeating: "1", count: 40))", "arp_count=\(String(repeating: "x", count: 40))", "nodad=\(String(repeating: "y", count: 40))"]
    let answer = try vpnha("run", "vip", "validate-all", values[0], values[1], values[2])
    let reason = try #require(answer.output.split(separator: "\n").first { $0.hasPrefix("reason: ") })
    #expect(reason.utf8.count > 200 && !reason.hasSuffix("..."), "\(reason)")
    for value in values { #expect(reason.contains(String(value.drop { $0 != "=" }.dropFirst()))) }
    let cluster = try Agent.vip.answer(["validate-all"], ["OCF_RESKEY_ip": "1", "OCF_RESKEY_arp_count": values[1], "OCF_RESKEY_nodad": values[2]])
    #expect(cluster.error.utf8.count == 129 && cluster.error.hasSuffix("...\n"))
  }

  /// Those that write nothing.
  static let verbs = [
    "status", "doctor", "explain", "check", "plan", "recipe", "switchover", "drain", "drill", "sessions", "history", "fingerprint", "metrics", "run", "metadata",
  ]
  @Test("a wrong word steers no terminal and fills no screen, and an unknown flag is a wrong call", arguments: verbs)
  func hostileWords(_ verb: String) throws {
    for words in [["\u{1b}[31m\u{202e}red"], [String(repeating: "x", count: 100_000)], ["--frobnicate"], ["--json=", "--frobnicate"]] {
      let answer = try vpnha(verb, words[0], words.count > 1 ? words[1] : "--frobnicate")
      #expect(answer.status == 64, "\(verb): \(answer.status ?? -1)")
      #expect(answer.output.isEmpty && !answer.error.isEmpty && answer.error.utf8.count < 8000)
      #expect(!answer.error.contains("\u{1b}") && !answer.error.contains("\u{202e}"))
    }
  }

  @Test("a verb that there is not is named, with the nearest one, whatever follows it", arguments: [["frobnicate"], ["frobnicate", "--help"], ["help", "frobnicate"], ["statsu", "--help"], ["\u{1b}[31mstatus"]])
  func unknownVerb(_ words: [String]) throws {
    let answer = try vpnha(words[0], words.count > 1 ? words[1] : "--json")
    #expect(answer.status == 64 && answer.output.isEmpty)
    let hint = words[0].contains("[31m") ? "there is no vpnha " : words.contains("frobnicate") ? "there is no vpnha frobnicate; vpnha --help lists what there is" : "did you mean vpnha status?"
    #expect(answer.error.contains(hint) && !answer.error.contains("\u{1b}"), "\(answer.error)")
  }

  @Test("a parameter that the agent does not have is refused, with the one that was meant")
  func unknownParameter() throws {
    let answer = try vpnha("run", "firewall", "monitor", "adress=192.0.2.10")
    #expect(answer.status == 64)
    #expect(answer.error.contains("adress: no such parameter of firewall, did you mean address?"))
  }

  @Test("check asks the agent itself, and changes nothing")
  func check() throws {
    let wrong = try vpnha("check", "vip", "ip=nonsense")
    #expect(wrong.status == 2 && wrong.output.hasPrefix("BAD      would not start here: vip; nothing was changed\nSTART1   bad   ip: expected"), "\(wrong.output)")
    let refused = try vpnha("check", "vip", "ip=127.0.0.9", "nic=lo", "cidr_netmask=8", "arp_count=x", "--json")
    #expect(refused.status == 1 && refused.output.hasPrefix("{\"would_start\":true,\"verdict\":\"risk\",\"problems\":[{\"id\":\"START3\","), "\(refused.output)")
    #expect(try vpnha("check", "vip", "ip=127.0.0.9", "nic=lo", "cidr_netmask=8").status == 0)
    #expect(try vpnha("check", "--resource", "nothing", environment: ["CIB_file": "/nonexistent"]).status == 3)
    #expect(try vpnha("check", "frobnicator").status == 64)
  }

  @Test(
    "bash offers agents, actions, parameters, resources and IDs",
    arguments: [
      (["run", ""], ["vip", "strongswan", "xl2tpd", "conntrackd", "probe", "firewall", "sessions", "announce", "libreswan", "balancer"]),
      (["run", "vip", "mon"], ["monitor"]),
      (["run", "vip", "monitor", "arp_c"], ["arp_count=", "arp_count_refresh="]),
      (["run", "vip", "monitor", "arp_count=", "arp_c"], ["arp_count_refresh="]),
      (["run", "--resource", "gateway", "vip", "va"], ["validate-all"]),
      (["explain", "PSK"], ["PSK1"]), (["check", "vip", "arp_c"], ["arp_count=", "arp_count_refresh="]), (["run", "nothing", ""], [""]), (["sess"], ["sessions"]),
    ] as [([String], [String])])
  func completion(words: [String], offered: [String]) throws {
    let command = Command("\(Built.checkout)/Tests/BlackBoxTests/complete", ["\(Built.folder)/vpnha"] + words, environment: [:], outputLimit: 1_048_576)
    let answer = try Answer(command, within: .seconds(30))
    #expect(answer.output.split(separator: "\n", omittingEmptySubsequences: false).dropLast().map(String.init) == offered, "\(answer.error)")
  }

  @Test("agent, parameters, clone and name are the cluster's; what changes something needs --really", .needsNamespaces, .needs("/usr/sbin/pcs"))
  func clusterResource() throws {
    let script = """
      set -eu
      cd /run
      vpnha='\(Built.folder)/vpnha'
      cibadmin --empty >cib.xml
      sed -i "s#<nodes/>#<nodes><node id='1' uname='$(uname -n)'/></nodes>#" cib.xml
      pcs -f cib.xml resource create net ocf:vpnha:vip ip=192.0.2.10 nic=v0 'iflabel=a"<&b' promotable promoted-max=1
      pcs -f cib.xml resource create a ocf:vpnha:probe ping=192.0.2.1
      pcs -f cib.xml resource create b ocf:vpnha:probe ping=192.0.2.1
      export CIB_file=/run/cib.xml
      $vpnha run --resource net validate-all -v --agents \(Agent.folder) >said
      grep -qF "OCF_RESKEY_ip=192.0.2.10 " said
      grep -qF "OCF_RESKEY_iflabel='a\\"<&b' " said
      grep -qF 'OCF_RESOURCE_INSTANCE=net ' said
      grep -qF 'OCF_RESKEY_CRM_meta_promoted_max=1 ' said
      # The only one of the agent, and a value typed over the cluster's.
      $vpnha run vip validate-all -v | grep -F 'OCF_RESKEY_ip=192.0.2.10 '
      $vpnha run --resource net:0 validate-all nic=v1 -v >said
      grep -qF 'OCF_RESKEY_ip=192.0.2.10 ' said
      grep -qF 'OCF_RESKEY_nic=v1 ' said
      [ "$(grep -c RESKEY_nic said)" = 1 ]
      # Values typed without a resource stand alone; of two resources none is chosen.
      ! $vpnha run vip validate-all ip=192.0.2.11 -v | grep RESKEY_nic
      ! $vpnha run probe validate-all -v | grep -F 'RESKEY_ping'
      for action in start stop promote demote reload-agent notify; do
        status=0; $vpnha run --resource net $action >said || status=$?
        [ $status = 77 ]
        grep -q '^not done: Pacemaker is stopped on this node, and its configuration has net' said
        grep -q "^$action would: " said
      done
      ip address show dev v0 >addresses
      ! grep -F 192.0.2.10 addresses
      status=0; $vpnha run --resource nobody monitor 2>said || status=$?
      [ $status = 64 ]
      grep -q 'the cluster has no nobody with an agent of vpnha, it has net, a, b' said
      status=0; $vpnha run probe monitor --resource net 2>said || status=$?
      [ $status = 64 ]
      $vpnha run --resource net start --really iflabel=
      $vpnha run --resource net monitor iflabel= >said
      grep -q '^the cluster: finds it active where it should be stopped' said
      """
    let answer = try Sandbox.run(["bash", "-c", script])
    #expect(answer.status == 0, "\(answer.output)\(answer.error)")
  }

  @Test("the timeout is the one the agent advises, unless another is asked for")
  func timeout() throws {
    let advised = try vpnha("run", "conntrackd", "validate-all", "-v").output
    #expect(advised.contains("OCF_RESKEY_CRM_meta_timeout=20000 "))
    #expect(try vpnha("run", "conntrackd", "validate-all", "-v", "--timeout", "7").output.contains("OCF_RESKEY_CRM_meta_timeout=7000 "))
  }

  @Test("meta-data comes out alone, as the agent prints it")
  func metaData() throws {
    let answer = try vpnha("run", "strongswan", "meta-data")
    #expect(answer.status == 0)
    #expect(answer.output == (try Agent.strongswan.answer(["meta-data"])).output)
  }

  @Test("no secret is shown, wherever it came from")
  func secrets() throws {
    let typed = try vpnha("run", "xl2tpd", "validate-all", "test_password=open sesame")
    #expect(!(typed.output + typed.error).contains("sesame"))
    let inherited = try vpnha("run", "xl2tpd", "validate-all", "-v", environment: ["OCF_RESKEY_test_password": "open sesame"])
    #expect(inherited.output.contains("OCF_RESKEY_test_password=<secret>"))
    #expect(!(inherited.output + inherited.error).contains("sesame"))
  }

  @Test(
    "a wrong call is 64, with what was wrong",
    arguments: [
      ["run"], ["run", "vip"], ["run", "nobody", "start"], ["run", "vip", "start", "ip"], ["run", "vip", "start", "--timeout", "0"],
      ["run", "monitor"], ["metadata", "nobody"],
    ])
  func usage(_ words: [String]) throws {
    let answer = try Answer(Command("\(Built.folder)/vpnha", words), within: .seconds(30))
    #expect(answer.status == 64)
    #expect(!answer.error.isEmpty)
  }

  @Test("the recorded meta-data is what the agents say; another recording is noticed, shown and mended")
  func recordings() throws {
    let same = try vpnha("metadata", "--folder", "\(Built.checkout)/metadata")
    #expect(same.status == 0, "\(same.output)\(same.error)")
    let script = """
      set -eu
      folder=$(mktemp -d)
      trap 'rm -rf "$folder"' EXIT
      cp '\(Built.checkout)'/metadata/*.xml "$folder"
      sed -i s/Default/Else/ "$folder/vip.xml"
      ! '\(Built.folder)/vpnha' metadata --folder "$folder" vip
      ! '\(Built.folder)/vpnha' metadata --write --folder "$folder"
      '\(Built.folder)/vpnha' metadata --folder "$folder"
      cmp "$folder/vip.xml" '\(Built.checkout)/metadata/vip.xml'
      """
    let answer = try Answer(Command("/bin/bash", ["-c", script]), within: .seconds(30))
    #expect(answer.status == 0, "\(answer.output)\(answer.error)")
    #expect(answer.output.contains("vip.xml: line "))
    #expect(answer.output.contains("vip.xml: recorded; review the difference"))
  }

  @Test("where there is no session the count is 0; who may not look is told so", .needsNamespaces, .needs("/usr/sbin/runuser"))
  func sessions() throws {
    let script = """
      set -eu
      install -m 755 '\(Built.folder)/vpnha' /run/vpnha
      [ "$(/run/vpnha sessions)" = '0 sessions' ]
      [ "$(/run/vpnha sessions --json --config /dev/null 2>/run/said)" = '[]' ]
      grep -q 'not a regular file' /run/said
      printf 'nonsense\\n' >/run/config
      [ "$(/run/vpnha sessions --config /run/config 2>/run/said)" = '0 sessions' ]
      grep -q 'line 1: a setting outside of a section: sessions whose xl2tpd is gone may be missing' /run/said
      ! runuser -u nobody -- /run/vpnha sessions 2>/run/said
      grep -q 'only root sees which programs run' /run/said
      """
    let answer = try Sandbox.run(["bash", "-c", script])
    #expect(answer.status == 0, "\(answer.output)\(answer.error)")
  }
}
