/// A definition of a resource with an agent, complete enough to be typed: in the clone or group it is meant for, with the parameters
/// it cannot do without and every monitor that the agent advises for a member of it.
struct Example {
  var agent: AgentDescription

  /// What an agent needs to be told, as a gateway would.
  static let parameters = [
    "vip": "ip=203.0.113.50 cidr_netmask=24 nic=eth0",
    "strongswan": "connections=l2tp address=203.0.113.50",
    "xl2tpd": "address=203.0.113.50",
    "probe": "ping=\"203.0.113.1 203.0.113.2\" ike=198.51.100.9",
    "firewall": "address=203.0.113.50 outside=eth0 pool=10.9.0.0/24 nat=true",
    "sessions": "address=203.0.113.50",
    "announce": "prefixes=203.0.113.50",
    "balancer": "address=203.0.113.50 nic=eth0 sync_nic=eth1 servers=\"moon:203.0.113.11 sun:203.0.113.12\"",
    "libreswan": "connections=l2tp address=203.0.113.50",
  ]

  /// It needs the address that stands in front of it.
  private static func isGrouped(_ name: String) -> Bool { name == "libreswan" }

  /// What it is told of other members makes it what it is.
  private var notify: Bool { agent.name == "balancer" }
  private var isPromotable: Bool { agent.operations.contains { $0.name == "promote" } }
  private var name: String { agent.name }
  private var parameters: String { Self.parameters[name].map { " \($0)" } ?? "" }

  /// The monitors of a member: of a promotable clone those with a role.
  private var monitors: [String] {
    agent.operations.filter { $0.name == "monitor" && ($0.role != nil) == isPromotable }.map(settings)
  }

  private func settings(_ operation: AgentDescription.Operation) -> String {
    let values = [
      operation.interval.map { "interval=\($0)s" }, operation.role.map { "role=\($0)" }, "timeout=\(operation.timeout)s",
      operation.depth.map { "OCF_CHECK_LEVEL=\($0)" },
    ]
    return ([operation.name] + values.compactMap { $0 }).joined(separator: " ")
  }

  /// pcs copies the other operations from the meta-data. Where a monitor is named it copies none: all are.
  var pcs: String {
    let clone = Self.isGrouped(name) ? "--group vpn" : isPromotable ? "promotable promoted-max=1 \(notify ? "" : "clone-max=2 ")interleave=true notify=\(notify)" : "clone interleave=true"
    return
      (["pcs resource create \(name) ocf:vpnha:\(name)\(parameters)"]
      + monitors.enumerated().map { "    \($0.offset == 0 ? "op " : "   ")\($0.element)" } + ["    \(clone)"]).joined(separator: " \\\n")
  }

  /// crmsh copies no operation.
  var crm: String {
    let others = agent.operations.filter { !["monitor", "validate-all", "meta-data"].contains($0.name) && ($0.name != "notify" || notify) }
      .map { "\($0.name) interval=0 timeout=\($0.timeout)s" }
    let lines = ["primitive \(name) ocf:vpnha:\(name)" + (parameters.isEmpty ? "" : " params\(parameters)")] + (others + monitors).map { "    op \($0)" }
    if Self.isGrouped(name) { return lines.joined(separator: " \\\n") + "\ngroup vpn \(name)" }
    let meta = isPromotable ? "promotable=true promoted-max=1 \(notify ? "" : "clone-max=2 ")interleave=true notify=\(notify)" : "interleave=true"
    return lines.joined(separator: " \\\n") + "\nclone \(name)-clone \(name) meta \(meta)"
  }
}
