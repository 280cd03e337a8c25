import Host
import HostTestKit
import OCF
import Testing

@testable import AnnounceAgent

/// A node with a routing daemon, as far as the agent can tell.
protocol RoutedNode: AnyObject {
  var machine: InMemoryMachine { get }
  /// What the operator would call it; the parameter.
  var name: String { get }
  var daemon: String { get }
  /// Where it is asked.
  var socket: String { get }
  var program: String { get }
  var isEstablished: Bool { get set }
  /// Takes no list.
  var isBroken: Bool { get set }
  /// Connects, and is silent.
  var isHung: Bool { get set }
  var neighbour: String { get }
  /// Whether the neighbour hears of the address, and through which path.
  var isAnnouncing: Bool { get }
}

extension RoutedNode {
  func hold(_ prefix: Int = 32) throws {
    machine.network.addresses.append(InterfaceAddress(try #require(IPAddress("203.0.113.50")), prefixLength: prefix, link: 2))
  }
  var isHeld: Bool { !machine.network.addresses.isEmpty }

  func perform(_ action: String, _ parameters: [String: String] = [:], clone: Bool = true, level: Int = 0, byHand: Bool = false) -> Outcome {
    var environment = [
      "OCF_RESOURCE_TYPE": "announce", "OCF_RESOURCE_INSTANCE": "announce", "OCF_CHECK_LEVEL": "\(level)", "OCF_RESKEY_CRM_meta_on_node": "moon",
      "OCF_RESKEY_CRM_meta_timeout": "20000", "OCF_RESKEY_CRM_meta_interval": "10000", "OCF_RESKEY_prefixes": "203.0.113.50", "OCF_RESKEY_daemon": daemon,
    ]
    if clone { environment["OCF_RESKEY_CRM_meta_promoted_max"] = "1" }
    if byHand { environment["OCF_RESKEY_CRM_meta_on_node"] = nil }
    for (name, value) in parameters { environment["OCF_RESKEY_\(name)"] = value }
    return OCF.perform(RouteAnnouncement.self, Request(arguments: ["announce", action], environment: environment), on: machine.host, from: machine.clock.now)
  }
}

/// It loads the file when it is told to, and exports what the list lets through.
final class BIRDNode: RoutedNode {
  static let list = "/run/vpnha-bird.conf"
  let machine = InMemoryMachine(links: [Link(index: 2, name: "eth0")])
  let (name, daemon, socket, program, neighbour) = ("BIRD", "bird", "/run/bird/bird.ctl", "/usr/sbin/bird", "upstream")
  var isEstablished = true
  var isBroken = false
  var isHung = false
  private(set) var loaded = ""

  init() {
    machine.files.putExecutable(program)
    machine.sockets.whenConnected(toUnix: socket) { [unowned self] in PeerThatGreets(machine, isSilent: isHung, answer) }
  }

  var text: String { machine.files.nodes[Self.list].map { String(decoding: $0.bytes, as: UTF8.self) } ?? "" }
  var isAnnouncing: Bool { isHeld && loaded.contains(" announcing ") }

  private func answer(_ command: String) -> String {
    switch command {
    case "eval vpnha_list": return loaded.split(separator: "\"").dropFirst().first.map { "0023 \($0)\n" } ?? "9001 syntax error\n"
    case "configure check": return isBroken ? "8002 /etc/bird/bird.conf:1:1 syntax error\n" : "0020 Configuration OK\n"
    case "configure":
      if isBroken { return "8002 /etc/bird/bird.conf:1:1 syntax error\n" }
      loaded = text
      return "0003 Reconfigured\n"
    case "show protocols": return "1002-device1 Device --- up 0\n upstream BGP --- up 0 Established\n0000 \n"
    case "show protocols all 'upstream'": return "1006-  BGP state:          \(isEstablished ? "Established" : "Active")\n     Neighbor address: 10.0.0.2\n     Local AS: 65001\n0000 \n"
    case "show route 203.0.113.50/32 export 'upstream'": return isEstablished && isAnnouncing ? "1007-203.0.113.50/32 unicast\n0000 \n" : "8001 Network not found\n"
    default: return "9001 syntax error\n"
    }
  }
}

/// It forgets what it was given whenever the test wants it to, and announces a network that the node holds.
final class FRRNode: RoutedNode {
  let machine = InMemoryMachine(links: [Link(index: 2, name: "eth0")])
  let (name, daemon, socket, program, neighbour) = ("FRR", "frr", "/run/frr/bgpd.vty", "/usr/lib/frr/bgpd", "10.0.0.2")
  var isEstablished = true
  /// There is no import check.
  var isBroken = false
  var isHung = false
  var hasZebra = true
  var isRedistributed = false
  var hasIPv6 = false
  /// The commands that are refused.
  var refuses: [String] = []
  var networks: [String: String] = [:]
  private(set) var routeMaps: [String: String] = [:]
  private var mode = ""

  init() {
    machine.files.putExecutable(program)
    machine.sockets.whenConnected(toUnix: socket) { [unowned self] in stream(isSilent: isHung, answer) }
    machine.sockets.whenConnected(toUnix: "/run/frr/zebra.vty") { [unowned self] in
      stream(isSilent: false) { [unowned self] in $0 == "show zebra client summary" && hasZebra ? ("Name\nbgp    00:00:01\n", 0) : ("", 0) }
    }
  }

  private func stream(isSilent: Bool, _ answer: @escaping (String) -> (String, UInt8)) -> any ByteStream {
    machine.stream { unread in
      guard unread.last == 0 else { return [] }
      let command = String(decoding: unread.dropLast(), as: UTF8.self)
      unread = []
      if isSilent { return [.silence] }
      let (text, status) = answer(command)
      return [.says(Array(text.utf8) + [0, 0, 0, status])]
    }
  }

  var isAnnouncing: Bool { isHeld && networks["203.0.113.50/32"] == "" }
  /// What the neighbour sees of the address: the clause of its route map, or nothing.
  var path: String? { isHeld ? networks["203.0.113.50/32"].map { routeMaps[$0] ?? "" } : nil }
  var isRecorded: Bool { machine.files.nodes["/run/resource-agents/vpnha-announce-announce.list"] != nil }

  private func answer(_ command: String) -> (String, UInt8) {
    if refuses.contains(command) { return ("% No\n", 13) }
    let words = command.split(separator: " ").map(String.init)
    switch command {
    case "enable", "end", "configure terminal": mode = ""
    case "show bgp summary json":
      return (#"{"ipv4Unicast":{"as":65001,"peers":{"10.0.0.2":{}}}"# + (hasIPv6 ? #","ipv6Unicast":{"as":65001,"peers":{"2001:db8::2":{}}}"# : "") + "}", 0)
    case "show bgp neighbors 2001:db8::2 json" where hasIPv6: return (#"{"2001:db8::2":{"localAs":65001,"bgpState":"Established","addressFamilyInfo":{"ipv6Unicast":{}}}}"#, 0)
    case "show bgp neighbors 10.0.0.2 json": return ("{\"10.0.0.2\":{\"localAs\":65001,\"bgpState\":\"\(isEstablished ? "Established" : "Active")\",\"addressFamilyInfo\":{\"ipv4Unicast\":{}}}}", 0)
    case "show running-config | include ^router bgp|^ no bgp network import-check": return ("router bgp 65001\n\(isBroken ? " no bgp network import-check\n" : "")", 0)
    case "router bgp 65001", "address-family ipv4 unicast", "address-family ipv6 unicast": mode = command
    default:
      switch (words.first, mode) {
      case ("show", _) where words.count == 6 && words[3] == "unicast": return (route(words[4]), 0)
      case ("network", "address-family ipv4 unicast"), ("network", "address-family ipv6 unicast"): networks[words[1]] = words.count == 4 ? words[3] : ""
      case ("no", "address-family ipv4 unicast") where words[1] == "network", ("no", "address-family ipv6 unicast") where words[1] == "network":
        guard networks.removeValue(forKey: words[2]) != nil else { return ("% Can't find static route specified\n", 13) }
      case ("no", "") where words[1] == "route-map": routeMaps[words[2]] = nil
      case ("route-map", ""): mode = words[1]
      case ("set", _) where !mode.isEmpty: routeMaps[mode] = command
      default: return ("% [BGP] Unknown command: \(command)\n", 2)
      }
    }
    return ("", 0)
  }

  private func route(_ prefix: String) -> String {
    guard let map = networks[prefix] else { return "{}" }
    let clause = (routeMaps[map] ?? "").split(separator: " ")
    let (med, hops) = (clause.dropFirst().first == "metric" ? String(clause[2]) : "0", clause.dropFirst().first == "as-path" ? clause.count - 3 : 0)
    return "{\(isEstablished && isHeld ? "\"advertisedTo\":{\"\(prefix.contains(":") ? "2001:db8::2" : "10.0.0.2")\":{}}," : "")\"paths\":[{\"sourced\":true,\"origin\":\"IGP\",\"metric\":\(med),\"aspath\":{\"length\":\(hops)}}\(isRedistributed ? ",{\"sourced\":true,\"origin\":\"incomplete\"}" : "")]}"
  }
}

enum RoutedNodes: String, CaseIterable {
  case bird, frr
  var node: any RoutedNode { self == .bird ? BIRDNode() : FRRNode() }
}

private final class PeerThatGreets: ByteStream {
  private var says = Array("0001 BIRD 2.0.12 ready.\n".utf8)
  private let machine: InMemoryMachine
  private let answer: (String) -> String
  private let stream: ScriptedStream
  private let isSilent: Bool

  init(_ machine: InMemoryMachine, isSilent: Bool, _ answer: @escaping (String) -> String) {
    self.machine = machine
    self.answer = answer
    self.isSilent = isSilent
    stream = machine.stream { unread in
      defer { unread = [] }
      return [.says(Array(answer(String(decoding: unread.dropLast(), as: UTF8.self)).utf8))]
    }
  }
  func read(limit: Int, before deadline: Instant) throws(SystemError) -> [UInt8] {
    if isSilent {
      machine.clock.sleep(until: deadline)
      throw SystemError("reading", .timedOut)
    }
    if says.isEmpty { return try stream.read(limit: limit, before: deadline) }
    defer { says = [] }
    return says
  }
  func write(_ bytes: [UInt8], before deadline: Instant) throws(SystemError) { try stream.write(bytes, before: deadline) }
  func close() { stream.close() }
}

@Suite struct AnnounceTests {
  @Test(arguments: RoutedNodes.allCases) func aLife(_ kind: RoutedNodes) throws {
    let node = kind.node
    #expect(node.perform("monitor").status == .notRunning)
    #expect(node.perform("start") == Outcome(.success))
    if let node = node as? BIRDNode { #expect(node.text.contains("function vpnha()\n{\n  return false;\n}\n")) }
    #expect(node.perform("monitor") == Outcome(.success))
    #expect(node.perform("promote") == Outcome(.genericError, "203.0.113.50 is not on this node, and so it is not announced"))
    try node.hold()
    #expect(node.perform("promote") == Outcome(.success) && node.isAnnouncing)
    if let node = node as? BIRDNode { #expect(node.text.contains("if source != RTS_DEVICE then return false;\n  if net.type = NET_IP4 && !(net ~ [ 203.0.113.50/32 ]) then return false;\n  if net.type = NET_IP6 then return false;\n  return true;")) }
    #expect(node.perform("monitor", level: 10) == Outcome(.runningPromoted))
    let before = node.machine.clock.now
    #expect(node.perform("demote", ["withdraw_wait": "3"]) == Outcome(.success) && !node.isAnnouncing)
    #expect(node.machine.clock.now - before >= .seconds(3), "the network has time to learn it")
    #expect(node.perform("monitor") == Outcome(.success))
    #expect(node.perform("stop") == Outcome(.success) && node.perform("monitor").status == .notRunning)
    if let node = node as? FRRNode { #expect(node.networks.isEmpty && !node.isRecorded) }
  }

  @Test(arguments: ["224.0.0.5", "0.0.0.0", "127.0.0.1", "::ffff:203.0.113.50"])
  func aPrefixThatNobodyReachesIsRefused(prefix: String) {
    #expect(BIRDNode().perform("validate-all", ["prefixes": prefix]).reason?.hasSuffix("is no address that others reach") == true)
  }

  /// validate-all says what a start would come to.
  @Test(arguments: RoutedNodes.allCases) func aStartIsForeseen(_ kind: RoutedNodes) {
    let node = kind.node
    #expect(node.perform("validate-all", level: 10) == Outcome(.success), "the file comes with the first start")
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.perform("validate-all", level: 10) == Outcome(.success))
    node.isEstablished = false
    #expect(node.perform("validate-all", level: 10).reason?.hasPrefix("could not announce: \(node.neighbour): Active") == true)
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.perform("start").status == node.perform("validate-all", level: 10).status)
    node.isBroken = true
    let refused = node.perform("validate-all", level: 10)
    #expect(node.perform("stop") == Outcome(.success))
    #expect(refused.status == .genericError && node.perform("start") == refused)
    let absent = kind.node
    absent.machine.sockets.unix[absent.socket] = nil
    let gone = absent.perform("validate-all", level: 10)
    #expect(gone.status == .genericError && absent.perform("start") == gone)
  }

  @Test(arguments: RoutedNodes.allCases) func aPrefixOfTheNetworkIsNoHostRoute(_ kind: RoutedNodes) throws {
    let node = kind.node
    try node.hold(24)
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.perform("promote") == Outcome(.genericError, "203.0.113.50 is here as 203.0.113.50/24: give vip cidr_netmask=32, or \(kind == .bird ? "BIRD announces the network" : "FRR announces nothing")"))
  }

  @Test func aRefusedListIsTakenBack() throws {
    let node = BIRDNode()
    try node.hold()
    #expect(node.perform("start") == Outcome(.success))
    node.isBroken = true
    let before = node.text
    let refusal = "BIRD refuses its configuration: /etc/bird/bird.conf:1:1 syntax error"
    #expect(node.perform("promote") == Outcome(.genericError, refusal) && node.text == before)
    #expect(node.perform("monitor", level: 10) == Outcome(.success, refusal) && node.machine.cluster.scores["announce"] == 5)
    #expect(node.perform("reload-agent", ["standby": "med"]) == Outcome(.success, refusal) && node.text == before)
    node.isBroken = false
    #expect(node.perform("promote") == Outcome(.success))
    node.isBroken = true
    #expect(node.perform("demote").status == .success, "a file that BIRD refuses stops no demotion")
    #expect(node.text.contains(" standby ") && node.perform("stop") == Outcome(.success))
  }

  @Test(arguments: RoutedNodes.allCases) func nobodyToTell(_ kind: RoutedNodes) throws {
    let node = kind.node
    try node.hold()
    node.isEstablished = false
    #expect(node.perform("start") == Outcome(.success, "could not announce: \(node.neighbour): Active"))
    #expect(node.machine.cluster.scores["announce"] == 5, "the peer is the better candidate")
    #expect(node.perform("promote") == Outcome(.genericError, "0 of 1 neighbours told: \(node.neighbour): Active"))
    #expect(!node.isAnnouncing)
    node.isEstablished = true
    #expect(node.perform("promote") == Outcome(.success))
    node.isEstablished = false
    #expect(node.perform("monitor") == Outcome(.failedPromoted, "0 of 1 neighbours told: \(node.neighbour): Active"))
  }

  @Test(arguments: RoutedNodes.allCases) func withoutTheDaemon(_ kind: RoutedNodes) throws {
    let node = kind.node
    try node.hold()
    #expect(node.perform("start") == Outcome(.success) && node.perform("promote") == Outcome(.success))
    node.machine.sockets.unix = [:]
    #expect(node.perform("monitor").status == .failedPromoted)
    #expect(node.perform("demote").status == .success && node.perform("monitor").status == .success)
    #expect(node.perform("stop") == Outcome(.success))
    node.machine.files.nodes[node.program] = nil
    #expect(node.perform("start") == Outcome(.notInstalled, "\(node.program) is missing (package \(kind == .bird ? "bird2" : "frr"))"))
  }

  /// What it was told is not known to have reached anybody: the routers go on sending here until the hold time is over.
  @Test(arguments: RoutedNodes.allCases) func aHungDaemonGoesOnAnnouncing(_ kind: RoutedNodes) throws {
    let node = kind.node
    let asked = kind == .bird ? "BIRD" : "bgpd"
    let words = "kill \(node.name) (systemctl kill -s KILL \(node.daemon)), the routers may go on sending to this node: \(node.name) hangs: asking \(asked) through \(node.socket): no answer in time (ETIMEDOUT)"
    try node.hold()
    #expect(node.perform("start") == Outcome(.success) && node.perform("promote") == Outcome(.success))
    node.isHung = true
    let before = node.machine.clock.now
    #expect(node.perform("demote") == Outcome(.genericError, words) && node.isAnnouncing)
    #expect(node.machine.clock.now - before < .seconds(8))
    node.machine.network.addresses = []
    #expect(node.perform("monitor").status == .failedPromoted && node.perform("stop") == Outcome(.genericError, words))
    // Whatever it reads when it wakes is closed.
    #expect(node.perform("monitor").status == .failedPromoted)
    if let node = node as? BIRDNode { #expect(node.text.contains("  return false;\n}")) }
    node.isHung = false
    #expect(node.perform("stop") == Outcome(.success) && node.perform("monitor").status == .notRunning && !node.isAnnouncing)
    if let node = node as? BIRDNode { #expect(node.loaded.contains(" stopped ")) }
  }

  /// One that is silent already is silent when it hangs, and one that is dead is.
  @Test(arguments: RoutedNodes.allCases) func aHungDaemonThatWasSilentStopsNobody(_ kind: RoutedNodes) throws {
    let node = kind.node
    #expect(node.perform("start") == Outcome(.success))
    node.isHung = true
    #expect(node.perform("stop") == Outcome(.success))
    node.isHung = false
    try node.hold()
    #expect(node.perform("start") == Outcome(.success) && node.perform("promote") == Outcome(.success))
    node.machine.sockets.unix = [:]
    #expect(node.perform("demote").status == .success && node.perform("stop") == Outcome(.success))
  }

  @Test func anothersFileIsLeftAlone() {
    let node = BIRDNode()
    node.machine.files.put("router id 10.0.0.1;\n", at: BIRDNode.list)
    #expect(node.perform("start") == Outcome(.genericError, "include: /run/vpnha-bird.conf exists and was not written by this agent; name another file"))
    #expect(node.perform("stop") == Outcome(.success) && node.text == "router id 10.0.0.1;\n")
  }

  @Test(arguments: RoutedNodes.allCases, ["start", "promote", "demote", "stop"]) func aFailureAtAnyCallIsAnErrorOrHarmless(_ kind: RoutedNodes, _ action: String) throws {
    var node = kind.node
    let forced = InMemoryMachine.failingEveryCall {
      node = kind.node
      do { try node.hold() } catch { Issue.record(error) }
      if action != "start" { _ = node.perform("start") }
      if action == "demote" || action == "stop" { _ = node.perform("promote") }
      return node.machine
    } _: { _ in
      node.perform(action)
    } check: { failed, outcome, _ in
      guard outcome.status == .success else { return #expect(outcome.reason?.isEmpty == false, "\(failed)") }
      switch (action, node as? BIRDNode) {
      case ("promote", _): #expect(node.isAnnouncing, "\(failed)")
      case ("start", let bird): #expect(!node.isAnnouncing && bird?.text.contains(" standby ") != false, "\(failed)")
      // What BIRD was not told ends with the address; the file is closed.
      case (_, let bird?): #expect(!bird.text.contains(" announcing "), "\(failed)")
      // A bgpd that cannot be reached because it is gone announces nothing.
      case (_, nil): #expect(!node.isAnnouncing || failed.description.contains("connect"), "\(failed)")
      }
    }
    #expect(forced > 5)
  }

  @Test func longerPathsOfBIRD() throws {
    let node = BIRDNode()
    try node.hold()
    #expect(node.perform("start", ["standby": "med"]).status == .success && node.text.contains("bgp_med = 1000;"))
    #expect(node.perform("promote", ["standby": "med"]) == Outcome(.success) && node.text.contains("bgp_med = 0;"))
    #expect(node.perform("demote", ["standby": "prepend"]).status == .success)
    #expect(node.text.components(separatedBy: "bgp_path.prepend(65001);").count == 4)
  }

  @Test func longerPathsOfFRR() throws {
    let node = FRRNode()
    try node.hold()
    #expect(node.perform("start", ["standby": "med"]) == Outcome(.success) && node.path == "set metric 1000")
    #expect(node.perform("monitor", ["standby": "med"]) == Outcome(.success))
    #expect(node.perform("promote", ["standby": "med"]) == Outcome(.success) && node.path == "" && node.routeMaps.isEmpty)
    #expect(node.perform("demote", ["standby": "prepend"]) == Outcome(.success) && node.path == "set as-path prepend 65001 65001 65001")
    #expect(node.perform("monitor", ["standby": "prepend"]) == Outcome(.success))
    #expect(node.perform("reload-agent", ["standby": "withdraw"]) == Outcome(.success) && node.path == nil && node.routeMaps.isEmpty)
    #expect(node.perform("stop") == Outcome(.success) && !node.isRecorded)
  }

  /// What a restart or reload of FRR took, the cluster's monitor gives again; who only looks changes nothing.
  @Test func whatFRRForgotIsGivenAgain() throws {
    let node = FRRNode()
    try node.hold()
    #expect(node.perform("start") == Outcome(.success) && node.perform("promote") == Outcome(.success))
    node.networks = [:]
    let lost = Outcome(.failedPromoted, "FRR has lost network 203.0.113.50/32, as a restart or reload of it does")
    #expect(node.perform("monitor", byHand: true) == lost && node.networks.isEmpty)
    #expect(node.perform("monitor", ["CRM_meta_interval": "0"]) == lost && node.networks.isEmpty, "a probe is a look")
    #expect(node.perform("monitor") == Outcome(.runningPromoted) && node.isAnnouncing)
    // Not where the address is not, and not where it would stay.
    node.networks = [:]
    node.isBroken = true
    #expect(node.perform("monitor").status == .failedPromoted && node.networks.isEmpty)
    node.isBroken = false
    node.machine.network.addresses = []
    #expect(node.perform("monitor") == Outcome(.failedPromoted, "203.0.113.50 is not on this node, and so it is not announced") && node.networks.isEmpty)
    try node.hold()
    #expect(node.perform("demote") == Outcome(.success) && node.perform("monitor") == Outcome(.success) && node.networks.isEmpty)
    // A statement that somebody saved goes with the next start.
    #expect(node.perform("stop") == Outcome(.success))
    node.networks = ["203.0.113.50/32": ""]
    #expect(node.perform("start") == Outcome(.success) && node.networks.isEmpty)
  }

  @Test func whatFRRRefusesIsQuotedAndTakenBack() throws {
    let node = FRRNode()
    try node.hold()
    node.isBroken = true
    let untied = "FRR's configuration has no bgp network import-check: what is announced would outlive the address; take it out"
    #expect(node.perform("start") == Outcome(.genericError, untied) && node.perform("monitor").status == .notRunning && !node.isRecorded)
    node.isBroken = false
    #expect(node.perform("start") == Outcome(.success))
    node.refuses = ["network 203.0.113.50/32"]
    #expect(node.perform("promote") == Outcome(.genericError, "bgpd refuses network 203.0.113.50/32: % No"))
    #expect(node.perform("monitor") == Outcome(.success), "it is a standby as before")
    node.refuses = []
    #expect(node.perform("promote") == Outcome(.success))
    // A withdrawal that is refused fails the demotion, not the stop: the address goes next, and the announcement with it.
    node.refuses = ["no network 203.0.113.50/32"]
    let open = "10.0.0.2 is told of an address while this member is not promoted: FRR's own configuration announces it (network, redistribute)"
    let demoted = node.perform("demote")
    #expect(demoted.status == .genericError && demoted.reason?.contains(open) == true && node.isAnnouncing, "\(demoted)")
    #expect(node.perform("monitor") == Outcome(.genericError, open) && node.perform("stop") == Outcome(.success))
    node.refuses = []
    #expect(node.perform("start") == Outcome(.success) && !node.isAnnouncing)
    // Redistributed as well: it would be announced for as long as the address is here.
    #expect(node.perform("promote") == Outcome(.success))
    node.isRedistributed = true
    #expect(node.perform("monitor", level: 10) == Outcome(.runningPromoted, "FRR's own configuration announces 203.0.113.50/32, too (redistribute): it cannot be withdrawn before the address goes"))
    #expect(node.perform("stop") == Outcome(.success) && !node.isAnnouncing)
  }

  @Test func withoutZebraNothingEndsWithTheAddress() throws {
    let node = FRRNode()
    try node.hold()
    #expect(node.perform("start") == Outcome(.success) && node.perform("promote") == Outcome(.success))
    node.hasZebra = false
    let blind = "FRR hangs: bgpd has no connection to zebra: systemctl restart frr"
    #expect(node.perform("monitor") == Outcome(.failedPromoted, blind))
    #expect(node.perform("demote").status == .success && !node.isAnnouncing, "bgpd needs no zebra to fall silent")
    #expect(node.perform("monitor") == Outcome(.success, blind) && node.machine.cluster.scores["announce"] == 5)
    #expect(node.perform("promote") == Outcome(.genericError, blind) && !node.isAnnouncing)
  }

  /// A session for each family, as FRR's users have it: each address needs neighbours of its own.
  @Test func oneSessionCarriesOneFamily() throws {
    let node = FRRNode()
    try node.hold()
    node.machine.network.addresses.append(InterfaceAddress(try #require(IPAddress("2001:db8::50")), prefixLength: 128, link: 2))
    let both = ["prefixes": "203.0.113.50 2001:db8::50"]
    #expect(node.perform("start", both).reason == "could not announce: no other BGP neighbour carries 2001:db8::50/128")
    #expect(node.perform("promote", both) == Outcome(.genericError, "0 of 1 neighbours told: no other BGP neighbour carries 2001:db8::50/128") && node.networks.isEmpty)
    node.hasIPv6 = true
    #expect(node.perform("monitor", both) == Outcome(.success) && node.perform("promote", both) == Outcome(.success) && node.networks.count == 2)
    #expect(node.perform("monitor", both) == Outcome(.runningPromoted))
    node.isEstablished = false
    #expect(node.perform("monitor", both) == Outcome(.failedPromoted, "0 of 1 neighbours told: 10.0.0.2: Active"))
    #expect(node.perform("stop", both) == Outcome(.success) && node.networks.isEmpty)
    // A session that carries none of the addresses is none of ours.
    #expect(node.perform("start") == Outcome(.success, "could not announce: 10.0.0.2: Active"))
  }

  /// What is announced no more after a change of the parameters is withdrawn.
  @Test func anAddressLessIsWithdrawn() throws {
    let node = FRRNode()
    try node.hold()
    node.machine.network.addresses.append(InterfaceAddress(try #require(IPAddress("203.0.113.51")), prefixLength: 32, link: 2))
    let both = ["prefixes": "203.0.113.50 203.0.113.51"]
    #expect(node.perform("start", both) == Outcome(.success) && node.perform("promote", both) == Outcome(.success) && node.networks.count == 2)
    #expect(node.perform("reload-agent") == Outcome(.success) && node.networks == ["203.0.113.50/32": ""])
    #expect(node.perform("reload-agent", both) == Outcome(.success) && node.networks.count == 2)
    #expect(node.perform("stop", ["prefixes": "nonsense"]) == Outcome(.success) && node.networks.isEmpty, "and a stop needs no parameters")
  }
}

extension String {
  fileprivate func components(separatedBy text: String) -> [Substring] { split(separator: text, omittingEmptySubsequences: false) }
}
