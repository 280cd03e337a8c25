import Host

/// A conversation over BIRD's control socket.
///
/// Equivalent to: `birdc -s PATH`.
public final class BIRDControl: RoutingDaemon {
  private let path: String
  private let stream: any ByteStream
  private let deadline: Instant

  /// Connects and reads the greeting.
  ///
  /// - Parameter deadline: for all of the conversation.
  public init(_ path: String, on host: Host, before deadline: Instant) throws(BIRDError) {
    self.path = path
    self.deadline = deadline
    do throws(SystemError) { stream = try host.sockets.connect(toUnix: path, before: deadline) } catch { throw .system(error, path) }
    let greeting: Reply
    do throws(BIRDError) { greeting = try answer() } catch {
      stream.close()
      throw error
    }
    guard greeting.code == 1 else {
      stream.close()
      throw .malformed("it greets by \(greeting.code)")
    }
  }

  public func close() { stream.close() }

  /// BIRD reads addresses from the kernel itself.
  public func checkFollowsKernel() {}

  /// Sends a command of one line. What BIRD thinks of it is the answer's code: from 8000 on it is a refusal.
  public func ask(_ command: String) throws(BIRDError) -> Reply {
    guard !command.utf8.contains(UInt8(ascii: "\n")) else { throw .malformed("a command of several lines") }
    do throws(SystemError) { try stream.write(Array("\(command)\n".utf8), before: deadline) } catch { throw .system(error, path) }
    return try answer()
  }

  private func answer() throws(BIRDError) -> Reply {
    var reader = ReplyReader()
    while true {
      let bytes: [UInt8]
      do throws(SystemError) { bytes = try stream.read(limit: 65_536, before: deadline) } catch { throw .system(error, path) }
      guard !bytes.isEmpty else { throw .malformed("it ends in the middle") }
      if let reply = try reader.take(bytes) { return reply }
    }
  }
}

extension BIRDControl {
  /// Reads the configuration without taking it: the place of the first mistake.
  ///
  /// Equivalent to: `birdc configure check`.
  public func refusal() throws(BIRDError) -> String? {
    do throws(BIRDError) { try accept("configure check", [20]) } catch {
      if case .refused = error.kind { return error.reason }
      throw error
    }
    return nil
  }

  /// Takes the configuration; a broken one changes nothing and throws `refused`.
  ///
  /// Equivalent to: `birdc configure`. Protocols that did not change keep their sessions.
  public func configure() throws(BIRDError) { try accept("configure", [3, 4, 5]) }

  private func accept(_ command: String, _ codes: Set<Int>) throws(BIRDError) {
    let reply = try ask(command)
    guard !codes.contains(reply.code) else { return }
    throw BIRDError(kind: .refused(reply.code), reason: "BIRD refuses its configuration: \(reply.text)")
  }

  /// The value of a constant that the configuration in force defines; nil when it defines none of that name.
  ///
  /// Equivalent to: `birdc eval NAME`.
  public func constant(_ name: String) throws(BIRDError) -> String? {
    let reply = try ask("eval \(name)")
    return reply.code == 23 ? reply.text : nil
  }

  /// Names of the BGP protocols, in the order of the configuration.
  ///
  /// Equivalent to: `birdc show protocols`.
  public func neighbours() throws(BIRDError) -> [String] {
    try ask("show protocols").texts(1002).compactMap { line in
      let words = line.split(separator: " ")
      return words.count > 1 && words[1] == "BGP" ? String(words[0]) : nil
    }
  }

  /// Equivalent to: `birdc show protocols all NAME`. Nil when there is none.
  public func neighbour(_ name: String) throws(BIRDError) -> Neighbour? {
    Neighbour(name, try ask("show protocols all '\(name)'"))
  }

  /// Whether the neighbour's session is up and its export filter lets exactly this route through.
  ///
  /// Equivalent to: `birdc show route PREFIX export NAME`. BGP acknowledges nothing: that the neighbour took it is not known.
  public func exports(_ prefix: String, to name: String) throws(BIRDError) -> Bool {
    try ask("show route \(prefix) export '\(name)'").texts(1007).contains { $0.hasPrefix("\(prefix) ") }
  }

  /// Equivalent to: `birdc show bfd sessions`.
  public func hasBFD(_ neighbour: Neighbour) throws(BIRDError) -> Bool {
    guard let address = neighbour.address else { return false }
    return try ask("show bfd sessions").texts(1020).contains { line in
      let words = line.split(separator: " ")
      return words.count > 2 && words[2] == "Up" && IPAddress(words[0]) == address
    }
  }
}

extension Neighbour {
  /// Of the answer to `show protocols all`; nil when it tells of no BGP session.
  init?(_ name: String, _ reply: Reply) {
    self.name = name
    var state: String?
    var isOurs = false
    var restartTime: Int?
    var channels: [Substring] = []
    for line in reply.texts(1006) {
      let trimmed = line.drop { $0 == " " || $0 == "\t" }
      let value = trimmed.firstIndex(of: ":").map { String(trimmed[trimmed.index(after: $0)...].drop { $0 == " " }) } ?? ""
      switch trimmed.prefix(while: { $0 != ":" }) {
      case "BGP state": state = value
      case "Neighbor address": address = IPAddress(value.prefix { $0 != "%" })
      case "Local AS": localAS = UInt32(value)
      case "Last error": lastError = value.isEmpty ? nil : value
      case "Local capabilities": isOurs = true
      case "Neighbor capabilities", "Session": isOurs = false
      // Told only where graceful restart is on, not where BIRD merely heeds that of others.
      case "Restart time" where isOurs: restartTime = Int(value)
      case let channel where channel.hasPrefix("Channel "): channels.append(channel.dropFirst("Channel ".count))
      default: break
      }
    }
    guard let state else { return nil }
    self.state = state
    keptFor = restartTime
    if !channels.isEmpty { (carriesIPv4, carriesIPv6) = (channels.contains("ipv4"), channels.contains("ipv6")) }
  }
}
