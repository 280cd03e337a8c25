import Glibc
import Host
import LinuxHost
import Testing

@testable import vpnha

/// What doctor has people type about the cluster, typed by a shell's rules into pcs, on the configuration with the mistake.
@Suite struct TypedFixTests {
  /// Only a person knows what to fill in.
  static func isOpen(_ mistake: DoctorTests.Mistake) -> Bool { mistake.fix.contains("…") || mistake.fix.contains("HOST") }

  @Test(.enabled(if: geteuid() == 0 && access("/usr/sbin/pcs", X_OK) == 0, "needs root and pcs"))
  func everyMistakeInTheClusterIsMended() throws {
    let place = "/tmp/vpnha-typed-\(getpid())"
    let disk = LinuxFiles()
    defer { _ = try? LinuxProcesses().run(Command("/bin/rm", ["-r", place]), before: LinuxClock().now + .seconds(20)) }
    try disk.makeDirectory(place, mode: 0o700)
    var lines: [String] = []
    for (index, mistake) in DoctorTests.clusterMistakes.enumerated() {
      let file = "\(place)/\(index).xml"
      try disk.replace(file, with: Array(try Pair.cib(mistake.changes).utf8), mode: 0o600)
      let fixes = try DoctorTests.cluster(mistake.changes).filter { $0.id == mistake.id }.flatMap(\.fix).filter { $0.hasPrefix("pcs ") && !$0.contains("…") && !$0.contains("HOST") }
      #expect(!fixes.isEmpty || Self.isOpen(mistake), "\(mistake)")
      lines += fixes.map { "\(file)\t\($0.dropFirst(4))" }
    }
    try disk.replace("\(place)/lines", with: Array((lines.joined(separator: "\n") + "\n").utf8), mode: 0o600)
    let tests = "/" + #filePath.split(separator: "/").dropLast(2).joined(separator: "/")
    let built = try LinuxProcesses().current().executable.split(separator: "/").dropLast().joined(separator: "/")
    let typed = Command("\(tests)/BlackBoxTests/sandbox", ["/\(built)", "\(tests)/CommandTests/type-pcs", "\(place)/lines"], outputLimit: 1 << 20)
    let result = try LinuxProcesses().run(typed, before: LinuxClock().now + .seconds(240))
    let said = String(decoding: result.output + result.error, as: UTF8.self)
    #expect(result.succeeded, "\(said)")
    for (index, mistake) in DoctorTests.clusterMistakes.enumerated() where !Self.isOpen(mistake) {
      let mended = try ClusterConfiguration(try #require(try disk.read("\(place)/\(index).xml", limit: 1 << 24)))
      let left = ClusterChecks(configuration: mended, votes: CorosyncConfiguration(DoctorTests.corosync)).findings()
      #expect(left.filter { $0.severity != .note || $0.id == mistake.id } == [], "\(mistake)")
    }
  }
}
