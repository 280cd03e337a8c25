import Host
import OCF

/// Where the address goes, and how.
struct Placement {
  var link: Link
  var address: InterfaceAddress
}

/// A copy of the address on this node.
struct Copy {
  var copy: InterfaceAddress
  var link: Link
  var isOurs: Bool
}

extension VirtualIP {
  /// Of an interface name and a label, in bytes (`IFNAMSIZ`, less the zero).
  static let longestLabel = 15

  /// The interface's name, without the label that may follow it (`eth0:vpn`, deprecated).
  var nicName: String { nic.split(separator: ":", maxSplits: 1).first.map(String.init) ?? "" }

  /// What follows the interface's name and the colon; nil without a label.
  var labelSuffix: String? {
    let parts = nic.split(separator: ":", maxSplits: 1)
    if parts.count == 2 { return String(parts[1]) }
    return iflabel.isEmpty ? nil : iflabel
  }

  func label(on link: Link) -> String? {
    guard !ip.isIPv6, let labelSuffix else { return nil }
    return "\(link.name):\(labelSuffix)"
  }

  func namedLink(_ call: Call) throws(OCFError) -> Link? {
    try explained(try call.host.network.link(named: nicName))
  }

  /// The route that tells what was not given; nil where nothing covers the address.
  private func route(on link: Link?, _ call: Call) throws(OCFError) -> Route? {
    func fits(_ route: Route) -> Bool {
      (link == nil || route.link == link?.index) && (proto == nil || route.protocolNumber == proto?.number)
        && (cidrNetmask == nil || route.prefixLength <= cidrNetmask?.bits ?? 0)
    }
    return try explained { () throws(SystemError) in
      if let route = try call.host.network.connectedRoute(to: ip), fits(route) { return route }
      return try call.host.network.connectedRoutes(covering: ip, near: link).first(where: fits)
    }
  }

  /// Where the address goes, and how.
  ///
  /// - Throws: as `situation`.
  func place(_ call: Call) throws(OCFError) -> Placement {
    let (link, prefixLength, route) = try situation(call)
    // Only here is the interface's own name known, which the label begins with.
    if let label = label(on: link), label.utf8.count > Self.longestLabel {
      throw .wrongHere("iflabel: \(label) has more than \(Self.longestLabel) characters")
    }
    if try isBroadcast(on: link, call) {
      throw .wrongHere("ip: \(ip) is the broadcast address of its network: no host is reached at it")
    }
    var place = placement(on: link, prefixLength, try ownBroadcast(on: link, route, call))
    if try isRouted(place, call) { place.address.flags.insert(.noPrefixRoute) }
    return place
  }

  /// Waits for the interface and for the route that tells what was not given: at boot a VLAN or a bond is made, and an address
  /// arrives, a moment later.
  func awaitPlace(_ call: Call) throws(OCFError) {
    _ = try call.within(min(.seconds(3), call.request.timeout / 3)).until { () throws(OCFError) in
      if ip.isLoopback, nic.isEmpty { return true }
      let link = try nic.isEmpty ? nil : namedLink(call)
      if !nic.isEmpty, link == nil { return false }
      if link != nil, cidrNetmask != nil { return true }
      return try route(on: link, call) != nil
    }
  }

  /// Interface and prefix length as they were given, else as the routing table has them, and the route if it was looked at.
  ///
  /// - Throws: `OCF_ERR_ARGS` for an interface that is not here, `OCF_ERR_GENERIC` without a route.
  private func situation(_ call: Call) throws(OCFError) -> (link: Link, prefixLength: Int, route: Route?) {
    if ip.isLoopback, nic.isEmpty {
      guard let link = try explained(try call.host.network.link(named: "lo")) else {
        throw .wrongHere("nic: lo is not on this node")
      }
      return (link, cidrNetmask?.bits ?? (ip.isIPv6 ? 128 : 8), nil)
    }
    var link: Link?
    if !nic.isEmpty {
      link = try namedLink(call)
      guard link != nil else { throw .wrongHere("nic: \(nicName) is not on this node") }
    }
    if let link, let bits = cidrNetmask?.bits { return (link, bits, nil) }
    guard let route = try route(on: link, call) else {
      let origin = proto.map { " of protocol \($0.text)" } ?? ""
      throw .failed("no connected route\(origin)\(nic.isEmpty ? "" : " on \(nicName)") leads to \(ip): set nic and cidr_netmask")
    }
    if link == nil { link = try explained(try call.host.network.link(at: route.link)) }
    guard let link else { throw .failed("the interface of the route to \(ip) has gone") }
    return (link, cidrNetmask?.bits ?? route.prefixLength, route)
  }

  /// Whether the network of another address of the link has `ip` as its broadcast address: the kernel answers no ARP for it then,
  /// with whatever prefix it is added. Networks of two hosts have none (RFC 3021).
  private func isBroadcast(on link: Link, _ call: Call) throws(OCFError) -> Bool {
    guard !ip.isIPv6, ip == ip.withHostBits(set: true, prefixLength: 30) else { return false }
    return try explained(try call.host.network.connectedRoutes(covering: ip, near: link)).contains {
      $0.link == link.index && $0.prefixLength < 31 && $0.source != nil && $0.source != ip
        && ip == ip.withHostBits(set: true, prefixLength: $0.prefixLength)
    }
  }

  /// The broadcast address of this node's own address in the network, which the route names as its source.
  private func ownBroadcast(on link: Link, _ known: Route?, _ call: Call) throws(OCFError) -> IPAddress? {
    guard broadcast == nil, !ip.isIPv6, !link.isLoopback else { return nil }
    var route = known
    if route == nil { route = try self.route(on: link, call) }
    guard let route, let source = route.source else { return nil }
    let copies = try explained(try call.host.network.holders(of: source))
    return copies.first { $0.link == route.link && $0.prefixLength == route.prefixLength }?.broadcast
  }

  /// Whether a router, or a person, has told of the route of an IPv6 address's network. Then no second one is added: the kernel
  /// takes away the first that it finds together with an address, whoever made it: 2 is its own (`RTPROT_KERNEL`).
  private func isRouted(_ place: Placement, _ call: Call) throws(OCFError) -> Bool {
    guard ip.isIPv6, metric == nil, place.address.prefixLength < ip.bits else { return false }
    return try explained(try call.host.network.connectedRoutes(covering: ip, near: place.link)).contains {
      $0.link == place.link.index && $0.prefixLength == place.address.prefixLength && $0.protocolNumber != 2
    }
  }

  private func placement(on link: Link, _ prefixLength: Int, _ ownBroadcast: IPAddress?) -> Placement {
    var address = InterfaceAddress(ip, prefixLength: prefixLength, link: link.index)
    if noprefixroute { address.flags.insert(.noPrefixRoute) }
    address.metric = UInt32(clamping: metric ?? 0)
    if ip.isIPv6 {
      if nodad { address.flags.insert(.noDAD) }
      address.preferredLifetime = preferredLft.seconds
    } else {
      address.label = label(on: link)
      switch broadcast {
      case .hostBitsSet: address.broadcast = ip.withHostBits(set: true, prefixLength: prefixLength)
      case .hostBitsCleared: address.broadcast = ip.withHostBits(set: false, prefixLength: prefixLength)
      case .address(let given): address.broadcast = given
      case nil: address.broadcast = ownBroadcast
      }
    }
    return Placement(link: link, address: address)
  }

  /// Where the address would go, as far as a standby can tell.
  func standbyLink(_ call: Call) throws(OCFError) -> Link? {
    if !nic.isEmpty { return try namedLink(call) }
    do throws(OCFError) { return try situation(call).link } catch {
      switch error.status {
      case .genericError, .invalidHere: return nil
      default: throw error
      }
    }
  }

  // MARK: - Copies

  /// A copy found by the short way, with its link: on `link`, or wherever one is when it is nil.
  func quickCopy(on link: Link?, _ call: Call) throws(OCFError) -> (copy: InterfaceAddress, link: Link)? {
    try explained { () throws(SystemError) in
      let network = call.host.network
      if let link { return try network.copy(of: ip, on: link, label: label(on: link)).map { ($0, link) } }
      guard let copy = try network.copy(of: ip, on: nil, label: nil), let link = try network.link(at: copy.link) else {
        return nil
      }
      return isOwn(link) ? (copy, link) : nil
    }
  }

  /// Every copy on this node, with its link. One on the loopback interface belongs to others (LVS keeps one there) unless that
  /// is where ours goes.
  func copies(_ call: Call) throws(OCFError) -> [Copy] {
    let held = try heldPlace(call)
    return try explained { () throws(SystemError) in
      var found: [Copy] = []
      for copy in try call.host.network.holders(of: ip) {
        guard let link = try call.host.network.link(at: copy.link), isOwn(link) else { continue }
        let isWanted = isExpected(copy) && (nic.isEmpty || isNamed(link))
        var isOurs = held == place(of: copy)
        if !isOurs, isWanted, !isMadeOtherwise(copy) {
          isOurs = try !isNodesOwn(copy, call)
          // Where a member was started the node had no such address of its own; a duplicate of full length beside ours is none either.
          if !isOurs, held != nil { isOurs = copy.prefixLength == ip.bits }
          if !isOurs { isOurs = try readRecord(.standby, call) != nil }
        }
        found.append(Copy(copy: copy, link: link, isOurs: isOurs))
      }
      return found
    }
  }

  /// Those that are ours to answer for, and to remove: what we have put there, and what is exactly as the parameters say.
  func ownCopies(_ call: Call) throws(OCFError) -> [Copy] { try copies(call).filter(\.isOurs) }

  /// What is held, as it is recorded.
  func place(of address: InterfaceAddress) -> String {
    "\(address.prefixLength)@\(address.link)\(networkNamespace.isEmpty ? "" : "@\(networkNamespace)")"
  }

  func isExpected(_ copy: InterfaceAddress) -> Bool { cidrNetmask.map { $0.bits == copy.prefixLength } ?? true }

  /// What no agent adds: an address that DHCP or a router's advertisement gave, and one end of a point-to-point link.
  private func isMadeOtherwise(_ copy: InterfaceAddress) -> Bool { copy.lifetime != nil || copy.peer != nil }

  /// Where no prefix length was given, it is that of a network which the node is in by another address. One that has a network
  /// by nothing but itself is how the node came into it, and one that has none, of full length, is in no network; a wider network
  /// around it is another one.
  private func isNodesOwn(_ copy: InterfaceAddress, _ call: Call) throws(SystemError) -> Bool {
    // 127.0.0.1 and ::1, which no cluster moves.
    if ip.isLoopback, ip.bytes.last == 1, ip.bytes.dropFirst().dropLast().allSatisfy({ $0 == 0 }) { return true }
    guard cidrNetmask == nil, !ip.isLoopback, ip.isIPv6 || !copy.flags.contains(.secondary) else { return false }
    guard copy.prefixLength < ip.bits else { return true }
    return try call.host.network.firstAddress(inNetworkOf: copy) == ip
  }

  /// - Throws: `OCF_ERR_ARGS` where the node has the address for itself.
  func checkOwnership(_ call: Call) throws(OCFError) {
    if let other = try copies(call).first(where: { !$0.isOurs }) { throw .wrongHere(ownAddress(other)) }
  }

  func ownAddress(_ other: Copy) -> String {
    let nodes = "\(other.copy) is this node's own address on \(other.link.name)"
    guard nic.isEmpty || isNamed(other.link) else { return "\(nodes), and the resource's interface is \(nicName)" }
    guard !isMadeOtherwise(other.copy) else { return "\(nodes): set another ip" }
    return "\(nodes): set another ip, or cidr_netmask=\(other.copy.prefixLength) if the cluster is to have it"
  }

  private func isOwn(_ link: Link) -> Bool {
    // Link-local addresses are per link: equal values on other links are unrelated.
    if ip.isIPv6, ip.isLinkLocal, !nic.isEmpty { return isNamed(link) }
    return !link.isLoopback || ip.isLoopback || isNamed(link)
  }

  private func isNamed(_ link: Link) -> Bool { link.name == nicName || link.alternativeNames.contains(nicName) }
}
