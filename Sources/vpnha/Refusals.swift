import Host
import JSON

/// Clients that were not let in, and why, from what charon, xl2tpd and pppd wrote.
struct Refusal: Equatable {
  var id: FindingID
  var user: String?
  var address: String?
  /// How often; the first and the last time, in microseconds since 1970.
  var count: Int
  var first: Int64
  var last: Int64
  var node: String
  var source: String
  /// The daemon's own words, the last time.
  var said: String

  var reason: String {
    switch id {
    case .AUTH1: "the password is wrong"
    case .AUTH2: "chap-secrets has no such user"
    case .AUTH3: "the pre-shared key is another one"
    case .AUTH4: "no proposal of the client is accepted"
    case .AUTH5: "no connection is for it"
    case .AUTH6: "too many clients behind one address"
    case .AUTH7: "the client went silent during IKE"
    case .AUTH8: "the client went silent during L2TP or PPP"
    case .AUTH9: "no address is left in the pool"
    case .AUTH10: "it asks for an address that it may not have"
    case .AUTH11: "the RADIUS server does not answer"
    case .AUTH12: "pppd does not start a session"
    default: "a certificate or signature is not accepted"
    }
  }

  var fix: [String] {
    switch id {
    case .AUTH1, .AUTH2, .AUTH10: ["editor /etc/ppp/chap-secrets    # on both nodes, or the account in RADIUS"]
    case .AUTH3 where source == "pluto": ["editor /etc/ipsec.secrets    # on both nodes; or the client's key", "ipsec whack --rereadsecrets"]
    case .AUTH4 where source == "pluto", .AUTH5 where source == "pluto": ["ipsec whack --status", "editor /etc/ipsec.conf    # on both nodes"]
    case .AUTH3: ["editor /etc/swanctl/swanctl.conf    # secrets, on both nodes; or the client's key", "swanctl --load-creds"]
    case .AUTH4, .AUTH5: ["swanctl --list-conns", "editor /etc/swanctl/swanctl.conf", "swanctl --load-conns"]
    case .AUTH6: ["cp /usr/share/doc/vpnha/examples/strongswan/vpnha.conf /etc/strongswan.d/vpnha.conf"]
    case .AUTH7, .AUTH8: ["nft list table inet vpnha", "vpnha run xl2tpd monitor --depth 10"]
    case .AUTH9: ["editor /etc/xl2tpd/xl2tpd.conf    # ip range"]
    case .AUTH11: ["vpnha run probe monitor --depth 10", "ls /etc/radcli/servers"]
    case .AUTH12: ["vpnha doctor --only PPP"]
    default: ["swanctl --list-certs"]
    }
  }

  private static func moment(_ micros: Int64) -> Timestamp { Timestamp(seconds: micros / 1_000_000) }

  var json: String {
    jsonObject([
      ("id", id.rawValue.jsonQuoted), ("user", user?.jsonQuoted), ("address", address?.jsonQuoted), ("at", Self.moment(last).description.jsonQuoted),
      ("since", Self.moment(first).description.jsonQuoted), ("count", "\(count)"), ("node", node.jsonQuoted), ("source", source.jsonQuoted), ("reason", reason.jsonQuoted),
      ("said", said.jsonQuoted), ("why", id.why.jsonQuoted), ("fix", jsonArray(fix.map(\.jsonQuoted))),
    ])
  }
}

/// One line of a daemon's log.
struct LogLine: Equatable {
  var micros: Int64
  var node: String
  var source: String
  var pid: Int32?
  /// charon's thread: what it says of one client comes from one, message by message.
  var thread: String?
  var text: String

  /// A line of `journalctl --output=json`.
  init?(journal line: some Sequence<UInt8>) {
    guard let value = JSONValue(line), let micros = value["__REALTIME_TIMESTAMP"]?.string.flatMap({ Int64($0) }), let source = value["SYSLOG_IDENTIFIER"]?.string,
      let text = value["MESSAGE"]?.string
    else { return nil }
    self.init(micros: micros, node: value["_HOSTNAME"]?.string ?? "", source: source, pid: (value["SYSLOG_PID"] ?? value["_PID"])?.string.flatMap { Int32($0) }, thread: value["THREAD"]?.string, text: text)
  }

  /// A line of a syslog file: `2026-11-28T09:12:07.123456+00:00 moon pppd[12]: text`, or with `Nov 28 09:12:07`, of which the year is not
  /// known: it is the last such day before `now`.
  init?(syslog line: Substring, before now: Timestamp) {
    let words = line.split(separator: " ", maxSplits: 3)
    let micros: Int64
    var rest: Substring
    if words.count == 4, let moment = Self.isoTime(words[0]) {
      (micros, rest) = (moment, line[words[1].startIndex...])
    } else {
      let words = line.split(separator: " ", maxSplits: 3, omittingEmptySubsequences: true)
      guard words.count == 4, let moment = Self.oldTime(words[0], words[1], words[2], now) else { return nil }
      (micros, rest) = (moment, words[3])
    }
    let parts = rest.split(separator: " ", maxSplits: 2)
    guard parts.count == 3, parts[1].last == ":" else { return nil }
    rest = parts[1].dropLast()
    let source = rest.prefix { $0 != "[" }
    self.init(micros: micros, node: String(parts[0]), source: String(source), pid: Int32(rest.dropFirst(source.count + 1).prefix { $0 != "]" }), thread: nil, text: String(parts[2]))
  }

  /// What a daemon writes before its words: `09[IKE] <l2tp|3> `.
  init(micros: Int64, node: String, source: String, pid: Int32?, thread: String?, text: String) {
    var (thread, text) = (thread, text.plain)
    if let match = text.prefixMatch(of: #/(\d+)\[[A-Z]{3}\] /#) {
      thread = thread ?? String(match.output.1)
      text.removeSubrange(match.range)
    }
    if let match = text.prefixMatch(of: #/<[^>]*> /#) { text.removeSubrange(match.range) }
    (self.micros, self.node, self.source, self.pid, self.thread, self.text) = (micros, node.plain, source.plain, pid, thread, text)
  }

  /// `2026-11-28T09:12:07.123456+00:00`
  private static func isoTime(_ text: Substring) -> Int64? {
    guard text.count >= 20, let moment = Timestamp(String(text.prefix(19)) + "Z") else { return nil }
    var rest = text.dropFirst(19)
    var micros: Int64 = 0
    if rest.first == "." {
      let digits = rest.dropFirst().prefix { $0.isASCII && $0.isNumber }
      guard let value = Int64((digits + "000000").prefix(6)) else { return nil }
      micros = value
      rest = rest.dropFirst(1 + digits.count)
    }
    if rest == "Z" { return moment.seconds * 1_000_000 + micros }
    let zone = rest.dropFirst().split(separator: ":").compactMap { Int64($0) }
    guard let sign = rest.first, sign == "+" || sign == "-", zone.count == 2 else { return nil }
    let offset = (zone[0] * 60 + zone[1]) * 60 * (sign == "+" ? 1 : -1)
    return (moment.seconds - offset) * 1_000_000 + micros
  }

  private static func oldTime(_ month: Substring, _ day: Substring, _ time: Substring, _ now: Timestamp) -> Int64? {
    guard let month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"].firstIndex(of: String(month)), let day = Int(day), let year = Int(now.description.prefix(4)) else { return nil }
    func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
    // Within a day of now, for zones.
    for year in [year, year - 1] {
      guard let moment = Timestamp("\(year)-\(two(month + 1))-\(two(day))T\(time)Z") else { return nil }
      if moment.seconds <= now.seconds + 86_400 { return moment.seconds * 1_000_000 }
    }
    return nil
  }
}

/// Reads logs in the order of time.
struct RefusalReader {
  private(set) var refusals: [Refusal] = []
  /// The client that a thread of charon is busy with.
  private var peers: [String: String] = [:]
  /// The client behind a pppd, by its pid, as xl2tpd says.
  private var clients: [Int32: String] = [:]
  /// Users that a pppd has named.
  private var users: [Int32: String] = [:]

  static let identifiers = ["charon-systemd", "charon", "ipsec", "pluto", "xl2tpd", "pppd"]

  init(_ lines: [LogLine]) {
    for line in lines.sorted(by: { $0.micros < $1.micros }) { read(line) }
    refusals.sort { $0.last > $1.last }
  }

  private mutating func read(_ line: LogLine) {
    switch line.source {
    case "pppd": readPPPD(line)
    case "xl2tpd": readXL2TPD(line)
    case "pluto": readPluto(line)
    case let name where name.hasPrefix("charon") || name == "ipsec": readCharon(line)
    default: return
    }
  }

  private mutating func add(_ id: FindingID, _ line: LogLine, user: String? = nil, address: String?) {
    let said = History.masked(line.text)
    // Clients try again by themselves.
    if let index = refusals.lastIndex(where: { $0.id == id && $0.user == user && $0.address == address && $0.node == line.node }) {
      refusals[index].count += 1
      (refusals[index].last, refusals[index].said) = (line.micros, said)
    } else {
      refusals.append(Refusal(id: id, user: user, address: address, count: 1, first: line.micros, last: line.micros, node: line.node, source: line.source, said: said))
    }
  }

  private static func word(after words: String, in text: String) -> String? {
    guard let range = text.ranges(of: words).first else { return nil }
    let rest = text[range.upperBound...].drop { $0 == " " }
    let word = rest.first == "'" || rest.first == "\"" ? rest.dropFirst().prefix { $0 != rest.first } : rest.prefix { !$0.isWhitespace && !"[,;".contains($0) }
    return word.isEmpty ? nil : String(word)
  }
  private static func address(after words: String, in text: String) -> String? {
    word(after: words, in: text).flatMap { IPAddress($0.hasSuffix(".") || $0.hasSuffix(":") ? String($0.dropLast()) : $0) }?.description
  }

  // MARK: charon (strongSwan 5.9, its own words)

  private mutating func readCharon(_ line: LogLine) {
    let text = line.text
    let thread = "\(line.node) \(line.thread ?? "")"
    if let peer = Self.address(after: "received packet: from ", in: text) ?? (text.contains(" is initiating a") ? Self.address(after: "", in: text) : nil) {
      peers[thread] = peer
      return
    }
    let peer = peers[thread]
    let causes: [(FindingID, [String])] = [
      (.AUTH3, ["could not decrypt payloads", "calculated HASH does not match HASH payload", "but MAC mismatched", "no shared key found for"]),
      (.AUTH4, ["received proposals unacceptable", "received proposals inacceptable", "no proposal found", "no acceptable proposal found", "no matching proposal found, sending"]),
      (.AUTH5, ["no matching peer config found", "no peer config found", "no alternative config found", "no matching CHILD_SA config found", "no acceptable traffic selectors found", "no IKE config found for"]),
      (.AUTH6, ["peer too aggressive", "half open IKE_SA count of"]),
      (.AUTH13, ["constraint checking failed", "no trusted ", "certificate invalid", "certificate was revoked", "signature validation failed"]),
      (.AUTH1, ["EAP method EAP_", "XAuth authentication of"]),
    ]
    if text.contains("deleting half open IKE_SA with") {
      add(.AUTH7, line, address: Self.address(after: "deleting half open IKE_SA with", in: text))
    } else if let (id, _) = causes.first(where: { _, words in words.contains { text.contains($0) } }) {
      if id == .AUTH1, !text.contains("failed") { return }
      let user = id == .AUTH1 ? Self.word(after: "for peer ", in: text) ?? Self.word(after: "XAuth authentication of ", in: text) : nil
      // "no IKE config found for LOCAL...REMOTE, sending …"
      add(id, line, user: user, address: Self.address(after: "...", in: text) ?? Self.address(after: "setup from", in: text) ?? peer)
    }
  }

  // MARK: pluto (libreswan 4.10)

  /// It names the client in each line: `packet from 198.51.100.7:500: …`, `"l2tp"[1] 198.51.100.7 #1: …`.
  private mutating func readPluto(_ line: LogLine) {
    let text = line.text
    let causes: [(FindingID, [String])] = [
      (.AUTH3, ["probable authentication failure (mismatch of preshared secrets?)"]),
      (.AUTH4, ["no acceptable Oakley Transform", "no local proposal matches remote proposals", "matches no local proposals"]),
      (.AUTH5, ["but no connection has been authorized", "but no suitable connection found", "cannot respond to IPsec SA request because no connection is known"]),
      (.AUTH7, ["max number of retransmissions", "second timeout exceeded after"]),
    ]
    guard let (id, _) = causes.first(where: { _, words in words.contains { text.contains($0) } }) else { return }
    var peer: String?
    if text.hasPrefix("packet from "), let word = Self.word(after: "packet from ", in: text) {
      // ADDRESS:PORT, and a colon.
      peer = word.split(separator: ":").dropLast().joined(separator: ":")
      if peer.flatMap({ IPAddress($0) }) == nil { peer = word.split(separator: ":").first.map(String.init) }
    } else if text.hasPrefix("\"") {
      peer = text.split(separator: " ").dropFirst().first.map(String.init)
    }
    add(id, line, address: peer.flatMap { IPAddress($0) }?.description)
  }

  // MARK: xl2tpd 1.3.18

  private mutating func readXL2TPD(_ line: LogLine) {
    let text = line.text
    if text.contains("Call established with"), let pid = Self.word(after: "PID:", in: text).flatMap({ Int32($0) }), let address = Self.address(after: "Call established with", in: text) {
      clients[pid] = address
    } else if text.contains("Out of IP addresses") || text.contains("Out of local IP addresses") || text.contains("No available IP address") {
      add(.AUTH9, line, address: nil)
    } else if text.contains("Denied connection to unauthorized peer") {
      add(.AUTH5, line, address: Self.address(after: "unauthorized peer", in: text))
    } else if text.contains("Connection "), text.contains(" closed to "), text.contains("(Timeout)") || text.contains("(Maximum retries") {
      add(.AUTH8, line, address: Self.address(after: "closed to ", in: text))
    } else if text.contains("Invalid challenge authentication") || text.contains("No secret key for authenticating") {
      add(.AUTH1, line, address: nil)
    }
  }

  // MARK: pppd 2.4.9

  private mutating func readPPPD(_ line: LogLine) {
    let text = line.text
    let client = line.pid.flatMap { clients[$0] }
    func known(_ name: String?) -> String? { name ?? line.pid.flatMap { users[$0] } }
    if let name = Self.word(after: "No CHAP secret found for authenticating", in: text) ?? Self.word(after: "No PAP secret found for authenticating", in: text) {
      if let pid = line.pid { users[pid] = name }
      add(.AUTH2, line, user: name, address: client)
    } else if text.hasPrefix("Peer "), text.contains("failed CHAP authentication"), let name = Self.word(after: "Peer ", in: text) {
      // The line before it has said that there is no such user.
      if let pid = line.pid, users[pid] == name, refusals.contains(where: { $0.id == .AUTH2 && $0.user == name && line.micros - $0.last < 5_000_000 }) { return }
      add(.AUTH1, line, user: name, address: client)
    } else if let name = Self.word(after: "PAP peer authentication failed for", in: text) {
      add(.AUTH1, line, user: name, address: client)
    } else if text.contains("is not authorized to use remote address") || text.contains("Unauthorized remote IP address") {
      add(.AUTH10, line, user: known(nil), address: client)
    } else if text.contains("no reply from RADIUS server") || text.contains("no RADIUS server") {
      add(.AUTH11, line, user: known(nil), address: client)
    } else if text.contains("LCP: timeout sending Config-Requests") || text.contains("peer refused to authenticate") || text.contains("Peer not responding") {
      add(.AUTH8, line, address: client)
    } else if text.contains("unrecognized option") || text.contains("Can't open options file") || text.contains("Couldn't open the /dev/ppp") || text.contains("Could not determine remote IP address") {
      add(.AUTH12, line, address: client)
    }
  }

  // MARK: Where they are read

  private static let limit = 50_000

  /// The journal, or syslog's files where there is none.
  ///
  /// - Parameter file: in place of both.
  static func lines(since: String, file: String?, on host: Host) throws(SystemError) -> [LogLine] {
    let now = host.clock.timestamp
    let journalctl = "/usr/bin/journalctl"
    if let file {
      guard let bytes = try tail(file, host) else { throw SystemError("reading \(file)", .noSuchFile) }
      return read(bytes, now)
    }
    if host.files.isExecutable(journalctl), try host.files.entries(of: "/run/systemd/system") != nil {
      let fields = "--output-fields=MESSAGE,THREAD,SYSLOG_IDENTIFIER,SYSLOG_PID,_PID,_HOSTNAME"
      let command = Command(
        journalctl, ["--quiet", "--no-pager", "--output=json", fields, "--lines=\(limit)", "--since=\(since)"] + identifiers.map { "SYSLOG_IDENTIFIER=\($0)" }, outputLimit: 64 << 20)
      let result = try host.processes.run(command, before: host.clock.now + .seconds(30))
      guard result.succeeded else { throw SystemError("reading the journal", .io, detail: result.lastWords) }
      return result.output.split(separator: UInt8(ascii: "\n")).compactMap { LogLine(journal: $0) }
    }
    var found: [LogLine] = []
    var isThere = false
    for path in ["/var/log/syslog", "/var/log/daemon.log", "/var/log/auth.log"] {
      guard let bytes = try tail(path, host) else { continue }
      isThere = true
      // The same line may be in two of them.
      for line in read(bytes, now) where !found.contains(line) { found.append(line) }
    }
    guard isThere else { throw SystemError("reading what the daemons said", .noSuchFile, detail: "there is no journal and no /var/log/syslog here; --log names a file") }
    return found
  }

  private static func read(_ bytes: [UInt8], _ now: Timestamp) -> [LogLine] {
    String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline).compactMap { LogLine(syslog: $0, before: now) }.filter { identifiers.contains($0.source) }
  }

  private static func tail(_ path: String, _ host: Host) throws(SystemError) -> [UInt8]? {
    guard try host.files.status(path) != nil else { return nil }
    let result = try host.processes.run(Command("/usr/bin/tail", ["-c", "\(8 << 20)", "--", path], outputLimit: 9 << 20), before: host.clock.now + .seconds(10))
    guard result.succeeded else { throw SystemError("reading \(path)", .io, detail: result.lastWords) }
    return result.output
  }
}

/// Refusals for people and for programs.
struct RefusalReport {
  var refusals: [Refusal]
  var since: String

  var json: String { jsonArray(refusals.map(\.json)) }

  func text(_ now: Timestamp) -> String {
    var screen = Screen()
    let times = refusals.map(\.count).reduce(0, +)
    screen.add(refusals.isEmpty ? "nobody was refused since \(since)" : "\(times) refusal\(times == 1 ? "" : "s") since \(since), the last ones first")
    var told: Set<FindingID> = []
    for one in refusals {
      let who = [one.user, one.address].compactMap { $0.map { String($0.prefix(40)) } }.joined(separator: " from ")
      let last = now.seconds - one.last / 1_000_000
      screen.add("\(padded(one.id.rawValue, 7))\(who.isEmpty ? "somebody" : who): \(one.reason) (\(one.count == 1 ? "" : "\(one.count) times, ")\(spoken(last, isRough: true)) ago)", indent: 7)
      if told.insert(one.id).inserted { for command in one.fix { screen.add(verbatim: "       " + command) } }
    }
    return screen.text(more: "vpnha sessions --refused --json")
  }
}
