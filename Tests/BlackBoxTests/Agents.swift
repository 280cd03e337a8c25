import Glibc
import Host
import LinuxHost
import Testing

/// The agents as the build left them: programs, of which nothing is known but what they do.
enum Agent: String, CaseIterable, CustomTestStringConvertible {
  case vip, strongswan, xl2tpd, conntrackd, probe, firewall, sessions, announce, libreswan, balancer

  /// Those whose daemon is there: libreswan's is unpacked (Packaging/dependencies) where the archive has it.
  /// The balancer's IPVS no machine of the tests has; the lab plays it.
  static let playable = allCases.filter { $0 != .balancer && ($0 != .libreswan || Built.hasLibreswan) }

  /// Where they are in the sandbox.
  static let folder = "/usr/lib/ocf/resource.d/vpnha"

  var testDescription: String { rawValue }
  var program: String { "\(Built.folder)/\(rawValue)" }

  /// Parameters with which it works in the sandbox.
  var parameters: [String: String] {
    switch self {
    case .vip: ["ip": "192.0.2.10", "cidr_netmask": "24", "nic": "v0"]
    case .strongswan: ["connections": "l2tp", "drain_timeout": "0"]
    case .xl2tpd: ["address": "192.0.2.1", "drain_timeout": "0"]
    case .conntrackd: [:]
    case .probe: ["ping": "192.0.2.2"]
    case .sessions: ["address": "192.0.2.10", "key_file": "/etc/corosync/sessions.key"]
    case .announce: ["prefixes": "192.0.2.9", "control": "/etc/bird/bird.ctl", "include": "/etc/bird/vpnha.conf", "withdraw_wait": "0"]
    case .balancer: ["address": "192.0.2.10", "nic": "v0", "sync_nic": "v0", "servers": "moon:192.0.2.1 sun:192.0.2.2"]
    case .firewall: ["address": "192.0.2.10", "outside": "v0"]
    case .libreswan: ["connections": "l2tp", "address": "192.0.2.1", "config": "/etc/swanctl/ipsec.conf"]
    }
  }

  /// Actions that may be killed at any instant.
  var disturbed: [String] {
    switch self {
    case .firewall: ["start", "reload-agent", "stop"]
    case .probe, .libreswan: ["start", "stop"]
    // BIRD's neighbours have to be there before a promotion.
    case .announce: ["start", "promote", "stop"]
    case .vip, .strongswan, .xl2tpd, .conntrackd, .sessions, .balancer: ["start", "promote", "demote", "stop"]
    }
  }

  /// Asks for `action` directly on this machine: for what touches nothing.
  func answer(_ arguments: [String], _ environment: [String: String] = [:]) throws -> Answer {
    try Answer(Command(program, arguments, environment: environment), within: .seconds(30))
  }

  /// Asks for `action` in a sandbox of its own.
  func answerInSandbox(_ action: String, _ environment: [String: String]) throws -> Answer {
    let settings = environment.map { "\($0.key)=\($0.value)" }.sorted()
    return try Sandbox.run(["env"] + settings + ["\(Agent.folder)/\(rawValue)", action])
  }
}

/// What a program said and how it ended.
struct Answer {
  var status: Int32?
  var output: String
  var error: String

  init(_ command: Command, within limit: Duration) throws {
    let result = try LinuxProcesses().run(command, before: LinuxClock().now + limit)
    if case .exited(let status) = result.ending { self.status = status }
    output = String(decoding: result.output, as: UTF8.self)
    error = String(decoding: result.error, as: UTF8.self)
  }

  /// The exit reasons in the order they were given.
  var reasons: [String] {
    let prefix = "ocf-exit-reason:"
    return error.split(separator: "\n").filter { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
  }
}

enum Built {
  /// The build folder: this test's program lies in it.
  static let folder: String = {
    guard let path = realpath("/proc/self/exe", nil) else { return "." }
    defer { free(path) }
    return String(String(cString: path).split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/"))
  }()
  static let hasLibreswan = access("\(checkout)/build/libreswan/usr/libexec/ipsec/pluto", X_OK) == 0
  static let checkout: String = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/")
}

/// `Tests/BlackBoxTests/sandbox`: private namespaces with the daemons configured and the agents installed.
enum Sandbox {
  static let isPossible: Bool = {
    let command = Command("/usr/bin/unshare", ["--net", "--mount", "--pid", "--fork", "true"])
    return geteuid() == 0 && (try? Answer(command, within: .seconds(10)))?.status == 0
  }()

  static func run(_ words: [String], within limit: Duration = .seconds(120)) throws -> Answer {
    try Answer(
      Command("\(Built.checkout)/Tests/BlackBoxTests/sandbox", [Built.folder] + words, outputLimit: 4_194_304), within: limit)
  }

  /// `bash -e`, with `agent ACTION` running the agent with parameters that work.
  static func script(_ agent: Agent, _ text: String, within limit: Duration = .seconds(120)) throws -> Answer {
    let settings = agent.parameters.map { "OCF_RESKEY_\($0.key)='\($0.value)'" }.sorted().joined(separator: " ")
    let preamble = """
      set -euo pipefail
      export \(settings) OCF_RESOURCE_INSTANCE=\(agent.rawValue) OCF_RESKEY_CRM_meta_timeout=20000
      agent() { \(Agent.folder)/\(agent.rawValue) "$@"; }

      """
    return try run(["bash", "-c", preamble + text], within: limit)
  }
}

extension Trait where Self == ConditionTrait {
  /// Network, mount and process namespaces.
  static var needsNamespaces: Self { .enabled(if: Sandbox.isPossible, "needs root, for private namespaces") }

  static func needs(_ programs: String...) -> Self {
    let missing = programs.filter { access($0, X_OK) != 0 }
    return .enabled(if: missing.isEmpty, "needs \(missing.joined(separator: ", "))")
  }
}
