import Daemon
import Host
import IKEProbe
import OCF
import Pluto

/// What clients need besides a pluto that answers.
extension Libreswan {
  /// What weakens the service; throws why there is none.
  func served(by process: Process, _ call: Call) throws(OCFError) -> [Risk] {
    let status = try answer(process, call) { (control) throws(PlutoError) in try control.status() }
    if let problem = try lack(status, call) { throw .failed(problem) }
    var risks: [Risk] = []
    let wanted = connections.isEmpty ? status.connections : status.connections.filter { one in connections.contains(where: one.isNamed) }
    for missing in connections where !wanted.contains(where: { $0.isNamed(missing) }) { risks.append(Risk("connections: \(missing) is not loaded\(hint(status))")) }
    if wanted.isEmpty { risks.append(Risk("config: pluto has no connection loaded, so nobody can connect\(hint(status))", unfit: true)) }
    for one in wanted where !one.isOriented { risks.append(Risk("connections: neither end of \(one.name) is an address of this node")) }
    if let address, !wanted.isEmpty, !wanted.contains(where: { $0.local == address }) {
      risks.append(Risk("connections: left of \(wanted.map(\.name).joined(separator: " ")) is not \(address)", unfit: true))
    }
    guard call.depth >= .service else { return risks }
    risks += try keyless(wanted, process, call)
    guard wanted.contains(where: \.usesSharedKey) else { return risks }
    let secrets = try answer(process, call) { (control) throws(PlutoError) in try control.secrets() }
    for one in wanted where one.usesSharedKey && !secrets.contains(where: { $0.mayServe(one) }) {
      risks.append(Risk("connections: \(one.name) has no pre-shared key\(address.map { " for \($0)" } ?? "")", unfit: true))
    }
    return risks
  }

  /// What is wrong about the certificates that connections show, and their private keys. Of several with one name one will do. A raw public key is not
  /// looked at; a connection whose certificate is missing, or has ended, pluto does not load.
  private func keyless(_ wanted: [PlutoStatus.Connection], _ process: Process, _ call: Call) throws(OCFError) -> [Risk] {
    let signing = wanted.filter { $0.signs && $0.certificate != nil }
    guard !signing.isEmpty else { return [] }
    let all = Dictionary(grouping: try answer(process, call) { (control) throws(PlutoError) in try control.certificates() }, by: \.name)
    return signing.compactMap { one in
      guard let name = one.certificate, let found = all[name] else { return nil }
      let usable = found.filter(\.hasPrivateKey)
      if usable.isEmpty { return Risk("connections: \(one.name) has no private key for its certificate \(name)", unfit: true) }
      return Timestamp.last(of: usable.map(\.end)).flatMap { .end(ofCertificateOf: one.name, at: $0, call.host.clock.timestamp) }
    }
  }

  /// Why no client would be served; nil when one may be.
  func lack(_ status: PlutoStatus, _ call: Call) throws(OCFError) -> String? {
    if let address {
      guard try attempt("looking for \(address)", try call.host.network.holds(address)) else { return "address: \(address) is not on this node" }
      guard status.listens(on: address) else { return "address: pluto does not listen on \(address): ipsec whack --listen" }
    }
    let loaded = connections.filter { name in status.connections.contains { $0.isNamed(name) } }
    guard connections.isEmpty || !loaded.isEmpty else { return "connections: \(connections[0]) is not loaded\(hint(status))" }
    let ours = status.connections.filter { one in loaded.contains(where: one.isNamed) }
    guard ours.isEmpty || ours.contains(where: \.isOriented) else { return "connections: neither end of \(ours[0].name) is an address of this node" }
    return nil
  }

  /// pluto tells its log alone why it refuses a connection for IKEv1.
  func hint(_ status: PlutoStatus) -> String {
    status.ikev1Policy.map { $0 == "accept" ? "" : " (ikev1-policy=\($0) refuses IKEv1: L2TP needs accept)" } ?? ""
  }

  /// Why a pluto that is at work does not answer IKE on the address; nil when it does, or there is no address to ask at. One that is not at work
  /// and does not answer has failed.
  ///
  /// It is asked for a version that nobody has: pluto refuses it, and keeps nothing.
  func silence(of process: Process, _ call: Call) throws(OCFError) -> String? {
    guard let address else { return nil }
    let deadline = call.within(.seconds(6)).deadline
    for port in [UInt16(500), 4500] {
      let prober = IKEProber(address, port: port, from: address, spi: UInt64.random(in: 1...UInt64.max))
      do throws(IKEProbeError) { _ = try prober.ask(.version, on: call.host, before: deadline) } catch {
        guard error.kind == .timedOut, process.atWork(call, ticks: 10) != nil else { throw .failed("\(error)") }
        return "pluto is busy with other clients: \(error)"
      }
    }
    return nil
  }

  // MARK: Before a start

  package func checkNode(_ call: Call) throws(OCFError) {
    try daemon.checkInstalled(call)
    for helper in [PlutoControl.whack(besides: binary.description), PlutoControl.addconn(besides: binary.description)] where !call.host.files.isExecutable(helper) {
      throw .missing(helper, package: daemon.package)
    }
    _ = try names(call)
  }

  /// What the file defines. Read by libreswan's own parser, so that an error is found before anything is touched.
  func names(_ call: Call) throws(OCFError) -> [String] {
    guard try attempt("config", try call.host.files.status(config.description)) != nil else { throw .failed("config: \(config) is missing") }
    do throws(PlutoError) { return try control(call.within(.seconds(10))).connections(in: config.description) } catch {
      throw .failed(error.reason.contains(config.description) ? "config: \(error.reason)" : "config: \(config): \(error.reason)")
    }
  }

  /// A start goes on, and the monitor says it; one that would serve nobody is not started.
  package func foreseen(_ call: Call) throws(OCFError) -> [Risk] {
    let names = try names(call)
    let absent = connections.filter { !names.contains($0) }
    if let first = absent.first, absent.count == connections.count { throw .failed("connections: \(first) is not in \(config)") }
    var risks = absent.map { Risk("connections: \($0) is not in \(config)", unfit: true) }
    if names.isEmpty { risks.append(Risk("config: \(config) holds no connections, so nobody can connect", unfit: true)) }
    let settings: [String: String]
    do throws(PlutoError) { settings = try control(call.within(.seconds(10))).settings(in: config.description) } catch { throw .failed("config: \(error.reason)") }
    if let secrets = settings["secretsfile"], secrets.hasPrefix("/"), try attempt("looking for \(secrets)", try call.host.files.status(secrets)) == nil {
      risks.append(Risk("config: \(secrets) is missing, so pluto has no pre-shared key", unfit: true))
    }
    // The unit makes it when it is missing.
    if let folder = settings["nssdir"], folder.hasPrefix("/"), try !daemon.startsByUnit(call), try attempt("looking for \(folder)", try call.host.files.status("\(folder)/cert9.db")) == nil {
      throw .failed("config: \(folder) has no NSS database: ipsec initnss")
    }
    return risks
  }

  /// Whom both nodes let in with a secret: the lines of pre-shared keys.
  package func commonThings(_ call: Call) throws(OCFError) -> [CommonThing] {
    let settings: [String: String]
    do throws(PlutoError) { settings = try control(call.within(.seconds(2))).settings(in: config.description) } catch { throw .failed(error.reason) }
    let path = settings["secretsfile"] ?? "/etc/ipsec.secrets"
    guard let bytes = try attempt("reading \(path)", try call.host.files.read(path, limit: 1 << 20)) else { return [] }
    let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n").map { $0.split(whereSeparator: \.isWhitespace).joined(separator: " ") }
    let keys = lines.filter { !$0.hasPrefix("#") && $0.contains(" PSK ") }
    return [CommonThing("secrets", "the secrets in \(path)", Array(keys.sorted().joined(separator: "\n").utf8))]
  }
}
