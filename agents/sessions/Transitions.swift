import Daemon
import Host
import Ledger
import OCF

extension SessionLedger {
  package func start(_ call: Call) throws(OCFError) {
    guard let address else { throw .misconfigured("address: is required") }
    let link = try link(call)
    let control = try control(call)
    var daemon = daemon(call)
    // What is there cannot be used, or it would not be started.
    if try found(call) != nil { try daemon.stop(call.within(.seconds(5)), grace: .seconds(1)) }
    daemon.arguments = [
      "--instance", call.request.instance, "--address", "\(address)", "--key-file", keyFile.description, "--peer", "\(link.peer)", "--source", "\(link.source)",
      "--port", "\(port.number)", "--strongswan", strongswan,
    ]
    if !radius.isEmpty, let radiusSecretFile {
      let servers = radius.map(\.description).joined(separator: ",")
      daemon.arguments += ["--radius", servers, "--radius-port", "\(radiusPort.number)", "--radius-secret-file", radiusSecretFile.description]
    }
    try daemon.start(call) { _ throws(OCFError) in
      do throws(SystemError) {
        _ = try control.ask("status", on: call.host, before: call.within(.seconds(1)).deadline)
        return true
      } catch { return false }
    }
  }

  package func stop(_ call: Call) throws(OCFError) {
    let ending = try daemon(call).stop(call, grace: .seconds(2))
    if ending != .wasGone { call.log.info("stopped: vpnha-ledger \(ending.rawValue)") }
    guard let control = LedgerControl(instance: call.request.instance) else { return }
    // Nobody listens on what a killed one left.
    do throws(SystemError) { try call.host.files.remove(control.path) } catch { call.log.warning("\(error)") }
  }
}

// MARK: - Roles

extension SessionLedger: PromotableAgent {
  package func promote(_ call: Call) throws(OCFError) { try order("promote", .promoted, call) }

  package func demote(_ call: Call) throws(OCFError) {
    // Outside a clone a resource that does not run may be demoted.
    if !call.isPromotable, try found(call) == nil { return }
    try order("demote", .unpromoted, call)
  }

  private func order(_ command: String, _ role: Role, _ call: Call) throws(OCFError) {
    guard let process = try found(call) else { throw .failed("vpnha-ledger does not run") }
    _ = try ask(command, process, call)
    // For a monitor that finds it hanging, and cannot ask.
    try attempt("recording the role", try daemon(call).record(role, of: process, call))
  }
}

extension SessionLedger: ReloadableAgent {
  /// Nothing running has to be told.
  package func reload(_ call: Call) throws(OCFError) {}
}
