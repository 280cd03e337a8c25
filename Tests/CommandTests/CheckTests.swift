import Host
import Testing

@testable import vpnha

@Suite struct CheckTests {
  static func description(_ name: String) -> AgentDescription {
    func parameter(_ name: String, isReloadable: Bool) -> AgentDescription.Parameter {
      AgentDescription.Parameter(name: name, short: "", long: "", type: "string", defaultValue: nil, isRequired: false, isReloadable: isReloadable, deprecation: nil)
    }
    return AgentDescription(
      name: name, short: "", long: "", parameters: [parameter("ip", isReloadable: false), parameter("arp_count", isReloadable: true)], operations: [])
  }

  static func check(_ ending: CommandResult.Ending, _ reason: String? = nil, agent: String = "vip", unknown: [Finding] = []) -> ResourceCheck {
    ResourceCheck(id: "net", ending: ending, reason: reason, unknown, description(agent))
  }

  /// The agent says what a start would do; what it goes on with is a risk.
  @Test(
    arguments: [
      (.exited(0), nil, "vip", true, [], .good),
      (.exited(6), "ip: expected", "vip", false, [.START1], .bad),
      (.exited(0), "arp_count: expected", "vip", true, [.START3], .risk),
      (.exited(0), "no key; and the pools overlap", "xl2tpd", true, [.START3, .START3], .risk),
      (.exited(6), "arp_count: expected; ip: expected", "vip", false, [.START1], .bad),
      (.exited(6), "arp_count: expected", "firewall", false, [.START1], .bad),
      (.exited(5), "/usr/sbin/xl2tpd is missing", "xl2tpd", false, [.START1], .bad),
      (.exited(1), nil, "vip", false, [.START1], .bad),
      (.timedOut, nil, "vip", nil, [.START2], .unknown),
      (.signalled(11), nil, "vip", nil, [.START2], .unknown),
    ] as [(CommandResult.Ending, String?, String, Bool?, [FindingID], Verdict)])
  func anAnswerIsAVerdict(ending: CommandResult.Ending, reason: String?, agent: String, wouldStart: Bool?, ids: [FindingID], verdict: Verdict) {
    let report = CheckReport(checks: [Self.check(ending, reason, agent: agent)], peer: nil)
    #expect(report.wouldStart == wouldStart)
    #expect(report.problems.map(\.id) == ids)
    #expect(report.verdict == verdict)
    #expect(report.text.hasPrefix(verdict.shown))
    #expect(report.json.hasPrefix("{\"would_start\":\(wouldStart.map { "\($0)" } ?? "null"),"))
  }

  @Test func theMendingCommandNamesTheParameter() {
    #expect(Self.check(.exited(6), "arp_count: expected; ip: expected").problems.first?.fix == ["pcs resource update net arp_count=… ip=…"])
    #expect(Self.check(.exited(5), "/usr/sbin/xl2tpd is missing").problems.first?.fix == [])
    // What stands in a file is mended there.
    #expect(Self.check(.exited(1), "ip: x was refused: no (/etc/a.conf:4)").problems.first?.fix == ["editor +4 /etc/a.conf"])
    #expect(Self.check(.exited(1), "ip: /etc/a.conf:12: version is followed by 1").problems.first?.fix == ["editor +12 /etc/a.conf"])
    #expect(Self.check(.exited(1), "ip: 192.0.2.1/24 is here").problems.first?.fix == ["pcs resource update net ip=…"])
  }

  @Test func aNameThatTheAgentDoesNotKnowIsNoStart() {
    let report = CheckReport(checks: [Self.check(.exited(0), unknown: [Finding(.START1, .bad, "adress: no such parameter of vip")])], peer: nil)
    #expect(report.wouldStart == false && report.verdict == .bad)
  }

  /// The worse of the two nodes; a node that gives no answer is none that would start.
  @Test func thePeerCounts() {
    func verdict(_ peer: Verdict?, here: CommandResult.Ending = .exited(0)) -> Verdict {
      CheckReport(checks: [Self.check(here)], peer: PeerAnswer(node: "sun", verdict: peer, said: "{}")).verdict
    }
    #expect([verdict(.good), verdict(.risk), verdict(.bad), verdict(.unknown), verdict(nil)] == [.good, .risk, .bad, .unknown, .unknown])
    #expect(verdict(nil, here: .exited(6)) == .bad)
  }

  @Test func twoKeysAreCompared() {
    func report(_ here: String?, _ there: String) -> CheckReport {
      var check = Self.check(.exited(0))
      check.key = here.map { ("/etc/vpnha/sessions.key", $0) }
      let said = CheckReport(checks: [check], peer: nil).json.replacing(here ?? "null", with: there)
      return CheckReport(checks: [check], peer: PeerAnswer(node: "sun", verdict: .good, said: said))
    }
    #expect(report("aa00bb11cc22dd33", "aa00bb11cc22dd33").verdict == .good)
    let other = report("aa00bb11cc22dd33", "00ff00ff00ff00ff")
    #expect(other.problems.map(\.id) == [.KEY2] && other.verdict == .risk)
    #expect(other.problems.first?.fix.first == "scp -p /etc/vpnha/sessions.key root@sun:/etc/vpnha/sessions.key")
    // A node that cannot read its key has said so in another way.
    #expect(report(nil, "null").problems == [])
  }
}
