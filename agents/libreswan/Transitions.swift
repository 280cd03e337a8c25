import Daemon
import Host
import OCF
import Pluto

extension Libreswan {
  package func start(_ call: Call) throws(OCFError) {
    if let address, try !attempt("looking for \(address)", try call.host.network.holds(address)) { throw .failed("address: \(address) is not on this node") }
    if let process = try attempt("looking for pluto", try daemon.find(call)) {
      // It runs, and an observation was not content. One that answers lacks an address that came later, or connections.
      if isAnswering(process, call) {
        try complete(process, call)
        return try attempt("recording pluto", try daemon.record(.unpromoted, of: process, call))
      }
      try end(call, grace: Self.haste)
    }
    try daemon.checkNobodyElses(call, "there is one pluto to a node")
    try checkPorts(call)
    if !(try daemon.startsByUnit(call)) { _ = try foreseen(call) }
    // A pluto that was killed leaves its states in the kernel, and the next one takes them for nobody's.
    let removed = try removeKernelState(call)
    if removed > 0 { call.log.info("removed \(removed) kernel states and policies that an earlier pluto left") }
    try attempt("making \(rundir)", try call.host.files.makeDirectory(rundir.description, mode: 0o755))
    var silence: PlutoError?
    do throws(OCFError) {
      try daemon.start(call) { (process) throws(OCFError) in
        do throws(PlutoError) {
          silence = nil
          // It listens when its own addconn has loaded the connections.
          guard try !control(call.within(Self.haste)).status().interfaces.isEmpty else { return false }
        } catch {
          silence = error
          return false
        }
        try complete(process, call)
        return true
      }
    } catch {
      tidy(call)
      if let silence, call.host.clock.now >= call.deadline { throw .failed("rundir: \(silence.reason)") }
      throw error
    }
  }

  private func isAnswering(_ process: Process, _ call: Call) -> Bool {
    guard !process.isStopped else { return false }
    do throws(PlutoError) {
      _ = try control(call.within(Self.haste)).states()
      return true
    } catch { return false }
  }

  /// Has pluto take up the address and the connections it lacks. What it has is left alone: to load a connection again would end its SAs.
  private func complete(_ process: Process, _ call: Call) throws(OCFError) {
    var status = try answer(process, call) { (control) throws(PlutoError) in try control.status() }
    var refusal: String?
    if let address, !status.listens(on: address) { try answer(process, call) { (control) throws(PlutoError) in try control.listen() } }
    for name in connections where !status.connections.contains(where: { $0.isNamed(name) }) {
      do throws(PlutoError) { try control(call).load(name, from: config.description) } catch { refusal = refusal ?? "connections: \(name) was refused: \(error.reason)" }
    }
    status = try answer(process, call) { (control) throws(PlutoError) in try control.status() }
    if let problem = try lack(status, call) {
      let isRefused = hint(status).isEmpty && problem.hasSuffix(" is not loaded")
      throw .failed(isRefused ? refusal ?? problem : problem)
    }
    if let refusal { call.log.error(refusal) }
  }

  package func stop(_ call: Call) throws(OCFError) {
    let process = try attempt("looking for pluto", try daemon.find(call))
    var clients: Int? = process == nil ? 0 : nil
    var grace = Duration.seconds(drainTimeout)
    if let process, !process.isStopped {
      do throws(PlutoError) { clients = try control(call.within(Self.haste)).states().established } catch {
        // One that hangs tells nobody anything. One that is suspended does when it goes on, and is not asked.
        grace = min(grace, Self.haste)
        call.log.warning("pluto (pid \(process.pid)) may not tell its clients: \(error.reason)")
      }
    }
    let (ending, removed) = try end(call, grace: grace)
    guard process != nil || removed > 0 else { return }
    let connected = clients.map { $0 > 0 ? "\($0) clients were connected" : nil } ?? "nobody knows how many clients were connected"
    let words = [connected, process.map { _ in "pluto \(ending.rawValue)" }, removed > 0 ? "\(removed) kernel states and policies were removed" : nil]
    call.log.info("stopped: \(words.compactMap { $0 }.joined(separator: "; "))")
  }

  /// Ends pluto, which deletes every SA and tells the client when it gets a TERM, and removes what it left.
  @discardableResult
  private func end(_ call: Call, grace: Duration) throws(OCFError) -> (ending: Daemon.Ending, removed: Int) {
    let ending = try daemon.stop(call, signal: grace > .zero ? .terminate : .kill, grace: grace)
    // What the kernel holds and what lies under /run may be that one's.
    if try attempt("looking for pluto", try daemon.foreign(call)) != nil { return (ending, 0) }
    let removed = try removeKernelState(call)
    tidy(call)
    return (ending, removed)
  }

  /// A pluto that was killed leaves its socket and its pid file. What cannot be removed misleads nobody: the next one takes them over.
  private func tidy(_ call: Call) {
    do throws(SystemError) {
      guard try daemon.all(call).isEmpty else { return }
      for (path, kind) in [(socket, FileStatus.Kind.socket), (socket.dropLast(3) + "pid", .regular)] where try call.host.files.status(path)?.kind == kind {
        try call.host.files.remove(path)
      }
    } catch { call.log.warning("cleaning up after pluto: \(error)") }
  }

  private func removeKernelState(_ call: Call) throws(OCFError) -> Int {
    guard let address else { return 0 }
    return try attempt("removing IPsec state of \(address)", try call.host.network.removeIPsecState(endpoint: address))
  }

  /// Names whoever holds the IKE ports, whatever it is: pluto would share them with another daemon, and each client would meet either.
  private func checkPorts(_ call: Call) throws(OCFError) {
    for port in [UInt16(500), 4500] {
      guard let holder = try call.holder(ofUDP: port) else { continue }
      throw .failed("UDP port \(port) is taken by \(holder.owner.map { "\($0.executable) (pid \($0.pid))" } ?? "a process that is not \(binary)")")
    }
  }
}

extension Libreswan: ReloadableAgent {
  /// Takes changed parameters: connections that are named and not loaded are loaded, secrets and addresses are looked at. No SA is dropped, and a connection that
  /// is loaded stays what it is.
  package func reload(_ call: Call) throws(OCFError) {
    guard let process = try attempt("looking for pluto", try daemon.find(call)) else { throw .failed("reloading: pluto does not run") }
    try complete(process, call)
    try answer(process, call) { (control) throws(PlutoError) in try control.listen() }
  }
}
