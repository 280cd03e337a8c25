import Host
import OCFMetadata

extension AgentDescription {
  /// Reads what an agent answers to `meta-data`.
  ///
  /// - Throws: `EBADMSG` when it is no XML, or not an agent's.
  init(xml: [UInt8]) throws(SystemError) {
    let document = try XMLDocument(xml)
    guard let root = document?.root, root.name == "resource-agent", let name = root["name"] else {
      throw SystemError("reading meta-data", .badMessage, detail: document == nil ? "it is not XML" : "it describes no resource agent")
    }
    self.name = name
    short = root.text(of: "shortdesc")
    long = root.text(of: "longdesc")
    parameters = root.first("parameters")?.children(named: "parameter").map(Parameter.init) ?? []
    operations = root.first("actions")?.children(named: "action").map(Operation.init) ?? []
  }
}

extension AgentDescription.Parameter {
  fileprivate init(_ element: XMLElement) {
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
  fileprivate init(_ element: XMLElement) {
    name = element["name"] ?? ""
    timeout = element["timeout"].flatMap(seconds) ?? 20
    interval = element["interval"].flatMap(seconds)
    depth = element["depth"].flatMap { Int($0) }
    role = element["role"]
  }
}
