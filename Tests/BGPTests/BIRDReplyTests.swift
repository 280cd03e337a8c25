import Host
import HostTestKit
import Testing

@testable import BGP

/// As BIRD 2.0.12 said it.
private enum Said {
  static let protocols = """
    2002-Name       Proto      Table      State  Since         Info
    1002-device1    Device     ---        up     23:03:05.749  
     addresses  Direct     ---        up     23:03:05.749  
     upstream   BGP        ---        up     23:04:07.783  Established   
     lost       BGP        ---        start  23:03:05.749  Connect       
     st         Static     master4    up     23:03:05.749  
    0000 

    """
  static let active = """
    2002-Name       Proto      Table      State  Since         Info
    1002-upstream   BGP        ---        start  23:03:05.749  Active        Socket: Connection refused
    1006-  BGP state:          Active
         Neighbor address: 10.0.0.2
         Neighbor AS:      65002
         Local AS:         65001
         Connect delay:    0.953/1
         Last error:       Socket: Connection refused
       Channel ipv4
         State:          DOWN
     
    0000 

    """
  static func established(graceful: String = "") -> String {
    """
    2002-Name       Proto      Table      State  Since         Info
    1002-upstream   BGP        ---        up     23:04:07.783  Established   
    1006-  BGP state:          Established
         Neighbor address: 10.0.0.2
         Neighbor AS:      65002
         Local AS:         65001
         Local capabilities
           Graceful restart
    \(graceful)       4-octet AS numbers
         Neighbor capabilities
           Graceful restart
             Restart time: 90
             AF supported: ipv4
         Session:          external AS4
    0000 

    """
  }
  static let bfd = """
    1020-bfd1:
     IP address                Interface  State      Since         Interval  Timeout
     10.0.0.2                  eth0       Up         23:04:07.691    0.100    0.300
     10.0.0.9                  eth0       Down       23:03:05.754    1.000    0.000
    0000 

    """
  static let route = "1007-Table master4:\n 203.0.113.50/32      unicast [addresses 23:04:12.932] * (240)\n \tdev eth0\n0000 \n"
}

@Suite struct BIRDReplyTests {
  private func read(_ text: String) throws -> Reply? {
    var reader = ReplyReader()
    return try reader.take(Array(text.utf8))
  }

  @Test func anAnswerEndsWhereItSaysSo() throws {
    #expect(try read("0001 BIRD 2.0.12 ready.\n") == Reply([], 1, "BIRD 2.0.12 ready."))
    #expect(
      try read("0002-Reading configuration from a.conf\n8002 a.conf:10:1 syntax error\n")
        == Reply([.init(2, "Reading configuration from a.conf")], 8002, "a.conf:10:1 syntax error"))
    #expect(try read("+log\n1002-a\n b\n0000 \n") == Reply([.init(1002, "a"), .init(1002, "b")], 0, ""))
  }

  @Test func byteByByteAndCutAnywhere() throws {
    let bytes = Array(Said.protocols.utf8)
    let whole = try #require(try read(Said.protocols))
    var reader = ReplyReader()
    for byte in bytes.dropLast() { #expect(try reader.take([byte]) == nil) }
    #expect(try reader.take([bytes[bytes.count - 1]]) == whole)
    for length in bytes.indices {
      var reader = ReplyReader()
      #expect(try reader.take(Array(bytes[..<length])) == nil, "\(length)")
    }
  }

  @Test(arguments: ["x\n", "12 \n", "12345\n", "1234\n", "12é4 \n", " first\n", "\n", "0000 \nmore\n", "0000 \nm"]) func whatIsNoAnswerIsRefused(_ text: String) {
    #expect(throws: BIRDError.self) { try read(text) }
  }

  @Test func whatHasNoEndIsRefused() {
    var reader = ReplyReader()
    let part = [UInt8](repeating: UInt8(ascii: "1"), count: 65_536)
    var kind: BIRDError.Kind?
    while kind == nil { do throws(BIRDError) { _ = try reader.take(part) } catch { kind = error.kind } }
    #expect(kind == .malformed)
  }

  @Test func noControlCharacterComesThrough() throws {
    #expect(try read("8002 \u{1b}[2Jfile\u{7}\n")?.text == "?[2Jfile?")
  }
}

@Suite struct BIRDConversationTests {
  private func control(_ answers: [String: String], greeting: String = "0001 BIRD 2.0.12 ready.\n") throws -> (BIRDControl, InMemoryMachine) {
    let machine = InMemoryMachine()
    machine.sockets.whenConnected(toUnix: "/run/bird/bird.ctl") {
      let stream = machine.stream { unread in
        guard unread.last == UInt8(ascii: "\n") else { return [] }
        let command = String(decoding: unread.dropLast(), as: UTF8.self)
        unread = []
        guard let answer = answers[command] else { return [.closes] }
        return [.says(Array(answer.utf8))]
      }
      return Greeting(greeting, before: stream)
    }
    return (try BIRDControl("/run/bird/bird.ctl", on: machine.host, before: machine.clock.now + .seconds(4)), machine)
  }

  @Test func questions() throws {
    let (bird, _) = try control([
      "show protocols": Said.protocols, "show protocols all 'upstream'": Said.established(), "show protocols all 'lost'": Said.active,
      "show protocols all 'none'": "8003 No protocols match\n", "show bfd sessions": Said.bfd, "eval vpnha_list": "0023 announce standby 1\n",
      "eval other_list": "9001 syntax error, unexpected CF_SYM_UNDEFINED\n", "configure check": "0002-Reading\n0020 Configuration OK\n", "configure": "0002-Reading\n0004 Reconfiguration in progress\n",
      "show route 203.0.113.50/32 export 'upstream'": Said.route, "show route 203.0.113.5/32 export 'upstream'": "8001 Network not found\n",
      "show route 203.0.113.50/32 export 'lost'": "9001 No valid tables\n",
    ])
    #expect(try bird.neighbours() == ["upstream", "lost"])
    let upstream = try #require(try bird.neighbour("upstream"))
    #expect(upstream.isEstablished && upstream.address == IPAddress("10.0.0.2") && upstream.localAS == 65001 && upstream.keptFor == nil)
    #expect(upstream.carriesIPv4 && upstream.carriesIPv6)
    let lost = try #require(try bird.neighbour("lost"))
    #expect(lost.carriesIPv4 && !lost.carriesIPv6, "its channels say so")
    #expect(lost.words == "lost: Active (Socket: Connection refused)")
    #expect(try bird.neighbour("none") == nil)
    #expect(try bird.hasBFD(upstream))
    var other = upstream
    for address in ["10.0.0.9", "10.0.0.3"] {
      other.address = IPAddress(address)
      #expect(try !bird.hasBFD(other), "\(address)")
    }
    #expect(try bird.constant("vpnha_list") == "announce standby 1" && bird.constant("other_list") == nil)
    #expect(try bird.refusal() == nil)
    try bird.configure()
    #expect(try bird.exports("203.0.113.50/32", to: "upstream"))
    #expect(try !bird.exports("203.0.113.5/32", to: "upstream") && !bird.exports("203.0.113.50/32", to: "lost"))
  }

  @Test func gracefulRestartIsOursOrTheNeighbours() throws {
    let on = "         Restart time: 120\n         AF supported: ipv4\n"
    let (bird, _) = try control(["show protocols all 'upstream'": Said.established(graceful: on)])
    #expect(try bird.neighbour("upstream")?.keptFor == 120)
  }

  @Test func aBrokenFileIsRefusedWithItsPlace() throws {
    let (bird, _) = try control(["configure": "0002-Reading\n8002 /etc/bird/bird.conf:10:1 syntax error, unexpected GARBAGE\n"])
    #expect(throws: BIRDError(kind: .refused(8002), reason: "BIRD refuses its configuration: /etc/bird/bird.conf:10:1 syntax error, unexpected GARBAGE")) { try bird.configure() }
  }

  @Test func whyThereIsNoAnswer() throws {
    let machine = InMemoryMachine()
    func kind(_ steps: [ScriptedStream.Step]?) -> BIRDError.Kind? {
      machine.sockets.unix["/s"] = nil
      if let steps { machine.sockets.whenConnected(toUnix: "/s") { machine.stream(steps) } }
      do throws(BIRDError) {
        let bird = try BIRDControl("/s", on: machine.host, before: machine.clock.now + .seconds(1))
        _ = try bird.ask("show status")
        return nil
      } catch { return error.kind }
    }
    #expect(kind(nil) == .absent)
    #expect(kind([.silence]) == .unanswered)
    #expect(kind([.closes]) == .malformed)
    #expect(kind([.says(Array("9001 no\n".utf8))]) == .malformed)
    #expect(kind([.says(Array("0001 hello\n".utf8)), .silence]) == .unanswered)
    #expect(kind([.says(Array("0001 hello\n".utf8)), .fails(.connectionReset)]) == .system(.connectionReset))
    machine.sockets.whenConnected(toUnix: "/s") { () throws(SystemError) -> any ByteStream in throw SystemError("connecting", .connectionRefused) }
    #expect(throws: BIRDError(kind: .unread, reason: "asking BIRD through /s: connection refused (ECONNREFUSED)")) {
      try BIRDControl("/s", on: machine.host, before: machine.clock.now)
    }
  }

  @Test func nothingIsSmuggledIntoACommand() throws {
    let (bird, machine) = try control([:])
    #expect(throws: BIRDError.self) { try bird.ask("show status\ndown") }
    #expect(!machine.calls.all.contains { $0.description.hasPrefix("stream.write") })
  }
}

/// A stream on which the peer speaks first.
private final class Greeting: ByteStream {
  private var greeting: [UInt8]
  private let stream: any ByteStream
  init(_ greeting: String, before stream: any ByteStream) {
    self.greeting = Array(greeting.utf8)
    self.stream = stream
  }
  func read(limit: Int, before deadline: Instant) throws(SystemError) -> [UInt8] {
    guard greeting.isEmpty else {
      defer { greeting = [] }
      return greeting
    }
    return try stream.read(limit: limit, before: deadline)
  }
  func write(_ bytes: [UInt8], before deadline: Instant) throws(SystemError) { try stream.write(bytes, before: deadline) }
  func close() { stream.close() }
}
