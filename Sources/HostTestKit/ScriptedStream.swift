import Host

/// A stream whose peer follows a script or a function. A read that the peer does not answer lasts until its deadline.
public final class ScriptedStream: ByteStream {
  public enum Step: Sendable {
    /// The peer waits for exactly these bytes; others fail the write with `EPROTO`.
    case takes([UInt8])
    /// The peer waits for this many bytes, whatever they are.
    case takesAny(Int)
    case says([UInt8])
    /// Says nothing from here on; what is written is swallowed.
    case silence
    case closes
    case fails(Errno)
  }

  /// Everything that was written to the peer.
  public private(set) var written: [UInt8] = []
  public private(set) var isClosed = false

  private var steps: [Step]
  private var peer: ((inout [UInt8]) -> [Step])?
  private var unread: [UInt8] = []
  private let chunk: Int
  private let calls: Calls
  private let clock: ManualClock

  /// - Parameter chunk: the most bytes one read returns; 1 delivers byte by byte.
  public init(_ steps: [Step], chunk: Int = .max, calls: Calls = Calls(), clock: ManualClock = ManualClock()) {
    self.steps = steps
    self.chunk = max(1, chunk)
    self.calls = calls
    self.clock = clock
  }

  /// - Parameter peer: called after each write with everything not yet taken; removes what it understood and answers.
  public init(
    chunk: Int = .max, calls: Calls = Calls(), clock: ManualClock = ManualClock(),
    peer: @escaping (inout [UInt8]) -> [Step]
  ) {
    steps = []
    self.peer = peer
    self.chunk = max(1, chunk)
    self.calls = calls
    self.clock = clock
  }

  public func read(limit: Int, before deadline: Instant) throws(SystemError) -> [UInt8] {
    try calls.sees("stream.read()")
    guard !isClosed else { throw SystemError("reading", Errno(rawValue: 9)) }
    while let step = steps.first {
      switch step {
      case .says(let bytes):
        let part = Array(bytes.prefix(min(limit, chunk)))
        let rest = Array(bytes.dropFirst(part.count))
        if rest.isEmpty { steps.removeFirst() } else { steps[0] = .says(rest) }
        if !part.isEmpty { return part }
      case .closes: return []
      case .fails(let errno): throw SystemError("reading", errno)
      case .silence, .takes, .takesAny: return try wait(deadline, "reading")
      }
    }
    if peer == nil { return [] }
    return try wait(deadline, "reading")
  }

  public func write(_ bytes: [UInt8], before deadline: Instant) throws(SystemError) {
    try calls.changes("stream.write(\(bytes.count) bytes)")
    guard !isClosed else { throw SystemError("writing", Errno(rawValue: 9)) }
    written += bytes
    unread += bytes
    if let peer {
      steps += peer(&unread)
      return
    }
    while let step = steps.first {
      switch step {
      case .takes(let expected):
        let common = min(expected.count, unread.count)
        guard unread.prefix(common) == expected.prefix(common) else {
          throw SystemError("writing", .protocolError, detail: "the scripted peer expected \(expected), got \(unread)")
        }
        unread.removeFirst(common)
        guard common == expected.count else {
          steps[0] = .takes(Array(expected.dropFirst(common)))
          return
        }
        steps.removeFirst()
      case .takesAny(let count):
        let taken = min(count, unread.count)
        unread.removeFirst(taken)
        guard taken == count else {
          steps[0] = .takesAny(count - taken)
          return
        }
        steps.removeFirst()
      case .silence, .says: return
      case .closes: throw SystemError("writing", .brokenPipe)
      case .fails(let errno): throw SystemError("writing", errno)
      }
    }
  }

  public func close() { isClosed = true }

  private func wait(_ deadline: Instant, _ operation: String) throws(SystemError) -> [UInt8] {
    clock.sleep(until: deadline)
    throw SystemError(operation, .timedOut)
  }
}

extension DatagramSocket {
  /// A test's socket is not the kernel's.
  public var descriptor: Int32 { -1 }
}

/// A connected datagram socket whose peer is a function.
public final class ScriptedDatagrams: DatagramSocket {
  public var localAddress: IPAddress
  public var localPort: UInt16
  public private(set) var sent: [[UInt8]] = []
  public private(set) var isClosed = false
  /// An ICMP error came: the next call says so, and takes it off the socket.
  public var error: Errno?
  /// What sending ends with, whatever the socket has to say of earlier datagrams.
  public var unsendable: () -> Errno? = { nil }
  /// Earlier datagrams met a closed port.
  public var isRefused: Bool {
    get { error == .connectionRefused }
    set { error = newValue ? .connectionRefused : nil }
  }

  private var queue: [[UInt8]] = []
  private let answer: ([UInt8]) -> [[UInt8]]
  private let calls: Calls
  private let clock: ManualClock

  public init(
    from address: IPAddress, port: UInt16 = 50_000, calls: Calls = Calls(), clock: ManualClock = ManualClock(),
    answer: @escaping ([UInt8]) -> [[UInt8]]
  ) {
    localAddress = address
    localPort = port
    self.answer = answer
    self.calls = calls
    self.clock = clock
  }

  /// Whether a call would have something to say at once.
  public var isReadable: Bool { error != nil || !queue.isEmpty }
  /// A datagram that nobody asked for.
  public func arrive(_ bytes: [UInt8]) { queue.append(bytes) }

  public func send(_ bytes: [UInt8]) throws(SystemError) {
    try calls.changes("datagrams.send(\(bytes.count) bytes)")
    try takeError("sending")
    if let unsendable = unsendable() { throw SystemError("sending", unsendable) }
    sent.append(bytes)
    queue += answer(bytes)
  }
  public func receive(limit: Int, before deadline: Instant) throws(SystemError) -> [UInt8]? {
    try calls.sees("datagrams.receive()")
    try takeError("receiving")
    if queue.isEmpty { clock.sleep(until: deadline) }
    return queue.isEmpty ? nil : Array(queue.removeFirst().prefix(limit))
  }
  public func close() { isClosed = true }

  private func takeError(_ operation: String) throws(SystemError) {
    guard let error else { return }
    self.error = nil
    throw SystemError(operation, error)
  }
}

/// Peers by address. A UNIX path without an entry answers `ENOENT`.
public final class ScriptedSockets: Sockets {
  public var unix: [String: () throws(SystemError) -> any ByteStream] = [:]
  /// Answers for every UDP address and port; without it `ENETUNREACH`.
  public var udp: ((IPAddress, UInt16, IPAddress?) throws(SystemError) -> any DatagramSocket)?
  public var listeners: [UInt16: [UDPListener]] = [:]
  /// By the inode of the socket.
  public var filters: [UInt64: SocketFilter] = [:]
  /// The kernel's L2TP sessions, by the pid of their pppd.
  public var l2tp: [Int32: L2TPSocket] = [:]
  /// Sockets of other processes than the one that is asked about, by inode.
  public var foreign: Set<UInt64> = []
  /// Answers for every address; without it `ENETUNREACH`.
  public var icmp: ((IPAddress) throws(SystemError) -> any DatagramSocket)?
  public var neighbours: ((IPAddress) throws(SystemError) -> any DatagramSocket)?
  /// What arrives for others; without it `EPERM`.
  public var overheard: (any DatagramSocket)?

  private let calls: Calls
  private let clock: ManualClock
  /// Sockets somebody listens on and nobody serves: connecting lasts until the deadline.
  public var saturated: Set<String> = []

  public init(calls: Calls = Calls(), clock: ManualClock = ManualClock()) {
    self.calls = calls
    self.clock = clock
  }

  public func whenConnected(toUnix path: String, _ peer: @escaping () throws(SystemError) -> any ByteStream) {
    unix[path] = peer
  }
  public func whenConnectedOverUDP(
    _ peer: @escaping (_ address: IPAddress, _ port: UInt16, _ source: IPAddress?) throws(SystemError) -> any DatagramSocket
  ) {
    udp = peer
  }

  public func connect(toUnix path: String, before deadline: Instant) throws(SystemError) -> any ByteStream {
    try calls.sees("sockets.connect(toUnix: \(path))")
    let operation = "connecting to \(path)"
    if saturated.contains(path) {
      clock.sleep(until: deadline)
      throw SystemError(operation, .timedOut)
    }
    guard let peer = unix[path] else { throw SystemError(operation, .noSuchFile) }
    return try peer()
  }
  public func connect(
    toUDP address: IPAddress, port: UInt16, from source: IPAddress?, on link: Link?
  ) throws(SystemError) -> any DatagramSocket {
    try calls.sees("sockets.connect(toUDP: \(address)\(link.map { "%\($0.name)" } ?? "") \(port))")
    guard let udp else { throw SystemError("connecting to \(address) port \(port)", .networkUnreachable) }
    return try udp(address, port, source)
  }
  public func connect(toICMP address: IPAddress, from source: IPAddress?, on link: Link?) throws(SystemError) -> any DatagramSocket {
    try calls.sees("sockets.connect(toICMP: \(address)\(link.map { "%\($0.name)" } ?? ""))")
    guard let icmp else { throw SystemError("connecting to \(address)", .networkUnreachable) }
    return try icmp(address)
  }
  public func connect(toNeighbour address: IPAddress, on link: Link, from source: IPAddress?) throws(SystemError)
    -> any DatagramSocket
  {
    try calls.sees("sockets.connect(toNeighbour: \(address) on \(link.name))")
    guard let neighbours else { throw SystemError("asking for \(address)", .networkDown) }
    return try neighbours(address)
  }
  public func wait(for sources: [any Readable], before deadline: Instant) throws(SystemError) -> [Int] {
    try calls.sees("sockets.wait(for: \(sources.count))")
    func readable() -> [Int] { sources.indices.filter { (sources[$0] as? ScriptedDatagrams)?.isReadable == true } }
    let now = readable()
    if !now.isEmpty { return now }
    clock.sleep(until: deadline)
    return readable()
  }
  public func overhear(udpTo address: IPAddress, port: UInt16) throws(SystemError) -> any DatagramSocket {
    try calls.sees("sockets.overhear(udpTo: \(address) \(port))")
    guard let overheard else { throw SystemError("overhearing \(address) port \(port)", .notPermitted) }
    return overheard
  }
  public func udpListeners(on port: UInt16) throws(SystemError) -> [UDPListener] {
    try calls.sees("sockets.udpListeners(on: \(port))")
    return listeners[port] ?? []
  }
  public func udpListener(on address: IPAddress, port: UInt16, in process: Process) throws(SystemError) -> UDPListener? {
    try calls.sees("sockets.udpListener(on: \(address) \(port) in \(process.pid))")
    return listeners[port]?.first { !foreign.contains($0.inode) && ($0.address == address || $0.address.isUnspecified) }
  }
  public func l2tpSocket(of process: Process, descriptor: Int32) throws(SystemError) -> L2TPSocket? {
    try calls.sees("sockets.l2tpSocket(of: \(process.pid) \(descriptor))")
    return l2tp[process.pid]
  }
  public func filter(of listener: UDPListener, in process: Process) throws(SystemError) -> SocketFilter? {
    try calls.sees("sockets.filter(of: \(listener.address) in \(process.pid))")
    if foreign.contains(listener.inode) { throw SystemError("looking for a socket of process \(process.pid)", .noSuchFile) }
    return filters[listener.inode]
  }
  public func setFilter(_ filter: SocketFilter?, of listener: UDPListener, in process: Process) throws(SystemError) {
    try calls.changes("sockets.setFilter(\(filter == nil ? "none" : "some") of \(listener.address) in \(process.pid))")
    if foreign.contains(listener.inode) { throw SystemError("looking for a socket of process \(process.pid)", .noSuchFile) }
    filters[listener.inode] = filter
  }
}
