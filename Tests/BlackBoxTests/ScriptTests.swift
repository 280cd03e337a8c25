import Testing

/// What in this repository is not compiled: shell and Python.
struct ScriptTests {
  /// The files whose first line names such an interpreter, and those of that name.
  static func scripts(_ interpreter: Regex<Substring>, _ name: String) throws -> [String] {
    let folders = [".ci", "Lab", "Packaging", "Tests"].map { "\(Built.checkout)/\($0)" }
    let begun = try Answer(.init("/bin/grep", ["-rInm1", "^#!"] + folders, outputLimit: 1 << 20), within: .seconds(60)).output.split(separator: "\n").compactMap { line -> String? in
      let parts = line.split(separator: ":", maxSplits: 2)
      return parts.count == 3 && parts[1] == "1" && parts[2].contains(interpreter) ? String(parts[0]) : nil
    }
    let named = try Answer(.init("/usr/bin/find", folders + ["-type", "f", "-name", name], outputLimit: 1 << 20), within: .seconds(60)).output.split(separator: "\n").map(String.init)
    return Set(begun + named).filter { !$0.hasSuffix(".swift") }.sorted()
  }

  @Test("shellcheck has no warning about any shell script", .needs("/usr/bin/shellcheck"))
  func shell() throws {
    let files = try Self.scripts(/^#!.*\b(?:ba|da|)sh\b/, "completion.bash")
    #expect(files.count >= 15 && files.contains { $0.hasSuffix("vpnha.prerm") }, "\(files)")
    for (files, dialect) in [(files.filter { $0.hasSuffix(".bash") }, ["--shell=bash"]), (files.filter { !$0.hasSuffix(".bash") }, [])] {
      let answer = try Answer(.init("/usr/bin/shellcheck", ["--severity=warning", "--color=never"] + dialect + files, outputLimit: 1 << 20), within: .seconds(120))
      #expect(answer.status == 0, "\(answer.output)\(answer.error)")
    }
  }

  @Test("pyflakes has no remark about any Python program", .needs("/usr/bin/pyflakes3"))
  func python() throws {
    let files = try Self.scripts(/^#!.*\bpython3/, "*.py")
    #expect(files.count >= 20, "\(files)")
    let answer = try Answer(.init("/usr/bin/pyflakes3", files, outputLimit: 1 << 20), within: .seconds(120))
    #expect(answer.status == 0, "\(answer.output)\(answer.error)")
  }
}
