/// What a PPP frame carries (RFC 1661 §2; the numbers of IANA's PPP registry).
enum PPPProtocol {
  static let ipcp: UInt16 = 0x8021
  static let lcp: UInt16 = 0xc021
  static let pap: UInt16 = 0xc023
  static let chap: UInt16 = 0xc223
}

/// A packet of LCP, IPCP, PAP or CHAP: code, identifier, length, data (RFC 1661 §5).
struct PPPPacket: Hashable {
  enum Code {
    static let configureRequest: UInt8 = 1
    static let configureAck: UInt8 = 2
    static let configureNak: UInt8 = 3
    static let configureReject: UInt8 = 4
    static let terminateRequest: UInt8 = 5
    static let terminateAck: UInt8 = 6
    static let protocolReject: UInt8 = 8
    static let echoRequest: UInt8 = 9
    static let echoReply: UInt8 = 10
    // CHAP (RFC 1994 §4)
    static let challenge: UInt8 = 1
    static let response: UInt8 = 2
    static let success: UInt8 = 3
    static let failure: UInt8 = 4
    // PAP (RFC 1334 §2.2)
    static let authenticateRequest: UInt8 = 1
    static let authenticateAck: UInt8 = 2
    static let authenticateNak: UInt8 = 3
  }

  var code: UInt8
  var identifier: UInt8
  var data: [UInt8]

  init(_ code: UInt8, _ identifier: UInt8, _ data: [UInt8] = []) {
    self.code = code
    self.identifier = identifier
    self.data = data
  }

  /// Nil unless the packet is whole; what follows it is padding.
  init?(_ bytes: ArraySlice<UInt8>) {
    let bytes = Array(bytes)
    guard bytes.count >= 4 else { return nil }
    let length = Int(bytes[2]) << 8 | Int(bytes[3])
    guard length >= 4, length <= bytes.count else { return nil }
    self.init(bytes[0], bytes[1], Array(bytes[4..<length]))
  }

  /// At most 1024 bytes of data are sent here.
  var bytes: [UInt8] {
    let data = data.prefix(1024)
    return [code, identifier, UInt8((data.count + 4) >> 8), UInt8((data.count + 4) & 0xff)] + data
  }

  /// The words in a message for humans, as far as they are printable.
  var text: String {
    String(decoding: data.filter { (0x20..<0x7f).contains($0) }.prefix(200), as: UTF8.self)
  }
}

/// A configuration option of LCP or IPCP (RFC 1661 §6).
struct PPPOption: Hashable {
  var type: UInt8
  var value: [UInt8]

  var bytes: [UInt8] { [type, UInt8(clamping: value.count + 2)] + value.prefix(253) }

  /// Nil when an option does not fit.
  static func list(in data: [UInt8]) -> [PPPOption]? {
    var options: [PPPOption] = []
    var at = 0
    while at < data.count {
      guard at + 2 <= data.count, data[at + 1] >= 2, at + Int(data[at + 1]) <= data.count else { return nil }
      let end = at + Int(data[at + 1])
      options.append(PPPOption(type: data[at], value: Array(data[(at + 2)..<end])))
      at = end
    }
    return options
  }
}

/// One frame over the tunnel: the protocol number, perhaps compressed, behind address and control, perhaps left out
/// (RFC 1661 §2 and §6.5, RFC 1662 §3.1).
struct PPPFrame: Hashable {
  var proto: UInt16
  var payload: [UInt8]

  init(_ proto: UInt16, _ payload: [UInt8]) {
    self.proto = proto
    self.payload = payload
  }

  init?(_ bytes: ArraySlice<UInt8>) {
    let bytes = bytes.starts(with: [0xff, 0x03]) ? bytes.dropFirst(2) : bytes
    guard let first = bytes.first else { return nil }
    if first & 1 == 1 {
      self.init(UInt16(first), Array(bytes.dropFirst()))
    } else {
      guard let second = bytes.dropFirst().first else { return nil }
      self.init(UInt16(first) << 8 | UInt16(second), Array(bytes.dropFirst(2)))
    }
  }

  var bytes: [UInt8] { [0xff, 0x03, UInt8(proto >> 8), UInt8(proto & 0xff)] + payload }
}
