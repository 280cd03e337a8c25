import Foundation
import Testing

/// Scenarios of the lab: virtual machines, a real cluster, a real client. The work is done by `lab`; a scenario passes
/// when it ends with 0. What is missing here (root, User-Mode Linux, the package) is a skip with its reason.
@Suite(.serialized, .enabled(if: LabDriver.missing == nil, "\(LabDriver.missing ?? "")"))
struct LabTests {
  @Test("Warm standby, with RADIUS: a planned switch, dead daemons, the plug pulled", .timeLimit(.minutes(15)))
  func promotable() throws {
    try LabDriver.run(
      "play", "accounted", "switchover", "dead-xl2tpd", "dead-charon", "power-cut", "accounts", "--layout", "promotable")
  }

  @Test("IPsec SAs outlive their gateway, and what a dead charon leaves is cleaned up", .timeLimit(.minutes(10)))
  func carryOver() throws {
    try LabDriver.run("carry-over")
  }

  @Test("Real L2TP sessions: dialled in, told, orphaned, suspended", .timeLimit(.minutes(10)))
  func sessions() throws {
    try LabDriver.run("sessions")
  }
}

enum LabDriver {
  /// Why no scenario can run here; nil if one can.
  static let missing: String? =
    if geteuid() != 0 {
      "the lab needs root"
    } else if !FileManager.default.isExecutableFile(atPath: "/usr/bin/linux.uml") {
      "the lab needs /usr/bin/linux.uml (package user-mode-linux)"
    } else if package == nil {
      "the lab needs the built package: VPNHA_DEB names it (make test sets it)"
    } else {
      nil
    }

  private static let package = ProcessInfo.processInfo.environment["VPNHA_DEB"]
  private static let program = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "lab").path(percentEncoded: false)

  /// Runs a scenario; its story goes to this process's own output.
  static func run(_ arguments: String...) throws {
    let lab = Process()
    lab.executableURL = URL(filePath: program)
    lab.arguments = arguments + ["--deb", package ?? ""]
    lab.standardInput = FileHandle.nullDevice
    try lab.run()
    lab.waitUntilExit()
    #expect(lab.terminationStatus == 0, "lab \(arguments.joined(separator: " ")) failed; its output says why")
  }
}
