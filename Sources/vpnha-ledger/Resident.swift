import CLinux
import Host
import L2TP
import Ledger

/// One thread and one `poll`: the ledger's link, the agent's questions, the clients that are told, and a sweep each second.
///
/// As standby it holds what the peer tells. Promoted, it tells the clients of all that it held that their sessions are over, and
/// from then on the peer what this node carries.
final class Resident {
  nonisolated(unsafe) static var isEnding = false

  enum Role: String { case standby, promoted }

  static let sweeping = Duration.seconds(1)
  /// How soon the link's socket is tried again: the address it speaks from may come late.
  static let reopening = Duration.seconds(1)

  private let options: Options
  private let replica: Replica
  private let host: Host
  private let learning: Learning
  private let telling = Telling()
  private var role = Role.standby
  private var link: ReplicaSocket?
  private var openAt = Instant(nanoseconds: .min)
  private var sweepAt = Instant(nanoseconds: .min)
  private var isDeclared = false
  private let began: Instant
  /// Since when changes have been waiting for the peer without a pause.
  private var waitingSince: Instant?
  /// By what they are about: said when they begin, and in every answer to `status`.
  private var risks: [String: String] = [:]

  init(_ options: Options, _ replica: Replica, _ host: Host) {
    self.options = options
    self.replica = replica
    self.host = host
    began = host.clock.now
    learning = Learning(gateway: options.address, host)
  }

  func serve(_ control: ControlSocket) {
    while !Self.isEnding {
      turn(at: host.clock.now)
      // In front of the wait, so that what a command changed is acted upon at once.
      control.answer { answer($0) }
      let now = host.clock.now
      var deadline = min(replica.deadline, link == nil ? openAt : .init(nanoseconds: .max), telling.deadline ?? .init(nanoseconds: .max))
      if link == nil { deadline = min(openAt, telling.deadline ?? openAt) }
      if role == .promoted { deadline = min(deadline, sweepAt) }
      var requests = ([control.descriptor, link?.descriptor ?? -1] + telling.descriptors).map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
      _ = poll(&requests, nfds_t(requests.count), min(1000, (deadline - now).pollMilliseconds))
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
    if !telling.isIdle { telling.turn(at: now) }
    if role == .promoted, now >= sweepAt { sweep(at: now) }
  }

  private func sweep(at now: Instant) {
    sweepAt = now + Self.sweeping
    let before = learning.records
    do throws(SystemError) {
      try learning.sweep()
      risks["sweep"] = nil
    } catch { return risk("sweep", "\(error)") }
    let after = learning.records
    do throws(LedgerError) {
      if isDeclared {
        for key in before.keys where after[key] == nil { replica.remove(key, at: now) }
        for record in after.values { try replica.put(record, at: now) }
      } else {
        try replica.replace(all: Array(after.values), at: now)
        isDeclared = true
      }
      risks["full"] = nil
    } catch { risk("full", "\(error)") }
  }

  private func risk(_ subject: String, _ text: String) {
    if risks.updateValue(text, forKey: subject) != text { say(text) }
  }

  // MARK: - The agent's questions

  func answer(_ command: String) -> [String] {
    let now = host.clock.now
    switch command {
    case "status":
      return ["ok", "version 1", "role \(role.rawValue)", "own \(learning.records.count)", "adopted 0", "told \(telling.told)", "lost \(telling.lost)"]
        + ["up \((now - began).components.seconds)", "lag \(waitingSince.map { (now - $0).components.seconds } ?? 0)"]
        + risks.sorted { $0.key < $1.key }.map { "risk \($0.value)" } + replica.standing(at: now).lines
    case "list":
      return ["ok"] + learning.records.values.sorted { $0.key < $1.key }.map { Self.line($0, "own") } + replica.held.map { Self.line($0, "held") }
    case "promote":
      guard role == .standby else { return ["ok"] }
      role = .promoted
      let inherited = replica.takeHeld()
      if !inherited.isEmpty { say("telling \(inherited.count) sessions of the peer's that they are over") }
      telling.begin(with: inherited, at: now)
      sweepAt = now
      return ["ok"]
    case "demote":
      role = .standby
      telling.stop()
      replica.withdraw()
      isDeclared = false
      return ["ok"]
    case "stop":
      Self.isEnding = true
      return ["ok"]
    default: return ["error unknown command"]
    }
  }

  private static func line(_ record: SessionRecord, _ standing: String) -> String {
    // A user may be called anything; the line's parts are told apart by blanks.
    let user = String(record.user.map { $0.isWhitespace || !$0.isASCII ? "?" : $0 })
    return "session \(record.tunnel) \(record.session) \(record.peer) \(record.peerPort) \(record.local) \(record.remote) \(user.isEmpty ? "-" : user) \(record.since) \(record.hops) \(standing)"
  }
}
