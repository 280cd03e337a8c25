/// Where resource agents keep what does not survive a reboot.
public enum Records { public static let directory = "/run/resource-agents" }

extension Files {
  /// What each instance of an agent keeps there as `kind`: `/run/resource-agents/vpnha-TYPE-INSTANCE.KIND`, of at most `limit` bytes.
  /// One that cannot be read is left out: whoever may write there must not hide the others.
  public func records(of type: String, as kind: String, limit: Int) throws(SystemError) -> [(instance: String, bytes: [UInt8])] {
    let (prefix, suffix) = ("vpnha-\(type)-", ".\(kind)")
    var found: [(instance: String, bytes: [UInt8])] = []
    for name in try entries(of: Records.directory) ?? [] where name.hasPrefix(prefix) && name.hasSuffix(suffix) {
      do throws(SystemError) {
        guard let bytes = try read("\(Records.directory)/\(name)", limit: limit) else { continue }
        found.append((String(name.dropFirst(prefix.count).dropLast(suffix.count)), bytes))
      } catch { continue }
    }
    return found
  }
}
