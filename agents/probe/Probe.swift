import Daemon
import Host
import OCF
import RADIUS

/// Whether this node's way to the world works, as an attribute of the node that location rules use.
///
/// A process of ours asks all the time; running means that it lives and reports. A path that is down is no failure of this
/// resource: the attribute moves the service, and a restart would only forget what was learnt.
package struct PathProbe: ResourceAgent {
  package init() {}

  package static let about = About(
    "Reachability of what a VPN gateway depends on, as a node attribute",
    """
    A clone that watches the path and not the daemons: next hops by ICMP echo or ARP (neighbour solicitation for IPv6), trusted \
    remote IKE responders on UDP 500 and 4500, RADIUS servers by Status-Server, and the gateway's own address as the peer sees \
    it. A small resident process asks; a target is down after so many of its last so many probes, and up again only after every \
    probe was answered for a while.

    Targets of one kind stand in for each other: the path is down when all next hops, all IKE responders or all RADIUS servers \
    are, and a single one of several is only a risk. The node attribute (vpnha-path) is 1 while the path is up and \
    0 while it is down, and is not defined before enough probes were made, nor while the resource is stopped. Use it in a rule \
    that prefers a node for the promoted role unless it is 0, so that what is down for both nodes moves nothing and what is not \
    defined counts for neither:

    pcs constraint location CLONE rule role=Promoted score=1000 not_defined vpnha-path or vpnha-path gt 0

    With vip set, a second attribute (vpnha-path-vip) is 0 while this node does not hold the address, has a path, and gets no \
    answer from the address.

    A question that this node cannot put (a local filter, a source that is not here) says nothing of the path: it is a risk, and \
    the attribute stays as it is.
    """)

  package static let startsWithDefaults = false
  package static func detachedWork(for arguments: [String]) -> DetachedWork<PathProbe>? {
    Prober.isMeant(by: arguments) ? DetachedWork(for: nil) { Prober.run($0, $1) } : nil
  }

  package static let operations: [Operation] = [
    .start(timeout: 20), .stop(timeout: 20), .monitor(every: 10, timeout: 20), .reloadAgent(timeout: 30), .validateAll(timeout: 20),
    .metaData(timeout: 5),
  ]

  @Parameter("The node attribute's name", uniqueGroup: "name") var name = "vpnha-path"

  @Parameter("Next hops to ping", "Addresses that answer ICMP echo.", reloadable: true) var ping: [IPAddress] = []
  @Parameter("Seconds between two pings", reloadable: true) var pingInterval = 1
  @Parameter("Seconds a ping waits", "The packet is repeated twice within that time.", reloadable: true) var pingTimeout = 1
  @Parameter("When a pinged host is down", "So many of the last so many probes failed.", reloadable: true)
  var pingFailures = Threshold(6, of: 8)

  @Parameter(
    "Next hops to ask by ARP", "For IPv6 addresses by neighbour solicitation. Answered also by hosts that do not answer pings.",
    reloadable: true)
  var arp: [IPAddress] = []
  @Parameter(
    "The interface for ARP and link-local addresses", "The one the neighbours are on. Required with arp and for fe80:: addresses.",
    reloadable: true)
  var nic = ""
  @Parameter("Seconds between two ARP questions", reloadable: true) var arpInterval = 1
  @Parameter("Seconds an ARP question waits", "It is repeated twice within that time.", reloadable: true) var arpTimeout = 1
  @Parameter("When a neighbour is down", "So many of the last so many probes failed.", reloadable: true)
  var arpFailures = Threshold(6, of: 8)

  @Parameter(
    "Trusted remote IKE responders",
    "Addresses of other IKE daemons. They are asked with a proposal nobody has: they refuse it, which is an answer, and keep no "
      + "state. A host that refuses the port itself is reported, and proves the path.",
    reloadable: true)
  var ike: [IPAddress] = []
  @Parameter("UDP ports of IKE", "On any but 500 with the non-ESP marker.", reloadable: true)
  var ikePorts = [UDPPort(500), UDPPort(4500)]
  @Parameter("The version of IKE that the responders speak", reloadable: true) var ikeVersion = IKEVersion.two
  @Parameter("Seconds between two IKE probes", reloadable: true) var ikeInterval = 3
  @Parameter("Seconds an IKE probe waits", "It is repeated twice within that time.", reloadable: true) var ikeTimeout = 2
  @Parameter("When an IKE responder is down", "So many of the last so many probes failed.", reloadable: true)
  var ikeFailures = Threshold(4, of: 5)

  @Parameter("RADIUS servers", "Asked by Status-Server (RFC 5997), which the server has to have switched on.", reloadable: true)
  var radius: [IPAddress] = []
  @Parameter("The RADIUS servers' UDP port", reloadable: true) var radiusPort = UDPPort(1812)
  @Parameter(
    "The file with the secret shared with the RADIUS servers",
    "Required with radius. Its first line is the secret; only root may read it.", reloadable: true)
  var radiusSecretFile: AbsolutePath? = nil
  @Parameter("Seconds between two RADIUS probes", reloadable: true) var radiusInterval = 6
  @Parameter("Seconds a RADIUS probe waits", "It is repeated twice within that time.", reloadable: true) var radiusTimeout = 4
  @Parameter("When a RADIUS server is down", "So many of the last so many probes failed.", reloadable: true)
  var radiusFailures = Threshold(3, of: 4)

  @Parameter(
    "The gateway's own address",
    "Asked while this node does not hold it; the result is the attribute NAME-vip, and never part of the path's. It counts as up again after 5 seconds of answers.", reloadable: true)
  var vip: IPAddress? = nil
  @Parameter("How the gateway's address is asked", reloadable: true) var vipCheck = AddressCheck.ike
  @Parameter("Seconds between two probes of the gateway's address", reloadable: true) var vipInterval = 2
  @Parameter("Seconds such a probe waits", "It is repeated twice within that time.", reloadable: true) var vipTimeout = 2
  @Parameter("When the gateway's address counts as dead", "So many of the last so many probes failed.", reloadable: true)
  var vipFailures = Threshold(5, of: 6)

  @Parameter(
    "Seconds of answers before up", "What was down counts as up after every probe was answered for so long.", reloadable: true)
  var recovery = 30
  @Parameter(
    "Seconds the cluster waits before it acts",
    "At least. It is more where two nodes may find the same target dead further apart, so that both are weighed together.",
    reloadable: true)
  var dampen = 2
  @Parameter("The address probes come from", "Unset, the kernel chooses it for each target.", reloadable: true) var source: IPAddress? = nil

  package func checkParameters() throws(OCFError) {
    guard !groups.isEmpty else { throw .misconfigured("ping: nothing to ask: name targets with ping, arp, ike or radius") }
    guard (1...64).contains(name.utf8.count), name.first != "-", name.utf8.allSatisfy(Self.isNameByte) else {
      throw .misconfigured("name: expected up to 64 letters, digits, and any of . _ -")
    }
    for (parameter, targets) in [("ping", ping), ("arp", arp), ("ike", ike), ("radius", radius), ("vip", [vip].compactMap(\.self))] {
      // A RADIUS server may run on this node. Any other question to it cannot fail.
      if let target = targets.first(where: { $0.isNoHost || parameter != "radius" && $0.isLoopback }) {
        throw .misconfigured("\(parameter): \(target) is no other host")
      }
    }
    for (parameter, targets) in asked where targets.contains(where: { $0 == vip }) {
      throw .misconfigured("\(parameter): \(targets.first { $0 == vip }.map { "\($0)" } ?? "") is the gateway's own address: ask another host")
    }
    guard groups.joined().count <= 64 else { throw .misconfigured("ping: more than 64 targets") }
    if !arp.isEmpty, nic.isEmpty { throw .misconfigured("nic: is required with arp") }
    if nic.isEmpty, (groups.joined() + [watchedAddress].compactMap(\.self)).contains(where: \.isOnALink) {
      throw .misconfigured("nic: is required for a link-local address")
    }
    if !radius.isEmpty, radiusSecretFile == nil { throw .misconfigured("radius_secret_file: is required with radius") }
    if !ike.isEmpty, ikePorts.isEmpty { throw .misconfigured("ike_ports: expected at least one port") }
    for (kind, interval, timeout) in [
      ("ping", pingInterval, pingTimeout), ("arp", arpInterval, arpTimeout), ("ike", ikeInterval, ikeTimeout),
      ("radius", radiusInterval, radiusTimeout), ("vip", vipInterval, vipTimeout),
    ] {
      guard (1...3600).contains(interval) else { throw .misconfigured("\(kind)_interval: expected 1 to 3600 seconds") }
      guard (1...interval).contains(timeout) else {
        throw .misconfigured("\(kind)_timeout: expected 1 to \(interval) seconds (\(kind)_interval)")
      }
    }
  }

  private static func isNameByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
      UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
      true
    default: false
    }
  }

  package func checkNode(_ call: Call) throws(OCFError) {
    try prober(call).checkInstalled(call)
    if !nic.isEmpty {
      guard try call.link(named: nic) != nil else { throw .wrongHere("nic: there is no interface \(nic)") }
    }
    if !radius.isEmpty { _ = try sharedSecret(call.host) }
    for (parameter, targets) in asked {
      for target in targets where try attempt("looking for \(target)", try call.host.network.holds(target)) {
        throw .wrongHere("\(parameter): \(target) is this node's own address: ask another host")
      }
    }
  }

  /// Those who prove the path by an answer of any kind, which this node would always give itself.
  private var asked: [(parameter: String, targets: [IPAddress])] { [("ping", ping), ("arp", arp), ("ike", ike)] }

  // MARK: - Observing

  package func observe(_ call: Call) throws(OCFError) -> ResourceState {
    let prober = try prober(call)
    let process = try attempt("looking for the prober", try prober.find(call))
    guard let process else { return .stopped }
    if process.isStopped { return .failed("the prober (pid \(process.pid)) is suspended (SIGSTOP)") }
    guard let report = try report(of: process, call) else {
      return .failed("the prober (pid \(process.pid)) has not reported anything")
    }
    let age = call.host.clock.now - report.written
    guard age < Report.patience else {
      return .failed("the prober (pid \(process.pid)) hangs: its last report is \(age.components.seconds) s old")
    }
    // The cluster forgets attributes when it restarts around a running resource, and then probes.
    if call.request.isProbe, call.request.action == .monitor { publish(report, call) }
    // Outside a cluster nobody has to be told.
    let untold = call.request.nodeName == nil ? nil : report.untold.map { "cannot set the node attribute: \($0)" }
    return .working(promoted: false, ([untold].compactMap { $0 } + report.troubles).map { Risk($0) })
  }

  package func obituary(_ call: Call) -> String? {
    do throws(SystemError) {
      let report = try call.host.files.read(Report.path(for: call.request), limit: Report.limit).flatMap(Report.init)
      return report.map { "the prober (pid \($0.pid)) is gone, and no stop ended it (journalctl -t '\(call.request.type)(\(call.request.instance))')" }
    } catch { return nil }
  }

  /// The last report of exactly this prober.
  private func report(of process: Process, _ call: Call) throws(OCFError) -> Report? {
    let bytes = try attempt("reading the prober's report", try call.host.files.read(Report.path(for: call.request), limit: Report.limit))
    guard let report = bytes.flatMap(Report.init), report.isAbout(process) else { return nil }
    return report
  }

  private func publish(_ report: Report, _ call: Call) {
    for (name, value) in report.values.sorted(by: { $0.key < $1.key }) {
      do throws(SystemError) {
        try call.host.cluster.setNodeAttribute(name, to: value, dampening: .seconds(dampen))
      } catch { call.log.warning("\(error)") }
    }
  }

  // MARK: - Starting and stopping

  /// The resident process: this program, started anew with the resource's name.
  func prober(_ call: Call) throws(OCFError) -> Daemon {
    let program = try attempt("looking for this program", try call.host.processes.current().executable)
    let arguments = Prober.arguments(for: call.request)
    let environment = call.request.environment.filter { key, _ in
      ["OCF_", "HA_", "PCMK_"].contains { key.hasPrefix($0) } && !key.hasPrefix("OCF_RESKEY_trace_")
    }
    return Daemon(
      program, package: "vpnha", unit: nil, launcher: .direct, arguments: arguments,
      environment: environment.merging(["OCF_RESOURCE_TYPE": call.request.type]) { $1 },
      identifier: "'\(call.request.type)(\(call.request.instance))'",
      isOurs: { Array($0.arguments.dropFirst()) == arguments })
  }

  package func start(_ call: Call) throws(OCFError) {
    // What is there is no use, or it would not be started; its attribute is overwritten when enough is known.
    let prober = try prober(call)
    try prober.stop(call.within(.seconds(5)), grace: .seconds(1))
    try prober.start(call) { process throws(OCFError) in try report(of: process, call) != nil }
  }

  package func stop(_ call: Call) throws(OCFError) {
    try prober(call).stop(call, grace: .seconds(2))
    // Without its prober it says nothing.
    do throws(SystemError) { try call.host.files.remove(Report.path(for: call.request)) } catch { call.log.warning("\(error)") }
    for name in [name] + (vip == nil ? [] : [name + Self.addressSuffix]) {
      do throws(SystemError) {
        try call.host.cluster.setNodeAttribute(name, to: nil, dampening: .zero)
      } catch {
        // Outside a cluster there is none to delete; in one that is in trouble, fencing this node would not help.
        call.log.warning("\(error)")
      }
    }
  }

  static let addressSuffix = "-vip"
}

extension PathProbe: ReloadableAgent {
  /// The prober begins anew with the changed parameters. Its attribute stays as it is until the new one knows.
  package func reload(_ call: Call) throws(OCFError) {
    // The old one goes on where the new one could not.
    try checkNode(call)
    try start(call)
  }
}

// MARK: - The secret

extension PathProbe {
  /// The first line of a file that only root can read.
  func sharedSecret(_ host: Host) throws(OCFError) -> SharedSecret {
    guard let path = radiusSecretFile?.description else { throw .misconfigured("radius_secret_file: is required with radius") }
    return try attempt("radius_secret_file", try SharedSecret(ofFile: path, host.files))
  }
}

// MARK: - Values

enum IKEVersion: String, ParameterChoice, Sendable {
  case one = "1"
  case two = "2"
}

enum AddressCheck: String, ParameterChoice, Sendable {
  case ike, ping
}
