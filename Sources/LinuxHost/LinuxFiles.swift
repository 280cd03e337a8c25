import CLinux
import Host

/// The real file system.
public final class LinuxFiles: Files {
  public init() {}

  // MARK: Whole files

  public func read(_ path: String, limit: Int) throws(SystemError) -> [UInt8]? {
    let operation = "reading \(path)"
    do throws(SystemError) {
      // Looked at before it is opened: to open a device may be to act on it, and a FIFO has somebody at its other end.
      let found = try Descriptor(opening: path, O_PATH, operation: operation)
      let status = try found.status(operation)
      if status.is(FileType.directory) { throw SystemError(operation, .isADirectory) }
      guard status.is(FileType.regular) else {
        throw SystemError(operation, .invalidArgument, detail: "not a regular file")
      }
      let file = try Descriptor(opening: "/proc/self/fd/\(found.number)", O_RDONLY, operation: operation)
      return try file.readToEnd(limit: limit, operation)
    } catch  where error.isAbsence {
      return nil
    }
  }

  public func replace(_ path: String, with bytes: [UInt8], mode: UInt32) throws(SystemError) {
    try makeFile(path, bytes, mode) { rename($0, path) }
  }

  public func create(_ path: String, with bytes: [UInt8], mode: UInt32) throws(SystemError) {
    try makeFile(path, bytes, mode) { temporary in
      let result = link(temporary, path)
      if result == 0 { _ = unlink(temporary) }
      return result
    }
  }

  /// Writes a file beside `path`, and `settle` gives it the name.
  private func makeFile(_ path: String, _ bytes: [UInt8], _ mode: UInt32, settle: (String) -> Int32) throws(SystemError) {
    let operation = "writing \(path)"
    let place = Place(path)
    let temporary = place.directory + place.leftoverPrefix + "\(getpid())" + Place.leftoverSuffix
    let flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW
    // A file of this name can only be left over from a process that had our pid before.
    _ = unlink(temporary)
    let file = try Descriptor(opening: temporary, flags, mode: 0o600, operation: operation)
    do throws(SystemError) {
      try file.writeAll(bytes, operation)
      try check(operation) { fchmod(file.number, mode) }
      try check(operation) { fsync(file.number) }
      try check(operation) { settle(temporary) }
    } catch {
      _ = unlink(temporary)
      throw error
    }
  }

  public func remove(_ path: String) throws(SystemError) {
    let operation = "removing \(path)"
    // Nobody keeps one for himself: a wrong parameter names it.
    if try status(path)?.kind == .other { throw SystemError(operation, .notPermitted, detail: "it is a device") }
    do throws(SystemError) { try check(operation) { unlink(path) } } catch  where error.isAbsence {
    } catch  where error.errno == .readOnly {
      // The kernel says so before it looks whether there is anything.
      if try status(path) != nil { throw error }
    } catch  where error.errno == .isADirectory {
      try check(operation) { rmdir(path) }
    }
    // What a process that was killed inside `replace` left beside it.
    let place = Place(path)
    var beside: [String] = []
    do throws(SystemError) { beside = try entries(of: place.directory) ?? [] } catch  where error.isAbsence {}
    for name in beside where place.isLeftover(name) {
      do throws(SystemError) { try check(operation) { unlink(place.directory + name) } } catch  where error.isAbsence {}
    }
  }

  // MARK: Looking

  public func status(_ path: String) throws(SystemError) -> FileStatus? {
    var status = stat()
    do throws(SystemError) {
      try check("looking at \(path)") { lstat(path, &status) }
    } catch  where error.isAbsence {
      return nil
    }
    let kind: FileStatus.Kind =
      switch status.st_mode & 0o170000 {
      case FileType.regular: .regular
      case FileType.directory: .directory
      case FileType.symbolicLink: .symbolicLink
      case FileType.fifo: .fifo
      case FileType.socket: .socket
      default: .other
      }
    // A change of the content changes the time; another file of that name has another inode.
    let time = UInt64(truncatingIfNeeded: status.st_ctim.tv_sec) &* 1_000_000_000 &+ UInt64(truncatingIfNeeded: status.st_ctim.tv_nsec)
    return FileStatus(
      kind, mode: status.st_mode & 0o7777, owner: status.st_uid, size: Int64(status.st_size), edition: (time ^ (UInt64(status.st_ino) &* 0x9E37_79B9_7F4A_7C15)) | 1)
  }

  public func isExecutable(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.is(FileType.regular) && access(path, X_OK) == 0
  }

  public func entries(of directory: String) throws(SystemError) -> [String]? {
    let operation = "listing \(directory)"
    do throws(SystemError) {
      let opened = try Descriptor(opening: directory, O_RDONLY | O_DIRECTORY, operation: operation)
      return try names(in: opened, operation).sorted()
    } catch  where error.errno == .noSuchFile {
      return nil
    }
  }

  // MARK: Making

  public func makeDirectory(_ path: String, mode: UInt32) throws(SystemError) {
    var made = path.hasPrefix("/") ? "/" : ""
    let parts = path.split(separator: "/")
    for (index, part) in parts.enumerated() {
      made += part
      let isLast = index == parts.count - 1
      if mkdir(made, isLast ? mode : 0o755) == 0 {
        // The process's umask does not count for the directory that was asked for.
        if isLast { try check("making directory \(path)") { chmod(made, mode) } }
      } else {
        let number = errno
        var status = stat()
        guard stat(made, &status) == 0, status.is(FileType.directory) else {
          throw SystemError("making directory \(path)", Errno(rawValue: number))
        }
      }
      made += "/"
    }
  }

  public func lock(_ path: String, before deadline: Instant) throws(SystemError) -> any FileLock {
    let operation = "locking \(path)"
    var pause = Duration.milliseconds(1)
    while true {
      let file = try Descriptor(
        opening: path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, mode: 0o600, operation: operation)
      var isBusy = false
      do throws(SystemError) {
        try check(operation) { flock(file.number, LOCK_EX | LOCK_NB) }
      } catch  where error.errno == .wouldBlock {
        isBusy = true
      }
      if !isBusy {
        // Somebody may have removed the file meanwhile; a lock on what has no name protects nothing.
        let opened = try file.status(operation)
        var named = stat()
        if lstat(path, &named) == 0, named.st_ino == opened.st_ino, named.st_dev == opened.st_dev {
          return LinuxFileLock(file)
        }
      }
      let now = LinuxClock.now
      guard now < deadline else {
        throw SystemError(operation, .timedOut, detail: holder(ofLockOn: file).map { "held by process \($0)" })
      }
      LinuxClock.sleep(until: min(deadline, now + pause))
      pause = min(pause * 2, .milliseconds(50))
    }
  }

  /// Who took the lock on `file`, as far as `/proc/locks` tells; it may have ended and left it to a child.
  private func holder(ofLockOn file: borrowing Descriptor) -> Int32? {
    do throws(SystemError) {
      let found = try file.status("looking at a lock")
      let list = try read("/proc/locks", limit: 1 << 20) ?? []
      for line in list.split(separator: UInt8(ascii: "\n")) {
        // "1: FLOCK  ADVISORY  WRITE 132 00:28:19 0 EOF": major and minor number in hexadecimal, inode; waiting ones have "->" in second place.
        let words = String(decoding: line, as: UTF8.self).split(separator: " ")
        guard words.count > 5, words[1] == "FLOCK" else { continue }
        let place = words[5].split(separator: ":")
        guard place.count == 3, UInt32(place[0], radix: 16) == gnu_dev_major(found.st_dev),
          UInt32(place[1], radix: 16) == gnu_dev_minor(found.st_dev), UInt64(place[2]) == UInt64(found.st_ino)
        else { continue }
        return Int32(words[4])
      }
    } catch { return nil }
    return nil
  }

  public func send(_ bytes: [UInt8], toFIFO path: String) throws(SystemError) {
    let operation = "writing to \(path)"
    // More than PIPE_BUF bytes would not be one message.
    guard bytes.count <= 4096 else { throw SystemError(operation, .messageTooLong) }
    var named = stat()
    try check(operation) { lstat(path, &named) }
    guard named.is(FileType.fifo) else { throw SystemError(operation, .invalidArgument, detail: "not a FIFO") }
    let fifo = try Descriptor(opening: path, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY, operation: operation)
    guard try fifo.status(operation).is(FileType.fifo) else {
      throw SystemError(operation, .invalidArgument, detail: "not a FIFO")
    }
    let written = try withoutSIGPIPE { () throws(SystemError) in
      try check(operation) { bytes.withUnsafeBytes { write(fifo.number, $0.baseAddress, $0.count) } }
    }
    guard written == bytes.count else { throw SystemError(operation, .io, detail: "\(written) of \(bytes.count) bytes written") }
  }

  public func makeReplyFile(in directory: String) throws(SystemError) -> any ReplyFile {
    try LinuxReplyFile(in: directory, leftovers: try entries(of: directory) ?? [])
  }

  // MARK: Kernel parameters

  public func kernelParameter(_ name: String) throws(SystemError) -> String? {
    let operation = "reading kernel parameter \(name)"
    do throws(SystemError) {
      let file = try Descriptor(opening: try path(ofParameter: name, operation), O_RDONLY, operation: operation)
      let text = String(decoding: try file.readToEnd(limit: 65_536, operation), as: UTF8.self)
      return String(text.prefix { $0 != "\n" })
    } catch  where error.isAbsence {
      return nil
    }
  }

  public func setKernelParameter(_ name: String, to value: String) throws(SystemError) {
    let operation = "setting kernel parameter \(name) to \(value)"
    let file = try Descriptor(opening: try path(ofParameter: name, operation), O_WRONLY, operation: operation)
    // The kernel takes the value from one write.
    let bytes = Array(value.utf8)
    try check(operation) { bytes.withUnsafeBytes { write(file.number, $0.baseAddress, $0.count) } }
  }

  /// As sysctl(8) reads names: with `.` between the parts a `/` stands for a dot, as in `net.ipv4.conf.eth0/100.forwarding`.
  private func path(ofParameter name: String, _ operation: String) throws(SystemError) -> String {
    let parts = name.split(separator: ".", omittingEmptySubsequences: false).map { $0.map { $0 == "/" ? "." : $0 } }
    guard parts.allSatisfy({ !$0.isEmpty && $0 != ["."] && $0 != [".", "."] && !$0.contains("\0") }) else {
      throw SystemError(operation, .invalidArgument)
    }
    return "/proc/sys/" + parts.map { String($0) }.joined(separator: "/")
  }
}

/// A path taken apart, and the names of what `replace` writes beside it.
private struct Place {
  let directory: String
  let name: String

  init(_ path: String) {
    let name = path.split(separator: "/", omittingEmptySubsequences: false).last.map(String.init) ?? path
    self.name = name
    let directory = path.dropLast(name.count)
    self.directory = directory.isEmpty ? "./" : String(directory)
  }

  var leftoverPrefix: String { ".\(name)." }
  static let leftoverSuffix = ".new"

  /// Whether it is of a process that has ended, or of an earlier one with our pid; not what another one is writing now.
  func isLeftover(_ entry: String) -> Bool {
    guard entry.hasPrefix(leftoverPrefix), entry.hasSuffix(Self.leftoverSuffix) else { return false }
    guard let pid = Int32(entry.dropFirst(leftoverPrefix.count).dropLast(Self.leftoverSuffix.count)), pid > 0 else { return false }
    return pid == getpid() || kill(pid, 0) == -1 && errno == ESRCH
  }
}

final class LinuxFileLock: FileLock {
  private var file: Descriptor?
  init(_ file: consuming Descriptor) { self.file = consume file }
  func release() { file = nil }
}

final class LinuxReplyFile: ReplyFile {
  let path: String
  private var file: Descriptor?

  private static let prefix = "vpnha-reply-"
  nonisolated(unsafe) private static var made = 0

  init(in directory: String, leftovers: [String]) throws(SystemError) {
    // Files of processes that were killed before they could remove them, one of which may have had our pid.
    for name in leftovers where name.hasPrefix(Self.prefix) {
      let pid = name.dropFirst(Self.prefix.count).prefix { $0 != "-" }
      if let pid = Int32(pid), pid == getpid() ? Self.made == 0 : kill(pid, 0) == -1 && errno == ESRCH { _ = unlink("\(directory)/\(name)") }
    }
    Self.made += 1
    path = "\(directory)/\(Self.prefix)\(getpid())-\(Self.made)"
    file = try Descriptor(opening: path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o600, operation: "making \(path)")
  }

  deinit { discard() }

  func isComplete() throws(SystemError) -> Bool {
    guard let number = file?.number else { throw SystemError("looking at \(path)", Errno(rawValue: EBADF)) }
    var status = stat()
    try check("looking at \(path)") { fstat(number, &status) }
    return status.st_nlink == 0
  }

  func read(limit: Int) throws(SystemError) -> [UInt8] {
    guard let number = file?.number else { throw SystemError("reading \(path)", Errno(rawValue: EBADF)) }
    var status = stat()
    try check("reading \(path)") { fstat(number, &status) }
    guard status.st_size <= limit else { throw SystemError("reading \(path)", .tooLarge) }
    // The limit is generous; what is there is mostly small. One byte more shows a file that is still growing.
    var buffer = [UInt8](repeating: 0, count: Int(status.st_size) + 1)
    var got = 0
    while got < buffer.count {
      let part = try check("reading \(path)") {
        buffer.withUnsafeMutableBytes { pread(number, $0.baseAddress.map { $0 + got }, $0.count - got, off_t(got)) }
      }
      if part == 0 { break }
      got += part
    }
    buffer.removeLast(buffer.count - got)
    return buffer
  }

  func discard() {
    guard let number = file?.number else { return }
    var opened = stat()
    var named = stat()
    // Whatever has the name now may be somebody else's.
    if fstat(number, &opened) == 0, lstat(path, &named) == 0, opened.st_ino == named.st_ino, opened.st_dev == named.st_dev {
      _ = unlink(path)
    }
    file = nil
  }
}

/// The names in an open directory, without `.` and `..`, in no order.
func names(in directory: borrowing Descriptor, _ operation: String) throws(SystemError) -> [String] {
  var names: [String] = []
  try eachName(in: directory, operation) { name in
    names.append(String(cString: name))
    return true
  }
  return names
}

/// Calls `body` with each name until it answers false.
func eachName(
  in directory: borrowing Descriptor, _ operation: String, _ body: (UnsafePointer<CChar>) -> Bool
) throws(SystemError) {
  let own = try check(operation) { clinux_fcntl(directory.number, F_DUPFD_CLOEXEC, 0) }
  guard let stream = fdopendir(own) else {
    let number = errno
    _ = close(own)
    throw SystemError(operation, Errno(rawValue: number))
  }
  defer { closedir(stream) }
  while true {
    errno = 0
    guard let entry = readdir(stream) else {
      let number = errno
      if number == 0 { return }
      throw SystemError(operation, Errno(rawValue: number))
    }
    let goOn = withUnsafePointer(to: &entry.pointee.d_name) {
      $0.withMemoryRebound(to: CChar.self, capacity: 256) { name in
        strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || body(name)
      }
    }
    if !goOn { return }
  }
}

extension SystemError {
  /// The path, or a directory on the way to it, is not there.
  var isAbsence: Bool { errno == .noSuchFile || errno == .notADirectory }
}
