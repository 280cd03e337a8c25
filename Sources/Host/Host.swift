/// What an agent may ask of the machine it runs on. Passed as an argument everywhere; there are no globals.
public struct Host {
  public var network: any Network
  public var packetFilter: any PacketFilter
  public var processes: any Processes
  public var units: any Units
  public var files: any Files
  public var sockets: any Sockets
  public var clock: any Clock
  public var cluster: any Cluster
  public var events: any Events
  public var log: any Log

  public init(
    network: any Network, packetFilter: any PacketFilter, processes: any Processes, units: any Units, files: any Files,
    sockets: any Sockets, clock: any Clock, cluster: any Cluster, events: any Events, log: any Log
  ) {
    self.network = network
    self.packetFilter = packetFilter
    self.processes = processes
    self.units = units
    self.files = files
    self.sockets = sockets
    self.clock = clock
    self.cluster = cluster
    self.events = events
    self.log = log
  }
}

/// The monotonic clock, and the only way to wait.
public protocol Clock: AnyObject {
  var now: Instant { get }
  /// What people call now. It may jump: for telling them, never for waiting.
  var timestamp: Timestamp { get }
  /// Returns at `instant`, or at once when it has passed.
  func sleep(until instant: Instant)
}

extension Host {
  /// Waits until `condition` holds: looks at once, then after 1 ms, doubling up to 50 ms, until `deadline`.
  ///
  /// - Returns: whether it held. The last look is at the deadline itself.
  public func until<Failure: Error>(
    before deadline: Instant, _ condition: () throws(Failure) -> Bool
  ) throws(Failure) -> Bool {
    var pause = Duration.milliseconds(1)
    while true {
      if try condition() { return true }
      let now = clock.now
      guard now < deadline else { return false }
      clock.sleep(until: min(deadline, now + pause))
      pause = min(pause * 2, .milliseconds(50))
    }
  }
}
