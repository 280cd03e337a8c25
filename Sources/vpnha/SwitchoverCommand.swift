import ArgumentParser
import Host
import LinuxHost

struct SwitchoverCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "switchover",
    abstract: "Move the service to the other node, and say how long nobody served.",
    discussion: """
      Looks first whether the other node could serve, and does nothing if it could not. Without --yes it only says what it would \
      do. With --yes it moves the service, waits until the other node serves, and takes back the constraint that the move needs; \
      that ends by itself after ten minutes if this program is killed. If nobody serves for too long, the move is taken back.

      Exits with 0 when the other node serves (without --yes: could serve), 1 when it does and is at risk or took too long, 2 when \
      it does not, 3 when that could not be found out.
      """)

  @Option(help: ArgumentHelp("The node that is to serve. (default: the one that Pacemaker would choose)", valueName: "node"))
  var to: String?
  @Option(help: ArgumentHelp("Of several addresses of the cluster, the one that moves.", valueName: "address"))
  var address: String?
  @Option(defaultAsFlag: "10min", help: ArgumentHelp("Take no new clients first, and wait until all have left, for so long at most.", valueName: "time"))
  var drain: String?
  @Flag(help: "Do it.")
  var yes = false
  @Option(help: ArgumentHelp("Seconds without service after which the move is taken back.", valueName: "seconds"))
  var maxOutage = 15
  @Option(help: ArgumentHelp("What \"ping -D -i 0.2\" writes on a client meanwhile.", valueName: "file"))
  var client: String?
  @Option(help: ArgumentHelp("Write a report in Markdown.", valueName: "file"))
  var report: String?
  @Flag(help: "One JSON object.")
  var json = false

  private var patience: Int? { drain.flatMap(seconds) }

  func validate() throws {
    guard (1...600).contains(maxOutage) else { throw ValidationError("--max-outage: 1 to 600 seconds") }
    if let address, IPAddress(address) == nil { throw ValidationError("--address: expected an IP address, got \"\(address)\"") }
    if let drain, !(1...86_400).contains(patience ?? 0) { throw ValidationError("--drain: expected 1s to 24h, got \"\(drain)\"") }
  }

  func run() throws {
    try Rehearsal.carryOut(
      on: Host.silent, title: "switchover", limit: maxOutage, drain: patience.map { .seconds($0) }, isWanted: yes, json: json, confirmation: "--yes", client: client,
      reportFile: report, address: address
    ) { .switchover(to: to, $0) }
  }
}

extension Rehearsal.Event {
  /// To `node`, else to the one that Pacemaker would choose, else to any other one.
  static func switchover(to node: String?, _ status: ClusterStatus) -> Rehearsal.Event {
    .switchover(to: node ?? status.successor ?? status.nodes.map(\.name).first { $0 != status.serving } ?? "")
  }
}

extension PacemakerTools {
  func monitor() throws(SystemError) -> ClusterMonitor {
    try ClusterMonitor(ask("/usr/sbin/crm_mon", ["--one-shot", "--inactive", "--output-as=xml"]))
  }

  /// - Parameter lifetime: seconds after which the constraint ends by itself.
  func move(_ resource: String, to node: String, isPromoted: Bool, lifetime: Int64) throws(SystemError) {
    let end = Timestamp(seconds: clock.timestamp.seconds + lifetime)
    _ = try ask("/usr/sbin/cibadmin", Preference(resource: resource, node: node, isPromoted: isPromoted, end: end).arguments)
  }
}
