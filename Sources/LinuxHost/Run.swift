import CLinux
import Host
import OCF
import OCFMetadata

/// Runs an agent as the cluster calls it: `TYPE ACTION`, everything else in the environment. The whole of an agent's
/// `main`.
public func run<Agent: ResourceAgent>(_: Agent.Type) -> Never {
  openStandardStreams()
  explainTraps()
  let arguments = CommandLine.arguments
  if let work = Agent.detachedWork(for: arguments) { runDetached(work) }
  let processes = LinuxProcesses.ofAgents
  if let status = LinuxNetwork.runAnnouncer(arguments: arguments, processes: processes) { exit(status) }
  let clock = LinuxClock()
  let start = clock.now
  let request = Request(arguments: arguments, environment: processEnvironment())

  guard let action = request.action, Agent.supports(action) else {
    let known = Action.allCases.filter { Agent.supports($0) }.map(\.rawValue).joined(separator: "|")
    finish(Outcome(.unimplemented, "\(request.actionName.prefix(40)): unknown action, expected \(known)"), request)
  }
  if action == .metaData {
    do throws(SystemError) {
      writeAll(Array(try metadata(of: Agent.self, named: request.type).utf8), to: 1)
      exit(0)
    } catch {
      finish(Outcome(.genericError, "\(error)"), request)
    }
  }
  if let major = request.environment["OCF_RA_VERSION_MAJOR"], major != "1" {
    finish(Outcome(.genericError, "OCF_RA_VERSION_MAJOR: this agent speaks version 1, the cluster \(major.prefix(10))"), request)
  }

  let log = LinuxLog(environment: request.environment, type: request.type, instance: request.instance, action: request.actionName)
  let host = Host(log: log, processes: processes, clock: clock, until: request.deadline(from: start)).recorded
  let outcome = perform(Agent.self, request, on: host, from: start)
  if outcome.isFailure {
    log.recordFailure(status: outcome.status.rawValue, reason: outcome.reason ?? outcome.status.name)
  }
  finish(outcome, request)
}

/// The work gets the call that started it, with its limit as its time. What a resident looks at all the time is not recorded.
private func runDetached<Agent: ResourceAgent>(_ work: DetachedWork<Agent>) -> Never {
  let request = Request(arguments: CommandLine.arguments, environment: processEnvironment())
  let clock = LinuxClock()
  let log = LinuxLog(environment: request.environment, type: request.type, instance: request.instance, action: request.actionName)
  let host = Host(log: log, processes: LinuxProcesses.ofAgents, clock: clock)
  let loaded = Agent.loaded(from: request)
  if loaded.isUnidentified { exit(1) }
  let deadline = work.limit.map { clock.now + $0 } ?? Instant(nanoseconds: .max)
  work.run(loaded.agent, Call(host: work.limit == nil ? host : host.recorded, request: request, deadline: deadline))
  exit(0)
}

/// For a program that is every agent, and was called by no agent's name.
public func runUnnamed(_ name: Substring) -> Never {
  openStandardStreams()
  finish(Outcome(.notInstalled, "no agent is named \(name.prefix(40))"), Request(arguments: CommandLine.arguments, environment: processEnvironment()))
}

/// Runs `body` and always exits 0, after `seconds` at the latest.
public func runUnfailing(within seconds: UInt32, _ body: (Host, [String: String], LastWord) -> Void) -> Never {
  openStandardStreams()
  let lastWord = LastWord()
  var action = sigaction()
  action.__sigaction_handler.sa_handler = { _ in
    LastWord.say()
    _exit(0)
  }
  for signal in [SIGILL, SIGTRAP, SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGALRM, SIGTERM] { sigaction(signal, &action, nil) }
  action.__sigaction_handler.sa_handler = SIG_IGN
  sigaction(SIGPIPE, &action, nil)
  // The resolver and the loader have time limits of their own, which may be longer.
  alarm(seconds)
  body(.silent, processEnvironment(), lastWord)
  exit(0)
}

private final class Silence: Log {
  func write(_: LogLevel, _: String, _: [(String, String)]) {}
}

extension Host {
  /// This machine, for what is no agent and keeps no log.
  public static var silent: Host { Host(log: Silence(), processes: LinuxProcesses(), clock: LinuxClock()) }

  /// This machine.
  fileprivate init(log: any Log, processes: LinuxProcesses, clock: LinuxClock, until deadline: Instant? = nil) {
    let files = LinuxFiles()
    self.init(
      network: LinuxNetwork(processes: processes), packetFilter: LinuxPacketFilter(), processes: processes,
      units: LinuxUnits(files: files, clock: clock, until: deadline), files: files, sockets: LinuxSockets(), clock: clock,
      cluster: LinuxCluster(processes: processes, clock: clock), events: LinuxEvents(), log: log)
  }
}

extension LinuxProcesses {
  /// What an agent launches, the next one can wait for.
  fileprivate static var ofAgents: LinuxProcesses { LinuxProcesses(launches: "/run/resource-agents/vpnha-launches.lock") }
}

extension Outcome {
  /// Whether somebody must act. 7 from a monitor is an answer, not a failure.
  var isFailure: Bool {
    switch status {
    case .success, .notRunning, .runningPromoted: false
    default: true
    }
  }
}

/// Writes the one reason line and ends the process.
private func finish(_ outcome: Outcome, _ request: Request) -> Never {
  if let reason = outcome.reason {
    // `vpnha run` shows a person all of it.
    let limit = request.isForAPerson ? 4096 : 128
    writeAll(reasonLine(reason, prefix: request.reasonPrefix, limit: limit), to: 2)
  }
  exit(outcome.status.rawValue)
}

/// Plain text of at most `limit` bytes and a newline. Pacemaker cuts at 128, and would cut in the middle of a character.
func reasonLine(_ reason: String, prefix: String, limit: Int = 128) -> [UInt8] {
  var line = Array(prefix.utf8) + Array(reason.plain.utf8).without(mark: prefix)
  if line.count > limit {
    var end = limit - 3
    // What comes next is the rest of a character.
    while end > 0, line[end] & 0xc0 == 0x80 { end -= 1 }
    line = Array(line[..<end]) + Array("...".utf8)
  }
  return line + [UInt8(ascii: "\n")]
}

extension [UInt8] {
  /// Pacemaker takes what follows the last mark of a reason, wherever on standard error it stands. In text of others, a path that a
  /// local user has chosen, a mark loses its last byte, and forges no reason.
  func without(mark: String) -> [UInt8] {
    let mark = Array(mark.utf8)
    guard !mark.isEmpty, count >= mark.count else { return self }
    var bytes = self
    for start in 0...count - mark.count where bytes[start..<start + mark.count].elementsEqual(mark) {
      bytes[start + mark.count - 1] = UInt8(ascii: "?")
    }
    return bytes
  }
}

func writeAll(_ bytes: [UInt8], to descriptor: Int32) {
  var rest = bytes[...]
  while !rest.isEmpty {
    let written = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
    if written > 0 {
      rest = rest.dropFirst(written)
    } else if errno != EINTR {
      return
    }
  }
}

/// Split where the bytes are: looking for a character, Swift would put together what a reader sees as one, for a fifth of a
/// monitor's instructions.
public func processEnvironment() -> [String: String] {
  var result = [String: String](minimumCapacity: 64)
  var entry = clinux_environ()
  while let text = entry.pointee {
    let line = UnsafeRawBufferPointer(start: text, count: strlen(text))
    if let equals = line.firstIndex(of: UInt8(ascii: "=")) {
      result[String(decoding: line[..<equals], as: UTF8.self)] = String(decoding: line[(equals + 1)...], as: UTF8.self)
    }
    entry += 1
  }
  return result
}

/// A caller may have closed them; then the next socket would have the number that reasons are written to.
private func openStandardStreams() {
  for number: Int32 in 0...2 where clinux_fcntl(number, F_GETFD, 0) == -1 {
    // The lowest free number is this one.
    _ = clinux_open("/dev/null", O_RDWR, 0)
  }
}

/// A trap in optimised code ends the process without a word, and the cluster would see only a signal.
private func explainTraps() {
  var action = sigaction()
  action.__sigaction_handler.sa_handler = { signal in
    let words: StaticString = "ocf-exit-reason:internal error in the agent, please report it\n"
    _ = write(2, words.utf8Start, words.utf8CodeUnitCount)
    _exit(1)
  }
  for signal in [SIGILL, SIGTRAP, SIGABRT, SIGSEGV, SIGBUS, SIGFPE] { sigaction(signal, &action, nil) }
  // A peer that closes a pipe or socket is an error to report, not a reason to die.
  action.__sigaction_handler.sa_handler = SIG_IGN
  sigaction(SIGPIPE, &action, nil)
}
