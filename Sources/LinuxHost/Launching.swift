import CLinux
import Host

/// Programs that are started: to stay, or to be waited for.
extension LinuxProcesses {
  public func launch(_ command: Command) throws(SystemError) -> Process {
    let operation = "starting \(command.path)"
    // The child has the lock as well, and keeps it when we are killed: the kernel closes the child's descriptor in exec, after
    // the process has become the program (`begin_new_exec`). The lock is a shared one: launches do not wait for each other.
    let lock = launching(operation)
    let output = Output()
    let pid = try spawn(command, POSIX_SPAWN_SETSID, operation, keeping: lock.number) { (actions) throws(SystemError) in
      if command.inherited >= 0 { try checkNumber(operation, posix_spawn_file_actions_adddup2(actions, command.inherited, 0)) }
      guard let output else { return }
      try checkNumber(operation, posix_spawn_file_actions_adddup2(actions, output.file.number, 1))
      try checkNumber(operation, posix_spawn_file_actions_adddup2(actions, output.file.number, 2))
    }
    _ = consume lock
    outputs[pid] = output
    // Our child stays in the table until it is waited for, so this finds it even when it has ended.
    guard var process = try process(pid) else { throw SystemError(operation, .noSuchProcess) }
    if process.executable.isEmpty { process.executable = command.path }
    if process.arguments.isEmpty { process.arguments = [command.path] + command.arguments }
    return process
  }

  public func output(of launched: Process) -> [UInt8] { outputs[launched.pid]?.bytes ?? [] }

  public func family(of launched: Process) throws(SystemError) -> [Process] {
    let operation = "looking for the children of process \(launched.pid)"
    var parents: [Int32: Int32] = [:]
    var members: Set<Int32> = []
    for name in try names(in: try Descriptor(opening: proc, O_RDONLY | O_DIRECTORY, operation: operation), operation) {
      guard let pid = Int32(name) else { continue }
      do throws(SystemError) {
        let status = try status(pid)
        if status.state == "Z" || status.state == "X" { continue }
        parents[pid] = status.parent
        // As long as one process is in the session, no other gets its number.
        if status.session == launched.pid { members.insert(pid) }
      } catch  where error.isAbsence || error.errno == .noSuchProcess {
        // It ended while we looked.
      }
    }
    var before = -1
    while members.count != before {
      before = members.count
      for (pid, parent) in parents where members.contains(parent) { members.insert(pid) }
    }
    var found: [Process] = []
    for pid in members.sorted(by: { ($0 == launched.pid ? 0 : $0) < ($1 == launched.pid ? 0 : $1) }) {
      if let process = try process(pid) { found.append(process) }
    }
    return found
  }

  /// A locked descriptor; one with the number -1 where the file cannot be: who may not write there is alone with his daemons.
  private func launching(_ operation: String) -> Descriptor {
    guard let launches else { return Descriptor(owning: -1) }
    do throws(SystemError) {
      let file = try Descriptor(opening: launches, O_RDONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK, mode: 0o600, operation: operation)
      // Who holds it alone only looks, and has gone in a moment.
      let limit = LinuxClock.now + .seconds(1)
      while flock(file.number, LOCK_SH | LOCK_NB) != 0, LinuxClock.now < limit { LinuxClock.sleep(until: LinuxClock.now + .milliseconds(1)) }
      return file
    } catch { return Descriptor(owning: -1) }
  }

  public func awaitLaunches(before deadline: Instant) throws(SystemError) {
    guard let launches else { return }
    let operation = "waiting for launches"
    do throws(SystemError) {
      // flock asks for no right to write, and who only looks must get by where there is none.
      let file = try Descriptor(opening: launches, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, operation: operation)
      var pause = Duration.milliseconds(1)
      while flock(file.number, LOCK_EX | LOCK_NB) != 0 {
        let now = LinuxClock.now
        guard now < deadline else { throw SystemError(operation, .timedOut) }
        LinuxClock.sleep(until: min(deadline, now + pause))
        pause = min(pause * 2, .milliseconds(50))
      }
    } catch  where error.isAbsence {
      // Nothing was ever launched here.
    }
  }

  public func relaunch(_ arguments: [String], environment: [String: String]) throws(SystemError) -> Process {
    guard let path = try linkTarget(at: AT_FDCWD, "\(proc)/self/exe", getpid()) else {
      throw SystemError("starting this program anew", .noSuchFile)
    }
    return try launch(Command(path, arguments, environment: environment))
  }

  public func run(_ command: Command, before deadline: Instant) throws(SystemError) -> CommandResult {
    try run([command], before: deadline)[0]
  }

  public func run(_ commands: [Command], before deadline: Instant) throws(SystemError) -> [CommandResult] {
    let width = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
    var results = [CommandResult](repeating: CommandResult(.timedOut), count: commands.count)
    var running: [(index: Int, command: RunningCommand)] = []
    var next = 0
    while next < commands.count || !running.isEmpty {
      while running.count < width, next < commands.count {
        running.append((next, try begin(commands[next])))
        next += 1
      }
      var requests = running.flatMap(\.command.requests)
      guard try pollUntil(deadline, &requests, "running \(commands[running[0].index].path)") else {
        for (index, command) in running { results[index] = try command.kill() }
        return results
      }
      for (place, (index, command)) in running.enumerated() {
        if let result = try command.look(requests[(3 * place)..<(3 * place + 3)]) { results[index] = result }
      }
      running.removeAll(where: \.command.hasEnded)
    }
    return results
  }

  private func begin(_ command: Command) throws(SystemError) -> RunningCommand {
    let operation = "running \(command.path)"
    let output = try Capture(limit: command.outputLimit, operation)
    let error = try Capture(limit: command.outputLimit, operation)
    let (out, err) = (output.writingNumber, error.writingNumber)
    let input = command.input.isEmpty ? nil : try Input(command.input, operation)
    let lock = launching(operation)
    let pid = try spawn(command, Int32(POSIX_SPAWN_SETPGROUP), operation, keeping: lock.number) { (actions) throws(SystemError) in
      if let input { try checkNumber(operation, posix_spawn_file_actions_adddup2(actions, input.file.number, 0)) }
      try checkNumber(operation, posix_spawn_file_actions_adddup2(actions, out, 1))
      try checkNumber(operation, posix_spawn_file_actions_adddup2(actions, err, 2))
    }
    _ = consume lock
    return try RunningCommand(Child(pid), output, error, operation)
  }

  /// Starts `command` with an empty signal mask, default signal actions, `/dev/null` for input (and output, unless
  /// `streams` says otherwise), and no other descriptor; until it runs it has `kept` too, which closes itself then.
  private func spawn(
    _ command: Command, _ flags: Int32, _ operation: String, keeping kept: Int32 = -1,
    streams: (UnsafeMutablePointer<posix_spawn_file_actions_t>) throws(SystemError) -> Void
  ) throws(SystemError) -> Int32 {
    guard command.path.hasPrefix("/") else { throw SystemError(operation, .invalidArgument, detail: "not an absolute path") }
    var actions = posix_spawn_file_actions_t()
    try checkNumber(operation, posix_spawn_file_actions_init(&actions))
    defer { posix_spawn_file_actions_destroy(&actions) }
    for (number, mode) in [(Int32(0), O_RDONLY), (1, O_WRONLY), (2, O_WRONLY)] {
      try checkNumber(operation, posix_spawn_file_actions_addopen(&actions, number, "/dev/null", mode, 0))
    }
    try streams(&actions)
    for number in 3..<max(3, kept) { try checkNumber(operation, posix_spawn_file_actions_addclose(&actions, number)) }
    try checkNumber(operation, posix_spawn_file_actions_addclosefrom_np(&actions, max(3, kept + 1)))

    var attributes = posix_spawnattr_t()
    try checkNumber(operation, posix_spawnattr_init(&attributes))
    defer { posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    var every = sigset_t()
    sigemptyset(&none)
    sigfillset(&every)
    try checkNumber(operation, posix_spawnattr_setsigmask(&attributes, &none))
    try checkNumber(operation, posix_spawnattr_setsigdefault(&attributes, &every))
    try checkNumber(operation, posix_spawnattr_setpgroup(&attributes, 0))
    let all = flags | Int32(POSIX_SPAWN_SETSIGMASK) | Int32(POSIX_SPAWN_SETSIGDEF)
    try checkNumber(operation, posix_spawnattr_setflags(&attributes, Int16(truncatingIfNeeded: all)))

    var environment = ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"]
    environment.merge(command.environment) { _, given in given }
    let words = [command.path] + command.arguments
    let settings = environment.map { "\($0.key)=\($0.value)" }.sorted()
    var pid: Int32 = 0
    let number = withCStrings(words) { words in
      withCStrings(settings) { settings in posix_spawn(&pid, command.path, &actions, &attributes, words, settings) }
    }
    try checkNumber(operation, number)
    return pid
  }
}
