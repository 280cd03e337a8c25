import Host
import Testing
import VICI

@Suite struct CertificateTests {
  /// Certificate { tbs { [0] { INTEGER 2 }, INTEGER 7, algorithm, issuer, validity { 2020, 2026-02-28 23:59:59 } } }
  static let encoding: [UInt8] =
    [0x30, 0x34, 0x30, 0x32, 0xa0, 0x03, 0x02, 0x01, 0x02, 0x02, 0x01, 0x07, 0x30, 0x02, 0x05, 0x00, 0x30, 0x00, 0x30, 0x20]
    + [0x17, 0x0d] + Array("200101000000Z".utf8) + [0x18, 0x0f] + Array("20260228235959Z".utf8) + [0x30, 0x00]

  @Test func endIsRead() {
    #expect(Certificate(hasPrivateKey: true, encoding: Self.encoding).end?.description == "2026-02-28T23:59:59Z")
  }

  @Test func cutOffItHasNoEnd() {
    for count in Self.encoding.indices {
      #expect(Certificate(hasPrivateKey: true, encoding: Array(Self.encoding.prefix(count))).end == nil, "\(count)")
    }
    var odd = Self.encoding
    odd[1] = 0xff
    #expect(Certificate(hasPrivateKey: true, encoding: odd).end == nil)
  }

  @Test(arguments: ["20000229000000Z", "20240301010203Z", "20491231235959Z", "21000228120000Z", "21000301000000Z"])
  func datesAreThoseOfTheCalendar(_ text: String) {
    var encoding = Self.encoding
    encoding.replaceSubrange(37..<52, with: Array(text.utf8))
    let end = Certificate(hasPrivateKey: false, encoding: encoding).end
    #expect(end.map { String("\($0)".filter { $0.isNumber || $0 == "Z" }) } == text)
  }
}
