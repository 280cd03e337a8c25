import Host
import HostTestKit
import Testing

@testable import L2TP

/// An LNS with its pppd: enough of a server to be dialled into, and to fail in every phase.
private final class Server {
  enum Fault {
    case none, refusesTunnel, refusesCall, silentTunnel, silentLink, wrongPassword, silentRADIUS, unknownOption, eap
    case noPool, rejectsAddress, endsLink, silentEcho, wantsCompression, liesAboutPassword, rejectsMagic, naksMagic
    case accessControl, shutsDown, tunnelSecret, onlyEAP, deafEAP, endsUnauthorized, refusedOptions, unauthorizedAddress, noInterface
  }
  var fault = Fault.none
  var method: [UInt8]? = [0xc2, 0x23, 0x81]
  var password = "secret"
  /// Frames as pppd sends them after address and control compression was agreed.
  var compresses = false
  /// Every n-th control message of the client is lost. (PPP repairs its own losses on both ends; this server's does not.)
  var loses = 0
  /// The client's first request for a link comes before pppd can hear it.
  var isBornLate = false
  /// This PPP frame to the client, counted from 1, is lost, and said again only when it is asked for.
  var losesFrames = 0
  private var frames = 0
  /// How many more requests for the link are refused.
  var refusals = 1
  /// How many tunnels, or calls, get the number 0 first.
  var unnumberedTunnels = 0
  var unnumberedCalls = 0
  private(set) var seen: [ControlMessage.Kind] = []
  private(set) var tunnels = 0

  private let tunnel: UInt16 = 0x0a0a
  private let session: UInt16 = 0x0b0b
  private var clientTunnel: UInt16 = 0
  private var clientSession: UInt16 = 0
  private var sent: UInt16 = 0
  private var expected: UInt16 = 0
  private var count = 0
  private let challenge = [UInt8](1...16)
  private var isAsked = false
  private var isAcknowledged = false

  func answer(_ datagram: [UInt8]) -> [[UInt8]] {
    if let data = DataMessage(datagram) {
      guard data.tunnel == tunnel, data.session == session, let frame = PPPFrame(data.frame[...]),
        let packet = PPPPacket(frame.payload[...])
      else { return [] }
      if fault == .endsUnauthorized, frame.proto == PPPProtocol.chap { return [hangUp] }
      return ppp(frame.proto, packet).filter { _ in
        frames += 1
        return losesFrames == 0 || frames != losesFrames
      }.map { wrap($0) }
    }
    guard let message = try? ControlMessage(datagram), !message.isAcknowledgement else { return [] }
    count += 1
    if loses > 0, count % loses == 0 { return [] }
    if message.kind == .startRequest, message[.assignedTunnel]?.number != clientTunnel { (expected, sent) = (0, 0) }
    guard message.number == expected else { return [acknowledgement] }
    expected &+= 1
    if let kind = message.kind { seen.append(kind) }
    switch message.kind {
    case .startRequest:
      clientTunnel = message[.assignedTunnel]?.number ?? 0
      if fault == .silentTunnel { return [] }
      if fault == .refusesTunnel {
        return [control(.stop, 0, [.number(.assignedTunnel, tunnel), Attribute(.resultCode, [0, 4, 0, 0] + "No Authorization".utf8)])]
      }
      if fault == .accessControl {
        return [control(.stop, 0, [.number(.assignedTunnel, tunnel), Attribute(.resultCode, [0, 2, 0, 6] + "No Authorization".utf8)])]
      }
      if fault == .shutsDown { return [control(.stop, 0, [.number(.assignedTunnel, tunnel), Attribute(.resultCode, [0, 6])])] }
      if fault == .tunnelSecret {
        tunnels += 1
        return [control(.startReply, 0, [.number(.assignedTunnel, tunnel), Attribute(.challenge, challenge)])]
      }
      if unnumberedTunnels > 0 {
        unnumberedTunnels -= 1
        return [control(.startReply, 0, [.number(.assignedTunnel, 0 as UInt16)])]
      }
      tunnels += 1
      return [control(.startReply, 0, [.number(.assignedTunnel, tunnel)])]
    case .incomingCallRequest:
      clientSession = message[.assignedSession]?.number ?? 0
      if fault == .refusesCall {
        return [
          control(.callDisconnect, clientSession, [Attribute(.resultCode, [0, 2, 0, 4] + "No available IP address".utf8)])
        ]
      }
      if unnumberedCalls > 0 {
        unnumberedCalls -= 1
        return [control(.incomingCallReply, clientSession, [.number(.assignedSession, 0 as UInt16)])]
      }
      return [control(.incomingCallReply, clientSession, [.number(.assignedSession, session)])]
    case .incomingCallConnected:
      // A pppd that does not take its options is gone before it has said a word.
      if fault == .refusedOptions { return [acknowledgement, hangUp] }
      // pppd speaks first.
      return [acknowledgement] + (isBornLate ? [] : linkRequest().map { wrap($0) })
    case .stop:
      tunnels -= 1
      return [acknowledgement]
    default: return [acknowledgement]
    }
  }

  private func control(_ kind: ControlMessage.Kind, _ session: UInt16, _ attributes: [Attribute]) -> [UInt8] {
    defer { sent &+= 1 }
    return ControlMessage(kind, tunnel: clientTunnel, session: session, number: sent, expected: expected, attributes).bytes
  }
  private var hangUp: [UInt8] {
    control(.callDisconnect, clientSession, [Attribute(.resultCode, [0, 1, 0, 0]), .number(.assignedSession, session)])
  }
  private var acknowledgement: [UInt8] { ControlMessage(tunnel: clientTunnel, number: sent, expected: expected).bytes }
  private func wrap(_ frame: PPPFrame) -> [UInt8] {
    let bytes = compresses ? Array(frame.bytes.dropFirst(2)) : frame.bytes
    return DataMessage(tunnel: clientTunnel, session: clientSession, frame: bytes).bytes
  }

  private func linkRequest() -> [PPPFrame] {
    if fault == .silentLink { return [] }
    var options: [PPPOption] = [PPPOption(type: 1, value: [5, 0x78]), PPPOption(type: 5, value: [9, 9, 9, 9])]
    if let method { options.append(PPPOption(type: 3, value: [.eap, .onlyEAP, .deafEAP].contains(fault) ? [0xc2, 0x27] : method)) }
    if fault == .unknownOption { options.append(PPPOption(type: 13, value: [6])) }
    return [PPPFrame(PPPProtocol.lcp, PPPPacket(1, 7, options.flatMap(\.bytes)).bytes)]
  }

  private func ppp(_ proto: UInt16, _ packet: PPPPacket) -> [PPPFrame] {
    func frame(_ packet: PPPPacket, _ proto: UInt16 = proto) -> PPPFrame { PPPFrame(proto, packet.bytes) }
    switch (proto, packet.code) {
    case (PPPProtocol.lcp, 1) where isBornLate:
      isBornLate = false
      return linkRequest()
    case (PPPProtocol.lcp, 1):
      if fault == .silentLink { return [] }
      if [.rejectsMagic, .naksMagic].contains(fault), refusals > 0, packet.data.first == 5 {
        refusals -= 1
        if fault == .rejectsMagic { return [frame(PPPPacket(4, packet.identifier, packet.data))] }
        return [frame(PPPPacket(3, packet.identifier, [5, 6, 7, 7, 7, 7, 1, 4, 5, 0]))]
      }
      isAsked = true
      return [frame(PPPPacket(2, packet.identifier, packet.data))] + (isAcknowledged ? opened() : [])
    case (PPPProtocol.lcp, 2):
      isAcknowledged = true
      return isAsked ? opened() : []
    case (PPPProtocol.lcp, 3) where fault == .deafEAP: return []
    case (PPPProtocol.lcp, 3) where fault == .onlyEAP:
      return [frame(PPPPacket(5, 9, Array("peer refused to authenticate".utf8)))]
    case (PPPProtocol.lcp, 3), (PPPProtocol.lcp, 4):
      fault = .none
      return linkRequest()
    case (PPPProtocol.lcp, 5): return [frame(PPPPacket(6, packet.identifier))]
    case (PPPProtocol.lcp, 9): return fault == .silentEcho ? [] : [frame(PPPPacket(10, packet.identifier, [9, 9, 9, 9]))]
    case (PPPProtocol.chap, 2):
      if fault == .silentRADIUS { return [] }
      let mine = Credentials(user: "probe", password: password)
      let response = Array(packet.data.dropFirst().prefix(Int(packet.data.first ?? 0)))
      if method == [0xc2, 0x23, 0x05] {
        guard response == mine.chapResponse(to: challenge, identifier: 42) else { return [frame(PPPPacket(4, 42))] }
        return [frame(PPPPacket(3, 42))] + network()
      }
      let (wanted, proof) = mine.msChapResponse(to: challenge, peerChallenge: Array(response.prefix(16)))
      guard response == wanted else { return [frame(PPPPacket(4, 42, Array("E=691 R=0 C=00112233445566778899AABBCCDDEEFF V=3 M=Access denied".utf8)))] }
      let said = fault == .liesAboutPassword ? "S=0123456789" : proof
      return [frame(PPPPacket(3, 42, Array("\(said) M=Access granted".utf8)))] + network()
    case (PPPProtocol.pap, 1):
      if fault == .silentRADIUS { return [] }
      guard packet.data == Credentials(user: "probe", password: password).papRequest else {
        return [frame(PPPPacket(3, packet.identifier, [4] + "nope".utf8))]
      }
      return [frame(PPPPacket(2, packet.identifier, [0]))] + network()
    case (PPPProtocol.ipcp, 1):
      if fault == .rejectsAddress { return [frame(PPPPacket(4, packet.identifier, packet.data))] }
      if fault == .noPool { return [] }
      let wanted = PPPOption(type: 3, value: [10, 9, 0, 10])
      guard packet.data == wanted.bytes else { return [frame(PPPPacket(3, packet.identifier, wanted.bytes))] }
      if fault == .unauthorizedAddress { return [frame(PPPPacket(5, 9, Array("Unauthorized remote IP address".utf8)))] }
      if fault == .noInterface { return [frame(PPPPacket(5, 9, Array("Interface configuration failed".utf8)))] }
      return [frame(PPPPacket(2, packet.identifier, packet.data))]
    default: return []
    }
  }

  /// What follows when both ends have agreed on the link.
  private func opened() -> [PPPFrame] {
    switch method {
    case nil: network()
    case [0xc0, 0x23]: []
    default: [PPPFrame(PPPProtocol.chap, PPPPacket(1, 42, [16] + challenge + "lns".utf8).bytes)]
    }
  }

  private func network() -> [PPPFrame] {
    if fault == .endsLink {
      return [PPPFrame(PPPProtocol.lcp, PPPPacket(5, 9, Array("No network protocols running".utf8)).bytes)]
    }
    var frames: [PPPFrame] = []
    if fault == .wantsCompression { frames.append(PPPFrame(0x80fd, PPPPacket(1, 1, [18, 6, 1, 0, 0, 0x40]).bytes)) }
    let options = [PPPOption(type: 2, value: [0, 0x2d, 15, 1]), PPPOption(type: 3, value: [10, 9, 0, 1])]
    frames.append(PPPFrame(PPPProtocol.ipcp, PPPPacket(1, 3, options.flatMap(\.bytes)).bytes))
    frames.append(PPPFrame(PPPProtocol.ipcp, PPPPacket(1, 4, options[1].bytes).bytes))
    return frames
  }
}

@Suite struct SessionProbeTests {
  let clock = ManualClock()

  private func run(
    _ server: Server, password: String = "secret", seconds: Int = 20
  ) -> Result<SessionProbe.Session, SessionProbe.Failure> {
    let socket = ScriptedDatagrams(from: IPAddress("192.0.2.1")!, clock: clock) { server.answer($0) }
    return Result { () throws(SessionProbe.Failure) in
      try SessionProbe(Credentials(user: "probe", password: password))
        .run(over: socket, clock: clock, before: clock.now + .seconds(seconds))
    }
  }

  @Test(arguments: [
    ([0xc2, 0x23, 0x81] as [UInt8]?, "MS-CHAPv2"), ([0xc2, 0x23, 0x05], "CHAP-MD5"), ([0xc0, 0x23], "PAP"), (nil, "none"),
  ]) func aWholeSession(method: [UInt8]?, name: String) throws {
    for compresses in [false, true] {
      let server = Server()
      server.method = method
      server.compresses = compresses
      let before = clock.now
      let session = try run(server).get()
      #expect(session.address == IPAddress("10.9.0.10") && session.peer == IPAddress("10.9.0.1"))
      #expect(session.authentication == name)
      #expect(
        server.seen == [
          .startRequest, .startConnected, .incomingCallRequest, .incomingCallConnected, .callDisconnect, .stop,
        ])
      #expect(server.tunnels == 0)
      #expect(clock.now - before < .milliseconds(100))
    }
  }

  @Test(arguments: [
    (Server.Fault.refusesTunnel, "tunnel: the server ends the tunnel: not authorized (result 4): No Authorization"),
    (.silentTunnel, "tunnel: no answer to SCCRQ in time"),
    (.refusesCall, "call: the server ends the call: insufficient resources (result 2, error 4): No available IP address"),
    (.silentLink, "link: the server does not agree on the link in time"),
    (.wrongPassword, "authentication: the server refuses user probe by MS-CHAPv2: Access denied (691)"),
    (.silentRADIUS, "authentication: the server does not decide in time: is RADIUS silent?"),
    (.liesAboutPassword, "authentication: the server does not know the password itself"),
    (.endsLink, "address: the server ends the link: No network protocols running"),
    (.noPool, "address: the server gives no address in time: is the pool exhausted?"),
    (.rejectsAddress, "address: the server gives no address"), (.silentEcho, "echo: the server does not answer an echo in time"),
    (.accessControl, "tunnel: the server ends the tunnel: refused by the server (result 2, error 6): No Authorization"),
    (.shutsDown, "tunnel: the server ends the tunnel: the server is shutting down (result 6)"),
    (.tunnelSecret, "tunnel: the server wants tunnel authentication, for which the test has no secret"),
    (.onlyEAP, "link: the server ends the link: peer refused to authenticate"),
    (.deafEAP, "link: the server does not agree on the link in time"),
    (.endsUnauthorized, "authentication: the server ends the call: the session lost its carrier (result 1)"),
    (.unauthorizedAddress, "address: the server ends IPv4: Unauthorized remote IP address"), (.noInterface, "address: the server ends IPv4: Interface configuration failed"),
    (.refusedOptions, "link: the server ends the call: the session lost its carrier (result 1)"),
  ]) fileprivate func everyPhaseFailsWithItsReason(fault: Server.Fault, reason: String) {
    let server = Server()
    server.fault = fault
    let before = clock.now
    let result = run(server, password: fault == .wrongPassword ? "wrong" : "secret")
    guard case .failure(let failure) = result else {
      Issue.record("it came up")
      return
    }
    #expect("\(failure)" == reason)
    // Whether clients that are connected are the worse for it.
    let inabilities: [Server.Fault] = [
      .refusesCall, .endsLink, .noPool, .rejectsAddress, .unauthorizedAddress, .refusesTunnel, .accessControl, .tunnelSecret, .onlyEAP, .deafEAP, .wrongPassword, .silentRADIUS, .liesAboutPassword, .endsUnauthorized,
    ]
    #expect(failure.isInability == inabilities.contains(fault))
    #expect(clock.now - before <= .seconds(20))
    #expect(server.tunnels == 0)
  }

  @Test(arguments: [Server.Fault.unknownOption, .eap, .wantsCompression, .rejectsMagic, .naksMagic])
  fileprivate func whatWeDoNotDoIsDeclined(fault: Server.Fault) throws {
    let server = Server()
    server.fault = fault
    #expect(try run(server).get().address == IPAddress("10.9.0.10"))
  }

  @Test(arguments: [Server.Fault.rejectsMagic, .naksMagic])
  fileprivate func refusalsComeToAnEnd(fault: Server.Fault) {
    let server = Server()
    (server.fault, server.refusals) = (fault, .max)
    // After a rejection nothing is asked for any more, so nothing is left to be refused.
    let isRefused = if case .failure = run(server) { true } else { false }
    #expect(isRefused == (fault == .naksMagic))
  }

  /// Whatever pppd does not repeat by itself, as it does its challenge (2) and its own requests (5, or 4 after PAP).
  @Test(arguments: [
    ([0xc2, 0x23, 0x81] as [UInt8], [1, 3, 4, 6, 7, 8]), ([0xc2, 0x23, 0x05], [1, 3, 4, 6, 7, 8]), ([0xc0, 0x23], [1, 2, 3, 5, 6, 7]),
  ]) func aLostFrameIsAskedForAgain(method: [UInt8], lost: [Int]) throws {
    for frame in lost {
      let server = Server()
      (server.method, server.losesFrames) = (method, frame)
      #expect(try run(server).get().address == IPAddress("10.9.0.10"), "frame \(frame)")
    }
  }

  @Test(arguments: [2, 3, 4, 5]) func lossIsRepaired(loses: Int) throws {
    let server = Server()
    server.loses = loses
    #expect(try run(server, seconds: 60).get().address == IPAddress("10.9.0.10"))
  }

  @Test(arguments: [(1, 0), (0, 1)]) func aServerThatDrawsZeroIsDialledAnew(tunnels: Int, calls: Int) throws {
    let server = Server()
    (server.unnumberedTunnels, server.unnumberedCalls) = (tunnels, calls)
    #expect(try run(server).get().address == IPAddress("10.9.0.10"))
    #expect(server.tunnels == 0)
  }

  @Test(arguments: [
    (9, 0, "tunnel: the server names no tunnel of its own"), (0, 9, "call: the server names no session of its own"),
  ]) func aServerThatKnowsNoOtherNumberFails(tunnels: Int, calls: Int, reason: String) {
    let server = Server()
    (server.unnumberedTunnels, server.unnumberedCalls) = (tunnels, calls)
    if case .failure(let failure) = run(server) { #expect("\(failure)" == reason) } else { Issue.record("it came up") }
  }

  /// A pppd that was being started when it was asked is asked again as soon as it speaks.
  @Test func aServerThatWasNotThereYetCostsNoSecond() throws {
    let server = Server()
    server.isBornLate = true
    let before = clock.now
    _ = try run(server).get()
    #expect(clock.now - before <= .milliseconds(150))
  }

  @Test func wrongPasswordByPAPAndMD5() {
    for method: [UInt8] in [[0xc0, 0x23], [0xc2, 0x23, 0x05]] {
      let server = Server()
      server.method = method
      guard case .failure(let failure) = run(server, password: "wrong") else {
        Issue.record("it came up")
        continue
      }
      #expect(failure.phase == .authentication && !failure.reason.contains("wrong"))
    }
  }

  /// A server that goes on sending what nobody asked for, one frame after the other and a hundred milliseconds each.
  @Test func aServerThatTalksWithoutEnd() {
    for (pause, fault) in [(Duration.milliseconds(100), Server.Fault.silentLink), (.zero, .silentLink), (.milliseconds(100), .none)] {
      let server = Server()
      server.fault = fault
      var numbers: (tunnel: UInt16, session: UInt16) = (0, 0)
      let socket = ChatteringDatagrams(clock: clock, pause: pause) { datagram in
        if let message = try? ControlMessage(datagram) {
          numbers.tunnel = message[.assignedTunnel]?.number ?? numbers.tunnel
          if message.kind == .incomingCallRequest { numbers.session = message[.assignedSession]?.number ?? 0 }
          // It acknowledges no farewell.
          if message.kind == .callDisconnect || message.kind == .stop { return [] }
        }
        return server.answer(datagram)
      } noise: {
        numbers.session == 0 ? nil : DataMessage(tunnel: numbers.tunnel, session: numbers.session, frame: [0xff, 3, 0, 0x21, 0x45, 0]).bytes
      }
      let end = clock.now + .seconds(5)
      _ = Result { () throws(SessionProbe.Failure) in
        try SessionProbe(Credentials(user: "probe", password: "secret")).run(over: socket, clock: clock, before: end)
      }
      #expect(clock.now <= end + .milliseconds(200) && socket.heard < 10_000, "\(pause) \(fault): \(clock.now - end) \(socket.heard)")
    }
  }

  /// Frames cut anywhere, and with every byte changed, are read or dropped.
  @Test func hostileFrames() {
    let frame = PPPFrame(PPPProtocol.lcp, PPPPacket(1, 7, PPPOption(type: 5, value: [1, 2, 3, 4]).bytes).bytes)
    let datagram = DataMessage(tunnel: 1, session: 2, frame: frame.bytes).bytes
    for count in datagram.indices {
      if let data = DataMessage(Array(datagram[..<count])), let frame = PPPFrame(data.frame[...]) {
        _ = PPPPacket(frame.payload[...]).map { PPPOption.list(in: $0.data) }
      }
      for value: UInt8 in [0, 1, 2, 0x40, 0x4a, 0x7f, 0x80, 0xff] {
        var mutant = datagram
        mutant[count] = value
        guard let data = DataMessage(mutant), let frame = PPPFrame(data.frame[...]) else { continue }
        _ = PPPPacket(frame.payload[...]).map { PPPOption.list(in: $0.data) }
      }
    }
    #expect(PPPPacket([1, 1, 0, 3]) == nil && PPPPacket([1, 1, 0xff, 0xff]) == nil)
    #expect(PPPOption.list(in: [3, 0]) == nil && PPPOption.list(in: [3, 9, 1]) == nil)
  }

  /// A server that mangles every byte it sends in turn: the probe ends in time, whatever it concludes.
  @Test func hostileServers() {
    for position in 0..<60 {
      for value: UInt8 in [0, 0xff] {
        let server = Server()
        let socket = ScriptedDatagrams(from: IPAddress("192.0.2.1")!, clock: clock) { datagram in
          server.answer(datagram).map { answer in
            var answer = answer
            if position < answer.count { answer[position] = value }
            return answer
          }
        }
        let end = clock.now + .seconds(10)
        _ = Result { () throws(SessionProbe.Failure) in
          try SessionProbe(Credentials(user: "probe", password: "secret")).run(over: socket, clock: clock, before: end)
        }
        #expect(clock.now <= end)
      }
    }
  }
}

/// A peer whose every silence is filled with noise.
private final class ChatteringDatagrams: DatagramSocket {
  let localAddress = IPAddress("192.0.2.1")!
  let localPort: UInt16 = 1701
  private(set) var heard = 0
  private var queue: [[UInt8]] = []
  private let clock: ManualClock
  private let pause: Duration
  private let answer: ([UInt8]) -> [[UInt8]]
  private let noise: () -> [UInt8]?

  init(clock: ManualClock, pause: Duration, answer: @escaping ([UInt8]) -> [[UInt8]], noise: @escaping () -> [UInt8]?) {
    (self.clock, self.pause, self.answer, self.noise) = (clock, pause, answer, noise)
  }

  func send(_ bytes: [UInt8]) throws(SystemError) { queue += answer(bytes) }
  func receive(limit: Int, before deadline: Instant) throws(SystemError) -> [UInt8]? {
    heard += 1
    if heard > 20_000 { throw SystemError("hearing more than can be true", .noBufferSpace) }
    if !queue.isEmpty { return queue.removeFirst() }
    guard let noise = noise() else {
      clock.sleep(until: deadline)
      return nil
    }
    clock.sleep(until: clock.now + pause)
    return noise
  }
  func close() {}
}
