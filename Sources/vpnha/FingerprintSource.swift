import Host
import L2TP
import OCF
import VICI

/// Takes a node's fingerprint. Changes nothing.
struct FingerprintSource {
  var host: Host
  /// Nil where the cluster's configuration is not known; then the usual places are looked at.
  var configuration: ClusterConfiguration?

  /// Of a folder with more files than these one digest is made, as of one of whose files nobody asks which it is.
  private static let folderLimit = 30
  private static let sizeLimit = 16 << 20
  private static let patience = Duration.seconds(3)

  private func parameter(_ name: String, of agent: String) -> String? { configuration?.own(agent).first?.parameter(name) }

  /// - Throws: when there is no key, or a file cannot be read.
  func fingerprint() throws(SystemError) -> Fingerprint {
    let key = try FingerprintKey(host.files)
    var print = Fingerprint(at: host.clock.timestamp, key: key.name, kinds: [.file, .kernel])
    try addFiles(to: &print, key)
    for name in Self.kernel {
      if let value = try host.files.kernelParameter(name) { print.entries[.init(.kernel, name)] = value.split(whereSeparator: \.isWhitespace).joined(separator: " ") }
    }
    addConnections(to: &print, key)
    addRules(to: &print, key)
    addPackages(to: &print)
    return print
  }

  // MARK: Files

  private static let kernel = [
    "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv4.conf.all.rp_filter", "net.ipv4.conf.default.rp_filter", "net.ipv4.conf.all.send_redirects",
    "net.ipv4.conf.all.accept_redirects", "net.netfilter.nf_conntrack_max", "net.netfilter.nf_conntrack_tcp_loose", "net.netfilter.nf_conntrack_tcp_be_liberal",
    "net.core.rmem_max", "net.core.wmem_max",
  ]

  static func part(of path: String, xl2tpd: String, conntrackd: String) -> CommonPart {
    switch path {
    case xl2tpd: .xl2tpd
    case conntrackd: .conntrackd
    case _ where path.hasPrefix("/etc/strongswan"): .strongswan
    default: .plain
    }
  }

  private func addFiles(to print: inout Fingerprint, _ key: FingerprintKey) throws(SystemError) {
    let swanctl = parameter("config", of: "strongswan") ?? "/etc/swanctl/swanctl.conf"
    let xl2tpd = parameter("config", of: "xl2tpd") ?? "/etc/xl2tpd/xl2tpd.conf"
    let conntrackd = parameter("config", of: "conntrackd") ?? "/etc/conntrackd/conntrackd.conf"
    // Their absence counts as well.
    var files = [swanctl, "/etc/strongswan.conf", xl2tpd, "/etc/ppp/chap-secrets", conntrackd, "/etc/corosync/corosync.conf"]
    if parameter("connections", of: "libreswan") != nil || configuration?.own("libreswan").isEmpty == false {
      files += [parameter("config", of: "libreswan") ?? "/etc/ipsec.conf", "/etc/ipsec.secrets"]
    }
    if let extra = parameter("extra", of: "firewall"), extra.hasPrefix("/") { files.append(extra) }
    if let bytes = try host.files.read(xl2tpd, limit: 1 << 20) {
      // A file with a mistake in it differs by itself.
      do throws(XL2TPDConfiguration.SyntaxError) { files += try XL2TPDConfiguration(bytes).pppOptionFiles } catch {}
    }
    for optional in ["/etc/ppp/options", "/etc/ppp/pap-secrets", "/etc/xl2tpd/l2tp-secrets"] where try host.files.status(optional) != nil { files.append(optional) }
    for path in files {
      var part = Self.part(of: path, xl2tpd: xl2tpd, conntrackd: conntrackd)
      part.common = Set(configuration?.own("vip").compactMap { $0.parameter("ip") } ?? [])
      print.entries[.init(.file, path)] = try digest(of: path, part, key) ?? "-"
    }
    let each = ["swanctl/conf.d", "swanctl/x509", "swanctl/x509ca", "swanctl/private", "swanctl/rsa", "swanctl/ecdsa", "swanctl/pkcs8", "swanctl/pkcs12", "strongswan.d", "vpnha", "radcli"]
    for folder in each { try add("/etc/\(folder)", limit: Self.folderLimit, to: &print, key) }
    // A plugin a file, and scripts of other packages.
    for folder in ["strongswan.d/charon", "ppp/ip-up.d", "ppp/ip-down.d"] { try add("/etc/\(folder)", limit: 0, to: &print, key) }
  }

  /// Nil when it is absent.
  private func digest(of path: String, _ part: CommonPart, _ key: FingerprintKey) throws(SystemError) -> String? {
    guard let bytes = try host.files.read(path, limit: Self.sizeLimit) else { return nil }
    let isText = !bytes.contains(0)
    return key.digest(of: isText ? Array(part.text(of: bytes).utf8) : bytes, as: path)
  }

  private func add(_ folder: String, limit: Int, to print: inout Fingerprint, _ key: FingerprintKey) throws(SystemError) {
    var found: [(path: String, digest: String)] = []
    for name in try host.files.entries(of: folder) ?? [] where !name.hasPrefix(".") {
      let path = "\(folder)/\(name)"
      // Where it leads, if it is a link; folders have lines of their own.
      guard let status = try host.files.status(path), status.kind == .regular || status.kind == .symbolicLink else { continue }
      do throws(SystemError) {
        guard let digest = try digest(of: path, folder.hasPrefix("/etc/strongswan.d") ? .strongswan : .plain, key) else { continue }
        found.append((path, digest))
      } catch  where error.errno == .isADirectory || error.errno == .invalidArgument { continue }
    }
    if found.isEmpty { return }
    if found.count > limit {
      print.entries[.init(.file, "\(folder)/")] = key.digest(of: Array(found.map { "\($0.path) \($0.digest)" }.joined(separator: "\n").utf8), as: folder)
    } else {
      for file in found { print.entries[.init(.file, file.path)] = file.digest }
    }
  }

  // MARK: What is loaded

  private func addConnections(to print: inout Fingerprint, _ key: FingerprintKey) {
    var loaded: [(name: String, bytes: [UInt8])] = []
    do throws(VICIError) {
      let charon = try Charon(at: parameter("vici", of: "strongswan") ?? "/run/charon.vici", on: host, before: host.clock.now + Self.patience)
      // That of the ha plugin is between the nodes.
      try charon.stream("list-conns", "list-conn") { (row) throws(VICIError) in
        for (name, section) in row.sections where name != "ha" { loaded.append((name, section.canonical)) }
      }
      var secrets: [String] = []
      for command in ["get-shared", "get-keys"] { secrets += try charon.ask(command).list("keys") ?? [] }
      print.entries[.init(.charon, "secrets")] = key.digest(of: Array(secrets.sorted().joined(separator: "\n").utf8), as: "secrets")
    } catch {
      // It does not run here, or is busy: nothing is known of it.
      return
    }
    print.kinds.insert(.charon)
    if loaded.count > Self.folderLimit {
      var all: [UInt8] = []
      for one in loaded.sorted(by: { $0.name < $1.name }) { all += Array(one.name.utf8) + [0] + one.bytes }
      print.entries[.init(.charon, "connections")] = key.digest(of: all, as: "connections")
    } else {
      for one in loaded { print.entries[.init(.charon, "connection \(one.name)")] = key.digest(of: one.bytes, as: one.name) }
    }
  }

  private func addRules(to print: inout Fingerprint, _ key: FingerprintKey) {
    guard configuration.map({ !$0.own("firewall").isEmpty }) ?? true else { return }
    let name = parameter("table", of: "firewall") ?? "vpnha"
    do throws(SystemError) {
      guard let table = try host.packetFilter.table(named: name) else {
        print.entries[.init(.filter, "table inet \(name)")] = "-"
        print.kinds.insert(.filter)
        return
      }
      let contents = try host.packetFilter.contents(of: table)
      func framed(_ parts: [[UInt8]]) -> [UInt8] { parts.flatMap { Array("\($0.count) ".utf8) + $0 } }
      for chain in contents.chains {
        print.entries[.init(.filter, "chain \(chain.name) of table inet \(name)")] = key.digest(of: framed([chain.properties] + chain.rules), as: chain.name)
      }
      for set in contents.sets {
        print.entries[.init(.filter, "set \(set.name) of table inet \(name)")] = key.digest(of: framed([set.properties] + set.elements), as: set.name)
      }
      for object in contents.objects {
        print.entries[.init(.filter, "object \(object.name) of table inet \(name)")] = key.digest(of: object.properties, as: object.name)
      }
      print.kinds.insert(.filter)
    } catch { return }
  }

  static let packages = [
    "strongswan-swanctl", "charon-systemd", "libcharon-extra-plugins", "libcharon-extauth-plugins", "libstrongswan", "libreswan", "xl2tpd", "ppp", "conntrackd", "nftables", "pacemaker",
    "corosync",
  ]

  private func addPackages(to print: inout Fingerprint) {
    let query = Command("/usr/bin/dpkg-query", ["--show", "--showformat=${db:Status-Status} ${Package} ${Version}\\n"] + Self.packages)
    do throws(SystemError) {
      let result = try host.processes.run(query, before: host.clock.now + Self.patience)
      // 1: one of them is not known here.
      guard result.ending == .exited(0) || result.ending == .exited(1) else { return }
      for line in String(decoding: result.output, as: UTF8.self).split(separator: "\n") {
        let words = line.split(separator: " ").map(String.init)
        if words.count == 3, words[0] == "installed" { print.entries[.init(.package, words[1])] = words[2] }
      }
      print.kinds.insert(.package)
    } catch { return }
  }
}

extension Message {
  /// The same bytes for the same content.
  var canonical: [UInt8] {
    var all: [UInt8] = []
    for entry in entries {
      all += Self.framed(Array(entry.name.utf8))
      switch entry.value {
      case .text(let bytes): all += Array("=".utf8) + Self.framed(bytes)
      case .list(let items):
        all += Array("[\(items.count) ".utf8)
        for item in items { all += Self.framed(item) }
      case .section(let message): all += Array("{".utf8) + Self.framed(message.canonical)
      }
    }
    return all
  }

  private static func framed(_ bytes: [UInt8]) -> [UInt8] { Array("\(bytes.count) ".utf8) + bytes }
}
