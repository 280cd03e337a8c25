import Host

/// A status for people and for programs.
struct StatusReport {
  var status: ClusterStatus
  var now: Timestamp
  /// Only this node's row and findings.
  var node: String?

  private var nodes: [ClusterStatus.Node] { status.nodes.filter { node == nil || $0.name == node } }
  private var findings: [Finding] { status.findings.filter { node == nil || $0.place == nil || $0.place == node } }
  private var past: [ClusterStatus.Past] { status.past.filter { node == nil || $0.node == node } }

  private func age(_ moment: Timestamp?) -> String { moment.map { spoken(now.seconds - $0.seconds) } ?? "-" }

  /// The verdict, in one line.
  var brief: String {
    var line = padded(status.verdict.shown, 9)
    guard let serving = status.serving else {
      return line + (findings.first { $0.severity == .bad }?.summary ?? (status.isForgotten ? "who serves is not known here" : "nobody serves"))
    }
    line += "\(serving) serves\(status.since.map { ", for \(spoken(now.seconds - $0.seconds, isRough: true))" } ?? "")"
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
    if !nodes.isEmpty {
      screen.add("")
      screen.add("node         role     path  score  sessions  SAs    flows   looked at    version")
      for node in nodes {
        let path = node.path.map { $0 == "0" ? "LOST" : "up" } ?? "-"
        func shown(_ count: UInt64?) -> String { count.map { "\($0)" } ?? "-" }
        screen.add(
          padded(node.name, 13) + padded(node.role, 9) + padded(path, 6) + padded(node.score.map { "\($0)" } ?? "-", 7)
            + padded(shown(node.sessions), 10) + padded(shown(node.sas), 7) + padded(shown(node.flows), 8)
            + padded(node.looked.map { "\(spoken(now.seconds - $0.seconds, isRough: true)) ago" } ?? "-", 13) + (node.version.flatMap { $0.isEmpty ? nil : $0 } ?? "-"))
      }
    }
    if let serving = nodes.first(where: { $0.name == status.serving }), let carried = serving.ledger {
      for node in nodes { if node.name != serving.name, let known = node.ledger { screen.add("\(node.name) knows \(known) sessions, \(serving.name) carries \(carried) (ledger)") } }
    }
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

  var json: String {
    jsonObject([
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
          nodes.map { node in
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
        "was",
        jsonArray(
          past.map { one in
            jsonObject([
              ("node", one.node.jsonQuoted), ("resource", one.resource.jsonQuoted), ("operation", one.task.jsonQuoted),
              ("reason", one.reason.jsonQuoted), ("since", one.since?.description.jsonQuoted),
            ])
          })
      ),
    ])
  }

  /// When the cluster could not be asked.
  static func unknown(_ why: Finding) -> (brief: String, json: String) {
    (
      padded(Verdict.unknown.shown, 9) + why.summary,
      jsonObject([
        ("verdict", Verdict.unknown.name.jsonQuoted), ("serving", nil), ("since", nil),
        ("failover", jsonObject([("would_succeed", nil), ("to", nil), ("reasons", "[]")])), ("nodes", "{}"), ("findings", jsonArray([why.json])),
        ("was", "[]"),
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
