import ArgumentParser
import Glibc
import Host
import OCF

@main
struct Operator: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "vpnha",
    abstract: "Operate the resource agents of a highly available L2TP/IPsec gateway.",
    version: agentVersion,
    subcommands: [
      StatusCommand.self, DoctorCommand.self, ExplainCommand.self,
      CheckCommand.self,
      PlanCommand.self,
      RecipeCommand.self,
      SwitchoverCommand.self,
      DrainCommand.self,
      DrillCommand.self, AskCommand.self,
      SessionsCommand.self,
      HistoryCommand.self,
      FingerprintCommand.self,
      ReportCommand.self,
      MetricsCommand.self,
      KeyCommand.self,
      RunCommand.self, MetadataCommand.self, ActiveCommand.self,
    ])

  /// As ArgumentParser's, but for what a complaint repeats of the words it was given: they steer no terminal, and fill no log.
  static func main() {
    if let complaint = unknownVerb(Array(CommandLine.arguments.dropFirst())) {
      let text = Array("Error: \(complaint)\n".utf8)
      _ = write(2, text, text.count)
      exit(withError: ExitCode.validationFailure)
    }
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch  where exitCode(for: error) == .validationFailure {
      let lines = fullMessage(for: error).split(separator: "\n", omittingEmptySubsequences: false).map { String($0.prefix(1000)).plain + "\n" }
      let text = Array(lines.joined().utf8)
      _ = write(2, text, text.count)
      exit(withError: ExitCode.validationFailure)
    } catch { exit(withError: error) }
  }

  /// ArgumentParser answers `VERB --help` of a verb that there is not with the list of all of them, as if that had been asked for.
  static func unknownVerb(_ words: [String]) -> String? {
    let rest = words.first == "help" ? words.dropFirst() : words[...]
    guard let word = rest.first, !word.hasPrefix("-") else { return nil }
    let known = configuration.subcommands.map { $0.configuration.commandName ?? "" } + ["help"]
    let verbs = configuration.subcommands.filter { $0.configuration.shouldDisplay }.map { $0.configuration.commandName ?? "" }
    guard !known.contains(word) else { return nil }
    let shown = String(word.prefix(40))
    let hint = nearest(to: shown, among: verbs).map { "did you mean vpnha \($0)?" } ?? "vpnha --help lists what there is"
    return "there is no vpnha \(shown.plain); \(hint)"
  }
}
