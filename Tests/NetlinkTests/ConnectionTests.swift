import Host
import Netlink
import Testing

@Suite("Requests and their answers")
struct ConnectionTests {
  private let request = Message(type: 20, flags: 0)

  @Test("An acknowledgement ends a request")
  func acknowledged() throws {
    let channel = ScriptedChannel(Fixture.acknowledgement)
    try Connection.scripted(channel).perform(request, "adding")
    #expect(
      channel.sent == [
        bytes(
          """
          10 00 00 00 14 00    # length, type
          05 00                # NLM_F_REQUEST, NLM_F_ACK
          07 00 00 00 00 00 00 00   # sequence, port
          """)
      ])
  }

  @Test("A refusal carries the operation, the error number and the kernel's words")
  func refused() {
    #expect(throws: SystemError("adding 192.0.2.77/33 to eth0", .invalidArgument, detail: "ipv4: Invalid prefix length")) {
      try Connection.scripted(ScriptedChannel(Fixture.refusal)).perform(request, "adding 192.0.2.77/33 to eth0")
    }
    #expect(throws: SystemError("adding", .noSuchDevice)) {
      try Connection.scripted(ScriptedChannel(Fixture.refusalOfAnOldKernel)).perform(request, "adding")
    }
  }

  @Test("Answers to another request are skipped")
  func foreignSequence() throws {
    var late = Fixture.refusal
    late[8] = 6
    try Connection.scripted(ScriptedChannel(late, Fixture.acknowledgement)).perform(request, "adding")
  }

  @Test("Without an answer the time limit ends the request")
  func timedOut() {
    #expect(throws: SystemError("adding", .timedOut)) {
      try Connection.scripted(ScriptedChannel()).perform(request, "adding")
    }
    var foreign = Fixture.acknowledgement
    foreign[8] = 99
    #expect(throws: SystemError("adding", .timedOut)) {
      try Connection.scripted(ScriptedChannel(foreign, foreign)).perform(request, "adding")
    }
  }

  @Test("An answer to a request that the kernel kept for long counts: it did what was asked")
  func lateAnswer() throws {
    let channel = ScriptedChannel(Fixture.acknowledgement)
    channel.sending = .seconds(60)
    try Connection.scripted(channel).perform(request, "removing")
  }

  @Test("A list is read over several datagrams up to its end")
  func list() throws {
    let channel = ScriptedChannel(Fixture.ipv4Address + Fixture.ipv4Address, Fixture.ipv4Address, Fixture.done)
    let copies = try Connection.scripted(channel).dump(.getAddresses(isIPv6: false), "listing") {
      (message) throws(Malformed) in try InterfaceAddress(message)
    }
    #expect(copies.count == 3)
  }

  @Test("A list that changed while it was read is read again")
  func interrupted() throws {
    var changed = Fixture.ipv4Address
    changed[6] |= 0x10  // NLM_F_DUMP_INTR
    var second = Fixture.ipv4Address
    second[8] = 8
    var end = Fixture.done
    end[8] = 8
    let channel = ScriptedChannel(changed, Fixture.done, second, end)
    let copies = try Connection.scripted(channel).dump(.getAddresses(isIPv6: false), "listing") {
      (message) throws(Malformed) in try InterfaceAddress(message)
    }
    #expect(copies.count == 1)
    #expect(channel.sent.count == 2)
  }

  @Test("A list that never stands still is an error, not half a list")
  func alwaysInterrupted() throws {
    let channel = ScriptedChannel()
    channel.answers = (7..<107).flatMap { sequence -> [[UInt8]] in
      var end = Fixture.done
      end[6] |= 0x10
      end[8] = UInt8(sequence)
      return [end]
    }
    #expect(throws: SystemError("listing", .wouldBlock, detail: "the table kept changing while it was read")) {
      try Connection.scripted(channel).dump(.getLinks, "listing", Link.init)
    }
  }

  @Test("Of a list that never stands still everything seen is told once, where that will do; nothing seen is an error")
  func gathered() throws {
    var number = UInt8(7)
    func reading(_ addresses: [UInt8]...) -> [[UInt8]] {
      defer { number += 1 }
      return (addresses + [Fixture.done]).map {
        var answer = $0
        answer[6] |= 0x10  // NLM_F_DUMP_INTR
        answer[8] = number
        return answer
      }
    }
    var other = Fixture.ipv4Address
    other[20] = 9  // another interface
    let channel = ScriptedChannel()
    channel.answers = reading(Fixture.ipv4Address) + reading(other) + (2..<99).flatMap { _ in reading() } + reading(Fixture.ipv4Address, other)
    let copies = try Connection.scripted(channel).gather(.getAddresses(isIPv6: false), "listing", identity: \.link) {
      (message) throws(Malformed) in try InterfaceAddress(message)
    }
    #expect(copies.map(\.link).count == 2 && Set(copies.map(\.link)).contains(9))
    #expect(channel.answers == [])
    number = 7
    channel.answers = (0..<100).flatMap { _ in reading() }
    #expect(throws: SystemError("listing", .wouldBlock, detail: "the table kept changing while it was read")) {
      try Connection.scripted(channel).gather(.getLinks, "listing", identity: \.index, Link.init)
    }
    let calm = ScriptedChannel(Fixture.ipv4Address, Fixture.done)
    let once = try Connection.scripted(calm).gather(.getAddresses(isIPv6: false), "listing", identity: \.link) {
      (message) throws(Malformed) in try InterfaceAddress(message)
    }
    #expect(once.count == 1 && calm.sent.count == 1)
  }

  @Test("A list may end with an error")
  func failedDump() {
    var end = Fixture.done
    end.replaceSubrange(16..<20, with: bytes("f4 ff ff ff"))  // -ENOMEM
    #expect(throws: SystemError("listing", .outOfMemory)) {
      try Connection.scripted(ScriptedChannel(end)).dump(.getLinks, "listing", Link.init)
    }
  }

  @Test("The sequence number goes round without stopping")
  func wraps() throws {
    var first = Fixture.acknowledgement
    first.replaceSubrange(8..<12, with: bytes("ff ff ff ff"))
    var second = Fixture.acknowledgement
    second[8] = 1
    let connection = Connection(ScriptedChannel(first, second), firstSequence: .max - 1)
    try connection.perform(request, "first")
    try connection.perform(request, "second")
  }
}
