import ArgumentParser
import Host
import JSON
import Ledger
import LinuxHost
import OCF

struct CheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Say whether a resource would start here with these parameters.",
    usage: """
      vpnha check AGENT [name=value ...] [--peer NODE]
      vpnha check --resource ID [name=value ...] [--peer NODE]
      vpnha check --all [--peer NODE]
      """,
    discussion: """
      The step before every `pcs resource update`: parameters, and whether this node has what they name. Changes nothing and \
      asks no daemon to change anything. With --resource, the values given here replace those of the cluster's configuration.

      --peer asks the other node as well, with ssh, as the user who runs this.

      Exits with 0 when it would start, 1 when it would start and be at risk, 2 when it would not, 3 when that could not be found out.
      """)

  @Argument(
    help: ArgumentHelp("The agent, and its parameters as name=value.", valueName: "word"),
    completion: .custom { words, index, _ in Completion.parameters(words, index) })
  var words: [String] = []
  @Option(
    help: ArgumentHelp("The resource in the cluster's configuration whose parameters to take.", valueName: "id"),
    completion: .custom { _, _, _ in Completion.resources().map(\.id) })
  var resource: String?
  @Flag(help: "Every resource in the cluster's configuration that an agent of vpnha runs.")
  var all = false
  @Option(help: ArgumentHelp("Another node to ask as well.", valueName: "node"))
  var peer: String?
  @Flag(help: "One JSON object.")
  var json = false
  @Option(help: ArgumentHelp("Where the agents are, in place of where they belong to this program.", valueName: "folder"))
  var agents: String?

  func validate() throws {
    if all, !words.isEmpty || resource != nil { throw ValidationError("--all takes no resource and no parameters") }
    if !all, resource == nil {
      guard let agent = words.first else { throw ValidationError("what? An agent (\(AgentFolder.agents.joined(separator: ", "))), --resource ID or --all") }
      guard AgentFolder.agents.contains(agent) else { throw ValidationError(AgentFolder.unknown(agent)) }
    }
    for word in resource == nil ? words.dropFirst() : words[...] where Invocation.Setting(word) == nil {
      throw ValidationError("\(word): a parameter is given as name=value")
    }
    if let peer, peer.isEmpty || peer.hasPrefix("-") { throw ValidationError("--peer takes the name of a node") }
  }

  func run() throws {
    let host = Host.silent
    var checks: [ResourceCheck] = []
    for (agent, id, parameters) in try subjects(host) {
      checks.append(try ResourceCheck(of: agent, id, parameters, in: agents.map(AgentFolder.init(path:)) ?? .ofThisProgram, host))
    }
    let there = try peer.map { try PeerAnswer(from: $0, arguments: arguments, host) }
    let report = CheckReport(checks: checks, peer: there)
    print(json ? report.json : report.text)
    throw ExitCode(report.verdict.rawValue)
  }

  /// The same question, for the other node.
  private var arguments: [String] {
    (all ? ["--all"] : []) + (resource.map { ["--resource", $0] } ?? []) + words
  }

  private func subjects(_ host: Host) throws -> [(agent: String, id: String, parameters: [Invocation.Setting])] {
    let inherited = inheritedEnvironment()
    var tools = ClusterTools(processes: host.processes, files: host.files, clock: host.clock, configuration: inherited["CIB_file"])
    let given = (resource == nil ? words.dropFirst() : words[...]).compactMap { Invocation.Setting($0) }
    if !all, resource == nil { return [(words[0], words[0], inheritedParameters(inherited) + given)] }
    guard case .known(let resources, let node, _) = tools.view(hostname: hostName()) else {
      throw Unanswered(why: "the cluster's configuration cannot be read on this node", json: json).exit
    }
    let chosen = all ? resources : resources.filter { $0.id == resource.map(withoutInstance) }
    guard !chosen.isEmpty else {
      throw Unanswered(why: all ? "the cluster has no resource with an agent of vpnha" : "the cluster has no resource \(resource ?? "")", json: json).exit
    }
    return try chosen.map { ($0.agent, $0.id, try tools.parameters(of: $0, node: node) + given) }
  }
}

private struct Unanswered {
  var why: String
  var json: Bool

  var exit: ExitCode {
    print(json ? jsonObject([("would_start", nil), ("problems", "[]"), ("error", why.jsonQuoted)]) : Verdict.unknown.line(why))
    return ExitCode(Verdict.unknown.rawValue)
  }
}

/// What an agent's own `validate-all` says of a resource, on this node.
struct ResourceCheck {
  var id: String
  /// Nil: could not be found out.
  var wouldStart: Bool?
  var problems: [Finding]
  /// The ledger's secret, and by what two nodes' are compared (`LedgerKey.fingerprint`).
  var key: (file: String, print: String)?

  /// Long enough for a configuration with hundreds of connections.
  static let patience = Duration.seconds(20)

  init(of agent: String, _ id: String, _ parameters: [Invocation.Setting], in folder: AgentFolder, _ host: Host) throws {
    let program = folder.program(agent)
    let description: AgentDescription
    do { description = try AgentDescription(xml: metaData(of: program)) } catch {
      self.init(id: id, wouldStart: nil, problems: [Finding(.START2, .bad, "\(program): \(error)", at: id)])
      return
    }
    let unknown = parameters.compactMap { setting in description.complaint(about: setting.name).map { Finding(.START1, .bad, $0, at: id) } }
    let invocation = Invocation(
      agent: agent, program: program, action: Action.validateAll.rawValue, parameters: lastOfEachName(parameters), instance: id,
      timeout: Self.patience, interval: nil, depth: 10, membership: .plain, role: nil)
    let command = Command(program, [invocation.action], environment: invocation.environment(inherited: inheritedEnvironment()), outputLimit: 1 << 20)
    let result = try host.processes.run(command, before: host.clock.now + Self.patience)
    self.init(id: id, ending: result.ending, reason: exitReason(in: String(decoding: result.error, as: UTF8.self)), unknown, description)
    if agent == "sessions" { key = key(parameters.last { $0.name == "key_file" }?.value ?? KeyCommand.standardPath, host) }
    let busy = try takenPorts(agent, parameters, host)
    if !busy.isEmpty {
      problems += busy
      wouldStart = false
    }
  }

  /// What is wrong with the key the agent has said.
  private func key(_ path: String, _ host: Host) -> (file: String, print: String)? {
    do { return (path, try LedgerKey(ofFile: path, host.files).fingerprint) } catch { return nil }
  }

  /// A daemon that is to start needs its ports; one that runs has them.
  private func takenPorts(_ agent: String, _ parameters: [Invocation.Setting], _ host: Host) throws(SystemError) -> [Finding] {
    let (ports, usual): ([UInt16], String)
    switch agent {
    case "strongswan": (ports, usual) = ([500, 4500], "/usr/sbin/charon-systemd")
    case "libreswan": (ports, usual) = ([500, 4500], "/usr/libexec/ipsec/pluto")
    case "xl2tpd": (ports, usual) = ([1701], "/usr/sbin/xl2tpd")
    default: return []
    }
    let program = parameters.last { $0.name == "binary" }?.value ?? usual
    guard try host.processes.running(program).isEmpty else { return [] }
    let address = parameters.last { $0.name == "address" }.flatMap { IPAddress($0.value) }
    for port in ports {
      let matters = { (listener: UDPListener) in agent != "xl2tpd" || address == nil || listener.address == address || listener.address.isUnspecified }
      guard let listener = try host.sockets.udpListeners(on: port).first(where: matters) else { continue }
      let owner = try host.processes.owner(ofSocket: listener.inode)
      return [
        Finding(
          .PORT1, .bad, "UDP port \(port) is taken by \(owner.map { "\($0.executable) (pid \($0.pid))" } ?? "another program")",
          fix: ["ss -lunp sport = :\(port)"] + (owner.map { ["kill \($0.pid)"] } ?? []), at: id)
      ]
    }
    return []
  }

  init(id: String, wouldStart: Bool?, problems: [Finding]) {
    (self.id, self.wouldStart, self.problems) = (id, wouldStart, problems)
  }

  /// - Parameter unknown: what is wrong with the names. The cluster passes them on, and agents do not know them.
  init(id: String, ending: CommandResult.Ending, reason: String?, _ unknown: [Finding], _ description: AgentDescription) {
    switch ending {
    case .exited(let status):
      // At check level 10 validate-all says what a start would do: it goes on, and what it goes on with is a risk.
      let goesOn = status == Status.success.rawValue
      let reasons = reason.map { goesOn ? $0.split(separator: RiskReport.mark).map(String.init) : [$0] } ?? (goesOn ? [] : ["validate-all ended with \(status)"])
      let findings = reasons.map { reason in
        let values = Self.named(in: reason).filter { name in description.parameters.contains { $0.name == name } }.map { "\($0)=…" }
        return Finding(
          goesOn ? .START3 : .START1, goesOn ? .risk : .bad, reason,
          fix: Self.edit(of: reason).map { [$0] } ?? (values.isEmpty ? [] : ["pcs resource update \(id) \(values.joined(separator: " "))"]), at: id)
      }
      self.init(id: id, wouldStart: goesOn && unknown.isEmpty, problems: unknown + findings)
    case .signalled(let signal):
      self.init(id: id, wouldStart: nil, problems: unknown + [Finding(.START2, .bad, "validate-all was killed by signal \(signal)", at: id)])
    case .timedOut:
      self.init(id: id, wouldStart: nil, problems: unknown + [Finding(.START2, .bad, "validate-all took longer than \(Self.patience.milliseconds / 1000) s", at: id)])
    }
  }

  /// What opens the line that a reason names at its end, as `(FILE:LINE)`, or at its beginning, as `PARAMETER: FILE:LINE: …`; nil: it names none.
  static func edit(of reason: String) -> String? {
    for word in reason.split(separator: " ") where word.hasPrefix("/") || word.hasPrefix("(/") {
      let parts = word.drop { $0 == "(" }.split(separator: ":").map(String.init)
      guard parts.count == 2, let line = Int(parts[1].prefix { $0.isNumber }), line > 0 else { continue }
      return "editor +\(line) \(parts[0])"
    }
    return nil
  }

  /// The parameters that a reason names: each complaint begins with its parameter, and they are joined by "; ".
  static func named(in reason: String) -> [String] {
    reason.split(separator: ";").map { complaint in complaint.drop { $0 == " " }.prefix { $0 != ":" } }.map(String.init)
  }
}

/// What `vpnha check` said on another node.
struct PeerAnswer {
  var node: String
  /// Nil when it could not be asked.
  var verdict: Verdict?
  /// Its JSON object; when it could not be asked, why.
  var said: String

  init(node: String, verdict: Verdict?, said: String) {
    (self.node, self.verdict, self.said) = (node, verdict, said)
  }

  init(from node: String, arguments: [String], _ host: Host) throws {
    let remote = (["vpnha", "check", "--json"] + arguments).map(shellQuoted).joined(separator: " ")
    let command = Command.onNode(node, remote, outputLimit: 1 << 20)
    self.node = node
    do throws(SystemError) {
      let result = try host.processes.run(command, before: host.clock.now + .seconds(60))
      guard case .exited(let status) = result.ending, let verdict = Verdict(rawValue: status), result.output.first == UInt8(ascii: "{") else {
        (verdict, said) = (nil, "\(node) gave no answer: \(result.lastWords ?? "no vpnha check there?")")
        return
      }
      (self.verdict, said) = (verdict, String(decoding: result.output, as: UTF8.self).split(whereSeparator: \.isNewline).first.map(String.init) ?? "")
    } catch {
      (verdict, said) = (nil, "\(node) could not be asked: \(error)")
    }
  }
}

struct CheckReport {
  var checks: [ResourceCheck]
  var peer: PeerAnswer?

  var problems: [Finding] { Finding.ordered(checks.flatMap(\.problems) + otherKeys) }

  /// Ledgers whose key is another on the peer.
  private var otherKeys: [Finding] {
    guard let peer, peer.verdict != nil, let theirs = JSONValue(Array(peer.said.utf8))?["resources"]?.elements else { return [] }
    return checks.compactMap { check in
      guard let here = check.key, let there = theirs.first(where: { $0["id"]?.string == check.id })?["key"]?.string, here.print != there else { return nil }
      return Finding(
        .KEY2, .risk, "\(peer.node) has another key (fingerprint \(there), here \(here.print))",
        fix: ["scp -p \(here.file) root@\(peer.node):\(here.file)", "pcs resource restart \(check.id)"], at: check.id)
    }
  }

  /// On this node.
  var wouldStart: Bool? {
    checks.contains { $0.wouldStart == false } ? false : checks.allSatisfy { $0.wouldStart == true } ? true : nil
  }

  var verdict: Verdict {
    if wouldStart == false || peer?.verdict == .bad { return .bad }
    if wouldStart == nil || (peer != nil && (peer?.verdict == nil || peer?.verdict == .unknown)) { return .unknown }
    return problems.isEmpty && peer?.verdict != .risk ? .good : .risk
  }

  var text: String {
    var screen = Screen()
    let names = checks.map(\.id).joined(separator: ", ")
    let words =
      switch wouldStart {
      case true?: "would start here"
      case false?: "would not start here: \(checks.filter { $0.wouldStart == false }.map(\.id).joined(separator: ", "))"
      case nil: "could not find out"
      }
    screen.add(padded(verdict.shown, 9) + (wouldStart == true ? "\(names) \(words)" : words) + "; nothing was changed", indent: 9)
    for problem in problems {
      screen.add(padded(problem.id.rawValue, 9) + padded(problem.severity.name, 6) + (checks.count > 1 ? "\(problem.place ?? ""): " : "") + problem.summary, indent: 15)
      for command in problem.fix { screen.add(verbatim: "               " + command) }
    }
    if let peer {
      screen.add("\(peer.node): " + (peer.verdict.map { ["would start there", "would start there, at risk", "would not start there", "could not find out there"][Int($0.rawValue)] } ?? peer.said), indent: 9)
      if let verdict = peer.verdict, verdict != .good { screen.add(verbatim: "         ssh \(peer.node) vpnha check …") }
    }
    return screen.text(more: "vpnha check --json")
  }

  var json: String {
    jsonObject(
      [
        ("would_start", wouldStart.map { "\($0)" }), ("verdict", verdict.name.jsonQuoted), ("problems", jsonArray(problems.map(\.json))),
        ("resources", jsonArray(checks.map { jsonObject([("id", $0.id.jsonQuoted), ("would_start", $0.wouldStart.map { "\($0)" })] + ($0.key.map { [("key", $0.print.jsonQuoted)] } ?? [])) })),
      ] + (peer.map { peer in [("peer", jsonObject([("node", peer.node.jsonQuoted), ("answer", peer.verdict == nil ? nil : peer.said), ("error", peer.verdict == nil ? peer.said.jsonQuoted : nil)]))] } ?? []))
  }
}

extension Command {
  /// A command line on another node, by ssh, as the user who runs this; a node that would ask for a password gives no answer.
  static func onNode(_ node: String, _ line: String, outputLimit: Int) -> Command {
    Command("/usr/bin/ssh", ["-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "--", node, line], environment: inheritedEnvironment(), outputLimit: outputLimit)
  }
}

extension CommandResult {
  /// The last line on standard error.
  var lastWords: String? { String(decoding: error, as: UTF8.self).split(whereSeparator: \.isNewline).last.map(String.init) }
}
