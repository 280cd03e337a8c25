import HostTestKit
import Host
import Testing

@testable import Ledger

struct ReplicaTests {
  static func records(_ numbers: Range<Int>) throws -> [SessionRecord] { try numbers.map { try Pair.record($0) } }

  @Test("two nodes find each other, and what one carries the other holds, as it comes and goes")
  func replicates() throws {
    let pair = try Pair()
    #expect(pair.a.standing(at: pair.now).link == .never)
    try pair.a.replace(all: Self.records(0..<3), at: pair.now)
    #expect(pair.a.standing(at: pair.now).unacknowledged == 3)
    pair.run(for: .milliseconds(200))
    #expect(pair.b.held == (try Self.records(0..<3)))
    try pair.a.put(Pair.record(9), at: pair.now)
    pair.a.remove(try Pair.record(1).key, at: pair.now)
    try pair.a.put(Pair.record(2, user: "bob"), at: pair.now)
    #expect(pair.a.standing(at: pair.now).unacknowledged == 3)
    pair.run(for: .milliseconds(100))
    #expect(pair.b.held == [try Pair.record(0), try Pair.record(2, user: "bob"), try Pair.record(9)])
    pair.run(for: .seconds(2))
    let (here, there) = (pair.a.standing(at: pair.now), pair.b.standing(at: pair.now))
    #expect(here.link == .connected && here.unacknowledged == 0 && here.own == 3 && here.peerCarries == nil && here.refused == 0)
    #expect(there.link == .connected && there.held == 3 && there.peerCarries == 3 && there.own == 0 && there.refused == 0)
    #expect(there.lines.contains("peer-carries 3") && there.lines.contains("link connected"))
  }

  @Test("two thousand sessions, in datagrams that fit everywhere")
  func many() throws {
    let pair = try Pair()
    let all = try Self.records(0..<2000)
    try pair.a.replace(all: all, at: pair.now)
    pair.run(for: .seconds(2))
    #expect(pair.b.held == all)
    #expect(pair.recorded.allSatisfy { $0.bytes.count <= 1280 - 48 })
  }

  @Test("datagrams that are lost, doubled, late and out of order change nothing but the time", arguments: 1...8)
  func rough(seed: Int) throws {
    let pair = try Pair()
    var random = SplitMix(seed: UInt64(seed))
    var late: [Bool: [[UInt8]]] = [:]
    pair.network = { toB, datagrams in
      var arriving = late[toB] ?? []
      late[toB] = []
      for datagram in datagrams {
        switch Int.random(in: 0..<10, using: &random) {
        case 0...2: break
        case 3: arriving += [datagram, datagram]
        case 4: late[toB]?.append(datagram)
        default: arriving.append(datagram)
        }
      }
      return arriving.shuffled(using: &random)
    }
    var expected: [SessionKey: SessionRecord] = [:]
    try pair.a.replace(all: Self.records(0..<100), at: pair.now)
    for record in try Self.records(0..<100) { expected[record.key] = record }
    for _ in 0..<300 {
      let record = try Pair.record(.random(in: 0..<150, using: &random), user: "u\(Int.random(in: 0..<9, using: &random))")
      if Bool.random(using: &random) {
        try pair.a.put(record, at: pair.now)
        expected[record.key] = record
      } else {
        pair.a.remove(record.key, at: pair.now)
        expected[record.key] = nil
      }
      pair.run(for: .milliseconds(20))
    }
    pair.run(for: .seconds(30))
    let isSame = pair.b.held == expected.values.sorted { $0.key < $1.key }
    #expect(isSame)
    #expect(pair.a.standing(at: pair.now).unacknowledged == 0)
  }

  @Test("a break is seen, and is over when it is over; what waits meanwhile is bounded by the sessions")
  func broken() throws {
    let pair = try Pair()
    try pair.a.replace(all: Self.records(0..<10), at: pair.now)
    pair.run(for: .milliseconds(100))
    pair.network = { _, _ in [] }
    for round in 0..<1000 {
      try pair.a.put(Pair.record(3, user: "\(round)"), at: pair.now)
      pair.run(for: .milliseconds(10))
    }
    let standing = pair.a.standing(at: pair.now)
    #expect(standing.link == .silent)
    #expect(standing.secondsSinceWord.map { $0 >= 9 } == true)
    #expect((1...Outgoing.window + 1).contains(standing.unacknowledged))
    // A peer that is not there is not shouted at.
    let before = pair.recorded.count
    pair.run(for: .seconds(10))
    #expect(pair.recorded.count - before < 250)
    pair.network = { $1 }
    pair.run(for: .seconds(2))
    #expect(pair.b.held.contains(try Pair.record(3, user: "999")))
    #expect(pair.a.standing(at: pair.now).link == .connected)
    #expect(pair.a.standing(at: pair.now).unacknowledged == 0)
  }

  @Test("a standby that was started again is told everything again")
  func standbyRestarts() throws {
    let pair = try Pair()
    try pair.a.replace(all: Self.records(0..<50), at: pair.now)
    pair.run(for: .milliseconds(100))
    pair.b = try Replica(key: Pair.key)
    #expect(pair.b.held.isEmpty)
    pair.run(for: .milliseconds(300))
    #expect(pair.b.held == (try Self.records(0..<50)))
  }

  @Test("a serving ledger that was started again takes nothing from the standby before it knows its sessions")
  func servingRestarts() throws {
    let pair = try Pair()
    try pair.a.replace(all: Self.records(0..<50), at: pair.now)
    pair.run(for: .milliseconds(100))
    pair.a = try Replica(key: Pair.key)
    pair.run(for: .seconds(2))
    #expect(pair.b.held.count == 50)
    try pair.a.replace(all: Self.records(10..<50), at: pair.now)
    pair.run(for: .milliseconds(300))
    #expect(pair.b.held == (try Self.records(10..<50)))
  }

  @Test("there and back: what was adopted is this node's, and the old one is brought up to date")
  func changesHands() throws {
    let pair = try Pair()
    try pair.a.replace(all: Self.records(0..<5), at: pair.now)
    pair.run(for: .milliseconds(100))
    pair.a.withdraw()
    pair.run(for: .milliseconds(50))
    let adopted = pair.b.takeHeld().map { record in
      var record = record
      record.hops += 1
      return record
    }
    #expect(adopted.count == 5)
    #expect(pair.b.held.isEmpty)
    try pair.b.replace(all: adopted, at: pair.now)
    pair.run(for: .milliseconds(100))
    #expect(pair.a.held == adopted)
    #expect(pair.a.standing(at: pair.now).own == 0)
    #expect(pair.b.standing(at: pair.now).peerCarries == nil)
    pair.run(for: .seconds(2))
    #expect(pair.a.standing(at: pair.now).peerCarries == 5)
  }

  @Test("a take-over in the middle of a new beginning loses nothing of what was known before")
  func interrupted() throws {
    let pair = try Pair()
    try pair.a.replace(all: Self.records(0..<400), at: pair.now)
    pair.run(for: .milliseconds(500))
    pair.a = try Replica(key: Pair.key)
    try pair.a.replace(all: Self.records(0..<400), at: pair.now)
    var passed = 0
    pair.network = { toB, datagrams in
      guard toB else { return datagrams }
      return datagrams.filter { datagram in
        guard datagram[5] == Envelope.Kind.changes.rawValue else { return true }
        passed += 1
        return passed <= 2
      }
    }
    pair.run(for: .milliseconds(500))
    #expect(passed > 2)
    #expect(pair.b.held.count == 400)
  }

  @Test("a ledger has an end, and says so: what is one too many is refused, and the others are kept")
  func full() throws {
    let pair = try Pair()
    let many = try (0...Replica.limit).map { number in
      var record = try Pair.record(number)
      record.session = UInt16(1 + number % 60_000)
      return record
    }
    do {
      try pair.a.replace(all: many, at: pair.now)
      Issue.record("more than the limit were taken")
    } catch { #expect(error.kind == .full) }
    try pair.a.replace(all: many.dropLast(), at: pair.now)
    do {
      try pair.a.put(many[Replica.limit], at: pair.now)
      Issue.record("one more than the limit was taken")
    } catch { #expect(error.kind == .full) }
    #expect(pair.a.standing(at: pair.now).own == Replica.limit)
  }
}
