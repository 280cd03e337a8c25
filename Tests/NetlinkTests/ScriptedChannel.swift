import Host
import Netlink

/// Answers from a list; without one left it lets the time pass to the deadline.
final class ScriptedChannel: Channel {
  var answers: [[UInt8]]
  var sent: [[UInt8]] = []
  var now = Instant(nanoseconds: 0)
  /// How long the kernel keeps a request.
  var sending = Duration.zero

  init(_ answers: [UInt8]...) { self.answers = answers }

  func send(_ bytes: [UInt8]) throws(SystemError) {
    sent.append(bytes)
    now = now + sending
  }

  func receive(before deadline: Instant) throws(SystemError) -> [UInt8] {
    guard now < deadline else { throw SystemError("reading from the script", .timedOut) }
    if !answers.isEmpty { return answers.removeFirst() }
    now = deadline
    throw SystemError("reading from the script", .timedOut)
  }
}

extension Connection {
  /// Its next request has sequence number 7, as the fixtures have.
  static func scripted(_ channel: ScriptedChannel) -> Connection { Connection(channel, firstSequence: 6) }
}

/// The one object of a datagram, through the connection.
func decoded<Value>(_ datagram: [UInt8], _ decode: (ReceivedMessage) throws(Malformed) -> Value?) throws -> Value? {
  try Connection.scripted(ScriptedChannel(datagram)).get(Message(type: 0, flags: 0), "reading", decode)
}
