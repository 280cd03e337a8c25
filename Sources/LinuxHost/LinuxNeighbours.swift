import CLinux
import Host
import Netlink

/// What goes on the wire: announcements and questions of ARP and neighbour discovery.
extension LinuxNetwork {
  public func announce(_ announcement: Announcement) throws(SystemError) {
    guard announcement.count > 0 else { return }
    var problem: SystemError?
    do throws(SystemError) {
      guard try sendFrames(of: announcement) else { return }
    } catch {
      // A frame that a full queue refused is one of many; the rest may get through.
      problem = error
    }
    if announcement.count > 1 {
      var command = Announcer.command(
        announcement, program: program, namespace: namespace?.name, number: try NetworkNamespace.number(of: namespace))
      // The last one to close a packet socket waits for every processor (`packet_release`, `synchronize_net`), some 10 ms: not us.
      if let announcing { command.inherited = announcing.number }
      _ = try processes.launch(command)
    }
    if let problem { throw problem }
  }

  /// One round: to everybody, and to each target. False where the link has no neighbours to tell.
  func sendFrames(of announcement: Announcement) throws(SystemError) -> Bool {
    let address = announcement.address
    let operation = "announcing \(address)"
    guard let link = try link(at: announcement.link) else {
      throw SystemError("\(operation) on \(name(of: announcement.link))", .noSuchDevice)
    }
    guard link.hasNeighbours else { return false }
    let wire = try packets(on: link)
    let own = link.hardwareAddress
    if address.isIPv6 {
      let isRouter = try routes().get(.getIPv6Forwarding(link: link.index), operation, Message.forwarding) ?? false
      try wire.send(
        NeighbourDiscovery.advertisement(of: address, at: own, isRouter: isRouter), type: UInt16(ETH_P_IPV6),
        to: link.hardwareAddress(ofMulticast: .allNodes), operation)
      for target in announcement.targets where target.isIPv6 {
        try wire.send(
          NeighbourDiscovery.solicitation(of: target, from: address, at: own), type: UInt16(ETH_P_IPV6),
          to: link.hardwareAddress(ofMulticast: target.solicitedNode), operation)
      }
    } else {
      let type = link.hardwareType
      try wire.send(
        ARP.announcement(of: address, from: own, type: type, asReply: announcement.asReply).bytes,
        type: UInt16(ETH_P_ARP), to: link.broadcastHardwareAddress, operation)
      for target in announcement.targets where !target.isIPv6 {
        try wire.send(
          ARP.question(to: target, of: address, from: own, type: type).bytes, type: UInt16(ETH_P_ARP),
          to: link.broadcastHardwareAddress, operation)
      }
    }
    return true
  }

  private func packets(on link: Link) throws(SystemError) -> PacketSocket {
    if let announcing, announcing.link.index == link.index { return announcing }
    let opened = try inNamespace { () throws(SystemError) in try PacketSocket(on: link, hears: 0) }
    announcing = opened
    return opened
  }

  /// Whether `announcement.link` still holds the address, as far as that can be told at once.
  func stillHolds(_ announcement: Announcement) throws(SystemError) -> Bool {
    if announcement.address.isIPv6 { return try ipv6Copy(of: announcement.address, on: announcement.link) != nil }
    return try mayHold(announcement.address)
  }

  public func stopAnnouncing(_ address: IPAddress) throws(SystemError) {
    let number = try NetworkNamespace.number(of: namespace)
    for process in try processes.running(program) where Announcer.isBurst(process, of: address, inNamespace: number) {
      try processes.signal(.kill, to: process)
      // Nothing may leave for the address once it is gone from here, so the end is waited for; a kill takes no time.
      let deadline = LinuxClock.now + .seconds(1)
      while try processes.isAlive(process) {
        guard LinuxClock.now < deadline else { throw SystemError("ending the announcement of \(address)", .timedOut) }
        LinuxClock.sleep(until: LinuxClock.now + .milliseconds(1))
      }
    }
  }

  public func conflictingHost(for address: IPAddress, on link: Link, before deadline: Instant) throws(SystemError) -> [UInt8]? {
    guard link.hasNeighbours else { return nil }
    let operation = "asking for \(address) on \(link.name)"
    let type = UInt16(address.isIPv6 ? ETH_P_IPV6 : ETH_P_ARP)
    let wire = try inNamespace { () throws(SystemError) in try PacketSocket(on: link, hears: type) }
    // Closing it would wait as well; who is announced next sends with it, and leaves the close to others.
    if announcing?.link.index != link.index { announcing = wire }
    // A solicitation is another node's probe for the same address.
    if address.isIPv6 { try wire.hearOnly(icmpv6: [135, 136]) }
    let question =
      address.isIPv6
      ? NeighbourDiscovery.probe(for: address)
      : ARP.probe(for: address, from: link.hardwareAddress, type: link.hardwareType).bytes
    let destination =
      address.isIPv6 ? link.hardwareAddress(ofMulticast: address.solicitedNode) : link.broadcastHardwareAddress
    let start = LinuxClock.now
    for round in 1...3 {
      try wire.send(question, type: type, to: destination, operation)
      let end = round == 3 ? deadline : start + (deadline - start) / 3 * round
      // What is there already is heard after the end, but a wire that is never silent must not keep anybody for ever.
      while LinuxClock.now < end + .milliseconds(50), let frame = try wire.receive(before: end, operation) {
        let claimant =
          address.isIPv6
          ? NeighbourDiscovery.claim(in: frame.bytes, to: address).map { $0.isEmpty ? frame.sender : $0 }
          : ARP(frame.bytes)?.conflictingHost(for: address, own: link.hardwareAddress)
        if let claimant, claimant != link.hardwareAddress { return claimant }
      }
    }
    return nil
  }
}

extension Link {
  /// Whether there is somebody to announce an address to: a broadcast link with hardware addresses.
  var hasNeighbours: Bool { !isLoopback && answersARP && !hardwareAddress.isEmpty && !broadcastHardwareAddress.isEmpty }

  /// Where a multicast frame goes; a link that is not Ethernet gets it by broadcast.
  func hardwareAddress(ofMulticast group: IPAddress) -> [UInt8] {
    hardwareAddress.count == 6 ? group.multicastHardwareAddress : broadcastHardwareAddress
  }
}
