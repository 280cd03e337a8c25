/// Who may log in, as a line of chap-secrets or pap-secrets says it (pppd(8), AUTHENTICATION). The secret is not kept.
public struct PPPUser: Hashable, Sendable {
  public var name: String
  /// The name of the server that it is a user of; `*`: any.
  public var server: String
  public var line: Int
  /// Those that it may have, `*` for any. Without one it gets none, and no session.
  public var addresses: [String] = []

  /// Those of a file; a line with fewer than three words lets nobody in, nor does one with an empty secret, or without an address (none, or `-`).
  public static func all(in bytes: [UInt8]) -> [PPPUser] { lines(of: bytes).filter { !$0.addresses.isEmpty } }

  /// Those that would be users, had they an address.
  public static func withoutAddress(in bytes: [UInt8]) -> [PPPUser] { lines(of: bytes).filter(\.addresses.isEmpty) }

  /// Whether the line's secret is that word.
  public static func hasSecret(_ word: String, at line: Int, in bytes: [UInt8]) -> Bool {
    let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    return lines.indices.contains(line - 1) && pppWords(lines[line - 1]).dropFirst(2).first == word
  }

  private static func lines(of bytes: [UInt8]) -> [PPPUser] {
    bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated().compactMap { number, line in
      let words = pppWords(line)
      // Options follow two hyphens.
      let addresses = words.dropFirst(3).prefix { $0 != "--" }
      guard words.count >= 3, !words[2].isEmpty, addresses.first != "-" else { return nil }
      return PPPUser(name: words[0], server: words[1], line: number + 1, addresses: Array(addresses))
    }
  }
}

/// The words of a line of options or secrets, as pppd reads them (`options.c`, `getword`): quotes keep spaces together, a backslash keeps what
/// follows, `#` begins a comment.
public func pppWords(_ line: ArraySlice<UInt8>) -> [String] {
  var words: [[UInt8]] = []
  var quote: UInt8?
  var isEscaped = false
  var isInside = false
  for byte in line {
    if !isInside, quote == nil, byte == UInt8(ascii: "#") { break }
    let isSpace = byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") || byte == UInt8(ascii: "\r")
    if !isEscaped, quote == nil, isSpace {
      isInside = false
      continue
    }
    if !isInside {
      words.append([])
      isInside = true
    }
    if isEscaped {
      isEscaped = false
    } else if byte == UInt8(ascii: "\\") {
      isEscaped = true
      continue
    } else if byte == quote {
      quote = nil
      continue
    } else if quote == nil, byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") {
      quote = byte
      continue
    }
    words[words.count - 1].append(byte)
  }
  return words.map { String(decoding: $0, as: UTF8.self) }
}

/// Files of pppd's options in the order in which it reads them: these, and behind each those that it takes in (`file`, `call`). Nil: not there.
public func pppOptionFiles<Failure: Error>(_ files: [String], read: (String) throws(Failure) -> [UInt8]?) throws(Failure) -> [(file: String, bytes: [UInt8]?)] {
  var found: [(file: String, bytes: [UInt8]?)] = []
  var waiting = Array(files.reversed())
  while found.count < 32, let file = waiting.popLast() {
    if found.contains(where: { $0.file == file }) { continue }
    let bytes = try read(file)
    found.append((file, bytes))
    let words = (bytes ?? []).split(separator: UInt8(ascii: "\n")).flatMap { pppWords($0) }
    for (option, argument) in zip(words, words.dropFirst()) {
      if option == "file", argument.hasPrefix("/") { waiting.append(argument) }
      if option == "call" { waiting.append("/etc/ppp/peers/\(argument)") }
    }
  }
  return found
}
