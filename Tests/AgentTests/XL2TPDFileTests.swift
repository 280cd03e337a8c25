import Host
import HostTestKit
import OCF
import Testing

@testable import XL2TPDAgent

/// xl2tpd reads its file when it starts. What becomes of the file then is no fault of the daemon.
@Suite struct XL2TPDFileTests {
  static let path = "/etc/xl2tpd/xl2tpd.conf"
  static let record = "/run/resource-agents/vpnha-xl2tpd-l2tp.conf"

  /// What somebody, or a tool on every node at once, may make of it; and the words for it.
  static let mistakes: [(text: String?, words: String)] = [
    (nil, "config: /etc/xl2tpd/xl2tpd.conf is missing"),
    ("", "config: add \"listen-addr = ADDRESS\" to [global] of /etc/xl2tpd/xl2tpd.conf"),
    (L2TPGateway.configuration + "\nnonsense\n", "config: /etc/xl2tpd/xl2tpd.conf line 6: no '='"),
    ("port = foo\n", "config: /etc/xl2tpd/xl2tpd.conf line 1: a setting outside of a section"),
    ("[global]\nport = foo\nlisten-addr = 203.0.113.50\n[lns default]\n", "config: /etc/xl2tpd/xl2tpd.conf line 2: invalid port foo"),
    ("[global]\nlisten-addr = 0.0.0.0\n[lns default]\n", "config: set listen-addr in /etc/xl2tpd/xl2tpd.conf line 2: bound to 0.0.0.0"),
    ("[global]\nlisten-addr = 203.0.113.50\n", "config: /etc/xl2tpd/xl2tpd.conf has no [lns default]"),
    (
      "[global]\nlisten-addr = 203.0.113.50\n[lns default]\npppoptfile = /etc/ppp/none\n",
      "config: /etc/xl2tpd/xl2tpd.conf has pppoptfile /etc/ppp/none, which is missing"
    ),
  ]

  private func spoil(_ node: L2TPGateway, _ text: String?) {
    if let text { node.machine.files.put(text, at: Self.path) } else { node.machine.files.nodes[Self.path] = nil }
  }

  /// One that serves does so through its whole life.
  @Test(arguments: mistakes.indices) func aBrokenFileFailsNoHealthyDaemon(index: Int) {
    let (text, words) = Self.mistakes[index]
    let node = L2TPGateway()
    #expect(node.perform("start", clone: true) == Outcome(.success))
    #expect(node.perform("promote", clone: true) == Outcome(.success))
    spoil(node, text)
    #expect(node.perform("monitor", clone: true).status == .runningPromoted)
    let atRisk = node.perform("monitor", clone: true, level: 10)
    #expect(atRisk.status == .runningPromoted && atRisk.reason?.hasPrefix(words) == true, "\(atRisk)")
    #expect(node.perform("reload-agent", clone: true) == Outcome(.success))
    node.tunnels = 2
    #expect(node.perform("demote", clone: true) == Outcome(.success))
    #expect(node.farewells == 2 && node.isShut)
    #expect(node.perform("monitor", clone: true) == Outcome(.success))
    let standby = node.perform("monitor", clone: true, level: 10)
    #expect(standby.status == .success && standby.reason?.hasPrefix(words) == true, "\(standby)")
    #expect(node.perform("promote", clone: true) == Outcome(.success))
    node.loseAddress()
    for level in [0, 10] {
      #expect(
        node.perform("monitor", clone: true, level: level)
          == Outcome(.failedPromoted, "promoted, and 203.0.113.50 is not on this node"))
    }
    #expect(node.perform("stop", clone: true) == Outcome(.success))
    #expect(node.machine.processes.table.isEmpty && node.machine.files.nodes[Self.record] == nil)
    let start = node.perform("start", clone: true)
    #expect(start.status == .genericError && start.reason?.hasPrefix(words) == true, "\(start)")
  }

  /// A daemon that somebody else started, of which nothing is recorded.
  @Test(arguments: mistakes.indices) func norOneThatWasFoundRunning(index: Int) {
    let node = L2TPGateway()
    node.running()
    spoil(node, Self.mistakes[index].text)
    for clone in [false, true] {
      #expect(node.perform("monitor", clone: clone) == Outcome(.success))
      #expect(node.perform("monitor", clone: clone, level: 10).reason != nil)
    }
    #expect(node.perform("promote", clone: true) == Outcome(.success))
    #expect(node.perform("monitor", clone: true).status == .runningPromoted)
    node.loseAddress()
    #expect(node.perform("monitor", clone: true).status == .failedPromoted)
    #expect(node.perform("stop", clone: true) == Outcome(.success))
  }

  /// Neither file nor record nor its usual port: it answers, and the address is all that can be looked at.
  @Test func whatNobodyCanTellIsARisk() {
    let node = L2TPGateway()
    node.running()
    node.machine.sockets.listeners = [4711: [UDPListener(L2TPGateway.vip, inode: 8)]]
    spoil(node, "[global\n")
    let outcome = node.perform("monitor")
    #expect(outcome.status == .success && outcome.reason?.hasPrefix("set address: ") == true, "\(outcome)")
    #expect(node.perform("monitor", ["address": "203.0.113.50"]).reason == outcome.reason)
    #expect(node.perform("stop") == Outcome(.success))
  }

  @Test func theFreshDaemonIsStartedWithWhatTheLastOneWas() {
    let node = L2TPGateway()
    #expect(node.perform("start", clone: true) == Outcome(.success))
    #expect(node.perform("promote", clone: true) == Outcome(.success))
    // A word that only the daemon knows to be none.
    node.machine.files.put(L2TPGateway.configuration + "\nrequrie chap = yes\n", at: Self.path)
    node.machine.processes.launches[L2TPGateway.program] = { [unowned node] command in
      node.behaviour = command.arguments.contains(Self.record) ? .serves : .exits
      return node.running(as: command)
    }
    #expect(node.perform("demote", clone: true) == Outcome(.success))
    #expect(
      node.machine.processes.launched.last?.arguments == [
        "-D", "-l", "-c", Self.path, "-c", Self.record, "-p", "/run/xl2tpd.pid", "-C", L2TPGateway.control,
      ])
    #expect(node.perform("monitor", clone: true) == Outcome(.success))
    #expect(node.machine.log.messages(from: .error).contains { $0.hasPrefix("xl2tpd is started with the configuration that it had before: starting xl2tpd: ") })
    // The next one is started from a file that has been mended.
    node.machine.files.put(L2TPGateway.configuration, at: Self.path)
    node.machine.processes.launches[L2TPGateway.program] = { [unowned node] command in
      node.behaviour = .serves
      return node.running(as: command)
    }
    #expect(node.perform("promote", clone: true) == Outcome(.success))
    #expect(node.perform("demote", clone: true) == Outcome(.success))
    #expect(node.machine.processes.launched.last?.arguments.contains(Self.record) == false)
  }

  /// Pacemaker gives a demote the new value of a parameter for which it restarts the resource, and nobody serves until it has ended.
  @Test func aDemoteWithAnotherAddressEndsAtOnce() {
    let node = L2TPGateway()
    for action in ["start", "promote"] { #expect(node.perform(action, ["address": "203.0.113.50"], clone: true) == Outcome(.success)) }
    let began = node.machine.clock.now
    #expect(node.perform("demote", ["address": "203.0.113.99"], clone: true) == Outcome(.success))
    #expect(node.machine.clock.now - began < .seconds(5))
    #expect(node.machine.processes.launched.last?.arguments.contains(Self.record) == true)
  }

  /// The record is a hint: without it the file tells.
  @Test func nothingFailsForTheRecord() {
    for isDirectory in [true, false] {
      let node = L2TPGateway()
      if isDirectory { node.machine.files.nodes[Self.record] = InMemoryFiles.Node([], .directory) } else { node.machine.files.put("nonsense", at: Self.record) }
      node.machine.calls.fail("files.replace(\(Self.record)", with: .readOnly)
      #expect(node.perform("start", clone: true) == Outcome(.success))
      #expect(node.perform("monitor", clone: true, level: 10) == Outcome(.success))
      #expect(node.perform("promote", clone: true) == Outcome(.success))
      #expect(node.perform("demote", clone: true) == Outcome(.success))
      node.machine.calls.fail("files.remove(\(Self.record)", with: .readOnly)
      #expect(node.perform("stop", clone: true) == Outcome(.success))
      #expect(node.machine.processes.table.isEmpty)
    }
  }

  // MARK: Sessions whose daemon has died

  /// `pppoptfile` is optional: pppd then reads /etc/ppp/options.
  @Test(arguments: [
    ["/dev/pts/0", "passive", "nodetach", "10.9.0.1:10.9.0.10"],
    ["/dev/pts/0", "passive", "nodetach", "10.9.0.1:10.9.0.10", "refuse-pap", "name", "l2tpd"],
    ["plugin", "pppol2tp.so", "pppol2tp", "8", "pppol2tp_lns_mode", "pppol2tp_tunnel_id", "7045", "pppol2tp_session_id", "46658", "passive", "nodetach", "10.9.0.1:10.9.0.20"],
  ]) func sessionsWithoutAnOptionFileAreFound(arguments: [String]) {
    let node = L2TPGateway()
    let text = L2TPGateway.configuration.split(separator: "\n").filter { !$0.hasPrefix("pppoptfile") }.joined(separator: "\n")
    node.machine.files.put(text + "\nlocal ip = 10.9.0.1\n", at: Self.path)
    #expect(node.perform("start") == Outcome(.success))
    let daemon = node.machine.processes.table[0]
    node.machine.processes.appear("/usr/sbin/pppd", arguments, parent: daemon.pid)
    #expect(node.perform("monitor", level: 10) == Outcome(.success))
    let strangers = [
      node.machine.processes.appear("/usr/sbin/pppd", ["plugin", "rp-pppoe.so", "nic-eth1", "10.9.0.1:10.9.0.10", "nodetach"]),
      node.machine.processes.appear("/usr/sbin/pppd", ["/dev/ttyUSB0", "115200", "nodetach", "passive", "10.9.0.1:10.9.0.10"]),
      // Another server's, which has died as well; another program's, which lives; a client's.
      node.machine.processes.appear("/usr/sbin/pppd", ["/dev/pts/1", "passive", "nodetach", "10.8.0.1:10.8.0.10"]),
      node.machine.processes.appear("/usr/sbin/pppd", ["plugin", "pppol2tp.so", "pppol2tp", "8", "pppol2tp_lns_mode", "passive", "nodetach", "10.9.0.1:10.9.0.10"], parent: 77),
      node.machine.processes.appear("/usr/sbin/pppd", ["plugin", "pppol2tp.so", "pppol2tp", "7", "passive", "nodetach", ":"]),
    ]
    node.gone(daemon)
    // The file may have been emptied meanwhile.
    spoil(node, "[global]\n")
    let failed = Outcome(.genericError, "xl2tpd is gone and 1 pppd of its sessions are left")
    #expect(node.perform("monitor") == failed)
    #expect(node.perform("monitor", interval: 0) == failed)
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.machine.processes.table == strangers)
    #expect(node.perform("monitor").status == .notRunning)
  }

  /// Another xl2tpd's are its own, whatever they look like.
  @Test func anotherDaemonsSessionsAreNotOurs() {
    let node = L2TPGateway()
    let other = node.machine.processes.appear(L2TPGateway.program, ["-c", "/etc/other.conf"])
    let pppd = node.machine.processes.appear("/usr/sbin/pppd", ["/dev/pts/0", "passive", "nodetach", "10.9.0.1:10.9.0.10"], parent: other.pid)
    #expect(node.perform("monitor").status == .notRunning)
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.machine.processes.table == [other, pppd])
  }
}
