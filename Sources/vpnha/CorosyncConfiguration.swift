/// The part of corosync.conf that decides whether one node of two may go on alone (corosync.conf(5), votequorum(5)).
struct CorosyncConfiguration: Equatable {
  var nodes: Int { links.count }
  /// The links of each node, by their names and addresses.
  var links: [[String: String]] = []
  var expectedVotes: Int?
  var transport = "knet"
  var isTwoNode = false
  /// The same in the corosync that runs here; nil: not known.
  var runsAsTwoNode: Bool?
  var hasDevice = false
  /// `wait_for_all: 0` where two_node implies 1.
  var waitsForNobody = false
  /// `crypto_cipher: none`, in words.
  var hasNoCipher = false
  /// Milliseconds; nil: corosync's own.
  var token: Int?

  static let path = "/etc/corosync/corosync.conf"

  init(_ text: String) {
    var sections: [String] = []
    for line in text.split(whereSeparator: \.isNewline) {
      let line = line.trimmed
      if line.hasPrefix("#") || line.isEmpty { continue }
      if line.hasSuffix("{") {
        sections.append(String(line.dropLast()).trimmed)
        if sections == ["nodelist", "node"] { links.append([:]) }
        if sections == ["quorum", "device"] { hasDevice = true }
      } else if line == "}" {
        _ = sections.popLast()
      } else if let colon = line.firstIndex(of: ":") {
        let (key, value) = (line[..<colon].trimmed, line[line.index(after: colon)...].trimmed)
        if sections == ["quorum"], key == "two_node" { isTwoNode = value == "1" || value == "yes" }
        if sections == ["quorum"], key == "wait_for_all" { waitsForNobody = value == "0" || value == "no" }
        if sections == ["totem"], key == "crypto_cipher" { hasNoCipher = value == "none" }
        if sections == ["totem"], key == "token" { token = Int(value) }
        if sections == ["quorum"], key == "expected_votes" { expectedVotes = Int(value) }
        if sections == ["totem"], key == "transport" { transport = value }
        if sections == ["nodelist", "node"], !links.isEmpty, key.hasPrefix("ring"), key.hasSuffix("_addr") { links[links.count - 1][key] = value }
      }
    }
  }

  /// What is wrong with it, however many votes there are. Typed on one node; the last command brings it to the others.
  var traps: [Finding] {
    var found: [Finding] = []
    func add(_ id: FindingID, _ severity: Finding.Severity, _ summary: String, _ edit: String) {
      found.append(Finding(id, severity, summary, fix: ["sed -i '\(edit)' \(Self.path)", "pcs cluster sync", "pcs cluster reload corosync"], at: Self.path))
    }
    if hasNoCipher { add(.RING2, .risk, "crypto_cipher is none: the cluster's traffic can be read and forged", "s/crypto_cipher:.*/crypto_cipher: aes256/") }
    if let token, token < 1000 { add(.RING3, .risk, "token is \(token) ms: a busy moment looks like a dead node, which is then fenced", "s/token:.*/token: 3000/") }
    if let name = Set(links.flatMap(\.keys)).sorted().first(where: { name in links.contains { $0[name] == nil } }) {
      add(.RING4, .risk, "\(name) is missing at a node: that link joins nobody", "/\(name):/d")
    }
    if transport != "knet", (links.map(\.count).max() ?? 0) > 1 { add(.RING5, .bad, "transport \(transport) has one link, and a node has more", "s/transport:.*/transport: knet/") }
    if let expectedVotes, expectedVotes != nodes, !hasDevice { add(.QUOR7, .risk, "expected_votes is \(expectedVotes), and there are \(nodes) nodes", "s/expected_votes:.*/expected_votes: \(nodes)/") }
    if isTwoNode, hasDevice { add(.QUOR5, .bad, "two_node and a quorum device exclude each other", "/two_node:/d") }
    if isTwoNode, waitsForNobody { add(.QUOR6, .risk, "wait_for_all is 0: a node that boots alone fences the other one, in turns", "s/wait_for_all:.*/wait_for_all: 1/") }
    return found
  }

  /// What decides a failover.
  var findings: [Finding] {
    guard nodes == 2, !hasDevice, !(runsAsTwoNode ?? isTwoNode) || !isTwoNode else { return [] }
    if isTwoNode {
      return [Finding(.QUOR2, .bad, "corosync runs without the two_node of its file: one node alone has no quorum", fix: ["pcs cluster reload corosync", "corosync-quorumtool -s    # on each node"], at: Self.path)]
    }
    if runsAsTwoNode == true {
      return [
        Finding(
          .QUOR2, .risk, "corosync runs with two_node, and its file has lost it: after the next reload or start one node alone has no quorum",
          fix: ["sed -i '/^quorum {/a two_node: 1' \(Self.path)", "pcs cluster sync"], at: Self.path)
      ]
    }
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
