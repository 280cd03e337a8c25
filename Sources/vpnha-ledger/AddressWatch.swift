import CLinux
import Host
import LinuxHost

/// The kernel's news of IPv4 addresses that come and go, as far as they are about one of them.
final class AddressWatch: Readable {
  let descriptor: Int32
  /// The attribute `IFA_LOCAL` with the address in it, as it stands in a message (`linux/rtnetlink.h`).
  private let mark: [UInt8]

  init(of address: IPAddress) throws(SystemError) {
    mark = [8, 0, UInt8(IFA_LOCAL), 0] + address.bytes
    descriptor = try listeningNetlink(0, groups: 0x10 /* RTMGRP_IPV4_IFADDR */)
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
