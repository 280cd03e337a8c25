import Host

/// What stands around every call of a host: it may refuse the call, and is told how the call went.
///
/// What is in files, streams and messages is never shown, only how long it is.
package protocol Watcher: AnyObject {
  /// Before each call. What this throws is the call's error, and the machine is not touched.
  func begins(_ what: String) throws(SystemError)
  /// After an observation, with what was seen.
  func saw(_ what: String, _ result: String)
  /// After a change, with how it went.
  func did(_ what: String, _ result: String)
  /// Who watches inside a network namespace.
  func inside() -> any Watcher
}

extension Host {
  /// This host with `watcher` around every call; clock, events and log as they are.
  package func watched(by watcher: any Watcher) -> Host {
    let watched = WatchedHost(self, by: watcher)
    return Host(
      network: watched, packetFilter: watched, processes: watched, units: watched, files: watched, sockets: watched,
      clock: clock, cluster: watched, events: events, log: log)
  }
}

/// Every member of a host that touches the machine, each in one line: what it is called, and how its answer is shown.
package final class WatchedHost: Network, PacketFilter, Processes, Units, Files, Sockets, Cluster {
  private let host: Host
  private let watcher: any Watcher

  package init(_ host: Host, by watcher: any Watcher) { (self.host, self.watcher) = (host, watcher) }

  // MARK: Network

  package func inside(namespace name: String) throws(SystemError) -> any Network {
    var inside = host
    inside.network = try seen("network namespace \(name)", { _ in "there" }, try host.network.inside(namespace: name))
    return WatchedHost(inside, by: watcher.inside())
  }
  package func link(named name: String) throws(SystemError) -> Link? {
    try seen("link \(name)", show, try host.network.link(named: name))
  }
  package func link(at index: Int32) throws(SystemError) -> Link? {
    try seen("link \(index)", show, try host.network.link(at: index))
  }
  package func links() throws(SystemError) -> [Link] {
    try seen("links", { "\($0.count)" }, try host.network.links())
  }
  package func pppLinks() throws(SystemError) -> [PPPLink] {
    try seen("PPP links", { "\($0.count)" }, try host.network.pppLinks())
  }
  package func bringUp(_ link: Link) throws(SystemError) {
    try done("bring link \(link.index) \(link.name) up", try host.network.bringUp(link))
  }
  package func promoteSecondaries(_ isOn: Bool, on link: Link) throws(SystemError) {
    try done("switch promote_secondaries \(isOn ? "on" : "off") for link \(link.index) \(link.name)", try host.network.promoteSecondaries(isOn, on: link))
  }
  package func setPolicyLabel(_ label: UInt32?, of address: IPAddress) throws(SystemError) {
    try done("set the policy label of \(address) to \(label.map { "\($0)" } ?? "none")", try host.network.setPolicyLabel(label, of: address))
  }
  package func flushRouteCache(isIPv6: Bool) throws(SystemError) {
    try done("flush the route cache of IPv\(isIPv6 ? 6 : 4)", try host.network.flushRouteCache(isIPv6: isIPv6))
  }
  package func closeConnections(from address: IPAddress) throws(SystemError) -> Int {
    try done("reset connections from \(address)", { "\($0)" }, try host.network.closeConnections(from: address))
  }
  package func holders(of address: IPAddress) throws(SystemError) -> [InterfaceAddress] {
    try seen("holders of \(address)", { list($0) { "\($0) on link \($0.link) flags \(hex($0.flags.rawValue))" } }, try host.network.holders(of: address))
  }
  package func firstAddress(inNetworkOf copy: InterfaceAddress) throws(SystemError) -> IPAddress? {
    try seen("first address in the network of \(copy) on link \(copy.link)", { $0.map { "\($0)" } ?? "none" }, try host.network.firstAddress(inNetworkOf: copy))
  }
  package func copy(of address: IPAddress, on link: Link?, label: String?) throws(SystemError) -> InterfaceAddress? {
    try seen("copy of \(address)", { $0.map { "\($0) on link \($0.link)" } ?? "no short way to it" }, try host.network.copy(of: address, on: link, label: label))
  }
  package func add(_ address: InterfaceAddress) throws(SystemError) {
    try done("add \(address) to link \(address.link)", try host.network.add(address))
  }
  package func remove(_ address: InterfaceAddress) throws(SystemError) {
    try done("remove \(address) from link \(address.link)", try host.network.remove(address))
  }
  package func connectedRoute(to address: IPAddress) throws(SystemError) -> Route? {
    try seen("connected route to \(address)", { $0.map { "/\($0.prefixLength) on link \($0.link)" } ?? "no short way to it" }, try host.network.connectedRoute(to: address))
  }
  package func delivers(_ address: IPAddress, on link: Link) throws(SystemError) -> Bool {
    try seen("\(address) is taken in on \(link.name)", { "\($0)" }, try host.network.delivers(address, on: link))
  }
  package func refusal(of source: IPAddress) throws(SystemError) -> UInt32? {
    try seen("rule that refuses what is sent from \(source)", { $0.map { "\($0)" } ?? "none" }, try host.network.refusal(of: source))
  }
  package func hasRoute(to target: IPAddress, from source: IPAddress?) throws(SystemError) -> Bool {
    try seen("route to \(target) from \(source.map { "\($0)" } ?? "here")", { "\($0)" }, try host.network.hasRoute(to: target, from: source))
  }
  package func connectedRoutes(covering address: IPAddress, near link: Link?) throws(SystemError) -> [Route] {
    try seen("connected routes covering \(address)", { list($0) { "/\($0.prefixLength) on link \($0.link)" } }, try host.network.connectedRoutes(covering: address, near: link))
  }
  package func announce(_ announcement: Announcement) throws(SystemError) {
    try done("announce \(announcement.address) on link \(announcement.link), \(announcement.count) times", try host.network.announce(announcement))
  }
  package func conflictingHost(for address: IPAddress, on link: Link, before deadline: Instant) throws(SystemError) -> [UInt8]? {
    try done("ask for a conflict of \(address) on link \(link.index)", { $0 == nil ? "none" : "there is one" }, try host.network.conflictingHost(for: address, on: link, before: deadline))
  }
  package func stopAnnouncing(_ address: IPAddress) throws(SystemError) {
    try done("stop announcing \(address)", try host.network.stopAnnouncing(address))
  }
  package func removeIPsecState(endpoint address: IPAddress) throws(SystemError) -> Int {
    try done("remove IPsec state of \(address)", { "\($0)" }, try host.network.removeIPsecState(endpoint: address))
  }
  package func outboundAssociations(from address: IPAddress) throws(SystemError) -> [OutboundAssociation] {
    try seen("outbound SAs from \(address)", { list($0) { "\(hex($0.spi)), \($0.age) s old, at \($0.sequence)" } }, try host.network.outboundAssociations(from: address))
  }
  package func raiseSequences(
    from address: IPAddress, to first: (OutboundAssociation) -> UInt32
  ) throws(SystemError) -> Int {
    try done("raise sequence numbers from \(address)", { "\($0)" }, try host.network.raiseSequences(from: address, to: first))
  }
  package func blockEgress(from address: IPAddress) throws(SystemError) {
    try done("block egress from \(address)", try host.network.blockEgress(from: address))
  }
  package func unblockEgress(from address: IPAddress) throws(SystemError) {
    try done("unblock egress from \(address)", try host.network.unblockEgress(from: address))
  }
  package func blockedEgress() throws(SystemError) -> [IPAddress] {
    try seen("addresses that nothing leaves from", { list($0) { "\($0)" } }, try host.network.blockedEgress())
  }

  // MARK: Load balancing

  package func virtualService(mark: UInt32) throws(SystemError) -> VirtualService? {
    try seen("service of mark \(mark)", { $0.map { "\($0.scheduler), persistent \($0.persistence) s" } ?? "none" }, try host.network.virtualService(mark: mark))
  }
  package func set(_ service: VirtualService) throws(SystemError) {
    try done("set service of mark \(service.mark): \(service.scheduler), persistent \(service.persistence) s", try host.network.set(service))
  }
  package func removeService(mark: UInt32) throws(SystemError) {
    try done("remove service of mark \(mark)", try host.network.removeService(mark: mark))
  }
  package func servers(mark: UInt32) throws(SystemError) -> [RealServer] {
    try seen("servers of mark \(mark)", { list($0) { "\($0.address) weight \($0.weight)" } }, try host.network.servers(mark: mark))
  }
  package func set(_ server: RealServer, mark: UInt32) throws(SystemError) {
    try done("set server \(server.address) weight \(server.weight) of mark \(mark)", try host.network.set(server, mark: mark))
  }
  package func removeServer(_ address: IPAddress, mark: UInt32) throws(SystemError) {
    try done("remove server \(address) of mark \(mark)", try host.network.removeServer(address, mark: mark))
  }
  package func syncDaemons() throws(SystemError) -> [SyncDaemon] {
    try seen("sync daemons", { list($0) { "\($0.role) \($0.id) on \($0.link)" } }, try host.network.syncDaemons())
  }
  package func start(_ daemon: SyncDaemon) throws(SystemError) {
    try done("start sync \(daemon.role) \(daemon.id) on \(daemon.link)", try host.network.start(daemon))
  }
  package func stopSync(_ role: SyncDaemon.Role) throws(SystemError) {
    try done("stop sync \(role)", try host.network.stopSync(role))
  }
  package func tell(_ clients: [BalancedClient], mark: UInt32, timeout: UInt32, by daemon: SyncDaemon) throws(SystemError) {
    try done("tell of \(clients.count) clients on \(daemon.link)", try host.network.tell(clients, mark: mark, timeout: timeout, by: daemon))
  }
  package func arrivalMarks(on link: Link) throws(SystemError) -> [ArrivalMark] {
    try seen("marks on \(link.name)", { list($0) { "\($0.mark) for \($0.address) port \($0.port)" } }, try host.network.arrivalMarks(on: link))
  }
  package func add(_ mark: ArrivalMark, on link: Link) throws(SystemError) {
    try done("mark \(mark.address) port \(mark.port) with \(mark.mark) on \(link.name)", try host.network.add(mark, on: link))
  }
  package func removeArrivalMarks(on link: Link) throws(SystemError) {
    try done("remove marks from \(link.name)", try host.network.removeArrivalMarks(on: link))
  }

  // MARK: Packet filter

  package func table(named name: String) throws(SystemError) -> FilterTable? {
    try seen("table inet \(name)", { $0.map { "handle \($0.handle) \($0.comment)" } ?? "none" }, try host.packetFilter.table(named: name))
  }
  package func contents(of table: FilterTable) throws(SystemError) -> FilterContents {
    try seen("contents of table inet \(table.name)", show, try host.packetFilter.contents(of: table))
  }
  package func members(of set: String, in table: String) throws(SystemError) -> [SetMember] {
    try seen("members of set \(set) in table inet \(table)", { list($0) { "\($0.address)" } }, try host.packetFilter.members(of: set, in: table))
  }
  package func remove(_ table: FilterTable) throws(SystemError) {
    try done("remove table inet \(table.name) handle \(table.handle)", try host.packetFilter.remove(table))
  }
  package func baseChains() throws(SystemError) -> [BaseChain] {
    try seen("base chains", { "\($0.count)" }, try host.packetFilter.baseChains())
  }
  package func certainlyDropped(_ packets: [FilteredPacket], by chain: BaseChain) throws(SystemError) -> [FilteredPacket] {
    try seen("dropped by chain \(chain.name) of table \(chain.family) \(chain.table)", { "\($0.count) of \(packets.count) kinds" }, try host.packetFilter.certainlyDropped(packets, by: chain))
  }

  // MARK: Processes

  package func current() throws(SystemError) -> Process {
    try seen("this process", show, try host.processes.current())
  }
  package func process(_ pid: Int32) throws(SystemError) -> Process? {
    try seen("process \(pid)", { $0.map(show) ?? "none" }, try host.processes.process(pid))
  }
  package func running(_ executable: String) throws(SystemError) -> [Process] {
    try seen("running \(executable)", { list($0, show) }, try host.processes.running(executable))
  }
  package func owner(ofSocket inode: UInt64) throws(SystemError) -> Process? {
    try seen("owner of socket \(inode)", { $0.map(show) ?? "none" }, try host.processes.owner(ofSocket: inode))
  }
  package func signal(_ signal: Signal, to process: Process) throws(SystemError) {
    try done("send \(signal) to process \(process.pid)", try host.processes.signal(signal, to: process))
  }
  package func setNiceness(_ niceness: Int32, of process: Process) throws(SystemError) -> Int32 {
    try done("set the niceness of process \(process.pid) to \(niceness)", { "it was \($0)" }, try host.processes.setNiceness(niceness, of: process))
  }
  package func isAlive(_ process: Process) throws(SystemError) -> Bool {
    try seen("process \(process.pid) is alive", { "\($0)" }, try host.processes.isAlive(process))
  }
  package func launch(_ command: Command) throws(SystemError) -> Process {
    try done("launch \(words(command))", show, try host.processes.launch(command))
  }
  package func output(of launched: Process) -> [UInt8] {
    mayAsk("output of process \(launched.pid)") ? host.processes.output(of: launched) : []
  }
  package func family(of launched: Process) throws(SystemError) -> [Process] {
    try seen("children of process \(launched.pid)", { $0.map(show).joined(separator: ", ") }, try host.processes.family(of: launched))
  }
  package func awaitLaunches(before deadline: Instant) throws(SystemError) {
    try seen("launches under way", { "none" }, try host.processes.awaitLaunches(before: deadline))
  }
  package func relaunch(_ arguments: [String], environment: [String: String]) throws(SystemError) -> Process {
    try done("relaunch \(arguments.joined(separator: " "))", show, try host.processes.relaunch(arguments, environment: environment))
  }
  package func run(_ command: Command, before deadline: Instant) throws(SystemError) -> CommandResult {
    try done("run \(words(command))", { "\($0.ending), \($0.output.count) bytes" }, try host.processes.run(command, before: deadline))
  }

  // MARK: Units

  package var isAvailable: Bool { mayAsk("systemd is there") && host.units.isAvailable }
  package func unit(_ name: String) throws(SystemError) -> Unit {
    try seen("unit \(name)", { "\($0.loadState), \($0.activeState) (\($0.subState)), pid \($0.mainPID), \($0.fragmentPath)" }, try host.units.unit(name))
  }
  package func start(_ name: String, before deadline: Instant) throws(SystemError) -> JobResult {
    try done("start \(name)", { $0.result }, try host.units.start(name, before: deadline))
  }
  package func stop(_ name: String, before deadline: Instant) throws(SystemError) -> JobResult {
    try done("stop \(name)", { $0.result }, try host.units.stop(name, before: deadline))
  }
  package func resetFailed(_ name: String) throws(SystemError) {
    try done("forget failures of \(name)", try host.units.resetFailed(name))
  }
  package func override(_ name: String, with text: String) throws(SystemError) {
    try done("override \(name)", try host.units.override(name, with: text))
  }
  package func removeOverride(_ name: String) throws(SystemError) {
    try done("remove the override of \(name)", try host.units.removeOverride(name))
  }

  // MARK: Files

  package func read(_ path: String, limit: Int) throws(SystemError) -> [UInt8]? {
    try seen("read \(path)", { $0.map { "\($0.count) bytes" } ?? "absent" }, try host.files.read(path, limit: limit))
  }
  package func replace(_ path: String, with bytes: [UInt8], mode: UInt32) throws(SystemError) {
    try done("replace \(path), \(bytes.count) bytes", try host.files.replace(path, with: bytes, mode: mode))
  }
  package func create(_ path: String, with bytes: [UInt8], mode: UInt32) throws(SystemError) {
    try done("create \(path), \(bytes.count) bytes", try host.files.create(path, with: bytes, mode: mode))
  }
  package func remove(_ path: String) throws(SystemError) {
    try done("remove \(path)", try host.files.remove(path))
  }
  package func status(_ path: String) throws(SystemError) -> FileStatus? {
    try seen("status of \(path)", { $0.map { $0.kind.rawValue } ?? "absent" }, try host.files.status(path))
  }
  package func isExecutable(_ path: String) -> Bool {
    let what = "\(path) is executable"
    guard mayAsk(what) else { return false }
    let answer = host.files.isExecutable(path)
    watcher.saw(what, "\(answer)")
    return answer
  }
  package func entries(of directory: String) throws(SystemError) -> [String]? {
    try seen("entries of \(directory)", { $0.map { "\($0.count)" } ?? "absent" }, try host.files.entries(of: directory))
  }
  package func makeDirectory(_ path: String, mode: UInt32) throws(SystemError) {
    try done("make directory \(path)", try host.files.makeDirectory(path, mode: mode))
  }
  package func lock(_ path: String, before deadline: Instant) throws(SystemError) -> any FileLock {
    try done("lock \(path)", { _ in "held" }, try host.files.lock(path, before: deadline))
  }
  package func send(_ bytes: [UInt8], toFIFO path: String) throws(SystemError) {
    try done("send \(bytes.count) bytes to \(path)", try host.files.send(bytes, toFIFO: path))
  }
  package func makeReplyFile(in directory: String) throws(SystemError) -> any ReplyFile {
    try done("make a reply file in \(directory)", { $0.path }, try host.files.makeReplyFile(in: directory))
  }
  package func kernelParameter(_ name: String) throws(SystemError) -> String? {
    try seen("kernel parameter \(name)", { $0 ?? "absent" }, try host.files.kernelParameter(name))
  }
  package func setKernelParameter(_ name: String, to value: String) throws(SystemError) {
    try done("set kernel parameter \(name) to \(value)", try host.files.setKernelParameter(name, to: value))
  }

  // MARK: Sockets

  package func connect(toUnix path: String, before deadline: Instant) throws(SystemError) -> any ByteStream {
    try seen("connect to \(path)", { _ in "connected" }, try host.sockets.connect(toUnix: path, before: deadline))
  }
  package func connect(
    toUDP address: IPAddress, port: UInt16, from source: IPAddress?, on link: Link?
  ) throws(SystemError) -> any DatagramSocket {
    try seen("connect to \(address) port \(port)", { "from \($0.localAddress) port \($0.localPort)" }, try host.sockets.connect(toUDP: address, port: port, from: source, on: link))
  }
  package func connect(toICMP address: IPAddress, from source: IPAddress?, on link: Link?) throws(SystemError) -> any DatagramSocket {
    try seen("ICMP socket to \(address)", { _ in "there" }, try host.sockets.connect(toICMP: address, from: source, on: link))
  }
  package func overhear(udpTo address: IPAddress, port: UInt16) throws(SystemError) -> any DatagramSocket {
    try seen("what arrives for \(address) port \(port)", { _ in "overheard" }, try host.sockets.overhear(udpTo: address, port: port))
  }
  package func connect(toNeighbour address: IPAddress, on link: Link, from source: IPAddress?) throws(SystemError) -> any DatagramSocket {
    try seen("neighbour \(address) on \(link.name)", { _ in "there" }, try host.sockets.connect(toNeighbour: address, on: link, from: source))
  }
  package func wait(for sources: [any Readable], before deadline: Instant) throws(SystemError) -> [Int] {
    try watcher.begins("wait for \(sources.count) sources")
    return try host.sockets.wait(for: sources, before: deadline)
  }
  package func udpListeners(on port: UInt16) throws(SystemError) -> [UDPListener] {
    try seen("listeners on UDP port \(port)", { list($0) { "\($0.address)" } }, try host.sockets.udpListeners(on: port))
  }
  package func udpListener(on address: IPAddress, port: UInt16, in process: Process) throws(SystemError) -> UDPListener? {
    try seen("listener on \(address) UDP port \(port) in process \(process.pid)", { $0.map { "\($0.address)" } ?? "none" }, try host.sockets.udpListener(on: address, port: port, in: process))
  }
  package func l2tpSocket(of process: Process, descriptor: Int32) throws(SystemError) -> L2TPSocket? {
    try seen("L2TP session of process \(process.pid)", { $0.map { "\($0.tunnel)/\($0.session)" } ?? "none" }, try host.sockets.l2tpSocket(of: process, descriptor: descriptor))
  }
  package func filter(of listener: UDPListener, in process: Process) throws(SystemError) -> SocketFilter? {
    try seen("filter of \(listener.address) in process \(process.pid)", { $0 == nil ? "none" : "there is one" }, try host.sockets.filter(of: listener, in: process))
  }
  package func setFilter(_ filter: SocketFilter?, of listener: UDPListener, in process: Process) throws(SystemError) {
    try done("\(filter == nil ? "remove" : "set") the filter of \(listener.address) in process \(process.pid)", try host.sockets.setFilter(filter, of: listener, in: process))
  }

  // MARK: Cluster

  package func setPromotionScore(_ score: Int?, of resource: String) throws(SystemError) {
    try done("set the promotion score of \(resource) to \(score.map(String.init) ?? "nothing")", try host.cluster.setPromotionScore(score, of: resource))
  }
  package func takeUpAttributes() throws(SystemError) { try done("had the cluster take up its attributes", try host.cluster.takeUpAttributes()) }
  package func setNodeAttribute(_ name: String, to value: String?, dampening: Duration) throws(SystemError) {
    try done("set node attribute \(name) to \(value ?? "nothing")", try host.cluster.setNodeAttribute(name, to: value, dampening: dampening))
  }
  package func share(_ value: String, as name: String, on node: String?) throws(SystemError) {
    try done("set \(name) on \(node ?? "this node") to \(value)", try host.cluster.share(value, as: name, on: node))
  }
  package func attributeDaemon() throws(SystemError) -> Int32 {
    try seen("attribute daemon", { "pid \($0)" }, try host.cluster.attributeDaemon())
  }
  package func members() throws(SystemError) -> [String] {
    try seen("nodes of the cluster", { list($0) { $0 } }, try host.cluster.members())
  }

  package func nodeAttribute(_ name: String) throws(SystemError) -> [String: String] {
    try seen("node attribute \(name)", { list($0.sorted { $0.key < $1.key }) { "\($0.key): \($0.value)" } }, try host.cluster.nodeAttribute(name))
  }

  // MARK: What the watcher is told

  private func seen<Value>(
    _ what: String, _ show: (Value) -> String, _ body: @autoclosure () throws(SystemError) -> Value
  ) throws(SystemError) -> Value {
    try watcher.begins(what)
    do throws(SystemError) {
      let value = try body()
      watcher.saw(what, show(value))
      return value
    } catch {
      watcher.saw(what, "\(error.errno)")
      throw error
    }
  }

  private func done<Value>(
    _ what: String, _ show: (Value) -> String, _ body: @autoclosure () throws(SystemError) -> Value
  ) throws(SystemError) -> Value {
    try watcher.begins(what)
    do throws(SystemError) {
      let value = try body()
      watcher.did(what, show(value))
      return value
    } catch {
      watcher.did(what, error.detail.map { "\($0) (\(error.errno.name))" } ?? "\(error.errno)")
      throw error
    }
  }

  private func done(_ what: String, _ body: @autoclosure () throws(SystemError) -> Void) throws(SystemError) {
    try done(what, { (_: Void) in "done" }, try body())
  }

  /// For members that cannot throw: refused, they answer with nothing.
  private func mayAsk(_ what: String) -> Bool {
    do throws(SystemError) { try watcher.begins(what) } catch { return false }
    return true
  }
}

private func list<Element>(_ elements: [Element], _ show: (Element) -> String) -> String {
  guard !elements.isEmpty else { return "none" }
  let shown = elements.prefix(8).map(show).joined(separator: ", ")
  return elements.count > 8 ? "\(shown) and \(elements.count - 8) more" : shown
}

private func hex(_ number: UInt32) -> String { "0x" + String(number, radix: 16) }

private func show(_ process: Process) -> String { "\(process.pid) \(process.executable) (\(process.state))" }

private func show(_ link: Link?) -> String {
  guard let link else { return "none" }
  return "\(link.index) \(link.name)\(link.isUp ? "" : " down")\(link.hasCarrier ? "" : " without carrier")"
}

private func show(_ contents: FilterContents) -> String {
  let rules = contents.chains.reduce(0) { $0 + $1.rules.count }
  return "\(contents.chains.count) chains, \(rules) rules, \(contents.sets.count) sets"
}

private func words(_ command: Command) -> String { ([command.path] + command.arguments).joined(separator: " ") }
