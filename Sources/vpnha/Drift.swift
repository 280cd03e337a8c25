import Host
import OCF

/// Nodes that should have the same, and what they have of it.
struct Drift {
  var prints: [String: Fingerprint]
  /// The node that was asked now; nil: none.
  var here: String?
  var time: Timestamp
  /// What swanctl is told besides (`swanctlSource`).
  var source = ""

  /// Of one pair of nodes so many; the rest is counted.
  private static let most = 4

  /// One that is too old may be of before the other node was changed as well.
  private var recent: [String] {
    prints.filter { time.seconds - $0.value.at.seconds <= Looks.limit }.keys.sorted { a, b in a == here || (b != here && a < b) }
  }

  /// The first node compared with each other one.
  var findings: [Finding] {
    guard let first = recent.first, let mine = prints[first] else { return [] }
    return recent.dropFirst().flatMap { other in prints[other].map { Self.findings(first, mine, other, $0, source: source) } ?? [] }
  }

  /// - Parameter isWhole: none is left out.
  static func findings(_ one: String, _ mine: Fingerprint, _ other: String, _ theirs: Fingerprint, isWhole: Bool = false, source: String = "") -> [Finding] {
    let look = "vpnha fingerprint --diff \(other)    # on \(one)"
    guard mine.key == theirs.key else {
      return [Finding(.DRIFT5, .risk, "\(one) and \(other) have different keys, so their files cannot be compared", fix: ["scp -p \(FingerprintKey.files[0]) \(other):\(FingerprintKey.files[0])"], at: other)]
    }
    let all = mine.differences(from: theirs)
    guard isWhole || all.count > most + 1 else { return all.map { finding($0, one, other, look, source) } }
    if isWhole { return all.map { finding($0, one, other, look, source) } }
    return all.prefix(most).map { finding($0, one, other, look, source) } + [Finding(.DRIFT2, .risk, "\(one) and \(other) differ in \(all.count - most) more things", fix: [look], at: other)]
  }

  private static func finding(_ difference: Fingerprint.Difference, _ one: String, _ other: String, _ look: String, _ source: String) -> Finding {
    let name = difference.name.name
    // A value is shown where it is no digest.
    func words(_ what: String, isShown: Bool) -> String {
      let (mine, theirs) = (difference.one == "-" ? nil : difference.one, difference.other == "-" ? nil : difference.other)
      switch (mine, theirs) {
      case (nil, _): return "\(what) is on \(other), and not on \(one)"
      case (_, nil): return "\(what) is on \(one), and not on \(other)"
      case (let mine?, let theirs?): return isShown ? "\(what) is \(mine) on \(one), \(theirs) on \(other)" : "\(what) is not the same on \(one) and \(other)"
      }
    }
    switch difference.name.kind {
    case .file:
      let masks = FingerprintSource.part(of: name, xl2tpd: "/etc/xl2tpd/xl2tpd.conf", conntrackd: "/etc/conntrackd/conntrackd.conf").masks
      let copy = masks || difference.one == nil || difference.one == "-" || name.hasSuffix("/") ? "editor \(name)    # on both: some lines are a node's own" : "scp -p \(name) \(other):\(name)    # on \(one), if its file is the right one"
      return Finding(.DRIFT2, .risk, words(name, isShown: false), fix: [copy], at: other)
    case .charon:
      return Finding(.DRIFT3, .risk, words("charon's \(name)", isShown: false), fix: ["swanctl --load-all --noprompt\(source)    # on both"], at: other)
    case .filter: return Finding(.DRIFT3, .risk, words(name, isShown: false), fix: ["nft list table inet \(name.split(separator: " ").last ?? "vpnha")    # on both", look], at: other)
    case .kernel: return Finding(.DRIFT3, .risk, words(name, isShown: true), fix: ["sysctl -w '\(name)=\(difference.one ?? difference.other ?? "")'    # on \(other), if \(one) is right"], at: other)
    case .package: return Finding(.DRIFT4, .risk, words(name, isShown: true), fix: ["apt-get install \(name)    # on the node with the older one, in standby"], at: other)
    }
  }
}
