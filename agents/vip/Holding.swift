import Host
import OCF

extension VirtualIP {
  /// Adds the address and tells the neighbours; leaves nothing behind when it throws.
  func hold(_ call: Call) throws(OCFError) {
    let place = try place(call)
    let network = call.host.network
    try checkOwnership(call)
    try makeReady(place.link, call)
    for own in try ownCopies(call)
    where own.copy.link != place.link.index || own.copy.prefixLength != place.address.prefixLength {
      try remove(own.copy, from: own.link, call)
    }
    try checkWire(place.link, call)
    try checkPeers(place.link, call)
    do throws(OCFError) {
      try setLoopbackAside(call)
      labelPolicy(call)
      tolerate(call, try writeRecord(.held, self.place(of: place.address), call))
      // Clients wait for the announcement, so the log comes after it.
      var isNew = false
      defer { if isNew { call.log.info("added \(place.address) to \(place.link.name)", ("VPNHA_ADDRESS", "\(ip)"), ("VPNHA_LINK", place.link.name)) } }
      do throws(SystemError) {
        try network.add(place.address)
        isNew = true
      } catch  where error.errno == .exists {
        // Ours since the last look; whether it is as wanted the next look says.
      } catch {
        throw explain(error)
      }
      try awaitUniqueness(place, call)
      announce(arpCount, on: place.link, call)
    } catch {
      // The first reason counts. What cannot be taken back here the stop that follows finds.
      do throws(OCFError) { try release(call) } catch { call.log.warning("taking back: \(error.reason)") }
      throw error
    }
  }

  /// Brings the link up if it is not, and waits for carrier if there is none: a link that negotiates, or a bond, takes seconds
  /// for it, at boot say.
  private func makeReady(_ link: Link, _ call: Call) throws(OCFError) {
    var link = link
    if !link.isUp {
      try explained(try call.host.network.bringUp(link))
      call.log.info("brought \(link.name) up", ("VPNHA_LINK", link.name))
      link.isUp = true
    }
    var trouble: String?
    _ = try call.within(min(.seconds(5), call.request.timeout / 3)).until { () throws(OCFError) in
      trouble = try self.trouble(of: link, call)
      if trouble == nil || obstacle(on: link) != nil { return true }
      let now = try explained(try call.host.network.link(at: link.index))
      if let now { link = now }
      return now == nil
    }
    if let trouble { throw .failed(trouble) }
  }

  /// Asks the neighbours before an IPv4 address is taken, if that is wanted. (IPv6 has duplicate address detection.)
  private func checkWire(_ link: Link, _ call: Call) throws(OCFError) {
    guard runArping, !ip.isIPv6 else { return }
    let limit = call.within(.milliseconds(1500)).deadline
    let conflict = try explained(try call.host.network.conflictingHost(for: ip, on: link, before: limit))
    if let conflict { throw .failed("\(ip) is used by \(Call.text(ofHardware: conflict)) on \(link.name)") }
  }

  /// Whether another node of the cluster still answers for an IPv4 address that this one is to take.
  ///
  /// Pacemaker promotes a second member when the node of the first is put into maintenance (2.1.5, a clone of a group), and takes no
  /// account of one that it does not manage. A node that is there answers within a millisecond; what other hosts answer, a router with
  /// proxy ARP say, keeps nobody from serving.
  private func checkPeers(_ link: Link, _ call: Call) throws(OCFError) {
    // With `run_arping` nobody may have it.
    guard call.request.action == .promote, !runArping, !ip.isIPv6 else { return }
    // Each refusal has the cluster plan anew, so it takes its time.
    let within = call.within(.seconds(5))
    while let node = holdingPeer(on: link, call) {
      guard call.host.clock.now < within.deadline else {
        throw .failed("\(node) still has \(ip), and answers for it: \(rivals(on: link, call) ?? "is it in maintenance? pcs node unmaintenance \(node)")")
      }
      call.host.clock.sleep(until: within.within(.milliseconds(250)).deadline)
    }
  }

  private func holdingPeer(on link: Link, _ call: Call) -> String? {
    call.peer(answeringFor: ip, on: link, within: .milliseconds(rivals(on: link, call) == nil ? 12 : 500))
  }

  package func counts(_ call: Call) throws(OCFError) -> [String: UInt64] {
    var counts = Call.hardware(of: try place(call).link)
    if !ip.isLoopback, let hasWay = hasDefaultRoute(call) { counts[Look.defaultRoute] = hasWay ? 1 : 0 }
    return counts
  }

  /// Another host that has the address beside us. A wire without one is silent, so this takes a fifth of a second: only for
  /// the deep monitor of the node that holds it, once a minute.
  func intruder(on link: Link, _ call: Call) -> String? {
    guard call.depth >= .service, call.request.action == .monitor else { return nil }
    return call.rival(answeringFor: ip, on: link, within: .milliseconds(200)).map { "\(ip) is used by \($0.hardware) on \(link.name) as well" }
  }

  /// Waits until the kernel has found no other host with an IPv6 address.
  private func awaitUniqueness(_ place: Placement, _ call: Call) throws(OCFError) {
    guard ip.isIPv6, !nodad else { return }
    var flags: AddressFlags = []
    let ended = try call.until { () throws(OCFError) in
      let copy = try explained(try call.host.network.copy(of: ip, on: place.link, label: nil))
      guard let copy else { throw .failed("\(place.address) was removed from \(place.link.name) by somebody else") }
      flags = copy.flags
      return flags.contains(.dadFailed) || !flags.contains(.tentative) || flags.contains(.optimistic)
    }
    guard ended else { throw .failed("\(ip) on \(place.link.name) is still tentative") }
    guard flags.contains(.dadFailed) else { return }
    throw .failed("\(ip) is used by \(conflictingHostName(on: place.link, call)) on \(place.link.name)")
  }

  private func conflictingHostName(on link: Link, _ call: Call) -> String {
    do throws(SystemError) {
      let limit = call.within(.milliseconds(500)).deadline
      if let conflict = try call.host.network.conflictingHost(for: ip, on: link, before: limit) { return Call.text(ofHardware: conflict) }
    } catch {
      call.log.debug("asking who has \(ip): \(error)")
    }
    return "another host"
  }

  // MARK: - Neighbours

  /// Tells the neighbours `count` times. The address is held, so a failure is only logged.
  private func announce(_ count: Int, on link: Link, _ call: Call) {
    guard count > 0 else { return }
    let interval = Duration.milliseconds(arpInterval)
    let asReply = arpReply || sendArpOpts.split(separator: " ").contains("-A")
    func send(_ count: Int) throws(SystemError) {
      try call.host.network.announce(
        Announcement(ip, link: link.index, count: count, interval: interval, asReply: asReply, targets: arpTargets.filter { $0.bits == ip.bits }))
    }
    if arpBg { return tolerate(call, try send(count)) }
    for round in 0..<count {
      if round > 0 { call.host.clock.sleep(until: min(call.deadline, call.host.clock.now + interval)) }
      guard call.host.clock.now < call.deadline else { return }
      tolerate(call, try send(1))
    }
  }

  /// Tells the neighbours again in a recurring monitor, if that is wanted: it cures what a split brain left in their caches.
  func refresh(on link: Link, _ call: Call) {
    guard call.request.action == .monitor, !call.request.isProbe else { return }
    announce(arpCountRefresh, on: link, call)
  }

  // MARK: - Leaving

  /// Ends the announcements and removes every copy of the address that is ours to answer for.
  func release(_ call: Call) throws(OCFError) {
    var problem: OCFError?
    do throws(OCFError) {
      try explained(try call.host.network.stopAnnouncing(ip))
    } catch {
      // The address goes all the same; a burst looks for it before each frame.
      problem = error
    }
    let copies = try ownCopies(call)
    if closeSockets, !copies.isEmpty {
      tolerate(call) { () throws(SystemError) in
        let closed = try call.host.network.closeConnections(from: ip)
        if closed > 0 { call.log.info("reset \(closed) connections from \(ip)", ("VPNHA_ADDRESS", "\(ip)")) }
      }
    }
    for own in copies { try remove(own.copy, from: own.link, call) }
    tolerate(call, try removeRecord(.held, call))
    unlabelPolicy(call)
    putLoopbackBack(call)
    if flushRoutes { tolerate(call, try call.host.network.flushRouteCache(isIPv6: ip.isIPv6)) }
    guard problem != nil else { return }
    // On a node that is short of everything a killed process may take its time; that is no reason to fence it.
    _ = call.within(.seconds(5)).until {
      do throws(OCFError) {
        try explained(try call.host.network.stopAnnouncing(ip))
        problem = nil
      } catch {
        problem = error
      }
      return problem == nil
    }
    if let problem { throw problem }
  }

  private func remove(_ copy: InterfaceAddress, from link: Link, _ call: Call) throws(OCFError) {
    let isSwitched = keepSecondaries(of: copy, on: link, call)
    defer {
      if isSwitched { tolerate(call, try call.host.network.promoteSecondaries(false, on: link)) }
    }
    do throws(SystemError) {
      try call.host.network.remove(copy)
      call.log.info("removed \(copy) from \(link.name)", ("VPNHA_ADDRESS", "\(ip)"), ("VPNHA_LINK", link.name))
    } catch  where error.errno == .addressNotAvailable || error.errno == .noSuchDevice {
      // Gone since the last look.
    } catch {
      throw explain(error)
    }
  }

  /// An IPv4 address that came first into its network takes the later ones along when it goes, unless the kernel is told to
  /// promote them, which it is for that moment.
  ///
  /// - Returns: whether that was switched on here.
  private func keepSecondaries(of copy: InterfaceAddress, on link: Link, _ call: Call) -> Bool {
    guard !ip.isIPv6, !copy.flags.contains(.secondary), copy.prefixLength < 32, !link.promotesSecondaries else { return false }
    var isSwitched = false
    tolerate(call) { () throws(SystemError) in
      try call.host.network.promoteSecondaries(true, on: link)
      isSwitched = true
    }
    return isSwitched
  }
}
