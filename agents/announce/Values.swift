import Host
import OCF

/// An address that a router is told of by itself: `203.0.113.50`, or `203.0.113.50/32`.
struct HostRoute: ParameterValue, Hashable, CustomStringConvertible {
  let address: IPAddress
  static var contentType: ContentType { .string }

  init(_ address: IPAddress) { self.address = address }

  init(parameter text: String) throws(Unreadable) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count <= 2, let address = parts.first.flatMap({ IPAddress($0) }), parts.count == 1 || parts[1] == "\(address.bits)" else {
      throw Unreadable("expected addresses, alone or with /32 or /128: only what a node holds can be tied to it")
    }
    self.address = address
  }
  var parameterText: String? { description }
  var description: String { "\(address)/\(address.bits)" }
}

/// The name of a protocol in BIRD's configuration.
struct ProtocolName: ParameterValue, Hashable, CustomStringConvertible {
  let description: String
  static var contentType: ContentType { .string }

  /// Letters, digits and what BIRD allows between quotes besides.
  init(parameter text: String) throws(Unreadable) {
    guard (1...64).contains(text.utf8.count), text.utf8.allSatisfy({ $0.isLetterOrDigit || "_-.:".utf8.contains($0) }) else {
      throw Unreadable("expected names of BIRD's protocols")
    }
    description = text
  }
  var parameterText: String? { description }
}

/// The name of a function in BIRD's configuration.
struct FunctionName: ParameterValue, Hashable, ExpressibleByStringLiteral, CustomStringConvertible {
  let description: String
  static var contentType: ContentType { .string }

  init(stringLiteral text: String) { description = text }

  init(parameter text: String) throws(Unreadable) {
    guard (1...40).contains(text.utf8.count), let first = text.utf8.first, !(0x30...0x39).contains(first),
      text.utf8.allSatisfy({ $0.isLetterOrDigit || $0 == UInt8(ascii: "_") })
    else { throw Unreadable("expected a letter, then letters, digits and _, at most 40") }
    description = text
  }
  var parameterText: String? { description }
}

/// What a member says of the addresses while it is not promoted.
enum Standby: String, ParameterChoice {
  case withdraw, med, prepend
}

extension UInt8 {
  var isLetterOrDigit: Bool {
    (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(self) || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(self) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self)
  }
}
