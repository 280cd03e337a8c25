import Daemon
import Host
import HostTestKit
import Ledger
import OCF
import Testing

@testable import SessionsAgent

/// A node with the resident, as far as its agent can tell.
final class LedgerNode {
  static let key = "/etc/vpnha/sessions.key"
  static let socket = "/run/vpnha/sessions-sessions.sock"
  static let nodes = """
    totem {
      version: 2
    }
    nodelist {
      # The two gateways.
      node {
        name: moon
        nodeid: 1
        ring0_addr: 10.77.0.1
        ring1_addr: 10.78.0.1
      }
      node {
        name: sun
        ring0_addr: 10.77.0.2
      }
    }
    """

  let machine = InMemoryMachine(links: [Link(index: 1, name: "eth1", hardwareAddress: [2, 0, 0, 0, 0, 1], isUp: true, hasCarrier: true)])
  var hangs = false
  var exitsAtOnce = false
  var isPromoted = false
  var ignoresOrders = false
  /// Lines that `status` has beside the role.
  var says = ["link connected", "up 100", "lag 0", "own 3", "adopted 1", "held 7", "peer-full 0"]
  private(set) var asked: [String] = []
  var orders: [String] { asked.filter { $0 != "status" } }

  init() {
    machine.files.putExecutable(SessionLedger.program)
    machine.files.put(Self.nodes, at: ClusterLink.path)
    machine.files.put(String(repeating: "k", count: 48), at: Self.key, mode: 0o600)
    machine.processes.launches[SessionLedger.program] = { [unowned self] command in
      let process = machine.processes.appear(command.path, command.arguments)
      if exitsAtOnce {
        machine.processes.outputs[process.pid] = "vpnha-ledger: no libcrypto\n"
        machine.processes.vanish(process.pid)
        return process
      }
      isPromoted = false
      machine.files.nodes[Self.socket] = InMemoryFiles.Node([], .socket)
      machine.sockets.unix[Self.socket] = { [unowned self] in stream() }
      return process
    }
  }

  private func stream() -> ScriptedStream {
    machine.stream { [unowned self] unread in
      guard unread.last == UInt8(ascii: "\n") else { return [] }
      if hangs { return [.silence] }
      let command = String(decoding: unread.dropLast(), as: UTF8.self)
      unread = []
      asked.append(command)
      if !ignoresOrders, command != "status" { isPromoted = command == "promote" }
      let lines = command == "status" ? ["ok", "role \(isPromoted ? "promoted" : "standby")"] + says : ["ok"]
      return [.says(Array((lines.joined(separator: "\n") + "\n").utf8)), .closes]
    }
  }

  /// A death without a last word.
  func kill() {
    for process in machine.processes.table { machine.processes.vanish(process.pid) }
    machine.sockets.unix[Self.socket] = nil
  }

  func perform(_ action: String, _ parameters: [String: String?] = [:], clone: Bool = true, level: Int = 0, interval: Int = 10_000, node: String? = "moon") -> Outcome {
    var environment = [
      "OCF_RESOURCE_TYPE": "sessions", "OCF_RESOURCE_INSTANCE": "sessions", "OCF_CHECK_LEVEL": "\(level)", "HA_LOGFACILITY": "daemon",
      "OCF_RESKEY_CRM_meta_timeout": "20000", "OCF_RESKEY_CRM_meta_interval": "\(interval)", "OCF_RESKEY_address": "203.0.113.50",
    ]
    environment["OCF_RESKEY_CRM_meta_on_node"] = node
    if clone { environment["OCF_RESKEY_CRM_meta_promoted_max"] = "1" }
    for (name, value) in parameters { environment["OCF_RESKEY_\(name)"] = value }
    return OCF.perform(SessionLedger.self, Request(arguments: ["sessions", action], environment: environment), on: machine.host, from: machine.clock.now)
  }

  /// What the resident was told at its start, by option.
  var options: [String: String] {
    let words = machine.processes.launched.last?.arguments ?? []
    return Dictionary(uniqueKeysWithValues: stride(from: 0, to: words.count - 1, by: 2).map { (words[$0], words[$0 + 1]) })
  }
}

@Suite struct SessionLedgerTests {
  @Test func theServersOfAccountsAreHandedOnAndTheirSecretIsNot() {
    let node = LedgerNode()
    let radius = ["radius": "198.51.100.20 198.51.100.21", "radius_secret_file": "/etc/vpnha/radius.secret"]
    #expect(node.perform("start", ["radius": "198.51.100.20"]).status == .misconfigured)
    #expect(node.perform("start", radius).status != .success && node.machine.processes.launched.isEmpty)
    node.machine.files.put("hunter2\n", at: "/etc/vpnha/radius.secret", mode: 0o600)
    #expect(node.perform("start", radius) == Outcome(.success))
    #expect(node.options["--radius"] == "198.51.100.20,198.51.100.21" && node.options["--radius-port"] == "1813")
    #expect(node.options["--radius-secret-file"] == "/etc/vpnha/radius.secret")
    #expect(!node.machine.processes.launched.contains { $0.arguments.contains { $0.contains("hunter2") } })
  }

  @Test func aLife() {
    let node = LedgerNode()
    #expect(node.perform("monitor", interval: 0).status == .notRunning)
    #expect(node.perform("start") == Outcome(.success))
    #expect(
      node.options == [
        "--instance": "sessions", "--address": "203.0.113.50", "--key-file": LedgerNode.key, "--peer": "10.77.0.2", "--source": "10.77.0.1", "--port": "4511",
        "--strongswan": "strongswan",
      ])
    #expect(node.machine.processes.launched[0].environment == ["HA_LOGFACILITY": "daemon"])
    #expect(node.perform("start") == Outcome(.success) && node.machine.processes.launched.count == 1)
    #expect(node.perform("monitor") == Outcome(.success))
    #expect(node.machine.cluster.scores["sessions"] == 100)
    #expect(node.perform("promote") == Outcome(.success) && node.perform("promote") == Outcome(.success))
    #expect(node.perform("monitor") == Outcome(.runningPromoted))
    #expect(node.perform("demote") == Outcome(.success) && node.perform("demote") == Outcome(.success))
    #expect(node.orders == ["promote", "demote"])
    #expect(node.perform("monitor") == Outcome(.success))
    #expect(node.perform("stop") == Outcome(.success) && node.perform("stop") == Outcome(.success))
    #expect(node.machine.processes.table.isEmpty && node.machine.cluster.scoresSet.last == .some(nil))
    #expect(node.machine.files.nodes.filter { $0.key.hasPrefix("/run/") && $0.value.status.kind != .directory }.keys.sorted() == [])
  }

  // MARK: Who the peer is

  @Test func thePeerIsTheOtherOne() throws {
    let node = LedgerNode()
    #expect(node.perform("start", node: "sun") == Outcome(.success))
    #expect(node.options["--peer"] == "10.77.0.1" && node.options["--source"] == "10.77.0.2")
    // By hand nobody names the node: it has one of the two addresses.
    let other = LedgerNode()
    other.machine.network.addresses.append(InterfaceAddress(try #require(IPAddress("10.77.0.2")), prefixLength: 24, link: 1))
    #expect(other.perform("start", node: nil) == Outcome(.success))
    #expect(other.options["--peer"] == "10.77.0.1" && other.options["--source"] == "10.77.0.2")
  }

  @Test func namesAreLookedUp() {
    let node = LedgerNode()
    node.machine.files.put(LedgerNode.nodes.replacing("10.77.0.1", with: "moon-ring").replacing("10.77.0.2", with: "sun-ring"), at: ClusterLink.path)
    node.machine.processes.whenRun("/usr/bin/getent") { command in
      let address = command.arguments == ["ahosts", "moon-ring"] ? "127.0.1.1 STREAM moon-ring\n10.77.0.1 STREAM moon-ring\n" : "10.77.0.2 STREAM\n10.77.0.2 DGRAM\n"
      return CommandResult(.exited(0), output: Array(address.utf8))
    }
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.options["--peer"] == "10.77.0.2" && node.options["--source"] == "10.77.0.1")
    let unknown = LedgerNode()
    unknown.machine.files.put(LedgerNode.nodes.replacing("10.77.0.2", with: "sun-ring"), at: ClusterLink.path)
    unknown.machine.processes.whenRun("/usr/bin/getent") { _ in CommandResult(.exited(2)) }
    #expect(unknown.perform("start") == Outcome(.genericError, "finding the peer: sun-ring in /etc/corosync/corosync.conf is no address and no known name"))
  }

  @Test func aThirdNodeNeedsAWord() {
    let three = LedgerNode.nodes.replacing("nodelist {", with: "nodelist {\n  node {\n    ring0_addr: 10.77.0.9\n    name: arbiter\n  }")
    let node = LedgerNode()
    node.machine.files.put(three, at: ClusterLink.path)
    #expect(node.perform("start") == Outcome(.genericError, "nodes: name the two that are meant: /etc/corosync/corosync.conf lists 3 with a ring0_addr"))
    #expect(node.perform("start", ["nodes": "moon sun"]) == Outcome(.success))
    #expect(node.options["--peer"] == "10.77.0.2")
    let absent = LedgerNode()
    absent.machine.files.nodes[ClusterLink.path] = nil
    #expect(absent.perform("start") == Outcome(.genericError, "finding the peer: /etc/corosync/corosync.conf is missing"))
    let stranger = LedgerNode()
    let reason = stranger.perform("start", node: "mars").reason ?? ""
    #expect(reason.hasPrefix("finding the peer: neither 10.77.0.1 nor 10.77.0.2 is an address of this node"), "\(reason)")
  }

  /// validate-all says what a start would come to, in the same words.
  @Test func aStartIsForeseen() {
    let spoil: [(LedgerNode) -> Void] = [
      { _ in }, { $0.machine.files.nodes[ClusterLink.path] = nil }, { $0.machine.files.nodes[LedgerNode.key] = nil }, { $0.machine.files.nodes[SessionLedger.program] = nil },
      { $0.machine.files.put(LedgerNode.nodes.replacing("10.77.0.2", with: "10.77.0.1"), at: ClusterLink.path) },
      { $0.machine.files.put(LedgerNode.nodes.replacing("nodelist {", with: "nodelist {\n  node {\n    ring0_addr: 10.77.0.9\n    name: arbiter\n  }"), at: ClusterLink.path) },
    ]
    for (index, change) in spoil.enumerated() {
      let node = LedgerNode()
      change(node)
      let foreseen = node.perform("validate-all", level: 10)
      #expect(node.perform("start") == foreseen, "\(index)")
      #expect((foreseen.status == .success) == (index == 0), "\(index): \(foreseen)")
    }
  }

  // MARK: The secret

  @Test(arguments: [
    (nil, 0o600 as UInt32, "it is missing (vpnha key /etc/vpnha/sessions.key writes one; both nodes need the same)"),
    (31, 0o600, "it has 31 bytes; expected 32 to 4096 (vpnha key writes a good one)"),
    (48, 0o640, "it must be root's with mode 0600 or less (chown root: /etc/vpnha/sessions.key; chmod 600 /etc/vpnha/sessions.key)"),
  ]) func aBadKeyIsNoSilence(length: Int?, mode: UInt32, reason: String) {
    let node = LedgerNode()
    func spoil() {
      node.machine.files.nodes[LedgerNode.key] = length.map { InMemoryFiles.Node([UInt8](repeating: 1, count: $0), mode: mode) }
    }
    let whole = "key_file: /etc/vpnha/sessions.key: \(reason)"
    #expect(node.perform("start") == Outcome(.success))
    spoil()
    // What runs goes on, and says what the next start would meet.
    #expect(node.perform("monitor") == Outcome(.success))
    #expect(node.perform("monitor", level: 10) == Outcome(.success, whole))
    #expect(node.machine.cluster.attributes["vpnha-risk-sessions"]?.hasSuffix(whole) == true)
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.perform("start") == Outcome(.genericError, whole))
    #expect(node.perform("validate-all", level: 10) == Outcome(.genericError, whole))
    #expect(node.machine.processes.table.isEmpty)
  }

  // MARK: What a monitor makes of the resident's words

  @Test(
    arguments: [
      ("link never", "up 3", nil),
      ("link never", "up 10", "nothing is heard from the ledger on 10.77.0.2 (UDP port 4511)"),
      ("link silent", "lag 9", "nothing is heard from the ledger on 10.77.0.2 (UDP port 4511)"),
      ("link silent", "risk opening a socket: address not on this node", "opening a socket: address not on this node"),
      ("link other-key", "lag 0", "key_file: 10.77.0.2 has another key: copy /etc/vpnha/sessions.key to it, then restart sessions"),
      ("link other-version", "lag 0", "10.77.0.2 has another version of vpnha: upgrade both nodes"),
      ("link connected", "peer-full 1", "10.77.0.2 has no room for all sessions of this node"),
      ("link connected", "lag 4", nil), ("link connected", "lag 5", "10.77.0.2 does not take the changes of this node's sessions"),
      ("link connected", "risk opening a socket: address in use", "opening a socket: address in use"),
    ] as [(String, String, String?)]) func risks(link: String, line: String, risk: String?)
  {
    let node = LedgerNode()
    #expect(node.perform("start") == Outcome(.success))
    node.says = [link, line]
    #expect(node.perform("monitor") == Outcome(.success, risk))
    #expect(node.machine.cluster.scores["sessions"] == (risk == nil ? 100 : 50))
    #expect(node.perform("promote") == Outcome(.success, risk))
    #expect(node.perform("monitor") == Outcome(.runningPromoted, risk))
    node.says = ["link connected"]
    #expect(node.perform("monitor") == Outcome(.runningPromoted))
    #expect(node.machine.cluster.attributes["vpnha-risk-sessions"] == nil)
  }

  @Test func whatDoesNotAnswerFails() {
    let node = LedgerNode()
    #expect(node.perform("start") == Outcome(.success) && node.perform("promote") == Outcome(.success))
    let pid = node.machine.processes.table[0].pid
    node.hangs = true
    #expect(node.perform("monitor") == Outcome(.failedPromoted, "the ledger (pid \(pid)) hangs: no answer to status"))
    let before = node.machine.clock.now
    #expect(node.perform("demote").status == .genericError)
    #expect(node.machine.clock.now - before < .seconds(3), "a demote that waits holds a take-over up")
    node.machine.processes.table[0].state = "T"
    #expect(node.perform("monitor") == Outcome(.failedPromoted, "the ledger (pid \(pid)) is suspended (SIGSTOP)"))
    node.machine.processes.makeStubborn(node.machine.processes.table[0])
    #expect(node.perform("stop") == Outcome(.success) && node.machine.processes.table.isEmpty)
    node.hangs = false
    #expect(node.perform("start") == Outcome(.success))
    node.says = ["nonsense"]
    #expect(node.perform("monitor") == Outcome(.genericError, "the ledger (pid \(node.machine.processes.table[0].pid)) gives no status"))
  }

  @Test func aKilledOneIsGoneAndLeavesNothing() {
    let node = LedgerNode()
    #expect(node.perform("start") == Outcome(.success) && node.perform("promote") == Outcome(.success))
    node.kill()
    let outcome = node.perform("monitor")
    #expect(outcome.status == .notRunning && outcome.reason?.contains("is gone, and the cluster did not stop it: see journalctl -t sessions(sessions)") == true, "\(outcome)")
    #expect(node.perform("demote") == Outcome(.success))
    // With nothing that it could be read from.
    node.machine.files.nodes[ClusterLink.path] = nil
    node.machine.files.nodes[LedgerNode.key] = nil
    #expect(node.perform("stop", ["address": nil, "port": "x", "nodes": "a"]) == Outcome(.success))
    #expect(node.machine.files.nodes[LedgerNode.socket] == nil)
  }

  /// One that was started again behind the cluster's back serves as a standby: that is for the cluster to set right.
  @Test func theResidentKnowsItsRole() {
    let node = LedgerNode()
    #expect(node.perform("start") == Outcome(.success) && node.perform("promote") == Outcome(.success))
    node.isPromoted = false
    #expect(node.perform("monitor").status == .success)
    node.ignoresOrders = true
    #expect(node.perform("promote").status == .genericError, "an order that changes nothing is no success")
  }

  @Test func aResidentThatExitsSaysWhy() {
    let node = LedgerNode()
    node.exitsAtOnce = true
    #expect(node.perform("start") == Outcome(.genericError, "starting vpnha-ledger: vpnha-ledger: no libcrypto"))
    node.machine.files.nodes[SessionLedger.program] = nil
    #expect(node.perform("start") == Outcome(.notInstalled, "/usr/libexec/vpnha/vpnha-ledger is missing (package vpnha)"))
  }

  @Test func anotherInstanceIsNotOurs() {
    let node = LedgerNode()
    node.machine.processes.appear(SessionLedger.program, ["--instance", "other"])
    #expect(node.perform("monitor").status == .notRunning)
    #expect(node.perform("stop") == Outcome(.success) && node.machine.processes.table.count == 1)
  }

  @Test(arguments: ["start", "promote", "demote", "stop"]) func aFailureAtAnyCallIsAnErrorOrHarmless(_ action: String) {
    var node = LedgerNode()
    let forced = InMemoryMachine.failingEveryCall {
      node = LedgerNode()
      if action != "start" { _ = node.perform("start") }
      if action == "demote" || action == "stop" { _ = node.perform("promote") }
      return node.machine
    } _: { _ in
      node.perform(action)
    } check: { failed, outcome, _ in
      if outcome.status == .success {
        #expect(node.machine.processes.table.isEmpty == (action == "stop"), "\(failed)")
        if action == "promote" || action == "demote" { #expect(node.isPromoted == (action == "promote"), "\(failed)") }
      } else {
        #expect(outcome.reason?.isEmpty == false, "\(failed)")
        if action == "start" { #expect(node.machine.processes.table.isEmpty, "\(failed) left a resident that nobody promised") }
      }
    }
    #expect(forced > 3)
  }

  @Test func countsAreTheLedgers() throws {
    let node = LedgerNode()
    #expect(node.perform("start") == Outcome(.success))
    #expect(node.perform("monitor", level: 10) == Outcome(.success))
    #expect(node.machine.cluster.shared["vpnha-look-sessions"]?["moon"]?.hasSuffix(" ledger=7") == true)
    #expect(node.perform("promote") == Outcome(.success))
    #expect(node.perform("monitor", level: 10) == Outcome(.runningPromoted))
    #expect(node.machine.cluster.shared["vpnha-look-sessions"]?["moon"]?.hasSuffix(" ledger=4") == true)
  }
}
