import Host
import HostTestKit
import L2TP
import Testing

/// An LNS that follows a script over one socket.
private struct LNS {
  var tunnel: UInt16 = 0x00aa
  /// How many tunnels get the number 0 first.
  var unnumbered = 0
  /// A tunnel of the client's that it has already: requests that name it are acknowledged, no more.
  var known: UInt16?
  /// Requests that are lost before one is answered.
  var deaf = 0
  var acknowledges = true
  var refusal: ResultCode?
  var noise: [[UInt8]] = []

  mutating func answer(_ datagram: [UInt8]) -> [[UInt8]] {
    guard let message = try? ControlMessage(datagram) else { return [] }
    switch message.kind {
    case .startRequest:
      if deaf > 0 {
        deaf -= 1
        return noise
      }
      let theirs = message[.assignedTunnel]?.number ?? 0
      if let refusal {
        let value = [UInt8(0), UInt8(refusal.result), 0, UInt8(refusal.error ?? 0)] + Array(refusal.message.utf8)
        return [
          ControlMessage(
            .stop, tunnel: theirs, number: 0, expected: 1,
            [.number(.assignedTunnel, tunnel), Attribute(.resultCode, value)]
          ).bytes
        ]
      }
      if theirs == known { return [ControlMessage(tunnel: theirs, number: 0, expected: 1).bytes] }
      if unnumbered > 0 {
        unnumbered -= 1
        return [ControlMessage(.startReply, tunnel: theirs, number: 0, expected: 1, [.number(.assignedTunnel, 0 as UInt16)]).bytes]
      }
      return noise + [
        ControlMessage(.startReply, tunnel: theirs, number: 0, expected: 1, [.number(.assignedTunnel, tunnel)]).bytes
      ]
    case .stop:
      guard acknowledges, message.tunnel == tunnel, let theirs = message[.assignedTunnel]?.number else { return [] }
      return [ControlMessage(tunnel: theirs, number: 1, expected: 2).bytes]
    default: return []
    }
  }
}

@Suite struct TunnelProbeTests {
  let clock = ManualClock()
  let address = IPAddress("192.0.2.1")!

  private func run(
    _ lns: LNS, seconds: Int = 8, tunnel: UInt16 = 0x1234
  ) -> (Result<TunnelProbe.Answer, L2TPError>, ScriptedDatagrams) {
    var lns = lns
    let socket = ScriptedDatagrams(from: address, clock: clock) { lns.answer($0) }
    let result = Result { () throws(L2TPError) in
      try TunnelProbe(tunnel: tunnel).run(over: socket, clock: clock, before: clock.now + .seconds(seconds))
    }
    return (result, socket)
  }

  @Test func anOfferedTunnelIsTakenBack() throws {
    let (result, socket) = run(LNS())
    #expect(try result.get() == .accepted(isClosed: true))
    let sent = try socket.sent.map { try ControlMessage($0) }
    #expect(sent.map(\.kind) == [.startRequest, .stop])
    #expect(sent[1].tunnel == 0x00aa && sent[1].number == 1 && sent[1].expected == 1)
    #expect(sent[1][.assignedTunnel]?.number == 0x1234)
    #expect(sent[1].result == ResultCode(result: 1))
  }

  @Test func aRefusalIsProofOfLife() throws {
    let refusal = ResultCode(result: 4, error: 0, message: "No Authorization")
    let (result, socket) = run(LNS(refusal: refusal))
    #expect(try result.get() == .refused(refusal))
    let last = try ControlMessage(socket.sent.last!)
    #expect(last.isAcknowledgement && last.expected == 1 && last.tunnel == 0x00aa)
  }

  /// A request that is answered at the third time: after 1 s and after 2 s more.
  @Test func theRequestIsRepeatedAsItStands() throws {
    let before = clock.now
    let (result, socket) = run(LNS(deaf: 2))
    #expect(try result.get() == .accepted(isClosed: true))
    #expect(Set(socket.sent.dropLast()).count == 1 && socket.sent.count == 4)
    #expect(clock.now - before >= .seconds(3) && clock.now - before < .seconds(4))
  }

  @Test func silenceEndsAtTheDeadline() {
    let before = clock.now
    let (result, socket) = run(LNS(deaf: .max), seconds: 5)
    #expect(throws: L2TPError.self) { try result.get() }
    if case .failure(let error) = result { #expect(error.kind == .unanswered) }
    #expect(clock.now - before == .seconds(5) && socket.sent.count == 3)
  }

  @Test func aClosedPortIsKnownAtOnce() {
    let socket = ScriptedDatagrams(from: address, clock: clock) { _ in [] }
    socket.isRefused = true
    #expect(throws: L2TPError.self) {
      try TunnelProbe().run(over: socket, clock: clock, before: clock.now + .seconds(8))
    }
    #expect(clock.now == ManualClock().now)
  }

  @Test func aLostFarewellIsRepeatedForASecond() throws {
    let before = clock.now
    let (result, socket) = run(LNS(acknowledges: false))
    #expect(try result.get() == .accepted(isClosed: false))
    #expect(clock.now - before == .seconds(1) && socket.sent.count == 4)
  }

  @Test func noiseAndOtherPeoplesMessagesAreIgnored() throws {
    let foreign = ControlMessage(.startReply, tunnel: 9, number: 0, expected: 1, [.number(.assignedTunnel, 5 as UInt16)])
    let (result, _) = run(LNS(noise: [[], [0xff], Array(repeating: 0xc8, count: 4000), foreign.bytes]))
    #expect(try result.get() == .accepted(isClosed: true))
  }

  @Test func anOfferWithoutATunnelIsNoOffer() {
    let (result, _) = run(LNS(tunnel: 0))
    if case .failure(let error) = result { #expect(error.kind == .refused) } else { Issue.record("accepted") }
  }

  @Test func aServerThatDrawsZeroIsAskedAnew() throws {
    let (result, socket) = run(LNS(unnumbered: 1))
    #expect(try result.get() == .accepted(isClosed: true))
    let sent = try socket.sent.map { try ControlMessage($0) }
    #expect(sent.map(\.kind) == [.startRequest, .startRequest, .stop])
    #expect(sent.map { $0[.assignedTunnel]?.number ?? 0 } == [0x1234, 0x1235, 0x1235])
  }

  @Test func aRequestTakenForARepetitionIsAskedAnew() throws {
    let before = clock.now
    let (result, socket) = run(LNS(known: .max), tunnel: .max)
    #expect(try result.get() == .accepted(isClosed: true))
    #expect(clock.now - before == .seconds(1))
    #expect(try socket.sent.map { try ControlMessage($0)[.assignedTunnel]?.number ?? 0 } == [.max, 1, 1])
  }

  @Test func everyProbeHasATunnelOfItsOwn() {
    let tunnels = (0..<50).map { _ in TunnelProbe().tunnel }
    #expect(!tunnels.contains(0) && Set(tunnels).count > 40)
  }
}
