/// What charon says about itself.
public struct Version: Hashable, Sendable {
  /// `charon` or `charon-systemd`.
  public var daemon: String
  public var version: String
  public var kernel: String
  public var machine: String
}

/// charon's own measure of itself; taken without any lock on an SA.
public struct Statistics: Hashable, Sendable {
  public struct Priorities: Hashable, Sendable {
    public var critical: UInt64
    public var high: UInt64
    public var medium: UInt64
    public var low: UInt64
    public var total: UInt64 { [critical, high, medium, low].reduce(0) { $0.addingReportingOverflow($1).partialValue } }
  }
  /// Wall-clock time of the start, as charon prints it; tells one instance from the next.
  public var runningSince: String
  public var workers: UInt64
  public var idleWorkers: UInt64
  public var activeWorkers: Priorities
  /// Jobs that wait for a worker.
  public var queues: Priorities
  public var scheduledJobs: UInt64
  /// IKE SAs in any state, half-open ones included.
  public var ikeSAs: UInt64
  public var halfOpen: UInt64
  public var plugins: [String]
  /// Bytes of heap in use, nil where charon does not know.
  public var heapInUse: UInt64?

  public func hasPlugin(_ name: String) -> Bool { plugins.contains(name) }
}

/// An IKE SA as `list-sas` shows it.
public struct IKESA: Hashable, Sendable {
  /// The connection it belongs to; empty while charon has not chosen one.
  public var connection: String
  public var uniqueID: UInt64
  /// 1 or 2.
  public var version: UInt64
  /// `CREATED CONNECTING ESTABLISHED PASSIVE REKEYING REKEYED DELETING DESTROYING`
  public var state: String
  public var localHost: String
  public var remoteHost: String
  public var remotePort: UInt64
  public var isInitiator: Bool
  /// Seconds since it was established; nil when it is not, and on a node that holds it for its peer.
  public var age: UInt64?
  public var children: [ChildSA]

  public var isEstablished: Bool { state == "ESTABLISHED" }
  /// Whether charon would say goodbye to its client, and have an ha peer delete it, if it ended now (`ike_sa.c`, `delete_`).
  public var isActive: Bool { state == "ESTABLISHED" || state == "REKEYING" }
  /// Whether somebody is at the other end to be told goodbye: not while it is half-open, nor where another node speaks.
  public var hasPeer: Bool { !["CREATED", "CONNECTING", "PASSIVE", "DESTROYING"].contains(state) }
  /// Held for a peer gateway that is the active one (`ha` plugin).
  public var isPassive: Bool { state == "PASSIVE" }
}

/// A CHILD SA: a pair of IPsec SAs.
public struct ChildSA: Hashable, Sendable {
  public var name: String
  public var uniqueID: UInt64
  public var requestID: UInt64
  /// `INSTALLED`, `REKEYED` …
  public var state: String
  /// 8 hexadecimal digits.
  public var inboundSPI: String
  public var outboundSPI: String
  public var bytesIn: UInt64
  public var bytesOut: UInt64
  public var packetsIn: UInt64
  public var packetsOut: UInt64
  /// Seconds since it was installed.
  public var age: UInt64

  public var isInstalled: Bool { state == "INSTALLED" }
}

/// A loaded connection as `list-conns` shows it.
public struct Connection: Hashable, Sendable {
  public var name: String
  /// `IKEv1`, `IKEv2` or `IKEv1/2`.
  public var version: String
  /// As they were written: addresses, ranges, names, `%any`.
  public var localAddresses: [String]
  /// The same of its clients.
  public var remoteAddresses: [String]
  public var children: [Child] = []
  /// How both ends prove who they are, round by round.
  public var rounds: [Authentication] = []

  /// What clients may ask for once they are known.
  public struct Child: Hashable, Sendable {
    public var name: String
    public var isTransport: Bool
    /// Empty: not told.
    public var local: [TrafficSelector]
    public var remote: [TrafficSelector]

    public init(name: String, isTransport: Bool, local: [TrafficSelector], remote: [TrafficSelector]) {
      (self.name, self.isTransport, self.local, self.remote) = (name, isTransport, local, remote)
    }

    /// Whether UDP to one of these ports of the gateway comes through, from some port of the client's.
    public func carries(udp ports: Set<UInt16>) -> Bool {
      (local.isEmpty || local.contains { selector in ports.contains { selector.coversUDP(to: $0) } }) && (remote.isEmpty || remote.contains(where: \.coversUDP))
    }
  }

  public struct Authentication: Hashable, Sendable {
    public enum Method: Hashable, Sendable { case sharedKey, publicKey, other }
    public var isLocal: Bool
    public var method: Method
    public var identity: String?
    /// Subjects of the certificates that it names.
    public var certificates: [String] = []

    public init(isLocal: Bool, method: Method, identity: String?, certificates: [String] = []) {
      self.isLocal = isLocal
      self.method = method
      self.identity = identity
      self.certificates = certificates
    }
  }

  public init(name: String, version: String, localAddresses: [String], remoteAddresses: [String]) {
    self.name = name
    self.version = version
    self.localAddresses = localAddresses
    self.remoteAddresses = remoteAddresses
  }

  /// Whether a client may come from anywhere.
  public var isForEverybody: Bool {
    remoteAddresses.isEmpty || remoteAddresses.contains { ["%any", "%any4", "%any6", "0.0.0.0/0", "::/0"].contains($0) }
  }
}

extension SettingsFile {
  /// The connections that it holds, as far as it tells. Those of a connection whose references are too many to follow are missing.
  public var connections: [Connection] {
    (resolved("connections")?.sections ?? []).map { section in
      let version = ["1": "IKEv1", "2": "IKEv2"][section.value("version") ?? ""] ?? "IKEv1/2"
      var connection = Connection(name: section.name, version: version, localAddresses: section.list("local_addrs"), remoteAddresses: section.list("remote_addrs"))
      connection.rounds = section.sections.compactMap { round in
        guard round.name.hasPrefix("local") || round.name.hasPrefix("remote") else { return nil }
        return .init(isLocal: round.name.hasPrefix("local"), method: round.value("auth") == "psk" ? .sharedKey : .other, identity: round.value("id"))
      }
      connection.children = (section.section("children")?.sections ?? []).map { child in
        // Without one: tunnel mode, and the ends' own addresses.
        .init(
          name: child.name, isTransport: child.value("mode")?.lowercased().hasPrefix("transport") == true,
          local: child.list("local_ts").map(TrafficSelector.init), remote: child.list("remote_ts").map(TrafficSelector.init))
      }
      return connection
    }
  }
}

extension SettingsFile {
  /// A certificate or key that a connection names.
  public struct NamedFile: Hashable, Sendable {
    public var connection: String
    public var path: String
    public var place: Place
  }

  /// Those that connections name, where swanctl looks for them (`load_conns.c`, `add_file_list_key`).
  public var certificates: [NamedFile] {
    let folders = ["certs": "x509", "cacerts": "x509ca", "pubkeys": "pubkey"]
    return (resolved("connections")?.sections ?? []).flatMap { connection in
      connection.sections.flatMap(\.settings).flatMap { setting -> [NamedFile] in
        guard let folder = folders[setting.key], let value = setting.value else { return [] }
        let names = value.split { $0 == "," || $0 == " " }.filter { !["0x", "0s"].contains($0.prefix(2).lowercased()) }
        return names.map { NamedFile(connection: connection.name, path: $0.hasPrefix("/") ? String($0) : "/etc/swanctl/\(folder)/\($0)", place: setting.place) }
      }
    }
  }
}

extension SettingsFile.Section {
  /// A list, as swanctl takes it apart (`load_conns.c`, `add_list_key`).
  public func list(_ key: String) -> [String] { value(key)?.split { $0 == "," || $0 == " " }.map(String.init) ?? [] }
}

/// Which SAs a command is about.
public enum Selection: Hashable, Sendable {
  case ike(String)
  case ikeID(UInt64)
  case child(String)
  case childID(UInt64)

  var entry: Message.Entry {
    switch self {
    case .ike(let name): .init("ike", .text(Array(name.utf8)))
    case .ikeID(let id): .init("ike-id", .text(Array(String(id).utf8)))
    case .child(let name): .init("child", .text(Array(name.utf8)))
    case .childID(let id): .init("child-id", .text(Array(String(id).utf8)))
    }
  }
}

extension Charon {
  /// The cheapest full round trip.
  public func version() throws(VICIError) -> Version {
    let reply = try ask("version")
    return Version(
      daemon: try reply.expect("daemon", of: "version"), version: try reply.expect("version", of: "version"),
      kernel: reply.text("release") ?? "", machine: reply.text("machine") ?? "")
  }

  /// Equivalent to: `swanctl --stats`.
  public func statistics() throws(VICIError) -> Statistics {
    let reply = try ask("stats")
    let workers = try reply.expectSection("workers", of: "stats")
    let sas = try reply.expectSection("ikesas", of: "stats")
    return Statistics(
      runningSince: reply.section("uptime")?.text("since") ?? "",
      workers: try workers.expectNumber("total", of: "stats"), idleWorkers: try workers.expectNumber("idle", of: "stats"),
      activeWorkers: workers.section("active").priorities, queues: reply.section("queues").priorities,
      scheduledJobs: reply.number("scheduled") ?? 0, ikeSAs: try sas.expectNumber("total", of: "stats"),
      halfOpen: try sas.expectNumber("half-open", of: "stats"), plugins: reply.list("plugins") ?? [],
      heapInUse: reply.section("mallinfo")?.number("used"))
  }

  /// Hands over every IKE SA that is not busy. charon skips those in use by another thread instead of waiting for
  /// them (`noblock`): the number may be low, and a stuck SA does not hold up the caller.
  ///
  /// Equivalent to: `swanctl --list-sas --noblock`.
  /// - Parameter waiting: for busy ones as well; none is left out.
  public func sas(waiting: Bool = false, _ each: (IKESA) throws(VICIError) -> Void) throws(VICIError) {
    var request = Message()
    if !waiting { request.append("noblock", true) }
    try stream("list-sas", "list-sa", request) { (row) throws(VICIError) in
      for section in row.sections { try each(try IKESA(section.name, section.message)) }
    }
  }

  /// Names of the connections loaded over VICI.
  public func loadedConnections() throws(VICIError) -> [String] { try ask("get-conns").list("conns") ?? [] }

  /// Equivalent to: `swanctl --list-conns`.
  public func connections(_ each: (Connection) throws(VICIError) -> Void) throws(VICIError) {
    try stream("list-conns", "list-conn") { (row) throws(VICIError) in
      for (name, section) in row.sections {
        let children = section.section("children")?.sections ?? []
        var connection = Connection(
          name: name, version: section.text("version") ?? "", localAddresses: section.list("local_addrs") ?? [],
          remoteAddresses: section.list("remote_addrs") ?? [])
        connection.children = children.map { name, child in
          .init(
            name: name, isTransport: child.text("mode") == "TRANSPORT", local: (child.list("local-ts") ?? []).map(TrafficSelector.init),
            remote: (child.list("remote-ts") ?? []).map(TrafficSelector.init))
        }
        connection.rounds = section.sections.compactMap { name, round in
          guard name.hasPrefix("local-") || name.hasPrefix("remote-") else { return nil }
          let method: Connection.Authentication.Method =
            switch round.text("class") {
            case "pre-shared key": .sharedKey
            case "public key": .publicKey
            default: .other
            }
          return .init(
            isLocal: name.hasPrefix("local-"), method: method, identity: round.text("id"), certificates: round.list("certs") ?? [])
        }
        try each(connection)
      }
    }
  }

  /// Names under which shared secrets of any kind were loaded over VICI; swanctl's are the names of their sections.
  public func sharedKeys() throws(VICIError) -> [String] { try ask("get-shared").list("keys") ?? [] }

  /// The X.509 certificates of that subject, or all; raw public keys and whatever else charon counts among them where `others` is set.
  public func certificates(of subject: String? = nil, others: Bool = false) throws(VICIError) -> [Certificate] {
    var request = Message()
    request.append("type", others ? "ANY" : "X509")
    if let subject { request.append("subject", subject) }
    var found: [Certificate] = []
    try stream("list-certs", "list-cert", request) { row in
      guard case .text(let encoding)? = row["data"] else { return }
      found.append(Certificate(hasPrivateKey: row.flag("has_privkey"), encoding: encoding))
    }
    return found
  }

  /// Queues a DELETE for what is selected and returns at once (`timeout` -1, which installs no log callback).
  ///
  /// - Returns: how many SAs that were; 0 when there was none, which is no error to who wants them gone.
  @discardableResult
  public func terminate(_ selection: Selection) throws(VICIError) -> UInt64 {
    var request = Message([selection.entry])
    request.append("timeout", -1)
    let reply = try ask("terminate", request)
    let matches = try reply.expectNumber("matches", of: "terminate")
    guard reply.flag("success") || matches == 0 else { throw .refused(reply, while: "asking charon for terminate") }
    return matches
  }

  /// Queues the negotiation of `child` and returns at once.
  public func initiate(child: String, of ike: String? = nil) throws(VICIError) {
    var request = Message()
    request.append("child", child)
    if let ike { request.append("ike", ike) }
    request.append("timeout", -1)
    try order("initiate", request)
  }

  /// Installs the policies that have `child` negotiated when there is something to send.
  public func install(child: String, of ike: String) throws(VICIError) {
    try order("install", Message([.init("child", .text(Array(child.utf8))), .init("ike", .text(Array(ike.utf8)))]))
  }

  /// Takes such policies away.
  public func uninstall(child: String, of ike: String) throws(VICIError) {
    try order("uninstall", Message([.init("child", .text(Array(child.utf8))), .init("ike", .text(Array(ike.utf8)))]))
  }

  /// Queues a rekeying of what is selected; returns how many SAs that were, 0 when there was none.
  @discardableResult
  public func rekey(_ selection: Selection) throws(VICIError) -> UInt64 {
    let reply = try ask("rekey", Message([selection.entry]))
    let matches = try reply.expectNumber("matches", of: "rekey")
    guard reply.flag("success") || matches == 0 else { throw .refused(reply, while: "asking charon for rekey") }
    return matches
  }

  /// Reads strongswan.conf again; a file with an error leaves the old settings in force and is `refused`.
  public func reloadSettings() throws(VICIError) { try order("reload-settings") }

  /// Counters of the whole daemon by name (`invalid-spi`, `ike-init-in-req` …); `notSupported` without that plugin.
  public func counters() throws(VICIError) -> [String: UInt64] {
    let reply = try order("get-counters")
    var values: [String: UInt64] = [:]
    for entry in reply.section("counters")?.section("")?.entries ?? [] {
      guard case .text(let bytes) = entry.value else { continue }
      values[entry.name] = UInt64(String(decoding: bytes, as: UTF8.self))
    }
    return values
  }
}

extension IKESA {
  init(_ connection: String, _ row: Message) throws(VICIError) {
    self.init(
      connection: connection, uniqueID: try row.expectNumber("uniqueid", of: "list-sas"),
      version: row.number("version") ?? 0, state: try row.expect("state", of: "list-sas"),
      localHost: row.text("local-host") ?? "", remoteHost: row.text("remote-host") ?? "",
      remotePort: row.number("remote-port") ?? 0, isInitiator: row.flag("initiator"), age: row.number("established"), children: [])
    for (_, child) in row.section("child-sas")?.sections ?? [] { children.append(try ChildSA(child)) }
  }
}

extension ChildSA {
  init(_ row: Message) throws(VICIError) {
    self.init(
      name: try row.expect("name", of: "list-sas"), uniqueID: try row.expectNumber("uniqueid", of: "list-sas"),
      requestID: row.number("reqid") ?? 0, state: try row.expect("state", of: "list-sas"),
      inboundSPI: row.text("spi-in") ?? "", outboundSPI: row.text("spi-out") ?? "", bytesIn: row.number("bytes-in") ?? 0,
      bytesOut: row.number("bytes-out") ?? 0, packetsIn: row.number("packets-in") ?? 0,
      packetsOut: row.number("packets-out") ?? 0, age: row.number("install-time") ?? 0)
  }
}

extension Message {
  fileprivate func expect(_ name: String, of command: String) throws(VICIError) -> String {
    guard let text = text(name) else { throw .malformed("the answer lacks \(name)", while: "asking charon for \(command)") }
    return text
  }

  fileprivate func expectNumber(_ name: String, of command: String) throws(VICIError) -> UInt64 {
    guard let number = number(name) else {
      throw .malformed("\(name) is \(printable(name) ?? "absent"), not a number", while: "asking charon for \(command)")
    }
    return number
  }

  fileprivate func expectSection(_ name: String, of command: String) throws(VICIError) -> Message {
    guard let section = section(name) else {
      throw .malformed("the answer lacks \(name)", while: "asking charon for \(command)")
    }
    return section
  }
}

extension Message? {
  fileprivate var priorities: Statistics.Priorities {
    func count(_ name: String) -> UInt64 { self?.number(name) ?? 0 }
    return .init(critical: count("critical"), high: count("high"), medium: count("medium"), low: count("low"))
  }
}
