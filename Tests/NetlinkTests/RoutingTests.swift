import HostTestKit
import Host
import Netlink
import Testing

@Suite("Links, addresses and routes on the wire")
struct RoutingTests {
  @Test func link() throws {
    let link = try #require(try decoded(Fixture.link, Link.init))
    #expect(link.index == 3)
    #expect(link.name == "veth0")
    #expect(link.alternativeNames == ["wan-uplink"])
    #expect(link.hardwareAddress == [2, 0, 0, 0, 0, 1])
    #expect(link.broadcastHardwareAddress == [0xff, 0xff, 0xff, 0xff, 0xff, 0xff])
    #expect(link.isUp && link.hasCarrier && !link.isLoopback && link.answersARP)
    #expect(link.operationalState == 6)
    #expect(link.mtu == 1500)
    #expect(link.kind == "veth")
    #expect(link.lower == 2)
    #expect(!link.promotesSecondaries)
  }

  @Test("A PPP interface and what went through it")
  func pppLink() throws {
    let link = bytes(
      """
      54 00 00 00              # length 84
      10 00 02 00              # RTM_NEWLINK, NLM_F_MULTI
      07 00 00 00 d0 29 00 00  # sequence 7, port
      00 00                    # family, padding
      00 02                    # ARPHRD_PPP
      03 00 00 00              # index 3
      d1 10 01 00              # UP POINTOPOINT RUNNING NOARP MULTICAST LOWER_UP
      00 00 00 00              # change mask
      09 00 03 00 70 70 70 30 00 00 00 00   # IFLA_IFNAME ppp0
      28 00 17 00                           # IFLA_STATS64, as far as it is read
        0c 00 00 00 00 00 00 00  0d 00 00 00 00 00 00 00   # packets in, out
        da 00 00 00 00 00 00 00  d4 00 00 00 01 00 00 00   # bytes in 218, out 4294967508
        00 00 00 00
      """)
    #expect(try decoded(link, PPPLink.init) == PPPLink(index: 3, name: "ppp0", received: 218, sent: 4_294_967_508))
    #expect(try decoded(Fixture.link, PPPLink.init) == nil)
    #expect(Message.getLinksWithTraffic.payload == [UInt8](repeating: 0, count: 16))
  }

  @Test("A link is asked for by either kind of name")
  func linkRequests() {
    #expect(
      Message.getLink(named: "eth0").encoded(sequence: 1)
        == bytes(
          """
          34 00 00 00 12 00 00 00 01 00 00 00 00 00 00 00   # RTM_GETLINK
          00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00   # struct ifinfomsg: any
          08 00 1d 00 08 00 00 00                           # IFLA_EXT_MASK: no statistics
          09 00 03 00 65 74 68 30 00 00 00 00               # IFLA_IFNAME eth0
          """))
    let long = Message.getLink(named: "enp0s31f6-uplink").payload
    #expect(long[24...].starts(with: bytes("15 00 35 00")))  // IFLA_ALT_IFNAME
  }

  @Test("A link is brought up, and told to promote secondary addresses")
  func linkChanges() {
    #expect(
      Message.bringUp(link: 3).payload
        == bytes("00 00 00 00 03 00 00 00  01 00 00 00  01 00 00 00"))  // flags, change mask: IFF_UP
    #expect(
      Message.promoteSecondaries(true, link: 3).payload
        == bytes(
          """
          00 00 00 00 03 00 00 00 00 00 00 00 00 00 00 00   # struct ifinfomsg
          14 00 1a 80              # IFLA_AF_SPEC, nested
          10 00 02 80              #   AF_INET
          0c 00 01 80              #     IFLA_INET_CONF
          08 00 14 00 01 00 00 00  #       promote_secondaries 1
          """))
  }

  @Test("One IPv6 address gets a label in the policy table")
  func policyLabel() {
    let message = Message.policyLabel(77, of: address("2001:db8::50"))
    #expect(message.type == 72)
    #expect(
      message.payload
        == bytes(
          """
          0a 00 80 00 00 00 00 00 00 00 00 00   # AF_INET6, /128, any interface
          14 00 01 00 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 50   # IFAL_ADDRESS
          08 00 02 00 4d 00 00 00               # IFAL_LABEL 77
          """))
    #expect(Message.policyLabel(nil, of: address("2001:db8::50")).type == 73)
  }

  @Test("What an address sends is held back by a rule that is told from others")
  func silencingRule() throws {
    let payload = bytes(
      """
      02 00 20 00 00 00 00 07 00 00 00 00   # AF_INET, from /32, FR_ACT_UNREACHABLE
      08 00 02 00 cb 00 71 32               # FRA_SRC 203.0.113.50
      08 00 06 00 01 00 00 00               # FRA_PRIORITY
      05 00 15 00 56 00 00 00               # FRA_PROTOCOL
      """)
    let request = Message.silencingRule(true, for: address("203.0.113.50"))
    #expect(request.payload == payload)
    #expect(request.type == 32 && request.flags == 0x600)
    #expect(Message.silencingRule(false, for: address("203.0.113.50")).type == 33)
    func read(_ payload: [UInt8]) throws -> IPAddress? {
      let header: [UInt8] = [UInt8(16 + payload.count), 0, 0, 0, 32, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0]
      // Nil is an answer here, too.
      let found = try decoded(header + payload) { (message) throws(Malformed) -> [IPAddress]? in
        [try SilencingRule(message)?.address].compactMap { $0 }
      }
      return found?.first
    }
    #expect(try read(payload) == address("203.0.113.50"))
    // Another action, another prefix, another priority, another origin: not ours.
    for (offset, value) in [(7, 8), (2, 24), (24, 2), (32, 4)] as [(Int, UInt8)] {
      var other = payload
      other[offset] = value
      #expect(try read(other) == nil, "byte \(offset)")
    }
    #expect(throws: SystemError.self) { try read(Array(payload.prefix(8))) }
    for length in [12, 20, 28] { #expect(try read(Array(payload.prefix(length))) == nil, "\(length) bytes") }
  }

  @Test("A connection is read and named again to be reset")
  func connection() throws {
    let connection = try #require(try decoded(Fixture.connection, TCPConnection.init))
    #expect(connection.local == address("192.0.2.50"))
    #expect(
      Message.destroy(connection).payload
        == bytes(
          """
          02 06 00 00 3e 0b 00 00  # AF_INET, TCP, states
          00 50 c0 00              # ports
          c0 00 02 32 00 00 00 00 00 00 00 00 00 00 00 00   # 192.0.2.50
          c0 00 02 09 00 00 00 00 00 00 00 00 00 00 00 00   # 192.0.2.9
          00 00 00 00 01 02 03 04 00 00 00 00   # interface, cookie
          """))
    var mapped = Fixture.connection
    mapped[16] = 10
    mapped.replaceSubrange(24..<40, with: bytes("00 00 00 00 00 00 00 00 00 00 ff ff c0 00 02 32"))
    #expect(try decoded(mapped, TCPConnection.init)?.local == address("192.0.2.50"))
  }

  @Test func ipv4Address() throws {
    let copy = try #require(
      try decoded(Fixture.ipv4Address) { (message) throws(Malformed) in try InterfaceAddress(message) })
    #expect(
      copy
        == InterfaceAddress(
          address("192.0.2.1"), prefixLength: 24, link: 3, broadcast: address("192.0.2.255"), label: "veth0:vpn",
          flags: .permanent, metric: 50))
  }

  @Test func ipv6Address() throws {
    let copy = try #require(
      try decoded(Fixture.ipv6Address) { (message) throws(Malformed) in
        try InterfaceAddress(message, only: IPAddress("2001:db8::1"))
      })
    #expect(
      copy
        == InterfaceAddress(
          address("2001:db8::1"), prefixLength: 64, link: 3, flags: [.permanent, .deprecated, .noDAD],
          preferredLifetime: 0))
  }

  @Test("Another address is passed over")
  func filtered() throws {
    for other in ["192.0.2.2", "2001:db8::1"] {
      let copy = try decoded(Fixture.ipv4Address + Fixture.acknowledgement) { (message) throws(Malformed) in
        try InterfaceAddress(message, only: IPAddress(other))
      }
      #expect(copy == nil)
    }
  }

  @Test("Adding names everything that was asked for, and nothing else")
  func adding() {
    let everything = InterfaceAddress(
      address("192.0.2.1"), prefixLength: 24, link: 3, broadcast: address("192.0.2.255"), label: "eth0:vpn",
      flags: [.noPrefixRoute, .permanent, .tentative], metric: 50)
    #expect(
      Message.addAddress(everything).encoded(sequence: 1)
        == bytes(
          """
          50 00 00 00 14 00        # length 80, RTM_NEWADDR
          00 06                    # NLM_F_CREATE, NLM_F_EXCL
          01 00 00 00 00 00 00 00  # sequence, port
          02 18 00 00 03 00 00 00  # AF_INET, /24, scope universe, interface 3
          08 00 02 00 c0 00 02 01  # IFA_LOCAL
          08 00 01 00 c0 00 02 01  # IFA_ADDRESS
          08 00 04 00 c0 00 02 ff  # IFA_BROADCAST
          0d 00 03 00 65 74 68 30 3a 76 70 6e 00 00 00 00   # IFA_LABEL eth0:vpn
          08 00 08 00 00 02 00 00  # IFA_FLAGS noprefixroute
          08 00 09 00 32 00 00 00  # IFA_RT_PRIORITY 50
          """))
    let ipv6 = InterfaceAddress(
      address("2001:db8::1"), prefixLength: 64, link: 3, flags: .noDAD, preferredLifetime: 0)
    #expect(
      Message.addAddress(ipv6).payload
        == bytes(
          """
          0a 40 00 00 03 00 00 00  # AF_INET6, /64, interface 3
          14 00 02 00 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01   # IFA_LOCAL
          14 00 01 00 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01   # IFA_ADDRESS
          08 00 08 00 02 00 00 00  # IFA_FLAGS nodad
          14 00 06 00 00 00 00 00 ff ff ff ff 00 00 00 00 00 00 00 00   # IFA_CACHEINFO: preferred 0, valid for ever
          """))
  }

  @Test("Removing names the prefix")
  func removing() {
    let copy = InterfaceAddress(address("192.0.2.1"), prefixLength: 24, link: 3)
    #expect(
      Message.removeAddress(copy).payload
        == bytes("02 18 00 00 03 00 00 00  08 00 02 00 c0 00 02 01  08 00 01 00 c0 00 02 01"))
  }

  @Test func routes() throws {
    let vip = address("192.0.2.50")
    let connected = try #require(try decoded(Fixture.connectedRoute, RouteEntry.init))
    #expect(connected.connects(vip))
    #expect(!connected.connects(address("192.0.3.50")))
    #expect(connected.route.link == 3)
    #expect(connected.route.prefixLength == 24)
    #expect(connected.route.source == address("192.0.2.1"))
    #expect(connected.route.metric == 50)
    #expect(connected.route.protocolNumber == 2)
    let gateway = try #require(try decoded(Fixture.gatewayRoute, RouteEntry.init))
    #expect(!gateway.connects(address("198.51.100.9")))
    let local = try #require(try decoded(Fixture.localRoute, RouteEntry.init))
    #expect(local.isLocal && local.table == 255 && !local.connects(address("192.0.2.1")))
  }

  @Test func forwarding() throws {
    #expect(try decoded(Fixture.forwarding, Message.forwarding) == true)
  }
}

@Suite("IPsec state on the wire")
struct TransformTests {
  @Test func association() throws {
    let association = try #require(try decoded(Fixture.association, SecurityAssociation.init))
    #expect(association.source == address("203.0.113.9"))
    #expect(association.destination == address("192.0.2.1"))
    #expect(association.spi == 0xc0ff_ee00)
    #expect(association.protocolNumber == 50)
    #expect(association.replay?.sent == 0x4000_0005)
    #expect(association.installed > 0)
    #expect(association.lifetime == 30)
    #expect(association.hasEndpoint(address("192.0.2.1")))
    #expect(!association.hasEndpoint(address("192.0.2.2")))
    #expect(
      Message.remove(association).payload
        == bytes(
          """
          c0 00 02 01 00 00 00 00 00 00 00 00 00 00 00 00   # destination
          c0 ff ee 00 02 00 32 00                           # SPI, AF_INET, ESP
          14 00 0d 00 cb 00 71 09 00 00 00 00 00 00 00 00 00 00 00 00   # XFRMA_SRCADDR
          """))
    #expect(
      Message.set(try #require(association.replay).after(sending: 0x4800_0000), of: association).payload
        == bytes(
          """
          c0 00 02 01 00 00 00 00 00 00 00 00 00 00 00 00   # destination
          c0 ff ee 00 02 00 32 00                           # SPI, AF_INET, ESP
          00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00   # source
          02 00 00 00 00 00 00 00                           # XFRM_AE_RVAL, request id
          10 00 0a 00 00 00 00 48 00 00 00 00 00 00 00 00   # XFRMA_REPLAY_VAL
          """))
  }

  /// A window of more than 32 packets, or numbers of 64 bits: the kernel tells and wants another structure.
  @Test func extendedSequenceNumbers() throws {
    // XFRMA_REPLAY_ESN_VAL: words, sent, received, their upper halves, window, bitmap
    let plain = Fixture.association.dropLast(16)
    func fixture(_ words: String) -> [UInt8] {
      let value = bytes(words)
      var message = Array(plain) + [UInt8(value.count + 4), 0, 23, 0] + value
      message[0] = UInt8(truncatingIfNeeded: message.count)
      message[1] = UInt8(message.count >> 8)
      return message
    }
    let words = "02 00 00 00 05 00 00 40 07 00 00 00 00 00 00 00 00 00 00 00 40 00 00 00 ff ff ff ff 03 00 00 00"
    let association = try #require(try decoded(fixture(words), SecurityAssociation.init))
    let replay = try #require(association.replay)
    #expect(replay.sent == 0x4000_0005)
    #expect(
      Message.set(replay.after(sending: 0x4800_0000), of: association).payload.suffix(36)
        .elementsEqual(bytes("24 00 17 00") + bytes(words.replacing("05 00 00 40", with: "00 00 00 48"))))
    let far = words.replacing("07 00 00 00 00 00 00 00", with: "07 00 00 00 02 00 00 00")
    #expect(try decoded(fixture(far), SecurityAssociation.init)?.replay?.sent == 0x2_4000_0005)
    let short = try #require(try decoded(fixture("02 00 00 00 05 00 00 40"), SecurityAssociation.init))
    #expect(short.replay == nil)
  }

  @Test func policy() throws {
    let policy = try #require(try decoded(Fixture.policy, SecurityPolicy.init))
    #expect(policy.direction == 1)
    #expect(policy.index == 9)
    #expect(policy.hasEndpoint(address("192.0.2.1")) && policy.hasEndpoint(address("203.0.113.9")))
    #expect(!policy.hasEndpoint(address("192.0.2.2")))
    let removal = Message.remove(policy).payload
    #expect(removal.count == 64 + 12 + 12)
    #expect(removal[56...60].elementsEqual([9, 0, 0, 0, 1]))
    // The mark is part of a policy's identity: without it the kernel would not find it.
    #expect(removal.suffix(12).elementsEqual(bytes("0c 00 15 00 2a 00 00 00 ff ff ff ff")))
  }

  @Test("A socket's own policy is nobody's to remove")
  func socketPolicy() throws {
    var bytes = Fixture.policy
    bytes[16 + 160] = 4
    let policy = try #require(try decoded(bytes, SecurityPolicy.init))
    #expect(!policy.hasEndpoint(address("192.0.2.1")))
  }

  @Test("The kernel is asked to filter")
  func filter() {
    #expect(
      Message.getAssociations(source: IPAddress("192.0.2.1")).payload
        == bytes(
          """
          28 00 1a 00                                       # XFRMA_ADDRESS_FILTER
          c0 00 02 01 00 00 00 00 00 00 00 00 00 00 00 00   # source
          00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00   # any destination
          02 00 20 00                                       # AF_INET, /32, /0
          """))
  }
}

@Suite("Bytes nobody should send")
struct HostileTests {
  static let fixtures = [
    Fixture.link, Fixture.ipv4Address, Fixture.ipv6Address, Fixture.connectedRoute, Fixture.gatewayRoute,
    Fixture.localRoute, Fixture.acknowledgement, Fixture.refusal, Fixture.refusalOfAnOldKernel, Fixture.forwarding,
    Fixture.association, Fixture.policy, Fixture.connection, Fixture.done,
  ]

  /// Every reader over one datagram; whatever comes of it, the process lives.
  private func read(_ datagram: [UInt8]) {
    func attempt<Value>(_ decode: (ReceivedMessage) throws(Malformed) -> Value?) {
      do {
        _ = try Connection.scripted(ScriptedChannel(datagram)).get(Message(type: 0, flags: 0), "reading", decode)
        _ = try Connection.scripted(ScriptedChannel(datagram)).dump(Message(type: 0, flags: 0), "reading", decode)
      } catch {
        // An error is the right answer to nonsense.
      }
    }
    attempt(Link.init)
    attempt { (message) throws(Malformed) in try InterfaceAddress(message) }
    attempt(RouteEntry.init)
    attempt(SecurityAssociation.init)
    attempt(SecurityPolicy.init)
    attempt(Message.forwarding)
    attempt(TCPConnection.init)
  }

  @Test("Cut at every offset, with the length field as it was and with one that fits", arguments: fixtures)
  func truncated(_ fixture: [UInt8]) {
    for end in 0..<fixture.count {
      var cut = Array(fixture[..<end])
      read(cut)
      if end >= 4 {
        cut.replaceSubrange(0..<4, with: withUnsafeBytes(of: UInt32(end)) { Array($0) })
        read(cut)
      }
    }
  }

  @Test("Changed at random", arguments: fixtures)
  func mutated(_ fixture: [UInt8]) {
    var generator = SplitMix(seed: UInt64(fixture.count))
    for _ in 0..<500 {
      var bytes = fixture
      for _ in 0..<Int.random(in: 1...4, using: &generator) {
        bytes[Int.random(in: bytes.indices, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
      }
      // The sequence number stays, or nothing would be read.
      bytes.replaceSubrange(8..<12, with: [7, 0, 0, 0])
      read(bytes)
    }
  }
}
