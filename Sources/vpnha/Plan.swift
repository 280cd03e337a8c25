import Host
import OCFMetadata

/// One thing that goes wrong.
enum Failure: Equatable {
  case node(String)
  case uplink(String)
  case daemon(ClusterConfiguration.Primitive, on: String)
  case link

  static func == (a: Failure, b: Failure) -> Bool { a.words == b.words }

  var words: String {
    switch self {
    case .node(let node): "\(node) is lost"
    case .uplink(let node): "\(node) loses its uplink"
    case .daemon(let resource, let node): "\(resource.id) fails on \(node)"
    case .link: "the link between them breaks"
    }
  }
}

/// What Pacemaker's scheduler makes of a failure, and of one more after it.
struct Plan {
  struct Outcome {
    var failure: Failure
    /// What happened before it; nil: it is the first one.
    var after: Failure?
    var serving: String?
    /// Nodes on which the address is without the rest.
    var hollow: [String]
    /// Nodes that are up and could be asked to serve.
    var idle: [String]
    /// What the scheduler does not know.
    var findings: [Finding]
    var fences: String?
    /// Whether the clients have to dial in again.
    var dropsSessions: Bool

    var words: String {
      var words = serving.map { "\($0) serves" } ?? (hollow.first.map { "the address is on \($0), without a VPN" } ?? "NOBODY SERVES")
      if let fences { words = "\(fences) is fenced, " + words }
      if serving != nil, dropsSessions { words += "; the clients dial in again" }
      return words
    }
  }

  /// Where there are several: the one that this is about.
  var address: String?
  var serving: String?
  /// When it was asked.
  var time: Timestamp
  var outcomes: [Outcome] = []

  /// One for each address.
  ///
  /// - Parameters:
  ///   - words: what was asked for; nothing or `all`: everything.
  ///   - looks: what is known of the daemons, if they are not to be asked.
  static func all(_ tools: PacemakerTools, _ words: [String], looks known: Looks? = nil, at time: Timestamp) throws(SystemError) -> [Plan] {
    let cib = try tools.configuration()
    let configuration = try ClusterConfiguration(cib)
    guard configuration.balancer == nil else {
      throw SystemError("planning", .notSupported, detail: "every gateway serves, and one that is lost takes its own sessions along; vpnha status says whether another one would direct")
    }
    var now = try tools.simulated(nil, in: cib)
    now.recall(configuration.primitives.filter { $0.own != nil || $0.isFence }, of: configuration, nil)
    if let first = now.forgotten.first {
      throw SystemError("asking Pacemaker's scheduler", .wouldBlock, detail: "Pacemaker asks again what runs on \(first.node), as after a refresh; wait until it knows: crm_resource --wait")
    }
    let services = configuration.services
    let looks = known ?? tools.looks(configuration, now)
    var plans: [Plan] = []
    var firsts: [Step] = []
    let isDeep = words.isEmpty || words == ["all"]
    for (index, one) in services.enumerated() {
      let serving = now.serving(one.service)
      plans.append(Plan(address: services.count > 1 ? one.gatewayAddress?.description : nil, serving: serving, time: time))
      let world = World(tools: tools, cib: one, now: now, serving: serving, looks: looks, time: time)
      for failure in try asked(words, one, now, serving) {
        firsts.append(Step(plan: index, world: world, failure: failure, isLast: isDeep && !hits(failure, serving)))
      }
    }
    // What does not depend on the other is asked at the same time.
    let after = try outcomes(of: firsts, tools)
    var seconds: [(first: Int, step: Step)] = []
    for (index, (outcome, next)) in after.enumerated() {
      // One more, where it hurts most: at what serves then. A lost node that was the last one is no surprise.
      guard let next, let server = outcome.serving else { continue }
      let first = firsts[index]
      for failure in Self.seconds(first.failure, next.cib, server) {
        seconds.append((index, Step(plan: first.plan, world: next, failure: failure, earlier: first.failure, isLast: true)))
      }
    }
    let later = zip(seconds, try outcomes(of: seconds.map(\.step), tools)).map { (first: $0.first, outcome: $1.outcome) }
    for (index, (outcome, _)) in after.enumerated() {
      plans[firsts[index].plan].outcomes += [outcome] + later.filter { $0.first == index }.map(\.outcome)
    }
    return plans
  }

  private struct Step {
    var plan: Int
    var world: World
    var failure: Failure
    var earlier: Failure?
    /// Whether nothing is asked about the state behind it.
    var isLast: Bool
  }

  /// What comes of each, and the state behind it where one is asked about. What is the same for several addresses is worked out once.
  private static func outcomes(of steps: [Step], _ tools: PacemakerTools) throws(SystemError) -> [(outcome: Outcome, next: World?)] {
    let wanted = steps.map { $0.world.question($0.failure, isLast: $0.isLast) }
    var questions: [PacemakerTools.Question] = []
    var places: [PacemakerTools.Question: Int] = [:]
    for case let question? in wanted where places[question] == nil {
      places[question] = questions.count
      questions.append(question)
    }
    let answers = try tools.simulated(questions)
    var all: [(outcome: Outcome, next: World?)] = []
    for (step, question) in zip(steps, wanted) {
      guard let place = question.flatMap({ places[$0] }) else {
        all.append((step.world.split(step.earlier), nil))
        continue
      }
      all.append(try step.world.outcome(of: step.failure, step.earlier, answers[place], isLast: step.isLast))
    }
    return all
  }

  /// Of several addresses: the worst verdict, and each of them.
  static func json(_ plans: [Plan]) -> String {
    guard plans.count > 1, let worst = plans.map(\.verdict).max(by: { $0.rawValue < $1.rawValue }) else { return plans.first?.json ?? "{}" }
    return jsonObject([("verdict", worst.name.jsonQuoted), ("addresses", jsonArray(plans.map { "{\"address\":\(($0.address ?? "").jsonQuoted)," + $0.json.dropFirst() }))])
  }

  var findings: [Finding] { Finding.distinct(outcomes.flatMap(\.findings)) }

  var verdict: Verdict { serving == nil ? .bad : Verdict(findings) }

  private static func hits(_ failure: Failure, _ serving: String?) -> Bool {
    switch failure {
    case .node(let node), .uplink(let node): node == serving
    case .daemon(let resource, let node): node == serving && ["strongswan", "libreswan"].contains(resource.own)
    case .link: false
    }
  }

  private static func seconds(_ first: Failure, _ cib: ClusterConfiguration, _ server: String) -> [Failure] {
    let daemon = cib.service.first { ["strongswan", "libreswan"].contains($0.own) } ?? cib.service.first
    var all = daemon.map { [Failure.daemon($0, on: server)] } ?? []
    if !cib.own("probe").isEmpty { all.append(.uplink(server)) }
    if case .node = first {} else { all.append(.node(server)) }
    return all.filter { $0 != first }
  }

  private static func asked(_ words: [String], _ cib: ClusterConfiguration, _ now: ClusterMonitor, _ serving: String?) throws(SystemError) -> [Failure] {
    let nodes = now.nodes.filter(\.isOnline).map(\.name).sorted { a, b in a == serving || (b != serving && a < b) }
    func node(_ name: String) throws(SystemError) -> String {
      guard nodes.contains(name) else { throw SystemError("looking for \(name)", .noSuchFile, detail: "the nodes that are online are \(nodes.joined(separator: ", "))") }
      return name
    }
    let ours = cib.primitives.filter { $0.own != nil }
    guard let home = serving ?? nodes.first else { throw SystemError("looking for nodes", .noSuchFile, detail: "none is online") }
    switch words.first ?? "all" {
    case "node": return [.node(try node(words[1]))]
    case "uplink": return [.uplink(try node(words.count > 1 ? words[1] : home))]
    case "link": return [.link]
    case "daemon":
      guard let resource = ours.first(where: { $0.id == words[1] }) else {
        throw SystemError("looking for \(words[1])", .noSuchFile, detail: "the resources are \(ours.map(\.id).joined(separator: ", "))")
      }
      return [.daemon(resource, on: try node(words.count > 2 ? words[2] : home))]
    default:
      let uplinks = cib.own("probe").isEmpty ? [] : nodes.map { Failure.uplink($0) }
      return nodes.map { .node($0) } + uplinks + ours.filter { $0.own != "probe" && $0.own != "vip" }.map { .daemon($0, on: home) } + (nodes.count > 1 ? [.link] : [])
    }
  }

  // MARK: What is printed

  var text: String {
    var screen = Screen()
    let first = outcomes.filter { $0.after == nil }
    let failed = first.count { $0.serving == nil }
    let what = failed > 0 ? "\(failed) of \(first.count) failures \(failed == 1 ? "leaves" : "leave") nobody serving" : outcomes.contains { !$0.findings.isEmpty } ? "somebody serves after each single failure" : "somebody serves after each failure"
    screen.add(padded(verdict.shown, 9) + (address.map { "\($0): " } ?? "") + (serving.map { "\($0) serves now; \(what)" } ?? "nobody serves now") + "; nothing was done", indent: 9)
    for outcome in outcomes {
      // Second failures that end well are in the JSON.
      guard outcome.after == nil || !outcome.findings.isEmpty else { continue }
      screen.add(padded(" \(outcome.after == nil ? "" : "  then ")\(outcome.failure.words)", 36) + outcome.words, indent: 36)
    }
    for finding in Finding.ordered(findings) { screen.add(finding, now: time) }
    return screen.text(more: "vpnha plan --json")
  }

  var json: String {
    jsonObject([
      ("verdict", verdict.name.jsonQuoted), ("serving", serving?.jsonQuoted),
      (
        "outcomes",
        jsonArray(
          outcomes.map { one in
            jsonObject([
              ("failure", one.failure.words.jsonQuoted), ("after", one.after?.words.jsonQuoted), ("serving", one.serving?.jsonQuoted),
              ("address_without_vpn", jsonArray(one.hollow.map(\.jsonQuoted))), ("idle", jsonArray(one.idle.map(\.jsonQuoted))), ("fenced", one.fences?.jsonQuoted),
              ("sessions_lost", "\(one.dropsSessions)"), ("findings", jsonArray(one.findings.map(\.json))),
            ])
          })
      ),
      ("findings", jsonArray(Finding.ordered(findings).map(\.json))),
    ])
  }

  static func unknown(_ why: Finding) -> String {
    jsonObject([("verdict", Verdict.unknown.name.jsonQuoted), ("serving", nil), ("outcomes", "[]"), ("findings", jsonArray([why.json]))])
  }
}

/// A state of the cluster, in which something may fail.
private struct World {
  var tools: PacemakerTools
  var cib: ClusterConfiguration
  var now: ClusterMonitor
  var serving: String?
  var looks: Looks?
  var time: Timestamp

  private var members: [ClusterConfiguration.Primitive] { cib.service }

  /// What the scheduler is asked about a failure; nil: it would not know.
  func question(_ failure: Failure, isLast: Bool) -> PacemakerTools.Question? {
    if failure == .link { return nil }
    let (arguments, changed) = injected(failure)
    return PacemakerTools.Question(arguments: arguments, cib: cib.cib.text(setting: changed), isSaved: !isLast)
  }

  /// - Returns: also the state behind it; nil where nothing is asked about it.
  func outcome(of failure: Failure, _ earlier: Failure?, _ answer: PacemakerTools.Answer, isLast: Bool) throws(SystemError) -> (outcome: Plan.Outcome, next: World?) {
    let then = answer.now
    let next = isLast ? cib : try ClusterConfiguration(answer.cib).looking(atTop: cib.top)
    let fencing = fencing(failure, earlier, then)
    // Nothing is taken over from a node whose loss is never confirmed.
    let isStuck = fencing.contains { $0.severity == .bad }
    let chosen = isStuck ? nil : then.serving(members)
    // What the scheduler does not know of the node that it chooses: clients would find nobody there.
    let against = earlier == nil && chosen != serving ? chosen.map { ClusterStatus.unfit(cib, now, $0, looks: looks, at: time).filter { $0.severity == .bad } } ?? [] : []
    let server = against.isEmpty ? chosen : nil
    let hollow = hollow(then, server)
    let idle = server == nil ? then.nodes.filter { $0.isOnline && !$0.isStandby && !$0.isInMaintenance }.map(\.name) : []
    var outcome = Plan.Outcome(
      failure: failure, after: earlier, serving: server, hollow: isStuck ? [] : hollow, idle: idle, findings: fencing, fences: nil,
      dropsSessions: server != nil && (server != serving || ends(failure)) && cib.own("sessions").isEmpty)
    if case .node(let lost) = failure, cib.isFencingEnabled, !isStuck, !cib.fences(lost).isEmpty { outcome.fences = lost }
    if !isStuck { outcome.findings = (against.isEmpty ? findings(failure, earlier, outcome, then, next) : against) + fencing }
    return (outcome, isLast ? nil : World(tools: tools, cib: next, now: then, serving: server, looks: looks, time: time))
  }

  /// What keeps the loss of the serving node from being confirmed, as status says it.
  private func fencing(_ failure: Failure, _ earlier: Failure?, _ then: ClusterMonitor) -> [Finding] {
    guard case .node(let lost) = failure, earlier == nil, lost == serving else { return [] }
    return ClusterStatus.fencing(cib, now, of: lost, after: then, looks: looks, at: time)
  }

  /// Whether the sessions end with it, wherever they are served then: of two addresses with one charon, which is started again in place.
  private func ends(_ failure: Failure) -> Bool {
    guard case .daemon(let resource, let node) = failure, node == serving, cib.services.count > 1 else { return false }
    return resource.own == "strongswan" || (resource.own == "xl2tpd" && members.contains { $0.id == resource.id })
  }

  /// Nodes that hold the address, and not the rest.
  private func hollow(_ then: ClusterMonitor, _ server: String?) -> [String] {
    guard let vip = members.first(where: { $0.own == "vip" }) else { return [] }
    return then.nodes.map(\.name).filter { $0 != server && then.role(vip.id, on: $0) == vip.servingRole }
  }

  private func findings(_ failure: Failure, _ earlier: Failure?, _ outcome: Plan.Outcome, _ then: ClusterMonitor, _ next: ClusterConfiguration) -> [Finding] {
    let severity: Finding.Severity = earlier == nil ? .bad : .risk
    let what = (earlier.map { "\($0.words), then " } ?? "") + failure.words
    var found: [Finding] = []
    if let node = outcome.hollow.first {
      found.append(Finding(.HOLLOW1, severity, "\(what): the address is on \(node), and no VPN behind it", fix: ["vpnha doctor", "vpnha status"], at: node))
    } else if let node = outcome.idle.first {
      found.append(Finding(.GAP1, severity, "\(what): nobody serves, although \(node) is up", fix: reasons(next, then, node), at: node))
    } else if outcome.serving == nil, case .node = failure, earlier == nil {
      found.append(Finding(.NODE1, .bad, "\(what): no node is left that could serve", fix: ["vpnha status"]))
    }
    return found
  }

  private func reasons(_ next: ClusterConfiguration, _ then: ClusterMonitor, _ node: String) -> [String] {
    let names = Set(members.flatMap(\.names))
    let bans = next.constraints("rsc_location").filter { $0["node"] == node && score($0["score"]) == -1_000_000 && names.contains($0["rsc"] ?? "") }
    let fixes = bans.map { "pcs constraint delete \($0["id"] ?? "")" } + ClusterStatus.obstacles(next, then, node, at: time).flatMap(\.fix)
    return fixes.isEmpty ? ["vpnha status"] : Array(fixes.prefix(3))
  }

  /// Each side fences the other one, or both serve.
  func split(_ earlier: Failure?) -> Plan.Outcome {
    var outcome = Plan.Outcome(failure: .link, after: earlier, serving: serving, hollow: [], idle: [], findings: [], fences: nil, dropsSessions: false)
    let others = cib.nodes.filter { $0 != serving }
    guard cib.isFencingEnabled else {
      outcome.findings = [Finding(.FENCE1, .bad, "the link breaks: both nodes hold the address, because fencing is switched off", fix: ["pcs property set stonith-enabled=true"])]
      return outcome
    }
    let delay = cib.property("priority-fencing-delay").flatMap(seconds) ?? 0
    // Of two addresses one has a priority, and the node that serves it wins.
    let favoured = cib.services.filter { $0.service.contains { score(cib.meta("priority", of: $0)) ?? 0 > 0 } }
    let isFavoured = delay > 0 && favoured.count == 1
    if isFavoured, tools.votes()?.hasDevice != true, let winner = favoured.first.flatMap({ now.serving($0.service) }), winner != serving, serving != nil {
      outcome.serving = winner
      outcome.fences = serving
      outcome.dropsSessions = true
      return outcome
    }
    let hasDelay = cib.primitives.contains { $0.isFence && ($0.parameter("pcmk_delay_base") ?? $0.parameter("pcmk_delay_max")).flatMap(seconds).map { $0 > 0 } ?? false }
    outcome.fences = others.first
    if !isFavoured, tools.votes()?.hasDevice != true {
      outcome.findings = [
        Finding(
          .RACE1, .risk, "the link breaks: \(hasDelay ? "chance, not the service," : "who is faster") decides which node is fenced", fix: ["pcs property set priority-fencing-delay=3s", "pcs resource meta \(cib.services.first?.service.first?.top ?? "") priority=10"],
          at: "property priority-fencing-delay")
      ]
    }
    return outcome
  }

  /// What to tell the scheduler, and attributes that the agents would set.
  private func injected(_ failure: Failure) -> (arguments: [String], attributes: [NodeAttribute]) {
    switch failure {
    case .node(let node): return (["--node-fail", node], [])
    case .uplink(let node):
      return ([], cib.own("probe").map { NodeAttribute(node: node, name: $0.parameter("name") ?? "vpnha-path", value: "0") })
    case .daemon(let resource, let node):
      let role = resource.isPromotable ? (node == serving ? "Promoted" : "Unpromoted") : nil
      let its = resource.monitors.filter { $0.interval > 0 && ($0.role == role || $0.role == nil) }
      let quickest = its.min { ($0.level, $0.interval) < ($1.level, $1.interval) }
      // One that was not promoted before it failed is less wanted: the agents lower its score.
      let lowered = resource.isPromotable ? [NodeAttribute(node: node, name: promotionScoreAttribute(of: resource.id), value: "\(OCFScore.failedLately)")] : []
      return (["--op-inject", "\(resource.id)_monitor_\((quickest?.interval ?? 10) * 1000)@\(node)=7"], lowered)
    case .link: return ([], [])
    }
  }
}

struct NodeAttribute: Equatable {
  var node: String
  var name: String
  var value: String
}

extension XMLElement {
  /// A CIB as text, with these transient attributes of nodes in place of what it has; one that a node does not have is added.
  func text(setting attributes: [NodeAttribute]) -> [UInt8] {
    var text: [UInt8] = []
    write(to: &text, attributes, node: nil, isTransient: false)
    return text
  }

  private func write(to text: inout [UInt8], _ wanted: [NodeAttribute], node: String?, isTransient: Bool) {
    let node = name == "node_state" ? self["uname"] : node
    let isTransient = isTransient || name == "transient_attributes"
    let its = isTransient ? wanted.filter { $0.node == node } : []
    text += Array("<\(name)".utf8)
    for attribute in attributes {
      var value = attribute.value
      if name == "nvpair", attribute.name == "value", let new = its.first(where: { $0.name == self["name"] }) { value = new.value }
      text += Array(" \(attribute.name)=\"\(value.inXML)\"".utf8)
    }
    text.append(UInt8(ascii: ">"))
    if children.isEmpty { text += Array(ownText.inXML.utf8) }
    for child in children { child.write(to: &text, wanted, node: node, isTransient: isTransient) }
    if isTransient, name == "instance_attributes" {
      let known = children.compactMap { $0["name"] }
      for (index, new) in its.enumerated() where !known.contains(new.name) {
        text += Array("<nvpair id=\"\((self["id"] ?? "").inXML)-plan-\(index)\" name=\"\(new.name.inXML)\" value=\"\(new.value.inXML)\"/>".utf8)
      }
    }
    text += Array("</\(name)>".utf8)
  }
}
