import DynamicLibrary
import Glibc
import Host
import LinuxHost
import Systemd
import Testing

/// What the shims name exists in the libraries that are installed. The types come from the headers, so the compiler has
/// compared those; that header and library belong together is the distribution's promise.
@Suite struct LibraryTests {
  @Test func systemd() throws {
    _ = try SystemdLibrary()
    // Silently dropped where no journald runs (sd_journal_sendv(3)).
    try Journal().send([("MESSAGE", "vpnha test\nof two lines"), ("PRIORITY", "7"), ("VPNHA_TEST", "1")])
  }

  @Test(arguments: [
    ("libsystemd.so.0", "libsystemd0", Self.names(in: "CSystemd")),
    ("libqb.so.100", "libqb100", Self.names(in: "CQB") + ["qb_log_from_external_source"]),
    ("libxml2.so.2", "libxml2", Self.names(in: "CLibXML2") + ["xmlFree"]),
  ])
  func everyNameInTheShimsExists(_ soname: String, _ package: String, _ names: [String]) throws {
    #expect(names.count > 5)
    let library = try DynamicLibrary(soname, package: package)
    for name in names { _ = try library.address(of: name) }
  }

  @Test func whatIsMissingIsNamedWithItsPackage() throws {
    let error = #expect(throws: SystemError.self) { try DynamicLibrary("libnonsense.so.1", package: "libnonsense1") }
    #expect(error?.description.hasPrefix("opening libnonsense.so.1: libnonsense.so.1: cannot open shared object file") == true)
    #expect(error?.description.hasSuffix("(package libnonsense1) (ENOENT)") == true)
    let library = try DynamicLibrary("libsystemd.so.0", package: "libsystemd0")
    let missing = #expect(throws: SystemError.self) { try library.address(of: "sd_nonsense") }
    #expect(missing?.errno == .notImplemented)
    #expect(missing?.description.contains("sd_nonsense in libsystemd.so.0") == true)
  }

  /// This program has everything inside that an agent has.
  @Test(.enabled(if: LinuxFiles().isExecutable("/usr/bin/readelf"), "readelf is not installed"))
  func noneIsLinked() throws {
    let result = try LinuxProcesses().run(
      Command("/usr/bin/readelf", ["-d", "/proc/\(getpid())/exe"]), before: LinuxClock().now + .seconds(20))
    let needed = String(decoding: result.output, as: UTF8.self).split(separator: "\n").filter { $0.contains("(NEEDED)") }
    #expect(needed.contains { $0.contains("[libc.so.6]") })
    #expect(needed.filter { $0.contains("[libxml2") || $0.contains("[libsystemd") || $0.contains("[libqb") } == [])
  }

  /// The functions whose types a shim declares: `typedef __typeof__(&NAME) …`.
  static func names(in module: String) -> [String] {
    let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    do {
      let text = String(decoding: try shim("/\(root)/Sources/\(module)/shim.h"), as: UTF8.self)
      return text.split(separator: "\n").filter { $0.hasPrefix("typedef __typeof__(&") }.compactMap { line in
        line.split(separator: "&").last?.split(separator: ")").first.map(String.init)
      }
    } catch {
      return []
    }
  }
}

private func shim(_ path: String) throws -> [UInt8] { try LinuxFiles().read(path, limit: 1 << 20) ?? [] }
