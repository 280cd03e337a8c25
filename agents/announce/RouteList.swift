import BGP
import Host
import OCF

/// What is announced of which addresses. Recorded, it is the resource's state as well.
struct RouteList: Equatable {
  /// `withdrawing`: it is closed, and whether the daemon took that is not known.
  enum Standing: String { case stopped, standby, announcing, withdrawing }

  enum Path: Equatable {
    /// Nothing is announced.
    case none
    case short
    case med(UInt32)
    /// These ASes in front.
    case prepended([UInt32])
  }

  /// Whose it is.
  var owner: String
  var standing: Standing
  var prefixes: [HostRoute]
  var path: Path
  /// Whether another member announces the same with a MED.
  var comparesMED: Bool

  init(_ standing: Standing, of owner: String, _ prefixes: [HostRoute], _ path: Path = .none, comparesMED: Bool = false) {
    self.owner = String(owner.map { $0.isASCII && ($0.isLetter || $0.isNumber || "-_.:".contains($0)) ? $0 : "_" }.prefix(64))
    self.standing = standing
    self.prefixes = prefixes
    self.path = path
    self.comparesMED = comparesMED
  }

  /// What a list that is in force, or should be, says of itself.
  struct Heading: Equatable {
    var owner: String
    var standing: Standing
    /// All of it: what tells two lists apart.
    var mark: String
    /// What is announced, where the daemon cannot tell.
    var routes: [String] = []
    var path = Path.none

    /// Nil: it is none of ours.
    init?(_ bytes: [UInt8]) {
      let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
      if let line = lines.first(where: { $0.hasPrefix("define ") }) {
        let words = line.split(separator: "\"")
        guard words.count == 3, words[0].hasSuffix("_list = "), words[2] == ";" else { return nil }
        self.init(mark: words[1])
      } else {
        guard let line = lines.first else { return nil }
        self.init(mark: line)
        guard let path = Path(mark.split(separator: " ")[2]) else { return nil }
        self.path = path
        routes = lines.dropFirst().map(String.init)
      }
    }

    private init?(mark: Substring) {
      let parts = mark.split(separator: " ")
      guard parts.count == 3, let standing = Standing(rawValue: String(parts[1])) else { return nil }
      owner = String(parts[0])
      self.standing = standing
      self.mark = String(mark)
    }
  }
}

// MARK: - For BIRD

/// The file that BIRD's configuration includes: a function that says of a route whether it may be told to a neighbour, and a constant that
/// says which list BIRD has loaded and has no other use.
extension RouteList {
  static func constant(_ function: FunctionName) -> String { "\(function)_list" }

  /// The function's body.
  private var lines: [String] {
    // A route of protocol direct: there is one as long as the kernel holds the address, and no longer.
    let known =
      ["if source != RTS_DEVICE then return false;"]
      + [("NET_IP4", false), ("NET_IP6", true)].map { type, isIPv6 in
        let routes = prefixes.filter { $0.address.isIPv6 == isIPv6 }.map(\.description)
        return routes.isEmpty ? "if net.type = \(type) then return false;" : "if net.type = \(type) && !(net ~ [ \(routes.joined(separator: ", ")) ]) then return false;"
      }
    switch path {
    case .none: return ["return false;"]
    case .short: return known + (comparesMED ? ["bgp_med = 0;"] : []) + ["return true;"]
    case .med(let med): return known + ["bgp_med = \(med);", "return true;"]
    case .prepended(let path): return known + path.map { "bgp_path.prepend(\($0));" } + ["return true;"]
    }
  }

  func included(as function: FunctionName) -> String {
    // FNV-1a: it tells what differs, and hides nothing.
    let state = ([function.description] + lines).joined(separator: "\n").utf8.reduce(14_695_981_039_346_656_037 as UInt64) { ($0 ^ UInt64($1)) &* 1_099_511_628_211 }
    return
      ([
        "# Written by ocf:vpnha:announce. The cluster replaces it: what is changed here is lost.",
        "define \(Self.constant(function)) = \"\(owner) \(standing.rawValue) \(String(state, radix: 16))\";", "function \(function)()", "{",
      ] + lines.map { "  \($0)" } + ["}", ""]).joined(separator: "\n")
  }
}

// MARK: - For FRR

extension RouteList {
  /// What is recorded, because FRR forgets it.
  var recorded: String { (["\(owner) \(standing.rawValue) \(path.text)"] + prefixes.map(\.description) + [""]).joined(separator: "\n") }
}

extension RouteList.Path {
  fileprivate var text: String {
    switch self {
    case .none: "none"
    case .short: "short"
    case .med(let med): "med=\(med)"
    case .prepended(let path): "prepend=\(path.map(String.init).joined(separator: ","))"
    }
  }

  fileprivate init?(_ text: Substring) {
    let parts = text.split(separator: "=")
    let numbers = parts.dropFirst().first?.split(separator: ",").compactMap { UInt32($0) } ?? []
    switch (parts.first, numbers.count) {
    case ("none", 0): self = .none
    case ("short", 0): self = .short
    case ("med", 1): self = .med(numbers[0])
    case ("prepend", 1...): self = .prepended(numbers)
    default: return nil
    }
  }
}
