import CLinux
import Host
import Ledger
import Netlink
import RADIUS

/// The kernel of this machine.
public final class LinuxSessionKernel: SessionKernel {
  public let descriptor: Int32
  private let routes: Connection
  private var buffer = [UInt8](repeating: 0, count: 4096)

  static let port: UInt16 = 1701
  /// Bytes that the link takes at most, whatever it was negotiated for: RFC 1661's own.
  private static let receiveUnit: Int32 = 1500

  /// Each session takes three descriptors and each tunnel two, so as many as there may be are asked for.
  public init() throws(SystemError) {
    var limit = rlimit()
    if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 {
      limit.rlim_cur = limit.rlim_max
      _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
    routes = Connection(try KernelChannel(.route))
    descriptor = epoll_create1(Int32(EPOLL_CLOEXEC))
    guard descriptor >= 0 else { throw SystemError("opening an epoll descriptor", Errno(rawValue: errno)) }
  }

  deinit { _ = CLinux.close(descriptor) }

  // MARK: - Tunnels

  public func openTunnel(for record: SessionRecord) throws(SystemError) -> TunnelSockets {
    let operation = "making tunnel \(record.tunnel) to \(record.peer) port \(record.peerPort)"
    guard !record.gateway.isIPv6, !record.peer.isIPv6 else { throw SystemError(operation, .familyNotSupported) }
    let control = socket(AF_INET, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
    guard control >= 0 else { throw SystemError(operation, Errno(rawValue: errno)) }
    let tunnel = clinux_pppol2tp_socket()
    var isDone = false
    defer {
      if !isDone {
        _ = CLinux.close(control)
        if tunnel >= 0 { _ = CLinux.close(tunnel) }
      }
    }
    guard tunnel >= 0 else { throw SystemError(operation, Errno(rawValue: errno)) }
    var (from, to) = (sockaddr_in(record.gateway, Self.port), sockaddr_in(record.peer, record.peerPort))
    let size = socklen_t(MemoryLayout<sockaddr_in>.size)
    func set(_ level: Int32, _ option: Int32) -> Bool {
      var isOn: Int32 = 1
      return setsockopt(control, level, option, &isOn, socklen_t(MemoryLayout<Int32>.size)) == 0
    }
    // A standby has no route from the address while it must be silent. To the loopback device every destination is reachable; once
    // the socket is connected it is set free, and finds its route anew with each packet.
    guard set(SOL_SOCKET, SO_REUSEADDR), set(IPPROTO_IP_LEVEL, IP_TRANSPARENT), Self.bind(control, toDevice: "lo"),
      clinux_bind(control, &from, size) == 0, clinux_connect(control, &to, size) == 0, Self.bind(control, toDevice: "")
    else { throw SystemError(operation, Errno(rawValue: errno)) }
    // Between bind and connect anybody's datagrams come in.
    for _ in 0..<1024 where recv(control, nil, 0, 0) < 0 { break }
    guard clinux_pppol2tp_connect(tunnel, control, &to, record.tunnel, 0, record.peerTunnel, 0) == 0 else {
      throw SystemError(operation, Errno(rawValue: errno))
    }
    try watch(control, operation)
    isDone = true
    return TunnelSockets(control: control, tunnel: tunnel)
  }

  private static func bind(_ socket: Int32, toDevice name: String) -> Bool {
    let text = Array(name.utf8)
    return text.withUnsafeBytes { setsockopt(socket, SOL_SOCKET, SO_BINDTODEVICE, $0.baseAddress, socklen_t($0.count)) } == 0
  }

  // MARK: - Sessions

  public func openSession(for record: SessionRecord, in tunnel: TunnelSockets) throws(SystemError) -> SessionSockets {
    let operation = "making session \(record.session) of tunnel \(record.tunnel)"
    var opened: [Int32] = []
    var isDone = false
    defer { if !isDone { for descriptor in opened.reversed() { _ = CLinux.close(descriptor) } } }
    func checked(_ result: Int32) throws(SystemError) {
      guard result >= 0 else { throw SystemError(operation, Errno(rawValue: errno)) }
    }
    func open(_ descriptor: Int32) throws(SystemError) -> Int32 {
      try checked(descriptor)
      opened.append(descriptor)
      return descriptor
    }
    let call = try open(clinux_pppol2tp_socket())
    var peer = sockaddr_in(record.peer, record.peerPort)
    try checked(clinux_pppol2tp_connect(call, tunnel.control, &peer, record.tunnel, record.session, record.peerTunnel, record.peerSession))
    try checked(clinux_pppol2tp_serve(call))
    var number: Int32 = 0
    try checked(clinux_ppp_channel(call, &number))
    let channel = try open(clinux_open("/dev/ppp", O_RDWR | O_CLOEXEC | O_NONBLOCK, 0))
    try checked(clinux_ppp_attach_channel(channel, number))
    let unit = try open(clinux_open("/dev/ppp", O_RDWR | O_CLOEXEC | O_NONBLOCK, 0))
    var place: Int32 = -1
    try checked(clinux_ppp_new_unit(unit, &place))
    // Silent before it has a channel to be silent on.
    for protocolNumber: Int32 in [0x21, 0x57] { try checked(clinux_ppp_set_mode(unit, protocolNumber, 0)) }
    try checked(clinux_ppp_connect(channel, place))
    try checked(clinux_ppp_set_mru(unit, Self.receiveUnit))
    let interface = "ppp\(place)"
    let index = Int32(if_nametoindex(interface))
    guard index > 0 else { throw SystemError(operation, Errno(rawValue: errno)) }
    try routes.perform(.set(mtu: UInt32(record.mtu), link: index), "setting the MTU of \(interface)")
    var address = InterfaceAddress(record.local, prefixLength: record.local.bits, link: index)
    address.peer = record.remote
    try routes.perform(.addAddress(address), "adding \(record.local) to \(interface)")
    for descriptor in [channel, unit] { try watch(descriptor, operation) }
    isDone = true
    return SessionSockets(call: call, channel: channel, unit: unit, interface: interface)
  }

  public func switchOn(_ session: SessionSockets) throws(SystemError) {
    guard clinux_ppp_set_mode(session.unit, 0x21, 1) == 0 else { throw SystemError("opening \(session.interface)", Errno(rawValue: errno)) }
    let index = Int32(if_nametoindex(session.interface))
    guard index > 0 else { throw SystemError("looking for \(session.interface)", Errno(rawValue: errno)) }
    try routes.perform(.bringUp(link: index), "bringing \(session.interface) up")
  }

  public func totals(of session: SessionSockets) -> AccountTotals? { Self.totals(ofLink: session.interface) }

  /// The counters that pppd reports, too (`ppp_get_stats64` of `drivers/net/ppp/ppp_generic.c`).
  public static func totals(ofLink name: String) -> AccountTotals? {
    guard !name.contains("/") else { return nil }
    func counter(_ counter: String) -> UInt64? {
      let file = clinux_open("/sys/class/net/\(name)/statistics/\(counter)", O_RDONLY | O_CLOEXEC, 0)
      guard file >= 0 else { return nil }
      defer { _ = CLinux.close(file) }
      var text = [UInt8](repeating: 0, count: 32)
      let count = text.withUnsafeMutableBytes { read(file, $0.baseAddress, $0.count) }
      return count > 0 ? UInt64(String(decoding: text[..<count].prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)) : nil
    }
    guard let octetsIn = counter("rx_bytes"), let octetsOut = counter("tx_bytes"), let packetsIn = counter("rx_packets"), let packetsOut = counter("tx_packets")
    else { return nil }
    return AccountTotals(octetsIn: octetsIn, octetsOut: octetsOut, packetsIn: packetsIn, packetsOut: packetsOut)
  }

  public func close(_ session: SessionSockets) { for descriptor in [session.channel, session.unit, session.call] { _ = CLinux.close(descriptor) } }

  public func close(_ tunnel: TunnelSockets) { for descriptor in [tunnel.tunnel, tunnel.control] { _ = CLinux.close(descriptor) } }

  // MARK: - What comes and goes

  private func watch(_ socket: Int32, _ operation: String) throws(SystemError) {
    var event = epoll_event()
    event.events = EPOLLIN.rawValue
    event.data.fd = socket
    guard epoll_ctl(descriptor, EPOLL_CTL_ADD, socket, &event) == 0 else { throw SystemError(operation, Errno(rawValue: errno)) }
  }

  public func ready() -> [Int32] {
    var events = [epoll_event](repeating: epoll_event(), count: 256)
    let count = epoll_wait(descriptor, &events, Int32(events.count), 0)
    return count > 0 ? events[..<Int(count)].map(\.data.fd) : []
  }

  public func receive(from socket: Int32) -> SessionInput {
    // read, as a channel is no socket.
    let count = buffer.withUnsafeMutableBytes { read(socket, $0.baseAddress, $0.count) }
    if count > 0 { return .bytes(Array(buffer[..<count])) }
    if count == 0 { return .gone }
    switch errno {
    case EAGAIN, EINTR: return .nothing
    case ENXIO, EBADF, EIO: return .gone
    default: return .problem
    }
  }

  public func send(_ bytes: [UInt8], to socket: Int32) { _ = bytes.withUnsafeBytes { write(socket, $0.baseAddress, $0.count) } }
}

/// `IPPROTO_IP`, which is an enumeration's case in C.
private let IPPROTO_IP_LEVEL: Int32 = 0

extension sockaddr_in {
  /// An IPv4 address and a port in the byte order of the host.
  public init(_ address: IPAddress, _ port: UInt16) {
    self.init()
    sin_family = sa_family_t(AF_INET)
    sin_port = port.bigEndian
    withUnsafeMutableBytes(of: &sin_addr) { $0.copyBytes(from: address.bytes) }
  }
}
