import Host

/// One session, step by step. Each step waits for what it needs and answers everything else the server asks meanwhile.
final class Dialogue {
  private let client: TunnelClient
  private let clock: any Clock
  private let deadline: Instant
  private let credentials: Credentials

  private typealias Code = PPPPacket.Code
  private typealias Failure = SessionProbe.Failure

  private var phase = SessionProbe.Phase.tunnel
  private var lastIdentifier: UInt8 = 0
  /// The identifier of the request whose answer matters.
  private var awaited: UInt8 = 0
  /// Zero where the server wants none.
  private var magic = Dialogue.newMagic()
  /// What the link is asked for: a magic number, as long as the server does not refuse it.
  private var linkOptions: [PPPOption] { magic == Self.noMagic ? [] : [PPPOption(type: 5, value: magic)] }
  private static let noMagic: [UInt8] = [0, 0, 0, 0]
  private static func newMagic() -> [UInt8] { (0..<4).map { _ in .random(in: 0...255) } }
  private var refusals = 0
  /// RFC 1661 §4.6 (Max-Failure).
  private static let mostRefusals = 5

  private var events = 0
  private var farewellEvents = 0
  /// A session that is well takes about thirty.
  private static let mostEvents = 1000
  /// Whether it failed because the server named no tunnel or no session.
  private(set) var lacksNumber = false
  /// Which ends the server has announced itself.
  private var isTold = (tunnel: false, call: false)

  // What the two ends have agreed upon.
  private var weAreAcknowledged = false
  private var theyAreAcknowledged = false
  private var method = Method.none
  private var isAuthenticated = false
  /// Whether the authentication that the server wants is none of ours.
  private var isDeclined = false
  private var responded = false
  /// What proves who we are, and when it is to be said again.
  private var claim: (frame: PPPFrame, next: Instant)?
  private var expectedProof: String?
  private var address: [UInt8] = [0, 0, 0, 0]
  private var peer: [UInt8]?
  private var ipcpIsOpen = (ours: false, theirs: false)
  private var echoed = false

  private enum Method: String {
    case none
    case pap = "PAP"
    case md5 = "CHAP-MD5"
    case msChapV2 = "MS-CHAPv2"
  }

  init(client: TunnelClient, clock: any Clock, deadline: Instant, credentials: Credentials) {
    self.client = client
    self.clock = clock
    self.deadline = deadline
    self.credentials = credentials
  }

  private func newIdentifier() -> UInt8 {
    lastIdentifier &+= 1
    return lastIdentifier
  }

  private func failed(_ reason: String) -> SessionProbe.Failure { SessionProbe.Failure(phase: phase, reason: reason) }
  private func unable(_ reason: String) -> SessionProbe.Failure {
    SessionProbe.Failure(phase: phase, reason: reason, isInability: true)
  }
  /// What the server does after it asked for what we do not speak, or was told who we are and has not agreed, or has no address for
  /// us, it does to us.
  private func ended(_ reason: String) -> SessionProbe.Failure {
    isDeclined || (phase == .authentication && responded) || (phase == .address && hasNoAddress) ? unable(reason) : failed(reason)
  }
  private var hasNoAddress: Bool { address == [0, 0, 0, 0] }

  private func unnumbered(_ what: String) -> SessionProbe.Failure {
    lacksNumber = true
    return failed("the server names no \(what) of its own")
  }

  // MARK: - Tunnel and call

  func openTunnel(hostName: String) throws(SessionProbe.Failure) {
    phase = .tunnel
    try send(
      .startRequest,
      [
        .number(.protocolVersion, 0x0100 as UInt16), .number(.framingCapabilities, 3 as UInt32), .text(.hostName, hostName),
        .number(.assignedTunnel, client.tunnel), .number(.receiveWindow, 4 as UInt16),
      ])
    let reply = try expect(.startReply, "answer to SCCRQ")
    guard client.theirTunnel != 0 else { throw unnumbered("tunnel") }
    if reply[.challenge] != nil { throw unable("the server wants tunnel authentication, for which the test has no secret") }
    try send(.startConnected, [])
    try acknowledged("SCCCN")
  }

  func openCall() throws(SessionProbe.Failure) {
    phase = .call
    try send(
      .incomingCallRequest,
      [.number(.assignedSession, client.session), .number(.callSerialNumber, UInt32.random(in: 1...UInt32(Int32.max)))])
    _ = try expect(.incomingCallReply, "answer to ICRQ")
    guard client.theirSession != 0 else { throw unnumbered("session") }
    try send(
      .incomingCallConnected, toSession: true,
      [.number(.transmitSpeed, 10_000_000 as UInt32), .number(.framingType, 1 as UInt32)])
    try acknowledged("ICCN")
  }

  private func expect(_ kind: ControlMessage.Kind, _ what: String) throws(SessionProbe.Failure) -> ControlMessage {
    while let event = try next(before: deadline) {
      if case .control(let message) = event, message.kind == kind { return message }
    }
    throw failed("no \(what) in time")
  }

  private func acknowledged(_ what: String) throws(SessionProbe.Failure) {
    while !client.isAcknowledged {
      guard let event = try next(before: deadline) else { throw failed("\(what) was not acknowledged in time") }
      // PPP may begin before the acknowledgement has come.
      if case .frame(let frame) = event { try handle(frame) }
    }
  }

  /// The next event; a farewell of the server ends everything.
  private func next(before end: Instant) throws(SessionProbe.Failure) -> TunnelClient.Event? {
    events += 1
    guard events <= Self.mostEvents else { throw failed("the server talks without end") }
    guard clock.now < deadline else { return nil }
    let event: TunnelClient.Event?
    do { event = try client.receive(before: end) } catch { throw failed(error.reason) }
    guard case .control(let message) = event else { return event }
    switch message.kind {
    case .stop:
      isTold = (true, true)
      let words = "the server ends the tunnel: \(message.result?.words(isTunnel: true) ?? "without a reason")"
      // Result 4 is the RFC's, the text xl2tpd's (`access control`), which calls it a vendor's error.
      let isRefusal = message.result.map { $0.result == 4 || $0.message == "No Authorization" } ?? false
      throw (phase == .tunnel && isRefusal) || message.result?.isForLackOfRoom == true ? unable(words) : ended(words)
    case .callDisconnect:
      isTold.call = true
      let words = "the server ends the call: \(message.result?.words(isTunnel: false) ?? "without a reason")"
      let isFull = message.result.map { $0.isForLackOfRoom || $0.result == 4 || $0.result == 5 } ?? false
      throw isFull ? unable(words) : ended(words)
    default: return event
    }
  }

  // MARK: - PPP

  func runPPP() throws(SessionProbe.Failure) -> SessionProbe.Session {
    phase = .link
    try request(
      PPPProtocol.lcp, { linkOptions }, isAsked: { theyAreAcknowledged },
      until: { weAreAcknowledged && theyAreAcknowledged },
      "the server does not agree on the link in time")
    phase = .authentication
    if method != .none { try authenticate() }
    phase = .address
    try request(
      PPPProtocol.ipcp, { [PPPOption(type: 3, value: address)] }, isAsked: { ipcpIsOpen.theirs },
      until: { ipcpIsOpen.ours && ipcpIsOpen.theirs },
      hasNoAddress
        ? "the server gives no address in time: is the pool exhausted?" : "the server does not agree on addresses in time")
    guard let given = IPAddress(bytes: address), !given.isUnspecified else { throw unable("the server gives the address 0.0.0.0") }
    phase = .echo
    try echo()
    return SessionProbe.Session(
      address: given, peer: peer.flatMap { IPAddress(bytes: $0) }, authentication: method.rawValue)
  }

  /// Sends a configure request, again every second, until `isDone`. The same request keeps its identifier (RFC 1661 §5.1): a
  /// server that takes longer than that answers one that was repeated meanwhile.
  ///
  /// The first one often comes too early: a pppd has only just been started, and nobody keeps a datagram for it. When it asks us
  /// itself (`isAsked`) it is there, so it is asked again soon after, unless it answers what we asked before.
  private func request(
    _ proto: UInt16, _ options: () -> [PPPOption], isAsked: () -> Bool, until isDone: () -> Bool,
    _ otherwise: @autoclosure () -> String
  ) throws(SessionProbe.Failure) {
    var again = clock.now
    var last: [PPPOption]?
    while !isDone() {
      let wanted = options()
      if clock.now >= again || wanted != last {
        if wanted != last { awaited = newIdentifier() }
        last = wanted
        again = clock.now + .seconds(1)
        try send(proto, PPPPacket(Code.configureRequest, awaited, wanted.flatMap(\.bytes)))
      }
      guard let event = try next(before: min(deadline, again)) else {
        if clock.now >= deadline { throw ended(otherwise()) }
        continue
      }
      let wasSilent = !isAsked()
      if case .frame(let frame) = event { try handle(frame) }
      if wasSilent, isAsked() { again = min(again, clock.now + Self.headStart) }
    }
  }
  /// Time for the answer to an earlier request: a second one would begin the negotiation anew.
  private static let headStart = Duration.milliseconds(100)

  /// Says who we are, and again every two seconds: a decision that is lost is told anew only when it is asked for (RFC 1994
  /// §4.2).
  private func authenticate() throws(SessionProbe.Failure) {
    if method == .pap {
      try claim(PPPFrame(PPPProtocol.pap, PPPPacket(Code.authenticateRequest, newIdentifier(), credentials.papRequest).bytes))
    }
    while !isAuthenticated {
      if let claim, clock.now >= claim.next { try self.claim(claim.frame) }
      guard let event = try next(before: min(deadline, claim?.next ?? deadline)) else {
        guard clock.now >= deadline else { continue }
        throw ended(
          responded ? "the server does not decide in time: is RADIUS silent?" : "the server sends no challenge in time")
      }
      if case .frame(let frame) = event { try handle(frame) }
    }
  }

  private func claim(_ frame: PPPFrame) throws(SessionProbe.Failure) {
    claim = (frame, clock.now + .seconds(2))
    responded = true
    try send(frame)
  }

  private func echo() throws(SessionProbe.Failure) {
    awaited = newIdentifier()
    var again = clock.now
    while !echoed {
      if clock.now >= again {
        again = clock.now + .seconds(1)
        try send(PPPProtocol.lcp, PPPPacket(Code.echoRequest, awaited, magic))
      }
      guard let event = try next(before: min(deadline, again)) else {
        if clock.now >= deadline { throw failed("the server does not answer an echo in time") }
        continue
      }
      if case .frame(let frame) = event { try handle(frame) }
    }
  }

  // MARK: - Frames

  private func handle(_ frame: PPPFrame) throws(SessionProbe.Failure) {
    switch frame.proto {
    case PPPProtocol.lcp: if let packet = PPPPacket(frame.payload[...]) { try handleLCP(packet) }
    case PPPProtocol.chap: if let packet = PPPPacket(frame.payload[...]) { try handleCHAP(packet) }
    case PPPProtocol.pap: if let packet = PPPPacket(frame.payload[...]) { try handlePAP(packet) }
    case PPPProtocol.ipcp: if let packet = PPPPacket(frame.payload[...]) { try handleIPCP(packet) }
    case 0x8000...0xbfff where weAreAcknowledged && theyAreAcknowledged:
      // Another network protocol, or compression: politely no.
      let rejected = [UInt8(frame.proto >> 8), UInt8(frame.proto & 0xff)] + frame.payload
      try send(PPPProtocol.lcp, PPPPacket(Code.protocolReject, newIdentifier(), rejected))
    default: break  // data for us, or noise
    }
  }

  private func handleLCP(_ packet: PPPPacket) throws(SessionProbe.Failure) {
    switch packet.code {
    case Code.configureRequest: try answerLCP(packet)
    case Code.configureAck where packet.identifier == awaited: weAreAcknowledged = true
    case Code.configureNak where packet.identifier == awaited && phase == .link:
      // Ours looks like one of its own: another one. What else it would like to be asked for we do not need.
      refusals += 1
      guard refusals <= Self.mostRefusals else { throw failed("the server refuses our end of the link") }
      magic = Self.newMagic()
    case Code.configureReject where packet.identifier == awaited && phase == .link:
      guard magic != Self.noMagic else { throw failed("the server refuses our end of the link") }
      magic = Self.noMagic
    case Code.terminateRequest:
      try send(PPPProtocol.lcp, PPPPacket(Code.terminateAck, packet.identifier))
      let words = packet.text
      throw ended(words.isEmpty ? "the server ends the link" : "the server ends the link: \(words)")
    case Code.protocolReject:
      if packet.data.starts(with: [0x80, 0x21]) { throw failed("the server refuses IPv4") }
    case Code.echoRequest:
      try send(PPPProtocol.lcp, PPPPacket(Code.echoReply, packet.identifier, magic + packet.data.dropFirst(4)))
    case Code.echoReply where packet.identifier == awaited: echoed = true
    default: break
    }
  }

  /// Takes what costs nothing, asks for an authentication we can do, refuses the rest.
  private func answerLCP(_ packet: PPPPacket) throws(SessionProbe.Failure) {
    guard let options = PPPOption.list(in: packet.data) else { return }
    let known: Set<UInt8> = [1, 2, 3, 5, 7, 8]  // MRU, character map, authentication, magic number, two compressions
    let unknown = options.filter { !known.contains($0.type) }
    guard unknown.isEmpty else {
      return try send(PPPProtocol.lcp, PPPPacket(Code.configureReject, packet.identifier, unknown.flatMap(\.bytes)))
    }
    method = .none
    isDeclined = false
    if let wanted = options.first(where: { $0.type == 3 }) {
      switch wanted.value {
      case [0xc0, 0x23]: method = .pap
      case [0xc2, 0x23, 0x05]: method = .md5
      case [0xc2, 0x23, 0x81]: method = .msChapV2
      default:
        isDeclined = true
        let ours = PPPOption(type: 3, value: [0xc2, 0x23, 0x81])
        return try send(PPPProtocol.lcp, PPPPacket(Code.configureNak, packet.identifier, ours.bytes))
      }
    }
    try send(PPPProtocol.lcp, PPPPacket(Code.configureAck, packet.identifier, packet.data))
    theyAreAcknowledged = true
  }

  private func handleCHAP(_ packet: PPPPacket) throws(SessionProbe.Failure) {
    switch packet.code {
    case Code.challenge:
      guard let size = packet.data.first, packet.data.count > Int(size) else { return }
      let challenge = Array(packet.data[1..<(1 + Int(size))])
      let response: [UInt8]
      if method == .msChapV2 {
        guard challenge.count == 16 else { throw failed("the server's challenge has \(challenge.count) bytes, not 16") }
        let ours = (0..<16).map { _ in UInt8.random(in: 0...255) }
        let (answer, proof) = credentials.msChapResponse(to: challenge, peerChallenge: ours)
        (response, expectedProof) = (answer, proof)
      } else {
        response = credentials.chapResponse(to: challenge, identifier: packet.identifier)
      }
      let name = Array(credentials.user.utf8.prefix(255))
      let packet = PPPPacket(Code.response, packet.identifier, [UInt8(response.count)] + response + name)
      try claim(PPPFrame(PPPProtocol.chap, packet.bytes))
    case Code.success:
      if let expectedProof, !packet.text.hasPrefix(expectedProof) { throw unable("the server does not know the password itself") }
      isAuthenticated = responded
    case Code.failure: throw refused(packet)
    default: break
    }
  }

  private func handlePAP(_ packet: PPPPacket) throws(SessionProbe.Failure) {
    switch packet.code {
    case Code.authenticateAck: isAuthenticated = responded
    case Code.authenticateNak: throw refused(packet)
    default: break
    }
  }

  private func refused(_ packet: PPPPacket) -> SessionProbe.Failure {
    let words = Self.reason(in: packet.text)
    return unable("the server refuses user \(credentials.user) by \(method.rawValue)\(words.isEmpty ? "" : ": \(words)")")
  }

  /// Of `E=691 R=1 C=0123… V=3 M=Access denied` (RFC 2759 §6) the number and the words.
  private static func reason(in text: String) -> String {
    let words = text.split(separator: " ", maxSplits: 4)
    guard words.count == 5, words[0].hasPrefix("E="), words[4].hasPrefix("M=") else { return text }
    return "\(words[4].dropFirst(2)) (\(words[0].dropFirst(2)))"
  }

  private func handleIPCP(_ packet: PPPPacket) throws(SessionProbe.Failure) {
    switch packet.code {
    case Code.configureRequest:
      guard phase == .address || phase == .echo, let options = PPPOption.list(in: packet.data) else { return }
      let unknown = options.filter { $0.type != 3 || $0.value.count != 4 }
      guard unknown.isEmpty else {
        return try send(PPPProtocol.ipcp, PPPPacket(Code.configureReject, packet.identifier, unknown.flatMap(\.bytes)))
      }
      peer = options.last?.value
      try send(PPPProtocol.ipcp, PPPPacket(Code.configureAck, packet.identifier, packet.data))
      ipcpIsOpen.theirs = true
    case Code.configureAck where packet.identifier == awaited: ipcpIsOpen.ours = true
    case Code.configureNak where packet.identifier == awaited:
      let given = PPPOption.list(in: packet.data)?.first { $0.type == 3 && $0.value.count == 4 }
      guard let given else { throw unable("the server gives no address") }
      address = given.value
    case Code.configureReject where packet.identifier == awaited: throw unable("the server gives no address")
    case Code.terminateRequest:
      let words = "the server ends IPv4\(packet.text.isEmpty ? "" : ": \(packet.text)")"
      // pppd's, of an account that may not use the address it was given (`ipcp.c`).
      throw packet.text.hasPrefix("Unauthorized remote IP address") ? unable(words) : ended(words)
    default: break
    }
  }

  // MARK: - Sending and leaving

  private func send(_ proto: UInt16, _ packet: PPPPacket) throws(SessionProbe.Failure) {
    try send(PPPFrame(proto, packet.bytes))
  }

  private func send(_ frame: PPPFrame) throws(SessionProbe.Failure) {
    do { try client.send(frame) } catch { throw failed(error.reason) }
  }

  private func send(
    _ kind: ControlMessage.Kind, toSession: Bool = false, _ attributes: [Attribute]
  ) throws(SessionProbe.Failure) {
    do { try client.send(kind, toSession: toSession, attributes) } catch { throw failed(error.reason) }
  }

  /// Takes down whatever is up. What fails now has been told already, or the server forgets by itself.
  func close(before end: Instant) {
    do throws(L2TPError) {
      if client.theirSession != 0, !isTold.call {
        try endLink(before: min(end, clock.now + Self.lcpGrace))
        try client.send(
          .callDisconnect, toSession: true,
          [.number(.resultCode, 3 as UInt16), .number(.assignedSession, client.session)])
        try awaitAcknowledgement(before: end)
      }
      guard client.theirTunnel != 0, !isTold.tunnel else { return }
      try client.send(.stop, [.number(.assignedTunnel, client.tunnel), .number(.resultCode, 1 as UInt16)])
      try awaitAcknowledgement(before: end)
    } catch {}
  }

  private func awaitAcknowledgement(before end: Instant) throws(L2TPError) {
    while !client.isAcknowledged, try nextOfFarewell(before: end) != nil {}
  }

  /// A server may go on talking: what comes after `end`, and too much of it, is not heard.
  private func nextOfFarewell(before end: Instant) throws(L2TPError) -> TunnelClient.Event? {
    farewellEvents += 1
    guard clock.now < end, farewellEvents <= Self.mostEvents else { return nil }
    return try client.receive(before: end)
  }

  /// How long the server's end of the link is given. Without a word to it a pppd lingers for six seconds.
  private static let lcpGrace = Duration.milliseconds(300)

  private func endLink(before end: Instant) throws(L2TPError) {
    func say(_ packet: PPPPacket) throws(L2TPError) { try client.send(PPPFrame(PPPProtocol.lcp, packet.bytes)) }
    try say(PPPPacket(Code.terminateRequest, newIdentifier()))
    while let event = try nextOfFarewell(before: end) {
      guard case .frame(let frame) = event, frame.proto == PPPProtocol.lcp, let packet = PPPPacket(frame.payload[...]) else {
        continue
      }
      switch packet.code {
      case Code.terminateRequest: try say(PPPPacket(Code.terminateAck, packet.identifier))
      case Code.terminateAck: return
      default: break
      }
    }
  }
}
