/// What a PPP frame carries (RFC 1661 §2; the numbers of IANA's PPP registry).
package enum PPPProtocol {
  package static let ipcp: UInt16 = 0x8021
  package static let lcp: UInt16 = 0xc021
  package static let pap: UInt16 = 0xc023
  package static let chap: UInt16 = 0xc223
}

/// A packet of LCP, IPCP, PAP or CHAP: code, identifier, length, data (RFC 1661 §5).
package struct PPPPacket: Hashable {
  package enum Code {
    package static let configureRequest: UInt8 = 1
    package static let configureAck: UInt8 = 2
    package static let configureNak: UInt8 = 3
    package static let configureReject: UInt8 = 4
    package static let terminateRequest: UInt8 = 5
    package static let terminateAck: UInt8 = 6
    package static let protocolReject: UInt8 = 8
    package static let echoRequest: UInt8 = 9
    package static let echoReply: UInt8 = 10
    // CHAP (RFC 1994 §4)
    package static let challenge: UInt8 = 1
    package static let response: UInt8 = 2
    package static let success: UInt8 = 3
    package static let failure: UInt8 = 4
    // PAP (RFC 1334 §2.2)
    package static let authenticateRequest: UInt8 = 1
    package static let authenticateAck: UInt8 = 2
    package static let authenticateNak: UInt8 = 3
  }

  package var code: UInt8
  package var identifier: UInt8
  package var data: [UInt8]

  package init(_ code: UInt8, _ identifier: UInt8, _ data: [UInt8] = []) {
    self.code = code
    self.identifier = identifier
    self.data = data
  }

  /// Nil unless the packet is whole; what follows it is padding.
  package init?(_ bytes: ArraySlice<UInt8>) {
    let bytes = Array(bytes)
    guard bytes.count >= 4 else { return nil }
    let length = Int(bytes[2]) << 8 | Int(bytes[3])
    guard length >= 4, length <= bytes.count else { return nil }
    self.init(bytes[0], bytes[1], Array(bytes[4..<length]))
  }

  /// At most 1024 bytes of data are sent here.
  package var bytes: [UInt8] {
    let data = data.prefix(1024)
    return [code, identifier, UInt8((data.count + 4) >> 8), UInt8((data.count + 4) & 0xff)] + data
  }

  /// The words in a message for humans, as far as they are printable.
  package var text: String {
    String(decoding: data.filter { (0x20..<0x7f).contains($0) }.prefix(200), as: UTF8.self)
  }
}

/// A configuration option of LCP or IPCP (RFC 1661 §6).
package struct PPPOption: Hashable {
  package var type: UInt8
  package var value: [UInt8]

  package init(type: UInt8, value: [UInt8]) {
    self.type = type
    self.value = value
  }

  package var bytes: [UInt8] { [type, UInt8(clamping: value.count + 2)] + value.prefix(253) }

  /// Nil when an option does not fit.
  package static func list(in data: [UInt8]) -> [PPPOption]? {
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
package struct PPPFrame: Hashable {
  package var proto: UInt16
  package var payload: [UInt8]

  package init(_ proto: UInt16, _ payload: [UInt8]) {
    self.proto = proto
    self.payload = payload
  }

  package init?(_ bytes: ArraySlice<UInt8>) {
    let bytes = bytes.starts(with: [0xff, 0x03]) ? bytes.dropFirst(2) : bytes
    guard let first = bytes.first else { return nil }
    if first & 1 == 1 {
      self.init(UInt16(first), Array(bytes.dropFirst()))
    } else {
      guard let second = bytes.dropFirst().first else { return nil }
      self.init(UInt16(first) << 8 | UInt16(second), Array(bytes.dropFirst(2)))
    }
  }

  package var bytes: [UInt8] { [0xff, 0x03, UInt8(proto >> 8), UInt8(proto & 0xff)] + payload }
}
