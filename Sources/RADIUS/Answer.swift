import Digests

/// A datagram that answers a request of ours, by somebody who knows the secret (RFC 2865 §3).
struct Answer {
  let code: UInt8

  /// Nil when it has another identifier, lies about its length, is no row of attributes, or when one of its authenticators
  /// is wrong.
  init?(_ datagram: [UInt8], to identifier: UInt8, _ authenticator: [UInt8], _ secret: SharedSecret) {
    guard datagram.count >= 20, datagram[1] == identifier else { return nil }
    let length = Int(datagram[2]) << 8 | Int(datagram[3])
    guard Self.sizes.contains(length), length <= datagram.count else { return nil }
    // What lies beyond the length is padding.
    let packet = Array(datagram.prefix(length))
    let asked = Array(packet[..<4]) + authenticator + Array(packet[20...])
    guard md5(asked + secret.bytes) == Array(packet[4..<20]) else { return nil }
    guard let attributes = Self.attributes(of: packet) else { return nil }
    for attribute in attributes where attribute.type == Self.messageAuthenticator {
      guard attribute.value.count == 16 else { return nil }
      var blank = asked
      blank.replaceSubrange(attribute.value, with: [UInt8](repeating: 0, count: 16))
      guard hmacMD5(blank, key: secret.bytes) == Array(packet[attribute.value]) else { return nil }
    }
    code = packet[0]
  }

  static let messageAuthenticator: UInt8 = 80
  static let sizes = 20...4096

  /// Type and place of every attribute's value; nil when they do not fill the packet.
  static func attributes(of packet: [UInt8]) -> [(type: UInt8, value: Range<Int>)]? {
    var attributes: [(UInt8, Range<Int>)] = []
    var at = 20
    while at < packet.count {
      guard packet.count - at >= 2, packet[at + 1] >= 2, at + Int(packet[at + 1]) <= packet.count else { return nil }
      attributes.append((packet[at], (at + 2)..<(at + Int(packet[at + 1]))))
      at += Int(packet[at + 1])
    }
    return attributes
  }
}
