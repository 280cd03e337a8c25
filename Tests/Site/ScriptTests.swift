import Foundation
import Testing

/// What in this repository is not compiled: shell and Python.
struct ScriptTests {
  static let root = Site.folder.appending(path: "../..").standardized.path

  /// The files that begin so, and those named.
  static func scripts(_ interpreter: Regex<Substring>, _ named: Regex<Substring>) -> [String] {
    var found: [String] = []
    for folder in [".ci", "Lab", "Packaging", "Tests"] {
      let all = FileManager.default.enumerator(at: URL(filePath: "\(Self.root)/\(folder)"), includingPropertiesForKeys: [.isRegularFileKey])
      for case let file as URL in all ?? .init() {
        guard (try? file.resourceValues(forKeys: [.isRegularFileKey]))?.isRegularFile == true, file.pathExtension != "swift" else { continue }
        let begin = (try? FileHandle(forReadingFrom: file))?.readData(ofLength: 100) ?? Data()
        let first = String(decoding: begin.prefix { $0 != 10 }, as: UTF8.self)
        if first.contains(interpreter) || file.path.contains(named) { found.append(file.path) }
      }
    }
    return found.sorted()
  }

  @Test("shellcheck has no warning about any shell script", .enabled(if: Site.lacks(["/usr/bin/shellcheck"]) == nil, "/usr/bin/shellcheck is missing"))
  func shell() throws {
    let files = Self.scripts(/^#!.*\b(?:ba|da|)sh\b/, /completion\.bash$/)
    #expect(files.count >= 15 && files.contains { $0.hasSuffix("vpnha.prerm") }, "\(files)")
    for (files, dialect) in [(files.filter { $0.hasSuffix(".bash") }, ["--shell=bash"]), (files.filter { !$0.hasSuffix(".bash") }, [])] {
      let answer = try Site.run("/usr/bin/shellcheck", ["--severity=warning", "--color=never"] + dialect + files, in: Site.folder)
      #expect(answer.status == 0, "\(answer.output)")
    }
  }

  @Test("pyflakes has no remark about any Python program", .enabled(if: Site.lacks(["/usr/bin/pyflakes3"]) == nil, "/usr/bin/pyflakes3 is missing"))
  func python() throws {
    let files = Self.scripts(/^#!.*\bpython3/, /\.py$/)
    #expect(files.count >= 20, "\(files)")
    let answer = try Site.run("/usr/bin/pyflakes3", files, in: Site.folder)
    #expect(answer.status == 0, "\(answer.output)")
  }
}
