import Host
import OCF
import VICI

/// What was written into swanctl.conf after it was loaded, as far as charon shows what it has: it counts from the next load on, and
/// a node that starts charon again has it alone.
///
/// What charon has beside the file may come from elsewhere, and is no edit. The value of a secret, and the proposals of a connection, nobody is shown.
struct Edited {
  let file: SettingsFile
  let config: AbsolutePath
  /// All that charon has, whoever loaded it.
  let connections: [Connection]
  /// Under which names secrets are loaded.
  let keys: Set<String>
  /// Connections of the file that charon refused.
  let refused: Set<String>

  /// Of each kind so many are named.
  private static let most = 3
  /// Sections that are loaded as shared secrets, by the beginnings of their names (`load_creds.c`).
  private static let shared = ["eap", "xauth", "ntlm", "ike", "ppk"]

  var risks: [Risk] { (newConnections + changes).prefix(Self.most).map { Risk($0) } + newSecrets.prefix(Self.most).map { Risk($0) } }

  private var known: [SettingsFile.Section] { (file.resolved("connections")?.sections ?? []).filter { !refused.contains($0.name) } }

  private var newConnections: [String] {
    let names = Set(connections.map(\.name))
    return known.filter { !names.contains($0.name) }.map { "connections: \($0.name) of \(config) is not loaded" }
  }

  /// Only what the file says itself is compared: what a default is, charon knows.
  private var changes: [String] {
    let written = Dictionary(file.connections.map { ($0.name, $0) }) { first, _ in first }
    let had = Dictionary(connections.map { ($0.name, $0) }) { first, _ in first }
    return known.compactMap { section -> String? in
      guard let loaded = had[section.name], let wanted = written[section.name] else { return nil }
      var changed: [String] = []
      if section.value("version") != nil, !loaded.version.isEmpty, loaded.version != wanted.version { changed.append("version") }
      for (key, mine, its) in [("local_addrs", wanted.localAddresses, loaded.localAddresses), ("remote_addrs", wanted.remoteAddresses, loaded.remoteAddresses)] {
        if !mine.isEmpty, !its.isEmpty, Set(mine) != Set(its) { changed.append(key) }
      }
      if !wanted.children.isEmpty, !loaded.children.isEmpty {
        if Set(wanted.children.map(\.name)) != Set(loaded.children.map(\.name)) { changed.append("children") }
        let modes = Dictionary(loaded.children.map { ($0.name, $0.isTransport) }) { first, _ in first }
        let given = section.section("children")?.sections.filter { $0.value("mode") != nil }.map(\.name) ?? []
        if wanted.children.contains(where: { given.contains($0.name) && modes[$0.name].map { [mode = $0.isTransport] in $0 != mode } ?? false }) { changed.append("mode") }
      }
      return changed.isEmpty ? nil : "connections: \(changed.joined(separator: ", ")) of \(section.name) in \(config) was changed and is not loaded"
    }
  }

  private var newSecrets: [String] {
    (file.resolved("secrets")?.sections ?? []).filter { secret in
      Self.shared.contains(where: secret.name.hasPrefix) && secret.value("secret").map(Readiness.isReadable) == true && !keys.contains(secret.name)
    }.map { "secrets: \($0.name) of \(config) is not loaded" }
  }
}
