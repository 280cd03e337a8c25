import Daemon
import Host
import HostTestKit
import OCF
import Testing

@Suite struct DaemonTests {
  static let binary = "/usr/sbin/watchd"

  func daemon(_ launcher: Launcher = .auto) -> Daemon {
    Daemon(
      Self.binary, package: "watch", unit: "watch.service", launcher: launcher, arguments: ["-D", "-c", "/etc/watch.conf"],
      isOurs: { $0.arguments.contains("/etc/watch.conf") })
  }

  func world(systemd: Bool = false) -> InMemoryMachine {
    let machine = InMemoryMachine(hasSystemd: systemd)
    machine.files.putExecutable(Self.binary)
    if systemd {
      machine.units.put("watch.service")
      machine.units.started = { [unowned machine] name in
        machine.units.known[name]?.mainPID = machine.processes.appear(Self.binary, ["-c", "/etc/watch.conf"]).pid
      }
      machine.units.stopped = { [unowned machine] name in
        machine.processes.vanish(machine.units.known[name]?.mainPID ?? 0)
        machine.units.known[name]?.mainPID = 0
      }
    }
    return machine
  }

  func call(_ machine: InMemoryMachine, seconds: Int = 20, instance: String = "w", action: String = "start", _ settings: [String: String] = [:]) -> Call {
    let request = Request(
      arguments: ["watch", action],
      environment: ["OCF_RESOURCE_INSTANCE": instance, "OCF_RESOURCE_TYPE": "watch"].merging(settings) { $1 })
    return Call(host: machine.host, request: request, deadline: machine.clock.now + .seconds(seconds))
  }

  func reason(_ body: () throws(OCFError) -> Void) -> String {
    do throws(OCFError) {
      try body()
      return ""
    } catch { return error.reason }
  }

  /// A start that was killed between fork and exec: what it leaves is not the daemon yet.
  @Test func stopWaitsForALaunchThatIsUnderWay() throws {
    let machine = world()
    let plain = Daemon(Self.binary, package: "watch", unit: "watch.service", launcher: .direct)
    machine.processes.underWay = (Self.binary, machine.clock.now + .milliseconds(13))
    #expect(try plain.stop(call(machine)) == .ended)
    #expect(machine.processes.table.isEmpty)
    #expect(machine.processes.signals.map(\.signal) == [.terminate])
    // What shows that a start is still under way is told, and what runs has got its signal all the same.
    machine.processes.underWay = (Self.binary, machine.clock.now + .seconds(60))
    machine.processes.appear(Self.binary)
    #expect(
      reason { () throws(OCFError) in try plain.stop(call(machine)) }
        == "waiting for an earlier start of watchd: waiting for launches: no answer in time (ETIMEDOUT)")
    #expect(machine.processes.table.isEmpty)
  }

  /// The record and the lock of launches are hints: a stop gets by without them.
  @Test func stopNeedsNoFiles() throws {
    let machine = world(systemd: true)
    let ours = try daemon().start(call(machine)) { _ in true }
    machine.files.nodes["/run/resource-agents/vpnha-watch-w.role"] = .init([], .directory)
    let stop = call(machine, action: "stop")
    #expect(try daemon().find(stop) == ours)
    // In doubt it has clients.
    #expect(try daemon().isPromoted(ours, stop))
    #expect(throws: SystemError.self) { try daemon().isPromoted(ours, call(machine, action: "monitor")) }
    machine.calls.fail("processes.awaitLaunches()", with: .tooManyLinks)
    machine.calls.fail("files.remove(/run/resource-agents", with: .readOnly)
    try daemon().stop(stop)
    #expect(machine.processes.table.isEmpty)
    #expect(machine.units.overrides.isEmpty)
    #expect(machine.log.messages(from: .warning).count == 3)
    #expect(try daemon().find(stop) == nil)
  }

  /// In the middle of exec a process runs the program already and has no arguments yet.
  @Test func stopWaitsForArguments() throws {
    let machine = world()
    let process = machine.processes.appear(Self.binary)
    machine.processes.table[0].arguments = []
    machine.clock.after(.milliseconds(20)) { machine.processes.table[0].arguments = [Self.binary, "-c", "/etc/watch.conf"] }
    #expect(try daemon().stop(call(machine)) == .ended)
    #expect(machine.processes.signals.map(\.pid) == [process.pid])
    // One that never has any is nobody's, and is not waited for longer than a second.
    machine.processes.appear(Self.binary)
    machine.processes.table[0].arguments = []
    let before = machine.clock.now
    #expect(try daemon().stop(call(machine)) == .wasGone)
    #expect(machine.clock.now - before <= .milliseconds(1100) && machine.processes.table.count == 1)
  }

  // MARK: Finding

  @Test func findsItsOwnWhoeverStartedIt() throws {
    let machine = world()
    machine.processes.appear(Self.binary, ["-c", "/etc/other.conf"])
    #expect(try daemon().find(call(machine)) == nil)
    let ours = machine.processes.appear(Self.binary, ["--fast", "-c", "/etc/watch.conf"])
    machine.processes.appear(Self.binary, ["-c", "/etc/watch.conf"])
    #expect(try daemon().find(call(machine)) == ours)
    #expect(try daemon().all(call(machine)).count == 2)
  }

  @Test func recordSavesTheSearchAndIsNotBelieved() throws {
    let machine = world()
    let ours = machine.processes.appear(Self.binary, ["-c", "/etc/watch.conf"])
    try daemon().record(.promoted, of: ours, call(machine))
    #expect(machine.files.text(at: "/run/resource-agents/vpnha-watch-w.role") == "Promoted \(ours.pid) \(ours.startTime)\n")
    machine.calls.reset()
    #expect(try daemon().find(call(machine)) == ours)
    #expect(!machine.calls.all.contains { $0.description.hasPrefix("processes.running") })
    #expect(try daemon().isPromoted(ours, call(machine)))

    // Another instance of the daemon is unpromoted, even under the same pid.
    machine.processes.table[0].startTime += 1
    let next = try #require(try daemon().find(call(machine)))
    #expect(try !daemon().isPromoted(next, call(machine)))
    // The pid went to a stranger.
    machine.processes.table[0] = Process(pid: ours.pid, startTime: ours.startTime, executable: "/bin/sh", arguments: [])
    #expect(try daemon().find(call(machine)) == nil)
  }

  @Test(arguments: ["", "Promoted", "Promoted x 1", "Master 1 1", "Promoted 1 1 1", "Promoted 99999999999 1"])
  func damagedRecordIsNone(_ text: String) throws {
    let machine = world()
    machine.files.put(text, at: "/run/resource-agents/vpnha-watch-w.role")
    #expect(try DaemonRole.read(call(machine)) == nil)
  }

  @Test func instanceNamesStayInTheDirectory() {
    let request = Request(arguments: [], environment: ["OCF_RESOURCE_TYPE": "t", "OCF_RESOURCE_INSTANCE": "../../etc/x:0"])
    #expect(DaemonRole.path(for: request) == "/run/resource-agents/vpnha-t-.._.._etc_x-ba13125025bb106d.role")
  }

  /// Each id has records of its own, and each name fits, with what is written beside it.
  @Test func everyInstanceHasItsOwnRecord() {
    let ids = ["a", "a_b", "a:b", "a.b", "ä", "ö", "a/b", String(repeating: "x", count: 300), String(repeating: "x", count: 301)]
    let paths = ids.map { DaemonRole.path(for: Request(arguments: [], environment: ["OCF_RESOURCE_TYPE": "t", "OCF_RESOURCE_INSTANCE": $0])) }
    #expect(Set(paths).count == ids.count)
    #expect(paths[0] == "/run/resource-agents/vpnha-t-a.role" && paths[2] == "/run/resource-agents/vpnha-t-a:b.role")
    for path in paths {
      let name = path.dropFirst("/run/resource-agents/".count)
      #expect(!name.contains("/") && ".\(name).4194304.new".utf8.count <= 255)
    }
  }

  /// The monitor's reason; nobody is missed where nobody was started, or somebody stopped it.
  @Test func aDaemonThatIsGoneIsMissed() throws {
    let machine = world()
    func words(_ settings: [String: String] = ["OCF_RESKEY_CRM_meta_interval": "10000"], action: String = "monitor") -> String? {
      daemon().obituary(call(machine, action: action, settings))
    }
    #expect(words() == nil)
    let process = try daemon().start(call(machine)) { _ in true }
    #expect(words() == nil)
    machine.processes.vanish(process.pid)
    #expect(words() == "watchd (pid 1001) is gone, and the cluster did not stop it: see journalctl -t watchd")
    #expect(words([:]) == nil)
    #expect(words(action: "demote") == nil)
    // Its number is another's now.
    machine.processes.table = [Process(pid: process.pid, startTime: 1, executable: Self.binary, arguments: [])]
    #expect(words() != nil)
    machine.processes.table = []
    try daemon().stop(call(machine))
    #expect(words() == nil)
  }

  // MARK: Starting

  @Test func startsDirectly() throws {
    let machine = world()
    var looks = 0
    let process = try daemon().start(call(machine)) { _ in
      looks += 1
      return looks == 3
    }
    #expect(process.arguments == [Self.binary, "-D", "-c", "/etc/watch.conf"])
    #expect(try DaemonRole.read(call(machine)) == DaemonRole(.unpromoted, of: process))
  }

  @Test func startEndsAtOnceWhenTheDaemonExits() {
    let machine = world()
    machine.processes.launches[Self.binary] = { _ in
      let process = machine.processes.appear(Self.binary, ["-c", "/etc/watch.conf"])
      machine.clock.after(.milliseconds(30)) { machine.processes.vanish(process.pid) }
      return process
    }
    let begin = machine.clock.now
    #expect(
      reason { () throws(OCFError) in try daemon().start(call(machine)) { _ in false } }
        == "starting watchd: it exited at once; its log says why (journalctl -t watchd)")
    #expect(machine.clock.now - begin < .seconds(1))
  }

  @Test func startThatFailsTakesBackWhatItLaunched() {
    let machine = world()
    #expect(
      reason { () throws(OCFError) in try daemon().start(call(machine, seconds: 2)) { _ in false } }
        .hasPrefix("starting watchd: pid 1001 is not ready in time"))
    #expect(machine.processes.table.isEmpty)
    #expect(reason { () throws(OCFError) in try daemon().start(call(machine)) { _ throws(OCFError) in throw .failed("why") } } == "why")
    #expect(machine.processes.table.isEmpty)
    #expect(machine.files.text(at: "/run/resource-agents/vpnha-watch-w.role") == nil)
  }

  /// What a daemon says that does not start: on its streams, when it is asked aloud, or in the journal.
  @Test func lastWordsAreQuoted() {
    func words(systemd: Bool = false, rehearsal: [String]? = nil, _ prepare: @escaping (InMemoryMachine, Process) -> Void) -> String {
      let machine = world(systemd: systemd)
      machine.processes.launches[Self.binary] = { _ in
        let process = machine.processes.appear(Self.binary, ["-c", "/etc/watch.conf"])
        prepare(machine, process)
        machine.processes.vanish(process.pid)
        return process
      }
      let daemon = Daemon(Self.binary, package: "watch", unit: nil, launcher: .direct, rehearsal: rehearsal)
      return reason { () throws(OCFError) in try daemon.start(call(machine)) { _ in false } }
    }
    #expect(
      words { machine, process in
        machine.processes.outputs[process.pid] = "[Sat Nov 28 11:57:39 2026] (pid=46) [ERROR] parsing line (12): syntax\u{9b}31m error\n\n"
      } == "starting watchd: parsing line (12): syntax?31m error")
    #expect(
      words { machine, process in
        machine.processes.outputs[process.pid] = "hello\nwatchd[52]: one\nwatchd[52]: two\n[x] three\nfour"
      } == "starting watchd: one; two; three; four")
    #expect(
      words(rehearsal: ["-D"]) { machine, _ in
        machine.processes.whenRun(Self.binary) { command throws(SystemError) in
          CommandResult(.exited(1), error: Array("watchd[7]: \(command.arguments.joined()): unknown field 'x'\n".utf8))
        }
      } == "starting watchd: -D: unknown field 'x'")
    #expect(
      words(systemd: true) { machine, process in
        machine.processes.whenRun("/usr/bin/journalctl") { command throws(SystemError) in
          CommandResult(.exited(0), output: Array((command.arguments.contains("_PID=\(process.pid)") ? "no such socket\n" : "").utf8))
        }
      } == "starting watchd: no such socket")
    #expect(words(systemd: true) { _, _ in } == "starting watchd: it exited at once; its log says why (journalctl -t watchd)")
  }

  /// A script is not found again by its path, and what it leaves is nobody's.
  @Test func aWrapperIsRefusedAndEndedAsAWhole() {
    let machine = world()
    machine.processes.launches[Self.binary] = { command in
      let wrapper = machine.processes.appear("/usr/bin/dash", [command.path] + command.arguments)
      machine.processes.appear("/usr/sbin/real", parent: wrapper.pid)
      return wrapper
    }
    #expect(
      reason { () throws(OCFError) in try daemon().start(call(machine)) { _ in true } }
        == "binary: /usr/sbin/watchd runs /usr/bin/dash: name the daemon itself")
    #expect(machine.processes.table.isEmpty)
  }

  @Test func whatALaunchedDaemonStartedEndsWithAStartThatFails() {
    let machine = world()
    machine.processes.launches[Self.binary] = { command in
      let process = machine.processes.appear(Self.binary, command.arguments)
      machine.processes.makeStubborn(machine.processes.appear("/bin/helper", parent: process.pid))
      return process
    }
    #expect(
      reason { () throws(OCFError) in try daemon().start(call(machine, seconds: 1)) { _ in false } }
        == "starting watchd: pid 1001 is not ready in time")
    #expect(machine.processes.table.isEmpty)
  }

  @Test func missingProgramNamesItsPackage() {
    let machine = world()
    machine.files.nodes[Self.binary] = nil
    do throws(OCFError) {
      try daemon().start(call(machine)) { _ in true }
      Issue.record("started")
    } catch {
      #expect(error.reason == "/usr/sbin/watchd is missing (package watch)")
      #expect(error.status == .notInstalled)
    }
  }

  @Test func startsByUnit() throws {
    let machine = world(systemd: true)
    let process = try daemon().start(call(machine)) { _ in true }
    #expect(machine.units.known["watch.service"]?.mainPID == process.pid)
    #expect(machine.units.overrides["watch.service"] == Daemon.dropIn)
    #expect(machine.processes.launched.isEmpty)
  }

  /// The job of a simple unit is done before its process has become the daemon.
  @Test(arguments: ["/usr/lib/systemd/systemd", "/usr/lib/systemd/systemd-executor"]) func aProcessThatIsOnlyBeingBornIsWaitedFor(executable: String) throws {
    let machine = world(systemd: true)
    machine.units.started = { [unowned machine] name in
      machine.units.known[name]?.mainPID = machine.processes.appear(executable, ["--deserialize"]).pid
      machine.clock.after(.milliseconds(50)) {
        machine.processes.table[0].executable = Self.binary
        machine.processes.table[0].arguments = [Self.binary, "-c", "/etc/watch.conf"]
      }
    }
    #expect(try daemon().start(call(machine)) { _ in true }.executable == Self.binary)
    // Another program that stays one.
    let other = world(systemd: true)
    other.units.started = { [unowned other] name in other.units.known[name]?.mainPID = other.processes.appear(executable).pid }
    #expect(reason { () throws(OCFError) in try daemon().start(call(other)) { _ in true } } == "starting watch.service: it does not run /usr/sbin/watchd")
  }

  @Test func autoDoesNotUseAnInitScript() throws {
    let machine = world(systemd: true)
    machine.units.put("watch.service", fragment: "/run/systemd/generator.late/watch.service")
    try daemon().start(call(machine)) { _ in true }
    #expect(machine.processes.launched.count == 1)
  }

  @Test func launcherAsksForWhatIsNotThere() {
    #expect(
      reason { () throws(OCFError) in try daemon(.systemd).start(call(world())) { _ in true } }
        == "launcher: systemd is not the service manager of this node")
    let machine = world(systemd: true)
    machine.units.known = [:]
    #expect(
      reason { () throws(OCFError) in try daemon(.systemd).start(call(machine)) { _ in true } }
        == "unit: watch.service is not-found (package watch)")
  }

  @Test func failedJobIsTold() {
    let machine = world(systemd: true)
    machine.units.results["watch.service"] = JobResult("failed")
    #expect(
      reason { () throws(OCFError) in try daemon().start(call(machine)) { _ in true } }
        == "starting watch.service: the job ended as failed; see journalctl -u watch.service")
    #expect(machine.units.overrides.isEmpty)
    #expect(machine.units.known["watch.service"]?.activeState == "inactive")
  }

  @Test(arguments: [false, true]) func startWithAnErrorAtEveryCall(systemd: Bool) {
    let count = InMemoryMachine.failingEveryCall(in: { world(systemd: systemd) }) { machine -> OCFError? in
      do throws(OCFError) {
        try daemon().start(call(machine, seconds: 2)) { _ in true }
        return nil
      } catch { return error }
    } check: { failed, error, machine in
      // The unit not found is a reason to launch directly only where nothing was done yet; any error is told.
      #expect(error != nil, "\(failed)")
      #expect(machine.processes.table.isEmpty, "\(failed)")
      #expect(machine.files.text(at: "/run/resource-agents/vpnha-watch-w.role") == nil, "\(failed)")
    }
    #expect(count > 4)
  }

  // MARK: Ending

  @Test func stopOfNothingIsNothing() throws {
    let machine = InMemoryMachine(hasSystemd: true)
    try daemon().stop(call(machine))
    #expect(machine.processes.signals.isEmpty)
    let bare = InMemoryMachine()
    try daemon().stop(call(bare))
  }

  @Test func stopsGentlyThenFirmly() throws {
    let machine = world()
    machine.processes.appear(Self.binary, ["-c", "/etc/other.conf"])
    let gentle = machine.processes.appear(Self.binary, ["-c", "/etc/watch.conf"])
    let stubborn = machine.processes.appear(Self.binary, ["-c", "/etc/watch.conf"])
    machine.processes.makeStubborn(stubborn)
    let begin = machine.clock.now
    try daemon().stop(call(machine), signal: .interrupt, grace: .seconds(3))
    #expect(machine.processes.table.count == 1)
    #expect(machine.processes.signals.filter { $0.pid == gentle.pid }.map(\.signal).first == .interrupt)
    #expect(machine.processes.signals.last?.signal == .kill)
    #expect(machine.clock.now - begin >= .seconds(3))
    #expect(machine.clock.now - begin < .seconds(4))
  }

  @Test func graceLeavesTimeToKill() throws {
    let machine = world()
    machine.processes.makeStubborn(machine.processes.appear(Self.binary, ["-c", "/etc/watch.conf"]))
    let begin = machine.clock.now
    try daemon().stop(call(machine, seconds: 3), grace: .seconds(60))
    #expect(machine.clock.now - begin < .milliseconds(2200))
    #expect(machine.processes.table.isEmpty)
  }

  @Test func stoppedProcessIsLetGoOn() throws {
    let machine = world()
    machine.processes.appear(Self.binary, ["-c", "/etc/watch.conf"], state: "T")
    machine.processes.reactions[1001] = { _ in machine.clock.after(.milliseconds(5)) { machine.processes.vanish(1001) } }
    try daemon().stop(call(machine))
    #expect(machine.processes.signals.map(\.signal) == [.terminate, .continue])
  }

  @Test(arguments: [false, true]) func spentDaemonIsNotWaitedFor(systemd: Bool) throws {
    let machine = world(systemd: systemd)
    let ours = try daemon().start(call(machine)) { _ in true }
    machine.processes.makeStubborn(ours)
    var isFinished = false
    machine.clock.after(.seconds(1)) { isFinished = true }
    let begin = machine.clock.now
    try daemon().stop(call(machine), grace: .seconds(10)) { isFinished }
    #expect(machine.clock.now - begin < .seconds(2))
    #expect(machine.processes.table.isEmpty)
    #expect(machine.processes.signals.map(\.signal) == [.terminate, .kill])
    #expect(machine.log.messages(from: .warning).isEmpty)
    #expect(machine.units.overrides.isEmpty)
    #expect(machine.units.known["watch.service"]?.activeState != "active")

    // One that has not finished gets all of its time.
    let other = try daemon().start(call(machine)) { _ in true }
    machine.processes.makeStubborn(other)
    let again = machine.clock.now
    try daemon().stop(call(machine), grace: .seconds(3)) { false }
    #expect(machine.clock.now - again >= .seconds(3))
    #expect(machine.processes.table.isEmpty)
  }

  @Test func whatCannotBeKilledIsTold() {
    let machine = world()
    machine.processes.unkillable = [machine.processes.appear(Self.binary, ["-c", "/etc/watch.conf"]).pid]
    #expect(
      reason { () throws(OCFError) in try daemon().stop(call(machine, seconds: 2)) }
        == "stopping watchd: pid 1001 is still there after KILL")
  }

  @Test func stopsByUnit() throws {
    let machine = world(systemd: true)
    try daemon().start(call(machine)) { _ in true }
    try daemon().stop(call(machine))
    #expect(machine.processes.table.isEmpty)
    #expect(machine.processes.signals.isEmpty)
    #expect(machine.units.overrides.isEmpty)
    #expect(machine.files.text(at: "/run/resource-agents/vpnha-watch-w.role") == nil)
  }

  @Test func unitThatHangsIsHelped() throws {
    let machine = world(systemd: true)
    try daemon().start(call(machine)) { _ in true }
    machine.units.hanging = ["watch.service"]
    machine.processes.makeStubborn(machine.processes.table[0])
    let begin = machine.clock.now
    try daemon().stop(call(machine), grace: .seconds(5))
    #expect(machine.processes.table.isEmpty)
    #expect(machine.clock.now - begin < .seconds(6))
    #expect(machine.units.overrides.isEmpty)
  }

  /// What it runs is not seen to be ours, for it is only being born, or it is another program. A stop that left it alone would end
  /// before the next one comes up.
  @Test(arguments: ["restarted", "taken", ""]) func aUnitThatBringsSomethingUpAgainAndAgainIsStopped(_ mark: String) throws {
    for (owner, program) in [(nil, "/bin/false"), (nil, "/lib/systemd/systemd"), (nil, Self.binary), ("other", "/bin/false")] as [(String?, String)] {
      let machine = world(systemd: true)
      let stranger = machine.processes.appear(program, ["-c", "/etc/other.conf"])
      machine.units.known["watch.service"]?.activeState = "active"
      machine.units.known["watch.service"]?.mainPID = stranger.pid
      if mark == "restarted" { machine.units.known["watch.service"]?.restarts = 2 }
      if mark == "taken" { machine.files.put(Daemon.dropIn, at: "/run/systemd/system/watch.service.d/50-vpnha.conf") }
      if let owner { machine.files.put("Unpromoted \(stranger.pid) \(stranger.startTime)\n", at: "/run/resource-agents/vpnha-watch-\(owner).role") }
      try daemon().stop(call(machine))
      #expect(machine.processes.table.isEmpty == (mark != "" && owner == nil && program != Self.binary), "\(program) \(owner ?? "")")
    }
  }

  @Test func unitOfAnotherInstanceIsLeftAlone() throws {
    let machine = world(systemd: true)
    let other = machine.processes.appear(Self.binary, ["-c", "/etc/other.conf"])
    machine.units.known["watch.service"]?.activeState = "active"
    machine.units.known["watch.service"]?.mainPID = other.pid
    try daemon().stop(call(machine))
    #expect(machine.processes.table == [other])
  }

  /// Whatever fails: either the daemon has gone or the reason is told.
  @Test(arguments: [false, true]) func stopWithAnErrorAtEveryCall(systemd: Bool) {
    let count = InMemoryMachine.failingEveryCall {
      let machine = world(systemd: systemd)
      do throws(OCFError) { try daemon().start(call(machine)) { _ in true } } catch { Issue.record(error) }
      return machine
    } _: { machine -> OCFError? in
      do throws(OCFError) {
        try daemon().stop(call(machine, seconds: 3))
        return nil
      } catch { return error }
    } check: { failed, error, machine in
      #expect(error != nil || machine.processes.table.isEmpty, "\(failed)")
    }
    #expect(count > 3)
  }
}
