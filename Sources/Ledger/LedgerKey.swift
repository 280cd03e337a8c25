import Host

/// The secret that both nodes have, and by which they know each other on the link between them. Never printed.
public struct LedgerKey: Sendable, CustomStringConvertible, CustomReflectable {
  let bytes: [UInt8]

  /// Bytes that a key has at least, and at most.
  public static let lengths = 32...4096

  /// All bytes count, the last line's end included. Throws `key` when they are too few or too many.
  public init(_ bytes: [UInt8]) throws(LedgerError) {
    guard Self.lengths.contains(bytes.count) else {
      throw LedgerError(
        .key, "reading the key", "it has \(bytes.count) bytes; expected \(Self.lengths.lowerBound) to \(Self.lengths.upperBound)")
    }
    self.bytes = bytes
  }

  /// The whole content of a regular file of root's that nobody else can read or write. Throws `key` with what is wrong with it.
  public init(ofFile path: String, _ files: any Files) throws(LedgerError) {
    func refused(_ detail: String) -> LedgerError { LedgerError(.key, "reading \(path)", detail) }
    let status: FileStatus?
    do throws(SystemError) { status = try files.status(path) } catch { throw refused("\(error)") }
    guard let status else { throw refused("it is missing (vpnha key \(path) writes one; both nodes need the same)") }
    guard status.kind == .regular else { throw refused("it is no regular file") }
    guard status.owner == 0, status.mode & 0o077 == 0 else {
      throw refused("it must be root's with mode 0600 or less (chown root: \(path); chmod 600 \(path))")
    }
    let bytes: [UInt8]?
    do throws(SystemError) { bytes = try files.read(path, limit: Self.lengths.upperBound) } catch { throw refused("\(error)") }
    guard let bytes else { throw refused("it is missing") }
    guard Self.lengths.contains(bytes.count) else {
      throw refused("it has \(bytes.count) bytes; expected \(Self.lengths.lowerBound) to \(Self.lengths.upperBound) (vpnha key writes a good one)")
    }
    self.bytes = bytes
  }

  /// Eight bytes in hexadecimal, the same for the same key, from which nobody can tell a good one: for people who compare two nodes.
  public var fingerprint: String {
    get throws(SystemError) {
      let digest = try Cryptography().derivedKey(from: bytes, salt: [], info: Array("vpnha sessions fingerprint".utf8), length: 8)
      return digest.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
  }

  public var description: String { "<secret>" }
  public var customMirror: Mirror { Mirror(self, children: [:]) }
}
