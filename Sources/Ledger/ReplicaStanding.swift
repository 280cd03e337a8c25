/// How the two ends of the ledger stand, for people and for the agent's monitor.
public struct ReplicaStanding: Equatable, Sendable {
  public enum Link: Equatable, Sendable {
    case connected
    /// The peer was here, and has said nothing for `Replica.silence`.
    case silent
    case never
    /// Somebody speaks who has another secret.
    case otherKey
    /// Somebody speaks another version of the protocol. Nothing proves that it is the peer.
    case otherVersion(UInt8)

    public var word: String {
      switch self {
      case .connected: "connected"
      case .silent: "silent"
      case .never: "never"
      case .otherKey: "other-key"
      case .otherVersion: "other-version"
      }
    }
  }

  public var link: Link
  /// Changes of this node's sessions that the peer has not acknowledged.
  public var unacknowledged: Int
  /// Nil when there was none.
  public var secondsSinceWord: Int?
  public var own: Int
  /// Sessions of the peer that are known here.
  public var held: Int
  /// How many the peer says that it carries; nil when it carries none for the cluster, or has not said.
  public var peerCarries: Int?
  /// How many of this node's sessions the peer could take over at once.
  public var peerReady: Int
  /// The peer has no room for all of ours.
  public var peerIsFull: Bool
  /// Datagrams that were none of the peer's, or too late.
  public var refused: UInt64

  public init(
    link: Link, unacknowledged: Int, secondsSinceWord: Int?, own: Int, held: Int, peerCarries: Int?, peerReady: Int = 0, peerIsFull: Bool, refused: UInt64
  ) {
    self.link = link
    self.unacknowledged = unacknowledged
    self.secondsSinceWord = secondsSinceWord
    self.own = own
    self.held = held
    self.peerCarries = peerCarries
    self.peerReady = peerReady
    self.peerIsFull = peerIsFull
    self.refused = refused
  }

  /// What a ledger answers to `status`, a key and a value each.
  public var lines: [String] {
    [
      "link \(link.word)", "unacknowledged \(unacknowledged)", "silence \(secondsSinceWord.map(String.init) ?? "-")", "held \(held)",
      "peer-carries \(peerCarries.map(String.init) ?? "-")", "peer-ready \(peerReady)", "peer-full \(peerIsFull ? 1 : 0)", "refused \(refused)",
    ]
  }
}
