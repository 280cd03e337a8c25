import LibreswanAgent
import LinuxHost

@main enum Main {
  static func main() { run(Libreswan.self) }
}
