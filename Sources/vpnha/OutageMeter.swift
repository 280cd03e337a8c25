import ArgumentParser
import Glibc
import Host
import IKEProbe
import LinuxHost

/// When an address did not answer IKE, as it is seen from one node. The question (RFC 7296, a proposal nobody has) passes charon's worker
/// threads and leaves nothing behind.
struct Silences: Equatable {
  /// The first answer of all; nil: there was none.
  var first: Instant?
  var spans: [Span] = []
  /// Since when there is no answer, if there is none now.
  var open: Instant?

  struct Span: Equatable {
    var from: Instant
    var to: Instant
    var length: Duration { to - from }
  }

  /// The time without an answer that began after `moment`, all of it.
  func total(since moment: Instant) -> Duration { spans.filter { $0.to > moment }.reduce(.zero) { $0 + $1.length } }

  /// Reads what `vpnha ask` prints.
  init(_ text: String) {
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ")
      guard words.count == 2, let number = Int64(words[1]) else { continue }
      let moment = Instant(nanoseconds: number)
      switch words[0] {
      case "first": first = moment
      case "silent": open = moment
      case "answers":
        if let from = open { spans.append(Span(from: from, to: moment)) }
        open = nil
      default: continue
      }
    }
  }
  init() {}
}

/// Asks all the time, in a process of its own, so that whatever else is done does not disturb the measure. For switchover and drill.
struct AskCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "ask", abstract: "Ask an address by IKE, again and again, and print since when it is silent.", shouldDisplay: false)

  @Argument var address: String
  @Option(help: "Seconds.") var `for`: Int = 300

  /// Between two questions, and how long none of them may be unanswered.
  static let pause = Duration.milliseconds(40)
  static let patience = Duration.milliseconds(160)

  func run() throws {
    guard let address = IPAddress(address) else { throw ValidationError("\(self.address) is no address") }
    let host = Host.silent
    let end = host.clock.now + .seconds(min(max(1, `for`), 3600))
    // Not with the process that started it.
    let parent = getppid()
    let spi = UInt64.random(in: 1 ... .max)
    let question = IKEProbe.proposalV2.message(spi: spi).bytes
    var last: Instant?
    var isSilent = false
    func say(_ word: String, _ moment: Instant) {
      print(word, moment.nanoseconds)
      fflush(nil)
    }
    // The source is what the kernel chooses for each: the address itself may be here now, and on the other node later.
    while host.clock.now < end, getppid() == parent {
      let asked = host.clock.now
      if try answers(address, question, spi, host, before: asked + Self.pause) {
        let now = host.clock.now
        if last == nil { say("first", now) }
        if isSilent { say("answers", now) }
        isSilent = false
        last = now
        host.clock.sleep(until: asked + Self.pause)
      } else if let last, !isSilent, host.clock.now - last > Self.patience {
        say("silent", last)
        isSilent = true
      }
    }
  }

  private func answers(_ address: IPAddress, _ question: [UInt8], _ spi: UInt64, _ host: Host, before deadline: Instant) throws -> Bool {
    do throws(SystemError) {
      let socket = try host.sockets.connect(toUDP: address, port: 500, from: nil)
      defer { socket.close() }
      try socket.send(question)
      while let datagram = try socket.receive(limit: IKEMessage.sizeLimit, before: deadline) {
        do throws(IKEProbeError) {
          if IKEAnswer(try IKEMessage(decoding: datagram), to: spi) != nil { return true }
        } catch { continue }
      }
    } catch {
      // No way to it, or nobody at the port: both are silence.
      host.clock.sleep(until: deadline)
    }
    return false
  }
}
