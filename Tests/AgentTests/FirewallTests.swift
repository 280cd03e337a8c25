import Host
import HostTestKit
import OCF
import Testing

@testable import FirewallAgent

/// A gateway with an nft that loads what it is told: a rule of the fake kernel is a line of the script.
final class FilteringNode {
  static let parameters = ["address": "203.0.113.50 2001:db8::50", "pool": "10.9.0.0/24", "outside": "eth0", "nat": "true"]

  let machine = InMemoryMachine(links: [Link(index: 2, name: "eth0")])
  /// What nft does in place of loading.
  var refusal: CommandResult?
  private(set) var scripts: [String] = []
  private var handle: UInt64 = 0

  init() {
    machine.files.putExecutable("/usr/sbin/nft")
    machine.files.kernelParameters["net.ipv4.ip_forward"] = "1"
    machine.processes.whenRun("/usr/sbin/nft") { [unowned self] command in nft(command) }
  }

  private func nft(_ command: Command) -> CommandResult {
    let script = String(decoding: command.input, as: UTF8.self)
    scripts.append(script)
    if let refusal { return refusal }
    let lines = script.split(separator: "\n", omittingEmptySubsequences: false).map { $0.drop { $0 == " " } }
    // What nft 1.0.6 says of a word that it does not know.
    if let line = lines.firstIndex(where: { $0.contains("dprt") }) {
      return CommandResult(.exited(1), error: Array("/dev/stdin:\(line + 1):7-10: Error: syntax error, unexpected string\n  tcp dprt\n".utf8))
    }
    if command.arguments.contains("--check") { return CommandResult(.exited(0)) }
    handle += 1
    let name = String(lines[0].dropFirst("table inet ".count))
    let comment = lines.first { $0.hasPrefix("comment ") }.map { String($0.dropFirst(9).dropLast()) } ?? ""
    var contents = FilterContents()
    for line in lines.dropFirst(4) {
      if line.hasPrefix("set ") {
        contents.sets.append(FilterSet(name: String(line.split(separator: " ")[1]), properties: Array(line.utf8)))
      } else if line.hasPrefix("chain ") {
        contents.chains.append(FilterChain(name: String(line.split(separator: " ")[1])))
      } else if line != "}", !line.isEmpty, !contents.chains.isEmpty {
        contents.chains[contents.chains.count - 1].rules.append(Array(line.utf8))
      }
    }
    machine.packetFilter.tables.removeAll { $0.name == name }
    machine.packetFilter.tables.append(FilterTable(name, handle: handle, comment: comment))
    machine.packetFilter.contents[name] = contents
    return CommandResult(.exited(0))
  }

  var contents: FilterContents {
    get { machine.packetFilter.contents["vpnha"] ?? FilterContents() }
    set { machine.packetFilter.contents["vpnha"] = newValue }
  }
  var notes: [String] { machine.files.nodes.keys.filter { $0.hasPrefix("/run/resource-agents/") }.sorted() }
  var warnings: [String] { machine.log.messages(from: .warning) }

  @discardableResult
  func perform(
    _ action: String, _ changes: [String: String?] = [:], level: Int = 0, interval: Int = 10_000, node: String? = nil
  ) -> Outcome {
    var environment = [
      "OCF_RESOURCE_TYPE": "firewall", "OCF_RESOURCE_INSTANCE": "firewall", "OCF_CHECK_LEVEL": "\(level)",
      "OCF_RESKEY_CRM_meta_timeout": "20000", "OCF_RESKEY_CRM_meta_interval": "\(interval)",
    ]
    environment["OCF_RESKEY_CRM_meta_on_node"] = node
    for (name, value) in Self.parameters { environment["OCF_RESKEY_\(name)"] = value }
    for (name, value) in changes { environment["OCF_RESKEY_\(name)"] = value }
    return OCF.perform(
      Firewall.self, Request(arguments: ["firewall", action], environment: environment), on: machine.host, from: machine.clock.now)
  }

  func started(_ changes: [String: String?] = [:]) -> FilteringNode {
    #expect(perform("start", changes) == Outcome(.success))
    return self
  }
}

/// A file that was good when it was loaded, and what is said when it is bad.
private enum Last {
  static let extra = "/etc/vpnha/extra.nft"
  static let kept = "/var/lib/vpnha/firewall/firewall-firewall.rules"
  static let good = "chain extra_input {\n  tcp dport 22 accept\n}\n"
  static let bad = "chain extra_input {\n  tcp dprt 22 accept\n}\n"
  static let refused = "refused: extra: \(extra):2:7-10: syntax error, unexpected string; the last good rules are in force"
}

@Suite struct FirewallTests {
  // MARK: Life

  @Test("start loads, monitor agrees, stop removes table and notes, and all of them again change nothing")
  func life() {
    let node = FilteringNode()
    #expect(node.perform("monitor", interval: 0) == Outcome(.notRunning))
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.scripts.count == 1)
    for level in [0, 10, 20] { #expect(node.perform("monitor", level: level) == Outcome(.success)) }
    #expect(node.notes.contains("/run/resource-agents/vpnha-firewall-firewall.ruleset"))
    #expect(node.warnings.isEmpty)
    for _ in 0..<2 {
      #expect(node.perform("stop") == Outcome(.success))
      #expect(node.machine.packetFilter.tables.isEmpty)
      #expect(node.notes.filter { $0 != "/run/resource-agents" }.isEmpty)
    }
    #expect(node.perform("monitor") == Outcome(.notRunning))
  }

  @Test("A monitor runs no program and changes nothing")
  func quietMonitor() {
    let node = FilteringNode().started()
    node.machine.calls.reset()
    node.perform("monitor")
    #expect(node.machine.calls.changes.isEmpty)
  }

  @Test("The rules")
  func rules() throws {
    let node = FilteringNode().started(["inside": "lan0 lan1", "pool": "10.9.0.0/24 2001:db8:9::/64", "nat_address": "203.0.113.9 2001:db8::9"])
    let script = try #require(node.scripts.first)
    let lines = script.split(separator: "\n").map { String($0.drop { $0 == " " }) }
    #expect(lines.prefix(3) == ["table inet vpnha", "delete table inet vpnha", "table inet vpnha {"])
    for line in [
      "ip daddr @address jump gateway", "ip6 daddr @address6 jump gateway", "udp dport { 500, 4500 } counter accept",
      "meta l4proto esp counter accept", "iifname \"lo\" accept", "meta ipsec missing counter drop",
      "ip daddr @draining @th,64,16 & 0x800f == 0x8002 @th,96,16 0 counter drop",
      "ip saddr @address udp sport 1701 oifname != \"lo\" rt ipsec missing counter drop", "rt ipsec exists accept",
      "ip saddr @pool oifname \"lan1\" counter accept", "ip6 saddr @pool6 oifname \"eth0\" counter accept",
      "iifname \"lan0\" ip daddr @pool counter accept", "ip saddr @pool oifname \"eth0\" counter snat ip to 203.0.113.9",
      "ip6 saddr @pool6 oifname \"eth0\" counter snat ip6 to 2001:db8::9",
      "oifname \"ppp*\" tcp flags syn / syn,rst tcp option maxseg size set rt mtu",
    ] { #expect(lines.contains(line), "\(line) is missing of \(script)") }
    // What is not spoken of is let through: nobody is locked out.
    #expect(lines.filter { $0.contains("policy") }.allSatisfy { $0.hasSuffix("policy accept;") })
    #expect(lines.filter { $0.contains("policy") }.count == 4)
  }

  @Test("Each network of the pool is translated to an address of its own, which only the node that serves it has")
  func anAddressForEachNetwork() throws {
    let node = FilteringNode().started(["address": "203.0.113.50 203.0.113.51", "pool": "10.9.0.0/24 10.9.1.0/24", "nat_address": "203.0.113.50 203.0.113.51"])
    let script = try #require(node.scripts.first)
    #expect(script.contains("    ip saddr 10.9.0.0/24 oifname \"eth0\" counter snat ip to 203.0.113.50\n    ip saddr 10.9.1.0/24 oifname \"eth0\" counter snat ip to 203.0.113.51\n"))
    #expect(!script.contains("saddr @pool oifname \"eth0\" counter snat"))
  }

  @Test("Without pool and nat nothing is said of forwarding; without inside, clients go anywhere and outside does not come in")
  func fewerRules() throws {
    let receiving = FilteringNode().started(["pool": nil, "nat": nil])
    #expect(receiving.contents.chains.map(\.name) == ["input", "gateway", "l2tp", "output"])
    let open = FilteringNode().started(["clamp_mss": "false"])
    let script = try #require(open.scripts.first)
    #expect(script.contains("    ip saddr @pool counter accept\n"))
    #expect(script.contains("    iifname \"eth0\" counter drop\n    ip daddr @pool counter accept\n    counter drop\n"))
    #expect(!script.contains("maxseg"))
    #expect(script.contains("snat ip to 203.0.113.50"))
  }

  // MARK: Drift

  @Test("What is not as it was loaded is named")
  func drift() {
    func reason(_ change: (FilteringNode) -> Void) -> String? {
      let node = FilteringNode().started()
      change(node)
      let outcome = node.perform("monitor")
      #expect(outcome.status == .genericError)
      return outcome.reason
    }
    #expect(reason { $0.contents.chains[2].rules.remove(at: 1) } == "chain l2tp: rule 2 is missing")
    #expect(reason { $0.contents.chains[2].rules.removeAll() } == "chain l2tp: rule 1 is missing")
    #expect(reason { $0.contents.chains[0].rules.insert([1], at: 0) } == "chain input: rule 1 was added")
    #expect(reason { $0.contents.chains[0].rules[1] = [1] } == "chain input: rule 2 is not what was loaded")
    #expect(reason { $0.contents.chains[0].properties = [9] } == "chain input is not what was loaded")
    #expect(reason { $0.contents.chains.remove(at: 3) } == "chain output is missing")
    #expect(reason { $0.contents.chains.append(FilterChain(name: "mine", rules: [[1]])) } == "chain mine was added")
    #expect(reason { $0.contents.chains.swapAt(0, 1) } == "the chains are in another order")
    #expect(reason { $0.contents.sets[2].elements = [[1]] } == "set address: element 1 was added")
    #expect(reason { $0.contents.sets.removeLast() } == "set address6 is missing")
    #expect(reason { $0.contents.objects = [FilterObject(name: "c")] } == "object c was added")
    #expect(reason { $0.machine.packetFilter.tables[0].isDormant = true } == "table inet vpnha is dormant: no packet is looked at")
    #expect(reason { $0.machine.packetFilter.tables = [] } == "table inet vpnha is gone: flushed by another program")
    #expect(
      reason { $0.machine.packetFilter.tables[0] = FilterTable("vpnha", handle: 99) } == "table inet vpnha is gone: flushed by another program")
    #expect(
      reason { $0.machine.files.nodes["/run/resource-agents/vpnha-firewall-firewall.ruleset"] = nil }
        == "table inet vpnha was loaded by a start that did not end, or by another program")
    #expect(
      reason { $0.machine.files.put("nonsense", at: "/run/resource-agents/vpnha-firewall-firewall.ruleset") }
        == "table inet vpnha was loaded by a start that did not end, or by another program")
  }

  @Test("An element that was exchanged for another is named as one")
  func elements() {
    func lines(_ elements: [[UInt8]]) -> [UInt8] {
      Record(FilterTable("t", handle: 1), FilterContents(sets: [FilterSet(name: "s", elements: elements)])).parts
    }
    #expect(Firewall.firstDifference(lines([[1], [2]]), lines([[1]])) == "set s: an element is missing")
    #expect(Firewall.firstDifference(lines([[1], [2]]), lines([[1], [3]])) == "set s: an element is not what was loaded")
    #expect(Firewall.firstDifference(lines([[1], [2]]), lines([[1], [2]])) == nil)
  }

  @Test("A start puts right what a monitor found wrong, in one replacement")
  func repair() {
    let node = FilteringNode().started()
    node.contents.chains[2].rules.removeAll()
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.perform("monitor") == Outcome(.success))
    #expect(node.machine.calls.changes.filter { $0.hasPrefix("packetFilter.remove") }.isEmpty)
  }

  @Test("A probe that finds the table gone says that nothing runs")
  func probe() {
    let node = FilteringNode().started()
    node.machine.packetFilter.tables = []
    #expect(node.perform("monitor", interval: 0) == Outcome(.notRunning))
  }

  // MARK: Definition

  @Test("Parameters that say something else are seen, and come into force with a reload")
  func changedParameters() {
    let node = FilteringNode().started()
    let changed: [String: String?] = ["address": "203.0.113.51"]
    #expect(
      node.perform("monitor", changed) == Outcome(.success, "loaded rules are out of date: parameters changed; run reload-agent"))
    #expect(node.perform("reload-agent", changed) == Outcome(.success))
    #expect(node.perform("monitor", changed) == Outcome(.success))
    #expect(node.scripts.count == 2)
    #expect(node.perform("start", ["address": "203.0.113.52"]) == Outcome(.success))
    #expect(node.scripts.count == 3)
  }

  @Test("A reload does not start what does not run")
  func reloadOfNothing() {
    let node = FilteringNode()
    #expect(node.perform("reload-agent") == Outcome(.genericError, "reloading: table inet vpnha is not loaded"))
    #expect(node.scripts.isEmpty)
    // What was flushed since the last look is another matter.
    node.perform("start")
    node.machine.packetFilter.tables = []
    #expect(node.perform("reload-agent") == Outcome(.success))
    #expect(node.perform("monitor") == Outcome(.success))
    node.perform("stop")
    #expect(node.perform("reload-agent").status == .genericError)
  }

  @Test("The file of more rules: included, seen to change, seen to vanish")
  func extra() throws {
    let node = FilteringNode()
    let path = "/etc/vpnha/extra.nft"
    let parameters: [String: String?] = ["extra": path]
    #expect(node.perform("start", parameters) == Outcome(.genericError, "extra: \(path) is missing"))
    for text in ["}\nflush ruleset\ntable inet vpnha {\n", "chain extra_input { } }\n", "chain extra_input {\n}\n# \"\n} # {\n", "chain c { log prefix \"x\n\"; }\n}\ntable inet other { chain c { }\n"] {
      node.machine.files.put(text, at: path)
      #expect(node.perform("start", parameters).reason?.contains("would close our table") == true, "\(text)")
    }
    #expect(Firewall.lineThatClosesTheTable(Array("chain extra_input { tcp dport { 1, 2 } log prefix \"}\" # }\n }\n".utf8)) == nil)
    #expect(Firewall.lineThatClosesTheTable(Array("chain extra_input { log prefix \"x\n} #\" }\n".utf8)) == nil)
    node.machine.files.put("chain extra_input { }\n", at: path)
    #expect(node.perform("start", parameters) == Outcome(.success))
    let script = try #require(node.scripts.last)
    #expect(script.hasSuffix("chain extra_input { }\n}\n"), "nothing of it is read later, when it may be another")
    #expect(script.contains("jump extra_forward\n"))
    #expect(node.perform("monitor", parameters) == Outcome(.success))
    node.machine.files.put("chain extra_input { accept; }", at: path)
    #expect(
      node.perform("monitor", parameters)
        == Outcome(.success, "loaded rules are out of date: parameters or \(path) changed; run reload-agent"))
    #expect(node.perform("reload-agent", parameters) == Outcome(.success))
    #expect(node.scripts.last?.hasSuffix("chain extra_input { accept; }\n}\n") == true)
    node.machine.files.nodes[path] = nil
    #expect(
      node.perform("monitor", parameters)
        == Outcome(.success, "loaded rules are out of date: extra: \(path) is missing"))
    #expect(node.perform("stop", parameters) == Outcome(.success))
    #expect(node.machine.packetFilter.tables.isEmpty)
  }

  @Test("What nft complains of is the reason, by the file that is to blame")
  func complaints() {
    let node = FilteringNode()
    node.machine.files.put("bla\n", at: "/etc/x.nft")
    node.refusal = CommandResult(.exited(1))
    node.perform("start", ["extra": "/etc/x.nft"])
    func reason(_ ending: CommandResult.Ending, _ words: String) -> Outcome {
      node.refusal = CommandResult(ending, error: Array(words.utf8))
      return node.perform("start", ["extra": "/etc/x.nft"])
    }
    // The file is read behind our own rules, from line 63 of what nft is given.
    let first = node.scripts.last?.split(separator: "\n", omittingEmptySubsequences: false).firstIndex(of: "bla").map { $0 + 1 } ?? 0
    func complaint(_ line: Int) -> Outcome { reason(.exited(1), "/dev/stdin:\(line):1-3: Error: syntax error, unexpected string\nbla\n^^^\n") }
    #expect(complaint(first) == Outcome(.genericError, "extra: /etc/x.nft:1:1-3: syntax error, unexpected string"))
    #expect(complaint(first + 1) == Outcome(.genericError, "extra: /etc/x.nft:1:1-3: syntax error, unexpected string"), "left open")
    #expect(complaint(3) == Outcome(.genericError, "loading: line 3:1-3: syntax error, unexpected string"), "ours")
    #expect(
      reason(.exited(1), "In file included from /dev/stdin:26:3-27:\n/etc/y.nft:1:1-3: Error: syntax error, unexpected string\nbla\n^^^\n")
        == Outcome(.genericError, "extra: /etc/y.nft:1:1-3: syntax error, unexpected string"))
    #expect(reason(.exited(1), "Error: out of memory\n") == Outcome(.genericError, "loading: Error: out of memory"))
    #expect(reason(.exited(3), "netlink: Operation not permitted\n").reason == "loading: /usr/sbin/nft ended with 3: netlink: Operation not permitted")
    #expect(reason(.exited(1), "").reason == "loading: /usr/sbin/nft ended with 1: ")
    #expect(reason(.signalled(11), "").reason == "loading: /usr/sbin/nft died of signal 11")
    #expect(reason(.timedOut, "").reason == "loading: /usr/sbin/nft did not end in time")
    #expect(node.machine.packetFilter.tables.isEmpty)
  }

  @Test("An nft that loads nothing and says that it did is not believed")
  func lyingProgram() {
    let node = FilteringNode()
    node.refusal = CommandResult(.exited(0))
    #expect(
      node.perform("start")
        == Outcome(.genericError, "loading: nft said that it loaded table inet vpnha, and the kernel does not have it"))
  }

  @Test("A missing nft: 5 at start, with its package; 7 at a probe; and a table can still be removed")
  func missingProgram() {
    let node = FilteringNode().started()
    node.machine.files.nodes["/usr/sbin/nft"] = nil
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.machine.packetFilter.tables.isEmpty)
    #expect(node.perform("start") == Outcome(.notInstalled, "/usr/sbin/nft is missing (package nftables)"))
    #expect(node.perform("monitor", interval: 0) == Outcome(.notRunning))
  }

  @Test("A program that vanishes between the look and the run is missing all the same")
  func vanishingProgram() {
    let node = FilteringNode()
    node.machine.processes.programs["/usr/sbin/nft"] = nil
    #expect(node.perform("start") == Outcome(.notInstalled, "/usr/sbin/nft is missing (package nftables)"))
  }

  // MARK: The last good rules

  /// A table of good rules was loaded once, and the file is bad now.
  private func broken(_ text: String? = Last.bad) -> FilteringNode {
    let node = FilteringNode()
    node.machine.files.put(Last.good, at: Last.extra)
    node.perform("start", ["extra": Last.extra])
    node.machine.files.nodes[Last.extra] = text.map { InMemoryFiles.Node(Array($0.utf8)) }
    return node
  }

  @Test(
    "Rules that are refused: a start loads the last good ones, and says so until the file is mended",
    arguments: [
      (Last.bad, Last.refused),
      (nil, "refused: extra: \(Last.extra) is missing; the last good rules are in force"),
      ("}\n", "refused: extra: \(Last.extra):1: '}' without '{' would close our table and reach into others; the last good rules are in force"),
    ] as [(String?, String)])
  func lastGood(_ text: String?, _ reason: String) throws {
    let node = broken(text)
    let (table, loaded) = (node.machine.packetFilter.tables, node.contents)
    node.perform("stop")
    #expect(node.machine.packetFilter.tables.isEmpty)
    #expect(node.perform("start", ["extra": Last.extra]) == Outcome(.success, reason))
    #expect(node.perform("start", ["extra": Last.extra]) == Outcome(.success), "it runs")
    #expect(node.machine.packetFilter.tables.map(\.comment) == table.map(\.comment) && node.contents == loaded)
    let runs = node.scripts.count
    for interval in [10_000, 0] {
      #expect(node.perform("monitor", ["extra": Last.extra], interval: interval) == Outcome(.success, reason))
    }
    #expect(node.scripts.count == runs, "a monitor does not try again what it knows")
    #expect(node.warnings.contains { $0.hasSuffix("; the last good rules are in force") })
    // Mended as it was, and as something new.
    node.machine.files.put(Last.good, at: Last.extra)
    #expect(node.perform("monitor", ["extra": Last.extra]) == Outcome(.success))
    #expect(node.scripts.count == runs)
    node.perform("stop")
    node.machine.files.nodes[Last.extra] = text.map { InMemoryFiles.Node(Array($0.utf8)) }
    node.perform("start", ["extra": Last.extra])
    node.machine.files.put("chain extra_input { accept; }\n", at: Last.extra)
    for _ in 0..<2 { #expect(node.perform("monitor", ["extra": Last.extra]) == Outcome(.success)) }
    #expect(node.scripts.last?.hasSuffix("chain extra_input { accept; }\n}\n") == true)
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.notes.isEmpty)
  }

  @Test("A reload that is refused leaves the rules in force; the next monitor or reload of a mended file ends it")
  func refusedReload() {
    for mends in ["monitor", "reload-agent"] {
      let node = broken()
      let (tables, loaded) = (node.machine.packetFilter.tables, node.contents)
      let parameters: [String: String?] = ["extra": Last.extra]
      #expect(node.perform("monitor", parameters).reason?.hasPrefix("loaded rules are out of date") == true)
      #expect(node.perform("reload-agent", parameters).status == .success)
      #expect(node.warnings.contains { $0.contains(":7-10: Error: syntax error") }, "all that nft says is in the log")
      #expect(node.machine.packetFilter.tables == tables && node.contents == loaded)
      #expect(node.perform("monitor", parameters) == Outcome(.success, Last.refused))
      node.machine.files.put("chain extra_input { accept; }\n", at: Last.extra)
      #expect(node.perform(mends, parameters) == Outcome(.success))
      #expect(node.perform("monitor", parameters) == Outcome(.success))
      #expect(node.scripts.last?.contains("accept; }") == true)
    }
  }

  @Test("Level 10 tries again what was refused for a reason that may have gone")
  func triedAgain() {
    let node = FilteringNode().started()
    let changed: [String: String?] = ["inside": "lan*"]
    node.refusal = CommandResult(.exited(1), error: Array("/dev/stdin:9:1-5: Error: Could not process rule: Operation not supported\n".utf8))
    node.perform("reload-agent", changed)
    node.refusal = nil
    let words = "refused: loading: line 9:1-5: Could not process rule: Operation not supported; the last good rules are in force"
    #expect(node.perform("monitor", changed) == Outcome(.success, words))
    #expect(node.perform("monitor", changed, level: 10) == Outcome(.success))
    #expect(node.perform("monitor", changed) == Outcome(.success))
  }

  @Test("A damaged table is replaced by the last good rules when the new ones are refused; draining goes on")
  func damaged() throws {
    let node = broken()
    let loaded = node.contents
    node.contents.chains[0].rules.removeAll()
    node.machine.packetFilter.members["vpnha draining"] = [SetMember(try #require(IPAddress("203.0.113.50")))]
    #expect(node.perform("start", ["extra": Last.extra]) == Outcome(.success, Last.refused))
    #expect(node.contents.chains == loaded.chains)
    #expect(node.scripts.last?.contains("elements = { 203.0.113.50 }") == true)
    #expect(node.perform("monitor", ["extra": Last.extra]) == Outcome(.success, Last.refused))
  }

  @Test("A wrong parameter is named by the monitor, and its default never loaded")
  func wrongParameter() {
    let node = broken()
    node.perform("reload-agent", ["extra": Last.extra])
    let runs = node.scripts.count
    let outcome = node.perform("monitor", ["extra": Last.extra, "pool": "10.9.0.1/24"], level: 10)
    #expect(outcome.status == .success)
    #expect(outcome.reason?.hasPrefix("loaded rules are out of date: pool: expected") == true)
    #expect(node.scripts.count == runs)
  }

  @Test("A wrong value that could be given to a running resource: a start loads the last good rules; without any it is refused", arguments: ["address", "pool", "outside", "nat"])
  func wrongAtStart(_ name: String) {
    let wrong: [String: String?] = [name: "/nope nope"]
    let node = FilteringNode()
    #expect(node.perform("start", wrong).status == .genericError)
    #expect(node.machine.packetFilter.tables.isEmpty)
    #expect(node.perform("start") == Outcome(.success))
    let loaded = node.contents
    node.perform("stop")
    let outcome = node.perform("start", wrong)
    #expect(outcome.status == .success)
    #expect(outcome.reason?.hasPrefix("loaded rules are out of date: \(name): expected") == true)
    #expect(node.contents == loaded)
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.perform("monitor") == Outcome(.success))
  }

  @Test("What is kept is root's alone and whole, or it is not loaded")
  func keptFile() throws {
    let node = broken()
    let file = try #require(node.machine.files.nodes[Last.kept])
    #expect(file.status.mode == 0o600)
    #expect(node.machine.files.nodes["/var/lib/vpnha/firewall"]?.status.mode == 0o700)
    node.perform("stop")
    let cases: [(String, (InMemoryFiles) -> Void)] = [
      ("absent", { $0.nodes[Last.kept] = nil }),
      ("of somebody's", { $0.nodes[Last.kept]?.status.owner = 7 }),
      ("open to others", { $0.nodes[Last.kept]?.status.mode = 0o660 }),
      ("a link", { $0.nodes[Last.kept]?.status.kind = .symbolicLink }),
      ("in an open folder", { $0.nodes["/var/lib/vpnha/firewall"]?.status.mode = 0o777 }),
      ("cut off", { $0.nodes[Last.kept]?.bytes.removeLast() }),
      ("changed", { $0.nodes[Last.kept]?.bytes[200] ^= 1 }),
      ("something else", { $0.nodes[Last.kept]?.bytes = Array("flush ruleset\n".utf8) }),
    ]
    for (name, change) in cases {
      node.machine.files.nodes["/var/lib/vpnha/firewall"]?.status.mode = 0o700
      node.machine.files.nodes[Last.kept] = file
      change(node.machine.files)
      let outcome = node.perform("start", ["extra": Last.extra])
      #expect(
        outcome == Outcome(.genericError, "extra: /etc/vpnha/extra.nft:2:7-10: syntax error, unexpected string"), "\(name)")
      #expect(node.machine.packetFilter.tables.isEmpty, "\(name)")
      node.perform("stop")
    }
    node.machine.files.nodes["/var/lib/vpnha/firewall"]?.status.mode = 0o700
    node.machine.files.nodes[Last.kept] = file
    #expect(node.perform("start", ["extra": Last.extra]) == Outcome(.success, Last.refused))
    // Of another table it would be another table's rules.
    node.perform("stop")
    #expect(node.perform("start", ["extra": Last.extra, "table": "other"]).status == .genericError)
  }

  @Test("Rules that cannot be kept are in force all the same")
  func unwritable() {
    let node = FilteringNode()
    node.machine.files.put("", at: "/var/lib/vpnha/firewall")
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.warnings.count == 1 && node.warnings[0].hasPrefix("keeping the rules for the next start: "))
  }

  @Test("L2TP on another port: asked for, and what leaves from it, and what other programs must let through")
  func port() throws {
    let node = FilteringNode()
    node.machine.packetFilter.chains = [BaseChain(family: "ip", table: "f", name: "IN", hook: .input, dropsByDefault: true)]
    #expect(node.perform("start", ["port": "1703"]) == Outcome(.success))
    let script = try #require(node.scripts.first)
    #expect(script.contains("udp dport 1703 jump l2tp\n") && script.contains("udp sport 1703 oifname != \"lo\" rt ipsec missing counter drop\n"))
    #expect(!script.contains("1701"))
    #expect(node.warnings.last?.contains("UDP 1703") == true)
    #expect(node.perform("validate-all", ["port": "0"]).status == .misconfigured)
  }

  @Test("Another client's source is dropped before any rule that accepts, the operator's included")
  func sources() throws {
    let node = FilteringNode()
    node.machine.files.put(Last.good, at: Last.extra)
    node.perform("start", ["extra": Last.extra, "pool": "10.9.0.0/24 2001:db8:9::/64"])
    func rules(_ chain: String) -> [String] {
      node.contents.chains.first { $0.name == chain }?.rules.map { String(decoding: $0, as: UTF8.self) } ?? []
    }
    #expect(rules("from_clients").prefix(2) == ["fib saddr . iif oif missing counter drop", "jump extra_forward"])
    #expect(
      rules("input").dropFirst().prefix(2) == [
        "iifname \"ppp*\" ip saddr != 0.0.0.0 fib saddr . iif oif missing counter drop",
        "iifname \"ppp*\" ip6 saddr != :: fib saddr . iif oif missing counter drop",
      ])
  }

  // MARK: What is not ours

  @Test("A table of somebody else's is neither replaced nor removed nor taken for ours")
  func foreignTable() {
    let node = FilteringNode()
    node.machine.packetFilter.tables = [FilterTable("filter", handle: 3, comment: "the administrator's")]
    let named: [String: String?] = ["table": "filter"]
    #expect(
      node.perform("start", named)
        == Outcome(.genericError, "table inet filter already exists and was not created by this agent; choose another name"))
    #expect(node.perform("monitor", named) == Outcome(.notRunning))
    #expect(node.perform("stop", named) == Outcome(.success))
    #expect(node.machine.packetFilter.tables.map(\.handle) == [3])
    #expect(node.scripts.isEmpty)
  }

  @Test(
    "stop removes what was loaded, whatever the parameters say now",
    arguments: [["address": nil], ["address": "moon"], ["nat": "perhaps"], ["pool": "x"], ["table": "a b"], ["table": "other"], ["extra": "/etc/*"]]
      as [[String: String?]])
  func brokenParameters(_ changes: [String: String?]) {
    let node = FilteringNode().started()
    #expect(node.perform("stop", changes) == Outcome(.success))
    #expect(node.machine.packetFilter.tables.isEmpty)
  }

  // MARK: Draining

  @Test("Addresses that are draining still are after a reload, for as long as they were to be")
  func draining() throws {
    let node = FilteringNode().started()
    node.machine.packetFilter.members["vpnha draining"] = [
      SetMember(try #require(IPAddress("203.0.113.50"))),
      SetMember(try #require(IPAddress("203.0.113.51")), timeout: .seconds(3600), remaining: .milliseconds(61_500)),
    ]
    node.machine.packetFilter.members["vpnha draining6"] = [
      SetMember(try #require(IPAddress("2001:db8::50")), timeout: .seconds(5), remaining: .milliseconds(20))
    ]
    #expect(node.perform("monitor") == Outcome(.success))
    #expect(node.perform("reload-agent") == Outcome(.success))
    let script = try #require(node.scripts.last)
    #expect(
      script.contains(
        "set draining { type ipv4_addr; flags timeout; elements = { 203.0.113.50, 203.0.113.51 timeout 3600s expires 61s }; }"))
    #expect(script.contains("set draining6 { type ipv6_addr; flags timeout; elements = { 2001:db8::50 timeout 5s expires 1s }; }"))
    #expect(node.perform("monitor") == Outcome(.success), "what is draining is no difference")
  }

  // MARK: Surroundings

  @Test("A node that does not forward: a warning at start, at risk at level 10")
  func forwarding() {
    let node = FilteringNode()
    node.machine.files.kernelParameters["net.ipv4.ip_forward"] = "0"
    let reason = "pool: clients reach nothing while net.ipv4.ip_forward is 0: set it to 1"
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.warnings == [reason])
    #expect(node.perform("monitor") == Outcome(.success))
    #expect(node.perform("monitor", level: 10) == Outcome(.success, reason))
    // It is the interface on which a packet comes that decides.
    node.machine.files.kernelParameters = ["net.ipv4.ip_forward": "1", "net.ipv4.conf.default.forwarding": "0"]
    #expect(node.perform("monitor", level: 10) == Outcome(.success, "pool: clients reach nothing while net.ipv4.conf.default.forwarding is 0: set it to 1"))
    node.machine.files.kernelParameters = ["net.ipv4.ip_forward": "1", "net.ipv4.conf.eth0.forwarding": "0"]
    let lost = "pool: what arrives on eth0 reaches no client while net.ipv4.conf.eth0.forwarding is 0: set it to 1"
    #expect(node.perform("monitor", ["outside": "eth0"], level: 10).reason?.contains(lost) == true)
    node.machine.files.kernelParameters = ["net.ipv4.ip_forward": "0", "net.ipv4.conf.default.forwarding": "1"]
    #expect(node.perform("monitor", level: 10) == Outcome(.success), "switched on for single interfaces")
    node.machine.files.kernelParameters = ["net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "0"]
    #expect(node.perform("monitor", level: 10) == Outcome(.success), "nobody has IPv6")
    node.perform("stop")
    #expect(node.perform("start", ["pool": "10.9.0.0/24 2001:db8:9::/64"]) == Outcome(.success))
    #expect(node.warnings.last?.contains("net.ipv6.conf.all.forwarding") == true)
  }

  @Test("Other programs' rules that decide over our packets are named once, and again when they are others")
  func conflicts() {
    let node = FilteringNode()
    let input = BaseChain(family: "ip", table: "filter", name: "INPUT", hook: .input, dropsByDefault: true)
    node.machine.packetFilter.chains = [
      input, BaseChain(family: "ip", table: "filter", name: "OUTPUT", hook: .output, dropsByDefault: false),
      BaseChain(family: "inet", table: "vpnha", name: "input", hook: .input, dropsByDefault: true),
    ]
    let words = """
      chain INPUT of table ip filter drops by default: it must accept UDP 500 and 4500, ESP and (out of IPsec) UDP 1701 to the \
      gateway's addresses, too
      """
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.warnings == [words])
    for _ in 0..<2 { #expect(node.perform("monitor", level: 10) == Outcome(.success)) }
    #expect(node.warnings == [words])
    node.machine.files.put("filter\nnat\n", at: "/proc/net/ip_tables_names")
    #expect(node.perform("monitor", level: 10) == Outcome(.success))
    #expect(node.warnings.last == "iptables-legacy has rules, too (tables filter nat): it must accept the same packets")
    node.perform("stop")
    node.machine.packetFilter.chains = [BaseChain(family: "ip6", table: "f", name: "F", hook: .forward, dropsByDefault: true)]
    node.perform("start", ["pool": nil, "nat": nil])
    #expect(node.warnings.last?.contains("chain F") == false, "nothing is forwarded")
  }

  @Test("What others certainly drop is a risk, that they might drop it is a warning")
  func blockades() {
    let node = FilteringNode()
    #expect(node.perform("start") == Outcome(.success))
    let filter = node.machine.packetFilter
    filter.chains = [BaseChain(family: "inet", table: "filter", name: "input", hook: .input, dropsByDefault: false)]
    filter.drops = { $1.port == 4500 || $1.protocolNumber == 50 }
    let ike = "accept UDP 4500, ESP in chain input of table inet filter, which drops them"
    #expect(node.perform("monitor", level: 10) == Outcome(.success, ike))
    #expect(node.perform("monitor") == Outcome(.success))
    #expect(node.perform("validate-all", level: 10) == Outcome(.success, ike), "as foreseen")
    filter.chains = [BaseChain(family: "ip6", table: "filter", name: "forward", hook: .forward, dropsByDefault: true)]
    filter.drops = { _, _ in true }
    #expect(node.perform("monitor", level: 10) == Outcome(.success), "the pool has no IPv6")
    filter.chains = [BaseChain(family: "ip", table: "filter", name: "forward", hook: .forward, dropsByDefault: true)]
    #expect(node.perform("monitor", level: 10) == Outcome(.success, "accept the clients' packets, answers to clients in chain forward of table ip filter, which drops them"))
    filter.drops = { $1.passage?.isToClient == true }
    #expect(node.perform("monitor", level: 10) == Outcome(.success, "accept answers to clients in chain forward of table ip filter, which drops them"))
    filter.drops = { $1.passage?.address.description == "10.9.0.0" }
    #expect(node.perform("monitor", level: 10) == Outcome(.success), "one of them")
    // Our own table drops what is not meant for it.
    filter.chains = [BaseChain(family: "inet", table: "vpnha", name: "input", hook: .input, dropsByDefault: true)]
    #expect(node.perform("monitor", level: 10) == Outcome(.success))
  }

  @Test("Rules of the older iptables that drop are a risk; its program is asked where the kernel has its tables")
  func olderBlockades() {
    let node = FilteringNode()
    #expect(node.perform("start") == Outcome(.success))
    var rules = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p udp -m udp --dport 500 -j DROP\nCOMMIT\n"
    node.machine.files.putExecutable("/usr/sbin/iptables-legacy-save")
    node.machine.processes.whenRun("/usr/sbin/iptables-legacy-save") { _ in CommandResult(.exited(0), output: Array(rules.utf8)) }
    #expect(node.perform("monitor", level: 10) == Outcome(.success), "the kernel has none")
    node.machine.files.put("filter\n", at: "/proc/net/ip_tables_names")
    let risk = "iptables-legacy has rules that drop, see that they accept what clients send: iptables-legacy-save (-A INPUT -p udp -m udp --dport 500 -j DROP)"
    #expect(node.perform("monitor", level: 10) == Outcome(.success, risk))
    #expect(node.perform("monitor") == Outcome(.success))
    rules = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp -j ACCEPT\nCOMMIT\n"
    #expect(node.perform("monitor", level: 10) == Outcome(.success))
  }

  @Test("The table of another resource is left alone")
  func anothersTable() {
    let node = FilteringNode()
    #expect(node.perform("start") == Outcome(.success))
    guard let own = node.notes.first(where: { $0.hasSuffix(".ruleset") }), let record = node.machine.files.nodes[own] else {
      Issue.record("no record: \(node.notes)")
      return
    }
    node.machine.files.nodes = node.machine.files.nodes.filter { !$0.key.hasPrefix("/run/resource-agents/") }
    node.machine.files.nodes["/run/resource-agents/vpnha-firewall-other.ruleset"] = record
    #expect(node.perform("monitor") == Outcome(.notRunning))
    #expect(node.perform("start") == Outcome(.genericError, "table: inet vpnha is resource other's; choose another name"))
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.machine.packetFilter.tables.map(\.name) == ["vpnha"])
    // Without a record of anybody's it is ours: whoever loaded it was killed.
    node.machine.files.nodes["/run/resource-agents/vpnha-firewall-other.ruleset"] = nil
    #expect(node.perform("stop") == Outcome(.success) && node.machine.packetFilter.tables.isEmpty)
  }

  @Test("A name that no interface has is told, and is no obstacle")
  func misspeltInterface() {
    let node = FilteringNode()
    #expect(node.perform("start", ["outside": "ethO", "inside": "lan*"]) == Outcome(.success))
    let risk = "outside: ethO is not an interface of this node, so the rules for it match nothing"
    #expect(node.perform("monitor", ["outside": "ethO", "inside": "lan*"], level: 10) == Outcome(.success, risk))
    #expect(node.perform("validate-all", ["outside": "ethO", "inside": "lan*"], level: 10) == Outcome(.success, risk))
    #expect(node.warnings.prefix(1) == ["outside: ethO is not an interface of this node, so the rules for it match nothing"])
  }

  @Test("The clients' network is not one in which the gateway has its address")
  func poolOfTheGateway() {
    let node = FilteringNode()
    #expect(node.perform("start", ["pool": "203.0.113.0/24"]) == Outcome(.success))
    #expect(node.perform("monitor", ["pool": "203.0.113.0/24"], level: 10) == Outcome(.success, "pool: 203.0.113.0/24 holds the gateway's own 203.0.113.50: give clients a network of their own"))
  }

  @Test("The digest: told when it changes, missed when the cluster forgets it, compared with the peers'")
  func digest() throws {
    let node = FilteringNode()
    #expect(node.perform("start", node: "moon") == Outcome(.success))
    let told = try #require(node.machine.cluster.attributes["firewall-digest"])
    #expect(told.count == 16)
    #expect(node.perform("reload-agent", node: "moon") == Outcome(.success))
    func changes() -> [String] { node.machine.calls.changes.filter { $0.hasPrefix("cluster.setNodeAttribute") } }
    #expect(changes().count == 1, "a reload that changes nothing tells nothing")
    #expect(node.perform("monitor", level: 10, node: "moon") == Outcome(.success))
    #expect(changes().count == 1)
    node.machine.cluster.attributes = [:]
    #expect(node.perform("monitor", level: 10, node: "moon") == Outcome(.success))
    #expect(node.machine.cluster.attributes == ["firewall-digest": told])
    node.machine.cluster.peers["firewall-digest", default: [:]]["sun"] = told
    #expect(node.perform("monitor", level: 10, node: "moon") == Outcome(.success))
    node.machine.cluster.peers["firewall-digest", default: [:]]["sun"] = "0000000000000000"
    #expect(
      node.perform("monitor", level: 10, node: "moon") == Outcome(.success, "sun has other rules: compare the versions of vpnha"))
    #expect(node.perform("monitor", node: "moon") == Outcome(.success), "level 0 asks nobody")
    #expect(node.perform("stop", node: "moon") == Outcome(.success))
    #expect(node.machine.cluster.attributes["firewall-digest"] == nil)
  }

  @Test("A cluster that cannot be told changes nothing about the rules")
  func unreachableCluster() {
    let node = FilteringNode()
    node.machine.cluster.isReachable = false
    #expect(node.perform("start", node: "moon") == Outcome(.success))
    #expect(node.warnings.count == 1)
    #expect(node.perform("monitor", level: 10, node: "moon") == Outcome(.success))
    #expect(node.perform("stop", node: "moon") == Outcome(.success))
  }

  // MARK: Parameters

  @Test(
    "Parameters that do not fit each other",
    arguments: [
      (["address": nil], "address: is required"), (["pool": nil], "nat: needs pool, the clients' networks"),
      (["outside": nil], "nat: needs outside, the interfaces to translate on"),
      (["nat_address": "203.0.113.1 203.0.113.2"], "nat_address: expected at most one address of each family, or one for each of its networks in pool"),
      (["nat_address": "203.0.113.1 203.0.113.2 203.0.113.3", "pool": "10.9.0.0/24 10.9.1.0/24"], "nat_address: expected at most one address of each family, or one for each of its networks in pool"),
      (["nat_address": "2001:db8::1"], "nat_address: none of the pool's family"),
      (["address": "2001:db8::50"], "nat_address: none of the pool's family"),
    ] as [([String: String?], String)])
  func misfits(_ changes: [String: String?], _ reason: String) {
    let node = FilteringNode()
    // Refused here; another node, which has the rules from before, goes on.
    #expect(node.perform("start", changes) == Outcome(.genericError, reason))
    #expect(node.perform("validate-all", changes) == Outcome(.misconfigured, reason))
    #expect(node.machine.calls.changes.isEmpty)
  }

  @Test("validate-all at level 10 has nft check the rules, and loads nothing")
  func validation() {
    let node = FilteringNode()
    #expect(node.perform("validate-all") == Outcome(.success))
    #expect(node.scripts.isEmpty)
    #expect(node.perform("validate-all", level: 10) == Outcome(.success))
    #expect(node.machine.processes.ran.map(\.arguments) == [["--check", "--define", "vpnha=vpnha", "--file", "-"]])
    #expect(node.machine.packetFilter.tables.isEmpty)
    node.refusal = CommandResult(.exited(1), error: Array("/dev/stdin:1:1-2: Error: no\n".utf8))
    #expect(node.perform("validate-all", level: 10).status == .genericError)
  }

  /// For the agent of the daemon that serves it: what the loaded rules guard, and not what the parameters say.
  @Test func whichPortIsGuarded() {
    let node = FilteringNode()
    let guards = "/run/resource-agents/vpnha-firewall-firewall.guards"
    #expect(node.perform("start", ["port": "1702"]) == Outcome(.success))
    #expect(node.machine.files.text(at: guards) == "1702\n")
    #expect(node.perform("stop", ["port": "1702"]) == Outcome(.success))
    #expect(node.machine.files.text(at: guards) == nil)
    #expect(node.perform("start", ["port": "0"]).status == .success)
    #expect(node.machine.files.text(at: guards) == "1702\n", "the last good rules")
  }

  /// A start has the last good rules to fall back on.
  @Test("validate-all at level 10 says what a start would do", arguments: [false, true])
  func foreseen(_ hasRules: Bool) {
    let node = FilteringNode()
    if hasRules {
      #expect(node.perform("start") == Outcome(.success))
      #expect(node.perform("stop") == Outcome(.success))
    }
    let foreseen = node.perform("validate-all", ["port": "0"], level: 10)
    let start = node.perform("start", ["port": "0"])
    #expect(foreseen.status == start.status && start.status == (hasRules ? .success : .genericError))
    #expect(foreseen.reason?.hasPrefix("port: expected") == true && foreseen.reason?.hasSuffix("would be loaded") == hasRules)
  }

  // MARK: Faults

  /// With an error at every call: an action says so or succeeds truthfully, and the next stop leaves nothing.
  @Test(
    "An error forced at every call",
    arguments: ["start", "monitor", "monitor 10", "stop", "reload-agent", "repair"], [Errno.io, .notPermitted, .noSuchFile])
  func faults(_ what: String, _ errno: Errno) {
    var node = FilteringNode()
    func isLoaded(_ node: FilteringNode) -> Bool { !node.machine.packetFilter.tables.isEmpty }
    let forced = InMemoryMachine.failingEveryCall(with: errno) {
      node = FilteringNode()
      if what != "start" { #expect(node.perform("start", node: "moon") == Outcome(.success)) }
      if what == "repair" { node.contents.chains[0].rules.removeAll() }
      return node.machine
    } _: { _ in
      let words = what.split(separator: " ")
      return node.perform(what == "repair" ? "start" : String(words[0]), level: words.count > 1 ? 10 : 0, node: "moon")
    } check: { failed, outcome, machine in
      let failed = "\(failed)"
      switch what {
      case "start", "repair":
        // What success promises is there and whole.
        if outcome.status == .success {
          #expect(node.perform("monitor") == Outcome(.success), "\(failed)")
        } else {
          #expect(outcome.reason?.isEmpty == false, "\(failed)")
        }
      case "stop":
        #expect((outcome.status == .success) == !isLoaded(node), "\(failed): \(outcome)")
      case "reload-agent":
        #expect(isLoaded(node), "\(failed): a reload that fails leaves rules in force")
        if outcome.status != .success { #expect(outcome.reason?.isEmpty == false, "\(failed)") }
      default:
        #expect(outcome.status != .notRunning, "\(failed)")
        if outcome.status != .success { #expect(outcome.reason?.isEmpty == false, "\(failed)") }
      }
      machine.calls.reset()
      #expect(node.perform("stop", node: "moon") == Outcome(.success), "\(failed)")
      #expect(!isLoaded(node), "\(failed)")
    }
    #expect(forced > 2)
  }
}
