import Host
import OCF

extension VirtualIP {
  /// What keeps `link` from carrying traffic, nil when nothing does. Some links have carrier where the one that carries them
  /// has none (a VLAN with loose binding), so those are asked as well.
  func trouble(of link: Link, _ call: Call) throws(OCFError) -> String? {
    guard link.isUp else { return "\(link.name) is down" }
    if let obstacle = obstacle(on: link) { return obstacle }
    guard checkLinkStatus else { return nil }
    let layers = try layers(below: link) { (index) throws(OCFError) in
      try explained(try call.host.network.link(at: index))
    }
    return Self.firstDead(of: [link] + layers)
  }

  /// What no waiting changes.
  func obstacle(on link: Link) -> String? {
    ip.isIPv6 && link.disablesIPv6 ? "IPv6 is disabled on \(link.name) (net.ipv6.conf.\(link.name).disable_ipv6)" : nil
  }

  /// What is wrong with the parts of a bond, below the address or below its VLAN: a risk when one of its links has no carrier,
  /// and a failure when none has, whatever the bond believes. Only for a deep look, since it lists all links.
  func weakness(of link: Link, _ call: Call) throws(OCFError) -> (text: String, isTotal: Bool)? {
    guard call.depth >= .service, checkLinkStatus else { return nil }
    let all = try explained(try call.host.network.links())
    func layers(below link: Link) -> [Link] { self.layers(below: link) { index in all.first { $0.index == index } } }
    for layer in [link] + layers(below: link) where ["bond", "team"].contains(layer.kind) {
      let parts = all.filter { $0.master == layer.index }
      let broken = parts.compactMap { part in
        Self.firstDead(of: [part] + layers(below: part), "\(part.name), a part of \(layer.name),")
      }
      if let first = broken.first { return (first, broken.count == parts.count) }
    }
    return nil
  }

  /// The links that carry `link`, from above. The other end of a pair (veth) carries nothing.
  private func layers<Failure: Error>(below link: Link, _ find: (Int32) throws(Failure) -> Link?) throws(Failure) -> [Link] {
    var layers = [link]
    while layers.count < 10, let last = layers.last, !["veth", "netkit", "vxcan"].contains(last.kind), let index = last.lower,
      let next = try find(index), !layers.contains(where: { $0.index == next.index })
    {
      layers.append(next)
    }
    return Array(layers.dropFirst())
  }

  /// - Parameter name: what the first one is called.
  private static func firstDead(of layers: [Link], _ name: String? = nil) -> String? {
    guard let top = layers.first, let dead = layers.first(where: { !$0.isUp || !works($0) }) else { return nil }
    let name = name ?? top.name
    let trouble = dead.isUp || dead == top ? "has no carrier" : "is down"
    return dead == top ? "\(name) \(trouble)" : "\(dead.name), which carries \(name.hasSuffix(",") ? name : "\(name),") \(trouble)"
  }

  /// Another copy of the address beside a good one, with another prefix length or on another interface. Only for a deep look,
  /// since it lists all addresses.
  func duplicate(of copy: InterfaceAddress, _ call: Call) throws(OCFError) -> String? {
    guard call.depth >= .service else { return nil }
    // Beside one on lo, the balancer has another outside where it directs.
    if try explained(try call.host.network.link(at: copy.link))?.isLoopback == true { return nil }
    let duplicate = try copies(call).first { $0.copy.link != copy.link || $0.copy.prefixLength != copy.prefixLength }
    return duplicate.map { "\($0.copy) is on \($0.link.name) as well" }
  }

  private static func works(_ link: Link) -> Bool {
    // Operational states 1 to 3: not present, down, a lower layer down (RFC 2863).
    link.hasCarrier && !(1...3).contains(link.operationalState)
  }
}
