import CLinux
import Host
import Netlink

/// IPVS over generic netlink, and marks by the classifiers of rtnetlink.
extension LinuxNetwork {
  public func virtualService(mark: UInt32) throws(SystemError) -> VirtualService? {
    guard let (ipvs, family) = try ipvs() else { return nil }
    do throws(SystemError) {
      return try ipvs.get(.getService(mark: mark, family: family), "looking for the service of mark \(mark)", VirtualService.init)
    } catch  where error.errno == .noSuchProcess {
      return nil
    }
  }

  public func set(_ service: VirtualService) throws(SystemError) {
    let operation = "setting the service of mark \(service.mark)"
    let (ipvs, family) = try needed(operation)
    do throws(SystemError) {
      try ipvs.perform(.addService(service, family: family), operation)
    } catch  where error.errno == .exists {
      try ipvs.perform(.changeService(service, family: family), operation)
    } catch  where error.errno == .noSuchFile {
      throw SystemError(operation, .noSuchFile, detail: "the kernel has no scheduler \(service.scheduler): modprobe ip_vs_\(service.scheduler)")
    }
  }

  public func removeService(mark: UInt32) throws(SystemError) {
    guard let (ipvs, family) = try ipvs() else { return }
    do throws(SystemError) {
      try ipvs.perform(.removeService(mark: mark, family: family), "removing the service of mark \(mark)")
    } catch  where error.errno == .noSuchProcess {
      // There is none.
    }
  }

  public func servers(mark: UInt32) throws(SystemError) -> [RealServer] {
    guard let (ipvs, family) = try ipvs() else { return [] }
    return try ipvs.dump(.getServers(mark: mark, family: family), "listing the servers of mark \(mark)", RealServer.init)
  }

  public func set(_ server: RealServer, mark: UInt32) throws(SystemError) {
    let operation = "setting server \(server.address)"
    let (ipvs, family) = try needed(operation)
    do throws(SystemError) {
      try ipvs.perform(.addServer(server, mark: mark, family: family), operation)
    } catch  where error.errno == .exists {
      try ipvs.perform(.changeServer(server, mark: mark, family: family), operation)
    }
  }

  public func removeServer(_ address: IPAddress, mark: UInt32) throws(SystemError) {
    guard let (ipvs, family) = try ipvs() else { return }
    do throws(SystemError) {
      try ipvs.perform(.removeServer(address, mark: mark, family: family), "removing server \(address)")
    } catch  where error.errno == .noSuchFile || error.errno == .noSuchProcess {
      // No such server, no such service.
    }
  }

  public func syncDaemons() throws(SystemError) -> [SyncDaemon] {
    guard let (ipvs, family) = try ipvs() else { return [] }
    return try ipvs.dump(.getSyncDaemons(family: family), "listing the sync daemons", SyncDaemon.init)
  }

  public func start(_ daemon: SyncDaemon) throws(SystemError) {
    let operation = "starting the sync \(daemon.role) on \(daemon.link)"
    let (ipvs, family) = try needed(operation)
    try ipvs.perform(.startSync(daemon, family: family), operation)
  }

  public func stopSync(_ role: SyncDaemon.Role) throws(SystemError) {
    guard let (ipvs, family) = try ipvs() else { return }
    do throws(SystemError) {
      try ipvs.perform(.stopSync(role, family: family), "stopping the sync \(role)")
    } catch  where error.errno == .noSuchProcess {
      // None runs.
    }
  }

  public func tell(_ clients: [BalancedClient], mark: UInt32, timeout: UInt32, by daemon: SyncDaemon) throws(SystemError) {
    let operation = "telling of \(clients.count) clients on \(daemon.link)"
    guard let link = try link(named: daemon.link) else { throw SystemError(operation, .noSuchDevice) }
    let socket = Descriptor(owning: try inNamespace { () throws(SystemError) in try openSocket(AF_INET, SOCK_DGRAM, operation) })
    var place = ip_mreqn()
    place.imr_ifindex = link.index
    try check(operation) { setsockopt(socket.number, Int32(IPPROTO_IP), IP_MULTICAST_IF, &place, socklen_t(MemoryLayout<ip_mreqn>.size)) }
    guard let group = IPAddress(bytes: SyncMessage.group) else { throw SystemError(operation, .invalidArgument) }
    // This node's own daemon hears it as well: what is sent to a group comes back where it is joined (IP_MULTICAST_LOOP).
    for message in SyncMessage.all(of: clients, mark: mark, timeout: timeout, id: daemon.id) {
      try check(operation) {
        SocketAddress(group, port: SyncMessage.port).withPointer { clinux_sendto(socket.number, message, message.count, 0, $0, $1) }
      }
    }
  }

  // MARK: Marks

  public func arrivalMarks(on link: Link) throws(SystemError) -> [ArrivalMark] {
    try routes().dump(.getFilters(link: link.index, arriving: true), "listing the filters of \(link.name)", ArrivalFilter.init).compactMap(\.mark)
  }

  public func add(_ mark: ArrivalMark, on link: Link) throws(SystemError) {
    do throws(SystemError) {
      try routes().perform(.addHook(link: link.index), "making \(link.name)'s hook for arriving packets")
    } catch  where error.errno == .exists {
      // There is one.
    }
    try routes().perform(.addArrivalMark(mark, link: link.index), "marking UDP \(mark.port) to \(mark.address) on \(link.name)")
  }

  public func removeArrivalMarks(on link: Link) throws(SystemError) {
    let operation = "removing marks from \(link.name)"
    func filters(arriving: Bool) throws(SystemError) -> [ArrivalFilter] {
      try routes().dump(.getFilters(link: link.index, arriving: arriving), "listing the filters of \(link.name)", ArrivalFilter.init)
    }
    guard try filters(arriving: true).contains(where: \.isOurs) else { return }
    try routes().perform(.removeArrivalMarks(link: link.index), operation)
    guard try filters(arriving: true).isEmpty, try filters(arriving: false).isEmpty else { return }
    do throws(SystemError) { try routes().perform(.removeHook(link: link.index), operation) } catch  where error.errno == .noSuchFile || error.errno == .invalidArgument {
      // It is the older kind, which is somebody else's.
    }
  }

  // MARK: The family

  /// Nil where the kernel has no IPVS: then nothing is balanced.
  private func ipvs() throws(SystemError) -> (Connection, UInt16)? {
    if let balancing { return balancing }
    let opened = try connection(.generic)
    do throws(SystemError) {
      guard let family = try opened.get(.getFamily(IPVS_GENL_NAME), "looking for IPVS", { (message) throws(Malformed) in try message.familyNumber() })
      else { throw SystemError("looking for IPVS", .badMessage) }
      balancing = (opened, family)
      return balancing
    } catch  where error.errno == .noSuchFile {
      return nil
    }
  }

  private func needed(_ operation: String) throws(SystemError) -> (Connection, UInt16) {
    guard let found = try ipvs() else { throw SystemError(operation, .noSuchFile, detail: "the kernel has no IPVS: modprobe ip_vs") }
    return found
  }
}
