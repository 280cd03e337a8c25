import ArgumentParser
import Host
import LinuxHost

struct PlanCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan",
    abstract: "Say what would happen: a node is lost, its uplink, a daemon, the link between the nodes; two failures deep.",
    usage: """
      vpnha plan [all] [--json]
      vpnha plan node NODE | uplink [NODE] | daemon RESOURCE [NODE] | link
      """,
    discussion: """
      Pacemaker's own scheduler (crm_simulate) works it out on a copy of the cluster's state; nothing is done. Exits with 0 when \
      somebody serves after each failure, 1 when only a second failure ends that, 2 when one failure does, 3 when it could not \
      be worked out.
      """)

  @Argument(help: ArgumentHelp("all (the default), node, uplink, daemon or link; then which.", valueName: "word"))
  var words: [String] = []
  @Flag(help: "One JSON object.")
  var json = false

  func validate() throws {
    let kind = words.first ?? "all"
    let room = ["all": 0...0, "node": 1...1, "uplink": 0...1, "daemon": 1...2, "link": 0...0][kind]
    guard let room else { throw ValidationError("there is no \(kind); there are all, node NODE, uplink [NODE], daemon RESOURCE [NODE] and link") }
    guard words.isEmpty || room.contains(words.count - 1) else { throw ValidationError("\(kind) takes \(room.upperBound == 0 ? "nothing" : "a name"); see vpnha plan --help") }
  }

  func run() throws {
    let host = Host.silent
    var environment: [String: String] = [:]
    if let file = inheritedEnvironment()["CIB_file"] { environment["CIB_file"] = file }
    let tools = PacemakerTools(processes: host.processes, files: host.files, clock: host.clock, environment: environment, host: host)
    let plans: [Plan]
    do throws(SystemError) { plans = try Plan.all(tools, words, at: host.clock.timestamp) } catch {
      let finding = Finding(.PCMK1, .bad, "nothing can be worked out here: \(error)", fix: ["pcs cluster start", "pcs status"])
      print(json ? Plan.unknown(finding) : Verdict.unknown.line(finding.summary))
      throw ExitCode(Verdict.unknown.rawValue)
    }
    print(json ? Plan.json(plans) : plans.map(\.text).joined(separator: "\n\n"))
    throw ExitCode(plans.map(\.verdict.rawValue).max() ?? Verdict.unknown.rawValue)
  }
}
