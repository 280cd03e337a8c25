import Host
import HostTestKit
import Testing

@testable import BGP

/// As FRR 8.4.4 said it, shortened.
private enum Said {
  static let summary = """
    {
    "ipv4Unicast":{
      "routerId":"10.77.1.1",
      "as":65001,
      "peers":{
        "10.77.1.254":{ "remoteAs":65000, "state":"Established", "peerState":"OK" },
        "eth1":{ "remoteAs":65000, "state":"Idle", "peerState":"OK" }
      },
      "totalPeers":2
    }
    ,
    "ipv6Unicast":{
      "as":65001,
      "peers":{
        "10.77.1.254":{ "state":"Established" },
        "2001:db8::fe":{ "state":"Active" }
      }
    }
    }

    """
  static func neighbour(_ name: String, _ state: String, mode: String = "Helper*", bfd: String = "Up") -> String {
    """
    {
      "\(name)":{
        "remoteAs":65000,
        "localAs":65001,
        "bgpState":"\(state)",
        "neighborCapabilities":{ "hostName":{ "advDomainName":"n\\/a" } },
        "gracefulRestartInfo":{ "localGrMode":"\(mode)", "remoteGrMode":"Helper", "timers":{ "configuredRestartTimer":90, "receivedRestartTimer":120 } },
        "lastResetDueTo":"No AFI\\/SAFI activated for peer",
        "peerBfdInfo":{ "type":"single hop", "detectMultiplier":3, "status":"\(bfd)" }
      }
    }

    """
  }
  static func route(_ path: String = #""string":"Local", "segments":[], "length":0"#, metric: Int = 0, origin: String = "IGP", told: String = #""10.77.1.254":{ "hostname":"router" }"#) -> String {
    """
    {
      "prefix":"203.0.113.50/32",
      "advertisedTo":{ \(told) },
      "paths":[
        { "aspath":{ "string":"65000", "length":1 }, "origin":"IGP", "valid":true, "peer":{ "peerId":"10.77.1.254" } },
        { "aspath":{ \(path) }, "origin":"\(origin)", "metric":\(metric), "weight":32768, "valid":true, "sourced":true, "local":true }
      ]
    }

    """
  }
}

@Suite struct VTYTests {
  private func read(_ bytes: [UInt8]) throws -> VTY.Answer? {
    var reader = AnswerReader(daemon: "bgpd")
    return try reader.take(bytes)
  }

  @Test(arguments: [UInt8(0), 1, 2, 13]) func anAnswerEndsWithItsStatus(_ status: UInt8) throws {
    #expect(try read(Array("text\n".utf8) + [0, 0, 0, status]) == VTY.Answer(text: "text\n", status: status))
    #expect(try read([0, 0, 0, status]) == VTY.Answer(text: "", status: status))
  }

  @Test func byteByByteAndCutAnywhere() throws {
    let bytes = Array(Said.summary.utf8) + [0, 0, 0, 1]
    var reader = AnswerReader(daemon: "bgpd")
    for byte in bytes.dropLast() { #expect(try reader.take([byte]) == nil) }
    #expect(try reader.take([1]) == VTY.Answer(text: Said.summary, status: 1))
    for length in bytes.indices { #expect(try read(Array(bytes[..<length])) == nil, "\(length)") }
  }

  @Test(arguments: [[0x61, 0, 0x61], [0x61, 0, 0, 0x61], [0, 0, 0, 0, 0], [0x61, 0, 0, 0, 2, 0x61]] as [[UInt8]]) func whatIsNoAnswerIsRefused(_ bytes: [UInt8]) {
    #expect(throws: FRRError.self) { try read(bytes) }
  }

  @Test func whatHasNoEndIsRefused() {
    var reader = AnswerReader(daemon: "bgpd")
    let part = [UInt8](repeating: 0x61, count: 65_536)
    var kind: FRRError.Kind?
    while kind == nil { do throws(FRRError) { _ = try reader.take(part) } catch { kind = error.kind } }
    #expect(kind == .malformed)
  }
}

@Suite struct FRRConversationTests {
  /// Commands that are not among the answers are done; what was asked is noted.
  final class Daemons {
    let machine = InMemoryMachine()
    var asked: [String] = []
    var answers: [String: (String, UInt8)]

    init(_ answers: [String: (String, UInt8)]) {
      self.answers = answers
      for daemon in ["bgpd", "zebra"] {
        machine.sockets.whenConnected(toUnix: "/run/frr/\(daemon).vty") { [unowned self] in
          machine.stream { [unowned self] unread in
            guard unread.last == 0 else { return [] }
            let command = String(decoding: unread.dropLast(), as: UTF8.self)
            unread = []
            asked.append("\(daemon): \(command)")
            let (text, status) = self.answers[command] ?? ("", 0)
            return [.says(Array(text.utf8) + [0, 0, 0, status])]
          }
        }
      }
    }
    func frr() throws -> FRRControl { try FRRControl("/run/frr", on: machine.host, before: machine.clock.now + .seconds(4)) }
  }

  @Test func questions() throws {
    let daemons = Daemons([
      "show bgp summary json": (Said.summary, 0), "show bgp neighbors 10.77.1.254 json": (Said.neighbour("10.77.1.254", "Established"), 0),
      "show bgp neighbors eth1 json": (Said.neighbour("eth1", "Active", mode: "Restart*", bfd: "Down"), 0), "show bgp neighbors 10.0.0.9 json": ("{\n  \"bgpNoSuchNeighbor\":true\n}\n", 0),
      "show bgp ipv4 unicast 203.0.113.50/32 json": (Said.route(), 0), "show bgp ipv4 unicast 203.0.113.51/32 json": ("{\n}\n", 0), "show bgp ipv6 unicast 2001:db8::50/128 json": ("{\n\"warning\":\"x\"}\n", 1),
    ])
    let frr = try daemons.frr()
    #expect(try frr.neighbours() == ["10.77.1.254", "eth1", "2001:db8::fe"])
    #expect(try frr.localAS() == "65001")
    let upstream = try #require(try frr.neighbour("10.77.1.254"))
    #expect(upstream.isEstablished && upstream.address == IPAddress("10.77.1.254") && upstream.localAS == 65001 && upstream.keptFor == nil && frr.hasBFD(upstream) && upstream.lastError == nil)
    let other = try #require(try frr.neighbour("eth1"))
    #expect(other.words == "eth1: Active (No AFI/SAFI activated for peer)" && other.keptFor == 90 && !frr.hasBFD(other))
    #expect(try frr.neighbour("10.0.0.9") == nil)
    #expect(try frr.exports("203.0.113.50/32", to: "10.77.1.254") && !frr.exports("203.0.113.50/32", to: "eth1"))
    #expect(try !frr.exports("203.0.113.51/32", to: "10.77.1.254") && !frr.exports("2001:db8::50/128", to: "10.77.1.254"))
    #expect(throws: FRRError(kind: .unanswered, reason: "bgpd has no connection to zebra: systemctl restart frr")) { try frr.checkFollowsKernel() }
    daemons.answers["show zebra client summary"] = ("Name      Connect Time\n-----\nbgp           00:00:01     00:00:01\nvnc           00:00:01\n", 0)
    try frr.checkFollowsKernel()
  }

  @Test func whatIsAnnouncedIsANetworkOfThisNode() throws {
    let daemons = Daemons([:])
    let frr = try daemons.frr()
    func network(_ answer: String) throws -> FRRControl.Network? {
      daemons.answers["show bgp ipv4 unicast 203.0.113.50/32 json"] = (answer, 0)
      return try frr.network("203.0.113.50/32")
    }
    #expect(try network(Said.route()) == FRRControl.Network(med: 0, hops: 0))
    #expect(try network(Said.route(metric: 1000)) == FRRControl.Network(med: 1000, hops: 0))
    #expect(try network(Said.route(#""string":"65001 65001 65001", "length":3"#)) == FRRControl.Network(med: 0, hops: 3))
    #expect(try !frr.redistributes("203.0.113.50/32"))
    #expect(try network(Said.route(origin: "incomplete")) == nil && network("{}") == nil, "what is redistributed is none")
    #expect(try network(Said.route(origin: "incomplete")) == nil && frr.redistributes("203.0.113.50/32"))
  }

  @Test func changes() throws {
    let daemons = Daemons(["show bgp summary json": (Said.summary, 0)])
    let frr = try daemons.frr()
    func commands(_ body: () throws -> Void) throws -> [String] {
      daemons.asked = []
      try body()
      return daemons.asked.filter { !$0.contains(" show ") }.map { String($0.dropFirst("bgpd: ".count)) }
    }
    #expect(try commands { try frr.announce("203.0.113.50/32") } == ["configure terminal", "router bgp 65001", "address-family ipv4 unicast", "network 203.0.113.50/32", "end"])
    #expect(
      try commands { try frr.announce("2001:db8::50/128", through: "x-standby") }
        == ["configure terminal", "router bgp 65001", "address-family ipv6 unicast", "network 2001:db8::50/128 route-map x-standby", "end"])
    #expect(try commands { try frr.withdraw("203.0.113.50/32") }.contains("no network 203.0.113.50/32"))
    #expect(
      try commands { try frr.define("x-standby", "set metric 1000") }
        == ["configure terminal", "no route-map x-standby", "end", "configure terminal", "route-map x-standby permit 10", "set metric 1000", "end"])
    // What is refused is quoted, and the mode left.
    daemons.answers["network 203.0.113.50/32"] = ("% Malformed\n% prefix\n", 13)
    #expect(throws: FRRError(kind: .refused(13), reason: "bgpd refuses network 203.0.113.50/32: % Malformed; % prefix")) { try frr.announce("203.0.113.50/32") }
    #expect(daemons.asked.last == "bgpd: end")
    // Taking back what is not there is done; what stays there is refused.
    daemons.answers["no network 203.0.113.50/32"] = ("% Can't find static route specified\n", 13)
    daemons.answers["show bgp ipv4 unicast 203.0.113.50/32 json"] = ("{}", 0)
    try frr.withdraw("203.0.113.50/32")
    daemons.answers["show bgp ipv4 unicast 203.0.113.50/32 json"] = (Said.route(), 0)
    #expect(throws: FRRError.self) { try frr.withdraw("203.0.113.50/32") }
    // No instance of BGP is made where there is none.
    daemons.answers["show bgp summary json"] = ("{}", 1)
    daemons.asked = []
    #expect(throws: FRRError(kind: .refused(1), reason: FRRControl.noNeighbour)) { try frr.announce("203.0.113.50/32") }
    #expect(!daemons.asked.contains { $0.contains("router bgp") })
    #expect(try frr.refusal() == FRRControl.noNeighbour)
  }

  @Test(arguments: [
    ("router bgp 65001\n", false), ("router bgp 65001\n no bgp network import-check\n", true), ("router bgp 65001\nrouter bgp 65002 vrf red\n no bgp network import-check\n", false),
    ("router bgp 65002 vrf red\nrouter bgp 65001\n no bgp network import-check\n", true),
  ]) func withoutTheImportCheckNothingEndsWithTheAddress(_ text: String, _ isRefused: Bool) throws {
    let daemons = Daemons(["show bgp summary json": (Said.summary, 0), "show running-config | include ^router bgp|^ no bgp network import-check": (text, 0)])
    #expect(try daemons.frr().refusal() == (isRefused ? FRRControl.noImportCheck : nil))
  }

  @Test(arguments: ["", "no JSON", "{", "[1"]) func whatIsNoJSONIsMalformed(_ text: String) throws {
    let daemons = Daemons(["show bgp summary json": (text, 0)])
    #expect(throws: FRRError.self) { try daemons.frr().neighbours() }
  }

  @Test func whyThereIsNoAnswer() {
    let machine = InMemoryMachine()
    func kind(_ steps: [ScriptedStream.Step]?) -> FRRError.Kind? {
      machine.sockets.unix["/f/bgpd.vty"] = nil
      if let steps { machine.sockets.whenConnected(toUnix: "/f/bgpd.vty") { machine.stream(steps) } }
      do throws(FRRError) {
        let frr = try FRRControl("/f", on: machine.host, before: machine.clock.now + .seconds(1))
        _ = try frr.neighbours()
        return nil
      } catch { return error.kind }
    }
    let enabled: [ScriptedStream.Step] = [.takes(Array("enable\0".utf8)), .says([0, 0, 0, 0])]
    #expect(kind(nil) == .absent)
    #expect(kind([.silence]) == .unanswered)
    #expect(kind([.closes]) == .system(.brokenPipe))
    #expect(kind(enabled + [.closes]) == .system(.brokenPipe))
    #expect(kind(enabled + [.silence]) == .unanswered)
    #expect(kind(enabled + [.fails(.connectionReset)]) == .system(.connectionReset))
    #expect(kind([.takes(Array("enable\0".utf8)), .says(Array("no\n".utf8) + [0, 0, 0, 2])]) == .refused(2))
    machine.sockets.whenConnected(toUnix: "/f/bgpd.vty") { () throws(SystemError) -> any ByteStream in throw SystemError("connecting", .connectionRefused) }
    #expect(throws: FRRError(kind: .unread, reason: "asking bgpd through /f/bgpd.vty: connection refused (ECONNREFUSED)")) {
      try FRRControl("/f", on: machine.host, before: machine.clock.now)
    }
  }
}
