import CLinux
import Host
import Netlink
import Testing

@Suite("nftables on the wire")
struct FilterTests {
  @Test func generation() throws {
    #expect(try decoded(FilterFixture.generation) { (message) throws(Malformed) in try message.filterGeneration() } == 2)
    #expect(try decoded(FilterFixture.table) { (message) throws(Malformed) in try message.filterGeneration() } == nil)
  }

  @Test func table() throws {
    let table = try #require(try decoded(FilterFixture.table, FilterTableEntry.init))
    #expect(table.name == "t")
    #expect(table.handle == 1)
    #expect(table.use == 3)
    #expect(table.flags == 0)
    #expect(table.comment == "ours 1")
  }

  @Test("A table without a handle could only be removed by a request that means all tables")
  func tableWithoutHandle() {
    var table = FilterFixture.table
    table[38] = 0x63  // NFTA_TABLE_HANDLE becomes a type that nobody knows
    #expect(throws: SystemError.self) { try decoded(table, FilterTableEntry.init) }
  }

  @Test func chain() throws {
    let chain = try #require(try decoded(FilterFixture.chain, FilterChainEntry.init))
    #expect(chain.table == "t")
    #expect(chain.name == "input")
    #expect(chain.base == BaseChain(family: "inet", table: "t", name: "input", hook: .input, dropsByDefault: true))
    var accepting = FilterFixture.chain
    accepting[0x4b] = 1  // the last byte of NFTA_CHAIN_POLICY
    let other = try #require(try decoded(accepting, FilterChainEntry.init))
    #expect(other.base?.dropsByDefault == false)
    #expect(other.properties != chain.properties)
    var used = FilterFixture.chain
    used[used.count - 1] = 9  // NFTA_CHAIN_USE
    #expect(try decoded(used, FilterChainEntry.init) == chain)
    var bridge = FilterFixture.chain
    bridge[16] = 7
    #expect(try decoded(bridge, FilterChainEntry.init)?.base == nil)
  }

  @Test("A rule is the same whatever it has counted, whatever its handle, and whatever the kernel calls its set")
  func rule() throws {
    let rule = try #require(try decoded(FilterFixture.rule, FilterRuleEntry.init))
    #expect(rule.table == "t")
    #expect(rule.chain == "input")
    #expect(rule.expressions.map(\.name) == ["meta", "cmp", "payload", "lookup", "counter", "immediate"])
    let content: [UInt8] = [1, 2, 3]
    let properties = try rule.properties(sets: ["__set0": content])
    func changed(_ offset: Int, to byte: UInt8) throws -> FilterRuleEntry {
      var bytes = FilterFixture.rule
      bytes[offset] = byte
      return try #require(try decoded(bytes, FilterRuleEntry.init))
    }
    #expect(try changed(0x33, to: 77).properties(sets: ["__set0": content]) == properties, "the handle")
    #expect(try changed(0x10b, to: 77).properties(sets: ["__set0": content]) == properties, "counted bytes")
    #expect(try changed(0xd9, to: UInt8(ascii: "9")).properties(sets: ["__set9": content]) == properties, "the set's name")
    #expect(try rule.properties(sets: ["__set0": [1, 2, 4]]) != properties, "the set's content")
    #expect(try rule.properties(sets: [:]) != properties, "a set with a name")
    #expect(try changed(0x84, to: 6).properties(sets: ["__set0": content]) != properties, "the protocol")
  }

  @Test("A quota is compared without what it has used up")
  func quota() throws {
    func quota(consumed: UInt8, flags: UInt8, bytes: UInt8 = 100) throws -> [UInt8] {
      var message = Message(type: 0x0a06, flags: 0)
      message.append([1, 0, 0, 0])
      message.nested(UInt16(NFTA_RULE_EXPRESSIONS.rawValue)) { list in
        list.nested(UInt16(NFTA_LIST_ELEM.rawValue)) { expression in
          expression.attribute(UInt16(NFTA_EXPR_NAME.rawValue), "quota")
          expression.nested(UInt16(NFTA_EXPR_DATA.rawValue)) { data in
            data.attribute(UInt16(NFTA_QUOTA_BYTES.rawValue), [0, 0, 0, 0, 0, 0, 0, bytes])
            data.attribute(UInt16(NFTA_QUOTA_FLAGS.rawValue), [0, 0, 0, flags])
            data.attribute(UInt16(NFTA_QUOTA_CONSUMED.rawValue), [0, 0, 0, 0, 0, 0, 0, consumed])
          }
        }
      }
      let rule = try #require(try decoded(message.encoded(sequence: 7), FilterRuleEntry.init))
      return try rule.properties(sets: [:])
    }
    #expect(try quota(consumed: 0, flags: 0) == quota(consumed: 100, flags: 2))
    #expect(try quota(consumed: 0, flags: 0) != quota(consumed: 0, flags: 1))
    #expect(try quota(consumed: 0, flags: 0) != quota(consumed: 0, flags: 0, bytes: 99))
  }

  @Test func sets() throws {
    let channel = ScriptedChannel(FilterFixture.sets, Fixture.done)
    let sets = try Connection.scripted(channel).dump(.getFilterSets(table: "t"), "listing", FilterSetEntry.init)
    #expect(sets.map(\.name) == ["d", "__set0"])
    #expect(sets.map(\.isAnonymous) == [false, true])
    #expect(sets.map(\.changesByItself) == [true, false])
    #expect(sets[0].properties != sets[1].properties)
  }

  @Test func elements() throws {
    let channel = ScriptedChannel(FilterFixture.elements)
    let request = Message.getFilterElements(of: "d", table: "t")
    let elements = try Connection.scripted(channel).dump(request, "listing", FilterElement.all).flatMap { $0 }
    #expect(
      elements.map(\.member) == [SetMember(address("192.0.2.1"), timeout: .seconds(3600), remaining: .seconds(3600))])
    #expect(
      channel.sent == [
        bytes(
          """
          24 00 00 00 0d 0a 01 03 07 00 00 00 00 00 00 00   # NFT_MSG_GETSETELEM, NLM_F_REQUEST, NLM_F_DUMP
          01 00 00 00                                       # struct nfgenmsg: NFPROTO_INET
          06 00 01 00 74 00 00 00                           # NFTA_SET_ELEM_LIST_TABLE t
          06 00 02 00 64 00 00 00                           # NFTA_SET_ELEM_LIST_SET d
          """)
      ])
  }

  @Test func object() throws {
    let object = try #require(try decoded(FilterFixture.object, FilterObjectEntry.init))
    #expect(object.table == "t")
    #expect(object.name == "c")
  }

  @Test("A removal is a transaction that names the table by its handle")
  func removal() throws {
    var acknowledgement = Fixture.acknowledgement
    acknowledgement[8] = 8
    let channel = ScriptedChannel(acknowledgement)
    try Connection.scripted(channel).commit(.removeFilterTable(handle: 0x0102), of: 10, "removing")
    #expect(
      channel.sent == [
        bytes(
          """
          14 00 00 00 10 00 01 00 07 00 00 00 00 00 00 00   # NFNL_MSG_BATCH_BEGIN
          00 00 00 0a                                       # struct nfgenmsg: of nf_tables
          20 00 00 00 02 0a 05 00 08 00 00 00 00 00 00 00   # NFT_MSG_DELTABLE, NLM_F_REQUEST, NLM_F_ACK
          01 00 00 00                                       # struct nfgenmsg: NFPROTO_INET
          0c 00 04 00 00 00 00 00 00 00 01 02               # NFTA_TABLE_HANDLE
          14 00 00 00 11 00 01 00 09 00 00 00 00 00 00 00   # NFNL_MSG_BATCH_END
          00 00 00 0a
          """)
      ])
  }

  @Test("A refusal of any part of a transaction is a refusal of it", arguments: [7, 8, 9])
  func refusedRemoval(_ sequence: UInt8) {
    var refusal = Fixture.refusalOfAnOldKernel
    refusal[8] = sequence
    #expect(throws: SystemError("removing", .noSuchDevice)) {
      try Connection.scripted(ScriptedChannel(refusal)).commit(.removeFilterTable(handle: 1), of: 10, "removing")
    }
  }

  private func readAll(_ datagram: [UInt8]) throws {
    _ = try decoded(datagram) { (message) throws(Malformed) in try message.filterGeneration() }
    _ = try decoded(datagram, FilterTableEntry.init)
    _ = try decoded(datagram, FilterChainEntry.init)
    _ = try decoded(datagram, FilterSetEntry.init)
    _ = try decoded(datagram, FilterElement.all)
    _ = try decoded(datagram, FilterObjectEntry.init)
    if let rule = try decoded(datagram, FilterRuleEntry.init) { _ = try rule.properties(sets: ["__set0": []]) }
  }

  @Test("Cut at every offset, or with any byte replaced: a value or an error, never a trap", arguments: FilterFixture.all)
  func hostile(_ fixture: [UInt8]) {
    for count in 0..<fixture.count {
      var cut = Array(fixture[..<count])
      do { try readAll(cut) } catch {}
      guard count >= 16 else { continue }
      cut[0] = UInt8(count & 0xff)
      cut[1] = UInt8(count >> 8)
      do { try readAll(cut) } catch {}
    }
    for offset in fixture.indices {
      for byte: UInt8 in [0, 1, 3, 4, 5, 0x7f, 0x80, 0xff] {
        var changed = fixture
        changed[offset] = byte
        do { try readAll(changed) } catch {}
      }
    }
  }
}

/// What a 6.18 kernel sent about
///
///     table inet t {
///       comment "ours 1"
///       set d { type ipv4_addr; flags timeout; elements = { 192.0.2.1 timeout 1h } }
///       counter c { }
///       chain input { type filter hook input priority 0; policy drop; udp dport { 500, 4500 } counter accept }
///     }
enum FilterFixture {
  static let all = [generation, table, chain, rule, sets, elements, object]

  /// NFT_MSG_NEWGEN: NFTA_GEN_ID 2
  static let generation = bytes(
    """
    30 00 00 00 0f 0a 00 00 07 00 00 00 4e 75 00 00 00 00 00 02 08 00 01 00 00 00 00 02 08 00 02 00
    00 00 75 4e 0c 00 03 00 70 79 74 68 6f 6e 33 00
    """)
  /// NFT_MSG_NEWTABLE: name, use, handle, flags, libnftnl's comment
  static let table = bytes(
    """
    48 00 00 00 00 0a 00 00 07 00 00 00 4e 75 00 00 01 00 00 02 06 00 01 00 74 00 00 00 08 00 03 00
    00 00 00 03 0c 00 04 00 00 00 00 00 00 00 00 01 08 00 02 00 00 00 00 00 0d 00 06 00 00 07 6f 75
    72 73 20 31 00 00 00 00
    """)
  /// NFT_MSG_NEWCHAIN: table, name, handle, hook, policy, type, flags, use
  static let chain = bytes(
    """
    6c 00 00 00 03 0a 02 00 07 00 00 00 4e 75 00 00 01 00 00 02 06 00 01 00 74 00 00 00 0a 00 03 00
    69 6e 70 75 74 00 00 00 0c 00 02 00 00 00 00 00 00 00 00 01 14 00 04 00 08 00 01 00 00 00 00 01
    08 00 02 00 00 00 00 00 08 00 05 00 00 00 00 00 0b 00 07 00 66 69 6c 74 65 72 00 00 08 00 0a 00
    00 00 00 01 08 00 06 00 00 00 00 01
    """)
  /// NFT_MSG_NEWRULE: table, chain, handle, expressions
  static let rule = bytes(
    """
    48 01 00 00 06 0a 02 08 07 00 00 00 4e 75 00 00 01 00 00 02 06 00 01 00 74 00 00 00 0a 00 02 00
    69 6e 70 75 74 00 00 00 0c 00 03 00 00 00 00 00 00 00 00 05 14 01 04 00 24 00 01 00 09 00 01 00
    6d 65 74 61 00 00 00 00 14 00 02 00 08 00 02 00 00 00 00 10 08 00 01 00 00 00 00 01 2c 00 01 00
    08 00 01 00 63 6d 70 00 20 00 02 00 08 00 01 00 00 00 00 01 08 00 02 00 00 00 00 00 0c 00 03 00
    05 00 01 00 11 00 00 00 34 00 01 00 0c 00 01 00 70 61 79 6c 6f 61 64 00 24 00 02 00 08 00 01 00
    00 00 00 01 08 00 02 00 00 00 00 02 08 00 03 00 00 00 00 02 08 00 04 00 00 00 00 02 30 00 01 00
    0b 00 01 00 6c 6f 6f 6b 75 70 00 00 20 00 02 00 0b 00 01 00 5f 5f 73 65 74 30 00 00 08 00 02 00
    00 00 00 01 08 00 05 00 00 00 00 00 2c 00 01 00 0c 00 01 00 63 6f 75 6e 74 65 72 00 1c 00 02 00
    0c 00 01 00 00 00 00 00 00 00 00 00 0c 00 02 00 00 00 00 00 00 00 00 00 30 00 01 00 0e 00 01 00
    69 6d 6d 65 64 69 61 74 65 00 00 00 1c 00 02 00 08 00 01 00 00 00 00 00 10 00 02 00 0c 00 02 00
    08 00 01 00 00 00 00 01
    """)
  /// Two NFT_MSG_NEWSET: d, and the nameless one of the rule.
  static let sets = bytes(
    """
    78 00 00 00 09 0a 02 00 07 00 00 00 4e 75 00 00 01 00 00 02 06 00 01 00 74 00 00 00 06 00 02 00
    64 00 00 00 0c 00 10 00 00 00 00 00 00 00 00 03 08 00 03 00 00 00 00 10 08 00 04 00 00 00 00 07
    08 00 05 00 00 00 00 04 0a 00 0d 00 00 04 02 00 00 00 00 00 04 00 09 00 17 00 13 00 30 78 66 66
    66 66 66 66 66 66 38 32 35 30 37 66 34 30 00 00 08 00 14 00 00 00 00 01 98 00 00 00 09 0a 02 00
    07 00 00 00 4e 75 00 00 01 00 00 02 06 00 01 00 74 00 00 00 0b 00 02 00 5f 5f 73 65 74 30 00 00
    0c 00 10 00 00 00 00 00 00 00 00 04 08 00 03 00 00 00 00 03 08 00 04 00 00 00 00 0d 08 00 05 00
    00 00 00 02 20 00 0d 00 00 04 02 00 00 00 03 14 00 04 07 00 00 00 01 0c 00 04 06 00 00 00 01 04
    02 00 00 00 0c 00 09 00 08 00 01 00 00 00 00 02 17 00 13 00 30 78 66 66 66 66 66 66 66 66 38 32
    35 30 38 30 32 30 00 00 08 00 14 00 00 00 00 02
    """)
  /// NFT_MSG_NEWSETELEM twice, the second without elements, and the end of the list.
  static let elements = bytes(
    """
    50 00 00 00 0c 0a 02 00 07 00 00 00 4e 75 00 00 01 00 00 02 06 00 01 00 74 00 00 00 06 00 02 00
    64 00 00 00 2c 00 03 00 28 00 01 00 0c 00 01 00 08 00 01 00 c0 00 02 01 0c 00 04 00 00 00 00 00
    00 36 ee 80 0c 00 05 00 00 00 00 00 00 36 ee 80 28 00 00 00 0c 0a 02 00 07 00 00 00 4e 75 00 00
    01 00 00 02 06 00 01 00 74 00 00 00 06 00 02 00 64 00 00 00 04 00 03 00 14 00 00 00 03 00 02 00
    07 00 00 00 4e 75 00 00 00 00 00 00
    """)
  /// NFT_MSG_NEWOBJ
  static let object = bytes(
    """
    5c 00 00 00 12 0a 02 08 07 00 00 00 4e 75 00 00 01 00 00 02 06 00 01 00 74 00 00 00 06 00 02 00
    63 00 00 00 08 00 03 00 00 00 00 01 0c 00 06 00 00 00 00 00 00 00 00 02 08 00 05 00 00 00 00 00
    1c 00 04 00 0c 00 01 00 00 00 00 00 00 00 00 00 0c 00 02 00 00 00 00 00 00 00 00 00
    """)
}
