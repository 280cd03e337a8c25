import Host
import Sessions

/// Sessions for people and for programs.
struct SessionReport {
  var sessions: [Session]

  init(_ sessions: [Session]) { self.sessions = sessions }

  private static let columns = ["USER", "INNER", "OUTER", "IN", "OUT", "SINCE", "INTERFACE", "TUNNEL/SESSION", "PID"]

  /// Columns as wide as what is in them, and a line that counts.
  var table: String {
    let rows = [Self.columns] + sessions.map(row)
    let widths = Self.columns.indices.map { column in rows.reduce(0) { max($0, $1[column].unicodeScalars.count) } }
    let lines = rows.map { row in
      let cells = zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.unicodeScalars.count) }
      let line = cells.joined(separator: "  ")
      return String(line.prefix(line.count - line.reversed().prefix { $0 == " " }.count))
    }
    return ((sessions.isEmpty ? [] : lines) + [summary]).joined(separator: "\n")
  }

  private var summary: String {
    var words = ["\(sessions.count) session\(sessions.count == 1 ? "" : "s")"]
    let unfinished = sessions.count { $0.inner == nil }
    if unfinished > 0 { words.append("\(unfinished) without an address") }
    let orphans = sessions.count(where: \.isOrphan)
    if orphans > 0 { words.append("\(orphans) whose xl2tpd is gone") }
    return words.joined(separator: ", ")
  }

  private func row(_ session: Session) -> [String] {
    [
      session.user.map(shown), session.inner?.description, session.outer?.description, session.received.map { "\($0)" },
      session.sent.map { "\($0)" }, session.since.description, session.interface.map(shown),
      session.kernel.map { "\($0.tunnel)/\($0.session)" }, "\(session.pid)\(session.isOrphan ? " (orphan)" : "")",
    ].map { $0 ?? "-" }
  }

  var json: String {
    let objects = sessions.map { session -> String in
      let kernel = session.kernel
      let members: [(String, String?)] = [
        ("user", session.user?.jsonQuoted), ("inner", session.inner?.description.jsonQuoted),
        ("outer", session.outer?.description.jsonQuoted), ("outer_port", kernel.map { "\($0.port)" }),
        ("in_bytes", session.received.map { "\($0)" }), ("out_bytes", session.sent.map { "\($0)" }),
        ("since", session.since.description.jsonQuoted), ("interface", session.interface?.jsonQuoted),
        ("tunnel", kernel.map { "\($0.tunnel)" }), ("session", kernel.map { "\($0.session)" }),
        ("peer_tunnel", kernel.map { "\($0.peerTunnel)" }), ("peer_session", kernel.map { "\($0.peerSession)" }),
        ("pid", "\(session.pid)"), ("orphan", "\(session.isOrphan)"),
      ]
      return "{" + members.map { "\($0.jsonQuoted):\($1 ?? "null")" }.joined(separator: ",") + "}"
    }
    return "{\"count\":\(sessions.count),\"sessions\":[\(objects.joined(separator: ","))]}"
  }
}

/// For a terminal; long names are cut.
private func shown(_ text: String) -> String {
  let result = String(String.UnicodeScalarView(text.unicodeScalars.prefix(64))).plain
  return result.isEmpty ? "-" : result
}
