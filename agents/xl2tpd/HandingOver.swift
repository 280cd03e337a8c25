import Daemon
import Host
import Ledger
import OCF

/// A move that clients do not notice: where a ledger of sessions says that the other node is ready for all of them, nobody is told
/// goodbye. The ledger of this node carries the sessions from then on, and the other node's does once the address is there.
extension XL2TPD {
  /// Gives the sessions to the ledger, and ends the daemon and its pppds without a word.
  ///
  /// - Returns: false when nobody takes them: then the clients are to be told.
  func handOver(_ call: Call) throws(OCFError) -> Bool {
    guard call.isPromotable, let process = try found(call), try isPromoted(call) else { return false }
    let terms = terms(of: process, call)
    guard let port = terms.port, let address = terms.address else { return false }
    // Nobody is to come in whom the other node does not know.
    let ledgers = try attempt("looking for a ledger of sessions", try LedgerControl.all(call.host.files))
    guard !ledgers.isEmpty else { return false }
    shutGate(of: process, on: address, port, call)
    guard let ledger = try willing(ledgers, address, call) else { return false }
    let ours = try attempt("looking for xl2tpd", try daemon.all(call))
    // What pppd and xl2tpd say when they see each other go, and what the kernel answers for sockets that are gone.
    try attempt("keeping silent", try call.host.network.blockEgress(from: address))
    do throws(OCFError) {
      try attempt("ending xl2tpd") { () throws(SystemError) in
        for process in ours { try call.host.processes.signal(.kill, to: process) }
        _ = try call.until { () throws(SystemError) in
          for process in ours where try call.host.processes.isAlive(process) { return false }
          return true
        }
      }
      let sessions = try sessions(call)
      let orphans = try sessions.orphans(call)
      guard try sessions.kill(orphans, call) else { throw Self.unkillable }
      call.log.info("handed \(orphans.count) sessions over without a word to clients", ("VPNHA_SESSIONS", "\(orphans.count)"))
      do throws(SystemError) { _ = try ledger.ask("carry \(address)", on: call.host, before: call.within(Self.actionPatience).deadline) } catch {
        call.log.warning("this node's ledger does not carry the sessions on, and the other node takes them: \(error)")
      }
    } catch {
      speak(from: address, call)
      throw error
    }
    speak(from: address, call)
    removeFiles(call)
    return true
  }

  private func speak(from address: IPAddress, _ call: Call) {
    do throws(SystemError) { try call.host.network.unblockEgress(from: address) } catch { call.log.warning("\(error)") }
  }

  /// How long the other node is waited for to be ready for a session that has just begun.
  private static let readying = Duration.milliseconds(2500)

  /// The ledger of this address whose peer is ready for all sessions. The clients of those that it carries itself are told by it
  /// otherwise.
  private func willing(_ ledgers: [LedgerControl], _ address: IPAddress, _ call: Call) throws(OCFError) -> LedgerControl? {
    var why = ""
    for ledger in ledgers {
      var isWilling = false
      _ = call.within(Self.readying).until {
        do throws(SystemError) {
          _ = try ledger.ask("yield \(address)", on: call.host, before: call.within(.seconds(1)).deadline)
          isWilling = true
        } catch {
          why = error.errno == .protocolError ? error.detail ?? "\(error)" : "\(error)"
          // One that is not there, or hangs, will not be ready in a moment.
          return error.errno != .protocolError || why == "error unknown command"
        }
        return true
      }
      if isWilling { return ledger }
      do throws(SystemError) { _ = try ledger.ask("farewell \(address)", on: call.host, before: call.within(.seconds(1)).deadline) } catch {
        call.log.debug("\(error)")
      }
    }
    call.log.notice("clients are told that L2TP ends here: \(why)", ("VPNHA_REASON", why))
    return nil
  }
}
