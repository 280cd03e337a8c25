import CLibXML2
import DynamicLibrary
import Host

extension AgentDescription {
  /// Reads what an agent answers to `meta-data`.
  ///
  /// - Throws: `EBADMSG` when it is no XML, or not an agent's.
  init(xml: [UInt8]) throws(SystemError) {
    let library = try DynamicLibrary("libxml2.so.2", package: "libxml2")
    let read: clibxml2_ReadMemory = try library.function("xmlReadMemory")
    let free: clibxml2_FreeDoc = try library.function("xmlFreeDoc")
    // No network, no entities from elsewhere, no words on standard error.
    let options = Int32(XML_PARSE_NONET.rawValue | XML_PARSE_NOERROR.rawValue | XML_PARSE_NOWARNING.rawValue)
    let document = xml.withUnsafeBytes { bytes in
      read(bytes.baseAddress?.assumingMemoryBound(to: CChar.self), Int32(clamping: bytes.count), nil, nil, options)
    }
    guard let document else { throw SystemError("reading meta-data", .badMessage, detail: "it is not XML") }
    defer { free(document) }
    guard let root = Element.all(from: document.pointee.children).first, root.name == "resource-agent", let name = root["name"] else {
      throw SystemError("reading meta-data", .badMessage, detail: "it describes no resource agent")
    }
    self.name = name
    short = root.text(of: "shortdesc")
    long = root.text(of: "longdesc")
    parameters = root.first("parameters")?.children(named: "parameter").map(Parameter.init) ?? []
    operations = root.first("actions")?.children(named: "action").map(Operation.init) ?? []
  }
}

extension AgentDescription.Parameter {
  fileprivate init(_ element: Element) {
    name = element["name"] ?? ""
    short = element.text(of: "shortdesc")
    long = element.text(of: "longdesc")
    type = element.first("content")?["type"] ?? ""
    defaultValue = element.first("content")?["default"]
    isRequired = element["required"] == "1"
    isReloadable = element["reloadable"] == "1"
    deprecation = element.first("deprecated").map { $0.first("replaced-with")?["name"] ?? "" }
  }
}

extension AgentDescription.Operation {
  fileprivate init(_ element: Element) {
    name = element["name"] ?? ""
    timeout = element["timeout"].flatMap(seconds) ?? 20
    interval = element["interval"].flatMap(seconds)
    depth = element["depth"].flatMap { Int($0) }
    role = element["role"]
  }
}

/// An element of a document that libxml2 keeps.
private struct Element {
  let node: xmlNodePtr

  /// The elements in a list of nodes.
  static func all(from first: xmlNodePtr?) -> [Element] {
    nodes(from: first).filter { $0.pointee.type == XML_ELEMENT_NODE }.map(Element.init)
  }

  var name: String { string(node.pointee.name) }
  func children(named name: String) -> [Element] { Self.all(from: node.pointee.children).filter { $0.name == name } }
  func first(_ name: String) -> Element? { children(named: name).first }

  /// The value of an attribute.
  subscript(_ name: String) -> String? {
    var attribute = node.pointee.properties
    while let current = attribute?.pointee {
      if string(current.name) == name { return content(from: current.children) }
      attribute = current.next
    }
    return nil
  }

  /// The text in the first child of that name, without white space around it.
  func text(of name: String) -> String {
    guard let child = first(name) else { return "" }
    let text = content(from: child.node.pointee.children).drop { $0.isWhitespace }
    guard let end = text.lastIndex(where: { !$0.isWhitespace }) else { return "" }
    return String(text[...end])
  }
}

private func nodes(from first: xmlNodePtr?) -> [xmlNodePtr] {
  Array(sequence(state: first) { next in
    defer { next = next?.pointee.next }
    return next
  })
}

private func content(from first: xmlNodePtr?) -> String { nodes(from: first).map { string($0.pointee.content) }.joined() }
private func string(_ text: UnsafePointer<xmlChar>?) -> String { text.map { String(cString: $0) } ?? "" }
