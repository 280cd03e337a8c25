import CLinux
import Host

/// UNIX streams and UDP sockets of the kernel.
public final class LinuxSockets: Sockets {
  public init() {}

  public func connect(toUnix path: String, before deadline: Instant) throws(SystemError) -> any ByteStream {
    let operation = "connecting to \(path)"
    var address = try unixAddress(path, operation)
    let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    let socket = Descriptor(owning: try check(operation) { CLinux.socket(AF_UNIX, type, 0) })
    var pause = Duration.milliseconds(1)
    while true {
      do throws(SystemError) {
        try check(operation) { clinux_connect(socket.number, &address, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        return LinuxStream(socket, path)
      } catch  where error.errno == .wouldBlock {
        // The listener's queue is full. There is nothing to poll for on a UNIX socket.
        let now = LinuxClock.now
        guard now < deadline else { throw SystemError(operation, .timedOut) }
        LinuxClock.sleep(until: min(deadline, now + pause))
        pause = min(pause * 2, .milliseconds(20))
      }
    }
  }

  public func connect(
    toUDP address: IPAddress, port: UInt16, from source: IPAddress?, on link: Link?
  ) throws(SystemError) -> any DatagramSocket {
    let operation = "connecting to \(address) port \(port)"
    let type = Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    let socket = Descriptor(
      owning: try check(operation) { CLinux.socket(address.isIPv6 ? AF_INET6 : AF_INET, type, 0) })
    if let source {
      try check("binding to \(source)") {
        SocketAddress(source, port: 0, on: link).withPointer { clinux_bind(socket.number, $0, $1) }
      }
    }
    try check(operation) { SocketAddress(address, port: port, on: link).withPointer { clinux_connect(socket.number, $0, $1) } }
    let local = try SocketAddress(boundTo: socket.number, operation)
    return LinuxDatagrams(socket, local, to: "\(address) port \(port)")
  }

  public func wait(for sources: [any Readable], before deadline: Instant) throws(SystemError) -> [Int] {
    // poll passes over negative numbers.
    var requests = sources.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
    guard try pollUntil(deadline, &requests, "waiting for something to read") else { return [] }
    return requests.indices.filter { requests[$0].revents != 0 }
  }

  public func udpListeners(on port: UInt16) throws(SystemError) -> [UDPListener] {
    var listeners: [UDPListener] = []
    for path in ["/proc/net/udp", "/proc/net/udp6"] {
      let operation = "reading \(path)"
      do throws(SystemError) {
        let file = try Descriptor(opening: path, O_RDONLY, operation: operation)
        for listener in try UDPTable.listeners(on: port, in: try file.readToEnd(limit: 64 << 20, operation), operation)
        // A socket that comes between two reads moves the others on: the same line is read twice.
        where !listeners.contains(listener) { listeners.append(listener) }
      } catch  where error.isAbsence {
        // A kernel without IPv6.
      }
    }
    return listeners
  }
}

/// `/proc/net/udp` and `/proc/net/udp6`: a heading, then one socket a line.
enum UDPTable {
  static func listeners(on port: UInt16, in text: [UInt8], _ operation: String) throws(SystemError) -> [UDPListener] {
    var listeners: [UDPListener] = []
    let wanted = Array(":\(hex4(port))".utf8)
    var heading = true
    var start = 0
    // A gateway has a line for each tunnel, so a line is cut into fields only when it matters.
    while start < text.count {
      let end = text[start...].firstIndex(of: UInt8(ascii: "\n")) ?? text.count
      let line = text[start..<end]
      start = end + 1
      if heading || line.isEmpty {
        heading = false
        continue
      }
      // sl: local_address:port remote_address:port …
      guard let first = line.firstIndex(of: UInt8(ascii: ":")),
        let local = line[(first + 1)...].firstIndex(of: UInt8(ascii: ":")),
        let remote = line[(local + 1)...].firstIndex(of: UInt8(ascii: ":")), remote + 5 <= line.endIndex
      else { throw SystemError(operation, .badMessage) }
      guard line[local..<(local + 5)].elementsEqual(wanted) else { continue }
      // A connected socket serves one peer only.
      guard line[remote..<(remote + 5)].elementsEqual(":0000".utf8) else { continue }
      let fields = line.split(separator: UInt8(ascii: " "))
      // sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …
      guard fields.count >= 10, let address = address(fields[1].dropLast(5)),
        let inode = UInt64(String(decoding: fields[9], as: UTF8.self))
      else { throw SystemError(operation, .badMessage) }
      listeners.append(UDPListener(address, inode: inode))
    }
    return listeners
  }

  private static func hex4(_ port: UInt16) -> String {
    let text = String(port, radix: 16, uppercase: true)
    return String(repeating: "0", count: 4 - text.count) + text
  }

  /// 32-bit words in the machine's byte order, in hexadecimal.
  private static func address(_ hex: ArraySlice<UInt8>) -> IPAddress? {
    guard hex.count == 8 || hex.count == 32 else { return nil }
    var bytes: [UInt8] = []
    for start in stride(from: hex.startIndex, to: hex.endIndex, by: 8) {
      guard let word = UInt32(String(decoding: hex[start..<start + 8], as: UTF8.self), radix: 16) else { return nil }
      withUnsafeBytes(of: word) { bytes += $0 }
    }
    return IPAddress(bytes: bytes)
  }
}

final class LinuxStream: ByteStream {
  private var socket: Descriptor?
  private let peer: String

  init(_ socket: consuming Descriptor, _ peer: String) {
    self.socket = consume socket
    self.peer = peer
  }

  func read(limit: Int, before deadline: Instant) throws(SystemError) -> [UInt8] {
    let operation = "reading from \(peer)"
    guard let number = socket?.number else { throw SystemError(operation, Errno(rawValue: EBADF)) }
    guard limit > 0 else { throw SystemError(operation, .invalidArgument) }
    var buffer = [UInt8](repeating: 0, count: min(limit, 262_144))
    while true {
      do throws(SystemError) {
        let got = try check(operation) { buffer.withUnsafeMutableBytes { recv(number, $0.baseAddress, $0.count, 0) } }
        return Array(buffer.prefix(got))
      } catch  where error.errno == .wouldBlock {
        try wait(number, POLLIN, deadline, operation)
      }
    }
  }

  func write(_ bytes: [UInt8], before deadline: Instant) throws(SystemError) {
    let operation = "writing to \(peer)"
    guard let number = socket?.number else { throw SystemError(operation, Errno(rawValue: EBADF)) }
    var done = 0
    while done < bytes.count {
      do throws(SystemError) {
        done += try check(operation) {
          bytes.withUnsafeBytes {
            send(number, $0.baseAddress.map { $0 + done }, $0.count - done, Int32(MSG_NOSIGNAL))
          }
        }
      } catch  where error.errno == .wouldBlock {
        try wait(number, POLLOUT, deadline, operation)
      }
    }
  }

  func close() { socket = nil }

  private func wait(_ number: Int32, _ event: Int32, _ deadline: Instant, _ operation: String) throws(SystemError) {
    var requests = [pollfd(fd: number, events: Int16(event), revents: 0)]
    guard try pollUntil(deadline, &requests, operation) else { throw SystemError(operation, .timedOut) }
  }
}

final class LinuxDatagrams: DatagramSocket {
  let localAddress: IPAddress
  let localPort: UInt16
  var descriptor: Int32 { socket?.number ?? -1 }
  private var socket: Descriptor?
  private let peer: String

  init(_ socket: consuming Descriptor, _ local: SocketAddress, to peer: String) {
    self.socket = consume socket
    localAddress = local.address
    localPort = local.port
    self.peer = peer
  }

  func send(_ bytes: [UInt8]) throws(SystemError) {
    let operation = "sending to \(peer)"
    guard let number = socket?.number else { throw SystemError(operation, Errno(rawValue: EBADF)) }
    try check(operation) {
      bytes.withUnsafeBytes { CLinux.send(number, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
    }
  }

  func receive(limit: Int, before deadline: Instant) throws(SystemError) -> [UInt8]? {
    let operation = "receiving from \(peer)"
    guard let number = socket?.number else { throw SystemError(operation, Errno(rawValue: EBADF)) }
    var buffer = [UInt8](repeating: 0, count: min(max(0, limit), 65_536))
    while true {
      do throws(SystemError) {
        let size = try check(operation) {
          buffer.withUnsafeMutableBytes { recv(number, $0.baseAddress, $0.count, Int32(MSG_TRUNC)) }
        }
        guard size <= buffer.count else { throw SystemError(operation, .messageTooLong) }
        return Array(buffer.prefix(size))
      } catch  where error.errno == .wouldBlock {
        var requests = [pollfd(fd: number, events: Int16(POLLIN), revents: 0)]
        guard try pollUntil(deadline, &requests, operation) else { return nil }
      }
    }
  }

  func close() { socket = nil }
}

/// `sockaddr_in` or `sockaddr_in6`.
struct SocketAddress {
  var address: IPAddress
  var port: UInt16
  /// The index of the link that a link-local IPv6 address belongs to (`sin6_scope_id`), else 0.
  private var scope: Int32 = 0

  init(_ address: IPAddress, port: UInt16, on link: Link? = nil) {
    self.address = address
    self.port = port
    if address.isIPv6, address.isLinkLocal, let link { scope = link.index }
  }

  /// Where a socket is bound (`getsockname`).
  init(boundTo socket: Int32, _ operation: String) throws(SystemError) {
    var storage = sockaddr_storage()
    var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
    try check(operation) { clinux_getsockname(socket, &storage, &size) }
    let bytes = withUnsafeBytes(of: storage) { Array($0) }
    let isIPv6 = Int32(storage.ss_family) == AF_INET6
    guard let address = IPAddress(bytes: Array(isIPv6 ? bytes[8..<24] : bytes[4..<8])) else {
      throw SystemError(operation, .badMessage)
    }
    self.address = address
    port = UInt16(bytes[2]) << 8 | UInt16(bytes[3])
  }

  func withPointer<Value>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Value) -> Value {
    var storage = sockaddr_storage()
    storage.ss_family = sa_family_t(address.isIPv6 ? AF_INET6 : AF_INET)
    withUnsafeMutableBytes(of: &storage) { bytes in
      bytes[2] = UInt8(port >> 8)
      bytes[3] = UInt8(truncatingIfNeeded: port)
      for (index, byte) in address.bytes.enumerated() { bytes[(address.isIPv6 ? 8 : 4) + index] = byte }
      if address.isIPv6 { withUnsafeBytes(of: scope) { bytes[24..<28].copyBytes(from: $0) } }
    }
    let size = address.isIPv6 ? MemoryLayout<sockaddr_in6>.size : MemoryLayout<sockaddr_in>.size
    return withUnsafePointer(to: &storage) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(size)) }
    }
  }
}

/// Where a UNIX socket is: `unix(7)`.
///
/// - Throws: `ENAMETOOLONG` for a path that does not fit.
public func unixAddress(_ path: String, _ operation: String) throws(SystemError) -> sockaddr_un {
  var address = sockaddr_un()
  address.sun_family = sa_family_t(AF_UNIX)
  let bytes = Array(path.utf8)
  let fits = withUnsafeMutableBytes(of: &address.sun_path) { room in
    // The kernel wants the terminating zero inside.
    guard bytes.count < room.count, !bytes.contains(0) else { return false }
    room.copyBytes(from: bytes)
    return true
  }
  guard fits else { throw SystemError(operation, .nameTooLong) }
  return address
}
