import Daemon
import Host
import L2TP
import OCF

/// The pools of the nodes, which have to be disjoint.
///
/// A daemon knows which addresses it has given out, and no other's. After a take-over the node that serves would give an
/// address to one client while connections, routes and filters still take it for another's.
extension XL2TPD {
  /// `l2tp-pool`; a clone's number is no part of it.
  private func attribute(_ call: Call) -> String { "\(call.request.resource)-pool" }

  /// Tells the other nodes which addresses are given out here. It never keeps anything from going on.
  func publishPool(_ configuration: XL2TPDConfiguration, _ call: Call) {
    guard call.request.nodeName != nil else { return }
    let text = configuration.pool.description
    guard text.utf8.count <= AddressPool.limit else {
      return call.log.warning("config: \(config) has too many ip ranges to compare them with the other nodes'")
    }
    do throws(SystemError) {
      try call.host.cluster.share(text, as: attribute(call), on: nil)
    } catch {
      call.log.debug("telling the nodes which addresses are given out here: \(error)")
    }
  }

  /// Which addresses other nodes give out as well, a sentence for each; none where there is no cluster to ask. A cluster
  /// that has forgotten what is given out here is told again.
  func sharedPools(_ configuration: XL2TPDConfiguration, _ call: Call) -> [String] {
    let pool = configuration.pool
    guard let node = call.request.home, !pool.isEmpty else { return [] }
    do throws(SystemError) {
      let own = attribute(call)
      // A second address has a daemon and a pool of its own on each node.
      let names = [own] + StartRecord.others(call).map { "\($0.resource)-pool" }
      var shared: [String] = []
      for name in names {
        let pools = try call.host.cluster.nodeAttribute(name)
        if name == own, call.request.isFromCluster, pools[node] != pool.description { publishPool(configuration, call) }
        shared += pools.sorted { $0.key < $1.key }.compactMap { peer, text in
          guard name != own || peer != node, let range = AddressPool(text)?.overlap(with: pool) else { return nil }
          let whose = name == own ? peer : "\(name.dropLast("-pool".count)) on \(peer)"
          return "\(whose) gives out \(AddressPool.text(range)), too: make the ip ranges of the nodes disjoint"
        }
      }
      return shared
    } catch {
      call.log.debug("asking which addresses the other nodes give out: \(error)")
      return []
    }
  }
}
