import LinuxHost

@main enum Main {
  static func main() { run(VirtualIP.self) }
}
