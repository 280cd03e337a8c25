import LinuxHost

@main enum Main {
  static func main() { run(XL2TPD.self) }
}
