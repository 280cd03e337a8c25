import Host

/// The IPv4 addresses that a server gives to clients out of its own memory.
///
/// Written as `10.9.0.10-10.9.0.99,10.9.1.1`: in ascending order, no two ranges touching.
public struct AddressPool: Hashable, Sendable, CustomStringConvertible {
  public typealias Range = ClosedRange<UInt32>
  public private(set) var ranges: [Range] = []

  public init() {}

  /// Reads what `description` wrote; nil for anything else, and for more than `limit` bytes.
  public init?(_ text: String) {
    guard text.utf8.count <= Self.limit else { return nil }
    for part in text.split(separator: ",", omittingEmptySubsequences: false) where !text.isEmpty {
      guard let range = Self.range(String(part)) else { return nil }
      insert(range)
    }
  }
  /// What the cluster's attributes carry without trouble.
  public static let limit = 4096

  public var isEmpty: Bool { ranges.isEmpty }
  public var description: String { ranges.map(Self.text).joined(separator: ",") }

  public mutating func insert(_ range: Range) {
    // One wider on both sides: what touches becomes one.
    let wide = (range.lowerBound == 0 ? 0 : range.lowerBound - 1)...(range.upperBound == .max ? .max : range.upperBound + 1)
    let touching = ranges.filter { $0.overlaps(wide) }
    let low = touching.reduce(range.lowerBound) { min($0, $1.lowerBound) }
    let high = touching.reduce(range.upperBound) { max($0, $1.upperBound) }
    ranges.removeAll { $0.overlaps(wide) }
    ranges.insert(low...high, at: ranges.firstIndex { $0.lowerBound > high } ?? ranges.count)
  }

  public mutating func remove(_ range: Range) {
    ranges = ranges.flatMap { part -> [Range] in
      guard part.overlaps(range) else { return [part] }
      var left: [Range] = []
      if part.lowerBound < range.lowerBound { left.append(part.lowerBound...(range.lowerBound - 1)) }
      if part.upperBound > range.upperBound { left.append((range.upperBound + 1)...part.upperBound) }
      return left
    }
  }

  /// The first addresses that `other` gives out, too; nil when there are none.
  public func overlap(with other: AddressPool) -> Range? {
    for range in ranges {
      for theirs in other.ranges where theirs.overlaps(range) { return range.clamped(to: theirs) }
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
  static func range(_ text: String) -> Range? {
    let parts = text.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map(trimmed)
    guard let first = parts.first, let low = number(first) else { return nil }
    guard parts.count == 2 else { return low...low }
    let fields = parts[1].split(separator: ".", omittingEmptySubsequences: false)
    guard fields.count <= 4 else { return nil }
    let end = (first.split(separator: ".").dropLast(fields.count) + fields).joined(separator: ".")
    guard let high = number(end), low <= high else { return nil }
    return low...high
  }

  private static func trimmed(_ text: Substring) -> String {
    String(text.drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed())
  }

  private static func number(_ text: String) -> UInt32? {
    guard let address = IPAddress(text), !address.isIPv6 else { return nil }
    return address.bytes.reduce(0) { $0 << 8 | UInt32($1) }
  }
}

extension XL2TPDConfiguration {
  /// What the daemon gives out by itself: every `ip range` of a server section, less what a `no ip range` behind it takes
  /// back. Empty where RADIUS or the secrets file decide (`assign ip = no`).
  public var pool: AddressPool {
    var pool = AddressPool()
    for section in sections where section.kind == .lns {
      if let assigns = section["assign ip"], !Self.isYes(assigns.value) { continue }
      var own = AddressPool()
      for setting in section.settings {
        guard let range = AddressPool.range(setting.value) else { continue }
        if setting.word == "ip range" { own.insert(range) }
        if setting.word == "no ip range" { own.remove(range) }
      }
      for range in own.ranges { pool.insert(range) }
    }
    return pool
  }
}
