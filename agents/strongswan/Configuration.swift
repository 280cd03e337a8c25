import Daemon
import Host
import OCF
import VICI

/// strongSwan's command for loading what swanctl.conf says: files, keys and certificates it reads better than we would.
enum Swanctl {
  static let binary = "/usr/sbin/swanctl"

  /// Equivalent to: `swanctl --load-all`. It exits 0 on a syntax error and when there is nothing to load, so that the file
  /// is read before, and charon asked afterwards.
  static func loadAll(_ file: String, into vici: AbsolutePath) -> Command {
    Command(binary, ["--load-all", "--noprompt", "--file", file, "--uri", "unix://\(vici)"])
  }

  /// What `--load-all` does after the credentials. It ends at the first of them that holds an error.
  static func parts(_ file: String, into vici: AbsolutePath) -> [Command] {
    ["authorities", "pools", "conns"].map { Command(binary, ["--load-\($0)", "--file", file, "--uri", "unix://\(vici)"]) }
  }

  /// How it ends when something in the file was refused (EINVAL). The others are loaded.
  static let refused = CommandResult.Ending.exited(22)

  /// What it complained about, as a part of a reason: the last line that names a failure, else the last one.
  static func complaint(in output: [UInt8]) -> String? {
    let lines = lines(output)
    return lines.last { $0.contains(" failed: ") } ?? lines.last
  }

  static func lines(_ output: [UInt8]) -> [String] {
    output.split(separator: UInt8(ascii: "\n")).map { $0.prefix(200).printable }
  }
}

extension SettingsFile {
  /// What strongswan.conf tells charon-systemd: its own section comes before charon's.
  func daemonValue(_ path: String) -> String? {
    ["charon-systemd", "charon"].lazy.compactMap { root.value(at: "\($0).\(path)") }.first
  }
}

extension StrongSwan {
  static let daemonSettings = "/etc/strongswan.conf"

  /// Reads swanctl.conf and strongswan.conf with all they include.
  @discardableResult
  func checkSettings(_ call: Call) throws(OCFError) -> SettingsFile {
    let file = try settings(config.description, call, parameter: "config")
    if try attempt("looking for \(Self.daemonSettings)", try call.host.files.status(Self.daemonSettings)) != nil {
      _ = try settings(Self.daemonSettings, call, parameter: nil)
    }
    return file
  }

  /// Those of `connections` that `file` does not hold: swanctl would unload them. Sections that refer to others may hold more
  /// than they show.
  func absent(from file: SettingsFile) -> [String] {
    guard let section = file.root.section("connections") else { return connections }
    return section.references.isEmpty ? connections.filter { section.section($0) == nil } : []
  }

  private func settings(_ path: String, _ call: Call, parameter: String?) throws(OCFError) -> SettingsFile {
    do throws(SettingsError) { return try SettingsFile(reading: path, from: call.host.files) } catch {
      let reason = "\(parameter.map { "\($0): " } ?? "")\(error)"
      switch error.kind {
      // What is in a file is mended there, so nothing is barred for it until a cleanup.
      case .absent: throw .failed(parameter == nil ? reason : "config: \(path) is missing")
      case .unreadable, .tooLarge, .syntax: throw .failed(reason)
      }
    }
  }

  /// Loads connections and secrets and looks whether charon has them.
  func load(_ call: Call) throws(OCFError) {
    let file = try checkSettings(call)
    // A reload would have swanctl unload it. A start has nothing to lose: with the others some clients are served, and the
    // monitor says what is missing.
    let isStart = call.request.action == .start
    if !isStart, let missing = absent(from: file).first { throw .failed("connections: \(missing) is not in \(config)") }
    let lock = try exclusive(call)
    defer { lock.release() }
    let initiations = call.isPromotable ? Initiation.all(in: file) : []
    var source = config.description
    if !initiations.isEmpty {
      source = DaemonRole.path(for: call.request, "conf")
      try attempt("writing \(source)", try call.host.files.replace(source, with: Initiation.file(config, without: initiations), mode: 0o600))
    }
    defer {
      if source != config.description {
        do throws(SystemError) { try call.host.files.remove(source) } catch { call.log.warning("\(error)") }
      }
    }
    let command = Swanctl.loadAll(source, into: vici)
    let result = try attempt("loading \(config)", try call.host.processes.run(command, before: call.deadline))
    var output = result.error
    switch result.ending {
    case .exited(0): break
    // A reload says it, and what charon had of that name stays. A start goes on with the others.
    case Swanctl.refused where isStart:
      for part in Swanctl.parts(source, into: vici) {
        output += try attempt("loading \(config)", try call.host.processes.run(part, before: call.deadline)).error
      }
    case .exited(let status): throw .failed("loading \(config): \(Swanctl.complaint(in: result.error) ?? "swanctl exited with \(status)")")
    case .signalled(let signal): throw .failed("loading \(config): swanctl ended by signal \(signal)")
    case .timedOut: throw .failed("loading \(config): swanctl did not end in time")
    }
    let loaded = try ask(try connect(call, within: .seconds(5)).loadedConnections())
    let refused = result.ending == .exited(0) ? [] : self.refused(of: file, loaded, output)
    // One that would serve nobody is not started.
    if result.ending != .exited(0), !serves(loaded) { throw .failed("loading \(config): \(Swanctl.complaint(in: output) ?? "swanctl loaded nothing")") }
    Unloaded.write(refused, call)
    for risk in risks(refused, isPromoted: false) { call.log.error(risk.reason) }
    let excused = !isStart || loaded.isEmpty ? [] : Set(absent(from: file) + refused.map(\.name))
    if let missing = connections.first(where: { [had = Set(loaded)] in !had.contains($0) && !excused.contains($0) }) {
      throw .failed("connections: \(missing) is not in \(config)")
    }
    if loaded.isEmpty { call.log.warning("\(config) holds no connections") }
    call.log.info("loaded \(config)", ("VPNHA_CONNECTIONS", loaded.joined(separator: " ")))
  }

  /// The right to change something in charon: one such operation at a time on a node.
  func exclusive(_ call: Call) throws(OCFError) -> any FileLock {
    try attempt("making \(DaemonRole.directory)", try call.host.files.makeDirectory(DaemonRole.directory, mode: 0o755))
    return try ask(try Charon.lock(on: call.host, before: call.deadline))
  }
}

extension StrongSwan: ReloadableAgent {
  /// Takes changed parameters and files. A file with an error changes nothing; no SA is dropped.
  package func reload(_ call: Call) throws(OCFError) {
    try checkSettings(call)
    try ask(try connect(call, within: .seconds(5)).reloadSettings())
    try load(call)
    guard call.isPromotable else { return }
    let isPromoted = try attempt("reading the role", try daemon(call).find(call).map { (process) throws(SystemError) in try daemon(call).isPromoted(process, call) } ?? false)
    // The address may be another one now.
    if try hasHA(call) { try keepSilent(!isPromoted, call) }
    if isPromoted { initiate(call) }
  }
}
