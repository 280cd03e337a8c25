import Digests
import Host

/// A secret that the nodes share, from which the key of the digests is made by which they compare what they have.
public struct FingerprintKey: Equatable {
  /// The first of them that is there: both nodes have the same one, and root alone may read it.
  public static let files = ["/etc/corosync/authkey", "/etc/vpnha/sessions.key"]

  private var key: [UInt8]

  public init(secret: [UInt8]) { key = hmacSHA256(Array("vpnha fingerprint".utf8), key: secret) }

  /// - Throws: `ENOENT` when there is none, `EACCES` when others may read it.
  public init(_ files: any Files) throws(SystemError) {
    for path in Self.files {
      guard let status = try files.status(path) else { continue }
      guard status.kind == .regular, status.owner == 0, status.mode & 0o077 == 0 else {
        throw SystemError("reading \(path)", .accessDenied, detail: "it must be a file of root's with mode 0600 or less")
      }
      guard let secret = try files.read(path, limit: 65_536), secret.count >= 16 else {
        throw SystemError("reading \(path)", .invalidArgument, detail: "it is no key")
      }
      self.init(secret: secret)
      return
    }
    throw SystemError("looking for a key that the nodes share", .noSuchFile, detail: "there is no \(Self.files[0])")
  }

  /// Which key it is.
  public var name: String { digest(of: [], as: "key") }

  /// Of `bytes` that are called `name`: the same bytes elsewhere have another digest.
  public func digest(of bytes: [UInt8], as name: String) -> String {
    hmacSHA256(Array(name.utf8) + [0] + bytes, key: key).prefix(8).map { "\($0 < 16 ? "0" : "")\(String($0, radix: 16))" }.joined()
  }
}
