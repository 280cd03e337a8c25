import Daemon
import Host
import Ledger
import OCF

/// What one node knows of the other's sessions, kept by a resident program on each of them.
///
/// Running means: the resident of this resource runs and answers on its socket. It knows its role itself.
package struct SessionLedger: ResourceAgent {
  package init() {}

  package static let about = About(
    "L2TP sessions known on both nodes",
    """
    Keeps vpnha-ledger running, which tells the other node of every L2TP session that begins and ends here, encrypted, over the \
    cluster's own link. The node that takes over then knows the sessions of the one that has gone: it tells clients whose session it \
    cannot carry on that it is over, so that they dial again at once instead of after their own timers. It finds the other node in \
    corosync's list of nodes. A peer that is silent, has another key or another version, or lags behind, is shown as a risk; \
    the VPN serves all the same. A resident that hangs or is gone fails this resource and nothing else.
    """)

  package static let operations: [Operation] = [
    .start(timeout: 20), .stop(timeout: 20), .promote(timeout: 20), .demote(timeout: 20),
    .monitor(.promoted, every: 10, timeout: 20), .monitor(.unpromoted, every: 11, timeout: 20), .monitor(every: 12, timeout: 20),
    .monitor(.promoted, every: 60, timeout: 20, depth: .service),
    .monitor(.unpromoted, every: 61, timeout: 20, depth: .service), .monitor(every: 62, timeout: 20, depth: .service),
    .reloadAgent(timeout: 20), .validateAll(timeout: 20), .metaData(timeout: 5),
  ]

  @Parameter(
    "The address that clients dial", "An IPv4 address: that of the vip resource. Sessions through others are not looked at.", required: true,
    uniqueGroup: "address")
  var address: IPAddress? = nil
  @Parameter(
    "File with the secret of the two nodes",
    """
    At least 32 bytes of any content, root's alone (mode 0600), and the same on both nodes: vpnha key writes one.
    """)
  var keyFile: AbsolutePath = "/etc/vpnha/sessions.key"
  @Parameter("UDP port of the ledger", "The same on both nodes, which speak from this port to this port.")
  var port = UDPPort(4511)
  @Parameter(
    "The two nodes that know each other's sessions",
    """
    Their names or addresses, as corosync's list of nodes has them. Unset, the list has two nodes, and those are meant.
    """)
  var nodes: [String] = []
  @Parameter(
    "The strongswan resource",
    """
    The ID of the resource whose IPsec SAs carry the sessions. A node that takes over sends on them as soon as it has the address; \
    with another ID data wait for the promotion of that resource.
    """)
  var strongswan = "strongswan"

  @Parameter(
    "RADIUS accounting servers",
    """
    Addresses of servers that pppd reports sessions to, as in xl2tpd's parameter. The node that carries a session on goes on with its \
    account: Interim-Updates, and the Stop. What names the account is heard from pppd's own reports as they leave the node, which want \
    to come from the address: bindaddr in the file that its radius plugin reads.
    """)
  var radius: [IPAddress] = []
  @Parameter("The accounting servers' UDP port") var radiusPort = UDPPort(1813)
  @Parameter("File with the secret shared with the accounting servers", "Required with radius. Its first line is the secret; only root may read it.")
  var radiusSecretFile: AbsolutePath? = nil

  @Parameter(
    "Seconds that a monitor waits for events",
    """
    The recurring monitor of check level 0 waits so long after it has found all well, and returns at once when the resident ends. With an \
    interval of 1 s and a timeout of at least 20 s a failure is noticed within a tenth of a second. At most 8; 0: it does not wait.
    """, reloadable: true)
  package var watch: WatchTime = 0

  package static let judgesFiles = true
  package func judgedFiles(_ call: Call) -> [String] { [keyFile.description] + (radiusSecretFile.map { [$0.description] } ?? []) }

  package func checkParameters() throws(OCFError) {
    if let address, address.isIPv6 { throw .misconfigured("address: expected an IPv4 address, got \(address): L2TP over IPv6 is not known to the ledger") }
    if !radius.isEmpty, radiusSecretFile == nil { throw .misconfigured("radius_secret_file: is required with radius") }
    guard nodes.isEmpty || nodes.count == 2 else { throw .misconfigured("nodes: expected two, got \(nodes.count)") }
  }

  package func checkNode(_ call: Call) throws(OCFError) {
    try daemon(call).checkInstalled(call)
    _ = try control(call)
    try checkKey(call)
    if !radius.isEmpty, let radiusSecretFile { _ = try attempt("radius_secret_file", try call.host.files.secretLine(of: radiusSecretFile.description)) }
    _ = try link(call)
  }

  // MARK: - Observing

  package func observe(_ call: Call) throws(OCFError) -> ResourceState {
    guard let process = try found(call) else { return .stopped }
    var isPromoted = try attempt("reading the role", try daemon(call).isPromoted(process, call))
    do throws(OCFError) {
      let status = try status(of: process, call)
      isPromoted = status.isPromoted
      if let risk = try risk(status, process, call) { return .atRisk(risk, promoted: isPromoted) }
      return isPromoted ? .promoted : .running
    } catch {
      return .failed(error.reason, promoted: isPromoted)
    }
  }

  /// How long the resident may take for an answer; the same where a take-over waits for it.
  static let patience = Duration.seconds(4)
  static let haste = Duration.seconds(1)
  /// Seconds in which two residents that have just been started find each other, and for which a change may wait for the peer.
  static let greeting = 10
  static let longestLag = 5

  private func status(of process: Process, _ call: Call) throws(OCFError) -> LedgerStatus {
    guard let status = LedgerStatus(try ask("status", process, call)) else { throw .failed("the ledger (pid \(process.pid)) gives no status") }
    return status
  }

  /// Asks the resident, which answers from memory.
  func ask(_ command: String, _ process: Process, _ call: Call) throws(OCFError) -> [String] {
    if process.isStopped { throw .failed("the ledger (pid \(process.pid)) is suspended (SIGSTOP)") }
    let patience = call.request.action == .demote ? Self.haste : Self.patience
    let control = try control(call)
    do throws(SystemError) {
      return try process.answer(within: patience, call, isSilence: { $0.errno == .timedOut }) { call throws(SystemError) in
        try control.ask(command, on: call.host, before: call.deadline)
      }
    } catch {
      switch error.errno {
      case .timedOut: throw .failed("the ledger (pid \(process.pid)) hangs: no answer to \(command)")
      case .noSuchFile, .connectionRefused: throw .failed("the ledger (pid \(process.pid)) does not listen on \(control.path)")
      default: throw .failed("the ledger (pid \(process.pid)): \(error)")
      }
    }
  }

  /// What keeps sessions from being known on both nodes; nil: nothing. The words are the same as long as the reason is: each new one
  /// is told to the whole cluster.
  private func risk(_ status: LedgerStatus, _ process: Process, _ call: Call) throws(OCFError) -> String? {
    let peer = process.value(of: "--peer") ?? "the peer"
    switch status.link {
    case "connected": break
    case "other-key": return "key_file: \(peer) has another key: copy \(keyFile) to it, then restart \(call.request.resource)"
    case "other-version": return "\(peer) has another version of vpnha: upgrade both nodes"
    case "never" where status.up < Self.greeting: break
    // A socket that cannot be opened, say.
    default: return status.risks.first ?? "nothing is heard from the ledger on \(peer) (UDP port \(port.number))"
    }
    if status.peerIsFull { return "\(peer) has no room for all sessions of this node" }
    if status.lag >= Self.longestLag { return "\(peer) does not take the changes of this node's sessions" }
    if let own = status.risks.first { return own }
    // What the next start would meet.
    if call.depth >= .service {
      do throws(OCFError) { try checkKey(call) } catch { return error.reason }
    }
    return nil
  }

  /// Standby: what it could carry on. Promoted: what it carries.
  package func counts(_ call: Call) throws(OCFError) -> [String: UInt64] {
    guard let process = try found(call) else { return [:] }
    let status = try status(of: process, call)
    return ["ledger": UInt64(clamping: status.isPromoted ? status.own + status.adopted : status.held)]
  }

  package func obituary(_ call: Call) -> String? { daemon(call).obituary(call) }

  package func eventSources(_ call: Call) throws(OCFError) -> [EventSource] { try found(call).map { [.process($0)] } ?? [] }
}

// MARK: - What belongs to us

extension SessionLedger {
  static let program = "/usr/libexec/vpnha/vpnha-ledger"

  func daemon(_ call: Call) -> Daemon {
    let instance = call.request.instance
    return Daemon(
      Self.program, package: "vpnha", unit: nil, launcher: .direct, environment: call.request.logSettings,
      identifier: "sessions(\(instance))", isOurs: { $0.value(of: "--instance") == instance })
  }

  func found(_ call: Call) throws(OCFError) -> Process? { try attempt("looking for vpnha-ledger", try daemon(call).find(call)) }

  func control(_ call: Call) throws(OCFError) -> LedgerControl {
    guard let control = LedgerControl(instance: call.request.instance) else {
      throw .misconfigured("give the resource an ID of at most \(LedgerControl.longestInstance) bytes, without /")
    }
    return control
  }

  func checkKey(_ call: Call) throws(OCFError) {
    do throws(LedgerError) { _ = try LedgerKey(ofFile: keyFile.description, call.host.files) } catch {
      throw .failed("key_file: \(keyFile): \(error.detail)")
    }
  }
}

extension Process {
  /// The argument behind `option`.
  fileprivate func value(of option: String) -> String? {
    arguments.firstIndex(of: option).flatMap { $0 + 1 < arguments.count ? arguments[$0 + 1] : nil }
  }
}

extension Request {
  /// Where the cluster wants lines to go, for what outlives the action.
  fileprivate var logSettings: [String: String] {
    environment.filter { name, _ in ["HA_", "PCMK_"].contains { name.hasPrefix($0) } && ["log", "debug"].contains { name.lowercased().contains($0) } }
  }
}
