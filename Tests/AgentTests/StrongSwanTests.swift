import Daemon
import Host
import HostTestKit
import OCF
import Sessions
import Testing
import VICI

@testable import StrongSwanAgent

/// A world before an action, the action, and what came of it.
@Suite struct StrongSwanTests {
  static let binary = "/usr/sbin/charon-systemd"
  static let record = "/run/resource-agents/vpnha-strongswan-ipsec.role"

  final class World {
    let machine: InMemoryMachine
    let charon = ScriptedCharon()
    /// What swanctl would load.
    var inFile = ["l2tp"]

    init(systemd: Bool = false, running: Bool = false, ha: Bool = false) {
      machine = InMemoryMachine(links: [Link(index: 2, name: "eth0")], hasSystemd: systemd)
      machine.files.putExecutable(StrongSwanTests.binary)
      machine.files.putExecutable(Swanctl.binary)
      machine.files.put("connections { l2tp { version = 1 } }", at: "/etc/swanctl/swanctl.conf")
      machine.files.put("charon { plugins { ha { secret = x\n monitor = no\n } } }", at: "/etc/strongswan.conf")
      machine.processes.programs[Swanctl.binary] = { [unowned self] _ in
        charon.loaded = inFile
        return CommandResult(.exited(0))
      }
      machine.processes.launches[StrongSwanTests.binary] = { [unowned self] _ in appear() }
      if systemd {
        machine.units.put("strongswan.service")
        machine.units.started = { [unowned self] name in machine.units.known[name]?.mainPID = appear().pid }
        machine.units.stopped = { [unowned self] name in
          machine.processes.vanish(machine.units.known[name]?.mainPID ?? 0)
          machine.units.known[name]?.mainPID = 0
        }
      }
      if ha {
        charon.plugins.append("ha")
        machine.files.putFIFO("/run/charon.ha") { [unowned self] in charon.segment($0) }
      }
      if running {
        appear()
        charon.loaded = inFile
      }
    }

    @discardableResult func appear() -> Process {
      let process = machine.processes.appear(StrongSwanTests.binary)
      machine.processes.reactions[process.pid] = { [unowned self] signal in
        guard signal == .terminate else { return }
        charon.sayGoodbye()
        machine.processes.vanish(process.pid)
      }
      machine.sockets.unix["/run/charon.vici"] = { [unowned self] in charon.stream(machine) }
      return process
    }

    func holdAddress() throws {
      machine.network.hold(InterfaceAddress(try #require(IPAddress("203.0.113.50")), prefixLength: 24, link: 2))
    }

    var runs: Bool { !machine.processes.table.isEmpty }

    func perform(
      _ action: String, level: Int = 0, promotable: Bool = false, probe: Bool = false, seconds: Int = 20,
      _ parameters: [String: String] = ["connections": "l2tp", "address": "203.0.113.50"]
    ) -> Outcome {
      var environment = [
        "OCF_RESOURCE_INSTANCE": "ipsec", "OCF_RESOURCE_TYPE": "strongswan", "OCF_CHECK_LEVEL": "\(level)",
        "OCF_RESKEY_CRM_meta_timeout": "\(seconds * 1000)",
      ]
      if !probe { environment["OCF_RESKEY_CRM_meta_interval"] = "10000" }
      if promotable { environment["OCF_RESKEY_CRM_meta_promoted_max"] = "1" }
      for (name, value) in parameters { environment["OCF_RESKEY_\(name)"] = value }
      let request = Request(arguments: ["strongswan", action], environment: environment)
      return OCF.perform(StrongSwan.self, request, on: machine.host, from: machine.clock.now)
    }
  }

  // MARK: Observing

  @Test func absentIsStopped() {
    #expect(World().perform("monitor") == Outcome(.notRunning))
    // Nothing of it is installed.
    let bare = World()
    bare.machine.files.nodes = [:]
    #expect(bare.perform("monitor", probe: true) == Outcome(.notRunning))
    #expect(bare.perform("stop") == Outcome(.success))
  }

  @Test func answeringIsRunning() {
    let world = World(running: true)
    #expect(world.perform("monitor") == Outcome(.success))
    #expect(world.charon.asked == ["stats"])
    // A healthy monitor writes nothing and changes nothing.
    #expect(world.machine.log.messages().isEmpty)
    #expect(world.machine.calls.changes.filter { !$0.hasPrefix("stream.write") }.isEmpty)
  }

  @Test func hungIsFailedInsideTheDeadlineNeverStopped() {
    let world = World(running: true)
    world.charon.isHung = true
    let begin = world.machine.clock.now
    #expect(
      world.perform("monitor")
        == Outcome(.genericError, "charon-systemd (pid 1001) hangs: asking charon for stats: no answer in time (ETIMEDOUT)"))
    #expect(world.machine.clock.now - begin <= .seconds(10))

    world.machine.sockets.saturated = ["/run/charon.vici"]
    #expect(
      world.perform("monitor").reason
        == "charon-systemd (pid 1001) hangs: connecting to charon at /run/charon.vici: nobody accepts the connection (ETIMEDOUT)")

    // In a storm of returning clients.
    let atWork = World(running: true)
    atWork.charon.isHung = true
    for second in 1...18 {
      atWork.machine.clock.after(.seconds(second)) {
        atWork.machine.processes.table[0].processorTime += 8
        if second == 4 { atWork.charon.isHung = false }
      }
    }
    #expect(atWork.perform("monitor") == Outcome(.success))

    let halted = World(running: true)
    halted.machine.processes.table[0].state = "T"
    #expect(halted.perform("monitor") == Outcome(.genericError, "charon-systemd (pid 1001) is suspended (SIGSTOP)"))
  }

  @Test func withoutSocketIsFailed() {
    let world = World(running: true)
    world.machine.sockets.unix = [:]
    #expect(
      world.perform("monitor").reason
        == "charon-systemd (pid 1001): connecting to charon at /run/charon.vici: no such file or directory (ENOENT)")
  }

  @Test func level10MissesConnectionsAndSeesExhaustion() {
    let world = World(running: true)
    #expect(world.perform("monitor", level: 10) == Outcome(.success))
    // What the file does not have either, no restart would load, here or on the other node.
    #expect(
      world.perform("monitor", level: 10, ["connections": "l2tp ikev2"])
        == Outcome(.success, "connections: ikev2 is not in /etc/swanctl/swanctl.conf"))
    world.machine.files.put("connections { l2tp { }\n ikev2 { } }", at: "/etc/swanctl/swanctl.conf")
    #expect(
      world.perform("monitor", level: 10, ["connections": "l2tp ikev2"])
        == Outcome(.genericError, "connections: ikev2 is not loaded"))
    world.charon.loaded = []
    #expect(world.perform("monitor", level: 0) == Outcome(.success))
    #expect(world.perform("monitor", level: 10) == Outcome(.genericError, "connections: l2tp is not loaded"))
    world.charon.loaded = ["l2tp"]
    world.machine.files.put("connections { l2tp { } }", at: "/etc/swanctl/swanctl.conf")
    world.charon.idleWorkers = 0
    #expect(world.perform("monitor", level: 10) == Outcome(.success))
    world.charon.queued = 3
    #expect(world.perform("monitor", level: 10) == Outcome(.success, "all 16 worker threads are busy, 3 jobs wait"))
  }

  @Test func promotedWithoutTheAddressIsFailedPromoted() throws {
    let world = World(running: true)
    let begin = world.machine.clock.now
    #expect(
      world.perform("promote", promotable: true) == Outcome(.genericError, "address: 203.0.113.50 is not on this node"))
    #expect(world.machine.clock.now - begin <= .seconds(2))
    #expect(world.machine.files.nodes[Self.record] == nil)
    try world.holdAddress()
    #expect(world.perform("promote", promotable: true) == Outcome(.success))
    #expect(world.perform("monitor", promotable: true) == Outcome(.runningPromoted))
    world.machine.network.addresses = []
    #expect(
      world.perform("monitor", promotable: true)
        == Outcome(.failedPromoted, "address: 203.0.113.50 is not on this node"))
    // An unpromoted member is ready without it, at any level.
    let standby = World(running: true)
    for level in [0, 10, 20] { #expect(standby.perform("monitor", level: level, promotable: true) == Outcome(.success)) }
    #expect(standby.perform("monitor", level: 20) == Outcome(.genericError, "address: 203.0.113.50 is not on this node"))
  }

  /// Nothing runs, and in a moment something will: that is neither running nor stopped.
  @Test func whatSystemdKeepsRestartingIsFailed() {
    let world = World(systemd: true)
    #expect(world.perform("monitor") == Outcome(.notRunning))
    world.machine.units.known["strongswan.service"]?.activeState = "activating"
    #expect(
      world.perform("monitor", probe: true) == Outcome(.genericError, "strongswan.service is being started by systemd"))
    world.machine.units.known["strongswan.service"]?.subState = "auto-restart"
    world.machine.units.known["strongswan.service"]?.restarts = 3
    #expect(
      world.perform("monitor")
        == Outcome(
          .genericError,
          "strongswan.service ends and is restarted again and again (3 times so far); see journalctl -u strongswan.service"))
    #expect(world.perform("stop") == Outcome(.success))
    #expect(world.machine.units.known["strongswan.service"]?.activeState == "inactive")
    // A service manager that does not answer changes nothing about what was seen.
    world.machine.calls.fail("units.unit", with: .timedOut)
    #expect(world.perform("monitor") == Outcome(.notRunning))
  }

  /// By what is asked and by every byte and call: SAs cost a monitor nothing.
  @Test func tenThousandSAsCostAsMuchAsOne() throws {
    func costs(_ count: UInt64) throws -> (asked: [String], calls: [Calls.Call], bytes: Int) {
      let world = World(running: true)
      try world.holdAddress()
      #expect(world.perform("promote", promotable: true) == Outcome(.success))
      world.charon.sas = (0..<count).map { .init(id: 10_000 + $0, child: 20_000 + $0) }
      let before = world.charon.asked.count
      world.charon.said = 0
      world.machine.calls.reset()
      #expect(world.perform("monitor", promotable: true) == Outcome(.runningPromoted))
      return (Array(world.charon.asked.dropFirst(before)), world.machine.calls.all, world.charon.said)
    }
    let (one, many) = (try costs(1), try costs(10_000))
    #expect(one.asked == ["stats"])
    #expect(many.asked == ["stats"])
    #expect(many.calls == one.calls)
    // The number itself has four digits more.
    #expect(many.bytes == one.bytes + 4)
    // The one address is asked for, not all that the node has.
    #expect(!one.calls.contains { $0.description.hasPrefix("network.holders") || $0.description.hasPrefix("processes.run") })
  }

  // MARK: What clients need

  private static let psk = [(name: "local-1", class: "pre-shared key", id: "", certs: [String]()), ("remote-1", "pre-shared key", "", [])]

  /// What is loaded, what the file says about it, and the risk; nil for none. On doubt nothing is said.
  @Test func connectionWithoutAKeyIsARisk() throws {
    typealias Row = ScriptedCharon.Connection
    let none = "connections: l2tp has no pre-shared key for 203.0.113.50 in /etc/swanctl/swanctl.conf"
    let refused = "connections: l2tp has no pre-shared key for 203.0.113.50: secret ike-1 was refused"
    let l2tp = Row(rounds: Self.psk)
    let ikev2 = Row(version: "IKEv2", rounds: Self.psk)
    let table: [(secrets: String, keys: [String], connection: Row, risk: String?)] = [
      ("secrets { ike-1 { secret = x\n } }", ["ike-1"], l2tp, nil),
      // An include that is not on this node; a secret that was refused; one whose owner is somebody else.
      ("include conf.d/secrets.conf", [], l2tp, none),
      ("secrets { }", [], l2tp, none),
      ("secrets { eap-carol { id = carol\n secret = x\n } }", ["eap-carol"], l2tp, none),
      ("secrets { ike-1 { secret = 0sab\n } }", [], l2tp, refused),
      ("secrets { ike-1 { secret = x\n id = 203.0.113.99\n } }", ["ike-1"], l2tp, none),
      ("secrets { ike-1 { secret = x\n id = vpn.example.org\n } }", ["ike-1"], l2tp, none),
      // The address, anybody, both, a range, another way of writing it.
      ("secrets { ike-1 { secret = x\n id = 203.0.113.50\n } }", ["ike-1"], l2tp, nil),
      ("secrets { ike-1 { secret = x\n id-gw = ipv4:203.0.113.50\n id-all = %any\n } }", ["ike-1"], l2tp, nil),
      ("secrets { ike-1 { secret = x\n id-gw = 203.0.113.99\n id-all = %any\n } }", ["ike-1"], l2tp, nil),
      ("secrets { ike-1 { secret = x\n id = 0.0.0.0/0\n } }", ["ike-1"], l2tp, nil),
      ("secrets { ike-1 { secret = x\n id = 10.0.0.1-10.0.0.9\n } }", ["ike-1"], l2tp, nil),
      ("base { secret = x\n id = 203.0.113.50\n }\nsecrets { ike-1 : base { } }", ["ike-1"], l2tp, nil),
      // Several: one will do; clients with addresses of their own.
      ("secrets { ike-1 { secret = x\n id = 198.51.100.7\n }\n ike-2 { secret = y\n } }", ["ike-1", "ike-2"], l2tp, nil),
      ("secrets { ike-1 { secret = x\n id = 198.51.100.7\n }\n ike-2 { secret = y\n id = 198.51.100.8\n } }", ["ike-1", "ike-2"], l2tp, nil),
      // An identity that the connection gives.
      (
        "secrets { ike-1 { secret = x\n id = @GW.example.org\n } }", ["ike-1"],
        Row(rounds: [("local-1", "pre-shared key", "gw.example.org", []), ("remote-1", "pre-shared key", "", [])]), nil
      ),
      ("secrets { ike-1 { secret = x\n id = 198.51.100.7\n } }", ["ike-1"], Row(remote: ["198.51.100.7"], rounds: Self.psk), nil),
      ("secrets { ike-1 { secret = x\n id = 198.51.100.7\n } }", ["ike-1"], Row(remote: ["198.51.100.0/24"], rounds: Self.psk), nil),
      // A client that names itself.
      ("secrets { ike-1 { secret = x\n id = carol@example.org\n } }", ["ike-1"], ikev2, nil),
      // It came another way.
      ("", ["by-hand"], l2tp, nil),
      // Nobody needs one.
      ("", [], Row(rounds: [("local-1", "EAP", "", []), ("remote-1", "EAP", "", [])]), nil),
      // swanctl passes over what is not in small letters.
      ("secrets { IKE-1 { secret = x\n } }", [], l2tp, none),
      ("secrets { ike-1 { secret = x\n ID = 203.0.113.50\n id = 203.0.113.99\n } }", ["ike-1"], l2tp, none),
    ]
    for row in table {
      let world = World(running: true)
      world.charon.connection = row.connection
      world.charon.keys = row.keys
      world.machine.files.put("connections { l2tp { version = \(row.connection.version == "IKEv2" ? 2 : 1) } }\n\(row.secrets)", at: "/etc/swanctl/swanctl.conf")
      #expect(world.perform("monitor", level: 10) == Outcome(.success, row.risk), "\(row.secrets)")
      #expect(world.perform("monitor") == Outcome(.success))
      world.charon.plugins.append("sql")
      #expect(world.perform("monitor", level: 10) == Outcome(.success), "another plugin may have it")
    }
    // A file that cannot be read fails nobody; the next daemon would not start with it.
    let world = World(running: true)
    world.charon.connection = l2tp
    for (text, reason) in [("connections {", "config: /etc/swanctl/swanctl.conf:1: section connections is not closed"), (nil, "config: /etc/swanctl/swanctl.conf is missing")] {
      world.machine.files.nodes["/etc/swanctl/swanctl.conf"] = nil
      if let text { world.machine.files.put(text, at: "/etc/swanctl/swanctl.conf") }
      #expect(world.perform("monitor", level: 10) == Outcome(.success, reason))
    }
  }

  /// Both nodes have a usable key for every connection, and one of them is another.
  @Test func aSecretThatTheOtherNodeHasNotIsARisk() {
    let base = "secrets { ike-1 { secret = correct horse\n id-a = 203.0.113.50\n id-b = gw\n }\n private-x { secret = mine\n } }"
    let table: [(secrets: String, isSame: Bool)] = [
      (base, true),
      // A name, an order, a remark, and a passphrase of one's own mean nothing.
      ("secrets {\n # of both\n private-x { secret = other\n }\n ike-gw { id-a = gw\n id-b = 203.0.113.50\n secret = \"correct horse\"\n } }", true),
      ("same { secret = correct horse\n id-a = 203.0.113.50\n id-b = gw\n }\nsecrets { ike-1 : same { } }", true),
      ("secrets { ike-1 { secret = correct hors\n id-a = 203.0.113.50\n id-b = gw\n } }", false),
      ("secrets { ike-1 { secret = correct horse\n id-a = 203.0.113.51\n id-b = gw\n } }", false),
      ("secrets { eap-1 { secret = correct horse\n id-a = 203.0.113.50\n id-b = gw\n } }", false),
      (base + "\nsecrets { eap-carol { id = carol\n secret = x\n } }", false), ("", false),
      // A file that cannot be read is a fault of its own, and said as one.
      ("secrets {", true),
    ]
    func world(_ secrets: String) -> World {
      let world = World(running: true)
      world.charon.keys = ["ike-1", "ike-gw", "eap-1", "eap-carol"]
      world.machine.files.put("connections { l2tp { version = 1 } }\n\(secrets)", at: "/etc/swanctl/swanctl.conf")
      world.machine.files.put("0123456789abcdef", at: "/etc/corosync/authkey", mode: 0o400)
      return world
    }
    let sun = world(base)
    #expect(sun.perform("monitor", level: 10, promotable: true, Self.told) == Outcome(.success))
    let told = sun.machine.cluster.shared["vpnha-look-ipsec"]?["moon"] ?? ""
    #expect(told.contains(" secrets:"))
    for row in table {
      let moon = world(row.secrets)
      moon.machine.cluster.peers["vpnha-look-ipsec"] = ["sun": told]
      let risk = row.isSame ? nil : "the secrets in /etc/swanctl/swanctl.conf are not those of sun: make them the same"
      let outcome = moon.perform("monitor", level: 10, promotable: true, Self.told)
      #expect(outcome == Outcome(.success, risk) || row.isSame && outcome.reason?.hasSuffix(" is not closed") == true, "\(row.secrets)")
      #expect(moon.perform("monitor", promotable: true, Self.told) == Outcome(.success), "a basic monitor does not look")
    }
  }

  /// Pacemaker's probe finds it, and so never asks for a start.
  @Test func aUnitThatWasStartedBeforeTheClusterCameIsTakenOver() throws {
    let world = World(systemd: true)
    let units = world.machine.units
    _ = try units.start("strongswan.service", before: world.machine.clock.now + .seconds(1))
    world.charon.loaded = ["l2tp"]
    #expect(world.perform("monitor", level: 10, promotable: true, probe: true, Self.told) == Outcome(.success))
    #expect(world.perform("monitor", promotable: true, Self.told) == Outcome(.success))
    #expect(world.perform("monitor", level: 10, promotable: true) == Outcome(.success), "by hand")
    #expect(units.overrides.isEmpty)
    #expect(world.perform("monitor", level: 10, promotable: true, Self.told) == Outcome(.success))
    #expect(units.overrides["strongswan.service"] == Daemon.dropIn)
    #expect(world.perform("stop", promotable: true, Self.told) == Outcome(.success))
    #expect(units.overrides.isEmpty)
    // One that no unit has started is none of systemd's.
    let other = World(systemd: true)
    other.appear()
    other.charon.loaded = ["l2tp"]
    #expect(other.perform("monitor", level: 10, promotable: true, Self.told) == Outcome(.success))
    #expect(other.machine.units.overrides.isEmpty)
  }

  @Test func connectionWithoutChildrenIsARisk() {
    let world = World(running: true)
    world.charon.connection = ScriptedCharon.Connection(mode: "")
    let risk = "connections: l2tp has no children, so no client gets an SA"
    #expect(world.perform("monitor", level: 10) == Outcome(.success, risk))
    world.charon.connection.mode = "TRANSPORT"
    #expect(world.perform("monitor", level: 10) == Outcome(.success))
  }

  /// What the file has got since it was loaded. Others may load more than the file has.
  @Test(
    arguments: [
      ("connections { l2tp { } other { } }", "connections: other of /etc/swanctl/swanctl.conf is not loaded"),
      ("connections { l2tp {\n version = 2\n} }", "connections: version of l2tp in /etc/swanctl/swanctl.conf was changed and is not loaded"),
      ("connections { l2tp {\n version = 1\n local_addrs = 203.0.113.50\n remote_addrs = %any\n children { l2tp {\n mode = transport\n} }\n} }", nil),
      ("connections { l2tp {\n local_addrs = 203.0.113.51\n children { more { }\n l2tp {\n mode = tunnel\n} }\n} }", "connections: local_addrs, children, mode of l2tp in /etc/swanctl/swanctl.conf was changed and is not loaded"),
      ("connections { l2tp { } }\nsecrets { eap-alice {\n secret = x\n}\n ike-1 {\n secret = x\n}\n private-key {\n secret = x\n}\n xauth-bob {\n}\n }", "secrets: eap-alice of /etc/swanctl/swanctl.conf is not loaded"),
      // It refers to another one, which is a connection as well.
      ("connections { l2tp : connections.more { }\n more { } }", "connections: more of /etc/swanctl/swanctl.conf is not loaded"),
      ("templates { more { } }\nconnections { l2tp : templates.more { } }", nil),
    ] as [(String, String?)]) func whatWasNotLoadedIsARisk(text: String, risk: String?)
  {
    let world = World(running: true)
    world.charon.loaded += ["another"]
    world.charon.keys = ["ike-1", "another"]
    world.machine.files.put(text, at: "/etc/swanctl/swanctl.conf")
    #expect(world.perform("monitor", level: 10) == Outcome(.success, risk))
    #expect(world.perform("monitor") == Outcome(.success))
  }

  /// Nothing says that L2TP is served until its daemon is there, or a selector has its port.
  @Test func childThatIsNoneForL2TPIsARisk() {
    let world = World(running: true)
    world.charon.connection = ScriptedCharon.Connection(mode: "TUNNEL")
    #expect(world.perform("monitor", level: 10) == Outcome(.success))
    world.machine.files.put("x", at: "/run/resource-agents/vpnha-xl2tpd-l2tp.role")
    let risk = "connections: child l2tp of l2tp is for tunnel mode, and L2TP needs mode = transport"
    #expect(world.perform("monitor", level: 10) == Outcome(.success, risk))
    world.charon.connection.mode = "TRANSPORT"
    #expect(world.perform("monitor", level: 10) == Outcome(.success))
    for (selector, isGood) in [("dynamic[udp/l2f]", true), ("dynamic[17/1701]", true), ("0.0.0.0/0", true), ("dynamic[udp/1000-2000]", true), ("dynamic[tcp/l2f]", false), ("dynamic[udp/500]", false)] {
      world.charon.connection.selectors = [selector]
      #expect(world.perform("monitor", level: 10).reason == (isGood ? nil : "connections: child l2tp of l2tp does not let udp/1701 through"), "\(selector)")
    }
    // The firewall knows of another port.
    world.machine.files.put("500\n", at: "/run/resource-agents/vpnha-firewall-wall.guards")
    #expect(world.perform("monitor", level: 10) == Outcome(.success))
  }

  /// It is started all the same, as the last choice for a promotion, and where it serves the risk is shown.
  /// A call of the cluster, which is told scores.
  private static let told = ["connections": "l2tp", "address": "203.0.113.50", "CRM_meta_on_node": "moon"]

  @Test func memberWithoutAKeyRunsAndIsTheLastChoice() throws {
    let risk = "connections: l2tp has no pre-shared key for 203.0.113.50 in /etc/swanctl/swanctl.conf"
    let world = World()
    world.charon.connection.rounds = Self.psk
    #expect(world.perform("start", promotable: true, Self.told).status == .success)
    #expect(world.machine.cluster.scores["ipsec"] == 5)
    #expect(world.perform("monitor", level: 10, promotable: true, Self.told) == Outcome(.success, risk))
    try world.holdAddress()
    #expect(world.perform("promote", promotable: true, Self.told) == Outcome(.success))
    #expect(world.perform("monitor", level: 10, promotable: true, Self.told) == Outcome(.runningPromoted, risk))
    world.machine.files.put(
      "connections { l2tp { } }\nsecrets { ike { secret = x\n } }", at: "/etc/swanctl/swanctl.conf")
    world.charon.keys = ["ike"]
    #expect(world.perform("reload-agent", promotable: true, Self.told) == Outcome(.success))
    #expect(world.perform("monitor", level: 10, promotable: true, Self.told) == Outcome(.runningPromoted))
    #expect(world.machine.cluster.scores["ipsec"] == 100)
  }

  @Test func validationSaysWhatClientsWouldLack() {
    let connection = "connections { l2tp {\n version = 1\n local_addrs = 203.0.113.50\n local {\n auth = psk\n }\n remote {\n auth = psk\n }\n children {\n l2tp { }\n }\n } }\n"
    let none = "connections: l2tp has no pre-shared key for 203.0.113.50 in /etc/swanctl/swanctl.conf"
    let refused = "connections: l2tp has no pre-shared key for 203.0.113.50: secret ike-1 was refused"
    let table: [(String, String?)] = [
      (connection + "secrets { ike-1 { secret = x\n } }", nil),
      (connection + "secrets { ike-1 { secret = 0sYWJj\n } }", nil),
      (connection + "include absent.conf", none),
      (connection + "secrets { ike-1 { secret = 0sab\n } }", refused),
      (connection + "secrets { ike-1 { secret = 0x\n } }", refused),
      (connection + "secrets { ike-1 { secret = x\n id = 203.0.113.99\n } }", none),
      ("connections { l2tp {\n local_addrs = 203.0.113.51, 203.0.113.52\n children {\n l2tp { }\n }\n } }", "connections: local_addrs of l2tp is not 203.0.113.50"),
      ("connections { l2tp {\n local_addrs = %any\n children {\n l2tp { }\n }\n } }", nil), ("connections { l2tp {\n local_addrs = 203.0.113.0/24\n children {\n l2tp { }\n }\n } }", nil),
      ("connections { l2tp {\n local_addrs = 198.51.100.0/24, 2001:db8::/32\n children {\n l2tp { }\n }\n } }", "connections: local_addrs of l2tp is not 203.0.113.50"),
      ("connections { l2tp {\n local_addrs = 203.0.113.51-203.0.113.99\n children {\n l2tp { }\n }\n } }", "connections: local_addrs of l2tp is not 203.0.113.50"),
      ("connections { l2tp {\n local_addrs = 203.0.113.1-203.0.113.50\n children {\n l2tp { }\n }\n } }", nil), ("connections { l2tp {\n local_addrs = gw-a.example.org\n children {\n l2tp { }\n }\n } }", nil),
      ("connections { l2tp {\n local_addrs = 203.0.113.500\n children {\n l2tp { }\n }\n } }", "connections: local_addrs of l2tp is not 203.0.113.50"),
      ("connections { l2tp { } }", "connections: l2tp has no children, so no client gets an SA"),
      ("connections { l2tp {\n children {\n c {\n local_ts = dynamic[udp/1701]\n }\n }\n } }", "connections: child c of l2tp is for tunnel mode, and L2TP needs mode = transport"),
      ("connections { l2tp {\n children {\n c {\n mode = transport\n local_ts = dynamic[tcp/1701]\n }\n }\n } }", "connections: child c of l2tp does not let udp/1701 through"),
      ("connections { l2tp {\n children {\n c {\n mode = transport\n local_ts = dynamic[udp/1701]\n }\n }\n } }", nil),
      ("connections { l2tp {\n local {\n auth = pubkey\n }\n children {\n l2tp { }\n }\n } }", "connections: l2tp has no private key: /etc/swanctl has none"),
    ]
    for (text, problem) in table {
      let world = World()
      world.machine.files.put(text, at: "/etc/swanctl/swanctl.conf")
      #expect(world.perform("validate-all", level: 10) == Outcome(.success, problem), "\(text)")
      #expect(world.perform("validate-all") == Outcome(.success))
    }
    let world = World()
    world.machine.files.put("", at: "/etc/swanctl/swanctl.conf")
    let empty = "config: /etc/swanctl/swanctl.conf holds no connections, so nobody can connect"
    #expect(world.perform("validate-all", level: 10, [:]) == Outcome(.success, empty))
    world.inFile = []
    #expect(world.perform("start", [:]) == Outcome(.success, empty))
    #expect(world.perform("monitor", level: 10, [:]) == Outcome(.success, empty))
  }

  @Test func certificateThatEndsIsARisk() throws {
    let subject = "CN=gw.example.org"
    // The clock begins with 2026.
    let table: [(certificates: [ScriptedCharon.Certificate], named: [String], risk: String?, score: Int)] = [
      ([.init(subject: subject)], [subject], nil, 100),
      ([.init(subject: subject, hasKey: false)], [subject], "connections: l2tp has no private key for its certificate", 5),
      ([.init(subject: subject, end: "251231235959Z")], [subject], "connections: the certificate of l2tp ended at 2025-12-31T23:59:59Z", 5),
      ([.init(subject: subject, end: "20260114120000Z")], [subject], "connections: the certificate of l2tp ends at 2026-01-14T12:00:00Z", 50),
      ([.init(subject: subject, end: "260116000000Z")], [subject], nil, 100),
      // It was renewed; another one is not judged; without a name charon chooses.
      ([.init(subject: subject, end: "251231235959Z"), .init(subject: subject)], [subject], nil, 100),
      ([.init(subject: subject), .init(subject: "CN=other", end: "251231235959Z")], [subject], nil, 100),
      // It finds none where no certificate has its key: a node that was given the file and not the key.
      ([.init(subject: subject, hasKey: false)], [], "connections: l2tp has no private key that belongs to a certificate", 5),
      ([], [], "connections: l2tp has no private key that belongs to a certificate", 5),
      ([.init(subject: subject, hasKey: false), .init(subject: "CN=other")], [], nil, 100),
      ([.init(subject: subject, kind: "PUBKEY")], [], nil, 100),
      ([.init(subject: subject, end: "nonsense")], [subject], nil, 100),
    ]
    for row in table {
      let world = World(running: true)
      world.charon.connection.rounds = [("local-1", "public key", "", row.named), ("remote-1", "EAP", "", [])]
      world.charon.certificates = row.certificates
      #expect(world.perform("monitor", level: 10, promotable: true, Self.told) == Outcome(.success, row.risk), "\(row)")
      #expect(world.machine.cluster.scores["ipsec"] == row.score, "\(row)")
    }
  }

  /// An explicit `load` in strongswan.conf, as older guides have it, and a plugin that it forgets.
  @Test func charonThatHearsNobodyIsARisk() {
    for (plugins, risk) in [
      (["vici", "kernel-netlink"], "charon has loaded no plugin socket-… and hears no client: see load in /etc/strongswan.conf"),
      (["vici", "socket-dynamic"], "charon has loaded no plugin kernel-… and installs no SA: see load in /etc/strongswan.conf"), (["vici", "kernel-libipsec", "socket-dynamic"], nil),
    ] {
      let world = World(running: true)
      world.charon.plugins = plugins
      #expect(world.perform("monitor", level: 10, promotable: true, Self.told) == Outcome(.success, risk))
      #expect(world.machine.cluster.scores["ipsec"] == (risk == nil ? 100 : 5))
    }
  }

  // MARK: What charon would initiate

  private static let branch = "connections { l2tp { }\n branch { children {\n net {\n start_action = start\n }\n lan {\n start_action = trap\n }\n other { }\n } } }\n"

  /// A standby loads it without start_action, a promotion does what it says, a demotion takes it back.
  @Test func standbyInitiatesNothing() throws {
    let world = World()
    world.machine.files.put(Self.branch, at: "/etc/swanctl/swanctl.conf")
    var given: SettingsFile?
    world.machine.processes.whenRun(Swanctl.binary) { [unowned world] command throws(SystemError) in
      world.charon.loaded = ["l2tp", "branch"]
      world.charon.children["branch"] = ["net", "lan", "other"]
      do throws(SettingsError) { given = try SettingsFile(reading: command.arguments[3], from: world.machine.files) } catch { given = nil }
      return CommandResult(.exited(0))
    }
    #expect(world.perform("start", promotable: true) == Outcome(.success))
    let children = try #require(given?.root.section(at: "connections.branch.children"))
    #expect(children.section("net")?.value("start_action") == "none" && children.section("lan")?.value("start_action") == "none")
    #expect(children.sections.count == 3 && given?.root.section(at: "connections.l2tp") != nil)
    #expect(!world.machine.files.nodes.keys.contains { $0.hasSuffix(".conf") && $0.hasPrefix("/run") })
    #expect(world.charon.initiated.isEmpty && world.charon.trapped.isEmpty)
    try world.holdAddress()
    #expect(world.perform("promote", promotable: true) == Outcome(.success))
    #expect(world.charon.initiated == ["net"] && world.charon.trapped == ["lan"])
    world.charon.sas = [.init(id: 1), .init(id: 7, connection: "branch", localHost: "192.0.2.9", isInitiator: true)]
    // It is there already.
    #expect(world.perform("reload-agent", promotable: true) == Outcome(.success))
    #expect(world.charon.initiated == ["net"])
    #expect(world.perform("demote", promotable: true) == Outcome(.success))
    #expect(world.charon.terminated == [7, 1] && world.charon.trapped.isEmpty)
    // A plain resource is the only one, and charon does as the file says.
    #expect(world.perform("reload-agent") == Outcome(.success))
    #expect(given?.root.value(at: "connections.branch.children.net.start_action") == "start")
  }

  @Test func whatAStandbyInitiatedIsARisk() throws {
    let world = World(running: true)
    let risk = "connections: this standby has initiated branch, which only the promoted member should"
    world.charon.sas = [.init(id: 7, connection: "branch", localHost: "192.0.2.9", isInitiator: true)]
    #expect(world.perform("monitor", level: 10, promotable: true) == Outcome(.success, risk))
    #expect(world.perform("monitor", promotable: true) == Outcome(.success))
    #expect(world.perform("monitor", level: 10) == Outcome(.success))
    try world.holdAddress()
    #expect(world.perform("promote", promotable: true) == Outcome(.success))
    #expect(world.perform("monitor", level: 10, promotable: true) == Outcome(.runningPromoted))
    // What the ha plugin holds for the peer, and the SA between the two.
    let standby = World(running: true, ha: true)
    for state in ["PASSIVE", "ESTABLISHED"] {
      standby.charon.sas = [.init(id: 7, connection: "branch", state: state, isInitiator: true), .init(id: 8, connection: "ha", isInitiator: true)]
      #expect(standby.perform("monitor", level: 10, promotable: true) == Outcome(.success))
    }
  }

  // MARK: Level 20

  static let spiPath = "/run/resource-agents/vpnha-strongswan-ipsec.probe"

  /// Answers as charon does; nil for silence.
  func serveIKE(_ world: World, _ answer: @escaping (_ bytes: [UInt8], _ port: UInt16) -> [UInt8]?) {
    let machine = world.machine
    machine.sockets.udp = { address, port, source in
      ScriptedDatagrams(from: source ?? address, calls: machine.calls, clock: machine.clock) { bytes in
        let isMarked = port == 4500
        guard var reply = answer(isMarked ? Array(bytes.dropFirst(4)) : bytes, port) else { return [] }
        reply.replaceSubrange(0..<8, with: isMarked ? bytes[4..<12] : bytes[0..<8])
        return [isMarked ? [0, 0, 0, 0] + reply : reply]
      }
    }
  }

  static func notify(_ type: UInt8) -> [UInt8] {
    [UInt8](repeating: 0, count: 16) + [41, 0x20, 34, 0x20, 0, 0, 0, 0, 0, 0, 0, 36, 0, 0, 0, 8, 0, 0, 0, type]
  }
  static let mainMode2: [UInt8] =
    [UInt8](repeating: 7, count: 16) + [1, 0x10, 2, 0, 0, 0, 0, 0, 0, 0, 0, 36, 0, 0, 0, 8, 0, 0, 0, 1]
  static let noProposalV1: [UInt8] =
    [UInt8](repeating: 7, count: 16) + [11, 0x10, 5, 0, 0, 0, 0, 9, 0, 0, 0, 40, 0, 0, 0, 12, 0, 0, 0, 1, 1, 0, 0, 14]

  @Test func level20AsksOncePerHalfMinuteForARealSA() throws {
    let world = World(running: true)
    try world.holdAddress()
    var mainModes: [[UInt8]] = []
    serveIKE(world) { bytes, _ in
      if bytes[17] == 0x30 { return Self.notify(5) }
      if bytes.count < 100 { return Self.noProposalV1 }
      // A retransmission, to charon: the answer goes to the port of the first.
      if mainModes.contains(bytes) { return nil }
      mainModes.append(bytes)
      return Self.mainMode2
    }
    for _ in 0..<7 {
      #expect(world.perform("monitor", level: 20) == Outcome(.success))
      world.machine.clock.advance(by: .seconds(10))
    }
    // At 0, 40 and not in between.
    #expect(mainModes.count == 2)
    // A record that is none, one of an earlier version among them, is none.
    for record in ["", "nonsense\n", "5a5a5a5a5a5a5a5a 1000\n"] {
      world.machine.files.put(record, at: Self.spiPath)
      #expect(world.perform("monitor", level: 20) == Outcome(.success))
    }
    #expect(mainModes.count == 5)
    #expect(world.perform("stop") == Outcome(.success))
    #expect(world.machine.files.nodes[Self.spiPath] == nil)
  }

  @Test func deepMonitorsTellNumbers() throws {
    let world = World(running: true)
    try world.holdAddress()
    serveIKE(world) { bytes, _ in bytes[17] == 0x30 ? Self.notify(5) : Self.mainMode2 }
    world.charon.sas = [.init(id: 1, child: 9), .init(id: 2, state: "CONNECTING"), .init(id: 3, connection: "ha", child: 8)]
    world.machine.files.put("XfrmInError             \t0\nXfrmInNoStates          \t12\n", at: "/proc/net/xfrm_stat")
    world.machine.files.put("1001 (a) b) S 1 1 1 0 -1 4 1 0 0 0 150 25 0 0 20 0 17 0 10010 0\n", at: "/proc/1001/stat")
    world.machine.files.put("cpu  1 2 3 4 5 6 700 0 0 0\ncpu0 1 2 3 4 5 6 700 0 0 0\n", at: "/proc/stat")
    #expect(world.perform("monitor", level: 10) == Outcome(.success))
    let brief = "3 IKE SAs, 0 of them half-open; 11 of 16 workers idle, 0 jobs wait"
    #expect(world.machine.log.messages(from: .debug).contains(brief))
    #expect(world.perform("monitor", level: 20) == Outcome(.success))
    #expect(
      world.machine.log.messages(from: .debug).contains(
        brief + "; IKE SAs: CONNECTING 1, ESTABLISHED 1; CHILD SAs: INSTALLED 1; charon: invalid-spi 3; kernel: XfrmInNoStates 12; "
          + "charon's CPU: 1.75 seconds; soft interrupts' CPU: 7.0 seconds"))
    #expect(world.machine.log.messages().isEmpty)
    // Nothing of the kernel's is there, and nothing fails for it.
    world.machine.files.nodes["/proc/net/xfrm_stat"] = nil
    world.machine.files.put("1001 (cut", at: "/proc/1001/stat")
    world.machine.files.put("nothing", at: "/proc/stat")
    #expect(world.perform("monitor", level: 20) == Outcome(.success))
    #expect(
      world.machine.log.messages(from: .debug).contains(
        brief + "; IKE SAs: CONNECTING 1, ESTABLISHED 1; CHILD SAs: INSTALLED 1; charon: invalid-spi 3"))
  }

  @Test func level20NamesWhatIsWrong() throws {
    let world = World(running: true)
    try world.holdAddress()
    serveIKE(world) { bytes, _ in bytes[17] == 0x30 ? Self.notify(5) : Self.noProposalV1 }
    #expect(
      world.perform("monitor", level: 20).reason
        == "IKEv1 on 203.0.113.50: no connection for it accepts what L2TP clients offer")
    serveIKE(world) { bytes, port in port == 500 ? Self.notify(5) : nil }
    #expect(
      world.perform("monitor", level: 20).reason == "probing IKE at 203.0.113.50 port 4500: no answer in time (ETIMEDOUT)")
    world.charon.loaded = ["ikev2"]
    world.machine.files.put("connections { ikev2 { } }", at: "/etc/swanctl/swanctl.conf")
    var asked = 0
    serveIKE(world) { bytes, _ in
      asked += 1
      return bytes[17] == 0x30 ? Self.notify(5) : Self.notify(14)
    }
    #expect(world.perform("monitor", level: 20, ["address": "203.0.113.50"]) == Outcome(.success))
    #expect(asked == 3)
  }

  /// Who is not one of L2TP's clients may be served by whatever connection there is.
  @Test func level20JudgesOnlyConnectionsForL2TP() throws {
    typealias Row = ScriptedCharon.Connection
    let others: [Row] = [
      Row(version: "IKEv1/2"), Row(mode: "TUNNEL"), Row(remote: ["198.51.100.7"]), Row(local: ["vpn.example.com"]),
      Row(local: ["203.0.113.0/24"]), Row(local: ["%any4"]),
    ]
    for other in others {
      let world = World(running: true)
      try world.holdAddress()
      world.charon.connection = other
      world.machine.files.put("connections { l2tp { } }", at: "/etc/swanctl/swanctl.conf")
      var asked: Set<[UInt8]> = []
      serveIKE(world) { bytes, _ in
        asked.insert(Array(bytes[17...18]))
        return bytes[17] == 0x30 ? Self.notify(5) : bytes[17] == 0x20 ? Self.notify(14) : Self.noProposalV1
      }
      #expect(world.perform("monitor", level: 20) == Outcome(.success), "\(other)")
      #expect(asked.contains([0x10, 2]), "\(other): version 1 is asked")
      #expect(asked.contains([0x20, 34]) == (other.version == "IKEv1/2"), "\(other)")
    }
    let world = World(running: true)
    try world.holdAddress()
    world.charon.connection = Row(local: ["203.0.113.51"])
    serveIKE(world) { bytes, _ in bytes[17] == 0x30 ? Self.notify(5) : nil }
    #expect(
      world.perform("monitor", level: 20) == Outcome(.success, "connections: local_addrs of l2tp is not 203.0.113.50"),
      "nothing is served at the address")
  }

  @Test func charonThatTurnsClientsAwayIsDegraded() throws {
    let world = World(running: true)
    try world.holdAddress()
    serveIKE(world) { bytes, _ in bytes[17] == 0x30 ? Self.notify(5) : nil }
    let silent = "probing IKE at 203.0.113.50 port 500: no answer in time (ETIMEDOUT)"
    func monitor(_ settings: String?) -> Outcome {
      if let settings { world.machine.files.put(settings, at: StrongSwan.daemonSettings) }
      return world.perform("monitor", level: 20)
    }
    world.charon.halfOpen = 20
    world.charon.queued = 30
    #expect(monitor(nil).reason == silent)
    #expect(monitor("charon {").reason == silent)
    #expect(monitor("charon {\n init_limit_half_open = 21\n init_limit_job_load = 30\n}\n").reason == silent)
    let turned = "charon turns new clients away: "
    #expect(
      monitor("charon {\n init_limit_half_open = 20\n}\n")
        == Outcome(.success, turned + "20 SAs are half-open, init_limit_half_open is 20"))
    #expect(
      monitor("charon {\n init_limit_job_load = 5\n}\ncharon-systemd {\n init_limit_job_load = 29\n}\n")
        == Outcome(.success, turned + "30 jobs wait, init_limit_job_load is 29"))
    // Who does not even say that it speaks no such version is not turning anybody away.
    serveIKE(world) { _, _ in nil }
    #expect(world.perform("monitor", level: 20).reason == silent)
  }

  // MARK: Starting

  @Test func startsDirectlyAndLoads() {
    let world = World()
    #expect(world.perform("start") == Outcome(.success))
    #expect(world.machine.processes.launched == [Command(Self.binary)])
    #expect(
      world.machine.processes.ran == [
        Command(
          Swanctl.binary,
          ["--load-all", "--noprompt", "--file", "/etc/swanctl/swanctl.conf", "--uri", "unix:///run/charon.vici"])
      ])
    #expect(world.machine.files.text(at: Self.record) == "Unpromoted 1001 10010\n")
    #expect(world.machine.files.heldLocks.isEmpty)
    #expect(world.perform("start") == Outcome(.success))
    #expect(world.machine.processes.launched.count == 1)
  }

  @Test func startThatIsNotAnsweredSaysWhere() {
    let world = World()
    world.machine.processes.launches[Self.binary] = { _ in world.machine.processes.appear(Self.binary) }
    #expect(world.perform("start").reason == "vici: connecting to charon at /run/charon.vici: no such file or directory (ENOENT)")
    #expect(!world.runs)
    let hung = World()
    hung.charon.isHung = true
    #expect(hung.perform("start").reason == "vici: asking charon for stats: no answer in time (ETIMEDOUT)")
    #expect(!hung.runs)
  }

  @Test func startsByItsUnit() {
    let world = World(systemd: true)
    #expect(world.perform("start") == Outcome(.success))
    #expect(world.machine.processes.launched.isEmpty)
    #expect(world.machine.units.overrides["strongswan.service"]?.contains("Restart=no") == true)
    #expect(world.perform("stop") == Outcome(.success))
    #expect(world.machine.units.overrides.isEmpty)
    #expect(!world.runs)
  }

  @Test func syntaxErrorIsToldBeforeAnythingRuns() {
    let world = World()
    world.machine.files.put("connections {\n l2tp {\n version 1\n }\n}", at: "/etc/swanctl/swanctl.conf")
    let outcome = world.perform("start")
    #expect(
      outcome == Outcome(.genericError, "config: /etc/swanctl/swanctl.conf:3: version is followed by 1, not by = or {"))
    #expect(world.machine.processes.launched.isEmpty)
    #expect(world.perform("validate-all", level: 10) == outcome)
    #expect(world.perform("validate-all") == Outcome(.success))
  }

  @Test func whatIsMissingIsNamed() {
    let world = World()
    world.machine.files.nodes[Self.binary] = nil
    #expect(world.perform("start") == Outcome(.notInstalled, "/usr/sbin/charon-systemd is missing (package charon-systemd)"))
    world.machine.files.putExecutable(Self.binary)
    world.machine.files.nodes[Swanctl.binary] = nil
    #expect(world.perform("start") == Outcome(.notInstalled, "/usr/sbin/swanctl is missing (package strongswan-swanctl)"))
    world.machine.files.putExecutable(Swanctl.binary)
    world.machine.files.nodes["/etc/swanctl/swanctl.conf"] = nil
    #expect(
      world.perform("start")
        == Outcome(.genericError, "config: /etc/swanctl/swanctl.conf is missing"))
    #expect(!world.runs)
  }

  @Test func badParametersAreNamed() {
    let world = World()
    #expect(world.perform("start", ["launcher": "maybe"]).status == .misconfigured)
    #expect(world.perform("start", ["launcher": "maybe"]).reason?.hasPrefix("launcher: ") == true)
    #expect(world.perform("start", ["address": "203.0.113.500"]).reason?.hasPrefix("address: ") == true)
    #expect(
      world.perform("start", ["unit": "../strongswan"])
        == Outcome(.misconfigured, "unit: expected the name of a service, got \"../strongswan\""))
    #expect(world.perform("stop", ["address": "x"]) == Outcome(.success))
  }

  @Test func connectionsThatAreNotLoadedFailTheStart() {
    let world = World()
    world.inFile = []
    #expect(world.perform("start") == Outcome(.genericError, "connections: l2tp is not in /etc/swanctl/swanctl.conf"))
    #expect(!world.runs)
    #expect(world.machine.files.text(at: Self.record) == nil)
    // With nothing expected an empty file is a risk.
    #expect(world.perform("start", [:]).status == .success)
    #expect(world.machine.log.messages(from: .warning).contains("/etc/swanctl/swanctl.conf holds no connections"))
  }

  @Test func swanctlsWordsAreTold() {
    let world = World()
    world.machine.processes.programs[Swanctl.binary] = { _ in
      CommandResult(.exited(22), error: Array("loading connection 'l2tp' failed: unknown option: versoin\nloaded 0 of 1 connections\n".utf8))
    }
    #expect(
      world.perform("start").reason
        == "loading /etc/swanctl/swanctl.conf: loading connection 'l2tp' failed: unknown option: versoin")
    #expect(!world.runs)
  }

  /// Clients of the others are served, whether the one was named or not; where nobody would be served, nothing is started.
  @Test(arguments: [("", ["l2tp"], true), ("l2tp", ["l2tp"], true), ("l2tp ikev2", ["l2tp"], true), ("ikev2", ["l2tp"], false), ("", [], false)] as [(String, [String], Bool)])
  func oneBadConnectionDoesNotTakeTheOthersWithIt(names: String, good: [String], starts: Bool) {
    let world = World()
    let words = "unknown option: local_adrs, config discarded"
    world.machine.files.put("connections { l2tp { }\n ikev2 {\n local_adrs = 203.0.113.50\n } }", at: "/etc/swanctl/swanctl.conf")
    world.machine.processes.programs[Swanctl.binary] = { _ in
      world.charon.loaded = good
      return CommandResult(.exited(22), error: Array("loading connection 'ikev2' failed: \(words)\nloaded 1 of 2 connections, 1 failed to load, 0 unloaded\n".utf8))
    }
    let parameters = ["connections": names, "address": "203.0.113.50"]
    let risk = "connections: ikev2 was refused: \(words)"
    guard starts else {
      #expect(world.perform("start", parameters) == Outcome(.genericError, "loading /etc/swanctl/swanctl.conf: loading connection 'ikev2' failed: \(words)"))
      #expect(!world.runs)
      return
    }
    #expect(world.perform("start", parameters) == Outcome(.success, risk))
    #expect(world.perform("monitor", parameters) == Outcome(.success))
    #expect(world.perform("monitor", level: 10, parameters) == Outcome(.success, risk))
    // What charon has in the end is what counts.
    world.charon.loaded = ["l2tp", "ikev2"]
    #expect(world.perform("monitor", level: 10, parameters) == Outcome(.success))
    // One that was unloaded afterwards is another matter than one that was refused.
    world.charon.loaded = ["ikev2"]
    if names.hasPrefix("l2tp") { #expect(world.perform("monitor", level: 10, parameters) == Outcome(.genericError, "connections: l2tp is not loaded")) }
    #expect(world.perform("stop", parameters) == Outcome(.success))
    #expect(!world.machine.files.nodes.keys.contains { $0.hasSuffix(".unloaded") })
  }

  /// What charon would say of values, too: the first of each is what it takes.
  @Test(
    arguments: [
      ("proposals", "aes256-sha256-modp2048, default", nil), ("proposals", "aes256-sha257-modp2048", "charon knows no algorithm 'sha257'"), ("proposals", "aes256-sha256", "'aes256-sha256' has no group, as modp2048"),
      ("local_ts", "dynamic[udp/1701], 192.0.2.0/24[tcp], 2001:db8::/32, 192.0.2.1-192.0.2.9", nil), ("local_ts", "192.0.2.300/24", "charon cannot read '192.0.2.300/24' in local_ts"),
      ("certs", "gateway.pem /srv/other.pem 0sAAAA", nil), ("certs", "absent.pem", "/etc/swanctl/x509/absent.pem is missing"),
    ] as [(String, String, String?)])
  func valuesAreSeenBefore(key: String, value: String, refusal: String?) {
    let world = World()
    // The linker keeps "sha256" as the end of another word.
    world.machine.files.nodes["/usr/lib/ipsec/libstrongswan.so.0"] = .init([0x7f] + Array("ELF\0aes256\0prfsha256\0modp2048\0".utf8))
    for path in ["/etc/swanctl/x509/gateway.pem", "/srv/other.pem"] { world.machine.files.put("", at: path) }
    let (outer, inner, round) = key == "proposals" ? ("\(key) = \(value)", "", "") : key == "certs" ? ("", "", "\(key) = \(value)") : ("", "mode = transport\n \(key) = \(value)", "")
    world.machine.files.put("connections { l2tp {\n \(outer)\n local {\n auth = psk\n \(round)\n }\n children {\n l2tp {\n \(inner)\n }\n }\n } }\nsecrets { ike { secret = x\n } }", at: "/etc/swanctl/swanctl.conf")
    let said = world.perform("validate-all", level: 10)
    #expect(said.status == (refusal == nil ? .success : .genericError))
    #expect(said.reason.map { $0.hasPrefix("connections: l2tp was refused: \(refusal ?? "?") (") } == (refusal == nil ? nil : true), "\(said)")
  }

  /// Each connection has one client and one secret of its own: neither is looked for among all the others. It would not end in an hour.
  @Test(.timeLimit(.minutes(1))) func thousandsOfConnectionsAndSecretsAreLookedUp() {
    let numbers = 0..<2000
    func client(_ number: Int) -> String { "198.51.\(number / 250).\(number % 250 + 1)" }
    let connections = numbers.map { "c\($0) {\n version = 1\n remote_addrs = \(client($0))\n local {\n auth = psk\n }\n remote {\n auth = psk\n }\n children {\n l2tp { }\n }\n }\n" }.joined()
    let secrets = numbers.map { "ike-\($0) {\n id = \(client($0))\n secret = \($0 == 1998 ? "0x" : "x")\n }\n" }.joined()
    let names = numbers.map { "c\($0)" }
    let parameters = ["connections": names.joined(separator: " "), "address": "203.0.113.50"]
    let lack = "connections: c1998 has no pre-shared key for 203.0.113.50: secret ike-1998 was refused"
    let world = World(running: true)
    world.machine.files.put("connections {\n\(connections)}\nsecrets {\n\(secrets)}", at: "/etc/swanctl/swanctl.conf")
    #expect(world.perform("validate-all", level: 10, parameters) == Outcome(.success, lack))
    world.charon.loaded = names
    world.charon.remote = Dictionary(uniqueKeysWithValues: numbers.map { ("c\($0)", [client($0)]) })
    world.charon.connection.rounds = Self.psk
    world.charon.keys = numbers.filter { $0 != 1998 }.map { "ike-\($0)" }
    #expect(world.perform("monitor", level: 10, parameters) == Outcome(.success, lack))
    world.charon.loaded = []
    #expect(world.perform("monitor", level: 10, parameters) == Outcome(.genericError, "connections: c0 is not loaded"))
    world.machine.files.put("connections { }", at: "/etc/swanctl/swanctl.conf")
    #expect(world.perform("monitor", level: 10, parameters).reason?.hasPrefix("connections: c0 is not in /etc/swanctl/swanctl.conf") == true)
  }

  /// The same verdict before anything is started, of what a file tells.
  @Test(arguments: [("", Status.success), ("l2tp ikev2", .success), ("ikev2", .genericError)])
  func aBadConnectionIsSeenBefore(names: String, status: Status) {
    let world = World()
    world.machine.files.nodes["/usr/lib/ipsec/plugins/libstrongswan-vici.so"] = .init([0x7f] + Array("ELF\0local_addrs\0brand_new\0".utf8))
    world.machine.files.put("connections { l2tp {\n brand_new = 1\n children {\n c { }\n }\n }\n ikev2 {\n local_adrs = 203.0.113.50\n children {\n c { }\n }\n } }", at: "/etc/swanctl/swanctl.conf")
    let place = "/etc/swanctl/swanctl.conf:8"
    let reason = "connections: ikev2 was refused: charon does not know 'local_adrs', did you mean 'local_addrs'? (\(place))"
    #expect(world.perform("validate-all", level: 10, ["connections": names, "address": "203.0.113.50"]) == Outcome(status, reason))
  }

  @Test func exitsAtOnceIsToldAtOnce() {
    let world = World()
    world.machine.processes.launches[Self.binary] = { [unowned world] _ in
      let process = world.machine.processes.appear(Self.binary)
      world.machine.clock.after(.milliseconds(20)) { world.machine.processes.vanish(process.pid) }
      return process
    }
    let begin = world.machine.clock.now
    #expect(world.perform("start").reason == "starting charon-systemd: it exited at once; its log says why (journalctl -t charon-systemd)")
    #expect(world.machine.clock.now - begin < .seconds(1))
  }

  /// A killed charon has no name any more, and its sockets for another moment.
  @Test func portOfAProcessThatIsEndingIsWaitedFor() {
    let world = World()
    world.machine.sockets.listeners[500] = [UDPListener(.any, inode: 7)]
    world.machine.clock.after(.milliseconds(20)) { [machine = world.machine] in machine.sockets.listeners[500] = [] }
    #expect(world.perform("start") == Outcome(.success))
  }

  @Test func foreignDaemonIsNamedNotKilled() {
    let world = World()
    world.machine.sockets.listeners[500] = [UDPListener(.any, inode: 7)]
    #expect(
      world.perform("start")
        == Outcome(.genericError, "UDP port 500 is taken by a process that is not /usr/sbin/charon-systemd"))
    let starter = world.machine.processes.appear("/usr/local/bin/some-vpn")
    world.machine.processes.socketOwners[7] = starter.pid
    #expect(world.perform("start").reason == "UDP port 500 is taken by /usr/local/bin/some-vpn (pid \(starter.pid))")
    world.machine.sockets.listeners = [4500: [UDPListener(.any, inode: 7)]]
    #expect(world.perform("start").reason == "UDP port 4500 is taken by /usr/local/bin/some-vpn (pid \(starter.pid))")
    #expect(world.machine.processes.signals.isEmpty)
    #expect(world.perform("monitor") == Outcome(.notRunning))
    #expect(world.perform("stop") == Outcome(.success))
    #expect(world.machine.processes.table == [starter])
  }

  @Test func hungDaemonIsReplaced() {
    let world = World(running: true)
    world.charon.isHung = true
    world.machine.processes.makeStubborn(world.machine.processes.table[0])
    world.machine.processes.launches[Self.binary] = { [unowned world] _ in
      world.charon.isHung = false
      return world.appear()
    }
    #expect(world.perform("start", seconds: 60) == Outcome(.success))
    #expect(world.machine.processes.table.map(\.pid) == [1002])
  }

  @Test func daemonWithoutConnectionsGetsThem() {
    let world = World(running: true)
    world.charon.loaded = []
    #expect(world.perform("start") == Outcome(.success))
    #expect(world.machine.processes.launched.isEmpty)
    #expect(world.charon.loaded == ["l2tp"])
  }

  @Test func leftoversOfAKilledDaemonAreRemoved() throws {
    let world = World()
    let address = try #require(IPAddress("203.0.113.50"))
    world.machine.network.ipsec[address] = 6
    #expect(world.perform("start") == Outcome(.success))
    #expect(world.machine.network.ipsec[address, default: 0] == 0)
  }

  /// Whatever fails: the start is not called a success, or it was one.
  @Test(arguments: [(false, false), (true, false), (false, true)])
  func startWithAnErrorAtEveryCall(systemd: Bool, ha: Bool) {
    var world = World()
    let count = InMemoryMachine.failingEveryCall {
      world = World(systemd: systemd, ha: ha)
      return world.machine
    } _: { _ in
      world.perform("start")
    } check: { failed, outcome, machine in
      if outcome.status == .success {
        #expect(world.runs && world.charon.loaded == ["l2tp"], "\(failed)")
      } else {
        #expect(outcome.reason?.isEmpty == false, "\(failed)")
        #expect(!world.runs, "\(failed): \(outcome)")
      }
    }
    #expect(count > 15)
  }

  // MARK: Stopping

  @Test func stopOfAnUnpromotedMemberNeverDrains() {
    let world = World(running: true)
    world.charon.sas = [.init(id: 1)]
    #expect(world.perform("stop", promotable: true) == Outcome(.success))
    #expect(world.charon.terminated.isEmpty)
    #expect(!world.runs)
  }

  @Test func plainStopSaysGoodbye() throws {
    let world = World(running: true)
    let address = try #require(IPAddress("203.0.113.50"))
    world.charon.sas = [
      .init(id: 1), .init(id: 2, localHost: "192.0.2.9"), .init(id: 3, connection: "ha"), .init(id: 4, state: "PASSIVE"),
      .init(id: 5, confirms: false),
    ]
    world.machine.network.ipsec[address] = 4
    let begin = world.machine.clock.now
    #expect(world.perform("stop", ["address": "203.0.113.50", "drain_timeout": "3"]) == Outcome(.success))
    #expect(world.charon.terminated == [1, 5])
    #expect(
      world.machine.log.messages().last
        == "stopped: 2 clients were told goodbye, 1 did not confirm; charon-systemd ended when it was asked to; "
        + "4 kernel states and policies were removed")
    #expect(world.machine.clock.now - begin >= .seconds(3))
    #expect(world.machine.clock.now - begin < .seconds(4))
    #expect(world.machine.network.ipsec[address, default: 0] == 0)
    #expect(world.machine.files.heldLocks.isEmpty)
  }

  /// A full or read-only /run keeps nobody from saying goodbye: the lock is an arrangement among ourselves.
  @Test(arguments: [Errno.readOnly, .noSpace]) func withoutAPlaceForTheLockClientsAreTold(errno: Errno) {
    let world = World(running: true)
    world.charon.sas = [.init(id: 1)]
    world.machine.calls.fail("files.lock(", with: errno)
    #expect(world.perform("stop", ["address": "203.0.113.50"]) == Outcome(.success))
    #expect(world.charon.terminated == [1])
  }

  @Test func stopRemovesSocketsThatNobodyServes() {
    let world = World()
    let paths = ["/run/charon.vici", "/run/charon.ctl", "/run/other.ctl"]
    for path in paths {
      world.machine.files.nodes[path] = .init([], .socket)
      world.machine.calls.fail("sockets.connect(toUnix: \(path))", with: .connectionRefused)
    }
    world.machine.files.nodes["/run/charon.lkp"] = .init([], .socket)
    world.machine.sockets.unix["/run/charon.lkp"] = { [machine = world.machine] in machine.stream([]) }
    world.machine.files.putFIFO("/run/charon.ha")
    #expect(world.perform("stop") == Outcome(.success))
    let left = world.machine.files.nodes.keys.filter { $0.hasPrefix("/run/") && !$0.hasPrefix("/run/resource-agents") }
    // Another charon serves this one; that one is not charon's.
    #expect(left.sorted() == ["/run/charon.lkp", "/run/other.ctl"])
  }

  @Test func withoutDrainingNobodyWaits() {
    let world = World(running: true)
    world.charon.sas = [.init(id: 1, confirms: false)]
    let begin = world.machine.clock.now
    #expect(world.perform("stop", ["drain_timeout": "0"]) == Outcome(.success))
    #expect(world.charon.terminated == [1])
    #expect(world.machine.clock.now == begin)
  }

  @Test func stopOfAHungDaemonSucceeds() {
    let world = World(running: true)
    world.charon.isHung = true
    world.machine.processes.makeStubborn(world.machine.processes.table[0])
    let begin = world.machine.clock.now
    #expect(world.perform("stop") == Outcome(.success))
    #expect(
      world.machine.log.messages().last
        == "stopped: clients could not be told; charon-systemd did not end in time and was killed")
    #expect(!world.runs)
    #expect(world.machine.clock.now - begin < .seconds(18))
  }

  // MARK: Leaving with the ha plugin

  /// A member with the ha plugin and one client. The clock is not at the beginning, nor is anything recorded.
  private func member(_ state: String = "ESTABLISHED") throws -> World {
    let world = World(running: true, ha: true)
    try world.holdAddress()
    world.charon.sas = [.init(id: 1, state: state), .init(id: 2, connection: "ha")]
    return world
  }

  /// charon ends every SA that is active, and has its peer do the same.
  @Test(arguments: ["Promoted", "Unpromoted", ""]) func stopGivesTheSegmentUpWhateverTheRecordSays(_ role: String) throws {
    for state in ["ESTABLISHED", "PASSIVE"] {
      let world = try member(state)
      if !role.isEmpty { world.machine.files.put("\(role) 1001 10010\n", at: Self.record) }
      #expect(world.perform("stop", promotable: true) == Outcome(.success))
      #expect(world.charon.goodbyes.isEmpty && world.charon.terminated.isEmpty)
      #expect(world.machine.files.sent.map { String(decoding: $0.bytes, as: UTF8.self) }.filter { !$0.isEmpty } == ["-1\n"])
      #expect(world.machine.processes.signals.map(\.signal) == [.terminate])
      #expect(!world.runs)
    }
    // A record that cannot be read keeps nobody from anything.
    let world = try member()
    world.machine.calls.fail("files.read(\(Self.record)", with: .io)
    #expect(world.perform("stop", promotable: true).status == .success)
    #expect(world.charon.goodbyes.isEmpty && !world.runs)
  }

  @Test(arguments: ["suspended", "hung", "deaf", "without a pipe", "busy", "rekeying"])
  func charonThatKeepsItsSegmentIsKilledAtOnce(_ fault: String) throws {
    for role in ["Promoted", "Unpromoted"] {
      let world = try member()
      world.machine.files.put("\(role) 1001 10010\n", at: Self.record)
      switch fault {
      case "suspended": world.machine.processes.table[0].state = "T"
      case "hung": world.charon.isHung = true
      case "deaf": world.machine.files.readers["/run/charon.ha"] = { _ in }
      case "without a pipe": world.machine.files.nodes["/run/charon.ha"] = nil
      case "busy": world.charon.busy = [1]
      default: world.charon.sas[0].state = "REKEYING"
      }
      let begin = world.machine.clock.now
      #expect(world.perform("stop", promotable: true, seconds: 60) == Outcome(.success))
      #expect(world.machine.processes.signals.map(\.signal) == [.kill])
      #expect(world.machine.clock.now - begin < .milliseconds(2600))
      #expect(world.charon.goodbyes.isEmpty)
      // What is taken for another try could be the serving peer's.
      #expect(!world.machine.files.sent.contains { $0.bytes.first == UInt8(ascii: "+") })
      #expect(!world.runs && world.machine.network.quiet.isEmpty)
      #expect(
        world.machine.log.messages().last
          == "stopped: the ha segment could not be given up, so no client was told anything; charon-systemd was killed at once")
    }
  }

  @Test func unitOfAKilledCharonIsStoppedAfterIt() throws {
    let world = World(systemd: true, ha: true)
    #expect(world.perform("start", promotable: true) == Outcome(.success))
    world.charon.isHung = true
    #expect(world.perform("stop", promotable: true, seconds: 60) == Outcome(.success))
    #expect(world.machine.processes.signals.map(\.signal) == [.kill])
    #expect(!world.runs && world.machine.units.overrides.isEmpty)
  }

  /// Without the plugin nobody else has the sessions: clients are told goodbye.
  @Test func charonWithoutTheSegmentIsAskedToEnd() throws {
    let world = World(running: true)
    world.charon.sas = [.init(id: 1)]
    world.machine.processes.table[0].state = "T"
    #expect(world.perform("stop", promotable: true) == Outcome(.success))
    #expect(world.machine.processes.signals.map(\.signal) == [.terminate])
    let plain = try member()
    plain.charon.isHung = true
    #expect(plain.perform("stop") == Outcome(.success))
    #expect(plain.machine.processes.signals.map(\.signal) == [.terminate])
  }

  @Test func startReplacesAHungCharonWithoutAWord() throws {
    let world = try member()
    world.charon.isHung = true
    world.machine.processes.launches[Self.binary] = { [unowned world] _ in
      world.charon.isHung = false
      return world.appear()
    }
    #expect(world.perform("start", promotable: true, seconds: 60) == Outcome(.success))
    #expect(world.machine.processes.signals.map(\.signal) == [.kill])
    #expect(world.charon.goodbyes.isEmpty)
  }

  /// The record says unpromoted, and charon has what only a promoted member may have.
  @Test func demoteLooksAtWhatCharonHas() throws {
    let address = try #require(IPAddress("203.0.113.50"))
    // The promotion was cut short after the segment was taken; the peer gave its segment up; somebody flushed the rules.
    for (state, quiet) in [("ESTABLISHED", []), ("ESTABLISHED", [address]), ("PASSIVE", [])] as [(String, [IPAddress])] {
      let world = try member(state)
      world.machine.network.quiet = quiet
      #expect(world.perform("demote", promotable: true) == Outcome(.success))
      #expect(world.charon.sas.map(\.state) == ["PASSIVE", "ESTABLISHED"])
      #expect(world.machine.network.quiet == [address])
      let sent = world.machine.files.sent.count
      #expect(sent == 1)
      // Nothing is left to do.
      #expect(world.perform("demote", promotable: true) == Outcome(.success))
      #expect(world.machine.files.sent.count == sent)
    }
    let world = try member()
    world.machine.files.readers["/run/charon.ha"] = { _ in }
    let begin = world.machine.clock.now
    #expect(
      world.perform("demote", promotable: true)
        == Outcome(.genericError, "giving up the ha segment: 1 SAs are still active"))
    #expect(world.machine.clock.now - begin < .seconds(3))
  }

  /// An SA that is being rekeyed stays active when the segment goes, and the same order changes nothing more.
  @Test func saThatWasRekeyedMeanwhileIsHandedOverToo() throws {
    let world = try member()
    #expect(world.perform("promote", promotable: true) == Outcome(.success))
    world.charon.sas[0].state = "REKEYING"
    world.machine.clock.after(.milliseconds(100)) { world.charon.sas[0].state = "ESTABLISHED" }
    #expect(world.perform("demote", promotable: true) == Outcome(.success))
    #expect(world.charon.sas.map(\.state) == ["PASSIVE", "ESTABLISHED"])
  }

  @Test func demoteOfASuspendedCharonFailsAtOnce() throws {
    let world = try member()
    #expect(world.perform("promote", promotable: true) == Outcome(.success))
    world.machine.processes.table[0].state = "T"
    let begin = world.machine.clock.now
    #expect(
      world.perform("demote", promotable: true)
        == Outcome(.genericError, "charon-systemd (pid 1001) is suspended (SIGSTOP)"))
    #expect(world.machine.clock.now == begin)
  }

  /// From one call on nothing works any more, as when it is killed or /run is full. What follows loses no session.
  @Test(arguments: ["promote", "demote"]) func sessionsSurviveAnyActionCutShort(_ action: String) throws {
    let address = try #require(IPAddress("203.0.113.50"))
    var position = 0
    while true {
      func cutShort() throws -> (World, isCut: Bool) {
        let world = try member(action == "promote" ? "PASSIVE" : "ESTABLISHED")
        if action == "promote" { world.machine.network.quiet = [address] } else { _ = world.perform("promote", promotable: true) }
        world.machine.calls.reset()
        world.machine.calls.fail("", after: position, with: .io)
        _ = world.perform(action, promotable: true)
        defer { world.machine.calls.reset() }
        return (world, world.machine.calls.forced != nil)
      }
      let (demoted, isCut) = try cutShort()
      guard isCut else { break }
      #expect(demoted.perform("demote", promotable: true) == Outcome(.success), "\(position)")
      #expect(demoted.charon.sas[0].state == "PASSIVE" && demoted.machine.network.quiet == [address], "\(position)")
      let (stopped, _) = try cutShort()
      #expect(stopped.perform("stop", promotable: true) == Outcome(.success), "\(position)")
      #expect(stopped.charon.goodbyes.isEmpty && stopped.charon.terminated.isEmpty, "\(position)")
      position += 1
    }
    #expect(position > 8)
  }

  @Test func stopWithAnErrorAtEveryCall() {
    var world = World()
    let count = InMemoryMachine.failingEveryCall {
      world = World(running: true)
      world.charon.sas = [.init(id: 1)]
      return world.machine
    } _: { _ in
      world.perform("stop")
    } check: { failed, outcome, _ in
      #expect(outcome.status != .success || !world.runs, "\(failed)")
      #expect(outcome.status == .success || outcome.reason?.isEmpty == false, "\(failed)")
    }
    #expect(count > 10)
  }

  // MARK: Promoting and demoting

  @Test func promoteTakesTheSegment() throws {
    let world = World(running: true, ha: true)
    try world.holdAddress()
    world.charon.sas = [.init(id: 1, state: "PASSIVE"), .init(id: 2, connection: "ha")]
    #expect(world.perform("promote", promotable: true) == Outcome(.success))
    #expect(world.machine.files.sent.map { String(decoding: $0.bytes, as: UTF8.self) } == ["+1\n"])
    #expect(world.machine.files.text(at: Self.record) == "Promoted 1001 10010\n")
    #expect(world.charon.sas.map(\.state) == ["ESTABLISHED", "ESTABLISHED"])
    #expect(world.perform("monitor", promotable: true) == Outcome(.runningPromoted))
  }

  @Test func saThatStaysPassiveIsTold() throws {
    let world = World(running: true, ha: true)
    try world.holdAddress()
    world.charon.sas = [.init(id: 1, state: "PASSIVE")]
    world.machine.files.readers["/run/charon.ha"] = { _ in }
    #expect(world.perform("promote", promotable: true) == Outcome(.success))
    #expect(
      world.machine.log.messages(from: .warning)
        == ["charon took the ha segment and leaves SAs passive: it had the segment before"])
  }

  @Test func promoteBeginsWhereNobodyHasBeen() throws {
    let world = World(running: true, ha: true)
    try world.holdAddress()
    let address = try #require(IPAddress("203.0.113.50"))
    world.machine.network.outbound[address] = [
      .init(spi: 1, age: 99, sequence: 0), .init(spi: 2, age: 7, sequence: 70), .init(spi: 3, age: 99, sequence: 0xf000_0000),
      .init(spi: 4, age: 5, sequence: 1 << 40),
    ]
    // The node that was lost told the epoch to this one, too.
    world.machine.cluster.shared["vpnha-epoch-ipsec"] = ["moon": "3", "gone": "x"]
    #expect(world.perform("promote", promotable: true) == Outcome(.success))
    let numbers = world.machine.network.outbound[address]?.map(\.sequence)
    let expected: [UInt64] = [0x20c6_0000, 0x200e_0000, 0xf000_0000, 0x100_0000_0000]
    #expect(numbers == expected)
    #expect(world.machine.cluster.shared["vpnha-epoch-ipsec"] == ["moon": "4", "gone": "x"])
    let changes = world.machine.calls.changes
    let tell = try #require(changes.firstIndex(of: "cluster.share(4 as vpnha-epoch-ipsec)"))
    let raise = try #require(changes.firstIndex(of: "network.raiseSequences(from: 203.0.113.50)"))
    let take = try #require(changes.firstIndex(of: "files.send(+1\n to /run/charon.ha)"))
    #expect(tell < raise && raise < take)
    #expect(world.machine.processes.relaunched == [["rekey-inherited"]])
    let line = try #require(world.machine.log.lines.first { $0.message == "took over 4 IPsec SAs" })
    #expect(line.fields["VPNHA_EPOCH"] == "4" && line.fields["VPNHA_RAISED"] == "2")
  }

  /// Where nothing was inherited nobody is asked and nothing is raised.
  @Test func withoutInheritedSAsNoEpochBegins() throws {
    let world = World(running: true, ha: true)
    try world.holdAddress()
    #expect(world.perform("promote", promotable: true) == Outcome(.success))
    #expect(!world.machine.calls.all.contains { $0.description.hasPrefix("cluster.") })
    #expect(!world.machine.calls.changes.contains { $0.hasPrefix("network.raise") })
  }

  @Test(arguments: ["cluster.nodeAttribute", "cluster.share("]) func withoutTheClusterTheAgeHasToDo(_ call: String) throws {
    let world = World(running: true, ha: true)
    try world.holdAddress()
    let address = try #require(IPAddress("203.0.113.50"))
    world.machine.network.outbound[address] = [.init(spi: 1, age: 40, sequence: 5)]
    world.machine.calls.fail(call, with: .connectionRefused)
    #expect(world.perform("promote", promotable: true) == Outcome(.success))
    #expect(world.machine.network.outbound[address]?.map(\.sequence) == [0x0850_0000])
    #expect(
      world.machine.log.messages(from: .warning).first?.hasPrefix("the epoch of this take-over is known to this node only: ") == true)
  }

  @Test func rekeysOneAfterTheOtherWhileItIsPromoted() throws {
    let world = World(running: true, ha: true)
    try world.holdAddress()
    world.charon.sas = (1...20).map { .init(id: $0, child: 100 + $0) }
    world.charon.sas.append(.init(id: 30, connection: "ha", child: 130))
    #expect(world.perform("promote", promotable: true) == Outcome(.success))
    world.machine.cluster.shared["vpnha-epoch-ipsec"] = ["moon": "6", "sun": "5"]
    func rekeying(epoch: String = "") -> Rekeying {
      let request = Request(
        arguments: ["strongswan", Rekeying.word],
        environment: [
          "OCF_RESOURCE_INSTANCE": "ipsec", "OCF_RESOURCE_TYPE": "strongswan", "OCF_RESKEY_address": "203.0.113.50",
          Epoch.variable: epoch,
        ])
      return Rekeying(
        agent: StrongSwan.loaded(from: request).agent,
        call: Call(host: world.machine.host, request: request, deadline: world.machine.clock.now + .seconds(60)))
    }
    let begin = world.machine.clock.now
    #expect(rekeying().run() == 20)
    #expect(world.charon.rekeyed == Array(101...120))
    #expect(world.machine.clock.now - begin == .seconds(3))
    // The peer was told as well: what only the owner told is forgotten with it.
    #expect(world.machine.cluster.shared["vpnha-epoch-ipsec"] == ["moon": "6", "sun": "6"])
    #expect(world.machine.calls.changes.contains("cluster.share(6 as vpnha-epoch-ipsec on sun)"))
    #expect(!world.machine.calls.changes.contains("cluster.share(6 as vpnha-epoch-ipsec on moon)"))
    world.machine.clock.after(.milliseconds(2220)) { [unowned world] in
      world.machine.files.nodes[Self.record] = nil
    }
    // The cluster had no time for it at the promotion.
    #expect(rekeying(epoch: "7").run() == 5)
    #expect(world.machine.cluster.shared["vpnha-epoch-ipsec"] == ["moon": "7", "sun": "7"])
    #expect(Rekeying.isMeant(by: ["/x/strongswan", "rekey-inherited"]))
    #expect(!Rekeying.isMeant(by: ["/x/strongswan", "monitor"]))
  }

  @Test func peerThatMissedItsAnswerIsSentEverythingOnce() throws {
    let world = World(running: true, ha: true)
    try world.holdAddress()
    #expect(world.perform("promote", promotable: true) == Outcome(.success))
    func orders() -> [String] { world.machine.files.sent.dropFirst().map { String(decoding: $0.bytes.dropLast(), as: UTF8.self) } }
    // The peer came back 20 s ago; this client's SA is from before that and was not rekeyed.
    world.charon.sas = [.init(id: 1, child: 101, age: 900, childAge: 300), .init(id: 2, connection: "ha", child: 102, age: 20, childAge: 20)]
    #expect(world.perform("monitor", promotable: true) == Outcome(.runningPromoted))
    #expect(orders() == [])
    for _ in 0..<3 { #expect(world.perform("monitor", level: 10, promotable: true) == Outcome(.runningPromoted)) }
    #expect(orders() == ["*1"])
    // Rekeyed, and later still: nothing more.
    world.charon.sas[0].childAge = 4
    #expect(world.perform("monitor", level: 10, promotable: true) == Outcome(.runningPromoted))
    // It comes back again, and is answered.
    world.charon.sas[1] = .init(id: 7, connection: "ha", child: 107, age: 60, childAge: 60)
    world.charon.sas[0].childAge = 58
    #expect(world.perform("monitor", level: 10, promotable: true) == Outcome(.runningPromoted))
    #expect(orders() == ["*1"])
  }

  /// Nobody acknowledges what is sent. It is sent until it shows, ever more rarely.
  @Test func peerIsSentEverythingUntilItShows() throws {
    let world = World(running: true, ha: true)
    try world.holdAddress()
    #expect(world.perform("promote", promotable: true) == Outcome(.success))
    func orders() -> Int { world.machine.files.sent.filter { $0.bytes.first == UInt8(ascii: "*") }.count }
    world.charon.sas = (1...4).map { .init(id: $0, child: 100 + $0, age: 90_000, childAge: 90_000) }
    world.charon.sas.append(.init(id: 9, connection: "ha", child: 109, age: 20, childAge: 20))
    var counts: [Int] = []
    for _ in 0...8 {
      #expect(world.perform("monitor", level: 10, promotable: true) == Outcome(.runningPromoted))
      counts.append(orders())
      world.machine.clock.advance(by: .seconds(60))
    }
    #expect(counts == [1, 2, 2, 3, 3, 3, 3, 4, 4])
    world.machine.clock.advance(by: .seconds(10_000))
    // Two of the four clients are away.
    world.charon.sas[0].childAge = 1
    world.charon.sas[1].childAge = 1
    #expect(world.perform("monitor", level: 10, promotable: true) == Outcome(.runningPromoted))
    #expect(orders() == 4)
    world.charon.sas[1].childAge = 90_000
    #expect(world.perform("monitor", level: 10, promotable: true) == Outcome(.runningPromoted))
    #expect(orders() == 5)
    // Whatever the record holds.
    for record in ["", "9", "9 0 0", "9 18446744073709551615 18446744073709551615"] {
      world.machine.files.put(record, at: StrongSwan.resyncRecord(for: Request(arguments: ["strongswan", "monitor"], environment: ["OCF_RESOURCE_INSTANCE": "ipsec", "OCF_RESOURCE_TYPE": "strongswan"])))
      #expect(world.perform("monitor", level: 10, promotable: true) == Outcome(.runningPromoted))
    }
  }

  @Test func promoteWithoutHASaysWhatClientsExperience() throws {
    let world = World(running: true)
    try world.holdAddress()
    #expect(world.perform("promote", promotable: true) == Outcome(.success))
    #expect(
      world.machine.log.messages(from: .notice)
        == ["promoted without the ha plugin: clients find out by their own timers and connect again"])
  }

  @Test func demoteWithHASaysNothingToClients() throws {
    let world = World(running: true, ha: true)
    try world.holdAddress()
    world.charon.sas = [.init(id: 1)]
    #expect(world.perform("promote", promotable: true) == Outcome(.success))
    #expect(world.perform("demote", promotable: true) == Outcome(.success))
    #expect(world.charon.terminated.isEmpty)
    #expect(world.charon.sas.map(\.state) == ["PASSIVE"])
    #expect(world.machine.log.messages().last == "demoted: 1 SAs were handed over")
    #expect(world.machine.files.text(at: Self.record) == "Unpromoted 1001 10010\n")
  }

  /// In a move that clients do not notice the ledger speaks from the address until it leaves, and holds it back then.
  @Test func whatALedgerCarriesOnIsNotSilencedBeforeTheAddressLeaves() throws {
    let world = World(running: true, ha: true)
    try world.holdAddress()
    let address = try #require(IPAddress("203.0.113.50"))
    world.charon.sas = [.init(id: 1)]
    #expect(world.perform("promote", promotable: true) == Outcome(.success))
    let path = "/run/vpnha/sessions-sessions.sock"
    var asked: [String] = []
    var answer = "ok"
    world.machine.files.nodes[path] = InMemoryFiles.Node([], .socket)
    world.machine.sockets.whenConnected(toUnix: path) {
      world.machine.stream { unread in
        guard unread.last == UInt8(ascii: "\n") else { return [] }
        asked.append(String(decoding: unread.dropLast(), as: UTF8.self))
        unread = []
        return [.says(Array("\(answer)\n".utf8)), .closes]
      }
    }
    #expect(world.perform("demote", promotable: true) == Outcome(.success))
    #expect(world.charon.sas.map(\.state) == ["PASSIVE"] && world.machine.network.quiet == [])
    #expect(world.perform("monitor", promotable: true) == Outcome(.success))
    #expect(world.machine.network.quiet == [] && Set(asked) == ["hold 203.0.113.50"])
    answer = "error the address is not about to leave"
    #expect(world.perform("monitor", promotable: true) == Outcome(.success))
    #expect(world.machine.network.quiet == [address])
  }

  @Test func demoteWithoutHAEndsOurSAs() throws {
    let world = World(running: true)
    try world.holdAddress()
    world.charon.sas = [.init(id: 1), .init(id: 2, localHost: "192.0.2.9")]
    #expect(world.perform("promote", promotable: true) == Outcome(.success))
    #expect(world.perform("demote", promotable: true) == Outcome(.success))
    #expect(world.charon.terminated == [1])
    #expect(world.charon.sas.map(\.id) == [2])
    #expect(world.machine.log.messages().last == "demoted: 1 clients were told goodbye")
  }

  /// Who connects while the others are told goodbye is told too.
  @Test func demoteAcceptsNobodyNew() throws {
    let world = World(running: true)
    try world.holdAddress()
    #expect(world.perform("promote", promotable: true) == Outcome(.success))
    world.charon.sas = [.init(id: 1, confirms: false)]
    world.machine.clock.after(.milliseconds(40)) {
      world.charon.sas = [.init(id: 7)]
    }
    #expect(world.perform("demote", promotable: true) == Outcome(.success))
    #expect(world.charon.terminated == [1, 7])
  }

  /// It cannot step back. The stop that would end it is waited for by the peer as well.
  @Test func demoteEndsADaemonThatHangs() throws {
    let world = World(running: true)
    try world.holdAddress()
    #expect(world.perform("promote", promotable: true) == Outcome(.success))
    world.charon.isHung = true
    let begin = world.machine.clock.now
    #expect(world.perform("demote", promotable: true) == Outcome(.success))
    #expect(world.charon.terminated.isEmpty && world.perform("monitor", promotable: true).status == .notRunning)
    #expect(world.machine.clock.now - begin <= .milliseconds(3200))
  }

  /// charon is busy with another order, and closes the pipe over ours.
  @Test func orderThatIsLostIsGivenAgain() throws {
    let world = World(running: true, ha: true)
    try world.holdAddress()
    world.charon.sas = [.init(id: 1, state: "PASSIVE")]
    let reader = try #require(world.machine.files.readers["/run/charon.ha"])
    var isBusy = true
    world.machine.files.readers["/run/charon.ha"] = { order in
      if isBusy { isBusy = order.isEmpty } else { reader(order) }
    }
    #expect(world.perform("promote", promotable: true) == Outcome(.success))
    #expect(world.charon.sas.map(\.state) == ["ESTABLISHED"])
    isBusy = true
    #expect(world.perform("demote", promotable: true) == Outcome(.success))
    #expect(world.charon.sas.map(\.state) == ["PASSIVE"])
    #expect(world.machine.log.messages(from: .warning).isEmpty)
  }

  @Test func fifoWithoutAReaderIsTriedAgain() throws {
    let world = World(running: true, ha: true)
    try world.holdAddress()
    let reader = world.machine.files.readers["/run/charon.ha"]
    world.machine.files.readers["/run/charon.ha"] = nil
    world.machine.clock.after(.milliseconds(20)) { world.machine.files.readers["/run/charon.ha"] = reader }
    #expect(world.perform("promote", promotable: true) == Outcome(.success))
    #expect(world.machine.files.sent.count == 1)
    world.machine.files.nodes["/run/charon.ha"] = nil
    #expect(
      world.perform("demote", promotable: true).reason
        == "ha_fifo: writing to /run/charon.ha: no such file or directory (ENOENT)")
  }

  @Test func plainStartTakesTheSegmentAndAStandbyDoesNot() {
    let plain = World(ha: true)
    #expect(plain.perform("start") == Outcome(.success))
    #expect(plain.machine.files.sent.map { String(decoding: $0.bytes, as: UTF8.self) } == ["+1\n"])
    let standby = World(ha: true)
    #expect(standby.perform("start", promotable: true) == Outcome(.success))
    #expect(standby.machine.files.sent.isEmpty)
    #expect(standby.charon.initiated == ["ha"])
    #expect(standby.machine.log.messages(from: .warning).isEmpty)
  }

  /// Nothing leaves from the address between a standby's start and the moment its numbers are raised.
  @Test func standbyKeepsSilent() throws {
    let address = try #require(IPAddress("203.0.113.50"))
    let world = World(ha: true)
    let network = world.machine.network
    #expect(world.perform("start", promotable: true) == Outcome(.success))
    #expect(network.quiet == [address])
    #expect(world.perform("monitor", promotable: true) == Outcome(.success))
    // Somebody flushed the rules. A probe changes nothing.
    network.quiet = []
    #expect(world.perform("monitor", promotable: true, probe: true) == Outcome(.success))
    #expect(network.quiet.isEmpty)
    #expect(world.perform("start", promotable: true) == Outcome(.success))
    #expect(network.quiet == [address])
    network.quiet = []
    #expect(world.perform("monitor", promotable: true) == Outcome(.success))
    #expect(network.quiet == [address])
    #expect(
      world.machine.log.messages(from: .warning) == ["the routing rule that keeps a standby silent was gone; it is back"])

    try world.holdAddress()
    network.outbound[address] = [.init(spi: 1, age: 5, sequence: 0)]
    world.machine.calls.reset()
    #expect(world.perform("promote", promotable: true) == Outcome(.success))
    #expect(network.quiet.isEmpty)
    let changes = world.machine.calls.changes
    let raised = try #require(changes.firstIndex { $0.hasPrefix("network.raiseSequences") })
    let spoken = try #require(changes.firstIndex { $0.hasPrefix("network.unblockEgress") })
    #expect(raised < spoken)
    #expect(world.perform("monitor", promotable: true) == Outcome(.runningPromoted))
    network.quiet = [address]
    #expect(
      world.perform("monitor", promotable: true)
        == Outcome(.failedPromoted, "address: a routing rule of this resource holds back what 203.0.113.50 sends"))
    network.quiet = []

    #expect(world.perform("demote", promotable: true) == Outcome(.success))
    #expect(network.quiet == [address])
    let other = ["connections": "l2tp", "address": "203.0.113.51"]
    #expect(world.perform("reload-agent", promotable: true, other) == Outcome(.success))
    #expect(network.quiet.map(\.description) == ["203.0.113.51"])
    #expect(world.perform("stop", promotable: true, other) == Outcome(.success))
    #expect(network.quiet.isEmpty)
  }

  /// Numbers that could not be raised do not leave; a start that failed leaves no rule.
  @Test func silenceEndsOnlyWithRaisedNumbers() throws {
    let address = try #require(IPAddress("203.0.113.50"))
    let world = World(running: true, ha: true)
    try world.holdAddress()
    world.machine.network.quiet = [address]
    world.machine.network.outbound[address] = [.init(spi: 1, age: 5, sequence: 0)]
    world.machine.calls.fail("network.raiseSequences", with: .io)
    #expect(world.perform("promote", promotable: true).status == .genericError)
    #expect(world.machine.network.quiet == [address])

    let failing = World(ha: true)
    failing.machine.calls.fail("cluster.", with: .io)
    failing.machine.calls.fail("network.blockEgress(", with: .notSupported)
    #expect(failing.perform("start", promotable: true).reason?.hasPrefix("holding back what a standby sends: ") == true)
    #expect(!failing.runs)
    #expect(failing.machine.network.quiet.isEmpty)

    // Nobody's SAs are here without the plugin, nor in a plain resource.
    for other in [World(), World(ha: true)] {
      #expect(other.perform("start", promotable: !other.charon.plugins.contains("ha")) == Outcome(.success))
      #expect(other.machine.network.quiet.isEmpty)
    }
  }

  @Test(arguments: ["promote", "demote", "monitor"]) func standbyWithAnErrorAtEveryCall(_ action: String) throws {
    let address = try #require(IPAddress("203.0.113.50"))
    var world = World()
    let count = InMemoryMachine.failingEveryCall {
      world = World(running: true, ha: true)
      world.machine.network.hold(InterfaceAddress(address, prefixLength: 24, link: 2))
      world.machine.network.outbound[address] = [.init(spi: 1, age: 5, sequence: 0)]
      world.charon.sas = [.init(id: 1, state: "PASSIVE")]
      if action == "demote" { _ = world.perform("promote", promotable: true) } else { world.machine.network.quiet = [address] }
      return world.machine
    } _: { _ in
      world.perform(action, promotable: true)
    } check: { failed, outcome, machine in
      #expect([.success, .runningPromoted].contains(outcome.status) || outcome.reason?.isEmpty == false, "\(failed)")
      // Whatever fails: a number that was used never leaves.
      let isRaised = machine.network.outbound[address]?.allSatisfy { $0.sequence > 0 } == true
      #expect(isRaised || machine.network.quiet == [address], "\(failed): \(outcome)")
      if action == "demote", outcome.status == .success { #expect(machine.network.quiet == [address], "\(failed)") }
    }
    #expect(count > 6)
  }

  @Test func standbyThatNothingKeepsSilentIsRefused() {
    let problem = "address: set it: with the ha plugin a standby is kept silent on that address only"
    let fresh = World(ha: true)
    #expect(fresh.perform("start", promotable: true, ["connections": "l2tp"]) == Outcome(.invalidHere, problem))
    #expect(!fresh.runs)
    #expect(fresh.perform("start", ["connections": "l2tp"]) == Outcome(.success))
    let running = World(running: true, ha: true)
    #expect(running.perform("start", promotable: true, ["connections": "l2tp"]) == Outcome(.invalidHere, problem))
    #expect(running.perform("monitor", promotable: true, ["connections": "l2tp"]) == Outcome(.success, problem))
    #expect(running.perform("monitor", ["connections": "l2tp"]) == Outcome(.success))
    #expect(World(running: true).perform("monitor", promotable: true, ["connections": "l2tp"]) == Outcome(.success))
  }

  /// There is one charon to a node. A second resource does not take the first one's for its own, nor what belongs to it.
  @Test func charonOfAnotherResourceIsLeftAlone() throws {
    let address = try #require(IPAddress("203.0.113.50"))
    let world = World(running: true, ha: true)
    world.machine.files.put("Unpromoted 1001 10010\n", at: "/run/resource-agents/vpnha-strongswan-other.role")
    world.machine.network.quiet = [address]
    world.machine.network.ipsec[address] = 2
    #expect(world.perform("monitor", probe: true) == Outcome(.notRunning))
    #expect(
      world.perform("start")
        == Outcome(.genericError, "charon-systemd (pid 1001) is resource other's, and there is one charon to a node"))
    #expect(world.perform("stop") == Outcome(.success))
    #expect(world.runs && world.machine.processes.signals.isEmpty && world.charon.asked.isEmpty)
    #expect(world.machine.network.quiet == [address] && world.machine.network.ipsec[address] == 2)
    #expect(world.machine.files.readers["/run/charon.ha"] != nil)
    // A record of another process says nothing, and what is recorded as ours is ours.
    world.machine.files.put("Unpromoted 1001 10011\n", at: "/run/resource-agents/vpnha-strongswan-other.role")
    #expect(world.perform("monitor", probe: true) == Outcome(.success))
    world.machine.files.put("Unpromoted 1001 10010\n", at: "/run/resource-agents/vpnha-strongswan-other.role")
    world.machine.files.put("Unpromoted 1001 10010\n", at: Self.record)
    #expect(world.perform("monitor") == Outcome(.success))
  }

  @Test func haWithoutASecretIsNamed() {
    let world = World(ha: true)
    world.machine.files.put("charon { plugins { ha { local = 10.0.0.1\n } } }", at: "/etc/strongswan.conf")
    #expect(world.perform("start", promotable: true) == Outcome(.success))
    #expect(
      world.machine.log.messages(from: .warning) == [
        "the ha plugin has no secret: keys and pre-shared secrets cross the network in clear text",
        "the ha plugin's monitor is on: a standby would take the segment behind the cluster's back",
      ])
  }

  /// From one call on nothing works any more: what a process that is killed there leaves behind.
  @Test(arguments: ["start", "promote", "demote", "stop"]) func killedAtAnyCallTheNextStopCleansUp(_ action: String) throws {
    var position = 0
    while true {
      let world = World(running: action != "start", ha: true)
      try world.holdAddress()
      if action == "demote" || action == "stop" { _ = world.perform("promote", promotable: true) }
      world.machine.calls.reset()
      world.machine.calls.fail("", after: position, with: .io)
      _ = world.perform(action, promotable: true)
      guard world.machine.calls.forced != nil else { break }
      world.machine.calls.reset()
      #expect(world.perform("stop", promotable: true) == Outcome(.success))
      #expect(!world.runs)
      #expect(world.machine.files.nodes[Self.record] == nil)
      #expect(world.machine.network.quiet.isEmpty)
      position += 1
    }
    #expect(position > 8, "\(action)")
  }

  // MARK: Reloading

  /// Whatever fails: charon goes on with what it has, and no SA is ended.
  @Test func reloadWithAnErrorAtEveryCall() {
    var world = World()
    let count = InMemoryMachine.failingEveryCall {
      world = World(running: true, ha: true)
      world.charon.sas = [.init(id: 1)]
      return world.machine
    } _: { _ in
      world.perform("reload-agent", promotable: true)
    } check: { failed, outcome, _ in
      #expect(outcome.status == .success || outcome.reason?.isEmpty == false, "\(failed)")
      #expect(world.runs && world.charon.loaded == ["l2tp"], "\(failed)")
      #expect(world.charon.sas.map(\.state) == ["ESTABLISHED"] && world.charon.terminated.isEmpty, "\(failed)")
    }
    #expect(count > 10)
  }

  @Test func reloadKeepsWhatWorks() {
    let world = World(running: true)
    world.inFile = ["l2tp", "ikev2"]
    world.machine.files.put("connections { l2tp { }\n ikev2 { } }", at: "/etc/swanctl/swanctl.conf")
    #expect(world.perform("reload-agent", ["connections": "l2tp ikev2"]) == Outcome(.success))
    #expect(world.charon.asked.contains("reload-settings"))
    world.machine.files.put("connections {", at: "/etc/swanctl/swanctl.conf")
    let asked = world.charon.asked.count
    #expect(
      world.perform("reload-agent").reason
        == "config: /etc/swanctl/swanctl.conf:1: section connections is not closed")
    #expect(!world.charon.asked.dropFirst(asked).contains { $0.hasPrefix("reload") || $0.hasPrefix("load") })
    // What has to be loaded is missed before anything is unloaded.
    for empty in ["", "connections { }", "connections { l2tp2 { } }"] {
      world.machine.files.put(empty, at: "/etc/swanctl/swanctl.conf")
      let ran = world.machine.processes.ran.count
      #expect(world.perform("reload-agent").reason == "connections: l2tp is not in /etc/swanctl/swanctl.conf")
      #expect(world.machine.processes.ran.count == ran)
    }
    world.machine.files.put("base { l2tp { } }\nconnections : base { }", at: "/etc/swanctl/swanctl.conf")
    #expect(world.perform("reload-agent") == Outcome(.success))
    world.machine.files.put("connections { l2tp { } }", at: "/etc/swanctl/swanctl.conf")
    world.charon.reloadRefusal = "reloading config failed"
    #expect(world.perform("reload-agent").reason == "asking charon for reload-settings: reloading config failed")
  }
}

extension IPAddress {
  fileprivate static var any: IPAddress { IPAddress(bytes: [0, 0, 0, 0])! }
}
