import Adoption
import Host
import L2TP
import Ledger
import Resident

/// The ledger's link, the agent's questions, the sessions that are carried on, the clients that are told, and a sweep each second.
///
/// As standby it holds what the peer tells, and has the kernel make it ready. Promoted, it carries all of that on, tells the clients of
/// what it cannot carry that their sessions are over, and from then on the peer what this node carries.
final class SessionResident {
  enum Role: String { case standby, promoted }

  static let sweeping = Duration.seconds(1)
  /// How soon the link's socket is tried again: the address it speaks from may come late.
  static let reopening = Duration.seconds(1)

  private let options: Options
  private let replica: Replica
  private let host: Host
  private let learning: Learning
  private let telling = Telling()
  /// Nil where the kernel gives nothing to carry sessions with: all clients are told.
  private let adoption: Adoption?
  private let memory: Memory
  private var role = Role.standby
  private var link: ReplicaSocket?
  private var openAt = Instant(nanoseconds: .min)
  private var sweepAt = Instant(nanoseconds: .min)
  private var loop: Loop?
  private var isDeclared = false
  private let began: Instant
  /// Since when changes have been waiting for the peer without a pause.
  private var waitingSince: Instant?
  private var declared: Set<SessionKey> = []
  /// By what they are about: said when they begin, and in every answer to `status`.
  private var risks: [String: String] = [:]

  init(_ options: Options, _ replica: Replica, _ host: Host, kernel: (any SessionKernel)?) {
    self.options = options
    self.replica = replica
    self.host = host
    began = host.clock.now
    learning = Learning(gateway: options.address, host)
    adoption = kernel.map { Adoption($0, host.clock, say: say) }
    memory = Memory(of: options.instance, host.files)
  }

  func serve(_ control: ControlSocket, _ loop: Loop) {
    self.loop = loop
    loop.run {
      turn(at: host.clock.now)
      let moments = [link == nil ? openAt : replica.deadline, sweepAt, telling.deadline, adoption?.deadline].compactMap(\.self)
      // A turn reads all sources but this one.
      let questions = Pause.Source(control) { control.answer { self.answer($0) } }
      let others: [(any Readable)?] = [link, adoption] + telling.sockets
      return Pause(for: [questions] + others.compactMap(\.self).map { Pause.Source($0) }, before: moments.min() ?? host.clock.now)
    }
  }

  private func turn(at now: Instant) {
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
    }
    if !telling.isIdle { telling.turn(at: now) }
    if now >= sweepAt {
      sweepAt = now + Self.sweeping
      switch role {
      case .standby: prepare()
      case .promoted: sweep(at: now)
      }
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
  }

  private func sweep(at now: Instant) {
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
        + ["ready \(role == .standby ? adoption?.count ?? 0 : 0)"]
        + ["up \((now - began).components.seconds)", "lag \(waitingSince.map { (now - $0).components.seconds } ?? 0)"]
        + risks.sorted { $0.key < $1.key }.map { "risk \($0.value)" } + replica.standing(at: now).lines
    case "list":
      let adopted = (adoption?.carried ?? [:]).values.sorted { $0.key < $1.key }
      return ["ok"] + learning.records.values.sorted { $0.key < $1.key }.map { Self.line($0, "own") } + adopted.map { Self.line($0, "adopted") }
        + replica.held.map { Self.line($0, "held") }
    case "promote":
      guard role == .standby else { return ["ok"] }
      role = .promoted
      let inherited = inherit()
      if let adoption {
        adoption.promote(with: inherited)
      } else {
        if !inherited.isEmpty { say("telling \(inherited.count) sessions of the peer's that they are over") }
        telling.begin(with: inherited, at: now)
      }
      sweepAt = now
      return ["ok"]
    case "demote":
      role = .standby
      telling.stop()
      adoption?.stop()
      remember([])
      replica.withdraw()
      isDeclared = false
      declared = []
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
