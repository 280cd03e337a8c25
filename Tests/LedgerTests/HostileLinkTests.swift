import HostTestKit
import Host
import Testing

@testable import Ledger

/// Somebody on the link who can read, keep, change, hold back and send whatever he wants, and has no key.
struct HostileLinkTests {
  static func connected(_ count: Int = 5) throws -> Pair {
    let pair = try Pair()
    try pair.a.replace(all: ReplicaTests.records(0..<count), at: pair.now)
    pair.run(for: .milliseconds(200))
    return pair
  }

  @Test("nothing that a session consists of can be read on the link, and no message is like another")
  func encrypted() throws {
    let pair = try Self.connected()
    let name = Array("alice".utf8)
    for (_, bytes) in pair.recorded {
      #expect(!bytes.indices.contains { bytes[$0...].starts(with: name) })
    }
    #expect(Set(pair.recorded.map { Array($0.bytes[38..<46]) + $0.bytes[6..<22] }).count == pair.recorded.count)
  }

  @Test("everything that was ever said, said again to either end, changes nothing")
  func replayed() throws {
    let pair = try Self.connected()
    pair.a.remove(try Pair.record(0).key, at: pair.now)
    pair.run(for: .milliseconds(100))
    let tape = pair.recorded
    let before = pair.b.held
    for (_, bytes) in tape {
      pair.a.receive(bytes, at: pair.now)
      pair.b.receive(bytes, at: pair.now)
    }
    #expect(pair.b.held == before)
    #expect(pair.a.held.isEmpty)
    pair.run(for: .seconds(2))
    #expect(pair.b.held == before)
    #expect(pair.a.standing(at: pair.now).link == .connected && pair.b.standing(at: pair.now).link == .connected)
    #expect(pair.b.standing(at: pair.now).refused > 0)
  }

  @Test("the tape of an earlier life tells a new one nothing, whether its peer is there or not")
  func earlierLife() throws {
    let pair = try Self.connected()
    let tape = pair.recorded
    pair.b = try Replica(key: Pair.key)
    for round in 0..<3 {
      for (_, bytes) in tape {
        pair.b.receive(bytes, at: pair.now)
        _ = pair.b.due(at: pair.now)
      }
      pair.now = pair.now + .seconds(1 + round)
    }
    #expect(pair.b.held.isEmpty)
    #expect(pair.b.standing(at: pair.now).link == .never)
    pair.run(for: .seconds(3))
    #expect(pair.b.held.count == 5)
  }

  @Test("words that were held back do not bring a dead peer's life back")
  func heldBack() throws {
    let pair = try Pair()
    var withheld: [[UInt8]] = []
    // The first life of a hears b's challenge; what it says of it is held back.
    try pair.a.replace(all: ReplicaTests.records(0..<5), at: pair.now)
    pair.network = { toB, datagrams in
      guard toB else { return datagrams }
      withheld += datagrams
      return datagrams.filter { Array($0[22..<38]) == Envelope.nobody }
    }
    pair.run(for: .seconds(2))
    #expect(withheld.contains { Array($0[22..<38]) != Envelope.nobody })
    pair.network = { $1 }
    pair.a = try Replica(key: Pair.key)
    try pair.a.replace(all: ReplicaTests.records(7..<9), at: pair.now)
    pair.run(for: .seconds(2))
    #expect(pair.b.held.count == 2)
    for bytes in withheld { pair.b.receive(bytes, at: pair.now) }
    pair.run(for: .seconds(3))
    #expect(pair.b.held == (try ReplicaTests.records(7..<9)))
    #expect(pair.b.standing(at: pair.now).link == .connected)
  }

  @Test("any bit that was changed on the way makes a datagram worthless, and no end falls over")
  func forged() throws {
    let pair = try Self.connected()
    let tape = pair.recorded.filter(\.toB).map(\.bytes)
    let held = pair.b.held
    for bytes in tape {
      for index in stride(from: 0, to: bytes.count, by: 7) {
        var other = bytes
        other[index] ^= 0x10
        // As new as can be.
        if index >= 46 { other[38] = 1 }
        pair.b.receive(other, at: pair.now)
        pair.b.receive(Array(bytes.prefix(index)), at: pair.now)
      }
    }
    var random = SplitMix(seed: 5)
    for _ in 0..<2000 {
      let size = Int.random(in: 0..<1600, using: &random)
      pair.b.receive((0..<size).map { _ in .random(in: 0...255, using: &random) }, at: pair.now)
    }
    #expect(pair.b.held == held)
    pair.run(for: .seconds(2))
    #expect(pair.b.standing(at: pair.now).link == .connected)
  }

  @Test("what one end says does not pass as the other's")
  func reflected() throws {
    let pair = try Self.connected()
    for (toB, bytes) in pair.recorded { toB ? pair.a.receive(bytes, at: pair.now) : pair.b.receive(bytes, at: pair.now) }
    #expect(pair.a.held.isEmpty)
    #expect(pair.b.held.count == 5)
  }

  @Test("another key is called so, and nothing comes of it; when it is put right, everything is")
  func otherKey() throws {
    let pair = try Pair()
    let other = try LedgerKey([UInt8](repeating: 8, count: 40))
    pair.b = try Replica(key: other)
    try pair.a.replace(all: ReplicaTests.records(0..<5), at: pair.now)
    pair.run(for: .seconds(3))
    #expect(pair.a.standing(at: pair.now).link == .otherKey)
    #expect(pair.b.standing(at: pair.now).link == .otherKey)
    #expect(pair.b.held.isEmpty)
    pair.b = try Replica(key: Pair.key)
    pair.run(for: .seconds(2))
    #expect(pair.b.held.count == 5)
    #expect(pair.a.standing(at: pair.now).link == .connected)
    // And when the peer comes back with another one: both know it.
    pair.b = try Replica(key: other)
    pair.run(for: .seconds(5))
    #expect(pair.a.standing(at: pair.now).link == .otherKey)
    #expect(pair.b.standing(at: pair.now).link == .otherKey)
  }

  @Test("another version is called so, and harms no link that stands")
  func otherVersion() throws {
    let pair = try Pair()
    pair.network = { _, datagrams in
      datagrams.map { datagram in
        var datagram = datagram
        datagram[4] = 9
        return datagram
      }
    }
    pair.run(for: .seconds(2))
    #expect(pair.a.standing(at: pair.now).link == .otherVersion(9))
    let connected = try Self.connected()
    connected.b.receive(Envelope.mark + [9] + [UInt8](repeating: 0, count: 60), at: connected.now)
    #expect(connected.b.standing(at: connected.now).link == .connected)
  }

  @Test("a flood of strangers is examined in small doses, answered in smaller ones, and disturbs no link that stands")
  func flooded() throws {
    let pair = try Self.connected()
    let stranger = try Replica(key: Pair.key)
    var answers = 0
    for _ in 0..<20 {
      for _ in 0..<500 {
        let hello = Envelope(kind: .hello, sender: Envelope.newName(), receiver: Envelope.nobody, number: 1).bytes
        pair.b.receive(hello + [UInt8](repeating: 0, count: 49), at: pair.now)
      }
      answers += pair.b.due(at: pair.now).filter { $0[5] == Envelope.Kind.hello.rawValue }.count
      pair.run(for: .milliseconds(100))
    }
    #expect(answers == 0)
    // Even one who has the key is not answered at will.
    for _ in 0..<100 {
      pair.now = pair.now + .milliseconds(1)
      for hello in stranger.due(at: pair.now) { pair.b.receive(hello, at: pair.now) }
      answers += pair.b.due(at: pair.now).filter { $0[5] == Envelope.Kind.hello.rawValue }.count
    }
    #expect(answers <= 3)
    pair.run(for: .seconds(1))
    #expect(pair.b.held.count == 5)
    #expect(pair.b.standing(at: pair.now).link == .connected)
  }

  @Test("a real pair of sockets does the same")
  func sockets() throws {
    let (here, there) = (try #require(IPAddress("127.0.0.2")), try #require(IPAddress("127.0.0.3")))
    let port = UInt16.random(in: 20_000..<30_000)
    let pair = try Pair()
    let a = try ReplicaSocket(source: here, peer: there, port: port)
    let b = try ReplicaSocket(source: there, peer: here, port: port)
    try pair.a.replace(all: ReplicaTests.records(0..<500), at: pair.now)
    for _ in 0..<500 where pair.b.held.count < 500 {
      a.pump(pair.a, at: pair.now)
      b.pump(pair.b, at: pair.now)
      pair.now = pair.now + .milliseconds(10)
    }
    #expect(pair.b.held.count == 500)
    #expect(throws: SystemError.self) { try ReplicaSocket(source: here, peer: there, port: port) }
  }
}
