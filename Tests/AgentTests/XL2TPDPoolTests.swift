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
