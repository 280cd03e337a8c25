import CLinux
import Host
import L2TP
import LinuxHost
import Testing

@testable import Ledger
@testable import vpnha_ledger

/// Clients on the loopback interface, over sockets of the kernel.
@Suite(.serialized) struct TellingTests {
  private static let gateway = IPAddress("127.0.0.50")!
  private static var clock: LinuxClock { LinuxClock() }

  private static func record(_ tunnel: UInt16, _ session: UInt16, port: UInt16) -> SessionRecord {
    SessionRecord(
      tunnel: tunnel, session: session, peerTunnel: 0x00c7, peerSession: 9, gateway: gateway, peer: IPAddress("127.0.0.1")!, peerPort: port,
      local: IPAddress("10.9.0.1")!, remote: IPAddress("10.9.0.10")!, mtu: 1400)
  }

  /// A client's socket; its port.
  private static func client() throws -> (descriptor: Int32, port: UInt16) {
    let number = socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    try #require(number >= 0 && clinux_bind(number, &address, size) == 0 && clinux_getsockname(number, &address, &size) == 0)
    return (number, UInt16(bigEndian: address.sin_port))
  }

  /// What has arrived, answered by `reply` to where it came from.
  private static func answer(_ descriptor: Int32, _ reply: (ControlMessage) -> ControlMessage?) {
    while true {
      var (buffer, from, size) = ([UInt8](repeating: 0, count: 2048), sockaddr_in(), socklen_t(MemoryLayout<sockaddr_in>.size))
      let count = clinux_recvfrom(descriptor, &buffer, buffer.count, 0, &from, &size)
      guard count > 0 else { return }
      guard let message = try? ControlMessage(Array(buffer.prefix(count))), let bytes = reply(message)?.bytes else { continue }
      #expect(UInt16(bigEndian: from.sin_port) == 1701 && from.sin_addr.s_addr == UInt32(0x7f00_0032).bigEndian)
      _ = clinux_sendto(descriptor, bytes, bytes.count, 0, &from, size)
    }
  }

  private func run(_ telling: Telling, _ meanwhile: () -> Void) {
    let end = Self.clock.now + .seconds(20)
    while !telling.isIdle, Self.clock.now < end {
      telling.turn(at: Self.clock.now)
      meanwhile()
      Self.clock.sleep(until: Self.clock.now + .milliseconds(5))
    }
    #expect(telling.isIdle)
  }

  @Test func aClientWithTwoSessionsIsToldOnceFromTheAddressItDialled() throws {
    let client = try Self.client()
    defer { _ = close(client.descriptor) }
    let telling = Telling()
    telling.begin(with: [Self.record(0x1234, 1, port: client.port), Self.record(0x1234, 2, port: client.port)], at: Self.clock.now)
    var stops: [ControlMessage] = []
    run(telling) {
      Self.answer(client.descriptor) { message in
        // A client that has sent five messages and had seven: it acknowledges the repetition, and takes the end only with its number.
        guard message.kind == .stop, message.number == 7 else { return ControlMessage(tunnel: 0x1234, number: 5, expected: 7) }
        stops.append(message)
        return ControlMessage(tunnel: 0x1234, number: 5, expected: 8)
      }
    }
    #expect(telling.told == 2 && telling.lost == 0)
    #expect(stops.count >= 1 && stops.allSatisfy { $0.tunnel == 0x00c7 && $0[.assignedTunnel]?.number == 0x1234 && $0.result?.result == 1 })
  }

  @Test func aClientWhosePortIsClosedIsLostAtOnceAndHoldsNobodyUp() throws {
    let gone = try Self.client()
    _ = close(gone.descriptor)
    let client = try Self.client()
    defer { _ = close(client.descriptor) }
    let telling = Telling()
    telling.begin(with: [Self.record(0x1000, 1, port: gone.port), Self.record(0x1234, 2, port: client.port)], at: Self.clock.now)
    run(telling) {
      Self.answer(client.descriptor) { message in
        ControlMessage(tunnel: 0x1234, number: 5, expected: message.kind == .stop ? message.number &+ 1 : 7)
      }
    }
    #expect(telling.told == 1 && telling.lost == 1)
  }

  @Test func aDemoteEndsIt() throws {
    let client = try Self.client()
    defer { _ = close(client.descriptor) }
    let telling = Telling()
    telling.begin(with: [Self.record(0x1234, 1, port: client.port)], at: Self.clock.now)
    telling.turn(at: Self.clock.now)
    #expect(!telling.isIdle && telling.sockets.count == 1)
    telling.stop()
    #expect(telling.isIdle && telling.sockets.isEmpty && telling.told == 0 && telling.lost == 1)
  }
}
