import ConntrackSync
import Host
import Ledger
import Sessions
import VICI

/// What Prometheus is told (text format 0.0.4): only what ha_cluster_exporter and node_exporter do not have.
struct Metrics {
  enum Kind: String { case gauge, counter }

  private struct Family {
    var name: String
    var kind: Kind
    var help: String
    var samples: [String] = []
  }
  private var families: [Family] = []
  /// Parts that could not be asked, with why.
  private(set) var missing: [(part: String, why: String)] = []

  /// - Parameter labels: in the order in which they are shown.
  mutating func add(_ name: String, kind: Kind = .gauge, _ help: String, labels: [(String, String)] = [], _ value: some CustomStringConvertible) {
    let shown = labels.isEmpty ? "" : "{" + labels.map { "\($0.0)=\"\(Self.escaped($0.1))\"" }.joined(separator: ",") + "}"
    let line = "vpnha_\(name)\(shown) \(value)"
    if let index = families.firstIndex(where: { $0.name == name }) {
      families[index].samples.append(line)
    } else {
      families.append(Family(name: name, kind: kind, help: help, samples: [line]))
    }
  }

  /// A part that was asked; `why` nil: it answered.
  mutating func tell(_ part: String, _ why: String? = nil) {
    if let why { missing.append((part, why)) }
    add("collected", "Whether this part could be asked: 1 or 0.", labels: [("part", part)], why == nil ? 1 : 0)
  }

  var text: String {
    families.map { "# HELP vpnha_\($0.name) \($0.help)\n# TYPE vpnha_\($0.name) \($0.kind.rawValue)\n" + $0.samples.joined(separator: "\n") + "\n" }.joined()
  }

  private static func escaped(_ text: String) -> String {
    text.map { letter -> String in
      switch letter {
      case "\\": "\\\\"
      case "\"": "\\\""
      case "\n", "\r\n": "\\n"
      default: String(letter)
      }
    }.joined()
  }
}

extension Metrics {
  /// - Parameter here: this node. What is about another node is told there, except who is online.
  mutating func add(_ status: ClusterStatus, _ configuration: ClusterConfiguration, on here: String) {
    add("service_up", "Whether some node serves as a whole: 1 or 0.", status.serving == nil ? 0 : 1)
    add("serving", "Whether this node serves.", labels: [("node", here)], status.serving == here ? 1 : 0)
    if let since = status.since { add("serving_since_seconds", "When the node that serves was promoted, in seconds since 1970.", labels: [("node", status.serving ?? "")], since.seconds) }
    if let would = status.wouldSucceed {
      add("failover_ready", "Whether the loss of the serving node would be taken over now, as vpnha status says; absent while that is not known.", would ? 1 : 0)
    }
    add("verdict", "What vpnha status says: 0 good, 1 at risk, 2 bad.", status.verdict.rawValue)
    // One sample each, however many objects it is about: what it is about changes with each of them.
    var counts: [String: Int] = [:]
    var order: [(key: String, finding: Finding)] = []
    for finding in status.findings {
      let key = "\(finding.id.rawValue) \(finding.severity.name)"
      if counts[key] == nil { order.append((key, finding)) }
      counts[key, default: 0] += 1
    }
    for (key, finding) in order {
      add("findings", "Complaints of vpnha status by ID and severity; vpnha explain ID says what each means.", labels: [("id", finding.id.rawValue), ("severity", finding.severity.name)], counts[key] ?? 0)
    }
    let attributes = configuration.attributes(of: here)
    for resource in configuration.primitives where resource.own != nil && resource.isPromotable {
      if let score = attributes[promotionScoreAttribute(of: resource.id)].flatMap({ Int($0) }) {
        add("promotion_score", "What the agent says of its fitness to serve: 100 as good as any, less after a failure or at risk.", labels: [("resource", resource.id)], score)
      }
    }
    for resource in configuration.primitives where resource.own != nil {
      add("at_risk", "Whether the resource works and needs somebody on this node.", labels: [("resource", resource.id)], attributes["vpnha-risk-\(resource.id)"]?.isEmpty == false ? 1 : 0)
    }
    for probe in configuration.own("probe") {
      if let path = attributes[probe.parameter("name") ?? "vpnha-path"] { add("path_up", "Whether this node reaches the world.", labels: [("resource", probe.id)], path == "0" ? 0 : 1) }
    }
    for conntrackd in configuration.own("conntrackd") {
      let others = configuration.nodes.filter { $0 != here }.compactMap { configuration.attributes(of: $0)["vpnha-flows-\(conntrackd.id)"]?.split(separator: " ").first.flatMap { UInt64($0) } }
      if !others.isEmpty { add("flows_promised", "Flows that the other nodes say they have; vpnha_flows{cache=\"external\"} is what of them is here.", labels: [("resource", conntrackd.id)], others.reduce(0, +)) }
    }
  }

  mutating func add(_ rows: [SessionRow]) {
    add("sessions", "L2TP sessions on this node that have an address.", rows.count { $0.inner != nil })
    add("sessions_unfinished", "L2TP sessions on this node that have no address yet.", rows.count { $0.inner == nil })
    add("sessions_orphaned", "L2TP sessions on this node whose xl2tpd is gone.", rows.count(where: \.isOrphan))
    add("sessions_carried", "L2TP sessions on this node that began on another one.", rows.count { $0.carried == true })
  }

  mutating func add(_ ledger: LedgerStatus) {
    for (standing, count) in [("own", ledger.own), ("adopted", ledger.adopted), ("held", ledger.held)] {
      add("ledger_sessions", "Sessions in the ledger: of this node, taken over by it, or of the other node and known here.", labels: [("standing", standing)], count)
    }
    add("ledger_connected", "Whether the ledgers of the two nodes hear each other.", ledger.link == "connected" ? 1 : 0)
    add("ledger_lag_seconds", "For how long changes of this node's sessions have been waiting for the other one.", ledger.lag)
    add("ledger_told_total", kind: .counter, "Clients' sessions that could not be carried on, and that were told so.", ledger.told)
    add("ledger_lost_total", kind: .counter, "Clients' sessions that could not be carried on, and whose clients could not be told.", ledger.lost)
  }

  mutating func add(_ numbers: GatewayNumbers) {
    // A series that comes and goes cannot be compared with 0.
    let (sas, children) = (["ESTABLISHED": 0, "PASSIVE": 0].merging(numbers.ikeSAs) { $1 }, ["INSTALLED": 0].merging(numbers.childSAs) { $1 })
    for (state, count) in sas.sorted(by: { $0.key < $1.key }) {
      add("ike_sas", "IKE SAs by state; PASSIVE are held for the node that serves.", labels: [("state", state)], count)
    }
    for (state, count) in children.sorted(by: { $0.key < $1.key }) { add("child_sas", "CHILD SAs by state.", labels: [("state", state)], count) }
    add("ike_half_open", "Half-open IKE SAs.", numbers.statistics.halfOpen)
    add("charon_workers", "Worker threads of charon.", numbers.statistics.workers)
    add("charon_workers_idle", "Worker threads of charon that wait for work; 0 for long means that nobody is answered.", numbers.statistics.idleWorkers)
    add("charon_jobs_queued", "Jobs that wait for a worker thread of charon.", numbers.statistics.queues.total)
  }

  mutating func add(_ flows: SyncStatistics) {
    for (cache, value) in [("internal", flows.internal.active), ("external", flows.external.active)] {
      if let value { add("flows", "Flows in conntrackd's caches: internal are this node's, external the other's.", labels: [("cache", cache)], value) }
    }
    add("sync_packets_lost_total", kind: .counter, "Messages of the other conntrackd that did not arrive.", flows.lost)
    add("sync_packets_malformed_total", kind: .counter, "Messages of the other conntrackd that could not be read.", flows.malformed)
    add("sync_errors_total", kind: .counter, "Messages between the conntrackds that could not be sent or received.", flows.sendErrors.addingReportingOverflow(flows.receiveErrors).partialValue)
    add("sync_packets_total", kind: .counter, "Messages between the conntrackds.", labels: [("direction", "sent")], flows.packetsSent)
    add("sync_packets_total", kind: .counter, "Messages between the conntrackds.", labels: [("direction", "received")], flows.packetsReceived)
  }
}
