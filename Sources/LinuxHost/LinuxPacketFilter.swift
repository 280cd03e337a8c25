import CLinux
import Host
import Netlink

/// nftables over nfnetlink.
public final class LinuxPacketFilter: PacketFilter {
  private var connection: Connection?

  public init() {}

  public func table(named name: String) throws(SystemError) -> FilterTable? {
    guard !name.isEmpty, name.utf8.count < 256, try generation() != nil, let entry = try entry(name) else { return nil }
    return FilterTable(
      name, handle: entry.handle, comment: entry.comment, isDormant: entry.flags & NFT_TABLE_F_DORMANT.rawValue != 0)
  }

  public func contents(of table: FilterTable) throws(SystemError) -> FilterContents {
    let operation = "reading table inet \(table.name)"
    var last: FilterContents?
    // A table is many lists. They belong together if nothing was changed from the first to the last, or, where somebody
    // else's rules change all the time, if a second reading is like the first.
    for _ in 0..<8 {
      let before = try generation()
      guard let entry = try entry(table.name), entry.handle == table.handle else { break }
      do throws(SystemError) {
        let contents = try whole(entry, operation)
        if contents == last { return contents }
        if try generation() == before { return contents }
        last = contents
      } catch  where error.errno == .noSuchFile {
        // A part has gone that an earlier list had.
      }
    }
    guard let entry = try entry(table.name), entry.handle == table.handle else { throw SystemError(operation, .noSuchFile) }
    throw SystemError(operation, .wouldBlock, detail: "it kept changing while it was read")
  }

  public func members(of set: String, in table: String) throws(SystemError) -> [SetMember] {
    guard try generation() != nil else { return [] }
    do throws(SystemError) {
      return try elements(of: set, in: table, "reading set \(set) of table inet \(table)").compactMap(\.member)
    } catch  where error.errno == .noSuchFile {
      return []
    }
  }

  public func remove(_ table: FilterTable) throws(SystemError) {
    do throws(SystemError) {
      try open().commit(
        .removeFilterTable(handle: table.handle), of: UInt8(NFNL_SUBSYS_NFTABLES), "removing table inet \(table.name)")
    } catch  where error.errno == .noSuchFile {
      // It has gone.
    }
  }

  public func baseChains() throws(SystemError) -> [BaseChain] {
    guard try generation() != nil else { return [] }
    return try open().dump(.getFilterChains(family: UInt8(AF_UNSPEC)), "listing chains") { (message) throws(Malformed) in
      try FilterChainEntry(message)?.base
    }
  }

  public func certainlyDropped(_ packets: [FilteredPacket], by chain: BaseChain) throws(SystemError) -> [FilteredPacket] {
    let operation = "reading table \(chain.family) \(chain.table)"
    let rules: [FilterRuleEntry]
    do throws(SystemError) {
      rules = try open().dump(.getFilterRules(table: chain.table, family: chain.family), operation, FilterRuleEntry.init)
    } catch  where error.errno == .noSuchFile {
      return []
    }
    var chains: [String: [FilterRuleEntry]] = [:]
    for rule in rules where rule.table == chain.table { chains[rule.chain, default: []].append(rule) }
    do {
      var sets: [String: [FilterElement]] = [:]
      let asked = Set(try rules.filter { $0.table == chain.table }.flatMap { (rule) throws(Malformed) in try rule.lookedUp() })
      if !asked.isEmpty {
        let known = try open().dump(.getFilterSets(table: chain.table, family: chain.family), operation, FilterSetEntry.init)
        // What packets fill, or time empties, is another thing a moment later.
        for set in known where set.table == chain.table && asked.contains(set.name) && !set.changesByItself {
          sets[set.name] = try open().dump(.getFilterElements(of: set.name, table: chain.table, family: chain.family), operation, FilterElement.all).flatMap { $0 }
        }
      }
      return try packets.filter { (packet) throws(Malformed) in
        let ends = try Admission(packet, chains, sets).ends(of: chain.name)
        return !ends.contains(.accepts) && (chain.dropsByDefault || !ends.contains(.passesOn))
      }
    } catch let error as SystemError {
      throw error
    } catch { throw SystemError(operation, .badMessage, detail: "the kernel sent \((error as? Malformed)?.what ?? "\(error)")") }
  }

  // MARK: Parts

  /// Nil where the kernel has no nftables: then there are no tables either.
  private func generation() throws(SystemError) -> UInt32? {
    let operation = "asking for the generation of the rules"
    do throws(SystemError) {
      let generation = try open().get(.getFilterGeneration, operation) { (message) throws(Malformed) in
        try message.filterGeneration()
      }
      guard let generation else { throw SystemError(operation, .badMessage) }
      return generation
    } catch  where [.protocolNotSupported, .invalidArgument, .notSupported].contains(error.errno) {
      // No netfilter sockets; no such subsystem, to which a question as plain as this is invalid.
      return nil
    }
  }

  private func entry(_ name: String) throws(SystemError) -> FilterTableEntry? {
    do throws(SystemError) {
      return try open().get(.getFilterTable(name), "looking for table inet \(name)", FilterTableEntry.init)
    } catch  where error.errno == .noSuchFile || error.errno == .familyNotSupported {
      return nil
    }
  }

  private func whole(_ entry: FilterTableEntry, _ operation: String) throws(SystemError) -> FilterContents {
    let name = entry.name
    let chains = try open().dump(.getFilterChains(), operation) { (message) throws(Malformed) -> FilterChainEntry? in
      guard let chain = try FilterChainEntry(message), chain.table == name else { return nil }
      return chain
    }
    let rules = try open().dump(.getFilterRules(table: name), operation) { (message) throws(Malformed) -> FilterRuleEntry? in
      guard let rule = try FilterRuleEntry(message), rule.table == name else { return nil }
      return rule
    }
    let sets = try open().dump(.getFilterSets(table: name), operation) { (message) throws(Malformed) -> FilterSetEntry? in
      guard let set = try FilterSetEntry(message), set.table == name else { return nil }
      return set
    }
    var named: [FilterSet] = []
    var nameless: [String: [UInt8]] = [:]
    for set in sets {
      let elements =
        set.changesByItself
        ? [] : try elements(of: set.name, in: name, operation).map(\.properties).sorted { $0.lexicographicallyPrecedes($1) }
      if set.isAnonymous {
        nameless[set.name] = set.properties + elements.joined()
      } else {
        named.append(FilterSet(name: set.name, properties: set.properties, elements: elements))
      }
    }
    var bodies: [String: [[UInt8]]] = [:]
    for rule in rules {
      do { bodies[rule.chain, default: []].append(try rule.properties(sets: nameless)) } catch {
        throw SystemError(operation, .badMessage, detail: "the kernel sent \(error.what)")
      }
    }
    // What is neither chain nor set is rare, and asked for only where the table says that there is more in it. (Whether
    // nameless sets are counted differs between kernels.)
    let hasMore = Int(entry.use) > chains.count + named.count
    return FilterContents(
      chains: chains.map { FilterChain(name: $0.name, properties: $0.properties, rules: bodies[$0.name] ?? []) },
      sets: named.sorted { $0.name < $1.name }, objects: hasMore ? try objects(of: name, operation) : [])
  }

  private func elements(of set: String, in table: String, _ operation: String) throws(SystemError) -> [FilterElement] {
    try open().dump(.getFilterElements(of: set, table: table), operation, FilterElement.all).flatMap { $0 }
  }

  private func objects(of table: String, _ operation: String) throws(SystemError) -> [FilterObject] {
    var found: [FilterObject] = []
    for request in [Message.getFilterObjects(table: table), .getFlowTables(table: table)] {
      let entries = try open().dump(request, operation, FilterObjectEntry.init)
      found += entries.filter { $0.table == table }.map { FilterObject(name: $0.name, properties: $0.properties) }
    }
    return found.sorted { $0.name < $1.name }
  }

  private func open() throws(SystemError) -> Connection {
    if let connection { return connection }
    let connection = Connection(try KernelChannel(.netfilter))
    self.connection = connection
    return connection
  }
}
