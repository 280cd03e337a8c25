/// A moment as people name it, in seconds since 1970 (UTC, without leap seconds). Printed as `2026-11-24T14:03:22Z`.
public struct Timestamp: Hashable, Sendable, CustomStringConvertible {
  public var seconds: Int64

  public init(seconds: Int64) { self.seconds = seconds }

  /// A time of day of the Gregorian calendar, in UTC; `month` from 1 to 12. What lies beyond a day or a month runs on.
  public init(year: Int64, month: Int64, day: Int64, hour: Int64, minute: Int64, second: Int64) {
    let shifted = month <= 2 ? year - 1 : year
    let era = (shifted >= 0 ? shifted : shifted - 399) / 400
    let yearOfEra = shifted - era * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    let days = era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    seconds = ((days * 24 + hour) * 60 + minute) * 60 + second
  }

  /// The last of them; nil where one is not known, or there is none.
  public static func last(of all: [Timestamp?]) -> Timestamp? {
    let known = all.compactMap { $0 }
    return known.count == all.count ? known.max { $0.seconds < $1.seconds } : nil
  }

  public var description: String {
    func two(_ number: Int64) -> String { number < 10 ? "0\(number)" : "\(number)" }
    let time = seconds - days * 86_400
    let (year, month, day) = date
    return "\(year)-\(two(month))-\(two(day))T\(two(time / 3600)):\(two(time / 60 % 60)):\(two(time % 60))Z"
  }

  /// Whole days since 1970-01-01, rounded down.
  private var days: Int64 { seconds >= 0 ? seconds / 86_400 : -((86_399 - seconds) / 86_400) }

  /// The Gregorian date, counted in years that begin in March, so that the leap day is the last one.
  private var date: (year: Int64, month: Int64, day: Int64) {
    let shifted = days + 719_468
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
  }
}
