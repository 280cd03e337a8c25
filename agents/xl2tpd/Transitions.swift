import Daemon
import Host
import L2TP
import OCF

extension XL2TPD {
  func start(_ call: Call) throws(OCFError) {
    if try found(call) != nil { try clear(call, farewell: false) }
    try endOrphans(call)
    try launch(call)
  }

  func stop(_ call: Call) throws(OCFError) {
    var serves = true
    if call.isPromotable {
      do throws(OCFError) { serves = try isPromoted(call) } catch {
        call.log.warning("stopping with a farewell, in doubt: \(error.reason)")
      }
    }
    try clear(call, farewell: serves)
  }

  /// Starts a daemon and waits until it is ready: a member of a promotable clone is bound and answers over its pipe, a plain
  /// resource answers a request for a tunnel as well.
  func launch(_ call: Call) throws(OCFError) {
    try prepare(call)
    let configuration = try readConfiguration(call)
    var missing = ""
    do throws(OCFError) {
      try daemon.start(call) { process throws(OCFError) in
        do throws(OCFError) {
          _ = try inventory(call.within(.seconds(1)))
          guard let port = configuration.port, let address = served(configuration) else { return true }
          try checkBound(to: address, port, call)
          if !call.isPromotable { try probe(address, port, call.within(.milliseconds(1500))) }
          return true
        } catch {
          missing = error.reason
          return false
        }
      }
    } catch {
      guard !missing.isEmpty, error.status == .genericError else { throw error }
      throw .failed("\(error.reason) (\(missing))")
    }
  }
}

// MARK: - Roles

extension XL2TPD: PromotableAgent {
  func promote(_ call: Call) throws(OCFError) {
    guard let process = try found(call) else { throw .failed("promoting: xl2tpd does not run") }
    let configuration = try readConfiguration(call)
    guard let port = configuration.port, let address = served(configuration) else {
      throw .wrongHere("address: is not set, and \(config) has no listen-addr")
    }
    let isHere = try attempt("looking for \(address)") { () throws(SystemError) in
      try !call.host.network.holders(of: address).isEmpty
    }
    guard isHere else { throw .failed("promoting: \(address) is not on this node") }
    try probe(address, port, call)
    try attempt("recording the role") { () throws(SystemError) in try daemon.record(.promoted, of: process, call) }
    call.log.info("serving L2TP on \(address)", ("VPNHA_ADDRESS", "\(address)"))
  }

  /// Ends every session while the address is still here, and leaves a fresh daemon: one that served keeps connected sockets,
  /// and with them routes that are wrong when the address comes back.
  func demote(_ call: Call) throws(OCFError) {
    // Outside a clone a resource that does not run may be demoted.
    if try found(call) == nil, !call.isPromotable { return }
    try clear(call, farewell: true)
    try launch(call)
  }

  private func isPromoted(_ call: Call) throws(OCFError) -> Bool {
    guard let process = try found(call) else { return false }
    return try attempt("reading the role") { () throws(SystemError) in try daemon.isPromoted(process, call) }
  }
}

extension XL2TPD: ReloadableAgent {
  /// Everything that can be reloaded is read anew by each action; only the kernel has to be told.
  func reload(_ call: Call) throws(OCFError) {
    guard nonlocalBind, call.isPromotable else { return }
    try attempt("nonlocal_bind") { () throws(SystemError) in
      let name = "net.ipv4.ip_nonlocal_bind"
      if try call.host.files.kernelParameter(name) != "1" { try call.host.files.setKernelParameter(name, to: "1") }
    }
  }
}

// MARK: - Leaving

extension XL2TPD {
  /// Ends the daemon and its sessions and removes what it leaves. Goes on after a failure, and throws the first one.
  ///
  /// - Parameter farewell: whether clients are told. Costs nothing when there are none.
  func clear(_ call: Call, farewell: Bool) throws(OCFError) {
    var problem: OCFError?
    func step(_ body: () throws(OCFError) -> Void) {
      do throws(OCFError) { try body() } catch { problem = problem ?? error }
    }
    var sessions: [Process] = []
    step { () throws(OCFError) in sessions = try self.sessions(call).all(call) }
    if farewell { step { () throws(OCFError) in try sayGoodbye(call.within(Self.impatience)) } }
    step { () throws(OCFError) in try daemon.stop(call, grace: farewell ? .milliseconds(200) : Self.impatience) }
    step { () throws(OCFError) in
      // A pppd that was being started a moment ago has lost its parent, but not its option file.
      let orphans = try self.sessions(call).orphans(call)
      sessions += orphans.filter { orphan in !sessions.contains { $0.pid == orphan.pid } }
    }
    step { () throws(OCFError) in
      try self.sessions(call).end(sessions, patience: .seconds(drainTimeout), leavingOneSecond(of: call))
    }
    step { () throws(OCFError) in try removeStalePIDFile(call) }
    step { () throws(OCFError) in
      try attempt("removing \(control)") { () throws(SystemError) in try call.host.files.remove(control.description) }
    }
    if let problem { throw problem }
  }

  /// Interrupts the daemon: it sends a StopCCN to every peer, ends its pppds and exits, in kernel and in userspace mode
  /// (TERM does so in kernel mode only). A daemon that hangs is given up when the time is over.
  private func sayGoodbye(_ call: Call) throws(OCFError) {
    try attempt("interrupting xl2tpd") { () throws(SystemError) in
      let ours = try daemon.all(call)
      for process in ours {
        try call.host.processes.signal(.interrupt, to: process)
        // A suspended daemon takes the signal when it goes on.
        if process.isStopped { try call.host.processes.signal(.continue, to: process) }
      }
      let isGone = try call.until { () throws(SystemError) in
        for process in ours where try call.host.processes.isAlive(process) { return false }
        return true
      }
      if !isGone { call.log.warning("xl2tpd did not end its tunnels in time: clients find out by their own timers") }
    }
  }

  private func endOrphans(_ call: Call) throws(OCFError) {
    let sessions = try sessions(call)
    try sessions.end(sessions.orphans(call), patience: .seconds(2), call)
  }

  /// What follows the sessions needs a moment too: a fresh daemon, or the files.
  private func leavingOneSecond(of call: Call) -> Call {
    call.within(max(.milliseconds(100), call.deadline - call.host.clock.now - .seconds(1)))
  }
}
