import L2TP
import Testing

@testable import vpnha_load

/// An L2TP server that takes everybody, as far as a call gets to know it.
private struct Gateway {
  var expected: UInt16 = 0
  var number: UInt16 = 0
  var theirTunnel: UInt16 = 0
  var theirSession: UInt16 = 0
  var heard: [ControlMessage.Kind] = []
  var frames: [PPPFrame] = []
  var challenge = [UInt8](repeating: 7, count: 16)
  var isDeaf = false

  private mutating func control(_ kind: ControlMessage.Kind, toSession: Bool = false, _ attributes: [Attribute]) -> [UInt8] {
    defer { number &+= 1 }
    return ControlMessage(kind, tunnel: theirTunnel, session: toSession ? theirSession : 0, number: number, expected: expected, attributes).bytes
  }
  func frame(_ proto: UInt16, _ packet: PPPPacket) -> [UInt8] { DataMessage(tunnel: theirTunnel, session: theirSession, frame: PPPFrame(proto, packet.bytes).bytes).bytes }
  mutating func stop() -> [UInt8] { control(.stop, [.number(.assignedTunnel, 5 as UInt16), .number(.resultCode, 6 as UInt16)]) }

  /// What it answers to a datagram.
  mutating func answers(to datagram: [UInt8]) throws -> [[UInt8]] {
    if isDeaf { return [] }
    if let data = DataMessage(datagram) {
      let frame = try #require(PPPFrame(data.frame[...]))
      frames.append(frame)
      if frame.proto == 0x0021 {
        // The same packet with the ends exchanged, as an echo reply.
        var packet = frame.payload
        packet.replaceSubrange(12..<20, with: frame.payload[16..<20] + frame.payload[12..<16])
        packet[20] = 0
        return [DataMessage(tunnel: theirTunnel, session: theirSession, frame: PPPFrame(0x0021, packet).bytes).bytes]
      }
      let packet = try #require(PPPPacket(frame.payload[...]))
      switch (frame.proto, packet.code) {
      case (PPPProtocol.lcp, PPPPacket.Code.configureRequest):
        return [
          self.frame(PPPProtocol.lcp, PPPPacket(PPPPacket.Code.configureAck, packet.identifier, packet.data)),
          self.frame(PPPProtocol.lcp, PPPPacket(PPPPacket.Code.configureRequest, 1, [3, 5, 0xc2, 0x23, 0x81, 5, 6, 1, 2, 3, 4])),
        ]
      case (PPPProtocol.lcp, PPPPacket.Code.configureAck): return [self.frame(PPPProtocol.chap, PPPPacket(PPPPacket.Code.challenge, 9, [16] + challenge + Array("lns".utf8)))]
      case (PPPProtocol.chap, PPPPacket.Code.response):
        let peer = Array(packet.data[1..<17])
        let (response, proof) = Credentials(user: "client", password: "open sesame").msChapResponse(to: challenge, peerChallenge: peer)
        guard response == Array(packet.data[1..<50]) else { return [self.frame(PPPProtocol.chap, PPPPacket(PPPPacket.Code.failure, 9, Array("E=691 R=0".utf8)))] }
        return [
          self.frame(PPPProtocol.chap, PPPPacket(PPPPacket.Code.success, 9, Array("\(proof) M=welcome".utf8))),
          self.frame(PPPProtocol.ipcp, PPPPacket(PPPPacket.Code.configureRequest, 1, [3, 6, 10, 9, 0, 1])),
        ]
      case (PPPProtocol.ipcp, PPPPacket.Code.configureRequest):
        let isGiven = packet.data == [3, 6, 10, 9, 0, 10]
        var answers = [
          self.frame(PPPProtocol.ipcp, PPPPacket(isGiven ? PPPPacket.Code.configureAck : PPPPacket.Code.configureNak, packet.identifier, [3, 6, 10, 9, 0, 10]))
        ]
        if !isGiven { answers.append(self.frame(PPPProtocol.ipcp, PPPPacket(PPPPacket.Code.configureRequest, 1, [3, 6, 10, 9, 0, 1]))) }
        return answers
      default: return []
      }
    }
    let message = try ControlMessage(datagram)
    if message.isAcknowledgement { return [] }
    guard message.number == expected else { return [ControlMessage(tunnel: theirTunnel, number: number, expected: expected).bytes] }
    expected &+= 1
    heard += message.kind.map { [$0] } ?? []
    switch message.kind {
    case .startRequest:
      theirTunnel = message[.assignedTunnel]?.number ?? 0
      return [control(.startReply, [.number(.protocolVersion, 0x0100 as UInt16), .number(.assignedTunnel, 5 as UInt16)])]
    case .incomingCallRequest:
      theirSession = message[.assignedSession]?.number ?? 0
      return [control(.incomingCallReply, toSession: true, [.number(.assignedSession, 6 as UInt16)])]
    default: return [ControlMessage(tunnel: theirTunnel, number: number, expected: expected).bytes]
    }
  }
}

@Suite struct CallTests {
  /// Runs both ends until neither has more to say.
  private func talk(_ call: Call, _ gateway: inout Gateway, _ now: Double) throws {
    for _ in 0..<100 {
      call.turn(now)
      let said = call.outgoing
      call.outgoing = []
      if said.isEmpty { return }
      for datagram in said { for answer in try gateway.answers(to: datagram) { call.hear(answer, now) } }
    }
  }

  private func call(_ password: String = "open sesame", _ profile: Profile = .eager) -> Call {
    Call(profile, Credentials(user: "client", password: password), hostName: "load0", now: 0)
  }

  @Test func aSessionAndItsData() throws {
    let call = call()
    var gateway = Gateway()
    try talk(call, &gateway, 1)
    #expect(call.phase == .up && call.address == [10, 9, 0, 10] && call.peer == [10, 9, 0, 1])
    #expect(gateway.heard == [.startRequest, .startConnected, .incomingCallRequest, .incomingCallConnected])
    call.ping(size: 10)
    try talk(call, &gateway, 1.5)
    #expect(call.pinged == 1 && call.ponged == 1 && call.lastPong == 1.5)
    // Echoes are asked for and answered; silence on the control channel is broken by a Hello.
    call.hear(gateway.frame(PPPProtocol.lcp, PPPPacket(PPPPacket.Code.echoRequest, 3, [1, 2, 3, 4])), 2)
    try talk(call, &gateway, 4)
    let codes = gateway.frames.filter { $0.proto == PPPProtocol.lcp }.compactMap { PPPPacket($0.payload[...])?.code }
    #expect(codes.contains(PPPPacket.Code.echoReply) && codes.contains(PPPPacket.Code.echoRequest))
    try talk(call, &gateway, 62)
    #expect(gateway.heard.last == .hello)
    call.hear(gateway.stop(), 63)
    #expect(call.phase == .over && call.reason.hasPrefix("L2TP: the gateway ends the tunnel: result 6"))
  }

  @Test func aWrongPassword() throws {
    let call = call("wrong")
    var gateway = Gateway()
    try talk(call, &gateway, 1)
    #expect(call.phase == .over && call.reason == "PPP: the gateway refuses the user: E=691 R=0")
  }

  @Test func aGatewayThatNeverAnswers() throws {
    let call = call()
    var gateway = Gateway(isDeaf: true)
    var sent: [Double] = []
    while call.phase != .over, call.due.isFinite {
      let now = call.due
      call.turn(now)
      if !call.outgoing.isEmpty { sent.append((now * 100).rounded() / 100) }
      call.outgoing = []
    }
    // RFC 2661 §5.8: one second, then twice that, up to eight.
    #expect(sent == [0.05, 1.05, 3.05, 7.05, 15.05] && call.reason == "L2TP: no acknowledgement of 5 transmissions")
    gateway.isDeaf = false
    try talk(call, &gateway, 100)
    #expect(gateway.heard.isEmpty)
  }

  @Test func aGatewayThatDiesIsNoticed() throws {
    let call = call()
    var gateway = Gateway()
    try talk(call, &gateway, 1)
    gateway.isDeaf = true
    var now = 1.0
    while call.phase != .over {
      now = call.due
      call.turn(now)
      call.outgoing = []
    }
    // The server is told, once; one that never had a tunnel is not.
    gateway.isDeaf = false
    #expect(try gateway.answers(to: try #require(call.farewell())).count == 1 && gateway.heard.last == .stop && call.farewell() == nil)
    #expect(self.call().farewell() == nil)
    // `eager` asks every two seconds and believes the third silence.
    #expect(now == 9 && call.reason == "PPP: 3 echoes without an answer")
  }

  /// Whatever comes, cut or changed, ends nothing that it does not name, and nothing at all crashes.
  @Test func nonsense() throws {
    let call = call()
    var gateway = Gateway()
    try talk(call, &gateway, 1)
    let stop = gateway.stop()
    for length in stop.indices { call.hear(Array(stop.prefix(length)), 1) }
    for place in 0..<6 {
      var other = stop
      other[place] ^= 0x5a
      call.hear(other, 1)
    }
    #expect(call.phase == .up)
    for place in 6..<stop.count { for bit in 0..<8 { var other = stop; other[place] ^= 1 << bit; call.hear(other, 1) } }
  }
}
