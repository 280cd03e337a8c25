extension Files {
  /// The first line of a file that only root can read: a secret. `EACCES` when others can read it, `EINVAL` when it is empty.
  public func secretLine(of path: String) throws(SystemError) -> [UInt8] {
    guard let status = try status(path) else { throw SystemError("reading \(path)", .noSuchFile) }
    guard status.kind == .regular, status.owner == 0, status.mode & 0o077 == 0 else {
      throw SystemError("reading \(path)", .accessDenied, detail: "it must be a file of root's with mode 0600 or less")
    }
    guard let bytes = try read(path, limit: 1024) else { throw SystemError("reading \(path)", .noSuchFile) }
    let line = Array(bytes.prefix { $0 != UInt8(ascii: "\n") && $0 != UInt8(ascii: "\r") })
    guard !line.isEmpty else { throw SystemError("reading \(path)", .invalidArgument, detail: "its first line is empty") }
    return line
  }
}
