import LinuxHost
import SessionsAgent

@main enum Main {
  static func main() { run(SessionLedger.self) }
}
