import CLinux
import Host
import RADIUS

/// What pppds of this node report to RADIUS, as it leaves: the one place where the Acct-Session-Id that pppd's plugin makes can be learned.
/// It is in no variable that scripts see, in no file, and nothing asks a pppd for it.
///
/// A request counts if it was made by somebody who knows the secret. Every packet that leaves this node passes the filter of this socket.
final class AccountWatch: Readable {
  let descriptor: Int32
  private let secret: SharedSecret

  /// - Parameters:
  ///   - gateway: where reports come from (`bindaddr` of the plugin's file).
  ///   - port: where they go.
  init(from gateway: IPAddress, toPort port: UInt16, _ secret: SharedSecret) throws(SystemError) {
    self.secret = secret
    let operation = "listening to reports to RADIUS"
    // No protocol yet: nothing comes in before the filter is there.
    let number = socket(AF_PACKET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
    guard number >= 0 else { throw SystemError(operation, Errno(rawValue: errno)) }
    var program = Self.program(gateway, port).map { sock_filter(code: $0.code, jt: $0.jumpIfTrue, jf: $0.jumpIfFalse, k: $0.operand) }
    let count = UInt16(program.count)
    let isFiltered = program.withUnsafeMutableBufferPointer {
      var whole = sock_fprog(len: count, filter: $0.baseAddress)
      return setsockopt(number, SOL_SOCKET, SO_ATTACH_FILTER, &whole, socklen_t(MemoryLayout<sock_fprog>.size)) == 0
    }
    var place = sockaddr_ll()
    place.sll_family = UInt16(AF_PACKET)
    place.sll_protocol = UInt16(ETH_P_ALL).bigEndian
    guard isFiltered, clinux_bind(number, &place, socklen_t(MemoryLayout<sockaddr_ll>.size)) == 0 else {
      let reason = errno
      _ = close(number)
      throw SystemError(operation, Errno(rawValue: reason))
    }
    descriptor = number
  }

  deinit { _ = close(descriptor) }

  /// Outgoing (SKF_AD_PKTTYPE, `linux/filter.h`) IPv4 UDP, whole, from the gateway to the port.
  static func program(_ gateway: IPAddress, _ port: UInt16) -> [SocketFilter.Instruction] {
    let source = gateway.bytes.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    return [
      .init(0x30, 0xffff_f004), .init(0x15, 4, jumpIfFalse: 12),  // PACKET_OUTGOING
      .init(0x28, 0xffff_f000), .init(0x15, 0x0800, jumpIfFalse: 10),  // ETH_P_IP
      .init(0x20, 12), .init(0x15, source, jumpIfFalse: 8),
      .init(0x30, 9), .init(0x15, 17, jumpIfFalse: 6),
      .init(0x28, 6), .init(0x45, 0x3fff, jumpIfTrue: 4),  // no fragment
      .init(0xb1, 0), .init(0x48, 2), .init(0x15, UInt32(port), jumpIfFalse: 1), .init(0x06, 0xffff),
      .init(0x06, 0),
    ]
  }

  /// What has come; a few at a time.
  func heard() -> [HeardAccounting] {
    var requests: [HeardAccounting] = []
    var buffer = [UInt8](repeating: 0, count: 4200)
    for _ in 0..<256 {
      let count = buffer.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress, $0.count, 0) }
      if count < 0 { break }
      if let payload = Self.payload(buffer[..<count]), let request = HeardAccounting(payload, secret: secret) { requests.append(request) }
    }
    return requests
  }

  /// What is behind the headers of IP and UDP; nil when they are not whole.
  static func payload(_ packet: ArraySlice<UInt8>) -> [UInt8]? {
    guard let first = packet.first, first >> 4 == 4 else { return nil }
    let header = Int(first & 0x0f) * 4
    guard header >= 20, packet.count >= header + 8 else { return nil }
    return Array(packet.dropFirst(header + 8))
  }
}
