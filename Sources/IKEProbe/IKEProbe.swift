/// A first IKE message that shows whether an IKE daemon serves, at a known price.
///
/// What each proves, and what it leaves behind, was read in strongSwan 5.9.8 (`receiver.c`, `ike_init.c`,
/// `task_manager_v1.c`) and run against it. `version`, `proposalV2` and `proposalV1` leave nothing and are not counted as
/// half-open. `mainMode` leaves one half-open SA for 30 s. The identical bytes within that time are taken for a
/// retransmission: no other SA, but the answer goes to the port that the *first* of them came from. So a prober that is a
/// new process, with a new port, hears nothing; it waits until the half-open SA has gone.
public enum IKEProbe: Hashable, Sendable, CaseIterable {
  /// A major version that does not exist: answered by the receiving thread. Proves socket, receiver and path.
  case version
  /// IKEv2 with a proposal nobody has: proves the worker threads too.
  case proposalV2
  /// IKEv1 Main Mode with a transform nobody has: proves that IKEv1 is alive.
  case proposalV1
  /// IKEv1 Main Mode with the transforms that L2TP clients offer: proves that a connection for it is loaded.
  case mainMode

  /// The probe's message. The same SPI gives the same bytes.
  ///
  /// - Parameter spi: the initiator's, not 0; best at random, and the prober's own for as long as it lives.
  public func message(spi: UInt64) -> IKEMessage {
    switch self {
    case .version:
      // Version 3.0, IKE_SA_INIT, initiator flag.
      IKEMessage(initiatorSPI: spi, version: 0x30, exchange: Self.saInit, flags: 0x08)
    case .proposalV2:
      IKEMessage(
        initiatorSPI: spi, version: 0x20, exchange: Self.saInit, flags: 0x08,
        payloads: [
          .init(33, Self.impossibleProposalV2),
          // Group 31 and a key of its size: nothing is computed with it.
          .init(34, [0, 31, 0, 0] + [UInt8](repeating: 9, count: 32)),
          .init(40, [UInt8](repeating: 0x5a, count: 32)),
        ])
    case .proposalV1:
      IKEMessage(
        initiatorSPI: spi, version: 0x10, exchange: Self.mainModeExchange,
        payloads: [
          .init(1, Self.proposalV1([Self.transform(1, encryption: 65_001, hash: 65_001, group: 65_001)]))
        ])
    case .mainMode:
      IKEMessage(
        initiatorSPI: spi, version: 0x10, exchange: Self.mainModeExchange,
        payloads: [
          .init(
            1,
            Self.proposalV1(
              Self.clientSuites.enumerated().map { index, suite in
                Self.transform(
                  UInt8(truncatingIfNeeded: index + 1), encryption: suite.encryption, keyLength: suite.keyLength, hash: suite.hash,
                  group: suite.group)
              }))
        ])
    }
  }

  static let saInit: UInt8 = 34
  static let mainModeExchange: UInt8 = 2
  static let informational: UInt8 = 5

  // MARK: Payload bodies

  /// Proposal 1, protocol IKE, with private-use algorithms (RFC 7296 §3.3).
  private static let impossibleProposalV2: [UInt8] = {
    let transforms: [[UInt8]] = [
      [3, 0, 0, 12, 1, 0, 0xfd, 0xe9, 0x80, 0x0e, 1, 0],  // ENCR 65001 with 256 bits
      [3, 0, 0, 8, 2, 0, 0xfd, 0xe9],  // PRF 65001
      [3, 0, 0, 8, 3, 0, 0xfd, 0xe9],  // INTEG 65001
      [0, 0, 0, 8, 4, 0, 0, 31],  // DH Curve25519, the group of the key
    ]
    let body = transforms.flatMap { $0 }
    return [0, 0] + UInt16(truncatingIfNeeded: 8 + body.count).bigEndianBytes
      + [1, 1, 0, UInt8(truncatingIfNeeded: transforms.count)] + body
  }()

  private struct Suite {
    var encryption: UInt16
    var keyLength: UInt16?
    var hash: UInt16
    var group: UInt16
  }

  /// What Windows, Apple, Android and Linux L2TP clients offer, the stronger first (RFC 2409 App. A): ciphers 7 AES, 5 3DES;
  /// hashes 2 SHA1, 4 SHA2-256; groups 2 modp1024, 14 modp2048, 19 ecp256, 20 ecp384.
  private static let clientSuites: [Suite] = [
    Suite(encryption: 7, keyLength: 256, hash: 4, group: 14), Suite(encryption: 7, keyLength: 256, hash: 2, group: 20),
    Suite(encryption: 7, keyLength: 128, hash: 2, group: 19), Suite(encryption: 7, keyLength: 256, hash: 2, group: 14),
    Suite(encryption: 7, keyLength: 128, hash: 2, group: 14), Suite(encryption: 7, keyLength: 256, hash: 2, group: 2),
    Suite(encryption: 7, keyLength: 128, hash: 2, group: 2), Suite(encryption: 5, keyLength: nil, hash: 2, group: 14),
    Suite(encryption: 5, keyLength: nil, hash: 2, group: 2),
  ]

  /// DOI IPsec, situation identity only, one ISAKMP proposal (RFC 2407 §4.6.1, RFC 2408 §3.4–3.6).
  package static func proposalV1(_ transforms: [[UInt8]]) -> [UInt8] {
    var body: [UInt8] = []
    for (index, transform) in transforms.enumerated() {
      body += [index + 1 < transforms.count ? 3 : 0, 0] + UInt16(truncatingIfNeeded: transform.count + 4).bigEndianBytes + transform
    }
    return [0, 0, 0, 1, 0, 0, 0, 1, 0, 0] + UInt16(truncatingIfNeeded: 8 + body.count).bigEndianBytes
      + [1, 1, 0, UInt8(truncatingIfNeeded: transforms.count)] + body
  }

  /// KEY_IKE with a pre-shared key and a life of 28800 s.
  package static func transform(
    _ number: UInt8, encryption: UInt16, keyLength: UInt16? = nil, hash: UInt16, group: UInt16
  ) -> [UInt8] {
    /// An attribute whose value has 16 bits.
    func attribute(_ type: UInt16, _ value: UInt16) -> [UInt8] { (type | 0x8000).bigEndianBytes + value.bigEndianBytes }
    return [number, 1, 0, 0] + attribute(1, encryption) + (keyLength.map { attribute(14, $0) } ?? []) + attribute(2, hash)
      + attribute(3, 1) + attribute(4, group) + attribute(11, 1) + attribute(12, 28_800)
  }
}

/// What an IKE daemon said to a probe. Each of these proves that it serves, to the depth of the probe.
public enum IKEAnswer: Hashable, Sendable {
  /// It speaks no such version: what `version` provokes (INVALID_MAJOR_VERSION, 5).
  case versionRefused
  /// No proposal fits, or no connection is for this address: charon does not tell which (NO_PROPOSAL_CHOSEN, 14).
  case noProposal
  /// It wants a cookie first: many half-open SAs (COOKIE, 16390).
  case cookie
  /// It wants another Diffie-Hellman group: a connection is loaded and the proposal fits (INVALID_KE_PAYLOAD, 17).
  case groupWanted(UInt16)
  /// It chose a proposal; a half-open SA with this SPI exists now.
  case accepted(responderSPI: UInt64)
  /// Another notification.
  case notified(UInt16)

  /// The answer that `message` is to a probe with `spi`; nil when it is none.
  public init?(_ message: IKEMessage, to spi: UInt64) {
    guard message.initiatorSPI == spi else { return nil }
    switch (message.majorVersion, message.exchange) {
    case (2, IKEProbe.saInit):
      // A response, not another initiator's request.
      guard message.flags & 0x20 != 0 else { return nil }
      if let notify = message.payload(41) {
        guard let (type, data) = Self.notification(notify.body[...]) else { return nil }
        if message.payload(33) == nil {
          self.init(notification: type, data)
          return
        }
      }
      guard message.payload(33) != nil, message.responderSPI != 0 else { return nil }
      self = .accepted(responderSPI: message.responderSPI)
    case (1, IKEProbe.informational):
      // Four bytes of DOI come first (RFC 2408 §3.14).
      guard let notify = message.payload(11), notify.body.count > 4,
        let (type, data) = Self.notification(notify.body.dropFirst(4))
      else { return nil }
      self.init(notification: type, data)
    case (1, IKEProbe.mainModeExchange):
      guard message.payload(1) != nil, message.responderSPI != 0 else { return nil }
      self = .accepted(responderSPI: message.responderSPI)
    default: return nil
    }
  }

  /// Protocol, SPI size, type, SPI, data (RFC 7296 §3.10).
  private static func notification(_ body: ArraySlice<UInt8>) -> (UInt16, [UInt8])? {
    let body = Array(body)
    guard body.count >= 4, body.count >= 4 + Int(body[1]) else { return nil }
    return (UInt16(body[2]) << 8 | UInt16(body[3]), Array(body.dropFirst(4 + Int(body[1]))))
  }

  private init(notification type: UInt16, _ data: [UInt8]) {
    switch type {
    case 5: self = .versionRefused
    case 14: self = .noProposal
    case 17: self = data.count >= 2 ? .groupWanted(UInt16(data[0]) << 8 | UInt16(data[1])) : .notified(type)
    case 16_390: self = .cookie
    default: self = .notified(type)
    }
  }
}
