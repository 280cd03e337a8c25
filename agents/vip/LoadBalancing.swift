import Host
import OCF

/// What LVS direct routing needs: the servers behind a director hold the address on their loopback interface.
extension VirtualIP {
  /// Takes the loopback interface's copy away for as long as the address is held elsewhere. It is recorded first, since the
  /// kernel cannot tell afterwards whether there was one.
  func setLoopbackAside(_ call: Call) throws(OCFError) {
    guard lvsSupport, !ip.isIPv6 else { return }
    try explained { () throws(SystemError) in
      for copy in try call.host.network.holders(of: ip) {
        guard let link = try call.host.network.link(at: copy.link), link.isLoopback else { continue }
        try writeRecord(.loopback, "\(copy.prefixLength)", call)
        try call.host.network.remove(copy)
        call.log.info("set \(copy) on \(link.name) aside", ("VPNHA_ADDRESS", "\(ip)"))
      }
    }
  }

  /// Puts that copy back. A failure is only logged: the address is away from where it must not be.
  func putLoopbackBack(_ call: Call) {
    tolerate(call) { () throws(SystemError) in
      guard let text = try readRecord(.loopback, call) else { return }
      if let prefixLength = Int(text), let link = try call.host.network.link(named: "lo") {
        do throws(SystemError) {
          try call.host.network.add(InterfaceAddress(ip, prefixLength: prefixLength, link: link.index))
          call.log.info("put \(ip)/\(prefixLength) back on \(link.name)", ("VPNHA_ADDRESS", "\(ip)"))
        } catch  where error.errno == .exists {
          // Somebody was faster.
        }
      }
      try removeRecord(.loopback, call)
    }
  }

  /// Keeps the address from being chosen as a source, before it is there.
  func labelPolicy(_ call: Call) {
    guard lvsIpv6Addrlabel, ip.isIPv6 else { return }
    tolerate(call, try call.host.network.setPolicyLabel(UInt32(clamping: lvsIpv6AddrlabelValue), of: ip))
  }

  func unlabelPolicy(_ call: Call) {
    guard lvsIpv6Addrlabel, ip.isIPv6 else { return }
    tolerate(call, try call.host.network.setPolicyLabel(nil, of: ip))
  }
}
