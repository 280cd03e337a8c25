import CLinux
import Host
import Netlink

// Sockets of what lies under UDP: ICMP, datagrams for somebody else, and neighbours on a link.

extension LinuxSockets {
  public func connect(
    toICMP address: IPAddress, from source: IPAddress?, on link: Link?
  ) throws(SystemError) -> any DatagramSocket {
    let operation = "opening an ICMP socket to \(address)"
    let type = Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    let socket = Descriptor(
      owning: try check(operation) {
        CLinux.socket(address.isIPv6 ? AF_INET6 : AF_INET, type, Int32(address.isIPv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
      })
    if let source {
      try check("binding to \(source)") { SocketAddress(source, port: 0, on: link).withPointer { clinux_bind(socket.number, $0, $1) } }
    }
    // Connected, the socket receives from this address only.
    try check(operation) { SocketAddress(address, port: 0, on: link).withPointer { clinux_connect(socket.number, $0, $1) } }
    let local = try SocketAddress(boundTo: socket.number, operation)
    let datagrams = LinuxDatagrams(socket, local, to: "\(address)")
    return address.isIPv6 ? datagrams : HeaderlessDatagrams(datagrams)
  }

  public func overhear(udpTo address: IPAddress, port: UInt16) throws(SystemError) -> any DatagramSocket {
    let operation = "overhearing \(address) port \(port)"
    guard !address.isIPv6 else { throw SystemError(operation, .notSupported) }
    let type = Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    let socket = Descriptor(owning: try check(operation) { CLinux.socket(AF_INET, type, Int32(IPPROTO_UDP)) })
    // Before it is bound, so that nothing else comes in. The IP header's length first, then the destination port.
    let filter = SocketFilter([
      .init(0xb1, 0), .init(0x48, 2), .init(0x15, UInt32(port), jumpIfFalse: 1), .init(0x06, .max), .init(0x06, 0),
    ])
    try attach(filter, to: socket.number, operation)
    try check(operation) { SocketAddress(address, port: 0).withPointer { clinux_bind(socket.number, $0, $1) } }
    let local = try SocketAddress(boundTo: socket.number, operation)
    return HeaderlessDatagrams(LinuxDatagrams(socket, local, to: "\(address)"))
  }

  public func connect(
    toNeighbour address: IPAddress, on link: Link, from source: IPAddress?
  ) throws(SystemError) -> any DatagramSocket {
    guard link.hasNeighbours else { throw SystemError("asking for \(address) on \(link.name)", .notSupported) }
    let wire = try PacketSocket(on: link, hears: UInt16(address.isIPv6 ? ETH_P_IPV6 : ETH_P_ARP))
    if address.isIPv6 { try wire.hearOnly(icmpv6: [136]) }
    return LinuxNeighbour(wire, address, source)
  }
}

/// A raw IPv4 socket's datagrams without the IP header, which the kernel delivers with them (raw(7)).
private final class HeaderlessDatagrams: DatagramSocket {
  private let datagrams: LinuxDatagrams
  init(_ datagrams: LinuxDatagrams) { self.datagrams = datagrams }

  var descriptor: Int32 { datagrams.descriptor }
  var localAddress: IPAddress { datagrams.localAddress }
  var localPort: UInt16 { datagrams.localPort }
  func send(_ bytes: [UInt8]) throws(SystemError) { try datagrams.send(bytes) }
  func close() { datagrams.close() }

  func receive(limit: Int, before deadline: Instant) throws(SystemError) -> [UInt8]? {
    guard let packet = try datagrams.receive(limit: limit, before: deadline) else { return nil }
    let header = packet.first.map { Int($0 & 0x0f) * 4 } ?? 0
    return header >= 20 && header <= packet.count ? Array(packet[header...]) : []
  }
}

/// Questions to one neighbour, and its answers.
private final class LinuxNeighbour: DatagramSocket {
  let localAddress: IPAddress
  let localPort: UInt16 = 0
  private var wire: PacketSocket?
  private let neighbour: IPAddress
  private let link: Link

  init(_ wire: PacketSocket, _ neighbour: IPAddress, _ source: IPAddress?) {
    self.wire = wire
    self.neighbour = neighbour
    link = wire.link
    localAddress = source ?? (neighbour.isIPv6 ? .unspecifiedIPv6 : .unspecifiedIPv4)
  }

  /// Frames of others that are read behind the deadline, which may be this moment.
  private static let noiseLimit = 64

  var descriptor: Int32 { wire?.number ?? -1 }
  private var operation: String { "asking for \(neighbour)" }

  /// From an address of ours a neighbour notes who asks; without one the question is a probe, which claims nothing.
  func send(_: [UInt8]) throws(SystemError) {
    guard let wire else { throw SystemError(operation, Errno(rawValue: EBADF)) }
    let own = link.hardwareAddress
    if neighbour.isIPv6 {
      let question =
        localAddress.isUnspecified
        ? NeighbourDiscovery.probe(for: neighbour)
        : NeighbourDiscovery.solicitation(of: neighbour, from: localAddress, at: own)
      try wire.send(question, type: UInt16(ETH_P_IPV6), to: link.hardwareAddress(ofMulticast: neighbour.solicitedNode), operation)
    } else {
      let question =
        localAddress.isUnspecified
        ? ARP.probe(for: neighbour, from: own, type: link.hardwareType)
        : ARP.question(to: neighbour, of: localAddress, from: own, type: link.hardwareType)
      try wire.send(question.bytes, type: UInt16(ETH_P_ARP), to: link.broadcastHardwareAddress, operation)
    }
  }

  func receive(limit: Int, before deadline: Instant) throws(SystemError) -> [UInt8]? {
    guard let wire else { throw SystemError(operation, Errno(rawValue: EBADF)) }
    var heard = 0
    while let frame = try wire.receive(before: deadline, operation) {
      let answerer: [UInt8]?
      if neighbour.isIPv6 {
        answerer = NeighbourDiscovery.claim(in: frame.bytes, to: neighbour).map { $0.isEmpty ? frame.sender : $0 }
      } else {
        answerer = ARP(frame.bytes).flatMap { $0.operation == .reply && $0.sender == neighbour ? $0.senderHardware : nil }
      }
      if let answerer, answerer != link.hardwareAddress { return answerer }
      // A flood never lets the link fall silent.
      heard += 1
      if heard >= Self.noiseLimit, LinuxClock.now >= deadline { return nil }
    }
    return nil
  }

  func close() { wire = nil }
}
