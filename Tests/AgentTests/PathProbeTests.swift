import Daemon
import Digests
import Host
import HostTestKit
import IKEProbe
import OCF
import RADIUS
import Resident
import Testing

@testable import ProbeAgent

/// A node, and a world that answers it or does not.
final class Outlook {
  static let hop = IPAddress("203.0.113.1")!
  static let second = IPAddress("203.0.113.2")!
  static let remote = IPAddress("198.51.100.9")!
  static let server = IPAddress("198.51.100.20")!
  static let vip = IPAddress("203.0.113.50")!
  static let node = IPAddress("203.0.113.11")!
  static let secretFile = "/etc/vpnha/radius.secret"

  let machine = InMemoryMachine(links: [Link(index: 2, name: "eth0", hardwareAddress: [2, 0, 0, 0, 0, 1])])
  /// Hosts that say nothing.
  var dead: Set<IPAddress> = []
  /// Hosts on which nobody listens.
  var refusing: Set<IPAddress> = []
  /// What anybody's ICMP errors put on a socket before each question, and between it and its answer.
  var forged: Errno?
  /// What sending ends with.
  var unsendable: Errno?
  /// Of a hundred datagrams, in each direction.
  var loss = 0
  var parameters: [String: String]
  private var noise: UInt64 = 88_172_645_463_325_252

  init(_ parameters: [String: String] = ["ping": "203.0.113.1"]) {
    self.parameters = parameters
    machine.files.putExecutable("/agent")
    machine.files.put("xyzzy5461\n", at: Self.secretFile, mode: 0o600)
    machine.processes.whenLaunched("/agent") { [unowned self] command throws(SystemError) in
      let process = machine.processes.appear(command.path, command.arguments)
      report(by: process)
      return process
    }
    machine.sockets.icmp = { [unowned self] address throws(SystemError) in socket(address, Self.pong) }
    machine.sockets.neighbours = { [unowned self] address throws(SystemError) in socket(address) { _ in [2, 0, 0, 0, 0, 9] } }
    machine.sockets.whenConnectedOverUDP { [unowned self] address, port, _ in
      socket(address) { port == 1812 ? Self.accept($0) : Self.noProposal($0, hasMarker: port != 500) }
    }
  }

  /// A generator with a seed: every run sees the same loss.
  func random() -> UInt64 {
    noise ^= noise << 13
    noise ^= noise >> 7
    noise ^= noise << 17
    return noise
  }

  private func isLost() -> Bool { loss > 0 && random() % 100 < UInt64(loss) }

  private func socket(_ address: IPAddress, _ answer: @escaping ([UInt8]) -> [UInt8]?) -> ScriptedDatagrams {
    var socket: ScriptedDatagrams?
    let made = ScriptedDatagrams(from: Self.node, calls: machine.calls, clock: machine.clock) { [unowned self] bytes in
      if refusing.contains(address) { socket?.isRefused = true }
      if let forged { socket?.error = forged }
      guard !dead.contains(address), !refusing.contains(address), !isLost(), !isLost() else { return [] }
      return answer(bytes).map { [$0] } ?? []
    }
    socket = made
    made.error = forged
    made.unsendable = { [unowned self] in unsendable }
    return made
  }

  // MARK: Answers of a healthy world

  static func pong(_ request: [UInt8]) -> [UInt8]? {
    guard request.count == 16, request[0] == 8, EchoRequest.checksum(request) == 0 else { return nil }
    var reply = [0, 0, 0, 0] + Array(request[4...])
    let sum = EchoRequest.checksum(reply)
    reply[2] = UInt8(sum >> 8)
    reply[3] = UInt8(sum & 0xff)
    return reply
  }

  static func noProposal(_ datagram: [UInt8], hasMarker: Bool) -> [UInt8]? {
    if hasMarker, !datagram.starts(with: [0, 0, 0, 0]) { return nil }
    guard let message = try? IKEMessage(decoding: hasMarker ? Array(datagram.dropFirst(4)) : datagram) else { return nil }
    let reply =
      message.majorVersion == 2
      ? IKEMessage(
        initiatorSPI: message.initiatorSPI, version: 0x20, exchange: 34, flags: 0x20, payloads: [.init(41, [0, 0, 0, 14])])
      : IKEMessage(
        initiatorSPI: message.initiatorSPI, version: 0x10, exchange: 5, payloads: [.init(11, [0, 0, 0, 1, 1, 0, 0, 14])])
    return (hasMarker ? [0, 0, 0, 0] : []) + reply.bytes
  }

  static func accept(_ request: [UInt8]) -> [UInt8]? {
    guard request.count == 38, request[0] == 12 else { return nil }
    let head: [UInt8] = [2, request[1], 0, 20]
    return head + md5(head + request[4..<20] + "xyzzy5461".utf8)
  }

  // MARK: The agent

  func request(_ action: String, interval: Int = 10_000, level: Int = 0) -> Request {
    var environment = [
      "OCF_RESOURCE_TYPE": "probe", "OCF_RESOURCE_INSTANCE": "path", "OCF_RESKEY_CRM_meta_timeout": "20000",
      "OCF_RESKEY_CRM_meta_interval": "\(interval)", "OCF_RESKEY_CRM_meta_on_node": "moon", "OCF_CHECK_LEVEL": "\(level)",
    ]
    for (name, value) in parameters { environment["OCF_RESKEY_\(name)"] = value }
    return Request(arguments: ["probe", action], environment: environment)
  }

  func perform(_ action: String, interval: Int = 10_000, level: Int = 0) -> Outcome {
    OCF.perform(
      PathProbe.self, request(action, interval: interval, level: level), on: machine.host, from: machine.clock.now)
  }

  static let reportPath = "/run/resource-agents/vpnha-probe-path.report"

  func report(by process: Process, _ change: (inout Report) -> Void = { _ in }) {
    var report = Report(by: process, at: machine.clock.now)
    change(&report)
    machine.files.nodes[Self.reportPath] = InMemoryFiles.Node(report.bytes, mode: 0o600)
  }

  var prober: Process { get throws { try #require(machine.processes.table.first { $0.executable == "/agent" }) } }

  // MARK: The resident process

  func makeProber() throws(OCFError) -> Prober {
    let request = request("start")
    let call = Call(host: machine.host, request: request, deadline: Instant(nanoseconds: .max))
    return try Prober(PathProbe.loaded(from: request).agent, call, random: { [unowned self] in random() })
  }

  func pass(_ seconds: Int, _ prober: Prober) throws(OCFError) {
    let end = machine.clock.now + .seconds(seconds)
    let loop = try attempt("probing", try Loop(on: machine.host))
    try loop.run { () throws(OCFError) in
      if machine.clock.now >= end { loop.end() }
      return machine.clock.now >= end ? Pause(for: [], before: end) : try prober.turn()
    }
  }

  var lastReport: Report? { machine.files.nodes[Self.reportPath].flatMap { Report($0.bytes) } }

  /// What the cluster was told, in order, without what it had been told already.
  var told: [String] {
    var last: [String: String] = [:]
    return machine.cluster.attributesSet.compactMap { name, value, _ in
      let value = value ?? "-"
      return last.updateValue(value, forKey: name) == value ? nil : "\(name)=\(value)"
    }
  }
}

@Suite struct ThresholdAndHistoryTests {
  @Test(arguments: ["1/8", "9/8", "6", "6/8/9", "/8", "6/", "-2/8", "2/101", "a/b", ""]) func whatIsNoThreshold(text: String) {
    #expect(throws: Unreadable.self) { () throws(Unreadable) in try Threshold(parameter: text) }
  }

  @Test func aThresholdReadsBack() throws { #expect(try Threshold(parameter: "6/8").parameterText == "6/8") }

  private func run(_ text: String, recovery: Int = 5) -> [History.State] {
    var history = History(Threshold(3, of: 4), recovery: .seconds(recovery))
    return text.enumerated().map { index, probe in
      history.add(
        answered: probe == "+", at: Instant(nanoseconds: Int64(index) * 1_000_000_000), Timestamp(seconds: Int64(index)))
      return history.state
    }
  }

  @Test func nothingIsKnownBeforeEnoughProbes() {
    #expect(run("+++") == [.unknown, .unknown, .unknown])
    #expect(run("++++").last == .up)
    #expect(run("---").last == .down(since: Timestamp(seconds: 0)))
  }

  @Test func oneOrTwoLostPacketsMoveNothing() {
    #expect(run("++++-+++-++--++++").dropFirst(3).allSatisfy { $0 == .up })
  }

  @Test func downSinceTheFirstProbeThatFailed() {
    #expect(run("++++---").last == .down(since: Timestamp(seconds: 4)))
    // One that had recovered is not what began it.
    #expect(run("++++-++++---").last == .down(since: Timestamp(seconds: 9)))
  }

  @Test func upOnlyWhenEveryProbeWasAnsweredForLongEnough() {
    let down = History.State.down(since: Timestamp(seconds: 4))
    #expect(run("++++---+++++").last == down)
    #expect(run("++++---++++++").last == .up)
    #expect(run("++++---++++-+++++").last == down)
    #expect(run("++++---++++-++++++").last == .up)
  }

  @Test func whatIsOverDoesNotCountAgain() { #expect(run("++++---++++++--").last == .up) }
}

@Suite struct VerdictTests {
  static let down = History.State.down(since: Timestamp(seconds: 1_767_225_600))
  static func finding(_ address: IPAddress, _ state: History.State, _ kind: Target.Kind = .ping, port: UInt16 = 0) -> Finding {
    Finding(target: Target(kind: kind, address: address, port: port), state: state)
  }

  private func verdict(_ groups: [[Finding]], watched: Finding? = nil, holds: Bool = false) -> Verdict {
    Verdict(groups: groups, watched: watched, holdsAddress: holds, skew: { $0 == .radius ? .seconds(10) : .seconds(2) })
  }

  @Test func aRemoteThatIsDownIsNoPathThatIsDown() {
    let found = verdict([[Self.finding(Outlook.hop, .up), Self.finding(Outlook.second, Self.down)]])
    #expect(found.path == true)
    #expect(found.troubles == ["203.0.113.2 has not answered ping since 2026-01-01T00:00:00Z"])
  }

  @Test func allOfAKindAreAPath() {
    let found = verdict([
      [Self.finding(Outlook.hop, .up)],
      [Self.finding(Outlook.remote, Self.down, .ike, port: 4500), Self.finding(Outlook.server, Self.down, .ike, port: 4500)],
    ])
    #expect(found.path == false && found.skew == .seconds(2))
    #expect(found.troubles == ["path down: 198.51.100.9 has not answered IKE on port 4500 since 2026-01-01T00:00:00Z, nor 1 more"])
  }

  @Test func nothingIsClaimedBeforeItIsKnown() {
    #expect(verdict([[Self.finding(Outlook.hop, .up)], [Self.finding(Outlook.remote, .unknown, .ike, port: 500)]]).path == nil)
    #expect(verdict([[Self.finding(Outlook.hop, Self.down)], [Self.finding(Outlook.remote, .unknown, .ike, port: 500)]]).path == false)
    #expect(verdict([[Self.finding(Outlook.hop, .unknown), Self.finding(Outlook.second, Self.down)]]).path == nil)
  }

  @Test func theSlowestCheckThatFailedSaysHowLongThePeerMayTake() {
    #expect(verdict([[Self.finding(Outlook.hop, Self.down)], [Self.finding(Outlook.server, Self.down, .radius, port: 1812)]]).skew == .seconds(10))
  }

  @Test func theGatewaysAddress() {
    let dead = Self.finding(Outlook.vip, Self.down, .vip, port: 500)
    #expect(verdict([[Self.finding(Outlook.hop, .up)]]).address == nil)
    let seen = verdict([[Self.finding(Outlook.hop, .up)]], watched: dead)
    #expect(seen.address == false && seen.path == true)
    #expect(seen.troubles == ["seen from here 203.0.113.50 has not answered IKE on port 500 since 2026-01-01T00:00:00Z"])
    // Whoever has no path sees nothing; whoever holds the address does not look.
    #expect(verdict([[Self.finding(Outlook.hop, Self.down)]], watched: dead).address == true)
    #expect(verdict([[Self.finding(Outlook.hop, .up)]], watched: dead, holds: true).address == true)
    #expect(verdict([[Self.finding(Outlook.hop, .up)]], watched: Self.finding(Outlook.vip, .unknown, .vip)).address == nil)
  }
}

@Suite struct ReportTests {
  static var report: Report {
    var report = Report(by: Process(pid: 12, startTime: 345, executable: "/agent", arguments: []), at: Instant(nanoseconds: 678))
    report.values = ["vpnha-path": "1", "vpnha-path-vip": "0"]
    report.untold = "no\nbody listens"
    report.troubles = ["first", "second one"]
    return report
  }

  @Test func readsBack() {
    var expected = Self.report
    expected.untold = "no body listens"
    #expect(Report(Self.report.bytes) == expected)
  }

  @Test func whatIsCutOffOrForeignIsNone() {
    let whole = Self.report.bytes
    for length in 0..<"process 12 345\nwritten ".utf8.count { #expect(Report(Array(whole.prefix(length))) == nil) }
    for text in ["", "process 1\nwritten 2\n", "process 1 2\nwritten x\n", "process 1 2\nwritten 3\nvalue a\n", "process 1 2\nwritten 3\nother x\n"] {
      #expect(Report(Array(text.utf8)) == nil, "\(text)")
    }
  }
}

@Suite struct ProberTests {
  @Test func aHealthyPathIsToldOnce() throws {
    let world = Outlook()
    try world.pass(60, try world.makeProber())
    #expect(world.told == ["vpnha-path=1"])
    #expect(world.machine.cluster.attributesSet.first?.dampening == .seconds(2))
    #expect(world.lastReport?.values == ["vpnha-path": "1"] && world.lastReport?.troubles == [])
    #expect(world.machine.log.messages(from: .warning).isEmpty)
  }

  /// A cluster that has lost sight of the node for a moment has forgotten its attributes. A rule that takes "not defined" for "not
  /// known to be cut off" would keep the service where the path is down.
  @Test func whatTheClusterMayHaveForgottenIsToldAgain() throws {
    let world = Outlook(["ping": "203.0.113.1", "vip": "203.0.113.50"])
    let prober = try world.makeProber()
    world.dead = [Outlook.hop]
    try world.pass(40, prober)
    let (told, lines) = (world.machine.cluster.attributesSet.count, world.machine.log.messages(from: .info))
    #expect(told == 2)
    try world.pass(60, prober)
    #expect(world.machine.cluster.attributesSet.dropFirst(told).map { "\($0.name)=\($0.value ?? "-") \($0.dampening)" } == ["vpnha-path=0 3.0 seconds", "vpnha-path-vip=1 2.0 seconds"])
    #expect(world.machine.log.messages(from: .info) == lines)
    world.machine.cluster.isReachable = false
    try world.pass(60, prober)
    #expect(world.lastReport?.untold != nil)
    world.machine.cluster.isReachable = true
    try world.pass(6, prober)
    #expect(world.lastReport?.untold == nil && world.machine.cluster.attributesSet.count == told + 4)
  }

  /// Thirty per cent in each direction: half of the single packets do not come back.
  @Test func aMinuteOfHeavyLossMovesNothing() throws {
    let world = Outlook(["ping": "203.0.113.1", "ike": "198.51.100.9", "radius": "198.51.100.20", "radius_secret_file": Outlook.secretFile])
    let prober = try world.makeProber()
    try world.pass(30, prober)
    world.loss = 30
    try world.pass(60, prober)
    #expect(world.told == ["vpnha-path=1"])
  }

  @Test func aDeadPathIsToldOnceAndComesBackWhenItIsStable() throws {
    let world = Outlook()
    let prober = try world.makeProber()
    try world.pass(20, prober)
    world.dead = [Outlook.hop]
    try world.pass(9, prober)
    #expect(world.told == ["vpnha-path=1", "vpnha-path=0"])
    // What the other node finds within a probe's interval and timeout is weighed together with it.
    #expect(world.machine.cluster.attributesSet.last?.dampening == .seconds(3))
    #expect(world.lastReport?.troubles.first?.hasPrefix("path down: 203.0.113.1 has not answered ping since 2026-01-01T00:00:") == true)
    for _ in 0..<6 {
      world.dead = []
      try world.pass(20, prober)
      world.dead = [Outlook.hop]
      try world.pass(3, prober)
    }
    #expect(world.told == ["vpnha-path=1", "vpnha-path=0"])
    world.dead = []
    try world.pass(33, prober)
    #expect(world.told == ["vpnha-path=1", "vpnha-path=0", "vpnha-path=1"])
    #expect(world.lastReport?.troubles == [])
  }

  @Test func aPathThatIsDownFromTheStart() throws {
    let world = Outlook()
    world.dead = [Outlook.hop]
    try world.pass(10, try world.makeProber())
    #expect(world.told == ["vpnha-path=0"])
  }

  @Test func oneOfTwoHopsIsARemoteThatIsDown() throws {
    let world = Outlook(["ping": "203.0.113.1", "arp": "203.0.113.2", "nic": "eth0"])
    let prober = try world.makeProber()
    world.dead = [Outlook.hop]
    try world.pass(30, prober)
    #expect(world.told == ["vpnha-path=1"])
    #expect(world.lastReport?.troubles.count == 1)
  }

  @Test func aRefusedIKEPortProvesThePath() throws {
    let world = Outlook(["ike": "198.51.100.9", "ike_version": "1"])
    let prober = try world.makeProber()
    try world.pass(30, prober)
    world.refusing = [Outlook.remote]
    try world.pass(60, prober)
    #expect(world.told == ["vpnha-path=1"])
    #expect(world.lastReport?.troubles.first?.hasPrefix("198.51.100.9 has refused IKE on port 500 since ") == true)
    world.refusing = []
    world.dead = [Outlook.remote]
    try world.pass(30, prober)
    #expect(world.told == ["vpnha-path=1", "vpnha-path=0"])
  }

  /// A host on the way, or anybody who sends such a packet: the answer comes all the same.
  @Test(arguments: [Errno.connectionRefused, .hostUnreachable, .accessDenied, Errno(rawValue: 92)])
  func anICMPErrorEndsNoQuestion(_ forged: Errno) throws {
    let world = Outlook([
      "ping": "203.0.113.1", "radius": "198.51.100.20", "radius_secret_file": Outlook.secretFile, "vip": "203.0.113.50", "vip_check": "ping",
    ])
    world.forged = forged
    let prober = try world.makeProber()
    try world.pass(60, prober)
    #expect(Set(world.told) == ["vpnha-path=1", "vpnha-path-vip=1"])
    #expect(world.lastReport?.troubles == [])
    world.dead = [Outlook.hop]
    try world.pass(20, prober)
    #expect(world.told.last == "vpnha-path=0")
  }

  @Test func aRefusedRADIUSPortIsNamedAndDown() throws {
    let world = Outlook(["radius": "198.51.100.20", "radius_secret_file": Outlook.secretFile])
    let prober = try world.makeProber()
    try world.pass(40, prober)
    world.refusing = [Outlook.server]
    try world.pass(12, prober)
    #expect(world.lastReport?.troubles.first?.hasPrefix("198.51.100.20 has refused RADIUS Status-Server on port 1812 since ") == true)
    try world.pass(30, prober)
    #expect(world.told == ["vpnha-path=1", "vpnha-path=0"])
  }

  @Test(arguments: ["unknown", "up", "down"])
  func aQuestionThatCannotBePutSaysNothingOfThePath(_ before: String) throws {
    let world = Outlook(["ping": "203.0.113.1", "vip": "203.0.113.50"])
    let prober = try world.makeProber()
    if before == "down" { world.dead = [Outlook.hop, Outlook.vip] }
    if before != "unknown" { try world.pass(30, prober) }
    let told = world.told
    #expect(told.contains("vpnha-path=\(before == "up" ? 1 : 0)") == (before != "unknown"))
    world.dead = [Outlook.hop, Outlook.vip]
    world.unsendable = .notPermitted
    try world.pass(60, prober)
    #expect(world.told == told)
    let words = "203.0.113.1 cannot be asked, ping: operation not permitted (EPERM)"
    if before == "down" {
      #expect(world.lastReport?.troubles.first?.hasSuffix("(operation not permitted (EPERM))") == true)
    } else {
      #expect(world.lastReport?.troubles == [words, "203.0.113.50 cannot be asked, IKE on port 500: operation not permitted (EPERM)"])
    }
    // The same target without an answer is one that is down.
    world.unsendable = .networkUnreachable
    try world.pass(20, prober)
    #expect(world.told.contains("vpnha-path=0"))
    world.unsendable = nil
    world.dead = []
    try world.pass(60, prober)
    #expect(world.told.contains("vpnha-path=1") && world.lastReport?.troubles == [])
  }

  @Test func withoutAnAddressToSendFromThereIsNoPathUnlessItWasNamed() throws {
    for (source, told) in [(nil, ["vpnha-path=0"]), ("203.0.113.11", [])] {
      let world = Outlook()
      world.parameters["source"] = source
      world.unsendable = .addressNotAvailable
      try world.pass(20, try world.makeProber())
      #expect(world.told == told)
    }
  }

  @Test(arguments: [
    ("ping", "127.0.0.1"), ("ping", "203.0.113.1 ::1"), ("ping", "224.0.0.1"), ("ping", "255.255.255.255"), ("ping", "0.0.0.0"), ("ping", "ff02::1"),
    ("ping", "::ffff:203.0.113.1"), ("arp", "127.0.0.1"), ("arp", "224.0.0.1"), ("ike", "127.0.0.1"), ("ike", "ff02::1"), ("radius", "224.0.0.1"), ("vip", "127.0.0.1"), ("vip", "224.0.0.1"),
  ]) func aQuestionThatCannotFailOrBeAnsweredIsRefused(parameter: String, value: String) {
    let world = Outlook(["ping": "203.0.113.1", "nic": "eth0", "radius_secret_file": Outlook.secretFile])
    world.parameters[parameter] = value
    let target = value.split(separator: " ").last.flatMap { IPAddress($0) }?.description ?? ""
    #expect(world.perform("validate-all") == Outcome(.misconfigured, "\(parameter): \(target) is no other host"))
    #expect(world.perform("start").reason == "\(parameter): \(target) is no other host")
  }

  @Test func aRADIUSServerMayBeOnTheNode() {
    let world = Outlook(["radius": "127.0.0.1 203.0.113.11", "radius_secret_file": Outlook.secretFile])
    world.machine.network.hold(InterfaceAddress(Outlook.node, prefixLength: 24, link: 2))
    #expect(world.perform("validate-all", level: 10).status == .success)
  }

  @Test(arguments: ["ping", "arp", "ike"]) func theNodesOwnAddressProvesNoPath(parameter: String) throws {
    let world = Outlook(["nic": "eth0", parameter: "203.0.113.50"])
    world.machine.network.hold(InterfaceAddress(Outlook.vip, prefixLength: 24, link: 2))
    let refusal = "\(parameter): 203.0.113.50 is this node's own address: ask another host"
    #expect(world.perform("validate-all", level: 10) == Outcome(.invalidHere, refusal))
    #expect(world.perform("start") == Outcome(.invalidHere, refusal))
    // It comes later, as the gateway's does: its answers say nothing, and what is known stays.
    world.machine.network.addresses = []
    let prober = try world.makeProber()
    try world.pass(60, prober)
    #expect(world.told == ["vpnha-path=1"] && world.lastReport?.troubles == [])
    world.machine.network.hold(InterfaceAddress(Outlook.vip, prefixLength: 24, link: 2))
    try world.pass(60, prober)
    #expect(world.lastReport?.troubles.first?.hasSuffix(": it is this node's own address") == true)
    world.machine.network.addresses = []
    world.dead = [Outlook.vip]
    try world.pass(60, prober)
    #expect(world.told.last == "vpnha-path=0")
    world.parameters["vip"] = "203.0.113.50"
    #expect(world.perform("validate-all") == Outcome(.misconfigured, "\(parameter): 203.0.113.50 is the gateway's own address: ask another host"))
  }

  @Test func aLinkLocalAddressIsAskedOnItsLink() throws {
    let world = Outlook(["ping": "fe80::1 2001:db8::1", "ike": "fe80::2", "nic": "eth0", "vip": "fe80::50", "vip_check": "ping"])
    world.machine.sockets.icmp = { [unowned world] _ throws(SystemError) in
      ScriptedDatagrams(from: Outlook.node, calls: world.machine.calls, clock: world.machine.clock) { request in
        [[129] + Array(request.dropFirst())]
      }
    }
    try world.pass(30, try world.makeProber())
    #expect(Set(world.told) == ["vpnha-path=1", "vpnha-path-vip=1"])
    let asked = Set(world.machine.calls.all.map(\.description).filter { $0.hasPrefix("sockets.connect") })
    #expect(
      asked.isSuperset(of: [
        "sockets.connect(toICMP: fe80::1%eth0)", "sockets.connect(toICMP: 2001:db8::1)", "sockets.connect(toICMP: fe80::50%eth0)",
        "sockets.connect(toUDP: fe80::2%eth0 500)", "sockets.connect(toUDP: fe80::2%eth0 4500)",
      ]), "\(asked)")
  }

  @Test func aRADIUSServerWithAnotherSecretIsDown() throws {
    let world = Outlook(["radius": "198.51.100.20", "radius_secret_file": Outlook.secretFile])
    world.machine.files.put("other\n", at: Outlook.secretFile, mode: 0o600)
    try world.pass(40, try world.makeProber())
    #expect(world.told == ["vpnha-path=0"])
    #expect(!world.machine.log.lines.contains { $0.message.contains("other") })
  }

  @Test func theGatewaysAddressIsWatchedWhileThePeerHasIt() throws {
    let world = Outlook(["ping": "203.0.113.1", "vip": "203.0.113.50"])
    let prober = try world.makeProber()
    try world.pass(20, prober)
    #expect(Set(world.told) == ["vpnha-path=1", "vpnha-path-vip=1"])
    world.dead = [Outlook.vip]
    try world.pass(20, prober)
    #expect(world.told.last == "vpnha-path-vip=0")
    #expect(world.lastReport?.troubles.first?.hasPrefix("seen from here 203.0.113.50 has not answered IKE on port 500") == true)
    world.machine.network.addresses = [InterfaceAddress(Outlook.vip, prefixLength: 24, link: 2)]
    try world.pass(5, prober)
    #expect(world.told.last == "vpnha-path-vip=1" && world.lastReport?.troubles == [])
  }

  @Test func aClusterThatCannotBeToldIsToldLater() throws {
    let world = Outlook()
    world.machine.cluster.isReachable = false
    let prober = try world.makeProber()
    try world.pass(30, prober)
    #expect(world.told.isEmpty && world.lastReport?.untold != nil)
    #expect(world.machine.log.messages(from: .warning).count == 1)
    world.machine.cluster.isReachable = true
    try world.pass(6, prober)
    #expect(world.told == ["vpnha-path=1"] && world.lastReport?.untold == nil)
  }

  @Test func aTargetThatCannotEvenBeAskedSaysWhy() throws {
    let world = Outlook()
    world.machine.sockets.icmp = nil
    try world.pass(10, try world.makeProber())
    #expect(world.told == ["vpnha-path=0"])
    #expect(world.lastReport?.troubles.first?.hasSuffix("(network is unreachable (ENETUNREACH))") == true)
  }

  @Test func foreignDatagramsAreNoAnswers() throws {
    let world = Outlook()
    world.machine.sockets.icmp = { [unowned world] _ throws(SystemError) in
      ScriptedDatagrams(from: Outlook.node, calls: world.machine.calls, clock: world.machine.clock) { request in
        var wrong = Outlook.pong(request) ?? []
        wrong[15] ^= 1
        return [[], [0], request, wrong] + [[UInt8]](repeating: [UInt8](repeating: 0, count: 16), count: 100)
      }
    }
    try world.pass(10, try world.makeProber())
    #expect(world.told == ["vpnha-path=0"])
  }

  @Test func anErrorAtAnyCallEndsInAReasonOrIsSurvived() {
    let parameters = [
      "ping": "203.0.113.1", "arp": "203.0.113.2", "nic": "eth0", "ike": "198.51.100.9", "radius": "198.51.100.20",
      "radius_secret_file": Outlook.secretFile, "vip": "203.0.113.50",
    ]
    var world: Outlook?
    let forced = InMemoryMachine.failingEveryCall(in: {
      let fresh = Outlook(parameters)
      world = fresh
      return fresh.machine
    }) { _ -> String in
      do throws(OCFError) {
        guard let world else { return "no world" }
        try world.pass(3, try world.makeProber())
        return ""
      } catch { return error.reason }
    } check: { call, reason, _ in
      // Only what it cannot live without ends it: who it is, its secret, its report.
      let isVital = ["processes.current", "files."].contains { call.description.hasPrefix($0) }
      #expect(isVital == !reason.isEmpty, "\(call): \(reason)")
      #expect(!reason.contains("xyzzy"))
    }
    #expect(forced > 40)
  }
}

@Suite struct PathProbeTests {
  @Test func aLife() throws {
    let world = Outlook()
    #expect(world.perform("monitor", interval: 0).status == .notRunning)
    #expect(world.perform("start") == Outcome(.success))
    let prober = try world.prober
    #expect(prober.arguments == ["/agent", "watch", "path"])
    #expect(world.perform("start") == Outcome(.success))
    #expect(world.machine.processes.launched.count == 1)
    #expect(world.perform("monitor") == Outcome(.success))
    #expect(world.perform("stop") == Outcome(.success))
    #expect(world.machine.processes.table.isEmpty)
    #expect(!world.machine.files.nodes.keys.contains { $0.hasPrefix("/run/resource-agents/") })
    #expect(world.told == ["vpnha-path=-"])
    #expect(world.perform("monitor").status == .notRunning)
    #expect(world.perform("stop") == Outcome(.success))
  }

  @Test func theProberGetsTheParametersAndNoTrace() throws {
    let world = Outlook(["ping": "203.0.113.1", "trace_ra": "1"])
    #expect(world.perform("start") == Outcome(.success))
    let environment = try #require(world.machine.processes.launched.first).environment
    #expect(environment["OCF_RESKEY_ping"] == "203.0.113.1" && environment["OCF_RESOURCE_TYPE"] == "probe")
    #expect(environment["OCF_RESKEY_trace_ra"] == nil)
  }

  @Test func aMonitorChangesNothingAndRunsNothing() throws {
    let world = Outlook()
    _ = world.perform("start")
    world.machine.calls.reset()
    #expect(world.perform("monitor") == Outcome(.success))
    #expect(world.machine.calls.changes.isEmpty && world.machine.clock.sleeps.isEmpty)
  }

  @Test func aPathThatIsDownIsDegradedAndNotFailed() throws {
    let world = Outlook()
    _ = world.perform("start")
    world.report(by: try world.prober) { $0.troubles = ["path down: it is", "more"] }
    #expect(world.perform("monitor") == Outcome(.success, "path down: it is; and more"))
    world.report(by: try world.prober) {
      $0.troubles = ["path down: it is"]
      $0.untold = "no cluster"
    }
    #expect(world.perform("monitor") == Outcome(.success, "cannot set the node attribute: no cluster; and path down: it is"))
  }

  @Test func aProberThatHangsIsSuspendedOrDeadIsNoGood() throws {
    let world = Outlook()
    _ = world.perform("start")
    let prober = try world.prober
    world.machine.clock.advance(by: .seconds(9))
    #expect(world.perform("monitor") == Outcome(.success))
    world.machine.clock.advance(by: .seconds(3))
    #expect(world.perform("monitor") == Outcome(.genericError, "the prober (pid \(prober.pid)) hangs: its last report is 12 s old"))
    world.report(by: prober)
    world.machine.processes.table[0].state = "T"
    #expect(world.perform("monitor").reason == "the prober (pid \(prober.pid)) is suspended (SIGSTOP)")
    world.machine.processes.table[0].state = "S"
    // Another process's report says nothing of this one.
    world.report(by: Process(pid: prober.pid, startTime: prober.startTime + 1, executable: "/agent", arguments: []))
    #expect(world.perform("monitor").reason == "the prober (pid \(prober.pid)) has not reported anything")
    world.machine.files.put("nonsense", at: Outlook.reportPath)
    #expect(world.perform("monitor").status == .genericError)
    world.report(by: prober)
    world.machine.processes.vanish(prober.pid)
    #expect(
      world.perform("monitor") == Outcome(.notRunning, "the prober (pid \(prober.pid)) is gone, and no stop ended it (journalctl -t 'probe(path)')"))
    #expect(world.perform("monitor", interval: 0) == Outcome(.notRunning))
    #expect(world.perform("stop") == Outcome(.success))
    #expect(world.perform("monitor") == Outcome(.notRunning))
  }

  @Test func aProbeRestoresWhatTheClusterForgot() throws {
    let world = Outlook(["ping": "203.0.113.1", "vip": "203.0.113.50"])
    _ = world.perform("start")
    world.report(by: try world.prober) { $0.values = ["vpnha-path": "0", "vpnha-path-vip": "1"] }
    #expect(world.perform("monitor", interval: 0) == Outcome(.success))
    #expect(world.told == ["vpnha-path=0", "vpnha-path-vip=1"])
    #expect(world.perform("stop") == Outcome(.success))
    #expect(world.told.suffix(2) == ["vpnha-path=-", "vpnha-path-vip=-"])
  }

  @Test func aStubbornProberIsKilled() throws {
    let world = Outlook()
    _ = world.perform("start")
    world.machine.processes.makeStubborn(try world.prober)
    #expect(world.perform("stop") == Outcome(.success))
    #expect(world.machine.processes.table.isEmpty)
  }

  @Test func stopSucceedsWithoutACluster() {
    let world = Outlook()
    _ = world.perform("start")
    world.machine.cluster.isReachable = false
    #expect(world.perform("stop") == Outcome(.success))
    #expect(world.machine.log.messages(from: .warning).count == 1)
  }

  @Test func reloadKeepsTheAttribute() throws {
    let world = Outlook()
    _ = world.perform("start")
    let before = try world.prober
    #expect(world.perform("reload-agent") == Outcome(.success))
    #expect(try world.prober != before && world.machine.processes.table.count == 1)
    #expect(world.told.isEmpty)
  }

  @Test(arguments: [
    (["radius": "198.51.100.20", "radius_secret_file": "/nowhere"], "radius_secret_file: reading /nowhere: no such file or directory (ENOENT)"),
    (["nic": "eth7"], "nic: there is no interface eth7"),
  ]) func aReloadThatCannotBeCarriedOutKeepsTheProber(changes: [String: String], reason: String) throws {
    let world = Outlook()
    _ = world.perform("start")
    let before = try world.prober
    world.parameters.merge(changes) { $1 }
    #expect(world.perform("reload-agent") == Outcome(.success, reason))
    #expect(try world.prober == before && world.machine.processes.table.count == 1)
  }

  @Test func aProberThatEndsAtOnceFailsTheStart() {
    let world = Outlook()
    world.machine.processes.whenLaunched("/agent") { [unowned world] command throws(SystemError) in
      let process = world.machine.processes.appear(command.path, command.arguments)
      world.machine.processes.vanish(process.pid)
      return process
    }
    #expect(world.perform("start").reason == "starting agent: it exited at once; its log says why (journalctl -t 'probe(path)')")
    #expect(world.perform("monitor").status == .notRunning)
  }

  @Test(arguments: [
    ("ping", "", "ping: nothing to ask: name targets with ping, arp, ike or radius"),
    ("ping", "moon", "ping: expected an IPv4 or IPv6 address, got \"moon\""),
    ("name", "-n", "name: expected up to 64 letters, digits, and any of . _ -"),
    ("name", "a b", "name: expected up to 64 letters, digits, and any of . _ -"),
    ("arp", "203.0.113.1", "nic: is required with arp"),
    ("ping", "fe80::1", "nic: is required for a link-local address"),
    ("ike", "fe80::1", "nic: is required for a link-local address"),
    ("vip", "fe80::1", "nic: is required for a link-local address"),
    ("radius", "203.0.113.1", "radius_secret_file: is required with radius"),
    ("ping_interval", "0", "ping_interval: expected 1 to 3600 seconds"),
    ("ping_timeout", "2", "ping_timeout: expected 1 to 1 seconds (ping_interval)"),
    ("ike_ports", "500 70000", "ike_ports: expected a port from 1 to 65535, got \"500 70000\""),
    ("vip_check", "telnet", "vip_check: expected one of ike, ping, got \"telnet\""),
  ]) func badParameters(name: String, value: String, reason: String) {
    let world = Outlook()
    world.parameters[name] = value
    // Refused here; another node, which has the values from before, goes on.
    let isReloadable = !reason.hasPrefix("name:")
    #expect(world.perform("start") == Outcome(isReloadable ? .genericError : .misconfigured, reason))
    #expect(world.perform("validate-all") == Outcome(.misconfigured, reason))
    #expect(world.perform("stop") == Outcome(.success))
    #expect(world.machine.processes.launched.isEmpty)
  }

  @Test func aSecretThatOthersCanReadIsRefused() {
    let world = Outlook(["radius": "198.51.100.20", "radius_secret_file": Outlook.secretFile])
    #expect(world.perform("validate-all", level: 10) == Outcome(.success))
    let denied = "radius_secret_file: reading /etc/vpnha/radius.secret: it must be a file of root's with mode 0600 or less (EACCES)"
    for mode: UInt32 in [0o640, 0o604, 0o660] {
      world.machine.files.put("xyzzy", at: Outlook.secretFile, mode: mode)
      #expect(world.perform("start") == Outcome(.insufficientPrivileges, denied))
    }
    world.machine.files.nodes[Outlook.secretFile] = InMemoryFiles.Node(Array("xyzzy".utf8), .symbolicLink, mode: 0o600)
    #expect(world.perform("start") == Outcome(.insufficientPrivileges, denied))
    world.machine.files.put("\n", at: Outlook.secretFile, mode: 0o600)
    #expect(world.perform("start").reason?.contains("its first line is empty") == true)
    world.machine.files.nodes[Outlook.secretFile] = nil
    #expect(world.perform("start").reason == "radius_secret_file: reading \(Outlook.secretFile): no such file or directory (ENOENT)")
  }

  /// validate-all says what a start would come to, in the same words.
  @Test(
    arguments: [
      (["ping": "203.0.113.1"], true), (["nic": "eth7", "arp": "203.0.113.1"], false), (["radius": "198.51.100.20", "radius_secret_file": "/srv/absent"], false),
      (["radius": "198.51.100.20", "radius_secret_file": Outlook.secretFile], true),
    ] as [([String: String], Bool)])
  func aStartIsForeseen(parameters: [String: String], starts: Bool) {
    let world = Outlook(parameters)
    let foreseen = world.perform("validate-all", level: 10)
    #expect(world.perform("start") == foreseen && (foreseen.status == .success) == starts, "\(foreseen)")
  }

  @Test func anInterfaceThatIsNotHereIsNamed() {
    let world = Outlook(["arp": "203.0.113.1", "nic": "eth7"])
    #expect(world.perform("start") == Outcome(.invalidHere, "nic: there is no interface eth7"))
    // One that is made at boot comes a moment later than the cluster.
    world.machine.clock.after(.seconds(2)) { world.machine.network.all.append(Link(index: 7, name: "eth7")) }
    #expect(world.perform("start") == Outcome(.success))
  }

  @Test(arguments: ["start", "stop", "monitor", "reload-agent"]) func anErrorAtAnyCall(action: String) {
    var world: Outlook?
    let forced = InMemoryMachine.failingEveryCall(in: {
      let fresh = Outlook()
      if action != "start" { _ = fresh.perform("start") }
      world = fresh
      return fresh.machine
    }) { _ in
      world?.perform(action) ?? Outcome(.unimplemented)
    } check: { call, outcome, machine in
      if outcome.status != .success { #expect(outcome.reason?.isEmpty == false, "\(call)") }
      switch action {
      // What could not be brought up completely is taken back.
      case "start" where outcome.status != .success:
        machine.calls.reset()
        #expect(world?.perform("stop") == Outcome(.success), "\(call)")
        #expect(machine.processes.table.isEmpty, "\(call)")
      case "stop" where outcome.status == .success: #expect(machine.processes.table.isEmpty, "\(call)")
      case "monitor": #expect(outcome.status != .notRunning, "\(call): doubt is no absence")
      default: break
      }
    }
    #expect(forced >= 3)
  }
}
