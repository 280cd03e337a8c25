import AnnounceAgent
import BalancerAgent
import ConntrackdAgent
import FirewallAgent
import LibreswanAgent
import LinuxHost
import ProbeAgent
import SessionsAgent
import StrongSwanAgent
import VIPAgent
import XL2TPDAgent

/// Every agent in one program, as the package has them: it is the one by whose name it was called. What follows a dot does not count:
/// whoever puts a script in an agent's place calls the agent `NAME.distrib`, as dpkg-divert does, or `NAME.orig`.
@main enum Main {
  static func main() {
    let name = calledBy()
    switch name {
    case "vip": run(VirtualIP.self)
    case "strongswan": run(StrongSwan.self)
    case "xl2tpd": run(XL2TPD.self)
    case "conntrackd": run(Conntrackd.self)
    case "probe": run(PathProbe.self)
    case "firewall": run(Firewall.self)
    case "sessions": run(SessionLedger.self)
    case "announce": run(RouteAnnouncement.self)
    case "libreswan": run(Libreswan.self)
    case "balancer": run(Balancer.self)
    default: runUnnamed(name)
    }
  }
}

/// Not in `main`, which belongs to the main actor: a closure there links the runtime of concurrency.
private func calledBy() -> Substring {
  let path = CommandLine.arguments.first ?? ""
  let name = path.utf8.lastIndex(of: UInt8(ascii: "/")).map { path[path.utf8.index(after: $0)...] } ?? path[...]
  return name.utf8.firstIndex(of: UInt8(ascii: ".")).map { name[..<$0] } ?? name
}
