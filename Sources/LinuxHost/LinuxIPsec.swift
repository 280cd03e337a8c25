import CLinux
import Host
import Netlink

/// IPsec state over XFRM, and the rules that keep an address silent.
extension LinuxNetwork {
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

  public func blockEgress(from address: IPAddress) throws(SystemError) {
    do throws(SystemError) {
      try routes().perform(.silencingRule(true, for: address), "holding back what leaves from \(address)")
    } catch  where error.errno == .exists {
      // It is held back already.
    }
  }

  public func unblockEgress(from address: IPAddress) throws(SystemError) {
    do throws(SystemError) {
      try routes().perform(.silencingRule(false, for: address), "no longer holding back what leaves from \(address)")
    } catch  where error.errno == .noSuchFile {
      // There was none.
    }
  }

  public func blockedEgress() throws(SystemError) -> [IPAddress] {
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

  public func refusal(of source: IPAddress) throws(SystemError) -> UInt32? {
    do throws(SystemError) {
      return RoutingRule.refusal(of: source, in: try routes().dump(.getRules(isIPv6: source.isIPv6), "listing routing rules", RoutingRule.init))?.priority
    } catch  where error.errno == .notSupported || error.errno == .familyNotSupported {
      return nil
    }
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
}

extension OutboundAssociation {
  /// Nil for an SA whose numbers the kernel does not tell.
  fileprivate init?(_ association: SecurityAssociation) {
    guard let replay = association.replay else { return nil }
    let now = UInt64(max(0, time(nil)))
    let age = now > association.installed ? now - association.installed : 0
    // A clock that was set forward makes nobody older than the kernel lets him become.
    self.init(spi: association.spi, age: min(age, association.lifetime ?? age), sequence: replay.sent, destination: association.destination)
  }
}
