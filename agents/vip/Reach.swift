import Host
import OCF

extension VirtualIP {
  /// What keeps clients from an address that is held: nothing that comes for it is taken in, or nothing leaves from it that would
  /// leave from this node's other addresses. Asks the kernel what a client's packet and the answer to it ask. Only for a deep look.
  ///
  /// - Returns: nil where nothing does, and where this node has no route at all, which says nothing of the address.
  func barrier(on link: Link, _ call: Call) throws(OCFError) -> (text: String, isTotal: Bool)? {
    guard call.depth >= .service, !ip.isLoopback, !(ip.isIPv6 && ip.isLinkLocal) else { return nil }
    let network = call.host.network
    return try explained { () throws(SystemError) in
      guard try network.delivers(ip, on: link) else {
        return ("\(ip) is missing in the routing table local: no packet to it is taken in", true)
      }
      // The rule that keeps a standby's charon silent is strongswan's to tell of.
      if try network.blockedEgress().contains(ip) { return nil }
      let neighbour = try neighbour(on: link, call)
      var open: [IPAddress] = []
      for target in [neighbour, Self.farAway(isIPv6: ip.isIPv6)].compactMap(\.self)
      where try network.hasRoute(to: target, from: nil) { open.append(target) }
      var shut: [IPAddress] = []
      for target in open where try !network.hasRoute(to: target, from: ip) { shut.append(target) }
      guard let first = shut.first else { return nil }
      // An address that is for one network only may be meant so.
      if shut == open, first == neighbour { return ("nothing leaves from \(ip): a rule or a route drops it (ip rule show)", true) }
      return ("nothing leaves from \(ip) to \(first): a rule or a route drops it (ip rule show)", false)
    }
  }

  /// What would keep clients from an address that this node does not hold yet, as far as it shows before. Only for a deep look.
  func obstructions(on link: Link, _ call: Call) throws(OCFError) -> [String] {
    guard call.depth >= .service, !ip.isLoopback, !link.isLoopback else { return [] }
    let rule = try explained(try call.host.network.refusal(of: ip)).map { "nothing leaves from \(ip) while a rule refuses it: ip rule del priority \($0)" }
    return [try deafness(of: link, call), rule].compactMap(\.self)
  }

  /// Kinds of links on which others are found by ARP; "" is hardware. A dummy, a tunnel, a VRF have none.
  private static let asked: Set = ["", "veth", "vlan", "bond", "team", "bridge", "macvlan"]

  /// What keeps the kernel from answering who asks for an address by ARP. Only for a deep look.
  func deafness(of link: Link, _ call: Call) throws(OCFError) -> String? {
    guard call.depth >= .service, !ip.isIPv6, !link.isLoopback, link.hardwareType == 1, Self.asked.contains(link.kind) else { return nil }
    guard link.answersARP else { return "nobody finds \(ip) on \(link.name), which answers no ARP: ip link set \(link.name) arp on" }
    // Those of this network namespace; the greater of the two counts (`IN_DEV_ARP_IGNORE`).
    guard networkNamespace.isEmpty else { return nil }
    for name in ["all", link.name.split(separator: ".").joined(separator: "/")] {
      let parameter = "net.ipv4.conf.\(name).arp_ignore"
      if try explained(try call.host.files.kernelParameter(parameter)) == "8" { return "set \(parameter)=0: nobody finds \(ip), for which no ARP is answered" }
    }
    return nil
  }

  /// Whether this node has a way to those who are not in its own networks; nil where that cannot be asked.
  func hasDefaultRoute(_ call: Call) -> Bool? {
    do throws(SystemError) { return try Self.farAway(isIPv6: ip.isIPv6).map { (far) throws(SystemError) in try call.host.network.hasRoute(to: far, from: nil) } } catch {
      call.log.debug("looking for a default route: \(error)")
      return nil
    }
  }

  /// An address of another host in the network; nobody has to have it.
  private func neighbour(on link: Link, _ call: Call) throws(SystemError) -> IPAddress? {
    let routes = try call.host.network.connectedRoutes(covering: ip, near: link)
    guard let prefixLength = routes.first(where: { $0.prefixLength < ip.bits - 1 })?.prefixLength else { return nil }
    let ends = [true, false].map { ip.withHostBits(set: $0, prefixLength: prefixLength) }
    for step in 1...3 {
      guard let last = ip.bytes.last, let other = IPAddress(bytes: ip.bytes.dropLast() + [last ^ UInt8(step)]) else { continue }
      if !ends.contains(other), try !call.host.network.holds(other) { return other }
    }
    return nil
  }

  /// An address of nobody's (RFC 5737, RFC 3849): it is the default route's, as most clients are.
  private static func farAway(isIPv6: Bool) -> IPAddress? { IPAddress(isIPv6 ? "2001:db8:ffff::1" : "198.51.100.1") }
}
