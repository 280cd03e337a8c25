import Host

/// A traffic selector as swanctl.conf has it and `list-conns` shows it: `dynamic[udp/1701]`, `10.0.0.0/8`, `0.0.0.0/0[tcp]`
/// (strongSwan 5.9.8, `vici_config.c`, `parse_ts`, and `traffic_selector.c`, `traffic_selector_printf_hook`).
public struct TrafficSelector: Hashable, Sendable {
  public var text: String
  /// Before the bracket: `dynamic`, a network, a range or an address.
  public var addresses: Substring
  /// Empty or `any`: every one.
  private var protocolName: Substring = ""
  private var port: Substring = ""

  public init(_ text: String) {
    self.text = text
    let parts = text.split(separator: "[", maxSplits: 1, omittingEmptySubsequences: false)
    addresses = parts[0]
    guard parts.count == 2 else { return }
    let words = parts[1].prefix { $0 != "]" }.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
    protocolName = words[0]
    if words.count == 2 { port = words[1] }
  }

  /// The names that services(5) has for L2TP's port, by which it is shown.
  private static let l2tp: Set<Substring> = ["l2tp", "l2f"]

  /// The ports that are written, or nil: all of them, or a service whose number is not known here.
  private var ports: ClosedRange<UInt16>? {
    if Self.l2tp.contains(port) { return 1701...1701 }
    let ends = port.split(separator: "-", omittingEmptySubsequences: false).compactMap { UInt16($0) }
    return ends.first.flatMap { first in ends.last.flatMap { first <= $0 ? first...$0 : nil } }
  }

  /// Whether UDP goes through, to some port.
  public var coversUDP: Bool { ["", "any", "0", "udp", "UDP", "17"].contains(protocolName) && port != "opaque" }
  /// Whether UDP to that port does; true where that cannot be told.
  public func coversUDP(to port: UInt16) -> Bool { coversUDP && ports?.contains(port) != false }
  /// Whether the port is written in it, and no other.
  public func names(_ port: UInt16) -> Bool { ports == port...port }

  /// Whether charon would read the addresses.
  public var isReadable: Bool {
    if addresses == "dynamic" || addresses.hasPrefix("%any") { return true }
    let ends = addresses.split(separator: "-", omittingEmptySubsequences: false)
    if ends.count > 1 { return ends.count == 2 && ends.allSatisfy { IPAddress(String($0)) != nil } }
    return IPAddress(String(addresses.prefix { $0 != "/" })) != nil
  }
}
