import CLibXML2
import DynamicLibrary
import Host

/// A document that libxml2 has read. Each of its elements keeps it.
public final class XMLDocument {
  private let document: xmlDocPtr
  private let free: clibxml2_FreeDoc

  /// Nil when it is not XML. No network, no entities from elsewhere, no words on standard error.
  public init?(_ xml: [UInt8]) throws(SystemError) {
    let library = try DynamicLibrary("libxml2.so.2", package: "libxml2")
    let read: clibxml2_ReadMemory = try library.function("xmlReadMemory")
    free = try library.function("xmlFreeDoc")
    let options = Int32(XML_PARSE_NONET.rawValue | XML_PARSE_NOERROR.rawValue | XML_PARSE_NOWARNING.rawValue)
    let document = xml.withUnsafeBytes { bytes in
      read(bytes.baseAddress?.assumingMemoryBound(to: CChar.self), Int32(clamping: bytes.count), nil, nil, options)
    }
    guard let document else { return nil }
    self.document = document
  }

  deinit { free(document) }

  public var root: XMLElement? { XMLElement.all(from: document.pointee.children, in: self).first }
}

/// An element of a document that libxml2 keeps.
public struct XMLElement {
  fileprivate let node: xmlNodePtr
  fileprivate let document: XMLDocument

  /// The elements in a list of nodes.
  fileprivate static func all(from first: xmlNodePtr?, in document: XMLDocument) -> [XMLElement] {
    nodes(from: first).filter { $0.pointee.type == XML_ELEMENT_NODE }.map { XMLElement(node: $0, document: document) }
  }

  public var name: String { string(node.pointee.name) }
  public func children(named name: String) -> [XMLElement] { children.filter { $0.name == name } }
  public func first(_ name: String) -> XMLElement? { children(named: name).first }

  /// This element and everything below it with that name, in the order of the document.
  public func all(named name: String) -> [XMLElement] {
    (self.name == name ? [self] : []) + children.flatMap { $0.all(named: name) }
  }

  /// The elements in this one.
  public var children: [XMLElement] { Self.all(from: node.pointee.children, in: document) }

  /// Names and values, in the order of the document.
  public var attributes: [(name: String, value: String)] {
    sequence(first: node.pointee.properties) { $0?.pointee.next }.prefix { $0 != nil }
      .compactMap { $0?.pointee }.map { (string($0.name), content(from: $0.children)) }
  }

  /// The value of an attribute.
  public subscript(_ name: String) -> String? { attributes.first { $0.name == name }?.value }

  /// The text in the first child of that name, without white space around it.
  public func text(of name: String) -> String { first(name)?.ownText ?? "" }

  /// The text in this element, without white space around it.
  public var ownText: String {
    let text = content(from: node.pointee.children).drop { $0.isWhitespace }
    guard let end = text.lastIndex(where: { !$0.isWhitespace }) else { return "" }
    return String(text[...end])
  }
}

private func nodes(from first: xmlNodePtr?) -> [xmlNodePtr] {
  Array(
    sequence(state: first) { next in
      defer { next = next?.pointee.next }
      return next
    })
}

private func content(from first: xmlNodePtr?) -> String { nodes(from: first).map { string($0.pointee.content) }.joined() }
private func string(_ text: UnsafePointer<xmlChar>?) -> String { text.map { String(cString: $0) } ?? "" }
