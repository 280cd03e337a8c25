import Adoption
import CLinux
import Host

/// A UDP socket from the gateway's address, port 1701, to one client: beside the server's own, which takes everybody else.
final class ClientSocket: Readable {
  let descriptor: Int32
  private let name: String
  static let port: UInt16 = 1701

  /// - Throws: `EADDRNOTAVAIL` while the address is not here, `ENETUNREACH` while nothing may be sent from it.
  init(from gateway: IPAddress, to peer: IPAddress, port: UInt16) throws(SystemError) {
    name = "\(peer) port \(port)"
    let operation = "opening a socket from \(gateway) to \(name)"
    guard !gateway.isIPv6, !peer.isIPv6 else { throw SystemError(operation, .familyNotSupported) }
    let type = Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    let number = socket(AF_INET, type, 0)
    guard number >= 0 else { throw SystemError(operation, Errno(rawValue: errno)) }
    var isOn: Int32 = 1
    var (from, to) = (sockaddr_in(gateway, Self.port), sockaddr_in(peer, port))
    let size = socklen_t(MemoryLayout<sockaddr_in>.size)
    guard setsockopt(number, SOL_SOCKET, SO_REUSEADDR, &isOn, socklen_t(MemoryLayout<Int32>.size)) == 0, clinux_bind(number, &from, size) == 0,
      clinux_connect(number, &to, size) == 0
    else {
      let reason = errno
      _ = close(number)
      throw SystemError(operation, Errno(rawValue: reason))
    }
    descriptor = number
    // Between bind and connect anybody's datagrams come in.
    for _ in 0..<1024 where recv(number, nil, 0, 0) < 0 { break }
  }

  deinit { _ = close(descriptor) }

  /// Nil when there is none; one that is longer than any control message here is cut.
  func receive() throws(SystemError) -> [UInt8]? {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = buffer.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress, $0.count, 0) }
    if count >= 0 { return Array(buffer.prefix(count)) }
    if errno == EAGAIN || errno == EINTR { return nil }
    throw SystemError("hearing from \(name)", Errno(rawValue: errno))
  }

  func send(_ bytes: [UInt8]) throws(SystemError) {
    guard bytes.withUnsafeBytes({ CLinux.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }) < 0 else { return }
    if errno == EAGAIN || errno == EINTR || errno == ENOBUFS { return }
    throw SystemError("speaking to \(name)", Errno(rawValue: errno))
  }
}
