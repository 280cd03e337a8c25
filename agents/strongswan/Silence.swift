import Daemon
import Host
import Ledger
import OCF
import VICI

/// A standby holds its peer's SAs and numbers what it sends on them from the beginning: one packet is one that the client has
/// seen, or one with a key and a number that were used. Without the address the kernel sends none. But the address comes before
/// the promotion, and whoever answers a client in between (the kernel to a ping, a daemon) would use them; so nothing leaves
/// from the address until the numbers are raised.
///
/// With `rp_filter` on (1 or 2) nothing arrives for an IPv4 address either, meanwhile: no ARP request for it is answered, no packet
/// of a client heard. It is the moment between two promotions, and clients send again.
extension StrongSwan {
  /// Holds back what leaves from `address`, and from no other address any more; or holds back nothing.
  func keepSilent(_ isSilent: Bool, _ call: Call) throws(OCFError) {
    let wanted = isSilent ? address : nil
    try attempt("holding back what a standby sends") { () throws(SystemError) in
      for other in try call.host.network.blockedEgress() where other != wanted { try call.host.network.unblockEgress(from: other) }
      if let wanted { try call.host.network.blockEgress(from: wanted) }
    }
  }

  /// Whether a ledger of sessions carries the clients' sessions on until the address leaves, and holds back what leaves from it then:
  /// in a move that they do not notice, every moment between the address's last word here and its first one there counts.
  func isSilencedLater(_ call: Call) -> Bool {
    guard call.isPromotable, let address else { return false }
    do throws(SystemError) {
      for ledger in try LedgerControl.all(call.host.files) {
        do throws(SystemError) {
          _ = try ledger.ask("hold \(address)", on: call.host, before: call.within(.milliseconds(500)).deadline)
          return true
        } catch { call.log.debug("\(error)") }
      }
    } catch { call.log.debug("looking for a ledger of sessions: \(error)") }
    return false
  }

  /// What is wrong about who is silent; nil when it is well. A standby that lost its rule gets it back from its next monitor: who
  /// flushed the rules did not mean it to speak.
  func silence(isPromoted: Bool, hasHA: Bool, _ call: Call) throws(VICIError) -> String? {
    let action = call.request.action
    guard hasHA, call.isPromotable, let address, action == .monitor || action == .start else { return nil }
    do throws(SystemError) {
      guard try call.host.network.blockedEgress().contains(address) == isPromoted else { return nil }
      if isPromoted { return "address: a routing rule of this resource holds back what \(address) sends" }
      if action == .start { return "address: nothing holds back what a standby sends from \(address)" }
      guard !call.request.isProbe, !isSilencedLater(call) else { return nil }
      try call.host.network.blockEgress(from: address)
      call.log.warning("the routing rule that keeps a standby silent was gone; it is back")
      return nil
    } catch { throw VICIError(.unreachable, "looking at routing rules", "\(error.errno)", errno: error.errno) }
  }
}
