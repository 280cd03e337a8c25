import Host
import OCF

/// An interface's name as rules have it; a `*` at the end stands for the rest of it.
struct InterfacePattern: ParameterValue, Hashable, ExpressibleByStringLiteral {
  let text: String
  static var contentType: ContentType { .string }

  init(stringLiteral text: String) { self.text = text }

  init(parameter text: String) throws(Unreadable) {
    let name = text.hasSuffix("*") ? text.dropLast() : text[...]
    guard (1...15).contains(name.utf8.count), name.utf8.allSatisfy(Self.isAllowed) else {
      throw Unreadable("expected names of interfaces")
    }
    self.text = text
  }
  var parameterText: String? { text }
  var isWildcard: Bool { text.hasSuffix("*") }

  /// Letters, digits and what names of interfaces have besides, but nothing that means something between quotes.
  private static func isAllowed(_ byte: UInt8) -> Bool {
    Character(Unicode.Scalar(byte)).isLetterOrDigit || "-_.:@+".utf8.contains(byte)
  }
}

/// A network: `10.9.0.0/24`.
struct Prefix: ParameterValue, Hashable, CustomStringConvertible {
  let network: IPAddress
  let length: Int
  static var contentType: ContentType { .string }

  init(parameter text: String) throws(Unreadable) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, let network = IPAddress(parts[0]), parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }),
      let length = Int(parts[1]), (1...network.bits).contains(length)
    else { throw Unreadable("expected networks such as 10.9.0.0/24") }
    guard network.withHostBits(set: false, prefixLength: length) == network else {
      throw Unreadable("expected the network's own address in front of the slash")
    }
    self.network = network
    self.length = length
  }
  var parameterText: String? { description }
  var description: String { "\(network)/\(length)" }
  /// Its first address and its last one.
  var ends: [IPAddress] { [network, network.withHostBits(set: true, prefixLength: length)] }
}

/// A table's name: an identifier of nft's language that is no word of it by its first letters.
struct TableName: ParameterValue, Hashable, ExpressibleByStringLiteral, CustomStringConvertible {
  let description: String
  static var contentType: ContentType { .string }

  init(stringLiteral text: String) { description = text }

  init(parameter text: String) throws(Unreadable) {
    guard (1...60).contains(text.utf8.count), let first = text.first, first.isASCII, first.isLetter,
      text.utf8.allSatisfy({ Character(Unicode.Scalar($0)).isLetterOrDigit || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: "-") })
    else { throw Unreadable("expected a letter, then letters, digits, - and _, at most 60") }
    description = text
  }
  var parameterText: String? { description }
}

extension Character {
  fileprivate var isLetterOrDigit: Bool { isASCII && (isLetter || isNumber) }
}
