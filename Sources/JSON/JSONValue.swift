/// A value of JSON (RFC 8259), as another program or another node wrote it: whatever is in it, reading ends, and a text that is no JSON is
/// nil. Numbers are kept as they are written.
public indirect enum JSONValue: Equatable {
  case null
  case bool(Bool)
  case number(String)
  case string(String)
  case array([JSONValue])
  case object([(String, JSONValue)])

  /// Containers may be in each other so deep, and no deeper.
  private static let depthLimit = 64

  public init?(_ text: some Sequence<UInt8>) {
    var reader = Reader(bytes: Array(text))
    guard let value = reader.value(depth: 0), reader.isAtEnd() else { return nil }
    self = value
  }

  public subscript(name: String) -> JSONValue? {
    guard case .object(let members) = self else { return nil }
    return members.first { $0.0 == name }?.1
  }
  public var string: String? { if case .string(let text) = self { text } else { nil } }
  public var elements: [JSONValue] { if case .array(let elements) = self { elements } else { [] } }
  public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  public var integer: UInt64? { if case .number(let text) = self { UInt64(text) } else { nil } }

  public static func == (a: JSONValue, b: JSONValue) -> Bool {
    switch (a, b) {
    case (.null, .null): true
    case (.bool(let a), .bool(let b)): a == b
    case (.number(let a), .number(let b)), (.string(let a), .string(let b)): a == b
    case (.array(let a), .array(let b)): a == b
    case (.object(let a), .object(let b)): a.count == b.count && zip(a, b).allSatisfy { $0.0 == $1.0 && $0.1 == $1.1 }
    default: false
    }
  }

  private struct Reader {
    var bytes: [UInt8]
    var place = 0

    private var byte: UInt8? { place < bytes.count ? bytes[place] : nil }

    private mutating func skip() {
      while let byte, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { place += 1 }
    }
    private mutating func take(_ letter: Unicode.Scalar) -> Bool {
      guard byte == UInt8(letter.value) else { return false }
      place += 1
      return true
    }
    private mutating func take(word: StaticString) -> Bool {
      let letters = word.withUTF8Buffer { Array($0) }
      guard bytes[place...].starts(with: letters) else { return false }
      place += letters.count
      return true
    }
    mutating func isAtEnd() -> Bool {
      skip()
      return place == bytes.count
    }

    mutating func value(depth: Int) -> JSONValue? {
      guard depth < JSONValue.depthLimit else { return nil }
      skip()
      switch byte {
      case UInt8(ascii: "{"):
        place += 1
        var members: [(String, JSONValue)] = []
        skip()
        if take("}") { return .object([]) }
        repeat {
          skip()
          guard let name = text() else { return nil }
          skip()
          guard take(":"), let value = value(depth: depth + 1) else { return nil }
          members.append((name, value))
          skip()
        } while take(",")
        return take("}") ? .object(members) : nil
      case UInt8(ascii: "["):
        place += 1
        var elements: [JSONValue] = []
        skip()
        if take("]") { return .array([]) }
        repeat {
          guard let value = value(depth: depth + 1) else { return nil }
          elements.append(value)
          skip()
        } while take(",")
        return take("]") ? .array(elements) : nil
      case UInt8(ascii: "\""): return text().map { .string($0) }
      case UInt8(ascii: "t"): return take(word: "true") ? .bool(true) : nil
      case UInt8(ascii: "f"): return take(word: "false") ? .bool(false) : nil
      case UInt8(ascii: "n"): return take(word: "null") ? .null : nil
      default:
        let start = place
        while let byte, "+-.0123456789eE".utf8.contains(byte) { place += 1 }
        let number = String(decoding: bytes[start..<place], as: UTF8.self)
        return place > start && Double(number) != nil ? .number(number) : nil
      }
    }

    private mutating func text() -> String? {
      guard take("\"") else { return nil }
      var result: [UInt8] = []
      while let next = byte {
        place += 1
        switch next {
        case UInt8(ascii: "\""): return String(decoding: result, as: UTF8.self)
        case UInt8(ascii: "\\"):
          guard let escape = byte else { return nil }
          place += 1
          switch escape {
          case UInt8(ascii: "n"): result.append(0x0a)
          case UInt8(ascii: "t"): result.append(0x09)
          case UInt8(ascii: "r"): result.append(0x0d)
          case UInt8(ascii: "b"): result.append(0x08)
          case UInt8(ascii: "f"): result.append(0x0c)
          case UInt8(ascii: "u"):
            guard var code = hex() else { return nil }
            // The second half of a pair follows, or the first half stands for nothing.
            if (0xd800..<0xdc00).contains(code), take(word: "\\u"), let low = hex(), (0xdc00..<0xe000).contains(low) {
              code = 0x10000 + (code - 0xd800) << 10 + (low - 0xdc00)
            }
            result += String(Unicode.Scalar(code).map(Character.init) ?? "\u{fffd}").utf8
          case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): result.append(escape)
          default: return nil
          }
        case 0..<0x20: return nil
        default: result.append(next)
        }
      }
      return nil
    }

    private mutating func hex() -> UInt32? {
      guard place + 4 <= bytes.count, bytes[place..<place + 4].allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }) else { return nil }
      defer { place += 4 }
      return UInt32(String(decoding: bytes[place..<place + 4], as: UTF8.self), radix: 16)
    }
  }
}
