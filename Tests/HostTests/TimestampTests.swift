import Host
import Testing

@Suite struct TimestampTests {
  @Test func theCalendarIsReadAsItIsWritten() {
    #expect(Timestamp(year: 1970, month: 1, day: 1, hour: 0, minute: 0, second: 0).seconds == 0)
    for (year, month, day) in [(2000, 2, 29), (2026, 11, 30), (1969, 12, 31), (2100, 2, 28), (2100, 3, 1), (1600, 1, 1), (9999, 12, 31)] as [(Int64, Int64, Int64)] {
      let written = Timestamp(year: year, month: month, day: day, hour: 23, minute: 5, second: 9).description
      #expect(written == "\(year)-\(month < 10 ? "0" : "")\(month)-\(day < 10 ? "0" : "")\(day)T23:05:09Z")
    }
  }
}
