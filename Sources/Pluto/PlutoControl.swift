import Host

/// pluto, libreswan's IKE daemon, asked through the programs that come with it.
///
/// Its control socket takes a C structure that differs from version to version; whack and addconn of the same package know theirs. What
/// whack asks for while pluto says nothing is bounded here: it has no deadline of its own.
public struct PlutoControl {
  /// Where whack and addconn are: pluto's own folder.
  public var folder: String
  /// `RUNDIR/pluto.ctl`.
  public var socket: String
  private let host: Host
  private let deadline: Instant

  /// - Parameters:
  ///   - binary: pluto's path; the other programs lie beside it.
  ///   - deadline: for each question.
  public init(besides binary: String, socket: String, on host: Host, before deadline: Instant) {
    folder = binary.lastIndex(of: "/").map { String(binary[..<$0]) } ?? "."
    self.socket = socket
    self.host = host
    self.deadline = deadline
  }

  /// Bytes of an answer that are read. A client adds about 2,500 to the longest one.
  static let longestAnswer = 32 << 20

  public static func whack(besides binary: String) -> String { beside(binary, "whack") }
  public static func addconn(besides binary: String) -> String { beside(binary, "addconn") }
  private static func beside(_ binary: String, _ name: String) -> String {
    (binary.lastIndex(of: "/").map { String(binary[...$0]) } ?? "") + name
  }

  /// How many SAs there are: a short answer, however many clients.
  ///
  /// Equivalent to: `ipsec briefstatus`.
  public func states() throws(PlutoError) -> PlutoStates { try PlutoStates(try whack("--briefstatus", limit: 65_536)) }

  /// Equivalent to: `ipsec status`.
  public func status() throws(PlutoError) -> PlutoStatus { PlutoStatus(try whack("--status", limit: Self.longestAnswer)) }

  /// Whose pre-shared keys pluto has; no key is among what it says.
  ///
  /// Equivalent to: `ipsec whack --listpsks`.
  public func secrets() throws(PlutoError) -> [PlutoSecret] { PlutoSecret.all(in: try whack("--listpsks", limit: 1 << 20)) }

  /// The certificates in pluto's NSS database.
  ///
  /// Equivalent to: `ipsec whack --listcerts --listcacerts`. Those that have signed themselves are among the second.
  public func certificates() throws(PlutoError) -> [PlutoCertificate] { PlutoCertificate.all(in: try whack("--listcerts", "--listcacerts", limit: Self.longestAnswer)) }

  /// Looks for addresses that came or went, and reads the secrets. No SA is dropped.
  ///
  /// Equivalent to: `ipsec whack --listen`.
  public func listen() throws(PlutoError) { _ = try whack("--listen", limit: 65_536) }

  /// Loads a connection, or loads it again: then its SAs are deleted.
  ///
  /// Equivalent to: `ipsec auto --add NAME`.
  public func load(_ connection: String, from config: String) throws(PlutoError) {
    _ = try run("addconn", ["--ctlsocket", socket, "--config", config, connection], limit: 65_536)
  }

  /// The connections in a configuration file, whether or not they are loaded by themselves. Asks no daemon; a file with a mistake throws
  /// `refused`, with the place.
  ///
  /// Equivalent to: `ipsec addconn --config FILE --listall`.
  public func connections(in config: String) throws(PlutoError) -> [String] {
    String(decoding: try run("addconn", ["--config", config, "--listall"], limit: 1 << 20), as: UTF8.self).split(whereSeparator: \.isWhitespace).map { String($0).plain }
  }

  /// What `config setup` says, by name. Asks no daemon.
  ///
  /// Equivalent to: `ipsec addconn --config FILE --configsetup`.
  public func settings(in config: String) throws(PlutoError) -> [String: String] {
    var found: [String: String] = [:]
    for line in String(decoding: try run("addconn", ["--config", config, "--configsetup"], limit: 1 << 20), as: UTF8.self).split(separator: "\n") {
      guard line.hasPrefix("export "), let equals = line.firstIndex(of: "="), line.hasSuffix("'") else { continue }
      let value = line[line.index(after: equals)...].dropLast()
      guard value.first == "'" else { continue }
      found[String(line[line.index(line.startIndex, offsetBy: 7)..<equals])] = String(value.dropFirst()).plain
    }
    return found
  }

  private func whack(_ questions: String..., limit: Int) throws(PlutoError) -> [PlutoLine] {
    PlutoLine.all(in: try run("whack", ["--ctlsocket", socket] + questions, limit: limit))
  }

  /// What whack exits with when there is no pluto at the socket.
  private static let noDaemon: Int32 = 33

  private func run(_ program: String, _ arguments: [String], limit: Int) throws(PlutoError) -> [UInt8] {
    let result: CommandResult
    do throws(SystemError) { result = try host.processes.run(Command("\(folder)/\(program)", arguments, outputLimit: limit), before: deadline) } catch {
      throw PlutoError(kind: error.errno == .timedOut ? .unanswered : .system(error.errno), reason: "\(error)")
    }
    switch result.ending {
    case .exited(0):
      guard result.output.count < limit else { throw .malformed("it has more than \(limit) bytes") }
      return result.output
    case .exited(Self.noDaemon) where program == "whack": throw PlutoError(kind: .unread, reason: "pluto does not listen on \(socket)")
    case .exited(let status):
      throw PlutoError(kind: .refused(Int(status)), reason: Self.complaint(in: result.error + [UInt8(ascii: "\n")] + result.output) ?? "\(program) exited with \(status)")
    case .signalled(let signal): throw PlutoError(kind: .malformed, reason: "\(program) ended by signal \(signal)")
    case .timedOut: throw PlutoError(kind: .unanswered, reason: "no answer in time on \(socket)")
    }
  }

  /// The last line that is not empty, without the name of the program that said it, or the number whack has in front.
  static func complaint(in output: [UInt8]) -> String? {
    guard let last = output.split(separator: UInt8(ascii: "\n")).last(where: { !$0.allSatisfy { $0 == UInt8(ascii: " ") } }) else { return nil }
    var text = String(decoding: last.prefix(300), as: UTF8.self).plain[...]
    if let place = text.range(of: "': "), text.hasPrefix("cannot load config '") { text = text[place..<text.endIndex].dropFirst(3) }
    if text.prefix(3).allSatisfy(\.isNumber), text.dropFirst(3).first == " " { text = text.dropFirst(4) }
    return String(text)
  }
}

extension Substring {
  /// Where `text` begins first; without Foundation.
  fileprivate func range(of text: String) -> Index? {
    var place = startIndex
    while place < endIndex {
      if self[place...].hasPrefix(text) { return place }
      place = index(after: place)
    }
    return nil
  }
}
