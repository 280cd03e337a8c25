import Host

/// A conversation with a BGP daemon: whom it tells of what.
///
/// All of it ends by one deadline. BGP acknowledges nothing: that a neighbour took what it was told is not known.
public protocol RoutingDaemon: AnyObject {
  func close()

  /// Why the daemon as it is configured takes no announcement, or one that would not end with its address; nil: it would.
  func refusal() throws(AnswerError) -> String?

  /// Throws when nothing would tell the daemon that an address has gone.
  func checkFollowsKernel() throws(AnswerError)

  /// Names of all neighbours.
  func neighbours() throws(AnswerError) -> [String]

  /// Nil when there is none of that name.
  func neighbour(_ name: String) throws(AnswerError) -> Neighbour?

  /// Whether the neighbour's session is up and it is told of exactly this route.
  func exports(_ prefix: String, to name: String) throws(AnswerError) -> Bool

  /// Whether a BFD session to the neighbour is up.
  func hasBFD(_ neighbour: Neighbour) throws(AnswerError) -> Bool
}

/// A router that this node has a BGP session with, or should have.
public struct Neighbour: Equatable, Sendable {
  /// A protocol in BIRD; in FRR an address, or an interface.
  public var name: String
  /// `Established`, `Active`, `Connect`, `Idle`, `Down` …
  public var state: String
  public var address: IPAddress?
  public var localAS: UInt32?
  public var lastError: String?
  /// Seconds for which the neighbour keeps what this node announced when its daemon is gone; nil: it does not.
  public var keptFor: Int?
  /// Which addresses it can be told of.
  public var carriesIPv4 = true
  public var carriesIPv6 = true
  /// What FRR says of it at once.
  var isBFDUp = false

  public var isEstablished: Bool { state == "Established" }

  /// `upstream: Active (Socket: Connection refused)`
  public var words: String { "\(name): \(state)\(lastError.map { " (\($0))" } ?? "")" }

  public init(_ name: String, state: String) {
    self.name = name
    self.state = state
  }
}
