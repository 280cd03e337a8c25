/// A connected stream. Every read and write has a deadline; past it `ETIMEDOUT`.
public protocol ByteStream: AnyObject {
  /// At least one byte, at most `limit`; empty when the peer closed.
  func read(limit: Int, before deadline: Instant) throws(SystemError) -> [UInt8]
  /// All of `bytes`.
  func write(_ bytes: [UInt8], before deadline: Instant) throws(SystemError)
  func close()
}

extension ByteStream {
  /// Everything until the peer closes; `EFBIG` when it is more than `limit` bytes.
  public func readToEnd(limit: Int, before deadline: Instant) throws(SystemError) -> [UInt8] {
    var bytes: [UInt8] = []
    while true {
      let part = try read(limit: 16_384, before: deadline)
      if part.isEmpty { return bytes }
      bytes += part
      if bytes.count > limit { throw SystemError("reading a reply of more than \(limit) bytes", .tooLarge) }
    }
  }
}

/// What can be waited for until something can be read from it.
public protocol Readable {
  /// -1 where it is closed, or not the kernel's: never readable.
  var descriptor: Int32 { get }
}

/// A connected UDP socket.
public protocol DatagramSocket: AnyObject, Readable {
  var localAddress: IPAddress { get }
  var localPort: UInt16 { get }
  /// `ECONNREFUSED` when an earlier datagram met a closed port.
  func send(_ bytes: [UInt8]) throws(SystemError)
  /// One datagram, nil when none came by `deadline`.
  func receive(limit: Int, before deadline: Instant) throws(SystemError) -> [UInt8]?
  func close()
}

public protocol Sockets: AnyObject {
  /// Connects to a UNIX stream socket. `ENOENT` without a socket file, `ECONNREFUSED` when nobody listens,
  /// `ETIMEDOUT` when its queue stays full until `deadline`.
  func connect(toUnix path: String, before deadline: Instant) throws(SystemError) -> any ByteStream
  /// A UDP socket connected to `address`; `from` nil lets the kernel choose the source. `link` is where a link-local IPv6
  /// address is meant; for any other it means nothing.
  func connect(
    toUDP address: IPAddress, port: UInt16, from source: IPAddress?, on link: Link?
  ) throws(SystemError) -> any DatagramSocket
  /// ICMP messages (ICMPv6 with an IPv6 address) to `address` and whatever of them comes from it, without IP headers. The
  /// kernel fills in the checksum of IPv6 only. `link` as for UDP.
  func connect(toICMP address: IPAddress, from source: IPAddress?, on link: Link?) throws(SystemError) -> any DatagramSocket
  /// A neighbour on `link`: every send asks who has `address` by an ARP request or a neighbour solicitation, and ignores the
  /// bytes. What is received is the hardware address of the host that answers.
  func connect(toNeighbour address: IPAddress, on link: Link, from source: IPAddress?) throws(SystemError) -> any DatagramSocket
  /// Waits until something can be read from one of `sources`.
  ///
  /// - Returns: the positions of those; none when the deadline came first.
  func wait(for sources: [any Readable], before deadline: Instant) throws(SystemError) -> [Int]
  /// The addresses UDP sockets are bound to on `port`, wildcard included, over both families, with the inode of each
  /// socket; reads `/proc/net/udp`.
  func udpListeners(on port: UInt16) throws(SystemError) -> [UDPListener]
  /// Copies of the UDP datagrams that arrive for `address` (IPv4) and `port`, whoever else receives them: from the UDP header
  /// on. Nothing can be sent.
  func overhear(udpTo address: IPAddress, port: UInt16) throws(SystemError) -> any DatagramSocket
  /// The unconnected UDP socket of `process` that is bound to `address` or to all addresses; nil when it has none among its
  /// first 1024 descriptors. Costs nothing for each socket of the node, as a list of them does.
  func udpListener(on address: IPAddress, port: UInt16, in process: Process) throws(SystemError) -> UDPListener?
  /// The L2TP session that a descriptor of `process` carries PPP over; nil when it is something else. `EBADF` when the process
  /// has no such descriptor.
  func l2tpSocket(of process: Process, descriptor: Int32) throws(SystemError) -> L2TPSocket?
  /// What the kernel lets through to a socket of `process`; nil when that is everything. `ENOENT` when the process has no
  /// such socket among its first 1024 descriptors.
  func filter(of listener: UDPListener, in process: Process) throws(SystemError) -> SocketFilter?
  /// Puts `filter` on a socket of `process`, or takes away what is on it. It lasts as long as the socket does.
  func setFilter(_ filter: SocketFilter?, of listener: UDPListener, in process: Process) throws(SystemError)
}

extension Sockets {
  /// To an address that is the same on every link.
  public func connect(toUDP address: IPAddress, port: UInt16, from source: IPAddress?) throws(SystemError) -> any DatagramSocket {
    try connect(toUDP: address, port: port, from: source, on: nil)
  }
}

/// A classic BPF program for one socket (`linux/filter.h`). It sees a datagram from its UDP header on, and returns how many
/// bytes of it pass; none when it reads past the end.
public struct SocketFilter: Hashable, Sendable {
  public struct Instruction: Hashable, Sendable {
    public var code: UInt16
    /// How many instructions are left out when a comparison holds, and when it does not.
    public var jumpIfTrue: UInt8
    public var jumpIfFalse: UInt8
    public var operand: UInt32

    public init(_ code: UInt16, _ operand: UInt32, jumpIfTrue: UInt8 = 0, jumpIfFalse: UInt8 = 0) {
      self.code = code
      self.operand = operand
      self.jumpIfTrue = jumpIfTrue
      self.jumpIfFalse = jumpIfFalse
    }
  }
  public var instructions: [Instruction]
  public init(_ instructions: [Instruction]) { self.instructions = instructions }
}

/// A session of the kernel's L2TP, version 2 over IPv4.
public struct L2TPSocket: Hashable, Sendable {
  /// Where the tunnel's packets come from.
  public var peer: IPAddress
  public var port: UInt16
  /// Our numbers and the peer's.
  public var tunnel: UInt16
  public var session: UInt16
  public var peerTunnel: UInt16
  public var peerSession: UInt16

  public init(peer: IPAddress, port: UInt16, tunnel: UInt16, session: UInt16, peerTunnel: UInt16, peerSession: UInt16) {
    self.peer = peer
    self.port = port
    self.tunnel = tunnel
    self.session = session
    self.peerTunnel = peerTunnel
    self.peerSession = peerSession
  }
}

public struct UDPListener: Hashable, Sendable {
  public var address: IPAddress
  public var inode: UInt64
  public init(_ address: IPAddress, inode: UInt64) {
    self.address = address
    self.inode = inode
  }
}
