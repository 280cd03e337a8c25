import HostTestKit
import Glibc
import Host
import LinuxHost
import Testing

@testable import Sessions

/// What real pppds (2.4.9) wrote: three that serve a client each, their three peers in another network namespace, and what
/// some that were killed have left.
let recorded: [UInt8] = {
  let path = #filePath.split(separator: "/").dropLast().map { "/\($0)" }.joined() + "/pppd2.tdb"
  return (try? LinuxFiles().read(path, limit: 1 << 20)) ?? []
}()

/// A database as pppd would write it, with every record in the first chain.
func database(_ records: [(key: String, value: String)], magic: UInt32 = 0x2601_1999) -> [UInt8] {
  var bytes = Array("TDB file\n".utf8)
  bytes += [UInt8](repeating: 0, count: 32 - bytes.count)
  func append(_ numbers: UInt32...) { for number in numbers { withUnsafeBytes(of: number) { bytes += $0 } } }
  append(0x2601_196d, 2, 0)  // version, chains, locks
  bytes += [UInt8](repeating: 0, count: 168 - bytes.count)
  append(0, records.isEmpty ? 0 : 180, 0)  // free space, two chains
  for (index, record) in records.enumerated() {
    let (key, value) = (Array(record.key.utf8), Array(record.value.utf8) + [0])
    let size = UInt32(24 + key.count + value.count)
    append(index + 1 == records.count ? 0 : UInt32(bytes.count) + size)
    append(UInt32(key.count + value.count), UInt32(key.count), UInt32(value.count), 0, magic)
    bytes += key + value
  }
  return bytes
}

@Suite struct PPPVariablesTests {
  @Test("what real pppds wrote")
  func real() throws {
    let variables = try #require(PPPVariables(recorded))
    #expect(variables.isWhole)
    for (pid, interface, remote) in [(Int32(969), "ppp0", "10.9.0.10"), (979, "ppp2", "10.9.0.11"), (980, "ppp1", "10.9.0.12")] {
      #expect(variables[pid, "PEERNAME"] == "probe" && variables[pid, "IFNAME"] == interface && variables[pid, "IPREMOTE"] == remote)
    }
    // A client's pppd, whose peer named itself to nobody.
    #expect(variables[968, "PEERNAME"] == nil && variables[968, "IFNAME"] == "ppp0")
    #expect(variables[1, "PEERNAME"] == nil)
  }

  @Test("records that are deleted, and keys that are not a process")
  func others() throws {
    let variables = try #require(
      PPPVariables(database([("IFNAME=ppp0", "pppd7"), ("pppd", "A=1"), ("pppdx", "A=1"), ("pppd-7", "A=1"), ("pppd0", "A=1"), ("pppd8", "A=1")])))
    #expect(variables[8, "A"] == "1" && variables[7, "A"] == nil && variables[0, "A"] == nil && variables[-7, "A"] == nil)
    let deleted = try #require(PPPVariables(database([("pppd8", "A=1")], magic: 0xfee1_dead)))
    #expect(deleted[8, "A"] == nil && deleted.isWhole)
  }

  @Test(
    "a peer names itself, and cannot name anything else",
    arguments: [
      ("PEERNAME=alice;", "alice", "ppp0"), ("PEERNAME=a;b;", "a;b", "ppp0"), ("PEERNAME=a;IFNAME=ppp7;", "a", "ppp0"),
      ("PEERNAME=a;PEERNAME=root;", "a", "ppp0"), ("PEERNAME=a=b;", "a=b", "ppp0"), ("PEERNAME=;", "", "ppp0"),
      ("PEERNAME=a;lower=1;", "a;lower=1", "ppp0"), ("PEERNAME=a;=;", "a;=", "ppp0"),
    ])
  func names(text: String, user: String, interface: String) throws {
    let variables = try #require(PPPVariables(database([("pppd8", "PPPD_PID=8;IFNAME=ppp0;\(text)IPREMOTE=10.9.0.1")])))
    #expect(variables[8, "PEERNAME"] == user && variables[8, "IFNAME"] == interface)
  }

  @Test("what is no database of this kind")
  func otherFiles() {
    #expect(PPPVariables([]) == nil && PPPVariables(Array("TDB file\n".utf8)) == nil && PPPVariables([0x7f, 0x45, 0x4c, 0x46]) == nil)
    var newer = database([])
    newer[32] ^= 1
    #expect(PPPVariables(newer) == nil)
    // More chains than the file has room for.
    for chains: UInt32 in [3, 1000, .max] {
      var bytes = database([])
      withUnsafeBytes(of: chains) { bytes.replaceSubrange(36..<40, with: $0) }
      #expect(PPPVariables(bytes) == nil, "\(chains)")
    }
  }

  @Test("chains that go round in circles, lengths that lie, offsets that lead out")
  func lies() throws {
    func changed(_ place: Int, _ number: UInt32) throws -> PPPVariables {
      var bytes = database([("pppd8", "A=1"), ("pppd9", "A=2")])
      withUnsafeBytes(of: number) { bytes.replaceSubrange(place..<(place + 4), with: $0) }
      return try #require(PPPVariables(bytes))
    }
    #expect(try changed(180, 180)[8, "A"] == "1")  // its own successor
    #expect(try !changed(180, 180).isWhole)
    for number: UInt32 in [1, 4000, .max - 3, .max] {
      #expect(try !changed(172, number).isWhole, "a chain at \(number)")
      #expect(try !changed(180, number).isWhole, "a successor at \(number)")
    }
    for place in [188, 192] { for number: UInt32 in [100, 1 << 31, .max] { #expect(try !changed(place, number).isWhole) } }
    #expect(try !changed(200, 0xd9fe_e666).isWhole)  // free space in a chain of records
  }

  @Test("every length of the real one")
  func truncated() {
    for count in stride(from: 0, to: recorded.count, by: 7) {
      let variables = PPPVariables(Array(recorded[..<count]))
      #expect(variables == nil || count >= 168)
    }
  }

  /// `VPNHA_MUTATIONS` sets how many rounds; a failure names its seed.
  @Test func survivesMutations() {
    let rounds = (getenv("VPNHA_MUTATIONS").flatMap { Int(String(cString: $0)) } ?? 20_000) / 20
    var read = 0
    for seed in 0..<UInt64(rounds) {
      var generator = SplitMix(seed: seed)
      func next(_ limit: Int) -> Int { Int(generator.next() % UInt64(limit)) }
      var bytes = recorded
      for _ in 0...next(6) {
        switch next(4) {
        case 0: bytes[next(bytes.count)] = UInt8(next(256))
        case 1:
          let place = next(bytes.count / 4) * 4
          let number = [0, 1, UInt32(next(9000)), .max, 1 << 31][next(5)]
          if place + 4 <= bytes.count { withUnsafeBytes(of: number) { bytes.replaceSubrange(place..<(place + 4), with: $0) } }
        case 2: bytes.removeLast(next(min(512, bytes.count)))
        default: bytes.swapAt(next(bytes.count), next(bytes.count))
        }
      }
      if let variables = PPPVariables(bytes) {
        read += 1
        // A byte may become the three of U+FFFD.
        if let user = variables[969, "PEERNAME"], user.utf8.count > 3 * 16_384 { Issue.record("seed \(seed): \(user.utf8.count) bytes") }
      }
    }
    #expect(read > rounds / 2)
  }
}
