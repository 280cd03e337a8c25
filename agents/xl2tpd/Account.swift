import Host

/// What became of clients and sessions when the daemon left: one line in the log.
struct Account {
  /// pppds of ours.
  var sessions = 0
  /// Clients with a tunnel; nil when the daemon did not say.
  var tunnels: Set<Int>?
  /// Tunnels whose clients are known to know: they acknowledged a farewell, or their session ended while both ends still
  /// spoke PPP.
  var heard: Set<Int> = []
  /// Whether the daemon sent a StopCCN into every tunnel.
  var isSaid = false
  /// Whether acknowledgements could be heard; else what was sent has to count.
  var isHearing = false
  /// Why clients were not told, as far as is known.
  var problem: String?
  /// pppds killed because they did not end in time.
  var killed = 0

  var clients: Int { tunnels?.count ?? max(sessions, heard.count) }
  var told: Int {
    if isSaid, !isHearing { return clients }
    return tunnels.map { heard.intersection($0).count } ?? heard.count
  }

  func write(to log: any Log, farewell: Bool) {
    guard clients > 0 || sessions > 0 else { return }
    var words: [String] = []
    if farewell {
      words.append("told \(told) of \(clients) clients that L2TP ends here\(isSaid && !isHearing ? ", heard by whom is unknown" : "")")
      if told < clients {
        let why = problem ?? (isSaid ? "the others did not acknowledge it" : "xl2tpd did not do it in time")
        words.append("\(why), so they find out by their own timers")
      }
    } else {
      words.append("ended L2TP without a word to clients")
    }
    if sessions > 0 { words.append("of \(sessions) sessions \(sessions - killed) ended\(killed == 0 ? "" : " and \(killed) were killed: pppd took too long")") }
    log.write(
      farewell && told < clients || killed > 0 ? .warning : .info, words.joined(separator: "; "),
      [("VPNHA_CLIENTS", "\(clients)"), ("VPNHA_TOLD", "\(farewell ? told : 0)"), ("VPNHA_SESSIONS", "\(sessions)"), ("VPNHA_KILLED", "\(killed)")])
  }
}
