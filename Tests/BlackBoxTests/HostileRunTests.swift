import Testing

/// What agents keep under `/run/resource-agents` are hints. Where it is read-only, full, or holds what nobody can read, a stop
/// stops all the same: to fence the node for a file would help nobody.
@Suite(.needsNamespaces)
struct HostileRunTests {
  static let hostilities = [
    "read-only": "mount --bind /run/resource-agents /run/resource-agents && mount -o remount,bind,ro /run/resource-agents",
    "full": "head -c 1G /dev/zero >/run/fill 2>/dev/null || true",
    "directories": "for f in $files; do rm -f $f; mkdir $f; done",
    "links": "for f in $files; do rm -f $f; ln -s /etc/shadow $f; done",
    "pipes": "for f in $files; do rm -f $f; mkfifo $f; done",
  ]

  /// They have roles, and are promoted here.
  static let daemons: [Agent] = [.strongswan, .xl2tpd, .conntrackd, .sessions, .announce]

  @Test("stop stops", arguments: Agent.playable, hostilities.keys.sorted())
  func stop(_ agent: Agent, _ hostility: String) throws {
    let answer = try Sandbox.script(
      agent,
      """
      mount -t tmpfs -o mode=755,size=4m none /run
      mkdir -p /run/lock /run/xl2tpd
      fail() { echo "FAILED: $*"; exit 1; }
      expect() {
        local wanted=$1 status=0
        shift
        agent "$@" || status=$?
        [ $status -eq $wanted ] || fail "$*: $status, not $wanted"
      }
      \(Self.daemons.contains(agent) ? "export OCF_RESKEY_CRM_meta_promoted_max=1 OCF_RESKEY_CRM_meta_clone=0" : "")
      expect 0 start
      \(Self.daemons.contains(agent) ? "expect 0 promote; expect 8 monitor" : "expect 0 monitor")
      files=$(ls -d /run/resource-agents/vpnha-* 2>/dev/null || true)
      \(try #require(Self.hostilities[hostility]))
      expect 0 stop
      expect 7 monitor
      """)
    #expect(answer.status == 0, "\(answer.output)\(answer.error)")
  }
}
