import Adoption
import Host
import L2TP
import Ledger
import Resident
import Sessions

/// The ledger's link, the agent's questions, the sessions that are carried on, the clients that are told, and a sweep each second.
///
/// As standby it holds what the peer tells, and has the kernel make it ready. Serving, it carries all of that on, tells the clients of
/// what it cannot carry that their sessions are over, and from then on the peer what this node carries.
///
/// It serves where the address is: from the moment it is taken, if the node has sessions to carry on or is promoted, until it leaves, so
/// that data need not wait for anybody else's turn in the cluster, and two nodes never carry the same.
final class SessionResident {
  enum Role: String { case standby, promoted }

  static let sweeping = Duration.seconds(1)
  /// How soon the link's socket is tried again: the address it speaks from may come late.
  static let reopening = Duration.seconds(1)
  /// How long after a `yield` what daemons carried is taken for carried, if no `carry` comes.
  static let yielding = Duration.seconds(15)
  /// How long after a `carry` the address may take to leave.
  static let leaving = Duration.seconds(60)
  /// How often a standby asks the cluster for the epoch. The peer may have just begun one that the cluster does not know yet: then the
  /// ages of the SAs keep this node's numbers above the peer's until it asks again.
  static let epochs = Duration.seconds(10)

  private let options: Options
  private let replica: Replica
  private let host: Host
  private let learning: Learning
  private let telling = Telling()
  /// Nil where the kernel gives nothing to carry sessions with: all clients are told.
  private let adoption: Adoption?
  private let memory: Memory
  private var scripts = LinkScripts()
  private var role = Role.standby
  private var isServing = false
  private let address: AddressWatch?
  private let accounts: AccountWatch?
  private let reporting: Reporting?
  /// When the servers hear of the sessions that are carried on here.
  private var reportAt: [SessionKey: Instant] = [:]
  private var hasAccounts = false
  private var link: ReplicaSocket?
  private var openAt = Instant(nanoseconds: .min)
  private var sweepAt = Instant(nanoseconds: .min)
  /// The daemons of this node are being ended after a `yield`: that their sessions have gone from the kernel means nothing until then.
  private var yieldedUntil: Instant?
  /// All that daemons of this node carried was given to this program, and the address is about to go.
  private var leavesUntil: Instant?
  /// Nothing is to leave from the address once it has gone: strongswan relies on it.
  private var isToSilence = false
  /// The peer's epoch. The question needs a program, which a take-over is not to wait for.
  private var epoch: Epoch?
  private var epochAt: Instant?
  private var loop: Loop?
  private var isDeclared = false
  private let began: Instant
  /// Since when changes have been waiting for the peer without a pause.
  private var waitingSince: Instant?
  private var declared: Set<SessionKey> = []
  /// By what they are about: said when they begin, and in every answer to `status`.
  private var risks: [String: String] = [:]

  init(_ options: Options, _ replica: Replica, _ host: Host, kernel: (any SessionKernel)?, address: AddressWatch? = nil, accounts: AccountWatch? = nil, reporting: Reporting? = nil) {
    self.options = options
    self.replica = replica
    self.host = host
    began = host.clock.now
    learning = Learning(gateway: options.address, host)
    adoption = kernel.map { Adoption($0, host.clock, say: say) }
    memory = Memory(of: options.instance, host.files)
    self.address = address
    self.accounts = accounts
    self.reporting = reporting
  }

  func serve(_ control: ControlSocket, _ loop: Loop) {
    self.loop = loop
    loop.run {
      turn(at: host.clock.now)
      let moments = [link == nil ? openAt : replica.deadline, sweepAt, telling.deadline, adoption?.deadline, reporting?.deadline, scripts.isIdle ? nil : host.clock.now].compactMap(\.self)
      // A turn reads all sources but this one.
      let questions = Pause.Source(control) { control.answer { self.answer($0) } }
      let others: [(any Readable)?] = [link, adoption, address, accounts] + telling.sockets + (reporting?.sockets ?? [])
      return Pause(for: [questions] + others.compactMap(\.self).map { Pause.Source($0) }, before: moments.min() ?? host.clock.now)
    }
  }

  private func turn(at now: Instant) {
    if address?.hasNews() ?? false { followAddress(at: now) }
    if link == nil, now >= openAt {
      openAt = now + Self.reopening
      do throws(SystemError) {
        link = try ReplicaSocket(source: options.source, peer: options.peer, port: options.port)
        risks["link"] = nil
      } catch { risk("link", "\(error)") }
    }
    if let link { link.pump(replica, at: now) }
    waitingSince = replica.isInStep ? nil : waitingSince ?? now
    if let adoption {
      adoption.turn()
      let told = adoption.takeTold()
      if !told.isEmpty { telling.begin(with: told, at: now) }
      let emptied = adoption.takeEmptied()
      if !emptied.isEmpty { telling.begin(with: emptied, counted: false, at: now) }
      let events = adoption.takeEvents()
      for event in events where event.isUp && event.record.account != nil { reportAt[event.record.key] = now }
      scripts.add(events)
      for end in adoption.takeEnds() { reporting?.report(end.record, end.cause) }
    }
    for request in accounts?.heard() ?? [] { learning.hear(request) }
    reporting?.turn(at: now)
    if !telling.isIdle { telling.turn(at: now) }
    if now >= sweepAt {
      sweepAt = now + Self.sweeping
      followAddress(at: now)
      if isServing {
        sweep(at: now)
        report(at: now)
      } else {
        prepare()
      }
    }
    if !scripts.isIdle { scripts.runNext(on: host) }
  }

  /// Interim-Updates of sessions that are carried on: the first at once, then as often as pppd has sent them.
  private func report(at now: Instant) {
    guard let adoption, let reporting else { return }
    for (key, moment) in reportAt where now >= moment {
      guard let record = adoption.publish(key), let account = record.account else {
        reportAt[key] = nil
        continue
      }
      reporting.report(record)
      reportAt[key] = account.interval > 0 ? now + .seconds(Int(account.interval)) : nil
    }
  }

  /// Makes ready what the peer carries.
  private func prepare() {
    let held = replica.held
    // The peer serves: what was carried here once is over, or is the peer's now.
    if !held.isEmpty || replica.standing(at: host.clock.now).peerCarries != nil { remember([]) }
    guard let adoption else { return }
    adoption.follow(held)
    if let problem = adoption.problem { risk("staging", problem) } else { risks["staging"] = nil }
    let associations = held.isEmpty ? [] : outbound()
    replica.isReady(for: held.isEmpty ? 0 : adoption.ready(for: Set(associations.compactMap(\.destination))), over: AssociationFilter(associations.map(\.spi)))
    followEpoch(!held.isEmpty)
  }

  private func followEpoch(_ isInUse: Bool) {
    guard isInUse else {
      (epoch, epochAt, risks["epoch"]) = (nil, nil, nil)
      return
    }
    let now = host.clock.now
    guard now >= epochAt ?? now else { return }
    // Epochs only rise: the last that was heard of stands where the cluster has no time for an answer.
    do throws(SystemError) {
      epoch = try latestEpoch()
      risks["epoch"] = nil
    } catch { if epoch == nil { risk("epoch", "\(error)") } }
    epochAt = host.clock.now + Self.epochs
  }

  private func latestEpoch() throws(SystemError) -> Epoch {
    Epoch.latest(of: try host.cluster.nodeAttribute(Epoch.name(for: options.strongswan)))
  }

  /// The IPsec SAs that lead to clients from here.
  private func outbound() -> [OutboundAssociation] {
    do throws(SystemError) { return try host.network.outboundAssociations(from: options.address) } catch {
      risk("staging", "\(error)")
      return []
    }
  }

  // MARK: - The address

  private func followAddress(at now: Instant) {
    let isHere: Bool
    do throws(SystemError) {
      isHere = try host.network.holds(options.address)
      risks["address"] = nil
    } catch { return risk("address", "\(error)") }
    if isServing {
      if !isHere { leave() }
    } else if isHere, role == .promoted || !replica.held.isEmpty && isTaken {
      serve(at: now)
    }
  }

  /// Whether the cluster's vip has taken the address here, as it notes before it does (`agents/vip/Records.swift`). One that somebody
  /// added to a standby by hand is no reason to speak: a single packet from here ends what the other node carries.
  var isTaken: Bool {
    do throws(SystemError) {
      return try host.files.records(of: "vip", as: "held", limit: 256).contains { $0.bytes.starts(with: "\(options.address) ".utf8) }
    } catch {
      risk("address", "\(error)")
      return false
    }
  }

  private func serve(at now: Instant) {
    isServing = true
    defer { followEpoch(false) }
    let inherited = inherit()
    hasAccounts = reporting != nil && inherited.contains { $0.account != nil }
    replica.isReady(for: 0)
    if adoption != nil, !inherited.isEmpty { openTheWay() }
    if let adoption {
      adoption.promote(with: inherited)
    } else {
      if !inherited.isEmpty { say("telling \(inherited.count) sessions of the peer's that they are over") }
      telling.begin(with: inherited, at: now)
      for record in inherited { reporting?.report(record, .lostService) }
    }
    sweepAt = now
  }

  /// The strongswan resource holds back what leaves a standby, because it does not know the number of the last packet that its peer
  /// sent. Its promotion comes after the address, so what it would do then is done now: it finds it done, and begins the same epoch.
  private func openTheWay() {
    do throws(SystemError) {
      guard try host.network.blockedEgress().contains(options.address) else { return }
      if let oldest = try host.network.outboundAssociations(from: options.address).map(\.age).max() {
        let latest = if let epoch { epoch } else { try latestEpoch() }
        let next = latest.next(atAge: oldest)
        _ = try host.network.raiseSequences(from: options.address) { next.firstSequence(atAge: $0.age) }
      }
      try host.network.unblockEgress(from: options.address)
    } catch { say("data wait for strongswan: \(error)") }
  }

  /// What is still carried is remembered until the peer says that it carries it: this node may be the next one again.
  private func leave() {
    isServing = false
    (hasAccounts, reportAt) = (false, [:])
    if isToSilence {
      do throws(SystemError) { try host.network.blockEgress(from: options.address) } catch { say("\(error)") }
    }
    (leavesUntil, isToSilence) = (nil, false)
    telling.stop()
    if let adoption {
      remember(Array(adoption.carried.values))
      adoption.stop()
    }
    _ = learning.take()
    yieldedUntil = nil
    replica.withdraw()
    isDeclared = false
    declared = []
  }

  /// Why the peer cannot take over all that is carried here; nil when it can.
  private func hindrance(at now: Instant) -> String? {
    guard isServing else { return "this node does not serve" }
    sweep(at: now)
    guard !declared.isEmpty else { return nil }
    let standing = replica.standing(at: now)
    if standing.link != .connected { return "nothing is heard from the peer" }
    if !replica.isInStep { return "the peer does not know all sessions" }
    if standing.peerReady < declared.count { return "the peer is ready for \(standing.peerReady) of \(declared.count) sessions" }
    let clients = Set((Array(learning.records.values) + (adoption.map { Array($0.carried.values) } ?? [])).map(\.peer))
    do throws(SystemError) {
      let strangers = Self.unsynchronised(try host.network.outboundAssociations(from: options.address), of: clients, on: replica.peerAssociations)
      if strangers > 0 { return "the peer lacks the IPsec SAs of \(strangers) clients" }
    } catch { return "\(error)" }
    return risks["sweep"] ?? risks["full"]
  }

  /// How many clients have a youngest SA that the peer does not have: strongSwan's sync has failed. Sessions that went there would go
  /// silent, and nobody would have been told. One that has just been negotiated may still be on its way.
  static func unsynchronised(_ associations: [OutboundAssociation], of clients: Set<IPAddress>, on peer: AssociationFilter) -> Int {
    var youngest: [IPAddress: [OutboundAssociation]] = [:]
    for association in associations where association.age >= 2 {
      guard let client = association.destination, clients.contains(client) else { continue }
      let age = youngest[client]?.first?.age ?? .max
      if association.age < age { youngest[client] = [association] } else if association.age == age { youngest[client]?.append(association) }
    }
    return youngest.values.count { !$0.allSatisfy { peer.mayContain($0.spi) } }
  }

  private func sweep(at now: Instant) {
    if let yieldedUntil, now < yieldedUntil { return }
    yieldedUntil = nil
    let adopted = adoption?.carried ?? [:]
    do throws(SystemError) {
      try learning.sweep(except: adopted)
      risks["sweep"] = nil
    } catch { return risk("sweep", "\(error)") }
    if let adoption, !adopted.isEmpty { for record in learning.records.values { adoption.giveWay(to: record) } }
    let remaining = adoption?.carried ?? [:]
    remember(Array(remaining.values))
    let after = learning.records.merging(remaining) { $1 }
    do throws(LedgerError) {
      if isDeclared {
        for key in declared where after[key] == nil { replica.remove(key, at: now) }
        for record in after.values { try replica.put(record, at: now) }
      } else {
        try replica.replace(all: Array(after.values), at: now)
        isDeclared = true
      }
      risks["full"] = nil
    } catch { risk("full", "\(error)") }
    declared = Set(after.keys)
  }

  private func remember(_ records: [SessionRecord]) {
    do throws(SystemError) {
      try memory.keep(records)
      risks["memory"] = nil
    } catch { risk("memory", "\(error)") }
  }

  private func risk(_ subject: String, _ text: String) {
    if risks.updateValue(text, forKey: subject) != text { say(text) }
  }

  // MARK: - The agent's questions

  func answer(_ command: String) -> [String] {
    let now = host.clock.now
    switch command {
    case "status":
      return ["ok", "version 1", "role \(role.rawValue)", "own \(learning.records.count)", "adopted \(adoption?.carried.count ?? 0)", "told \(telling.told)", "lost \(telling.lost)"]
        + ["ready \(isServing ? 0 : adoption?.count ?? 0)"]
        + ["up \((now - began).components.seconds)", "lag \(waitingSince.map { (now - $0).components.seconds } ?? 0)"]
        + risks.sorted { $0.key < $1.key }.map { "risk \($0.value)" } + replica.standing(at: now).lines
    case "list":
      let adopted = (adoption?.carried ?? [:]).values.sorted { $0.key < $1.key }
      return ["ok"] + learning.records.values.sorted { $0.key < $1.key }.map { Self.line($0, "own") } + adopted.map { Self.line($0, "adopted") }
        + replica.held.map { Self.line($0, "held") }
    case "promote":
      role = .promoted
      followAddress(at: now)
      return ["ok"]
    case "demote":
      role = .standby
      followAddress(at: now)
      return ["ok"]
    case "yield \(options.address)":
      if let hindrance = hindrance(at: now) { return ["error \(hindrance)"] }
      yieldedUntil = now + Self.yielding
      learning.count()
      return ["ok", "sessions \(declared.count)"]
    case "carry \(options.address)":
      yieldedUntil = nil
      guard isServing, let adoption else { return ["error this node carries no sessions"] }
      adoption.publishAll()
      // Nobody carries on what is being negotiated: a client that is told dials again at once, and finds the other node.
      telling.begin(with: learning.unfinished, counted: false, at: now)
      let taken = learning.take()
      adoption.take(taken)
      // Their pppds report no more, should the address stay.
      for record in taken { if let interval = record.account?.interval, interval > 0 { reportAt[record.key] = now + .seconds(Int(interval)) } }
      (leavesUntil, isToSilence) = (now + Self.leaving, false)
      return ["ok"]
    case "hold \(options.address)":
      followAddress(at: now)
      guard isServing, let leavesUntil, now < leavesUntil else { return ["error the address is not about to leave"] }
      isToSilence = true
      return ["ok"]
    case "accounts \(options.address)":
      followAddress(at: now)
      return [isServing && hasAccounts ? "ok" : "error no account goes on here"]
    case "farewell \(options.address)":
      yieldedUntil = nil
      if isServing { adoption?.tellAll() }
      return ["ok"]
    case "stop":
      loop?.end()
      return ["ok"]
    default: return ["error unknown command"]
    }
  }

  /// What the peer has told of, or what this node carried before this program was killed.
  private func inherit() -> [SessionRecord] {
    let held = replica.takeHeld()
    if !held.isEmpty { return held }
    do throws(SystemError) { return try memory.recall() } catch {
      risk("memory", "\(error)")
      return []
    }
  }

  private static func line(_ record: SessionRecord, _ standing: String) -> String {
    // A user may be called anything; the line's parts are told apart by blanks.
    let user = String(record.user.map { $0.isWhitespace || !$0.isASCII ? "?" : $0 })
    return "session \(record.tunnel) \(record.session) \(record.peer) \(record.peerPort) \(record.local) \(record.remote) \(user.isEmpty ? "-" : user) \(record.since) \(record.hops) \(standing)"
  }
}
