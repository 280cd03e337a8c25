import Host

/// The reloadable values that a resource was started with, or that a reload took last, as they were typed.
///
/// A value that was refused is not in force, and where there is no default to go on with, what was in force before it is: a member goes on with
/// that, is promoted with it, and is asked whether it works by it. Kept under `/run`, `NAME=VALUE` each, ended by a zero byte.
enum ValuesInForce {
  private static let kind = "values"
  private static let limit = 1 << 16

  static func keep<Agent: ResourceAgent>(of agent: Agent, _ call: Call) {
    let values = agent.parameters.filter(\.parameter.declaration.reloadable).compactMap { name, _ in call.request.parameter(name).map { "\(name)=\($0)\0" } }
    do throws(SystemError) {
      let bytes = Array(values.joined().utf8)
      if try call.host.files.read(call.request.recordPath(kind), limit: limit) != bytes { try call.keep(bytes, as: kind) }
    } catch { call.log.warning("recording the values in force: \(error)") }
  }

  static func forget(_ call: Call) {
    do throws(SystemError) { try call.host.files.remove(call.request.recordPath(kind)) } catch { call.log.debug("forgetting the values in force: \(error)") }
  }

  /// The agent with them, where the request's are not in force; nil: they are, or nothing is recorded that can be used.
  /// - Parameter isRefused: whether the request's cannot be used; otherwise a reload may have refused them, or is about to judge them.
  static func agent<Agent: ResourceAgent>(_: Agent.Type, _ call: Call, isRefused: Bool) -> Agent? {
    guard isRefused || call.request.action == .reloadAgent || Standing.read(call).risks.contains(where: { $0.origin == .reload }) else { return nil }
    let bytes: [UInt8]?
    do throws(SystemError) { bytes = try call.host.files.read(call.request.recordPath(kind), limit: limit) } catch {
      call.log.warning("reading the values in force: \(error)")
      return nil
    }
    guard let bytes else { return nil }
    var environment = call.request.environment
    for (name, parameter) in Agent().parameters where parameter.declaration.reloadable { environment["OCF_RESKEY_\(name)"] = nil }
    for line in bytes.split(separator: 0) {
      let parts = line.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
      guard parts.count == 2 else { return nil }
      environment["OCF_RESKEY_\(String(decoding: parts[0], as: UTF8.self))"] = String(decoding: parts[1], as: UTF8.self)
    }
    let loaded = Agent.loaded(from: Request(arguments: [call.request.type, call.request.actionName], environment: environment))
    return loaded.refusals.isEmpty ? loaded.agent : nil
  }
}
