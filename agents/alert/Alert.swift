/// What Pacemaker tells an alert agent: `CRM_alert_*` (Pacemaker Administration, "Writing an Alert Agent").
///
/// Every value is somebody else's: cut to a length, never part of a command line that is interpreted, and escaped where it
/// is shown.
struct Alert: Equatable {
  /// By the name without `CRM_alert_`, such as `node` or `rsc`.
  private(set) var values: [String: String] = [:]
  /// What Pacemaker does not tell: looked up.
  var exitReason: String?

  static let names = [
    "kind", "node", "nodeid", "desc", "task", "rsc", "rc", "target_rc", "status", "interval", "exec_time", "attribute_name",
    "attribute_value", "timestamp", "timestamp_epoch", "timestamp_usec", "node_sequence", "version",
  ]
  /// Bytes kept of one value.
  static let limit = 4096

  /// What `--test` sends.
  init(testFrom node: String) { values = ["kind": "test", "node": node, "desc": "a test of vpnha-alert, nothing is wrong"] }

  init(environment: [String: String]) {
    for name in Self.names {
      guard let value = environment["CRM_alert_\(name)"], !value.isEmpty else { continue }
      values[name] = cut(value)
    }
  }

  /// The same with less of every value.
  func shortened(to limit: Int) -> Alert {
    var short = self
    short.values = values.mapValues { cut($0, to: limit) }
    short.exitReason = exitReason.map { cut($0, to: limit) }
    return short
  }

  subscript(name: String) -> String { values[name] ?? "" }
  func number(_ name: String) -> Int? { values[name].flatMap { Int($0) } }

  var isResource: Bool { self["kind"] == "resource" }
  /// A recurring monitor that was called off is reported as an operation that ended, and is none. Pacemaker's own attributes
  /// follow what it reports of resources.
  var isNoise: Bool {
    isResource && self["status"] == "1"
      || self["kind"] == "attribute" && ["master-", "fail-count-", "last-failure-", "#"].contains { self["attribute_name"].hasPrefix($0) }
  }
  /// Whether something ended otherwise than it should have.
  var isFailure: Bool {
    switch self["kind"] {
    case "resource": self["rc"] != self["target_rc"] || (number("status") ?? 0) > 1
    case "fencing": self["rc"] != "0"
    case "node": self["desc"] == "lost"
    case "attribute": risk?.text.isEmpty == false
    default: false
    }
  }

  /// What an agent says by the attribute `vpnha-risk-RESOURCE`: `SINCE REASON`, nothing when the risk is over. Nil for anything else.
  var risk: (resource: String, text: String)? {
    let prefix = "vpnha-risk-"
    guard self["kind"] == "attribute", self["attribute_name"].hasPrefix(prefix) else { return nil }
    // A value that was deleted is not there, or the word that Pacemaker has for it.
    let text = self["attribute_value"]
    return (String(self["attribute_name"].dropFirst(prefix.count)), text == "(null)" ? "" : text)
  }

  /// The resource that it is about.
  var resource: String? { isResource ? self["rsc"] : risk?.resource }

  /// One line for people.
  var summary: String {
    let text: String
    switch self["kind"] {
    case "resource":
      let reason = exitReason.map { ": \($0)" } ?? ""
      text = "\(self["task"]) of \(self["rsc"]) on \(self["node"]): \(self["desc"]) (rc \(self["rc"]))\(reason)"
    case "node": text = "node \(self["node"]) is \(self["desc"])"
    case "fencing": text = "fencing of \(self["node"]): \(self["desc"]) (rc \(self["rc"]))"
    case "attribute" where risk != nil:
      let (resource, words) = risk ?? ("", "")
      let parts = words.split(separator: " ", maxSplits: 1)
      text =
        "\(self["node"]): \(resource) "
        + (parts.count == 2 ? "is at risk since \(parts[0]): \(parts[1])" : words.isEmpty ? "is no longer at risk" : "is at risk: \(words)")
    case "attribute": text = "\(self["attribute_name"]) of \(self["node"]) is \(self["attribute_value"])"
    case "test": text = "\(self["node"]): \(self["desc"])"
    default: text = "\(self["kind"]) on \(self["node"]): \(self["desc"])"
    }
    return String(decoding: text.utf8.map { $0 < 32 || $0 == 127 ? 32 : $0 }, as: UTF8.self)
  }

  /// Fields of a journal entry, binary-safe: a value with newlines stays one value.
  var journalFields: [(String, String)] {
    let reason = exitReason.map { [("VPNHA_ALERT_EXIT_REASON", $0)] } ?? []
    return [
      ("MESSAGE", summary), ("PRIORITY", isFailure ? "4" : "6"), ("SYSLOG_IDENTIFIER", "vpnha-alert"), ("SYSLOG_FACILITY", "3"),
    ] + values.sorted { $0.key < $1.key }.map { ("VPNHA_ALERT_\($0.key.uppercased())", $0.value) } + reason
  }

  /// One JSON object (RFC 8259): numbers where Pacemaker promises numbers, else strings; `failure` and `summary` besides.
  var json: String {
    let numeric: Set = ["rc", "target_rc", "status", "interval", "exec_time", "timestamp_epoch", "timestamp_usec", "node_sequence"]
    var members = values.sorted { $0.key < $1.key }.map { name, value in
      let number = numeric.contains(name) ? Int(value) : nil
      return "\(name.jsonQuoted):\(number.map { String($0) } ?? value.jsonQuoted)"
    }
    if let exitReason { members.append("\"exit_reason\":\(exitReason.jsonQuoted)") }
    members += ["\"failure\":\(isFailure)", "\"summary\":\(summary.jsonQuoted)"]
    return "{\(members.joined(separator: ","))}"
  }
}

/// At most so many bytes; a character that the cut divides becomes U+FFFD.
func cut(_ text: String, to limit: Int = Alert.limit) -> String {
  text.utf8.count <= limit ? text : String(decoding: text.utf8.prefix(limit), as: UTF8.self)
}
