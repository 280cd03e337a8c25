import Testing

@testable import L2TP

struct AddressPoolTests {
  @Test("every form of a range that xl2tpd reads", arguments: [
    ("ip range = 10.9.0.10-10.9.0.99", "10.9.0.10-10.9.0.99"),
    ("ip range = 10.9.0.10 \t-  10.9.0.99", "10.9.0.10-10.9.0.99"),
    ("IP Range=10.9.0.10-99", "10.9.0.10-10.9.0.99"),
    ("ip range = 10.9.0.10-1.99", "10.9.0.10-10.9.1.99"),
    ("ip range = 10.9.0.10-10.1.99", "10.9.0.10-10.10.1.99"),
    ("ip range = 10.9.0.10", "10.9.0.10"),
    ("ip range = 10.9.0.10-10.9.0.10", "10.9.0.10"),
    ("ip range = 10.9.0.10-10.9.0.19\nip range = 10.9.0.20-10.9.0.29", "10.9.0.10-10.9.0.29"),
    ("ip range = 10.9.0.30-39\nip range = 10.9.0.10-19", "10.9.0.10-10.9.0.19,10.9.0.30-10.9.0.39"),
    ("ip range = 10.9.0.10-99\nno ip range = 10.9.0.50-59", "10.9.0.10-10.9.0.49,10.9.0.60-10.9.0.99"),
    // Taken back only by what stands behind it.
    ("no ip range = 10.9.0.50-59\nip range = 10.9.0.10-99", "10.9.0.10-10.9.0.99"),
    ("ip range = 10.9.0.10-99\nno ip range = 10.0.0.0-10.255.255.255", ""),
    ("ip range = 0.0.0.0-255.255.255.255\nno ip range = 0.0.0.0\nno ip range = 255.255.255.255", "0.0.0.1-255.255.255.254"),
    ("ip range = 10.9.0.10-99 ; and a remark", "10.9.0.10-10.9.0.99"),
    ("ip range = 10.9.0.10-99\nassign ip = no", ""),
    ("ip range = 10.9.0.10-99\nassign ip = yes", "10.9.0.10-10.9.0.99"),
    ("ip range = 10.9.0.10-11\n[lns other]\nip range = 10.9.1.1-2", "10.9.0.10-10.9.0.11,10.9.1.1-10.9.1.2"),
    // Refused by the daemon, or known only to the resolver.
    ("ip range = 10.9.0.99-10.9.0.10", ""), ("ip range = clients.example", ""), ("ip range = 10.9.0.10-", ""), ("ip range = ", ""),
    ("ip range = 10.9.0.10-10.9.0.300", ""), ("ip range = 10.9.0.10-1.2.3.4.5", ""), ("ip range = -", ""), ("ip range = 10.9.0.1-2-3", ""),
    ("local ip range = 10.9.0.10-99", ""), ("lac = 10.9.0.10-99", ""),
  ])
  func forms(text: String, pool: String) throws {
    #expect(try XL2TPDConfiguration(Array("[lns default]\n\(text)\n".utf8)).pool.description == pool)
  }

  @Test("only a server's section gives out addresses")
  func sections() throws {
    #expect(try XL2TPDConfiguration(Array("[lac x]\nip range = 10.9.0.10-99\n".utf8)).pool.isEmpty)
  }

  @Test("the text reads back; what nobody of ours wrote does not")
  func text() {
    for text in ["", "10.9.0.10", "10.9.0.10-10.9.0.19,10.9.0.30-10.9.0.39", "0.0.0.0-255.255.255.255"] {
      #expect(AddressPool(text)?.description == text)
    }
    let tooLong = (0..<300).map { "10.9.\($0 / 100).\($0 % 100 * 2)-10.9.0.1" }.joined(separator: ",")
    for text in [",", "10.9.0.10,", "x", "10.9.0.10-9", "2001:db8::1", tooLong] { #expect(AddressPool(text) == nil, "\(text)") }
  }

  @Test("what two pools share")
  func overlaps() throws {
    func shared(_ a: String, _ b: String) throws -> String? {
      try #require(AddressPool(a)).overlap(with: try #require(AddressPool(b))).map(AddressPool.text)
    }
    #expect(try shared("10.9.0.10-10.9.0.99", "10.9.0.100-10.9.0.199") == nil)
    #expect(try shared("10.9.0.10-10.9.0.99", "10.9.0.99-10.9.0.199") == "10.9.0.99")
    #expect(try shared("10.9.0.10-10.9.0.99", "10.9.0.20-10.9.0.29") == "10.9.0.20-10.9.0.29")
    #expect(try shared("10.9.0.10,10.9.1.0-10.9.1.255", "10.9.1.200-10.9.2.9") == "10.9.1.200-10.9.1.255")
    #expect(try shared("", "10.9.0.10") == nil)
  }
}
