import Host

/// What a RADIUS client and server both know. Never printed.
public struct SharedSecret: Sendable, CustomStringConvertible, CustomReflectable {
  let bytes: [UInt8]

  /// A file's content: its first line. Nil when that is empty.
  public init?(file: [UInt8]) {
    bytes = Array(file.prefix { $0 != UInt8(ascii: "\n") && $0 != UInt8(ascii: "\r") })
    if bytes.isEmpty { return nil }
  }

  /// The first line of a file that only root can read. `EACCES` when others can.
  public init(ofFile path: String, _ files: any Files) throws(SystemError) {
    guard let status = try files.status(path) else { throw SystemError("reading \(path)", .noSuchFile) }
    guard status.kind == .regular, status.owner == 0, status.mode & 0o077 == 0 else {
      throw SystemError("reading \(path)", .accessDenied, detail: "it must be a file of root's with mode 0600 or less")
    }
    guard let secret = try files.read(path, limit: 1024).flatMap(SharedSecret.init(file:)) else {
      throw SystemError("reading \(path)", .invalidArgument, detail: "its first line is empty")
    }
    self = secret
  }

  public var description: String { "<secret>" }
  public var customMirror: Mirror { Mirror(self, children: [:]) }
}
