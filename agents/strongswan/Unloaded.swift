import Daemon
import Host
import OCF
import VICI

/// Connections that charon refused when this daemon was started, in swanctl's words, so that a monitor tells them from those that
/// somebody unloaded. Lies under `/run`.
struct Unloaded {
  var name: String
  var words: String

  private static let kind = "unloaded"

  static func read(_ call: Call) -> [Unloaded] {
    do throws(SystemError) {
      let lines = String(decoding: try call.host.files.read(call.request.recordPath(kind), limit: 65_536) ?? [], as: UTF8.self).split(separator: "\n")
      return lines.compactMap { line in
        let parts = line.split(separator: "\t", maxSplits: 1).map(String.init)
        return parts.count == 2 ? Unloaded(name: parts[0], words: parts[1]) : nil
      }
    } catch {
      call.log.debug("reading what charon refused: \(error)")
      return []
    }
  }

  static func write(_ refused: [Unloaded], _ call: Call) {
    do throws(SystemError) {
      guard !refused.isEmpty else { return try call.host.files.remove(call.request.recordPath(kind)) }
      try call.keep(Array(refused.prefix(64).map { "\($0.name)\t\($0.words.prefix(300))\n" }.joined().utf8), as: kind)
    } catch { call.log.warning("keeping what charon refused: \(error)") }
  }
}

extension StrongSwan {
  /// The connections of `file` that charon has not, each with what swanctl says of it.
  func refused(of file: SettingsFile, _ loaded: [String], _ output: [UInt8]) -> [Unloaded] {
    let (begin, end) = ("loading connection '", "' failed: ")
    // Of several lines about a connection the last one counts.
    var words: [Substring: String] = [:]
    for line in Swanctl.lines(output) where line.hasPrefix(begin) {
      let rest = line.dropFirst(begin.count)
      if let place = rest.firstRange(of: end) { words[rest[..<place.lowerBound]] = String(rest[place.upperBound...]) }
    }
    let (had, complaint) = (Set(loaded), Swanctl.complaint(in: output) ?? "swanctl did not load it")
    return (file.resolved("connections")?.sections ?? []).filter { !had.contains($0.name) }.map { section in
      Unloaded(name: section.name, words: words[section.name[...]] ?? complaint)
    }
  }

  /// Whether anybody the operator means can connect.
  func serves(_ loaded: [String]) -> Bool { connections.isEmpty ? !loaded.isEmpty : !Set(connections).isDisjoint(with: loaded) }

  /// What to say of connections that charon refused.
  func risks(_ refused: [Unloaded], isPromoted: Bool) -> [Risk] {
    let wanted = Set(connections)
    return refused.map { Risk("connections: \($0.name) was refused: \($0.words)", unfit: !isPromoted && (wanted.isEmpty || wanted.contains($0.name))) }
  }

  /// What swanctl and charon would say of `file` when it is loaded, as far as files tell.
  func foreseenRefusals(_ file: SettingsFile, _ call: Call) throws(OCFError) -> [Unloaded] {
    let (words, algorithms) = (Vocabulary(of: Self.plugin, call), Vocabulary(of: Self.library, call))
    var refused = file.refusedConnections(words.mayKnow, isAlgorithm: algorithms.mayKnow).map { Unloaded(name: $0.connection, words: $0.reason) }
    var names = Set(refused.map(\.name))
    for one in file.certificates where !names.contains(one.connection) {
      guard try attempt("looking for \(one.path)", try call.host.files.status(one.path)) == nil else { continue }
      names.insert(one.connection)
      refused.append(Unloaded(name: one.connection, words: "\(one.path) is missing (\(one.place))"))
    }
    return refused
  }

  /// Connections that show a certificate, where no private key would be loaded (`load_creds.c`).
  func foreseenKeyless(_ file: SettingsFile, _ call: Call) throws(OCFError) -> [Risk] {
    let secrets = file.resolved("secrets")?.sections ?? []
    guard !secrets.contains(where: { $0.name.hasPrefix("token") }) else { return [] }
    for folder in ["private", "rsa", "ecdsa", "pkcs8", "pkcs12"] {
      if try attempt("looking for private keys", try call.host.files.entries(of: "/etc/swanctl/\(folder)"))?.isEmpty == false { return [] }
    }
    let names = Set(connections)
    let wanted = (file.resolved("connections")?.sections ?? []).filter { connection in
      (names.isEmpty || names.contains(connection.name)) && connection.sections.contains { $0.name.hasPrefix("local") && ["pubkey", "rsa", "ecdsa"].contains(($0.value("auth") ?? "pubkey").prefix { $0 != "-" }) }
    }
    return wanted.map { Risk("connections: \($0.name) has no private key: /etc/swanctl has none", unfit: true) }
  }

  private static let plugin = "/usr/lib/ipsec/plugins/libstrongswan-vici.so"
  private static let library = "/usr/lib/ipsec/libstrongswan.so.0"
}
