import Host

/// A receiver of alerts: `http://HOST[:PORT][/PATH]`. One POST of a JSON object, over one connection, in at most five seconds.
struct Webhook: Equatable {
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
    let scheme = "http://"
    guard url.hasPrefix(scheme) else {
      throw .unusable(url.hasPrefix("https://") ? "https is not spoken here: post to a relay on 127.0.0.1 that does" : "no http:// address")
    }
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
    let port = behind.isEmpty ? 80 : behind.hasPrefix(":") ? UInt16(behind.dropFirst()) : nil
    guard let port, port > 0 else { throw .unusable("no port from 1 to 65535") }
    guard isLiteral ? IPAddress(String(name))?.isIPv6 == true && authority.contains("]") : Self.isHostName(name) else {
      throw .unusable("no host name or address")
    }
    host = String(name)
    self.port = port
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
  func post(_ body: String, on machine: Host) throws(Problem) {
    let deadline = machine.clock.now + Self.patience
    do throws(SystemError) {
      let addresses = if let literal = IPAddress(host) { [literal] } else { try machine.sockets.addresses(of: host) }
      guard let address = addresses.first else { throw SystemError("looking for \(host)", .noSuchDeviceOrAddress) }
      let stream = try machine.sockets.connect(toTCP: address, port: port, before: deadline)
      defer { stream.close() }
      try stream.write(request(body), before: deadline)
      let code = try status(from: stream, deadline)
      guard (200..<300).contains(code) else {
        throw SystemError("posting to \(host) port \(port)", .protocolError, detail: "it answered \(code)")
      }
    } catch { throw .failed(error.description) }
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
