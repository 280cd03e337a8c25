/// What happened since the last mark.
struct Report {
  // Seconds: from the first message to the IPsec SA, from there to ICCN, from there to IPCP; all three; from a loss that was noticed to the next session.
  var ike: [Double] = []
  var l2tp: [Double] = []
  var ppp: [Double] = []
  var session: [Double] = []
  var redial: [Double] = []

  var dialled = 0
  var failed = 0
  var lost = 0
  var repeated = 0
  var rekeyed = 0
  /// Datagrams that belong to nothing here.
  var strays = 0
  var pinged = 0
  var ponged = 0
  var reasons: [String: Int] = [:]

  private(set) var first = Double.infinity
  private(set) var last = 0.0
  private(set) var perSecond: [Int: Int] = [:]
  let began: Double

  init(began: Double) { self.began = began }

  /// A session came up.
  mutating func came(_ now: Double) {
    first = min(first, now)
    last = max(last, now)
    perSecond[Int(now - began), default: 0] += 1
  }

  /// The value below which `share` of them are (nearest rank); nil of none.
  static func percentile(_ share: Double, of values: [Double]) -> Double? {
    let sorted = values.sorted()
    guard !sorted.isEmpty else { return nil }
    return sorted[max(0, min(sorted.count - 1, Int((share * Double(sorted.count)).rounded(.up)) - 1))]
  }

  /// Sessions a second from the mark to the last one that came.
  var rate: Double { session.isEmpty || last <= began ? 0 : Double(session.count) / (last - began) }

  // MARK: - Words

  private var rows: [(String, [Double])] { [("IKE", ike), ("L2TP", l2tp), ("PPP", ppp), ("session", session), ("redial", redial)] }
  private static let shares = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)]

  private static func decimal(_ value: Double, _ places: Int = 2) -> String {
    guard value.isFinite else { return "0" }
    var scale = 1.0
    for _ in 0..<places { scale *= 10 }
    let whole = Int((value * scale).rounded())
    let digits = String(whole.magnitude)
    let padded = String(repeating: "0", count: max(0, places + 1 - digits.count)) + digits
    return (whole < 0 ? "-" : "") + padded.dropLast(places) + (places > 0 ? "." + padded.suffix(places) : "")
  }

  private static func right(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(0, width - text.count)) + text }
  private static func left(_ text: String, _ width: Int) -> String { text + String(repeating: " ", count: max(0, width - text.count)) }

  /// One screen.
  func screen(_ name: String, now: Double, up: Int, of all: Int, silences: [Double]) -> String {
    var lines = [
      "\(name): \(Self.decimal(now - began, 1)) s, \(up) of \(all) sessions up; dialled \(dialled), came \(session.count), failed \(failed), lost \(lost)",
      "  \(Self.decimal(rate, 1)) sessions/s until the last one came, \(perSecond.values.max() ?? 0) in the best second; IKE repeated \(repeated), rekeyed \(rekeyed)", "",
      "  seconds    count" + Self.shares.map { Self.right($0.0, 9) }.joined(),
    ]
    for (title, values) in rows + [("silence", silences)] where !values.isEmpty {
      lines.append("  \(Self.left(title, 8)) \(Self.right(String(values.count), 7))" + Self.shares.map { Self.right(Self.decimal(Self.percentile($0.1, of: values) ?? 0), 9) }.joined())
    }
    if pinged > 0 { lines += ["", "  pings \(pinged), answered \(ponged), lost \(Self.decimal(100 * Double(max(0, pinged - ponged)) / Double(pinged))) %"] }
    for (reason, count) in reasons.sorted(by: { $0.value > $1.value }).prefix(6) { lines.append("  \(count) × \(reason)") }
    return lines.joined(separator: "\n") + "\n"
  }

  /// One line.
  func json(_ name: String, now: Double, up: Int, of all: Int, down: [Int], silences: [Double]) -> String {
    var fields = [
      "\"name\":\(Self.quoted(name))", "\"seconds\":\(Self.decimal(now - began, 3))", "\"sessions\":\(all)", "\"up\":\(up)", "\"dialled\":\(dialled)",
      "\"came\":\(session.count)", "\"failed\":\(failed)", "\"lost\":\(lost)", "\"per_second\":\(Self.decimal(rate, 3))", "\"best_second\":\(perSecond.values.max() ?? 0)",
      "\"repeated\":\(repeated)", "\"rekeyed\":\(rekeyed)", "\"strays\":\(strays)", "\"pings\":\(pinged)", "\"answered\":\(ponged)",
    ]
    for (title, values) in rows + [("silence", silences)] {
      let numbers = Self.shares.map { "\"\($0.0)\":\(Self.percentile($0.1, of: values).map { Self.decimal($0, 3) } ?? "null")" }
      fields.append("\"\(title.lowercased())\":{\"count\":\(values.count),\(numbers.joined(separator: ","))}")
    }
    fields.append("\"reasons\":{\(reasons.sorted { $0.value > $1.value }.map { "\(Self.quoted($0.key)):\($0.value)" }.joined(separator: ","))}")
    fields.append("\"down\":[\(down.map(String.init).joined(separator: ","))]")
    return "{\(fields.joined(separator: ","))}"
  }

  static func quoted(_ text: String) -> String {
    "\"" + String(String.UnicodeScalarView(text.unicodeScalars.filter { $0.value >= 0x20 && $0 != "\"" && $0 != "\\" })) + "\""
  }
}
