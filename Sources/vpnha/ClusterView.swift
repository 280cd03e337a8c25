import Host
import OCFMetadata

/// A resource of the cluster that one of our agents runs, as this node sees it.
struct ClusterResource: Equatable {
  /// Without the number of a clone's instance.
  var id: String
  var agent: String
  var membership: Membership
  /// The outermost thing it belongs to, which pcs moves and cleans up: its clone, its group, or itself.
  var top: String
  /// What it is on this node.
  var role: Role

  enum Membership: String { case plain, clone, promotable }
  enum Role: String {
    case stopped = "Stopped"
    case started = "Started"
    case unpromoted = "Unpromoted"
    case promoted = "Promoted"

    init(pacemaker text: String) {
      switch text {
      case "Master", "Promoted": self = .promoted
      case "Slave", "Unpromoted": self = .unpromoted
      case "Stopped", "Unknown": self = .stopped
      default: self = .started
      }
    }
  }
}

/// What Pacemaker's tools say of the cluster, asked on this node.
enum ClusterView: Equatable {
  /// Pacemaker does not run here and has no configuration here.
  case absent
  /// `isRunning`: false when only the configuration that Pacemaker left on the disk was read.
  case known([ClusterResource], node: String, isRunning: Bool)
  /// It runs, or may run, and gives no answer.
  case unknown(String)

  var resources: [ClusterResource] { if case .known(let resources, _, _) = self { resources } else { [] } }
}

extension ClusterResource {
  /// Those in what `crm_mon --output-as=xml --inactive` prints, each once, with its role on `node`.
  ///
  /// - Throws: `EBADMSG` when it is no XML.
  static func all(inMonitorOutput xml: [UInt8], node: String) throws(SystemError) -> [ClusterResource] {
    guard let root = try XMLDocument(xml)?.root else { throw SystemError("reading crm_mon's answer", .badMessage, detail: "it is not XML") }
    var found: [ClusterResource] = []
    func read(_ element: XMLElement, top: String?, _ membership: Membership) {
      for child in element.children {
        switch child.name {
        case "clone":
          read(child, top: top ?? child["id"], child["multi_state"] == "true" ? .promotable : .clone)
        // A clone shows one group for each instance, with its number.
        case "group": read(child, top: top ?? child["id"], membership)
        case "resource":
          guard let agent = child["resource_agent"], agent.hasPrefix("ocf:vpnha:"), let id = child["id"].map(withoutInstance) else { continue }
          let isHere = child.children(named: "node").contains { $0["name"] == node }
          let role = isHere ? Role(pacemaker: child["role"] ?? "") : .stopped
          if let index = found.firstIndex(where: { $0.id == id }) {
            if isHere { found[index].role = role }
          } else {
            found.append(
              ClusterResource(id: id, agent: String(agent.dropFirst(10)), membership: membership, top: top ?? id, role: role))
          }
        default: continue
        }
      }
    }
    if let resources = root.first("resources") { read(resources, top: nil, .plain) }
    return found
  }
}

/// `xl2tpd:0` → `xl2tpd`
func withoutInstance(_ id: String) -> String {
  guard let colon = id.lastIndex(of: ":"), id[colon...].dropFirst().allSatisfy({ $0.isASCII && $0.isNumber }) else { return id }
  return String(id[..<colon])
}

/// Pacemaker's command-line tools; what they print for programs is stable, its IPC is not.
struct ClusterTools {
  var processes: any Processes
  var files: any Files
  var clock: any Clock
  /// Where the tools read a configuration in place of asking the cluster (`CIB_file`).
  var configuration: String?

  static let patience = Duration.seconds(5)
  static let daemons = ["/usr/sbin/pacemakerd", "/usr/sbin/pacemaker-remoted"]
  static let saved = "/var/lib/pacemaker/cib/cib.xml"

  func isPacemakerHere() throws(SystemError) -> Bool {
    for path in Self.daemons {
      if try !processes.running(path).isEmpty { return true }
    }
    return false
  }

  /// - Parameter hostname: this node's name where the cluster cannot be asked for it.
  mutating func view(hostname: String) -> ClusterView {
    do throws(SystemError) {
      let isRunning = configuration == nil ? try isPacemakerHere() : false
      if configuration == nil, !isRunning {
        guard files.isExecutable("/usr/sbin/crm_mon"), try files.status(Self.saved) != nil else { return .absent }
        configuration = Self.saved
      }
      let node = isRunning ? try text(of: "/usr/sbin/crm_node", ["--name"]) : hostname
      let said = try ask("/usr/sbin/crm_mon", ["--one-shot", "--inactive", "--output-as=xml"])
      return .known(try ClusterResource.all(inMonitorOutput: said, node: node), node: node, isRunning: isRunning)
    } catch {
      return .unknown("\(error)")
    }
  }

  /// The parameters of `resource` with the values that apply to `node`: templates, references and rules are Pacemaker's to
  /// resolve.
  func parameters(of resource: ClusterResource, node: String) throws(SystemError) -> [Invocation.Setting] {
    let said = try ask("/usr/sbin/crm_resource", ["--digests", "--resource=\(resource.id)", "--node=\(node)", "--output-as=xml"])
    let digests = try XMLDocument(said)?.root?.all(named: "digest") ?? []
    guard let all = digests.first(where: { $0["type"] == "all" }), let parameters = all.first("parameters") else {
      throw SystemError("reading the parameters of \(resource.id)", .badMessage, detail: "crm_resource --digests shows none")
    }
    return parameters.attributes.map { Invocation.Setting($0.name, $0.value) }
  }

  private func text(of program: String, _ arguments: [String]) throws(SystemError) -> String {
    let lines = String(decoding: try ask(program, arguments), as: UTF8.self).split(whereSeparator: \.isNewline)
    guard let line = lines.first else { throw SystemError("asking \(program)", .badMessage, detail: "it says nothing") }
    return String(line)
  }

  private func ask(_ program: String, _ arguments: [String]) throws(SystemError) -> [UInt8] {
    let command = Command(
      program, arguments, environment: configuration.map { ["CIB_file": $0] } ?? [:], outputLimit: 64 << 20)
    let result = try processes.run(command, before: clock.now + Self.patience)
    switch result.ending {
    case .exited(0): return result.output
    case .timedOut: throw SystemError("asking \(program)", .timedOut)
    case .exited, .signalled:
      // Whatever is asked for XML complains in XML.
      let complaint = try XMLDocument(result.output)?.root?.all(named: "error").first?.ownText
      let words = complaint ?? String(decoding: result.error, as: UTF8.self)
      let line = words.split(whereSeparator: \.isNewline).first.map(String.init)
      throw SystemError("asking \(program)", .io, detail: line ?? "\(result.ending)")
    }
  }
}
