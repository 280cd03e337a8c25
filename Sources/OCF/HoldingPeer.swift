import Host

/// Two members that would hold one address know each other by the hardware addresses that their last looks named.
extension Call {
  private static let hardware = "hardware"

  /// What a look counts, so that another node knows whose answer it hears.
  public static func hardware(of link: Link) -> [String: UInt64] {
    link.hardwareAddress.count == 6 && !link.isLoopback ? [hardware: number(link.hardwareAddress)] : [:]
  }

  /// A hardware address as `ip link` writes it.
  public static func text(ofHardware address: [UInt8]) -> String {
    address.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
  }

  /// The node whose own interface answers for an address; nil also where that cannot be found out.
  public func peer(answeringFor address: IPAddress, on link: Link, within patience: Duration) -> String? {
    rival(answeringFor: address, on: link, within: patience)?.node
  }

  /// Another host that answers for an address: its hardware address, and its name if it is a node of the cluster. Nil also where that
  /// cannot be found out. A wire without one is silent, so this takes all of `patience`.
  public func rival(answeringFor address: IPAddress, on link: Link, within patience: Duration) -> (node: String?, hardware: String)? {
    do throws(SystemError) {
      guard let holder = try host.network.conflictingHost(for: address, on: link, before: within(patience).deadline) else { return nil }
      // Another interface of this node on the same wire answers as well.
      if try host.network.links().contains(where: { $0.hardwareAddress == holder }) { return nil }
      let hardware = Self.text(ofHardware: holder)
      do throws(SystemError) {
        let looks = try host.cluster.nodeAttribute(request.lookAttribute)
        return (looks.first { $0.key != request.home && Look($0.value)?.counts[Self.hardware] == Self.number(holder) }?.key, hardware)
      } catch {
        log.debug("asking whose \(hardware) is: \(error)")
        return (nil, hardware)
      }
    } catch {
      log.debug("asking who has \(address): \(error)")
      return nil
    }
  }

  private static func number(_ address: [UInt8]) -> UInt64 { address.prefix(8).reduce(0) { $0 << 8 | UInt64($1) } }
}
