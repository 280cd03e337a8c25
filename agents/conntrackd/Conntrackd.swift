import ConntrackSync
import Daemon
import Host
import OCF

/// conntrackd, which replicates the kernel's table of connections between the gateways.
///
/// Running means: a process of our binary and configuration that answers with its counters over its own socket. Which of
/// the nodes is promoted the daemon does not know; it is recorded, with the daemon's identity.
package struct Conntrackd: ResourceAgent {
  package init() {}

  package static let about = About(
    "Replication of connection tracking (conntrackd)",
    """
    Keeps conntrackd running in Sync mode and moves the replicated connections into the kernel of the node that is promoted. \
    A drop-in replacement for ocf:heartbeat:conntrackd with the same parameters. Requests go over the daemon's own socket, \
    with a deadline, and a commit counts when the daemon's counters show it. What the configuration file says counts at start: \
    a file that is broken afterwards fails no running daemon, and is shown as a risk. At check level 10 a broken link, loss, \
    lag and a standby that does not hold the peer's flows are shown as risks. LockFile belongs into a directory that only root \
    may write to, such as /run: in /run/lock every user can make the file that keeps conntrackd from starting.
    """)

  package static let operations: [Operation] = [
    .start(timeout: 30), .stop(timeout: 30), .promote(timeout: 30), .demote(timeout: 30), .notify(timeout: 30),
    .monitor(.promoted, every: 10, timeout: 20), .monitor(.unpromoted, every: 11, timeout: 20), .monitor(every: 12, timeout: 20),
    .monitor(.promoted, every: 60, timeout: 20, depth: .service),
    .monitor(.unpromoted, every: 61, timeout: 20, depth: .service), .monitor(every: 62, timeout: 20, depth: .service),
    .reloadAgent(timeout: 20), .validateAll(timeout: 20), .metaData(timeout: 5),
  ]

  @Parameter("The conntrackd program", "A name without a path is looked for in the system's directories.")
  var binary = "/usr/sbin/conntrackd"
  @Parameter("conntrackd's configuration file", "It must have a Sync block.", uniqueGroup: "config")
  var config: AbsolutePath = "/etc/conntrackd/conntrackd.conf"
  @Parameter("conntrackd's unit", reloadable: true) var unit = "conntrackd.service"
  @Parameter(
    "Who starts conntrackd", "auto: the unit where systemd runs and has it, else the agent itself.", reloadable: true)
  var launcher = Launcher.auto

  @Parameter(
    "Seconds that a monitor waits for events",
    """
    The recurring monitor of check level 0 waits so long after it has found all well, and returns at once when conntrackd ends. With an interval \
    of 1 s and a timeout of at least 20 s a failure is noticed within a tenth of a second. At most 8; 0: it does not wait.
    """, reloadable: true)
  package var watch: WatchTime = 0

  package static let judgesFiles = true
  package func judgedFiles(_ call: Call) -> [String] { [config.description] }

  package func checkParameters() throws(OCFError) {
    guard !binary.contains("/") || binary.hasPrefix("/") else {
      throw .misconfigured("binary: expected an absolute path or a name, got \(binary)")
    }
  }

  package func checkNode(_ call: Call) throws(OCFError) {
    try daemon(call).checkInstalled(call)
    let configuration = try presentConfiguration(call)
    switch configuration.purpose {
    case .sync: break
    case .statistics, .helper, .nothing:
      throw .failed("config: \(config) has no Sync block, so conntrackd would replicate nothing")
    }
    guard configuration.socketPath.utf8.count < 108 else {
      throw .failed("config: \(config) has a socket path that is too long: \(configuration.socketPath)")
    }
    if let refusal = refusal(of: configuration, call) { throw .failed(refusal) }
    // conntrackd ends at once without them.
    for name in try interfaces(call) {
      guard try call.link(named: name) != nil else { throw .failed("config: \(config) has a link over \(name), which is no interface of this node") }
    }
    try daemon(call).checkNobodyElses(call, "each needs its own config")
    if let other = try attempt("looking for another conntrackd", try holder(of: configuration, call)) {
      throw .failed("\(configuration.lockPath): another conntrackd (pid \(other.pid)) has it, or the socket \(configuration.socketPath)")
    }
  }

  // MARK: - Observing

  package func observe(_ call: Call) throws(OCFError) -> ResourceState {
    guard let process = try found(call) else {
      if call.request.action == .monitor || call.request.action == .start { try checkNobodyAnswers(call) }
      return .stopped
    }
    let isPromoted = try isPromoted(process, call)
    do throws(OCFError) {
      try checkAwake(process)
      let settings = settings(of: process, call)
      let configuration = settings.configuration
      let socket = ConntrackSocket(configuration.socketPath)
      if settings.isGuessed, try attempt("looking for \(configuration.socketPath)", try call.host.files.status(configuration.socketPath)) == nil {
        return .working(promoted: isPromoted, [Risk("\(settings.trouble ?? ""), and nobody knows where conntrackd (pid \(process.pid)) can be asked")])
      }
      let patience =
        switch call.request.action {
        case .demote: Self.haste
        case .promote: Self.takeOver
        default: Self.patience
        }
      let statistics = try statistics(of: process, socket, patience, call)
      var risks: [Risk] = []
      if call.depth >= .service {
        daemon(call).adopt(process, call)
        risks = try troubles(configuration, statistics, process, isPromoted: isPromoted && call.isPromotable, call)
      }
      if let trouble = (call.depth >= .service ? presentRefusal(call) : nil) ?? settings.trouble { risks.append(Risk(trouble)) }
      return .working(promoted: isPromoted, risks)
    } catch {
      return .failed(error.reason, promoted: isPromoted)
    }
  }

  func checkAwake(_ process: Process) throws(OCFError) {
    if process.isStopped { throw .failed("conntrackd (pid \(process.pid)) is suspended (SIGSTOP)") }
  }

  /// How long the daemon may take for its counters. Its one loop also receives the peer's bulk updates.
  static let patience = Duration.seconds(4)
  /// The same where a take-over waits for it: twice in a demote, which a stop follows.
  static let haste = Duration.seconds(1)
  /// The same in a promote, which the address waits for: the flows of a daemon that is given up are lost.
  static let takeOver = Duration.seconds(2)
  /// How long a promote may take in all.
  static let commit = Duration.seconds(5)

  /// A daemon that answers on our socket and is not ours must not be taken for none.
  private func checkNobodyAnswers(_ call: Call) throws(OCFError) {
    guard let configuration = configurationIfReadable(call), try attempt("looking for conntrackd", try daemon(call).foreign(call)) == nil else { return }
    let path = configuration.socketPath
    let status = try attempt("looking for \(path)", try call.host.files.status(path))
    guard status != nil else { return }
    do {
      let socket = ConntrackSocket(path)
      _ = try socket.ask(.statistics, on: call.host, before: call.within(.seconds(1)).deadline)
    } catch {
      switch error.kind {
      case .absent, .unread, .malformed, .refused, .system: return
      case .unanswered: break
      }
    }
    throw .failed("a conntrackd that does not run \(binaryPath(call)) with \(config) has the socket \(path)")
  }

  private func statistics(of process: Process, _ socket: ConntrackSocket, _ patience: Duration, _ call: Call) throws(OCFError) -> SyncStatistics {
    do {
      return try process.answer(within: patience, call, isSilence: { $0.kind == .unanswered }) { call throws(ConntrackError) in
        try socket.statistics(on: call.host, before: call.deadline)
      }
    } catch {
      switch error.kind {
      case .absent: throw .failed("conntrackd (pid \(process.pid)) has no socket: \(error.reason)")
      case .unread: throw .failed("conntrackd (pid \(process.pid)) does not listen: \(error.reason)")
      case .unanswered: throw .failed("conntrackd (pid \(process.pid)) hangs: \(error.reason)")
      case .malformed, .refused, .system: throw .failed(error.reason)
      }
    }
  }
}

// MARK: - What belongs to us

extension Conntrackd {
  /// The daemon as it is started and recognised: in the foreground.
  func daemon(_ call: Call) -> Daemon {
    Daemon(
      binaryPath(call), package: "conntrackd", unit: unit, launcher: launcher, arguments: ["-C", config.description],
      identifier: "conntrack-tools", isOurs: isOurs)
  }

  func found(_ call: Call) throws(OCFError) -> Process? {
    try attempt("looking for conntrackd", try daemon(call).find(call))
  }

  func isPromoted(_ process: Process, _ call: Call) throws(OCFError) -> Bool {
    try attempt("reading the role", try daemon(call).isPromoted(process, call))
  }

  /// Whether its arguments name our configuration, or name none and ours is the one it takes then.
  private func isOurs(_ process: Process) -> Bool {
    guard let option = process.arguments.lastIndex(of: "-C"), option + 1 < process.arguments.count else {
      return config.description == "/etc/conntrackd/conntrackd.conf"
    }
    return process.arguments[option + 1] == config.description
  }

  /// The program's path; `/usr/sbin/NAME` when a bare name is found nowhere.
  func binaryPath(_ call: Call) -> String {
    guard !binary.contains("/") else { return binary }
    let directories = ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin"]
    return directories.map { "\($0)/\(binary)" }.first { call.host.files.isExecutable($0) } ?? "/usr/sbin/\(binary)"
  }

  /// `/run/resource-agents/vpnha-TYPE-INSTANCE.NAME`, beside the role record.
  func notePath(_ name: String, _ call: Call) -> String { DaemonRole.path(for: call.request, name) }
}

extension Conntrackd {
  package func obituary(_ call: Call) -> String? { call.obituary(of: binaryPath(call), loggedAs: "conntrack-tools") }
}

extension Conntrackd {
  package func eventSources(_ call: Call) throws(OCFError) -> [EventSource] {
    try found(call).map { [.process($0)] } ?? []
  }
}
