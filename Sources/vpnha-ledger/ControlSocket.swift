import CLinux
import Host
import Ledger
import LinuxHost

/// Where the agent asks and commands: a UNIX stream socket of root's. One line in, lines out, then the connection is over.
final class ControlSocket: Readable {
  let path: String
  let descriptor: Int32

  /// Bytes of a command at most, and how long one that connects may take for it.
  static let limit = 64
  static let patience: Int32 = 200  // ms

  /// Takes the place of a socket that a killed predecessor left.
  init(at path: String, _ files: any Files) throws(SystemError) {
    self.path = path
    let operation = "listening on \(path)"
    try files.remove(path)
    var address = try unixAddress(path, operation)
    let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    let number = socket(AF_UNIX, type, 0)
    guard number >= 0 else { throw SystemError(operation, Errno(rawValue: errno)) }
    let mask = umask(0o177)
    let isBound = clinux_bind(number, &address, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0 && listen(number, 16) == 0
    let reason = errno
    umask(mask)
    guard isBound else {
      _ = close(number)
      throw SystemError(operation, Errno(rawValue: reason))
    }
    descriptor = number
  }

  deinit { _ = close(descriptor) }

  func remove() { _ = unlink(path) }

  /// Answers those that wait, a few at a time.
  func answer(_ reply: (String) -> [String]) {
    for _ in 0..<8 {
      let flags = Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
      let caller = accept4(descriptor, __SOCKADDR_ARG(), nil, flags)
      guard caller >= 0 else { return }
      defer { _ = close(caller) }
      var who = ucred()
      var size = socklen_t(MemoryLayout<ucred>.size)
      guard getsockopt(caller, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0, who.uid == 0, let command = line(from: caller) else { continue }
      let text = Array(reply(command).joined(separator: "\n").utf8) + [UInt8(ascii: "\n")]
      send(text, to: caller)
    }
  }

  private func line(from caller: Int32) -> String? {
    var bytes: [UInt8] = []
    var waits = 0
    while bytes.count <= Self.limit {
      var buffer = [UInt8](repeating: 0, count: Self.limit + 1)
      let count = buffer.withUnsafeMutableBytes { recv(caller, $0.baseAddress, $0.count, 0) }
      if count > 0 {
        bytes += buffer.prefix(count)
        guard let end = bytes.firstIndex(of: UInt8(ascii: "\n")) else { continue }
        return String(decoding: bytes[..<end], as: UTF8.self)
      }
      // A caller that ends without an end of line has said all as well.
      if count == 0 { return bytes.isEmpty ? nil : String(decoding: bytes, as: UTF8.self) }
      guard errno == EAGAIN || errno == EINTR, waits < 2 else { return nil }
      waits += 1
      var request = pollfd(fd: caller, events: Int16(POLLIN), revents: 0)
      _ = poll(&request, 1, Self.patience)
    }
    return nil
  }

  private func send(_ bytes: [UInt8], to caller: Int32) {
    var done = 0
    var waits = 0
    while done < bytes.count {
      let count = bytes.withUnsafeBytes { CLinux.send(caller, $0.baseAddress.map { $0 + done }, $0.count - done, Int32(MSG_NOSIGNAL)) }
      if count > 0 {
        done += count
        continue
      }
      guard errno == EAGAIN || errno == EINTR, waits < 2 else { return }
      waits += 1
      var request = pollfd(fd: caller, events: Int16(POLLOUT), revents: 0)
      _ = poll(&request, 1, Self.patience)
    }
  }
}
