import Host
import HostTestKit
import OCF
import Testing

@testable import VIPAgent

/// A node with two Ethernet links, `eth0` in 192.0.2.0/24 and 2001:db8::/64.
final class AddressNode {
  static let vip = IPAddress("192.0.2.50") ?? .unspecifiedIPv4
  static let vip6 = IPAddress("2001:db8::50") ?? .unspecifiedIPv4
  static let mac: [UInt8] = [2, 0, 0, 0, 0, 0x99]

  let machine: InMemoryMachine

  init() {
    machine = InMemoryMachine(links: [
      Link(index: 1, name: "lo", isLoopback: true, operationalState: 0),
      Link(index: 2, name: "eth0", alternativeNames: ["uplink"], hardwareAddress: [2, 0, 0, 0, 0, 2]),
      Link(index: 3, name: "eth1", hardwareAddress: [2, 0, 0, 0, 0, 3]),
    ])
    hold("192.0.2.1", 24, on: 2, broadcast: "192.0.2.255")
    hold("2001:db8::1", 64, on: 2)
    for index in machine.network.all.indices { machine.network.all[index].promotesSecondaries = false }
  }

  func hold(_ text: String, _ prefixLength: Int, on link: Int32, broadcast: String? = nil, flags: AddressFlags = .permanent) {
    guard let address = IPAddress(text) else { return }
    machine.network.hold(
      InterfaceAddress(
        address, prefixLength: prefixLength, link: link, broadcast: broadcast.flatMap { IPAddress($0) }, flags: flags))
  }

  /// Copies of either address.
  var copies: [InterfaceAddress] {
    machine.network.addresses.filter { $0.address == Self.vip || $0.address == Self.vip6 }
  }
  /// As `PREFIX@LINK`.
  var places: [String] { copies.map { "\($0.prefixLength)@\($0.link)" }.sorted() }
  var leftovers: [String] { machine.files.nodes.keys.filter { $0.hasPrefix("/run/resource-agents/") } }

  func with(_ change: (InMemoryMachine) -> Void) -> AddressNode {
    change(machine)
    return self
  }

  @discardableResult
  func perform(
    _ action: String, _ parameters: [String: String] = [:], clone: Bool = false, level: Int = 0, interval: Int = 10_000
  ) -> Outcome {
    Self.perform(action, parameters, on: machine, clone: clone, level: level, interval: interval)
  }

  static func perform(
    _ action: String, _ parameters: [String: String] = [:], on machine: InMemoryMachine, clone: Bool = false,
    level: Int = 0, interval: Int = 10_000
  ) -> Outcome {
    var environment = [
      "OCF_RESOURCE_TYPE": "vip", "OCF_RESOURCE_INSTANCE": "address", "OCF_CHECK_LEVEL": "\(level)",
      "OCF_RESKEY_CRM_meta_timeout": "20000", "OCF_RESKEY_CRM_meta_interval": "\(interval)", "OCF_RESKEY_ip": "192.0.2.50",
    ]
    if clone { environment["OCF_RESKEY_CRM_meta_promoted_max"] = "1" }
    for (name, value) in parameters { environment["OCF_RESKEY_\(name)"] = value }
    return OCF.perform(
      VirtualIP.self, Request(arguments: ["vip", action], environment: environment), on: machine.host,
      from: machine.clock.now)
  }
}

@Suite("The virtual address")
struct VirtualIPTests {
  // MARK: A plain resource

  @Test("Interface, prefix and broadcast come from the route; the neighbours are told; stop leaves nothing")
  func lifeOfAPlainAddress() {
    let node = AddressNode()
    #expect(node.perform("monitor", interval: 0) == Outcome(.notRunning))
    #expect(node.perform("start") == Outcome(.success))
    #expect(
      node.copies == [
        InterfaceAddress(AddressNode.vip, prefixLength: 24, link: 2, broadcast: IPAddress("192.0.2.255"))
      ])
    #expect(node.machine.network.announced == [Announcement(AddressNode.vip, link: 2, count: 5)])
    #expect(node.perform("monitor") == Outcome(.success))
    node.machine.calls.reset()
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.machine.calls.changes == [])
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.places == [])
    #expect(node.machine.network.silenced == [AddressNode.vip])
    #expect(node.perform("monitor") == Outcome(.notRunning))
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.leftovers == [])
    #expect(node.machine.cluster.scoresSet == [])
  }

  @Test("A healthy monitor asks two questions and says nothing")
  func healthyMonitor() {
    let node = AddressNode()
    node.perform("start")
    for parameters in [[:], ["nic": "eth0", "cidr_netmask": "24"], ["nic": "uplink"]] {
      node.machine.calls.reset()
      let lines = node.machine.log.messages().count
      #expect(node.perform("monitor", parameters) == Outcome(.success))
      #expect(node.machine.calls.all.count == 2)
      #expect(node.machine.log.messages().count == lines)
    }
  }

  @Test(
    "What is asked for is what is added",
    arguments: [
      (
        ["nic": "eth1", "cidr_netmask": "28", "broadcast": "+"],
        InterfaceAddress(AddressNode.vip, prefixLength: 28, link: 3, broadcast: IPAddress("192.0.2.63"))
      ),
      (
        ["nic": "eth1", "cidr_netmask": "255.255.255.0", "broadcast": "-"],
        InterfaceAddress(AddressNode.vip, prefixLength: 24, link: 3, broadcast: IPAddress("192.0.2.0"))
      ),
      (
        ["nic": "uplink", "iflabel": "vpn", "broadcast": "192.0.2.254"],
        InterfaceAddress(AddressNode.vip, prefixLength: 24, link: 2, broadcast: IPAddress("192.0.2.254"), label: "eth0:vpn")
      ),
      (
        ["nic": "eth1", "netmask": "255.255.255.240", "broadcast": "+"],
        InterfaceAddress(AddressNode.vip, prefixLength: 28, link: 3, broadcast: IPAddress("192.0.2.63"))
      ),
      (
        ["nic": "eth0:0", "cidr_netmask": "32"],
        InterfaceAddress(
          AddressNode.vip, prefixLength: 32, link: 2, broadcast: IPAddress("192.0.2.255"), label: "eth0:0")
      ),
      (
        ["noprefixroute": "true", "metric": "500"],
        InterfaceAddress(
          AddressNode.vip, prefixLength: 24, link: 2, broadcast: IPAddress("192.0.2.255"), flags: .noPrefixRoute, metric: 500)
      ),
      (
        ["ip": "2001:db8::50", "nodad": "true", "preferred_lft": "0"],
        InterfaceAddress(AddressNode.vip6, prefixLength: 64, link: 2, flags: .noDAD, preferredLifetime: 0)
      ),
      (
        ["ip": "2001:db8::50", "nic": "eth1", "cidr_netmask": "128"],
        InterfaceAddress(AddressNode.vip6, prefixLength: 128, link: 3)
      ),
    ] as [([String: String], InterfaceAddress)])
  func parameters(given: [String: String], added: InterfaceAddress) {
    let node = AddressNode()
    #expect(node.perform("start", given) == Outcome(.success))
    #expect(node.copies == [added])
    #expect(node.perform("monitor", given) == Outcome(.success))
    #expect(node.perform("stop", given) == Outcome(.success))
    #expect(node.copies == [])
  }

  @Test("A loopback address goes to lo and nobody is told")
  func loopback() {
    let node = AddressNode()
    #expect(node.perform("start", ["ip": "127.0.0.77"]) == Outcome(.success))
    #expect(node.machine.network.addresses.last?.link == 1)
    #expect(node.machine.network.addresses.last?.prefixLength == 8)
    #expect(node.perform("monitor", ["ip": "127.0.0.77"]) == Outcome(.success))
    #expect(node.perform("stop", ["ip": "127.0.0.77"]) == Outcome(.success))
    #expect(node.machine.network.addresses.count == 2)
  }

  @Test("A value that a running resource takes, and that does not fit another, stops neither start nor promote")
  func misfitsThatAreReloadable() {
    let node = AddressNode()
    let given = ["arp_targets": "192.0.2.1 2001:db8::1"]
    let risk = "arp_targets: 2001:db8::1 is not of the same family as 192.0.2.50"
    #expect(node.perform("validate-all", given) == Outcome(.misconfigured, risk))
    for action in ["start", "promote"] { #expect(node.perform(action, given).status == .success) }
    #expect(node.perform("monitor", given).reason == risk)
  }

  @Test(
    "Bad parameters are named and change nothing; stop goes on without them",
    arguments: [
      (["ip": "192.0.2"], "ip: expected an IPv4 or IPv6 address, got \"192.0.2\""),
      (["ip": "192.0.2.50/24"], "ip: expected an IPv4 or IPv6 address, got \"192.0.2.50/24\""),
      (["ip": "224.0.0.1"], "ip: 224.0.0.1 is no address of a host"),
      (["ip": "::ffff:192.0.2.50"], "ip: ::ffff:c000:232 is no address of a host"),
      (["cidr_netmask": "33"], "cidr_netmask: expected at most 32, got 33"),
      (["cidr_netmask": "0"], "cidr_netmask: expected a prefix length from 1 to 128, got \"0\""),
      (["cidr_netmask": "255.0.255.0"], "cidr_netmask: expected a netmask, got \"255.0.255.0\""),
      (["broadcast": "all"], "broadcast: expected an IPv4 address, + or -, got \"all\""),
      (["ip": "2001:db8::50", "broadcast": "+"], "broadcast: IPv6 has none"),
      (["ip": "fe80::50"], "nic: is required for a link-local address such as fe80::50"),
      (["nic": "eth0", "iflabel": "elevenchars"], "iflabel: eth0:elevenchars has more than 15 characters"),
      (["nic": "enxa0b1c2d3e4f5-long", "iflabel": "fourteen-chars"], "iflabel: enxa0b1c2d3e4f5-long:fourteen-chars has more than 15 characters"),
      (["preferred_lft": "soon"], "preferred_lft: expected seconds or forever, got \"soon\""),
      (
        ["proto": "carrier-pigeon"],
        "proto: expected kernel, static, boot, dhcp, ra or another route protocol, got \"carrier-pigeon\""
      ),
      (["mac": "01:00:5e:00:00:01"], "mac: a cluster IP is not possible, the kernel has no CLUSTERIP any more"),
      (["unique_clone_address": "true"], "unique_clone_address: not supported, make a resource for each address"),
    ] as [([String: String], String)])
  func badParameters(given: [String: String], reason: String) {
    let node = AddressNode()
    #expect(node.perform("start", given) == Outcome(.misconfigured, reason))
    #expect(node.perform("validate-all", given) == Outcome(.misconfigured, reason))
    #expect(node.machine.calls.changes == [])
    node.perform("start")
    #expect(node.perform("stop", given) == Outcome(.success))
    let address = given["ip"].flatMap { IPAddress($0) } ?? AddressNode.vip
    if given["ip"] == nil { #expect(!node.machine.network.addresses.contains { $0.address == address }) }
  }

  @Test("Without an address there is nothing to do")
  func noAddress() {
    let node = AddressNode()
    #expect(node.perform("start", ["ip": ""]) == Outcome(.misconfigured, "ip: is required"))
    #expect(node.perform("stop", ["ip": ""]) == Outcome(.success))
    #expect(node.perform("monitor", ["ip": ""], interval: 0) == Outcome(.notRunning))
  }

  @Test("Where it cannot go: no such interface here, no route")
  func nowhere() {
    let node = AddressNode()
    #expect(node.perform("start", ["nic": "eth7"]) == Outcome(.invalidHere, "nic: eth7 is not on this node"))
    #expect(node.perform("monitor", ["nic": "eth7"], interval: 0) == Outcome(.notRunning))
    #expect(node.perform("monitor", ["nic": "eth7"]) == Outcome(.genericError, "nic: eth7 is not on this node"))
    #expect(node.perform("validate-all", ["nic": "eth7"]) == Outcome(.success))
    #expect(node.perform("validate-all", ["nic": "eth7"], level: 10).status == .invalidHere)
    #expect(node.perform("stop", ["nic": "eth7"]) == Outcome(.success))
    let reason = "no connected route leads to 198.51.100.9: set nic and cidr_netmask"
    #expect(node.perform("start", ["ip": "198.51.100.9"]) == Outcome(.genericError, reason))
    #expect(
      node.perform("start", ["proto": "dhcp"])
        == Outcome(.genericError, "no connected route of protocol dhcp leads to 192.0.2.50: set nic and cidr_netmask"))
    #expect(
      node.perform("start", ["nic": "eth1"])
        == Outcome(.genericError, "no connected route on eth1 leads to 192.0.2.50: set nic and cidr_netmask"))
    #expect(node.machine.calls.changes.filter { $0.hasPrefix("network.add") } == [])
  }

  @Test("The broadcast address of the network is nobody's, whatever prefix is given; the last of a part of the network is a host's")
  func broadcastAddress() {
    let reason = "ip: 192.0.2.255 is the broadcast address of its network: no host is reached at it"
    for given in [["ip": "192.0.2.255"], ["ip": "192.0.2.255", "cidr_netmask": "32"], ["ip": "192.0.2.255", "nic": "eth0", "cidr_netmask": "24"]] {
      let node = AddressNode()
      #expect(node.perform("validate-all", given, level: 10) == Outcome(.invalidHere, reason))
      for isClone in [false, true] {
        #expect(node.perform("start", given, clone: isClone) == Outcome(.invalidHere, reason))
      }
      #expect(node.machine.calls.changes.filter { $0.hasPrefix("network.add") } == [])
    }
    for given in [["ip": "192.0.2.0"], ["ip": "192.0.2.127", "cidr_netmask": "25"], ["ip": "192.0.2.127", "nic": "eth0", "cidr_netmask": "25"]] {
      let node = AddressNode()
      for _ in 1...2 { #expect(node.perform("start", given) == Outcome(.success)) }
    }
  }

  /// validate-all says what a start would come to, in the same words.
  @Test(
    arguments: [
      ([:], true), (["nic": "eth7"], false), (["ip": "198.51.100.9"], false), (["proto": "dhcp"], false), (["nic": "eth1"], false), (["ip": "192.0.2.255"], false), (["ip": "192.0.2.1"], false),
      (["nic": "eth1", "cidr_netmask": "24"], true), (["network_namespace": "absent"], false),
    ] as [([String: String], Bool)], [false, true])
  func aStartIsForeseen(of: (given: [String: String], starts: Bool), clone: Bool) {
    let foreseen = AddressNode().perform("validate-all", of.given, clone: clone, level: 10)
    let start = AddressNode().perform("start", of.given, clone: clone)
    #expect(foreseen == start && (start.status == .success) == of.starts, "\(foreseen) \(start)")
  }

  // MARK: Telling the truth

  @Test(
    "A copy of ours that is not as wanted is a failure, and stop removes it whatever it looks like",
    arguments: [
      (32, 2, ["cidr_netmask": "24"], "192.0.2.50/32 is on eth0, expected 192.0.2.50/24"),
      (2, 2, ["cidr_netmask": "24"], "192.0.2.50/2 is on eth0, expected 192.0.2.50/24"),
      (24, 3, ["nic": "eth0"], "192.0.2.50/24 is on eth1, expected 192.0.2.50 on eth0"),
      (24, 3, ["nic": "eth7"], "192.0.2.50/24 is on eth1, expected 192.0.2.50 on eth7"),
    ] as [(Int, Int32, [String: String], String)])
  func wrongCopies(prefixLength: Int, link: Int32, given: [String: String], reason: String) {
    let node = AddressNode()
    #expect(node.perform("start", ["cidr_netmask": "\(prefixLength)", "nic": "eth\(link - 2)"]) == Outcome(.success))
    #expect(node.perform("monitor", given) == Outcome(.genericError, reason))
    #expect(node.perform("monitor", given, interval: 0) == Outcome(.genericError, reason))
    #expect(node.perform("stop", given) == Outcome(.success))
    #expect(node.places == [])
  }

  @Test("A start puts a wrong copy of ours right")
  func wrongCopyAtStart() {
    let node = AddressNode()
    #expect(node.perform("start", ["nic": "eth1", "cidr_netmask": "32"]) == Outcome(.success))
    #expect(node.perform("start", ["nic": "eth0", "cidr_netmask": "24"]) == Outcome(.success))
    #expect(node.places == ["24@2"])
  }

  /// A probe that said running, or failed, would lead to a stop that takes it away.
  @Test(
    "The node's own address is refused, and nobody takes it away",
    arguments: [
      (["ip": "192.0.2.1", "nic": "eth0", "cidr_netmask": "32"], "192.0.2.1/24 is this node's own address on eth0: set another ip, or cidr_netmask=24 if the cluster is to have it"),
      (["ip": "192.0.2.1"], "192.0.2.1/24 is this node's own address on eth0: set another ip, or cidr_netmask=24 if the cluster is to have it"),
      (["ip": "192.0.2.1", "nic": "eth1", "cidr_netmask": "24"], "192.0.2.1/24 is this node's own address on eth0, and the resource's interface is eth1"),
      (["ip": "192.0.2.129"], "192.0.2.129/25 is this node's own address on eth0: set another ip, or cidr_netmask=25 if the cluster is to have it"),
      (["ip": "2001:db8::1", "cidr_netmask": "128"], "2001:db8::1/64 is this node's own address on eth0: set another ip, or cidr_netmask=64 if the cluster is to have it"),
    ] as [([String: String], String)], [false, true])
  func ownStaticAddress(of: (given: [String: String], reason: String), clone: Bool) {
    let (given, reason) = of
    let node = AddressNode()
    // Inside a wider network of the node's.
    node.hold("192.0.2.129", 25, on: 2)
    let before = node.machine.network.addresses
    #expect(node.perform("monitor", given, clone: clone, interval: 0) == Outcome(.notRunning))
    #expect(node.perform("validate-all", given, level: 10) == Outcome(.invalidHere, reason))
    #expect(node.perform("start", given, clone: clone) == Outcome(.invalidHere, reason))
    #expect(node.perform("promote", given, clone: clone).status != .success)
    #expect(node.perform("stop", given, clone: clone) == Outcome(.success))
    #expect(node.machine.network.addresses == before)
  }

  @Test("An address that is exactly as wanted is the cluster's, whoever put it there")
  func adopted() {
    let node = AddressNode()
    node.hold("192.0.2.50", 24, on: 2)
    for given in [[:], ["nic": "eth0", "cidr_netmask": "24"]] {
      #expect(node.perform("monitor", given, interval: 0) == Outcome(.success))
      #expect(node.perform("start", given) == Outcome(.success))
    }
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.places == [])
  }

  @Test("A killed start leaves nothing that the next stop does not find")
  func killedStart() {
    let node = AddressNode()
    // Killed between the record and the address, and just after that.
    for isHeld in [false, true] {
      node.machine.files.put("192.0.2.50 28@2 7\n", at: "/run/resource-agents/vpnha-vip-address.held")
      if isHeld { node.hold("192.0.2.50", 28, on: 2) }
      #expect(node.perform("stop", ["cidr_netmask": "24"]) == Outcome(.success))
      #expect(node.places == [] && node.leftovers == [])
    }
  }

  @Test("A second copy beside a good one is degraded, by a deep look")
  func twins() {
    for (prefixLength, link, reason) in [(28, Int32(2), "192.0.2.50/28 is on eth0 as well"), (24, 3, "192.0.2.50/24 is on eth1 as well")] {
      let node = AddressNode()
      let given = ["nic": "eth0", "cidr_netmask": "24"]
      #expect(node.perform("start", given) == Outcome(.success))
      node.hold("192.0.2.50", prefixLength, on: link)
      #expect(node.perform("monitor", given) == Outcome(.success))
      #expect(node.perform("monitor", given, level: 10) == Outcome(.success, reason))
      #expect(node.perform("stop", given) == Outcome(.success))
      #expect(node.places == ["\(prefixLength)@\(link)"])
    }
  }

  @Test("Stop needs the address alone, and leaves the copy on the loopback interface and one that is the node's own")
  func stopFindsAll() {
    let node = AddressNode()
    node.perform("start")
    node.hold("192.0.2.50", 32, on: 2)
    node.hold("192.0.2.50", 16, on: 3)
    node.hold("192.0.2.50", 32, on: 1)
    node.machine.network.addresses.removeAll { $0.address == IPAddress("192.0.2.1") }
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.places == ["16@3", "32@1"])
  }

  @Test("A link-local address of one link is not that of another")
  func linkLocal() {
    let node = AddressNode()
    node.hold("fe80::50", 64, on: 3)
    let given = ["ip": "fe80::50", "nic": "eth0", "cidr_netmask": "64"]
    var elsewhere: [InterfaceAddress] { node.machine.network.addresses.filter { $0.address == IPAddress("fe80::50") && $0.link == 3 } }
    #expect(node.perform("monitor", given, interval: 0) == Outcome(.notRunning))
    #expect(node.perform("start", given) == Outcome(.success))
    #expect(node.perform("monitor", given, level: 10) == Outcome(.success))
    #expect(node.perform("stop", given) == Outcome(.success))
    #expect(elsewhere.count == 1)
    #expect(node.perform("stop", given.merging(["nic": "eth9"]) { $1 }) == Outcome(.success))
    #expect(elsewhere.count == 1)
    #expect(node.perform("stop", given.merging(["nic": "eth1"]) { $1 }) == Outcome(.success))
    #expect(elsewhere == [])
  }

  @Test("A label is counted with the interface's own name, whichever name was given")
  func labelOfAnotherName() {
    let node = AddressNode()
    node.machine.network.all[1].alternativeNames.append("enxa0b1c2d3e4f5-long")
    #expect(node.perform("start", ["nic": "enxa0b1c2d3e4f5-long", "iflabel": "vpn"]) == Outcome(.success))
    #expect(node.copies.map(\.label) == ["eth0:vpn"])
    #expect(node.perform("stop") == Outcome(.success))
    #expect(
      node.perform("start", ["iflabel": "elevenchars"])
        == Outcome(.invalidHere, "iflabel: eth0:elevenchars has more than 15 characters"))
    #expect(node.copies == [])
  }

  @Test(
    "A clone whose members would all hold the address does not start where neighbours would see it",
    arguments: [
      (["clone_max": "2"], "clone-max: 2 members would hold 192.0.2.50 at once; make the clone promotable"),
      (["clone_max": "1"], nil), (["promoted_max": "1", "clone_max": "2"], nil),
    ] as [([String: String], String?)])
  func clones(meta: [String: String], reason: String?) {
    let node = AddressNode()
    let given = Dictionary(uniqueKeysWithValues: meta.map { ("CRM_meta_\($0.key)", $0.value) })
    let wanted = reason.map { Outcome(.invalidHere, $0) } ?? Outcome(.success)
    #expect(node.perform("start", given) == wanted)
    #expect(node.perform("validate-all", given) == Outcome(.success))
    #expect(node.perform("validate-all", given, level: 10) == wanted)
    #expect(node.perform("stop", given) == Outcome(.success))
    #expect(node.perform("start", given.merging(["nic": "lo", "cidr_netmask": "32"]) { $1 }) == Outcome(.success))
  }

  /// `pcs resource meta vpn-clone promoted-max=2` on a pair that serves: 6 from the standby's start took the address from the other node.
  @Test func promotedMaxOfTwoIsARiskAndTheWireDecides() {
    let node = AddressNode()
    let told = ["CRM_meta_on_node": "moon", "CRM_meta_promoted_max": "2", "CRM_meta_clone_max": "2"]
    let risk = "promoted-max: 2 members would hold 192.0.2.50 at once, it must be 1"
    #expect(node.perform("start", told, clone: true).status == .success)
    #expect(node.perform("monitor", told, clone: true) == Outcome(.success, risk))
    node.machine.cluster.peers["vpnha-look-address"] = ["sun": "0 0.2.0 hardware=\(0x0200_0000_0099)"]
    node.machine.network.neighbours = [AddressNode.vip: AddressNode.mac]
    #expect(node.perform("promote", told, clone: true) == Outcome(.genericError, "sun still has 192.0.2.50, and answers for it: \(risk)"))
    node.machine.network.neighbours = [:]
    #expect(node.perform("promote", told, clone: true).status == .success)
    #expect(node.perform("monitor", told, clone: true) == Outcome(.runningPromoted, risk))
  }

  @Test("The loopback copy is ours when it is meant")
  func onLoopback() {
    let node = AddressNode()
    #expect(node.perform("start", ["nic": "lo", "cidr_netmask": "32"]) == Outcome(.success))
    #expect(node.perform("monitor", ["nic": "lo", "cidr_netmask": "32"]) == Outcome(.success))
    #expect(node.perform("stop", ["nic": "lo"]) == Outcome(.success))
    #expect(node.places == [])
  }

  @Test("A link that is down or has no carrier is a failure", arguments: [false, true])
  func carrier(isChecked: Bool) {
    let node = AddressNode()
    let given = ["check_link_status": "\(isChecked)", "nic": "uplink"]
    node.perform("start", given)
    node.machine.network.all[1].hasCarrier = false
    node.machine.network.all[1].operationalState = 2
    let expected = isChecked ? Outcome(.genericError, "eth0 has no carrier") : Outcome(.success)
    #expect(node.perform("monitor", given) == expected)
    node.machine.network.all[1].isUp = false
    #expect(node.perform("monitor", given) == Outcome(.genericError, "eth0 is down"))
    #expect(node.perform("stop", given) == Outcome(.success))
  }

  @Test("A start without carrier fails in five seconds and leaves nothing")
  func startWithoutCarrier() {
    let node = AddressNode()
    node.machine.network.all[1].hasCarrier = false
    let before = node.machine.clock.now
    #expect(node.perform("start") == Outcome(.genericError, "eth0 has no carrier"))
    #expect(node.machine.clock.now - before == .seconds(5))
    #expect(node.places == [])
    #expect(node.perform("start", ["check_link_status": "no"]) == Outcome(.success))
  }

  @Test("Carrier that comes late is waited for, whether the link was up or down", arguments: [false, true])
  func lateCarrier(isUp: Bool) {
    let node = AddressNode()
    node.machine.network.all[1].isUp = isUp
    node.machine.network.all[1].hasCarrier = false
    node.machine.clock.after(.seconds(2)) { node.machine.network.all[1].hasCarrier = true }
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.places == ["24@2"])
  }

  @Test("An interface and a route that come late are waited for", arguments: [false, true])
  func latePlace(clone: Bool) {
    for given in [["nic": "eth0", "cidr_netmask": "24"], ["nic": "eth0"], [:]] {
      let node = AddressNode()
      let (links, addresses, routes) = (node.machine.network.all, node.machine.network.addresses, node.machine.network.routes)
      node.machine.network.all = Array(links.prefix(1))
      (node.machine.network.addresses, node.machine.network.routes) = ([], [])
      node.machine.clock.after(.seconds(2)) {
        node.machine.network.all = links
        (node.machine.network.addresses, node.machine.network.routes) = (addresses, routes)
      }
      #expect(node.perform("start", given, clone: clone) == Outcome(.success), "\(given)")
      #expect(node.perform("stop", given, clone: clone) == Outcome(.success))
    }
    // What does not come is said, and a check waits for nothing.
    let node = AddressNode()
    let before = node.machine.clock.now
    #expect(node.perform("validate-all", ["nic": "eth7"], clone: clone, level: 10).status == .invalidHere && node.machine.clock.now == before)
    #expect(node.perform("start", ["nic": "eth7"], clone: clone) == Outcome(.invalidHere, "nic: eth7 is not on this node"))
    #expect(node.machine.clock.now < before + .seconds(6))
  }

  @Test("A link that tells of carrier is not believed when what carries it has none", arguments: ["vlan", "macvlan", "ipvlan", "gre"], [true, false])
  func lowerLinks(kind: String, isUp: Bool) {
    let node = AddressNode()
    var upper = Link(index: 5, name: "eth0.90", hardwareAddress: [2, 0, 0, 0, 0, 5], kind: kind)
    var top = Link(index: 6, name: "top", hardwareAddress: [2, 0, 0, 0, 0, 6], kind: "vlan")
    (upper.lower, top.lower) = (2, 5)
    node.machine.network.all += [upper, top]
    for (nic, clone) in [("eth0.90", false), ("top", false), ("top", true)] {
      let given = ["nic": nic, "cidr_netmask": "24"]
      #expect(node.perform("start", given, clone: clone) == Outcome(.success))
      #expect(node.perform("monitor", given, clone: clone) == Outcome(.success))
      node.machine.network.all[1].isUp = isUp
      node.machine.network.all[1].hasCarrier = false
      let reason = "eth0, which carries \(nic), \(isUp ? "has no carrier" : "is down")"
      #expect(node.perform("monitor", given, clone: clone) == Outcome(clone ? .success : .genericError, reason))
      node.machine.network.all[1].isUp = true
      node.machine.network.all[1].hasCarrier = true
      #expect(node.perform("stop", given, clone: clone) == Outcome(.success))
    }
    // The ends of a pair name each other.
    node.machine.network.all[1].kind = "veth"
    node.machine.network.all[2].kind = "veth"
    node.machine.network.all[1].lower = 3
    node.machine.network.all[2].lower = 2
    #expect(node.perform("start", ["nic": "eth0"]) == Outcome(.success))
  }

  @Test("A bond of VLANs with loose binding, none of which is carried")
  func bondOverVLANs() {
    let node = AddressNode()
    node.machine.network.all.append(Link(index: 4, name: "bond0", hardwareAddress: [2, 0, 0, 0, 0, 4], kind: "bond"))
    for (index, lower) in [(Int32(5), Int32(2)), (6, 3)] {
      var vlan = Link(index: index, name: "eth\(lower - 2).90", kind: "vlan")
      (vlan.lower, vlan.master) = (lower, 4)
      node.machine.network.all.append(vlan)
    }
    let given = ["nic": "bond0", "cidr_netmask": "24"]
    #expect(node.perform("start", given) == Outcome(.success))
    #expect(node.perform("monitor", given, level: 10) == Outcome(.success))
    node.machine.network.all[1].hasCarrier = false
    let reason = "eth0, which carries eth0.90, a part of bond0, has no carrier"
    #expect(node.perform("monitor", given, level: 10) == Outcome(.success, reason))
    node.machine.network.all[2].isUp = false
    #expect(node.perform("monitor", given, level: 10) == Outcome(.genericError, reason))
  }

  @Test("IPv6 that is switched off on the interface is said before it is needed")
  func disabledIPv6() {
    let node = AddressNode()
    let given = ["ip": "2001:db8::50", "nic": "eth0", "cidr_netmask": "64"]
    let reason = "IPv6 is disabled on eth0 (net.ipv6.conf.eth0.disable_ipv6)"
    #expect(node.perform("start", given, clone: true) == Outcome(.success))
    node.machine.network.all[1].disablesIPv6 = true
    #expect(node.perform("monitor", given, clone: true) == Outcome(.success, reason))
    #expect(node.perform("promote", given, clone: true) == Outcome(.genericError, reason))
    #expect(node.perform("stop", given, clone: true) == Outcome(.success))
    #expect(node.perform("validate-all", given, level: 10) == Outcome(.invalidHere, reason))
    for clone in [false, true] { #expect(node.perform("start", given, clone: clone) == Outcome(.invalidHere, reason)) }
    #expect(node.perform("start") == Outcome(.success))
  }

  @Test("Another host with the address is a risk that the deep monitor of the holder names")
  func intruder() {
    let node = AddressNode()
    for clone in [false, true] {
      node.machine.network.neighbours = [:]
      #expect(node.perform("start", clone: clone) == Outcome(.success))
      node.machine.network.neighbours = [AddressNode.vip: AddressNode.mac]
      if clone {
        // The one that serves answers, of course.
        #expect(node.perform("monitor", clone: true, level: 10) == Outcome(.success))
        #expect(node.perform("promote", clone: true) == Outcome(.success))
      }
      let status = clone ? Status.runningPromoted : .success
      #expect(node.perform("monitor", clone: clone) == Outcome(status))
      #expect(node.perform("monitor", clone: clone, level: 10) == Outcome(status, "192.0.2.50 is used by 02:00:00:00:00:99 on eth0 as well"))
      node.machine.network.neighbours = [AddressNode.vip: [2, 0, 0, 0, 0, 3]]  // eth1 of this node
      #expect(node.perform("monitor", clone: clone, level: 10) == Outcome(status))
      #expect(node.perform("stop", clone: clone) == Outcome(.success))
    }
  }

  /// Pacemaker promotes a second member when the node of the first is put into maintenance.
  @Test("What another node of the cluster still answers for is not taken; what another host answers keeps nobody from serving")
  func heldByAPeer() {
    let node = AddressNode()
    let told = ["CRM_meta_on_node": "moon"]
    #expect(node.perform("start", told, clone: true) == Outcome(.success))
    node.machine.cluster.peers["vpnha-look-address"] = ["sun": "0 0.2.0 hardware=\(0x0200_0000_0099)"]
    node.machine.network.neighbours = [AddressNode.vip: AddressNode.mac]
    let refused = node.perform("promote", told, clone: true)
    #expect(refused.status == .genericError && refused.reason?.hasPrefix("sun still has 192.0.2.50") == true)
    #expect(node.places == [])
    // It lets go a moment later: that was waited for.
    node.machine.clock.after(.seconds(2)) { node.machine.network.neighbours = [:] }
    #expect(node.perform("promote", told, clone: true) == Outcome(.success))
    #expect(node.perform("demote", told, clone: true) == Outcome(.success))
    node.machine.network.neighbours = [AddressNode.vip: [2, 0, 0, 0, 0, 0x77]]
    #expect(node.perform("promote", told, clone: true) == Outcome(.success))
  }

  /// By which the other node knows whose answer it hears.
  @Test func theLinksHardwareAddressIsTold() {
    let node = AddressNode()
    let told = ["CRM_meta_on_node": "moon"]
    #expect(node.perform("start", told, clone: true) == Outcome(.success))
    #expect(node.perform("monitor", told, clone: true, level: 10) == Outcome(.success))
    #expect(node.machine.cluster.shared["vpnha-look-address"]?.values.first?.contains(" hardware=\(0x0200_0000_0002)") == true)
  }

  @Test("The loopback address is the node's own, whatever the parameters say", arguments: ["127.0.0.1", "::1"])
  func loopbackAddress(ip: String) throws {
    let node = AddressNode()
    node.machine.network.hold(InterfaceAddress(try #require(IPAddress(ip)), prefixLength: ip == "::1" ? 128 : 8, link: 1))
    for more in [[:], ["cidr_netmask": ip == "::1" ? "128" : "8"]] {
      let given = ["ip": ip].merging(more) { $1 }
      #expect(node.perform("monitor", given, interval: 0) == Outcome(.notRunning))
      #expect(node.perform("start", given).status == .invalidHere)
      #expect(node.perform("stop", given) == Outcome(.success))
      #expect(node.machine.network.addresses.contains { "\($0.address)" == ip })
    }
  }

  @Test("An address that routes and rules keep from clients serves nobody, by a deep look", arguments: [false, true])
  func barriers(clone: Bool) {
    let node = AddressNode()
    let network = node.machine.network
    let (status, failed) = clone ? (Status.runningPromoted, Status.failedPromoted) : (.success, .genericError)
    #expect(node.perform("start", clone: clone) == Outcome(.success))
    if clone { #expect(node.perform("promote", clone: clone) == Outcome(.success)) }
    func look() -> Outcome { node.perform("monitor", clone: clone, level: 10) }
    #expect(look() == Outcome(status))
    network.isDelivered = { $0 != AddressNode.vip }
    #expect(look() == Outcome(failed, "192.0.2.50 is missing in the routing table local: no packet to it is taken in"))
    #expect(node.perform("monitor", clone: clone) == Outcome(status), "a basic look asks for the address alone")
    network.isDelivered = { _ in true }
    // ip rule add from VIP blackhole
    let drops = "a rule or a route drops it (ip rule show)"
    network.isOpen = { $1 != AddressNode.vip }
    #expect(look() == Outcome(failed, "nothing leaves from 192.0.2.50: \(drops)"))
    network.isOpen = { _, _ in false }
    #expect(look() == Outcome(status), "where the node itself reaches nobody the address is not to blame")
    // Without a default route the network is all there is.
    network.isOpen = { $1 == nil && $0 == IPAddress("192.0.2.51") }
    #expect(look() == Outcome(failed, "nothing leaves from 192.0.2.50: \(drops)"))
    // The one network only, or all but it.
    network.isOpen = { $1 == nil || $0 == IPAddress("192.0.2.51") }
    #expect(look() == Outcome(status, "nothing leaves from 192.0.2.50 to 198.51.100.1: \(drops)"))
    network.isOpen = { $1 == nil || $0 != IPAddress("192.0.2.51") }
    #expect(look() == Outcome(status, "nothing leaves from 192.0.2.50 to 192.0.2.51: \(drops)"))
    // strongswan's rule is strongswan's.
    network.isOpen = { $1 != AddressNode.vip }
    network.quiet = [AddressNode.vip]
    #expect(look() == Outcome(status))
    #expect(node.perform("stop", clone: clone) == Outcome(.success))
  }

  @Test("A link that is down is brought up")
  func linkIsDown() {
    let node = AddressNode()
    node.machine.network.all[1].isUp = false
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.machine.network.all[1].isUp)
  }

  @Test("Duplicate address detection is waited for")
  func tentative() {
    let node = AddressNode().with { $0.network.duplicateDetection = .takes(.seconds(2)) }
    #expect(node.perform("start", ["ip": "2001:db8::50"]) == Outcome(.success))
    #expect(node.copies.first?.flags == [])
    #expect(node.machine.network.announced.count == 1)
  }

  @Test("A duplicate fails the start, names the other host and leaves nothing")
  func duplicate() {
    let node = AddressNode().with {
      $0.network.duplicateDetection = .fails(after: .seconds(1))
      $0.network.neighbours[AddressNode.vip6] = AddressNode.mac
    }
    let reason = "2001:db8::50 is used by 02:00:00:00:00:99 on eth0"
    #expect(node.perform("start", ["ip": "2001:db8::50"]) == Outcome(.genericError, reason))
    #expect(node.places == [])
    #expect(node.machine.network.announced == [])
  }

  @Test(
    "An address that failed detection, or is still tentative, does not run",
    arguments: [
      (
        AddressFlags.dadFailed.union(.tentative),
        "2001:db8::50/64 on eth0 is used by another host: duplicate address detection failed"
      ),
      (.tentative, "2001:db8::50/64 on eth0 is tentative: duplicate address detection has not ended"),
      ([.tentative, .optimistic], nil), (.deprecated, nil),
    ] as [(AddressFlags, String?)])
  func flags(flags: AddressFlags, reason: String?) {
    let node = AddressNode()
    node.hold("2001:db8::50", 64, on: 2, flags: flags)
    #expect(
      node.perform("monitor", ["ip": "2001:db8::50"])
        == reason.map { Outcome(.genericError, $0) } ?? Outcome(.success))
  }

  @Test("An address somebody on the wire has is not taken")
  func arping() {
    let node = AddressNode().with { $0.network.neighbours[AddressNode.vip] = AddressNode.mac }
    #expect(
      node.perform("start", ["run_arping": "yes"])
        == Outcome(.genericError, "192.0.2.50 is used by 02:00:00:00:00:99 on eth0"))
    #expect(node.places == [])
    #expect(node.perform("start") == Outcome(.success))
  }

  // MARK: Neighbours

  @Test("How the neighbours are told")
  func announcements() throws {
    let node = AddressNode()
    let given = [
      "arp_count": "3", "arp_interval": "50", "send_arp_opts": "-A -q", "arp_targets": "192.0.2.7 192.0.2.8",
      "arp_sender": "iputils_arping",
    ]
    #expect(node.perform("start", given) == Outcome(.success))
    let targets = [IPAddress("192.0.2.7"), IPAddress("192.0.2.8")].compactMap { $0 }
    #expect(
      node.machine.network.announced == [
        Announcement(
          AddressNode.vip, link: 2, count: 3, interval: .milliseconds(50), asReply: true, targets: targets)
      ])
  }

  @Test("In the foreground one after the other, on request none, in a monitor as many as wanted")
  func otherAnnouncements() {
    let node = AddressNode()
    node.perform("start", ["arp_bg": "false", "arp_count": "3"])
    #expect(node.machine.network.announced.map(\.count) == [1, 1, 1])
    #expect(node.machine.clock.sleeps == [.milliseconds(200), .milliseconds(200)])
    let quiet = AddressNode()
    quiet.perform("start", ["arp_count": "0"])
    #expect(quiet.places == ["24@2"] && quiet.machine.network.announced == [])
    for (interval, announced) in [(0, []), (10_000, [2])] {
      #expect(quiet.perform("monitor", ["arp_count_refresh": "2"], interval: interval) == Outcome(.success))
      #expect(quiet.machine.network.announced.map(\.count) == announced)
    }
  }

  @Test("An announcement that fails does not undo the address")
  func announcementFails() {
    let node = AddressNode()
    node.machine.calls.fail("network.announce", with: .networkDown)
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.machine.log.messages(from: .warning).count == 1)
    let waiting = AddressNode()
    waiting.machine.calls.fail("network.announce", with: .noBufferSpace)
    #expect(waiting.perform("start", ["arp_bg": "false", "arp_count": "3"]) == Outcome(.success))
    #expect(waiting.machine.calls.changes.filter { $0.hasPrefix("network.announce") }.count == 3)
  }

  @Test("A burst that is slow to end does not make a stop fail; one that does not end does", arguments: [false, true])
  func slowSilence(ends: Bool) throws {
    let node = AddressNode()
    node.hold("192.0.2.50", 24, on: 2)
    node.perform("stop")
    let position = try #require(node.machine.calls.all.filter(\.canFail).firstIndex { $0.description.hasPrefix("network.stopAnnouncing") })
    node.hold("192.0.2.50", 24, on: 2)
    node.machine.calls.reset()
    if ends { node.machine.calls.fail(at: position, with: .timedOut) } else { node.machine.calls.fail("network.stopAnnouncing", with: .timedOut) }
    #expect(node.perform("stop").status == (ends ? .success : .genericError))
    #expect(node.places == [])
  }

  @Test("Other addresses of the network stay when ours was the first")
  func promoteSecondaries() {
    let node = AddressNode()
    node.hold("192.0.2.50", 24, on: 3)
    #expect(node.perform("stop", ["cidr_netmask": "24"]) == Outcome(.success))
    #expect(node.machine.calls.changes.filter { $0.contains("promoteSecondaries") } == ["network.promoteSecondaries(true, on: eth1)", "network.promoteSecondaries(false, on: eth1)"])
    #expect(node.machine.network.all.map(\.promotesSecondaries) == [false, false, false])
    let secondary = AddressNode()
    secondary.hold("192.0.2.50", 24, on: 2, flags: [.permanent, .secondary])
    #expect(secondary.perform("stop") == Outcome(.success))
    #expect(secondary.machine.network.all.map(\.promotesSecondaries) == [false, false, false])
  }

  // MARK: Load balancing, namespaces, connections

  @Test("The loopback copy of a server behind LVS is set aside and put back")
  func lvsSupport() {
    let node = AddressNode()
    node.hold("192.0.2.50", 32, on: 1)
    let given = ["lvs_support": "true"]
    #expect(node.perform("monitor", given) == Outcome(.notRunning))
    #expect(node.perform("start", given) == Outcome(.success))
    #expect(node.places == ["24@2"])
    #expect(node.perform("monitor", given) == Outcome(.success))
    #expect(node.perform("stop", given) == Outcome(.success))
    #expect(node.places == ["32@1"])
    #expect(node.leftovers == [])
    // A node that never had one gets none, and without the parameter nobody touches it.
    let bare = AddressNode()
    bare.perform("start", given)
    bare.perform("stop", given)
    #expect(bare.places == [])
    let plain = AddressNode()
    plain.hold("192.0.2.50", 32, on: 1)
    #expect(plain.perform("start") == Outcome(.success))
    #expect(plain.places == ["24@2", "32@1"])
    #expect(plain.perform("stop") == Outcome(.success))
    #expect(plain.places == ["32@1"])
  }

  @Test("The policy label comes before the address and goes with it")
  func policyLabel() {
    let node = AddressNode()
    let given = ["ip": "2001:db8::50", "lvs_ipv6_addrlabel": "true", "lvs_ipv6_addrlabel_value": "77"]
    #expect(node.perform("start", given) == Outcome(.success))
    #expect(node.machine.network.policyLabels == [AddressNode.vip6: 77])
    #expect(node.perform("stop", given) == Outcome(.success))
    #expect(node.machine.network.policyLabels == [:])
  }

  @Test("Connections are reset and routes flushed when that is wanted, and only then")
  func leaving() {
    let node = AddressNode()
    node.machine.network.connections = [AddressNode.vip: 3]
    node.perform("start")
    node.perform("stop")
    #expect(node.machine.network.connections == [AddressNode.vip: 3])
    node.perform("start")
    #expect(node.perform("stop", ["close_sockets": "1", "flush_routes": "1"]) == Outcome(.success))
    #expect(node.machine.network.connections == [:])
    #expect(node.machine.calls.changes.contains("network.flushRouteCache(IPv4)"))
    node.machine.network.connections = nil
    node.perform("start")
    #expect(node.perform("stop", ["close_sockets": "1"]) == Outcome(.success))
    #expect(node.machine.log.messages(from: .warning).count == 1)
  }

  @Test("In a network namespace, and without it")
  func namespace() {
    let node = AddressNode()
    let inside = AddressNode()
    node.machine.network.namespaces["blue"] = inside.machine.network
    let given = ["network_namespace": "blue"]
    #expect(node.perform("start", given) == Outcome(.success))
    #expect(node.places == [] && inside.places == ["24@2"])
    #expect(node.perform("monitor", given) == Outcome(.success))
    #expect(node.perform("monitor") == Outcome(.notRunning))
    #expect(node.perform("stop", given) == Outcome(.success))
    #expect(inside.places == [])
    let absent = ["network_namespace": "red"]
    #expect(node.perform("monitor", absent, interval: 0) == Outcome(.notRunning))
    #expect(node.perform("monitor", absent) == Outcome(.genericError, "network_namespace: red is not on this node"))
    #expect(node.perform("stop", absent) == Outcome(.success))
    #expect(node.perform("start", absent) == Outcome(.invalidHere, "network_namespace: red is not on this node"))
    #expect(node.perform("start", ["network_namespace": "../red"]).status == .misconfigured)
    #expect(node.perform("start", given, clone: true) == Outcome(.success))
    node.machine.network.namespaces = [:]
    #expect(
      node.perform("monitor", given, clone: true)
        == Outcome(.genericError, "network_namespace: blue is not on this node"))
    #expect(node.perform("stop", given, clone: true) == Outcome(.success))
    #expect(node.leftovers == [])
  }

  @Test("A bond that lost a link is degraded, by a deep look through the VLAN on it")
  func bondAtRisk() {
    let node = AddressNode()
    var vlan = Link(index: 5, name: "bond0.7", hardwareAddress: [2, 0, 0, 0, 0, 5], kind: "vlan")
    vlan.lower = 4
    node.machine.network.all += [Link(index: 4, name: "bond0", hardwareAddress: [2, 0, 0, 0, 0, 5], kind: "bond"), vlan]
    for index in [1, 2] { node.machine.network.all[index].master = 4 }
    let given = ["nic": "bond0.7", "cidr_netmask": "24"]
    #expect(node.perform("start", given) == Outcome(.success))
    #expect(node.perform("monitor", given, level: 10) == Outcome(.success))
    node.machine.network.all[2].hasCarrier = false
    #expect(node.perform("monitor", given, level: 10) == Outcome(.success, "eth1, a part of bond0, has no carrier"))
    #expect(node.perform("monitor", given) == Outcome(.success))
  }

  // MARK: In a promotable clone

  @Test("Unpromoted prepares, promoted holds")
  func promotable() {
    let node = AddressNode()
    #expect(node.perform("monitor", clone: true, interval: 0) == Outcome(.notRunning))
    #expect(node.perform("start", clone: true) == Outcome(.success))
    #expect(node.places == [] && node.machine.network.announced == [])
    #expect(node.perform("monitor", clone: true) == Outcome(.success))
    #expect(node.perform("promote", clone: true) == Outcome(.success))
    #expect(node.places == ["24@2"] && node.machine.network.announced.count == 1)
    #expect(node.perform("monitor", clone: true) == Outcome(.runningPromoted))
    #expect(node.perform("promote", clone: true) == Outcome(.success))
    #expect(node.perform("demote", clone: true) == Outcome(.success))
    #expect(node.places == [])
    #expect(node.perform("monitor", clone: true) == Outcome(.success))
    #expect(node.perform("demote", clone: true) == Outcome(.success))
    #expect(node.perform("promote", clone: true) == Outcome(.success))
    #expect(node.perform("stop", clone: true) == Outcome(.success))
    #expect(node.places == [] && node.leftovers == [])
    #expect(node.perform("monitor", clone: true, interval: 0) == Outcome(.notRunning))
  }

  @Test("A promoted address that is damaged or gone is 9")
  func promotedFailures() {
    let node = AddressNode()
    node.perform("start", clone: true)
    node.perform("promote", clone: true)
    node.machine.network.all[1].hasCarrier = false
    #expect(node.perform("monitor", clone: true) == Outcome(.failedPromoted, "eth0 has no carrier"))
    node.machine.network.all[1].hasCarrier = true
    node.machine.network.addresses.removeAll { $0.address == AddressNode.vip }
    let gone = "192.0.2.50 is gone from eth0"
    for interval in [0, 10_000] {
      #expect(node.perform("monitor", clone: true, interval: interval) == Outcome(.failedPromoted, gone))
    }
    #expect(node.perform("monitor", ["CRM_meta_role": "Master"], clone: true) == Outcome(.failedPromoted, gone))
    #expect(node.perform("demote", clone: true) == Outcome(.success))
    #expect(node.perform("monitor", clone: true) == Outcome(.success))
    // Without a record too, when the cluster says what the member is.
    #expect(node.perform("monitor", ["CRM_meta_role": "Promoted", "nic": "eth0"], clone: true) == Outcome(.failedPromoted, gone))
    #expect(node.perform("stop", clone: true) == Outcome(.success))
    #expect(node.leftovers == [])
    let plain = AddressNode()
    plain.perform("start")
    plain.machine.network.addresses.removeAll { $0.address == AddressNode.vip }
    #expect(plain.perform("monitor") == Outcome(.notRunning, gone))
    #expect(plain.perform("monitor", interval: 0) == Outcome(.notRunning))
  }

  @Test("An address that somebody gave a standby is a failure with that reason", arguments: [nil, "Slave", "Unpromoted"])
  func addressOfAStandby(role: String?) {
    let node = AddressNode()
    let given = role.map { ["CRM_meta_role": $0] } ?? [:]
    #expect(node.perform("start", clone: true) == Outcome(.success))
    node.hold("192.0.2.50", 24, on: 2)
    #expect(node.perform("monitor", given, clone: true) == Outcome(.genericError, "192.0.2.50 is on eth0, and this member was not promoted"))
    #expect(node.perform("monitor", ["CRM_meta_role": "Promoted"], clone: true) == Outcome(.runningPromoted))
    #expect(node.perform("stop", clone: true) == Outcome(.success))
    #expect(node.places == [] && node.leftovers == [])
  }

  @Test("Records that cannot be removed count for nothing once the member was stopped or demoted", arguments: [Errno.readOnly, .io])
  func recordsThatStay(errno: Errno) {
    let node = AddressNode()
    node.perform("start", clone: true)
    node.perform("promote", clone: true)
    node.machine.calls.fail("files.remove(/run", with: errno)
    let before = node.machine.clock.now
    #expect(node.perform("demote", clone: true) == Outcome(.success))
    #expect(node.perform("monitor", clone: true) == Outcome(.success))
    #expect(node.perform("stop", clone: true) == Outcome(.success))
    #expect(node.machine.clock.now == before)
    #expect(node.perform("monitor", clone: true, interval: 0) == Outcome(.notRunning))
    node.machine.calls.reset()
    node.machine.clock.sleep(until: node.machine.clock.now + .milliseconds(1))
    #expect(node.perform("start", clone: true) == Outcome(.success))
    #expect(node.perform("monitor", clone: true, interval: 0) == Outcome(.success))
    #expect(node.perform("stop", clone: true) == Outcome(.success))
    #expect(node.leftovers == [])
  }

  @Test("A directory in a record's place is no record, and fails no stop")
  func plantedDirectory() {
    for record in ["standby", "held"] {
      let node = AddressNode()
      node.perform("start", clone: true)
      node.perform("promote", clone: true)
      node.machine.files.nodes["/run/resource-agents/vpnha-vip-address.\(record)"] = InMemoryFiles.Node([], .directory)
      node.machine.files.put("", at: "/run/resource-agents/vpnha-vip-address.\(record)/x")
      #expect(node.perform("stop", clone: true) == Outcome(.success))
      #expect(node.perform("monitor", clone: true, interval: 0) == Outcome(.notRunning))
      #expect(node.places == [])
    }
  }

  @Test("A standby that could not serve is at risk and the last to be promoted")
  func weakStandby() {
    let node = AddressNode()
    let inCluster = ["CRM_meta_on_node": "moon"]
    node.machine.network.all[1].hasCarrier = false
    #expect(node.perform("start", inCluster, clone: true) == Outcome(.success, "eth0 has no carrier"))
    #expect(node.perform("monitor", inCluster, clone: true) == Outcome(.success, "eth0 has no carrier"))
    #expect(node.machine.cluster.scoresSet == [5])
    node.machine.network.all[1].hasCarrier = true
    for _ in 0..<2 { #expect(node.perform("monitor", inCluster, clone: true) == Outcome(.success)) }
    node.machine.network.all[1].hasCarrier = false
    #expect(node.perform("monitor", inCluster, clone: true) == Outcome(.success, "eth0 has no carrier"))
    #expect(node.machine.cluster.scoresSet == [5, 100, 5])
    #expect(node.perform("promote", clone: true) == Outcome(.genericError, "eth0 has no carrier"))
    #expect(node.places == [])
    node.machine.network.all.removeSubrange(1...)
    #expect(
      node.perform("monitor", ["nic": "eth0"], clone: true) == Outcome(.genericError, "nic: eth0 is not on this node"))
    #expect(node.perform("stop", ["nic": "eth0"], clone: true) == Outcome(.success))
  }

  @Test("A probe that finds a standby has the cluster take its score up again: one whose controller started anew has forgotten it")
  func probedStandby() {
    let node = AddressNode()
    let inCluster = ["CRM_meta_on_node": "moon"]
    func taken() -> Int { node.machine.calls.changes.count { $0 == "cluster.takeUpAttributes()" } }
    #expect(node.perform("monitor", inCluster, clone: true, interval: 0) == Outcome(.notRunning))
    #expect(node.perform("start", inCluster, clone: true) == Outcome(.success))
    for _ in 0..<2 { #expect(node.perform("monitor", inCluster, clone: true, level: 10) == Outcome(.success)) }
    #expect(taken() == 0)
    #expect(node.perform("monitor", inCluster, clone: true, interval: 0) == Outcome(.success))
    #expect(taken() == 1)
  }

  @Test("A standby that nobody would find, or from whose address nothing would leave, is unfit; asked by a deep look only")
  func deafStandby() {
    let node = AddressNode()
    let inCluster = ["CRM_meta_on_node": "moon"]
    #expect(node.perform("start", inCluster, clone: true) == Outcome(.success))
    func expect(_ reason: String?, _ label: String) {
      #expect(node.perform("monitor", inCluster, clone: true, level: 10) == Outcome(.success, reason), "\(label)")
      #expect(node.machine.cluster.scoresSet.last == (reason == nil ? 100 : 5), "\(label)")
    }
    node.machine.network.all[1].answersARP = false
    expect("nobody finds 192.0.2.50 on eth0, which answers no ARP: ip link set eth0 arp on", "arp off")
    node.machine.network.all[1].kind = "dummy"
    for _ in 0..<2 { expect(nil, "a dummy has none") }
    (node.machine.network.all[1].kind, node.machine.network.all[1].answersARP) = ("", true)
    node.machine.files.kernelParameters["net.ipv4.conf.eth0.arp_ignore"] = "8"
    expect("set net.ipv4.conf.eth0.arp_ignore=0: nobody finds 192.0.2.50, for which no ARP is answered", "arp_ignore")
    node.machine.files.kernelParameters["net.ipv4.conf.eth0.arp_ignore"] = "1"
    for _ in 0..<2 { expect(nil, "1 answers for what the interface has") }
    if let address = IPAddress("192.0.2.50") { node.machine.network.refusals[address] = 100 }
    expect("nothing leaves from 192.0.2.50 while a rule refuses it: ip rule del priority 100", "a rule")
    #expect(node.perform("monitor", inCluster, clone: true).status == .success)
  }

  @Test("A record for another address, or after a reboot, counts for nothing")
  func staleRecord() {
    let node = AddressNode()
    node.perform("start", clone: true)
    #expect(node.perform("monitor", ["ip": "192.0.2.51"], clone: true) == Outcome(.notRunning))
    for path in node.leftovers { node.machine.files.nodes[path] = nil }
    #expect(node.perform("monitor", clone: true) == Outcome(.notRunning))
  }

  @Test("A promoted member whose record is lost is a standby after demote")
  func lostRecord() {
    let node = AddressNode()
    node.perform("start", clone: true)
    node.perform("promote", clone: true)
    for path in node.leftovers { node.machine.files.nodes[path] = nil }
    #expect(node.perform("monitor", clone: true) == Outcome(.runningPromoted))
    #expect(node.perform("demote", clone: true) == Outcome(.success))
    #expect(node.perform("monitor", clone: true) == Outcome(.success))
    #expect(node.perform("stop", clone: true) == Outcome(.success))
    #expect(node.leftovers == [])
  }

  @Test("A plain resource stops without a place for records", arguments: [Errno.readOnly, .io])
  func noPlaceForRecords(errno: Errno) {
    let node = AddressNode()
    node.perform("start")
    node.machine.calls.fail("files.remove", with: errno)
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.places == [])
  }

  @Test("Promote and demote by hand, without a clone")
  func byHand() {
    let node = AddressNode()
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.perform("demote") == Outcome(.success))
    #expect(node.perform("demote") == Outcome(.success))
    #expect(node.perform("promote") == Outcome(.success))
    #expect(node.places == ["24@2"])
    #expect(node.perform("promote") == Outcome(.success))
    #expect(node.perform("stop") == Outcome(.success))
  }

  @Test("What can be reloaded needs no restart")
  func reload() {
    let node = AddressNode()
    node.perform("start")
    node.machine.calls.reset()
    #expect(node.perform("reload-agent", ["arp_count": "9"]) == Outcome(.success))
    #expect(node.machine.calls.changes == [])
    node.perform("stop")
    #expect(node.perform("reload-agent").status == .genericError)
  }

  // MARK: An error at every call

  static let parameterSets: [[String: String]] = [
    [:],
    ["nic": "eth0", "cidr_netmask": "24", "run_arping": "1", "lvs_support": "1", "flush_routes": "1", "close_sockets": "1"],
    ["ip": "2001:db8::50", "lvs_ipv6_addrlabel": "1"],
  ]

  @Test("Whatever fails during start or promote: no lie, and the next stop leaves nothing", arguments: parameterSets, [false, true])
  func faultsOnTheWayUp(given: [String: String], clone: Bool) {
    for error in [Errno.io, .notPermitted, .timedOut] {
      InMemoryMachine.failingEveryCall(with: error, in: { AddressNode().machine }) { machine in
        var outcome = AddressNode.perform("start", given, on: machine, clone: clone)
        if clone, outcome.status == .success { outcome = AddressNode.perform("promote", given, on: machine, clone: clone) }
        return outcome
      } check: { failed, outcome, machine in
        let holds = machine.network.addresses.contains { $0.address == AddressNode.vip || $0.address == AddressNode.vip6 }
        #expect(outcome.status != .success || holds, "\(failed)")
        #expect((outcome.reason == nil) == (outcome.status == .success), "\(failed)")
        machine.calls.reset()
        #expect(AddressNode.perform("stop", given, on: machine, clone: clone) == Outcome(.success), "\(failed)")
        #expect(!machine.network.addresses.contains { $0.address == AddressNode.vip || $0.address == AddressNode.vip6 })
        #expect(!machine.files.nodes.keys.contains { $0.hasPrefix("/run/resource-agents/") }, "\(failed)")
      }
    }
  }

  @Test("Whatever fails during stop or demote: success only when the address has gone", arguments: parameterSets, [false, true])
  func faultsOnTheWayDown(given: [String: String], clone: Bool) {
    for action in clone ? ["stop", "demote"] : ["stop"] {
      InMemoryMachine.failingEveryCall {
        let machine = AddressNode().machine
        _ = AddressNode.perform("start", given, on: machine, clone: clone)
        if clone { _ = AddressNode.perform("promote", given, on: machine, clone: clone) }
        return machine
      } _: { machine in
        AddressNode.perform(action, given, on: machine, clone: clone)
      } check: { failed, outcome, machine in
        let holds = machine.network.addresses.contains { $0.address == AddressNode.vip || $0.address == AddressNode.vip6 }
        #expect(outcome.status != .success || !holds, "\(failed)")
        machine.calls.reset()
        #expect(AddressNode.perform("stop", given, on: machine, clone: clone) == Outcome(.success), "\(failed)")
        #expect(!machine.network.addresses.contains { $0.address == AddressNode.vip || $0.address == AddressNode.vip6 })
        #expect(!machine.files.nodes.keys.contains { $0.hasPrefix("/run/resource-agents/") }, "\(failed)")
      }
    }
  }

  @Test("Whatever fails during a monitor: never stopped, never well", arguments: parameterSets, [false, true])
  func faultsWhileLooking(given: [String: String], clone: Bool) {
    InMemoryMachine.failingEveryCall {
      let machine = AddressNode().machine
      _ = AddressNode.perform("start", given, on: machine, clone: clone)
      return machine
    } _: { machine in
      AddressNode.perform("monitor", given, on: machine, clone: clone)
    } check: { failed, outcome, _ in
      #expect(outcome.status == .genericError && outcome.reason != nil, "\(failed)")
    }
  }
}
