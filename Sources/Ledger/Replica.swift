import Host

/// One node's end of the ledger: tells the peer what sessions this node carries, and keeps what the peer tells of its own.
///
/// A state machine without socket and clock: what arrives is given to `receive`, what `due` answers is to be sent, and `deadline` is
/// when there is something to do without anything arriving. Every message is encrypted and authenticated with a key that is derived from
/// the nodes' secret and the names of both ends' lives, so what was recorded in another life, or is sent back, opens nothing.
/// [docs/decisions/ledger-protocol.md](../../docs/decisions/ledger-protocol.md) says why it is as it is.
public final class Replica {
  /// Sessions that a node replicates at most.
  public static let limit = Incoming.limit
  /// Bytes of a datagram that is looked at.
  public static let datagramLimit = 1500
  static let greeting = Duration.seconds(1)
  static let heartbeat = Duration.seconds(1)
  /// After so long without a word the peer counts as silent.
  public static let silence = Duration.seconds(3)
  /// How long a peer with another key or version is remembered.
  static let memory = Duration.seconds(5)
  /// Messages of unknown senders that are examined in a second; each costs two derivations.
  static let strangers = 100
  static let answerPause = Duration.milliseconds(50)

  private struct Peer {
    var name: Envelope.Name
    var incomingKey: [UInt8]
    var outgoingKey: [UInt8]
    /// Numbers that have been seen, so that none is taken twice.
    var numbers: ReplayWindow
  }

  private let cryptography: Cryptography
  private let secret: [UInt8]
  private let name = Envelope.newName()
  private var number: UInt64 = 0
  private var challenge = Envelope.newName()
  private var peer: Peer?

  private var own: [SessionKey: SessionRecord] = [:]
  private var isDeclared = false
  private var outgoing = Outgoing()
  private var incoming = Incoming()

  private var owesReport = false
  private var answer: (to: Envelope.Name, echo: [UInt8])?
  private var nextAnswer: Instant?
  private var nextGreeting: Instant?
  private var nextHeartbeat: Instant?
  private var strangersLeft = Replica.strangers
  private var strangersSince: Instant?

  private var lastWord: Instant?
  private var peerCarries: Int?
  private var peerReady = 0
  private var ready = 0
  private var associations = AssociationFilter()
  /// The IPsec SAs that the peer could carry this node's sessions on with.
  public private(set) var peerAssociations = AssociationFilter()
  private var peerIsFull = false
  private var otherVersion: (UInt8, at: Instant)?
  private var otherKey: Instant?
  private var refused: UInt64 = 0

  /// - Throws: `ENOENT` when libcrypto is missing.
  public init(key: LedgerKey) throws(SystemError) {
    cryptography = try Cryptography()
    secret = key.bytes
  }

  // MARK: - What this node carries

  /// From now on this node carries exactly these, and tells its peer. Before the first call the peer keeps what it holds, so a ledger
  /// that was started again calls it when it knows all of them.
  public func replace(all records: [SessionRecord], at now: Instant) throws(LedgerError) {
    guard records.count <= Self.limit else { throw Self.full }
    own = Dictionary(records.map { ($0.key, $0) }) { $1 }
    isDeclared = true
    if peer != nil { outgoing.begin(with: own.keys) }
  }

  /// A session that has come or changed. Throws `full` above the limit; it is then not replicated.
  public func put(_ record: SessionRecord, at now: Instant) throws(LedgerError) {
    guard own[record.key] != nil || own.count < Self.limit else { throw Self.full }
    guard own[record.key] != record else { return }
    own[record.key] = record
    changed(record.key)
  }

  /// A session that has ended; nothing happens when it is not known.
  public func remove(_ key: SessionKey, at now: Instant) {
    guard own.removeValue(forKey: key) != nil else { return }
    changed(key)
  }

  /// This node does not carry any more. The peer keeps what it holds.
  public func withdraw() {
    own = [:]
    isDeclared = false
    outgoing.end()
  }

  private func changed(_ key: SessionKey) {
    guard isDeclared, peer != nil else { return }
    outgoing.changed(key)
    // A peer that takes nothing while thousands come and go: it is told everything when it is back.
    if outgoing.backlog > 2 * Self.limit {
      peer = nil
      outgoing.end()
      nextGreeting = nil
    }
  }

  private static let full = LedgerError(.full, "replicating sessions", "there are more than \(limit)")

  // MARK: - What the peer carries

  /// What the peer has told of its sessions.
  public var held: [SessionRecord] { incoming.records.values.sorted { $0.key < $1.key } }

  /// The same, and forgets them: they are this node's from now on.
  public func takeHeld() -> [SessionRecord] {
    defer { incoming.forget() }
    return held
  }

  /// How many of them this node could take over at once; the peer is told when it changes.
  ///
  /// - Parameter associations: the IPsec SAs that it has for that.
  public func isReady(for count: Int, over associations: AssociationFilter = AssociationFilter()) {
    guard count != ready || associations != self.associations else { return }
    (ready, self.associations) = (count, associations)
    owesReport = peer != nil
  }

  // MARK: - The link

  /// When `due` has something to do without anything arriving.
  public var deadline: Instant {
    if owesReport || answer != nil || peer != nil && outgoing.hasSomethingToSend { return Instant(nanoseconds: .min) }
    let moments = peer == nil ? [nextGreeting] : [nextHeartbeat, outgoing.retryAt]
    return moments.compactMap(\.self).min() ?? Instant(nanoseconds: .min)
  }

  /// Datagrams to send now.
  public func due(at now: Instant) -> [[UInt8]] {
    var messages: [[UInt8]?] = []
    if let answer {
      let hello = Hello(challenge: challenge, echo: answer.echo, isAcquainted: peer?.name == answer.to)
      messages.append(message(.hello, hello.bytes, to: answer.to))
      self.answer = nil
      nextAnswer = now + Self.answerPause
    }
    if let peer {
      if isDeclared {
        for batch in outgoing.due(own, at: now) { messages.append(message(.changes, batch.bytes, to: peer.name, peer.outgoingKey)) }
      }
      if owesReport || nextHeartbeat.map({ now >= $0 }) ?? true {
        let report = Report(
          stream: incoming.stream, sequence: incoming.sequence, isFull: incoming.isFull, carries: isDeclared ? UInt32(own.count) : nil,
          ready: UInt32(ready), associations: associations)
        messages.append(message(.report, report.bytes, to: peer.name, peer.outgoingKey))
        owesReport = false
        nextHeartbeat = now + Self.heartbeat
      }
    }
    // One that has fallen silent is greeted as well: if it was started again with another secret, it finds out only by this.
    if peer == nil || lastWord.map({ now - $0 >= Self.silence }) ?? true, nextGreeting.map({ now >= $0 }) ?? true {
      let hello = Hello(challenge: challenge, echo: Envelope.nobody, isAcquainted: false)
      messages.append(message(.hello, hello.bytes, to: Envelope.nobody))
      nextGreeting = now + Self.greeting
    }
    return messages.compactMap(\.self)
  }

  /// A datagram that has arrived, from whomever.
  public func receive(_ datagram: [UInt8], at now: Instant) {
    guard datagram.count <= Self.datagramLimit else { return refuse() }
    switch Envelope.read(datagram) {
    case .noise: refuse()
    case .otherVersion(let version):
      otherVersion = (version, now)
      refuse()
    case .envelope(let envelope):
      guard envelope.sender != name, envelope.receiver == name || envelope.receiver == Envelope.nobody else { return refuse() }
      if envelope.kind == .hello {
        receiveHello(envelope, datagram, at: now)
      } else {
        receiveWord(envelope, datagram, at: now)
      }
    }
  }

  private func receiveWord(_ envelope: Envelope, _ datagram: [UInt8], at now: Instant) {
    guard let peer, envelope.sender == peer.name, envelope.receiver == name, peer.numbers.isNew(envelope.number),
      let body = opened(datagram, envelope, peer.incomingKey)
    else { return refuse() }
    do throws(LedgerError) {
      switch envelope.kind {
      case .hello: return
      case .changes:
        incoming.take(try Changes(decoding: body))
        owesReport = true
      case .report:
        let report = try Report(decoding: body)
        if isDeclared { outgoing.acknowledged(upTo: report.sequence, of: report.stream, at: now) }
        peerIsFull = report.isFull
        peerCarries = report.carries.map(Int.init)
        peerReady = Int(report.ready)
        peerAssociations = report.associations
      }
      heard(envelope, at: now)
    } catch { refuse() }
  }

  /// A hello proves that its sender has the key. That it lives, it proves by the challenge that it has just heard from here.
  private func receiveHello(_ envelope: Envelope, _ datagram: [UInt8], at now: Instant) {
    if let peer, envelope.sender == peer.name, envelope.receiver == name {
      guard peer.numbers.isNew(envelope.number), let body = opened(datagram, envelope, peer.incomingKey) else { return refuse() }
      do throws(LedgerError) {
        let hello = try Hello(decoding: body)
        heard(envelope, at: now)
        if !hello.isAcquainted { reply(to: envelope.sender, hello, at: now) }
      } catch { refuse() }
      return
    }
    guard mayExamineStranger(at: now) else { return refuse() }
    guard let body = opened(datagram, envelope, key(from: envelope.sender, to: envelope.receiver)) else {
      if envelope.receiver == Envelope.nobody { otherKey = now }
      return refuse()
    }
    do throws(LedgerError) {
      let hello = try Hello(decoding: body)
      if envelope.receiver == name, hello.echo == challenge {
        acquaint(envelope)
        heard(envelope, at: now)
      }
      if !hello.isAcquainted || peer?.name != envelope.sender { reply(to: envelope.sender, hello, at: now) }
    } catch { refuse() }
  }

  private func reply(to stranger: Envelope.Name, _ hello: Hello, at now: Instant) {
    guard nextAnswer.map({ now >= $0 }) ?? true else { return }
    answer = (stranger, hello.challenge)
  }

  private func acquaint(_ envelope: Envelope) {
    guard let incomingKey = key(from: envelope.sender, to: name), let outgoingKey = key(from: name, to: envelope.sender) else { return }
    peer = Peer(name: envelope.sender, incomingKey: incomingKey, outgoingKey: outgoingKey, numbers: ReplayWindow(startingAt: envelope.number))
    challenge = Envelope.newName()
    incoming.expectNewPeer()
    peerCarries = nil
    peerReady = 0
    peerAssociations = AssociationFilter()
    peerIsFull = false
    nextHeartbeat = nil
    // An acquaintance is answered at once, however lately somebody else was.
    nextAnswer = nil
    if isDeclared { outgoing.begin(with: own.keys) } else { outgoing.end() }
  }

  private func heard(_ envelope: Envelope, at now: Instant) {
    peer?.numbers.note(envelope.number)
    lastWord = now
    otherKey = nil
    otherVersion = nil
  }

  private func refuse() { refused += 1 }

  private func mayExamineStranger(at now: Instant) -> Bool {
    if strangersSince.map({ now - $0 >= .seconds(1) }) ?? true {
      strangersSince = now
      strangersLeft = Self.strangers
    }
    guard strangersLeft > 0 else { return false }
    strangersLeft -= 1
    return true
  }

  // MARK: - Messages

  private static let purpose = Array("vpnha sessions".utf8) + [Envelope.version]

  /// The key of everything that one life of a node sends to one life of another.
  private func key(from sender: Envelope.Name, to receiver: Envelope.Name) -> [UInt8]? {
    do throws(SystemError) {
      return try cryptography.derivedKey(from: secret, salt: sender + receiver, info: Self.purpose)
    } catch { return nil }
  }

  private func opened(_ datagram: [UInt8], _ envelope: Envelope, _ key: [UInt8]?) -> [UInt8]? {
    guard let key else { return nil }
    return cryptography.opened(
      datagram[Envelope.size...], key: key, nonce: envelope.nonce, header: Array(datagram[..<Envelope.size]))
  }

  private func message(_ kind: Envelope.Kind, _ body: [UInt8], to receiver: Envelope.Name, _ known: [UInt8]? = nil) -> [UInt8]? {
    number += 1
    let envelope = Envelope(kind: kind, sender: name, receiver: receiver, number: number)
    guard let key = known ?? key(from: name, to: receiver) else { return nil }
    do throws(SystemError) {
      return envelope.bytes + (try cryptography.sealed(body, key: key, nonce: envelope.nonce, header: envelope.bytes))
    } catch { return nil }
  }

  // MARK: - Standing

  /// Whether the peer has acknowledged all that this node has to tell.
  public var isInStep: Bool { !isDeclared || (peer == nil ? own.isEmpty : outgoing.isAcknowledged) }

  public func standing(at now: Instant) -> ReplicaStanding {
    let quiet = lastWord.map { now - $0 }
    let link: ReplicaStanding.Link =
      if peer != nil, let quiet, quiet < Self.silence {
        .connected
      } else if let otherVersion, now - otherVersion.at < Self.memory {
        .otherVersion(otherVersion.0)
      } else if let otherKey, now - otherKey < Self.memory {
        .otherKey
      } else {
        lastWord == nil ? .never : .silent
      }
    return ReplicaStanding(
      link: link, unacknowledged: !isDeclared ? 0 : peer == nil ? own.count : outgoing.unacknowledged,
      secondsSinceWord: quiet.map { Int($0.components.seconds) }, own: own.count, held: incoming.count, peerCarries: peerCarries,
      peerReady: peerReady, peerIsFull: peerIsFull, refused: refused)
  }
}
