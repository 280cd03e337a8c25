import Host
import JSON
import Sessions

/// A session as it is shown, of this node or as another node said it.
struct SessionRow: Equatable {
  var user: String?
  var inner: String?
  var outer: String?
  var since: String?
  var received: UInt64?
  var sent: UInt64?
  var node: String
  /// Whether it began on another node; nil: not known.
  var carried: Bool?
  var interface: String?
  var outerPort: UInt64?
  var tunnel: UInt64?
  var session: UInt64?
  var peerTunnel: UInt64?
  var peerSession: UInt64?
  /// Nil: no pppd carries it, as one that was taken over.
  var pid: UInt64?
  var isOrphan = false

  init(_ session: Session, on node: String, carried: Bool?) {
    user = session.user
    inner = session.inner?.description
    outer = session.outer?.description
    since = session.since.description
    (received, sent, self.node, self.carried, interface) = (session.received, session.sent, node, carried, session.interface)
    if let kernel = session.kernel {
      (outerPort, tunnel, self.session) = (UInt64(kernel.port), UInt64(kernel.tunnel), UInt64(kernel.session))
      (peerTunnel, peerSession) = (UInt64(kernel.peerTunnel), UInt64(kernel.peerSession))
    }
    pid = UInt64(exactly: session.pid)
    isOrphan = session.isOrphan
  }

  /// One that only the ledger knows.
  init(_ line: CarriedSessions.Line, on node: String) {
    (user, inner, outer, since) = (line.user, line.inner?.description, line.outer?.description, line.since?.description)
    (self.node, carried, tunnel, session) = (node, line.isCarried, UInt64(line.tunnel), UInt64(line.session))
  }

  /// As `json` wrote it; nil when it is something else.
  init?(_ value: JSONValue) {
    guard let node = value["node"]?.string else { return nil }
    self.node = node
    (user, inner, outer, since) = (value["user"]?.string, value["inner"]?.string, value["outer"]?.string, value["since"]?.string)
    (received, sent, carried, interface) = (value["received"]?.integer, value["sent"]?.integer, value["carried"]?.bool, value["interface"]?.string)
    (outerPort, tunnel, session) = (value["outer_port"]?.integer, value["tunnel"]?.integer, value["session"]?.integer)
    (peerTunnel, peerSession, pid) = (value["peer_tunnel"]?.integer, value["peer_session"]?.integer, value["pid"]?.integer)
    isOrphan = value["orphan"]?.bool ?? false
  }

  var json: String {
    jsonObject([
      ("user", user?.jsonQuoted), ("inner", inner?.jsonQuoted), ("outer", outer?.jsonQuoted), ("since", since?.jsonQuoted), ("received", received.map { "\($0)" }),
      ("sent", sent.map { "\($0)" }), ("node", node.jsonQuoted), ("carried", carried.map { "\($0)" }), ("interface", interface?.jsonQuoted),
      ("outer_port", outerPort.map { "\($0)" }), ("tunnel", tunnel.map { "\($0)" }), ("session", session.map { "\($0)" }),
      ("peer_tunnel", peerTunnel.map { "\($0)" }), ("peer_session", peerSession.map { "\($0)" }), ("pid", pid.map { "\($0)" }), ("orphan", "\(isOrphan)"),
    ])
  }
}

/// Sessions for people and for programs.
struct SessionReport {
  var rows: [SessionRow]
  /// Nodes that were to be asked and gave no answer, with why.
  var silent: [(node: String, why: String)] = []

  init(_ rows: [SessionRow]) { self.rows = rows }

  var json: String { jsonArray(rows.map(\.json)) }

  /// A line that counts, and as many sessions as fit a screen of 80 columns.
  func text(_ now: Timestamp) -> String {
    let showsNode = Set(rows.map(\.node)).count > 1
    var columns = [Column("USER", 16) { $0.user.map(shown) }, Column("INNER", 15) { $0.inner }, Column("OUTER", 15) { $0.outer }]
    if showsNode { columns.append(Column("NODE", 8) { shown($0.node) }) }
    columns += [
      Column("IN", 6) { $0.received.map(size) }, Column("OUT", 6) { $0.sent.map(size) },
      Column("FOR", 9) { row in row.since.flatMap { Timestamp($0) }.map { spoken(now.seconds - $0.seconds, isRough: true) } },
    ]
    if rows.contains(where: { $0.carried == true || $0.isOrphan }) { columns.append(Column("", 7) { $0.isOrphan ? "orphan" : $0.carried == true ? "carried" : "" }) }
    var lines = summary
    if !rows.isEmpty { lines += table(rows.prefix(Screen.height - lines.count - 1), columns) }
    if rows.count > Screen.height - summary.count - 1 {
      lines = lines.prefix(Screen.height - 1) + ["... \(rows.count - (Screen.height - summary.count - 2)) more: vpnha sessions --wide"]
    }
    return lines.joined(separator: "\n")
  }

  /// Everything, as wide as it is.
  var wide: String {
    let columns = [
      Column("USER") { $0.user.map(shown) }, Column("INNER") { $0.inner }, Column("OUTER") { $0.outer }, Column("IN") { $0.received.map { "\($0)" } },
      Column("OUT") { $0.sent.map { "\($0)" } }, Column("SINCE") { $0.since }, Column("NODE") { shown($0.node) }, Column("INTERFACE") { $0.interface.map(shown) },
      Column("TUNNEL/SESSION") { row in row.tunnel.flatMap { tunnel in row.session.map { "\(tunnel)/\($0)" } } },
      Column("PID") { row in (row.pid.map { "\($0)" } ?? "-") + (row.isOrphan ? " (orphan)" : row.carried == true ? " (carried)" : "") },
    ]
    return (summary + (rows.isEmpty ? [] : table(rows[...], columns))).joined(separator: "\n")
  }

  private struct Column {
    var title: String
    /// Nothing of the user's choice is wider.
    var limit: Int
    var cell: (SessionRow) -> String?

    init(_ title: String, _ limit: Int = .max, _ cell: @escaping (SessionRow) -> String?) {
      self.title = title
      self.limit = limit
      self.cell = cell
    }
  }

  private func table(_ rows: ArraySlice<SessionRow>, _ columns: [Column]) -> [String] {
    let cells = [columns.map(\.title)] + rows.map { row in columns.map { column in column.cell(row).map { cut($0, column.title == "USER" ? column.limit : .max) } ?? "-" } }
    let widths = columns.indices.map { index in cells.reduce(0) { max($0, $1[index].unicodeScalars.count) } }
    return cells.map { row in
      let line = zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.unicodeScalars.count) }.joined(separator: "  ")
      return String(line.prefix(line.count - line.reversed().prefix { $0 == " " }.count))
    }
  }

  private var summary: [String] {
    var words = ["\(rows.count) session\(rows.count == 1 ? "" : "s")"]
    let carried = rows.count { $0.carried == true }
    if carried > 0 { words.append("\(carried) carried over from another node") }
    let unfinished = rows.count { $0.inner == nil }
    if unfinished > 0 { words.append("\(unfinished) without an address") }
    let orphans = rows.count(where: \.isOrphan)
    if orphans > 0 { words.append("\(orphans) whose xl2tpd is gone") }
    return [words.joined(separator: ", ")] + silent.map { "\($0.node) is missing: \(cut($0.why.plain, 60))" }
  }
}

private func cut(_ text: String, _ limit: Int) -> String {
  text.unicodeScalars.count <= limit ? text : String(String.UnicodeScalarView(text.unicodeScalars.prefix(limit - 1))) + "…"
}

/// `1.2M`: bytes in powers of 1024, in at most five characters.
func size(_ bytes: UInt64) -> String {
  var (whole, rest, unit) = (bytes, UInt64(0), 0)
  while whole >= 1024, unit < 6 { (whole, rest, unit) = (whole / 1024, whole % 1024, unit + 1) }
  guard unit > 0 else { return "\(bytes)" }
  return (whole < 10 ? "\(whole).\(rest * 10 / 1024)" : "\(whole)") + ["K", "M", "G", "T", "P", "E"][unit - 1]
}

/// For a terminal; long names are cut.
private func shown(_ text: String) -> String {
  let result = String(String.UnicodeScalarView(text.unicodeScalars.prefix(64))).plain
  return result.isEmpty ? "-" : result
}
