import AnnounceAgent
import LinuxHost

@main enum Main {
  static func main() { run(RouteAnnouncement.self) }
}
