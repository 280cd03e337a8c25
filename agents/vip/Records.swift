import Host
import OCF

/// What neither kernel nor address can tell, kept under `/run` so that it does not outlive a reboot.
extension VirtualIP {
  enum Record: String {
    /// That a member of a promotable clone was started, since an unpromoted one holds no address.
    /// Whether the address is here the kernel is asked all the same.
    case standby
    /// The prefix length of a copy that was set aside (see `setLoopbackAside`).
    case loopback
  }

  private func path(_ record: Record, _ call: Call) -> String { call.request.recordPath(record.rawValue) }

  /// Names the address, so that a record for another one is not about this resource.
  func writeRecord(_ record: Record, _ text: String, _ call: Call) throws(SystemError) {
    try call.host.files.makeDirectory(Request.recordDirectory, mode: 0o755)
    try call.host.files.replace(path(record, call), with: Array("\(ip) \(text)\n".utf8), mode: 0o600)
  }

  func readRecord(_ record: Record, _ call: Call) throws(SystemError) -> String? {
    guard let bytes = try call.host.files.read(path(record, call), limit: 256) else { return nil }
    let words = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isWhitespace)
    guard words.count == 2, words[0] == "\(ip)" else { return nil }
    return String(words[1])
  }

  func removeRecord(_ record: Record, _ call: Call) throws(SystemError) {
    try call.host.files.remove(path(record, call))
  }

  func isStarted(_ call: Call) throws(OCFError) -> Bool {
    try explained { () throws(SystemError) in try readRecord(.standby, call) } != nil
  }
  func prepare(_ call: Call) throws(OCFError) {
    try explained { () throws(SystemError) in try writeRecord(.standby, "started", call) }
  }

  /// A plain resource has no such record, unless it was a clone once: then it is for nobody, and no reason to fail.
  func forget(_ call: Call) throws(OCFError) {
    guard call.isPromotable else { return attempt(call) { () throws(SystemError) in try removeRecord(.standby, call) } }
    try explained { () throws(SystemError) in try removeRecord(.standby, call) }
  }

  /// Runs what must not decide about the address; a failure is logged.
  func attempt(_ call: Call, _ body: () throws(SystemError) -> Void) {
    do throws(SystemError) { try body() } catch { call.log.warning("\(error)", ("VPNHA_ADDRESS", "\(ip)")) }
  }
}
