import BalancerAgent
import LinuxHost

@main enum Main {
  static func main() { run(Balancer.self) }
}
