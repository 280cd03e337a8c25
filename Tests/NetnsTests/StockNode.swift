import Glibc
import Host
import LinuxHost
import Testing

/// Debian 12's stock kernel under QEMU, for what needs nftables and ESP in one kernel. It is booted once, for all tests.
enum StockNode {
  static let isHere = getenv("VPNHA_STOCK_NODE") != nil

  /// Runs `body` here if the kernel has what it takes; else asks for what became of the test of this name on the node.
  static func orHere(_ name: String, _ body: () throws -> Void) throws {
    do {
      try body()
    } catch let missing as MissingFeature where !isHere {
      if let obstacle { try Test.cancel("\(missing.what), and the stock kernel cannot be had: \(obstacle)") }
      let output = try report.get()
      #expect(output.contains("Test \"\(name)\" passed"), "\(missing.what); on the node: \(output)")
    }
  }

  private static let folder: String = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
  private static let kernel = "\(folder)/../../build/kernel"

  private static let obstacle: String? =
    if access("/usr/bin/qemu-system-x86_64", X_OK) != 0 {
      "/usr/bin/qemu-system-x86_64 is missing"
    } else if access(
      "\(kernel)/lib/modules", R_OK) != 0
    { "build/kernel is missing: make deps" } else { nil }

  private static let report: Result<String, any Error> = Result {
    let program = try #require(realpath("/proc/self/exe", nil))
    defer { free(program) }
    let command = Command(
      "\(folder)/stock-node", [kernel, String(cString: program), "NetnsTests.FirewallTests/(inside|exempt)"], outputLimit: 1 << 20)
    let result = try LinuxProcesses().run(command, before: LinuxClock().now + .seconds(300))
    return String(decoding: result.output, as: UTF8.self)
  }
}
