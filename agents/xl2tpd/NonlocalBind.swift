import Daemon
import Host
import OCF

/// `net.ipv4.ip_nonlocal_bind`, which a standby needs to bind an address that is not there.
///
/// Each instance that relies on it leaves a mark while it is set for our sake; the last one to stop switches it off. What
/// an administrator has set stays.
struct NonlocalBind {
  static let parameter = "net.ipv4.ip_nonlocal_bind"
  private static let suffix = "nonlocal"
  private static let lock = "\(DaemonRole.directory)/vpnha-nonlocal-bind.lock"

  let call: Call
  private var files: any Files { call.host.files }
  private var mark: String { DaemonRole.path(for: call.request, Self.suffix) }

  init(_ call: Call) { self.call = call }

  func isAllowed() throws(OCFError) -> Bool {
    try attempt("reading \(Self.parameter)", try files.kernelParameter(Self.parameter) == "1")
  }

  /// Switches it on. That it was us is noted as well as can be: what stays on in the end harms nobody.
  func allow() throws(OCFError) {
    let lock = hold()
    defer { lock?.release() }
    let wasAllowed = try isAllowed()
    if !wasAllowed {
      try attempt("nonlocal_bind", try files.setKernelParameter(Self.parameter, to: "1"))
      call.log.info("set \(Self.parameter)")
    }
    do throws(SystemError) {
      if wasAllowed, try marks().isEmpty { return }
      try call.keep([], as: Self.suffix)
    } catch { call.log.warning("noting who set \(Self.parameter): \(error)") }
  }

  /// Switches it off where it was us, and nobody of ours is left who needs it.
  func restore() {
    do throws(SystemError) {
      guard try files.status(mark) != nil else { return }
      let lock = try files.lock(Self.lock, before: call.within(.seconds(1)).deadline)
      defer { lock.release() }
      try files.remove(mark)
      guard try marks().isEmpty else { return }
      try files.setKernelParameter(Self.parameter, to: "0")
      call.log.info("set \(Self.parameter) back to 0")
    } catch { call.log.warning("setting \(Self.parameter) back: \(error)") }
  }

  private func marks() throws(SystemError) -> [String] {
    try (files.entries(of: DaemonRole.directory) ?? []).filter { $0.hasPrefix("vpnha-") && $0.hasSuffix(".\(Self.suffix)") }
  }

  private func hold() -> (any FileLock)? {
    do throws(SystemError) {
      try files.makeDirectory(DaemonRole.directory, mode: 0o755)
      return try files.lock(Self.lock, before: call.within(.seconds(1)).deadline)
    } catch {
      call.log.debug("\(error)")
      return nil
    }
  }
}
