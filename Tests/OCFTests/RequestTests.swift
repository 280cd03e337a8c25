import Host
import OCF
import Testing

@Suite struct Requests {
  private func request(_ action: String = "monitor", _ environment: [String: String] = [:]) -> Request {
    Request(arguments: ["/usr/lib/ocf/resource.d/vpnha/vip", action, "extra", "words"], environment: environment)
  }

  @Test func outsideACluster() {
    let request = request()
    #expect(request.type == "vip")
    #expect(request.instance == "default")
    #expect(request.action == .monitor)
    #expect(request.timeout == .seconds(20))
    #expect(request.isProbe, "no interval means a probe")
    #expect(!request.isPromotable)
    #expect(request.nodeName == nil)
    #expect(request.depth == .basic)
  }

  @Test(arguments: ["promoted_max", "master_max"]) func aMemberOfAClonedGroupIsPromotable(_ name: String) {
    #expect(request("start", ["OCF_RESKEY_CRM_meta_\(name)": "1"]).isPromotable)
  }

  @Test(arguments: ["", "abc", "-5", "0", "99999999999999999999", "20s"]) func unreadableTimeouts(_ text: String) {
    #expect(request("start", ["OCF_RESKEY_CRM_meta_timeout": text]).timeout == .seconds(20))
  }

  @Test(arguments: [("0", CheckLevel.basic), ("9", .basic), ("10", .service), ("15", .service), ("20", .client), ("99", .client), ("x", .basic)])
  func depths(_ text: String, _ depth: CheckLevel) {
    #expect(request("monitor", ["OCF_CHECK_LEVEL": text]).depth == depth)
    #expect(request("monitor", ["OCF_RESKEY_OCF_CHECK_LEVEL": text]).depth == depth)
  }

  @Test(arguments: [(1_000, 900), (20_000, 18_500), (200, 150), (60_000, 58_500)])
  func aMarginIsKeptForTheReason(_ timeout: Int64, _ deadline: Int64) {
    let start = Instant(nanoseconds: 7)
    let request = request("start", ["OCF_RESKEY_CRM_meta_timeout": String(timeout)])
    #expect(request.deadline(from: start) - start == .milliseconds(deadline))
  }

  @Test func aRecurringMonitorIsNoProbe() {
    #expect(!request("monitor", ["OCF_RESKEY_CRM_meta_interval": "10000"]).isProbe)
    #expect(request("monitor", ["OCF_RESKEY_CRM_meta_interval": "0"]).isProbe)
    #expect(!request("start", ["OCF_RESKEY_CRM_meta_interval": "0"]).isProbe)
  }

  @Test func noActionAtAll() {
    let request = Request(arguments: ["vip"], environment: [:])
    #expect(request.action == nil && request.actionName == "")
    #expect(Request(arguments: [], environment: [:]).type == "")
  }

  /// The new names, and the twins that older clusters send.
  @Test(arguments: [("promoted", "unpromoted"), ("master", "slave")])
  func notifications(_ promoted: String, _ unpromoted: String) throws {
    let notification = try #require(
      Notification(environment: [
        "OCF_RESKEY_CRM_meta_notify_type": "pre", "OCF_RESKEY_CRM_meta_notify_operation": "promote",
        "OCF_RESKEY_CRM_meta_notify_promote_uname": "sun ", "OCF_RESKEY_CRM_meta_notify_start_uname": " ",
        "OCF_RESKEY_CRM_meta_notify_\(promoted)_uname": "moon", "OCF_RESKEY_CRM_meta_notify_\(unpromoted)_uname": "sun",
      ]))
    #expect(notification.moment == .pre)
    #expect(notification.operation == .promote)
    #expect(notification.promoting == ["sun"])
    #expect(notification.starting.isEmpty)
    #expect(notification.promoted == ["moon"])
    #expect(notification.unpromoted == ["sun"])
  }

  @Test(arguments: [[:], ["type": "pre"], ["type": "sideways", "operation": "start"], ["type": "post", "operation": "dance"]])
  func noNotification(_ fields: [String: String]) {
    let environment = fields.map { ("OCF_RESKEY_CRM_meta_notify_\($0)", $1) }
    #expect(Notification(environment: Dictionary(uniqueKeysWithValues: environment)) == nil)
  }

  /// Two resources never share a record, whatever their names are, and each name is a file's.
  @Test func everyResourceHasRecordsOfItsOwn() {
    let long = String(repeating: "x", count: 300)
    let ids = ["a_b", "a/b", "a b", "a.b", "zürich", "zörich", "z_rich", "東京", "京東", long + "a", long + "b", String(long.prefix(199)), String(long.prefix(201)), "", ".", "..", "vip:0x", "\u{e9}", "e\u{301}"]
    let names = ids.map { Request(arguments: ["vip"], environment: ["OCF_RESOURCE_TYPE": "vip", "OCF_RESOURCE_INSTANCE": $0]).recordName }
    // By bytes: what Unicode holds to be equal are two resources.
    #expect(Set(names.map { Array($0.utf8) }).count == ids.count, "\(names)")
    for name in names { #expect(name.utf8.count <= 200 && name.hasPrefix("vip-") && name.utf8.allSatisfy { $0 > 32 && $0 < 127 && $0 != UInt8(ascii: "/") }, "\(name)") }
  }
}
