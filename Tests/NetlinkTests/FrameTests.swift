import HostTestKit
import Host
import Netlink
import Testing

@Suite("Frames to the neighbours")
struct FrameTests {
  private let own: [UInt8] = [2, 0, 0, 0, 0, 1]
  private let vip = address("192.0.2.50")

  @Test("Gratuitous ARP as a request and as a reply")
  func announcement() {
    #expect(
      ARP.announcement(of: vip, from: own, asReply: false).bytes
        == bytes(
          """
          00 01 08 00 06 04    # Ethernet, IPv4, address lengths
          00 01                # request
          02 00 00 00 00 01    # sender's hardware address
          c0 00 02 32          # sender 192.0.2.50
          00 00 00 00 00 00    # target's hardware address: nobody's
          c0 00 02 32          # target 192.0.2.50
          """))
    #expect(
      ARP.announcement(of: vip, from: own, asReply: true).bytes
        == bytes("00 01 08 00 06 04 00 02  02 00 00 00 00 01 c0 00 02 32  02 00 00 00 00 01 c0 00 02 32"))
  }

  @Test("An ARP probe claims nothing")
  func probe() {
    #expect(
      ARP.probe(for: vip, from: own).bytes
        == bytes("00 01 08 00 06 04 00 01  02 00 00 00 00 01 00 00 00 00  00 00 00 00 00 00 c0 00 02 32"))
  }

  @Test("One neighbour is told by a question")
  func question() {
    #expect(
      ARP.question(to: address("192.0.2.9"), of: vip, from: own).bytes
        == bytes("00 01 08 00 06 04 00 01  02 00 00 00 00 01 c0 00 02 32  00 00 00 00 00 00 c0 00 02 09"))
  }

  @Test("InfiniBand's hardware addresses have twenty bytes")
  func infiniBand() throws {
    let hardware = [UInt8](1...20)
    let frame = ARP.announcement(of: vip, from: hardware, type: 32, asReply: false)
    #expect(frame.bytes.count == 8 + 2 * 24)
    #expect(ARP(frame.bytes) == frame)
    let vip6 = address("2001:db8::50")
    let advertisement = NeighbourDiscovery.advertisement(of: vip6, at: hardware, isRouter: false)
    #expect(advertisement.suffix(24) == [2, 3, 0, 0] + hardware)
    #expect(NeighbourDiscovery.claim(in: advertisement, to: vip6) == hardware)
  }

  @Test("A conflict is who uses the address or probes for it, never ourselves")
  func conflicts() {
    let other: [UInt8] = [2, 0, 0, 0, 0, 9]
    let cases: [(ARP, [UInt8]?)] = [
      (.announcement(of: vip, from: other, asReply: false), other),
      (.announcement(of: vip, from: other, asReply: true), other),
      (.probe(for: vip, from: other), other),
      (.probe(for: vip, from: own), nil),
      (.question(to: vip, of: address("192.0.2.9"), from: other), nil),
      (.announcement(of: address("192.0.2.9"), from: other, asReply: true), nil),
    ]
    for (frame, conflict) in cases {
      let read = ARP(frame.bytes)
      #expect(read == frame)
      #expect(read?.conflictingHost(for: vip, own: own) == conflict)
    }
  }

  @Test("Unsolicited neighbour advertisement")
  func advertisement() {
    #expect(
      NeighbourDiscovery.advertisement(of: address("2001:db8::50"), at: own, isRouter: true)
        == bytes(
          """
          60 00 00 00          # version 6
          00 20 3a ff          # 32 bytes, ICMPv6, hop limit 255
          20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 50   # source
          ff 02 00 00 00 00 00 00 00 00 00 00 00 00 00 01   # destination: all nodes
          88 00 78 8c          # neighbour advertisement, checksum
          a0 00 00 00          # Router, Override
          20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 50   # target
          02 01 02 00 00 00 00 01   # target's link-layer address
          """))
    let host = NeighbourDiscovery.advertisement(of: address("2001:db8::50"), at: own, isRouter: false)
    #expect(host[44] == 0x20)
    #expect(sum(host) == 0xffff)
  }

  @Test("The checksum of RFC 1071 §3's example")
  func example() { #expect(NeighbourDiscovery.checksum([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]) == 0x220d) }

  @Test("Every packet's checksum adds up", arguments: ["2001:db8::50", "fe80::1", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"])
  func checksums(_ text: String) {
    let vip = address(text)
    let target = address("2001:db8::9")
    #expect(sum(NeighbourDiscovery.advertisement(of: vip, at: own, isRouter: true)) == 0xffff)
    #expect(sum(NeighbourDiscovery.solicitation(of: target, from: vip, at: own)) == 0xffff)
    #expect(sum(NeighbourDiscovery.probe(for: vip)) == 0xffff)
  }

  @Test("A claim to an IPv6 address is an advertisement, or another's probe")
  func claims() {
    let vip = address("2001:db8::50")
    #expect(NeighbourDiscovery.claim(in: NeighbourDiscovery.advertisement(of: vip, at: own, isRouter: false), to: vip) == own)
    #expect(NeighbourDiscovery.claim(in: NeighbourDiscovery.probe(for: vip), to: vip) == [])
    #expect(NeighbourDiscovery.claim(in: NeighbourDiscovery.probe(for: vip), to: address("2001:db8::51")) == nil)
    #expect(NeighbourDiscovery.claim(in: NeighbourDiscovery.solicitation(of: vip, from: address("fe80::1"), at: own), to: vip) == nil)
  }

  @Test("Frames that end early are no frames")
  func truncated() {
    let arp = ARP.announcement(of: vip, from: own, asReply: false).bytes
    for end in arp.indices { #expect(ARP(Array(arp[..<end])) == nil) }
    let advertisement = NeighbourDiscovery.advertisement(of: address("2001:db8::50"), at: own, isRouter: false)
    for end in advertisement.indices {
      _ = NeighbourDiscovery.claim(in: Array(advertisement[..<end]), to: address("2001:db8::50"))
    }
    var generator = SplitMix(seed: 1)
    for _ in 0..<2000 {
      var bytes = Bool.random(using: &generator) ? arp : advertisement
      for _ in 0..<3 { bytes[Int.random(in: bytes.indices, using: &generator)] = UInt8.random(in: 0...255, using: &generator) }
      _ = ARP(bytes)
      _ = NeighbourDiscovery.claim(in: bytes, to: address("2001:db8::50"))
    }
  }

  /// RFC 4443 §2.3, written anew: pseudo-header and message, carries folded once at the end.
  private func sum(_ packet: [UInt8]) -> UInt32 {
    let message = Array(packet[40...])
    let covered = Array(packet[8..<40]) + [0, 0, 0, UInt8(message.count), 0, 0, 0, 58] + message
    var total = stride(from: 0, to: covered.count, by: 2).reduce(UInt32(0)) {
      $0 + UInt32(covered[$1]) * 256 + UInt32(covered[$1 + 1])
    }
    while total > 0xffff { total = total % 65536 + total / 65536 }
    return total
  }
}
