import Host
import HostTestKit
import JSON
import Testing

@testable import vpnha

/// `vpnha doctor --peer`: the other node's findings beside ours.
@Suite struct PeerCheckupTests {
  static func ask(_ answer: String, _ ending: CommandResult.Ending = .exited(2), error: String = "") throws -> (PeerCheckup, [Command]) {
    let machine = InMemoryMachine()
    machine.processes.whenRun("/usr/bin/ssh") { _ in CommandResult(ending, output: Array(answer.utf8), error: Array(error.utf8)) }
    return (try PeerCheckup(of: "sun", arguments: ["--only", "MODE1"], machine.host), machine.processes.ran)
  }

  static let theirs = Finding(.MODE1, .risk, "everybody may read /etc/ppp/chap-secrets", fix: ["chmod o= /etc/ppp/chap-secrets"], at: "/etc/ppp/chap-secrets", since: Timestamp(seconds: 1_795_551_315))
  static let clusters = Finding(.BAR1, .risk, "one failure bars a node", fix: ["pcs resource meta vpn-clone failure-timeout=30s"], at: "vpn-clone")

  @Test func findingsComeOver() throws {
    let (peer, ran) = try Self.ask(Checkup([Self.theirs, Self.clusters]).json)
    #expect(peer == PeerCheckup(node: "sun", findings: [Self.theirs, Self.clusters]))
    #expect(ran.last?.arguments.suffix(2) == ["sun", "vpnha doctor --json --only MODE1"])
    var checkup = Checkup([Self.clusters])
    checkup.add(peer)
    // What both say of the cluster is said once; a file is each node's own.
    #expect(checkup.findings.map(\.summary) == [Self.clusters.summary, "sun: everybody may read /etc/ppp/chap-secrets"])
    #expect(checkup.findings[1].fix == ["ssh sun 'chmod o= /etc/ppp/chap-secrets'"] && checkup.findings[1].since == Self.theirs.since)
    #expect(checkup.verdict == .risk && JSONValue(checkup.json.utf8)?["peer"]?["answered"]?.bool == true)
  }

  @Test func aNodeThatIsSilentIsNotGood() throws {
    for (answer, error) in [("", "ssh: connect to host sun port 22: Connection refused"), ("bash: vpnha: not found", ""), (#"{"verdict":"unknown","findings":[],"error":"looking: only root"}"#, "")] {
      let (peer, _) = try Self.ask(answer, .exited(255), error: error)
      #expect(peer.findings == nil && peer.remark?.hasPrefix("sun gave no answer: ") == true)
      var checkup = Checkup([])
      checkup.add(peer)
      #expect(checkup.verdict == .unknown && checkup.text(notes: false).contains("sun gave no answer"))
    }
  }

  @Test func aNewerVersionIsNotMisread() throws {
    let (peer, _) = try Self.ask(#"{"verdict":"bad","findings":[{"id":"NEW99","severity":"bad","summary":"x","fix":[]}]}"#)
    #expect(peer.findings == [] && peer.remark?.contains("1 findings of sun have IDs") == true)
  }

  /// The file that is wrong has been so since it was changed.
  @Test func sinceIsThatOfTheFile() {
    let changed: (String) -> Timestamp? = { $0 == "/etc/x.conf" ? Timestamp(seconds: 12) : nil }
    #expect(Checkup.dated(Finding(.XL2, .bad, "x", at: "/etc/x.conf:3"), changed).since == Timestamp(seconds: 12))
    #expect(Checkup.dated(Finding(.XL2, .bad, "x", at: "/etc/x.conf"), changed).since == Timestamp(seconds: 12))
    #expect(Checkup.dated(Finding(.CERT1, .risk, "x", at: "/etc/x.conf"), changed).since == nil)
    #expect(Checkup.dated(Finding(.BAR1, .risk, "x", at: "vpn-clone"), changed).since == nil)
    #expect(Checkup.dated(Self.theirs, changed).since == Self.theirs.since)
  }
}
