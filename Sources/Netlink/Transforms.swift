import CLinux
import Host

/// An IPsec security association as the kernel keeps it, without its keys.
public struct SecurityAssociation: Hashable, Sendable {
  public var source: IPAddress
  public var destination: IPAddress
  /// Host byte order.
  public var spi: UInt32
  /// `IPPROTO_ESP` 50, `IPPROTO_AH` 51 …
  public var protocolNumber: UInt8
  public var mark: [UInt8]?
  /// When it was installed, in seconds of the wall clock.
  public var installed: UInt64
  /// How many seconds it may live; nil where nothing limits it.
  public var lifetime: UInt64?
  public var replay: ReplayState?

  public func hasEndpoint(_ address: IPAddress) -> Bool { source == address || destination == address }

  /// Whether it is the tunnel that the kernel makes for SAs of IPComp (protocols 4 and 41, which nobody else can ask for). It
  /// goes with the last of them, a moment later, and cannot be removed (`EPERM`).
  public var belongsToCompression: Bool { protocolNumber == UInt8(IPPROTO_IPIP) || protocolNumber == UInt8(IPPROTO_IPV6) }

  /// Reads `XFRM_MSG_NEWSA` (`struct xfrm_usersa_info`); nil for any other message.
  public init?(_ message: ReceivedMessage) throws(Malformed) {
    guard message.type == UInt16(XFRM_MSG_NEWSA) else { return nil }
    guard message.payload.count >= Transform.associationSize, let family = message.payload.field(UInt16.self, at: 212),
      let destination = Transform.address(message.payload, at: 56, family: family),
      let source = Transform.address(message.payload, at: 80, family: family),
      let spi = message.payload.field(UInt32.self, at: 72), let protocolNumber = message.payload.field(UInt8.self, at: 76),
      // lft.hard_add_expires_seconds, curlft.add_time
      let lifetime = message.payload.field(UInt64.self, at: 136), let installed = message.payload.field(UInt64.self, at: 176)
    else { throw Malformed(what: "an IPsec SA that ends early") }
    self.installed = installed
    self.lifetime = lifetime > 0 ? lifetime : nil
    self.source = source
    self.destination = destination
    self.spi = UInt32(bigEndian: spi)
    self.protocolNumber = protocolNumber
    var attributes = Attributes(message.payload.bytes(from: Transform.associationSize))
    while let (type, value) = try attributes.next() {
      switch UInt32(type) {
      case XFRMA_MARK.rawValue: mark = Array(value)
      case XFRMA_REPLAY_VAL.rawValue, XFRMA_REPLAY_ESN_VAL.rawValue: replay = ReplayState(attribute: type, Array(value))
      default: break
      }
    }
  }
}

/// The sequence numbers of an SA: the last one sent, and which ones were received.
public struct ReplayState: Hashable, Sendable {
  /// `XFRMA_REPLAY_VAL` (`struct xfrm_replay_state`: sent, received, bitmap), or `XFRMA_REPLAY_ESN_VAL`
  /// (`struct xfrm_replay_state_esn`: words in the bitmap, sent, received, the upper halves of both, window, bitmap) where the
  /// window is larger than 32 packets or the numbers have 64 bits.
  public var attribute: UInt16
  public var bytes: [UInt8]

  /// Nil when it is too short to be one.
  init?(attribute: UInt16, _ bytes: [UInt8]) {
    self.attribute = attribute
    self.bytes = bytes
    guard bytes.count >= (isExtended ? 24 : 12) else { return nil }
  }

  private var isExtended: Bool { UInt32(attribute) == XFRMA_REPLAY_ESN_VAL.rawValue }
  private var place: Int { isExtended ? 4 : 0 }

  /// The number of the last packet sent; 64 bits of an SA that has such numbers.
  public var sent: UInt64 {
    let low = bytes[...].field(UInt32.self, at: place) ?? 0
    let high = isExtended ? bytes[...].field(UInt32.self, at: 12) ?? 0 : 0
    return UInt64(high) << 32 | UInt64(low)
  }

  /// The same after a packet with this number was sent, in the first 2^32.
  public func after(sending number: UInt32) -> ReplayState {
    var state = self
    state.bytes.replaceSubrange(place..<place + 4, with: withUnsafeBytes(of: number) { Array($0) })
    return state
  }
}

/// An IPsec policy, as far as it is needed to say whose it is and to remove it.
public struct SecurityPolicy: Hashable, Sendable {
  /// `struct xfrm_selector`, as it came.
  public var selector: [UInt8]
  public var index: UInt32
  /// `XFRM_POLICY_IN` 0, `OUT` 1, `FWD` 2; greater is the policy of one socket.
  public var direction: UInt8
  /// Tunnel endpoints of the templates, and selectors that name a single host.
  public var endpoints: [IPAddress]
  /// Attributes that are part of its identity (mark, interface id, type), as they came.
  public var identity: [Attribute]

  public struct Attribute: Hashable, Sendable {
    public var type: UInt16
    public var value: [UInt8]
  }

  public func hasEndpoint(_ address: IPAddress) -> Bool { direction <= 2 && endpoints.contains(address) }

  /// Reads `XFRM_MSG_NEWPOLICY` (`struct xfrm_userpolicy_info`); nil for any other message.
  public init?(_ message: ReceivedMessage) throws(Malformed) {
    guard message.type == UInt16(XFRM_MSG_NEWPOLICY) else { return nil }
    let payload = message.payload
    guard payload.count >= Transform.policySize, let selector = payload.bytes(at: 0, 56),
      let family = payload.field(UInt16.self, at: 40), let destinationLength = payload.field(UInt8.self, at: 42),
      let sourceLength = payload.field(UInt8.self, at: 43), let index = payload.field(UInt32.self, at: 156),
      let direction = payload.field(UInt8.self, at: 160)
    else { throw Malformed(what: "an IPsec policy that ends early") }
    self.selector = Array(selector)
    self.index = index
    self.direction = direction
    endpoints = []
    identity = []
    for (offset, length) in [(0, destinationLength), (16, sourceLength)] {
      if let host = Transform.address(payload, at: offset, family: family), Int(length) == host.bits {
        endpoints.append(host)
      }
    }
    var attributes = Attributes(payload.bytes(from: Transform.policySize))
    while let (type, value) = try attributes.next() {
      switch UInt32(type) {
      case XFRMA_TMPL.rawValue:
        var template = value
        while let family = template.field(UInt16.self, at: 24), template.count >= Transform.templateSize {
          for offset in [0, 28] {
            if let end = Transform.address(template, at: offset, family: family), !end.isUnspecified {
              endpoints.append(end)
            }
          }
          template = template.bytes(from: Transform.templateSize)
        }
      case XFRMA_MARK.rawValue, XFRMA_IF_ID.rawValue, XFRMA_POLICY_TYPE.rawValue:
        identity.append(Attribute(type: type, value: Array(value)))
      default: break
      }
    }
  }
}

/// Layout of `linux/xfrm.h`; a test compares the numbers with the header's own structures.
enum Transform {
  static let associationSize = 224
  static let policySize = 168
  static let templateSize = 64

  /// An `xfrm_address_t`: sixteen bytes, of which IPv4 uses the first four.
  static func address(_ bytes: ArraySlice<UInt8>, at offset: Int, family: UInt16) -> IPAddress? {
    switch Int32(family) {
    case AF_INET: bytes.bytes(at: offset, 4).flatMap { IPAddress(bytes: Array($0)) }
    case AF_INET6: bytes.bytes(at: offset, 16).flatMap { IPAddress(bytes: Array($0)) }
    default: nil
    }
  }
}

extension Message {
  /// Asks for the SAs with this source or with this destination, by `dump`; the kernel filters
  /// (`struct xfrm_address_filter`), so nobody else's keys come along.
  public static func getAssociations(source: IPAddress? = nil, destination: IPAddress? = nil) -> Message {
    var message = Message(type: UInt16(XFRM_MSG_GETSA), flags: 0)
    guard let family = (source ?? destination)?.family else { return message }
    var filter = Message(type: 0, flags: 0)
    filter.append(source?.bytes ?? [])
    filter.pad(to: 16)
    filter.append(destination?.bytes ?? [])
    filter.pad(to: 32)
    filter.append(UInt16(family))
    filter.append(UInt8(clamping: source?.bits ?? 0))
    filter.append(UInt8(clamping: destination?.bits ?? 0))
    message.attribute(UInt16(XFRMA_ADDRESS_FILTER.rawValue), filter.payload)
    return message
  }

  /// Asks for all policies, by `dump`.
  public static var getPolicies: Message { Message(type: UInt16(XFRM_MSG_GETPOLICY), flags: 0) }

  /// `struct xfrm_usersa_id`
  public static func remove(_ association: SecurityAssociation) -> Message {
    var message = Message(type: UInt16(XFRM_MSG_DELSA), flags: 0)
    message.append(association.destination.bytes)
    message.pad(to: 16)
    message.append(association.spi.bigEndian)
    message.append(UInt16(association.destination.family))
    message.append(association.protocolNumber)
    message.pad(to: 24)
    var source = Message(type: 0, flags: 0)
    source.append(association.source.bytes)
    source.pad(to: 16)
    message.attribute(UInt16(XFRMA_SRCADDR.rawValue), source.payload)
    if let mark = association.mark { message.attribute(UInt16(XFRMA_MARK.rawValue), mark) }
    return message
  }

  /// `struct xfrm_userpolicy_id`
  public static func remove(_ policy: SecurityPolicy) -> Message {
    var message = Message(type: UInt16(XFRM_MSG_DELPOLICY), flags: 0)
    message.append(policy.selector)
    message.append(policy.index)
    message.append(policy.direction)
    message.pad(to: 64)
    for attribute in policy.identity { message.attribute(attribute.type, attribute.value) }
    return message
  }

  /// Sets the sequence numbers of an SA (`XFRM_MSG_NEWAE` with `NLM_F_REPLACE`, `struct xfrm_aevent_id`). The kernel wants
  /// the form and the size that the SA has: what it told of itself.
  ///
  /// Never lower what was sent: the peer would drop everything until the old number is passed.
  public static func set(_ replay: ReplayState, of association: SecurityAssociation) -> Message {
    var message = Message(type: UInt16(XFRM_MSG_NEWAE), flags: UInt16(NLM_F_REPLACE))
    message.append(association.destination.bytes)
    message.pad(to: 16)
    message.append(association.spi.bigEndian)
    message.append(UInt16(association.destination.family))
    message.append(association.protocolNumber)
    message.pad(to: 24)
    message.pad(to: 40)  // source address: not looked at
    message.append(UInt32(2))  // XFRM_AE_RVAL
    message.append(UInt32(0))  // request id: not looked at
    if let mark = association.mark { message.attribute(UInt16(XFRMA_MARK.rawValue), mark) }
    message.attribute(replay.attribute, replay.bytes)
    return message
  }
}
