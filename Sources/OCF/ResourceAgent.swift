import Host

/// What an agent is, in the words of its metadata.
public struct About: Equatable, Sendable {
  /// One line.
  public var short: String
  public var long: String
  public init(_ short: String, _ long: String) {
    self.short = short
    self.long = long
  }
}

/// What an agent does in a process of its own, which an action has started and does not wait for.
public struct DetachedWork<Agent> {
  /// As the time of an action; nil for a resident.
  public let limit: Duration?
  public let run: (Agent, Call) -> Void

  public init(for limit: Duration?, run: @escaping (Agent, Call) -> Void) {
    self.limit = limit
    self.run = run
  }
}

/// One resource: what running means, how to get there, how to leave.
///
/// An agent observes and acts. Idempotence, deadlines, the exit status and the exit reason belong to the action loop
/// (`perform`), so an agent cannot get them wrong.
public protocol ResourceAgent {
  init()
  /// What the program does in a process of its own when these are its arguments, its own name first; nil: they ask for an action.
  static func detachedWork(for arguments: [String]) -> DetachedWork<Self>?
  static var about: About { get }
  /// Everything the agent can be asked to do. `promote`, `demote`, `notify` and `reload-agent` exist if and only if the
  /// type conforms to `PromotableAgent`, `NotifiableAgent`, `ReloadableAgent`.
  static var operations: [Operation] { get }

  /// Whether a start goes on without a reloadable value that cannot be read. False where such values are what the resource
  /// *is*, and not how it is run.
  static var startsWithDefaults: Bool { get }

  /// Whether the parameters fit each other. Looks at nothing but the parameters.
  func checkParameters() throws(OCFError)
  /// Whether this node can run the resource: programs, files, interfaces.
  func checkNode(_ call: Call) throws(OCFError)
  /// What would put a resource at risk that is started now: a start goes on with it. Asked after `checkNode`, by `validate-all`.
  func foreseen(_ call: Call) throws(OCFError) -> [Risk]
  /// What is there now, to `call.depth`. Never waits longer than an answer takes.
  func observe(_ call: Call) throws(OCFError) -> ResourceState
  /// Brings the resource up. Returns when an observation should find it running, throws as soon as waiting cannot help,
  /// and takes back what it launched when it throws.
  func start(_ call: Call) throws(OCFError)
  /// Removes every trace of the resource. Called also when nothing is there, when programs are missing and after a crash
  /// of any other action: it must cope.
  func stop(_ call: Call) throws(OCFError)
  /// How long a recurring monitor waits for events (see `WaitingRule`).
  var watch: WatchTime { get }
  /// Where a change of the verdict would show; empty: nowhere that can be watched.
  func eventSources(_ call: Call) throws(OCFError) -> [EventSource]
  /// Whether the type is a `PromotableAgent`. Asking at run time whether a type conforms costs a twentieth of a monitor.
  static var isPromotable: Bool { get }
  /// Whether a reload makes a promoted member the first choice until its next monitor (`Standing.reloaded`). One member of a group
  /// is enough: the one of which there must not be two.
  static var hasHeadStart: Bool { get }
  /// Whether a basic monitor looks as deep as the deeper one while the deeper one's finding stands that a standby could not serve:
  /// what mends it is an edit or a daemon's reload, and the close look changes nothing.
  static var looksAgainWhileUnfit: Bool { get }
  /// The files that a deep look judges, at most 32; folders too, where a new file counts. When one of them has changed since, the next
  /// basic monitor looks as deep.
  func judgedFiles(_ call: Call) -> [String]
  /// Whether there can be any: who has none reads no record.
  static var judgesFiles: Bool { get }
  /// What became of a resource that a recurring monitor finds stopped, and where to look; nil when nobody can tell.
  func obituary(_ call: Call) -> String?
  /// What a member that works holds at this moment, by name (`sas`, `sessions`, `flows`). Asked once a minute, after a deep
  /// monitor; what cannot be had is left out.
  func counts(_ call: Call) throws(OCFError) -> [String: UInt64]
  /// What this member has that its peers should have alike. Asked with a deep look; what cannot be read is left out.
  func commonThings(_ call: Call) throws(OCFError) -> [CommonThing]
}

extension ResourceAgent {
  public static func detachedWork(for arguments: [String]) -> DetachedWork<Self>? { nil }
  public static var startsWithDefaults: Bool { true }
  public func obituary(_ call: Call) -> String? { nil }
  public func counts(_ call: Call) throws(OCFError) -> [String: UInt64] { [:] }
  public func commonThings(_ call: Call) throws(OCFError) -> [CommonThing] { [] }
  public var watch: WatchTime { 0 }
  public func eventSources(_ call: Call) throws(OCFError) -> [EventSource] { [] }
  public static var isPromotable: Bool { false }
  public static var hasHeadStart: Bool { false }
  public static var looksAgainWhileUnfit: Bool { false }
  public static var judgesFiles: Bool { false }
  public func judgedFiles(_ call: Call) -> [String] { [] }
  public func checkParameters() throws(OCFError) {}
  public func checkNode(_ call: Call) throws(OCFError) {}
  public func foreseen(_ call: Call) throws(OCFError) -> [Risk] { [] }
}

/// An agent with a warm standby.
public protocol PromotableAgent: ResourceAgent {
  /// Makes this node the one that serves.
  func promote(_ call: Call) throws(OCFError)
  /// Does what a promotion brings with it and nobody has to wait for, once this node was seen to be the one that serves. The next
  /// member's promotion waits for its return: what takes time is asked for here, and its end is not awaited.
  func promoted(_ call: Call)
  /// Steps back to warm standby.
  func demote(_ call: Call) throws(OCFError)
}

extension PromotableAgent {
  public static var isPromotable: Bool { true }
  public func promoted(_ call: Call) {}
}

/// An agent that takes changed (reloadable) parameters without a restart.
public protocol ReloadableAgent: ResourceAgent {
  func reload(_ call: Call) throws(OCFError)
}

/// An agent that hears of its peers' steps.
public protocol NotifiableAgent: ResourceAgent {
  func notify(_ notification: Notification, _ call: Call) throws(OCFError)
}

/// One invocation: the machine, what was asked, and until when.
public struct Call {
  public private(set) var host: Host
  public let request: Request
  /// The action must have returned by now: the cluster's timeout less a margin for saying why.
  public private(set) var deadline: Instant
  /// As it was asked for, or deeper.
  public private(set) var depth: CheckLevel

  public init(host: Host, request: Request, deadline: Instant) {
    self.host = host
    self.request = request
    self.deadline = deadline
    depth = request.depth
  }

  public var log: any Log { host.log }
  /// Whether the resource is a member of a promotable clone.
  public var isPromotable: Bool { request.isPromotable }

  /// The same call with less time: `duration` from now, never beyond the deadline.
  public func within(_ duration: Duration) -> Call { with(deadline: min(deadline, host.clock.now + duration)) }

  /// The same call but for what is given.
  public func with(host: Host? = nil, deadline: Instant? = nil, depth: CheckLevel? = nil) -> Call {
    var call = self
    call.host = host ?? self.host
    call.deadline = deadline ?? self.deadline
    call.depth = depth ?? self.depth
    return call
  }

  /// Replaces what is kept for this instance as `kind`, below `Request.recordDirectory`: whole or not at all, and root's alone.
  public func keep(_ bytes: [UInt8], as kind: String) throws(SystemError) {
    try host.files.makeDirectory(Request.recordDirectory, mode: 0o755)
    try host.files.replace(request.recordPath(kind), with: bytes, mode: 0o600)
  }

  /// What was recorded under a member's number (`vip:0`), while its clone was globally unique, is the same member's without it.
  func adoptNumbered() {
    guard !request.isUnique else { return }
    let prefix = "vpnha-\(request.type)-\(request.instance):"
    do throws(SystemError) {
      for name in try host.files.entries(of: Request.recordDirectory) ?? [] where name.hasPrefix(prefix) {
        let parts = name.dropFirst(prefix.count).split(separator: ".", maxSplits: 1)
        guard parts.count == 2, parts[0].utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { continue }
        let (path, kind) = ("\(Request.recordDirectory)/\(name)", String(parts[1]))
        if try host.files.status(request.recordPath(kind)) == nil, let bytes = try host.files.read(path, limit: 1 << 20) { try keep(bytes, as: kind) }
        try host.files.remove(path)
      }
    } catch { log.warning("taking over what \(request.instance) recorded under a number: \(error)") }
  }

  /// Waits until `condition` holds; false when the deadline came first.
  public func until<Failure: Error>(_ condition: () throws(Failure) -> Bool) throws(Failure) -> Bool {
    try host.until(before: deadline, condition)
  }
}
