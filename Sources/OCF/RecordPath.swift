extension Request {
  /// Where resource agents keep what does not survive a reboot.
  public static let recordDirectory = "/run/resource-agents"

  /// `/run/resource-agents/vpnha-TYPE-INSTANCE.KIND`: what an agent keeps for this instance.
  public func recordPath(_ kind: String) -> String { "\(Self.recordDirectory)/vpnha-\(recordName).\(kind)" }

  /// `TYPE-INSTANCE` as a part of a file's name.
  ///
  /// An id that is too long for a file's name, or has characters that are kept out of one, is cut or changed, and told apart from
  /// others by a digest (FNV-1a) of the whole.
  public var recordName: String {
    let whole = "\(type)-\(instance)"
    let name = String(whole.map { $0.isASCII && ($0.isLetter || $0.isNumber || "-_.:".contains($0)) ? $0 : "_" })
    guard name != whole || name.utf8.count > Self.longestName else { return name }
    let digest = whole.utf8.reduce(14_695_981_039_346_656_037 as UInt64) { ($0 ^ UInt64($1)) &* 1_099_511_628_211 }
    let digits = String(digest, radix: 16)
    return "\(name.prefix(Self.longestName - 20))-\(String(repeating: "0", count: 16 - digits.count))\(digits)"
  }

  /// In bytes. A name has 255, and what is written beside the file before it takes the name is some thirty longer.
  private static let longestName = 200
}
