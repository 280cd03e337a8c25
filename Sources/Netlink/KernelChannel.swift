import CLinux
import Host

/// A netlink socket to the kernel.
///
/// Asks for extended acknowledgements, capped ones (`NETLINK_CAP_ACK`), and strict checking of dump requests, which is
/// what makes the kernel filter a dump. A kernel without one of these still answers; the client then filters.
public final class KernelChannel: Channel {
  public enum Family: Int32, Sendable {
    case route = 0
    case socketDiagnostics = 4
    case transform = 6
    case netfilter = 12
    case generic = 16
  }

  private let descriptor: Int32
  /// As large as the kernel's largest answer. Not filled with zeros: a monitor's answers touch one page of it.
  private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 8)
  private var waits: Duration = .zero

  /// `EPERM`, `EPROTONOSUPPORT` … when the kernel refuses the socket.
  public init(_ family: Family) throws(SystemError) {
    descriptor = socket(AF_NETLINK, Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue), family.rawValue)
    guard descriptor >= 0 else { throw SystemError("opening a netlink socket", Errno(rawValue: errno)) }
    for option in [NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK] {
      var on: Int32 = 1
      _ = setsockopt(descriptor, SOL_NETLINK, option, &on, socklen_t(MemoryLayout<Int32>.size))
    }
  }

  deinit {
    _ = close(descriptor)
    buffer.deallocate()
  }

  public var now: Instant { .now }

  public func send(_ bytes: [UInt8]) throws(SystemError) {
    while CLinux.send(descriptor, bytes, bytes.count, 0) < 0 {
      if errno != EINTR { throw SystemError("sending to the kernel", Errno(rawValue: errno)) }
    }
  }

  public func receive(before deadline: Instant) throws(SystemError) -> [UInt8] {
    while true {
      // Nearly always the answer is there already, so the limit is the socket's own and costs no poll.
      let left = deadline - now
      guard left > .zero else { throw SystemError("reading from the kernel", .timedOut) }
      try limitWaiting(to: left)
      var sender = sockaddr_nl()
      var length = socklen_t(MemoryLayout<sockaddr_nl>.size)
      let count = clinux_recvfrom(descriptor, buffer.baseAddress, buffer.count, Int32(MSG_TRUNC), &sender, &length)
      if count < 0 {
        if errno == EINTR || errno == EAGAIN { continue }
        throw SystemError("reading from the kernel", Errno(rawValue: errno))
      }
      // Any process may send to our port; only port 0 is the kernel.
      if sender.nl_pid != 0 { continue }
      if count > buffer.count { throw SystemError("reading from the kernel", .messageTooLong) }
      return Array(buffer[..<count])
    }
  }

  private func limitWaiting(to limit: Duration) throws(SystemError) {
    // Set again only when the limit in force is off by more than a tenth of a second.
    if waits > .zero, limit - waits < .milliseconds(100), waits - limit < .milliseconds(100) { return }
    let milliseconds = Int(limit.pollMilliseconds)
    var time = timeval(tv_sec: milliseconds / 1000, tv_usec: milliseconds % 1000 * 1000)
    guard setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size)) == 0 else {
      throw SystemError("limiting the wait for the kernel", Errno(rawValue: errno))
    }
    waits = limit
  }
}

extension Instant {
  /// `CLOCK_MONOTONIC`.
  static var now: Instant {
    var time = timespec()
    _ = clock_gettime(CLOCK_MONOTONIC, &time)
    return Instant(nanoseconds: Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec))
  }
}
