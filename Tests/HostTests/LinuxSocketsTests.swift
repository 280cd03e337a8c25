import CLinux
import Glibc
import Host
import LinuxHost
import Testing

@Suite struct LinuxSocketsTests {
  let sockets = LinuxSockets()
  let scratch: Scratch
  init() throws { scratch = try Scratch() }

  /// A listening UNIX socket that nobody serves unless the test does.
  func listen(_ name: String, backlog: Int32 = 5) -> Int32 {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: scratch[name].utf8) }
    let socket = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    let bound = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
    }
    #expect(bound == 0)
    if backlog >= 0 { #expect(Glibc.listen(socket, backlog) == 0) }
    return socket
  }

  @Test func connectingSaysWhatIsWrong() throws {
    #expect(
      failure { _ = try sockets.connect(toUnix: scratch["absent"], before: soon()) }
        == SystemError("connecting to \(scratch["absent"])", .noSuchFile))
    let bound = listen("bound", backlog: -1)
    #expect(failure { _ = try sockets.connect(toUnix: scratch["bound"], before: soon()) }?.errno == .connectionRefused)
    close(bound)
    let long = scratch[String(repeating: "x", count: 120)]
    #expect(failure { _ = try sockets.connect(toUnix: long, before: soon()) }?.errno == .nameTooLong)
  }

  /// What arrives for one address and port is heard, whether or not anybody receives it there.
  @Test(.enabled(if: geteuid() == 0, "a raw socket needs root")) func othersDatagramsAreOverheard() throws {
    let loopback = try #require(IPAddress("127.0.0.1"))
    let port = UInt16.random(in: 20_000...30_000)
    let ear = try sockets.overhear(udpTo: loopback, port: port)
    defer { ear.close() }
    let elsewhere = try #require(IPAddress("127.0.0.2"))
    for (address, at, byte) in [(loopback, port - 1, 1), (elsewhere, port, 2), (loopback, port, 3)] as [(IPAddress, UInt16, UInt8)] {
      let client = try sockets.connect(toUDP: address, port: at, from: nil)
      try client.send([byte, 0xab])
      if byte < 3 { continue }
      let heard = try #require(try ear.receive(limit: 100, before: soon()))
      let ports = [client.localPort, port].flatMap { [UInt8($0 >> 8), UInt8(truncatingIfNeeded: $0)] }
      #expect(heard.prefix(6) == ports + [0, 10] && heard.count == 10 && heard.suffix(2) == [3, 0xab])
    }
    #expect(try ear.receive(limit: 100, before: LinuxClock().now) == nil)
    #expect(failure { _ = try sockets.overhear(udpTo: try #require(IPAddress("::1")), port: port) }?.errno == .notSupported)
  }

  @Test func aFullQueueTimesOut() throws {
    let listener = listen("full", backlog: 0)
    defer { close(listener) }
    let first = try sockets.connect(toUnix: scratch["full"], before: soon(.zero))
    let began = LinuxClock().now
    #expect(
      failure { _ = try sockets.connect(toUnix: scratch["full"], before: soon(.milliseconds(80))) }
        == SystemError("connecting to \(scratch["full"])", .timedOut))
    #expect(LinuxClock().now - began >= .milliseconds(80))
    first.close()
  }

  @Test func streamsHaveDeadlines() throws {
    let listener = listen("s")
    defer { close(listener) }
    let stream = try sockets.connect(toUnix: scratch["s"], before: soon())
    let peer = accept(listener, nil, nil)
    try stream.write([1, 2, 3], before: soon())
    var buffer = [UInt8](repeating: 0, count: 8)
    #expect(read(peer, &buffer, 8) == 3)

    let began = LinuxClock().now
    #expect(failure { _ = try stream.read(limit: 1, before: soon(.milliseconds(50))) }?.errno == .timedOut)
    #expect(LinuxClock().now - began >= .milliseconds(50))
    #expect(Glibc.write(peer, [7, 8, 9] as [UInt8], 3) == 3)
    // What is there is read even when the deadline has passed.
    #expect(try stream.read(limit: 2, before: soon(.seconds(-1))) == [7, 8])
    #expect(try stream.read(limit: 2, before: soon()) == [9])
    #expect(failure { _ = try stream.read(limit: 0, before: soon()) }?.errno == .invalidArgument)

    // A peer that takes nothing.
    let lots = [UInt8](repeating: 0, count: 4 << 20)
    #expect(failure { try stream.write(lots, before: soon(.milliseconds(50))) }?.errno == .timedOut)

    close(peer)
    // Unread bytes make it a reset; then the end.
    _ = failure { _ = try stream.read(limit: 2, before: soon()) }
    #expect(try stream.read(limit: 2, before: soon()) == [])
    // No SIGPIPE.
    #expect(failure { try stream.write([1], before: soon()) }?.errno == .brokenPipe)
    stream.close()
    #expect(failure { _ = try stream.read(limit: 2, before: soon()) }?.errno == Errno(rawValue: EBADF))
    #expect(failure { try stream.write([1], before: soon()) }?.errno == Errno(rawValue: EBADF))
  }

  @Test(arguments: ["127.0.0.1", "::1"])
  func datagrams(_ text: String) throws {
    let address = try #require(IPAddress(text))
    // Two sockets that face each other: the first port is only known once it is bound.
    let probe = try sockets.connect(toUDP: address, port: 9, from: address)
    #expect(probe.localAddress == address)
    let peer = Glibc.socket(address.isIPv6 ? AF_INET6 : AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
    defer { close(peer) }
    var storage = sockaddr_storage()
    storage.ss_family = sa_family_t(address.isIPv6 ? AF_INET6 : AF_INET)
    withUnsafeMutableBytes(of: &storage) { bytes in
      for (index, byte) in address.bytes.enumerated() { bytes[(address.isIPv6 ? 8 : 4) + index] = byte }
    }
    var size = socklen_t(address.isIPv6 ? MemoryLayout<sockaddr_in6>.size : MemoryLayout<sockaddr_in>.size)
    let port = withUnsafeMutablePointer(to: &storage) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { raw in
        #expect(bind(peer, raw, size) == 0)
        #expect(getsockname(peer, raw, &size) == 0)
        return withUnsafeBytes(of: raw.pointee) { UInt16($0[2]) << 8 | UInt16($0[3]) }
      }
    }
    let listed = try sockets.udpListeners(on: port)
    #expect(listed.map(\.address) == [address])
    #expect(listed.first.map { $0.inode > 0 } == true)
    // A connected socket is nobody's listener.
    #expect(try sockets.udpListeners(on: probe.localPort) == [])

    let socket = try sockets.connect(toUDP: address, port: port, from: nil)
    try socket.send([1, 2, 3])
    var from = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    var buffer = [UInt8](repeating: 0, count: 16)
    withUnsafeMutablePointer(to: &from) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { raw in
        #expect(recvfrom(peer, &buffer, 16, 0, raw, &length) == 3)
        #expect(sendto(peer, [9, 9] as [UInt8], 2, 0, raw, length) == 2)
        #expect(sendto(peer, [9, 9] as [UInt8], 2, 0, raw, length) == 2)
      }
    }
    #expect(try socket.receive(limit: 2, before: soon()) == [9, 9])
    #expect(failure { _ = try socket.receive(limit: 1, before: soon()) }?.errno == .messageTooLong)
    #expect(try socket.receive(limit: 2, before: soon(.milliseconds(20))) == nil)
    socket.close()
    #expect(failure { try socket.send([1]) }?.errno == Errno(rawValue: EBADF))
    #expect(failure { _ = try socket.receive(limit: 1, before: soon()) }?.errno == Errno(rawValue: EBADF))

    // A closed port says so.
    try probe.send([1])
    #expect(failure { _ = try probe.receive(limit: 1, before: soon()) }?.errno == .connectionRefused)
  }

  @Test func unusableSources() throws {
    let local = try #require(IPAddress("127.0.0.1"))
    let foreign = try #require(IPAddress("192.0.2.77"))
    #expect(
      failure { _ = try sockets.connect(toUDP: local, port: 9, from: foreign) }
        == SystemError("binding to 192.0.2.77", .addressNotAvailable))
  }
}

@Suite struct L2TPSocketTests {
  /// `struct sockaddr_pppol2tp`, as a kernel (6.1) filled it in.
  static let name: [UInt8] = [
    0x18, 0x00, 0x01, 0x00, 0x00, 0x00,  // AF_PPPOX, PX_PROTO_OL2TP
    0xec, 0x02, 0x00, 0x00, 0x06, 0x00, 0x00, 0x00,  // pid, descriptor
    0x02, 0x00, 0x06, 0xa5, 0xcb, 0x00, 0x71, 0x66, 0, 0, 0, 0, 0, 0, 0, 0,  // 203.0.113.102 port 1701
    0xa4, 0xe7, 0xeb, 0xb3, 0x11, 0x6e, 0xc5, 0xb5,  // 59300/46059, the peer's 28177/46533
  ]

  @Test func everyFieldComesBack() throws {
    let peer = try #require(IPAddress("203.0.113.102"))
    let expected = L2TPSocket(peer: peer, port: 1701, tunnel: 59_300, session: 46_059, peerTunnel: 28_177, peerSession: 46_533)
    #expect(L2TPSocket(name: Self.name) == expected && L2TPSocket(name: Self.name + [0, 0]) == expected)
    for count in 0..<Self.name.count { #expect(L2TPSocket(name: Array(Self.name[..<count])) == nil) }
    for place in [0, 2, 14] {  // another family, PPPoE, a tunnel over IPv6
      var other = Self.name
      other[place] += 1
      #expect(L2TPSocket(name: other) == nil)
    }
  }

  @Test func whatIsNoSuchSocket() throws {
    let processes = LinuxProcesses()
    let sockets = LinuxSockets()
    let this = try processes.current()
    let udp = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
    let file = open("/dev/null", O_RDONLY)
    defer { for descriptor in [udp, file] { close(descriptor) } }
    #expect(try sockets.l2tpSocket(of: this, descriptor: udp) == nil)
    #expect(try sockets.l2tpSocket(of: this, descriptor: file) == nil)
    for number in [Int32(-1), 1_000_000] {
      #expect(failure { _ = try sockets.l2tpSocket(of: this, descriptor: number) }?.errno.rawValue == EBADF)
    }
  }
}
