import Host
import HostTestKit
import Testing

@testable import VICI

/// A conversation with a peer that follows a script.
@Suite struct CharonTests {
  let clock = ManualClock()
  var deadline: Instant { clock.now + .seconds(2) }

  func charon(_ steps: [ScriptedStream.Step], chunk: Int = .max) -> Charon {
    Charon(over: ScriptedStream(steps, chunk: chunk, clock: clock), clock: clock, before: deadline)
  }

  static func segment(_ packet: [UInt8]) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: packet.count >> (24 - 8 * $0)) } + packet
  }
  func segment(_ packet: [UInt8]) -> [UInt8] { Self.segment(packet) }

  @Test(arguments: [1, 3, Int.max]) func readsStatistics(chunk: Int) throws {
    let statistics = try charon([.takes(segment(Corpus.statsRequest)), .says(segment(Corpus.stats))], chunk: chunk).statistics()
    #expect(statistics.workers == 16)
    #expect(statistics.idleWorkers == 11)
    #expect(statistics.activeWorkers.critical == 4)
    #expect(statistics.queues.total == 3)
    #expect(statistics.ikeSAs == 42)
    #expect(statistics.halfOpen == 1)
    #expect(statistics.hasPlugin("ha"))
    #expect(!statistics.hasPlugin("counters"))
    #expect(statistics.heapInUse == 650_000)
  }

  @Test func readsVersion() throws {
    let version = try charon([.takesAny(13), .says(segment(Corpus.version))]).version()
    #expect(version == Version(daemon: "charon-systemd", version: "5.9.8", kernel: "6.1.0-41-amd64", machine: "x86_64"))
  }

  @Test(arguments: [1, Int.max]) func streamsRowsBeforeTheAnswer(chunk: Int) throws {
    let request = Corpus.bytes("00 08 'list-sas' 03 07 'noblock' 0003 'yes'")
    let other = Corpus.bytes("07 03 'log' 03 03 'msg' 0001 'x'")
    let charon = charon(
      [
        .takes(segment(Corpus.listSAs)), .says(segment(other) + segment(Corpus.confirmed)), .takes(segment(request)),
        .says(segment(Corpus.listedSA) + segment(other) + segment(Corpus.listedSA) + segment(Corpus.empty)),
        .takes(segment(Corpus.unregister)), .says(segment(Corpus.confirmed)),
        .takes(segment(Corpus.statsRequest)), .says(segment(Corpus.stats)),
      ], chunk: chunk)
    var seen: [IKESA] = []
    try charon.sas { seen.append($0) }
    #expect(seen.count == 2)
    #expect(seen.first?.connection == "l2tp")
    #expect(seen.first?.isEstablished == true)
    #expect(seen.first?.localHost == "203.0.113.50")
    #expect(seen.first?.children.first?.outboundSPI == "0badcafe")
    #expect(seen.first?.children.first?.packetsOut == 44)
    // The connection is good for another question.
    #expect(try charon.statistics().ikeSAs == 42)
  }

  /// Ten thousand SAs pass through without being kept.
  @Test func streamsManyRows() throws {
    var rows = 0
    let confirmed = segment(Corpus.confirmed)
    let row = segment(Corpus.listedSA)
    let end = segment(Corpus.empty)
    let stream = ScriptedStream(clock: clock) { inbox in
      defer { inbox = [] }
      guard inbox.count > 4, inbox[4] == 0 else { return [.says(confirmed)] }
      return [ScriptedStream.Step](repeating: .says(row), count: 10_000) + [.says(end)]
    }
    try Charon(over: stream, clock: clock, before: deadline).sas { _ in rows += 1 }
    #expect(rows == 10_000)
  }

  @Test func unknownCommandsAndEventsAreFeaturesItLacks() throws {
    let lacking = VICIError(.notSupported, "asking charon for get-counters", "this charon does not know command get-counters")
    #expect(throws: lacking) { try charon([.takesAny(18), .says(segment(Corpus.unknownCommand))]).counters() }
    #expect(try charon([.takesAny(11), .says(segment(Corpus.unknownEvent))]).knows(event: "alert") == false)
    #expect(try charon([.takesAny(11), .says(segment(Corpus.confirmed))]).knows(event: "alert"))
  }

  @Test func refusalCarriesCharonsWords() {
    #expect(throws: VICIError(.refused, "asking charon for initiate", "no child")) {
      try charon([.takesAny(38), .says(segment(Corpus.refusal))]).initiate(child: "c1")
    }
  }

  @Test func terminatesByIdentityWithoutWaiting() throws {
    let request = Corpus.bytes("00 09 'terminate' 03 06 'ike-id' 0001 '9' 03 07 'timeout' 0002 '-1'")
    let done = Corpus.bytes("01 03 07 'success' 0003 'yes' 03 07 'matches' 0001 '1' 03 0a 'terminated' 0001 '1'")
    #expect(try charon([.takes(segment(request)), .says(segment(done))]).terminate(.ikeID(9)) == 1)
    let none = Corpus.bytes("01 03 07 'success' 0002 'no' 03 07 'matches' 0001 '0' 03 06 'errmsg' 0004 'none'")
    #expect(try charon([.takes(segment(request)), .says(segment(none))]).terminate(.ikeID(9)) == 0)
    let failed = Corpus.bytes("01 03 07 'success' 0002 'no' 03 07 'matches' 0001 '1' 03 06 'errmsg' 0004 'busy'")
    #expect(throws: VICIError(.refused, "asking charon for terminate", "busy")) {
      try charon([.takes(segment(request)), .says(segment(failed))]).terminate(.ikeID(9))
    }
  }

  @Test func connectionsAndCounters() throws {
    #expect(try charon([.takesAny(15), .says(segment(Corpus.connections))]).loadedConnections() == ["l2tp", "ikev2"])
    #expect(try charon([.takesAny(15), .says(segment(Corpus.empty))]).loadedConnections() == [])
    let counters = Corpus.bytes(
      "01 01 08 'counters' 01 00 03 0b 'invalid-spi' 0001 '7' 02 01 04 'l2tp' 02 02 03 07 'success' 0003 'yes'")
    #expect(try charon([.takesAny(18), .says(segment(counters))]).counters() == ["invalid-spi": 7])
  }

  @Test func silenceEndsAtTheDeadline() {
    let begin = clock.now
    #expect(throws: VICIError(.timedOut, "asking charon for version", "no answer in time (ETIMEDOUT)", errno: .timedOut)) {
      try charon([.takesAny(13), .silence]).version()
    }
    #expect(clock.now - begin == .seconds(2))
    // Half an answer, then silence.
    #expect(throws: VICIError.self) {
      try charon([.takesAny(13), .says(Array(segment(Corpus.version).dropLast())), .silence]).version()
    }
  }

  @Test func closingIsTold() {
    let closed = VICIError(.closed, "asking charon for version", "charon closed the connection")
    #expect(throws: closed) { try charon([.takesAny(13), .says([]), .closes]).version() }
    for end in [1, 4, 5, 40] {
      #expect(throws: closed) {
        try charon([.takesAny(13), .says(Array(segment(Corpus.version).prefix(end))), .closes]).version()
      }
    }
    let reset = VICIError(.closed, "asking charon for version", "connection reset (ECONNRESET)", errno: .connectionReset)
    #expect(throws: reset) { try charon([.takesAny(13), .fails(.connectionReset)]).version() }
  }

  /// A length is not believed: nothing of that size is allocated or waited for.
  @Test(arguments: ["00000000", "00080001", "ffffffff", "7fffffff"]) func refusesAbsurdLengths(_ length: String) throws {
    let charon = charon([.takesAny(13), .says(Corpus.bytes(length + "01"))])
    do throws(VICIError) {
      _ = try charon.version()
      Issue.record("accepted")
    } catch {
      #expect(error.kind == .malformed)
      #expect(error.detail.hasPrefix("charon announced a packet of"))
    }
  }

  @Test(arguments: ["05", "06", "00 01 'x'", "01 09", "03 01 'x'"]) func refusesWhatDoesNotBelong(_ packet: String) throws {
    let charon = charon([.takesAny(13), .says(segment(Corpus.bytes(packet)))])
    do throws(VICIError) {
      _ = try charon.version()
      Issue.record("accepted")
    } catch {
      #expect(error.kind == .malformed)
      #expect(error.operation == "asking charon for version")
    }
  }

  /// An answer that lacks what it must have is not an answer: an empty reply to `stats` is no proof of life.
  @Test func emptyAnswerIsMalformed() {
    #expect(throws: VICIError(.malformed, "asking charon for stats", "the answer lacks workers")) {
      try charon([.takesAny(11), .says(segment(Corpus.empty))]).statistics()
    }
    #expect(throws: VICIError(.malformed, "asking charon for version", "the answer lacks daemon")) {
      try charon([.takesAny(13), .says(segment(Corpus.empty))]).version()
    }
  }

  /// A peer that never stops sending events does not outlast the deadline.
  @Test func eventFloodEndsAtTheDeadline() throws {
    final class Flood: ByteStream {
      let clock: ManualClock
      init(_ clock: ManualClock) { self.clock = clock }
      func read(limit: Int, before deadline: Instant) -> [UInt8] {
        clock.advance(by: .milliseconds(1))
        return CharonTests.segment(Corpus.listedSA)
      }
      func write(_ bytes: [UInt8], before deadline: Instant) {}
      func close() {}
    }
    let begin = clock.now
    let charon = Charon(over: Flood(clock), clock: clock, before: deadline)
    do throws(VICIError) {
      _ = try charon.version()
      Issue.record("accepted")
    } catch {
      #expect(error.kind == .timedOut)
    }
    #expect(clock.now - begin <= .seconds(2))
  }

  @Test func connectingSortsWhatItMeets() throws {
    let machine = InMemoryMachine()
    func kind(_ path: String) -> VICIError.Kind? {
      do throws(VICIError) {
        _ = try Charon(at: path, on: machine.host, before: machine.clock.now + .seconds(1))
        return nil
      } catch { return error.kind }
    }
    #expect(kind("/run/charon.vici") == .unreachable)
    machine.sockets.saturated = ["/run/charon.vici"]
    #expect(kind("/run/charon.vici") == .timedOut)
    machine.sockets.saturated = []
    machine.calls.fail("sockets.connect", with: .connectionRefused)
    #expect(kind("/run/charon.vici") == .unreachable)
  }

  @Test func errorsReadAsSentences() {
    let refused = VICIError.unreachable(SystemError("connecting", .connectionRefused), at: "/run/charon.vici")
    #expect("\(refused)" == "connecting to charon at /run/charon.vici: connection refused (ECONNREFUSED)")
    let hung = VICIError.unreachable(SystemError("connecting", .timedOut), at: "/run/charon.vici")
    #expect("\(hung)" == "connecting to charon at /run/charon.vici: nobody accepts the connection (ETIMEDOUT)")
  }

  @Test func reasonsAreOnePrintableLine() {
    let message = Message([.init("errmsg", .text(Array("a\nb\u{1b}[31m".utf8)))])
    #expect(message.printable("errmsg") == "a?b?[31m")
  }

  @Test func oneOperationAtATime() throws {
    let machine = InMemoryMachine()
    let lock = try Charon.lock(on: machine.host, before: machine.clock.now + .seconds(1))
    do throws(VICIError) {
      _ = try Charon.lock(on: machine.host, before: machine.clock.now + .seconds(1))
      Issue.record("two at a time")
    } catch { #expect(error.kind == .timedOut) }
    lock.release()
  }
}
