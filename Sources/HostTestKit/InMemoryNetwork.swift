import Host

/// A kernel's network configuration as values. A new address is usable at once unless `duplicateDetection` says otherwise.
public final class InMemoryNetwork: Network {
  public enum DuplicateDetection: Hashable, Sendable {
    case instant
    case takes(Duration)
    case fails(after: Duration)
  }

  public var all: [Link]
  public var addresses: [InterfaceAddress] = []
  /// Routes besides those that come with an address.
  public var routes: [(destination: IPAddress, route: Route)] = []
  /// What becomes of an IPv6 address that is added without `noDAD`.
  public var duplicateDetection = DuplicateDetection.instant
  public private(set) var announced: [Announcement] = []
  public private(set) var silenced: [IPAddress] = []
  /// Networks of named namespaces.
  public var namespaces: [String: InMemoryNetwork] = [:]
  /// Labels in the policy table, by address.
  public var policyLabels: [IPAddress: UInt32] = [:]
  /// Connections by local address; nil is a kernel that cannot reset them.
  public var connections: [IPAddress: Int]? = [:]
  /// Hosts on the wire, by address.
  public var neighbours: [IPAddress: [UInt8]] = [:]
  /// SAs and policies by endpoint.
  public var ipsec: [IPAddress: Int] = [:]
  /// ESP SAs by source.
  public var outbound: [IPAddress: [OutboundAssociation]] = [:]

  public var pppLinksFound: [PPPLink] = []
  /// Addresses from which nothing leaves.
  public var quiet: [IPAddress] = []
  /// What the routing tables say of an address that is held.
  public var isDelivered: (IPAddress) -> Bool = { _ in true }
  /// What routes and rules say of a packet, by its target and its source.
  public var isOpen: (_ target: IPAddress, _ source: IPAddress?) -> Bool = { _, _ in true }

  /// The priority of the rule that refuses what is sent from an address.
  public var refusals: [IPAddress: UInt32] = [:]

  /// IPVS, as it is seen from outside; nil: the kernel has none.
  public var balancing: Balancing? = Balancing()

  let calls: Calls
  private let clock: ManualClock

  public init(_ links: [Link] = [], calls: Calls = Calls(), clock: ManualClock = ManualClock()) {
    all = links
    self.calls = calls
    self.clock = clock
  }

  /// Puts an address in place without a recorded call: the world before the action.
  public func hold(_ address: InterfaceAddress) { addresses.append(address) }

  public func link(named name: String) throws(SystemError) -> Link? {
    try calls.sees("network.link(named: \(name))")
    return all.first { $0.name == name || $0.alternativeNames.contains(name) }
  }
  public func link(at index: Int32) throws(SystemError) -> Link? {
    try calls.sees("network.link(at: \(index))")
    return all.first { $0.index == index }
  }
  public func links() throws(SystemError) -> [Link] {
    try calls.sees("network.links()")
    return all
  }
  public func pppLinks() throws(SystemError) -> [PPPLink] {
    try calls.sees("network.pppLinks()")
    return pppLinksFound
  }
  public func bringUp(_ link: Link) throws(SystemError) {
    try calls.changes("network.bringUp(\(link.name))")
    for index in all.indices where all[index].index == link.index { all[index].isUp = true }
  }
  public func inside(namespace name: String) throws(SystemError) -> any Network {
    try calls.sees("network.inside(namespace: \(name))")
    guard let network = namespaces[name] else {
      throw SystemError("opening network namespace \(name)", .noSuchFile)
    }
    return network
  }
  public func promoteSecondaries(_ isOn: Bool, on link: Link) throws(SystemError) {
    try calls.changes("network.promoteSecondaries(\(isOn), on: \(link.name))")
    for index in all.indices where all[index].index == link.index { all[index].promotesSecondaries = isOn }
  }
  public func setPolicyLabel(_ label: UInt32?, of address: IPAddress) throws(SystemError) {
    try calls.changes("network.setPolicyLabel(\(label.map(String.init) ?? "nil") of \(address))")
    policyLabels[address] = label
  }
  public func flushRouteCache(isIPv6: Bool) throws(SystemError) {
    try calls.changes("network.flushRouteCache(\(isIPv6 ? "IPv6" : "IPv4"))")
  }
  public func closeConnections(from address: IPAddress) throws(SystemError) -> Int {
    try calls.changes("network.closeConnections(from: \(address))")
    guard connections != nil else { throw SystemError("resetting connections from \(address)", .notSupported) }
    return connections?.removeValue(forKey: address) ?? 0
  }
  public func holders(of address: IPAddress) throws(SystemError) -> [InterfaceAddress] {
    try calls.sees("network.holders(of: \(address))")
    return addresses.filter { $0.address == address }
  }
  public func firstAddress(inNetworkOf copy: InterfaceAddress) throws(SystemError) -> IPAddress? {
    try calls.sees("network.firstAddress(inNetworkOf: \(copy))")
    return addresses.first {
      $0.link == copy.link && $0.prefixLength == copy.prefixLength && $0.lifetime == nil && Self.covers(copy.address, copy.prefixLength, $0.address)
    }?.address
  }
  public func copy(of address: IPAddress, on link: Link?, label: String?) throws(SystemError) -> InterfaceAddress? {
    try calls.sees("network.copy(of: \(address))")
    return addresses.first {
      $0.address == address && (link == nil || $0.link == link?.index) && (label == nil || $0.label == label)
    }
  }

  public func add(_ address: InterfaceAddress) throws(SystemError) {
    let operation = "adding \(address) to link \(address.link)"
    try calls.changes("network.add(\(address) on \(address.link))")
    guard all.contains(where: { $0.index == address.link }) else { throw SystemError(operation, .noSuchDevice) }
    let isHeld = addresses.contains {
      $0.address == address.address && $0.link == address.link
        && (address.address.isIPv6 || $0.prefixLength == address.prefixLength)
    }
    if isHeld { throw SystemError(operation, .exists) }
    var added = address
    if address.address.isIPv6, !address.flags.contains(.noDAD) {
      switch duplicateDetection {
      case .instant: break
      case .takes(let duration):
        added.flags.insert(.tentative)
        clock.after(duration) { [self] in change(address) { $0.remove(.tentative) } }
      case .fails(let duration):
        added.flags.insert(.tentative)
        clock.after(duration) { [self] in change(address) { $0.insert(.dadFailed) } }
      }
    }
    addresses.append(added)
  }

  public func remove(_ address: InterfaceAddress) throws(SystemError) {
    let operation = "removing \(address) from link \(address.link)"
    try calls.changes("network.remove(\(address) on \(address.link))")
    let index = addresses.firstIndex {
      $0.address == address.address && $0.link == address.link && $0.prefixLength == address.prefixLength
    }
    guard let index else { throw SystemError(operation, .addressNotAvailable) }
    addresses.remove(at: index)
  }

  public func connectedRoute(to address: IPAddress) throws(SystemError) -> Route? {
    try calls.sees("network.connectedRoute(to: \(address))")
    return addresses.contains { $0.address == address } ? nil : coveringRoutes(address).first
  }
  public func connectedRoutes(covering address: IPAddress, near link: Link?) throws(SystemError) -> [Route] {
    try calls.sees("network.connectedRoutes(covering: \(address))")
    return coveringRoutes(address)
  }
  public func delivers(_ address: IPAddress, on link: Link) throws(SystemError) -> Bool {
    try calls.sees("network.delivers(\(address) on \(link.name))")
    return isDelivered(address)
  }
  public func hasRoute(to target: IPAddress, from source: IPAddress?) throws(SystemError) -> Bool {
    try calls.sees("network.hasRoute(to: \(target) from \(source.map { "\($0)" } ?? "here"))")
    return isOpen(target, source)
  }
  public func refusal(of source: IPAddress) throws(SystemError) -> UInt32? {
    try calls.sees("network.refusal(of: \(source))")
    return refusals[source]
  }
  private func coveringRoutes(_ address: IPAddress) -> [Route] {
    let own = addresses.filter { !$0.flags.contains(.noPrefixRoute) && $0.prefixLength < $0.address.bits }.map {
      (destination: $0.address, route: Route(link: $0.link, prefixLength: $0.prefixLength, source: $0.address))
    }
    return (own + routes)
      .filter { $0.route.prefixLength > 0 && !$0.route.isGateway }
      .filter { Self.covers($0.destination, $0.route.prefixLength, address) }
      .map(\.route)
      .sorted { $0.prefixLength > $1.prefixLength }
  }

  public func announce(_ announcement: Announcement) throws(SystemError) {
    try calls.changes("network.announce(\(announcement.address) on \(announcement.link) ×\(announcement.count))")
    announced.append(announcement)
  }
  public func conflictingHost(for address: IPAddress, on link: Link, before deadline: Instant) throws(SystemError) -> [UInt8]? {
    try calls.sees("network.conflictingHost(for: \(address) on \(link.name))")
    if let neighbour = neighbours[address] { return neighbour }
    clock.sleep(until: deadline)
    return nil
  }
  public func stopAnnouncing(_ address: IPAddress) throws(SystemError) {
    try calls.changes("network.stopAnnouncing(\(address))")
    silenced.append(address)
  }

  public func removeIPsecState(endpoint address: IPAddress) throws(SystemError) -> Int {
    try calls.changes("network.removeIPsecState(endpoint: \(address))")
    return ipsec.removeValue(forKey: address) ?? 0
  }
  public func outboundAssociations(from address: IPAddress) throws(SystemError) -> [OutboundAssociation] {
    try calls.sees("network.outboundAssociations(from: \(address))")
    return outbound[address] ?? []
  }
  public func raiseSequences(
    from address: IPAddress, to first: (OutboundAssociation) -> UInt32
  ) throws(SystemError) -> Int {
    try calls.changes("network.raiseSequences(from: \(address))")
    var raised = 0
    outbound[address] = outbound[address]?.map { association in
      let number = UInt64(first(association))
      guard association.sequence < number else { return association }
      raised += 1
      return OutboundAssociation(spi: association.spi, age: association.age, sequence: number)
    }
    return raised
  }
  public func blockEgress(from address: IPAddress) throws(SystemError) {
    try calls.changes("network.blockEgress(\(address))")
    if !quiet.contains(address) { quiet.append(address) }
  }
  public func unblockEgress(from address: IPAddress) throws(SystemError) {
    try calls.changes("network.unblockEgress(\(address))")
    quiet.removeAll { $0 == address }
  }
  public func blockedEgress() throws(SystemError) -> [IPAddress] {
    try calls.sees("network.blockEgressed()")
    return quiet
  }

  private func change(_ address: InterfaceAddress, _ flags: (inout AddressFlags) -> Void) {
    for index in addresses.indices
    where addresses[index].address == address.address && addresses[index].link == address.link {
      flags(&addresses[index].flags)
    }
  }

  private static func covers(_ network: IPAddress, _ prefix: Int, _ address: IPAddress) -> Bool {
    guard network.bits == address.bits else { return false }
    return (0..<prefix).allSatisfy { bit in
      let mask = UInt8(0x80) >> UInt8(bit % 8)
      return network.bytes[bit / 8] & mask == address.bytes[bit / 8] & mask
    }
  }
}
