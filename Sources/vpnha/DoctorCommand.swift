import ArgumentParser
import Glibc
import Host
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

  private var skipped: [FindingID] { (skip ?? "").split(separator: ",").compactMap { FindingID(rawValue: $0.trimmed.uppercased()) } }

  func validate() throws {
    for word in (skip ?? "").split(separator: ",") where FindingID(rawValue: word.trimmed.uppercased()) == nil {
      throw ValidationError("there is no \(word.trimmed); vpnha explain lists the IDs")
    }
    if let only, !FindingID.allCases.contains(where: { $0.rawValue.hasPrefix(only.uppercased()) }) { throw ValidationError("there is no \(only); vpnha explain lists the IDs") }
  }

  func run() throws {
    guard geteuid() == 0 else {
      throw SystemError("looking", .notPermitted, detail: "only root may read the files with the keys").asExit(json: json)
    }
    let host = Host.silent
    let checkup: Checkup
    do throws(SystemError) {
      checkup = try Checkup(host).with(skipped: skipped, only: only?.uppercased())
    } catch { throw error.asExit(json: json) }
    print(json ? checkup.json : fixes ? checkup.fixes : checkup.text(notes: notes || only != nil))
    throw ExitCode(checkup.verdict.rawValue)
  }
}

extension SystemError {
  fileprivate func asExit(json: Bool) -> ExitCode {
    print(json ? jsonObject([("verdict", Verdict.unknown.name.jsonQuoted), ("findings", "[]"), ("error", "\(self)".jsonQuoted)]) : padded(Verdict.unknown.shown, 9) + "\(self)")
    return ExitCode(Verdict.unknown.rawValue)
  }
}

/// What doctor found.
struct Checkup {
  var findings: [Finding]
  var skipped: [FindingID] = []

  init(_ findings: [Finding]) { self.findings = Finding.ordered(findings) }

  init(_ host: Host) throws(SystemError) {
    var found: [Finding] = []
    let configuration = try Self.configuration(host, &found)
    let votes = try host.files.read(CorosyncConfiguration.path, limit: 1 << 20).map { CorosyncConfiguration(String(decoding: $0, as: UTF8.self)) }
    if let configuration { found += ClusterChecks(configuration: configuration, votes: votes).findings() }
    let running = configuration == nil ? nil : PacemakerTools(host).running()
    found += try NodeChecks(files: host.files, processes: host.processes, clock: host.clock, configuration: configuration, running: running).findings()
    self.init(found)
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

  var verdict: Verdict { Verdict(findings) }

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
    return screen.text(more: "vpnha doctor --json, or --only ID")
  }

  /// Commands; what a person has to fill in is a comment.
  var fixes: String {
    findings.flatMap { finding in
      ["# \(finding.id.rawValue): \(finding.summary)"] + finding.fix.map { needsThought($0) ? "# \($0)" : $0 }
    }.joined(separator: "\n")
  }

  private func needsThought(_ command: String) -> Bool {
    command.contains("…") || command.hasPrefix("editor ") || command.split(separator: " ").contains { ["AGENT", "NODE", "HOST"].contains($0) || $0.contains("=HOST") || $0.contains("NODE=") || $0.contains("=NIC") || $0.contains("=ADDRESS") }
  }

  var json: String {
    jsonObject([
      ("verdict", verdict.name.jsonQuoted), ("findings", jsonArray(findings.map(\.json))), ("skipped", jsonArray(skipped.map(\.rawValue.jsonQuoted))),
    ])
  }
}
