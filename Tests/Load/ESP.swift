import Host

/// One direction of an IPsec SA: AES-CBC with an HMAC (RFC 4303 §2, RFC 3602, RFC 2404, RFC 4868), without extended numbers.
struct ESP {
  struct Suite: Hashable, Sendable {
    /// 128 or 256.
    var keyBits: UInt16
    var hash: LibCrypto.Hash
    var keyLength: Int { Int(keyBits) / 8 + hash.length }
  }

  let spi: UInt32
  private let suite: Suite
  private let key: [UInt8]
  private let authenticator: [UInt8]
  private let crypto: LibCrypto
  /// The number of the last packet, sent or heard.
  private(set) var number: UInt32 = 0

  /// - Parameter material: as long as `suite.keyLength`: the key, then the authenticator's.
  init(spi: UInt32, _ suite: Suite, material: [UInt8], _ crypto: LibCrypto) {
    self.spi = spi
    self.suite = suite
    key = Array(material.prefix(Int(suite.keyBits) / 8))
    authenticator = Array(material.dropFirst(Int(suite.keyBits) / 8))
    self.crypto = crypto
  }

  /// The ESP packet of what follows an IP header.
  mutating func sealed(_ payload: [UInt8], next: UInt8) throws(SystemError) -> [UInt8] {
    number &+= 1
    let padding = (LibCrypto.block - (payload.count + 2) % LibCrypto.block) % LibCrypto.block
    let iv = (0..<LibCrypto.block).map { _ in UInt8.random(in: 0...255) }
    let text = payload + (0..<padding).map { UInt8($0 + 1) } + [UInt8(padding), next]
    let packet = spi.bytes + number.bytes + iv + (try crypto.aes(text, key: key, iv: iv, encrypting: true))
    return packet + crypto.hmac(packet, key: authenticator, suite.hash).prefix(suite.hash.kept)
  }

  /// What follows the IP header; nil when a bit of it is another than it was, or it is older than what came last by more than 64.
  mutating func opened(_ packet: [UInt8]) -> (payload: [UInt8], next: UInt8)? {
    let overhead = 8 + LibCrypto.block + suite.hash.kept
    guard packet.count >= overhead + LibCrypto.block, (packet.count - overhead) % LibCrypto.block == 0 else { return nil }
    let body = Array(packet.dropLast(suite.hash.kept))
    guard crypto.hmac(body, key: authenticator, suite.hash).prefix(suite.hash.kept).elementsEqual(packet.suffix(suite.hash.kept)) else { return nil }
    let sent = UInt32(bytes: packet[4..<8])
    guard sent > number || number - sent < 64 else { return nil }
    number = max(number, sent)
    let iv = Array(body[8..<(8 + LibCrypto.block)])
    do throws(SystemError) {
      let text = try crypto.aes(body[(8 + LibCrypto.block)...], key: key, iv: iv, encrypting: false)
      let padding = Int(text[text.count - 2])
      guard padding + 2 <= text.count else { return nil }
      return (Array(text.dropLast(padding + 2)), text[text.count - 1])
    } catch { return nil }
  }
}

/// UDP inside ESP: no checksum (RFC 3948 §3.1.2 has the receiver not look at it in transport mode behind a NAT).
struct UDPPacket {
  var source: UInt16
  var destination: UInt16
  var payload: [UInt8]

  var bytes: [UInt8] { source.bytes + destination.bytes + UInt16(clamping: payload.count + 8).bytes + [0, 0] + payload }

  init(source: UInt16, destination: UInt16, payload: [UInt8]) {
    self.source = source
    self.destination = destination
    self.payload = payload
  }

  init?(_ bytes: [UInt8]) {
    guard bytes.count >= 8 else { return nil }
    let length = Int(UInt16(bytes: bytes[4..<6]))
    guard length >= 8, length <= bytes.count else { return nil }
    self.init(source: UInt16(bytes: bytes[0..<2]), destination: UInt16(bytes: bytes[2..<4]), payload: Array(bytes[8..<length]))
  }
}

extension FixedWidthInteger {
  /// Big-endian.
  var bytes: [UInt8] { stride(from: Self.bitWidth - 8, through: 0, by: -8).map { UInt8(truncatingIfNeeded: self >> Self($0)) } }
  init(bytes: some Sequence<UInt8>) { self = bytes.reduce(0) { $0 << 8 | Self($1) } }
}
