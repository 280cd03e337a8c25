import ConntrackSync
import Host
import OCF

/// What conntrackd's counters said when they were last looked at. Counters only grow, so it takes two looks to see trouble,
/// and trouble that has passed is forgotten at the next one.
struct SyncSample: Equatable {
  var daemon: Int32
  /// The monotonic clock, in milliseconds.
  var taken: Int64
  var packetsReceived: UInt64
  var errors: UInt64
  var lost: UInt64
  var malformed: UInt64
  var waiting: UInt64
  /// When a look last saw messages lost, on the same clock; 0 for never.
  var lossSeen: Int64 = 0
  /// Nil where there was nothing to compare.
  var comparison: Comparison?

  init(of statistics: SyncStatistics, waiting: UInt64, daemon: Int32, at now: Instant) {
    self.daemon = daemon
    taken = now.nanoseconds / 1_000_000
    packetsReceived = statistics.packetsReceived
    errors = statistics.sendErrors.addingReportingOverflow(statistics.receiveErrors).partialValue
    lost = statistics.lost
    malformed = statistics.malformed
    self.waiting = waiting
  }

  /// Eight numbers on one line, thirteen with a comparison, none negative but the pid; nil for anything else.
  init?(_ bytes: [UInt8]) {
    let words = String(decoding: bytes, as: UTF8.self).split { $0 == " " || $0 == "\n" }
    let numbers = words.dropFirst(2).compactMap { UInt64($0) }
    guard [8, 13].contains(words.count), numbers.count == words.count - 2, let daemon = Int32(words[0]), let taken = Int64(words[1]), taken >= 0 else { return nil }
    self.daemon = daemon
    self.taken = taken
    packetsReceived = numbers[0]
    errors = numbers[1]
    lost = numbers[2]
    malformed = numbers[3]
    waiting = numbers[4]
    guard let lossSeen = Int64(exactly: numbers[5]) else { return nil }
    self.lossSeen = lossSeen
    guard numbers.count == 11, let since = Int64(exactly: numbers[9]), let looked = Int64(exactly: numbers[10]) else { return }
    comparison = Comparison(held: numbers[6], promised: numbers[7], edition: numbers[8], since: since, taken: looked)
  }

  var bytes: [UInt8] {
    let compared = comparison.map { " \($0.held) \($0.promised) \($0.edition) \(max(0, $0.since)) \(max(0, $0.taken))" } ?? ""
    return Array("\(daemon) \(taken) \(packetsReceived) \(errors) \(lost) \(malformed) \(waiting) \(max(0, lossSeen))\(compared)\n".utf8)
  }

  /// A peer in FTFW mode says something every second.
  static let silence: Int64 = 5_000
  /// Unacknowledged messages that are a backlog and not just traffic.
  static let backlog: UInt64 = 1_000

  private func growth(_ field: (SyncSample) -> UInt64, since earlier: SyncSample) -> UInt64 {
    field(self) > field(earlier) ? field(self) - field(earlier) : 0
  }

  /// The same sample, with the time of the last loss.
  func following(_ earlier: SyncSample) -> SyncSample {
    var copy = self
    copy.lossSeen = growth(\.lost, since: earlier) > 0 || growth(\.errors, since: earlier) > 0 ? taken : earlier.lossSeen
    return copy
  }

  /// What is wrong since `earlier`. `isReliable` in FTFW mode, which speaks every second
  /// and sends again what was lost: there a break that is over has cost nothing, and a loss is trouble when the look before, half a
  /// `gap` ago (milliseconds) or more, saw one as well.
  func troubles(since earlier: SyncSample, isReliable: Bool, gap: Int64) -> [String] {
    guard earlier.daemon == daemon, earlier.taken <= taken else { return [] }
    var found: [String] = []
    if isReliable, taken - earlier.taken >= Self.silence, packetsReceived == earlier.packetsReceived {
      found.append("nothing was heard from the peer for \((taken - earlier.taken) / 1000) s")
    }
    let lasts = !isReliable || (earlier.lossSeen > 0 && (gap / 2...gap * 2).contains(taken - earlier.lossSeen))
    for (count, what) in [
      (lasts ? growth(\.lost, since: earlier) : 0, "messages of the peer were lost"),
      (growth(\.malformed, since: earlier), "malformed messages came in"),
      (lasts ? growth(\.errors, since: earlier) : 0, "messages could not be sent or received"),
    ] where count > 0 {
      found.append("\(count) \(what) since the last look")
    }
    if waiting > Self.backlog, waiting > earlier.waiting {
      found.append("\(waiting) messages wait for the peer, \(earlier.waiting) at the last look")
    }
    return found
  }
}
