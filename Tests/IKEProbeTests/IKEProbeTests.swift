import Glibc
import Host
import HostTestKit
import Testing

@testable import IKEProbe

@Suite struct IKEProbeTests {
  static let spi: UInt64 = 0x1122_3344_5566_7788

  // MARK: Fixtures

  // The answers to the four probes were captured from charon 5.9.8.

  static let versionRefused = bytes(
    """
    1122334455667788 0000000000000000   # SPIs
    29 20 22 20 00000000 00000024       # Notify next, version 2.0, IKE_SA_INIT, response, message 0, 36 bytes
    00 00 0008 00 00 0005               # INVALID_MAJOR_VERSION
    """)
  static let noProposalV2 = bytes(
    """
    1122334455667788 e8bf91d4368f73d5
    29 20 22 20 00000000 00000024
    00 00 0008 00 00 000e               # NO_PROPOSAL_CHOSEN
    """)
  static let cookie = bytes(
    """
    1122334455667788 0000000000000000
    29 20 22 20 00000000 00000028
    00 00 000c 00 00 4006 deadbeef      # COOKIE
    """)
  static let groupWanted = bytes(
    """
    1122334455667788 0000000000000000
    29 20 22 20 00000000 00000026
    00 00 000a 00 00 0011 000e          # INVALID_KE_PAYLOAD, group 14
    """)
  static let acceptedV2 = bytes(
    """
    1122334455667788 8877665544332211
    21 20 22 20 00000000 00000028
    29 00 0004                          # SA (abridged)
    00 00 0008 00 00 4004               # NAT_DETECTION_SOURCE_IP
    """)
  static let noProposalV1 = bytes(
    """
    1122334455667788 13d5c190986240be
    0b 10 05 00 b014f97c 00000038       # Notification next, version 1.0, Informational
    00 00 001c 00000001 01 10 000e      # DOI, protocol ISAKMP, SPI of 16 bytes, NO_PROPOSAL_CHOSEN
    1122334455667788 13d5c190986240be
    """)
  static let mainMode2 = bytes(
    """
    1122334455667788 5bd5da2a2e579fcb
    01 10 02 00 00000000 00000074       # SA next, version 1.0, Main Mode
    0d 00 0038 00000001 00000001        # DOI, situation
    00 00 002c 01 01 00 01              # proposal 1 with one transform
    00 00 0024 04 01 0000 80010007 800e0100 80020002 8004000e 80030001 800b0001 800c7080
    0d 00 000c 09002689dfd6b712         # XAuth
    00 00 0014 afcad71368a1f1c96b8696fc77570100  # DPD
    """)
  static let answers = [versionRefused, noProposalV2, cookie, groupWanted, acceptedV2, noProposalV1, mainMode2]

  static func bytes(_ notation: String) -> [UInt8] {
    let digits = notation.split(separator: "\n").flatMap { $0.prefix { $0 != "#" } }.compactMap(\.hexDigitValue)
    return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
  }

  // MARK: Codec

  @Test func versionProbeIsABareHeader() {
    #expect(
      IKEProbe.version.message(spi: Self.spi).bytes
        == Self.bytes("1122334455667788 0000000000000000 00 30 22 08 00000000 0000001c"))
  }

  @Test func mainModeOffersWhatClientsOffer() throws {
    let message = IKEProbe.mainMode.message(spi: Self.spi)
    let body = try #require(message.payload(1)).body
    #expect(Array(body.prefix(16)) == Self.bytes("00000001 00000001 00 00 0144 01 01 00 09"))
    // AES-256, SHA1, pre-shared key, modp1024, 28800 s: transform 6.
    let transform = Self.bytes("03 00 0024 06 01 0000 80010007 800e0100 80020002 80030001 80040002 800b0001 800c7080")
    let at = 16 + 5 * 36
    #expect(Array(body[at..<(at + 36)]) == transform)
    // The last one, 3DES, says that no other follows.
    #expect(Array(body.suffix(32)) == Self.bytes("00 00 0020 09 01 0000 80010005 80020002 80030001 80040002 800b0001 800c7080"))
  }

  @Test(arguments: IKEProbe.allCases) func probesReadAsTheyAreWritten(_ probe: IKEProbe) throws {
    let message = probe.message(spi: Self.spi)
    #expect(try IKEMessage(decoding: message.bytes) == message)
    #expect(probe.message(spi: Self.spi).bytes == message.bytes)
    // A probe is no answer to itself.
    #expect(IKEAnswer(message, to: Self.spi) == nil)
  }

  @Test(arguments: [
    (versionRefused, IKEAnswer.versionRefused), (noProposalV2, .noProposal), (cookie, .cookie),
    (groupWanted, .groupWanted(14)), (acceptedV2, .accepted(responderSPI: 0x8877_6655_4433_2211)),
    (noProposalV1, .noProposal), (mainMode2, .accepted(responderSPI: 0x5bd5_da2a_2e57_9fcb)),
  ]) func classifiesAnswers(_ bytes: [UInt8], _ answer: IKEAnswer) throws {
    let message = try IKEMessage(decoding: bytes)
    #expect(message.bytes == bytes)
    #expect(IKEAnswer(message, to: Self.spi) == answer)
    #expect(IKEAnswer(message, to: 1) == nil)
  }

  @Test(arguments: answers) func truncatedAtEveryOffset(_ bytes: [UInt8]) {
    for end in 0..<bytes.count {
      #expect(throws: IKEProbeError.self) { try IKEMessage(decoding: Array(bytes[..<end])) }
      // With a header that agrees, the payloads are what is cut.
      guard end >= 28 else { continue }
      var cut = Array(bytes[..<end])
      cut[27] = UInt8(end)
      do throws(IKEProbeError) { _ = IKEAnswer(try IKEMessage(decoding: cut), to: Self.spi) } catch {
        #expect(error.kind == .malformed)
      }
    }
  }

  @Test func survivesMutations() {
    var state: UInt64 = 42
    func random(_ bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int((state >> 33) % UInt64(bound))
    }
    let rounds = getenv("VPNHA_MUTATIONS").flatMap { Int(String(cString: $0)) } ?? 20_000
    for _ in 0..<rounds {
      var bytes = Self.answers[random(Self.answers.count)]
      for _ in 0...random(3) { bytes[8 + random(bytes.count - 8)] = UInt8(random(256)) }
      do throws(IKEProbeError) { _ = IKEAnswer(try IKEMessage(decoding: bytes), to: Self.spi) } catch {
        if error.kind != .malformed { Issue.record("\(error)") }
      }
    }
  }

  // MARK: Client

  struct World {
    let machine = InMemoryMachine()
    var sockets: [ScriptedDatagrams] = []

    /// Every datagram is answered by `answer`.
    func serve(_ answer: @escaping ([UInt8]) -> [[UInt8]]) -> () -> ScriptedDatagrams? {
      var last: ScriptedDatagrams?
      machine.sockets.udp = { [machine] address, _, source in
        let socket = ScriptedDatagrams(
          from: source ?? address, calls: machine.calls, clock: machine.clock, answer: answer)
        last = socket
        return socket
      }
      return { last }
    }
  }

  let vip = IPAddress("203.0.113.50")

  func ask(_ probe: IKEProbe, port: UInt16, _ machine: InMemoryMachine, seconds: Int = 3) throws -> IKEAnswer {
    let prober = IKEProber(try #require(vip), port: port, spi: Self.spi)
    return try prober.ask(probe, on: machine.host, before: machine.clock.now + .seconds(seconds))
  }

  @Test func asksOnPort500() throws {
    let world = World()
    let socket = world.serve { _ in [Self.versionRefused] }
    #expect(try ask(.version, port: 500, world.machine) == .versionRefused)
    #expect(socket()?.sent == [IKEProbe.version.message(spi: Self.spi).bytes])
    #expect(socket()?.isClosed == true)
  }

  @Test func marksWhatGoesToPort4500() throws {
    let world = World()
    let socket = world.serve { _ in [[0xff], Self.noProposalV2, [0, 0, 0, 0] + Self.noProposalV2] }
    #expect(try ask(.proposalV2, port: 4500, world.machine) == .noProposal)
    #expect(socket()?.sent == [[0, 0, 0, 0] + IKEProbe.proposalV2.message(spi: Self.spi).bytes])
  }

  @Test func repeatsTheSameBytes() throws {
    let world = World()
    var asked = 0
    let socket = world.serve { _ in
      asked += 1
      return asked == 3 ? [Self.mainMode2] : []
    }
    #expect(try ask(.mainMode, port: 500, world.machine) == .accepted(responderSPI: 0x5bd5_da2a_2e57_9fcb))
    #expect(Set(socket()?.sent ?? []).count == 1)
    #expect(socket()?.sent.count == 3)
  }

  @Test func silenceEndsAtTheDeadline() throws {
    let world = World()
    _ = world.serve { _ in [] }
    let begin = world.machine.clock.now
    #expect(throws: IKEProbeError(.timedOut, "probing IKE at 203.0.113.50 port 500", "no answer in time (ETIMEDOUT)")) {
      try ask(.version, port: 500, world.machine)
    }
    #expect(world.machine.clock.now - begin == .seconds(3))
  }

  @Test func noiseIsNoAnswer() throws {
    let world = World()
    var other = Self.versionRefused
    other[0] = 0xee
    _ = world.serve { _ in [[UInt8]](repeating: other, count: 100) }
    #expect(throws: IKEProbeError(.timedOut, "probing IKE at 203.0.113.50 port 500", "64 datagrams came, none is an answer")) {
      try ask(.version, port: 500, world.machine)
    }
  }

  @Test func closedPortIsTold() throws {
    let world = World()
    world.machine.sockets.udp = { [machine = world.machine] address, _, _ in
      let socket = ScriptedDatagrams(from: address, calls: machine.calls, clock: machine.clock) { _ in [] }
      socket.isRefused = true
      return socket
    }
    #expect(throws: IKEProbeError(.refused, "probing IKE at 203.0.113.50 port 4500", "nobody listens there (ECONNREFUSED)")) {
      try ask(.version, port: 4500, world.machine)
    }
    world.machine.sockets.udp = nil
    #expect(throws: IKEProbeError(.unreachable, "probing IKE at 203.0.113.50 port 500", "network is unreachable (ENETUNREACH)")) {
      try ask(.version, port: 500, world.machine)
    }
  }
}
