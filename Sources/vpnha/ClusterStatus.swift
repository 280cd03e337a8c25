import Host
import OCF
import OCFMetadata

/// Who serves, and whether another node would, judged from what Pacemaker says.
struct ClusterStatus {
  struct Node: Equatable {
    var name: String
    /// serves, standby, stopped, offline, unknown; directs, where every gateway serves.
    var role: String
    var path: String?
    /// The sum of what the members told; nil: nothing.
    var score: Int?
    /// At the last close look; nil: not known.
    var sessions: UInt64?
    var sas: UInt64?
    /// Of this node where it serves, else held for the one that does.
    var flows: UInt64?
    /// Sessions in the ledger: of this node where it serves, else those that it knows of the one that does.
    var ledger: UInt64?
    var version: String?
    /// When the least recent of its members was looked at closely.
    var looked: Timestamp?
    var risks: [Finding]
    var barredUntil: Timestamp?
  }

  /// When a node was last ended by fencing, and what came of it.
  struct Tested: Equatable {
    var node: String
    /// Nil: the fencer remembers none.
    var last: ClusterMonitor.Fencing?
  }

  /// What happened, and is over or counts no more than its fail count says.
  struct Past: Equatable {
    var node: String
    var resource: String
    var task: String
    var reason: String
    var since: Timestamp?
  }

  /// Whether every gateway serves, and the one that is meant by serving is the director.
  var isShared = false
  /// That clients dial; nil without a vip.
  var address: String?
  /// What is moved.
  var top = ""
  var serving: String?
  var since: Timestamp?
  /// Pacemaker asks again what runs where, and does not know it yet.
  var isForgotten = false
  /// Nil: it could not be found out.
  var wouldSucceed: Bool?
  /// The node that Pacemaker would choose.
  var successor: String?
  /// What stands in the way of a failover, or may.
  var reasons: [Finding] = []
  /// What is wrong with the service itself.
  var complaints: [Finding] = []
  var nodes: [Node] = []
  var past: [Past] = []
  /// Empty where nothing is known of it, or nothing is fenced.
  var fencing: [Tested] = []

  var findings: [Finding] {
    // The same in two places: the worse one.
    Finding.distinct(Finding.ordered(complaints + reasons + nodes.flatMap(\.risks)))
  }

  var verdict: Verdict {
    // That nobody could take over is no outage yet.
    if complaints.contains(where: { $0.severity == .bad }) { return .bad }
    guard serving != nil else { return isForgotten ? .unknown : .bad }
    return wouldSucceed == true ? Verdict(findings.filter { $0.severity != .bad }) : .risk
  }

  /// - Parameters:
  ///   - simulated: the state after the loss of the serving node, as Pacemaker's own scheduler sees it; nil: not known.
  ///   - votes: corosync.conf of this node; nil: it cannot be read.
  ///   - looks: what is known of the daemons; nil: there is no live cluster.
  init(
    _ configuration: ClusterConfiguration, _ now: ClusterMonitor, losingServing simulated: ClusterMonitor?, votes: CorosyncConfiguration?,
    looks: Looks? = nil, at time: Timestamp
  ) {
    let members = configuration.service
    address = configuration.balancer?.parameter("address") ?? members.first { $0.own == "vip" }?.parameter("ip")
    isShared = configuration.balancer != nil
    top = members.first?.top ?? ""
    let configured = ClusterChecks(configuration: configuration, votes: nil).service
    // Members without roles hold no address.
    serving = configured.contains { $0.id == .CLONE3 } ? nil : now.serving(members)
    // Where the address is, if nothing serves as a whole.
    let home = serving ?? members.first { ["vip", "balancer"].contains($0.own) }.flatMap { vip in now.nodes.map(\.name).first { now.role(vip.id, on: $0) == vip.servingRole } }
    since = serving.flatMap { Self.servingSince(members, on: $0, configuration) }
    successor = simulated?.serving(members)
    let judge = Judge(configuration: configuration, now: now, members: members, home: home, configured: configured, looks: looks, time: time)
    complaints = judge.complaints(serving: serving)
    isForgotten = members.contains { now.isForgotten($0.id) }
    nodes = now.nodes.map { node in
      let isHome = node.name == serving
      var risks = judge.risks(of: node.name)
      let barred = judge.barred(node.name)
      risks += barred.map { $0.finding }
      return Node(
        name: node.name,
        role: !node.isOnline ? "offline" : isShared ? shared(node.name, isHome, configuration, now) : isHome ? "serves" : members.contains { now.role($0.id, on: node.name) != .stopped } ? "standby" : members.contains { now.isForgotten($0.id, on: node.name) } ? "unknown" : "stopped",
        path: judge.path(of: node.name), score: judge.score(of: node.name), sessions: node.isOnline ? looks?.count("sessions", on: node.name) : nil,
        sas: node.isOnline ? looks?.count("sas", on: node.name) : nil, flows: node.isOnline ? looks?.count("flows", on: node.name) : nil, ledger: node.isOnline ? looks?.count("ledger", on: node.name) : nil,
        version: node.isOnline ? looks?.versions(on: node.name).sorted().joined(separator: " ") : nil, looked: judge.looked(at: node.name), risks: risks, barredUntil: barred.compactMap(\.until).max { $0.seconds < $1.seconds })
    }
    past = now.nodes.flatMap { judge.past(of: $0.name) }
    if looks != nil, configuration.isFencingEnabled, !configuration.isFencedByWatchdog {
      fencing = now.nodes.map { node in
        let its = now.fencings.filter { $0.node == node.name && $0.ended != nil }
        return Tested(node: node.name, last: its.max { ($0.ended?.seconds ?? 0) < ($1.ended?.seconds ?? 0) })
      }
    }
    guard let serving else { return }

    let others = now.nodes.map(\.name).filter { $0 != serving }
    let inTheWay = judge.fencing(of: serving, after: simulated) + (votes?.findings ?? [])
    // What Pacemaker's scheduler does not know of the one that it would choose.
    let unfit = successor.map { judge.unfit($0) } ?? []
    let explains = others.flatMap { judge.obstacles(on: $0) } + judge.maintenance
    let blocks = (inTheWay + unfit).contains { $0.severity == .bad }
    if !now.forgotten.isEmpty {
      reasons = explains + inTheWay
      wouldSucceed = nil
    } else if simulated == nil {
      reasons = explains + inTheWay + others.flatMap { judge.unfit($0) }
      wouldSucceed = blocks || reasons.contains { $0.severity == .bad } ? false : nil
      reasons.append(
        Finding(.SIM1, .risk, "it is not known what Pacemaker would do: crm_simulate gave no answer", fix: ["crm_simulate -SL --node-fail \(serving)"]))
    } else if successor == nil {
      wouldSucceed = false
      reasons = explains.map { $0.raised(to: .bad) } + inTheWay
      if others.isEmpty {
        reasons.append(Finding(.NODE1, .bad, "there is no other node", fix: ["pcs cluster node add NODE"]))
      } else if !reasons.contains(where: { $0.severity == .bad }) {
        reasons.append(
          Finding(.SIM2, .bad, "Pacemaker would start the VPN nowhere else", fix: ["crm_simulate -SL --node-fail \(serving)"], at: others.first))
      }
    } else {
      let unseen = successor.map { judge.unseen($0) } ?? []
      wouldSucceed = blocks ? false : unseen.isEmpty ? true : nil
      // What Pacemaker gets over by itself costs time.
      reasons = explains.map { $0.lowered(to: .risk) } + inTheWay + unfit + unseen
    }
    reasons = Finding.ordered(reasons)
  }

  /// Says of commands that are typed on another node on which.
  mutating func locate(from here: String) {
    let others = Set(nodes.map(\.name)).subtracting([here])
    reasons = reasons.map { $0.located(among: others) }
    complaints = complaints.map { $0.located(among: others) }
    for index in nodes.indices { nodes[index].risks = nodes[index].risks.map { $0.located(among: others) } }
  }

  private func shared(_ node: String, _ isHome: Bool, _ configuration: ClusterConfiguration, _ now: ClusterMonitor) -> String {
    if isHome { return "directs" }
    let all = configuration.gateways + configuration.service
    if all.contains(where: { now.isForgotten($0.id, on: node) }) { return "unknown" }
    return all.allSatisfy { now.role($0.id, on: node) != .stopped } ? "serves" : "stopped"
  }

  /// The last of its members to begin; nil when nothing of it is remembered.
  private static func servingSince(
    _ members: [ClusterConfiguration.Primitive], on node: String, _ configuration: ClusterConfiguration
  ) -> Timestamp? {
    let operations = configuration.operations(on: node)
    return members.compactMap { member -> Timestamp? in
      let task = member.isPromotable ? "promote" : "start"
      let its = operations.filter { $0.resource == member.id && !$0.isFailure }
      // A probe found it serving, when Pacemaker was started around it.
      let began = its.first { $0.task == task && $0.status == 0 } ?? its.first { $0.task == "monitor" && $0.interval == 0 && [0, 8].contains($0.status) }
      return began?.since
    }.max { $0.seconds < $1.seconds }
  }
}

extension ClusterStatus {
  /// The one that needs somebody first.
  static func worst(_ all: [ClusterStatus]) -> ClusterStatus {
    func gravity(_ one: ClusterStatus) -> Int { 2 * Int(one.verdict.rawValue) + (one.wouldSucceed == true ? 0 : 1) }
    let most = all.map(gravity).max()
    return all.first { gravity($0) == most } ?? all[0]
  }

  /// Several addresses: a node that could serve and has none is said, for each of those that another node has beside its own.
  static func compare(_ all: inout [ClusterStatus]) {
    for index in all.indices.dropFirst() {
      guard let node = all[index].serving, all[..<index].contains(where: { $0.serving == node }), all[index].wouldSucceed == true, let idle = all[index].successor, !all.contains(where: { $0.serving == idle }) else { continue }
      all[index].complaints.append(
        Finding(
          .BOTH1, .note, "\(node) serves \(all[index].address ?? all[index].top) as well, and \(idle) could", fix: ["pcs resource move \(all[index].top) \(idle) --promoted    # its clients dial again"], at: idle))
    }
  }

  /// What the agents and the probe of a node say against it, which Pacemaker's scheduler does not weigh as they mean it.
  static func unfit(_ configuration: ClusterConfiguration, _ now: ClusterMonitor, _ node: String, looks: Looks?, at time: Timestamp) -> [Finding] {
    Judge(configuration: configuration, now: now, members: configuration.service, home: nil, looks: looks, time: time).unfit(node)
  }

  /// What keeps Pacemaker from having a node serve.
  static func obstacles(_ configuration: ClusterConfiguration, _ now: ClusterMonitor, _ node: String, at time: Timestamp) -> [Finding] {
    Judge(configuration: configuration, now: now, members: configuration.service, home: nil, time: time).obstacles(on: node)
  }

  /// What keeps the loss of a node from being confirmed, or makes it late.
  static func fencing(_ configuration: ClusterConfiguration, _ now: ClusterMonitor, of node: String, after: ClusterMonitor, looks: Looks?, at time: Timestamp) -> [Finding] {
    Judge(configuration: configuration, now: now, members: configuration.service, home: nil, looks: looks, time: time).fencing(of: node, after: after)
  }
}

/// The single questions.
private struct Judge {
  var configuration: ClusterConfiguration
  var now: ClusterMonitor
  var members: [ClusterConfiguration.Primitive]
  /// Where the service is, or the address alone.
  var home: String?
  /// What of the configuration keeps it from being served as it should be.
  var configured: [Finding] = []
  var looks: Looks?
  var time: Timestamp

  /// But for what another address has for itself.
  private var ours: [ClusterConfiguration.Primitive] {
    let foreign = configuration.services.flatMap(\.service).map(\.id).filter { id in !members.contains { $0.id == id } }
    return configuration.primitives.filter { $0.own != nil && !foreign.contains($0.id) }
  }
  private func attribute(_ name: String, of node: String) -> String? {
    configuration.attributes(of: node)[name].flatMap { $0.isEmpty ? nil : $0 }
  }

  // MARK: The service

  func complaints(serving: String?) -> [Finding] {
    var found: [Finding] = []
    if members.isEmpty {
      found.append(Finding(.SERV0, .bad, "no VPN is configured: there is no resource of the agents vip, strongswan, libreswan and xl2tpd", fix: ["vpnha recipe promotable --help"]))
      return found
    }
    // A standby less is no outage.
    found += configured.map { $0.id == .CLONE4 ? $0.lowered(to: .risk) : $0.id == .UTIL1 && serving == nil ? $0.raised(to: .bad) : $0 }
    let isOff = configured.contains { $0.id == .OFF1 }
    if !now.hasQuorum, (configuration.property("no-quorum-policy") ?? "stop") != "ignore" {
      found.append(Finding(.QUOR1, .bad, "this part of the cluster has no quorum", fix: ["corosync-quorumtool -s"]))
    }
    if let serving {
      if path(of: serving) == "0" { found.append(lostPath(of: serving, .risk)) }
      found += blockades(on: serving)
      found += members.filter { turnsAway($0, on: serving) }.map { member in
        let said = risks(member, on: serving).first
        return Finding(.SHUT1, .bad, "\(serving) serves, and turns new clients away: \(member.id)\(said.map { ": \($0.reason)" } ?? "")", fix: mend(said?.reason ?? "", of: member, on: serving), at: serving, since: said?.since)
      }
      for member in members {
        guard let instance = now.instance(member.id, on: serving) else { continue }
        if instance.isFailed || instance.isBlocked {
          let failure = lastFailure(of: member.id, on: serving)
          found.append(
            Finding(
              .DOWN1, .bad, "\(member.id) \(instance.isBlocked ? "is blocked" : "has failed") on \(serving)\(failure?.reason.isEmpty == false ? ": \(failure?.reason ?? "")" : "")",
              fix: mend(failure, of: member, on: serving), at: serving, since: failure?.since))
        }
      }
    } else if let home, !isOff {
      let missing = members.filter { now.role($0.id, on: home) != $0.servingRole && !now.isForgotten($0.id, on: home) }
      if !missing.isEmpty {
        found.append(
          Finding(
            .HALF1, .bad, "the address is on \(home), and \(missing.map(\.id).joined(separator: ", ")) \(missing.count == 1 ? "does" : "do") not serve there",
            fix: missing.prefix(3).map { "pcs resource cleanup \($0.id)" }, at: home))
      }
    } else if !isOff, !members.contains(where: { now.isForgotten($0.id) }) {
      found.append(
        Finding(.SERV1, .bad, "nobody serves", fix: (hasFailed ? ["pcs resource cleanup \(members.first?.top ?? "")"] : []) + ["crm_mon -1rf"]))
    }
    if let first = now.forgotten.first {
      let nodes = now.nodes.map(\.name).filter { name in now.forgotten.contains { $0.node == name } }
      found.append(
        Finding(
          .ASKS1, .risk, "Pacemaker asks again what runs on \(nodes.joined(separator: " and ")) (\(first.resource)\(now.forgotten.count > 1 ? ", …" : "")), as after a refresh: until it knows, it recovers nothing",
          fix: ["crm_resource --wait    # and no other refresh or cleanup meanwhile"], at: nodes.count == 1 ? nodes.first : nil))
    }
    // Why nobody serves is what would keep another node from it as well.
    if serving == nil, !isOff {
      found += now.nodes.flatMap { obstacles(on: $0.name) }
      found += fencing(of: now.nodes.first { $0.isUnclean }?.name)
    }
    found += now.nodes.filter { $0.isUnclean }.map { node in
      Finding(.FENCE4, .bad, "\(node.name) is lost and not fenced yet: nothing of it can be taken over", fix: ["stonith_admin --history \(node.name)", "pcs stonith confirm \(node.name)    # only if it is certainly off"], at: node.name)
    }
    found += maintenance
    if !configuration.isFencingEnabled {
      found.append(
        Finding(
          .FENCE1, .risk, "fencing is switched off: after a split both nodes hold the address",
          fix: (configuration.primitives.contains(where: \.isFence) ? [] : ["pcs stonith create fence-NODE AGENT … pcmk_host_list=NODE"]) + ["pcs property set stonith-enabled=true"]))
    }
    let prints = (looks?.prints ?? [:]).filter { now.node($0.key)?.isOnline == true }
    return found + idle + seenBroken(on: serving ?? home) + split + drift + versions + Drift(prints: prints, here: looks?.here, time: time, source: swanctlSource { configuration.own("strongswan").first?.parameter($0) }).findings
  }

  /// Gateways that could serve beside the others, and do not.
  private var idle: [Finding] {
    now.nodes.filter { $0.isOnline && !$0.isStandby && !$0.isPending && !$0.isShuttingDown }.compactMap { node in
      guard
        let member = configuration.gateways.first(where: { one in
          let instance = now.instance(one.id, on: node.name)
          return !now.isForgotten(one.id, on: node.name) && (instance.map { $0.role == .stopped || $0.isFailed } ?? true)
        })
      else { return nil }
      let failure = lastFailure(of: member.id, on: node.name)
      return Finding(
        .GATE1, .risk, "\(node.name) serves nobody: \(member.id) does not run there\(failure.map { ": \($0.task) failed\($0.reason.isEmpty ? "" : ", \($0.reason)")" } ?? "")", fix: mend(failure, of: member, on: node.name), at: node.name,
        since: failure?.since)
    }
  }

  private var hasFailed: Bool { now.nodes.contains { node in members.contains { lastFailure(of: $0.id, on: node.name) != nil } } }

  /// What this program saw of the members here, before a monitor of the cluster's did.
  private func seenBroken(on node: String?) -> [Finding] {
    guard let node else { return [] }
    return members.compactMap { member in
      switch looks?.state(of: member.id, on: node) {
      case .failed(let why, _): Finding(.DOWN1, .bad, "\(member.id) on \(node): \(why)", fix: mend(why, of: member, on: node), at: node)
      case .stopped: Finding(.DOWN1, .bad, "\(member.id) does not run on \(node), and Pacemaker has not noticed yet", fix: look(at: member), at: node)
      case .running, .promoted, .atRisk, nil: nil
      }
    }
  }

  private var versions: [Finding] {
    let all = now.nodes.filter(\.isOnline).flatMap { node in (looks?.versions(on: node.name) ?? []).sorted().map { (node: node.name, version: $0) } }
    guard let first = all.first, let other = all.first(where: { $0.version != first.version }) else { return [] }
    return [
      Finding(
        .VERS1, .risk, "\(first.node) runs vpnha \(first.version), \(other.node) \(other.version)", fix: ["apt-get install vpnha    # on the node with the older one, in standby"],
        at: other.node)
    ]
  }

  var maintenance: [Finding] {
    if configuration.isInMaintenance {
      return [Finding(.MAINT1, .risk, "maintenance mode: Pacemaker watches nothing and moves nothing", fix: ["pcs property set maintenance-mode=false"])]
    }
    let nodes = now.nodes.filter(\.isInMaintenance).map {
      Finding(.MAINT1, .risk, "\($0.name) is in maintenance mode: nothing is watched or moved there", fix: ["pcs node unmaintenance \($0.name)"], at: $0.name)
    }
    guard nodes.isEmpty else { return nodes }
    let unmanaged = ours.filter { primitive in now.instances.contains { $0.id == primitive.id && !$0.isManaged } }
    return unmanaged.map { Finding(.MAINT1, .risk, "\($0.id) is not managed: Pacemaker leaves it as it is", fix: ["pcs resource manage \($0.id)"], at: $0.id) }
  }

  /// What follows the VPN has to be promoted where it is: only a promotion commits the peer's flows, and has clients told.
  private var split: [Finding] {
    guard let home, now.forgotten.isEmpty else { return [] }
    let followers = [("conntrackd", "a take-over commits no flows"), ("sessions", "a take-over tells no client"), ("announce", "routers send clients to the wrong node, or nowhere")]
    return followers.flatMap { own, loss in configuration.own(own).filter(\.isPromotable).map { ($0, loss) } }.compactMap { member, loss in
      let place = now.nodes.map(\.name).first { now.role(member.id, on: $0) == .promoted }
      guard place != home else { return nil }
      let fix = place == nil ? ["pcs resource cleanup \(member.id)"] : ["pcs resource move \(member.top) \(home) --promoted", "vpnha doctor --only COLO1"]
      return Finding(
        .SPLT1, .risk, place.map { "\(member.id) is promoted on \($0), the VPN on \(home): \(loss)" } ?? "\(member.id) is promoted nowhere: \(loss)",
        fix: fix, at: place)
    }
  }

  /// Each firewall says what is in force on its node.
  private var drift: [Finding] {
    configuration.own("firewall").compactMap { firewall in
      let digests = now.nodes.filter(\.isOnline).compactMap { node in attribute("\(firewall.id)-digest", of: node.name).map { (node.name, $0) } }
      guard let first = digests.first, let other = digests.first(where: { $0.1 != first.1 }) else { return nil }
      return Finding(
        .DRIFT1, .risk, "\(first.0) and \(other.0) have different rules in force (\(firewall.id))", fix: ["nft list table inet vpnha", "vpnha run --resource \(firewall.id) monitor --depth 10"],
        at: other.0)
    }
  }

  // MARK: A node

  func path(of node: String) -> String? {
    configuration.own("probe").first.flatMap { attribute($0.parameter("name") ?? "vpnha-path", of: node) }
  }

  func score(of node: String) -> Int? {
    let scores = members.compactMap { OCFScore.read(attribute(promotionScoreAttribute(of: $0.id), of: node)) }
    return scores.isEmpty ? nil : scores.reduce(0, +)
  }

  /// What the agents say of themselves, the gravest first.
  private func risks(_ resource: ClusterConfiguration.Primitive, on node: String) -> [RiskReport.Entry] {
    let told = attribute("vpnha-risk-\(resource.id)", of: node).map { RiskReport($0) } ?? RiskReport([])
    return switch looks?.state(of: resource.id, on: node) {
    // Said as a complaint, or as what stands in the way.
    case .failed, .stopped: []
    case .atRisk(let risks, _): risks.map { told.entry($0.reason) ?? .init(since: nil, $0.reason) }
    case .running, .promoted, nil: told.entries
    }
  }

  func risks(of node: String) -> [Finding] {
    guard now.node(node)?.isOnline == true else { return [] }
    var found = ours.flatMap { resource in
      // What makes it unfit, or shuts clients out, is said there.
      risks(resource, on: node).dropFirst(isUnfit(resource, on: node) || turnsAway(resource, on: node) ? 1 : 0).filter { resource.own != "firewall" || !Self.isBlockade($0.reason) }.map { risk in
        Finding(.RISK1, .risk, "\(resource.id) on \(node): \(risk.reason)", fix: mend(risk.reason, of: resource, on: node), at: node, since: risk.since)
      }
    }
    // What is seen here of what goes with the VPN, before a monitor of the cluster's did.
    for resource in ours where !members.contains(where: { $0.id == resource.id }) && now.role(resource.id, on: node) != .stopped {
      let why: String
      switch looks?.state(of: resource.id, on: node) {
      case .failed(let reason, _): why = reason
      case .stopped: why = "it does not run, and Pacemaker has not noticed yet"
      case .running, .promoted, .atRisk, nil: continue
      }
      found.append(Finding(resource.own == "firewall" ? .WALL1 : .SIDE1, .risk, "\(resource.id) on \(node): \(why)", fix: mend(why, of: resource, on: node), at: node))
    }
    // The services around the VPN that every node should have.
    for resource in ours where !members.contains(where: { $0.id == resource.id }) && resource.clone != nil {
      guard now.role(resource.id, on: node) == .stopped, isAllowed(node), !now.isForgotten(resource.id, on: node) else { continue }
      let failure = lastFailure(of: resource.id, on: node)
      found.append(
        Finding(
          resource.own == "firewall" ? .WALL1 : .SIDE1, .risk, "\(resource.id) does not run on \(node)\(failure.map { ": \($0.task) failed\($0.reason.isEmpty ? "" : ", \($0.reason)")" } ?? "")",
          fix: mend(failure, of: resource, on: node), at: node, since: failure?.since))
    }
    return found
  }

  private func mending(_ resource: ClusterConfiguration.Primitive, _ node: String) -> Mending {
    var mending = Mending(of: resource, on: node, standby: now.nodes.first { $0.isOnline && $0.name != home }?.name)
    mending.addresses = configuration.own("vip").compactMap { $0.parameter("ip") }
    return mending
  }

  /// What mends it, or how to look.
  private func mend(_ reason: String, of resource: ClusterConfiguration.Primitive, on node: String) -> [String] {
    let commands = mending(resource, node).commands(reason)
    return commands.isEmpty ? look(at: resource) : commands
  }
  /// The same for a failure of which the cluster has to be told that it is over.
  private func mend(_ failure: ClusterConfiguration.Operation?, of resource: ClusterConfiguration.Primitive, on node: String) -> [String] {
    guard failure != nil || configuration.failures(of: resource.id, on: node).count > 0 else { return ["crm_simulate -sL | grep '\(resource.id).* on \(node)'    # -INFINITY: a constraint of \(resource.top)'s, or of what it follows"] }
    return (failure.map { mending(resource, node).commands($0.reason) } ?? []) + ["pcs resource cleanup \(resource.id) node=\(node)"]
  }

  private func look(at resource: ClusterConfiguration.Primitive) -> [String] {
    ["vpnha run --resource \(resource.id) monitor --depth 10"]
  }

  private func isAllowed(_ node: String) -> Bool {
    now.node(node).map { $0.isOnline && !$0.isStandby && !$0.isPending && configuration.illness(of: node) == nil } ?? false
  }

  /// When the least recent of the members on a node was looked at closely; nil: one of them never, or nothing is known.
  func looked(at node: String) -> Timestamp? {
    let moments = members.map { looks?.look(at: $0.id, on: node)?.at }
    return moments.contains { $0 == nil } ? nil : moments.compactMap { $0 }.min { $0.seconds < $1.seconds }
  }

  /// Members of which nobody knows how they are on a node.
  func unseen(_ node: String) -> [Finding] {
    guard let looks else { return [] }
    // Plain ones are started there when they are needed; what that would come to shows on that node only.
    let unasked = members.filter { !$0.isPromotable && now.role($0.id, on: node) == .stopped && (looks.here != node || looks.foreseen[$0.id] == nil) }.map(\.id)
    let starts = unasked.isEmpty ? [] : [Finding(.LOOK1, .risk, "\(unasked.joined(separator: ", ")) would be started on \(node): whether that works is known there", fix: ["ssh \(node) vpnha status"], at: node)]
    return starts
      + members.compactMap { member in
        switch looks.state(of: member.id, on: node) {
        // Whether it would be back in time is not known.
        case .failed(let why, _): return Finding(.LOOK2, .risk, "\(member.id) on \(node) has to be restarted before it could serve: \(why)", fix: mend(why, of: member, on: node), at: node)
        case .stopped: return Finding(.LOOK2, .risk, "\(member.id) on \(node) does not run, and Pacemaker has not noticed yet", fix: look(at: member), at: node)
        case .running, .promoted, .atRisk: return nil
        case nil: break
        }
        if !member.isPromotable, now.role(member.id, on: node) == .stopped { return nil }
        let last = looks.look(at: member.id, on: node)?.at
        guard last.map({ time.seconds - $0.seconds > Looks.limit }) ?? true else { return nil }
        return Finding(
          .LOOK1, .risk, "\(member.id) on \(node) \(last == nil ? "has not been looked at closely yet" : "was looked at closely too long ago")", fix: ["vpnha status    # on \(node)", "vpnha doctor --only MON3"],
          at: node, since: last)
      }
  }

  /// Whether it works and is seen to be of no use to a client; nil where this node cannot see it.
  private func isSeenUnfit(_ resource: ClusterConfiguration.Primitive, on node: String) -> Bool? {
    switch looks?.state(of: resource.id, on: node) {
    case .atRisk(let risks, _): risks.contains(where: \.isUnfit)
    case .failed, .stopped, .running, .promoted: false
    case nil: nil
    }
  }

  private func isUnfit(_ resource: ClusterConfiguration.Primitive, on node: String) -> Bool {
    if let isSeen = isSeenUnfit(resource, on: node) { return isSeen && now.role(resource.id, on: node) != .promoted }
    guard resource.isPromotable, now.role(resource.id, on: node) != .promoted, let score = OCFScore.read(attribute(promotionScoreAttribute(of: resource.id), of: node)) else { return false }
    return score <= OCFScore.unfit
  }

  /// Whether a member works where the service is, and says that a client would not get in.
  private func turnsAway(_ resource: ClusterConfiguration.Primitive, on node: String) -> Bool {
    guard node == home, members.contains(where: { $0.id == resource.id }), now.role(resource.id, on: node) == resource.servingRole else { return false }
    return isSeenUnfit(resource, on: node) ?? (looks?.look(at: resource.id, on: node)?.counts[Look.unfit] == 1 && !risks(resource, on: node).isEmpty)
  }

  /// What the agents and the probe of a node say against it, of which Pacemaker's scheduler makes a smaller number only.
  func unfit(_ node: String) -> [Finding] {
    var found = blockades(on: node)
    found += members.filter { isUnfit($0, on: node) }.map { member -> Finding in
      let said = risks(member, on: node).first
      return Finding(
        .UNFIT1, .bad, "\(member.id) on \(node) could not serve\(said.map { ": \($0.reason)" } ?? "")", fix: (said.map { mending(member, node).commands($0.reason) } ?? []) + look(at: member), at: node, since: said?.since)
    }
    for member in members where looks?.here == node && !member.isPromotable {
      let check = ["vpnha check --resource \(member.id)"]
      switch looks?.foreseen[member.id] {
      case .failed(let why, _): found.append(Finding(.UNFIT1, .bad, "\(member.id) would not start on \(node): \(why)", fix: mending(member, node).commands(why) + check, at: node))
      case .atRisk(let risks, _):
        found += risks.map { risk in
          Finding(.UNFIT1, risk.isUnfit ? .bad : .risk, "\(member.id) on \(node) \(risk.isUnfit ? "could not serve" : "would be at risk"): \(risk.reason)", fix: mending(member, node).commands(risk.reason) + check, at: node)
        }
      default: break
      }
    }
    if path(of: node) == "0" { found.append(lostPath(of: node, .bad)) }
    found += missingWay(on: node)
    if looks?.here == node { found += looks?.stoppedDaemons.map { $0.finding(on: node) } ?? [] }
    for member in members where member.isPromotable && OCFScore.read(attribute(promotionScoreAttribute(of: member.id), of: node)) == OCFScore.failedLately {
      found.append(
        Finding(
          .LATELY1, .note, "\(member.id) failed on \(node) a short while ago", fix: [], at: node, since: lastFailure(of: member.id, on: node)?.since))
    }
    return found
  }

  /// Rules of another program that drop what this node is for: the firewall's agent reads them as the kernel does.
  private func blockades(on node: String) -> [Finding] {
    configuration.own("firewall").flatMap { firewall in
      risks(firewall, on: node).filter { Self.isBlockade($0.reason) }.map { risk in
        Finding(.FILTER1, .bad, "\(node): \(risk.reason)", fix: mend(risk.reason, of: firewall, on: node), at: node, since: risk.since)
      }
    }
  }
  private static func isBlockade(_ reason: String) -> Bool { reason.hasPrefix("accept ") && reason.hasSuffix(", which drops them") }

  /// Where the node that serves has a default route, clients may come from anywhere.
  private func missingWay(on node: String) -> [Finding] {
    guard let home, home != node, let vip = members.first(where: { $0.own == "vip" }) else { return [] }
    func hasWay(_ node: String) -> UInt64? { looks?.look(at: vip.id, on: node)?.counts[Look.defaultRoute] }
    guard hasWay(home) == 1, hasWay(node) == 0 else { return [] }
    return [
      Finding(
        .WAY1, .risk, "\(node) has no default route, and \(home) has one: clients from beyond its networks would get no answer",
        fix: ["ip route show default    # on \(home)", "ip route add default via ROUTER    # on \(node), and where its network is configured"], at: node)
    ]
  }

  private func lostPath(of node: String, _ severity: Finding.Severity) -> Finding {
    let probe = configuration.own("probe").first?.id ?? ""
    return Finding(
      .PATH1, severity, "\(node) has no way to the world (\(probe))", fix: ["vpnha run --resource \(probe) monitor", "ip route get 192.0.2.1"], at: node)
  }

  /// What keeps Pacemaker from promoting or starting the members on a node.
  func obstacles(on name: String) -> [Finding] {
    guard let node = now.node(name) else { return [] }
    if !node.isOnline { return [Finding(.NODE1, .bad, "\(name) is offline", fix: ["pcs cluster start \(name)"], at: name)] }
    if node.isPending || node.isShuttingDown {
      return [Finding(.NODE1, .bad, "\(name) is \(node.isPending ? "joining" : "shutting down")", fix: ["crm_mon -1"], at: name)]
    }
    if node.isStandby { return [Finding(.NODE2, .bad, "\(name) is in standby", fix: ["pcs node unstandby \(name)"], at: name)] }
    if let illness = configuration.illness(of: name) { return [illness] }
    let barred = barred(name).filter { one in members.contains { $0.id == one.resource } }.map(\.finding)
    let bans = bans(on: name)
    if !(barred + bans).isEmpty { return barred + bans }
    return members.compactMap { member in
      guard member.isPromotable else { return nil }
      if let instance = now.instance(member.id, on: name), instance.role != .stopped, !instance.isFailed {
        guard attribute(promotionScoreAttribute(of: member.id), of: name) == nil else { return nil }
        // A stop takes the score away, and the start after it gives it back.
        if !now.forgotten.isEmpty || configuration.isAtWork(on: member.id, name) {
          return Finding(.SCORE1, .bad, "\(member.id) has no promotion score on \(name), while it is stopped or started", fix: ["crm_resource --wait    # and then look again"], at: name)
        }
        // The cluster forgets them when the node's controller starts again, and its attribute daemon still has them.
        return Finding(.SCORE1, .bad, "\(member.id) has no promotion score on \(name)", fix: ["attrd_updater --refresh", "pcs resource refresh \(member.id) node=\(name)"], at: name)
      }
      if now.isForgotten(member.id, on: name) { return nil }
      let failure = lastFailure(of: member.id, on: name)
      return Finding(
        .MEMB1, .bad, "\(member.id) does not run on \(name)\(failure.map { ": \($0.task) failed\($0.reason.isEmpty ? "" : ", \($0.reason)")" } ?? "")",
        fix: mend(failure, of: member, on: name), at: name, since: failure?.since)
    }
  }

  private func bans(on node: String) -> [Finding] {
    let names = Set(members.flatMap(\.names))
    return now.bans.filter { $0.node == node && names.contains($0.resource) }.map { ban in
      let isMove = ban.id.hasPrefix("cli-ban-") || ban.id.hasPrefix("cli-prefer-")
      // crm_mon names a rule, and pcs deletes the constraint that it is in.
      let constraint = configuration.constraints("rsc_location").first { $0.children(named: "rule").contains { $0["id"] == ban.id } }?["id"] ?? ban.id
      return Finding(
        .BAN1, .bad, "the constraint \(ban.id) keeps \(ban.resource) off \(node)", fix: [isMove ? "pcs resource clear \(ban.resource)" : "pcs constraint delete \(constraint)"], at: node)
    }
  }

  struct Barred {
    var resource: String
    var finding: Finding
    var until: Timestamp?
  }

  func barred(_ node: String) -> [Barred] {
    ours.compactMap { resource in
      let failures = configuration.failures(of: resource.id, on: node)
      let threshold = OCFScore.read(configuration.meta("migration-threshold", of: resource)) ?? 1_000_000
      guard failures.count >= (threshold > 0 ? threshold : 1_000_000) else { return nil }
      let timeout = configuration.meta("failure-timeout", of: resource).flatMap(seconds) ?? 0
      let until = timeout > 0 ? failures.last.map { Timestamp(seconds: $0.seconds + Int64(timeout)) } : nil
      let failure = lastFailure(of: resource.id, on: node)
      let reason = failure?.reason ?? ""
      let how = until.map { $0.seconds > time.seconds ? "for \(spoken($0.seconds - time.seconds)) more" : "until the cluster looks again" } ?? "until it is cleaned up"
      return Barred(
        resource: resource.id,
        finding: Finding(
          .BARRED1, .risk, "\(resource.id) failed on \(node), which is barred from it \(how)\(reason.isEmpty ? "" : ": \(reason)")",
          fix: mend(failure, of: resource, on: node), at: node, since: failures.last), until: until)
    }
  }

  private func lastFailure(of resource: String, on node: String) -> ClusterConfiguration.Operation? {
    configuration.operations(on: node).filter { $0.resource == resource && $0.isFailure }.max { ($0.since?.seconds ?? 0) < ($1.since?.seconds ?? 0) }
  }

  func past(of node: String) -> [ClusterStatus.Past] {
    configuration.operations(on: node).filter { operation in
      guard operation.isFailure, let instance = now.instance(operation.resource, on: node) else { return false }
      return !instance.isFailed && instance.role != .stopped
    }.map { operation in
      let wasFound = operation.task == "monitor" && operation.interval == 0 && [0, 8].contains(operation.status)
      return ClusterStatus.Past(
        node: node, resource: operation.resource, task: wasFound ? "probe" : operation.task, reason: wasFound ? "it ran already, and the cluster had not started it" : operation.reason, since: operation.since)
    }
  }

  // MARK: Fencing and quorum

  /// What keeps the loss of a node from being confirmed, without which nothing of it is taken over.
  ///
  /// - Parameter after: the state after its loss, as Pacemaker's scheduler sees it; nil: not known.
  func fencing(of node: String?, after: ClusterMonitor? = nil) -> [Finding] {
    guard let node, configuration.isFencingEnabled else { return [] }
    let ways = configuration.waysToFence(node)
    let devices = ways.flatMap { $0 }
    if configuration.isFencedByWatchdog { return [] }
    guard !devices.isEmpty else { return [configuration.unfenced(node, ": its loss would never be confirmed")] }
    func places(_ device: ClusterConfiguration.Primitive, in monitor: ClusterMonitor) -> [String] {
      monitor.instances.filter { $0.id == device.id && $0.role == .started && !$0.isFailed }.compactMap(\.node).filter { now.node($0)?.isOnline ?? false }
    }
    // What runs on the node itself ends with it, and another node has to have it then.
    func works(_ device: ClusterConfiguration.Primitive) -> Bool {
      let bans = bansOf(device)
      guard now.nodes.contains(where: { one in one.name != node && !bans.contains { $0["node"] == one.name } }) else { return false }
      return now.isForgotten(device.id) || places(device, in: now).contains { $0 != node || after.map { !places(device, in: $0).isEmpty } ?? true }
    }
    let name = devices[0].id
    if ways.contains(where: { $0.allSatisfy(works) }) { return [unusable(ways, ending: node) ?? configuration.wrongPlug(of: node) ?? configuration.givenUp(before: node) ?? configuration.longDelay(before: node)].compactMap { $0 } }
    let failure = now.nodes.compactMap { lastFailure(of: name, on: $0.name) }.first
    // It stopped with the last node that could run it; that node is the complaint.
    if failure == nil, !now.nodes.contains(where: { $0.name != node && isAllowed($0.name) }) { return [] }
    let bans = bansOf(devices[0]).filter { $0["node"] != node }
    if failure == nil, let place = bans.first?["node"] {
      return [
        Finding(
          .FENCE3, .bad, "\(name), which fences \(node), is kept off \(place), which would use it",
          fix: bans.map { "pcs constraint delete \($0["id"] ?? "")" } + ["pcs constraint location \(name) avoids \(node)"], at: name)
      ]
    }
    if let off = devices.first(where: { $0.ownMeta("target-role")?.lowercased() == "stopped" }) {
      return [Finding(.FENCE3, .bad, "\(off.id), which fences \(node), is switched off", fix: ["pcs stonith enable \(off.id)"], at: off.id)]
    }
    return [
      Finding(
        .FENCE3, .bad, "\(name), which fences \(node), does not work\(failure.map { ": \($0.reason.isEmpty ? "\($0.task) failed" : $0.reason)" } ?? "")",
        fix: ["pcs stonith cleanup \(name)", "pcs stonith config \(name)"], at: name, since: failure?.since)
    ]
  }

  private func bansOf(_ device: ClusterConfiguration.Primitive) -> [XMLElement] {
    configuration.constraints("rsc_location").filter { $0["rsc"] == device.id && OCFScore.read($0["score"]) == -1_000_000 }
  }

  /// What this node could not do: where it is the one that is left, nobody can.
  private func unusable(_ ways: [[ClusterConfiguration.Primitive]], ending node: String) -> Finding? {
    guard let looks, let here = looks.here, here != node, let answer = looks.enders[node], let name = ways.first?.first?.id else { return nil }
    let severity: Finding.Severity = now.nodes.contains { $0.isOnline && $0.name != node && $0.name != here } ? .risk : .bad
    guard let known = answer else {
      return Finding(.FENCE3, severity, "Pacemaker's fencer on \(here), which would end \(node), gives no answer", fix: ["stonith_admin --list \(node)    # on \(here)", "pcs status"], at: here)
    }
    guard let way = ways.first(where: { $0.allSatisfy { known.contains($0.id) } }) else {
      return Finding(
        .FENCE3, severity, "\(here) could not use \(name), which fences \(node): it is not allowed there, or does not name \(node) when it is asked",
        fix: ["pcs constraint location config", "pcs stonith config \(name)", "stonith_admin --list \(node)    # on \(here)"], at: name)
    }
    if ways.contains(where: { $0.allSatisfy { known.contains($0.id) && !looks.absentFences.contains($0.id) } }) { return nil }
    let lacking = way.first { looks.absentFences.contains($0.id) } ?? way[0]
    return Finding(
      .FENCE3, severity, "\(here) could not use \(lacking.id), which fences \(node): /usr/sbin/\(lacking.agent.dropFirst(8)) is missing", fix: ["apt-get install fence-agents    # on \(here)", "pcs stonith cleanup \(lacking.id)"], at: lacking.id)
  }
}

/// Promotion scores, as they are kept.
enum OCFScore {
  static let unfit = 5
  static let failedLately = 20
  static func read(_ text: String?) -> Int? { score(text) }
}

/// `3 min 41 s`; roughly: `3 min`.
func spoken(_ seconds: Int64, isRough: Bool = false) -> String {
  func two(_ whole: String, _ rest: Int64, _ unit: String) -> String { rest == 0 || isRough ? whole : "\(whole) \(rest) \(unit)" }
  switch max(0, seconds) {
  case let short where short < 60: return "\(short) s"
  case let minutes where minutes < 3600: return two("\(minutes / 60) min", minutes % 60, "s")
  case let hours where hours < 172_800: return two("\(hours / 3600) h", hours % 3600 / 60, "min")
  case let days: return "\(days / 86_400) days"
  }
}

extension Timestamp {
  /// As Pacemaker's fencer writes it: `2026-11-30 01:05:04Z`, `2026-11-30 01:05:04.123456 +02:00`; nil for anything else.
  init?(fencer text: String) {
    guard text.count >= 20, let local = Timestamp("\(text.prefix(10))T\(text.dropFirst(11).prefix(8))Z") else { return nil }
    var zone = text.dropFirst(19)
    if zone.first == "." { zone = zone.dropFirst().drop { $0.isASCII && $0.isNumber } }
    zone = zone.drop { $0 == " " }
    if zone == "Z" {
      self = local
      return
    }
    let parts = zone.dropFirst().split(separator: ":").compactMap { Int64($0) }
    guard let sign = zone.first, sign == "+" || sign == "-", parts.count == 2, parts.allSatisfy({ (0...59).contains($0) }) else { return nil }
    self.init(seconds: local.seconds - (sign == "+" ? 1 : -1) * (parts[0] * 60 + parts[1]) * 60)
  }

  /// `2026-11-24T14:03:22Z`; nil for anything else.
  init?(_ text: String) {
    let letters = Array(text.utf8)
    guard letters.count == 20, letters[10] == UInt8(ascii: "T"), letters[19] == UInt8(ascii: "Z") else { return nil }
    let parts = text.dropLast().split { "-T:".contains($0) }.compactMap { Int64($0) }
    guard parts.count == 6, (1...12).contains(parts[1]), (1...31).contains(parts[2]) else { return nil }
    // Days since 1970, with years that begin in March.
    let (year, month) = parts[1] > 2 ? (parts[0], parts[1] - 3) : (parts[0] - 1, parts[1] + 9)
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + parts[2] - 1 - 719_468
    self.init(seconds: days * 86_400 + parts[3] * 3600 + parts[4] * 60 + parts[5])
  }
}
