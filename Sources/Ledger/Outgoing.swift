import Host

/// The changes of this node's records on their way to the peer: in order, again until they are acknowledged.
///
/// What is kept of a change is the record's name; what is sent is the record as it is then. So a peer that is long silent costs no more
/// than there are sessions, and one that has lost the thread is sent everything again.
struct Outgoing {
  /// Batches on their way at the same time.
  static let window = 32
  static let firstPatience = Duration.milliseconds(100)
  static let longestPatience = Duration.seconds(1)
  /// Batches sent again at a time: a peer that is not there is not shouted at.
  static let burst = 8

  private(set) var stream: UInt64 = 0
  private var isOpen = false
  private var begins = false
  private var completes = false
  private var nextSequence: UInt64 = 1
  private var waiting: [SessionKey] = []
  private var firstWaiting = 0
  private var isWaiting: Set<SessionKey> = []
  private var sent: [Changes] = []
  private var patience = Self.firstPatience
  private(set) var retryAt: Instant?

  /// Changes that the peer has not acknowledged.
  var unacknowledged: Int { isWaiting.count + sent.reduce(0) { $0 + $1.changes.count } }
  var isAcknowledged: Bool { isWaiting.isEmpty && sent.isEmpty }
  /// Names that wait to be sent.
  var backlog: Int { isWaiting.count }
  var hasSomethingToSend: Bool { isOpen && sent.count < Self.window && (begins || completes || !isWaiting.isEmpty) }

  /// A new stream, with all of `keys`.
  mutating func begin(with keys: some Sequence<SessionKey>) {
    let next = stream + 1
    self = Outgoing()
    stream = next
    isOpen = true
    begins = true
    completes = true
    waiting = keys.sorted()
    isWaiting = Set(waiting)
  }

  /// Nothing is sent until the next `begin`.
  mutating func end() {
    let last = stream
    self = Outgoing()
    stream = last
  }

  mutating func changed(_ key: SessionKey) {
    guard isOpen, isWaiting.insert(key).inserted else { return }
    waiting.append(key)
  }

  /// Bodies to send now: new ones, or those that were not acknowledged in time.
  mutating func due(_ own: [SessionKey: SessionRecord], at now: Instant) -> [Changes] {
    guard isOpen else { return [] }
    var batches: [Changes] = []
    if let retryAt, now >= retryAt {
      batches += sent.prefix(Self.burst)
      patience = min(patience * 2, Self.longestPatience)
      self.retryAt = now + patience
    }
    while hasSomethingToSend {
      let batch = nextBatch(own)
      sent.append(batch)
      batches.append(batch)
      if retryAt == nil { retryAt = now + patience }
    }
    return batches
  }

  private mutating func nextBatch(_ own: [SessionKey: SessionRecord]) -> Changes {
    var batch = Changes(stream: stream, sequence: nextSequence)
    nextSequence += 1
    batch.begins = begins
    begins = false
    var size = 0
    while firstWaiting < waiting.count {
      let key = waiting[firstWaiting]
      guard batch.add(own[key].map { .put($0) } ?? .remove(key), size: &size) else { break }
      isWaiting.remove(key)
      firstWaiting += 1
    }
    if firstWaiting == waiting.count {
      waiting.removeAll(keepingCapacity: true)
      firstWaiting = 0
      // Everything that was here when the stream began has been sent.
      batch.completes = completes
      completes = false
    }
    return batch
  }

  mutating func acknowledged(upTo sequence: UInt64, of stream: UInt64, at now: Instant) {
    guard isOpen, stream == self.stream, sequence < nextSequence, let first = sent.first, sequence >= first.sequence else { return }
    sent.removeFirst(Int(min(UInt64(sent.count), sequence - first.sequence + 1)))
    patience = Self.firstPatience
    retryAt = sent.isEmpty ? nil : now + patience
  }
}

/// What the peer has told of its records.
struct Incoming {
  /// Records at most.
  static let limit = 16_384

  private(set) var stream: UInt64 = 0
  /// The last batch that has been taken.
  private(set) var sequence: UInt64 = 0
  private(set) var isFull = false
  private var complete: [SessionKey: SessionRecord] = [:]
  /// Batches that have come before their turn.
  private var early: [UInt64: Changes] = [:]
  /// A stream's beginning, until it is whole.
  private var arriving: [SessionKey: SessionRecord]?

  /// The last whole state, with what has come of a newer one: what may have ended meanwhile is found out by asking the client,
  /// what was left out would be lost.
  var records: [SessionKey: SessionRecord] {
    guard let arriving else { return complete }
    return complete.merging(arriving) { $1 }
  }
  var count: Int { arriving == nil ? complete.count : records.count }
  var isWhole: Bool { arriving == nil && stream != 0 }

  /// The peer is another than before, or has begun a new life: its streams count from the beginning. What is known stays until the
  /// new one has told everything.
  mutating func expectNewPeer() {
    stream = 0
    sequence = 0
    early = [:]
    arriving = nil
  }

  mutating func forget() {
    complete = [:]
    if arriving != nil { arriving = [:] }
    isFull = false
  }

  /// Takes the next batch, and those behind it that came too early; what is further ahead than a sender goes is left to come again.
  mutating func take(_ batch: Changes) {
    if batch.stream > stream, batch.begins, batch.sequence == 1 {
      stream = batch.stream
      sequence = 0
      early = [:]
      arriving = [:]
      isFull = false
    }
    guard batch.stream == stream, batch.sequence > sequence, batch.sequence - sequence <= UInt64(Outgoing.window) else { return }
    early[batch.sequence] = batch
    while let next = early.removeValue(forKey: sequence + 1) {
      sequence += 1
      for change in next.changes { apply(change) }
      if next.completes, let arriving {
        complete = arriving
        self.arriving = nil
      }
    }
  }

  private mutating func apply(_ change: Changes.Change) {
    func changed(_ records: inout [SessionKey: SessionRecord]) -> Bool {
      switch change {
      case .remove(let key): records[key] = nil
      case .put(let record):
        guard records[record.key] != nil || records.count < Self.limit else { return false }
        records[record.key] = record
      }
      return true
    }
    var records = arriving ?? complete
    // One reference each, or every change would copy them all.
    if arriving == nil { complete = [:] } else { arriving = [:] }
    if !changed(&records) { isFull = true }
    if arriving == nil { complete = records } else { arriving = records }
  }
}
