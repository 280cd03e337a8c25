import Host
import HostTestKit
import L2TP
import Ledger
import RADIUS
import Testing

@testable import Adoption

@Suite struct AdoptionTests {
  private final class Lines { var all: [String] = [] }

  private let kernel = InMemorySessionKernel()
  private let clock = ManualClock()
  private let lines = Lines()
  private let adoption: Adoption

  init() {
    adoption = Adoption(kernel, clock) { [lines] in lines.all.append($0) }
  }

  private func record(_ number: UInt16, tunnel: UInt16 = 0, user: String = "alice") -> SessionRecord {
    SessionRecord(
      tunnel: tunnel > 0 ? tunnel : number, session: 100 + number, peerTunnel: 200 + (tunnel > 0 ? tunnel : number), peerSession: 300 + number,
      gateway: IPAddress("203.0.113.50")!, peer: IPAddress("198.51.100.\(tunnel > 0 ? tunnel : number)")!, peerPort: 1701,
      local: IPAddress("10.9.0.1")!, remote: IPAddress("10.9.0.\(number)")!, mtu: 1280, user: "\(user)\(number)")
  }

  private func pass(_ time: Duration) {
    let end = clock.now + time
    while clock.now < end {
      clock.advance(by: min(end - clock.now, .milliseconds(100)))
      adoption.turn()
    }
  }

  private func promoted(_ records: [SessionRecord]) {
    adoption.follow(records)
    adoption.turn()
    adoption.promote(with: records)
    adoption.turn()
  }

  private func message(_ kind: ControlMessage.Kind, _ record: SessionRecord, session: UInt16 = 0, number: UInt16 = 7, expected: UInt16 = 9) -> [UInt8] {
    ControlMessage(kind, tunnel: record.tunnel, session: session, number: number, expected: expected).bytes
  }

  private func sockets(_ record: SessionRecord) -> (control: Int32, channel: Int32, unit: Int32) {
    (kernel.tunnels[record.tunnel]!.control, kernel.sessions[record.key]!.channel, kernel.sessions[record.key]!.unit)
  }

  @Test func aStandbyMakesReadyAndSaysNothing() {
    let records = [record(1), record(2), record(3, tunnel: 2)]
    adoption.follow(records)
    adoption.turn()
    #expect(adoption.count == 3 && kernel.on.isEmpty && adoption.carried.isEmpty)
    for record in records {
      for socket in [sockets(record).control, sockets(record).channel, sockets(record).unit] {
        kernel.arrive(.bytes([0xc0, 0x21, 9, 1, 0, 8, 1, 2, 3, 4]), on: socket)
        kernel.arrive(.bytes(message(.hello, record)), on: socket)
        kernel.arrive(.bytes(message(.stop, record)), on: socket)
      }
    }
    pass(.seconds(120))
    #expect(kernel.sent.isEmpty && adoption.count == 3)
    // What the peer no longer has goes, with its tunnel.
    adoption.follow([records[2]])
    #expect(adoption.count == 1 && kernel.open.count == 5)
    adoption.follow([])
    #expect(kernel.open.isEmpty && kernel.sent.isEmpty)
  }

  @Test func aRecordThatHasChangedIsMadeAgain() {
    var changed = record(1)
    adoption.follow([changed])
    adoption.turn()
    let before = sockets(changed)
    changed.peerSession += 1
    adoption.follow([changed])
    adoption.turn()
    #expect(adoption.count == 1 && kernel.open.count == 5 && sockets(changed) != before)
  }

  @Test func promotedItCarriesAndCountsTheHop() {
    let records = [record(1), record(2)]
    promoted(records)
    #expect(kernel.on.count == 2 && adoption.carried.count == 2)
    #expect(adoption.carried.values.allSatisfy { $0.hops == 1 })
    // One that nothing was made of before.
    adoption.stop()
    #expect(kernel.open.isEmpty && adoption.carried.isEmpty)
    adoption.promote(with: records)
    #expect(adoption.carried.values.allSatisfy { $0.hops == 1 } && adoption.carried.count == 2)
    adoption.turn()
    #expect(kernel.on.count == 2 && adoption.takeTold().isEmpty)
  }

  @Test func whatThisNodesDaemonsCarriedIsCarriedOnWithoutAHop() {
    adoption.promote(with: [record(1)])
    adoption.turn()
    // The kernel is not done with the daemon's own for a moment.
    kernel.errors = [.exists]
    adoption.take([record(2), record(1)])
    #expect(adoption.carried.count == 2 && adoption.carried[record(2).key]?.hops == 0 && adoption.carried[record(1).key]?.hops == 1)
    pass(.seconds(1))
    #expect(kernel.on.count == 2 && adoption.takeTold().isEmpty)
    adoption.stop()
    adoption.promote(with: [record(2)])
    #expect(adoption.carried[record(2).key]?.hops == 1)
  }

  /// pppd has run its script for what it carried itself when that came up, and cannot for its end.
  @Test func linksComeUpAndGo() {
    adoption.follow([record(1), record(2)])
    adoption.turn()
    #expect(adoption.takeEvents().isEmpty)
    adoption.promote(with: [record(1), record(2)])
    adoption.take([record(3)])
    adoption.turn()
    let up = adoption.takeEvents()
    #expect(up.map(\.record) == [record(1), record(2)] && up.allSatisfy { $0.isUp && $0.interface.hasPrefix("ppp") })
    adoption.stop()
    let down = adoption.takeEvents()
    #expect(down.map(\.record.session).sorted() == [record(1), record(2), record(3)].map(\.session).sorted() && down.allSatisfy { !$0.isUp })
    #expect(adoption.takeEvents().isEmpty)
    // A standby's links were never up.
    adoption.follow([record(1)])
    adoption.turn()
    adoption.stop()
    #expect(adoption.takeEvents().isEmpty)
  }

  /// Totals go on from what the last node has told, and only who is gone for good is over.
  @Test func anAccountGoesOn() {
    func accounted(_ number: UInt16) -> SessionRecord {
      var record = record(number)
      record.account = SessionAccount(constant: [44, 3, 65], began: 1, totals: AccountTotals(octetsIn: 100, octetsOut: 200, packetsIn: 1, packetsOut: 2))
      return record
    }
    var first = accounted(1)
    adoption.follow([first, accounted(2), accounted(3)])
    adoption.turn()
    let made = sockets(first)
    first.account?.totals.octetsIn = 150
    adoption.follow([first, accounted(2), accounted(3)])
    #expect(sockets(first) == made)
    adoption.promote(with: [first, accounted(2), accounted(3)])
    adoption.turn()
    kernel.traffic[kernel.sessions[first.key]!.interface] = AccountTotals(octetsIn: 7, octetsOut: 8, packetsIn: 9, packetsOut: 10)
    let told = AccountTotals(octetsIn: 157, octetsOut: 208, packetsIn: 10, packetsOut: 12)
    #expect(adoption.carried[first.key]?.account?.totals.octetsIn == 150)
    #expect(adoption.publish(first.key)?.account?.totals == told && adoption.publish(first.key)?.account?.totals == told)
    #expect(adoption.carried[first.key]?.account?.totals == told && adoption.takeEnds().isEmpty)
    kernel.arrive(.bytes(message(.stop, first)), on: made.control)
    adoption.turn()
    #expect(adoption.takeEnds().map(\.cause) == [.userRequest])
    adoption.giveWay(to: accounted(2))
    let ends = adoption.takeEnds()
    #expect(ends.map(\.cause) == [.lostCarrier] && ends[0].record.remote == record(2).remote && adoption.takeEnds().isEmpty)
    // The other node has it.
    adoption.stop()
    #expect(adoption.takeEnds().isEmpty)
    var refused = accounted(4)
    refused.sendsSequences = true
    adoption.promote(with: [refused])
    adoption.turn()
    #expect(adoption.takeEnds().map(\.cause) == [.lostService] && adoption.takeTold() == [refused])
  }

  @Test func aStandbyIsReadyForThoseThatItCanSpeakTo() {
    var refused = record(3)
    refused.sendsSequences = true
    adoption.follow([record(1), record(2), refused])
    #expect(adoption.ready(for: [record(1).peer, record(2).peer]) == 0)
    adoption.turn()
    #expect(adoption.ready(for: []) == 0)
    #expect(adoption.ready(for: [record(1).peer]) == 1)
    // Its client will be told.
    #expect(adoption.ready(for: [record(1).peer, record(2).peer, refused.peer]) == 3)
  }

  @Test func allCanBeTold() {
    promoted([record(1), record(2)])
    kernel.errors = [.exists]
    adoption.take([record(3)])
    adoption.tellAll()
    #expect(Set(adoption.takeTold().map(\.key)) == Set([1, 2, 3].map { record($0).key }) && adoption.carried.isEmpty && kernel.open.isEmpty)
  }

  @Test func signsOfLifeAreRepeatedUntilTheClientIsHeard() {
    let one = record(1)
    promoted([one])
    let channel = sockets(one).channel
    pass(.seconds(2))
    let early = kernel.sent.filter { $0.bytes == LinkAnswer.signOfLife }.count
    #expect(early >= 9 && kernel.sent.allSatisfy { $0.socket == channel })
    kernel.arrive(.bytes([0xc0, 0x21, 10, 1, 0, 8, 1, 2, 3, 4]), on: channel)
    pass(.seconds(1))
    kernel.clearSent()
    pass(.seconds(60))
    #expect(kernel.sent.allSatisfy { $0.bytes[2] == 9 } && (5...7).contains(kernel.sent.count))
  }

  @Test func aClientThatIsGoneIsGivenUpAndTold() {
    let (one, two) = (record(1), record(2))
    promoted([one, two])
    for _ in 0..<20 {
      kernel.arrive(.bytes([0xc0, 0x21, 9, 1, 0, 8, 1, 2, 3, 4]), on: sockets(two).channel)
      pass(.seconds(5))
    }
    #expect(adoption.carried.keys.sorted() == [two.key] && adoption.takeTold() == [one] && adoption.takeTold().isEmpty)
    #expect(lines.all.contains { $0.contains("has not answered") })
  }

  @Test func anEchoAndAHelloAreAnsweredWithTheirOwnNumbers() throws {
    let one = record(1)
    promoted([one])
    kernel.clearSent()
    kernel.arrive(.bytes([0xc0, 0x21, 9, 77, 0, 10, 1, 2, 3, 4, 5, 6]), on: sockets(one).channel)
    kernel.arrive(.bytes(message(.hello, one, number: 0xffff, expected: 3)), on: sockets(one).control)
    adoption.turn()
    #expect(kernel.sent.contains { $0.socket == sockets(one).channel && $0.bytes == [0xc0, 0x21, 10, 77, 0, 10, 0, 0, 0, 0, 5, 6] })
    let answer = try ControlMessage(try #require(kernel.sent.first { $0.socket == sockets(one).control }).bytes)
    #expect(answer.isAcknowledgement && answer.tunnel == one.peerTunnel && answer.number == 3 && answer.expected == 0)
  }

  @Test func aClientThatHangsUpIsAnsweredAndItsTunnelWaitsForItsEnd() {
    let one = record(1)
    promoted([one])
    let control = sockets(one).control
    kernel.arrive(.bytes([0xc0, 0x21, 5, 4, 0, 4]), on: sockets(one).channel)
    adoption.turn()
    #expect(kernel.sent.last?.bytes == [0xc0, 0x21, 6, 4, 0, 4] && adoption.carried.isEmpty && kernel.open.count == 2)
    kernel.clearSent()
    kernel.arrive(.bytes(message(.callDisconnect, one, session: one.session)), on: control)
    adoption.turn()
    #expect(kernel.sent.map(\.socket) == [control] && kernel.open.isEmpty && adoption.takeTold().isEmpty)
    #expect(adoption.takeEmptied() == [one] && adoption.takeEmptied().isEmpty)
  }

  @Test func aClientThatEndsItsTunnelHearsNothingMore() {
    let one = record(1)
    promoted([one])
    kernel.clearSent()
    kernel.arrive(.bytes(message(.stop, one, number: 8)), on: sockets(one).control)
    adoption.turn()
    #expect(kernel.sent.count == 1 && kernel.open.isEmpty && adoption.takeTold().isEmpty && adoption.takeEmptied().isEmpty)
  }

  @Test func atunnelWithoutSessionsIsNotKeptForEver() {
    let one = record(1)
    promoted([one])
    kernel.arrive(.bytes([0xc0, 0x21, 5, 4, 0, 4]), on: sockets(one).channel)
    pass(.seconds(30))
    #expect(kernel.open.count == 2)
    pass(.seconds(5))
    #expect(kernel.open.isEmpty && adoption.takeEmptied() == [one])
  }

  @Test func oneCallOfTwoEnds() {
    let (one, two) = (record(1, tunnel: 9), record(2, tunnel: 9))
    promoted([one, two])
    kernel.arrive(.bytes(message(.callDisconnect, one, session: one.session)), on: sockets(one).control)
    adoption.turn()
    #expect(adoption.carried.keys.sorted() == [two.key] && kernel.on.count == 1)
    // Of another tunnel's nothing is believed.
    var foreign = two
    foreign.tunnel = 77
    kernel.arrive(.bytes(message(.stop, foreign)), on: sockets(two).control)
    adoption.turn()
    #expect(adoption.carried.count == 1)
  }

  @Test func aClientThatDialsAnewFindsTheWayFree() {
    let one = record(1)
    promoted([one])
    kernel.clearSent()
    kernel.arrive(.bytes(ControlMessage(.startRequest, tunnel: 0, number: 0, expected: 0).bytes), on: sockets(one).control)
    adoption.turn()
    #expect(kernel.open.isEmpty && kernel.sent.isEmpty && adoption.takeTold().isEmpty && adoption.carried.isEmpty)
  }

  @Test func aLinkThatIsNegotiatedAnewIsTold() {
    for frame: [UInt8] in [[0xc0, 0x21, 1, 1, 0, 4], [0x80, 0x21, 1, 1, 0, 4]] {
      let (one, two) = (record(1, tunnel: 9), record(2, tunnel: 9))
      promoted([one, two])
      kernel.arrive(.bytes(frame), on: frame[0] == 0xc0 ? sockets(one).channel : sockets(one).unit)
      adoption.turn()
      #expect(kernel.open.isEmpty && !adoption.takeTold().isEmpty)
      adoption.stop()
    }
  }

  @Test func whatCannotBeCarriedIsToldAtOnceAndWhatMayBeLater() {
    var sequenced = record(1)
    sequenced.receivesSequences = true
    promoted([sequenced])
    #expect(adoption.takeTold() == [sequenced] && kernel.open.isEmpty)
    adoption.stop()

    let two = record(2)
    for step in 0..<3 {
      // Tunnel, session and switch.
      adoption.promote(with: [two])
      if step == 2 {
        // The switch fails for good: nothing half made stays.
        kernel.errors = []
        adoption.stop()
        adoption.follow([two])
        adoption.turn()
        kernel.errors = [.noSuchDeviceOrAddress]
        adoption.promote(with: [two])
        #expect(adoption.takeTold() == [two])
      } else {
        kernel.errors = Array(repeating: .exists, count: 2)
        pass(.seconds(1))
        #expect(adoption.carried.count == 1 && adoption.count == 1 && kernel.on.count == 1, "\(step)")
      }
      adoption.stop()
      #expect(kernel.open.isEmpty, "\(step)")
    }

    adoption.promote(with: [two])
    kernel.errors = Array(repeating: .exists, count: 1000)
    pass(.seconds(6))
    #expect(adoption.takeTold() == [two] && kernel.open.isEmpty && adoption.carried.isEmpty)
  }

  @Test func aTunnelThatIsSomebodyElsesIsNotMixedUp() {
    var (one, two) = (record(1), record(2))
    two.tunnel = one.tunnel
    adoption.follow([one, two])
    adoption.turn()
    #expect(adoption.count == 1 && adoption.problem != nil)
    one = record(3)
    adoption.follow([one])
    adoption.turn()
    #expect(adoption.count == 1 && adoption.problem == nil)
  }

  @Test func aDialledSessionReplacesTheCarriedOne() {
    let (one, two) = (record(1), record(2))
    promoted([one, two])
    var again = one
    (again.tunnel, again.session) = (500, 501)
    adoption.giveWay(to: again)
    #expect(adoption.carried.keys.sorted() == [two.key] && adoption.takeTold().isEmpty)
    // Somebody else was given the address: the one that had it is told.
    var other = two
    (other.tunnel, other.session, other.user) = (600, 601, "mallory")
    adoption.giveWay(to: other)
    #expect(adoption.carried.isEmpty && adoption.takeTold() == [two])
  }

  @Test func whatTheKernelEndsIsToldWhenPromotedOnly() {
    let one = record(1)
    adoption.follow([one])
    adoption.turn()
    kernel.arrive(.gone, on: sockets(one).channel)
    adoption.turn()
    #expect(adoption.takeTold().isEmpty && adoption.count == 0)
    adoption.follow([one])
    adoption.turn()
    adoption.promote(with: [one])
    kernel.arrive(.gone, on: sockets(one).unit)
    // An empty datagram is no end.
    kernel.arrive(.gone, on: sockets(one).control)
    adoption.turn()
    #expect(adoption.takeTold() == [one] && kernel.open.isEmpty)
  }

  /// Whatever clients send, no session but their own is touched, every descriptor is closed once, and turns end.
  @Test(arguments: 0..<UInt64(200)) func hostileClients(seed: UInt64) {
    var random = SplitMix(seed: seed)
    let records = (1...6).map { record($0, tunnel: $0 > 4 ? 4 : 0) }
    let honest = record(40)
    promoted(records + [honest])
    for _ in 0..<300 {
      guard let record = records.randomElement(using: &random), let tunnel = kernel.tunnels[record.tunnel], let session = kernel.sessions[record.key],
        let socket = [tunnel.control, session.channel, session.unit].randomElement(using: &random)
      else { continue }
      kernel.arrive(random.input(for: record), on: socket)
      if .random(in: 0..<4, using: &random) == 0 {
        kernel.arrive(.bytes([0xc0, 0x21, 10, 1, 0, 8, 1, 2, 3, 4]), on: sockets(honest).channel)
        clock.advance(by: .milliseconds(.random(in: 0...3000, using: &random)))
        adoption.turn()
      }
    }
    #expect(adoption.carried[honest.key] != nil)
    #expect(Set(adoption.takeTold()).isSubset(of: Set(records)))
    adoption.stop()
    #expect(kernel.open.isEmpty)
  }
}

extension SplitMix {
  mutating func input(for record: SessionRecord) -> SessionInput {
    switch Int.random(in: 0..<12, using: &self) {
    case 0: return .problem
    case 1: return .gone
    case 2: return .bytes((0..<Int.random(in: 1...64, using: &self)).map { _ in .random(in: 0...255, using: &self) })
    case 3..<7:
      let proto = [0xc021, 0x8021, 0x80fd, 0x8057, 0xc223, 0x0021].randomElement(using: &self) ?? 0
      var frame = [UInt8(proto >> 8), UInt8(proto & 0xff), .random(in: 0...12, using: &self), .random(in: 0...255, using: &self), 0]
      frame += [.random(in: 0...20, using: &self)] + (0..<Int.random(in: 0...16, using: &self)).map { _ in .random(in: 0...255, using: &self) }
      return .bytes(frame)
    default:
      let kinds: [ControlMessage.Kind] = [.startRequest, .startReply, .stop, .hello, .incomingCallRequest, .callDisconnect]
      let message = ControlMessage(
        kinds.randomElement(using: &self) ?? .hello, tunnel: [record.tunnel, 0, .random(in: 0...9, using: &self)].randomElement(using: &self) ?? 0,
        session: [0, record.session, .random(in: 0...400, using: &self)].randomElement(using: &self) ?? 0, number: .random(in: 0...65535, using: &self),
        expected: .random(in: 0...65535, using: &self), [.number(.assignedSession, UInt16.random(in: 0...400, using: &self))])
      let bytes = message.bytes
      return .bytes(.random(in: 0..<4, using: &self) == 0 ? Array(bytes.prefix(.random(in: 1...bytes.count, using: &self))) : bytes)
    }
  }
}
