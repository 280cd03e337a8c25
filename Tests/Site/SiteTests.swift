import Foundation
import Testing

/// The pages of docs typed on bare machines. The work is done by `site`; its output says what did not end as it should. The Ansible
/// role makes a pair of two of them in `make lab-long`.
@Suite(.serialized)
struct SiteTests {
  @Test("Users, groups and addresses of a real OpenLDAP, through a real FreeRADIUS, set up as docs/radius.md says", .enabled(if: Site.missing(["/usr/sbin/slapd", "/usr/lib/freeradius/rlm_ldap.so"]) == nil, "\(Site.missing(["/usr/sbin/slapd", "/usr/lib/freeradius/rlm_ldap.so"]) ?? "")"), .timeLimit(.minutes(10)))
  func directory() throws { try Site.tell("directory") }

  @Test("ansible-lint has no remark in its production profile", .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/ansible-lint"), "/usr/bin/ansible-lint is missing"))
  func lint() throws {
    let folder = Site.folder.appending(path: "../../Packaging/ansible").standardized
    let answer = try Site.run("/usr/bin/ansible-lint", ["--offline", "--nocolor", "--strict", "--profile", "production", "gateways.yml"], in: folder)
    #expect(answer.status == 0, "\(answer.output)")
    // It looked at the role, and not at the playbook alone.
    let files = answer.output.matches(of: /on (\d+) files/).first.flatMap { Int($0.output.1) }
    #expect((files ?? 0) >= 10, "\(answer.output)")
  }

  @Test("The Ansible role writes what the examples say, and what the page has pcs write", .enabled(if: Site.lacks(["/usr/bin/ansible-playbook", "/usr/sbin/pcs", "/usr/sbin/corosync"]) == nil, "\(Site.lacks(["/usr/bin/ansible-playbook", "/usr/sbin/pcs", "/usr/sbin/corosync"]) ?? "")"))
  func rendered() throws {
    let answer = try Site.run("/usr/bin/python3", ["rendered.py"], in: Site.folder)
    #expect(answer.status == 0, "\(answer.output)")
  }
}

enum Site {
  static let package = ProcessInfo.processInfo.environment["VPNHA_DEB"]
  static let folder = URL(filePath: #filePath).deletingLastPathComponent()

  static func lacks(_ programs: [String]) -> String? {
    programs.first { !FileManager.default.isExecutableFile(atPath: $0) }.map { "\($0) is missing" }
  }

  /// Why no machines can run here; nil if they can.
  static func missing(_ programs: [String]) -> String? {
    let needed = ["/lib/systemd/systemd", "/usr/sbin/corosync", "/usr/sbin/pacemakerd", "/usr/sbin/pcs"] + programs
    return if geteuid() != 0 {
      "machines in namespaces need root"
    } else if let absent = needed.first(where: { !FileManager.default.fileExists(atPath: $0) }) {
      "\(absent) is missing"
    } else if !((try? String(contentsOfFile: "/proc/filesystems", encoding: .utf8)) ?? "").contains("cgroup2") {
      "systemd needs cgroup2"
    } else if package == nil {
      "the site needs the built package: VPNHA_DEB names it (make test sets it)"
    } else {
      nil
    }
  }

  static func tell(_ story: String) throws {
    let site = Process()
    site.executableURL = folder.appending(path: "site")
    site.arguments = [story, "--deb", package ?? ""]
    site.standardInput = FileHandle.nullDevice
    try site.run()
    site.waitUntilExit()
    #expect(site.terminationStatus == 0, "the output above says what was seen")
  }

  static func run(_ program: String, _ arguments: [String], in folder: URL) throws -> (status: Int32, output: String) {
    let process = Process()
    let pipe = Pipe()
    process.executableURL = URL(filePath: program)
    process.arguments = arguments
    process.currentDirectoryURL = folder
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = pipe
    process.standardError = pipe
    try process.run()
    let output = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return (process.terminationStatus, String(decoding: output, as: UTF8.self))
  }
}
