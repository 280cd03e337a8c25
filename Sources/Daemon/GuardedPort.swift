import Host
import OCF

/// The UDP port of which a firewall of this node keeps clear text out, for the agent of the daemon that serves it. Lies under `/run`
/// for as long as the rules are loaded.
public struct GuardedPort: Equatable, Sendable {
  public var port: UInt16
  /// The resource that guards it.
  public var resource: String

  private static let kind = "guards"
  public static func path(_ call: Call) -> String { call.request.recordPath(kind) }

  /// Nothing is guarded less for it when that cannot be told.
  public static func write(_ port: UInt16, _ call: Call) {
    do throws(SystemError) { try call.keep(Array("\(port)\n".utf8), as: kind) } catch {
      call.log.warning("telling which port is guarded: \(error)")
    }
  }

  /// What every firewall of this node guards.
  public static func all(_ call: Call) -> [GuardedPort] {
    let prefix = "vpnha-firewall-"
    let suffix = ".\(kind)"
    do throws(SystemError) {
      var found: [GuardedPort] = []
      for name in try call.host.files.entries(of: Request.recordDirectory) ?? [] where name.hasPrefix(prefix) && name.hasSuffix(suffix) {
        let bytes = try call.host.files.read("\(Request.recordDirectory)/\(name)", limit: 16) ?? []
        guard let port = UInt16(String(decoding: bytes, as: UTF8.self).prefix { $0 != "\n" }) else { continue }
        found.append(GuardedPort(port: port, resource: String(name.dropFirst(prefix.count).dropLast(suffix.count))))
      }
      return found
    } catch {
      call.log.debug("looking for what is guarded: \(error)")
      return []
    }
  }
}
