import Daemon
import Host
import OCF

extension Firewall {
  func start(_ call: Call) throws(OCFError) {
    do throws(OCFError) { try load(call) } catch {
      // Rules that nothing is known of are not left in force. What cannot be removed now is found by stop.
      do throws(OCFError) { try remove(table.description, call) } catch { call.log.warning(error.reason) }
      throw error
    }
    warnOfForwarding(call)
    warnOfConflicts(call, always: true)
  }

  func reload(_ call: Call) throws(OCFError) {
    guard try ourTable(call) != nil else { throw .failed("reloading: table inet \(table) is not loaded") }
    try checkNode(call)
    try load(call)
  }

  /// Looks at no parameter but the table's name, and not even at that alone: the record knows which one was loaded.
  func stop(_ call: Call) throws(OCFError) {
    var names = [table.description]
    do throws(OCFError) {
      if let recorded = try Record.read(call)?.table, recorded != table.description { names.append(recorded) }
    } catch {
      call.log.warning(error.reason)
    }
    for name in names {
      try endLoading(name, call)
      try remove(name, call)
    }
    // Neither says anything once the table has gone.
    do throws(OCFError) { try Record.remove(call) } catch { call.log.warning(error.reason) }
    publish(nil, call)
  }

  /// Ends what an agent that was killed has left loading: it would bring the table back.
  private func endLoading(_ name: String, _ call: Call) throws(OCFError) {
    let processes = call.host.processes
    let isLoading = { (process: Process) in process.arguments.contains(Self.owner(of: name)) }
    let soon = call.within(.seconds(5))
    let underWay = soon.launchesUnderWay(.seconds(5))
    try attempt("ending an earlier load") { () throws(SystemError) in
      for process in try processes.running(binary.description) where isLoading(process) {
        try processes.signal(.kill, to: process)
      }
    }
    let hasEnded = try soon.until { () throws(OCFError) in
      try attempt("ending an earlier load") { () throws(SystemError) in
        !(try processes.running(binary.description).contains(where: isLoading))
      }
    }
    guard hasEnded else { throw .failed("ending an earlier load: \(binary) does not die") }
    if let underWay { throw .failed("ending an earlier load: \(underWay)") }
  }

  /// What a load of that table is recognised by in the arguments of nft.
  private static func owner(of table: String) -> String { "vpnha=\(table)" }

  private func remove(_ name: String, _ call: Call) throws(OCFError) {
    guard let found = try anyTable(name, call), Mark.isOurs(found.comment) else { return }
    try attempt("stopping") { () throws(SystemError) in try call.host.packetFilter.remove(found) }
    call.log.info("table inet \(name) removed")
  }

  /// Puts the rules in force in place of those that are, and keeps what the kernel made of them.
  private func load(_ call: Call) throws(OCFError) {
    let before = try anyTable(table.description, call)
    if let before, !Mark.isOurs(before.comment) {
      throw .wrongHere("table: inet \(table) is there already and somebody else's, choose another name")
    }
    let definition = try definition(call)
    try run(definition.script(draining: before == nil ? [] : try draining(call)), [], call)
    guard let loaded = try ourTable(call), Mark.digest(in: loaded.comment) == definition.digest else {
      throw .failed("loading: nft said that it loaded table inet \(table), and the kernel does not have it")
    }
    try Record(loaded, try contents(of: loaded, call)).write(call)
    call.log.info("table inet \(table) loaded", ("VPNHA_DIGEST", definition.digest))
    if before.map({ Mark.digest(in: $0.comment) }) != definition.digest { publish(definition.digest, call) }
  }

  private func draining(_ call: Call) throws(OCFError) -> [SetMember] {
    var members: [SetMember] = []
    for set in ["draining", "draining6"] {
      members += try attempt("loading") { () throws(SystemError) in
        try call.host.packetFilter.members(of: set, in: table.description)
      }
    }
    return members
  }

  /// Has nft read `script` from its standard input.
  func run(_ script: String, _ options: [String], _ call: Call) throws(OCFError) {
    let command = Command(binary.description, options + ["--define", Self.owner(of: table.description), "--file", "-"], input: Array(script.utf8), outputLimit: 16_384)
    let result: CommandResult
    do throws(SystemError) {
      result = try call.host.processes.run(command, before: call.deadline)
    } catch where error.errno == .noSuchFile {
      throw .missing(binary.description, package: "nftables")
    } catch {
      throw explain(error, while: "loading")
    }
    switch result.ending {
    case .exited(0): return
    case .timedOut: throw .failed("loading: \(binary) did not end in time")
    case .signalled(let number): throw .failed("loading: \(binary) died of signal \(number)")
    case .exited(let status):
      let words = String(decoding: result.error, as: UTF8.self)
      call.log.warning("\(binary): \(words.split(separator: "\n").prefix(8).joined(separator: " | "))")
      throw refusal(words, status)
    }
  }

  /// nft's first complaint: `/etc/vpnha/extra.nft:3:5-9: Error: syntax error, unexpected accept`.
  private func refusal(_ words: String, _ status: Int32) -> OCFError {
    guard let line = words.split(separator: "\n").first(where: { $0.contains(" Error: ") || $0.hasPrefix("Error: ") }) else {
      return .failed("loading: \(binary) ended with \(status): \(words.prefix { $0 != "\n" })")
    }
    if let extra, line.hasPrefix("\(extra):") { return .wrongHere("extra: \(line)") }
    return .failed("loading: \(line)")
  }
}
