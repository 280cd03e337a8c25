import Host
import HostTestKit
import L2TP
import Testing

@testable import Sessions

/// A node with sessions, as far as the kernel and pppd tell.
final class Gateway {
  let machine = InMemoryMachine()
  private(set) lazy var server = machine.processes.appear("/usr/sbin/xl2tpd", ["-D"])
  private var records: [(key: String, value: String)] = []

  /// A session in the state that pppd and the kernel would be in.
  @discardableResult
  func session(
    _ user: String?, kernel: Bool = true, inner: String? = "10.9.0.10", outer: String? = "198.51.100.7", interface: String? = nil,
    parent: Int32? = nil, options: String = "/etc/ppp/options.xl2tpd"
  ) -> Process {
    let pppd = machine.processes.appear(
      "/usr/sbin/pppd",
      (kernel ? ["plugin", "pppol2tp.so", "pppol2tp", "8", "pppol2tp_lns_mode"] : ["/dev/pts/3"]) + ["passive", "nodetach", "file", options]
        + (outer.map { ["ipparam", $0] } ?? []), parent: parent ?? server.pid)
    if let interface {
      records.append(("pppd\(pppd.pid)", "PPPD_PID=\(pppd.pid);IFNAME=\(interface);" + (user.map { "PEERNAME=\($0);" } ?? "")))
      machine.network.pppLinksFound.append(
        PPPLink(index: pppd.pid, name: interface, peer: inner.flatMap { IPAddress($0) }, received: 1000, sent: 2000))
    }
    if kernel, let outer, let peer = IPAddress(outer) {
      machine.sockets.l2tp[pppd.pid] = L2TPSocket(peer: peer, port: 1701, tunnel: 7, session: 8, peerTunnel: 9, peerSession: 10)
    }
    return pppd
  }

  func sessions(_ optionFiles: [String] = ["/etc/ppp/options.xl2tpd"]) throws(SystemError) -> [Session] {
    machine.files.nodes["/run/pppd2.tdb"] = InMemoryFiles.Node(database(records))
    return try SessionInventory(SessionMarks(optionFiles: optionFiles)).sessions(on: machine.host)
  }
}

@Suite struct SessionInventoryTests {
  @Test func whatIsKnownOfASessionInEitherMode() throws {
    let node = Gateway()
    let first = node.session("alice", interface: "ppp0")
    let second = node.session("bob", kernel: false, inner: "10.9.0.11", outer: "198.51.100.8", interface: "ppp1")
    let sessions = try node.sessions()
    #expect(sessions.map(\.pid) == [first.pid, second.pid])
    #expect(sessions.map(\.user) == ["alice", "bob"] && sessions.map(\.interface) == ["ppp0", "ppp1"])
    #expect(sessions.map { $0.inner?.description } == ["10.9.0.10", "10.9.0.11"])
    #expect(sessions.map { $0.outer?.description } == ["198.51.100.7", "198.51.100.8"])
    #expect(sessions.map(\.received) == [1000, 1000] && sessions.map(\.sent) == [2000, 2000])
    #expect(sessions[0].kernel?.session == 8 && sessions[1].kernel == nil)
    #expect(sessions.allSatisfy { !$0.isOrphan })
  }

  /// pppd was started 100 s after the machine; a thousand have passed.
  @Test func sinceIsWhenItsProcessWasStarted() throws {
    let node = Gateway()
    node.session("alice", interface: "ppp0")
    node.machine.processes.table[1].startTime = 10_000
    #expect(try node.sessions().map(\.since) == [Timestamp(seconds: node.machine.clock.timestamp.seconds - 900)])
    // Nonsense stays in this world.
    node.machine.processes.table[1].startTime = .max
    #expect(try node.sessions().map(\.since) == [node.machine.clock.timestamp])
  }

  @Test func aSessionThatIsHalfUpIsListedWithWhatThereIs() throws {
    let node = Gateway()
    node.session(nil, outer: nil)  // just started
    node.session(nil, inner: nil, interface: "ppp1")  // negotiating
    node.session("carol", inner: nil, interface: "ppp2")  // authenticated, no address yet
    let sessions = try node.sessions()
    #expect(sessions.map(\.user) == [nil, nil, "carol"] && sessions.map(\.inner) == [nil, nil, nil])
    #expect(sessions.map(\.interface) == [nil, "ppp1", "ppp2"] && sessions[0].received == nil && sessions[0].outer == nil)
  }

  @Test func whatIsNotL2TPIsNotCounted() throws {
    let node = Gateway()
    node.machine.processes.appear("/usr/sbin/pppd", ["plugin", "rp-pppoe.so", "nic-eth1", "file", "/etc/ppp/options.dsl"])
    node.machine.processes.appear("/usr/sbin/pppd", ["/dev/ttyS0", "file", "/etc/ppp/options.modem"])
    node.machine.processes.appear("/usr/sbin/pppd", ["file"])
    let session = node.session("alice", interface: "ppp0")
    // The child that runs its script, and a program that only looks like it.
    node.machine.processes.appear("/usr/sbin/pppd", Array(session.arguments.dropFirst()), parent: session.pid)
    node.machine.processes.appear("/tmp/pppd", Array(session.arguments.dropFirst()))
    #expect(try node.sessions().map(\.pid) == [session.pid])
  }

  @Test func orphansAreKnownByTheirPluginOrTheirOptions() throws {
    let node = Gateway()
    node.session("alice", interface: "ppp0", parent: 1, options: "/etc/ppp/other")
    node.session("bob", kernel: false, interface: "ppp1", parent: 1)
    #expect(try node.sessions().map(\.user) == ["alice", "bob"])
    #expect(try node.sessions().allSatisfy(\.isOrphan))
    #expect(try node.sessions([]).map(\.user) == ["alice"])
  }

  /// By the ends of the session, where a server of the configuration gives them.
  @Test func orphansWithoutAnOptionFileAreKnownByTheirAddresses() throws {
    let configuration = try XL2TPDConfiguration(
      Array("[lns default]\nlocal ip = 10.9.0.1\nip range = 10.9.0.10-10.9.0.99\n[lns far]\nassign ip = no\nlocal ip = 10.9.9.1\n".utf8))
    let node = Gateway()
    func pppd(_ arguments: String..., parent: Int32 = 1) -> Int32 { node.machine.processes.appear("/usr/sbin/pppd", arguments, parent: parent).pid }
    let ours = [
      pppd("/dev/pts/0", "passive", "nodetach", "10.9.0.1:10.9.0.99"),
      pppd("plugin", "pppol2tp.so", "pppol2tp", "8", "passive", "nodetach", "10.9.0.1:10.9.0.10"),
      pppd("plugin", "pppol2tp.so", "pppol2tp", "8", "pppol2tp_lns_mode", "passive", "nodetach", "10.9.9.1:"),
    ]
    _ = [
      pppd("/dev/pts/0", "passive", "nodetach", "10.9.0.1:10.9.0.100"), pppd("/dev/pts/0", "passive", "nodetach", "10.9.0.2:10.9.0.10"),
      pppd("/dev/pts/0", "passive", "nodetach", "10.9.0.1:10.9.0.99", parent: 77), pppd("/dev/pts/0", "nodetach", "10.9.0.1:10.9.0.99"),
      pppd("plugin", "pppol2tp.so", "pppol2tp", "8", "pppol2tp_lns_mode", "passive", "nodetach", "10.8.0.1:10.8.0.10"),
      pppd("plugin", "rp-pppoe.so", "eth1", "10.9.0.1:10.9.0.99"),
    ]
    let sessions = try SessionInventory(SessionMarks(configuration)).sessions(on: node.machine.host)
    #expect(sessions.map(\.pid) == ours && sessions.allSatisfy(\.isOrphan))
  }

  @Test func withoutADatabaseTheInterfaceIsFoundByItsFile() throws {
    let node = Gateway()
    let session = node.session("alice", interface: "ppp0")
    node.machine.files.put("\(session.pid)\n", at: "/run/ppp0.pid")
    node.machine.files.put("4711\n", at: "/run/ppp1.pid")
    node.machine.files.put("nonsense", at: "/run/ppp2.pid")
    let sessions = try SessionInventory().sessions(on: node.machine.host)
    #expect(sessions.map(\.interface) == ["ppp0"] && sessions.map(\.user) == [nil])
    #expect(sessions.first?.inner?.description == "10.9.0.10")
  }

  @Test func aDatabaseThatIsNoneIsSaid() throws {
    let node = Gateway()
    node.session("alice", interface: "ppp0")
    node.machine.files.put("something else", at: "/run/pppd2.tdb")
    let problem = #expect(throws: SystemError.self) { try SessionInventory().sessions(on: node.machine.host) }
    #expect(problem?.description.contains("/run/pppd2.tdb") == true)
    // Where there is no session nothing needs to be known.
    node.machine.processes.table = []
    #expect(try SessionInventory().sessions(on: node.machine.host) == [])
  }

  @Test func thousands() throws {
    let node = Gateway()
    for number in 0..<3000 { node.session("user\(number)", inner: "10.9.\(number / 250).\(number % 250)", interface: "ppp\(number)") }
    let sessions = try node.sessions()
    #expect(sessions.count == 3000 && Set(sessions.compactMap(\.user)).count == 3000 && Set(sessions.compactMap(\.inner)).count == 3000)
  }

  /// A count is never wrong because a look failed: it is an error, or all sessions are there.
  @Test func everyCallMayFail() {
    let forced = InMemoryMachine.failingEveryCall {
      let node = Gateway()
      node.session("alice", interface: "ppp0")
      node.session("bob", kernel: false, interface: "ppp1")
      _ = try? node.sessions()
      return node.machine
    } _: { machine in
      Result { try SessionInventory().sessions(on: machine.host) }
    } check: { failed, outcome, _ in
      if case .success(let sessions) = outcome { #expect(sessions.count == 2, "\(failed)") }
    }
    #expect(forced > 5)
  }
}
