import Host

/// Why xl2tpd's control pipe gave no answer.
public struct ControlPipeError: Error, Equatable, Sendable, CustomStringConvertible {
  public enum Kind: Equatable, Sendable {
    /// There is no pipe: the daemon has not made it yet, or another one was told another path.
    case absent
    /// The pipe is there and no process reads from it: left over by a daemon that died.
    case unread
    /// Another client has its turn and does not come to an end.
    case busy
    /// The daemon took the request, or lets it lie, and does not answer.
    case unanswered
    /// The answer says that the request failed, with its code.
    case refused(Int)
    case malformed
    /// The daemon answered, and there was no room for what it said.
    case lost
    case system(Errno)
  }

  public var kind: Kind
  public var reason: String

  public var description: String { reason }

  /// Whether the pipe's file system is full: that says nothing of the daemon.
  public var isForLackOfRoom: Bool { kind == .lost || kind == .system(.noSpace) }
}

/// xl2tpd's control pipe, spoken so that the daemon cannot be frozen by it.
///
/// The daemon reads its pipe without a way out: a writer that keeps the pipe open, or a reply path that is itself a pipe,
/// stops it for good, and of two requests read at once it drops the second. So one client at a time holds a lock, the
/// request is one write and the pipe is closed at once, the reply goes to a regular file, and the daemon's unlinking of
/// that file marks its end. A client killed at any point leaves an unlocked lock file and at most one small file behind.
///
/// Equivalent to: `xl2tpd-control available`, with replies of any length and a deadline.
public struct ControlPipe {
  public var path: String

  public init(_ path: String) { self.path = path }

  /// The file whose lock makes clients take turns. It stays, empty.
  public var lockPath: String { path + ".lock" }

  /// Request and reply path together are read by the daemon into a buffer of this many bytes.
  static let longestRequest = 1024
  static let longestReply = 4 << 20

  /// Sends `command` and returns the reply's lines without their codes.
  ///
  /// Asks again when a quarter of a second, then twice that and so on, has passed: another client, one that takes no lock, may
  /// have swallowed the request, and in a crowd of them one in ten is. An answer to any request is the answer. So `command`
  /// must be one that may run several times.
  public func ask(_ command: String, on host: Host, before deadline: Instant) throws(ControlPipeError) -> [String] {
    let turn: any FileLock
    do throws(SystemError) { turn = try host.files.lock(lockPath, before: deadline) } catch {
      guard error.errno == .timedOut else { throw failure(error) }
      throw ControlPipeError(kind: .busy, reason: "\(lockPath) is held by another program, so \(path) cannot be asked")
    }
    defer { turn.release() }
    var replies: [any ReplyFile] = []
    defer { for reply in replies { reply.discard() } }
    var pause = Self.firstPause
    var refusal: SystemError?
    repeat {
      let end = min(deadline, host.clock.now + pause)
      pause = pause * 2
      let (file, request) = try request(command, on: host)
      replies.append(file)
      let answered = try doing { () throws(SystemError) in
        refusal = try send(request, on: host, before: end)
        if refusal != nil { replies.removeLast().discard() }
        return try firstComplete(of: replies, on: host, before: end)
      }
      if let answered {
        return try lines(of: doing { () throws(SystemError) in try answered.read(limit: Self.longestReply) }, to: command)
      }
    } while host.clock.now < deadline
    // A pipe that is full of requests means that nobody answers, too.
    if let refusal, replies.isEmpty, refusal.errno != .wouldBlock { throw failure(refusal) }
    throw ControlPipeError(kind: .unanswered, reason: "asking \(path) for \(command): no answer in time")
  }
  private static let firstPause = Duration.milliseconds(250)

  /// A new file for the answer, and the request that names it.
  private func request(_ command: String, on host: Host) throws(ControlPipeError) -> (file: any ReplyFile, request: [UInt8]) {
    let directory = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
    let file = try doing { () throws(SystemError) in try host.files.makeReplyFile(in: directory) }
    let request = Array("@\(file.path) \(command)".utf8)
    guard request.count < Self.longestRequest, !file.path.contains(" ") else {
      file.discard()
      throw ControlPipeError(kind: .malformed, reason: "asking \(path) for \(command): the request does not fit")
    }
    return (file, request)
  }

  private func firstComplete(
    of replies: [any ReplyFile], on host: Host, before end: Instant
  ) throws(SystemError) -> (any ReplyFile)? {
    var complete: (any ReplyFile)?
    _ = try host.until(before: end) { () throws(SystemError) in
      for reply in replies where try reply.isComplete() { complete = reply }
      return complete != nil
    }
    return complete
  }

  /// Sends `request` and returns why that could not be done by `end`.
  private func send(_ request: [UInt8], on host: Host, before end: Instant) throws(SystemError) -> SystemError? {
    // After each request the daemon closes its end and opens it anew. Meanwhile nobody reads.
    var refusal: SystemError?
    let isSent = try host.until(before: end) { () throws(SystemError) in
      do throws(SystemError) { try host.files.send(request, toFIFO: path) } catch {
        guard [.noSuchDeviceOrAddress, .brokenPipe, .wouldBlock].contains(error.errno) else { throw error }
        refusal = error
        return false
      }
      return true
    }
    return isSent ? nil : refusal
  }

  /// Every line is `NN TEXT`, and NN is 00 when all is well.
  private func lines(of reply: [UInt8], to command: String) throws(ControlPipeError) -> [String] {
    var lines: [String] = []
    for line in reply.split(separator: UInt8(ascii: "\n")) {
      let text = String(decoding: line, as: UTF8.self)
      let parts = text.split(separator: " ", maxSplits: 1)
      guard let first = parts.first, first.utf8.count == 2, let code = Int(first) else {
        throw ControlPipeError(kind: .malformed, reason: "asking \(path) for \(command): the answer is '\(text.prefix(60))'")
      }
      let words = parts.count == 2 ? String(parts[1]) : ""
      guard code == 0 else {
        throw ControlPipeError(kind: .refused(code), reason: "asking \(path) for \(command): \(words)")
      }
      lines.append(words)
    }
    guard !lines.isEmpty else {
      throw ControlPipeError(kind: .lost, reason: "asking \(path) for \(command): the answer is empty; is the file system full?")
    }
    return lines
  }

  private func doing<Value>(_ call: () throws(SystemError) -> Value) throws(ControlPipeError) -> Value {
    do { return try call() } catch { throw failure(error) }
  }

  private func failure(_ error: SystemError) -> ControlPipeError {
    let kind: ControlPipeError.Kind =
      switch error.errno {
      case .noSuchFile: .absent
      case .noSuchDeviceOrAddress, .brokenPipe: .unread
      default: .system(error.errno)
      }
    return ControlPipeError(kind: kind, reason: "\(error)")
  }
}

/// The tunnels a daemon has, as it tells over its control pipe (`available`).
public struct TunnelInventory: Hashable, Sendable {
  public struct Tunnel: Hashable, Sendable {
    /// The peer's identifier.
    public var theirs: Int
    public var ours: Int
    public var calls: Int
  }
  public var tunnels: [Tunnel] = []
  public init() {}
  /// Calls in all tunnels; the daemon's own total always says 0 (xl2tpd 1.3.18).
  public var calls: Int { tunnels.reduce(0) { $0 + $1.calls } }
}

extension ControlPipe {
  /// Asks for nothing in particular: an answer is proof that the daemon's one loop turns, and costs the same however many
  /// tunnels it has.
  public func ping(on host: Host, before deadline: Instant) throws(ControlPipeError) {
    // The state of a server (lns) that nobody has.
    do { _ = try ask("y vpnha-is-there", on: host, before: deadline) } catch {
      switch error.kind {
      case .refused, .lost: return
      default: throw error
      }
    }
  }

  /// Asks what is there. An answer is proof that the daemon's one loop turns.
  public func inventory(on host: Host, before deadline: Instant) throws(ControlPipeError) -> TunnelInventory {
    var inventory = TunnelInventory()
    var isWhole = false
    for line in try ask("x", on: host, before: deadline) {
      // AVAILABLE tunnel 0x55…, id 3, ourtid 41, has 1 calls and self 0x…
      let words = line.split { $0 == " " || $0 == "," }
      if line.hasPrefix("AVAILABLE tunnels count=") { isWhole = true }
      guard words.count >= 9, words[1] == "tunnel", words[3] == "id", words[5] == "ourtid", words[7] == "has",
        let theirs = Int(words[4]), let ours = Int(words[6]), let calls = Int(words[8])
      else { continue }
      inventory.tunnels.append(TunnelInventory.Tunnel(theirs: theirs, ours: ours, calls: max(0, min(calls, 65_535))))
    }
    guard isWhole else {
      throw ControlPipeError(kind: .malformed, reason: "asking \(path) what is available: the answer counts no tunnels")
    }
    return inventory
  }
}
