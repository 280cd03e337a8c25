import CLinux
import Host

/// A datagram socket whose other end speaks netlink.
public protocol Channel: AnyObject {
  func send(_ bytes: [UInt8]) throws(SystemError)
  /// One datagram; `ETIMEDOUT` past `deadline`, `EMSGSIZE` when it was too large to be kept.
  func receive(before deadline: Instant) throws(SystemError) -> [UInt8]
  var now: Instant { get }
}

/// Requests and their answers over a channel.
///
/// An answer belongs to its request by the sequence number; everything else is skipped. The kernel answers within the
/// system call, so the time limit only ends what would otherwise never end.
public final class Connection {
  private let channel: any Channel
  private let limit: Duration
  private var sequence: UInt32

  public init(_ channel: any Channel, limit: Duration = .seconds(5), firstSequence: UInt32 = 1) {
    self.channel = channel
    self.limit = limit
    sequence = firstSequence
  }

  /// Sends a request that is answered by an acknowledgement.
  public func perform(_ message: Message, _ operation: @autoclosure () -> String) throws(SystemError) {
    var message = message
    message.flags |= UInt16(NLM_F_REQUEST | NLM_F_ACK)
    _ = try exchange(message, operation) { (_) throws(Malformed) in nil as Bool? }
  }

  /// Sends a request that is answered by one object, or by an error.
  public func get<Value>(
    _ message: Message, _ operation: @autoclosure () -> String,
    _ decode: (ReceivedMessage) throws(Malformed) -> Value?
  ) throws(SystemError) -> Value? {
    var message = message
    message.flags |= UInt16(NLM_F_REQUEST)
    return try exchange(message, operation, decode).values.first
  }

  /// Sends a request that is answered by a list; begins again when the list changed while it was read.
  public func dump<Value>(
    _ message: Message, _ operation: @autoclosure () -> String,
    _ decode: (ReceivedMessage) throws(Malformed) -> Value?
  ) throws(SystemError) -> [Value] {
    if let values = try read(message, operation, decode, { _ in }) { return values }
    throw Self.neverStoodStill(operation())
  }

  /// As `dump`, for a list whose other entries may come and go without end, as interfaces and addresses do where many tunnels
  /// are: of one that never stands still, all that was seen in any reading, each entry as it was seen last. What stayed all
  /// the time is among them.
  ///
  /// - Parameter identity: tells entries apart.
  /// - Throws: `EAGAIN` when nothing at all was seen in a list that never stood still.
  public func gather<Value, Identity: Hashable>(
    _ message: Message, _ operation: @autoclosure () -> String, identity: (Value) -> Identity,
    _ decode: (ReceivedMessage) throws(Malformed) -> Value?
  ) throws(SystemError) -> [Value] {
    var seen: [Value] = []
    var places: [Identity: Int] = [:]
    let values = try read(message, operation, decode) { unsettled in
      for value in unsettled {
        let place = places[identity(value), default: seen.count]
        if place < seen.count {
          seen[place] = value
        } else {
          places[identity(value)] = place
          seen.append(value)
        }
      }
    }
    if let values { return values }
    guard !seen.isEmpty else { throw Self.neverStoodStill(operation()) }
    return seen
  }

  /// Reads a list until it did not change meanwhile; nil when it always did. What was read of one that changed goes to
  /// `unsettled`.
  private func read<Value>(
    _ message: Message, _ operation: () -> String, _ decode: (ReceivedMessage) throws(Malformed) -> Value?,
    _ unsettled: ([Value]) -> Void
  ) throws(SystemError) -> [Value]? {
    var message = message
    message.flags |= UInt16(NLM_F_REQUEST | Self.dump)
    let enough = channel.now + Self.persistence
    for attempt in 1...100 {
      let reading = try exchange(message, operation, decode)
      if !reading.wasInterrupted { return reading.values }
      unsettled(reading.values)
      // A program that loads thousands of rules one by one interrupts most of the readings for as long as it takes.
      if attempt >= 8, channel.now >= enough { break }
    }
    return nil
  }

  private static func neverStoodStill(_ operation: String) -> SystemError {
    SystemError(operation, .wouldBlock, detail: "the table kept changing while it was read")
  }

  /// Sends a change of a netfilter subsystem, which takes nothing but transactions, and has it carried out.
  public func commit(_ change: Message, of subsystem: UInt8, _ operation: @autoclosure () -> String) throws(SystemError) {
    var change = change
    change.flags |= UInt16(NLM_F_REQUEST | NLM_F_ACK)
    let first = numbers(3)
    let datagram =
      Message.batchBegin(subsystem).encoded(sequence: first) + change.encoded(sequence: first + 1)
      + Message.batchEnd(subsystem).encoded(sequence: first + 2)
    _ = try exchange(datagram, first, change.flags, operation) { (_) throws(Malformed) in nil as Bool? }
  }

  private func exchange<Value>(
    _ message: Message, _ operation: () -> String, _ decode: (ReceivedMessage) throws(Malformed) -> Value?
  ) throws(SystemError) -> (values: [Value], wasInterrupted: Bool) {
    let number = numbers(1)
    return try exchange(message.encoded(sequence: number), number, message.flags, operation, decode)
  }

  /// Takes so many sequence numbers in a row, none of them 0; the first.
  private func numbers(_ count: UInt32) -> UInt32 {
    if sequence > .max - count { sequence = 0 }
    sequence += count
    return sequence - count + 1
  }

  /// Sends the messages from `first` to the present sequence number in one datagram. The answer to the one that has `flags` ends the
  /// exchange; an error about any of them does too.
  private func exchange<Value>(
    _ datagram: [UInt8], _ first: UInt32, _ flags: UInt16, _ operation: () -> String,
    _ decode: (ReceivedMessage) throws(Malformed) -> Value?
  ) throws(SystemError) -> (values: [Value], wasInterrupted: Bool) {
    let isDump = flags & UInt16(Self.dump) == UInt16(Self.dump)
    let wantsAcknowledgement = flags & UInt16(NLM_F_ACK) != 0
    var values: [Value] = []
    var wasInterrupted = false
    do {
      try channel.send(datagram)
      // Sending takes as long as somebody else keeps the kernel's configuration locked, and the answer is there afterwards: a
      // change that was made must not be told as one that was not.
      let deadline = channel.now + limit
      while true {
        var messages = Messages(try channel.receive(before: deadline)[...])
        while let answer = try messages.next() {
          guard answer.sequence >= first, answer.sequence <= sequence else { continue }
          wasInterrupted = wasInterrupted || answer.flags & Self.dumpWasInterrupted != 0
          switch answer.type {
          case UInt16(NLMSG_NOOP): continue
          case UInt16(NLMSG_ERROR):
            let ending = try Acknowledgement(error: answer)
            if let errno = ending.errno { throw SystemError(operation(), errno, detail: ending.text) }
            return (values, wasInterrupted)
          case UInt16(NLMSG_DONE):
            let ending = try Acknowledgement(done: answer)
            if let errno = ending.errno { throw SystemError(operation(), errno, detail: ending.text) }
            return (values, wasInterrupted)
          default:
            if let value = try decode(answer) { values.append(value) }
            if !isDump && !wantsAcknowledgement { return (values, wasInterrupted) }
          }
        }
        if channel.now >= deadline { throw SystemError(operation(), .timedOut) }
      }
    } catch let error as SystemError {
      throw SystemError(operation(), error.errno, detail: error.detail)
    } catch let error as Malformed {
      throw SystemError(operation(), .badMessage, detail: "the kernel sent \(error.what)")
    } catch {
      // Unreachable: the body throws one of the two; the compiler cannot see a union of typed throws.
      throw SystemError(operation(), .protocolError)
    }
  }

  /// How long a list that keeps changing is read again.
  private static let persistence = Duration.milliseconds(300)
  /// `NLM_F_ROOT | NLM_F_MATCH`
  private static let dump: Int32 = 0x300
  /// `NLM_F_DUMP_INTR`
  private static let dumpWasInterrupted: UInt16 = 0x10
}
