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
    var posted: ScriptedStream?

    func deliver(_ environment: [String: String]) {
      Delivery(host: machine.host) { [unowned self] in entries.append(Dictionary($0, uniquingKeysWith: { $1 })) }.deliver(environment)
    }
    func know(_ xml: String) {
      machine.processes.whenRun(ExitReason.program) { _ throws(SystemError) in CommandResult(.exited(0), output: Array(xml.utf8)) }
    }
    /// A receiver that takes a whole request and then follows the steps.
    func listen(_ steps: [ScriptedStream.Step]) {
      machine.sockets.tcp = { [unowned self] _, _ throws(SystemError) in
        let stream = machine.stream { unread in
          unread = []
          return steps
        }
        posted = stream
        return stream
      }
    }
    var body: String { posted.map { String(decoding: $0.written, as: UTF8.self) } ?? "" }
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
    #expect(world.machine.processes.ran.map(\.arguments) == [
      ["--query", "--xpath", "//node_state[@uname='moon']/lrm/lrm_resources/lrm_resource[@id='xl2tpd']"]
    ])
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

  @Test(arguments: ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.0 204 None\r\n", "HTTP/1.1 299 \n"]) func delivered(answer: String) {
    let world = World()
    world.know(Self.status())
    world.listen([.says(Array(answer.utf8)), .closes])
    world.deliver(Self.hook)
    #expect(world.entries.isEmpty)
    let body = world.body
    #expect(body.hasPrefix("POST /alerts HTTP/1.1\r\nHost: 192.0.2.9:9095\r\n"))
    let json = body.split(separator: "\r\n\r\n").last.map(String.init) ?? ""
    #expect(body.contains("Content-Length: \(json.utf8.count)\r\n"))
    #expect(json.hasPrefix("{\"desc\":\"error\"") && json.contains("\"rc\":1,") && json.contains("\"exit_reason\":\"xl2tpd (pid 7) hangs\""))
    #expect(world.posted?.isClosed == true)
  }

  @Test(arguments: [
    ("it answered 500", [ScriptedStream.Step.says(Array("HTTP/1.1 500 No\r\n".utf8))]),
    ("not HTTP", [.says(Array("220 smtp ESMTP\r\n".utf8))]), ("not HTTP", [.closes]),
    ("not HTTP", [.says([UInt8](repeating: 0xff, count: 10_000_000)), .closes]), ("ETIMEDOUT", [.silence]),
    ("ETIMEDOUT", [.says(Array("HTTP/1".utf8)), .silence]), ("ECONNRESET", [.fails(.connectionReset)]),
  ]) func aReceiverThatDoesNotTakeIt(reason: String, steps: [ScriptedStream.Step]) {
    let world = World()
    world.know(Self.status())
    let before = world.machine.clock.now
    world.listen(steps)
    world.deliver(Self.hook)
    #expect(world.entries.count == 2 && world.entries.last?["MESSAGE"]?.contains(reason) == true, "\(world.entries)")
    #expect(world.machine.clock.now - before <= Webhook.patience)
  }

  @Test func refusedOrUnknown() {
    let world = World()
    world.know(Self.status())
    world.deliver(Self.hook)
    world.deliver(Self.failure.merging(["CRM_alert_recipient": "http://nowhere.example/"]) { $1 })
    #expect(world.entries.count == 4)
  }

  /// A name with an IPv6 address that refuses, or leads nowhere, and then one that takes it.
  @Test(arguments: [Errno.connectionRefused, .networkUnreachable, .timedOut]) func theNextAddressIsTried(errno: Errno) throws {
    let world = World()
    world.know(Self.status())
    let (dead, alive) = (try #require(IPAddress("2001:db8::9")), try #require(IPAddress("192.0.2.9")))
    let hook = Self.failure.merging(["CRM_alert_recipient": "http://hooks.example/"]) { $1 }
    world.machine.sockets.names["hooks.example"] = [dead, alive]
    let before = world.machine.clock.now
    var tried: [IPAddress] = []
    world.machine.sockets.tcp = { [unowned world] address, _ throws(SystemError) in
      tried.append(address)
      guard address == alive else {
        if errno == .timedOut { world.machine.clock.sleep(until: world.machine.clock.now + Webhook.patience / 3) }
        throw SystemError("connecting to \(address)", errno)
      }
      return world.machine.stream { unread in
        unread = []
        return [.says(Array("HTTP/1.1 200 OK\r\n".utf8)), .closes]
      }
    }
    world.deliver(hook)
    #expect(world.entries.isEmpty && tried == [dead, alive])
    #expect(world.machine.clock.now - before <= Webhook.patience)
    world.machine.sockets.names["hooks.example"] = [dead, dead]
    world.deliver(hook)
    #expect(world.entries.count == 2 && world.entries.last?["MESSAGE"]?.contains("\(dead)") == true, "\(world.entries)")
  }

  // MARK: TLS

  static let secure = "https://hooks.example/T0/secret?a=\"b\\"

  /// Neither the address nor the alert is in an argument; what they contain stays inside of its quotes.
  @Test func tlsIsCurls() {
    let world = World()
    world.know(Self.status())
    world.machine.processes.whenRun(Webhook.curl) { _ throws(SystemError) in CommandResult(.exited(0), output: Array("204".utf8)) }
    let hostile = "a\"\nurl = \"file:///etc/passwd\" \\"
    world.deliver(Self.failure.merging(["CRM_alert_recipient": Self.secure, "CRM_alert_desc": hostile]) { $1 })
    #expect(world.entries.isEmpty)
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

  @Test(arguments: [
    ("https://hooks.example/T0", "hooks.example", 443, "/T0"), ("https://[2001:db8::9]:8443/x", "2001:db8::9", 8443, "/x"),
    ("http://192.0.2.9", "192.0.2.9", 80, "/"), ("http://monitor.example:8080/a?b=c", "monitor.example", 8080, "/a?b=c"),
    ("http://[2001:db8::9]:9095/x", "2001:db8::9", 9095, "/x"), ("http://m?q", "m", 80, "/?q"),
  ] as [(String, String, UInt16, String)]) func addresses(url: String, host: String, port: UInt16, path: String) throws {
    let hook = try Webhook(url)
    #expect(hook.host == host && hook.port == port && hook.path == path)
  }

  @Test(arguments: [
    "", "ftp://a/", "https://", "https://u@a/", "https://a/ b", "HTTPS://a/", "http://", "http:///x", "http://a:0/", "http://a:65536/", "http://a:b/", "http://u@a/", "http://a b/",
    "http://a/\r\nX: y", "http://[::1", "http://[a]/", "http://[192.0.2.1]/", "http://ä/", "http://a/#f",
    "http://" + String(repeating: "a", count: 3000),
  ]) func noAddresses(url: String) { #expect(throws: Webhook.Problem.self) { () throws(Webhook.Problem) in try Webhook(url) } }
}
