import Host
import OCF

/// What neither kernel nor address can tell, kept under `/run` so that it does not outlive a reboot.
extension VirtualIP {
  enum Record: String {
    /// That a member of a promotable clone was started, since an unpromoted one holds no address.
    /// Whether the address is here the kernel is asked all the same.
    case standby
    /// Where we put the address: `PREFIX@LINK` or `PREFIX@LINK@NAMESPACE`, written before it is added, so that a killed action leaves nothing that nobody
    /// answers for. A member of a clone that has it was promoted.
    case held
    /// The prefix length of a copy that was set aside (see `setLoopbackAside`).
    case loopback
  }

  /// Where a record that cannot be removed, as from a read-only file system, has a copy: such a record counts for nothing.
  private static let voidDirectory = "/var/lib/vpnha"
  private func voidPath(_ record: Record, _ call: Call) -> String {
    "\(Self.voidDirectory)/void-\(call.request.recordName).\(record.rawValue)"
  }

  private func path(_ record: Record, _ call: Call) -> String { call.request.recordPath(record.rawValue) }

  /// Names the address, so that a record for another one is not about this resource, and the moment, so that no two are the same.
  func writeRecord(_ record: Record, _ text: String, _ call: Call) throws(SystemError) {
    try call.keep(Array("\(ip) \(text) \(call.host.clock.now.nanoseconds)\n".utf8), as: record.rawValue)
  }

  func readRecord(_ record: Record, _ call: Call) throws(SystemError) -> String? {
    guard let bytes = try bytes(of: record, call) else { return nil }
    // A standby that the cluster looks at again and again has not been stopped.
    if record == .held || record == .standby && !isRecurring(call),
      try call.host.files.read(voidPath(record, call), limit: 256) == bytes
    {
      return nil
    }
    let words = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isWhitespace)
    guard [2, 3].contains(words.count), words[0] == "\(ip)" else { return nil }
    return String(words[1])
  }

  /// Nil also for a directory in its place: that is none of ours.
  private func bytes(of record: Record, _ call: Call) throws(SystemError) -> [UInt8]? {
    do throws(SystemError) { return try call.host.files.read(path(record, call), limit: 256) } catch
      where
      error.errno == .isADirectory
    {
      return nil
    }
  }

  func removeRecord(_ record: Record, _ call: Call) throws(SystemError) {
    do throws(SystemError) { try call.host.files.remove(path(record, call)) } catch {
      if let bytes = try bytes(of: record, call) {
        try call.host.files.makeDirectory(Self.voidDirectory, mode: 0o755)
        try call.host.files.replace(voidPath(record, call), with: bytes, mode: 0o600)
      }
      call.log.warning("\(error)")
    }
  }

  func isRecurring(_ call: Call) -> Bool { call.request.action == .monitor && !call.request.isProbe }

  /// Whether a member of a clone was started. What the record says of one that is being stopped does not matter: the address does.
  func isStarted(_ call: Call) throws(OCFError) -> Bool {
    guard call.request.action != .stop else { return false }
    return try explained(try readRecord(.standby, call)) != nil
  }
  func prepare(_ call: Call) throws(OCFError) {
    try explained(try writeRecord(.standby, "started", call))
  }

  /// Whether the cluster has promoted this member, by its own word or by our record.
  func wasPromoted(_ call: Call) throws(OCFError) -> Bool {
    guard call.isPromotable else { return false }
    if let role = call.request.expectedRole { return role == .promoted }
    return try explained(try readRecord(.held, call)) != nil
  }

  /// Where we put the address; on the way down as far as that can be told, since what is exactly as wanted goes anyway.
  func heldPlace(_ call: Call) throws(OCFError) -> String? {
    do throws(SystemError) {
      let place = try readRecord(.held, call)
      return place?.split(separator: "@").dropFirst(2).first.map(String.init) ?? "" == networkNamespace ? place : nil
    } catch {
      guard [.stop, .demote].contains(call.request.action) else { throw .failed("\(error)") }
      call.log.warning("\(error)", ("VPNHA_ADDRESS", "\(ip)"))
      return nil
    }
  }

  /// A plain resource has no such record, unless it was a clone once: then it is for nobody, and no reason to fail.
  func forget(_ call: Call) throws(OCFError) {
    guard call.isPromotable else { return tolerate(call, try removeRecord(.standby, call)) }
    try explained(try removeRecord(.standby, call))
  }

  /// Does what must not decide about the address; a failure is logged.
  func tolerate(_ call: Call, _ action: @autoclosure () throws(SystemError) -> Void) {
    do throws(SystemError) { try action() } catch { call.log.warning("\(error)", ("VPNHA_ADDRESS", "\(ip)")) }
  }

  /// The same for more than an expression.
  func tolerate(_ call: Call, _ body: () throws(SystemError) -> Void) {
    do throws(SystemError) { try body() } catch { call.log.warning("\(error)", ("VPNHA_ADDRESS", "\(ip)")) }
  }
}
