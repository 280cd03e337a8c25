import ArgumentParser
import Glibc
import Host
import JSON
import LinuxHost

struct DoctorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Look for known traps in the cluster's configuration and on this node.",
    discussion: """
      Changes nothing, and works with Pacemaker down, from the configuration that it left on the disk. Run it on every node. \
      Exits with 0 when there is nothing but notes, 1 at risk, 2 when something is wrong, 3 when it could not look.
      """)

  @Flag(help: "One JSON object.")
  var json = false
  @Flag(help: "Only the commands that mend what was found, for a shell; look at them first.")
  var fixes = false
  @Flag(help: "Notes as well: what a healthy pair may choose.")
  var notes = false
  @Option(help: ArgumentHelp("Leave these out.", valueName: "ID,…"), completion: .list(FindingID.allCases.map(\.rawValue)))
  var skip: String?
  @Option(help: ArgumentHelp("Only this one, or those that begin with it.", valueName: "ID"), completion: .list(FindingID.allCases.map(\.rawValue)))
  var only: String?

  @Option(help: ArgumentHelp("Another node to ask as well, with ssh.", valueName: "node"))
  var peer: String?

  private var skipped: [FindingID] { (skip ?? "").split(separator: ",").compactMap { FindingID(rawValue: $0.trimmed.uppercased()) } }

  func validate() throws {
    for word in (skip ?? "").split(separator: ",") where FindingID(rawValue: word.trimmed.uppercased()) == nil {
      throw ValidationError("there is no \(word.trimmed); vpnha explain lists the IDs")
    }
    if let peer, peer.isEmpty || peer.hasPrefix("-") { throw ValidationError("--peer takes the name of a node") }
    if let only, !FindingID.allCases.contains(where: { $0.rawValue.hasPrefix(only.uppercased()) }) { throw ValidationError("there is no \(only); vpnha explain lists the IDs") }
  }

  func run() throws {
    guard geteuid() == 0 else {
      throw SystemError("looking", .notPermitted, detail: "only root may read the files with the keys").asExit(json: json)
    }
    let host = Host.silent
    var checkup: Checkup
    do throws(SystemError) {
      checkup = try Checkup(host).with(skipped: skipped, only: only?.uppercased())
      if let peer { checkup.add(try PeerCheckup(of: peer, arguments: (skip.map { ["--skip", $0] } ?? []) + (only.map { ["--only", $0] } ?? []), host)) }
    } catch { throw error.asExit(json: json) }
    print(json ? checkup.json : fixes ? checkup.fixes : checkup.text(notes: notes || only != nil))
    throw ExitCode(checkup.verdict.rawValue)
  }
}

extension SystemError {
  fileprivate func asExit(json: Bool) -> ExitCode {
    print(json ? jsonObject([("verdict", Verdict.unknown.name.jsonQuoted), ("findings", "[]"), ("error", "\(self)".jsonQuoted)]) : Verdict.unknown.line("\(self)"))
    return ExitCode(Verdict.unknown.rawValue)
  }
}

/// What doctor found on another node.
struct PeerCheckup: Equatable {
  var node: String
  /// Nil: it could not be asked.
  var findings: [Finding]?
  /// What is to be known beside them.
  var remark: String?

  init(node: String, findings: [Finding]?, remark: String? = nil) { (self.node, self.findings, self.remark) = (node, findings, remark) }

  /// - Throws: when ssh cannot be run.
  init(of node: String, arguments: [String], _ host: Host) throws(SystemError) {
    let line = (["vpnha", "doctor", "--json"] + arguments).map(shellQuoted).joined(separator: " ")
    let result = try host.processes.run(.onNode(node, line, outputLimit: 4 << 20), before: host.clock.now + .seconds(60))
    guard let answer = JSONValue(result.output), case .array(let list)? = answer["findings"], answer["error"] == nil, answer["verdict"]?.string != Verdict.unknown.name else {
      let why = JSONValue(result.output)?["error"]?.string ?? result.lastWords ?? "no vpnha doctor there?"
      self.init(node: node, findings: nil, remark: "\(node) gave no answer: \(why.plain)")
      return
    }
    let known = list.compactMap(Finding.init)
    // A newer version may know more.
    self.init(node: node, findings: known, remark: known.count == list.count ? nil : "\(list.count - known.count) findings of \(node) have IDs that this version does not know: ssh \(node) vpnha doctor")
  }
}

extension Finding {
  /// As `json` wrote it; nil when it is something else, or of a kind that is not known here.
  init?(_ value: JSONValue) {
    guard let id = value["id"]?.string.flatMap(FindingID.init), let name = value["severity"]?.string, let summary = value["summary"]?.string,
      let severity = [Severity.note, .risk, .bad].first(where: { $0.name == name })
    else { return nil }
    self.init(
      id, severity, summary.plain, fix: (value["fix"]?.elements ?? []).compactMap { $0.string?.plain }, at: value["where"]?.string?.plain, since: value["since"]?.string.flatMap { Timestamp($0) })
  }
}

/// What doctor found.
struct Checkup {
  var findings: [Finding]
  var skipped: [FindingID] = []
  /// Nil: no other node was to be asked.
  var peer: PeerCheckup?

  /// The other node's findings, each once: what is about the cluster both of them say.
  mutating func add(_ peer: PeerCheckup) {
    self.peer = peer
    let theirs = (peer.findings ?? []).filter { one in one.place?.hasPrefix("/") == true || !findings.contains { $0.id == one.id && $0.summary == one.summary } }.map { finding in
      var finding = finding
      finding.summary = "\(peer.node): \(finding.summary)"
      finding.fix = finding.fix.map { $0.hasPrefix("pcs ") ? $0 : "ssh \(peer.node) \(shellQuoted($0))" }
      return finding
    }
    findings = Finding.ordered(findings + theirs)
  }

  init(_ findings: [Finding]) { self.findings = Finding.ordered(findings) }

  init(_ host: Host) throws(SystemError) {
    var found: [Finding] = []
    let configuration = try Self.configuration(host, &found)
    let votes = try host.files.read(CorosyncConfiguration.path, limit: 1 << 20).map { CorosyncConfiguration(String(decoding: $0, as: UTF8.self)) }
    if let configuration { found += ClusterChecks(configuration: configuration, votes: votes).findings() }
    let running = configuration == nil ? nil : PacemakerTools(host).running()
    found += try NodeChecks(files: host.files, processes: host.processes, clock: host.clock, configuration: configuration, running: running).findings()
    if configuration != nil, running != nil { found += try Self.drift(host, configuration) }
    if let configuration, let running { found += Self.said(by: host, configuration, running, on: PacemakerTools(host).thisNode(), besides: found) }
    self.init(found.map { Self.dated($0, Self.lastChange) })
  }

  /// What the agents say of what runs here, but for what a check has said of the same file or value.
  private static func said(by host: Host, _ configuration: ClusterConfiguration, _ running: Set<String>, on here: String?, besides found: [Finding]) -> [Finding] {
    func things(_ commands: [String]) -> Set<Substring> { Set(commands.map { $0[...] } + commands.flatMap { $0.split(separator: " ") }.filter { $0.hasPrefix("/") || $0.contains("=") }) }
    let known = things(found.filter { $0.severity != .note }.flatMap { $0.fix + [String($0.place?.prefix { $0 != ":" } ?? "")] })
    let look = LocalLook(host: host, node: here)
    return configuration.primitives.filter { running.contains($0.id) }.flatMap { resource -> [Finding] in
      func finding(_ id: FindingID, _ severity: Finding.Severity, _ reason: String) -> Finding? {
        let commands = Mending(of: resource).commands(reason)
        guard things(commands).isDisjoint(with: known) else { return nil }
        return Finding(id, severity, "\(resource.id): \(reason)", fix: commands.isEmpty ? ["vpnha run --resource \(resource.id) monitor --depth 10"] : commands, at: resource.id)
      }
      switch look.state(of: resource) {
      case .failed(let why, _): return [finding(.DOWN1, .bad, why)].compactMap { $0 }
      case .atRisk(let risks, _): return risks.compactMap { finding($0.isUnfit ? .UNFIT1 : .RISK1, $0.isUnfit ? .bad : .risk, $0.reason) }
      case .stopped, .running, .promoted, nil: return []
      }
    }
  }

  /// This node and what the others gave to the cluster.
  private static func drift(_ host: Host, _ configuration: ClusterConfiguration?) throws(SystemError) -> [Finding] {
    let mine: Fingerprint
    do throws(SystemError) { mine = try FingerprintSource(host: host, configuration: configuration).fingerprint() } catch {
      return [Finding(.DRIFT5, .note, "this node's files cannot be compared with the other's: \(error)", fix: ["corosync-keygen    # then copy /etc/corosync/authkey to the other node"])]
    }
    let here = try PacemakerTools(host).nodeName()
    var prints = try host.cluster.nodeAttribute(Fingerprint.attribute).compactMapValues { Fingerprint($0) }
    prints[here] = mine
    return Drift(prints: prints, here: here, time: mine.at, source: swanctlSource { configuration?.own("strongswan").first?.parameter($0) }).findings
  }

  /// With the time at which the file that it is about was changed last: it has been so since then at least.
  static func dated(_ finding: Finding, _ changed: (String) -> Timestamp?) -> Finding {
    guard finding.since == nil, let place = finding.place, place.hasPrefix("/"), ![.CERT1, .UNIT2].contains(finding.id) else { return finding }
    var finding = finding
    let parts = place.split(separator: ":", omittingEmptySubsequences: false)
    finding.since = changed(parts.count > 1 && parts[parts.count - 1].allSatisfy(\.isNumber) ? parts.dropLast().joined(separator: ":") : place)
    return finding
  }

  /// Of a regular file or a link; nil of anything else.
  private static func lastChange(_ path: String) -> Timestamp? {
    var status = stat()
    guard lstat(path, &status) == 0, [S_IFREG, S_IFLNK].contains(status.st_mode & S_IFMT) else { return nil }
    return Timestamp(seconds: Int64(status.st_mtim.tv_sec))
  }

  /// Asked of the cluster, or as Pacemaker left it on the disk.
  private static func configuration(_ host: Host, _ found: inout [Finding]) throws(SystemError) -> ClusterConfiguration? {
    let saved = "/var/lib/pacemaker/cib/cib.xml"
    let why: SystemError
    do throws(SystemError) {
      let file = inheritedEnvironment()["CIB_file"].map { ["CIB_file": $0] } ?? [:]
      return try ClusterConfiguration(PacemakerTools(processes: host.processes, files: host.files, clock: host.clock, environment: file).configuration())
    } catch { why = error }
    if let bytes = try host.files.read(saved, limit: 64 << 20) { return try ClusterConfiguration(bytes) }
    found.append(Finding(.CIB1, .risk, "there is no cluster configuration on this node: \(why)", fix: ["pcs cluster start"]))
    return nil
  }

  func with(skipped: [FindingID], only: String?) -> Checkup {
    var result = Checkup(findings.filter { !skipped.contains($0.id) && (only.map($0.id.rawValue.hasPrefix) ?? true) })
    result.skipped = skipped
    return result
  }

  var verdict: Verdict {
    // What is bad here is so whatever the other one says.
    let here = Verdict(findings)
    return peer.map { $0.findings == nil && here != .bad ? .unknown : here } ?? here
  }

  var summary: String {
    let counts = [(Finding.Severity.bad, "bad"), (.risk, "at risk"), (.note, "notes")].map { severity, word in (findings.count { $0.severity == severity }, word) }
    let words = counts.filter { $0.0 > 0 }.map { "\($0.0) \($0.0 == 1 && $0.1 == "notes" ? "note" : $0.1)" }
    let what = words.isEmpty ? "nothing found" : words.joined(separator: ", ")
    return padded(verdict.shown, 9) + what + (skipped.isEmpty ? "" : "; skipped: \(skipped.map(\.rawValue).joined(separator: ", "))") + "; nothing was changed"
  }

  /// - Parameter notes: whether they are listed as well. On a healthy pair there is nothing else to say.
  func text(notes: Bool) -> String {
    var screen = Screen()
    screen.add(summary + (notes || !findings.contains { $0.severity == .note } ? "" : " (--notes lists them)"), indent: 9)
    for finding in findings where notes || finding.severity != .note {
      screen.add(padded(finding.id.rawValue, 9) + padded(finding.severity.name, 6) + finding.summary, indent: 15)
      for command in finding.fix { screen.add(verbatim: "               " + command) }
    }
    if let remark = peer?.remark { screen.add(remark, indent: 9) }
    return screen.text(more: "vpnha doctor --json, or --only ID")
  }

  /// Commands; what a person has to fill in is a comment.
  var fixes: String {
    findings.flatMap { finding in
      ["# \(finding.id.rawValue): \(finding.summary)"] + finding.fix.map { needsThought($0) ? "# \($0)" : $0 }
    }.joined(separator: "\n")
  }

  private func needsThought(_ command: String) -> Bool {
    command.contains("…") || command.contains("    # where ") || command.hasPrefix("editor ") || command.split(separator: " ").contains { ["AGENT", "NODE", "HOST"].contains($0) || $0.contains("=HOST") || $0.contains("NODE=") || $0.contains("=NIC") || $0.contains("=ADDRESS") }
  }

  var json: String {
    jsonObject(
      [
        ("verdict", verdict.name.jsonQuoted), ("findings", jsonArray(findings.map(\.json))), ("skipped", jsonArray(skipped.map(\.rawValue.jsonQuoted))),
      ] + (peer.map { peer in [("peer", jsonObject([("node", peer.node.jsonQuoted), ("answered", "\(peer.findings != nil)"), ("remark", peer.remark?.jsonQuoted)]))] } ?? []))
  }
}
