import Host

/// The last close look (check level 10 or deeper) at a member of the cluster that works, and what it counted.
///
/// Every node can read it, so that what is said of another node says how old it is: `SECONDS VERSION NAME=COUNT … NAME:KEY.DIGEST …`.
public struct Look: Equatable, Sendable {
  /// In front of the resource's name.
  public static let prefix = "vpnha-look-"
  /// A count: 1 where the node has a way to those who are not in its own networks, else 0.
  public static let defaultRoute = "default-route"
  /// A count: 1 where this member serves, and no new client would get in. Its risk says why.
  public static let unfit = "unfit"
  private static let limit = 512

  public var at: Timestamp
  /// That of the agent.
  public var version: String
  public var counts: [String: UInt64]
  /// Of what every node should have: `KEY.DIGEST`, by name (`CommonThing`).
  public var digests: [String: String]

  /// Seconds after which a look is too old to say anything: two of them, and time for both, did not come.
  public static let lifetime: Int64 = 150

  public init(at: Timestamp, version: String = agentVersion, counts: [String: UInt64], digests: [String: String] = [:]) {
    (self.at, self.version, self.counts, self.digests) = (at, version, counts, digests)
  }

  /// Nil for anything else. Counts that cannot be read are left out.
  public init?(_ text: String) {
    let words = text.utf8.count <= Self.limit ? text.split(separator: " ") : []
    guard words.count >= 2, let seconds = Int64(words[0]) else { return nil }
    at = Timestamp(seconds: seconds)
    version = String(words[1])
    counts = [:]
    digests = [:]
    for word in words.dropFirst(2) {
      let pair = word.split(separator: "=")
      if pair.count == 2, let value = UInt64(pair[1]) { counts[String(pair[0])] = value }
      let named = word.split(separator: ":")
      if named.count == 2 { digests[String(named[0])] = String(named[1]) }
    }
  }

  public var text: String {
    (["\(at.seconds)", version] + counts.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" } + digests.sorted { $0.key < $1.key }.map { "\($0.key):\($0.value)" })
      .joined(separator: " ")
  }
}
