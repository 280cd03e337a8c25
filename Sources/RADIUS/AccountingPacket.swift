import Digests

/// An Accounting-Request (RFC 2866 §3): attributes behind a head and an authenticator.
struct AccountingPacket {
  var head: [UInt8]
  var authenticator: [UInt8]
  var attributes: [UInt8]

  init(identifier: UInt8, attributes: [UInt8], secret: SharedSecret) {
    let length = 20 + attributes.count
    head = [Code.request, identifier, UInt8(length >> 8), UInt8(length & 0xff)]
    self.attributes = attributes
    // RFC 2866 §3: as if sixteen zeros stood in its own place.
    authenticator = md5(head + [UInt8](repeating: 0, count: 16) + attributes + secret.bytes)
  }

  /// The packet as it goes into a datagram.
  var bytes: [UInt8] { head + authenticator + attributes }

  func isAnswered(by datagram: [UInt8], _ secret: SharedSecret) -> Bool { Answer(datagram, to: head[1], authenticator, secret)?.code == Code.response }

  static func attribute(_ kind: Kind, _ value: [UInt8]) -> [UInt8] { [kind.rawValue, UInt8(value.count + 2)] + value }

  static func attribute(_ kind: Kind, _ number: UInt32) -> [UInt8] {
    attribute(kind, [UInt8(number >> 24), UInt8(number >> 16 & 0xff), UInt8(number >> 8 & 0xff), UInt8(number & 0xff)])
  }

  enum Code { static let request: UInt8 = 4, response: UInt8 = 5 }
  enum Kind: UInt8 {
    case userName = 1, nasIPAddress = 4, framedIPAddress = 8, nasIdentifier = 32, proxyState = 33, statusType = 40, delay = 41, octetsIn = 42, octetsOut = 43
    case session = 44, time = 46, packetsIn = 47, packetsOut = 48, terminateCause = 49, gigawordsIn = 52, gigawordsOut = 53, eventTime = 55
    case messageAuthenticator = 80, nasIPv6Address = 95
  }
}
