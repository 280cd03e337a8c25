/// An attribute-value pair of a control message (RFC 2661 §4.1).
public struct Attribute: Hashable, Sendable {
  /// The receiver must know it or end the tunnel or session (the M bit).
  public var isMandatory: Bool
  /// The value is obscured with the tunnel's shared secret (the H bit, §4.3); it is not unravelled here.
  public var isHidden: Bool
  /// 0 for the attributes of the RFC.
  public var vendor: UInt16
  public var type: UInt16
  /// At most 1017 bytes.
  public var value: [UInt8]

  public init(_ type: Kind, _ value: [UInt8], isMandatory: Bool = true) {
    self.init(vendor: 0, type: type.rawValue, value: value, isMandatory: isMandatory)
  }

  public init(vendor: UInt16, type: UInt16, value: [UInt8], isMandatory: Bool = false, isHidden: Bool = false) {
    self.isMandatory = isMandatory
    self.isHidden = isHidden
    self.vendor = vendor
    self.type = type
    self.value = value
  }

  /// The attributes used here, of those in RFC 2661 §4.4.
  public enum Kind: UInt16, Hashable, Sendable {
    case messageType = 0
    case resultCode = 1
    case protocolVersion = 2
    case framingCapabilities = 3
    case bearerCapabilities = 4
    case firmwareRevision = 6
    case hostName = 7
    case vendorName = 8
    case assignedTunnel = 9
    case receiveWindow = 10
    case challenge = 11
    case challengeResponse = 13
    case assignedSession = 14
    case callSerialNumber = 15
    case framingType = 19
    case transmitSpeed = 24
  }

  public static func number(_ type: Kind, _ value: UInt16) -> Attribute {
    Attribute(type, [UInt8(value >> 8), UInt8(truncatingIfNeeded: value)])
  }
  public static func number(_ type: Kind, _ value: UInt32) -> Attribute {
    Attribute(type, (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) })
  }
  /// The first 1017 bytes of `text`.
  public static func text(_ type: Kind, _ text: String) -> Attribute {
    Attribute(type, Array(text.utf8.prefix(Self.longestValue)))
  }

  static let longestValue = 1017

  /// The value as a 16-bit number, nil unless it is two bytes in the clear.
  public var number: UInt16? {
    guard value.count == 2, !isHidden else { return nil }
    return UInt16(value[0]) << 8 | UInt16(value[1])
  }
}

/// What StopCCN and CDN say about the end: *result*, perhaps *error* and words (RFC 2661 §4.4.2).
public struct ResultCode: Hashable, Sendable, CustomStringConvertible {
  public var result: UInt16
  public var error: UInt16?
  public var message: String

  public init(result: UInt16, error: UInt16? = nil, message: String = "") {
    self.result = result
    self.error = error
    self.message = message
  }

  public init?(_ value: [UInt8]) {
    guard value.count >= 2 else { return nil }
    result = UInt16(value[0]) << 8 | UInt16(value[1])
    error = value.count >= 4 ? UInt16(value[2]) << 8 | UInt16(value[3]) : nil
    message = String(decoding: value.dropFirst(4).prefix { $0 != 0 }, as: UTF8.self)
  }

  /// "Insufficient resources to handle this operation now": a server that has as many clients as it can, or no address left.
  var isForLackOfRoom: Bool { result == 2 && error == 4 }

  public var description: String { described(as: numbers) }

  private var numbers: String { error.map { "result \(result), error \($0)" } ?? "result \(result)" }
  private func described(as text: String) -> String {
    let printable = String(String.UnicodeScalarView(message.unicodeScalars.filter { $0.value >= 0x20 && $0.value != 0x7f }))
    return printable.isEmpty ? text : "\(text): \(printable)"
  }

  /// The same with what the numbers mean, in a StopCCN and in a CDN.
  func words(isTunnel: Bool) -> String {
    let names = isTunnel ? Self.tunnelResults : Self.callResults
    var words = result > 0 && Int(result) <= names.count ? names[Int(result) - 1] : ""
    // Only a general error is told more of.
    if result == 2, let error, error > 0, Int(error) <= Self.errors.count { words = Self.errors[Int(error) - 1] }
    return described(as: words.isEmpty ? numbers : "\(words) (\(error ?? 0 == 0 ? "result \(result)" : numbers))")
  }

  private static let tunnelResults = [
    "the tunnel is cleared", "general error", "the tunnel exists already", "not authorized", "protocol version not supported",
    "the server is shutting down", "unexpected message",
  ]
  private static let callResults = [
    "the session lost its carrier", "general error", "administrative reasons", "no facilities at the moment", "no facilities",
    "invalid destination", "no carrier", "busy", "no dial tone", "not established in time", "no framing",
  ]
  private static let errors = [
    "no tunnel yet", "wrong length", "a field out of range", "insufficient resources", "invalid session", "refused by the server",
    "try another server", "unknown mandatory attribute",
  ]
}
