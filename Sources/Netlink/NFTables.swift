import CLinux
import Host

/// Requests to nf_tables (`linux/netfilter/nf_tables.h`). Its numbers are in network byte order.
extension Message {
  /// Asks for the number of the present generation of all rules; every change makes another.
  public static var getFilterGeneration: Message { filter(NFT_MSG_GETGEN) }

  /// Asks for the table of family inet with this name.
  public static func getFilterTable(_ name: String) -> Message {
    filter(NFT_MSG_GETTABLE, name, UInt16(NFTA_TABLE_NAME.rawValue))
  }

  /// Asks for the chains of one family, or of all, by `dump`. The kernel does not filter them by table.
  public static func getFilterChains(family: UInt8 = UInt8(NFPROTO_INET)) -> Message { filter(NFT_MSG_GETCHAIN, family: family) }

  /// Asks for the rules of a table, by `dump`.
  public static func getFilterRules(table: String, family: String = "inet") -> Message {
    var message = filter(NFT_MSG_GETRULE, family: number(of: family))
    message.attribute(UInt16(NFTA_RULE_TABLE.rawValue), table)
    return message
  }

  /// `NFPROTO_*` of `ip`, `ip6` and `inet`.
  private static func number(of family: String) -> UInt8 {
    UInt8(family == "ip" ? Int(NFPROTO_IPV4) : family == "ip6" ? Int(NFPROTO_IPV6) : Int(NFPROTO_INET))
  }

  /// Asks for the sets of a table, by `dump`.
  public static func getFilterSets(table: String, family: String = "inet") -> Message {
    filter(NFT_MSG_GETSET, table, UInt16(NFTA_SET_TABLE.rawValue), family: number(of: family))
  }

  /// Asks for the elements of a set, by `dump`.
  public static func getFilterElements(of set: String, table: String, family: String = "inet") -> Message {
    var message = filter(NFT_MSG_GETSETELEM, table, UInt16(NFTA_SET_ELEM_LIST_TABLE.rawValue), family: number(of: family))
    message.attribute(UInt16(NFTA_SET_ELEM_LIST_SET.rawValue), set)
    return message
  }

  /// Asks for the named counters, quotas … of a table, by `dump`.
  public static func getFilterObjects(table: String) -> Message {
    filter(NFT_MSG_GETOBJ, table, UInt16(NFTA_OBJ_TABLE.rawValue))
  }

  /// Asks for the flow tables of a table, by `dump`.
  public static func getFlowTables(table: String) -> Message {
    filter(NFT_MSG_GETFLOWTABLE, table, UInt16(NFTA_FLOWTABLE_TABLE.rawValue))
  }

  /// Removes a table of family inet with all that is in it, by its handle, to be committed. (Without name and handle the
  /// kernel would take it for all tables.)
  public static func removeFilterTable(handle: UInt64) -> Message {
    var message = filter(NFT_MSG_DELTABLE)
    message.attribute(UInt16(NFTA_TABLE_HANDLE.rawValue), withUnsafeBytes(of: handle.bigEndian) { Array($0) })
    return message
  }

  static func batchBegin(_ subsystem: UInt8) -> Message { batch(UInt16(NLMSG_MIN_TYPE), subsystem) }
  static func batchEnd(_ subsystem: UInt8) -> Message { batch(UInt16(NLMSG_MIN_TYPE) + 1, subsystem) }

  /// `NFNL_MSG_BATCH_BEGIN`, `NFNL_MSG_BATCH_END`: the resource id is the subsystem.
  private static func batch(_ type: UInt16, _ subsystem: UInt8) -> Message {
    var message = Message(type: type, flags: UInt16(NLM_F_REQUEST))
    message.append(UInt8(AF_UNSPEC))
    message.append(UInt8(NFNETLINK_V0))
    message.append(UInt16(subsystem).bigEndian)
    return message
  }

  /// - Parameter attribute: under which this request takes the table's name.
  private static func filter(_ type: nf_tables_msg_types, _ table: String, _ attribute: UInt16, family: UInt8 = UInt8(NFPROTO_INET)) -> Message {
    var message = filter(type, family: family)
    message.attribute(attribute, table)
    return message
  }

  private static func filter(_ type: nf_tables_msg_types, family: UInt8 = UInt8(NFPROTO_INET)) -> Message {
    var message = Message(type: UInt16(NFNL_SUBSYS_NFTABLES) << 8 | UInt16(type.rawValue), flags: 0)
    // struct nfgenmsg
    message.append(family)
    message.append(UInt8(NFNETLINK_V0))
    message.append(UInt16(0))
    return message
  }
}

extension ReceivedMessage {
  /// `NFTA_GEN_ID`; nil where this is no generation.
  public func filterGeneration() throws(Malformed) -> UInt32? {
    guard let attributes = filterAttributes(NFT_MSG_NEWGEN) else { return nil }
    return try attributes.value(of: NFTA_GEN_ID.rawValue)?.bigEndian(UInt32.self)
  }

  /// `NFPROTO_*`
  var filterFamily: UInt8 { payload.first ?? 0 }

  /// What is behind `struct nfgenmsg`; nil for a message of another type.
  func filterAttributes(_ type: nf_tables_msg_types) -> Attributes? {
    guard self.type == UInt16(NFNL_SUBSYS_NFTABLES) << 8 | UInt16(type.rawValue) else { return nil }
    return Attributes(payload.bytes(from: 4))
  }
}

extension Attributes {
  /// The first attribute of this type.
  func value(of wanted: UInt32) throws(Malformed) -> ArraySlice<UInt8>? {
    var rest = self
    while let (type, value) = try rest.next() {
      if UInt32(type) == wanted { return value }
    }
    return nil
  }
}

extension ArraySlice<UInt8> {
  func bigEndian<Value: FixedWidthInteger>(_ type: Value.Type) -> Value? { field(type, at: 0).map { Value(bigEndian: $0) } }
}
