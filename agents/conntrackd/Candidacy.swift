import ConntrackSync
import Daemon
import Host
import OCF

extension Conntrackd {
  /// What is wrong with the replication. Keeps the counters for the next look.
  func troubles(
    _ configuration: SyncConfiguration, _ statistics: SyncStatistics, _ process: Process, isPromoted: Bool, _ call: Call
  ) throws(OCFError) -> [Risk] {
    let socket = ConntrackSocket(configuration.socketPath)
    let links: [SyncLink]
    let waiting: UInt64
    do {
      links = try socket.links(on: call.host, before: call.deadline)
      waiting = try socket.resendQueueLength(on: call.host, before: call.deadline)
    } catch {
      throw .failed(error.reason)
    }
    var sample = SyncSample(of: statistics, waiting: waiting, daemon: process.pid, at: call.host.clock.now)
    var earlier = sampleBefore(call)
    if earlier?.daemon != sample.daemon { earlier = nil }
    if let earlier { sample = sample.following(earlier) }
    // Without a cache the kernel's table holds the flows.
    let tracked = statistics.internal.active != nil && statistics.external.active != nil ? nil : try trackedFlows(call)
    let measure: Comparison.Measure =
      configuration.disablesInternalCache ? .table : configuration.disablesExternalCache ? .copy : .cache
    let judgement = comparison(
      of: statistics.internal.active ?? tracked, holding: statistics.external.active ?? tracked, isServing: isPromoted,
      since: earlier, call
    )?.judged(after: earlier?.comparison, gap: Self.gap(call.request), measure)
    sample.comparison = judgement?.kept
    if !call.request.isForAPerson { keep(sample, call) }
    let broken = links.filter { $0.status != "RUNNING" }
    var risks = broken.filter(\.isActive).map { Risk("the link to the peer over \($0.device) is \($0.status)") }
    if let earlier {
      risks += sample.troubles(since: earlier, isReliable: configuration.mode == "FTFW", gap: Self.gap(call.request)).map { Risk($0) }
      if let mismatch = judgement?.mismatch {
        let isAskedFor = mismatch.isLack && !call.request.isForAPerson
        // What the operator would do; the next look tells whether it helped.
        if isAskedFor { do { try socket.ask(.requestResync, on: call.host, before: call.deadline) } catch { throw .failed(error.reason) } }
        risks.append(Risk(mismatch.text + (isAskedFor ? "; requested a full resync" : ""), unfit: mismatch.isBare))
      }
    }
    // The daemon has others for the day when this one fails. Whatever is wrong already is worse.
    return risks + broken.filter { !$0.isActive }.map { Risk("the spare link to the peer over \($0.device) is \($0.status)") }
  }

  /// Connections in the kernel's table; nil when the kernel does not tell.
  private func trackedFlows(_ call: Call) throws(OCFError) -> UInt64? {
    try attempt("counting connections", try call.host.files.kernelParameter("net.netfilter.nf_conntrack_count").flatMap { UInt64($0) })
  }

  private func sampleBefore(_ call: Call) -> SyncSample? {
    do throws(SystemError) {
      return try call.host.files.read(notePath("sample", call), limit: 512).flatMap { SyncSample($0) }
    } catch {
      call.log.warning("reading the counters of the last look: \(error)")
      return nil
    }
  }

  /// For the next look.
  private func keep(_ sample: SyncSample, _ call: Call) {
    do throws(SystemError) {
      try call.keep(sample.bytes, as: "sample")
    } catch {
      call.log.warning("keeping the counters: \(error)")
    }
  }
}
