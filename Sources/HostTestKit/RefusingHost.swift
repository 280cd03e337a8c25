import Host

// A statically linked release build compiles this target too, and the toolchain has no static Testing.
#if canImport(Testing)
  import Testing
#endif

extension Host {
  /// A host that fails the test, naming the member touched. Tests replace what they expect to be used.
  public static var refusing: Host {
    let refusing = RefusingHost()
    return Host(
      network: refusing, packetFilter: refusing, processes: refusing, units: refusing, files: refusing, sockets: refusing,
      clock: refusing, cluster: refusing, events: refusing, log: refusing)
  }
}

/// Every member records an issue that names it, then throws `ENOSYS` or answers with nothing.
public final class RefusingHost: Network, PacketFilter, Processes, Units, Files, Sockets, Clock, Cluster, Events, Log {
  public private(set) var touched: [String] = []
  private let record: (String) -> Void

  /// - Parameter record: what to do about a touched member; by default the running test fails.
  public init(record: @escaping (String) -> Void = failTest) { self.record = record }

  public static func failTest(_ member: String) {
    #if canImport(Testing)
      Issue.record("unexpected: \(member)")
    #else
      fatalError("unexpected: \(member)")
    #endif
  }

  private func note(_ member: String) {
    touched.append(member)
    record(member)
  }
  private func refuse(_ member: String) throws(SystemError) {
    let _: Never = try refuse(member)
  }
  private func refuse<Value>(_ member: String) throws(SystemError) -> Value {
    note(member)
    throw SystemError(member, .notImplemented, detail: "refused by the test's host")
  }

  public func link(named name: String) throws(SystemError) -> Link? { try refuse("network.link(named: \(name))") }
  public func link(at index: Int32) throws(SystemError) -> Link? { try refuse("network.link(at: \(index))") }
  public func pppLinks() throws(SystemError) -> [PPPLink] { try refuse("network.pppLinks()") }
  public func links() throws(SystemError) -> [Link] { try refuse("network.links()") }
  public func holders(of address: IPAddress) throws(SystemError) -> [InterfaceAddress] {
    try refuse("network.holders(of: \(address))")
  }
  public func bringUp(_ link: Link) throws(SystemError) { try refuse("network.bringUp(\(link.name))") }
  public func connectedRoute(to address: IPAddress) throws(SystemError) -> Route? {
    try refuse("network.connectedRoute(to: \(address))")
  }
  public func inside(namespace name: String) throws(SystemError) -> any Network {
    try refuse("network.inside(namespace: \(name))")
  }
  public func promoteSecondaries(_ isOn: Bool, on link: Link) throws(SystemError) {
    try refuse("network.promoteSecondaries(on: \(link.name))")
  }
  public func setPolicyLabel(_ label: UInt32?, of address: IPAddress) throws(SystemError) {
    try refuse("network.setPolicyLabel(of: \(address))")
  }
  public func flushRouteCache(isIPv6: Bool) throws(SystemError) { try refuse("network.flushRouteCache") }
  public func closeConnections(from address: IPAddress) throws(SystemError) -> Int {
    try refuse("network.closeConnections(from: \(address))")
  }
  public func copy(of address: IPAddress, on link: Link?, label: String?) throws(SystemError) -> InterfaceAddress? {
    try refuse("network.copy(of: \(address))")
  }
  public func rival(for address: IPAddress, on link: Link, before deadline: Instant) throws(SystemError) -> [UInt8]? {
    try refuse("network.rival(for: \(address))")
  }
  public func add(_ address: InterfaceAddress) throws(SystemError) { try refuse("network.add(\(address))") }
  public func remove(_ address: InterfaceAddress) throws(SystemError) { try refuse("network.remove(\(address))") }
  public func connectedRoutes(covering address: IPAddress, near link: Link?) throws(SystemError) -> [Route] {
    try refuse("network.connectedRoutes(covering: \(address))")
  }
  public func announce(_ announcement: Announcement) throws(SystemError) {
    try refuse("network.announce(\(announcement.address))")
  }
  public func silence(_ address: IPAddress) throws(SystemError) { try refuse("network.silence(\(address))") }
  public func removeIPsecState(endpoint address: IPAddress) throws(SystemError) -> Int {
    try refuse("network.removeIPsecState(endpoint: \(address))")
  }
  public func outboundAssociations(from address: IPAddress) throws(SystemError) -> [OutboundAssociation] {
    try refuse("network.outboundAssociations(from: \(address))")
  }
  public func raiseSequences(
    from address: IPAddress, to first: (OutboundAssociation) -> UInt32
  ) throws(SystemError) -> Int {
    try refuse("network.raiseSequences(from: \(address))")
  }
  public func hush(_ address: IPAddress) throws(SystemError) { try refuse("network.hush(\(address))") }
  public func unhush(_ address: IPAddress) throws(SystemError) { try refuse("network.unhush(\(address))") }
  public func hushed() throws(SystemError) -> [IPAddress] { try refuse("network.hushed()") }
  public func ipsecState(endpoint address: IPAddress) throws(SystemError) -> Int {
    try refuse("network.ipsecState(endpoint: \(address))")
  }

  public func current() throws(SystemError) -> Process { try refuse("processes.current()") }
  public func table(named name: String) throws(SystemError) -> FilterTable? {
    try refuse("packetFilter.table(named: \(name))")
  }
  public func contents(of table: FilterTable) throws(SystemError) -> FilterContents {
    try refuse("packetFilter.contents(of: \(table.name))")
  }
  public func members(of set: String, in table: String) throws(SystemError) -> [SetMember] {
    try refuse("packetFilter.members(of: \(set) in \(table))")
  }
  public func remove(_ table: FilterTable) throws(SystemError) { try refuse("packetFilter.remove(\(table.name))") }
  public func baseChains() throws(SystemError) -> [BaseChain] { try refuse("packetFilter.baseChains()") }

  public func process(_ pid: Int32) throws(SystemError) -> Process? { try refuse("processes.process(\(pid))") }
  public func running(_ executable: String) throws(SystemError) -> [Process] {
    try refuse("processes.running(\(executable))")
  }
  public func owner(ofSocket inode: UInt64) throws(SystemError) -> Process? {
    try refuse("processes.owner(ofSocket: \(inode))")
  }
  public func signal(_ signal: Signal, to process: Process) throws(SystemError) {
    try refuse("processes.signal(\(signal) to \(process.pid))")
  }
  public func setNiceness(_ niceness: Int32, of process: Process) throws(SystemError) -> Int32 {
    try refuse("processes.setNiceness(\(niceness) of \(process.pid))")
  }
  public func isAlive(_ process: Process) throws(SystemError) -> Bool { try refuse("processes.isAlive(\(process.pid))") }
  public func launch(_ command: Command) throws(SystemError) -> Process { try refuse("processes.launch(\(command.path))") }
  public func output(of launched: Process) -> [UInt8] {
    note("processes.output(of: \(launched.pid))")
    return []
  }
  public func family(of launched: Process) throws(SystemError) -> [Process] {
    try refuse("processes.family(of: \(launched.pid))")
  }
  public func awaitLaunches(before deadline: Instant) throws(SystemError) { try refuse("processes.awaitLaunches()") }
  public func relaunch(_ arguments: [String], environment: [String: String]) throws(SystemError) -> Process {
    try refuse("processes.relaunch(\(arguments.joined(separator: " ")))")
  }
  public func run(_ command: Command, before deadline: Instant) throws(SystemError) -> CommandResult {
    try refuse("processes.run(\(command.path))")
  }

  public var isAvailable: Bool {
    note("units.isAvailable")
    return false
  }
  public func unit(_ name: String) throws(SystemError) -> Unit { try refuse("units.unit(\(name))") }
  public func start(_ name: String, before deadline: Instant) throws(SystemError) -> JobResult {
    try refuse("units.start(\(name))")
  }
  public func stop(_ name: String, before deadline: Instant) throws(SystemError) -> JobResult {
    try refuse("units.stop(\(name))")
  }
  public func resetFailed(_ name: String) throws(SystemError) { try refuse("units.resetFailed(\(name))") }
  public func override(_ name: String, with text: String) throws(SystemError) { try refuse("units.override(\(name))") }
  public func removeOverride(_ name: String) throws(SystemError) { try refuse("units.removeOverride(\(name))") }

  public func read(_ path: String, limit: Int) throws(SystemError) -> [UInt8]? { try refuse("files.read(\(path))") }
  public func replace(_ path: String, with bytes: [UInt8], mode: UInt32) throws(SystemError) {
    try refuse("files.replace(\(path))")
  }
  public func create(_ path: String, with bytes: [UInt8], mode: UInt32) throws(SystemError) {
    try refuse("files.create(\(path))")
  }
  public func remove(_ path: String) throws(SystemError) { try refuse("files.remove(\(path))") }
  public func status(_ path: String) throws(SystemError) -> FileStatus? { try refuse("files.status(\(path))") }
  public func isExecutable(_ path: String) -> Bool {
    note("files.isExecutable(\(path))")
    return false
  }
  public func entries(of directory: String) throws(SystemError) -> [String]? {
    try refuse("files.entries(of: \(directory))")
  }
  public func makeDirectory(_ path: String, mode: UInt32) throws(SystemError) {
    try refuse("files.makeDirectory(\(path))")
  }
  public func lock(_ path: String, before deadline: Instant) throws(SystemError) -> any FileLock {
    try refuse("files.lock(\(path))")
  }
  public func send(_ bytes: [UInt8], toFIFO path: String) throws(SystemError) { try refuse("files.send(to \(path))") }
  public func makeReplyFile(in directory: String) throws(SystemError) -> any ReplyFile {
    try refuse("files.makeReplyFile(in: \(directory))")
  }
  public func kernelParameter(_ name: String) throws(SystemError) -> String? {
    try refuse("files.kernelParameter(\(name))")
  }
  public func setKernelParameter(_ name: String, to value: String) throws(SystemError) {
    try refuse("files.setKernelParameter(\(name))")
  }

  public func connect(toUnix path: String, before deadline: Instant) throws(SystemError) -> any ByteStream {
    try refuse("sockets.connect(toUnix: \(path))")
  }
  public func connect(
    toUDP address: IPAddress, port: UInt16, from source: IPAddress?, on link: Link?
  ) throws(SystemError) -> any DatagramSocket {
    try refuse("sockets.connect(toUDP: \(address) \(port))")
  }
  public func connect(toICMP address: IPAddress, from source: IPAddress?, on link: Link?) throws(SystemError) -> any DatagramSocket {
    try refuse("sockets.connect(toICMP: \(address))")
  }
  public func connect(toNeighbour address: IPAddress, on link: Link, from source: IPAddress?) throws(SystemError)
    -> any DatagramSocket
  {
    try refuse("sockets.connect(toNeighbour: \(address) on \(link.name))")
  }
  public func wait(for sockets: [any DatagramSocket], before deadline: Instant) throws(SystemError) -> [Int] {
    try refuse("sockets.wait(for: \(sockets.count))")
  }
  public func overhear(udpTo address: IPAddress, port: UInt16) throws(SystemError) -> any DatagramSocket {
    try refuse("sockets.overhear(udpTo: \(address) \(port))")
  }
  public func udpListeners(on port: UInt16) throws(SystemError) -> [UDPListener] {
    try refuse("sockets.udpListeners(on: \(port))")
  }
  public func udpListener(on address: IPAddress, port: UInt16, in process: Process) throws(SystemError) -> UDPListener? {
    try refuse("sockets.udpListener(on: \(address) \(port))")
  }
  public func l2tpSocket(of process: Process, descriptor: Int32) throws(SystemError) -> L2TPSocket? {
    try refuse("sockets.l2tpSocket(of: \(process.pid) \(descriptor))")
  }
  public func filter(of listener: UDPListener, in process: Process) throws(SystemError) -> SocketFilter? {
    try refuse("sockets.filter(of: \(listener.address))")
  }
  public func setFilter(_ filter: SocketFilter?, of listener: UDPListener, in process: Process) throws(SystemError) {
    try refuse("sockets.setFilter(of: \(listener.address))")
  }

  public var now: Instant {
    note("clock.now")
    return Instant(nanoseconds: 0)
  }
  public var timestamp: Timestamp {
    note("clock.timestamp")
    return Timestamp(seconds: 0)
  }
  public func sleep(until instant: Instant) { note("clock.sleep(until:)") }

  public func setPromotionScore(_ score: Int?, of resource: String) throws(SystemError) {
    try refuse("cluster.setPromotionScore(of: \(resource))")
  }
  public func setNodeAttribute(_ name: String, to value: String?, dampening: Duration) throws(SystemError) {
    try refuse("cluster.setNodeAttribute(\(name))")
  }
  public func share(_ value: String, as name: String, on node: String?) throws(SystemError) {
    try refuse("cluster.share(as: \(name))")
  }
  public func attributeDaemon() throws(SystemError) -> Int32 { try refuse("cluster.attributeDaemon()") }
  public func members() throws(SystemError) -> [String] { try refuse("cluster.members()") }
  public func nodeAttribute(_ name: String) throws(SystemError) -> [String: String] {
    try refuse("cluster.nodeAttribute(\(name))")
  }

  public func watch(_ sources: [EventSource]) throws(SystemError) -> any Watch { try refuse("events.watch()") }

  public func write(_ level: LogLevel, _ message: String, _ fields: [(String, String)]) {
    note("log.write(\(message))")
  }
}
