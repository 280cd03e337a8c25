import Daemon
import Host
import HostTestKit
import L2TP
import OCF
import Testing

@testable import XL2TPDAgent

/// How the daemon leaves: nobody new gets in, clients are told, and the log says how many.
@Suite struct XL2TPDLeavingTests {
  // MARK: The gate

  @Test func onlyAPromotedMemberTakesTunnels() {
    let node = L2TPGateway()
    #expect(node.perform("start", clone: true) == Outcome(.success))
    #expect(node.isShut)
    #expect(node.perform("monitor", clone: true, level: 10) == Outcome(.success))
    #expect(node.perform("promote", clone: true) == Outcome(.success))
    #expect(!node.isShut)
    #expect(node.perform("monitor", clone: true, level: 10).status == .runningPromoted)
    #expect(node.perform("demote", clone: true) == Outcome(.success))
    #expect(node.isShut)
  }

  /// The old daemon's gate is shut before its clients are told, the fresh one's before it is ready.
  @Test func nobodyGetsInBetweenFarewellAndRelaunch() {
    let node = L2TPGateway()
    node.running(sessions: 3)
    #expect(node.perform("promote", clone: true) == Outcome(.success))
    node.machine.calls.reset()
    #expect(node.perform("demote", clone: true) == Outcome(.success))
    let kinds: [String] = node.machine.calls.changes.compactMap { change in
      ["sockets.setFilter(some", "processes.signal(terminate", "processes.signal(interrupt", "processes.launch"].first { change.hasPrefix($0) }
    }
    #expect(
      kinds == ["sockets.setFilter(some"] + [String](repeating: "processes.signal(terminate", count: 3)
        + ["processes.signal(interrupt", "processes.launch", "sockets.setFilter(some"])
  }

  /// Whoever slipped in while the fresh daemon was being born is told, and the next one is empty.
  @Test func aFreshDaemonIsAnEmptyOne() {
    let node = L2TPGateway()
    node.running()
    #expect(node.perform("promote", clone: true) == Outcome(.success))
    node.machine.processes.launches[L2TPGateway.program] = { [unowned node] command in
      let process = node.running()
      if node.machine.processes.launched.count == 1 { node.tunnels = 2 }
      return process
    }
    #expect(node.perform("demote", clone: true) == Outcome(.success))
    #expect(node.machine.processes.launched.count == 2)
    #expect(node.farewells == 2 && node.tunnels == 0 && node.isShut)
  }

  @Test func aPromotionThatIsNotAnsweredLeavesTheGateShut() {
    let node = L2TPGateway()
    #expect(node.perform("start", clone: true) == Outcome(.success))
    node.behaviour = .deafToClients
    #expect(node.perform("promote", clone: true).status == .genericError)
    #expect(node.isShut)
  }

  @Test func aGateLeftShutIsAFailureWhereTunnelsAreDue() {
    for clone in [false, true] {
      let node = L2TPGateway()
      node.running()
      if clone { _ = node.perform("promote", clone: true) }
      node.machine.sockets.filters[8] = TunnelGate.filter
      #expect(node.isShut)
      #expect(
        node.perform("monitor", clone: clone)
          == Outcome(clone ? .failedPromoted : .genericError, "xl2tpd refuses new tunnels: a demote or a stop was cut short"))
    }
  }

  @Test func anOpenGateOnAStandbyWithTheAddressIsTold() {
    let node = L2TPGateway()
    node.running()
    #expect(node.perform("monitor", clone: true) == Outcome(.success))
    #expect(
      node.perform("monitor", clone: true, level: 10)
        == Outcome(.success, "unpromoted but accepting tunnels on 203.0.113.50; something outside the cluster started it"))
    node.loseAddress()
    #expect(node.perform("monitor", clone: true, level: 10) == Outcome(.success))
  }

  @Test func aSocketOfAnotherProgramIsNamed() {
    let node = L2TPGateway()
    let process = node.running()
    node.machine.sockets.foreign = [8]
    #expect(
      node.perform("monitor")
        == Outcome(.genericError, "203.0.113.50 is bound by another program than xl2tpd (pid \(process.pid))"))
  }

  /// Without the right to look into the daemon, the list of all sockets has to do.
  @Test func withoutTheRightToLookTheListTells() {
    let node = L2TPGateway()
    node.running()
    node.machine.calls.fail("sockets.udpListener(on: 203", with: .notPermitted)
    node.machine.calls.fail("sockets.filter", with: .notPermitted)
    #expect(node.perform("monitor", level: 10) == Outcome(.success))
    node.machine.sockets.listeners[1701] = []
    #expect(node.perform("monitor") == Outcome(.genericError, "xl2tpd is not bound to 203.0.113.50 port 1701"))
  }

  /// Where the kernel does not let us, a member serves and leaves as it did without a gate.
  @Test func withoutTheRightToTouchSocketsLifeGoesOn() {
    let node = L2TPGateway()
    node.machine.calls.fail("sockets.filter", with: .notPermitted)
    node.machine.calls.fail("sockets.setFilter", with: .notPermitted)
    #expect(node.perform("start", clone: true) == Outcome(.success))
    #expect(node.perform("monitor", clone: true) == Outcome(.success))
    #expect(node.perform("promote", clone: true) == Outcome(.success))
    #expect(node.perform("monitor", clone: true, level: 10).status == .runningPromoted)
    #expect(node.perform("demote", clone: true) == Outcome(.success))
    #expect(node.machine.log.messages(from: .warning).allSatisfy { $0.hasPrefix("new tunnels cannot be refused: port 1701: ") })
    #expect(!node.machine.log.messages(from: .warning).isEmpty)
  }

  // MARK: Sessions

  /// In userspace mode sessions end a batch at a time, each before the next; the daemon is interrupted when all have.
  @Test func sessionsEndInBatches() {
    let node = L2TPGateway()
    node.running(sessions: 25)
    for pppd in node.machine.processes.table.dropFirst() { node.machine.processes.makeSlow(pppd, .milliseconds(100)) }
    let before = node.machine.clock.now
    node.machine.calls.reset()
    #expect(node.perform("stop") == Outcome(.success))
    let took = node.machine.clock.now - before
    #expect(took >= .milliseconds(300) && took < .seconds(1))
    #expect(node.machine.processes.signals.map(\.signal) == [Signal](repeating: .terminate, count: 25) + [.interrupt])
    // Ten are asked, and looked at until they have gone, before the eleventh is.
    let steps = node.machine.calls.all.map(\.description).filter { $0.hasPrefix("processes.signal(terminate") || $0.hasPrefix("processes.isAlive") }
    #expect(steps.prefix(10).allSatisfy { $0.hasPrefix("processes.signal") } && steps[10].hasPrefix("processes.isAlive"))
    #expect(node.machine.log.messages().contains("told 25 of 25 clients that L2TP ends here; of 25 sessions 25 ended"))
  }

  /// In kernel mode xl2tpd would signal the pids of sessions that ended by themselves.
  @Test func inKernelModeTheDaemonEndsThem() {
    let node = L2TPGateway()
    node.usesKernel = true
    node.running(sessions: 25)
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.machine.processes.signals.map(\.signal) == [.interrupt])
    #expect(node.farewells == 25)
    #expect(node.machine.log.messages().contains("told 25 of 25 clients that L2TP ends here; of 25 sessions 25 ended"))
  }

  /// A client that does not answer keeps its pppd for six seconds; it costs its batch one.
  @Test func aBatchThatDoesNotEndIsNotWaitedFor() {
    let node = L2TPGateway()
    node.running(sessions: 15)
    node.machine.processes.makeStubborn(node.machine.processes.table[1])
    let before = node.machine.clock.now
    #expect(node.perform("stop", ["drain_timeout": "4"]) == Outcome(.success))
    #expect(node.machine.clock.now - before < .seconds(5))
    #expect(node.machine.processes.table.isEmpty)
    #expect(node.farewells == 15)
  }

  /// A daemon with many to tell is not taken for one that hangs, and its pppds make way for it.
  @Test func aDaemonThatIsBusyTellingIsWaitedFor() {
    let node = L2TPGateway()
    node.usesKernel = true
    let daemon = node.running(sessions: 100)
    node.machine.processes.reactions[daemon.pid] = { [unowned node] _ in
      node.machine.clock.after(.seconds(4)) {
        for index in 0..<100 { node.acknowledge(index) }
        for pppd in node.machine.processes.table where pppd.parent == daemon.pid { node.machine.processes.vanish(pppd.pid) }
        node.gone(daemon)
      }
    }
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.machine.processes.signals.map(\.signal) == [.interrupt])
    #expect(node.machine.processes.nicenesses.count == 100 && node.machine.processes.nicenesses.values.allSatisfy { $0 == 19 })
    #expect(node.machine.log.messages().contains("told 100 of 100 clients that L2TP ends here; of 100 sessions 100 ended"))
  }

  /// Whatever the clients need and drain_timeout grants: there is time left for a fresh daemon, and demote does not fail.
  @Test(arguments: [5, 20, 40, 90]) func timeIsKeptForTheFreshDaemon(timeout: Int) {
    let node = L2TPGateway()
    node.usesKernel = true
    let daemon = node.running(sessions: 100)
    #expect(node.perform("promote", clone: true) == Outcome(.success))
    // It tells four a second and does not get far with that; what it has open dies with it.
    node.machine.processes.reactions[daemon.pid] = { [unowned node] signal in
      guard signal == .interrupt else { return }
      for index in 0..<100 {
        node.machine.clock.after(.milliseconds(250 * index)) {
          if node.machine.processes.table.contains(where: { $0.pid == daemon.pid }) { node.acknowledge(index) }
        }
      }
    }
    node.machine.processes.endings[daemon.pid] = { [unowned node] in node.gone(daemon) }
    for pppd in node.machine.processes.table.dropFirst() { node.machine.processes.makeStubborn(pppd) }
    let before = node.machine.clock.now
    #expect(node.perform("demote", ["drain_timeout": "1000"], clone: true, timeout: timeout * 1000) == Outcome(.success))
    // A quarter of the time, at least two seconds, was left when the daemon was given up.
    let took = node.machine.clock.now - before
    #expect(took <= .milliseconds(timeout * 1000 - 2000) && took >= .seconds(1), "\(took)")
    let told = Int(node.machine.log.lines.compactMap { $0.fields["VPNHA_TOLD"] }.first ?? "") ?? -1
    #expect(timeout > 40 ? told == 100 : told > 4 && told < 100, "\(told)")
    #expect(node.machine.processes.table.map(\.executable) == [L2TPGateway.program])
    #expect(node.isShut)
  }

  /// A client that does not acknowledge its farewell may not know: it is not counted, and it is not waited for.
  @Test func whoDoesNotAcknowledgeIsNotTold() {
    let node = L2TPGateway()
    node.usesKernel = true
    node.running(sessions: 5)
    node.hearing = 3
    let before = node.machine.clock.now
    #expect(node.perform("stop") == Outcome(.success))
    #expect(node.machine.clock.now - before <= .milliseconds(500))
    #expect(
      node.machine.log.messages(from: .warning)
        == ["told 3 of 5 clients that L2TP ends here; the others did not acknowledge it, so they find out by their own timers; of 5 sessions 5 ended"])
  }

  /// Where nobody may listen, what was sent has to count, and the log says so.
  @Test func withoutTheRightToListenWhatWasSentCounts() {
    let node = L2TPGateway()
    node.machine.sockets.overheard = nil
    node.running(sessions: 2)
    #expect(node.perform("stop", ["drain_timeout": "0"]) == Outcome(.success))
    #expect(
      node.machine.log.messages().contains(
        "told 2 of 2 clients that L2TP ends here, heard by whom is unknown; of 2 sessions 2 ended"))
  }

  @Test func withoutTimeToDrainTheDaemonTellsAllAtOnce() {
    let node = L2TPGateway()
    node.running(sessions: 15)
    let before = node.machine.clock.now
    #expect(node.perform("stop", ["drain_timeout": "0"]) == Outcome(.success))
    #expect(node.machine.clock.now == before)
    #expect(node.machine.processes.signals.map(\.signal) == [.interrupt])
  }

  // MARK: What the log says

  @Test func clientsThatHaveToTimeOutAreCounted() {
    let node = L2TPGateway()
    node.running(sessions: 2)
    node.behaviour = .hangs
    node.machine.processes.makeStubborn(node.machine.processes.table[1])
    #expect(node.perform("stop", ["drain_timeout": "3"]) == Outcome(.success))
    let line = node.machine.log.lines.first { $0.fields["VPNHA_TOLD"] != nil }
    #expect(line?.level == .warning)
    #expect(line?.message.hasPrefix("told 0 of 2 clients that L2TP ends here; xl2tpd hangs: ") == true, "\(String(describing: line))")
    #expect(line?.message.contains(", so they find out by their own timers; of 2 sessions ") == true)
    #expect(line?.fields["VPNHA_CLIENTS"] == "2" && line?.fields["VPNHA_TOLD"] == "0" && line?.fields["VPNHA_SESSIONS"] == "2")
  }

  @Test func aPPPDThatIsKilledIsCounted() {
    let node = L2TPGateway()
    node.usesKernel = true
    let daemon = node.running(sessions: 2)
    let pppd = node.machine.processes.table[1]
    node.machine.processes.makeStubborn(pppd)
    node.machine.files.put("\(pppd.pid)\n", at: "/run/ppp0.pid")
    node.machine.network.all.append(Link(index: 9, name: "ppp0", kind: "ppp"))
    // The daemon says goodbye and leaves this pppd behind.
    node.machine.processes.reactions[daemon.pid] = { [unowned node] _ in
      for index in 0..<2 { node.acknowledge(index) }
      node.gone(daemon)
    }
    #expect(node.perform("stop", ["drain_timeout": "3"]) == Outcome(.success))
    #expect(
      node.machine.log.messages(from: .warning)
        == ["told 2 of 2 clients that L2TP ends here; of 2 sessions 1 ended and 1 were killed: pppd took too long"])
  }

  @Test func aStandbyWithoutClientsHasNothingToTell() {
    let node = L2TPGateway()
    node.running()
    #expect(node.perform("stop", clone: true) == Outcome(.success))
    #expect(!node.machine.log.messages().contains { $0.contains("clients") })
  }

  // MARK: With a ledger of sessions

  /// What the ledger was asked, and what it answers.
  private final class Ledger {
    var asked: [String] = []
    var answers: [String: [String]] = [:]

    init(on node: L2TPGateway) {
      let path = "/run/vpnha/sessions-sessions.sock"
      node.machine.files.nodes[path] = InMemoryFiles.Node([], .socket)
      node.machine.sockets.whenConnected(toUnix: path) { [unowned node] in
        node.machine.stream { [unowned self] unread in
          guard unread.last == UInt8(ascii: "\n") else { return [] }
          let command = String(decoding: unread.dropLast(), as: UTF8.self)
          unread = []
          asked.append(command)
          // The daemon has been killed by then, and its socket went with it.
          if command.hasPrefix("carry") { node.machine.sockets.listeners[1701] = [] }
          var answer = answers[command] ?? []
          // The last one stays.
          let line = answer.first ?? "ok"
          if answer.count > 1 { answer.removeFirst() }
          answers[command] = answer
          return [.says(Array("\(line)\n".utf8)), .closes]
        }
      }
    }
  }

  @Test func whatTheOtherNodeIsReadyForIsHandedOverWithoutAWord() {
    let node = L2TPGateway()
    node.running(sessions: 3)
    #expect(node.perform("promote", clone: true) == Outcome(.success))
    let ledger = Ledger(on: node)
    ledger.answers["yield 203.0.113.50"] = ["error the peer is ready for 2 of 3 sessions", "ok"]
    node.machine.calls.reset()
    #expect(node.perform("demote", clone: true) == Outcome(.success))
    #expect(ledger.asked == ["yield 203.0.113.50", "yield 203.0.113.50", "carry 203.0.113.50"])
    let kinds: [String] = node.machine.calls.changes.compactMap { change in
      ["sockets.setFilter(some", "network.blockEgress", "network.unblockEgress", "processes.signal(terminate", "processes.signal(interrupt", "processes.signal(kill", "processes.launch"]
        .first { change.hasPrefix($0) }
    }
    #expect(
      kinds == ["sockets.setFilter(some", "network.blockEgress"] + [String](repeating: "processes.signal(kill", count: 4)
        + ["network.unblockEgress", "processes.launch", "sockets.setFilter(some"])
    #expect(node.farewells == 0 && node.isShut)
  }

  @Test func whoCannotBeHandedOverIsTold() {
    for answer in ["error nothing is heard from the peer", "error unknown command", "nonsense"] {
      let node = L2TPGateway()
      node.running(sessions: 3)
      #expect(node.perform("promote", clone: true) == Outcome(.success))
      let ledger = Ledger(on: node)
      ledger.answers["yield 203.0.113.50"] = [answer]
      #expect(node.perform("demote", clone: true) == Outcome(.success))
      #expect(ledger.asked.last == "farewell 203.0.113.50" && !ledger.asked.contains("carry 203.0.113.50"))
      #expect(node.farewells == 3 && node.isShut)
    }
  }
}
