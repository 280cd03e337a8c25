extension Sequence where Element == UInt8 {
  /// As text for one line of a log or a reason: everything but printable ASCII as `?`. Inlinable, so that it is compiled for what it is
  /// asked of: the firewall's monitor asks for every name that the kernel tells.
  @inlinable public var printable: String { String(decoding: map { (0x20...0x7e).contains($0) ? $0 : UInt8(ascii: "?") }, as: UTF8.self) }
}
