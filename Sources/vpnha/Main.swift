import ArgumentParser

@main
struct Operator: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "vpnha",
    abstract: "Operate the resource agents of a highly available L2TP/IPsec gateway.",
    subcommands: [RunCommand.self, SessionsCommand.self, MetadataCommand.self])
}
