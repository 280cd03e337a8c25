import Host
import OCF

/// Whether a member of a promotable clone was started. An unpromoted one holds no address, so the kernel cannot tell; that
/// the address is absent the kernel still says.
extension VirtualIP {
  private static let directory = "/run/resource-agents"

  private func path(_ call: Call) -> String {
    let name = "\(call.request.type)-\(call.request.instance)".map {
      $0.isASCII && ($0.isLetter || $0.isNumber || "-_.:".contains($0)) ? $0 : "_"
    }
    return "\(Self.directory)/vpnha-\(String(name)).standby"
  }

  /// The record names the address: one for another address is not about this resource.
  func isPrepared(_ call: Call) throws(OCFError) -> Bool {
    let bytes = try explained { () throws(SystemError) in try call.host.files.read(path(call), limit: 256) }
    return bytes.map { String(decoding: $0, as: UTF8.self) } == "\(ip)\n"
  }

  func prepare(_ call: Call) throws(OCFError) {
    try explained { () throws(SystemError) in
      try call.host.files.makeDirectory(Self.directory, mode: 0o755)
      try call.host.files.replace(path(call), with: Array("\(ip)\n".utf8), mode: 0o600)
    }
  }

  func forget(_ call: Call) throws(OCFError) {
    try explained { () throws(SystemError) in try call.host.files.remove(path(call)) }
  }
}
