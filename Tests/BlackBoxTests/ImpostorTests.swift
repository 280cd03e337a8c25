import Testing

/// A local user may run a daemon's program with a daemon's arguments and do nothing in it. To the agents it is not there.
@Suite(.needsNamespaces, .needs("/usr/bin/cc", "/usr/bin/setpriv"))
struct ImpostorTests {
  /// What nobody runs, as text for the shell.
  private static func command(_ agent: Agent) -> String? {
    switch agent {
    case .vip, .announce, .balancer: nil
    case .strongswan: "/usr/sbin/charon-systemd"
    case .xl2tpd: "/usr/sbin/xl2tpd -D -l -c /etc/xl2tpd/xl2tpd.conf"
    case .conntrackd: "/usr/sbin/conntrackd -C /etc/conntrackd/conntrackd.conf"
    case .probe: "\(Agent.folder)/probe watch probe"
    case .sessions: "/usr/libexec/vpnha/vpnha-ledger --instance sessions"
    case .libreswan: "/usr/libexec/ipsec/pluto --config /etc/swanctl/ipsec.conf --nofork"
    case .firewall: "/usr/sbin/nft --define vpnha=vpnha --file -"
    }
  }

  @Test("what a local user runs neither fails a monitor nor holds up a stop", arguments: Agent.playable.filter { $0 != .vip && $0 != .announce })
  func impostor(of agent: Agent) throws {
    let command = try #require(Self.command(agent))
    let answer = try Sandbox.script(
      agent,
      """
      fail() { echo "FAILED: $*"; exit 1; }
      expect() {
        local wanted=$1 status=0
        shift
        output=$(env "$@" 2>&1) || status=$?
        echo "$*: $status: $output"
        [ $status -eq $wanted ] || fail "$*: $status, not $wanted: $output"
      }
      agent=\(Agent.folder)/\(agent.rawValue)
      folder=$(mktemp -d)
      chmod 755 $folder
      trap 'rm -rf $folder' EXIT
      echo 'void __attribute__((constructor)) idle(void) { for (;;) pause(); }' | cc -w -shared -fPIC -o $folder/idle.so -x c -
      setpriv --reuid 65534 --regid 65534 --clear-groups env LD_PRELOAD=$folder/idle.so \(command) </dev/null &
      impostor=$!
      # It has become the program when it sleeps in the constructor.
      for wait in $(seq 500); do grep -q '^State:.S' /proc/$impostor/status && tr '\\0' ' ' </proc/$impostor/cmdline | grep -q '^\(command.split(separator: " ")[0])' && break; sleep 0.01; done
      expect 7 $agent monitor
      expect 7 OCF_RESKEY_CRM_meta_interval=10000 $agent monitor
      expect 0 $agent stop
      expect 7 $agent monitor
      kill -0 $impostor || fail "the impostor was ended"
      """)
    #expect(answer.status == 0, "\(answer.output)\(answer.error)")
  }
}
