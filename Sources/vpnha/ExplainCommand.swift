import ArgumentParser

struct ExplainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "explain", abstract: "Say what an ID of status or doctor means, and what to do about it.",
    discussion: "Without an ID, all of them.")

  @Argument(help: "As it is printed: SPLT1, PSK1 …", completion: .list(FindingID.allCases.map(\.rawValue)))
  var id: String?

  func run() throws {
    guard let id else { return print(FindingID.allCases.map(\.explanation).joined(separator: "\n\n")) }
    guard let known = FindingID(rawValue: id.uppercased()) else {
      throw ValidationError("there is no \(id); there are \(FindingID.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    print(known.explanation)
  }
}
