import Host
import Testing

@testable import L2TP

struct AddressPoolTests {
  @Test(
    "every form of a range that xl2tpd reads",
    arguments: [
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

  /// As the daemon decides: of the ranges that have an address the last one counts. Address by address, in random order.
  @Test("any order of ranges is what the daemon makes of it")
  func order() {
    for _ in 0..<300 {
      let settings: [(range: AddressPool.Range, isGiven: Bool)] = (0..<Int.random(in: 0...12)).map { _ in
        let low = UInt32.random(in: 1...60)
        return (low...(low + UInt32.random(in: 0...20)), .random())
      }
      let pool = AddressPool(settings)
      let given = (UInt32(0)...90).filter { number in settings.last { $0.range.contains(number) }?.isGiven ?? false }
      #expect(pool.ranges.flatMap { Array($0) } == given, "\(settings)")
      #expect(zip(pool.ranges, pool.ranges.dropFirst()).allSatisfy { $0.upperBound + 1 < $1.lowerBound }, "\(settings)")
      #expect((UInt32(0)...90).allSatisfy { pool.contains(IPAddress(bytes: [0, 0, 0, UInt8($0)])!) == given.contains($0) }, "\(settings)")
    }
  }

  /// With the square of its lines the largest file that is read took 22 s.
  @Test("a file of tens of thousands of ranges", .timeLimit(.minutes(1)), arguments: [false, true])
  func large(alternating: Bool) throws {
    let lines = (0..<20_000).map { number in
      "\(alternating && number % 2 == 1 ? "no " : "")ip range = 10.\(number / 32_768).\(number / 128 % 256).\(number % 128 * 2)"
    }
    let configuration = try XL2TPDConfiguration(Array(("[lns default]\n" + lines.joined(separator: "\n")).utf8))
    #expect(configuration.pool.ranges.count == (alternating ? 10_000 : 20_000))
    #expect(configuration.pool.overlap(with: configuration.pool) != nil)
    let files = (0..<20_000).map { "[lns n\($0)]\npppoptfile = /o\($0)" }.joined(separator: "\n")
    #expect(try XL2TPDConfiguration(Array(files.utf8)).pppOptionFiles.count == 20_000)
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
