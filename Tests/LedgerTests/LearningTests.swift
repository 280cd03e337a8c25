import Host
import HostTestKit
import Testing

@testable import Ledger
@testable import vpnha_ledger

@Suite struct LearningTests {
  /// A client that has a call and no address: whose tunnel it is, is enough to tell it; where the tunnel carries more, nothing is known.
  @Test(arguments: [false, true]) func whoStillNegotiatesIsKnownByItsTunnel(sharesATunnel: Bool) throws {
    let machine = InMemoryMachine()
    let server = machine.processes.appear("/usr/sbin/xl2tpd", ["-D"])
    let pppd = machine.processes.appear(
      "/usr/sbin/pppd", ["plugin", "pppol2tp.so", "pppol2tp", "8", "pppol2tp_lns_mode", "passive", "nodetach", "file", "/etc/ppp/options.xl2tpd"], parent: server.pid)
    let peer = try #require(IPAddress("198.51.100.7"))
    machine.sockets.l2tp[pppd.pid] = L2TPSocket(peer: peer, port: 1702, tunnel: 0xa112, session: 0x15, peerTunnel: 0xc7, peerSession: 0xd2f0)
    let other = sharesATunnel ? "A112" : "A113"
    machine.files.put(
      """
      SESSION 'sess 41234/21' CB007132/1701 A112/0015 -> 00C7/D2F0 1 Y
          0/0/-/-/LNS -/-/-/-
          interface ppp0
      SESSION 'sess 41235/22' CB007132/1701 \(other)/0016 -> 00C7/D2F1 1 Y
          0/0/-/-/LNS -/-/-/-
          interface ppp1

      """, at: "/proc/net/pppol2tp")
    let learning = Learning(gateway: try #require(IPAddress("203.0.113.50")), machine.host)
    let carried = SessionKey(tunnel: sharesATunnel ? 0xa112 : 0xa113, session: 0x16)
    try learning.sweep(except: [carried: try Pair.record(1)])
    #expect(learning.records.isEmpty)
    guard !sharesATunnel else { return #expect(learning.unfinished.isEmpty) }
    let client = try #require(learning.unfinished.first)
    #expect(learning.unfinished.count == 1 && client.peer == peer && client.peerPort == 1702 && client.tunnel == 0xa112 && client.peerTunnel == 0xc7)
    #expect(learning.take().isEmpty && learning.unfinished.isEmpty)
  }
}
