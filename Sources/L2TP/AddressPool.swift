import Host

/// The IPv4 addresses that a server gives to clients out of its own memory.
///
/// Written as `10.9.0.10-10.9.0.99,10.9.1.1`: in ascending order, no two ranges touching.
public struct AddressPool: Hashable, Sendable, CustomStringConvertible {
  public typealias Range = ClosedRange<UInt32>
  public private(set) var ranges: [Range] = []

  public init() {}

  /// What is left when every range is given or taken back in turn. Where ranges overlap the last one counts.
  ///
  /// From the last one to the first each takes the pieces that none behind it has: a file may name tens of thousands.
  public init(_ settings: [(range: Range, isGiven: Bool)]) {
    let cuts = Set(settings.flatMap { [UInt64($0.range.lowerBound), UInt64($0.range.upperBound) + 1] }).sorted()
    let places = Dictionary(uniqueKeysWithValues: zip(cuts, cuts.indices))
    var isGiven = [Bool](repeating: false, count: cuts.count)
    /// Where the next piece that nobody has may be, from each place on.
    var open = Array(cuts.indices)
    func next(_ place: Int) -> Int {
      var end = place
      while open[end] != end { end = open[end] }
      var at = place
      while at != end {
        let after = open[at]
        open[at] = end
        at = after
      }
      return end
    }
    for (range, given) in settings.reversed() {
      guard let first = places[UInt64(range.lowerBound)], let end = places[UInt64(range.upperBound) + 1] else { continue }
      var place = next(first)
      while place < end {
        isGiven[place] = given
        open[place] = place + 1
        place = next(place)
      }
    }
    for place in cuts.indices where isGiven[place] {
      let range = UInt32(cuts[place])...UInt32(cuts[place + 1] - 1)
      if let last = ranges.last, UInt64(last.upperBound) + 1 == cuts[place] {
        ranges[ranges.count - 1] = last.lowerBound...range.upperBound
      } else {
        ranges.append(range)
      }
    }
  }

  /// Reads what `description` wrote; nil for anything else, and for more than `limit` bytes.
  public init?(_ text: String) {
    guard text.utf8.count <= Self.limit else { return nil }
    var found: [Range] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) where !text.isEmpty {
      guard let range = Self.range(String(part)) else { return nil }
      found.append(range)
    }
    self.init(found.map { ($0, true) })
  }
  /// What the cluster's attributes carry without trouble.
  public static let limit = 4096

  public var isEmpty: Bool { ranges.isEmpty }
  public var description: String { ranges.map(Self.text).joined(separator: ",") }

  public func contains(_ address: IPAddress) -> Bool {
    guard let number = Self.number(address) else { return false }
    // The last range that begins at or below it.
    var (low, high) = (0, ranges.count)
    while low < high {
      let middle = (low + high) / 2
      if ranges[middle].lowerBound <= number { low = middle + 1 } else { high = middle }
    }
    return low > 0 && ranges[low - 1].contains(number)
  }

  /// The first addresses that `other` gives out, too; nil when there are none.
  public func overlap(with other: AddressPool) -> Range? {
    var (mine, theirs) = (ranges[...], other.ranges[...])
    while let a = mine.first, let b = theirs.first {
      if a.overlaps(b) { return a.clamped(to: b) }
      if a.upperBound < b.upperBound { mine.removeFirst() } else { theirs.removeFirst() }
    }
    return nil
  }

  /// Both ends of a range, or the one address that it is.
  public static func text(_ range: Range) -> String {
    func quad(_ number: UInt32) -> String { [24, 16, 8, 0].map { String(number >> $0 & 0xff) }.joined(separator: ".") }
    return range.count == 1 ? quad(range.lowerBound) : "\(quad(range.lowerBound))-\(quad(range.upperBound))"
  }

  /// Reads a range as xl2tpd does: `10.9.0.10 - 10.9.0.99`, `10.9.0.10-99` (the end has the start's missing fields), or one
  /// address. Nil for anything else, a host's name among it, which only the resolver can tell the address of.
  public static func range(_ text: String) -> Range? {
    let ends = ends(text)
    guard let low = number(ends[0]), let high = number(ends[ends.count - 1]), low <= high else { return nil }
    return low...high
  }

  /// The one or two ends of a range, whatever they are; the last one with the first one's fields that it lacks.
  static func ends(_ text: String) -> [String] {
    let parts = text.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map(trimmed)
    guard parts.count == 2, !parts[1].isEmpty, parts[1].utf8.allSatisfy({ $0 < 0x3a }) else { return parts }
    let fields = parts[1].split(separator: ".", omittingEmptySubsequences: false)
    guard fields.count < 4 else { return parts }
    return [parts[0], (parts[0].split(separator: ".").dropLast(fields.count) + fields).joined(separator: ".")]
  }

  private static func trimmed(_ text: Substring) -> String {
    String(text.drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed())
  }

  /// Digits and dots as the C library reads them (`inet_aton`): `10.5` is 10.0.0.5, and a field that begins with 0 is octal.
  public static func number(_ text: String) -> UInt32? {
    let fields = text.split(separator: ".", omittingEmptySubsequences: false)
    guard fields.count <= 4 else { return nil }
    var number: UInt64 = 0
    for (index, field) in fields.enumerated() {
      guard let first = field.first, first.isASCII, first.isNumber, let value = UInt64(field, radix: field.count > 1 && first == "0" ? 8 : 10) else { return nil }
      let bits = index < fields.count - 1 ? 8 : 8 * (5 - fields.count)
      guard value >> bits == 0 else { return nil }
      number = number << bits | value
    }
    return UInt32(number)
  }
  private static func number(_ address: IPAddress) -> UInt32? {
    guard !address.isIPv6 else { return nil }
    return address.bytes.reduce(0) { $0 << 8 | UInt32($1) }
  }
}

extension XL2TPDConfiguration {
  /// What one `lns` section gives to its clients.
  public struct Server: Hashable, Sendable {
    /// Its name on the control pipe.
    public var name: String
    /// The gateway's own end, nil when it is not set, or by a name.
    public var local: IPAddress?
    /// Every `ip range`, less what a `no ip range` takes back.
    public var pool: AddressPool
    /// Whether it gives out `pool`; else RADIUS or the secrets file decide (`assign ip = no`).
    public var assigns: Bool
    /// Whether pppd is told to have the client name itself, whatever its own options say.
    public var asksForUser: Bool

    init(_ section: Section) {
      name = section.name
      local = section["local ip"].flatMap { IPAddress($0.value) }
      asksForUser = ["require authentication", "require chap", "require pap"].contains { word in
        section[word].map { XL2TPDConfiguration.isYes($0.value) } ?? false
      }
      assigns = section["assign ip"].map { XL2TPDConfiguration.isYes($0.value) } ?? true
      pool = AddressPool(
        section.settings.compactMap { setting in
          guard setting.word == "ip range" || setting.word == "no ip range" else { return nil }
          return AddressPool.range(setting.value).map { ($0, setting.word == "ip range") }
        })
    }

    /// Whether a session of this server may have these two ends, nil being one that pppd is not given.
    public func gives(local: IPAddress?, remote: IPAddress?) -> Bool {
      if let own = self.local, own != local { return false }
      guard assigns else { return remote == nil }
      guard let remote else { return false }
      return pool.isEmpty || pool.contains(remote)
    }
  }

  public var servers: [Server] { sections.filter { $0.kind == .lns }.map(Server.init) }

  /// What the daemon gives out by itself.
  public var pool: AddressPool { AddressPool(servers.filter(\.assigns).flatMap(\.pool.ranges).map { ($0, true) }) }
}
