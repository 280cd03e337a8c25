import Host

/// A process table of values. A process ends on TERM, INT, QUIT, ABRT and KILL unless a reaction says otherwise.
public final class ScriptedProcesses: Processes {
  public var table: [Process] = []
  /// What a process does about signals; without an entry it ends. Whatever it says, KILL ends it unless `unkillable`.
  public var reactions: [Int32: (Signal) -> Void] = [:]
  /// What follows when a signal ends a process that has no reaction to it.
  public var endings: [Int32: () -> Void] = [:]
  /// Pids by the inode of a socket they have open.
  public var socketOwners: [UInt64: Int32] = [:]
  /// What somebody launched who was killed meanwhile: it appears at that moment, or when it is waited for.
  public var underWay: (executable: String, at: Instant)?
  /// Processes in state D.
  public var unkillable: Set<Int32> = []
  /// What happens when a program is launched. Without an entry a process with the command's path and arguments appears.
  public var launches: [String: (Command) throws(SystemError) -> Process] = [:]
  /// What a program that is run answers; without an entry `ENOENT`.
  public var programs: [String: (Command) throws(SystemError) -> CommandResult] = [:]
  /// What a launched process has written, by pid.
  public var outputs: [Int32: String] = [:]
  public private(set) var launched: [Command] = []
  public private(set) var ran: [Command] = []
  /// Arguments with which this program was started anew; such a process is in no table.
  public private(set) var relaunched: [[String]] = []
  /// By pid; 0 where there is no entry.
  public private(set) var nicenesses: [Int32: Int32] = [:]
  public private(set) var signals: [(signal: Signal, pid: Int32)] = []

  /// What calls itself the current process; in no table unless a test puts it there.
  public var this = Process(pid: 900, startTime: 9000, executable: "/agent", arguments: ["/agent"])

  private let calls: Calls
  private let clock: ManualClock
  private var lastPID: Int32 = 1000

  public init(calls: Calls = Calls(), clock: ManualClock = ManualClock()) {
    self.calls = calls
    self.clock = clock
  }

  /// Puts a process into the table, with a pid of its own.
  @discardableResult
  public func appear(_ executable: String, _ arguments: [String] = [], parent: Int32 = 1, state: Character = "S") -> Process {
    lastPID += 1
    let process = Process(
      pid: lastPID, startTime: UInt64(lastPID) * 10, parent: parent, executable: executable,
      arguments: [executable] + arguments, state: state)
    table.append(process)
    return process
  }
  /// Sets what `path` does when it is launched. (Assigning a throwing closure to a dictionary's element crashes Swift 6.3.)
  public func whenLaunched(_ path: String, _ launch: @escaping (Command) throws(SystemError) -> Process) {
    launches[path] = launch
  }
  public func whenRun(_ path: String, _ program: @escaping (Command) throws(SystemError) -> CommandResult) {
    programs[path] = program
  }
  public func vanish(_ pid: Int32) { table.removeAll { $0.pid == pid } }
  /// Ignores everything but KILL.
  public func makeStubborn(_ process: Process) { reactions[process.pid] = { _ in } }
  /// Ends `delay` after the first signal.
  public func makeSlow(_ process: Process, _ delay: Duration) {
    reactions[process.pid] = { [self] _ in clock.after(delay) { [self] in vanish(process.pid) } }
  }

  public func current() throws(SystemError) -> Process {
    try calls.sees("processes.current()")
    return this
  }
  public func process(_ pid: Int32) throws(SystemError) -> Process? {
    try calls.sees("processes.process(\(pid))")
    return table.first { $0.pid == pid }
  }
  public func running(_ executable: String) throws(SystemError) -> [Process] {
    try calls.sees("processes.running(\(executable))")
    return table.filter { $0.executable == executable && $0.state != "Z" }
  }
  public func owner(ofSocket inode: UInt64) throws(SystemError) -> Process? {
    try calls.sees("processes.owner(ofSocket: \(inode))")
    return table.first { $0.pid == socketOwners[inode] }
  }
  public func signal(_ signal: Signal, to process: Process) throws(SystemError) {
    try calls.changes("processes.signal(\(signal) to \(process.pid))")
    guard let index = find(process) else { return }
    signals.append((signal, process.pid))
    if unkillable.contains(process.pid) { return }
    if signal == .continue {
      table[index].state = "S"
    } else if signal != .kill, let reaction = reactions[process.pid] {
      reaction(signal)
    } else {
      table.remove(at: index)
      endings[process.pid]?()
    }
  }
  public func setNiceness(_ niceness: Int32, of process: Process) throws(SystemError) -> Int32 {
    try calls.changes("processes.setNiceness(\(niceness) of \(process.pid))")
    return nicenesses.updateValue(niceness, forKey: process.pid) ?? 0
  }
  public func isAlive(_ process: Process) throws(SystemError) -> Bool {
    try calls.sees("processes.isAlive(\(process.pid))")
    return find(process).map { table[$0].state != "Z" } ?? false
  }
  public func launch(_ command: Command) throws(SystemError) -> Process {
    try calls.changes("processes.launch(\(([command.path] + command.arguments).joined(separator: " ")))")
    launched.append(command)
    if let launch = launches[command.path] { return try launch(command) }
    return appear(command.path, command.arguments)
  }
  public func output(of launched: Process) -> [UInt8] { Array((outputs[launched.pid] ?? "").utf8) }
  public func family(of launched: Process) throws(SystemError) -> [Process] {
    try calls.sees("processes.family(of: \(launched.pid))")
    return table.filter { $0.pid == launched.pid } + table.filter { $0.parent == launched.pid && $0.pid != launched.pid }
  }
  public func awaitLaunches(before deadline: Instant) throws(SystemError) {
    try calls.sees("processes.awaitLaunches()")
    guard let launched = underWay else { return }
    clock.sleep(until: min(deadline, launched.at))
    guard launched.at <= deadline else { throw SystemError("waiting for launches", .timedOut) }
    underWay = nil
    appear(launched.executable)
  }
  public func relaunch(_ arguments: [String], environment: [String: String]) throws(SystemError) -> Process {
    try calls.changes("processes.relaunch(\(arguments.joined(separator: " ")))")
    relaunched.append(arguments)
    return Process(pid: 999, startTime: 9990, executable: "/agent", arguments: ["/agent"] + arguments)
  }
  public func run(_ command: Command, before deadline: Instant) throws(SystemError) -> CommandResult {
    try calls.changes("processes.run(\(([command.path] + command.arguments).joined(separator: " ")))")
    ran.append(command)
    guard let program = programs[command.path] else { throw SystemError("running \(command.path)", .noSuchFile) }
    return try program(command)
  }

  private func find(_ process: Process) -> Int? {
    table.firstIndex { $0.pid == process.pid && $0.startTime == process.startTime }
  }
}
