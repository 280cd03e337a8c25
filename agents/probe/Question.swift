import Host
import IKEProbe
import RADIUS

/// One probe's message, the same in every repetition, and how its answer is recognised.
enum Question {
  case echo(EchoRequest)
  case neighbour
  case ike(spi: UInt64, IKEProbe, hasMarker: Bool)
  case status(StatusServer)

  /// Larger than any answer that is waited for.
  static let answerLimit = 4096

  var bytes: [UInt8] {
    switch self {
    case .echo(let request): request.bytes
    case .neighbour: []
    case .ike(let spi, let probe, let hasMarker): (hasMarker ? [0, 0, 0, 0] : []) + probe.message(spi: spi).bytes
    case .status(let request): request.bytes
    }
  }

  func isAnswered(by datagram: [UInt8]) -> Bool {
    switch self {
    case .echo(let request): return request.isAnswered(by: datagram)
    case .neighbour: return !datagram.isEmpty
    case .ike(let spi, _, let hasMarker):
      if hasMarker, !datagram.starts(with: [0, 0, 0, 0]) { return false }
      let bytes = hasMarker ? Array(datagram.dropFirst(4)) : datagram
      do throws(IKEProbeError) { return IKEAnswer(try IKEMessage(decoding: bytes), to: spi) != nil } catch { return false }
    case .status(let request): return request.isAnswered(by: datagram)
    }
  }
}

/// An ICMP or ICMPv6 echo request (RFC 792, RFC 4443 §4.1), with a number in its data that nobody else knows.
struct EchoRequest: Equatable {
  var isIPv6: Bool
  var cookie: UInt64

  /// Identifier and sequence number, 32 bits of the cookie, then all of it as data.
  private var body: [UInt8] {
    let cookie = stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: self.cookie >> UInt64($0)) }
    return Array(cookie.prefix(4)) + cookie
  }

  var bytes: [UInt8] {
    var message: [UInt8] = [isIPv6 ? 128 : 8, 0, 0, 0] + body
    // The kernel does it for ICMPv6, which sums up addresses as well.
    guard !isIPv6 else { return message }
    let sum = Self.checksum(message)
    message[2] = UInt8(sum >> 8)
    message[3] = UInt8(truncatingIfNeeded: sum)
    return message
  }

  func isAnswered(by message: [UInt8]) -> Bool {
    message.count >= 16 && message[0] == (isIPv6 ? 129 : 0) && message[1] == 0 && Array(message[4..<16]) == body
      && (isIPv6 || Self.checksum(message) == 0)
  }

  /// The Internet checksum (RFC 1071).
  static func checksum(_ bytes: [UInt8]) -> UInt16 {
    var sum: UInt32 = 0
    for (index, byte) in bytes.enumerated() {
      sum += index % 2 == 0 ? UInt32(byte) << 8 : UInt32(byte)
      sum = (sum & 0xffff) + sum >> 16
    }
    return ~UInt16(truncatingIfNeeded: sum)
  }
}
