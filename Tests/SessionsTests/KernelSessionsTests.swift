import Host
import Sessions
import Testing

/// The kernel's list of PPP sessions over L2TP, in the form of Linux 6.1.
@Suite struct KernelSessionsTests {
  static let table = """
    PPPoL2TP driver info, V2.0
    TUNNEL name, user-data-ok session-count
     debug tx-pkts/bytes/errs rx-pkts/bytes/errs
      SESSION name, addr/port src-tid/sid dest-tid/sid state user-data-ok
       mtu/mru/rcvseq/sendseq/lns debug reorderto
       nr/ns tx-pkts/bytes/errs rx-pkts/bytes/errs

    TUNNEL 'tunl 41234', Y 2
     00000000 12/344/0 14/400/0
      SESSION 'sess 41234/0' CB007132/1701 A112/0000 -> 00C7/0000 1 Y
       0/0/-/-/LAC 00000000 0
       0/0 0/0/0 0/0/0
       interface (null)
      SESSION 'sess 41234/21' CB007132/1701 A112/0015 -> 00C7/D2F0 1 Y
       0/0/R/-/LNS 00000000 0
       0/0 12/344/0 14/400/0
       interface ppp3

    """

  @Test func aSessionHasItsNumbersItsFlagsAndItsInterface() throws {
    let sessions = KernelSession.all(in: Array(Self.table.utf8))
    try #require(sessions.count == 1)
    let session = sessions[0]
    #expect(session.gateway == IPAddress("203.0.113.50"))
    #expect([session.tunnel, session.session, session.peerTunnel, session.peerSession] == [0xa112, 0x15, 0xc7, 0xd2f0])
    #expect(session.receivesSequences && !session.sendsSequences)
    #expect(session.interface == "ppp3")
  }

  @Test func aTableThatIsCutNeverLeadsAstray() {
    let whole = Array(Self.table.utf8)
    for count in 0...whole.count {
      let sessions = KernelSession.all(in: Array(whole.prefix(count)))
      #expect(sessions.count <= 1)
      for session in sessions { #expect(session.tunnel == 0xa112 && session.gateway == IPAddress("203.0.113.50")) }
    }
  }

  @Test(arguments: [
    "", "SESSION", "SESSION ->", "SESSION a b c -> d", "SESSION 'x' CB007132/1701 1A112/0015 -> 00C7/D2F0 1 Y",
    "SESSION 'x' CB007132/1701 A112/0015 ->", "interface ppp0", "0/0/R/S/LNS",
  ])
  func otherLinesAreNoSession(_ text: String) {
    #expect(KernelSession.all(in: Array(text.utf8)).isEmpty)
  }
}
