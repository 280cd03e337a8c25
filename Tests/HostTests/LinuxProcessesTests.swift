import Glibc
import Host
import LinuxHost
import Testing

@Suite struct LinuxProcessesTests {
  let processes = LinuxProcesses()
  let scratch: Scratch
  init() throws { scratch = try Scratch() }

  func sleeper() throws -> Process { try processes.launch(Command("/bin/sleep", ["300"])) }

  func until(_ what: String, _ condition: () throws -> Bool) throws {
    let deadline = soon()
    while try !condition() {
      guard LinuxClock().now < deadline else {
        Issue.record("never: \(what)")
        return
      }
      LinuxClock().sleep(until: soon(.milliseconds(2)))
    }
  }

  @Test func seesItself() throws {
    let me = try #require(try processes.process(getpid()))
    #expect(me.parent == getppid())
    #expect(me.startTime > 0)
    #expect(!me.executable.isEmpty)
    #expect(me.arguments == CommandLine.arguments)
    #expect(try processes.isAlive(me))
    #expect(try processes.running(me.executable).contains { $0.pid == me.pid })
  }

  /// Who cannot look does not know: a daemon would be said not to run, and a stop to have stopped it.
  @Test func withoutProcNobodyIsSeenNotToRun() throws {
    let blind = LinuxProcesses(proc: scratch.path)
    #expect(throws: SystemError("listing processes", .notSupported, detail: "\(scratch.path) shows none: mount -t proc proc \(scratch.path)")) {
      try blind.running("/no/such/program")
    }
  }

  @Test func absentProcesses() throws {
    #expect(try processes.process(0) == nil)
    #expect(try processes.process(-1) == nil)
    #expect(try processes.process(.max) == nil)
    #expect(try processes.running("/no/such/program") == [])
    let ghost = Process(pid: .max, startTime: 1, executable: "/x", arguments: [])
    #expect(try processes.isAlive(ghost) == false)
    try processes.signal(.kill, to: ghost)
    let group = Process(pid: 0, startTime: 0, executable: "", arguments: [])
    #expect(failure { try processes.signal(.terminate, to: group) }?.errno == .invalidArgument)
    #expect(try processes.isAlive(group) == false)
  }

  @Test(.enabled(if: geteuid() == 0, "a lower niceness needs root")) func nicenessIsSetAndTold() throws {
    func niceness(_ process: Process) -> Int32 { getpriority(Int32(PRIO_PROCESS.rawValue), id_t(process.pid)) }
    let process = try sleeper()
    defer { _ = failure { try processes.signal(.kill, to: process) } }
    let before = niceness(process)
    var other = process
    other.startTime += 1
    #expect(try processes.setNiceness(-10, of: other) == -10)
    #expect(niceness(process) == before)
    #expect(try processes.setNiceness(-1, of: process) == before && niceness(process) == -1)
    #expect(try processes.setNiceness(-10, of: process) == -1 && niceness(process) == -10)
    #expect(try processes.setNiceness(3, of: Process(pid: .max, startTime: 1, executable: "/x", arguments: [])) == 3)
    let group = Process(pid: 0, startTime: 0, executable: "", arguments: [])
    #expect(failure { try processes.setNiceness(0, of: group) }?.errno == .invalidArgument)
  }

  /// A daemon in a container or in another network namespace is not this node's, whatever its path.
  @Test(.enabled(if: geteuid() == 0, "a network namespace needs root")) func otherNetworksAreNotSeen() throws {
    let ours = try sleeper()
    let theirs = try processes.launch(Command("/usr/bin/unshare", ["--net", "/bin/sleep", "300"]))
    defer { for process in [ours, theirs] { _ = failure { try processes.signal(.kill, to: process) } } }
    try until("it sleeps elsewhere") { try processes.process(theirs.pid)?.executable == ours.executable }
    let seen = try processes.running(ours.executable).map(\.pid)
    #expect(seen.contains(ours.pid))
    #expect(!seen.contains(theirs.pid))
  }

  /// Anybody can run a daemon's program with a daemon's arguments. To stop or to ask such a process would be his to decide.
  @Test(.enabled(if: geteuid() == 0, "other users need root")) func impostorsAreNotSeen() throws {
    func run(_ program: String, _ arguments: [String]) throws -> Process {
      let process = try processes.launch(Command("/usr/bin/\(program)", arguments + ["/bin/sleep", "300"]))
      try until("\(program) has become sleep") { try processes.process(process.pid)?.executable == ours.executable }
      return process
    }
    let ours = try sleeper()
    let nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups"]
    let strangers = [
      try run("setpriv", nobody),
      // What a set-uid program is to its user: root in effect.
      try run("setpriv", ["--ruid", "65534"]),
      // Root where he is, and nobody here; and one that even calls itself root here.
      try run("setpriv", nobody + ["/usr/bin/unshare", "--user", "--map-root-user"]),
      try run("unshare", ["--user", "--map-root-user"]),
    ]
    // As charon does when it is told a user.
    let confined = try run("setpriv", nobody + ["--inh-caps", "+net_admin", "--ambient-caps", "+net_admin"])
    defer { for process in strangers + [ours, confined] { _ = failure { try processes.signal(.kill, to: process) } } }
    let seen = try processes.running(ours.executable).map(\.pid)
    #expect(seen.contains(ours.pid))
    #expect(seen.contains(confined.pid))
    for stranger in strangers { #expect(!seen.contains(stranger.pid), "\(stranger)") }
  }

  @Test func launchedDaemonsHaveNothingOfOurs() throws {
    // Descriptors that a child would inherit.
    let open = Glibc.open("/etc/passwd", O_RDONLY)
    defer { close(open) }
    var blocked = sigset_t()
    sigemptyset(&blocked)
    sigaddset(&blocked, SIGUSR1)
    var before = sigset_t()
    pthread_sigmask(SIG_BLOCK, &blocked, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }

    let process = try processes.launch(Command("/bin/sleep", ["300"], environment: ["GREETING": "hello"]))
    defer { _ = failure { try processes.signal(.kill, to: process) } }
    #expect(process.arguments == ["/bin/sleep", "300"])
    #expect(process.executable.hasSuffix("/bin/sleep"))
    #expect(process.parent == getpid())
    #expect(getsid(process.pid) == process.pid)

    let files = LinuxFiles()
    let root = "/proc/\(process.pid)"
    var target = stat()
    #expect(stat("\(root)/fd/0", &target) == 0 && target.st_rdev == 0x103, "not /dev/null")
    // What it writes is kept in memory.
    var output = stat()
    #expect(stat("\(root)/fd/1", &target) == 0 && stat("\(root)/fd/2", &output) == 0)
    #expect(target.st_ino == output.st_ino && target.st_nlink == 0 && target.st_size == 65_536)
    // posix_spawn returns when the new image is mapped, a moment before the kernel is done with it.
    try until("running sleep") { try processes.process(process.pid)?.state == "S" }
    try until("only three descriptors") { try files.entries(of: "\(root)/fd") == ["0", "1", "2"] }
    let status = String(decoding: try #require(try files.read("\(root)/status", limit: 65_536)), as: UTF8.self)
    #expect(status.contains("SigBlk:\t0000000000000000"))
    // glibc's posix_spawn leaves its own two signals (32, 33) ignored until the program has threads.
    #expect(status.contains("SigIgn:\t0000000180000000") || status.contains("SigIgn:\t0000000000000000"))
    let environment = String(decoding: try #require(try files.read("\(root)/environ", limit: 65_536)), as: UTF8.self)
    #expect(
      environment.split(separator: "\0") == ["GREETING=hello", "LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"])
  }

  /// A daemon that talks on is not stopped, nor kept waiting, and takes no more memory for it.
  @Test func whatALaunchedDaemonSaysIsKept() throws {
    func output(_ text: String) throws -> String {
      let process = try processes.launch(Command("/bin/sh", ["-c", text]))
      try until("it has ended") { try !processes.isAlive(process) }
      defer { waitpid(process.pid, nil, 0) }
      return String(decoding: processes.output(of: process), as: UTF8.self)
    }
    #expect(try output("echo one; echo two >&2; exec /bin/echo three") == "one\ntwo\nthree\n")
    #expect(try output("exit 1") == "")
    let much = try output("seq 1000000; echo $? >\(scratch["status"])")
    #expect(much.hasPrefix("1\n2\n3\n") && much.utf8.count <= 65_536)
    #expect(try LinuxFiles().read(scratch["status"], limit: 9) == Array("1\n".utf8))
    #expect(try processes.output(of: processes.current()) == [])
  }

  @Test func theFamilyOfALaunchedProcess() throws {
    // One child of the session, one with a session of its own, and one whose parent has gone.
    let script = try scratch.script("family", "sleep 300 & setsid sleep 301 & (sleep 302 &) ; echo ready >\(scratch["ready"]); wait")
    let process = try processes.launch(Command(script))
    let other = try sleeper()
    try until("all sleep") {
      let names = try processes.family(of: process).map { $0.arguments.suffix(2).joined(separator: " ") }
      return Set(names).isSuperset(of: ["sleep 300", "sleep 301", "sleep 302"])
    }
    let family = try processes.family(of: process)
    #expect(family.first?.pid == process.pid && family.count == 4)
    #expect(!family.contains { $0.pid == other.pid || $0.pid == getpid() })
    for process in family + [other] { try processes.signal(.kill, to: process) }
    try until("none is left") { try processes.family(of: process).isEmpty }
    waitpid(process.pid, nil, 0)
    waitpid(other.pid, nil, 0)
  }

  @Test func launchSaysWhyItCannot() throws {
    #expect(
      failure { _ = try processes.launch(Command("/no/such/program")) }
        == SystemError("starting /no/such/program", .noSuchFile))
    try scratch.put("x", at: "plain")
    #expect(failure { _ = try processes.launch(Command(scratch["plain"])) }?.errno == .accessDenied)
    #expect(failure { _ = try processes.launch(Command("sleep")) }?.errno == .invalidArgument)
    let nonsense = try scratch.program("nonsense", "\u{7f}nonsense")
    #expect(failure { _ = try processes.launch(Command(nonsense)) }?.errno == Errno(rawValue: ENOEXEC))
  }

  @Test func aDaemonThatEndsAtOnceIsStillNamed() throws {
    let process = try processes.launch(Command("/bin/true"))
    #expect(process.pid > 0)
    try until("it ended") { try !processes.isAlive(process) }
    let zombie = try #require(try processes.process(process.pid))
    #expect(zombie.state == "Z")
    #expect(zombie.executable == "")
    #expect(try processes.running(process.executable).contains(zombie) == false)
    waitpid(process.pid, nil, 0)
    #expect(try processes.process(process.pid) == nil)
  }

  @Test func findsByExecutableWhereverTheLinkPoints() throws {
    let copy = scratch["daemon"]
    #expect(try processes.run(Command("/bin/cp", ["/bin/sleep", copy]), before: soon()).succeeded)
    #expect(symlink(copy, scratch["link"]) == 0)
    let process = try processes.launch(Command(copy, ["300"]))
    defer { _ = failure { try processes.signal(.kill, to: process) } }
    #expect(try processes.running(copy).map(\.pid) == [process.pid])
    #expect(try processes.running(scratch["link"]).map(\.pid) == [process.pid])
    // A package upgrade replaces the file under the running daemon.
    unlink(copy)
    #expect(try processes.running(copy).map(\.executable) == [copy])
    #expect(try processes.process(process.pid)?.executable == copy)
  }

  @Test func launchesAreWaitedFor() throws {
    let path = scratch["launches"]
    let processes = LinuxProcesses(launches: path)
    // Nothing was ever launched.
    try processes.awaitLaunches(before: LinuxClock().now)
    let process = try processes.launch(Command("/bin/sleep", ["300"]))
    defer {
      kill(process.pid, SIGKILL)
      waitpid(process.pid, nil, 0)
    }
    // It runs: it has neither the lock nor any descriptor of ours.
    try processes.awaitLaunches(before: LinuxClock().now)
    // Its loader may have a library open.
    try until("only three descriptors") { try LinuxFiles().entries(of: "/proc/\(process.pid)/fd")?.sorted() == ["0", "1", "2"] }
    // A launch that is under way has the file locked as one of many.
    let holder = try LinuxProcesses().launch(Command("/usr/bin/flock", ["-s", path, "/bin/sleep", "300"]))
    defer {
      kill(-holder.pid, SIGKILL)
      waitpid(holder.pid, nil, 0)
    }
    try until("locked") { failure { try processes.awaitLaunches(before: LinuxClock().now) } != nil }
    #expect(failure { try processes.awaitLaunches(before: LinuxClock().now + .milliseconds(20)) }?.errno == .timedOut)
    let other = try processes.launch(Command("/bin/sleep", ["300"]))
    kill(other.pid, SIGKILL)
    waitpid(other.pid, nil, 0)
  }

  /// A launch goes on without the lock, and who waits for launches says why he did not.
  @Test func aLockThatCannotBeKeepsNobodyFromLaunching() throws {
    mkdir(scratch["directory"], 0o700)
    symlink("/etc/passwd", scratch["link"])
    for (name, refusal) in [("directory", nil), ("link", Errno.tooManyLinks), ("absent/file", nil)] as [(String, Errno?)] {
      let processes = LinuxProcesses(launches: scratch[name])
      let process = try processes.launch(Command("/bin/sleep", ["300"]))
      kill(process.pid, SIGKILL)
      waitpid(process.pid, nil, 0)
      #expect(failure { try processes.awaitLaunches(before: LinuxClock().now) }?.errno == refusal, "\(name)")
    }
  }

  @Test func findsWhoHasASocket() throws {
    let socket = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
    defer { close(socket) }
    var status = stat()
    #expect(fstat(socket, &status) == 0)
    #expect(try processes.owner(ofSocket: UInt64(status.st_ino))?.pid == getpid())
    close(dup2(0, socket))
    #expect(try processes.owner(ofSocket: UInt64(status.st_ino)) == nil)
  }

  @Test func signalsExactlyThisProcess() throws {
    var process = try sleeper()
    var other = process
    other.startTime += 1
    try processes.signal(.kill, to: other)
    #expect(try processes.isAlive(process))
    #expect(try processes.isAlive(other) == false)
    kill(process.pid, SIGSTOP)
    try until("stopped") { try processes.process(process.pid)?.isStopped == true }
    try processes.signal(.continue, to: process)
    try until("continued") { try processes.process(process.pid)?.isStopped == false }
    try processes.signal(.terminate, to: process)
    try until("ended") { try !processes.isAlive(process) }
    var status: Int32 = 0
    #expect(waitpid(process.pid, &status, 0) == process.pid)
    #expect(status & 0x7f == SIGTERM)
    try processes.signal(.terminate, to: process)
    process.pid = 1
    // Somebody else's start time: init is not touched.
    try processes.signal(.terminate, to: process)
  }

  @Test func oddNamesAndArguments() throws {
    let odd = scratch["a) R 1 (b\nc"]
    #expect(try processes.run(Command("/bin/cp", ["/bin/sleep", odd]), before: soon()).succeeded)
    let process = try processes.launch(Command(odd, ["300"]))
    defer { _ = failure { try processes.signal(.kill, to: process) } }
    #expect(process.executable == odd)
    #expect(process.parent == getpid())
    #expect(process.arguments == [odd, "300"])
    let empty = try processes.launch(Command("/usr/bin/env", ["-S", "", "sleep", "300", ""]))
    #expect(empty.arguments.last == "")
    try processes.signal(.kill, to: empty)
  }

  @Test func runsToTheEnd() throws {
    let script = try scratch.script("script", "echo out; echo err >&2; exit $1")
    let result = try processes.run(Command(script, ["7"]), before: soon())
    #expect(result == CommandResult(.exited(7), output: Array("out\n".utf8), error: Array("err\n".utf8)))
    #expect(!result.succeeded)
    #expect(try processes.run(Command("/bin/true"), before: soon()).succeeded)
    #expect(try processes.run(Command("/bin/sh", ["-c", "kill -9 $$"]), before: soon()).ending == .signalled(9))
    #expect(
      failure { _ = try processes.run(Command("/no/such"), before: soon()) } == SystemError("running /no/such", .noSuchFile))
    let environment = try processes.run(Command("/usr/bin/env", environment: ["A": "b"]), before: soon())
    #expect(String(decoding: environment.output, as: UTF8.self) == "A=b\nLC_ALL=C\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\n")
  }

  @Test func severalAtATime() throws {
    let script = try scratch.script("several", "cat; echo $1 >&2; exit $1")
    let commands = (0..<40).map { Command(script, ["\($0)"], input: Array("\($0)".utf8)) }
    let expected = (0..<40).map { CommandResult(.exited(Int32($0)), output: Array("\($0)".utf8), error: Array("\($0)\n".utf8)) }
    #expect(try processes.run(commands, before: soon()) == expected)
    #expect(try processes.run([Command](), before: soon()) == [])
    // Where there are two processors.
    if sysconf(Int32(_SC_NPROCESSORS_ONLN)) > 1 {
      let began = LinuxClock().now
      #expect(try processes.run([Command](repeating: Command("/bin/sleep", ["1"]), count: 2), before: soon()).allSatisfy(\.succeeded))
      #expect(LinuxClock().now - began < .milliseconds(1900))
    }
  }

  @Test func severalAreKilledWhenTheirTimeIsOver() throws {
    let commands = [Command("/bin/sh", ["-c", "echo early; sleep 30 & sleep 30"]), Command("/bin/true")] + [Command](repeating: Command("/bin/sleep", ["30"]), count: 20)
    let began = LinuxClock().now
    let results = try processes.run(commands, before: soon(.milliseconds(500)))
    #expect(LinuxClock().now - began < .seconds(4) && results.count == 22)
    #expect(results[0] == CommandResult(.timedOut, output: Array("early\n".utf8)) && results.last?.ending == .timedOut)
    // One that cannot be started ends the others.
    #expect(failure { _ = try processes.run([Command("/bin/sleep", ["30"]), Command("/no/such")], before: soon()) } == SystemError("running /no/such", .noSuchFile))
  }

  @Test func aProgramReadsWhatItIsGiven() throws {
    // More than a pipe holds, and read by name as well: nft opens /dev/stdin.
    let input = (0..<200_000).map { UInt8(truncatingIfNeeded: $0) }
    let command = Command("/bin/sh", ["-c", "cat; cat /dev/stdin | wc -c"], input: input, outputLimit: 1 << 20)
    let result = try LinuxProcesses().run(command, before: LinuxClock().now + .seconds(10))
    #expect(result.succeeded)
    #expect(result.output == input + Array("200000\n".utf8))
  }

  @Test func aProgramThatReadsNothingIsNotWaitedFor() throws {
    let command = Command("/bin/true", input: [UInt8](repeating: 0, count: 200_000))
    #expect(try LinuxProcesses().run(command, before: LinuxClock().now + .seconds(10)).succeeded)
  }

  @Test func outputIsBoundedAndTheRestThrownAway() throws {
    let command = Command("/bin/sh", ["-c", "head -c 3000000 /dev/zero; echo done >&2"], outputLimit: 1000)
    let result = try processes.run(command, before: soon(.seconds(20)))
    #expect(result.ending == .exited(0))
    #expect(result.output.count == 1000)
    #expect(result.error == Array("done\n".utf8))
  }

  @Test func timeoutKillsTheGroup() throws {
    // The child ignores TERM, and has a child of its own.
    let script = try scratch.script("stubborn", "trap '' TERM; echo begun; sleep 301 & echo $! >\(scratch["pid"]); wait")
    let began = LinuxClock().now
    let result = try processes.run(Command(script), before: soon(.milliseconds(500)))
    #expect(result.ending == .timedOut)
    #expect(result.output == Array("begun\n".utf8))
    #expect(LinuxClock().now - began < .seconds(3))
    let text = String(decoding: try #require(try LinuxFiles().read(scratch["pid"], limit: 20)), as: UTF8.self)
    let grandchild = try #require(Int32(text.dropLast()))
    try until("grandchild killed") {
      guard let process = try processes.process(grandchild) else { return true }
      return process.state == "Z"
    }
  }

  @Test func endlessOutputEndsAtTheDeadline() throws {
    let result = try processes.run(Command("/usr/bin/yes"), before: soon(.milliseconds(200)))
    #expect(result.ending == .timedOut)
    #expect(result.output.count == 65_536)
  }

  @Test func aGrandchildThatKeepsThePipeDoesNotKeepUs() throws {
    let script = try scratch.script("parent", "echo before; sleep 5 & exit 3")
    let began = LinuxClock().now
    let result = try processes.run(Command(script), before: soon(.seconds(4)))
    #expect(result == CommandResult(.exited(3), output: Array("before\n".utf8)))
    #expect(LinuxClock().now - began < .seconds(3))
  }

  @Test func aChildThatClosesItsStreamsIsNotSpunOn() throws {
    func threadTime() -> Int {
      var time = timespec()
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
      return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
    }
    let before = threadTime()
    let result = try processes.run(Command("/bin/sh", ["-c", "exec >&- 2>&-; sleep 1"]), before: soon())
    #expect(result.ending == .exited(0))
    #expect(threadTime() - before < 300)
  }

  @Test func leavesNoDescriptorAndNoZombie() throws {
    func everything() throws {
      _ = try processes.run(Command("/bin/true"), before: soon())
      _ = failure { _ = try processes.run(Command("/no/such"), before: soon()) }
      _ = try processes.run(Command("/bin/sleep", ["10"]), before: soon(.zero))
      _ = try processes.running("/no/such")
      _ = try processes.process(getpid())
    }
    try everything()
    let before = try openDescriptors()
    for _ in 0..<30 { try everything() }
    #expect(try openDescriptors() < before + 60)
  }
}
