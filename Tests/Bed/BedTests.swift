import Foundation
import Testing

/// README's recipes on live clusters in namespaces, and what happens to a pair. The work is done by `bed`; its output says which
/// event did not end as it should.
@Suite(.serialized, .enabled(if: Bed.missing == nil, "\(Bed.missing ?? "")"))
struct BedTests {
  @Test("Every recipe, typed as printed, and every event: the pair serves, and is whole again by itself", .timeLimit(.minutes(30)))
  func table() throws {
    let bed = Process()
    bed.executableURL = URL(filePath: Bed.program)
    bed.arguments = ["--table", "--deb", Bed.package ?? ""]
    bed.standardInput = FileHandle.nullDevice
    try bed.run()
    bed.waitUntilExit()
    #expect(bed.terminationStatus == 0, "an event failed; the output above says which, and what was seen")
  }
}

enum Bed {
  static let package = ProcessInfo.processInfo.environment["VPNHA_DEB"]
  static let program = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "bed").path(percentEncoded: false)
  private static let needed = ["corosync", "pacemakerd", "pcs", "crm", "nft", "charon-systemd", "xl2tpd", "conntrackd"].map { "/usr/sbin/\($0)" }

  /// Why no cluster can run here; nil if one can.
  static let missing: String? =
    if geteuid() != 0 {
      "a cluster in namespaces needs root"
    } else if let absent = needed.first(where: { !FileManager.default.isExecutableFile(atPath: $0) }) {
      "\(absent) is missing"
    } else if package == nil {
      "the bed needs the built package: VPNHA_DEB names it (make test sets it)"
    } else {
      nil
    }
}
