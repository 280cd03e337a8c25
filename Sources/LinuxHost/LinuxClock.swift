import CLinux
import Host

/// `CLOCK_MONOTONIC`.
public final class LinuxClock: Clock {
  public init() {}

  public var now: Instant { Self.now }

  public var timestamp: Timestamp { Timestamp(seconds: Int64(time(nil))) }

  static var now: Instant {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Instant(nanoseconds: Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec))
  }

  public func sleep(until instant: Instant) { Self.sleep(until: instant) }

  static func sleep(until instant: Instant) {
    let nanoseconds = max(0, instant.nanoseconds)
    var time = timespec(tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
    while clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nil) == EINTR {}
  }
}
