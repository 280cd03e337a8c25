import Daemon
import Host
import L2TP
import Ledger
import OCF

/// Addresses of sessions that a ledger carries on. The daemon has given them to nobody, and would give them to the next client: it is told
/// while it runs that they are none of its ranges, and that they are again when their sessions are over.
///
/// Equivalent to: `xl2tpd-control add-lns default "no ip range=10.9.0.10"`, and `"ip range=10.9.0.10"`.
extension XL2TPD {
  /// Before the first client comes in, and with every close look. What cannot be settled now is settled by the next look.
  func reserveCarried(from process: Process, _ configuration: XL2TPDConfiguration, _ call: Call) {
    do {
      let reserved = try reservedAddresses(by: process, call)
      let carried = try carriedAddresses(call)
      guard reserved != carried else { return }
      for server in configuration.servers where server.assigns {
        let taken = carried.subtracting(reserved).filter(server.pool.contains).map(\.description).sorted()
        let given = reserved.subtracting(carried).filter(server.pool.contains).map(\.description).sorted()
        for request in Self.requests(to: server.name, taken.map { "no ip range=\($0);" } + given.map { "ip range=\($0);" }) {
          _ = try pipe.ask(request, on: call.host, before: call.within(Self.actionPatience).deadline)
        }
      }
      let lines = ["\(process.pid) \(process.startTime)"] + carried.map(\.description).sorted()
      try call.keep(Array(lines.map { "\($0)\n" }.joined().utf8), as: Self.reserving)
      call.log.info("\(carried.count) addresses of carried sessions are given to nobody else", ("VPNHA_SESSIONS", "\(carried.count)"))
    } catch { call.log.warning("keeping addresses of carried sessions: \(error)") }
  }

  /// As many as the daemon reads at once.
  static func requests(to server: String, _ settings: [String]) -> [String] {
    var requests: [String] = []
    for setting in settings {
      if let last = requests.last, last.utf8.count + setting.utf8.count <= 800 { requests[requests.count - 1] += setting } else { requests.append("z \(server) \(setting)") }
    }
    return requests
  }

  private func carriedAddresses(_ call: Call) throws(SystemError) -> Set<IPAddress> {
    var found: Set<IPAddress> = []
    for ledger in try LedgerControl.all(call.host.files) {
      for line in try ledger.ask("list", on: call.host, limit: 4 << 20, before: call.within(Self.actionPatience).deadline) {
        // session TUNNEL SESSION PEER PORT LOCAL REMOTE USER SINCE HOPS STANDING
        let words = line.split(separator: " ")
        if words.count == 11, words[0] == "session", words[10] == "adopted", let address = IPAddress(String(words[6])) { found.insert(address) }
      }
    }
    return found
  }

  /// What this very process has been told; another one has been told nothing.
  private func reservedAddresses(by process: Process, _ call: Call) throws(SystemError) -> Set<IPAddress> {
    guard let bytes = try call.host.files.read(call.request.recordPath(Self.reserving), limit: 1 << 20) else { return [] }
    let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
    guard lines.first == "\(process.pid) \(process.startTime)" else { return [] }
    return Set(lines.dropFirst().compactMap { IPAddress(String($0)) })
  }

  func forgetReserved(_ call: Call) {
    do throws(SystemError) { try call.host.files.remove(call.request.recordPath(Self.reserving)) } catch { call.log.warning("cleaning up after xl2tpd: \(error)") }
  }

  private static let reserving = "reserved"
}
