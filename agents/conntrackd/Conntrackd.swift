import ConntrackSync
import Daemon
import Host
import OCF

/// conntrackd, which replicates the kernel's table of connections between the gateways.
///
/// Running means: a process of our binary and configuration that answers with its counters over its own socket. Which of
/// the nodes is promoted the daemon does not know; it is recorded, with the daemon's identity.
struct Conntrackd: ResourceAgent {
  static let about = About(
    "Replication of connection tracking (conntrackd)",
    """
    Keeps conntrackd running in Sync mode and moves the replicated connections into the kernel of the node that is promoted. \
    A drop-in replacement for ocf:heartbeat:conntrackd with the same parameters. Requests go over the daemon's own socket, \
    with a deadline, and a commit counts when the daemon's counters show it. At check level 10 a broken link, loss, lag and a \
    standby that does not hold the peer's flows are reported as degraded.
    """)

  static let operations: [Operation] = [
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

  func checkParameters() throws(OCFError) {
    guard !binary.contains("/") || binary.hasPrefix("/") else {
      throw .misconfigured("binary: expected an absolute path or a name, got \(binary)")
    }
  }

  func checkNode(_ call: Call) throws(OCFError) {
    try daemon(call).checkInstalled(call)
    guard let configuration = try readConfiguration(call) else { throw .notInstalled("config: \(config) is missing") }
    switch configuration.purpose {
    case .sync: break
    case .statistics, .helper, .nothing:
      throw .wrongHere("config: \(config) has no Sync block, so conntrackd would replicate nothing")
    }
    guard configuration.socketPath.utf8.count < 108 else {
      throw .wrongHere("config: \(config) has a socket path that is too long: \(configuration.socketPath)")
    }
  }

  // MARK: - Observing

  func observe(_ call: Call) throws(OCFError) -> ResourceState {
    guard let process = try found(call) else {
      if call.request.action == .monitor || call.request.action == .start { try checkNobodyAnswers(call) }
      return .stopped
    }
    let isPromoted = try isPromoted(process, call)
    do throws(OCFError) {
      if process.isStopped { throw .failed("conntrackd (pid \(process.pid)) is suspended (SIGSTOP)") }
      guard let configuration = try readConfiguration(call) else { throw .failed("config: \(config) has gone") }
      let socket = ConntrackSocket(configuration.socketPath)
      let statistics = try answer(call.within(Self.patience), process) { call throws(ConntrackError) in
        try socket.statistics(on: call.host, before: call.deadline)
      }
      guard call.depth >= .service, let trouble = try trouble(configuration, statistics, process, isPromoted: isPromoted && call.isPromotable, call) else {
        return isPromoted ? .promoted : .running
      }
      return .degraded(trouble, promoted: isPromoted)
    } catch {
      return .failed(error.reason, promoted: isPromoted)
    }
  }

  /// How long the daemon may take for its counters. Its one loop also receives the peer's bulk updates.
  static let patience = Duration.seconds(4)

  /// A daemon that answers on our socket and is not ours must not be taken for none.
  private func checkNobodyAnswers(_ call: Call) throws(OCFError) {
    guard let configuration = try configurationIfReadable(call) else { return }
    let path = configuration.socketPath
    let status = try attempt("looking for \(path)") { () throws(SystemError) in try call.host.files.status(path) }
    guard status != nil else { return }
    do {
      let socket = ConntrackSocket(path)
      _ = try socket.ask(.statistics, on: call.host, before: call.within(.seconds(1)).deadline)
    } catch {
      switch error.kind {
      case .absent, .unread, .malformed, .system: return
      case .unanswered: break
      }
    }
    throw .failed("a conntrackd that does not run \(binaryPath(call)) with \(config) has the socket \(path)")
  }

  private func answer<Value>(
    _ call: Call, _ process: Process, _ body: (Call) throws(ConntrackError) -> Value
  ) throws(OCFError) -> Value {
    do { return try body(call) } catch {
      switch error.kind {
      case .absent: throw .failed("conntrackd (pid \(process.pid)) has no socket: \(error.reason)")
      case .unread: throw .failed("conntrackd (pid \(process.pid)) does not listen: \(error.reason)")
      case .unanswered: throw .failed("conntrackd (pid \(process.pid)) hangs: \(error.reason)")
      case .malformed, .system: throw .failed(error.reason)
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
    try attempt("looking for conntrackd") { () throws(SystemError) in try daemon(call).find(call) }
  }

  func isPromoted(_ process: Process, _ call: Call) throws(OCFError) -> Bool {
    try attempt("reading the role") { () throws(SystemError) in try daemon(call).isPromoted(process, call) }
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

  /// Nil when the file is missing.
  func readConfiguration(_ call: Call) throws(OCFError) -> SyncConfiguration? {
    let bytes = try attempt("config") { () throws(SystemError) in
      try call.host.files.read(config.description, limit: 1 << 20)
    }
    guard let bytes else { return nil }
    do { return try SyncConfiguration(bytes) } catch { throw .wrongHere("config: \(config) \(error)") }
  }

  /// Nil also when it cannot be read: what it would have named is then not known to be ours.
  func configurationIfReadable(_ call: Call) throws(OCFError) -> SyncConfiguration? {
    do throws(OCFError) { return try readConfiguration(call) } catch {
      call.log.warning(error.reason)
      return nil
    }
  }

  /// `/run/resource-agents/vpnha-TYPE-INSTANCE.NAME`, beside the role record.
  func notePath(_ name: String, _ call: Call) -> String { DaemonRole.path(for: call.request, name) }
}

extension Conntrackd {
  func obituary(_ call: Call) -> String? { call.obituary(of: binaryPath(call), loggedAs: "conntrack-tools") }
}
