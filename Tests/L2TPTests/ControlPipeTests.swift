import Host
import HostTestKit
import L2TP
import Testing

private let path = "/run/xl2tpd/l2tp-control"

/// What xl2tpd 1.3.18 answers to `available` with two tunnels.
private let available = """
  00 OK
  00 AVAILABLE lns.0.name=default
  00 AVAILABLE lns.count=1
  00 AVAILABLE lac.0.name=
  00 AVAILABLE lac.count=1
  00 AVAILABLE tunnel 0x55d0a8, id 4660, ourtid 30412 has 1 calls and self 0x55d0b0
  00 AVAILABLE tunnel 0x55d1a8, id 7, ourtid 11 has 2 calls and self 0x55d1b0
  00 AVAILABLE tunnels count=2
  00 AVAILABLE calls count=0

  """

@Suite struct ControlPipeTests {
  let machine = InMemoryMachine()
  let pipe = ControlPipe(path)
  var host: Host { machine.host }
  func deadline(_ seconds: Int) -> Instant { machine.clock.now + .seconds(seconds) }

  /// A daemon that answers with `reply`, unless it is told to let some requests lie.
  private func daemon(ignoring: Int = 0, _ reply: String) {
    var ignored = 0
    machine.files.putFIFO(path) { [files = machine.files] request in
      let text = String(decoding: request, as: UTF8.self)
      guard ignored >= ignoring, let space = text.firstIndex(of: " "), text.hasPrefix("@") else {
        ignored += 1
        return
      }
      files.reply(reply, to: String(text[text.index(after: text.startIndex)..<space]))
    }
  }

  private func kind(_ body: () throws(ControlPipeError) -> Void) -> ControlPipeError.Kind? {
    do { try body() } catch { return error.kind }
    return nil
  }

  @Test func inventoryCountsCallsTunnelByTunnel() throws {
    daemon(available)
    let inventory = try pipe.inventory(on: host, before: deadline(2))
    #expect(inventory.tunnels.map(\.ours) == [30412, 11] && inventory.tunnels.map(\.theirs) == [4660, 7])
    #expect(inventory.calls == 3)
    #expect(machine.files.sent.map { String(decoding: $0.bytes, as: UTF8.self) } == ["@/run/xl2tpd/reply-1 x"])
  }

  @Test func anyAnswerIsAnAnswer() throws {
    daemon("01 Error: Could not find lns\n")
    try pipe.ping(on: host, before: deadline(2))
    #expect(machine.files.sent.map { String(decoding: $0.bytes, as: UTF8.self) } == ["@/run/xl2tpd/reply-1 y vpnha-is-there"])
    // Where there is no room for it, it has been given all the same.
    daemon("")
    try pipe.ping(on: host, before: deadline(2))
    daemon(ignoring: .max, "")
    #expect(kind { () throws(ControlPipeError) in try pipe.ping(on: host, before: deadline(2)) } == .unanswered)
    daemon("what?\n")
    #expect(kind { () throws(ControlPipeError) in try pipe.ping(on: host, before: deadline(2)) } == .malformed)
  }

  @Test func nothingStaysBehindAndTheLockIsGivenBack() throws {
    daemon(available)
    _ = try pipe.inventory(on: host, before: deadline(2))
    #expect(machine.files.heldLocks.isEmpty)
    #expect(Set(machine.files.nodes.keys) == [path, pipe.lockPath])
  }

  @Test func fiveHundredTunnelsAreRead() throws {
    let lines = (1...500).map { "00 AVAILABLE tunnel 0x5, id \($0), ourtid \($0) has 1 calls and self 0x5\n" }.joined()
    daemon("00 OK\n" + lines + "00 AVAILABLE tunnels count=500\n")
    #expect(try pipe.inventory(on: host, before: deadline(2)).calls == 500)
  }

  @Test func aRequestThatAnotherClientSwallowedIsRepeated() throws {
    daemon(ignoring: 1, available)
    #expect(try pipe.inventory(on: host, before: deadline(2)).tunnels.count == 2)
    #expect(machine.files.sent.count == 2)
  }

  /// A crowd of other clients may swallow several in a row, and that costs no two seconds.
  @Test func everyRequestMayBeTheOneThatIsAnswered() throws {
    daemon(ignoring: 3, available)
    let start = machine.clock.now
    #expect(try pipe.inventory(on: host, before: deadline(4)).tunnels.count == 2)
    #expect(machine.clock.now - start < .seconds(2) && machine.files.sent.count == 4)
    // A daemon that was busy for a while takes the first one of all that wait in its pipe.
    var first: String?
    machine.files.putFIFO(path) { request in
      first = first ?? String(decoding: request, as: UTF8.self).split(separator: " ").first.map { String($0.dropFirst()) }
    }
    machine.clock.after(.seconds(1)) { [files = machine.files] in files.reply(available, to: first ?? "") }
    #expect(try pipe.inventory(on: host, before: deadline(4)).tunnels.count == 2)
    #expect(machine.clock.now - start < .seconds(4) && machine.files.heldLocks.isEmpty)
    #expect(Set(machine.files.nodes.keys) == [path, pipe.lockPath])
  }

  @Test func aHungDaemonIsUnansweredAtTheDeadline() {
    daemon(ignoring: .max, "")
    let end = deadline(2)
    #expect(kind { () throws(ControlPipeError) in _ = try pipe.inventory(on: host, before: end) } == .unanswered)
    #expect(machine.clock.now == end && machine.files.heldLocks.isEmpty)
    #expect(Set(machine.files.nodes.keys) == [path, pipe.lockPath])
  }

  /// The daemon opens its pipe anew after each request.
  @Test(arguments: [Errno.noSuchDeviceOrAddress, .brokenPipe, .wouldBlock])
  func aPipeThatIsBeingOpenedIsWaitedFor(refusal: Errno) throws {
    daemon(available)
    machine.calls.fail("files.send", with: refusal)
    machine.clock.after(.milliseconds(20)) { [machine] in machine.calls.reset() }
    let start = machine.clock.now
    #expect(try pipe.inventory(on: host, before: deadline(2)).tunnels.count == 2)
    #expect(machine.clock.now < start + .seconds(1) && machine.files.sent.count == 1)
  }

  @Test func aFullPipeIsUnanswered() {
    daemon(available)
    machine.calls.fail("files.send", with: .wouldBlock)
    machine.calls.fail("files.send", with: .wouldBlock)
    #expect(kind { () throws(ControlPipeError) in _ = try pipe.inventory(on: host, before: deadline(2)) } == .unanswered)
  }

  @Test func absentUnreadAndBusyAreToldApart() {
    #expect(kind { () throws(ControlPipeError) in _ = try pipe.ask("x", on: host, before: deadline(1)) } == .absent)
    machine.files.putFIFO(path)
    #expect(kind { () throws(ControlPipeError) in _ = try pipe.ask("x", on: host, before: deadline(1)) } == .unread)
    machine.files.lockedElsewhere = [pipe.lockPath]
    #expect(kind { () throws(ControlPipeError) in _ = try pipe.ask("x", on: host, before: deadline(1)) } == .busy)
  }

  @Test(arguments: [
    ("01 Error: Could not find lns\n", ControlPipeError.Kind.refused(1)), ("", .lost), ("nonsense\n", .malformed),
    ("00 OK\n", .malformed), ("00 OK\n\u{0}\u{1}\n", .malformed),
  ]) func repliesThatAreNone(reply: String, expected: ControlPipeError.Kind) {
    daemon(reply)
    #expect(kind { () throws(ControlPipeError) in _ = try pipe.inventory(on: host, before: deadline(1)) } == expected)
  }

  @Test func everyFailedCallGivesTheLockBackAndLeavesNoFile() {
    InMemoryMachine.failingEveryCall(in: {
      let machine = InMemoryMachine()
      machine.files.putFIFO(path) { [files = machine.files] request in
        let text = String(decoding: request.dropFirst(), as: UTF8.self)
        files.reply(available, to: String(text.split(separator: " ")[0]))
      }
      return machine
    }) { machine in
      kind { () throws(ControlPipeError) in _ = try pipe.inventory(on: machine.host, before: deadline(1)) }
    } check: { failed, kind, machine in
      #expect(kind == .system(.io), "\(failed)")
      #expect(machine.files.heldLocks.isEmpty)
      #expect(machine.files.nodes.keys.allSatisfy { $0 == path || $0 == pipe.lockPath })
    }
  }
}
