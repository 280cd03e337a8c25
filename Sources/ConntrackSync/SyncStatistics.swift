/// conntrackd's counters (`conntrackd -s`). They only grow, from the daemon's start; what matters is the difference of two.
public struct SyncStatistics: Hashable, Sendable {
  public struct Cache: Hashable, Sendable {
    /// Entries now; nil when the cache is disabled and only counts what passes.
    public var active: UInt64?
    public var created: UInt64 = 0
    public var updated: UInt64 = 0
    public var destroyed: UInt64 = 0
    /// Operations of the three kinds that failed.
    public var failed: UInt64 = 0
  }

  /// Flows of this node.
  public var `internal` = Cache()
  /// Flows of the peer.
  public var external = Cache()
  public var packetsSent: UInt64 = 0
  public var packetsReceived: UInt64 = 0
  public var sendErrors: UInt64 = 0
  public var receiveErrors: UInt64 = 0
  public var malformed: UInt64 = 0
  public var lost: UInt64 = 0

  /// - Throws: `.malformed` when there is no `cache external:` or `external inject:` block, as in Stats mode.
  public init(_ text: String) throws(ConntrackError) {
    var caches: [String: Cache] = [:]
    var section = ""
    for line in text.split(separator: "\n") {
      if line.last == ":", !line.contains("\t"), line.first != " " {
        section = String(line.dropLast())
        continue
      }
      // connections created:<tabs>12<tab>failed:<tab>0
      let fields = line.split(separator: "\t", omittingEmptySubsequences: true).map { $0.trimmed }
      if let name = fields.first, name.hasSuffix(":"), fields.count >= 2, let value = UInt64(fields[1]) {
        caches[section, default: Cache()].count(name.dropLast(), value)
        if fields.count >= 4, fields[2] == "failed:", let failed = UInt64(fields[3]) {
          caches[section, default: Cache()].failed.addSaturating(failed)
        }
        continue
      }
      // <number> Pckts sent <number> Pckts recv
      let words = line.split(separator: " ")
      for index in stride(from: 0, to: words.count - 2, by: 3) {
        if let value = UInt64(words[index]) { count("\(words[index + 1]) \(words[index + 2])", value) }
      }
    }
    guard let external = caches["cache external"] ?? caches["external inject"] else {
      throw .malformed("there is nothing about the peer's flows")
    }
    self.external = external
    `internal` = caches["cache internal"] ?? caches["internal bypass"] ?? Cache()
  }

  private mutating func count(_ what: String, _ value: UInt64) {
    switch what {
    case "Pckts sent": packetsSent = value
    case "Pckts recv": packetsReceived = value
    case "Error send": sendErrors = value
    case "Error recv": receiveErrors = value
    case "Malformed msgs": malformed = value
    case "Lost msgs": lost = value
    default: break
    }
  }
}

extension SyncStatistics.Cache {
  fileprivate mutating func count(_ what: Substring, _ value: UInt64) {
    switch what {
    case "current active connections": active = value
    case "connections created", "connections new": created = value
    case "connections updated": updated = value
    case "connections destroyed": destroyed = value
    default: break
    }
  }
}

/// One dedicated link (`conntrackd -s link`).
public struct SyncLink: Hashable, Sendable {
  public var device: String
  /// `RUNNING`, `NO-CARRIER`, `DOWN`
  public var status: String
  /// Whether the daemon sends over it now; the others stand by.
  public var isActive: Bool

  static func list(in text: String) -> [SyncLink] {
    text.split(separator: "\n").compactMap { line in
      // UDP traffic device=eth1 status=RUNNING role=ACTIVE:
      guard line.last == ":" else { return nil }
      var values: [Substring: String] = [:]
      for word in line.dropLast().split(separator: " ") {
        let parts = word.split(separator: "=", maxSplits: 1)
        if parts.count == 2 { values[parts[0]] = String(parts[1]) }
      }
      guard let device = values["device"], let status = values["status"] else { return nil }
      return SyncLink(device: device, status: status, isActive: values["role"] == "ACTIVE")
    }
  }
}

extension Substring {
  fileprivate var trimmed: Substring {
    let head = drop { $0 == " " }
    guard let last = head.lastIndex(where: { $0 != " " }) else { return "" }
    return head[...last]
  }
}

extension UInt64 {
  fileprivate mutating func addSaturating(_ other: UInt64) {
    let (sum, overflow) = addingReportingOverflow(other)
    self = overflow ? .max : sum
  }
}
