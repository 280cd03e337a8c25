import Foundation
import Testing

/// What in this repository is not compiled: shell and Python.
struct ScriptTests {
  /// The files that begin so, and those named.
  static func scripts(_ interpreter: Regex<Substring>, _ named: Regex<Substring>) -> [String] {
    var found: [String] = []
    for folder in [".ci", "Lab", "Packaging", "Tests"] {
      let all = FileManager.default.enumerator(at: URL(filePath: "\(Built.checkout)/\(folder)"), includingPropertiesForKeys: [.isRegularFileKey])
      for case let file as URL in all ?? .init() {
        guard (try? file.resourceValues(forKeys: [.isRegularFileKey]))?.isRegularFile == true, file.pathExtension != "swift" else { continue }
        let begin = (try? FileHandle(forReadingFrom: file))?.readData(ofLength: 100) ?? Data()
        let first = String(decoding: begin.prefix { $0 != 10 }, as: UTF8.self)
        if first.contains(interpreter) || file.path.contains(named) { found.append(file.path) }
      }
    }
    return found.sorted()
  }

  @Test("shellcheck has no warning about any shell script", .needs("/usr/bin/shellcheck"))
  func shell() throws {
    let files = Self.scripts(/^#!.*\b(?:ba|da|)sh\b/, /completion\.bash$/)
    #expect(files.count >= 15 && files.contains { $0.hasSuffix("vpnha.prerm") }, "\(files)")
    for (files, dialect) in [(files.filter { $0.hasSuffix(".bash") }, ["--shell=bash"]), (files.filter { !$0.hasSuffix(".bash") }, [])] {
      let answer = try Answer(.init("/usr/bin/shellcheck", ["--severity=warning", "--color=never"] + dialect + files, outputLimit: 1 << 20), within: .seconds(120))
      #expect(answer.status == 0, "\(answer.output)\(answer.error)")
    }
  }

  @Test("pyflakes has no remark about any Python program", .needs("/usr/bin/pyflakes3"))
  func python() throws {
    let files = Self.scripts(/^#!.*\bpython3/, /\.py$/)
    #expect(files.count >= 20, "\(files)")
    let answer = try Answer(.init("/usr/bin/pyflakes3", files, outputLimit: 1 << 20), within: .seconds(120))
    #expect(answer.status == 0, "\(answer.output)\(answer.error)")
  }
}
