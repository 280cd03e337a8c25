import Host
import OCF
import Testing

@testable import vpnha

@Suite struct ExplanationTests {
  static let actions = Action.allCases.map(\.rawValue) + ["migrate_to"]

  @Test("every action with every status has something to say", arguments: actions, Status.allCases)
  func complete(_ action: String, _ status: Status) {
    let explanation = Explanation(invocation(action), .exited(status.rawValue))
    #expect(explanation.status == "\(status.rawValue) \(status.name)")
    #expect(!explanation.meaning.isEmpty)
    #expect(!explanation.consequence.isEmpty)
  }

  @Test func aFailedStopFences() {
    for status in Status.allCases where status != .success {
      #expect(Explanation(invocation("stop"), .exited(status.rawValue)).consequence.contains("fences the node"))
    }
    #expect(Explanation(invocation("stop"), .exited(0)).consequence == "goes on")
    #expect(Explanation(invocation("stop"), .timedOut).consequence.contains("fences the node"))
  }

  @Test func aProbeIsReadDifferentlyFromARecurringMonitor() {
    let recurring = invocation("monitor", interval: .seconds(10))
    for status in [Status.notInstalled, .invalidHere] {
      #expect(Explanation(recurring, .exited(status.rawValue)).consequence.contains("moves it elsewhere"))
      #expect(Explanation(invocation("monitor"), .exited(status.rawValue)).consequence.contains("takes it for stopped here"))
    }
    #expect(Explanation(recurring, .exited(1)).consequence.contains("recovers"))
    #expect(Explanation(invocation("monitor"), .exited(1)).consequence.contains("active and broken"))
  }

  /// With the role known there is no "if" left.
  @Test func aMonitorIsJudgedByTheRoleThatTheClusterHasItFor() {
    func consequence(_ status: Status, _ role: ClusterResource.Role) -> String {
      Explanation(invocation("monitor", interval: .seconds(10), .promotable, role: role), .exited(status.rawValue)).consequence
    }
    #expect(consequence(.success, .unpromoted) == "content")
    #expect(consequence(.success, .started) == "content")
    #expect(consequence(.runningPromoted, .promoted) == "content")
    #expect(consequence(.success, .promoted).hasPrefix("counts a failure"))
    #expect(consequence(.runningPromoted, .unpromoted).hasPrefix("counts a failure"))
    #expect(consequence(.notRunning, .promoted).hasPrefix("counts a failure"))
    #expect(consequence(.notRunning, .stopped).hasPrefix("content"))
    #expect(consequence(.success, .stopped).contains("should be stopped"))
  }

  @Test func aReasonWithAHealthyResultIsARisk() {
    let call = invocation("monitor", interval: .seconds(10))
    #expect(Explanation(call, .exited(0), hasReason: true).meaning == "running, but at risk")
    #expect(Explanation(call, .exited(0)).meaning == "running")
    #expect(Explanation(call, .exited(1), hasReason: true).meaning == "broken, or in doubt")
  }

  @Test func promotedIsAFailureOfPromote() {
    #expect(Explanation(invocation("promote"), .exited(8)).consequence.contains("failed promotion"))
    #expect(Explanation(invocation("promote"), .exited(0)).consequence == "counts this node as promoted")
  }

  @Test func whatIsNoStatusOfOCFIsAFailure() {
    let odd = Explanation(invocation("start"), .exited(64))
    #expect(odd.status == "64")
    #expect(odd.consequence == Explanation(invocation("start"), .exited(1)).consequence)
    let signal = Explanation(invocation("start"), .signalled(9))
    #expect(signal.status == "killed by signal 9")
    #expect(signal.consequence == odd.consequence)
    #expect(Explanation(invocation("start"), .timedOut).status == "not done after 20 s")
  }

  @Test func theReasonIsFoundAsPacemakerFindsIt() {
    #expect(exitReason(in: "") == nil)
    #expect(exitReason(in: "log line\nocf-exit-reason:first\nmore\nINFO: ocf-exit-reason:second\n") == "second")
    #expect(exitReason(in: "ocf-exit-reason:kept\nocf-exit-reason:\n") == "kept")
    #expect(exitReason(in: "something about a reason\n") == nil)
  }

  @Test func differencesAreShownByLine() {
    let recorded = Array("a\n  b\nc\n".utf8)
    #expect(firstDifference(nil, recorded) == "is not there")
    #expect(firstDifference(recorded, Array("a\n  x\nc\n".utf8)) == "line 2 is\n  b\nbut the agent says\n  x")
    #expect(firstDifference(Array("a".utf8), Array("a\nb".utf8)) == "line 2 is\n  (the end)\nbut the agent says\n  b")
  }
}
