import Daemon
import Digests
import Host
import L2TP
import OCF
import Sessions

/// What clients need besides a daemon: a pppd that takes its options, users, and a node that forwards.
extension XL2TPD {
  static let noPPP = "/dev/ppp is missing: modprobe ppp_generic (the kernel has no PPP)"

  /// Why clients would get no session, or nothing through it. Where only what arrives on one interface is lost, others may do.
  func unfitness(_ configuration: XL2TPDConfiguration, _ call: Call) throws(OCFError) -> [Risk] {
    let device = try attempt("looking for /dev/ppp", try call.host.files.status("/dev/ppp"))
    let lacks = [try refusal(of: configuration, call), try missingUsers(configuration, call), device == nil ? Self.noPPP : nil].compactMap { $0.map { Risk($0, unfit: true) } }
    return lacks
      + (try attempt("looking whether packets are forwarded", try call.host.files.forwardingThatIsOff())).map { off in
        Risk("set \(off.parameter)=1: \(off.interface.map { "what arrives on \($0) reaches no client" } ?? "this node forwards nothing for clients")", unfit: off.interface == nil)
      }
  }

  /// Why L2TP is let in that did not come through IPsec: a firewall of ours guards another port, or there is no packet filter at all.
  /// Of rules that are not ours nothing is said.
  func unguarded(_ configuration: XL2TPDConfiguration, _ call: Call) -> Risk? {
    let guards = GuardedPort.all(call)
    guard let port = configuration.port, !guards.contains(where: { $0.port == port }) else { return nil }
    guard let first = guards.first else {
      // Before it is started, the firewall is not there either.
      guard call.request.action == .monitor, !mayFilter(call) else { return nil }
      return Risk("add a firewall resource: nothing keeps L2TP to IPsec, UDP port \(port) is answered in clear text")
    }
    return Risk("\(first.resource) guards UDP port \(first.port), xl2tpd serves \(port): L2TP in clear text is let in; set port=\(port) of \(first.resource)")
  }

  /// Whether something may drop what comes in, or it cannot be found out.
  private func mayFilter(_ call: Call) -> Bool {
    do throws(SystemError) {
      if try call.host.packetFilter.baseChains().contains(where: { ($0.hook == .input || $0.hook == .prerouting) && $0.family != "ip6" && !$0.translates }) { return true }
      // The older iptables' rules are in no table of nftables.
      return try call.host.files.read("/proc/net/ip_tables_names", limit: 4096)?.isEmpty == false
    } catch {
      call.log.debug("looking for a packet filter: \(error)")
      return true
    }
  }

  /// What pppd says against the options it will be given; nil when it takes them, and when it cannot be asked.
  ///
  /// pppd itself reads the files, without going further. A monitor asks it only when they are not what they were.
  func refusal(of configuration: XL2TPDConfiguration, _ call: Call) throws(OCFError) -> String? {
    let isKernel = try carriesInKernel(configuration, call)
    let texts = try optionFiles(configuration.pppOptionFiles, call)
    var key: [UInt8] = [isKernel ? 1 : 0]
    for (file, bytes) in try texts + optionFiles([Self.commonOptions], call) { key += md5(Array(file.utf8)) + md5(bytes) }
    let digest = md5(key).map { String($0, radix: 16) }.joined(separator: ".")
    if call.request.action == .monitor, let known = Verdict.read(call), known.digest == digest { return known.refusal }
    var refusal = serialOption(in: isKernel ? texts : [])
    if refusal == nil { refusal = try dryRun(configuration.pppOptionFiles, call) }
    if call.request.action != .validateAll { Verdict(digest: digest, refusal: refusal).write(call) }
    return refusal
  }

  private static let commonOptions = "/etc/ppp/options"
  private static let secrets = ["/etc/ppp/chap-secrets", "/etc/ppp/pap-secrets"]

  package func judgedFiles(_ call: Call) -> [String] {
    var options: [String] = []
    do throws(OCFError) { options = try optionFiles([Self.commonOptions] + readConfiguration(call).pppOptionFiles, call).map(\.file) } catch { call.log.debug(error.reason) }
    return [config.description] + options + Self.secrets + [tunnelSecrets(call)]
  }

  /// Who is let in, and how.
  package func commonThings(_ call: Call) throws(OCFError) -> [CommonThing] {
    func text(_ files: [String]) throws(OCFError) -> [UInt8] {
      var all: [UInt8] = []
      for file in files {
        // Blanks and remarks mean nothing; a remark may follow on a line, and a `#` may be in a password.
        for line in try optionFile(file, call).split(separator: UInt8(ascii: "\n")) {
          let words = line.split { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") || $0 == UInt8(ascii: "\r") }
          if let first = words.first?.first, first != UInt8(ascii: "#") { all += Array(words.joined(separator: [UInt8(ascii: " ")])) + [UInt8(ascii: "\n")] }
        }
        all.append(0)
      }
      return all
    }
    return [
      CommonThing("users", "the users in \(Self.secrets.joined(separator: " and "))", try text(Self.secrets)),
      CommonThing("options", "the options of pppd", try text(optionFiles([Self.commonOptions] + readConfiguration(call).pppOptionFiles.sorted(), call).map(\.file))),
      CommonThing("tunnels", "the secrets in \(tunnelSecrets(call))", try text([tunnelSecrets(call)])),
    ]
  }
  private func tunnelSecrets(_ call: Call) -> String {
    var named: String?
    do throws(OCFError) { named = try readConfiguration(call).global("auth file")?.value } catch { call.log.debug(error.reason) }
    return named.flatMap { $0.hasPrefix("/") ? $0 : nil } ?? "/etc/xl2tpd/l2tp-secrets"
  }

  private func optionFile(_ file: String, _ call: Call) throws(OCFError) -> [UInt8] {
    try attempt("reading \(file)", try call.host.files.read(file, limit: 1 << 20) ?? [])
  }

  /// Files of options, and those that they take in.
  private func optionFiles(_ files: [String], _ call: Call) throws(OCFError) -> [(file: String, bytes: [UInt8])] {
    try pppOptionFiles(files) { (file) throws(OCFError) in try optionFile(file, call) }.map { ($0.file, $0.bytes ?? []) }
  }

  /// Whether the kernel carries sessions, which xl2tpd prefers. Its module may come with the daemon's first socket: who asks
  /// before a start is told what is right for most kernels.
  private func carriesInKernel(_ configuration: XL2TPDConfiguration, _ call: Call) throws(OCFError) -> Bool {
    if configuration.forcesUserspace { return false }
    if call.request.action == .validateAll { return true }
    return try attempt("looking for L2TP in the kernel", try call.host.files.status("/proc/net/pppol2tp") != nil)
  }

  /// An option of serial lines, in pppd's words: it knows none of them (`tty.c`, `tty_options`) once its plugin for L2TP in the
  /// kernel is at work, which cannot be tried without a session.
  private func serialOption(in texts: [(file: String, bytes: [UInt8])]) -> String? {
    for (file, bytes) in texts {
      for words in Self.lines(bytes) {
        guard let word = words.first, Self.serialOptions.contains(word) || word.allSatisfy(\.isNumber) else { continue }
        return "pppd: In file \(file): unrecognized option '\(word)'"
      }
    }
    return nil
  }

  private static let serialOptions: Set<String> = [
    "lock", "nolock", "init", "connect", "disconnect", "welcome", "pty", "notty", "socket", "record", "crtscts", "cdtrcts", "nocrtscts",
    "-crtscts", "nocdtrcts", "-cdtrcts", "xonxoff", "modem", "local", "sync", "datarate", "escape",
  ]

  private func dryRun(_ files: [String], _ call: Call) throws(OCFError) -> String? {
    for file in files.isEmpty ? [nil] : files.map(Optional.some) {
      let command = Command(SessionProcesses.program, ["dryrun", "notty", "nodetach"] + (file.map { ["file", $0] } ?? []))
      do throws(SystemError) {
        let result = try call.host.processes.run(command, before: call.within(.seconds(2)).deadline)
        // EXIT_OPTION_ERROR. Whatever else it ends with is about the kernel, or about secrets.
        guard result.ending == .exited(2) else { continue }
        let said = String(decoding: result.error, as: UTF8.self).split(whereSeparator: \.isNewline).first.map(String.init) ?? ""
        let prefix = "\(SessionProcesses.program): "
        let words = said.hasPrefix(prefix) ? String(said.dropFirst(prefix.count)) : said
        return "pppd: \(words.isEmpty ? "it refuses the options in \(file ?? Self.commonOptions)" : words)"
      } catch { call.log.debug("asking pppd about its options: \(error)") }
    }
    return nil
  }

  /// Where a user is asked for and there can be none.
  private func missingUsers(_ configuration: XL2TPDConfiguration, _ call: Call) throws(OCFError) -> String? {
    let demands = configuration.servers.contains(where: \.asksForUser)
    for file in configuration.pppOptionFiles.isEmpty ? [nil] : configuration.pppOptionFiles.map(Optional.some) {
      let options = try optionFiles([Self.commonOptions] + [file].compactMap(\.self), call).flatMap { Self.lines($0.bytes).flatMap(\.self) }
      let words = Set(options)
      // Each plugin may be one that knows users; `login` asks the system's.
      if !words.isDisjoint(with: ["plugin", "login", "noauth"]) { continue }
      guard demands || words.contains("auth") || words.contains(where: { $0.hasPrefix("require-") }) else { continue }
      let names = configuration.serverNames.union(zip(options, options.dropFirst()).compactMap { $0 == "name" ? $1 : nil })
      var others = false
      // Debian's pap-secrets comes with entries: who is asked by CHAP is looked for in the other file only.
      let asksByCHAP = words.contains("refuse-pap") || words.contains { $0.hasPrefix("require-") && $0 != "require-pap" }
      for secrets in asksByCHAP && !words.contains("require-pap") ? Array(Self.secrets.prefix(1)) : Self.secrets {
        let users = PPPUser.all(in: try optionFile(secrets, call))
        // Without a name pppd takes the host's.
        if users.contains(where: { names.isEmpty || $0.server == "*" || names.contains($0.server) }) { return nil }
        others = others || !users.isEmpty
      }
      return others
        ? "no user can log in: /etc/ppp/chap-secrets has none of \(names.sorted().first ?? ""), the name in \(config)"
        : "no user can log in: /etc/ppp/chap-secrets has no entry, and no plugin of pppd is configured"
    }
    return nil
  }

  /// The words of each line that has any, without remarks.
  private static func lines(_ bytes: [UInt8]) -> [[String]] {
    bytes.split(separator: UInt8(ascii: "\n")).compactMap { line in
      let words = pppWords(line)
      return words.isEmpty ? nil : words
    }
  }
}

/// What pppd said of option files that looked like this. A hint: without it pppd is asked again.
struct Verdict {
  var digest: String
  var refusal: String?

  private static let kind = "pppd"
  private static func path(_ call: Call) -> String { call.request.recordPath(kind) }

  init(digest: String, refusal: String?) { (self.digest, self.refusal) = (digest, refusal) }

  static func read(_ call: Call) -> Verdict? {
    do throws(SystemError) {
      guard let bytes = try call.host.files.read(path(call), limit: 4096) else { return nil }
      let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n", maxSplits: 1, omittingEmptySubsequences: false)
      guard lines.count == 2 else { return nil }
      return Verdict(digest: String(lines[0]), refusal: lines[1].isEmpty ? nil : String(lines[1]))
    } catch {
      call.log.debug("\(error)")
      return nil
    }
  }

  func write(_ call: Call) {
    do throws(SystemError) {
      try call.keep(Array("\(digest)\n\(refusal ?? "")".utf8), as: Self.kind)
    } catch { call.log.debug("keeping what pppd said: \(error)") }
  }

  static func remove(_ call: Call) {
    do throws(SystemError) { try call.host.files.remove(path(call)) } catch {
      call.log.warning("cleaning up after xl2tpd: \(error)")
    }
  }
}
