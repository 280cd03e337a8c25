import ArgumentParser
import Glibc
import Host
import LinuxHost

struct RunCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Run one action of an agent as the cluster would, in the open, and explain the outcome.",
    discussion: """
      Shows the call, what the agent writes, its exit status, what the cluster would do about it, and the reason. \
      Exits with the agent's status; 1 when the agent had to be killed.

      A parameter with a secret in it can be given in the environment (OCF_RESKEY_test_password=…) rather than on the \
      command line, which every user of the machine can read.
      """)

  @Argument(help: "vip, strongswan, xl2tpd, conntrackd, probe or firewall.")
  var agent: String
  @Argument(help: "start, stop, monitor, promote, demote, validate-all, meta-data, reload-agent, notify.")
  var action: String
  @Argument(help: "The agent's parameters: name=value.")
  var parameters: [Invocation.Setting] = []

  @Flag(help: "As a member of a promotable clone.")
  var promotable = false
  @Option(help: "How deep a monitor looks: 0, 10 or 20.")
  var depth = 0
  @Option(help: "Seconds the cluster would wait, in place of the timeout that the agent advises.")
  var timeout: Int?
  @Flag(help: "A monitor as the cluster's first look, before it has started anything.")
  var probe = false
  @Option(help: ArgumentHelp("The resource's name in the cluster. (default: the agent's)", valueName: "name"))
  var resource: String?
  @Option(help: ArgumentHelp("Where the agents are, in place of where they belong to this program.", valueName: "folder"))
  var agents: String?

  func validate() throws {
    guard AgentFolder.agents.contains(agent) else { throw ValidationError(AgentFolder.unknown(agent)) }
    guard (1...86_400).contains(timeout ?? 1) else { throw ValidationError("--timeout takes 1 to 86400 seconds") }
    guard depth >= 0 else { throw ValidationError("--depth takes 0, 10 or 20") }
  }

  func run() throws {
    let folder = agents.map(AgentFolder.init(path:)) ?? .ofThisProgram
    let machine = LinuxProcesses()
    let inherited = inheritedEnvironment()
    let program = folder.program(agent)
    let advice = advisedOperation(of: program)
    let invocation = Invocation(
      agent: agent, program: program, action: action, parameters: inheritedParameters(inherited) + parameters, instance: resource ?? agent,
      timeout: .seconds(timeout ?? advice?.timeout ?? 20),
      interval: action == "monitor" && !probe ? .seconds(advice?.interval ?? 10) : nil, depth: depth, isPromotable: promotable,
      node: nodeName())

    // Whoever asks for meta-data wants nothing else on standard output.
    let say: (String) -> Void = action == "meta-data" ? { _ in } : { print($0) }
    say(invocation.shellLine)
    let start = LinuxClock().now
    let command = Command(
      program, [action], environment: invocation.environment(inherited: inherited), outputLimit: 10_485_760)
    let result = try machine.run(command, before: start + invocation.timeout)
    let took = (LinuxClock().now - start).milliseconds

    let written = String(decoding: result.error, as: UTF8.self)
    if action == "meta-data" {
      print(String(decoding: result.output, as: UTF8.self), terminator: "")
    } else {
      for line in (String(decoding: result.output, as: UTF8.self) + written).split(whereSeparator: \.isNewline) { print("  \(line)") }
    }
    let explanation = Explanation(invocation, result.ending)
    say("\(explanation.status), after \(took) ms: \(explanation.meaning)")
    if let reason = exitReason(in: written) { say("reason: \(reason)") }
    say("the cluster: \(explanation.consequence)")
    switch result.ending {
    case .exited(let status): throw ExitCode(status)
    case .signalled, .timedOut: throw ExitCode(1)
    }
  }

  /// What the agent's own meta-data advises; nil when it cannot say, which the action itself will show.
  private func advisedOperation(of program: String) -> AgentDescription.Operation? {
    do {
      return try AgentDescription(xml: metaData(of: program)).operation(action, depth: depth, isPromotable: promotable)
    } catch {
      return nil
    }
  }
}

extension Invocation.Setting: ExpressibleByArgument {
  init?(argument: String) { self.init(argument) }
}

extension AgentFolder {
  static var ofThisProgram: AgentFolder {
    guard let path = realpath("/proc/self/exe", nil) else { return AgentFolder(besides: CommandLine.arguments[0]) }
    defer { free(path) }
    return AgentFolder(besides: String(cString: path))
  }
}

/// Parameters that the environment holds already.
private func inheritedParameters(_ environment: [String: String]) -> [Invocation.Setting] {
  let prefix = "OCF_RESKEY_"
  return environment.keys.filter { $0.hasPrefix(prefix) && !$0.hasPrefix(prefix + "CRM_meta_") }.sorted()
    .map { Invocation.Setting(String($0.dropFirst(prefix.count)), environment[$0] ?? "") }
}

private func nodeName() -> String {
  var names = utsname()
  guard uname(&names) == 0 else { return "localhost" }
  return withUnsafeBytes(of: &names.nodename) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
}

private func inheritedEnvironment() -> [String: String] {
  var settings: [String: String] = [:]
  var next = environ
  while let text = next.pointee {
    let parts = String(cString: text).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    if parts.count == 2 { settings[String(parts[0])] = String(parts[1]) }
    next += 1
  }
  return settings
}
