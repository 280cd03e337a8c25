import Glibc
import Host
import L2TP
import LinuxHost
import Testing

/// The gate on a socket of the kernel: what it drops, and what it lets through.
@Suite struct TunnelGateTests {
  let sockets = LinuxSockets()

  /// `SCCRQ`, `HELLO` in tunnel 5, data of tunnel 5 with and without a length, data of tunnel 0, and what is too short.
  static let datagrams: [(bytes: [UInt8], passes: Bool)] = [
    ([0xc8, 0x02, 0x00, 0x0c, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00], false),
    ([0xc8, 0x02, 0x00, 0x0c, 0x00, 0x05, 0x00, 0x00, 0x00, 0x01, 0x00, 0x01], true),
    ([0x40, 0x02, 0x00, 0x0a, 0x00, 0x05, 0x00, 0x01, 0xff, 0x03], true),
    ([0x00, 0x02, 0x00, 0x05, 0x00, 0x00, 0xff, 0x03], true),
    ([0x00, 0x02, 0x00, 0x00, 0x00, 0x01, 0xff, 0x03], false),
    ([0xc8, 0x02, 0x00], false),
    ([], false),
  ]

  @Test(arguments: ["127.0.0.1", "::1"]) func requestsForTunnelsAreDropped(address: String) throws {
    let (server, listener) = try bound(to: try #require(IPAddress(address)))
    defer { close(server.socket) }
    let me = try #require(try LinuxProcesses().process(getpid()))
    let client = try sockets.connect(toUDP: listener.address, port: server.port, from: nil)

    #expect(try sockets.udpListener(on: listener.address, port: server.port, in: me) == listener)
    #expect(try sockets.udpListener(on: listener.address, port: client.localPort, in: me) == nil)  // connected
    #expect(try sockets.udpListener(on: try #require(IPAddress("192.0.2.1")), port: server.port, in: me) == nil)
    #expect(try sockets.filter(of: listener, in: me) == nil)
    try sockets.setFilter(nil, of: listener, in: me)
    try sockets.setFilter(TunnelGate.filter, of: listener, in: me)
    #expect(try sockets.filter(of: listener, in: me) == TunnelGate.filter)
    try sockets.setFilter(TunnelGate.filter, of: listener, in: me)
    for datagram in Self.datagrams { try client.send(datagram.bytes) }
    #expect(received(on: server.socket) == Self.datagrams.filter(\.passes).map(\.bytes))

    try sockets.setFilter(nil, of: listener, in: me)
    #expect(try sockets.filter(of: listener, in: me) == nil)
    for datagram in Self.datagrams { try client.send(datagram.bytes) }
    #expect(received(on: server.socket) == Self.datagrams.map(\.bytes))
  }

  @Test func whatCannotBeReached() throws {
    let me = try #require(try LinuxProcesses().process(getpid()))
    let nowhere = UDPListener(try #require(IPAddress("127.0.0.1")), inode: 1)
    let problem = failure { () throws(SystemError) in _ = try sockets.filter(of: nowhere, in: me) }
    #expect(problem?.errno == .noSuchFile)
    #expect(failure { () throws(SystemError) in try sockets.setFilter(TunnelGate.filter, of: nowhere, in: me) }?.errno == .noSuchFile)
    var gone = me
    gone.pid = 4_194_304  // the largest pid_max is one less than this
    #expect(failure { () throws(SystemError) in _ = try sockets.udpListener(on: nowhere.address, port: 1, in: gone) } != nil)
    #expect(failure { () throws(SystemError) in _ = try sockets.filter(of: nowhere, in: gone) } != nil)

    let (server, listener) = try bound(to: nowhere.address)
    defer { close(server.socket) }
    // A jump out of the program.
    let nonsense = SocketFilter([.init(0x05, 100)])
    #expect(failure { () throws(SystemError) in try sockets.setFilter(nonsense, of: listener, in: me) }?.errno == .invalidArgument)
  }

  private func bound(to address: IPAddress) throws -> (server: (socket: Int32, port: UInt16), UDPListener) {
    let server = socket(address.isIPv6 ? AF_INET6 : AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
    var storage = sockaddr_storage()
    storage.ss_family = sa_family_t(address.isIPv6 ? AF_INET6 : AF_INET)
    withUnsafeMutableBytes(of: &storage) { bytes in
      for (index, byte) in address.bytes.enumerated() { bytes[(address.isIPv6 ? 8 : 4) + index] = byte }
    }
    var size = socklen_t(address.isIPv6 ? MemoryLayout<sockaddr_in6>.size : MemoryLayout<sockaddr_in>.size)
    let port = withUnsafeMutablePointer(to: &storage) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { raw in
        #expect(bind(server, raw, size) == 0 && getsockname(server, raw, &size) == 0)
        return withUnsafeBytes(of: raw.pointee) { UInt16($0[2]) << 8 | UInt16($0[3]) }
      }
    }
    return ((server, port), try #require(try sockets.udpListeners(on: port).first))
  }

  /// Everything that waits; over loopback a datagram has arrived when it has been sent.
  private func received(on socket: Int32) -> [[UInt8]] {
    var all: [[UInt8]] = []
    var buffer = [UInt8](repeating: 0, count: 64)
    while true {
      let size = recv(socket, &buffer, buffer.count, Int32(MSG_DONTWAIT))
      guard size >= 0 else { return all }
      all.append(Array(buffer.prefix(size)))
    }
  }

  private func failure(_ body: () throws(SystemError) -> Void) -> SystemError? {
    do throws(SystemError) {
      try body()
      return nil
    } catch { return error }
  }
}
