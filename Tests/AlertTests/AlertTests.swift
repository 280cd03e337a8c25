import Host
import HostTestKit
import Testing

@testable import vpnha_alert

@Suite struct AlertTests {
  static let failure = [
    "CRM_alert_kind": "resource", "CRM_alert_node": "moon", "CRM_alert_rsc": "xl2tpd", "CRM_alert_task": "monitor",
    "CRM_alert_rc": "1", "CRM_alert_target_rc": "8", "CRM_alert_status": "4", "CRM_alert_desc": "error", "CRM_alert_exec_time": "20",
    "CRM_alert_timestamp_epoch": "1767225600",
  ]

  /// The status as `cibadmin --xpath` shows it: an older failure of the same kind, a success, and the one that is meant.
  static func status(_ reason: String = "xl2tpd (pid 7) hangs", changed: Int = 1_767_225_599) -> String {
    """
    <lrm_resource id="xl2tpd">
      <lrm_rsc_op operation="monitor" rc-code="1" exit-reason="long ago" last-rc-change="1767000000"/>
      <lrm_rsc_op operation="start" rc-code="0" last-rc-change="1767225599"/>
      <lrm_rsc_op operation="monitor" rc-code="1" exit-reason="\(reason)" last-rc-change="\(changed)"/>
    </lrm_resource>
    """
  }

  final class World {
    let machine = InMemoryMachine()
    var entries: [[String: String]] = []

    func deliver(_ environment: [String: String]) {
      Delivery(host: machine.host) { [unowned self] in entries.append(Dictionary($0, uniquingKeysWith: { $1 })) }.deliver(environment)
    }
    func know(_ xml: String) {
      machine.processes.whenRun(ExitReason.program) { _ throws(SystemError) in CommandResult(.exited(0), output: Array(xml.utf8)) }
    }
    /// What curl ends with.
    func curl(_ result: CommandResult = CommandResult(.exited(0), output: Array("200".utf8))) {
      machine.processes.whenRun(Webhook.curl) { [unowned self] _ throws(SystemError) in
        entriesAtPost = entries.count
        return result
      }
    }
    var entriesAtPost = 0
    /// What curl was to do: the settings by name.
    var posted: [String: String] {
      let text = String(decoding: machine.processes.ran.last { $0.path == Webhook.curl }?.input ?? [], as: UTF8.self)
      return text.split(separator: "\n").reduce(into: [:]) { settings, line in
        let parts = line.split(separator: "=", maxSplits: 1).map { String($0.drop { $0 == " " }) }
        guard parts.count == 2 else { return }
        let quoted = parts[1].hasPrefix("\"") ? parts[1].dropFirst().dropLast() : parts[1][...]
        settings[String(parts[0].dropLast())] = String(quoted.replacing("\\\"", with: "\"").replacing("\\\\", with: "\\"))
      }
    }
    /// Posts that were made.
    var posts: Int { machine.processes.ran.count { $0.path == Webhook.curl } }
  }

  static let hook = failure.merging(["CRM_alert_recipient": "http://192.0.2.9:9095/alerts"]) { $1 }

  // MARK: The journal

  @Test func aFailureIsOneEntryWithItsReason() {
    let world = World()
    world.know(Self.status())
    world.deliver(Self.failure)
    #expect(world.entries.count == 1)
    #expect(world.entries[0]["MESSAGE"] == "monitor of xl2tpd on moon: error (rc 1): xl2tpd (pid 7) hangs")
    #expect(world.entries[0]["PRIORITY"] == "4" && world.entries[0]["VPNHA_ALERT_RSC"] == "xl2tpd")
    #expect(world.entries[0]["VPNHA_ALERT_EXIT_REASON"] == "xl2tpd (pid 7) hangs")
    #expect(
      world.machine.processes.ran.map(\.arguments) == [
        ["--query", "--xpath", "//node_state[@uname='moon']/lrm/lrm_resources/lrm_resource[@id='xl2tpd']"]
      ])
  }

  /// Whatever becomes of the search for the reason, an entry is ready, and never two are written.
  @Test func anEntryIsReadyBeforeTheReasonIsLookedFor() {
    let world = World()
    var ready: [[String: String]?] = []
    var readyAtSearch: [String: String]?
    world.machine.processes.whenRun(ExitReason.program) { _ throws(SystemError) in
      readyAtSearch = ready.last ?? nil
      return CommandResult(.exited(0), output: Array(Self.status().utf8))
    }
    var delivery = Delivery(host: world.machine.host) { world.entries.append(Dictionary($0, uniquingKeysWith: { $1 })) }
    delivery.lastWord = { fields in ready.append(fields.map { Dictionary($0, uniquingKeysWith: { $1 }) }) }
    delivery.deliver(Self.failure)
    #expect(readyAtSearch?["MESSAGE"] == "monitor of xl2tpd on moon: error (rc 1)" && readyAtSearch?["VPNHA_ALERT_RSC"] == "xl2tpd")
    #expect(ready.count == 2 && ready.last == .some(nil) && world.entries.count == 1)
  }

  @Test func anOldReasonIsNotThisOnesAndAMissingOneIsWaitedFor() {
    let world = World()
    let before = world.machine.clock.now
    world.know(Self.status(changed: 1_767_225_000))
    world.deliver(Self.failure)
    #expect(world.entries.count == 1 && world.entries[0]["VPNHA_ALERT_EXIT_REASON"] == nil)
    #expect(world.machine.clock.now - before == ExitReason.patience)
  }

  @Test(arguments: ["", "nonsense", "<a", "<xpath-query/>", "<a>" + String(repeating: "<b/>", count: 100_000) + "</a>"])
  func whateverTheStatusIs(xml: String) {
    let world = World()
    world.know(xml)
    world.deliver(Self.failure)
    #expect(world.entries.count == 1)
  }

  @Test func withoutTheClustersToolThereIsNoReasonAndAnEntryAllTheSame() {
    let world = World()
    world.deliver(Self.failure)
    #expect(world.entries.count == 1)
  }

  @Test func namesThatMeanSomethingInXPathAreNotAsked() {
    for name in ["moon']|//*['", "a\"b", "", "a\nb", "ä", "x y", String(repeating: "a", count: 300)] {
      let world = World()
      world.deliver(Self.failure.merging(["CRM_alert_node": name]) { $1 })
      #expect(world.machine.processes.ran.isEmpty && world.entries.count == 1, "\(name)")
    }
  }

  @Test func successesAskNobodyAndCancelledMonitorsAreNothing() {
    let world = World()
    world.deliver(Self.failure.merging(["CRM_alert_rc": "8", "CRM_alert_status": "0"]) { $1 })
    #expect(world.entries.map { $0["PRIORITY"] } == ["6"])
    world.deliver(Self.failure.merging(["CRM_alert_status": "1", "CRM_alert_desc": "Cancelled"]) { $1 })
    world.deliver([:])
    for name in ["master-vip", "fail-count-vip#monitor_10000", "last-failure-vip#monitor_10000", "#feature-set"] {
      world.deliver(["CRM_alert_kind": "attribute", "CRM_alert_node": "sun", "CRM_alert_attribute_name": name, "CRM_alert_attribute_value": "100"])
    }
    #expect(world.entries.count == 1 && world.machine.processes.ran.isEmpty)
  }

  @Test(arguments: [
    (["CRM_alert_kind": "node", "CRM_alert_node": "sun", "CRM_alert_desc": "lost"], "node sun is lost", "4"),
    (["CRM_alert_kind": "fencing", "CRM_alert_node": "sun", "CRM_alert_desc": "done", "CRM_alert_rc": "0"], "fencing of sun: done (rc 0)", "6"),
    (
      ["CRM_alert_kind": "attribute", "CRM_alert_node": "sun", "CRM_alert_attribute_name": "vpnha-path", "CRM_alert_attribute_value": "0"],
      "vpnha-path of sun is 0", "6"
    ),
    (["CRM_alert_kind": "new"], "new on : ", "6"),
  ]) func everyKind(environment: [String: String], message: String, priority: String) {
    let world = World()
    world.deliver(environment)
    #expect(world.entries.map { $0["MESSAGE"] } == [message] && world.entries[0]["PRIORITY"] == priority)
  }

  @Test func hostileValuesStayValues() {
    let hostile = "a\"b\\c\n\r\u{0}\u{1b}[2J\u{7f}{\"x\":1}; rm -rf / $(id) \u{fffd}ä"
    let alert = Alert(environment: Self.failure.merging(["CRM_alert_desc": hostile]) { $1 })
    #expect(alert.summary.utf8.allSatisfy { $0 >= 32 && $0 != 127 })
    #expect(alert.json.utf8.allSatisfy { $0 >= 32 && $0 != 127 })
    #expect(alert.json.contains(#""desc":"a\"b\\c\u000a\u000d\u0000\u001b[2J\u007f{\"x\":1}; rm -rf / $(id) "# + "\u{fffd}ä\""))
    let long = Alert(environment: Self.failure.merging(["CRM_alert_desc": String(repeating: "ä\u{1}", count: 5_000_000)]) { $1 })
    #expect(long["desc"].utf8.count <= Alert.limit + 3 && long.json.utf8.count < 40_000)
    #expect(Alert(environment: Self.failure.merging(["CRM_alert_rc": "1}"]) { $1 }).json.contains(#""rc":"1}""#))
  }

  // MARK: The webhook

  @Test(arguments: ["200", "204", "299"]) func delivered(answer: String) {
    let world = World()
    world.know(Self.status())
    world.curl(CommandResult(.exited(0), output: Array(answer.utf8)))
    world.deliver(Self.hook)
    // A trace of it is there before anything that may not come back.
    #expect(world.entriesAtPost == 1 && world.entries.count == 1)
    #expect(world.posted["url"] == "http://192.0.2.9:9095/alerts" && world.posted["proto"] == "=http")
    let json = world.posted["data-raw"] ?? ""
    #expect(json.hasPrefix("{\"desc\":\"error\"") && json.contains("\"rc\":1,") && json.contains("\"exit_reason\":\"xl2tpd (pid 7) hangs\""))
  }

  @Test func aRecipientThatIsNoneLeavesTheEntryAndWhy() {
    for (options, why) in [
      (["CRM_alert_recipient": "ftp://a/"], "recipient: no http:// or https:// address"),
      (["format": "teams"], "recipient: format: expected one of json, slack, alertmanager, pagerduty"),
      (["format": "pagerduty"], "recipient: routing_key_file: is required with format=pagerduty"),
      (["format": "pagerduty", "routing_key_file": "/etc/key"], "recipient: routing_key_file: reading /etc/key: no such file or directory (ENOENT)"),
    ] {
      let world = World()
      world.curl()
      world.deliver(Self.hook.merging(options) { $1 })
      #expect(world.entries.count == 2 && world.entries.last?["MESSAGE"] == "an alert was not delivered: \(why)")
      #expect(world.posts == 0)
    }
  }

  @Test func aTimeFromTheEndOfTheWorldIsNoTrap() {
    for time in ["9223372036854775807", "-9223372036854775808", "0"] {
      for format in ["json", "alertmanager"] {
        let world = World()
        world.know(Self.status())
        world.curl()
        world.deliver(Self.hook.merging(["CRM_alert_timestamp_epoch": time, "CRM_alert_exec_time": "-9223372036854775808", "format": format]) { $1 })
        #expect(world.entries.count == 1 && world.posts == 1)
      }
    }
  }

  // MARK: What the receivers take

  static let risk = [
    "CRM_alert_kind": "attribute", "CRM_alert_node": "sun", "CRM_alert_attribute_name": "vpnha-risk-xl2tpd",
    "CRM_alert_attribute_value": "2026-01-01T00:00:00Z the pool <10.9.0.0/24> & more is nearly used up", "CRM_alert_timestamp_epoch": "1767225600",
  ]

  @Test(arguments: ["", "(null)", nil] as [String?]) func aRiskIsReadableFromItsBeginningToItsEnd(value: String?) {
    let world = World()
    world.deliver(Self.risk)
    var over = Self.risk
    over["CRM_alert_attribute_value"] = value
    world.deliver(over)
    #expect(
      world.entries.map { $0["MESSAGE"] } == [
        "sun: xl2tpd is at risk since 2026-01-01T00:00:00Z: the pool <10.9.0.0/24> & more is nearly used up",
        "sun: xl2tpd is no longer at risk",
      ])
    #expect(world.entries.map { $0["PRIORITY"] } == ["4", "6"])
  }

  private func body(_ format: String, _ environment: [String: String], _ change: (World) -> Void = { _ in }) -> String? {
    let world = World()
    world.know(Self.status())
    world.curl()
    change(world)
    world.deliver(environment.merging(["CRM_alert_recipient": "https://hooks.example/x", "format": format, "routing_key_file": "/etc/key"]) { $1 })
    return world.posted["data-raw"]
  }

  @Test func slack() {
    #expect(body("slack", Self.failure) == #"{"text":"monitor of xl2tpd on moon: error (rc 1): xl2tpd (pid 7) hangs"}"#)
    #expect(
      body("slack", Self.risk)
        == #"{"text":"sun: xl2tpd is at risk since 2026-01-01T00:00:00Z: the pool &lt;10.9.0.0/24&gt; &amp; more is nearly used up"}"#)
  }

  @Test func alertmanager() {
    let labels = #""labels":{"alertname":"vpnha","kind":"resource","node":"moon","severity":"critical","resource":"xl2tpd"}"#
    #expect(
      body("alertmanager", Self.failure)
        == "[{\(labels)," + #""annotations":{"summary":"monitor of xl2tpd on moon: error (rc 1): xl2tpd (pid 7) hangs","description":"xl2tpd (pid 7) hangs"},"#
        + #""startsAt":"2026-01-01T00:00:00Z","endsAt":"2026-01-02T00:00:00Z"}]"#)
    let started = Self.failure.merging(["CRM_alert_task": "start", "CRM_alert_rc": "0", "CRM_alert_target_rc": "0", "CRM_alert_status": "0", "CRM_alert_desc": "ok"]) { $1 }
    #expect(
      body("alertmanager", started)
        == "[{\(labels)," + #""annotations":{"summary":"start of xl2tpd on moon: ok (rc 0)"},"startsAt":"2026-01-01T00:00:00Z","endsAt":"2026-01-01T00:00:00Z"}]"#)
    // A stop that succeeds ends no trouble.
    #expect(body("alertmanager", started.merging(["CRM_alert_task": "stop"]) { $1 }) == nil)
  }

  @Test func pagerduty() throws {
    let key: (World) -> Void = { $0.machine.files.put("R0123456789\n", at: "/etc/key", mode: 0o640) }
    let trigger = try #require(body("pagerduty", Self.risk, key))
    #expect(
      trigger.hasPrefix(
        #"{"routing_key":"R0123456789","event_action":"trigger","dedup_key":"vpnha vpnha-risk-xl2tpd of sun","client":"vpnha","payload":{"summary":"sun: xl2tpd is at risk since "#))
    #expect(
      trigger.contains(#","source":"sun","severity":"warning","timestamp":"2026-01-01T00:00:00Z","component":"xl2tpd","custom_details":{"attribute_name":"#))
    #expect(
      body("pagerduty", Self.risk.merging(["CRM_alert_attribute_value": ""]) { $1 }, key)
        == #"{"routing_key":"R0123456789","event_action":"resolve","dedup_key":"vpnha vpnha-risk-xl2tpd of sun"}"#)
    #expect(body("pagerduty", ["CRM_alert_kind": "attribute", "CRM_alert_node": "sun", "CRM_alert_attribute_name": "vpnha-path", "CRM_alert_attribute_value": "1"], key) == nil)
    for (mode, kind): (UInt32, FileStatus.Kind) in [(0o644, .regular), (0o600, .symbolicLink)] {
      #expect(body("pagerduty", Self.risk) { $0.machine.files.nodes["/etc/key"] = InMemoryFiles.Node(Array("R1".utf8), kind, mode: mode) } == nil)
    }
  }

  @Test func aNodeIsLostAndComesBackUnderTheSameName() {
    let lost = body("alertmanager", ["CRM_alert_kind": "node", "CRM_alert_node": "sun", "CRM_alert_desc": "lost"])
    let member = body("alertmanager", ["CRM_alert_kind": "node", "CRM_alert_node": "sun", "CRM_alert_desc": "member"])
    func labels(_ body: String?) -> Substring? { body?.prefix { $0 != "}" } }
    #expect(labels(lost) == #"[{"labels":{"alertname":"vpnha","kind":"node","node":"sun","severity":"critical""#)
    #expect(labels(lost) == labels(member))
  }

  @Test func aTestSaysWhatBecameOfIt() throws {
    let world = World()
    world.machine.files.kernelParameters["kernel.hostname"] = "moon"
    world.machine.files.put("R1\n", at: "/etc/key", mode: 0o600)
    let delivery = Delivery(host: world.machine.host) { _ in }
    world.curl(CommandResult(.exited(0), output: Array("202".utf8)))
    for (format, posts) in [("json", 1), ("slack", 2), ("alertmanager", 4), ("pagerduty", 6)] {
      let said = try delivery.test("https://hooks.example/x", ["format": format, "routing_key_file": "/etc/key"])
      #expect(said == "hooks.example port 443 answered 202" && world.posts == posts)
    }
    #expect(world.posted["data-raw"] == #"{"routing_key":"R1","event_action":"resolve","dedup_key":"vpnha test moon"}"#)
    world.curl(CommandResult(.exited(0), output: Array("404".utf8)))
    #expect(throws: Webhook.Problem.failed("posting to hooks.example port 443: it answered 404")) {
      () throws(Webhook.Problem) in try delivery.test("https://hooks.example/x", [:])
    }
  }

  // MARK: curl

  static let secure = "https://hooks.example/T0/secret?a=\"b\\"

  /// Neither the address nor the alert is in an argument; what they contain stays inside of its quotes.
  @Test func tlsIsCurls() {
    let world = World()
    world.know(Self.status())
    world.machine.processes.whenRun(Webhook.curl) { _ throws(SystemError) in CommandResult(.exited(0), output: Array("204".utf8)) }
    let hostile = "a\"\nurl = \"file:///etc/passwd\" \\"
    world.deliver(Self.failure.merging(["CRM_alert_recipient": Self.secure, "CRM_alert_desc": hostile]) { $1 })
    #expect(world.entries.count == 1 && world.posted["proto"] == "=https")
    let command = world.machine.processes.ran.last
    #expect(command?.arguments == ["--disable", "--config", "-"])
    let lines = String(decoding: command?.input ?? [], as: UTF8.self).split(separator: "\n")
    #expect(lines.count == 13 && lines.filter { $0.hasPrefix("url = ") } == ["url = \"https://hooks.example/T0/secret?a=\\\"b\\\\\""])
    #expect(lines.last?.contains(#"\"desc\":\"a\\\"\\u000aurl = \\\"file:///etc/passwd\\\" \\\\\""#) == true, "\(lines.last ?? "")")
  }

  @Test func aLineIsNeverLongerThanCurlTakes() {
    let world = World()
    world.machine.processes.whenRun(Webhook.curl) { _ throws(SystemError) in CommandResult(.exited(0), output: Array("200".utf8)) }
    let worst = Dictionary(uniqueKeysWithValues: Alert.names.map { ("CRM_alert_\($0)", String(repeating: "\u{1}\"", count: 10_000)) })
    world.deliver(worst.merging(["CRM_alert_recipient": Self.secure]) { $1 })
    let longest = world.machine.processes.ran.last?.input.split(separator: UInt8(ascii: "\n")).map(\.count).max() ?? 0
    #expect(longest > 10_000 && longest < 102_400)
  }

  @Test(arguments: [
    (CommandResult(.exited(0), output: Array("404".utf8)), "it answered 404"), (CommandResult(.exited(0)), "it answered "),
    (CommandResult(.exited(60), error: Array("curl: (60) SSL certificate problem: self-signed\nMore details here".utf8)), "self-signed"),
    (CommandResult(.exited(7)), "curl ended with 7"), (CommandResult(.signalled(9)), "curl died of signal 9"),
    (CommandResult(.timedOut), "curl did not end in time"), (nil, "/usr/bin/curl is missing (package curl)"),
  ]) func tlsFails(result: CommandResult?, reason: String) {
    let world = World()
    world.know(Self.status())
    if let result { world.machine.processes.whenRun(Webhook.curl) { _ throws(SystemError) in result } }
    world.deliver(Self.failure.merging(["CRM_alert_recipient": Self.secure]) { $1 })
    #expect(world.entries.count == 2 && world.entries.last?["MESSAGE"]?.hasSuffix(reason) == true, "\(world.entries)")
    // The address may be a secret.
    #expect(!world.entries.contains { entry in entry.values.contains { $0.contains("T0") } })
  }

  @Test(
    arguments: [
      ("https://hooks.example/T0", "hooks.example", 443), ("https://[2001:db8::9]:8443/x", "2001:db8::9", 8443),
      ("http://192.0.2.9", "192.0.2.9", 80), ("http://monitor.example:8080/a?b=c", "monitor.example", 8080),
      ("http://[2001:db8::9]:9095/x", "2001:db8::9", 9095), ("http://m?q", "m", 80),
    ] as [(String, String, UInt16)]) func addresses(url: String, host: String, port: UInt16) throws
  {
    let hook = try Webhook(url)
    #expect(hook.host == host && hook.port == port)
  }

  @Test(arguments: [
    "", "ftp://a/", "https://", "https://u@a/", "https://a/ b", "HTTPS://a/", "http://", "http:///x", "http://a:0/", "http://a:65536/", "http://a:b/", "http://u@a/", "http://a b/",
    "http://a/\r\nX: y", "http://[::1", "http://[a]/", "http://[192.0.2.1]/", "http://ä/", "http://a/#f",
    "http://" + String(repeating: "a", count: 3000),
  ]) func noAddresses(url: String) { #expect(throws: Webhook.Problem.self) { () throws(Webhook.Problem) in try Webhook(url) } }
}
