import Glibc
import Host
import LinuxHost
import Testing

/// A directory of its own for a test, removed with everything in it.
final class Scratch {
  let path: String

  init() throws {
    var template = Array("/tmp/vpnha-test-XXXXXX".utf8CString)
    let made = try #require(mkdtemp(&template))
    path = String(cString: made)
  }

  deinit {
    let result = try? LinuxProcesses().run(Command("/bin/rm", ["-rf", path]), before: LinuxClock().now + .seconds(10))
    if result?.succeeded != true { Issue.record("\(path) is left behind") }
  }

  subscript(_ name: String) -> String { "\(path)/\(name)" }

  func put(_ text: String, at name: String, mode: UInt32 = 0o644) throws {
    try LinuxFiles().replace(self[name], with: Array(text.utf8), mode: mode)
  }

  /// A program. Another process writes it: a descriptor of ours could be open in a child that a test beside this one is
  /// starting just now, and then the file is busy (ETXTBSY).
  func program(_ name: String, _ text: String) throws -> String {
    let write = Command("/bin/sh", ["-c", "printf %s \"$1\" >\"$2\" && chmod 755 \"$2\"", "sh", text, self[name]])
    #expect(try LinuxProcesses().run(write, before: soon()).succeeded)
    return self[name]
  }

  /// A shell script: the other program of a test.
  func script(_ name: String, _ text: String) throws -> String {
    try program(name, "#!/bin/sh\n\(text)\n")
  }
}

func soon(_ duration: Duration = .seconds(5)) -> Instant { LinuxClock().now + duration }

/// How many descriptors this process has open.
func openDescriptors() throws -> Int { try #require(try LinuxFiles().entries(of: "/proc/self/fd")).count }

/// The error that `body` throws.
func failure(_ body: () throws -> Void) -> SystemError? {
  do {
    try body()
    return nil
  } catch {
    return error as? SystemError
  }
}
