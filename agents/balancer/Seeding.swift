import Daemon
import Host
import OCF
import VICI

/// This gateway's sessions, told to the members that hear: a director without an entry for a client sends its ESP to nobody who can read it.
extension Balancer {
  /// As long as the kernel's own entries of UDP live without a packet.
  static let entryTimeout: UInt32 = 300

  @discardableResult
  func seed(_ call: Call) throws(OCFError) -> [BalancedClient] {
    guard let own = try own(call) else { return [] }
    var clients: [BalancedClient] = []
    do throws(VICIError) {
      let charon = try Charon(at: vici.description, on: call.host, before: call.within(.seconds(1)).deadline)
      try charon.sas { (sa) throws(VICIError) in
        guard sa.isActive, sa.localHost == "\(address)", let client = IPAddress(sa.remoteHost), !client.isIPv6, let port = UInt16(exactly: sa.remotePort), port > 0,
          clients.count < 65_536
        else { return }
        // Behind a NAT both ends have moved to 4500; the client's port is what the NAT made of it.
        clients.append(BalancedClient(client, clientPort: port, address: address, port: port == 500 ? 500 : 4500, server: own.address))
      }
    } catch { throw .failed("asking charon for its SAs: \(error)") }
    guard !clients.isEmpty else { return [] }
    try attempt("telling of this gateway's clients", try call.host.network.tell(clients, mark: UInt32(mark), timeout: Self.entryTimeout, by: syncDaemon(.backup)))
    call.log.debug("told of \(clients.count) clients")
    return clients
  }

  /// Waits until the kernel's table has the last of them: the sync daemon that hears of them is about to be stopped.
  func awaitEntries(_ clients: [BalancedClient], _ call: Call) {
    guard let last = clients.last else { return }
    let line = Self.line(of: last)
    do throws(SystemError) {
      let isThere = try call.within(.milliseconds(500)).until { () throws(SystemError) in
        String(decoding: try call.host.files.read("/proc/net/ip_vs_conn", limit: 64 << 20) ?? [], as: UTF8.self).contains(line)
      }
      if !isThere { call.log.warning("this gateway's clients are not all in the kernel's table: those without an entry are silent until they rekey") }
    } catch { call.log.warning("\(error)") }
  }

  /// As `/proc/net/ip_vs_conn` begins its line: `UDP CB007164 01F4 CB007132 01F4 `.
  static func line(of client: BalancedClient) -> String {
    func hex(_ number: UInt32, _ digits: Int) -> String {
      let text = String(number, radix: 16, uppercase: true)
      return String(repeating: "0", count: max(0, digits - text.count)) + text
    }
    func hex(_ address: IPAddress) -> String { hex(address.bytes.reduce(0) { $0 << 8 | UInt32($1) }, 8) }
    return "UDP \(hex(client.client)) \(hex(UInt32(client.clientPort), 4)) \(hex(client.address)) \(hex(UInt32(client.port), 4)) "
  }
}
