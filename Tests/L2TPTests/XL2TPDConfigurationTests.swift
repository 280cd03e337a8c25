import L2TP
import Testing

@Suite struct XL2TPDConfigurationTests {
  private func parse(_ text: String) throws -> XL2TPDConfiguration { try XL2TPDConfiguration(Array(text.utf8)) }

  @Test func theUsualFile() throws {
    let configuration = try parse(
      """
      ; our gateway
      [Global]
      listen-addr = 203.0.113.50\t; the VIP
      Port=1701
      access control = yes
      force userspace = no

      [lns default]
        ip range = 10.9.0.10-10.9.0.20
        pppoptfile = /etc/ppp/options.xl2tpd
      [lns partners]
      pppoptfile = /etc/ppp/options.partners
      [lac office]
      pppoptfile = /etc/ppp/options.xl2tpd
      """)
    #expect(configuration.listenAddress?.value == "203.0.113.50" && configuration.listenAddress?.line == 3)
    #expect(configuration.port == 1701 && configuration.hasAccessControl && !configuration.forcesUserspace)
    #expect(configuration.sections.map(\.kind) == [.global, .lns, .lns, .lac])
    #expect(configuration.sections[2].name == "partners")
    #expect(configuration.pppOptionFiles == ["/etc/ppp/options.xl2tpd", "/etc/ppp/options.partners"])
  }

  @Test func defaults() throws {
    let configuration = try parse("[lns default]\n")
    #expect(configuration.listenAddress == nil && configuration.port == 1701 && !configuration.hasAccessControl)
  }

  @Test func theLastValueWins() throws {
    let configuration = try parse("[global]\nport = 1\nport = 4000\n[lns a]\n[global]\nlisten-addr = 192.0.2.9\n")
    #expect(configuration.port == 4000 && configuration.listenAddress?.value == "192.0.2.9")
  }

  /// Spaces as the daemon sees them, sections that come again, and what follows a closing bracket.
  @Test func oddButGood() throws {
    let configuration = try parse(
      "\u{feff}[global] of all\n\u{a0}listen-addr\t =\t192.0.2.9\u{a0}\r\n;\(String(repeating: "x", count: 3000))\nname = a=b ; c = d\n[GLOBAL]\nport=1702")
    #expect(configuration.listenAddress?.value == "192.0.2.9" && configuration.port == 1702)
    #expect(configuration.global("name")?.value == "a=b" && configuration.global("name")?.line == 4)
  }

  @Test(arguments: [
    ("[lns default]\n", true), ("[lns Default]\n", true), ("[lns  default]\n", false), ("[lns a]\n", false), ("[lac default]\n", false),
    ("[lns a]\nlac = 192.0.2.1-192.0.2.9\n", true), ("[global]\n", false), ("", false),
  ]) func whoeverIsServed(text: String, hasServer: Bool) throws {
    #expect(try parse(text).hasServer == hasServer)
  }

  @Test func anyValueOfSarefForcesUserspace() throws {
    #expect(try parse("[global]\nipsec saref = no\n").forcesUserspace)
  }

  @Test(arguments: ["0", "70000", "abc", ""]) func noPort(value: String) throws {
    #expect(try parse("[global]\nport = \(value)\n").port == nil)
  }

  @Test(arguments: [
    ("port = 1\n", "line 1: a setting outside of a section"), ("[global]\nport\n", "line 2: no '='"),
    ("\n[global\n", "line 2: no closing bracket"), ("[globa]\n", "line 1: unknown section 'globa'"),
    ("[]\n", "line 1: unknown section ''"), ("[ global ]\n", "line 1: unknown section ''"),
    ("# our gateway\n[global]\n", "line 1: '#' begins no comment, ';' does"),
    ("[global]\n  #port = 1\n", "line 2: '#' begins no comment, ';' does"),
    ("[global]\nport = \(String(repeating: " ", count: 1020))1\n", "line 2: more than 1023 bytes"),
  ]) func whatTheDaemonRefuses(text: String, reason: String) {
    do {
      _ = try XL2TPDConfiguration(Array(text.utf8))
      Issue.record("accepted")
    } catch { #expect("\(error)" == reason) }
  }

  /// What xl2tpd 1.3.18 refused, each file tried with it.
  @Test(arguments: [
    ("[global]\nfrobnicate = yes\n", "line 2: xl2tpd does not know 'frobnicate'"), ("[lac x]\nanything = 1\n", "line 2: xl2tpd does not know 'anything'"),
    ("[lns default]\nppoptfile = /x\n", "line 2: xl2tpd does not know 'ppoptfile', did you mean 'pppoptfile'?"),
    ("[lns default]\nlisten-addr = 1.2.3.4\n", "line 2: 'listen-addr' belongs into [global], not [lns]"),
    ("[lns default]\nmax redials = 1\n", "line 2: 'max redials' belongs into [lac], not [lns]"), ("[lac x]\nip range = 10.9.0.1\n", "line 2: 'ip range' belongs into [lns], not [lac]"),
    ("[lns default]\nlength bit = 1\n", "line 2: 'length bit' must be yes or no"), ("[lns default]\nip range = 10.9.0.9 - 10.9.0.5\n", "line 2: 'ip range' ends before it begins"),
    ("[lns default]\nip range = 10.9.0.08\n", "line 2: 'ip range' must be an IPv4 address or FIRST-LAST, not '10.9.0.08'"),
    ("[lns default]\nip range = 10.9.0.1.\n", "line 2: 'ip range' must be an IPv4 address or FIRST-LAST, not '10.9.0.1.'"),
    ("[lns default]\nip range = 10.9.0.1-10.9.0.3-10.9.0.5\n", "line 2: 'ip range' must be an IPv4 address or FIRST-LAST, not '10.9.0.1-10.9.0.3-10.9.0.5'"),
    ("[lns default]\nip range =\n", "line 2: 'ip range' must be an IPv4 address or FIRST-LAST, not ''"), ("[lac x]\nremote ip = ::1\n", "line 2: 'remote ip' must be an IPv4 address, not '::1'"),
    ("[lns default]\nlocal ip range = 10.9.0.1\nlocal ip = 10.9.0.2\n", "line 3: 'local ip' and 'local ip range' exclude each other"),
  ]) func whatItWouldNotStartWith(text: String, reason: String) throws {
    #expect(try XL2TPDConfiguration(Array(text.utf8)).refused({ _ in false })?.description == reason)
  }

  @Test(arguments: [
    "[global]\nPort = 1701\nacCess control = No\n[lns default]\nip range = 10.9.0.5\nip range = 10.9.0.9 - 10.9.0.9\nrefuse pap = y\nhostname = x\nbps = 1\n",
    "[lns default]\nip range = 10.9.0.10-20\nno ip range = 10.9.0.10-0.12\nip range = 10.9\nip range = 10.9.0.010\nip range = 4294967295\n",
  ]) func whatItStartsWith(text: String) throws {
    #expect(try XL2TPDConfiguration(Array(text.utf8)).refused { _ in false } == nil && XL2TPDConfiguration(Array(text.utf8)).named == nil)
  }

  /// It starts where the resolver has an answer.
  @Test(arguments: ["ip range = a-b", "ip range = 10.9.0.10-pool", "lac = site.example.org", "local ip = gw_1.example.org", "local ip = 0x0a.1"])
  func namesAreNeitherRefusedNorAddresses(line: String) throws {
    let configuration = try XL2TPDConfiguration(Array("[lns default]\nname = x\n\(line)\n".utf8))
    #expect(configuration.refused { _ in false } == nil && configuration.named?.line == 3)
  }

  /// pppd(8), AUTHENTICATION: with three words, or a hyphen as the fourth, no address is allowed.
  @Test func aUserWithoutAnAddress() {
    let text = "alice vpnha secret *\nbob vpnha secret\ncarol vpnha secret -\ndave vpnha secret -- mtu 1400\nerin vpnha \"\" *\nfrank vpnha secret 10.9.0.7 10.9.0.8 # both\r\n"
    let users = PPPUser.all(in: Array(text.utf8))
    #expect(users.map(\.name) == ["alice", "frank"] && users[1].addresses == ["10.9.0.7", "10.9.0.8"])
    #expect(PPPUser.withoutAddress(in: Array(text.utf8)).map(\.line) == [2, 4])
    #expect(PPPUser.hasSecret("secret", at: 2, in: Array(text.utf8)) && !PPPUser.hasSecret("vpnha", at: 2, in: Array(text.utf8)))
  }

  @Test func anyBytesReadOrThrow() {
    let seed = Array("[global]\nlisten-addr = 1.2.3.4 ; x\n[lns d]\nname = y\n".utf8)
    for index in seed.indices {
      for value: UInt8 in [0, 0x0a, 0x20, 0x3b, 0x3d, 0x5b, 0x5d, 0xff] {
        var mutant = seed
        mutant[index] = value
        _ = try? XL2TPDConfiguration(mutant)
      }
      _ = try? XL2TPDConfiguration(Array(seed[..<index]))
    }
  }
}
