import Host

/// A file in strongSwan's settings format (`swanctl.conf`, `strongswan.conf`), with everything it includes.
///
/// `swanctl --load-all` of strongSwan 5.9.8 exits 0 on a syntax error and has then unloaded every connection.
/// Reading the file first reports the error, with file and line, before anything is touched. What this accepts and
/// refuses follows strongSwan's own grammar: `src/libstrongswan/settings/settings_lexer.l` and `settings_parser.y`.
/// As there, an include that matches no readable file is no error.
public struct SettingsFile: Sendable {
  /// Bounds on what one file and its includes may ask of us.
  public struct Limits: Sendable {
    public var bytes = 8 * 1024 * 1024
    public var files = 1024
    /// Files included by files included by …; also what stops a file that includes itself.
    public var includeDepth = 16
    public var sectionDepth = 64
    public init() {}
  }

  public var root: Section
  /// Every file that was read, in order.
  public var files: [String]

  /// Reads `path` and what it includes.
  public init(reading path: String, from files: any Files, limits: Limits = Limits()) throws(SettingsError) {
    var parser = SettingsParser(files: files, limits: limits)
    self.root = try parser.parse(path)
    self.files = parser.read
  }

  /// Parses text that stands for the file `name`; `include` finds nothing.
  public init(_ text: String, name: String = "text") throws(SettingsError) {
    var parser = SettingsParser(files: nil, limits: Limits())
    self.root = try parser.parse(bytes: Array(text.utf8), name: name)
    self.files = [name]
  }
}

extension SettingsFile {
  /// `name { … }`. Sections of one name are one section, whatever file they stand in.
  public struct Section: Sendable {
    public var name: String
    public var place: Place
    /// `name : reference, … { … }`: sections whose content this one has as well.
    public var references: [String] = []
    public var settings: [Setting] = []
    public private(set) var sections: [Section] = []
    /// Where in `sections` the one of a name is: a file may have a hundred thousand.
    private var places: [String: Int] = [:]

    init(name: String, place: Place) {
      self.name = name
      self.place = place
    }

    /// Adds what `other` has to the section of its name, as repeated sections do.
    mutating func merge(_ other: Section) {
      guard let index = places[other.name] else {
        places[other.name] = sections.count
        sections.append(other)
        return
      }
      sections[index].references += other.references
      sections[index].settings += other.settings
      for section in other.sections { sections[index].merge(section) }
    }

    /// The last value given to `key` here; nil when it is absent or was given none.
    public func value(_ key: String) -> String? { settings.last { $0.key == key }?.value }
    public func section(_ name: String) -> Section? { places[name].map { sections[$0] } }
    /// The section at `charon.plugins.ha` …
    public func section(at path: String) -> Section? {
      path.split(separator: ".").reduce(Optional(self)) { $0?.section(String($1)) }
    }
    /// The value of `charon.plugins.ha.secret` …
    public func value(at path: String) -> String? {
      guard let dot = path.lastIndex(of: ".") else { return value(path) }
      return section(at: String(path[..<dot]))?.value(String(path[path.index(after: dot)...]))
    }
  }

  /// `key = value`. Its printed form leaves the value out: it may be a secret.
  public struct Setting: Sendable, CustomStringConvertible, CustomReflectable {
    public var key: String
    public var value: String?
    public var place: Place
    public var description: String { "\(key) = …" }
    public var customMirror: Mirror { Mirror(self, children: ["key": key, "place": place]) }

    /// The words of a flag in any case (`vici_config.c`, `parse_bool`); nil: it is none of them.
    public static func flag(_ value: String) -> Bool? {
      switch value.lowercased() {
      case "yes", "true", "1", "enabled": true
      case "no", "false", "0", "disabled": false
      default: nil
      }
    }
  }

  public struct Place: Hashable, Sendable, CustomStringConvertible {
    public var file: String
    public var line: Int
    public var description: String { "\(file):\(line)" }
  }
}

extension SettingsFile {
  /// The section at `path` with what its references hold, and theirs; nil when there is none, or they are too many to follow.
  ///
  /// What is not referred to is counted by nobody: the file's own length bounds it.
  /// What stands in a section itself counts more than what it refers to, and an earlier reference more than a later one.
  public func resolved(_ path: String) -> Section? {
    var left = 20_000
    return root.section(at: path).flatMap { resolve($0, &left, depth: 0) }
  }

  private func resolve(_ section: Section, _ left: inout Int, depth: Int, isReferredTo: Bool = false) -> Section? {
    if isReferredTo { left -= 1 }
    guard left > 0, depth < 32 else { return nil }
    var whole = Section(name: section.name, place: section.place)
    for reference in section.references.reversed() {
      guard let other = root.section(at: reference) else { continue }
      guard let other = resolve(other, &left, depth: depth + 1, isReferredTo: true) else { return nil }
      whole.settings += other.settings
      for child in other.sections { whole.merge(child) }
    }
    whole.settings += section.settings
    for child in section.sections {
      guard let child = resolve(child, &left, depth: depth + 1, isReferredTo: isReferredTo) else { return nil }
      whole.merge(child)
    }
    return whole
  }
}

/// Why a settings file cannot be used. Printed as *file:line: what is wrong there*.
public struct SettingsError: Error, Equatable, Sendable, CustomStringConvertible {
  public enum Kind: Hashable, Sendable {
    case absent, unreadable, syntax
    /// It asks for more than `SettingsFile.Limits` grant.
    case tooLarge
  }
  public var kind: Kind
  public var place: SettingsFile.Place
  public var detail: String

  public var description: String {
    switch kind {
    case .absent, .unreadable: "\(place.file): \(detail)"
    case .syntax, .tooLarge: "\(place): \(detail)"
    }
  }
}

// MARK: - Parser

private struct SettingsParser {
  private typealias Place = SettingsFile.Place

  private enum Token {
    case name(String)
    case string(String)
    case openBrace, closeBrace, equals, colon, comma, dot
    case end

    var isEnd: Bool {
      if case .end = self { true } else { false }
    }
  }

  /// A file being read; includes are read in place, as strongSwan does, so that a section may begin in one file and
  /// end in another.
  private struct Source {
    var name: String
    var bytes: [UInt8]
    var position = 0
    var line = 1
    /// How many includes lead to it.
    var depth = 0
    var next: UInt8? { position < bytes.count ? bytes[position] : nil }
    /// The byte after the next one.
    var following: UInt8? { position + 1 < bytes.count ? bytes[position + 1] : nil }
    mutating func advance() {
      if next == UInt8(ascii: "\n") { line += 1 }
      position += 1
    }
  }

  private let files: (any Files)?
  private let limits: SettingsFile.Limits
  private var sources: [Source] = []
  private var bytesLeft: Int
  private(set) var read: [String] = []

  init(files: (any Files)?, limits: SettingsFile.Limits) {
    self.files = files
    self.limits = limits
    bytesLeft = limits.bytes
  }

  mutating func parse(_ path: String) throws(SettingsError) -> SettingsFile.Section {
    let place = Place(file: path, line: 1)
    guard let files else { return SettingsFile.Section(name: "", place: place) }
    let bytes: [UInt8]?
    do { bytes = try files.read(path, limit: limits.bytes) } catch {
      throw SettingsError(
        kind: error.errno == .tooLarge ? .tooLarge : .unreadable, place: place, detail: error.errno.description)
    }
    guard let bytes else { throw SettingsError(kind: .absent, place: place, detail: Errno.noSuchFile.description) }
    return try parse(bytes: bytes, name: path)
  }

  mutating func parse(bytes: [UInt8], name: String) throws(SettingsError) -> SettingsFile.Section {
    bytesLeft -= bytes.count
    read.append(name)
    sources = [Source(name: name, bytes: bytes)]
    /// Sections that are open, the file itself first.
    var open = [SettingsFile.Section(name: "", place: Place(file: name, line: 1))]
    while true {
      let (token, place) = try token()
      switch token {
      case .end:
        guard open.count == 1 else {
          let section = open[open.count - 1]
          throw syntax(section.place, "section \(quoted(section.name)) is not closed")
        }
        return open[0]
      case .closeBrace:
        guard open.count > 1, let section = open.popLast() else { throw syntax(place, "a } without a section") }
        open[open.count - 1].merge(section)
      case .name(let name):
        let (next, nextPlace) = try self.token()
        switch next {
        case .equals:
          open[open.count - 1].settings.append(.init(key: name, value: try value(), place: place))
        case .openBrace, .colon:
          guard open.count <= limits.sectionDepth else {
            throw SettingsError(
              kind: .tooLarge, place: place, detail: "sections nest deeper than \(limits.sectionDepth)")
          }
          var section = SettingsFile.Section(name: name, place: place)
          if case .colon = next { section.references = try references() }
          open.append(section)
        case let other:
          throw syntax(
            other.isEnd ? place : nextPlace, "\(quoted(name)) is followed by \(words(for: other)), not by = or {")
        }
      case let other: throw syntax(place, "\(words(for: other)) where a name is expected")
      }
    }
  }

  private func syntax(_ place: Place, _ detail: String) -> SettingsError {
    SettingsError(kind: .syntax, place: place, detail: detail)
  }

  private func words(for token: Token) -> String {
    switch token {
    case .name(let name): quoted(name)
    case .string: "a quoted string"
    case .openBrace: "{"
    case .closeBrace: "}"
    case .equals: "="
    case .colon: ":"
    case .comma: ","
    case .dot: "."
    case .end: "the end of the file"
    }
  }

  /// A name as it may stand in one line of a log.
  private func quoted(_ name: String) -> String {
    let bytes = name.utf8.prefix(40).map { (0x21...0x7e).contains($0) ? $0 : UInt8(ascii: "?") }
    return String(decoding: bytes, as: UTF8.self)
  }

  // MARK: Lexer

  private var place: Place {
    guard let source = sources.last else { return Place(file: read.first ?? "", line: 1) }
    return Place(file: source.name, line: source.line)
  }

  private var next: UInt8? { sources.last?.next }
  private mutating func advance() { if !sources.isEmpty { sources[sources.count - 1].advance() } }

  private static func isNameByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "#"), UInt8(ascii: "{"), UInt8(ascii: "}"), UInt8(ascii: ":"), UInt8(ascii: "."),
      UInt8(ascii: ","), UInt8(ascii: "="), UInt8(ascii: "\""), UInt8(ascii: "\r"), UInt8(ascii: "\n"),
      UInt8(ascii: "\t"), UInt8(ascii: " "):
      false
    default: true
    }
  }

  /// Skips comments and white space, line ends included.
  private mutating func skipBlank() {
    while let byte = next {
      switch byte {
      case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"), UInt8(ascii: "\n"): advance()
      case UInt8(ascii: "#"): while let byte = next, byte != UInt8(ascii: "\n") { advance() }
      default: return
      }
    }
  }

  private mutating func token() throws(SettingsError) -> (Token, Place) {
    while true {
      skipBlank()
      guard let byte = next else {
        // The end of an included file: go on behind its `include`.
        if sources.count > 1 {
          sources.removeLast()
          continue
        }
        return (.end, place)
      }
      let place = self.place
      switch byte {
      case UInt8(ascii: "{"):
        advance()
        return (.openBrace, place)
      case UInt8(ascii: "}"):
        advance()
        return (.closeBrace, place)
      case UInt8(ascii: "="):
        advance()
        return (.equals, place)
      case UInt8(ascii: ":"):
        advance()
        return (.colon, place)
      case UInt8(ascii: ","):
        advance()
        return (.comma, place)
      case UInt8(ascii: "."):
        advance()
        return (.dot, place)
      case UInt8(ascii: "\""): throw syntax(place, "a quoted string where a name is expected")
      default:
        if try include() { continue }
        return (.name(text { Self.isNameByte($0) }), place)
      }
    }
  }

  private mutating func text(while belongs: (UInt8) -> Bool) -> String {
    var bytes: [UInt8] = []
    while let byte = next, belongs(byte) {
      bytes.append(byte)
      advance()
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// What stands behind `=`, to the end of the line: words and strings, joined by single spaces; nil for nothing.
  private mutating func value() throws(SettingsError) -> String? {
    var parts: [String] = []
    while let byte = next {
      switch byte {
      case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"): advance()
      case UInt8(ascii: "\n"), UInt8(ascii: "#"), UInt8(ascii: "}"): return parts.isEmpty ? nil : parts.joined(separator: " ")
      case UInt8(ascii: "\""): parts.append(try string())
      default:
        parts.append(
          text {
            switch $0 {
            case UInt8(ascii: "#"), UInt8(ascii: "}"), UInt8(ascii: "\""), UInt8(ascii: "\r"), UInt8(ascii: "\n"),
              UInt8(ascii: "\t"), UInt8(ascii: " "):
              false
            default: true
            }
          })
      }
    }
    return parts.isEmpty ? nil : parts.joined(separator: " ")
  }

  /// A quoted string, which may go over several lines.
  private mutating func string() throws(SettingsError) -> String {
    let begin = place
    advance()
    var bytes: [UInt8] = []
    while let byte = next {
      switch byte {
      case UInt8(ascii: "\""):
        advance()
        return String(decoding: bytes, as: UTF8.self)
      case UInt8(ascii: "\r"): advance()
      case UInt8(ascii: "\\"):
        advance()
        guard var escaped = next else { throw syntax(begin, "a string is not closed") }
        // An escaped line end joins the lines.
        if escaped == UInt8(ascii: "\r"), sources.last?.following == UInt8(ascii: "\n") {
          advance()
          escaped = UInt8(ascii: "\n")
        }
        switch escaped {
        case UInt8(ascii: "\n"): break
        case UInt8(ascii: "n"): bytes.append(UInt8(ascii: "\n"))
        case UInt8(ascii: "r"): bytes.append(UInt8(ascii: "\r"))
        case UInt8(ascii: "t"): bytes.append(UInt8(ascii: "\t"))
        default: bytes.append(escaped)
        }
        advance()
      default:
        bytes.append(byte)
        advance()
      }
    }
    throw syntax(begin, "a string is not closed")
  }

  /// The names behind `:`, up to and including `{`.
  private mutating func references() throws(SettingsError) -> [String] {
    var names: [String] = []
    while true {
      skipBlank()
      let place = self.place
      let name = text { Self.isNameByte($0) || $0 == UInt8(ascii: ".") }
      guard !name.isEmpty, !name.hasPrefix("."), !name.hasSuffix("."), !name.contains("..") else {
        throw syntax(place, "a reference to a section is expected behind : or ,")
      }
      names.append(name)
      // Here `include` is a name like any other, so that the lexer is not asked.
      skipBlank()
      let behind = self.place
      switch next {
      case UInt8(ascii: ",")?: advance()
      case UInt8(ascii: "{")?:
        advance()
        return names
      case let byte?:
        let word = text { Self.isNameByte($0) }
        let shown = word.isEmpty ? String(Unicode.Scalar(byte)) : word
        throw syntax(behind, "reference \(quoted(name)) is followed by \(quoted(shown)), not by , or {")
      case nil: throw syntax(behind, "reference \(quoted(name)) is followed by the end of the file, not by , or {")
      }
    }
  }

  // MARK: Includes

  /// Whether an `include` stood here; what it names is then read next.
  private mutating func include() throws(SettingsError) -> Bool {
    guard let source = sources.last else { return false }
    let keyword = Array("include".utf8)
    guard source.bytes[source.position...].starts(with: keyword) else { return false }
    var at = source.position + keyword.count
    let blanks = at
    while at < source.bytes.count, source.bytes[at] == UInt8(ascii: " ") || source.bytes[at] == UInt8(ascii: "\t") { at += 1 }
    guard at > blanks, at < source.bytes.count else { return false }
    if source.bytes[at] == UInt8(ascii: "=") {
      // `include = x` is a setting of that name; with two blanks strongSwan's lexer takes it for an include of nothing.
      guard at - blanks > 1 else { return false }
      at -= 1
    }
    let place = self.place
    sources[sources.count - 1].position = at
    var pattern: [UInt8] = []
    reading: while let byte = next {
      switch byte {
      case UInt8(ascii: "\r"): advance()
      case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\n"), UInt8(ascii: "#"), UInt8(ascii: "}"): break reading
      case UInt8(ascii: "\""):
        pattern += Array(try string().utf8)
        break reading
      case UInt8(ascii: "\\"):
        advance()
        switch next {
        case UInt8(ascii: "\"")?, UInt8(ascii: "#")?, UInt8(ascii: "}")?, UInt8(ascii: " ")?:
          pattern.append(next ?? byte)
          advance()
        default: pattern.append(byte)
        }
      default:
        pattern.append(byte)
        advance()
      }
    }
    try open(String(decoding: pattern, as: UTF8.self), from: place)
    return true
  }

  private mutating func open(_ pattern: String, from place: Place) throws(SettingsError) {
    guard let files, !pattern.isEmpty else { return }
    let directory = place.file.lastIndex(of: "/").map { String(place.file[..<$0]) } ?? "."
    let whole = pattern.hasPrefix("/") ? pattern : "\(directory)/\(pattern)"
    let depth = (sources.last?.depth ?? 0) + 1
    guard depth <= limits.includeDepth else {
      throw SettingsError(kind: .tooLarge, place: place, detail: "includes nest deeper than \(limits.includeDepth)")
    }
    // The last one first: each is read before what lies below it on the stack.
    for path in FilePattern(whole).matches(in: files).reversed() {
      let bytes: [UInt8]?
      do { bytes = try files.read(path, limit: max(bytesLeft, 0)) } catch {
        guard error.errno != .tooLarge else {
          throw SettingsError(kind: .tooLarge, place: place, detail: "the files are larger than \(limits.bytes) bytes")
        }
        // A pipe would keep strongSwan waiting for who writes into it.
        guard error.errno != .invalidArgument else {
          throw SettingsError(kind: .syntax, place: place, detail: "\(path) is not a regular file")
        }
        continue
      }
      guard let bytes else { continue }
      guard read.count < limits.files else {
        throw SettingsError(kind: .tooLarge, place: place, detail: "more than \(limits.files) files")
      }
      bytesLeft -= bytes.count
      read.append(path)
      sources.append(Source(name: path, bytes: bytes, depth: depth))
    }
  }
}
