import LinuxHost
import ProbeAgent

@main enum Main {
  static func main() {
    if Prober.isMeant(by: CommandLine.arguments) {
      runDetached(PathProbe.self, for: nil) { agent, call in Prober.run(agent, call) }
    }
    run(PathProbe.self)
  }
}
