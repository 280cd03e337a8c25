import ArgumentParser
import Glibc
import Host
import LinuxHost

struct ReportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "report",
    abstract: "Write a bundle for somebody who helps: what vpnha says, configurations, logs, with secrets masked.",
    discussion: """
      A tar archive with mode 0600; a file that is there is not replaced. Passwords and keys are masked, names of users and addresses \
      are not: look at it before you send it. Exits with 0 when it was written, 1 when something is missing in it, 3 when it was not.
      """)

  @Argument(help: ArgumentHelp("The file. (default: vpnha-report-NODE-TIME.tar.gz, here)", valueName: "file"))
  var file: String?
  @Option(parsing: .unconditional, help: ArgumentHelp("The journal from then on, as journalctl reads it.", valueName: "time"))
  var since = "-1d"
  @Flag(help: "One JSON object: file, bytes, missing.")
  var json = false

  func run() throws {
    let host = Host.silent
    let node = hostName()
    let stamp = host.clock.timestamp.description.filter { $0 != ":" && $0 != "-" }
    let path = file ?? "vpnha-report-\(node)-\(stamp).tar.gz"
    var bundle = SupportBundle(host: host, tools: PacemakerTools(host), since: since)
    let bytes: Int
    do throws(SystemError) {
      guard geteuid() == 0 else { throw SystemError("writing \(path)", .notPermitted, detail: "only root may read what belongs into it") }
      // Said now, and not after all the work.
      if try host.files.status(path) != nil { throw SystemError("writing \(path)", .exists) }
      bundle.collect()
      bytes = try bundle.write(path, node: node)
    } catch {
      print(json ? jsonObject([("verdict", Verdict.unknown.name.jsonQuoted), ("error", "\(error)".jsonQuoted)]) : Verdict.unknown.line("\(error)"))
      throw ExitCode(Verdict.unknown.rawValue)
    }
    let verdict: Verdict = bundle.missing.isEmpty ? .good : .risk
    if json {
      let missing = bundle.missing.map { jsonObject([("name", $0.name.jsonQuoted), ("why", $0.why.jsonQuoted)]) }
      print(jsonObject([("verdict", verdict.name.jsonQuoted), ("file", path.jsonQuoted), ("bytes", "\(bytes)"), ("missing", jsonArray(missing))]))
    } else {
      var screen = Screen()
      screen.add(padded(verdict.shown, 9) + "\(path), \(size(UInt64(bytes)))B, \(bundle.parts.count) files; secrets are masked, names and addresses are not", indent: 9)
      for one in bundle.missing { screen.add("missing  \(one.name): \(one.why)".plain, indent: 9) }
      print(screen.text(more: "missing.txt in it"))
    }
    throw ExitCode(verdict.rawValue)
  }
}
