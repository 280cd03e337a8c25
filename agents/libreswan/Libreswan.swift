import Daemon
import Host
import OCF
import Pluto

/// pluto, libreswan's IKE daemon, where strongSwan is not wanted.
///
/// Running means: a process of our binary that answers whack. It has no warm standby: pluto takes addresses up when it starts and when it is
/// told to, and a cold start takes it a tenth of a second. So it stands in a group behind the address.
package struct Libreswan: ResourceAgent {
  package init() {}

  package static let looksAgainWhileUnfit = true
  package static let judgesFiles = true
  package static let about = About(
    "IPsec gateway: libreswan's pluto",
    """
    Runs libreswan's IKE daemon with the connections of ipsec.conf and looks after it through whack, where strongSwan is not wanted. It belongs \
    in a group behind vip: pluto listens on the address because it is there when pluto starts, which takes a tenth of a second. Stop tells every client \
    that its SAs are deleted while the address is still here, and leaves no IPsec state behind. Security associations are \
    not carried to another node: after a failure clients dial again when they notice. A node runs pluto or strongSwan's charon, not both: each takes UDP port 500 of every address.
    """)

  package static let operations: [Operation] = [
    .start(timeout: 60), .stop(timeout: 60), .monitor(every: 10, timeout: 20), .monitor(every: 60, timeout: 20, depth: .service),
    .reloadAgent(timeout: 30), .validateAll(timeout: 20), .metaData(timeout: 5),
  ]

  @Parameter("Unit that starts pluto", "Used where the launcher says so. While it runs, a runtime drop-in keeps systemd from restarting it.", uniqueGroup: "unit")
  var unit = "ipsec.service"
  @Parameter("Who starts pluto", "auto: the unit where systemd runs and has it, else the daemon itself. systemd: the unit. direct: the daemon itself.")
  var launcher = Launcher.auto
  @Parameter("pluto's program", "whack and addconn are in the same folder.") var binary: AbsolutePath = "/usr/libexec/ipsec/pluto"
  @Parameter("Connections", "The file that pluto reads when it starts. The unit of the distribution always takes its own, /etc/ipsec.conf.")
  var config: AbsolutePath = "/etc/ipsec.conf"
  @Parameter("Folder of pluto's control socket", "It is made if it is missing.", uniqueGroup: "rundir") var rundir: AbsolutePath = "/run/pluto"
  @Parameter(
    "Connections that must be loaded",
    """
    Their names in ipsec.conf; those with auto=ignore are loaded too. Empty: whichever the file loads. L2TP clients speak IKEv1, which libreswan refuses unless config setup has \
    ikev1-policy=accept.
    """, reloadable: true)
  var connections: [String] = []
  @Parameter(
    "Address of the gateway",
    """
    The floating address that clients connect to. It must be on the node when pluto starts. Security associations that end there are this resource's: what an earlier pluto left of \
    them is removed. Monitor level 10 looks whether pluto listens there and answers IKE on UDP ports 500 and 4500.
    """, reloadable: true)
  var address: IPAddress? = nil
  @Parameter(
    "Seconds to say goodbye", "How long pluto may take at a stop to tell every client, before it is killed. At most two thirds of the cluster's timeout. 0: it is killed at once, and no client is told.",
    reloadable: true)
  var drainTimeout = 10

  var socket: String { rundir.description == "/" ? "/pluto.ctl" : "\(rundir)/pluto.ctl" }

  /// pluto, whoever started it: it takes the IKE ports of all addresses, so there is one to a node.
  var daemon: Daemon {
    let arguments = ["--config", config.description, "--rundir", rundir.description, "--nofork"]
    return Daemon(binary.description, package: "libreswan", unit: unit, launcher: launcher, arguments: arguments, rehearsal: arguments + ["--stderrlog"])
  }

  package func checkParameters() throws(OCFError) {
    guard unit.hasSuffix(".service"), !unit.contains("/") else { throw .misconfigured("unit: expected the name of a service, got \"\(unit.prefix(40))\"") }
    if let bad = connections.first(where: { name in name.hasPrefix("-") || !name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "\"") } }) {
      throw .misconfigured("connections: expected names, got \"\(bad.prefix(40).description.plain)\"")
    }
    if let address, address.isNoHost || address.isLoopback { throw .misconfigured("address: \(address) is no address that others reach") }
  }

  package func judgedFiles(_ call: Call) -> [String] { [config.description, "/etc/ipsec.secrets"] }
  package func obituary(_ call: Call) -> String? { daemon.obituary(call) }

  // MARK: - Observing

  package func observe(_ call: Call) throws(OCFError) -> ResourceState {
    guard let process = try attempt("looking for pluto", try daemon.find(call)) else { return daemon.revival(call).map { .failed($0) } ?? .stopped }
    if process.isStopped { return .failed("pluto (pid \(process.pid)) is suspended (SIGSTOP)") }
    do throws(OCFError) {
      let states = try answer(process, call) { (control) throws(PlutoError) in try control.states() }
      var risks: [Risk] = states.acceptsNew ? [] : [Risk("pluto turns new clients away: \(states.halfOpen) SAs are half-open")]
      // A start is done when clients are served, not when the daemon answers.
      guard call.depth >= .service || call.request.action == .start else { return .working(promoted: false, risks) }
      risks += try served(by: process, call)
      if call.depth >= .service {
        daemon.adopt(process, call)
        if let silence = try silence(of: process, call) { risks.append(Risk(silence)) }
        // Of what a start would refuse nothing matters to a daemon that runs. The next one would not.
        do throws(OCFError) {
          try checkNode(call)
          risks += try foreseen(call).filter { risk in !risks.contains { $0.reason == risk.reason } }
        } catch { risks.append(Risk(error.reason)) }
      }
      return .working(promoted: false, risks)
    } catch { return .failed(error.reason) }
  }

  /// How long pluto may take to answer.
  private func patience(for call: Call) -> Duration {
    switch call.request.action {
    case .stop: Self.haste
    case .monitor: .seconds(5)
    default: max(.seconds(1), min(.seconds(5), (call.deadline - call.host.clock.now) / 2))
    }
  }
  /// How long a pluto that hangs is waited for where a take-over waits as well.
  static let haste = Duration.seconds(2)

  func control(_ call: Call) -> PlutoControl {
    PlutoControl(besides: binary.description, socket: socket, on: call.host, before: max(call.deadline, call.host.clock.now + .milliseconds(200)))
  }

  /// Asks pluto; a monitor asks one that is at work once more.
  func answer<Value>(_ process: Process, _ call: Call, _ ask: (PlutoControl) throws(PlutoError) -> Value) throws(OCFError) -> Value {
    do throws(PlutoError) {
      return try process.answer(within: patience(for: call), call, isSilence: { $0.kind == .unanswered }) { limited throws(PlutoError) in try ask(control(limited)) }
    } catch { throw explain(error, process) }
  }

  func explain(_ error: PlutoError, _ process: Process) -> OCFError {
    switch error.kind {
    case .unanswered: .failed("pluto (pid \(process.pid)) hangs: \(error.reason)")
    case .unread, .absent: .failed("rundir: \(error.reason)")
    case .malformed, .refused: .failed(error.reason)
    case .system(.noSuchFile): .missing(PlutoControl.whack(besides: binary.description), package: daemon.package)
    case .system(.notPermitted), .system(.accessDenied): .denied(error.reason)
    case .system: .failed(error.reason)
    }
  }
}

extension Libreswan {
  /// `sas`: clients' IKE SAs that stand.
  package func counts(_ call: Call) throws(OCFError) -> [String: UInt64] {
    guard let process = try attempt("looking for pluto", try daemon.find(call)) else { return [:] }
    return ["sas": UInt64(try answer(process, call.within(.seconds(1))) { (control) throws(PlutoError) in try control.states() }.established)]
  }
}
