import Daemon
import Host
import OCF
import Sessions

/// The pppds that carry our daemon's sessions, and their end.
struct PPPSessions {
  let processes: SessionProcesses

  /// Every pppd of ours.
  func all(_ call: Call) throws(OCFError) -> [Process] {
    try attempt("looking for pppd", try processes.all(on: call.host))
  }

  /// Those whose daemon is gone.
  func orphans(_ call: Call) throws(OCFError) -> [Process] {
    try attempt("looking for pppd", try processes.orphans(on: call.host))
  }

  /// Asks `sessions` to end, waits for it, and returns those that did.
  func ask(_ sessions: [Process], _ call: Call) throws(OCFError) -> [Process] {
    try send(.terminate, sessions, call)
    var left = sessions
    if try !call.until({ () throws(OCFError) in try areGone(&left, call) }) { left = try alive(left, call) }
    return sessions.filter { session in !left.contains { $0.pid == session.pid } }
  }

  /// Ends `sessions`: asks each pppd, waits for at most `patience`, then kills.
  ///
  /// A pppd that is asked first takes its interface down, runs its scripts and reports to RADIUS, and then spends six more
  /// seconds on telling a peer that cannot hear it any more. That last part is cut short.
  ///
  /// - Returns: how many were killed before they had done that, and whether all have gone.
  @discardableResult
  func end(_ sessions: [Process], patience: Duration, _ call: Call) throws(OCFError) -> (killed: Int, areGone: Bool) {
    guard !sessions.isEmpty else { return (0, true) }
    try send(.terminate, sessions, call)
    let interfaces = try interfaces(of: sessions, call)
    let clock = call.host.clock
    let lcpGrace = clock.now + Self.lcpGrace
    var left = sessions
    let isQuiet = try call.within(patience).until { () throws(OCFError) in
      if try areGone(&left, call) { return true }
      return clock.now < lcpGrace ? false : try areDown(left.compactMap { interfaces[$0.pid] }, call)
    }
    left = try alive(left, call)
    if left.isEmpty { return (0, true) }
    return (isQuiet ? 0 : left.count, try kill(left, interfaces, call))
  }

  /// Ends `sessions` without a word to anybody; whether all have gone.
  func kill(_ sessions: [Process], _ call: Call) throws(OCFError) -> Bool { try kill(sessions, interfaces(of: sessions, call), call) }

  private func kill(_ sessions: [Process], _ interfaces: [Int32: String], _ call: Call) throws(OCFError) -> Bool {
    try send(.kill, sessions, call)
    var last = sessions
    guard try call.until({ () throws(OCFError) in try areGone(&last, call) }) else { return false }
    try attempt("cleaning up after pppd") { () throws(SystemError) in
      for interface in sessions.compactMap({ interfaces[$0.pid] }) { try call.host.files.remove(Self.pidFile(of: interface)) }
    }
    return true
  }

  /// How long a pppd without an interface is given before it is taken for a finished one.
  static let lcpGrace = Duration.milliseconds(300)

  private static func pidFile(of interface: String) -> String { "/run/\(interface).pid" }

  /// The interface of each session, by pid: pppd writes `/run/pppN.pid`.
  private func interfaces(of sessions: [Process], _ call: Call) throws(OCFError) -> [Int32: String] {
    try attempt("looking for PPP interfaces") { () throws(SystemError) in
      let ours = Set(sessions.map(\.pid))
      var interfaces: [Int32: String] = [:]
      for name in try call.host.files.entries(of: "/run") ?? [] where name.hasPrefix("ppp") && name.hasSuffix(".pid") {
        let interface = String(name.dropLast(4))
        guard let bytes = try call.host.files.read(Self.pidFile(of: interface), limit: 64),
          let word = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isWhitespace).first,
          let pid = Int32(word), ours.contains(pid)
        else { continue }
        interfaces[pid] = interface
      }
      return interfaces
    }
  }

  private func areDown(_ interfaces: [String], _ call: Call) throws(OCFError) -> Bool {
    try attempt("looking at PPP interfaces") { () throws(SystemError) in
      if interfaces.isEmpty { return true }
      let wanted = Set(interfaces)
      return try !call.host.network.links().contains { $0.isUp && wanted.contains($0.name) }
    }
  }

  /// Whether all have gone. Looks no further than the first that has not, so that waiting for hundreds takes nothing from them,
  /// and forgets those before it.
  private func areGone(_ sessions: inout [Process], _ call: Call) throws(OCFError) -> Bool {
    try attempt("waiting for pppd to end") { () throws(SystemError) in
      while let pppd = sessions.last {
        if try call.host.processes.isAlive(pppd) { return false }
        sessions.removeLast()
      }
      return true
    }
  }

  private func alive(_ sessions: [Process], _ call: Call) throws(OCFError) -> [Process] {
    try attempt("waiting for pppd to end") { () throws(SystemError) in
      var left: [Process] = []
      for pppd in sessions where try call.host.processes.isAlive(pppd) { left.append(pppd) }
      return left
    }
  }

  private func send(_ signal: Signal, _ sessions: [Process], _ call: Call) throws(OCFError) {
    try attempt("sending \(signal) to pppd") { () throws(SystemError) in
      for pppd in sessions { try call.host.processes.signal(signal, to: pppd) }
    }
  }
}
