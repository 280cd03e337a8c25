import Glibc
import Host
import HostTestKit
import LinuxHost
import Systemd
import Testing

/// Against a bus of our own, `mock_systemd.py`. Serialised: the library finds the bus through the environment.
@Suite(.serialized, .enabled(if: LinuxFiles().isExecutable("/usr/bin/python3"), "python3 is not installed"))
final class UnitsTests {
  let clock = LinuxClock()
  let files = LinuxFiles()
  let processes = LinuxProcesses()
  let directory: String
  let mock: Process
  let units: LinuxUnits

  init() throws {
    var template = Array("/tmp/vpnha-systemd-XXXXXX".utf8CString)
    directory = String(cString: try #require(mkdtemp(&template)))
    let here = #filePath.split(separator: "/").dropLast().joined(separator: "/")
    mock = try processes.launch(
      Command("/usr/bin/python3", ["/\(here)/mock_systemd.py", "\(directory)/bus", "\(directory)/log"]))
    let deadline = clock.now + .seconds(20)
    while try files.status("\(directory)/bus") == nil {
      guard clock.now < deadline else { throw SystemError("starting the mock", .timedOut) }
      clock.sleep(until: clock.now + .milliseconds(10))
    }
    setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=\(directory)/bus", 1)
    try files.makeDirectory("\(directory)/run", mode: 0o755)
    units = LinuxUnits(files: files, clock: clock, root: "\(directory)/run", patience: .milliseconds(700))
  }

  deinit {
    do {
      try processes.signal(.kill, to: mock)
      waitpid(mock.pid, nil, 0)
      _ = try processes.run(Command("/bin/rm", ["-rf", directory]), before: clock.now + .seconds(5))
    } catch { Issue.record(error) }
    unsetenv("DBUS_SYSTEM_BUS_ADDRESS")
  }

  func soon(_ duration: Duration = .seconds(5)) -> Instant { clock.now + duration }

  func calls() throws -> [String] {
    let text = String(decoding: try files.read("\(directory)/log", limit: 1 << 20) ?? [], as: UTF8.self)
    return text.split(separator: "\n").map(String.init).filter { !$0.hasPrefix("AddMatch") && !$0.hasPrefix("RemoveMatch") }
  }

  func failure(_ body: () throws -> Void) -> SystemError? {
    do {
      try body()
      return nil
    } catch {
      return error as? SystemError
    }
  }

  @Test func readsAUnit() throws {
    let unit = try units.unit("good.service")
    var expected = Unit(
      name: "good.service", loadState: "loaded", activeState: "active", mainPID: 4711,
      fragmentPath: "/lib/systemd/system/good.service")
    expected.subState = "running"
    #expect(unit == expected)
    let looping = try units.unit("looping.service")
    #expect(looping.subState == "auto-restart" && looping.restarts == 7)
    #expect(unit.isNative)
    let target = try units.unit("good.target")
    #expect(target.mainPID == 0)
    #expect(try units.unit("init-script.service").isNative == false)
    let absent = try units.unit("absent.service")
    #expect(absent.loadState == "not-found" && !absent.isLoaded)
  }

  @Test(arguments: ["good.service", "fast.service", "slow.service"])
  func aStartIsDoneWhenItsJobIs(_ name: String) throws {
    let began = clock.now
    #expect(try units.start(name, before: soon()).isDone)
    if name.hasPrefix("slow") { #expect(clock.now - began > .milliseconds(250)) }
    // It does not wait on when the result is there.
    #expect(clock.now - began < .seconds(3))
    #expect(try calls() == ["Subscribe", "StartUnit \(name) replace"])
    #expect(try units.stop(name, before: soon()).isDone)
    #expect(try calls().last == "StopUnit \(name) replace")
  }

  @Test func aFailedJobIsAValue() throws {
    #expect(try units.start("failing.service", before: soon()) == JobResult("failed"))
  }

  @Test func unitsThatCannotBeStarted() throws {
    #expect(
      failure { _ = try units.start("absent.service", before: soon()) }
        == SystemError("starting absent.service", .noSuchFile, detail: "Unit absent.service not found."))
    #expect(
      failure { _ = try units.stop("masked.service", before: soon()) }
        == SystemError("stopping masked.service", .notPermitted, detail: "Unit masked.service is masked."))
    // The connection is still good.
    #expect(try units.start("good.service", before: soon()).isDone)
  }

  @Test func aJobThatHangsIsCancelledAtTheDeadline() throws {
    let began = clock.now
    let error = failure { _ = try units.start("hang.service", before: soon(.milliseconds(300))) }
    #expect(error?.errno == .timedOut)
    #expect(error?.operation == "starting hang.service")
    #expect((.milliseconds(300) ... .seconds(2)).contains(clock.now - began))
    #expect(try calls().last == "Cancel /org/freedesktop/systemd1/job/1")
    #expect(try units.start("good.service", before: soon()).isDone)
  }

  @Test func aManagerThatSaysNothing() throws {
    let began = clock.now
    #expect(failure { _ = try units.start("silent.service", before: soon(.milliseconds(300))) }?.errno == .timedOut)
    #expect(failure { _ = try units.unit("silent.service") }?.errno == .timedOut)
    #expect(clock.now - began < .seconds(3))
    #expect(failure { _ = try units.start("good.service", before: clock.now) }?.errno == .timedOut)
  }

  /// A stop asks several times, and has a daemon to end inside its time.
  @Test func aManagerThatSaysNothingIsNotWaitedForAgainAndAgain() throws {
    let units = LinuxUnits(files: files, clock: clock, root: "\(directory)/run", patience: .seconds(60), until: clock.now + .seconds(6))
    let began = clock.now
    #expect(failure { _ = try units.unit("silent.service") }?.errno == .timedOut)
    #expect((.milliseconds(1900) ... .seconds(4)).contains(clock.now - began))
    for _ in 0..<3 { #expect(failure { _ = try units.unit("silent.service") }?.errno == .timedOut) }
    #expect(clock.now - began < .seconds(6))
    #expect(try units.unit("good.service").mainPID == 4711)
  }

  @Test func aBrokenConnectionIsMadeAnew() throws {
    #expect(failure { _ = try units.start("drop.service", before: soon()) } != nil)
    #expect(try units.start("good.service", before: soon()).isDone)
  }

  @Test func aMissingBus() throws {
    setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=\(directory)/no-such-bus", 1)
    #expect(failure { _ = try units.unit("good.service") }?.operation == "connecting to the system bus")
  }

  @Test func aBusThatAcceptsAndSaysNothing() throws {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: "\(directory)/mute".utf8) }
    let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(listener) }
    withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        #expect(bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0)
      }
    }
    #expect(listen(listener, 5) == 0)
    setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=\(directory)/mute", 1)
    let began = clock.now
    #expect(failure { _ = try units.start("good.service", before: soon(.milliseconds(300))) }?.errno == .timedOut)
    #expect(failure { _ = try units.unit("good.service") }?.errno == .timedOut)
    #expect(clock.now - began < .seconds(3))
  }

  @Test func forgetsFailures() throws {
    try units.resetFailed("good.service")
    try units.resetFailed("absent.service")
    #expect(try calls() == ["ResetFailedUnit good.service", "ResetFailedUnit absent.service"])
  }

  @Test func dropInsReloadOnlyWhenTheyChange() throws {
    let path = "\(directory)/run/good.service.d/50-vpnha.conf"
    try units.override("good.service", with: "[Service]\nRestart=no\n")
    #expect(try files.read(path, limit: 100) == Array("[Service]\nRestart=no\n".utf8))
    #expect(try files.status(path)?.mode == 0o644)
    #expect(try calls() == ["Reload"])
    try units.override("good.service", with: "[Service]\nRestart=no\n")
    #expect(try calls().filter { $0 == "Reload" }.count == 1)
    // Killed between the file and the reload.
    try files.replace("\(directory)/log.stale", with: [], mode: 0o600)
    try units.override("good.service", with: "[Service]\nRestart=no\n")
    #expect(try calls().filter { $0 == "Reload" }.count == 2)
    try units.override("good.service", with: "[Service]\nRestart=always\n")
    #expect(try calls().filter { $0 == "Reload" }.count == 3)

    try units.removeOverride("good.service")
    #expect(try calls().filter { $0 == "Reload" }.count == 4)
    #expect(try files.entries(of: "\(directory)/run") == [])
    try units.removeOverride("good.service")
    #expect(try calls().filter { $0 == "Reload" }.count == 4)

    #expect(failure { try units.override("../evil", with: "") }?.errno == .invalidArgument)
    try files.replace("\(directory)/log.refuse-reload", with: [], mode: 0o600)
    #expect(failure { try units.override("good.service", with: "x") }?.errno == .accessDenied)
  }

  @Test func availabilityNeedsNoLibrary() throws {
    #expect(units.isAvailable)
    #expect(!LinuxUnits(files: files, clock: clock, root: "\(directory)/no/such").isAvailable)
  }

  @Test func leavesNoDescriptorOpen() throws {
    func once() throws {
      let units = LinuxUnits(files: files, clock: clock, root: "\(directory)/run", patience: .milliseconds(700))
      _ = try units.start("good.service", before: soon())
    }
    try once()
    let before = try #require(try files.entries(of: "/proc/self/fd")).count
    for _ in 0..<20 { try once() }
    #expect(try #require(try files.entries(of: "/proc/self/fd")).count < before + 10)
  }
}
