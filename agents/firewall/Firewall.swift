import Daemon
import Host
import OCF

/// The gateway's own table of nftables, the same on every node.
///
/// Running means: the kernel has our table with exactly what was in it when it was loaded, and it was loaded from what the
/// parameters say now. Which table is ours the kernel knows: its comment says so, with a digest of what it was made of.
package struct Firewall: ResourceAgent, ReloadableAgent {
  package init() {}

  package static let about = About(
    "The gateway's packet filter (nftables)",
    """
    Keeps one nftables table, inet vpnha, made of the parameters: IKE and ESP for the gateway's addresses; L2TP only for \
    packets that came out of IPsec, and from this node itself; forwarding and address translation for the clients, with IPsec \
    traffic exempt. Meant as a clone: every node has the same rules before it serves. Traffic that the \
    table does not mention is accepted, and other tables are never touched. The table is replaced as a whole, in one transaction, and a monitor \
    compares what the kernel has with what was loaded, without starting a program. An address in the set draining is \
    given no new tunnel: nft add element inet vpnha draining '{ 203.0.113.50 }', for IPv6 in draining6.
    """)

  package static let operations: [Operation] = [
    .start(timeout: 20), .stop(timeout: 20), .monitor(every: 10, timeout: 20),
    .monitor(every: 60, timeout: 20, depth: .service), .reloadAgent(timeout: 20), .validateAll(timeout: 20),
    .metaData(timeout: 5),
  ]

  @Parameter(
    "The gateway's addresses", "IPv4 and IPv6 literals on which clients are served, without a prefix. Space-separated.",
    required: true, reloadable: true)
  var address: [IPAddress] = []
  @Parameter(
    "Interfaces towards the Internet",
    "New connections to clients are not let in from them. A * at the end stands for the rest of a name. Space-separated.",
    reloadable: true)
  var outside: [InterfacePattern] = []
  @Parameter(
    "Interfaces of the networks behind the gateway",
    "If given, clients reach nothing beyond these and outside (nor each other), and only from these are they reached.",
    reloadable: true)
  var inside: [InterfacePattern] = []
  @Parameter(
    "Networks the clients' addresses are from", "Such as 10.9.0.0/24. Without one nothing is said of forwarding. Space-separated.",
    reloadable: true)
  var pool: [Prefix] = []
  @Parameter("Interfaces of the clients' sessions", reloadable: true) var ppp: [InterfacePattern] = ["ppp*"]
  @Parameter(
    "Whether clients are translated on the outside interfaces", "Needs pool and outside. What leaves through IPsec is exempt.",
    reloadable: true)
  var nat = false
  @Parameter(
    "The addresses clients are translated to",
    """
    At most one of each family, or one for each of the family's networks in pool, in their order, where the node that serves one \
    address may not have the other. By default the first IPv4 address of address, so that connections outlive a take-over; IPv6 \
    is translated only to an address given here.
    """, reloadable: true)
  var natAddress: [IPAddress] = []
  @Parameter(
    "Whether to fit TCP's segments into the sessions", "Sets the MSS of new connections to what the client's interface carries.",
    reloadable: true)
  var clampMss = true
  @Parameter("The UDP port of L2TP", "The port in xl2tpd.conf.", reloadable: true) var port = UDPPort(1701)
  @Parameter(
    "A file with more rules",
    """
    In nft's language, read inside the table when it is loaded; the same on every node. Rules that it gives to the chains \
    extra_input (packets to the gateway's addresses), extra_forward (packets of clients) and extra_postrouting (before the \
    translation) come before ours. While nft refuses the file, or a parameter is wrong, the last good rules stay in force, or are loaded by a start.
    """, reloadable: true)
  var extra: AbsolutePath? = nil
  @Parameter("The table's name", "In family inet.", uniqueGroup: "table") var table: TableName = "vpnha"
  @Parameter("The nft program", reloadable: true) var binary: AbsolutePath = "/usr/sbin/nft"

  // MARK: - Checking

  @Parameter(
    "Seconds that a monitor waits for events",
    """
    The recurring monitor of check level 0 waits so long after it has found all well, and returns at once when the rules change. With an interval \
    of 1 s and a timeout of at least 20 s a failure is noticed within a tenth of a second. At most 8; 0: it does not wait.
    """, reloadable: true)
  package var watch: WatchTime = 0

  package static let judgesFiles = true
  package func judgedFiles(_ call: Call) -> [String] { extra.map { [$0.description] } ?? [] }

  package func checkParameters() throws(OCFError) {
    guard !address.isEmpty else { throw .misconfigured("address: is required") }
    if nat {
      guard !pool.isEmpty else { throw .misconfigured("nat: needs pool, the clients' networks") }
      guard !outside.isEmpty else { throw .misconfigured("nat: needs outside, the interfaces to translate on") }
      for isIPv6 in [false, true] {
        let count = translations.count { $0.isIPv6 == isIPv6 }
        guard count <= 1 || count == pool.count(where: { $0.network.isIPv6 == isIPv6 }) else {
          throw .misconfigured("nat_address: expected at most one address of each family, or one for each of its networks in pool")
        }
      }
      guard translations.contains(where: { address in pool.contains { $0.network.isIPv6 == address.isIPv6 } }) else {
        throw .misconfigured("nat_address: none of the pool's family")
      }
    }
  }

  package func checkNode(_ call: Call) throws(OCFError) {
    guard !call.request.pretendsNothingInstalled, call.host.files.isExecutable(binary.description) else {
      throw .missing(binary.description, package: "nftables")
    }
    for problem in try misnamed(call) { call.log.warning(problem) }
  }

  package func foreseen(_ call: Call) throws(OCFError) -> [Risk] {
    do throws(OCFError) {
      if let problem = problems(call) { throw .failed(problem) }
      try run(try definition(call), ["--check"], call)
      return (try blockades(call) + olderBlockades(call) + misnamed(call) + ownAddressesInPool()).map { Risk($0) }
    } catch {
      // A start has the last good rules to fall back on.
      if let found = try ourTable(call), try difference(found, call) == nil { return [Risk("\(error.reason), and the last good rules stay")] }
      guard let kept = try kept(call) else { throw error }
      try run(kept, ["--check"], call)
      return [Risk("\(error.reason), and the last good rules would be loaded")]
    }
  }

  // MARK: - Observing

  package func observe(_ call: Call) throws(OCFError) -> ResourceState {
    let isMonitor = call.request.action == .monitor
    guard let found = try ourTable(call) else {
      // Nobody but a monitor asks where it has gone.
      guard isMonitor, !call.request.isProbe, try Record.read(call)?.table == table.description else { return .stopped }
      return .failed("table inet \(table) is gone: flushed by another program")
    }
    if call.request.action == .stop { return .running }
    if let difference = try difference(found, call) { return .failed(difference) }
    var risks: [Risk] = []
    switch try outOfDate(found, call) {
    case .failed(let why, _): return .failed(why)
    case let state: risks = state?.risks ?? []
    }
    if call.depth >= .service, isMonitor { risks += try self.risks(found, call) }
    return .working(promoted: false, risks)
  }

  /// Our table; nil where there is none of its name, or one that somebody else made.
  func ourTable(_ call: Call) throws(OCFError) -> FilterTable? {
    guard let found = try anyTable(table.description, call), Mark.isOurs(found.comment), Record.owner(of: found.name, call) == nil else { return nil }
    return found
  }

  func anyTable(_ name: String, _ call: Call) throws(OCFError) -> FilterTable? {
    try attempt("looking for table inet \(name)", try call.host.packetFilter.table(named: name))
  }
}

/// What our tables say of themselves.
enum Mark {
  private static let name = "ocf:vpnha:firewall "

  static func comment(_ digest: String) -> String { name + digest }
  static func isOurs(_ comment: String) -> Bool { comment.hasPrefix(name) }
  static func digest(in comment: String) -> String { isOurs(comment) ? String(comment.dropFirst(name.count)) : "" }
}

extension Firewall {
  package func eventSources(_ call: Call) throws(OCFError) -> [EventSource] { [.packetFilter] }
}
