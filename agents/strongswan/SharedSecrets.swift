import Host
import VICI

/// The `secrets { ike… }` of a file, in classes by whom they are for: each connection is looked up, whatever the number of either.
struct SharedSecrets {
  /// Some of the secrets.
  struct Choice {
    /// The one that stands first in the file; nil: there are none.
    var first: Int?
    /// Whether charon has one of them.
    var isLoaded = false

    fileprivate mutating func take(_ index: Int, isLoaded: Bool) { take(Choice(first: index, isLoaded: isLoaded)) }
    fileprivate mutating func take(_ other: Choice) {
      first = [first, other.first].compactMap { $0 }.min()
      isLoaded = isLoaded || other.isLoaded
    }
  }

  /// In the order of the file.
  private(set) var names: [String] = []
  /// Those without an owner, for many, for the address, or for an identity that a connection gives this end.
  private var common = Choice()
  private var byOwner: [String: Choice] = [:]
  /// Of those that are for no connection's clients: with an owner that is no address, and the others.
  private var named = Choice()
  private var fixed = Choice()
  /// How many secrets have owners that are all addresses.
  private var fixedCount = 0
  /// Connections with Aggressive Mode.
  private var aggressive: Set<String> = []

  init(in file: SettingsFile, loaded keys: Set<String>, address: IPAddress?, connections: [Connection]) {
    let ours = Set(([address.map { "\($0)" }].compactMap { $0 } + connections.flatMap { $0.rounds.compactMap { $0.isLocal ? $0.identity : nil } }).map(Self.plain))
    let remotes = Set(connections.flatMap(Self.remotes).map(Self.plain))
    for section in file.resolved("secrets")?.sections ?? [] where section.name.hasPrefix("ike") {
      let (index, isLoaded) = (names.count, keys.contains(section.name))
      names.append(section.name)
      let owners = Set(section.settings.compactMap { $0.key.hasPrefix("id") ? $0.value : nil }.map(Self.plain))
      let isFixed = !owners.isEmpty && owners.allSatisfy { IPAddress($0) != nil }
      if isFixed { fixedCount += 1 }
      if owners.isEmpty || owners.contains(where: Self.standsForMany) || !owners.isDisjoint(with: ours) {
        common.take(index, isLoaded: isLoaded)
        continue
      }
      for owner in owners { byOwner[owner, default: Choice()].take(index, isLoaded: isLoaded) }
      // Otherwise it is for other connections.
      guard !owners.isSubset(of: remotes) else { continue }
      if isFixed { fixed.take(index, isLoaded: isLoaded) } else { named.take(index, isLoaded: isLoaded) }
    }
    aggressive = Set((file.resolved("connections")?.sections ?? []).filter { $0.value("aggressive").flatMap(SettingsFile.Setting.flag) == true }.map(\.name))
  }

  /// The secrets that a client of `connection` may find: it has no owner, one of the two sides is its owner, or its owner may
  /// be a client.
  ///
  /// IKEv1's Main Mode looks it up by both addresses, and then by the identities that connections give (`phase1.c`).
  func fitting(_ connection: Connection) -> Choice {
    var choice = common
    for own in connection.localAddresses + Self.remotes(of: connection) {
      if let its = byOwner[Self.plain(own)] { choice.take(its) }
    }
    let isByAddress = connection.version == "IKEv1" && !aggressive.contains(connection.name)
    if !isByAddress { choice.take(named) }
    // One that is another address is a mistake; where there are more, clients have fixed addresses.
    if !connection.isForEverybody || fixedCount > 1 { choice.take(fixed) }
    return choice
  }

  private static func remotes(of connection: Connection) -> [String] {
    connection.remoteAddresses + connection.rounds.compactMap { $0.isLocal ? nil : $0.identity }
  }

  /// An identity without the ways of writing it (`identification.c`): `ipv4:203.0.113.50`, `@gw.example.org`.
  private static func plain(_ identity: String) -> String {
    var text = identity.lowercased()
    if IPAddress(text) == nil, let colon = text.firstIndex(of: ":") { text = String(text[text.index(after: colon)...]) }
    if text.hasPrefix("@") { text.removeFirst() }
    return IPAddress(text).map { "\($0)" } ?? text
  }

  private static func standsForMany(_ identity: String) -> Bool {
    identity.isEmpty || identity.hasPrefix("%") || identity.contains("*") || identity.contains("/")
      || IPAddress(identity)?.isUnspecified == true || identity.split(separator: "-").compactMap { IPAddress($0) }.count == 2
  }
}
