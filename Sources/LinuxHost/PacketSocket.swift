import CLinux
import Host

/// Frames on one link, without the link layer's header, which the kernel writes (packet(7), `SOCK_DGRAM`). Packet filters
/// do not see them.
final class PacketSocket {
  let link: Link
  var number: Int32 { socket.number }
  private let socket: Descriptor

  /// - Parameter type: the frames to receive, `ETH_P_*`; 0 receives none.
  init(on link: Link, hears type: UInt16) throws(SystemError) {
    self.link = link
    socket = Descriptor(owning: try openSocket(AF_PACKET, SOCK_DGRAM, "opening a packet socket on \(link.name)"))
    guard type != 0 else { return }
    var place = sockaddr_ll()
    place.sll_family = UInt16(AF_PACKET)
    place.sll_protocol = type.bigEndian
    place.sll_ifindex = link.index
    if clinux_bind(socket.number, &place, socklen_t(MemoryLayout<sockaddr_ll>.size)) != 0 {
      throw SystemError("listening on \(link.name)", Errno(rawValue: errno))
    }
  }

  /// The one that whoever launched us has sent with, as our standard input; nil when that is none.
  init?(inheritedOn link: Link) {
    var domain: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    guard getsockopt(0, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0, domain == AF_PACKET else { return nil }
    self.link = link
    socket = Descriptor(owning: 0)
  }

  /// Drops everything but ICMPv6 messages of these types before they reach us: on a gateway the rest is traffic.
  func hearOnly(icmpv6 types: [UInt8]) throws(SystemError) {
    func filter(_ code: Int32, _ number: UInt32, _ ifTrue: UInt8 = 0, _ ifFalse: UInt8 = 0) -> sock_filter {
      sock_filter(code: UInt16(code), jt: ifTrue, jf: ifFalse, k: number)
    }
    let number = UInt8(types.count)
    var program = [
      filter(BPF_LD | BPF_B | BPF_ABS, 6), filter(BPF_JMP | BPF_JEQ | BPF_K, 58, 0, number + 1), filter(BPF_LD | BPF_B | BPF_ABS, 40),
    ]
    // Over the others, and over the end that drops.
    for (index, type) in types.enumerated() { program.append(filter(BPF_JMP | BPF_JEQ | BPF_K, UInt32(type), number - UInt8(index), 0)) }
    program += [filter(BPF_RET | BPF_K, 0), filter(BPF_RET | BPF_K, 0xffff)]
    let count = UInt16(program.count)
    try check("filtering packets on \(link.name)") {
      program.withUnsafeMutableBufferPointer { program in
        var whole = sock_fprog(len: count, filter: program.baseAddress)
        return setsockopt(socket.number, SOL_SOCKET, SO_ATTACH_FILTER, &whole, socklen_t(MemoryLayout<sock_fprog>.size))
      }
    }
  }

  func send(_ payload: [UInt8], type: UInt16, to hardware: [UInt8], _ operation: String) throws(SystemError) {
    // struct sockaddr_ll with room for the twenty bytes of InfiniBand.
    var place = [UInt8](repeating: 0, count: 12)
    place.replaceSubrange(0..<2, with: withUnsafeBytes(of: UInt16(AF_PACKET)) { Array($0) })
    place.replaceSubrange(2..<4, with: withUnsafeBytes(of: type.bigEndian) { Array($0) })
    place.replaceSubrange(4..<8, with: withUnsafeBytes(of: link.index) { Array($0) })
    place[11] = UInt8(clamping: hardware.count)
    place += hardware
    if place.count < MemoryLayout<sockaddr_ll>.size {
      place += [UInt8](repeating: 0, count: MemoryLayout<sockaddr_ll>.size - place.count)
    }
    try check("\(operation) on \(link.name)") {
      clinux_sendto(socket.number, payload, payload.count, 0, place, socklen_t(place.count))
    }
  }

  /// The next frame, nil when none came by `deadline`.
  func receive(before deadline: Instant, _ operation: String) throws(SystemError) -> (bytes: [UInt8], sender: [UInt8])? {
    while true {
      var requests = [pollfd(fd: socket.number, events: Int16(POLLIN), revents: 0)]
      guard try pollUntil(deadline, &requests, operation) else { return nil }
      var place = sockaddr_ll()
      var length = socklen_t(MemoryLayout<sockaddr_ll>.size)
      var bytes = [UInt8](repeating: 0, count: 2048)
      do throws(SystemError) {
        let count = try check("\(operation) on \(link.name)") {
          clinux_recvfrom(socket.number, &bytes, bytes.count, Int32(MSG_DONTWAIT), &place, &length)
        }
        let sender = withUnsafeBytes(of: place.sll_addr) { Array($0.prefix(Int(place.sll_halen))) }
        return (Array(bytes[..<count]), sender)
      } catch  where error.errno == .wouldBlock {
        // Another wake-up than ours, or a frame with a bad checksum.
      }
    }
  }
}
