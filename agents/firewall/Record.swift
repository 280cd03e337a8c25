import Daemon
import Host
import OCF

/// What the kernel had right after the rules were loaded, for comparing with what it has now. Lies under `/run`, so that it
/// does not outlive a reboot, and says which load it is about: the table itself says the same.
struct Record: Equatable {
  let table: String
  let comment: String
  /// A line for each part, in a fixed order: what and where it is, a tab, its content in hexadecimal digits.
  let parts: [UInt8]

  private static let title = "vpnha-firewall 1"

  init(_ table: FilterTable, _ contents: FilterContents) {
    self.table = table.name
    comment = table.comment
    parts = Self.lines(of: contents)
  }

  /// Nil for anything that is not whole.
  init?(_ bytes: [UInt8]) {
    let lines = bytes.split(separator: UInt8(ascii: "\n"), maxSplits: 3, omittingEmptySubsequences: false)
    guard lines.count == 4, lines[0].elementsEqual(Self.title.utf8), lines[3].last == UInt8(ascii: "\n") || lines[3].isEmpty else {
      return nil
    }
    table = String(decoding: lines[1], as: UTF8.self)
    comment = String(decoding: lines[2], as: UTF8.self)
    parts = Array(lines[3])
  }

  private var bytes: [UInt8] { Array("\(Self.title)\n\(table)\n\(comment)\n".utf8) + parts }

  private static let kind = "ruleset"
  static func path(_ call: Call) -> String { call.request.recordPath(kind) }

  /// Nil when there is none, or none that is whole.
  static func read(_ call: Call) throws(OCFError) -> Record? {
    try attempt("reading what was loaded", try call.host.files.read(path(call), limit: 4 << 20)).flatMap { Record($0) }
  }

  /// The other resource whose record names a table of this name, where none of ours does.
  static func owner(of table: String, _ call: Call) -> String? {
    do throws(SystemError) {
      guard try call.host.files.status(path(call)) == nil else { return nil }
      return try call.host.files.records(of: call.request.type, as: kind, limit: 4 << 20).first { Record($0.bytes)?.table == table }?.instance
    } catch {
      call.log.debug("looking for whose table inet \(table) is: \(error)")
      return nil
    }
  }

  func write(_ call: Call) throws(OCFError) {
    try attempt("keeping what was loaded", try call.keep(bytes, as: Self.kind))
  }

  static func remove(_ call: Call) throws(OCFError) {
    try attempt("forgetting what was loaded") { () throws(SystemError) in
      try call.host.files.remove(path(call))
      try call.host.files.remove(DaemonRole.path(for: call.request, "conflicts"))
      try call.host.files.remove(Refusal.path(call))
      try call.host.files.remove(GuardedPort.path(call))
    }
  }

  private static func lines(of contents: FilterContents) -> [UInt8] {
    var lines: [UInt8] = []
    func add(_ place: String, _ content: [UInt8]) {
      lines += place.utf8.map { $0 < 0x20 ? UInt8(ascii: "?") : $0 }
      lines.append(UInt8(ascii: "\t"))
      for byte in content {
        lines.append(hexDigits[Int(byte >> 4)])
        lines.append(hexDigits[Int(byte & 15)])
      }
      lines.append(UInt8(ascii: "\n"))
    }
    for chain in contents.chains {
      add("chain \(chain.name)", chain.properties)
      for rule in chain.rules { add("chain \(chain.name): rule", rule) }
    }
    for set in contents.sets {
      add("set \(set.name)", set.properties)
      for element in set.elements { add("set \(set.name): element", element) }
    }
    for object in contents.objects { add("object \(object.name)", object.properties) }
    return lines
  }

  private static let hexDigits = Array("0123456789abcdef".utf8)
}

// MARK: - Differences

extension Firewall {
  /// What the kernel has that was not loaded, or has not that was: the first of it. Nil: all is as it was.
  func difference(_ found: FilterTable, _ call: Call) throws(OCFError) -> String? {
    if found.isDormant { return "table inet \(table) is dormant: no packet is looked at" }
    guard let record = try Record.read(call), record.table == found.name, record.comment == found.comment else {
      return "table inet \(table) was loaded by a start that did not end, or by another program"
    }
    let now = Record(found, try contents(of: found, call))
    return now.parts == record.parts ? nil : Self.firstDifference(record.parts, now.parts)
  }

  func contents(of found: FilterTable, _ call: Call) throws(OCFError) -> FilterContents {
    try attempt("looking", try call.host.packetFilter.contents(of: found))
  }

  /// Both are lines of `Record`.
  static func firstDifference(_ loaded: [UInt8], _ now: [UInt8]) -> String? {
    let (loaded, now) = (places(loaded), places(now))
    for (place, contents) in loaded.inOrder where now.byPlace[place] != contents {
      return difference(at: place, loaded: contents, now: now.byPlace[place] ?? [])
    }
    if let place = now.inOrder.first(where: { loaded.byPlace[$0.place] == nil })?.place {
      return "\(place.hasSuffix(": rule") || place.hasSuffix(": element") ? "\(place) 1" : place) was added"
    }
    return loaded.inOrder.map(\.place) == now.inOrder.map(\.place) ? nil : "the chains are in another order"
  }

  private static func difference(at place: String, loaded: [ArraySlice<UInt8>], now: [ArraySlice<UInt8>]) -> String {
    let first = zip(loaded, now).enumerated().first { $1.0 != $1.1 }?.offset ?? min(loaded.count, now.count)
    // Elements have no order, and so no number.
    let isElement = place.hasSuffix(": element")
    let isNumbered = place.hasSuffix(": rule")
    let what = isElement ? "\(place.dropLast(": element".count)): an element" : isNumbered ? "\(place) \(first + 1)" : place
    if now.count < loaded.count { return "\(what) is missing" }
    if now.count > loaded.count { return "\(what) was added" }
    return "\(what) is not what was loaded"
  }

  private static func places(
    _ lines: [UInt8]
  ) -> (inOrder: [(place: String, contents: [ArraySlice<UInt8>])], byPlace: [String: [ArraySlice<UInt8>]]) {
    var order: [String] = []
    var byPlace: [String: [ArraySlice<UInt8>]] = [:]
    for line in lines.split(separator: UInt8(ascii: "\n")) {
      let end = line.firstIndex(of: UInt8(ascii: "\t")) ?? line.endIndex
      let place = String(decoding: line[..<end], as: UTF8.self)
      if byPlace[place] == nil { order.append(place) }
      byPlace[place, default: []].append(line[end...])
    }
    return (order.map { ($0, byPlace[$0] ?? []) }, byPlace)
  }
}
