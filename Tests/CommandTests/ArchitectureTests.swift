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

  /// The modules of the package that are no tests, and where their sources are: a folder's, or its Main.swift alone.
  static func modules() throws -> [String: (folder: String, files: (String) -> Bool)] {
    let package = try text("Package.swift")
    var found: [String: (folder: String, files: (String) -> Bool)] = [:]
    for target in package.matches(of: /\.(?:target|executableTarget|systemLibrary)\(\s*name: "([^"]+)"/) {
      found[String(target.output.1)] = ("Sources/\(target.output.1)", { _ in true })
    }
    found["vpnha-load"] = nil  // of the test tree
    found["vpnha-alert"]?.folder = "agents/alert"
    for agent in package.matches(of: /\n  \("([a-z0-9]+)", "([A-Za-z0-9]+)", \[/) {
      found[String(agent.output.1)] = ("agents/\(agent.output.1)", { $0 == "Main.swift" })
      found[String(agent.output.2)] = ("agents/\(agent.output.1)", { $0 != "Main.swift" })
    }
    return found
  }

  /// Swift files in a folder and the folders in it.
  static func sources(in folder: String) throws -> [String] {
    try (try LinuxFiles().entries(of: "\(root)/\(folder)") ?? []).flatMap { name in
      if name.hasSuffix(".swift") { return [name] }
      return name.contains(".") ? [] : try sources(in: "\(folder)/\(name)").map { "\(name)/\($0)" }
    }
  }

  /// What the sources of each module import of the others: a line a module, in the order of the page's table.
  static func graph() throws -> String {
    let modules = try modules()
    return try storeys().flatMap { $0 }.map { module in
      var imports: Set<String> = []
      if let (folder, isPart) = modules[module] {
        for file in try sources(in: folder) where isPart(file) {
          for line in try text("\(folder)/\(file)").matches(of: /(?m)^(?:@testable )?import (?:\w+ )?(\w+)$/) { imports.insert(String(line.output.1)) }
        }
      }
      return ([module + " →"] + imports.intersection(modules.keys).sorted()).joined(separator: " ")
    }.joined(separator: "\n")
  }

  @Test func everyModuleIsOnOneStorey() throws {
    let (storeys, modules) = (try Self.storeys(), try Self.modules())
    #expect(storeys.count == 6 && modules.count > 20)
    #expect(storeys.flatMap { $0 }.sorted() == modules.keys.sorted())
  }

  @Test func theGraphIsThatOfThePage() throws {
    let graph = try Self.graph()
    print(graph)
    let page = try #require(try Self.text("docs/ARCHITECTURE.md").split(separator: "```graph\n").last?.split(separator: "\n```").first)
    #expect(graph == page)
  }

  @Test func importsPointDownwards() throws {
    let storeys = try Self.storeys()
    func level(_ module: Substring) -> Int? { storeys.firstIndex { $0.contains(String(module)) } }
    for line in try Self.graph().split(separator: "\n") {
      let names = line.split(separator: " ")
      let own = try #require(level(names[0]))
      for other in names.dropFirst(2) { #expect(try #require(level(other)) >= own, "\(names[0]) imports \(other)") }
    }
  }
}
