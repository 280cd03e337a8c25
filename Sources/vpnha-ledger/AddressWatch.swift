import CLinux
import Host
import LinuxHost

/// The kernel's news of IPv4 addresses that come and go, as far as they are about one of them.
final class AddressWatch: Readable {
  let descriptor: Int32
  /// The attribute `IFA_LOCAL` with the address in it, as it stands in a message (`linux/rtnetlink.h`).
  private let mark: [UInt8]

  init(of address: IPAddress) throws(SystemError) {
    let operation = "watching \(address)"
    mark = [8, 0, UInt8(IFA_LOCAL), 0] + address.bytes
    let type = Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    let number = socket(AF_NETLINK, type, 0)
    guard number >= 0 else { throw SystemError(operation, Errno(rawValue: errno)) }
    var group = sockaddr_nl()
    group.nl_family = sa_family_t(AF_NETLINK)
    group.nl_groups = 0x10  // RTMGRP_IPV4_IFADDR
    guard clinux_bind(number, &group, socklen_t(MemoryLayout<sockaddr_nl>.size)) == 0 else {
      let reason = errno
      _ = close(number)
      throw SystemError(operation, Errno(rawValue: reason))
    }
    descriptor = number
  }

  deinit { _ = close(descriptor) }

  /// Takes what has arrived. Whether any of it may be about the address; what was lost may be.
  func hasNews() -> Bool {
    var buffer = [UInt8](repeating: 0, count: 8192)
    var isAbout = false
    for _ in 0..<1024 {
      let count = buffer.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress, $0.count, 0) }
      if count < 0, errno == EAGAIN { break }
      // ENOBUFS, said once.
      isAbout = isAbout || count < 0 || buffer[..<count].contains(mark)
    }
    return isAbout
  }
}
