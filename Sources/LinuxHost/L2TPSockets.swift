import CLinux
import Host

extension LinuxSockets {
  public func l2tpSocket(of process: Process, descriptor: Int32) throws(SystemError) -> L2TPSocket? {
    let operation = "looking at descriptor \(descriptor) of process \(process.pid)"
    let holder = Descriptor(owning: try check(operation) { clinux_pidfd_open(process.pid) })
    // What it returns is the socket itself, which stays where it is.
    let socket = Descriptor(owning: try check(operation) { clinux_pidfd_getfd(holder.number, descriptor) })
    var name = sockaddr_storage()
    var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
    do throws(SystemError) {
      try check(operation) { clinux_getsockname(socket.number, &name, &size) }
    } catch  where [ENOTSOCK, ENOTCONN].contains(error.errno.rawValue) {
      return nil
    }
    return withUnsafeBytes(of: name) { L2TPSocket(name: Array($0.prefix(Int(size)))) }
  }
}

extension L2TPSocket {
  /// Reads what the kernel says of a PPPoL2TP socket over IPv4 (`struct sockaddr_pppol2tp`, packed, of `linux/if_pppox.h`);
  /// nil for any other address.
  public init?(name bytes: [UInt8]) {
    func number(_ place: Int) -> UInt16 { UInt16(littleEndian: UInt16(bytes[place]) | UInt16(bytes[place + 1]) << 8) }
    // Family and protocol, a pid, a descriptor, the peer as a sockaddr_in, and our and the peer's tunnel and session.
    guard bytes.count >= 38, number(0) == 24, bytes[2...5] == [1, 0, 0, 0], number(14) == UInt16(AF_INET),
      let peer = IPAddress(bytes: Array(bytes[18..<22]))
    else { return nil }
    self.init(
      peer: peer, port: UInt16(bytes[16]) << 8 | UInt16(bytes[17]), tunnel: number(30), session: number(32),
      peerTunnel: number(34), peerSession: number(36))
  }
}
