import Host
import HostTestKit
import OCF
import Testing

@testable import BalancerAgent

/// A gateway whose kernel has IPVS, in a cluster of two.
final class BalancingNode {
  static let before = [
    "net.ipv4.conf.all.arp_ignore": "0", "net.ipv4.conf.all.arp_announce": "0", "net.ipv4.vs.backup_only": "0", "net.ipv4.vs.expire_nodest_conn": "0",
    "net.ipv4.vs.sync_threshold": "3\t50", "net.ipv4.vs.sync_refresh_period": "0", "net.ipv4.vs.sync_retries": "0",
  ]
  let machine: InMemoryMachine
  var network: InMemoryNetwork { machine.network }
  var balancing: Balancing { network.balancing ?? Balancing() }

  init() {
    var loopback = Link(index: 1, name: "lo")
    loopback.isLoopback = true
    machine = InMemoryMachine(links: [loopback, Link(index: 2, name: "eth0"), Link(index: 3, name: "eth1")])
    machine.files.kernelParameters = Self.before
    network.hold(InterfaceAddress(Self.own, prefixLength: 24, link: 2))
    machine.cluster.peers["vpnha-serves-balancer"] = ["sun": "yes"]
  }

  static let own = IPAddress("203.0.113.11") ?? .unspecifiedIPv4
  static let address = IPAddress("203.0.113.50") ?? .unspecifiedIPv4

  /// The links that hold the address.
  var places: [Int32] { network.addresses.filter { $0.address == Self.address }.map(\.link).sorted() }
  var weights: [String: UInt32] { Dictionary(uniqueKeysWithValues: (balancing.servers[1] ?? []).map { ("\($0.address)", $0.weight) }) }
  var isBare: Bool {
    balancing.services.isEmpty && balancing.daemons.isEmpty && (balancing.marks[2] ?? []).isEmpty && places.isEmpty
      && machine.files.kernelParameters.mapValues { $0.replacing("\t", with: " ") } == Self.before.mapValues { $0.replacing("\t", with: " ") }
  }

  func request(_ action: String, _ parameters: [String: String] = [:], level: Int = 0, notification: [String: String] = [:]) -> Request {
    var environment = [
      "OCF_RESOURCE_TYPE": "balancer", "OCF_RESOURCE_INSTANCE": "balancer", "OCF_CHECK_LEVEL": "\(level)", "OCF_RESKEY_CRM_meta_on_node": "moon",
      "OCF_RESKEY_CRM_meta_timeout": "20000", "OCF_RESKEY_CRM_meta_interval": "10000", "OCF_RESKEY_CRM_meta_promoted_max": "1",
      "OCF_RESKEY_address": "203.0.113.50", "OCF_RESKEY_nic": "eth0", "OCF_RESKEY_sync_nic": "eth1", "OCF_RESKEY_servers": "moon:203.0.113.11 sun:203.0.113.12=2",
    ]
    for (name, value) in parameters { environment["OCF_RESKEY_\(name)"] = value }
    for (name, value) in notification { environment["OCF_RESKEY_CRM_meta_notify_\(name)"] = value }
    return Request(arguments: ["balancer", action], environment: environment)
  }

  func perform(_ action: String, _ parameters: [String: String] = [:], level: Int = 0, notification: [String: String] = [:]) -> Outcome {
    OCF.perform(Balancer.self, request(action, parameters, level: level, notification: notification), on: machine.host, from: machine.clock.now)
  }
}

@Suite struct BalancerTests {
  @Test func aLife() {
    let node = BalancingNode()
    #expect(node.perform("monitor").status == .notRunning)
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.weights == ["203.0.113.11": 1, "203.0.113.12": 2] && node.places == [1])
    #expect(node.balancing.daemons == [SyncDaemon(.backup, on: "eth1", id: 1)])
    #expect(node.balancing.marks[2]?.map(\.port) == [500, 4500], "never 1701, never ESP")
    #expect(node.balancing.services == [1: VirtualService(mark: 1, scheduler: "mh", persistence: 600, hasFallback: true)])
    #expect(node.machine.files.kernelParameters["net.ipv4.vs.sync_threshold"] == "3 0")
    #expect(node.perform("monitor", level: 10) == Outcome(.success))
    #expect(node.perform("promote") == Outcome(.success))
    #expect(node.balancing.daemons.map(\.role) == [.master] && node.places == [1, 2] && node.network.announced.map(\.address) == [BalancingNode.address])
    #expect(node.perform("monitor", level: 10) == Outcome(.runningPromoted))
    #expect(node.perform("demote") == Outcome(.success))
    #expect(node.balancing.daemons.map(\.role) == [.backup] && node.places == [1])
    #expect(node.perform("stop") == Outcome(.success) && node.isBare && node.perform("monitor").status == .notRunning)
    #expect(node.machine.cluster.shared["vpnha-serves-balancer"]?["moon"] == "no")
  }

  @Test func anInterfaceThatIsMadeAtBootIsWaitedFor() {
    let node = BalancingNode()
    let links = node.network.all
    node.network.all = Array(links.prefix(1))
    node.machine.clock.after(.seconds(2)) { node.network.all = links }
    #expect(node.perform("start") == Outcome(.success))
  }

  /// The director is there before the address, and the address is gone before the director: no packet meets one that does not direct.
  @Test func theOrderOfAPromotion() {
    let node = BalancingNode()
    #expect(node.perform("start") == Outcome(.success))
    node.machine.calls.reset()
    #expect(node.perform("promote") == Outcome(.success))
    let up = node.machine.calls.changes.filter { $0.hasPrefix("network.") }
    #expect(up == ["network.start(sync master on eth1)", "network.stopSync(backup)", "network.add(203.0.113.50/32 on 2)", "network.announce(203.0.113.50 on 2 ×5)"], "\(up)")
    node.machine.calls.reset()
    #expect(node.perform("demote") == Outcome(.success))
    let down = node.machine.calls.changes.filter { $0.hasPrefix("network.") && !$0.contains("Announcing") }
    #expect(down == ["network.remove(203.0.113.50/32 on 2)", "network.start(sync backup on eth1)", "network.stopSync(master)"], "\(down)")
  }

  /// Entries live in what is there: a start that comes again removes nothing and sets nothing anew.
  @Test func aSecondStartTouchesNothing() throws {
    let node = BalancingNode()
    #expect(node.perform("start") == Outcome(.success))
    node.network.balancing?.marks[2]?.removeLast()
    node.machine.calls.reset()
    #expect(node.perform("start").status == .success)
    let changes = node.machine.calls.changes.filter { $0.hasPrefix("network.") }
    #expect(changes == ["network.add(mark 1 for port 4500 on eth0)"], "\(changes)")
  }

  @Test func aLoopbackCopyOfSomebodyElseStays() {
    let node = BalancingNode()
    node.network.hold(InterfaceAddress(BalancingNode.address, prefixLength: 32, link: 1))
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.perform("stop") == Outcome(.success) && node.places == [1])
  }

  /// By what was noted, whatever the parameters say by now.
  @Test func aStopUndoesWhatWasStarted() {
    for action in ["start", "promote"] {
      let node = BalancingNode()
      #expect(node.perform("start") == Outcome(.success))
      if action == "promote" { #expect(node.perform("promote") == Outcome(.success)) }
      #expect(node.perform("stop", ["nic": "eth7", "mark": "9", "sync_nic": "", "servers": "nonsense"]) == Outcome(.success))
      #expect(node.isBare, "\(action)")
    }
  }

  @Test(arguments: [
    "the service of mark 1 has gone", "the mark of UDP 4500", "203.0.113.50 is not on lo", "the sync daemon has gone", "the sync master runs, and", "is not as it was set: mh, persistent 50 s",
  ])
  func whatIsMissingIsAFailure(what: String) {
    let node = BalancingNode()
    #expect(node.perform("start") == Outcome(.success))
    switch what {
    case "the service of mark 1 has gone": node.network.balancing?.services = [:]
    case "the mark of UDP 4500": node.network.balancing?.marks[2]?.removeLast()
    case "203.0.113.50 is not on lo": node.network.addresses.removeAll { $0.address == BalancingNode.address }
    case "the sync daemon has gone": node.network.balancing?.daemons = []
    case "the sync master runs, and": node.network.balancing?.daemons = [SyncDaemon(.master, on: "eth1", id: 1)]
    default: node.network.balancing?.services[1]?.persistence = 50
    }
    let outcome = node.perform("monitor")
    #expect(outcome.status != .success && outcome.status != .notRunning && outcome.reason?.contains(what) == true, "\(outcome)")
    #expect(node.perform("stop") == Outcome(.success) && node.isBare)
  }

  @Test func serversFollowTheCluster() {
    let node = BalancingNode()
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.perform("promote") == Outcome(.success))
    // Drained.
    node.machine.cluster.peers["vpnha-drain-balancer"] = ["sun": "1"]
    #expect(node.perform("monitor", level: 10).reason == "sun (203.0.113.12) gets no new clients: it is drained, or has as many as max_sessions" && node.weights["203.0.113.12"] == 0)
    node.machine.cluster.peers["vpnha-drain-balancer"] = ["sun": "0"]
    #expect(node.perform("monitor", level: 10) == Outcome(.runningPromoted) && node.weights["203.0.113.12"] == 2)
    // An attribute daemon that has forgotten proves nothing.
    node.machine.cluster.peers["vpnha-serves-balancer"] = [:]
    #expect(node.perform("monitor", level: 10) == Outcome(.runningPromoted) && node.weights["203.0.113.12"] == 2)
    // Fenced.
    node.machine.cluster.nodes = ["moon"]
    #expect(node.perform("monitor", level: 10).reason == "sun (203.0.113.12) serves nobody: see pcs status" && node.weights == ["203.0.113.11": 1])
    node.machine.cluster.nodes = ["moon", "sun"]
    node.machine.cluster.peers["vpnha-serves-balancer"] = ["sun": "yes"]
    #expect(node.perform("notify", notification: ["type": "post", "operation": "start", "start_uname": "sun"]) == Outcome(.success) && node.weights["203.0.113.12"] == 2)
    #expect(node.perform("notify", notification: ["type": "pre", "operation": "stop", "stop_uname": "sun"]) == Outcome(.success) && node.weights == ["203.0.113.11": 1])
  }

  /// One that has no room left gets nobody until a tenth has gone; what is not known changes nothing.
  @Test func aFullGatewayGetsNoNewClients() {
    let node = BalancingNode()
    let limit = ["max_sessions": "40"]
    func sun(_ clients: Int?) {
      node.machine.cluster.peers["vpnha-look-balancer"] = ["sun": "0 0.2.0" + (clients.map { " clients=\($0)" } ?? ""), "moon": "0 0.2.0"]
    }
    #expect(node.perform("start", limit) == Outcome(.success))
    #expect(node.perform("promote", limit) == Outcome(.success))
    for (clients, weight) in [(39, 2), (40, 0), (37, 0), (nil, 0), (36, 2), (nil, 2)] as [(Int?, UInt32)] {
      sun(clients)
      _ = node.perform("monitor", limit, level: 10)
      #expect(node.weights["203.0.113.12"] == weight, "\(clients ?? -1)")
    }
    // What is lost with one has to fit into the others.
    sun(40)
    #expect(node.perform("monitor", limit, level: 10).reason?.contains("room for") == false)
    sun(41)
    #expect(node.perform("monitor", limit, level: 10).reason?.contains("sun has 41 clients, and without it the others have room for 40: max_sessions") == true)
    #expect(node.perform("monitor", level: 10) == Outcome(.runningPromoted), "no limit")
  }

  /// A director that Pacemaker has lost sight of goes on: a second one is refused, and two are told.
  @Test func aSecondDirectorIsRefused() {
    let node = BalancingNode()
    #expect(node.perform("start") == Outcome(.success))
    node.network.neighbours[BalancingNode.address] = [2, 0, 0, 0, 0, 0x99]
    // A router with proxy ARP is no director.
    #expect(node.perform("promote") == Outcome(.success) && node.perform("demote") == Outcome(.success))
    node.machine.cluster.peers["vpnha-look-balancer"] = ["sun": "0 0.2.0 hardware=\(0x0200_0000_0099)"]
    #expect(node.perform("promote").reason?.hasPrefix("sun still directs") == true && node.places == [1] && node.balancing.daemons.map(\.role) == [.backup])
    node.network.neighbours = [:]
    #expect(node.perform("promote") == Outcome(.success))
    node.network.neighbours[BalancingNode.address] = [2, 0, 0, 0, 0, 0x99]
    #expect(node.perform("monitor", level: 10).reason == "sun answers for 203.0.113.50, too: two directors")
  }

  /// While the address stays on lo neighbours must not be told of it.
  @Test func whatHidesTheAddressStaysWithIt() {
    let node = BalancingNode()
    node.network.hold(InterfaceAddress(BalancingNode.address, prefixLength: 32, link: 1))
    #expect(node.perform("start") == Outcome(.success) && node.perform("stop") == Outcome(.success))
    #expect(node.machine.files.kernelParameters["net.ipv4.conf.all.arp_ignore"] == "1" && node.machine.files.kernelParameters["net.ipv4.vs.backup_only"] == "0")
  }

  /// What was refused is not in force: a member is what it was, wherever it is promoted, and goes on following the cluster.
  @Test(arguments: [
    ["servers": "moon:203.0.113.300"], ["servers": "moon:203.0.113.99 sun:203.0.113.12=2"], ["servers": "moon:203.0.113.11 sun:203.0.113.11"], ["servers": ""], ["persistence": "ten"], ["persistence": "5"], ["vici": "x", "max_sessions": "x"],
  ])
  func aWrongValueStopsNoGateway(wrong: [String: String]) {
    let node = BalancingNode()
    let good = ["persistence": "300"]
    let all = good.merging(wrong) { $1 }
    #expect(node.perform("start", good) == Outcome(.success))
    #expect(node.perform("reload-agent", all).status == .success)
    for level in [0, 10] { #expect(node.perform("monitor", all, level: level).status == .success && node.weights.count == 2 && node.balancing.services[1]?.persistence == 300, "\(level)") }
    #expect(node.machine.cluster.attributes["vpnha-risk-balancer"]?.contains(wrong.keys.min() ?? "") == true)
    #expect(node.perform("promote", all).status == .success && node.perform("monitor", all, level: 10).status == .runningPromoted && node.places == [1, 2])
    node.machine.cluster.nodes = ["moon"]
    #expect(node.perform("monitor", all, level: 10).status == .runningPromoted && node.weights == ["203.0.113.11": 1])
    #expect(node.perform("demote", all).status == .success && node.perform("stop", all).status == .success && node.isBare)
    // Nothing to go on with.
    #expect(node.perform("start", all).status != .success && node.isBare)
    #expect(node.perform("promote", all).status != .success)
  }

  @Test func withoutAClusterToAskServersStay() {
    let node = BalancingNode()
    #expect(node.perform("start") == Outcome(.success))
    node.machine.cluster.isReachable = false
    let outcome = node.perform("monitor", level: 10)
    #expect(outcome.status == .success && outcome.reason?.contains("servers are left as they are") == true && node.weights.count == 2)
  }

  /// Whatever fails, an action tells what was seen; and the stop after it leaves nothing.
  @Test(arguments: ["start", "promote", "demote"])
  func everyCallMayFail(action: String) {
    func world() -> (BalancingNode, InMemoryMachine) {
      let node = BalancingNode()
      if action != "start" { #expect(node.perform("start") == Outcome(.success)) }
      if action == "demote" { #expect(node.perform("promote") == Outcome(.success)) }
      return (node, node.machine)
    }
    var nodes: [BalancingNode] = []
    let count = InMemoryMachine.failingEveryCall(
      in: {
        let (node, machine) = world()
        nodes.append(node)
        return machine
      }, { _ in nodes[nodes.count - 1].perform(action) }
    ) { failed, outcome, machine in
      let node = nodes[nodes.count - 1]
      machine.calls.reset()
      if outcome.status == .success {
        let seen = node.perform("monitor")
        #expect(seen.status == (action == "promote" ? .runningPromoted : .success), "\(failed): \(seen)")
      }
      #expect(node.perform("stop") == Outcome(.success), "\(failed)")
      #expect(node.balancing.services.isEmpty && node.balancing.daemons.isEmpty && node.places.isEmpty && (node.balancing.marks[2] ?? []).isEmpty, "\(failed)")
    }
    #expect(count > 5)
  }

  /// As `/proc/net/ip_vs_conn` of 6.1 had it.
  @Test func anEntryIsRecognised() throws {
    let client = try #require(IPAddress("203.0.113.110"))
    let entry = BalancedClient(client, clientPort: 4500, address: BalancingNode.address, port: 4500, server: BalancingNode.own)
    #expect("UDP CB00716E 1194 CB007132 1194 CB00710B 1194 UDP             297".hasPrefix(Balancer.line(of: entry)))
  }

  @Test(arguments: [
    ("address", "2001:db8::50"), ("address", "127.0.0.1"), ("servers", ""), ("servers", "moon"), ("servers", "moon:203.0.113.11=0"), ("servers", "moon:203.0.113.11 sun:203.0.113.11"),
    ("servers", "moon:203.0.113.50"), ("mark", "0"), ("sync_id", "256"), ("persistence", "5"), ("nic", "a/b"), ("sync_nic", ""),
  ])
  func aBadValueIsRefused(name: String, value: String) {
    let outcome = BalancingNode().perform("validate-all", [name: value])
    #expect(outcome.status == .misconfigured && outcome.reason?.hasPrefix(name) == true, "\(outcome)")
  }

  /// Another host on the wire with the address takes clients away; the wire is asked, as vip asks it.
  @Test func anotherHostWithTheAddressIsARiskOfTheDirector() {
    let node = BalancingNode()
    #expect(node.perform("start") == Outcome(.success) && node.perform("promote") == Outcome(.success))
    node.network.neighbours[BalancingNode.address] = [2, 0, 0, 0, 0, 0x77]
    #expect(node.perform("monitor") == Outcome(.runningPromoted))
    #expect(node.perform("monitor", level: 10) == Outcome(.runningPromoted, "203.0.113.50 is used by 02:00:00:00:00:77 on eth0 as well"))
    // Without its cluster's words it is not known whose it is.
    node.machine.calls.fail("cluster.nodeAttribute(vpnha-look-balancer)", with: .connectionRefused)
    #expect(node.perform("monitor", level: 10).reason?.contains("203.0.113.50 is used by 02:00:00:00:00:77 on eth0 as well") == true)
    node.machine.calls.reset()
    // The one that serves has the address on lo, and the director answers, of course.
    #expect(node.perform("demote") == Outcome(.success) && node.perform("monitor", level: 10) == Outcome(.success))
  }
}
