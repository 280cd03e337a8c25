import Testing

/// The contract of OCF Resource Agent API 1.1 as a caller sees it: environment in; status, standard output and one
/// reason out.
struct ContractTests {
  static let brokenEnvironment = [
    "OCF_RESKEY_ip": "nonsense", "OCF_RESKEY_drain_timeout": "never", "OCF_RESKEY_binary": "/nowhere",
    "OCF_RESKEY_CRM_meta_timeout": "-", "OCF_CHECK_LEVEL": "deep",
  ]

  @Test("an unknown action is 3, whatever else is wrong", arguments: Agent.allCases, [[:], brokenEnvironment])
  func unknownAction(_ agent: Agent, _ environment: [String: String]) throws {
    for action in ["frobnicate", "", "START", "migrate_to", "--help"] {
      let answer = try agent.answer([action], environment)
      #expect(answer.status == 3, "\(action)")
      #expect(answer.output.isEmpty)
      #expect(answer.reasons.count == 1)
    }
  }

  @Test("no action is 3", arguments: Agent.allCases)
  func noAction(_ agent: Agent) throws {
    let answer = try agent.answer([])
    #expect(answer.status == 3)
    #expect(answer.output.isEmpty)
  }

  @Test("words after the action are ignored", arguments: Agent.allCases)
  func extraArguments(_ agent: Agent) throws {
    let plain = try agent.answer(["meta-data"])
    let wordy = try agent.answer(["meta-data", "--version", "start", "-h"])
    #expect(plain.status == 0)
    #expect(wordy.status == 0)
    #expect(wordy.output == plain.output)
    #expect(try agent.answer(["frobnicate", "meta-data"]).status == 3)
  }

  @Test("the one program of the package is each agent by its name, linked to or not, and nothing by another")
  func oneProgram() throws {
    let answer = try Answer(
      .init(
        "/bin/bash",
        [
          "-euc",
          """
          folder=$(mktemp -d); trap 'rm -r $folder' EXIT; cd $folder; mkdir links
          cp "$0/vpnha-agents" \(Agent.allCases[0])
          for agent in \(Agent.allCases.map(\.rawValue).joined(separator: " ")); do
            [ -e $agent ] || ln \(Agent.allCases[0]) $agent
            ln -s ../$agent links/$agent
            [ $agent -ef \(Agent.allCases[0]) ]
            cmp <(./$agent meta-data) <("$0/$agent" meta-data)
            cmp <(links/$agent meta-data) <("$0/$agent" meta-data)
            (PATH=$folder; $agent meta-data) | cmp - <("$0/$agent" meta-data)
            echo $agent
          done
          ln vip vip.distrib
          cmp <(./vip.distrib meta-data | sed s/vip.distrib/vip/) <("$0/vip" meta-data)
          ln vip vips
          ./vips meta-data || echo $?
          """, Built.folder,
        ]), within: .seconds(60))
    #expect(answer.status == 0)
    #expect(answer.output.split(separator: "\n").map(String.init) == Agent.allCases.map(\.rawValue) + ["5"])
    #expect(answer.error == "ocf-exit-reason:no agent is named vips\n")
  }

  @Test("meta-data needs no environment, no privileges and no installed program", .needsNamespaces, arguments: Agent.allCases)
  func metaDataForAnybody(_ agent: Agent) throws {
    let program = "\(Agent.folder)/\(agent.rawValue)"
    let answer = try Sandbox.run([
      "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", "-i", "OCF_TESTER_FAIL_HAVE_BINARY=1", program,
      "meta-data",
    ])
    #expect(answer.status == 0)
    #expect(answer.output.hasPrefix("<?xml version=\"1.0\"?>\n"))
    #expect(answer.output.contains("<resource-agent name=\"\(agent.rawValue)\""))
    #expect(answer.error.isEmpty)
  }

  struct BadParameter: CustomTestStringConvertible {
    var agent: Agent
    var name: String
    /// Nil: it is not given.
    var value: String?
    var testDescription: String { "\(agent) \(name)=\(value ?? "(missing)")" }
    /// How a start ends; nil: it goes on with the default.
    var refusal: Int? {
      switch (agent, name) {
      case (.firewall, "table"), (.vip, "ip"), (.vip, "cidr_netmask"), (.vip, "nodad"), (.xl2tpd, "address"), (.sessions, _), (.announce, "include"), (.announce, "function"): 6
      case (.firewall, _), (.probe, _), (.announce, _): 1
      default: nil
      }
    }
  }

  static let badParameters = [
    BadParameter(agent: .vip, name: "ip", value: nil),
    BadParameter(agent: .vip, name: "ip", value: "192.0.2"),
    BadParameter(agent: .vip, name: "ip", value: "192.0.2.10/24"),
    BadParameter(agent: .vip, name: "cidr_netmask", value: "99"),
    BadParameter(agent: .vip, name: "arp_count", value: "many"),
    BadParameter(agent: .vip, name: "nodad", value: "perhaps"),
    BadParameter(agent: .strongswan, name: "launcher", value: "cron"),
    BadParameter(agent: .strongswan, name: "drain_timeout", value: "-1"),
    BadParameter(agent: .strongswan, name: "address", value: "moon"),
    BadParameter(agent: .xl2tpd, name: "launcher", value: "cron"),
    BadParameter(agent: .xl2tpd, name: "drain_timeout", value: "soon"),
    BadParameter(agent: .xl2tpd, name: "address", value: "0.0.0.0.0"),
    BadParameter(agent: .conntrackd, name: "launcher", value: "cron"),
    BadParameter(agent: .probe, name: "ping", value: nil),
    BadParameter(agent: .probe, name: "ping_failures", value: "1/8"),
    BadParameter(agent: .probe, name: "ike_ports", value: "0"),
    BadParameter(agent: .sessions, name: "address", value: nil),
    BadParameter(agent: .sessions, name: "address", value: "2001:db8::10"),
    BadParameter(agent: .sessions, name: "key_file", value: "sessions.key"),
    BadParameter(agent: .sessions, name: "port", value: "0"),
    BadParameter(agent: .sessions, name: "nodes", value: "moon"),
    BadParameter(agent: .announce, name: "prefixes", value: nil),
    BadParameter(agent: .announce, name: "prefixes", value: "203.0.113.0/24"),
    BadParameter(agent: .announce, name: "prefixes", value: "127.0.0.1"),
    BadParameter(agent: .announce, name: "neighbors", value: "a;b"),
    BadParameter(agent: .announce, name: "min_neighbors", value: "0"),
    BadParameter(agent: .announce, name: "standby", value: "loud"),
    BadParameter(agent: .announce, name: "withdraw_wait", value: "11"),
    BadParameter(agent: .announce, name: "include", value: "vpnha.conf"),
    BadParameter(agent: .announce, name: "function", value: "1; }"),
    BadParameter(agent: .libreswan, name: "launcher", value: "cron"),
    BadParameter(agent: .libreswan, name: "address", value: "127.0.0.1"),
    BadParameter(agent: .libreswan, name: "connections", value: "--shutdown"),
    BadParameter(agent: .libreswan, name: "unit", value: "ipsec"),
    BadParameter(agent: .firewall, name: "address", value: nil),
    BadParameter(agent: .firewall, name: "address", value: "192.0.2.10 moon"),
    BadParameter(agent: .firewall, name: "pool", value: "10.9.0.0"),
    BadParameter(agent: .firewall, name: "pool", value: "10.9.0.1/24"),
    BadParameter(agent: .firewall, name: "inside", value: "eth0;reboot"),
    BadParameter(agent: .firewall, name: "outside", value: "\"eth0\""),
    BadParameter(agent: .firewall, name: "nat", value: "true"),
    BadParameter(agent: .firewall, name: "table", value: "vpn { }"),
    BadParameter(agent: .firewall, name: "extra", value: "etc/extra.nft"),
  ]

  @Test("a missing or malformed parameter is 6, and the reason begins with its name", arguments: badParameters)
  func badParameter(_ bad: BadParameter) throws {
    var environment = bad.agent.parameters
    environment[bad.name] = bad.value
    environment = Dictionary(uniqueKeysWithValues: environment.map { ("OCF_RESKEY_\($0.key)", $0.value) })
    let answer = try bad.agent.answer(["validate-all"], environment)
    #expect(answer.status == 6)
    #expect(answer.output.isEmpty)
    #expect(answer.reasons.count == 1)
    #expect(answer.reasons.first?.hasPrefix("\(bad.name):") == true, "\(answer.error)")
  }

  /// What a running resource could take stops no start, unless it is what the resource is; that one is refused here only, so that
  /// another node, which has the value from before, goes on.
  @Test("a start refuses what it cannot go on without, and leaves nothing behind", arguments: badParameters.filter { $0.refusal != nil })
  func startWithBadParameter(_ bad: BadParameter) throws {
    let answer = try Sandbox.script(
      bad.agent,
      """
      before=$(find /run | sort; ip -o address | grep -v " fe80:"; ps -e -o comm=)
      status=0
      OCF_RESKEY_\(bad.name)='\(bad.value ?? "")' agent start || status=$?
      [ $status -eq \(bad.refusal ?? 0) ] || { echo "start: $status"; exit 1; }
      after=$(find /run | sort; ip -o address | grep -v " fe80:"; ps -e -o comm=)
      [ "$before" = "$after" ] || { diff <(echo "$before") <(echo "$after"); exit 1; }
      """)
    #expect(answer.status == 0, "\(answer.output)\(answer.error)")
  }

  @Test("one reason, of at most 128 bytes, however long the value", arguments: Agent.allCases)
  func longValue(_ agent: Agent) throws {
    let name = agent == .vip ? "ip" : agent == .probe ? "ping" : agent == .announce ? "prefixes" : agent == .firewall || agent == .sessions ? "address" : "launcher"
    let answer = try agent.answer(["validate-all"], ["OCF_RESKEY_\(name)": String(repeating: "ä\n", count: 400)])
    #expect(answer.status == 6)
    #expect(answer.reasons.count == 1)
    #expect(answer.reasons.allSatisfy { $0.utf8.count <= 128 })
    #expect(answer.error.hasSuffix("\n"))
  }

  @Test("validate-all of good parameters says nothing at all", arguments: Agent.allCases)
  func silentValidation(_ agent: Agent) throws {
    let environment = Dictionary(uniqueKeysWithValues: agent.parameters.map { ("OCF_RESKEY_\($0.key)", $0.value) })
    let answer = try agent.answer(["validate-all"], environment)
    #expect(answer.status == 0)
    #expect(answer.output.isEmpty)
    #expect(answer.error.isEmpty)
  }

  @Test("a missing program is 5 on start, 7 on probe, 0 on stop", .needsNamespaces, arguments: [Agent.strongswan, .xl2tpd, .conntrackd, .firewall, .libreswan])
  func missingProgram(_ agent: Agent) throws {
    var nowhere = Dictionary(uniqueKeysWithValues: agent.parameters.map { ("OCF_RESKEY_\($0.key)", $0.value) })
    nowhere["OCF_RESKEY_binary"] = "/usr/sbin/not-there"
    let start = try agent.answerInSandbox("start", nowhere)
    #expect(start.status == 5)
    #expect(start.reasons.count == 1)
    #expect(start.reasons.first?.contains("/usr/sbin/not-there is missing (package ") == true, "\(start.error)")
    let probe = try agent.answerInSandbox("monitor", nowhere.merging(["OCF_RESKEY_CRM_meta_interval": "0"]) { $1 })
    #expect(probe.status == 7, "\(probe.error)")
    let stop = try agent.answerInSandbox("stop", nowhere)
    #expect(stop.status == 0, "\(stop.error)")
    for answer in [start, probe, stop] { #expect(answer.output.isEmpty) }
  }

  @Test("stop of what was never installed or configured is 0", .needsNamespaces, arguments: Agent.allCases)
  func stopOfNothing(_ agent: Agent) throws {
    let answer = try Sandbox.script(
      agent,
      """
      rm -rf /etc/swanctl/* /etc/xl2tpd/* /etc/conntrackd/* /etc/ppp/* /run/xl2tpd /run/resource-agents /run/lock
      ip link delete v0
      agent stop
      OCF_RESKEY_config=/nowhere OCF_RESKEY_binary=/nowhere agent stop
      OCF_TESTER_FAIL_HAVE_BINARY=1 agent stop
      for variable in "${!OCF_RESKEY_@}"; do unset "$variable"; done
      agent stop
      """)
    #expect(answer.status == 0, "\(answer.error)")
    #expect(answer.output.isEmpty)
    #expect(answer.reasons.isEmpty)
  }

  @Test(
    "a hung daemon is a failure inside the deadline, and stop ends it", .needsNamespaces,
    arguments: [
      (Agent.strongswan, "charon-systemd"), (.xl2tpd, "xl2tpd"), (.conntrackd, "conntrackd"),
      (.probe, "probe"), (.sessions, "vpnha-ledger"),
    ] + (Built.hasLibreswan ? [(.libreswan, "pluto")] : []))
  func hungDaemon(_ agent: Agent, _ daemon: String) throws {
    let answer = try Sandbox.script(
      agent,
      """
      agent start
      pkill -STOP -x \(daemon)
      export OCF_RESKEY_CRM_meta_timeout=6000 OCF_RESKEY_CRM_meta_interval=10000
      status=0
      timeout 6 \(Agent.folder)/\(agent.rawValue) monitor || status=$?
      [ $status -eq 1 ] || { echo "monitor: $status"; exit 1; }
      OCF_RESKEY_CRM_meta_timeout=15000 timeout 15 \(Agent.folder)/\(agent.rawValue) stop
      ! pgrep --runstates D,R,S,T -x \(daemon)
      """)
    #expect(answer.status == 0, "\(answer.output)\(answer.error)")
    #expect(answer.output.isEmpty)
    #expect(answer.reasons.count == 1, "\(answer.error)")
  }

  @Test("start, monitor, stop: nothing on standard output, no reason while all is well", .needsNamespaces, arguments: Agent.playable)
  func quietLife(_ agent: Agent) throws {
    let answer = try Sandbox.script(
      agent,
      """
      # Without any packet filter xl2tpd is at risk.
      nft 'add table inet site; add chain inet site in { type filter hook input priority 0; }'
      agent start
      agent start
      OCF_RESKEY_CRM_meta_interval=10000 agent monitor
      OCF_CHECK_LEVEL=10 agent monitor
      agent stop
      status=0
      agent monitor || status=$?
      [ $status -eq 7 ] || exit 1
      """)
    #expect(answer.status == 0, "\(answer.error)")
    #expect(answer.output.isEmpty)
    #expect(answer.reasons.isEmpty, "\(answer.error)")
  }
}
