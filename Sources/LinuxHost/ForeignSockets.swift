import CLinux
import Host

/// Filters on the sockets of other processes, reached by `pidfd_getfd(2)`: what it returns is the socket itself, which
/// stays where it is.
extension LinuxSockets {
  public func filter(of listener: UDPListener, in process: Process) throws(SystemError) -> SocketFilter? {
    let operation = "reading the filter of \(listener.address)"
    let socket = try descriptor(of: listener, in: process, operation)
    // In instructions, not in bytes. Without room for them the kernel tells their number.
    var count = socklen_t(0)
    try check(operation) { getsockopt(socket.number, SOL_SOCKET, SO_ATTACH_FILTER, nil, &count) }
    guard count > 0 else { return nil }
    var program = [sock_filter](repeating: sock_filter(), count: Int(count))
    try check(operation) { getsockopt(socket.number, SOL_SOCKET, SO_ATTACH_FILTER, &program, &count) }
    return SocketFilter(
      program.prefix(Int(count)).map {
        SocketFilter.Instruction($0.code, $0.k, jumpIfTrue: $0.jt, jumpIfFalse: $0.jf)
      })
  }

  public func setFilter(_ filter: SocketFilter?, of listener: UDPListener, in process: Process) throws(SystemError) {
    let operation = "\(filter == nil ? "removing" : "setting") the filter of \(listener.address)"
    let socket = try descriptor(of: listener, in: process, operation)
    guard let filter else {
      var unused: Int32 = 0
      do throws(SystemError) {
        try check(operation) { setsockopt(socket.number, SOL_SOCKET, SO_DETACH_FILTER, &unused, socklen_t(MemoryLayout<Int32>.size)) }
      } catch  where error.isAbsence {
        // There was none.
      }
      return
    }
    try attach(filter, to: socket.number, operation)
  }

  func attach(_ filter: SocketFilter, to socket: Int32, _ operation: String) throws(SystemError) {
    var instructions = filter.instructions.map {
      sock_filter(code: $0.code, jt: $0.jumpIfTrue, jf: $0.jumpIfFalse, k: $0.operand)
    }
    let count = UInt16(clamping: instructions.count)
    try check(operation) {
      instructions.withUnsafeMutableBufferPointer { instructions in
        var program = sock_fprog(len: count, filter: instructions.baseAddress)
        return setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &program, socklen_t(MemoryLayout<sock_fprog>.size))
      }
    }
  }

  public func udpListener(on address: IPAddress, port: UInt16, in process: Process) throws(SystemError) -> UDPListener? {
    let operation = "looking for \(address) port \(port) in process \(process.pid)"
    var found: UDPListener?
    try eachSocket(of: process, operation) { (socket, inode) throws(SystemError) in
      guard try option(SO_TYPE, of: socket, operation) == Int32(SOCK_DGRAM.rawValue),
        [AF_INET, AF_INET6].contains(try option(SO_DOMAIN, of: socket, operation))
      else { return true }
      let bound = try SocketAddress(boundTo: socket, operation)
      guard bound.port == port, bound.address == address || bound.address.isUnspecified else { return true }
      var peer = sockaddr_storage()
      var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
      let isConnected = clinux_getpeername(socket, &peer, &size) == 0
      if !isConnected { found = UDPListener(bound.address, inode: inode) }
      return isConnected
    }
    return found
  }

  private func option(_ name: Int32, of socket: Int32, _ operation: String) throws(SystemError) -> Int32 {
    var value: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    try check(operation) { getsockopt(socket, SOL_SOCKET, name, &value, &size) }
    return value
  }

  /// A copy of the descriptor that `process` has for the socket.
  private func descriptor(
    of listener: UDPListener, in process: Process, _ operation: String
  ) throws(SystemError) -> Descriptor {
    var copy: Int32 = -1
    try eachSocket(of: process, only: listener.inode, operation) { (socket, _) throws(SystemError) in
      copy = try check(operation) { clinux_fcntl(socket, F_DUPFD_CLOEXEC, 0) }
      return false
    }
    guard copy >= 0 else { throw SystemError(operation, .noSuchFile, detail: "process \(process.pid) has no such socket") }
    return Descriptor(owning: copy)
  }

  /// Calls `body` with a copy of each socket of `process` and its inode until it answers false.
  ///
  /// A daemon opens what it listens on before anything else, so that this ends after a few; a list of all descriptors would
  /// grow with its clients.
  private func eachSocket(
    of process: Process, only wanted: UInt64? = nil, _ operation: String,
    _ body: (_ socket: Int32, _ inode: UInt64) throws(SystemError) -> Bool
  ) throws(SystemError) {
    let holder = Descriptor(owning: try check(operation) { clinux_pidfd_open(process.pid) })
    let directory = try Descriptor(opening: "/proc/\(process.pid)/fd", O_PATH | O_DIRECTORY, operation: operation)
    var name = [CChar](repeating: 0, count: 64)
    let prefix = Array("socket:[".utf8)
    for number in Int32(0)..<1024 {
      let length = readlinkat(directory.number, "\(number)", &name, name.count)
      if length < 0 {
        if errno == ENOENT { continue }
        throw SystemError(operation, Errno(rawValue: errno))
      }
      let text = name[..<length].map(UInt8.init(bitPattern:))
      guard text.starts(with: prefix), let inode = UInt64(String(decoding: text.dropFirst(8).dropLast(), as: UTF8.self)),
        wanted == nil || wanted == inode
      else { continue }
      let copy = Descriptor(owning: try check(operation) { clinux_pidfd_getfd(holder.number, number) })
      // Between the two looks the number may have become another file's.
      guard try copy.status(operation).st_ino == inode else { continue }
      if try !body(copy.number, inode) { return }
    }
  }
}
