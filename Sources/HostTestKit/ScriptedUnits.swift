import Host

/// Units of a service manager. A start makes a loaded unit active, a stop makes it inactive.
public final class ScriptedUnits: Units {
  public var isAvailable: Bool
  public var known: [String: Unit] = [:]
  public private(set) var overrides: [String: String] = [:]
  public private(set) var reloads = 0
  /// How a unit's next jobs end, when not `done`.
  public var results: [String: JobResult] = [:]
  /// Units whose jobs never end.
  public var hanging: Set<String> = []
  /// Called after a start job was done: the daemon appears.
  public var started: (String) -> Void = { _ in }
  /// Called after a stop job was done: the daemon has gone.
  public var stopped: (String) -> Void = { _ in }

  private let calls: Calls
  private let clock: ManualClock

  public init(isAvailable: Bool = true, calls: Calls = Calls(), clock: ManualClock = ManualClock()) {
    self.isAvailable = isAvailable
    self.calls = calls
    self.clock = clock
  }

  /// A native unit, inactive.
  public func put(_ name: String, fragment: String? = nil) {
    known[name] = Unit(
      name: name, loadState: "loaded", activeState: "inactive", fragmentPath: fragment ?? "/lib/systemd/system/\(name)")
  }

  public func unit(_ name: String) throws(SystemError) -> Unit {
    try calls.sees("units.unit(\(name))")
    return known[name] ?? Unit(name: name, loadState: "not-found", activeState: "inactive")
  }
  public func start(_ name: String, before deadline: Instant) throws(SystemError) -> JobResult {
    try calls.changes("units.start(\(name))")
    return try job(name, "starting", "active", started, deadline)
  }
  public func stop(_ name: String, before deadline: Instant) throws(SystemError) -> JobResult {
    try calls.changes("units.stop(\(name))")
    return try job(name, "stopping", "inactive", stopped, deadline)
  }
  public func resetFailed(_ name: String) throws(SystemError) {
    try calls.changes("units.resetFailed(\(name))")
    if known[name]?.activeState == "failed" { known[name]?.activeState = "inactive" }
  }
  public func override(_ name: String, with text: String) throws(SystemError) {
    try calls.changes("units.override(\(name))")
    guard overrides[name] != text else { return }
    overrides[name] = text
    reloads += 1
  }
  public func removeOverride(_ name: String) throws(SystemError) {
    try calls.changes("units.removeOverride(\(name))")
    if overrides.removeValue(forKey: name) != nil { reloads += 1 }
  }

  private func job(
    _ name: String, _ verb: String, _ state: String, _ done: (String) -> Void, _ deadline: Instant
  ) throws(SystemError) -> JobResult {
    guard let unit = known[name], unit.isLoaded else {
      throw SystemError("\(verb) \(name)", .noSuchFile, detail: "Unit \(name) not found.")
    }
    if hanging.contains(name) {
      clock.sleep(until: deadline)
      throw SystemError("\(verb) \(name)", .timedOut)
    }
    if let result = results[name], !result.isDone {
      known[name]?.activeState = "failed"
      return result
    }
    known[name]?.activeState = state
    done(name)
    return JobResult("done")
  }
}
