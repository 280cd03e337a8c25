import Host
import HostTestKit
import OCF
import Testing

/// Every action against every state: what the cluster gets to see.
@Suite struct StatusMatrix {
  static let states: [ResourceState] = [
    .stopped, .running, .promoted, .atRisk("late"), .atRisk("late", promoted: true), .failed("hung"),
    .failed("hung", promoted: true),
  ]

  /// What `ScriptedAgent` observes before and after it acts, and the status that must come of it.
  struct Row: CustomStringConvertible {
    var action: Action
    var before: ResourceState
    var after: ResourceState
    var promotable = true
    var status: Status
    var acts: [String]
    var description: String { "\(action): \(before) -> \(after) = \(status)\(promotable ? "" : ", plain")" }
  }

  /// monitor observes once and never acts.
  static let monitorRows: [Row] = zip(
    states,
    [Status.notRunning, .success, .runningPromoted, .success, .runningPromoted, .genericError, .failedPromoted]
  ).map { Row(action: .monitor, before: $0, after: $0, status: $1, acts: []) }

  /// start: whatever runs is not started again; only an observed running succeeds.
  static let startRows: [Row] =
    states.map { Row(action: .start, before: $0, after: .running, status: .success, acts: isUp($0) ? [] : ["start"]) }
    + [Row(action: .start, before: .stopped, after: .stopped, status: .genericError, acts: ["start"])]
    + [Row(action: .start, before: .stopped, after: .failed("hung"), status: .genericError, acts: ["start"])]

  /// stop always acts, and only an observed stopped succeeds; never 7.
  static let stopRows: [Row] =
    states.map { Row(action: .stop, before: $0, after: .stopped, status: .success, acts: ["stop"]) }
    + states.dropFirst().map { Row(action: .stop, before: $0, after: $0, status: .genericError, acts: ["stop"]) }

  static let promoteRows: [Row] = [
    Row(action: .promote, before: .stopped, after: .promoted, status: .genericError, acts: []),
    Row(action: .promote, before: .stopped, after: .running, promotable: false, status: .success, acts: ["promote"]),
    Row(action: .promote, before: .running, after: .promoted, status: .success, acts: ["promote"]),
    Row(action: .promote, before: .running, after: .running, status: .genericError, acts: ["promote"]),
    Row(action: .promote, before: .running, after: .running, promotable: false, status: .success, acts: ["promote"]),
    Row(action: .promote, before: .promoted, after: .promoted, status: .success, acts: []),
    Row(action: .promote, before: .atRisk("late"), after: .atRisk("late", promoted: true), status: .success, acts: ["promote"]),
    Row(action: .promote, before: .atRisk("late", promoted: true), after: .running, status: .success, acts: []),
    Row(action: .promote, before: .failed("hung"), after: .promoted, status: .genericError, acts: []),
    Row(action: .promote, before: .failed("hung", promoted: true), after: .promoted, status: .genericError, acts: []),
  ]

  static let demoteRows: [Row] = [
    Row(action: .demote, before: .stopped, after: .stopped, status: .success, acts: []),
    Row(action: .demote, before: .stopped, after: .stopped, promotable: false, status: .success, acts: []),
    Row(action: .demote, before: .running, after: .running, status: .success, acts: []),
    Row(action: .demote, before: .promoted, after: .running, status: .success, acts: ["demote"]),
    Row(action: .demote, before: .promoted, after: .promoted, status: .genericError, acts: ["demote"]),
    Row(action: .demote, before: .promoted, after: .stopped, status: .genericError, acts: ["demote"]),
    Row(action: .demote, before: .failed("hung", promoted: true), after: .running, status: .success, acts: ["demote"]),
    Row(action: .demote, before: .failed("hung", promoted: true), after: .stopped, status: .success, acts: ["demote"]),
    Row(action: .demote, before: .failed("on eth0, expected on eht0", promoted: true), after: .failed("eht0 is not on this node"), status: .success, acts: ["demote"]),
    Row(action: .demote, before: .failed("hung", promoted: true), after: .failed("hung", promoted: true), status: .genericError, acts: ["demote"]),
    Row(action: .demote, before: .failed("hung"), after: .failed("hung"), status: .success, acts: ["demote"]),
    Row(action: .demote, before: .promoted, after: .failed("hung"), status: .genericError, acts: ["demote"]),
    Row(action: .demote, before: .running, after: .stopped, promotable: false, status: .success, acts: ["demote"]),
  ]

  /// reload-agent acts in any state and must find it running afterwards.
  static let reloadRows: [Row] = states.map {
    Row(action: .reloadAgent, before: $0, after: $0, status: isUp($0) ? .success : .genericError, acts: ["reload"])
  }

  static func isUp(_ state: ResourceState) -> Bool {
    switch state {
    case .running, .promoted, .atRisk: true
    case .stopped, .failed: false
    }
  }

  @Test(arguments: monitorRows + startRows + stopRows) func basicActions(_ row: Row) { check(row) }
  @Test(arguments: promoteRows + demoteRows + reloadRows) func roleActions(_ row: Row) { check(row) }

  private func check(_ row: Row) {
    let script = Script(before: row.before, after: row.after)
    let outcome = run(row.action, script, promotable: row.promotable)
    #expect(outcome.status == row.status)
    #expect(script.acts == row.acts)
    let answers: Set<Status> = row.action == .monitor ? [.success, .notRunning, .runningPromoted] : [.success]
    if !answers.contains(outcome.status) { #expect(outcome.reason != nil, "whatever is wrong has a reason") }
    if row.action == .monitor, !row.before.risks.isEmpty {
      #expect(outcome.reason == row.before.risks.sentence, "a risk is said, and changes no status")
    }
  }

  @Test(arguments: [Action.start, .stop, .promote, .demote]) func anErrorWhileActingIsTheReason(_ action: Action) {
    let script = Script(before: action == .promote ? .running : action == .demote ? .promoted : .stopped, after: .stopped)
    script.error = .failed("doing: it broke")
    let outcome = run(action, script, promotable: true)
    #expect(outcome == Outcome(.genericError, "doing: it broke"))
  }

  @Test func startKeepsTheStatusThatSaysWhoMustAct() {
    for error in [OCFError.notInstalled("x"), .wrongHere("x"), .denied("x"), .misconfigured("x"), .failed("x")] {
      let script = Script(before: .stopped, after: .stopped)
      script.error = error
      #expect(run(.start, script, promotable: false).status == error.status)
    }
  }

  @Test(arguments: [
    (OCFError.notInstalled("a"), Status.notRunning), (.wrongHere("a"), .notRunning), (.failed("a"), .genericError),
    (.misconfigured("a"), .genericError), (.denied("a"), .genericError),
  ]) func aProbeOfWhatCannotBeHereIsNotRunning(_ error: OCFError, _ status: Status) {
    let script = Script(before: .stopped, after: .stopped)
    script.observationError = error
    #expect(run(.monitor, script, interval: "0").status == status)
    #expect(run(.monitor, script, interval: "10000").status == .genericError, "a recurring monitor never bans a node")
  }

  @Test(arguments: [(OCFError.notInstalled("a"), Status.success), (.failed("in doubt"), .genericError)])
  func stopNeedsMoreThanDoubt(_ error: OCFError, _ status: Status) {
    let script = Script(before: .stopped, after: .stopped)
    script.observationError = error
    #expect(run(.stop, script).status == status)
  }

  @Test func waitingEndsBeforeTheClusterKills() {
    let script = Script(before: .stopped, after: .stopped)
    let machine = InMemoryMachine()
    let start = machine.clock.now
    let request = Request(
      arguments: ["agent", "start"], environment: ["OCF_RESKEY_CRM_meta_timeout": "5000", "OCF_RESKEY_name": "a"])
    ScriptedAgent.$script.withValue(script) {
      let outcome = perform(ScriptedAgent.self, request, on: machine.host, from: start)
      #expect(outcome == Outcome(.genericError, "start: still stopped"))
    }
    #expect(machine.clock.now - start == .milliseconds(4500))
  }

  @Test func aClusterThatCannotBeToldChangesNoStatus() {
    let machine = InMemoryMachine()
    machine.cluster.isReachable = false
    let request = Request(
      arguments: ["agent", "start"],
      environment: ["OCF_RESKEY_name": "a", "OCF_RESKEY_CRM_meta_promoted_max": "1", "OCF_RESKEY_CRM_meta_on_node": "moon"])
    let outcome = ScriptedAgent.$script.withValue(Script(before: .stopped, after: .running)) {
      perform(ScriptedAgent.self, request, on: machine.host, from: machine.clock.now)
    }
    #expect(outcome == Outcome(.success))
    #expect(machine.log.messages(from: .warning).count == 1)
  }

  @Test func unknownActionsAreAnsweredFirst() {
    let request = Request(arguments: ["agent", "migrate_to"], environment: [:])
    #expect(perform(ScriptedAgent.self, request, on: .refusing, from: Instant(nanoseconds: 0)).status == .unimplemented)
    let plain = Request(arguments: ["agent", "promote"], environment: [:])
    #expect(perform(PlainAgent.self, plain, on: .refusing, from: Instant(nanoseconds: 0)).status == .unimplemented)
  }

  private func run(_ action: Action, _ script: Script, promotable: Bool = false, interval: String = "10000") -> Outcome {
    var environment = ["OCF_RESKEY_name": "a", "OCF_RESKEY_CRM_meta_interval": interval]
    if promotable { environment["OCF_RESKEY_CRM_meta_promoted_max"] = "1" }
    let machine = InMemoryMachine()
    let request = Request(arguments: ["agent", action.rawValue], environment: environment)
    return ScriptedAgent.$script.withValue(script) {
      perform(ScriptedAgent.self, request, on: machine.host, from: machine.clock.now)
    }
  }
}

/// What a `ScriptedAgent` sees and does.
final class Script: @unchecked Sendable {
  let before: ResourceState
  let after: ResourceState
  var error: OCFError?
  var observationError: OCFError?
  var acts: [String] = []
  var looksAgainWhileUnfit = false
  var judgedFiles: [String] = []
  var commonThings: [CommonThing] = []
  var depths: [CheckLevel] = []
  var patience: Duration?
  init(before: ResourceState, after: ResourceState) {
    self.before = before
    self.after = after
  }
  func act(_ name: String) throws(OCFError) {
    acts.append(name)
    if let error { throw error }
  }
}

struct ScriptedAgent: PromotableAgent, ReloadableAgent {
  static let hasHeadStart = true
  static var looksAgainWhileUnfit: Bool { script.looksAgainWhileUnfit }
  static var judgesFiles: Bool { !script.judgedFiles.isEmpty }
  func judgedFiles(_ call: Call) -> [String] { Self.script.judgedFiles }
  func commonThings(_ call: Call) throws(OCFError) -> [CommonThing] { Self.script.commonThings }
  @TaskLocal static var script = Script(before: .stopped, after: .stopped)
  static let about = About("a", "b")
  static let operations: [Operation] = []
  @Parameter("The one thing it needs") var name: String
  @Parameter("A number") var someCount = 5
  @Parameter("Another number", reloadable: true) var quickCount = 5

  func observe(_ call: Call) throws(OCFError) -> ResourceState {
    Self.script.depths.append(call.depth)
    if let error = Self.script.observationError { throw error }
    return Self.script.acts.isEmpty ? Self.script.before : Self.script.after
  }
  func start(_ call: Call) throws(OCFError) {
    Self.script.patience = call.deadline - call.host.clock.now
    try Self.script.act("start")
  }
  func stop(_ call: Call) throws(OCFError) { try Self.script.act("stop") }
  func promote(_ call: Call) throws(OCFError) { try Self.script.act("promote") }
  func demote(_ call: Call) throws(OCFError) { try Self.script.act("demote") }
  func reload(_ call: Call) throws(OCFError) { try Self.script.act("reload") }
}

struct PlainAgent: ResourceAgent {
  static let about = About("a", "b")
  static let operations: [Operation] = []
  func observe(_ call: Call) throws(OCFError) -> ResourceState { .stopped }
  func start(_ call: Call) throws(OCFError) {}
  func stop(_ call: Call) throws(OCFError) {}
}
