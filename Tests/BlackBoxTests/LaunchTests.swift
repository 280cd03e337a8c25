import Testing

/// Daemons that are launched and do not come up.
@Suite(.needsNamespaces, .needs("/usr/sbin/xl2tpd", "/usr/sbin/conntrackd"))
struct LaunchTests {
  /// The reason of a start that fails, after which none of `names` runs.
  private func refusal(_ agent: Agent, _ preparation: String, _ names: String) throws -> String {
    let answer = try Sandbox.script(
      agent,
      """
      \(preparation)
      agent start && exit 100
      for wait in $(seq 500); do [ -n "$(ps -e -o stat=,comm= | grep -v '^Z' | grep -E ' (\(names))$')" ] || exit 0; sleep 0.01; done
      ps -ef
      exit 101
      """)
    #expect(answer.status == 0, "\(answer.output)\(answer.error)")
    return answer.reasons.last ?? ""
  }

  @Test("a daemon that refuses its file is quoted") func lastWords() throws {
    #expect(
      try refusal(.conntrackd, "sed -i s/HashSize/HashSise/ /etc/conntrackd/conntrackd.conf", "conntrackd")
        .hasPrefix("config: /etc/conntrackd/conntrackd.conf line 12: syntax error at 'HashSise'"))
    #expect(
      try refusal(.conntrackd, "sed -i 's/Interface .*/Interface eth7/' /etc/conntrackd/conntrackd.conf", "conntrackd")
        == "config: /etc/conntrackd/conntrackd.conf has a link over eth7, which is no interface of this node")
    // What only a daemon that starts finds out.
    let lock = try refusal(.conntrackd, "sed -i 's#LockFile .*#LockFile /nowhere/at.all#' /etc/conntrackd/conntrackd.conf", "conntrackd")
    #expect(lock.hasPrefix("starting conntrackd: ") && lock.contains("/nowhere/at.all"), "\(lock)")
    // It tells syslog only.
    let range = try refusal(.xl2tpd, "sed -i 's/^local ip .*/local ip = nowhere/' /etc/xl2tpd/xl2tpd.conf", "xl2tpd")
    #expect(range.hasPrefix("starting xl2tpd: ") && range.contains("nowhere"), "\(range)")
  }

  @Test("a script in place of the daemon is refused, and leaves nothing behind", arguments: ["", "exec "])
  func wrapper(_ exec: String) throws {
    let reason = try refusal(
      .xl2tpd,
      """
      printf '#!/bin/sh\\nsleep 300 &\\n\(exec)/usr/sbin/xl2tpd "$@"\\n' >/run/wrapper
      chmod 755 /run/wrapper
      export OCF_RESKEY_binary=/run/wrapper
      """, "xl2tpd|wrapper|sleep")
    // What it becomes may have ended before it is looked at.
    #expect(reason.hasPrefix("binary: /run/wrapper runs /usr/") || reason.hasPrefix("starting wrapper: it exited at once"), "\(reason)")
  }
}
