import Host
import HostTestKit
import Netlink
import Testing

@Suite("IPVS and marks on the wire")
struct LoadBalancingTests {
  let service = VirtualService(mark: 1, scheduler: "mh", persistence: 600, hasFallback: true)
  /// As a 6.1 kernel answers, without statistics.
  let answer = bytes(
    """
    60 00 00 00 1c 00 02 00 07 00 00 00 d0 29 00 00   # length 96, family 28
    01 01 00 00              # IPVS_CMD_NEW_SERVICE, version 1
    4c 00 01 80              # IPVS_CMD_ATTR_SERVICE
      06 00 01 00 02 00 00 00               # IPVS_SVC_ATTR_AF: AF_INET
      08 00 05 00 01 00 00 00               # IPVS_SVC_ATTR_FWMARK
      07 00 06 00 6d 68 00 00               # IPVS_SVC_ATTR_SCHED_NAME mh
      0c 00 07 00 0b 00 00 00 ff ff ff ff   # IPVS_SVC_ATTR_FLAGS: persistent, hashed, fallback
      08 00 08 00 58 02 00 00               # IPVS_SVC_ATTR_TIMEOUT 600
      08 00 09 00 ff ff ff ff               # IPVS_SVC_ATTR_NETMASK
      14 00 0a 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00   # statistics
    """)
  let server = bytes(
    """
    4c 00 00 00 1c 00 02 00 07 00 00 00 d0 29 00 00
    05 01 00 00              # IPVS_CMD_NEW_DEST
    38 00 02 80              # IPVS_CMD_ATTR_DEST
      14 00 01 00 cb 00 71 0b 00 00 00 00 00 00 00 00 00 00 00 00   # IPVS_DEST_ATTR_ADDR 203.0.113.11
      06 00 02 00 00 00 00 00               # IPVS_DEST_ATTR_PORT 0
      08 00 03 00 03 00 00 00               # IPVS_DEST_ATTR_FWD_METHOD: direct routing
      08 00 04 00 02 00 00 00               # IPVS_DEST_ATTR_WEIGHT 2
      06 00 0b 00 02 00 00 00               # IPVS_DEST_ATTR_ADDR_FAMILY
    """)

  @Test func aServiceIsReadAndAsked() throws {
    #expect(try decoded(answer, VirtualService.init) == service)
    #expect(try decoded(server, VirtualService.init) == nil)
    #expect(
      Message.changeService(service, family: 28).encoded(sequence: 1)
        == bytes(
          """
          4c 00 00 00 1c 00 00 00 01 00 00 00 00 00 00 00
          02 01 00 00              # IPVS_CMD_SET_SERVICE
          38 00 01 80
            06 00 01 00 02 00 00 00
            08 00 05 00 01 00 00 00
            07 00 06 00 6d 68 00 00
            0c 00 07 00 09 00 00 00 ff ff ff ff   # persistent, fallback; all flags count
            08 00 08 00 58 02 00 00
            08 00 09 00 ff ff ff ff
          """))
    #expect(Message.removeService(mark: 1, family: 28).payload == bytes("03 01 00 00 14 00 01 80 06 00 01 00 02 00 00 00 08 00 05 00 01 00 00 00"))
  }

  @Test func aServerIsReadAndSet() throws {
    #expect(try decoded(server, RealServer.init) == RealServer(address("203.0.113.11"), weight: 2))
    var local = server
    local[56] = 1
    #expect(try decoded(local, RealServer.init)?.isDirect == true, "the node itself")
    local[56] = 0
    #expect(try decoded(local, RealServer.init)?.isDirect == false, "address translation")
    let request = Message.addServer(RealServer(address("203.0.113.11"), weight: 2), mark: 1, family: 28).payload
    #expect(request.starts(with: bytes("05 01 00 00 14 00 01 80 06 00 01 00 02 00 00 00 08 00 05 00 01 00 00 00")))
    #expect(
      Array(request[24...])
        == bytes(
          """
          40 00 02 80
            14 00 01 00 cb 00 71 0b 00 00 00 00 00 00 00 00 00 00 00 00
            06 00 02 00 00 00 00 00
            08 00 03 00 03 00 00 00
            08 00 04 00 02 00 00 00
            08 00 05 00 00 00 00 00  08 00 06 00 00 00 00 00   # no thresholds
          """))
  }

  @Test func aSyncDaemonIsReadAndStarted() throws {
    let daemon = SyncDaemon(.backup, on: "eth1", id: 7)
    let payload = bytes("09 01 00 00 20 00 03 80 08 00 01 00 02 00 00 00 09 00 02 00 65 74 68 31 00 00 00 00 08 00 03 00 07 00 00 00")
    #expect(Message.startSync(daemon, family: 28).payload == payload)
    #expect(Message.stopSync(.master, family: 28).payload == bytes("0a 01 00 00 0c 00 03 80 08 00 01 00 01 00 00 00"))
    let header: [UInt8] = [UInt8(16 + payload.count), 0, 0, 0, 28, 0, 2, 0, 7, 0, 0, 0, 0, 0, 0, 0]
    #expect(try decoded(header + payload, SyncDaemon.init) == daemon)
  }

  /// Whatever ends early is refused or nothing, and never read past its end.
  @Test func whatEndsEarlyIsNothing() throws {
    for whole in [answer, server] {
      for length in 16..<whole.count {
        var part = Array(whole.prefix(length))
        part[0] = UInt8(length)
        do {
          #expect(try decoded(part, VirtualService.init) == nil || length >= 76, "\(length)")
          #expect(try decoded(part, RealServer.init) == nil || length >= 68, "\(length)")
        } catch is SystemError {}
      }
    }
  }

  @Test func familiesHaveNumbers() throws {
    let family = bytes("24 00 00 00 10 00 00 00 07 00 00 00 00 00 00 00 01 02 00 00 06 00 01 00 1c 00 00 00 08 00 02 00 49 50 56 53")
    #expect(try decoded(family) { (message) throws(Malformed) in try message.familyNumber() } == 28)
    #expect(Message.getFamily("IPVS").payload == bytes("03 01 00 00 09 00 02 00 49 50 56 53 00 00 00 00"))
  }

  /// The message that a backup of 6.1 took (44 bytes for one entry).
  @Test func clientsAreToldOf() {
    let client = BalancedClient(address("203.0.113.100"), clientPort: 500, address: address("203.0.113.50"), port: 500, server: address("203.0.113.12"))
    #expect(
      SyncMessage.all(of: [client], mark: 1, timeout: 300, id: 5)
        == [
          bytes(
            """
            00 05 00 2c 01 01 00 00              # reserved, number 5, 44 bytes, one entry, version 1
            00 11 00 24 00 00 00 03 00 00        # IPv4, UDP, 36 bytes, direct routing, no state
            01 f4 01 f4 01 f4                    # ports of client, address, server
            00 00 00 01 00 00 01 2c              # mark, 300 s
            cb 00 71 64 cb 00 71 32 cb 00 71 0c
            """)
        ])
    let many = SyncMessage.all(of: Array(repeating: client, count: 80), mark: 1, timeout: 300, id: 5)
    #expect(many.map { $0[4] } == [38, 38, 4] && many.allSatisfy { $0.count == Int($0[2]) << 8 + Int($0[3]) && $0.count <= 1472 })
  }

  @Test func whatArrivesIsMarked() throws {
    let mark = ArrivalMark(address("203.0.113.50"), port: 4500, mark: 1)
    let request = Message.addArrivalMark(mark, link: 2)
    #expect(request.type == 44 && request.flags == 0x600)
    let payload = bytes(
      """
      00 00 00 00 02 00 00 00 01 08 00 80 f2 ff ff ff 08 00 94 11   # interface 2, filter 800::801, ingress, priority 4500, IPv4
      08 00 01 00 75 33 32 00  # TCA_KIND u32
      a0 00 02 80              # TCA_OPTIONS
        64 00 05 00            #   TCA_U32_SEL
          01 00 05 00 00 00 00 00 00 00 00 00 00 00 00 00
          ff 00 00 00 45 00 00 00 00 00 00 00 00 00 00 00   # version 4, header of 20 bytes
          00 00 1f ff 00 00 00 00 04 00 00 00 00 00 00 00   # the first fragment, or a whole packet
          00 ff 00 00 00 11 00 00 08 00 00 00 00 00 00 00   # UDP
          ff ff ff ff cb 00 71 32 10 00 00 00 00 00 00 00   # to 203.0.113.50
          00 00 ff ff 00 00 11 94 14 00 00 00 00 00 00 00   # port 4500
        38 00 07 80            #   TCA_U32_ACT
          34 00 01 80          #     the first action
            0c 00 01 00 73 6b 62 65 64 69 74 00
            24 00 02 80        #       TCA_ACT_OPTIONS
              18 00 02 00 00 00 00 00 00 00 00 00 ff ff ff ff 00 00 00 00 00 00 00 00   # on to the next filter
              08 00 05 00 01 00 00 00   #         TCA_SKBEDIT_MARK 1
      """)
    var asked = payload
    asked.replaceSubrange(8..<12, with: [0, 0, 0, 0])
    #expect(request.payload == asked)
    func read(_ payload: [UInt8]) throws -> ArrivalFilter? {
      try decoded([UInt8(16 + payload.count), 0, 0, 0, 44, 0, 2, 0, 7, 0, 0, 0, 0, 0, 0, 0] + payload, ArrivalFilter.init)
    }
    let told = payload
    let found = try #require(try read(told))
    #expect(found.isOurs && found.mark == mark)
    var other = told
    other[16 + 3] = 0  // another priority
    #expect(try read(other)?.isOurs == false)
    // Another header length: a filter of our priority, and none that we make.
    var strange = told
    strange[20 + 8 + 4 + 4 + 16 + 4] = 0x46
    let unknown = try #require(try read(strange))
    #expect(unknown.isOurs && unknown.mark == nil)
    for length in 0..<told.count { do { #expect(try read(Array(told.prefix(length)))?.mark == nil, "\(length)") } catch is SystemError {} }
  }
}
