import OCF
import VICI

extension StrongSwan {
  /// `sas`: charon's IKE SAs, those that it holds for the peer among them.
  package func counts(_ call: Call) throws(OCFError) -> [String: UInt64] {
    ["sas": UInt64(clamping: try ask(try connect(call, within: .seconds(1)).statistics().ikeSAs))]
  }

  /// Whom both nodes let in with a secret: charon tells nobody the secrets that it has, so they are those of the file. One that both
  /// files have and one charon has not loaded is not seen here.
  package func commonThings(_ call: Call) throws(OCFError) -> [CommonThing] {
    let secrets = try checkSettings(call).resolved("secrets")?.sections ?? []
    // A private key and its passphrase may be a node's own.
    let shared = secrets.filter { section in ["ike", "eap", "xauth", "ntlm", "ppk"].contains(where: section.name.lowercased().hasPrefix) }
    let lines = shared.map { section in
      // A section's name, and the order of sections and owners, mean nothing.
      let kind = section.name.prefix { $0 != "-" && !$0.isNumber }.lowercased()
      let owners = section.settings.filter { $0.key.lowercased().hasPrefix("id") }.map { $0.value ?? "" }.sorted()
      return ([kind, section.value("secret") ?? ""] + owners).map { "\($0.utf8.count) \($0)" }.joined(separator: " ")
    }
    return [CommonThing("secrets", "the secrets in \(config)", Array(lines.sorted().joined(separator: "\n").utf8))]
  }
}
