import Digests
import Host
import HostTestKit
import JSON
import OCF
import Testing

@testable import vpnha

/// What two nodes have in common, and what differs.
@Suite struct FingerprintTests {
  static let secret = "hunter2-hunter2"

  /// A node with the package's examples, and a key.
  static func machine(_ change: (InMemoryFiles) -> Void = { _ in }) throws -> InMemoryMachine {
    let machine = InMemoryMachine()
    let files = try DoctorTests.tree()
    machine.files.nodes = files.nodes
    machine.files.kernelParameters = files.kernelParameters
    machine.files.put("0123456789abcdef0123456789abcdef", at: "/etc/corosync/authkey", mode: 0o400)
    machine.files.put("totem {\n}\n", at: "/etc/corosync/corosync.conf")
    machine.processes.whenRun("/usr/bin/dpkg-query") { _ in CommandResult(.exited(1), output: Array("installed xl2tpd 1.3.18-1\nnot-installed ppp \n".utf8)) }
    change(machine.files)
    return machine
  }

  static func print(_ change: (InMemoryFiles) -> Void = { _ in }) throws -> Fingerprint {
    try FingerprintSource(host: machine(change).host, configuration: ClusterConfiguration(Array(Pair.cib([]).utf8))).fingerprint()
  }

  static func edited(_ path: String, _ old: String, _ new: String) -> (InMemoryFiles) -> Void {
    { files in
      let text = files.text(at: path) ?? ""
      #expect(text.contains(old), "\(path) has no \(old)")
      files.put(text.replacing(old, with: new), at: path)
    }
  }

  static func differing(_ change: (InMemoryFiles) -> Void) throws -> [String] { try print().differences(from: print(change)).map(\.name.text) }

  @Test func twoNodesFromTheExamplesAreTheSame() throws {
    let print = try Self.print()
    #expect(try print == Self.print())
    #expect(print.kinds == [.file, .filter, .kernel, .package] && print.entries[.init(.package, "xl2tpd")] == "1.3.18-1" && print.entries[.init(.kernel, "net.ipv4.ip_forward")] == "1")
    #expect(print.entries[.init(.file, "/etc/ppp/chap-secrets")] != nil && print.entries[.init(.file, "/etc/conntrackd/conntrackd.conf")] != "-")
  }

  /// Lines that the package's own examples call a node's own, and what is no content.
  @Test(arguments: [
    ("/etc/xl2tpd/xl2tpd.conf", "10.9.0.10-10.9.0.127", "10.9.0.128-10.9.0.250"), ("/etc/conntrackd/conntrackd.conf", "IPv4_address 10.77.0.1                # HERE", "IPv4_address 10.77.0.2    # THERE"),
    ("/etc/conntrackd/conntrackd.conf", "Interface eth1", "Interface eth2"), ("/etc/conntrackd/conntrackd.conf", "IPv4_address 203.0.113.11", "IPv4_address 203.0.113.19"), ("/etc/strongswan.conf", "local = 10.77.0.1", "local = 10.77.0.2"),
    ("/etc/swanctl/swanctl.conf", "connections {", "# a word\n\n   connections {"), ("/etc/ppp/options.xl2tpd", "mtu 1400", "  mtu 1400\n# more"),
  ]) func aNodesOwnLinesDoNotCount(_ path: String, _ old: String, _ new: String) throws {
    #expect(try Self.differing(Self.edited(path, old, new)) == [])
  }

  @Test(arguments: [
    ("/etc/xl2tpd/xl2tpd.conf", "local ip = 10.9.0.1", "local ip = 10.9.0.2"), ("/etc/conntrackd/conntrackd.conf", "IPv4_address 203.0.113.50", "IPv4_address 203.0.113.51"),
    ("/etc/conntrackd/conntrackd.conf", "Mode FTFW", "Mode NOTRACK"), ("/etc/strongswan.conf", "segment_count = 1", "segment_count = 2"), ("/etc/ppp/chap-secrets", "alice ", "alicia "),
    ("/etc/swanctl/swanctl.conf", "secret = \"change me\"", "secret = \"change me # too\""), ("/etc/ppp/options.xl2tpd", "mtu 1400", "mtu 1300"),
  ]) func everythingElseDoes(_ path: String, _ old: String, _ new: String) throws {
    #expect(try Self.differing(Self.edited(path, old, new)) == ["file:\(path)"])
  }

  @Test func filesThatOneNodeHas() throws {
    #expect(try Self.differing { $0.put("connections { }", at: "/etc/swanctl/conf.d/more.conf") } == ["file:/etc/swanctl/conf.d/more.conf"])
    #expect(try Self.differing { $0.nodes["/etc/ppp/chap-secrets"] = nil } == ["file:/etc/ppp/chap-secrets"])
    #expect(try Self.differing { $0.kernelParameters["net.ipv4.ip_forward"] = "0" } == ["kernel:net.ipv4.ip_forward"])
    // Many are one.
    #expect(try Self.differing { files in for number in 0..<50 { files.put("x", at: "/etc/swanctl/conf.d/\(number).conf") } } == ["file:/etc/swanctl/conf.d/"])
  }

  /// What the cluster is given says nothing to those who lack the key, and is read again.
  @Test func nothingSecretIsInIt() throws {
    let print = try Self.print { $0.put("alice vpnha \(Self.secret) *\n", at: "/etc/ppp/chap-secrets") }
    let text = try #require(print.text)
    #expect(!text.contains("hunter2") && !text.contains("\"") && !text.contains("\n"))
    #expect(Fingerprint(text) == print && JSONValue(print.json.utf8).flatMap { Fingerprint($0) } == print)
    // Neither the plain digest of the file nor one of another key.
    let plain = sha256(Array("alice vpnha \(Self.secret) *".utf8)).prefix(8).map { "\($0 < 16 ? "0" : "")\(String($0, radix: 16))" }.joined()
    #expect(!text.contains(plain))
    let other = try Self.print { $0.put("fedcba9876543210fedcba9876543210", at: "/etc/corosync/authkey", mode: 0o400) }
    #expect(other.key != print.key && other.entries[.init(.file, "/etc/strongswan.conf")] != print.entries[.init(.file, "/etc/strongswan.conf")])
    for length in 0..<text.count { _ = Fingerprint(String(text.prefix(length))) }
    #expect(Fingerprint("1 12 ab file file:%zz=1") == nil && Fingerprint("2 12 ab file") == nil && Fingerprint("1 12 ab file x=1") == nil)
  }

  @Test func aKeyThatOthersMayReadIsNone() throws {
    #expect(throws: SystemError.self) { try Self.print { $0.put("0123456789abcdef", at: "/etc/corosync/authkey", mode: 0o440) } }
    #expect(throws: SystemError.self) { try Self.print { $0.nodes["/etc/corosync/authkey"] = nil } }
    #expect(
      try Self.print { files in
        files.nodes["/etc/corosync/authkey"] = nil
        files.put("0123456789abcdef0123456789abcdef0123456789abcdef", at: KeyCommand.standardPath, mode: 0o600)
      }.key != Self.print().key)
  }

  // MARK: What is said of it

  static func drift(_ theirs: Fingerprint, age: Int64 = 30) throws -> [Finding] {
    var theirs = theirs
    let now = Timestamp(seconds: 1_795_867_600)
    var mine = try print()
    (mine.at, theirs.at) = (now, Timestamp(seconds: now.seconds - age))
    return Drift(prints: ["moon": theirs, "sun": mine], here: "sun", time: now).findings
  }

  @Test func driftIsARiskThatNamesTheFile() throws {
    let found = try Self.drift(Self.print(Self.edited("/etc/ppp/chap-secrets", "alice ", "alicia ")))
    #expect(found.map(\.id) == [.DRIFT2] && found[0].severity == .risk && found[0].summary == "/etc/ppp/chap-secrets is not the same on sun and moon")
    #expect(found[0].fix == ["scp -p /etc/ppp/chap-secrets moon:/etc/ppp/chap-secrets    # on sun, if its file is the right one"])
    // A file with lines of the node's own is not to be copied.
    #expect(try Self.drift(Self.print(Self.edited("/etc/xl2tpd/xl2tpd.conf", "local ip = 10.9.0.1", "local ip = 10.9.0.2"))).first?.fix.first?.hasPrefix("editor ") == true)
    #expect(try Self.drift(Self.print { $0.kernelParameters["net.ipv4.ip_forward"] = "0" }).map(\.summary) == ["net.ipv4.ip_forward is 1 on sun, 0 on moon"])
    // The same, too old, and of another key.
    #expect(try Self.drift(Self.print()) == [])
    #expect(try Self.drift(Self.print(Self.edited("/etc/ppp/chap-secrets", "alice ", "alicia ")), age: 200) == [])
    #expect(try Self.drift(Self.print { $0.put("fedcba9876543210fedcba9876543210", at: "/etc/corosync/authkey", mode: 0o400) }).map(\.id) == [.DRIFT5])
  }

  /// What one node could not be asked about is no difference.
  @Test func whatIsNotKnownIsNotCompared() throws {
    var print = try Self.print()
    print.kinds.insert(.charon)
    print.entries[.init(.charon, "connection l2tp")] = "0011"
    #expect(try Self.drift(print) == [])
  }

  @Test func aCrowdIsCounted() throws {
    let found = try Self.drift(Self.print { files in for number in 0..<9 { files.put("x", at: "/etc/swanctl/conf.d/\(number).conf") } })
    #expect(found.count == 5 && found.last?.summary == "sun and moon differ in 5 more things")
  }

  @Test func statusSaysIt() throws {
    var looks = StatusTests.looks()
    looks.prints = ["moon": try Self.print(), "sun": try Self.print(Self.edited("/etc/ppp/chap-secrets", "alice ", "alicia "))]
    for node in ["moon", "sun"] { looks.prints[node]?.at = StatusTests.moment }
    let status = try StatusTests.status([], looks: looks)
    #expect(status.wouldSucceed == true && status.verdict == .risk && status.findings.map(\.id) == [.DRIFT2])
  }

  @Test func everyCallThatFailsIsAnError() throws {
    let configuration = try ClusterConfiguration(Array(Pair.cib([]).utf8))
    var world: InMemoryMachine?
    let machine = try Self.machine()
    let count = InMemoryMachine.failingEveryCall(
      in: {
        let fresh = InMemoryMachine()
        fresh.files.nodes = machine.files.nodes
        fresh.files.kernelParameters = machine.files.kernelParameters
        world = fresh
        return fresh
      },
      { machine -> Fingerprint? in
        do throws(SystemError) { return try FingerprintSource(host: machine.host, configuration: configuration).fingerprint() } catch { return nil }
      }
    ) { failed, outcome, _ in
      // A file that could not be read is never one that is not there.
      if failed.description.hasPrefix("files.read") || failed.description.hasPrefix("files.status") { #expect(outcome == nil, "\(failed)") }
    }
    #expect(count > 20 && world != nil)
  }
}
