import FirewallAgent
import LinuxHost

@main enum Main {
  static func main() { run(Firewall.self) }
}
