import Host

/// What the kernel says of a PPP session over L2TP that it carries, beyond what the session's socket tells.
public struct KernelSession: Hashable, Sendable {
  /// The address that the client dialled, as the tunnel's socket is bound.
  public var gateway: IPAddress
  /// Our numbers and the peer's (RFC 2661 §3.1).
  public var tunnel: UInt16
  public var session: UInt16
  public var peerTunnel: UInt16
  public var peerSession: UInt16
  /// Data messages carry sequence numbers: expected from the peer, sent to it.
  public var receivesSequences = false
  public var sendsSequences = false
  /// The name of the PPP interface; nil while there is none.
  public var interface: String?

  /// Where the kernel lists them; absent where nothing of L2TP is loaded.
  public static let table = "/proc/net/pppol2tp"

  /// Every session over IPv4 in the kernel's list (`pppol2tp_seq_session_show` of `net/l2tp/l2tp_ppp.c`), without the session 0 that
  /// stands for each tunnel itself. Sessions of another kind and lines of another form are left out.
  public static func all(in table: [UInt8]) -> [KernelSession] {
    var sessions: [KernelSession] = []
    /// Lines since the one that a session begins with; nil outside of one.
    var line: Int?
    for text in String(decoding: table, as: UTF8.self).split(separator: "\n") {
      let words = text.split(separator: " ")
      switch words.first {
      case "SESSION":
        line = nil
        guard let session = KernelSession(words) else { continue }
        sessions.append(session)
        line = 0
      case "TUNNEL": line = nil
      case "interface" where line != nil && words.count == 2 && words[1] != "(null)":
        sessions[sessions.count - 1].interface = String(words[1])
      case let word?:
        guard let number = line else { continue }
        line = number + 1
        // 0/0/R/S/LNS: sizes, then what is expected and what is sent.
        let fields = word.split(separator: "/")
        guard number == 0, fields.count == 5 else { continue }
        sessions[sessions.count - 1].receivesSequences = fields[2] == "R"
        sessions[sessions.count - 1].sendsSequences = fields[3] == "S"
      case nil: continue
      }
    }
    return sessions
  }

  /// `SESSION 'NAME' ADDRESS/PORT TUNNEL/SESSION -> TUNNEL/SESSION STATE OK`: numbers in hexadecimal, the port in decimal.
  private init?(_ words: [Substring]) {
    // The name has blanks in it.
    guard let arrow = words.firstIndex(of: "->"), arrow >= 3, arrow + 1 < words.count else { return nil }
    func pair(_ word: Substring) -> (UInt16, UInt16)? {
      let halves = word.split(separator: "/")
      guard halves.count == 2, let first = UInt16(halves[0], radix: 16), let second = UInt16(halves[1], radix: 16) else { return nil }
      return (first, second)
    }
    guard let ours = pair(words[arrow - 1]), let theirs = pair(words[arrow + 1]), ours.1 != 0,
      let number = words[arrow - 2].split(separator: "/").first.flatMap({ UInt32($0, radix: 16) }),
      let gateway = IPAddress(bytes: (0..<4).map { UInt8(truncatingIfNeeded: number >> (24 - 8 * $0)) })
    else { return nil }
    self.gateway = gateway
    (tunnel, session) = ours
    (peerTunnel, peerSession) = theirs
  }
}
