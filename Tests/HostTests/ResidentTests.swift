import CLinux
import Host
import HostTestKit
import LinuxHost
import Resident
import Testing

@Suite struct ResidentTests {
  private let machine = InMemoryMachine()

  private func datagrams() -> ScriptedDatagrams { ScriptedDatagrams(from: .unspecifiedIPv4, clock: machine.clock) { _ in [] } }

  @Test func aLoopTakesTurnsUntilItIsTold() throws {
    let (loop, began) = (try Loop(on: machine.host), machine.clock.now)
    var turns: [Duration] = []
    loop.run {
      turns.append(machine.clock.now - began)
      if turns.count == 3 { loop.end() }
      return Pause(for: [], before: machine.clock.now + .seconds(2))
    }
    // It does not wait behind the last one.
    #expect(turns == [.zero, .seconds(2), .seconds(4)] && machine.clock.now - began == .seconds(4))
  }

  @Test func whatCanBeReadIsHeardAndTheEndIsTheLastSource() throws {
    let (quiet, loud, ending) = (datagrams(), datagrams(), datagrams())
    let loop = try Loop(on: machine.host, endingWith: ending)
    loud.arrive([1])
    var heard: [String] = []
    loop.run {
      Pause(
        for: [
          Pause.Source(quiet) { heard.append("quiet") },
          Pause.Source(loud) {
            heard.append("loud")
            ending.arrive([15])
          },
        ], before: machine.clock.now + .seconds(1))
    }
    #expect(heard == ["loud", "loud"])
  }

  @Test func aWaitThatTheKernelRefusesEndsNothing() throws {
    machine.calls.fail(at: 0, with: .outOfMemory)
    let loop = try Loop(on: machine.host)
    var turns = 0
    loop.run {
      turns += 1
      if turns == 5 { loop.end() }
      return Pause(for: [], before: machine.clock.now + .seconds(1))
    }
    #expect(turns == 5 && machine.log.lines.count == 1)
  }

  @Test func oneInstanceAtATime() throws {
    let scratch = try Scratch()
    let host = Host.silent
    var first: Loop? = try Loop(on: host, aloneWith: scratch["lock"])
    let refusal = failure { _ = try Loop(on: host, aloneWith: scratch["lock"]) }
    #expect(refusal?.description == "running a second time: held by process \(getpid()) (EEXIST)")
    withExtendedLifetime(first) {}
    first = nil
    _ = try Loop(on: host, aloneWith: scratch["lock"])
  }

  /// In a thread of its own, which has a signal mask of its own.
  @Test func aSignalIsSomethingToWaitFor() throws {
    var thread = pthread_t()
    let result = pthread_create(
      &thread, nil,
      { _ in
        do throws(SystemError) {
          let (signals, loop) = (try TerminationSignals(), try Loop(on: .silent, endingWith: TerminationSignals()))
          _ = withExtendedLifetime(signals) { pthread_kill(pthread_self(), SIGTERM) }
          loop.run { Pause(for: [], before: LinuxClock().now + .seconds(20)) }
          return UnsafeMutableRawPointer(bitPattern: 1)
        } catch { return nil }
      }, nil)
    try #require(result == 0)
    var ended: UnsafeMutableRawPointer?
    pthread_join(thread, &ended)
    #expect(ended != nil)
  }
}
