import Daemon
import Host
import OCF

/// The pppd processes that carry our daemon's sessions.
///
/// A pppd is ours when our daemon is its parent, or when its command line takes one of the option files that our
/// configuration hands out and no other living xl2tpd is its parent. A pppd of PPPoE or of a modem is neither.
struct PPPSessions {
  static let program = "/usr/sbin/pppd"

  let daemon: Daemon
  let optionFiles: [String]

  /// Every pppd of ours.
  func all(_ call: Call) throws(OCFError) -> [Process] {
    let (ours, others) = try daemons(call)
    return try pppds(call).filter { pppd in
      ours.contains(pppd.parent) || (takesOurOptions(pppd) && !others.contains(pppd.parent))
    }
  }

  /// Those whose daemon is gone: they answer nobody and hold interfaces, routes and addresses.
  func orphans(_ call: Call) throws(OCFError) -> [Process] {
    let (ours, others) = try daemons(call)
    return try pppds(call).filter { pppd in
      takesOurOptions(pppd) && !ours.contains(pppd.parent) && !others.contains(pppd.parent)
    }
  }

  /// Waits for `sessions` to end, which their daemon has asked for, then ends them: TERM after a quarter of `patience`, KILL
  /// after all of it.
  func end(_ sessions: [Process], patience: Duration, _ call: Call) throws(OCFError) {
    guard !sessions.isEmpty else { return }
    if try areGone(sessions, call.within(patience / 4)) { return }
    try send(.terminate, sessions, call)
    if try areGone(sessions, call.within(patience * 3 / 4)) { return }
    let count = try send(.kill, sessions, call)
    call.log.warning("\(count) pppd did not end in time and were killed")
    guard try areGone(sessions, call) else { throw .failed("ending sessions: pppd is still there after KILL") }
  }

  private func areGone(_ sessions: [Process], _ call: Call) throws(OCFError) -> Bool {
    try call.until { () throws(OCFError) in
      try explained("waiting for pppd to end") { () throws(SystemError) in
        for pppd in sessions where try call.host.processes.isAlive(pppd) { return false }
        return true
      }
    }
  }

  @discardableResult
  private func send(_ signal: Signal, _ sessions: [Process], _ call: Call) throws(OCFError) -> Int {
    try explained("sending \(signal) to pppd") { () throws(SystemError) in
      var count = 0
      for pppd in sessions where try call.host.processes.isAlive(pppd) {
        try call.host.processes.signal(signal, to: pppd)
        count += 1
      }
      return count
    }
  }

  private func pppds(_ call: Call) throws(OCFError) -> [Process] {
    try explained("looking for pppd") { () throws(SystemError) in try call.host.processes.running(Self.program) }
  }

  private func daemons(_ call: Call) throws(OCFError) -> (ours: Set<Int32>, others: Set<Int32>) {
    let all = try explained("looking for xl2tpd") { () throws(SystemError) in
      try call.host.processes.running(daemon.binary)
    }
    return (Set(all.filter(daemon.isOurs).map(\.pid)), Set(all.filter { !daemon.isOurs($0) }.map(\.pid)))
  }

  private func takesOurOptions(_ pppd: Process) -> Bool {
    zip(pppd.arguments, pppd.arguments.dropFirst()).contains { $0 == "file" && optionFiles.contains($1) }
  }
}
