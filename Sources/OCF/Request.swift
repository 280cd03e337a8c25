import Host

/// What the cluster (or a person) asked for, read once from the arguments and the environment.
public struct Request {
  /// The agent's own name: `OCF_RESOURCE_TYPE`, else the program's.
  public let type: String
  /// `OCF_RESOURCE_INSTANCE` without the number that `crm_resource` appends to a member of an anonymous clone (`xl2tpd:0`);
  /// `default` when it is not set.
  public let instance: String
  /// The name that the instances of a clone have in common: without `:0`.
  public var resource: Substring { instance.prefix { $0 != ":" } }
  /// The node attribute that says what puts the resource at risk.
  public var riskAttribute: String { "vpnha-risk-\(resource)" }
  /// The attribute, in the memory of the attribute daemons alone, that says when a member was last looked at closely.
  public var lookAttribute: String { "\(Look.prefix)\(resource)" }
  /// Nil when it is missing or not one of `Action`.
  public let action: Action?
  /// The word that was given.
  public let actionName: String
  public let depth: CheckLevel
  /// `CRM_meta_timeout`; 20 s when it cannot be read.
  public let timeout: Duration
  /// `CRM_meta_interval` in milliseconds; 0 for a probe and by hand.
  public let interval: Int64
  /// A monitor with interval 0, or without one: what is there before the cluster has done anything.
  public let isProbe: Bool
  /// Members of a cloned group get no `CRM_meta_promotable`; `promoted_max` (legacy `master_max`) they do get.
  public let isPromotable: Bool
  /// Whether each member of the clone has a name of its own, with its number.
  let isUnique: Bool
  /// The role that a recurring monitor is meant for (`CRM_meta_role`); nil for a plain resource, a probe and by hand.
  public let expectedRole: Role?
  /// The cluster's name for this node (`CRM_meta_on_node`), nil outside a cluster.
  public let nodeName: String?
  /// Whether the cluster calls. By hand (`vpnha run`, `crm_resource --force-…`) nobody names the node.
  public var isFromCluster: Bool { nodeName != nil }
  /// Asked by `vpnha`, for a person: a monitor looks, and sets nothing right.
  public var isForAPerson: Bool { environment["VPNHA_RUN"] != nil }
  /// The cluster's name for this node, also where `vpnha` asks and knows it; nil: nobody says it.
  public var home: String? { nodeName ?? environment["VPNHA_RUN"].flatMap { $0 == "1" ? nil : $0 } }
  /// `ocf-exit-reason:`, as the cluster wants it spelled.
  public let reasonPrefix: String
  /// `ocf-tester` asks agents to act as if no program were installed.
  public let pretendsNothingInstalled: Bool
  /// The whole environment.
  public let environment: [String: String]

  /// - Parameters:
  ///   - arguments: as `main` gets them; everything after the action is ignored.
  public init(arguments: [String], environment: [String: String]) {
    func meta(_ name: String) -> String? { environment["OCF_RESKEY_CRM_meta_\(name)"] }
    let program = arguments.first.map { $0.split(separator: "/").last.map(String.init) ?? $0 } ?? ""
    self.environment = environment
    type = environment["OCF_RESOURCE_TYPE"] ?? program
    let instance = environment["OCF_RESOURCE_INSTANCE"] ?? "default"
    isUnique = meta("globally_unique") == "true"
    let name = instance.prefix { $0 != ":" }
    let isNumbered = instance.dropFirst(name.count + 1).utf8.allSatisfy { (0x30...0x39).contains($0) }
    self.instance = isNumbered && !isUnique ? String(name) : instance
    actionName = arguments.dropFirst().first ?? ""
    action = Action(rawValue: actionName)
    depth = CheckLevel(Int(environment["OCF_CHECK_LEVEL"] ?? environment["OCF_RESKEY_OCF_CHECK_LEVEL"] ?? "") ?? 0)
    timeout =
      meta("timeout").flatMap { Int64($0) }.flatMap { (1...86_400_000).contains($0) ? .milliseconds($0) : nil }
      ?? .seconds(20)
    interval = meta("interval").flatMap { Int64($0) }.map { min(max($0, 0), 86_400_000) } ?? 0
    isProbe = action == .monitor && (meta("interval") ?? "0") == "0"
    isPromotable = meta("promoted_max") != nil || meta("master_max") != nil
    switch meta("role") {
    case "Promoted", "Master": expectedRole = .promoted
    case "Unpromoted", "Slave": expectedRole = .unpromoted
    default: expectedRole = nil
    }
    nodeName = meta("on_node")
    reasonPrefix = environment["OCF_EXIT_REASON_PREFIX"] ?? "ocf-exit-reason:"
    pretendsNothingInstalled = environment["OCF_TESTER_FAIL_HAVE_BINARY"] != nil
  }

  /// `TYPE-INSTANCE` as a file name. An id that is too long for one, or has characters that are kept out of it, is cut or changed, and
  /// told apart from others by a digest (FNV-1a) of the whole.
  public var recordName: String {
    let whole = "\(type)-\(instance)"
    // Every monitor asks, and nearly all names are as they may be: by bytes, since a `Character` costs a search for its end.
    if whole.utf8.count <= Self.longestName, whole.utf8.allSatisfy(Self.isPlain) { return whole }
    let name = String(whole.map { $0.utf8.count == 1 && $0.utf8.allSatisfy(Self.isPlain) ? $0 : "_" })
    let digest = whole.utf8.reduce(14_695_981_039_346_656_037 as UInt64) { ($0 ^ UInt64($1)) &* 1_099_511_628_211 }
    let digits = String(digest, radix: 16)
    return "\(name.prefix(Self.longestName - 20))-\(String(repeating: "0", count: 16 - digits.count))\(digits)"
  }
  private static func isPlain(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: ":"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"): true
    default: false
    }
  }
  /// In bytes. A file's name has 255 at most, and what is written beside it before it takes the name is some thirty longer.
  private static let longestName = 200
  /// Where resource agents keep what does not survive a reboot.
  public static let recordDirectory = Records.directory
  /// `/run/resource-agents/vpnha-TYPE-INSTANCE.KIND`
  public func recordPath(_ kind: String) -> String { "\(Self.recordDirectory)/vpnha-\(recordName).\(kind)" }

  /// The text of a parameter, nil when it is unset or empty.
  func parameter(_ name: String) -> String? {
    guard let text = environment["OCF_RESKEY_\(name)"], !text.isEmpty else { return nil }
    return text
  }

  /// When the action must be over. A tenth of the timeout, at most 1.5 s, is kept back: the executor kills with SIGKILL,
  /// and a killed agent gives no reason.
  public func deadline(from start: Instant) -> Instant {
    start + timeout - min(max(timeout / 10, .milliseconds(50)), .milliseconds(1500))
  }
}

extension Instant {
  static func - (a: Instant, b: Duration) -> Instant { a + .nanoseconds(-b.nanoseconds) }
}
