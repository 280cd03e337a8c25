import Host
import Ledger
import Sessions

/// What the ledger of ocf:vpnha:sessions says of the sessions on this node: which of them began on another node.
///
/// The resident answers at `/run/vpnha/sessions-INSTANCE.sock`: one word in, lines out, the first `ok` or `error REASON`; then one a session,
/// `session TUNNEL SESSION PEER PORT LOCAL REMOTE USER SINCE HOPS own|adopted|held`, with `-` for what is not known.
struct CarriedSessions {
  struct Line: Equatable {
    var tunnel: UInt32
    var session: UInt32
    var outer: IPAddress?
    var inner: IPAddress?
    var user: String?
    var since: Timestamp?
    var hops: Int
    /// In the ledger of this node, and not taken up: it is served elsewhere.
    var isHeld: Bool
    var isAdopted: Bool
    var isCarried: Bool { isAdopted || hops > 0 }

    init?(_ text: String) {
      let words = text.split(separator: " ").map(String.init)
      guard words.count == 11, words[0] == "session", let tunnel = UInt32(words[1]), let session = UInt32(words[2]), let hops = Int(words[9]) else { return nil }
      self.tunnel = tunnel
      self.session = session
      outer = IPAddress(words[3])
      inner = IPAddress(words[6])
      user = words[7] == "-" ? nil : words[7]
      since = Int64(words[8]).map { Timestamp(seconds: $0) } ?? Timestamp(words[8])
      self.hops = hops
      isHeld = words[10] == "held"
      isAdopted = words[10] == "adopted"
    }
  }

  /// Nil: there is a ledger and it gives no answer.
  var lines: [Line]?

  init(lines: [Line]?) { self.lines = lines }

  init(on host: Host) {
    do throws(SystemError) {
      var found: [Line] = []
      for ledger in try LedgerControl.all(host.files) {
        found += try ledger.ask("list", on: host, limit: 16 << 20, before: host.clock.now + .seconds(2)).compactMap(Line.init)
      }
      lines = found.filter { !$0.isHeld }
    } catch { lines = nil }
  }

  /// Whether a session of a pppd of this node began elsewhere; nil: not known.
  func isCarried(_ session: Session) -> Bool? {
    guard let lines else { return nil }
    guard let kernel = session.kernel else { return lines.isEmpty ? false : nil }
    return lines.first { $0.tunnel == kernel.tunnel && $0.session == kernel.session }?.isCarried ?? false
  }
}
