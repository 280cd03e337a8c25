import ArgumentParser
import OCFMetadata

@main
struct Operator: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "vpnha",
    abstract: "Operate the resource agents of a highly available L2TP/IPsec gateway.",
    version: agentVersion,
    subcommands: [
      StatusCommand.self, DoctorCommand.self, ExplainCommand.self, CheckCommand.self, SwitchoverCommand.self, RunCommand.self, SessionsCommand.self, DrainCommand.self, MetricsCommand.self, MetadataCommand.self, ActiveCommand.self,
    ])
}
