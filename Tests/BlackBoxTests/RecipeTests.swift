import Testing

/// The lines that README tells people to type.
struct RecipeTests {
  /// The `pcs` lines that build something, in the order of the page, without the file that they build.
  static func recipes() throws -> [String] {
    let page = try Answer(.init("/bin/cat", ["\(Built.checkout)/README.md"], outputLimit: 1_048_576), within: .seconds(5)).output
    return page.split(separator: "\n").map(String.init).filter { $0.hasPrefix("pcs ") && !$0.hasPrefix("pcs cluster ") }
      .map { String($0.dropFirst($0.hasPrefix("pcs -f vpn.xml ") ? 15 : 4)) }
  }

  @Test("README's pcs lines run in order on one empty CIB", .needsNamespaces, .needs("/usr/sbin/pcs"))
  func pcs() throws {
    let lines = try Self.recipes()
    #expect(lines.count >= 15)
    let script =
      ["set -e", "cd /run", "cibadmin --empty >cib.xml"]
      + lines.map { "echo '$ pcs \($0)'; pcs -f cib.xml \($0)" } + ["crm_verify --xml-file cib.xml -V", "pcs -f cib.xml resource config"]
    let answer = try Sandbox.run(["bash", "-c", script.joined(separator: "\n")], within: .seconds(240))
    #expect(answer.status == 0, "\(answer.output)\(answer.error)")
    #expect(!answer.error.contains("Warning: changing a monitor operation interval"), "\(answer.error)")
  }
}
