/// An IPv4 or IPv6 address, in network byte order.
public struct IPAddress: Hashable, Sendable, CustomStringConvertible {
  /// 4 bytes (IPv4) or 16 (IPv6).
  public let bytes: [UInt8]

  public var isIPv6: Bool { bytes.count == 16 }
  /// Width of the address in bits: 32 or 128.
  public var bits: Int { bytes.count * 8 }

  /// Nil unless there are 4 or 16 bytes.
  public init?(bytes: [UInt8]) {
    guard bytes.count == 4 || bytes.count == 16 else { return nil }
    self.bytes = bytes
  }

  /// Reads a literal: dotted quad without leading zeros, or RFC 4291 §2.2 text (`::`, embedded IPv4); no prefix, no zone.
  public init?(_ text: some StringProtocol) {
    let text = Array(text.utf8)
    guard text.count <= 45, let bytes = Self.ipv4(text[...]) ?? Self.ipv6(text[...]) else { return nil }
    self.bytes = bytes
  }

  /// The form of RFC 5952 for IPv6, a dotted quad for IPv4.
  public var description: String {
    if !isIPv6 { return "\(bytes[0]).\(bytes[1]).\(bytes[2]).\(bytes[3])" }
    let groups = stride(from: 0, to: 16, by: 2).map { UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1]) }
    var longest = 0..<0
    var start = 0
    while start < 8 {
      var end = start
      while end < 8, groups[end] == 0 { end += 1 }
      if end - start > max(longest.count, 1) { longest = start..<end }
      start = max(end, start + 1)
    }
    func hex(_ range: Range<Int>) -> String { groups[range].map { String($0, radix: 16) }.joined(separator: ":") }
    return longest.isEmpty ? hex(0..<8) : hex(0..<longest.lowerBound) + "::" + hex(longest.upperBound..<8)
  }

  private static func ipv4(_ text: ArraySlice<UInt8>) -> [UInt8]? {
    let parts = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard parts.count == 4 else { return nil }
    var bytes: [UInt8] = []
    for part in parts {
      guard (1...3).contains(part.count), part.count == 1 || part.first != UInt8(ascii: "0"),
        part.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) })
      else { return nil }
      let value = part.reduce(0) { $0 * 10 + Int($1 - UInt8(ascii: "0")) }
      guard value <= 255 else { return nil }
      bytes.append(UInt8(value))
    }
    return bytes
  }

  private static func ipv6(_ text: ArraySlice<UInt8>) -> [UInt8]? {
    let colon = UInt8(ascii: ":")
    /// Groups of one side of `::`; the last may be a dotted quad.
    func groups(_ side: ArraySlice<UInt8>, mayEndInIPv4: Bool) -> [UInt8]? {
      if side.isEmpty { return [] }
      let parts = side.split(separator: colon, omittingEmptySubsequences: false)
      var bytes: [UInt8] = []
      for (index, part) in parts.enumerated() {
        if index == parts.count - 1, mayEndInIPv4, part.contains(UInt8(ascii: ".")) {
          guard let quad = ipv4(part) else { return nil }
          bytes += quad
          continue
        }
        guard (1...4).contains(part.count) else { return nil }
        var value: UInt16 = 0
        for character in part {
          guard let digit = hexDigit(character) else { return nil }
          value = value << 4 | UInt16(digit)
        }
        bytes += [UInt8(value >> 8), UInt8(truncatingIfNeeded: value)]
      }
      return bytes
    }
    let at = text.indices.dropLast().first { text[$0] == colon && text[$0 + 1] == colon }
    guard let at else {
      guard let bytes = groups(text, mayEndInIPv4: true), bytes.count == 16 else { return nil }
      return bytes
    }
    guard let head = groups(text[..<at], mayEndInIPv4: false), let tail = groups(text[(at + 2)...], mayEndInIPv4: true),
      head.count + tail.count <= 14
    else { return nil }
    return head + [UInt8](repeating: 0, count: 16 - head.count - tail.count) + tail
  }

  private static func hexDigit(_ character: UInt8) -> UInt8? {
    switch character {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): character - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): character - UInt8(ascii: "A") + 10
    default: nil
    }
  }
}

extension IPAddress {
  public var isLinkLocal: Bool { isIPv6 ? bytes[0] == 0xfe && bytes[1] & 0xc0 == 0x80 : bytes[0] == 169 && bytes[1] == 254 }
  public var isMulticast: Bool { isIPv6 ? bytes[0] == 0xff : bytes[0] & 0xf0 == 0xe0 }
  public var isUnspecified: Bool { bytes.allSatisfy { $0 == 0 } }
  /// Nobody in particular: multicast, limited broadcast (255.255.255.255), unspecified, or a form that no packet bears.
  public var isNoHost: Bool { isMulticast || isUnspecified || isMappedIPv4 || !isIPv6 && bytes.allSatisfy { $0 == 255 } }
  public var isLoopback: Bool {
    isIPv6 ? bytes.dropLast().allSatisfy { $0 == 0 } && bytes[15] == 1 : bytes[0] == 127
  }
  /// An IPv4 address written as an IPv6 one (`::ffff:192.0.2.1`), which no packet on a wire bears (RFC 4291 §2.5.5.2).
  public var isMappedIPv4: Bool { isIPv6 && bytes[..<10].allSatisfy { $0 == 0 } && bytes[10...11].allSatisfy { $0 == 0xff } }
}

extension IPAddress {
  private init(unchecked: [UInt8]) { bytes = unchecked }

  /// `0.0.0.0`
  public static let unspecifiedIPv4 = IPAddress(unchecked: [0, 0, 0, 0])
  /// `::`
  public static let unspecifiedIPv6 = IPAddress(unchecked: [UInt8](repeating: 0, count: 16))
  /// `ff02::1`: every node on the link.
  public static let allNodes = IPAddress(unchecked: [0xff, 0x02] + [UInt8](repeating: 0, count: 13) + [1])

  /// `ff02::1:ffXX:XXXX` of an IPv6 address (RFC 4291 §2.7.1).
  public var solicitedNode: IPAddress {
    IPAddress(unchecked: [0xff, 0x02] + [UInt8](repeating: 0, count: 9) + [1, 0xff] + bytes.suffix(3))
  }

  /// The Ethernet address an IPv6 multicast goes to (RFC 2464 §7).
  public var multicastHardwareAddress: [UInt8] { [0x33, 0x33] + bytes.suffix(4) }

  /// Whether the first `prefixLength` bits are those of `network`.
  public func isIn(_ network: IPAddress, prefixLength: Int) -> Bool {
    guard network.bits == bits, (0...bits).contains(prefixLength) else { return false }
    let whole = prefixLength / 8
    guard bytes[..<whole] == network.bytes[..<whole] else { return false }
    guard prefixLength % 8 != 0 else { return true }
    return (bytes[whole] ^ network.bytes[whole]) >> UInt8(8 - prefixLength % 8) == 0
  }

  /// The address with every bit behind the prefix set (the broadcast address) or cleared (the network).
  public func withHostBits(set: Bool, prefixLength: Int) -> IPAddress {
    IPAddress(
      unchecked: bytes.enumerated().map { index, byte in
        let kept = min(8, max(0, prefixLength - index * 8))
        let host = UInt8(truncatingIfNeeded: 0xff >> kept)
        return set ? byte | host : byte & ~host
      })
  }
}
