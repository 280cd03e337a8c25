import ArgumentParser
import Host
import LinuxHost

struct SwitchoverCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "switchover",
    abstract: "Move the service to the other node, and say how long nobody served.",
    discussion: """
      Looks first whether the other node could serve, and does nothing if it could not. Without --yes it only says what it would \
      do. With --yes it moves the service, waits until the other node serves, and takes back the constraint that the move needs; \
      that ends by itself after five minutes if this program is killed. If the other node does not serve in time, the move is \
      taken back.

      Exits with 0 when the other node serves (without --yes: could serve), 1 when it does and is at risk, 2 when it does not, \
      3 when that could not be found out.
      """)

  @Option(help: ArgumentHelp("The node that is to serve. (default: the one that Pacemaker would choose)", valueName: "node"))
  var to: String?
  @Flag(help: "Do it.")
  var yes = false
  @Option(help: "Seconds the other node has until the move is taken back.")
  var limit = 60
  @Flag(help: "One JSON object.")
  var json = false

  func validate() throws {
    guard (5...600).contains(limit) else { throw ValidationError("--limit takes 5 to 600 seconds") }
  }

  func run() throws {
    let host = Host.silent
    let tools = PacemakerTools(host)
    let report: SwitchoverReport
    do throws(SystemError) {
      let switchover = Switchover(tools: tools, limit: .seconds(limit))
      let plan = try switchover.plan(to: to)
      report = yes && plan.verdict != .bad && plan.verdict != .unknown ? try switchover.perform(plan) : plan
    } catch {
      report = SwitchoverReport(verdict: .unknown, words: "the cluster cannot be asked here: \(error)")
    }
    print(json ? report.json : report.text)
    throw ExitCode(report.verdict.rawValue)
  }
}

/// What is to be done, or was.
struct SwitchoverReport {
  var verdict: Verdict
  var words: String
  var from: String?
  var to: String?
  /// What the move is made of; empty when it cannot be made.
  var commands: [String] = []
  var reasons: [Finding] = []
  /// Whether anything was changed.
  var done = false
  /// By the cluster's own account; nil: not measured.
  var outage: Duration?
  /// What the cluster's tools need to move the service.
  var service: String = ""
  var members: [ClusterConfiguration.Primitive] = []

  var text: String {
    var screen = Screen()
    screen.add(padded(verdict.shown, 9) + words, indent: 9)
    for finding in reasons {
      screen.add(padded(finding.id.rawValue, 9) + padded(finding.severity.name, 6) + finding.summary, indent: 15)
      for command in finding.fix { screen.add(verbatim: "               " + command) }
    }
    if !done, !commands.isEmpty {
      for command in commands { screen.add(verbatim: "         " + command) }
      screen.add("To do it: vpnha switchover --to \(to ?? "") --yes")
    }
    return screen.text(more: "vpnha switchover --json")
  }

  var json: String {
    jsonObject([
      ("verdict", verdict.name.jsonQuoted), ("done", "\(done)"), ("from", from?.jsonQuoted), ("to", to?.jsonQuoted), ("summary", words.jsonQuoted),
      ("commands", jsonArray(commands.map(\.jsonQuoted))), ("reasons", jsonArray(reasons.map(\.json))),
      ("outage_ms", outage.map { "\($0.milliseconds)" }),
    ])
  }
}

struct Switchover {
  var tools: PacemakerTools
  var limit: Duration

  private static let pause = Duration.milliseconds(100)
  /// How long the constraint lives if nobody takes it away.
  private static let lifetime: Int64 = 300

  /// What would be done. Bad when the other node could not serve.
  func plan(to wanted: String?) throws(SystemError) -> SwitchoverReport {
    let configuration = try ClusterConfiguration(tools.configuration())
    return SwitchoverReport(to: wanted, try tools.status(), configuration.service)
  }

  /// Moves the service, and watches it arrive.
  func perform(_ plan: SwitchoverReport) throws(SystemError) -> SwitchoverReport {
    guard let from = plan.from, let to = plan.to else { return plan }
    var report = plan
    report.done = true
    let start = tools.clock.now
    try tools.move(plan.service, to: to, isPromoted: plan.members.contains(where: \.isPromotable), lifetime: Self.lifetime)
    let (arrived, outage) = try watch(for: to, plan.members, until: start + limit)
    try tools.clear(plan.service)
    report.outage = outage
    // The constraint's end must not move it back.
    let stayed = arrived ? try watch(for: to, plan.members, until: tools.clock.now + .seconds(30)).arrived : false
    if stayed {
      let status = try tools.status()
      report.reasons = status.reasons
      report.verdict = status.wouldSucceed == true && Verdict(status.findings) == .good ? .good : .risk
      report.words = "\(to) serves; nobody did for \(tenths(outage)), by the cluster's account; \(from) \(status.wouldSucceed == true ? "would take over now" : "would not take over yet")"
      return report
    }
    let back = try watch(for: from, plan.members, until: tools.clock.now + limit).arrived
    report.verdict = .bad
    report.words =
      arrived
      ? "\(to) served and did not keep the service; \(back ? "\(from) serves" : "nobody serves")"
      : "\(to) did not serve within \(limit.milliseconds / 1000) s; the move was taken back, \(back ? "\(from) serves" : "and nobody serves")"
    report.reasons = try tools.status().findings
    return report
  }

  /// Looks until `node` serves in a cluster that has come to rest; with it, how long nobody served.
  private func watch(for node: String, _ members: [ClusterConfiguration.Primitive], until end: Instant) throws(SystemError) -> (arrived: Bool, outage: Duration) {
    var outage = Duration.zero
    var last = tools.clock.now
    repeat {
      let serving = try tools.monitor().serving(members)
      let now = tools.clock.now
      if serving == nil { outage = outage + (now - last) }
      last = now
      if serving == node { return (true, outage) }
      tools.clock.sleep(until: now + Self.pause)
    } while tools.clock.now < end
    return (false, outage)
  }

  private func tenths(_ duration: Duration) -> String { "\(duration.milliseconds / 1000).\(duration.milliseconds % 1000 / 100) s" }
}

extension SwitchoverReport {
  init(to wanted: String?, _ status: ClusterStatus, _ members: [ClusterConfiguration.Primitive]) {
    self.init(verdict: .bad, words: "nobody serves: there is nothing to move", reasons: status.findings)
    guard let from = status.serving, let top = members.first?.top else { return }
    let target = wanted ?? status.successor
    (self.from, to, service, self.members) = (from, target, top, members)
    reasons = status.reasons + status.nodes.filter { $0.name == target }.flatMap(\.risks).filter { risk in !status.reasons.contains(risk) }
    guard let target else {
      words = "\(from) serves, and no other node could"
      return
    }
    guard target != from else {
      (verdict, words, reasons) = (.good, "\(from) serves already", [])
      return
    }
    guard let node = status.nodes.first(where: { $0.name == target }) else {
      words = "there is no node \(target); there are \(status.nodes.map(\.name).joined(separator: ", "))"
      return
    }
    if status.successor == target, let would = status.wouldSucceed {
      guard would else {
        words = "\(target) could not serve; nothing was changed"
        return
      }
    } else if status.wouldSucceed == nil {
      (verdict, words) = (.unknown, "it is not known whether \(target) could serve; nothing was changed")
      return
    } else {
      // With more than two nodes: one that Pacemaker would not choose first.
      guard node.role == "standby", !node.risks.contains(where: { $0.severity == .bad }) else {
        words = "\(target) could not serve: it is \(node.role); nothing was changed"
        return
      }
    }
    verdict = Verdict(reasons) == .good ? .good : .risk
    words = "\(from) serves, and \(target) could; nothing was changed"
    commands = [Preference(resource: top, node: target, isPromoted: members.contains(where: \.isPromotable)).typed, "crm_resource --clear --resource \(top)"]
  }
}

extension PacemakerTools {
  func monitor() throws(SystemError) -> ClusterMonitor {
    try ClusterMonitor(ask("/usr/sbin/crm_mon", ["--one-shot", "--inactive", "--output-as=xml"]))
  }

  /// - Parameter lifetime: seconds after which the constraint ends by itself.
  func move(_ resource: String, to node: String, isPromoted: Bool, lifetime: Int64) throws(SystemError) {
    let end = Timestamp(seconds: clock.timestamp.seconds + lifetime)
    _ = try ask("/usr/sbin/cibadmin", Preference(resource: resource, node: node, isPromoted: isPromoted, end: end).arguments)
  }

  func clear(_ resource: String) throws(SystemError) {
    _ = try ask("/usr/sbin/crm_resource", ["--clear", "--resource", resource])
  }
}
