import Glibc
import Host
import LinuxHost
import Testing

/// A story on this machine, and one on two nodes of a real cluster in namespaces of it (`cluster-pair`).
enum Story {
  static let folder = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")

  static func isHere(_ programs: String...) -> Bool { programs.allSatisfy { access($0, X_OK) == 0 } }
  static let hasCluster = isHere("/usr/sbin/corosync", "/usr/sbin/pacemakerd", "/usr/sbin/pcs", "/usr/sbin/nft")

  /// The build folder: this test's program lies in it, and the agents.
  static var agents: String {
    get throws {
      let program = try #require(realpath("/proc/self/exe", nil))
      defer { free(program) }
      return String(cString: program).split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
    }
  }

  static func play(_ program: String, _ arguments: [String], seconds: Int) throws -> (succeeded: Bool, output: String) {
    let result = try LinuxProcesses().run(
      Command(program, arguments, outputLimit: 1 << 20), before: LinuxClock().now + .seconds(seconds))
    return (result.succeeded, String(decoding: result.output + result.error, as: UTF8.self))
  }

  static func onCluster(_ story: String, seconds: Int = 240) throws -> (succeeded: Bool, output: String) {
    try play("\(folder)/cluster-pair", [try agents, story], seconds: seconds)
  }
}
