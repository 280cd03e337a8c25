import CLinux
import Host

/// The cluster's attributes through Pacemaker's own tools, forked with little time: its IPC is no stable interface.
public final class LinuxCluster: Cluster {
  private let processes: any Processes
  private let clock: any Clock
  private let patience: Duration
  private let updater: String
  private let lister: String

  /// - Parameters:
  ///   - patience: how long one tool may take.
  ///   - directory: where the tools of Pacemaker are.
  public init(
    processes: any Processes, clock: any Clock, patience: Duration = .seconds(3), directory: String = "/usr/sbin"
  ) {
    self.processes = processes
    self.clock = clock
    self.patience = patience
    updater = "\(directory)/attrd_updater"
    lister = "\(directory)/crm_node"
  }

  public func setPromotionScore(_ score: Int?, of resource: String) throws(SystemError) {
    let change = score.map { ["-U", String($0)] } ?? ["-D"]
    try run("setting the promotion score of \(resource)", Command(updater, ["-n", promotionScoreAttribute(of: resource)] + change))
  }

  public func takeUpAttributes() throws(SystemError) { try run("having the cluster take up its attributes", Command(updater, ["--refresh"])) }

  public func setNodeAttribute(_ name: String, to value: String?, dampening: Duration) throws(SystemError) {
    let seconds = Int(max(0, (dampening.nanoseconds + 999_999_999) / 1_000_000_000))
    let change = value.map { ["-B", $0, "-d", "\(seconds)s"] } ?? ["-D"]
    try run("setting node attribute \(name)", Command(updater, ["-n", name] + change))
  }

  public func share(_ value: String, as name: String, on node: String?) throws(SystemError) {
    let place = node.map { ["-N", $0] } ?? []
    try run("setting \(name)", Command(updater, ["-n", name, "-p", "-U", value] + place))
  }

  /// By the credentials of its socket's owner (`SO_PEERCRED`): libqb listens on an abstract socket, all 108 bytes of whose name
  /// count, and takes a caller that leaves without a word for one that changed its mind.
  public func attributeDaemon() throws(SystemError) -> Int32 {
    let operation = "looking for the attribute daemon"
    let socket = Descriptor(
      owning: try check(operation) { CLinux.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0) })
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { room in
      // The first byte stays 0: an abstract name.
      for (index, letter) in "attrd".utf8.enumerated() { room[index + 1] = letter }
    }
    try check(operation) { clinux_connect(socket.number, &address, socklen_t(MemoryLayout<sockaddr_un>.size)) }
    var credentials = ucred()
    var size = socklen_t(MemoryLayout<ucred>.size)
    try check(operation) { getsockopt(socket.number, SOL_SOCKET, SO_PEERCRED, &credentials, &size) }
    return credentials.pid
  }

  public func members() throws(SystemError) -> [String] {
    guard let result = try run("listing the nodes of the cluster", Command(lister, ["-l"])) else { return [] }
    // 1 moon member
    return String(decoding: result.output, as: UTF8.self).split(separator: "\n").compactMap { line in
      let words = line.split(separator: " ")
      return words.count == 3 && words[2] == "member" ? String(words[1]) : nil
    }
  }

  public func nodeAttribute(_ name: String) throws(SystemError) -> [String: String] {
    let command = Command(updater, ["-n", name, "-Q", "-A"])
    guard let result = try run("reading node attribute \(name)", command, mayBeAbsent: true) else { return [:] }
    return Self.attributes(in: String(decoding: result.output, as: UTF8.self))
  }

  /// Lines like `name="load" host="moon" value="1"`; other lines mean nothing.
  static func attributes(in text: String) -> [String: String] {
    var values: [String: String] = [:]
    for line in text.split(separator: "\n") {
      let parts = line.split(separator: "\"", omittingEmptySubsequences: false)
      guard parts.count == 7, parts[2] == " host=", parts[4] == " value=" else { continue }
      values[String(parts[3])] = String(parts[5])
    }
    return values
  }

  /// - Returns: nil when `mayBeAbsent` and there is no such object.
  @discardableResult
  private func run(_ operation: String, _ command: Command, mayBeAbsent: Bool = false) throws(SystemError) -> CommandResult? {
    let result: CommandResult
    do throws(SystemError) {
      result = try processes.run(command, before: clock.now + patience)
    } catch  where error.errno == .noSuchFile {
      throw SystemError(operation, .noSuchFile, detail: "\(command.path) is missing (package pacemaker-cli-utils)")
    }
    let words = String(decoding: result.error, as: UTF8.self).split(separator: "\n").first.map(String.init)
    switch result.ending {
    case .exited(0): return result
    // CRM_EX_NOSUCH, and what attrd_updater 2.1.5 says of an attribute that nobody has set (CRM_EX_CONFIG)
    case .exited(105) where mayBeAbsent, .exited(78) where mayBeAbsent: return nil
    case .exited(let status): throw SystemError(operation, Self.errno(ofExit: status), detail: words ?? "exit status \(status)")
    case .signalled(let number): throw SystemError(operation, .io, detail: "\(command.path) died of signal \(number)")
    case .timedOut: throw SystemError(operation, .timedOut)
    }
  }

  /// `crm_exit_t` of Pacemaker's `crm/common/results.h`.
  private static func errno(ofExit status: Int32) -> Errno {
    switch status {
    case 4: .accessDenied
    case 64, 65: .invalidArgument
    case 68, 69, 102: .connectionRefused
    case 105: .noSuchDeviceOrAddress
    case 124: .timedOut
    default: .io
    }
  }
}
