import Daemon
import Host
import OCF
import VICI

/// What clients need besides a charon that answers: a connection at the address, and a key that both sides have.
///
/// swanctl exits 0 where a secret was refused or an include was not there, and charon finds out with the first client. What
/// cannot be told for sure is no lack: other plugins bring connections and secrets of their own, an identity may be a client's.
struct Readiness {
  let file: SettingsFile?
  let config: AbsolutePath
  let address: IPAddress?
  /// The connections that must be there; empty: whichever are.
  let names: [String]
  let connections: [Connection]
  /// Under which names secrets are loaded.
  let keys: Set<String>
  let l2tp: L2TPService

  var served: [Connection] {
    let wanted = Set(names)
    return connections.filter { $0.name != "ha" && (wanted.isEmpty || wanted.contains($0.name)) }
  }

  /// All that is missing.
  var lacks: [String] {
    let served = self.served
    var found: [String] = []
    if served.isEmpty, names.isEmpty { found.append("config: \(config) holds no connections, so nobody can connect") }
    if let address, !served.isEmpty, !served.contains(where: { mayServe(address, $0) }) {
      found.append("connections: local_addrs of \(served.map(\.name).joined(separator: " ")) is not \(address)")
    }
    found += barren + [withoutL2TP].compactMap { $0 }
    // A secret that the file does not have came another way, and whose it is nobody tells.
    guard let file, file.resolved("secrets").map({ keys.isSubset(of: Set($0.sections.map(\.name))) }) ?? keys.isEmpty else { return found }
    let secrets = SharedSecrets(in: file, loaded: keys, address: address, connections: connections)
    for connection in served where connection.rounds.contains(where: { $0.method == .sharedKey }) {
      let fitting = secrets.fitting(connection)
      if fitting.isLoaded { continue }
      let lack = "connections: \(connection.name) has no pre-shared key\(address.map { " for \($0)" } ?? "")"
      found.append(fitting.first.map { "\(lack): secret \(secrets.names[$0]) was refused" } ?? "\(lack) in \(config)")
    }
    return found
  }

  /// Those of the loaded connections that have no children. charon takes them without a word, and refuses every client that has
  /// authenticated. Beside others, where none is named, one may be there for another purpose (mediation).
  var barren: [String] {
    let served = self.served
    let barren = served.filter(\.children.isEmpty)
    guard !names.isEmpty || barren.count == served.count else { return [] }
    return barren.map { "connections: \($0.name) has no children, so no client gets an SA" }
  }

  /// Why clients of L2TP get no SA. charon compares what they ask for with each child, and refuses in IKEv1 whoever asks for another
  /// mode than the child's (`quick_mode.c`). Nil where one fits, and where nothing says that L2TP is served.
  var withoutL2TP: String? {
    let children = connections.filter { connection in address.map { mayServe($0, connection) } ?? true }.flatMap { connection in connection.children.map { (connection, $0) } }
    func names(_ child: Connection.Child) -> Bool { child.local.contains { selector in l2tp.ports.contains(where: selector.names) } }
    guard l2tp.isSure || children.contains(where: { names($1) }), !children.contains(where: { $1.isTransport && $1.carries(udp: l2tp.ports) }),
      let (connection, child) = children.first(where: { names($1) }) ?? children.first(where: { $1.isTransport }) ?? children.first
    else { return nil }
    let what = child.isTransport ? "does not let udp/\(l2tp.ports.sorted().map(String.init).joined(separator: " "))" + " through" : "is for tunnel mode, and L2TP needs mode = transport"
    return "connections: child \(child.name) of \(connection.name) \(what)"
  }

  private func mayServe(_ address: IPAddress, _ connection: Connection) -> Bool {
    let local = connection.localAddresses
    // What looks like an address and is none is asked of the name servers, and nobody has it.
    return local.isEmpty || local.contains { Self.holds($0, address) }
  }

  /// Whether an entry of local_addrs (`ike_cfg.c`) stands for `address`: an address, a network, a range, or a name that may be anybody's.
  private static func holds(_ text: String, _ address: IPAddress) -> Bool {
    if let one = IPAddress(text) { return one == address || one.isUnspecified }
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    if parts.count == 2, let network = IPAddress(parts[0]), let bits = Int(parts[1]), (0...network.bits).contains(bits) {
      return network.bits == address.bits && network.withHostBits(set: false, prefixLength: bits) == address.withHostBits(set: false, prefixLength: bits)
    }
    let ends = text.split(separator: "-").map { IPAddress($0.filter { $0 != " " }) }
    if ends.count == 2, let first = ends[0], let last = ends[1] {
      return first.bits == address.bits && last.bits == address.bits && !address.bytes.lexicographicallyPrecedes(first.bytes) && !last.bytes.lexicographicallyPrecedes(address.bytes)
    }
    return !text.allSatisfy { $0 == "." || $0.isNumber }
  }
}

/// What is known here of L2TP that clients are to reach through charon.
struct L2TPService {
  var ports: Set<UInt16>
  /// Whether its daemon is a resource of this node; otherwise a connection may say it by the port in a selector.
  var isSure: Bool

  static func served(_ call: Call) -> L2TPService {
    let ports = Set(GuardedPort.all(call).map(\.port))
    var hasDaemon = false
    do throws(SystemError) {
      hasDaemon = try (call.host.files.entries(of: Request.recordDirectory) ?? []).contains { $0.hasPrefix("vpnha-xl2tpd-") }
    } catch { call.log.debug("looking for L2TP: \(error)") }
    return L2TPService(ports: ports.isEmpty ? [1701] : ports, isSure: hasDaemon)
  }
}

extension Readiness {
  /// Of a file that is not loaded yet.
  init(of file: SettingsFile, _ agent: StrongSwan, _ call: Call) {
    let readable = (file.resolved("secrets")?.sections ?? []).filter { $0.value("secret").map(Self.isReadable) == true }
    self.init(
      file: file, config: agent.config, address: agent.address, names: agent.connections, connections: file.connections,
      keys: Set(readable.map(\.name)), l2tp: .served(call))
  }

  /// Whether swanctl gets any bytes out of a secret: text, `0x` and hexadecimal, or `0s` and groups of four in base64.
  static func isReadable(_ secret: String) -> Bool {
    switch secret.prefix(2).lowercased() {
    case "0x": secret.count > 2
    case "0s": secret.count >= 6
    default: !secret.isEmpty
    }
  }
}

extension StrongSwan {
  /// Plugins that bring connections or secrets which VICI does not show.
  private static let otherSources = ["stroke", "sql", "uci", "load-tester", "medcli", "medsrv"]

  /// What keeps clients out though charon runs, or soon will; unfit: already does.
  func lacks(_ statistics: Statistics, _ call: Call) -> [Risk] {
    do throws(VICIError) { return try found(statistics, call) } catch {
      call.log.debug("looking for what clients need: \(error)")
      return []
    }
  }

  private func found(_ statistics: Statistics, _ call: Call) throws(VICIError) -> [Risk] {
    let file: SettingsFile?
    do throws(SettingsError) { file = try SettingsFile(reading: config.description, from: call.host.files) } catch {
      call.log.debug("config: \(error)")
      file = nil
    }
    var loaded: [Connection] = []
    try connect(call, within: .seconds(5)).connections { loaded.append($0) }
    let keys = Set(try connect(call, within: .seconds(5)).sharedKeys())
    let edits = file.map { Edited(file: $0, config: config, connections: loaded, keys: keys, refused: Set(Unloaded.read(call).map(\.name))).risks } ?? []
    guard !Self.otherSources.contains(where: statistics.hasPlugin) else { return edits }
    let readiness = Readiness(file: file, config: config, address: address, names: connections, connections: loaded, keys: keys, l2tp: .served(call))
    var risks = readiness.lacks.map { Risk($0, unfit: true) }
    // An explicit `load` in strongswan.conf leaves out what it does not name.
    for (prefix, what) in [("socket-", "hears no client"), ("kernel-", "installs no SA")] where !statistics.plugins.isEmpty && !statistics.plugins.contains(where: { $0.hasPrefix(prefix) }) {
      risks.append(Risk("charon has loaded no plugin \(prefix)… and \(what): see load in \(Self.daemonSettings)", unfit: true))
    }
    var keyPairs = KeyPairs()
    for connection in readiness.served {
      for round in connection.rounds where round.isLocal && round.method == .publicKey {
        if let lack = try lack(round, connection, &keyPairs, call) { risks.append(lack) }
      }
    }
    // What a member could not serve for is said first.
    return risks + edits
  }

  /// What is wrong about the private key and the certificate of one end of a connection.
  private func lack(_ round: Connection.Authentication, _ connection: Connection, _ known: inout KeyPairs, _ call: Call) throws(VICIError) -> Risk? {
    let pairs = try known.pairs(of: round.certificates) { subject throws(VICIError) in try connect(call, within: .seconds(5)).certificates(of: subject) }
    if pairs.count == 0, !round.certificates.isEmpty {
      return Risk("connections: \(connection.name) has no private key for its certificate", unfit: true)
    }
    // By the identity charon finds a certificate, or a raw public key, that has its key; by nothing else, but for an identity that is a key's.
    if pairs.count == 0, round.identity?.contains(":") != true {
      if known.hasAny == nil { known.hasAny = try connect(call, within: .seconds(5)).certificates(others: true).contains(where: \.hasPrivateKey) }
      if known.hasAny == false { return Risk("connections: \(connection.name) has no private key that belongs to a certificate", unfit: true) }
    }
    return pairs.last.flatMap { .end(ofCertificateOf: connection.name, at: $0, call.host.clock.timestamp) }
  }
}

/// What charon has said of certificates in one look: many connections ask for the same ones.
private struct KeyPairs {
  /// Certificates that have their private keys.
  struct Pairs {
    var count = 0
    /// When the last of them ends; nil where one of them does not tell.
    var last: Timestamp?
  }

  private var asked: [[String]: Pairs] = [:]
  /// Whether there is a certificate or a raw public key at all that has its private key; nil: nobody has asked.
  var hasAny: Bool?

  /// Of the certificates with these subjects. Without a name charon chooses by the identity; which one that is we do not judge.
  mutating func pairs(of subjects: [String], _ ask: (String?) throws(VICIError) -> [Certificate]) throws(VICIError) -> Pairs {
    if let known = asked[subjects] { return known }
    var usable: [Certificate] = []
    for subject in subjects.isEmpty ? [nil] : subjects.map(Optional.some) { usable += try ask(subject).filter(\.hasPrivateKey) }
    let pairs = Pairs(count: usable.count, last: Timestamp.last(of: usable.map(\.end)))
    asked[subjects] = pairs
    return pairs
  }
}
