import CLinux
import Host

/// A table as the kernel lists it (`enum nft_table_attributes`).
public struct FilterTableEntry: Equatable, Sendable {
  public var name = ""
  public var handle: UInt64 = 0
  public var flags: UInt32 = 0
  /// How many chains, sets, objects and flow tables are in it.
  public var use: UInt32 = 0
  public var comment = ""

  /// Nil for any other message.
  public init?(_ message: ReceivedMessage) throws(Malformed) {
    guard var attributes = message.filterAttributes(NFT_MSG_NEWTABLE) else { return nil }
    while let (type, value) = try attributes.next() {
      switch UInt32(type) {
      case NFTA_TABLE_NAME.rawValue: name = value.text
      case NFTA_TABLE_HANDLE.rawValue: handle = value.bigEndian(UInt64.self) ?? 0
      case NFTA_TABLE_FLAGS.rawValue: flags = value.bigEndian(UInt32.self) ?? 0
      case NFTA_TABLE_USE.rawValue: use = value.bigEndian(UInt32.self) ?? 0
      case NFTA_TABLE_USERDATA.rawValue: comment = Self.comment(in: value)
      default: break
      }
    }
    guard handle != 0 else { throw Malformed(what: "a table without a handle") }
  }

  /// libnftnl's notes of its own: type, length, value, one byte each for the first two; a comment is type 0.
  private static func comment(in notes: ArraySlice<UInt8>) -> String {
    var rest = notes
    while let type = rest.field(UInt8.self, at: 0), let length = rest.field(UInt8.self, at: 1),
      let value = rest.bytes(at: 2, Int(length))
    {
      if type == 0 { return value.text }
      rest = rest.bytes(from: 2 + Int(length))
    }
    return ""
  }
}

/// A chain (`enum nft_chain_attributes`).
public struct FilterChainEntry: Equatable, Sendable {
  public var table = ""
  public var name = ""
  /// Hook, policy, type and flags, as they came.
  public var properties: [UInt8] = []
  /// Nil for a chain that only rules jump to, and in families without an IP packet.
  public var base: BaseChain?

  /// Nil for any other message.
  public init?(_ message: ReceivedMessage) throws(Malformed) {
    guard var attributes = message.filterAttributes(NFT_MSG_NEWCHAIN) else { return nil }
    var hook: UInt32?
    var policy: UInt32?
    var isForTranslation = false
    var rules: UInt32?
    while let (type, value) = try attributes.next() {
      switch UInt32(type) {
      case NFTA_CHAIN_TABLE.rawValue: table = value.text
      case NFTA_CHAIN_NAME.rawValue: name = value.text
      case NFTA_CHAIN_HOOK.rawValue:
        properties.append(type, value)
        hook = try Attributes(value).value(of: NFTA_HOOK_HOOKNUM.rawValue)?.bigEndian(UInt32.self)
      case NFTA_CHAIN_POLICY.rawValue:
        properties.append(type, value)
        policy = value.bigEndian(UInt32.self)
      case NFTA_CHAIN_TYPE.rawValue:
        properties.append(type, value)
        isForTranslation = value.text == "nat"
      case NFTA_CHAIN_FLAGS.rawValue: properties.append(type, value)
      // Nobody can jump to a chain with a hook: what uses it are its rules.
      case NFTA_CHAIN_USE.rawValue: rules = value.bigEndian(UInt32.self)
      default: break
      }
    }
    let families: [Int: String] = [Int(NFPROTO_INET): "inet", Int(NFPROTO_IPV4): "ip", Int(NFPROTO_IPV6): "ip6"]
    if let hook = hook.flatMap(BaseChain.Hook.init(rawValue:)), let family = families[Int(message.filterFamily)] {
      // NF_DROP is 0.
      base = BaseChain(family: family, table: table, name: name, hook: hook, dropsByDefault: policy == 0, translates: isForTranslation && rules != 0)
    }
  }
}

/// A set or a map (`enum nft_set_attributes`).
public struct FilterSetEntry: Equatable, Sendable {
  public var table = ""
  public var name = ""
  public var flags: UInt32 = 0
  /// Types, sizes, flags.
  public var properties: [UInt8] = []

  /// Written between braces in a rule: part of that rule.
  public var isAnonymous: Bool { flags & NFT_SET_ANONYMOUS.rawValue != 0 }
  /// Filled by packets, or its elements end by themselves.
  public var changesByItself: Bool { flags & (NFT_SET_TIMEOUT.rawValue | NFT_SET_EVAL.rawValue) != 0 }

  /// Nil for any other message.
  public init?(_ message: ReceivedMessage) throws(Malformed) {
    guard var attributes = message.filterAttributes(NFT_MSG_NEWSET) else { return nil }
    while let (type, value) = try attributes.next() {
      switch UInt32(type) {
      case NFTA_SET_TABLE.rawValue: table = value.text
      case NFTA_SET_NAME.rawValue: name = value.text
      case NFTA_SET_FLAGS.rawValue:
        flags = value.bigEndian(UInt32.self) ?? 0
        properties.append(type, value)
      case NFTA_SET_KEY_TYPE.rawValue, NFTA_SET_KEY_LEN.rawValue, NFTA_SET_DATA_TYPE.rawValue, NFTA_SET_DATA_LEN.rawValue,
        NFTA_SET_POLICY.rawValue, NFTA_SET_DESC.rawValue, NFTA_SET_TIMEOUT.rawValue, NFTA_SET_OBJ_TYPE.rawValue:
        properties.append(type, value)
      default: break
      }
    }
  }
}

/// An element of a set (`enum nft_set_elem_attributes`).
public struct FilterElement: Equatable, Sendable {
  /// Key, data and flags, as they came.
  public var properties: [UInt8] = []
  public var key: [UInt8] = []
  /// The last of a range, where the key is the first; empty for a single value.
  public var end: [UInt8] = []
  /// `NFT_SET_ELEM_*`
  public var flags: UInt32 = 0
  /// What a map has for the key: `NFTA_DATA_VERDICT` of a map of verdicts.
  var verdict: ArraySlice<UInt8>?
  /// Milliseconds.
  public var timeout: UInt64?
  public var remaining: UInt64?

  public var member: SetMember? {
    guard let address = IPAddress(bytes: key) else { return nil }
    func duration(_ time: UInt64?) -> Duration? { time.map { .milliseconds(Int64(clamping: $0)) } }
    return SetMember(address, timeout: duration(timeout), remaining: duration(remaining))
  }

  /// The elements of one message of a set's list; nil for any other message.
  public static func all(in message: ReceivedMessage) throws(Malformed) -> [FilterElement]? {
    guard var attributes = message.filterAttributes(NFT_MSG_NEWSETELEM) else { return nil }
    var elements: [FilterElement] = []
    while let (type, value) = try attributes.next() {
      guard UInt32(type) == NFTA_SET_ELEM_LIST_ELEMENTS.rawValue else { continue }
      var list = Attributes(value)
      while let (_, element) = try list.next() { elements.append(try FilterElement(element)) }
    }
    return elements
  }

  private init(_ bytes: ArraySlice<UInt8>) throws(Malformed) {
    var attributes = Attributes(bytes)
    while let (type, value) = try attributes.next() {
      switch UInt32(type) {
      case NFTA_SET_ELEM_KEY.rawValue:
        properties.append(type, value)
        key = Array(try Attributes(value).value(of: NFTA_DATA_VALUE.rawValue) ?? [])
      case NFTA_SET_ELEM_DATA.rawValue:
        properties.append(type, value)
        verdict = try Attributes(value).value(of: NFTA_DATA_VERDICT.rawValue)
      case NFTA_SET_ELEM_FLAGS.rawValue:
        properties.append(type, value)
        flags = value.bigEndian(UInt32.self) ?? 0
      case NFTA_SET_ELEM_KEY_END.rawValue:
        properties.append(type, value)
        end = Array(try Attributes(value).value(of: NFTA_DATA_VALUE.rawValue) ?? [])
      case NFTA_SET_ELEM_OBJREF.rawValue: properties.append(type, value)
      case NFTA_SET_ELEM_TIMEOUT.rawValue: timeout = value.bigEndian(UInt64.self)
      case NFTA_SET_ELEM_EXPIRATION.rawValue: remaining = value.bigEndian(UInt64.self)
      default: break
      }
    }
  }
}

/// A rule (`enum nft_rule_attributes`).
public struct FilterRuleEntry: Equatable, Sendable {
  public var table = ""
  public var chain = ""
  /// In their order: what each is called, and its own attributes.
  public var expressions: [(name: String, attributes: ArraySlice<UInt8>)] = []

  /// Nil for any other message.
  public init?(_ message: ReceivedMessage) throws(Malformed) {
    guard var attributes = message.filterAttributes(NFT_MSG_NEWRULE) else { return nil }
    while let (type, value) = try attributes.next() {
      switch UInt32(type) {
      case NFTA_RULE_TABLE.rawValue: table = value.text
      case NFTA_RULE_CHAIN.rawValue: chain = value.text
      case NFTA_RULE_EXPRESSIONS.rawValue:
        var list = Attributes(value)
        while let (_, expression) = try list.next() {
          let parts = Attributes(expression)
          let name = try parts.value(of: NFTA_EXPR_NAME.rawValue)?.text ?? ""
          expressions.append((name, try parts.value(of: NFTA_EXPR_DATA.rawValue) ?? []))
        }
      default: break
      }
    }
  }

  /// The rule without what counts, and with the content of nameless sets in place of the names the kernel gave them.
  public func properties(sets: [String: [UInt8]]) throws(Malformed) -> [UInt8] {
    var bytes: [UInt8] = []
    for (name, data) in expressions {
      bytes += Array(name.utf8) + [0]
      switch name {
      case "counter", "last": break
      case "quota":
        try bytes.append(data) { type, value in
          switch type {
          case NFTA_QUOTA_CONSUMED.rawValue: nil
          // Bit 1 says that it is used up.
          case NFTA_QUOTA_FLAGS.rawValue: value.dropLast() + [(value.last ?? 0) & ~2]
          default: value
          }
        }
      case "lookup", "objref":
        let set = name == "lookup" ? NFTA_LOOKUP_SET.rawValue : NFTA_OBJREF_SET_NAME.rawValue
        try bytes.append(data) { type, value in type == set ? sets[value.text]?[...] ?? value : value }
      default: bytes.append(data)
      }
    }
    return bytes
  }

  public static func == (a: FilterRuleEntry, b: FilterRuleEntry) -> Bool {
    a.table == b.table && a.chain == b.chain && a.expressions.elementsEqual(b.expressions, by: ==)
  }
}

/// A named counter, quota … (`enum nft_object_attributes`) or a flow table (`enum nft_flowtable_attributes`).
public struct FilterObjectEntry: Equatable, Sendable {
  public var table = ""
  public var name = ""
  public var properties: [UInt8] = []

  /// Nil for any other message.
  public init?(_ message: ReceivedMessage) throws(Malformed) {
    if var attributes = message.filterAttributes(NFT_MSG_NEWOBJ) {
      while let (type, value) = try attributes.next() {
        switch UInt32(type) {
        case NFTA_OBJ_TABLE.rawValue: table = value.text
        case NFTA_OBJ_NAME.rawValue: name = value.text
        // What it is set to is mixed with what it has counted: the kind has to do.
        case NFTA_OBJ_TYPE.rawValue: properties.append(type, value)
        default: break
        }
      }
    } else if var attributes = message.filterAttributes(NFT_MSG_NEWFLOWTABLE) {
      while let (type, value) = try attributes.next() {
        switch UInt32(type) {
        case NFTA_FLOWTABLE_TABLE.rawValue: table = value.text
        case NFTA_FLOWTABLE_NAME.rawValue: name = value.text
        case NFTA_FLOWTABLE_FLAGS.rawValue: properties.append(type, value)
        default: break
        }
      }
    } else {
      return nil
    }
  }
}

extension [UInt8] {
  /// Bytes behind their length, so that what follows cannot be taken for part of them.
  fileprivate mutating func append(_ bytes: ArraySlice<UInt8>) {
    Swift.withUnsafeBytes(of: UInt32(clamping: bytes.count)) { append(contentsOf: $0) }
    append(contentsOf: bytes)
  }

  fileprivate mutating func append(_ type: UInt16, _ value: ArraySlice<UInt8>) {
    Swift.withUnsafeBytes(of: type) { append(contentsOf: $0) }
    append(value)
  }

  /// Attributes as `change` leaves them; without those for which it answers nil.
  fileprivate mutating func append(
    _ attributes: ArraySlice<UInt8>, changedBy change: (UInt32, ArraySlice<UInt8>) -> ArraySlice<UInt8>?
  ) throws(Malformed) {
    var attributes = Attributes(attributes)
    while let (type, value) = try attributes.next() {
      if let value = change(UInt32(type), value) { append(type, value) }
    }
  }
}
