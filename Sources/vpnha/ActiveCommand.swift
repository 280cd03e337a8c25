import ArgumentParser
import Host
import LinuxHost

/// For the package's prerm, and so not for the operator's help.
struct ActiveCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "active", abstract: "List the resources that the agents run on this node; fail when there is one, or there may be.",
    shouldDisplay: false)

  func run() throws {
    let host = Host.silent
    var tools = ClusterTools(processes: host.processes, files: host.files, clock: host.clock)
    // A cluster that does not run here stops nothing here.
    guard try tools.isPacemakerHere() else { return }
    let view = tools.view(hostname: "")
    guard case .known(let resources, let node, _) = view else {
      if case .unknown(let why) = view { print("Pacemaker runs here and gives no answer: \(why)") }
      throw ExitCode(1)
    }
    let active = resources.filter { $0.role != .stopped }
    for resource in active { print("\(resource.id) (ocf:vpnha:\(resource.agent)): \(resource.role.rawValue) on \(node)") }
    // After a refresh crm_mon shows as stopped what runs.
    let lost = try ClusterConfiguration(PacemakerTools(host).configuration()).forgotten(resources.map(\.id), on: node)
    let forgotten = resources.filter { $0.role == .stopped && lost.contains($0.id) }
    for resource in forgotten { print("\(resource.id) (ocf:vpnha:\(resource.agent)): Pacemaker does not know whether it runs on \(node), and asks") }
    if !(active + forgotten).isEmpty { throw ExitCode(1) }
  }
}
