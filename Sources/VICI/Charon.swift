import Host

/// A conversation with charon over its VICI socket, one command at a time.
///
/// A successful connect proves nothing: charon's accept queue fills while no thread polls it. Only an answer does.
/// Debian 12's charon can deadlock on overlapping initiate and terminate, so that callers hold `Charon.lock` around
/// whatever changes something.
public final class Charon {
  private let stream: any ByteStream
  private let clock: any Clock
  private let deadline: Instant
  /// What was read and not consumed.
  private var buffer: [UInt8] = []

  /// - Parameter deadline: of everything that is done with this connection.
  public init(over stream: any ByteStream, clock: any Clock, before deadline: Instant) {
    self.stream = stream
    self.clock = clock
    self.deadline = deadline
  }

  deinit { stream.close() }

  /// Connects to the socket at `path`.
  public convenience init(at path: String, on host: Host, before deadline: Instant) throws(VICIError) {
    let stream: any ByteStream
    do { stream = try host.sockets.connect(toUnix: path, before: deadline) } catch {
      throw .unreachable(error, at: path)
    }
    self.init(over: stream, clock: host.clock, before: deadline)
  }

  /// Runs a command. Events that come before its answer are dropped.
  public func ask(_ command: String, _ request: Message = Message()) throws(VICIError) -> Message {
    try send(.request(command, request), while: asking(command))
    return try answer(to: command) { _, _ in }
  }

  /// Runs a command that streams its rows as events before its answer.
  ///
  /// Rows are handed over one by one and not kept: an answer may be of any length.
  public func stream(
    _ command: String, _ event: String, _ request: Message = Message(), _ row: (Message) throws(VICIError) -> Void
  ) throws(VICIError) {
    try register(event, while: asking(command))
    try send(.request(command, request), while: asking(command))
    let reply = try answer(to: command) { (name, message) throws(VICIError) in
      if name == event { try row(message) }
    }
    if reply["success"] != nil, !reply.flag("success") { throw .refused(reply, while: asking(command)) }
    try send(.unregister(event), while: asking(command))
    try confirm(event, while: asking(command))
  }

  /// Runs a command whose answer says `success`; throws `refused` with charon's own words when it says no.
  @discardableResult
  public func order(_ command: String, _ request: Message = Message()) throws(VICIError) -> Message {
    let reply = try ask(command, request)
    guard reply.flag("success") else { throw .refused(reply, while: asking(command)) }
    return reply
  }

  /// Whether this charon has an event of that name, told by subscribing to it.
  public func knows(event: String) throws(VICIError) -> Bool {
    do {
      try register(event, while: "looking for event \(event)")
      return true
    } catch {
      guard error.kind == .notSupported else { throw error }
      return false
    }
  }

  private func asking(_ command: String) -> String { "asking charon for \(command)" }

  private func register(_ event: String, while operation: String) throws(VICIError) {
    try send(.register(event), while: operation)
    try confirm(event, while: operation)
  }

  private func confirm(_ event: String, while operation: String) throws(VICIError) {
    while true {
      switch try receive(while: operation) {
      case .confirmed: return
      case .unknownEvent: throw .notSupported("event \(event)", while: operation)
      case .event: continue
      case let other: throw unexpected(other, while: operation)
      }
    }
  }

  private func answer(
    to command: String, _ event: (String, Message) throws(VICIError) -> Void
  ) throws(VICIError) -> Message {
    while true {
      switch try receive(while: asking(command)) {
      case .response(let reply): return reply
      case .unknownCommand: throw .notSupported("command \(command)", while: asking(command))
      case .event(let name, let message): try event(name, message)
      case let other: throw unexpected(other, while: asking(command))
      }
    }
  }

  private func unexpected(_ packet: Packet, while operation: String) -> VICIError {
    let what =
      switch packet {
      case .request: "a request"
      case .response: "an answer to nothing"
      case .unknownCommand: "an answer about a command"
      case .register, .unregister: "a subscription"
      case .confirmed, .unknownEvent: "an answer about an event"
      case .event: "an event"
      }
    return .malformed("charon sent \(what)", while: operation)
  }

  private func send(_ packet: Packet, while operation: String) throws(VICIError) {
    let segment = try packet.segment()
    do { try stream.write(segment, before: deadline) } catch { throw .interrupted(error, while: operation) }
  }

  private func receive(while operation: String) throws(VICIError) -> Packet {
    try fill(to: 4, while: operation)
    let length = buffer.prefix(4).reduce(0) { $0 << 8 | Int($1) }
    guard (1...Packet.sizeLimit).contains(length) else {
      throw .malformed("charon announced a packet of \(length) bytes", while: operation)
    }
    try fill(to: 4 + length, while: operation)
    defer { buffer.removeFirst(4 + length) }
    do { return try Packet(decoding: buffer[4..<(4 + length)]) } catch {
      throw .malformed(error.detail, while: operation)
    }
  }

  /// Reads until `count` bytes are there. The buffer grows with what arrives, not with what was announced, and a
  /// peer that never stops sending does not outlast the deadline.
  private func fill(to count: Int, while operation: String) throws(VICIError) {
    guard clock.now < deadline else { throw .timedOut(while: operation) }
    while buffer.count < count {
      let part: [UInt8]
      do { part = try stream.read(limit: 65_536, before: deadline) } catch {
        throw .interrupted(error, while: operation)
      }
      if part.isEmpty { throw .closed(while: operation) }
      buffer += part
      guard buffer.count >= count || clock.now < deadline else { throw .timedOut(while: operation) }
    }
  }
}

extension Charon {
  /// Waits for the right to change something in this node's charon: one such operation at a time.
  public static func lock(on host: Host, before deadline: Instant) throws(VICIError) -> any FileLock {
    do { return try host.files.lock(lockPath, before: deadline) } catch {
      let kind: VICIError.Kind = error.errno == .timedOut ? .timedOut : .unreachable
      let detail = error.detail ?? error.errno.description
      throw VICIError(kind, "waiting for another VICI operation on this node", detail, errno: error.errno)
    }
  }

  /// An empty lock file; it stays.
  public static let lockPath = "/run/resource-agents/vpnha-vici.lock"
}
