/// One transport segment without its length: everything that client and daemon say to each other.
///
/// Source: strongSwan `src/libcharon/plugins/vici/README.md`, "Packet format".
public enum Packet: Hashable, Sendable {
  /// Client: run a command.
  case request(String, Message)
  /// Daemon: the command's answer.
  case response(Message)
  /// Daemon: there is no such command.
  case unknownCommand
  /// Client: subscribe to an event.
  case register(String)
  /// Client: end a subscription.
  case unregister(String)
  /// Daemon: the subscription was made or ended.
  case confirmed
  /// Daemon: there is no such event.
  case unknownEvent
  /// Daemon: something happened, or one row of a command's answer.
  case event(String, Message)

  /// Segments longer than this are neither sent nor accepted (`VICI_MESSAGE_SIZE_MAX`).
  public static let sizeLimit = 512 * 1024

  private var code: UInt8 {
    switch self {
    case .request: 0
    case .response: 1
    case .unknownCommand: 2
    case .register: 3
    case .unregister: 4
    case .confirmed: 5
    case .unknownEvent: 6
    case .event: 7
    }
  }

  /// The packet's bytes, without the length in front.
  public func encoded() throws(VICIError) -> [UInt8] {
    var bytes = [code]
    switch self {
    case .request(let name, let message), .event(let name, let message):
      try bytes.append(name: name)
      try message.encode(into: &bytes)
    case .response(let message): try message.encode(into: &bytes)
    case .register(let name), .unregister(let name): try bytes.append(name: name)
    case .unknownCommand, .confirmed, .unknownEvent: break
    }
    guard bytes.count <= Self.sizeLimit else {
      throw .malformed("\(bytes.count) bytes, \(Self.sizeLimit) fit", while: "writing a VICI packet")
    }
    return bytes
  }

  /// The packet with its length in front, as it goes over the stream.
  public func segment() throws(VICIError) -> [UInt8] {
    let bytes = try encoded()
    return (0..<4).map { UInt8(truncatingIfNeeded: bytes.count >> (24 - 8 * $0)) } + bytes
  }

  /// Reads one packet that fills `bytes`.
  public init(decoding bytes: some Collection<UInt8>) throws(VICIError) {
    guard bytes.count <= Self.sizeLimit else { throw .malformed("a packet of \(bytes.count) bytes") }
    var cursor = Cursor(Array(bytes)[...])
    guard let code = cursor.byte() else { throw .malformed("an empty packet") }
    switch code {
    case 0:
      let name = try cursor.name()
      self = .request(name, try Message(decoding: cursor.remainder))
    case 1: self = .response(try Message(decoding: cursor.remainder))
    case 2: self = .unknownCommand
    case 3: self = .register(try cursor.name())
    case 4: self = .unregister(try cursor.name())
    case 5: self = .confirmed
    case 6: self = .unknownEvent
    case 7:
      let name = try cursor.name()
      self = .event(name, try Message(decoding: cursor.remainder))
    default: throw .malformed("packet type \(code)")
    }
    switch self {
    case .request, .response, .event: break
    case .unknownCommand, .register, .unregister, .confirmed, .unknownEvent:
      guard cursor.remainder.isEmpty else { throw .malformed("\(cursor.remainder.count) bytes after a packet of type \(code)") }
    }
  }
}
