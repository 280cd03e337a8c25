import Host
import OCF
import OCFMetadata

/// Where everything is at one moment: what `crm_mon --output-as=xml` prints, or the last part of what `crm_simulate` does.
struct ClusterMonitor: Equatable {
  struct Node: Equatable {
    var name: String
    var isOnline = false
    var isStandby = false
    var isInMaintenance = false
    var isPending = false
    var isUnclean = false
    var isShuttingDown = false
  }

  struct Instance: Equatable {
    var id: String
    var node: String?
    var role: ClusterResource.Role
    var isFailed: Bool
    var isBlocked: Bool
    var isManaged: Bool
  }

  var nodes: [Node]
  var instances: [Instance]
  /// Bans in force: constraint, resource, node.
  var bans: [Ban]
  /// What Pacemaker has forgotten and asks again: resource and node.
  var forgotten: [Forgotten] = []
  /// What the fencer remembers, as long as it runs on some node.
  var fencings: [Fencing] = []
  var hasQuorum: Bool
  var dc: String?

  struct Ban: Equatable {
    var id: String
    var resource: String
    var node: String
    var isPromotedOnly: Bool
  }

  /// A node that was ended, or was to be.
  struct Fencing: Equatable {
    var node: String
    /// off, reboot.
    var action: String
    /// success, failed, pending.
    var result: String
    /// Nil while it is pending.
    var ended: Timestamp?
  }

  struct Forgotten: Equatable {
    var resource: String
    var node: String
  }

  /// - Parameter section: the element with the nodes and the resources; nil: the outermost one.
  /// - Throws: `EBADMSG` when it is not what those programs print.
  init(_ xml: [UInt8], section: String? = nil) throws(SystemError) {
    let root = try XMLDocument(xml)?.root
    let found = section.map { name in root?.all(named: name).first } ?? root
    // A cluster without any resource has no element for them.
    guard let element = found, let nodes = element.first("nodes") else {
      throw SystemError("reading the cluster's state", .badMessage, detail: "it is not what crm_mon prints")
    }
    self.nodes = nodes.children(named: "node").filter { $0["type"] != "remote" || $0["online"] == "true" }.map { node in
      Node(
        name: node["name"] ?? "", isOnline: node["online"] == "true", isStandby: node["standby"] == "true",
        isInMaintenance: node["maintenance"] == "true", isPending: node["pending"] == "true", isUnclean: node["unclean"] == "true",
        isShuttingDown: node["shutdown"] == "true")
    }
    instances = (element.first("resources")?.all(named: "resource") ?? []).flatMap { resource -> [Instance] in
      func instance(on node: String?) -> Instance {
        Instance(
          id: withoutInstance(resource["id"] ?? ""), node: node,
          role: node == nil ? .stopped : ClusterResource.Role(pacemaker: resource["role"] ?? ""), isFailed: resource["failed"] == "true",
          isBlocked: resource["blocked"] == "true", isManaged: resource["managed"] != "false")
      }
      let places = resource.children(named: "node").compactMap { $0["name"] }
      return places.isEmpty ? [instance(on: nil)] : places.map(instance)
    }
    bans =
      element.first("bans")?.children(named: "ban").map { ban in
        Ban(
          id: ban["id"] ?? "", resource: ban["resource"] ?? "", node: ban["node"] ?? "",
          isPromotedOnly: ban["promoted-only"] == "true" || ban["master_only"] == "true")
      } ?? []
    fencings =
      root?.first("fence_history")?.children(named: "fence_event").filter { ["off", "reboot"].contains($0["action"]) }.map { event in
        Fencing(node: event["target"] ?? "", action: event["action"] ?? "", result: event["status"] ?? "", ended: event["completed"].flatMap { Timestamp(fencer: $0) })
      } ?? []
    let dc = root?.first("summary")?.first("current_dc")
    hasQuorum = dc?["with_quorum"] != "false"
    self.dc = dc?["name"]
  }

  /// Finds what Pacemaker has forgotten of `members`. What is seen of it on this node stands in its place.
  mutating func recall(_ members: [ClusterConfiguration.Primitive], of configuration: ClusterConfiguration, _ looks: Looks?) {
    for node in nodes where node.isOnline && !node.isPending {
      let lost = configuration.forgotten(members.map(\.id), on: node.name)
      for member in members where lost.contains(member.id) || (member.isPromotable && configuration.hasOnlyReloaded(member.id, on: node.name)) {
        forgotten.append(Forgotten(resource: member.id, node: node.name))
        guard let role = looks?.state(of: member.id, on: node.name).flatMap({ ClusterResource.Role($0, isPromotable: member.isPromotable) }) else { continue }
        instances.removeAll { $0.id == member.id && ($0.node == node.name || $0.node == nil) }
        instances.append(Instance(id: member.id, node: node.name, role: role, isFailed: false, isBlocked: false, isManaged: true))
      }
    }
  }

  /// On the node, or on any.
  func isForgotten(_ resource: String, on node: String? = nil) -> Bool { forgotten.contains { $0.resource == resource && (node == nil || $0.node == node) } }
  func node(_ name: String) -> Node? { nodes.first { $0.name == name } }
  func instance(_ resource: String, on node: String) -> Instance? { instances.first { $0.id == resource && $0.node == node } }
  func role(_ resource: String, on node: String) -> ClusterResource.Role { instance(resource, on: node)?.role ?? .stopped }

  /// The node on which all of `members` do what serving takes; nil when there is none.
  func serving(_ members: [ClusterConfiguration.Primitive]) -> String? {
    guard !members.isEmpty else { return nil }
    return nodes.map(\.name).first { node in members.allSatisfy { role($0.id, on: node) == $0.servingRole } }
  }
}

extension ClusterResource.Role {
  /// What is seen of a resource; nil: it works as nothing.
  init?(_ state: ResourceState, isPromotable: Bool) {
    switch state {
    case .promoted, .atRisk(_, promoted: true): self = .promoted
    case .running, .atRisk(_, promoted: false): self = isPromotable ? .unpromoted : .started
    case .stopped, .failed: return nil
    }
  }
}

extension ClusterConfiguration.Primitive {
  var servingRole: ClusterResource.Role { isPromotable ? .promoted : .started }
}
