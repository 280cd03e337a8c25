import Host

/// Which L2TP sessions this node has: asked of the kernel and of what pppd keeps for its scripts. No text made for people is
/// read, and the daemon is not asked, so that one that hangs does not matter.
public struct SessionInventory {
  public var processes: SessionProcesses
  /// Where pppd keeps its variables (`_PATH_PPPDB`).
  public var database = "/run/pppd2.tdb"

  /// - Parameter marks: what tells a session whose server is gone from PPPoE and modems.
  public init(_ marks: SessionMarks = SessionMarks()) { processes = SessionProcesses(marks: marks) }

  /// Every session, the oldest first.
  public func sessions(on host: Host) throws(SystemError) -> [Session] {
    let ours = try processes.all(on: host)
    guard !ours.isEmpty else { return [] }
    let orphans = Set(try processes.orphans(on: host).map(\.pid))
    let variables = try variables(on: host)
    let interfaces = try interfaces(of: ours, variables, host)
    // Later than the processes: one that is listed had its chance to have an interface.
    let links = Dictionary(try host.network.pppLinks().map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    var sessions: [Session] = []
    for pppd in ours {
      let link = interfaces[pppd.pid].flatMap { links[$0] }
      let kernel = try kernelSocket(of: pppd, host)
      // What ended meanwhile is no session, and its number may be another's by now.
      guard try host.processes.isAlive(pppd) else { continue }
      sessions.append(
        Session(
          pid: pppd.pid, user: variables[pppd.pid, "PEERNAME"], inner: link?.peer,
          outer: kernel?.peer ?? word(after: "ipparam", in: pppd).flatMap { IPAddress($0) },
          received: link?.received, sent: link?.sent, since: since(pppd, host), interface: link?.name, kernel: kernel,
          isOrphan: orphans.contains(pppd.pid)))
    }
    return sessions.sorted { $0.since != $1.since ? $0.since.seconds < $1.since.seconds : $0.pid < $1.pid }
  }

  private func word(after word: String, in pppd: Process) -> String? {
    guard let index = pppd.arguments.firstIndex(of: word), index + 1 < pppd.arguments.count else { return nil }
    return pppd.arguments[index + 1]
  }

  /// pppd writes while we read, so what is not whole is looked at again.
  private func variables(on host: Host) throws(SystemError) -> PPPVariables {
    var found = PPPVariables()
    for _ in 0..<3 {
      guard let bytes = try host.files.read(database, limit: 1 << 26) else { return PPPVariables() }
      guard let variables = PPPVariables(bytes) else {
        throw SystemError("reading \(database)", .badMessage, detail: "it is no database of pppd's")
      }
      found = variables
      if found.isWhole { break }
    }
    return found
  }

  /// By pid: as pppd says itself, else from the file it writes for each interface.
  private func interfaces(of pppds: [Process], _ variables: PPPVariables, _ host: Host) throws(SystemError) -> [Int32: String] {
    var interfaces: [Int32: String] = [:]
    var open: Set<Int32> = []
    for pppd in pppds {
      if let name = variables[pppd.pid, "IFNAME"] { interfaces[pppd.pid] = name } else { open.insert(pppd.pid) }
    }
    guard !open.isEmpty else { return interfaces }
    for file in try host.files.entries(of: "/run") ?? [] where file.hasPrefix("ppp") && file.hasSuffix(".pid") {
      guard let bytes = try host.files.read("/run/\(file)", limit: 64),
        let word = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isWhitespace).first,
        let pid = Int32(word), open.contains(pid)
      else { continue }
      interfaces[pid] = String(file.dropLast(4))
    }
    return interfaces
  }

  /// Nil in userspace mode, and where the kernel does not let us look.
  private func kernelSocket(of pppd: Process, _ host: Host) throws(SystemError) -> L2TPSocket? {
    guard let number = word(after: "pppol2tp", in: pppd).flatMap({ Int32($0) }) else { return nil }
    do throws(SystemError) {
      return try host.sockets.l2tpSocket(of: pppd, descriptor: number)
    } catch {
      host.log.debug("looking at session of pppd \(pppd.pid): \(error)")
      return nil
    }
  }

  private func since(_ pppd: Process, _ host: Host) -> Timestamp {
    // Ticks of USER_HZ, which is 100 on every machine that Linux runs on today.
    let started = Int64(clamping: pppd.startTime / 100)
    let now = host.clock.now.nanoseconds / 1_000_000_000
    return Timestamp(seconds: host.clock.timestamp.seconds - max(0, now - started))
  }
}
