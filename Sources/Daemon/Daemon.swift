import Host
import OCF

/// A daemon that an agent keeps: how it is recognised, started and ended, whoever started it.
public struct Daemon {
  /// The program, an absolute path.
  public var binary: String
  /// The Debian package that brings it.
  public var package: String
  /// Its unit, such as `strongswan.service`; nil when no unit ever runs it.
  public var unit: String?
  public var launcher: Launcher
  /// Arguments of a direct launch. The daemon must stay in the foreground: its pid is what is watched.
  public var arguments: [String]
  public var environment: [String: String]
  /// Arguments with which the program says on standard error what it otherwise tells syslog only: one that has exited at once is run
  /// with them to hear why. Nil when that is known without.
  public var rehearsal: [String]?
  /// What its entries in the log are marked with (syslog's identifier).
  public var identifier: String
  /// Whether a process that runs `binary` is ours: its arguments name our configuration.
  public var isOurs: (Process) -> Bool

  public init(
    _ binary: String, package: String, unit: String?, launcher: Launcher, arguments: [String] = [],
    environment: [String: String] = [:], rehearsal: [String]? = nil, identifier: String? = nil, isOurs: @escaping (Process) -> Bool = { _ in true }
  ) {
    self.binary = binary
    self.package = package
    self.unit = unit
    self.launcher = launcher
    self.arguments = arguments
    self.environment = environment
    self.rehearsal = rehearsal
    self.identifier = identifier ?? binary.split(separator: "/").last.map(String.init) ?? binary
    self.isOurs = isOurs
  }

  /// The program's name.
  public var name: String { binary.split(separator: "/").last.map(String.init) ?? binary }

  /// Throws `notInstalled` when the program is missing.
  public func checkInstalled(_ call: Call) throws(OCFError) {
    guard !call.request.pretendsNothingInstalled, call.host.files.isExecutable(binary) else {
      throw .missing(binary, package: package)
    }
  }
}

// MARK: - Finding

extension Daemon {
  /// Our process, nil when it does not run.
  ///
  /// The process that the role record names is looked at first: in a node with thousands of processes a healthy monitor
  /// then reads one of them. What is believed is the process, not the record, and one that cannot be read is as good as none.
  public func find(_ call: Call) throws(SystemError) -> Process? {
    if let record = recorded(call), let process = try call.host.processes.process(record.pid),
      record.isAbout(process), process.executable == binary, process.state != "Z", isOurs(process)
    {
      return process
    }
    return try all(call).first
  }

  /// The role record where one can be read.
  private func recorded(_ call: Call) -> DaemonRole? {
    do throws(SystemError) { return try DaemonRole.read(call) } catch {
      call.log.debug("looking for \(name): \(error)")
      return nil
    }
  }

  /// Every process that is ours, oldest first. One that another resource's record names is that one's, whatever it was told.
  public func all(_ call: Call) throws(SystemError) -> [Process] {
    try call.host.processes.running(binary).filter { isOurs($0) && DaemonRole.owner(of: $0, call) == nil }.sorted { $0.startTime < $1.startTime }
  }

  /// A daemon as ours that another resource keeps.
  public func foreign(_ call: Call) throws(SystemError) -> (process: Process, owner: String)? {
    for process in try call.host.processes.running(binary) where isOurs(process) {
      if let owner = DaemonRole.owner(of: process, call) { return (process, owner) }
    }
    return nil
  }

  /// - Parameter what: what the resources need.
  public func checkNobodyElses(_ call: Call, _ what: String) throws(OCFError) {
    guard let (process, owner) = try attempt("looking for \(name)", try foreign(call)) else { return }
    throw .failed("\(name) (pid \(process.pid)) is resource \(owner)'s, and \(what)")
  }

  /// Why it does not run (see `Call.obituary`).
  public func obituary(_ call: Call) -> String? { call.obituary(of: binary, loggedAs: identifier) }

  /// How systemd is about to bring a daemon up that does not run now, whoever asked it to; nil when it is not.
  ///
  /// Nothing runs, and in a moment something will: to the cluster that is not stopped.
  public func revival(_ call: Call) -> String? {
    guard let unit, call.host.units.isAvailable else { return nil }
    do throws(SystemError) {
      let found = try call.host.units.unit(unit)
      guard found.activeState == "activating" else { return nil }
      guard found.subState == "auto-restart" else { return "\(unit) is being started by systemd" }
      return "\(unit) ends and is restarted again and again (\(found.restarts) times so far); see journalctl -u \(unit)"
    } catch {
      // No daemon runs: that was seen, and a service manager that does not answer changes nothing about it.
      call.log.warning("looking at \(unit): \(error)")
      return nil
    }
  }

  /// Whether this process was promoted. A stop that cannot read it goes on as if it was: clients are told once too often.
  public func isPromoted(_ process: Process, _ call: Call) throws(SystemError) -> Bool {
    do throws(SystemError) {
      guard let record = try DaemonRole.read(call) else { return false }
      return record.role == .promoted && record.isAbout(process)
    } catch {
      guard call.request.action == .stop else { throw error }
      call.log.warning("the role of \(name) (pid \(process.pid)) is not known: \(error)")
      return true
    }
  }

  /// Records the role of `process`; nothing happens when it is recorded already.
  public func record(_ role: Role, of process: Process, _ call: Call) throws(SystemError) {
    let record = DaemonRole(role, of: process)
    if try DaemonRole.read(call) != record { try record.write(call) }
  }
}

// MARK: - Starting

extension Daemon {
  /// Whether a start goes through the unit. Throws when `launcher` asks for a unit that this node does not have.
  public func startsByUnit(_ call: Call) throws(OCFError) -> Bool {
    let units = call.host.units
    guard let unit else { return false }
    switch launcher {
    case .direct: return false
    case .auto:
      guard units.isAvailable else { return false }
      return try attempt("looking for \(unit)", try units.unit(unit).isNative)
    case .systemd:
      guard units.isAvailable else { throw .wrongHere("launcher: systemd is not the service manager of this node") }
      let found = try attempt("looking for \(unit)", try units.unit(unit))
      guard found.isLoaded else { throw .notInstalled("unit: \(unit) is \(found.loadState) (package \(package))") }
      return true
    }
  }

  /// Starts the daemon, waits until `isReady`, and records it as unpromoted.
  ///
  /// Ends early when the daemon exits; whenever it throws, what was started has been taken back.
  /// - Parameter isReady: looks once. What it throws is final: waiting would not help.
  @discardableResult
  public func start(_ call: Call, isReady: (Process) throws(OCFError) -> Bool) throws(OCFError) -> Process {
    try checkInstalled(call)
    var launched: Process?
    do throws(OCFError) {
      let process: Process
      if let unit, try startsByUnit(call) {
        process = try start(unit, call)
      } else {
        process = try launch(call)
        launched = process
      }
      try checkProgram(of: process, call)
      let ready = try call.until { () throws(OCFError) in
        let isAlive = try attempt("looking at \(name)", try call.host.processes.isAlive(process))
        guard isAlive else { throw .failed("starting \(name): \(lastWords(of: process, isLaunched: launched != nil, call))") }
        return try isReady(process)
      }
      guard ready else { throw .failed("starting \(name): pid \(process.pid) is not ready in time") }
      // It may have become another program meanwhile.
      try checkProgram(of: process, call)
      try attempt("recording \(name)", try record(.unpromoted, of: process, call))
      call.log.info("started \(name)", ("VPNHA_PID", String(process.pid)))
      return process
    } catch {
      // The time for a stop is short here, but nothing may stay behind.
      let more = call.with(deadline: max(call.deadline, call.host.clock.now + .milliseconds(500)))
      do throws(OCFError) { try stop(more, grace: .milliseconds(300)) } catch let second {
        call.log.warning("taking back the start of \(name): \(second.reason)")
      }
      if let launched { endFamily(of: launched, more) }
      throw error
    }
  }

  /// What keeps systemd from acting behind the cluster's back; Pacemaker writes the same for units it starts itself.
  public static let dropIn = """
    # Written by vpnha: Pacemaker owns this unit while it runs.
    [Unit]
    Before=pacemaker.service pacemaker_remote.service
    [Service]
    Restart=no

    """

  /// Takes the unit of a daemon over that ran before the cluster came, for which it is never asked to start it: systemd would restart it
  /// behind the cluster's back, and at a shutdown end it beside Pacemaker, while it still serves. Called with a deep look.
  public func adopt(_ process: Process, _ call: Call) {
    guard let unit, launcher != .direct, call.request.action == .monitor, call.request.isFromCluster, !call.request.isProbe, call.host.units.isAvailable else { return }
    do throws(SystemError) {
      guard try call.host.files.status(Unit.dropInPath(of: unit)) == nil, try call.host.units.unit(unit).mainPID == process.pid else { return }
      try call.host.units.override(unit, with: Self.dropIn)
      call.log.info("\(unit) was started before the cluster came: systemd does not restart it any more")
    } catch { call.log.warning("taking \(unit) over: \(error)") }
  }

  private func start(_ unit: String, _ call: Call) throws(OCFError) -> Process {
    let units = call.host.units
    let result = try attempt("starting \(unit)") { () throws(SystemError) in
      try units.override(unit, with: Self.dropIn)
      try units.resetFailed(unit)
      return try units.start(unit, before: call.deadline)
    }
    guard result.isDone else { throw .failed("starting \(unit): the job ended as \(result.result); see journalctl -u \(unit)") }
    let found = try attempt("looking at \(unit)") { () throws(SystemError) -> Process? in
      let main = try units.unit(unit).mainPID
      if main > 0 { _ = try call.within(.seconds(1)).until { () throws(SystemError) in try !isBeingBorn(main, call) } }
      if main > 0, let process = try call.host.processes.process(main), isOurs(process) { return process }
      return try all(call).first
    }
    guard let found else { throw .failed("starting \(unit): it does not run \(binary)") }
    return found
  }

  /// The job of a simple unit is done while the process is still systemd's own, or its executor's.
  private func isBeingBorn(_ pid: Int32, _ call: Call) throws(SystemError) -> Bool {
    try call.host.processes.process(pid)?.executable.contains("/systemd/systemd") ?? false
  }

  /// A process that does not run `binary` would not be found by the next action.
  private func checkProgram(of process: Process, _ call: Call) throws(OCFError) {
    let other = try attempt("looking at \(name)") { () throws(SystemError) -> String? in
      guard let now = try call.host.processes.process(process.pid), now.startTime == process.startTime, !now.executable.isEmpty,
        now.executable != binary, try !call.host.processes.running(binary).contains(where: { $0.pid == process.pid })
      else { return nil }
      return now.executable
    }
    if let other { throw .failed("binary: \(binary) runs \(other): name the daemon itself") }
  }

  /// A wrapper's children are no daemon that a stop would find.
  ///
  /// All are stopped before one is killed: a child in a session of its own (xl2tpd calls setsid) is known by its parent alone, and
  /// one that the parent forks at the last moment would be nobody's.
  private func endFamily(of launched: Process, _ call: Call) {
    do throws(SystemError) {
      let processes = call.host.processes
      var known: Set<Int32> = []
      _ = try call.until { () throws(SystemError) in
        let more = try processes.family(of: launched).filter { !known.contains($0.pid) }
        for process in more {
          try processes.signal(.stop, to: process)
          known.insert(process.pid)
        }
        return more.isEmpty
      }
      let areGone = try call.until { () throws(SystemError) in
        let family = try processes.family(of: launched)
        for process in family { try processes.signal(.kill, to: process) }
        return family.isEmpty
      }
      if !areGone { call.log.warning("taking back the start of \(name): something it started does not die") }
    } catch { call.log.warning("taking back the start of \(name): \(error)") }
  }

  /// Why the daemon has exited, in its own words where it can be heard.
  private func lastWords(of process: Process, isLaunched: Bool, _ call: Call) -> String {
    var words = ""
    if isLaunched {
      words = Self.quotation(call.host.processes.output(of: process))
      // A script would start anew what it starts.
      if words.isEmpty, let rehearsal, !isScript(call) { words = output(of: Command(binary, rehearsal, environment: environment), call) }
    }
    if words.isEmpty, call.host.units.isAvailable {
      let options = ["--quiet", "--no-pager", "--output=cat", "--lines=4", "--since=-2min", "_PID=\(process.pid)"]
      words = output(of: Command("/usr/bin/journalctl", options), call)
    }
    return words.isEmpty ? "it exited at once; its log says why (journalctl -t \(identifier))" : words
  }

  private func isScript(_ call: Call) -> Bool {
    do throws(SystemError) { return try call.host.files.read(binary, limit: 65_536)?.starts(with: "#!".utf8) ?? false } catch {
      // Too large for a script.
      return false
    }
  }

  /// What a command says when it is run for a moment; nothing when it cannot be.
  private func output(of command: Command, _ call: Call) -> String {
    do throws(SystemError) {
      let result = try call.host.processes.run(command, before: call.within(.seconds(1)).deadline)
      return Self.quotation(result.output + result.error)
    } catch {
      call.log.debug("hearing why \(name) has exited: \(error)")
      return ""
    }
  }

  /// The last four lines in one, without what a log begins its lines with: `[date] (pid=1) [ERROR]`, `name[1]:`.
  static func quotation(_ output: [UInt8]) -> String {
    let lines = output.split { $0 == UInt8(ascii: "\n") || $0 == 0 }.suffix(16).map { line -> Substring in
      var text = String(decoding: line.prefix(300), as: UTF8.self).plain[...].drop { $0 == " " }
      while let first = text.first, first == "[" || first == "(", let end = text.firstIndex(of: first == "[" ? "]" : ")") {
        text = text[text.index(after: end)...].drop { $0 == " " }
      }
      let mark = text.prefix { !$0.isWhitespace }
      if mark.hasSuffix("]:"), mark.contains("[") { text = text.dropFirst(mark.count).drop { $0 == " " } }
      return text
    }
    return lines.filter { !$0.isEmpty }.suffix(4).joined(separator: "; ")
  }

  private func launch(_ call: Call) throws(OCFError) -> Process {
    try attempt("starting \(name)", try call.host.processes.launch(Command(binary, arguments, environment: environment)))
  }
}

// MARK: - Ending

extension Daemon {
  /// How a daemon came to its end.
  public enum Ending: String, Sendable {
    case wasGone = "did not run"
    case ended = "ended when it was asked to"
    /// It had done its work, and did not end by itself.
    case finished = "was killed after its work was done"
    case killed = "did not end in time and was killed"
  }

  /// How long a daemon that has finished its work may take to end before it is killed.
  static let killDelay = Duration.milliseconds(300)

  /// Ends every process of ours: by its unit where a unit runs it, else with `signal`; what is left after `grace` is
  /// killed. Then removes the drop-in and the role record. Nothing happens when nothing is there.
  ///
  /// - Parameters:
  ///   - grace: at most two thirds of the time that is left are granted.
  ///   - isFinished: whether a daemon that got the signal has nothing more to do and only does not end. It is killed soon
  ///     after, without a warning. A daemon with this gets the signal from us even where a unit runs it.
  @discardableResult
  public func stop(
    _ call: Call, signal: Signal = .terminate, grace: Duration = .seconds(10), isFinished: (() -> Bool)? = nil
  ) throws(OCFError) -> Ending {
    let host = call.host
    let underWay = call.launchesUnderWay(.seconds(10))
    let ours = try attempt("looking for \(name)") { () throws(SystemError) in
      try awaitArguments(call)
      return try all(call)
    }
    let left = call.deadline - host.clock.now
    let termDeadline = host.clock.now + min(grace, max(left, .zero) * 2 / 3)
    let unit = host.units.isAvailable ? unit : nil
    if let unit, isFinished == nil { stop(unit, of: ours, call, before: termDeadline) }
    if let unit, isFinished != nil, !ours.isEmpty { keepFromRestarting(unit, call) }
    let ending = try end(ours, signal, call, termDeadline, isFinished)
    if let unit, isFinished != nil { stop(unit, of: ours, call, before: call.deadline) }
    forget(call)
    if let underWay { throw .failed("waiting for an earlier start of \(name): \(underWay)") }
    if !ours.isEmpty { call.log.info("stopped \(name)", ("VPNHA_PID", ours.map { String($0.pid) }.joined(separator: " "))) }
    return ours.isEmpty ? .wasGone : ending
  }

  /// A process that has just become the program has no arguments for a moment, and could be anybody's.
  private func awaitArguments(_ call: Call) throws(SystemError) {
    _ = try call.within(.seconds(1)).until { () throws(SystemError) in
      try call.host.processes.running(binary).allSatisfy { !$0.arguments.isEmpty }
    }
  }

  /// The daemon has gone: what cannot be removed misleads nobody, and is no reason to fence a node.
  private func forget(_ call: Call) {
    func step(_ body: () throws(SystemError) -> Void) {
      do throws(SystemError) { try body() } catch { call.log.warning("cleaning up after \(name): \(error)") }
    }
    step { () throws(SystemError) in try DaemonRole.remove(call) }
    guard let unit, call.host.units.isAvailable else { return }
    step { () throws(SystemError) in try call.host.units.removeOverride(unit) }
    step { () throws(SystemError) in
      if try call.host.units.unit(unit).activeState == "failed" { try call.host.units.resetFailed(unit) }
    }
  }

  /// Asks the service manager when one of `ours` is the unit's, or the unit is about to bring one up: a daemon that was
  /// killed under a unit which restarts it would come back. What goes wrong here is logged; `end` follows anyway.
  private func stop(_ unit: String, of ours: [Process], _ call: Call, before deadline: Instant) {
    let units = call.host.units
    do throws(SystemError) {
      let found = try units.unit(unit)
      guard found.isLoaded, found.activeState != "inactive", found.activeState != "failed" else { return }
      if found.mainPID != 0, !ours.contains(where: { $0.pid == found.mainPID }) {
        guard try isLoopOfOurs(found, call) else { return }
      }
      try units.override(unit, with: Self.dropIn)
      let result = try units.stop(unit, before: deadline)
      if !result.isDone { call.log.warning("stopping \(unit): the job ended as \(result.result)") }
    } catch {
      call.log.warning("stopping \(unit): \(error)")
    }
  }

  /// Whether a unit is ours though its process is not seen to be: it is only being born, or it is another program, and systemd brings
  /// it up again and again (see `revival`). One that runs our program has another resource's, and so has one that a record names.
  private func isLoopOfOurs(_ unit: Unit, _ call: Call) throws(SystemError) -> Bool {
    if unit.restarts == 0, try call.host.files.status(Unit.dropInPath(of: unit.name)) == nil { return false }
    guard let process = try call.host.processes.process(unit.mainPID) else { return true }
    return process.executable != binary && DaemonRole.owner(of: process, call) == nil
  }

  private func keepFromRestarting(_ unit: String, _ call: Call) {
    do throws(SystemError) {
      guard try call.host.units.unit(unit).isLoaded else { return }
      try call.host.units.override(unit, with: Self.dropIn)
    } catch { call.log.warning("keeping \(unit) from restarting: \(error)") }
  }

  private func end(
    _ ours: [Process], _ signal: Signal, _ call: Call, _ termDeadline: Instant, _ isFinished: (() -> Bool)?
  ) throws(OCFError) -> Ending {
    let processes = call.host.processes
    func areGone(before deadline: Instant) throws(OCFError) -> Bool {
      try call.host.until(before: deadline) { () throws(OCFError) in
        try attempt("waiting for \(name) to end") { () throws(SystemError) in
          for process in ours where try processes.isAlive(process) { return false }
          return true
        }
      }
    }
    func send(_ signal: Signal, _ process: Process) throws(OCFError) {
      try attempt("sending \(signal) to \(name) (pid \(process.pid))", try processes.signal(signal, to: process))
    }
    if try areGone(before: call.host.clock.now) { return .ended }
    for process in ours {
      try send(signal, process)
      // A stopped process takes no signal but KILL before it goes on.
      if process.isStopped { try send(.continue, process) }
    }
    var finishedSince: Instant?
    while let isFinished, call.host.clock.now < termDeadline {
      if try areGone(before: min(termDeadline, call.host.clock.now + .milliseconds(100))) { return .ended }
      guard isFinished() else { continue }
      let since = finishedSince ?? call.host.clock.now
      finishedSince = since
      if call.host.clock.now - since >= Self.killDelay { break }
    }
    if finishedSince == nil, try areGone(before: termDeadline) { return .ended }
    for process in ours {
      if finishedSince == nil {
        call.log.warning("\(name) did not end in time and is killed", ("VPNHA_PID", String(process.pid)))
      } else {
        call.log.info("\(name) has done its work and does not end: killed", ("VPNHA_PID", String(process.pid)))
      }
      try send(.kill, process)
    }
    guard try areGone(before: call.deadline) else {
      throw .failed("stopping \(name): pid \(ours.map { String($0.pid) }.joined(separator: " ")) is still there after KILL")
    }
    return finishedSince == nil ? .killed : .finished
  }
}
