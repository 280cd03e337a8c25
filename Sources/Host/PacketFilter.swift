/// A table of nftables in family inet.
public struct FilterTable: Hashable, Sendable {
  public var name: String
  /// The kernel's number for this very table: another one of the same name has another.
  public var handle: UInt64
  /// What its maker wrote on it (`comment` in nft(8)), empty where there is nothing.
  public var comment: String
  /// Its rules are not looked at (`NFT_TABLE_F_DORMANT`).
  public var isDormant: Bool

  public init(_ name: String, handle: UInt64, comment: String = "", isDormant: Bool = false) {
    self.name = name
    self.handle = handle
    self.comment = comment
    self.isDormant = isDormant
  }
}

/// What is in a table, without what changes by itself: handles, counters, elements with a timeout.
///
/// What the parts say is kept as the kernel's bytes in a canonical order, for comparing and not for reading.
public struct FilterContents: Hashable, Sendable {
  /// In the kernel's order.
  public var chains: [FilterChain]
  /// Those with a name, sorted by it; a nameless one is part of the rule that uses it.
  public var sets: [FilterSet]
  /// Named counters, quotas, flow tables …: where there are any, sorted.
  public var objects: [FilterObject]

  public init(chains: [FilterChain] = [], sets: [FilterSet] = [], objects: [FilterObject] = []) {
    self.chains = chains
    self.sets = sets
    self.objects = objects
  }
}

public struct FilterChain: Hashable, Sendable {
  public var name: String
  /// Hook, priority, type, policy.
  public var properties: [UInt8]
  public var rules: [[UInt8]]

  public init(name: String, properties: [UInt8] = [], rules: [[UInt8]] = []) {
    self.name = name
    self.properties = properties
    self.rules = rules
  }
}

public struct FilterSet: Hashable, Sendable {
  public var name: String
  /// Types, sizes, flags.
  public var properties: [UInt8]
  /// Sorted. Empty for a set whose elements come and go by themselves or by an operator's hand.
  public var elements: [[UInt8]]

  public init(name: String, properties: [UInt8] = [], elements: [[UInt8]] = []) {
    self.name = name
    self.properties = properties
    self.elements = elements
  }
}

public struct FilterObject: Hashable, Sendable {
  public var name: String
  public var properties: [UInt8]

  public init(name: String, properties: [UInt8] = []) {
    self.name = name
    self.properties = properties
  }
}

/// An address in a set, and how long it stays.
public struct SetMember: Hashable, Sendable {
  public var address: IPAddress
  /// Nil: for ever.
  public var timeout: Duration?
  /// What is left of it.
  public var remaining: Duration?

  public init(_ address: IPAddress, timeout: Duration? = nil, remaining: Duration? = nil) {
    self.address = address
    self.timeout = timeout
    self.remaining = remaining
  }
}

/// A chain that the kernel calls for packets by itself, whoever made it.
public struct BaseChain: Hashable, Sendable {
  public enum Hook: UInt32, Sendable {
    case prerouting = 0
    case input, forward, output, postrouting
  }
  /// `ip`, `ip6`, `inet`.
  public var family: String
  public var table: String
  public var name: String
  public var hook: Hook
  public var dropsByDefault: Bool
  /// Whether it is for the translation of addresses and has rules.
  public var translates: Bool

  public init(family: String, table: String, name: String, hook: Hook, dropsByDefault: Bool, translates: Bool = false) {
    self.family = family
    self.table = table
    self.name = name
    self.hook = hook
    self.dropsByDefault = dropsByDefault
    self.translates = translates
  }
}

/// A packet as far as it is known: the first of a connection from another host, or this node's answer to it; or one that passes through.
public struct FilteredPacket: Hashable, Sendable {
  /// One that passes through this node, between a client and what clients ask for.
  public struct Passage: Hashable, Sendable {
    /// The client's.
    public var address: IPAddress
    /// The name of the client's interface; where a `*` is at its end, any that begins so.
    public var clientLink: String
    /// Where what clients ask for is; nil: not known.
    public var far: Link?
    /// Whether it is on its way to the client, as an answer.
    public var isToClient: Bool

    public init(client address: IPAddress, on clientLink: String, far: Link?, isToClient: Bool) {
      (self.address, self.clientLink, self.far, self.isToClient) = (address, clientLink, far, isToClient)
    }
  }

  /// `IPPROTO_*`; nil: any.
  public var protocolNumber: UInt8?
  /// This node's; nil: any, or none.
  public var port: UInt16?
  /// This node's address; nil: any, of either family.
  public var address: IPAddress?
  /// The name and the number of the interface on which it comes, or leaves; nil: any but the loopback's.
  public var interface: String?
  public var link: Int32?
  /// Whether it came out of IPsec; nil: not known.
  public var wasProtected: Bool?
  /// Whether this node sends it.
  public var isAnswer: Bool
  /// Nil: this node is one of its ends. Otherwise the port, the addresses and the interfaces above say nothing.
  public var passage: Passage?

  public init(protocolNumber: UInt8? = nil, port: UInt16? = nil, wasProtected: Bool? = nil, isAnswer: Bool = false) {
    self.protocolNumber = protocolNumber
    self.port = port
    self.wasProtected = wasProtected
    self.isAnswer = isAnswer
  }

  public init(_ passage: Passage) {
    self.init()
    self.passage = passage
  }
}

/// nftables, as far as it can be asked without a program. Rules are loaded by nft(8), which knows the language.
public protocol PacketFilter: AnyObject {
  /// The table of family inet with this name; nil when there is none, or no nftables at all.
  func table(named name: String) throws(SystemError) -> FilterTable?
  /// What is in it, as it was at one moment. `ENOENT` when it has gone.
  ///
  /// Equivalent to: `nft list table inet NAME`.
  func contents(of table: FilterTable) throws(SystemError) -> FilterContents
  /// The addresses in a set of a table of family inet; empty when there is no such set.
  func members(of set: String, in table: String) throws(SystemError) -> [SetMember]
  /// Removes exactly this table, by its handle; nothing happens when it has gone.
  ///
  /// Equivalent to: `nft delete table inet handle HANDLE`.
  func remove(_ table: FilterTable) throws(SystemError)
  /// Every chain of the families ip, ip6 and inet that packets go through by themselves.
  ///
  /// Equivalent to: `nft list chains`.
  func baseChains() throws(SystemError) -> [BaseChain]
  /// Those of `packets` that a chain drops, whatever else they are. That others get through is not said.
  func certainlyDropped(_ packets: [FilteredPacket], by chain: BaseChain) throws(SystemError) -> [FilteredPacket]
}
