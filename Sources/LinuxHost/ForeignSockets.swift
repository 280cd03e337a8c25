import CLinux
import Glibc
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
      } catch where error.isAbsence {
        // There was none.
      }
      return
    }
    var instructions = filter.instructions.map {
      sock_filter(code: $0.code, jt: $0.jumpIfTrue, jf: $0.jumpIfFalse, k: $0.operand)
    }
    let count = UInt16(clamping: instructions.count)
    try check(operation) {
      instructions.withUnsafeMutableBufferPointer { instructions in
        var program = sock_fprog(len: count, filter: instructions.baseAddress)
        return setsockopt(socket.number, SOL_SOCKET, SO_ATTACH_FILTER, &program, socklen_t(MemoryLayout<sock_fprog>.size))
      }
    }
  }

  /// A copy of the descriptor that `process` has for the socket.
  private func descriptor(
    of listener: UDPListener, in process: Process, _ operation: String
  ) throws(SystemError) -> Descriptor {
    let holder = Descriptor(owning: try check(operation) { clinux_pidfd_open(process.pid) })
    let directory = try Descriptor(opening: "/proc/\(process.pid)/fd", O_PATH | O_DIRECTORY, operation: operation)
    let wanted = Array("socket:[\(listener.inode)]".utf8)
    var name = [CChar](repeating: 0, count: 64)
    // A daemon opens what it listens on before anything else, so this ends after a few; listing all would not.
    for number in Int32(0)..<1024 {
      let length = readlinkat(directory.number, "\(number)", &name, name.count)
      if length < 0 {
        if errno == ENOENT { continue }
        throw SystemError(operation, Errno(rawValue: errno))
      }
      guard name[..<length].lazy.map(UInt8.init(bitPattern:)).elementsEqual(wanted) else { continue }
      let copy = Descriptor(owning: try check(operation) { clinux_pidfd_getfd(holder.number, number) })
      // Between the two looks the number may have become another file's.
      guard try copy.status(operation).st_ino == listener.inode else { break }
      return copy
    }
    throw SystemError(operation, .noSuchFile, detail: "process \(process.pid) has no such socket")
  }
}
