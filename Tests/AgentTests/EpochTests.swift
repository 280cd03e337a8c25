import Sessions
import Testing

@testable import StrongSwanAgent

/// Where an owner begins to send on SAs that others sent on before.
@Suite struct EpochTests {
  /// Packets that an owner may send on one SA, if it was negotiated long ago or taken over.
  static let room: UInt64 = 1 << 27

  @Test func everyOwnerBeginsBehindAllBefore() {
    // For many lives of an SA: who negotiates it sends as fast as nobody does, and every owner that follows fills its range.
    for begun in stride(from: UInt64(0), to: 31, by: 1) {
      for takenOver: UInt64 in [0, 1, 59, 1023, 1024, 3600, 20_000] {
        var epoch = Epoch(number: begun)
        var age = takenOver
        var last = age << 17
        var owners = 0
        while true {
          let next = epoch.next(atAge: age)
          // The ranges begin anew: then the rekeying has to heal it.
          if owners > 0, next.range < epoch.range { break }
          let first = UInt64(next.firstSequence(atAge: age))
          #expect(first > last, "owner \(owners) after \(begun), at \(age) s: \(first), after \(last)")
          epoch = next
          last = first + Self.room - 1
          owners += 1
          age += 1
        }
        #expect(owners > 0)
      }
    }
  }

  @Test func neverTheSameNumberAgain() {
    var seen: Set<UInt32> = []
    var epoch = Epoch(number: 0)
    for _ in 0..<31 {
      epoch = epoch.next(atAge: 0)
      #expect(seen.insert(epoch.firstSequence(atAge: 0)).inserted)
    }
    #expect(epoch.number == 31)
    #expect(epoch.firstSequence(atAge: 0) == 31 << 27)
    // The highest there is leaves its owner room in 32 bits.
    #expect(epoch.firstSequence(atAge: .max) == UInt32.max - (1 << 17) + 1)
    #expect(epoch.next(atAge: 0).firstSequence(atAge: 0) == 1 << 27)
  }

  /// Two owners of one epoch, which did not hear of each other, are apart by the SA's age.
  @Test func ageSeparatesWhatTheEpochDoesNot() {
    let epoch = Epoch(number: 5)
    for age in UInt64(0)..<1023 { #expect(epoch.firstSequence(atAge: age) + 1 << 17 == epoch.firstSequence(atAge: age + 1)) }
  }

  @Test(arguments: [
    (UInt64(0), UInt64(0), UInt64(1)), (0, 1023, 1), (0, 1024, 2), (0, 3600, 4), (3, 3600, 4), (7, 3600, 8), (30, 0, 31), (31, 0, 32),
    (31, 3600, 35), (0, 40_000, 31), (0, .max, 31), (.max, 0, 1),
  ]) func nextIsOutOfReach(_ number: UInt64, _ age: UInt64, _ next: UInt64) {
    #expect(Epoch(number: number).next(atAge: age).number == next)
  }

  @Test func whatIsNoNumberCountsAsNone() {
    #expect(Epoch.latest(of: [:]).number == 0)
    #expect(Epoch.latest(of: ["moon": "", "sun": "-1", "star": "9999999999999999999999"]).number == 0)
    #expect(Epoch.latest(of: ["moon": "4", "sun": "11"]).number == 11)
  }
}
