/// A UDP port that somebody can listen on.
public struct UDPPort: ParameterValue, Hashable, Sendable {
  public var number: UInt16
  public init(_ number: UInt16) { self.number = number }

  public static var contentType: ContentType { .integer }
  public init(parameter text: String) throws(Unreadable) {
    guard text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let number = UInt16(text), number > 0 else {
      throw Unreadable("expected a port from 1 to 65535")
    }
    self.number = number
  }
  public var parameterText: String? { String(number) }
}
