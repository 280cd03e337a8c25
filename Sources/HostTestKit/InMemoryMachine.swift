import Host

/// A whole machine of fakes that share one clock and one record of calls.
public final class InMemoryMachine {
  public let calls: Calls
  public let clock: ManualClock
  public let network: InMemoryNetwork
  public let packetFilter: InMemoryPacketFilter
  public let processes: ScriptedProcesses
  public let units: ScriptedUnits
  public let files: InMemoryFiles
  public let sockets: ScriptedSockets
  public let cluster: RecordingCluster
  public let events: ScriptedEvents
  public let log: RecordingLog

  /// - Parameter hasSystemd: whether systemd is the service manager.
  public init(links: [Link] = [], hasSystemd: Bool = false) {
    calls = Calls()
    clock = ManualClock()
    network = InMemoryNetwork(links, calls: calls, clock: clock)
    packetFilter = InMemoryPacketFilter(calls: calls)
    processes = ScriptedProcesses(calls: calls, clock: clock)
    units = ScriptedUnits(isAvailable: hasSystemd, calls: calls, clock: clock)
    files = InMemoryFiles(calls: calls, clock: clock)
    sockets = ScriptedSockets(calls: calls, clock: clock)
    cluster = RecordingCluster(calls: calls)
    events = ScriptedEvents(calls: calls, clock: clock)
    log = RecordingLog()
  }

  public var host: Host {
    Host(
      network: network, packetFilter: packetFilter, processes: processes, units: units, files: files, sockets: sockets,
      clock: clock, cluster: cluster, events: events, log: log)
  }

  /// A stream of this machine's clock and record.
  public func stream(_ steps: [ScriptedStream.Step], chunk: Int = .max) -> ScriptedStream {
    ScriptedStream(steps, chunk: chunk, calls: calls, clock: clock)
  }
  public func stream(chunk: Int = .max, peer: @escaping (inout [UInt8]) -> [ScriptedStream.Step]) -> ScriptedStream {
    ScriptedStream(chunk: chunk, calls: calls, clock: clock, peer: peer)
  }

  /// Runs `act` on a fresh `world` once for every call that can fail, with `error` forced at that call, until a run gets
  /// through without reaching it; `check` then judges each outcome.
  ///
  /// - Returns: how many failures were forced.
  @discardableResult
  public static func failingEveryCall<Outcome>(
    with error: Errno = .io, in world: () -> InMemoryMachine, _ act: (InMemoryMachine) -> Outcome,
    check: (_ failed: Calls.Call, _ outcome: Outcome, _ machine: InMemoryMachine) -> Void
  ) -> Int {
    var position = 0
    while true {
      let machine = world()
      machine.calls.reset()
      machine.calls.fail(at: position, with: error)
      let outcome = act(machine)
      guard let failed = machine.calls.forced else { return position }
      check(failed, outcome, machine)
      position += 1
    }
  }
}
