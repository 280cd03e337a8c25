import BIRD
import Daemon
import Host
import OCF

/// Routers are told that the gateway's address is here, by BIRD, which runs by itself on every node.
///
/// Running means: BIRD has loaded our list, which is silent (or names a longer path). Promoted: the list is open, the kernel
/// holds the addresses, and enough neighbours are told. What BIRD answers counts, not what is in the file.
package struct RouteAnnouncement: ResourceAgent, ReloadableAgent {
  package init() {}

  package static let about = About(
    "The gateway's address, announced to routers by BGP (BIRD 2)",
    """
    Tells BIRD which of this node's addresses it may announce: a function in a file that BIRD's configuration includes and its export \
    filters ask. Only what BIRD's protocol direct has found on an interface is announced, so that no announcement outlives its address. \
    BIRD itself runs all the time on every node; protocols are never enabled or disabled, because the next reload would \
    undo that. The address is withdrawn before it goes, while the node still serves. Meant as a promotable clone that follows the \
    VPN's, with vip's cidr_netmask=32. A BIRD that is gone, or no neighbour at all, fails the promoted member; fewer neighbours than there are, graceful \
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
  @Parameter(
    "Neighbours that are told", "Names of BGP protocols in BIRD's configuration; all of them when empty. Space-separated.", reloadable: true)
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
  @Parameter("BIRD's control socket", reloadable: true) var control: AbsolutePath = "/run/bird/bird.ctl"
  @Parameter(
    "The file that BIRD includes", "Written by this agent alone. BIRD's configuration has include \"/run/vpnha-bird.conf\"; in front of its protocols.", uniqueGroup: "include")
  var include: AbsolutePath = "/run/vpnha-bird.conf"
  @Parameter("The function that the file defines", "BIRD's configuration has export where vpnha(); in the channels of its neighbours.", uniqueGroup: "function")
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
    let bird = try connect(call)
    bird.close()
  }

  /// A start goes on without neighbours, and one of a plain resource needs them and the addresses. Until our file is there, BIRD need not
  /// have it.
  package func foreseen(_ call: Call) throws(OCFError) -> [Risk] {
    guard try heading(call) != nil else { return [] }
    let bird = try connect(call)
    defer { bird.close() }
    if let refusal = try refusal(bird) { throw .failed(refusal) }
    guard try loaded(bird) != nil else { throw .failed(lacksOurs) }
    let all = try chosen(bird)
    let established = all.filter(\.isEstablished)
    return established.count >= minNeighbors ? [] : [Risk("could not announce: \(words(all))", unfit: true)]
  }

  // MARK: - Observing

  package func observe(_ call: Call) throws(OCFError) -> ResourceState {
    guard let heading = try ownHeading(call), heading.standing != .stopped else { return .stopped }
    let isAnnouncing = heading.standing == .announcing || heading.standing == .withdrawing
    let isPromoted = isAnnouncing && call.isPromotable
    do throws(OCFError) {
      let bird = try connect(call)
      defer { bird.close() }
      if isAnnouncing {
        let risk = try announcing(heading, bird, call)
        return risk.map { .atRisk($0, promoted: isPromoted) } ?? (isPromoted ? .promoted : .running)
      }
      guard let risk = try silent(heading, bird, call) else { return .running }
      return .atRisk(risk.text, unfit: risk.isUnfit)
    } catch {
      // A standby whose BIRD says nothing announces nothing that its node does not hold.
      if case .standby = heading.standing, call.request.action != .start, isAboutBIRD(error) { return .atRisk(error.reason, unfit: true) }
      return .failed(error.reason, promoted: isPromoted)
    }
  }

  package func obituary(_ call: Call) -> String? { "\(include) is gone, or another resource's: see what wrote or removed it" }

  /// What weakens a member that announces; throws why it does not.
  private func announcing(_ heading: RouteList.Heading, _ bird: BIRDControl, _ call: Call) throws(OCFError) -> String? {
    guard try loaded(bird) == heading.mark else { throw .failed(try whyNotLoaded(bird)) }
    try checkHeld(call)
    let all = try chosen(bird)
    let told = try toldNeighbours(all, bird)
    guard told.count >= minNeighbors else { throw .failed(shortage(all, told)) }
    if let silent = all.first(where: { neighbour in !told.contains(neighbour.name) }) { return "not every neighbour is told: \(why(silent))" }
    return try weakness(all, bird, call)?.text
  }

  /// What weakens a standby; throws what is announced although it should not be.
  private func silent(_ heading: RouteList.Heading, _ bird: BIRDControl, _ call: Call) throws(OCFError) -> (text: String, isUnfit: Bool)? {
    guard try loaded(bird) == heading.mark else {
      if let refusal = try refusal(bird) { return ("\(refusal); what is announced ends with the address", true) }
      throw .failed(try whyNotLoaded(bird))
    }
    let all = try chosen(bird)
    for neighbour in all where standby == .withdraw {
      guard try isTold(neighbour, bird, any: true) else { continue }
      throw .failed("\(neighbour.name) is told of an address while this member is not promoted: its export filter does not ask \(function)()")
    }
    let established = all.filter(\.isEstablished)
    if established.count < minNeighbors { return ("could not announce: \(words(all))", true) }
    if let other = all.first(where: { !$0.isEstablished }) { return ("not every neighbour would be told: \(other.words)", false) }
    return try weakness(all, bird, call)
  }

  /// What is not wrong now and will be: looked at by the deeper monitor.
  private func weakness(_ all: [Neighbour], _ bird: BIRDControl, _ call: Call) throws(OCFError) -> (text: String, isUnfit: Bool)? {
    guard call.depth >= .service else { return nil }
    if let refusal = try refusal(bird) { return (refusal, true) }
    if let neighbour = all.first(where: { $0.keptFor != nil }), let time = neighbour.keptFor {
      return ("\(neighbour.name) keeps the route for \(time) s when this node is dead: set graceful restart aware (or off)", false)
    }
    if requireBfd {
      let live = try asked(try bird.liveBFDSessions())
      if let neighbour = all.first(where: { $0.isEstablished && !($0.address.map(live.contains) ?? false) }) {
        return ("\(neighbour.name) has no BFD session that is up: it notices a dead node only when its hold time is over", false)
      }
    }
    return nil
  }
}

// MARK: - Questions

extension RouteAnnouncement {
  /// How long BIRD may take for all of an action's questions; the same where a take-over waits for it.
  static let patience = Duration.seconds(4)
  static let haste = Duration.seconds(1)

  /// - Parameter patience: nil leaves it to the action.
  func connect(_ call: Call, patience: Duration? = nil) throws(OCFError) -> BIRDControl {
    // A BIRD with many routes answers late; what follows a failed demote is a stop, and what follows a failed stop is fencing.
    let usual =
      switch call.request.action {
      case .demote: Self.haste
      case .promote: Self.patience / 2
      case .stop: Self.patience * 2
      default: Self.patience
      }
    let limit = patience ?? usual
    do throws(BIRDError) { return try BIRDControl(control.description, on: call.host, before: call.within(limit).deadline) } catch {
      if error.kind == .absent, !call.host.files.isExecutable(Self.program) { throw .missing(Self.program, package: "bird2") }
      throw explain(error)
    }
  }

  static let program = "/usr/sbin/bird"

  /// Who must act: BIRD belongs to the node, and a file is mended without a change to the resource.
  private func explain(_ error: BIRDError) -> OCFError {
    switch error.kind {
    case .absent, .unread: .failed("BIRD does not run: systemctl start bird (\(error.reason))")
    case .unanswered: .failed("BIRD hangs: \(error.reason)")
    case .malformed, .refused: .failed(error.reason)
    case .system(.notPermitted), .system(.accessDenied): .denied(error.reason)
    case .system: .failed(error.reason)
    }
  }

  private func isAboutBIRD(_ error: OCFError) -> Bool { error.status == .notInstalled || error.reason.hasPrefix("BIRD does not run") || error.reason.hasPrefix("BIRD hangs") }

  func asked<Value>(_ body: @autoclosure () throws(BIRDError) -> Value) throws(OCFError) -> Value {
    do throws(BIRDError) { return try body() } catch { throw explain(error) }
  }

  func loaded(_ bird: BIRDControl) throws(OCFError) -> String? { try asked(try bird.constant(RouteList.constant(function))) }

  /// Why BIRD does not take the configuration; nil: it would.
  func refusal(_ bird: BIRDControl) throws(OCFError) -> String? {
    do throws(BIRDError) {
      try bird.checkConfiguration()
      return nil
    } catch {
      if case .refused = error.kind { return error.reason }
      throw explain(error)
    }
  }

  var lacksOurs: String { "BIRD's configuration lacks our file: add include \"\(include)\"; and export where \(function)();" }

  private func whyNotLoaded(_ bird: BIRDControl) throws(OCFError) -> String {
    if let refusal = try refusal(bird) { return refusal }
    guard try loaded(bird) != nil else { return lacksOurs }
    return "BIRD has another list loaded than \(include) has"
  }

  /// The neighbours that are meant.
  func chosen(_ bird: BIRDControl) throws(OCFError) -> [Neighbour] {
    let names = neighbors.isEmpty ? try asked(try bird.neighbours()) : neighbors.map(\.description)
    var found: [Neighbour] = []
    for name in names { found.append(try asked(try bird.neighbour(name)) ?? Neighbour(name, state: "no BGP protocol of that name")) }
    return found
  }

  /// Whether every address is told to `neighbour`; with `any`, whether one is.
  private func isTold(_ neighbour: Neighbour, _ bird: BIRDControl, any: Bool = false) throws(OCFError) -> Bool {
    guard neighbour.isEstablished else { return false }
    for prefix in prefixes where try asked(try bird.exports(prefix.description, to: neighbour.name)) == any { return any }
    return !any
  }

  func toldNeighbours(_ all: [Neighbour], _ bird: BIRDControl) throws(OCFError) -> Set<String> {
    var told: Set<String> = []
    for neighbour in all where try isTold(neighbour, bird) { told.insert(neighbour.name) }
    return told
  }

  /// Whether one of the neighbours is told of one of the addresses.
  func isAnybodyTold(_ bird: BIRDControl) throws(OCFError) -> Bool {
    for neighbour in try chosen(bird) where try isTold(neighbour, bird, any: true) { return true }
    return false
  }

  func shortage(_ all: [Neighbour], _ told: Set<String>) -> String {
    guard !all.isEmpty else { return "nobody is told: BIRD's configuration has no BGP protocol" }
    let silent = all.filter { !told.contains($0.name) }
    return "\(told.count) of \(minNeighbors) neighbours told: \(silent.map(why).joined(separator: "; "))"
  }

  private func why(_ neighbour: Neighbour) -> String {
    neighbour.isEstablished ? "\(neighbour.name): protocol direct has not found the address, or the export filter does not ask \(function)()" : neighbour.words
  }

  private func words(_ all: [Neighbour]) -> String { all.isEmpty ? "BIRD's configuration has no BGP protocol" : all.filter { !$0.isEstablished }.map(\.words).joined(separator: "; ") }

  /// Each address is here, with its full length: protocol direct makes a route of the network otherwise.
  func checkHeld(_ call: Call) throws(OCFError) {
    for prefix in prefixes {
      let copies = try attempt("looking for \(prefix.address)", try call.host.network.holders(of: prefix.address))
      guard let copy = copies.first else { throw .failed("\(prefix.address) is not on this node, and so it is not announced") }
      guard copies.contains(where: { $0.prefixLength == prefix.address.bits }) else {
        throw .failed("\(prefix.address) is here as \(copy): give vip cidr_netmask=\(prefix.address.bits), or BIRD announces the network")
      }
    }
  }

  // MARK: The file

  static let longestFile = 1 << 20

  /// What the file says of itself; nil when there is none. Throws when it is somebody else's.
  func heading(_ call: Call) throws(OCFError) -> RouteList.Heading? {
    guard let bytes = try attempt("include", try call.host.files.read(include.description, limit: Self.longestFile)) else { return nil }
    guard let heading = RouteList.Heading(bytes) else { throw .failed("include: \(include) exists and was not written by this agent; name another file") }
    guard heading.standing == .stopped || heading.owner == owner(call) else { throw .failed("include: \(include) is that of resource \(heading.owner); give each its own") }
    return heading
  }

  /// The same; a file of somebody else's is none.
  private func ownHeading(_ call: Call) throws(OCFError) -> RouteList.Heading? {
    let bytes: [UInt8]?
    do throws(SystemError) { bytes = try call.host.files.read(include.description, limit: Self.longestFile) } catch {
      // What is no file, or no name of one, was not written by us.
      let foreign: [Errno] = [.isADirectory, .invalidArgument, .tooManyLinks, .nameTooLong, .tooLarge]
      guard foreign.contains(error.errno) else { throw .failed("include: \(error)") }
      call.log.debug("include: \(error)")
      return nil
    }
    guard let heading = bytes.flatMap({ RouteList.Heading($0) }) else { return nil }
    return heading.owner == owner(call) ? heading : nil
  }

  func owner(_ call: Call) -> String { list(.stopped, owner: String(call.request.instance), localAS: nil).owner }
}
