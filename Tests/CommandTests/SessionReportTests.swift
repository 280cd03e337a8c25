import Host
import Testing

@testable import Sessions
@testable import vpnha

@Suite struct SessionReportTests {
  static let alice = Session(
    pid: 764, user: "alice", inner: IPAddress("10.9.0.10"), outer: IPAddress("198.51.100.7"), received: 218, sent: 1_234_567,
    since: Timestamp(seconds: 1_795_551_315), interface: "ppp0",
    kernel: L2TPSocket(peer: IPAddress("198.51.100.7")!, port: 4500, tunnel: 59_300, session: 46_059, peerTunnel: 1, peerSession: 2))
  static let starting = Session(pid: 765, since: Timestamp(seconds: 1_795_551_316), isOrphan: true)

  @Test func table() {
    #expect(
      SessionReport([Self.alice, Self.starting]).table == """
        USER   INNER      OUTER         IN   OUT      SINCE                 INTERFACE  TUNNEL/SESSION  PID
        alice  10.9.0.10  198.51.100.7  218  1234567  2026-11-24T20:15:15Z  ppp0       59300/46059     764
        -      -          -             -    -        2026-11-24T20:15:16Z  -          -               765 (orphan)
        2 sessions, 1 without an address, 1 whose xl2tpd is gone
        """)
    #expect(SessionReport([]).table == "0 sessions")
    #expect(SessionReport([Self.alice]).table.hasSuffix("\n1 session"))
  }

  @Test func json() {
    #expect(
      SessionReport([Self.alice, Self.starting]).json == """
        {"count":2,"sessions":[{"user":"alice","inner":"10.9.0.10","outer":"198.51.100.7","outer_port":4500,"in_bytes":218,\
        "out_bytes":1234567,"since":"2026-11-24T20:15:15Z","interface":"ppp0","tunnel":59300,"session":46059,"peer_tunnel":1,\
        "peer_session":2,"pid":764,"orphan":false},{"user":null,"inner":null,"outer":null,"outer_port":null,"in_bytes":null,\
        "out_bytes":null,"since":"2026-11-24T20:15:16Z","interface":null,"tunnel":null,"session":null,"peer_tunnel":null,\
        "peer_session":null,"pid":765,"orphan":true}]}
        """)
    #expect(SessionReport([]).json == #"{"count":0,"sessions":[]}"#)
  }

  /// A user's name is the user's choice.
  @Test(arguments: [
    ("a\u{1b}[2Jb", "a?[2Jb", #""a\u001b[2Jb""#), ("a\nb", "a b", #""a\u000ab""#), ("a\"b\\", "a\"b\\", #""a\"b\\""#),
    ("a\u{202e}b", "a?b", "\"a\u{202e}b\""), ("", "-", #""""#), ("\u{0}", "?", #""\u0000""#),
  ]) func namesThatWouldDoSomething(name: String, shown: String, json: String) {
    var session = Self.alice
    session.user = name
    let line = SessionReport([session]).table.split(separator: "\n")[1]
    #expect(line.hasPrefix(shown + "  ") || line.hasPrefix(shown + " "))
    #expect(SessionReport([session]).table.split(separator: "\n").count == 3)
    #expect(SessionReport([session]).json.contains("{\"user\":\(json),\"inner\""))
  }

  @Test func aLongNameIsCutInTheTableOnly() {
    var session = Self.alice
    session.user = String(repeating: "x", count: 5000)
    #expect(SessionReport([session]).table.utf8.count < 600 && SessionReport([session]).json.utf8.count > 5000)
  }
}
