import Daemon
import Host
import L2TP
import OCF

extension XL2TPD {
  /// Ends the daemon and its sessions and removes what it leaves. Goes on after a failure, and throws the first one.
  ///
  /// - Parameter farewell: whether clients are told. Costs nothing when there are none.
  func clear(_ call: Call, farewell: Bool) throws(OCFError) {
    var problem: OCFError?
    func step(_ body: () throws(OCFError) -> Void) {
      do throws(OCFError) { try body() } catch { problem = problem ?? error }
    }
    let deadline = sessionsDeadline(call)
    var account = Account()
    var sessions: [Process] = []
    step { () throws(OCFError) in sessions = try self.sessions(call).all(call) }
    account.sessions = sessions.count
    if farewell { step { () throws(OCFError) in try sayGoodbye(to: &sessions, before: deadline, &account, call) } }
    step { () throws(OCFError) in try daemon.stop(call, grace: farewell ? .milliseconds(200) : Self.impatience) }
    step { () throws(OCFError) in
      // A pppd that was being started a moment ago has lost its parent, but not its option file.
      let orphans = try self.sessions(call).orphans(call)
      let late = orphans.filter { orphan in !sessions.contains { $0.pid == orphan.pid } }
      account.sessions += late.count
      sessions += late
    }
    step { () throws(OCFError) in
      let patience = max(.zero, deadline - call.host.clock.now)
      account.killed = try self.sessions(call).end(sessions, patience: patience, call)
    }
    account.write(to: call.log, farewell: farewell)
    step { () throws(OCFError) in try removeStalePIDFile(call) }
    step { () throws(OCFError) in
      try attempt("removing \(control)") { () throws(SystemError) in try call.host.files.remove(control.description) }
    }
    if let problem { throw problem }
  }

  /// Lets nobody new in, ends the sessions that can be ended one by one, then has the daemon tell every tunnel.
  private func sayGoodbye(
    to sessions: inout [Process], before deadline: Instant, _ account: inout Account, _ call: Call
  ) throws(OCFError) {
    let ours = try attempt("looking for xl2tpd") { () throws(SystemError) in try daemon.all(call) }
    guard !ours.isEmpty else { return }
    for process in ours { shutGate(of: process, call) }
    // A suspended daemon takes its signal when it goes on, and could not take part in anything else.
    if let process = ours.first, !process.isStopped {
      do throws(OCFError) {
        let inventory = try inventory(call.within(Self.impatience))
        account.tunnels = inventory.tunnels.count
        let now = call.host.clock.now
        try endInBatches(
          &sessions, calls: inventory.calls, before: now + max(.zero, deadline - now) / 2, &account, call)
      } catch {
        account.problem = error.reason
      }
    }
    // A daemon that hangs has had its time already.
    let patience = account.problem == nil ? Self.impatience : .milliseconds(300)
    account.isTold = try interrupt(ours, call.within(patience))
  }

  /// Interrupts the daemon: it sends a StopCCN to every peer, ends its pppds and exits, in kernel and in userspace mode
  /// (TERM does so in kernel mode only). Answers whether it did.
  private func interrupt(_ ours: [Process], _ call: Call) throws(OCFError) -> Bool {
    try attempt("interrupting xl2tpd") { () throws(SystemError) in
      for process in ours {
        try call.host.processes.signal(.interrupt, to: process)
        // A suspended daemon takes the signal when it goes on.
        if process.isStopped { try call.host.processes.signal(.continue, to: process) }
      }
      return try call.until { () throws(SystemError) in
        for process in ours where try call.host.processes.isAlive(process) { return false }
        return true
      }
    }
  }

  /// Ends the sessions whose end the daemon survives, a batch at a time, so that neither RADIUS nor the node that takes over
  /// meets all of them at once. Each client gets an LCP Terminate-Request and, from the daemon, a CDN.
  ///
  /// In kernel mode none is: xl2tpd before 1.3.20 keeps the pid of a pppd that has ended and signals whoever gets it. In
  /// userspace mode it does too until it has taken the session down, which is waited for.
  private func endInBatches(
    _ sessions: inout [Process], calls: Int, before deadline: Instant, _ account: inout Account, _ call: Call
  ) throws(OCFError) {
    let clock = call.host.clock
    var calls = calls
    var left = sessions.filter { !$0.arguments.contains("pppol2tp.so") }
    // As many batches as there are seconds, so that one whose clients do not answer costs no other its turn.
    let seconds = Int(max(1, (deadline - clock.now).components.seconds))
    let size = max(Self.smallestBatch, (left.count + seconds - 1) / seconds)
    while !left.isEmpty, clock.now < deadline {
      let batch = Array(left.prefix(size))
      left.removeFirst(batch.count)
      let turn = call.within(min(.seconds(1), deadline - clock.now))
      let gone = try self.sessions(call).ask(batch, turn)
      account.ended += gone.count
      sessions.removeAll { session in gone.contains { $0.pid == session.pid } }
      let expected = max(0, calls - gone.count)
      _ = try turn.until { () throws(OCFError) in
        calls = try inventory(call.within(Self.impatience)).calls
        return calls <= expected
      }
    }
  }
  private static let smallestBatch = 10

  func endOrphans(_ call: Call) throws(OCFError) {
    let sessions = try sessions(call)
    try sessions.end(sessions.orphans(call), patience: .seconds(2), call)
  }

  /// When the sessions' time is over. What follows them needs a moment too: a fresh daemon, or the files.
  private func sessionsDeadline(_ call: Call) -> Instant {
    let now = call.host.clock.now
    return min(now + .seconds(drainTimeout), max(now + .milliseconds(100), call.deadline + .seconds(-1)))
  }
}
