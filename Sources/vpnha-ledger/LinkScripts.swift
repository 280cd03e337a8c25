import Adoption
import Host
import Ledger

/// The scripts that pppd runs when a link has come up or has gone, for sessions that have no pppd (pppd(8), SCRIPTS).
///
/// One at a time, and nobody waits for its end: packets of clients come first.
struct LinkScripts {
  static let starter = "/usr/bin/setsid"
  static let patience = Duration.seconds(1)

  private var waiting: [Adoption.LinkEvent] = []

  var isIdle: Bool { waiting.isEmpty }

  mutating func add(_ events: [Adoption.LinkEvent]) { waiting += events }

  mutating func runNext(on host: Host) {
    guard !waiting.isEmpty else { return }
    let event = waiting.removeFirst()
    let script = event.isUp ? "/etc/ppp/ip-up" : "/etc/ppp/ip-down"
    guard host.files.isExecutable(script) else { return }
    do throws(SystemError) {
      _ = try host.processes.run(Self.command(script, event, now: host.clock.timestamp.seconds), before: host.clock.now + Self.patience)
    } catch { say("\(script) for \(event.interface): \(error)") }
  }

  /// As pppd of xl2tpd is told to call it: there is no terminal, and `ipparam` is the client's outer address (`pass peer`).
  static func command(_ script: String, _ event: Adoption.LinkEvent, now: Int64) -> Command {
    let record = event.record
    var environment = [
      "IFNAME": event.interface, "IPLOCAL": "\(record.local)", "IPREMOTE": "\(record.remote)", "SPEED": "0", "ORIG_UID": "0", "PPPLOGNAME": "root",
      "VPNHA_CARRIED": "\(record.hops)",
    ]
    if !record.user.isEmpty { environment["PEERNAME"] = record.user }
    if !event.isUp { environment["CONNECT_TIME"] = "\(max(0, now - Int64(clamping: record.since)))" }
    return Command(starter, ["-f", script, event.interface, "", "0", "\(record.local)", "\(record.remote)", "\(record.peer)"], environment: environment, outputLimit: 4096)
  }
}
