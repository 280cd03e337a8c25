import Host
import IKEProbe

/// One client's side of IKEv1 with a pre-shared key: main mode, quick mode for UDP in transport mode, and what the gateway asks later
/// (RFC 2409 §5; RFC 3947 for the NAT that is always claimed, so that ESP travels in UDP and needs nothing of this kernel).
///
/// Bytes in, events out: sockets, time and repetition are others' business.
final class KeyExchange {
  struct Suite: Hashable, Sendable {
    var keyBits: UInt16
    var hash: LibCrypto.Hash
    var group: LibCrypto.Group
  }

  struct Settings: Sendable {
    var ike = Suite(keyBits: 256, hash: .sha256, group: .modp2048)
    var esp = ESP.Suite(keyBits: 256, hash: .sha256)
    var secret: [UInt8]
  }

  /// The ends as the client knows them: four bytes of IPv4 each.
  struct Ends: Sendable {
    var server: [UInt8]
    /// The client's own address: behind a NAT another one than the gateway sees.
    var client: [UInt8]
    /// The port of the client's L2TP.
    var port: UInt16
  }

  enum Event {
    case send([UInt8])
    /// An IPsec SA, the first or a new one.
    case protected(inbound: ESP, outbound: ESP)
    /// The gateway has deleted the IKE SA, or an IPsec SA by its SPI.
    case deleted(spi: UInt32?)
    case failed(String)
    /// It is there.
    case heard
  }

  private enum Stage { case proposed, keyed, identified, quick, established }

  private let crypto: LibCrypto
  private let settings: Settings
  private let ends: Ends
  private let ours = UInt64.random(in: 1...UInt64.max)
  private var theirs: UInt64 = 0
  private var stage = Stage.proposed
  /// What waits for an answer, to be sent again until there is one.
  private(set) var unanswered: [UInt8]?

  private var pair: LibCrypto.KeyPair?
  private let nonce = (0..<32).map { _ in UInt8.random(in: 0...255) }
  private var theirNonce: [UInt8] = []
  private var theirValue: [UInt8] = []
  /// SKEYID and what comes from it (RFC 2409 §5); the key of the cipher.
  private var keys = (skeyid: [UInt8](), derive: [UInt8](), authenticate: [UInt8](), cipher: [UInt8]())
  private var iv: [UInt8] = []

  /// Quick modes under way by their message's number: ours, and those that the gateway began.
  private struct Quick {
    var iv: [UInt8]
    var spi: UInt32
    var theirSPI: UInt32 = 0
    var nonce: [UInt8]
    var theirNonce: [UInt8] = []
    var suite: ESP.Suite
    var reply: [UInt8] = []
  }
  private var quick: [UInt32: Quick] = [:]
  private var ourQuick: UInt32 = 0

  init(_ settings: Settings, _ ends: Ends, _ crypto: LibCrypto) {
    self.settings = settings
    self.ends = ends
    self.crypto = crypto
  }

  // MARK: - Payloads

  private enum Payload {
    static let sa: UInt8 = 1, exchange: UInt8 = 4, identity: UInt8 = 5, hash: UInt8 = 8, nonce: UInt8 = 10, notify: UInt8 = 11, delete: UInt8 = 12, vendor: UInt8 = 13
    static let natDetection: UInt8 = 20, natAddress: UInt8 = 21
  }
  private enum Exchange {
    static let main: UInt8 = 2, informational: UInt8 = 5, quick: UInt8 = 32
  }
  private enum Notification {
    static let initialContact: UInt16 = 24578, areYouThere: UInt16 = 36136, iAmHere: UInt16 = 36137
  }

  /// MD5 of "RFC 3947" (RFC 3947 §3.1); dead peer detection (RFC 3706 §5.1).
  private static let vendors: [[UInt8]] = [
    [0x4a, 0x13, 0x1c, 0x81, 0x07, 0x03, 0x58, 0x45, 0x5c, 0x57, 0x28, 0xf2, 0x0e, 0x95, 0x45, 0x2f],
    [0xaf, 0xca, 0xd7, 0x13, 0x68, 0xa1, 0xf1, 0xc9, 0x6b, 0x86, 0x96, 0xfc, 0x77, 0x57, 0x01, 0x00],
  ]

  private var offer: [UInt8] {
    IKEProbe.proposalV1([
      IKEProbe.transform(1, encryption: 7, keyLength: settings.ike.keyBits, hash: settings.ike.hash.ike, group: settings.ike.group.rawValue)
    ])
  }

  private func identity(_ address: [UInt8], udp port: UInt16? = nil) -> [UInt8] {
    [1, port == nil ? 0 : 17] + (port ?? 0).bytes + address
  }

  /// ESP with one transform (RFC 2407 §4.4.4, §4.5): AES, in UDP and transport mode (RFC 3947 §5.1), for an hour.
  private func offer(spi: UInt32, _ suite: ESP.Suite) -> [UInt8] {
    func attribute(_ type: UInt16, _ value: UInt16) -> [UInt8] { (type | 0x8000).bytes + value.bytes }
    let transform = [1, 12, 0, 0] + attribute(1, 1) + attribute(2, 3600) + attribute(4, 4) + attribute(5, suite.hash.esp) + attribute(6, suite.keyBits)
    let body = [0, 0] + UInt16(transform.count + 4).bytes + transform
    return [0, 0, 0, 1, 0, 0, 0, 1, 0, 0] + UInt16(12 + body.count).bytes + [1, 3, 4, 1] + spi.bytes + body
  }

  private func notification(_ type: UInt16, _ data: [UInt8] = []) -> IKEMessage.Payload {
    .init(Payload.notify, [0, 0, 0, 1, 1, 16] + type.bytes + ours.bytes + theirs.bytes + data)
  }

  private func message(_ exchange: UInt8, id: UInt32 = 0, _ payloads: [IKEMessage.Payload]) -> IKEMessage {
    IKEMessage(initiatorSPI: ours, responderSPI: theirs, version: 0x10, exchange: exchange, messageID: id, payloads: payloads)
  }

  /// The message under the key, and the next vector: the last block that was sent.
  private func sealed(_ message: IKEMessage, iv: inout [UInt8]) throws(SystemError) -> [UInt8] {
    var bytes = message.bytes
    let body = bytes[28...]
    let padding = (LibCrypto.block - body.count % LibCrypto.block) % LibCrypto.block
    let text = try crypto.aes(body + [UInt8](repeating: 0, count: padding), key: keys.cipher, iv: iv, encrypting: true)
    bytes[19] |= 1
    bytes.replaceSubrange(24..<28, with: UInt32(28 + text.count).bytes)
    bytes.replaceSubrange(28..., with: text)
    iv = Array(text.suffix(LibCrypto.block))
    return bytes
  }

  /// The payloads of a message under the key, and those behind the first one as they were hashed. Nil when they are no payloads.
  private func opened(_ bytes: [UInt8], iv: inout [UInt8]) throws(SystemError) -> (payloads: [IKEMessage.Payload], hashed: [UInt8])? {
    guard bytes.count > 28, (bytes.count - 28) % LibCrypto.block == 0, bytes[19] & 1 == 1 else { return nil }
    let text = try crypto.aes(bytes[28...], key: keys.cipher, iv: iv, encrypting: false)
    var (payloads, at, type, second): ([IKEMessage.Payload], Int, UInt8, Int) = ([], 0, bytes[16], 0)
    while type != 0 {
      guard at + 4 <= text.count else { return nil }
      let size = Int(UInt16(bytes: text[(at + 2)..<(at + 4)]))
      guard size >= 4, at + size <= text.count else { return nil }
      payloads.append(.init(type, Array(text[(at + 4)..<(at + size)])))
      type = text[at]
      at += size
      if payloads.count == 1 { second = at }
    }
    iv = Array(bytes.suffix(LibCrypto.block))
    return (payloads, Array(text[second..<at]))
  }

  private func prf(_ key: [UInt8], _ text: [UInt8]) -> [UInt8] { crypto.hmac(text, key: key, settings.ike.hash) }
  /// The first vector of an exchange (RFC 2409 App. B).
  private func firstIV(of id: UInt32) -> [UInt8] { Array(crypto.digest(iv + id.bytes, settings.ike.hash).prefix(LibCrypto.block)) }

  // MARK: - Main mode

  func begin() -> [UInt8] {
    let bytes = message(Exchange.main, [.init(Payload.sa, offer)] + Self.vendors.map { .init(Payload.vendor, $0) }).bytes
    unanswered = bytes
    return bytes
  }

  /// What a datagram of IKE, without the marker, brings about.
  func hear(_ bytes: [UInt8]) -> [Event] {
    let message: IKEMessage
    do throws(IKEProbeError) { message = try IKEMessage(decoding: bytes) } catch { return [] }
    guard message.version == 0x10, message.initiatorSPI == ours, theirs == 0 || message.responderSPI == theirs else { return [] }
    do throws(SystemError) {
      switch message.exchange {
      case Exchange.main: return try hearMain(message, bytes)
      case Exchange.quick: return try hearQuick(bytes, id: message.messageID)
      case Exchange.informational: return try hearInformation(message, bytes)
      default: return []
      }
    } catch { return [.failed("\(error)")] }
  }

  private func hearMain(_ message: IKEMessage, _ bytes: [UInt8]) throws(SystemError) -> [Event] {
    switch stage {
    case .proposed:
      guard message.payload(Payload.sa) != nil, message.responderSPI != 0 else { return [] }
      theirs = message.responderSPI
      let pair = try crypto.keyPair(in: settings.ike.group)
      self.pair = pair
      stage = .keyed
      // What is not the address of either end says that there is a NAT (RFC 3947 §3.2).
      let detections = [ends.server + UInt16(4500).bytes, [0, 0, 0, 0, 0, 0]].map { crypto.digest(ours.bytes + theirs.bytes + $0, settings.ike.hash) }
      return ask(
        self.message(
          Exchange.main, [.init(Payload.exchange, pair.value), .init(Payload.nonce, nonce)] + detections.map { .init(Payload.natDetection, $0) }
        ).bytes)
    case .keyed:
      guard let value = message.payload(Payload.exchange)?.body, let theirNonce = message.payload(Payload.nonce)?.body, let pair else { return [] }
      (theirValue, self.theirNonce) = (value, theirNonce)
      try deriveKeys(shared: try crypto.shared(pair, with: value, in: settings.ike.group), ourValue: pair.value)
      stage = .identified
      let identity = identity(ends.client)
      let hash = prf(keys.skeyid, pair.value + value + ours.bytes + theirs.bytes + offer + identity)
      return ask(
        try sealed(
          self.message(
            Exchange.main, [.init(Payload.identity, identity), .init(Payload.hash, hash), notification(Notification.initialContact)]), iv: &iv))
    case .identified:
      guard let pair else { return [] }
      var next = iv
      guard let opened = try opened(bytes, iv: &next), let identity = opened.payloads.first(where: { $0.type == Payload.identity })?.body else { return [] }
      let hash = prf(keys.skeyid, theirValue + pair.value + theirs.bytes + ours.bytes + offer + identity)
      guard opened.payloads.first(where: { $0.type == Payload.hash })?.body == hash else { return [.failed("the gateway does not prove that it knows the secret")] }
      iv = next
      stage = .quick
      return try beginQuick()
    case .quick, .established: return []
    }
  }

  private func deriveKeys(shared: [UInt8], ourValue: [UInt8]) throws(SystemError) {
    let cookies = ours.bytes + theirs.bytes
    keys.skeyid = prf(settings.secret, nonce + theirNonce)
    keys.derive = prf(keys.skeyid, shared + cookies + [0])
    keys.authenticate = prf(keys.skeyid, keys.derive + shared + cookies + [1])
    keys.cipher = Self.stretched(prf(keys.skeyid, keys.authenticate + shared + cookies + [2]), to: Int(settings.ike.keyBits) / 8) { prf($0, $1) }
    iv = Array(crypto.digest(ourValue + theirValue, settings.ike.hash).prefix(LibCrypto.block))
  }

  /// A key that is longer than the hash (RFC 2409 App. B).
  static func stretched(_ key: [UInt8], to length: Int, prf: ([UInt8], [UInt8]) -> [UInt8]) -> [UInt8] {
    guard key.count < length else { return Array(key.prefix(length)) }
    var (out, last): ([UInt8], [UInt8]) = ([], [0])
    while out.count < length {
      last = prf(key, last)
      out += last
    }
    return Array(out.prefix(length))
  }

  private func ask(_ bytes: [UInt8]) -> [Event] {
    unanswered = bytes
    return [.send(bytes)]
  }

  // MARK: - Quick mode

  private func beginQuick() throws(SystemError) -> [Event] {
    let id = UInt32.random(in: 1...UInt32.max)
    var exchange = Quick(iv: firstIV(of: id), spi: newSPI(), nonce: (0..<32).map { _ in .random(in: 0...255) }, suite: settings.esp)
    // Both ends' addresses as the client sees them (RFC 3947 §5.2).
    let payloads: [IKEMessage.Payload] = [
      .init(Payload.sa, offer(spi: exchange.spi, exchange.suite)), .init(Payload.nonce, exchange.nonce),
      .init(Payload.identity, identity(ends.client, udp: ends.port)), .init(Payload.identity, identity(ends.server, udp: 1701)),
      .init(Payload.natAddress, [1, 0, 0, 0] + ends.client), .init(Payload.natAddress, [1, 0, 0, 0] + ends.server),
    ]
    let bytes = try sealed(hashed(Exchange.quick, id: id, payloads), iv: &exchange.iv)
    quick[id] = exchange
    ourQuick = id
    return ask(bytes)
  }

  private func newSPI() -> UInt32 { .random(in: 0xc000_0000...0xcfff_ffff) }

  /// A message of phase 2: a hash over its number, what `behind` says, and all that follows it.
  private func hashed(_ exchange: UInt8, id: UInt32, behind nonces: [UInt8] = [], _ payloads: [IKEMessage.Payload]) -> IKEMessage {
    let rest = payloads.isEmpty ? [] : Array(message(exchange, payloads).bytes[28...])
    return message(exchange, id: id, [.init(Payload.hash, prf(keys.authenticate, id.bytes + nonces + rest))] + payloads)
  }

  private func hearQuick(_ bytes: [UInt8], id: UInt32) throws(SystemError) -> [Event] {
    guard stage == .quick || stage == .established else { return [] }
    guard var exchange = quick[id] else { return try answerQuick(bytes, id: id) }
    guard let opened = try opened(bytes, iv: &exchange.iv) else { return exchange.reply.isEmpty ? [] : [.send(exchange.reply)] }
    let hash = opened.payloads.first?.body
    if id == ourQuick {
      if stage == .established { return [.send(exchange.reply)] }
      guard hash == prf(keys.authenticate, id.bytes + exchange.nonce + opened.hashed) else { return [] }
      guard let theirNonce = opened.payloads.first(where: { $0.type == Payload.nonce })?.body,
        let proposal = opened.payloads.first(where: { $0.type == Payload.sa }).flatMap({ Self.proposals(in: $0.body).first })
      else { return [.failed("the gateway's quick mode has no SA in it")] }
      exchange.theirNonce = theirNonce
      exchange.theirSPI = proposal.spi
      let last = prf(keys.authenticate, [0] + id.bytes + exchange.nonce + theirNonce)
      exchange.reply = try sealed(message(Exchange.quick, id: id, [.init(Payload.hash, last)]), iv: &exchange.iv)
      quick = [id: exchange]
      stage = .established
      unanswered = nil
      return [.send(exchange.reply), protected(exchange, initiator: exchange.nonce, responder: theirNonce)]
    }
    // The end of one that the gateway began; or its beginning once more.
    guard hash == prf(keys.authenticate, [0] + id.bytes + exchange.theirNonce + exchange.nonce) else { return [.send(exchange.reply)] }
    quick[id] = nil
    return [protected(exchange, initiator: exchange.theirNonce, responder: exchange.nonce)]
  }

  /// The gateway rekeys an IPsec SA: the first of its proposals that we speak.
  private func answerQuick(_ bytes: [UInt8], id: UInt32) throws(SystemError) -> [Event] {
    var vector = firstIV(of: id)
    guard stage == .established, quick.count < 8, let opened = try opened(bytes, iv: &vector),
      opened.payloads.first?.body == prf(keys.authenticate, id.bytes + opened.hashed),
      let offered = opened.payloads.first(where: { $0.type == Payload.sa })?.body, let theirNonce = opened.payloads.first(where: { $0.type == Payload.nonce })?.body,
      let proposal = Self.proposals(in: offered).first(where: { $0.suite != nil }), let suite = proposal.suite
    else { return [] }
    var exchange = Quick(
      iv: vector, spi: newSPI(), theirSPI: proposal.spi, nonce: (0..<32).map { _ in .random(in: 0...255) }, theirNonce: theirNonce, suite: suite)
    let identities = opened.payloads.filter { $0.type == Payload.identity }
    let payloads = [.init(Payload.sa, offer(spi: exchange.spi, suite)), .init(Payload.nonce, exchange.nonce)] + identities
    exchange.reply = try sealed(hashed(Exchange.quick, id: id, behind: theirNonce, payloads), iv: &exchange.iv)
    quick[id] = exchange
    return [.send(exchange.reply), .heard]
  }

  /// The proposals for ESP in an SA payload: SPI, and the suite of the first transform if it is one of ours.
  static func proposals(in body: [UInt8]) -> [(spi: UInt32, suite: ESP.Suite?)] {
    var (found, at): ([(spi: UInt32, suite: ESP.Suite?)], Int) = ([], 8)
    while at + 20 <= body.count {
      let size = Int(UInt16(bytes: body[(at + 2)..<(at + 4)]))
      guard size >= 20, at + size <= body.count else { break }
      if body[at + 5] == 3, body[at + 6] == 4 {
        let transform = at + 12
        let end = min(at + size, transform + Int(UInt16(bytes: body[(transform + 2)..<(transform + 4)])))
        var values: [UInt16: UInt16] = [:]
        var place = transform + 8
        while place + 4 <= end {
          let (type, value) = (UInt16(bytes: body[place..<(place + 2)]), UInt16(bytes: body[(place + 2)..<(place + 4)]))
          if type & 0x8000 != 0 { values[type & 0x7fff] = value }
          place += type & 0x8000 != 0 ? 4 : 4 + Int(value)
        }
        let hash = [LibCrypto.Hash.sha1, .sha256].first { $0.esp == values[5] }
        let isOurs = body[transform + 5] == 12 && values[4] == 4 && (values[6] == 128 || values[6] == 256)
        found.append((UInt32(bytes: body[(at + 8)..<(at + 12)]), isOurs ? hash.map { ESP.Suite(keyBits: values[6] ?? 0, hash: $0) } : nil))
      }
      at += size
    }
    return found
  }

  private func protected(_ exchange: Quick, initiator: [UInt8], responder: [UInt8]) -> Event {
    func direction(_ spi: UInt32) -> ESP {
      // KEYMAT (RFC 2409 §5.5).
      let seed = [3] + spi.bytes + initiator + responder
      var (material, last): ([UInt8], [UInt8]) = ([], [])
      while material.count < exchange.suite.keyLength {
        last = prf(keys.derive, last + seed)
        material += last
      }
      return ESP(spi: spi, exchange.suite, material: Array(material.prefix(exchange.suite.keyLength)), crypto)
    }
    return .protected(inbound: direction(exchange.spi), outbound: direction(exchange.theirSPI))
  }

  // MARK: - Informational

  private func hearInformation(_ message: IKEMessage, _ bytes: [UInt8]) throws(SystemError) -> [Event] {
    guard bytes[19] & 1 == 1 else {
      // In the clear anybody can say it; before there are keys there is no other way to be refused.
      guard stage == .proposed || stage == .keyed, let body = message.payload(Payload.notify)?.body, body.count >= 8 else { return [] }
      return [.failed("IKE: notification \(UInt16(bytes: body[6..<8]))")]
    }
    guard !keys.cipher.isEmpty else { return [] }
    var vector = firstIV(of: message.messageID)
    guard let opened = try opened(bytes, iv: &vector), opened.payloads.first?.type == Payload.hash,
      opened.payloads.first?.body == prf(keys.authenticate, message.messageID.bytes + opened.hashed)
    else {
      return stage == .identified ? [.failed("IKE: the gateway ends main mode")] : []
    }
    var events = [Event.heard]
    for payload in opened.payloads.dropFirst() {
      switch payload.type {
      case Payload.notify where payload.body.count >= 8:
        let type = UInt16(bytes: payload.body[6..<8])
        if type == Notification.areYouThere, payload.body.count >= 28 {
          events.append(.send(try inform([notification(Notification.iAmHere, Array(payload.body[24..<28]))])))
        } else if type < 8192, stage == .quick {
          events.append(.failed("IKE: notification \(type)"))
        }
      case Payload.delete where payload.body.count >= 8:
        if payload.body[4] == 1 {
          events.append(.deleted(spi: nil))
        } else {
          for place in stride(from: 8, to: payload.body.count - 3, by: 4) { events.append(.deleted(spi: UInt32(bytes: payload.body[place..<(place + 4)]))) }
        }
      default: break
      }
    }
    return events
  }

  private func inform(_ payloads: [IKEMessage.Payload]) throws(SystemError) -> [UInt8] {
    let id = UInt32.random(in: 1...UInt32.max)
    var vector = firstIV(of: id)
    return try sealed(hashed(Exchange.informational, id: id, payloads), iv: &vector)
  }

  /// Takes leave: the SA is to be deleted.
  func farewell() -> [UInt8]? {
    guard stage == .quick || stage == .established else { return nil }
    do throws(SystemError) { return try inform([.init(Payload.delete, [0, 0, 0, 1, 1, 16, 0, 1] + ours.bytes + theirs.bytes)]) } catch { return nil }
  }
}
