import Host

/// The payload of an ARP frame (RFC 826), behind the link layer's own header.
public struct ARP: Equatable, Sendable {
  public enum Operation: UInt16, Sendable {
    case request = 1
    case reply = 2
  }

  public var operation: Operation
  /// `ARPHRD_*`: 1 is Ethernet.
  public var hardwareType: UInt16
  public var senderHardware: [UInt8]
  public var sender: IPAddress
  public var targetHardware: [UInt8]
  public var target: IPAddress

  /// An announcement (RFC 5227 §3): sender and target are the address itself. As a request the target's hardware address
  /// is zero, as a reply it is ours.
  public static func announcement(of address: IPAddress, from hardware: [UInt8], type: UInt16 = 1, asReply: Bool) -> ARP {
    ARP(
      operation: asReply ? .reply : .request, hardwareType: type, senderHardware: hardware, sender: address,
      targetHardware: asReply ? hardware : hardware.map { _ in 0 }, target: address)
  }

  /// A question to one neighbour, who has to note the sender before it answers (RFC 826, "packet reception").
  public static func question(to neighbour: IPAddress, of address: IPAddress, from hardware: [UInt8], type: UInt16 = 1)
    -> ARP
  {
    ARP(
      operation: .request, hardwareType: type, senderHardware: hardware, sender: address,
      targetHardware: hardware.map { _ in 0 }, target: neighbour)
  }

  /// A probe (RFC 5227 §2.1.1): asks who has `address` without claiming it.
  public static func probe(for address: IPAddress, from hardware: [UInt8], type: UInt16 = 1) -> ARP {
    ARP(
      operation: .request, hardwareType: type, senderHardware: hardware, sender: .unspecifiedIPv4,
      targetHardware: hardware.map { _ in 0 }, target: address)
  }

  public var bytes: [UInt8] {
    hardwareType.networkOrder + [0x08, 0x00, UInt8(clamping: senderHardware.count), 4] + operation.rawValue.networkOrder
      + senderHardware + sender.bytes + targetHardware + target.bytes
  }

  public init(
    operation: Operation, hardwareType: UInt16 = 1, senderHardware: [UInt8], sender: IPAddress, targetHardware: [UInt8],
    target: IPAddress
  ) {
    self.operation = operation
    self.hardwareType = hardwareType
    self.senderHardware = senderHardware
    self.sender = sender
    self.targetHardware = targetHardware
    self.target = target
  }

  /// Reads a frame's payload; nil unless it is a whole ARP request or reply for IPv4.
  public init?(_ frame: [UInt8]) {
    guard frame.count >= 8, frame[2] == 0x08, frame[3] == 0x00, frame[5] == 4,
      let operation = Operation(rawValue: UInt16(frame[6]) << 8 | UInt16(frame[7]))
    else { return nil }
    let size = Int(frame[4])
    guard frame.count >= 8 + 2 * (size + 4), let sender = IPAddress(bytes: Array(frame[(8 + size)..<(12 + size)])),
      let target = IPAddress(bytes: Array(frame[(12 + 2 * size)..<(16 + 2 * size)]))
    else { return nil }
    self.init(
      operation: operation, hardwareType: UInt16(frame[0]) << 8 | UInt16(frame[1]),
      senderHardware: Array(frame[8..<(8 + size)]), sender: sender,
      targetHardware: Array(frame[(12 + size)..<(12 + 2 * size)]), target: target)
  }

  /// The hardware address of a host other than `own` that uses or claims `address` by this frame (RFC 5227 §2.1.1).
  public func conflictingHost(for address: IPAddress, own: [UInt8]) -> [UInt8]? {
    guard senderHardware != own else { return nil }
    let claims = sender == address
    let probes = operation == .request && sender.isUnspecified && target == address
    return claims || probes ? senderHardware : nil
  }
}

/// IPv6 packets of neighbour discovery (RFC 4861), with their IPv6 header and checksum, behind the link layer's header.
public enum NeighbourDiscovery {
  /// An unsolicited neighbour advertisement (§7.2.6): Override set, so that caches are replaced; Router as the node is
  /// one or not, because a neighbour that sees the flag fall drops us as its default router.
  public static func advertisement(
    of address: IPAddress, at hardware: [UInt8], isRouter: Bool, to destination: IPAddress = .allNodes
  ) -> [UInt8] {
    let flags: UInt8 = (isRouter ? 0x80 : 0) | 0x20
    return packet(
      [136, 0, 0, 0, flags, 0, 0, 0] + address.bytes + linkLayer(option: 2, hardware), from: address, to: destination)
  }

  /// A neighbour solicitation (§7.2.2) that makes `neighbour` note our hardware address before it answers.
  public static func solicitation(of neighbour: IPAddress, from address: IPAddress, at hardware: [UInt8]) -> [UInt8] {
    packet(
      [135, 0, 0, 0, 0, 0, 0, 0] + neighbour.bytes + linkLayer(option: 1, hardware), from: address,
      to: neighbour.solicitedNode)
  }

  /// A neighbour solicitation from the unspecified address: asks who has `address` without claiming it (RFC 4862 §5.4.2).
  public static func probe(for address: IPAddress) -> [UInt8] {
    packet([135, 0, 0, 0, 0, 0, 0, 0] + address.bytes, from: .unspecifiedIPv6, to: address.solicitedNode)
  }

  /// Source or target link-layer address (§4.6.1), padded to eight bytes: InfiniBand's in front (RFC 4391 §9.3).
  private static func linkLayer(option: UInt8, _ hardware: [UInt8]) -> [UInt8] {
    let units = (hardware.count + 2 + 7) / 8
    let bytes = [option, UInt8(clamping: units)] + (hardware.count == 20 ? [0, 0] : []) + hardware
    return bytes + [UInt8](repeating: 0, count: units * 8 - bytes.count)
  }

  private static func packet(_ message: [UInt8], from source: IPAddress, to destination: IPAddress) -> [UInt8] {
    let length = UInt16(clamping: message.count)
    var message = message
    let sum = checksum(
      source.bytes + destination.bytes + [0, 0] + length.networkOrder + [0, 0, 0, 58] + message)
    message[2] = UInt8(sum >> 8)
    message[3] = UInt8(sum & 0xff)
    // Version 6, no traffic class or flow label; hop limit 255, or receivers ignore it (§7.1.2).
    return [0x60, 0, 0, 0] + length.networkOrder + [58, 255] + source.bytes + destination.bytes + message
  }

  /// The Internet checksum (RFC 1071).
  package static func checksum(_ bytes: [UInt8]) -> UInt16 {
    var sum: UInt32 = 0
    for index in stride(from: 0, to: bytes.count, by: 2) {
      sum &+= UInt32(bytes[index]) << 8 | (index + 1 < bytes.count ? UInt32(bytes[index + 1]) : 0)
      sum = (sum & 0xffff) &+ sum >> 16
    }
    return ~UInt16(truncatingIfNeeded: sum)
  }

  /// Whether `packet` is a neighbour advertisement of `address`, or somebody else's probe for it. The hardware address is
  /// the one the packet names, empty where it names none; nil for any other packet.
  public static func claim(in packet: [UInt8], to address: IPAddress) -> [UInt8]? {
    guard packet.count >= 64, packet[0] >> 4 == 6, packet[6] == 58, packet[7] == 255,
      packet[48..<64].elementsEqual(address.bytes)
    else { return nil }
    let isProbe = packet[40] == 135 && packet[8..<24].allSatisfy { $0 == 0 }
    guard packet[40] == 136 || isProbe else { return nil }
    var rest = packet[64...]
    while let type = rest.field(UInt8.self, at: 0), let units = rest.field(UInt8.self, at: 1), units > 0 {
      if type == 2, let hardware = rest.bytes(at: 2, Int(units) * 8 - 2) {
        return Array(hardware.count == 22 ? hardware.suffix(20) : hardware.prefix(6))
      }
      rest = rest.bytes(from: Int(units) * 8)
    }
    return []
  }
}

extension UInt16 {
  var networkOrder: [UInt8] { [UInt8(self >> 8), UInt8(truncatingIfNeeded: self)] }
}
