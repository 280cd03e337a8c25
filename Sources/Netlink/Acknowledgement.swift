import CLinux
import Host

/// How a request ended: the kernel's error number and, with extended ACK, its own words.
///
/// Source: `struct nlmsgerr`, `enum nlmsgerr_attrs` (`linux/netlink.h`).
struct Acknowledgement: Equatable {
  /// Nil is success.
  var errno: Errno?
  var text: String?

  /// Reads the payload of `NLMSG_ERROR`.
  init(error message: ReceivedMessage) throws(Malformed) {
    errno = try Self.errno(of: message)
    guard message.flags & Self.hasAttributes != 0 else { return }
    // Behind the code comes our request: its header alone when the kernel capped it, else all of it.
    var skipped = 4 + Message.headerSize
    if message.flags & Self.isCapped == 0 {
      guard let length = message.payload.field(UInt32.self, at: 4) else {
        throw Malformed(what: "an error without the request")
      }
      skipped = 4 + Int(length).alignedToFour
    }
    text = try Self.text(in: message.payload.bytes(from: skipped))
  }

  /// Reads the payload of `NLMSG_DONE`: a dump may end with an error, and with words.
  init(done message: ReceivedMessage) throws(Malformed) {
    if message.payload.isEmpty { return }
    errno = try Self.errno(of: message)
    if message.flags & Self.hasAttributes != 0 { text = try Self.text(in: message.payload.bytes(from: 4)) }
  }

  private static func errno(of message: ReceivedMessage) throws(Malformed) -> Errno? {
    guard let code = message.payload.field(Int32.self, at: 0), code <= 0 else {
      throw Malformed(what: "an error without a code")
    }
    return code == 0 ? nil : Errno(rawValue: 0 &- code)
  }

  private static func text(in bytes: ArraySlice<UInt8>) throws(Malformed) -> String? {
    var text: String?
    var attributes = Attributes(bytes)
    while let (type, value) = try attributes.next() {
      guard type == NLMSGERR_ATTR_MSG.rawValue else { continue }
      let words = value.prefix(200).text
      if !words.isEmpty { text = words }
    }
    return text
  }

  /// `NLM_F_CAPPED`, `NLM_F_ACK_TLVS`.
  private static let isCapped: UInt16 = 0x100
  private static let hasAttributes: UInt16 = 0x200
}
