import ConntrackSync
import Host
import OCF

extension Conntrackd {
  /// `flows`: those of this node while it is promoted, else those that it holds for the peer.
  package func counts(_ call: Call) throws(OCFError) -> [String: UInt64] {
    guard let process = try found(call) else { return [:] }
    let socket = ConntrackSocket(settings(of: process, call).configuration.socketPath)
    let statistics: SyncStatistics
    do throws(ConntrackError) { statistics = try socket.statistics(on: call.host, before: call.within(.seconds(1)).deadline) } catch { throw .failed(error.reason) }
    let flows = try isPromoted(process, call) ? statistics.internal.active : statistics.external.active
    return flows.map { ["flows": $0] } ?? [:]
  }
}
