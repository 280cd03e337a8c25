import ConntrackSync
import Glibc
import Host
import JSON
import LinuxHost
import Testing
import VICI

@testable import Ledger
@testable import vpnha

/// The numbers for Prometheus, and what is made of them: rules and a dashboard.
@Suite struct MetricsTests {
  static func pair(_ changes: [(String, String)], on node: String = "moon") throws -> Metrics {
    var metrics = Metrics()
    metrics.add(try StatusTests.status(changes), try ClusterConfiguration(Array(try Pair.cib(changes).utf8)), on: node)
    return metrics
  }

  @Test func aHealthyPair() throws {
    let text = try Self.pair([]).text
    let lines = text.split(separator: "\n")
    for line in [
      "vpnha_service_up 1", "vpnha_serving{node=\"moon\"} 1", "vpnha_failover_ready 1", "vpnha_verdict 0", "vpnha_promotion_score{resource=\"xl2tpd\"} 100",
      "vpnha_at_risk{resource=\"xl2tpd\"} 0", "vpnha_path_up{resource=\"path\"} 1", "# TYPE vpnha_serving gauge",
    ] { #expect(lines.contains(Substring(line)), "\(line)\n\(text)") }
    #expect(!text.contains("vpnha_findings"))
    let other = try Self.pair([], on: "sun").text
    #expect(other.contains("vpnha_serving{node=\"sun\"} 0\n"))
  }

  @Test func aRisk() throws {
    let text = try Self.pair(
      [Pair.attribute("sun", "master-xl2tpd", "50"), Pair.attribute("sun", "vpnha-risk-xl2tpd", "2026-11-28T09:05:00Z the pools overlap"), Pair.attribute("sun", "vpnha-path", "0")], on: "sun"
    ).text
    for line in ["vpnha_at_risk{resource=\"xl2tpd\"} 1", "vpnha_path_up{resource=\"path\"} 0", "vpnha_findings{id=\"RISK1\",severity=\"risk\"} 1", "vpnha_promotion_score{resource=\"xl2tpd\"} 50"] {
      #expect(text.contains("\n\(line)\n"), "\(line)\n\(text)")
    }
  }

  @Test func daemons() throws {
    var metrics = Metrics()
    metrics.add([SessionRow(SessionReportTests.alice, on: "moon", carried: true), SessionRow(SessionReportTests.starting, on: "moon", carried: nil)])
    metrics.add(try SyncStatistics("cache internal:\ncurrent active connections:\t\t          12\n\ncache external:\ncurrent active connections:\t\t          11\n\nmessage tracking:\n                   0 Malformed msgs                    3 Lost msgs\n"))
    metrics.add(try #require(LedgerStatus(["role promoted", "own 3", "adopted 1", "held 7", "told 5", "lost 2", "lag 9", "link silent", "x"])))
    metrics.tell("charon", "it is not there")
    for line in [
      "vpnha_sessions 1", "vpnha_sessions_unfinished 1", "vpnha_sessions_orphaned 1", "vpnha_sessions_carried 1", "vpnha_flows{cache=\"internal\"} 12", "vpnha_flows{cache=\"external\"} 11",
      "vpnha_ledger_sessions{standing=\"own\"} 3", "vpnha_ledger_sessions{standing=\"adopted\"} 1", "vpnha_ledger_sessions{standing=\"held\"} 7", "vpnha_ledger_connected 0",
      "vpnha_ledger_lag_seconds 9", "vpnha_ledger_told_total 5", "vpnha_ledger_lost_total 2", "vpnha_sync_packets_lost_total 3", "# TYPE vpnha_sync_packets_lost_total counter", "vpnha_collected{part=\"charon\"} 0",
    ] { #expect(metrics.text.contains("\(line)\n"), "\(line)\n\(metrics.text)") }
  }

  /// Values of labels come from a configuration that anybody may have written.
  @Test func labelsAreEscaped() {
    var metrics = Metrics()
    metrics.add("at_risk", "Help.", labels: [("resource", "a\"b\\c\nd")], 1)
    #expect(metrics.text == "# HELP vpnha_at_risk Help.\n# TYPE vpnha_at_risk gauge\nvpnha_at_risk{resource=\"a\\\"b\\\\c\\nd\"} 1\n")
  }

  /// Every name that rules and dashboard use is one that is told.
  @Test(arguments: ["Packaging/examples/prometheus/vpnha.rules.yml", "Packaging/examples/grafana/vpnha.json"]) func namesAreKnown(_ file: String) throws {
    let text = try ArchitectureTests.text(file)
    let sources = try ["Metrics", "MetricsCommand"].map { try ArchitectureTests.text("Sources/vpnha/\($0).swift") }.joined()
    let names = Set(text.matches(of: /vpnha_([a-z_]+)/).map { String($0.output.1) })
    #expect(names.count > 8)
    for name in names { #expect(sources.contains("add(\"\(name)\""), "\(name)") }
    if file.hasSuffix("json") {
      let dashboard = try #require(JSONValue(text.utf8))
      #expect(dashboard["uid"]?.string == "vpnha" && (dashboard["panels"]?.elements.count ?? 0) > 10)
    }
  }

  static let tool: String? = ["/usr/bin/promtool"].first { access($0, X_OK) == 0 }

  @Test("promtool accepts the rules, and has nothing to say about the numbers", .enabled(if: tool != nil, "promtool is missing: Packaging/dependencies test"))
  func promtool() throws {
    let promtool = try #require(Self.tool)
    func ask(_ arguments: [String], _ input: String = "") throws -> CommandResult {
      try LinuxProcesses().run(Command(promtool, arguments, input: Array(input.utf8)), before: LinuxClock().now + .seconds(30))
    }
    let rules = try ask(["check", "rules", "\(ArchitectureTests.root)/Packaging/examples/prometheus/vpnha.rules.yml"])
    #expect(rules.succeeded, "\(String(decoding: rules.output + rules.error, as: UTF8.self))")
    var metrics = try Self.pair([Pair.attribute("sun", "vpnha-path", "0")])
    metrics.add([SessionRow(SessionReportTests.alice, on: "moon", carried: true)])
    metrics.add(try SyncStatistics("cache external:\ncurrent active connections:\t\t          11\n"))
    metrics.tell("charon", nil)
    let numbers = try ask(["check", "metrics"], metrics.text)
    #expect(numbers.succeeded && numbers.error.isEmpty, "\(String(decoding: numbers.output + numbers.error, as: UTF8.self))")
  }
}
