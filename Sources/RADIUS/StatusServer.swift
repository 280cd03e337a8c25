import Digests

/// The question "are you serving?" to a RADIUS server (RFC 5997), and what counts as its answer.
///
/// The request carries a Message-Authenticator (RFC 3579 §3.2), without which a server drops it. A server that does not
/// know us, or knows another secret, says nothing at all.
public struct StatusServer: Sendable, CustomStringConvertible, CustomReflectable {
  public let identifier: UInt8
  /// The request authenticator: 16 bytes that nobody can guess.
  public let authenticator: [UInt8]
  private let secret: SharedSecret

  /// - Parameter authenticator: 16 bytes; others are cut or filled up with zeros.
  public init(identifier: UInt8, authenticator: [UInt8], secret: SharedSecret) {
    self.identifier = identifier
    self.authenticator = Array((authenticator + [UInt8](repeating: 0, count: 16)).prefix(16))
    self.secret = secret
  }

  public var description: String { "Status-Server \(identifier)" }
  public var customMirror: Mirror { Mirror(self, children: ["identifier": identifier]) }

  enum Code { static let accept: UInt8 = 2, accountingResponse: UInt8 = 5, statusServer: UInt8 = 12 }
  static let messageAuthenticator: UInt8 = 80
  /// RFC 2865 §3.
  static let sizes = 20...4096

  /// The packet as it goes into a datagram.
  public var bytes: [UInt8] {
    let head: [UInt8] = [Code.statusServer, identifier, 0, 38] + authenticator + [Self.messageAuthenticator, 18]
    return head + hmacMD5(head + [UInt8](repeating: 0, count: 16), key: secret.bytes)
  }

  /// Whether `datagram` is an answer by somebody who knows the secret: Access-Accept from an authentication port,
  /// Accounting-Response from an accounting port (RFC 5997 §3), both authenticators right.
  public func isAnswered(by datagram: [UInt8]) -> Bool {
    guard datagram.count >= 20, datagram[0] == Code.accept || datagram[0] == Code.accountingResponse, datagram[1] == identifier
    else { return false }
    let length = Int(datagram[2]) << 8 | Int(datagram[3])
    guard Self.sizes.contains(length), length <= datagram.count else { return false }
    // What lies beyond the length is padding (RFC 2865 §3).
    let packet = Array(datagram.prefix(length))
    let asked = Array(packet[..<4]) + authenticator + Array(packet[20...])
    guard md5(asked + secret.bytes) == Array(packet[4..<20]) else { return false }
    guard let attributes = Self.attributes(of: packet) else { return false }
    for attribute in attributes where attribute.type == Self.messageAuthenticator {
      guard attribute.value.count == 16 else { return false }
      var blank = asked
      blank.replaceSubrange(attribute.value, with: [UInt8](repeating: 0, count: 16))
      guard hmacMD5(blank, key: secret.bytes) == Array(packet[attribute.value]) else { return false }
    }
    return true
  }

  /// Type and place of every attribute's value; nil when they do not fill the packet.
  private static func attributes(of packet: [UInt8]) -> [(type: UInt8, value: Range<Int>)]? {
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

/// What a RADIUS client and server both know. Never printed.
public struct SharedSecret: Sendable, CustomStringConvertible, CustomReflectable {
  let bytes: [UInt8]

  /// A file's content: its first line. Nil when that is empty.
  public init?(file: [UInt8]) {
    bytes = Array(file.prefix { $0 != UInt8(ascii: "\n") && $0 != UInt8(ascii: "\r") })
    if bytes.isEmpty { return nil }
  }

  public var description: String { "<secret>" }
  public var customMirror: Mirror { Mirror(self, children: [:]) }
}
