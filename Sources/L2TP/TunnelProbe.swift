import Host

/// Asks an L2TP server for a tunnel and takes the request back as soon as it is answered (RFC 2661 §5.1, §5.7).
///
/// Proves that the server reads its socket, runs its state machine and can send from the address it was asked on. The tunnel
/// is never confirmed (no SCCCN), so that nothing is built in the server's kernel and no session is spent.
public struct TunnelProbe {
  /// What an answering server said. Both are proof of life.
  public enum Answer: Hashable, Sendable {
    /// A tunnel was offered. `isClosed` tells whether the server acknowledged that we take it back; otherwise it forgets the
    /// tunnel by itself after half a minute.
    case accepted(isClosed: Bool)
    /// The server wants no tunnel with us: `No Authorization` when its access list does not name our address.
    case refused(ResultCode)
  }

  /// The name shown in the server's log.
  public var hostName: String
  /// Our identifier of the tunnel, a new one each time.
  public var tunnel: UInt16

  public init(hostName: String = "vpnha", tunnel: UInt16 = .random(in: 1...UInt16.max)) {
    self.hostName = hostName
    self.tunnel = tunnel
  }

  /// The last wait for an acknowledgement of the farewell, however far away the deadline is.
  static let patience = Duration.seconds(1)

  /// Runs the exchange over `socket`, which is connected to the server's port 1701.
  ///
  /// The request is repeated after 1, 2 and 4 s (RFC 2661 §5.8) until `deadline`. Once it is asked anew with another identifier:
  /// xl2tpd 1.3.18 draws its own from the whole range, 0 included, and acknowledges a request that repeats one it knows from
  /// our address without answering it. Each happens once in 65,536 requests.
  /// - Throws: `.closed` when the port is, `.unanswered` at the deadline, `.refused` when no tunnel is named twice.
  public func run(over socket: any DatagramSocket, clock: any Clock, before deadline: Instant) throws(L2TPError) -> Answer {
    if let answer = try ask(as: tunnel, isLast: false, over: socket, clock: clock, before: deadline) { return answer }
    let another = tunnel == .max ? 1 : tunnel + 1
    if clock.now < deadline, let answer = try ask(as: another, isLast: true, over: socket, clock: clock, before: deadline) {
      return answer
    }
    throw .unanswered("an answer to SCCRQ")
  }

  /// Asks for a tunnel that is `ours` to us. Nil when there is no answer by `deadline`, and, unless this is the last time, when
  /// there will be none or it names no tunnel.
  private func ask(
    as ours: UInt16, isLast: Bool, over socket: any DatagramSocket, clock: any Clock, before deadline: Instant
  ) throws(L2TPError) -> Answer? {
    let exchange = Exchange(tunnel: ours, socket: socket, clock: clock)
    let request = ControlMessage(
      .startRequest, tunnel: 0, number: 0, expected: 0,
      [
        .number(.protocolVersion, 0x0100 as UInt16), .number(.framingCapabilities, 3 as UInt32),
        .text(.hostName, hostName), .number(.assignedTunnel, ours),
      ])
    var isKnown = false
    let answer = try exchange.send(request, before: deadline, while: { isLast || !isKnown }) { message in
      switch message.kind {
      case .startReply, .stop: return message
      default:
        if message.isAcknowledgement { isKnown = true }
        return nil
      }
    }
    guard let answer else { return nil }
    let theirs = answer[.assignedTunnel]?.number ?? 0
    if answer.kind == .stop {
      try exchange.send(ControlMessage(tunnel: theirs, number: 1, expected: answer.number &+ 1))
      return .refused(answer.result ?? ResultCode(result: 0))
    }
    guard theirs != 0 else {
      if isLast { throw .refused("the server answered SCCRQ without a tunnel of its own") }
      return nil
    }
    let farewell = ControlMessage(
      .stop, tunnel: theirs, number: 1, expected: answer.number &+ 1,
      [.number(.assignedTunnel, ours), .number(.resultCode, 1 as UInt16)])
    let acknowledged = try exchange.send(
      farewell, before: min(deadline, clock.now + Self.patience), pause: .milliseconds(250)
    ) { message in
      message.expected == 2 ? message : nil
    }
    return .accepted(isClosed: acknowledged != nil)
  }
}

/// What passes between us and the server about one tunnel.
private struct Exchange {
  var tunnel: UInt16
  var socket: any DatagramSocket
  var clock: any Clock

  /// Sends `message`, again after `pause`, twice that and so on, until `accept` takes something addressed to our tunnel, and no
  /// longer than `condition` holds.
  func send(
    _ message: ControlMessage, before deadline: Instant, pause: Duration = .seconds(1),
    while condition: () -> Bool = { true }, accept: (ControlMessage) -> ControlMessage?
  ) throws(L2TPError) -> ControlMessage? {
    var pause = pause
    repeat {
      try send(message)
      let next = min(deadline, clock.now + pause)
      pause = min(pause * 2, .seconds(8))
      while clock.now < next, let datagram = try receive(before: next) {
        if let answer = ours(in: datagram), let accepted = accept(answer) { return accepted }
      }
    } while clock.now < deadline && condition()
    return nil
  }

  func send(_ message: ControlMessage) throws(L2TPError) {
    do { try socket.send(message.bytes) } catch { throw .system(error) }
  }

  private func receive(before deadline: Instant) throws(L2TPError) -> [UInt8]? {
    do { return try socket.receive(limit: 4096, before: deadline) } catch { throw .system(error) }
  }

  /// Nil for what is not for our tunnel, or not L2TP at all: anybody may send us anything.
  private func ours(in datagram: [UInt8]) -> ControlMessage? {
    do {
      let message = try ControlMessage(datagram)
      return message.tunnel == tunnel ? message : nil
    } catch { return nil }
  }
}
