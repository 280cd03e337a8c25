import CLinux
import Host
import Netlink

/// The kernel's network configuration over rtnetlink and XFRM, and packet sockets for what goes on the wire.
///
/// Sockets are opened when they are first needed and kept.
public final class LinuxNetwork: Network {
  private let processes: any Processes
  /// The program that runs `announce`: ours.
  private let program: String
  /// Where the sockets are opened; nil is where the process is.
  private let namespace: NetworkNamespace?
  private var others: [String: LinuxNetwork] = [:]
  private var routing: Connection?
  private var transforms: Connection?
  private var diagnostics: Connection?
  private var datagrams: Descriptor?
  /// The interface that was last asked for, which is the one that messages are about.
  private var latest: Link?

  /// - Parameter program: what continues an announcement in the background by `runAnnouncer`; by default this program.
  public convenience init(processes: any Processes, program: String? = nil) {
    self.init(processes: processes, program: program ?? Self.executable, namespace: nil)
  }

  private init(processes: any Processes, program: String, namespace: NetworkNamespace?) {
    self.processes = processes
    self.program = program
    self.namespace = namespace
  }

  public func inside(namespace name: String) throws(SystemError) -> any Network { try other(name) }

  func other(_ name: String) throws(SystemError) -> LinuxNetwork {
    if let other = others[name] { return other }
    let other = LinuxNetwork(processes: processes, program: program, namespace: try NetworkNamespace(name))
    others[name] = other
    return other
  }

  // MARK: Links

  public func link(named name: String) throws(SystemError) -> Link? {
    guard !name.isEmpty, name.utf8.count <= Message.longestLinkName else { return nil }
    return try link(.getLink(named: name), name)
  }

  public func link(at index: Int32) throws(SystemError) -> Link? {
    guard index > 0 else { return nil }
    return try link(.getLink(index: index), "interface \(index)")
  }

  public func links() throws(SystemError) -> [Link] {
    try routes().gather(.getLinks, "listing interfaces", identity: \.index, Link.init)
  }

  public func pppLinks() throws(SystemError) -> [PPPLink] {
    let links = try routes().gather(.getLinksWithTraffic, "listing PPP interfaces", identity: \.index, PPPLink.init)
    guard !links.isEmpty else { return [] }
    let mine = Set(links.map(\.index))
    let addresses = try routes().gather(.getAddresses(isIPv6: false), "listing PPP addresses", identity: \.self) {
      (message) throws(Malformed) -> InterfaceAddress? in
      guard let address = try InterfaceAddress(message), mine.contains(address.link), address.peer != nil else { return nil }
      return address
    }
    let peers = Dictionary(addresses.map { ($0.link, $0.peer) }, uniquingKeysWith: { first, _ in first })
    return links.map {
      var link = $0
      link.peer = peers[link.index] ?? nil
      return link
    }
  }

  public func bringUp(_ link: Link) throws(SystemError) {
    try routes().perform(.bringUp(link: link.index), "bringing \(link.name) up")
  }

  public func promoteSecondaries(_ isOn: Bool, on link: Link) throws(SystemError) {
    try routes().perform(
      .promoteSecondaries(isOn, link: link.index), "switching promote_secondaries \(isOn ? "on" : "off") for \(link.name)")
  }

  private func link(_ request: Message, _ what: String) throws(SystemError) -> Link? {
    do {
      let link = try routes().get(request, "looking for \(what)", Link.init)
      if let link { latest = link }
      return link
    } catch let error where error.errno == .noSuchDevice {
      return nil
    }
  }

  /// For messages: the interface's name, or its number where it has none any more.
  private func name(of index: Int32) -> String {
    if let latest, latest.index == index { return latest.name }
    do {
      if let link = try link(at: index) { return link.name }
    } catch {
      // The message is about another failure; the number has to do.
    }
    return "interface \(index)"
  }

  // MARK: Addresses

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
  private func mayHold(_ address: IPAddress) throws(SystemError) -> Bool {
    if address.isIPv6 { return try ipv6Copy(of: address, on: nil) != nil }
    // IP_MULTICAST_IF names an interface by one of its addresses, and fails when none has it (ip(7)).
    let socket = try datagramSocket()
    if setsockopt(socket, Int32(IPPROTO_IP), IP_MULTICAST_IF, address.bytes, 4) == 0 { return true }
    let error = Errno(rawValue: errno)
    if error == .addressNotAvailable { return false }
    throw SystemError("looking for \(address)", error)
  }

  private func ipv6Copy(of address: IPAddress, on link: Int32?) throws(SystemError) -> InterfaceAddress? {
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
  private func decidingEntry(for address: IPAddress) throws(SystemError) -> RouteEntry? {
    do throws(SystemError) {
      return try routes().get(.matchRoute(to: address), "looking for a route to \(address)", RouteEntry.init)
    } catch  where [.networkUnreachable, .hostUnreachable, .accessDenied, .invalidArgument].contains(error.errno) {
      // No route, or one that says unreachable, prohibit or blackhole.
      return nil
    }
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

  // MARK: Neighbours

  public func announce(_ announcement: Announcement) throws(SystemError) {
    guard announcement.count > 0 else { return }
    var problem: SystemError?
    do throws(SystemError) {
      guard try sendFrames(of: announcement) else { return }
    } catch {
      // A frame that a full queue refused is one of many; the rest may get through.
      problem = error
    }
    if announcement.count > 1 {
      _ = try processes.launch(
        Announcer.command(
          announcement, program: program, namespace: namespace?.name, number: try NetworkNamespace.number(of: namespace)))
    }
    if let problem { throw problem }
  }

  /// One round: to everybody, and to each target. False where the link has no neighbours to tell.
  func sendFrames(of announcement: Announcement) throws(SystemError) -> Bool {
    let address = announcement.address
    let operation = "announcing \(address)"
    guard let link = try link(at: announcement.link) else {
      throw SystemError("\(operation) on \(name(of: announcement.link))", .noSuchDevice)
    }
    guard link.hasNeighbours else { return false }
    let wire = try inNamespace { () throws(SystemError) in try PacketSocket(on: link, hears: 0) }
    let own = link.hardwareAddress
    if address.isIPv6 {
      let isRouter = try routes().get(.getIPv6Forwarding(link: link.index), operation, Message.forwarding) ?? false
      try wire.send(
        NeighbourDiscovery.advertisement(of: address, at: own, isRouter: isRouter), type: UInt16(ETH_P_IPV6),
        to: link.hardwareAddress(ofMulticast: .allNodes), operation)
      for target in announcement.targets where target.isIPv6 {
        try wire.send(
          NeighbourDiscovery.solicitation(of: target, from: address, at: own), type: UInt16(ETH_P_IPV6),
          to: link.hardwareAddress(ofMulticast: target.solicitedNode), operation)
      }
    } else {
      let type = link.hardwareType
      try wire.send(
        ARP.announcement(of: address, from: own, type: type, asReply: announcement.asReply).bytes,
        type: UInt16(ETH_P_ARP), to: link.broadcastHardwareAddress, operation)
      for target in announcement.targets where !target.isIPv6 {
        try wire.send(
          ARP.question(to: target, of: address, from: own, type: type).bytes, type: UInt16(ETH_P_ARP),
          to: link.broadcastHardwareAddress, operation)
      }
    }
    return true
  }

  /// Whether `announcement.link` still holds the address, as far as that can be told at once.
  func stillHolds(_ announcement: Announcement) throws(SystemError) -> Bool {
    if announcement.address.isIPv6 { return try ipv6Copy(of: announcement.address, on: announcement.link) != nil }
    return try mayHold(announcement.address)
  }

  public func silence(_ address: IPAddress) throws(SystemError) {
    let number = try NetworkNamespace.number(of: namespace)
    for process in try processes.running(program) where Announcer.isBurst(process, of: address, inNamespace: number) {
      try processes.signal(.kill, to: process)
      // Nothing may leave for the address once it is gone from here, so the end is waited for; a kill takes no time.
      let deadline = LinuxClock.now + .seconds(1)
      while try processes.isAlive(process) {
        guard LinuxClock.now < deadline else { throw SystemError("ending the announcement of \(address)", .timedOut) }
        LinuxClock.sleep(until: LinuxClock.now + .milliseconds(1))
      }
    }
  }

  public func rival(for address: IPAddress, on link: Link, before deadline: Instant) throws(SystemError) -> [UInt8]? {
    guard link.hasNeighbours else { return nil }
    let operation = "asking for \(address) on \(link.name)"
    let type = UInt16(address.isIPv6 ? ETH_P_IPV6 : ETH_P_ARP)
    let wire = try inNamespace { () throws(SystemError) in try PacketSocket(on: link, hears: type) }
    let question =
      address.isIPv6
      ? NeighbourDiscovery.probe(for: address)
      : ARP.probe(for: address, from: link.hardwareAddress, type: link.hardwareType).bytes
    let destination =
      address.isIPv6 ? link.hardwareAddress(ofMulticast: address.solicitedNode) : link.broadcastHardwareAddress
    let start = LinuxClock.now
    for round in 1...3 {
      try wire.send(question, type: type, to: destination, operation)
      let end = round == 3 ? deadline : start + (deadline - start) / 3 * round
      // What is there already is heard after the end, but a wire that is never silent must not keep anybody for ever.
      while LinuxClock.now < end + .milliseconds(50), let frame = try wire.receive(before: end, operation) {
        let claimant =
          address.isIPv6
          ? NeighbourDiscovery.claim(in: frame.bytes, to: address).map { $0.isEmpty ? frame.sender : $0 }
          : ARP(frame.bytes)?.rival(for: address, own: link.hardwareAddress)
        if let claimant, claimant != link.hardwareAddress { return claimant }
      }
    }
    return nil
  }

  // MARK: IPsec

  public func removeIPsecState(endpoint address: IPAddress) throws(SystemError) -> Int {
    var removed = 0
    var refusal: SystemError?
    // One that cannot go does not keep the others.
    func remove(_ request: Message, _ what: String) {
      do {
        try ipsec().perform(request, "removing \(what) of \(address)")
        removed += 1
      } catch  where error.errno == .noSuchProcess || error.errno == .noSuchFile {
        // It ended by itself since it was listed.
      } catch { refusal = refusal ?? error }
    }
    // Policies first: an SA that is gone under a living policy would be asked for again.
    for policy in try policies(of: address) { remove(.remove(policy), "an IPsec policy") }
    for association in try associations(of: address) { remove(.remove(association), "an IPsec SA") }
    if let refusal { throw refusal }
    return removed
  }

  public func outboundAssociations(from address: IPAddress) throws(SystemError) -> [OutboundAssociation] {
    try outbound(from: address).compactMap(OutboundAssociation.init)
  }

  public func raiseSequences(
    from address: IPAddress, to first: (OutboundAssociation) -> UInt32
  ) throws(SystemError) -> Int {
    var raised = 0
    for association in try outbound(from: address) {
      guard let replay = association.replay, let outbound = OutboundAssociation(association) else { continue }
      let number = first(outbound)
      guard outbound.sequence < number else { continue }
      do {
        try ipsec().perform(
          .set(replay.after(sending: number), of: association), "raising the sequence number of an IPsec SA of \(address)")
        raised += 1
      } catch let error where error.errno == .noSuchProcess {
        // It ended by itself since it was listed.
      }
    }
    return raised
  }

  private func outbound(from address: IPAddress) throws(SystemError) -> [SecurityAssociation] {
    try ipsec().dump(.getAssociations(source: address), "listing IPsec SAs of \(address)", SecurityAssociation.init)
      .filter { $0.source == address && $0.protocolNumber == 50 }
  }

  public func hush(_ address: IPAddress) throws(SystemError) {
    do throws(SystemError) {
      try routes().perform(.silencingRule(true, for: address), "holding back what leaves from \(address)")
    } catch  where error.errno == .exists {
      // It is held back already.
    }
  }

  public func unhush(_ address: IPAddress) throws(SystemError) {
    do throws(SystemError) {
      try routes().perform(.silencingRule(false, for: address), "no longer holding back what leaves from \(address)")
    } catch  where error.errno == .noSuchFile {
      // There was none.
    }
  }

  public func hushed() throws(SystemError) -> [IPAddress] {
    var found: [IPAddress] = []
    for isIPv6 in [false, true] {
      do throws(SystemError) {
        found += try routes().dump(.getRules(isIPv6: isIPv6), "listing routing rules", SilencingRule.init).map(\.address)
      } catch  where error.errno == .notSupported || error.errno == .familyNotSupported {
        // A kernel without the family, or without rules for it.
      }
    }
    return found
  }

  public func ipsecState(endpoint address: IPAddress) throws(SystemError) -> Int {
    try associations(of: address).count + policies(of: address).count
  }

  private func associations(of address: IPAddress) throws(SystemError) -> [SecurityAssociation] {
    let from = try ipsec().dump(
      .getAssociations(source: address), "listing IPsec SAs of \(address)", SecurityAssociation.init)
    let to = try ipsec().dump(
      .getAssociations(destination: address), "listing IPsec SAs of \(address)", SecurityAssociation.init)
    // A kernel that does not filter sends all of them, twice.
    return Array(Set(from + to)).filter { $0.hasEndpoint(address) && !$0.belongsToCompression }
  }

  private func policies(of address: IPAddress) throws(SystemError) -> [SecurityPolicy] {
    try ipsec().dump(.getPolicies, "listing IPsec policies of \(address)") {
      (message) throws(Malformed) -> SecurityPolicy? in
      guard let policy = try SecurityPolicy(message), policy.hasEndpoint(address) else { return nil }
      return policy
    }
  }

  // MARK: Sockets

  private func routes() throws(SystemError) -> Connection {
    if let routing { return routing }
    let opened = try connection(.route)
    routing = opened
    return opened
  }

  private func ipsec() throws(SystemError) -> Connection {
    if let transforms { return transforms }
    let opened = try connection(.transform)
    transforms = opened
    return opened
  }

  private func sockets() throws(SystemError) -> Connection {
    if let diagnostics { return diagnostics }
    let opened = try connection(.socketDiagnostics)
    diagnostics = opened
    return opened
  }

  private func connection(_ family: KernelChannel.Family) throws(SystemError) -> Connection {
    Connection(try inNamespace { () throws(SystemError) in try KernelChannel(family) })
  }

  /// Sockets stay in the namespace they were opened in.
  private func inNamespace<Value>(_ body: () throws(SystemError) -> Value) throws(SystemError) -> Value {
    guard let namespace else { return try body() }
    return try namespace.enter(body)
  }

  private func datagramSocket() throws(SystemError) -> Int32 {
    if datagrams == nil {
      // A Descriptor cannot be handed out of a closure; its number can.
      let number = try inNamespace { () throws(SystemError) in try openSocket(AF_INET, SOCK_DGRAM, "opening a datagram socket") }
      datagrams = Descriptor(owning: number)
    }
    return datagrams?.number ?? -1
  }

  /// What `/proc/self/exe` names, without the mark of a file that was replaced since we started.
  private static let executable: String = {
    var path = [CChar](repeating: 0, count: Int(PATH_MAX))
    let count = readlink("/proc/self/exe", &path, path.count)
    let text = String(decoding: path.prefix(max(0, count)).map(UInt8.init(bitPattern:)), as: UTF8.self)
    return text.hasSuffix(" (deleted)") ? String(text.dropLast(10)) : text
  }()
}

extension Link {
  /// Whether there is somebody to announce an address to: a broadcast link with hardware addresses.
  var hasNeighbours: Bool { !isLoopback && answersARP && !hardwareAddress.isEmpty && !broadcastHardwareAddress.isEmpty }

  /// Where a multicast frame goes; a link that is not Ethernet gets it by broadcast.
  func hardwareAddress(ofMulticast group: IPAddress) -> [UInt8] {
    hardwareAddress.count == 6 ? group.multicastHardwareAddress : broadcastHardwareAddress
  }
}

func openSocket(_ family: Int32, _ type: __socket_type, _ operation: String) throws(SystemError) -> Int32 {
  try check(operation) { socket(family, Int32(type.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0) }
}

extension OutboundAssociation {
  /// Nil for an SA whose numbers the kernel does not tell.
  fileprivate init?(_ association: SecurityAssociation) {
    guard let replay = association.replay else { return nil }
    let now = UInt64(max(0, time(nil)))
    let age = now > association.installed ? now - association.installed : 0
    // A clock that was set forward makes nobody older than the kernel lets him become.
    self.init(spi: association.spi, age: min(age, association.lifetime ?? age), sequence: replay.sent)
  }
}
