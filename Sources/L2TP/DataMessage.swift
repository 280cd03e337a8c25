/// A data message: one PPP frame of a session (RFC 2661 §3.1).
package struct DataMessage: Hashable {
  package var tunnel: UInt16
  package var session: UInt16
  package var frame: [UInt8]

  /// Without length and sequence numbers, which are optional.
  package var bytes: [UInt8] {
    var bytes: [UInt8] = [0x00, 0x02]
    bytes.append(tunnel)
    bytes.append(session)
    return bytes + frame
  }

  package init(tunnel: UInt16, session: UInt16, frame: [UInt8]) {
    self.tunnel = tunnel
    self.session = session
    self.frame = frame
  }

  /// Nil for a control message, another version, or a header that does not fit.
  package init?(_ datagram: [UInt8]) {
    var at = 0
    func number() -> UInt16? {
      guard at + 2 <= datagram.count else { return nil }
      defer { at += 2 }
      return UInt16(datagram[at]) << 8 | UInt16(datagram[at + 1])
    }
    guard let flags = number(), flags & 0x800f == 0x0002 else { return nil }
    var end = datagram.count
    if flags & 0x4000 != 0 {
      guard let length = number(), Int(length) <= datagram.count else { return nil }
      end = Int(length)
    }
    guard let tunnel = number(), let session = number() else { return nil }
    if flags & 0x0800 != 0 {
      guard number() != nil, number() != nil else { return nil }
    }
    if flags & 0x0200 != 0 {
      guard let offset = number() else { return nil }
      at += Int(offset)
    }
    guard at <= end else { return nil }
    self.init(tunnel: tunnel, session: session, frame: Array(datagram[at..<end]))
  }
}
