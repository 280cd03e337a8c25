import ArgumentParser
import Glibc
import Host
import LinuxHost

struct MetadataCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "metadata",
    abstract: "Compare the agents' meta-data with the recorded files, or record it anew.",
    discussion: """
      The files are what people review and what the agents are held to. --write records what the agents say, and fails \
      when that changed something, so that nothing is blessed unseen.
      """,
    // For those who change an agent.
    shouldDisplay: false)

  enum Mode: String, EnumerableFlag {
    case check, write, man
  }

  @Flag(help: "Compare (the default), record, or print manual pages.")
  var mode = Mode.check
  @Option(help: ArgumentHelp("Where the files are.", valueName: "folder"))
  var folder = "metadata"
  @Option(help: ArgumentHelp("Where the agents are, in place of where they belong to this program.", valueName: "folder"))
  var agents: String?
  @Argument(help: "Which agents. (default: all)")
  var names: [String] = []

  func validate() throws {
    for name in names where !AgentFolder.agents.contains(name) { throw ValidationError(AgentFolder.unknown(name)) }
  }

  func run() throws {
    let programs = agents.map(AgentFolder.init(path:)) ?? .ofThisProgram
    let all = try (names.isEmpty ? AgentFolder.agents : names).map { ($0, try metaData(of: programs.program($0))) }
    if mode == .man {
      for (_, said) in all { print(ManualPage(agent: try AgentDescription(xml: said)).roff, terminator: "") }
      return
    }
    var differs = false
    for (name, said) in all {
      let path = "\(folder)/\(name).xml"
      let recorded = try LinuxFiles().read(path, limit: 1_048_576)
      if recorded == said {
        print("\(path): as the agent says")
        continue
      }
      differs = true
      if mode == .write {
        try LinuxFiles().replace(path, with: said, mode: 0o644)
        print("\(path): recorded; review the difference")
      } else {
        print("\(path): \(firstDifference(recorded, said))")
      }
    }
    if differs { throw ExitCode(1) }
  }
}

/// What an agent answers to `meta-data`.
func metaData(of program: String) throws -> [UInt8] {
  let command = Command(program, ["meta-data"], outputLimit: 1_048_576)
  let result = try LinuxProcesses().run(command, before: LinuxClock().now + .seconds(20))
  guard result.succeeded else {
    throw SystemError("asking \(program) for its meta-data", .io, detail: String(decoding: result.error, as: UTF8.self))
  }
  return result.output
}

/// Where two texts part, for a reader.
func firstDifference(_ recorded: [UInt8]?, _ said: [UInt8]) -> String {
  guard let recorded else { return "is not there" }
  func lines(_ bytes: [UInt8]) -> [Substring] {
    String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
  }
  let (before, now) = (lines(recorded), lines(said))
  let line = zip(before, now).prefix { $0 == $1 }.count
  func text(_ lines: [Substring]) -> String { line < lines.count ? lines[line].trimmingPrefix { $0 == " " }.description : "(the end)" }
  return "line \(line + 1) is\n  \(text(before))\nbut the agent says\n  \(text(now))"
}
