import Host

/// What the body of a `changes` message says: records put and removed, in the order of the sender's stream.
///
/// A stream begins with everything the sender carries, between the flags `begins` and `completes`, and goes on with changes. Each
/// batch has the next sequence number, from 1.
struct Changes: Equatable {
  enum Change: Equatable {
    case put(SessionRecord)
    case remove(SessionKey)
  }

  var stream: UInt64
  var sequence: UInt64
  var begins = false
  var completes = false
  var changes: [Change] = []

  /// What fits beside header and tag into a packet of an MTU of 1280 bytes, IPv6's least. A single record always does.
  static let bodyLimit = 1280 - 48 - Envelope.size - Cryptography.tagLength
  private static let headSize = 8 + 8 + 1 + 2

  var bytes: [UInt8] {
    var writer = ByteWriter()
    writer.put(stream)
    writer.put(sequence)
    writer.put(UInt8((begins ? 1 : 0) | (completes ? 2 : 0)))
    writer.put(UInt16(changes.count))
    for change in changes { writer.bytes += Self.encoded(change) }
    return writer.bytes
  }

  /// Whether `change` still fits; adds it if it does.
  mutating func add(_ change: Change, size: inout Int) -> Bool {
    let more = Self.encoded(change).count
    guard Self.headSize + size + more <= Self.bodyLimit else { return false }
    size += more
    changes.append(change)
    return true
  }

  private static func encoded(_ change: Change) -> [UInt8] {
    switch change {
    case .put(let record): return [1] + record.encoded()
    case .remove(let key):
      var writer = ByteWriter(bytes: [2])
      writer.put(key.tunnel)
      writer.put(key.session)
      return writer.bytes
    }
  }

  init(stream: UInt64, sequence: UInt64) {
    self.stream = stream
    self.sequence = sequence
  }

  init(decoding bytes: [UInt8]) throws(LedgerError) {
    var reader = ByteReader(bytes[...])
    stream = try reader.uint64()
    sequence = try reader.uint64()
    let flags = try reader.uint8()
    guard flags <= 3 else { throw ByteReader.malformed("unknown flags") }
    begins = flags & 1 != 0
    completes = flags & 2 != 0
    let count = Int(try reader.uint16())
    for _ in 0..<count {
      switch try reader.uint8() {
      case 1: changes.append(.put(try reader.record()))
      case 2: changes.append(.remove(SessionKey(tunnel: try reader.uint16(), session: try reader.uint16())))
      default: throw ByteReader.malformed("an unknown change")
      }
    }
    guard reader.isAtEnd else { throw ByteReader.malformed("bytes behind the last change") }
  }
}

/// What the body of a `report` says: how far its sender has come with the receiver's stream, what it could do with those sessions now,
/// and what it carries itself.
struct Report: Equatable {
  var stream: UInt64
  var sequence: UInt64
  /// It holds as many records as it can, and has left some out.
  var isFull: Bool
  /// Sessions that its sender carries; nil while it carries none for the cluster (a standby).
  var carries: UInt32?
  /// Sessions of the receiver's that its sender could take over at once: carry on, or tell their clients that they are over.
  var ready: UInt32
  /// The IPsec SAs that it could use for that; none where it is not ready.
  var associations: AssociationFilter

  var bytes: [UInt8] {
    var writer = ByteWriter()
    writer.put(stream)
    writer.put(sequence)
    writer.put(UInt8((isFull ? 1 : 0) | (carries != nil ? 2 : 0)))
    writer.put(carries ?? 0)
    writer.put(ready)
    return writer.bytes + associations.bytes
  }

  init(stream: UInt64, sequence: UInt64, isFull: Bool, carries: UInt32?, ready: UInt32 = 0, associations: AssociationFilter = AssociationFilter()) {
    self.stream = stream
    self.sequence = sequence
    self.isFull = isFull
    self.carries = carries
    self.ready = ready
    self.associations = associations
  }

  init(decoding bytes: [UInt8]) throws(LedgerError) {
    var reader = ByteReader(bytes[...])
    stream = try reader.uint64()
    sequence = try reader.uint64()
    let flags = try reader.uint8()
    let count = try reader.uint32()
    ready = try reader.uint32()
    guard flags <= 3, let filter = AssociationFilter(bytes: Array(reader.remaining)) else { throw ByteReader.malformed("no report") }
    associations = filter
    isFull = flags & 1 != 0
    carries = flags & 2 != 0 ? count : nil
  }
}

/// What the body of a `hello` says: numbers that only somebody can know who has just heard them.
struct Hello: Equatable {
  /// The sender's own, which changes with every acquaintance that it makes.
  var challenge: [UInt8]
  /// The receiver's as the sender heard it; zeros when it has not.
  var echo: [UInt8]
  /// The sender knows the receiver already, and expects no answer.
  var isAcquainted: Bool

  var bytes: [UInt8] { challenge + echo + [isAcquainted ? 1 : 0] }

  init(challenge: [UInt8], echo: [UInt8], isAcquainted: Bool) {
    self.challenge = challenge
    self.echo = echo
    self.isAcquainted = isAcquainted
  }

  init(decoding bytes: [UInt8]) throws(LedgerError) {
    guard bytes.count == 2 * Envelope.nameLength + 1, bytes[32] <= 1 else { throw ByteReader.malformed("no hello") }
    challenge = Array(bytes[..<16])
    echo = Array(bytes[16..<32])
    isAcquainted = bytes[32] == 1
  }
}
