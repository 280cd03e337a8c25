import Host
import L2TP
import Testing

/// A request for a tunnel, byte by byte (RFC 2661 §3.1, §4.1, §6.1).
private let sccrq: [UInt8] = [
  0xc8, 0x02, 0x00, 0x3b,  // T, L, S, version 2; 59 bytes
  0x00, 0x00, 0x00, 0x00,  // tunnel and session: none yet
  0x00, 0x00, 0x00, 0x00,  // Ns, Nr
  0x80, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01,  // message type: SCCRQ
  0x80, 0x08, 0x00, 0x00, 0x00, 0x02, 0x01, 0x00,  // protocol version 1.0
  0x80, 0x0a, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x03,  // framing: synchronous and asynchronous
  0x80, 0x0d, 0x00, 0x00, 0x00, 0x07, 0x68, 0x61, 0x70, 0x72, 0x6f, 0x62, 0x65,  // host name: haprobe
  0x80, 0x08, 0x00, 0x00, 0x00, 0x09, 0x12, 0x34,  // assigned tunnel: 0x1234
]

/// A farewell with a reason (§6.4, §4.4.2).
private let stopCCN: [UInt8] = [
  0xc8, 0x02, 0x00, 0x38,
  0x12, 0x34, 0x00, 0x00,
  0x00, 0x00, 0x00, 0x01,
  0x80, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04,  // message type: StopCCN
  0x80, 0x08, 0x00, 0x00, 0x00, 0x09, 0xab, 0xcd,  // assigned tunnel
  0x80, 0x1c, 0x00, 0x00, 0x00, 0x01, 0x00, 0x04, 0x00, 0x06,  // result 4: not authorized, error 6
  0x4e, 0x6f, 0x20, 0x41, 0x75, 0x74, 0x68, 0x6f, 0x72, 0x69, 0x7a, 0x61, 0x74, 0x69, 0x6f, 0x6e, 0x0d, 0x0a,
]

@Suite struct ControlMessageTests {
  @Test func requestIsTheBytesOfTheRFC() {
    let message = ControlMessage(
      .startRequest, tunnel: 0, number: 0, expected: 0,
      [
        .number(.protocolVersion, 0x0100 as UInt16), .number(.framingCapabilities, 3 as UInt32),
        .text(.hostName, "haprobe"), .number(.assignedTunnel, 0x1234 as UInt16),
      ])
    #expect(message.bytes == sccrq)
  }

  @Test func everyFieldComesBack() throws {
    let message = try ControlMessage(sccrq)
    #expect(message.kind == .startRequest)
    #expect(message[.assignedTunnel]?.number == 0x1234)
    #expect(message[.hostName]?.value == Array("haprobe".utf8))
    #expect(message.bytes == sccrq)
  }

  @Test func farewellTellsWhy() throws {
    let message = try ControlMessage(stopCCN)
    #expect(message.kind == .stop)
    #expect(message.tunnel == 0x1234)
    #expect(message.result == ResultCode(result: 4, error: 6, message: "No Authorization\r\n"))
    #expect("\(message.result!)" == "result 4, error 6: No Authorization")
  }

  @Test func acknowledgementHasNoBody() throws {
    let zlb: [UInt8] = [0xc8, 0x02, 0x00, 0x0c, 0x00, 0x07, 0x00, 0x00, 0x00, 0x01, 0x00, 0x02]
    let message = try ControlMessage(zlb)
    #expect(message.isAcknowledgement && message.kind == nil && message.expected == 2)
    #expect(ControlMessage(tunnel: 7, number: 1, expected: 2).bytes == zlb)
  }

  @Test func bytesBehindTheLengthAreIgnored() throws {
    #expect(try ControlMessage(sccrq + [1, 2, 3]).bytes == sccrq)
  }

  @Test func noTruncationIsAMessage() {
    for bytes in [sccrq, stopCCN] {
      for count in bytes.indices {
        #expect(throws: L2TPError.self) { try ControlMessage(Array(bytes[..<count])) }
      }
    }
  }

  /// Cut and with a length that says so: what is read is whole attributes, and nothing traps.
  @Test func everyHonestTruncationReadsOrThrows() throws {
    for count in 12...sccrq.count {
      var bytes = Array(sccrq[..<count])
      bytes[3] = UInt8(count)
      let attributes = (try? ControlMessage(bytes))?.attributes.count
      let whole: [Int: Int] = [12: 0, 20: 1, 28: 2, 38: 3, 51: 4, 59: 5]
      #expect(attributes == whole[count])
    }
  }

  @Test func everyMutationReadsOrThrows() {
    for bytes in [sccrq, stopCCN] {
      for index in bytes.indices {
        for value: UInt8 in [0x00, 0x01, 0x05, 0x7f, 0x80, 0xff, bytes[index] ^ 0x10] {
          var mutant = bytes
          mutant[index] = value
          guard let message = try? ControlMessage(mutant) else { continue }
          _ = message.kind
          _ = message.result.map { "\($0)" }
          #expect((try? ControlMessage(message.bytes)) == message)
        }
      }
    }
  }

  @Test(arguments: [
    (0, 0x48 as UInt8, "a data message"), (1, 0x03, "version 3"), (0, 0xc0, "no sequence numbers"),
    (17, 0x01, "the first attribute is not the type"), (13, 0x05, "an attribute shorter than its header"),
    (12, 0x83, "an attribute longer than the message"),
  ]) func strangersAreRefused(index: Int, value: UInt8, what: String) {
    var bytes = sccrq
    bytes[index] = value
    #expect(throws: L2TPError.self, "\(what)") { try ControlMessage(bytes) }
  }

  @Test func longValueIsCutNotWrapped() throws {
    let message = ControlMessage(
      .startRequest, tunnel: 0, number: 0, expected: 0, [.text(.hostName, String(repeating: "x", count: 5000))])
    #expect(try ControlMessage(message.bytes)[.hostName]?.value.count == 1017)
  }
}
