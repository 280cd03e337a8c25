/// The file that BIRD's configuration includes: a function that says of a route whether it may be told to a neighbour.
///
/// It is the resource's state as well: BIRD knows a constant that says which list it has loaded. A constant has no other use.
struct RouteList: Equatable {
  /// `withdrawing`: it is closed, and whether BIRD took it is not known.
  enum Standing: String { case stopped, standby, announcing, withdrawing }

  /// Whose it is.
  var owner: String
  var standing: Standing
  /// What tells two lists apart.
  var digest: String
  var lines: [String]

  /// The constant's value.
  var mark: String { "\(owner) \(standing.rawValue) \(digest)" }

  static func constant(_ function: FunctionName) -> String { "\(function)_list" }

  /// - Parameter lines: the function's body.
  init(_ standing: Standing, of owner: String, _ function: FunctionName, _ lines: [String]) {
    self.owner = String(owner.map { $0.isASCII && ($0.isLetter || $0.isNumber || "-_.:".contains($0)) ? $0 : "_" }.prefix(64))
    self.standing = standing
    self.lines = lines
    // FNV-1a: it tells what differs, and hides nothing.
    let state = ([function.description] + lines).joined(separator: "\n").utf8.reduce(14_695_981_039_346_656_037 as UInt64) { ($0 ^ UInt64($1)) &* 1_099_511_628_211 }
    digest = String(state, radix: 16)
  }

  func text(_ function: FunctionName) -> String {
    (["# Written by ocf:vpnha:announce. The cluster replaces it: what is changed here is lost.", "define \(Self.constant(function)) = \"\(mark)\";", "function \(function)()", "{"]
      + lines.map { "  \($0)" } + ["}", ""]).joined(separator: "\n")
  }

  /// What a file of ours says of itself; nil: it is none.
  struct Heading: Equatable {
    var owner: String
    var standing: Standing
    var mark: String

    init?(_ bytes: [UInt8]) {
      let line = String(decoding: bytes, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix("define ") }
      guard let words = line?.split(separator: "\""), words.count == 3, words[0].hasSuffix("_list = "), words[2] == ";" else { return nil }
      let parts = words[1].split(separator: " ")
      guard parts.count == 3, let standing = Standing(rawValue: String(parts[1])) else { return nil }
      owner = String(parts[0])
      self.standing = standing
      mark = String(words[1])
    }
  }
}

extension RouteAnnouncement {
  /// A list in that standing, for this resource.
  /// - Parameter localAS: what a longer path is made of.
  func list(_ standing: RouteList.Standing, owner: String, localAS: UInt32?) -> RouteList {
    let silent = ["return false;"]
    // A route of protocol direct: there is one as long as the kernel holds the address, and no longer.
    let known =
      ["if source != RTS_DEVICE then return false;"]
      + [("NET_IP4", false), ("NET_IP6", true)].map { type, isIPv6 in
        let routes = prefixes.filter { $0.address.isIPv6 == isIPv6 }.map(\.description)
        return routes.isEmpty ? "if net.type = \(type) then return false;" : "if net.type = \(type) && !(net ~ [ \(routes.joined(separator: ", ")) ]) then return false;"
      }
    let lines: [String]
    switch (standing, standby) {
    case (.stopped, _), (.withdrawing, _), (.standby, .withdraw): lines = silent
    case (.announcing, .med): lines = known + ["bgp_med = 0;", "return true;"]
    case (.announcing, _): lines = known + ["return true;"]
    case (.standby, .med): lines = known + ["bgp_med = \(Self.standbyMED);", "return true;"]
    case (.standby, .prepend):
      // Without the number there is no longer path, and nothing is said.
      lines = localAS.map { number in known + [String](repeating: "bgp_path.prepend(\(number));", count: Self.standbyHops) + ["return true;"] } ?? silent
    }
    return RouteList(standing, of: owner, function, lines)
  }

  static let standbyMED = 1000
  static let standbyHops = 3
}
