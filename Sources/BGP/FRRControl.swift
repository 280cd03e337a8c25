import Host
import JSON

/// A conversation with FRR's bgpd, and with zebra, from which bgpd has the addresses.
public final class FRRControl: RoutingDaemon {
  private let folder: String
  private let host: Host
  private let deadline: Instant
  private let bgpd: VTY
  private var zebra: VTY?

  /// - Parameters:
  ///   - folder: where FRR's sockets are, `/run/frr`.
  ///   - deadline: for all of the conversation.
  public init(_ folder: String, on host: Host, before deadline: Instant) throws(FRRError) {
    (self.folder, self.host, self.deadline) = (folder, host, deadline)
    bgpd = try VTY("bgpd", in: folder, on: host, before: deadline)
  }

  public func close() {
    bgpd.close()
    zebra?.close()
  }

  /// Whether zebra answers and has bgpd for a client: else bgpd goes on announcing what has gone.
  public func checkFollowsKernel() throws(FRRError) {
    if zebra == nil { zebra = try VTY("zebra", in: folder, on: host, before: deadline) }
    guard let clients = try zebra?.ask("show zebra client summary"), clients.text.split(whereSeparator: \.isNewline).contains(where: { $0.hasPrefix("bgp ") }) else {
      throw FRRError(kind: .unanswered, reason: "bgpd has no connection to zebra: systemctl restart frr")
    }
  }

  /// Without the import check a `network` is announced wherever it is configured.
  ///
  /// Equivalent to: `vtysh -c 'show running-config bgpd'`. What is on by default is not in it.
  public func refusal() throws(FRRError) -> String? {
    guard let ours = try localAS() else { return Self.noNeighbour }
    var isOurs = false
    for line in try bgpd.ask("show running-config | include ^router bgp|^ no bgp network import-check").text.split(whereSeparator: \.isNewline) {
      let words = line.split(separator: " ")
      if words.first == "router" { isOurs = words.dropFirst(2) == [ours[...]] } else if isOurs { return Self.noImportCheck }
    }
    return nil
  }

  static let noImportCheck = "FRR's configuration has no bgp network import-check: what is announced would outlive the address; take it out"
  static let noNeighbour = "FRR's configuration has no BGP neighbour"

  private func json(_ question: String) throws(FRRError) -> JSONValue {
    let answer = try bgpd.ask(question)
    // 1 is a warning: what was asked for is not there.
    guard answer.status <= 1 else { throw FRRError(kind: .refused(Int(answer.status)), reason: "bgpd refuses \(question): \(String(answer.text.plain.prefix(300)))") }
    guard let value = JSONValue(answer.text.utf8) else { throw .malformed(of: "bgpd", "no JSON to \(question)") }
    return value
  }

  /// Equivalent to: `vtysh -c 'show bgp summary json'`: for each family that has neighbours.
  private func summary() throws(FRRError) -> [JSONValue] {
    guard case .object(let families) = try json("show bgp summary json") else { return [] }
    return families.map(\.1)
  }

  /// The number of this node's AS, as commands have it; nil without a neighbour.
  public func localAS() throws(FRRError) -> String? {
    guard let name = try summary().lazy.compactMap({ $0["as"]?.literal }).first else { return nil }
    // 65001, or 1.10 where the configuration wants it so.
    guard !name.isEmpty, name.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == UInt8(ascii: ".") }) else { throw .malformed(of: "bgpd", "no number of an AS") }
    return name
  }

  public func neighbours() throws(FRRError) -> [String] {
    var names: [String] = []
    for case .object(let peers)? in try summary().map({ $0["peers"] }) {
      for (name, _) in peers where !names.contains(name) && name.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) { names.append(name) }
    }
    return names
  }

  /// Equivalent to: `vtysh -c 'show bgp neighbors NAME json'`.
  public func neighbour(_ name: String) throws(FRRError) -> Neighbour? { Neighbour(name, try json("show bgp neighbors \(name) json")) }

  private func route(_ prefix: String) throws(FRRError) -> JSONValue { try json("show bgp \(prefix.contains(":") ? "ipv6" : "ipv4") unicast \(prefix) json") }

  /// Equivalent to: `vtysh -c 'show bgp ipv4 unicast PREFIX json'`.
  public func exports(_ prefix: String, to name: String) throws(FRRError) -> Bool { try route(prefix)["advertisedTo"]?[name] != nil }

  public func hasBFD(_ neighbour: Neighbour) -> Bool { neighbour.isBFDUp }
}

// MARK: - What this node announces

extension FRRControl {
  /// A `network` of this node, as it came out of its route map.
  public struct Network: Equatable, Sendable {
    public var med: UInt32
    /// How many ASes were set in front.
    public var hops: Int
    public init(med: UInt32, hops: Int) { (self.med, self.hops) = (med, hops) }
  }

  /// What bgpd has as a `network` statement, whether or not it is announced; nil: there is none.
  public func network(_ prefix: String) throws(FRRError) -> Network? {
    // What is redistributed has the origin "incomplete".
    let ours = try route(prefix)["paths"]?.elements.first { $0["sourced"]?.bool == true && $0["origin"]?.string == "IGP" }
    return ours.map { Network(med: $0["metric"]?.integer.flatMap(UInt32.init(exactly:)) ?? 0, hops: $0["aspath"]?["length"]?.integer.flatMap(Int.init(exactly:)) ?? 0) }
  }

  /// Whether bgpd has the route from its own node in another way, as by `redistribute connected`.
  public func redistributes(_ prefix: String) throws(FRRError) -> Bool {
    try route(prefix)["paths"]?.elements.contains { $0["sourced"]?.bool == true && $0["origin"]?.string == "incomplete" } == true
  }

  /// Announces `prefix`, as long as an interface has it, in place of what is announced of it now. It is not written to a file.
  ///
  /// Equivalent to: `vtysh -c 'configure terminal' -c 'router bgp AS' -c 'address-family ipv4 unicast' -c 'network PREFIX'`.
  public func announce(_ prefix: String, through routeMap: String? = nil) throws(FRRError) { try inFamily(of: prefix, "network \(prefix)\(routeMap.map { " route-map \($0)" } ?? "")") }

  /// Announces it no more. That there is nothing to take back is no error.
  public func withdraw(_ prefix: String) throws(FRRError) {
    do throws(FRRError) { try inFamily(of: prefix, "no network \(prefix)") } catch {
      guard case .refused = error.kind else { throw error }
      // One that was taken back a moment ago is shown until bgpd has come to it.
      let isGone = try host.until(before: min(deadline, host.clock.now + .seconds(1))) { () throws(FRRError) in try network(prefix) == nil }
      if !isGone { throw error }
    }
  }

  private func inFamily(of prefix: String, _ command: String) throws(FRRError) {
    guard let ours = try localAS() else { throw FRRError(kind: .refused(1), reason: Self.noNeighbour) }
    try configure(["router bgp \(ours)", "address-family \(prefix.contains(":") ? "ipv6" : "ipv4") unicast", command])
  }

  /// Defines a route map that sets `clause` of every route, in place of one that was there.
  public func define(_ routeMap: String, _ clause: String) throws(FRRError) {
    try remove(routeMap)
    try configure(["route-map \(routeMap) permit 10", clause])
  }

  /// That there is none is no error.
  public func remove(_ routeMap: String) throws(FRRError) {
    do throws(FRRError) { try configure(["no route-map \(routeMap)"]) } catch {
      guard case .refused = error.kind else { throw error }
    }
  }

  private func configure(_ commands: [String]) throws(FRRError) {
    try bgpd.command("configure terminal")
    do throws(FRRError) { for command in commands { try bgpd.command(command) } } catch {
      if case .refused = error.kind { try bgpd.command("end") }
      throw error
    }
    try bgpd.command("end")
  }
}

extension Neighbour {
  /// Of the answer to `show bgp neighbors NAME json`; nil when it tells of no such neighbour.
  init?(_ name: String, _ answer: JSONValue) {
    guard let peer = answer[name], let state = peer["bgpState"]?.string else { return nil }
    self.init(name, state: state.plain)
    address = IPAddress(name)
    localAS = peer["localAs"]?.integer.flatMap(UInt32.init(exactly:))
    if let reason = peer["lastResetDueTo"]?.string, !isEstablished { lastError = String(reason.plain.prefix(100)) }
    // "Restart", or "Restart*" where it is inherited. As a helper it heeds that of others.
    if let restart = peer["gracefulRestartInfo"], restart["localGrMode"]?.string?.hasPrefix("Restart") == true {
      keptFor = restart["timers"]?["configuredRestartTimer"]?.integer.flatMap(Int.init(exactly:)) ?? 120
    }
    if let families = peer["addressFamilyInfo"] { (carriesIPv4, carriesIPv6) = (families["ipv4Unicast"] != nil, families["ipv6Unicast"] != nil) }
    isBFDUp = peer["peerBfdInfo"]?["status"]?.string == "Up"
  }
}

extension JSONValue {
  /// A number or a text, as it is written.
  fileprivate var literal: String? {
    switch self {
    case .number(let text), .string(let text): text
    default: nil
    }
  }
}
