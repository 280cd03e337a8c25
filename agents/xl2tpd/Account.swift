import Host

/// What became of clients and sessions when the daemon left: one line in the log.
struct Account {
  /// pppds of ours.
  var sessions = 0
  /// Clients with a tunnel; nil when the daemon did not say.
  var tunnels: Int?
  /// Whether the daemon sent every tunnel a StopCCN.
  var isTold = false
  /// Why it did not, as far as is known.
  var problem: String?
  /// Sessions ended one by one, each client told by PPP.
  var ended = 0
  /// pppds killed because they did not end in time.
  var killed = 0

  var clients: Int { tunnels ?? sessions }
  var told: Int { isTold ? clients : min(ended, clients) }

  func write(to log: any Log, farewell: Bool) {
    guard clients > 0 || sessions > 0 else { return }
    var words: [String] = []
    if farewell {
      words.append("told \(told) of \(clients) clients that L2TP ends here")
      if told < clients { words.append("\(problem ?? "xl2tpd did not do it in time"), so they find out by their own timers") }
    } else {
      words.append("ended L2TP without a word to clients")
    }
    words.append("of \(sessions) sessions \(sessions - killed) ended and \(killed) were killed\(killed == 0 ? "" : ": pppd took too long")")
    log.write(
      farewell && told < clients || killed > 0 ? .warning : .info, words.joined(separator: "; "),
      [("VPNHA_CLIENTS", "\(clients)"), ("VPNHA_TOLD", "\(farewell ? told : 0)"), ("VPNHA_SESSIONS", "\(sessions)"), ("VPNHA_KILLED", "\(killed)")])
  }
}
