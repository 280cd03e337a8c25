import BGP
import Daemon
import Host
import OCF

/// Routers are told that the gateway's address is here, by BIRD or FRR, which runs by itself on every node.
///
/// Running means: the daemon has our list, which is silent (or names a longer path). Promoted: the list is open, the kernel
/// holds the addresses, and enough neighbours are told. What the daemon answers counts, not what is in a file.
package struct RouteAnnouncement: ResourceAgent, ReloadableAgent {
  package init() {}

  package static let about = About(
    "The gateway's address, announced to routers by BGP (BIRD 2 or FRR)",
    """
    Tells BIRD or FRR which of this node's addresses it may announce. BIRD: by a function in a file that its configuration includes and its export \
    filters ask. FRR: by network statements, which are never saved. Only what an interface holds is announced, so that no announcement outlives its \
    address. The daemon itself runs all the time on every node; no protocol and no neighbour is enabled or disabled. \
    The address is withdrawn before it goes, while the node still serves. Meant as a promotable clone that follows the \
    VPN's, with vip's cidr_netmask=32. A daemon that is gone, or no neighbour at all, fails the promoted member; fewer neighbours than there are, graceful \
    restart (which keeps a dead node's route), a broken configuration and missing BFD are shown as risks.
    """)

  /// What it may announce is what it is.
  package static let startsWithDefaults = false

  package static let operations: [Operation] = [
    .start(timeout: 20), .stop(timeout: 20), .promote(timeout: 20), .demote(timeout: 20),
    .monitor(.promoted, every: 10, timeout: 20), .monitor(.promoted, every: 60, timeout: 20, depth: .service),
    .monitor(.unpromoted, every: 11, timeout: 20), .monitor(.unpromoted, every: 61, timeout: 20, depth: .service),
    .monitor(every: 12, timeout: 20), .monitor(every: 62, timeout: 20, depth: .service), .reloadAgent(timeout: 20), .validateAll(timeout: 20), .metaData(timeout: 5),
  ]

  @Parameter(
    "Addresses to announce", "IPv4 and IPv6 literals, each of which the node holds with its full prefix length (vip's cidr_netmask=32). Space-separated.",
    required: true, reloadable: true)
  var prefixes: [HostRoute] = []
  @Parameter("Which daemon announces them", "FRR: bgpd and zebra.") var daemon = RoutingSoftware.bird
  @Parameter(
    "Neighbours that are told", "Names of BGP protocols in BIRD's configuration, or the addresses of FRR's neighbours; all of them when empty. Space-separated.", reloadable: true)
  var neighbors: [ProtocolName] = []
  @Parameter(
    "How many neighbours have to be told", "A promoted member that tells fewer has failed.", reloadable: true)
  var minNeighbors = 1
  @Parameter(
    "What is announced while not promoted",
    """
    withdraw: nothing. med: the same with a MED of 1000, and of 0 while promoted; it counts between routers of one neighbouring AS only. prepend: the same \
    with this node's AS three times more in the path. The latter two matter where both nodes hold the addresses.
    """, reloadable: true)
  var standby = Standby.withdraw
  @Parameter("Seconds to go on serving after a withdrawal", "So long the routers may take to tell each other; at most 10.", reloadable: true)
  var withdrawWait = 1
  @Parameter(
    "Whether every neighbour needs BFD", "One without a BFD session that is up is a risk then: it would notice a dead node only when its hold time is over.", reloadable: true)
  var requireBfd = false
  @Parameter("BIRD's control socket, or the folder of FRR's", "Unset, /run/bird/bird.ctl or /run/frr.", reloadable: true) var control: AbsolutePath? = nil
  @Parameter(
    "The file that BIRD includes", "Written by this agent alone. BIRD's configuration has include \"/run/vpnha-bird.conf\"; in front of its protocols.", uniqueGroup: "include")
  var include: AbsolutePath = "/run/vpnha-bird.conf"
  @Parameter(
    "The function that the file defines", "BIRD's configuration has export where vpnha(); in the channels of its neighbours. A longer path has a route map of that name and -standby in FRR.",
    uniqueGroup: "function")
  var function: FunctionName = "vpnha"

  package func checkParameters() throws(OCFError) {
    guard !prefixes.isEmpty else { throw .misconfigured("prefixes: is required") }
    if let bad = prefixes.first(where: { $0.address.isNoHost || $0.address.isLoopback }) {
      throw .misconfigured("prefixes: \(bad.address) is no address that others reach")
    }
    guard minNeighbors > 0 else { throw .misconfigured("min_neighbors: expected at least 1") }
    guard neighbors.isEmpty || neighbors.count >= minNeighbors else {
      throw .misconfigured("min_neighbors: expected at most \(neighbors.count), as many as neighbors has")
    }
    guard withdrawWait <= 10 else { throw .misconfigured("withdraw_wait: expected at most 10, got \(withdrawWait)") }
  }

  package func checkNode(_ call: Call) throws(OCFError) {
    _ = try heading(call)
    let driver = try connect(call)
    driver.daemon.close()
  }

  /// A start goes on without neighbours, and one of a plain resource needs them and the addresses. Until our file is there, BIRD need not
  /// have it; FRR has none.
  package func foreseen(_ call: Call) throws(OCFError) -> [Risk] {
    let heading = try heading(call)
    guard daemon == .frr || heading != nil else { return [] }
    let driver = try connect(call)
    defer { driver.daemon.close() }
    if let problem = try asked(try driver.obstacle()) { throw .failed(problem) }
    let all = try chosen(driver)
    return isEnough(all.filter(\.isEstablished)) ? [] : [Risk("could not announce: \(words(all))", unfit: true)]
  }

  // MARK: - Observing

  package func observe(_ call: Call) throws(OCFError) -> ResourceState {
    guard let heading = try ownHeading(call), heading.standing != .stopped else { return .stopped }
    let isAnnouncing = heading.standing == .announcing || heading.standing == .withdrawing
    let isPromoted = isAnnouncing && call.isPromotable
    do throws(OCFError) {
      let driver = try connect(call)
      defer { driver.daemon.close() }
      try asked(try driver.daemon.checkFollowsKernel())
      if isAnnouncing {
        let risk = try announcing(heading, driver, call)
        return risk.map { .atRisk($0, promoted: isPromoted) } ?? (isPromoted ? .promoted : .running)
      }
      guard let risk = try silent(heading, driver, call) else { return .running }
      return .atRisk(risk.text, unfit: risk.isUnfit)
    } catch {
      // A standby whose daemon says nothing announces nothing that its node does not hold.
      if case .standby = heading.standing, call.request.action != .start, isAboutDaemon(error) { return .atRisk(error.reason, unfit: true) }
      return .failed(error.reason, promoted: isPromoted)
    }
  }

  package func obituary(_ call: Call) -> String? { "\(listPath(call)) is gone, or another resource's: see what wrote or removed it" }

  /// What weakens a member that announces; throws why it does not.
  private func announcing(_ heading: RouteList.Heading, _ driver: any RouteDriver, _ call: Call) throws(OCFError) -> String? {
    let isMended = try mend(heading, driver, call)
    try checkHeld(call)
    let all = try chosen(driver)
    var told = try toldNeighbours(all, driver)
    if isMended {
      // A reload may have ended the sessions, too.
      _ = try call.within(Self.patience / 2).until { () throws(OCFError) in
        told = try toldNeighbours(all, driver)
        return isEnough(all, told)
      }
    }
    guard isEnough(all, told) else { throw .failed(shortage(all, told, driver)) }
    if let silent = all.first(where: { neighbour in !told.contains(neighbour.name) }) { return "not every neighbour is told: \(why(silent, driver))" }
    return try weakness(all, driver, call)?.text
  }

  /// What weakens a standby; throws what is announced although it should not be.
  private func silent(_ heading: RouteList.Heading, _ driver: any RouteDriver, _ call: Call) throws(OCFError) -> (text: String, isUnfit: Bool)? {
    if try asked(try driver.discrepancy(heading)) != nil, let refusal = try asked(try driver.daemon.refusal()) { return ("\(refusal); what is announced ends with the address", true) }
    try mend(heading, driver, call)
    let all = try chosen(driver)
    for neighbour in all where standby == .withdraw {
      guard try isTold(neighbour, driver, any: true) else { continue }
      throw .failed("\(neighbour.name) is told of an address while this member is not promoted: \(driver.whyOpen)")
    }
    if !isEnough(all.filter(\.isEstablished)) { return ("could not announce: \(words(all))", true) }
    if let other = all.first(where: { !$0.isEstablished }) { return ("not every neighbour would be told: \(other.words)", false) }
    return try weakness(all, driver, call)
  }

  /// What is not wrong now and will be: looked at by the deeper monitor.
  private func weakness(_ all: [Neighbour], _ driver: any RouteDriver, _ call: Call) throws(OCFError) -> (text: String, isUnfit: Bool)? {
    guard call.depth >= .service else { return nil }
    if let refusal = try asked(try driver.daemon.refusal()) { return (refusal, true) }
    if let neighbour = all.first(where: { $0.keptFor != nil }), let time = neighbour.keptFor {
      return ("\(neighbour.name) keeps the route for \(time) s when this node is dead: \(driver.restartAdvice)", false)
    }
    if let rival = try asked(try driver.rival(prefixes.map(\.description))) { return (rival, false) }
    if requireBfd {
      for neighbour in all where neighbour.isEstablished {
        guard try asked(try !driver.daemon.hasBFD(neighbour)) else { continue }
        return ("\(neighbour.name) has no BFD session that is up: it notices a dead node only when its hold time is over", false)
      }
    }
    return nil
  }
}

// MARK: - Questions

extension RouteAnnouncement {
  /// How long the daemon may take for all of an action's questions; the same where a take-over waits for it.
  static let patience = Duration.seconds(4)
  static let haste = Duration.seconds(1)

  /// - Parameter patience: nil leaves it to the action.
  func connect(_ call: Call, patience: Duration? = nil) throws(OCFError) -> any RouteDriver {
    // A daemon with many routes answers late; what follows a failed demote is a stop, and what follows a failed stop is fencing.
    let usual =
      switch call.request.action {
      case .demote: Self.haste
      case .promote: Self.patience / 2
      case .stop: Self.patience * 2
      default: Self.patience
      }
    let limit = patience ?? usual
    let place = control?.description ?? daemon.control
    do throws(AnswerError) {
      switch daemon {
      case .bird: return BIRDDriver(daemon: try BIRDControl(place, on: call.host, before: call.within(limit).deadline), function: function, include: include.description)
      case .frr: return FRRDriver(daemon: try FRRControl(place, on: call.host, before: call.within(limit).deadline), routeMap: "\(function)-standby")
      }
    } catch {
      if error.kind == .absent, !call.host.files.isExecutable(daemon.program) { throw .missing(daemon.program, package: daemon.package) }
      throw explain(error)
    }
  }

  /// Who must act: the daemon belongs to the node, and a file is mended without a change to the resource.
  func explain(_ error: AnswerError) -> OCFError {
    switch error.kind {
    case .absent, .unread: .failed("\(daemon.name) does not run: systemctl start \(daemon.unit) (\(error.reason))")
    case .unanswered: .failed("\(daemon.name) hangs: \(error.reason)")
    case .malformed, .refused: .failed(error.reason)
    case .system(.notPermitted), .system(.accessDenied): .denied(error.reason)
    case .system: .failed(error.reason)
    }
  }

  private func isAboutDaemon(_ error: OCFError) -> Bool { isGone(error) || error.reason.hasPrefix("\(daemon.name) hangs") }

  func isGone(_ error: OCFError) -> Bool { error.status == .notInstalled || error.reason.hasPrefix("\(daemon.name) does not run") }

  func asked<Value>(_ body: @autoclosure () throws(AnswerError) -> Value) throws(OCFError) -> Value {
    do throws(AnswerError) { return try body() } catch { throw explain(error) }
  }

  /// Whether something was mended; throws what is not as recorded otherwise.
  ///
  /// FRR forgets what it was given when it is restarted or its file is loaded again, which administrators do as they like: to give it again is
  /// a monitor of the cluster's work, and no reason to move the service. Whoever only looks changes nothing.
  @discardableResult private func mend(_ heading: RouteList.Heading, _ driver: any RouteDriver, _ call: Call) throws(OCFError) -> Bool {
    guard let lost = try asked(try driver.discrepancy(heading)) else { return false }
    guard driver.forgets, heading.standing != .withdrawing, call.request.action == .monitor, call.request.isFromCluster, !call.request.isProbe else { throw .failed(lost) }
    if heading.standing == .announcing { try checkHeld(call) }
    if let refusal = try asked(try driver.daemon.refusal()) { throw .failed(refusal) }
    call.log.warning("\(lost); given again")
    let list = try list(heading.standing, driver, call)
    try asked(try driver.load(list, insteadOf: heading.routes))
    try write(list, call)
    return true
  }

  /// The neighbours that are meant.
  func chosen(_ driver: any RouteDriver) throws(OCFError) -> [Neighbour] {
    let names = neighbors.isEmpty ? try asked(try driver.daemon.neighbours()) : neighbors.map(\.description)
    var found: [Neighbour] = []
    for name in names { found.append(try asked(try driver.daemon.neighbour(name)) ?? Neighbour(name, state: "\(daemon.neighbourWord) of that name is not configured")) }
    // One session may carry IPv4, another one IPv6.
    return found.filter { neighbour in prefixes.isEmpty || prefixes.contains { carries(neighbour, $0.description) } }
  }

  private func carries(_ neighbour: Neighbour, _ prefix: String) -> Bool { prefix.contains(":") ? neighbour.carriesIPv6 : neighbour.carriesIPv4 }

  /// Whether every address has as many neighbours among these as it needs.
  private func isEnough(_ some: [Neighbour]) -> Bool { prefixes.allSatisfy { prefix in some.count { carries($0, prefix.description) } >= minNeighbors } }

  func isEnough(_ all: [Neighbour], _ told: Set<String>) -> Bool { isEnough(all.filter { told.contains($0.name) }) }

  /// Whether every address that it carries is told to `neighbour`; with `any`, whether one is.
  /// - Parameter former: what was announced before the parameters changed.
  private func isTold(_ neighbour: Neighbour, _ driver: any RouteDriver, any: Bool = false, former: [String] = []) throws(OCFError) -> Bool {
    guard neighbour.isEstablished else { return false }
    for prefix in prefixes.map(\.description) + former where carries(neighbour, prefix) {
      if try asked(try driver.daemon.exports(prefix, to: neighbour.name)) == any { return any }
    }
    return !any
  }

  func toldNeighbours(_ all: [Neighbour], _ driver: any RouteDriver) throws(OCFError) -> Set<String> {
    var told: Set<String> = []
    for neighbour in all where try isTold(neighbour, driver) { told.insert(neighbour.name) }
    return told
  }

  /// Whether one of the neighbours is told of one of the addresses.
  func isAnybodyTold(_ driver: any RouteDriver, _ former: [String]) throws(OCFError) -> Bool {
    for neighbour in try chosen(driver) where try isTold(neighbour, driver, any: true, former: former) { return true }
    return false
  }

  func shortage(_ all: [Neighbour], _ told: Set<String>, _ driver: any RouteDriver) -> String {
    guard !all.isEmpty else { return "nobody is told: \(daemon.name)'s configuration has no \(daemon.neighbourWord)" }
    let (count, reasons) = fewest(all, among: { told.contains($0.name) }) { why($0, driver) }
    return "\(count) of \(minNeighbors) neighbours told: \(reasons)"
  }

  /// How many of those that carry the address with the fewest are among `good`, and what is said of the others.
  private func fewest(_ all: [Neighbour], among good: (Neighbour) -> Bool, _ said: (Neighbour) -> String) -> (count: Int, reasons: String) {
    let groups = prefixes.map { prefix in (prefix: prefix, carriers: all.filter { carries($0, prefix.description) }) }
    guard let least = groups.min(by: { $0.carriers.count(where: good) < $1.carriers.count(where: good) }) else { return (0, "") }
    let reasons = least.carriers.filter { !good($0) }.map(said)
    return (least.carriers.count(where: good), (reasons.isEmpty ? ["no other \(daemon.neighbourWord) carries \(least.prefix)"] : reasons).joined(separator: "; "))
  }

  private func why(_ neighbour: Neighbour, _ driver: any RouteDriver) -> String {
    neighbour.isEstablished ? "\(neighbour.name): \(driver.whySilent)" : neighbour.words
  }

  private func words(_ all: [Neighbour]) -> String { all.isEmpty ? "\(daemon.name)'s configuration has no \(daemon.neighbourWord)" : fewest(all, among: \.isEstablished, \.words).reasons }

  /// Each address is here, with its full length: protocol direct makes a route of the network otherwise.
  func checkHeld(_ call: Call) throws(OCFError) {
    for prefix in prefixes {
      let copies = try attempt("looking for \(prefix.address)", try call.host.network.holders(of: prefix.address))
      guard let copy = copies.first else { throw .failed("\(prefix.address) is not on this node, and so it is not announced") }
      guard copies.contains(where: { $0.prefixLength == prefix.address.bits }) else {
        throw .failed("\(prefix.address) is here as \(copy): give vip cidr_netmask=\(prefix.address.bits), or \(daemon == .bird ? "BIRD announces the network" : "FRR announces nothing")")
      }
    }
  }

  // MARK: The list

  static let longestFile = 1 << 20
  static let record = "list"

  /// Where the list is: BIRD reads it, FRR has none of its own.
  func listPath(_ call: Call) -> String { daemon == .bird ? include.description : call.request.recordPath(Self.record) }

  /// What the list says of itself; nil when there is none. Throws when it is somebody else's.
  func heading(_ call: Call) throws(OCFError) -> RouteList.Heading? {
    guard let bytes = try attempt("include", try call.host.files.read(listPath(call), limit: Self.longestFile)) else { return nil }
    guard let heading = RouteList.Heading(bytes) else { throw .failed("include: \(listPath(call)) exists and was not written by this agent; name another file") }
    guard heading.standing == .stopped || heading.owner == owner(call) else { throw .failed("include: \(listPath(call)) is that of resource \(heading.owner); give each its own") }
    return heading
  }

  /// The same; a file of somebody else's is none.
  private func ownHeading(_ call: Call) throws(OCFError) -> RouteList.Heading? {
    let bytes: [UInt8]?
    do throws(SystemError) { bytes = try call.host.files.read(listPath(call), limit: Self.longestFile) } catch {
      // What is no file, or no name of one, was not written by us.
      let foreign: [Errno] = [.isADirectory, .invalidArgument, .tooManyLinks, .nameTooLong, .tooLarge]
      guard foreign.contains(error.errno) else { throw .failed("include: \(error)") }
      call.log.debug("include: \(error)")
      return nil
    }
    guard let heading = bytes.flatMap({ RouteList.Heading($0) }) else { return nil }
    return heading.owner == owner(call) ? heading : nil
  }

  func owner(_ call: Call) -> String { RouteList(.stopped, of: String(call.request.instance), []).owner }

  /// A list in that standing, for this resource.
  func list(_ standing: RouteList.Standing, _ driver: (any RouteDriver)?, _ call: Call) throws(OCFError) -> RouteList {
    let path: RouteList.Path
    switch (standing, standby) {
    case (.stopped, _), (.withdrawing, _), (.standby, .withdraw): path = .none
    case (.announcing, _): path = .short
    case (.standby, .med): path = .med(Self.standbyMED)
    case (.standby, .prepend):
      // Without the number there is no longer path, and nothing is said.
      guard let driver, let number = try chosen(driver).lazy.compactMap(\.localAS).first else { path = .none; break }
      path = .prepended([UInt32](repeating: number, count: Self.standbyHops))
    }
    return RouteList(standing, of: String(call.request.instance), prefixes, path, comparesMED: standby == .med)
  }

  static let standbyMED: UInt32 = 1000
  static let standbyHops = 3
}
