import Host
import HostTestKit
import Testing

@testable import Ledger
@testable import vpnha

struct KeyTests {
  /// HKDF-SHA-256 of 32 times 7 with an empty salt (RFC 5869), by Python's hmac.
  @Test func theFingerprintIsTheKeys() throws {
    #expect(try LedgerKey([UInt8](repeating: 7, count: 32)).fingerprint == "78c312680c6925a3")
    #expect(try LedgerKey([UInt8](repeating: 7, count: 33)).fingerprint != "78c312680c6925a3")
  }

  @Test("a key is written once, root's alone, and is not printed")
  func written() throws {
    let files = InMemoryFiles()
    let path = "/etc/vpnha/sessions.key"
    let said = try KeyCommand.write(path, files)
    let status = try #require(try files.status(path))
    #expect(status.mode == 0o600)
    let directory = try #require(try files.status("/etc/vpnha"))
    #expect(directory.mode == 0o700)
    let key = try #require(try files.read(path, limit: 4096))
    #expect(key.count == 48)
    #expect(Set(key).count > 16)
    #expect(said.contains("scp -p \(path) root@OTHER-NODE:\(path)"))
    #expect(!said.utf8.contains { $0 > 126 })
    #expect(throws: SystemError.self) { try KeyCommand.write(path, files) }
    #expect(try files.read(path, limit: 4096) == key)
    let other = InMemoryFiles()
    _ = try KeyCommand.write(path, other)
    #expect(try other.read(path, limit: 4096) != key)
  }
}
