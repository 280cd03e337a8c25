import Testing

/// What docs/operations.md has operators type, as far as it can be typed without a cluster.
struct OperationsTests {
  /// The indented lines: what is typed.
  static func typed() throws -> [String] {
    let page = try Answer(.init("/bin/cat", ["\(Built.checkout)/docs/operations.md"], outputLimit: 1 << 20), within: .seconds(5)).output
    return page.split(separator: "\n").filter { $0.hasPrefix("    ") }.map { String($0.drop { $0 == " " }) }
  }

  @Test("the cluster can be set up as the page says", .needsNamespaces, .needs("/usr/sbin/pcs", "/usr/sbin/corosync"))
  func setup() throws {
    let line = try #require(try Self.typed().first { $0.hasPrefix("pcs cluster setup ") })
    let answer = try Sandbox.run([
      "bash", "-c",
      """
      set -e
      cd /run
      mkdir -p /var/log/corosync /etc/corosync
      mount -t tmpfs none /etc/corosync
      for address in 10.77.0.1 203.0.113.11; do ip address add $address/24 dev v0; done
      head -c 256 /dev/zero >/etc/corosync/authkey
      \(line) --corosync_conf corosync.conf
      cat corosync.conf
      corosync -t -c /run/corosync.conf
      """,
    ])
    #expect(answer.status == 0, "\(answer.output)\(answer.error)")
    #expect(answer.output.contains("ring1_addr: 203.0.113.12") && answer.output.contains("token: 3000") && answer.output.contains("two_node: 1"))
  }

  @Test("changes to the configuration are accepted", .needsNamespaces, .needs("/usr/sbin/pcs", "/usr/sbin/crm", "/usr/sbin/fence_ipmilan"))
  func changes() throws {
    let lines = try Self.typed().filter { line in
      ["pcs property set", "pcs node ", "pcs resource update", "pcs resource op add", "pcs resource clear"].contains { line.hasPrefix($0) }
    }
    #expect(lines.count >= 10)
    let cib = try ExampleTests.load(
      """
      CIB_file=/run/cib.xml crm --force configure load update '\(Built.checkout)/Packaging/examples/crmsh/gateway.crm' >&2
      \(lines.map { "\($0.replacing("pcs ", with: "pcs -f cib.xml ")) >&2" }.joined(separator: "\n"))
      """)
    #expect(cib.contains("name=\"extra\" value=\"/etc/vpnha/extra.nft\"") && cib.contains("name=\"OCF_CHECK_LEVEL\" value=\"20\""))
  }

  @Test("sessions, drain, metrics, fingerprint and report are called as they can be called, and answer without a cluster", .needsNamespaces)
  func withoutACluster() throws {
    let calls = try Self.typed().filter { line in ["vpnha sessions", "vpnha drain", "vpnha metrics", "vpnha fingerprint", "vpnha report"].contains { line.hasPrefix($0) } }
    #expect(calls.count >= 7)
    for call in calls {
      let answer = try Sandbox.run(["bash", "-c", "cd /run; '\(Built.folder)/vpnha'\(call.dropFirst("vpnha".count))"], within: .seconds(30))
      // 3: what it is about could not be asked here; 1: a part of it.
      #expect(answer.status == 0 || answer.status == 3 || (answer.status == 1 && call == "vpnha report"), "\(call): \(answer.status ?? -1) \(answer.output)\(answer.error)")
    }
    #expect(try Self.typed().contains("systemctl enable --now vpnha-metrics.timer"))
  }

  @Test("vpnha is called as it can be called")
  func vpnha() throws {
    let calls = try Self.typed().filter { $0.hasPrefix("vpnha run ") }
    #expect(calls.count >= 4)
    for call in calls {
      // Without a cluster there is no resource to ask for: the words are right when that is all there is to complain about.
      let answer = try Answer(.init("/bin/bash", ["-c", "'\(Built.folder)/\(call.replacing("vpnha run", with: "vpnha' run"))"]), within: .seconds(30))
      #expect(answer.status != 64 || answer.error.contains("there is no cluster here"), "\(call): \(answer.error)")
    }
  }
}
