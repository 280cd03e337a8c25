import Host

/// Why conntrackd gave no answer that can be used. It never says no.
public typealias ConntrackError = AnswerError

extension ConntrackError {
  static func malformed(_ what: String) -> ConntrackError {
    ConntrackError(kind: .malformed, reason: "reading conntrackd's statistics: \(what)")
  }
}
