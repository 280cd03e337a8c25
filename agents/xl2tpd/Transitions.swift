import Daemon
import Host
import L2TP
import OCF

extension XL2TPD {
  package func start(_ call: Call) throws(OCFError) {
    try daemon.checkNobodyElses(call, "each needs its own config, pidfile and control")
    if try found(call) != nil { try clear(call, farewell: false) }
    try endOrphans(call)
    if !call.isPromotable, let address = served(try readConfiguration(call)) { closeOldAccounts(at: address, call) }
    try launch(call)
  }

  package func stop(_ call: Call) throws(OCFError) {
    var serves = true
    if call.isPromotable {
      do throws(OCFError) { serves = try isPromoted(call) } catch {
        call.log.warning("stopping with a farewell, in doubt: \(error.reason)")
      }
    }
    defer {
      StartRecord.remove(call)
      forgetReserved(call)
      Verdict.remove(call)
      NonlocalBind(call).restore()
    }
    // Files and sessions of another resource's daemon look like ours.
    if try attempt("looking for xl2tpd", try daemon.foreign(call)) != nil, try found(call) == nil {
      try daemon.stop(call)
      return
    }
    try clear(call, farewell: serves)
  }

  /// Starts a daemon and waits until it is ready: a member of a promotable clone is bound and answers over its pipe, a plain
  /// resource answers a request for a tunnel as well.
  ///
  /// - Returns: what it had taken in before the gate was shut.
  @discardableResult
  func launch(_ call: Call) throws(OCFError) -> TunnelInventory {
    let (bytes, configuration) = try usableConfiguration(call)
    return try launch(daemon, bytes, configuration, call)
  }

  /// A fresh daemon in place of one that ran. Where the file has become one that no daemon starts with, it is started with what
  /// the last one was: a standby that is behind its file is better than none.
  private func launchAgain(_ call: Call) throws(OCFError) -> TunnelInventory {
    let record = StartRecord.read(call)
    do throws(OCFError) { return try launch(call) } catch {
      guard let record else { throw error }
      call.log.error("xl2tpd is started with the configuration that it had before: \(error.reason)")
      var earlier = daemon
      earlier.launcher = .direct
      // Who the daemon is stands in front, what it reads behind: the last one counts.
      earlier.arguments.insert(contentsOf: ["-c", StartRecord.path(call)], at: 4)
      return try launch(earlier, record.bytes, record.configuration, call)
    }
  }

  private func launch(
    _ daemon: Daemon, _ bytes: [UInt8], _ configuration: XL2TPDConfiguration, _ call: Call
  ) throws(OCFError) -> TunnelInventory {
    // Where it will be bound: with the configuration that it had before, a new value of `address` counts from the next start.
    guard let port = configuration.port, let address = configuration.listenAddress.flatMap({ IPAddress($0.value) }) ?? served(configuration) else {
      throw .failed("address: is not set, and \(config) has no listen-addr")
    }
    try prepare(address, port, call)
    var missing = ""
    var taken = TunnelInventory()
    do throws(OCFError) {
      let process = try daemon.start(call) { process throws(OCFError) in
        do throws(OCFError) {
          try checkBound(to: address, port, call)
          // As soon as there is a socket: the address may be here, and clients that were just told dial again at once.
          if call.isPromotable { shutGate(of: process, on: address, port, call) }
          taken = try inventory(call.within(.seconds(1)))
          if !call.isPromotable { try probe(address, port, call.within(.milliseconds(1500))) }
          return true
        } catch {
          missing = error.reason
          return false
        }
      }
      StartRecord.write(bytes, of: process, call)
    } catch {
      guard !missing.isEmpty, error.status == .genericError else { throw error }
      throw .failed("\(error.reason) (\(missing))")
    }
    publishPool(configuration, call)
    return taken
  }
}

// MARK: - Roles

extension XL2TPD: PromotableAgent {
  package func promote(_ call: Call) throws(OCFError) {
    guard let process = try found(call) else { throw .failed("promoting: xl2tpd does not run") }
    let terms = terms(of: process, call)
    guard let port = terms.port, let address = terms.address else {
      throw .failed("promoting: set address; \(config) cannot be read, and nothing else says where xl2tpd serves")
    }
    let isHere = try attempt("looking for \(address)", try call.host.network.holds(address))
    guard isHere else { throw .failed("promoting: \(address) is not on this node") }
    closeOldAccounts(at: address, call)
    if let configuration = terms.configuration { reserveCarried(from: process, configuration, call) }
    openGate(of: process, on: address, port, call)
    do throws(OCFError) { try probe(address, port, call) } catch {
      shutGate(of: process, on: address, port, call)
      throw error
    }
    try attempt("recording the role", try daemon.record(.promoted, of: process, call))
    call.log.info("serving L2TP on \(address)", ("VPNHA_ADDRESS", "\(address)"))
  }

  /// Ends every session while the address is still here, and leaves a fresh daemon: one that served keeps connected sockets,
  /// and with them routes that are wrong when the address comes back.
  package func demote(_ call: Call) throws(OCFError) {
    // Outside a clone a resource that does not run may be demoted.
    if try found(call) == nil, !call.isPromotable { return }
    if try !handOver(call) { try clear(call, farewell: true, reserve: relaunch(call)) }
    let taken = try launchAgain(call)
    guard call.isPromotable, !taken.tunnels.isEmpty else { return }
    // Somebody came in between the daemon's first moment and the shutting of the gate.
    try clear(call, farewell: true, reserve: relaunch(call))
    _ = try launchAgain(call)
  }

  /// What is kept of the time for a fresh daemon. It is ready in a fraction of a second where a hundred pppds that are killed do
  /// not want the same processor.
  private func relaunch(_ call: Call) -> Duration {
    max(.seconds(2), (call.deadline - call.host.clock.now) / 4)
  }

  func isPromoted(_ call: Call) throws(OCFError) -> Bool {
    guard let process = try found(call) else { return false }
    return try attempt("reading the role", try daemon.isPromoted(process, call))
  }
}

extension XL2TPD: ReloadableAgent {
  /// Everything that can be reloaded is read anew by each action; only the kernel has to be told.
  package func reload(_ call: Call) throws(OCFError) {
    guard nonlocalBind, call.isPromotable else { return }
    try NonlocalBind(call).allow()
  }
}
