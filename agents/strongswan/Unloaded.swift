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
    let lines = Swanctl.lines(output)
    return (file.resolved("connections")?.sections ?? []).filter { !loaded.contains($0.name) }.map { section in
      let prefix = "loading connection '\(section.name)' failed: "
      let words = lines.last { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
      return Unloaded(name: section.name, words: words ?? Swanctl.complaint(in: output) ?? "swanctl did not load it")
    }
  }

  /// Whether anybody the operator means can connect.
  func serves(_ loaded: [String]) -> Bool { connections.isEmpty ? !loaded.isEmpty : connections.contains(where: loaded.contains) }

  /// What to say of a connection that charon refused.
  func risk(_ refused: Unloaded, isPromoted: Bool) -> Risk {
    Risk("connections: \(refused.name) was refused: \(refused.words)", unfit: !isPromoted && (connections.isEmpty || connections.contains(refused.name)))
  }

  /// What charon would say of `file` when it is loaded, as far as a file tells.
  func foreseenRefusals(_ file: SettingsFile, _ call: Call) -> [Unloaded] {
    file.refusedConnections { call.mayKnow($0, program: Self.plugin) }.map { Unloaded(name: $0.connection, words: $0.reason) }
  }

  private static let plugin = "/usr/lib/ipsec/plugins/libstrongswan-vici.so"
}
