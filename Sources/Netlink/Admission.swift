import CLinux
import Host

/// Whether rules may let a packet through of which little is known.
///
/// What a rule asks is answered by yes, no or perhaps; "no way through" is certain, a way through is not.
public struct Admission {
  var packet: FilteredPacket
  /// Each chain's rules, in their order.
  var rules: [String: [FilterRuleEntry]]
  /// What is in the sets and maps that the rules look into; one that is not here is not known.
  var sets: [String: [FilterElement]]

  public init(_ packet: FilteredPacket, _ rules: [String: [FilterRuleEntry]], _ sets: [String: [FilterElement]] = [:]) {
    (self.packet, self.rules, self.sets) = (packet, rules, sets)
  }

  /// What a chain may do with the packet: all of these are possible, and nothing else is.
  public struct Ends: OptionSet, Sendable {
    public var rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    public static let accepts = Ends(rawValue: 1)
    public static let drops = Ends(rawValue: 2)
    public static let passesOn = Ends(rawValue: 4)
  }

  /// - Parameter depth: of chains that jump; the kernel allows sixteen.
  public func ends(of chain: String, depth: Int = 16) throws(Malformed) -> Ends {
    guard depth > 0 else { return .accepts }
    var possible: Ends = []
    for rule in rules[chain] ?? [] {
      guard let (verdict, isCertain) = try verdict(of: rule) else { continue }
      switch verdict {
      case .goesOn: continue
      case .drop: possible.insert(.drops)
      case .accept: possible.insert(.accepts)
      case .returns: possible.insert(.passesOn)
      case .jump(let other, let isGoto):
        let there = try ends(of: other, depth: depth - 1)
        possible.formUnion(isGoto ? there : there.subtracting(.passesOn))
        if !isGoto, there.contains(.passesOn) { continue }
      }
      if isCertain { return possible }
    }
    return possible.union(.passesOn)
  }

  private enum Verdict {
    case goesOn, drop, accept, returns
    case jump(String, isGoto: Bool)

    /// `NFTA_DATA_VERDICT`; nil for one without a code.
    init?(_ bytes: ArraySlice<UInt8>) throws(Malformed) {
      let attributes = Attributes(bytes)
      guard let code = try attributes.value(of: NFTA_VERDICT_CODE.rawValue)?.bigEndian(Int32.self) else { return nil }
      let chain = try attributes.value(of: NFTA_VERDICT_CHAIN.rawValue)?.text ?? ""
      self =
        switch code {
        case 0: .drop
        case NFT_CONTINUE.rawValue: .goesOn
        case NFT_RETURN.rawValue: .returns
        case NFT_JUMP.rawValue: .jump(chain, isGoto: false)
        case NFT_GOTO.rawValue: .jump(chain, isGoto: true)
        default: .accept
        }
    }
  }

  /// Nil for a rule that certainly does not match.
  private func verdict(of rule: FilterRuleEntry) throws(Malformed) -> (Verdict, isCertain: Bool)? {
    var registers = Registers()
    // Those with the interface, by number or by name, where one thing is known of it: it is not the loopback's.
    var interfaces: Set<UInt32> = []
    var isCertain = true
    for (name, data) in rule.expressions {
      let attributes = Attributes(data)
      func number(_ type: UInt32) throws(Malformed) -> UInt32? { try attributes.value(of: type)?.bigEndian(UInt32.self) }
      func value(_ type: UInt32) throws(Malformed) -> [UInt8] {
        try attributes.value(of: type).map { (nested) throws(Malformed) in Array(try Attributes(nested).value(of: NFTA_DATA_VALUE.rawValue) ?? []) } ?? []
      }
      switch name {
      case "counter", "log", "last", "notrack": continue
      case "meta":
        guard let register = try number(NFTA_META_DREG.rawValue) else { continue }
        let key = try number(NFTA_META_KEY.rawValue)
        registers.load(packet.meta(key), into: register)
        let isInterface = [NFT_META_IIF, NFT_META_IIFNAME].contains { $0.rawValue == key }
        if isInterface, packet.interface == nil, packet.passage == nil, !packet.isAnswer { interfaces.insert(register) } else { interfaces.remove(register) }
      case "ct":
        guard let register = try number(NFTA_CT_DREG.rawValue) else { continue }
        registers.load(try number(NFTA_CT_KEY.rawValue) == NFT_CT_STATE.rawValue ? packet.state : nil, into: register)
      case "payload":
        guard let register = try number(NFTA_PAYLOAD_DREG.rawValue) else { continue }
        registers.load(
          packet.payload(base: try number(NFTA_PAYLOAD_BASE.rawValue), offset: try number(NFTA_PAYLOAD_OFFSET.rawValue) ?? 0, length: try number(NFTA_PAYLOAD_LEN.rawValue) ?? 0),
          into: register)
      case "immediate" where try number(NFTA_IMMEDIATE_DREG.rawValue) != NFT_REG_VERDICT.rawValue:
        // A value for what follows.
        if let register = try number(NFTA_IMMEDIATE_DREG.rawValue) { registers.load(try value(NFTA_IMMEDIATE_DATA.rawValue), into: register) }
      case "bitwise":
        guard let source = try number(NFTA_BITWISE_SREG.rawValue), let register = try number(NFTA_BITWISE_DREG.rawValue) else { continue }
        let (mask, xor) = (try value(NFTA_BITWISE_MASK.rawValue), try value(NFTA_BITWISE_XOR.rawValue))
        guard !mask.isEmpty, mask.count == xor.count else {
          registers.load(nil, into: register)
          continue
        }
        registers.load(zip(zip(mask, xor), registers.bytes(mask.count, from: source)).map { bits, byte in bits.0 == 0 ? bits.1 : byte.map { $0 & bits.0 ^ bits.1 } }, into: register)
      case "cmp":
        let wanted = try value(NFTA_CMP_DATA.rawValue)
        let register = try number(NFTA_CMP_SREG.rawValue) ?? 0
        let operation = try number(NFTA_CMP_OP.rawValue)
        if interfaces.contains(register), Self.isLoopback(wanted) {
          if operation == NFT_CMP_EQ.rawValue { return nil }
          continue
        }
        let matches = Self.compare(registers.bytes(wanted.count, from: register), wanted).flatMap { order -> Bool? in
          switch operation {
          case NFT_CMP_EQ.rawValue: order == .equal
          case NFT_CMP_NEQ.rawValue: order != .equal
          case NFT_CMP_LT.rawValue: order.isKnown ? order == .less : nil
          case NFT_CMP_LTE.rawValue: order.isKnown ? order != .greater : nil
          case NFT_CMP_GT.rawValue: order.isKnown ? order == .greater : nil
          case NFT_CMP_GTE.rawValue: order.isKnown ? order != .less : nil
          default: nil
          }
        }
        if matches == false { return nil }
        if matches == nil { isCertain = false }
      case "range":
        let (first, last) = (try value(NFTA_RANGE_FROM_DATA.rawValue), try value(NFTA_RANGE_TO_DATA.rawValue))
        let known = registers.bytes(first.count, from: try number(NFTA_RANGE_SREG.rawValue) ?? 0)
        let (low, high) = (Self.compare(known, first), Self.compare(known, last))
        guard let low, let high, low.isKnown, high.isKnown else {
          isCertain = false
          continue
        }
        let isWithin = low != .less && high != .greater
        if isWithin != (try number(NFTA_RANGE_OP.rawValue) == NFT_RANGE_EQ.rawValue) { return nil }
      case "lookup":
        let isMap = try number(NFTA_LOOKUP_DREG.rawValue) == NFT_REG_VERDICT.rawValue
        if !isMap, let register = try number(NFTA_LOOKUP_DREG.rawValue) { registers.load(nil, into: register) }
        let found = try look(into: try attributes.value(of: NFTA_LOOKUP_SET.rawValue)?.text ?? "", registers, try number(NFTA_LOOKUP_SREG.rawValue) ?? 0)
        let isInverted = (try number(NFTA_LOOKUP_FLAGS.rawValue) ?? 0) & NFT_LOOKUP_F_INV.rawValue != 0
        switch found {
        case .unknown where isMap: return (.accept, false)
        case .unknown: isCertain = false
        case .absent: if !isInverted { return nil }
        case .present(let element):
          if isInverted { return nil }
          if isMap { return try element.verdict.flatMap { (bytes) throws(Malformed) in try Verdict(bytes) }.map { ($0, isCertain) } ?? (.accept, false) }
        }
      case "match":
        switch try packet.fits(match: attributes) {
        case true?: continue
        case false?: return nil
        case nil: isCertain = false
        }
      case "immediate":
        guard let nested = try attributes.value(of: NFTA_IMMEDIATE_DATA.rawValue), let data = try Attributes(nested).value(of: NFTA_DATA_VERDICT.rawValue), let verdict = try Verdict(data)
        else { return (.accept, isCertain) }
        return (verdict, isCertain)
      case "reject": return (.drop, isCertain)
      case "target":
        // NFTA_TARGET_NAME of linux/netfilter/nf_tables_compat.h.
        switch try attributes.value(of: 1)?.text {
        case "LOG", "NFLOG": continue
        case "REJECT": return (.drop, isCertain)
        default: return (.accept, false)
        }
      case "queue", "tproxy", "synproxy", "fwd": return (.accept, false)
      default:
        isCertain = false
        // What it may have left there is not known.
        registers = Registers()
      }
    }
    return (.goesOn, isCertain)
  }

  /// The number 1, or the name.
  private static func isLoopback(_ interface: [UInt8]) -> Bool {
    interface == withUnsafeBytes(of: UInt32(1)) { Array($0) } || interface.starts(with: "lo\0".utf8)
  }

  // MARK: Values

  private enum Order {
    case less, equal, greater
    /// That is certain, and no more.
    case different

    var isKnown: Bool { self != .different }
  }

  /// Nil where it may be anything.
  private static func compare(_ known: [UInt8?], _ wanted: [UInt8]) -> Order? {
    var isComplete = true
    for (byte, other) in zip(known, wanted) {
      guard let byte else {
        isComplete = false
        continue
      }
      if byte != other { return isComplete ? (byte < other ? .less : .greater) : .different }
    }
    return isComplete ? .equal : nil
  }

  private enum Found {
    case absent, unknown
    case present(FilterElement)
  }

  private func look(into name: String, _ registers: Registers, _ register: UInt32) throws(Malformed) -> Found {
    guard let elements = sets[name] else { return .unknown }
    let rest = elements.first { $0.flags & NFT_SET_ELEM_CATCHALL.rawValue != 0 }
    let keyed = elements.filter { $0.flags & NFT_SET_ELEM_CATCHALL.rawValue == 0 }
    guard let length = keyed.map(\.key.count).max(), length > 0 else { return rest.map { .present($0) } ?? .absent }
    let known = registers.bytes(length, from: register)
    let ends = keyed.contains { $0.flags & NFT_SET_ELEM_INTERVAL_END.rawValue != 0 }
    guard !ends else {
      // Each range ends before an element that only says so.
      guard !known.contains(nil) else { return .unknown }
      let bytes = known.compactMap(\.self)
      let last = keyed.filter { !bytes.lexicographicallyPrecedes($0.key) }.max {
        // Where one range ends and the next one begins, the next one counts.
        $0.key == $1.key ? $0.flags & NFT_SET_ELEM_INTERVAL_END.rawValue > $1.flags & NFT_SET_ELEM_INTERVAL_END.rawValue : $0.key.lexicographicallyPrecedes($1.key)
      }
      guard let last, last.flags & NFT_SET_ELEM_INTERVAL_END.rawValue == 0 else { return rest.map { .present($0) } ?? .absent }
      return .present(last)
    }
    var isUnknown = false
    for element in keyed {
      if element.end.isEmpty {
        switch Self.compare(known, element.key) {
        case .equal: return .present(element)
        case nil: isUnknown = true
        default: continue
        }
      } else {
        // Ranges in several fields at once.
        isUnknown = true
      }
    }
    return isUnknown ? .unknown : rest.map { .present($0) } ?? .absent
  }

  /// What a rule has loaded, each byte by itself (`nft_parse_register`: sixteen words, or four times four).
  private struct Registers {
    private var all = [UInt8?](repeating: nil, count: 64)

    private static func place(_ register: UInt32) -> Int? {
      let place = register >= NFT_REG32_00.rawValue ? Int(register - NFT_REG32_00.rawValue) * 4 : (Int(register) - 1) * 16
      return (0..<64).contains(place) ? place : nil
    }

    /// Nil makes all from there on unknown.
    mutating func load(_ bytes: [UInt8?]?, into register: UInt32) {
      guard let place = Self.place(register) else { return }
      guard let bytes else {
        for index in place..<min(64, place + 16) { all[index] = nil }
        return
      }
      // The rest of the last word is zero.
      let padded = bytes + [UInt8?](repeating: 0, count: (4 - bytes.count % 4) % 4)
      for (offset, byte) in padded.enumerated() where place + offset < 64 { all[place + offset] = byte }
    }

    func bytes(_ count: Int, from register: UInt32) -> [UInt8?] {
      guard let place = Self.place(register), place + count <= 64 else { return [UInt8?](repeating: nil, count: count) }
      return Array(all[place..<place + count])
    }
  }
}

extension FilterRuleEntry {
  /// The sets and maps that it looks into.
  public func lookedUp() throws(Malformed) -> [String] {
    var found: [String] = []
    for (name, data) in expressions where name == "lookup" {
      if let set = try Attributes(data).value(of: NFTA_LOOKUP_SET.rawValue) { found.append(set.text) }
    }
    return found
  }
}

extension FilteredPacket {
  /// `NF_CT_STATE_BIT(IP_CT_NEW)` or, of an answer, that of `IP_CT_ESTABLISHED`.
  fileprivate var stateBit: UInt8 { passage?.isToClient ?? isAnswer ? 2 : 8 }
  fileprivate var state: [UInt8] { withUnsafeBytes(of: UInt32(stateBit)) { Array($0) } }

  /// Nil where it is not known.
  fileprivate func meta(_ key: UInt32?) -> [UInt8?]? {
    if let passage { return passage.meta(key) }
    let isOurs = isAnswer ? [NFT_META_OIF, NFT_META_OIFNAME] : [NFT_META_IIF, NFT_META_IIFNAME]
    switch key {
    case NFT_META_L4PROTO.rawValue: return protocolNumber.map { [$0] }
    case NFT_META_NFPROTO.rawValue: return address.map { [UInt8($0.isIPv6 ? NFPROTO_IPV6 : NFPROTO_IPV4)] }
    case NFT_META_PROTOCOL.rawValue: return address.map { $0.isIPv6 ? [0x86, 0xdd] : [0x08, 0x00] }
    case NFT_META_PKTTYPE.rawValue: return isAnswer ? nil : [0]
    case NFT_META_SECPATH.rawValue: return wasProtected.map { [$0 ? 1 : 0] }
    case isOurs[0].rawValue: return link.map { index in withUnsafeBytes(of: index) { Array($0) } }
    case isOurs[1].rawValue:
      return interface.map { name in (0..<16).map { $0 < name.utf8.count ? Array(name.utf8)[$0] : 0 } }
    default: return nil
    }
  }

  /// Nil: nothing of it is known.
  fileprivate func payload(base: UInt32?, offset: UInt32, length: UInt32) -> [UInt8?]? {
    var header: [UInt8?]
    switch base {
    case NFT_PAYLOAD_NETWORK_HEADER.rawValue where passage != nil: header = passage?.header ?? []
    case NFT_PAYLOAD_NETWORK_HEADER.rawValue:
      guard let address else { return nil }
      // RFC 791, RFC 8200: the protocol, source and destination.
      header = [UInt8?](repeating: nil, count: address.isIPv6 ? 40 : 20)
      header[address.isIPv6 ? 6 : 9] = protocolNumber
      let place = address.isIPv6 ? (isAnswer ? 8 : 24) : (isAnswer ? 12 : 16)
      for (index, byte) in address.bytes.enumerated() { header[place + index] = byte }
    case NFT_PAYLOAD_TRANSPORT_HEADER.rawValue:
      header = [UInt8?](repeating: nil, count: 20)
      let place = isAnswer ? 0 : 2
      if let port { (header[place], header[place + 1]) = (UInt8(port >> 8), UInt8(truncatingIfNeeded: port)) }
    default: return nil
    }
    guard length > 0, length <= 16 else { return nil }
    return (offset..<offset + length).map { Int($0) < header.count ? header[Int($0)] : nil }
  }

  /// Whether an expression of iptables' is met (`linux/netfilter/nf_tables_compat.h`); nil: not known.
  fileprivate func fits(match: Attributes) throws(Malformed) -> Bool? {
    let name = try match.value(of: 1)?.text ?? ""
    let revision = try match.value(of: 2)?.bigEndian(UInt32.self) ?? 0
    let info = try match.value(of: 3) ?? []
    func half(_ offset: Int) -> UInt16? { info.field(UInt16.self, at: offset) }
    // What it carries is not known, but for the state that it belongs to.
    guard passage == nil || ["comment", "state", "conntrack"].contains(name) else { return nil }
    func isWithin(_ first: UInt16, _ last: UInt16) -> Bool? { port.map { (first...max(first, last)).contains($0) } }
    switch (name, revision) {
    case ("comment", _): return true
    // struct xt_state_info
    case ("state", _): return info.field(UInt32.self, at: 0).map { $0 & UInt32(stateBit) != 0 }
    // struct xt_conntrack_mtinfo3, of which only the state is asked.
    case ("conntrack", 2...3):
      // XT_CONNTRACK_STATE_ALIAS: it was written as -m state.
      guard let flags = half(146), flags & ~0x2000 == 1, let inverted = half(148), let mask = half(150) else { return nil }
      return (mask & UInt16(stateBit) != 0) != (inverted & 1 != 0)
    // struct xt_udp: sources, destinations, which of them is inverted.
    case ("udp", 0):
      guard let flags = info.field(UInt8.self, at: 8), flags == 0, let first = half(0), let last = half(2), let low = half(4), let high = half(6) else { return nil }
      let (ours, theirs) = isAnswer ? ((first, last), (low, high)) : ((low, high), (first, last))
      guard theirs == (0, 65535) else { return isWithin(ours.0, ours.1) == false ? false : nil }
      return isWithin(ours.0, ours.1)
    // struct xt_multiport_v1
    case ("multiport", 1):
      guard let flags = info.field(UInt8.self, at: 0), flags == (isAnswer ? 0 : 1), let count = info.field(UInt8.self, at: 1), count <= 15, info.field(UInt8.self, at: 47) == 0, port != nil else { return nil }
      var index = 0
      while index < Int(count) {
        guard let first = half(2 + 2 * index) else { return nil }
        let isRange = info.field(UInt8.self, at: 32 + index) != 0
        let last = isRange ? half(4 + 2 * index) ?? first : first
        if isWithin(first, last) == true { return true }
        index += isRange ? 2 : 1
      }
      return false
    // struct xt_addrtype_info_v1: XT_ADDRTYPE_LOCAL is 4.
    case ("addrtype", 1):
      guard !isAnswer, address != nil, half(0) == 0, let wanted = half(2), info.field(UInt32.self, at: 4) == 0 else { return nil }
      return wanted & 4 != 0
    default: return nil
    }
  }
}

extension FilteredPacket.Passage {
  /// Nil where it is not known.
  fileprivate func meta(_ key: UInt32?) -> [UInt8?]? {
    switch key {
    case NFT_META_NFPROTO.rawValue: return [UInt8(address.isIPv6 ? NFPROTO_IPV6 : NFPROTO_IPV4)]
    case NFT_META_PROTOCOL.rawValue: return address.isIPv6 ? [0x86, 0xdd] : [0x08, 0x00]
    case (isToClient ? NFT_META_IIF : NFT_META_OIF).rawValue: return far.map { link in withUnsafeBytes(of: link.index) { Array($0) } }
    case (isToClient ? NFT_META_IIFNAME : NFT_META_OIFNAME).rawValue:
      return far.map { link in (0..<16).map { $0 < link.name.utf8.count ? Array(link.name.utf8)[$0] : 0 } }
    case (isToClient ? NFT_META_OIFNAME : NFT_META_IIFNAME).rawValue:
      let (name, isWhole) = (Array(clientLink.utf8.prefix { $0 != UInt8(ascii: "*") }), !clientLink.hasSuffix("*"))
      return (0..<16).map { $0 < name.count ? name[$0] : isWhole ? 0 : nil }
    default: return nil
    }
  }

  /// RFC 791, RFC 8200: source and destination.
  fileprivate var header: [UInt8?] {
    var header = [UInt8?](repeating: nil, count: address.isIPv6 ? 40 : 20)
    let place = address.isIPv6 ? (isToClient ? 24 : 8) : (isToClient ? 16 : 12)
    for (index, byte) in address.bytes.enumerated() { header[place + index] = byte }
    return header
  }
}
