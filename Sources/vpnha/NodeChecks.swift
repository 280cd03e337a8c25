import ConntrackSync
import Host
import L2TP
import Ledger
import VICI

/// Traps on this node, in files, units and the kernel. Nothing is changed, and nothing secret is shown.
struct NodeChecks {
  var files: any Files
  var processes: any Processes
  var clock: any Clock
  /// Nil where the cluster's configuration is not known; then the usual places are looked at.
  var configuration: ClusterConfiguration?
  /// Resources that run on this node; nil: not known.
  var running: Set<String>?

  private func parameter(_ name: String, of agent: String) -> String? { configuration?.own(agent).first?.parameter(name) }
  private func isUsed(_ agent: String) -> Bool { configuration.map { !$0.own(agent).isEmpty } ?? true }
  /// Only where the cluster is known to have one: sessions are a recipe of their own.
  private var hasLedger: Bool { configuration.map { !$0.own("sessions").isEmpty } ?? false }
  /// Those that the firewall's parameters name.
  private var interfaces: [String] {
    ["outside", "inside"].flatMap { (parameter($0, of: "firewall") ?? "").split(separator: " ").map(String.init) }.filter { !$0.hasSuffix("*") }
  }
  private var addresses: [String] { configuration?.own("vip").compactMap { $0.parameter("ip") } ?? [] }

  func findings() throws(SystemError) -> [Finding] {
    try units() + strays() + certificates() + kernel() + xl2tpd() + swanctl() + conntrackd() + plugin() + ledger() + permissions() + upgrades() + users() + boot() + otherTables()
  }

  private func text(_ path: String) throws(SystemError) -> String? {
    try files.read(path, limit: 1 << 20).map { String(decoding: $0, as: UTF8.self) }
  }

  // MARK: Units

  private func units() throws(SystemError) -> [Finding] {
    let root = "/etc/systemd/system"
    let daemons = [("strongswan", ["strongswan", "strongswan-starter"]), ("libreswan", ["ipsec"]), ("xl2tpd", ["xl2tpd"]), ("conntrackd", ["conntrackd"])]
    let wants = try (files.entries(of: root) ?? []).filter { $0.hasSuffix(".wants") || $0.hasSuffix(".requires") }
    var found: [Finding] = []
    for (agent, names) in daemons where isUsed(agent) {
      for unit in names.map({ "\($0).service" }) {
        var place: String?
        for folder in wants where place == nil {
          if try files.status("\(root)/\(folder)/\(unit)") != nil { place = "\(root)/\(folder)/\(unit)" }
        }
        if place == nil { place = try initScript(enabled: String(unit.dropLast(8))) }
        guard let place else { continue }
        // Masked: a link to /dev/null.
        if try files.status("\(root)/\(unit)")?.kind == .symbolicLink, try isEmpty("\(root)/\(unit)") { continue }
        found.append(Finding(.UNIT1, .bad, "\(unit) is enabled: at boot it starts before the cluster does", fix: ["systemctl disable \(unit)", "systemctl stop \(unit)    # unless the cluster has started it since"], at: place))
      }
    }
    for name in try files.entries(of: "/etc/logrotate.d") ?? [] {
      let path = "/etc/logrotate.d/\(name)"
      let daemon = daemons.map(\.0) + ["charon", "corosync", "pacemaker"]
      var restarted = ""
      let place = try line(in: path) { line in
        guard line.contains("restart"), let one = daemon.first(where: { line.contains($0) }), !daemons.contains(where: { $0.0 == one }) || isUsed(one) else { return false }
        restarted = one
        return true
      }
      guard let place else { continue }
      // Without the log that it is about the restart never comes.
      let hasLog = try files.status("/var/log/conntrackd-stats.log") != nil
      let number = place.drop { $0 != ":" }.dropFirst()
      found.append(Finding(.ROTA1, hasLog || name != "conntrackd" ? .risk : .note, "logrotate restarts \(restarted)", fix: ["sed -i '\(number)s/^/#/' \(path)"], at: place))
    }
    return found
  }

  /// The link that has an init script run at boot, where no native unit takes its place; Debian 12's xl2tpd is one.
  private func initScript(enabled name: String) throws(SystemError) -> String? {
    for folder in ["/etc/systemd/system", "/lib/systemd/system", "/usr/lib/systemd/system"] {
      if try files.status("\(folder)/\(name).service") != nil { return nil }
    }
    for level in 2...5 {
      let folder = "/etc/rc\(level).d"
      if let link = try (files.entries(of: folder) ?? []).first(where: { $0.hasPrefix("S") && $0.dropFirst().drop(while: \.isNumber) == name }) { return "\(folder)/\(link)" }
    }
    return nil
  }

  /// Daemons of resources that the cluster has not started here.
  private func strays() throws(SystemError) -> [Finding] {
    guard let running, let configuration else { return [] }
    var found: [Finding] = []
    for (agent, program) in [("strongswan", "/usr/sbin/charon-systemd"), ("libreswan", "/usr/libexec/ipsec/pluto"), ("xl2tpd", "/usr/sbin/xl2tpd"), ("conntrackd", "/usr/sbin/conntrackd")] {
      let resources = configuration.own(agent)
      guard !resources.isEmpty, resources.allSatisfy({ !running.contains($0.id) }) else { continue }
      guard let stray = try processes.running(resources[0].parameter("binary") ?? program).first else { continue }
      found.append(
        Finding(
          .UNIT2, .bad, "\(stray.executable) (pid \(stray.pid)) runs, and the cluster did not start it",
          fix: ["systemctl stop \(agent == "libreswan" ? "ipsec" : agent)", "kill \(stray.pid)    # where no unit has started it"], at: stray.executable, since: since(stray)))
    }
    return found
  }

  /// When it was started. Ticks of USER_HZ, which is 100 on every machine that Linux runs on today.
  private func since(_ process: Process) -> Timestamp {
    Timestamp(seconds: clock.timestamp.seconds - max(0, clock.now.nanoseconds / 1_000_000_000 - Int64(clamping: process.startTime / 100)))
  }

  /// Those of the gateway itself, in swanctl's folder.
  private func certificates() throws(SystemError) -> [Finding] {
    let folder = "/etc/swanctl/x509"
    guard isUsed("strongswan"), files.isExecutable("/usr/bin/openssl") else { return [] }
    var found: [Finding] = []
    for name in try files.entries(of: folder) ?? [] {
      let path = "\(folder)/\(name)"
      let command = Command("/usr/bin/openssl", ["x509", "-noout", "-enddate", "-checkend", "2592000", "-in", path])
      let result = try processes.run(command, before: clock.now + .seconds(5))
      // 1 and the date: it ends within thirty days, or has ended. Without a date it is no certificate.
      guard result.ending == .exited(1), let end = String(decoding: result.output, as: UTF8.self).split(separator: "\n").first(where: { $0.hasPrefix("notAfter=") }) else { continue }
      let isOver = try processes.run(Command("/usr/bin/openssl", ["x509", "-noout", "-checkend", "0", "-in", path]), before: clock.now + .seconds(5)).ending == .exited(1)
      found.append(Finding(.CERT1, isOver ? .bad : .risk, "\(path) \(isOver ? "ended" : "ends") on \(end.dropFirst(9))", fix: ["swanctl --load-creds    # after it was renewed"], at: path))
    }
    return found
  }

  /// A device is no regular file, and is not read.
  private func isEmpty(_ path: String) throws(SystemError) -> Bool {
    do throws(SystemError) { return try files.read(path, limit: 1 << 20)?.isEmpty ?? true } catch {
      guard error.errno == .invalidArgument else { throw error }
      return true
    }
  }

  /// `file:line` of the first line that is no comment and fits.
  private func line(in path: String, where fits: (Substring) -> Bool) throws(SystemError) -> String? {
    let lines = try text(path)?.split(separator: "\n", omittingEmptySubsequences: false) ?? []
    return lines.indices.first { !lines[$0].trimmed.hasPrefix("#") && !lines[$0].trimmed.hasPrefix("//") && fits(lines[$0]) }.map { "\(path):\($0 + 1)" }
  }

  private func hasLine(in paths: [String], where fits: (Substring) -> Bool) throws(SystemError) -> Bool {
    for path in paths {
      if try line(in: path, where: fits) != nil { return true }
    }
    return false
  }

  // MARK: The kernel

  private func kernel() throws(SystemError) -> [Finding] {
    guard isUsed("xl2tpd") else { return [] }
    var found: [Finding] = []
    func set(_ parameter: String, _ value: Int) -> [String] { ["sysctl -w \(parameter)=\(value)", "echo \(parameter)=\(value) >>/etc/sysctl.d/60-vpnha.conf"] }
    for off in try files.forwardingThatIsOff(on: interfaces) {
      let what = off.interface.map { "what arrives on \($0) reaches no client" } ?? "clients reach nothing"
      found.append(Finding(.FORWARD1, off.interface == nil ? .bad : .risk, "\(off.parameter) is 0: \(what)", fix: set(off.parameter, 1), at: off.parameter))
    }
    // The greater of the two counts (`IN_DEV_RPFILTER`).
    for name in try files.kernelParameter("net.ipv4.conf.all.rp_filter") == "2" ? [] : ["all"] + interfaces {
      let parameter = "net.ipv4.conf.\(name.split(separator: ".").joined(separator: "/")).rp_filter"
      guard try files.kernelParameter(parameter) == "1" else { continue }
      found.append(Finding(.RPF1, .note, "\(parameter) is 1 (strict)", fix: set(parameter, 2), at: parameter))
    }
    if try files.status("/dev/ppp") == nil {
      found.append(
        Finding(.PPP1, .bad, "/dev/ppp is missing: the kernel has no PPP", fix: ["modprobe ppp_generic", "echo ppp_generic >>/etc/modules-load.d/vpnha.conf"], at: "/dev/ppp"))
    }
    if try files.entries(of: "/sys/module/l2tp_ppp") == nil, try files.status("/proc/net/pppol2tp") == nil {
      found.append(
        Finding(.L2TP1, .note, "the kernel's L2TP is not loaded: sessions pass through the daemon", fix: ["modprobe l2tp_ppp", "echo l2tp_ppp >>/etc/modules-load.d/vpnha.conf"], at: "/sys/module/l2tp_ppp"))
    }
    return found
  }

  // MARK: xl2tpd

  private func xl2tpd() throws(SystemError) -> [Finding] {
    guard configuration != nil, isUsed("xl2tpd") else { return [] }
    let path = parameter("config", of: "xl2tpd") ?? "/etc/xl2tpd/xl2tpd.conf"
    let name = configuration?.own("xl2tpd").first?.id ?? "xl2tpd"
    let again = "vpnha run --resource \(name) validate-all"
    guard let bytes = try files.read(path, limit: 1 << 20) else {
      return [Finding(.XL1, .bad, "\(path) is missing", fix: ["cp /usr/share/doc/vpnha/examples/xl2tpd/xl2tpd.conf \(path)"], at: path)]
    }
    do throws(XL2TPDConfiguration.SyntaxError) {
      let file = try XL2TPDConfiguration(bytes)
      let more = settings(of: file, path)
      guard more.isEmpty else { return more }
      let wanted = parameter("address", of: "xl2tpd").map { [$0] } ?? addresses
      guard let first = wanted.first else { return [] }
      guard let setting = file.listenAddress else {
        return [Finding(.XL2, .bad, "\(path) has no listen-addr: the answers come from another address than \(first)", fix: ["sed -i '/^\\[global\\]/a listen-addr = \(first)' \(path)"], at: path)]
      }
      // A name may mean it.
      guard IPAddress(setting.value) != nil, !wanted.contains(setting.value) else { return [] }
      return [
        Finding(.XL2, .bad, "listen-addr is \(setting.value), the address of the VPN is \(first)", fix: ["sed -i '\(setting.line)s/.*/listen-addr = \(first)/' \(path)"], at: "\(path):\(setting.line)")
      ]
    } catch {
      return [Finding(.XL1, .bad, "\(path) cannot be read: \(error.what)", fix: ["editor +\(error.line) \(path)", again], at: "\(path):\(error.line)")]
    }
  }

  private func settings(of file: XL2TPDConfiguration, _ path: String) -> [Finding] {
    var found: [Finding] = []
    if !file.hasServer {
      found.append(Finding(.XL3, .bad, "\(path) has no [lns default]: nobody gets in", fix: ["cp /usr/share/doc/vpnha/examples/xl2tpd/xl2tpd.conf \(path)"], at: path))
    }
    if let saref = file.global("ipsec saref") {
      found.append(Finding(.XL4, .risk, "ipsec saref is set: every packet passes through the daemon", fix: ["sed -i '\(saref.line)d' \(path)"], at: "\(path):\(saref.line)"))
    }
    if let port = file.port, let firewall = configuration?.own("firewall").first, port != UInt16(firewall.parameter("port") ?? "1701") {
      found.append(
        Finding(
          .PORT2, .bad, "xl2tpd serves port \(port), \(firewall.id) guards port \(firewall.parameter("port") ?? "1701"): L2TP in clear text is let in",
          fix: ["pcs resource update \(firewall.id) port=\(port)"], at: file.global("port").map { "\(path):\($0.line)" } ?? path))
    }
    return found
  }

  /// pppd's options, and who may log in.
  private func users() throws(SystemError) -> [Finding] {
    guard isUsed("xl2tpd"), let bytes = try files.read(parameter("config", of: "xl2tpd") ?? "/etc/xl2tpd/xl2tpd.conf", limit: 1 << 20) else { return [] }
    let file: XL2TPDConfiguration
    do throws(XL2TPDConfiguration.SyntaxError) { file = try XL2TPDConfiguration(bytes) } catch { return [] }
    let options = file.pppOptionFiles
    var found: [Finding] = []
    var asksPeers = false
    var byCHAP = false
    var hasPlugin = false
    var hasNoCompression = false
    var hasMTU = false
    var servers = file.serverNames
    let read = try pppOptionFiles(options) { (path) throws(SystemError) in try files.read(path, limit: 1 << 20) }
    for (path, bytes) in read {
      guard let bytes else {
        // What an included file lacks pppd says itself.
        guard options.contains(path) else { continue }
        found.append(Finding(.PPP2, .bad, "\(path) is missing", fix: ["cp /usr/share/doc/vpnha/examples/ppp/options.xl2tpd \(path)"], at: path))
        continue
      }
      for (number, line) in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
        let words = pppWords(line)
        guard let word = words.first else { continue }
        if ["crtscts", "nocrtscts", "cdtrcts", "nocdtrcts", "xonxoff", "modem", "local", "lock", "nolock"].contains(word) {
          found.append(Finding(.PPP3, .bad, "\(path) has \(word), an option of serial lines", fix: ["sed -i '\(number + 1)d' \(path)"], at: "\(path):\(number + 1)"))
        }
        if word == "noauth" {
          found.append(Finding(.PPP4, .bad, "\(path) has noauth: nobody is asked for a password", fix: ["sed -i '\(number + 1)s/noauth/auth/' \(path)"], at: "\(path):\(number + 1)"))
        }
        if word == "mtu" {
          hasMTU = true
          if let size = words.dropFirst().first.flatMap({ Int($0) }), size > Self.largestMTU {
            found.append(Finding(.MTU1, .note, "\(path) has mtu \(size): packets of that size do not fit into IPsec", fix: ["sed -i '\(number + 1)s/.*/mtu 1400/' \(path)"], at: "\(path):\(number + 1)"))
          }
        }
        servers.formUnion(zip(words, words.dropFirst()).compactMap { $0 == "name" ? $1 : nil })
        for word in words {
          if word == "auth" || word.hasPrefix("require-") { asksPeers = true }
          if word == "refuse-pap" || (word.hasPrefix("require-") && word != "require-pap") { byCHAP = true }
          if word == "noccp" { hasNoCompression = true }
          if word == "plugin" { hasPlugin = true }
        }
      }
    }
    if found.isEmpty {
      for path in options { found += try refusedByPPPD(path) }
    }
    if hasLedger, !hasNoCompression, let path = options.first, try files.status(path) != nil {
      found.append(Finding(.PPP5, .risk, "\(path) has no noccp: a session with compression cannot be carried on", fix: ["sed -i '1i noccp' \(path)"], at: path))
    }
    if !hasMTU, found.isEmpty, let path = options.first, try files.status(path) != nil {
      found.append(Finding(.MTU1, .note, "\(path) has no mtu: pppd takes 1500, which does not fit into IPsec", fix: ["sed -i '1i mtu 1400' \(path)"], at: path))
    }
    if asksPeers, !hasPlugin {
      found += try strangers(servers)
      if try !hasLine(in: ["/etc/ppp/chap-secrets"] + (byCHAP ? [] : ["/etc/ppp/pap-secrets"]), where: { !$0.trimmed.isEmpty }) { found.append(Finding(.USER1, .bad, "no user is in /etc/ppp/chap-secrets", fix: ["editor /etc/ppp/chap-secrets"], at: "/etc/ppp/chap-secrets")) }
    }
    return found
  }

  /// What is left of 1500 bytes of Ethernet with IPsec, NAT traversal, L2TP and PPP around a packet.
  private static let largestMTU = 1410

  /// Where every user is one of another server: pppd takes those of its own name, and of `*`, only (`auth.c`, `scan_authfile`).
  private func strangers(_ servers: Set<String>) throws(SystemError) -> [Finding] {
    let path = "/etc/ppp/chap-secrets"
    let users = PPPUser.all(in: try files.read(path, limit: 1 << 20) ?? [])
    guard let name = servers.sorted().first, let first = users.first, !users.contains(where: { $0.server == "*" || servers.contains($0.server) }) else { return [] }
    let old = #"^([^#[:space:]]+[[:space:]]+)"?\#(first.server)"?([[:space:]])"#
    return [
      Finding(
        .USER2, .bad, "nobody in \(path) is a user of \(name), the name in xl2tpd.conf",
        fix: [#"sed -Ei 's/\#(old)/\1\#(name)\2/' \#(path)"#], at: "\(path):\(first.line)")
    ]
  }

  /// What pppd itself says against a file, which it reads without going further (EXIT_OPTION_ERROR).
  private func refusedByPPPD(_ path: String) throws(SystemError) -> [Finding] {
    let pppd = "/usr/sbin/pppd"
    guard files.isExecutable(pppd) else { return [] }
    let result = try processes.run(Command(pppd, ["dryrun", "notty", "nodetach", "file", path]), before: clock.now + .seconds(5))
    guard result.ending == .exited(2), let said = String(decoding: result.error, as: UTF8.self).split(whereSeparator: \.isNewline).first else { return [] }
    let words = said.hasPrefix("\(pppd): ") ? said.dropFirst(pppd.count + 2) : said
    // In file FILE: unrecognized option 'WORD'
    let file = words.hasPrefix("In file ") ? String(words.dropFirst(8).prefix { $0 != ":" }) : path
    let option = words.split(separator: "'").dropFirst().first
    let place = try line(in: file) { line in option.map { line.split(whereSeparator: \.isWhitespace).contains($0) } ?? false }
    let number = place.map { "+" + $0.drop { $0 != ":" }.dropFirst() + " " } ?? ""
    return [Finding(.PPP6, .bad, "pppd refuses the options: \(words)", fix: ["editor \(number)\(file)", "/usr/sbin/pppd dryrun notty nodetach file \(path)"], at: place ?? file)]
  }

  /// What the next boot brings.
  private func boot() throws(SystemError) -> [Finding] {
    var found: [Finding] = []
    if isUsed("xl2tpd"), try files.kernelParameter("net.ipv4.ip_forward") == "1" {
      let folders = ["/etc/sysctl.d", "/usr/lib/sysctl.d", "/run/sysctl.d"]
      var places = ["/etc/sysctl.conf"]
      for folder in folders { places += try (files.entries(of: folder) ?? []).filter { $0.hasSuffix(".conf") }.map { "\(folder)/\($0)" } }
      if try !hasLine(in: places, where: { $0.contains("ip_forward") && !$0.trimmed.hasPrefix(";") && $0.trimmed.hasSuffix("1") }) {
        found.append(
          Finding(.FORWARD2, .note, "no file sets net.ipv4.ip_forward at boot", fix: ["cp /usr/share/doc/vpnha/examples/sysctl.d/vpnha.conf /etc/sysctl.d/vpnha.conf"], at: "/etc/sysctl.d"))
      }
    }
    guard try files.entries(of: "/run/systemd/system") != nil else { return found }
    let root = "/etc/systemd/system"
    var enabled: Set<String> = []
    for folder in try files.entries(of: root) ?? [] where folder.hasSuffix(".wants") || folder.hasSuffix(".requires") { enabled.formUnion(try files.entries(of: "\(root)/\(folder)") ?? []) }
    if configuration != nil, !enabled.contains("pacemaker.service") {
      found.append(Finding(.UNIT3, .note, "pacemaker.service is not enabled: after a boot this node waits for you", fix: ["systemctl enable corosync pacemaker"], at: root))
    }
    if enabled.isDisjoint(with: ["chrony.service", "systemd-timesyncd.service", "ntpsec.service", "ntp.service", "openntpd.service", "chronyd.service"]) {
      found.append(Finding(.CLOCK1, .risk, "nothing sets this node's clock", fix: ["apt-get install chrony"], at: root))
    } else if files.isExecutable("/usr/bin/timedatectl") {
      let said = try processes.run(Command("/usr/bin/timedatectl", ["show", "--property=NTPSynchronized", "--value"]), before: clock.now + .seconds(5))
      if said.succeeded, String(decoding: said.output, as: UTF8.self).trimmed == "no" {
        found.append(Finding(.CLOCK2, .risk, "this node's clock is not in step with its time servers", fix: ["chronyc makestep", "timedatectl timesync-status"], at: "/usr/bin/timedatectl"))
      }
    }
    return found
  }

  /// Input chains of others that drop what they do not know.
  private func otherTables() throws(SystemError) -> [Finding] {
    guard isUsed("xl2tpd") else { return [] }
    var found: [Finding] = []
    // Rules of their own, which no nftables program shows.
    for (program, file) in [("iptables-legacy", "/proc/net/ip_tables_names"), ("ip6tables-legacy", "/proc/net/ip6_tables_names")] {
      guard let tables = try text(file)?.split(whereSeparator: \.isWhitespace), !tables.isEmpty else { continue }
      found.append(Finding(.FILTER2, .note, "\(program) has rules as well (\(tables.joined(separator: " ")))", fix: tables.map { "\(program) -t \($0) -S" }, at: file))
    }
    guard files.isExecutable("/usr/sbin/nft") else { return found }
    let ours = parameter("table", of: "firewall") ?? "vpnha"
    let result = try processes.run(Command("/usr/sbin/nft", ["list", "chains"], outputLimit: 1 << 20), before: clock.now + .seconds(5))
    guard result.succeeded else { return found }
    var table = ""
    for line in String(decoding: result.output, as: UTF8.self).split(separator: "\n").map(\.trimmed) {
      if line.hasPrefix("table "), line.hasSuffix("{") { table = line.dropFirst(6).dropLast().trimmed }
      guard line.contains("hook input") || line.contains("hook forward"), line.contains("policy drop"), !table.hasSuffix(" \(ours)"), found.last?.place != table else { continue }
      found.append(Finding(.FILTER1, .note, "table \(table) drops what it does not know", fix: ["nft list table \(table)"], at: table))
    }
    return found
  }

  // MARK: strongSwan

  private func swanctl() throws(SystemError) -> [Finding] {
    guard configuration != nil, isUsed("strongswan") else { return [] }
    let path = parameter("config", of: "strongswan") ?? "/etc/swanctl/swanctl.conf"
    let load = "swanctl --load-all --noprompt"
    guard try files.read(path, limit: 8 << 20) != nil else {
      return [Finding(.SWAN1, .bad, "\(path) is missing", fix: ["install -m 600 /usr/share/doc/vpnha/examples/strongswan/swanctl.conf \(path)", load], at: path)]
    }
    let file: SettingsFile
    do throws(SettingsError) { file = try SettingsFile(reading: path, from: files) } catch {
      return [Finding(.SWAN1, .bad, "\(error)", fix: ["editor +\(error.place.line) \(error.place.file)", load], at: error.place.description)]
    }
    var found = try missingCertificates(file) + withoutL2TP(file)
    let connections = file.root.section("connections")
    let named = (parameter("connections", of: "strongswan") ?? "").split(whereSeparator: { " ,".contains($0) }).map(String.init)
    let wanted = parameter("address", of: "strongswan").map { [$0] } ?? addresses
    for name in named {
      guard let connection = connections?.section(name) else {
        // The name may be the slip, or the file.
        let known = (connections?.sections ?? []).map(\.name).filter { $0 != "ha" && !named.contains($0) }
        let meant = (nearest(to: name, among: known) ?? (known.count == 1 ? known.first : nil)).map { right in named.map { $0 == name ? right : $0 }.joined(separator: " ") }
        let value = meant.map { $0.contains(" ") ? "\"\($0)\"" : $0 } ?? "…"
        let update = configuration?.own("strongswan").first.map { ["pcs resource update \($0.id) connections=\(value)    # where \(name) is the slip"] } ?? []
        found.append(Finding(.SWAN2, .bad, "connection \(name) is not in \(path)", fix: ["editor \(path)", load] + update, at: path))
        continue
      }
      let place = connection.place.description
      // What it takes over from elsewhere cannot be judged here.
      guard connection.references.isEmpty else { continue }
      if let local = connection.value("local_addrs"), let first = wanted.first {
        let addresses = local.split(whereSeparator: { " ,".contains($0) }).map(String.init)
        // %any, names and networks may mean it.
        if !addresses.isEmpty, addresses.allSatisfy({ IPAddress($0) != nil }), !wanted.contains(where: addresses.contains) {
          found.append(Finding(.LOCAL1, .bad, "connection \(name) has local_addrs = \(local), and the address of the VPN is \(first)", fix: ["editor +\(connection.place.line) \(connection.place.file)", load], at: place))
        }
      }
      let locals = connection.sections.filter { $0.name.hasPrefix("local") }
      guard locals.contains(where: { $0.value("auth") == "psk" }) else { continue }
      let ids = Set(locals.compactMap { $0.value("id") } + wanted)
      let secrets = (file.root.section("secrets")?.sections ?? []).filter { $0.name.hasPrefix("ike") && !($0.value("secret") ?? "").isEmpty }
      let fits = secrets.contains { secret in
        let owners = secret.settings.filter { $0.key.hasPrefix("id") }.compactMap(\.value)
        // One without an owner is anybody's.
        return owners.isEmpty || !secret.references.isEmpty || owners.contains { ids.contains($0) || $0.contains("%any") }
      }
      if !fits {
        found.append(
          Finding(
            .PSK1, .bad, "connection \(name) has no pre-shared key\(wanted.first.map { " for \($0)" } ?? "")",
            fix: ["editor \(path)    # secrets { ike-\(name) { id = \(wanted.first ?? "ADDRESS")  secret = … } }", "swanctl --load-creds"], at: place))
      }
    }
    return found
  }

  /// Files that a connection names and swanctl would not find (`load_conns.c`, `add_file_list_key`).
  private func missingCertificates(_ file: SettingsFile) throws(SystemError) -> [Finding] {
    var found: [Finding] = []
    for one in file.certificates where try files.status(one.path) == nil {
      found.append(
        Finding(.CERT2, .bad, "connection \(one.connection) needs \(one.path), which is missing", fix: ["editor +\(one.place.line) \(one.place.file)", "swanctl --load-all --noprompt"], at: one.place.description))
    }
    return found
  }

  /// Where no child is one for L2TP, which charon finds out with the first client.
  private func withoutL2TP(_ file: SettingsFile) -> [Finding] {
    let ports: Set<UInt16> = [parameter("port", of: "firewall").flatMap { UInt16($0) } ?? 1701]
    let connections = file.connections
    guard isUsed("xl2tpd"), !connections.contains(where: { $0.children.contains { $0.isTransport && $0.carries(udp: ports) } }) else { return [] }
    for connection in connections {
      guard let child = connection.children.first, let section = file.resolved("connections.\(connection.name).children.\(child.name)") else { continue }
      let key = child.isTransport ? "local_ts" : "mode"
      let wanted = child.isTransport ? "dynamic[udp/\(ports.first ?? 1701)]" : "transport"
      let what = child.isTransport ? "does not let udp/\(ports.first ?? 1701) through" : "is for tunnel mode, and L2TP asks for transport"
      let place = section.settings.last { $0.key == key }?.place
      let fix = place.map { "sed -i '\($0.line)s|\(key) *=[^}]*|\(key) = \(wanted)|' \($0.file)" } ?? "sed -i '\(section.place.line)s|{|{\\n\(key) = \(wanted)\\n|' \(section.place.file)"
      return [
        Finding(.SWAN3, .bad, "child \(child.name) of connection \(connection.name) \(what)", fix: [fix, "swanctl --load-all --noprompt"], at: (place ?? section.place).description)
      ]
    }
    return []
  }

  /// The ha plugin in strongswan.conf.
  private func plugin() throws(SystemError) -> [Finding] {
    guard isUsed("strongswan") else { return [] }
    let path = "/etc/strongswan.conf"
    guard try files.read(path, limit: 1 << 20) != nil else { return [] }
    let file: SettingsFile
    do throws(SettingsError) { file = try SettingsFile(reading: path, from: files) } catch {
      return [Finding(.SWAN1, .bad, "\(error)", fix: ["editor +\(error.place.line) \(error.place.file)"], at: error.place.description)]
    }
    let threshold = (file.root.value(at: "charon-systemd.block_threshold") ?? file.root.value(at: "charon.block_threshold")).map { Int($0) ?? 0 } ?? 5
    var found: [Finding] = []
    if (1...5).contains(threshold) {
      found.append(
        Finding(
          .FLOOD1, .note, "charon refuses the sixth client that dials in from one address",
          fix: ["cp /usr/share/doc/vpnha/examples/strongswan/vpnha.conf /etc/strongswan.d/vpnha.conf"], at: path))
    }
    guard let plugin = file.root.section(at: "charon-systemd.plugins.ha") ?? file.root.section(at: "charon.plugins.ha"), plugin.value("local") != nil, !isFalse(plugin.value("load")) else {
      if hasLedger {
        found.append(
          Finding(
            .HA3, .risk, "charon has no ha plugin here: clients of a lost gateway cannot be told",
            fix: ["cp /usr/share/doc/vpnha/examples/strongswan/vpnha.conf /etc/strongswan.d/vpnha.conf", "editor /etc/strongswan.d/vpnha.conf"], at: path))
      }
      return found
    }
    let place = plugin.place.description
    let edit = "editor +\(plugin.place.line) \(plugin.place.file)"
    if (plugin.value("secret") ?? "").isEmpty {
      found.append(Finding(.HA1, .risk, "the ha plugin has no secret: keys cross the network in clear text", fix: [edit], at: place))
    }
    if isFalse(plugin.value("fifo_interface")) {
      found.append(Finding(.HA4, .bad, "the ha plugin has fifo_interface = no: nobody can tell it who serves", fix: [edit], at: place))
    }
    if let local = plugin.value("local"), local == plugin.value("remote") {
      found.append(Finding(.HA5, .bad, "the ha plugin has \(local) for both ends: this node speaks to itself", fix: [edit], at: place))
    }
    if !isFalse(plugin.value("monitor")) {
      found.append(Finding(.HA2, .bad, "the ha plugin has monitor = yes: it takes over by itself, beside the cluster", fix: [edit], at: place))
    }
    return found
  }

  // MARK: conntrackd

  private func conntrackd() throws(SystemError) -> [Finding] {
    guard configuration != nil, isUsed("conntrackd") else { return [] }
    let path = parameter("config", of: "conntrackd") ?? "/etc/conntrackd/conntrackd.conf"
    let example = "cp /usr/share/doc/vpnha/examples/conntrackd/conntrackd.conf \(path)"
    guard let bytes = try files.read(path, limit: 1 << 20) else {
      return [Finding(.TRACK1, .bad, "\(path) is missing", fix: [example], at: path)]
    }
    let file: SyncConfiguration
    do throws(SyncConfiguration.SyntaxError) { file = try SyncConfiguration(bytes) } catch {
      return [Finding(.TRACK1, .bad, "\(path) cannot be read: \(error.what)", fix: ["editor +\(error.line) \(path)"], at: "\(path):\(error.line)")]
    }
    var found: [Finding] = []
    if file.purpose != .sync { found.append(Finding(.TRACK2, .bad, "\(path) has no Sync block: nothing is sent to the peer", fix: [example], at: path)) }
    if file.purpose == .sync, let mode = file.mode, mode != "FTFW" {
      found.append(Finding(.TRACK3, .risk, "\(path) has Mode \(mode): lost messages are not sent again", fix: ["sed -i 's/Mode *\(mode)/Mode FTFW/I' \(path)"], at: path))
    }
    let folder = file.lockPath.split(separator: "/").dropLast().map { "/\($0)" }.joined()
    // Followed where it is a link.
    if let status = try files.status("\(folder)/."), status.mode & 0o002 != 0 {
      found.append(Finding(.LOCK1, .note, "LockFile is in \(folder), where everybody may write", fix: ["sed -i 's|LockFile.*|LockFile /run/conntrackd.lock|' \(path)"], at: path))
    }
    return found
  }

  // MARK: The ledger of sessions

  private func ledger() -> [Finding] {
    guard hasLedger else { return [] }
    let path = parameter("key_file", of: "sessions") ?? KeyCommand.standardPath
    do throws(LedgerError) { _ = try LedgerKey(ofFile: path, files) } catch {
      return [Finding(.KEY1, .risk, "\(path): \(error.detail)", fix: ["vpnha key \(path)", "scp -p \(path) root@NODE:\(path)", "pcs resource cleanup sessions"], at: path)]
    }
    return []
  }

  // MARK: Files with secrets, upgrades

  private func permissions() throws(SystemError) -> [Finding] {
    var found: [Finding] = []
    for (agent, path) in [("strongswan", parameter("config", of: "strongswan") ?? "/etc/swanctl/swanctl.conf"), ("xl2tpd", "/etc/ppp/chap-secrets"), ("xl2tpd", "/etc/ppp/pap-secrets")] where isUsed(agent) {
      guard let status = try files.status(path), status.kind == .regular, status.mode & 0o004 != 0 else { continue }
      // A file that only includes others may be read by everybody.
      guard
        try line(
          in: path,
          where: { line in
            let words = line.trimmed
            return path.hasPrefix("/etc/ppp/") ? !words.isEmpty : words.contains("secret") && words.contains("=")
          }) != nil
      else { continue }
      found.append(Finding(.MODE1, .risk, "everybody may read \(path)", fix: ["chmod o= \(path)"], at: path))
    }
    for folder in isUsed("strongswan") ? ["private", "rsa", "ecdsa", "pkcs8", "pkcs12"] : [] {
      for name in try files.entries(of: "/etc/swanctl/\(folder)") ?? [] {
        let path = "/etc/swanctl/\(folder)/\(name)"
        guard let status = try files.status(path), status.kind == .regular, status.mode & 0o004 != 0 else { continue }
        found.append(Finding(.MODE1, .risk, "everybody may read \(path)", fix: ["chmod o= \(path)"], at: path))
      }
    }
    return found
  }

  private func upgrades() throws(SystemError) -> [Finding] {
    var found: [Finding] = []
    if try files.status("/usr/sbin/needrestart") != nil, try files.status("/etc/needrestart/conf.d/vpnha.conf") == nil {
      found.append(Finding(.RESTART1, .risk, "needrestart would restart the daemons after an upgrade", fix: ["apt-get install --reinstall -o Dpkg::Options::=--force-confmiss vpnha"], at: "/etc/needrestart/conf.d"))
    }
    for name in try files.entries(of: "/etc/apt/apt.conf.d") ?? [] {
      let path = "/etc/apt/apt.conf.d/\(name)"
      guard let place = try line(in: path, where: { $0.contains("Unattended-Upgrade::Automatic-Reboot ") && $0.contains("\"true\"") }), try files.status("/usr/bin/unattended-upgrade") != nil else { continue }
      found.append(
        Finding(.UPGRADE2, .risk, "unattended upgrades reboot this node whenever they like", fix: ["sed -i '/Automatic-Reboot /s/\"true\"/\"false\"/' \(path)"], at: place))
    }
    let isUnattended = try line(in: "/etc/apt/apt.conf.d/20auto-upgrades", where: { $0.contains("Unattended-Upgrade") && $0.contains("\"1\"") })
    if let isUnattended, try files.status("/usr/bin/unattended-upgrade") != nil {
      let path = "/etc/apt/apt.conf.d/52vpnha"
      if try line(in: path, where: { $0.contains("Package-Blacklist") }) == nil, try line(in: "/etc/apt/apt.conf.d/50unattended-upgrades", where: { $0.contains("strongswan") || $0.contains("charon") }) == nil {
        found.append(
          Finding(
            .UPGRADE1, .note, "unattended upgrades restart daemons whenever they like",
            fix: ["echo 'Unattended-Upgrade::Package-Blacklist { \"strongswan\"; \"charon\"; \"xl2tpd\"; \"conntrackd\"; \"pacemaker\"; \"corosync\"; };' >\(path)"], at: isUnattended))
      }
    }
    return found
  }
}
