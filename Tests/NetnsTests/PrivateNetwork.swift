import CLinux
import Glibc
import Host
import LinuxHost
import Testing

/// Why tests in a network namespace cannot run here, nil when they can.
let noNamespaces: String? = geteuid() == 0 ? nil : "a network namespace needs root"

/// A network of its own for one test: the calling thread moves into a new namespace and comes back at the end.
///
/// Namespaces belong to threads. That is safe here because the body is synchronous: it cannot change threads, and the
/// sockets it opens and the processes it starts belong to its namespace. (An exit test would do as well, but swift-testing
/// waits for any child with WNOWAIT, and a zombie of another test then keeps it waiting for ever.)
final class PrivateNetwork {
  let network: LinuxNetwork
  let processes = LinuxProcesses()

  /// Runs `body` beside a veth pair, `near` and `far`, both up; `far` is where the test listens.
  static func run(program: String? = nil, _ body: (PrivateNetwork) throws -> Void) throws {
    let home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
    guard home >= 0, unshare(Int32(CLONE_NEWNET)) == 0 else {
      throw SystemError("making a network namespace", Errno(rawValue: Glibc.errno))
    }
    defer {
      // A thread that cannot go home would carry other tests along.
      if setns(home, Int32(CLONE_NEWNET)) != 0 { abort() }
      close(home)
    }
    try body(PrivateNetwork(program: program))
  }

  private init(program: String?) throws {
    network = LinuxNetwork(processes: processes, program: program)
    try ip("link set lo up")
    try ip("link add near type veth peer name far")
    try ip("link set near up")
    try ip("link set far up")
  }

  /// What `ip` prints.
  @discardableResult
  func ip(_ arguments: String) throws -> String {
    try run("/usr/sbin/ip", arguments.split(separator: " ").map(String.init))
  }

  @discardableResult
  func run(_ path: String, _ arguments: [String], input: String? = nil) throws -> String {
    let result = try processes.run(Command(path, arguments, outputLimit: 8 << 20), before: LinuxClock().now + .seconds(30))
    guard result.succeeded else {
      throw SystemError(
        "\(path) \(arguments.joined(separator: " "))", .io, detail: String(decoding: result.error, as: UTF8.self))
    }
    return String(decoding: result.output, as: UTF8.self)
  }

  func link(_ name: String) throws -> Link { try #require(try network.link(named: name)) }
}

/// The frames that arrive at one end of a link, with the moment of each.
final class Capture {
  struct Frame {
    var moment: Instant
    /// From the Ethernet header on.
    var bytes: [UInt8]
    var type: UInt16 { UInt16(bytes[12]) << 8 | UInt16(bytes[13]) }
    var payload: [UInt8] { Array(bytes[14...]) }
    var destination: [UInt8] { Array(bytes[..<6]) }
  }

  private let descriptor: Int32
  private let clock = LinuxClock()

  init(on link: Link) throws {
    descriptor = socket(AF_PACKET, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue), Int32(UInt16(0x0003).bigEndian))
    var place = sockaddr_ll()
    place.sll_family = UInt16(AF_PACKET)
    place.sll_protocol = UInt16(0x0003).bigEndian  // ETH_P_ALL
    place.sll_ifindex = link.index
    guard descriptor >= 0, clinux_bind(descriptor, &place, socklen_t(MemoryLayout<sockaddr_ll>.size)) == 0 else {
      throw SystemError("capturing on \(link.name)", Errno(rawValue: Glibc.errno))
    }
  }

  deinit { close(descriptor) }

  /// Frames `wanted` accepts, until there are `count` of them or `limit` has passed.
  func frames(_ count: Int, within limit: Duration, where wanted: (Frame) -> Bool) -> [Frame] {
    let deadline = clock.now + limit
    var frames: [Frame] = []
    while frames.count < count {
      var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      let left = (deadline - clock.now).pollMilliseconds
      if poll(&request, 1, left) <= 0 { return frames }
      var bytes = [UInt8](repeating: 0, count: 2048)
      let size = recv(descriptor, &bytes, bytes.count, 0)
      guard size >= 14 else { continue }
      let frame = Frame(moment: clock.now, bytes: Array(bytes[..<size]))
      if wanted(frame) { frames.append(frame) }
    }
    return frames
  }
}
