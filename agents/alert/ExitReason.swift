import Host
import OCFMetadata

/// The reason that an agent gave for a result: Pacemaker keeps it in the CIB's status and does not hand it to alert agents.
struct ExitReason {
  static let program = "/usr/sbin/cibadmin"
  /// The status is written while the alert is under way.
  static let patience = Duration.seconds(3)

  /// Nil when the agent gave none, or it cannot be found out.
  static func find(for alert: Alert, on host: Host) -> String? {
    guard alert.isResource, alert.isFailure, isName(alert["node"]), isName(alert["rsc"]) else { return nil }
    let deadline = host.clock.now + patience
    let path = "//node_state[@uname='\(alert["node"])']/lrm/lrm_resources/lrm_resource[@id='\(alert["rsc"])']"
    var found: String?
    do throws(SystemError) {
      _ = try host.until(before: deadline) { () throws(SystemError) in
        let result = try host.processes.run(
          Command(program, ["--query", "--xpath", path], outputLimit: 1 << 20), before: deadline)
        guard result.succeeded, let document = try XMLDocument(result.output) else { return false }
        found = reason(in: document, of: alert)
        return found != nil
      }
    } catch { return nil }
    return found.flatMap { $0.isEmpty ? nil : cut($0) }
  }

  /// Letters, digits, and what a resource or a node may have in its name: nothing that means anything in XPath.
  private static func isName(_ text: String) -> Bool {
    (1...256).contains(text.utf8.count)
      && text.utf8.allSatisfy { $0 >= 0x30 && $0 <= 0x39 || $0 >= 0x41 && $0 <= 0x5a || $0 >= 0x61 && $0 <= 0x7a || ".-_:".utf8.contains($0) }
  }

  /// Of the result that the alert is about, by operation, code and time; nil while that is not there.
  private static func reason(in document: XMLDocument, of alert: Alert) -> String? {
    let moment = alert.number("timestamp_epoch")
    let matching = (document.root?.all(named: "lrm_rsc_op") ?? []).filter { operation in
      guard operation["operation"] == alert["task"], operation["rc-code"] == alert["rc"] else { return false }
      guard let moment, let changed = operation["last-rc-change"].flatMap({ Int($0) }) else { return moment == nil }
      // An action may have begun as long before as it took.
      return changed <= moment &+ 1 && changed >= moment &- 5 &- (alert.number("exec_time") ?? 0) / 1000
    }
    return matching.map { $0["exit-reason"] ?? "" }.max { $0.utf8.count < $1.utf8.count }
  }
}
