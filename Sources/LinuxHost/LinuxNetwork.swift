import CLinux
import Host
import Netlink

/// The kernel's network configuration over rtnetlink and XFRM, and packet sockets for what goes on the wire.
///
/// Sockets are opened when they are first needed and kept.
public final class LinuxNetwork: Network {
  let processes: any Processes
  /// The program that runs `announce`: ours.
  let program: String
  /// Where the sockets are opened; nil is where the process is.
  let namespace: NetworkNamespace?
  var others: [String: LinuxNetwork] = [:]
  var routing: Connection?
  private var transforms: Connection?
  private var diagnostics: Connection?
  /// IPVS, and its number as a family.
  var balancing: (Connection, UInt16)?
  private var datagrams: Descriptor?
  var announcing: PacketSocket?
  /// The interface that was last asked for, which is the one that messages are about.
  var latest: Link?

  /// - Parameter program: what continues an announcement in the background by `runAnnouncer`; by default this program.
  public convenience init(processes: any Processes, program: String? = nil) {
    self.init(processes: processes, program: program ?? Self.executable, namespace: nil)
  }

  private init(processes: any Processes, program: String, namespace: NetworkNamespace?) {
    self.processes = processes
    self.program = program
    self.namespace = namespace
  }

  public func inside(namespace name: String) throws(SystemError) -> any Network { try other(name) }

  func other(_ name: String) throws(SystemError) -> LinuxNetwork {
    if let other = others[name] { return other }
    let other = LinuxNetwork(processes: processes, program: program, namespace: try NetworkNamespace(name))
    others[name] = other
    return other
  }

  func routes() throws(SystemError) -> Connection {
    if let routing { return routing }
    let opened = try connection(.route)
    routing = opened
    return opened
  }

  func ipsec() throws(SystemError) -> Connection {
    if let transforms { return transforms }
    let opened = try connection(.transform)
    transforms = opened
    return opened
  }

  func sockets() throws(SystemError) -> Connection {
    if let diagnostics { return diagnostics }
    let opened = try connection(.socketDiagnostics)
    diagnostics = opened
    return opened
  }

  func connection(_ family: KernelChannel.Family) throws(SystemError) -> Connection {
    Connection(try inNamespace { () throws(SystemError) in try KernelChannel(family) })
  }

  /// Sockets stay in the namespace they were opened in.
  func inNamespace<Value>(_ body: () throws(SystemError) -> Value) throws(SystemError) -> Value {
    guard let namespace else { return try body() }
    return try namespace.enter(body)
  }

  func datagramSocket() throws(SystemError) -> Int32 {
    if datagrams == nil {
      // A Descriptor cannot be handed out of a closure; its number can.
      let number = try inNamespace { () throws(SystemError) in try openSocket(AF_INET, SOCK_DGRAM, "opening a datagram socket") }
      datagrams = Descriptor(owning: number)
    }
    return datagrams?.number ?? -1
  }

  /// What `/proc/self/exe` names, without the mark of a file that was replaced since we started.
  private static let executable: String = {
    var path = [CChar](repeating: 0, count: Int(PATH_MAX))
    let count = readlink("/proc/self/exe", &path, path.count)
    let text = String(decoding: path.prefix(max(0, count)).map(UInt8.init(bitPattern:)), as: UTF8.self)
    return text.hasSuffix(" (deleted)") ? String(text.dropLast(10)) : text
  }()
}

func openSocket(_ family: Int32, _ type: __socket_type, _ operation: String) throws(SystemError) -> Int32 {
  try check(operation) { socket(family, Int32(type.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0) }
}
