import ArgumentParser
import Glibc
import Host
import JSON
import L2TP
import LinuxHost
import Sessions

struct SessionsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sessions",
    abstract: "List the L2TP sessions: who, with which addresses, since when, and what went through; end some.",
    discussion: """
      Asks the kernel and pppd, not xl2tpd: it works when the daemon hangs, and finds sessions whose daemon is gone. IN and \
      OUT are bytes from the client and to it. What is not known is shown as -, and is null in JSON: a session that is \
      still being set up has no address, and without the kernel's L2TP the outer address is known only with "pass peer = \
      yes" in xl2tpd's configuration.

      --refused lists who was not let in, why, and what to do about it, from the journal (or syslog) of this node.

      --all-nodes asks the cluster's other nodes as well, with ssh, as the user who runs this. --kick ends the sessions that \
      are shown, which says goodbye to the client; without --yes it only says which. Exits with 0; 2 when a session did not \
      end; 3 when something could not be found out.
      """)

  @Flag(help: "A list of JSON objects in place of a table.")
  var json = false
  @Flag(help: "All sessions, and all that is known of each, however wide.")
  var wide = false
  @Option(help: ArgumentHelp("Only this user's.", valueName: "name"))
  var user: String?
  @Option(help: ArgumentHelp("Only those with this address, inner or outer.", valueName: "address"))
  var address: String?
  @Flag(help: "The other nodes' as well.")
  var allNodes = false
  @Flag(help: "Clients that were not let in, and why, from what the daemons wrote.")
  var refused = false
  @Option(parsing: .unconditional, help: ArgumentHelp("--refused: from then on, as journalctl reads it.", valueName: "time"))
  var since = "-1d"
  @Option(help: ArgumentHelp("--refused: a file of syslog in place of the journal.", valueName: "file"))
  var log: String?
  @Flag(help: "End them; needs --user or --address, and --yes.")
  var kick = false
  @Flag(help: "Do what --kick says.")
  var yes = false
  @Option(help: ArgumentHelp("xl2tpd's configuration, which tells its sessions from others.", valueName: "file"))
  var config = "/etc/xl2tpd/xl2tpd.conf"

  func validate() throws {
    if let address, IPAddress(address) == nil { throw ValidationError("--address: expected an IP address, got \"\(address)\"") }
    if kick, user == nil, address == nil { throw ValidationError("--kick needs --user or --address: it ends every session that is shown") }
    if kick, allNodes { throw ValidationError("--kick ends sessions of this node; on another one: ssh NODE vpnha sessions … --kick") }
    if refused, kick || wide || allNodes { throw ValidationError("--refused lists what this node's daemons wrote, and goes with --user, --address and --json") }
    if log != nil, !refused { throw ValidationError("--log belongs to --refused") }
    if yes, !kick { throw ValidationError("--yes belongs to --kick") }
  }

  func run() throws {
    // Others see no program behind a process, and would be told that there is no session.
    guard geteuid() == 0 else { throw failed(SystemError("listing sessions", .notPermitted, detail: "only root sees which programs run")) }
    let host = Host.silent
    if refused { return try showRefusals(host) }
    var report: SessionReport
    // Before the sessions are: a pid that is another's by then is another process.
    var pppds: [Int32: Process] = [:]
    do throws(SystemError) {
      for pppd in try host.processes.running(SessionProcesses.program) { pppds[pppd.pid] = pppd }
      report = SessionReport(try rows(host))
      if allNodes { add(to: &report, host) }
    } catch { throw failed(error) }
    report.rows = report.rows.filter(isWanted)
    guard kick else {
      print(json ? report.json : wide ? report.wide : report.text(host.clock.timestamp))
      for node in report.silent where json { warn("\(node.node) is missing: \(node.why)") }
      if !report.silent.isEmpty { throw ExitCode(Verdict.unknown.rawValue) }
      return
    }
    guard yes else {
      print(json ? report.json : report.text(host.clock.timestamp))
      if !json { print(report.rows.isEmpty ? "nothing to end" : "--yes ends \(report.rows.count == 1 ? "it" : "all \(report.rows.count)")") }
      return
    }
    let left: [SessionRow]
    do throws(SystemError) { left = try end(report.rows, pppds, host) } catch { throw failed(error) }
    let ended = report.rows.filter { row in !left.contains(row) }
    print(json ? jsonArray(ended.map(\.json)) : "\(ended.count) of \(report.rows.count) session\(report.rows.count == 1 ? "" : "s") ended")
    for row in left { warn("\(row.user ?? "-") \(row.inner ?? "-"): \(row.pid == nil ? "no pppd carries it: end it at the client's, or it ends with its SA" : "its pppd is still there: pid \(row.pid ?? 0)")") }
    if !left.isEmpty { throw ExitCode(Verdict.bad.rawValue) }
  }

  private func showRefusals(_ host: Host) throws {
    do throws(SystemError) {
      var report = RefusalReport(refusals: RefusalReader(try RefusalReader.lines(since: since, file: log, on: host)).refusals, since: since)
      report.refusals = report.refusals.filter { one in
        if let user, one.user != user { return false }
        return address.flatMap { IPAddress($0)?.description }.map { $0 == one.address } ?? true
      }
      print(json ? report.json : report.text(host.clock.timestamp))
    } catch { throw failed(error) }
  }

  private func isWanted(_ row: SessionRow) -> Bool {
    if let user, row.user != user { return false }
    if let wanted = address.flatMap({ IPAddress($0) }), wanted != row.inner.flatMap({ IPAddress($0) }), wanted != row.outer.flatMap({ IPAddress($0) }) { return false }
    return true
  }

  private func rows(_ host: Host) throws(SystemError) -> [SessionRow] {
    let sessions = try SessionInventory(marks(host.files)).sessions(on: host)
    let carried = CarriedSessions(on: host)
    if carried.lines == nil { warn("the ledger of sessions gives no answer: which of them began elsewhere is not known") }
    let node = hostName()
    let known = sessions.compactMap(\.kernel)
    let alone = (carried.lines ?? []).filter { line in line.isCarried && !known.contains { $0.tunnel == line.tunnel && $0.session == line.session } }
    return sessions.map { SessionRow($0, on: node, carried: carried.isCarried($0)) } + alone.map { SessionRow($0, on: node) }
  }

  /// The cluster's other nodes, each asked by ssh.
  private func add(to report: inout SessionReport, _ host: Host) {
    let tools = PacemakerTools(host)
    let here = hostName()
    let nodes: [String]
    do throws(SystemError) { nodes = try tools.monitor().nodes.map(\.name) } catch {
      // Those of this node are known without the cluster.
      report.silent.append(("the other node", "\(error)"))
      return
    }
    for node in nodes where node != here {
      let command = Command.onNode(node, "vpnha sessions --json", outputLimit: 16 << 20)
      do throws(SystemError) {
        let result = try host.processes.run(command, before: host.clock.now + .seconds(15))
        guard result.succeeded, case .array(let list)? = JSONValue(result.output) else {
          report.silent.append((node, result.lastWords ?? "it gave no answer"))
          continue
        }
        report.rows += list.compactMap(SessionRow.init)
      } catch { report.silent.append((node, "\(error)")) }
    }
  }

  /// - Returns: those that are still there.
  private func end(_ rows: [SessionRow], _ pppds: [Int32: Process], _ host: Host) throws(SystemError) -> [SessionRow] {
    let theirs = rows.map { row in (row: row, pppd: row.pid.flatMap { Int32(exactly: $0) }.flatMap { pppds[$0] }) }
    for (_, pppd) in theirs {
      // It ends the link politely, and then itself (pppd(8), SIGTERM).
      if let pppd { try host.processes.signal(.terminate, to: pppd) }
    }
    var left = theirs
    _ = try host.until(before: host.clock.now + .seconds(8)) { () throws(SystemError) in
      var rest: [(row: SessionRow, pppd: Process?)] = []
      for one in left {
        guard let pppd = one.pppd else { continue }
        if try host.processes.isAlive(pppd) { rest.append(one) }
      }
      left = rest
      return rest.isEmpty
    }
    return theirs.filter { $0.pppd == nil }.map(\.row) + left.map(\.row)
  }

  /// A file that cannot be read is no reason to show nothing: the sessions of a daemon that runs are known by their parent.
  private func marks(_ files: any Files) -> SessionMarks {
    do {
      guard let bytes = try files.read(config, limit: 1 << 20) else { return SessionMarks() }
      return SessionMarks(try XL2TPDConfiguration(bytes))
    } catch {
      warn("\(config): \(error): sessions whose xl2tpd is gone may be missing")
      return SessionMarks()
    }
  }

  private func failed(_ error: SystemError) -> ExitCode {
    warn("\(error)")
    return ExitCode(Verdict.unknown.rawValue)
  }
}

/// Beside the answer, on standard error.
func warn(_ text: String) {
  let line = Array("vpnha: \(text)\n".utf8)
  _ = write(2, line, line.count)
}
