import Daemon
import Host
import L2TP
import OCF

extension XL2TPD {
  /// Ends the daemon and its sessions and removes what it leaves. Goes on after a failure, and throws the first one.
  ///
  /// Clients and sessions have half the time at most: a hundred pppds that are killed need seconds to be gone, too.
  ///
  /// - Parameters:
  ///   - farewell: whether clients are told. Costs nothing when there are none.
  ///   - reserve: time that is kept for what follows. pppds that are killed and not gone by then are left to the kernel.
  func clear(_ call: Call, farewell: Bool, reserve: Duration = .zero) throws(OCFError) {
    var problem: OCFError?
    func step(_ body: () throws(OCFError) -> Void) {
      do throws(OCFError) { try body() } catch { problem = problem ?? error }
    }
    let now = call.host.clock.now
    let left = max(.zero, call.deadline - now)
    let half = now + max(.milliseconds(100), left / 2)
    let deadline = min(now + .seconds(drainTimeout), half)
    var account = Account()
    var sessions: [Process] = []
    step { () throws(OCFError) in sessions = try self.sessions(call).all(call) }
    let known = sessions
    account.sessions = known.count
    makeWay(sessions, call)
    let answers = farewell ? answers(call) : nil
    defer { answers?.close() }
    account.isHearing = answers != nil
    if farewell { step { () throws(OCFError) in try sayGoodbye(to: &sessions, before: deadline, answers, &account, call) } }
    let silence = call.host.clock.now + Self.silence
    step { () throws(OCFError) in
      let ending = try daemon.stop(call, grace: farewell ? .milliseconds(200) : Self.actionPatience)
      if account.isSaid || ending != .wasGone {
        call.log.info("stopped: xl2tpd \((account.isSaid ? .ended : ending).rawValue)")
      }
    }
    step { () throws(OCFError) in
      // A pppd that was being started a moment ago has lost its parent, but not its option file.
      let orphans = try self.sessions(call).orphans(call)
      let late = orphans.filter { orphan in !sessions.contains { $0.pid == orphan.pid } }
      // One that only runs a script for a session that has ended is no other session.
      account.sessions += late.filter { orphan in !known.contains { $0.arguments == orphan.arguments } }.count
      sessions += late
    }
    step { () throws(OCFError) in
      let patience = max(.zero, deadline - call.host.clock.now)
      let spent = call.host.clock.now - now
      let end = try self.sessions(call).end(sessions, patience: patience, call.within(max(.zero, left - reserve - spent)))
      account.killed = end.killed
      if end.areGone { return }
      guard reserve > .zero else { throw Self.unkillable }
      call.log.warning(Self.unkillable.reason)
    }
    if let answers, account.isSaid {
      _ = call.host.until(before: min(silence, half)) {
        account.hear(answers, call)
        return account.told == account.clients
      }
    }
    account.write(to: call.log, farewell: farewell)
    removeFiles(call)
    if let problem { throw problem }
  }

  /// The daemon has gone. A file that cannot be removed, or is another's, misleads nobody: no reason to fence a node.
  func removeFiles(_ call: Call) {
    do throws(OCFError) {
      try removeStalePIDFile(call)
      try attempt("removing \(control)", try call.host.files.remove(control.description))
    } catch {
      call.log.warning("cleaning up after xl2tpd: \(error.reason)")
    }
  }

  /// How long after the last word an acknowledgement may take: across a continent and back.
  private static let silence = Duration.milliseconds(500)

  /// Has the processor given to everybody else first. A hundred pppds that end want it all at once, with their scripts, while most
  /// clients still wait for their word; they would keep it from the daemon that says it, from us, and from a fresh daemon.
  private func makeWay(_ sessions: [Process], _ call: Call) {
    do throws(SystemError) {
      for pppd in sessions { try call.host.processes.setNiceness(19, of: pppd) }
    } catch {
      call.log.debug("\(error)")
    }
  }

  /// What clients answer from now on; nil where nobody may listen.
  private func answers(_ call: Call) -> PeerAnswers? {
    do throws(OCFError) {
      guard let process = try found(call) else { return nil }
      let terms = terms(of: process, call)
      guard let port = terms.port, let address = terms.address else { return nil }
      return try attempt("hearing who was told", PeerAnswers(over: try call.host.sockets.overhear(udpTo: address, port: port)))
    } catch {
      call.log.debug("\(error.reason)")
      return nil
    }
  }

  /// Lets nobody new in, ends the sessions that can be ended one by one, then has the daemon tell every tunnel.
  private func sayGoodbye(
    to sessions: inout [Process], before deadline: Instant, _ answers: PeerAnswers?, _ account: inout Account, _ call: Call
  ) throws(OCFError) {
    let ours = try attempt("looking for xl2tpd", try daemon.all(call))
    guard !ours.isEmpty else { return }
    for process in ours {
      let terms = terms(of: process, call)
      if let address = terms.address, let port = terms.port { shutGate(of: process, on: address, port, call) }
    }
    var patience = Self.actionPatience
    // A suspended daemon takes its signal when it goes on, and could not take part in anything else.
    if let process = ours.first, !process.isStopped {
      do throws(OCFError) {
        let inventory = try inventory(call.within(Self.actionPatience))
        account.tunnels = Set(inventory.tunnels.map(\.ours))
        let now = call.host.clock.now
        try endInBatches(&sessions, inventory, before: now + max(.zero, deadline - now) / 2, answers, &account, call)
      } catch {
        account.problem = error.reason
      }
      // One that has answered is at work as long as it has clients to tell. One that hangs has had its time already.
      patience = account.tunnels == nil ? .milliseconds(300) : max(patience, deadline - call.host.clock.now)
    }
    account.isSaid = try interrupt(ours, answers, &account, call.within(patience))
    if account.isSaid { account.problem = nil }
  }

  /// Interrupts the daemon: it sends a StopCCN to every peer, ends its pppds and exits, in kernel and in userspace mode
  /// (TERM does so in kernel mode only). Answers whether it did.
  private func interrupt(
    _ ours: [Process], _ answers: PeerAnswers?, _ account: inout Account, _ call: Call
  ) throws(OCFError) -> Bool {
    try attempt("interrupting xl2tpd") { () throws(SystemError) in
      for process in ours {
        try call.host.processes.signal(.interrupt, to: process)
        // A suspended daemon takes the signal when it goes on.
        if process.isStopped { try call.host.processes.signal(.continue, to: process) }
      }
      return try call.until { () throws(SystemError) in
        account.hear(answers, call)
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
    _ sessions: inout [Process], _ inventory: TunnelInventory, before deadline: Instant, _ answers: PeerAnswers?,
    _ account: inout Account, _ call: Call
  ) throws(OCFError) {
    let clock = call.host.clock
    let busy = Set(inventory.tunnels.filter { $0.calls > 0 }.map(\.ours))
    var calls = inventory.calls
    var left = sessions.filter { !$0.arguments.contains("pppol2tp.so") }
    // As many batches as there are seconds, so that one whose clients do not answer costs no other its turn.
    let seconds = Int(max(1, (deadline - clock.now).components.seconds))
    let size = max(Self.smallestBatch, (left.count + seconds - 1) / seconds)
    while !left.isEmpty, clock.now < deadline {
      let batch = Array(left.prefix(size))
      left.removeFirst(batch.count)
      let turn = call.within(min(.seconds(1), deadline - clock.now))
      let gone = try self.sessions(call).ask(batch, turn)
      sessions.removeAll { session in gone.contains { $0.pid == session.pid } }
      let expected = max(0, calls - gone.count)
      _ = try turn.until { () throws(OCFError) in
        account.hear(answers, call)
        let now = try self.inventory(call.within(Self.actionPatience))
        calls = now.calls
        // A call is gone from the daemon's list when the client has acknowledged its end.
        account.heard.formUnion(busy.subtracting(now.tunnels.filter { $0.calls > 0 }.map(\.ours)))
        return calls <= expected
      }
    }
  }
  private static let smallestBatch = 10

  func endOrphans(_ call: Call) throws(OCFError) {
    let sessions = try sessions(call)
    guard try sessions.end(sessions.orphans(call), patience: .seconds(2), call).areGone else { throw Self.unkillable }
  }
  static let unkillable = OCFError.failed("ending sessions: pppd is still there after KILL")
}

extension Account {
  /// Notes who has answered; what cannot be heard is not counted.
  mutating func hear(_ answers: PeerAnswers?, _ call: Call) {
    guard let answers else { return }
    do throws(SystemError) { try answers.collect(call.host.clock) } catch { call.log.debug("hearing who was told: \(error)") }
    heard.formUnion(answers.tunnels)
  }
}
