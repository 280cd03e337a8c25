import Adoption
import CLinux
import Host
import Ledger
import RADIUS
import Sessions

/// What sessions the kernel of this node carries, as records.
final class Learning {
  private let gateway: IPAddress
  private let host: Host
  private let inventory = SessionInventory()
  private(set) var records: [SessionKey: SessionRecord] = [:]
  /// Calls whose client and daemon have not done negotiating, in tunnels that carry nothing else: enough of each to tell the client.
  private(set) var unfinished: [SessionRecord] = []
  private var interfaces: [SessionKey: String] = [:]
  /// What was heard of the accounts of this node's sessions, by the client's address.
  private var accounts: [IPAddress: (request: HeardAccounting, account: SessionAccount, heard: Instant)] = [:]

  init(gateway: IPAddress, _ host: Host) {
    self.gateway = gateway
    self.host = host
  }

  /// Looks at the kernel's list, and closer only if there is something new in it.
  ///
  /// A session is known once both ends of its PPP link have their addresses.
  /// - Parameter adopted: the kernel lists them as well.
  func sweep(except adopted: [SessionKey: SessionRecord]) throws(SystemError) {
    let listed = KernelSession.all(in: try host.files.read(KernelSession.table, limit: 1 << 24) ?? []).filter {
      $0.gateway == gateway && $0.interface != nil && adopted[SessionKey(tunnel: $0.tunnel, session: $0.session)] == nil
    }
    var known: [SessionKey: SessionRecord] = [:]
    var unknown: [SessionKey: KernelSession] = [:]
    for session in listed {
      let key = SessionKey(tunnel: session.tunnel, session: session.session)
      // The numbers of one that has gone may be another's soon after.
      if let record = records[key], record.peerTunnel == session.peerTunnel, record.peerSession == session.peerSession {
        known[key] = record
      } else {
        unknown[key] = session
      }
    }
    var begun: [SessionRecord] = []
    if !unknown.isEmpty {
      for session in try inventory.sessions(on: host) {
        guard let socket = session.kernel, let kernel = unknown[SessionKey(tunnel: socket.tunnel, session: socket.session)] else { continue }
        guard let remote = session.inner, let interface = session.interface, interface == kernel.interface, let link = try Self.link(interface) else {
          begun.append(
            SessionRecord(
              tunnel: socket.tunnel, session: socket.session, peerTunnel: socket.peerTunnel, peerSession: socket.peerSession, gateway: kernel.gateway,
              peer: socket.peer, peerPort: socket.port, local: kernel.gateway, remote: kernel.gateway, mtu: 0))
          continue
        }
        let record = SessionRecord(
          tunnel: socket.tunnel, session: socket.session, peerTunnel: socket.peerTunnel, peerSession: socket.peerSession, gateway: kernel.gateway,
          peer: socket.peer, peerPort: socket.port, local: link.address, remote: remote, mtu: link.mtu,
          receivesSequences: kernel.receivesSequences, sendsSequences: kernel.sendsSequences, user: session.user ?? "",
          since: UInt64(clamping: session.since.seconds))
        known[record.key] = record
      }
    }
    records = known.mapValues(accounted)
    let tunnels = Set(known.keys.map(\.tunnel) + adopted.keys.map(\.tunnel))
    unfinished = begun.filter { !tunnels.contains($0.tunnel) }
    interfaces = [:]
    for session in listed { interfaces[SessionKey(tunnel: session.tunnel, session: session.session)] = session.interface }
  }

  /// An account that has been heard of: of the session that has this address, if it had begun by then.
  func accounted(_ record: SessionRecord) -> SessionRecord {
    var record = record
    if let (request, account, _) = accounts[record.remote], request.user == record.user || request.user.hasPrefix("\(record.user)@"), account.began + 2 >= record.since {
      record.account = account
    }
    return record
  }

  /// What a pppd of this node has reported to RADIUS.
  func hear(_ request: HeardAccounting) {
    guard request.status != .stop else { return accounts[request.client] = nil }
    let now = host.clock.now
    let began = UInt64(clamping: host.clock.timestamp.seconds - Int64(request.time))
    var account = SessionAccount(constant: request.constant, began: began, totals: request.totals)
    if let known = accounts[request.client], known.request.id == request.id, known.request.user == request.user {
      // pppd's order of attributes differs from one kind of request to the next.
      (account.constant, account.began) = (known.account.constant, known.account.began)
      account.interval = request.status == .interim ? UInt32(clamping: ((now - known.heard) + .milliseconds(500)).components.seconds) : known.account.interval
      // What was repeated for want of an answer.
      if account.interval < Self.shortestInterval { account.interval = known.account.interval }
    }
    guard accounts[request.client] != nil || accounts.count < Replica.limit else { return }
    accounts[request.client] = (request, account, now)
  }
  /// pppd reports no more often (RFC 2869 §2.1).
  private static let shortestInterval = 60

  /// Brings the totals of all accounts up to date: the daemons are about to end.
  func count() {
    for (key, record) in records where record.account != nil {
      if let name = interfaces[key], let totals = LinuxSessionKernel.totals(ofLink: name) { records[key]?.account?.totals = totals }
    }
  }

  /// The daemons that carried these are gone: somebody else does from now on.
  func take() -> [SessionRecord] {
    defer { (records, unfinished) = ([:], []) }
    return Array(records.values)
  }

  /// This side's address and the size of packets on a link; nil when it has none, or has gone.
  private static func link(_ name: String) throws(SystemError) -> (address: IPAddress, mtu: UInt16)? {
    let operation = "looking at \(name)"
    let number = socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard number >= 0 else { throw SystemError(operation, Errno(rawValue: errno)) }
    defer { _ = close(number) }
    let text = Array(name.utf8)
    guard text.count < 16 else { return nil }
    func asked(_ request: UInt) throws(SystemError) -> [UInt8]? {
      // struct ifreq: a name of 16 bytes, then a union of 24.
      var bytes = [UInt8](repeating: 0, count: 40)
      bytes.replaceSubrange(0..<text.count, with: text)
      guard bytes.withUnsafeMutableBytes({ clinux_ioctl(number, request, $0.baseAddress) }) < 0 else { return bytes }
      if [ENODEV, ENXIO, EADDRNOTAVAIL].contains(errno) { return nil }
      throw SystemError(operation, Errno(rawValue: errno))
    }
    guard let first = try asked(UInt(SIOCGIFADDR)), let address = IPAddress(bytes: Array(first[20..<24])), let second = try asked(UInt(SIOCGIFMTU))
    else { return nil }
    let mtu = second[16..<20].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    return (address, UInt16(clamping: mtu))
  }
}
