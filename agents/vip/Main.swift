import LinuxHost
import VIPAgent

@main enum Main {
  static func main() { run(VirtualIP.self) }
}
