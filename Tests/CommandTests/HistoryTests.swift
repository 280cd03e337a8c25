import Host
import Testing

@testable import vpnha

@Suite struct HistoryTests {
  static let journal = """
    1795551315.123456 moon xl2tpd[12]: Call established with 198.51.100.7
    1795551316.000001 moon pppd[13]: sent [PAP AuthReq id=0x1 user="alice" password="hunter2"]
    no time at all: a line
    1795551317.000000 moon vip(vip): 203.0.113.50 is on eth0
    -- Boot 0 --
    """

  @Test func theJournalIsRead() {
    let events = History.journal(Self.journal)
    #expect(events.map(\.source) == ["xl2tpd", "pppd", "vip(vip)"])
    #expect(events[0].line == "2026-11-24T20:15:15.123Z moon xl2tpd Call established with 198.51.100.7")
    #expect(events[1].text == "sent [PAP AuthReq id=0x1 user=\"alice\" password=<secret>]")
  }

  @Test func aTimeBackFromNow() {
    #expect(["10min", "1h", "2 days", "-1h", "today", "2026-11-28 09:00", "09:00"].map(History.moment) == ["-10min", "-1h", "-2 days", "-1h", "today", "2026-11-28 09:00", "09:00"])
  }

  @Test func thePeersLinesComeBetween() {
    let mine = History.journal(Self.journal)
    let peer = History.read("2026-11-24T20:15:16.500Z sun charon-systemd taken over\nnonsense\n2026-11-24T20:15:16 x y z\n\n2026-11-24T20:15:16.x00Z sun a b\n")
    #expect(peer.count == 1)
    #expect(History.ordered(mine + peer + peer).map(\.node) == ["moon", "moon", "sun", "moon"])
    // What is written is read.
    let again = History.read(mine.map(\.line).joined(separator: "\n"))
    #expect(again.map(\.text) == mine.map(\.text) && again.map(\.source) == mine.map(\.source))
  }

  @Test func whatTheClusterRemembers() throws {
    let operation = ClusterConfiguration.Operation(
      node: "sun", resource: "xl2tpd", task: "monitor", interval: 10_000, status: 1, since: Timestamp(seconds: 1_795_551_315), reason: "psk: abc refused", isFailure: true)
    #expect(History.operations([operation]).map(\.text) == ["xl2tpd monitor failed (1): psk: <secret> refused"])
    var healthy = operation
    (healthy.isFailure, healthy.status) = (false, 0)
    #expect(History.operations([healthy]).isEmpty)
    healthy.task = "promote"
    #expect(History.operations([healthy]).map(\.line) == ["2026-11-24T20:15:15.000Z sun cluster xl2tpd promote done"])
  }
}
