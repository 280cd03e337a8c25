import ArgumentParser
import Glibc
import Host
import LinuxHost

struct DrillCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "drill",
    abstract: "Rehearse a failover, and measure it.",
    discussion: """
      switchover: a planned move. node NODE: the cluster fences it. daemon charon|pluto|xl2tpd|conntrackd: killed on the serving node, \
      which is this one. uplink: what the probe asks is out of this node's reach for up to a minute. Without --go it only says \
      whether it could be done, and what would be. Exit status as for switchover.
      """)

  @Argument(help: "switchover, node, daemon or uplink.", completion: .list(["switchover", "node", "daemon", "uplink"]))
  var event: String
  @Argument(help: "The node, or the daemon.", completion: .shellCommand("crm_node -l 2>/dev/null | cut -d' ' -f2; echo charon; echo pluto; echo xl2tpd; echo conntrackd"))
  var what: String?
  @Option(help: ArgumentHelp("Of several addresses of the cluster, the one that is measured.", valueName: "address"))
  var address: String?
  @Flag(help: "Do it.")
  var go = false
  @Option(help: ArgumentHelp("What \"ping -D -i 0.2\" writes on a client meanwhile.", valueName: "file"))
  var client: String?
  @Option(help: ArgumentHelp("Seconds without service that are too many.", valueName: "seconds"))
  var maxOutage = 15
  @Option(help: ArgumentHelp("Write a report in Markdown.", valueName: "file"))
  var report: String?
  @Flag(help: "One JSON object.")
  var json = false

  func validate() throws {
    guard (1...600).contains(maxOutage) else { throw ValidationError("--max-outage: 1 to 600 seconds") }
    if let address, IPAddress(address) == nil { throw ValidationError("--address: expected an IP address, got \"\(address)\"") }
    switch event {
    case "switchover": break
    case "uplink": if what != nil { throw ValidationError("uplink is this node's") }
    case "node": if what == nil { throw ValidationError("which node?") }
    case "daemon":
      guard let what, Rehearsal.daemons[what] != nil else { throw ValidationError("which daemon? \(Rehearsal.daemons.keys.sorted().joined(separator: ", "))") }
    default: throw ValidationError("there is no drill \(event): switchover, node, daemon, uplink")
    }
  }

  func run() throws {
    try Rehearsal.carryOut(
      on: Host.silent, title: (["drill", event] + [what].compactMap { $0 }).joined(separator: " "), limit: maxOutage, isWanted: go, json: json, confirmation: "--go", client: client,
      reportFile: report, address: address
    ) { status in
      switch event {
      case "switchover": .switchover(to: what, status)
      case "node": .node(what ?? "")
      case "daemon": .daemon(what ?? "")
      default: .uplink
      }
    }
  }
}

extension Rehearsal {
  /// Looks, asks for a word if that is missing, does it, and exits with the verdict.
  static func carryOut(
    on host: Host, title: String, limit: Int, drain: Duration? = nil, isWanted: Bool, json: Bool, confirmation: String, client: String?, reportFile: String?, address: String? = nil,
    event: (ClusterStatus) -> Event
  ) throws {
    var verdict = Verdict.unknown
    do throws(SystemError) {
      let tools = PacemakerTools(host)
      let configuration = try ClusterConfiguration(tools.configuration()).looking(at: address)
      let status = try tools.status(of: configuration.top)
      let here = try tools.nodeName()
      let rehearsal = Rehearsal(
        event: event(status), here: here, status: status, configuration: configuration, limit: .seconds(limit), drain: drain)
      var report = RehearsalReport(title: title, rehearsal: rehearsal, conditions: rehearsal.conditions, began: host.clock.timestamp)
      if isWanted, geteuid() != 0 { report.conditions.append(Condition(isMet: false, what: "this needs root")) }
      if isWanted, report.isReady, !rehearsal.isNeedless {
        report.began = host.clock.timestamp
        report.outcome = try RehearsalRun(rehearsal: rehearsal, host: host, tools: tools).outcome()
        if let client {
          if let log = try ClientLog.settled(client, on: host, within: .seconds(max(30, limit))) {
            report.client = log.outage(since: report.began)
            if report.client == nil { report.remarks.append("\(client) has no answers from before and after: it says nothing about this") }
          } else {
            report.remarks.append("\(client) has no more answers: that client is not back yet")
          }
        }
      }
      // A new file takes the place of what is there, which must be nothing but an older one.
      if let reportFile, let there = try host.files.status(reportFile), there.kind != .regular { throw SystemError("writing \(reportFile)", .exists, detail: "it is no regular file") }
      if let reportFile { try host.files.replace(reportFile, with: Array(report.markdown.utf8), mode: 0o644) }
      verdict = report.verdict
      print(json ? report.json : report.text(confirmation))
    } catch {
      print(json ? jsonObject([("verdict", verdict.name.jsonQuoted), ("error", "\(error)".jsonQuoted)]) : verdict.line("\(error)"))
    }
    throw ExitCode(verdict.rawValue)
  }
}
