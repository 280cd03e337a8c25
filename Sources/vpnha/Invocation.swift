import Host
import OCF

/// One call of an agent, with the environment Pacemaker's executor gives.
struct Invocation: Equatable {
  var agent: String
  var program: String
  var action: String
  /// Those of the environment, then those typed.
  var parameters: [Setting]
  var instance: String
  var timeout: Duration
  /// Of a recurring monitor; nil for every other action and for a probe.
  var interval: Duration?
  var depth: Int
  var membership = ClusterResource.Membership.plain
  /// What the cluster has it for on this node; nil when no cluster says.
  var role: ClusterResource.Role?
  /// The cluster's name for this node, where it is known.
  var node: String?

  var isPromotable: Bool { membership == .promotable }

  struct Setting: Equatable {
    var name: String
    var value: String

    /// Reads `name=value`; nil without a `=`, or when the name could not be a parameter's.
    init?(_ text: String) {
      guard let equals = text.firstIndex(of: "="), equals > text.startIndex else { return nil }
      name = String(text[..<equals])
      value = String(text[text.index(after: equals)...])
      guard name.utf8.allSatisfy({ $0 == UInt8(ascii: "_") || Character(UnicodeScalar($0)).isAlphanumeric }) else { return nil }
    }

    init(_ name: String, _ value: String) {
      self.name = name
      self.value = value
    }

    /// The names that Pacemaker and crmsh hide, and what we know to be one.
    var isSecret: Bool {
      let name = name.lowercased()
      return ["passw", "secret", "psk", "token", "credential"].contains { name.contains($0) }
    }
  }

  /// What is put into the environment, in the order it is shown.
  var settings: [Setting] {
    var settings = [
      Setting("OCF_ROOT", "/usr/lib/ocf"),
      Setting("OCF_RA_VERSION_MAJOR", "1"),
      Setting("OCF_RA_VERSION_MINOR", "1"),
      Setting("OCF_EXIT_REASON_PREFIX", "ocf-exit-reason:"),
      Setting("OCF_RESOURCE_PROVIDER", "vpnha"),
      Setting("OCF_RESOURCE_TYPE", agent),
      Setting("OCF_RESOURCE_INSTANCE", instance),
    ]
    if depth > 0 { settings.append(Setting("OCF_CHECK_LEVEL", "\(depth)")) }
    func meta(_ name: String, _ value: String) { settings.append(Setting("OCF_RESKEY_CRM_meta_\(name)", value)) }
    // No CRM_meta_on_node, which only the cluster's own calls have: a call by hand changes no attribute and no score.
    meta("name", action)
    meta("timeout", "\(timeout.milliseconds)")
    if action == "monitor" {
      meta("interval", "\(interval?.milliseconds ?? 0)")
      if interval != nil, let role, role != .stopped { meta("role", role.rawValue) }
    }
    if membership != .plain {
      meta("clone", "0")
      meta("clone_max", "2")
      meta("clone_node_max", "1")
      meta("globally_unique", "false")
      meta("notify", "false")
    }
    if isPromotable {
      // What a member of a promotable clone sees: the new names and the old ones.
      meta("promotable", "true")
      for role in ["promoted", "master"] {
        meta("\(role)_max", "1")
        meta("\(role)_node_max", "1")
      }
    }
    settings += parameters.map { Setting("OCF_RESKEY_\($0.name)", $0.value) }
    return settings
  }

  /// `inherited`, without what belongs to OCF (tracing excepted), and `settings`. The agent gives its reason whole: who runs
  /// it by hand has room for it.
  func environment(inherited: [String: String]) -> [String: String] {
    var environment = inherited.filter { !$0.key.hasPrefix("OCF_") || $0.key.hasPrefix("OCF_TRACE_") }
    environment["VPNHA_RUN"] = node ?? "1"
    for setting in settings { environment[setting.name] = setting.value }
    return environment
  }

  /// The call as a line for the shell, secrets hidden.
  var shellLine: String {
    let words = settings.map { "\($0.name)=\($0.isSecret ? "<secret>" : shellQuoted($0.value))" }
    return "env " + (words + ["\(shellQuoted(program)) \(shellQuoted(action))"]).joined(separator: " \\\n    ")
  }
}

extension Character {
  fileprivate var isAlphanumeric: Bool { isASCII && (isLetter || isNumber) }
}

extension Duration {
  var milliseconds: Int64 { nanoseconds / 1_000_000 }
}

/// `text` as one word of a POSIX shell.
func shellQuoted(_ text: String) -> String {
  let plain = text.utf8.allSatisfy { byte in
    Character(UnicodeScalar(byte)).isAlphanumeric || "_-./:,=@%+".utf8.contains(byte)
  }
  if plain, !text.isEmpty { return text }
  return "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: #"'\''"#) + "'"
}
