import Host

/// One thing to ask, and of whom.
struct Target: Hashable {
  enum Kind: String, Hashable { case ping, arp, ike, radius, vip }

  var kind: Kind
  var address: IPAddress
  /// 0 where there are no ports.
  var port: UInt16 = 0

  /// Whether the address is another host's on every link.
  var isOnALink: Bool { address.isIPv6 && address.isLinkLocal }

  /// What it does not answer, when it does not.
  var question: String {
    switch kind {
    case .ping: "ping"
    case .arp: address.isIPv6 ? "neighbour solicitation" : "ARP"
    case .radius: "RADIUS Status-Server on port \(port)"
    case .ike: "IKE on port \(port)"
    case .vip: port == 0 ? "ping" : "IKE on port \(port)"
    }
  }
}

extension PathProbe {
  /// Everything that is to be asked. Targets of one inner list stand in for each other: only when all of them are down is the
  /// path down, and not just a remote.
  var groups: [[Target]] {
    let hops = ping.map { Target(kind: .ping, address: $0) } + arp.map { Target(kind: .arp, address: $0) }
    let responders = ikePorts.map { port in ike.map { Target(kind: .ike, address: $0, port: port.number) } }
    let servers = radius.map { Target(kind: .radius, address: $0, port: radiusPort.number) }
    return ([hops] + responders + [servers]).filter { !$0.isEmpty }
  }

  /// The service's own address as it is seen from here.
  var watchedAddress: Target? {
    vip.map { Target(kind: .vip, address: $0, port: vipCheck == .ike ? 500 : 0) }
  }

  /// How long a target of a kind has to answer before it counts as up again. The service's own address moves nothing, and whoever
  /// reads that it does not answer wants to read that it does.
  func recovery(of kind: Target.Kind) -> Duration { .seconds(kind == .vip ? min(recovery, 5) : recovery) }

  func schedule(of kind: Target.Kind) -> Schedule {
    func schedule(_ interval: Int, _ timeout: Int, _ threshold: Threshold) -> Schedule {
      Schedule(interval: .seconds(interval), timeout: .seconds(timeout), threshold: threshold)
    }
    return switch kind {
    case .ping: schedule(pingInterval, pingTimeout, pingFailures)
    case .arp: schedule(arpInterval, arpTimeout, arpFailures)
    case .ike: schedule(ikeInterval, ikeTimeout, ikeFailures)
    case .radius: schedule(radiusInterval, radiusTimeout, radiusFailures)
    case .vip: schedule(vipInterval, vipTimeout, vipFailures)
    }
  }
}
