import Testing

/// What the pages of docs have operators type, as far as it can be typed without machines of one's own (those are in Tests/Site).
struct DocumentsTests {
  static let pages = ["announce", "ansible", "balanced", "clients", "firewall", "keepalived", "libreswan", "migration", "operations", "radius", "recovery", "releases", "security", "sessions", "sizing", "two-addresses", "vip"]

  /// The indented lines of a page: what is typed.
  static func typed(_ page: String) throws -> [String] {
    let text = try Answer(.init("/bin/cat", ["\(Built.checkout)/docs/\(page).md"], outputLimit: 1 << 20), within: .seconds(5)).output
    return text.split(separator: "\n").filter { $0.hasPrefix("    ") }.map { String($0.drop { $0 == " " }) }
  }

  @Test("these are all pages, and the package has them")
  func all() throws {
    let found = try Answer(.init("/usr/bin/find", ["\(Built.checkout)/docs", "-maxdepth", "1", "-name", "*.md", "-not", "-name", "ARCHITECTURE.md", "-printf", "docs/%f\\n"]), within: .seconds(5)).output
    let packaged = try Answer(.init("/bin/cat", ["\(Built.checkout)/Packaging/debian/vpnha.docs"]), within: .seconds(5)).output
    let lines = Set(found.split(separator: "\n").map(String.init))
    #expect(lines == Set(Self.pages.map { "docs/\($0).md" }))
    #expect(lines.isSubset(of: Set(packaged.split(separator: "\n").map(String.init))))
  }

  @Test("README as the package has it names pages and examples where they are")
  func readme() throws {
    let rules = try Answer(.init("/bin/cat", ["\(Built.checkout)/Packaging/debian/rules"]), within: .seconds(5)).output
    let edit = try #require(rules.firstMatch(of: /sed -i '([^']+)' \S+\/README\.md/)).output.1
    let text = try Answer(.init("/bin/sed", [String(edit), "\(Built.checkout)/README.md"], outputLimit: 1 << 20), within: .seconds(5)).output
    let links = text.matches(of: /\]\(([^)#:]+)[^)]*\)/).map { String($0.output.1) }
    let packaged = Set(Self.pages.map { "\($0).md" })
    let listed = try Answer(.init("/usr/bin/find", ["\(Built.checkout)/Packaging/examples", "-printf", "examples/%P\\n"]), within: .seconds(5)).output
    let examples = Set(listed.split(separator: "\n").map { $0.hasSuffix("/") ? String($0.dropLast()) : String($0) })
    // The source's own things are told by their folders, and are in no package.
    let source = ["agents/", "metadata/", "Lab", "Sources/", "Tests/"]
    #expect(links.filter { link in !packaged.contains(link) && !examples.contains(link) && !source.contains(where: link.hasPrefix) } == [])
    #expect(links.contains("operations.md") && links.contains("examples/strongswan/vpnha.conf"))
  }

  @Test("every example that a page names is there, and every one that is there is named")
  func examples() throws {
    let listed = try Answer(.init("/usr/bin/find", ["\(Built.checkout)/Packaging/examples", "-type", "f", "-printf", "%P\\n"]), within: .seconds(5)).output
    let there = Set(listed.split(separator: "\n").map(String.init))
    let folders = Set(there.compactMap { $0.split(separator: "/").first.map { "\($0)/" } })
    var named: Set<String> = []
    for page in Self.pages {
      for line in try Self.typed(page) {
        for word in line.split(separator: " ") {
          let path = word.hasPrefix("/usr/share/doc/vpnha/examples/") ? String(word.dropFirst("/usr/share/doc/vpnha/examples/".count)) : String(word)
          if folders.contains(where: { path.hasPrefix($0) }) { named.insert(path) }
        }
      }
    }
    #expect(named.subtracting(there) == [])
    // crmsh's file is loaded, not installed; the pages say where it is.
    #expect(there.subtracting(named).filter { !$0.hasPrefix("crmsh/") } == [])
  }

  @Test("the page has the example's frr.conf")
  func frr() throws {
    let example = try Answer(.init("/bin/cat", ["\(Built.checkout)/Packaging/examples/frr/frr.conf"]), within: .seconds(5)).output.split(separator: "\n").map { String($0.drop { $0 == " " }) }
    let page = try Self.typed("announce")
    #expect(example.count > 30 && page.indices.contains { page[$0...].starts(with: example) })
  }

  @Test("vpnha is called as it can be called", .needsNamespaces, arguments: pages)
  func calls(_ page: String) throws {
    // A key would be this machine's.
    for line in try Self.typed(page) where line.hasPrefix("vpnha ") && !line.hasPrefix("vpnha key") {
      let answer = try Sandbox.run(["bash", "-c", "cd /run; '\(Built.folder)/vpnha'\(line.dropFirst("vpnha".count))"], within: .seconds(60))
      // 64: the words are wrong. That there is no cluster here is another thing.
      let isUsage = answer.status == 64 && !answer.error.contains("there is no cluster here")
      #expect(!isUsage, "\(page): \(line): \(answer.error)")
    }
  }

  @Test("access lists are accepted", .needsNamespaces, .needs("/usr/sbin/pcs"))
  func access() throws {
    let lines = try Self.typed("security").filter { $0.hasPrefix("pcs acl ") }
    #expect(lines.count == 3)
    let cib = try ExampleTests.load(lines.map { "\($0.replacing("pcs ", with: "pcs -f cib.xml ")) >&2" }.joined(separator: "\n"))
    #expect(cib.contains("<acl_target id=\"watch\">") && cib.contains("enable-acl"))
  }

  @Test("sudo takes the example", .needs("/usr/sbin/visudo"))
  func sudoers() throws {
    let answer = try Answer(.init("/usr/sbin/visudo", ["-c", "-s", "-f", "\(Built.checkout)/Packaging/examples/sudoers.d/vpnha"]), within: .seconds(10))
    #expect(answer.status == 0, "\(answer.output)\(answer.error)")
    // What it lets people type can be typed.
    let text = try Answer(.init("/bin/cat", ["\(Built.checkout)/Packaging/examples/sudoers.d/vpnha"]), within: .seconds(5)).output
    let calls = text.matches(of: /\/usr\/sbin\/vpnha ([a-z -]+)/).map { String($0.output.1) }
    #expect(calls.count >= 10)
    for call in calls {
      let answer = try Answer(.init("/bin/bash", ["-c", "'\(Built.folder)/vpnha' \(call) --help"]), within: .seconds(20))
      #expect(answer.status == 0, "\(call): \(answer.error)")
    }
  }

  @Test("what a core can encrypt is measured as the page says", .needs("/usr/bin/openssl"))
  func sizing() throws {
    let lines = try Self.typed("sizing").filter { $0.hasPrefix("openssl ") }
    #expect(lines.count == 2)
    for line in lines {
      let answer = try Answer(.init("/bin/bash", ["-c", line], outputLimit: 1 << 20), within: .seconds(60))
      #expect(answer.status == 0 && answer.output.contains("1400 bytes"), "\(line): \(answer.output)\(answer.error)")
    }
  }
}
