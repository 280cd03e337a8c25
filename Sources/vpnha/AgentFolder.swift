import Host

/// Where the agents lie.
struct AgentFolder: Equatable {
  var path: String

  /// Where Pacemaker looks for them.
  static let cluster = AgentFolder(path: "/usr/lib/ocf/resource.d/vpnha")

  static let agents = ["vip", "strongswan", "xl2tpd", "conntrackd", "probe", "firewall", "sessions", "announce", "libreswan", "balancer"]

  static func unknown(_ agent: String) -> String { "no agent named \(agent); there are \(agents.joined(separator: ", "))" }

  func program(_ agent: String) -> String { "\(path)/\(agent)" }

  /// The folder that goes with a `vpnha` at `executable`: an installed one's agents lie under the same prefix, a built
  /// one's beside it.
  ///
  /// What lies beside an installed `vpnha` is never run: `/usr/sbin/xl2tpd` is the daemon.
  init(besides executable: String) {
    let folder = executable.split(separator: "/").dropLast()
    if let last = folder.last, last == "sbin" || last == "bin" {
      path = "/" + (folder.dropLast() + ["lib", "ocf", "resource.d", "vpnha"]).joined(separator: "/")
    } else {
      path = "/" + folder.joined(separator: "/")
    }
  }

  init(path: String) { self.path = path }
}
