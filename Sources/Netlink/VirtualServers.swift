import CLinux
import Host

/// Requests to IPVS (generic netlink, `linux/ip_vs.h`), IPv4 services of a mark only. Ports and netmasks are in network byte order.
extension Message {
  /// Asks for the number of a family of generic netlink: `ENOENT` where the kernel has none of the name.
  public static func getFamily(_ name: String) -> Message {
    var message = generic(UInt16(GENL_ID_CTRL), Int(CTRL_CMD_GETFAMILY), version: 1)
    message.attribute(UInt16(CTRL_ATTR_FAMILY_NAME), name)
    return message
  }

  /// Asks for the service of a mark: `ESRCH` when there is none.
  public static func getService(mark: UInt32, family: UInt16) -> Message { service(Int(IPVS_CMD_GET_SERVICE), mark, family) }

  public static func addService(_ wanted: VirtualService, family: UInt16) -> Message { service(Int(IPVS_CMD_NEW_SERVICE), wanted, family) }
  /// Changes the service of the mark; its servers and entries stay.
  public static func changeService(_ wanted: VirtualService, family: UInt16) -> Message { service(Int(IPVS_CMD_SET_SERVICE), wanted, family) }
  public static func removeService(mark: UInt32, family: UInt16) -> Message { service(Int(IPVS_CMD_DEL_SERVICE), mark, family) }

  /// Asks for the servers of a mark's service, by `dump`; of one that is not there, there are none.
  public static func getServers(mark: UInt32, family: UInt16) -> Message { service(Int(IPVS_CMD_GET_DEST), mark, family) }
  public static func addServer(_ server: RealServer, mark: UInt32, family: UInt16) -> Message { destination(Int(IPVS_CMD_NEW_DEST), server, mark, family) }
  public static func changeServer(_ server: RealServer, mark: UInt32, family: UInt16) -> Message { destination(Int(IPVS_CMD_SET_DEST), server, mark, family) }
  public static func removeServer(_ address: IPAddress, mark: UInt32, family: UInt16) -> Message {
    destination(Int(IPVS_CMD_DEL_DEST), RealServer(address, weight: 0), mark, family)
  }

  /// Asks for the sync daemons that run, by `dump`.
  public static func getSyncDaemons(family: UInt16) -> Message { generic(family, Int(IPVS_CMD_GET_DAEMON)) }

  public static func startSync(_ daemon: SyncDaemon, family: UInt16) -> Message {
    var message = generic(family, Int(IPVS_CMD_NEW_DAEMON))
    message.nested(UInt16(IPVS_CMD_ATTR_DAEMON)) {
      $0.attribute(UInt16(IPVS_DAEMON_ATTR_STATE), daemon.role.rawValue)
      $0.attribute(UInt16(IPVS_DAEMON_ATTR_MCAST_IFN), daemon.link)
      $0.attribute(UInt16(IPVS_DAEMON_ATTR_SYNC_ID), UInt32(daemon.id))
    }
    return message
  }

  public static func stopSync(_ role: SyncDaemon.Role, family: UInt16) -> Message {
    var message = generic(family, Int(IPVS_CMD_DEL_DAEMON))
    message.nested(UInt16(IPVS_CMD_ATTR_DAEMON)) { $0.attribute(UInt16(IPVS_DAEMON_ATTR_STATE), role.rawValue) }
    return message
  }

  private static func service(_ command: Int, _ mark: UInt32, _ family: UInt16) -> Message {
    var message = generic(family, command)
    message.nested(UInt16(IPVS_CMD_ATTR_SERVICE)) { $0.nameService(mark) }
    return message
  }

  private static func service(_ command: Int, _ wanted: VirtualService, _ family: UInt16) -> Message {
    var message = generic(family, command)
    message.nested(UInt16(IPVS_CMD_ATTR_SERVICE)) {
      $0.nameService(wanted.mark)
      $0.attribute(UInt16(IPVS_SVC_ATTR_SCHED_NAME), wanted.scheduler)
      let flags = (wanted.persistence > 0 ? UInt32(IP_VS_SVC_F_PERSISTENT) : 0) | (wanted.hasFallback ? UInt32(IP_VS_SVC_F_SCHED1) : 0)
      // struct ip_vs_flags: the flags, and which of them count.
      $0.attribute(UInt16(IPVS_SVC_ATTR_FLAGS), [flags, .max].flatMap { number in withUnsafeBytes(of: number) { Array($0) } })
      $0.attribute(UInt16(IPVS_SVC_ATTR_TIMEOUT), wanted.persistence)
      // Each client by itself.
      $0.attribute(UInt16(IPVS_SVC_ATTR_NETMASK), UInt32.max)
    }
    return message
  }

  private static func destination(_ command: Int, _ server: RealServer, _ mark: UInt32, _ family: UInt16) -> Message {
    var message = service(command, mark, family)
    message.nested(UInt16(IPVS_CMD_ATTR_DEST)) {
      // union nf_inet_addr
      $0.attribute(UInt16(IPVS_DEST_ATTR_ADDR), server.address.bytes + [UInt8](repeating: 0, count: 12))
      $0.attribute(UInt16(IPVS_DEST_ATTR_PORT), [0, 0])
      $0.attribute(UInt16(IPVS_DEST_ATTR_FWD_METHOD), UInt32(IP_VS_CONN_F_DROUTE))
      $0.attribute(UInt16(IPVS_DEST_ATTR_WEIGHT), server.weight)
      $0.attribute(UInt16(IPVS_DEST_ATTR_U_THRESH), 0)
      $0.attribute(UInt16(IPVS_DEST_ATTR_L_THRESH), 0)
    }
    return message
  }

  private mutating func nameService(_ mark: UInt32) {
    attribute(UInt16(IPVS_SVC_ATTR_AF), withUnsafeBytes(of: UInt16(AF_INET)) { Array($0) })
    attribute(UInt16(IPVS_SVC_ATTR_FWMARK), mark)
  }

  /// `struct genlmsghdr`
  private static func generic(_ type: UInt16, _ command: Int, version: UInt8 = UInt8(IPVS_GENL_VERSION)) -> Message {
    var message = Message(type: type, flags: 0)
    message.append(UInt8(command))
    message.append(version)
    message.append(UInt16(0))
    return message
  }
}

extension ReceivedMessage {
  /// The number of a family, of `CTRL_CMD_NEWFAMILY`.
  public func familyNumber() throws(Malformed) -> UInt16? {
    try genericAttributes(Int(CTRL_CMD_NEWFAMILY))?.value(of: UInt32(CTRL_ATTR_FAMILY_ID))?.field(UInt16.self, at: 0)
  }

  /// What is in the attribute of this type of an answer of IPVS.
  fileprivate func virtualServerPart(_ command: Int, _ type: Int) throws(Malformed) -> Attributes? {
    guard let part = try genericAttributes(command)?.value(of: UInt32(type)) else { return nil }
    return Attributes(part)
  }

  private func genericAttributes(_ command: Int) -> Attributes? {
    guard let first = payload.first, Int(first) == command else { return nil }
    return Attributes(payload.bytes(from: 4))
  }
}

extension VirtualService {
  /// Reads `IPVS_CMD_NEW_SERVICE`; nil for any other message, and for a service without a mark.
  public init?(_ message: ReceivedMessage) throws(Malformed) {
    guard let part = try message.virtualServerPart(Int(IPVS_CMD_NEW_SERVICE), Int(IPVS_CMD_ATTR_SERVICE)),
      let mark = try part.value(of: UInt32(IPVS_SVC_ATTR_FWMARK))?.field(UInt32.self, at: 0)
    else { return nil }
    guard let scheduler = try part.value(of: UInt32(IPVS_SVC_ATTR_SCHED_NAME))?.text,
      let flags = try part.value(of: UInt32(IPVS_SVC_ATTR_FLAGS))?.field(UInt32.self, at: 0),
      let timeout = try part.value(of: UInt32(IPVS_SVC_ATTR_TIMEOUT))?.field(UInt32.self, at: 0)
    else { throw Malformed(what: "a virtual service that ends early") }
    self.init(
      mark: mark, scheduler: scheduler, persistence: flags & UInt32(IP_VS_SVC_F_PERSISTENT) != 0 ? timeout : 0,
      hasFallback: flags & UInt32(IP_VS_SVC_F_SCHED1) != 0)
  }
}

extension RealServer {
  /// Reads `IPVS_CMD_NEW_DEST`; nil for any other message.
  public init?(_ message: ReceivedMessage) throws(Malformed) {
    guard let part = try message.virtualServerPart(Int(IPVS_CMD_NEW_DEST), Int(IPVS_CMD_ATTR_DEST)) else { return nil }
    // A kernel without mixed families does not say which one it is.
    let family = try part.value(of: UInt32(IPVS_DEST_ATTR_ADDR_FAMILY))?.field(UInt16.self, at: 0) ?? UInt16(AF_INET)
    guard let bytes = try part.value(of: UInt32(IPVS_DEST_ATTR_ADDR)),
      let address = IPAddress(bytes: Array(bytes.prefix(family == UInt16(AF_INET) ? 4 : 16))),
      let weight = try part.value(of: UInt32(IPVS_DEST_ATTR_WEIGHT))?.field(UInt32.self, at: 0),
      let method = try part.value(of: UInt32(IPVS_DEST_ATTR_FWD_METHOD))?.field(UInt32.self, at: 0)
    else { throw Malformed(what: "a server that ends early") }
    let way = method & UInt32(IP_VS_CONN_F_FWD_MASK)
    self.init(address, weight: weight, isDirect: way == UInt32(IP_VS_CONN_F_DROUTE) || way == UInt32(IP_VS_CONN_F_LOCALNODE))
  }
}

extension SyncDaemon {
  /// Reads an answer to `getSyncDaemons`; nil for any other message.
  public init?(_ message: ReceivedMessage) throws(Malformed) {
    guard let part = try message.virtualServerPart(Int(IPVS_CMD_NEW_DAEMON), Int(IPVS_CMD_ATTR_DAEMON)) else { return nil }
    guard let state = try part.value(of: UInt32(IPVS_DAEMON_ATTR_STATE))?.field(UInt32.self, at: 0), let role = Role(rawValue: state),
      let link = try part.value(of: UInt32(IPVS_DAEMON_ATTR_MCAST_IFN))?.text,
      let id = try part.value(of: UInt32(IPVS_DAEMON_ATTR_SYNC_ID))?.field(UInt32.self, at: 0)
    else { throw Malformed(what: "a sync daemon that ends early") }
    self.init(role, on: link, id: UInt8(truncatingIfNeeded: id))
  }
}

/// What a sync master sends (`ip_vs_sync.c`, version 1 of `struct ip_vs_sync_mesg`): UDP to 224.0.0.81, port 8848.
public enum SyncMessage {
  public static let group: [UInt8] = [224, 0, 0, 81]
  public static let port: UInt16 = 8848
  /// Of a message that fits any link.
  static let mostEntries = 38

  /// Messages that tell of entries of UDP by direct routing.
  /// - Parameter timeout: seconds that a new entry lives.
  public static func all(of clients: [BalancedClient], mark: UInt32, timeout: UInt32, id: UInt8) -> [[UInt8]] {
    stride(from: 0, to: clients.count, by: mostEntries).map { start in
      let part = clients[start..<min(start + mostEntries, clients.count)]
      let entries = part.flatMap { entry($0, mark: mark, timeout: timeout) }
      return [0, id] + UInt16(8 + entries.count).networkBytes + [UInt8(part.count), 1, 0, 0] + entries
    }
  }

  /// `struct ip_vs_sync_v4`: type 0, protocol, size, flags (direct routing), state, ports of client, address and server, mark, timeout,
  /// the three addresses.
  private static func entry(_ client: BalancedClient, mark: UInt32, timeout: UInt32) -> [UInt8] {
    [0, UInt8(IPPROTO_UDP)] + UInt16(36).networkBytes + UInt32(IP_VS_CONN_F_DROUTE).networkBytes + UInt16(0).networkBytes
      + client.clientPort.networkBytes + client.port.networkBytes + client.port.networkBytes + mark.networkBytes + timeout.networkBytes
      + client.client.bytes + client.address.bytes + client.server.bytes
  }
}

extension FixedWidthInteger {
  fileprivate var networkBytes: [UInt8] { withUnsafeBytes(of: bigEndian) { Array($0) } }
}
