/// What stands in xl2tpd.conf, read by the daemon's own rules (xl2tpd 1.3.18, `parse_config`): sections in brackets,
/// `word = value`, comments from `;` to the end of the line, words and section kinds in any case.
public struct XL2TPDConfiguration: Hashable, Sendable {
  /// `[global]`, `[lns NAME]` or `[lac NAME]`.
  public struct Section: Hashable, Sendable {
    public enum Kind: String, Hashable, Sendable { case global, lns, lac }
    public var kind: Kind
    /// Empty when there is none.
    public var name: String
    public var settings: [Setting] = []

    /// The last value of `word`; the daemon lets later ones win.
    public subscript(_ word: String) -> Setting? { settings.last { $0.word == word } }
  }

  public struct Setting: Hashable, Sendable {
    /// Lower case.
    public var word: String
    public var value: String
    public var line: Int
  }

  /// A file the daemon would refuse, with the line. Printed as *line N: what*.
  public struct SyntaxError: Error, Hashable, Sendable, CustomStringConvertible {
    public var line: Int
    public var what: String
    public var description: String { "line \(line): \(what)" }
  }

  public private(set) var sections: [Section] = []

  public init(_ bytes: [UInt8]) throws(SyntaxError) {
    var line = 0
    for raw in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
      line += 1
      // What the daemon reads at once; the rest it would take for another line, unless the line is a comment by then.
      if raw.count > Self.longestLine, !raw.prefix(Self.longestLine).contains(UInt8(ascii: ";")) {
        throw SyntaxError(line: line, what: "more than \(Self.longestLine) bytes")
      }
      let text = Self.trimmed(raw.prefix { $0 != UInt8(ascii: ";") && $0 != 0 })
      guard let first = text.first else { continue }
      if first == UInt8(ascii: "[") {
        sections.append(try Self.section(text, line))
        continue
      }
      if first == UInt8(ascii: "#") { throw SyntaxError(line: line, what: "'#' begins no comment, ';' does") }
      guard !sections.isEmpty else { throw SyntaxError(line: line, what: "a setting outside of a section") }
      guard let equals = text.firstIndex(of: UInt8(ascii: "=")) else { throw SyntaxError(line: line, what: "no '='") }
      let setting = Setting(
        word: String(decoding: Self.trimmed(text[..<equals]), as: UTF8.self).lowercased(),
        value: String(decoding: Self.trimmed(text[(equals + 1)...]), as: UTF8.self), line: line)
      sections[sections.count - 1].settings.append(setting)
    }
  }

  private static func section(_ text: ArraySlice<UInt8>, _ line: Int) throws(SyntaxError) -> Section {
    guard let end = text.firstIndex(of: UInt8(ascii: "]")) else {
      throw SyntaxError(line: line, what: "no closing bracket")
    }
    let parts = text[(text.startIndex + 1)..<end].split(
      separator: UInt8(ascii: " "), maxSplits: 1, omittingEmptySubsequences: false)
    let word = parts.first.map { String(decoding: $0, as: UTF8.self) } ?? ""
    guard let kind = Section.Kind(rawValue: word.lowercased()) else {
      throw SyntaxError(line: line, what: "unknown section '\(word)'")
    }
    return Section(kind: kind, name: parts.count == 2 ? String(decoding: parts[1], as: UTF8.self) : "")
  }

  private static let longestLine = 1023

  private static func trimmed(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    let head = text.drop(while: isSpace)
    guard let last = head.lastIndex(where: { !isSpace($0) }) else { return [] }
    return head[...last]
  }

  /// The daemon compares with 33, and its characters have a sign: a byte order mark, or a space that is none, is space to it.
  private static func isSpace(_ byte: UInt8) -> Bool { byte <= 0x20 || byte >= 0x80 }

  /// The last setting of `word` in any `[global]` section.
  public func global(_ word: String) -> Setting? {
    sections.last { $0.kind == .global && $0[word] != nil }?[word]
  }

  /// What `listen-addr` says, an address or a name; nil when it is not set, which means every address.
  public var listenAddress: Setting? { global("listen-addr") }

  /// The UDP port; 1701 unless set. Nil when what is set is no port.
  public var port: UInt16? {
    guard let setting = global("port") else { return 1701 }
    return UInt16(setting.value).flatMap { $0 == 0 ? nil : $0 }
  }

  /// Whether peers outside of an `lac` range are turned away.
  public var hasAccessControl: Bool { global("access control").map { Self.isYes($0.value) } ?? false }

  /// Whether there is a server that takes clients: a default one, or one that names them (`get_lns`).
  public var hasServer: Bool {
    sections.contains { $0.kind == .lns && ($0.name.lowercased() == "default" || $0["lac"] != nil) }
  }

  /// Whether sessions run through a pseudo-terminal of the daemon even where the kernel knows L2TP. Up to 1.3.18 any value
  /// of `ipsec saref` means that too.
  public var forcesUserspace: Bool {
    global("ipsec saref") != nil || global("force userspace").map { Self.isYes($0.value) } ?? false
  }

  /// The option files handed to pppd, each once.
  public var pppOptionFiles: [String] {
    var seen: Set<String> = []
    return sections.compactMap { $0["pppoptfile"]?.value }.filter { !$0.isEmpty && seen.insert($0).inserted }
  }

  /// The names under which servers ask for users, which stand beside them in chap-secrets; empty where one has none: it is the host's then.
  public var serverNames: Set<String> {
    let names = sections.filter { $0.kind == .lns }.map { $0["name"]?.value ?? "" }
    return names.contains("") ? [] : Set(names)
  }

  public static func isYes(_ value: String) -> Bool { ["yes", "y", "true"].contains(value.lowercased()) }
}
