import Host
import OCFMetadata

/// What Pacemaker was told to do: the CIB's configuration, and each node's history in it.
struct ClusterConfiguration {
  var cib: XMLElement

  /// - Throws: `EBADMSG` when it is no CIB.
  init(_ xml: [UInt8]) throws(SystemError) {
    guard let root = try XMLDocument(xml)?.root, root.name == "cib" else {
      throw SystemError("reading the cluster's configuration", .badMessage, detail: "it is not a CIB")
    }
    cib = root
    configuration = root.first("configuration") ?? root
    let templates = configuration.first("resources")?.children(named: "template") ?? []
    func read(_ element: XMLElement, around: [XMLElement]) -> [Primitive] {
      element.children.flatMap { child -> [Primitive] in
        switch child.name {
        case "group", "clone", "master": return read(child, around: [child] + around)
        case "primitive":
          let template = child["template"].flatMap { name in templates.first { $0["id"] == name } }
          return [Primitive(element: child, template: template, around: around)]
        default: return []
        }
      }
    }
    primitives = configuration.first("resources").map { read($0, around: []) } ?? []
  }

  var configuration: XMLElement
  var primitives: [Primitive]

  struct Primitive {
    var element: XMLElement
    var template: XMLElement?
    /// What it is in, innermost first.
    var around: [XMLElement]

    var id: String { element["id"] ?? "" }
    /// `ocf:vpnha:vip`
    var agent: String {
      let source = element["type"] == nil ? template ?? element : element
      return [source["class"], source["provider"], source["type"]].compactMap { $0 }.joined(separator: ":")
    }
    /// Our agent's name; nil when it is somebody else's.
    var own: String? { agent.hasPrefix("ocf:vpnha:") ? String(agent.dropFirst(10)) : nil }
    var isFence: Bool { agent.hasPrefix("stonith:") }

    /// The outermost thing it belongs to, which constraints and pcs name.
    var top: String { around.last?["id"] ?? id }
    var clone: XMLElement? { around.first { $0.name == "clone" || $0.name == "master" } }
    var isPromotable: Bool { clone.map { $0.name == "master" || isTrue(value("promotable", in: [$0], "meta_attributes")) } ?? false }
    /// Every name under which a constraint may mean it.
    var names: [String] { [id] + around.compactMap { $0["id"] } }

    func parameter(_ name: String) -> String? {
      value(name, in: [element, template].compactMap { $0 }, "instance_attributes")
    }
    /// All of them, in force or by default absent; nil where a rule decides.
    var parameters: [(name: String, value: String)]? {
      let sets = [template, element].compactMap { $0 }.flatMap { $0.children(named: "instance_attributes") }
      guard !sets.contains(where: { $0.first("rule") != nil || $0["id-ref"] != nil }) else { return nil }
      return sets.flatMap { $0.children(named: "nvpair") }.map { ($0["name"] ?? "", $0["value"] ?? "") }
    }
    /// The nearest setting: its own, its group's, its clone's.
    func ownMeta(_ name: String) -> String? { value(name, in: [element, template].compactMap { $0 } + around, "meta_attributes") }

    /// Whose setting that is: a member may be switched off alone.
    func metaHolder(_ name: String) -> String? {
      ([element, template].compactMap { $0 } + around).first { value(name, in: [$0], "meta_attributes") != nil }?["id"]
    }

    var monitors: [Monitor] { allMonitors.filter { !isFalse($0.element["enabled"]) } }
    var disabledMonitors: [Monitor] { allMonitors.filter { isFalse($0.element["enabled"]) } }
    private var allMonitors: [Monitor] {
      [element, template].compactMap { $0?.first("operations") }.flatMap { $0.children(named: "op") }.filter { $0["name"] == "monitor" }.map(Monitor.init)
    }
  }

  struct Monitor {
    var element: XMLElement
    /// Seconds; 0 is a probe.
    var interval: Int { element["interval"].flatMap(seconds) ?? 0 }
    /// Promoted, Unpromoted, Started, …; nil when there is none.
    var role: String? {
      switch element["role"] {
      case "Master": "Promoted"
      case "Slave": "Unpromoted"
      case let other: other
      }
    }
    var level: Int { Int(value("OCF_CHECK_LEVEL", in: [element], "instance_attributes") ?? element["OCF_CHECK_LEVEL"] ?? "") ?? 0 }
  }

  // MARK: Settings

  func property(_ name: String) -> String? {
    value(name, in: configuration.first("crm_config").map { [$0] } ?? [], "cluster_property_set")
  }
  /// What applies to a resource, with the defaults for all.
  func meta(_ name: String, of primitive: Primitive) -> String? {
    primitive.ownMeta(name) ?? configuration.first("rsc_defaults").flatMap { value(name, in: [$0], "meta_attributes") }
  }
  /// Of every resource that does not say it.
  func resourceDefault(_ name: String) -> String? { configuration.first("rsc_defaults").flatMap { value(name, in: [$0], "meta_attributes") } }
  /// What somebody has set for a node, until it is taken back.
  func setting(_ name: String, of node: String) -> String? {
    configuration.first("nodes")?.children(named: "node").first { $0["uname"] == node }.flatMap { value(name, in: [$0], "instance_attributes") }
  }
  /// Of every operation that does not say it.
  func operationDefault(_ name: String) -> String? { configuration.first("op_defaults").flatMap { value(name, in: [$0], "meta_attributes") } }
  var isFencingEnabled: Bool { !isFalse(property("stonith-enabled")) }
  var isInMaintenance: Bool { isTrue(property("maintenance-mode")) }
  var nodes: [String] { configuration.first("nodes")?.children(named: "node").compactMap { $0["uname"] } ?? [] }

  // MARK: Resources

  func own(_ agent: String) -> [Primitive] { primitives.filter { $0.own == agent } }

  /// The address that clients dial; nil without a vip resource.
  var gatewayAddress: IPAddress? { (balancer?.parameter("address") ?? service.first { $0.own == "vip" }?.parameter("ip")).flatMap { IPAddress($0) } }

  /// What hands clients out to gateways that all serve: then it is the director that is lost and taken over.
  var balancer: Primitive? { own("balancer").first(where: \.isPromotable) }
  /// What each node serves with; where one serves for all, that is the service.
  var gateways: [Primitive] { balancer == nil ? [] : primitives.filter { Self.serving.contains($0.own ?? "") } }
  private static let serving = ["vip", "strongswan", "libreswan", "xl2tpd"]

  /// What has to be in one place for the VPN to be served: the address, and the daemons that go with it. Of several such, the one that
  /// `top` names.
  var service: [Primitive] {
    if let balancer { return [balancer] }
    let members = primitives.filter { Self.serving.contains($0.own ?? "") }
    // Several addresses: the one that stands beside most daemons.
    let tops = own("vip").map(\.top)
    guard let top = top ?? tops.max(by: { a, b in members.count { $0.top == a } < members.count { $0.top == b } }) else { return members }
    let together = members.filter { $0.top == top }
    guard together.contains(where: { $0.own != "vip" }) else { return members }
    // And a daemon that several addresses have in common.
    return together + members.filter { one in !tops.contains(one.top) && !together.contains { $0.own == one.own } }
  }

  /// The outermost name of the address that is looked at; nil: the one beside most daemons.
  var top: String?

  /// The same for each address that has daemons of its own; one where no more than one has.
  var services: [ClusterConfiguration] {
    var tops: [String] = []
    for one in own("xl2tpd") where !tops.contains(one.top) && own("vip").contains(where: { $0.top == one.top }) { tops.append(one.top) }
    return tops.count < 2 ? [self] : tops.map { looking(atTop: $0) }
  }

  /// Of several addresses the one that is meant; the same where there is one.
  ///
  /// - Throws: `EINVAL` when it is not clear which; `EOPNOTSUPP` where every node serves.
  func looking(at address: String?) throws(SystemError) -> ClusterConfiguration {
    if let balancer {
      throw SystemError(
        "looking for the node that serves", .notSupported,
        detail: "every gateway does: attrd_updater -n vpnha-drain-\(balancer.id) -U 1 -N NODE has one get no new clients, and pcs resource move \(balancer.top) NODE --promoted moves what hands them out")
    }
    let all = services
    let names = all.compactMap(\.gatewayAddress).map(\.description).joined(separator: " and ")
    guard let address else {
      guard all.count < 2 else { throw SystemError("looking for the address", .invalidArgument, detail: "there are \(names): --address names one") }
      return self
    }
    guard let one = all.first(where: { $0.gatewayAddress == IPAddress(address) }) else { throw SystemError("looking for \(address)", .noSuchFile, detail: "the cluster has \(names)") }
    return one
  }

  func looking(atTop top: String?) -> ClusterConfiguration {
    var copy = self
    copy.top = top
    return copy
  }

  /// Each way to end `node`, as far as the configuration says: the fence devices that it takes, all of them.
  func waysToFence(_ node: String) -> [[Primitive]] {
    let able = primitives.filter { device in
      guard device.isFence else { return false }
      let list = device.parameter("pcmk_host_list")
      let map = device.parameter("pcmk_host_map")
      // Without either the device itself is asked.
      guard list != nil || map != nil else { return true }
      return Self.words(list).contains { $0 == node } || Self.words(map).contains { $0.split(separator: ":").first.map { $0 == node } ?? false }
    }
    // Where a node has levels, no other device is tried.
    let levels = fencingLevels(of: node)
    guard !levels.isEmpty else { return able.map { [$0] } }
    return levels.compactMap { level in
      let names = (level["devices"] ?? "").split(separator: ",")
      let devices = names.compactMap { name in able.first { $0.id == name } }
      return devices.count == names.count && !devices.isEmpty ? devices : nil
    }
  }

  /// Fence devices that end `node`, together or alone.
  func fences(_ node: String) -> [Primitive] { waysToFence(node).flatMap { $0 } }

  /// That nothing ends `node`.
  func unfenced(_ node: String, _ what: String = "") -> Finding {
    let levels = fencingLevels(of: node)
    guard levels.isEmpty else {
      let fix = levels.map { level in
        let attribute = "attrib%\(level["target-attribute"] ?? "")=\(level["target-value"] ?? "")"
        return "pcs stonith level clear target \(level["target"] ?? "'\(level["target-pattern"].map { "regexp%\($0)" } ?? attribute)'")"
      }.reduce(into: [String]()) { all, one in if !all.contains(one) { all.append(one) } }
      return Finding(.FENCE2, .bad, "the fencing levels of \(node) name no device that ends it\(what)", fix: fix, at: node)
    }
    return Finding(.FENCE2, .bad, "no fence device ends \(node)\(what)", fix: ["pcs stonith create fence-\(node) AGENT … pcmk_host_list=\(node)"], at: node)
  }

  private func fencingLevels(of node: String) -> [XMLElement] {
    configuration.first("fencing-topology")?.children(named: "fencing-level").filter { isMeant(node, by: $0) } ?? []
  }

  /// Whether a fencing level names the node, by itself, by a pattern, or by an attribute that the node keeps.
  func isMeant(_ node: String, by level: XMLElement) -> Bool {
    if let target = level["target"] { return target == node }
    if let pattern = level["target-pattern"] {
      do { return try node.contains(Regex(pattern)) } catch { return false }
    }
    guard let name = level["target-attribute"], let value = keptAttributes(of: node)[name] else { return false }
    return value == level["target-value"]
  }

  /// A node that is lost ends itself by its watchdog, with no fence device.
  var isFencedByWatchdog: Bool {
    guard isTrue(property("have-watchdog")), let timeout = property("stonith-watchdog-timeout") else { return false }
    return timeout.hasPrefix("-") || (seconds(timeout) ?? 0) > 0
  }

  /// Seconds that a device waits for by itself before it ends `node`, at most.
  func delay(of device: Primitive, ending node: String) -> Int {
    func its(_ name: String) -> Int {
      let text = device.parameter(name) ?? ""
      // `5s`, or `moon:5s;sun:0`.
      guard text.contains(":") else { return seconds(text) ?? 0 }
      return Self.words(text).first { $0.hasPrefix("\(node):") }.flatMap { seconds(String($0.dropFirst(node.count + 1))) } ?? 0
    }
    return max(its("pcmk_delay_base"), its("pcmk_delay_max"))
  }

  /// A delay that makes every take-over long.
  static let longDelay = 10
  /// What the quickest way to end `node` waits for; nil: nothing that matters.
  func longDelay(before node: String) -> Finding? {
    let ways = waysToFence(node).map { devices in devices.map { (device: $0, delay: delay(of: $0, ending: node)) }.max { $0.delay < $1.delay } }
    guard let quickest = ways.compactMap({ $0 }).min(by: { $0.delay < $1.delay }), quickest.delay >= Self.longDelay else { return nil }
    let device = quickest.device
    return Finding(
      .DELAY1, .risk, "\(device.id) waits \(quickest.delay) s before it ends \(node), and nothing is taken over until then",
      fix: ["pcs stonith update \(device.id)\(["pcmk_delay_base", "pcmk_delay_max"].filter { device.parameter($0) != nil }.map { " \($0)=" }.joined())"], at: device.id)
  }

  /// Where every way to end `node` is given up before its delay is over, by a limit that somebody has set; nil where one is not.
  func givenUp(before node: String) -> Finding? {
    // Pacemaker waits so long for a node that has more of what has a priority.
    let hasPriority = services.flatMap(\.service).contains { OCFScore.read(meta("priority", of: $0)) ?? 0 > 0 }
    let headStart = hasPriority ? property("priority-fencing-delay").flatMap(seconds) ?? 0 : 0
    let own = property("stonith-action") == "off" ? "pcmk_off_timeout" : "pcmk_reboot_timeout"
    func late(_ device: Primitive) -> Finding? {
      let delay = delay(of: device, ending: node) + headStart
      guard delay > 0, let limit = (device.parameter(own) ?? property("stonith-timeout")).flatMap(seconds), limit <= delay else { return nil }
      let fix = device.parameter(own) != nil ? "pcs stonith update \(device.id) \(own)=" : "pcs property set stonith-timeout=\(max(60, 2 * delay))s"
      return Finding(.FENCE3, .bad, "\(device.id) is given \(limit) s to end \(node), and waits \(delay) s before it begins", fix: [fix], at: device.id)
    }
    let ways = waysToFence(node).map { devices in devices.lazy.compactMap(late).first }
    return ways.contains { $0 == nil } ? nil : ways.first ?? nil
  }

  /// A device that would end `node` by the plug of another one, as far as its map shows: one that has the name of another node, or that two nodes share.
  func wrongPlug(of node: String) -> Finding? {
    for device in fences(node) {
      let map = Self.words(device.parameter("pcmk_host_map")).compactMap { entry -> (node: String, plugs: [Substring])? in
        guard let colon = entry.firstIndex(of: ":") else { return nil }
        return (String(entry[..<colon]), entry[entry.index(after: colon)...].split(separator: "+"))
      }
      guard let plugs = map.first(where: { $0.node == node })?.plugs else { continue }
      if let other = nodes.first(where: { other in other != node && plugs.contains { $0 == other } }) {
        let names = map.map(\.node)
        let hasNames = map.allSatisfy { entry in entry.plugs.allSatisfy { nodes.contains(String($0)) } }
        return Finding(
          .FENCE3, .bad, "\(device.id) ends \(node) by the plug \(other), which has the name of another node: what is left would end itself",
          fix: [hasNames ? "pcs stonith update \(device.id) pcmk_host_map= pcmk_host_list=\(names.joined(separator: ","))" : "pcs stonith update \(device.id) pcmk_host_map=…"], at: device.id)
      }
      if let other = map.first(where: { entry in entry.node != node && entry.plugs.contains { plugs.contains($0) } }) {
        return Finding(.FENCE3, .bad, "\(device.id) ends \(node) and \(other.node) by the same plug", fix: ["pcs stonith update \(device.id) pcmk_host_map=…"], at: device.id)
      }
    }
    return nil
  }

  private static func words(_ list: String?) -> [Substring] { (list ?? "").split { $0 == " " || $0 == "," || $0 == ";" } }

  func constraints(_ kind: String) -> [XMLElement] { configuration.first("constraints")?.children(named: kind) ?? [] }

  // MARK: History

  private func state(of node: String) -> XMLElement? {
    cib.first("status")?.children(named: "node_state").first { $0["uname"] == node }
  }

  /// The attributes that agents and the cluster keep for a node until it restarts.
  func attributes(of node: String) -> [String: String] {
    let pairs = state(of: node)?.first("transient_attributes")?.children(named: "instance_attributes").flatMap { $0.children(named: "nvpair") } ?? []
    return Dictionary(pairs.map { ($0["name"] ?? "", $0["value"] ?? "") }) { first, _ in first }
  }

  /// What an operator has written down for a node; it outlives the node's restarts.
  private func keptAttributes(of node: String) -> [String: String] {
    let element = configuration.first("nodes")?.children(named: "node").first { $0["uname"] == node }
    let pairs = element?.children(named: "instance_attributes").flatMap { $0.children(named: "nvpair") } ?? []
    return Dictionary(pairs.map { ($0["name"] ?? "", $0["value"] ?? "") }) { first, _ in first }
  }

  /// A node that its health (attributes `#health…`) keeps everything off.
  func illness(of node: String) -> Finding? {
    let strategy = property("node-health-strategy") ?? "none"
    guard strategy != "none" else { return nil }
    func ill(_ attributes: [String: String]) -> [(name: String, value: String)] {
      attributes.filter { $0.key.hasPrefix("#health") && (strategy == "only-green" ? $0.value != "green" : $0.value == "red") }
        .map { ($0.key, $0.value) }.sorted { $0.name < $1.name }
    }
    let (told, kept) = (ill(attributes(of: node)), ill(keptAttributes(of: node)))
    guard !(told + kept).isEmpty else { return nil }
    let fix = told.map { "attrd_updater --node \(node) --name '\($0.name)' --delete    # when its cause is mended" } + kept.map { "crm_attribute --node \(node) --name '\($0.name)' --delete" }
    let reasons = (told + kept).map { "\($0.name) \($0.value)" }.joined(separator: ", ")
    return Finding(.NODE3, .bad, "\(node) is unhealthy (\(reasons)), and node-health-strategy=\(strategy) keeps everything off it", fix: fix, at: node)
  }

  struct Failures: Equatable {
    var count: Int
    var last: Timestamp?
  }
  /// What counts against a resource on a node.
  func failures(of resource: String, on node: String) -> Failures {
    var result = Failures(count: 0, last: nil)
    for (name, value) in attributes(of: node) {
      if isAbout(name, "fail-count-", resource) {
        let count = value == "INFINITY" ? 1_000_000 : Int(value) ?? 0
        result.count = min(1_000_000, result.count + count)
      } else if isAbout(name, "last-failure-", resource), let moment = Int64(value) {
        result.last = Timestamp(seconds: max(moment, result.last?.seconds ?? 0))
      }
    }
    return result
  }

  private func isAbout(_ name: String, _ prefix: String, _ resource: String) -> Bool {
    guard name.hasPrefix(prefix) else { return false }
    return withoutInstance(String(name.dropFirst(prefix.count).prefix { $0 != "#" })) == resource
  }

  /// Those of `resources` of which Pacemaker has forgotten what they are on a node that is online, and no action since has told it. A refresh
  /// does that; what runs goes on meanwhile, and crm_mon shows it as stopped.
  func forgotten(_ resources: [String], on node: String) -> Set<String> {
    // Where probes may be left out, nothing is known of what has never been started.
    guard !isFalse(property("enable-startup-probes")), !constraints("rsc_location").contains(where: { ($0["resource-discovery"] ?? "always") != "always" }) else { return [] }
    return Set(resources).subtracting(operations(on: node).filter { $0.status != Self.pending }.map(\.resource))
  }
  /// Whether all that is remembered of a promotable resource is that it was reloaded: no monitor has said since whether it is promoted, and
  /// in maintenance mode none does. crm_mon shows it as unpromoted.
  func hasOnlyReloaded(_ resource: String, on node: String) -> Bool {
    let its = operations(on: node).filter { $0.resource == resource && $0.status != Self.pending && !$0.isFailure }
    return !its.isEmpty && its.allSatisfy { $0.task.hasPrefix("reload") }
  }
  /// Whether an action of the cluster's is on its way there, or its last one was a stop.
  func isAtWork(on resource: String, _ node: String) -> Bool {
    operations(on: node).contains { $0.resource == resource && $0.interval == 0 && !$0.isFailure && ($0.status == Self.pending || $0.task == "stop") }
  }
  /// PCMK_OCF_UNKNOWN in include/crm/common/results.h: no result yet.
  private static let pending = 193

  struct Operation {
    var node: String
    var resource: String
    var task: String
    var interval: Int
    var status: Int
    var since: Timestamp?
    var reason: String
    var isFailure: Bool
  }
  /// What was done with a resource on a node and is still remembered.
  func operations(on node: String) -> [Operation] {
    let resources = state(of: node)?.first("lrm")?.first("lrm_resources")?.children(named: "lrm_resource") ?? []
    return resources.flatMap { resource -> [Operation] in
      let id = withoutInstance(resource["id"] ?? "")
      return resource.children(named: "lrm_rsc_op").map { op in
        Operation(
          node: node, resource: id, task: op["operation"] ?? "", interval: Int(op["interval"] ?? "") ?? 0, status: Int(op["rc-code"] ?? "") ?? -1,
          since: op["last-rc-change"].flatMap { Int64($0) }.map { Timestamp(seconds: $0) }, reason: op["exit-reason"] ?? "",
          isFailure: (op["id"] ?? "").hasSuffix("_last_failure_0"))
      }
    }
  }
}

/// The first setting of that name in the sets of the first element that has one.
private func value(_ name: String, in elements: [XMLElement], _ sets: String) -> String? {
  for element in elements {
    for set in element.children(named: sets) {
      if let pair = set.children(named: "nvpair").first(where: { $0["name"] == name }) { return pair["value"] ?? "" }
    }
  }
  return nil
}

/// As Pacemaker reads a boolean (`crm_str_to_boolean`).
func isTrue(_ text: String?) -> Bool { ["true", "on", "yes", "y", "1"].contains(text?.lowercased() ?? "") }
func isFalse(_ text: String?) -> Bool { ["false", "off", "no", "n", "0"].contains(text?.lowercased() ?? "") }
/// A score of Pacemaker's; nil for anything else.
func score(_ text: String?) -> Int? {
  switch text?.uppercased() {
  case "INFINITY", "+INFINITY": 1_000_000
  case "-INFINITY": -1_000_000
  case let other: other.flatMap { Int($0) }.map { min(1_000_000, max(-1_000_000, $0)) }
  }
}
