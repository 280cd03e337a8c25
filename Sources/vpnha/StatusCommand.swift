import ArgumentParser
import Glibc
import Host
import LinuxHost
import OCF
import OCFMetadata

struct StatusCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status",
    abstract: "Say who serves, whether the other node would take over right now, and why not.",
    discussion: """
      Asks Pacemaker on this node, and has its scheduler work out the loss of the serving node; nothing is changed. Exits \
      with 0 when all is well, 1 at risk, 2 when nobody serves or the service is broken, 3 when that could not be found out.
      """)

  @Flag(help: "One JSON object.")
  var json = false
  @Flag(help: "One line.")
  var brief = false
  @Flag(help: "Again every two seconds, until it is interrupted.")
  var watch = false
  @Option(help: ArgumentHelp("Only what concerns this node.", valueName: "name"))
  var node: String?

  func run() throws {
    while true {
      let (text, verdict) = answer()
      // The screen is cleared on a terminal only.
      let clear = watch && isatty(1) == 1 ? "\u{1B}[H\u{1B}[2J" : ""
      print(clear + text)
      fflush(nil)
      guard watch else { throw ExitCode(verdict.rawValue) }
      sleep(2)
    }
  }

  private func answer() -> (String, Verdict) {
    let host = Host.silent
    do throws(SystemError) {
      let statuses = try PacemakerTools(processes: host.processes, files: host.files, clock: host.clock, host: host).statuses()
      let status = statuses[0]
      if let node, !status.nodes.contains(where: { $0.name == node }) {
        throw SystemError("looking for \(node)", .noSuchFile, detail: "the nodes are \(status.nodes.map(\.name).joined(separator: ", "))")
      }
      let report = StatusReport(statuses, now: host.clock.timestamp, node: node)
      return (json ? report.json : brief ? report.brief : report.text, report.status.verdict)
    } catch {
      let finding = Self.unanswered(error, host.processes)
      let said = StatusReport.unknown(finding)
      var screen = Screen()
      screen.add(said.brief, indent: 9)
      if !brief { for command in finding.fix { screen.add(verbatim: "         " + command) } }
      return (json ? said.json : screen.text(more: ""), .unknown)
    }
  }
}

extension StatusCommand {
  /// Why the cluster gives no answer: Pacemaker runs and one of its daemons hangs, or it does not run.
  static func unanswered(_ error: SystemError, _ processes: any Processes) -> Finding {
    if let stopped = StoppedDaemon.all(processes).first { return stopped.finding(on: hostName()) }
    var isHere = false
    do throws(SystemError) { isHere = try !processes.running("/usr/sbin/pacemakerd").isEmpty } catch {
      // Then the usual advice stands.
    }
    guard isHere, error.errno == .timedOut else { return Finding(.PCMK1, .bad, "the cluster cannot be asked here: \(error)", fix: ["pcs cluster start", "pcs status"]) }
    return Finding(
      .PCMK1, .bad, "Pacemaker runs here, and does not answer: \(error)", fix: ["crm_mon -1    # again: Pacemaker ends a daemon of its own that hangs, after half a minute", "systemctl restart pacemaker    # on this node, if it does not"])
  }
}

/// Pacemaker's tools, each with little time.
struct PacemakerTools {
  var processes: any Processes
  var files: any Files
  var clock: any Clock
  /// `CIB_file` in place of the cluster.
  var environment: [String: String] = [:]
  /// This machine, when its daemons may be asked as well.
  var host: Host?

  static let patience = Duration.seconds(5)
  static let limit = 64 << 20

  func configuration() throws(SystemError) -> [UInt8] { try ask("/usr/sbin/cibadmin", ["--query"]) }

  /// - Parameters:
  ///   - looks: what is known of the daemons, if they are not to be asked.
  ///   - time: in place of now.
  ///   - top: of several addresses, the one that is asked about; the worst one without it.
  func status(of top: String? = nil, looks known: Looks? = nil, at time: Timestamp? = nil) throws(SystemError) -> ClusterStatus {
    let all = try statuses(looks: known, at: time)
    if let top, let one = all.first(where: { $0.top == top }) { return one }
    return ClusterStatus.worst(all)
  }

  /// The same for each address that has daemons of its own; never empty.
  func statuses(looks known: Looks? = nil, at time: Timestamp? = nil) throws(SystemError) -> [ClusterStatus] {
    let cib = try configuration()
    let configuration = try ClusterConfiguration(cib)
    var monitor = try monitor()
    let looks = known ?? looks(configuration, monitor)
    monitor.recall(configuration.primitives.filter { $0.own != nil || $0.isFence }, of: configuration, looks)
    var losses: [String: ClusterMonitor?] = [:]
    var all = configuration.services.map { one in
      // Its scheduler knows no more than Pacemaker does.
      let serving = monitor.forgotten.isEmpty ? monitor.serving(one.service) : nil
      let loss = serving.flatMap { node in losses[node] ?? simulated(loss: node, in: cib) }
      if let serving { losses[serving] = loss }
      return ClusterStatus(one, monitor, losingServing: loss, votes: votes(), looks: looks, at: time ?? clock.timestamp)
    }
    ClusterStatus.compare(&all)
    if let here = looks?.here { for index in all.indices { all[index].locate(from: here) } }
    return all
  }

  /// What the nodes say of their last close looks, and one more at those members that run here. Nil where there is no live
  /// cluster to ask.
  func looks(_ configuration: ClusterConfiguration, _ monitor: ClusterMonitor) -> Looks? {
    guard environment.isEmpty, let host else { return nil }
    let members =
      configuration.services.flatMap(\.service).reduce(into: []) { all, one in if !all.contains(where: { $0.id == one.id }) { all.append(one) } }
      + configuration.gateways + configuration.own("conntrackd") + configuration.own("sessions") + configuration.own("announce") + configuration.own("firewall")
    var looks = Looks()
    for member in members {
      do throws(SystemError) {
        for (node, text) in try host.cluster.nodeAttribute(Look.prefix + member.id) { looks.told[member.id, default: [:]][node] = Look(text) }
      } catch { continue }
    }
    do throws(SystemError) { looks.prints = try host.cluster.nodeAttribute(Fingerprint.attribute).compactMapValues { Fingerprint($0) } } catch {
      // Nothing is compared.
    }
    // Others do not see the processes behind the daemons.
    guard geteuid() == 0, let node = thisNode() else { return looks }
    looks.here = node
    looks.stoppedDaemons = StoppedDaemon.all(host.processes)
    do throws(SystemError) { looks.prints[node] = try FingerprintSource(host: host, configuration: configuration).fingerprint() } catch { looks.prints[node] = nil }
    look(atFencesOf: Set(configuration.services.compactMap { monitor.serving($0.service) }), configuration, host, from: node, into: &looks)
    let local = LocalLook(host: host, node: node)
    let forgotten = configuration.forgotten(members.map(\.id), on: node)
    for member in members {
      let program = AgentFolder.cluster.program(member.own ?? "")
      if monitor.role(member.id, on: node) != .stopped, !host.files.isExecutable(program) {
        looks.seen[member.id] = .working(promoted: monitor.role(member.id, on: node) == .promoted, [Risk("\(program) is missing or cannot be executed: apt-get install --reinstall vpnha", unfit: true)])
      } else if monitor.role(member.id, on: node) != .stopped || forgotten.contains(member.id) {
        looks.seen[member.id] = local.state(of: member)
      } else if !member.isPromotable {
        looks.foreseen[member.id] = local.foreseen(of: member)
      }
    }
    return looks
  }

  private func look(atFencesOf nodes: Set<String>, _ configuration: ClusterConfiguration, _ host: Host, from here: String, into looks: inout Looks) {
    // Of the agents of its own provider only: those of others are not in one place.
    looks.absentFences = Set(configuration.primitives.filter { $0.isFence && $0.agent.hasPrefix("stonith:fence_") && !host.files.isExecutable("/usr/sbin/\($0.agent.dropFirst(8))") }.map(\.id))
    guard configuration.isFencingEnabled, !configuration.isFencedByWatchdog else { return }
    for other in nodes where other != here { looks.enders[other] = enders(of: other) }
  }

  /// What this node's fencer would end another one with; nil when it gives no answer. Only it knows of bans, and of what a device itself says.
  private func enders(of node: String) -> Set<String>? {
    do throws(SystemError) {
      let said = try run("/usr/sbin/stonith_admin", ["--list", node, "--output-as=xml", "--timeout", "2"], within: .seconds(3))
      return try XMLDocument(said)?.root?.first("list").map { Set($0.children(named: "item").map(\.ownText)) }
    } catch {
      return nil
    }
  }

  func thisNode() -> String? {
    do throws(SystemError) { return try nodeName() } catch { return nil }
  }

  /// The cluster's name for this node.
  func nodeName() throws(SystemError) -> String {
    String(decoding: try ask("/usr/sbin/crm_node", ["--name"]), as: UTF8.self).trimmed
  }

  /// Resources that run on this node; nil when the cluster is not there to ask.
  func running() -> Set<String>? {
    do throws(SystemError) {
      let node = try nodeName()
      let monitor = try monitor()
      return Set(monitor.instances.filter { $0.node == node && $0.role != .stopped }.map(\.id))
    } catch {
      return nil
    }
  }

  func votes() -> CorosyncConfiguration? {
    do throws(SystemError) {
      var votes = try files.read(CorosyncConfiguration.path, limit: 1 << 20).map { CorosyncConfiguration(String(decoding: $0, as: UTF8.self)) }
      votes?.runsAsTwoNode = try runsAsTwoNode()
      return votes
    } catch {
      return nil
    }
  }

  /// What corosync goes by here, whatever its file says by now; nil where it gives no answer.
  private func runsAsTwoNode() throws(SystemError) -> Bool? {
    guard environment.isEmpty, host != nil else { return nil }
    // Its status says whether there is a quorum.
    let command = Command("/usr/sbin/corosync-quorumtool", ["-s"], outputLimit: 1 << 16)
    let said = try processes.run(command, before: clock.now + .seconds(2))
    return String(decoding: said.output, as: UTF8.self).split(whereSeparator: \.isNewline).first { $0.hasPrefix("Flags:") }.map { $0.contains("2Node") }
  }

  func ask(_ program: String, _ arguments: [String], input: [UInt8] = []) throws(SystemError) -> [UInt8] {
    try run(program, arguments, input: input, within: Self.patience)
  }

  /// What the program prints; an error with its first words when it does not end with 0.
  func run(_ program: String, _ arguments: [String], input: [UInt8] = [], within patience: Duration) throws(SystemError) -> [UInt8] {
    let command = Command(program, arguments, environment: environment, input: input, outputLimit: Self.limit)
    return try Self.output(of: command, processes.run(command, before: clock.now + patience))
  }

  static func output(of command: Command, _ result: CommandResult) throws(SystemError) -> [UInt8] {
    switch result.ending {
    case .exited(0): return result.output
    case .timedOut: throw SystemError("asking \(command.path)", .timedOut)
    case .exited, .signalled:
      let words = String(decoding: result.error, as: UTF8.self).split(whereSeparator: \.isNewline).first
      throw SystemError("asking \(command.path)", .io, detail: words.map(String.init) ?? "\(result.ending)")
    }
  }
}

extension PacemakerTools {
  init(_ host: Host) { self.init(processes: host.processes, files: host.files, clock: host.clock) }
}
