import Glibc
import Host
import LinuxHost
import Netlink
import Testing

@Suite("The kernel's network", .enabled(if: noNamespaces == nil, Comment(rawValue: noNamespaces ?? "")))
struct LinuxNetworkTests {
  /// What was refused and the error's name, without the kernel's words, which not every kernel has.
  private func refusal(_ body: () throws(SystemError) -> Void) -> String {
    do throws(SystemError) { try body() } catch { return "\(error.operation) (\(error.errno.name))" }
    return "not refused"
  }

  @Test("Links are found by name, alternative name and index, and their state is told")
  func links() throws {
    try PrivateNetwork.run { it in
      try it.ip("link property add dev near altname a-very-long-name-for-an-uplink")
      let near = try it.link("near")
      #expect(near.name == "near" && near.isUp && near.hasCarrier && near.kind == "veth" && near.hardwareAddress.count == 6)
      #expect(try it.network.link(named: "a-very-long-name-for-an-uplink") == near)
      #expect(near.alternativeNames == ["a-very-long-name-for-an-uplink"])
      #expect(try it.network.link(at: near.index) == near)
      #expect(try it.network.link(named: "nowhere") == nil)
      #expect(try it.network.link(named: String(repeating: "x", count: 300)) == nil)
      #expect(try it.network.link(at: 4711) == nil)
      #expect(Set(try it.network.links().map(\.name)) == ["lo", "near", "far"])
      try it.ip("link set far down")
      let alone = try it.link("near")
      #expect(alone.isUp && !alone.hasCarrier && alone.operationalState != 6)
      try it.ip("link set lo down")
      #expect(try it.link("lo").isLoopback)
    }
  }

  @Test("An IPv4 address goes on and off with everything that was asked for")
  func ipv4() throws {
    try PrivateNetwork.run { it in
      let near = try it.link("near")
      let vip = try #require(IPAddress("192.0.2.50"))
      #expect(try it.network.holders(of: vip) == [])
      #expect(try it.network.copy(of: vip, on: near, label: nil) == nil)
      let wanted = InterfaceAddress(
        vip, prefixLength: 24, link: near.index, broadcast: IPAddress("192.0.2.255"), label: "near:vpn", metric: 50)
      try it.network.add(wanted)
      var held = wanted
      held.flags = .permanent
      #expect(try it.network.holders(of: vip) == [held])
      #expect(try it.network.copy(of: vip, on: near, label: "near:vpn")?.prefixLength == 24)
      #expect(try it.network.copy(of: vip, on: near, label: nil) == nil)
      let elsewhere = try it.link("lo")
      #expect(try it.network.copy(of: vip, on: elsewhere, label: nil) == nil)
      #expect(refusal { () throws(SystemError) in try it.network.add(wanted) } == "adding 192.0.2.50/24 to near (EEXIST)")
      // A duplicate with another prefix, and a copy on another link, are all told.
      try it.ip("address add 192.0.2.50/32 dev near")
      try it.ip("address add 192.0.2.50/32 dev lo")
      #expect(try it.network.holders(of: vip).map(\.prefixLength).sorted() == [24, 32, 32])
      try it.network.remove(wanted)
      #expect(try it.network.holders(of: vip).map(\.prefixLength) == [32, 32])
      #expect(try it.network.copy(of: vip, on: nil, label: nil) != nil)
      for copy in try it.network.holders(of: vip) { try it.network.remove(copy) }
      #expect(try it.network.holders(of: vip) == [])
      #expect(
        refusal { () throws(SystemError) in try it.network.remove(wanted) }
          == "removing 192.0.2.50/24 from near (EADDRNOTAVAIL)")
    }
  }

  @Test("An address on a link that is down is found all the same")
  func ipv4OnADownLink() throws {
    try PrivateNetwork.run { it in
      try it.ip("address add 192.0.2.50/24 dev near")
      try it.ip("link set near down")
      let vip = try #require(IPAddress("192.0.2.50"))
      #expect(try it.network.holders(of: vip).count == 1)
      // 127.0.0.0/8 is local as a whole, but only one address of it is held.
      #expect(try it.network.holders(of: try #require(IPAddress("127.0.0.9"))) == [])
    }
  }

  @Test("An IPv6 address goes on and off, with its flags and lifetime")
  func ipv6() throws {
    try PrivateNetwork.run { it in
      let near = try it.link("near")
      let vip = try #require(IPAddress("2001:db8::50"))
      #expect(try it.network.holders(of: vip) == [])
      let wanted = InterfaceAddress(
        vip, prefixLength: 64, link: near.index, flags: [.noDAD, .noPrefixRoute], metric: 77, preferredLifetime: 0)
      try it.network.add(wanted)
      let held = try #require(try it.network.copy(of: vip, on: near, label: nil))
      #expect(held.prefixLength == 64 && held.preferredLifetime == 0)
      #expect(held.flags == [.permanent, .noDAD, .noPrefixRoute, .deprecated])
      #expect(try it.network.holders(of: vip) == [held])
      #expect(try it.network.copy(of: vip, on: it.link("far"), label: nil) == nil)
      try it.ip("address add 2001:db8::50/128 dev far nodad")
      #expect(try it.network.holders(of: vip).count == 2)
      for copy in try it.network.holders(of: vip) { try it.network.remove(copy) }
      #expect(try it.network.holders(of: vip) == [])
    }
  }

  @Test("A refusal says what was refused")
  func refused() throws {
    try PrivateNetwork.run { it in
      let near = try it.link("near")
      let vip = try #require(IPAddress("192.0.2.50"))
      #expect(
        refusal { () throws(SystemError) in
          try it.network.add(InterfaceAddress(vip, prefixLength: 33, link: near.index))
        } == "adding 192.0.2.50/33 to near (EINVAL)")
      #expect(
        refusal { () throws(SystemError) in
          try it.network.add(InterfaceAddress(vip, prefixLength: 24, link: 4711))
        } == "adding 192.0.2.50/24 to interface 4711 (ENODEV)")
    }
  }

  @Test("Connected routes come most specific first, without gateways and defaults")
  func connectedRoutes() throws {
    try PrivateNetwork.run { it in
      #expect(try it.network.connectedRoutes(covering: try #require(IPAddress("192.0.2.70"))) == [])
      try it.ip("address add 192.0.2.1/24 dev near")
      try it.ip("address add 192.0.2.65/26 dev far")
      try it.ip("route add default via 192.0.2.254")
      try it.ip("route add 198.51.100.0/24 via 192.0.2.254")
      try it.ip("address add 2001:db8::1/64 dev near nodad")
      let vip = try #require(IPAddress("192.0.2.70"))
      let routes = try it.network.connectedRoutes(covering: vip)
      #expect(routes.map(\.prefixLength) == [26, 24])
      #expect(routes.first?.link == (try it.link("far").index))
      #expect(try it.network.connectedRoutes(covering: try #require(IPAddress("198.51.100.7"))) == [])
      #expect(try it.network.connectedRoutes(covering: try #require(IPAddress("2001:db8::50"))).map(\.prefixLength) == [64])
    }
  }

  @Test("Nothing leaves from an address that is held back, but what goes to the node itself")
  func blockEgress() throws {
    try PrivateNetwork.run { it in
      for (own, prefix, other, neighbour) in [
        ("192.0.2.50", "24", "192.0.2.51", "192.0.2.9"), ("2001:db8::50", "64", "2001:db8::51", "2001:db8::9"),
      ] {
        let family = own.contains(":") ? "-6 " : ""
        let vip = try #require(IPAddress(own))
        let nodad = family.isEmpty ? "" : " nodad"
        try it.ip("address add \(own)/\(prefix) dev near" + nodad)
        try it.ip("address add \(other)/\(prefix) dev near" + nodad)
        try it.ip("\(family)rule add from \(own) lookup main priority 100")
        let before = try it.ip("\(family)rule show")
        func leaves(from source: String, to destination: String) -> Bool {
          do { return try it.ip("route get \(destination) from \(source)").contains(destination) } catch { return false }
        }
        #expect(leaves(from: own, to: neighbour))
        // The kernel's own route to an IPv6 address comes a moment after the address.
        let clock = LinuxClock()
        let limit = clock.now + .seconds(5)
        while !leaves(from: own, to: own), clock.now < limit { clock.sleep(until: clock.now + .milliseconds(5)) }
        try it.network.blockEgress(from: vip)
        try it.network.blockEgress(from: vip)
        #expect(try it.network.blockedEgress() == [vip])
        #expect(!leaves(from: own, to: neighbour))
        #expect(leaves(from: own, to: own) && leaves(from: other, to: neighbour))
        // What comes is heard, but for IPv4 with a reverse path filter, which looks for the way of an answer.
        func arrives() -> Bool {
          do { return try it.ip("route get \(own) from \(neighbour) iif near").contains("local") } catch { return false }
        }
        for filter in [0, 1, 2] {
          for link in ["all", "near"] {
            try it.run("/usr/bin/env", ["sh", "-c", "echo \(filter) > /proc/sys/net/ipv4/conf/\(link)/rp_filter"])
          }
          #expect(arrives() == (filter == 0 || own.contains(":")), "rp_filter \(filter), \(own)")
        }
        try it.network.unblockEgress(from: vip)
        #expect(arrives())
        try it.network.unblockEgress(from: vip)
        #expect(try it.network.blockedEgress() == [])
        #expect(leaves(from: own, to: neighbour))
        #expect(try it.ip("\(family)rule show") == before)
      }
    }
  }

  @Test("IPsec state of one endpoint goes, everybody else's stays")
  func ipsec() throws {
    try PrivateNetwork.run { it in
      let vip = try #require(IPAddress("192.0.2.50"))
      #expect(try it.network.removeIPsecState(endpoint: vip) == 0)
      for own in ["192.0.2.50", "192.0.2.51"] {
        try it.ip("xfrm state allocspi src 203.0.113.9 dst \(own) proto esp mode transport reqid 7")
        try it.ip("xfrm state allocspi src \(own) dst 203.0.113.9 proto esp mode transport reqid 7")
        for direction in ["in", "out"] {
          let (from, to) = direction == "in" ? ("203.0.113.9", own) : (own, "203.0.113.9")
          try it.ip(
            "xfrm policy add src \(from)/32 dst \(to)/32 proto udp sport 1701 dir \(direction) mark 0x2a tmpl proto esp reqid 7 mode transport")
        }
        // A tunnel's policy names the endpoint in its template only.
        try it.ip(
          "xfrm policy add src 10.\(own.suffix(2)).0.0/16 dst 10.9.0.0/16 dir out tmpl src \(own) dst 203.0.113.9 proto esp mode tunnel")
      }
      #expect(try it.network.removeIPsecState(endpoint: vip) == 5)
      #expect(try it.network.removeIPsecState(endpoint: vip) == 0)
      #expect(try it.network.removeIPsecState(endpoint: try #require(IPAddress("192.0.2.51"))) == 5)
    }
  }

  private static let associationsName = "Real SAs of one endpoint go, and their outbound sequence is told"
  @Test("Real SAs of one endpoint go, and their outbound sequence is told")
  func associations() throws {
    try DebianNode.orHere(Self.associationsName) {
      try PrivateNetwork.run { it in
        for (own, other, peer) in [("192.0.2.50", "192.0.2.51", "203.0.113.9"), ("2001:db8::50", "2001:db8::51", "2001:db8::9")] {
          let vip = try #require(IPAddress(own))
          for (index, each) in [own, other].enumerated() {
            for (from, to) in [(peer, each), (each, peer)] {
              let state =
                "src \(from) dst \(to) proto esp spi 0x100\(index)\(from == each ? 1 : 2) reqid 7 mode transport mark 0x2a mask 0xff "
                + "replay-oseq 0x40000005 enc cbc(aes) 0x00112233445566778899aabbccddeeff auth hmac(sha1) 0x0011223344556677889900112233445566778899"
              do { try it.ip("xfrm state add \(state)") } catch { throw MissingFeature(what: "\(error)") }
            }
          }
          func numbers() throws -> [UInt64] { try it.network.outboundAssociations(from: vip).map(\.sequence) }
          #expect(try numbers() == [0x4000_0005])
          #expect(try it.network.outboundAssociations(from: vip).allSatisfy { $0.spi == 0x10001 && $0.age < 60 })
          // Never lowered.
          #expect(try it.network.raiseSequences(from: vip) { _ in 0x4000_0005 } == 0)
          #expect(try it.network.raiseSequences(from: vip) { _ in 0 } == 0)
          #expect(try numbers() == [0x4000_0005])
          #expect(try it.network.raiseSequences(from: vip) { _ in 0x4800_0000 } == 1)
          #expect(try numbers() == [0x4800_0000])
          #expect(try it.network.removeIPsecState(endpoint: vip) == 2)
          #expect(try it.network.removeIPsecState(endpoint: vip) == 0)
          #expect(try it.network.removeIPsecState(endpoint: try #require(IPAddress(other))) == 2)
        }
      }
    }
  }

  private static let compressedName = "SAs of IPComp go; the tunnel that the kernel made for them goes by itself"
  @Test("SAs of IPComp go; the tunnel that the kernel made for them goes by itself")
  func compressed() throws {
    try DebianNode.orHere(Self.compressedName) {
      try PrivateNetwork.run { it in
        let vip = try #require(IPAddress("192.0.2.50"))
        for own in ["192.0.2.50", "192.0.2.51"] {
          for (from, to) in [("203.0.113.9", own), (own, "203.0.113.9")] {
            do { try it.ip("xfrm state add src \(from) dst \(to) proto comp spi 0x1\(own.suffix(2)) mode tunnel comp deflate") } catch {
              throw MissingFeature(what: "\(error)")
            }
          }
        }
        #expect(try it.run("/usr/sbin/ip", ["xfrm", "state"]).contains("proto 4 "))
        #expect(try it.network.removeIPsecState(endpoint: vip) == 2)
        #expect(try it.network.removeIPsecState(endpoint: vip) == 0)
        #expect(try it.network.removeIPsecState(endpoint: try #require(IPAddress("192.0.2.51"))) == 2)
      }
    }
  }

  private static let extendedName = "Sequence numbers are raised on SAs with large windows and with numbers of 64 bits"
  @Test("Sequence numbers are raised on SAs with large windows and with numbers of 64 bits")
  func extended() throws {
    try DebianNode.orHere(Self.extendedName) {
      try PrivateNetwork.run { it in
        let vip = try #require(IPAddress("192.0.2.50"))
        let keys = "enc cbc(aes) 0x00112233445566778899aabbccddeeff auth hmac(sha1) 0x0011223344556677889900112233445566778899"
        for (spi, form) in [
          ("0x1", "replay-window 128 replay-oseq 7"), ("0x2", "replay-window 64 flag esn replay-oseq 9"),
          ("0x3", "replay-window 64 flag esn replay-oseq 9 replay-oseq-hi 1"),
        ] {
          do { try it.ip("xfrm state add src 192.0.2.50 dst 203.0.113.9 proto esp spi \(spi) mode transport \(form) \(keys)") } catch {
            throw MissingFeature(what: "\(error)")
          }
        }
        func numbers() throws -> [UInt32: UInt64] {
          Dictionary(uniqueKeysWithValues: try it.network.outboundAssociations(from: vip).map { ($0.spi, $0.sequence) })
        }
        #expect(try numbers() == [1: 7, 2: 9, 3: 0x1_0000_0009])
        #expect(try it.network.raiseSequences(from: vip) { _ in 0x4800_0000 } == 2)
        #expect(try numbers() == [1: 0x4800_0000, 2: 0x4800_0000, 3: 0x1_0000_0009])
        #expect(try it.network.raiseSequences(from: vip) { _ in 0x4000_0000 } == 0)
        #expect(try it.network.removeIPsecState(endpoint: vip) == 3)
      }
    }
  }

  @Test("One gratuitous ARP, on the wire when the call returns; a target is told as well", arguments: [false, true])
  func gratuitousARP(asReply: Bool) throws {
    try PrivateNetwork.run { it in
      let near = try it.link("near")
      let capture = try Capture(on: try it.link("far"))
      let vip = try #require(IPAddress("192.0.2.50"))
      let target = try #require(IPAddress("192.0.2.9"))
      try it.network.add(InterfaceAddress(vip, prefixLength: 24, link: near.index))
      let before = LinuxClock().now
      try it.network.announce(Announcement(vip, link: near.index, count: 1, asReply: asReply, targets: [target]))
      let after = LinuxClock().now
      let frames = capture.frames(2, within: .seconds(2)) { $0.type == 0x0806 }
      #expect(frames.count == 2)
      #expect(after - before < .milliseconds(100))
      #expect(frames.first?.destination == [0xff, 0xff, 0xff, 0xff, 0xff, 0xff])
      let announcement = ARP.announcement(of: vip, from: near.hardwareAddress, asReply: asReply)
      #expect(frames.first.map { Array($0.payload.prefix(28)) } == announcement.bytes)
      #expect(frames.last.flatMap { ARP($0.payload) } == ARP.question(to: target, of: vip, from: near.hardwareAddress))
    }
  }

  @Test("An unsolicited neighbour advertisement says whether we are a router", arguments: [false, true])
  func advertisement(forwards: Bool) throws {
    try PrivateNetwork.run { it in
      let near = try it.link("near")
      if forwards { try it.run("/usr/bin/env", ["sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/near/forwarding"]) }
      let capture = try Capture(on: try it.link("far"))
      let vip = try #require(IPAddress("2001:db8::50"))
      try it.network.add(InterfaceAddress(vip, prefixLength: 64, link: near.index, flags: .noDAD))
      try it.network.announce(Announcement(vip, link: near.index, count: 1))
      let expected = NeighbourDiscovery.advertisement(of: vip, at: near.hardwareAddress, isRouter: forwards)
      // The kernel itself announces nothing for an address without duplicate detection unless ndisc_notify is set.
      let frames = capture.frames(1, within: .seconds(2)) { $0.type == 0x86dd && $0.bytes.count > 54 && $0.bytes[54] == 136 }
      #expect(frames.first?.payload == expected)
      #expect(frames.first?.destination == [0x33, 0x33, 0, 0, 0, 1])
    }
  }

  @Test("Who uses an address on the wire is named")
  func conflict() throws {
    try PrivateNetwork.run { it in
      // The other host is a namespace of its own; it lives as long as the process that holds it.
      let holder = try it.processes.launch(Command("/usr/bin/unshare", ["-n", "sleep", "60"]))
      defer {
        kill(holder.pid, SIGKILL)
        waitpid(holder.pid, nil, 0)
      }
      let clock = LinuxClock()
      clock.sleep(until: clock.now + .milliseconds(300))
      try it.ip("link set far netns \(holder.pid)")
      func there(_ arguments: String) throws {
        try it.run("/usr/bin/nsenter", ["-t", String(holder.pid), "-n", "/usr/sbin/ip"] + arguments.split(separator: " ").map(String.init))
      }
      try there("link set far address 02:00:00:00:00:99")
      try there("link set far up")
      try there("address add 192.0.2.50/24 dev far")
      try there("address add 2001:db8::50/64 dev far nodad")
      clock.sleep(until: clock.now + .milliseconds(300))
      let near = try it.link("near")
      for (text, isUsed) in [("192.0.2.50", true), ("192.0.2.51", false), ("2001:db8::50", true), ("2001:db8::51", false)] {
        let address = try #require(IPAddress(text))
        let conflict = try it.network.conflictingHost(for: address, on: near, before: clock.now + .milliseconds(600))
        #expect(conflict == (isUsed ? [2, 0, 0, 0, 0, 0x99] : nil), "\(text)")
      }
    }
  }

  @Test("With 10,000 addresses on the link nothing is missed")
  func tenThousand() throws {
    try PrivateNetwork.run { it in
      let near = try it.link("near")
      for high in 0..<40 {
        for low in 0..<250 {
          let address = try #require(IPAddress(bytes: [10, 0, UInt8(high), UInt8(low)]))
          try it.network.add(InterfaceAddress(address, prefixLength: 16, link: near.index))
        }
      }
      let last = try #require(IPAddress("10.0.39.249"))
      #expect(try it.network.holders(of: last).count == 1)
      #expect(try it.network.copy(of: last, on: near, label: nil)?.prefixLength == 16)
      #expect(try it.network.holders(of: try #require(IPAddress("10.0.39.250"))) == [])
      // As where many tunnels come and go: the list is never read to its end in one state.
      let storm = try it.processes.launch(
        Command(
          "/bin/bash",
          [
            "-c",
            """
            exec ip -force -batch <(while echo "address add 198.51.100.1/32 dev far
            address delete 198.51.100.1/32 dev far"; do :; done) 2>/dev/null
            """,
          ]))
      defer { kill(storm.pid, SIGKILL) }
      let other = try #require(IPAddress("198.51.100.1"))
      let clock = LinuxClock()
      let far = try it.link("far")
      let limit = clock.now + .seconds(10)
      while try it.network.copy(of: other, on: far, label: nil) == nil, clock.now < limit {
        clock.sleep(until: clock.now + .milliseconds(1))
      }
      #expect(clock.now < limit)
      for _ in 0..<3 { #expect(try it.network.holders(of: last).count == 1) }
    }
  }

  @Test("A kernel without IPv6 holds no IPv6 address")
  func withoutIPv6() throws {
    try DebianNode.orHere("A kernel without IPv6 holds no IPv6 address") {
      let socket = socket(AF_INET6, Int32(SOCK_DGRAM.rawValue), 0)
      if socket >= 0 {
        close(socket)
        throw MissingFeature(what: "this kernel has IPv6")
      }
      try PrivateNetwork.run { it in
        let address = try #require(IPAddress("2001:db8::50"))
        #expect(try it.network.holders(of: address) == [])
        #expect(try it.network.copy(of: address, on: nil, label: nil) == nil)
        let near = try it.link("near")
        #expect(try it.network.copy(of: address, on: near, label: nil) == nil)
        #expect(
          refusal { () throws(SystemError) in try it.network.add(InterfaceAddress(address, prefixLength: 64, link: near.index)) }
            == "adding 2001:db8::50/64 to near (EOPNOTSUPP)")
      }
    }
  }
}
