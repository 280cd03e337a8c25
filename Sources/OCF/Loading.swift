/// An agent with its parameters, and what was wrong with them.
public struct LoadedAgent<Agent: ResourceAgent> {
  public let agent: Agent
  /// Every bad parameter, in the order of declaration: *name: what is wrong*. Optional ones keep their default.
  public let problems: [String]
  /// Whether one without a default is among them: then the agent does not know which resource it is.
  public let isUnidentified: Bool

  /// What is wrong with the parameters, each by itself or, where nothing is, together.
  public var refusals: [String] {
    guard problems.isEmpty else { return problems }
    do throws(OCFError) { try agent.checkParameters() } catch { return [error.reason] }
    return []
  }

  /// Whether a problem is that of a parameter which a running resource takes; it is named first.
  func isReloadable(_ problem: String) -> Bool {
    let name = problem.prefix { $0 != ":" }
    return agent.parameters.contains { $0.name == name && $0.parameter.declaration.reloadable }
  }
}

extension ResourceAgent {
  /// An agent with the parameters of `request`. Never fails: problems are kept for the action loop to weigh.
  public static func loaded(from request: Request) -> LoadedAgent<Self> {
    let agent = Self()
    let parameters = agent.parameters
    var problems: [String] = []
    var isUnidentified = false
    // A deprecated parameter still gives its value to the one that replaces it.
    let replaced = parameters.compactMap { old, other in other.declaration.deprecated?.replacement.map { (old, new: $0) } }
    for (name, parameter) in parameters {
      var text = request.parameter(name)
      for (old, new) in replaced where text == nil && new == name { text = request.parameter(old) }
      guard let text else {
        if parameter.isRequired {
          problems.append("\(name): is required")
          isUnidentified = isUnidentified || !parameter.hasDefault
        }
        continue
      }
      do throws(Unreadable) {
        try parameter.read(text)
      } catch {
        let shown = parameter.isSecret ? "<secret>" : "\"\(text.prefix(40))\""
        problems.append("\(name): \(error.expected), got \(shown)")
        isUnidentified = isUnidentified || !parameter.hasDefault
      }
    }
    return LoadedAgent(agent: agent, problems: problems, isUnidentified: isUnidentified)
  }

  /// The parameters as metadata shows them, in the order of declaration.
  public static var parameterDescriptions: [ParameterDescription] {
    Self().parameters.map { name, parameter in
      let declaration = parameter.declaration
      var long = sentences(declaration.short, declaration.long)
      if case .select(let values) = parameter.contentType { long += " One of: \(values.joined(separator: ", "))." }
      if let value = parameter.defaultText { long += " Default: \(value)." }
      return ParameterDescription(
        name: name, shortDescription: declaration.short, longDescription: long, contentType: parameter.contentType,
        defaultValue: parameter.defaultText, isRequired: parameter.isRequired, isReloadable: declaration.reloadable,
        uniqueGroup: declaration.uniqueGroup, deprecated: declaration.deprecated)
    }
  }

  /// What the compiler keeps under `_arpCount` is the `Parameter` of the property `arpCount`.
  var parameters: [(name: String, parameter: AnyParameter)] {
    guard let fields = Fields(of: Self.self) else { preconditionFailure("\(Self.self) is not a structure") }
    return withUnsafeBytes(of: self) { agent in
      fields.lazy.filter { name, _ in name.pointee == underscore }
        .map { name, offset in (wireName(name + 1), agent.load(fromByteOffset: offset, as: AnyParameter.self)) }
    }
  }
}

/// pcs shows the long description alone: it begins with the short one, which says what the parameter is.
func sentences(_ short: String, _ long: String) -> String {
  func ended(_ text: String) -> String { text.hasSuffix(".") ? text : text + "." }
  if long.isEmpty { return ended(short) }
  return long.hasPrefix(ended(short)) ? ended(long) : ended(short) + " " + ended(long)
}

private let underscore = CChar(UInt8(ascii: "_"))

/// `arpCount` → `arp_count`
private func wireName(_ label: UnsafePointer<CChar>) -> String {
  var name: [UInt8] = []
  var next = label
  while next.pointee != 0 {
    let letter = UInt8(bitPattern: next.pointee)
    if (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(letter) {
      name += [UInt8(ascii: "_"), letter + 32]
    } else {
      name.append(letter)
    }
    next += 1
  }
  return String(decoding: name, as: UTF8.self)
}
