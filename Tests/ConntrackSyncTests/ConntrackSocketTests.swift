import ConntrackSync
import Host
import HostTestKit
import Testing

/// What conntrackd 1.4.7 in FTFW mode prints for `-s`.
let statisticsText = """
  cache internal:
  current active connections:\t          12
  connections created:\t\t         100\tfailed:\t           1
  connections updated:\t\t          40\tfailed:\t           0
  connections destroyed:\t\t          88\tfailed:\t           2

  cache external:
  current active connections:\t           7
  connections created:\t\t          20\tfailed:\t           0
  connections updated:\t\t           3\tfailed:\t           0
  connections destroyed:\t\t          13\tfailed:\t           0

  traffic processed:
                     0 Bytes                         0 Pckts

  UDP traffic (active device=eth1):
                 7320 Bytes sent                 9120 Bytes recv
                   61 Pckts sent                   76 Pckts recv
                    5 Error send                    6 Error recv

  message tracking:
                     3 Malformed msgs                    4 Lost msgs


  """

@Suite struct ConntrackSocketTests {
  let machine = InMemoryMachine()
  let socket = ConntrackSocket("/run/conntrackd.ctl")
  var deadline: Instant { machine.clock.now + .seconds(2) }

  private func answer(_ steps: [ScriptedStream.Step], chunk: Int = .max) {
    let stream = machine.stream(steps, chunk: chunk)
    machine.sockets.unix[socket.path] = { stream }
  }
  private func kind(_ body: () throws(ConntrackError) -> Void) -> ConntrackError.Kind? {
    do { try body() } catch { return error.kind }
    return nil
  }

  @Test(arguments: [1, 3, .max]) func statisticsInPiecesOfAnySize(chunk: Int) throws {
    let request = withUnsafeBytes(of: 21 as Int32, Array.init)
    answer([.takes(request), .says(Array(statisticsText.utf8)), .closes], chunk: chunk)
    let statistics = try socket.statistics(on: machine.host, before: deadline)
    #expect(statistics.internal.active == 12 && statistics.internal.created == 100 && statistics.internal.failed == 3)
    #expect(statistics.external.active == 7 && statistics.external.destroyed == 13)
    #expect(statistics.packetsSent == 61 && statistics.packetsReceived == 76)
    #expect(statistics.sendErrors == 5 && statistics.receiveErrors == 6)
    #expect(statistics.malformed == 3 && statistics.lost == 4)
  }

  @Test func disabledCaches() throws {
    let statistics = try SyncStatistics(
      """
      internal bypass:
      connections new:\t\t           9
      connections updated:\t\t           1
      connections destroyed:\t\t           2

      external inject:
      connections created:\t\t           5\tfailed:\t           4
      """)
    #expect(statistics.internal.active == nil && statistics.internal.created == 9)
    #expect(statistics.external.active == nil && statistics.external.created == 5 && statistics.external.failed == 4)
  }

  /// Stats mode knows no external cache, and a mode that does not know a request answers with nothing.
  @Test(arguments: ["", "cache internal:\ncurrent active connections:\t\t1\n", "\u{0}\u{1}"])
  func anAnswerWithoutThePeerIsMalformed(text: String) {
    #expect(kind { () throws(ConntrackError) in _ = try SyncStatistics(text) } == .malformed)
  }

  @Test func anyCutReadsOrThrows() {
    for end in statisticsText.indices { _ = try? SyncStatistics(String(statisticsText[..<end])) }
  }

  @Test func absentStaleAndHungAreToldApart() {
    #expect(kind { () throws(ConntrackError) in _ = try socket.ask(.statistics, on: machine.host, before: deadline) } == .absent)
    machine.calls.fail("sockets.connect", with: .connectionRefused)
    #expect(kind { () throws(ConntrackError) in _ = try socket.ask(.statistics, on: machine.host, before: deadline) } == .unread)
    machine.calls.reset()
    answer([.takesAny(4), .silence])
    let end = deadline
    #expect(kind { () throws(ConntrackError) in _ = try socket.ask(.statistics, on: machine.host, before: end) } == .unanswered)
    #expect(machine.clock.now == end)
    machine.sockets.saturated = [socket.path]
    #expect(kind { () throws(ConntrackError) in _ = try socket.ask(.commit, on: machine.host, before: deadline) } == .unanswered)
  }

  @Test func aReplyWithoutEndIsRefused() {
    answer([.takesAny(4), .says(Array(repeating: 0x20, count: 2 << 20)), .closes])
    #expect(
      kind { () throws(ConntrackError) in _ = try socket.ask(.statistics, on: machine.host, before: deadline) }
        == .system(.tooLarge))
  }

  @Test func links() throws {
    answer([
      .takesAny(4),
      .says(
        Array(
          "UDP traffic device=eth1 status=RUNNING role=ACTIVE:\n   0 Bytes sent\n\nUDP traffic device=eth2 status=NO-CARRIER role=BACKUP:\n"
            .utf8)), .closes,
    ])
    let links = try socket.links(on: machine.host, before: deadline)
    #expect(links.map(\.device) == ["eth1", "eth2"] && links.map(\.isActive) == [true, false])
    #expect(links.map(\.status) == ["RUNNING", "NO-CARRIER"])
  }

  @Test(arguments: [("resent queue (len=17)\n", 17 as UInt64), ("", 0), ("resent queue (len=x)\n", 0)])
  func resendQueue(text: String, length: UInt64) throws {
    answer([.takesAny(4), .says(Array(text.utf8)), .closes])
    #expect(try socket.resendQueueLength(on: machine.host, before: deadline) == length)
  }
}
