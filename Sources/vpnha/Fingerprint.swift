import Host
import JSON

/// What a node has of the things that should be the same on every node. Files and what is loaded are there as keyed digests, from which
/// nobody who lacks the key learns anything; numbers of the kernel and versions as they are.
struct Fingerprint: Equatable {
  /// What a thing is. Two nodes are compared in a kind only if both could be asked about it.
  enum Kind: String, CaseIterable {
    case file, charon, filter, kernel, package
  }

  struct Name: Hashable, Comparable {
    var kind: Kind
    var name: String

    init(_ kind: Kind, _ name: String) { (self.kind, self.name) = (kind, name) }

    /// `file:/etc/swanctl/swanctl.conf`
    init?(_ text: String) {
      guard let colon = text.firstIndex(of: ":"), let kind = Kind(rawValue: String(text[..<colon])) else { return nil }
      self.init(kind, String(text[text.index(after: colon)...]))
    }
    var text: String { "\(kind.rawValue):\(name)" }
    static func < (a: Name, b: Name) -> Bool { (a.kind.rawValue, a.name) < (b.kind.rawValue, b.name) }
  }

  static let attribute = "vpnha-fingerprint"
  /// Characters of an attribute's value.
  private static let limit = 24_000

  var at: Timestamp
  /// Tells one key from another; nothing else.
  var key: String
  /// Kinds that could be asked about.
  var kinds: Set<Kind>
  var entries: [Name: String] = [:]

  /// One line without quotes: `1 SECONDS KEY KIND,… NAME=VALUE …`; nil when it is longer than the cluster keeps.
  var text: String? {
    let head = ["1", "\(at.seconds)", key, kinds.map(\.rawValue).sorted().joined(separator: ",")]
    let text = (head + entries.sorted { $0.key < $1.key }.map { "\(Self.escaped($0.key.text))=\(Self.escaped($0.value))" }).joined(separator: " ")
    return text.utf8.count <= Self.limit ? text : nil
  }

  init(at: Timestamp, key: String, kinds: Set<Kind>, entries: [Name: String] = [:]) {
    (self.at, self.key, self.kinds, self.entries) = (at, key, kinds, entries)
  }

  /// Nil for anything else than `text`.
  init?(_ text: String) {
    guard text.utf8.count <= Self.limit else { return nil }
    let words = text.split(separator: " ", omittingEmptySubsequences: false)
    guard words.count >= 4, words[0] == "1", let seconds = Int64(words[1]) else { return nil }
    self.init(at: Timestamp(seconds: seconds), key: String(words[2]), kinds: Set(words[3].split(separator: ",").compactMap { Kind(rawValue: String($0)) }))
    for word in words.dropFirst(4) {
      let pair = word.split(separator: "=", omittingEmptySubsequences: false)
      guard pair.count == 2, let name = Self.unescaped(pair[0]).flatMap({ Name($0) }), let value = Self.unescaped(pair[1]) else { return nil }
      entries[name] = value
    }
  }

  private static let plain = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._:+~-".utf8)
  private static func escaped(_ text: String) -> String {
    text.utf8.map { plain.contains($0) ? String(UnicodeScalar($0)) : "%\($0 < 16 ? "0" : "")\(String($0, radix: 16))" }.joined()
  }
  private static func unescaped(_ text: Substring) -> String? {
    var bytes: [UInt8] = []
    var rest = text.utf8
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "%") else {
        bytes.append(byte)
        continue
      }
      guard rest.count >= 2, let value = UInt8(String(rest.prefix(2)) ?? "", radix: 16) else { return nil }
      bytes.append(value)
      rest = rest.dropFirst(2)
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  // MARK: Two of them

  struct Difference: Equatable {
    var name: Name
    /// Nil: it is not there.
    var one: String?
    var other: String?
  }

  /// In what both could be asked about, by name.
  func differences(from other: Fingerprint) -> [Difference] {
    let both = kinds.intersection(other.kinds)
    return Set(entries.keys).union(other.entries.keys).filter { both.contains($0.kind) && entries[$0] != other.entries[$0] }.sorted().map {
      Difference(name: $0, one: entries[$0], other: other.entries[$0])
    }
  }

  // MARK: For programs

  var json: String {
    jsonObject([
      ("at", at.description.jsonQuoted), ("key", key.jsonQuoted), ("kinds", jsonArray(kinds.map(\.rawValue).sorted().map(\.jsonQuoted))),
      ("entries", jsonObject(entries.sorted { $0.key < $1.key }.map { ($0.key.text, $0.value.jsonQuoted) })),
    ])
  }

  /// As `json` wrote it.
  init?(_ value: JSONValue) {
    guard let at = value["at"]?.string.flatMap({ Timestamp($0) }), let key = value["key"]?.string, case .object(let members)? = value["entries"] else { return nil }
    self.init(at: at, key: key, kinds: Set((value["kinds"]?.elements ?? []).compactMap { $0.string.flatMap(Kind.init) }))
    for (name, value) in members {
      guard let name = Name(name), let value = value.string else { return nil }
      entries[name] = value
    }
  }
}

/// How much of a file is the same on every node.
struct CommonPart {
  /// Settings of a node of its own, by the block that they stand in (nil: any).
  var own: [(block: String?, keys: Set<String>)] = []
  /// Values that are no node's own wherever they stand: the addresses that move.
  var common: Set<String> = []
  var comments: Set<Character> = ["#"]
  /// Whether a comment may follow in a line.
  var hasTrailingComments = false

  static let plain = CommonPart()
  static let xl2tpd = CommonPart(own: [(nil, ["ip range", "hostname"])], comments: ["#", ";"])
  static let strongswan = CommonPart(own: [("ha", ["local", "remote"])])
  static let conntrackd: CommonPart = {
    let keys: Set<String> = ["ipv4_address", "ipv4_destination_address", "ipv4_interface", "ipv6_address", "ipv6_destination_address", "interface"]
    return CommonPart(own: ["udp", "multicast", "tcp", "address"].map { ($0, keys) }, hasTrailingComments: true)
  }()

  var masks: Bool { !own.isEmpty }

  /// Lines without comments and blanks around them; of a setting of the node's own only that it is there.
  func text(of bytes: [UInt8]) -> String {
    var blocks: [String] = []
    var lines: [String] = []
    for raw in String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline) {
      var line = raw.trimmed
      if line.first.map(comments.contains) ?? true { continue }
      if hasTrailingComments { line = line.prefix { !comments.contains($0) }.trimmed }
      if line.hasSuffix("{") { blocks.append(line.prefix { !$0.isWhitespace && $0 != "{" }.lowercased()) }
      let word = (line.contains("=") ? line.prefix { $0 != "=" } : line.prefix { !$0.isWhitespace }).trimmed.lowercased()
      if own.contains(where: { its in its.keys.contains(word) && (its.block == nil || its.block == blocks.last) }), !line.split(whereSeparator: \.isWhitespace).contains(where: { common.contains(String($0)) }) { line = "\(word) *" }
      if line.hasPrefix("}"), !blocks.isEmpty { blocks.removeLast() }
      lines.append(line)
    }
    return lines.joined(separator: "\n")
  }
}
