import Host
import OCF

extension RiskReport {
  /// As an agent told it.
  init(_ text: String) {
    let words = text.split(separator: " ", maxSplits: 1)
    let since = words.count == 2 ? Timestamp(String(words[0])) : nil
    let reasons = (since == nil ? text[...] : words[1]).split(separator: Self.mark)
    self.init(
      reasons.map { reason in
        guard reason.last == ")", let open = reason.lastIndex(of: "("), reason[open...].hasPrefix("(since "),
          let own = Timestamp(String(reason[open...].dropFirst(7).dropLast()))
        else { return Entry(since: since, String(reason)) }
        return Entry(since: own, String(reason[..<open].dropLast()))
      })
  }
}
