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
    try units() + strays() + certificates() + kernel() + xl2tpd() + swanctl() + conntrackd() + plugin() + ledger() + permissions() + upgrades() + users() + boot() + addressesAtBoot() + otherTables()
  }

  private func text(_ path: String) throws(SystemError) -> String? {
    // An editor of another system ends lines in two characters, which pppd, xl2tpd and the others take for white space.
    try files.read(path, limit: 1 << 20).map { String(decoding: $0, as: UTF8.self).replacing("\r\n", with: "\n") }
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

  /// Those of the gateway itself and of whoever signed its own or its clients', in swanctl's folders.
  private func certificates() throws(SystemError) -> [Finding] {
    guard isUsed("strongswan"), files.isExecutable("/usr/bin/openssl") else { return [] }
    var found: [Finding] = []
    var paths: [String] = []
    for folder in ["/etc/swanctl/x509", "/etc/swanctl/x509ca"] { paths += try (files.entries(of: folder) ?? []).map { "\(folder)/\($0)" } }
    for path in paths {
      let command = Command("/usr/bin/openssl", ["x509", "-noout", "-enddate", "-checkend", "2592000", "-in", path])
      let result = try processes.run(command, before: clock.now + .seconds(5))
      // 1 and the date: it ends within thirty days, or has ended. Without a date it is no certificate.
      guard result.ending == .exited(1), let end = String(decoding: result.output, as: UTF8.self).split(separator: "\n").first(where: { $0.hasPrefix("notAfter=") }) else { continue }
      let isOver = try processes.run(Command("/usr/bin/openssl", ["x509", "-noout", "-checkend", "0", "-in", path]), before: clock.now + .seconds(5)).ending == .exited(1)
      found.append(Finding(.CERT1, isOver ? .bad : .risk, "\(path) \(isOver ? "ended" : "ends") on \(end.dropFirst(9))", fix: ["swanctl --load-creds\(source)    # after it was renewed"], at: path))
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
    for name in ["all"] + interfaces {
      for (key, what) in [("disable_xfrm", "what is for clients leaves without IPsec"), ("disable_policy", "what did not come out of IPsec is let in")] {
        let parameter = "net.ipv4.conf.\(name.split(separator: ".").joined(separator: "/")).\(key)"
        guard try files.kernelParameter(parameter) == "1" else { continue }
        found.append(Finding(.XFRM1, .bad, "\(parameter) is 1: \(what)", fix: ["sysctl -w \(parameter)=0"], at: parameter))
      }
    }
    if let count = try files.kernelParameter("net.netfilter.nf_conntrack_count").flatMap({ Int($0) }), let most = try files.kernelParameter("net.netfilter.nf_conntrack_max").flatMap({ Int($0) }), most > 0, count >= most - most / 10 {
      found.append(Finding(.TRACK4, .bad, "the kernel's table of connections has \(count) of \(most): new ones are dropped", fix: set("net.netfilter.nf_conntrack_max", 2 * most), at: "net.netfilter.nf_conntrack_max"))
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
      return [Finding(.XL1, .bad, "\(path) is missing", fix: [try usual("xl2tpd", "/etc/xl2tpd/xl2tpd.conf") ?? "cp /usr/share/doc/vpnha/examples/xl2tpd/xl2tpd.conf \(path)"], at: path)]
    }
    do throws(XL2TPDConfiguration.SyntaxError) {
      let file = try XL2TPDConfiguration(bytes)
      let more = settings(of: file, path) + rest(of: file, path)
      guard more.allSatisfy({ $0.severity != .bad }) else { return more }
      let wanted = parameter("address", of: "xl2tpd").map { [$0] } ?? addresses
      guard let first = wanted.first else { return more }
      guard let setting = file.listenAddress else {
        return more + [Finding(.XL2, .bad, "\(path) has no listen-addr: the answers come from another address than \(first)", fix: ["sed -i '/^\\[global\\]/a listen-addr = \(first)' \(path)"], at: path)]
      }
      // A name may mean it.
      guard IPAddress(setting.value) != nil, !wanted.contains(setting.value) else { return more }
      return more + [
        Finding(.XL2, .bad, "listen-addr is \(setting.value), the address of the VPN is \(first)", fix: ["sed -i '\(setting.line)s/.*/listen-addr = \(first)/' \(path)"], at: "\(path):\(setting.line)")
      ]
    } catch {
      return [Finding(.XL1, .bad, "\(path) cannot be read: \(error.what)", fix: ["editor +\(error.line) \(path)", again], at: "\(path):\(error.line)")]
    }
  }

  /// Where the cluster names a file that is not there, and the usual one is: the name is the slip.
  private func usual(_ agent: String, _ path: String) throws(SystemError) -> String? {
    guard let resource = configuration?.own(agent).first, let named = resource.parameter("config"), named != path, try files.status(path) != nil else { return nil }
    return "pcs resource update \(resource.id) config="
  }

  private func settings(of file: XL2TPDConfiguration, _ path: String) -> [Finding] {
    var found: [Finding] = []
    if let refused = file.refused({ _ in false }) {
      found.append(Finding(.XL1, .risk, "xl2tpd 1.3.18 does not start with \(path): \(refused)", fix: ["editor +\(refused.line) \(path)"], at: "\(path):\(refused.line)"))
    }
    let servers = file.sections.filter { $0.kind == .lns }
    if file.hasAccessControl, let setting = file.global("access control"), servers.allSatisfy({ $0["lac"] == nil }) {
      found.append(Finding(.XL5, .bad, "access control is set, and no lac is named: every client is turned away", fix: ["sed -i '\(setting.line)d' \(path)"], at: "\(path):\(setting.line)"))
    }
    for server in servers {
      if let setting = server["challenge"], XL2TPDConfiguration.isYes(setting.value) {
        found.append(Finding(.XL5, .bad, "challenge asks clients for a secret of the tunnel, which they do not have", fix: ["sed -i '\(setting.line)d' \(path)"], at: "\(path):\(setting.line)"))
      }
      let assigns = server["assign ip"].map { XL2TPDConfiguration.isYes($0.value) } ?? true
      if assigns, server["ip range"] == nil {
        found.append(Finding(.XL5, .bad, "[lns \(server.name)] has no ip range: no client is given an address", fix: ["editor \(path)    # ip range = …, and none of the other node's"], at: path))
      }
    }
    return found + pools(of: servers, path)
  }

  /// Addresses of clients that the packet filter does not take for clients', or that are the gateway's own.
  private func pools(of servers: [XL2TPDConfiguration.Section], _ path: String) -> [Finding] {
    let firewall = configuration?.own("firewall").first
    let pool = (firewall?.parameter("pool") ?? "").split(separator: " ").map(String.init)
    let networks = pool.compactMap { network -> ClosedRange<UInt32>? in
      let parts = network.split(separator: "/")
      guard let base = AddressPool.number(String(parts[0])), let length = parts.count > 1 ? Int(parts[1]) : 32, (0...32).contains(length) else { return nil }
      let hosts = length == 0 ? UInt32.max : UInt32.max >> UInt32(length) & (length == 32 ? 0 : .max)
      return base & ~hosts...base | hosts
    }
    var found: [Finding] = []
    for server in servers {
      for setting in server.settings where setting.word == "ip range" {
        guard let range = AddressPool.range(setting.value) else { continue }
        let place = "\(path):\(setting.line)"
        if let firewall, !networks.isEmpty, networks.count == pool.count, !networks.contains(where: { $0.contains(range.lowerBound) && $0.contains(range.upperBound) }) {
          let length = (range.lowerBound ^ range.upperBound).leadingZeroBitCount
          let base = length == 0 ? 0 : range.lowerBound & ~(UInt32.max >> UInt32(length) & (length == 32 ? 0 : .max))
          let missing = "\(base >> 24).\(base >> 16 & 255).\(base >> 8 & 255).\(base & 255)/\(length)"
          found.append(
            Finding(.XL6, .bad, "ip range \(setting.value) is outside of pool=\(pool.joined(separator: " ")) of \(firewall.id): those clients reach nothing", fix: ["pcs resource update \(firewall.id) pool=\"\((pool + [missing]).joined(separator: " "))\"    # or ip range in \(path)"], at: place))
        }
        if let own = server["local ip"], let number = AddressPool.number(own.value), range.contains(number) {
          found.append(Finding(.XL6, .risk, "local ip \(own.value) is in ip range \(setting.value): a client may be given the gateway's address", fix: ["editor +\(own.line) \(path)"], at: "\(path):\(own.line)"))
        }
      }
    }
    return found
  }

  private func rest(of file: XL2TPDConfiguration, _ path: String) -> [Finding] {
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
        if word.hasPrefix("require-mppe") {
          found.append(Finding(.PPP7, .bad, "\(path) has \(word): inside IPsec clients do not encrypt a second time, and are turned away", fix: ["sed -i '\(number + 1)d' \(path)"], at: "\(path):\(number + 1)"))
        }
        if word == "auth" || (word.hasPrefix("require-") && !word.hasPrefix("require-mppe")) { asksPeers = true }
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
    let bytes = try files.read(path, limit: 1 << 20) ?? []
    let users = PPPUser.all(in: bytes)
    var found: [Finding] = []
    let homeless = PPPUser.withoutAddress(in: bytes)
    if let first = homeless.first {
      let who = homeless.count == 1 ? first.name : "\(homeless.count) users"
      found.append(
        Finding(
          .USER3, users.isEmpty ? .bad : .risk, "\(who) in \(path) may have no address, and gets no session: a fourth column is missing", fix: homeless.prefix(8).map { #"sed -i '\#($0.line)s/[[:space:]]*$/ */' \#(path)"# }, at: "\(path):\(first.line)"))
    }
    var owners: [String: PPPUser] = [:]
    for user in users {
      guard user.addresses.count == 1, let address = user.addresses.first, IPAddress(address) != nil else { continue }
      if let other = owners[address], other.name != user.name {
        found.append(Finding(.USER4, .risk, "\(other.name) and \(user.name) have the same address \(address) in \(path)", fix: ["editor +\(user.line) \(path)"], at: "\(path):\(user.line)"))
      }
      owners[address] = user
    }
    guard let name = servers.sorted().first, let first = users.first, !users.contains(where: { $0.server == "*" || servers.contains($0.server) }) else { return found }
    // What stands there may be a password in the wrong column: it is not shown.
    let word = #"("[^"]*"|[^[:space:]]+)"#
    let fix = users.filter { $0.server == first.server }.prefix(8).map { user in
      let begin = #"sed -Ei '\#(user.line)s/^([[:space:]]*\#(word)[[:space:]]+)\#(word)"#
      let isExchanged = PPPUser.hasSecret(name, at: user.line, in: bytes)
      return isExchanged ? #"\#(begin)([[:space:]]+)\#(word)/\1\5\4\3/' \#(path)"# : #"\#(begin)/\1\#(name)/' \#(path)"#
    }
    return found + [Finding(.USER2, .bad, "nobody in \(path) is a user of \(name), the name in xl2tpd.conf", fix: fix, at: "\(path):\(first.line)")]
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
      func sets(_ line: Substring) -> Bool { line.contains("ip_forward") && !line.trimmed.hasPrefix(";") && line.contains("=") }
      // The last one in the order of their names counts; what root wrote in /etc replaces what has the same name elsewhere.
      var last: (name: String, place: String)?
      for folder in folders.reversed() {
        for name in try files.entries(of: folder) ?? [] where name.hasSuffix(".conf") {
          guard try line(in: "\(folder)/\(name)", where: { sets($0) }) != nil, name >= last?.name ?? "" else { continue }
          let lines = try text("\(folder)/\(name)")?.split(separator: "\n", omittingEmptySubsequences: false) ?? []
          guard let number = lines.lastIndex(where: { sets($0) && !$0.trimmed.hasPrefix("#") }) else { continue }
          last = (name, lines[number].trimmed.hasSuffix("0") ? "\(folder)/\(name):\(number + 1)" : "")
        }
      }
      if let place = last?.place, !place.isEmpty {
        let number = place.split(separator: ":").last ?? ""
        found.append(Finding(.FORWARD2, .risk, "\(place) sets net.ipv4.ip_forward to 0 at boot", fix: ["sed -i '\(number)s/0[[:space:]]*$/1/' \(place.dropLast(number.count + 1))"], at: place))
      } else if try !hasLine(in: places, where: { sets($0) && $0.trimmed.hasSuffix("1") }) {
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

  /// The address of the VPN where something other than the cluster sets it.
  private func addressesAtBoot() throws(SystemError) -> [Finding] {
    guard !addresses.isEmpty else { return [] }
    let root = "/etc/systemd/system"
    var places = ["/etc/network/interfaces"]
    for (folder, end) in [("/etc/network/interfaces.d", ""), ("/etc/systemd/network", ".network"), ("/etc/netplan", ".yaml"), ("/etc/NetworkManager/system-connections", "")] {
      places += try (files.entries(of: folder) ?? []).filter { $0.hasSuffix(end) }.map { "\(folder)/\($0)" }
    }
    var found: [Finding] = []
    var enabled: [String: String] = [:]
    for folder in try files.entries(of: root) ?? [] where folder.hasSuffix(".wants") || folder.hasSuffix(".requires") {
      for unit in try files.entries(of: "\(root)/\(folder)") ?? [] { enabled[unit] = "\(root)/\(folder)/\(unit)" }
    }
    if enabled["keepalived.service"] != nil { places.append("/etc/keepalived/keepalived.conf") }
    for path in places {
      for address in addresses {
        guard let place = try line(in: path, where: { !$0.trimmed.hasPrefix(";") && $0.split(whereSeparator: { !$0.isHexDigit && $0 != "." && $0 != ":" }).contains(Substring(address)) }) else { continue }
        found.append(Finding(.BOOT1, .bad, "\(path) sets \(address), which the cluster moves: after a boot both nodes have it", fix: ["editor +\(place.split(separator: ":").last ?? "1") \(path)"], at: place))
      }
    }
    if let unit = enabled["nftables.service"], isUsed("firewall"), let place = try line(in: "/etc/nftables.conf", where: { $0.trimmed == "flush ruleset" }) {
      let tables = try (text("/etc/nftables.conf") ?? "").split(separator: "\n").map(\.trimmed).filter { $0.hasPrefix("table ") && $0.hasSuffix("{") }.map { $0.dropLast().trimmed }
      let own = tables.flatMap { [$0, "delete \($0)"] }.joined(separator: "\\n")
      let number = place.split(separator: ":").last ?? "1"
      found.append(Finding(.FILTER3, .risk, "\(unit.split(separator: "/").last ?? ""), when it is reloaded, flushes the rules of the cluster", fix: [own.isEmpty ? "sed -i '\(number)d' /etc/nftables.conf" : "sed -i '\(number)s/.*/\(own)/' /etc/nftables.conf"], at: place))
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

  private var source: String { swanctlSource { parameter($0, of: "strongswan") } }
  private var load: String { "swanctl --load-all --noprompt\(source)" }

  private func swanctl() throws(SystemError) -> [Finding] {
    guard configuration != nil, isUsed("strongswan") else { return [] }
    let path = parameter("config", of: "strongswan") ?? "/etc/swanctl/swanctl.conf"
    guard try files.read(path, limit: 8 << 20) != nil else {
      return [Finding(.SWAN1, .bad, "\(path) is missing", fix: try usual("strongswan", "/etc/swanctl/swanctl.conf").map { [$0] } ?? ["install -m 600 /usr/share/doc/vpnha/examples/strongswan/swanctl.conf \(path)", load], at: path)]
    }
    let file: SettingsFile
    do throws(SettingsError) { file = try SettingsFile(reading: path, from: files) } catch {
      return [Finding(.SWAN1, .bad, "\(error)", fix: ["editor +\(error.place.line) \(error.place.file)", load], at: error.place.description)]
    }
    var found = try missingCertificates(file) + withoutL2TP(file) + closed(file)
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
            fix: ["editor \(path)    # secrets { ike-\(name) { id = \(wanted.first ?? "ADDRESS")  secret = … } }", "swanctl --load-creds\(source)"], at: place))
      }
    }
    return found
  }

  /// Files that a connection names and swanctl would not find (`load_conns.c`, `add_file_list_key`).
  private func missingCertificates(_ file: SettingsFile) throws(SystemError) -> [Finding] {
    var found: [Finding] = []
    for one in file.certificates where try files.status(one.path) == nil {
      found.append(
        Finding(.CERT2, .bad, "connection \(one.connection) needs \(one.path), which is missing", fix: ["editor +\(one.place.line) \(one.place.file)", load], at: one.place.description))
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
        Finding(.SWAN3, .bad, "child \(child.name) of connection \(connection.name) \(what)", fix: [fix, load], at: (place ?? section.place).description)
      ]
    }
    return []
  }

  /// Where no connection that is for L2TP takes the clients that there are: they speak IKEv1, and know a key where the gateway does.
  private func closed(_ file: SettingsFile) -> [Finding] {
    let ports: Set<UInt16> = [parameter("port", of: "firewall").flatMap { UInt16($0) } ?? 1701]
    let own = parameter("address", of: "strongswan").map { [$0] } ?? addresses
    var found: [Finding] = []
    for connection in file.connections where connection.children.contains(where: { $0.isTransport && $0.carries(udp: ports) }) {
      guard let section = file.root.section("connections")?.section(connection.name), section.references.isEmpty else { return [] }
      func say(_ what: String, _ fix: String, _ place: SettingsFile.Place) {
        found.append(Finding(.SWAN4, .bad, "connection \(connection.name) \(what)", fix: [fix, load], at: place.description))
      }
      let before = found.count
      if let version = section.settings.last(where: { $0.key == "version" }), version.value == "2" {
        say("is for IKEv2, and L2TP clients speak IKEv1", "sed -Ei '\(version.place.line)s/version *= *2/version = 1/' \(version.place.file)", version.place)
      }
      let remotes = section.sections.filter { $0.name.hasPrefix("remote") }
      if section.sections.contains(where: { $0.name.hasPrefix("local") && $0.value("auth") == "psk" }), !remotes.contains(where: { $0.value("auth") == "psk" }), remotes.allSatisfy(\.references.isEmpty) {
        let place = remotes.first?.settings.last { $0.key == "auth" }?.place ?? remotes.first?.place ?? section.place
        let fix =
          if remotes.isEmpty {
            "sed -i '\(place.line)s/{/{\\nremote {\\nauth = psk\\n}\\n/' \(place.file)"
          } else if remotes[0].value("auth") == nil {
            "sed -i '\(place.line)s/{/{\\nauth = psk\\n/' \(place.file)"
          } else {
            "sed -Ei '\(place.line)s/auth *= *[^ }]+/auth = psk/' \(place.file)"
          }
        say("has a pre-shared key, and asks clients for a certificate", fix, place)
      }
      if let remote = section.settings.last(where: { $0.key == "remote_addrs" }) {
        let addresses = (remote.value ?? "").split { " ,".contains($0) }.map(String.init)
        if !addresses.isEmpty, addresses.allSatisfy(own.contains) {
          say("is for clients at \(addresses[0]), the gateway's own address", "sed -Ei '\(remote.place.line)s/remote_addrs *= *[^ }]+//' \(remote.place.file)", remote.place)
        }
      }
      // One that takes them is enough.
      if found.count == before { return [] }
    }
    return found
  }

  /// Settings with which charon hears no client, or nobody hears charon.
  private func deaf(_ file: SettingsFile) -> [Finding] {
    var found: [Finding] = []
    func setting(_ path: String) -> (value: String, place: SettingsFile.Place)? {
      let parts = path.split(separator: ".")
      for daemon in ["charon-systemd", "charon"] {
        let section = parts.count == 1 ? file.root.section(daemon) : file.root.section(at: "\(daemon).\(parts.dropLast().joined(separator: "."))")
        if let setting = section?.settings.last(where: { $0.key == parts[parts.count - 1] }), let value = setting.value { return (value, setting.place) }
      }
      return nil
    }
    func say(_ path: String, _ what: String) {
      guard let place = setting(path)?.place, let key = path.split(separator: ".").last else { return }
      found.append(
        Finding(
          .SWAN5, .bad, "charon has \(path) = \(setting(path)?.value ?? ""): \(what)",
          fix: ["sed -Ei '\(place.line)s/\(key) *= *[^}#]*//' \(place.file)", "swanctl --reload-settings    # or, where that is refused, at charon's next start"], at: place.description))
    }
    for (key, port) in [("port", "500"), ("port_nat_t", "4500")] {
      if let value = setting(key)?.value, value != port { say(key, "clients ask UDP \(port)") }
    }
    for plugin in ["vici", "socket-default", "kernel-netlink"] where isFalse(setting("plugins.\(plugin).load")?.value) { say("plugins.\(plugin).load", "it does not work without") }
    if let nic = parameter("nic", of: "vip") {
      func names(_ key: String) -> [String] { (setting(key)?.value ?? "").split { " ,".contains($0) }.map(String.init) }
      if !names("interfaces_use").isEmpty, !names("interfaces_use").contains(nic) { say("interfaces_use", "it hears nothing on \(nic)") }
      if names("interfaces_ignore").contains(nic) { say("interfaces_ignore", "it hears nothing on \(nic)") }
    }
    return found
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
    var found = deaf(file)
    let threshold = (file.root.value(at: "charon-systemd.block_threshold") ?? file.root.value(at: "charon.block_threshold")).map { Int($0) ?? 0 } ?? 5
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
      return [Finding(.TRACK1, .bad, "\(path) is missing", fix: [try usual("conntrackd", "/etc/conntrackd/conntrackd.conf") ?? example], at: path)]
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

  private func ledger() throws(SystemError) -> [Finding] {
    guard hasLedger else { return [] }
    let path = parameter("key_file", of: "sessions") ?? KeyCommand.standardPath
    let here = try files.kernelParameter("kernel.hostname")?.trimmed
    let peer = configuration.flatMap { $0.nodes.count == 2 ? $0.nodes.first { $0 != here } : nil }
    do throws(LedgerError) { _ = try LedgerKey(ofFile: path, files) } catch {
      return [Finding(.KEY1, .risk, "\(path): \(error.detail)", fix: ["vpnha key \(path)", "scp -p \(path) root@\(peer ?? "NODE"):\(path)", "pcs resource cleanup sessions"], at: path)]
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
