import Daemon
import Host
import OCF

/// Whose turn it is to send on the IPsec SAs that two nodes share.
///
/// strongSwan's ha plugin gives the standby every SA, but not the number of the last packet that was sent on it, and a peer
/// drops what comes with a number it has seen. So every owner begins in a range of its own: 2^30 numbers, which last an hour
/// at 300,000 packets a second. The epoch counts owners; it lies in the cluster's configuration and is raised before it
/// is used, so that no two owners ever have the same one. There is room for three owners in the life of an SA; the rekeying
/// that follows every promotion begins new lives.
struct Epoch: Equatable {
  var number: UInt64

  /// The number that the owner's first packet follows on.
  var firstSequence: UInt32 { UInt32(truncatingIfNeeded: (number &- 1) % 3 + 1) << 30 }

  static func name(for request: Request) -> String {
    "vpnha-epoch-\(request.instance.prefix { $0 != ":" })"
  }

  /// Begins a new epoch, for the whole cluster. A value that is no number counts as none.
  static func begin(_ call: Call) throws(SystemError) -> Epoch {
    let name = name(for: call.request)
    let last = try call.host.cluster.property(name).flatMap { UInt64($0) } ?? 0
    let next = Epoch(number: last == .max ? 1 : last + 1)
    try call.host.cluster.setProperty(name, to: String(next.number))
    return next
  }
}

extension StrongSwan {
  /// Makes what this node sends on inherited SAs acceptable to the peers. Nothing happens when nothing was inherited.
  ///
  /// Without a cluster there is no epoch; then the peers hear nothing until the rekeying.
  func raiseSequences(_ call: Call) throws(OCFError) {
    guard let address else {
      call.log.notice("address: is not set, so that inherited SAs cannot send until they are rekeyed")
      return
    }
    let inherited = try attempt("looking at IPsec SAs of \(address)") { () throws(SystemError) in
      try call.host.network.outboundSequences(from: address)
    }
    guard !inherited.isEmpty else { return }
    let epoch: Epoch
    do throws(SystemError) { epoch = try Epoch.begin(call) } catch {
      call.log.warning("no epoch, inherited SAs cannot send until they are rekeyed: \(error)")
      return
    }
    let raised = try attempt("raising sequence numbers") { () throws(SystemError) in
      try call.host.network.raiseOutboundSequences(from: address, to: epoch.firstSequence)
    }
    call.log.info(
      "took over \(inherited.count) IPsec SAs", ("VPNHA_EPOCH", String(epoch.number)), ("VPNHA_RAISED", String(raised)))
  }
}
