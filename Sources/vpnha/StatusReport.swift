import Host

/// A status for people and for programs.
struct StatusReport {
  /// The worst one decides.
  var status: ClusterStatus
  /// Of each address, where there are several.
  private var all: [ClusterStatus]
  var now: Timestamp
  /// Only this node's row and findings.
  var node: String?

  init(_ all: [ClusterStatus], now: Timestamp, node: String? = nil) {
    (status, self.all, self.now, self.node) = (ClusterStatus.worst(all), all, now, node)
  }

  init(status: ClusterStatus, now: Timestamp, node: String? = nil) { self.init([status], now: now, node: node) }

  private func nodes(_ status: ClusterStatus) -> [ClusterStatus.Node] { status.nodes.filter { node == nil || $0.name == node } }
  private func fencing(_ status: ClusterStatus) -> [ClusterStatus.Tested] { status.fencing.filter { node == nil || $0.node == node } }
  private var findings: [Finding] {
    Finding.ordered(Finding.distinct(all.flatMap(\.findings))).filter { node == nil || $0.place == nil || $0.place == node }
  }
  private var past: [ClusterStatus.Past] { status.past.filter { node == nil || $0.node == node } }
  private func named(_ status: ClusterStatus) -> String { all.count > 1 ? "\(status.address ?? status.top): " : "" }

  private func age(_ moment: Timestamp?) -> String { moment.map { spoken(now.seconds - $0.seconds) } ?? "-" }

  /// The verdict, in one line.
  var brief: String { padded(status.verdict.shown, 9) + words(status) }

  private func words(_ status: ClusterStatus) -> String {
    var line = named(status)
    guard let serving = status.serving else {
      return line + (status.findings.first { $0.severity == .bad && (node == nil || $0.place == nil || $0.place == node) }?.summary ?? (status.isForgotten ? "who serves is not known here" : "nobody serves"))
    }
    line += "\(serving) \(status.isShared ? "directs" : "serves")\(status.since.map { ", for \(spoken(now.seconds - $0.seconds, isRough: true))" } ?? "")"
    if status.isShared {
      let gateways = status.nodes.filter { ["serves", "directs"].contains($0.role) }.map(\.name)
      line += "; \(gateways.joined(separator: " and ")) \(gateways.count == 1 ? "serves" : "serve")"
    }
    let other = status.successor ?? status.nodes.first { $0.name != serving }?.name ?? "another node"
    switch status.wouldSucceed {
    case true: return line + "; \(other) would take over now"
    case false: return line + "; \(other) would NOT take over"
    case nil: return line + "; whether \(other) would take over is not known"
    }
  }

  var text: String {
    var screen = Screen()
    screen.add(brief, indent: 9)
    for other in all where other.top != status.top { screen.add("         " + words(other), indent: 9) }
    for status in all where !nodes(status).isEmpty {
      screen.add("")
      if all.count > 1 { screen.add(status.address ?? status.top) }
      screen.add("node         role     path  score  sessions  SAs    flows   looked at    version")
      for node in nodes(status) {
        let path = node.path.map { $0 == "0" ? "LOST" : "up" } ?? "-"
        func shown(_ count: UInt64?) -> String { count.map { "\($0)" } ?? "-" }
        screen.add(
          padded(node.name, 13) + padded(node.role, 9) + padded(path, 6) + padded(node.score.map { "\($0)" } ?? "-", 7)
            + padded(shown(node.sessions), 10) + padded(shown(node.sas), 7) + padded(shown(node.flows), 8)
            + padded(node.looked.map { "\(spoken(now.seconds - $0.seconds, isRough: true)) ago" } ?? "-", 13) + (node.version.flatMap { $0.isEmpty ? nil : $0 } ?? "-"))
      }
    }
    if let serving = nodes(status).first(where: { $0.name == status.serving }), let carried = serving.ledger {
      for node in nodes(status) { if node.name != serving.name, let known = node.ledger { screen.add("\(node.name) knows \(known) sessions, \(serving.name) carries \(carried) (ledger)") } }
    }
    let tested = fencing(status)
    if !tested.isEmpty { screen.add("fencing tested: " + tested.map(shown).joined(separator: "; "), indent: 16) }
    if !findings.isEmpty { screen.add("") }
    for finding in findings { screen.add(finding, now: now) }
    if !past.isEmpty { screen.add("") }
    for one in past {
      screen.add(
        "was  \(one.node): \(one.resource) \(one.task) failed \(one.since.map { "\($0) (\(age($0)) ago)" } ?? "")\(one.reason.isEmpty ? "" : ": \(one.reason)") (over; forgotten by: pcs resource cleanup \(one.resource))",
        indent: 5)
    }
    return screen.text(more: "vpnha status --json")
  }

  private func shown(_ tested: ClusterStatus.Tested) -> String {
    guard let last = tested.last else { return "\(tested.node): none remembered" }
    return "\(tested.node) \(age(last.ended)) ago, \(last.action)\(last.result == "success" ? "" : " " + last.result.uppercased())"
  }

  var json: String {
    jsonObject(
      [
        ("verdict", status.verdict.name.jsonQuoted), ("serving", status.serving?.jsonQuoted), ("since", status.since?.description.jsonQuoted),
        (
          "failover",
          jsonObject([
            ("would_succeed", status.wouldSucceed.map { "\($0)" }), ("to", status.successor?.jsonQuoted),
            ("reasons", jsonArray(status.reasons.map(\.json))),
          ])
        ),
        (
          "nodes",
          jsonObject(
            nodes(status).map { node in
              (
                node.name,
                jsonObject([
                  ("role", node.role.jsonQuoted), ("path", node.path.map { $0 == "0" ? "\"down\"" : "\"up\"" }), ("sessions", node.sessions.map { "\($0)" }), ("sas", node.sas.map { "\($0)" }),
                  ("flows", node.flows.map { "\($0)" }), ("ledger", node.ledger.map { "\($0)" }), ("version", node.version.flatMap { $0.isEmpty ? nil : $0.jsonQuoted }), ("looked", node.looked?.description.jsonQuoted), ("score", node.score.map { "\($0)" }), ("risks", jsonArray(node.risks.map(\.json))),
                  ("barred_until", node.barredUntil?.description.jsonQuoted),
                ])
              )
            })
        ),
        ("findings", jsonArray(findings.map(\.json))),
        (
          "fencing",
          jsonArray(
            fencing(status).map { one in
              jsonObject([
                ("node", one.node.jsonQuoted), ("tested", one.last?.ended?.description.jsonQuoted), ("action", one.last?.action.jsonQuoted), ("result", one.last?.result.jsonQuoted),
              ])
            })
        ),
        (
          "was",
          jsonArray(
            past.map { one in
              jsonObject([
                ("node", one.node.jsonQuoted), ("resource", one.resource.jsonQuoted), ("operation", one.task.jsonQuoted),
                ("reason", one.reason.jsonQuoted), ("since", one.since?.description.jsonQuoted),
              ])
            })
        ),
      ] + (all.count > 1 ? [("addresses", jsonArray(all.map(address)))] : []))
  }

  private func address(_ status: ClusterStatus) -> String {
    jsonObject([
      ("address", status.address?.jsonQuoted), ("verdict", status.verdict.name.jsonQuoted), ("serving", status.serving?.jsonQuoted), ("since", status.since?.description.jsonQuoted),
      ("would_succeed", status.wouldSucceed.map { "\($0)" }), ("to", status.successor?.jsonQuoted), ("findings", jsonArray(status.findings.map(\.json))),
    ])
  }

  /// When the cluster could not be asked.
  static func unknown(_ why: Finding) -> (brief: String, json: String) {
    (
      Verdict.unknown.line(why.summary),
      jsonObject([
        ("verdict", Verdict.unknown.name.jsonQuoted), ("serving", nil), ("since", nil),
        ("failover", jsonObject([("would_succeed", nil), ("to", nil), ("reasons", "[]")])), ("nodes", "{}"), ("findings", jsonArray([why.json])),
        ("fencing", "[]"), ("was", "[]"),
      ])
    )
  }
}

extension Screen {
  /// `PSK1  bad   what …   since …`, and the commands below it.
  mutating func add(_ finding: Finding, now: Timestamp) {
    let since = finding.since.map { " (since \($0), \(spoken(now.seconds - $0.seconds)))" } ?? ""
    add(padded(finding.id.rawValue, 9) + padded(finding.severity.name, 6) + finding.summary + since, indent: 15)
    for command in finding.fix { add(verbatim: "               " + command) }
  }
}

func padded(_ text: String, _ width: Int) -> String { text + String(repeating: " ", count: max(1, width - text.count)) }
