import CLinux
import Host
import Netlink

/// Links, over rtnetlink.
extension LinuxNetwork {
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

  func link(_ request: Message, _ what: String) throws(SystemError) -> Link? {
    do {
      let link = try routes().get(request, "looking for \(what)", Link.init)
      if let link { latest = link }
      return link
    } catch let error where error.errno == .noSuchDevice {
      return nil
    }
  }

  /// For messages: the interface's name, or its number where it has none any more.
  func name(of index: Int32) -> String {
    if let latest, latest.index == index { return latest.name }
    do {
      if let link = try link(at: index) { return link.name }
    } catch {
      // The message is about another failure; the number has to do.
    }
    return "interface \(index)"
  }
}
