/// The part of corosync.conf that decides whether one node of two may go on alone (corosync.conf(5), votequorum(5)).
struct CorosyncConfiguration: Equatable {
  var nodes = 0
  /// How many links the first node names.
  var links = 0
  var isTwoNode = false
  var hasDevice = false

  static let path = "/etc/corosync/corosync.conf"

  init(_ text: String) {
    var sections: [String] = []
    for line in text.split(whereSeparator: \.isNewline) {
      let line = line.trimmed
      if line.hasPrefix("#") || line.isEmpty { continue }
      if line.hasSuffix("{") {
        sections.append(String(line.dropLast()).trimmed)
        if sections == ["nodelist", "node"] { nodes += 1 }
        if sections == ["quorum", "device"] { hasDevice = true }
      } else if line == "}" {
        _ = sections.popLast()
      } else if let colon = line.firstIndex(of: ":") {
        let (key, value) = (line[..<colon].trimmed, line[line.index(after: colon)...].trimmed)
        if sections == ["quorum"], key == "two_node" { isTwoNode = value == "1" || value == "yes" }
        if sections == ["nodelist", "node"], nodes == 1, key.hasPrefix("ring"), key.hasSuffix("_addr") { links += 1 }
      }
    }
  }

  var findings: [Finding] {
    guard nodes == 2, !isTwoNode, !hasDevice else { return [] }
    return [
      Finding(
        .QUOR2, .bad, "two nodes, and neither two_node nor a quorum device: one alone has no quorum",
        fix: ["pcs cluster stop --all", "pcs quorum update wait_for_all=1", "sed -i '/^quorum {/a two_node: 1' \(Self.path)", "pcs cluster sync", "pcs cluster start --all"],
        at: Self.path)
    ]
  }
}

extension StringProtocol {
  /// Without white space around it.
  var trimmed: String {
    let text = drop { $0.isWhitespace }
    guard let end = text.lastIndex(where: { !$0.isWhitespace }) else { return "" }
    return String(text[...end])
  }
}
