import Testing

/// The lines that README tells people to type.
struct RecipeTests {
  /// The `pcs` lines of the shell blocks that build a cluster, in the order of the page.
  static func recipes() throws -> [String] {
    let page = try Answer(.init("/bin/cat", ["\(Built.checkout)/README.md"], outputLimit: 1_048_576), within: .seconds(5)).output
    var lines: [String] = []
    var isRecipe = false
    var isInside = false
    for line in page.split(separator: "\n", omittingEmptySubsequences: false) {
      if line.hasPrefix("#") && !isInside { isRecipe = line == "### The cluster" || isRecipe && line.hasPrefix("###") }
      if line.hasPrefix("```") { isInside.toggle() }
      if isInside, isRecipe, line.hasPrefix("pcs ") { lines.append(String(line)) }
    }
    return lines
  }

  @Test("README's pcs lines run in order on one empty CIB", .needsNamespaces, .needs("/usr/sbin/pcs"))
  func pcs() throws {
    let lines = try Self.recipes()
    #expect(lines.count >= 15)
    // A fence agent need not be installed here; pcs is told not to mind.
    let script =
      ["set -e", "cd /run", "cibadmin --empty >cib.xml"]
      + lines.map { line in
        let force = line.hasPrefix("pcs stonith create") ? " --force" : ""
        return "echo '$ \(line)'; pcs -f cib.xml \(line.dropFirst(4))\(force)"
      } + ["crm_verify --xml-file cib.xml -V", "pcs -f cib.xml resource config"]
    let answer = try Sandbox.run(["bash", "-c", script.joined(separator: "\n")])
    #expect(answer.status == 0, "\(answer.output)\(answer.error)")
    #expect(!answer.error.contains("Warning: changing a monitor operation interval"), "\(answer.error)")
  }
}
