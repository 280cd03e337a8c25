import HostTestKit
import Glibc
import Testing

@testable import VICI

@Suite struct PacketTests {
  @Test func writesWhatSwanctlWrites() throws {
    #expect(try Packet.request("stats", Message()).encoded() == Corpus.statsRequest)
    #expect(try Packet.register("list-sa").encoded() == Corpus.listSAs)
    var request = Message()
    request.append("child", "c1")
    request.append("ike", "i1")
    request.append("timeout", 5000)
    request.append("loglevel", 1)
    #expect(try Packet.request("initiate", request).encoded() == Corpus.initiate)
    request.entries.insert(Message.Entry("force", .text(Array("yes".utf8))), at: 2)
    #expect(try Packet.request("terminate", request).encoded() == Corpus.terminate)
    #expect(try Packet.request("stats", Message()).segment() == [0, 0, 0, 7] + Corpus.statsRequest)
  }

  @Test(arguments: Corpus.all) func readsAndWritesTheSame(_ bytes: [UInt8]) throws {
    #expect(try Packet(decoding: bytes).encoded() == bytes)
  }

  @Test func readsNestedSections() throws {
    guard case .event("list-sa", let message) = try Packet(decoding: Corpus.listedSA) else {
      Issue.record("not an event")
      return
    }
    let sa = try #require(message.section("l2tp"))
    #expect(sa.number("uniqueid") == 9)
    #expect(sa.list("tasks-queued") == ["QUICKMODE"])
    #expect(sa.section("child-sas")?.section("l2tp-12")?.text("spi-in") == "c0ffee01")
    #expect(sa.text("absent") == nil)
    #expect(sa.number("state") == nil)
  }

  /// A message has no end marker, so a cut between two elements of the top level is a shorter message. Anywhere else it is
  /// malformed, and nowhere does it trap.
  @Test(arguments: Corpus.all) func truncatedAtEveryOffset(_ bytes: [UInt8]) throws {
    let whole = try Packet(decoding: bytes)
    for end in 0..<bytes.count {
      do throws(VICIError) {
        let part = try Packet(decoding: bytes[..<end])
        #expect(try part.encoded() == Array(bytes[..<end]))
        #expect(part != whole)
      } catch {
        #expect(error.kind == .malformed)
      }
    }
  }

  @Test(arguments: [
    ("", "an empty packet"),
    ("08", "packet type 8"),
    ("01 09", "element type 9 at byte 0"),
    ("01 00", "element type 0 at byte 0"),
    ("01 02", "a section ends that was not begun at byte 0"),
    ("01 06", "a list ends that was not begun at byte 0"),
    ("01 05 0001 'x'", "a list item outside a list at byte 0"),
    ("01 04 01 'l' 04 01 'm' 06 06", "an element of type 4 inside a list at byte 3"),
    ("01 04 01 'l' 03 01 'k' 0001 'v' 06", "an element of type 3 inside a list at byte 3"),
    ("01 04 01 'l' 05 0001 'x'", "list \"l\" is cut off"),
    ("01 01 01 's'", "section \"s\" is cut off"),
    ("01 03 01 'k' ffff 'v'", "a value of 65535 bytes at byte 5, 1 are left"),
    ("01 03 ff 'k'", "a name of 255 bytes at byte 2, 1 are left"),
    ("01 03 01 'k' 00", "a value is cut off at byte 4"),
    ("05 00", "1 bytes after a packet of type 5"),
    ("00", "a name is cut off at byte 1"),
  ]) func saysWhatIsMalformed(_ notation: String, _ detail: String) {
    #expect(throws: VICIError(.malformed, "reading a VICI message", detail)) {
      try Packet(decoding: Corpus.bytes(notation))
    }
  }

  @Test func refusesBottomlessSections() {
    var deep: [UInt8] = [1]
    for _ in 0..<100_000 { deep += [1, 0] }
    #expect(throws: VICIError(.malformed, "reading a VICI message", "sections nest deeper than 16")) {
      try Packet(decoding: deep)
    }
  }

  @Test func refusesWhatDoesNotFit() {
    var message = Message()
    message.append("key", String(repeating: "x", count: 65_536))
    #expect(throws: VICIError.self) { try Packet.request("a", message).encoded() }
    #expect(throws: VICIError.self) { try Packet.register(String(repeating: "x", count: 256)).encoded() }
    var large = Message()
    for _ in 0..<9 { large.append("key", String(repeating: "x", count: 65_535)) }
    #expect(throws: VICIError.self) { try Packet.request("a", large).encoded() }
  }

  /// Seeded changes of the corpus: whatever comes, the answer is a packet that can be written again, or `malformed`.
  /// `VPNHA_MUTATIONS` sets how many rounds; a failure names its seed.
  @Test func survivesMutations() throws {
    let rounds = getenv("VPNHA_MUTATIONS").flatMap { Int(String(cString: $0)) } ?? 20_000
    for seed in 0..<UInt64(rounds) {
      var generator = SplitMix(seed: seed)
      var bytes = Corpus.all[Int(generator.next() % UInt64(Corpus.all.count))]
      for _ in 0...Int.random(in: 0..<4, using: &generator) {
        switch Int.random(in: 0..<5, using: &generator) {
        case 0 where !bytes.isEmpty:
          bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
        case 1 where !bytes.isEmpty: bytes.removeSubrange(Int.random(in: 0..<bytes.count, using: &generator)...)
        case 2 where !bytes.isEmpty: bytes.remove(at: Int.random(in: 0..<bytes.count, using: &generator))
        case 3:
          let other = Corpus.all[Int.random(in: 0..<Corpus.all.count, using: &generator)]
          bytes.insert(contentsOf: other.dropFirst(), at: Int.random(in: 0...bytes.count, using: &generator))
        default:
          bytes.insert(UInt8.random(in: 0...7, using: &generator), at: Int.random(in: 0...bytes.count, using: &generator))
        }
      }
      let packet: Packet
      do throws(VICIError) { packet = try Packet(decoding: bytes) } catch {
        if error.kind != .malformed { Issue.record("seed \(seed): \(error)") }
        continue
      }
      do throws(VICIError) {
        // Names that are not UTF-8 are not kept byte for byte; what was read is stable all the same.
        if try Packet(decoding: try packet.encoded()) != packet { Issue.record("seed \(seed)") }
      } catch {
        // Three bytes of U+FFFD for one may make a name too long to be sent.
        if !error.operation.hasPrefix("writing") { Issue.record("seed \(seed): \(error)") }
      }
    }
  }
}
