import Daemon
import Host
import OCF

extension Firewall {
  package func start(_ call: Call) throws(OCFError) {
    do throws(OCFError) {
      // What stands in for a wrong value is not what anybody asked for.
      if let problem = problems(call) { throw .failed(problem) }
      try load(call)
    } catch { try fallBack(after: error, call) }
    warnOfForwarding(call)
    warnOfConflicts(call, always: true)
  }

  package func reload(_ call: Call) throws(OCFError) {
    // A table that somebody has flushed since the last look comes back: the restart that a failure asks for would end the service.
    if try ourTable(call) == nil, try Record.read(call)?.table != table.description {
      throw .failed("reloading: table inet \(table) is not loaded")
    }
    try checkNode(call)
    try load(call)
  }

  /// Uses the table's name from the parameter and the one recorded at load, in case the parameter has changed since.
  package func stop(_ call: Call) throws(OCFError) {
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
      try attempt("ending an earlier load", !(try processes.running(binary.description).contains(where: isLoading)))
    }
    guard hasEnded else { throw .failed("ending an earlier load: \(binary) does not die") }
    if let underWay { throw .failed("ending an earlier load: \(underWay)") }
  }

  /// What a load of that table is recognised by in the arguments of nft.
  private static func owner(of table: String) -> String { "vpnha=\(table)" }

  private func remove(_ name: String, _ call: Call) throws(OCFError) {
    guard let found = try anyTable(name, call), Mark.isOurs(found.comment), Record.owner(of: name, call) == nil else { return }
    try attempt("stopping", try call.host.packetFilter.remove(found))
    call.log.info("table inet \(name) removed")
  }

  /// Puts the rules that the parameters ask for in force in place of those that are. What nft refuses is noted, and what
  /// it took is kept for a start that finds no better.
  func load(_ call: Call) throws(OCFError) {
    do throws(OCFError) {
      let definition = try definition(call)
      try load(definition, call)
      keep(definition, call)
      do throws(SystemError) {
        if try call.host.files.status(Refusal.path(call)) != nil { try call.host.files.remove(Refusal.path(call)) }
      } catch { call.log.warning("\(error)") }
    } catch {
      Refusal(of: wanted(call), error.reason).write(call)
      throw error
    }
  }

  /// Loads a definition, and records what the kernel made of it.
  private func load(_ definition: Definition, _ call: Call) throws(OCFError) {
    let before = try anyTable(table.description, call)
    if let before, !Mark.isOurs(before.comment) {
      throw .failed("table inet \(table) already exists and was not created by this agent; choose another name")
    }
    if before != nil, let owner = Record.owner(of: table.description, call) {
      throw .failed("table: inet \(table) is resource \(owner)'s; choose another name")
    }
    try run(definition, draining: before == nil ? [] : try draining(call), [], call)
    guard let loaded = try ourTable(call), Mark.digest(in: loaded.comment) == definition.digest else {
      throw .failed("loading: nft said that it loaded table inet \(table), and the kernel does not have it")
    }
    try Record(loaded, try contents(of: loaded, call)).write(call)
    definition.guarded.map { GuardedPort.write($0, call) }
    call.log.info("table inet \(table) loaded", ("VPNHA_DIGEST", definition.digest))
    if before.map({ Mark.digest(in: $0.comment) }) != definition.digest { publish(definition.digest, call) }
  }

  /// Leaves the rules in force that are, if they are whole, else loads the last good ones. Throws `refusal` when there are none.
  private func fallBack(after refusal: OCFError, _ call: Call) throws(OCFError) {
    do throws(OCFError) {
      if let found = try ourTable(call), try difference(found, call) == nil {
      } else if let kept = try kept(call) {
        try load(kept, call)
      } else {
        throw refusal
      }
    } catch {
      if error != refusal { call.log.warning(error.reason) }
      // Never leave a half-verified rule set loaded. What cannot be removed now is found by stop.
      do throws(OCFError) { try remove(table.description, call) } catch { call.log.warning(error.reason) }
      throw refusal
    }
    call.log.error("\(refusal.reason); the last good rules are in force")
  }

  private func draining(_ call: Call) throws(OCFError) -> [SetMember] {
    var members: [SetMember] = []
    for set in ["draining", "draining6"] {
      members += try attempt("loading", try call.host.packetFilter.members(of: set, in: table.description))
    }
    return members
  }

  /// Has nft read a definition from its standard input.
  func run(_ definition: Definition, draining: [SetMember] = [], _ options: [String], _ call: Call) throws(OCFError) {
    let command = Command(
      binary.description, options + ["--define", Self.owner(of: definition.table), "--file", "-"],
      input: definition.script(draining: draining), outputLimit: 16_384)
    let result: CommandResult
    do throws(SystemError) {
      result = try call.host.processes.run(command, before: call.deadline)
    } catch  where error.errno == .noSuchFile {
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
      throw .failed(complaint(words, status, about: definition))
    }
  }

  /// nft's first complaint, with the place in the operator's file: `extra: /etc/vpnha/extra.nft:3:5-9: syntax error, unexpected accept`.
  private func complaint(_ words: String, _ status: Int32, about definition: Definition) -> String {
    guard let line = words.split(separator: "\n").first(where: { $0.contains(" Error: ") || $0.hasPrefix("Error: ") }) else {
      return "loading: \(binary) ended with \(status): \(words.prefix { $0 != "\n" })"
    }
    // FILE:LINE:COLUMNS: Error: WORDS
    let parts = line.split(separator: ":", maxSplits: 4, omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 5, parts[3] == " Error", let number = Int(parts[1]) else { return "loading: \(line)" }
    guard parts[0] == "/dev/stdin" else { return "extra: \(parts[0]):\(number):\(parts[2]):\(parts[4])" }
    guard let extra, let lines = definition.extra, number >= lines.lowerBound else { return "loading: line \(number):\(parts[2]):\(parts[4])" }
    // What is left open in the file is missed behind it.
    let place = min(number, max(lines.upperBound - 1, lines.lowerBound)) - lines.lowerBound + 1
    return "extra: \(extra):\(place):\(parts[2]):\(parts[4])"
  }
}
