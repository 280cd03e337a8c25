import ConntrackSync
import Testing

@Suite struct SyncConfigurationTests {
  private func parse(_ text: String) throws -> SyncConfiguration { try SyncConfiguration(Array(text.utf8)) }

  @Test func theUsualFile() throws {
    let configuration = try parse(
      """
      # replication
      Sync {
        Mode FTFW {
          DisableExternalCache Off
          PurgeTimeout 30
        }
        UDP {
          IPv4_address 192.168.100.1
          Port 3780
          Interface eth1
        }
      }
      General {
        HashSize 8192
        LockFile /var/lock/conntrackd.lock
        UNIX { Path /var/run/conntrackd.sock Backlog 20 }
        Filter From Userspace {
          Address Ignore { IPv4_address 127.0.0.1 }
        }
      }
      """)
    #expect(configuration.purpose == .sync && configuration.mode == "FTFW")
    #expect(configuration.socketPath == "/var/run/conntrackd.sock" && configuration.lockPath == "/var/lock/conntrackd.lock")
    #expect(configuration.purgeTimeout == .seconds(30) && !configuration.disablesExternalCache)
    #expect(configuration.hashSize == 8192)
  }

  @Test func bracesMayStandOnTheNextLine() throws {
    let configuration = try parse(
      "General\n{\n UNIX\n {\n  Path /run/a.ctl # ours\n }\n}\nSync\n{\n Mode FTFW\n {\n  DisableExternalCache on\n }\n}\n")
    #expect(configuration.socketPath == "/run/a.ctl" && configuration.disablesExternalCache)
  }

  @Test func whatIsNotSaidIsWhatTheDaemonWasCompiledWith() throws {
    let configuration = try parse("Sync { Mode NOTRACK { } }")
    #expect(configuration.socketPath == "/var/run/conntrackd.ctl" && configuration.lockPath == "/var/lock/conntrackd.lock")
    #expect(configuration.purgeTimeout == .seconds(60) && configuration.mode == "NOTRACK")
  }

  @Test(arguments: [
    "", "Sync { Mode FTFW { DisableExternalCache On\n PurgeTimeout 5 } } General { LockFile \"/run/a b.lock\" UNIX { Path /run/{x}.ctl } }",
    "Sync { Mode NOTRACK { DisableInternalCache On } }", "Sync { }", "Stats { LogFile on } General { HashSize 7 }", "Helper { }",
  ]) func whatItSaysOfItselfReadsBack(text: String) throws {
    let configuration = try parse(text)
    #expect(try parse(configuration.text) == configuration)
    #expect(configuration.disablesInternalCache == text.contains("Internal"))
  }

  @Test func wordsInCommentsAndElsewhereMeanNothing() throws {
    let configuration = try parse(
      "# Sync { UNIX { Path /no } }\nStats { LogFile on }\nGeneral { LockFile \"/run/a b.lock\"\n UNIX { Path \"/run/q.sock\" } }\nHelper { Path /no }")
    #expect(configuration.purpose == .statistics)
    #expect(configuration.socketPath == "/run/q.sock" && configuration.lockPath == "/run/a b.lock")
  }

  @Test(arguments: [
    ("General {\n", "line 1: '{' without '}'"), ("}\n", "line 1: '}' without '{'"), ("\nA \"b\n", "line 2: a quoted word has no end"),
    (String(repeating: "{", count: 100_000), "line 1: blocks inside of blocks without end"),
  ]) func whatCannotBeRead(text: String, reason: String) {
    do {
      _ = try SyncConfiguration(Array(text.utf8))
      Issue.record("accepted")
    } catch { #expect("\(error)" == reason) }
  }

  @Test func anyBytesReadOrThrow() {
    let seed = Array("General { UNIX { Path /run/x } LockFile \"/a\" } # c\nSync { Mode FTFW { } }\n".utf8)
    for index in seed.indices {
      for value: UInt8 in [0, 0x0a, 0x22, 0x23, 0x2f, 0x7b, 0x7d, 0xff] {
        var mutant = seed
        mutant[index] = value
        _ = try? SyncConfiguration(mutant)
      }
      _ = try? SyncConfiguration(Array(seed[..<index]))
    }
  }
}
