import Host

/// Two members that would hold one address know each other by the hardware addresses that their last looks named.
extension Call {
  private static let hardware = "hardware"

  /// What a look counts, so that another node knows whose answer it hears.
  public static func hardware(of link: Link) -> [String: UInt64] {
    link.hardwareAddress.count == 6 && !link.isLoopback ? [hardware: number(link.hardwareAddress)] : [:]
  }

  /// The node whose own interface answers for an address; nil also where that cannot be found out.
  public func peer(answeringFor address: IPAddress, on link: Link, within patience: Duration) -> String? {
    do throws(SystemError) {
      guard let holder = try host.network.conflictingHost(for: address, on: link, before: within(patience).deadline) else { return nil }
      let looks = try host.cluster.nodeAttribute(request.lookAttribute)
      return looks.first { $0.key != request.home && Look($0.value)?.counts[Self.hardware] == Self.number(holder) }?.key
    } catch {
      log.debug("asking who has \(address): \(error)")
      return nil
    }
  }

  private static func number(_ address: [UInt8]) -> UInt64 { address.prefix(8).reduce(0) { $0 << 8 | UInt64($1) } }
}
