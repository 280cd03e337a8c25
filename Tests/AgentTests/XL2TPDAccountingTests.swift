import Digests
import Host
import HostTestKit
import L2TP
import OCF
import RADIUS
import Testing

@testable import XL2TPDAgent

/// Old sessions' accounts are ended before anybody new comes in, and nothing waits for a server that says nothing.
@Suite struct XL2TPDAccountingTests {
  static let server = IPAddress("198.51.100.20")!
  static let parameters = ["radius": "198.51.100.20 198.51.100.21", "radius_secret_file": "/etc/vpnha/radius.secret", "radius_nas_identifier": "vpn"]
  enum Server { case answers, lies, silent, refuses, unreachable }

  /// A gateway and its accounting servers; `asked` is filled with what they were sent, and whether tunnels were refused then.
  final class World {
    let node = L2TPGateway()
    var asked: [(server: IPAddress, port: UInt16, source: IPAddress?, wasShut: Bool, bytes: [UInt8])] = []

    init(_ behaviours: [Server]) {
      node.machine.files.put("hunter2\n", at: "/etc/vpnha/radius.secret", mode: 0o600)
      let tunnels = node.machine.sockets.udp
      node.machine.sockets.whenConnectedOverUDP { [unowned self] address, port, source throws(SystemError) in
        let index = Int(address.bytes[3]) - 20
        guard address.bytes[0] == 198 else {
          guard let tunnels else { throw SystemError("connecting", .networkUnreachable) }
          return try tunnels(address, port, source)
        }
        let behaviour = behaviours[index]
        if behaviour == .unreachable { throw SystemError("connecting", .networkUnreachable) }
        weak var opened: ScriptedDatagrams?
        let socket = ScriptedDatagrams(from: L2TPGateway.vip, calls: node.machine.calls, clock: node.machine.clock) { [unowned self] bytes in
          asked.append((address, port, source, node.isShut, bytes))
          switch behaviour {
          case .answers: return [Self.response(to: bytes, "hunter2")]
          case .lies: return [Self.response(to: bytes, "guessed"), [], [UInt8](repeating: 5, count: 4096)]
          case .refuses:
            opened?.isRefused = true
            return []
          case .silent, .unreachable: return []
          }
        }
        opened = socket
        return socket
      }
    }

    static func response(to request: [UInt8], _ secret: String) -> [UInt8] {
      let head: [UInt8] = [5, request[1], 0, 20]
      return head + md5(head + request[4..<20] + secret.utf8)
    }

    var warnings: [String] { node.machine.log.messages(from: .warning) }
  }

  @Test func promoteTellsEveryServerBeforeTheFirstClient() {
    let world = World([.answers, .answers])
    #expect(world.node.perform("start", Self.parameters, clone: true) == Outcome(.success))
    #expect(world.asked.isEmpty)
    let before = world.node.machine.clock.now
    #expect(world.node.perform("promote", Self.parameters, clone: true) == Outcome(.success))
    #expect(world.node.machine.clock.now == before)
    #expect(world.asked.map(\.server.description) == ["198.51.100.20", "198.51.100.21"])
    #expect(world.asked.allSatisfy { $0.port == 1813 && $0.source == L2TPGateway.vip && $0.wasShut })
    #expect(!world.node.isShut && world.warnings.isEmpty)
    let bytes = world.asked[0].bytes
    #expect(bytes[0] == 4 && bytes[20..<26] == [40, 6, 0, 0, 0, 7] && bytes[26..<32] == [4, 6, 203, 0, 113, 50])
    #expect(bytes[32..<37] == [32, 5] + "vpn".utf8)
  }

  /// A ledger of sessions that goes on with accounts ends those that are over itself.
  @Test(arguments: [("ok", 0), ("error no account goes on here", 2), ("error unknown command", 2)]) func accountsThatGoOnAreNotEnded(answer: String, told: Int) {
    let world = World([.answers, .answers])
    let path = "/run/vpnha/sessions-sessions.sock"
    var asked: [String] = []
    world.node.machine.files.nodes[path] = InMemoryFiles.Node([], .socket)
    world.node.machine.sockets.whenConnected(toUnix: path) { [machine = world.node.machine] in
      machine.stream { unread in
        guard unread.last == UInt8(ascii: "\n") else { return [] }
        asked.append(String(decoding: unread.dropLast(), as: UTF8.self))
        unread = []
        return [.says(Array("\(answer)\n".utf8)), .closes]
      }
    }
    #expect(world.node.perform("start", Self.parameters, clone: true) == Outcome(.success))
    #expect(world.node.perform("promote", Self.parameters, clone: true) == Outcome(.success))
    #expect(asked.contains("accounts 203.0.113.50") && world.asked.count == told && !world.node.isShut)
  }

  @Test(arguments: [Server.silent, .lies]) func aServerThatDoesNotConfirmCostsLittleAndIsNamed(behaviour: Server) {
    let world = World([.answers, behaviour])
    #expect(world.node.perform("start", Self.parameters, clone: true) == Outcome(.success))
    let before = world.node.machine.clock.now
    #expect(world.node.perform("promote", Self.parameters, clone: true) == Outcome(.success))
    #expect(world.node.machine.clock.now - before == XL2TPD.accountingPatience)
    // Once to the one that answered, twice to the other: the same bytes.
    #expect(world.asked.map { $0.server.bytes[3] } == [20, 21, 21] && world.asked[1].bytes == world.asked[2].bytes)
    #expect(
      world.warnings == [
        "radius: 198.51.100.21 did not confirm that old sessions are over: their accounts stay open until the server closes them"
      ])
  }

  @Test(arguments: [Server.refuses, .unreachable]) func aServerThatCannotBeReachedCostsNothing(behaviour: Server) {
    let world = World([.answers, behaviour])
    #expect(world.node.perform("start", Self.parameters, clone: true) == Outcome(.success))
    let before = world.node.machine.clock.now
    #expect(world.node.perform("promote", Self.parameters, clone: true) == Outcome(.success))
    #expect(world.node.machine.clock.now == before && world.warnings.count == 1 && world.warnings[0].hasPrefix("radius: 198.51.100.21 did"))
  }

  @Test func aPlainStartTellsThemBeforeTheDaemonIsThere() {
    let world = World([.answers, .answers])
    #expect(world.node.perform("start", Self.parameters) == Outcome(.success))
    #expect(world.asked.count == 2)
    #expect(world.node.perform("start", Self.parameters) == Outcome(.success))
    #expect(world.asked.count == 2)
    #expect(world.node.perform("stop", Self.parameters) == Outcome(.success))
    #expect(world.asked.count == 2)
  }

  @Test func aSecretThatOthersReadKeepsNobodyFromTakingOver() {
    let world = World([.answers, .answers])
    world.node.running()
    world.node.machine.files.put("hunter2\n", at: "/etc/vpnha/radius.secret", mode: 0o644)
    #expect(world.node.perform("promote", Self.parameters, clone: true) == Outcome(.success))
    #expect(world.asked.isEmpty && world.warnings.count == 1 && world.warnings[0].hasPrefix("old sessions' accounts stay open: radius_secret_file: "))
    // Where there is time, it is said by its exit status.
    #expect(world.node.perform("validate-all", Self.parameters, level: 10).reason?.hasPrefix("radius_secret_file: ") == true)
    #expect(!world.node.machine.log.lines.contains { "\($0)".contains("hunter2") })
  }

  @Test func everyCallOfATakeOverMayFail() {
    var world = World([.answers, .answers])
    let forced = InMemoryMachine.failingEveryCall(with: .io) {
      world = World([.answers, .answers])
      world.node.running()
      return world.node.machine
    } _: { _ in
      world.node.perform("promote", Self.parameters, clone: true)
    } check: { failed, outcome, _ in
      if failed.description.contains("radius.secret") || failed.description.contains("sockets.wait") || failed.description.contains("198.51") {
        #expect(outcome == Outcome(.success), "\(failed): \(outcome)")
      }
    }
    #expect(forced > 10)
  }

  @Test func parametersAreChecked() {
    let node = L2TPGateway()
    #expect(node.perform("validate-all", ["radius": "198.51.100.20"]) == Outcome(.misconfigured, "radius_secret_file: is required with radius"))
    #expect(node.perform("validate-all", ["radius_port": "0"]).reason == "radius_port: expected a port from 1 to 65535, got \"0\"")
    #expect(node.perform("stop", ["radius": "198.51.100.20"]) == Outcome(.success))
  }
}
