import ConntrackSync
import Daemon
import Host
import HostTestKit
import OCF
import Testing

@testable import ConntrackdAgent

/// A node with conntrackd, as far as its agent can tell.
final class SyncGateway {
  static let program = "/usr/sbin/conntrackd"
  static let config = "/etc/conntrackd/conntrackd.conf"
  static let socket = "/run/conntrackd.ctl"
  static let lock = "/run/lock/conntrackd.lock"
  static let configuration = """
    General {
      HashSize 8192
      LockFile \(lock)
      UNIX { Path \(socket) }
    }
    Sync {
      Mode FTFW { }
      UDP { Port 3780 Interface eth1 }
    }
    """

  let machine = InMemoryMachine(links: [Link(index: 2, name: "eth1", isUp: true, hasCarrier: true)])
  var exitsAtOnce = false
  var hangs = false
  /// What it has begun with, and does not come to the end of.
  var busyWith: ConntrackSocket.Request?
  var silent = false
  var external: UInt64 = 0
  /// Flows that a commit brings into the kernel, of those in the external cache.
  var commits: (UInt64) -> UInt64 = { $0 }
  var refusesFlush = false
  var hasExternalCache = true
  /// Arrivals from the peer, one a look.
  var arriving: UInt64 = 0
  var created: UInt64 = 40
  var received: UInt64 = 10
  var lost: UInt64 = 0
  var malformed: UInt64 = 0
  var link = "RUNNING"
  /// Of a second link, nil where there is none.
  var spareLink: String?
  /// What a dump of the kernel's table brings into the internal cache; nil: what was there.
  var inKernel: UInt64?
  private var active: UInt64?
  var waiting: UInt64 = 0
  private(set) var requests: [ConntrackSocket.Request] = []
  /// Requests that matter, in order: no looking.
  var orders: [ConntrackSocket.Request] {
    requests.filter { ![.statistics, .links, .resendQueue].contains($0) }
  }

  init() {
    machine.files.putExecutable(Self.program)
    machine.files.put(Self.configuration, at: Self.config)
    machine.processes.launches[Self.program] = { [unowned self] command in launched(command) }
  }

  @discardableResult
  func running() -> Process { launched(Command(Self.program, ["-C", Self.config])) }

  private func launched(_ command: Command) -> Process {
    let process = machine.processes.appear(command.path, command.arguments)
    // The lock names nobody: a daemon that finds one goes away.
    if exitsAtOnce || machine.files.nodes[Self.lock] != nil {
      machine.processes.vanish(process.pid)
      return process
    }
    machine.files.put("", at: Self.lock)
    machine.files.nodes[Self.socket] = InMemoryFiles.Node([], .socket)
    listen(at: Self.socket)
    machine.processes.reactions[process.pid] = { [unowned self] _ in
      guard !hangs else { return }
      machine.files.nodes[Self.lock] = nil
      machine.files.nodes[Self.socket] = nil
      gone(process)
    }
    return process
  }

  func listen(at path: String) {
    machine.sockets.unix[path] = { [unowned self] in stream() }
  }

  /// A death without a last word: lock and socket file stay.
  func gone(_ process: Process) {
    machine.processes.vanish(process.pid)
    machine.sockets.unix[Self.socket] = nil
  }

  private func stream() -> ScriptedStream {
    machine.stream { [unowned self] unread in
      guard unread.count >= 4 else { return [] }
      let number = unread.prefix(4).reversed().reduce(0) { $0 << 8 | Int32($1) }
      unread.removeFirst(4)
      if hangs { return [.silence] }
      guard let request = ConntrackSocket.Request(rawValue: number) else { return [.closes] }
      requests.append(request)
      if busyWith == request { return [.silence] }
      return [.says(Array(answer(request).utf8)), .closes]
    }
  }

  private func answer(_ request: ConntrackSocket.Request) -> String {
    switch request {
    case .statistics:
      if silent { return "" }
      if arriving > 0 {
        arriving -= 1
        external += 1
      }
      let externalBlock =
        hasExternalCache
        ? "cache external:\ncurrent active connections:\t\t\(external)\nconnections created:\t\t\(external)\tfailed:\t\t0\n"
        : "external inject:\nconnections created:\t\t\(external)\tfailed:\t\t0\n"
      return """
        cache internal:
        current active connections:\t\t\(active ?? created)
        connections created:\t\t\(created)\tfailed:\t\t0

        \(externalBlock)
        UDP traffic (active device=eth1):
             0 Bytes sent      0 Bytes recv
             0 Pckts sent      \(received) Pckts recv
             0 Error send      0 Error recv

        message tracking:
             \(malformed) Malformed msgs      \(lost) Lost msgs

        """
    case .links:
      let spare = spareLink.map { "UDP traffic device=eth2 status=\($0) role=BACKUP:\n" } ?? ""
      return "\(spare)UDP traffic device=eth1 status=\(link) role=ACTIVE:\n"
    case .resendQueue: return "resent queue (len=\(waiting))\n"
    case .commit: created += hasExternalCache ? commits(external) : 0
    case .flush, .flushExternal: if !refusesFlush, hasExternalCache { external = 0 }
    case .kill, .sendBulk, .requestResync, .resetTimers, .queues, .runtime, .flushInternal: break
    case .resyncWithKernel: active = inKernel
    }
    return ""
  }

  func perform(
    _ action: String, _ parameters: [String: String] = [:], clone: Bool = true, level: Int = 0, interval: Int = 10_000,
    meta: [String: String] = [:]
  ) -> Outcome {
    var environment = [
      "OCF_RESOURCE_TYPE": "conntrackd", "OCF_RESOURCE_INSTANCE": "sync", "OCF_CHECK_LEVEL": "\(level)",
      "OCF_RESKEY_CRM_meta_timeout": "20000", "OCF_RESKEY_CRM_meta_interval": "\(interval)",
      "OCF_RESKEY_CRM_meta_on_node": "moon",
    ]
    if clone { environment["OCF_RESKEY_CRM_meta_promoted_max"] = "1" }
    for (name, value) in parameters { environment["OCF_RESKEY_\(name)"] = value }
    for (name, value) in meta { environment["OCF_RESKEY_CRM_meta_notify_\(name)"] = value }
    let request = Request(arguments: ["conntrackd", action], environment: environment)
    return OCF.perform(Conntrackd.self, request, on: machine.host, from: machine.clock.now)
  }
}

@Suite struct ConntrackdTests {
  // MARK: Starting and stopping

  /// `globally-unique=true`, typed and taken back: what ran meanwhile bears the member's number.
  @Test func whatAMemberRecordedUnderANumberIsItsOwn() {
    let node = SyncGateway()
    let process = node.running()
    let numbered = "/run/resource-agents/vpnha-conntrackd-sync:0.role"
    node.machine.files.put("Promoted \(process.pid) \(process.startTime)\n", at: numbered)
    // A monitor that was scheduled before looks, and leaves things as they are.
    #expect(node.perform("monitor").status == .success)
    #expect(node.machine.files.nodes[numbered] != nil)
    #expect(node.perform("monitor", interval: 0).status == .runningPromoted)
    #expect(node.machine.files.nodes[numbered] == nil)
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.machine.processes.signals.contains { $0.pid == process.pid })
    // Names that only look like it are another's.
    for name in ["sync:x", "synchronous:0", "other"] {
      let node = SyncGateway()
      let process = node.running()
      node.machine.files.put("Promoted \(process.pid) \(process.startTime)\n", at: "/run/resource-agents/vpnha-conntrackd-\(name).role")
      #expect(node.perform("monitor", interval: 0) == Outcome(.notRunning), "\(name)")
      #expect(node.machine.files.nodes["/run/resource-agents/vpnha-conntrackd-\(name).role"] != nil)
    }
  }

  @Test func theDaemonOfAnotherResourceIsLeftAlone() {
    let node = SyncGateway()
    let process = node.running()
    node.machine.files.put("Promoted \(process.pid) \(process.startTime)\n", at: "/run/resource-agents/vpnha-conntrackd-other.role")
    #expect(node.perform("monitor", interval: 0) == Outcome(.notRunning))
    #expect(node.perform("start") == Outcome(.genericError, "conntrackd (pid \(process.pid)) is resource other's, and each needs its own config"))
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.machine.processes.signals.isEmpty && node.machine.files.nodes[SyncGateway.socket] != nil)
    node.machine.files.nodes["/run/resource-agents/vpnha-conntrackd-other.role"] = nil
    #expect(node.perform("monitor", interval: 0).status == .success)
  }

  @Test func startAsksThePeerForWhatItKnows() {
    let node = SyncGateway()
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.machine.processes.launched.map(\.arguments) == [["-C", SyncGateway.config]])
    #expect(node.orders == [.requestResync])
    #expect(node.perform("monitor") == Outcome(.success))
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.machine.processes.launched.count == 1)
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.machine.processes.table.isEmpty)
    #expect(!node.machine.files.nodes.keys.contains { $0.hasPrefix("/run/resource-agents/") || $0 == SyncGateway.lock })
    #expect(node.perform("monitor").status == .notRunning)
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.machine.cluster.scoresSet.last == .some(nil))
  }

  @Test(arguments: [
    (SyncGateway.program, Status.notInstalled, "/usr/sbin/conntrackd is missing (package conntrackd)"),
    (SyncGateway.config, .genericError, "config: /etc/conntrackd/conntrackd.conf is missing"),
  ]) func whatIsMissingIsNamed(path: String, status: Status, reason: String) {
    let node = SyncGateway()
    node.machine.files.nodes[path] = nil
    #expect(node.perform("start") == Outcome(status, reason))
    #expect(node.perform("monitor", interval: 0).status == .notRunning)
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.perform("validate-all", clone: false) == Outcome(.success))
  }

  @Test(arguments: [
    ("Stats { LogFile on }", "config: /etc/conntrackd/conntrackd.conf has no Sync block, so conntrackd would replicate nothing"),
    ("Sync {", "config: /etc/conntrackd/conntrackd.conf line 1: '{' without '}'"),
  ]) func configurationsThatCannotServe(text: String, reason: String) {
    let node = SyncGateway()
    node.machine.files.put(text, at: SyncGateway.config)
    #expect(node.perform("start") == Outcome(.genericError, reason))
    #expect(node.perform("validate-all", level: 10) == Outcome(.genericError, reason))
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.machine.processes.launched.isEmpty)
  }

  /// What would keep a daemon from starting is said before, in the same words.
  @Test(
    arguments: [
      ("eth1", nil, nil), ("eth7", nil, "config: /etc/conntrackd/conntrackd.conf has a link over eth7, which is no interface of this node"),
      ("eth1", "/srv/other.conf", "/run/lock/conntrackd.lock: another conntrackd (pid 1001) has it, or the socket /run/conntrackd.ctl"),
    ] as [(String, String?, String?)])
  func validationSaysWhatAStartWould(interface: String, other: String?, reason: String?) {
    let node = SyncGateway()
    node.machine.files.put(SyncGateway.configuration.replacing("eth1", with: interface), at: SyncGateway.config)
    if let other {
      node.machine.files.put(SyncGateway.configuration, at: other)
      node.machine.processes.appear(SyncGateway.program, ["-C", other])
    }
    let outcome = reason.map { Outcome(.genericError, $0) } ?? Outcome(.success)
    #expect(node.perform("validate-all", level: 10) == outcome)
    #expect(node.perform("start") == outcome)
    #expect(node.perform("validate-all", level: 10) == outcome, "our own is no other")
  }

  @Test func anInterfaceThatIsMadeAtBootIsWaitedFor() {
    let node = SyncGateway()
    let links = node.machine.network.all
    node.machine.network.all = []
    node.machine.clock.after(.seconds(2)) { node.machine.network.all = links }
    #expect(node.perform("start") == Outcome(.success))
  }

  @Test func aBareNameIsLookedFor() {
    let node = SyncGateway()
    #expect(node.perform("start", ["binary": "conntrackd"]) == Outcome(.success))
    #expect(node.perform("start", ["binary": "sbin/conntrackd"]).status == .misconfigured)
  }

  @Test func anotherConfigurationIsNotOurs() {
    let node = SyncGateway()
    node.machine.processes.appear(SyncGateway.program, ["-C", "/etc/other.conf"])
    #expect(node.perform("monitor").status == .notRunning)
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.machine.processes.table.count == 1)
  }

  @Test func aLockThatAnotherDaemonHoldsStays() {
    let node = SyncGateway()
    node.machine.files.put(SyncGateway.configuration, at: "/etc/other.conf")
    let other = node.machine.processes.appear(SyncGateway.program, ["-C", "/etc/other.conf"])
    node.machine.files.put("", at: SyncGateway.lock)
    let outcome = node.perform("start")
    #expect(outcome.reason?.contains("another conntrackd (pid \(other.pid)) has it") == true, "\(outcome)")
    #expect(node.machine.files.nodes[SyncGateway.lock] != nil)
  }

  @Test func aStrangerOnOurSocketIsADoubt() {
    let node = SyncGateway()
    node.machine.files.nodes[SyncGateway.socket] = InMemoryFiles.Node([], .socket)
    node.listen(at: SyncGateway.socket)
    let outcome = node.perform("monitor")
    #expect(outcome.status == .genericError && outcome.reason?.contains("has the socket") == true)
  }

  // MARK: What was reproduced against the shell agent

  /// A crash or a power cut leaves the socket: monitor said 1, start failed, stop spun for ever.
  @Test func aStaleSocketIsNothing() {
    let node = SyncGateway()
    node.gone(node.running())
    node.machine.calls.fail("sockets.connect", with: .connectionRefused)
    #expect(node.perform("monitor").status == .notRunning)
    node.machine.calls.reset()
    #expect(node.perform("start") == Outcome(.success))
    node.gone(node.machine.processes.table[0])
    let before = node.machine.clock.now
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.machine.clock.now - before < .seconds(1))
    #expect(node.machine.files.nodes[SyncGateway.socket] == nil)
  }

  /// A lock without a daemon: start spun until it was killed.
  @Test func aStaleLockIsRemoved() {
    let node = SyncGateway()
    node.machine.files.put("", at: SyncGateway.lock)
    #expect(node.perform("start") == Outcome(.success))
  }

  /// A configuration the daemon refuses: start spun until it was killed.
  @Test func aDaemonThatEndsAtOnceEndsTheStartAtOnce() {
    let node = SyncGateway()
    node.exitsAtOnce = true
    let before = node.machine.clock.now
    #expect(node.perform("start") == Outcome(.genericError, "starting conntrackd: it exited at once; its log says why (journalctl -t conntrack-tools)"))
    #expect(node.machine.clock.now - before < .milliseconds(100))
  }

  /// Stop after a demote that was skipped: it waited for ever to be demoted.
  @Test func stopOfAPromotedOneStops() {
    let node = SyncGateway()
    node.running()
    #expect(node.perform("promote") == Outcome(.success))
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.perform("monitor").status == .notRunning)
  }

  /// The file is read by the daemon when it starts; what becomes of it afterwards is the next start's trouble.
  @Test(arguments: [("Sync {\n", "config: /etc/conntrackd/conntrackd.conf line 1: '{' without '}'"), (nil, "config: /etc/conntrackd/conntrackd.conf is missing")] as [(String?, String)])
  func aBrokenFileFailsNoRunningDaemon(text: String?, reason: String) {
    let node = SyncGateway()
    #expect(node.perform("start") == Outcome(.success))
    node.machine.files.nodes[SyncGateway.config] = text.map { InMemoryFiles.Node(Array($0.utf8)) }
    for level in [0, 10] { #expect(node.perform("monitor", level: level) == Outcome(.success, reason)) }
    for action in ["start", "promote"] { #expect(node.perform(action).status == .success) }
    #expect(node.perform("monitor") == Outcome(.runningPromoted, reason))
    #expect(node.perform("demote").status == .success)
    node.gone(node.machine.processes.table[0])
    #expect(node.perform("monitor").status == .notRunning)
    #expect(node.perform("start") == Outcome(.genericError, reason))
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.machine.files.nodes[SyncGateway.lock] == nil && node.machine.files.nodes[SyncGateway.socket] == nil)
    node.machine.files.put(SyncGateway.configuration, at: SyncGateway.config)
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.perform("monitor") == Outcome(.success))
  }

  /// Somebody else started the daemon, or /run was emptied, and then the file was broken: no reason to end a daemon that runs.
  @Test(arguments: [("Sync {\n", "config: /etc/conntrackd/conntrackd.conf line 1: '{' without '}'"), (nil, "config: /etc/conntrackd/conntrackd.conf is missing")] as [(String?, String)])
  func withoutARecordABrokenFileFailsNoRunningDaemon(text: String?, reason: String) {
    let node = SyncGateway()
    let process = node.running()
    node.machine.files.nodes[SyncGateway.config] = text.map { InMemoryFiles.Node(Array($0.utf8)) }
    // Where it listens nobody knows: not where it does by itself.
    for level in [0, 10] {
      #expect(node.perform("monitor", level: level) == Outcome(.success, "\(reason), and nobody knows where conntrackd (pid \(process.pid)) can be asked"))
    }
    #expect(node.requests.isEmpty)
    node.machine.files.nodes["/var/run/conntrackd.ctl"] = InMemoryFiles.Node([], .socket)
    node.listen(at: "/var/run/conntrackd.ctl")
    for level in [0, 10] { #expect(node.perform("monitor", level: level) == Outcome(.success, reason)) }
    for action in ["start", "promote"] { #expect(node.perform(action).status == .success) }
    #expect(node.perform("monitor") == Outcome(.runningPromoted, reason))
    #expect(node.perform("demote").status == .success)
    // Either cache may be the kernel's table.
    #expect(node.orders == [.commit, .resyncWithKernel, .sendBulk, .requestResync])
    node.hangs = true
    #expect(node.perform("monitor").status == .genericError)
    #expect(node.perform("stop") == Outcome(.success) && node.perform("monitor").status == .notRunning)
  }

  static let linked = SyncGateway.configuration.replacing("UDP {", with: "UDP { IPv4_address 10.77.0.1 IPv4_Destination_Address 10.77.0.2")

  /// With `ip_nonlocal_bind`, which xl2tpd's agent sets, conntrackd takes an address that is not here, and hears nobody.
  @Test(arguments: [("10.77.0.2", "config: exchange 10.77.0.1 and 10.77.0.2 in /etc/conntrackd/conntrackd.conf: the file is the other node's"), ("10.77.0.9", "config: 10.77.0.1 in /etc/conntrackd/conntrackd.conf is not on this node"), ("10.77.0.1", nil)])
  func theOtherNodesFileIsNamed(here: String, reason: String?) throws {
    let node = SyncGateway()
    node.machine.network.addresses = [InterfaceAddress(try #require(IPAddress(here)), prefixLength: 24, link: 2)]
    node.machine.files.put(Self.linked, at: SyncGateway.config)
    #expect(node.perform("validate-all", clone: false, level: 10) == (reason.map { Outcome(.genericError, $0) } ?? Outcome(.success)))
    #expect(node.perform("start") == (reason.map { Outcome(.genericError, $0) } ?? Outcome(.success)))
  }

  /// conntrackd's own words, which no reader of ours has to know the language for.
  @Test func whatTheProgramSaysOfTheFileIsARiskBeforeTheNextStart() {
    let node = SyncGateway()
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.perform("monitor", level: 10) == Outcome(.success))
    node.machine.processes.whenRun(SyncGateway.program) { _ in
      CommandResult(.exited(1), error: Array("[Sun Nov 29 08:36:52 2026] (pid=1303) [ERROR] parsing config file in line (2), symbol 'HashSise': syntax error\n".utf8))
    }
    node.machine.files.put(SyncGateway.configuration.replacing("HashSize", with: "HashSise"), at: SyncGateway.config)
    let reason = "config: /etc/conntrackd/conntrackd.conf line 2: syntax error at 'HashSise'"
    // The file has changed: the basic monitor looks at it, and again when it is mended.
    #expect(node.perform("monitor") == Outcome(.success, reason))
    #expect(node.perform("validate-all", clone: false, level: 10) == Outcome(.genericError, reason))
    node.machine.files.put(SyncGateway.configuration, at: SyncGateway.config)
    node.machine.processes.programs[SyncGateway.program] = nil
    #expect(node.perform("monitor") == Outcome(.success))
    #expect(node.machine.cluster.attributes["vpnha-risk-sync"] == nil)
  }

  @Test func aFileThatSaysSomethingElseThanAtTheStartCountsLater() throws {
    let node = SyncGateway()
    node.machine.network.addresses = [InterfaceAddress(try #require(IPAddress("10.77.0.1")), prefixLength: 24, link: 2), InterfaceAddress(try #require(IPAddress("10.77.0.5")), prefixLength: 24, link: 2)]
    node.machine.files.put(Self.linked, at: SyncGateway.config)
    #expect(node.perform("start") == Outcome(.success))
    node.machine.files.put(Self.linked.replacing("10.77.0.1", with: "10.77.0.5"), at: SyncGateway.config)
    #expect(node.perform("monitor", level: 10) == Outcome(.success, "config: /etc/conntrackd/conntrackd.conf has changed since conntrackd was started, and counts from its next start"))
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.perform("monitor", level: 10) == Outcome(.success))
  }

  /// Another socket in the file is for the next daemon; one that runs is asked where it listens.
  @Test func aFileForTheNextStartIsNotAboutThisDaemon() {
    let node = SyncGateway()
    #expect(node.perform("start") == Outcome(.success))
    node.machine.files.put(SyncGateway.configuration.replacing(SyncGateway.socket, with: "/run/other.ctl"), at: SyncGateway.config)
    #expect(node.perform("monitor") == Outcome(.success))
    // A daemon that somebody else started meanwhile has read that file.
    node.gone(node.machine.processes.table[0])
    node.machine.files.nodes[SyncGateway.lock] = nil
    node.running()
    node.machine.sockets.unix["/run/other.ctl"] = node.machine.sockets.unix[SyncGateway.socket]
    node.machine.sockets.unix[SyncGateway.socket] = nil
    #expect(node.perform("monitor") == Outcome(.success))
  }

  /// In a storm of new flows.
  @Test func aDaemonThatIsAtWorkIsAskedOnceMore() {
    let node = SyncGateway()
    node.running()
    node.hangs = true
    for second in 1...18 {
      node.machine.clock.after(.seconds(second)) {
        node.machine.processes.table[0].processorTime += 8
        if second == 4 { node.hangs = false }
      }
    }
    #expect(node.perform("monitor") == Outcome(.success))
  }

  /// The peer's promotion waits for the demotion, and for the bulk update.
  @Test(arguments: [false, true]) func aHungDaemonDoesNotHoldUpTheTakeOver(isSuspended: Bool) {
    let node = SyncGateway()
    node.running()
    #expect(node.perform("promote") == Outcome(.success))
    node.hangs = true
    if isSuspended { node.machine.processes.table[0].state = "T" }
    func time(_ action: String, _ status: Status, meta: [String: String] = [:]) -> Duration {
      let before = node.machine.clock.now
      #expect(node.perform(action, meta: meta).status == status)
      return node.machine.clock.now - before
    }
    #expect(time("notify", .success, meta: ["type": "pre", "operation": "promote", "promote_uname": "sun"]) <= .seconds(2))
    #expect(time("demote", .genericError) <= .seconds(2))
    #expect(time("stop", .success) <= .milliseconds(2500))
    #expect(node.machine.processes.table.isEmpty)
  }

  /// Without an external cache the kernel's table is the copy; without an internal one its flush is the kernel's.
  @Test(
    arguments: [
      ("DisableExternalCache On", [.commit, .resyncWithKernel, .sendBulk], [.requestResync]),
      ("DisableExternalCache On\nDisableInternalCache yes", [.commit, .resyncWithKernel, .sendBulk], [.requestResync]),
      ("DisableInternalCache On", [.commit, .flushExternal, .resyncWithKernel, .sendBulk], [.resetTimers, .requestResync]),
      ("", [.commit, .flush, .resyncWithKernel, .sendBulk], [.resetTimers, .requestResync]),
    ] as [(String, [ConntrackSocket.Request], [ConntrackSocket.Request])])
  func noStepEmptiesTheCopy(options: String, up: [ConntrackSocket.Request], down: [ConntrackSocket.Request]) {
    let node = SyncGateway()
    node.machine.files.put(SyncGateway.configuration.replacing("Mode FTFW { }", with: "Mode NOTRACK { \(options) }"), at: SyncGateway.config)
    node.hasExternalCache = !options.contains("External")
    node.running()
    #expect(node.perform("promote") == Outcome(.success))
    #expect(node.orders == up)
    #expect(node.perform("demote") == Outcome(.success))
    #expect(Array(node.orders.dropFirst(up.count)) == down)
  }

  /// The kernel's table is what a standby without an external cache has to show.
  @Test(
    arguments: [
      ("DisableExternalCache On", "5", "only 5 of the peer's 5000 flows are replicated here; requested a full resync"),
      ("DisableExternalCache On", "3000", "only 3000 of the peer's 5000 flows are replicated here; requested a full resync"),
      ("DisableExternalCache On", "9000", nil),
      // The peer's number is of everything in its table, replicated or not.
      ("DisableExternalCache On\nDisableInternalCache On", "5", "only 5 of the peer's 5000 flows are replicated here; requested a full resync"),
      ("DisableExternalCache On\nDisableInternalCache On", "3000", nil),
    ] as [(String, String, String?)])
  func aStandbyWithoutFlowsInItsTable(options: String, tracked: String, trouble: String?) {
    let node = SyncGateway()
    node.machine.files.put(SyncGateway.configuration.replacing("Mode FTFW { }", with: "Mode NOTRACK { \(options) }"), at: SyncGateway.config)
    node.hasExternalCache = false
    node.running()
    node.machine.files.kernelParameters["net.netfilter.nf_conntrack_count"] = tracked
    var outcomes: [Outcome] = []
    for round in 0..<2 {
      node.machine.cluster.peers["vpnha-flows-sync"] = ["sun": "5000 \(60 * round)"]
      node.machine.clock.sleep(until: node.machine.clock.now + .seconds(60))
      outcomes.append(node.perform("monitor", level: 10))
    }
    #expect(outcomes == [Outcome(.success), trouble.map { Outcome(.success, $0) } ?? Outcome(.success)])
    // A standby that has next to nothing is the last to be promoted.
    #expect((node.machine.cluster.scoresSet.last == 5) == (tracked == "5"), "\(node.machine.cluster.scoresSet)")
  }

  /// What another's arguments name may be a device, and is no reason not to start.
  @Test(arguments: [FileStatus.Kind.fifo, .other, .directory]) func whatOthersNameMayBeNoFile(kind: FileStatus.Kind) {
    let node = SyncGateway()
    node.machine.files.nodes["/tmp/theirs"] = InMemoryFiles.Node(Array(SyncGateway.configuration.utf8), kind)
    node.machine.processes.appear(SyncGateway.program, ["-C", "/tmp/theirs"])
    node.machine.files.put("", at: SyncGateway.lock)
    #expect(node.perform("start") == Outcome(.success))
  }

  @Test func aDirectoryInTheLocksPlace() {
    let node = SyncGateway()
    node.machine.files.nodes[SyncGateway.lock] = InMemoryFiles.Node([], .directory)
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.perform("stop") == Outcome(.success))
    node.machine.files.nodes[SyncGateway.lock] = InMemoryFiles.Node([], .directory)
    node.machine.files.put("", at: SyncGateway.lock + "/file")
    node.machine.files.nodes["/run/lock/."] = InMemoryFiles.Node([], .directory, mode: 0o1777)
    let outcome = node.perform("start")
    #expect(outcome.status == .genericError)
    #expect(outcome.reason?.contains("set LockFile to a path such as /run/conntrackd.lock: every user may write to /run/lock") == true, "\(outcome)")
    #expect(node.perform("stop") == Outcome(.success))
  }

  /// Notes are hints: that they cannot go is no reason to fence a node.
  @Test(arguments: ["sample", "settings"]) func aNoteThatCannotGoFailsNoStop(note: String) {
    let node = SyncGateway()
    node.running()
    _ = node.perform("monitor", level: 10)
    node.machine.calls.fail("files.remove(/run/resource-agents/vpnha-conntrackd-sync.\(note))", with: .readOnly)
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.machine.processes.table.isEmpty)
  }

  /// Promoted and hung was 8, healthy; and a client without a deadline hung with the daemon.
  @Test func hungIsFailedInsideTheDeadline() {
    let node = SyncGateway()
    let process = node.running()
    node.hangs = true
    let before = node.machine.clock.now
    let outcome = node.perform("monitor")
    #expect(outcome.status == .genericError && outcome.reason?.hasPrefix("conntrackd (pid \(process.pid)) hangs") == true)
    #expect(node.machine.clock.now - before <= .seconds(4))
    node.hangs = false
    #expect(node.perform("promote") == Outcome(.success))
    node.hangs = true
    #expect(node.perform("monitor").status == .failedPromoted)
    let stopping = node.machine.clock.now
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.machine.clock.now - stopping < .seconds(5))
    #expect(node.machine.processes.table.isEmpty)
  }

  /// A commit that failed left the node promoted.
  @Test func aFailedCommitLeavesItUnpromoted() {
    let node = SyncGateway()
    node.running()
    node.external = 10
    node.commits = { _ in 0 }
    #expect(
      node.perform("promote") == Outcome(.genericError, "committing the peer's flows: 0 of 10 reached the kernel"))
    #expect(node.perform("monitor") == Outcome(.success))
    #expect(!node.machine.cluster.scoresSet.contains(100))
    #expect(node.orders == [.commit])
  }

  /// Without notify or clone attributes stop and validate-all were misconfigured.
  @Test func cloneAttributesAreNotNeeded() {
    let node = SyncGateway()
    #expect(node.perform("validate-all", clone: false) == Outcome(.success))
    #expect(node.perform("start", clone: false) == Outcome(.success))
    #expect(node.perform("demote", clone: false) == Outcome(.success))
    #expect(node.perform("promote", clone: false) == Outcome(.success))
    #expect(node.perform("promote", clone: false) == Outcome(.success))
    #expect(node.perform("monitor", clone: false).status == .runningPromoted)
    #expect(node.perform("demote", clone: false) == Outcome(.success))
    #expect(node.perform("demote", clone: false) == Outcome(.success))
    #expect(node.perform("stop", clone: false) == Outcome(.success))
    #expect(node.perform("demote", clone: false) == Outcome(.success))
  }

  /// The host's name was taken for the node's name, and no bulk update was sent.
  @Test func bulkUpdatesGoByTheClustersNames() {
    let node = SyncGateway()
    node.running()
    #expect(node.perform("promote") == Outcome(.success))
    let before = node.orders.count
    func notify(_ type: String, _ operation: String, _ names: String) {
      #expect(
        node.perform("notify", meta: ["type": type, "operation": operation, "\(operation)_uname": names]) == Outcome(.success))
    }
    notify("post", "start", "moon")
    notify("pre", "start", "sun")
    notify("post", "stop", "sun")
    notify("pre", "promote", " ")
    #expect(node.orders.count == before)
    notify("post", "start", "moon sun")
    #expect(node.orders.suffix(1) == [.sendBulk])
    notify("pre", "promote", "sun")
    #expect(node.orders.count == before + 2)
    #expect(node.perform("demote") == Outcome(.success))
    let demoted = node.orders.count
    notify("pre", "promote", "sun")
    #expect(node.orders.count == demoted)
    node.hangs = true
    notify("post", "start", "sun")
  }

  /// `UNIX` with its brace on the next line: monitor said 7 while the daemon ran.
  @Test func bracesOnTheNextLine() {
    let node = SyncGateway()
    node.machine.files.put(
      SyncGateway.configuration.replacing(" {", with: "\n{\n").replacing("}", with: "\n}\n# }\n"), at: SyncGateway.config)
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.perform("monitor") == Outcome(.success))
  }

  // MARK: Roles

  @Test func promoteCommitsThenFlushesResyncsAndTells() {
    let node = SyncGateway()
    node.running()
    node.external = 1000
    let before = node.machine.clock.now
    #expect(node.perform("promote") == Outcome(.success))
    #expect(node.machine.clock.now - before < .milliseconds(100))
    #expect(node.orders == [.commit, .flush, .resyncWithKernel, .sendBulk])
    #expect(node.created == 1040 && node.external == 0)
    #expect(node.perform("monitor").status == .runningPromoted)
    #expect(node.machine.cluster.scoresSet == [100])
  }

  /// It reads the kernel's whole table for this, and a large one takes long.
  @Test func promoteDoesNotWaitForTheResync() {
    let node = SyncGateway()
    node.running()
    node.busyWith = .resyncWithKernel
    let before = node.machine.clock.now
    #expect(node.perform("promote") == Outcome(.success))
    #expect(node.machine.clock.now - before < .milliseconds(100))
    #expect(node.orders.suffix(2) == [.resyncWithKernel, .sendBulk])
  }

  @Test func promoteWaitsForTheLastUpdates() {
    let node = SyncGateway()
    node.running()
    node.arriving = 4
    #expect(node.perform("promote") == Outcome(.success))
    #expect(node.created == 44)
  }

  @Test func promoteDoesNotWaitForEver() {
    let node = SyncGateway()
    node.running()
    node.arriving = .max
    let before = node.machine.clock.now
    _ = node.perform("promote")
    #expect(node.machine.clock.now - before < .seconds(3))
  }

  @Test func someFlowsMayBeRefused() {
    let node = SyncGateway()
    node.running()
    node.external = 10
    node.commits = { $0 - 1 }
    #expect(node.perform("promote") == Outcome(.success))
    #expect(node.machine.log.messages(from: .warning) == ["committing the peer's flows: 9 of 10 reached the kernel"])
  }

  /// Thousands of events overrun the daemon's socket: the kernel has the flows, and the counters have not.
  @Test func lostEventsAreNoFailedCommit() {
    let node = SyncGateway()
    node.running()
    node.external = 10_000
    node.commits = { _ in 150 }
    node.inKernel = 10_000
    #expect(node.perform("promote") == Outcome(.success))
    #expect(node.orders == [.commit, .resyncWithKernel, .flush, .resyncWithKernel, .sendBulk])

    let fresh = SyncGateway()
    fresh.running()
    fresh.external = 10_000
    fresh.commits = { _ in
      fresh.machine.files.kernelParameters["net.netfilter.nf_conntrack_count"] = "10007"
      return 0
    }
    fresh.machine.files.kernelParameters["net.netfilter.nf_conntrack_count"] = "7"
    #expect(fresh.perform("promote") == Outcome(.success))
    #expect(fresh.orders == [.commit, .flush, .resyncWithKernel, .sendBulk])
  }

  @Test func aRefusedFlushIsAWarning() {
    let node = SyncGateway()
    node.running()
    node.external = 10
    node.refusesFlush = true
    #expect(node.perform("promote") == Outcome(.success))
    #expect(node.machine.log.messages(from: .warning).count == 1)
  }

  /// A commit that somebody else asked for is running: a flush is refused, and nobody says so.
  @Test func aRefusedFlushIsAskedForAgain() {
    let node = SyncGateway()
    node.running()
    node.external = 10
    node.refusesFlush = true
    node.machine.clock.after(.milliseconds(700)) { node.refusesFlush = false }
    #expect(node.perform("promote") == Outcome(.success))
    #expect(node.external == 0 && node.machine.log.messages(from: .warning) == [])
    #expect(node.orders.suffix(2) == [.resyncWithKernel, .sendBulk])
  }

  /// Without an external cache there is nothing to commit, but the flush that a demote has scheduled is still called off.
  @Test func withoutAnExternalCache() {
    let node = SyncGateway()
    node.hasExternalCache = false
    node.external = 7
    node.running()
    #expect(node.perform("promote") == Outcome(.success))
    #expect(node.orders.first == .commit)
  }

  @Test func demoteSchedulesThePurgeAndPromoteCallsItOff() {
    let node = SyncGateway()
    node.running()
    #expect(node.perform("promote") == Outcome(.success))
    #expect(node.perform("demote") == Outcome(.success))
    #expect(node.orders.suffix(2) == [.resetTimers, .requestResync])
    #expect(node.perform("monitor") == Outcome(.success))
    #expect(node.perform("promote") == Outcome(.success))
    #expect(node.orders.suffix(4).first == .commit)
  }

  @Test(arguments: [false, true]) func theLogSaysWhatHappenedOnTheWayDown(hangs: Bool) {
    let node = SyncGateway()
    node.running()
    _ = node.perform("promote")
    _ = node.perform("demote")
    node.hangs = hangs
    #expect(node.perform("stop") == Outcome(.success))
    let said = node.machine.log.messages()
    #expect(said.contains("stepped back: the kernel's connections are flushed after PurgeTimeout, and the peer was asked for its own"))
    let ending = hangs ? "did not end in time and was killed" : "ended when it was asked to"
    #expect(said.contains("stopped: conntrackd \(ending); the kernel's connections stay as they are"), "\(said)")
  }

  @Test func anotherInstanceOfTheDaemonIsUnpromoted() {
    let node = SyncGateway()
    let first = node.running()
    #expect(node.perform("promote") == Outcome(.success))
    node.gone(first)
    node.machine.files.nodes[SyncGateway.lock] = nil
    node.running()
    #expect(node.perform("monitor") == Outcome(.success))
  }

  @Test func healthyMonitorChangesNothingAndForksNothing() {
    let node = SyncGateway()
    #expect(node.perform("start") == Outcome(.success))
    node.machine.calls.reset()
    let ran = node.machine.processes.ran.count
    #expect(node.perform("monitor") == Outcome(.success))
    #expect(node.machine.calls.changes == ["stream.write(4 bytes)"])
    #expect(node.machine.processes.ran.count == ran)
  }

  // MARK: Level 10

  @Test func aBrokenLinkIsDegradedAndRecovers() {
    let node = SyncGateway()
    node.running()
    node.link = "NO-CARRIER"
    #expect(node.perform("monitor") == Outcome(.success))
    #expect(node.perform("monitor", level: 10) == Outcome(.success, "the link to the peer over eth1 is NO-CARRIER"))
    _ = node.perform("promote")
    #expect(node.perform("monitor", level: 10).status == .runningPromoted)
    node.link = "RUNNING"
    node.received += 1
    #expect(node.perform("monitor", level: 10).status == .runningPromoted)
  }

  @Test(arguments: ["NO-CARRIER", "DOWN"]) func aSpareLinkThatIsDownIsSaidBeforeItIsNeeded(status: String) {
    let node = SyncGateway()
    node.running()
    node.spareLink = status
    #expect(node.perform("monitor", level: 10) == Outcome(.success, "the spare link to the peer over eth2 is \(status)"))
    // Whatever else is wrong is said first.
    node.malformed = 3
    #expect(node.perform("monitor", level: 10) == Outcome(.success, "3 malformed messages came in since the last look; and the spare link to the peer over eth2 is \(status)"))
    node.spareLink = "RUNNING"
    #expect(node.perform("monitor", level: 10) == Outcome(.success))
  }

  /// Two monitors, one of them without a role, look one right after the other. A burst of which the peer has not told yet is the
  /// same at both, and no mismatch; one that lasts is said, by both, and until it is over.
  @Test func looksInARowAreOneLook() {
    let node = SyncGateway()
    node.running()
    func look(after seconds: Int64, interval: Int = 61_000) -> Status {
      node.received += 60
      node.machine.clock.sleep(until: node.machine.clock.now + .seconds(seconds))
      return node.perform("monitor", level: 10, interval: interval).status
    }
    func twice() -> [Status] { [look(after: 60), look(after: 1, interval: 62_000)] }
    node.external = 1000
    node.machine.cluster.peers["vpnha-flows-sync"] = ["sun": "1000 1"]
    #expect(twice() == [.success, .success])
    node.external = 5000
    #expect(twice() == [.success, .success])
    node.machine.cluster.peers["vpnha-flows-sync"] = ["sun": "5000 2"]
    #expect(twice() == [.success, .success])
    node.external = 0
    #expect(twice() == [.success, .success])
    #expect(twice() == [.success, .success])
    #expect(look(after: 5, interval: 0) == .success)
    node.external = 5000
    #expect(twice() == [.success, .success])
    // By hand there is no interval.
    node.external = 0
    #expect((0..<5).allSatisfy { _ in look(after: 1, interval: 0) == .success })
  }

  @Test func lossSilenceAndLagAreDegradedOnce() {
    let node = SyncGateway()
    node.running()
    #expect(node.perform("monitor", level: 10) == Outcome(.success))
    func look() -> Outcome {
      node.machine.clock.sleep(until: node.machine.clock.now + .seconds(10))
      return node.perform("monitor", level: 10)
    }
    #expect(look() == Outcome(.success, "nothing was heard from the peer for 10 s"))
    node.received += 5
    #expect(look() == Outcome(.success))
    node.received += 5
    // A break that is over: what was lost has been sent again. A link that loses at every look is trouble.
    node.lost = 3
    #expect(look() == Outcome(.success))
    node.received += 5
    node.lost = 5
    #expect(look() == Outcome(.success, "2 messages of the peer were lost since the last look"))
    node.received += 5
    #expect(look() == Outcome(.success))
    node.received += 5
    node.waiting = 5000
    #expect(look() == Outcome(.success, "5000 messages wait for the peer, 0 at the last look"))
    node.received += 5
    #expect(look() == Outcome(.success))
  }

  @Test(arguments: ["", "1 2 3", "x y z a b c d", "1 2 3 4 5 6 7 8 9", "1 2 3 4 5 6 7 8 9 10 11 12", "1 2 3 4 5 6 7 8 9 10 11 12 -1", "1 2 3 4 5 6 7 18446744073709551615", "1001 -9223372036854775808 76 0 0 0 0 0"]) func damagedNotesAreNone(text: String) {
    let node = SyncGateway()
    node.running()
    node.machine.files.put(text, at: "/run/resource-agents/vpnha-conntrackd-sync.sample")
    node.machine.files.put(text, at: "/run/resource-agents/vpnha-conntrackd-sync.score")
    #expect(node.perform("monitor", level: 10) == Outcome(.success))
  }

  @Test func sampleReadsBack() throws {
    let statistics = try SyncStatistics("cache external:\ncurrent active connections:\t\t1\n")
    var sample = SyncSample(of: statistics, waiting: 9, daemon: 7, at: Instant(nanoseconds: 5_000_000_000))
    sample.lossSeen = 4
    #expect(SyncSample(sample.bytes) == sample)
    var compared = sample
    compared.comparison = Comparison(held: 1, promised: 2, edition: 3, since: 4, taken: 5)
    #expect(SyncSample(compared.bytes) == compared)
  }

  /// What the two say of each other at two looks, and what comes of it: a standby that was at `held` flows while the peer said
  /// `promised`. Bursts and what is on its way are no mismatch.
  @Test(
    arguments: [
      ([(0, 5000), (0, 5000)], "only 0 of the peer's 5000 flows are replicated here; requested a full resync"),
      ([(3900, 5000), (3900, 5000)], "only 3900 of the peer's 5000 flows are replicated here; requested a full resync"),
      ([(6400, 5000), (6400, 5000)], "6400 flows are here for the peer's 5000: conntrackd -f external, then conntrackd -n"),
      ([(4100, 5000), (4100, 5000)], nil), ([(5900, 5000), (5900, 5000)], nil),  // a fifth
      ([(0, 90), (0, 90)], nil), ([(90, 0), (90, 0)], nil),  // on their way
      ([(0, 5000), (4900, 5000)], nil), ([(4900, 5000), (0, 5000)], nil),  // at one look only
      ([(5000, 0), (5000, 5000)], nil), ([(1000, 1000), (5000, 1000)], nil), ([(5000, 5000), (5000, 100)], nil),  // a burst, and its end
      ([(1000, 1500), (1500, 2500), (2500, 4000), (4000, 7000)], nil),  // a rise that the other's word is ahead of
      ([(0, 5000), (0, 5000), (5000, 5000)], nil),  // and it is over
    ] as [([(UInt64, UInt64)], String?)]) func cachesAreCompared(looks: [(held: UInt64, promised: UInt64)], trouble: String?)
  {
    let node = SyncGateway()
    node.running()
    var outcome = Outcome(.success)
    var asked = false
    for (number, look) in looks.enumerated() {
      node.external = look.held
      node.received += 60
      node.machine.cluster.peers["vpnha-flows-sync"] = ["sun": "\(look.promised) \(60 * number)"]
      node.machine.clock.sleep(until: node.machine.clock.now + .seconds(60))
      outcome = node.perform("monitor", level: 10)
      if outcome.reason?.hasPrefix("only") == true { asked = true }
    }
    #expect(outcome == (trouble.map { Outcome(.success, $0) } ?? Outcome(.success)))
    #expect(node.orders.contains(.requestResync) == asked)
  }

  /// The peer's word is missing, is none, is old, or is the standby's and this node serves.
  @Test(arguments: ["", "5000", "5000 x", "-1 7", "5000 1 1", " "]) func whatThePeerDoesNotSayIsNoMismatch(word: String) {
    let node = SyncGateway()
    node.running()
    func look(_ seconds: Int64 = 60) -> Status {
      node.received += 60
      node.machine.clock.sleep(until: node.machine.clock.now + .seconds(seconds))
      return node.perform("monitor", level: 10).status
    }
    for _ in 0..<3 { #expect(look() == .success) }
    node.machine.cluster.peers["vpnha-flows-sync"] = ["sun": word]
    for _ in 0..<3 { #expect(look() == .success) }
    node.machine.cluster.peers["vpnha-flows-sync"] = ["sun": "5000 7"]
    #expect(look() == .success && look() == .success)
    // It has said nothing new for longer than it would.
    #expect(look(800) == .success && look() == .success)
    node.machine.cluster.peers["vpnha-flows-sync"] = ["sun": "5000 9"]
    #expect(look() == .success)
    #expect(node.perform("promote") == Outcome(.success))
    #expect(look() == .runningPromoted && look() == .runningPromoted)
    node.machine.cluster.isReachable = false
    #expect(look() == .runningPromoted)
  }

  /// It tells its own flows when they have changed, renews that now and then, and takes it back when it stops.
  @Test func theCountIsToldWhenItChanges() {
    let node = SyncGateway()
    node.running()
    let name = "vpnha-flows-sync"
    func look() -> String? {
      node.received += 60
      node.machine.clock.sleep(until: node.machine.clock.now + .seconds(60))
      _ = node.perform("monitor", level: 10)
      return node.machine.cluster.shared[name]?["moon"]
    }
    let first = look()
    #expect(first?.hasPrefix("40 ") == true)
    node.created = 60
    #expect(look() == first)
    node.created = 1000
    let second = look()
    #expect(second?.hasPrefix("1000 ") == true)
    #expect((0..<4).allSatisfy { _ in look() == second })
    let third = look()
    #expect(third != second && third?.hasPrefix("1000 ") == true)
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.machine.cluster.shared[name]?["moon"] == nil)
    #expect(node.machine.cluster.attributesSet.map(\.name) == [name])
  }

  // MARK: An error at every call

  @Test(arguments: [Errno.io, .accessDenied, .noSuchFile, .timedOut]) func everyCallMayFail(errno: Errno) {
    node(errno) { _ in
    } act: {
      $0.perform("start")
    } check: { failed, outcome, node in
      #expect([.success, .genericError, .notInstalled, .invalidHere, .insufficientPrivileges].contains(outcome.status), "\(failed): \(outcome)")
      if outcome.status != .success { #expect(outcome.reason?.isEmpty == false, "\(failed)") }
    }
    node(errno) {
      $0.running()
    } act: {
      $0.perform("monitor", level: 10)
    } check: { failed, outcome, _ in
      #expect([.success, .success, .genericError].contains(outcome.status), "\(failed): \(outcome)")
    }
    node(errno) { node in
      node.running()
      _ = node.perform("promote")
    } act: {
      $0.perform("monitor", level: 10)
    } check: { failed, outcome, _ in
      #expect(outcome.status != .notRunning, "\(failed): \(outcome)")
    }
    node(errno) { node in
      node.running()
      node.external = 5
    } act: {
      $0.perform("promote")
    } check: { failed, outcome, node in
      node.machine.calls.reset()
      let after = node.perform("monitor").status
      #expect(outcome.status == .success ? after == .runningPromoted : [.success, .runningPromoted].contains(after), "\(failed)")
    }
  }

  @Test func everyCallOfStopAndDemoteMayFail() {
    for action in ["stop", "demote"] {
      node(.io) { node in
        node.running()
        _ = node.perform("promote")
      } act: {
        $0.perform(action)
      } check: { failed, outcome, node in
        if outcome.status != .success { #expect(outcome.reason?.isEmpty == false, "\(failed)") }
        node.machine.calls.reset()
        #expect(node.perform("stop") == Outcome(.success), "after \(action) failed at \(failed)")
        #expect(node.machine.processes.table.isEmpty && node.machine.files.nodes[SyncGateway.lock] == nil, "\(failed)")
      }
    }
  }

  private func node(
    _ errno: Errno, _ prepare: (SyncGateway) -> Void, act: (SyncGateway) -> Outcome,
    check: (Calls.Call, Outcome, SyncGateway) -> Void
  ) {
    var current = SyncGateway()
    let forced = InMemoryMachine.failingEveryCall(with: errno) {
      current = SyncGateway()
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
