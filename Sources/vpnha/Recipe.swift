import Host

/// One of README's recipes, with a gateway's own addresses: commands that build something in a copy of the cluster's configuration, which
/// is then pushed whole. Typed one by one into a running cluster the same commands would start halves of it.
struct Recipe: Equatable {
  enum Name: String, CaseIterable {
    /// Fencing, and what holds for every resource.
    case cluster
    case promotable, seamless, group, libreswan, probe, firewall, announce, alert
    case twoAddresses = "two-addresses"
    case balanced

    var about: String {
      switch self {
      case .cluster: "fencing, and defaults for every resource"
      case .promotable: "a warm standby: the whole VPN on both nodes, with conntrackd and the packet filter"
      case .seamless: "the same, and both nodes know every session; needs /etc/vpnha/sessions.key (vpnha key)"
      case .twoAddresses: "two addresses, one on each node, each node the other's warm standby, with path and packet filter; needs a second xl2tpd.conf (docs/two-addresses.md)"
      case .balanced: "every gateway serves, one of them hands the clients out (IPVS); needs the address kept from ARP on lo, and pools of their own (docs/balanced.md)"
      case .group: "everything on one node, started cold on the other"
      case .libreswan: "the same with libreswan in strongSwan's place, without conntrackd and carried sessions (docs/libreswan.md)"
      case .probe: "the path of each node, and the rule that makes it count"
      case .firewall: "the packet filter alone, for a warm standby without one"
      case .announce: "the address told to routers by BGP, for a warm standby; needs BIRD or FRR on both nodes (docs/announce.md)"
      case .alert: "alerts to the journal and to an address"
      }
    }
  }

  /// What differs from one gateway pair to another. The values of README unless they are given.
  struct Values: Equatable {
    var address = "203.0.113.50"
    var prefix = 24
    var nic = "eth0"
    var pool = "10.9.0.0/24"
    /// The second address of two, and the same of it.
    var addressB = "203.0.113.51"
    var prefixB = 24
    var poolB = "10.9.1.0/24"
    /// Where each of two addresses belongs, and the hour of the day in which it goes back there.
    var homes = ["moon", "sun"]
    var homeHour = 3
    /// Gateways that all serve, by their own outside addresses, and the link on which they tell each other who is whose.
    var servers = ["moon:203.0.113.11", "sun:203.0.113.12"]
    var syncNic = "eth1"
    var connections = "l2tp"
    var ping = ["203.0.113.1", "203.0.113.2"]
    var ike = ["198.51.100.9"]
    var receiver = "http://198.51.100.30:9093/api/v2/alerts"
    var format = "alertmanager"
    var fence = [Fence("moon", "198.51.100.11"), Fence("sun", "198.51.100.12")]
    var fenceAgent = "fence_ipmilan"
    var fenceUser = "fence"
    /// Whether a third machine decides a split: then nobody has to wait.
    var hasQuorumDevice = false
    /// Whether FRR tells the routers, not BIRD.
    var hasFRR = false
    /// A program that prints the password; without it the password is a word to be replaced.
    var fencePasswordScript: String?

    struct Fence: Equatable {
      var node: String
      var device: String
      init(_ node: String, _ device: String) {
        self.node = node
        self.device = device
      }
    }
  }

  var name: Name
  var values = Values()

  /// The words of each command, without `pcs`.
  var commands: [[String]] {
    switch name {
    case .cluster: cluster
    case .promotable:
      stack + [promotable, conntrackd] + firewall + [Self.conntrackdFirst, follows("conntrackd")] + order(of: "vpn-clone", role: "promote")
        + ["vip", "strongswan", "xl2tpd", "conntrackd"].flatMap(plainMonitors)
    case .seamless:
      stack + [promotable, conntrackd, sessions] + firewall + [Self.conntrackdFirst + ["symmetrical=false"], Self.sessionsFirst] + ["conntrackd", "sessions"].map(follows) + order(of: "vpn-clone", role: "promote")
        + ["vip", "strongswan", "xl2tpd", "conntrackd", "sessions"].flatMap(plainMonitors)
    case .twoAddresses: twoAddresses
    case .balanced: balanced + plainMonitors(of: "balancer", [12, 17])
    case .group, .libreswan: stack + [["resource", "meta", "vpn", "failure-timeout=30s", "priority=10"]] + firewall + order(of: "vpn", role: "start")
    case .firewall: firewall + order(of: "vpn-clone", role: "promote")
    case .probe: probe
    case .announce: announce + plainMonitors(of: "announce")
    case .alert:
      [
        ["alert", "create", "id=vpnha", "path=/usr/libexec/vpnha/vpnha-alert"],
        ["alert", "recipient", "add", "vpnha", "value=\(values.receiver)", "options", "format=\(values.format)"],
      ]
    }
  }

  /// What the recipe makes, by its ID: where one of them is there, it has been run before.
  var makes: [String] {
    switch name {
    case .cluster: values.fence.map { "fence-\($0.node)" }
    case .promotable: ["vip", "strongswan", "xl2tpd", "conntrackd", "firewall"]
    case .seamless: ["vip", "strongswan", "xl2tpd", "conntrackd", "sessions", "firewall"]
    case .twoAddresses: ["vip", "xl2tpd", "vip-b", "xl2tpd-b", "strongswan", "firewall", "path"]
    case .balanced: ["vip", "strongswan", "xl2tpd", "balancer"]
    case .group: ["vip", "strongswan", "xl2tpd", "firewall"]
    case .libreswan: ["vip", "libreswan", "xl2tpd", "firewall"]
    case .firewall: ["firewall"]
    case .probe: ["path"]
    case .announce: ["announce"]
    case .alert: []
    }
  }

  /// Whether it starts something, which the push then waits for.
  private var starts: Bool { name != .alert }

  static let file = "vpn.xml"

  /// The commands as README shows them.
  var lines: String {
    let within = commands.map { "pcs -f \(Self.file) " + $0.map(Self.quoted).joined(separator: " ") }
    return (["pcs cluster cib \(Self.file)"] + within + [(["pcs"] + push(Self.file)).joined(separator: " ")]).joined(separator: "\n")
  }

  func push(_ file: String) -> [String] { ["cluster", "cib-push", file, "--config"] + (starts ? ["--wait=60"] : []) }

  /// One script: it looks first, stops at the first command that is refused, and changes the cluster with its last one.
  var script: String {
    var lines = ["#!/bin/sh", "# vpnha recipe \(name.rawValue): \(name.about)", "set -eu", "refuse() { echo \"nothing was changed: $1\" >&2; exit 1; }", "[ \"$(id -u)\" = 0 ] || refuse 'run this as root'"]
    if needsInterface { lines.append("[ -e /sys/class/net/\(values.nic) ] || refuse 'there is no interface \(values.nic) on this node'") }
    lines += [
      "cibadmin --query >/dev/null 2>&1 || refuse 'the cluster does not answer here: pcs cluster start'",
      "folder=$(mktemp -d)", "trap 'rm -rf \"$folder\"' EXIT", "cd \"$folder\"",
      "pcs cluster cib \(Self.file)",
    ]
    for id in makes { lines.append("! grep -q '<primitive id=\"\(id)\"' \(Self.file) || refuse 'there is a resource \(id) already'") }
    if name == .alert { lines.append("! grep -q '<alert id=\"vpnha\"' \(Self.file) || refuse 'there is an alert vpnha already'") }
    if let needed { lines.append("grep -q 'id=\"\(needed)\"' \(Self.file) || refuse 'there is no \(needed) yet: vpnha recipe promotable'") }
    lines += commands.map { "pcs -f \(Self.file) " + $0.map(Self.quoted).joined(separator: " ") }
    lines += ["crm_verify --xml-file \(Self.file)", (["pcs"] + push(Self.file)).joined(separator: " ")]
    return lines.joined(separator: "\n")
  }

  var needsInterface: Bool { [.promotable, .seamless, .twoAddresses, .balanced, .group, .libreswan, .firewall].contains(name) }
  /// What it belongs to.
  var needed: String? { [.probe, .firewall, .announce].contains(name) ? "vpn-clone" : nil }

  // MARK: The parts

  /// A node that takes over in a storm of clients that come back is busy. Pacemaker would start one action there after the other, the
  /// deeper monitors of a member in front of the next member's promotion. And an action whose result is lost, as a second refresh loses those
  /// that the first one started, holds up every recovery for its own timeout and `cluster-delay`, 60 s by default.
  static let pace = ["load-threshold=1000%", "node-action-limit=16", "cluster-delay=10s"]

  private var cluster: [[String]] {
    [["property", "set", "stonith-enabled=true"] + Self.pace + (values.hasQuorumDevice ? [] : ["priority-fencing-delay=5s"]), ["resource", "defaults", "update", "resource-stickiness=100"]]
      + values.fence.map { fence in
        let secret = values.fencePasswordScript.map { "password_script=\($0)" } ?? "password=secret"
        return ["stonith", "create", "fence-\(fence.node)", values.fenceAgent, "ip=\(fence.device)", "username=\(values.fenceUser)", secret, "pcmk_host_list=\(fence.node)"]
      } + values.fence.map { ["constraint", "location", "fence-\($0.node)", "avoids", $0.node] }
  }

  private var stack: [[String]] {
    [
      ["vip", "ip=\(values.address)"] + (name == .balanced ? ["cidr_netmask=32", "nic=lo"] : ["cidr_netmask=\(values.prefix)", "nic=\(values.nic)"]),
      [name == .libreswan ? "libreswan" : "strongswan", "connections=\(values.connections)", "address=\(values.address)"],
      ["xl2tpd", "address=\(values.address)"],
    ].map { ["resource", "create", $0[0], "ocf:vpnha:\($0[0])"] + $0.dropFirst() + ["--group", "vpn"] }
  }

  private static let pair = ["promoted-max=1", "clone-max=2", "interleave=true", "notify=false"]
  private var promotable: [String] { ["resource", "promotable", "vpn", "meta"] + Self.pair + ["failure-timeout=30s", "priority=10"] }

  private var conntrackd: [String] { follower("conntrackd", []) }
  private var sessions: [String] { follower("sessions", ["address=\(values.address)"]) }

  /// What belongs to the VPN and must not take it down.
  private func follower(_ name: String, _ parameters: [String]) -> [String] {
    ["resource", "create", name, "ocf:vpnha:\(name)"] + parameters + ["meta", "failure-timeout=30s", "migration-threshold=3", "promotable"] + Self.pair
  }
  private func follows(_ name: String) -> [String] {
    ["constraint", "colocation", "add", "Promoted", "\(name)-clone", "with", "Promoted", "vpn-clone", "score=INFINITY", "influence=false"]
  }
  // MARK: Every gateway serves

  /// Gateways on every node, with the address on lo; and on one of them the address outside. A member of the balancer is started where its
  /// gateway runs, which is how the others know that it does.
  private var balanced: [[String]] {
    stack + [
      ["resource", "clone", "vpn", "meta", "interleave=true", "failure-timeout=30s"],
      [
        "resource", "create", "balancer", "ocf:vpnha:balancer", "address=\(values.address)", "nic=\(values.nic)", "sync_nic=\(values.syncNic)",
        "servers=\(values.servers.joined(separator: " "))", "meta", "failure-timeout=30s", "priority=10", "promotable", "promoted-max=1", "interleave=true", "notify=true",
      ],
      ["constraint", "order", "start", "vpn-clone", "then", "start", "balancer-clone"],
      ["constraint", "colocation", "add", "balancer-clone", "with", "vpn-clone"],
    ]
  }

  // MARK: Two addresses

  /// A gateway of its own on each address, in all but charon and the packet filter, of which a node has one.
  struct Gateway {
    /// Behind the name of each of its resources.
    var suffix: String
    var address: String
    var prefix: Int
    var pool: String
    var home: String
    var vpn: String { "vpn\(suffix)" }
    /// The daemon's own files; none where they are the defaults.
    var files: [String] { suffix.isEmpty ? [] : ["config=/etc/xl2tpd/xl2tpd\(suffix).conf", "pidfile=/run/xl2tpd\(suffix).pid", "control=/run/xl2tpd\(suffix)/l2tp-control"] }
    /// In a split the node with the first address wins; two nodes of equal priority would end each other.
    var priority: [String] { suffix.isEmpty ? ["priority=10"] : [] }
  }

  var gateways: [Gateway] {
    [
      Gateway(suffix: "", address: values.address, prefix: values.prefix, pool: values.pool, home: values.homes[0]),
      Gateway(suffix: "-b", address: values.addressB, prefix: values.prefixB, pool: values.poolB, home: values.homes[1]),
    ]
  }

  var connectionsOfBoth: String { values.connections == Values().connections ? "l2tp l2tp-b" : values.connections }
  var addresses: String { gateways.map(\.address).joined(separator: " ") }
  var pools: String { gateways.map(\.pool).joined(separator: " ") }
  var targets: [(name: String, value: String)] { [("ping", values.ping), ("ike", values.ike)].filter { !$0.1.isEmpty }.map { ($0.0, $0.1.joined(separator: " ")) } }
  static let hasPath = ["not_defined", "vpnha-path", "or", "vpnha-path", "gt", "0"]

  private var twoAddresses: [[String]] {
    let everywhere = ["meta", "failure-timeout=30s", "clone", "interleave=true"]
    let shared = [
      ["resource", "create", "strongswan", "ocf:vpnha:strongswan", "connections=\(connectionsOfBoth)"] + everywhere,
      ["resource", "create", "firewall", "ocf:vpnha:firewall", "address=\(addresses)", "outside=\(values.nic)", "pool=\(pools)", "nat=true", "nat_address=\(addresses)"] + everywhere,
      ["resource", "create", "path", "ocf:vpnha:probe"] + targets.map { "\($0.name)=\($0.value)" } + ["meta", "failure-timeout=30s", "clone"],
    ]
    return shared
      + gateways.flatMap { one -> [[String]] in
        let (clone, group) = ("\(one.vpn)-clone", ["--group", one.vpn])
        return [
          ["resource", "create", "vip\(one.suffix)", "ocf:vpnha:vip", "ip=\(one.address)", "cidr_netmask=\(one.prefix)", "nic=\(values.nic)"] + group,
          ["resource", "create", "xl2tpd\(one.suffix)", "ocf:vpnha:xl2tpd", "address=\(one.address)", "launcher=direct"] + one.files + group,
          ["resource", "promotable", one.vpn, "meta"] + Self.pair + ["failure-timeout=30s"] + one.priority,
          // Not "then promote": Pacemaker 2.1.5 would promote again what is promoted when charon is started anew, and leave it without monitors.
          ["constraint", "order", "start", "strongswan-clone", "then", "start", clone],
          ["constraint", "colocation", "add", clone, "with", "strongswan-clone"],
        ] + order(of: clone, role: "promote") + [
          ["constraint", "location", clone, "rule", "role=Promoted", "score=1000"] + Self.hasPath,
          ["constraint", "location", clone, "rule", "role=Promoted", "score=500", "#uname", "eq", one.home, "and", "date-spec", "hours=\(values.homeHour)"],
        ] + ["vip", "xl2tpd"].flatMap { plainMonitors(of: $0 + one.suffix) }
      }
  }

  private static let conntrackdFirst = ["constraint", "order", "promote", "conntrackd-clone", "then", "promote", "vpn-clone", "kind=Optional"]

  /// And stopped last: in a planned move the ledger carries the sessions until the address leaves.
  private static let sessionsFirst = ["constraint", "order", "start", "sessions-clone", "then", "promote", "vpn-clone", "kind=Optional"]

  private var firewall: [[String]] {
    [
      [
        "resource", "create", "firewall", "ocf:vpnha:firewall", "address=\(values.address)", "outside=\(values.nic)", "pool=\(values.pool)", "nat=true", "meta",
        "failure-timeout=30s", "clone", "interleave=true",
      ]
    ]
  }

  private func order(of service: String, role: String) -> [[String]] {
    [
      ["constraint", "order", "start", "firewall-clone", "then", role, service, "kind=Optional"],
      // Of no role: Pacemaker 3 would add a mandatory one of the promoted role to the promotion score, where nothing else counts beside it.
      ["constraint", "colocation", "add", service, "with", "firewall-clone"],
    ]
  }

  /// pcs makes the monitors of a plain resource as well.
  private func plainMonitors(of resource: String) -> [[String]] { plainMonitors(of: resource, [12, 62]) }
  private func plainMonitors(of resource: String, _ intervals: [Int]) -> [[String]] {
    intervals.map { ["resource", "op", "remove", "\(resource)-monitor-interval-\($0)s"] }
  }

  private var probe: [[String]] {
    return [
      ["resource", "create", "path", "ocf:vpnha:probe"] + targets.map { "\($0.name)=\($0.value)" } + ["vip=\(values.address)", "meta", "failure-timeout=30s", "clone"],
      ["constraint", "location", "vpn-clone", "rule", "role=Promoted", "score=1000"] + Self.hasPath,
    ]
  }

  /// What differs from the default.
  var announcer: [String] { values.hasFRR ? ["daemon=frr"] : [] }

  /// Unlike the other followers it moves the VPN: one that no router is told of is of no use.
  private var announce: [[String]] {
    [
      ["resource", "update", "vip", "cidr_netmask=\(values.address.contains(":") ? 128 : 32)"], follower("announce", ["prefixes=\(values.address)"] + announcer),
      ["constraint", "order", "promote", "vpn-clone", "then", "promote", "announce-clone"],
      ["constraint", "colocation", "add", "Promoted", "announce-clone", "with", "Promoted", "vpn-clone", "score=INFINITY"],
    ]
  }

  /// As a person would type it: `ping="a b"`.
  private static func quoted(_ word: String) -> String {
    guard word.contains(" "), let equals = word.firstIndex(of: "="), !word.contains(where: { "\"$`\\!".contains($0) }) else { return shellQuoted(word) }
    return word[...equals] + "\"" + word[word.index(after: equals)...] + "\""
  }
}
