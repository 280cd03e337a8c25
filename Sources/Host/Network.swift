/// The kernel's network configuration, subject by subject.
public protocol Network: LinkTable, AddressTable, Routes, Neighbours, IPsecState, LoadBalancing {
  /// The same in the network namespace of this name (`/run/netns/NAME`); `ENOENT` when there is none.
  ///
  /// Equivalent to: `ip netns exec NAME …`.
  func inside(namespace name: String) throws(SystemError) -> any Network
}
