import Host
import L2TP
import OCF

/// What somebody who helps from afar wants to see of a node, without its secrets.
struct SupportBundle {
  struct Part: Equatable {
    var name: String
    var text: String
  }

  var host: Host
  var tools: PacemakerTools
  var since: String

  var parts: [Part] = []
  /// What could not be had, with why.
  private(set) var missing: [(name: String, why: String)] = []
  private var redaction = Redaction()
  private var configuration: ClusterConfiguration?

  private static let patience = Duration.seconds(8)
  private static let limit = 4 << 20

  init(host: Host, tools: PacemakerTools, since: String) { (self.host, self.tools, self.since) = (host, tools, since) }

  mutating func collect() {
    do throws(SystemError) { configuration = try ClusterConfiguration(tools.configuration()) } catch { missing.append(("cluster/cib.xml", "\(error)")) }
    let files = files()
    // Before anything is shown.
    learn(files)
    for (path, kind) in files { add(path, kind) }
    if let cib = configuration?.cib { add("cluster/cib.xml", Redaction.text(of: cib)) }
    addFindings()
    for command in Self.commands { add(command) }
    addHistory()
  }

  // MARK: Files

  private enum Kind { case settings, xl2tpd, users, servers, keys }

  private func files() -> [(path: String, kind: Kind)] {
    func parameter(_ name: String, of agent: String) -> String? { configuration?.own(agent).first?.parameter(name) }
    let xl2tpd = parameter("config", of: "xl2tpd") ?? "/etc/xl2tpd/xl2tpd.conf"
    var files: [(String, Kind)] = [
      (parameter("config", of: "strongswan") ?? "/etc/swanctl/swanctl.conf", .settings), ("/etc/strongswan.conf", .settings), (xl2tpd, .xl2tpd),
      (parameter("config", of: "conntrackd") ?? "/etc/conntrackd/conntrackd.conf", .settings), ("/etc/ppp/chap-secrets", .users), ("/etc/ppp/pap-secrets", .users),
      ("/etc/xl2tpd/l2tp-secrets", .users), ("/etc/ppp/options", .settings), ("/etc/corosync/corosync.conf", .settings),
      ("/etc/radcli/radiusclient.conf", .settings), ("/etc/radcli/servers", .servers),
      (parameter("config", of: "libreswan") ?? "/etc/ipsec.conf", .settings), ("/etc/ipsec.secrets", .keys),
    ]
    if let extra = parameter("extra", of: "firewall"), extra.hasPrefix("/") { files.append((extra, .settings)) }
    do { if let bytes = try host.files.read(xl2tpd, limit: 1 << 20) { files += try XL2TPDConfiguration(bytes).pppOptionFiles.map { ($0, .settings) } } } catch {
      // The file itself is shown all the same.
    }
    do throws(SystemError) { files += try (host.files.entries(of: "/etc/ipsec.d") ?? []).filter { $0.hasSuffix(".secrets") }.map { ("/etc/ipsec.d/\($0)", .keys) } } catch {
      // The folder need not be there.
    }
    for folder in ["/etc/swanctl/conf.d", "/etc/strongswan.d", "/etc/sysctl.d", "/etc/ipsec.d"] {
      do throws(SystemError) { files += try (host.files.entries(of: folder) ?? []).filter { $0.hasSuffix(".conf") }.map { ("\(folder)/\($0)", .settings) } } catch { continue }
    }
    return files
  }

  private mutating func learn(_ files: [(path: String, kind: Kind)]) {
    func text(_ path: String) -> String? {
      do throws(SystemError) { return try host.files.read(path, limit: 16 << 20).map { String(decoding: $0, as: UTF8.self) } } catch { return nil }
    }
    for (path, kind) in files {
      guard let text = text(path) else { continue }
      let secrets =
        switch kind {
        case .users: Redaction.secrets(ofUsers: text)
        case .servers: text.split(whereSeparator: \.isNewline).flatMap { $0.split(whereSeparator: \.isWhitespace).dropFirst().map(String.init) }
        case .keys: Redaction.secrets(ofKeys: text)
        case .settings, .xl2tpd: Redaction.values(in: text)
        }
      for secret in secrets { redaction.learn(secret) }
    }
    guard let cib = configuration?.cib else { return }
    for secret in Redaction.secrets(in: cib) { redaction.learn(secret) }
    // Files that hold nothing but a secret.
    for primitive in configuration?.primitives ?? [] {
      for (name, value) in primitive.parameters ?? [] where value.hasPrefix("/") && Redaction.isSecret(name) {
        if let line = text(value)?.split(whereSeparator: \.isNewline).first { redaction.learn(String(line).trimmed) }
      }
    }
  }

  private mutating func add(_ path: String, _ kind: Kind) {
    do throws(SystemError) {
      // What is not there says nothing; that of the daemons doctor complains about.
      guard let bytes = try host.files.read(path, limit: Self.limit) else { return }
      let text = String(decoding: bytes, as: UTF8.self)
      switch kind {
      case .settings: add("files\(path)", Redaction.settings(text))
      case .xl2tpd: add("files\(path)", Redaction.settings(text, comments: [";", "#"]))
      case .users: add("files\(path)", Redaction.userNames(text))
      case .keys: add("files\(path)", Redaction.keyNames(text))
      // A server, and its secret.
      case .servers: add("files\(path)", text.split(whereSeparator: \.isNewline).compactMap { $0.split(whereSeparator: \.isWhitespace).first.map { "\($0) \(Redaction.mark)\n" } }.joined())
      }
    } catch { missing.append(("files\(path)", "\(error)")) }
  }

  private mutating func add(_ name: String, _ text: String) { parts.append(Part(name: name, text: redaction.known(text))) }

  // MARK: What is said of it

  private mutating func addFindings() {
    let now = host.clock.timestamp
    var asking = tools
    asking.host = host
    do throws(SystemError) {
      let report = StatusReport(try asking.statuses(), now: now)
      add("status.txt", report.text + "\n")
      add("status.json", report.json + "\n")
    } catch { missing.append(("status", "\(error)")) }
    do throws(SystemError) { add("doctor.json", try Checkup(host).json + "\n") } catch { missing.append(("doctor", "\(error)")) }
    do throws(SystemError) { add("plan.json", Plan.json(try Plan.all(asking, [], at: now)) + "\n") } catch { missing.append(("plan", "\(error)")) }
    do throws(SystemError) { add("fingerprint.json", try FingerprintSource(host: host, configuration: configuration).fingerprint().json + "\n") } catch { missing.append(("fingerprint", "\(error)")) }
  }

  private mutating func addHistory() {
    let (events, complaints) = History.events(since: since, on: host)
    add("history.txt", events.sorted { $0.micros < $1.micros }.map { $0.line + "\n" }.joined())
    for complaint in complaints { missing.append(("history", complaint)) }
    let path = "/var/log/pacemaker/pacemaker.log"
    do throws(SystemError) {
      let result = try host.processes.run(Command("/usr/bin/tail", ["-c", "1000000", path], outputLimit: 1 << 20), before: host.clock.now + Self.patience)
      if result.succeeded { add("pacemaker.log", History.masked(String(decoding: result.output, as: UTF8.self))) } else { missing.append((path, result.lastWords ?? "\(result.ending)")) }
    } catch { missing.append((path, "\(error)")) }
  }

  // MARK: Commands

  /// None of them shows a key: `ip xfrm state` would.
  static let commands: [[String]] = [
    ["/usr/sbin/crm_mon", "--one-shot", "--inactive", "--show-node-attributes", "--failcounts", "--operations"], ["/usr/sbin/corosync-cfgtool", "-s"],
    ["/usr/sbin/corosync-quorumtool", "-s"], ["/usr/sbin/stonith_admin", "--history", "*", "--verbose"], ["/usr/sbin/swanctl", "--stats"], ["/usr/sbin/swanctl", "--list-conns"],
    ["/usr/sbin/swanctl", "--list-sas", "--noblock"], ["/usr/sbin/swanctl", "--list-certs"], ["/usr/sbin/nft", "list", "ruleset"], ["/usr/sbin/conntrackd", "-s"],
    ["/usr/bin/ip", "-statistics", "address"], ["/usr/bin/ip", "route", "show", "table", "all"], ["/usr/bin/ip", "rule"], ["/usr/bin/ip", "xfrm", "policy"],
    ["/usr/bin/ss", "-lunp"], ["/usr/bin/dpkg-query", "--show"], ["/usr/bin/uname", "-a"], ["/usr/bin/uptime"], ["/usr/sbin/lsmod"],
    ["/usr/bin/systemctl", "--no-pager", "--full", "status", "corosync", "pacemaker", "strongswan", "ipsec", "xl2tpd", "conntrackd"],
  ]

  private mutating func add(_ words: [String]) {
    let name = "commands/" + ([words[0].split(separator: "/").last.map(String.init) ?? ""] + words.dropFirst()).joined(separator: "_").map { $0.isLetter || $0.isNumber || "_-".contains($0) ? String($0) : "" }.joined()
    guard host.files.isExecutable(words[0]) else { return missing.append((name, "\(words[0]) is missing")) }
    do throws(SystemError) {
      let result = try host.processes.run(Command(words[0], Array(words.dropFirst()), outputLimit: Self.limit), before: host.clock.now + Self.patience)
      // Some say by their status what they found.
      add("\(name).txt", History.masked(String(decoding: result.output + result.error, as: UTF8.self)))
      if case .timedOut = result.ending { missing.append((name, "it took too long")) }
    } catch { missing.append((name, "\(error)")) }
  }

  // MARK: The file

  /// - Parameter node: its name is that of the folder inside.
  func write(_ path: String, node: String) throws(SystemError) -> Int {
    let tool = "/usr/bin/tar"
    guard host.files.isExecutable(tool) else { throw SystemError("writing \(path)", .noSuchFile, detail: "\(tool) is missing (package tar)") }
    let top = "vpnha-report-\(node)"
    let place = "/run/vpnha-report-\(try host.processes.current().pid)"
    let about = "vpnha \(agentVersion), \(node), \(host.clock.timestamp)\nSecrets are masked; names of users and addresses are not.\n"
    let all = parts + [Part(name: "README.txt", text: about), Part(name: "missing.txt", text: missing.map { "\($0.name): \(redaction.known($0.why))\n" }.joined())]
    let result: Result<[UInt8], SystemError>
    do throws(SystemError) { result = .success(try archive(all, top, in: place, tool)) } catch { result = .failure(error) }
    try discard(all, "\(place)/\(top)", place)
    let bytes = try result.get()
    try host.files.create(path, with: bytes, mode: 0o600)
    return bytes.count
  }

  private func archive(_ all: [Part], _ top: String, in place: String, _ tool: String) throws(SystemError) -> [UInt8] {
    try host.files.makeDirectory(place, mode: 0o700)
    for part in all {
      let path = "\(place)/\(top)/\(part.name)"
      try host.files.makeDirectory(folder(path), mode: 0o700)
      try host.files.replace(path, with: Array(part.text.utf8), mode: 0o600)
    }
    let command = Command(tool, ["--create", "--gzip", "--file=-", "--owner=root", "--group=root", "--directory=\(place)", top], outputLimit: 128 << 20)
    let result = try host.processes.run(command, before: host.clock.now + .seconds(60))
    guard result.succeeded, result.output.count < 128 << 20 else { throw SystemError("running \(tool)", .io, detail: result.lastWords ?? "\(result.ending)") }
    return result.output
  }

  private func folder(_ path: String) -> String { path.split(separator: "/").dropLast().map { "/" + $0 }.joined() }

  private func discard(_ all: [Part], _ top: String, _ place: String) throws(SystemError) {
    var folders: Set<String> = [place, top]
    for part in all {
      let path = "\(top)/\(part.name)"
      try host.files.remove(path)
      var parent = folder(path)
      while parent.count > top.count {
        folders.insert(parent)
        parent = folder(parent)
      }
    }
    // The deepest first.
    for folder in folders.sorted(by: { $0.count > $1.count }) { try host.files.remove(folder) }
  }
}
