import Host
import JSON
import Testing

@testable import vpnha

/// Lines as the daemons of Debian 12 write them, and what is made of them.
@Suite struct RefusalTests {
  static func lines(_ texts: [(source: String, text: String)]) -> [LogLine] {
    texts.enumerated().map { LogLine(micros: 1_795_551_315_000_000 + Int64($0.offset) * 1_000_000, node: "moon", source: $0.element.source, pid: 77, thread: nil, text: $0.element.text) }
  }
  static func read(_ texts: (String, String)...) -> [Refusal] { RefusalReader(lines(texts)).refusals }

  static let from = ("charon-systemd", "05[NET] received packet: from 198.51.100.7[500] to 203.0.113.50[500] (408 bytes)")
  static let call = ("xl2tpd", "Call established with 198.51.100.7, PID: 77, Local: 41, Remote: 1, Serial: 1")

  @Test(arguments: [
    (FindingID.AUTH3, "05[ENC] <l2tp|3> could not decrypt payloads"), (.AUTH3, "05[IKE] <l2tp|3> tried 1 shared key for '203.0.113.50' - '198.51.100.7', but MAC mismatched"),
    (.AUTH3, "05[IKE] <3> no shared key found for '203.0.113.50'[203.0.113.50] - '198.51.100.7'[198.51.100.7]"), (.AUTH4, "05[CFG] <3> received proposals unacceptable"),
    (.AUTH4, "05[IKE] <3> no proposal found"), (.AUTH5, "05[IKE] <3> no IKE config found for 203.0.113.50...198.51.100.7, sending NO_PROPOSAL_CHOSEN"),
    (.AUTH5, "05[CFG] <l2tp|3> no matching CHILD_SA config found for 203.0.113.50/32[udp/l2f] === 10.0.0.5/32[udp/l2f]"), (.AUTH6, "05[NET] ignoring IKE_SA setup from 198.51.100.7, peer too aggressive"),
    (.AUTH7, "08[JOB] <l2tp|3> deleting half open IKE_SA with 198.51.100.7 after timeout"), (.AUTH13, "05[IKE] <l2tp|3> no trusted RSA public key found for 'CN=alice'"),
  ]) func charonSaysWhy(_ id: FindingID, _ text: String) {
    let found = Self.read(Self.from, ("charon-systemd", text))
    #expect(found.map(\.id) == [id] && found.first?.address == "198.51.100.7" && found.first?.source == "charon-systemd", "\(found)")
  }

  @Test func threadsAreToldApart() {
    let found = Self.read(
      ("charon-systemd", "05[NET] received packet: from 198.51.100.7[500] to 203.0.113.50[500] (408 bytes)"), ("charon-systemd", "06[NET] received packet: from 198.51.100.8[500] to 203.0.113.50[500] (408 bytes)"),
      ("charon-systemd", "05[ENC] <l2tp|3> could not decrypt payloads"))
    #expect(found.map(\.address) == ["198.51.100.7"])
  }

  @Test func pppdSaysWho() {
    let wrong = Self.read(Self.call, ("pppd", "Peer alice failed CHAP authentication"))
    #expect(wrong.count == 1 && wrong[0].id == .AUTH1 && wrong[0].user == "alice" && wrong[0].address == "198.51.100.7")
    // One refusal in two lines.
    let unknown = Self.read(Self.call, ("pppd", "No CHAP secret found for authenticating mallory"), ("pppd", "Peer mallory failed CHAP authentication"))
    #expect(unknown.map(\.id) == [.AUTH2] && unknown[0].user == "mallory")
    #expect(Self.read(Self.call, ("pppd", "PAP peer authentication failed for bob")).first?.user == "bob")
    #expect(Self.read(Self.call, ("pppd", "Peer is not authorized to use remote address 10.9.0.7")).map(\.id) == [.AUTH10])
    #expect(Self.read(("pppd", "rc_send_server: no reply from RADIUS server 192.0.2.9:1812")).map(\.id) == [.AUTH11])
    #expect(Self.read(Self.call, ("pppd", "LCP: timeout sending Config-Requests")).map(\.id) == [.AUTH8])
    #expect(Self.read(("pppd", "In file /etc/ppp/options.xl2tpd: unrecognized option 'crtsct'")).map(\.id) == [.AUTH12])
  }

  @Test func xl2tpdSaysWhy() {
    #expect(Self.read(("xl2tpd", "control_finish: Out of IP addresses on tunnel 12!")).map(\.id) == [.AUTH9])
    #expect(Self.read(("xl2tpd", "control_finish: Denied connection to unauthorized peer 198.51.100.7")).first?.address == "198.51.100.7")
    #expect(Self.read(("xl2tpd", "Connection 7 closed to 198.51.100.7, port 1701 (Timeout)")).map(\.id) == [.AUTH8])
  }

  @Test func whatIsNoRefusalIsNone() {
    let quiet = Self.read(
      Self.from, ("charon-systemd", "05[IKE] <l2tp|3> IKE_SA l2tp[3] established between 203.0.113.50[203.0.113.50]...198.51.100.7[198.51.100.7]"), Self.call,
      ("xl2tpd", "Connection 7 closed to 198.51.100.7, port 1701 (Goodbye!)"), ("pppd", "peer from calling number 198.51.100.7 authorized"), ("pppd", "LCP terminated by peer"), ("sshd", "Peer alice failed CHAP authentication"))
    #expect(quiet.isEmpty, "\(quiet)")
  }

  @Test func retriesAreCounted() throws {
    let found = Self.read(Self.call, ("pppd", "Peer alice failed CHAP authentication"), ("pppd", "Peer bob failed CHAP authentication"), ("pppd", "Peer alice failed CHAP authentication"))
    #expect(found.map(\.user) == ["alice", "bob"] && found.map(\.count) == [2, 1])
    let text = RefusalReport(refusals: found, since: "-1d").text(Timestamp(seconds: 1_795_551_400))
    #expect(
      text.split(separator: "\n").map(String.init) == [
        "3 refusals since -1d, the last ones first", "AUTH1  alice from 198.51.100.7: the password is wrong (2 times, 1 min ago)", "       editor /etc/ppp/chap-secrets    # on both nodes, or the account in RADIUS",
        "AUTH1  bob from 198.51.100.7: the password is wrong (1 min ago)",
      ])
    let json = try #require(JSONValue(RefusalReport(refusals: found, since: "").json.utf8))
    #expect(json.elements.first?["user"]?.string == "alice" && json.elements.first?["count"]?.integer == 2)
  }

  @Test func logsOfEachKindAreRead() throws {
    let now = Timestamp(seconds: 1_795_600_000)  // 2026-11-25
    let iso = try #require(LogLine(syslog: "2026-11-24T21:15:15.123456+01:00 moon pppd[13]: Peer alice failed CHAP authentication", before: now))
    #expect(iso.micros == 1_795_551_315_123_456 && iso.pid == 13 && iso.source == "pppd" && iso.node == "moon")
    let old = try #require(LogLine(syslog: "Nov 24 20:15:15 moon charon: 05[ENC] <l2tp|3> could not decrypt payloads", before: now))
    #expect(old.micros == 1_795_551_315_000_000 && old.thread == "05" && old.text == "could not decrypt payloads" && old.pid == nil)
    // In January a line of December is of last year.
    #expect(LogLine(syslog: "Dec 31 20:15:15 moon xl2tpd[1]: x y", before: now)?.micros == 1_767_212_115_000_000)
    let json = #"{"__REALTIME_TIMESTAMP":"1795551315123456","_HOSTNAME":"moon","SYSLOG_IDENTIFIER":"charon-systemd","_PID":"9","THREAD":"5","MESSAGE":"could not decrypt payloads"}"#
    let journal = try #require(LogLine(journal: json.utf8))
    #expect(journal.thread == "5" && journal.pid == 9)
    for nonsense in ["", "x", "a b c d", "Nov 24 20:15:15 moon", "Nov 99 20:15:15 moon pppd: x", "2026-11-24T20:15:15 moon pppd: x", "2026-11-24T20:15:15Z moon pppd x"] {
      #expect(LogLine(syslog: nonsense[...], before: now) == nil, "\(nonsense)")
    }
  }

  /// A user chooses a name, and a terminal shows it.
  @Test func namesDoNotSteerATerminal() {
    let found = Self.read(Self.call, ("pppd", "Peer al\u{1b}[2Jice failed CHAP authentication"))
    #expect(!RefusalReport(refusals: found, since: "-1d").text(Timestamp(seconds: 1_795_551_400)).contains("\u{1b}"))
  }

  /// The words of libreswan 4.10's pluto.
  @Test(
    arguments: [
      (FindingID.AUTH3, "\"l2tp\"[1] 198.51.100.7 #1: probable authentication failure (mismatch of preshared secrets?): malformed payload in packet"),
      (.AUTH4, "\"l2tp\"[1] 198.51.100.7 #1: no acceptable Oakley Transform"), (.AUTH4, "\"l2tp\"[2] 198.51.100.7 #3: no local proposal matches remote proposals 1:IKE"),
      (.AUTH5, "packet from 198.51.100.7:500: initial Main Mode message received but no connection has been authorized with authby=PSK and xauth=no"),
      (.AUTH7, "\"l2tp\"[1] 198.51.100.7 #1: max number of retransmissions (8) reached after STATE_MAIN_R1"),
      (.AUTH7, "\"l2tp\"[1] 198.51.100.7 #1: STATE_MAIN_R1: 60 second timeout exceeded after 7 retransmits."),
    ]) func whatPlutoRefuses(id: FindingID, said: String)
  {
    let refusals = RefusalReader([LogLine(micros: 1, node: "moon", source: "pluto", pid: 7, thread: nil, text: said)]).refusals
    #expect(refusals.map(\.id) == [id] && refusals.first?.address == "198.51.100.7", "\(refusals)")
    #expect(refusals.allSatisfy { one in !one.fix.contains { $0.contains("swanctl") } })
  }
}
