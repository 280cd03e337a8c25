import Host
import OCF

/// A gateway that serves: `moon:203.0.113.11`, with its weight `moon:203.0.113.11=2`.
struct Server: ParameterValue, Hashable, CustomStringConvertible {
  var node: String
  var address: IPAddress
  var weight: UInt32
  static var contentType: ContentType { .string }

  init(parameter text: String) throws(Unreadable) {
    let expected = Unreadable("expected NODE:ADDRESS or NODE:ADDRESS=WEIGHT, with an IPv4 address and a weight from 1 to 65535")
    guard let colon = text.firstIndex(of: ":") else { throw expected }
    let parts = text[text.index(after: colon)...].split(separator: "=", omittingEmptySubsequences: false)
    let node = text[..<colon]
    guard (1...64).contains(node.utf8.count), node.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || "-_.".contains($0)) }),
      parts.count <= 2, let address = parts.first.flatMap({ IPAddress($0) }), !address.isIPv6
    else { throw expected }
    weight = 1
    if parts.count == 2 {
      guard parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = UInt32(parts[1]), (1...65_535).contains(number) else { throw expected }
      weight = number
    }
    self.node = String(node)
    self.address = address
  }
  var parameterText: String? { description }
  var description: String { weight == 1 ? "\(node):\(address)" : "\(node):\(address)=\(weight)" }
}

/// A kernel parameter that a director or a server must have.
struct Setting {
  var name: String
  var value: String
  /// Others that do as well.
  var alsoGood: [String] = []

  /// Values of several words are told with tabs.
  func isMet(by text: String) -> Bool { ([value] + alsoGood).contains(text.split(whereSeparator: \.isWhitespace).joined(separator: " ")) }

  /// The copy of the address on lo must not be told to neighbours: `conf.all` counts for every interface, and the greater of the two.
  static let neighbours = [
    Setting(name: "net.ipv4.conf.all.arp_ignore", value: "1", alsoGood: ["2"]), Setting(name: "net.ipv4.conf.all.arp_announce", value: "2"),
  ]
  /// A backup does not direct, so that two nodes never send a packet to and fro; the entries of a server that is taken away go at once;
  /// a backup hears of an entry with its first packets, and again every ten seconds (the kernel's own values leave idle sessions out).
  static let balancing = [
    Setting(name: "net.ipv4.vs.backup_only", value: "1"), Setting(name: "net.ipv4.vs.expire_nodest_conn", value: "1"),
    Setting(name: "net.ipv4.vs.sync_threshold", value: "3 0"), Setting(name: "net.ipv4.vs.sync_refresh_period", value: "10"),
    Setting(name: "net.ipv4.vs.sync_retries", value: "2"),
  ]
}
