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
package struct Epoch: Equatable {
  /// From 1 on; 0 is before the first take-over.
  package var number: UInt64

  package init(number: UInt64) { self.number = number }

  package static let ranges: UInt64 = 31
  private static let rangeBits = 27
  /// 2 to the power of this: numbers that nobody outruns in a second.
  private static let secondBits = 17

  /// Which range it is, from 1 to `ranges`.
  package var range: UInt64 { number == 0 ? 0 : (number - 1) % Self.ranges + 1 }

  /// The number behind which its owner goes on with an SA of that age in seconds.
  package func firstSequence(atAge age: UInt64) -> UInt32 {
    let within = min(age, 1 << (Self.rangeBits - Self.secondBits) - 1)
    return UInt32(truncatingIfNeeded: range << Self.rangeBits | within << Self.secondBits)
  }

  /// The next one whose range nobody can have used of an SA of that age.
  package func next(atAge age: UInt64) -> Epoch {
    let used = min(age >> (Self.rangeBits - Self.secondBits) + 1, Self.ranges)
    var next = Epoch(number: number)
    repeat { next.number = next.number < .max ? next.number + 1 : 1 } while next.range < used
    return next
  }

  /// The name of the cluster's attribute that keeps it.
  ///
  /// - Parameter resource: the strongswan resource's.
  package static func name(for resource: String) -> String { "vpnha-epoch-\(resource)" }

  /// The latest that any node knows of.
  package static func latest(of values: [String: String]) -> Epoch { Epoch(number: values.values.compactMap { UInt64($0) }.max() ?? 0) }
}
