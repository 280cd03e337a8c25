import LinuxHost
import ProbeAgent

@main enum Main {
  static func main() { run(PathProbe.self) }
}
