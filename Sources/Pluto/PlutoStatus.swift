import Host

/// A line of whack's: a number of three digits, a space, a text (libreswan 4.10, `log.c`: `RC_COMMENT` is 000).
public struct PlutoLine: Equatable, Sendable {
  public var code: Int
  public var text: String

  /// Nil for what is no such line.
  init?(_ bytes: ArraySlice<UInt8>) {
    let digits = bytes.prefix(3)
    guard bytes.count > 3, digits.allSatisfy({ (0x30...0x39).contains($0) }), bytes[bytes.startIndex + 3] == UInt8(ascii: " ") else { return nil }
    code = digits.reduce(0) { $0 * 10 + Int($1 - 0x30) }
    text = String(decoding: bytes.dropFirst(4).prefix(Self.longest), as: UTF8.self).plain
  }

  /// Bytes of a line that are kept.
  static let longest = 4096

  public static func all(in bytes: [UInt8]) -> [PlutoLine] { bytes.split(separator: UInt8(ascii: "\n")).compactMap { PlutoLine($0) } }
}

/// How many SAs pluto has.
public struct PlutoStates: Equatable, Sendable {
  public var ike = 0
  public var halfOpen = 0
  /// IKE SAs that have come to their end: of an authenticated peer, or an anonymous one.
  public var established = 0
  public var ipsec = 0
  /// False while so many are half-open that it takes no new ones (`ddos-max-halfopen`).
  public var acceptsNew = true

  init(_ lines: [PlutoLine]) throws(PlutoError) {
    var found = 0
    for line in lines {
      if line.text.hasPrefix("IKE SAs: ") {
        let numbers = Self.numbers(in: line.text)
        guard let total = numbers["total"] else { continue }
        ike = total
        halfOpen = numbers["half-open"] ?? 0
        established = (numbers["authenticated"] ?? 0) + (numbers["anonymous"] ?? 0)
        found += 1
      } else if line.text.hasPrefix("IPsec SAs: ") {
        guard let total = Self.numbers(in: line.text)["total"] else { continue }
        ipsec = total
        found += 1
      } else if line.text.hasPrefix("State Information: ") {
        acceptsNew = line.text.hasSuffix(", Accepting new IKE connections")
      }
    }
    guard found == 2 else { throw .malformed("it does not say how many SAs there are") }
  }

  /// `total(1), half-open(0)`
  private static func numbers(in text: String) -> [String: Int] {
    var found: [String: Int] = [:]
    for word in text.split(separator: " ") {
      guard let open = word.firstIndex(of: "("), let close = word.firstIndex(of: ")"), open < close, let number = Int(word[word.index(after: open)..<close]), number >= 0 else { continue }
      found[String(word[..<open])] = number
    }
    return found
  }
}

/// What pluto says of itself: where it listens and which connections it has.
public struct PlutoStatus: Equatable, Sendable {
  public struct Interface: Hashable, Sendable {
    public var name: String
    public var address: IPAddress
    public var port: UInt16
  }

  /// A connection of the configuration; not what became of it for one client.
  public struct Connection: Equatable, Sendable {
    /// With several subnets, `NAME/1x0` and so on.
    public var name: String
    /// This node's end, where it is an address.
    public var local: IPAddress?
    public var isOriented = false
    /// Whether we prove who we are by a pre-shared key.
    public var usesSharedKey = false
    /// Whether we prove it by a signature.
    public var signs = false
    /// What our certificate is called in the NSS database; nil: we have none.
    public var certificate: String?
    /// Our identity, as pluto writes it.
    public var identity: String?

    public func isNamed(_ wanted: String) -> Bool { name == wanted || name.hasPrefix("\(wanted)/") }
  }

  public var interfaces: [Interface] = []
  public var connections: [Connection] = []
  /// `accept`, `reject` or `drop`; the last is the default, and then no connection with `ikev2=no` is loaded.
  public var ikev1Policy: String?
  public var version: String?

  public func listens(on address: IPAddress, port: UInt16 = 500) -> Bool { interfaces.contains { $0.address == address && $0.port == port } }

  init(_ lines: [PlutoLine]) {
    for line in lines where line.code == 0 {
      if line.text.hasPrefix("interface ") {
        if let interface = Self.interface(line.text) { interfaces.append(interface) }
      } else if line.text.hasPrefix("\"") {
        take(line.text)
      } else {
        for word in line.text.split(separator: " ") {
          func value(_ name: String) -> String? { word.hasPrefix("\(name)=") ? String(word.dropFirst(name.count + 1).prefix { $0 != "," }) : nil }
          if let policy = value("ikev1-policy") { ikev1Policy = policy }
          if let number = value("pluto_version") { version = number }
        }
      }
    }
  }

  /// `interface v0 UDP 192.0.2.50:500`
  private static func interface(_ text: String) -> Interface? {
    let words = text.split(separator: " ")
    guard words.count == 4, words[2] == "UDP", let colon = words[3].lastIndex(of: ":"), let port = UInt16(words[3][words[3].index(after: colon)...]) else { return nil }
    var host = words[3][..<colon]
    if host.first == "[", host.last == "]" { host = host.dropFirst().dropLast() }
    return IPAddress(host).map { Interface(name: String(words[1]), address: $0, port: port) }
  }

  /// `"NAME": …`; what goes on as `"NAME"[1]` is about one client.
  private mutating func take(_ text: String) {
    guard let end = text.dropFirst().firstIndex(of: "\"") else { return }
    let name = String(text[text.index(after: text.startIndex)..<end])
    let rest = text[text.index(after: end)...]
    guard rest.hasPrefix(": ") else { return }
    let said = rest.dropFirst(2).drop { $0 == " " }
    if connections.last?.name != name {
      connections.append(Connection(name: name, local: Self.local(said)))
      return
    }
    let last = connections.count - 1
    let parts = said.split(whereSeparator: { ";,".contains($0) }).map { $0.drop { $0 == " " } }
    if said.hasPrefix("oriented;") || said.hasPrefix("unoriented;") {
      connections[last].isOriented = said.hasPrefix("oriented;")
      let certificate = said.split(separator: ";").map { $0.drop { $0 == " " } }.first { $0.hasPrefix("mycert=") }
      connections[last].certificate = certificate.map { PlutoCertificate.plainName($0.dropFirst(7)) }
    } else if said.hasPrefix("our auth:") {
      connections[last].usesSharedKey = parts.first == "our auth:secret"
      connections[last].signs = ["our auth:rsasig", "our auth:ecdsa"].contains { parts.first?.hasPrefix($0) == true }
    } else if let identity = parts.first(where: { $0.hasPrefix("our id=") }) {
      connections[last].identity = String(identity.dropFirst(7))
    }
  }

  /// `10.1.0.0/24===192.0.2.1<gw>[@gw]---192.0.2.9...%any; unrouted`
  private static func local(_ said: Substring) -> IPAddress? {
    // Of what stands in front of the three dots.
    var ours = said
    var place = said.startIndex
    while place < said.endIndex {
      if said[place...].hasPrefix("...") {
        ours = said[..<place]
        break
      }
      place = said.index(after: place)
    }
    place = ours.startIndex
    while place < ours.endIndex {
      if ours[place...].hasPrefix("===") {
        ours = ours[ours.index(place, offsetBy: 3)...]
        break
      }
      place = ours.index(after: place)
    }
    return IPAddress(ours.prefix { !"<[-;".contains($0) })
  }
}

/// A secret that pluto has read, without the secret.
public struct PlutoSecret: Equatable, Sendable {
  /// `PSK`, `XAUTH`, `RSA` …
  public var kind: String
  /// Whose it is; at most two are said.
  public var owners: [String]
  /// Whether it has more owners than are said.
  public var hasMore: Bool

  /// `    2: PSK %any @gw.example`
  static func all(in lines: [PlutoLine]) -> [PlutoSecret] {
    lines.compactMap { line in
      let words = line.text.split(separator: " ").map(String.init)
      guard line.code == 0, words.count >= 2, words[0].hasSuffix(":"), Int(words[0].dropLast()) != nil else { return nil }
      let owners = words.dropFirst(2).filter { $0 != "(none)" && $0 != "more" }
      return PlutoSecret(kind: words[1], owners: owners, hasMore: words.last == "more")
    }
  }

  /// Whether it may be the key between that connection's end and some client: it is everybody's, ours, or that of a single peer.
  public func mayServe(_ connection: PlutoStatus.Connection) -> Bool {
    guard kind == "PSK" else { return false }
    if owners.count < 2 || hasMore { return true }
    return owners.contains { owner in
      owner == "%any" || owner == "%any6" || owner == connection.identity || (IPAddress(owner).map { $0.isUnspecified || $0 == connection.local } ?? false)
    }
  }
}
