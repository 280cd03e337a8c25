import Host

/// What a receiver takes: the recipient's option `format`.
enum Format: String, CaseIterable {
  /// One object with everything that Pacemaker tells.
  case json
  /// An incoming webhook: https://api.slack.com/messaging/webhooks. Mattermost and Rocket.Chat take the same.
  case slack
  /// `POST /api/v2/alerts`: https://prometheus.io/docs/alerting/latest/alerts_api/
  case alertmanager
  /// Events API v2: https://developer.pagerduty.com/docs/events-api-v2/trigger-events/
  case pagerduty

  /// The body of the POST; nil where the receiver keeps incidents, and the alert neither begins nor ends one.
  ///
  /// - Parameter key: PagerDuty's integration key.
  func body(of alert: Alert, _ turn: Alert.Turn, at now: Timestamp, key: String = "") -> String? {
    switch self {
    case .json: alert.json
    case .slack: object([("text", Self.slackText(alert.summary).jsonQuoted)])
    case .alertmanager: turn == .neither ? nil : "[\(alertmanager(alert, turn, alert.moment ?? now))]"
    case .pagerduty: turn == .neither ? nil : pagerduty(alert, turn, alert.moment ?? now, key)
    }
  }

  private func alertmanager(_ alert: Alert, _ turn: Alert.Turn, _ moment: Timestamp) -> String {
    let subject = [("resource", alert.resource ?? ""), ("attribute", alert["attribute_name"])].filter { !$0.1.isEmpty }
    // What ends an alert is recognised by its labels, so all of them are the same at both ends.
    let labels = [("alertname", "vpnha"), ("kind", alert["kind"]), ("node", alert["node"]), ("severity", alert.severity)] + subject
    let reason = alert.exitReason.map { [("description", $0)] } ?? []
    // Without an end Alertmanager takes it for over after five minutes: nothing repeats it.
    let end = turn == .ends ? moment : Timestamp(seconds: moment.seconds + 86_400)
    return object([
      ("labels", object(labels.map { ($0, $1.jsonQuoted) })),
      ("annotations", object(([("summary", alert.summary)] + reason).map { ($0, $1.jsonQuoted) })),
      ("startsAt", "\(moment)".jsonQuoted), ("endsAt", "\(end)".jsonQuoted),
    ])
  }

  private func pagerduty(_ alert: Alert, _ turn: Alert.Turn, _ moment: Timestamp, _ key: String) -> String {
    let event = [
      ("routing_key", key.jsonQuoted), ("event_action", (turn == .ends ? "resolve" : "trigger").jsonQuoted),
      ("dedup_key", cut("vpnha \(alert.subject)", to: 250).jsonQuoted),
    ]
    guard turn == .begins else { return object(event) }
    let component = alert.resource.map { [("component", $0.jsonQuoted)] } ?? []
    return object(
      event + [
        ("client", "vpnha".jsonQuoted),
        (
          "payload",
          object(
            [
              ("summary", cut(alert.summary, to: 1000).jsonQuoted), ("source", (alert["node"].isEmpty ? "vpnha" : alert["node"]).jsonQuoted),
              ("severity", alert.severity.jsonQuoted), ("timestamp", "\(moment)".jsonQuoted),
            ] + component + [("custom_details", alert.json)])
        ),
      ])
  }

  /// Slack's three control characters.
  private static func slackText(_ text: String) -> String {
    var escaped = ""
    for character in text.unicodeScalars {
      switch character {
      case "&": escaped += "&amp;"
      case "<": escaped += "&lt;"
      case ">": escaped += "&gt;"
      default: escaped.unicodeScalars.append(character)
      }
    }
    return escaped
  }
}

/// Members whose values are JSON already.
private func object(_ members: [(String, String)]) -> String {
  "{\(members.map { "\($0.jsonQuoted):\($1)" }.joined(separator: ","))}"
}

extension Alert {
  /// What an alert means to a receiver that keeps incidents.
  enum Turn { case begins, ends, neither }

  var turn: Turn {
    if isFailure { return .begins }
    switch self["kind"] {
    // A stop that succeeds ends no trouble.
    case "resource": return ["start", "promote", "monitor"].contains(self["task"]) ? .ends : .neither
    case "node", "fencing": return .ends
    case "attribute": return risk == nil ? .neither : .ends
    default: return .neither
    }
  }

  /// What an incident is about, the same when it begins and when it ends.
  var subject: String {
    switch self["kind"] {
    case "resource": "\(self["rsc"]) on \(self["node"])"
    case "attribute": "\(self["attribute_name"]) of \(self["node"])"
    default: "\(self["kind"]) \(self["node"])"
    }
  }

  /// A risk waits till morning.
  var severity: String { risk == nil && self["kind"] != "test" ? "critical" : "warning" }

  /// When it happened, if Pacemaker says a time that a calendar has.
  var moment: Timestamp? {
    number("timestamp_epoch").flatMap { (1...253_402_214_400).contains($0) ? Timestamp(seconds: Int64($0)) : nil }
  }
}
