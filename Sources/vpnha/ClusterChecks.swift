import AnnounceAgent
import BalancerAgent
import ConntrackdAgent
import Host
import LibreswanAgent
import OCF
import OCFMetadata
import SessionsAgent
import StrongSwanAgent
import VIPAgent
import XL2TPDAgent

/// Traps in the cluster's configuration.
struct ClusterChecks {
  var configuration: ClusterConfiguration
  var votes: CorosyncConfiguration?

  private typealias Primitive = ClusterConfiguration.Primitive

  func findings() -> [Finding] {
    guard configuration.primitives.contains(where: { $0.own != nil }) else { return [] }
    // For each address; what holds for the cluster is said once.
    return configuration.services.flatMap { ClusterChecks(configuration: $0, votes: votes).all }.reduce(into: []) { all, one in if !all.contains(one) { all.append(one) } }
  }

  private var all: [Finding] {
    fencing + quorum + configuration.nodes.compactMap(configuration.illness) + colocations + orders + sharing + bars + monitors + operations + clones + parameters + leftovers + shape + places
  }

  private var members: [Primitive] { configuration.service }
  private var ours: [Primitive] { configuration.primitives.filter { $0.own != nil } }
  private func resources(of name: String?) -> [Primitive] { configuration.primitives.filter { name.map($0.names.contains) ?? false } }

  // MARK: Fencing and quorum

  private var fencing: [Finding] {
    guard configuration.isFencingEnabled else {
      return [
        Finding(
          .FENCE1, .bad, "fencing is switched off",
          fix: configuration.nodes.map { "pcs stonith create fence-\($0) AGENT … pcmk_host_list=\($0)" } + ["pcs property set stonith-enabled=true"],
          at: "property stonith-enabled")
      ]
    }
    var found: [Finding] = []
    if isFalse(configuration.property("startup-fencing")) {
      found.append(Finding(.FENCE5, .bad, "startup-fencing is false: a node that was never seen counts as off", fix: ["pcs property set startup-fencing=true"], at: "property startup-fencing"))
    }
    found += configuration.primitives.filter { $0.isFence && $0.ownMeta("target-role")?.lowercased() == "stopped" }.map {
      Finding(.OFF1, .bad, "\($0.id) is switched off", fix: ["pcs stonith enable \($0.id)"], at: $0.id)
    }
    if !configuration.isFencedByWatchdog { found += configuration.nodes.filter { configuration.fences($0).isEmpty }.map { configuration.unfenced($0) } }
    for device in configuration.primitives where device.isFence {
      for name in ["pcmk_reboot_action", "pcmk_off_action"] {
        guard let action = device.parameter(name), action != (name == "pcmk_reboot_action" ? "reboot" : "off"), name == "pcmk_off_action" || action != "off" else { continue }
        found.append(Finding(.FENCE6, .bad, "\(device.id) does \(action) where it should end a node (\(name))", fix: ["pcs stonith update \(device.id) \(name)="], at: device.id))
      }
    }
    if configuration.property("stonith-action") == "off" {
      found.append(Finding(.FENCE6, .note, "stonith-action=off: a node that was fenced stays off until somebody switches it on", fix: ["pcs property set stonith-action="], at: "property stonith-action"))
    }
    let waits = configuration.nodes.compactMap { configuration.wrongPlug(of: $0) ?? configuration.givenUp(before: $0) ?? configuration.longDelay(before: $0) }
    guard configuration.nodes.count == 2, found.allSatisfy({ $0.id == .FENCE6 }) else { return found + waits }
    found += waits
    let delay = configuration.property("priority-fencing-delay").flatMap(seconds) ?? 0
    let hasDelay = configuration.primitives.contains { $0.isFence && ($0.parameter("pcmk_delay_base") ?? $0.parameter("pcmk_delay_max")).flatMap(seconds).map { $0 > 0 } ?? false }
    if votes?.hasDevice == true {
      // Votes decide a split, so nobody needs a head start.
      if delay > 0 {
        found.append(
          Finding(.DELAY1, .note, "priority-fencing-delay=\(delay)s is waited for before every take-over from a dead node, and the quorum device makes it needless", fix: ["pcs property set priority-fencing-delay="], at: "property priority-fencing-delay"))
      }
    } else if delay == 0, !hasDelay {
      found.append(
        Finding(.RACE1, .risk, "nothing keeps two nodes from fencing each other", fix: ["pcs property set priority-fencing-delay=3s"] + priority, at: "property priority-fencing-delay"))
    } else if delay > 0 {
      // Pacemaker counts one more for each promoted member that has a priority.
      let weights = configuration.services.map { one in one.service.count { $0.isPromotable && score(configuration.meta("priority", of: $0)) ?? 0 > 0 } }
      if weights.count > 1, let weight = weights.first, weight > 0, weights.allSatisfy({ $0 == weight }), !hasDelay, let second = configuration.services.last?.service.first {
        found.append(
          Finding(.RACE1, .risk, "the addresses have equal priority: where each node serves one, a split makes both fence each other", fix: ["pcs resource meta \(second.top) priority="], at: second.top))
      }
      if !configuration.services.flatMap(\.service).contains(where: { score(configuration.meta("priority", of: $0)) ?? 0 > 0 }), !hasDelay {
        found.append(Finding(.DELAY2, .risk, "priority-fencing-delay is set, and the VPN has no priority", fix: priority, at: configuration.services.first?.service.first?.top))
      }
      if delay > 3 {
        found.append(
          Finding(.DELAY1, delay > ClusterConfiguration.longDelay ? .risk : .note, "priority-fencing-delay=\(delay)s is waited for before every take-over from a dead node", fix: ["pcs property set priority-fencing-delay=3s"], at: "property priority-fencing-delay"))
      }
    }
    return found
  }
  private var priority: [String] { configuration.services.first?.service.first.map { ["pcs resource meta \($0.top) priority=10"] } ?? [] }

  private var quorum: [Finding] {
    guard let votes else { return [] }
    var found = votes.findings + votes.traps
    if votes.nodes == 2, votes.isTwoNode, !votes.hasDevice {
      found.append(
        Finding(.QUOR3, .note, "two nodes without a quorum device", fix: ["pcs quorum device add model net host=HOST algorithm=ffsplit"], at: CorosyncConfiguration.path))
    }
    if votes.links.allSatisfy({ $0.count == 1 }) {
      found.append(Finding(.RING1, .note, "the nodes have one link to each other", fix: ["pcs cluster link add \((configuration.nodes.isEmpty ? ["NODE", "NODE"] : configuration.nodes).map { "\($0)=ADDRESS" }.joined(separator: " "))"], at: CorosyncConfiguration.path))
    }
    return found
  }

  // MARK: Constraints

  /// Agents whose promoted role belongs to the VPN's, and must not drag it.
  private static let follow: Set = ["conntrackd", "sessions"]
  /// The same, and those that may: where routers cannot be told of the VPN it is of no use.
  private static let bound = follow.union(["announce"])

  private static func isPromoted(_ role: String?) -> Bool { role == "Promoted" || role == "Master" }

  private var colocations: [Finding] {
    var found: [Finding] = []
    let followers = ours.filter { Self.bound.contains($0.own ?? "") && $0.isPromotable }
    var bound: Set<String> = []
    for constraint in configuration.constraints("rsc_colocation") {
      // A set says more than can be judged here; what is in one counts as bound.
      let inSets = constraint.all(named: "resource_ref").compactMap { $0["id"] }
      bound.formUnion(followers.filter { !$0.names.filter(inSets.contains).isEmpty }.map(\.id))
      found += drowned(constraint)
      if let score = score(constraint["score"]), score <= -1_000_000, let one = constraint["rsc"], let other = constraint["with-rsc"], let id = constraint["id"],
        resources(of: one).contains(where: { $0.own != nil }), resources(of: other).contains(where: { $0.own != nil })
      {
        found.append(Finding(.BAN1, .bad, "\(id) keeps \(one) off where \(other) is, for ever", fix: ["pcs constraint delete \(id)"], at: id))
      }
      guard Self.isPromoted(constraint["rsc-role"]), Self.isPromoted(constraint["with-rsc-role"]) else { continue }
      let (one, other) = (constraint["rsc"] ?? "", constraint["with-rsc"] ?? "")
      let itsFollowers = resources(of: one).filter { Self.follow.contains($0.own ?? "") }
      bound.formUnion(resources(of: one).filter { Self.bound.contains($0.own ?? "") }.map(\.id))
      guard !(resources(of: one) + resources(of: other)).filter({ $0.own != nil }).isEmpty, let score = score(constraint["score"]), score > 0 else { continue }
      let id = constraint["id"] ?? ""
      let fix = ["pcs constraint delete \(id)", "pcs constraint colocation add Promoted \(one) with Promoted \(other) score=INFINITY influence=false"]
      if score < 1_000_000 {
        found.append(Finding(.COLO1, .bad, "\(one) follows \(other) with score \(score), which is worth next to nothing", fix: fix, at: id))
      } else if !itsFollowers.isEmpty, !isFalse(constraint["influence"]), !isFalse(resources(of: one).first.flatMap { configuration.meta("critical", of: $0) }) {
        found.append(Finding(.COLO2, .risk, "a \(one) that fails takes \(other) with it", fix: fix, at: id))
      }
    }
    for one in followers where !bound.contains(one.id) {
      guard let vpn = members.first, vpn.isPromotable else { break }
      found.append(
        Finding(
          .COLO3, .risk, "nothing has \(one.top) promoted where \(vpn.top) is",
          fix: ["pcs constraint colocation add Promoted \(one.top) with Promoted \(vpn.top) score=INFINITY\(Self.follow.contains(one.own ?? "") ? " influence=false" : "")"], at: one.top))
    }
    return found
  }

  /// The promoted role of a group, bound for ever to a resource that has no such role: earlier recipes bound the VPN to the firewall so.
  private func drowned(_ constraint: XMLElement) -> [Finding] {
    guard Self.isPromoted(constraint["rsc-role"]), !Self.isPromoted(constraint["with-rsc-role"]), let vpn = members.first, vpn.isPromotable,
      vpn.around.contains(where: { $0.name == "group" }), let one = constraint["rsc"], vpn.names.contains(one), let other = constraint["with-rsc"], (score(constraint["score"]) ?? 0) >= 1_000_000
    else { return [] }
    let isPacemaker3 = (configuration.property("dc-version")?.prefix { $0 != "." }).flatMap { Int($0) }.map { $0 >= 3 } ?? false
    let id = constraint["id"] ?? ""
    // pcs would refuse a second one.
    let isBound = configuration.constraints("rsc_colocation").contains { $0["rsc"] == one && $0["with-rsc"] == other && $0["rsc-role"] == nil }
    return [
      Finding(
        .COLO4, isPacemaker3 ? .bad : .note,
        isPacemaker3 ? "\(id) drowns the promotion scores of \(one)" : "\(id) will drown the promotion scores of \(one) from Pacemaker 3 on",
        fix: ["pcs constraint delete \(id)"] + (isBound ? [] : ["pcs constraint colocation add \(one) with \(other) score=INFINITY"]), at: id)
    ]
  }

  /// A member of the balancer says that its node serves: it has to run with the gateway, start after it, and hear of the others.
  private var sharing: [Finding] {
    guard let balancer = configuration.balancer, let gateway = configuration.gateways.first else { return [] }
    func binds(_ kind: String, _ one: String, _ other: String) -> Bool {
      configuration.constraints(kind).contains { constraint in
        let inSets = constraint.all(named: "resource_ref").compactMap { $0["id"] }
        let (these, those) = (constraint[one].map { [$0] } ?? inSets, constraint[other].map { [$0] } ?? inSets)
        return these.contains(where: balancer.names.contains) && those.contains(where: gateway.names.contains)
      }
    }
    var fix: [String] = []
    if !binds("rsc_colocation", "rsc", "with-rsc") { fix.append("pcs constraint colocation add \(balancer.top) with \(gateway.top) score=INFINITY") }
    if !binds("rsc_order", "then", "first") { fix.append("pcs constraint order start \(gateway.top) then start \(balancer.top)") }
    if !isTrue(balancer.ownMeta("notify")) { fix.append("pcs resource meta \(balancer.top) notify=true") }
    return fix.isEmpty ? [] : [Finding(.GATE2, .bad, "\(balancer.top) does not follow \(gateway.top)", fix: fix, at: balancer.top)]
  }

  private var leftovers: [Finding] {
    var found = configuration.constraints("rsc_location").filter { ($0["id"] ?? "").hasPrefix("cli-") }.map { constraint in
      Finding(
        .MOVED1, .risk, "the constraint \(constraint["id"] ?? "") was left behind by a move or a ban", fix: ["pcs resource clear \(constraint["rsc"] ?? "")"],
        at: constraint["id"])
    }
    if configuration.isInMaintenance {
      found.append(Finding(.MAINT1, .risk, "maintenance mode is on", fix: ["pcs property set maintenance-mode=false"], at: "property maintenance-mode"))
    }
    for node in configuration.nodes {
      if isTrue(configuration.setting("maintenance", of: node)) {
        found.append(Finding(.MAINT1, .risk, "\(node) is in maintenance", fix: ["pcs node unmaintenance \(node)"], at: node))
      }
      if isTrue(configuration.setting("standby", of: node)) {
        found.append(Finding(.NODE2, .risk, "\(node) is in standby: it takes nothing over", fix: ["pcs node unstandby \(node)"], at: node))
      }
    }
    for (name, id, what) in [("is-managed", FindingID.MAINT1, "nothing is managed"), ("maintenance", .MAINT1, "nothing is managed"), ("target-role", .OFF1, "nothing is started, or nothing serves")] {
      guard let value = configuration.resourceDefault(name), name == "target-role" ? !["started", "promoted", "master"].contains(value.lowercased()) : name == "maintenance" ? isTrue(value) : isFalse(value) else { continue }
      found.append(Finding(id, .bad, "\(name)=\(value) is the default of all resources: \(what)", fix: ["pcs resource defaults update \(name)="], at: "resource defaults"))
    }
    for other in configuration.primitives where other.own == nil && !other.isFence {
      guard let address = other.parameter("ip"), configuration.own("vip").contains(where: { $0.parameter("ip") == address }) else { continue }
      found.append(Finding(.ADDR2, .bad, "\(other.id) (\(other.agent)) sets \(address) as well", fix: ["pcs resource delete \(other.id)"], at: other.id))
    }
    for probe in configuration.own("probe") {
      let attribute = probe.parameter("name") ?? "vpnha-path"
      let isUsed = configuration.constraints("rsc_location").contains { $0.all(named: "expression").contains { $0["attribute"] == attribute } }
      if !isUsed, let vpn = members.first {
        found.append(
          Finding(
            .PROBE1, .risk, "no rule uses \(attribute), the attribute of \(probe.id)",
            fix: ["pcs constraint location \(vpn.top) rule \(vpn.isPromotable ? "role=Promoted " : "")score=1000 not_defined \(attribute) or \(attribute) gt 0"], at: probe.id))
      }
    }
    return found
  }

  // MARK: What is switched off, twice there, or in the wrong order

  /// Those of `resources` that are not to run, or not to serve.
  private func off(_ resources: [Primitive]) -> [Finding] {
    if isTrue(configuration.property("stop-all-resources")) {
      return [Finding(.OFF1, .bad, "every resource is switched off (stop-all-resources)", fix: ["pcs property set stop-all-resources=false"], at: "property stop-all-resources")]
    }
    // A preference for a role or of a rule's lets nothing run where it may not.
    if isFalse(configuration.property("symmetric-cluster")), let vpn = members.first,
      !configuration.constraints("rsc_location").contains(where: { vpn.names.contains($0["rsc"] ?? "") && $0["role"] == nil && $0.first("rule")?["role"] == nil && (score($0["score"]) ?? 1) > 0 })
    {
      return [Finding(.OFF1, .bad, "symmetric-cluster=false, and no constraint lets \(vpn.top) run anywhere", fix: ["pcs property set symmetric-cluster=true"], at: "property symmetric-cluster")]
    }
    return resources.reduce(into: []) { found, resource in
      guard let role = resource.ownMeta("target-role"), ["stopped", "unpromoted", "slave"].contains(role.lowercased()), let holder = resource.metaHolder("target-role"), !found.contains(where: { $0.place == holder })
      else { return }
      found.append(Finding(.OFF1, .bad, "\(holder) is switched off (target-role=\(role))", fix: ["pcs resource enable \(holder)"], at: holder))
    }
  }

  /// A member that nothing binds to the address runs where it is not, and takes nothing over with it.
  private var strays: [Finding] {
    guard let address = members.first(where: { $0.own == "vip" }), address.clone != nil, let group = address.around.first, group.name == "group" else { return [] }
    return members.filter { member in
      member.clone == nil
        && !configuration.constraints("rsc_colocation").contains { constraint in
          let ends = [constraint["rsc"], constraint["with-rsc"]].compactMap(\.self) + constraint.all(named: "resource_ref").compactMap { $0["id"] }
          return ends.contains(where: member.names.contains) && ends.contains(where: address.names.contains)
        }
    }.map { member in
      Finding(.BIND1, .bad, "nothing binds \(member.id) to \(address.top): it may run where the address is not", fix: ["pcs resource group add \(group["id"] ?? "") \(member.id)"], at: member.id)
    }
  }

  /// What Pacemaker starts only where there is capacity for it.
  private var capacity: [Finding] {
    let strategy = configuration.property("placement-strategy") ?? "default"
    return strategy == "default"
      ? []
      : members.filter { $0.element.first("utilization") != nil }.map { member in
        Finding(.UTIL1, .risk, "placement-strategy=\(strategy): \(member.id) runs only where there is the capacity that it asks for", fix: ["pcs property set placement-strategy="], at: member.id)
      }
  }

  /// What is configured so that the VPN is not served, twice, or without a standby.
  var service: [Finding] {
    let tops = Set((members + configuration.gateways).map(\.top))
    return off(members + configuration.gateways + bound) + strays + capacity + shape.filter { [.TWO1, .CLONE3, .CLONE4, .CLONE5].contains($0.id) && $0.place.map(tops.contains) ?? false }
  }

  /// What the VPN has to be with: where that does not run, nor does it.
  private var bound: [Primitive] {
    let vpn = Set(members.flatMap(\.names))
    let others = configuration.constraints("rsc_colocation").filter { vpn.contains($0["rsc"] ?? "") && score($0["score"] ?? "INFINITY") == 1_000_000 }.compactMap { $0["with-rsc"] }
    return ours.filter { !Set($0.names).isDisjoint(with: others) }
  }

  private var shape: [Finding] {
    var found = off(ours) + strays + capacity
    if configuration.property("no-quorum-policy") == "ignore" {
      found.append(Finding(.QUOR4, .bad, "no-quorum-policy=ignore: a part of the cluster without quorum goes on", fix: ["pcs property set no-quorum-policy=stop"], at: "property no-quorum-policy"))
    }
    var seen: Set<String> = []
    for resource in ours where seen.insert(resource.top).inserted {
      if let most = resource.ownMeta("clone-max"), resource.clone != nil, (Int(most) ?? Int.max) < configuration.nodes.count {
        found.append(Finding(.CLONE4, .bad, "\(resource.top) has clone-max=\(most), and there are \(configuration.nodes.count) nodes", fix: ["pcs resource meta \(resource.top) clone-max="], at: resource.top))
      }
      if let each = resource.ownMeta("clone-node-max"), resource.clone != nil, Int(each) ?? 1 < 1 {
        found.append(Finding(.CLONE4, .bad, "\(resource.top) has clone-node-max=\(each): no node has one", fix: ["pcs resource meta \(resource.top) clone-node-max="], at: resource.top))
      }
      if isFalse(resource.ownMeta("is-managed")) || isTrue(resource.ownMeta("maintenance")) {
        found.append(Finding(.MAINT1, .risk, "\(resource.top) is not managed", fix: ["pcs resource manage \(resource.top)"], at: resource.top))
      }
      if isTrue(resource.ownMeta("globally-unique")), resource.clone != nil {
        found.append(Finding(.CLONE5, .risk, "\(resource.top) has globally-unique=true: each member has a name of its own, as \(resource.id):0", fix: ["pcs resource meta \(resource.top) globally-unique="], at: resource.top))
      }
      if resource.own == "vip", resource.clone != nil, !resource.isPromotable, configuration.balancer == nil || resource.parameter("nic") != "lo" {
        found.append(Finding(.CLONE3, .bad, "\(resource.top) is not promotable: nothing says which node has the address", fix: ["pcs resource meta \(resource.top) promotable=true"], at: resource.top))
      }
      let most = resource.ownMeta("promoted-max") ?? resource.ownMeta("master-max")
      if resource.isPromotable, let most, Int(most) ?? 1 != 1 {
        found.append(Finding(.TWO1, .bad, "\(resource.top) has promoted-max=\(most)", fix: ["pcs resource meta \(resource.top) promoted-max=1"], at: resource.top))
      }
    }
    for resource in ours where Self.follow.contains(resource.own ?? "") && !resource.isPromotable {
      found.append(
        Finding(
          .CLONE3, .risk, "\(resource.id) is not promotable",
          fix: resource.clone == nil ? ["pcs resource promotable \(resource.id) interleave=true"] : ["pcs resource meta \(resource.top) promotable=true"], at: resource.top))
    }
    if let address = members.first(where: { $0.own == "vip" }), let group = address.around.first, group.name == "group" {
      let order = group.children(named: "primitive").compactMap { $0["id"] }
      if let first = order.first, first != address.id, members.contains(where: { $0.id == first && $0.own != "vip" }) {
        found.append(
          Finding(.ORDER1, .bad, "\(first) stands before \(address.id) in \(group["id"] ?? "")", fix: ["pcs resource group add \(group["id"] ?? "") \(address.id) --before \(first)"], at: group["id"]))
      }
    }
    return found
  }

  /// Those that must not keep the VPN from being promoted, or only come after it.
  private var orders: [Finding] {
    guard let vpn = members.first, vpn.isPromotable else { return [] }
    let followers = ours.filter { Self.follow.contains($0.own ?? "") && $0.isPromotable }
    return configuration.constraints("rsc_order").compactMap { order in
      guard let id = order["id"], let first = order["first"], let then = order["then"] else { return nil }
      func fix(_ follower: Primitive) -> [String] { ["pcs constraint delete \(id)", "pcs constraint order promote \(follower.top) then promote \(vpn.top) kind=Optional"] }
      // Where the right one is there as well, the wrong one is all that has to go.
      func only(_ follower: Primitive) -> [String] {
        let isThere = configuration.constraints("rsc_order").contains { other in
          other["id"] != id && other["kind"] == "Optional" && follower.names.contains(other["first"] ?? "") && vpn.names.contains(other["then"] ?? "")
        }
        return isThere ? ["pcs constraint delete \(id)"] : fix(follower)
      }
      let isMandatory = (order["kind"] ?? "Mandatory") == "Mandatory" && (order["score"].flatMap { score($0) } ?? 1) > 0
      if vpn.names.contains(then), isMandatory, let follower = followers.first(where: { $0.names.contains(first) }) {
        return Finding(.ORDER2, .risk, "\(id): where \(follower.top) cannot be \(order["first-action"] == "promote" ? "promoted" : "started"), \(vpn.top) is not promoted", fix: only(follower), at: id)
      }
      if vpn.names.contains(first), order["first-action"] == "promote" || order["then-action"] == "promote", let follower = followers.first(where: { $0.names.contains(then) }) {
        return Finding(.ORDER2, .bad, "\(id): \(follower.top) is promoted after \(vpn.top), which makes no use of what the peer has told", fix: only(follower), at: id)
      }
      return nil
    }
  }

  // MARK: Where it may be

  private var places: [Finding] {
    guard let vpn = members.first else { return [] }
    var found: [Finding] = []
    for constraint in configuration.constraints("rsc_location") {
      guard let id = constraint["id"], !id.hasPrefix("cli-"), let node = constraint["node"], members.contains(where: { $0.names.contains(constraint["rsc"] ?? "") }), let score = score(constraint["score"]) else { continue }
      let fix = ["pcs constraint delete \(id)"]
      if score <= -1_000_000 { found.append(Finding(.BAN1, .bad, "\(id) keeps \(vpn.top) off \(node) for ever", fix: fix, at: id)) }
      if score > 0 { found.append(Finding(.PREFER1, .risk, "\(id) takes \(vpn.top) back to \(node) as soon as that is there again", fix: fix, at: id)) }
    }
    if !vpn.isPromotable, (configuration.meta("resource-stickiness", of: vpn).flatMap { OCFScore.read($0) } ?? 0) <= 0 {
      found.append(Finding(.PREFER1, .risk, "\(vpn.top) has no resource-stickiness: a node that comes back may take it along", fix: ["pcs resource defaults update resource-stickiness=100"], at: vpn.top))
    }
    return found + bans + walls(for: configuration.gateways.first ?? vpn)
  }

  /// What keeps a helper of the VPN's off a node, or, by a rule, the VPN itself.
  private var bans: [Finding] {
    configuration.constraints("rsc_location").flatMap { constraint -> [Finding] in
      guard let id = constraint["id"], !id.hasPrefix("cli-"), let resource = ours.first(where: { $0.names.contains(constraint["rsc"] ?? "") }) else { return [] }
      let isMember = members.contains { $0.id == resource.id }
      if let node = constraint["node"], !isMember, let score = score(constraint["score"]), score <= -1_000_000 {
        return [Finding(.BAN1, .bad, "\(id) keeps \(resource.top) off \(node) for ever", fix: ["pcs constraint delete \(id)"], at: id)]
      }
      return constraint.children(named: "rule").compactMap { rule in
        let expressions = rule.all(named: "expression")
        guard let score = score(rule["score"]), score <= -1_000_000, expressions.count == 1, expressions[0]["attribute"] == "#uname", expressions[0]["operation"] == "eq", let node = expressions[0]["value"], rule.all(named: "date_expression").isEmpty
        else { return nil }
        return Finding(.BAN1, .bad, "\(id) keeps \(resource.top) \(rule["role"] == nil ? "off" : "from serving on") \(node) for ever", fix: ["pcs constraint delete \(id)"], at: id)
      }
    }
  }

  /// The rules have to be in force where the VPN is served, and before it is.
  private func walls(for vpn: Primitive) -> [Finding] {
    configuration.own("firewall").filter { $0.clone != nil }.compactMap { firewall in
      func binds(_ kind: String, _ one: String, _ other: String) -> Bool {
        configuration.constraints(kind).contains { constraint in
          let inSets = constraint.all(named: "resource_ref").compactMap { $0["id"] }
          let (these, those) = (constraint[one].map { [$0] } ?? inSets, constraint[other].map { [$0] } ?? inSets)
          return these.contains(where: vpn.names.contains) && those.contains(where: firewall.names.contains)
        }
      }
      if let wrong = misplaced(firewall) { return wrong }
      let bonds = Self.bonds(of: vpn, to: firewall.top)
      let fix = (binds("rsc_colocation", "rsc", "with-rsc") ? [] : [bonds.place]) + (binds("rsc_order", "then", "first") ? [] : [bonds.order])
      guard !fix.isEmpty else { return nil }
      return Finding(.WALL2, .risk, "nothing has \(firewall.top) in force where \(vpn.top) is served, and before", fix: fix, at: firewall.top)
    }
  }

  /// Rules about another interface, or another address, than those of the VPN. Without these parameters they are about all.
  private func misplaced(_ firewall: Primitive) -> Finding? {
    guard configuration.balancer == nil else { return nil }
    let vips = configuration.own("vip")
    let outside = (firewall.parameter("outside") ?? "").split(separator: " ").map(String.init)
    let nics = Set(vips.compactMap { $0.parameter("nic") })
    if !outside.isEmpty, let nic = nics.sorted().first(where: { nic in !outside.contains { $0 == nic || ($0.hasSuffix("*") && nic.hasPrefix($0.dropLast())) } }) {
      return Finding(.WALL3, .bad, "\(firewall.id) guards \(outside.joined(separator: " ")), and clients come in by \(nic)", fix: ["pcs resource update \(firewall.id) outside=\(nics.count == 1 ? nic : "\"\(nics.sorted().joined(separator: " "))\"")"], at: firewall.id)
    }
    let guarded = (firewall.parameter("address") ?? "").split { " ,".contains($0) }.map(String.init)
    let served = vips.compactMap { $0.parameter("ip") }
    if !guarded.isEmpty, let address = served.first(where: { one in !guarded.contains { $0 == one || IPAddress($0) == IPAddress(one) } }) {
      return Finding(.WALL3, .bad, "\(firewall.id) guards \(guarded.joined(separator: " ")), and clients come to \(address)", fix: ["pcs resource update \(firewall.id) address=\(served.count == 1 ? address : "\"\(served.joined(separator: " "))\"")"], at: firewall.id)
    }
    return nil
  }

  private static func bonds(of vpn: Primitive, to firewall: String) -> (place: String, order: String) {
    (
      "pcs constraint colocation add \(vpn.top) with \(firewall) score=INFINITY",
      "pcs constraint order start \(firewall) then \(vpn.isPromotable ? "promote" : "start") \(vpn.top) kind=Optional"
    )
  }

  // MARK: Failures

  private var bars: [Finding] {
    var found: [Finding] = []
    var tops: Set<String> = []
    for resource in ours where tops.insert(resource.top).inserted {
      let fix = ["pcs resource meta \(resource.top) failure-timeout=30s"]
      let timeout = configuration.meta("failure-timeout", of: resource).flatMap(seconds) ?? 0
      let threshold = score(configuration.meta("migration-threshold", of: resource)) ?? 1_000_000
      let isService = members.contains { $0.id == resource.id }
      if timeout == 0 {
        found.append(
          isService
            ? Finding(.BAR1, threshold < 1_000_000 ? .bad : .risk, "\(resource.top) has no failure-timeout: a barred node stays barred", fix: fix, at: resource.top)
            : Finding(.BAR3, .risk, "\(resource.top) has no failure-timeout: after a failed start it stays stopped", fix: fix, at: resource.top))
      } else if isService, (1...2).contains(threshold), configuration.nodes.count <= 2 {
        let isLong = timeout > 60
        found.append(
          Finding(
            .BAR2, isLong ? .bad : .risk, "\(resource.top): migration-threshold=\(threshold) and failure-timeout=\(timeout)s bar \(isLong ? "both nodes after a failure on each" : "a node, and after a failure on each within that time both")",
            fix: ["pcs resource meta \(resource.top) \(isLong ? "failure-timeout=30s " : "")migration-threshold="], at: resource.top))
      }
    }
    return found
  }

  // MARK: Monitors

  private var monitors: [Finding] {
    let consequence = configuration.operationDefault("on-fail").flatMap { ["ignore", "block"].contains($0) ? $0 : nil }
    return (consequence.map { [Finding(.MON5, .bad, "on-fail=\($0) is the default of all operations", fix: ["pcs resource op defaults update on-fail="], at: "operation defaults")] } ?? []) + ours.flatMap(monitors)
  }

  private func monitors(of resource: Primitive) -> [Finding] {
    let monitors = resource.monitors.filter { $0.interval > 0 }
    // One that has lost its roles is told to have them again, and needs no other monitors.
    if !resource.isPromotable, resource.clone != nil, monitors.contains(where: { $0.role == "Promoted" }) { return [] }
    var found: [Finding] = []
    var used = Set(monitors.map(\.interval))
    func add(_ role: String?, level: Int) -> [String] {
      var interval = (level == 0 ? 10 : 60) + (role == "Unpromoted" ? 1 : role == nil ? 2 : 0)
      while !used.insert(interval).inserted { interval += 3 }
      // pcs takes no second one for a role and a level; one that is switched off counts.
      let off = resource.disabledMonitors.filter { $0.role == role && $0.level == level }.map { "pcs resource op remove \($0.element["id"] ?? "")" }
      return off + ["pcs resource op add \(resource.id) monitor interval=\(interval)s timeout=20s\(role.map { " role=\($0)" } ?? "")\(level > 0 ? " OCF_CHECK_LEVEL=\(level)" : "")"]
    }
    // A monitor without a role is for the unpromoted.
    func fits(_ monitor: ClusterConfiguration.Monitor, _ role: String?) -> Bool {
      switch role {
      case "Promoted": monitor.role == "Promoted"
      case "Unpromoted": monitor.role == nil || monitor.role == "Unpromoted" || monitor.role == "Started"
      default: monitor.role == nil || monitor.role == "Started"
      }
    }
    for role in resource.isPromotable ? ["Promoted", "Unpromoted"] : [nil] {
      let its = monitors.filter { fits($0, role) }
      let place = role.map { " for the role \($0)" } ?? ""
      if its.isEmpty {
        found.append(Finding(.MON1, .bad, "\(resource.id) has no monitor\(place)", fix: add(role, level: 0), at: resource.id))
      }
      // The probe has one depth.
      if resource.own != "probe", !its.contains(where: { $0.level >= 10 }) {
        found.append(Finding(.MON3, .note, "\(resource.id) has no deep monitor\(place)", fix: add(role, level: 10), at: resource.id))
      }
    }
    for interval in Set(monitors.map(\.interval)).sorted() {
      let same = monitors.filter { $0.interval == interval }
      if same.count > 1 {
        // Another one for the same is enough.
        let fix = same.dropFirst().flatMap { one in
          ["pcs resource op remove \(one.element["id"] ?? "")"]
            + (monitors.contains { ($0.element["id"] != one.element["id"]) && $0.role == one.role && $0.level == one.level } ? [] : add(one.role, level: one.level))
        }
        found.append(Finding(.MON2, .bad, "\(resource.id) has \(same.count) monitors with the interval \(interval)s", fix: fix, at: resource.id))
      }
    }
    // The deep ones are about what goes wrong slowly.
    for role in resource.isPromotable ? ["Promoted", "Unpromoted"] : [nil] {
      guard let quickest = monitors.filter({ fits($0, role) }).min(by: { $0.interval < $1.interval }), quickest.interval > 30 else { continue }
      found.append(
        Finding(
          .MON6, .risk, "\(resource.id) is looked at every \(quickest.interval) s only\(role.map { " in the role \($0)" } ?? "")",
          fix: (quickest.level == 0 ? ["pcs resource op remove \(quickest.element["id"] ?? "")"] : []) + add(role, level: 0), at: resource.id))
    }
    for monitor in monitors {
      guard let limit = (monitor.element["timeout"] ?? configuration.operationDefault("timeout")).flatMap(seconds), limit < 10 else { continue }
      let words = [monitor.role.map { "role=\($0)" }, monitor.level > 0 ? "OCF_CHECK_LEVEL=\(monitor.level)" : nil].compactMap(\.self).map { " " + $0 }.joined()
      found.append(
        Finding(
          .TIME1, .risk, "\(resource.id): the monitor every \(monitor.interval)s has \(limit) s, and the agent asks for 20",
          fix: ["pcs resource op remove \(monitor.element["id"] ?? "")", "pcs resource op add \(resource.id) monitor interval=\(monitor.interval)s timeout=20s\(words)"], at: resource.id))
    }
    for monitor in monitors where ["ignore", "block"].contains(monitor.element["on-fail"] ?? "") {
      let role = monitor.role.map { " role=\($0)" } ?? ""
      found.append(
        Finding(
          .MON5, .bad, "\(resource.id): the monitor every \(monitor.interval)s has on-fail=\(monitor.element["on-fail"] ?? "")",
          fix: [
            "pcs resource op remove \(monitor.element["id"] ?? "")",
            "pcs resource op add \(resource.id) monitor interval=\(monitor.interval)s timeout=20s\(role)\(monitor.level > 0 ? " OCF_CHECK_LEVEL=\(monitor.level)" : "")",
          ], at: resource.id))
    }
    if resource.isPromotable, monitors.contains(where: { $0.role == "Unpromoted" }) {
      for plain in monitors where plain.role == nil {
        found.append(
          Finding(.MON4, .note, "\(resource.id): the monitor every \(plain.interval)s has no role, so a standby is looked at twice", fix: ["pcs resource op remove \(plain.element["id"] ?? "")"], at: resource.id))
      }
    }
    return found
  }

  // MARK: Starting and stopping

  /// What the agents ask for, in seconds.
  private static let advised: [String: [OCF.Operation]] = [
    "vip": VirtualIP.operations, "strongswan": StrongSwan.operations, "xl2tpd": XL2TPD.operations, "conntrackd": Conntrackd.operations,
    "sessions": SessionLedger.operations, "announce": RouteAnnouncement.operations, "libreswan": Libreswan.operations,
    "balancer": Balancer.operations,
  ]

  private var operations: [Finding] {
    ours.flatMap { resource -> [Finding] in
      var found: [Finding] = []
      let own = [resource.element, resource.template].compactMap { $0?.first("operations") }.flatMap { $0.children(named: "op") }
      for advised in Self.advised[resource.own ?? ""] ?? [] where resource.isPromotable ? [.start, .stop, .promote, .demote].contains(advised.action) : [.start, .stop].contains(advised.action) {
        let name = advised.action.rawValue
        let op = own.first { $0["name"] == name }
        let fix = "pcs resource update \(resource.id) op \(name) interval=0s timeout=\(advised.timeout)s"
        if let what = op?["on-fail"], name == "stop", ["ignore", "block"].contains(what) {
          found.append(
            Finding(
              .STOP1, .bad, "\(resource.id): stop has on-fail=\(what)", fix: ["pcs resource op delete \(op?["id"] ?? "")", "pcs resource op add \(resource.id) stop interval=0s timeout=\(advised.timeout)s"],
              at: resource.id))
        } else if let timeout = seconds(op?["timeout"] ?? configuration.operationDefault("timeout") ?? "20s"), timeout < advised.timeout {
          found.append(Finding(.TIME1, .risk, "\(resource.id): \(name) has \(timeout) s, and the agent asks for \(advised.timeout)", fix: [fix], at: resource.id))
        }
      }
      return found
    }
  }

  // MARK: Clones

  private var clones: [Finding] {
    var found: [Finding] = []
    for resource in ours where ["firewall", "probe"].contains(resource.own) && resource.clone == nil {
      found.append(Finding(.CLONE1, .bad, "\(resource.id) is no clone: one node has none", fix: ["pcs resource clone \(resource.id) interleave=true"], at: resource.id))
    }
    var seen: Set<String> = []
    for resource in ours where resource.clone != nil && seen.insert(resource.top).inserted {
      // The probe waits for nobody.
      if resource.own != "probe", !isTrue(resource.ownMeta("interleave")) {
        found.append(Finding(.CLONE2, .risk, "\(resource.top) has no interleave=true", fix: ["pcs resource meta \(resource.top) interleave=true"], at: resource.top))
      }
      if members.contains(where: { $0.id == resource.id }), isTrue(resource.ownMeta("notify")), resource.own != "balancer" {
        found.append(Finding(.NOTIFY1, .risk, "\(resource.top) has notify=true", fix: ["pcs resource meta \(resource.top) notify=false"], at: resource.top))
      }
    }
    return found
  }

  // MARK: Parameters

  private var parameters: [Finding] {
    var found: [Finding] = []
    if configuration.own("firewall").isEmpty, !configuration.own("xl2tpd").isEmpty {
      let vip = configuration.own("vip").first
      let address = vip?.parameter("ip") ?? "ADDRESS"
      let bonds = (configuration.gateways.first ?? members.first).map { Self.bonds(of: $0, to: "firewall-clone") }
      found.append(
        Finding(
          .CLEAR1, .risk, "no firewall resource: L2TP is answered outside IPsec too",
          fix: ["pcs resource create firewall ocf:vpnha:firewall address=\(address) outside=\(configuration.balancer?.parameter("nic") ?? vip?.parameter("nic") ?? "NIC") meta failure-timeout=30s clone interleave=true"]
            + (bonds.map { [$0.place, $0.order] } ?? [])))
    }
    let addresses = configuration.own("vip").compactMap { $0.parameter("ip") }
    for resource in ours where ["strongswan", "libreswan", "xl2tpd", "sessions"].contains(resource.own) {
      if let address = resource.parameter("address"), !addresses.isEmpty, !address.split(whereSeparator: { " ,".contains($0) }).contains(where: { one in addresses.contains { $0 == one } }) {
        found.append(
          Finding(.ADDR1, .bad, "\(resource.id) has address=\(address), and no vip resource holds it", fix: ["pcs resource update \(resource.id) address=\(addresses[0])"], at: resource.id))
      }
    }
    for resource in ours where !(resource.parameter("test_password") ?? "").isEmpty {
      found.append(Finding(.PASS1, .risk, "\(resource.id) keeps test_password in the cluster's configuration", fix: ["install -m 600 /dev/stdin /etc/vpnha/test_password    # type the password, then Ctrl-D", "pcs resource update \(resource.id) test_password= test_password_file=/etc/vpnha/test_password"], at: resource.id))
    }
    if configuration.configuration.first("alerts")?.first("alert") == nil {
      found.append(
        Finding(.ALERT1, .note, "no alert is configured", fix: ["pcs alert create id=vpnha path=/usr/libexec/vpnha/vpnha-alert", "pcs alert recipient add vpnha value=journal"]))
    }
    return found
  }
}
