import Host
import HostTestKit
import OCF
import Testing

/// A recurring monitor that waits for events, and the rule that keeps it from holding up the cluster.
@Suite struct WatchingTests {
  struct Agent: PromotableAgent, ReloadableAgent {
    @TaskLocal static var world: World?
    static let about = About("a", "b")
    static let operations: [Operation] = []
    @Parameter("Seconds to wait", reloadable: true) var watch: WatchTime = 0
    func observe(_ call: Call) throws(OCFError) -> ResourceState { Self.world?.look() ?? .stopped }
    func start(_ call: Call) throws(OCFError) {}
    func stop(_ call: Call) throws(OCFError) {}
    func promote(_ call: Call) throws(OCFError) {}
    func demote(_ call: Call) throws(OCFError) {}
    func reload(_ call: Call) throws(OCFError) {}
    func eventSources(_ call: Call) throws(OCFError) -> [EventSource] { [.links, .addresses] }
  }

  final class World: @unchecked Sendable {
    let machine = InMemoryMachine()
    var state = ResourceState.promoted
    var looks = 0
    var watch = "5"

    /// The status, and how long it took.
    @discardableResult
    func does(
      _ action: String = "monitor", interval: Int = 1000, role: String? = "Promoted", level: Int = 0, node: String? = "moon"
    ) -> (status: Status, took: Duration) {
      var environment = [
        "OCF_RESKEY_watch": watch, "OCF_RESKEY_CRM_meta_interval": "\(interval)", "OCF_RESKEY_CRM_meta_promoted_max": "1",
        "OCF_CHECK_LEVEL": "\(level)", "OCF_RESOURCE_INSTANCE": "x", "OCF_RESKEY_CRM_meta_timeout": "20000",
      ]
      environment["OCF_RESKEY_CRM_meta_role"] = role
      environment["OCF_RESKEY_CRM_meta_on_node"] = node
      let request = Request(arguments: ["agent", action], environment: environment)
      let start = machine.clock.now
      return Agent.$world.withValue(self) {
        (perform(Agent.self, request, on: machine.host, from: start).status, machine.clock.now - start)
      }
    }
    func look() -> ResourceState {
      looks += 1
      return state
    }
    func pass(_ milliseconds: Int64) { machine.clock.advance(by: .milliseconds(milliseconds)) }
  }

  @Test func theFirstOfASeriesReturnsAtOnceAndTheNextOnesWait() {
    let world = World()
    #expect(world.does().took == .zero)
    for _ in 0..<3 {
      world.pass(1000)
      let (status, took) = world.does()
      #expect(status == .runningPromoted)
      #expect(took == .seconds(5))
    }
    #expect(world.machine.events.watched == Array(repeating: [.links, .addresses], count: 3))
  }

  @Test(arguments: [EventSource.links, .addresses]) func anEventThatChangesTheVerdictEndsTheWait(_ source: EventSource) {
    let world = World()
    world.does()
    world.pass(1000)
    world.machine.clock.after(.milliseconds(1500)) {
      world.state = .failed("eth0 has no carrier", promoted: true)
      world.machine.events.happen(source)
    }
    let (status, took) = world.does()
    #expect(status == .failedPromoted)
    #expect(took >= .milliseconds(1500) && took <= .milliseconds(1600))
    #expect(world.machine.cluster.scores["x"] == 20)
    world.state = .promoted
    world.pass(1000)
    #expect(world.does().took == .zero, "after a failure a new series begins")
  }

  @Test func aCarrierThatIsBackAtOnceIsNotBelievedLost() {
    let world = World()
    world.does()
    world.pass(1000)
    world.machine.clock.after(.seconds(1)) {
      world.state = .failed("eth0 has no carrier", promoted: true)
      world.machine.events.happen(.links)
    }
    world.machine.clock.after(.milliseconds(1030)) { world.state = .promoted }
    let (status, took) = world.does()
    #expect(status == .runningPromoted)
    #expect(took == .seconds(5))
  }

  @Test func aStormIsLookedAtTwentyTimesASecond() {
    let world = World()
    world.does()
    world.pass(1000)
    for moment in 1...4000 { world.machine.clock.after(.milliseconds(Int64(moment))) { world.machine.events.happen(.addresses) } }
    world.looks = 0
    #expect(world.does().took == .seconds(5))
    #expect(world.looks <= 5 * 20 + 3)
  }

  @Test(arguments: ["start", "stop", "promote", "demote", "reload-agent"]) func everyOtherActionBeginsANewSeries(_ action: String) {
    let world = World()
    world.does()
    world.pass(100)
    world.state = ["stop"].contains(action) ? .stopped : action == "promote" ? .promoted : .running
    world.does(action, interval: 0, role: nil)
    world.state = .promoted
    #expect(world.does().took == .zero)
    world.pass(1100)
    #expect(world.does().took == .seconds(5))
  }

  /// Cancelled between two runs and asked for again by the next transition, which handled nothing else for as long as it waited.
  @Test(arguments: [0, 500, 999, 1501]) func oneThatDoesNotComeWhenItIsDueIsTheFirstOfASeries(_ milliseconds: Int64) {
    let world = World()
    world.does()
    world.pass(milliseconds)
    #expect(world.does().took == .zero)
    world.pass(1000)
    #expect(world.does().took == .seconds(5))
  }

  @Test func aProbeAKillAndALongPauseBeginANewSeries() {
    let world = World()
    world.does()
    world.does(interval: 0, role: nil)
    #expect(world.does().took == .zero, "a probe")
    world.pass(1100)
    // Killed while it waits: its record went when the wait began.
    var isKept = true
    world.machine.clock.after(.seconds(1)) { isKept = world.machine.files.nodes.keys.contains { $0.hasSuffix(".watched") } }
    #expect(world.does().took == .seconds(5))
    #expect(!isKept, "a kill")
    world.pass(3100)
    #expect(world.does().took == .zero, "a long pause")
  }

  @Test func anotherIntervalOrRoleIsAnotherSeries() {
    let world = World()
    world.does()
    world.pass(2000)
    #expect(world.does(interval: 2000).took == .zero)
    world.state = .running
    world.pass(2000)
    #expect(world.does(interval: 2000, role: "Unpromoted").took == .zero)
    world.pass(2000)
    #expect(world.does(interval: 2000, role: "Unpromoted").took == .seconds(5))
  }

  @Test func onlyARecurringMonitorOfTheClusterAtLevelZeroWaits() {
    let world = World()
    for _ in 0..<3 {
      #expect(world.does(level: 10).took == .zero)
      #expect(world.does(node: nil).took == .zero)
    }
    world.does()
    world.pass(1000)
    #expect(world.does(level: 10).took == .zero)
    #expect(world.does().took == .seconds(5), "a deeper monitor in between changes nothing")
    world.watch = "0"
    #expect(world.does().took == .zero)
    world.watch = "9"
    #expect(world.does().took == .zero, "9 is too long, and 0 the default")
  }

  @Test func aMemberInTheWrongRoleIsNotWaitedFor() {
    let world = World()
    world.state = .running
    world.does(role: "Unpromoted")
    world.pass(1000)
    world.machine.clock.after(.seconds(2)) {
      world.state = .promoted
      world.machine.events.happen(.addresses)
    }
    let (status, took) = world.does(role: "Unpromoted")
    #expect(status == .runningPromoted)
    #expect(took < .milliseconds(2100))
  }

  @Test func whatCannotBeWatchedIsAskedAsBefore() {
    let world = World()
    world.machine.calls.fail("events.watch", with: .notPermitted)
    world.does()
    world.pass(1000)
    let (status, took) = world.does()
    #expect(status == .runningPromoted)
    #expect(took == .zero)
  }
}
