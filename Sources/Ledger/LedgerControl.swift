import Host

/// The resident of a sessions resource as agent and people ask it: one word to its socket, lines back.
public struct LedgerControl: Equatable, Sendable {
  public static let folder = "/run/vpnha"
  /// A longer path would be no socket's.
  public static let longestInstance = 64

  public let path: String
  /// What one resident of the instance has locked.
  public var lock: String { path.dropLast("sock".utf8.count) + "lock" }

  /// Nil for what is no name of a file, or too long for a socket's.
  public init?(instance: String) {
    guard !instance.isEmpty, instance.utf8.count <= Self.longestInstance, !instance.contains("/") else { return nil }
    path = "\(Self.folder)/sessions-\(instance).sock"
  }

  private init(path: String) { self.path = path }

  /// Of every resident that runs on this node, or has left its socket behind.
  public static func all(_ files: any Files) throws(SystemError) -> [LedgerControl] {
    try (files.entries(of: folder) ?? []).filter { $0.hasPrefix("sessions-") && $0.hasSuffix(".sock") }.map { LedgerControl(path: "\(folder)/\($0)") }
  }

  /// The lines of its answer.
  ///
  /// - Throws: `ENOENT` or `ECONNREFUSED` when nobody listens, `ETIMEDOUT` when it does not answer, `EPROTO` when it refuses.
  public func ask(_ command: String, on host: Host, limit: Int = 65_536, before deadline: Instant) throws(SystemError) -> [String] {
    let stream = try host.sockets.connect(toUnix: path, before: deadline)
    defer { stream.close() }
    try stream.write(Array("\(command)\n".utf8), before: deadline)
    let lines = String(decoding: try stream.readToEnd(limit: limit, before: deadline), as: UTF8.self).split(separator: "\n").map(String.init)
    guard lines.first == "ok" else { throw SystemError("asking the ledger for \(command)", .protocolError, detail: lines.first ?? "it answered nothing") }
    return Array(lines.dropFirst())
  }
}

/// What a resident says of itself.
public struct LedgerStatus: Equatable, Sendable {
  public var isPromoted = false
  /// `ReplicaStanding.Link`'s word.
  public var link = ""
  /// Seconds since it was started, and for how long changes have been waiting for the peer.
  public var up = 0
  public var lag = 0
  /// Sessions of this node, those that it took over, and those of the peer that it knows.
  public var own = 0
  public var adopted = 0
  public var held = 0
  /// Clients whose sessions it could not carry: those that it told, and those that could not be reached.
  public var told = 0
  public var lost = 0
  public var peerIsFull = false
  public var risks: [String] = []

  public init() {}

  /// Nil when it is no answer to `status`: without a role and a link. Lines that are not known mean nothing.
  public init?(_ lines: [String]) {
    var hasRole = false
    for line in lines {
      let words = line.split(separator: " ", maxSplits: 1)
      guard words.count == 2 else { continue }
      let value = String(words[1])
      switch words[0] {
      case "role": (hasRole, isPromoted) = (true, value == "promoted")
      case "link": link = value
      case "up": up = Int(value) ?? 0
      case "lag": lag = Int(value) ?? 0
      case "own": own = Int(value) ?? 0
      case "adopted": adopted = Int(value) ?? 0
      case "held": held = Int(value) ?? 0
      case "told": told = Int(value) ?? 0
      case "lost": lost = Int(value) ?? 0
      case "peer-full": peerIsFull = value == "1"
      case "risk": risks.append(value)
      default: continue
      }
    }
    guard hasRole, !link.isEmpty else { return nil }
  }
}
