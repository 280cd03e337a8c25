import Glibc
import Host
import LinuxHost
import Testing

/// The machine's kernel lacks what a test needs.
struct MissingFeature: Error {
  var what: String
}

/// Debian 12's kernel as User-Mode Linux, where tests run for which this machine's kernel has no means. It is started once,
/// for all of them, when the first of them needs it.
enum DebianNode {
  static let isHere = getenv("VPNHA_DEBIAN_NODE") != nil

  /// Runs `body` here if the kernel has what it takes; else asks for what became of the test of this name on the node.
  static func orHere(_ name: String, _ body: () throws -> Void) throws {
    do {
      try body()
    } catch let missing as MissingFeature where !isHere {
      guard isPossible else { try Test.cancel("neither this kernel nor a lab node's: \(missing.what)") }
      let output = try report.get()
      #expect(output.contains("Test \"\(name)\" passed"), "\(missing.what); on the node: \(output)")
    }
  }

  private static let isPossible = access("/usr/bin/linux.uml", X_OK) == 0

  private static let report: Result<String, any Error> = Result {
    let folder = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
    let program = try #require(realpath("/proc/self/exe", nil))
    defer { free(program) }
    let command = Command(
      "\(folder)/debian-node", [String(cString: program), "NetnsTests.*/(withoutIPv6|vlan|bond|vrf|associations|compressed|extended|refusedCommit)"], outputLimit: 1 << 20)
    let result = try LinuxProcesses().run(command, before: LinuxClock().now + .seconds(240))
    return String(decoding: result.output, as: UTF8.self)
  }
}
