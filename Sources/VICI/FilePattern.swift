import Host

/// A path with wildcards, as `glob(3)` reads it: `*`, `?`, `[a-z]`, `[!a-z]`, `\` before a literal. A wildcard matches
/// neither `/` nor a leading dot.
struct FilePattern {
  /// Components, relative to `/` or to the current directory.
  private let components: [[UInt8]]
  private let isAbsolute: Bool
  private static let limit = 4096
  /// Bytes of a component. A name has 255 at most (NAME_MAX), and each is compared with every entry of its directory.
  private static let longestComponent = 1024

  init(_ pattern: String) {
    isAbsolute = pattern.hasPrefix("/")
    components = pattern.utf8.split(separator: UInt8(ascii: "/")).map(Array.init)
  }

  /// Paths that exist, sorted. A directory that cannot be listed has no matches.
  func matches(in files: any Files) -> [String] {
    var paths = [isAbsolute ? "" : "."]
    for component in components {
      let wild = component.contains { [UInt8(ascii: "*"), UInt8(ascii: "?"), UInt8(ascii: "[")].contains($0) }
      guard wild else {
        let name = Self.literal(component)
        paths = paths.map { "\($0)/\(name)" }
        continue
      }
      guard component.count <= Self.longestComponent else { return [] }
      paths = paths.flatMap { directory in
        let names: [String]?
        do { names = try files.entries(of: directory.isEmpty ? "/" : directory) } catch { names = nil }
        return (names ?? []).filter { Self.matches(component, Array($0.utf8)) }.sorted().map { "\(directory)/\($0)" }
      }
      // A bound on patterns such as */*/*/*.
      guard paths.count <= Self.limit else { return Array(paths.prefix(Self.limit)) }
    }
    return paths
  }

  private static func literal(_ component: [UInt8]) -> String {
    var bytes: [UInt8] = []
    var escaped = false
    for byte in component {
      if byte == UInt8(ascii: "\\"), !escaped {
        escaped = true
        continue
      }
      bytes.append(byte)
      escaped = false
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Whether the whole of `name` matches; takes at most as many steps as both are long, multiplied.
  static func matches(_ pattern: [UInt8], _ name: [UInt8]) -> Bool {
    if name.first == UInt8(ascii: "."), pattern.first != UInt8(ascii: ".") { return false }
    var p = 0
    var n = 0
    /// Where to go on when a later part does not fit: behind the last `*`, with one more byte taken by it.
    var back: (pattern: Int, name: Int)?
    while n < name.count {
      if p < pattern.count, pattern[p] == UInt8(ascii: "*") {
        back = (p + 1, n)
        p += 1
        continue
      }
      if p < pattern.count, let width = element(pattern[p...], matches: name[n]) {
        p += width
        n += 1
        continue
      }
      guard let (after, from) = back else { return false }
      back = (after, from + 1)
      p = after
      n = from + 1
    }
    while p < pattern.count, pattern[p] == UInt8(ascii: "*") { p += 1 }
    return p == pattern.count
  }

  /// How many bytes of `pattern` the element at its start has, nil when it does not match `byte`.
  private static func element(_ pattern: ArraySlice<UInt8>, matches byte: UInt8) -> Int? {
    guard let first = pattern.first else { return nil }
    let rest = pattern.dropFirst()
    switch first {
    case UInt8(ascii: "?"): return 1
    case UInt8(ascii: "\\"):
      guard let literal = rest.first else { return byte == first ? 1 : nil }
      return byte == literal ? 2 : nil
    case UInt8(ascii: "["):
      var set = rest
      let negated = set.first == UInt8(ascii: "!") || set.first == UInt8(ascii: "^")
      if negated { set = set.dropFirst() }
      // A ] that comes first is a member; without a closing one the [ is itself.
      guard let end = set.dropFirst().firstIndex(of: UInt8(ascii: "]")) else { return byte == first ? 1 : nil }
      var members = set[..<end]
      var found = false
      while let low = members.popFirst() {
        if members.first == UInt8(ascii: "-"), members.count > 1 {
          members = members.dropFirst()
          guard let high = members.popFirst() else { break }
          if low <= byte, byte <= high { found = true }
        } else if low == byte {
          found = true
        }
      }
      return found != negated ? end - pattern.startIndex + 1 : nil
    default: return byte == first ? 1 : nil
    }
  }
}
