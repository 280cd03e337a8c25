import OCF

/// What mends what an agent says, typed on its node: what changes something first, then what puts it in force.
struct Mending {
  /// The resource, and the agent's name.
  var id: String
  var agent: String
  /// The value that the cluster's configuration gives to a parameter; nil: the default counts.
  var parameter: (String) -> String?
  /// Where it says so, and a node that does not serve; nil where that is not known.
  var node: String?
  var standby: String?
  /// The outermost thing it belongs to.
  var top: String?
  /// Addresses of vip resources, where they are known: what moves is right, and what differs from it is the slip.
  var addresses: [String] = []

  init(_ id: String, agent: String, parameter: @escaping (String) -> String?) { (self.id, self.agent, self.parameter) = (id, agent, parameter) }

  init(of resource: ClusterConfiguration.Primitive, on node: String? = nil, standby: String? = nil) {
    self.init(resource.id, agent: resource.own ?? "", parameter: resource.parameter)
    self.node = node
    self.standby = standby
    top = resource.top
  }

  /// Empty where there is more than one way, or only a person can find out.
  func commands(_ said: String) -> [String] {
    // What the loop, the agent or a cleanup put in front.
    let reason = ["refused: ", "loaded rules are out of date: ", "start: ", "promoting: ", "reloading: "].reduce(said) { $0.hasPrefix($1) ? String($0.dropFirst($1.count)) : $0 }
    if let package = reason.firstMatch(of: #/is missing \(package ([a-z0-9.+-]+)\)/#) { return ["apt-get install \(package.1)"] }
    if reason.hasPrefix("pppd: In file ") { return ["editor \(reason.dropFirst(14).prefix { $0 != ":" })"] }
    if reason.hasPrefix("pppd: /usr/lib/pppd/") { return ["editor /etc/ppp/options.xl2tpd    # plugin", "vpnha doctor --only PPP6"] }
    if reason.hasPrefix("no user can log in") { return ["editor /etc/ppp/chap-secrets"] }
    if let setting = reason.firstMatch(of: #/net\.ipv4\.[^\s:]+=[01]/#) { return ["sysctl -w \(setting.0)"] }
    if let older = reason.firstMatch(of: #/^(ip6?tables-legacy) has rules that drop/#) { return ["\(older.1)-save", "\(older.1) -D CHAIN RULE    # what drops UDP 500 and 4500, ESP, or the clients' packets"] }
    if let command = reason.firstMatch(of: #/: (ip rule del priority [0-9]+|ip link set \S+ arp on)$/#) { return [String(command.1)] }
    if let setting = reason.firstMatch(of: #/ while (net\.ipv4\.[^\s:]+) is 0: set it to 1$/#) { return ["sysctl -w \(setting.1)=1"] }
    if reason.hasPrefix("/dev/ppp is missing") { return ["modprobe ppp_generic"] }
    if reason.hasPrefix("BIRD does not run") { return ["systemctl start bird"] }
    if reason.hasPrefix("FRR does not run") { return ["systemctl start frr"] }
    if reason.hasPrefix("FRR hangs: bgpd has no connection to zebra") { return ["systemctl restart frr"] }
    if let more = reason.firstMatch(of: #/^(\S+) is on (\S+) as well/#) { return ["ip address del \(more.1) dev \(more.2)"] }
    if let blockade = reason.firstMatch(of: #/^accept (.+) in chain (\S+) of table (\S+) (\S+), which drops them$/#) {
      let rules = ["UDP 500": "udp dport 500", "UDP 4500": "udp dport 4500", "answers from UDP 500": "udp sport 500", "answers from UDP 4500": "udp sport 4500", "ESP": "meta l4proto esp"]
      let (chain, what) = ("\(blockade.3) \(blockade.4) \(blockade.2)", blockade.1.split(separator: ", "))
      let networks = (parameter("pool") ?? "").split(separator: " ").filter { blockade.3 == "inet" || (blockade.3 == "ip6") == $0.contains(":") }.map { ($0.contains(":") ? "ip6" : "ip", $0) }
      let wanted = what.map { one -> [String] in
        switch one {
        case "the clients' packets": return networks.map { "\($0) saddr \($1)" }
        case "answers to clients": return networks.map { "\($0) daddr \($1) ct state established,related" }
        case _ where one.hasPrefix("UDP ") && one.hasSuffix(" out of IPsec"): return ["meta ipsec exists udp dport \(one.dropFirst(4).prefix { $0 != " " })"]
        default: return rules[String(one)].map { [$0] } ?? []
        }
      }
      guard !wanted.contains(where: \.isEmpty) else { return ["nft list chain \(chain)", "editor /etc/nftables.conf"] }
      return wanted.flatMap(\.self).map { "nft insert rule \(chain) \($0) accept" } + ["editor /etc/nftables.conf    # the same, where it makes this chain"]
    }
    if reason.hasPrefix("add a firewall resource: ") { return ["vpnha doctor --only CLEAR1 --fixes"] }
    if reason.contains("promoted-max: "), let top { return ["pcs resource meta \(top) promoted-max=1"] }
    if let port = reason.firstMatch(of: #/set port=([0-9]+) of (\S+)$/#) { return ["pcs resource update \(port.2) port=\(port.1)"] }
    if let owner = reason.firstMatch(of: #/ is taken by (\S+) \(pid ([0-9]+)\)/#) {
      let unit = [("charon", "strongswan"), ("pluto", "ipsec")].first { owner.1.contains($0.0) }?.1 ?? agent
      return ["systemctl stop \(unit)    # where a unit has started it; systemctl disable, for the next boot", "kill \(owner.2)    # where no unit has"]
    }
    if let stray = reason.firstMatch(of: #/another xl2tpd: pid ([0-9 ]+)\)/#) { return ["kill \(stray.1)"] }
    if reason.hasPrefix("key_file: "), reason.contains("it is missing") { return ["vpnha key    # or copy the other node's"] }
    if reason.contains(" gives out "), let config {
      return ["editor \(config)    # ip range"] + (standby.map(restart) ?? [])
    }
    if let other = reason.firstMatch(of: #/^the \S+ (?:in (\S+)|of pppd)(?: and \S+)? are not those of (\S+): /#) {
      let files = other.1.map { ["scp -p \(other.2):\($0) \($0)    # on \(node ?? "this node"), if \(other.2) has the right one"] }
      return (files ?? ["vpnha fingerprint --diff \(other.2)"]) + (agent == "strongswan" ? ["swanctl --load-creds --clear\(source)"] : agent == "libreswan" ? ["ipsec whack --rereadsecrets"] : [])
    }
    if reason.contains(" has changed since "), let node { return (node == standby ? [] : ["vpnha switchover --yes"]) + restart(node) }
    let edited = file(in: reason).map { edit($0.path, line: $0.line) } ?? []
    switch agent {
    case "strongswan": return strongSwan(reason, edited)
    case "libreswan": return libreswan(reason, edited)
    case "xl2tpd": if let mended = listenAddress(reason) { return mended }
    default: break
    }
    return parameterOrFile(reason, edited)
  }

  /// A daemon that reads its file when it starts.
  private func restart(_ node: String) -> [String] { ["pcs node standby \(node)", "pcs node unstandby \(node)"] }

  private var config: String? {
    let usual = ["strongswan": "/etc/swanctl/swanctl.conf", "libreswan": "/etc/ipsec.conf", "xl2tpd": "/etc/xl2tpd/xl2tpd.conf", "conntrackd": "/etc/conntrackd/conntrackd.conf"]
    return parameter("config") ?? usual[agent]
  }

  /// swanctl loads its usual file into the usual daemon, and unloads what that file does not have.
  private var source: String { swanctlSource(parameter) }

  private func edit(_ path: String, line: Int?) -> [String] { ["editor \(line.map { "+\($0) " } ?? "")\(path)"] }

  /// `FILE:LINE`, or `FILE line LINE`; a file without a line where the reason names ours.
  private func file(in reason: String) -> (path: String, line: Int?)? {
    if let place = reason.firstMatch(of: #/(/[^\s:]+)(?::| line )([0-9]+)/#) { return (String(place.1), Int(place.2)) }
    return config.flatMap { reason.contains($0) ? ($0, nil) : nil }
  }

  private func strongSwan(_ reason: String, _ edited: [String]) -> [String] {
    let (file, load, creds) = (edited.isEmpty ? config.map { edit($0, line: nil) } ?? [] : edited, "swanctl --load-all --noprompt\(source)", "swanctl --load-creds\(source)")
    if reason.contains(" has no pre-shared key") { return file + [creds] }
    if reason.hasPrefix("charon has loaded no plugin "), let node { return ["editor /etc/strongswan.conf"] + (node == standby ? [] : ["vpnha switchover --yes"]) + restart(node) }
    if reason.contains("certificate") { return ["\(creds)    # when the certificate or its key has been renewed"] }
    if reason.hasPrefix("connections: "), reason.hasSuffix(" is not loaded") { return [load] }
    if reason.hasPrefix("secrets: ") { return [creds] }
    // The name may be the slip, or the file.
    if reason.hasPrefix("connections: "), let name = reason.firstMatch(of: #/^connections: (\S+) is not in /#) {
      return file + [load, "pcs resource update \(id) connections=…    # where \(name.1) is the slip"]
    }
    if reason.hasPrefix("connections: ") || (reason.hasPrefix("config: ") && !reason.hasSuffix(" is missing")) || reason.hasPrefix("loading ") { return file + [load] }
    return parameterOrFile(reason, edited)
  }

  private func libreswan(_ reason: String, _ edited: [String]) -> [String] {
    let file = edited.isEmpty ? config.map { edit($0, line: nil) } ?? [] : edited
    if reason.contains(" has no pre-shared key") { return ["editor /etc/ipsec.secrets", "ipsec whack --rereadsecrets"] }
    if reason.contains("certificate") { return ["ipsec import …    # the certificate with its private key, in a file of PKCS #12", "ipsec whack --rereadcerts"] }
    if reason.hasSuffix(": ipsec initnss") { return ["ipsec initnss"] }
    if reason.hasSuffix(": ipsec whack --listen") { return ["ipsec whack --listen"] }
    if reason.contains("ikev1-policy=") { return file + (node.map { ["pcs resource restart \(id) \($0)"] } ?? []) }
    if let name = reason.firstMatch(of: #/^connections: (\S+) is not loaded/#) { return ["ipsec auto --add \(name.1)"] }
    if let name = reason.firstMatch(of: #/^connections: (\S+) is not in /#) { return file + ["pcs resource update \(id) connections=…    # where \(name.1) is the slip"] }
    if reason.hasPrefix("connections: ") || (reason.hasPrefix("config: ") && !reason.hasSuffix(" is missing")) { return file }
    return parameterOrFile(reason, edited)
  }

  /// xl2tpd has to be bound to the address of the VPN.
  private func listenAddress(_ reason: String) -> [String]? {
    if let lacking = reason.firstMatch(of: #/add "listen-addr = (\S+)" to \[global\] of ([^\s:]+)/#) { return ["sed -i '/^\\[global\\]/a listen-addr = \(lacking.1)' \(lacking.2)"] }
    if let wrong = reason.firstMatch(of: #/set listen-addr (\S+) in (\S+) line ([0-9]+)/#) { return ["sed -i '\(wrong.3)s/.*/listen-addr = \(wrong.1)/' \(wrong.2)"] }
    if let other = reason.firstMatch(of: #/^address: is (\S+), but (\S+) line ([0-9]+) has listen-addr (\S+)$/#) {
      if addresses.contains(String(other.4)), !addresses.contains(String(other.1)) { return ["pcs resource update \(id) address=\(other.4)"] }
      return ["sed -i '\(other.3)s/.*/listen-addr = \(other.1)/' \(other.2)"]
    }
    return nil
  }

  /// A complaint begins with the name of its parameter. A bad value was given; what is wrong about a file is mended in it.
  private func parameterOrFile(_ reason: String, _ edited: [String]) -> [String] {
    let name = reason.firstMatch(of: #/^([a-z][a-z0-9_]*): /#).map { String($0.1) }
    let given = name.flatMap(parameter)
    if reason.hasSuffix(" is missing"), name == "config", given == nil, let config, agent != "libreswan", agent != "strongswan" || config.hasPrefix("/etc/swanctl/") {
      return ["cp /usr/share/doc/vpnha/examples/\(agent == "strongswan" ? "strongswan" : agent)/\(config.split(separator: "/").last ?? "") \(config)"]
    }
    if !edited.isEmpty, !reason.hasSuffix(" is missing") { return edited }
    return name.flatMap { name in given.map { _ in ["pcs resource update \(id) \(name)=…"] } } ?? edited
  }
}

/// What `swanctl --load-…` needs besides, where a resource has another file, or another socket, than swanctl's own.
func swanctlSource(_ parameter: (String) -> String?) -> String {
  let file = parameter("config").flatMap { $0 == "/etc/swanctl/swanctl.conf" ? nil : " --file \($0)" } ?? ""
  return file + (parameter("vici").flatMap { ["/run/charon.vici", "/var/run/charon.vici"].contains($0) ? nil : " --uri unix://\($0)" } ?? "")
}
