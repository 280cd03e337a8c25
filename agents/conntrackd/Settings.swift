import ConntrackSync
import Daemon
import Host
import OCF

/// What a running conntrackd was told. It reads its file once, so what stood there at its start counts for as long as it runs.
struct Settings {
  var configuration: SyncConfiguration
  /// Why the next start would fail, or make a difference: the file is broken, missing or another one now.
  var trouble: String?
  /// Whether nobody knows what it was told: what the program takes by itself stands here then.
  var isGuessed = false
}

extension Conntrackd {
  func settings(of process: Process, _ call: Call) -> Settings {
    let kept = keptConfiguration(of: process, call)
    do throws(OCFError) {
      let present = try presentConfiguration(call)
      if kept == nil { keep(present, of: process, call) }
      let isOld = call.depth >= .service && kept.map { $0 != present } ?? false
      return Settings(configuration: kept ?? present, trouble: isOld ? "config: \(config) has changed since conntrackd was started, and counts from its next start" : nil)
    } catch {
      // The record has gone as well (/run was emptied, or somebody else started the daemon): no reason to end one that runs.
      guard let kept else { return Settings(configuration: SyncConfiguration(), trouble: error.reason, isGuessed: true) }
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

  // MARK: - What the daemon would say of it

  /// Why a daemon that is started with `configuration` ends at once, or replicates nothing; nil when nothing is known against it.
  func refusal(of configuration: SyncConfiguration, _ call: Call) -> String? { misplaced(configuration, call) ?? syntaxError(call) }

  /// The same of what stands in the file now.
  func presentRefusal(_ call: Call) -> String? {
    do throws(OCFError) { return refusal(of: try presentConfiguration(call), call) } catch { return error.reason }
  }

  /// A link that begins at another node: the file is the peer's. Where `net.ipv4.ip_nonlocal_bind` is on, the daemon starts all the same.
  private func misplaced(_ configuration: SyncConfiguration, _ call: Call) -> String? {
    func isHere(_ text: String) -> Bool? {
      guard let address = IPAddress(text) else { return nil }
      do throws(SystemError) { return try call.host.network.holds(address) } catch {
        call.log.debug("looking for \(address): \(error)")
        return nil
      }
    }
    for link in configuration.links where isHere(link.local) == false {
      guard let remote = link.remote, isHere(remote) == true else { return "config: \(link.local) in \(config) is not on this node" }
      return "config: exchange \(link.local) and \(remote) in \(config): the file is the other node's"
    }
    return nil
  }

  /// In conntrackd's own words. Its client reads the whole file before it asks the daemon for anything.
  private func syntaxError(_ call: Call) -> String? {
    let command = Command(binaryPath(call), ["-C", config.description, "-s"], outputLimit: 1 << 20)
    do throws(SystemError) {
      let result = try call.host.processes.run(command, before: call.within(.seconds(2)).deadline)
      // parsing config file in line (13), symbol 'HashSise': syntax error
      let lines = String(decoding: result.error + result.output, as: UTF8.self).split(whereSeparator: \.isNewline)
      guard let line = lines.first(where: { $0.contains("parsing config file in line (") }) else { return nil }
      let number = line.split(separator: "line (").last?.prefix { $0 != ")" } ?? ""
      let symbol = line.split(separator: "symbol '").dropFirst().first?.prefix { $0 != "'" } ?? ""
      return "config: \(config) line \(number): syntax error at '\(symbol)'"
    } catch {
      call.log.debug("asking conntrackd about its file: \(error)")
      return nil
    }
  }
}
