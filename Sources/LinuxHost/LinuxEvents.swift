import CLinux
import Host

/// Events from pidfds and from netlink's multicast groups (`linux/rtnetlink.h`, `linux/netfilter/nfnetlink.h`).
public final class LinuxEvents: Events {
  public init() {}

  public func watch(_ sources: [EventSource]) throws(SystemError) -> any Watch { try LinuxWatch(sources) }
}

private final class LinuxWatch: Watch {
  private let sources: [EventSource]
  private var requests: [pollfd] = []

  init(_ sources: [EventSource]) throws(SystemError) {
    self.sources = sources
    for source in sources {
      requests.append(pollfd(fd: try Self.open(source), events: Int16(POLLIN), revents: 0))
    }
  }

  deinit { for request in requests where request.fd >= 0 { _ = close(request.fd) } }

  private static func open(_ source: EventSource) throws(SystemError) -> Int32 {
    switch source {
    // One that has ended already is an event at once; whether it is the same process, the next look tells.
    case .process(let process):
      do throws(SystemError) { return try check("watching process \(process.pid)") { clinux_pidfd_open(process.pid) } } catch
        where error.errno == .noSuchProcess
      { return -1 }
    case .links: return try listeningNetlink(0, groups: 1 /* RTMGRP_LINK */)
    case .addresses: return try listeningNetlink(0, groups: 0x10 | 0x100 /* RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR */)
    case .packetFilter: return try listeningNetlink(12, groups: 1 << 6 /* NFNLGRP_NFTABLES is 7 */)
    }
  }

  func next(before deadline: Instant) throws(SystemError) -> EventSource? {
    // A process that had gone before it could be watched.
    if let gone = requests.firstIndex(where: { $0.fd < 0 }) {
      guard requests[gone].events != 0 else { return try wait(before: deadline) }
      requests[gone].events = 0
      return sources[gone]
    }
    return try wait(before: deadline)
  }

  private func wait(before deadline: Instant) throws(SystemError) -> EventSource? {
    guard try pollUntil(deadline, &requests, "waiting for events"),
      let ready = requests.firstIndex(where: { $0.revents != 0 })
    else { return nil }
    if case .process = sources[ready] {
      // A pidfd stays readable: it has said all it has to say.
      _ = close(requests[ready].fd)
      requests[ready] = pollfd(fd: -1, events: 0, revents: 0)
    } else {
      drain(requests[ready].fd)
    }
    return sources[ready]
  }

  /// Takes what has arrived off the socket, up to a bound: of a storm the rest is the next event.
  private func drain(_ number: Int32) {
    var buffer = [UInt8](repeating: 0, count: 8192)
    for _ in 0..<1000 {
      // A datagram that is cut is none the less gone; ENOBUFS, said once, is what was lost.
      let count = recv(number, &buffer, buffer.count, Int32(MSG_DONTWAIT))
      if count < 0, errno == EAGAIN { return }
    }
  }
}

/// A netlink socket that hears multicast groups, and never waits.
///
/// - Parameter family: `NETLINK_*` (`linux/netlink.h`).
package func listeningNetlink(_ family: Int32, groups: UInt32) throws(SystemError) -> Int32 {
  let operation = "watching the kernel"
  let type = Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
  let number = try check(operation) { socket(AF_NETLINK, type, family) }
  var address = sockaddr_nl()
  address.nl_family = sa_family_t(AF_NETLINK)
  address.nl_groups = groups
  do throws(SystemError) {
    try check(operation) { clinux_bind(number, &address, socklen_t(MemoryLayout<sockaddr_nl>.size)) }
  } catch {
    _ = close(number)
    throw error
  }
  return number
}
