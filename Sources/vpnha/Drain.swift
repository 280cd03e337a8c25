import ArgumentParser
import Glibc
import Host
import LinuxHost

/// Whether a gateway takes new clients: an address in the packet filter's set `draining` is given no new tunnel, and established ones
/// go on. The set is that of ocf:vpnha:firewall, and survives a reload of its rules.
struct Drain {
  var address: IPAddress

  private static let table = "vpnha"
  private var set: String { address.isIPv6 ? "draining6" : "draining" }

  /// What is left of it; nil: new clients are taken. Without an end it is `.seconds(.max)`.
  ///
  /// - Throws: `ENOENT` without the packet filter.
  func remaining(on host: Host) throws(SystemError) -> Duration? {
    let members = try host.packetFilter.members(of: set, in: Self.table)
    return members.first { $0.address == address }.map { $0.remaining ?? $0.timeout ?? .seconds(Int64.max) }
  }

  /// Equivalent to: `nft add element inet vpnha draining '{ ADDRESS timeout 600s }'`.
  func begin(_ time: Duration?, on host: Host) throws(SystemError) {
    // An element that is there keeps its time.
    if try remaining(on: host) != nil { try end(on: host) }
    let limit = time.map { " timeout \($0.nanoseconds / 1_000_000_000)s" } ?? ""
    try nft("add element inet \(Self.table) \(set) { \(address)\(limit) }", host)
  }

  func end(on host: Host) throws(SystemError) {
    guard try remaining(on: host) != nil else { return }
    try nft("delete element inet \(Self.table) \(set) { \(address) }", host)
  }

  private func nft(_ command: String, _ host: Host) throws(SystemError) {
    let result = try host.processes.run(Command("/usr/sbin/nft", [command]), before: host.clock.now + .seconds(10))
    guard result.succeeded else {
      let words = String(decoding: result.error, as: UTF8.self).split(whereSeparator: \.isNewline).first.map { String($0.prefix(200)).plain }
      throw SystemError("changing who is let in", .io, detail: words ?? "\(result.ending)")
    }
  }
}

struct DrainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "drain",
    abstract: "Take no new clients on this node, while those who are connected go on.",
    discussion: """
      on refuses new tunnels at the gateway's address (the packet filter drops their first message), off takes them again, show says which \
      it is. It holds on this node only, where the address is served, and ends with --for, with off, or with the packet filter's table.
      """)

  enum Wish: String, ExpressibleByArgument, CaseIterable { case on, off, show }
  @Argument(help: ArgumentHelp("on, off or show.", valueName: "on|off|show"))
  var wish: Wish
  @Option(name: .customLong("for"), help: ArgumentHelp("on: how long; without it until off.", valueName: "seconds"))
  var time: Int?
  @Option(help: ArgumentHelp("The gateway's address; without it that of the cluster's vip resource.", valueName: "address"))
  var address: String?
  @Flag(help: "Do it. Without it on and off say what they would do.")
  var yes = false
  @Flag(help: "One JSON object: address, draining, seconds_left (null: no end).")
  var json = false

  func validate() throws {
    if let address, IPAddress(address) == nil { throw ValidationError("--address: expected an IP address, got \"\(address)\"") }
    if let time, !(1...604_800).contains(time) { throw ValidationError("--for: expected 1 to 604800 seconds, got \(time)") }
    if time != nil, wish != .on { throw ValidationError("--for belongs to on") }
  }

  func run() throws {
    guard geteuid() == 0 else { throw fail(.unknown, "run this as root") }
    let host = Host.silent
    let drain: Drain
    let left: Duration?
    do throws(SystemError) {
      drain = Drain(address: try subject(host))
      if yes, wish == .on { try drain.begin(time.map { .seconds($0) }, on: host) }
      if yes, wish == .off { try drain.end(on: host) }
      left = try drain.remaining(on: host)
    } catch { throw fail(.unknown, "\(error)") }
    if wish != .show, !yes, !json {
      print(padded(Verdict.good.shown, 9) + "would take \(wish == .on ? "no new clients at \(drain.address) \(time.map { "for \($0) s" } ?? "until drain off")" : "new clients at \(drain.address) again"); --yes does it")
      return
    }
    let limited = left.flatMap { $0 == .seconds(Int64.max) ? nil : $0.nanoseconds / 1_000_000_000 }
    if json {
      print(jsonObject([("address", drain.address.description.jsonQuoted), ("draining", "\(left != nil)"), ("seconds_left", limited.map { "\($0)" })]))
    } else if left == nil {
      print(padded(Verdict.good.shown, 9) + "new clients are taken at \(drain.address)")
    } else {
      print(padded(Verdict.risk.shown, 9) + "no new clients at \(drain.address)\(limited.map { ", for \(spoken($0)) more" } ?? ", until: vpnha drain off --yes")")
    }
    // What was asked for is no complaint.
    if left != nil, wish == .show { throw ExitCode(Verdict.risk.rawValue) }
  }

  private func subject(_ host: Host) throws(SystemError) -> IPAddress {
    if let address, let given = IPAddress(address) { return given }
    let tools = PacemakerTools(host)
    guard let found = try ClusterConfiguration(tools.configuration()).looking(at: nil).gatewayAddress else {
      throw SystemError("looking for the gateway's address", .noSuchFile, detail: "the cluster has no vip resource; --address names it")
    }
    return found
  }

  private func fail(_ verdict: Verdict, _ why: String) -> ExitCode {
    print(json ? jsonObject([("address", nil), ("draining", nil), ("seconds_left", nil), ("error", why.jsonQuoted)]) : verdict.line(why))
    return ExitCode(verdict.rawValue)
  }
}
