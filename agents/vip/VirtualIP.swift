import Host
import OCF

/// An address that moves between nodes.
///
/// Running means: the kernel holds exactly this address, with our prefix, on our interface, usable, and the interface has
/// carrier. In a promotable clone the address belongs to the promoted member; an unpromoted one is prepared and does not
/// hold it.
package struct VirtualIP: ResourceAgent {
  package init() {}

  package static let about = About(
    "Virtual IPv4 or IPv6 address",
    """
    Adds an address to an interface and tells the neighbours at once. A drop-in replacement for ocf:heartbeat:IPaddr2 with \
    the same parameters. In a promotable clone the promoted member holds the address and the others are prepared. The \
    address is removed at stop where the agent has put it, and where it is exactly as the parameters say; the same address \
    with another prefix length or on another interface is the node's own: it is never removed, and the resource does not start \
    there. Where the kernel would take other addresses of the network away together with this one, promote_secondaries is \
    switched on for that moment. A start waits up to five seconds for carrier. At check level 10 a bond that works with a part \
    of its links only and an address that is held twice are shown as risks; the wire is asked for a fifth of a second whether \
    another host has the address.
    """)

  package static let hasHeadStart = true

  package static let operations: [Operation] = [
    .start(timeout: 20), .stop(timeout: 20), .promote(timeout: 20), .demote(timeout: 20),
    .monitor(.promoted, every: 10, timeout: 20), .monitor(.promoted, every: 60, timeout: 20, depth: .service),
    .monitor(.unpromoted, every: 11, timeout: 20), .monitor(.unpromoted, every: 61, timeout: 20, depth: .service),
    .monitor(every: 12, timeout: 20), .monitor(every: 62, timeout: 20, depth: .service), .reloadAgent(timeout: 20), .validateAll(timeout: 20), .metaData(timeout: 5),
  ]

  @Parameter("Address to hold", "An IPv4 or IPv6 address without a prefix length.", uniqueGroup: "address")
  var ip: IPAddress
  @Parameter(
    "Network interface",
    "Its name or alternative name. If left empty, the interface of the most specific connected route to the address.")
  var nic = ""
  @Parameter(
    "Prefix length", "24, or 255.255.255.0. If left empty, that of the most specific connected route to the address.")
  var cidrNetmask: PrefixLength? = nil
  @Parameter(
    "Prefix length", "What cidr_netmask was called once.",
    deprecated: Deprecation(replacedWith: "cidr_netmask", note: "Use cidr_netmask."))
  var netmask: PrefixLength? = nil
  @Parameter(
    "Broadcast address",
    """
    + or - make it of the address by setting or clearing the host bits. If left empty, that of this node's own address in \
    the network. IPv4 only.
    """)
  var broadcast: Broadcast? = nil
  @Parameter(
    "Label", "Appended to the interface's name and a colon; at most 15 characters in all. IPv4 only.")
  var iflabel = ""
  @Parameter(
    "Preferred lifetime", "Seconds or forever; 0 keeps the address from being chosen as a source. IPv6 only.")
  var preferredLft = Lifetime.forever
  @Parameter(
    "Skip duplicate address detection", "Takes the address at once, without waiting for another host's claim. IPv6 only.")
  var nodad = false
  @Parameter("Add no route for the prefix") var noprefixroute = false
  @Parameter("Metric of the prefix route", "If left empty, the kernel's default.") var metric: Int? = nil
  @Parameter(
    "Look for the address on the wire before taking it",
    "Asks by ARP probes for up to a second and a half, and fails when another host has the address. IPv4 only.",
    reloadable: true)
  var runArping = false
  @Parameter("Announcements after the address was added", "Gratuitous ARP or unsolicited NA; 0 for none.", reloadable: true)
  var arpCount = 5
  @Parameter("Milliseconds between announcements", reloadable: true) var arpInterval = 200
  @Parameter("Announcements in every monitor", reloadable: true) var arpCountRefresh = 0
  @Parameter(
    "Announce in the background", "The first announcement is always sent before start or promote ends.", reloadable: true)
  var arpBg = true
  @Parameter("Announce by ARP replies", "In place of ARP requests. IPv4 only.", reloadable: true) var arpReply = false
  @Parameter(
    "Neighbours to tell directly", "Addresses, separated by spaces: for those that heed no broadcast.", reloadable: true)
  var arpTargets: [IPAddress] = []
  @Parameter(
    "Keep the address on the loopback interface while stopped",
    "For LVS direct routing: a copy that is on the loopback interface at start is set aside and put back at stop. IPv4 only.")
  var lvsSupport = false
  @Parameter(
    "Keep the address from being a source", "Adds a label to the policy table of RFC 6724, for LVS direct routing. IPv6 only.")
  var lvsIpv6Addrlabel = false
  @Parameter("Label in the policy table", "One that is not used otherwise.") var lvsIpv6AddrlabelValue = 99
  @Parameter("Flush the route cache at stop", reloadable: true) var flushRoutes = false
  @Parameter(
    "Reset connections at stop", "TCP connections from the address, so that clients notice at once.", reloadable: true)
  var closeSockets = false
  @Parameter(
    "Network namespace", "The name of one that exists, with the interface in it.", uniqueGroup: "address")
  var networkNamespace = ""
  @Parameter("Fail when the interface has no carrier", reloadable: true) var checkLinkStatus = true
  @Parameter("Route protocol", "Only routes of this origin, such as kernel, tell interface and prefix length.")
  var proto: RouteOrigin? = nil
  @Parameter(
    "Program that announces", "Not needed: the agent announces by itself.", reloadable: true,
    deprecated: Deprecation(note: "Accepted and not looked at."))
  var arpSender = ""
  @Parameter(
    "Options of that program", "Not needed, but -A still asks for ARP replies.", reloadable: true,
    deprecated: Deprecation(note: "Use arp_reply."))
  var sendArpOpts = ""
  @Parameter(
    "Hardware address of a cluster IP", "Refused: the kernel cannot share an address any more.",
    deprecated: Deprecation(note: "The kernel has no CLUSTERIP target any more."))
  var mac = ""
  @Parameter(
    "Hash of a cluster IP", "Not looked at: the kernel cannot share an address any more.",
    deprecated: Deprecation(note: "The kernel has no CLUSTERIP target any more."))
  var clusteripHash = ""
  @Parameter(
    "An address of its own for every clone", "Refused when true: a resource holds one address.",
    deprecated: Deprecation(note: "Make a resource for each address."))
  var uniqueCloneAddress = false

  @Parameter(
    "Seconds that a monitor waits for events",
    """
    The recurring monitor of check level 0 waits so long after it has found all well, and returns at once when the address or a link changes. With an interval \
    of 1 s and a timeout of at least 20 s a failure is noticed within a tenth of a second. At most 8; 0: it does not wait.
    """, reloadable: true)
  package var watch: WatchTime = 0

  package func checkParameters() throws(OCFError) {
    guard !ip.isNoHost else { throw .misconfigured("ip: \(ip) is no address of a host") }
    if let bits = cidrNetmask?.bits, bits > ip.bits {
      throw .misconfigured("cidr_netmask: expected at most \(ip.bits), got \(bits)")
    }
    if ip.isIPv6, ip.isLinkLocal, nic.isEmpty {
      throw .misconfigured("nic: is required for a link-local address such as \(ip)")
    }
    if ip.isIPv6, broadcast != nil { throw .misconfigured("broadcast: IPv6 has none") }
    if let target = arpTargets.first(where: { $0.bits != ip.bits }) {
      throw .misconfigured("arp_targets: \(target) is not of the same family as \(ip)")
    }
    if !ip.isIPv6, let suffix = labelSuffix {
      // Without an interface's own name (one that is as long is an alternative) only the shortest there can be is counted.
      let name = (1...Self.longestLabel).contains(nicName.utf8.count) ? nicName.utf8.count : 1
      guard name + 1 + suffix.utf8.count <= Self.longestLabel else {
        throw .misconfigured("iflabel: \(nicName):\(suffix) has more than \(Self.longestLabel) characters")
      }
    }
    guard networkNamespace != ".", networkNamespace != "..", !networkNamespace.contains("/") else {
      throw .misconfigured("network_namespace: expected a name, got \(networkNamespace)")
    }
    guard mac.isEmpty else {
      throw .misconfigured("mac: a cluster IP is not possible, the kernel has no CLUSTERIP any more")
    }
    guard !uniqueCloneAddress else {
      throw .misconfigured("unique_clone_address: not supported, make a resource for each address")
    }
  }

  package func checkNode(_ call: Call) throws(OCFError) {
    let call = try inside(call)
    if call.request.action == .start { try awaitPlace(call) }
    let link = try place(call).link
    try checkHolders(on: link, call)
    if let obstacle = obstacle(on: link) { throw .wrongHere(obstacle) }
    try checkOwnership(call)
  }

  /// The members of a clone would all hold the address, and the neighbours would see it jump. Where there are no neighbours to
  /// see it, as on the loopback interface, that may be what is wanted.
  ///
  /// Refused on this node only: 6 would have Pacemaker take the address away from the member that holds it.
  private func checkHolders(on link: Link, _ call: Call) throws(OCFError) {
    guard isSeen(on: link), !call.isPromotable, let count = meta("clone_max", call), count > 1 else { return }
    throw .wrongHere("clone-max: \(count) members would hold \(ip) at once; make the clone promotable")
  }

  /// How many members Pacemaker promotes at once, if that is too many. One of them serves: a promotion asks the wire first.
  func rivals(on link: Link, _ call: Call) -> String? {
    guard isSeen(on: link), let count = meta("promoted_max", call) ?? meta("master_max", call), count > 1 else { return nil }
    return "promoted-max: \(count) members would hold \(ip) at once, it must be 1"
  }

  private func isSeen(on link: Link) -> Bool { !link.isLoopback && link.answersARP }
  private func meta(_ name: String, _ call: Call) -> Int? { call.request.environment["OCF_RESKEY_CRM_meta_\(name)"].flatMap { Int($0) } }

  // MARK: - Observing

  package func observe(_ call: Call) throws(OCFError) -> ResourceState {
    guard let call = try insideIfThere(call) else {
      return try absent(call, "network_namespace: \(networkNamespace) is not on this node")
    }
    let link = try nic.isEmpty ? nil : namedLink(call)
    // The short way: a healthy monitor asks for one address and one link.
    let isRecurring = isRecurring(call)
    if nic.isEmpty || link != nil, let (copy, link) = try quickCopy(on: link, call), isExpected(copy) {
      var isKnown = isRecurring
      if !isKnown { isKnown = try heldPlace(call) == place(of: copy) }
      if isKnown { return try judge(copy, on: link, call) }
    }
    let copies = try copies(call)
    let own = copies.filter(\.isOurs)
    if nic.isEmpty || link != nil,
      let good = own.first(where: { isExpected($0.copy) && (link == nil || $0.link.index == link?.index) })
    {
      return try judge(good.copy, on: good.link, call)
    }
    if let wrong = own.first {
      let wanted = cidrNetmask.map { "/\($0.bits)" } ?? ""
      return .failed(
        "\(wrong.copy) is on \(wrong.link.name), expected \(ip)\(wanted)\(nic.isEmpty ? "" : " on \(nicName)")",
        promoted: call.isPromotable)
    }
    if isRecurring, let other = copies.first { return .failed(ownAddress(other), promoted: try wasPromoted(call)) }
    if !nic.isEmpty, link == nil { return try absent(call, "nic: \(nicName) is not on this node") }
    guard call.isPromotable else { return .stopped }
    if [.monitor, .demote].contains(call.request.action), try wasPromoted(call) {
      return .failed(try goneReason(try heldPlace(call), call), promoted: true)
    }
    return try isStarted(call) ? standby(call) : .stopped
  }

  /// A plain address that was here and was not stopped.
  package func obituary(_ call: Call) -> String? {
    do throws(OCFError) {
      guard let call = try insideIfThere(call), let held = try heldPlace(call) else { return nil }
      return try goneReason(held, call)
    } catch {
      call.log.debug(error.reason)
      return nil
    }
  }

  private func goneReason(_ held: String?, _ call: Call) throws(OCFError) -> String {
    var place = nicName
    if let index = held?.split(separator: "@").dropFirst().first.flatMap({ Int32($0) }) {
      place = try explained(try call.host.network.link(at: index))?.name ?? place
    }
    return "\(ip) is gone from \(place.isEmpty ? "this node" : place)"
  }

  /// The address cannot be here. For a member that was started, and for a recurring monitor, whose resource was running,
  /// that is a failure with a reason.
  private func absent(_ call: Call, _ reason: String) throws(OCFError) -> ResourceState {
    if call.isPromotable { return try isStarted(call) ? .failed(reason, promoted: try wasPromoted(call)) : .stopped }
    return isRecurring(call) ? .failed(reason) : .stopped
  }

  private func judge(_ copy: InterfaceAddress, on link: Link, _ call: Call) throws(OCFError) -> ResourceState {
    let isPromoted = call.isPromotable
    if isPromoted, isRecurring(call), try !wasPromoted(call), try call.request.expectedRole == .unpromoted ? true : isStarted(call) {
      return .failed("\(ip) is on \(link.name), and this member was not promoted")
    }
    if copy.flags.contains(.dadFailed) {
      return .failed("\(copy) on \(link.name) is used by another host: duplicate address detection failed", promoted: isPromoted)
    }
    if copy.flags.contains(.tentative), !copy.flags.contains(.optimistic) {
      return .failed("\(copy) on \(link.name) is tentative: duplicate address detection has not ended", promoted: isPromoted)
    }
    if let trouble = try trouble(of: link, call) { return .failed(trouble, promoted: isPromoted) }
    let weakness = try weakness(of: link, call)
    if let weakness, weakness.isTotal { return .failed(weakness.text, promoted: isPromoted) }
    let barrier = try barrier(on: link, call)
    if let barrier, barrier.isTotal { return .failed(barrier.text, promoted: isPromoted) }
    refresh(on: link, call)
    let duplicate = try duplicate(of: copy, call)
    return .working(promoted: isPromoted, [rivals(on: link, call), barrier?.text, try deafness(of: link, call), intruder(on: link, call), duplicate, weakness?.text].compactMap { $0.map { Risk($0) } })
  }

  /// An unpromoted member: ready without the address.
  private func standby(_ call: Call) throws(OCFError) -> ResourceState {
    guard let link = try standbyLink(call) else { return .failed("no connected route leads to \(ip)") }
    let trouble = try trouble(of: link, call).map { Risk($0, unfit: true) }
    let weakness = try weakness(of: link, call).map { Risk($0.text, unfit: $0.isTotal) }
    let obstructions = try obstructions(on: link, call).map { Risk($0, unfit: true) }
    return .working(promoted: false, [trouble].compactMap { $0 } + obstructions + [weakness, rivals(on: link, call).map { Risk($0) }].compactMap { $0 })
  }

  // MARK: - Starting and stopping

  package func start(_ call: Call) throws(OCFError) {
    let call = try inside(call)
    guard call.isPromotable else { return try hold(call) }
    let place = try place(call)
    if !place.link.isUp { try explained(try call.host.network.bringUp(place.link)) }
    // Whoever is started has not been promoted yet.
    tolerate(call, try removeRecord(.held, call))
    try prepare(call)
  }

  package func stop(_ call: Call) throws(OCFError) {
    if let call = try insideIfThere(call) { try release(call) }
    try forget(call)
  }
}

extension VirtualIP: PromotableAgent {
  package func promote(_ call: Call) throws(OCFError) { try hold(try inside(call)) }
  package func demote(_ call: Call) throws(OCFError) {
    if let call = try insideIfThere(call) { try release(call) }
    // A member that was promoted has been started, whatever became of the record.
    if call.isPromotable, try !isStarted(call) { try prepare(call) }
  }
}

extension VirtualIP: ReloadableAgent {
  /// What can be reloaded is looked at when it is needed; nothing of it is in the kernel.
  package func reload(_ call: Call) throws(OCFError) {}
}

/// Evaluates `value`; what the kernel refused becomes a status and a reason.
func explained<Value>(_ value: @autoclosure () throws(SystemError) -> Value) throws(OCFError) -> Value {
  do throws(SystemError) { return try value() } catch { throw explain(error) }
}

/// The same for more than an expression.
func explained<Value>(_ body: () throws(SystemError) -> Value) throws(OCFError) -> Value {
  do throws(SystemError) { return try body() } catch { throw explain(error) }
}

func explain(_ error: SystemError) -> OCFError {
  switch error.errno {
  case .notPermitted, .accessDenied: .denied("\(error)")
  default: .failed("\(error)")
  }
}

extension VirtualIP {
  /// Those of this network namespace.
  package func eventSources(_ call: Call) throws(OCFError) -> [EventSource] { networkNamespace.isEmpty ? [.links, .addresses] : [] }
}
