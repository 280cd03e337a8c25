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
    bytes = try files.secretLine(of: path)
  }

  public var description: String { "<secret>" }
  public var customMirror: Mirror { Mirror(self, children: [:]) }
}
