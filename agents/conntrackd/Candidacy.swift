import ConntrackSync
import Daemon
import Host
import OCF

extension Conntrackd {
  /// Scores of the node that serves, of one that holds the peer's flows, and of one that holds none.
  static let promotedScore = 100
  static let syncedScore = 10
  static let emptyScore = 5

  static func score(_ role: Role, _ statistics: SyncStatistics) -> Int {
    if role == .promoted { return promotedScore }
    // Without an external cache the peer's flows are in the kernel as soon as they come.
    return statistics.external.active ?? statistics.external.created > 0 ? syncedScore : emptyScore
  }

  /// Keeps the score that the cluster is told, so that a monitor notices when it is no longer true.
  func note(_ score: Int, _ call: Call) throws(OCFError) {
    try attempt("keeping the promotion score") { () throws(SystemError) in
      try call.host.files.makeDirectory(DaemonRole.directory, mode: 0o755)
      try call.host.files.replace(notePath("score", call), with: Array("\(score)".utf8), mode: 0o600)
    }
  }

  /// Tells the cluster a score that has changed since it was told: the peer's flows have arrived, or have gone. The health
  /// of the resource does not depend on it.
  func correctScore(_ role: Role, _ statistics: SyncStatistics, _ call: Call) {
    guard call.isPromotable, call.request.action == .monitor, !call.request.isProbe else { return }
    let score = Self.score(role, statistics)
    do throws(OCFError) {
      let told = try attempt("reading the promotion score") { () throws(SystemError) in
        try call.host.files.read(notePath("score", call), limit: 16)
      }
      if told == Array("\(score)".utf8) { return }
      try attempt("setting the promotion score") { () throws(SystemError) in
        try call.host.cluster.setPromotionScore(score, of: call.request.instance)
      }
      try note(score, call)
    } catch {
      call.log.warning(error.reason)
    }
  }

  /// What is wrong with the replication, nil when nothing is. Keeps the counters for the next look.
  func trouble(
    _ configuration: SyncConfiguration, _ statistics: SyncStatistics, _ process: Process, _ call: Call
  ) throws(OCFError) -> String? {
    let socket = ConntrackSocket(configuration.socketPath)
    let links: [SyncLink]
    let waiting: UInt64
    do {
      links = try socket.links(on: call.host, before: call.deadline)
      waiting = try socket.resendQueueLength(on: call.host, before: call.deadline)
    } catch {
      throw .failed(error.reason)
    }
    let sample = SyncSample(of: statistics, waiting: waiting, daemon: process.pid, at: call.host.clock.now)
    let earlier = exchange(sample, call)
    if let link = links.first(where: { $0.isActive && $0.status != "RUNNING" }) {
      return "the link to the peer over \(link.device) is \(link.status)"
    }
    return earlier.flatMap { sample.trouble(since: $0, isAlwaysHeard: configuration.mode == "FTFW") }
  }

  /// Keeps `sample` for the next look, and returns the one of the last.
  private func exchange(_ sample: SyncSample, _ call: Call) -> SyncSample? {
    let path = notePath("sample", call)
    do throws(SystemError) {
      let earlier = try call.host.files.read(path, limit: 512).flatMap { SyncSample($0) }
      try call.host.files.makeDirectory(DaemonRole.directory, mode: 0o755)
      try call.host.files.replace(path, with: sample.bytes, mode: 0o600)
      return earlier
    } catch {
      call.log.warning("keeping the counters: \(error)")
      return nil
    }
  }
}
