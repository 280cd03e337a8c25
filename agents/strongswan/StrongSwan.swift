import Daemon
import Host
import OCF
import VICI

/// strongSwan's IKE daemon, kept through its VICI socket.
package struct StrongSwan: ResourceAgent {
  package init() {}

  package static let looksAgainWhileUnfit = true
  package static let judgesFiles = true
  package static let about = About(
    "IPsec gateway: strongSwan's charon",
    """
    Runs strongSwan's IKE daemon with the connections of swanctl.conf and looks after it through its VICI socket. \
    As a promotable clone it keeps a warm standby: the daemon up, the connections loaded, and with strongSwan's ha plugin \
    the peer's security associations in place. Promotion takes the ha segment. Demotion gives it up, or, without that \
    plugin, tells every client goodbye while the address is still here. A plain resource says goodbye when it stops.
    """)

  package static let operations: [Operation] = [
    .start(timeout: 60), .stop(timeout: 60), .promote(timeout: 30), .demote(timeout: 30),
    .monitor(.promoted, every: 10, timeout: 20), .monitor(.unpromoted, every: 11, timeout: 20), .monitor(every: 12, timeout: 20),
    .monitor(.promoted, every: 60, timeout: 20, depth: .service),
    .monitor(.unpromoted, every: 61, timeout: 20, depth: .service), .monitor(every: 62, timeout: 20, depth: .service),
    .reloadAgent(timeout: 30), .validateAll(timeout: 20), .metaData(timeout: 5),
  ]

  @Parameter(
    "Unit that starts charon", "Used where the launcher says so. While it runs, a runtime drop-in keeps systemd from restarting it.",
    uniqueGroup: "unit")
  var unit = "strongswan.service"
  @Parameter(
    "Who starts charon",
    "auto: the unit where systemd runs and has it, else the daemon itself. systemd: the unit. direct: the daemon itself.")
  var launcher = Launcher.auto
  @Parameter("charon's program") var binary: AbsolutePath = "/usr/sbin/charon-systemd"
  @Parameter(
    "Connections and secrets",
    """
    The file that is given to swanctl. It is read before anything is loaded, with what it includes, so that an error in it \
    is told with file and line and changes nothing.
    """, reloadable: true)
  var config: AbsolutePath = "/etc/swanctl/swanctl.conf"
  @Parameter("charon's control socket", uniqueGroup: "vici") var vici: AbsolutePath = "/run/charon.vici"
  @Parameter(
    "Connections that must be loaded",
    """
    Their names in swanctl.conf. Empty: none is looked for. Monitor level 10 looks whether each of them, or else every loaded one, \
    has a pre-shared key or a private key with a certificate, and whether one of them is at `address`.
    """, reloadable: true)
  var connections: [String] = []
  @Parameter(
    "Address of the gateway",
    """
    The floating address that clients connect to. Security associations that end there are this resource's: only they are \
    ended and cleaned up, and monitor level 20 probes IKE on it. With the ha plugin nothing leaves from it while this member \
    is unpromoted, also when the node has it already: a routing rule with priority 1 sees to that. With rp_filter on, what arrives \
    for an IPv4 address is dropped as long.
    """, reloadable: true)
  var address: IPAddress? = nil
  @Parameter(
    "Seconds to say goodbye", "How long clients are given to confirm that they were told. 0: they are told, nobody waits.",
    reloadable: true)
  var drainTimeout = 10
  @Parameter("Control pipe of the ha plugin", "Used when charon has that plugin loaded.", reloadable: true)
  var haFifo: AbsolutePath = "/run/charon.ha"

  package func judgedFiles(_ call: Call) -> [String] {
    var files = [config.description]
    do throws(SettingsError) { files = try SettingsFile(reading: config.description, from: call.host.files).files } catch { call.log.debug("\(error)") }
    // A new file in a folder that is included.
    let folders = Set(files.map { "/" + $0.split(separator: "/").dropLast().joined(separator: "/") })
    return files + folders.sorted()
  }

  /// charon, whoever started it: its arguments name no configuration. What another resource's record names is that one's.
  func daemon(_ call: Call) -> Daemon {
    Daemon(binary.description, package: "charon-systemd", unit: unit, launcher: launcher)
  }

  // MARK: What is there

  @Parameter(
    "Seconds that a monitor waits for events",
    """
    The recurring monitor of check level 0 waits so long after it has found all well, and returns at once when charon ends or an address changes. With an interval \
    of 1 s and a timeout of at least 20 s a failure is noticed within a tenth of a second. At most 8; 0: it does not wait.
    """, reloadable: true)
  package var watch: WatchTime = 0

  package func checkParameters() throws(OCFError) {
    guard unit.hasSuffix(".service"), !unit.contains("/") else {
      throw .misconfigured("unit: expected the name of a service, got \"\(unit.prefix(40))\"")
    }
  }

  package func checkNode(_ call: Call) throws(OCFError) {
    try daemon(call).checkInstalled(call)
    guard call.host.files.isExecutable(Swanctl.binary) else { throw .missing(Swanctl.binary, package: "strongswan-swanctl") }
    try checkSettings(call)
  }

  /// A start goes on, and the monitor says it: a node that serves some is better than none. One that would serve nobody is not started.
  package func foreseen(_ call: Call) throws(OCFError) -> [Risk] {
    let file = try checkSettings(call)
    let absent = absent(from: file)
    let isEmpty = file.root.section("connections").map { $0.sections.isEmpty && $0.references.isEmpty } ?? true
    if isEmpty, let first = absent.first { throw .failed("connections: \(first) is not in \(config)") }
    let refused = try foreseenRefusals(file, call)
    let refusals = risks(refused, isPromoted: false)
    let bad = Set(refused.map(\.name))
    let names = (file.resolved("connections")?.sections ?? []).map(\.name).filter { !bad.contains($0) }
    if let first = refusals.first, !serves(names) { throw .failed(first.reason) }
    return try refusals + absent.map { Risk("connections: \($0) is not in \(config)", unfit: true) } + Readiness(of: file, self, call).lacks.map { Risk($0, unfit: true) }
      + foreseenKeyless(file, call)
  }

  package func observe(_ call: Call) throws(OCFError) -> ResourceState {
    guard let process = try attempt("looking for \(daemon(call).name)", try daemon(call).find(call))
    else { return daemon(call).revival(call).map { .failed($0) } ?? .stopped }
    let isPromoted = try attempt("reading the role", try daemon(call).isPromoted(process, call))
    if process.isStopped {
      return .failed("\(daemon(call).name) (pid \(process.pid)) is suspended (SIGSTOP)", promoted: isPromoted)
    }
    do throws(VICIError) {
      let (charon, statistics) = try process.answer(within: patience(for: call), call, isSilence: { $0.kind == .timedOut }) { limited throws(VICIError) in
        let charon = try connect(limited)
        return (charon, try charon.statistics())
      }
      if isPromoted, let address, try !holdsAddress(address, call) {
        return .failed("address: \(address) is not on this node", promoted: true)
      }
      if let problem = try silence(isPromoted: isPromoted, hasHA: statistics.hasPlugin("ha"), call) {
        return .failed(problem, promoted: isPromoted)
      }
      if call.request.action == .demote, !isPromoted, statistics.hasPlugin("ha"), try hasTheSegment(call) { return .promoted }
      var risks: [Risk] = []
      if let problem = standsUnguarded(statistics, call) {
        if call.request.action == .start { return .failed(problem, promoted: isPromoted) }
        if call.request.action == .monitor { risks.append(Risk(problem)) }
      }
      // A start is done when the connections are there, not when the daemon answers.
      let isClose = call.depth >= .service || call.request.action == .start
      if isClose {
        let loaded = Set(try charon.loadedConnections())
        let refused = Unloaded.read(call).filter { !loaded.contains($0.name) }
        risks += self.risks(refused, isPromoted: isPromoted)
        let missing = connections.filter { [known = loaded.union(refused.map(\.name))] in !known.contains($0) }
        // What the file does not have, no restart would load, here or elsewhere.
        let absent = missing.isEmpty ? [] : absent(call)
        if let first = missing.first(where: { !absent.contains($0) }) { return .failed("connections: \(first) is not loaded", promoted: isPromoted) }
        risks += missing.map { Risk("connections: \($0) is not in \(config)", unfit: !isPromoted) }
      }
      if call.depth >= .service { daemon(call).adopt(process, call) }
      if call.depth >= .service, call.request.action == .monitor, !call.request.isForAPerson, isPromoted, statistics.hasPlugin("ha") { resyncPeer(call) }
      if call.request.action == .monitor {
        if call.depth >= .client { tellNumbers(of: process, call) } else if call.depth >= .service { call.log.debug("\(statistics)") }
      }
      if call.depth >= .client {
        switch probe(call, isPromoted: isPromoted) {
        case .failed(let why, let promoted): return .failed(why, promoted: promoted)
        case let state: risks += state?.risks ?? []
        }
      }
      if call.depth >= .service, statistics.idleWorkers == 0, statistics.queues.total > 0 {
        risks.append(Risk("all \(statistics.workers) worker threads are busy, \(statistics.queues.total) jobs wait"))
      }
      if isClose { risks += lacks(statistics, call) }
      // What is in a file matters to no daemon that runs. The next one would not start.
      if call.depth >= .service, call.request.action == .monitor {
        do throws(OCFError) { try checkSettings(call) } catch { risks.append(Risk(error.reason)) }
      }
      if call.depth >= .service, call.request.action == .monitor, call.isPromotable, !isPromoted,
        let name = try initiatedByStandby(hasHA: statistics.hasPlugin("ha"), call)
      {
        risks.append(Risk("connections: this standby has initiated \(name), which only the promoted member should"))
      }
      return .working(promoted: isPromoted, risks)
    } catch {
      return .failed("\(daemon(call).name) (pid \(process.pid))\(error.kind == .timedOut ? " hangs" : ""): \(error)", promoted: isPromoted)
    }
  }

  /// For who looks closely; what cannot be had is no failure.
  private func tellNumbers(of process: Process, _ call: Call) {
    do throws(VICIError) {
      let charon = try connect(call, within: .seconds(5))
      call.log.debug("\(try GatewayNumbers.read(from: charon, process: process.pid, files: call.host.files))")
    } catch { call.log.debug("counting: \(error)") }
  }

  /// Those of `connections` that the file does not have; none where it cannot be read.
  private func absent(_ call: Call) -> Set<String> {
    do throws(SettingsError) { return Set(absent(from: try SettingsFile(reading: config.description, from: call.host.files))) } catch { return [] }
  }

  func holdsAddress(_ address: IPAddress, _ call: Call) throws(VICIError) -> Bool {
    do throws(SystemError) { return try call.host.network.holds(address) } catch {
      throw VICIError(.unreachable, "looking for \(address)", "\(error.errno)", errno: error.errno)
    }
  }

  // MARK: Start and stop

  package func start(_ call: Call) throws(OCFError) {
    if let process = try attempt("looking for \(daemon(call).name)", try daemon(call).find(call)) {
      // It runs, and an observation was not content. One that answers only lacks its connections.
      if refusal(call) == nil {
        try load(call)
        try attempt("recording \(daemon(call).name)", try daemon(call).record(.unpromoted, of: process, call))
        return try takePlace(call)
      }
      try end(call, atOnce: leave(process, call) == .withheld)
    }
    try daemon(call).checkNobodyElses(call, "there is one charon to a node")
    try checkPorts(call)
    // A charon that was killed leaves its states in the kernel, and does not look for them when it starts again.
    let removed = try removeKernelState(call)
    if removed > 0 { call.log.info("removed \(removed) kernel states and policies that an earlier charon left") }
    var silence: VICIError?
    do throws(OCFError) {
      try daemon(call).start(call) { (_) throws(OCFError) in
        silence = refusal(call)
        guard silence == nil else { return false }
        reachPeer(call)
        try load(call)
        reviewHA(call)
        try takePlace(call)
        return true
      }
    } catch {
      do throws(OCFError) { try keepSilent(false, call) } catch let refusal { call.log.warning(refusal.reason) }
      tidy(call)
      // A daemon that runs and was waited for in vain: at the wrong socket, perhaps.
      if let silence, call.host.clock.now >= call.deadline { throw .failed("vici: \(silence)") }
      throw error
    }
  }

  package func stop(_ call: Call) throws(OCFError) {
    let process = try attempt("looking for \(daemon(call).name)", try daemon(call).find(call))
    let farewell = process.map { leave($0, call) } ?? .nobody
    let (ending, removed) = try end(call, atOnce: farewell == .withheld, grace: call.isPromotable ? Self.haste : Self.grace)
    guard process != nil || removed > 0 else { return }
    let words = [farewell.words, process.map { _ in "\(daemon(call).name) \(ending)" }, removed > 0 ? "\(removed) kernel states and policies were removed" : nil]
    call.log.info("stopped: \(words.compactMap { $0 }.joined(separator: "; "))")
  }

  /// Ends the daemon and removes what it left behind, its kernel states among it: their number is returned.
  /// - Parameters:
  ///   - atOnce: whether it must not hear of it. charon says goodbye to clients on every other signal.
  ///   - grace: how long it may take for that.
  @discardableResult
  func end(_ call: Call, atOnce: Bool = false, grace: Duration = haste) throws(OCFError) -> (ending: String, removed: Int) {
    // With the ha plugin and its secret charon 5.9.8 never comes to its end: it has said its goodbyes and closed its
    // sockets, and waits for a lock that nobody gives back (trap_manager.c, uninstall after flush).
    let ending = try daemon(call).stop(call, signal: atOnce ? .kill : .terminate, grace: grace) { !atOnce && hasClosed(call) }
    // What the kernel holds and what lies under /run may be that one's.
    if try attempt("looking for \(binary)", try daemon(call).foreign(call)) != nil { return (ending.rawValue, 0) }
    let removed = try removeKernelState(call)
    try keepSilent(false, call)
    tidy(call)
    return (atOnce ? "was killed at once" : ending.rawValue, removed)
  }

  /// Removes the files that a daemon which has gone leaves under `/run`.
  private func tidy(_ call: Call) {
    do throws(SystemError) {
      try removeSockets(call)
      try call.host.files.remove(ProbeRecord.path(for: call.request))
      try call.host.files.remove(Self.resyncRecord(for: call.request))
      Unloaded.write([], call)
    } catch { call.log.warning("cleaning up after \(daemon(call).name): \(error)") }
  }

  /// Whether charon has closed its control socket, which is after everything it has to tell anybody.
  private func hasClosed(_ call: Call) -> Bool {
    do throws(SystemError) {
      try call.host.sockets.connect(toUnix: vici.description, before: call.host.clock.now + .milliseconds(10)).close()
      return false
    } catch { return error.errno == .connectionRefused || error.errno == .noSuchFile }
  }

  /// charon does not unlink its sockets, and a killed one not its pipe either. What somebody serves stays; a process that
  /// is just ending may do so for another instant.
  private func removeSockets(_ call: Call) throws(SystemError) {
    let within = call.host.clock.now + .milliseconds(300)
    let files = call.host.files
    let directory = vici.description.lastIndex(of: "/").map { String(vici.description[..<$0]) } ?? ""
    let besides = try files.entries(of: directory) ?? []
    for name in besides.filter({ $0.hasPrefix("charon.") || "\(directory)/\($0)" == vici.description }).prefix(32) {
      let path = "\(directory)/\(name)"
      guard try files.status(path)?.kind == .socket else { continue }
      let isFree = call.host.until(before: within) { isRefused(path, call) }
      if isFree { try files.remove(path) }
    }
    guard try files.status(haFifo.description)?.kind == .fifo else { return }
    do throws(SystemError) { try files.send([], toFIFO: haFifo.description) } catch  where error.errno == .noSuchDeviceOrAddress {
      try files.remove(haFifo.description)
    } catch {
      call.log.debug("\(haFifo) is not free: \(error)")
    }
  }

  /// Whether nobody listens on a socket that is there.
  private func isRefused(_ path: String, _ call: Call) -> Bool {
    do throws(SystemError) {
      try call.host.sockets.connect(toUnix: path, before: call.host.clock.now + .milliseconds(10)).close()
      return false
    } catch { return error.errno == .connectionRefused }
  }

  private func removeKernelState(_ call: Call) throws(OCFError) -> Int {
    guard let address else { return 0 }
    return try attempt("removing IPsec state of \(address)", try call.host.network.removeIPsecState(endpoint: address))
  }

  /// Names whoever holds the IKE ports, whatever it is; nobody's process is ended for it.
  private func checkPorts(_ call: Call) throws(OCFError) {
    for port in [UInt16(500), 4500] {
      guard let holder = try call.holder(ofUDP: port) else { continue }
      let name = holder.owner.map { "\($0.executable) (pid \($0.pid))" } ?? "a process that is not \(binary)"
      throw .failed("UDP port \(port) is taken by \(name)")
    }
  }
}

// MARK: - Asking charon

extension StrongSwan {
  /// How long a charon that hangs is waited for where a take-over waits as well: the peer is promoted when a failed member has been
  /// stopped and started again, not before.
  static let haste = Duration.seconds(2)
  /// How long one without a peer may take to tell its clients goodbye when it is ended.
  static let grace = Duration.seconds(5)

  /// How long charon may take to answer.
  func patience(for call: Call) -> Duration {
    switch call.request.action {
    case .stop, .promote: Self.haste
    // It goes on after its look, and asks again: of a daemon that hangs it needs no more.
    case .demote: .seconds(1)
    // What asks over VICI goes before everything that clients ask for: this waits for one idle worker.
    case .monitor: .seconds(5)
    default: max(.seconds(2), min(.seconds(10), (call.deadline - call.host.clock.now) / 2))
    }
  }

  /// Even the last look, at the deadline itself, leaves charon time for an answer: the deadline has a margin behind it.
  func connect(_ call: Call, within limit: Duration) throws(VICIError) -> Charon { try connect(call.within(limit)) }
  private func connect(_ call: Call) throws(VICIError) -> Charon {
    try Charon(at: vici.description, on: call.host, before: max(call.deadline, call.host.clock.now + .milliseconds(200)))
  }

  /// Why charon does not answer now; nil when it does.
  func refusal(_ call: Call) -> VICIError? {
    do throws(VICIError) {
      _ = try connect(call, within: .seconds(2)).statistics()
      return nil
    } catch { return error }
  }
}

/// Evaluates `value`; what charon refuses becomes a reason.
@discardableResult
func ask<Result>(_ value: @autoclosure () throws(VICIError) -> Result) throws(OCFError) -> Result {
  do throws(VICIError) { return try value() } catch { throw explain(error) }
}

/// The same for more than an expression.
@discardableResult
func ask<Result>(_ body: () throws(VICIError) -> Result) throws(OCFError) -> Result {
  do throws(VICIError) { return try body() } catch { throw explain(error) }
}

/// What charon's refusal means for the cluster.
func explain(_ error: VICIError) -> OCFError {
  switch error.kind {
  case .unreachable: error.errno == .accessDenied ? .denied("\(error)") : .failed("\(error)")
  case .closed, .malformed, .refused, .timedOut: .failed("\(error)")
  case .notSupported: .notInstalled("\(error)")
  }
}

extension StrongSwan {
  package func obituary(_ call: Call) -> String? { call.obituary(of: binary.description) }
}

extension StrongSwan {
  package func eventSources(_ call: Call) throws(OCFError) -> [EventSource] {
    (try attempt("looking for charon", try daemon(call).find(call))).map { [.process($0), .addresses] } ?? []
  }
}
