/// An IKE header with the payloads that need no key to be read (RFC 7296 §3.1, §3.2; RFC 2408 §3.1, §3.2).
public struct IKEMessage: Hashable, Sendable {
  public struct Payload: Hashable, Sendable {
    /// RFC 7296 §3.2 or, below 33, RFC 2408 §3.1.
    public var type: UInt8
    /// Without the generic header.
    public var body: [UInt8]
    public init(_ type: UInt8, _ body: [UInt8]) {
      self.type = type
      self.body = body
    }
  }

  public var initiatorSPI: UInt64
  /// 0 in the first message.
  public var responderSPI: UInt64
  /// Major version in the upper four bits.
  public var version: UInt8
  public var exchange: UInt8
  public var flags: UInt8
  public var messageID: UInt32
  public var payloads: [Payload]

  public init(
    initiatorSPI: UInt64, responderSPI: UInt64 = 0, version: UInt8, exchange: UInt8, flags: UInt8 = 0,
    messageID: UInt32 = 0, payloads: [Payload] = []
  ) {
    self.initiatorSPI = initiatorSPI
    self.responderSPI = responderSPI
    self.version = version
    self.exchange = exchange
    self.flags = flags
    self.messageID = messageID
    self.payloads = payloads
  }

  public var majorVersion: UInt8 { version >> 4 }
  public func payload(_ type: UInt8) -> Payload? { payloads.first { $0.type == type } }

  /// What this type writes and reads: longer messages are not for it.
  public static let sizeLimit = 65_535
  static let headerSize = 28

  // MARK: Wire format

  /// The message as it goes into a datagram, without a marker for port 4500.
  public var bytes: [UInt8] {
    var body: [UInt8] = []
    for (index, payload) in payloads.enumerated() {
      let next = index + 1 < payloads.count ? payloads[index + 1].type : 0
      body += [next, 0] + UInt16(truncatingIfNeeded: payload.body.count + 4).bigEndianBytes + payload.body
    }
    return initiatorSPI.bigEndianBytes + responderSPI.bigEndianBytes + [payloads.first?.type ?? 0, version, exchange, flags]
      + messageID.bigEndianBytes + UInt32(truncatingIfNeeded: Self.headerSize + body.count).bigEndianBytes + body
  }

  /// Reads a message that fills `bytes`; the first thing that does not fit is what the error says.
  public init(decoding bytes: [UInt8]) throws(IKEProbeError) {
    guard bytes.count >= Self.headerSize, bytes.count <= Self.sizeLimit else {
      throw .malformed("\(bytes.count) bytes are no IKE message")
    }
    func number<Value: FixedWidthInteger>(_ at: Int, as: Value.Type) -> Value {
      bytes[at..<(at + Value.bitWidth / 8)].reduce(0) { $0 << 8 | Value($1) }
    }
    initiatorSPI = number(0, as: UInt64.self)
    responderSPI = number(8, as: UInt64.self)
    version = bytes[17]
    exchange = bytes[18]
    flags = bytes[19]
    messageID = number(20, as: UInt32.self)
    payloads = []
    let length = number(24, as: UInt32.self)
    guard length == bytes.count else { throw .malformed("the header says \(length) bytes, \(bytes.count) came") }
    // The payloads of a protected message are not readable; RFC 2408 marks it with a flag, RFC 7296 with its type.
    let isEncrypted = majorVersion == 1 && flags & 0x01 != 0
    var type = bytes[16]
    var at = Self.headerSize
    while type != 0, !isEncrypted {
      guard bytes.count - at >= 4 else { throw .malformed("payload \(type) is cut off at byte \(at)") }
      let size = Int(number(at + 2, as: UInt16.self))
      guard size >= 4, size <= bytes.count - at else { throw .malformed("payload \(type) of \(size) bytes at byte \(at)") }
      payloads.append(Payload(type, Array(bytes[(at + 4)..<(at + size)])))
      if type == 46 { return }
      type = bytes[at]
      at += size
    }
    guard isEncrypted || at == bytes.count else { throw .malformed("\(bytes.count - at) bytes after the last payload") }
  }
}

extension FixedWidthInteger {
  var bigEndianBytes: [UInt8] {
    stride(from: Self.bitWidth - 8, through: 0, by: -8).map { UInt8(truncatingIfNeeded: self >> Self($0)) }
  }
}
