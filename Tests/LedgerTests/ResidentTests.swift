import Host
import HostTestKit
import LinuxHost
import Testing

@testable import Ledger
@testable import vpnha_ledger

@Suite struct ResidentTests {
  private static let good = [
    "--instance", "sessions", "--address", "203.0.113.50", "--key-file", "/etc/vpnha/sessions.key", "--peer", "10.0.0.2", "--source", "10.0.0.1", "--port", "4511",
  ]

  @Test func theCommandLineIsWholeOrRefused() throws {
    let options = try #require(Options(Self.good))
    #expect(options.instance == "sessions" && options.address == IPAddress("203.0.113.50") && options.port == 4511)
    for index in stride(from: 0, to: Self.good.count, by: 2) {
      var missing = Self.good
      missing.removeSubrange(index..<index + 2)
      #expect(Options(missing) == nil)
      var twice = Self.good
      twice[index] = Self.good[(index + 2) % Self.good.count]
      #expect(Options(twice) == nil)
      var cut = Self.good
      cut.remove(at: index + 1)
      #expect(Options(cut) == nil)
    }
    for (index, value) in [(1, "../x"), (1, ""), (3, "2001:db8::1"), (3, "x"), (7, "10.0.0"), (9, "fe80::1"), (11, "0"), (11, "65536")] {
      var wrong = Self.good
      wrong[index] = value
      #expect(Options(wrong) == nil, "\(value)")
    }
  }

  private func resident() throws -> SessionResident {
    let host = Host.refusing
    var quiet = host
    quiet.clock = ManualClock()
    quiet.files = InMemoryFiles()
    return SessionResident(try #require(Options(Self.good)), try Replica(key: Pair.key), quiet, kernel: nil)
  }

  @Test func theAgentIsAnsweredByRole() throws {
    let resident = try resident()
    #expect(
      resident.answer("status") == [
        "ok", "version 1", "role standby", "own 0", "adopted 0", "told 0", "lost 0", "ready 0", "up 0", "lag 0", "link never", "unacknowledged 0", "silence -", "held 0", "peer-carries -",
        "peer-full 0", "refused 0",
      ])
    #expect(resident.answer("list") == ["ok"])
    #expect(resident.answer("promote") == ["ok"] && resident.answer("promote") == ["ok"])
    #expect(resident.answer("status").contains("role promoted"))
    #expect(resident.answer("demote") == ["ok"] && resident.answer("demote") == ["ok"])
    #expect(resident.answer("status").contains("role standby"))
    for command in ["", "status ", "PROMOTE", "promote now"] { #expect(resident.answer(command) == ["error unknown command"]) }
  }
}
