import Host

/// What works, but may not for long.
public struct Risk: Hashable, Sendable {
  public var reason: String
  /// Whether a standby could not serve.
  public var isUnfit: Bool

  public init(_ reason: String, unfit: Bool = false) {
    self.reason = reason
    isUnfit = unfit
  }
}

extension [Risk] {
  /// With so many of them each one is compared; a list of thousands is one risk, over and over.
  private static let compared = 32

  /// The gravest first, and nothing twice: what one of the first quotes is said.
  public var ordered: [Risk] {
    func quotes(_ long: Risk, _ short: Risk) -> Bool { long.reason.utf8.count > short.reason.utf8.count && long.reason.contains(short.reason) }
    var seen: [Risk] = []
    var reasons: Set<String> = []
    for risk in filter(\.isUnfit) + filter({ !$0.isUnfit }) where reasons.insert(risk.reason).inserted {
      let first = seen.prefix(Self.compared)
      if first.contains(where: { quotes($0, risk) }) { continue }
      for index in first.indices.reversed() where quotes(risk, first[index]) && first[index].isUnfit == risk.isUnfit { seen.remove(at: index) }
      seen.append(risk)
    }
    return seen
  }

  /// All of them in one line; nil when there are none.
  public var sentence: String? { isEmpty ? nil : map(\.reason).joined(separator: RiskReport.mark) }
}

/// The node attribute `vpnha-risk-RESOURCE`: `SINCE REASON`, the gravest reason first. Each further one follows as
/// `; and REASON`, with ` (since TIME)` where it began at another time than the first.
public struct RiskReport: Equatable, Sendable {
  public struct Entry: Equatable, Sendable {
    /// Nil where the text does not say it.
    public var since: Timestamp?
    public var reason: String

    public init(since: Timestamp?, _ reason: String) { (self.since, self.reason) = (since, reason) }
  }

  public var entries: [Entry]

  public init(_ entries: [Entry]) { self.entries = entries }

  /// Between two reasons.
  public static let mark = "; and "
  /// In bytes. Alerts carry the attribute, and `crm_mon` shows it on one line.
  private static let limit = 1000

  /// Nil for nothing. What does not fit is counted.
  public var text: String? {
    guard let first = entries.first else { return nil }
    var text = (first.since.map { "\($0) " } ?? "") + Self.plain(first.reason)
    for (index, entry) in entries.enumerated().dropFirst() {
      let since = entry.since == first.since ? "" : entry.since.map { " (since \($0))" } ?? ""
      let words = "\(Self.mark)\(Self.plain(entry.reason))\(since)"
      guard text.utf8.count + words.utf8.count <= Self.limit else { return "\(text)\(Self.mark)\(entries.count - index) more: see the journal" }
      text += words
    }
    return text
  }

  /// A sentence that holds the list's own mark would be two.
  private static func plain(_ reason: String) -> String { reason.replacing(mark, with: ", and ") }

  /// The same entry as it is read back.
  public func entry(_ reason: String) -> Entry? { entries.first { $0.reason == Self.plain(reason) } }
}
