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
    do throws(SystemError) {
      return try call.host.files.records(of: "firewall", as: kind, limit: 16).compactMap { record in
        UInt16(String(decoding: record.bytes, as: UTF8.self).prefix { $0 != "\n" }).map { GuardedPort(port: $0, resource: record.instance) }
      }
    } catch {
      call.log.debug("looking for what is guarded: \(error)")
      return []
    }
  }
}
