import LinuxHost
import XL2TPDAgent

@main enum Main {
  static func main() { run(XL2TPD.self) }
}
