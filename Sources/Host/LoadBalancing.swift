/// A virtual service of IPVS: packets that carry `mark`, of IPv4, whatever their protocol and port.
public struct VirtualService: Hashable, Sendable {
  public var mark: UInt32
  /// `mh`, `sh`, `wlc` …: the module is `ip_vs_NAME`.
  public var scheduler: String
  /// Seconds a client stays with its server after its last entry has ended; 0: it does not.
  public var persistence: UInt32
  /// Whether the scheduler looks for another server where its first choice takes no new clients (`mh-fallback`).
  public var hasFallback: Bool

  public init(mark: UInt32, scheduler: String, persistence: UInt32, hasFallback: Bool) {
    self.mark = mark
    self.scheduler = scheduler
    self.persistence = persistence
    self.hasFallback = hasFallback
  }
}

/// A server of a virtual service, reached by direct routing.
public struct RealServer: Hashable, Sendable {
  public var address: IPAddress
  /// 0: it keeps its clients and gets no new ones.
  public var weight: UInt32
  /// Whether packets reach it as they came (direct routing, or this node itself).
  public var isDirect: Bool

  public init(_ address: IPAddress, weight: UInt32, isDirect: Bool = true) {
    self.address = address
    self.weight = weight
    self.isDirect = isDirect
  }
}

/// What tells the other directors of entries, or hears of theirs.
public struct SyncDaemon: Hashable, Sendable {
  public enum Role: UInt32, Sendable {
    case master = 1
    case backup
  }
  public var role: Role
  /// The interface's name.
  public var link: String
  /// Directors with another number do not listen.
  public var id: UInt8

  public init(_ role: Role, on link: String, id: UInt8) {
    self.role = role
    self.link = link
    self.id = id
  }
}

/// Packets that arrive on an interface for one address and UDP port get a mark.
///
/// Set where they arrive (`clsact`), before every table of netfilter. A fragment that is not the first one has no port; the kernel puts
/// packets together before IPVS sees them, and the first one's mark is the whole's.
public struct ArrivalMark: Hashable, Sendable {
  public var address: IPAddress
  public var port: UInt16
  public var mark: UInt32

  public init(_ address: IPAddress, port: UInt16, mark: UInt32) {
    self.address = address
    self.port = port
    self.mark = mark
  }
}

/// Which server a client's packets go to.
public struct BalancedClient: Hashable, Sendable {
  public var client: IPAddress
  public var clientPort: UInt16
  /// The virtual address and its port.
  public var address: IPAddress
  public var port: UInt16
  public var server: IPAddress

  public init(_ client: IPAddress, clientPort: UInt16, address: IPAddress, port: UInt16, server: IPAddress) {
    self.client = client
    self.clientPort = clientPort
    self.address = address
    self.port = port
    self.server = server
  }
}

/// The kernel's load balancer (IPVS), IPv4, and the marks that its services go by.
public protocol LoadBalancing: AnyObject {
  /// The service of this mark; nil when there is none, or no IPVS.
  ///
  /// Equivalent to: `ipvsadm -L -f MARK`.
  func virtualService(mark: UInt32) throws(SystemError) -> VirtualService?
  /// Adds it, or changes the one of this mark: entries and servers stay. `ENOENT` without IPVS or the scheduler.
  ///
  /// Equivalent to: `ipvsadm -A -f MARK …`, `ipvsadm -E -f MARK …`.
  func set(_ service: VirtualService) throws(SystemError)
  /// Removes it with its servers; nothing happens when there is none.
  ///
  /// Equivalent to: `ipvsadm -D -f MARK`.
  func removeService(mark: UInt32) throws(SystemError)
  func servers(mark: UInt32) throws(SystemError) -> [RealServer]
  /// Adds it to the service, or changes its weight: entries stay.
  ///
  /// Equivalent to: `ipvsadm -a|-e -f MARK -r ADDRESS -g -w WEIGHT`.
  func set(_ server: RealServer, mark: UInt32) throws(SystemError)
  /// Removes it; with `expire_nodest_conn` its entries go, too. Nothing happens when the service has no such server.
  func removeServer(_ address: IPAddress, mark: UInt32) throws(SystemError)
  /// Those that run: at most one of each role.
  func syncDaemons() throws(SystemError) -> [SyncDaemon]
  /// `EEXIST` when one of the role runs.
  ///
  /// Equivalent to: `ipvsadm --start-daemon ROLE --mcast-interface LINK --syncid ID`.
  func start(_ daemon: SyncDaemon) throws(SystemError)
  /// Nothing happens when none of the role runs.
  func stopSync(_ role: SyncDaemon.Role) throws(SystemError)
  /// Tells every backup daemon of this number on the link, this node's own among them, of these entries: those that it has not
  /// are added, with `timeout` seconds to live.
  func tell(_ clients: [BalancedClient], mark: UInt32, timeout: UInt32, by daemon: SyncDaemon) throws(SystemError)
  /// The marks of ours on the link.
  ///
  /// Equivalent to: `tc filter show dev LINK ingress pref 4500`.
  func arrivalMarks(on link: Link) throws(SystemError) -> [ArrivalMark]
  /// Adds it.
  func add(_ mark: ArrivalMark, on link: Link) throws(SystemError)
  /// Removes all of ours from the link, and the hook for arriving packets where nobody else has filters there.
  func removeArrivalMarks(on link: Link) throws(SystemError)
}
