import LinuxHost
import StrongSwanAgent

@main enum Main {
  static func main() { run(StrongSwan.self) }
}
