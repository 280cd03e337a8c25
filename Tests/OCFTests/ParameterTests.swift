import Host
import HostTestKit
import OCF
import Testing

@Suite struct Parameters {
  enum Shade: String, ParameterChoice { case light, dark }

  struct Agent: ResourceAgent {
    static let about = About("a", "b")
    static let operations: [Operation] = []
    @Parameter("Address to hold", "An IPv4 or IPv6 literal.", uniqueGroup: "address") var ip: IPAddress
    @Parameter("How many", reloadable: true) var arpCount = 5
    @Parameter("Where") var nic: String? = nil
    @Parameter("Whether") var runArping = false
    @Parameter("Which") var shade = Shade.light
    @Parameter("All of them") var connections: [String] = []
    @Parameter("A file") var config: AbsolutePath = "/etc/a.conf"
    @Parameter("A secret") var testPassword: Secret? = nil
    @Parameter("Old name", deprecated: Deprecation(replacedWith: "ip", note: "use ip")) var address: String? = nil

    func checkParameters() throws(OCFError) {
      if shade == .dark, nic == nil { throw .misconfigured("nic: is required with shade=dark") }
    }
    func observe(_ call: Call) throws(OCFError) -> ResourceState { .running }
    func start(_ call: Call) throws(OCFError) {}
    func stop(_ call: Call) throws(OCFError) {}
  }

  private func load(_ parameters: [String: String]) -> LoadedAgent<Agent> {
    Agent.loaded(from: request("start", parameters))
  }
  private func request(_ action: String, _ parameters: [String: String]) -> Request {
    let environment = parameters.map { ("OCF_RESKEY_\($0)", $1) }
    return Request(arguments: ["agent", action], environment: Dictionary(uniqueKeysWithValues: environment))
  }

  @Test func valuesAndDefaults() {
    let loaded = load(["ip": "192.0.2.1", "arp_count": "7", "connections": "l2tp  other", "run_arping": "Yes", "nic": ""])
    #expect(loaded.problems.isEmpty)
    #expect(loaded.agent.ip == IPAddress("192.0.2.1"))
    #expect(loaded.agent.arpCount == 7)
    #expect(loaded.agent.nic == nil)
    #expect(loaded.agent.runArping)
    #expect(loaded.agent.connections == ["l2tp", "other"])
    #expect(loaded.agent.config.description == "/etc/a.conf")
  }

  @Test func everyBadParameterIsNamed() {
    let loaded = load([
      "ip": "192.0.2.256", "arp_count": "-1", "run_arping": "maybe", "shade": "grey", "config": "etc/../x",
    ])
    #expect(loaded.isUnidentified)
    #expect(
      loaded.problems.map { $0.split(separator: ":")[0] } == ["ip", "arp_count", "run_arping", "shade", "config"])
    #expect(loaded.problems[0] == "ip: expected an IPv4 or IPv6 address, got \"192.0.2.256\"")
    #expect(loaded.problems[3] == "shade: expected one of light, dark, got \"grey\"")
    #expect(loaded.agent.arpCount == 5, "a bad optional parameter keeps its default")
  }

  /// Like `ip`, but it does not tell one resource from another.
  private struct Shared: ResourceAgent {
    static let about = About("a", "a")
    static let operations: [Operation] = []
    @Parameter("Addresses", required: true) var address: [IPAddress] = []
    func observe(_ call: Call) throws(OCFError) -> ResourceState { .running }
    func start(_ call: Call) throws(OCFError) {}
    func stop(_ call: Call) throws(OCFError) {}
  }

  @Test func whatIsRequiredNeedNotIdentify() {
    #expect(Shared.parameterDescriptions.map(\.isRequired) == [true])
    #expect(Shared.parameterDescriptions.map(\.defaultValue) == [nil])
    for environment in [[:], ["OCF_RESKEY_address": "moon"]] {
      let loaded = Shared.loaded(from: Request(arguments: ["agent", "stop"], environment: environment))
      #expect(loaded.problems.count == 1)
      #expect(!loaded.isUnidentified, "it can be stopped")
      #expect(loaded.agent.address.isEmpty)
    }
  }

  @Test func aDeprecatedNameStillSatisfies() {
    #expect(load(["address": "192.0.2.9"]).agent.ip == IPAddress("192.0.2.9"))
    #expect(load(["address": "192.0.2.9", "ip": "192.0.2.1"]).agent.ip == IPAddress("192.0.2.1"))
  }

  @Test func secretsAreNotShown() {
    let loaded = load(["ip": "192.0.2.1", "test_password": "hunter2\u{7}"])
    #expect(loaded.problems == ["test_password: expected at most 4096 printable characters on one line, got <secret>"])
    let good = load(["ip": "192.0.2.1", "test_password": "hunter2"]).agent.testPassword
    #expect(!"\(String(describing: good)) \(String(reflecting: good))".contains("hunter2"))
    var dumped = ""
    dump(good, to: &dumped)
    #expect(!dumped.contains("hunter2"))
    #expect(good?.reveal { $0 } == "hunter2")
  }

  /// What bad parameters mean, action by action (`handle_invalid_env` of resource-agents).
  @Test(arguments: [
    ("start", Status.misconfigured, Status.misconfigured), ("validate-all", .misconfigured, .misconfigured),
    ("stop", .success, .genericError), ("monitor", .notRunning, .success),
  ]) func badParameters(_ action: String, unidentified: Status, optional: Status) {
    let machine = InMemoryMachine()
    func status(_ parameters: [String: String]) -> Status {
      perform(Agent.self, request(action, parameters), on: machine.host, from: machine.clock.now).status
    }
    #expect(status([:]) == unidentified)
    #expect(status(["ip": "x"]) == unidentified)
    // The agent observes running for ever, so its stop cannot succeed: it was tried.
    #expect(status(["ip": "192.0.2.1", "shade": "grey"]) == optional)
    #expect(status(["ip": "192.0.2.1", "shade": "dark"]) == optional)
  }

  @Test func descriptionsComeFromTheSameDeclaration() {
    let all = Agent.parameterDescriptions
    #expect(
      all.map(\.name) == [
        "ip", "arp_count", "nic", "run_arping", "shade", "connections", "config", "test_password", "address",
      ])
    #expect(all[0].isRequired && all[0].uniqueGroup == "address" && all[0].defaultValue == nil)
    #expect(all[1].isReloadable && all[1].contentType == .integer && all[1].longDescription == "How many. Default: 5.")
    #expect(all[4].contentType == .select(["light", "dark"]))
    #expect(all[4].longDescription == "Which. One of: light, dark. Default: light.")
    #expect(all[8].deprecated == Deprecation(replacedWith: "ip", note: "use ip"))
  }

  @Test(arguments: ["1", "true", "YES", "on", "ja", "True"]) func truths(_ text: String) throws {
    #expect(try Bool(parameter: text))
  }
  @Test(arguments: ["", "2", "maybe", "truee", "-"]) func neither(_ text: String) {
    #expect(throws: Unreadable.self) { try Bool(parameter: text) }
  }
  @Test(arguments: ["", "-1", "+1", "1.5", "0x10", "99999999999999999999", "1 "]) func notNumbers(_ text: String) {
    #expect(throws: Unreadable.self) { try Int(parameter: text) }
  }
}
