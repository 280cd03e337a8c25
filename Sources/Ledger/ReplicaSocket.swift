import CLinux
import Host

/// A UDP socket between the same port of two nodes. Connected: the kernel drops what comes from anywhere else.
public final class ReplicaSocket: Readable {
  public let descriptor: Int32
  private let peer: String

  /// - Throws: `EADDRNOTAVAIL` while `source` is not on this node, `EADDRINUSE` when another program has the port.
  public init(source: IPAddress, peer: IPAddress, port: UInt16) throws(SystemError) {
    self.peer = "\(peer) port \(port)"
    let operation = "opening a socket from \(source) to \(peer) port \(port)"
    guard source.isIPv6 == peer.isIPv6 else { throw SystemError(operation, .familyNotSupported) }
    let type = Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    let number = socket(source.isIPv6 ? AF_INET6 : AF_INET, type, 0)
    guard number >= 0 else { throw SystemError(operation, Errno(rawValue: errno)) }
    let result =
      Self.withAddress(source, port) { clinux_bind(number, $0, $1) } == 0 && Self.withAddress(peer, port) { clinux_connect(number, $0, $1) } == 0
    guard result else {
      let reason = errno
      _ = close(number)
      throw SystemError(operation, Errno(rawValue: reason))
    }
    descriptor = number
  }

  deinit { _ = close(descriptor) }

  private static func withAddress(_ address: IPAddress, _ port: UInt16, _ body: (UnsafeRawPointer, socklen_t) -> Int32) -> Int32 {
    var bytes = [UInt8](repeating: 0, count: address.isIPv6 ? MemoryLayout<sockaddr_in6>.size : MemoryLayout<sockaddr_in>.size)
    withUnsafeBytes(of: sa_family_t(address.isIPv6 ? AF_INET6 : AF_INET)) { bytes.replaceSubrange(..<2, with: $0) }
    bytes[2] = UInt8(port >> 8)
    bytes[3] = UInt8(truncatingIfNeeded: port)
    let start = address.isIPv6 ? 8 : 4
    bytes.replaceSubrange(start..<start + address.bytes.count, with: address.bytes)
    return bytes.withUnsafeBytes { bytes in bytes.baseAddress.map { body($0, socklen_t(bytes.count)) } ?? -1 }
  }

  /// One datagram, cut at `Replica.datagramLimit` + 1 bytes; nil when there is none. `ECONNREFUSED` when nobody listens at the peer's.
  public func receive() throws(SystemError) -> [UInt8]? {
    var buffer = [UInt8](repeating: 0, count: Replica.datagramLimit + 1)
    while true {
      let count = buffer.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress, $0.count, 0) }
      if count >= 0 { return Array(buffer.prefix(count)) }
      switch errno {
      case EINTR: continue
      case EAGAIN: return nil
      default: throw SystemError("hearing from \(peer)", Errno(rawValue: errno))
      }
    }
  }

  /// A datagram for which there is no room is as good as one that is lost on the way.
  public func send(_ bytes: [UInt8]) throws(SystemError) {
    while bytes.withUnsafeBytes({ CLinux.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }) < 0 {
      switch errno {
      case EINTR: continue
      case EAGAIN, ENOBUFS: return
      default: throw SystemError("speaking to \(peer)", Errno(rawValue: errno))
      }
    }
  }
}

extension ReplicaSocket {
  /// Datagrams that are taken in one turn, so that a flood leaves time for everything else.
  private static let turn = 256

  /// Takes what has arrived and sends what is due.
  ///
  /// - Returns: the last thing that the network refused, if anything: the link is down, or nobody listens.
  @discardableResult
  public func pump(_ replica: Replica, at now: Instant) -> SystemError? {
    var problem: SystemError?
    for _ in 0..<Self.turn {
      do throws(SystemError) {
        guard let datagram = try receive() else { break }
        replica.receive(datagram, at: now)
      } catch { problem = error }
    }
    for message in replica.due(at: now) {
      do throws(SystemError) { try send(message) } catch { problem = error }
    }
    return problem
  }
}
