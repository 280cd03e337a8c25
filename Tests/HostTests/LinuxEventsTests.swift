import Host
import LinuxHost
import Testing

/// Namespaces' links and addresses are watched in NetnsTests.
@Suite struct LinuxEventsTests {
  private let processes = LinuxProcesses()
  private let clock = LinuxClock()

  private func sleeper(_ seconds: String) throws -> Process {
    try processes.launch(Command("/bin/sleep", [seconds]))
  }

  @Test func aProcessThatEndsIsAnEventOnce() throws {
    let process = try sleeper("300")
    let watch = try LinuxEvents().watch([.links, .process(process)])
    #expect(try watch.next(before: clock.now) == nil)
    try processes.signal(.kill, to: process)
    #expect(try watch.next(before: clock.now + .seconds(5)) == .process(process))
    #expect(try watch.next(before: clock.now) == nil)
  }

  @Test func aProcessThatHasGoneAlreadyIsAnEvent() throws {
    let process = try sleeper("300")
    let watched = try LinuxEvents().watch([.process(process)])
    try processes.signal(.kill, to: process)
    #expect(try watched.next(before: clock.now + .seconds(5)) != nil)
    // Gone, and reaped.
    let end = clock.now + .seconds(5)
    while try processes.process(process.pid) != nil, clock.now < end { clock.sleep(until: clock.now + .milliseconds(5)) }
    let gone = Process(pid: process.pid, startTime: process.startTime, executable: "", arguments: [])
    let watch = try LinuxEvents().watch([.process(gone)])
    #expect(try watch.next(before: clock.now + .seconds(1)) == .process(gone))
    #expect(try watch.next(before: clock.now) == nil)
  }
}
