import L2TP
import Netlink

/// One L2TP tunnel with one call and its PPP link, from SCCRQ to IPCP, then its keepalives and its data (RFC 2661, RFC 1661, RFC 2759, RFC 1332).
///
/// Driven by what arrives and by the clock, unlike `SessionProbe`, which waits: a thousand of these share one thread.
final class Call {
  enum Phase: Int, CaseIterable { case tunnel, call, link, authentication, address, up, over }

  private(set) var phase = Phase.tunnel
  /// Why it is over.
  private(set) var reason = ""
  /// Datagrams of L2TP to be sent.
  var outgoing: [[UInt8]] = []
  private(set) var address: [UInt8] = [0, 0, 0, 0]
  private(set) var peer: [UInt8] = [0, 0, 0, 0]

  // Data: how many echo requests went out, how many answers came, and when the last one did.
  private(set) var pinged = 0
  private(set) var ponged = 0
  private(set) var lastPong = 0.0

  private let profile: Profile
  private let credentials: Credentials
  private let tunnel = UInt16.random(in: 1...UInt16.max)
  private let session = UInt16.random(in: 1...UInt16.max)
  private var theirTunnel: UInt16 = 0
  private var theirSession: UInt16 = 0
  private var number: UInt16 = 0
  private var expected: UInt16 = 0
  /// Control messages that have not been acknowledged; the first one is on its way.
  private var waiting: [[UInt8]] = []
  private var repeatAt = Double.infinity
  private var tries = 0
  private var heardControl = 0.0
  private var isTold = false

  private var identifier: UInt8 = 0
  private var weAreAcknowledged = false
  private var theyAreAcknowledged = false
  private let magic = (0..<4).map { _ in UInt8.random(in: 1...255) }
  private var askAt = Double.infinity
  private var asked = 0
  private var proof: String?
  private var claim: PPPFrame?
  private var ipcp = (ours: false, theirs: false)
  private var echoAt = Double.infinity
  private var unansweredEchoes = 0
  private var pingNumber: UInt16 = 0

  init(_ profile: Profile, _ credentials: Credentials, hostName: String, now: Double) {
    self.profile = profile
    self.credentials = credentials
    heardControl = now
    send(
      .startRequest,
      [
        .number(.protocolVersion, 0x0100 as UInt16), .number(.framingCapabilities, 3 as UInt32), .text(.hostName, hostName),
        .number(.assignedTunnel, tunnel), .number(.receiveWindow, 4 as UInt16),
      ], now)
  }

  private func end(_ reason: String) {
    guard phase != .over else { return }
    phase = .over
    self.reason = reason
  }

  // MARK: - Tunnel and call

  private func send(_ kind: ControlMessage.Kind, toSession: Bool = false, _ attributes: [Attribute], _ now: Double) {
    waiting.append(ControlMessage(kind, tunnel: theirTunnel, session: toSession ? theirSession : 0, number: number, expected: expected, attributes).bytes)
    number &+= 1
    if waiting.count == 1 {
      // What comes before the gateway has the IPsec SA in its kernel is lost.
      if kind == .startRequest { repeatAt = now + Self.headStart } else { transmit(now) }
    }
  }
  private static let headStart = 0.05

  private func transmit(_ now: Double) {
    guard let first = waiting.first else {
      repeatAt = .infinity
      return
    }
    outgoing.append(first)
    repeatAt = now + min(8, Double(1 << min(tries, 3)))
    tries += 1
  }

  func hear(_ datagram: [UInt8], _ now: Double) {
    guard phase != .over else { return }
    if let data = DataMessage(datagram) {
      if data.tunnel == tunnel, data.session == session, let frame = PPPFrame(data.frame[...]) { hear(frame, now) }
      return
    }
    let message: ControlMessage
    do throws(L2TPError) { message = try ControlMessage(datagram) } catch { return }
    guard message.tunnel == tunnel else { return }
    heardControl = now
    let first = number &- UInt16(waiting.count)
    if !waiting.isEmpty, message.expected &- first > 0, message.expected &- first <= UInt16(waiting.count) {
      waiting.removeFirst(Int(message.expected &- first))
      tries = 0
      transmit(now)
    }
    guard !message.isAcknowledgement else { return }
    guard message.number == expected else {
      if message.number == expected &- 1 { acknowledge() }
      return
    }
    expected &+= 1
    if let theirs = message[.assignedTunnel]?.number, theirTunnel == 0 { theirTunnel = theirs }
    if let theirs = message[.assignedSession]?.number, message.session == session, theirSession == 0 { theirSession = theirs }
    acknowledge()
    switch message.kind {
    case .startReply where phase == .tunnel:
      // xl2tpd 1.3.18 draws its numbers from the whole range, 0 included: one call in 65,536 has to be dialled again.
      guard theirTunnel != 0, message[.challenge] == nil else { return end("L2TP: no tunnel, or one that wants a secret") }
      phase = .call
      send(.startConnected, [], now)
      send(.incomingCallRequest, [.number(.assignedSession, session), .number(.callSerialNumber, UInt32.random(in: 1...UInt32(Int32.max)))], now)
    case .incomingCallReply where phase == .call:
      guard theirSession != 0 else { return end("L2TP: no session") }
      phase = .link
      send(.incomingCallConnected, toSession: true, [.number(.transmitSpeed, 10_000_000 as UInt32), .number(.framingType, 1 as UInt32)], now)
      askAt = now
    case .stop:
      isTold = true
      end("L2TP: the gateway ends the tunnel: \(message.result?.description ?? "no reason")")
    case .callDisconnect: end("L2TP: the gateway ends the call: \(message.result?.description ?? "no reason")")
    default: break
    }
  }

  private func acknowledge() { outgoing.append(ControlMessage(tunnel: theirTunnel, number: number, expected: expected).bytes) }

  /// The last word about the tunnel, said once: a server that is not told keeps the tunnel's socket, and Linux gives that what belongs to
  /// the next tunnel between the same ends. Nil when the server has no tunnel, or has ended it itself.
  func farewell() -> [UInt8]? {
    guard theirTunnel != 0, !isTold else { return nil }
    isTold = true
    return ControlMessage(
      .stop, tunnel: theirTunnel, number: number, expected: expected, [.number(.assignedTunnel, tunnel), .number(.resultCode, 1 as UInt16)]
    ).bytes
  }

  // MARK: - The clock

  /// Repeats what has not been answered, and asks whether the gateway lives.
  func turn(_ now: Double) {
    guard phase != .over else { return }
    if now >= repeatAt {
      guard tries < profile.l2tpTries else { return end("L2TP: no acknowledgement of \(tries) transmissions") }
      transmit(now)
    }
    if phase == .up || phase == .address, waiting.isEmpty, now - heardControl > profile.hello {
      heardControl = now
      send(.hello, [], now)
    }
    if now >= askAt {
      // Max-Configure (RFC 1661 §4.6).
      guard asked < 10 else { return end("PPP: no agreement on \(phase == .link ? "the link" : phase == .authentication ? "who we are" : "the address")") }
      ask(now)
    }
    if phase == .up, now >= echoAt {
      guard unansweredEchoes < profile.echoFailures else { return end("PPP: \(unansweredEchoes) echoes without an answer") }
      unansweredEchoes += 1
      echoAt = now + profile.echo
      identifier &+= 1
      send(PPPProtocol.lcp, PPPPacket(PPPPacket.Code.echoRequest, identifier, magic))
    }
  }

  /// When `turn` has something to do next.
  var due: Double { min(repeatAt, askAt, phase == .up ? echoAt : .infinity, phase == .up && waiting.isEmpty ? heardControl + profile.hello : .infinity) }

  /// Asks once more for what the phase wants, with the identifier it has: a pppd that has only just been started answers late.
  private func ask(_ now: Double) {
    asked += 1
    askAt = now + profile.pppRestart
    switch phase {
    case .link where !weAreAcknowledged:
      send(PPPProtocol.lcp, PPPPacket(PPPPacket.Code.configureRequest, identifier, PPPOption(type: 5, value: magic).bytes))
    case .authentication: if let claim { send(claim) }
    case .address where !ipcp.ours:
      send(PPPProtocol.ipcp, PPPPacket(PPPPacket.Code.configureRequest, identifier, PPPOption(type: 3, value: address).bytes))
    default: break
    }
  }

  // MARK: - PPP

  private func enter(_ next: Phase, _ now: Double) {
    phase = next
    asked = 0
    identifier &+= 1
    switch next {
    case .address: ask(now)
    case .up:
      askAt = .infinity
      echoAt = now + profile.echo
      lastPong = now
    default: askAt = now + profile.pppRestart
    }
  }

  private func hear(_ frame: PPPFrame, _ now: Double) {
    if frame.proto == 0x0021 { return hearIP(frame.payload, now) }
    guard let packet = PPPPacket(frame.payload[...]) else { return }
    switch frame.proto {
    case PPPProtocol.lcp: hearLCP(packet, now)
    case PPPProtocol.chap: hearCHAP(packet, now)
    case PPPProtocol.ipcp: hearIPCP(packet, now)
    case 0x8000...0xbfff where weAreAcknowledged && theyAreAcknowledged:
      identifier &+= 1
      send(PPPProtocol.lcp, PPPPacket(PPPPacket.Code.protocolReject, identifier, frame.proto.bytes + frame.payload))
    default: break
    }
  }

  private func hearLCP(_ packet: PPPPacket, _ now: Double) {
    switch packet.code {
    case PPPPacket.Code.configureRequest:
      // MRU, character map, authentication, magic number, two compressions of what is sent to it.
      let unknown = (PPPOption.list(in: packet.data) ?? []).filter { ![1, 2, 3, 5, 7, 8].contains($0.type) }
      guard unknown.isEmpty else { return send(PPPProtocol.lcp, PPPPacket(PPPPacket.Code.configureReject, packet.identifier, unknown.flatMap(\.bytes))) }
      let method = PPPOption.list(in: packet.data)?.first { $0.type == 3 }?.value
      guard method == [0xc2, 0x23, 0x81] else {
        return send(PPPProtocol.lcp, PPPPacket(PPPPacket.Code.configureNak, packet.identifier, PPPOption(type: 3, value: [0xc2, 0x23, 0x81]).bytes))
      }
      send(PPPProtocol.lcp, PPPPacket(PPPPacket.Code.configureAck, packet.identifier, packet.data))
      // The first request of ours came before there was a pppd.
      if phase == .link, !weAreAcknowledged, !theyAreAcknowledged { askAt = min(askAt, now + 0.1) }
      theyAreAcknowledged = true
      agreeOnLink(now)
    case PPPPacket.Code.configureAck where phase == .link && packet.identifier == identifier:
      weAreAcknowledged = true
      agreeOnLink(now)
    case PPPPacket.Code.configureNak where phase == .link, PPPPacket.Code.configureReject where phase == .link: end("PPP: the gateway refuses our magic number")
    case PPPPacket.Code.terminateRequest:
      send(PPPProtocol.lcp, PPPPacket(PPPPacket.Code.terminateAck, packet.identifier))
      end("PPP: the gateway ends the link\(packet.text.isEmpty ? "" : ": \(packet.text)")")
    case PPPPacket.Code.echoRequest: send(PPPProtocol.lcp, PPPPacket(PPPPacket.Code.echoReply, packet.identifier, magic + packet.data.dropFirst(4)))
    case PPPPacket.Code.echoReply: unansweredEchoes = 0
    default: break
    }
  }

  private func agreeOnLink(_ now: Double) {
    if phase == .link, weAreAcknowledged, theyAreAcknowledged { enter(.authentication, now) }
  }

  private func hearCHAP(_ packet: PPPPacket, _ now: Double) {
    switch packet.code {
    case PPPPacket.Code.challenge:
      guard packet.data.first == 16, packet.data.count > 16 else { return end("PPP: a challenge that is none of MS-CHAPv2") }
      let (response, proof) = credentials.msChapResponse(to: Array(packet.data[1...16]), peerChallenge: (0..<16).map { _ in .random(in: 0...255) })
      self.proof = proof
      claim = PPPFrame(
        PPPProtocol.chap, PPPPacket(PPPPacket.Code.response, packet.identifier, [UInt8(response.count)] + response + credentials.user.utf8.prefix(255)).bytes)
      if phase == .authentication { ask(now) } else if let claim { send(claim) }
    case PPPPacket.Code.success where phase == .authentication:
      guard let proof, packet.text.hasPrefix(proof) else { return end("PPP: the gateway does not know the password") }
      enter(.address, now)
    case PPPPacket.Code.failure: end("PPP: the gateway refuses the user: \(packet.text)")
    default: break
    }
  }

  private func hearIPCP(_ packet: PPPPacket, _ now: Double) {
    guard phase == .address || phase == .up else { return }
    switch packet.code {
    case PPPPacket.Code.configureRequest:
      let options = PPPOption.list(in: packet.data) ?? []
      let unknown = options.filter { $0.type != 3 || $0.value.count != 4 }
      guard unknown.isEmpty else { return send(PPPProtocol.ipcp, PPPPacket(PPPPacket.Code.configureReject, packet.identifier, unknown.flatMap(\.bytes))) }
      peer = options.last?.value ?? peer
      send(PPPProtocol.ipcp, PPPPacket(PPPPacket.Code.configureAck, packet.identifier, packet.data))
      ipcp.theirs = true
    case PPPPacket.Code.configureNak where packet.identifier == identifier:
      guard let given = PPPOption.list(in: packet.data)?.first(where: { $0.type == 3 && $0.value.count == 4 }) else { return end("PPP: the gateway gives no address") }
      address = given.value
      identifier &+= 1
      ask(now)
    case PPPPacket.Code.configureReject where packet.identifier == identifier: end("PPP: the gateway gives no address")
    case PPPPacket.Code.configureAck where packet.identifier == identifier: ipcp.ours = true
    case PPPPacket.Code.terminateRequest: end("PPP: the gateway ends IPv4\(packet.text.isEmpty ? "" : ": \(packet.text)")")
    default: break
    }
    if phase == .address, ipcp.ours, ipcp.theirs { enter(.up, now) }
  }

  private func send(_ proto: UInt16, _ packet: PPPPacket) { send(PPPFrame(proto, packet.bytes)) }
  private func send(_ frame: PPPFrame) { outgoing.append(DataMessage(tunnel: theirTunnel, session: theirSession, frame: frame.bytes).bytes) }

  // MARK: - Data

  /// An echo request to the gateway's end of the link, as a packet of the client's (RFC 791, RFC 792).
  func ping(size: Int) {
    guard phase == .up else { return }
    pingNumber &+= 1
    pinged += 1
    var echo: [UInt8] = [8, 0, 0, 0] + tunnel.bytes + pingNumber.bytes + [UInt8](repeating: 0x61, count: size)
    echo.replaceSubrange(2..<4, with: NeighbourDiscovery.checksum(echo).bytes)
    var header: [UInt8] = [0x45, 0] + UInt16(20 + echo.count).bytes + pingNumber.bytes + [0, 0, 64, 1, 0, 0] + address + peer
    header.replaceSubrange(10..<12, with: NeighbourDiscovery.checksum(header).bytes)
    send(PPPFrame(0x0021, header + echo))
  }

  private func hearIP(_ packet: [UInt8], _ now: Double) {
    guard packet.count >= 28, packet[0] == 0x45, packet[9] == 1, packet[20] == 0, Array(packet[16..<20]) == address, packet[24..<26].elementsEqual(tunnel.bytes) else { return }
    ponged += 1
    lastPong = now
  }
}
