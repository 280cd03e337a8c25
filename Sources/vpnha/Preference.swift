import Host

/// Where a service is to run from now on: the constraint of `crm_resource --move --lifetime`, which `crm_resource --clear` takes away, but
/// with the role where it counts. Pacemaker 2.1.5 reads it from the rule alone (`generate_location_rule`), crm_resource writes it into the
/// constraint: that then holds for every role, and where the target's promotion score is the lower one Pacemaker plans to stop both
/// members and to start them in each other's place, again and again.
struct Preference {
  var resource: String
  var node: String
  var isPromoted: Bool
  /// When it ends by itself; nil: never.
  var end: Timestamp?

  /// More than all else that speaks for a node.
  private static let score = 100_000

  var xml: String {
    let (name, role) = (resource.inXML, isPromoted ? " role=\"Promoted\"" : "")
    let end = end.map { "<date_expression id=\"cli-prefer-lifetime-end-\(name)\" operation=\"lt\" end=\"\($0)\"/>" } ?? ""
    return "<rsc_location id=\"cli-prefer-\(name)\" rsc=\"\(name)\"\(role)>"
      + "<rule id=\"cli-prefer-rule-\(name)\"\(role) score=\"\(Self.score)\" boolean-op=\"and\">"
      + "<expression id=\"cli-prefer-expr-\(name)\" attribute=\"#uname\" operation=\"eq\" value=\"\(node.inXML)\" type=\"string\"/>\(end)</rule></rsc_location>"
  }
  var arguments: [String] { ["--modify", "--allow-create", "--scope", "constraints", "--xml-text", xml] }
  var typed: String { "cibadmin --modify --allow-create --scope constraints --xml-text '\(xml)'" }
}

extension String {
  /// As the value of an attribute.
  var inXML: String {
    replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;").replacing("\"", with: "&quot;").replacing("\n", with: "&#10;")
  }
}
