/// A kernel parameter that is 0 and keeps packets of clients from being forwarded.
public struct ForwardingSwitch: Hashable, Sendable {
  /// As sysctl(8) names it.
  public var parameter: String
  /// The interface on which what arrives goes no further; nil: nothing that clients send does.
  public var interface: String?
}

extension Files {
  /// What is off of IPv4 forwarding.
  ///
  /// The kernel asks the interface on which a packet arrives (`IN_DEV_FORWARD`, net/ipv4/route.c). A session's takes over what
  /// `default` has when it comes; `ip_forward` sets them all when it is written, and decides nothing itself.
  ///
  /// - Parameter interfaces: those on which answers arrive; the default routes' when empty.
  public func forwardingThatIsOff(on interfaces: [String] = []) throws(SystemError) -> [ForwardingSwitch] {
    let (all, sessions) = ("net.ipv4.ip_forward", "net.ipv4.conf.default.forwarding")
    let isOn = try kernelParameter(all) != "0"
    let isInherited = try kernelParameter(sessions).map { $0 != "0" } ?? isOn
    guard isInherited else { return [ForwardingSwitch(parameter: isOn ? sessions : all)] }
    var found: [ForwardingSwitch] = []
    for name in try interfaces.isEmpty ? defaultInterfaces() : interfaces {
      let parameter = "net.ipv4.conf.\(name.split(separator: ".").joined(separator: "/")).forwarding"
      if try kernelParameter(parameter) == "0" { found.append(ForwardingSwitch(parameter: parameter, interface: name)) }
    }
    return found
  }

  /// Those of the IPv4 default routes in the main table, each once (`/proc/net/route`, proc(5)).
  private func defaultInterfaces() throws(SystemError) -> [String] {
    var found: [String] = []
    for line in String(decoding: try read("/proc/net/route", limit: 1 << 20) ?? [], as: UTF8.self).split(separator: "\n") {
      let fields = line.split(separator: "\t").map { $0.prefix { $0 != " " } }
      guard fields.count > 7, fields[1] == "00000000", fields[7] == "00000000", !found.contains(String(fields[0])) else { continue }
      found.append(String(fields[0]))
    }
    return found
  }
}
