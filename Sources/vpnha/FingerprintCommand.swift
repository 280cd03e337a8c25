import ArgumentParser
import Glibc
import Host
import JSON
import LinuxHost

struct FingerprintCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fingerprint",
    abstract: "Say whether the nodes have the same files, and the same loaded.",
    discussion: """
      Compares files, charon's connections, the packet filter's table, kernel parameters and versions of packages. Digests are \
      keyed with a secret that the nodes share (/etc/corosync/authkey, or what vpnha key writes), comments do not count, and lines \
      that are a node's own are masked. vpnha-fingerprint.timer gives each node's to the cluster once a minute; without --diff this \
      node is compared with what the others gave.

      Exits with 0 when there is no difference, 1 when there is one, 3 when that could not be found out.
      """)

  @Option(help: ArgumentHelp("With this node, asked by ssh where the cluster has nothing recent of it; or with what --json wrote.", valueName: "node|file"))
  var diff: String?
  @Flag(help: "Give this node's to the cluster; silent, and no failure, where there is no cluster or no key.")
  var publish = false
  @Flag(help: "One JSON object: this node's fingerprint; with --diff the differences.")
  var json = false

  func validate() throws {
    if let diff, diff.isEmpty || diff.hasPrefix("-") { throw ValidationError("--diff takes the name of a node, or a file") }
    if publish, diff != nil || json { throw ValidationError("--publish prints nothing") }
  }

  func run() throws {
    guard geteuid() == 0 else { throw fail(SystemError("taking a fingerprint", .notPermitted, detail: "only root may read the files with the keys")) }
    let host = Host.silent
    if publish { return try share(host) }
    let report: FingerprintReport
    do throws(SystemError) {
      let mine = try FingerprintSource(host: host, configuration: Self.configuration(host)).fingerprint()
      if json, diff == nil { return print(mine.json) }
      let here = Self.name(host)
      var others: [String: Fingerprint] = [:]
      if let diff { others[diff] = try other(diff, host) } else { others = try host.cluster.nodeAttribute(Fingerprint.attribute).compactMapValues { Fingerprint($0) } }
      others[here] = nil
      report = FingerprintReport(here: here, mine: mine, others: others, now: host.clock.timestamp)
    } catch { throw fail(error) }
    print(json ? report.json : report.text)
    throw fail(report.verdict)
  }

  private func share(_ host: Host) throws {
    let tools = ClusterTools(processes: host.processes, files: host.files, clock: host.clock)
    do throws(SystemError) {
      guard try tools.isPacemakerHere() else { return }
      let print: Fingerprint
      do throws(SystemError) { print = try FingerprintSource(host: host, configuration: Self.configuration(host)).fingerprint() } catch {
        // doctor says so.
        if error.errno == .noSuchFile { return }
        throw error
      }
      guard let text = print.text else { throw SystemError("giving the fingerprint to the cluster", .tooLarge) }
      try host.cluster.share(text, as: Fingerprint.attribute, on: nil)
    } catch { throw fail(error) }
  }

  /// As the cluster calls it, where there is one.
  private static func name(_ host: Host) -> String {
    do throws(SystemError) { return try PacemakerTools(host).nodeName() } catch { return hostName() }
  }

  static func configuration(_ host: Host) -> ClusterConfiguration? {
    do throws(SystemError) { return try ClusterConfiguration(PacemakerTools(host).configuration()) } catch { return nil }
  }

  private func other(_ name: String, _ host: Host) throws(SystemError) -> Fingerprint {
    if name.contains("/") || !name.allSatisfy({ $0.isLetter || $0.isNumber || "-._".contains($0) }) || access(name, F_OK) == 0 {
      guard let bytes = try host.files.read(name, limit: 1 << 20) else { throw SystemError("reading \(name)", .noSuchFile) }
      guard let found = JSONValue(bytes).flatMap({ Fingerprint($0) }) else { throw SystemError("reading \(name)", .badMessage, detail: "it is not what vpnha fingerprint --json wrote") }
      return found
    }
    do throws(SystemError) {
      if let told = try host.cluster.nodeAttribute(Fingerprint.attribute)[name].flatMap({ Fingerprint($0) }), host.clock.timestamp.seconds - told.at.seconds <= Looks.limit { return told }
    } catch {
      // Without a cluster the node may still answer.
    }
    let result = try host.processes.run(.onNode(name, "vpnha fingerprint --json", outputLimit: 1 << 20), before: host.clock.now + .seconds(20))
    guard result.succeeded, let found = JSONValue(result.output).flatMap({ Fingerprint($0) }) else {
      throw SystemError("asking \(name)", .io, detail: result.lastWords ?? "it gave no answer")
    }
    return found
  }

  private func fail(_ error: SystemError) -> ExitCode {
    print(json ? jsonObject([("verdict", Verdict.unknown.name.jsonQuoted), ("error", "\(error)".jsonQuoted)]) : Verdict.unknown.line("\(error)"))
    return fail(.unknown)
  }
  private func fail(_ verdict: Verdict) -> ExitCode { ExitCode(verdict.rawValue) }
}

/// This node and others.
struct FingerprintReport {
  var here: String
  var mine: Fingerprint
  var others: [String: Fingerprint]
  var now: Timestamp

  var findings: [Finding] { others.sorted { $0.key < $1.key }.flatMap { Drift.findings(here, mine, $0.key, $0.value, isWhole: true) } }
  var verdict: Verdict { others.isEmpty ? .unknown : Verdict(findings) }

  var text: String {
    var screen = Screen()
    let with = others.sorted { $0.key < $1.key }.map { "\($0.key) (\(spoken(now.seconds - $0.value.at.seconds)) ago)" }.joined(separator: ", ")
    let missing = Fingerprint.Kind.allCases.filter { kind in !mine.kinds.contains(kind) || others.contains { !$0.value.kinds.contains(kind) } }
    let summary =
      others.isEmpty
      ? "the cluster has no fingerprint of another node: vpnha fingerprint --diff NODE"
      : findings.isEmpty ? "\(here) has the same as \(with): \(mine.entries.count) things" : "\(here) and \(with): \(findings.count) of \(mine.entries.count) things differ"
    screen.add(padded(verdict.shown, 9) + summary + (others.isEmpty || missing.isEmpty ? "" : "; not compared: \(missing.map(\.rawValue).joined(separator: ", "))"), indent: 9)
    for finding in findings { screen.add(finding, now: now) }
    return screen.text(more: "vpnha fingerprint --diff NODE --json")
  }

  var json: String {
    jsonObject([
      ("verdict", verdict.name.jsonQuoted), ("node", here.jsonQuoted), ("with", jsonObject(others.sorted { $0.key < $1.key }.map { ($0.key, $0.value.at.description.jsonQuoted) })),
      ("differences", jsonArray(findings.map(\.json))),
    ])
  }
}
