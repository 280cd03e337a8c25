import Host

/// The kernel's nftables as values. A test makes tables; the agent sees and removes them.
public final class InMemoryPacketFilter: PacketFilter {
  public var tables: [FilterTable] = []
  /// What is in them, by name.
  public var contents: [String: FilterContents] = [:]
  /// Members of sets, by `table set`.
  public var members: [String: [SetMember]] = [:]
  public var chains: [BaseChain] = []
  /// Which packets a chain drops, whatever else they are.
  public var drops: (BaseChain, FilteredPacket) -> Bool = { _, _ in false }

  private let calls: Calls

  public init(calls: Calls = Calls()) { self.calls = calls }

  public func table(named name: String) throws(SystemError) -> FilterTable? {
    try calls.sees("packetFilter.table(named: \(name))")
    return tables.first { $0.name == name }
  }
  public func contents(of table: FilterTable) throws(SystemError) -> FilterContents {
    try calls.sees("packetFilter.contents(of: \(table.name))")
    guard tables.contains(where: { $0.handle == table.handle }), let contents = contents[table.name] else {
      throw SystemError("reading table inet \(table.name)", .noSuchFile)
    }
    return contents
  }
  public func members(of set: String, in table: String) throws(SystemError) -> [SetMember] {
    try calls.sees("packetFilter.members(of: \(set) in \(table))")
    return members["\(table) \(set)"] ?? []
  }
  public func remove(_ table: FilterTable) throws(SystemError) {
    try calls.changes("packetFilter.remove(\(table.name))")
    tables.removeAll { $0.name == table.name && $0.handle == table.handle }
  }
  public func baseChains() throws(SystemError) -> [BaseChain] {
    try calls.sees("packetFilter.baseChains()")
    return chains
  }
  public func certainlyDropped(_ packets: [FilteredPacket], by chain: BaseChain) throws(SystemError) -> [FilteredPacket] {
    try calls.sees("packetFilter.certainlyDropped(by: \(chain.name) of \(chain.table))")
    return packets.filter { drops(chain, $0) }
  }
}
