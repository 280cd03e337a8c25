public struct FileStatus: Hashable, Sendable {
  public enum Kind: String, Sendable { case regular, directory, symbolicLink, fifo, socket, other }
  public var kind: Kind
  /// Permission bits.
  public var mode: UInt32
  public var owner: UInt32
  public var size: Int64
  /// Another one after every change of the content or of who may read it: the inode and `st_ctim`, mixed. Means nothing by itself.
  public var edition: UInt64

  public init(_ kind: Kind, mode: UInt32 = 0o644, owner: UInt32 = 0, size: Int64 = 0, edition: UInt64 = 0) {
    self.kind = kind
    self.mode = mode
    self.owner = owner
    self.size = size
    self.edition = edition
  }
}

/// A regular file made for one reply (O_NOFOLLOW|O_EXCL, mode 0600). Somebody else writes and finally unlinks it.
public protocol ReplyFile: AnyObject {
  var path: String { get }
  /// Whether the writer has finished, that is, has unlinked it (`st_nlink` is 0).
  func isComplete() throws(SystemError) -> Bool
  func read(limit: Int) throws(SystemError) -> [UInt8]
  /// Closes the file and removes it if it is still there.
  func discard()
}

/// An advisory lock (`flock(2)`), released by `release` or when the process ends, however it ends.
public protocol FileLock: AnyObject {
  func release()
}

public protocol Files: AnyObject {
  /// The file's bytes, nil when it is absent. `EFBIG` above `limit` bytes. Follows links: for configuration only.
  func read(_ path: String, limit: Int) throws(SystemError) -> [UInt8]?
  /// Replaces `path` whole or not at all: a new file beside it (O_NOFOLLOW|O_EXCL) is written and renamed over it.
  func replace(_ path: String, with bytes: [UInt8], mode: UInt32) throws(SystemError)
  /// Makes a file whole or not at all, and never in another's place: `EEXIST` when there is anything of that name, a link included.
  func create(_ path: String, with bytes: [UInt8], mode: UInt32) throws(SystemError)
  /// Nothing happens when it is absent. An empty directory goes as well: it can only stand in a file's place. A device never does: `EPERM`.
  func remove(_ path: String) throws(SystemError)
  /// Of the path itself (`lstat`), nil when it is absent.
  func status(_ path: String) throws(SystemError) -> FileStatus?
  /// Whether `path` is an executable regular file (links followed).
  func isExecutable(_ path: String) -> Bool
  /// Names in a directory, sorted; nil when it is absent.
  func entries(of directory: String) throws(SystemError) -> [String]?
  /// With parents; nothing happens when it is there.
  func makeDirectory(_ path: String, mode: UInt32) throws(SystemError)
  /// Waits for an exclusive lock on `path` (made with mode 0600) until `deadline`; then `ETIMEDOUT`.
  func lock(_ path: String, before deadline: Instant) throws(SystemError) -> any FileLock
  /// One `write(2)` to a FIFO, opened without blocking. `ENXIO` when nobody reads from it, `ENOENT` when it is absent.
  func send(_ bytes: [UInt8], toFIFO path: String) throws(SystemError)
  /// Makes an empty file for a reply in `directory`.
  func makeReplyFile(in directory: String) throws(SystemError) -> any ReplyFile
  /// The kernel parameter `net.ipv4.ip_forward` …, nil when the kernel has none of that name.
  func kernelParameter(_ name: String) throws(SystemError) -> String?
  func setKernelParameter(_ name: String, to value: String) throws(SystemError)
}
