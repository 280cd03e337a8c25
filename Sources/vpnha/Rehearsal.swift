import Host

/// A failover on purpose: what has to be true before, what is done, what is seen, and how it is taken back.
struct Rehearsal {
  enum Event: Equatable {
    case switchover(to: String)
    /// Fenced by the cluster.
    case node(String)
    /// Killed on this node.
    case daemon(String)
    /// What the probe asks is out of this node's reach for a while.
    case uplink
  }

  static let daemons = ["charon": ["/usr/sbin/charon-systemd", "/usr/lib/ipsec/charon"], "pluto": ["/usr/libexec/ipsec/pluto"], "xl2tpd": ["/usr/sbin/xl2tpd"], "conntrackd": ["/usr/sbin/conntrackd"]]

  struct Condition: Equatable {
    var isMet: Bool
    var what: String
    var fix: [String] = []
  }

  struct Step: Equatable {
    /// Since the event.
    var at: Duration
    var what: String
  }

  struct Outcome: Equatable {
    var from: String
    var to: String?
    /// Time without an answer, as this node saw it; nil: it could not be measured.
    var outage: Duration?
    /// What is wrong after a planned move, when nothing is left to be done; nil: it was no move, or did not arrive.
    var left: [Finding]?
    var steps: [Step] = []
    var isUndone = false
    /// Why it did not go as it should; nil: it did.
    var complaint: String?
  }

  var event: Event
  var here: String
  var status: ClusterStatus
  var configuration: ClusterConfiguration
  /// More than this without service is a failure, and what can be taken back is.
  var limit = Duration.seconds(15)
  /// How long clients have to leave by themselves before the service is moved; nil: they are not waited for.
  var drain: Duration?

  var service: [ClusterConfiguration.Primitive] { configuration.service }
  var top: String { service.first { $0.own == "vip" }?.top ?? "" }
  var isPromotable: Bool { service.contains(where: \.isPromotable) }
  var address: IPAddress? { configuration.gatewayAddress }

  /// The node that is to serve afterwards; nil: any.
  var successor: String? {
    switch event {
    case .switchover(let node): node
    case .node(let node): node == status.serving ? status.successor : status.serving
    case .uplink: status.successor
    case .daemon(let name): name == "conntrackd" ? status.serving : nil
    }
  }

  /// Nothing is to be done.
  var isNeedless: Bool { event == .switchover(to: status.serving ?? "") && status.serving != nil }

  /// Of several addresses each has an xl2tpd of its own, with a file of its own.
  func isMeant(_ process: Process) -> Bool {
    guard event == .daemon("xl2tpd"), configuration.services.count > 1, let config = service.first(where: { $0.own == "xl2tpd" })?.parameter("config") else { return true }
    return process.arguments.contains(config)
  }

  // MARK: Before

  /// What a planned move waits for: everything that keeps the other node from serving, but not how a lost node is ended.
  var conditions: [Condition] {
    guard let serving = status.serving else {
      return [Condition(isMet: false, what: "nobody serves", fix: ["vpnha status"])]
    }
    var found = [Condition(isMet: true, what: "\(serving) serves")]
    let names = status.nodes.map(\.name)
    let others = names.filter { $0 != serving }
    switch event {
    case .switchover(let node):
      guard names.contains(node) else { return found + [Condition(isMet: false, what: "there is no node \(node): the nodes are \(names.joined(separator: ", "))")] }
      if isNeedless { return found }
    case .node(let node):
      guard names.contains(node) else { return found + [Condition(isMet: false, what: "there is no node \(node): the nodes are \(names.joined(separator: ", "))")] }
      if node == here { found.append(Condition(isMet: false, what: "this is \(node): ask on another node, which lives to see what comes of it")) }
    case .daemon, .uplink:
      if here != serving { found.append(Condition(isMet: false, what: "this is \(here): ask on \(serving), which serves")) }
    }
    if drain != nil {
      if here != serving { found.append(Condition(isMet: false, what: "this is \(here): clients leave \(serving), so --drain is asked for there")) }
      if configuration.own("firewall").isEmpty || address == nil { found.append(Condition(isMet: false, what: "--drain needs the firewall resource, which refuses new clients", fix: ["vpnha recipe firewall"])) }
    }
    if event == .uplink, targets.isEmpty { found.append(Condition(isMet: false, what: "no probe asks an address: the cluster would not notice", fix: ["vpnha recipe probe"])) }
    let node = successor ?? others.first ?? ""
    if case .node(let victim) = event, victim != serving {} else { found.append(fitness(of: node)) }
    let maintenance = status.findings.filter { $0.id == .MAINT1 }
    found += maintenance.isEmpty ? [Condition(isMet: true, what: "Pacemaker manages everything")] : maintenance.map { Condition(isMet: false, what: $0.summary, fix: $0.fix) }
    let left = configuration.constraints("rsc_location").compactMap { $0["id"] }.filter { $0.hasPrefix("cli-") }
    found.append(
      left.isEmpty
        ? Condition(isMet: true, what: "no constraint is left over from an earlier move")
        : Condition(isMet: false, what: "left over from an earlier move: \(left.joined(separator: ", "))", fix: ["pcs resource clear \(top)"]))
    if case .node = event {
      let fencing = status.findings.filter { [.FENCE1, .FENCE2, .FENCE3, .FENCE4].contains($0.id) }
      found += fencing.isEmpty ? [Condition(isMet: true, what: "fencing is configured")] : fencing.map { Condition(isMet: false, what: $0.summary, fix: $0.fix) }
    }
    return found
  }

  private func fitness(of node: String) -> Condition {
    let fencing: Set<FindingID> = [.FENCE1, .FENCE2, .FENCE3, .FENCE4, .QUOR1, .QUOR2, .MAINT1, .SIM1]
    // What nobody has looked at is not moved to on purpose.
    let unseen: Set<FindingID> = [.LOOK1, .LOOK2]
    let against = status.reasons.filter { ($0.severity == .bad || unseen.contains($0.id)) && !fencing.contains($0.id) && ($0.place == nil || $0.place == node) }
    if let first = against.first { return Condition(isMet: false, what: "\(node) could not serve: \(first.id.rawValue) \(first.summary)", fix: first.fix) }
    guard let row = status.nodes.first(where: { $0.name == node }), row.role == "standby" || (!isPromotable && row.role != "offline") else {
      return Condition(isMet: false, what: "\(node.isEmpty ? "another node" : node) is no standby", fix: ["pcs status --full"])
    }
    let risks = row.risks.isEmpty ? "" : " (at risk: \(row.risks.map(\.id.rawValue).joined(separator: ", ")))"
    return Condition(isMet: true, what: "\(node) could serve\(risks)")
  }

  /// What is going to be done, as a person would type it.
  var plan: [String] {
    switch event {
    case .switchover(let node): [Preference(resource: top, node: node, isPromoted: isPromotable).typed, "crm_resource \(clear.joined(separator: " "))"]
    case .node(let node): ["stonith_admin --reboot \(node)"]
    case .daemon(let name): ["kill -KILL, every process of \(Self.daemons[name]?.first ?? name) on \(here)"]
    case .uplink: ["nft: drop what \(here) sends to \(targets.map(\.description).joined(separator: ", ")) for 60 s (table inet vpnha_drill)"]
    }
  }

  /// The same for a person, in one line.
  var intent: [String] {
    guard case .switchover(let node) = event else { return plan }
    let leave = drain.map { ["take no new clients on \(here), and wait up to \(spoken($0.nanoseconds / 1_000_000_000)) until all have left"] } ?? []
    return leave + ["have Pacemaker prefer \(node) for \(top), and take that back when it serves there"]
  }

  var undoing: String {
    switch event {
    case .switchover: "the service goes back to \(status.serving ?? "where it was")"
    case .node, .daemon: "pcs resource cleanup \(top)"
    case .uplink: "the table is taken away, and pcs resource cleanup \(top)"
    }
  }

  private var role: [String] { isPromotable ? ["--promoted"] : [] }
  /// How long its constraint lives if nobody takes it away, in seconds.
  static let lifetime: Int64 = 600
  var clear: [String] { ["--resource", top, "--clear"] + role }
  var cleanup: [String] { ["--resource", top, "--cleanup"] }

  /// What the probe asks: without it the node has no path.
  var targets: [IPAddress] {
    let probe = configuration.own("probe").first
    return ["ping", "ike", "radius"].flatMap { probe?.parameter($0)?.split(separator: " ") ?? [] }.compactMap { IPAddress($0) }
  }

  static let table = "vpnha_drill"
  /// The set's members go by themselves, even if whoever put them there is no more.
  var cut: String {
    let families = [("ip", "ipv4_addr", targets.filter { !$0.isIPv6 }), ("ip6", "ipv6_addr", targets.filter(\.isIPv6))].filter { !$0.2.isEmpty }
    return "table inet \(Self.table) {\n"
      + families.map { family, type, members in
        "set \(family)cut { type \(type); flags timeout; elements = { \(members.map { "\($0) timeout 60s" }.joined(separator: ", ")) } }\n"
      }.joined() + "chain out { type filter hook output priority 0; policy accept;\n" + families.map { "\($0.0) daddr @\($0.0)cut drop\n" }.joined() + "}\n}\n"
  }
}

/// Seconds with two digits after the point.
func shown(_ duration: Duration) -> String {
  let hundredths = max(0, duration.nanoseconds) / 10_000_000
  return "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100) s"
}
