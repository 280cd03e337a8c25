import Host

/// An agent as its meta-data describes it (OCF Resource Agent API 1.1).
struct AgentDescription: Equatable {
  var name: String
  var short: String
  var long: String
  var parameters: [Parameter]
  var operations: [Operation]

  struct Parameter: Equatable {
    var name: String
    var short: String
    var long: String
    var type: String
    var defaultValue: String?
    var isRequired: Bool
    var isReloadable: Bool
    /// What stands in its place, or empty; nil unless it is deprecated.
    var deprecation: String?
  }

  struct Operation: Equatable {
    var name: String
    /// Seconds.
    var timeout: Int
    var interval: Int?
    var depth: Int?
    var role: String?
  }

  /// What the agent advises for `action` of a resource in that situation; the nearest entry where none fits exactly.
  func operation(_ action: String, depth: Int, role: String?) -> Operation? {
    let candidates = operations.filter { $0.name == action }
    func fits(_ operation: Operation) -> Int {
      (operation.depth ?? 0 == depth ? 2 : 0) + (operation.role == role ? 1 : 0)
    }
    return candidates.max { fits($0) < fits($1) }
  }

  /// Why `name` is no parameter of the agent; nil when it is one.
  func complaint(about name: String) -> String? {
    let known = parameters.map(\.name)
    if known.contains(name) { return nil }
    let wording = "\(name): no such parameter of \(self.name)"
    return nearest(to: name, among: known).map { "\(wording), did you mean \($0)?" } ?? wording
  }
}

/// `20s`, `20`, `20000ms` or `5min` in whole seconds, as Pacemaker reads a duration; nil for anything else.
func seconds(_ text: String) -> Int? {
  let digits = text.prefix { $0.isASCII && $0.isNumber }
  guard let number = Int(digits) else { return nil }
  switch text.dropFirst(digits.count).lowercased() {
  case "", "s", "sec": return number
  case "ms", "msec": return number / 1000
  case "m", "min": return number.multipliedReportingOverflow(by: 60).overflow ? nil : number * 60
  case "h", "hr": return number.multipliedReportingOverflow(by: 3600).overflow ? nil : number * 3600
  default: return nil
  }
}
