import Host
import HostTestKit
import OCF
import Testing

@testable import AnnounceAgent

/// A node with BIRD, as far as the agent can tell: it loads the file when it is told to, and exports what the list lets through.
final class BIRDNode {
  static let list = "/run/vpnha-bird.conf"
  let machine = InMemoryMachine(links: [Link(index: 2, name: "eth0")])
  var isEstablished = true
  var isBroken = false
  /// Connects, and is silent.
  var isHung = false
  private(set) var loaded = ""

  init() {
    machine.files.putExecutable(RoutingSoftware.bird.program)
    machine.sockets.whenConnected(toUnix: "/run/bird/bird.ctl") { [unowned self] in PeerThatGreets(machine, isSilent: isHung, answer) }
  }

  func hold(_ prefix: Int = 32) throws {
    machine.network.addresses.append(InterfaceAddress(try #require(IPAddress("203.0.113.50")), prefixLength: prefix, link: 2))
  }

  var text: String { machine.files.nodes[Self.list].map { String(decoding: $0.bytes, as: UTF8.self) } ?? "" }
  private var isHeld: Bool { !machine.network.addresses.isEmpty }
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

  func perform(_ action: String, _ parameters: [String: String] = [:], clone: Bool = true, level: Int = 0) -> Outcome {
    var environment = [
      "OCF_RESOURCE_TYPE": "announce", "OCF_RESOURCE_INSTANCE": "announce", "OCF_CHECK_LEVEL": "\(level)", "OCF_RESKEY_CRM_meta_on_node": "moon",
      "OCF_RESKEY_CRM_meta_timeout": "20000", "OCF_RESKEY_CRM_meta_interval": "10000", "OCF_RESKEY_prefixes": "203.0.113.50",
    ]
    if clone { environment["OCF_RESKEY_CRM_meta_promoted_max"] = "1" }
    for (name, value) in parameters { environment["OCF_RESKEY_\(name)"] = value }
    return OCF.perform(RouteAnnouncement.self, Request(arguments: ["announce", action], environment: environment), on: machine.host, from: machine.clock.now)
  }
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
  @Test func aLife() throws {
    let node = BIRDNode()
    #expect(node.perform("monitor").status == .notRunning)
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.text.contains("function vpnha()\n{\n  return false;\n}\n"))
    #expect(node.perform("monitor") == Outcome(.success))
    #expect(node.perform("promote") == Outcome(.genericError, "203.0.113.50 is not on this node, and so it is not announced"))
    try node.hold()
    #expect(node.perform("promote") == Outcome(.success) && node.isAnnouncing)
    #expect(node.text.contains("if source != RTS_DEVICE then return false;\n  if net.type = NET_IP4 && !(net ~ [ 203.0.113.50/32 ]) then return false;\n  if net.type = NET_IP6 then return false;\n  return true;"))
    #expect(node.perform("monitor", level: 10) == Outcome(.runningPromoted))
    let before = node.machine.clock.now
    #expect(node.perform("demote", ["withdraw_wait": "3"]) == Outcome(.success) && !node.isAnnouncing)
    #expect(node.machine.clock.now - before >= .seconds(3), "the network has time to learn it")
    #expect(node.perform("monitor") == Outcome(.success))
    #expect(node.perform("stop") == Outcome(.success) && node.perform("monitor").status == .notRunning)
  }

  @Test(arguments: ["224.0.0.5", "0.0.0.0", "127.0.0.1", "::ffff:203.0.113.50"])
  func aPrefixThatNobodyReachesIsRefused(prefix: String) {
    #expect(BIRDNode().perform("validate-all", ["prefixes": prefix]).reason?.hasSuffix("is no address that others reach") == true)
  }

  /// validate-all says what a start would come to.
  @Test func aStartIsForeseen() {
    let node = BIRDNode()
    #expect(node.perform("validate-all", level: 10) == Outcome(.success), "the file comes with the first start")
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.perform("validate-all", level: 10) == Outcome(.success))
    node.isEstablished = false
    #expect(node.perform("validate-all", level: 10).reason?.hasPrefix("could not announce: upstream: Active") == true)
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.perform("start").status == node.perform("validate-all", level: 10).status)
    node.isBroken = true
    let refused = node.perform("validate-all", level: 10)
    #expect(node.perform("stop") == Outcome(.success))
    #expect(refused.status == .genericError && node.perform("start") == refused)
    let absent = BIRDNode()
    absent.machine.sockets.unix["/run/bird/bird.ctl"] = nil
    let gone = absent.perform("validate-all", level: 10)
    #expect(gone.status == .genericError && absent.perform("start") == gone)
  }

  @Test func aPrefixOfTheNetworkIsNoHostRoute() throws {
    let node = BIRDNode()
    try node.hold(24)
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.perform("promote") == Outcome(.genericError, "203.0.113.50 is here as 203.0.113.50/24: give vip cidr_netmask=32, or BIRD announces the network"))
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

  @Test func nobodyToTell() throws {
    let node = BIRDNode()
    try node.hold()
    node.isEstablished = false
    #expect(node.perform("start") == Outcome(.success, "could not announce: upstream: Active"))
    #expect(node.machine.cluster.scores["announce"] == 5, "the peer is the better candidate")
    #expect(node.perform("promote") == Outcome(.genericError, "0 of 1 neighbours told: upstream: Active"))
    #expect(node.text.contains(" standby "))
    node.isEstablished = true
    #expect(node.perform("promote") == Outcome(.success))
    node.isEstablished = false
    #expect(node.perform("monitor") == Outcome(.failedPromoted, "0 of 1 neighbours told: upstream: Active"))
  }

  @Test func withoutBIRD() throws {
    let node = BIRDNode()
    try node.hold()
    #expect(node.perform("start") == Outcome(.success) && node.perform("promote") == Outcome(.success))
    node.machine.sockets.unix = [:]
    #expect(node.perform("monitor").status == .failedPromoted)
    #expect(node.perform("demote").status == .success && node.perform("monitor").status == .success)
    #expect(node.perform("stop") == Outcome(.success))
    node.machine.files.nodes[RoutingSoftware.bird.program] = nil
    #expect(node.perform("start") == Outcome(.notInstalled, "/usr/sbin/bird is missing (package bird2)"))
  }

  /// What it was told is not known to have reached anybody: the routers go on sending here until the hold time is over.
  @Test func aHungBIRDGoesOnAnnouncing() throws {
    let node = BIRDNode()
    let words = "kill BIRD (systemctl kill -s KILL bird), the routers may go on sending to this node: BIRD hangs: asking BIRD through /run/bird/bird.ctl: no answer in time (ETIMEDOUT)"
    try node.hold()
    #expect(node.perform("start") == Outcome(.success) && node.perform("promote") == Outcome(.success))
    node.isHung = true
    let before = node.machine.clock.now
    #expect(node.perform("demote") == Outcome(.genericError, words) && node.isAnnouncing)
    #expect(node.machine.clock.now - before < .seconds(8))
    node.machine.network.addresses = []
    #expect(node.perform("monitor").status == .failedPromoted && node.perform("stop") == Outcome(.genericError, words))
    // Whatever it reads when it wakes is closed.
    #expect(node.text.contains("  return false;\n}") && node.perform("monitor").status == .failedPromoted)
    node.isHung = false
    #expect(node.perform("stop") == Outcome(.success) && node.perform("monitor").status == .notRunning && node.loaded.contains(" stopped "))
  }

  /// One that is silent already is silent when it hangs, and one that is dead is.
  @Test func aHungBIRDThatWasSilentStopsNobody() throws {
    let node = BIRDNode()
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

  @Test(arguments: ["start", "promote", "demote", "stop"]) func aFailureAtAnyCallIsAnErrorOrHarmless(_ action: String) throws {
    var node = BIRDNode()
    let forced = InMemoryMachine.failingEveryCall {
      node = BIRDNode()
      do { try node.hold() } catch { Issue.record(error) }
      if action != "start" { _ = node.perform("start") }
      if action == "demote" || action == "stop" { _ = node.perform("promote") }
      return node.machine
    } _: { _ in
      node.perform(action)
    } check: { failed, outcome, _ in
      if outcome.status == .success {
        switch action {
        case "promote": #expect(node.isAnnouncing, "\(failed)")
        case "start": #expect(!node.isAnnouncing && node.text.contains(" standby "), "\(failed)")
        // What BIRD was not told ends with the address; the file is closed.
        default: #expect(!node.text.contains(" announcing "), "\(failed)")
        }
      } else {
        #expect(outcome.reason?.isEmpty == false, "\(failed)")
      }
    }
    #expect(forced > 5)
  }

  @Test func longerPaths() throws {
    let node = BIRDNode()
    try node.hold()
    #expect(node.perform("start", ["standby": "med"]).status == .success && node.text.contains("bgp_med = 1000;"))
    #expect(node.perform("promote", ["standby": "med"]) == Outcome(.success) && node.text.contains("bgp_med = 0;"))
    #expect(node.perform("demote", ["standby": "prepend"]).status == .success)
    #expect(node.text.components(separatedBy: "bgp_path.prepend(65001);").count == 4)
  }
}

extension String {
  fileprivate func components(separatedBy text: String) -> [Substring] { split(separator: text, omittingEmptySubsequences: false) }
}
