import Host
import HostTestKit
import OCF
import Testing

@testable import XL2TPDAgent

/// Nodes whose pools are not disjoint are told so; nothing else happens to them.
@Suite struct XL2TPDPoolTests {
  /// In a cluster, on moon.
  static let inCluster = ["CRM_meta_on_node": "moon"]

  static func node(peers: [String: String] = [:]) -> L2TPGateway {
    let node = L2TPGateway()
    node.machine.cluster.peers["l2tp-pool"] = peers
    return node
  }

  @Test func startTellsTheOthersWhichAddressesItGivesOut() {
    for clone in [false, true] {
      let node = Self.node()
      #expect(node.perform("start", Self.inCluster, clone: clone) == Outcome(.success))
      #expect(node.machine.cluster.shared == ["l2tp-pool": ["moon": "10.9.0.10-10.9.0.20"]])
    }
    let alone = Self.node()
    #expect(alone.perform("start") == Outcome(.success))
    #expect(alone.machine.cluster.shared.isEmpty)
  }

  @Test(arguments: [
    ("10.9.0.20-10.9.0.40", "sun gives out 10.9.0.20, too: make the ip ranges of the nodes disjoint"),
    ("10.8.0.0-10.9.255.255", "sun gives out 10.9.0.10-10.9.0.20, too: make the ip ranges of the nodes disjoint"),
    ("10.9.0.21-10.9.0.40", nil), ("", nil), ("nonsense", nil),
  ]) func levelTenComparesThem(theirs: String, reason: String?) {
    let node = Self.node(peers: ["sun": theirs])
    #expect(node.perform("start", Self.inCluster, clone: true) == Outcome(.success))
    #expect(node.perform("promote", Self.inCluster, clone: true) == Outcome(.success))
    #expect(node.perform("monitor", Self.inCluster, clone: true) == Outcome(.runningPromoted))
    #expect(
      node.perform("monitor", Self.inCluster, clone: true, level: 10)
        == (reason.map { Outcome(.runningPromoted, $0) } ?? Outcome(.runningPromoted)))
    #expect(node.perform("validate-all", Self.inCluster, clone: true, level: 10) == Outcome(.success, reason), "as foreseen")
  }

  /// A second address: another xl2tpd here, whose pool is on both nodes.
  @Test func thePoolsOfAnotherAddressAreComparedToo() {
    let node = Self.node(peers: ["moon": "10.9.0.10-10.9.0.20", "sun": "10.9.0.30-10.9.0.40"])
    node.machine.files.put("; 9 9\n[lns default]\nip range = 10.9.1.10-10.9.1.20\n", at: "/run/resource-agents/vpnha-xl2tpd-xl2tpd-b.conf")
    node.machine.cluster.peers["xl2tpd-b-pool"] = ["moon": "10.9.1.10-10.9.1.20", "sun": "10.9.0.15-10.9.0.18"]
    #expect(node.perform("start", Self.inCluster, clone: true) == Outcome(.success))
    #expect(node.perform("monitor", Self.inCluster, clone: true, level: 10) == Outcome(.success, "xl2tpd-b on sun gives out 10.9.0.15-10.9.0.18, too: make the ip ranges of the nodes disjoint"))
    node.machine.cluster.peers["xl2tpd-b-pool"] = ["moon": "10.9.1.10-10.9.1.20", "sun": "10.9.1.30"]
    #expect(node.perform("monitor", Self.inCluster, clone: true, level: 10) == Outcome(.success))
  }

  /// Both daemons have one file of pppd options, and the other one is gone: its sessions are for its own resource to end.
  @Test func thePPPDsOfAnotherAddressAreLeftAlone() {
    let node = Self.node()
    let others = "; 9 9\n[lns default]\nip range = 10.9.1.10-10.9.1.20\nlocal ip = 10.9.1.1\npppoptfile = /etc/ppp/options.xl2tpd\n"
    func left() -> Process {
      node.machine.processes.appear("/usr/sbin/pppd", ["/dev/pts/4", "passive", "nodetach", "10.9.1.1:10.9.1.10", "file", "/etc/ppp/options.xl2tpd"], parent: 1)
    }
    let pppd = left()
    #expect(node.perform("monitor", interval: 0) == Outcome(.genericError, "xl2tpd is gone and 1 pppd of its sessions are left"), "nobody else is known")
    node.machine.files.put(others, at: "/run/resource-agents/vpnha-xl2tpd-xl2tpd-b.conf")
    #expect(node.perform("monitor", interval: 0) == Outcome(.notRunning))
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.perform("monitor", level: 10) == Outcome(.success))
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.machine.processes.table == [pppd] && node.machine.processes.signals.allSatisfy { $0.pid != pppd.pid })
  }

  /// Two resources with one configuration: the second takes neither the daemon nor its sessions for its own.
  @Test(arguments: [false, true]) func theDaemonOfAnotherResourceIsLeftAlone(clone: Bool) {
    let node = Self.node()
    let process = node.running(sessions: 2)
    let record = "/run/resource-agents/vpnha-xl2tpd-other.role"
    node.machine.files.put("Promoted \(process.pid) \(process.startTime)\n", at: record)
    let before = node.machine.processes.table
    #expect(node.perform("monitor", clone: clone, interval: 0) == Outcome(.notRunning))
    #expect(
      node.perform("start", clone: clone)
        == Outcome(.genericError, "xl2tpd (pid \(process.pid)) is resource other's, and each needs its own config, pidfile and control"))
    #expect(node.perform("stop", clone: clone) == Outcome(.success))
    #expect(node.machine.processes.table == before && node.machine.processes.signals.isEmpty)
    #expect(node.machine.files.nodes[L2TPGateway.control] != nil)
    // A record of another process says nothing.
    node.machine.files.put("Promoted \(process.pid) 1\n", at: record)
    #expect(node.perform("monitor", interval: 0).status == .success)
  }

  /// The daemon has given them to nobody; their clients have them all the same.
  @Test func addressesOfCarriedSessionsAreGivenToNobodyElse() {
    let node = Self.node()
    let path = "/run/vpnha/sessions-sessions.sock"
    var adopted = ["10.9.0.12", "10.9.0.11", "10.9.0.99"]
    node.machine.files.nodes[path] = InMemoryFiles.Node([], .socket)
    node.machine.sockets.whenConnected(toUnix: path) {
      node.machine.stream { unread in
        guard unread.last == UInt8(ascii: "\n") else { return [] }
        unread = []
        func line(_ address: String, _ standing: String) -> String { "session 3 4 192.0.2.9 1701 10.9.0.1 \(address) - 1 1 \(standing)\n" }
        let lines = ["ok\n", line("10.9.0.13", "own"), line("10.9.0.14", "held")] + adopted.map { line($0, "adopted") }
        return [.says(Array(lines.joined().utf8)), .closes]
      }
    }
    let pool = "default no ip range=10.9.0.11;no ip range=10.9.0.12;"
    #expect(node.perform("start", clone: true) == Outcome(.success))
    #expect(node.perform("promote", clone: true) == Outcome(.success))
    #expect(node.settings == [pool])
    for level in [0, 10] { #expect(node.perform("monitor", clone: true, level: level) == Outcome(.runningPromoted)) }
    #expect(node.settings == [pool])
    // A session is over.
    adopted = ["10.9.0.12"]
    #expect(node.perform("monitor", clone: true, level: 10) == Outcome(.runningPromoted))
    #expect(node.settings == [pool, "default ip range=10.9.0.11;"])
    // Another daemon knows nothing of it.
    node.gone(node.machine.processes.table[0])
    node.settings = []
    #expect(node.perform("start", clone: true) == Outcome(.success))
    #expect(node.perform("promote", clone: true) == Outcome(.success))
    #expect(node.settings == ["default no ip range=10.9.0.12;"])
    #expect(node.perform("stop", clone: true) == Outcome(.success))
    #expect(!node.machine.files.nodes.keys.contains { $0.hasSuffix(".reserved") })
  }

  @Test func aRequestHoldsAsManySettingsAsTheDaemonReads() {
    let settings = (0..<100).map { "no ip range=10.9.0.\($0);" }
    let requests = XL2TPD.requests(to: "default", settings)
    #expect(requests.count > 2 && requests.allSatisfy { $0.hasPrefix("z default no ip range=") && $0.utf8.count < 900 })
    #expect(requests.map { $0.dropFirst("z default ".count) }.joined() == settings.joined())
  }

  /// `vpnha` knows which node it is on, and tells nobody anything.
  @Test func aPersonSeesItToo() {
    let node = Self.node(peers: ["sun": "10.9.0.10"])
    node.running()
    #expect(node.perform("monitor", level: 10, environment: ["VPNHA_RUN": "moon"]) == Outcome(.success, "sun gives out 10.9.0.10, too: make the ip ranges of the nodes disjoint"))
    #expect(node.perform("monitor", level: 10, environment: ["VPNHA_RUN": "1"]) == Outcome(.success))
    #expect(node.machine.cluster.shared.isEmpty)
  }

  @Test func aStandbyIsToldToo() {
    let node = Self.node(peers: ["sun": "10.9.0.10"])
    #expect(node.perform("start", Self.inCluster, clone: true) == Outcome(.success))
    #expect(node.perform("monitor", Self.inCluster, clone: true, level: 10).status == .success)
  }

  @Test func addressesThatRADIUSGivesAreNotCompared() {
    let node = Self.node(peers: ["sun": "10.9.0.10-10.9.0.20"])
    node.machine.files.put(
      "[global]\nlisten-addr = 203.0.113.50\n[lns default]\nassign ip = no\npppoptfile = /etc/ppp/options.xl2tpd\n",
      at: "/etc/xl2tpd/xl2tpd.conf")
    #expect(node.perform("start", Self.inCluster) == Outcome(.success))
    #expect(node.machine.cluster.shared == ["l2tp-pool": ["moon": ""]])
    #expect(node.perform("monitor", Self.inCluster, level: 10) == Outcome(.success))
  }

  /// The attribute daemons forget: when the cluster is restarted beneath a running daemon, say.
  @Test func whatTheClusterForgotIsToldAgain() {
    let node = Self.node()
    node.running()
    #expect(node.perform("monitor", Self.inCluster, level: 10) == Outcome(.success))
    #expect(node.machine.cluster.shared["l2tp-pool"] == ["moon": "10.9.0.10-10.9.0.20"])
    #expect(node.machine.cluster.shared["vpnha-look-l2tp"]?["moon"]?.hasSuffix(" sessions=0") == true)
    node.machine.calls.reset()
    #expect(node.perform("monitor", Self.inCluster, level: 10) == Outcome(.success))
    #expect(!node.machine.calls.changes.contains { $0.contains("as l2tp-pool") })
  }

  @Test func aClusterThatDoesNotAnswerChangesNothing() {
    let node = Self.node(peers: ["sun": "10.9.0.10"])
    node.machine.cluster.isReachable = false
    #expect(node.perform("start", Self.inCluster) == Outcome(.success))
    #expect(node.perform("monitor", Self.inCluster, level: 10) == Outcome(.success))
  }

  @Test func morePoolThanCanBeComparedIsSaid() {
    let node = Self.node()
    let ranges = (0..<250).map { "ip range = 10.9.\($0).10-20" }.joined(separator: "\n")
    node.machine.files.put(
      "[global]\nlisten-addr = 203.0.113.50\n[lns default]\n\(ranges)\n", at: "/etc/xl2tpd/xl2tpd.conf")
    #expect(node.perform("start", Self.inCluster) == Outcome(.success))
    #expect(node.machine.cluster.shared.isEmpty)
    #expect(node.machine.log.messages(from: .warning).first?.contains("too many ip ranges") == true)
  }
}
