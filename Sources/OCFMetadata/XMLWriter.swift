import CLibXML2
import DynamicLibrary
import Host

/// A document written through libxml2's `xmlTextWriter` into memory.
///
/// A step that libxml2 refuses is remembered, and `finish` throws it: no half of a document is handed out.
final class XMLWriter {
  private let buffer: xmlBufferPtr
  private let writer: xmlTextWriterPtr
  private var failure: SystemError?

  private let bufferContent: clibxml2_BufferContent
  private let bufferFree: clibxml2_BufferFree
  private let freeWriter: clibxml2_FreeTextWriter
  private let endDocument: clibxml2_TextWriterEndDocument
  private let writeDTD: clibxml2_TextWriterWriteDTD
  private let startElement: clibxml2_TextWriterStartElement
  private let endElement: clibxml2_TextWriterEndElement
  private let writeAttribute: clibxml2_TextWriterWriteAttribute
  private let writeString: clibxml2_TextWriterWriteString

  /// - Throws: `ENOENT` when libxml2 is not installed, `ENOMEM`.
  init() throws(SystemError) {
    let library = try DynamicLibrary("libxml2.so.2", package: "libxml2")
    bufferContent = try library.function("xmlBufferContent")
    bufferFree = try library.function("xmlBufferFree")
    freeWriter = try library.function("xmlFreeTextWriter")
    endDocument = try library.function("xmlTextWriterEndDocument")
    writeDTD = try library.function("xmlTextWriterWriteDTD")
    startElement = try library.function("xmlTextWriterStartElement")
    endElement = try library.function("xmlTextWriterEndElement")
    writeAttribute = try library.function("xmlTextWriterWriteAttribute")
    writeString = try library.function("xmlTextWriterWriteString")
    let createBuffer: clibxml2_BufferCreate = try library.function("xmlBufferCreate")
    let createWriter: clibxml2_NewTextWriterMemory = try library.function("xmlNewTextWriterMemory")
    let setIndent: clibxml2_TextWriterSetIndent = try library.function("xmlTextWriterSetIndent")
    let startDocument: clibxml2_TextWriterStartDocument = try library.function("xmlTextWriterStartDocument")

    guard let buffer = createBuffer() else { throw SystemError("writing XML", .outOfMemory) }
    guard let writer = createWriter(buffer, 0) else {
      bufferFree(buffer)
      throw SystemError("writing XML", .outOfMemory)
    }
    self.buffer = buffer
    self.writer = writer
    check(setIndent(writer, 1))
    check(startDocument(writer, "1.0", nil, nil))
  }

  deinit {
    freeWriter(writer)
    bufferFree(buffer)
  }

  func documentType(_ root: String, in file: String) { check(writeDTD(writer, root, nil, file, nil)) }

  /// Attributes without a value are left out.
  func element(_ name: String, _ attributes: KeyValuePairs<String, String> = [:], _ content: () -> Void = {}) {
    check(startElement(writer, name))
    for (name, value) in attributes where !value.isEmpty { check(writeAttribute(writer, name, value)) }
    content()
    check(endElement(writer))
  }

  func element(_ name: String, _ attributes: KeyValuePairs<String, String> = [:], text: String) {
    element(name, attributes) { check(writeString(writer, text)) }
  }

  /// Text for people.
  func words(_ name: String, _ text: String) { element(name, ["lang": "en"], text: text) }

  func finish() throws(SystemError) -> String {
    check(endDocument(writer))
    if let failure { throw failure }
    guard let content = bufferContent(buffer) else { throw SystemError("writing XML", .outOfMemory) }
    return String(cString: content)
  }

  private func check(_ result: Int32) {
    if result < 0 { failure = failure ?? SystemError("writing XML", .outOfMemory, detail: "libxml2 refused a step") }
  }
}
