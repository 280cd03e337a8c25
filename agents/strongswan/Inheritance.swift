import Daemon
import Host
import OCF

/// Whose turn it is to send on the IPsec SAs that two nodes hold.
///
/// strongSwan's ha plugin gives the standby every SA, but not the number of the last packet that was sent on it, and a client
/// drops what comes with a number it has seen. So every owner that takes over begins in a range of its own: 2^27 numbers, an
/// hour at 37,000 packets a second on one SA. The epoch counts these owners. The attribute daemons of the cluster keep it, it
/// is raised before it is used, and what a lost node knew of it the others know.
///
/// The node that negotiated an SA sends on it from 0 and may have left the first ranges behind. It has not sent more than
/// 2^17 numbers a second (more than a gigabit), so no range is used that lies within as many of them as the SA's age has seconds.
/// The age also says where in its range an owner begins: two that did not hear of each other's epoch do not begin alike.
///
/// Neither is enough alone. An epoch can be lost with the cluster's memory while SAs live on; ages are measured by two clocks, of
/// which one may be set, and by two charons, of which one may have slept when the SA came (two busy nodes of the lab were three
/// seconds apart, and the second of two quick owners repeated the first one's numbers).
///
/// After 31 owners the ranges begin anew. An SA that lived through two take-overs just there is silent until it is rekeyed,
/// which is seconds: every promotion rekeys all of them.
struct Epoch: Equatable {
  /// From 1 on; 0 is before the first take-over.
  var number: UInt64

  static let ranges: UInt64 = 31
  private static let rangeBits = 27
  /// 2 to the power of this: numbers that nobody outruns in a second.
  private static let secondBits = 17

  /// Which range it is, from 1 to `ranges`.
  var range: UInt64 { number == 0 ? 0 : (number - 1) % Self.ranges + 1 }

  /// The number behind which its owner goes on with an SA of that age in seconds.
  func firstSequence(atAge age: UInt64) -> UInt32 {
    let within = min(age, 1 << (Self.rangeBits - Self.secondBits) - 1)
    return UInt32(truncatingIfNeeded: range << Self.rangeBits | within << Self.secondBits)
  }

  /// The next one whose range nobody can have used of an SA of that age.
  func next(atAge age: UInt64) -> Epoch {
    let used = min(age >> (Self.rangeBits - Self.secondBits) + 1, Self.ranges)
    var next = Epoch(number: number)
    repeat { next.number = next.number < .max ? next.number + 1 : 1 } while next.range < used
    return next
  }

  /// In the environment of the process that tells it to the other nodes.
  static let variable = "VPNHA_EPOCH"

  static func name(for request: Request) -> String { "vpnha-epoch-\(request.resource)" }

  /// The latest that any node knows of.
  static func latest(of values: [String: String]) -> Epoch { Epoch(number: values.values.compactMap { UInt64($0) }.max() ?? 0) }
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
    let name = Epoch.name(for: call.request)
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
    let name = Epoch.name(for: call.request)
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
