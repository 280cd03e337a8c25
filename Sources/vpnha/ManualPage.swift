/// `ocf_vpnha_AGENT(7)`, in the sections of resource-agents' own pages, from the agent's meta-data.
struct ManualPage {
  var agent: AgentDescription

  var roff: String {
    var lines = [
      ".TH OCF_VPNHA_\(agent.name.uppercased()) 7 \"\" vpnha \"OCF resource agents\"",
      ".SH NAME", "ocf_vpnha_\(agent.name) \\- \(escaped(lowercasedStart(agent.short)))",
      ".SH SYNOPSIS", ".B \(AgentFolder.cluster.program(agent.name))",
      ".RB [ " + operationNames.map(escaped).joined(separator: " | ") + " ]",
      ".SH DESCRIPTION",
    ]
    lines += paragraphs(agent.long)
    lines.append(".SH SUPPORTED PARAMETERS")
    for parameter in agent.parameters {
      var traits = [parameter.type]
      if parameter.isRequired { traits.append("required") }
      if parameter.isReloadable { traits.append("changes without a restart") }
      if let replacement = parameter.deprecation {
        traits.append("deprecated" + (replacement.isEmpty ? "" : ", use \(replacement)"))
      }
      lines += [".TP", ".B \(escaped(parameter.name))", "(\(escaped(traits.joined(separator: ", "))))", ".br"]
      lines += paragraphs(parameter.long)
    }
    lines.append(".SH SUPPORTED ACTIONS")
    for operation in agent.operations {
      var traits = ["timeout \(operation.timeout) s"]
      if let interval = operation.interval { traits.append("every \(interval) s") }
      if let depth = operation.depth { traits.append("depth \(depth)") }
      if let role = operation.role { traits.append("role \(role)") }
      lines += [".TP", ".B \(escaped(operation.name))", "Advised: \(escaped(traits.joined(separator: ", ")))."]
    }
    let example = Example(agent: agent)
    for (title, text) in [("PCS", example.pcs), ("CRM SHELL", example.crm)] {
      lines += [".SH EXAMPLE \(title)", ".EX"] + text.split(separator: "\n").map { escaped(String($0)) } + [".EE"]
    }
    lines += [".SH SEE ALSO", ".BR vpnha (8),", ".BR pcs (8),", ".BR crm (8),", ".BR crm_resource (8)"]
    return lines.joined(separator: "\n") + "\n"
  }

  /// Each once, in the order of the meta-data.
  private var operationNames: [String] {
    agent.operations.map(\.name).reduce(into: []) { names, name in if !names.contains(name) { names.append(name) } }
  }

  private func paragraphs(_ text: String) -> [String] {
    var lines: [String] = []
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      let line = line.drop { $0 == " " }
      if !line.isEmpty { lines.append(escaped(String(line))) } else if let last = lines.last, last != ".PP" { lines.append(".PP") }
    }
    if lines.last == ".PP" { lines.removeLast() }
    return lines
  }

  /// Text that roff shows as it is: no escapes, no hyphens for minus signs, no requests at the start of a line.
  private func escaped(_ text: String) -> String {
    var result = ""
    for character in text {
      switch character {
      case "\\": result += "\\e"
      case "-": result += "\\-"
      case "…": result += "..."
      default: result.append(character)
      }
    }
    return result.hasPrefix(".") || result.hasPrefix("'") ? "\\&" + result : result
  }

  private func lowercasedStart(_ text: String) -> String {
    guard let first = text.first, text.dropFirst().first?.isLowercase == true else { return text }
    return first.lowercased() + text.dropFirst()
  }
}
