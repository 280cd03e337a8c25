import CLinux
import Glibc
import Host
import LinuxHost
import Netlink
import Testing

/// The agent itself, a process in the namespace.
private struct Agent {
  let it: PrivateNetwork
  var parameters: [String: String]

  /// Beside the test program, where both are built.
  static let program: String = {
    var path = [CChar](repeating: 0, count: Int(PATH_MAX))
    let count = readlink("/proc/self/exe", &path, path.count)
    let text = String(decoding: path.prefix(max(0, count)).map(UInt8.init(bitPattern:)), as: UTF8.self)
    return text.split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" } + "/vip"
  }()

  func callAsFunction(_ action: String, _ more: [String: String] = [:], interval: Int = 10_000, level: Int = 0) throws -> (status: Int32, reason: String) {
    var environment = [
      "OCF_RESOURCE_TYPE": "vip", "OCF_RESOURCE_INSTANCE": "netns-\(getpid())-\(pthread_self())", "OCF_RESKEY_CRM_meta_timeout": "20000", "OCF_CHECK_LEVEL": "\(level)",
      "OCF_RESKEY_CRM_meta_interval": "\(interval)",
    ]
    for (name, value) in parameters.merging(more, uniquingKeysWith: { $1 }) { environment["OCF_RESKEY_\(name)"] = value }
    let result = try it.processes.run(
      Command(Self.program, [action], environment: environment), before: LinuxClock().now + .seconds(30))
    guard case .exited(let status) = result.ending else { throw SystemError("vip \(action)", .io, detail: "\(result.ending)") }
    let lines = String(decoding: result.error, as: UTF8.self).split(separator: "\n")
    let reasons = lines.filter { $0.hasPrefix("ocf-exit-reason:") }.map { String($0.dropFirst(16)) }
    #expect(reasons.count <= 1)
    #expect(result.output.isEmpty)
    return (status, reasons.first ?? "")
  }
}

@Suite("The vip agent in a network of its own", .enabled(if: noNamespaces == nil, Comment(rawValue: noNamespaces ?? "")))
struct VirtualIPTests {
  private func inNetwork(_ parameters: [String: String], _ body: (PrivateNetwork, Agent) throws -> Void) throws {
    try PrivateNetwork.run { it in
      try it.ip("address add 192.0.2.1/24 broadcast + dev near")
      try it.ip("address add 2001:db8::1/64 dev near nodad")
      try body(it, Agent(it: it, parameters: parameters))
    }
  }

  /// Carrier is told from link to link by the kernel's link watch, a moment later.
  private func awaitCarrier(of link: String, _ wanted: Bool, in it: PrivateNetwork) throws {
    let clock = LinuxClock()
    for _ in 0..<250 {
      let now = try it.link(link)
      if (now.hasCarrier && !(1...3).contains(now.operationalState)) == wanted { return }
      clock.sleep(until: clock.now + .milliseconds(20))
    }
    Issue.record("\(link) still has \(wanted ? "no carrier" : "carrier")")
  }

  /// Announcers of this network: other tests have their own, for the same address.
  private func announcers(_ it: PrivateNetwork) throws -> [Process] {
    var status = stat()
    guard stat("/proc/thread-self/ns/net", &status) == 0 else { throw SystemError("looking at the namespace", Errno(rawValue: Glibc.errno)) }
    return try it.processes.running(Agent.program).filter { $0.arguments.last == String(status.st_ino) }
  }

  private func bursts(_ it: PrivateNetwork) throws -> Int { try announcers(it).count }

  @Test("Five announcements, the first at once, the others in the background until the address goes")
  func burst() throws {
    try inNetwork(["ip": "192.0.2.50", "arp_interval": "100"]) { it, vip in
      let capture = try Capture(on: try it.link("far"))
      let near = try it.link("near")
      let before = LinuxClock().now
      #expect(try vip("start").status == 0)
      let after = LinuxClock().now
      let frames = capture.frames(5, within: .seconds(3)) { $0.type == 0x0806 }
      #expect(frames.count == 5)
      let payload = ARP.announcement(of: try #require(IPAddress("192.0.2.50")), from: near.hardwareAddress, asReply: false).bytes
      #expect(frames.allSatisfy { Array($0.payload.prefix(28)) == payload })
      // The capture reads late, so only what must hold does: the action did not wait for the burst.
      #expect(after - before < .milliseconds(400) || frames.count == 5)
      #expect(try vip("stop").status == 0)
      #expect(capture.frames(1, within: .milliseconds(300)) { $0.type == 0x0806 }.isEmpty)
    }
  }

  @Test("What a client's packet meets: no local route, a rule that drops the answer", arguments: [("192.0.2.50", "-4"), ("2001:db8::50", "-6")])
  func barriers(ip: String, family: String) throws {
    try inNetwork(["ip": ip, "nodad": "true"]) { it, vip in
      let look: () throws -> (status: Int32, reason: String) = { try vip("monitor", level: 10) }
      #expect(try vip("start").status == 0)
      #expect(try look() == (0, ""))
      try it.ip("\(family) route delete local \(ip) dev near table local")
      #expect(try look() == (1, "\(ip) is missing in the routing table local: no packet to it is taken in"))
      // What the cluster does then mends it.
      #expect(try vip("stop").status == 0 && vip("start").status == 0 && look() == (0, ""))
      for action in ["blackhole", "prohibit", "unreachable"] {
        try it.ip("\(family) rule add from \(ip) \(action)")
        #expect(try look() == (1, "nothing leaves from \(ip): a rule or a route drops it (ip rule show)"), "\(action)")
        try it.ip("\(family) rule delete from \(ip) \(action)")
        #expect(try look() == (0, ""))
      }
      // Other tables are no barrier, and one without a way to the clients is one.
      let other = ip.contains(":") ? "2001:db8::2" : "192.0.2.2"
      try it.ip("\(family) route add default via \(other) dev near")
      try it.ip("\(family) route add default via \(other) dev near table 100")
      try it.ip("\(family) rule add from \(ip) lookup 100")
      #expect(try look() == (0, ""))
      try it.ip("\(family) route replace unreachable default table 100")
      try it.ip("\(family) rule add from \(ip) to \(ip.contains(":") ? "2001:db8::/64" : "192.0.2.0/24") lookup main")
      let far = ip.contains(":") ? "2001:db8:ffff::1" : "198.51.100.1"
      #expect(try look() == (0, "nothing leaves from \(ip) to \(far): a rule or a route drops it (ip rule show)"))
      #expect(try vip("stop").status == 0)
    }
  }

  @Test("Stop ends a burst that is still running, and nothing leaves for the address any more")
  func silenced() throws {
    try inNetwork(["ip": "192.0.2.50", "arp_interval": "50", "arp_count": "1000"]) { it, vip in
      #expect(try vip("start").status == 0)
      // A program that is just being executed has no arguments for a moment.
      let clock = LinuxClock()
      for _ in 0..<100 where try bursts(it) == 0 { clock.sleep(until: clock.now + .milliseconds(10)) }
      let announcer = try #require(try announcers(it).first)
      // It has the action's packet socket: closing that is not waited for while clients wait for the address.
      var input = [CChar](repeating: 0, count: 64)
      #expect(readlink("/proc/\(announcer.pid)/fd/0", &input, input.count) > 0 && input.starts(with: "socket:".utf8.map(CChar.init)))
      #expect(try vip("stop").status == 0)
      let capture = try Capture(on: try it.link("far"))
      #expect(capture.frames(1, within: .milliseconds(300)) { $0.type == 0x0806 }.isEmpty)
      #expect(try bursts(it) == 0)
    }
  }

  @Test("A burst that outlives its address is silent: the address may be elsewhere by now")
  func addressTakenAway() throws {
    try inNetwork(["ip": "192.0.2.51", "arp_interval": "100", "arp_count": "1000"]) { it, vip in
      #expect(try vip("start").status == 0)
      try it.ip("address delete 192.0.2.51/24 dev near")
      let clock = LinuxClock()
      clock.sleep(until: clock.now + .milliseconds(300))
      let capture = try Capture(on: try it.link("far"))
      #expect(capture.frames(1, within: .milliseconds(400)) { $0.type == 0x0806 }.isEmpty)
      #expect(try bursts(it) == 0)
    }
  }

  @Test("A queue that takes no frame for a while does not end the announcements")
  func fullQueue() throws {
    try inNetwork(["ip": "192.0.2.52", "arp_interval": "50", "arp_count": "1000"]) { it, vip in
      do { try it.run("/usr/sbin/tc", "qdisc add dev near root tbf rate 8bit burst 60 limit 60".split(separator: " ").map(String.init)) } catch {
        try Test.cancel("this kernel has no token bucket: \(error)")
      }
      let filler = Announcement(try #require(IPAddress("192.0.2.1")), link: try it.link("near").index, count: 1)
      #expect(throws: SystemError.self) { for _ in 0..<100 { try it.network.announce(filler) } }
      #expect(try vip("start").status == 0)
      let clock = LinuxClock()
      for _ in 0..<100 where try bursts(it) == 0 { clock.sleep(until: clock.now + .milliseconds(10)) }
      // Long enough for some of its frames to be refused.
      clock.sleep(until: clock.now + .milliseconds(300))
      let capture = try Capture(on: try it.link("far"))
      try it.run("/usr/sbin/tc", ["qdisc", "delete", "dev", "near", "root"])
      #expect(capture.frames(3, within: .seconds(3)) { $0.type == 0x0806 }.count == 3)
      #expect(try vip("stop").status == 0)
    }
  }

  @Test("IPv6: started when detection has ended, announced as a router says it is one")
  func ipv6() throws {
    try inNetwork(["ip": "2001:db8::50", "arp_count": "1"]) { it, vip in
      let capture = try Capture(on: try it.link("far"))
      #expect(try vip("start").status == 0)
      #expect(try vip("monitor").status == 0)
      let wanted = NeighbourDiscovery.advertisement(
        of: try #require(IPAddress("2001:db8::50")), at: try it.link("near").hardwareAddress, isRouter: false)
      #expect(capture.frames(1, within: .seconds(2)) { $0.payload == wanted }.count == 1)
      #expect(try vip("stop").status == 0)
      #expect(try vip("monitor").status == 7)
    }
  }

  @Test("A duplicate on the wire fails the start, with the other's hardware address in the reason")
  func duplicates() throws {
    try inNetwork(["run_arping": "true"]) { it, vip in
      let holder = try it.processes.launch(Command("/usr/bin/unshare", ["-n", "sleep", "60"]))
      defer {
        kill(holder.pid, SIGKILL)
        waitpid(holder.pid, nil, 0)
      }
      let clock = LinuxClock()
      clock.sleep(until: clock.now + .milliseconds(300))
      try it.ip("link set far netns \(holder.pid)")
      for command in [
        "link set far address 02:00:00:00:00:99", "link set far up", "address add 192.0.2.50/24 dev far",
        "address add 2001:db8::50/64 dev far nodad",
      ] {
        try it.run(
          "/usr/bin/nsenter", ["-t", String(holder.pid), "-n", "/usr/sbin/ip"] + command.split(separator: " ").map(String.init))
      }
      clock.sleep(until: clock.now + .milliseconds(500))
      for ip in ["192.0.2.50", "2001:db8::50"] {
        let (status, reason) = try vip("start", ["ip": ip])
        #expect(status == 1)
        #expect(reason == "\(ip) is used by 02:00:00:00:00:99 on near")
        #expect(try vip("monitor", ["ip": ip], interval: 0).status == 7)
        #expect(try vip("stop", ["ip": ip]).status == 0)
      }
      // Taken all the same, it is held twice.
      let given = ["ip": "192.0.2.50", "run_arping": "false"]
      #expect(try vip("start", given).status == 0)
      #expect(try vip("monitor", given, level: 10) == (0, "192.0.2.50 is used by 02:00:00:00:00:99 on near as well"))
      #expect(try vip("stop", given).status == 0)
    }
  }

  @Test("An address that failed detection does not run")
  func dadFailed() throws {
    try inNetwork(["ip": "2001:db8::50"]) { it, vip in
      // The peer's end of the same wire: detection between the two ends of the pair.
      try it.ip("address add 2001:db8::50/64 dev far nodad")
      try it.ip("address add 2001:db8::50/64 dev near")
      let clock = LinuxClock()
      let near = try it.link("near")
      let address = try #require(IPAddress("2001:db8::50"))
      let deadline = clock.now + .seconds(4)
      while clock.now < deadline, try it.network.copy(of: address, on: near, label: nil)?.flags.contains(.dadFailed) != true {
        clock.sleep(until: clock.now + .milliseconds(50))
      }
      let (status, reason) = try vip("monitor", ["nic": "near"])
      #expect(status == 1)
      #expect(reason.contains("duplicate address detection failed"))
      #expect(try vip("stop").status == 0)
    }
  }

  @Test("Carrier loss is seen by an alternative name too, on a macvlan above and on the bridge it is a port of")
  func carrier() throws {
    try inNetwork(["ip": "192.0.2.50", "cidr_netmask": "24"]) { it, vip in
      try it.ip("link property add dev near altname uplink-of-the-gateway")
      try it.ip("link add above link near type macvlan mode bridge")
      try it.ip("link set above up")
      for nic in ["uplink-of-the-gateway", "above"] {
        try awaitCarrier(of: nic, true, in: it)
        #expect(try vip("start", ["nic": nic]).status == 0)
        #expect(try vip("monitor", ["nic": nic]).status == 0)
        try it.ip("link set far down")
        try awaitCarrier(of: nic, false, in: it)
        #expect(try vip("monitor", ["nic": nic]).status == 1)
        #expect(try vip("stop", ["nic": nic]).status == 0)
        #expect(try vip("start", ["nic": nic]).status == 1)
        #expect(try vip("monitor", ["nic": nic], interval: 0).status == 7)
        try it.ip("link set far up")
      }
      try it.ip("link delete above")
      try it.ip("link add bridge type bridge")
      try it.ip("link set near master bridge")
      try it.ip("link set bridge up")
      try awaitCarrier(of: "near", true, in: it)
      try awaitCarrier(of: "bridge", true, in: it)
      #expect(try vip("start", ["nic": "bridge"]).status == 0)
      try it.ip("link set far down")
      try awaitCarrier(of: "bridge", false, in: it)
      #expect(try vip("monitor", ["nic": "bridge"]) == (1, "bridge has no carrier"))
      #expect(try vip("stop", ["nic": "bridge"]).status == 0)
      #expect(try vip("start", ["nic": "bridge"]) == (1, "bridge has no carrier"))
      #expect(try vip("start", ["nic": "bridge", "check_link_status": "false"]).status == 0)
    }
  }

  @Test("What was put there stop removes whatever the parameters say, and the network's other addresses stay", arguments: [0, 1])
  func stopFromTheAddressAlone(promotes: Int) throws {
    try inNetwork(["ip": "198.51.100.50"]) { it, vip in
      try it.run("/bin/sh", ["-c", "echo 0 > /proc/sys/net/ipv4/conf/all/promote_secondaries; echo \(promotes) > /proc/sys/net/ipv4/conf/near/promote_secondaries"])
      // Ours came first and is the network's primary address; no route leads to it once it is gone.
      #expect(try vip("start", ["nic": "near", "cidr_netmask": "24", "iflabel": "x"]).status == 0)
      try it.ip("address add 198.51.100.60/24 dev near")
      try it.ip("link set far down")
      #expect(try vip("stop", ["arp_interval": "abc", "nic": "nowhere", "cidr_netmask": "77", "iflabel": "much-too-long-a-label"]).status == 0)
      #expect(try it.network.holders(of: try #require(IPAddress("198.51.100.50"))) == [])
      #expect(try it.network.holders(of: try #require(IPAddress("198.51.100.60"))).count == 1)
      #expect(try it.link("near").promotesSecondaries == (promotes == 1))
      #expect(try vip("monitor").status == 7)
    }
  }

  @Test("The node's own address is neither taken nor taken away, and IPv6 that is switched off is named")
  func ownAddress() throws {
    try inNetwork(["ip": "192.0.2.1", "cidr_netmask": "32"]) { it, vip in
      let reason = "192.0.2.1/24 is this node's own address on near: set another ip, or cidr_netmask=24 if the cluster is to have it"
      #expect(try vip("monitor", interval: 0).status == 7)
      #expect(try vip("start") == (2, reason))
      #expect(try vip("stop").status == 0)
      #expect(try vip("monitor", ["cidr_netmask": ""], interval: 0).status == 7)
      #expect(try vip("stop", ["cidr_netmask": ""]).status == 0)
      #expect(try it.network.holders(of: try #require(IPAddress("192.0.2.1"))).map(\.prefixLength) == [24])
      try it.ip("address add 192.0.2.129/25 dev near")
      let narrower = ["ip": "192.0.2.129", "cidr_netmask": ""]
      #expect(try vip("monitor", narrower, interval: 0).status == 7)
      #expect(try vip("stop", narrower).status == 0)
      #expect(try it.network.holders(of: try #require(IPAddress("192.0.2.129"))).map(\.prefixLength) == [25])
      try it.ip("address add 192.0.2.200/32 dev near")
      try it.ip("address add 203.0.113.1 peer 203.0.113.2 dev near")
      try it.ip("address add 198.51.100.1/24 dev near valid_lft 3000 preferred_lft 3000")
      try it.ip("address add 2001:db8:1::1/64 dev near nodad")
      try it.ip("address add 2001:db8:1::a/64 dev near nodad mngtmpaddr valid_lft 3000 preferred_lft 2000")
      try it.ip("address add 2001:db8:2::1/128 dev near nodad")
      for given in [
        ["ip": "192.0.2.200", "cidr_netmask": ""], ["ip": "203.0.113.1", "cidr_netmask": "32"], ["ip": "198.51.100.1", "cidr_netmask": "24"],
        ["ip": "2001:db8:1::1", "cidr_netmask": ""], ["ip": "2001:db8:1::1", "cidr_netmask": "", "nic": "near"],
        ["ip": "2001:db8:1::a", "cidr_netmask": "64"], ["ip": "2001:db8:2::1", "cidr_netmask": ""],
      ] {
        #expect(try vip("monitor", given, interval: 0).status == 7, "\(given)")
        #expect(try vip("start", given).status != 0, "\(given)")
        #expect(try vip("stop", given).status == 0, "\(given)")
        #expect(try it.network.holders(of: try #require(IPAddress(given["ip"] ?? ""))).count == 1, "\(given)")
      }
      #expect(try !it.link("near").disablesIPv6)
      try it.run("/bin/sh", ["-c", "echo 1 > /proc/sys/net/ipv6/conf/near/disable_ipv6"])
      #expect(try it.link("near").disablesIPv6)
      #expect(try vip("start", ["ip": "2001:db8::50", "nic": "near", "cidr_netmask": "64"]) == (2, "IPv6 is disabled on near (net.ipv6.conf.near.disable_ipv6)"))
    }
  }

  @Test("Of the network's routes, that which a router has told of stays when the address goes, and none is left behind", arguments: ["", "64"])
  func routerRoute(prefix: String) throws {
    try inNetwork(["ip": "2001:db8:3::50", "cidr_netmask": prefix, "nic": "near"]) { it, vip in
      // As DHCPv6 and a router's advertisement make them.
      try it.ip("address add 2001:db8:3::10/128 dev near nodad valid_lft 3000 preferred_lft 2000")
      try it.ip("-6 route add 2001:db8:3::/64 dev near proto ra metric 1024")
      let before = try it.ip("-6 route show 2001:db8:3::/64")
      #expect(try vip("start").status == 0)
      #expect(try vip("monitor").status == 0)
      #expect(try vip("stop").status == 0)
      #expect(try it.ip("-6 route show 2001:db8:3::/64") == before)
    }
  }

  @Test("An address that was added by hand on a standby goes with its stop, though it is the only one of its network")
  func handAdded() throws {
    try inNetwork(["ip": "2001:db8:3::50"]) { it, vip in
      let clone = ["CRM_meta_promoted_max": "1", "CRM_meta_notify": "false"]
      try it.ip("-6 route add 2001:db8:3::/64 dev near proto ra metric 1024")
      #expect(try vip("start", clone).status == 0)
      try it.ip("address add 2001:db8:3::50/64 dev near nodad")
      #expect(try vip("stop", clone).status == 0)
      #expect(try it.network.holders(of: try #require(IPAddress("2001:db8:3::50"))) == [])
    }
  }

  @Test("In a named namespace, from outside")
  func namespace() throws {
    try inNetwork(["ip": "192.0.2.50", "arp_interval": "50", "arp_count": "1000"]) { it, vip in
      let name = "vpnha-test-\(getpid())"
      try it.ip("netns add \(name)")
      defer { do { try it.ip("netns delete \(name)") } catch { Issue.record(error) } }
      #expect(try vip("start", ["network_namespace": "\(name)-absent"]).status == 2)
      #expect(try vip("monitor", ["network_namespace": "\(name)-absent"], interval: 0).status == 7)
      #expect(try vip("stop", ["network_namespace": "\(name)-absent"]).status == 0)
      // What is left of a namespace, or is about to become one, is none.
      let remnant = "/run/netns/\(name)-remnant"
      close(open(remnant, O_CREAT | O_EXCL | O_CLOEXEC, 0))
      defer { unlink(remnant) }
      #expect(try vip("start", ["network_namespace": "\(name)-remnant"]).status == 2)
      #expect(try vip("monitor", ["network_namespace": "\(name)-remnant"], interval: 0).status == 7)
      #expect(try vip("stop", ["network_namespace": "\(name)-remnant"]).status == 0)
      try it.ip("link set far netns \(name)")
      try it.ip("-n \(name) address add 192.0.2.2/24 dev far")
      try it.ip("-n \(name) link set far up")
      let capture = try Capture(on: try it.link("near"))
      #expect(try vip("start", ["network_namespace": name]).status == 0)
      #expect(capture.frames(3, within: .seconds(3)) { $0.type == 0x0806 }.count == 3)
      #expect(try vip("monitor", ["network_namespace": name]).status == 0)
      #expect(try vip("monitor").status == 7)
      #expect(try it.ip("-n \(name) -4 -o address show dev far").contains("192.0.2.50/24"))
      #expect(try vip("stop", ["network_namespace": name, "flush_routes": "true", "close_sockets": "true"]).status == 0)
      #expect(!(try it.ip("-n \(name) -4 -o address show dev far").contains("192.0.2.50/24")))
      #expect(!(try it.processes.running(Agent.program).contains { $0.arguments.contains(name) }))
    }
  }

  @Test("An LVS server's copy on lo steps aside; the policy label comes and goes; connections are reset")
  func loadBalancing() throws {
    try inNetwork(["lvs_support": "true", "lvs_ipv6_addrlabel": "true", "close_sockets": "true"]) { it, vip in
      try it.ip("address add 192.0.2.50/32 dev lo")
      #expect(try vip("monitor", ["ip": "192.0.2.50"]).status == 7)
      #expect(try vip("start", ["ip": "192.0.2.50"]).status == 0)
      let address = try #require(IPAddress("192.0.2.50"))
      #expect(try it.network.holders(of: address).map(\.prefixLength) == [24])
      // A connection over the loopback path, both ends of which are in this namespace.
      let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
      defer { close(listener) }
      var place = sockaddr_in()
      place.sin_family = sa_family_t(AF_INET)
      place.sin_addr.s_addr = address.bytes.withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) }
      place.sin_port = UInt16(7000).bigEndian
      let size = socklen_t(MemoryLayout<sockaddr_in>.size)
      func withPlace(_ body: (UnsafePointer<sockaddr>) -> Int32) -> Int32 {
        withUnsafePointer(to: &place) { $0.withMemoryRebound(to: sockaddr.self, capacity: 1, body) }
      }
      #expect(withPlace { bind(listener, $0, size) } == 0)
      #expect(listen(listener, 1) == 0)
      let client = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
      defer { close(client) }
      #expect(withPlace { connect(client, $0, size) } == 0)
      #expect(try vip("stop", ["ip": "192.0.2.50"]).status == 0)
      var byte: UInt8 = 0
      let received = recv(client, &byte, 1, Int32(MSG_DONTWAIT))
      let error = Glibc.errno
      do throws(SystemError) {
        _ = try it.network.closeConnections(from: address)
        #expect(received == -1 && [ECONNRESET, ECONNABORTED].contains(error))
      } catch {
        // The kernel was built without INET_DIAG_DESTROY: then the stop has logged that and gone on.
        #expect(error.errno == .notSupported)
      }
      #expect(try it.network.holders(of: address).map(\.prefixLength) == [32])

      #expect(try vip("start", ["ip": "2001:db8::50", "nodad": "true"]).status == 0)
      #expect(try it.ip("addrlabel list").contains("prefix 2001:db8::50/128 label 99"))
      #expect(try vip("stop", ["ip": "2001:db8::50"]).status == 0)
      #expect(!(try it.ip("addrlabel list").contains("2001:db8::50")))
    }
  }

  // MARK: What not every kernel has

  private func make(_ arguments: String, in it: PrivateNetwork) throws {
    do { try it.ip("link add \(arguments)") } catch { throw MissingFeature(what: "\(error)") }
  }

  private static let vlanName = "On a VLAN, whose carrier is that of the link below"
  @Test("On a VLAN, whose carrier is that of the link below")
  func vlan() throws {
    try DebianNode.orHere(Self.vlanName) {
      try inNetwork(["ip": "198.51.100.50", "cidr_netmask": "24", "nic": "near.7"]) { it, vip in
        try make("link near name near.7 type vlan id 7", in: it)
        #expect(try vip("start").status == 0)
        #expect(try vip("monitor").status == 0)
        try it.ip("link set far down")
        try awaitCarrier(of: "near.7", false, in: it)
        #expect(try vip("monitor").status == 1)
        #expect(try vip("stop").status == 0)
        #expect(try vip("start") == (1, "near.7 has no carrier"))
        #expect(try vip("monitor", interval: 0).status == 7)
      }
    }
  }

  private static let bondName = "On a VLAN over a bond: degraded by a deep look while one link is left, failed when none is"
  @Test("On a VLAN over a bond: degraded by a deep look while one link is left, failed when none is")
  func bond() throws {
    try DebianNode.orHere(Self.bondName) {
      try inNetwork(["ip": "198.51.100.50", "cidr_netmask": "24", "nic": "bond7.5"]) { it, vip in
        try make("bond7 type bond mode active-backup miimon 50", in: it)
        try it.ip("link add left type veth peer name left-far")
        try it.ip("link add right type veth peer name right-far")
        for end in ["left", "right"] {
          try it.ip("link set \(end) down")
          try it.ip("link set \(end) master bond7")
          try it.ip("link set \(end)-far up")
        }
        try it.ip("link set bond7 up")
        try make("link bond7 name bond7.5 type vlan id 5", in: it)
        for link in ["left", "right", "bond7"] { try awaitCarrier(of: link, true, in: it) }
        #expect(try vip("start").status == 0)
        #expect(try vip("monitor", level: 10).status == 0)
        try it.ip("link set left-far down")
        try awaitCarrier(of: "left", false, in: it)
        try awaitCarrier(of: "bond7.5", true, in: it)
        #expect(try vip("monitor").status == 0)
        #expect(try vip("monitor", level: 10) == (0, "left, a part of bond7, has no carrier"))
        try it.ip("link set right-far down")
        try awaitCarrier(of: "bond7.5", false, in: it)
        #expect(try vip("monitor") == (1, "bond7.5 has no carrier"))
        #expect(try vip("stop").status == 0)
      }
    }
  }

  private static let vrfName = "On a member of a VRF: its table tells the prefix, and the address is found there"
  @Test("On a member of a VRF: its table tells the prefix, and the address is found there")
  func vrf() throws {
    try DebianNode.orHere(Self.vrfName) {
      try inNetwork(["ip": "198.51.100.50", "nic": "near"]) { it, vip in
        try make("blue type vrf table 1007", in: it)
        try it.ip("link set blue up")
        try it.ip("link set near master blue")
        #expect(try vip("start").status == 1)
        try it.ip("address add 198.51.100.1/25 dev near")
        #expect(try vip("start").status == 0)
        #expect(try vip("monitor").status == 0)
        let address = try #require(IPAddress("198.51.100.50"))
        #expect(try it.network.holders(of: address).map(\.prefixLength) == [25])
        #expect(try vip("stop", ["nic": ""]).status == 0)
        #expect(try it.network.holders(of: address) == [])
      }
    }
  }
}
