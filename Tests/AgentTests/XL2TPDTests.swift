import Daemon
import Host
import HostTestKit
import L2TP
import OCF
import Testing

@testable import XL2TPDAgent

/// A node with xl2tpd, as far as its agent can tell.
final class L2TPGateway {
  static let vip = IPAddress("203.0.113.50")!
  static let program = "/usr/sbin/xl2tpd"
  static let control = "/run/xl2tpd/l2tp-control"
  static let configuration = """
    [global]
    listen-addr = 203.0.113.50
    [lns default]
    ip range = 10.9.0.10-10.9.0.20
    pppoptfile = /etc/ppp/options.xl2tpd
    """

  let machine = InMemoryMachine(links: [Link(index: 2, name: "eth0")])
  /// What a daemon does after it was launched.
  enum Behaviour { case serves, exits, neverReady, hangs, deafToClients }
  var behaviour = Behaviour.serves
  var tunnels = 0
  /// What a request for a tunnel is answered with in place of a tunnel.
  var answersStart: (kind: ControlMessage.Kind, attributes: [Attribute])?
  /// Whether a call lives as long as its pppd.
  var knowsCalls = true
  /// Whether there is no room for what the daemon says.
  var isFull = false
  /// How many sockets were bound to the address so far: each has an inode and a filter of its own.
  private var sockets: UInt64 = 0
  var isShut: Bool { machine.sockets.listeners[1701]?.contains { machine.sockets.filters[$0.inode] != nil } ?? false }
  /// What a daemon's peers have been told.
  var farewells = 0
  /// Clients that acknowledge the farewell; nil: all do.
  var hearing: Int?
  let overheard: ScriptedDatagrams

  init(hasAddress: Bool = true) {
    overheard = ScriptedDatagrams(from: Self.vip, port: 0, calls: machine.calls, clock: machine.clock) { _ in [] }
    machine.sockets.overheard = overheard
    let files = machine.files
    files.putExecutable(Self.program)
    files.putExecutable("/usr/sbin/pppd")
    files.put(Self.configuration, at: "/etc/xl2tpd/xl2tpd.conf")
    files.put("", at: "/etc/ppp/options.xl2tpd")
    files.nodes["/dev/ppp"] = InMemoryFiles.Node([], .other)
    files.kernelParameters["net.ipv4.ip_nonlocal_bind"] = "0"
    machine.packetFilter.chains = [BaseChain(family: "inet", table: "filter", name: "input", hook: .input, dropsByDefault: true)]
    if hasAddress { machine.network.hold(InterfaceAddress(Self.vip, prefixLength: 24, link: 2)) }
    machine.processes.launches[Self.program] = { [unowned self] command in launched(command) }
    machine.sockets.udp = { [unowned self] _, _, source in socket(from: source) }
  }

  @discardableResult
  func running(as command: Command) -> Process { launched(command) }

  /// Puts a daemon of ours in place, with sessions.
  @discardableResult
  func running(sessions: Int = 0) -> Process {
    let process = launched(Command(Self.program, ["-D", "-l", "-c", "/etc/xl2tpd/xl2tpd.conf", "-p", "/run/xl2tpd.pid", "-C", Self.control]))
    tunnels = sessions
    for _ in 0..<sessions { pppd(of: process) }
    return process
  }

  @discardableResult
  func pppd(of process: Process) -> Process {
    machine.processes.appear(
      "/usr/sbin/pppd",
      (usesKernel ? ["plugin", "pppol2tp.so", "pppol2tp", "8"] : ["/dev/pts/3"])
        + ["passive", "nodetach", "10.9.0.1:10.9.0.10", "file", "/etc/ppp/options.xl2tpd"], parent: process.pid)
  }
  /// Whether sessions run through the kernel's L2TP.
  var usesKernel = false

  private func launched(_ command: Command) -> Process {
    let process = machine.processes.appear(command.path, command.arguments)
    machine.files.put("\(process.pid)\n", at: "/run/xl2tpd.pid")
    tunnels = 0
    switch behaviour {
    case .exits: machine.processes.vanish(process.pid)
    case .neverReady: break
    case .serves, .hangs, .deafToClients:
      sockets += 1
      machine.sockets.listeners[1701] = [UDPListener(Self.vip, inode: 7 + sockets)]
      machine.files.putFIFO(Self.control) { [unowned self] in asked($0) }
    }
    machine.processes.reactions[process.pid] = { [unowned self] in signalled(process, $0) }
    return process
  }

  /// What the daemon was told about its servers while it ran.
  var settings: [String] = []

  private func asked(_ request: [UInt8]) {
    guard behaviour != .hangs else { return }
    let words = String(decoding: request, as: UTF8.self).dropFirst().split(separator: " ")
    if isFull { return machine.files.reply("", to: String(words[0])) }
    if words[1] == "z" {
      settings.append(words[2...].joined(separator: " "))
      return machine.files.reply("00 OK: Saved value\n", to: String(words[0]))
    }
    if words[1] == "y" { return machine.files.reply("01 Error: Could not find lns\n", to: String(words[0])) }
    let calls = knowsCalls ? machine.processes.table.filter { $0.executable == "/usr/sbin/pppd" }.count : tunnels
    let lines = (0..<tunnels).map {
      "00 AVAILABLE tunnel 0x5, id \($0), ourtid \($0 + 9) has \($0 < calls ? 1 : 0) calls and self 0x6\n"
    }.joined()
    machine.files.reply("00 OK\n\(lines)00 AVAILABLE tunnels count=\(tunnels)\n", to: String(words[0]))
  }

  private func signalled(_ process: Process, _ signal: Signal) {
    guard behaviour != .hangs else { return }
    if signal == .interrupt {
      farewells += tunnels
      for index in 0..<(hearing ?? tunnels) { acknowledge(index) }
    }
    for pppd in machine.processes.table where pppd.parent == process.pid { machine.processes.vanish(pppd.pid) }
    gone(process)
    machine.files.nodes["/run/xl2tpd.pid"] = nil
    machine.files.nodes[Self.control] = nil
  }

  /// The client of tunnel `index` acknowledges a farewell.
  func acknowledge(_ index: Int) {
    let udp: [UInt8] = [0x06, 0xa5, 0x06, 0xa5, 0x00, 0x14, 0x00, 0x00]
    overheard.arrive(udp + ControlMessage(tunnel: UInt16(index + 9), number: 1, expected: 5).bytes)
  }

  /// A death without a last word: pppds live on as children of init.
  func gone(_ process: Process) {
    machine.processes.vanish(process.pid)
    machine.sockets.listeners[1701] = []
    machine.files.readers[Self.control] = nil
    for index in machine.processes.table.indices where machine.processes.table[index].parent == process.pid {
      machine.processes.table[index].parent = 1
    }
  }

  private func socket(from source: IPAddress?) -> ScriptedDatagrams {
    ScriptedDatagrams(from: source ?? Self.vip, calls: machine.calls, clock: machine.clock) { [unowned self] datagram in
      guard behaviour != .hangs, behaviour != .deafToClients, let message = try? ControlMessage(datagram) else { return [] }
      let theirs = message[.assignedTunnel]?.number ?? 0
      switch message.kind {
      case .startRequest:
        if let answersStart { return [ControlMessage(answersStart.kind, tunnel: theirs, number: 0, expected: 1, answersStart.attributes).bytes] }
        return isShut
          ? []
          : [
            ControlMessage(.startReply, tunnel: theirs, number: 0, expected: 1, [.number(.assignedTunnel, 3 as UInt16)]).bytes
          ]
      case .stop: return [ControlMessage(tunnel: theirs, number: 1, expected: 2).bytes]
      default: return []
      }
    }
  }

  func perform(
    _ action: String, _ parameters: [String: String] = [:], clone: Bool = false, level: Int = 0, interval: Int = 10_000,
    timeout: Int = 20_000, environment: [String: String] = [:]
  ) -> Outcome {
    OCF.perform(
      XL2TPD.self, request(action, parameters, clone: clone, level: level, interval: interval, timeout: timeout, environment: environment),
      on: machine.host, from: machine.clock.now)
  }

  func request(
    _ action: String, _ parameters: [String: String] = [:], clone: Bool = false, level: Int = 0, interval: Int = 10_000,
    timeout: Int = 20_000, environment more: [String: String] = [:]
  ) -> Request {
    var environment = more.merging([
      "OCF_RESOURCE_TYPE": "xl2tpd", "OCF_RESOURCE_INSTANCE": "l2tp", "OCF_CHECK_LEVEL": "\(level)",
      "OCF_RESKEY_CRM_meta_timeout": "\(timeout)", "OCF_RESKEY_CRM_meta_interval": "\(interval)",
    ]) { $1 }
    if clone { environment["OCF_RESKEY_CRM_meta_promoted_max"] = "1" }
    for (name, value) in parameters { environment["OCF_RESKEY_\(name)"] = value }
    return Request(arguments: ["xl2tpd", action], environment: environment)
  }

  /// Takes the address away, as the vip agent does.
  func loseAddress() { machine.network.addresses = [] }

  /// What is left of us.
  var traces: [String] {
    machine.processes.table.map(\.executable) + machine.files.nodes.keys.filter { $0.hasPrefix("/run") && !$0.hasSuffix(".lock") }
  }
}

@Suite struct XL2TPDTests {
  // MARK: Starting

  @Test func plainStartIsReadyWhenAClientIsAnswered() {
    let node = L2TPGateway()
    #expect(node.perform("start") == Outcome(.success))
    #expect(
      node.machine.processes.launched.map(\.arguments) == [
        ["-D", "-l", "-c", "/etc/xl2tpd/xl2tpd.conf", "-p", "/run/xl2tpd.pid", "-C", "/run/xl2tpd/l2tp-control"]
      ])
    #expect(node.perform("monitor") == Outcome(.success))
    #expect(node.perform("monitor", level: 10) == Outcome(.success))
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.machine.processes.launched.count == 1)
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.perform("monitor").status == .notRunning)
    #expect(node.traces.filter { $0 != "/run/xl2tpd" && $0 != "/run/resource-agents" && $0 != "/run" } == [])
  }

  @Test func standbyStartsWithoutTheAddress() {
    let node = L2TPGateway(hasAddress: false)
    node.behaviour = .deafToClients
    #expect(node.perform("start", clone: true) == Outcome(.success))
    #expect(node.machine.files.kernelParameters["net.ipv4.ip_nonlocal_bind"] == "1")
    #expect(node.perform("monitor", clone: true, level: 20) == Outcome(.success))
  }

  @Test(arguments: [
    ("[lns default]\n", "config: add \"listen-addr = 203.0.113.50\" to [global] of /etc/xl2tpd/xl2tpd.conf: bound to every address, xl2tpd answers from the wrong one"),
    ("[global]\nlisten-addr = 203.0.113.51\n", "address: is 203.0.113.50, but /etc/xl2tpd/xl2tpd.conf line 2 has listen-addr 203.0.113.51"),
    ("[global]\nlisten-addr = vpn.example\n", "config: /etc/xl2tpd/xl2tpd.conf line 2: listen-addr vpn.example is no IPv4 address"),
    ("[global]\nlisten-addr = 0.0.0.0\n", "config: set listen-addr 203.0.113.50 in /etc/xl2tpd/xl2tpd.conf line 2: bound to 0.0.0.0, xl2tpd answers from the wrong address"),
    ("[global]\nport = x\n", "config: /etc/xl2tpd/xl2tpd.conf line 2: invalid port x"),
    ("[global]\nnonsense\n", "config: /etc/xl2tpd/xl2tpd.conf line 2: no '='"),
    (
      "[global]\nlisten-addr = 203.0.113.50\n[lns vpn]\nip range = 10.9.0.10-10.9.0.20\n",
      "config: /etc/xl2tpd/xl2tpd.conf has no [lns default], and no other lns that names a lac: nobody gets in"
    ),
    ("# our VIP\n[global]\nlisten-addr = 203.0.113.50\n", "config: /etc/xl2tpd/xl2tpd.conf line 1: '#' begins no comment, ';' does"),
    (
      "[global]\nlisten-addr = 203.0.113.50\nlisten-addr = 203.0.113.51\n[lns default]\n",
      "address: is 203.0.113.50, but /etc/xl2tpd/xl2tpd.conf line 3 has listen-addr 203.0.113.51"
    ),
    (
      "[global]\nlisten-addr = 203.0.113.50\n[lns default]\npppoptfile = /etc/ppp/none\n",
      "config: /etc/xl2tpd/xl2tpd.conf has pppoptfile /etc/ppp/none, which is missing"
    ),
  ]) func configurationsThatCannotServe(text: String, reason: String) {
    let node = L2TPGateway()
    node.machine.files.put(text, at: "/etc/xl2tpd/xl2tpd.conf")
    #expect(node.perform("start", ["address": "203.0.113.50"]) == Outcome(.genericError, reason))
    #expect(node.machine.processes.launched.isEmpty)
    #expect(node.perform("stop", ["address": "203.0.113.50"]) == Outcome(.success))
  }

  @Test(arguments: [
    ("/usr/sbin/xl2tpd", "/usr/sbin/xl2tpd is missing (package xl2tpd)"), ("/usr/sbin/pppd", "/usr/sbin/pppd is missing (package ppp)"),
    ("/dev/ppp", "/dev/ppp is missing: modprobe ppp_generic (the kernel has no PPP)"),
  ]) func whatIsMissingIsNamed(path: String, reason: String) {
    let node = L2TPGateway()
    node.machine.files.nodes[path] = nil
    #expect(node.perform("start") == Outcome(.notInstalled, reason))
    #expect(node.perform("monitor", interval: 0).status == .notRunning)
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.perform("validate-all", level: 10) == Outcome(.notInstalled, reason))
    #expect(node.perform("validate-all") == Outcome(.success))
  }

  /// xl2tpd ends at once, and says so in its log only.
  @Test(
    arguments: [
      ("[lns default]\nrequrie chap = yes", "line 6: xl2tpd does not know 'requrie chap', did you mean 'require chap'?"),
      ("[lns default]\nport = 1701", "line 6: 'port' belongs into [global], not [lns]"),
      ("[lns default]\nlength bit = on", "line 6: 'length bit' must be yes or no"),
      ("[lns default]\ntunnel rws = many", "line 6: 'tunnel rws' must be a number, at least 1"),
      ("[lns default]\nip range = 10.5.0.0/24", "line 6: 'ip range' must be an IPv4 address or FIRST-LAST, not '10.5.0.0/24'"),
      ("[lns default]\nno ip range = 10.5.0.10-300", "line 6: 'no ip range' must be an IPv4 address or FIRST-LAST, not '10.5.0.10-300'"),
      ("[lns default]\nip range = 10.5.0.10 -", "line 6: 'ip range' must be an IPv4 address or FIRST-LAST, not '10.5.0.10 -'"),
      ("[lns default]\nip range = 10.5.0.1,10.5.0.3", "line 6: 'ip range' must be an IPv4 address or FIRST-LAST, not '10.5.0.1,10.5.0.3'"),
      ("[lns default]\nlocal ip range = 10.5.0.9 - 10.5.0.1", "line 6: 'local ip range' ends before it begins"),
      ("[lns default]\nlac = 2001:db8::1", "line 6: 'lac' must be an IPv4 address or FIRST-LAST, not '2001:db8::1'"),
      ("[lns default]\nlocal ip = 10.5.0.1-10.5.0.2", "line 6: 'local ip' must be an IPv4 address, not '10.5.0.1-10.5.0.2'"),
      ("local ip = 10.5.0.1\nlocal ip range = 10.6.0.1-20", "line 6: 'local ip' and 'local ip range' exclude each other"),
      ("[lns default]\nip range = 10.5.0.10 - 1.20", nil), ("[lns default]\nip range = 10.5.010", nil), ("[lns default]\nlocal ip = 10.5", nil),
      ("[lns default]\nnew word = 1", nil),
    ] as [(String, String?)]) func aSettingThatTheDaemonRefuses(text: String, words: String?)
  {
    let node = L2TPGateway()
    node.machine.files.nodes[L2TPGateway.program]?.bytes = [0x7f] + Array("ELF\0new word\0".utf8)
    node.machine.files.put("[global]\nlisten-addr = 203.0.113.50\n\n[lns default]\n\(text.split(separator: "\n")[0])\n\(text.split(separator: "\n")[1])\n", at: "/etc/xl2tpd/xl2tpd.conf")
    let outcome = words.map { Outcome(.genericError, "config: /etc/xl2tpd/xl2tpd.conf \($0)") }
    #expect(node.perform("validate-all", level: 10) == outcome ?? Outcome(.success))
    if let outcome { #expect(node.perform("start") == outcome && node.machine.processes.launched.isEmpty) }
    node.running()
    #expect(node.perform("monitor", level: 10) == Outcome(.success, outcome?.reason), "a daemon that runs goes on")
  }

  /// The daemon does not start while the resolver has no answer, as on the day of an outage.
  @Test(arguments: ["ip range = 10.5.0.10-pool.example.org", "no ip range = printer", "local ip = gw.example.invalid", "lac = site-b.example.org", "local ip range = a-b"])
  func aNameForAnAddressIsARisk(line: String) {
    let node = L2TPGateway()
    node.machine.files.put("[global]\nlisten-addr = 203.0.113.50\n\n[lns default]\n\(line)\n", at: "/etc/xl2tpd/xl2tpd.conf")
    let word = line.prefix { $0 != "=" }.dropLast()
    let risk = "config: /etc/xl2tpd/xl2tpd.conf line 5: write an address for '\(word)': a name is asked of the resolver at each start"
    #expect(node.perform("validate-all", level: 10) == Outcome(.success, risk))
    node.running()
    #expect(node.perform("monitor", level: 10) == Outcome(.success, risk))
  }

  /// What is wrong with a file is mended in the file: no answer that bars the node until somebody cleans up.
  @Test func aMissingConfigurationBarsNoNode() {
    let node = L2TPGateway()
    node.machine.files.nodes["/etc/xl2tpd/xl2tpd.conf"] = nil
    let outcome = Outcome(.genericError, "config: /etc/xl2tpd/xl2tpd.conf is missing")
    #expect(node.perform("start") == outcome)
    #expect(node.perform("validate-all", level: 10) == outcome)
    #expect(node.perform("monitor", interval: 0).status == .notRunning)
    #expect(node.perform("stop") == Outcome(.success))
  }

  @Test func badParametersAreNamed() {
    #expect(L2TPGateway().perform("start", ["address": "2001:db8::1"]).reason == "address: xl2tpd knows only IPv4, got 2001:db8::1")
    let outcome = L2TPGateway().perform("start", ["address": "vip", "drain_timeout": "long"])
    #expect(outcome.status == .misconfigured)
    #expect(outcome.reason?.contains("address: ") == true && outcome.reason?.contains("drain_timeout: ") == true)
    #expect(L2TPGateway().perform("stop", ["address": "vip"]) == Outcome(.success))
  }

  @Test func theTestAccountIsDialledOnlyAtLevelTwenty() {
    let node = L2TPGateway()
    node.running()
    let account = ["test_user": "probe", "test_password": "hunter2"]
    #expect(node.perform("monitor", account, level: 10) == Outcome(.success))
    #expect(node.perform("monitor", level: 20) == Outcome(.success))
    let outcome = node.perform("monitor", account, level: 20)
    // This server offers tunnels and takes no calls.
    #expect(
      outcome
        == Outcome(.genericError, "dialling in as test_user, tunnel: SCCCN was not acknowledged in time; see journalctl -t pppd -t xl2tpd"))
    // Half an account is a risk, and keeps no node from serving: Pacemaker promotes again what it has reloaded.
    for action in ["start", "promote", "promote"] { #expect(node.perform(action, ["test_user": "probe"]).status == .success) }
    #expect(node.perform("monitor", ["test_user": "probe"]).reason == "test_password_file: it or test_password is required with test_user")
  }

  @Test func withoutAnAccountLevelTwentySaysThatItDialledNobody() {
    for action in ["monitor", "validate-all"] {
      let node = L2TPGateway()
      node.running()
      #expect(node.perform(action, level: 10) == Outcome(.success))
      #expect(node.machine.log.messages(from: .info).isEmpty)
      #expect(node.perform(action, level: 20) == Outcome(.success))
      #expect(node.machine.log.messages(from: .info) == ["check level 20 dialled nobody: test_user is not set"])
    }
  }

  /// What the server has against the test it has not against clients.
  @Test(arguments: [
    (
      [.number(.assignedTunnel, 3 as UInt16), Attribute(.challenge, [1, 2, 3])], ControlMessage.Kind.startReply,
      "tunnel: the server wants tunnel authentication, for which the test has no secret"
    ),
    (
      [.number(.assignedTunnel, 3 as UInt16), Attribute(.resultCode, [0, 2, 0, 6] + "No Authorization".utf8)], .stop,
      "tunnel: the server ends the tunnel: refused by the server (result 2, error 6): No Authorization"
    ),
  ]) func whatTheTestCannotDoIsNoFailure(attributes: [Attribute], kind: ControlMessage.Kind, words: String) {
    let node = L2TPGateway()
    node.running()
    node.answersStart = (kind, attributes)
    let outcome = node.perform("monitor", ["test_user": "probe", "test_password": "hunter2"], level: 20)
    #expect(outcome == Outcome(.success, "dialling in as test_user, \(words); see journalctl -t pppd -t xl2tpd"))
  }

  @Test func thePasswordIsReadFromAFileOfRoots() {
    let node = L2TPGateway()
    node.running()
    let path = "/etc/vpnha/test-password"
    let account = ["test_user": "probe", "test_password_file": path]
    func monitor() -> Outcome { node.perform("monitor", account, level: 20) }
    #expect(monitor() == Outcome(.success, "test_password_file: reading \(path): no such file or directory (ENOENT)"))
    #expect(node.perform("validate-all", account, level: 10).reason?.hasPrefix("test_password_file: ") == true)
    node.machine.files.put("hunter2\n", at: path)
    #expect(monitor() == Outcome(.success, "test_password_file: reading \(path): it must be a file of root's with mode 0600 or less (EACCES)"))
    node.machine.files.put("\n", at: path, mode: 0o600)
    #expect(monitor() == Outcome(.success, "test_password_file: reading \(path): its first line is empty (EINVAL)"))
    node.machine.files.put("hunter2\nmore\n", at: path, mode: 0o600)
    #expect(monitor().reason?.hasPrefix("dialling in as test_user, tunnel: SCCCN") == true)
    #expect(node.perform("validate-all", account, level: 10) == Outcome(.success))
    // The account has no say in whether the service runs.
    node.machine.files.nodes[path] = nil
    #expect(node.perform("stop", account) == Outcome(.success))
    #expect(node.perform("start", account) == Outcome(.success))
    #expect(!node.machine.log.lines.contains { "\($0)".contains("hunter2") })
  }

  @Test func addressThatCannotBeBound() {
    #expect(
      L2TPGateway(hasAddress: false).perform("start")
        == Outcome(.genericError, "203.0.113.50 is not on this node, so no client could be answered"))
    #expect(
      L2TPGateway(hasAddress: false).perform("start", ["nonlocal_bind": "false"], clone: true).reason
        == "203.0.113.50 is not on this node and net.ipv4.ip_nonlocal_bind is 0: xl2tpd could not bind it")
  }

  @Test(arguments: [L2TPGateway.vip, IPAddress("0.0.0.0")!]) func takenPortIsNamed(address: IPAddress) {
    let node = L2TPGateway()
    let other = node.machine.processes.appear(L2TPGateway.program, ["-c", "/etc/other.conf"])
    node.machine.sockets.listeners[1701] = [UDPListener(address, inode: 3)]
    #expect(
      node.perform("start")
        == Outcome(.genericError, "203.0.113.50 port 1701 is taken by another program (another xl2tpd: pid \(other.pid))"))
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.machine.processes.signals.isEmpty)
  }

  /// A killed xl2tpd has no name any more, and its socket for another moment.
  @Test func thePortOfAProcessThatIsEndingIsWaitedFor() {
    let node = L2TPGateway()
    node.machine.sockets.listeners[1701] = [UDPListener(L2TPGateway.vip, inode: 3)]
    node.machine.clock.after(.milliseconds(20)) { node.machine.sockets.listeners[1701] = [] }
    #expect(node.perform("start") == Outcome(.success))
  }

  @Test func whoeverHasThePortIsNamed() {
    let node = L2TPGateway()
    let other = node.machine.processes.appear("/usr/sbin/openl2tpd")
    node.machine.sockets.listeners[1701] = [UDPListener(L2TPGateway.vip, inode: 3)]
    node.machine.processes.socketOwners[3] = other.pid
    #expect(
      node.perform("start")
        == Outcome(.genericError, "203.0.113.50 port 1701 is taken by /usr/sbin/openl2tpd (pid \(other.pid))"))
    #expect(node.machine.processes.table == [other])
  }

  @Test func anotherXL2TPDElsewhereIsNoneOfOurBusiness() {
    let node = L2TPGateway()
    node.machine.processes.appear(L2TPGateway.program, ["-c", "/etc/other.conf"])
    node.machine.sockets.listeners[1701] = [UDPListener(IPAddress("192.0.2.1")!, inode: 3)]
    #expect(node.perform("start") == Outcome(.success))
  }

  @Test func stalePIDFileIsRemovedAndAForeignOneIsNot() {
    let node = L2TPGateway()
    let stranger = node.machine.processes.appear("/bin/sleep", ["1000"])
    node.machine.files.put("\(stranger.pid)\n", at: "/run/xl2tpd.pid")
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.machine.processes.signals.isEmpty)

    let shared = L2TPGateway()
    let other = shared.machine.processes.appear(L2TPGateway.program, ["-c", "/etc/other.conf"])
    shared.machine.files.put("\(other.pid)", at: "/run/xl2tpd.pid")
    let outcome = shared.perform("start")
    #expect(outcome.status == .genericError && outcome.reason?.contains("another xl2tpd (pid \(other.pid)) has it") == true)
    #expect(shared.machine.files.text(at: "/run/xl2tpd.pid") == "\(other.pid)")
    // It has gone, and the file is not ours: that fences no node.
    #expect(shared.perform("stop") == Outcome(.success))
    #expect(shared.machine.files.text(at: "/run/xl2tpd.pid") == "\(other.pid)")
    #expect(shared.machine.processes.signals.isEmpty)
  }

  @Test(arguments: ["", "\n", "-1", "0", "1x", "99999999999999999999", "\u{0}\u{1}", String(repeating: "7", count: 100_000)])
  func aPIDFileOfNonsenseIsRemoved(content: String) {
    let node = L2TPGateway()
    node.machine.files.put(content, at: "/run/xl2tpd.pid")
    #expect(node.perform("monitor").status == .notRunning)
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.machine.files.nodes["/run/xl2tpd.pid"] == nil)
    node.machine.files.put(content, at: "/run/xl2tpd.pid")
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.machine.processes.signals.isEmpty)
  }

  /// What the configuration said is gone; whose the sessions are, their daemon still knows.
  @Test(arguments: [nil, "[global\n"]) func stopNeedsNoConfiguration(text: String?) {
    for clone in [false, true] {
      let node = L2TPGateway()
      let daemon = node.running(sessions: 2)
      if clone { #expect(node.perform("promote", clone: true) == Outcome(.success)) }
      if let text { node.machine.files.put(text, at: "/etc/xl2tpd/xl2tpd.conf") } else { node.machine.files.nodes["/etc/xl2tpd/xl2tpd.conf"] = nil }
      for program in ["/usr/sbin/xl2tpd", "/usr/sbin/pppd"] { node.machine.files.nodes[program] = nil }
      // The daemon tells them and leaves its pppds behind.
      node.machine.processes.reactions[daemon.pid] = { [unowned node] _ in node.gone(daemon) }
      #expect(node.perform("stop", clone: clone) == Outcome(.success))
      #expect(node.machine.processes.table.isEmpty)
    }
  }

  @Test func aPipeThatAnotherAgentKeepsIsNoHungDaemon() {
    let node = L2TPGateway()
    node.running()
    node.machine.files.lockedElsewhere = [L2TPGateway.control + ".lock"]
    #expect(
      node.perform("monitor")
        == Outcome(
          .genericError,
          "/run/xl2tpd/l2tp-control.lock is held by another program, so /run/xl2tpd/l2tp-control cannot be asked"))
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.machine.processes.table.isEmpty)
  }

  @Test func whatIsNoPipeIsNamed() {
    let node = L2TPGateway()
    node.running()
    node.machine.files.put("a plain file", at: L2TPGateway.control)
    let outcome = node.perform("monitor")
    #expect(outcome.status == .genericError && outcome.reason?.contains(L2TPGateway.control) == true, "\(outcome)")
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.machine.processes.table.isEmpty && node.machine.files.nodes[L2TPGateway.control] == nil)
  }

  @Test func everythingButStopOfAHungDaemonFails() {
    for (action, clone) in [("monitor", false), ("promote", true), ("reload-agent", true)] {
      let node = L2TPGateway()
      node.running(sessions: 1)
      node.behaviour = .hangs
      let before = node.machine.clock.now
      let outcome = node.perform(action, clone: clone)
      #expect(outcome.status == .genericError && outcome.reason?.contains("xl2tpd hangs: ") == true, "\(action): \(outcome)")
      #expect(node.machine.clock.now - before <= .seconds(4))
    }
  }

  @Test func aDaemonThatEndsAtOnceEndsTheStartAtOnce() {
    let node = L2TPGateway()
    node.behaviour = .exits
    let before = node.machine.clock.now
    let outcome = node.perform("start")
    #expect(outcome == Outcome(.genericError, "starting xl2tpd: it exited at once; its log says why (journalctl -t xl2tpd)"))
    #expect(node.machine.clock.now - before < .milliseconds(100))
  }

  @Test(arguments: [L2TPGateway.Behaviour.neverReady, .hangs, .deafToClients])
  func aDaemonThatIsNotReadyIsTakenBackWithTheReason(behaviour: L2TPGateway.Behaviour) {
    let node = L2TPGateway()
    node.behaviour = behaviour
    let before = node.machine.clock.now
    let outcome = node.perform("start")
    #expect(outcome.status == .genericError && outcome.reason?.contains("is not ready in time (") == true, "\(outcome)")
    #expect(node.machine.clock.now - before < .seconds(20))
    #expect(node.machine.processes.table.isEmpty)
  }

  // MARK: Monitoring

  @Test func hungIsFailedInsideTheDeadline() {
    let node = L2TPGateway()
    node.running()
    node.behaviour = .hangs
    let before = node.machine.clock.now
    let outcome = node.perform("monitor")
    #expect(outcome.status == .genericError && outcome.reason?.hasPrefix("xl2tpd hangs: ") == true, "\(outcome)")
    #expect(node.machine.clock.now - before <= .seconds(4))
  }

  /// One loop that starts pppds in a storm of returning clients; 9 for it would have everybody dial in once more.
  @Test(arguments: [true, false]) func aDaemonThatIsAtWorkIsAskedOnceMore(_ comesBack: Bool) {
    let node = L2TPGateway()
    node.running()
    node.behaviour = .hangs
    for second in 1...18 {
      node.machine.clock.after(.seconds(second)) {
        node.machine.processes.table[0].processorTime += 8
        if comesBack, second == 6 { node.behaviour = .serves }
      }
    }
    let before = node.machine.clock.now
    let outcome = node.perform("monitor")
    #expect(comesBack ? outcome == Outcome(.success) : outcome.status == .genericError, "\(outcome)")
    #expect(node.machine.clock.now - before <= .seconds(18))
    #expect(node.machine.log.lines.contains { $0.level == .warning && $0.message.contains("is at work and has not answered for 4 s") })
  }

  @Test func suspendedIsFailedUnlessItAnswers() {
    let node = L2TPGateway()
    let process = node.running()
    node.machine.processes.table[0].state = "t"
    #expect(node.perform("monitor") == Outcome(.success))
    node.behaviour = .hangs
    let before = node.machine.clock.now
    #expect(node.perform("monitor") == Outcome(.genericError, "xl2tpd (pid \(process.pid)) is suspended (SIGSTOP)"))
    #expect(node.machine.clock.now - before <= .seconds(4))
  }

  @Test func deafToClientsIsSeenAtLevelTen() {
    let node = L2TPGateway()
    node.running()
    node.behaviour = .deafToClients
    #expect(node.perform("monitor") == Outcome(.success))
    let outcome = node.perform("monitor", level: 10)
    #expect(outcome.status == .genericError && outcome.reason?.hasPrefix("asking for a tunnel on 203.0.113.50") == true)
    // In a storm of returning clients: a move would have all of them dial in again.
    for second in 1...18 { node.machine.clock.after(.seconds(second)) { node.machine.processes.table[0].processorTime += 8 } }
    let busy = node.perform("monitor", level: 10)
    #expect(busy.status == .success && busy.reason?.hasPrefix("xl2tpd is busy with other clients: asking for a tunnel on 203.0.113.50") == true, "\(busy)")
    node.machine.sockets.filters[8] = TunnelGate.filter
    #expect(node.perform("monitor", clone: true, level: 10) == Outcome(.success))
  }

  @Test func boundElsewhereOrTwiceIsFailed() {
    let node = L2TPGateway()
    node.running()
    node.machine.sockets.listeners[1701] = []
    #expect(node.perform("monitor") == Outcome(.genericError, "xl2tpd is not bound to 203.0.113.50 port 1701"))
    let other = node.machine.processes.appear(L2TPGateway.program, ["-c", "/etc/other.conf"])
    node.machine.sockets.listeners[1701] = [UDPListener(L2TPGateway.vip, inode: 1), UDPListener(L2TPGateway.vip, inode: 2)]
    #expect(node.perform("monitor") == Outcome(.success))
    #expect(
      node.perform("monitor", level: 10)
        == Outcome(
          .genericError, "2 programs are bound to 203.0.113.50 port 1701 (another xl2tpd: pid \(other.pid))"))
  }

  /// A tunnel's own socket, between its bind and its connect; and a list that misses ours while others end.
  @Test(arguments: [true, false]) func whatIsSeenForAMomentIsNoFailure(isMore: Bool) {
    let node = L2TPGateway()
    node.running()
    let own = node.machine.sockets.listeners[1701] ?? []
    node.machine.sockets.listeners[1701] = isMore ? own + [UDPListener(L2TPGateway.vip, inode: 99)] : []
    node.machine.clock.after(.milliseconds(20)) { node.machine.sockets.listeners[1701] = own }
    #expect(node.perform("monitor", level: 10) == Outcome(.success))
  }

  @Test func anotherConfigurationIsNotOurs() {
    let node = L2TPGateway()
    node.machine.processes.appear(L2TPGateway.program, ["-c", "/etc/other.conf"])
    #expect(node.perform("monitor").status == .notRunning)
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.machine.processes.table.count == 1)
  }

  @Test func orphansOfADeadDaemonAreADoubtAndStopEndsThem() {
    let node = L2TPGateway()
    let pppoe = node.machine.processes.appear("/usr/sbin/pppd", ["plugin", "rp-pppoe.so", "file", "/etc/ppp/options.dsl"])
    node.gone(node.running(sessions: 2))
    #expect(node.perform("monitor") == Outcome(.genericError, "xl2tpd is gone and 2 pppd of its sessions are left"))
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.machine.processes.table == [pppoe])
    #expect(node.perform("monitor").status == .notRunning)
  }

  @Test func orphansBesideALivingDaemonAreDegraded() {
    let node = L2TPGateway()
    let daemon = node.running()
    // A session, and the child that is about to run its script.
    node.pppd(of: node.pppd(of: daemon))
    #expect(node.perform("monitor", level: 10) == Outcome(.success))
    node.machine.processes.appear("/usr/sbin/pppd", ["file", "/etc/ppp/options.xl2tpd"])
    #expect(node.perform("monitor") == Outcome(.success))
    #expect(node.perform("monitor", level: 10) == Outcome(.success, "1 pppd of an earlier xl2tpd are left"))
  }

  /// A full file system says nothing of the daemon: clients are served.
  @Test func anAnswerThatThereIsNoRoomForIsNoFailure() {
    let node = L2TPGateway()
    node.running()
    node.isFull = true
    #expect(node.perform("monitor") == Outcome(.success))
    let outcome = node.perform("monitor", level: 10)
    #expect(outcome.status == .success && outcome.reason?.hasSuffix("the answer is empty; is the file system full?") == true, "\(outcome)")
    #expect(node.perform("stop") == Outcome(.success))
  }

  @Test func theDescriptorLimitIsForeseen() {
    let node = L2TPGateway()
    node.running()
    node.tunnels = 451
    node.knowsCalls = false
    let outcome = node.perform("monitor", level: 10)
    #expect(outcome == Outcome(.success, "451 tunnels with 451 calls: xl2tpd aborts at 1024 descriptors"))
  }

  /// Nothing that grows with tunnels, sockets or addresses of the node.
  @Test func healthyMonitorListsNothing() {
    let node = L2TPGateway()
    #expect(node.perform("start") == Outcome(.success))
    node.machine.calls.reset()
    #expect(node.perform("monitor") == Outcome(.success))
    for list in ["network.holders", "network.links", "sockets.udpListeners(", "processes.running", "files.entries"] {
      #expect(!node.machine.calls.all.contains { $0.description.hasPrefix(list) }, "\(list)")
    }
  }

  @Test func healthyMonitorChangesNothingAndForksNothing() {
    let node = L2TPGateway()
    node.running()
    node.machine.calls.reset()
    #expect(node.perform("monitor", clone: true) == Outcome(.success))
    #expect(
      node.machine.calls.changes.allSatisfy { $0.hasPrefix("files.lock") || $0.contains("eply") || $0.hasPrefix("files.send") })
    #expect(node.machine.processes.ran.isEmpty && node.machine.cluster.scoresSet.isEmpty)
  }

  // MARK: Roles

  @Test func promoteIsAnsweredThenRecorded() {
    let node = L2TPGateway(hasAddress: false)
    #expect(node.perform("start", clone: true) == Outcome(.success))
    #expect(
      node.perform("promote", clone: true) == Outcome(.genericError, "promoting: 203.0.113.50 is not on this node"))
    node.machine.network.hold(InterfaceAddress(L2TPGateway.vip, prefixLength: 24, link: 2))
    let before = node.machine.clock.now
    #expect(node.perform("promote", clone: true) == Outcome(.success))
    #expect(node.machine.clock.now == before)
    #expect(node.perform("monitor", clone: true).status == .runningPromoted)
    #expect(node.perform("monitor", clone: true, level: 10).status == .runningPromoted)
    node.loseAddress()
    #expect(
      node.perform("monitor", clone: true) == Outcome(.failedPromoted, "promoted, and 203.0.113.50 is not on this node"))
  }

  @Test func aDeafDaemonIsNotPromoted() {
    let node = L2TPGateway()
    node.running()
    node.behaviour = .deafToClients
    #expect(node.perform("promote", clone: true).status == .genericError)
    #expect(node.perform("monitor", clone: true) == Outcome(.success))
  }

  @Test func anotherInstanceOfTheDaemonIsUnpromoted() {
    let node = L2TPGateway()
    let first = node.running()
    #expect(node.perform("promote", clone: true) == Outcome(.success))
    node.gone(first)
    node.running()
    #expect(node.perform("monitor", clone: true) == Outcome(.success))
  }

  @Test func promotedAndHungIsNine() {
    let node = L2TPGateway()
    node.running()
    #expect(node.perform("promote", clone: true) == Outcome(.success))
    node.behaviour = .hangs
    #expect(node.perform("monitor", clone: true).status == .failedPromoted)
  }

  @Test func demoteTellsEveryPeerAndLeavesAFreshDaemon() {
    let node = L2TPGateway()
    let first = node.running(sessions: 3)
    #expect(node.perform("promote", clone: true) == Outcome(.success))
    #expect(node.perform("demote", clone: true) == Outcome(.success))
    #expect(node.farewells == 3)
    #expect(node.machine.processes.table.map(\.executable) == [L2TPGateway.program])
    #expect(node.machine.processes.table[0].pid != first.pid)
    #expect(node.perform("monitor", clone: true) == Outcome(.success))
    #expect(node.perform("demote", clone: true) == Outcome(.success))
    #expect(node.machine.processes.launched.count == 1)
  }

  @Test func demoteGivesAHungDaemonUp() {
    let node = L2TPGateway()
    node.running(sessions: 2)
    #expect(node.perform("promote", clone: true) == Outcome(.success))
    node.behaviour = .hangs
    let before = node.machine.clock.now
    // Two seconds to notice, two to give up; then the socket dies with its daemon, and the fresh one is well.
    node.machine.clock.after(.milliseconds(4100)) { [unowned node] in node.machine.sockets.listeners[1701] = [] }
    node.machine.processes.launches[L2TPGateway.program] = { [unowned node] command in
      node.behaviour = .serves
      return node.running()
    }
    #expect(node.perform("demote", clone: true) == Outcome(.success))
    #expect(node.machine.clock.now - before < .seconds(8))
    #expect(node.machine.processes.table.map(\.executable) == [L2TPGateway.program])
  }

  // MARK: Stopping

  @Test func stopSaysGoodbyeOnlyWhereItServes() {
    let plain = L2TPGateway()
    plain.running(sessions: 2)
    #expect(plain.perform("stop") == Outcome(.success))
    #expect(plain.farewells == 2)

    let standby = L2TPGateway()
    standby.running(sessions: 2)
    #expect(standby.perform("stop", clone: true) == Outcome(.success))
    #expect(standby.farewells == 0)
    #expect(standby.machine.processes.signals.map(\.signal).contains(.terminate))

    let promoted = L2TPGateway()
    promoted.running(sessions: 2)
    #expect(promoted.perform("promote", clone: true) == Outcome(.success))
    #expect(promoted.perform("stop", clone: true) == Outcome(.success))
    #expect(promoted.farewells == 2)
  }

  @Test func aHungDaemonIsKilledAndItsSessionsEnd() {
    let node = L2TPGateway()
    node.running(sessions: 2)
    node.behaviour = .hangs
    let stubborn = node.machine.processes.table[1]
    node.machine.processes.makeStubborn(stubborn)
    let before = node.machine.clock.now
    #expect(node.perform("stop", ["drain_timeout": "2"]) == Outcome(.success))
    #expect(node.machine.clock.now - before < .seconds(8))
    #expect(node.machine.processes.table.isEmpty)
    #expect(node.machine.files.nodes["/run/xl2tpd.pid"] == nil && node.machine.files.nodes[L2TPGateway.control] == nil)
  }

  /// pppd takes its interface down and reports to RADIUS first; the rest, telling a peer that has been told, is cut short.
  @Test(arguments: [false, true]) func aSessionIsGivenTimeAsLongAsItsInterfaceIsUp(isDown: Bool) {
    let node = L2TPGateway()
    node.running(sessions: 1)
    let pppd = node.machine.processes.table[1]
    node.machine.processes.makeStubborn(pppd)
    node.behaviour = .hangs
    node.machine.files.put("\(pppd.pid)\n", at: "/run/ppp0.pid")
    node.machine.files.put("4711\n", at: "/run/ppp1.pid")
    node.machine.network.all.append(Link(index: 9, name: "ppp0", isUp: !isDown, kind: "ppp"))
    node.machine.network.all.append(Link(index: 10, name: "ppp1", isUp: true, kind: "ppp"))
    let before = node.machine.clock.now
    #expect(node.perform("stop", ["drain_timeout": "5"]) == Outcome(.success))
    let took = node.machine.clock.now - before
    // Two seconds for the daemon, the rest for its session.
    #expect(isDown ? took < .seconds(3) : took >= .seconds(5) && took < .seconds(6))
    #expect(node.machine.processes.table.isEmpty)
    #expect(node.machine.files.nodes["/run/ppp0.pid"] == nil && node.machine.files.nodes["/run/ppp1.pid"] != nil)
  }

  @Test func aSuspendedDaemonStillSaysGoodbye() {
    let node = L2TPGateway()
    node.running(sessions: 1)
    node.machine.processes.table[0].state = "T"
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.machine.processes.signals.prefix(1).map(\.signal) == [.interrupt])
    #expect(node.machine.processes.table.isEmpty)
  }

  @Test func whatCannotBeKilledIsAFailedStop() {
    let node = L2TPGateway()
    let process = node.running()
    node.behaviour = .hangs
    node.machine.processes.unkillable = [process.pid]
    let outcome = node.perform("stop")
    #expect(outcome.status == .genericError && outcome.reason?.contains("pid \(process.pid)") == true)
  }

  @Test func stopOfNothingIsDone() {
    let node = L2TPGateway()
    for path in node.machine.files.nodes.keys { node.machine.files.nodes[path] = nil }
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.perform("monitor", interval: 0).status == .notRunning)
  }

  // MARK: An error at every call

  /// Whatever call fails: one reason, no daemon taken for stopped, nothing left that was started.
  @Test(arguments: [Errno.io, .accessDenied, .noSuchFile, .timedOut]) func everyCallMayFail(errno: Errno) {
    for (action, clone) in [("start", false), ("start", true)] {
      node(errno) { _ in
      } act: {
        $0.perform(action, clone: clone)
      } check: { failed, outcome, node in
        #expect([.success, .genericError, .invalidHere, .notInstalled, .insufficientPrivileges].contains(outcome.status), "\(failed): \(outcome)")
        if outcome.status != .success {
          #expect(outcome.reason?.isEmpty == false, "\(failed)")
          #expect(node.machine.processes.table.isEmpty, "\(action) left a daemon after \(failed): \(outcome)")
        }
      }
    }
    for clone in [false, true] {
      node(errno) { node in
        node.running(sessions: 1)
        if clone { node.machine.sockets.filters[8] = TunnelGate.filter }
      } act: {
        $0.perform("monitor", clone: clone, level: 10)
      } check: { failed, outcome, _ in
        #expect([.success, .genericError].contains(outcome.status), "\(failed): \(outcome)")
      }
    }
    node(errno) { node in
      node.running(sessions: 1)
      _ = node.perform("promote", clone: true)
    } act: {
      $0.perform("monitor", clone: true, level: 10)
    } check: { failed, outcome, _ in
      #expect(outcome.status != .notRunning, "\(failed): \(outcome)")
    }
  }

  /// A stop that fails anywhere ends what it can, and another one finishes the work.
  @Test(arguments: [false, true]) func everyCallOfStopAndDemoteMayFail(clone: Bool) {
    for action in clone ? ["stop", "demote"] : ["stop"] {
      node(.io) { node in
        node.running(sessions: 2)
        if clone { _ = node.perform("promote", clone: true) }
      } act: {
        $0.perform(action, clone: clone)
      } check: { failed, outcome, node in
        if outcome.status != .success { #expect(outcome.reason?.isEmpty == false, "\(failed)") }
        node.machine.calls.reset()
        #expect(node.perform("stop", clone: clone) == Outcome(.success), "after \(action) failed at \(failed)")
        #expect(node.machine.processes.table.isEmpty, "\(failed)")
      }
    }
  }

  private func node(
    _ errno: Errno, _ prepare: (L2TPGateway) -> Void, act: (L2TPGateway) -> Outcome,
    check: (Calls.Call, Outcome, L2TPGateway) -> Void
  ) {
    var current = L2TPGateway()
    let forced = InMemoryMachine.failingEveryCall(with: errno) {
      current = L2TPGateway()
      prepare(current)
      return current.machine
    } _: { _ in
      act(current)
    } check: { failed, outcome, _ in
      check(failed, outcome, current)
    }
    #expect(forced > 5)
  }
}
