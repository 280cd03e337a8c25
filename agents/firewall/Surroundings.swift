import Daemon
import Host
import OCF

/// What is not ours and still decides whether the rules do what they are for.
extension Firewall {
  /// Tells the log of other programs' rules as well.
  func risks(_ found: FilterTable, _ call: Call) throws(OCFError) -> [Risk] {
    warnOfConflicts(call, always: false)
    return (try blockades(call) + olderBlockades(call) + forwardingThatIsOff(call) + misnamed(call) + ownAddressesInPool() + peersThatDiffer(Mark.digest(in: found.comment), call)).map { Risk($0) }
  }

  // MARK: What the parameters name

  /// Rules wait for an interface that comes later, and match nothing when its name was misspelt.
  func misnamed(_ call: Call) throws(OCFError) -> [String] {
    var found: [String] = []
    for (parameter, names) in [("outside", outside), ("inside", inside)] {
      for name in names where !name.isWildcard {
        let link = try attempt("looking for \(name.text)", try call.host.network.link(named: name.text))
        if link == nil { found.append("\(parameter): \(name.text) is not an interface of this node, so the rules for it match nothing") }
      }
    }
    return found
  }

  /// A network in which the gateway itself has an address is no network of the clients.
  func ownAddressesInPool() -> [String] {
    address.flatMap { own in
      pool.filter { own.isIPv6 == $0.network.isIPv6 && own.isIn($0.network, prefixLength: $0.length) }.map { "pool: \($0) holds the gateway's own \(own): give clients a network of their own" }
    }
  }

  // MARK: Forwarding

  func warnOfForwarding(_ call: Call) {
    do throws(OCFError) {
      for off in try forwardingThatIsOff(call) { call.log.warning(off) }
    } catch {
      call.log.warning(error.reason)
    }
  }

  /// A node that does not forward serves sessions that lead nowhere. It is the operator's to switch, so that it is no failure.
  private func forwardingThatIsOff(_ call: Call) throws(OCFError) -> [String] {
    var found: [String] = []
    if pool.contains(where: { !$0.network.isIPv6 }) {
      let named = (outside + inside).filter { !$0.isWildcard }.map(\.text)
      for off in try attempt("looking whether packets are forwarded", try call.host.files.forwardingThatIsOff(on: named)) {
        found.append("pool: \(off.interface.map { "what arrives on \($0) reaches no client" } ?? "clients reach nothing") while \(off.parameter) is 0: set it to 1")
      }
    }
    if pool.contains(where: \.network.isIPv6) {
      let name = "net.ipv6.conf.all.forwarding"
      let value = try attempt("looking whether packets are forwarded", try call.host.files.kernelParameter(name))
      if value == "0" { found.append("pool: clients reach nothing while \(name) is 0: set it to 1") }
    }
    return found
  }

  // MARK: Peers

  /// `firewall-digest`; a clone's number is no part of it.
  private func attribute(_ call: Call) -> String { "\(call.request.resource)-digest" }

  /// Tells the cluster what is in force here; nil: nothing is.
  func publish(_ digest: String?, _ call: Call) {
    guard call.request.nodeName != nil else { return }
    do throws(SystemError) {
      try call.host.cluster.setNodeAttribute(attribute(call), to: digest, dampening: .zero)
    } catch {
      call.log.warning("\(error)")
    }
  }

  /// The nodes that have other rules, each in a sentence; none where there is no cluster to ask. A cluster that has forgotten
  /// what is in force here is told again.
  private func peersThatDiffer(_ digest: String, _ call: Call) -> [String] {
    guard let node = call.request.nodeName else { return [] }
    do throws(SystemError) {
      let digests = try call.host.cluster.nodeAttribute(attribute(call))
      if digests[node] != digest { publish(digest, call) }
      let others = digests.filter { $0.key != node && $0.value != digest && !$0.value.isEmpty }.keys.sorted()
      return others.map { "\($0) has other rules: compare \(extra.map { "\($0) and " } ?? "")the versions of vpnha" }
    } catch {
      call.log.debug("asking for the peers' rules: \(error)")
      return []
    }
  }

  // MARK: Other programs' rules

  /// Names, in the log, what else decides over our packets. A monitor says it once.
  func warnOfConflicts(_ call: Call, always: Bool) {
    let path = DaemonRole.path(for: call.request, "conflicts")
    do throws(SystemError) {
      let conflicts = try conflicts(call).joined(separator: "\n")
      let told = try call.host.files.read(path, limit: 65_536).map { String(decoding: $0, as: UTF8.self) } ?? ""
      if always || conflicts != told { for line in conflicts.split(separator: "\n") { call.log.warning(String(line)) } }
      guard conflicts != told, !call.request.isForAPerson else { return }
      try call.keep(Array(conflicts.utf8), as: "conflicts")
    } catch {
      call.log.warning("looking for other programs' rules: \(error)")
    }
  }

  /// What others certainly drop of what this node is for. (Of the rest `conflicts` tells the log.)
  func blockades(_ call: Call) -> [String] {
    do throws(SystemError) {
      let links = try doors(outside, call)
      var found: [String] = []
      for chain in try call.host.packetFilter.baseChains() where !(chain.family == "inet" && chain.table == table.description) {
        var what: [String] = []
        switch chain.hook {
        case .prerouting, .input, .output, .postrouting:
          let isAnswer = [.output, .postrouting].contains(chain.hook)
          for (packet, name) in wanted(isAnswer: isAnswer) {
            // Of several addresses and interfaces: what gets to none, and what gets in by none.
            let all = address.filter { Self.sees(chain, isIPv6: $0.isIPv6) }.flatMap { address in
              links.map { link in
                var packet = packet
                (packet.address, packet.interface, packet.link) = (address, link?.name, link?.index)
                return packet
              }
            }
            if !all.isEmpty, try call.host.packetFilter.certainlyDropped(all, by: chain).count == all.count { what.append(name) }
          }
          // Where they leave, and what answers them, is decided later.
          if chain.hook == .prerouting, try drops(passages(seenBy: chain, isToClient: false, beyond: [nil]), chain, call) { what.append(Self.fromClients) }
        case .forward:
          let beyond = try doors(inside.isEmpty ? outside : inside + outside, call)
          if try drops(passages(seenBy: chain, isToClient: false, beyond: beyond), chain, call) { what.append(Self.fromClients) }
          if try drops(passages(seenBy: chain, isToClient: true, beyond: beyond), chain, call) { what.append(Self.toClients) }
        }
        if !what.isEmpty { found.append("accept \(what.joined(separator: ", ")) in chain \(chain.name) of table \(chain.family) \(chain.table), which drops them") }
      }
      return found
    } catch {
      call.log.debug("looking for other programs' rules: \(error)")
      return []
    }
  }

  /// Rules of the older iptables that drop something: no nftables program shows them, and what they ask is not looked at. Its program is run where the
  /// kernel has such a table only.
  func olderBlockades(_ call: Call) -> [String] {
    guard call.depth >= .service else { return [] }
    return Self.older.compactMap { (program, file) -> String? in
      do throws(SystemError) {
        guard try call.host.files.read(file, limit: 4096)?.isEmpty == false, call.host.files.isExecutable("/usr/sbin/\(program)-save") else { return nil }
        let said = try call.host.processes.run(Command("/usr/sbin/\(program)-save", outputLimit: 1 << 20), before: call.host.clock.now + .seconds(2))
        guard said.succeeded else { return nil }
        let lines = String(decoding: said.output, as: UTF8.self).split(separator: "\n")
        let dropping = lines.first { $0.hasPrefix("-A ") && ($0.hasSuffix(" -j DROP") || $0.contains(" -j REJECT")) } ?? lines.first { $0.hasPrefix(":") && $0.contains(" DROP ") }
        return dropping.map { "\(program) has rules that drop, see that they accept what clients send: \(program)-save (\($0))" }
      } catch {
        call.log.debug("asking \(program)-save: \(error)")
        return nil
      }
    }
  }
  private static let older = [("iptables-legacy", "/proc/net/ip_tables_names"), ("ip6tables-legacy", "/proc/net/ip6_tables_names")]

  private static let fromClients = "the clients' packets"
  private static let toClients = "answers to clients"

  private func drops(_ packets: [FilteredPacket], _ chain: BaseChain, _ call: Call) throws(SystemError) -> Bool {
    guard !packets.isEmpty else { return false }
    return try call.host.packetFilter.certainlyDropped(packets, by: chain).count == packets.count
  }

  /// What a client with the first or the last address of each network sends, or is answered: what all of them lose nobody has.
  private func passages(seenBy chain: BaseChain, isToClient: Bool, beyond links: [Link?]) -> [FilteredPacket] {
    pool.filter { Self.sees(chain, isIPv6: $0.network.isIPv6) }.flatMap { $0.ends }.flatMap { address in
      ppp.flatMap { link in links.map { FilteredPacket(.init(client: address, on: link.text, far: $0, isToClient: isToClient)) } }
    }
  }

  private static func sees(_ chain: BaseChain, isIPv6: Bool) -> Bool { chain.family == "inet" || (chain.family == "ip6") == isIPv6 }

  private func wanted(isAnswer: Bool) -> [(packet: FilteredPacket, name: String)] {
    let ike = ([500, 4500] as [UInt16]).map { (FilteredPacket(protocolNumber: 17, port: $0, wasProtected: false, isAnswer: isAnswer), "\(isAnswer ? "answers from " : "")UDP \($0)") }
    let esp = [(FilteredPacket(protocolNumber: 50, wasProtected: false, isAnswer: isAnswer), "ESP")]
    // What leaves through IPsec passes the chains before and after it.
    return ike + esp + (isAnswer ? [] : [(FilteredPacket(protocolNumber: 17, port: port.number, wasProtected: true), "UDP \(port.number) out of IPsec")])
  }

  /// The interfaces of these names; nil: not known which.
  private func doors(_ names: [InterfacePattern], _ call: Call) throws(SystemError) -> [Link?] {
    var found: [Link?] = []
    for name in names where !name.isWildcard {
      if let link = try call.host.network.link(named: name.text) { found.append(link) }
    }
    return found.isEmpty || names.contains(where: \.isWildcard) ? [nil] : found
  }

  private func conflicts(_ call: Call) throws(SystemError) -> [String] {
    // A packet must pass every chain at a hook, so what drops by default needs rules for ours as well.
    let others = try call.host.packetFilter.baseChains().filter { !($0.family == "inet" && $0.table == table.description) }
    var lines = others.filter { $0.dropsByDefault && (!pool.isEmpty || $0.hook != .forward) }.prefix(8).map { chain in
      let wants =
        switch chain.hook {
        case .input, .prerouting: "UDP 500 and 4500, ESP and (out of IPsec) UDP \(port.number) to the gateway's addresses"
        case .forward: "the clients' packets"
        case .output, .postrouting: "what the gateway sends"
        }
      return "chain \(chain.name) of table \(chain.family) \(chain.table) drops by default: it must accept \(wants), too"
    }
    // Of two chains at one place the one that was made first decides.
    if nat {
      lines += others.filter { $0.hook == .postrouting && $0.translates }.prefix(8).map { chain in
        "chain \(chain.name) of table \(chain.family) \(chain.table) translates, too: it must leave out the clients and what leaves through IPsec"
      }
    }
    // The older iptables keeps rules of its own, which no nftables program shows.
    for (program, file) in Self.older {
      let names = String(decoding: try call.host.files.read(file, limit: 4096) ?? [], as: UTF8.self)
        .split(whereSeparator: \.isWhitespace)
      if !names.isEmpty { lines.append("\(program) has rules, too (tables \(names.joined(separator: " "))): it must accept the same packets") }
    }
    return lines
  }
}
