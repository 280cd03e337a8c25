import Host

/// Events that a test plans: `machine.clock.after(delay) { machine.events.happen(.links) }`.
public final class ScriptedEvents: Events {
  /// What was watched, in order.
  public private(set) var watched: [[EventSource]] = []

  private let calls: Calls
  private let clock: ManualClock
  private var happened: [EventSource] = []

  public init(calls: Calls = Calls(), clock: ManualClock = ManualClock()) {
    self.calls = calls
    self.clock = clock
  }

  public func happen(_ source: EventSource) { happened.append(source) }

  public func watch(_ sources: [EventSource]) throws(SystemError) -> any Watch {
    try calls.sees("events.watch()")
    watched.append(sources)
    happened = []
    return ScriptedWatch(self, sources)
  }

  private final class ScriptedWatch: Watch {
    private let events: ScriptedEvents
    private let sources: [EventSource]

    init(_ events: ScriptedEvents, _ sources: [EventSource]) {
      self.events = events
      self.sources = sources
    }

    func next(before deadline: Instant) throws(SystemError) -> EventSource? {
      try events.calls.sees("watch.next()")
      while true {
        if let source = events.happened.first(where: sources.contains) {
          events.happened.removeAll { $0 == source }
          return source
        }
        guard events.clock.now < deadline else { return nil }
        events.clock.sleep(until: min(deadline, events.clock.now + .milliseconds(10)))
      }
    }
  }
}
