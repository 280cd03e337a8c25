import CLinux
import Host
import Ledger
import Sessions

/// What sessions the kernel of this node carries, as records.
final class Learning {
  private let gateway: IPAddress
  private let host: Host
  private let inventory = SessionInventory()
  private(set) var records: [SessionKey: SessionRecord] = [:]

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
    if !unknown.isEmpty {
      for session in try inventory.sessions(on: host) {
        guard let socket = session.kernel, let remote = session.inner, let kernel = unknown[SessionKey(tunnel: socket.tunnel, session: socket.session)],
          let interface = session.interface, interface == kernel.interface, let link = try Self.link(interface)
        else { continue }
        let record = SessionRecord(
          tunnel: socket.tunnel, session: socket.session, peerTunnel: socket.peerTunnel, peerSession: socket.peerSession, gateway: kernel.gateway,
          peer: socket.peer, peerPort: socket.port, local: link.address, remote: remote, mtu: link.mtu,
          receivesSequences: kernel.receivesSequences, sendsSequences: kernel.sendsSequences, user: session.user ?? "",
          since: UInt64(clamping: session.since.seconds))
        known[record.key] = record
      }
    }
    records = known
  }

  /// The daemons that carried these are gone: somebody else does from now on.
  func take() -> [SessionRecord] {
    defer { records = [:] }
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
