import ConntrackSync
import Host
import OCF

/// Makes the peer's flows ours, and gives ours away.
///
/// The order is conntrack-tools' `primary-backup.sh`; each step is one request to the daemon, and what the daemon says it did
/// is not believed: the commit is read off its counters.
struct TakeOver {
  let socket: ConntrackSocket
  let call: Call

  /// How long the peer's last updates may keep arriving before the commit.
  static let settling = Duration.milliseconds(500)
  /// Without a change for so long, the last update has arrived.
  static let calm = Duration.milliseconds(15)
  /// How long the kernel's events may take to come back after the commit, and caches to be empty after a flush.
  static let verification = Duration.milliseconds(500)

  /// Commits the external cache and announces the result to the peer.
  ///
  /// Equivalent to: `conntrackd -c; conntrackd -f; conntrackd -R; conntrackd -B`, with the first one verified.
  func commit() throws(OCFError) {
    let before = try settled()
    // Also without an external cache: any commit calls off the flush that an earlier demote has scheduled.
    try ask(.commit)
    if let entries = before.external.active, entries > 0 { try verify(entries, since: before) }
    try ask(.flush)
    let isFlushed = try call.within(Self.verification).until { () throws(OCFError) in
      try statistics().external.active ?? 0 == 0
    }
    if !isFlushed { call.log.warning("flushing the external cache: it is not empty (is HashSize more than CommitSteps?)") }
    try ask(.resyncWithKernel)
    try ask(.sendBulk)
    call.log.info("committed \(before.external.active ?? 0) flows of the peer")
  }

  /// Schedules the end of flows that live on the other node from now on, and asks it for them.
  ///
  /// Equivalent to: `conntrackd -t; conntrackd -n`. A commit within `PurgeTimeout` calls the flush off.
  func yield() throws(OCFError) {
    try ask(.resetTimers)
    try ask(.requestResync)
  }

  /// The counters, as soon as the external cache has been the same for a moment.
  private func settled() throws(OCFError) -> SyncStatistics {
    let clock = call.host.clock
    var last = try statistics()
    var changed = clock.now
    let isSettled = try call.within(Self.settling).until { () throws(OCFError) in
      let next = try statistics()
      if next.external != last.external { changed = clock.now }
      last = next
      return clock.now - changed >= Self.calm
    }
    if !isSettled { call.log.notice("committing while the peer's updates still arrive") }
    return last
  }

  /// Every flow written into the kernel comes back to the daemon as an event and is counted in the internal cache.
  private func verify(_ entries: UInt64, since before: SyncStatistics) throws(OCFError) {
    // Without an internal cache the daemon does not count what it did itself.
    guard before.internal.active != nil else { return }
    var written: UInt64 = 0
    let isWhole = try call.within(Self.verification).until { () throws(OCFError) in
      let created = try statistics().internal.created
      written = created >= before.internal.created ? created - before.internal.created : 0
      return written >= entries
    }
    if isWhole { return }
    guard written >= entries - entries / 2 else {
      throw .failed("committing the peer's flows: \(written) of \(entries) reached the kernel")
    }
    call.log.warning("committing the peer's flows: \(written) of \(entries) reached the kernel")
  }

  private func statistics() throws(OCFError) -> SyncStatistics {
    do { return try socket.statistics(on: call.host, before: call.deadline) } catch { throw .failed(error.reason) }
  }

  private func ask(_ request: ConntrackSocket.Request) throws(OCFError) {
    do { try socket.ask(request, on: call.host, before: call.deadline) } catch { throw .failed(error.reason) }
  }
}
