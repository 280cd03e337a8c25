import CLibXML2
import DynamicLibrary
import Host

/// libxml2 as a judge of documents.
enum Schema {
  /// Whether `xml` is valid against the document type that it names, which is this checkout's and not that of a package.
  static func isValidByItsOwnDocumentType(_ xml: String) throws -> Bool {
    let library = try DynamicLibrary("libxml2.so.2", package: "libxml2")
    let newContext: clibxml2_NewValidCtxt = try library.function("xmlNewValidCtxt")
    let freeContext: clibxml2_FreeValidCtxt = try library.function("xmlFreeValidCtxt")
    let validate: clibxml2_ValidateDocument = try library.function("xmlValidateDocument")
    let checkout = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    return try withDocument(xml.replacing("SYSTEM \"/usr/share/vpnha/", with: "SYSTEM \"/\(checkout)/Packaging/")) { document in
      let context = newContext()
      defer { freeContext(context) }
      return validate(context, document) == 1
    }
  }

  /// Whether `xml` is valid against a RELAX NG schema; nil when the schema itself cannot be read.
  static func isValid(_ xml: String, againstRelaxNG schema: [UInt8]) throws -> Bool? {
    let library = try DynamicLibrary("libxml2.so.2", package: "libxml2")
    let newParser: clibxml2_RelaxNGNewMemParserCtxt = try library.function("xmlRelaxNGNewMemParserCtxt")
    let freeParser: clibxml2_RelaxNGFreeParserCtxt = try library.function("xmlRelaxNGFreeParserCtxt")
    let parse: clibxml2_RelaxNGParse = try library.function("xmlRelaxNGParse")
    let free: clibxml2_RelaxNGFree = try library.function("xmlRelaxNGFree")
    let newContext: clibxml2_RelaxNGNewValidCtxt = try library.function("xmlRelaxNGNewValidCtxt")
    let freeContext: clibxml2_RelaxNGFreeValidCtxt = try library.function("xmlRelaxNGFreeValidCtxt")
    let validate: clibxml2_RelaxNGValidateDoc = try library.function("xmlRelaxNGValidateDoc")
    return try withDocument(xml) { document in
      schema.withUnsafeBytes { bytes in
        let parser = newParser(bytes.baseAddress?.assumingMemoryBound(to: CChar.self), Int32(bytes.count))
        defer { freeParser(parser) }
        guard let grammar = parse(parser) else { return nil }
        defer { free(grammar) }
        let context = newContext(grammar)
        defer { freeContext(context) }
        return validate(context, document) == 0
      }
    }
  }

  private static func withDocument<Result>(_ xml: String, _ use: (xmlDocPtr) throws -> Result) throws -> Result {
    let library = try DynamicLibrary("libxml2.so.2", package: "libxml2")
    let read: clibxml2_ReadMemory = try library.function("xmlReadMemory")
    let free: clibxml2_FreeDoc = try library.function("xmlFreeDoc")
    let options = Int32(XML_PARSE_NONET.rawValue | XML_PARSE_NOERROR.rawValue | XML_PARSE_NOWARNING.rawValue)
    guard let document = read(xml, Int32(xml.utf8.count), nil, nil, options) else {
      throw SystemError("reading the document", .badMessage)
    }
    defer { free(document) }
    return try use(document)
  }
}
