extension Sequence where Element == UInt8 {
  /// As text for one line of a log or a reason: everything but printable ASCII as `?`.
  public var printable: String { String(decoding: map { (0x20...0x7e).contains($0) ? $0 : UInt8(ascii: "?") }, as: UTF8.self) }
}
