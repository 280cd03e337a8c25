import Host
import OCFMetadata

/// Takes secrets out of text that goes to others: where their place tells what they are, and everywhere else where they are known.
struct Redaction {
  static let mark = "<secret>"
  /// What is shorter is masked in its place only: elsewhere it may be anything.
  private static let shortest = 4

  private var secrets: [UInt16: [[UInt8]]] = [:]

  mutating func learn(_ secret: String) {
    // As it is written in a CIB, too.
    let escaped = secret.inXML
    for text in Set([secret, escaped]) {
      let bytes = Array(text.utf8)
      guard bytes.count >= Self.shortest, text != Self.mark else { continue }
      let start = UInt16(bytes[0]) << 8 | UInt16(bytes[1])
      if secrets[start]?.contains(bytes) != true { secrets[start, default: []].append(bytes) }
    }
  }

  /// Without every secret that was learned, wherever it is in a word.
  func known(_ text: String) -> String {
    if secrets.isEmpty { return text }
    let bytes = Array(text.utf8)
    var result: [UInt8] = []
    result.reserveCapacity(bytes.count)
    var index = 0
    while index < bytes.count {
      if index + 1 < bytes.count, let candidates = secrets[UInt16(bytes[index]) << 8 | UInt16(bytes[index + 1])] {
        // The longest: one may begin with another.
        let hit = candidates.filter { bytes[index...].starts(with: $0) }.map(\.count).max()
        if let hit {
          result += Array(Self.mark.utf8)
          index += hit
          continue
        }
      }
      result.append(bytes[index])
      index += 1
    }
    return String(decoding: result, as: UTF8.self)
  }

  // MARK: Files of settings

  nonisolated(unsafe) private static let word = /(?i)secret|passw|psk|passphrase|credential|token|community|pin\b/
  static func isSecret(_ name: some StringProtocol) -> Bool { String(name).contains(word) }

  /// `name = value`, `name: value`, wherever it stands in a line; a quoted value may go over lines.
  nonisolated(unsafe) private static let setting =
    /(?i)([\w.-]*(?:secret|passwd|password|psk|passphrase|credential|token|community|\bpin\b|\bkey\b)[\w.-]*)(["']?[ \t]*[=:][ \t]*)("(?:\\.|[^"\\])*"|'[^'\n]*'|[^\n}]*)/

  /// Values of settings that are named like a secret, also in comments.
  static func values(in text: String) -> [String] {
    var found: [String] = []
    for match in text.matches(of: setting) { found += variants(String(match.output.3)) }
    for line in text.split(whereSeparator: \.isNewline) {
      // `password hunter2`
      let words = fields(line.drop { $0.isWhitespace || "#;".contains($0) })
      if words.count > 1, isSecret(words[0]), !words[0].contains("="), words[1] != "=", words[1] != "{" { found += words.dropFirst() }
    }
    return found
  }

  /// With its quotes and what follows it, and without.
  private static func variants(_ value: String) -> [String] {
    let text = value.trimmed
    guard let quote = text.first, quote == "\"" || quote == "'" else { return [text, text.prefix { $0 != "#" }.trimmed] + text.split(whereSeparator: \.isWhitespace).map(String.init).prefix(1) }
    let inside = text.dropFirst().hasSuffix(String(quote)) ? text.dropFirst().dropLast() : text.dropFirst()
    return [String(inside), String(inside).replacing("\\\"", with: "\"")]
  }

  /// Without comments, and with a mark for each value of a setting that is named like a secret.
  static func settings(_ text: String, comments: Set<Character> = ["#"]) -> String {
    let masked = text.replacing(setting) { "\($0.output.1)\($0.output.2)\(mark)" }
    return masked.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).compactMap { raw -> String? in
      let line = withoutComment(raw, comments)
      if line.trimmed.isEmpty { return nil }
      let words = line.trimmed.split(maxSplits: 1, whereSeparator: \.isWhitespace)
      if words.count == 2, isSecret(words[0]), !words[0].contains("="), words[1].first != "=", words[1].first != "{" { return "\(line.prefix { $0.isWhitespace })\(words[0]) \(mark)" }
      return String(line)
    }.joined(separator: "\n") + "\n"
  }

  private static func withoutComment(_ line: Substring, _ comments: Set<Character>) -> Substring {
    var quote: Character?
    for index in line.indices {
      let letter = line[index]
      if let open = quote { if letter == open { quote = nil } } else if letter == "\"" { quote = letter } else if comments.contains(letter) { return line[..<index] }
    }
    return line
  }

  // MARK: chap-secrets and their like

  /// Words of a line; one in quotes is whole.
  private static func fields(_ line: some StringProtocol) -> [String] {
    var words: [String] = []
    var word: String?
    var quote: Character?
    var isEscaped = false
    for letter in line {
      if isEscaped {
        word = (word ?? "") + String(letter)
        isEscaped = false
      } else if letter == "\\" {
        isEscaped = true
      } else if let open = quote {
        if letter == open { quote = nil } else { word = (word ?? "") + String(letter) }
      } else if letter == "\"" || letter == "'" {
        quote = letter
        word = word ?? ""
      } else if letter.isWhitespace {
        if let whole = word { words.append(whole) }
        word = nil
      } else {
        word = (word ?? "") + String(letter)
      }
    }
    return words + (word.map { [$0] } ?? [])
  }

  /// client, server, secret, addresses (pppd(8)); a line may be continued.
  private static func users(_ text: String) -> [[String]] {
    text.replacing("\\\n", with: " ").split(whereSeparator: \.isNewline).map { fields($0.drop(while: \.isWhitespace)) }.filter { !$0.isEmpty }
  }

  static func secrets(ofUsers text: String) -> [String] {
    users(text).flatMap { fields -> [String] in fields.count > 2 ? [fields[2]] : [] }
  }

  /// Who is in it, and with which addresses.
  static func userNames(_ text: String) -> String {
    users(text).filter { !$0[0].hasPrefix("#") }.map { fields in
      let addresses = fields.dropFirst(3).map { word in word == "*" || word == "-" || IPAddress(String(word.drop { $0 == "!" }.prefix { $0 != "/" })) != nil ? word : mark }
      return (fields.prefix(2) + (fields.count > 2 ? [mark] : []) + addresses).joined(separator: " ")
    }.joined(separator: "\n") + "\n"
  }

  /// Those of ipsec.secrets: `IDS : PSK "secret"`. What is indented goes on with the line before it.
  static func secrets(ofKeys text: String) -> [String] {
    text.split(whereSeparator: \.isNewline).filter { $0.first != "#" }.flatMap { line -> [String] in
      // From the last colon that stands alone: an address may have colons.
      let words = line.split(whereSeparator: \.isWhitespace)
      let rest = words.lastIndex(of: ":").map { words[($0 + 1)...] } ?? (line.first?.isWhitespace == true ? words[...] : [])
      let quoted = line.split(separator: "\"", omittingEmptySubsequences: false)
      return (quoted.count > 2 ? [String(quoted[1])] : []) + rest.dropFirst(rest.first.map { $0.count < 6 } == true ? 1 : 0).map { word in String(word.filter { $0 != "\"" }) }
    }.filter { !$0.isEmpty }
  }

  /// Whose keys they are, and of which kind.
  static func keyNames(_ text: String) -> String {
    text.split(whereSeparator: \.isNewline).filter { $0.first != "#" && $0.first?.isWhitespace == false }.map { line -> String in
      let words = line.split(whereSeparator: \.isWhitespace)
      guard let colon = words.lastIndex(of: ":") else { return words.first == "include" ? String(line) : mark }
      let kind = words[(colon + 1)...].first.map(String.init) ?? ""
      return (words[..<colon].map(String.init) + [":", ["PSK", "RSA", "ECDSA", "XAUTH", "PIN"].contains(kind) ? kind : "", mark]).joined(separator: " ")
    }.joined(separator: "\n") + "\n"
  }

  // MARK: The CIB

  private static func isSecret(_ pair: XMLElement) -> Bool { pair.name == "nvpair" && isSecret(pair["name"] ?? "") }

  static func secrets(in cib: XMLElement) -> [String] {
    cib.all(named: "nvpair").filter(isSecret).compactMap { $0["value"] } + cib.all(named: "recipient").compactMap { $0["value"] }.compactMap { path(of: $0) }
  }

  /// What stands behind the host of a URL: many a receiver of alerts is a secret by itself.
  private static func path(of url: String) -> String? {
    guard let mark = url.ranges(of: "://").first else { return nil }
    let rest = url[mark.upperBound...]
    let name = rest.lastIndex(of: "@").map { String(rest[..<$0]) }
    let path = rest.firstIndex(of: "/").map { String(rest[$0...].dropFirst()) } ?? ""
    return path.count >= shortest ? path : name
  }

  /// The CIB as text, one element a line.
  static func text(of cib: XMLElement, depth: Int = 0) -> String {
    let margin = String(repeating: "  ", count: depth)
    let hides = isSecret(cib)
    let attributes = cib.attributes.map { " \($0.name)=\"\(hides && $0.name == "value" ? mark.inXML : $0.value.inXML)\"" }.joined()
    let children = cib.children
    if children.isEmpty { return "\(margin)<\(cib.name)\(attributes)/>\n" }
    return "\(margin)<\(cib.name)\(attributes)>\n" + children.map { text(of: $0, depth: depth + 1) }.joined() + "\(margin)</\(cib.name)>\n"
  }
}
