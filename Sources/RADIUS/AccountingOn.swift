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
  public var bytes: [UInt8] { parts.bytes }

  /// Whether `datagram` is the server's Accounting-Response.
  public func isAnswered(by datagram: [UInt8]) -> Bool { parts.isAnswered(by: datagram, secret) }

  private var parts: AccountingPacket {
    var attributes = AccountingPacket.attribute(.statusType, [0, 0, 0, 7])
    attributes += AccountingPacket.attribute(gateway.isIPv6 ? .nasIPv6Address : .nasIPAddress, gateway.bytes)
    if let name, !name.isEmpty { attributes += AccountingPacket.attribute(.nasIdentifier, Array(name.utf8.prefix(253))) }
    let text = String(session, radix: 16, uppercase: true)
    attributes += AccountingPacket.attribute(.session, Array(String(repeating: "0", count: 16 - text.count).utf8) + Array(text.utf8))
    attributes += AccountingPacket.attribute(.delay, [0, 0, 0, 0])
    return AccountingPacket(identifier: identifier, attributes: attributes, secret: secret)
  }
}
