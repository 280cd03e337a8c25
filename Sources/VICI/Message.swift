/// The body of a VICI packet: named values, lists and sections, in the order in which they were sent.
///
/// Source: strongSwan `src/libcharon/plugins/vici/README.md`, "Message format".
public struct Message: Hashable, Sendable {
  public enum Value: Hashable, Sendable {
    case text([UInt8])
    case list([[UInt8]])
    case section(Message)
  }

  public struct Entry: Hashable, Sendable {
    /// At most 255 bytes of UTF-8.
    public var name: String
    public var value: Value
    public init(_ name: String, _ value: Value) {
      self.name = name
      self.value = value
    }
  }

  public var entries: [Entry]

  public init(_ entries: [Entry] = []) { self.entries = entries }

  /// The first value of that name.
  public subscript(_ name: String) -> Value? { entries.first { $0.name == name }?.value }

  /// Sections nested deeper than this are refused; charon's own answers need four.
  public static let depthLimit = 16

  // MARK: Reading

  /// A value as text; bytes that are not UTF-8 become U+FFFD.
  public func text(_ name: String) -> String? {
    guard case .text(let bytes)? = self[name] else { return nil }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// A value fit for one line of a log or a reason: at most 200 bytes, printable ASCII, anything else as `?`.
  public func printable(_ name: String) -> String? {
    guard case .text(let bytes)? = self[name], !bytes.isEmpty else { return nil }
    return bytes.prefix(200).printable
  }

  /// A decimal number.
  public func number(_ name: String) -> UInt64? { text(name).flatMap { UInt64($0) } }
  /// `yes` is true; anything else, and absence, is false.
  public func flag(_ name: String) -> Bool { self[name] == .text(Array("yes".utf8)) }

  public func list(_ name: String) -> [String]? {
    guard case .list(let items)? = self[name] else { return nil }
    return items.map { String(decoding: $0, as: UTF8.self) }
  }

  public func section(_ name: String) -> Message? {
    guard case .section(let message)? = self[name] else { return nil }
    return message
  }

  /// The sections directly inside, with their names.
  public var sections: [(name: String, message: Message)] {
    entries.compactMap { entry in
      guard case .section(let message) = entry.value else { return nil }
      return (entry.name, message)
    }
  }

  // MARK: Writing

  public mutating func append(_ name: String, _ text: some StringProtocol) {
    entries.append(Entry(name, .text(Array(text.utf8))))
  }
  public mutating func append(_ name: String, _ number: some BinaryInteger) { append(name, String(number)) }
  public mutating func append(_ name: String, _ flag: Bool) { append(name, flag ? "yes" : "no") }
  public mutating func append(_ name: String, _ items: [String]) {
    entries.append(Entry(name, .list(items.map { Array($0.utf8) })))
  }
  public mutating func append(_ name: String, _ section: Message) { entries.append(Entry(name, .section(section))) }
}

// MARK: - Wire format

/// Element types of a message (`vici_message.h`, `vici_type_t`).
enum ElementType: UInt8 {
  case sectionStart = 1
  case sectionEnd = 2
  case keyValue = 3
  case listStart = 4
  case listItem = 5
  case listEnd = 6
}

extension Message {
  /// Appends the message's elements to `bytes`.
  func encode(into bytes: inout [UInt8]) throws(VICIError) {
    for entry in entries {
      switch entry.value {
      case .text(let value):
        bytes.append(ElementType.keyValue.rawValue)
        try bytes.append(name: entry.name)
        try bytes.append(value: value, of: entry.name)
      case .list(let items):
        bytes.append(ElementType.listStart.rawValue)
        try bytes.append(name: entry.name)
        for item in items {
          bytes.append(ElementType.listItem.rawValue)
          try bytes.append(value: item, of: entry.name)
        }
        bytes.append(ElementType.listEnd.rawValue)
      case .section(let message):
        bytes.append(ElementType.sectionStart.rawValue)
        try bytes.append(name: entry.name)
        try message.encode(into: &bytes)
        bytes.append(ElementType.sectionEnd.rawValue)
      }
    }
  }

  /// Reads elements up to the end of `bytes`. Everything that is opened must be closed again.
  ///
  /// What is built is never larger than what was sent, and nests at most `depthLimit` deep.
  init(decoding bytes: ArraySlice<UInt8>) throws(VICIError) {
    var cursor = Cursor(bytes)
    var open: [(name: String, entries: [Entry])] = [("", [])]
    var list: (name: String, items: [[UInt8]])?
    while let code = cursor.byte() {
      guard let type = ElementType(rawValue: code) else {
        throw .malformed("element type \(code) at byte \(cursor.offset - 1)")
      }
      if list != nil, type != .listItem, type != .listEnd {
        throw .malformed("an element of type \(code) inside a list at byte \(cursor.offset - 1)")
      }
      switch type {
      case .sectionStart:
        guard open.count <= Self.depthLimit else {
          throw .malformed("sections nest deeper than \(Self.depthLimit)")
        }
        open.append((try cursor.name(), []))
      case .sectionEnd:
        guard open.count > 1, let section = open.popLast() else {
          throw .malformed("a section ends that was not begun at byte \(cursor.offset - 1)")
        }
        open[open.count - 1].entries.append(Entry(section.name, .section(Message(section.entries))))
      case .keyValue:
        let name = try cursor.name()
        open[open.count - 1].entries.append(Entry(name, .text(try cursor.value())))
      case .listStart:
        list = (try cursor.name(), [])
      case .listItem:
        guard list != nil else { throw .malformed("a list item outside a list at byte \(cursor.offset - 1)") }
        list?.items.append(try cursor.value())
      case .listEnd:
        guard let ended = list else {
          throw .malformed("a list ends that was not begun at byte \(cursor.offset - 1)")
        }
        open[open.count - 1].entries.append(Entry(ended.name, .list(ended.items)))
        list = nil
      }
    }
    if let list { throw .malformed("list \(list.name.debugDescription) is cut off") }
    guard open.count == 1 else {
      throw .malformed("section \(open[open.count - 1].name.debugDescription) is cut off")
    }
    entries = open[0].entries
  }
}

extension [UInt8] {
  mutating func append(name: String) throws(VICIError) {
    guard let length = UInt8(exactly: name.utf8.count) else {
      throw .malformed("the name is \(name.utf8.count) bytes long, 255 fit", while: "writing a VICI message")
    }
    append(length)
    append(contentsOf: name.utf8)
  }

  mutating func append(value: [UInt8], of name: String) throws(VICIError) {
    guard let length = UInt16(exactly: value.count) else {
      throw .malformed("\(name) is \(value.count) bytes long, 65535 fit", while: "writing a VICI message")
    }
    append(UInt8(length >> 8))
    append(UInt8(truncatingIfNeeded: length))
    append(contentsOf: value)
  }
}

/// Reads bytes one after the other and never past the end.
struct Cursor {
  private var rest: ArraySlice<UInt8>
  private let start: Int
  /// Bytes read so far.
  var offset: Int { rest.startIndex - start }

  init(_ bytes: ArraySlice<UInt8>) {
    rest = bytes
    start = bytes.startIndex
  }

  mutating func byte() -> UInt8? { rest.popFirst() }

  mutating func name() throws(VICIError) -> String {
    guard let length = byte() else { throw .malformed("a name is cut off at byte \(offset)") }
    return String(decoding: try take(Int(length), "a name"), as: UTF8.self)
  }

  mutating func value() throws(VICIError) -> [UInt8] {
    guard let high = byte(), let low = byte() else { throw .malformed("a value is cut off at byte \(offset)") }
    return Array(try take(Int(high) << 8 | Int(low), "a value"))
  }

  private mutating func take(_ count: Int, _ what: String) throws(VICIError) -> ArraySlice<UInt8> {
    guard count <= rest.count else {
      throw .malformed("\(what) of \(count) bytes at byte \(offset), \(rest.count) are left")
    }
    defer { rest = rest.dropFirst(count) }
    return rest.prefix(count)
  }

  /// What has not been read.
  var remainder: ArraySlice<UInt8> { rest }
}
