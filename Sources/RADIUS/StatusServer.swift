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

  /// The packet as it goes into a datagram.
  public var bytes: [UInt8] {
    let head: [UInt8] = [Code.statusServer, identifier, 0, 38] + authenticator + [Answer.messageAuthenticator, 18]
    return head + hmacMD5(head + [UInt8](repeating: 0, count: 16), key: secret.bytes)
  }

  /// Whether `datagram` is an answer by somebody who knows the secret: Access-Accept from an authentication port,
  /// Accounting-Response from an accounting port (RFC 5997 §3), both authenticators right.
  public func isAnswered(by datagram: [UInt8]) -> Bool {
    guard let answer = Answer(datagram, to: identifier, authenticator, secret) else { return false }
    return answer.code == Code.accept || answer.code == Code.accountingResponse
  }
}
