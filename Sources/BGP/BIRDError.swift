import Host

/// Why BIRD gave no answer that can be used.
public typealias BIRDError = AnswerError

extension BIRDError {
  static func system(_ error: SystemError, _ path: String) -> BIRDError { BIRDError(error, "asking BIRD through \(path)") }
  static func malformed(_ what: String) -> BIRDError { BIRDError(kind: .malformed, reason: "reading BIRD's answer: \(what)") }
}
