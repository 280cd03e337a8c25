import ArgumentParser
import Testing

@testable import vpnha

/// What `vpnha recipe` prints, and what README shows.
@Suite struct RecipeTextTests {
  /// The fenced block that follows `<!-- recipe: NAME -->`.
  static func block(_ name: String) throws -> String {
    let page = try ArchitectureTests.text("README.md")
    let rest = try #require(page.components(after: "<!-- recipe: \(name) -->"))
    let block = try #require(rest.components(after: "```sh\n"))
    return String(try #require(block.components(before: "\n```")))
  }

  @Test(arguments: [Recipe.Name.cluster, .promotable, .seamless, .twoAddresses, .balanced, .group, .libreswan, .probe, .alert])
  func readmeShowsIt(_ name: Recipe.Name) throws { #expect(Recipe(name: name).lines == (try Self.block(name.rawValue))) }

  @Test(arguments: [(Recipe.Name.promotable, "crm"), (.seamless, "crm-seamless"), (.twoAddresses, "crm-two-addresses"), (.balanced, "crm-balanced"), (.libreswan, "crm-libreswan")])
  func readmeShowsTheOneForCrmsh(_ name: Recipe.Name, _ block: String) throws { #expect(Recipe(name: name).crm == (try Self.block(block))) }

  @Test func theOperatorsValuesAreInIt() throws {
    let command = try RecipeCommand.parse(["promotable", "--vip", "192.0.2.7/28", "--nic", "bond0.7", "--pool", "10.1.0.0/16", "--connections", "a b"])
    let script = Recipe(name: .promotable, values: try command.values()).script
    for text in ["ip=192.0.2.7 cidr_netmask=28 nic=bond0.7 --group vpn", "connections=\"a b\" address=192.0.2.7", "outside=bond0.7 pool=10.1.0.0/16", "/sys/class/net/bond0.7"] { #expect(script.contains(text)) }
    for example in ["203.0.113", "eth0", "10.9.0"] { #expect(!script.contains(example)) }
    let crm = Recipe(name: .promotable, values: try command.values()).crmScript
    #expect(crm.contains("connections=\"a b\" address=192.0.2.7") && !crm.contains("203.0.113"))
  }

  @Test func theDaemonThatTellsRouters() throws {
    for (words, isThere) in [(["announce"], false), (["announce", "--frr"], true)] {
      let recipe = Recipe(name: .announce, values: try RecipeCommand.parse(words).values())
      #expect(recipe.lines.contains("prefixes=203.0.113.50 daemon=frr meta") == isThere && recipe.crm.contains("params prefixes=203.0.113.50 daemon=frr \\\n") == isThere)
    }
  }

  /// README's remote responder answers nobody: with it both nodes would have lost their path.
  @Test func whoNamesNextHopsAsksNothingElse() throws {
    let command = try RecipeCommand.parse(["probe", "--ping", "192.0.2.1"])
    let script = Recipe(name: .probe, values: try command.values()).script
    #expect(script.contains("ping=192.0.2.1") && !script.contains("198.51.100.9"))
    let both = try RecipeCommand.parse(["probe", "--ping", "192.0.2.1", "--ike", "192.0.2.9"])
    #expect(Recipe(name: .probe, values: try both.values()).script.contains("ike=192.0.2.9"))
  }

  @Test func nothingIsChangedBeforeThePush() {
    for name in Recipe.Name.allCases {
      let lines = Recipe(name: name).script.split(separator: "\n")
      #expect(lines[2] == "set -eu")
      #expect(lines.last?.hasPrefix("pcs cluster cib-push vpn.xml --config") == true)
      #expect(lines.dropLast().filter { $0.hasPrefix("pcs ") }.allSatisfy { $0.hasPrefix("pcs -f vpn.xml ") || $0 == "pcs cluster cib vpn.xml" })
    }
  }

  @Test(arguments: Recipe.Name.allCases.filter { Recipe(name: $0).hasCrm })
  func nothingIsChangedBeforeCrmshLoadsIt(_ name: Recipe.Name) throws {
    let command = try RecipeCommand.parse([name.rawValue, "--vip", "192.0.2.7/32", "--vip-b", "192.0.2.8/32", "--servers", "a:192.0.2.4 b:192.0.2.5", "--ping", "192.0.2.1", "--ike", "192.0.2.2", "--receiver", "http://192.0.2.3/", "--crm"])
    let script = Recipe(name: name, values: try command.values()).crmScript
    #expect(script.hasSuffix("\nEND\ncrm configure load update vpn.crm") && script.split(separator: "\n").count { $0.hasPrefix("crm ") } == 1)
    #expect(!script.contains("203.0.113") && !script.contains("\n\n"))
    // Every recipe but the alerts is refused the second time, and what is added where there is nothing to add it to.
    for id in Recipe(name: name).makes { #expect(script.contains("<primitive id=\"\(id)\"' vpn.xml || refuse")) }
    #expect(script.contains("there is no vpn-clone yet") == [.probe, .announce].contains(name))
  }

  /// What would be a second word for the shell, or a line of its own.
  @Test(arguments: [
    ["promotable", "--nic", "eth0; reboot"], ["promotable", "--vip", "203.0.113.50"], ["promotable", "--vip", "203.0.113.50/33"], ["promotable", "--pool", "10.9.0.0"],
    ["promotable", "--connections", "a$(reboot)"], ["cluster", "--fence", "moon"], ["cluster", "--fence", "moon=1.2.3.4\nreboot"], ["alert", "--receiver", "http://x/'; reboot"],
    ["cluster", "--fence-user", "a b"], ["cluster", "--fence-password-script", "/a b"], ["nothing"], ["group", "--crm"], ["promotable", "--frr"],
    ["promotable", "--apply"], ["cluster", "--apply", "--fence", "moon=192.0.2.1"], ["alert", "--apply"], ["probe", "--apply", "--vip", "192.0.2.1/24"],
  ]) func refused(_ words: [String]) {
    #expect(throws: (any Error).self) { try RecipeCommand.parse(words) }
  }

  @Test func aPasswordStaysInItsFile() throws {
    let command = try RecipeCommand.parse(["cluster", "--fence", "a=192.0.2.1", "--fence", "b=192.0.2.2", "--fence-password-script", "/etc/vpnha/fence-password"])
    let lines = Recipe(name: .cluster, values: try command.values()).lines
    #expect(lines.contains("password_script=/etc/vpnha/fence-password") && !lines.contains("password=secret"))
  }
}

extension StringProtocol {
  /// What comes after the first `mark`; nil without one.
  func components(after mark: String) -> SubSequence? { firstRange(of: mark).map { self[$0.upperBound...] } }
  func components(before mark: String) -> SubSequence? { firstRange(of: mark).map { self[..<$0.lowerBound] } }
}
