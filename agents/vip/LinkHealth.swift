import Host
import OCF

extension VirtualIP {
  /// What keeps `link` from carrying traffic, nil when nothing does. The kernel passes on what lower layers tell: a VLAN on
  /// a dead link has no carrier either.
  func trouble(of link: Link) -> String? {
    guard link.isUp else { return "\(link.name) is down" }
    guard checkLinkStatus, !Self.works(link) else { return nil }
    return "\(link.name) has no carrier"
  }

  /// What still works but is about to fail: a bond, below the address or below its VLAN, one of whose links has no carrier.
  /// Only for a deep look, since it lists all links.
  func risk(to link: Link, _ call: Call) throws(OCFError) -> String? {
    guard call.depth >= .service, checkLinkStatus else { return nil }
    let all = try explained { () throws(SystemError) in try call.host.network.links() }
    var layers = [link]
    while let lower = layers.last?.lower, let next = all.first(where: { $0.index == lower }), !layers.contains(next) {
      layers.append(next)
    }
    for layer in layers where ["bond", "team"].contains(layer.kind) {
      let parts = all.filter { $0.master == layer.index }
      guard let broken = parts.first(where: { !$0.isUp || !Self.works($0) }) else { continue }
      return "\(broken.name), a part of \(layer.name), has no carrier"
    }
    return nil
  }

  /// Another copy of the address beside a good one, with another prefix length or on another interface: what it leads to
  /// is somebody else's plan. Only for a deep look, since it lists all addresses.
  func twin(of copy: InterfaceAddress, _ call: Call) throws(OCFError) -> String? {
    guard call.depth >= .service else { return nil }
    let twin = try ownCopies(call).first { $0.copy.link != copy.link || $0.copy.prefixLength != copy.prefixLength }
    return twin.map { "\($0.copy) is on \($0.link.name) as well" }
  }

  private static func works(_ link: Link) -> Bool {
    // Operational states 1 to 3: not present, down, a lower layer down (RFC 2863).
    link.hasCarrier && !(1...3).contains(link.operationalState)
  }
}
