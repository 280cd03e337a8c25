import Glibc
import Host
import HostTestKit
import LinuxHost
import Testing

@testable import vpnha

/// Secrets in every file, in the CIB and in what programs say; and none of them in the bundle.
@Suite struct SupportBundleTests {
  static let planted = [
    "swan-psk-1", "old-psk in a comment", "two words", "ha-plugin-secret", "alice's \"pw\"", "bob-pw", "pap-pw", "l2tp-pw", "ppp-options-pw", "conntrackd-pw", "xl2tpd-pw", "radius-shared", "fence-pw",
    "test-account-pw", "hooks/T0/B0/token", "file-secret", "corosync-key", "multi\nline", "a&b<c",
  ]

  static func machine() throws -> InMemoryMachine {
    let machine = InMemoryMachine()
    let files = machine.files
    files.nodes = try DoctorTests.tree().nodes
    files.put("connections {\n  l2tp {\n    version = 1\n  }\n}\nsecrets {\n  # secret = \"old-psk in a comment\"\n  ike-1 { id = 203.0.113.50\n secret = swan-psk-1 # why\n }\n  eap-x { id = x  secret = \"two words\" }\n  ike-2 {\n secret = \"multi\nline\"\n }\n  ike-3 { secret = \"a&b<c\" }\n}\n", at: "/etc/swanctl/swanctl.conf", mode: 0o600)
    files.put("charon {\n plugins {\n ha {\n local = 10.77.0.1\n secret=ha-plugin-secret\n }\n eap-radius {\n servers {\n a { secret = radius-shared }\n }\n }\n }\n}\n", at: "/etc/strongswan.d/vpnha.conf")
    files.put("; password = xl2tpd-pw\n[global]\nlisten-addr = 203.0.113.50\n[lns default]\nip range = 10.9.0.10-10.9.0.127\npppoptfile = /etc/ppp/options.xl2tpd\n", at: "/etc/xl2tpd/xl2tpd.conf")
    files.put("# auth\nauth\npassword ppp-options-pw\nmtu 1400\n", at: "/etc/ppp/options.xl2tpd")
    files.put("# client server secret addresses\nalice vpnha \"alice's \\\"pw\\\"\" 10.9.0.251\nbob \\\n  vpnha bob-pw *\n", at: "/etc/ppp/chap-secrets", mode: 0o600)
    files.put("carol * pap-pw\n", at: "/etc/ppp/pap-secrets", mode: 0o600)
    files.put("* * l2tp-pw\n", at: "/etc/xl2tpd/l2tp-secrets", mode: 0o600)
    files.put("General {\n  # Password conntrackd-pw\n  LockFile /run/x\n}\n", at: "/etc/conntrackd/conntrackd.conf")
    files.put("totem {\n  key: corosync-key\n}\n", at: "/etc/corosync/corosync.conf")
    files.put("file-secret\n", at: "/etc/vpnha/test_password", mode: 0o600)
    let cib = try Pair.cib([
      (#"<instance_attributes id="xl2tpd-instance_attributes">"#, #"<instance_attributes id="xl2tpd-instance_attributes"><nvpair id="p1" name="test_password" value="test-account-pw"/><nvpair id="p2" name="test_password_file" value="/etc/vpnha/test_password"/>"#),
      (#"<nvpair id="fence-moon-instance_attributes-pcmk_host_list""#, #"<nvpair id="p3" name="passwd" value="fence-pw"/><nvpair id="fence-moon-instance_attributes-pcmk_host_list""#),
      ("</alert>", #"<recipient id="r9" value="https://chat.example/hooks/T0/B0/token"/></alert>"#),
    ])
    machine.processes.whenRun("/usr/sbin/cibadmin") { _ in CommandResult(.exited(0), output: Array(cib.utf8)) }
    // A program that says everything.
    for words in SupportBundle.commands {
      files.putExecutable(words[0])
      machine.processes.whenRun(words[0]) { _ in CommandResult(.exited(1), output: Array(planted.map { "it is \($0) here\n" }.joined().utf8), error: Array("a&amp;b&lt;c".utf8)) }
    }
    return machine
  }

  static func bundle() throws -> SupportBundle {
    let machine = try machine()
    var bundle = SupportBundle(host: machine.host, tools: PacemakerTools(machine.host), since: "-1d")
    bundle.collect()
    return bundle
  }

  @Test func noSecretIsInIt() throws {
    let bundle = try Self.bundle()
    #expect(bundle.parts.count > 20)
    for part in bundle.parts {
      for secret in Self.planted { #expect(!part.text.contains(secret), "\(part.name): \(part.text)") }
      #expect(!part.text.contains("a&amp;b&lt;c"), "\(part.name)")
    }
  }

  /// What is no secret is what the bundle is for.
  @Test func theRestIsThere() throws {
    let bundle = try Self.bundle()
    func text(_ name: String) throws -> String { try #require(bundle.parts.first { $0.name == name }?.text, "\(bundle.parts.map(\.name))") }
    #expect(try text("files/etc/ppp/chap-secrets") == "alice vpnha <secret> 10.9.0.251\nbob vpnha <secret> *\n")
    #expect(try text("files/etc/swanctl/swanctl.conf").contains("    version = 1\n") && text("files/etc/swanctl/swanctl.conf").contains("secret = <secret>"))
    #expect(try text("files/etc/strongswan.d/vpnha.conf").contains("local = 10.77.0.1"))
    #expect(try text("files/etc/xl2tpd/xl2tpd.conf").contains("ip range = 10.9.0.10-10.9.0.127") && !text("files/etc/xl2tpd/xl2tpd.conf").contains(";"))
    #expect(try text("files/etc/ppp/options.xl2tpd") == "auth\npassword <secret>\nmtu 1400\n")
    let cib = try text("cluster/cib.xml")
    #expect(cib.contains(#"name="test_password" value="&lt;secret&gt;""#) && cib.contains(#"name="pcmk_host_list" value="moon""#) && cib.contains("https://chat.example/<secret>"))
    #expect(try text("doctor.json").contains("\"findings\""))
    // What could not be had is said.
    #expect(bundle.missing.contains { $0.name == "status" })
  }

  @Test func theArchiveIsRootsAloneAndReplacesNothing() throws {
    let folder = "/tmp/vpnha-bundle-\(getpid())"
    let files = LinuxFiles()
    try files.makeDirectory(folder, mode: 0o700)
    defer { _ = try? files.remove("\(folder)/a.tar.gz"); _ = try? files.remove(folder) }
    var bundle = SupportBundle(host: .silent, tools: PacemakerTools(.silent), since: "-1d")
    bundle.parts = [.init(name: "status.txt", text: "GOOD\n"), .init(name: "files/etc/x.conf", text: "x\n")]
    let path = "\(folder)/a.tar.gz"
    let size = try bundle.write(path, node: "moon")
    var status = try #require(try files.status(path))
    status.edition = 0
    #expect(status == FileStatus(.regular, mode: 0o600, owner: geteuid(), size: Int64(size)))
    let listed = try LinuxProcesses().run(Command("/usr/bin/tar", ["--list", "--gzip", "--file=\(path)"]), before: LinuxClock().now + .seconds(10))
    let names = String(decoding: listed.output, as: UTF8.self).split(separator: "\n").filter { !$0.hasSuffix("/") }.sorted()
    #expect(names == ["README.txt", "files/etc/x.conf", "missing.txt", "status.txt"].map { "vpnha-report-moon/\($0)" })
    #expect(throws: SystemError.self) { try bundle.write(path, node: "moon") }
    #expect(try files.entries(of: "/run")?.contains { $0.hasPrefix("vpnha-report-\(getpid())") } == false)
  }

  @Test func whatIsLeftOfAFileOfKeys() {
    let text = "# PSK \"no\"\n203.0.113.50 %any : PSK \"two words\"\n2001:db8::1 %any : PSK 0xdeadbeef\n: RSA {\n  Modulus: 0x123456\n}\ninclude /etc/ipsec.d/*.secrets\nodd\"one\n"
    let (names, secrets) = (Redaction.keyNames(text), Redaction.secrets(ofKeys: text))
    #expect(names.contains("203.0.113.50 %any : PSK <secret>\n2001:db8::1 %any : PSK <secret>\n") && names.contains("include /etc/ipsec.d/*.secrets"))
    for hidden in ["two words", "words", "0xdeadbeef", "0x123456", "odd"] { #expect(!names.contains(hidden), "\(hidden)") }
    #expect(secrets.contains("two words") && secrets.contains("0xdeadbeef") && secrets.contains("0x123456"))
  }
}
