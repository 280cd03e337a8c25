import Daemon
import Host
import L2TP
import OCF
import Sessions

extension XL2TPD {
  /// Programs, the kernel's PPP, the configuration and what it names. Changes nothing.
  package func checkNode(_ call: Call) throws(OCFError) { _ = try startable(call) }

  /// What a daemon is started with, where one can be.
  func startable(_ call: Call) throws(OCFError) -> XL2TPDConfiguration {
    try daemon.checkInstalled(call)
    guard call.host.files.isExecutable(SessionProcesses.program) else {
      throw .missing(SessionProcesses.program, package: "ppp")
    }
    let configuration = try usableConfiguration(call).configuration
    try checkFiles(configuration.pppOptionFiles, call)
    if !radius.isEmpty, radiusSecretFile != nil { _ = try accountingSecret(call) }
    // A running daemon's sessions are looked at by its own configuration.
    if call.request.action != .monitor, let refusal = try refusal(of: configuration, call) { throw .failed(refusal) }
    let device = try attempt("looking for /dev/ppp", try call.host.files.status("/dev/ppp"))
    guard device != nil else { throw .notInstalled(Self.noPPP) }
    return configuration
  }

  /// What a start goes on with, and a monitor tells.
  package func foreseen(_ call: Call) throws(OCFError) -> [Risk] {
    let configuration = try usableConfiguration(call).configuration
    var risks = try unfitness(configuration, call)
    risks += sharedPools(configuration, call).map { Risk($0) }
    if let risk = unguarded(configuration, call) { risks.append(risk) }
    if let risk = askedOfTheResolver(configuration) { risks.append(risk) }
    do throws(OCFError) {
      if try testAccount(call) == nil, call.depth >= .client { call.log.info(Self.nobodyDialled) }
    } catch { risks.append(Risk(error.reason)) }
    return risks
  }

  func askedOfTheResolver(_ configuration: XL2TPDConfiguration) -> Risk? {
    configuration.named.map { Risk("config: \(config) line \($0.line): write an address for '\($0.word)': a name is asked of the resolver at each start") }
  }

  /// The configuration, if a daemon that is started with it can serve. What stands in a file is mended in that file, so that
  /// nothing here is a reason to bar the node until somebody cleans up.
  func usableConfiguration(_ call: Call) throws(OCFError) -> (bytes: [UInt8], configuration: XL2TPDConfiguration) {
    let bytes = try readFile(call)
    let configuration = try parsed(bytes)
    if let refused = configuration.refused({ call.mayKnow($0, program: binary.description) }) { throw .failed("config: \(config) \(refused)") }
    guard configuration.port != nil else {
      let setting = configuration.global("port")
      throw .failed("config: \(config) line \(setting?.line ?? 0): invalid port \(setting?.value ?? "")")
    }
    guard let setting = configuration.listenAddress else {
      let wanted = address.map { "\($0)" } ?? "ADDRESS"
      throw .failed(
        "config: add \"listen-addr = \(wanted)\" to [global] of \(config): bound to every address, xl2tpd answers from the wrong one")
    }
    guard let listen = IPAddress(setting.value), !listen.isIPv6 else {
      throw .failed("config: \(config) line \(setting.line): listen-addr \(setting.value) is no IPv4 address")
    }
    if listen.isUnspecified {
      let wanted = address.map { " \($0)" } ?? ""
      throw .failed("config: set listen-addr\(wanted) in \(config) line \(setting.line): bound to \(listen), xl2tpd answers from the wrong address")
    }
    if let address, address != listen {
      throw .failed("address: is \(address), but \(config) line \(setting.line) has listen-addr \(listen)")
    }
    guard configuration.hasServer else {
      throw .failed("config: \(config) has no [lns default], and no other lns that names a lac: nobody gets in")
    }
    return (bytes, configuration)
  }

  private func checkFiles(_ files: [String], _ call: Call) throws(OCFError) {
    for file in files {
      let status = try attempt("looking for \(file)", try call.host.files.status(file))
      guard status != nil else { throw .failed("config: \(config) has pppoptfile \(file), which is missing") }
    }
  }

  /// What must hold at the moment of a launch: the address can be bound, the port is free, nothing is in the daemon's way.
  func prepare(_ address: IPAddress, _ port: UInt16, _ call: Call) throws(OCFError) {
    try prepareBinding(address, call)
    if let holder = try call.holder(ofUDP: port, where: { $0.address == address || $0.address.isUnspecified }) {
      guard let owner = holder.owner else {
        throw .failed("\(address) port \(port) is taken by another program\(try otherInstances(call))")
      }
      throw .failed("\(address) port \(port) is taken by \(owner.executable) (pid \(owner.pid))")
    }
    try removeStalePIDFile(call)
    try attempt("preparing \(control)") { () throws(SystemError) in
      for path in [control.description, pidfile.description] {
        guard let slash = path.lastIndex(of: "/"), slash > path.startIndex else { continue }
        try call.host.files.makeDirectory(String(path[..<slash]), mode: 0o755)
      }
    }
  }

  private func prepareBinding(_ address: IPAddress, _ call: Call) throws(OCFError) {
    if nonlocalBind, call.isPromotable { return try NonlocalBind(call).allow() }
    let isHere = try attempt("looking for \(address)", try call.host.network.holds(address))
    if isHere { return }
    guard call.isPromotable else { throw .failed("\(address) is not on this node, so no client could be answered") }
    guard try NonlocalBind(call).isAllowed() else {
      throw .failed("\(address) is not on this node and \(NonlocalBind.parameter) is 0: xl2tpd could not bind it")
    }
  }

  /// xl2tpd ends without a word when its pid file names any living process.
  func removeStalePIDFile(_ call: Call) throws(OCFError) {
    try attempt("looking at \(pidfile)") { () throws(SystemError) in
      let found: [UInt8]?
      // Nothing as long as that is a pid.
      do throws(SystemError) { found = try call.host.files.read(pidfile.description, limit: 64) } catch {
        guard error.errno == .tooLarge else { throw error }
        found = []
      }
      guard let bytes = found else { return }
      let text = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isWhitespace).first ?? ""
      if let pid = Int32(text), pid > 0, let process = try call.host.processes.process(pid),
        process.executable == binary.description, !isOurs(process)
      {
        throw SystemError("reading \(pidfile)", .exists, detail: "another xl2tpd (pid \(pid)) has it")
      }
      try call.host.files.remove(pidfile.description)
    }
  }
}
