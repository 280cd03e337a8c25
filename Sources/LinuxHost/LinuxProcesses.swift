import CLinux
import Host

/// The process table as `/proc` shows it (proc(5)), pidfds, and `posix_spawn`.
public final class LinuxProcesses: Processes {
  private let proc: String
  private let launches: String?
  private var outputs: [Int32: Output] = [:]

  /// - Parameter launches: a file that every launch on this node has locked until its program runs. It stays, and is empty.
  ///   Nil where nobody waits for launches.
  public init(launches: String? = nil) {
    proc = "/proc"
    self.launches = launches
  }

  // MARK: Looking

  public func current() throws(SystemError) -> Process {
    guard let process = try process(getpid()) else { throw SystemError("looking at this process", .noSuchProcess) }
    return process
  }

  public func process(_ pid: Int32) throws(SystemError) -> Process? {
    guard pid > 0 else { return nil }
    do throws(SystemError) {
      // One open directory is one process, even if its pid is reused while we look.
      let directory = try Descriptor(opening: "\(proc)/\(pid)", O_PATH | O_DIRECTORY, operation: "looking at process \(pid)")
      return try process(pid, directory)
    } catch  where error.isAbsence || error.errno == .noSuchProcess {
      return nil
    }
  }

  public func running(_ executable: String) throws(SystemError) -> [Process] {
    let wanted = Set([executable, resolved(executable)])
    let all = try Descriptor(opening: proc, O_RDONLY | O_DIRECTORY, operation: "listing processes")
    var found: [Process] = []
    var failure: SystemError?
    let name = executable.split(separator: "/").last.map(String.init) ?? executable
    try eachName(in: all, "listing processes") { entry in
      guard let pid = Int32(String(cString: entry)), pid > 0 else { return true }
      do throws(SystemError) {
        let path: String?
        do throws(SystemError) {
          path = try linkTarget(at: all.number, "\(pid)/exe", pid)
        } catch  where error.errno == .accessDenied || error.errno == .notPermitted {
          // Only a process that may be the one makes its secrecy a problem.
          guard try comm(at: all.number, "\(pid)/comm", pid) == String(name.prefix(15)), try isRoots(at: all.number, pid) else {
            return true
          }
          throw error
        }
        guard let path, wanted.contains(path), try sharesNamespace("net", at: all.number, pid), try isRoots(at: all.number, pid)
        else { return true }
        if let process = try process(pid), process.state != "Z", wanted.contains(process.executable) { found.append(process) }
      } catch  where error.isAbsence || error.errno == .noSuchProcess {
        // It ended while we looked.
      } catch {
        failure = error
        return false
      }
      return true
    }
    if let failure { throw failure }
    return found.sorted { $0.pid < $1.pid }
  }

  public func owner(ofSocket inode: UInt64) throws(SystemError) -> Process? {
    let wanted = "socket:[\(inode)]"
    let all = try Descriptor(opening: proc, O_RDONLY | O_DIRECTORY, operation: "listing processes")
    var found: Process?
    var failure: SystemError?
    try eachName(in: all, "listing processes") { entry in
      guard let pid = Int32(String(cString: entry)), pid > 0 else { return true }
      do throws(SystemError) {
        if try holds(wanted, pid) { found = try process(pid) }
      } catch  where error.isAbsence || [.noSuchProcess, .accessDenied, .notPermitted].contains(error.errno) {
        // It ended while we looked, or is hidden from us.
      } catch {
        failure = error
      }
      return found == nil && failure == nil
    }
    if let failure { throw failure }
    return found
  }

  /// Whether one of the process's descriptors is the object of this name.
  private func holds(_ name: String, _ pid: Int32) throws(SystemError) -> Bool {
    let operation = "looking at descriptors of process \(pid)"
    let descriptors = try Descriptor(opening: "\(proc)/\(pid)/fd", O_RDONLY | O_DIRECTORY, operation: operation)
    var found = false
    var failure: SystemError?
    try eachName(in: descriptors, operation) { entry in
      let number = String(cString: entry)
      guard Int32(number) != nil else { return true }
      do throws(SystemError) { found = try linkTarget(at: descriptors.number, number, pid) == name } catch { failure = error }
      return !found && failure == nil
    }
    if let failure { throw failure }
    return found
  }

  /// Whether a process lives in our namespace of this kind. Where that cannot be read, it may.
  private func sharesNamespace(_ kind: String, at directory: Int32, _ pid: Int32) throws(SystemError) -> Bool {
    func namespace(_ path: String) throws(SystemError) -> String? {
      do throws(SystemError) { return try linkTarget(at: directory, path, pid) } catch
        where error.errno == .accessDenied || error.errno == .notPermitted
      {
        return nil
      }
    }
    guard let ours = try namespace("thread-self/ns/\(kind)"), let theirs = try namespace("\(pid)/ns/\(kind)") else { return true }
    return ours == theirs
  }

  /// Whether root (or the user we are) has it run: anybody can run a daemon's program with a daemon's arguments, and do in it what he likes.
  private func isRoots(at directory: Int32, _ pid: Int32) throws(SystemError) -> Bool {
    let operation = "looking at process \(pid)"
    let file = try Descriptor(opening: "\(pid)/status", O_RDONLY, at: directory, operation: operation)
    let owner = try ProcessOwner(try file.readToEnd(limit: 65_536, operation), operation)
    guard owner.isTrusted(byUser: getuid()) else { return false }
    // Where a user has made a namespace of his own, he is root.
    return try sharesNamespace("user", at: directory, pid)
  }

  public func isAlive(_ process: Process) throws(SystemError) -> Bool {
    guard process.pid > 0 else { return false }
    do throws(SystemError) {
      let status = try status(process.pid)
      return status.startTime == process.startTime && status.state != "Z" && status.state != "X"
    } catch  where error.isAbsence || error.errno == .noSuchProcess {
      return false
    }
  }

  // MARK: Signals

  public func signal(_ signal: Signal, to process: Process) throws(SystemError) {
    let operation = "sending \(signal) to process \(process.pid)"
    guard process.pid > 0 else { throw SystemError(operation, .invalidArgument) }
    do throws(SystemError) {
      // The pidfd is opened first, so that what the start time says holds for what gets the signal.
      let descriptor = Descriptor(owning: try check(operation) { clinux_pidfd_open(process.pid) })
      guard try status(process.pid).startTime == process.startTime else { return }
      try check(operation) { clinux_pidfd_send_signal(descriptor.number, signal.rawValue) }
    } catch  where error.isAbsence || error.errno == .noSuchProcess {
      return
    }
  }

  public func setNiceness(_ niceness: Int32, of process: Process) throws(SystemError) -> Int32 {
    let operation = "setting the niceness of process \(process.pid)"
    guard process.pid > 0 else { throw SystemError(operation, .invalidArgument) }
    // The kernel takes a pid here. Should it be another's in the next moment, no harm is done.
    guard try isAlive(process) else { return niceness }
    do throws(SystemError) {
      errno = 0
      let before = getpriority(Int32(PRIO_PROCESS.rawValue), id_t(process.pid))
      if before == -1, errno != 0 { throw SystemError(operation, Errno(rawValue: errno)) }
      try check(operation) { setpriority(Int32(PRIO_PROCESS.rawValue), id_t(process.pid), niceness) }
      return before
    } catch  where error.errno == .noSuchProcess {
      return niceness
    }
  }

  // MARK: Starting

  public func launch(_ command: Command) throws(SystemError) -> Process {
    let operation = "starting \(command.path)"
    // The child has the lock as well, and keeps it when we are killed: the kernel closes the child's descriptor in exec, after
    // the process has become the program (`begin_new_exec`). The lock is a shared one: launches do not wait for each other.
    let lock = launching(operation)
    let output = Output()
    let pid = try spawn(command, POSIX_SPAWN_SETSID, operation, keeping: lock.number) { (actions) throws(SystemError) in
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
    var child = Child(pid)
    output.closeWriting()
    error.closeWriting()
    let ended = Descriptor(owning: try check(operation) { clinux_pidfd_open(pid) })

    var hasEnded = false
    while !hasEnded {
      var requests = [
        pollfd(fd: ended.number, events: Int16(POLLIN), revents: 0),
        pollfd(fd: output.readingNumber, events: Int16(POLLIN), revents: 0),
        pollfd(fd: error.readingNumber, events: Int16(POLLIN), revents: 0),
      ]
      guard try pollUntil(deadline, &requests, operation) else {
        child.killGroup()
        // A process in an uninterruptible call does not die; init will reap it after us.
        var last = [pollfd(fd: ended.number, events: Int16(POLLIN), revents: 0)]
        if try pollUntil(LinuxClock.now + .milliseconds(200), &last, operation) { _ = child.reap() } else { child.abandon() }
        try output.drain(operation)
        try error.drain(operation)
        return CommandResult(.timedOut, output: output.bytes, error: error.bytes)
      }
      // The ending is looked at first and the pipes after it, so that all the child wrote is read.
      hasEnded = requests[0].revents != 0
      if hasEnded || requests[1].revents != 0 { try output.drain(operation) }
      if hasEnded || requests[2].revents != 0 { try error.drain(operation) }
    }
    guard let ending = child.reap() else { throw SystemError(operation, .noSuchProcess) }
    return CommandResult(ending, output: output.bytes, error: error.bytes)
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

  // MARK: /proc

  private func process(_ pid: Int32, _ directory: borrowing Descriptor) throws(SystemError) -> Process {
    let operation = "looking at process \(pid)"
    let stat = try Descriptor(opening: "stat", O_RDONLY, at: directory.number, operation: operation)
    let status = try ProcessStatus(try stat.readToEnd(limit: 4096, operation), operation)
    let cmdline = try Descriptor(opening: "cmdline", O_RDONLY, at: directory.number, operation: operation)
    // A command line has no limit worth naming; what lies beyond this says nothing about whose process it is.
    var line: [UInt8] = []
    while line.count < 131_072 {
      let part = try cmdline.readPart(16_384, operation)
      if part.isEmpty { break }
      line += part
    }
    if line.last == 0 { line.removeLast() }
    let arguments =
      line.isEmpty
      ? [] : line.split(separator: 0, omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }
    var executable = ""
    do throws(SystemError) {
      executable = try linkTarget(at: directory.number, "exe", pid) ?? ""
    } catch  where error.errno == .accessDenied || error.errno == .notPermitted {
      // Somebody else's process, seen without privileges.
    }
    return Process(
      pid: pid, startTime: status.startTime, parent: status.parent, executable: executable, arguments: arguments,
      state: status.state)
  }

  private func status(_ pid: Int32) throws(SystemError) -> ProcessStatus {
    let operation = "looking at process \(pid)"
    let file = try Descriptor(opening: "\(proc)/\(pid)/stat", O_RDONLY, operation: operation)
    return try ProcessStatus(try file.readToEnd(limit: 4096, operation), operation)
  }

  /// Nil for what is not there, as the executable of a zombie or of a kernel thread.
  private func linkTarget(at directory: Int32, _ path: String, _ pid: Int32) throws(SystemError) -> String? {
    var buffer = [CChar](repeating: 0, count: 4096)
    do throws(SystemError) {
      let count = try check("looking at process \(pid)") { readlinkat(directory, path, &buffer, buffer.count) }
      let text = String(decoding: buffer[..<count].lazy.map(UInt8.init(bitPattern:)), as: UTF8.self)
      return text.hasSuffix(" (deleted)") ? String(text.dropLast(10)) : text
    } catch  where error.errno == .noSuchFile {
      return nil
    }
  }

  private func comm(at directory: Int32, _ path: String, _ pid: Int32) throws(SystemError) -> String {
    let operation = "looking at process \(pid)"
    let file = try Descriptor(opening: path, O_RDONLY, at: directory, operation: operation)
    return String(String(decoding: try file.readToEnd(limit: 64, operation), as: UTF8.self).prefix { $0 != "\n" })
  }

  private func resolved(_ path: String) -> String {
    guard let real = realpath(path, nil) else { return path }
    defer { free(real) }
    return String(cString: real)
  }
}

/// What `/proc/PID/stat` says (proc_pid_stat(5)).
struct ProcessStatus: Equatable {
  var state: Character
  var parent: Int32
  var session: Int32
  var startTime: UInt64

  init(_ text: [UInt8], _ operation: String) throws(SystemError) {
    // The name in parentheses may hold anything, parentheses and newlines included.
    guard let end = text.lastIndex(of: UInt8(ascii: ")")) else { throw SystemError(operation, .badMessage) }
    let fields = text[(end + 1)...].split { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\n") }
      .map { String(decoding: $0, as: UTF8.self) }
    // The first of these is field 3.
    guard fields.count >= 20, let state = fields[0].first, let parent = Int32(fields[1]), let session = Int32(fields[3]),
      let startTime = UInt64(fields[19])
    else { throw SystemError(operation, .badMessage) }
    self.state = state
    self.parent = parent
    self.session = session
    self.startTime = startTime
  }
}

/// Whose process it is, as `/proc/PID/status` says (proc_pid_status(5)).
struct ProcessOwner: Equatable {
  /// Real, effective and saved.
  var users: [UInt32]
  var effectiveCapabilities: UInt64

  init(_ text: [UInt8], _ operation: String) throws(SystemError) {
    var users: [UInt32] = []
    var capabilities: UInt64?
    for line in text.split(separator: UInt8(ascii: "\n")) {
      let isUsers = line.starts(with: "Uid:".utf8)
      guard isUsers || line.starts(with: "CapEff:".utf8) else { continue }
      let words = String(decoding: line, as: UTF8.self).split(whereSeparator: \.isWhitespace).dropFirst()
      if isUsers { users = words.prefix(3).compactMap { UInt32($0) } } else { capabilities = words.first.flatMap { UInt64($0, radix: 16) } }
    }
    guard users.count == 3, let capabilities else { throw SystemError(operation, .badMessage) }
    self.users = users
    effectiveCapabilities = capabilities
  }

  /// Root's and the user's own processes are; so is a daemon that root has made another user's and let keep what it needs to change
  /// the network (charon with `charon.user`), which nobody can give to himself. A program that is set-uid root keeps its user's
  /// real id, and is not.
  func isTrusted(byUser own: UInt32) -> Bool {
    if users[0] == 0 || users[0] == own { return true }
    return Set(users).count == 1 && effectiveCapabilities & (1 << 12) != 0
  }
}

/// A child to be waited for. One that is forgotten on the way out of an error is killed with its group.
private struct Child: ~Copyable {
  private var pid: Int32

  init(_ pid: Int32) { self.pid = pid }
  deinit {
    guard pid > 0 else { return }
    _ = kill(-pid, SIGKILL)
    while waitpid(pid, nil, 0) == -1, errno == EINTR {}
  }

  func killGroup() { _ = kill(-pid, SIGKILL) }
  mutating func abandon() { pid = 0 }

  /// Nil when somebody else has waited for it.
  mutating func reap() -> CommandResult.Ending? {
    var status: Int32 = 0
    var answer: Int32
    repeat { answer = waitpid(pid, &status, 0) } while answer == -1 && errno == EINTR
    defer { pid = 0 }
    guard answer == pid else { return nil }
    let signal = status & 0x7f
    return signal == 0 ? .exited(status >> 8 & 0xff) : .signalled(signal)
  }
}

/// A file without a name that a daemon writes into as long as it lives. It does not grow: what is written beyond its end is refused
/// (EPERM), and nobody is kept waiting. It is gone with the daemon.
private final class Output {
  let file: Descriptor
  private static let size = 65_536

  /// Nil where there can be none: the daemon is started all the same.
  init?() {
    let file = Descriptor(owning: clinux_memfd_create("output", 3 /* MFD_CLOEXEC | MFD_ALLOW_SEALING */))
    // F_ADD_SEALS; F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW
    guard file.number != -1, ftruncate(file.number, off_t(Self.size)) == 0, clinux_fcntl(file.number, 1033, 1 | 2 | 4) == 0
    else { return nil }
    self.file = file
  }

  /// Who writes and we have one offset between us.
  var bytes: [UInt8] {
    let count = lseek(file.number, 0, SEEK_CUR)
    guard count > 0 else { return [] }
    var buffer = [UInt8](repeating: 0, count: Int(count))
    let got = buffer.withUnsafeMutableBytes { pread(file.number, $0.baseAddress, $0.count, 0) }
    return Array(buffer.prefix(max(0, got)))
  }
}

/// A pipe a child writes into, of which the first bytes are kept.
private final class Capture {
  private(set) var bytes: [UInt8] = []
  private var reading: Descriptor? = nil
  private var writing: Descriptor? = nil
  private let limit: Int

  var readingNumber: Int32 { reading?.number ?? -1 }
  var writingNumber: Int32 { writing?.number ?? -1 }

  init(limit: Int, _ operation: String) throws(SystemError) {
    self.limit = max(0, limit)
    var ends: [Int32] = [-1, -1]
    try check(operation) { pipe2(&ends, O_CLOEXEC) }
    reading = Descriptor(owning: ends[0])
    writing = Descriptor(owning: ends[1])
    // The child's end stays blocking.
    try check(operation) { clinux_fcntl(ends[0], F_SETFL, O_NONBLOCK) }
  }

  func closeWriting() { writing = nil }

  /// Reads what is there. The end, once met, is not asked for again.
  func drain(_ operation: String) throws(SystemError) {
    // A child that writes without end must not keep us here past its deadline: at most a pipe's capacity each time.
    var left = 1_048_576
    while left > 0, reading != nil {
      do throws(SystemError) {
        guard let part = try reading?.readPart(16_384, operation) else { return }
        if part.isEmpty {
          reading = nil
          return
        }
        left -= part.count
        bytes += part.prefix(limit - bytes.count)
      } catch  where error.errno == .wouldBlock {
        return
      }
    }
  }
}

/// A file without a name that a child reads from its beginning. Unlike a pipe it takes everything at once, however slowly it
/// is read.
private final class Input {
  let file: Descriptor

  init(_ bytes: [UInt8], _ operation: String) throws(SystemError) {
    file = Descriptor(owning: try check(operation) { clinux_memfd_create("input", 1 /* MFD_CLOEXEC */) })
    try file.writeAll(bytes, operation)
    try check(operation) { lseek(file.number, 0, SEEK_SET) }
  }
}

/// A null-terminated array of C strings, as `execve` wants it.
private func withCStrings<Value>(_ texts: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Value) -> Value {
  var bytes: [CChar] = []
  var starts: [Int] = []
  for text in texts {
    starts.append(bytes.count)
    bytes += text.utf8CString
  }
  return bytes.withUnsafeMutableBufferPointer { bytes in
    var pointers: [UnsafeMutablePointer<CChar>?] = starts.map { start in bytes.baseAddress.map { $0 + start } }
    pointers.append(nil)
    return pointers.withUnsafeBufferPointer { pointers in
      // An array with the final nil in it is never empty.
      guard let base = pointers.baseAddress else { preconditionFailure("an array of pointers without storage") }
      return body(base)
    }
  }
}
