import Digests

/// A user and a password, as PPP's authentication protocols need them. Never printed.
public struct Credentials: Sendable, CustomStringConvertible, CustomReflectable {
  public let user: String
  private let password: String

  public init(user: String, password: String) {
    self.user = user
    self.password = password
  }

  public var description: String { "\(user) <secret>" }
  public var customMirror: Mirror { Mirror(self, children: ["user": user]) }

  /// The data of a PAP request (RFC 1334 §2.2.1). What does not fit is cut.
  var papRequest: [UInt8] {
    let (name, secret) = (user.utf8.prefix(255), password.utf8.prefix(255))
    return [UInt8(name.count)] + name + [UInt8(secret.count)] + secret
  }

  /// The answer to an MD5 challenge (RFC 1994 §4.1).
  func chapResponse(to challenge: [UInt8], identifier: UInt8) -> [UInt8] {
    md5([identifier] + password.utf8 + challenge)
  }

  /// The answer to an MS-CHAPv2 challenge of 16 bytes (RFC 2759 §4), 49 bytes, and what a server that knows the password says
  /// to it (§5).
  package func msChapResponse(to challenge: [UInt8], peerChallenge: [UInt8]) -> (response: [UInt8], success: String) {
    let name = user.utf8.split(separator: UInt8(ascii: "\\")).last.map(Array.init) ?? []
    let hash = Array(sha1(peerChallenge + challenge + name).prefix(8))
    let passwordHash = md4(password.utf16.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)] })
    let keys = passwordHash + [0, 0, 0, 0, 0]
    let response = stride(from: 0, to: 21, by: 7).flatMap { des(hash, key: Array(keys[$0..<($0 + 7)])) }
    let proof = sha1(
      sha1(md4(passwordHash) + response + "Magic server to client signing constant".utf8) + hash
        + "Pad to make it do more than one iteration".utf8)
    let digits = Array("0123456789ABCDEF")
    return (
      peerChallenge + [UInt8](repeating: 0, count: 8) + response + [0],
      "S=" + String(proof.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
    )
  }
}
