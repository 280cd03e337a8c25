import Host
import L2TP
import Testing

/// Ends a tunnel 0x1234 whose client calls it 0x00c7, has sent five messages and had seven.
@Suite struct FarewellTests {
  private let start = Instant(nanoseconds: 1_000_000_000)
  private let tunnel: UInt16 = 0x1234
  private let theirs: UInt16 = 0x00c7

  private func acknowledgement(number: UInt16 = 5, expected: UInt16 = 7) -> [UInt8] {
    ControlMessage(tunnel: tunnel, number: number, expected: expected).bytes
  }

  /// What is due now; a test ends where nothing is.
  private func due(_ farewell: inout Farewell, at now: Instant) throws -> [UInt8] {
    let bytes = farewell.due(at: now)
    return try #require(bytes)
  }

  @Test func asksForTheNumbersAndEndsWithThem() throws {
    var farewell = Farewell(tunnel: tunnel, peerTunnel: theirs)
    let hello = try ControlMessage(due(&farewell, at: start))
    #expect(hello.kind == .hello && hello.tunnel == theirs && hello.number == 0)
    #expect(farewell.due(at: start) == nil)
    #expect(farewell.receive(acknowledgement()) == nil)
    let bytes = try due(&farewell, at: start)
    // RFC 2661 §6.4: message type StopCCN, assigned tunnel, result code 1 (general request to clear).
    #expect(
      bytes == [
        0xc8, 0x02, 0x00, 0x24, 0x00, 0xc7, 0x00, 0x00, 0x00, 0x07, 0x00, 0x05,
        0x80, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04,
        0x80, 0x08, 0x00, 0x00, 0x00, 0x09, 0x12, 0x34,
        0x80, 0x08, 0x00, 0x00, 0x00, 0x01, 0x00, 0x01,
      ])
    #expect(farewell.outcome == nil)
    _ = farewell.receive(acknowledgement(expected: 7))
    #expect(farewell.outcome == nil, "an acknowledgement of what was before")
    _ = farewell.receive(acknowledgement(expected: 8))
    #expect(farewell.outcome == .told && farewell.deadline == nil && farewell.due(at: start) == nil)
  }

  /// A client acknowledges what it has had and what comes next, and is silent about what is further ahead.
  @Test(arguments: [0, 1, 7, 0x7fff, 0x8000, 0x8001, 0xffff] as [UInt16])
  func asksSoThatAnyClientAnswers(expected: UInt16) throws {
    var farewell = Farewell(tunnel: tunnel, peerTunnel: theirs)
    var now = start
    var expected = expected
    for _ in 0..<2 {
      let hello = try ControlMessage(due(&farewell, at: now))
      now = try max(now, #require(farewell.deadline))
      guard Int16(bitPattern: hello.number &- expected) <= 0 else { continue }
      if hello.number == expected { expected &+= 1 }
      _ = farewell.receive(acknowledgement(expected: expected))
      break
    }
    let stop = try ControlMessage(due(&farewell, at: now))
    #expect(stop.kind == .stop && stop.number == expected)
  }

  @Test func theLastNumberIsFollowedByTheFirst() throws {
    var farewell = Farewell(tunnel: tunnel, peerTunnel: theirs)
    _ = farewell.due(at: start)
    _ = farewell.receive(acknowledgement(number: 0, expected: 0xffff))
    let stop = try ControlMessage(due(&farewell, at: start))
    #expect(stop.number == 0xffff)
    _ = farewell.receive(acknowledgement(number: 0, expected: 0))
    #expect(farewell.outcome == .told)
  }

  /// A message of the client's own, and not an acknowledgement, tells the numbers as well; its own counts.
  @Test func aHelloOfTheClientTellsTheNumbersToo() throws {
    var farewell = Farewell(tunnel: tunnel, peerTunnel: theirs)
    _ = farewell.due(at: start)
    _ = farewell.receive(ControlMessage(.hello, tunnel: tunnel, number: 5, expected: 7).bytes)
    let stop = try ControlMessage(due(&farewell, at: start))
    #expect(stop.kind == .stop && stop.number == 7 && stop.expected == 6)
  }

  @Test func givesUpOnAClientThatIsGone() {
    var farewell = Farewell(tunnel: tunnel, peerTunnel: theirs)
    var sent = 0
    for _ in 0..<20 {
      guard let deadline = farewell.deadline else { break }
      if farewell.due(at: max(start, deadline)) != nil { sent += 1 }
    }
    #expect(sent == 4 && farewell.outcome == .unanswered("the client does not answer"))
  }

  @Test func repeatsTheEndUntilItIsAcknowledged() {
    var farewell = Farewell(tunnel: tunnel, peerTunnel: theirs)
    _ = farewell.due(at: start)
    _ = farewell.receive(acknowledgement())
    var sent: [[UInt8]] = []
    for _ in 0..<20 {
      guard let deadline = farewell.deadline else { break }
      if let bytes = farewell.due(at: max(start, deadline)) { sent.append(bytes) }
    }
    #expect(sent.count == 4 && Set(sent).count == 1)
    #expect(farewell.outcome == .unanswered("the client does not acknowledge the end"))
  }

  @Test func aClientThatBeginsAgainOrEndsItselfIsTold() throws {
    var again = Farewell(tunnel: tunnel, peerTunnel: theirs)
    _ = again.due(at: start)
    #expect(again.receive(ControlMessage(.startRequest, tunnel: 0, number: 0, expected: 0, [.number(.assignedTunnel, theirs)]).bytes) == nil)
    #expect(again.outcome == .told)
    var ending = Farewell(tunnel: tunnel, peerTunnel: theirs)
    _ = ending.due(at: start)
    let received = ending.receive(ControlMessage(.stop, tunnel: tunnel, number: 5, expected: 7).bytes)
    let answer = try #require(received)
    #expect(try ControlMessage(answer) == ControlMessage(tunnel: theirs, number: 7, expected: 6))
    #expect(ending.outcome == .told)
  }

  @Test func aClosedPortEndsItAndNothingRevivesIt() {
    var farewell = Farewell(tunnel: tunnel, peerTunnel: theirs)
    _ = farewell.due(at: start)
    farewell.refused()
    #expect(farewell.outcome == .closed)
    _ = farewell.receive(acknowledgement())
    #expect(farewell.outcome == .closed && farewell.due(at: start) == nil)
  }

  /// Data of the session, messages of other tunnels, and every truncation of a good one change nothing.
  @Test func whatIsNotTheClientsAnswerIsPassedOver() {
    var noise: [[UInt8]] = [[], [0x40, 0x02, 0x00, 0x0c, 0x12, 0x34, 0, 1, 0xff, 0x03, 0xc0, 0x21], ControlMessage(tunnel: 0x1235, number: 5, expected: 7).bytes]
    let good = ControlMessage(.hello, tunnel: tunnel, number: 5, expected: 7).bytes
    for count in 0..<good.count { noise.append(Array(good.prefix(count))) }
    noise.append(ControlMessage(.stop, tunnel: 0x1235, number: 5, expected: 7).bytes)
    var farewell = Farewell(tunnel: tunnel, peerTunnel: theirs)
    _ = farewell.due(at: start)
    for datagram in noise {
      #expect(farewell.receive(datagram) == nil)
      #expect(farewell.due(at: start) == nil && farewell.outcome == nil)
    }
    _ = farewell.receive(good)
    #expect(farewell.due(at: start) != nil)
  }
}
