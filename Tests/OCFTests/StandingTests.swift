import Host
import HostTestKit
import OCF
import Testing

/// What the cluster is told about a member: its promotion score, and what puts it at risk.
@Suite struct StandingTests {
  /// One member of a promotable clone over several actions on one machine.
  final class Member {
    let machine = InMemoryMachine()
    var node: String? = "moon"
    var isPromotable = true
    var looksAgainWhileUnfit = false
    var judgedFiles: [String] = []
    var commonThings: [CommonThing] = []
    private(set) var depths: [CheckLevel] = []
    /// What the last start was given.
    private(set) var patience: Duration?
    var parameters: [String: String] = [:]

    @discardableResult
    func does(
      _ action: Action, _ before: ResourceState, _ after: ResourceState? = nil, interval: Int = 10_000, level: Int = 0,
      error: OCFError? = nil
    ) -> Outcome {
      var environment = [
        "OCF_RESKEY_name": "a", "OCF_RESOURCE_INSTANCE": "x:0", "OCF_CHECK_LEVEL": "\(level)",
        "OCF_RESKEY_CRM_meta_interval": "\(interval)",
      ]
      environment["OCF_RESKEY_CRM_meta_on_node"] = node
      if isPromotable { environment["OCF_RESKEY_CRM_meta_promoted_max"] = "1" }
      for (name, value) in parameters { environment["OCF_RESKEY_\(name)"] = value }
      let script = Script(before: before, after: after ?? before)
      script.error = error
      script.looksAgainWhileUnfit = looksAgainWhileUnfit
      script.judgedFiles = judgedFiles
      script.commonThings = commonThings
      defer { (depths, patience) = (script.depths, script.patience) }
      let request = Request(arguments: ["agent", action.rawValue], environment: environment)
      return ScriptedAgent.$script.withValue(script) {
        perform(ScriptedAgent.self, request, on: machine.host, from: machine.clock.now)
      }
    }
    func monitor(_ state: ResourceState, level: Int = 0) { does(.monitor, state, level: level) }
    var score: Int? { machine.cluster.scores["x"] }
    var risk: String? { machine.cluster.attributes["vpnha-risk-x"] }
    func pass(_ seconds: Int64) { machine.clock.sleep(until: machine.clock.now + .seconds(seconds)) }
  }

  @Test func bothRolesAreEqualSoThatARoleStaysWhereItIs() {
    let member = Member()
    member.does(.start, .stopped, .running)
    #expect(member.score == 100)
    member.does(.promote, .running, .promoted)
    member.monitor(.promoted)
    member.does(.demote, .promoted, .running)
    member.monitor(.running)
    #expect(member.machine.cluster.scoresSet == [100], "no change that would abort a take-over")
    member.does(.stop, .running, .stopped)
    #expect(member.machine.cluster.scoresSet == [100, nil])
  }

  /// Pacemaker forgets over a reload who is promoted. With equal scores it might promote the standby beside the member that serves.
  @Test func aReloadMakesTheMemberThatServesTheFirstChoiceUntilTheNextMonitor() {
    let member = Member()
    member.does(.start, .stopped, .running)
    member.does(.reloadAgent, .running)
    member.does(.promote, .running, .promoted)
    member.monitor(.promoted)
    #expect(member.machine.cluster.scoresSet == [100])
    member.does(.reloadAgent, .promoted)
    member.does(.promote, .promoted)
    #expect(member.score == 101)
    member.monitor(.promoted)
    #expect(member.score == 100)
    member.does(.reloadAgent, .promoted, error: .failed("refused"))
    #expect(member.score == 101)
    member.does(.demote, .promoted, .running)
    member.monitor(.running)
    #expect(member.machine.cluster.scoresSet == [100, 101, 100, 101, 50], "a standby, and at risk")
  }

  /// A start may look as deep as the deeper monitor: the basic one after it, which does not, is no news.
  @Test func whatAStartFoundLastsUntilADeepMonitor() {
    let member = Member()
    member.does(.start, .stopped, .atRisk("no key", unfit: true))
    #expect(member.score == 5)
    member.monitor(.running)
    #expect(member.risk?.hasSuffix("no key") == true && member.score == 5)
    member.monitor(.running, level: 10)
    #expect(member.risk == nil && member.score == 100)
  }

  /// Pacemaker promotes the peer when the member that failed has been started again, or has not.
  @Test func aRestartIsShortWhileThePeerWaitsForIt() {
    let member = Member()
    func restart(_ peer: Int?) -> Duration? {
      member.machine.cluster.peers["master-x"] = peer.map { ["sun": "\($0)"] }
      member.monitor(.stopped)
      member.does(.stop, .stopped)
      member.does(.start, .stopped, .running)
      return member.patience
    }
    member.does(.start, .stopped, .running)
    let whole = member.patience ?? .zero
    #expect(whole > .seconds(5) && restart(nil) == whole && restart(0) == whole, "nobody waits")
    #expect(restart(100) == .seconds(5))
    // One that needs longer has it the next time, when the peer serves.
    member.monitor(.stopped)
    member.does(.stop, .stopped)
    let refused = member.does(.start, .stopped, error: .failed("not ready in time"))
    #expect(refused.status == .genericError && refused.reason?.contains("sun waits to take over") == true)
    member.does(.stop, .stopped)
    member.does(.start, .stopped, .running)
    #expect(member.patience == whole)
    // Nor is anybody in a hurry long after.
    member.machine.cluster.peers["master-x"] = ["sun": "100"]
    member.monitor(.stopped)
    member.does(.stop, .stopped)
    member.pass(61)
    member.does(.start, .stopped, .running)
    #expect(member.patience == whole)
  }

  @Test func aFailureLowersTheScoreBeforeItIsReported() {
    for (role, failure) in [(ResourceState.promoted, ResourceState.failed("hung", promoted: true)), (.running, .stopped)] {
      let member = Member()
      member.does(.start, .stopped, .running)
      member.monitor(role)
      member.monitor(failure)
      #expect(member.score == 20)
      // Restarted as a standby at once, it is still the worse candidate, and earns its score back.
      member.does(.demote, failure, .running)
      member.does(.stop, .running, .stopped)
      member.does(.start, .stopped, .running)
      #expect(member.score == 20)
      member.pass(30)
      member.monitor(.running)
      #expect(member.score == 20)
      member.pass(31)
      member.monitor(.running)
      #expect(member.score == 100)
    }
  }

  @Test func whoServesIsNoWorseThanTheOthers() {
    let member = Member()
    member.does(.start, .stopped, .running)
    member.monitor(.stopped)
    member.does(.stop, .stopped)
    member.does(.start, .stopped, .running)
    member.does(.promote, .running, .promoted)
    member.monitor(.promoted)
    #expect(member.score == 100)
  }

  /// The cluster says which role it takes a member for; by itself 0 or 8 would have no reason and leave the score as it was.
  @Test(arguments: [("Promoted", ResourceState.running, Status.failedPromoted), ("Unpromoted", .promoted, .runningPromoted)])
  func aRoleThatTheClusterDidNotGiveIsAFailure(_ role: String, _ state: ResourceState, _ status: Status) {
    let member = Member()
    member.does(.start, .stopped, .running)
    member.parameters["CRM_meta_role"] = role
    let outcome = member.does(.monitor, state)
    #expect(outcome.status == status)
    #expect(outcome.reason?.hasSuffix("no action of the cluster \(role == "Promoted" ? "demoted" : "promoted") it") == true)
    #expect(member.score == 20)
    let expected = member.does(.monitor, role == "Promoted" ? .promoted : .running)
    #expect(expected == Outcome(role == "Promoted" ? .runningPromoted : .success))
  }

  @Test func aFailedPromotionIsAFailure() {
    let member = Member()
    member.does(.start, .stopped, .running)
    #expect(member.does(.promote, .running, error: .failed("promoting: no")).status == .genericError)
    #expect(member.score == 20)
  }

  @Test func aScoreThatCouldNotBeToldIsToldByTheNextMonitor() {
    let member = Member()
    member.machine.cluster.isReachable = false
    #expect(member.does(.start, .stopped, .running).status == .success)
    #expect(member.score == nil)
    member.machine.cluster.isReachable = true
    member.monitor(.running)
    #expect(member.score == 100)
  }

  /// The daemon is there, and takes nothing in time: on a node that is just booting, say.
  @Test func aScoreThatWasNotTakenInTimeIsToldByTheNextMonitor() {
    let member = Member()
    member.machine.calls.fail("cluster.setPromotionScore", with: .timedOut)
    #expect(member.does(.start, .stopped, .running).status == .success && member.score == nil)
    member.machine.calls.reset()
    member.monitor(.running)
    #expect(member.score == 100)
  }

  @Test func anAttributeDaemonThatWasRestartedIsToldAgain() {
    let member = Member()
    member.does(.start, .stopped, .running)
    member.monitor(.atRisk("late"))
    member.machine.cluster.scores = [:]
    member.machine.cluster.attributes = [:]
    member.monitor(.atRisk("late"))
    #expect(member.score == nil, "a healthy monitor believes its record")
    member.machine.cluster.daemon += 1
    member.monitor(.atRisk("late"))
    #expect(member.score == 50)
    #expect(member.risk?.hasSuffix(" late") == true)
  }

  @Test func theDeeperMonitorDoesNotBelieveTheRecord() {
    let member = Member()
    member.does(.start, .stopped, .running)
    member.machine.cluster.scores = [:]
    member.monitor(.running, level: 10)
    #expect(member.score == 100)
  }

  @Test(arguments: [true, false]) func aRiskIsAnAttributeUntilItIsOver(_ promotable: Bool) {
    let member = Member()
    member.isPromotable = promotable
    member.does(.start, .stopped, .running)
    member.monitor(.atRisk("one line\nof two"))
    let first = member.risk
    #expect(first == "\(member.machine.clock.timestamp) one line of two")
    member.pass(20)
    member.monitor(.atRisk("one line\nof two"))
    #expect(member.risk == first, "since it began")
    member.monitor(.atRisk("another"))
    #expect(member.risk == "\(member.machine.clock.timestamp) another")
    member.monitor(.running)
    #expect(member.risk == nil)
    let told = member.machine.cluster.attributesSet
    #expect(told.map { $0.value != nil } == [true, true, false])
    #expect(told.allSatisfy { $0.dampening == .seconds(5) }, "a risk does not abort a take-over")
    #expect(member.machine.log.messages(from: .warning) == ["at risk: one line of two", "at risk: another"])
    member.monitor(.atRisk("again"))
    member.does(.stop, .running, .stopped)
    #expect(member.risk == nil)
    #expect(member.machine.files.nodes.keys.filter { $0.hasPrefix("/run") && $0.contains("standing") }.isEmpty)
  }

  @Test func whatADeeperCheckFoundOnlyADeeperCheckEnds() {
    let member = Member()
    member.does(.start, .stopped, .running)
    member.monitor(.atRisk("no key", unfit: true), level: 10)
    #expect(member.score == 5)
    member.monitor(.running)
    #expect(member.score == 5)
    #expect(member.risk?.hasSuffix("no key") == true)
    member.monitor(.atRisk("late"))
    #expect(member.risk?.contains(" no key; and late") == true, "the worst is said first")
    member.monitor(.running, level: 20)
    #expect(member.score == 100)
    #expect(member.risk == nil)
  }

  @Test func whatMakesAStandbyUnfitIsLookedAtByEveryMonitorWhileItStands() {
    let member = Member()
    member.looksAgainWhileUnfit = true
    member.does(.start, .stopped, .running)
    member.monitor(.running)
    #expect(member.depths == [.basic])
    member.monitor(.atRisk("pools overlap"), level: 10)
    member.monitor(.running)
    #expect(member.depths == [.basic] && member.score == 50, "it could serve")
    member.monitor(.atRisk("no key", unfit: true), level: 10)
    member.monitor(.atRisk("no key", unfit: true))
    #expect(member.depths == [.service] && member.score == 5)
    member.monitor(.running)
    #expect(member.depths == [.service] && member.score == 100 && member.risk == nil)
    member.monitor(.running)
    #expect(member.depths == [.basic])
    member.does(.monitor, .running, interval: 0)
    #expect(member.depths == [.basic])
  }

  /// A key or a file that somebody breaks or mends is seen at the next basic monitor, which otherwise stays a few `lstat`s.
  @Test func aFileThatChangedIsLookedAtCloselyAtOnce() throws {
    let member = Member()
    member.judgedFiles = ["/etc/a", "/etc/b"]
    member.machine.files.put("1", at: "/etc/a")
    member.does(.start, .stopped, .running)
    member.monitor(.running)
    #expect(member.depths == [.basic], "nothing is known of them yet")
    member.monitor(.running, level: 10)
    member.monitor(.running)
    #expect(member.depths == [.basic])
    for change in ["2", "1"] {
      member.machine.files.put(change, at: "/etc/a")
      member.monitor(change == "2" ? .atRisk("broken") : .running)
      #expect(member.depths == [.service])
      #expect((member.risk?.hasSuffix("broken") ?? false) == (change == "2"))
      member.monitor(change == "2" ? .atRisk("broken") : .running)
      #expect(member.depths == [.basic], "once")
    }
    member.machine.files.put("new", at: "/etc/b")
    member.monitor(.running)
    #expect(member.depths == [.service])
    try member.machine.files.remove("/etc/a")
    member.monitor(.running)
    #expect(member.depths == [.service])
    member.monitor(.running)
    // Neither a probe nor a person is slowed down.
    member.machine.files.put("3", at: "/etc/a")
    member.does(.monitor, .running, interval: 0)
    #expect(member.depths == [.basic])
    member.node = nil
    member.monitor(.running)
    #expect(member.depths == [.basic])
  }

  @Test func aRiskThatBothLevelsSawEndsWithEither() {
    let member = Member()
    member.does(.start, .stopped, .running)
    member.monitor(.atRisk("eth0 has no carrier", unfit: true))
    member.monitor(.atRisk("eth0 has no carrier", unfit: true), level: 10)
    member.monitor(.running)
    #expect(member.risk == nil)
  }

  @Test func allRisksAreToldTheGravestFirstEachSinceItBegan() {
    let member = Member()
    member.does(.start, .stopped, .running)
    let began = member.machine.clock.timestamp
    let outcome = member.does(.monitor, .working(promoted: false, [Risk("pools overlap"), Risk("no key", unfit: true)]), level: 10)
    #expect(outcome == Outcome(.success, "no key; and pools overlap"))
    #expect(member.risk == "\(began) no key; and pools overlap")
    #expect(member.score == 5)
    member.pass(60)
    let later = member.machine.clock.timestamp
    member.monitor(.working(promoted: false, [Risk("no user; and not one"), Risk("pools overlap"), Risk("no key", unfit: true)]), level: 10)
    #expect(member.risk == "\(began) no key; and pools overlap; and no user, and not one (since \(later))", "a new one moves no other's time")
    member.monitor(.atRisk("late"))
    #expect(member.risk?.hasSuffix("; and late (since \(later))") == true, "what a quick look does not see stays")
    member.monitor(.working(promoted: false, [Risk("no user; and not one")]), level: 10)
    #expect(member.risk == "\(later) no user, and not one", "nor does one that is over")
    #expect(member.score == 50)
    #expect(member.machine.log.messages(from: .warning) == ["at risk: no key", "at risk: pools overlap", "at risk: no user; and not one", "at risk: late"])
  }

  @Test func aRiskWhoseCountChangesIsTheSame() {
    let member = Member()
    member.does(.start, .stopped, .running)
    let began = member.machine.clock.timestamp
    for count in [3, 5] {
      member.monitor(.atRisk("\(count) messages were lost"), level: 10)
      #expect(member.risk == "\(began) \(count) messages were lost")
      member.pass(60)
    }
    #expect(member.machine.log.messages(from: .warning).count == 1)
  }

  @Test func manyRisksAreBounded() throws {
    let member = Member()
    member.does(.start, .stopped, .running)
    member.monitor(.working(promoted: false, (1...40).map { Risk("l2tp\($0): " + String(repeating: "x", count: 90)) }))
    let text = try #require(member.risk)
    #expect(text.utf8.count < 1040 && text.hasSuffix("; and 7 more: see the journal"))
  }

  @Test func aReasonThatAnotherOneQuotesIsSaidOnce() {
    let risks = [Risk("extra: line 3"), Risk("refused: extra: line 3"), Risk("late"), Risk("late", unfit: true)]
    #expect(risks.ordered == [Risk("late", unfit: true), Risk("refused: extra: line 3")])
  }

  @Test func aRiskOfTheServingMemberMovesNothing() {
    let member = Member()
    member.does(.start, .stopped, .running)
    member.does(.promote, .running, .promoted)
    member.monitor(.atRisk("half of the bond", promoted: true), level: 10)
    #expect(member.score == 100)
    #expect(member.risk != nil)
  }

  @Test func aRefusedReloadKeepsTheOldStateAndIsTriedAgain() {
    let member = Member()
    member.does(.start, .stopped, .running)
    let outcome = member.does(.reloadAgent, .running, error: .failed("extra: line 3"))
    #expect(outcome == Outcome(.success, "extra: line 3"))
    #expect(member.risk?.hasSuffix("extra: line 3") == true)
    #expect(member.machine.log.messages(from: .error).count == 1)
    member.monitor(.running)
    #expect(member.risk != nil)
    member.does(.monitor, .running, level: 10, error: .failed("extra: line 3"))
    #expect(member.risk != nil)
    member.monitor(.running, level: 10)
    #expect(member.risk == nil, "the file was mended")
  }

  @Test func aWrongReloadableValueStopsNothing() {
    let member = Member()
    member.does(.start, .stopped, .running)
    member.parameters["quick_count"] = "five"
    for action in [Action.reloadAgent, .monitor, .start, .promote] {
      let outcome = member.does(action, .running, action == .promote ? .promoted : .running)
      #expect(outcome.status == .success, "\(action)")
      #expect(member.risk?.contains("quick_count: expected a whole number") == true, "\(action)")
    }
    #expect(member.does(.validateAll, .running).status == .misconfigured)
    member.parameters = [:]
    member.does(.reloadAgent, .running)
    member.monitor(.running)
    #expect(member.risk == nil)
    // One that a running resource cannot take is refused before it runs.
    member.parameters["some_count"] = "five"
    #expect(member.does(.start, .stopped).status == .misconfigured)
  }

  @Test func aCallByHandTellsNothing() {
    let member = Member()
    member.node = nil
    member.does(.start, .stopped, .running)
    member.monitor(.atRisk("late"))
    member.monitor(.failed("hung"))
    member.does(.reloadAgent, .running, error: .failed("no"))
    member.does(.stop, .running, .stopped)
    #expect(member.machine.calls.all.filter { $0.description.hasPrefix("cluster.") }.isEmpty)
    #expect(member.machine.calls.changes.isEmpty)
  }

  @Test func aProbeTellsTheScoreAgain() {
    let member = Member()
    member.does(.start, .stopped, .running)
    member.machine.cluster.scores = [:]
    member.does(.monitor, .running, interval: 0)
    #expect(member.score == 100)
    member.does(.monitor, .stopped, interval: 0)
    #expect(member.machine.cluster.scoresSet == [100, 100], "what is not there is no failure")
  }

  @Test func aRecordOfNonsenseIsNone() {
    let member = Member()
    member.machine.files.put("score 100\nrisk x\nrisk 0 fit -9223372036854775808\ntold\n\u{0}", at: "/run/resource-agents/vpnha-agent-x.standing")
    member.monitor(.running)
    #expect(member.score == 100)
    #expect(member.risk == nil)
  }

  // MARK: Close looks

  @Test func aCloseLookIsToldToTheOtherNodes() throws {
    let member = Member()
    func look() -> Look? { member.machine.cluster.shared["vpnha-look-x"]?["moon"].flatMap { Look($0) } }
    member.does(.start, .stopped, .running)
    member.monitor(.running)
    #expect(look() == nil, "neither of them looks closely")
    member.monitor(.failed("hung"), level: 10)
    #expect(look() == nil, "what does not work is no candidate")
    member.monitor(.atRisk("no key", unfit: true), level: 10)
    #expect(look() == Look(at: member.machine.clock.timestamp, counts: [Look.unfit: 1]))
    member.pass(60)
    member.monitor(.running, level: 10)
    #expect(look()?.at == member.machine.clock.timestamp)
    // Outside the cluster nobody is told.
    let alone = Member()
    alone.node = nil
    alone.monitor(.running, level: 10)
    #expect(alone.machine.cluster.shared == [:])
  }

  /// Two nodes that could each serve, and would not let in the same people.
  @Test func whatIsNotTheOtherNodesIsARisk() throws {
    let (moon, sun) = (Member(), Member())
    sun.machine.cluster.nodes = ["sun", "moon"]
    sun.node = "sun"
    func exchange() {
      let told = (moon.machine.cluster.shared["vpnha-look-x"] ?? [:]).merging(sun.machine.cluster.shared["vpnha-look-x"] ?? [:]) { $1 }
      (moon.machine.cluster.peers["vpnha-look-x"], sun.machine.cluster.peers["vpnha-look-x"]) = (told, told)
    }
    for member in [moon, sun] {
      member.commonThings = [CommonThing("secrets", "the secrets in /etc/x", Array("correct horse".utf8))]
      member.machine.files.put("0123456789abcdef", at: "/etc/corosync/authkey", mode: 0o400)
      member.does(.start, .stopped, .running)
      member.monitor(.running, level: 10)
      exchange()
    }
    let text = try #require(moon.machine.cluster.shared["vpnha-look-x"]?["moon"])
    #expect(Look(text)?.digests["secrets"]?.count == 33 && !text.contains("horse"))
    moon.monitor(.running, level: 10)
    #expect(moon.risk == nil && moon.score == 100)
    sun.commonThings[0].bytes = Array("battery staple".utf8)
    sun.monitor(.running, level: 10)
    #expect(sun.risk?.hasSuffix(" the secrets in /etc/x are not those of moon: make them the same") == true)
    exchange()
    moon.monitor(.running, level: 10)
    #expect(moon.risk?.hasSuffix(" the secrets in /etc/x are not those of sun: make them the same") == true)
    // A look that is too old says nothing; with another key, or without one, nothing can be compared.
    moon.pass(Look.lifetime + 1)
    moon.monitor(.running, level: 10)
    #expect(moon.risk == nil)
    sun.pass(Look.lifetime + 1)
    sun.machine.files.put("fedcba9876543210", at: "/etc/corosync/authkey", mode: 0o400)
    sun.monitor(.running, level: 10)
    #expect(sun.risk == nil)
    sun.machine.files.put("fedcba9876543210", at: "/etc/corosync/authkey", mode: 0o444)
    sun.monitor(.running, level: 10)
    #expect(sun.risk == nil && sun.machine.cluster.shared["vpnha-look-x"]?["sun"].flatMap { Look($0) }?.digests == [:])
  }

  @Test func aLookIsReadAsItIsWritten() {
    let look = Look(at: Timestamp(seconds: 1_795_867_513), version: "0.2.0", counts: ["sas": 214, "flows": 3])
    #expect(look.text == "1795867513 0.2.0 flows=3 sas=214" && Look(look.text) == look)
    #expect(Look("1795867513 0.2.0 sas=-1 x flows=3")?.counts == ["flows": 3])
    let digests = Look(at: look.at, counts: [:], digests: ["users": "0a.1b"])
    #expect(Look(digests.text) == digests && digests.text.hasSuffix(" users:0a.1b"))
    for text in ["", "1795867513", "soon 0.2.0", String(repeating: "9", count: 600) + " x"] { #expect(Look(text) == nil) }
  }
}
