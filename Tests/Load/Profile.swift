/// The timers of a kind of client, in seconds.
struct Profile: Sendable {
  var name: String
  /// Where the figures come from; what is not published is said to be assumed.
  var source: String
  /// Waits before main and quick mode's messages are sent again, then the client gives up.
  var ikeRepeats: [Double]
  /// How often a control message of L2TP is sent before the tunnel counts as lost, after 1, 2, 4, 8, 8 … s.
  var l2tpTries: Int
  /// Silence on the control channel after which the client says Hello.
  var hello: Double
  /// LCP echo: how often, and how many without an answer end the link. Infinity: none.
  var echo: Double
  var echoFailures: Int
  /// Restart timer of PPP's negotiations (RFC 1661 §4.6 has 3 s).
  var pppRestart = 3.0
  /// From the end of a session to the next dial.
  var redial: Double
  /// An attempt that has no session after so long is given up.
  var patience = 60.0

  static let linux = Profile(
    name: "linux", source: "xl2tpd 1.3.18 l2tp.h, network.c (Hello 60 s, five transmissions), xl2tpd.conf(5) (redial timeout 30), pppd(8) with lcp-echo-interval 10 and lcp-echo-failure 3, strongSwan's Retransmission page",
    ikeRepeats: [4, 7.2, 13, 23.3, 42], l2tpTries: 5, hello: 60, echo: 10, echoFailures: 3, redial: 30)
  static let windows = Profile(
    name: "windows", source: "Microsoft KB 262990 (a broken link is found after 2 to 3 minutes); the redial pause is not published: 1 s is assumed",
    ikeRepeats: [1, 2, 4, 8, 16], l2tpTries: 12, hello: 60, echo: .infinity, echoFailures: 1, redial: 1)
  static let apple = Profile(
    name: "apple", source: "Apple's ppp, vpnoptions.h (OPT_LCP_ECHOINTERVAL_DEF 10, OPT_LCP_ECHOFAILURE_DEF 4); the redial pause is not published: 1 s is assumed",
    ikeRepeats: [3, 3, 3, 3, 3], l2tpTries: 6, hello: 60, echo: 10, echoFailures: 4, redial: 1)
  static let android = Profile(
    name: "android", source: "Android's Vpn.java starts pppd without LCP echo; racoon's retransmission of 10 s and mtpd's timers are assumed, as is the redial pause",
    ikeRepeats: [10, 10, 10, 10, 10], l2tpTries: 5, hello: 60, echo: .infinity, echoFailures: 1, redial: 1)
  /// All at once, again and again: the worst that a gateway can meet.
  static let eager = Profile(
    name: "eager", source: "none: a client that notices soon and dials a second later, so that the gateway's part of an outage is what is seen",
    ikeRepeats: [1, 1, 2, 2, 4, 4], l2tpTries: 5, hello: 60, echo: 2, echoFailures: 3, redial: 1)

  static let all = [linux, windows, apple, android, eager]

  /// The profile of a client by its number: one kind for all, or `mixed`, the four kinds that people have in turn.
  static func named(_ name: String, client: Int) -> Profile? {
    name == "mixed" ? [windows, apple, android, linux][client % 4] : all.first { $0.name == name }
  }
}
