import Host

/// A receiver of alerts: `http[s]://HOST[:PORT][/PATH]`. One POST, spoken by curl, in at most five seconds.
struct Webhook: Equatable {
  /// The address as it was given. It may be a secret: with most services whoever knows it may post.
  private var url: String
  private var isSecure: Bool
  var host: String
  var port: UInt16

  static let patience = Duration.seconds(5)

  enum Problem: Error, Equatable, CustomStringConvertible {
    /// The recipient cannot be posted to; says why.
    case unusable(String)
    case failed(String)

    var description: String {
      switch self {
      case .unusable(let why): "recipient: \(why)"
      case .failed(let why): why
      }
    }
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

  static let curl = "/usr/bin/curl"
  /// curl 7.88 refuses a longer line of its configuration (100 KiB).
  static let longestLine = 100_000

  /// What curl is to do, for its standard input: neither the address nor the alert is in its arguments, which everybody on the
  /// node can read. It follows no redirection and speaks what the address says; with TLS it believes only whom the system's
  /// authorities vouch for.
  func configuration(_ body: String, seconds: Double) -> String {
    """
    silent
    show-error
    globoff
    proto = "=\(isSecure ? "https" : "http")"
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

  static func fits(_ body: String) -> Bool { escaped(body).utf8.count <= longestLine }

  /// - Returns: what was answered. Any answer of the 200s is an arrival.
  /// - Throws: why it did not arrive.
  func post(_ body: String, on machine: Host) throws(Problem) -> String {
    let place = "posting to \(host) port \(port)"
    let deadline = machine.clock.now + Self.patience
    // The first argument keeps it from reading a file of somebody's.
    let command = Command(
      Self.curl, ["--disable", "--config", "-"], input: Array(configuration(body, seconds: 4.5).utf8), outputLimit: 4096)
    let result: CommandResult
    do throws(SystemError) {
      result = try machine.processes.run(command, before: deadline)
    } catch  where error.errno == .noSuchFile {
      throw .failed("\(place): \(Self.curl) is missing (package curl)")
    } catch { throw .failed("\(place): \(error)") }
    switch result.ending {
    case .exited(0):
      let answer = String(decoding: result.output, as: UTF8.self)
      guard let code = Int(answer), (200..<300).contains(code) else { throw .failed("\(place): it answered \(answer.prefix(3))") }
      return "\(host) port \(port) answered \(code)"
    case .exited(let status):
      let words = result.error.prefix { $0 != UInt8(ascii: "\n") }.prefix(200).map { $0 < 32 || $0 == 127 ? 32 : $0 }
      throw .failed("\(place): \(words.isEmpty ? "curl ended with \(status)" : String(decoding: words, as: UTF8.self))")
    case .signalled(let number): throw .failed("\(place): curl died of signal \(number)")
    case .timedOut: throw .failed("\(place): curl did not end in time")
    }
  }
}
