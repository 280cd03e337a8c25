import Host

/// An X.509 certificate as far as it matters here.
public struct Certificate: Hashable, Sendable {
  /// Whether its private key is loaded.
  public var hasPrivateKey: Bool
  /// When it ends; nil where its encoding does not tell.
  public var end: Timestamp?

  public init(hasPrivateKey: Bool, encoding: [UInt8]) {
    self.hasPrivateKey = hasPrivateKey
    end = Self.end(of: encoding[...])
  }

  /// `notAfter` of RFC 5280 §4.1: the second time of the fourth field (the fifth behind an explicit version).
  private static func end(of encoding: ArraySlice<UInt8>) -> Timestamp? {
    var rest = encoding
    guard var certificate = element(&rest, 0x30), var fields = element(&certificate, 0x30) else { return nil }
    if fields.first == 0xa0 { _ = element(&fields, 0xa0) }
    for tag in [UInt8(0x02), 0x30, 0x30] where element(&fields, tag) == nil { return nil }
    guard var validity = element(&fields, 0x30) else { return nil }
    _ = element(&validity)
    let isLong = validity.first == 0x18
    guard let text = element(&validity, isLong ? 0x18 : 0x17) else { return nil }
    return time(text, yearDigits: isLong ? 4 : 2)
  }

  /// Takes one element off the front and returns its content; nil where it is another one, or is cut off.
  private static func element(_ bytes: inout ArraySlice<UInt8>, _ tag: UInt8? = nil) -> ArraySlice<UInt8>? {
    guard let first = bytes.popFirst(), tag == nil || first == tag, let short = bytes.popFirst() else { return nil }
    var length = Int(short)
    if short & 0x80 != 0 {
      let count = Int(short & 0x7f)
      guard (1...3).contains(count), bytes.count >= count else { return nil }
      length = bytes.prefix(count).reduce(0) { $0 << 8 | Int($1) }
      bytes = bytes.dropFirst(count)
    }
    guard bytes.count >= length else { return nil }
    defer { bytes = bytes.dropFirst(length) }
    return bytes.prefix(length)
  }

  /// `YYMMDDhhmmssZ`, or the same with four digits of the year. Two digits below 50 are of this century (RFC 5280 §4.1.2.5.1).
  private static func time(_ text: ArraySlice<UInt8>, yearDigits: Int) -> Timestamp? {
    guard text.count == yearDigits + 11, text.last == UInt8(ascii: "Z") else { return nil }
    let digits = text.dropLast().map { Int64($0) - 48 }
    guard digits.allSatisfy({ (0...9).contains($0) }) else { return nil }
    var year = digits.prefix(yearDigits).reduce(0) { $0 * 10 + $1 }
    if yearDigits == 2 { year += year < 50 ? 2000 : 1900 }
    let rest = Array(digits.dropFirst(yearDigits))
    let two = stride(from: 0, to: 10, by: 2).map { rest[$0] * 10 + rest[$0 + 1] }
    return Timestamp(year: year, month: two[0], day: two[1], hour: two[2], minute: two[3], second: two[4])
  }
}
