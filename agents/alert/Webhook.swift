import Host

/// A receiver of alerts: `http[s]://HOST[:PORT][/PATH]`. One POST of a JSON object, over one connection, in at most five seconds.
struct Webhook: Equatable {
  /// The address as it was given. It may be a secret: with most services whoever knows it may post.
  private var url: String
  /// TLS is spoken by curl.
  private(set) var isSecure: Bool
  var host: String
  var port: UInt16
  var path: String

  static let patience = Duration.seconds(5)
  /// An answer's head; whatever else it says is not read.
  static let answerLimit = 8192

  enum Problem: Error, Equatable {
    /// The recipient is no address that can be posted to; says why.
    case unusable(String)
    case failed(String)
  }

  init(_ url: String) throws(Problem) {
    isSecure = url.hasPrefix("https://")
    let scheme = isSecure ? "https://" : "http://"
    guard url.hasPrefix(scheme) else { throw .unusable("no http:// or https:// address") }
    guard url.utf8.count <= 2048, url.utf8.allSatisfy({ $0 > 32 && $0 < 127 && $0 != UInt8(ascii: "#") && $0 != UInt8(ascii: "@") }) else {
      throw .unusable("an address has no spaces, controls, users or fragments, and at most 2048 characters")
    }
    let rest = url.dropFirst(scheme.count)
    let authority = rest.prefix { $0 != "/" && $0 != "?" }
    let tail = rest.dropFirst(authority.count)
    path = tail.hasPrefix("/") ? String(tail) : "/" + tail
    let isLiteral = authority.hasPrefix("[")
    let name = isLiteral ? authority.dropFirst().prefix { $0 != "]" } : authority.prefix { $0 != ":" }
    let behind = authority.dropFirst(name.count + (isLiteral ? 2 : 0))
    let port = behind.isEmpty ? (isSecure ? 443 : 80) : behind.hasPrefix(":") ? UInt16(behind.dropFirst()) : nil
    guard let port, port > 0 else { throw .unusable("no port from 1 to 65535") }
    guard isLiteral ? IPAddress(String(name))?.isIPv6 == true && authority.contains("]") : Self.isHostName(name) else {
      throw .unusable("no host name or address")
    }
    host = String(name)
    self.port = port
    self.url = url
  }

  private static func isHostName(_ text: Substring) -> Bool {
    (1...253).contains(text.utf8.count)
      && text.utf8.allSatisfy { $0 >= 0x30 && $0 <= 0x39 || $0 >= 0x41 && $0 <= 0x5a || $0 >= 0x61 && $0 <= 0x7a || ".-_".utf8.contains($0) }
  }

  func request(_ body: String) -> [UInt8] {
    let name = host.contains(":") ? "[\(host)]" : host
    let lines = [
      "POST \(path) HTTP/1.1", "Host: \(name)\(port == 80 ? "" : ":\(port)")", "User-Agent: vpnha-alert", "Accept: */*",
      "Content-Type: application/json", "Content-Length: \(body.utf8.count)", "Connection: close", "", body,
    ]
    return Array(lines.joined(separator: "\r\n").utf8)
  }

  /// - Throws: why it did not arrive. Any answer of the 200s is an arrival.
  func post(_ alert: Alert, on machine: Host) throws(Problem) {
    if isSecure { return try postSecurely(alert, on: machine) }
    let body = alert.json
    let deadline = machine.clock.now + Self.patience
    do throws(SystemError) {
      let addresses = if let literal = IPAddress(host) { [literal] } else { try machine.sockets.addresses(of: host) }
      let stream = try connect(to: addresses, on: machine, before: deadline)
      defer { stream.close() }
      try stream.write(request(body), before: deadline)
      let code = try status(from: stream, deadline)
      guard isTaken(code) else {
        throw SystemError("posting to \(host) port \(port)", .protocolError, detail: "it answered \(code)")
      }
    } catch { throw .failed(error.description) }
  }

  /// To the first of them that answers: a name often has an IPv6 address that leads nowhere, and that comes first. What is left of
  /// the time is shared by those that are left.
  private func connect(
    to addresses: [IPAddress], on machine: Host, before deadline: Instant
  ) throws(SystemError) -> any ByteStream {
    var problem = SystemError("looking for \(host)", .noSuchDeviceOrAddress)
    for (number, address) in addresses.prefix(8).enumerated() {
      let now = machine.clock.now
      let share = (deadline - now) / (min(addresses.count, 8) - number + 1)
      do throws(SystemError) {
        return try machine.sockets.connect(toTCP: address, port: port, before: addresses.count == 1 ? deadline : now + share)
      } catch { problem = error }
    }
    throw problem
  }

  func isTaken(_ code: Int) -> Bool { (200..<300).contains(code) }

  // MARK: TLS

  static let curl = "/usr/bin/curl"
  /// curl 7.88 refuses a longer line of its configuration (100 KiB).
  static let longestLine = 100_000

  /// What curl is to do, for its standard input: neither the address nor the alert is in its arguments, which everybody on the
  /// node can read. It follows no redirection, speaks nothing but TLS and believes only whom the system's authorities vouch for.
  func configuration(_ body: String, seconds: Double) -> String {
    """
    silent
    show-error
    globoff
    proto = "=https"
    noproxy = "*"
    max-time = \(seconds)
    output = "/dev/null"
    write-out = "%{http_code}"
    user-agent = "vpnha-alert"
    header = "Content-Type: application/json"
    header = "Expect:"
    url = "\(Self.escaped(url))"
    data-raw = "\(Self.escaped(body))"

    """
  }

  /// Between quotes curl knows `\\`, `\"` and letters; neither an address nor JSON has a line end in it.
  private static func escaped(_ text: String) -> String {
    var bytes: [UInt8] = []
    for byte in text.utf8 {
      if byte == UInt8(ascii: "\\") || byte == UInt8(ascii: "\"") { bytes.append(UInt8(ascii: "\\")) }
      bytes.append(byte)
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  private func postSecurely(_ alert: Alert, on machine: Host) throws(Problem) {
    let place = "posting to \(host) port \(port)"
    var body = alert.json
    if Self.escaped(body).utf8.count > Self.longestLine { body = alert.shortened(to: 256).json }
    let deadline = machine.clock.now + Self.patience
    // The first argument keeps it from reading a file of somebody's.
    let command = Command(
      Self.curl, ["--disable", "--config", "-"], input: Array(configuration(body, seconds: 4.5).utf8), outputLimit: 4096)
    let result: CommandResult
    do throws(SystemError) {
      result = try machine.processes.run(command, before: deadline)
    } catch where error.errno == .noSuchFile {
      throw .failed("\(place): \(Self.curl) is missing (package curl)")
    } catch { throw .failed("\(place): \(error)") }
    switch result.ending {
    case .exited(0):
      let answer = String(decoding: result.output, as: UTF8.self)
      guard let code = Int(answer), isTaken(code) else { throw .failed("\(place): it answered \(answer.prefix(3))") }
    case .exited(let status):
      let words = result.error.prefix { $0 != UInt8(ascii: "\n") }.prefix(200).map { $0 < 32 || $0 == 127 ? 32 : $0 }
      throw .failed("\(place): \(words.isEmpty ? "curl ended with \(status)" : String(decoding: words, as: UTF8.self))")
    case .signalled(let number): throw .failed("\(place): curl died of signal \(number)")
    case .timedOut: throw .failed("\(place): curl did not end in time")
    }
  }

  private func status(from stream: any ByteStream, _ deadline: Instant) throws(SystemError) -> Int {
    var head: [UInt8] = []
    while !head.contains(UInt8(ascii: "\n")), head.count < Self.answerLimit {
      let part = try stream.read(limit: 1024, before: deadline)
      if part.isEmpty { break }
      head += part
    }
    let words = String(decoding: head.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self).split(separator: " ")
    guard words.count >= 2, words[0].hasPrefix("HTTP/1."), words[1].utf8.count == 3, let code = Int(words[1].prefix(3)) else {
      throw SystemError("posting to \(host) port \(port)", .badMessage, detail: "the answer is not HTTP")
    }
    return code
  }
}
