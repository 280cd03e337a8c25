import Host
import HostTestKit
import Testing

@Suite struct TestKitTests {
  @Test func refusingHostNamesTheCall() throws {
    var seen: [String] = []
    let refusing = Host.refusing { seen.append($0) }
    #expect(throws: SystemError("read /etc/x", .notImplemented, detail: "refused by the test's host")) {
      try refusing.files.read("/etc/x", limit: 1)
    }
    #expect(throws: SystemError.self) { try refusing.files.replace("/etc/x", with: [], mode: 0o600) }
    #expect(throws: SystemError.self) { try refusing.sockets.wait(for: [], before: Instant(nanoseconds: 0)) }
    #expect(!refusing.units.isAvailable && !refusing.files.isExecutable("/bin/sh"))
    #expect(seen == ["read /etc/x", "replace /etc/x, 0 bytes", "wait for 0 sources", "systemd is there", "/bin/sh is executable"])
    withKnownIssue { _ = Host.refusing.clock.now }
  }

  @Test func clockFiresEventsOnTheWay() {
    let clock = ManualClock()
    var order: [String] = []
    clock.after(.seconds(2)) { order.append("b") }
    clock.after(.seconds(1)) { order.append("a") }
    clock.after(.seconds(4)) { order.append("c") }
    clock.sleep(until: clock.now + .seconds(3))
    #expect(order == ["a", "b"])
    #expect(clock.sleeps == [.seconds(3)])
  }

  @Test func everyCallFailsOnce() {
    let nic = Link(index: 2, name: "eth0")
    let address = InterfaceAddress(IPAddress("192.0.2.1")!, prefixLength: 24, link: 2)
    func act(_ machine: InMemoryMachine) -> Result<Void, SystemError> {
      do throws(SystemError) {
        let link = try machine.network.link(named: "eth0")
        try machine.network.add(address)
        try machine.network.announce(Announcement(address.address, link: link?.index ?? 0, count: 5))
        return .success(())
      } catch { return .failure(error) }
    }
    var failed: [String] = []
    let count = InMemoryMachine.failingEveryCall(with: .notPermitted, in: { InMemoryMachine(links: [nic]) }, act) {
      call, outcome, machine in
      failed.append(call.description)
      #expect(throws: SystemError.self) { try outcome.get() }
    }
    #expect(count == 3)
    #expect(
      failed == [
        "network.link(named: eth0)", "network.add(192.0.2.1/24 on 2)", "network.announce(192.0.2.1 on 2 ×5)",
      ])
  }

  @Test func streamSplitsAndEnds() throws {
    let clock = ManualClock()
    let stream = ScriptedStream([.takes([1, 2, 3]), .says([9, 8]), .closes], chunk: 1, clock: clock)
    let deadline = clock.now + .seconds(1)
    try stream.write([1], before: deadline)
    try stream.write([2, 3], before: deadline)
    #expect(try stream.readToEnd(limit: 10, before: deadline) == [9, 8])

    let silent = ScriptedStream([.takesAny(1), .silence], clock: clock)
    try silent.write([7], before: deadline)
    #expect(throws: SystemError("reading", .timedOut)) { try silent.read(limit: 1, before: deadline) }
    #expect(clock.now == deadline)

    let echo = ScriptedStream { inbox in
      defer { inbox = [] }
      return [.says(inbox)]
    }
    try echo.write([4, 5], before: deadline)
    #expect(try echo.read(limit: 9, before: deadline) == [4, 5])
  }

  @Test func processesEndUnlessTheyAreStubborn() throws {
    let machine = InMemoryMachine()
    let gentle = machine.processes.appear("/usr/sbin/a")
    let stubborn = machine.processes.appear("/usr/sbin/a")
    machine.processes.makeStubborn(stubborn)
    for process in [gentle, stubborn] { try machine.processes.signal(.terminate, to: process) }
    #expect(try machine.processes.running("/usr/sbin/a") == [stubborn])
    try machine.processes.signal(.kill, to: stubborn)
    #expect(try machine.processes.isAlive(stubborn) == false)
  }

  @Test func locksHeldElsewhereTimeOut() throws {
    let machine = InMemoryMachine()
    let deadline = machine.clock.now + .seconds(1)
    let lock = try machine.files.lock("/run/x", before: deadline)
    #expect(throws: SystemError("locking /run/x", .timedOut)) { try machine.files.lock("/run/x", before: deadline) }
    lock.release()
    #expect(machine.files.heldLocks == [])
  }
}
