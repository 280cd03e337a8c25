/// A netlink request under construction: header, fixed body, attributes (`linux/netlink.h`).
///
/// Numbers are in host byte order, as the kernel wants them; the few that netlink carries in network order say so.
public struct Message: Equatable, Sendable {
  public static let headerSize = 16

  public var type: UInt16
  /// `NLM_F_*`.
  public var flags: UInt16
  /// Everything behind the header.
  public private(set) var payload: [UInt8] = []

  public init(type: UInt16, flags: UInt16) {
    self.type = type
    self.flags = flags
  }

  public mutating func append(_ bytes: some Sequence<UInt8>) { payload.append(contentsOf: bytes) }

  public mutating func append<Value: FixedWidthInteger>(_ value: Value) {
    withUnsafeBytes(of: value) { payload.append(contentsOf: $0) }
  }

  /// Zeros up to `count` bytes in all.
  public mutating func pad(to count: Int) {
    if payload.count < count { payload.append(contentsOf: repeatElement(0, count: count - payload.count)) }
  }

  /// An attribute (`struct nlattr`), padded to four bytes. Values longer than an attribute can hold (65,531 bytes) are cut.
  public mutating func attribute(_ type: UInt16, _ value: some Collection<UInt8>) {
    let value = value.prefix(Int(UInt16.max) - 4)
    append(UInt16(value.count + 4))
    append(type)
    append(value)
    pad(to: payload.count.alignedToFour)
  }

  public mutating func attribute(_ type: UInt16, _ value: UInt32) {
    attribute(type, withUnsafeBytes(of: value) { Array($0) })
  }

  /// A string with its terminating zero byte.
  public mutating func attribute(_ type: UInt16, _ value: String) { attribute(type, Array(value.utf8) + [0]) }

  /// An attribute made of attributes.
  public mutating func nested(_ type: UInt16, _ fill: (inout Message) -> Void) {
    var inner = Message(type: 0, flags: 0)
    fill(&inner)
    attribute(type | UInt16(1 << 15), inner.payload)  // NLA_F_NESTED
  }

  /// The bytes to send.
  public func encoded(sequence: UInt32) -> [UInt8] {
    var header = Message(type: 0, flags: 0)
    header.append(UInt32(clamping: payload.count + Self.headerSize))
    header.append(type)
    header.append(flags)
    header.append(sequence)
    header.append(UInt32(0))
    return header.payload + payload
  }
}

extension Int {
  /// `NLMSG_ALIGN`, `NLA_ALIGN`.
  var alignedToFour: Int { (self &+ 3) & ~3 }
}

extension ArraySlice<UInt8> {
  /// The integer `offset` bytes behind the start, in host byte order; nil where the bytes end before it.
  func field<Value: FixedWidthInteger>(_ type: Value.Type, at offset: Int) -> Value? {
    guard offset >= 0, offset <= count - MemoryLayout<Value>.size else { return nil }
    return withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: type) }
  }

  /// `length` bytes from `offset`; nil where there are fewer.
  func bytes(at offset: Int, _ length: Int) -> ArraySlice<UInt8>? {
    guard offset >= 0, length >= 0, length <= count, offset <= count - length else { return nil }
    return self[(startIndex + offset)..<(startIndex + offset + length)]
  }

  /// What is left from `offset` on, perhaps nothing.
  func bytes(from offset: Int) -> ArraySlice<UInt8> { dropFirst(Swift.max(0, offset)) }

  /// The text up to the first zero byte, with everything but printable ASCII replaced by `?`.
  var text: String { prefix { $0 != 0 }.printable }
}

/// A netlink message as it came in. Its length has been checked against the datagram.
public struct ReceivedMessage {
  public let type: UInt16
  public let flags: UInt16
  public let sequence: UInt32
  public let payload: ArraySlice<UInt8>
}

/// What is wrong with bytes from the kernel, or from somebody posing as it.
public struct Malformed: Error, Equatable {
  /// For example `an attribute that ends early`.
  public let what: String
}

/// The messages of one datagram, one after the other.
struct Messages {
  private var rest: ArraySlice<UInt8>

  init(_ datagram: ArraySlice<UInt8>) { rest = datagram }

  mutating func next() throws(Malformed) -> ReceivedMessage? {
    if rest.isEmpty { return nil }
    guard let length = rest.field(UInt32.self, at: 0), let type = rest.field(UInt16.self, at: 4),
      let flags = rest.field(UInt16.self, at: 6), let sequence = rest.field(UInt32.self, at: 8),
      length >= Message.headerSize, let whole = rest.bytes(at: 0, Int(length))
    else { throw Malformed(what: "a message that ends early") }
    rest = rest.bytes(from: Int(length).alignedToFour)
    return ReceivedMessage(
      type: type, flags: flags, sequence: sequence, payload: whole.bytes(from: Message.headerSize))
  }
}

/// The attributes of a message, one after the other; nested ones are read by another `Attributes` over the value.
struct Attributes {
  private var rest: ArraySlice<UInt8>

  init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

  mutating func next() throws(Malformed) -> (type: UInt16, value: ArraySlice<UInt8>)? {
    // Fewer bytes than a header are padding, as for the kernel's own nla_ok().
    guard let length = rest.field(UInt16.self, at: 0), let type = rest.field(UInt16.self, at: 2) else { return nil }
    guard length >= 4, let whole = rest.bytes(at: 0, Int(length)) else {
      throw Malformed(what: "an attribute that ends early")
    }
    rest = rest.bytes(from: Int(length).alignedToFour)
    // The two highest bits say "nested" and "network byte order" (NLA_TYPE_MASK).
    return (type & 0x3fff, whole.bytes(from: 4))
  }
}
