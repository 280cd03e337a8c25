import AnnounceAgent
import BalancerAgent
import ConntrackdAgent
import FirewallAgent
import Host
import LibreswanAgent
import OCF
import SessionsAgent
import StrongSwanAgent
import VIPAgent
import XL2TPDAgent

/// A deep monitor of the members on this node, now: the cluster's own was up to a minute ago. By hand it changes nothing and
/// tells the cluster nothing.
struct LocalLook {
  var host: Host
  /// The cluster's name for this node.
  var node: String?
  /// For each of them.
  static let patience = Duration.seconds(3)

  /// What is there; nil where this program cannot tell: another agent's, or one whose parameters depend on rules.
  func state(of resource: ClusterConfiguration.Primitive) -> ResourceState? { ask(resource, .monitor) }

  /// What a start would come to, as `validate-all` says it.
  func foreseen(of resource: ClusterConfiguration.Primitive) -> ResourceState? { ask(resource, .validateAll) }

  private func ask(_ resource: ClusterConfiguration.Primitive, _ action: Action) -> ResourceState? {
    guard let own = resource.own, let parameters = resource.parameters else { return nil }
    var environment = [
      "OCF_RESOURCE_TYPE": own, "OCF_RESOURCE_INSTANCE": resource.id, "OCF_CHECK_LEVEL": "10", "VPNHA_RUN": node ?? "1",
      "OCF_RESKEY_CRM_meta_timeout": "\(Self.patience.milliseconds)", "OCF_RESKEY_CRM_meta_interval": "60000",
    ]
    if resource.isPromotable { environment["OCF_RESKEY_CRM_meta_promoted_max"] = "1" }
    for (name, value) in parameters { environment["OCF_RESKEY_\(name)"] = value }
    let request = Request(arguments: [own, action.rawValue], environment: environment)
    switch own {
    case "vip": return state(VirtualIP.self, request)
    case "strongswan": return state(StrongSwan.self, request)
    case "xl2tpd": return state(XL2TPD.self, request)
    case "conntrackd": return state(Conntrackd.self, request)
    case "firewall": return state(Firewall.self, request)
    case "balancer": return state(Balancer.self, request)
    case "announce": return state(RouteAnnouncement.self, request)
    case "sessions": return state(SessionLedger.self, request)
    case "libreswan": return state(Libreswan.self, request)
    default: return nil
    }
  }

  private func state<Agent: ResourceAgent>(_: Agent.Type, _ request: Request) -> ResourceState? {
    let loaded = Agent.loaded(from: request)
    guard loaded.problems.isEmpty else { return nil }
    let call = Call(host: host, request: request, deadline: request.deadline(from: host.clock.now))
    do throws(OCFError) {
      guard request.action == .validateAll else { return try loaded.agent.observe(call) }
      try loaded.agent.checkNode(call)
      return .working(promoted: false, try loaded.agent.foreseen(call))
    } catch { return .failed(error.reason) }
  }
}
