import Host

/// Why pluto gave no answer that can be used. `refused` carries the exit status of the program that asked.
public typealias PlutoError = AnswerError

extension PlutoError {
  static func malformed(_ what: String) -> PlutoError { PlutoError(kind: .malformed, reason: "reading pluto's answer: \(what)") }
}
