/// A process, identified so that a reused pid is never mistaken for it: pid and start time belong together.
public struct Process: Hashable, Sendable {
  public var pid: Int32
  /// Clock ticks since boot (`/proc/PID/stat`, field 22).
  public var startTime: UInt64
  public var parent: Int32
  /// What `/proc/PID/exe` names, without a trailing ` (deleted)`; empty for a zombie or a kernel thread.
  public var executable: String
  public var arguments: [String]
  /// `R` `S` `D` `T` `Z` … (`/proc/PID/stat`, field 3).
  public var state: Character
  /// What it had used when it was looked at, in ticks of 10 ms (`/proc/PID/stat`, fields 14 and 15). It makes no other process of it.
  public var processorTime: UInt64

  public init(
    pid: Int32, startTime: UInt64, parent: Int32 = 1, executable: String, arguments: [String], state: Character = "S", processorTime: UInt64 = 0
  ) {
    self.pid = pid
    self.startTime = startTime
    self.parent = parent
    self.executable = executable
    self.arguments = arguments
    self.state = state
    self.processorTime = processorTime
  }

  public static func == (a: Process, b: Process) -> Bool {
    (a.pid, a.startTime, a.parent, a.state) == (b.pid, b.startTime, b.parent, b.state) && a.executable == b.executable && a.arguments == b.arguments
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(pid)
    hasher.combine(startTime)
  }

  public var isStopped: Bool { state == "T" || state == "t" }
}

public enum Signal: Int32, Sendable {
  case interrupt = 2
  case quit = 3
  case abort = 6
  case kill = 9
  case terminate = 15
  case `continue` = 18
  case stop = 19
}

/// A program to run: an absolute path and its arguments, never a shell.
public struct Command: Hashable, Sendable {
  public var path: String
  /// Without the program's own name.
  public var arguments: [String]
  /// Added to a minimal environment (`PATH`, `LC_ALL=C`).
  public var environment: [String: String]
  /// What it reads from standard input.
  public var input: [UInt8]
  /// A descriptor of ours that is its standard input, for a command that is launched; -1: none.
  public var inherited: Int32
  /// Bytes kept of standard output and of standard error.
  public var outputLimit: Int

  public init(
    _ path: String, _ arguments: [String] = [], environment: [String: String] = [:], input: [UInt8] = [], inherited: Int32 = -1,
    outputLimit: Int = 65_536
  ) {
    self.path = path
    self.arguments = arguments
    self.environment = environment
    self.input = input
    self.inherited = inherited
    self.outputLimit = outputLimit
  }
}

/// How a command ended. A non-zero exit is a value, not an error.
public struct CommandResult: Hashable, Sendable {
  public enum Ending: Hashable, Sendable {
    case exited(Int32)
    case signalled(Int32)
    case timedOut
  }
  public var ending: Ending
  public var output: [UInt8]
  public var error: [UInt8]

  public init(_ ending: Ending, output: [UInt8] = [], error: [UInt8] = []) {
    self.ending = ending
    self.output = output
    self.error = error
  }

  public var succeeded: Bool { ending == .exited(0) }
}

public protocol Processes: AnyObject {
  /// This very process.
  func current() throws(SystemError) -> Process
  /// The process with this pid, nil when there is none.
  func process(_ pid: Int32) throws(SystemError) -> Process?
  /// Every process that runs `executable` (by `/proc/PID/exe`) in our network namespace and that root has run, zombies not counted.
  /// A container's daemon of the same path is somebody else's; and what an unprivileged user runs can be anything, whatever its
  /// program and its arguments.
  func running(_ executable: String) throws(SystemError) -> [Process]
  /// A process that has the socket of this inode open; nil when none is seen. Looks at every descriptor on the node.
  func owner(ofSocket inode: UInt64) throws(SystemError) -> Process?
  /// Signals exactly this process; nothing happens when it has gone, even if its pid was reused (pidfd and start time).
  func signal(_ signal: Signal, to process: Process) throws(SystemError)
  /// Sets how much this process leaves the processor to others, −20 to 19 (`setpriority(2)`), and returns what it was. Nothing
  /// happens, and the answer is `niceness`, when it has gone.
  @discardableResult
  func setNiceness(_ niceness: Int32, of process: Process) throws(SystemError) -> Int32
  /// Whether this very process (same pid and start time) still exists and is not a zombie.
  func isAlive(_ process: Process) throws(SystemError) -> Bool
  /// Starts a daemon in a session of its own; it outlives us. It reads nothing but what it inherits, and of what it writes to its standard output and
  /// standard error the first 64 KiB are kept, in memory; more than that is refused, and never waits for a reader.
  func launch(_ command: Command) throws(SystemError) -> Process
  /// What a process that we launched has written so far; empty for any other.
  func output(of launched: Process) -> [UInt8]
  /// What belongs to a process that we launched: everything in its session, and what descends from that; the process itself first.
  func family(of launched: Process) throws(SystemError) -> [Process]
  /// Returns when no launch is under way on this node. Somebody who is killed while he launches a daemon leaves a process that
  /// is not that daemon yet: who looks for daemons in order to end them has to let it become one. `ETIMEDOUT` at `deadline`.
  func awaitLaunches(before deadline: Instant) throws(SystemError)
  /// Starts this very program anew, as `launch` does.
  func relaunch(_ arguments: [String], environment: [String: String]) throws(SystemError) -> Process
  /// Runs `command` to its end, at the latest until `deadline`, when its process group is killed (`.timedOut`).
  /// `ENOENT` when the program is missing.
  func run(_ command: Command, before deadline: Instant) throws(SystemError) -> CommandResult
  /// Runs commands that do not depend on each other: as many at a time as there are processors, all of them until `deadline`. What has not
  /// ended by then is killed, and the rest is not started (`.timedOut`).
  ///
  /// - Returns: their results, in the order of `commands`.
  func run(_ commands: [Command], before deadline: Instant) throws(SystemError) -> [CommandResult]
}

extension Processes {
  /// One after the other.
  public func run(_ commands: [Command], before deadline: Instant) throws(SystemError) -> [CommandResult] {
    var results: [CommandResult] = []
    for command in commands { results.append(try run(command, before: deadline)) }
    return results
  }
}
