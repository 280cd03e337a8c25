import ArgumentParser
import Glibc
import Host
import LinuxHost

struct RecipeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "recipe",
    abstract: "Print one of README's recipes with your addresses, as a script; --apply runs it.",
    discussion: """
      The script looks first (root, interface, cluster, nothing there already), stops at the first command that is refused, \
      and changes the cluster in one push at its end. Without options it has README's example values.

      \(Recipe.Name.allCases.map { padded($0.rawValue, 12) + $0.about }.joined(separator: "\n"))
      """)

  @Argument(help: ArgumentHelp("\(Recipe.Name.allCases.map(\.rawValue).joined(separator: ", ")).", valueName: "recipe"))
  var name: String
  @Option(help: ArgumentHelp("The gateway's address, which moves.", valueName: "address/prefix"))
  var vip: String?
  @Option(help: ArgumentHelp("The interface that it is on, and from which clients come.", valueName: "interface"))
  var nic: String?
  @Option(help: ArgumentHelp("The network that clients get their addresses from.", valueName: "network/prefix"))
  var pool: String?
  @Option(help: ArgumentHelp("two-addresses: the second address.", valueName: "address/prefix"))
  var vipB: String?
  @Option(help: ArgumentHelp("two-addresses: the network that its clients get their addresses from.", valueName: "network/prefix"))
  var poolB: String?
  @Option(help: ArgumentHelp("two-addresses: the nodes that the first and the second address belong to.", valueName: "node node"))
  var homes: String?
  @Option(help: ArgumentHelp("two-addresses: the hour, 0 to 23, in which an address goes back to its node. (default: 3)", valueName: "hour"))
  var homeHour: Int?
  @Option(help: ArgumentHelp("balanced: each gateway and its own outside address, with a weight where they differ.", valueName: "node:address[=weight] …"))
  var servers: String?
  @Option(help: ArgumentHelp("balanced: the interface that only the gateways reach, for what they tell each other.", valueName: "interface"))
  var syncNic: String?
  @Option(help: ArgumentHelp("swanctl.conf's connections that must be loaded.", valueName: "names"))
  var connections: String?
  @Option(help: ArgumentHelp("Next hops for the probe to ask, separated by spaces.", valueName: "addresses"))
  var ping: String?
  @Option(help: ArgumentHelp("IKE responders elsewhere for the probe to ask; empty: none.", valueName: "addresses"))
  var ike: String?
  @Option(help: ArgumentHelp("A node and the address of the device that ends it; once for each node.", valueName: "node=address"))
  var fence: [String] = []
  @Option(help: ArgumentHelp("The fence agent.", valueName: "agent"))
  var fenceAgent: String?
  @Option(help: ArgumentHelp("The account at the fence devices.", valueName: "name"))
  var fenceUser: String?
  @Option(help: ArgumentHelp("A program on every node that prints the password; without it replace the word secret.", valueName: "file"))
  var fencePasswordScript: String?
  @Flag(help: "The cluster has a quorum device (docs/operations.md): no delay is needed where a split is decided by votes.")
  var quorumDevice = false
  @Flag(help: "announce: FRR tells the routers, not BIRD.")
  var frr = false
  @Option(help: ArgumentHelp("Where alerts are posted.", valueName: "url"))
  var receiver: String?
  @Option(help: ArgumentHelp("json, slack, alertmanager or pagerduty.", valueName: "format"))
  var format: String?
  @Flag(help: "For crmsh: cluster and warm standby in one file, or what is added to it (probe, announce, alert).")
  var crm = false
  @Flag(help: "The commands alone, as README shows them.")
  var lines = false
  @Flag(help: "One JSON object: recipe, about, commands, script.")
  var json = false
  @Flag(help: "Run the script now; what it would do is what is printed without this.")
  var apply = false

  private var wanted: Recipe.Name? { Recipe.Name(rawValue: name) }

  func validate() throws {
    guard let wanted else {
      throw ValidationError("there is no recipe \(name); there are \(Recipe.Name.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    if crm, !Recipe(name: wanted).hasCrm {
      let names = Recipe.Name.allCases.filter { Recipe(name: $0).hasCrm }.map(\.rawValue).joined(separator: ", ")
      throw ValidationError("--crm: there are crmsh files for \(names); promotable and seamless have the cluster's part in them")
    }
    if frr, wanted != .announce { throw ValidationError("--frr is for the recipe announce") }
    if json, crm { throw ValidationError("--json describes the recipe for pcs") }
    _ = try values()
    if apply, wanted == .cluster, fence.isEmpty { throw ValidationError("--apply needs --fence NODE=ADDRESS for each node: README's are examples") }
    if apply, wanted == .cluster, fencePasswordScript == nil { throw ValidationError("--apply needs --fence-password-script: a password is on no command line of ours") }
    if apply, wanted == .balanced, servers == nil { throw ValidationError("--apply needs --servers: README's are examples") }
    if apply, [.promotable, .seamless, .twoAddresses, .balanced, .group, .libreswan, .probe, .firewall, .announce].contains(wanted), vip == nil { throw ValidationError("--apply needs --vip: README's address is an example") }
    if apply, wanted == .twoAddresses, vipB == nil || homes == nil { throw ValidationError("--apply needs --vip-b and --homes: README's are examples") }
    if apply, [.probe, .twoAddresses].contains(wanted), ping == nil { throw ValidationError("--apply needs --ping: README's next hops are examples") }
    if apply, wanted == .alert, receiver == nil { throw ValidationError("--apply needs --receiver: README's is an example") }
    if apply, crm { throw ValidationError("--apply runs the recipe for pcs; load the crmsh file by hand") }
  }

  func run() throws {
    guard let wanted else { return }
    let recipe = Recipe(name: wanted, values: try values())
    guard apply else { return print(json ? recipe.json : crm ? (lines ? recipe.crm : recipe.crmScript) : lines ? recipe.lines : recipe.script) }
    guard geteuid() == 0 else { throw SystemError("applying the recipe", .notPermitted, detail: "run this as root") }
    let host = Host.silent
    do throws(SystemError) {
      try recipe.apply(PacemakerTools(host)) {
        print($0)
        fflush(nil)
      }
    } catch {
      print(padded(Verdict.bad.shown, 9) + (error.operation.hasPrefix("pushing") ? "" : "nothing was changed: ") + "\(error)")
      throw ExitCode(Verdict.bad.rawValue)
    }
    print(padded(Verdict.good.shown, 9) + "the cluster has the recipe \(wanted.rawValue); now: vpnha status")
  }

  func values() throws -> Recipe.Values {
    var values = Recipe.Values()
    func interface(_ option: String, _ text: String) throws -> (String, Int) {
      let parts = text.split(separator: "/", omittingEmptySubsequences: false)
      guard let address = parts.first.flatMap({ IPAddress($0) }), let prefix = parts.count == 2 ? Int(parts[1]) : nil, (1...(address.isIPv6 ? 128 : 32)).contains(prefix) else {
        throw ValidationError("--\(option): expected an address and its prefix, as 203.0.113.50/24, got \"\(text)\"")
      }
      return (address.description, prefix)
    }
    if let vip { (values.address, values.prefix) = try interface("vip", vip) }
    if let vipB { (values.addressB, values.prefixB) = try interface("vip-b", vipB) }
    func link(_ option: String, _ name: String) throws -> String {
      guard (1...15).contains(name.utf8.count), name.utf8.allSatisfy({ Self.isWord($0) }), name != ".", name != ".." else { throw ValidationError("--\(option): \"\(name)\" is no interface's name") }
      return name
    }
    if let nic { values.nic = try link("nic", nic) }
    if let syncNic { values.syncNic = try link("sync-nic", syncNic) }
    func network(_ option: String, _ text: String) throws -> String {
      let parts = text.split(separator: "/", omittingEmptySubsequences: false)
      guard parts.count == 2, let address = IPAddress(parts[0]), let prefix = Int(parts[1]), (1...(address.isIPv6 ? 128 : 32)).contains(prefix) else {
        throw ValidationError("--\(option): expected a network and its prefix, as 10.9.0.0/24, got \"\(text)\"")
      }
      return text
    }
    if let pool { values.pool = try network("pool", pool) }
    if let poolB { values.poolB = try network("pool-b", poolB) }
    func words(_ option: String, _ text: String) throws -> [String] {
      let words = text.split(separator: " ").map(String.init)
      for word in words where !word.utf8.allSatisfy({ Self.isWord($0) || $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: "%") }) { throw ValidationError("--\(option): \"\(word)\" cannot be one") }
      return words
    }
    func word(_ option: String, _ text: String, _ more: String = "") throws -> String {
      guard !text.isEmpty, text.utf8.allSatisfy({ Self.isWord($0) || more.utf8.contains($0) }) else { throw ValidationError("--\(option): \"\(text)\" cannot be one") }
      return text
    }
    if let connections { values.connections = try words("connections", connections).joined(separator: " ") }
    if let servers {
      values.servers = try servers.split(separator: " ").map { text in
        guard text.utf8.allSatisfy({ Self.isWord($0) || ":=".utf8.contains($0) }), text.contains(":") else { throw ValidationError("--servers: expected node:address or node:address=weight, got \"\(text)\"") }
        return String(text)
      }
      guard values.servers.count > 1 else { throw ValidationError("--servers: expected each gateway, as \"moon:203.0.113.11 sun:203.0.113.12\"") }
    }
    if let homes {
      values.homes = try words("homes", homes)
      guard values.homes.count == 2, values.homes[0] != values.homes[1] else { throw ValidationError("--homes: expected two nodes, as \"moon sun\"") }
    }
    if let homeHour {
      guard (0...23).contains(homeHour) else { throw ValidationError("--home-hour: 0 to 23") }
      values.homeHour = homeHour
    }
    if values.address == values.addressB { throw ValidationError("--vip-b: is the first address as well") }
    // The page's responder is an example as well: who gives next hops of his own means no other target.
    if let ping { (values.ping, values.ike) = (try words("ping", ping), []) }
    if let ike { values.ike = try words("ike", ike) }
    if let receiver { values.receiver = try word("receiver", receiver, ":/?&=%+~,") }
    if let format { values.format = try word("format", format) }
    if let fenceAgent { values.fenceAgent = try word("fence-agent", fenceAgent) }
    values.hasQuorumDevice = quorumDevice
    values.hasFRR = frr
    if let fenceUser { values.fenceUser = try word("fence-user", fenceUser, "@") }
    if let fencePasswordScript { values.fencePasswordScript = try word("fence-password-script", fencePasswordScript, "/") }
    if !fence.isEmpty {
      values.fence = try fence.map { text in
        let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
        guard parts.count == 2 else { throw ValidationError("--fence: expected node=address, got \"\(text)\"") }
        return Recipe.Values.Fence(try word("fence", parts[0]), try word("fence", parts[1], ":"))
      }
    }
    return values
  }

  private static func isWord(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || "-_.".utf8.contains(byte)
  }
}

extension Recipe {
  var json: String {
    jsonObject([
      ("recipe", name.rawValue.jsonQuoted), ("about", name.about.jsonQuoted),
      ("commands", jsonArray(commands.map { jsonArray((["pcs"] + $0).map(\.jsonQuoted)) })), ("script", script.jsonQuoted),
    ])
  }

  /// What the script does, without a shell. Until the push nothing is changed; the push is the last thing that can fail.
  func apply(_ tools: PacemakerTools, _ say: (String) -> Void) throws(SystemError) {
    if needsInterface, try tools.files.status("/sys/class/net/\(values.nic)") == nil { throw SystemError("looking for \(values.nic)", .noSuchFile, detail: "there is no such interface on this node") }
    let configuration = try tools.configuration()
    let known = try ClusterConfiguration(configuration)
    for id in makes where known.primitives.contains(where: { $0.id == id }) { throw SystemError("creating \(id)", .exists, detail: "there is a resource \(id) already") }
    if let needed, !known.primitives.contains(where: { $0.names.contains(needed) }) { throw SystemError("looking for \(needed)", .noSuchFile, detail: "apply the recipe promotable first") }
    let file = "/run/vpnha-recipe-\(try tools.processes.current().pid).xml"
    try tools.files.replace(file, with: configuration, mode: 0o600)
    let result: Result<Void, SystemError>
    do throws(SystemError) {
      for words in commands {
        say("pcs \(words.map(shellQuoted).joined(separator: " "))")
        _ = try tools.run("/usr/sbin/pcs", ["-f", file] + words, within: .seconds(60))
      }
      _ = try tools.run("/usr/sbin/crm_verify", ["--xml-file", file], within: .seconds(20))
      say("pcs \(push("THE COPY").joined(separator: " "))")
      do throws(SystemError) {
        _ = try tools.run("/usr/sbin/pcs", push(file), within: .seconds(120))
      } catch {
        throw SystemError("pushing the changes", error.errno, detail: "refused, or made and not settled yet; vpnha status says which: \(error.detail ?? "\(error.errno)")")
      }
      result = .success(())
    } catch { result = .failure(error) }
    try tools.files.remove(file)
    try result.get()
  }
}
