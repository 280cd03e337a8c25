import ConntrackSync
import Daemon
import Host
import OCF

/// What a running conntrackd was told. It reads its file once, so what stood there at its start counts for as long as it runs.
struct Settings {
  var configuration: SyncConfiguration
  /// Why the next start would fail: the file is broken or missing now.
  var trouble: String?
}

extension Conntrackd {
  func settings(of process: Process, _ call: Call) throws(OCFError) -> Settings {
    let kept = keptConfiguration(of: process, call)
    do throws(OCFError) {
      let present = try presentConfiguration(call)
      if kept == nil { keep(present, of: process, call) }
      return Settings(configuration: kept ?? present)
    } catch {
      guard let kept else { throw error }
      return Settings(configuration: kept, trouble: error.reason)
    }
  }

  /// What `process` was told, or the last one that ran if it is nil. A record that cannot be read is none: it is only a hint.
  func keptConfiguration(of process: Process?, _ call: Call) -> SyncConfiguration? {
    do throws(SystemError) {
      guard let bytes = try call.host.files.read(notePath("settings", call), limit: 1 << 14) else { return nil }
      if let process, !bytes.starts(with: heading(process).utf8) { return nil }
      do { return try SyncConfiguration(bytes) } catch { return nil }
    } catch {
      call.log.debug("reading what conntrackd was told: \(error)")
      return nil
    }
  }

  func keep(_ configuration: SyncConfiguration, of process: Process, _ call: Call) {
    do throws(SystemError) {
      try call.keep(Array((heading(process) + configuration.text).utf8), as: "settings")
    } catch {
      call.log.debug("keeping what conntrackd was told: \(error)")
    }
  }

  private func heading(_ process: Process) -> String { "# \(process.pid) \(process.startTime)\n" }

  // MARK: - The file

  /// - Throws: `OCF_ERR_GENERIC`, since a file is mended without a change to the resource.
  func presentConfiguration(_ call: Call) throws(OCFError) -> SyncConfiguration {
    guard let configuration = try readConfiguration(call) else { throw .failed("config: \(config) is missing") }
    return configuration
  }

  /// Those that the file names.
  func interfaces(_ call: Call) throws(OCFError) -> [String] {
    let bytes = try attempt("config", try call.host.files.read(config.description, limit: 1 << 20)) ?? []
    do { return try SyncConfiguration.interfaces(in: bytes) } catch { throw .failed("config: \(config) \(error)") }
  }

  /// Nil when the file is missing.
  private func readConfiguration(_ call: Call) throws(OCFError) -> SyncConfiguration? {
    let bytes = try attempt("config", try call.host.files.read(config.description, limit: 1 << 20))
    guard let bytes else { return nil }
    do { return try SyncConfiguration(bytes) } catch { throw .failed("config: \(config) \(error)") }
  }

  /// Nil also when it cannot be read: what it would have named is then not known to be ours.
  func configurationIfReadable(_ call: Call) -> SyncConfiguration? {
    do throws(OCFError) { return try readConfiguration(call) } catch {
      call.log.warning(error.reason)
      return nil
    }
  }
}
