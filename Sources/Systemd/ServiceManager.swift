import Host

/// systemd over D-Bus (org.freedesktop.systemd1(5)). Connects when it is first asked something.
public final class ServiceManager {
  private let clock: any Clock
  private var bus: Bus?

  public init(clock: any Clock) { self.clock = clock }

  public func unit(_ name: String, before deadline: Instant) throws(SystemError) -> Unit {
    try connected(before: deadline) { (bus) throws(SystemError) in
      let operation = "looking at unit \(name)"
      // LoadUnit, in contrast to GetUnit, knows units that nothing has asked for yet.
      let path = try bus.call(operation, .manager, "LoadUnit", [name], answersPath: true, before: deadline)
      func text(_ property: String) throws(SystemError) -> String {
        try bus.text(operation, .unit(path), property, before: deadline)
      }
      var unit = Unit(name: name, loadState: try text("LoadState"), activeState: try text("ActiveState"))
      unit.fragmentPath = try text("FragmentPath")
      unit.subState = try text("SubState")
      if name.hasSuffix(".service") {
        unit.mainPID = Int32(clamping: try bus.number(operation, .service(path), "MainPID", before: deadline))
        unit.restarts = try bus.number(operation, .service(path), "NRestarts", before: deadline)
      }
      return unit
    }
  }

  /// Whether what systemd has loaded of `name` is older than its files.
  public func needsReload(_ name: String, before deadline: Instant) throws(SystemError) -> Bool {
    try connected(before: deadline) { (bus) throws(SystemError) in
      let operation = "looking at unit \(name)"
      let path = try bus.call(operation, .manager, "LoadUnit", [name], answersPath: true, before: deadline)
      return try bus.number(operation, .unit(path), "NeedDaemonReload", type: "b", before: deadline) != 0
    }
  }

  /// Returns when the job has ended, whatever its result.
  ///
  /// - Throws: `ETIMEDOUT` at `deadline`; the job is then cancelled.
  ///   Equivalent to: `systemctl start NAME`.
  public func start(_ name: String, before deadline: Instant) throws(SystemError) -> JobResult {
    try job("starting \(name)", "StartUnit", name, deadline)
  }

  /// Equivalent to: `systemctl stop NAME`.
  public func stop(_ name: String, before deadline: Instant) throws(SystemError) -> JobResult {
    try job("stopping \(name)", "StopUnit", name, deadline)
  }

  /// Equivalent to: `systemctl reset-failed NAME`. A unit that is not loaded has no failure.
  public func resetFailed(_ name: String, before deadline: Instant) throws(SystemError) {
    try connected(before: deadline) { (bus) throws(SystemError) in
      do throws(SystemError) {
        try bus.call("forgetting the failure of \(name)", .manager, "ResetFailedUnit", [name], before: deadline)
      } catch  where error.errno == .noSuchFile {}
    }
  }

  /// Equivalent to: `systemctl daemon-reload`.
  public func reload(before deadline: Instant) throws(SystemError) {
    try connected(before: deadline) { (bus) throws(SystemError) -> Void in
      try bus.call("reloading systemd", .manager, "Reload", before: deadline)
    }
  }

  private func job(_ operation: String, _ method: String, _ name: String, _ deadline: Instant) throws(SystemError) -> JobResult {
    try connected(before: deadline) { (bus) throws(SystemError) in
      try bus.watchJobs(before: deadline)
      let job = try bus.call(operation, .manager, method, [name, "replace"], answersPath: true, before: deadline)
      while true {
        if let result = bus.endedJobs[job] { return JobResult(result) }
        guard clock.now < deadline else { break }
        try bus.wait(before: deadline, operation)
      }
      do throws(SystemError) {
        try bus.call(operation, .job(job), "Cancel", before: clock.now + .milliseconds(500))
      } catch {
        // It has ended meanwhile, or the manager hangs: the caller hears of the deadline either way.
      }
      throw SystemError(operation, .timedOut, detail: "the job is not done in time")
    }
  }

  /// A connection that failed is not used again.
  private func connected<Value>(
    before deadline: Instant, _ body: (Bus) throws(SystemError) -> Value
  ) throws(SystemError) -> Value {
    let bus = if let open = self.bus { open } else { try Bus(try SystemdLibrary(), clock: clock, before: deadline) }
    self.bus = bus
    do throws(SystemError) {
      return try body(bus)
    } catch {
      switch error.errno {
      case .noSuchFile, .notPermitted, .accessDenied: break
      default: self.bus = nil
      }
      throw error
    }
  }
}
