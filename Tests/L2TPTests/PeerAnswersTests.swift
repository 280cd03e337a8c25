import Host
import HostTestKit
import L2TP
import Testing

/// Who has heard a farewell, from what arrives for the server.
@Suite struct PeerAnswersTests {
  let clock = ManualClock()

  private func heard(_ datagrams: [[UInt8]]) throws -> Set<Int> {
    let socket = ScriptedDatagrams(from: IPAddress("203.0.113.50")!, clock: clock) { _ in [] }
    for datagram in datagrams { socket.arrive(datagram) }
    let answers = PeerAnswers(over: socket)
    let before = clock.now
    try answers.collect(clock)
    #expect(clock.now == before)
    answers.close()
    #expect(socket.isClosed)
    return answers.tunnels
  }

  private let udp: [UInt8] = [0x06, 0xa5, 0x06, 0xa5, 0x00, 0x14, 0x00, 0x00]  // ports 1701, length 20, no checksum

  @Test func acknowledgementsAndFarewellsCount() throws {
    // T, L and S set; length 12; tunnel 7; session 0; Ns 1; Nr 3: an acknowledgement.
    let acknowledgement: [UInt8] = [0xc8, 0x02, 0x00, 0x0c, 0x00, 0x07, 0x00, 0x00, 0x00, 0x01, 0x00, 0x03]
    let stop = ControlMessage(.stop, tunnel: 8, number: 1, expected: 3, [.number(.resultCode, 1 as UInt16)]).bytes
    let disconnect = ControlMessage(.callDisconnect, tunnel: 9, session: 4, number: 1, expected: 3).bytes
    #expect(try heard([udp + acknowledgement, udp + acknowledgement, udp + stop, udp + disconnect]) == [7, 8, 9])
  }

  @Test func whatKeepsATunnelAliveDoesNotCount() throws {
    let hello = ControlMessage(.hello, tunnel: 7, number: 1, expected: 3).bytes
    let request = ControlMessage(.startRequest, tunnel: 0, number: 0, expected: 0).bytes
    let data: [UInt8] = [0x00, 0x02, 0x00, 0x07, 0x00, 0x01, 0xff, 0x03, 0xc0, 0x21]
    #expect(try heard([udp + hello, udp + request, udp + data]) == [])
  }

  @Test func nonsenseIsPassedOver() throws {
    let acknowledgement = ControlMessage(tunnel: 7, number: 1, expected: 3).bytes
    let cut = (0..<(udp + acknowledgement).count).map { Array((udp + acknowledgement).prefix($0)) }
    let long = udp + [0xc8, 0x02, 0xff, 0xff, 0x00, 0x07, 0x00, 0x00, 0x00, 0x01, 0x00, 0x03]
    #expect(try heard(cut + [long, [UInt8](repeating: 0xff, count: 2000)]) == [])
  }
}
