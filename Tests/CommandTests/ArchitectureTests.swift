import Host
import LinuxHost
import Testing

/// docs/ARCHITECTURE.md and Package.swift.
@Suite struct ArchitectureTests {
  static let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")

  static func text(_ path: String) throws -> String {
    String(decoding: try #require(try LinuxFiles().read("\(root)/\(path)", limit: 1 << 20)), as: UTF8.self)
  }

  /// Modules, from the top down, as the page has them.
  static func storeys() throws -> [[String]] {
    let table = try #require(try text("docs/ARCHITECTURE.md").split(separator: "| storey | modules |").last?.split(separator: "\n\n").first)
    return table.split(separator: "\n").dropFirst(2).map { row in
      (row.split(separator: "|").dropFirst().first ?? "").split(separator: "`").map(String.init).filter { $0.contains { $0 != " " } }
    }
  }

  /// What each module of the package that is no test imports.
  static func modules() throws -> [String: [String]] {
    let package = try text("Package.swift")
    var found: [String: [String]] = [:]
    func names(_ list: Substring?) -> [String] { (list ?? "").matches(of: /"([A-Za-z0-9-]+)"/).map { String($0.output.1) } }
    for target in package.matches(of: /\.(?:target|executableTarget|systemLibrary)\(\s*name: "([^"]+)"(?:,\s*dependencies: \[([^\]]*)\])?/) {
      found[String(target.output.1)] = names(target.output.2)
    }
    for agent in package.matches(of: /\n    agent\("([^"]+)"(?:, \[([^\]]*)\])?\)/) {
      found[String(agent.output.1)] = ["CStartup", "Host", "OCF", "LinuxHost"] + names(agent.output.2)
    }
    return found
  }

  @Test func everyModuleIsOnOneStorey() throws {
    let (storeys, modules) = (try Self.storeys(), try Self.modules())
    #expect(storeys.count == 5 && modules.count > 20)
    #expect(storeys.flatMap { $0 }.sorted() == modules.keys.sorted())
  }

  @Test func importsPointDownwards() throws {
    let storeys = try Self.storeys()
    func level(_ module: String) -> Int? { storeys.firstIndex { $0.contains(module) } }
    for (module, imports) in try Self.modules() {
      let own = try #require(level(module), "\(module)")
      // Others than ours (ArgumentParser) are on no storey.
      for other in imports { if let below = level(other) { #expect(below >= own, "\(module) imports \(other)") } }
    }
  }
}
