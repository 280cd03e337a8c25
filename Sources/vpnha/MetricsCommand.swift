import ArgumentParser
import ConntrackSync
import Glibc
import Host
import Ledger
import LinuxHost
import OCF
import OCFMetadata
import Sessions
import VICI

struct MetricsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "metrics",
    abstract: "Print numbers of this node and of the service for Prometheus.",
    discussion: """
      For node_exporter's textfile collector; the package has vpnha-metrics.timer for it, which is not enabled. What cannot be asked \
      is left out, and vpnha_collected says so: the numbers are worth something with Pacemaker down as well. Exits with 0 when it \
      could be written, 3 when it could not.
      """)

  @Option(help: ArgumentHelp("Replace this file, in one step, in place of printing.", valueName: "file"), completion: .file(extensions: ["prom"]))
  var textfile: String?
  @Option(help: ArgumentHelp("charon's VICI socket, where the cluster does not say.", valueName: "file"))
  var vici = "/run/charon.vici"
  @Option(help: ArgumentHelp("conntrackd's configuration, where the cluster does not say.", valueName: "file"))
  var conntrackd = "/etc/conntrackd/conntrackd.conf"

  func validate() throws {
    if let textfile, !textfile.hasPrefix("/") || textfile.hasSuffix("/") { throw ValidationError("--textfile: expected an absolute path, got \"\(textfile)\"") }
  }

  func run() throws {
    guard geteuid() == 0 else {
      warn("metrics: only root may ask the daemons")
      throw ExitCode(Verdict.unknown.rawValue)
    }
    let host = Host.silent
    let metrics = collect(host)
    for part in metrics.missing { warn("\(part.part): \(part.why)") }
    guard let textfile else { return print(metrics.text, terminator: "") }
    // The collector reads it as another user.
    do { try host.files.replace(textfile, with: Array(metrics.text.utf8), mode: 0o644) } catch {
      warn("\(error)")
      throw ExitCode(Verdict.unknown.rawValue)
    }
  }

  func collect(_ host: Host) -> Metrics {
    var metrics = Metrics()
    metrics.add("info", "The version of vpnha.", labels: [("version", agentVersion)], 1)
    let tools = PacemakerTools(host)
    var (vici, conntrackd) = (vici, conntrackd)
    let cluster: Result<ClusterConfiguration, SystemError>
    do throws(SystemError) { cluster = .success(try ClusterConfiguration(tools.configuration())) } catch { cluster = .failure(error) }
    do throws(SystemError) {
      let configuration = try cluster.get()
      metrics.add(try tools.status(), configuration, on: hostName())
      vici = configuration.own("strongswan").first?.parameter("vici") ?? vici
      conntrackd = configuration.own("conntrackd").first?.parameter("config") ?? conntrackd
      metrics.tell("cluster")
    } catch { metrics.tell("cluster", "\(error)") }
    do throws(SystemError) {
      let sessions = try SessionInventory().sessions(on: host)
      let carried = CarriedSessions(on: host)
      metrics.add(sessions.map { SessionRow($0, on: hostName(), carried: carried.isCarried($0)) })
      metrics.tell("sessions")
    } catch { metrics.tell("sessions", "\(error)") }
    do throws(SystemError) {
      // Where no ledger runs there is nothing to ask.
      for ledger in try LedgerControl.all(host.files) {
        if let status = LedgerStatus(try ledger.ask("status", on: host, before: host.clock.now + .seconds(2))) { metrics.add(status) }
        metrics.tell("ledger")
      }
    } catch { metrics.tell("ledger", "\(error)") }
    do throws(VICIError) {
      let charon = try Charon(at: vici, on: host, before: host.clock.now + .seconds(5))
      metrics.add(try GatewayNumbers.read(from: charon, process: 0, files: host.files))
      metrics.tell("charon")
    } catch { metrics.tell("charon", "\(error)") }
    do {
      guard let bytes = try host.files.read(conntrackd, limit: 1 << 20) else { throw SystemError("reading \(conntrackd)", .noSuchFile) }
      let socket = ConntrackSocket(try SyncConfiguration(bytes).socketPath)
      metrics.add(try socket.statistics(on: host, before: host.clock.now + .seconds(5)))
      metrics.tell("conntrackd")
    } catch { metrics.tell("conntrackd", "\(error)") }
    do throws(SystemError) {
      if let vip = try cluster.get().gatewayAddress {
        metrics.add("draining", "Whether this node takes no new clients.", try Drain(address: vip).remaining(on: host) == nil ? 0 : 1)
      }
      metrics.tell("drain")
    } catch { metrics.tell("drain", "\(error)") }
    metrics.add("collected_seconds", "When this was collected, in seconds since 1970.", host.clock.timestamp.seconds)
    return metrics
  }
}
