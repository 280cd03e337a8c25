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
      let finding = Finding(.PCMK1, .bad, "the cluster cannot be asked here: \(error)", fix: ["pcs cluster start", "pcs status"])
      let said = StatusReport.unknown(finding)
      var screen = Screen()
      screen.add(said.brief, indent: 9)
      if !brief { for command in finding.fix { screen.add(verbatim: "         " + command) } }
      return (json ? said.json : screen.text(more: ""), .unknown)
    }
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

  private static let patience = Duration.seconds(5)
  private static let limit = 64 << 20

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
    return all
  }

  /// What the nodes say of their last close looks, and one more at those members that run here. Nil where there is no live
  /// cluster to ask.
  private func looks(_ configuration: ClusterConfiguration, _ monitor: ClusterMonitor) -> Looks? {
    guard environment.isEmpty, let host else { return nil }
    let members =
      configuration.services.flatMap(\.service).reduce(into: []) { all, one in if !all.contains(where: { $0.id == one.id }) { all.append(one) } }
      + configuration.own("conntrackd") + configuration.own("sessions") + configuration.own("announce") + configuration.own("firewall")
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
    do throws(SystemError) { looks.prints[node] = try FingerprintSource(host: host, configuration: configuration).fingerprint() } catch { looks.prints[node] = nil }
    // Of the agents of its own provider only: those of others are not in one place.
    looks.absentFences = Set(configuration.primitives.filter { $0.isFence && $0.agent.hasPrefix("stonith:fence_") && !host.files.isExecutable("/usr/sbin/\($0.agent.dropFirst(8))") }.map(\.id))
    if configuration.isFencingEnabled, !configuration.isFencedByWatchdog {
      for other in Set(configuration.services.compactMap { monitor.serving($0.service) }) where other != node { looks.enders[other] = enders(of: other) }
    }
    let local = LocalLook(host: host, node: node)
    let forgotten = configuration.forgotten(members.map(\.id), on: node)
    for member in members {
      if monitor.role(member.id, on: node) != .stopped || forgotten.contains(member.id) {
        looks.seen[member.id] = local.state(of: member)
      } else if !member.isPromotable {
        looks.foreseen[member.id] = local.foreseen(of: member)
      }
    }
    return looks
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

  /// What Pacemaker's own scheduler makes of the loss of a node; nil when it gives no answer.
  private func simulated(loss node: String, in cib: [UInt8]) -> ClusterMonitor? {
    do throws(SystemError) { return try simulated(["--node-fail", node], in: cib) } catch {
      return nil
    }
  }

  /// What the scheduler makes of `cib` and of what is injected.
  ///
  /// - Parameter arguments: of crm_simulate; nil: as it is, nothing is done.
  func simulated(_ arguments: [String]?, in cib: [UInt8]) throws(SystemError) -> ClusterMonitor {
    guard let arguments else { return try ClusterMonitor(simulate(["--output-as=xml"], cib), section: "cluster_status") }
    let (rest, state) = try injected(arguments, into: cib)
    return try ClusterMonitor(simulate(["--simulate", "--output-as=xml"] + rest, state), section: "revised_cluster_status")
  }

  /// The same, and the CIB after the scheduler has done all that it wants to.
  func saved(_ arguments: [String], from cib: [UInt8]) throws(SystemError) -> (now: ClusterMonitor, cib: [UInt8]) {
    let (rest, state) = try injected(arguments, into: cib)
    let (said, saved) = try simulate(["--simulate", "--output-as=xml"] + rest, state, saving: "--save-output")
    return (try ClusterMonitor(said, section: "revised_cluster_status"), saved)
  }

  /// Pacemaker 3.0's crm_simulate works out what follows an injection, and its XML leaves that out. There it only injects, and is then
  /// asked what follows in the state that it saved.
  ///
  /// - Returns: the arguments that are left, and the CIB that they are about.
  private func injected(_ arguments: [String], into cib: [UInt8]) throws(SystemError) -> (arguments: [String], cib: [UInt8]) {
    guard !arguments.isEmpty, Self.isFromPacemaker3(cib) else { return (arguments, cib) }
    return ([], try simulate(arguments, cib, saving: "--save-input").saved)
  }

  private func simulate(_ arguments: [String], _ cib: [UInt8], saving option: String) throws(SystemError) -> (said: [UInt8], saved: [UInt8]) {
    // crm_simulate works in the file that it is to save, and puts another one in its place.
    let file = try files.makeReplyFile(in: geteuid() == 0 ? "/run" : "/tmp")
    let path = file.path
    defer { file.discard() }
    let said = try simulate(arguments + ["\(option)=\(path)"], cib)
    let saved: [UInt8]?
    do throws(SystemError) { saved = try files.read(path, limit: Self.limit) } catch {
      try files.remove(path)
      throw error
    }
    try files.remove(path)
    guard let saved, !saved.isEmpty else { throw SystemError("asking crm_simulate", .noSuchFile, detail: "it saved nothing") }
    return (said, saved)
  }

  private func simulate(_ arguments: [String], _ cib: [UInt8]) throws(SystemError) -> [UInt8] {
    var tools = self
    // It writes the CIB twice and waits for the disk; in memory there is nothing to wait for.
    if geteuid() == 0 { tools.environment["CIB_shadow_dir"] = "/run" }
    return try tools.ask("/usr/sbin/crm_simulate", ["--xml-pipe"] + arguments, input: Self.trusted(cib))
  }

  /// The CIB, marked as one that needs no validation, which takes a third of crm_simulate's time: the cluster has validated it. One of
  /// an older schema is left as it is, since crm_simulate has to transform it; so is every one of Pacemaker 3, for which schema 3 is older.
  static func trusted(_ cib: [UInt8]) -> [UInt8] {
    let mark = Array(#" validate-with="pacemaker-3."#.utf8)
    guard !isFromPacemaker3(cib), let end = cib.firstIndex(of: UInt8(ascii: ">")), let place = cib[..<end].firstRange(of: mark), let close = cib[place.upperBound..<end].firstIndex(of: UInt8(ascii: "\"")) else { return cib }
    return cib[..<place.lowerBound] + Array(#" validate-with="none"#.utf8) + cib[close...]
  }

  /// Whether the cluster's oldest node is one of Pacemaker 3: by the feature set, 3.20 and later.
  static func isFromPacemaker3(_ cib: [UInt8]) -> Bool {
    let mark = Array(#" crm_feature_set="3."#.utf8)
    guard let end = cib.firstIndex(of: UInt8(ascii: ">")), let place = cib[..<end].firstRange(of: mark) else { return false }
    return Int(String(decoding: cib[place.upperBound..<end].prefix { $0 != UInt8(ascii: ".") }, as: UTF8.self)).map { $0 >= 20 } ?? false
  }

  func votes() -> CorosyncConfiguration? {
    do throws(SystemError) {
      return try files.read(CorosyncConfiguration.path, limit: 1 << 20).map { CorosyncConfiguration(String(decoding: $0, as: UTF8.self)) }
    } catch {
      return nil
    }
  }

  func ask(_ program: String, _ arguments: [String], input: [UInt8] = []) throws(SystemError) -> [UInt8] {
    try run(program, arguments, input: input, within: Self.patience)
  }

  /// What the program prints; an error with its first words when it does not end with 0.
  func run(_ program: String, _ arguments: [String], input: [UInt8] = [], within patience: Duration) throws(SystemError) -> [UInt8] {
    let command = Command(program, arguments, environment: environment, input: input, outputLimit: Self.limit)
    let result = try processes.run(command, before: clock.now + patience)
    switch result.ending {
    case .exited(0): return result.output
    case .timedOut: throw SystemError("asking \(program)", .timedOut)
    case .exited, .signalled:
      let words = String(decoding: result.error, as: UTF8.self).split(whereSeparator: \.isNewline).first
      throw SystemError("asking \(program)", .io, detail: words.map(String.init) ?? "\(result.ending)")
    }
  }
}

extension PacemakerTools {
  init(_ host: Host) { self.init(processes: host.processes, files: host.files, clock: host.clock) }
}
