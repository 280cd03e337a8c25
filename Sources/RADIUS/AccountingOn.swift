import Digests
import Host

/// "Whatever sessions you have from this gateway are over": Accounting-On (RFC 2866 §5.1), which a gateway says when it
/// begins to serve, and which ends the accounts of sessions that nobody sent a Stop for.
///
/// A server that does not know us, or knows another secret, says nothing at all.
public struct AccountingOn: Sendable, CustomStringConvertible, CustomReflectable {
  public let identifier: UInt8
  private let gateway: IPAddress
  private let name: String?
  private let session: UInt64
  private let secret: SharedSecret

  /// - Parameters:
  ///   - gateway: what the sessions were reported from (NAS-IP-Address, NAS-IPv6-Address).
  ///   - name: its NAS-Identifier, if it has one; 253 bytes of it.
  ///   - session: an Acct-Session-Id of its own, which every accounting request has.
  public init(identifier: UInt8, gateway: IPAddress, name: String?, session: UInt64, secret: SharedSecret) {
    self.identifier = identifier
    self.gateway = gateway
    self.name = name
    self.session = session
    self.secret = secret
  }

  public var description: String { "Accounting-On \(identifier)" }
  public var customMirror: Mirror { Mirror(self, children: ["identifier": identifier]) }

  /// The packet as it goes into a datagram; the same in every repetition.
  public var bytes: [UInt8] {
    let (head, authenticator, attributes) = parts
    return head + authenticator + attributes
  }

  /// Whether `datagram` is the server's Accounting-Response.
  public func isAnswered(by datagram: [UInt8]) -> Bool {
    Answer(datagram, to: identifier, parts.authenticator, secret)?.code == Code.response
  }

  private var parts: (head: [UInt8], authenticator: [UInt8], attributes: [UInt8]) {
    var attributes = Self.attribute(Kind.statusType, [0, 0, 0, 7])
    attributes += Self.attribute(gateway.isIPv6 ? Kind.nasIPv6Address : Kind.nasIPAddress, gateway.bytes)
    if let name, !name.isEmpty { attributes += Self.attribute(Kind.nasIdentifier, Array(name.utf8.prefix(253))) }
    let text = String(session, radix: 16, uppercase: true)
    attributes += Self.attribute(Kind.session, Array(String(repeating: "0", count: 16 - text.count).utf8) + Array(text.utf8))
    attributes += Self.attribute(Kind.delay, [0, 0, 0, 0])
    let length = 20 + attributes.count
    let head = [Code.request, identifier, UInt8(length >> 8), UInt8(length & 0xff)]
    // RFC 2866 §3: as if sixteen zeros stood in its own place.
    return (head, md5(head + [UInt8](repeating: 0, count: 16) + attributes + secret.bytes), attributes)
  }

  private static func attribute(_ type: UInt8, _ value: [UInt8]) -> [UInt8] { [type, UInt8(value.count + 2)] + value }

  private enum Code { static let request: UInt8 = 4, response: UInt8 = 5 }
  private enum Kind {
    static let nasIPAddress: UInt8 = 4, nasIdentifier: UInt8 = 32, statusType: UInt8 = 40, delay: UInt8 = 41, session: UInt8 = 44
    static let nasIPv6Address: UInt8 = 95
  }
}
