import Host
import Testing

@Suite struct Addresses {
  @Test(arguments: [
    ("192.0.2.1", "192.0.2.1"), ("0.0.0.0", "0.0.0.0"), ("255.255.255.255", "255.255.255.255"),
    ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"), ("::", "::"), ("::1", "::1"), ("1::", "1::"),
    ("2001:db8::1:0:0:1", "2001:db8::1:0:0:1"), ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
    ("::ffff:192.0.2.1", "::ffff:c000:201"), ("fe80::a:b", "fe80::a:b"), ("1:0:0:2:0:0:0:3", "1:0:0:2::3"),
  ]) func literals(_ text: String, _ canonical: String) {
    #expect(IPAddress(text)?.description == canonical)
    #expect(IPAddress(canonical) == IPAddress(text))
  }

  @Test(arguments: [
    "", "1", "1.2.3", "1.2.3.4.5", "01.2.3.4", "256.1.1.1", "1.2.3.a", "1.2.3.4/24", " 1.2.3.4", "1..2.3", ":", ":::",
    "2001::db8::1", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "12345::", "g::", "fe80::1%eth0", "::1.2.3", "1.2.3.4::",
    "1:2:3:4:5:6:7::8", "٣.2.3.4",
  ]) func notLiterals(_ text: String) {
    #expect(IPAddress(text) == nil)
  }

  @Test func kinds() throws {
    #expect(try #require(IPAddress("127.0.0.1")).isLoopback)
    #expect(try #require(IPAddress("::1")).isLoopback)
    #expect(try #require(IPAddress("fe80::1")).isLinkLocal)
    #expect(try #require(IPAddress("ff02::1")).isMulticast)
    #expect(try #require(IPAddress("224.0.0.1")).isMulticast)
    #expect(IPAddress(bytes: [1, 2, 3]) == nil)
  }

  @Test func instantsSaturate() {
    let end = Instant(nanoseconds: .max)
    #expect(end + .seconds(1) == end)
    #expect(Duration.seconds(Int64.max).nanoseconds == .max)
    #expect(Duration.microseconds(1500).pollMilliseconds == 2)
    #expect(Duration.seconds(-1).pollMilliseconds == 0)
    #expect(Duration.seconds(1 << 40).pollMilliseconds == .max)
  }
}
