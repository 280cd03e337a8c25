import ConntrackSync
import Daemon
import Host
import OCF

/// Promotes and demotes the replicated connection table.
///
/// The order is conntrack-tools' `primary-backup.sh`; each step is one request to the daemon, and what the daemon says it did
/// is not believed: the commit is read off its counters. Where a cache is switched off, the kernel's table stands for it:
/// steps that are about the cache would then empty the table of the node, and are left out.
struct TakeOver {
  private let configuration: SyncConfiguration
  private let socket: ConntrackSocket
  private let call: Call

  init(_ configuration: SyncConfiguration, _ call: Call) {
    self.configuration = configuration
    socket = ConntrackSocket(configuration.socketPath)
    self.call = call
  }

  /// How long the peer's last updates may keep arriving before the commit.
  static let settling = Duration.milliseconds(500)
  /// Without a change for so long, the last update has arrived.
  static let calm = Duration.milliseconds(5)
  /// Without a change for so long, no more of what was committed will show.
  static let standstill = Duration.milliseconds(60)
  /// How long the kernel's events may take to come back after the commit, and caches to be empty after a flush.
  static let verification = Duration.milliseconds(500)
  /// How long a flush that is refused is asked for again.
  static let insistence = Duration.seconds(2)

  /// Commits the external cache.
  ///
  /// Equivalent to: `conntrackd -c; conntrackd -f`, with both verified.
  func commit() throws(OCFError) {
    let before = try settled()
    let tracked = try trackedFlows()
    // Also without an external cache: any commit calls off the flush that an earlier demote has scheduled.
    try ask(.commit)
    if let entries = before.external.active, entries > 0 { try verify(entries, since: before, tracked) }
    if !configuration.disablesExternalCache { try flush(before.external.active ?? 0) }
    call.log.info("committed \(before.external.active ?? 0) flows of the peer")
  }

  /// Has the peer told what was committed, without waiting for it.
  ///
  /// Equivalent to: `conntrackd -R; conntrackd -B`.
  func announce() throws(OCFError) {
    do throws(ConntrackError) {
      for request in [.resyncWithKernel, .sendBulk] as [ConntrackSocket.Request] { try socket.leave(request, on: call.host, before: call.deadline) }
    } catch { throw .failed(error.reason) }
  }

  /// Empties the external cache, whose entries are in the kernel now.
  ///
  /// While a commit runs, whoever asked for it, conntrackd refuses, and says so in its log only: then the cache is as full as
  /// it was. (The flush of both caches, without an internal one, is a flush of the kernel's table.)
  private func flush(_ entries: UInt64) throws(OCFError) {
    let request = configuration.disablesInternalCache ? ConntrackSocket.Request.flushExternal : .flush
    try ask(request)
    let isFlushed = try call.within(Self.insistence).until { () throws(OCFError) in
      let left = try statistics().external.active ?? 0
      if left == 0 || left < entries { return true }
      if entries > 0 { try ask(request) }
      return false
    }
    if !isFlushed { call.log.warning("flushing the external cache: conntrackd refuses (a commit is still running)") }
  }

  /// Schedules the end of flows that live on the other node from now on, and asks it for them.
  ///
  /// Equivalent to: `conntrackd -t; conntrackd -n`. A commit within `PurgeTimeout` calls the flush off. Without an external
  /// cache the kernel's table is the copy of the peer's flows, and stays.
  func yield() throws(OCFError) {
    if !configuration.disablesExternalCache { try ask(.resetTimers) }
    try ask(.requestResync)
    let table =
      configuration.disablesExternalCache
      ? "the kernel's connections stay, as the copy of the peer's" : "the kernel's connections are flushed after PurgeTimeout"
    call.log.info("stepped back: \(table), and the peer was asked for its own")
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

  /// Whether the commit happened: each flow written is one more in the kernel's table, or comes back to the daemon as an event
  /// and is counted in the internal cache (one that was there already is written anew).
  ///
  /// Thousands of events at once overrun the daemon's socket, and a flow that was there already then shows in neither. So
  /// when some were seen, the daemon is made to read the kernel's table, and what it finds there counts.
  private func verify(_ entries: UInt64, since before: SyncStatistics, _ tracked: UInt64) throws(OCFError) {
    var written: UInt64 = 0
    try watch { () throws(OCFError) in
      let created = try statistics().internal.created
      written = max(excess(created, before.internal.created), excess(try trackedFlows(), tracked))
      return (written, written >= entries)
    }
    if written < entries - entries / 2, written > 0 || before.internal.active == nil {
      try ask(.resyncWithKernel)
      try watch { () throws(OCFError) in
        // Without an internal cache only the kernel can be asked.
        let cached = try statistics().internal.active
        let found = if let cached { cached } else { try trackedFlows() }
        written = max(written, min(found, entries))
        return (found, found >= entries)
      }
    }
    guard written < entries else { return }
    let outcome = "committing the peer's flows: \(written) of \(entries) reached the kernel"
    guard written >= entries - entries / 2 else { throw .failed(outcome) }
    call.log.warning(outcome)
  }

  private func excess(_ now: UInt64, _ before: UInt64) -> UInt64 { now >= before ? now - before : 0 }

  /// Looks until it is enough, or the number has not changed for a moment, or the time for the verification is over.
  private func watch(_ look: () throws(OCFError) -> (number: UInt64, isEnough: Bool)) throws(OCFError) {
    let clock = call.host.clock
    var last: UInt64?
    var changed = clock.now
    _ = try call.within(Self.verification).until { () throws(OCFError) in
      let (number, isEnough) = try look()
      if number != last { changed = clock.now }
      last = number
      return isEnough || clock.now - changed >= Self.standstill
    }
  }

  /// Connections in the kernel's table; 0 when the kernel does not tell.
  private func trackedFlows() throws(OCFError) -> UInt64 {
    try attempt("counting connections", try call.host.files.kernelParameter("net.netfilter.nf_conntrack_count").flatMap { UInt64($0) } ?? 0)
  }

  private func statistics() throws(OCFError) -> SyncStatistics {
    do { return try socket.statistics(on: call.host, before: call.deadline) } catch { throw .failed(error.reason) }
  }

  private func ask(_ request: ConntrackSocket.Request) throws(OCFError) {
    do { try socket.ask(request, on: call.host, before: call.deadline) } catch { throw .failed(error.reason) }
  }
}
