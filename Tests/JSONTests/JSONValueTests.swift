import Host
import JSON
import Testing

@Suite struct JSONValueTests {
  @Test func everyKindOfValue() throws {
    let value = try #require(JSONValue(#" {"a": [1, -2.5e3, true, false, null, "x"], "b": {}, "c": [], "d": "\u00e9\ud83d\ude00\n\"\\\/"} "#.utf8))
    #expect(value["a"] == .array([.number("1"), .number("-2.5e3"), .bool(true), .bool(false), .null, .string("x")]))
    #expect(value["b"] == .object([]) && value["c"] == .array([]) && value["d"]?.string == "é😀\n\"\\/" && value["e"] == nil)
    #expect(value["a"]?.elements.first?.integer == 1)
  }

  @Test(arguments: ["", "{", "[1", "[1,]", "{\"a\"}", "{\"a\":}", "\"", "\"\\x\"", "\"\\u12\"", "tru", "1 2", "{1:2}", "nul", "\"\u{1}\"", "--", "]"])
  func whatIsNoneIsNil(_ text: String) { #expect(JSONValue(text.utf8) == nil) }

  @Test func whatWeWriteWeRead() {
    let text = String(String.UnicodeScalarView((0...0x2fff).compactMap { Unicode.Scalar($0) }))
    #expect(JSONValue(text.jsonQuoted.utf8)?.string == text)
  }

  @Test func depthAndHalvesEnd() {
    #expect(JSONValue(String(repeating: "[", count: 100_000).utf8) == nil)
    #expect(JSONValue(#""\ud83d""#.utf8)?.string == "\u{fffd}")
    let whole = Array(#"{"a": [1, {"b": "\u00e9"}]}"#.utf8)
    for count in 0..<whole.count { #expect(JSONValue(whole.prefix(count)) == nil) }
  }
}
