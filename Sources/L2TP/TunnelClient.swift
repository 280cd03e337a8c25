import Host

/// The client's end of one tunnel: control messages that arrive once and in order (RFC 2661 §5.8), data messages that come
/// as they come.
///
/// One message waits for its acknowledgement at a time, which is all a single session needs.
final class TunnelClient {
  /// Our identifiers.
  let tunnel: UInt16
  let session: UInt16
  /// Theirs; 0 until they are told.
  private(set) var theirTunnel: UInt16 = 0
  private(set) var theirSession: UInt16 = 0

  private let socket: any DatagramSocket
  private let clock: any Clock
  private let deadline: Instant
  private var sent: UInt16 = 0
  private var expected: UInt16 = 0
  private var unacknowledged: (bytes: [UInt8], next: Instant, pause: Duration)?

  /// Nothing is sent or awaited past `deadline`.
  init(over socket: any DatagramSocket, clock: any Clock, before deadline: Instant) {
    tunnel = .random(in: 1...UInt16.max)
    session = .random(in: 1...UInt16.max)
    self.socket = socket
    self.clock = clock
    self.deadline = deadline
  }

  enum Event {
    case control(ControlMessage)
    case frame(PPPFrame)
    /// Our last control message has arrived.
    case acknowledged
  }

  var isAcknowledged: Bool { unacknowledged == nil }

  /// Sends a control message, again after 1, 2, 4 … s until it is acknowledged.
  func send(_ kind: ControlMessage.Kind, toSession: Bool = false, _ attributes: [Attribute]) throws(L2TPError) {
    let message = ControlMessage(
      kind, tunnel: theirTunnel, session: toSession ? theirSession : 0, number: sent, expected: expected, attributes)
    sent &+= 1
    unacknowledged = (message.bytes, clock.now + .seconds(1), .seconds(2))
    try transmit(message.bytes)
  }

  func send(_ frame: PPPFrame) throws(L2TPError) {
    try transmit(DataMessage(tunnel: theirTunnel, session: theirSession, frame: frame.bytes).bytes)
  }

  /// What comes next for us by `end`, nil when nothing does. Repeats what is not acknowledged, acknowledges what is new.
  func receive(before end: Instant) throws(L2TPError) -> Event? {
    let end = min(end, deadline)
    while true {
      if let waiting = unacknowledged, clock.now >= waiting.next, clock.now < deadline {
        unacknowledged = (waiting.bytes, clock.now + waiting.pause, min(waiting.pause * 2, .seconds(8)))
        try transmit(waiting.bytes)
      }
      let next = min(end, unacknowledged?.next ?? end)
      let datagram: [UInt8]?
      do { datagram = try socket.receive(limit: 4096, before: next) } catch { throw .system(error) }
      if let datagram, let event = try event(in: datagram) { return event }
      if clock.now >= end { return nil }
    }
  }

  private func event(in datagram: [UInt8]) throws(L2TPError) -> Event? {
    if let data = DataMessage(datagram) {
      guard data.tunnel == tunnel, data.session == session else { return nil }
      return PPPFrame(data.frame[...]).map { .frame($0) }
    }
    guard let message = message(in: datagram), message.tunnel == tunnel else { return nil }
    let acknowledges = unacknowledged != nil && message.expected == sent
    if acknowledges { unacknowledged = nil }
    if message.isAcknowledgement { return acknowledges ? .acknowledged : nil }
    if message.number != expected {
      // A repetition: our acknowledgement was lost.
      if message.number == expected &- 1 { try acknowledge() }
      return nil
    }
    expected &+= 1
    if let theirs = message[.assignedTunnel]?.number, theirTunnel == 0 { theirTunnel = theirs }
    if let theirs = message[.assignedSession]?.number, message.session == session, theirSession == 0 { theirSession = theirs }
    try acknowledge()
    return .control(message)
  }

  private func message(in datagram: [UInt8]) -> ControlMessage? {
    do { return try ControlMessage(datagram) } catch { return nil }
  }

  private func acknowledge() throws(L2TPError) {
    try transmit(ControlMessage(tunnel: theirTunnel, number: sent, expected: expected).bytes)
  }

  private func transmit(_ bytes: [UInt8]) throws(L2TPError) {
    do { try socket.send(bytes) } catch { throw .system(error) }
  }
}
