import Daemon
import Host
import L2TP
import OCF
import Sessions

/// xl2tpd, the server of L2TP tunnels and their PPP sessions.
///
/// Running means: a process of our binary and configuration whose loop turns, that is, which answers over its control pipe.
/// The daemon knows no roles and no way to refuse new tunnels; unpromoted is the same daemon, bound to an address that is
/// not there, and idle.
package struct XL2TPD: ResourceAgent {
  package init() {}

  package static let looksAgainWhileUnfit = true
  package static let judgesFiles = true
  package static let about = About(
    "L2TP server (xl2tpd)",
    """
    Keeps xl2tpd running: a process that answers over its control pipe and, where it serves, answers a request for a tunnel \
    on the virtual address. In a promotable clone the daemon runs on every node, bound to the address before it is there; \
    demote and stop of a serving daemon end every tunnel with a StopCCN, so that clients know at once, and leave no pppd of \
    ours behind. xl2tpd must be told the virtual address as listen-addr: bound to all addresses it would answer from \
    another one.
    """)

  package static let operations: [Operation] = [
    .start(timeout: 30), .stop(timeout: 40), .promote(timeout: 20), .demote(timeout: 40),
    .monitor(.promoted, every: 10, timeout: 20), .monitor(.unpromoted, every: 11, timeout: 20), .monitor(every: 12, timeout: 20),
    .monitor(.promoted, every: 60, timeout: 20, depth: .service),
    .monitor(.unpromoted, every: 61, timeout: 20, depth: .service), .monitor(every: 62, timeout: 20, depth: .service),
    .reloadAgent(timeout: 20), .validateAll(timeout: 20), .metaData(timeout: 5),
  ]

  @Parameter("The xl2tpd program") var binary: AbsolutePath = "/usr/sbin/xl2tpd"
  @Parameter(
    "xl2tpd's configuration file", "Its listen-addr must be the virtual address.", uniqueGroup: "config")
  var config: AbsolutePath = "/etc/xl2tpd/xl2tpd.conf"
  @Parameter("File for the daemon's process id", uniqueGroup: "pidfile") var pidfile: AbsolutePath = "/run/xl2tpd.pid"
  @Parameter(
    "xl2tpd's control pipe", "Its directory is made if it is missing.", uniqueGroup: "control")
  var control: AbsolutePath = "/run/xl2tpd/l2tp-control"
  @Parameter("xl2tpd's unit", "Used only where it is a native one, which Debian 12 does not have.", reloadable: true)
  var unit = "xl2tpd.service"
  @Parameter(
    "Who starts xl2tpd", "auto: the unit where systemd runs and the unit is native, else the agent itself.", reloadable: true)
  var launcher = Launcher.auto
  @Parameter(
    "Address that clients reach", "The virtual IPv4 address. The configuration's listen-addr when it is not set.")
  var address: IPAddress? = nil
  @Parameter(
    "Seconds for sessions to end",
    """
    How long clients may be told and pppd may take, when the daemon is demoted or stopped, to take interfaces down and to report \
    to RADIUS. At most half of the cluster's timeout: the rest is for what has to be killed, and for a fresh daemon.
    """,
    reloadable: true)
  var drainTimeout = 10
  @Parameter(
    "Whether to set net.ipv4.ip_nonlocal_bind in a promotable clone",
    "Without it the standby cannot bind the address before it is there.", reloadable: true)
  var nonlocalBind = true

  @Parameter(
    "User of the test account",
    """
    A monitor with check level 20 dials in as this user. The account wants a fixed address and no accounting. Where the server \
    does not answer, or gives no session though it took the account, the monitor fails. A refused account, one that gets no \
    address, a full pool, tunnel secrets, access lists, EAP and a silent RADIUS server say nothing about the clients that are \
    connected and are reported as a risk. To add such a monitor: pcs \
    resource op add xl2tpd monitor interval=5min role=Promoted timeout=40s OCF_CHECK_LEVEL=20
    """,
    reloadable: true)
  var testUser: String? = nil
  @Parameter(
    "Password of the test account", "Everybody who may read the cluster's configuration sees it: test_password_file keeps it secret.",
    reloadable: true)
  var testPassword: Secret? = nil
  @Parameter(
    "File with the password of the test account",
    "Its first line is the password; only root may read it (mode 0600). Counts more than test_password.", reloadable: true)
  var testPasswordFile: AbsolutePath? = nil

  @Parameter(
    "RADIUS accounting servers",
    """
    Addresses of servers that pppd reports sessions to. Before the first client comes in they are told that all earlier \
    sessions from the address are over (Accounting-On), which ends the accounts of those that a node took with it. Works \
    when pppd reports from the address on every node: bindaddr in the file that its radius plugin reads.
    """, reloadable: true)
  var radius: [IPAddress] = []
  @Parameter("The accounting servers' UDP port", reloadable: true) var radiusPort = UDPPort(1813)
  @Parameter(
    "File with the secret shared with the accounting servers",
    "Required with radius. Its first line is the secret; only root may read it.", reloadable: true)
  var radiusSecretFile: AbsolutePath? = nil
  @Parameter(
    "Name of the gateway in accounting", "As nas_identifier says in the file that pppd's radius plugin reads.", reloadable: true)
  var radiusNasIdentifier: String? = nil

  @Parameter(
    "Seconds that a monitor waits for events",
    """
    The recurring monitor of check level 0 waits so long after it has found all well, and returns at once when xl2tpd ends or an address changes. With an interval \
    of 1 s and a timeout of at least 20 s a failure is noticed within a tenth of a second. At most 8; 0: it does not wait.
    """, reloadable: true)
  package var watch: WatchTime = 0

  package func checkParameters() throws(OCFError) {
    if !radius.isEmpty, radiusSecretFile == nil { throw .misconfigured("radius_secret_file: is required with radius") }
    if let address, address.isIPv6 { throw .misconfigured("address: xl2tpd knows only IPv4, got \(address)") }
    if testUser != nil, testPassword == nil, testPasswordFile == nil {
      throw .misconfigured("test_password_file: it or test_password is required with test_user")
    }
  }

  // MARK: - Observing

  package func observe(_ call: Call) throws(OCFError) -> ResourceState {
    guard let process = try found(call) else {
      let orphans = try sessions(call).orphans(call)
      guard orphans.isEmpty else { return .failed("xl2tpd is gone and \(orphans.count) pppd of its sessions are left") }
      return .stopped
    }
    let isPromoted = try attempt("reading the role", try daemon.isPromoted(process, call))
    do throws(OCFError) {
      return try health(of: process, isPromoted: isPromoted, call)
    } catch {
      return .failed(error.reason, promoted: isPromoted)
    }
  }

  /// How a process that is ours is doing; throws what is wrong with it.
  private func health(of process: Process, isPromoted: Bool, _ call: Call) throws(OCFError) -> ResourceState {
    try checkLoop(of: process, call)
    let terms = terms(of: process, call)
    guard let address = terms.address, let port = terms.port else {
      if isPromoted, let address = terms.address, try !isHere(address, call) { throw .failed("promoted, and \(address) is not on this node") }
      return .atRisk("set address: \(config) cannot be read, and nothing else says where xl2tpd serves", promoted: isPromoted)
    }
    let listener = try ownSocket(of: process, on: address, port, call)
    let isHere = try isHere(address, call)
    if isPromoted, !isHere { throw .failed("promoted, and \(address) is not on this node") }
    let isShut = try isShut(process, listener, call)
    if isShut == true, isPromoted || !call.isPromotable {
      throw .failed("xl2tpd refuses new tunnels: a demote or a stop was cut short")
    }
    guard call.depth >= .service else { return .working(promoted: isPromoted, []) }
    try checkBound(to: address, port, call)
    daemon.adopt(process, call)
    var risks: [Risk] = []
    if isHere, isShut == false, !isPromoted, call.isPromotable {
      risks.append(Risk("unpromoted but accepting tunnels on \(address); something outside the cluster started it"))
    }
    var inability: String?
    if isHere, isPromoted || !call.isPromotable {
      let silence = try silence(of: process, address, port, terms.configuration, call)
      if let silence { risks.append(Risk("xl2tpd is busy with other clients: \(silence)")) }
      if call.depth >= .client, silence == nil { inability = try dialIn(address, port, call.within(.seconds(15))) }
    }
    if let configuration = terms.configuration {
      if isPromoted, call.request.action == .monitor, !call.request.isForAPerson { reserveCarried(from: process, configuration, call) }
      // What cannot be read keeps clients out, perhaps; the daemon is well.
      do throws(OCFError) { risks += try unfitness(configuration, call) } catch { risks.append(Risk(error.reason)) }
      risks += sharedPools(configuration, call).map { Risk($0) }
    }
    let orphans = try sessions(call).orphans(call)
    if !orphans.isEmpty { risks.append(Risk("\(orphans.count) pppd of an earlier xl2tpd are left")) }
    do {
      let inventory = try pipe.inventory(on: call.host, before: call.within(Self.patience).deadline)
      // xl2tpd 1.3.18 aborts at 1024: two descriptors a tunnel in kernel mode, one a call in userspace mode.
      let descriptors = terms.configuration?.forcesUserspace == true ? inventory.calls : 2 * inventory.tunnels.count
      if descriptors > 900 {
        risks.append(Risk("\(inventory.tunnels.count) tunnels with \(inventory.calls) calls: xl2tpd aborts at 1024 descriptors"))
      }
    } catch {
      // It has answered in this monitor already.
      guard error.isForLackOfRoom || error.kind == .unanswered && process.atWork(call, ticks: 10) != nil else { throw explain(error) }
      risks.append(Risk(error.reason))
    }
    // Of what a start would refuse nothing matters to a daemon that runs. The next one would not.
    do throws(OCFError) {
      if let risk = askedOfTheResolver(try startable(call)) { risks.append(risk) }
    } catch { risks.append(Risk(error.reason)) }
    if let inability { risks.append(Risk(inability)) }
    if let configuration = terms.configuration, let risk = unguarded(configuration, call) { risks.append(risk) }
    return .working(promoted: isPromoted, risks)
  }

  private func isHere(_ address: IPAddress, _ call: Call) throws(OCFError) -> Bool {
    try attempt("looking for \(address)", try call.host.network.holds(address))
  }

  /// That the daemon's loop turns. A monitor of one that is suspended waits for it all the same: a tracer or a debugger stops a
  /// process for moments. An action that has to get somewhere does not.
  private func checkLoop(of process: Process, _ call: Call) throws(OCFError) {
    let suspended = OCFError.failed("xl2tpd (pid \(process.pid)) is suspended (SIGSTOP)")
    let isMonitor = call.request.action == .monitor
    if process.isStopped, !isMonitor { throw suspended }
    // A demote goes on after this look, and asks again: of a daemon that hangs it needs no more.
    let patience = isMonitor ? Self.patience : call.request.action == .demote ? .seconds(1) : Self.actionPatience
    do throws(OCFError) { try process.answer(within: patience, call, isSilence: { _ in true }) { call throws(OCFError) in try ping(call) } } catch {
      let now = try attempt("looking at xl2tpd", try call.host.processes.process(process.pid))
      throw now?.isStopped == true ? suspended : error
    }
  }

  /// How long a monitor waits for the daemon's one loop, and how long an action that must go on does.
  static let patience = Duration.seconds(4)
  static let actionPatience = Duration.seconds(2)

  func inventory(_ call: Call) throws(OCFError) -> TunnelInventory {
    do { return try pipe.inventory(on: call.host, before: call.deadline) } catch { throw explain(error) }
  }

  private func ping(_ call: Call) throws(OCFError) {
    do { try pipe.ping(on: call.host, before: call.deadline) } catch {
      guard error.isForLackOfRoom else { throw explain(error) }
      call.log.warning(error.reason)
    }
  }

  private func explain(_ error: ControlPipeError) -> OCFError {
    switch error.kind {
    case .absent: .failed("xl2tpd runs without a control pipe at \(control)")
    case .unread: .failed("xl2tpd does not read its control pipe \(control)")
    case .unanswered: .failed("xl2tpd hangs: \(error.reason)")
    case .busy, .refused, .malformed, .lost, .system: .failed(error.reason)
    }
  }

  /// The socket our daemon has on the address. Where nobody may look into it, the one that somebody has.
  private func ownSocket(
    of process: Process, on address: IPAddress, _ port: UInt16, _ call: Call
  ) throws(OCFError) -> UDPListener {
    do throws(SystemError) {
      if let own = try call.host.sockets.udpListener(on: address, port: port, in: process) { return own }
    } catch { call.log.debug("looking for xl2tpd's socket: \(error)") }
    return try checkBound(to: address, port, call)
  }

  /// That somebody is bound to the address, and nobody but our daemon. Two programs can be, and then each client meets
  /// either of them.
  @discardableResult
  func checkBound(to address: IPAddress, _ port: UInt16, _ call: Call) throws(OCFError) -> UDPListener {
    var bound = try listeners(on: address, port, call)
    if bound.count != 1 {
      // In kernel mode a tunnel's own socket is bound before it is connected, and sockets that come and go while the kernel's
      // list is read can hide one that stays. So what counts is what is there again.
      call.host.clock.sleep(until: min(call.deadline, call.host.clock.now + .milliseconds(50)))
      let before = bound
      bound = try listeners(on: address, port, call).filter { before.isEmpty || before.contains($0) }
    }
    guard let first = bound.first else { throw .failed("xl2tpd is not bound to \(address) port \(port)") }
    if bound.count > 1 {
      throw .failed("\(bound.count) programs are bound to \(first.address) port \(port)\(try otherInstances(call))")
    }
    return first
  }

  func listeners(on address: IPAddress, _ port: UInt16, _ call: Call) throws(OCFError) -> [UDPListener] {
    let all = try attempt("looking for UDP port \(port)", try call.host.sockets.udpListeners(on: port))
    return all.filter { $0.address == address || $0.address.isUnspecified }
  }

  /// Words that name other xl2tpds, empty when there are none.
  func otherInstances(_ call: Call) throws(OCFError) -> String {
    var others = try attempt("looking for other xl2tpds", try call.host.processes.running(binary.description).filter { !isOurs($0) })
    // One that somebody started with our file, beside the one that was started here.
    if others.isEmpty, let record = StartRecord.read(call) {
      let all = try attempt("looking for other xl2tpds", try daemon.all(call))
      if all.contains(where: record.isAbout) { others = all.filter { !record.isAbout($0) } }
    }
    return others.isEmpty ? "" : " (another xl2tpd: pid \(others.map { String($0.pid) }.joined(separator: " ")))"
  }

  /// Why a daemon whose loop turns, and which is at work for other clients, has not answered a request for a tunnel; nil when it has. A move
  /// would have all of them dial in again. Where clients' data passes through the daemon itself, its work says nothing.
  private func silence(of process: Process, _ address: IPAddress, _ port: UInt16, _ configuration: XL2TPDConfiguration?, _ call: Call) throws(OCFError) -> String? {
    var silence: String?
    do throws(OCFError) {
      try process.answer(within: .seconds(5), call, isSilence: { _ in silence != nil }) { call throws(OCFError) in
        silence = nil
        silence = try askForTunnel(address, port, call)
        if let silence { throw .failed(silence) }
      }
    } catch {
      guard silence != nil, call.request.action == .monitor, configuration?.forcesUserspace == false, process.atWork(call, ticks: 10) != nil else { throw error }
    }
    return silence
  }

  /// Asks for a tunnel on `address`, as a client would, and takes it back.
  func probe(_ address: IPAddress, _ port: UInt16, _ call: Call) throws(OCFError) {
    if let silence = try askForTunnel(address, port, call) { throw .failed(silence) }
  }

  /// The same; returns that there was no answer, and throws what is worse.
  private func askForTunnel(_ address: IPAddress, _ port: UInt16, _ call: Call) throws(OCFError) -> String? {
    let socket = try attempt("asking for a tunnel", try call.host.sockets.connect(toUDP: address, port: port, from: address))
    defer { socket.close() }
    do {
      let answer = try TunnelProbe().run(over: socket, clock: call.host.clock, before: call.deadline)
      call.log.debug("asked for a tunnel on \(address) port \(port): \(answer)")
      return nil
    } catch {
      let reason = "asking for a tunnel on \(address) port \(port): \(error.reason)"
      switch error.kind {
      case .unanswered: return reason
      case .closed: throw .failed("nobody listens on \(address) port \(port)")
      case .refused, .malformed, .system: throw .failed(reason)
      }
    }
  }
}

extension XL2TPD {
  /// Dials in with the test account, as far as an address and an echo; nothing happens without an account.
  ///
  /// - Returns: why the test could not be made. Throws what other clients would meet.
  private func dialIn(_ address: IPAddress, _ port: UInt16, _ call: Call) throws(OCFError) -> String? {
    let credentials: Credentials
    do throws(OCFError) {
      guard let account = try testAccount(call) else {
        call.log.info(Self.nobodyDialled)
        return nil
      }
      credentials = account
    } catch { return error.reason }
    let socket = try attempt("dialling in", try call.host.sockets.connect(toUDP: address, port: port, from: address))
    defer { socket.close() }
    do throws(SessionProbe.Failure) {
      let session = try SessionProbe(credentials).run(over: socket, clock: call.host.clock, before: call.deadline)
      call.log.debug("dialled in by \(session.authentication), given \(session.address)")
      return nil
    } catch {
      let reason = "dialling in as test_user, \(error); see journalctl -t pppd -t xl2tpd"
      guard error.isInability else { throw .failed(reason) }
      return reason
    }
  }

  static let nobodyDialled = "check level 20 dialled nobody: test_user is not set"

  /// Nil when there is none.
  func testAccount(_ call: Call) throws(OCFError) -> Credentials? {
    guard let testUser else { return nil }
    if let path = testPasswordFile?.description {
      let line = try attempt("test_password_file", try call.host.files.secretLine(of: path))
      return Credentials(user: testUser, password: String(decoding: line, as: UTF8.self))
    }
    return testPassword?.reveal { Credentials(user: testUser, password: $0) }
  }
}

// MARK: - What belongs to us

extension XL2TPD {
  var pipe: ControlPipe { ControlPipe(control.description) }

  /// The daemon as it is started and recognised. It stays in the foreground, logs to syslog, and is told every path, because
  /// its manual and its program disagree about the defaults.
  var daemon: Daemon {
    Daemon(
      binary.description, package: "xl2tpd", unit: unit, launcher: launcher,
      arguments: [
        "-D", "-l", "-c", config.description, "-p", pidfile.description, "-C", control.description,
      ], rehearsal: ["-D", "-c", config.description, "-p", pidfile.description, "-C", control.description], isOurs: isOurs)
  }

  /// Whether its arguments name our configuration, or name none and ours is the one it takes then.
  func isOurs(_ process: Process) -> Bool {
    let named = zip(process.arguments, process.arguments.dropFirst()).filter { $0.0 == "-c" }.map(\.1)
    return named.isEmpty ? config.description == "/etc/xl2tpd/xl2tpd.conf" : named.contains(config.description)
  }

  func found(_ call: Call) throws(OCFError) -> Process? {
    try attempt("looking for xl2tpd", try daemon.find(call))
  }

  /// The sessions' pppds.
  func sessions(_ call: Call) throws(OCFError) -> PPPSessions {
    PPPSessions(processes: SessionProcesses(of: binary.description, marks: marks(call), isOurs: isOurs))
  }

  /// The address clients reach; nil when nothing says it.
  func served(_ configuration: XL2TPDConfiguration) -> IPAddress? {
    address ?? configuration.listenAddress.flatMap { IPAddress($0.value) }
  }

  static let longestFile = 1 << 20

  func readFile(_ call: Call) throws(OCFError) -> [UInt8] {
    let bytes = try attempt("config", try call.host.files.read(config.description, limit: Self.longestFile))
    guard let bytes else { throw .failed("config: \(config) is missing") }
    return bytes
  }

  func parsed(_ bytes: [UInt8]) throws(OCFError) -> XL2TPDConfiguration {
    do { return try XL2TPDConfiguration(bytes) } catch { throw .failed("config: \(config) \(error)") }
  }

  func readConfiguration(_ call: Call) throws(OCFError) -> XL2TPDConfiguration { try parsed(try readFile(call)) }
}

extension XL2TPD {
  package func eventSources(_ call: Call) throws(OCFError) -> [EventSource] {
    try found(call).map { [.process($0), .addresses] } ?? []
  }
}

extension XL2TPD {
  package func obituary(_ call: Call) -> String? { call.obituary(of: binary.description) }
}
