import ConntrackdAgent
import LinuxHost

@main enum Main {
  static func main() { run(Conntrackd.self) }
}
