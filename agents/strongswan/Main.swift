import LinuxHost
import StrongSwanAgent

@main enum Main {
  static func main() {
    if Rekeying.isMeant(by: CommandLine.arguments) {
      runDetached(StrongSwan.self, for: Rekeying.limit) { agent, call in Rekeying(agent: agent, call: call).run() }
    }
    run(StrongSwan.self)
  }
}
