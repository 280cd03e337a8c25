import Host
import OCF

/// The role that the cluster gave to one instance of a daemon, which neither daemon nor kernel can tell.
///
/// Written after the fact, whole or not at all, and bound to the daemon's pid and start time: another instance of the
/// daemon is unpromoted. It lies under `/run`, so that it does not outlive a reboot. Never believed alone.
public struct DaemonRole: Equatable, Sendable {
  public var role: Role
  public var pid: Int32
  public var startTime: UInt64

  public init(_ role: Role, of process: Process) {
    self.role = role
    pid = process.pid
    startTime = process.startTime
  }

  /// Whether it was written for this very process.
  public func isAbout(_ process: Process) -> Bool { pid == process.pid && startTime == process.startTime }

  /// `/run/resource-agents/vpnha-TYPE-INSTANCE.role`, or what else an agent keeps for this instance.
  public static func path(for request: Request, _ kind: String = "role") -> String {
    request.recordPath(kind)
  }
  /// Where resource agents keep what does not survive a reboot.
  public static let directory = Request.recordDirectory

  /// The record, nil when there is none or it is not one of ours.
  public static func read(_ call: Call) throws(SystemError) -> DaemonRole? {
    try call.host.files.read(path(for: call.request), limit: 256).flatMap { DaemonRole($0) }
  }

  /// The other resource of this agent whose record names `process`; nil when it is nobody else's, or that cannot be told.
  static func owner(of process: Process, _ call: Call) -> String? {
    do throws(SystemError) {
      if let own = try read(call), own.isAbout(process) { return nil }
      let owner = try call.host.files.records(of: call.request.type, as: "role", limit: 256).first { DaemonRole($0.bytes)?.isAbout(process) == true }?.instance
      // Ours while the clone was globally unique.
      return owner.flatMap { Request(arguments: [], environment: ["OCF_RESOURCE_INSTANCE": $0]).instance == call.request.instance ? nil : $0 }
    } catch { call.log.debug("looking for whose \(process.executable) (pid \(process.pid)) is: \(error)") }
    return nil
  }

  /// Replaces the record.
  public func write(_ call: Call) throws(SystemError) {
    try call.keep(Array("\(role.rawValue) \(pid) \(startTime)\n".utf8), as: "role")
  }

  public static func remove(_ call: Call) throws(SystemError) { try call.host.files.remove(path(for: call.request)) }

  /// `ROLE PID STARTTIME`; nil for anything else.
  private init?(_ bytes: [UInt8]) {
    let words = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isWhitespace)
    guard words.count == 3, let role = Role(rawValue: String(words[0])), let pid = Int32(words[1]), let startTime = UInt64(words[2]) else { return nil }
    (self.role, self.pid, self.startTime) = (role, pid, startTime)
  }
}

extension Call {
  /// Why a daemon that ran here does not run, for the recurring monitor that finds it gone: it ended by itself, or by somebody's hand.
  /// Nil where nobody expected it to run; every stop of ours removes the record.
  /// - Parameter identifier: what its entries in the log are marked with; the program's name where nothing is said.
  public func obituary(of program: String, loggedAs identifier: String? = nil) -> String? {
    let name = program.split(separator: "/").last.map(String.init) ?? program
    guard request.action == .monitor, !request.isProbe else { return nil }
    do throws(SystemError) {
      guard let record = try DaemonRole.read(self) else { return nil }
      if let process = try host.processes.process(record.pid), record.isAbout(process), process.state != "Z" { return nil }
      return "\(name) (pid \(record.pid)) is gone, and the cluster did not stop it: see journalctl -t \(identifier ?? name)"
    } catch { return nil }
  }
}
