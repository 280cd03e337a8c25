import Daemon
import Host
import IKEProbe
import OCF
import RADIUS
import Resident

/// The resident process: asks every target in its own time, tells the cluster what changed, and reports every second.
///
/// It holds nothing that a death could leave behind but its report, so it may be killed at any moment; the agent ends it with TERM.
final class Prober {
  /// The first of the arguments that start it; the second is the resource's name.
  static let word = "watch"

  static func isMeant(by arguments: [String]) -> Bool { arguments.count == 3 && arguments[1] == word }
  static func arguments(for request: Request) -> [String] { [word, request.instance] }

  /// How often it reports, and how soon after a failure it tries again to tell the cluster.
  static let reporting = Duration.seconds(1)
  static let retry = Duration.seconds(5)
  /// How often it tells again what has not changed: a cluster forgets a node's attributes when it loses sight of the node, when the
  /// attribute daemons have begun anew, or when somebody deletes them.
  static let renewal = Duration.seconds(60)

  private let agent: PathProbe
  private let call: Call
  private let process: Process
  private let groups: [[Inquiry]]
  private let watched: Inquiry?
  private var told: [String: String] = [:]
  private var toldAt: Instant?
  private var untold: String?
  private var retryAt: Instant?
  private var reportedAt: Instant?
  private var last = Verdict()

  /// Asks until it is ended from outside.
  static func run(_ agent: PathProbe, _ call: Call) {
    do throws(OCFError) {
      let prober = try Prober(agent, call)
      let loop = try attempt("probing", try Loop(on: call.host, endingWith: TerminationSignals()))
      try loop.run(prober.turn)
    } catch { call.log.error("probing: \(error.reason)") }
  }

  /// - Parameter random: numbers that nobody can guess.
  init(_ agent: PathProbe, _ call: Call, random: @escaping () -> UInt64 = { UInt64.random(in: 1 ... .max) }) throws(OCFError) {
    self.agent = agent
    self.call = call
    process = try attempt("looking at this process", try call.host.processes.current())
    let secret = agent.radius.isEmpty ? nil : try agent.sharedSecret(call.host)
    let asker = Asker(agent: agent, secret: secret, random: random)
    groups = agent.groups.map { $0.map { Inquiry($0, asker) } }
    watched = agent.watchedAddress.map { Inquiry($0, asker) }
  }

  private var inquiries: [Inquiry] { groups.flatMap { $0 } + (watched.map { [$0] } ?? []) }

  /// What is due now; the pause is at most a second.
  func turn() throws(OCFError) -> Pause {
    let clock = call.host.clock
    for inquiry in inquiries { inquiry.step(call.host) }
    let verdict = Verdict(
      groups: groups.map { $0.map(\.finding) }, watched: watched?.finding, holdsAddress: watched?.isHeldHere == true,
      skew: { agent.schedule(of: $0).skew })
    if verdict.troubles != last.troubles || verdict.path != last.path || verdict.address != last.address { note(verdict) }
    last = verdict
    tell(verdict)
    if reportedAt.map({ clock.now - $0 >= Self.reporting }) ?? true { try report(verdict) }

    let due = inquiries.map(\.due).min() ?? clock.now
    let deadline = min(due, (reportedAt ?? clock.now) + Self.reporting)
    let answers = inquiries.compactMap { inquiry in inquiry.socket.map { Pause.Source($0) { inquiry.hear(self.call.host) } } }
    return Pause(for: answers, before: deadline)
  }

  /// One line when something changes, none while it stays.
  private func note(_ verdict: Verdict) {
    for trouble in verdict.troubles where !last.troubles.contains(trouble) { call.log.warning(trouble) }
    if verdict.path == true, last.path != true { call.log.notice("the path is up") }
    if verdict.address == true, last.address == false { call.log.notice("the gateway's address answers, or is held here") }
    if verdict.path == true, verdict.troubles.isEmpty, !last.troubles.isEmpty { call.log.notice("every target answers") }
  }

  private func tell(_ verdict: Verdict) {
    let clock = call.host.clock
    if let retryAt, clock.now < retryAt { return }
    var values: [(String, Bool?)] = [(agent.name, verdict.path)]
    if watched != nil { values.append((agent.name + PathProbe.addressSuffix, verdict.address)) }
    let isRenewal = toldAt.map { clock.now - $0 >= Self.renewal } ?? false
    for case (let name, .some(let isUp)) in values where isRenewal || told[name] != (isUp ? "1" : "0") {
      let value = isUp ? "1" : "0"
      let dampening = max(.seconds(agent.dampen), isUp ? .zero : verdict.skew + .seconds(1))
      do throws(SystemError) {
        try call.host.cluster.setNodeAttribute(name, to: value, dampening: dampening)
        let isNews = told.updateValue(value, forKey: name) != value
        toldAt = isRenewal ? clock.now : toldAt ?? clock.now
        untold = nil
        retryAt = nil
        reportedAt = nil
        guard isNews else { continue }
        call.log.info("set node attribute \(name) to \(value)", ("VPNHA_ATTRIBUTE", name), ("VPNHA_VALUE", value))
      } catch {
        if untold == nil { call.log.warning("\(error)") }
        untold = error.description
        retryAt = clock.now + Self.retry
        return
      }
    }
  }

  private func report(_ verdict: Verdict) throws(OCFError) {
    var report = Report(by: process, at: call.host.clock.now)
    report.values = told
    report.untold = untold
    report.troubles = Array(verdict.troubles.prefix(16))
    try attempt("reporting", try call.keep(report.bytes, as: Report.kind))
    reportedAt = report.written
  }
}

/// What is needed to put a question.
struct Asker {
  var agent: PathProbe
  var secret: SharedSecret?
  var random: () -> UInt64

  func question(for target: Target) -> Question? {
    switch (target.kind, target.port) {
    case (.ping, _), (.vip, 0): return .echo(EchoRequest(isIPv6: target.address.isIPv6, cookie: random()))
    case (.arp, _): return .neighbour
    case (.ike, let port), (.vip, let port):
      // The gateway's own clients speak IKEv1; any daemon of theirs answers version 2 as well.
      let probe: IKEProbe = target.kind == .ike && agent.ikeVersion == .one ? .proposalV1 : .proposalV2
      return .ike(spi: max(1, random()), probe, hasMarker: port != 500)
    case (.radius, _):
      guard let secret else { return nil }
      let (a, b, c) = (random(), random(), random())
      let authenticator = (0..<16).map { UInt8(truncatingIfNeeded: ($0 < 8 ? a : b) >> UInt64($0 % 8 * 8)) }
      return .status(StatusServer(identifier: UInt8(truncatingIfNeeded: c), authenticator: authenticator, secret: secret))
    }
  }

  func connect(to target: Target, on host: Host) throws(SystemError) -> any DatagramSocket {
    switch (target.kind, target.port) {
    case (.ping, _), (.vip, 0):
      return try host.sockets.connect(toICMP: target.address, from: agent.source, on: target.isOnALink ? try link(host) : nil)
    case (.arp, _):
      return try host.sockets.connect(toNeighbour: target.address, on: try link(host), from: try sender(to: target.address, on: host))
    default:
      return try host.sockets.connect(
        toUDP: target.address, port: target.port, from: agent.source, on: target.isOnALink ? try link(host) : nil)
    }
  }

  private func link(_ host: Host) throws(SystemError) -> Link {
    guard let link = try host.network.link(named: agent.nic) else { throw SystemError("looking for \(agent.nic)", .noSuchDevice) }
    return link
  }

  /// Whether an error says that there is no way to the target, and not that this node cannot put the question.
  func isOfThePath(_ errno: Errno) -> Bool {
    switch errno {
    // The route, the link or its carrier has gone; or a host on the way said so.
    case .networkUnreachable, .hostUnreachable, .networkDown, .noSuchDevice, .noSuchDeviceOrAddress, .timedOut, .connectionRefused,
      Errno(rawValue: 112) /* EHOSTDOWN */:
      true
    // With no address left to send from there is no way either.
    case .addressNotAvailable: agent.source == nil
    default: false
    }
  }

  /// The address that the kernel would send from; nil where it has none, and then the question names nobody.
  private func sender(to address: IPAddress, on host: Host) throws(SystemError) -> IPAddress? {
    if let source = agent.source { return source }
    do throws(SystemError) {
      let socket = try host.sockets.connect(toUDP: address, port: 9, from: nil)
      defer { socket.close() }
      return socket.localAddress
    } catch { return nil }
  }
}

/// The probes of one target.
final class Inquiry {
  private struct Probe {
    var question: Question
    var began: Instant
    var sent = 0
    /// Whether a question has left this node.
    var hasLeft = false
    var isRefused = false
  }

  static let repetitions = 3
  /// Datagrams that are read at once; the rest waits for the next round.
  static let noiseLimit = 64
  /// Sending is tried again so often in place of what a socket says of earlier datagrams.
  static let errorLimit = 3

  let target: Target
  private(set) var socket: (any DatagramSocket)?
  /// Whether this node is the one that has the address.
  private(set) var isHeldHere = false

  private let asker: Asker
  private let schedule: Schedule
  private var history: History
  private var probe: Probe?
  private var next: Instant?
  private var refusedSince: Timestamp?
  private var obstacle: String?
  private var inability: String?

  init(_ target: Target, _ asker: Asker) {
    self.target = target
    self.asker = asker
    schedule = asker.agent.schedule(of: target.kind)
    history = History(schedule.threshold, recovery: asker.agent.recovery(of: target.kind))
  }

  var finding: Finding { Finding(target: target, state: history.state, refusedSince: refusedSince, obstacle: obstacle, inability: inability) }

  /// When `step` has something to do again.
  var due: Instant {
    guard let probe else { return next ?? Instant(nanoseconds: 0) }
    let end = probe.began + schedule.timeout
    return probe.sent < Self.repetitions ? min(end, probe.began + schedule.timeout / Self.repetitions * probe.sent) : end
  }

  /// Judges a probe whose time is over, begins one that is due, repeats one that was not answered yet.
  func step(_ host: Host) {
    let now = host.clock.now
    if let probe, now >= probe.began + schedule.timeout {
      // A question that this node could not put says nothing of the path.
      if probe.hasLeft || inability == nil { settle(answered: false, host) } else { giveUp() }
    }
    if probe == nil, next.map({ now >= $0 }) ?? true { begin(host) }
    guard let probe, now >= due else { return }
    send(probe.question, host)
  }

  /// Reads what came.
  func hear(_ host: Host) {
    for _ in 0..<Self.noiseLimit {
      guard let socket, let probe else { return drain(host) }
      do throws(SystemError) {
        guard let datagram = try socket.receive(limit: Question.answerLimit, before: host.clock.now) else { return }
        if probe.question.isAnswered(by: datagram) { settle(answered: true, host) }
      } catch {
        // Taken off the socket: an answer may still be under way.
        note(error, host)
      }
    }
  }

  private func begin(_ host: Host) {
    let now = host.clock.now
    next = (next ?? now) + schedule.interval
    // After a pause, ours or the machine's, what was missed is not made up for.
    if let next, next <= now { self.next = now + schedule.interval }
    if target.kind != .radius {
      isHeldHere = holds(host)
      if isHeldHere, target.kind != .vip {
        // The address moved here. Whatever it answers now says nothing of the path.
        inability = "it is this node's own address"
        return
      }
      if isHeldHere {
        history = History(schedule.threshold, recovery: asker.agent.recovery(of: target.kind))
        refusedSince = nil
        return
      }
    }
    guard let question = asker.question(for: target) else { return }
    probe = Probe(question: question, began: now)
  }

  private func holds(_ host: Host) -> Bool {
    do throws(SystemError) {
      if try host.network.copy(of: target.address, on: nil, label: nil) != nil { return true }
      return try !host.network.holders(of: target.address).isEmpty
    } catch {
      obstacle = error.errno.description
      return isHeldHere
    }
  }

  private func send(_ question: Question, _ host: Host) {
    probe?.sent += 1
    do throws(SystemError) {
      let socket = if let socket { socket } else { try asker.connect(to: target, on: host) }
      self.socket = socket
      for attempt in 1...Self.errorLimit {
        do throws(SystemError) {
          try socket.send(question.bytes)
          break
        } catch {
          // Of earlier datagrams, or of somebody who forges such words: it hides whether this one can be sent.
          guard attempt < Self.errorLimit else { throw error }
          note(error, host)
          if probe == nil { return }
        }
      }
      probe?.hasLeft = true
      obstacle = nil
      inability = nil
    } catch {
      note(error, host)
      inability = asker.isOfThePath(error.errno) ? nil : error.errno.description
      disconnect()
    }
  }

  /// What a socket says is a hint: any host can send an ICMP error, and an answer proves it wrong. A ping has no port to be
  /// refused on. An IKE responder's refusal proves the path, and ends the probe.
  private func note(_ error: SystemError, _ host: Host) {
    guard error.errno == .connectionRefused else {
      obstacle = error.errno.description
      return
    }
    if case .echo = probe?.question { return }
    probe?.isRefused = true
    guard target.kind == .ike, probe != nil else { return }
    let since = refusedSince ?? host.clock.timestamp
    settle(answered: true, host)
    refusedSince = since
  }

  private func settle(answered: Bool, _ host: Host) {
    refusedSince = !answered && probe?.isRefused == true ? refusedSince ?? host.clock.timestamp : nil
    probe = nil
    if answered { obstacle = nil }
    history.add(answered: answered, at: host.clock.now, host.clock.timestamp)
    // The kernel chose address and route when the socket was made; they may not be right any more.
    if !answered { disconnect() }
  }

  private func giveUp() {
    probe = nil
    disconnect()
  }

  /// Answers that come too late.
  private func drain(_ host: Host) {
    guard let socket else { return }
    for _ in 0..<Self.noiseLimit {
      do throws(SystemError) {
        guard try socket.receive(limit: Question.answerLimit, before: host.clock.now) != nil else { return }
      } catch { return disconnect() }
    }
  }

  private func disconnect() {
    socket?.close()
    socket = nil
  }
}
