import Daemon
import Host
import OCF

/// The two ends of the cluster's first link, as corosync's list of nodes has them (corosync.conf(5)).
struct ClusterLink: Equatable {
  var source: IPAddress
  var peer: IPAddress

  static let path = "/etc/corosync/corosync.conf"

  struct Node: Equatable {
    var name: String?
    /// An address, or a name of one.
    var address: String
  }

  /// The nodes that have an address on the first link.
  static func nodes(in text: String) -> [Node] {
    var nodes: [Node] = []
    var sections: [Substring] = []
    var node: (name: String?, address: String?) = (nil, nil)
    for line in text.split(whereSeparator: \.isNewline) {
      let words = line.split(whereSeparator: \.isWhitespace)
      guard let first = words.first, !first.hasPrefix("#") else { continue }
      if words.last == "{" || first.hasSuffix("{") {
        sections.append(first.prefix { $0 != "{" })
        if sections == ["nodelist", "node"] { node = (nil, nil) }
      } else if first == "}" {
        if sections == ["nodelist", "node"], let address = node.address { nodes.append(Node(name: node.name, address: address)) }
        _ = sections.popLast()
      } else if sections == ["nodelist", "node"], let colon = line.firstIndex(of: ":") {
        let key = line[..<colon].filter { !$0.isWhitespace }
        let value = line[line.index(after: colon)...].filter { !$0.isWhitespace }
        if key == "name" { node.name = value }
        if key == "ring0_addr" { node.address = value }
      }
    }
    return nodes
  }
}

extension SessionLedger {
  /// Where this node's ledger speaks from, and to.
  func link(_ call: Call) throws(OCFError) -> ClusterLink {
    let bytes = try attempt("finding the peer", try call.host.files.read(ClusterLink.path, limit: 1 << 20))
    guard let bytes else { throw .failed("finding the peer: \(ClusterLink.path) is missing") }
    var pair = ClusterLink.nodes(in: String(decoding: bytes, as: UTF8.self))
    if !nodes.isEmpty { pair = pair.filter { node in nodes.contains { $0 == node.name || $0 == node.address } } }
    guard pair.count == 2 else {
      throw .failed("nodes: name the two that are meant: \(ClusterLink.path) lists \(pair.count)\(nodes.isEmpty ? "" : " of \(nodes.joined(separator: " "))") with a ring0_addr")
    }
    let addresses = (try address(of: pair[0], call), try address(of: pair[1], call))
    guard addresses.0.isIPv6 == addresses.1.isIPv6, addresses.0 != addresses.1 else {
      throw .failed("finding the peer: \(addresses.0) and \(addresses.1) in \(ClusterLink.path) are no two ends of a link")
    }
    // By the cluster's name for this node; by hand, and where nodes have no names, by what address is here.
    let name = call.request.nodeName
    let isFirst: Bool
    if let name, pair.contains(where: { $0.name == name }) {
      isFirst = pair[0].name == name
    } else if try isHere(addresses.0, call) {
      isFirst = true
    } else if try isHere(addresses.1, call) {
      isFirst = false
    } else {
      throw .failed("finding the peer: neither \(addresses.0) nor \(addresses.1) is an address of this node (\(ClusterLink.path))")
    }
    return isFirst ? ClusterLink(source: addresses.0, peer: addresses.1) : ClusterLink(source: addresses.1, peer: addresses.0)
  }

  private func isHere(_ address: IPAddress, _ call: Call) throws(OCFError) -> Bool {
    try !attempt("looking for \(address)", try call.host.network.holders(of: address)).isEmpty
  }

  /// A name is looked up as corosync does, by the system.
  private func address(of node: ClusterLink.Node, _ call: Call) throws(OCFError) -> IPAddress {
    if let address = IPAddress(node.address) { return address }
    let command = Command("/usr/bin/getent", ["ahosts", node.address], outputLimit: 4096)
    let result = try attempt("looking up \(node.address)", try call.host.processes.run(command, before: call.within(.seconds(3)).deadline))
    let words = String(decoding: result.output, as: UTF8.self).split(whereSeparator: \.isWhitespace)
    guard result.succeeded, let address = words.compactMap({ IPAddress(String($0)) }).first(where: { !$0.isLoopback }) else {
      throw .failed("finding the peer: \(node.address) in \(ClusterLink.path) is no address and no known name")
    }
    return address
  }
}
