import Host
import HostTestKit
import LinuxHost
import Testing

@Suite struct RecordedHostTests {
  let machine = InMemoryMachine(links: [Link(index: 2, name: "eth0", hasCarrier: false)], hasSystemd: true)
  var host: Host { machine.host.recorded }
  let address = InterfaceAddress(IPAddress("192.0.2.1")!, prefixLength: 24, link: 2)

  @Test func changesAndObservationsAreLines() throws {
    let host = host
    _ = try host.network.link(named: "eth0")
    _ = try host.network.link(named: "eth9")
    try host.network.add(address)
    _ = try host.network.holders(of: address.address)
    machine.units.put("a.service")
    _ = try host.units.start("a.service", before: machine.clock.now)
    try host.cluster.setPromotionScore(nil, of: "vip")
    #expect(
      machine.log.lines.map(\.message) == [
        "link eth0: 2 eth0 without carrier", "link eth9: none", "add 192.0.2.1/24 to link 2: done",
        "holders of 192.0.2.1: 192.0.2.1/24 on link 2 flags 0x0", "start a.service: done",
        "set the promotion score of vip to nothing: done",
      ])
    #expect(machine.log.lines.allSatisfy { $0.level == .debug })
  }

  @Test func packetFilterAndAttributesAreLines() throws {
    let host = host
    let table = FilterTable("vpnha", handle: 7, comment: "ours")
    machine.packetFilter.tables = [table]
    machine.packetFilter.contents["vpnha"] = FilterContents(chains: [FilterChain(name: "input", rules: [[1], [2]])])
    machine.packetFilter.members["vpnha draining"] = [SetMember(address.address)]
    _ = try host.packetFilter.table(named: "vpnha")
    _ = try host.packetFilter.contents(of: table)
    _ = try host.packetFilter.members(of: "draining", in: "vpnha")
    _ = try host.packetFilter.baseChains()
    _ = try host.packetFilter.certainlyDropped([FilteredPacket(protocolNumber: 17, port: 500)], by: BaseChain(family: "ip", table: "f", name: "IN", hook: .input, dropsByDefault: true))
    try host.packetFilter.remove(table)
    try host.cluster.setNodeAttribute("firewall-digest", to: "00ff", dampening: .zero)
    _ = try host.cluster.nodeAttribute("firewall-digest")
    #expect(
      machine.log.lines.map(\.message) == [
        "table inet vpnha: handle 7 ours", "contents of table inet vpnha: 1 chains, 2 rules, 0 sets",
        "members of set draining in table inet vpnha: 192.0.2.1", "base chains: 0", "dropped by chain IN of table ip f: 0 of 1 kinds", "remove table inet vpnha handle 7: done",
        "set node attribute firewall-digest to 00ff: done", "node attribute firewall-digest: moon: 00ff",
      ])
  }

  @Test func aWaitIsAFewLines() throws {
    let host = host
    let process = machine.processes.appear("/usr/sbin/d")
    machine.clock.after(.seconds(3)) { [machine] in machine.processes.vanish(process.pid) }
    let ended = try host.until(before: machine.clock.now + .seconds(9)) { () throws(SystemError) in
      try !host.processes.isAlive(process)
    }
    #expect(ended)
    let alive = "process \(process.pid) is alive"
    #expect(machine.log.lines.map(\.message) == ["\(alive): true", "\(alive): false"])
  }

  @Test func errorsPassThroughAsTheyAre() throws {
    let host = host
    #expect(throws: SystemError("removing 192.0.2.1/24 from link 2", .addressNotAvailable)) {
      try host.network.remove(address)
    }
    machine.calls.fail("network.holders", with: .io)
    #expect(throws: SystemError.self) { try host.network.holders(of: address.address) }
    #expect(
      machine.log.lines.map(\.message) == [
        "remove 192.0.2.1/24 from link 2: address not on this node (EADDRNOTAVAIL)",
        "holders of 192.0.2.1: input/output error (EIO)",
      ])
  }

  @Test func contentsAreNotShown() throws {
    let host = host
    machine.files.put("xyzzy", at: "/etc/secrets")
    machine.files.putFIFO("/run/control") { _ in }
    _ = try host.files.read("/etc/secrets", limit: 100)
    try host.files.replace("/etc/secrets", with: Array("xyzzy".utf8), mode: 0o600)
    try host.files.send(Array("xyzzy".utf8), toFIFO: "/run/control")
    try host.units.override("a.service", with: "xyzzy")
    machine.processes.whenRun("/bin/tool") { _ in CommandResult(.exited(0), output: Array("xyzzy".utf8)) }
    _ = try host.processes.run(Command("/bin/tool", ["a"], environment: ["PASSWORD": "xyzzy"]), before: machine.clock.now)
    #expect(machine.log.lines.count == 5)
    #expect(!machine.log.lines.contains { $0.message.contains("xyzzy") })
    #expect(machine.log.lines.last?.message == "run /bin/tool a: exited(0), 5 bytes")
  }
}
