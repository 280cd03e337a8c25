import Host
import HostTestKit
import RADIUS
import Testing

@testable import Ledger

struct RecordTests {
  @Test("a record, byte for byte")
  func layout() throws {
    var record = try Pair.record(1, user: "bö")
    record.receivesSequences = true
    let fixed: [UInt8] = [
      0, 2, 0, 1, 0, 77, 0, 78, 0x06, 0xa5, 0x05, 0x78, 1, 0, 0, 0, 0, 0, 0x65, 0x53, 0xf1, 0, 4, 203, 0, 113, 50, 4, 198, 51, 100, 7, 4, 10, 9, 0, 1, 4, 10, 9, 0, 1,
    ]
    let user: [UInt8] = [3, 0x62, 0xc3, 0xb6]
    // Attributes, beginning, interval, and four totals.
    let account: [UInt8] = [0, 4, 44, 4, 0x35, 0x46, 0, 0, 0, 0, 0, 0, 0, 0x65, 0, 0, 0, 60]
    let totals: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4]
    #expect(record.encoded() == fixed + user + account + totals)
    #expect(try SessionRecord(decoding: record.encoded()) == record)
  }

  @Test("IPv6 outside and inside; names of the longest kind, longer ones cut between characters")
  func extremes() throws {
    var record = try Pair.record(1)
    record.gateway = try #require(IPAddress("2001:db8::50"))
    record.peer = try #require(IPAddress("2001:db8::7"))
    record.user = String(repeating: "ö", count: 126) + "x"
    record.account?.constant = [UInt8](repeating: 1, count: HeardAccounting.limit)
    record.sendsSequences = true
    #expect(try SessionRecord(decoding: record.encoded()) == record)
    #expect(record.encoded().count <= SessionRecord.sizeLimit)
    record.user += "ö"
    #expect(try SessionRecord(decoding: record.encoded()).user == String(repeating: "ö", count: 126) + "x")
  }

  @Test("cut at every byte, with a byte more, and with any byte another: refused, or a record that is whole")
  func hostile() throws {
    let bytes = try Pair.record(300).encoded()
    for count in bytes.indices { #expect(throws: LedgerError.self) { try SessionRecord(decoding: Array(bytes.prefix(count))) } }
    #expect(throws: LedgerError.self) { try SessionRecord(decoding: bytes + [0]) }
    for index in bytes.indices {
      for bit in 0..<8 {
        var other = bytes
        other[index] ^= 1 << bit
        do throws(LedgerError) { #expect(try SessionRecord(decoding: other).encoded() == other) } catch { #expect(error.kind == .malformed) }
      }
    }
  }

  @Test("ids of 0, a port of 0, unknown flags, two families: refused", arguments: [0, 2, 4, 6, 8])
  func meaningless(offset: Int) throws {
    var bytes = try Pair.record(1).encoded()
    bytes[offset] = 0
    bytes[offset + 1] = 0
    #expect(throws: LedgerError.self) { try SessionRecord(decoding: bytes) }
    bytes = try Pair.record(1).encoded()
    bytes[12] = 4
    #expect(throws: LedgerError.self) { try SessionRecord(decoding: bytes) }
    var mixed = try Pair.record(1)
    mixed.peer = try #require(IPAddress("2001:db8::7"))
    #expect(throws: LedgerError.self) { try SessionRecord(decoding: mixed.encoded()) }
  }

  @Test("a batch of changes survives its coding, and no body of random bytes does harm")
  func changes() throws {
    var batch = Changes(stream: 3, sequence: 9)
    batch.begins = true
    batch.changes = [.put(try Pair.record(4)), .remove(SessionKey(tunnel: 5, session: 6))]
    #expect(try Changes(decoding: batch.bytes) == batch)
    for count in batch.bytes.indices { #expect(throws: LedgerError.self) { try Changes(decoding: Array(batch.bytes.prefix(count))) } }
    var random = SplitMix(seed: 1)
    for _ in 0..<2000 {
      var bytes = batch.bytes
      for _ in 0..<3 { bytes[.random(in: bytes.indices, using: &random)] = .random(in: 0...255, using: &random) }
      do throws(LedgerError) { #expect(try Changes(decoding: bytes).bytes == bytes) } catch { #expect(error.kind == .malformed) }
    }
  }

  @Test("a key is a file of root's that nobody else reads, with 32 bytes at least, of any content")
  func key() throws {
    let files = InMemoryFiles()
    func reason() -> String {
      do throws(LedgerError) {
        let key = try LedgerKey(ofFile: "/etc/vpnha/sessions.key", files)
        return "\(key) \(key.bytes.count)"
      } catch { return error.detail }
    }
    #expect(reason().hasPrefix("it is missing (vpnha key /etc/vpnha/sessions.key writes one"))
    func write(_ bytes: [UInt8], mode: UInt32) throws {
      try files.replace("/etc/vpnha/sessions.key", with: bytes, mode: mode)
    }
    try write([UInt8](repeating: 0, count: 31), mode: 0o600)
    #expect(reason().hasPrefix("it has 31 bytes; expected 32 to 4096"))
    try write([UInt8](repeating: 10, count: 32), mode: 0o640)
    #expect(reason().hasPrefix("it must be root's with mode 0600 or less"))
    try write([UInt8](repeating: 10, count: 32), mode: 0o600)
    #expect(reason() == "<secret> 32")
  }
}
