import Daemon
import Host
import OCF

/// What this node sends on the IPsec SAs that it holds with its peer.
///
/// strongSwan's ha plugin gives the standby every SA, but not the number of the last packet that was sent on it, and a client
/// drops what comes with a number it has seen. So whoever takes over begins where nobody can have been: at 2^17 numbers
/// for every second of the SA's life. Who was there before cannot have sent so many (131,072 packets a second on one SA
/// are more than a gigabit), and who comes after begins higher, because the SA is older. No node has to know another's
/// numbers, and nobody has to be asked: both nodes installed the SA in the same instant, and each measures with its own clock.
/// There is room for nine hours. An SA that its peer was sent later is rekeyed by then; one that is not is silent until the
/// rekeying that follows every promotion.
///
/// An epoch in the cluster's configuration would do the same, but raising it runs two of Pacemaker's tools during the
/// promotion, and every such write makes Pacemaker plan the rest of the take-over anew.
enum Inheritance {
  static let numbersPerSecond: UInt32 = 1 << 17
}

extension StrongSwan {
  /// Makes what this node sends on inherited SAs acceptable to the clients. Nothing is ever lowered.
  func raiseSequences(_ call: Call) throws(OCFError) {
    guard let address else {
      call.log.notice("address: is not set, so that inherited SAs cannot send until they are rekeyed")
      return
    }
    let raised = try attempt("raising sequence numbers") { () throws(SystemError) in
      try call.host.network.raiseOutboundSequences(from: address, perSecond: Inheritance.numbersPerSecond)
    }
    if raised > 0 { call.log.info("took over \(raised) IPsec SAs") }
  }
}
