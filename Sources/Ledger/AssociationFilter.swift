/// Which IPsec SAs a node holds, in few bytes: a Bloom filter over their SPIs. It knows every one of them, and takes few others for them:
/// 1 of 100 with 300 clients. An SA that did not come over by itself may be missed; a sync that has failed is not.
public struct AssociationFilter: Hashable, Sendable {
  static let size = 1024
  /// Empty: none.
  private(set) var bytes: [UInt8] = []

  public init() {}

  public init(_ spis: some Sequence<UInt32>) {
    for spi in spis {
      if bytes.isEmpty { bytes = [UInt8](repeating: 0, count: Self.size) }
      for place in Self.places(of: spi) { bytes[place >> 3] |= 1 << UInt8(place & 7) }
    }
  }

  /// Nil for what none wrote.
  init?(bytes: [UInt8]) {
    guard bytes.isEmpty || bytes.count == Self.size else { return nil }
    self.bytes = bytes
  }

  public func mayContain(_ spi: UInt32) -> Bool { !bytes.isEmpty && Self.places(of: spi).allSatisfy { bytes[$0 >> 3] & 1 << UInt8($0 & 7) != 0 } }

  /// Four places of 8192. SPIs are random, or count up: they are mixed (splitmix64).
  private static func places(of spi: UInt32) -> [Int] {
    var mixed = UInt64(spi) &+ 0x9e37_79b9_7f4a_7c15
    mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
    mixed ^= mixed >> 31
    return (0..<4).map { Int(mixed >> (16 * $0) & 8191) }
  }
}
