import Daemon
import Host
import OCF
import VICI

/// A child that charon would negotiate of its own accord: `start_action` in swanctl.conf.
///
/// On a standby it would build the branch office's tunnel beside the serving node's, or give up for ever because the address is
/// not there. So a member of a promotable clone loads connections without it, and a promotion does what it says.
struct Initiation: Equatable {
  var connection: String
  var child: String
  /// Negotiated at once.
  var starts: Bool
  /// Negotiated when there is something to send.
  var traps: Bool

  static func all(in file: SettingsFile) -> [Initiation] {
    (file.resolved("connections")?.sections ?? []).flatMap { connection in
      (connection.section("children")?.sections ?? []).compactMap { child in
        let action = child.value("start_action") ?? ""
        let initiation = Initiation(
          connection: connection.name, child: child.name, starts: action.contains("start"), traps: action.contains("trap"))
        return initiation.starts || initiation.traps ? initiation : nil
      }
    }
  }

  /// A file for swanctl that holds `config` without these: what is said last counts.
  static func file(_ config: AbsolutePath, without initiations: [Initiation]) -> [UInt8] {
    let path = config.description.map { "*?[\\".contains($0) ? "\\\\\($0)" : $0 == "\"" ? "\\\"" : String($0) }.joined()
    let lines = initiations.map { "connections {\n \($0.connection) {\n children {\n \($0.child) {\n start_action = none\n }\n }\n }\n}\n" }
    return Array(("include \"\(path)\"\n" + lines.joined()).utf8)
  }
}

extension StrongSwan {
  /// Negotiates what `start_action` names and is not there yet. A promotion does not fail because of it.
  func initiate(_ call: Call) {
    change("initiating connections", call) { (initiations) throws(OCFError) in
      var there: Set<String> = []
      try ask { () throws(VICIError) in
        try connect(call, within: .seconds(5)).sas { if $0.isActive || $0.state == "CONNECTING" { there.insert($0.connection) } }
      }
      for each in initiations {
        do throws(OCFError) {
          try ask { () throws(VICIError) in
            if each.traps { try connect(call, within: .seconds(5)).install(child: each.child, of: each.connection) }
            if each.starts, !there.contains(each.connection) {
              try connect(call, within: .seconds(5)).initiate(child: each.child, of: each.connection)
            }
          }
          call.log.info("initiating \(each.child) of \(each.connection)")
        } catch { call.log.warning("initiating \(each.child) of \(each.connection): \(error.reason)") }
      }
    }
  }

  /// Takes back what `initiate` did, but for SAs at our address: clients' SAs are ended or handed over with the others.
  func withdraw(_ call: Call) {
    change("ending connections", call) { (initiations) throws(OCFError) in
      for each in initiations where each.traps {
        do throws(VICIError) { try connect(call, within: .seconds(2)).uninstall(child: each.child, of: each.connection) } catch {
          call.log.debug("\(error)")
        }
      }
      try ask { () throws(VICIError) in
        var ids: [UInt64] = []
        let names = Set(initiations.map(\.connection))
        try connect(call, within: .seconds(2)).sas { sa in
          if !isOurs(sa), sa.hasPeer, names.contains(sa.connection) { ids.append(sa.uniqueID) }
        }
        for id in ids { try connect(call, within: .seconds(2)).terminate(.ikeID(id)) }
      }
    }
  }

  private func change(_ what: String, _ call: Call, _ body: ([Initiation]) throws(OCFError) -> Void) {
    do throws(OCFError) {
      let initiations = Initiation.all(in: try checkSettings(call))
      guard !initiations.isEmpty else { return }
      let lock = try exclusive(call.within(.seconds(2)))
      defer { lock.release() }
      try body(initiations)
    } catch { call.log.warning("\(what): \(error.reason)") }
  }

  /// A connection that this standby negotiated itself; nil when there is none. With the ha plugin what is at the address is the
  /// peer's.
  func initiatedByStandby(hasHA: Bool, _ call: Call) throws(VICIError) -> String? {
    var name: String?
    try connect(call, within: .seconds(5)).sas { sa in
      if sa.isInitiator, !sa.isPassive, sa.connection != "ha", !hasHA || !isOurs(sa) { name = name ?? sa.connection }
    }
    return name
  }
}
