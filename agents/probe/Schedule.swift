import Host
import OCF

/// When a target counts as down: so many of the last so many probes failed. Written `6/8`.
struct Threshold: ParameterValue, Hashable, Sendable {
  var failures: Int
  var of: Int

  static var contentType: ContentType { .string }

  init(_ failures: Int, of window: Int) {
    self.failures = failures
    of = window
  }

  /// One lost packet moves nothing, so one failure is never enough.
  init(parameter text: String) throws(Unreadable) {
    let words = text.split(separator: "/", omittingEmptySubsequences: false)
    guard words.count == 2, let failures = Int(words[0]), let window = Int(words[1]), failures >= 2, failures <= window,
      window <= 100
    else { throw Unreadable("expected failed/probes, as 6/8, from 2/2 to 100/100") }
    self.init(failures, of: window)
  }
  var parameterText: String? { "\(failures)/\(of)" }
}

/// How one kind of target is asked.
struct Schedule: Equatable {
  /// Between the beginnings of two probes.
  var interval: Duration
  /// How long a probe waits for its answer. The question is repeated twice within that time.
  var timeout: Duration
  var threshold: Threshold

  /// How much later than this one another node may come to the same conclusion about the same dead target.
  var skew: Duration { interval + timeout }
}

/// What the last probes of one target say.
struct History: Equatable {
  enum State: Equatable {
    /// Not enough probes yet.
    case unknown
    case up
    case down(since: Timestamp)
  }

  let threshold: Threshold
  /// How long every probe must have been answered before a target that was down counts as up.
  let recovery: Duration

  private(set) var state = State.unknown
  private var failed: [Bool] = []
  private var goodSince: Instant?
  private var badSince: Timestamp?

  init(_ threshold: Threshold, recovery: Duration) {
    self.threshold = threshold
    self.recovery = recovery
  }

  var isDown: Bool { if case .down = state { true } else { false } }

  mutating func add(answered: Bool, at now: Instant, _ timestamp: Timestamp) {
    failed.append(!answered)
    if failed.count > threshold.of { failed.removeFirst(failed.count - threshold.of) }
    if answered {
      goodSince = goodSince ?? now
    } else {
      goodSince = nil
      if !failed.dropLast().contains(true) { badSince = timestamp }
    }
    let failures = failed.count { $0 }
    switch state {
    case .unknown, .up:
      if failures >= threshold.failures {
        state = .down(since: badSince ?? timestamp)
      } else if failed.count >= threshold.of {
        state = .up
      }
    case .down:
      if let goodSince, now - goodSince >= recovery {
        state = .up
        // What is known to be over does not count against it again.
        failed = failed.map { _ in false }
      }
    }
  }
}
