import Daemon
import Host
import OCF
import Sessions

extension Epoch {
  /// In the environment of the process that tells it to the other nodes.
  static let variable = "VPNHA_EPOCH"
}

extension StrongSwan {
  /// Makes what this node sends on inherited SAs acceptable to the clients. Nothing is ever lowered; nothing happens where
  /// nothing was inherited.
  /// - Returns: the epoch that began with it.
  func raiseSequences(_ call: Call) throws(OCFError) -> Epoch? {
    guard let address else {
      call.log.notice("address: is not set, so that inherited SAs cannot send until they are rekeyed")
      return nil
    }
    let inherited = try attempt("looking at the IPsec SAs of \(address)", try call.host.network.outboundAssociations(from: address))
    guard let oldest = inherited.map(\.age).max() else { return nil }
    let epoch = begin(atAge: oldest, call)
    let raised = try attempt("raising sequence numbers", try call.host.network.raiseSequences(from: address) { epoch.firstSequence(atAge: $0.age) })
    call.log.info(
      "took over \(inherited.count) IPsec SAs", ("VPNHA_EPOCH", String(epoch.number)), ("VPNHA_RAISED", String(raised)))
    return epoch
  }

  /// Begins a new epoch, for the whole cluster. Outside a cluster, or when it does not answer, the SAs' ages have to do.
  private func begin(atAge age: UInt64, _ call: Call) -> Epoch {
    let name = Epoch.name(for: "\(call.request.resource)")
    var epoch = Epoch(number: 0).next(atAge: age)
    do throws(SystemError) {
      epoch = Epoch.latest(of: try call.host.cluster.nodeAttribute(name)).next(atAge: age)
      try call.host.cluster.share(String(epoch.number), as: name, on: nil)
    } catch { call.log.warning("the epoch of this take-over is known to this node only: \(error)") }
    return epoch
  }

  /// Tells the epoch to the other nodes: what only this one told is forgotten with it. A node that comes later holds
  /// no SA from before, and need not know. A cluster that had no time for it at the promotion hears of it now.
  func spreadEpoch(_ call: Call) {
    let name = Epoch.name(for: "\(call.request.resource)")
    do throws(SystemError) {
      let values = try call.host.cluster.nodeAttribute(name)
      let own = Epoch(number: call.request.environment[Epoch.variable].flatMap { UInt64($0) } ?? 0)
      let latest = Epoch(number: max(Epoch.latest(of: values).number, own.number))
      guard latest.number > 0 else { return }
      for node in try call.host.cluster.members() where values[node] != String(latest.number) {
        try call.host.cluster.share(String(latest.number), as: name, on: node)
      }
    } catch { call.log.warning("telling the other nodes of the take-over: \(error)") }
  }
}
