import Glibc
import Host
import HostTestKit
import Testing

@testable import VICI

@Suite struct SettingsFileTests {
  @Test func readsSectionsAndValues() throws {
    let file = try SettingsFile(
      """
      # the gateway
      connections {
        l2tp {
          version = 1   # IKEv1
          local_addrs = 203.0.113.50
          children { l2tp { local_ts = dynamic[/1701]
            mode = transport } }
          proposals = aes256-sha1-modp1024,  3des-sha1-modp1024
        }
      }
      secrets { ike-1 { secret = "a \\"quoted\\"\\tvalue # no comment" } }
      connections { l2tp { version = 2
        empty =
      } }
      """)
    let l2tp = try #require(file.root.section(at: "connections.l2tp"))
    #expect(file.root.sections.count == 2)
    #expect(l2tp.value("version") == "2")
    #expect(l2tp.value("empty") == nil)
    #expect(l2tp.value("proposals") == "aes256-sha1-modp1024, 3des-sha1-modp1024")
    #expect(l2tp.section(at: "children.l2tp")?.value("local_ts") == "dynamic[/1701]")
    #expect(l2tp.section(at: "children.l2tp")?.value("mode") == "transport")
    #expect(file.root.section(at: "secrets.ike-1")?.value("secret") == "a \"quoted\"\tvalue # no comment")
  }

  @Test func readsReferences() throws {
    let file = try SettingsFile("defaults { a = 1 }\nconnections : defaults, other.one\n { x : defaults { } }")
    #expect(file.root.section("connections")?.references == ["defaults", "other.one"])
    #expect(file.root.section(at: "connections.x")?.references == ["defaults"])
  }

  @Test func printsNoValues() throws {
    let file = try SettingsFile("secrets { ike { secret = \"hunter2\" } }")
    var dumped = ""
    dump(file, to: &dumped)
    #expect(!dumped.contains("hunter2"))
    #expect(!"\(file)".contains("hunter2"))
  }

  @Test(arguments: [
    ("a {\n b = 1\n", "text:1: section a is not closed"),
    ("a {\n}\n}\n", "text:3: a } without a section"),
    ("a\n\nb = 1", "text:3: a is followed by b, not by = or {"),
    ("a", "text:1: a is followed by the end of the file, not by = or {"),
    ("x = 1\na.b = 1", "text:2: a is followed by ., not by = or {"),
    ("a , b { }", "text:1: a is followed by ,, not by = or {"),
    ("= 1", "text:1: = where a name is expected"),
    ("{ }", "text:1: { where a name is expected"),
    ("\n\"a\" = 1", "text:2: a quoted string where a name is expected"),
    ("a {\n b = \"c\n}\n", "text:2: a string is not closed"),
    ("a = \"b\\", "text:1: a string is not closed"),
    ("a : { }", "text:1: a reference to a section is expected behind : or ,"),
    ("a : b,\n , { }", "text:2: a reference to a section is expected behind : or ,"),
    ("a : b = 1", "text:1: reference b is followed by =, not by , or {"),
    ("a : b\ninclude c\n{ }", "text:2: reference b is followed by include, not by , or {"),
    ("a : b", "text:1: reference b is followed by the end of the file, not by , or {"),
    ("include  = 1", "text:1: = where a name is expected"),
    ("a : b..c { }", "text:1: a reference to a section is expected behind : or ,"),
    ("se\u{1b}cret", "text:1: se?cret is followed by the end of the file, not by = or {"),
  ]) func saysWhatIsWrongAndWhere(_ text: String, _ words: String) {
    do throws(SettingsError) {
      _ = try SettingsFile(text)
      Issue.record("accepted")
    } catch {
      #expect("\(error)" == words)
      #expect(error.kind == .syntax)
    }
  }

  @Test func acceptsWhatStrongSwanAccepts() throws {
    #expect(try SettingsFile("a = { b").root.value("a") == "{ b")
    #expect(try SettingsFile("include = 1").root.value("include") == "1")
    #expect(try SettingsFile("includes = 1").root.value("includes") == "1")
    #expect(try SettingsFile("a\n{\n}\n").root.section("a") != nil)
    #expect(try SettingsFile("a\n=\n").root.value("a") == nil)
    #expect(try SettingsFile("").root.sections.isEmpty)
    #expect(try SettingsFile("a = \"one\\\n two\" three").root.value("a") == "one two three")
    #expect(try SettingsFile("\u{fc} = \u{e4}").root.value("\u{fc}") == "\u{e4}")
  }

  @Test func readsIncludes() throws {
    let machine = InMemoryMachine()
    machine.files.put("include conf.d/*.conf\ninclude /nowhere/*\ninclude\t\"other file\" \nlast { }", at: "/etc/swanctl/swanctl.conf")
    machine.files.put("connections { b { } }", at: "/etc/swanctl/conf.d/b.conf")
    machine.files.put("connections { a { include ../inner } }", at: "/etc/swanctl/conf.d/a.conf")
    machine.files.put("x = 1", at: "/etc/swanctl/conf.d/../inner")
    machine.files.put("broken {", at: "/etc/swanctl/conf.d/.hidden.conf")
    machine.files.put("broken {", at: "/etc/swanctl/conf.d/a.conf~")
    machine.files.put("other { }", at: "/etc/swanctl/other file")
    let file = try SettingsFile(reading: "/etc/swanctl/swanctl.conf", from: machine.files)
    #expect(file.root.section("connections")?.sections.map(\.name) == ["a", "b"])
    #expect(file.root.section(at: "connections.a")?.value("x") == "1")
    #expect(file.root.section("other") != nil)
    #expect(file.root.section("last") != nil)
    #expect(file.files.count == 5)
  }

  @Test func namesTheIncludedFile() {
    let machine = InMemoryMachine()
    machine.files.put("\ninclude conf.d/*", at: "/etc/swanctl/swanctl.conf")
    machine.files.put("connections {\n a {\n  x = \"1\n }\n}\n", at: "/etc/swanctl/conf.d/vpn.conf")
    do throws(SettingsError) {
      _ = try SettingsFile(reading: "/etc/swanctl/swanctl.conf", from: machine.files)
      Issue.record("accepted")
    } catch { #expect("\(error)" == "/etc/swanctl/conf.d/vpn.conf:3: a string is not closed") }
  }

  @Test func refusesToIncludeAPipe() {
    let machine = InMemoryMachine()
    machine.files.put("\ninclude pipe", at: "/etc/swanctl/swanctl.conf")
    machine.files.put("", at: "/etc/swanctl/pipe")
    machine.calls.fail("files.read(/etc/swanctl/pipe", with: .invalidArgument)
    do throws(SettingsError) {
      _ = try SettingsFile(reading: "/etc/swanctl/swanctl.conf", from: machine.files)
      Issue.record("accepted")
    } catch {
      #expect("\(error)" == "/etc/swanctl/swanctl.conf:2: /etc/swanctl/pipe is not a regular file")
      #expect(error.kind == .syntax)
    }
  }

  @Test(arguments: [
    ("/etc/x", "/etc/x: no such file or directory (ENOENT)", SettingsError.Kind.absent),
    ("/etc/d", "/etc/d: is a directory (EISDIR)", .unreadable),
  ]) func absentAndUnreadable(_ path: String, _ words: String, _ kind: SettingsError.Kind) {
    let machine = InMemoryMachine()
    machine.files.nodes["/etc/d"] = .init([], .directory)
    do throws(SettingsError) {
      _ = try SettingsFile(reading: path, from: machine.files)
      Issue.record("accepted")
    } catch {
      #expect("\(error)" == words)
      #expect(error.kind == kind)
    }
  }

  /// References may multiply what a file holds, and are counted; a long file is only long.
  @Test(.timeLimit(.minutes(1))) func followsReferencesWithinBounds() throws {
    let many = (0..<30_000).map { "c\($0) { local { auth = psk } }" }.joined(separator: "\n")
    let long = try SettingsFile("connections {\n\(many)\n}")
    #expect(long.resolved("connections")?.sections.count == 30_000)
    let levels = (1...30).map { "l\($0) { a : l\($0 - 1) { }\n b : l\($0 - 1) { } }" }.joined(separator: "\n")
    #expect(try SettingsFile("l0 { x = 1 }\n\(levels)").resolved("l30") == nil)
  }

  @Test func boundsWhatItReads() {
    let machine = InMemoryMachine()
    func kind(_ limits: SettingsFile.Limits = .init()) -> SettingsError.Kind? {
      do throws(SettingsError) {
        _ = try SettingsFile(reading: "/etc/a", from: machine.files, limits: limits)
        return nil
      } catch { return error.kind }
    }
    machine.files.put("include a\n", at: "/etc/a")
    #expect(kind() == .tooLarge)
    machine.files.put(String(repeating: "a { ", count: 100_000), at: "/etc/a")
    #expect(kind() == .tooLarge)
    machine.files.put("include b*\n", at: "/etc/a")
    for number in 0..<20 { machine.files.put("x = 1\ninclude c\n", at: "/etc/b\(number)") }
    machine.files.put("y = 1", at: "/etc/c")
    #expect(kind() == nil)
    var limits = SettingsFile.Limits()
    limits.files = 10
    #expect(kind(limits) == .tooLarge)
    limits = .init()
    limits.bytes = 60
    #expect(kind(limits) == .tooLarge)
  }

  @Test(arguments: [
    ("*", "a", true), ("*", ".a", false), (".*", ".a", true), ("a*c", "abbc", true), ("a*c", "abcd", false),
    ("a?c", "abc", true), ("a?c", "ac", false), ("[a-c]x", "bx", true), ("[!a-c]x", "bx", false), ("[]x]", "]", true),
    ("[a-]", "-", true), ("[ab", "[ab", true), ("a\\*", "a*", true), ("a\\*", "ab", false), ("*.conf", "x.conf", true),
    ("*.conf", "x.confx", false), ("", "", true), ("**a**b", "xaxb", true),
  ]) func matchesPatterns(_ pattern: String, _ name: String, _ fits: Bool) {
    #expect(FilePattern.matches(Array(pattern.utf8), Array(name.utf8)) == fits)
  }

  @Test func patternsDoNotTakeForEver() {
    let pattern = Array(String(repeating: "*a", count: 500).utf8)
    let name = [UInt8](repeating: UInt8(ascii: "a"), count: 499) + [UInt8(ascii: "b")]
    #expect(!FilePattern.matches(pattern, name))
  }

  @Test func survivesMutations() {
    let corpus = Array(
      """
      connections : base, other { l2tp { version = 1 # x
        include conf.d/*.conf
        id = "a\\n\\"b" c } }
      """.utf8)
    let rounds = getenv("VPNHA_MUTATIONS").flatMap { Int(String(cString: $0)) } ?? 5_000
    let alphabet = Array("{}=:.,#\"\\\n ax".utf8)
    let machine = InMemoryMachine()
    for seed in 0..<UInt64(rounds) {
      var generator = SplitMix(seed: seed)
      var bytes = corpus
      for _ in 0...Int.random(in: 0..<6, using: &generator) {
        let at = Int.random(in: 0..<bytes.count, using: &generator)
        let byte = alphabet[Int.random(in: 0..<alphabet.count, using: &generator)]
        switch Int.random(in: 0..<3, using: &generator) {
        case 0: bytes[at] = byte
        case 1: bytes.insert(byte, at: at)
        default: bytes.remove(at: at)
        }
      }
      machine.files.nodes["/etc/a"] = .init(bytes)
      do throws(SettingsError) { _ = try SettingsFile(reading: "/etc/a", from: machine.files) } catch {
        // A file may come to include itself.
        let isKnown = error.kind == .syntax || error.kind == .tooLarge && error.detail.hasPrefix("includes nest")
        if !isKnown || error.place.line < 1 { Issue.record("seed \(seed): \(error)") }
      }
    }
  }

  /// As `swanctl --load-conns` of 5.9.8 answers.
  @Test(
    arguments: [
      ("local_adrs = 192.0.2.1", "charon does not know 'local_adrs', did you mean 'local_addrs'?"), ("mobike = maybe", "'mobike' must be yes or no"),
      ("dpd_delay = soon", "'dpd_delay' must be a time, as 30s or 1h"), ("dpd_delay = 30s\nmobike = no\nversion = 1\npools = a, b", nil),
      ("remotes { auth = psk\n }", nil), ("child { }", "charon knows no section 'child' in a connection"),
      ("local { auht = psk\n }", "charon does not know 'auht', did you mean 'auth'?"),
      ("children { c { esp_proposal = aes128-sha1\n } }", "charon does not know 'esp_proposal', did you mean 'esp_proposals'?"),
      ("children { c { start_action = none\nrekey_time = 1 h\nipcomp = yes\n } }", nil),
    ] as [(String, String?)])
  func connectionsThatCharonRefuses(text: String, words: String?) throws {
    let refused = try SettingsFile("connections {\n good { version = 2\n }\n c1 {\n \(text)\n }\n}\n").refusedConnections { _ in false }
    #expect(refused.map(\.connection) == (words == nil ? [] : ["c1"]))
    if let words { #expect(refused.first?.reason.hasPrefix("\(words) (text:") == true, "\(refused)") }
  }
}
