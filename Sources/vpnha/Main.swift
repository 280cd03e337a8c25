import ArgumentParser
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
}
