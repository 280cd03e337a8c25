import Host

/// A certificate that pluto finds in its NSS database, or has in use (libreswan 4.10, `nss_cert_load.c` and `x509.c`).
public struct PlutoCertificate: Equatable, Sendable {
  /// What the database calls it; several may be called so.
  public var name: String
  /// Whether the database has its private key.
  public var hasPrivateKey = false
  /// When it ends; nil where that cannot be read.
  public var end: Timestamp?

  /// `End certificate "gw" - SN: 0x02`, and what is said about it in the lines that follow.
  static func all(in lines: [PlutoLine]) -> [PlutoCertificate] {
    var found: [PlutoCertificate] = []
    for line in lines where line.code == 0 {
      if let name = name(in: line.text) {
        found.append(PlutoCertificate(name: name))
      } else if !found.isEmpty, line.text.hasPrefix("  not after: ") {
        found[found.count - 1].end = time(line.text.dropFirst(13))
      } else if !found.isEmpty, !line.text.hasPrefix("  subject: "), !line.text.hasPrefix("  issuer: "), line.text.hasSuffix(": has private key") {
        found[found.count - 1].hasPrivateKey = true
      }
    }
    return found
  }

  /// NSS may put the name of its own database in front.
  static func plainName(_ name: Substring) -> String {
    let token = "NSS Certificate DB:"
    return String(name.hasPrefix(token) ? name.dropFirst(token.count) : name)
  }

  private static func name(in text: String) -> String? {
    guard let kind = ["End certificate \"", "Root CA certificate \"", "CA certificate \""].first(where: text.hasPrefix), let end = text.lastIndex(of: "\""), text[end...].hasPrefix("\" - SN: ") else { return nil }
    return plainName(text[..<end].dropFirst(kind.count))
  }

  private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

  /// `Tue Nov 30 21:20:27 2027`, which is UTC whatever the time zone.
  private static func time(_ text: Substring) -> Timestamp? {
    let words = text.split(separator: " ")
    guard words.count == 5, let month = months.firstIndex(of: String(words[1])), let day = Int64(words[2]), (1...31).contains(day), let year = Int64(words[4]), (1...9999).contains(year)
    else { return nil }
    let clock = words[3].split(separator: ":").compactMap { Int64($0) }
    guard clock.count == 3, clock.allSatisfy({ (0...60).contains($0) }) else { return nil }
    return Timestamp(year: year, month: Int64(month + 1), day: day, hour: clock[0], minute: clock[1], second: clock[2])
  }
}
