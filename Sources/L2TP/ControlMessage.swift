/// A control message of L2TPv2 (RFC 2661 §3.1): tunnel set-up and tear-down, calls, acknowledgements.
public struct ControlMessage: Hashable, Sendable {
  /// The receiver's identifier of the tunnel; 0 as long as it has not told one.
  public var tunnel: UInt16
  /// The receiver's identifier of the session; 0 when the message is about the tunnel.
  public var session: UInt16
  /// The sequence number of this message (Ns).
  public var number: UInt16
  /// The sequence number expected next from the receiver (Nr): acknowledges all before it.
  public var expected: UInt16
  /// Empty in a zero-length body message, a mere acknowledgement.
  public var attributes: [Attribute]

  public init(tunnel: UInt16, session: UInt16 = 0, number: UInt16, expected: UInt16, attributes: [Attribute] = []) {
    self.tunnel = tunnel
    self.session = session
    self.number = number
    self.expected = expected
    self.attributes = attributes
  }

  /// The message types used here, of those in RFC 2661 §3.2.
  public enum Kind: UInt16, Hashable, Sendable {
    case startRequest = 1
    case startReply = 2
    case startConnected = 3
    case stop = 4
    case hello = 6
    case incomingCallRequest = 10
    case incomingCallReply = 11
    case incomingCallConnected = 12
    case callDisconnect = 14
  }

  /// A message of `kind`, its type attribute put first.
  public init(
    _ kind: Kind, tunnel: UInt16, session: UInt16 = 0, number: UInt16, expected: UInt16, _ attributes: [Attribute] = []
  ) {
    self.init(
      tunnel: tunnel, session: session, number: number, expected: expected,
      attributes: [.number(.messageType, kind.rawValue)] + attributes)
  }

  public var isAcknowledgement: Bool { attributes.isEmpty }

  /// Nil for an acknowledgement and for a type not listed in `Kind`.
  public var kind: Kind? { self[.messageType]?.number.flatMap(Kind.init) }

  public subscript(_ type: Attribute.Kind) -> Attribute? {
    attributes.first { $0.vendor == 0 && $0.type == type.rawValue }
  }

  public var result: ResultCode? { self[.resultCode].flatMap { $0.isHidden ? nil : ResultCode($0.value) } }

  // MARK: - Bytes

  static let headerLength = 12
  private static let flags: UInt16 = 0xc802  // T, L and S set, version 2
  private static let checkedFlags: UInt16 = 0xcb0f  // T, L, S, O, P and the version

  /// The datagram. An attribute whose value is longer than the field can say is cut.
  public var bytes: [UInt8] {
    var body: [UInt8] = []
    for attribute in attributes {
      let value = attribute.value.prefix(Attribute.longestValue)
      var lead = UInt16(6 + value.count)
      if attribute.isMandatory { lead |= 0x8000 }
      if attribute.isHidden { lead |= 0x4000 }
      body.append(lead)
      body.append(attribute.vendor)
      body.append(attribute.type)
      body += value
    }
    var bytes: [UInt8] = []
    bytes.append(Self.flags)
    bytes.append(UInt16(clamping: Self.headerLength + body.count))
    for field in [tunnel, session, number, expected] { bytes.append(field) }
    return bytes + body
  }

  /// Reads one datagram; bytes after the length it states are ignored.
  ///
  /// - Throws: `.malformed` for a data message, another version, an attribute that does not fit, a first attribute that is
  ///   not the message type.
  public init(_ datagram: [UInt8]) throws(L2TPError) {
    func number(at index: Int) -> UInt16 { UInt16(datagram[index]) << 8 | UInt16(datagram[index + 1]) }
    guard datagram.count >= Self.headerLength else { throw .malformed("\(datagram.count) bytes, a header has 12") }
    let flags = number(at: 0)
    guard flags & Self.checkedFlags == Self.flags else {
      throw .malformed("flags \(String(flags, radix: 16)) are not those of an L2TPv2 control message")
    }
    let length = Int(number(at: 2))
    guard length >= Self.headerLength, length <= datagram.count else {
      throw .malformed("length \(length) in a datagram of \(datagram.count) bytes")
    }
    self.init(tunnel: number(at: 4), session: number(at: 6), number: number(at: 8), expected: number(at: 10))
    var at = Self.headerLength
    while at < length {
      guard at + 6 <= length else { throw .malformed("an attribute is cut at byte \(at)") }
      let lead = number(at: at)
      let size = Int(lead & 0x03ff)
      guard size >= 6, at + size <= length else { throw .malformed("an attribute of \(size) bytes at byte \(at)") }
      attributes.append(
        Attribute(
          vendor: number(at: at + 2), type: number(at: at + 4), value: Array(datagram[(at + 6)..<(at + size)]),
          isMandatory: lead & 0x8000 != 0, isHidden: lead & 0x4000 != 0))
      at += size
    }
    guard let first = attributes.first else { return }
    guard first.vendor == 0, first.type == Attribute.Kind.messageType.rawValue, first.number != nil else {
      throw .malformed("the first attribute is not a message type")
    }
  }
}

extension [UInt8] {
  mutating func append(_ number: UInt16) {
    append(UInt8(number >> 8))
    append(UInt8(truncatingIfNeeded: number))
  }
}
