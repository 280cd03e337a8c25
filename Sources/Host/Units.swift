/// A unit as the service manager sees it (`org.freedesktop.systemd1.Unit`).
public struct Unit: Hashable, Sendable {
  public var name: String
  /// `loaded`, `not-found`, `masked`, `error` …
  public var loadState: String
  /// `active`, `activating`, `deactivating`, `inactive`, `failed`, `reloading`
  public var activeState: String
  /// `start-pre`, `running`, `auto-restart` …
  public var subState = ""
  /// How often the service manager has restarted it by itself (`NRestarts`).
  public var restarts: UInt32 = 0
  /// 0 when there is none.
  public var mainPID: Int32
  /// Where its definition lies; a generator's output (`/run/systemd/generator…`) marks an init script.
  public var fragmentPath: String

  public init(name: String, loadState: String, activeState: String, mainPID: Int32 = 0, fragmentPath: String = "") {
    self.name = name
    self.loadState = loadState
    self.activeState = activeState
    self.mainPID = mainPID
    self.fragmentPath = fragmentPath
  }

  /// Where the runtime drop-in of a unit lies (`Units.override`).
  public static func dropInPath(of name: String, below root: String = "/run/systemd/system") -> String { "\(root)/\(name).d/50-vpnha.conf" }

  public var isLoaded: Bool { loadState == "loaded" }
  /// A native unit, not one that systemd made of an init script.
  public var isNative: Bool { isLoaded && !fragmentPath.hasPrefix("/run/systemd/generator") }
}

/// How a job ended: `done`, `failed`, `timeout`, `canceled`, `dependency`, `skipped` (systemd D-Bus API, JobRemoved).
public struct JobResult: Hashable, Sendable {
  public var result: String
  public init(_ result: String) { self.result = result }
  public var isDone: Bool { result == "done" }
}

/// The service manager. Start and stop return when the *job* is done, not when it was queued.
public protocol Units: AnyObject {
  /// Whether systemd is the service manager here (`sd_booted(3)`).
  var isAvailable: Bool { get }
  func unit(_ name: String) throws(SystemError) -> Unit
  /// `ETIMEDOUT` when the job is not done by `deadline`; the job is then cancelled.
  func start(_ name: String, before deadline: Instant) throws(SystemError) -> JobResult
  func stop(_ name: String, before deadline: Instant) throws(SystemError) -> JobResult
  /// Forgets a failure, so that start limits do not stand in the way.
  func resetFailed(_ name: String) throws(SystemError)
  /// Writes a runtime drop-in (`/run/systemd/system/NAME.d/50-vpnha.conf`) and reloads the manager when it changed.
  func override(_ name: String, with text: String) throws(SystemError)
  /// Removes that drop-in and reloads the manager; nothing happens when there is none.
  func removeOverride(_ name: String) throws(SystemError)
}
