import Host

/// What stands in conntrackd.conf, as far as an agent needs it, read by the daemon's own lexical rules (conntrack-tools
/// 1.4.7, `read_config_lex.l`): white space and line ends mean nothing, comments run from `#` to the end of the line.
public struct SyncConfiguration: Hashable, Sendable {
  /// A file that cannot be read this way, with the line. Printed as *line N: what*.
  public struct SyntaxError: Error, Hashable, Sendable, CustomStringConvertible {
    public var line: Int
    public var what: String
    public var description: String { "line \(line): \(what)" }
  }

  /// What the daemon is for. With a `Sync` block it replicates.
  public enum Purpose: Hashable, Sendable { case sync, statistics, helper, nothing }

  public var purpose: Purpose
  /// `FTFW`, `NOTRACK` or `ALARM`; nil when none is named.
  public var mode: String?
  /// The control socket.
  public var socketPath: String
  public var lockPath: String
  /// How long after `reset timers` the kernel's table is flushed.
  public var purgeTimeout: Duration
  /// Flows of the peer go straight into the kernel: its table is the copy, and nothing is left to commit.
  public var disablesExternalCache: Bool
  /// What stands for the internal cache is the kernel's table: to flush it is to flush the kernel.
  public var disablesInternalCache: Bool
  public var hashSize: Int?
  /// Of each link that is no multicast: this node's address, and the peer's. As they are written.
  public var links: [Link] = []

  public struct Link: Hashable, Sendable {
    public var local: String
    public var remote: String?

    fileprivate var text: String {
      let version = IPAddress(local)?.isIPv6 == true ? "IPv6" : "IPv4"
      return "UDP {\n\(version)_address \(local)\n\(remote.map { "\(version)_Destination_Address \($0)\n" } ?? "")}\n"
    }
  }

  /// What the daemon was compiled with.
  public static let defaultSocketPath = "/var/run/conntrackd.ctl"
  public static let defaultLockPath = "/var/lock/conntrackd.lock"

  /// For a daemon of which nobody knows what it was told: the paths that it was compiled with, and no cache that may be flushed, since either
  /// may be the kernel's table.
  public init() {
    purpose = .sync
    socketPath = Self.defaultSocketPath
    lockPath = Self.defaultLockPath
    purgeTimeout = .seconds(60)
    disablesExternalCache = true
    disablesInternalCache = true
  }

  public init(_ bytes: [UInt8]) throws(SyntaxError) {
    let top = try Self.parse(bytes)
    let general = top.blocks("General")
    let sync = top.blocks("Sync")
    purpose =
      !sync.isEmpty
      ? .sync : !top.blocks("Stats").isEmpty ? .statistics : !top.blocks("Helper").isEmpty ? .helper : .nothing
    socketPath = general.flatMap { $0.blocks("UNIX") }.last("Path") ?? Self.defaultSocketPath
    lockPath = general.last("LockFile") ?? Self.defaultLockPath
    hashSize = general.last("HashSize").flatMap { Int($0) }
    let named = sync.last("Mode")
    mode = named?.uppercased()
    for block in ["UDP", "TCP"].flatMap({ name in sync.flatMap { $0.blocks(name) + $0.blocks("Default", after: name) } }) {
      for version in ["IPv4", "IPv6"] {
        guard let local = block["\(version)_address"] else { continue }
        links.append(Link(local: local, remote: block["\(version)_Destination_Address"]))
      }
    }
    let modes = sync + sync.flatMap { block in named.map { block.blocks($0, after: "Mode") } ?? [] }
    purgeTimeout = .seconds(modes.last("PurgeTimeout").flatMap { UInt16($0) } ?? 60)
    disablesExternalCache = ["on", "yes"].contains(modes.last("DisableExternalCache")?.lowercased())
    disablesInternalCache = ["on", "yes"].contains(modes.last("DisableInternalCache")?.lowercased())
  }

  /// The interfaces that the links to the peer go over, in what `init` has read. Not kept: a daemon that runs has them.
  public static func interfaces(in bytes: [UInt8]) throws(SyntaxError) -> [String] {
    try parse(bytes).blocks("Sync").flatMap(\.inner).compactMap { $0["Interface"] }
  }

  /// The same as a file that says no more than this: read again it gives the same.
  public var text: String {
    let block =
      switch purpose {
      case .sync: "Sync"
      case .statistics: "Stats"
      case .helper: "Helper"
      case .nothing: ""
      }
    let options = [
      "PurgeTimeout \(purgeTimeout.components.seconds)", disablesExternalCache ? "DisableExternalCache On" : "",
      disablesInternalCache ? "DisableInternalCache On" : "",
    ].joined(separator: "\n")
    return """
      General {
      LockFile "\(lockPath)"
      \(hashSize.map { "HashSize \($0)" } ?? "")
      UNIX { Path "\(socketPath)" }
      }
      \(block.isEmpty ? "" : "\(block) {\n\(links.map(\.text).joined())\(mode.map { "Mode \($0) {\n\(options)\n}" } ?? options)\n}")

      """
  }

  // MARK: - Words and blocks

  fileprivate indirect enum Node {
    case word(String)
    case block(Block)
  }

  fileprivate struct Block {
    var nodes: [Node] = []

    /// The word after the last `word` of this block.
    subscript(_ word: String) -> String? {
      var found: String?
      for (node, next) in zip(nodes, nodes.dropFirst()) {
        if case .word(word) = node, case .word(let value) = next { found = value }
      }
      return found
    }

    var inner: [Block] { nodes.compactMap { if case .block(let block) = $0 { block } else { nil } } }

    /// The blocks that follow the word `name`, and only after the word `leader` if one is given.
    func blocks(_ name: String, after leader: String? = nil) -> [Block] {
      nodes.indices.compactMap { index in
        guard index > 0, case .block(let block) = nodes[index], case .word(name) = nodes[index - 1] else { return nil }
        if let leader {
          guard index > 1, case .word(leader) = nodes[index - 2] else { return nil }
        }
        return block
      }
    }
  }

  /// Deeper than any configuration the daemon takes.
  private static let deepest = 16

  private static func parse(_ bytes: [UInt8]) throws(SyntaxError) -> Block {
    var open: [(block: Block, line: Int)] = [(Block(), 0)]
    var line = 1
    var at = 0
    func take(while holds: (UInt8) -> Bool) -> String {
      let start = at
      while at < bytes.count, holds(bytes[at]) { at += 1 }
      return String(decoding: bytes[start..<at], as: UTF8.self)
    }
    while at < bytes.count {
      switch bytes[at] {
      case UInt8(ascii: "\n"):
        line += 1
        at += 1
      case 0...0x20: at += 1
      case UInt8(ascii: "#"): _ = take { $0 != UInt8(ascii: "\n") }
      case UInt8(ascii: "{"):
        guard open.count < deepest else { throw SyntaxError(line: line, what: "blocks inside of blocks without end") }
        open.append((Block(), line))
        at += 1
      case UInt8(ascii: "}"):
        guard let inner = open.popLast(), !open.isEmpty else { throw SyntaxError(line: line, what: "'}' without '{'") }
        open[open.count - 1].block.nodes.append(.block(inner.block))
        at += 1
      case UInt8(ascii: "\""):
        at += 1
        let text = take { $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\n") }
        guard at < bytes.count, bytes[at] == UInt8(ascii: "\"") else {
          throw SyntaxError(line: line, what: "a quoted word has no end")
        }
        at += 1
        open[open.count - 1].block.nodes.append(.word(text))
      case UInt8(ascii: "/"):
        // A path ends at a blank, a line end or a quote, whatever else is in it.
        let path = take { $0 > 0x20 && $0 != UInt8(ascii: "\"") }
        open[open.count - 1].block.nodes.append(.word(path))
      default:
        let word = take { $0 > 0x20 && !"{}#\"".utf8.contains($0) }
        open[open.count - 1].block.nodes.append(.word(word))
      }
    }
    guard open.count == 1, let top = open.first else {
      throw SyntaxError(line: open.last?.line ?? line, what: "'{' without '}'")
    }
    return top.block
  }
}

extension [SyncConfiguration.Block] {
  /// The value of the last `word` in any of these blocks.
  fileprivate func last(_ word: String) -> String? { last { $0[word] != nil }?[word] }
}
