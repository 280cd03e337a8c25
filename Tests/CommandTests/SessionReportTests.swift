import Host
import JSON
import Testing

@testable import Sessions
@testable import vpnha

@Suite struct SessionReportTests {
  static let alice = Session(
    pid: 764, user: "alice", inner: IPAddress("10.9.0.10"), outer: IPAddress("198.51.100.7"), received: 218, sent: 1_234_567,
    since: Timestamp(seconds: 1_795_551_315), interface: "ppp0",
    kernel: L2TPSocket(peer: IPAddress("198.51.100.7")!, port: 4500, tunnel: 59_300, session: 46_059, peerTunnel: 1, peerSession: 2))
  static let starting = Session(pid: 765, since: Timestamp(seconds: 1_795_551_316), isOrphan: true)

  static func report(_ sessions: Session..., carried: Bool? = false) -> SessionReport { SessionReport(sessions.map { SessionRow($0, on: "moon", carried: carried) }) }
  static let now = Timestamp(seconds: 1_795_551_315 + 3725)

  @Test func wide() {
    #expect(
      Self.report(Self.alice, Self.starting).wide == """
        2 sessions, 1 without an address, 1 whose xl2tpd is gone
        USER   INNER      OUTER         IN   OUT      SINCE                 NODE  INTERFACE  TUNNEL/SESSION  PID
        alice  10.9.0.10  198.51.100.7  218  1234567  2026-11-24T20:15:15Z  moon  ppp0       59300/46059     764
        -      -          -             -    -        2026-11-24T20:15:16Z  moon  -          -               765 (orphan)
        """)
    #expect(Self.report().wide == "0 sessions" && Self.report().text(Self.now) == "0 sessions")
  }

  @Test func theScreenIsForEightyColumns() {
    #expect(
      Self.report(Self.alice, Self.starting).text(Self.now)
        == """
        2 sessions, 1 without an address, 1 whose xl2tpd is gone
        USER   INNER      OUTER         IN   OUT   FOR
        alice  10.9.0.10  198.51.100.7  218  1.1M  1 h  -
        -      -          -             -    -     1 h  orphan
        """.replacing("1 h  -\n", with: "1 h\n"))
    var long = Self.alice
    long.user = String(repeating: "x", count: 100)
    long.outer = IPAddress("203.0.113.255")
    long.inner = IPAddress("100.100.100.100")
    let text = SessionReport(Array(repeating: SessionRow(long, on: "moon", carried: true), count: 1000)).text(Self.now).split(separator: "\n")
    #expect(text.count == 24 && text.allSatisfy { $0.unicodeScalars.count <= 80 }, "\(text)")
    #expect(text[0] == "1000 sessions, 1000 carried over from another node" && text[23] == "... 979 more: vpnha sessions --wide")
  }

  @Test func json() throws {
    let text = Self.report(Self.alice, Self.starting).json
    #expect(
      text == """
        [{"user":"alice","inner":"10.9.0.10","outer":"198.51.100.7","since":"2026-11-24T20:15:15Z","received":218,"sent":1234567,"node":"moon",\
        "carried":false,"interface":"ppp0","outer_port":4500,"tunnel":59300,"session":46059,"peer_tunnel":1,"peer_session":2,"pid":764,\
        "orphan":false},{"user":null,"inner":null,"outer":null,"since":"2026-11-24T20:15:16Z","received":null,"sent":null,"node":"moon",\
        "carried":false,"interface":null,"outer_port":null,"tunnel":null,"session":null,"peer_tunnel":null,"peer_session":null,"pid":765,\
        "orphan":true}]
        """)
    #expect(Self.report().json == "[]")
    // What another node wrote is read as it was meant.
    #expect(try #require(JSONValue(text.utf8)).elements.compactMap(SessionRow.init) == Self.report(Self.alice, Self.starting).rows)
  }

  @Test(arguments: [(0, "0"), (1023, "1023"), (1024, "1.0K"), (10_240, "10K"), (1_234_567, "1.1M"), (UInt64.max, "15E")] as [(UInt64, String)])
  func bytes(_ number: UInt64, _ text: String) { #expect(size(number) == text) }

  @Test func whatTheLedgerSays() throws {
    let line = try #require(CarriedSessions.Line("session 59300 46059 198.51.100.7 4500 10.9.0.1 10.9.0.10 alice 1795551315 1 adopted"))
    #expect(line.isCarried && !line.isHeld && line.user == "alice" && line.inner == IPAddress("10.9.0.10"))
    let ledger = CarriedSessions(lines: [line])
    #expect(ledger.isCarried(Self.alice) == true && ledger.isCarried(Self.starting) == nil)
    #expect(CarriedSessions(lines: []).isCarried(Self.alice) == false && CarriedSessions(lines: nil).isCarried(Self.alice) == nil)
    #expect(CarriedSessions.Line("session 1 2 3") == nil)
    #expect(SessionRow(line, on: "sun").json.contains(#""since":"2026-11-24T20:15:15Z","received":null,"sent":null,"node":"sun","carried":true"#))
  }

  /// A user's name is the user's choice.
  @Test(arguments: [
    ("a\u{1b}[2Jb", "a?[2Jb", #""a\u001b[2Jb""#), ("a\nb", "a b", #""a\u000ab""#), ("a\"b\\", "a\"b\\", #""a\"b\\""#),
    ("a\u{202e}b", "a?b", "\"a\u{202e}b\""), ("", "-", #""""#), ("\u{0}", "?", #""\u0000""#),
  ]) func namesThatWouldDoSomething(name: String, shown: String, json: String) {
    var session = Self.alice
    session.user = name
    for text in [Self.report(session).wide, Self.report(session).text(Self.now)] {
      let lines = text.split(separator: "\n")
      #expect(lines.count == 3 && (lines[2].hasPrefix(shown + "  ") || lines[2].hasPrefix(shown + " ")))
    }
    #expect(Self.report(session).json.contains("{\"user\":\(json),\"inner\""))
  }

  @Test func aLongNameIsCutInTheTableOnly() {
    var session = Self.alice
    session.user = String(repeating: "x", count: 5000)
    #expect(Self.report(session).wide.utf8.count < 600 && Self.report(session).json.utf8.count > 5000)
  }
}
