import Host

/// One complaint: what is wrong, why it matters, and what to type.
struct Finding: Equatable {
  enum Severity: Int, Comparable {
    case note, risk, bad
    static func < (a: Severity, b: Severity) -> Bool { a.rawValue < b.rawValue }
    var name: String { ["note", "risk", "bad"][rawValue] }
  }

  var id: FindingID
  var severity: Severity
  var summary: String
  /// Commands, one an element.
  var fix: [String]
  /// `file:line`, an object of the cluster, or a node.
  var place: String?
  var since: Timestamp?

  init(_ id: FindingID, _ severity: Severity, _ summary: String, fix: [String] = [], at place: String? = nil, since: Timestamp? = nil) {
    self.id = id
    self.severity = severity
    self.summary = summary
    self.fix = fix
    self.place = place
    self.since = since
  }

  var why: String { id.why }

  var json: String {
    jsonObject([
      ("id", id.rawValue.jsonQuoted), ("severity", severity.name.jsonQuoted), ("summary", summary.jsonQuoted), ("why", why.jsonQuoted),
      ("fix", jsonArray(fix.map(\.jsonQuoted))), ("where", place?.jsonQuoted), ("since", since?.description.jsonQuoted),
    ])
  }

  /// The same one at another severity, if that is a graver or a lighter one.
  func raised(to severity: Severity) -> Finding { with(max(severity, self.severity)) }
  func lowered(to severity: Severity) -> Finding { with(min(severity, self.severity)) }
  private func with(_ severity: Severity) -> Finding {
    var finding = self
    finding.severity = severity
    return finding
  }

  /// With the node in each command that is typed there, if it is about one of these.
  func located(among others: Set<String>) -> Finding {
    guard let place, others.contains(place) else { return self }
    var finding = self
    finding.fix = fix.map { command in
      let isTheClusters = ["pcs ", "crm", "stonith_admin ", "attrd_updater "].contains(where: command.hasPrefix)
      return isTheClusters || command.contains("    # ") ? command : "\(command)    # on \(place)"
    }
    return finding
  }

  /// Each complaint once: of the same in several places the first.
  static func distinct(_ findings: [Finding]) -> [Finding] {
    findings.reduce(into: []) { all, one in
      if !all.contains(where: { $0.id == one.id && $0.summary == one.summary }) { all.append(one) }
    }
  }

  /// Worst first; otherwise in the order in which they were found.
  static func ordered(_ findings: [Finding]) -> [Finding] {
    [Severity.bad, .risk, .note].flatMap { severity in findings.filter { $0.severity == severity } }
  }
}

/// Members in this order; nil is null.
func jsonObject(_ members: [(String, String?)]) -> String {
  "{" + members.map { "\($0.0.jsonQuoted):\($0.1 ?? "null")" }.joined(separator: ",") + "}"
}

func jsonArray(_ elements: [String]) -> String { "[" + elements.joined(separator: ",") + "]" }

/// What a command found out about the whole, and its exit status.
enum Verdict: Int32 {
  case good, risk, bad, unknown

  var name: String { ["good", "risk", "bad", "unknown"][Int(rawValue)] }
  var shown: String { ["GOOD", "AT RISK", "BAD", "UNKNOWN"][Int(rawValue)] }

  init(_ findings: [Finding]) {
    switch findings.map(\.severity).max() {
    case .bad: self = .bad
    case .risk: self = .risk
    case .note, nil: self = .good
    }
  }
}

extension Verdict {
  /// The verdict and what it is about, wrapped.
  func line(_ text: String) -> String {
    var screen = Screen()
    screen.add(padded(shown, 9) + text, indent: 9)
    return screen.lines.joined(separator: "\n")
  }
}

/// Lines of at most 80 columns, and no more of them than fit a terminal.
struct Screen {
  static let width = 80
  static let height = 24
  private(set) var lines: [String] = []

  /// Wraps `text` at spaces. What follows the first line is indented by `indent`; a word longer than a line is kept whole.
  mutating func add(_ text: String, indent: Int = 0) {
    // Of files' names and other programs' words it shows what can be shown.
    var rest = Substring(text.plain)
    var margin = 0
    while rest.count > Self.width - margin {
      let room = rest.prefix(Self.width - margin + 1)
      // Never within the columns at the start.
      let start = margin == 0 ? min(indent, room.count) : 0
      guard let space = room.dropFirst(start).lastIndex(of: " ") ?? rest.dropFirst(start).firstIndex(of: " ") else { break }
      lines.append(String(repeating: " ", count: margin) + rest[..<space])
      rest = rest[space...].drop { $0 == " " }
      margin = indent
    }
    lines.append(String(repeating: " ", count: margin) + rest)
  }

  /// A command stays in one line, so that it can be copied.
  mutating func add(verbatim line: String) { lines.append(line) }

  /// - Parameter more: what to type to see what is left off.
  func text(more: String) -> String {
    guard lines.count > Self.height else { return lines.joined(separator: "\n") }
    let left = lines.count - Self.height + 1
    return (lines.prefix(Self.height - 1) + ["... \(left) more lines: \(more)"]).joined(separator: "\n")
  }
}
