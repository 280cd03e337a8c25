import Host
import HostTestKit
import IKEProbe
import OCF
import Testing

@testable import LibreswanAgent

/// A node with libreswan, as far as whack can tell. pluto takes the addresses up that are there when it starts.
final class PlutoNode {
  static let binary = "/usr/libexec/ipsec/pluto"
  let machine = InMemoryMachine(links: [Link(index: 2, name: "eth0")])
  /// What the file has.
  var names = ["l2tp"]
  var isBroken = false
  var isHung = false
  /// Whether IKE is answered on the address.
  var isDeaf = false
  var refusesIKEv1 = false
  var owners = "%any 203.0.113.50"
  /// Where connections sign: what whack lists of the certificate they show, "gw".
  var certificates: String?
  private(set) var loaded: Set<String> = []
  private(set) var listening: [IPAddress] = []
  private(set) var loads: [String] = []

  init() throws {
    for name in ["pluto", "whack", "addconn"] { machine.files.putExecutable("/usr/libexec/ipsec/\(name)") }
    machine.files.put("conn l2tp\n", at: "/etc/ipsec.conf", mode: 0o644)
    machine.files.put("203.0.113.50 %any : PSK \"sesame\"\n", at: "/etc/ipsec.secrets", mode: 0o600)
    machine.files.put("x", at: "/var/lib/ipsec/nss/cert9.db", mode: 0o600)
    machine.processes.whenRun("/usr/libexec/ipsec/whack") { [unowned self] command throws(SystemError) in whack(command.arguments) }
    machine.processes.whenRun("/usr/libexec/ipsec/addconn") { [unowned self] command throws(SystemError) in addconn(command.arguments) }
    machine.processes.whenLaunched(Self.binary) { [unowned self] command throws(SystemError) in
      loaded = refusesIKEv1 ? [] : Set(names)
      listening = machine.network.addresses.map(\.address)
      return machine.processes.appear(Self.binary, command.arguments)
    }
    machine.sockets.whenConnectedOverUDP { [unowned self] address, _, source in
      ScriptedDatagrams(from: source ?? address, calls: machine.calls, clock: machine.clock) { [unowned self] bytes in
        guard !isDeaf else { return [] }
        let hasMarker = bytes.starts(with: [0, 0, 0, 0])
        let request = bytes.dropFirst(hasMarker ? 4 : 0)
        // INVALID_MAJOR_VERSION.
        let answer = Array(request.prefix(8)) + [UInt8](repeating: 0, count: 8) + [41, 0x20, 34, 0x20, 0, 0, 0, 0, 0, 0, 0, 36, 0, 0, 0, 8, 0, 0, 0, 5]
        return [(hasMarker ? [0, 0, 0, 0] : []) + answer]
      }
    }
    try hold()
  }

  func hold() throws { machine.network.addresses = [InterfaceAddress(try #require(IPAddress("203.0.113.50")), prefixLength: 24, link: 2)] }
  func loseAddress() { machine.network.addresses = [] }
  func unload() { loaded = [] }
  func stopListening() { listening = [] }
  var pluto: Process? { machine.processes.table.first { $0.executable == Self.binary } }

  private func said(_ text: String) -> CommandResult { CommandResult(.exited(0), output: Array(text.utf8)) }

  private func whack(_ arguments: [String]) -> CommandResult {
    guard pluto != nil else { return CommandResult(.exited(33), error: Array("whack: Pluto is not running\n".utf8)) }
    guard !isHung else { return CommandResult(.timedOut) }
    let states = "000 State Information: DDoS cookies not required, Accepting new IKE connections\n000 IKE SAs: total(3), half-open(1), open(0), authenticated(2), anonymous(0)\n000 IPsec SAs: total(2), authenticated(2), anonymous(0)\n"
    switch arguments.last {
    case "--briefstatus": return said(states)
    case "--status":
      let interfaces = listening.flatMap { address in [500, 4500].map { "000 interface eth0 UDP \(address):\($0)\n" } }
      let connections = loaded.sorted().map { name in
        "000 \"\(name)\": 203.0.113.50/32:UDP/1701===203.0.113.50...%any; unrouted;\n000 \"\(name)\":     \(listening.isEmpty ? "un" : "")oriented; my_ip=unset;\(certificates == nil ? "" : " mycert=NSS Certificate DB:gw;")\n"
          + "000 \"\(name)\":   our auth:\(certificates == nil ? "secret" : "rsasig"), their auth:secret;\n000 \"\(name)\":   our idtype: ID_IPV4_ADDR; our id=203.0.113.50;\n"
      }
      // There is always loopback.
      return said("000 interface lo UDP 127.0.0.1:500\n" + interfaces.joined() + "000 x, ikev1-policy=\(refusesIKEv1 ? "drop" : "accept")\n" + connections.joined() + states)
    case "--listpsks": return said("000     1: PSK \(owners)\n")
    case "--listcacerts": return said(certificates ?? "")
    case "--listen":
      listening = machine.network.addresses.map(\.address)
      return said("002 listening for IKE messages\n")
    default: return CommandResult(.exited(1))
    }
  }

  private func addconn(_ arguments: [String]) -> CommandResult {
    if isBroken { return CommandResult(.exited(3), error: Array("cannot load config '/etc/ipsec.conf': /etc/ipsec.conf:16: syntax error [foo]\n".utf8)) }
    switch arguments.last {
    case "--listall": return said(names.joined(separator: " ") + "\n")
    case "--configsetup": return said("export nssdir='/var/lib/ipsec/nss'\nexport secretsfile='/etc/ipsec.secrets'\n")
    case let name?:
      loads.append(name)
      guard names.contains(name) else { return CommandResult(.exited(1), error: Array("conn '\(name)': not found (tried aliases)\n".utf8)) }
      guard !refusesIKEv1 else { return CommandResult(.exited(36)) }
      loaded.insert(name)
      return said("")
    case nil: return CommandResult(.exited(1))
    }
  }

  func perform(_ action: String, _ parameters: [String: String] = [:], level: Int = 0, interval: Int = 10_000) -> Outcome {
    var environment = [
      "OCF_RESOURCE_TYPE": "libreswan", "OCF_RESOURCE_INSTANCE": "libreswan", "OCF_CHECK_LEVEL": "\(level)", "OCF_RESKEY_CRM_meta_on_node": "moon", "OCF_RESKEY_launcher": "direct",
      "OCF_RESKEY_CRM_meta_timeout": "20000", "OCF_RESKEY_CRM_meta_interval": "\(interval)", "OCF_RESKEY_connections": "l2tp", "OCF_RESKEY_address": "203.0.113.50",
    ]
    for (name, value) in parameters { environment["OCF_RESKEY_\(name)"] = value }
    return OCF.perform(Libreswan.self, Request(arguments: ["libreswan", action], environment: environment), on: machine.host, from: machine.clock.now)
  }
}

@Suite struct LibreswanTests {
  @Test func aLife() throws {
    let node = try PlutoNode()
    #expect(node.perform("monitor").status == .notRunning)
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.machine.processes.launched.map(\.arguments) == [["--config", "/etc/ipsec.conf", "--rundir", "/run/pluto", "--nofork"]])
    #expect(node.perform("monitor") == Outcome(.success))
    #expect(node.perform("monitor", level: 10) == Outcome(.success))
    #expect(node.perform("validate-all", level: 10) == Outcome(.success))
    let address = try #require(IPAddress("203.0.113.50"))
    node.machine.network.ipsec[address] = 2
    #expect(node.perform("stop") == Outcome(.success) && node.pluto == nil)
    #expect(node.machine.processes.signals.map(\.signal) == [.terminate], "pluto tells its clients")
    #expect(node.machine.network.ipsec[address] ?? 0 == 0)
    #expect(node.perform("monitor").status == .notRunning && node.perform("stop") == Outcome(.success))
  }

  @Test func withoutTheAddressNobodyIsServed() throws {
    let node = try PlutoNode()
    node.loseAddress()
    #expect(node.perform("start") == Outcome(.genericError, "address: 203.0.113.50 is not on this node") && node.pluto == nil)
    try node.hold()
    #expect(node.perform("start") == Outcome(.success))
    node.loseAddress()
    #expect(node.perform("monitor", level: 10) == Outcome(.genericError, "address: 203.0.113.50 is not on this node"))
  }

  /// A pluto that was there before the address is told of it, and keeps what it has.
  @Test func anAddressThatComesLaterIsTakenUp() throws {
    let node = try PlutoNode()
    #expect(node.perform("start") == Outcome(.success))
    let pluto = node.pluto
    node.stopListening()
    #expect(node.perform("monitor", level: 10) == Outcome(.genericError, "address: pluto does not listen on 203.0.113.50: ipsec whack --listen"))
    #expect(node.perform("start") == Outcome(.success) && node.pluto == pluto && node.loads.isEmpty)
    #expect(node.perform("monitor", level: 10) == Outcome(.success))
  }

  @Test func anotherDaemonOnThePortIsNamedAndLeftAlone() throws {
    let node = try PlutoNode()
    let charon = node.machine.processes.appear("/usr/sbin/charon-systemd")
    node.machine.sockets.listeners[500] = [UDPListener(try #require(IPAddress("0.0.0.0")), inode: 7)]
    node.machine.processes.socketOwners[7] = charon.pid
    #expect(node.perform("start") == Outcome(.genericError, "UDP port 500 is taken by /usr/sbin/charon-systemd (pid \(charon.pid))"))
    #expect(node.machine.processes.launched.isEmpty && node.machine.processes.signals.isEmpty)
    #expect(node.perform("monitor").status == .notRunning && node.perform("stop") == Outcome(.success) && node.machine.processes.signals.isEmpty)
  }

  @Test func oneThatHangsHasFailedAndIsKilled() throws {
    let node = try PlutoNode()
    #expect(node.perform("start") == Outcome(.success))
    let pluto = try #require(node.pluto)
    node.isHung = true
    #expect(node.perform("monitor").reason == "pluto (pid \(pluto.pid)) hangs: no answer in time on /run/pluto/pluto.ctl")
    node.machine.processes.makeStubborn(pluto)
    let before = node.machine.clock.now
    #expect(node.perform("stop") == Outcome(.success) && node.pluto == nil)
    #expect(node.machine.clock.now - before < .seconds(5))
  }

  @Test func oneThatIsGoneIsMissed() throws {
    let node = try PlutoNode()
    #expect(node.perform("start") == Outcome(.success))
    let pluto = try #require(node.pluto)
    node.machine.processes.vanish(pluto.pid)
    #expect(node.perform("monitor") == Outcome(.notRunning, "pluto (pid \(pluto.pid)) is gone, and the cluster did not stop it: see journalctl -t pluto"))
  }

  @Test func aDeafOneHasFailed() throws {
    let node = try PlutoNode()
    #expect(node.perform("start") == Outcome(.success))
    node.isDeaf = true
    #expect(node.perform("monitor", level: 10).reason?.hasPrefix("probing IKE at 203.0.113.50 port 500") == true)
  }

  @Test func connectionsAreWhatCounts() throws {
    let node = try PlutoNode()
    node.refusesIKEv1 = true
    #expect(node.perform("start") == Outcome(.genericError, "connections: l2tp is not loaded (ikev1-policy=drop refuses IKEv1: L2TP needs accept)") && node.pluto == nil)
    node.refusesIKEv1 = false
    #expect(node.perform("start", ["connections": "other"]) == Outcome(.genericError, "connections: other is not in /etc/ipsec.conf") && node.machine.processes.launched.count == 1)
    #expect(node.perform("start") == Outcome(.success))
    node.unload()
    #expect(node.perform("monitor") == Outcome(.success))
    #expect(node.perform("monitor", level: 10) == Outcome(.genericError, "connections: l2tp is not loaded"))
    let before = node.loads.count
    #expect(node.perform("reload-agent") == Outcome(.success) && node.loads.count == before + 1)
    #expect(node.perform("reload-agent") == Outcome(.success) && node.loads.count == before + 1, "to load it again would end its SAs")
    node.owners = "203.0.113.51 198.51.100.7"
    #expect(node.perform("monitor", level: 10).reason == "connections: l2tp has no pre-shared key for 203.0.113.50")
    #expect(node.machine.cluster.shared["vpnha-look-libreswan"]?["moon"]?.contains("unfit=1") == true, "whoever dials in is turned away")
  }

  /// The clock begins with 2026. What pluto holds in memory alone is not judged.
  @Test(
    arguments: [
      (["gw": "Fri Jan 16 00:00:00 2026"], nil), (["gw": "Wed Jan 14 12:00:00 2026"], "connections: the certificate of l2tp ends at 2026-01-14T12:00:00Z"),
      (["gw": "Wed Dec 31 23:59:59 2025"], "connections: the certificate of l2tp ended at 2025-12-31T23:59:59Z"), (["gw": nil], "connections: l2tp has no private key for its certificate gw"),
      (["other": "Fri Jan 16 00:00:00 2099"], nil), ([:], nil), (["gw": "tomorrow"], nil),
    ] as [([String: String?], String?)]) func aCertificateThatServesNobodyIsARisk(certificates: [String: String?], risk: String?) throws
  {
    let node = try PlutoNode()
    node.owners = "203.0.113.51 198.51.100.7"
    node.certificates = certificates.map { name, end in
      "000 End certificate \"\(name)\" - SN: 0x02\n000   not after: \(end ?? "Fri Jan 16 00:00:00 2099")\n000   2048 bit RSA\(end == nil ? "" : ": has private key")\n"
    }.joined()
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.perform("monitor", level: 10) == Outcome(.success, risk))
    let look = node.machine.cluster.shared["vpnha-look-libreswan"]?["moon"] ?? ""
    #expect(look.contains("unfit=1") == (risk.map { !$0.contains(" ends at ") } ?? false), "\(look)")
  }

  @Test func aBrokenFileFailsNoDaemonThatRuns() throws {
    let node = try PlutoNode()
    node.isBroken = true
    let refused = Outcome(.genericError, "config: /etc/ipsec.conf:16: syntax error [foo]")
    #expect(node.perform("start") == refused && node.perform("validate-all", level: 10) == refused && node.machine.processes.launched.isEmpty)
    node.isBroken = false
    #expect(node.perform("start") == Outcome(.success))
    node.isBroken = true
    #expect(node.perform("monitor") == Outcome(.success))
    #expect(node.perform("monitor", level: 10) == Outcome(.success, refused.reason))
    #expect(node.perform("stop") == Outcome(.success) && node.pluto == nil)
  }

  /// A stop that answers 0 has ended pluto, whatever the kernel refused; any other outcome says why.
  @Test(arguments: ["start", "monitor", "stop"]) func everyCallMayFail(action: String) throws {
    var current = try PlutoNode()
    let forced = InMemoryMachine.failingEveryCall {
      do { current = try PlutoNode() } catch { Issue.record("\(error)") }
      if action != "start" { _ = current.perform("start") }
      return current.machine
    } _: { _ in
      current.perform(action, level: action == "monitor" ? 10 : 0)
    } check: { failed, outcome, _ in
      if outcome.status == .success {
        #expect((current.pluto == nil) == (action == "stop"), "\(action), \(failed)")
      } else {
        #expect(outcome.reason != nil, "\(action), \(failed): \(outcome)")
      }
    }
    #expect(forced > 5)
  }
}
