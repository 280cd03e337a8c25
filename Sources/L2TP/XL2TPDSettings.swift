import Host

extension XL2TPDConfiguration {
  private enum Value { case any, flag, natural, address, range }

  /// What the daemon knows (xl2tpd 1.3.18, `words`): where a setting may stand, and what it may say. Tried with the program itself.
  private static let known: [String: (places: [Section.Kind], value: Value)] = {
    let table: [([Section.Kind], Value, String)] = [
      ([.global], .any, "listen-addr, port, saref refinfo, rand source, auth file, max retries, cap backoff"),
      ([.global], .flag, "access control, force userspace, debug avp, debug network, debug packet, debug tunnel, debug state, ipsec saref"),
      ([.lns], .flag, "exclusive, assign ip, unix authentication, unix auth"),
      ([.lns], .range, "ip range, no ip range, lac, no lac, local ip range"),
      ([.lac], .flag, "autodial, redial, defaultroute"), ([.lac], .natural, "redial timeout, max redials"), ([.lac], .address, "remote ip"), ([.lac], .any, "lns"),
      (
        [.lns, .lac], .flag,
        "length bit, hidden bit, require pap, require chap, require authentication, require auth, refuse pap, refuse chap, "
          + "refuse authentication, refuse auth, ppp debug, pass peer, flow bit, challenge"
      ),
      ([.lns, .lac], .natural, "tunnel rws, tx bps, rx bps, bps"), ([.lns, .lac], .address, "local ip"),
      ([.lns, .lac], .any, "name, hostname, pppoptfile, call rws"),
    ]
    var known: [String: (places: [Section.Kind], value: Value)] = [:]
    for (places, value, words) in table { for word in words.split(separator: ",") { known[String(word.drop { $0 == " " })] = (places, value) } }
    return known
  }()

  /// The first setting for which the daemon does not start: one that it does not know, or not there, or with another value. It ends
  /// at once and says so in its log only.
  ///
  /// - Parameter isWord: whether this daemon knows a word that 1.3.18 does not.
  public func refused(_ isWord: (String) -> Bool) -> SyntaxError? {
    for section in sections {
      var words: Set<String> = []
      for setting in section.settings {
        words.insert(setting.word)
        guard let known = Self.known[setting.word] else {
          if isWord(setting.word) { continue }
          let meant = nearest(to: setting.word, among: Self.known.keys.sorted()).map { ", did you mean '\($0)'?" } ?? ""
          return SyntaxError(line: setting.line, what: "xl2tpd does not know '\(setting.word)'\(meant)")
        }
        guard known.places.contains(section.kind) else {
          return SyntaxError(line: setting.line, what: "'\(setting.word)' belongs into [\(known.places[0].rawValue)], not [\(section.kind.rawValue)]")
        }
        switch known.value {
        case .flag where !["yes", "y", "true", "no", "n", "false"].contains(setting.value.lowercased()):
          return SyntaxError(line: setting.line, what: "'\(setting.word)' must be yes or no")
        case .natural where Int(setting.value.prefix { $0.isASCII && $0.isNumber }) ?? 0 < 1:
          return SyntaxError(line: setting.line, what: "'\(setting.word)' must be a number, at least 1")
        case .address where Self.host(setting.value) == nil:
          return SyntaxError(line: setting.line, what: "'\(setting.word)' must be an IPv4 address, not '\(setting.value)'")
        case .range:
          let ends = AddressPool.ends(setting.value).map(Self.host)
          if ends.contains(nil) { return SyntaxError(line: setting.line, what: "'\(setting.word)' must be an IPv4 address or FIRST-LAST, not '\(setting.value)'") }
          if case .number(let first)? = ends.first, case .number(let last)? = ends.last, first > last {
            return SyntaxError(line: setting.line, what: "'\(setting.word)' ends before it begins")
          }
        case .any, .flag, .natural, .address: break
        }
        if section.kind == .lns, setting.word.hasPrefix("local ip"), words.isSuperset(of: ["local ip", "local ip range"]) {
          return SyntaxError(line: setting.line, what: "'local ip' and 'local ip range' exclude each other")
        }
      }
    }
    return nil
  }

  /// The first setting with a host's name in the place of an address. The daemon asks the resolver for it at each start, and does not start
  /// without an answer (`gethostbyname`).
  public var named: Setting? {
    sections.lazy.flatMap(\.settings).first { setting in
      switch Self.known[setting.word]?.value {
      case .address: Self.host(setting.value) == .name
      case .range: AddressPool.ends(setting.value).map(Self.host).contains(.name)
      default: false
      }
    }
  }

  private enum Host: Equatable { case number(UInt32), name }

  /// Nil for what the resolver has no answer to, whatever it knows.
  private static func host(_ text: String) -> Host? {
    if let number = AddressPool.number(text) { return .number(number) }
    let isName = text.utf8.allSatisfy { $0 < 0x80 && (Character(UnicodeScalar($0)).isLetter || Character(UnicodeScalar($0)).isNumber || "-_.".utf8.contains($0)) }
    return isName && text.contains(where: \.isLetter) ? .name : nil
  }
}
