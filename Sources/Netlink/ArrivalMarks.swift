import CLinux
import Host

/// Requests for marks on what arrives (`linux/pkt_cls.h`): classifier u32, action skbedit, at the ingress hook of `clsact`.
extension Message {
  /// Of all filters that are ours.
  static let priority: UInt32 = 4500
  private static let hook: UInt32 = 0xffff_0000
  private static let arriving: UInt32 = 0xffff_fff2
  private static let leaving: UInt32 = 0xffff_fff3

  /// Makes the hook: `EEXIST` where it is there, or its predecessor `ingress`.
  public static func addHook(link: Int32) -> Message {
    var message = traffic(RTM_NEWQDISC, link, handle: hook, parent: UInt32(TC_H_CLSACT))
    message.flags = UInt16(NLM_F_CREATE | NLM_F_EXCL)
    message.attribute(UInt16(TCA_KIND), "clsact")
    return message
  }
  public static func removeHook(link: Int32) -> Message { traffic(RTM_DELQDISC, link, handle: hook, parent: UInt32(TC_H_CLSACT)) }

  /// Asks for all filters at the hook, by `dump`.
  public static func getFilters(link: Int32, arriving isArriving: Bool) -> Message {
    traffic(RTM_GETTFILTER, link, parent: isArriving ? arriving : leaving)
  }

  public static func addArrivalMark(_ mark: ArrivalMark, link: Int32) -> Message {
    var message = traffic(RTM_NEWTFILTER, link, parent: arriving, info: ours)
    message.flags = UInt16(NLM_F_CREATE | NLM_F_EXCL)
    message.attribute(UInt16(TCA_KIND), "u32")
    message.nested(UInt16(TCA_OPTIONS)) {
      $0.attribute(UInt16(TCA_U32_SEL), mark.selector)
      $0.nested(UInt16(TCA_U32_ACT)) {
        $0.nested(1) {
          $0.attribute(UInt16(TCA_ACT_KIND), "skbedit")
          $0.nested(UInt16(TCA_ACT_OPTIONS)) {
            // struct tc_skbedit: index, capabilities, what comes next, references, bindings. The filters behind ours are asked, too.
            $0.attribute(UInt16(TCA_SKBEDIT_PARMS), [0, 0, Int32(TC_ACT_UNSPEC), 0, 0].flatMap { (number: Int32) in withUnsafeBytes(of: number) { Array($0) } })
            $0.attribute(UInt16(TCA_SKBEDIT_MARK), mark.mark)
          }
        }
      }
    }
    return message
  }

  /// Removes all of our filters.
  public static func removeArrivalMarks(link: Int32) -> Message {
    var message = traffic(RTM_DELTFILTER, link, parent: arriving, info: ours)
    message.attribute(UInt16(TCA_KIND), "u32")
    return message
  }

  /// Priority and protocol.
  static var ours: UInt32 { priority << 16 | UInt32(UInt16(ETH_P_IP).bigEndian) }

  /// `struct tcmsg`
  private static func traffic(_ type: some BinaryInteger, _ link: Int32, handle: UInt32 = 0, parent: UInt32, info: UInt32 = 0) -> Message {
    var message = Message(type: UInt16(type), flags: 0)
    message.append(UInt32(0))  // family, padding
    message.append(link)
    message.append(handle)
    message.append(parent)
    message.append(info)
    return message
  }
}

/// A filter at the hook: one of ours, or somebody else's.
public struct ArrivalFilter: Equatable, Sendable {
  /// Whether it has our priority.
  public var isOurs: Bool
  /// What it does, if it is one of ours as we make them.
  public var mark: ArrivalMark?

  /// Reads `RTM_NEWTFILTER`; nil for any other message, and for what is no filter but a list of them.
  public init?(_ message: ReceivedMessage) throws(Malformed) {
    guard message.type == UInt16(RTM_NEWTFILTER) else { return nil }
    guard let handle = message.payload.field(UInt32.self, at: 8), let info = message.payload.field(UInt32.self, at: 16) else {
      throw Malformed(what: "a filter that ends early")
    }
    let attributes = Attributes(message.payload.bytes(from: 20))
    // The classifier itself, and u32's table of filters.
    guard handle != 0, let options = try attributes.value(of: UInt32(TCA_OPTIONS)) else { return nil }
    let parts = Attributes(options)
    let isTable = try parts.value(of: UInt32(TCA_U32_DIVISOR)) != nil
    if isTable, try attributes.value(of: UInt32(TCA_KIND))?.text == "u32" { return nil }
    isOurs = info == Message.ours
    guard isOurs, let selector = try parts.value(of: UInt32(TCA_U32_SEL)), let actions = try parts.value(of: UInt32(TCA_U32_ACT)),
      let action = try Attributes(actions).value(of: 1), try Attributes(action).value(of: UInt32(TCA_ACT_KIND))?.text == "skbedit",
      let settings = try Attributes(action).value(of: UInt32(TCA_ACT_OPTIONS)),
      let value = try Attributes(settings).value(of: UInt32(TCA_SKBEDIT_MARK))?.field(UInt32.self, at: 0)
    else { return }
    mark = ArrivalMark(selector: selector, mark: value)
  }
}

extension ArrivalMark {
  /// `struct tc_u32_sel` with a key for each word of the IP header that counts: version and length, not a later fragment, UDP, the
  /// address, the port.
  var selector: [UInt8] {
    let address = address.bytes.reduce(0 as UInt32) { $0 << 8 | UInt32($1) }
    return ArrivalMark.selector([
      (0xff00_0000, 0x4500_0000, 0), (0x0000_1fff, 0, 4), (0x00ff_0000, 0x0011_0000, 8), (.max, address, 16), (0x0000_ffff, UInt32(port), 20),
    ])
  }

  private static func selector(_ keys: [(mask: UInt32, value: UInt32, offset: Int32)]) -> [UInt8] {
    // flags (terminal), shift, number of keys; the rest belongs to headers of other lengths.
    var bytes: [UInt8] = [1, 0, UInt8(keys.count)] + [UInt8](repeating: 0, count: 13)
    for key in keys {
      for number in [key.mask.bigEndian, key.value.bigEndian, UInt32(bitPattern: key.offset), 0] { bytes += withUnsafeBytes(of: number) { Array($0) } }
    }
    return bytes
  }

  /// Nil for a selector that we do not make.
  init?(selector: ArraySlice<UInt8>, mark: UInt32) {
    guard selector.count == 96, let address = selector.bytes(at: 16 + 3 * 16 + 4, 4).flatMap({ IPAddress(bytes: Array($0)) }),
      let word = selector.field(UInt32.self, at: 16 + 4 * 16 + 4)
    else { return nil }
    self.init(address, port: UInt16(truncatingIfNeeded: UInt32(bigEndian: word)), mark: mark)
    guard selector.elementsEqual(self.selector) else { return nil }
  }
}
