import Host
import L2TP

/// The pppds that carry the sessions of an xl2tpd.
///
/// A pppd is one of them when the daemon is its parent, or when its command line bears the daemon's marks and no other living
/// xl2tpd is its parent. A pppd of PPPoE or of a modem is neither.
public struct SessionProcesses {
  public static let program = "/usr/sbin/pppd"

  /// The daemon's program, and which of the processes that run it are meant.
  public var server: String
  public var isOurs: (Process) -> Bool
  public var marks: SessionMarks

  public init(of server: String = "/usr/sbin/xl2tpd", marks: SessionMarks, isOurs: @escaping (Process) -> Bool = { _ in true }) {
    self.server = server
    self.marks = marks
    self.isOurs = isOurs
  }

  /// Every session's pppd, without the children it forks to run its scripts.
  public func all(on host: Host) throws(SystemError) -> [Process] {
    let found = try find(on: host)
    return found.pppds.filter { found.daemons.contains($0.parent) || found.isOrphan($0) }
  }

  /// Those whose daemon is gone: they answer nobody and hold interfaces, routes and addresses.
  public func orphans(on host: Host) throws(SystemError) -> [Process] {
    let found = try find(on: host)
    return found.pppds.filter(found.isOrphan)
  }

  private struct Found {
    var pppds: [Process]
    var daemons: Set<Int32>
    var others: Set<Int32>
    var marks: SessionMarks

    func isOrphan(_ pppd: Process) -> Bool {
      !daemons.contains(pppd.parent) && !others.contains(pppd.parent) && marks.areOn(pppd)
    }
  }

  private func find(on host: Host) throws(SystemError) -> Found {
    let servers = try host.processes.running(server)
    let all = try host.processes.running(Self.program)
    let pids = Set(all.map(\.pid))
    return Found(
      pppds: all.filter { !pids.contains($0.parent) }, daemons: Set(servers.filter(isOurs).map(\.pid)),
      others: Set(servers.filter { !isOurs($0) }.map(\.pid)), marks: marks)
  }
}

/// What an xl2tpd of some configuration writes on the command lines of its pppds (xl2tpd 1.3.18, `start_pppd` and
/// `control_finish`): the option file, if there is one; the kernel's session or a pseudo-terminal; `LOCAL:REMOTE`.
public struct SessionMarks: Sendable {
  public var optionFiles: Set<String> = []
  public var servers: [XL2TPDConfiguration.Server] = []
  /// What other xl2tpds of this node give out: a file of options may be theirs as well.
  public var foreign: [XL2TPDConfiguration.Server] = []

  public init(optionFiles: some Sequence<String> = []) { self.optionFiles = Set(optionFiles) }

  public init(_ configuration: XL2TPDConfiguration) {
    optionFiles = Set(configuration.pppOptionFiles)
    servers = configuration.servers
  }

  public mutating func formUnion(_ other: SessionMarks) {
    optionFiles.formUnion(other.optionFiles)
    servers += other.servers
    foreign += other.foreign
  }

  /// Whether a pppd whose parent is no xl2tpd was started by one of this configuration.
  ///
  /// Without an option file of ours its daemon must have gone, which leaves it to init: another program's pppd has that
  /// program for its parent.
  func areOn(_ pppd: Process) -> Bool {
    let words = pppd.arguments.dropFirst()
    let pair = words.lazy.compactMap(Pair.init).first
    func gives(_ servers: [XL2TPDConfiguration.Server]) -> Bool? { pair.map { pair in servers.contains { $0.gives(local: pair.local, remote: pair.remote) } } }
    if gives(foreign) == true, gives(servers) == false { return false }
    if zip(words, words.dropFirst()).contains(where: { $0 == "file" && optionFiles.contains($1) }) { return true }
    guard pppd.parent == 1 else { return false }
    let isInRange = gives(servers)
    if words.contains("pppol2tp_lns_mode") { return isInRange ?? true || servers.isEmpty }
    let isSession = words.contains("pppol2tp") || words.first?.hasPrefix("/dev/pts/") == true
    return isSession && words.contains("passive") && words.contains("nodetach") && pair?.remote != nil && isInRange == true
  }

  private struct Pair {
    var local: IPAddress?
    var remote: IPAddress?

    /// `10.5.0.1:10.5.0.100`; either side may be empty.
    init?(_ word: String) {
      let sides = word.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
      guard sides.count == 2, sides.allSatisfy({ $0.isEmpty || IPAddress($0) != nil }) else { return nil }
      (local, remote) = (IPAddress(sides[0]), IPAddress(sides[1]))
    }
  }
}
