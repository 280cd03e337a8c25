import CLibXML2
import DynamicLibrary
import Host
import OCF

/// The metadata of an agent, as `meta-data` prints it: OCF Resource Agent API 1.1, ASCII, without an encoding declaration
/// (crmsh cannot read one), with the document type that `ocf-tester` wants.
///
/// - Parameter type: the agent's name, `vip`.
public func metadata<Agent: ResourceAgent>(of _: Agent.Type, named type: String) throws(SystemError) -> String {
  let xml = try XMLWriter()
  xml.documentType("resource-agent", in: documentType)
  xml.element("resource-agent", ["name": type, "version": agentVersion]) {
    xml.element("version", text: "1.1")
    xml.words("longdesc", Agent.about.long)
    xml.words("shortdesc", Agent.about.short)
    xml.element("parameters") {
      for parameter in Agent.parameterDescriptions + ParameterDescription.tracing { write(parameter, to: xml) }
    }
    xml.element("actions") {
      for operation in Agent.operations { write(operation, to: xml) }
    }
  }
  return try xml.finish()
}

private func write(_ parameter: ParameterDescription, to xml: XMLWriter) {
  let attributes: KeyValuePairs = [
    "name": parameter.name, "unique-group": parameter.uniqueGroup ?? "", "required": parameter.isRequired ? "1" : "0",
    "reloadable": parameter.isReloadable ? "1" : "0",
  ]
  xml.element("parameter", attributes) {
    if let deprecated = parameter.deprecated {
      xml.element("deprecated") {
        if let replacement = deprecated.replacement { xml.element("replaced-with", ["name": replacement]) }
        if let note = deprecated.note { xml.words("desc", note) }
      }
    }
    xml.words("longdesc", parameter.longDescription)
    xml.words("shortdesc", parameter.shortDescription)
    let value = parameter.defaultValue ?? ""
    switch parameter.contentType {
    case .string: xml.element("content", ["type": "string", "default": value])
    case .integer: xml.element("content", ["type": "integer", "default": value])
    case .boolean: xml.element("content", ["type": "boolean", "default": value])
    case .select(let choices):
      xml.element("content", ["type": "select", "default": value]) {
        for choice in choices { xml.element("option", ["value": choice]) }
      }
    }
  }
}

private func write(_ operation: Operation, to xml: XMLWriter) {
  func seconds(_ number: Int?) -> String { number.map { "\($0)s" } ?? "" }
  xml.element(
    "action",
    [
      "name": operation.action.rawValue, "timeout": seconds(operation.timeout), "interval": seconds(operation.interval),
      "depth": operation.depth.map { String($0.rawValue) } ?? "", "role": operation.role?.rawValue ?? "",
    ])
}

/// In a file of the package, since `ocf-tester` fails agents without a document type, and the published one is that of OCF 1.0. Not in the
/// document itself: Pacemaker 3.0 logs an error for every declaration in it.
private let documentType = "/usr/share/vpnha/resource-agent.dtd"
