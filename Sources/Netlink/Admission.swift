import CLinux
import Host

/// Whether rules may let a packet through of which little is known: the first of a connection, and not from this node itself.
///
/// What a rule asks is answered by yes, no or perhaps; "no way through" is certain, a way through is not.
public struct Admission {
  var packet: FilteredPacket
  /// Each chain's rules, in their order.
  var rules: [String: [FilterRuleEntry]]

  public init(_ packet: FilteredPacket, _ rules: [String: [FilterRuleEntry]]) {
    self.packet = packet
    self.rules = rules
  }

  /// What a chain does with the packet, if that is certain.
  public enum End { case drops, passesOn, mayAccept }

  /// - Parameter depth: of chains that jump; the kernel allows sixteen.
  public func end(of chain: String, depth: Int = 16) throws(Malformed) -> End {
    guard depth > 0 else { return .mayAccept }
    for rule in rules[chain] ?? [] {
      guard let (verdict, isCertain) = try verdict(of: rule) else { continue }
      switch verdict {
      case .goesOn: continue
      case .drop: if isCertain { return .drops }
      case .returns: if isCertain { return .passesOn }
      case .accept: return .mayAccept
      case .jump(let other, let isGoto):
        switch try end(of: other, depth: depth - 1) {
        case .mayAccept: return .mayAccept
        case .drops: if isCertain { return .drops }
        case .passesOn: if isGoto, isCertain { return .passesOn }
        }
      }
    }
    return .passesOn
  }

  /// The number 1, or the name.
  private static func isLoopback(_ interface: [UInt8]) -> Bool {
    interface == withUnsafeBytes(of: UInt32(1)) { Array($0) } || interface.starts(with: "lo\0".utf8)
  }

  private enum Verdict {
    case goesOn, drop, accept, returns
    case jump(String, isGoto: Bool)
  }

  /// Nil for a rule that certainly does not match.
  private func verdict(of rule: FilterRuleEntry) throws(Malformed) -> (Verdict, isCertain: Bool)? {
    var registers: [UInt32: [UInt8]] = [:]
    // Those with the interface, by number or by name, of which one thing is known: it is not the loopback's.
    var interfaces: Set<UInt32> = []
    var isCertain = true
    for (name, data) in rule.expressions {
      let attributes = Attributes(data)
      func number(_ type: UInt32) throws(Malformed) -> UInt32? { try attributes.value(of: type)?.bigEndian(UInt32.self) }
      func value(_ type: UInt32) throws(Malformed) -> [UInt8] {
        try attributes.value(of: type).map { (nested) throws(Malformed) in Array(try Attributes(nested).value(of: NFTA_DATA_VALUE.rawValue) ?? []) } ?? []
      }
      switch name {
      case "counter", "log", "last": continue
      case "meta":
        guard let register = try number(NFTA_META_DREG.rawValue) else { continue }
        let key = try number(NFTA_META_KEY.rawValue)
        registers[register] = packet.meta(key)
        if key == NFT_META_IIF.rawValue || key == NFT_META_IIFNAME.rawValue { interfaces.insert(register) } else { interfaces.remove(register) }
      case "ct":
        guard let register = try number(NFTA_CT_DREG.rawValue) else { continue }
        registers[register] = try number(NFTA_CT_KEY.rawValue) == NFT_CT_STATE.rawValue ? FilteredPacket.new : nil
      case "payload":
        guard let register = try number(NFTA_PAYLOAD_DREG.rawValue) else { continue }
        registers[register] = packet.payload(
          base: try number(NFTA_PAYLOAD_BASE.rawValue), offset: try number(NFTA_PAYLOAD_OFFSET.rawValue), length: try number(NFTA_PAYLOAD_LEN.rawValue))
      case "bitwise":
        guard let source = try number(NFTA_BITWISE_SREG.rawValue), let register = try number(NFTA_BITWISE_DREG.rawValue) else { continue }
        let (mask, xor) = (try value(NFTA_BITWISE_MASK.rawValue), try value(NFTA_BITWISE_XOR.rawValue))
        let known = registers[source].flatMap { $0.count == mask.count && mask.count == xor.count ? $0 : nil }
        registers[register] = known.map { bytes in bytes.indices.map { bytes[$0] & mask[$0] ^ xor[$0] } }
      case "cmp":
        let wanted = try value(NFTA_CMP_DATA.rawValue)
        let register = try number(NFTA_CMP_SREG.rawValue) ?? 0
        if interfaces.contains(register), Self.isLoopback(wanted) {
          if try number(NFTA_CMP_OP.rawValue) == NFT_CMP_EQ.rawValue { return nil }
          continue
        }
        guard let known = registers[register] else {
          isCertain = false
          continue
        }
        guard known.count == wanted.count else {
          isCertain = false
          continue
        }
        switch try number(NFTA_CMP_OP.rawValue) {
        case NFT_CMP_EQ.rawValue: if known != wanted { return nil }
        case NFT_CMP_NEQ.rawValue: if known == wanted { return nil }
        default: isCertain = false
        }
      case "immediate":
        // Into a register that is no verdict: a value for what follows.
        guard try number(NFTA_IMMEDIATE_DREG.rawValue) == NFT_REG_VERDICT.rawValue else { continue }
        guard let nested = try attributes.value(of: NFTA_IMMEDIATE_DATA.rawValue), let data = try Attributes(nested).value(of: NFTA_DATA_VERDICT.rawValue),
          let code = try Attributes(data).value(of: NFTA_VERDICT_CODE.rawValue)?.bigEndian(Int32.self)
        else { return (.accept, isCertain) }
        let chain = try Attributes(data).value(of: NFTA_VERDICT_CHAIN.rawValue)?.text ?? ""
        switch code {
        case 0: return (.drop, isCertain)
        case NFT_CONTINUE.rawValue: return (.goesOn, isCertain)
        case NFT_RETURN.rawValue: return (.returns, isCertain)
        case NFT_JUMP.rawValue: return (.jump(chain, isGoto: false), isCertain)
        case NFT_GOTO.rawValue: return (.jump(chain, isGoto: true), isCertain)
        default: return (.accept, isCertain)
        }
      case "reject": return (.drop, isCertain)
      case "lookup":
        // One that maps to verdicts may accept.
        if try number(NFTA_LOOKUP_DREG.rawValue) == NFT_REG_VERDICT.rawValue { return (.accept, false) }
        isCertain = false
      case "queue", "target", "tproxy", "synproxy", "fwd": return (.accept, false)
      default: isCertain = false
      }
    }
    return (.goesOn, isCertain)
  }
}

extension FilteredPacket {
  /// A connection's first packet (`NF_CT_STATE_BIT(IP_CT_NEW)`).
  fileprivate static var new: [UInt8] { withUnsafeBytes(of: UInt32(8)) { Array($0) } }

  /// Nil where it is not known.
  fileprivate func meta(_ key: UInt32?) -> [UInt8]? {
    switch key {
    case NFT_META_L4PROTO.rawValue: protocolNumber.map { [$0] }
    default: nil
    }
  }

  fileprivate func payload(base: UInt32?, offset: UInt32?, length: UInt32?) -> [UInt8]? {
    guard base == NFT_PAYLOAD_TRANSPORT_HEADER.rawValue, offset == 2, length == 2 else { return nil }
    return port.map { [UInt8($0 >> 8), UInt8(truncatingIfNeeded: $0)] }
  }
}
