import ArgumentParser
import Glibc
import Host
import LinuxHost
import OCF

struct RunCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Run one action of an agent as the cluster would, in the open, and explain the outcome.",
    usage: """
      vpnha run AGENT ACTION [name=value ...] [options]
      vpnha run --resource ID ACTION [name=value ...] [options]
      """,
    discussion: """
      Shows the agent's exit status, the reason, what the cluster would do about it, and what the agent logs. Exits with \
      the agent's status; 1 when the agent had to be killed, 77 when the action was not done because the cluster is in charge.

      monitor, validate-all and meta-data change nothing. Every other action needs --really on a node where Pacemaker runs, \
      or whose configuration has a resource with that agent.

      Without parameters, an agent that the cluster has one resource of is run with that resource's.

      A parameter with a secret in it can be given in the environment (OCF_RESKEY_test_password=…) rather than on the \
      command line, which every user of the machine can read.
      """)

  @Argument(
    help: ArgumentHelp(
      """
      The agent (\(AgentFolder.agents.joined(separator: ", "))), the action (start, stop, monitor, promote, demote, \
      validate-all, meta-data, reload-agent or notify), and the agent's parameters as name=value.
      """, valueName: "word"),
    completion: .custom { words, index, _ in Completion.words(words, index) })
  var words: [String] = []

  @Option(
    help: ArgumentHelp("The resource in the cluster's configuration whose agent, parameters and role to take.", valueName: "id"),
    completion: .custom { _, _, _ in Completion.resources().map(\.id) })
  var resource: String?
  @Flag(help: "Change something although the cluster is in charge.")
  var really = false
  @Flag(name: .shortAndLong, help: "Show the call as well, in a form for the shell.")
  var verbose = false
  @Flag(help: "One JSON object in place of the lines.")
  var json = false
  @Flag(help: "As a member of a promotable clone.")
  var promotable = false
  @Option(help: "How deep a monitor looks: 0, 10 or 20.")
  var depth = 0
  @Option(help: "Seconds the cluster would wait, in place of the timeout that the agent advises.")
  var timeout: Int?
  @Flag(help: "A monitor as the cluster's first look, before it has started anything.")
  var probe = false
  @Option(help: ArgumentHelp("Where the agents are, in place of where they belong to this program.", valueName: "folder"))
  var agents: String?

  /// What the words say.
  struct Words: Equatable {
    /// Nil when it is to be that of `--resource`.
    var agent: String?
    var action: String
    var parameters: [Invocation.Setting]

    init(_ words: [String], hasResource: Bool) throws(ValidationError) {
      var rest = words[...]
      if let first = rest.first, AgentFolder.agents.contains(first) {
        agent = rest.removeFirst()
      } else if !hasResource {
        throw ValidationError(rest.first.map(AgentFolder.unknown) ?? "which agent? There are \(AgentFolder.agents.joined(separator: ", "))")
      }
      guard let action = rest.popFirst(), Invocation.Setting(action) == nil else {
        throw ValidationError("which action? There are \(Action.allCases.map(\.rawValue).joined(separator: ", "))")
      }
      self.action = action
      parameters = []
      for word in rest {
        guard let setting = Invocation.Setting(word) else { throw ValidationError("\(word): a parameter is given as name=value") }
        parameters.append(setting)
      }
    }
  }

  func validate() throws {
    _ = try Words(words, hasResource: resource != nil)
    guard (1...86_400).contains(timeout ?? 1) else { throw ValidationError("--timeout takes 1 to 86400 seconds") }
    guard depth >= 0 else { throw ValidationError("--depth takes 0, 10 or 20") }
  }

  func run() throws {
    let words = try Words(words, hasResource: resource != nil)
    let folder = agents.map(AgentFolder.init(path:)) ?? .ofThisProgram
    let inherited = inheritedEnvironment()
    let host = Host.silent
    var tools = ClusterTools(
      processes: host.processes, files: host.files, clock: host.clock, configuration: inherited["CIB_file"])
    let view = words.action == "meta-data" && resource == nil ? .absent : tools.view(hostname: hostName())
    let found = try chosenResource(view, words)
    let agent = found?.agent ?? words.agent ?? ""
    let program = folder.program(agent)
    if words.action == "meta-data" {
      // Whoever asks for meta-data wants nothing else on standard output.
      return print(String(decoding: try metaData(of: program), as: UTF8.self), terminator: "")
    }
    let description = readDescription(of: program)
    for setting in words.parameters {
      if let complaint = description?.complaint(about: setting.name) { throw ValidationError(complaint) }
    }

    var parameters = inheritedParameters(inherited) + words.parameters
    if let found, case .known(_, let node, _) = view, resource != nil || words.parameters.isEmpty {
      parameters = try tools.parameters(of: found, node: node) + parameters
    }
    var invocation = Invocation(
      agent: agent, program: program, action: words.action, parameters: lastOfEachName(parameters),
      instance: found?.id ?? resource.map(withoutInstance) ?? agent, timeout: .seconds(timeout ?? 20), interval: nil, depth: depth,
      membership: promotable ? .promotable : found?.membership ?? .plain, role: found?.role)
    if case .known(_, let node, isRunning: true) = view { invocation.node = node }
    let role = invocation.isPromotable ? (found?.role == .promoted ? "Promoted" : "Unpromoted") : nil
    let advice = description?.operation(words.action, depth: depth, role: role)
    invocation.timeout = .seconds(timeout ?? advice?.timeout ?? 20)
    if words.action == "monitor", !probe { invocation.interval = .seconds(advice?.interval ?? 10) }

    if !really, let objection = Objection(to: invocation, found, view) {
      print(json ? objection.json : objection.lines.joined(separator: "\n"))
      throw ExitCode(77)
    }

    let start = host.clock.now
    let command = Command(
      program, [words.action], environment: invocation.environment(inherited: inherited), outputLimit: 10_485_760)
    let result = try host.processes.run(command, before: start + invocation.timeout)
    let report = RunReport(invocation, result, took: host.clock.now - start)
    print(json ? report.json : report.lines(isVerbose: verbose).joined(separator: "\n"))
    switch result.ending {
    case .exited(let status): throw ExitCode(status)
    case .signalled, .timedOut: throw ExitCode(1)
    }
  }

  /// That of `--resource`; without it, the only one of the agent. Nil where there is none, and without a cluster: then
  /// `--resource` is a name and no more.
  private func chosenResource(_ view: ClusterView, _ words: Words) throws -> ClusterResource? {
    guard let wanted = resource.map(withoutInstance) else {
      let ofAgent = view.resources.filter { $0.agent == words.agent }
      return ofAgent.count == 1 ? ofAgent.first : nil
    }
    switch view {
    case .known(let resources, _, _):
      guard let found = resources.first(where: { $0.id == wanted }) else {
        let known = resources.map(\.id).joined(separator: ", ")
        throw ValidationError("--resource: the cluster has no \(wanted) with an agent of vpnha\(known.isEmpty ? "" : ", it has \(known)")")
      }
      guard words.agent == nil || words.agent == found.agent else {
        throw ValidationError("--resource: \(wanted) is run by \(found.agent), not by \(words.agent ?? "")")
      }
      return found
    case .unknown(let why):
      if words.agent == nil { throw ValidationError("--resource: the cluster's configuration cannot be read: \(why)") }
    case .absent:
      if words.agent == nil { throw ValidationError("--resource: there is no cluster here: name the agent before the action") }
    }
    return nil
  }

  /// Nil when the agent cannot say, which the action itself will show.
  private func readDescription(of program: String) -> AgentDescription? {
    do { return try AgentDescription(xml: metaData(of: program)) } catch { return nil }
  }
}

/// Why an action is not done unasked.
struct Objection: Equatable {
  var invocation: Invocation
  var because: String
  var would: String
  var instead: String?

  /// Nil when there is none.
  init?(to invocation: Invocation, _ resource: ClusterResource?, _ view: ClusterView) {
    switch Action(rawValue: invocation.action) {
    case .monitor, .validateAll, .metaData: return nil
    case .start, .stop, .promote, .demote, .reloadAgent, .notify, nil: break
    }
    switch view {
    case .absent: return nil
    case .known(_, let node, isRunning: true):
      let charge = resource.map { "is in charge of \($0.id), which is \($0.role.rawValue) on \(node)" } ?? "may do something else with \(invocation.agent)"
      because = "Pacemaker runs on this node and \(charge)"
    case .known(let resources, _, isRunning: false):
      guard let known = resource ?? resources.first(where: { $0.agent == invocation.agent }) else { return nil }
      because = "Pacemaker is stopped on this node, and its configuration has \(known.id): another node may serve"
    case .unknown(let why): because = "Pacemaker may be in charge, and gives no answer: \(why)"
    }
    self.invocation = invocation
    (would, instead) = Explanation.harm(of: invocation.action, resource)
  }

  var lines: [String] {
    ["not done: \(because)", "\(invocation.action) would: \(would)"] + (instead.map { ["the cluster's own way: \($0)"] } ?? [])
      + ["to do it all the same: add --really"]
  }

  var json: String {
    let members = [
      ("done", "false"), ("agent", invocation.agent.jsonQuoted), ("resource", invocation.instance.jsonQuoted),
      ("action", invocation.action.jsonQuoted), ("because", because.jsonQuoted), ("would", would.jsonQuoted),
      ("instead", instead?.jsonQuoted ?? "null"),
    ]
    return "{\(members.map { "\"\($0)\":\($1)" }.joined(separator: ","))}"
  }
}

/// What an agent did, for a person and for a program.
struct RunReport {
  var invocation: Invocation
  var explanation: Explanation
  var status: Int32?
  var reason: String?
  /// What the agent wrote, without its reasons.
  var log: [String]
  var took: Duration

  init(_ invocation: Invocation, _ result: CommandResult, took: Duration) {
    self.invocation = invocation
    self.took = took
    if case .exited(let number) = result.ending { status = number }
    let written = String(decoding: result.output, as: UTF8.self) + String(decoding: result.error, as: UTF8.self)
    reason = exitReason(in: String(decoding: result.error, as: UTF8.self))
    log = written.split(whereSeparator: \.isNewline).map(printable).filter { !$0.hasPrefix("ocf-exit-reason:") }
    explanation = Explanation(invocation, result.ending, hasReason: reason != nil)
  }

  func lines(isVerbose: Bool) -> [String] {
    let what = "\(invocation.action) of \(invocation.instance), \(took.milliseconds) ms"
    return ["\(explanation.status): \(explanation.meaning) (\(what))"] + (reason.map { ["reason: \(printable($0))"] } ?? [])
      + mends.map { "to mend it: \($0)" } + ["the cluster: \(explanation.consequence)"] + log.map { "  \($0)" } + (isVerbose ? [invocation.shellLine] : [])
  }

  /// What mends what the agent says of a resource of the cluster, one command an element.
  var mends: [String] {
    guard invocation.role != nil else { return [] }
    let mending = Mending(invocation.instance, agent: invocation.agent) { name in invocation.parameters.last { $0.name == name }?.value }
    let reasons = reason.map { $0.split(separator: RiskReport.mark).map { printable($0) } } ?? []
    return reasons.flatMap(mending.commands).reduce(into: []) { all, one in if !all.contains(one) { all.append(one) } }
  }

  var json: String {
    let members = [
      ("done", "true"), ("agent", invocation.agent.jsonQuoted), ("resource", invocation.instance.jsonQuoted),
      ("action", invocation.action.jsonQuoted), ("role", invocation.role?.rawValue.jsonQuoted ?? "null"),
      ("status", status.map { "\($0)" } ?? "null"), ("outcome", explanation.status.jsonQuoted), ("meaning", explanation.meaning.jsonQuoted),
      ("reason", reason?.jsonQuoted ?? "null"), ("mend", jsonArray(mends.map(\.jsonQuoted))), ("cluster", explanation.consequence.jsonQuoted),
      ("log", "[\(log.map(\.jsonQuoted).joined(separator: ","))]"), ("milliseconds", "\(took.milliseconds)"),
    ]
    return "{\(members.map { "\"\($0)\":\($1)" }.joined(separator: ","))}"
  }
}

/// Nothing that moves a terminal's cursor.
private func printable(_ text: some StringProtocol) -> String {
  String(decoding: text.utf8.map { $0 < 32 || $0 == 127 ? 32 : $0 }, as: UTF8.self)
}

/// Each name once, with the value that was given last.
func lastOfEachName(_ settings: [Invocation.Setting]) -> [Invocation.Setting] {
  settings.enumerated().filter { index, setting in !settings[(index + 1)...].contains { $0.name == setting.name } }.map(\.element)
}

extension AgentFolder {
  static var ofThisProgram: AgentFolder {
    guard let path = realpath("/proc/self/exe", nil) else { return AgentFolder(besides: CommandLine.arguments[0]) }
    defer { free(path) }
    return AgentFolder(besides: String(cString: path))
  }
}

/// Parameters that the environment holds already.
func inheritedParameters(_ environment: [String: String]) -> [Invocation.Setting] {
  let prefix = "OCF_RESKEY_"
  return environment.keys.filter { $0.hasPrefix(prefix) && !$0.hasPrefix(prefix + "CRM_meta_") }.sorted()
    .map { Invocation.Setting(String($0.dropFirst(prefix.count)), environment[$0] ?? "") }
}

func hostName() -> String {
  var names = utsname()
  guard uname(&names) == 0 else { return "localhost" }
  return withUnsafeBytes(of: &names.nodename) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
}

func inheritedEnvironment() -> [String: String] {
  var settings: [String: String] = [:]
  var next = environ
  while let text = next.pointee {
    let parts = String(cString: text).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    if parts.count == 2 { settings[String(parts[0])] = String(parts[1]) }
    next += 1
  }
  return settings
}
