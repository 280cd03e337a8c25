import Host

/// The state of IPVS, and the marks on what arrives.
public struct Balancing {
  public init() {}

  public var services: [UInt32: VirtualService] = [:]
  public var servers: [UInt32: [RealServer]] = [:]
  public var daemons: [SyncDaemon] = []
  /// By the link's number.
  public var marks: [Int32: [ArrivalMark]] = [:]
  /// What was told of, and by whom.
  public var told: [(clients: [BalancedClient], mark: UInt32, timeout: UInt32, daemon: SyncDaemon)] = []
}

extension InMemoryNetwork {
  private func present(_ operation: String) throws(SystemError) -> Balancing {
    guard let balancing else { throw SystemError(operation, .noSuchFile, detail: "the kernel has no IPVS: modprobe ip_vs") }
    return balancing
  }

  public func virtualService(mark: UInt32) throws(SystemError) -> VirtualService? {
    try calls.sees("network.virtualService(\(mark))")
    return balancing?.services[mark]
  }
  public func set(_ service: VirtualService) throws(SystemError) {
    try calls.changes("network.set(service \(service.mark))")
    _ = try present("setting the service of mark \(service.mark)")
    balancing?.services[service.mark] = service
  }
  public func removeService(mark: UInt32) throws(SystemError) {
    try calls.changes("network.removeService(\(mark))")
    balancing?.services[mark] = nil
    balancing?.servers[mark] = nil
  }
  public func servers(mark: UInt32) throws(SystemError) -> [RealServer] {
    try calls.sees("network.servers(\(mark))")
    return balancing?.servers[mark] ?? []
  }
  public func set(_ server: RealServer, mark: UInt32) throws(SystemError) {
    try calls.changes("network.set(server \(server.address) weight \(server.weight))")
    let operation = "setting server \(server.address)"
    guard try present(operation).services[mark] != nil else { throw SystemError(operation, .noSuchProcess) }
    balancing?.servers[mark, default: []].removeAll { $0.address == server.address }
    balancing?.servers[mark, default: []].append(server)
  }
  public func removeServer(_ address: IPAddress, mark: UInt32) throws(SystemError) {
    try calls.changes("network.removeServer(\(address))")
    balancing?.servers[mark]?.removeAll { $0.address == address }
  }
  public func syncDaemons() throws(SystemError) -> [SyncDaemon] {
    try calls.sees("network.syncDaemons()")
    return balancing?.daemons ?? []
  }
  public func start(_ daemon: SyncDaemon) throws(SystemError) {
    try calls.changes("network.start(sync \(daemon.role) on \(daemon.link))")
    let operation = "starting the sync \(daemon.role) on \(daemon.link)"
    guard try !present(operation).daemons.contains(where: { $0.role == daemon.role }) else { throw SystemError(operation, .exists) }
    balancing?.daemons.append(daemon)
  }
  public func stopSync(_ role: SyncDaemon.Role) throws(SystemError) {
    try calls.changes("network.stopSync(\(role))")
    balancing?.daemons.removeAll { $0.role == role }
  }
  public func tell(_ clients: [BalancedClient], mark: UInt32, timeout: UInt32, by daemon: SyncDaemon) throws(SystemError) {
    try calls.changes("network.tell(\(clients.count) clients)")
    balancing?.told.append((clients, mark, timeout, daemon))
  }
  public func arrivalMarks(on link: Link) throws(SystemError) -> [ArrivalMark] {
    try calls.sees("network.arrivalMarks(on: \(link.name))")
    return balancing?.marks[link.index] ?? []
  }
  public func add(_ mark: ArrivalMark, on link: Link) throws(SystemError) {
    try calls.changes("network.add(mark \(mark.mark) for port \(mark.port) on \(link.name))")
    balancing?.marks[link.index, default: []].append(mark)
  }
  public func removeArrivalMarks(on link: Link) throws(SystemError) {
    try calls.changes("network.removeArrivalMarks(on: \(link.name))")
    balancing?.marks[link.index] = nil
  }
}
