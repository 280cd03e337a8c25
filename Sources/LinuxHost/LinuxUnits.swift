import CLinux
import Host
import Systemd

/// The units of systemd. libsystemd is opened with the first question about a unit, not before.
public final class LinuxUnits: Units {
  private let manager: ServiceManager
  private let files: any Files
  private let clock: any Clock
  private let root: String
  private let patience: Duration
  private let reloadPatience: Duration
  private let deadline: Instant?
  private var isMute = false

  /// - Parameters:
  ///   - root: where runtime units are (`/run/systemd/system`).
  ///   - patience: how long systemd may take for an answer that is neither a job nor a reload.
  ///   - reloadPatience: how long it may take to read all units anew (over 4 s on a busy small machine).
  ///   - deadline: when the action ends that asks. No answer may take more than a third of what is left, but half a second always.
  public init(
    files: any Files, clock: any Clock, root: String = "/run/systemd/system", patience: Duration = .seconds(5),
    reloadPatience: Duration = .seconds(15), until deadline: Instant? = nil
  ) {
    manager = ServiceManager(clock: clock)
    self.files = files
    self.clock = clock
    self.root = root
    self.patience = patience
    self.reloadPatience = reloadPatience
    self.deadline = deadline
  }

  /// Asks with a limit. Who has not answered once is not waited for as long again: a stop asks several times, and has a daemon to end.
  private func ask<Value>(
    _ patience: Duration, _ question: (Instant) throws(SystemError) -> Value
  ) throws(SystemError) -> Value {
    let now = clock.now
    var limit = patience
    if let deadline { limit = min(limit, max((deadline - now) / 3, Self.leastPatience)) }
    if isMute { limit = min(limit, Self.leastPatience) }
    do throws(SystemError) {
      let answer = try question(now + limit)
      isMute = false
      return answer
    } catch {
      isMute = error.errno == .timedOut
      throw error
    }
  }
  private static let leastPatience = Duration.milliseconds(500)

  public var isAvailable: Bool {
    do throws(SystemError) { return try files.status(root)?.kind == .directory } catch { return false }
  }

  public func unit(_ name: String) throws(SystemError) -> Unit {
    try ask(patience) { limit throws(SystemError) in try manager.unit(name, before: limit) }
  }

  public func start(_ name: String, before deadline: Instant) throws(SystemError) -> JobResult {
    try manager.start(name, before: deadline)
  }
  public func stop(_ name: String, before deadline: Instant) throws(SystemError) -> JobResult {
    try manager.stop(name, before: deadline)
  }
  public func resetFailed(_ name: String) throws(SystemError) {
    try ask(patience) { limit throws(SystemError) in try manager.resetFailed(name, before: limit) }
  }

  public func override(_ name: String, with text: String) throws(SystemError) {
    let dropIn = try dropIn(name)
    let bytes = Array(text.utf8)
    if try files.read(dropIn.path, limit: 65_536) == bytes {
      // Unless somebody was killed between the file and the reload.
      let needsReload = try ask(patience) { limit throws(SystemError) in try manager.needsReload(name, before: limit) }
      guard needsReload else { return }
    } else {
      try files.makeDirectory(dropIn.directory, mode: 0o755)
      try files.replace(dropIn.path, with: bytes, mode: 0o644)
    }
    try ask(reloadPatience) { limit throws(SystemError) in try manager.reload(before: limit) }
  }

  public func removeOverride(_ name: String) throws(SystemError) {
    let dropIn = try dropIn(name)
    guard try files.status(dropIn.path) != nil else { return }
    try files.remove(dropIn.path)
    // Somebody else's drop-ins keep it.
    _ = rmdir(dropIn.directory)
    try ask(reloadPatience) { limit throws(SystemError) in try manager.reload(before: limit) }
  }

  private func dropIn(_ name: String) throws(SystemError) -> (directory: String, path: String) {
    guard !name.isEmpty, !name.contains("/"), !name.hasPrefix(".") else {
      throw SystemError("overriding unit \(name)", .invalidArgument, detail: "not a unit's name")
    }
    return ("\(root)/\(name).d", Unit.dropInPath(of: name, below: root))
  }
}
