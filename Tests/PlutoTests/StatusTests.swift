import Glibc
import Host
import HostTestKit
import Testing

@testable import Pluto

/// As libreswan 4.10 of Debian 12 said it.
private enum Said {
  static let brief = """
    000 State Information: DDoS cookies not required, Accepting new IKE connections
    000 IKE SAs: total(3), half-open(1), open(1), authenticated(1), anonymous(0)
    000 IPsec SAs: total(2), authenticated(2), anonymous(0)

    """
  static let status = """
    000 using kernel interface: xfrm
    000  
    000 interface lo UDP [::1]:4500
    000 interface lo UDP [::1]:500
    000 interface v0 UDP 192.0.2.50:4500
    000 interface v0 UDP 192.0.2.50:500
    000  
    000 configdir=/etc, configfile=/run/c/ipsec.conf, secrets=/run/c/ipsec.secrets, ipsecdir=/etc/ipsec.d
    000 pluto_version=4.10, pluto_vendorid=OE-Libreswan-4.10, audit-log=yes
    000 ddos-cookies-threshold=25000, ddos-max-halfopen=50000, ddos-mode=auto, ikev1-policy=accept
    000  
    000 Connection list:
    000  
    000 "l2tp": 192.0.2.50/32:UDP/1701===192.0.2.50[@gw.example]...%any===0.0.0.0/0:UDP/0-65535; unrouted; eroute owner: #0
    000 "l2tp":     oriented; my_ip=unset; their_ip=unset; my_updown=ipsec _updown;
    000 "l2tp":   our auth:secret, their auth:secret, our autheap:none, their autheap:none;
    000 "l2tp":   policy: IKEv1+PSK+ENCRYPT+PFS+IKE_FRAG_ALLOW+ESN_NO+ESN_YES;
    000 "l2tp":   our idtype: ID_FQDN; our id=@gw.example; their idtype: %none; their id=(none)
    000 "l2tp"[1]: 192.0.2.50/32:UDP/1701===192.0.2.50...192.0.2.77===192.0.2.77/32:UDP/1701; erouted; eroute owner: #2
    000 "l2tp"[1]:     oriented; my_ip=unset; their_ip=unset; my_updown=ipsec _updown;
    000 "six": 2001:db8::1...%any; unrouted; eroute owner: #0
    000 "six":     unoriented; my_ip=unset; their_ip=unset; mycert=NSS Certificate DB:gw; my_updown=ipsec _updown;
    000 "six":   our auth:rsasig(RSASIG+RSASIG_v1_5), their auth:rsasig, our autheap:none, their autheap:none;
    000 "six":   our idtype: ID_IPV6_ADDR; our id=2001:db8::1; their idtype: %none; their id=(none)
    000 "subs/1x0": 10.1.0.0/24===192.0.2.1---192.0.2.9...192.0.2.99===10.9.0.0/24; unrouted; eroute owner: #0
    000 "subs/1x0":     oriented; my_ip=unset; their_ip=unset; my_updown=ipsec _updown;
    000  
    000 Total IPsec connections: loaded 3, active 1
    000 IKE SAs: total(1), half-open(0), open(0), authenticated(1), anonymous(0)
    000 IPsec SAs: total(1), authenticated(1), anonymous(0)
    000 #1: "l2tp"[1] 192.0.2.77:500 STATE_MAIN_R3 (IKE SA established); EXPIRE in 15839s; newest;

    """
  static let secrets = """
    000  
    000 List of Pre-shared secrets (from /run/c/ipsec.secrets)
    000  
    000     4: XAUTH (none) (none)
    000     3: PSK 192.0.2.3 192.0.2.2 more
    000     2: PSK %any @gw.example
    000     1: PSK (none) (none)

    """
  static let certificates = """
    000  
    000 List of X.509 End Certificates:
    000  
    000 End certificate "end nokey" - SN: 0x63
    000   subject: CN=end\\, \\"nokey\\": has private key
    000   issuer: CN=test ca
    000   not before: Mon Nov 30 21:21:39 2026
    000   not after: Wed Dec 30 21:21:39 2026
    000   2048 bit RSA
    000  
    000 End certificate "NSS Certificate DB:gw" - SN: 0x02
    000   subject: CN=gw.example.org
    000   issuer: CN=test ca
    000   not before: Mon Nov 30 21:21:16 2026
    000   not after: Tue Feb 29 21:21:16 2028
    000   2048 bit RSA: has private key
    000  
    000 List of X.509 CA Certificates:
    000  
    000 Root CA certificate "ec" - SN: 0x700ba8e63ff4d1fd1a6b5db3fb19f55cb928eb7c
    000   subject: CN=ec.example.org
    000   issuer: CN=ec.example.org
    000   not before: Mon Nov 30 21:21:22 2026
    000   not after: soon
    000   256 bit(other): has private key
    000  

    """
  static let settings = """
    export confreadstatus=''
    export ikev1_policy='0'
    export nssdir='/run/c/nss'
    export secretsfile='/run/c/ipsec.secrets'

    """
}

@Suite struct PlutoStatusTests {
  @Test func states() throws {
    let states = try PlutoStates(PlutoLine.all(in: Array(Said.brief.utf8)))
    #expect((states.ike, states.halfOpen, states.established, states.ipsec, states.acceptsNew) == (3, 1, 1, 2, true))
    let full = Said.brief.replacing("Accepting new", with: "NOT Accepting new")
    #expect(try !PlutoStates(PlutoLine.all(in: Array(full.utf8))).acceptsNew)
    for broken in ["", "000 IKE SAs: total(3)\n", "000 IKE SAs: total(-1)\n000 IPsec SAs: total(x)\n", "IKE SAs: total(1)\nIPsec SAs: total(1)\n"] {
      #expect(throws: PlutoError.self) { try PlutoStates(PlutoLine.all(in: Array(broken.utf8))) }
    }
  }

  @Test func status() throws {
    let status = PlutoStatus(PlutoLine.all(in: Array(Said.status.utf8)))
    #expect(status.version == "4.10" && status.ikev1Policy == "accept")
    let address = try #require(IPAddress("192.0.2.50"))
    #expect(status.listens(on: address) && status.listens(on: address, port: 4500) && !status.listens(on: address, port: 501))
    #expect(status.interfaces.count == 4 && status.interfaces.contains { $0.address == IPAddress("::1") })
    #expect(status.connections.map(\.name) == ["l2tp", "six", "subs/1x0"], "a client's instance is no connection")
    #expect(status.connections.map(\.local) == [address, IPAddress("2001:db8::1"), IPAddress("192.0.2.1")])
    #expect(status.connections.map(\.isOriented) == [true, false, true])
    #expect(status.connections.map(\.usesSharedKey) == [true, false, false])
    #expect(status.connections.map(\.signs) == [false, true, false] && status.connections.map(\.certificate) == [nil, "gw", nil])
    #expect(status.connections[0].identity == "@gw.example")
    #expect(status.connections[2].isNamed("subs") && !status.connections[2].isNamed("sub"))
  }

  @Test func certificates() {
    let found = PlutoCertificate.all(in: PlutoLine.all(in: Array(Said.certificates.utf8)))
    #expect(found.map(\.name) == ["end nokey", "gw", "ec"] && found.map(\.hasPrivateKey) == [false, true, true])
    #expect(found.map { $0.end?.description } == ["2026-12-30T21:21:39Z", "2028-02-29T21:21:16Z", nil])
  }

  @Test func aSecretMayServe() throws {
    let secrets = PlutoSecret.all(in: PlutoLine.all(in: Array(Said.secrets.utf8)))
    #expect(secrets.map(\.kind) == ["XAUTH", "PSK", "PSK", "PSK"] && secrets.map(\.owners.count) == [0, 2, 2, 0] && secrets.map(\.hasMore) == [false, true, false, false])
    let connection = PlutoStatus.Connection(name: "l2tp", local: IPAddress("192.0.2.50"), identity: "@gw.example")
    func may(_ kind: String, _ owners: [String], more: Bool = false) -> Bool { PlutoSecret(kind: kind, owners: owners, hasMore: more).mayServe(connection) }
    #expect(may("PSK", []) && may("PSK", ["%any", "192.0.2.51"]) && may("PSK", ["192.0.2.50", "192.0.2.77"]) && may("PSK", ["@gw.example", "@other"]) && may("PSK", ["192.0.2.77"]))
    #expect(may("PSK", ["192.0.2.2", "192.0.2.3"], more: true), "who else it is for is not said")
    #expect(!may("XAUTH", []) && !may("RSA", []) && !may("PSK", ["192.0.2.51", "192.0.2.77"]))
  }

  /// Whatever comes, it is read to its end, and none of it is believed to be more than it says.
  @Test func survivesMutations() {
    var random = SplitMix(seed: 26)
    let corpus = [Said.brief, Said.status, Said.secrets, Said.settings, Said.certificates].map { Array($0.utf8) }
    for round in 0..<(getenv("VPNHA_MUTATIONS").flatMap { Int(String(cString: $0)) } ?? 1000) {
      var bytes = corpus[round % corpus.count]
      for _ in 0..<Int.random(in: 1...6, using: &random) {
        switch Int.random(in: 0...3, using: &random) {
        case 0: bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
        case 1: bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random))
        case 2: bytes.insert(contentsOf: Array("\"=...:([".utf8).shuffled(using: &random), at: Int.random(in: 0...bytes.count, using: &random))
        default: bytes.append(contentsOf: bytes.prefix(200))
        }
        if bytes.isEmpty { bytes = [0x30] }
      }
      let lines = PlutoLine.all(in: bytes)
      #expect(lines.allSatisfy { (0...999).contains($0.code) && $0.text.utf8.count <= 4 * PlutoLine.longest })
      let status = PlutoStatus(lines)
      #expect(status.connections.count <= lines.count && status.interfaces.count <= lines.count)
      _ = PlutoSecret.all(in: lines)
      #expect(PlutoCertificate.all(in: lines).count <= lines.count)
      do throws(PlutoError) { #expect(try PlutoStates(lines).ike >= 0) } catch { #expect(error.kind == .malformed) }
    }
  }

  @Test func everyPrefixIsReadOrRefused() {
    let bytes = Array(Said.brief.utf8)
    for count in 0..<bytes.count {
      do throws(PlutoError) {
        let states = try PlutoStates(PlutoLine.all(in: Array(bytes.prefix(count))))
        #expect(states.ike == 3 && states.ipsec == 2, "\(count)")
      } catch { #expect(error.kind == .malformed) }
    }
  }
}

@Suite struct PlutoControlTests {
  private let machine = InMemoryMachine()
  private var control: PlutoControl { PlutoControl(besides: "/usr/libexec/ipsec/pluto", socket: "/run/pluto/pluto.ctl", on: machine.host, before: machine.clock.now + .seconds(5)) }

  private func kind(_ result: CommandResult, _ ask: (PlutoControl) throws(PlutoError) -> Void) -> PlutoError? {
    for program in ["whack", "addconn"] { machine.processes.whenRun("/usr/libexec/ipsec/\(program)") { _ in result } }
    do throws(PlutoError) {
      try ask(control)
      return nil
    } catch { return error }
  }

  @Test func endingsAreErrors() throws {
    let ask = { (control: PlutoControl) throws(PlutoError) in _ = try control.states() }
    #expect(kind(CommandResult(.exited(0), output: Array(Said.brief.utf8)), ask) == nil)
    #expect(kind(CommandResult(.exited(33), error: Array("whack: Pluto is not running\n".utf8)), ask)?.kind == .unread)
    #expect(kind(CommandResult(.timedOut), ask)?.kind == .unanswered)
    #expect(kind(CommandResult(.signalled(11)), ask)?.kind == .malformed)
    #expect(kind(CommandResult(.exited(0)), ask)?.kind == .malformed)
    #expect(kind(CommandResult(.exited(1), output: Array("022 no such thing\n".utf8)), ask) == PlutoError(kind: .refused(1), reason: "no such thing"))
    #expect(kind(CommandResult(.exited(0), output: [UInt8](repeating: 0x30, count: 65_536)), ask)?.kind == .malformed, "it was cut off")
    machine.processes.programs = [:]
    #expect(throws: PlutoError(kind: .system(.noSuchFile), reason: "running /usr/libexec/ipsec/whack: no such file or directory (ENOENT)")) { try control.states() }
  }

  @Test func whatIsAskedForIsNamed() throws {
    machine.processes.whenRun("/usr/libexec/ipsec/addconn") { _ in CommandResult(.exited(0), output: Array(Said.settings.utf8)) }
    #expect(try control.settings(in: "/etc/ipsec.conf")["secretsfile"] == "/run/c/ipsec.secrets")
    try control.load("l2tp", from: "/etc/ipsec.conf")
    #expect(machine.processes.ran.last?.arguments == ["--ctlsocket", "/run/pluto/pluto.ctl", "--config", "/etc/ipsec.conf", "l2tp"])
    machine.processes.whenRun("/usr/libexec/ipsec/addconn") { _ in CommandResult(.exited(0), output: Array("l2tp ignored subs \n".utf8)) }
    #expect(try control.connections(in: "/etc/ipsec.conf") == ["l2tp", "ignored", "subs"])
    let refusal = "cannot load config '/etc/ipsec.conf': /etc/ipsec.conf:16: syntax error [foo]\n"
    machine.processes.whenRun("/usr/libexec/ipsec/addconn") { _ in CommandResult(.exited(3), error: Array(refusal.utf8)) }
    #expect(throws: PlutoError(kind: .refused(3), reason: "/etc/ipsec.conf:16: syntax error [foo]")) { try control.connections(in: "/etc/ipsec.conf") }
  }
}
