import Host
import LinuxHost
import OCF

/// What a shell offers for the next word. The program's own completion knows the verbs and options; this knows the rest.
/// Nothing is offered where nothing can be told: a shell shows no errors.
enum Completion {
  /// `AGENT ACTION name=…` after `vpnha run`, or `ACTION name=…` after `--resource ID`.
  ///
  /// - Parameters:
  ///   - line: the command line's words, with the program's name.
  ///   - index: of the word that is to be completed.
  static func words(_ line: [String], _ index: Int) -> [String] {
    offered(line, index) { description, rest in rest.isEmpty ? actions(of: description) : names(in: description, without: rest) }
  }

  /// `AGENT name=…` after `vpnha check`, or `name=…` after `--resource ID`.
  static func parameters(_ line: [String], _ index: Int) -> [String] {
    offered(line, index) { description, rest in names(in: description, without: rest) }
  }

  private static func offered(
    _ line: [String], _ index: Int, _ following: (AgentDescription, ArraySlice<String>) -> [String]
  ) -> [String] {
    let (given, resource) = positional(line.prefix(max(0, index)).dropFirst(2))
    let named = resource.flatMap { id in resources().first { $0.id == id }?.agent }
    guard let agent = named ?? given.first else { return AgentFolder.agents }
    guard AgentFolder.agents.contains(agent), let description = description(of: agent) else { return [] }
    return following(description, named == nil ? given.dropFirst() : given[...])
  }

  /// Each once, in the order of the metadata.
  static func actions(of description: AgentDescription) -> [String] {
    description.operations.map(\.name).reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
  }

  /// Parameters that are not given yet, each with the sign that its value follows.
  static func names(in description: AgentDescription, without given: ArraySlice<String>) -> [String] {
    description.parameters.filter { $0.deprecation == nil }.map { "\($0.name)=" }.filter { name in !given.contains { $0.hasPrefix(name) } }
  }

  /// The words that are no options and no option's values, and the value of `--resource`.
  static func positional(_ words: ArraySlice<String>) -> (words: [String], resource: String?) {
    var (found, resource): ([String], String?) = ([], nil)
    var rest = words
    while let word = rest.popFirst() {
      switch word {
      case "--resource": resource = rest.popFirst()
      case "--depth", "--timeout", "--agents", "--peer": _ = rest.popFirst()
      case _ where word.hasPrefix("-"): continue
      // Shells that break words at = complete what follows it.
      case "=": _ = rest.popFirst()
      default: found.append(word)
      }
    }
    return (found, resource)
  }

  static func resources() -> [ClusterResource] {
    let host = Host.silent
    var tools = ClusterTools(
      processes: host.processes, files: host.files, clock: host.clock, configuration: inheritedEnvironment()["CIB_file"])
    return tools.view(hostname: hostName()).resources
  }

  private static func description(of agent: String) -> AgentDescription? {
    do { return try AgentDescription(xml: metaData(of: AgentFolder.ofThisProgram.program(agent))) } catch { return nil }
  }
}
