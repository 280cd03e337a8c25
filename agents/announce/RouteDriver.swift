import BGP
import Host
import OCF

/// Which daemon tells the routers.
enum RoutingSoftware: String, ParameterChoice {
  case bird, frr

  var name: String { self == .bird ? "BIRD" : "FRR" }
  var unit: String { rawValue }
  var program: String { self == .bird ? "/usr/sbin/bird" : "/usr/lib/frr/bgpd" }
  var package: String { self == .bird ? "bird2" : "frr" }
  var control: String { self == .bird ? "/run/bird/bird.ctl" : "/run/frr" }
  var neighbourWord: String { self == .bird ? "BGP protocol" : "BGP neighbour" }
}

/// How a daemon is made to announce a list, and what it says when it does not.
protocol RouteDriver {
  associatedtype Daemon: RoutingDaemon
  var daemon: Daemon { get }

  /// What is missing for any list to be in force; nil: nothing.
  func lack() throws(AnswerError) -> String?

  /// Why what is recorded is not what the daemon has; nil: it is.
  func discrepancy(_ heading: RouteList.Heading) throws(AnswerError) -> String?

  /// Has the daemon announce what the list says, and nothing else of ours.
  func load(_ list: RouteList, insteadOf former: [String]) throws(AnswerError)

  /// What else announces these; nil: nothing, or the daemon does not say.
  func rival(_ routes: [String]) throws(AnswerError) -> String?

  /// Whether the daemon forgets the list when it is restarted or its configuration is loaded again.
  var forgets: Bool { get }

  /// Why a neighbour with a session is told of nothing; why one is told of what this member does not announce.
  var whySilent: String { get }
  var whyOpen: String { get }
  var restartAdvice: String { get }
}

extension RouteDriver {
  /// Why no list can be in force; nil: one can.
  func obstacle() throws(AnswerError) -> String? {
    if let refusal = try daemon.refusal() { return refusal }
    return try lack()
  }
}

/// The list is in a file that BIRD's configuration includes; the caller writes it.
struct BIRDDriver: RouteDriver {
  let daemon: BIRDControl
  let function: FunctionName
  let include: String

  private func loaded() throws(AnswerError) -> String? { try daemon.constant(RouteList.constant(function)) }

  func lack() throws(AnswerError) -> String? { try loaded() == nil ? "BIRD's configuration lacks our file: add include \"\(include)\"; and export where \(function)();" : nil }

  func discrepancy(_ heading: RouteList.Heading) throws(AnswerError) -> String? {
    guard try loaded() != heading.mark else { return nil }
    return try obstacle() ?? "BIRD has another list loaded than \(include) has"
  }

  func load(_: RouteList, insteadOf _: [String]) throws(AnswerError) { try daemon.configure() }

  func rival(_: [String]) -> String? { nil }

  var forgets: Bool { false }
  var whySilent: String { "protocol direct has not found the address, or the export filter does not ask \(function)()" }
  var whyOpen: String { "its export filter does not ask \(function)()" }
  var restartAdvice: String { "set graceful restart aware (or off)" }
}

/// The list is `network` statements in bgpd's running configuration, which nobody saves. A `network` is announced while zebra has a route
/// of exactly that prefix: while an interface holds the address.
struct FRRDriver: RouteDriver {
  let daemon: FRRControl
  let routeMap: String

  func lack() -> String? { nil }

  func discrepancy(_ heading: RouteList.Heading) throws(AnswerError) -> String? {
    if heading.standing == .withdrawing { return "a withdrawal is not known to have reached FRR" }
    let wanted: FRRControl.Network
    switch heading.path {
    // What is in frr.conf is not announced without the address, and is looked for where it counts: at the neighbours.
    case .none: return nil
    case .short: wanted = FRRControl.Network(med: 0, hops: 0)
    case .med(let med): wanted = FRRControl.Network(med: med, hops: 0)
    case .prepended(let path): wanted = FRRControl.Network(med: 0, hops: path.count)
    }
    for route in heading.routes {
      let found = try daemon.network(route)
      if found != wanted { return "FRR has \(found == nil ? "lost" : "changed") network \(route), as a restart or reload of it does" }
    }
    return nil
  }

  func load(_ list: RouteList, insteadOf former: [String]) throws(AnswerError) {
    let routes = list.path == .none ? [] : list.prefixes.map(\.description)
    for route in Set(former + list.prefixes.map(\.description)).subtracting(routes).sorted() { try daemon.withdraw(route) }
    switch list.path {
    case .none, .short: break
    case .med(let med): try daemon.define(routeMap, "set metric \(med)")
    case .prepended(let path): try daemon.define(routeMap, "set as-path prepend \(path.map(String.init).joined(separator: " "))")
    }
    for route in routes { try daemon.announce(route, through: list.path == .short ? nil : routeMap) }
    if list.path == .none || list.path == .short { try daemon.remove(routeMap) }
  }

  func rival(_ routes: [String]) throws(AnswerError) -> String? {
    for route in routes where try daemon.redistributes(route) { return "FRR's own configuration announces \(route), too (redistribute): it cannot be withdrawn before the address goes" }
    return nil
  }

  var forgets: Bool { true }
  var whySilent: String { "zebra has not found the address, or a policy for this neighbour holds it back (bgp ebgp-requires-policy, route-map … out)" }
  var whyOpen: String { "FRR's own configuration announces it (network, redistribute)" }
  var restartAdvice: String { "take out bgp graceful-restart" }
}
