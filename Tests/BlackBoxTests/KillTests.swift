import Testing

/// An agent can be killed at any instant; the next stop still cleans up.
struct KillTests {
  /// `kill-sweep` traces the action once, then kills it before a system call, stops, and looks for what is left; and so
  /// on for calls spread over the whole action.
  @Test(
    "SIGKILL anywhere in an action, then stop: nothing is left", .needsNamespaces, .needs("/usr/bin/strace"),
    arguments: Agent.playable.flatMap { agent in agent.disturbed.map { (agent, $0) } })
  func killed(_ agent: Agent, in action: String) throws {
    let points = ["demote", "stop"].contains(action) ? 10 : agent == .vip ? 60 : 25
    let answer = try Sandbox.script(
      agent, "'\(Built.checkout)/Tests/BlackBoxTests/kill-sweep' \(agent.rawValue) \(action) \(points)", within: .seconds(600))
    #expect(answer.status == 0, "\(answer.output)\(answer.error)")
  }
}
