import Daemon
import Host
import OCF

/// The rules as the parameters ask for them, in nft's language (nft(8)). Complete: a file of more rules is part of them.
struct Definition: Equatable {
  let table: String
  /// Everything inside the table that is the same on every node; whole lines.
  let body: [UInt8]
  /// The lines of `script` that come from the file of more rules.
  let extra: Range<Int>?

  init(table: String, body: [UInt8], extra: Range<Int>? = nil) {
    self.table = table
    self.body = body
    self.extra = extra
  }

  /// Of the table's name and all its rules; 16 hexadecimal digits.
  var digest: String {
    var digest = ContentDigest()
    digest.add(table.utf8)
    digest.add(body)
    return digest.text
  }

  /// The port of which clear text is kept out, as these rules have it: they may be older than the parameters.
  var guarded: UInt16? {
    for line in String(decoding: body, as: UTF8.self).split(separator: "\n") {
      let words = line.split(separator: " ")
      if words.count == 5, words[..<2].elementsEqual(["udp", "dport"]), words[3...].elementsEqual(["jump", "l2tp"]) { return UInt16(words[2]) }
    }
    return nil
  }

  /// Lines of `script` in front of `body`.
  static let head = 6

  /// The whole replacement: one transaction, in which the table is there before and after and never in between.
  ///
  /// The empty table in front makes the removal work where there was none.
  func script(draining: [SetMember]) -> [UInt8] {
    func elements(isIPv6: Bool) -> String {
      let members = draining.filter { $0.address.isIPv6 == isIPv6 }.map(\.element)
      return members.isEmpty ? "" : " elements = { \(members.joined(separator: ", ")) };"
    }
    let head = [
      "table inet \(table)", "delete table inet \(table)", "table inet \(table) {",
      "  comment \"\(Mark.comment(digest))\"",
      "  set draining { type ipv4_addr; flags timeout;\(elements(isIPv6: false)) }",
      "  set draining6 { type ipv6_addr; flags timeout;\(elements(isIPv6: true)) }",
    ]
    return Array(head.map { $0 + "\n" }.joined().utf8) + body + Array("}\n".utf8)
  }
}

extension SetMember {
  /// `203.0.113.50 timeout 3600s expires 1200s`
  fileprivate var element: String {
    guard let timeout, timeout > .zero else { return "\(address)" }
    func seconds(_ time: Duration) -> String { "\(max(1, time.components.seconds))s" }
    return "\(address) timeout \(seconds(timeout)) expires \(seconds(remaining ?? timeout))"
  }
}

/// FNV-1a, 64 bits: it tells what differs by accident, and hides nothing.
struct ContentDigest {
  private var state: UInt64 = 0xcbf2_9ce4_8422_2325
  mutating func add(_ bytes: some Sequence<UInt8>) {
    for byte in bytes { state = (state ^ UInt64(byte)) &* 0x100_0000_01b3 }
  }
  var text: String {
    let digits = String(state, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}

extension Firewall {
  /// A file that is absent becomes a reason: without it the rules are not what was asked for.
  func definition(_ call: Call) throws(OCFError) -> Definition {
    let lines = rules
    let body = Array(lines.map { $0 + "\n" }.joined().utf8)
    guard let extra else { return Definition(table: table.description, body: body) }
    let read = try attempt("extra", try call.host.files.read(extra.description, limit: 1 << 20))
    guard var text = read else { throw .failed("extra: \(extra) is missing") }
    if text.last != UInt8(ascii: "\n") { text.append(UInt8(ascii: "\n")) }
    if let line = Self.lineThatClosesTheTable(text) {
      throw .failed("extra: \(extra):\(line): '}' without '{' would close our table and reach into others")
    }
    let first = Definition.head + lines.count + 1
    let count = text.count { $0 == UInt8(ascii: "\n") }
    return Definition(table: table.description, body: body + text, extra: first..<first + count)
  }

  /// The line of a `}` that has no `{` before it in the text. It is read inside our table: what came behind would be outside.
  static func lineThatClosesTheTable(_ text: [UInt8]) -> Int? {
    var line = 1
    var depth = 0
    var isQuoted = false
    var isComment = false
    for byte in text {
      switch byte {
      case UInt8(ascii: "\n"):
        line += 1
        // A string goes on in the next line (nft 1.0.6), or is no string and refused.
        isComment = false
      case _ where isComment: break
      case UInt8(ascii: "\""): isQuoted.toggle()
      case _ where isQuoted: break
      case UInt8(ascii: "#"): isComment = true
      case UInt8(ascii: "{"): depth += 1
      case UInt8(ascii: "}"):
        depth -= 1
        if depth < 0 { return line }
      default: break
      }
    }
    return nil
  }

  /// Sources of what is translated: one for each family, or one for each of its networks.
  var translations: [IPAddress] {
    if !natAddress.isEmpty { return natAddress }
    return address.first { !$0.isIPv6 }.map { [$0] } ?? []
  }

  private var rules: [String] {
    let sets = [Family.ipv4, .ipv6].flatMap { family -> [String] in
      var lines: [String] = []
      let addresses = address.filter(family.has)
      if !addresses.isEmpty { lines.append(family.set("address", addresses.map(\.description))) }
      let networks = pool.filter { family.has($0.network) }
      if !networks.isEmpty { lines.append(family.set("pool", networks.map(\.description), " flags interval; auto-merge;")) }
      return lines
    }
    // The chains that the file of more rules fills.
    let open = extra == nil ? [] : ["input", "forward", "postrouting"].flatMap { chain("extra_\($0)", nil, []) }
    return sets + reception + (pool.isEmpty ? [] : forwarding) + (nat ? translation : []) + open
  }

  private var served: [Family] { Family.allCases.filter { family in address.contains(where: family.has) } }
  private var pooled: [Family] { Family.allCases.filter { family in pool.contains { family.has($0.network) } } }

  /// What is sent to the gateway itself, and what it must not send.
  private var reception: [String] {
    chain(
      "input", "type filter hook input priority filter; policy accept;",
      pooled.flatMap { family in
        ppp.map { "iifname \"\($0.text)\" \(family.word) saddr != \(family.unspecified) \(Self.ofAnother)" }
      } + served.map { "\($0.word) daddr @address\($0.suffix) jump gateway" })
      + chain(
        "gateway", nil,
        jumpToExtra("input") + [
          "udp dport { 500, 4500 } counter accept", "meta l4proto esp counter accept", "udp dport \(port.number) jump l2tp",
        ])
      + chain(
        "l2tp", nil,
        // Probes of this node come from here.
        ["iifname \"lo\" accept", "meta ipsec missing counter drop"]
          // A control message (RFC 2661 §3.1: T bit, version 2) to tunnel 0 asks for a new tunnel.
          + served.map { "\($0.word) daddr @draining\($0.suffix) @th,64,16 & 0x800f == 0x8002 @th,96,16 0 counter drop" }
          + ["counter accept"])
      + chain(
        // When an SA has gone before the session that it carried, the daemon goes on sending.
        "output", "type filter hook output priority filter; policy accept;",
        served.map { "\($0.word) saddr @address\($0.suffix) udp sport \(port.number) oifname != \"lo\" rt ipsec missing counter drop" })
  }

  /// A source to which no route leads through the session that the packet came from: another client's, or that of a host
  /// behind the gateway, which the node itself would believe as well. The kernel's reverse path filter
  /// lets it pass in loose mode, which is Debian's, and has no IPv6.
  private static let ofAnother = "fib saddr . iif oif missing counter drop"

  private var forwarding: [String] {
    let beyond = inside.isEmpty ? [""] : (inside + outside).map { "oifname \"\($0.text)\" " }
    let fromClients = pooled.flatMap { family in beyond.map { "\(family.word) saddr @pool\(family.suffix) \($0)counter accept" } }
    let refused = inside.isEmpty ? outside.map { "iifname \"\($0.text)\" counter drop" } : []
    let callers = inside.isEmpty ? [""] : inside.map { "iifname \"\($0.text)\" " }
    let toClients = pooled.flatMap { family in callers.map { "\($0)\(family.word) daddr @pool\(family.suffix) counter accept" } }
    let sessions = ppp.map { "\"\($0.text)\"" }
    let clamping = clampMss ? sessions.map { "oifname \($0) tcp flags syn / syn,rst tcp option maxseg size set rt mtu" } : []
    return chain(
      "forward", "type filter hook forward priority filter; policy accept;",
      clamping + sessions.map { "iifname \($0) jump from_clients" } + sessions.map { "oifname \($0) jump to_clients" })
      // Rules of the operator's must not let in what a client sends in the name of another.
      + chain("from_clients", nil, [Self.ofAnother] + jumpToExtra("forward") + fromClients + ["counter drop"])
      + chain("to_clients", nil, ["ct state established,related accept"] + jumpToExtra("forward") + refused + toClients + ["counter drop"])
  }

  private var translation: [String] {
    chain(
      "postrouting", "type nat hook postrouting priority srcnat; policy accept;",
      ["rt ipsec exists accept"] + jumpToExtra("postrouting")
        + pooled.flatMap { family -> [String] in
          let sources = translations.filter(family.has)
          // Each network has an address of its own, or all have the one.
          let networks = sources.count > 1 ? pool.filter { family.has($0.network) }.map(\.description) : ["@pool\(family.suffix)"]
          return zip(networks, sources).flatMap { network, source in
            outside.map { "\(family.word) saddr \(network) oifname \"\($0.text)\" counter snat \(family.word) to \(source)" }
          }
        })
  }

  private func jumpToExtra(_ chain: String) -> [String] { extra == nil ? [] : ["jump extra_\(chain)"] }

  private func chain(_ name: String, _ hook: String?, _ rules: [String]) -> [String] {
    ["  chain \(name) {"] + (hook.map { [$0] } ?? []).map { "    \($0)" } + rules.map { "    \($0)" } + ["  }"]
  }
}

/// What the language calls the two kinds of address.
private enum Family: CaseIterable {
  case ipv4, ipv6

  var word: String { self == .ipv4 ? "ip" : "ip6" }
  var suffix: String { self == .ipv4 ? "" : "6" }
  /// What a host sends from that has no address yet.
  var unspecified: String { self == .ipv4 ? "0.0.0.0" : "::" }
  func has(_ address: IPAddress) -> Bool { address.isIPv6 == (self == .ipv6) }

  func set(_ name: String, _ elements: [String], _ flags: String = "") -> String {
    "  set \(name)\(suffix) { type \(self == .ipv4 ? "ipv4_addr" : "ipv6_addr");\(flags) elements = { \(elements.joined(separator: ", ")) }; }"
  }
}
