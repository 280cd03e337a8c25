import CLinux
import Host
import Netlink

/// Addresses, routes and the connections from them, over rtnetlink and socket diagnostics.
extension LinuxNetwork {
  public func holders(of address: IPAddress) throws(SystemError) -> [InterfaceAddress] {
    guard try mayHold(address) else { return [] }
    let copies = try routes().gather(
      .getAddresses(isIPv6: address.isIPv6), "looking for \(address)", identity: { [Int($0.link), $0.prefixLength] }
    ) { (message) throws(Malformed) in try InterfaceAddress(message, only: address) }
    var told: [InterfaceAddress] = []
    for var copy in copies {
      if copy.label == name(of: copy.link) { copy.label = nil }
      told.append(copy)
    }
    return told
  }

  public func firstAddress(inNetworkOf copy: InterfaceAddress) throws(SystemError) -> IPAddress? {
    let others = try routes().gather(
      .getAddresses(isIPv6: copy.address.isIPv6, link: copy.link), "listing the addresses beside \(copy)", identity: \.address.address
    ) { (message) throws(Malformed) -> (address: InterfaceAddress, created: UInt32)? in
      guard let other = try InterfaceAddress(message), other.link == copy.link, other.prefixLength == copy.prefixLength, other.lifetime == nil,
        other.address.isIn(copy.address, prefixLength: copy.prefixLength)
      else { return nil }
      return (other, try InterfaceAddress.moment(message))
    }
    // The kernel lists an IPv4 network's first address first, and the last IPv6 address of a scope; two may be of the same moment.
    return (copy.address.isIPv6 ? others.reversed() : others).min { $0.created < $1.created }?.address.address
  }

  public func copy(of address: IPAddress, on link: Link?, label: String?) throws(SystemError) -> InterfaceAddress? {
    if address.isIPv6 { return try ipv6Copy(of: address, on: link?.index) }
    if let link { return try ipv4Copy(of: address, on: link, label: label) }
    guard let link = try localLink(of: address) else { return nil }
    return try ipv4Copy(of: address, on: link, label: label)
  }

  /// Whether it is worth looking for `address`: false is certain. Both questions are look-ups in a hash of all addresses,
  /// those of interfaces that are down included.
  func mayHold(_ address: IPAddress) throws(SystemError) -> Bool {
    if address.isIPv6 { return try ipv6Copy(of: address, on: nil) != nil }
    // IP_MULTICAST_IF names an interface by one of its addresses, and fails when none has it (ip(7)).
    let socket = try datagramSocket()
    if setsockopt(socket, Int32(IPPROTO_IP), IP_MULTICAST_IF, address.bytes, 4) == 0 { return true }
    let error = Errno(rawValue: errno)
    if error == .addressNotAvailable { return false }
    throw SystemError("looking for \(address)", error)
  }

  func ipv6Copy(of address: IPAddress, on link: Int32?) throws(SystemError) -> InterfaceAddress? {
    do {
      return try routes().get(.getIPv6Address(address, link: link), "looking for \(address)") {
        (message) throws(Malformed) in try InterfaceAddress(message, only: address)
      }
    } catch let error where error.errno == .addressNotAvailable || error.errno == .noSuchDevice {
      return nil
    } catch let error where error.errno == .notSupported {
      // A kernel that was told to have no IPv6 (ipv6.disable=1) holds no address of it.
      return nil
    }
  }

  /// The link that `address` is local on by the routing tables.
  private func localLink(of address: IPAddress) throws(SystemError) -> Link? {
    guard let entry = try decidingEntry(for: address), entry.isLocal else { return nil }
    return try link(at: entry.route.link)
  }

  public func connectedRoute(to address: IPAddress) throws(SystemError) -> Route? {
    guard let entry = try decidingEntry(for: address), entry.table == RT_TABLE_MAIN.rawValue, entry.connects(address) else {
      return nil
    }
    return entry.route
  }

  /// What the routing tables say about `address`; nil when they say that it cannot be reached.
  private func decidingEntry(for address: IPAddress, on link: Link? = nil) throws(SystemError) -> RouteEntry? {
    try entry(.matchRoute(to: address, link: link?.index), "looking for a route to \(address)")
  }

  private func entry(_ question: Message, _ operation: String) throws(SystemError) -> RouteEntry? {
    do throws(SystemError) { return try routes().get(question, operation, RouteEntry.init) } catch
      where [.networkUnreachable, .hostUnreachable, .accessDenied, .invalidArgument].contains(error.errno)
    {
      // No route, or one that says unreachable, prohibit or blackhole.
      return nil
    }
  }

  public func delivers(_ address: IPAddress, on link: Link) throws(SystemError) -> Bool { try decidingEntry(for: address, on: link)?.isLocal == true }

  public func hasRoute(to target: IPAddress, from source: IPAddress?) throws(SystemError) -> Bool {
    try entry(.getRoute(to: target, from: source), "looking for a route to \(target)") != nil
  }

  /// There is no netlink request for one IPv4 address; netdevice(7) has one, by label and address.
  private func ipv4Copy(of address: IPAddress, on link: Link, label: String?) throws(SystemError) -> InterfaceAddress? {
    let text = label ?? link.name
    guard text.utf8.count < IFNAMSIZ else { return nil }
    func ask(_ request: Int32) throws(SystemError) -> [UInt8]? {
      // struct ifreq: a label, and a sockaddr_in.
      var interface = Array(text.utf8) + [UInt8](repeating: 0, count: 40 - text.utf8.count)
      interface.replaceSubrange(16..<18, with: withUnsafeBytes(of: UInt16(AF_INET)) { Array($0) })
      interface.replaceSubrange(20..<24, with: address.bytes)
      if clinux_ioctl(try datagramSocket(), UInt(request), &interface) == 0 { return Array(interface[20..<24]) }
      let error = Errno(rawValue: errno)
      if error == .addressNotAvailable || error == .noSuchDevice { return nil }
      throw SystemError("looking for \(address) on \(link.name)", error)
    }
    // Where no address has this label *and* this value, the kernel answers for the first with the label.
    guard let found = try ask(SIOCGIFADDR), found == address.bytes, let mask = try ask(SIOCGIFNETMASK) else { return nil }
    let prefixLength = mask.reduce(0) { $0 + $1.nonzeroBitCount }
    return InterfaceAddress(address, prefixLength: prefixLength, link: link.index, label: label)
  }

  public func add(_ address: InterfaceAddress) throws(SystemError) {
    try routes().perform(.addAddress(address), "adding \(address) to \(name(of: address.link))")
  }

  public func remove(_ address: InterfaceAddress) throws(SystemError) {
    try routes().perform(.removeAddress(address), "removing \(address) from \(name(of: address.link))")
  }

  public func connectedRoutes(covering address: IPAddress, near link: Link?) throws(SystemError) -> [Route] {
    var table = RT_TABLE_MAIN.rawValue
    if let master = link?.master, let vrf = try self.link(at: master), let own = vrf.routingTable { table = own }
    var entries: [RouteEntry] = []
    do throws(SystemError) {
      entries = try routes().dump(.getRoutes(isIPv6: address.isIPv6, table: table), "looking for a route to \(address)") {
        (message) throws(Malformed) -> RouteEntry? in
        guard let entry = try RouteEntry(message), entry.table == table, entry.connects(address) else { return nil }
        return entry
      }
    } catch  where error.errno == .noSuchFile {
      // A table without a route does not exist.
    }
    return entries.map(\.route).sorted {
      $0.prefixLength != $1.prefixLength ? $0.prefixLength > $1.prefixLength : $0.metric < $1.metric
    }
  }

  public func setPolicyLabel(_ label: UInt32?, of address: IPAddress) throws(SystemError) {
    do throws(SystemError) {
      try routes().perform(
        .policyLabel(label, of: address), "\(label == nil ? "removing" : "setting") the policy label of \(address)")
    } catch  where label == nil && (error.errno == .noSuchProcess || error.errno == .noSuchFile) {
      // There was none.
    }
  }

  public func flushRouteCache(isIPv6: Bool) throws(SystemError) {
    let operation = "flushing the route cache"
    try inNamespace { () throws(SystemError) in
      let file = try Descriptor(
        opening: "/proc/sys/net/\(isIPv6 ? "ipv6" : "ipv4")/route/flush", O_WRONLY, operation: operation)
      try file.writeAll(Array("1\n".utf8), operation)
    }
  }

  public func closeConnections(from address: IPAddress) throws(SystemError) -> Int {
    let operation = "resetting connections from \(address)"
    var closed = 0
    for family in address.isIPv6 ? [AF_INET6] : [AF_INET, AF_INET6] {
      let connections = try sockets().dump(.getConnections(family: UInt8(family)), operation) {
        (message) throws(Malformed) -> TCPConnection? in
        guard let connection = try TCPConnection(message), connection.local == address else { return nil }
        return connection
      }
      for connection in connections {
        do throws(SystemError) {
          try sockets().perform(.destroy(connection), operation)
          closed += 1
        } catch  where error.errno == .noSuchFile {
          // It ended by itself.
        }
      }
    }
    return closed
  }
}
