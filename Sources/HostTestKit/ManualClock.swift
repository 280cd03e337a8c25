import Host

/// Time that passes only when somebody sleeps. Events planned with `after` happen on the way.
public final class ManualClock: Clock {
  public private(set) var now = Instant(nanoseconds: 1_000_000_000_000)
  /// How long each sleep was.
  public private(set) var sleeps: [Duration] = []
  private var events: [(at: Instant, what: () -> Void)] = []

  public init() {}

  /// The clock began at the beginning of 2026.
  public var timestamp: Timestamp { Timestamp(seconds: 1_767_225_600 + (now.nanoseconds - 1_000_000_000_000) / 1_000_000_000) }

  /// Plans `what` for the moment `delay` from now.
  public func after(_ delay: Duration, _ what: @escaping () -> Void) { events.append((now + delay, what)) }
  public func advance(by duration: Duration) { pass(to: now + duration) }

  public func sleep(until instant: Instant) {
    guard instant > now else { return }
    sleeps.append(instant - now)
    pass(to: instant)
  }

  private func pass(to instant: Instant) {
    while let next = events.indices.filter({ events[$0].at <= instant }).min(by: { events[$0].at < events[$1].at }) {
      let event = events.remove(at: next)
      now = max(now, event.at)
      event.what()
    }
    now = max(now, instant)
  }
}
