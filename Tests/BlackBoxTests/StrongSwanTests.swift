import Testing

/// The strongswan agent and the real charon, in private namespaces. What needs ESP in the kernel is in the lab.
@Suite(.needsNamespaces, .needs("/usr/sbin/charon-systemd", "/usr/sbin/swanctl"))
struct StrongSwanTests {
  /// Runs a script in which `expect STATUS ACTION [NAME=VALUE …]` runs the agent and ends the script when it ends
  /// otherwise; each call's reason and milliseconds are in `$reason` and `$took`.
  private func script(_ text: String) throws {
    let answer = try Sandbox.script(
      .strongswan,
      """
      export OCF_RESKEY_CRM_meta_interval=10000
      fail() { echo "FAILED: $*"; exit 1; }
      expect() {
        local wanted=$1 action=$2 status=0 began=$(date +%s%3N)
        shift 2
        output=$(env "$@" /usr/lib/ocf/resource.d/vpnha/strongswan $action 2>&1) || status=$?
        took=$(($(date +%s%3N) - began))
        reason=$(sed -n 's/^ocf-exit-reason://p' <<<"$output")
        echo "$action $*: $status in $took ms: $output"
        [ $status -eq $wanted ] || fail "$action: $status, not $wanted"
      }
      nothingLeft() {
        for wait in $(seq 50); do pidof charon-systemd >/dev/null || break; sleep 0.02; done
        ! pidof charon-systemd || fail "charon runs"
        local left=$(find /run -type s -o -type p -o -name 'vpnha-*' -size +0)
        [ -z "$left" ] || fail "left: $left"
      }
      \(text)
      """)
    #expect(answer.status == 0, "\(answer.output)\(answer.error)")
  }

  @Test("a stopped charon is failed inside the deadline, and can be stopped") func hung() throws {
    try script(
      """
      expect 0 start
      kill -STOP $(pidof charon-systemd)
      # On a busy machine its threads take a moment to stop, and answer meanwhile.
      for wait in $(seq 500); do [ -n "$(grep -L '^State:.T' /proc/$(pidof charon-systemd)/task/*/status)" ] || break; sleep 0.01; done
      expect 1 monitor
      case $reason in *"is suspended (SIGSTOP)"*) ;; *) fail "$reason" ;; esac
      expect 0 stop
      [ $took -lt 15000 ] || fail "$took ms"
      nothingLeft
      expect 7 monitor
      """)
  }

  @Test("two monitors that probe IKE at the same moment do not take each other's answer, nor one an earlier one's") func probes() throws {
    try script(
      """
      export OCF_RESKEY_address=192.0.2.1 OCF_CHECK_LEVEL=20
      expect 0 start
      expect 0 monitor
      # Its half-open SA is there, as with a longer half_open_timeout, and we take it for gone.
      echo 1 >$(echo /run/resource-agents/*.probe)
      expect 0 monitor & first=$!
      expect 0 monitor & second=$!
      wait $first
      wait $second
      expect 0 stop
      nothingLeft
      """)
  }

  @Test("a killed charon is not running, and the next start takes over what it left") func killed() throws {
    try script(
      """
      expect 0 start
      kill -KILL $(pidof charon-systemd)
      while pidof charon-systemd; do sleep 0.01; done
      expect 7 monitor
      expect 0 start
      expect 0 monitor
      kill -KILL $(pidof charon-systemd)
      expect 0 stop
      nothingLeft
      """)
  }

  @Test("a start that is killed while charon is just being executed: stop waits for it", .needs("/usr/bin/strace"))
  func killedBetweenForkAndExec() throws {
    try script(
      """
      # The child's execve begins 2 s late. The agent, which waits for it, is killed meanwhile.
      agent=/usr/lib/ocf/resource.d/vpnha/strongswan
      strace -f -o /run/trace -e trace=execve -e inject=execve:delay_enter=2000000:when=1 sh -c "exec $agent start" >/dev/null 2>&1 &
      agents() { for each in /proc/[0-9]*; do [ "$(readlink $each/exe)" = $agent ] && echo ${each#/proc/}; done; true; }
      for wait in $(seq 1000); do [ $(agents | wc -l) -ge 2 ] && break; sleep 0.02; done
      [ $(agents | wc -l) -ge 2 ] || fail "no child of the agent was seen"
      kill -KILL $(agents | sort -n | head -1)
      ! pidof charon-systemd || fail "charon runs already: the test shows nothing"
      expect 0 stop
      grep -q 'execve("/usr/sbin/charon-systemd"' /run/trace || fail "charon was not executed: the test shows nothing: $(cat /run/trace)"
      rm -f /run/trace
      nothingLeft
      expect 7 monitor
      """)
  }

  @Test("an error in swanctl.conf or what it includes is told with file and line, before anything runs") func syntax() throws {
    try script(
      #"""
      printf '\ninclude conf.d/*.conf\n' >>/etc/swanctl/swanctl.conf
      mkdir /etc/swanctl/conf.d
      printf 'connections {\n  more {\n    version 2\n  }\n}\n' >/etc/swanctl/conf.d/more.conf
      expect 1 start
      case $reason in "config: /etc/swanctl/conf.d/more.conf:3: "*) ;; *) fail "$reason" ;; esac
      nothingLeft
      expect 0 stop
      # The same with charon running: what is loaded stays loaded.
      rm /etc/swanctl/conf.d/more.conf
      expect 0 start
      cp /etc/swanctl/swanctl.conf /run/whole.conf
      echo 'connections {' >>/etc/swanctl/swanctl.conf
      expect 0 reload-agent
      expect 0 monitor OCF_CHECK_LEVEL=10
      : >/etc/swanctl/swanctl.conf
      expect 0 reload-agent
      [ "$reason" = "connections: l2tp is not in /etc/swanctl/swanctl.conf" ] || fail "$reason"
      expect 0 monitor OCF_CHECK_LEVEL=10
      mkfifo /run/pipe.conf
      (cat /run/whole.conf; echo 'include /run/pipe.conf') >/etc/swanctl/swanctl.conf
      expect 0 reload-agent
      case $reason in *"/run/pipe.conf is not a regular file") ;; *) fail "$reason" ;; esac
      rm /run/pipe.conf
      expect 0 monitor OCF_CHECK_LEVEL=10
      expect 0 stop
      """#)
  }

  @Test("what charon itself refuses is told, and nothing stays behind") func refusedConfiguration() throws {
    try script(
      """
      sed -i 's/version = 1/versoin = 1/' /etc/swanctl/swanctl.conf
      expect 1 start
      case $reason in *versoin*) ;; *) fail "$reason" ;; esac
      nothingLeft
      """)
  }

  @Test("without any connection there is nothing to start, though swanctl exits 0; with another one some clients are served") func missingConnection() throws {
    try script(
      """
      echo >/etc/swanctl/swanctl.conf
      expect 1 start
      [ "$reason" = "connections: l2tp is not in /etc/swanctl/swanctl.conf" ] || fail "$reason"
      nothingLeft
      printf 'connections {\\n  other {\\n    version = 1\\n  }\\n}\\n' >/etc/swanctl/swanctl.conf
      expect 0 start
      [ "$reason" = "connections: l2tp is not in /etc/swanctl/swanctl.conf" ] || fail "$reason"
      expect 0 monitor OCF_CHECK_LEVEL=10
      [ "$reason" = "connections: l2tp is not in /etc/swanctl/swanctl.conf" ] || fail "$reason"
      expect 0 stop
      """)
  }

  @Test("never installed: stop is 0, a probe is 7, start is 5 and names the package") func missing() throws {
    try script(
      """
      export OCF_RESKEY_binary=/usr/sbin/no-such-charon
      expect 0 stop
      expect 7 monitor OCF_RESKEY_CRM_meta_interval=0
      expect 5 start
      [ "$reason" = "/usr/sbin/no-such-charon is missing (package charon-systemd)" ] || fail "$reason"
      """)
  }

  @Test("another IKE daemon on the ports is named and left alone") func foreign() throws {
    try script(
      """
      cp /usr/sbin/charon-systemd /run/other-charon
      setsid /run/other-charon >/dev/null 2>&1 </dev/null &
      for wait in $(seq 100); do [ -S /run/charon.vici ] && break; sleep 0.1; done
      expect 7 monitor
      expect 1 start
      [ "$reason" = "UDP port 500 is taken by /run/other-charon (pid $!)" ] || fail "$reason"
      expect 0 stop
      kill -0 $! || fail "it was ended"
      [ -S /run/charon.vici ] || fail "its socket was removed"
      kill $!
      """)
  }

  @Test("level 20 asks charon on both ports and never holds more than one half-open SA") func levels() throws {
    try script(
      """
      export OCF_RESKEY_address=192.0.2.1
      expect 0 start
      for round in 1 2 3 4 5 6; do
        expect 0 monitor OCF_CHECK_LEVEL=20
        [ "$(swanctl --stats | sed -n 's/.*IKE_SAs: \\([0-9]*\\) total.*/\\1/p')" = 1 ] || fail "$(swanctl --stats)"
      done
      expect 0 monitor OCF_CHECK_LEVEL=10
      swanctl --load-all --noprompt --file /dev/null >/dev/null 2>&1
      expect 0 monitor
      expect 1 monitor OCF_CHECK_LEVEL=10
      [ "$reason" = "connections: l2tp is not loaded" ] || fail "$reason"
      expect 0 stop
      """)
  }

  @Test("the example configuration loads without a complaint, and L2TP clients' proposals are accepted") func example() throws {
    try script(
      """
      examples='\(Built.checkout)/Packaging/examples/strongswan'
      sed s/203.0.113.50/192.0.2.1/ $examples/swanctl.conf >/etc/swanctl/swanctl.conf
      cp -a /etc/strongswan.d /run/settings
      # With the ha plugin switched on.
      sed -e 's/load = no/load = yes/; s/local = 10.77.0.1/local = 192.0.2.1/; s/remote = 10.77.0.2/remote = 192.0.2.2/' $examples/vpnha.conf >/run/settings/vpnha.conf
      [ $(grep -cE '^ *(load = yes|local = 192|remote = 192|secret = )' /run/settings/vpnha.conf) -eq 4 ] || fail "the example has changed"
      printf '%s\\n' 'charon-systemd { filelog { log {' 'path = /run/charon.log' 'flush_line = yes' '} } }' >/run/settings/zz-log.conf
      mount --bind /run/settings /etc/strongswan.d
      export OCF_RESKEY_address=192.0.2.1
      expect 0 start
      expect 0 monitor OCF_CHECK_LEVEL=20
      swanctl --stats | grep -q 'worker threads: 32 total' || fail "$(swanctl --stats)"
      swanctl --stats | grep -q 'loaded plugins:.* ha ' || fail "$(swanctl --stats)"
      complaints='fail|invalid|unknown|unsupported|deprecat|not found|error|warn'
      said=$(swanctl --load-all --noprompt --file /etc/swanctl/swanctl.conf 2>&1) || fail "$said"
      ! grep -iE "$complaints" <<<"$said" | grep -v '^opening directory ./etc/swanctl/' || fail "swanctl complains"
      # Of the machine's own: no TPM here, and no kernel has CLUSTERIP any more. Level 20 asks for a version that nobody has.
      ! grep -iE "$complaints" /run/charon.log | grep -vE 'tpm|TPM|ipt_CLUSTERIP|loaded plugins|IKE version 3.0' || fail "charon complains"
      grep -q 'added vici connection: l2tp' /run/charon.log || fail "$(cat /run/charon.log)"
      expect 0 stop
      """)
  }

  @Test("roles: promoted and back, and the daemon is the same all along") func roles() throws {
    try script(
      """
      export OCF_RESKEY_CRM_meta_promoted_max=1 OCF_RESKEY_address=192.0.2.1
      expect 0 start
      pid=$(pidof charon-systemd)
      expect 0 monitor
      expect 0 promote
      expect 8 monitor
      ip address del 192.0.2.1/24 dev v0
      expect 9 monitor
      ip address add 192.0.2.1/24 dev v0
      expect 0 demote
      expect 0 monitor
      [ "$(pidof charon-systemd)" = "$pid" ] || fail "another daemon"
      # A role does not outlive its daemon.
      expect 0 promote
      kill -KILL $pid
      while pidof charon-systemd; do sleep 0.01; done
      expect 7 monitor
      expect 0 stop
      expect 0 start
      expect 0 monitor
      expect 0 stop
      nothingLeft
      """)
  }

  @Test("with the ha plugin: the segment goes with the role, and a stop does not wait for a charon that never ends")
  func segments() throws {
    try script(
      """
      cat >/run/strongswan.conf <<'END'
      charon-systemd {
        load_modular = yes
        plugins {
          include /etc/strongswan.d/charon/*.conf
          ha {
            load = yes
            local = 192.0.2.1
            remote = 192.0.2.2
            secret = sandbox
            monitor = no
          }
        }
        filelog {
          log {
            path = /run/charon.log
            flush_line = yes
          }
        }
      }
      END
      mount --bind /run/strongswan.conf /etc/strongswan.conf
      export OCF_RESKEY_CRM_meta_promoted_max=1
      expect 2 start
      [ "$reason" = "address: set it: with the ha plugin a standby is kept silent on that address only" ] || fail "$reason"
      rm -f /run/charon.log
      nothingLeft
      export OCF_RESKEY_address=192.0.2.1
      logged() { for wait in $(seq 50); do grep -q "$1" /run/charon.log && return; sleep 0.1; done; fail "charon did not say: $1"; }
      expect 0 start
      expect 0 monitor
      ! grep -q 'HA segment 1 activated' /run/charon.log || fail "a standby took the segment"
      expect 0 promote
      logged 'HA segment 1 activated'
      expect 0 demote
      logged 'HA segment 1 deactivated'
      expect 0 stop
      [ $took -lt 8000 ] || fail "$took ms"
      rm /run/charon.log
      nothingLeft
      """)
  }

  @Test("a second resource leaves the first one's charon alone") func second() throws {
    try script(
      """
      expect 0 start
      pid=$(pidof charon-systemd)
      expect 7 monitor OCF_RESOURCE_INSTANCE=s2 OCF_RESKEY_CRM_meta_interval=0
      expect 1 start OCF_RESOURCE_INSTANCE=s2
      [ "$reason" = "charon-systemd (pid $pid) is resource strongswan's, and there is one charon to a node" ] || fail "$reason"
      expect 0 stop OCF_RESOURCE_INSTANCE=s2
      expect 0 monitor OCF_CHECK_LEVEL=10
      [ "$(pidof charon-systemd)" = "$pid" ] || fail "another daemon"
      expect 0 stop
      nothingLeft
      """)
  }

  @Test("a gateway that has no key for its clients runs, and says so") func keys() throws {
    try script(
      """
      export OCF_RESKEY_address=192.0.2.1
      file=/etc/swanctl/swanctl.conf
      sed -i /^secrets/d $file
      cp $file /run/whole.conf
      printf 'include conf.d/secrets.conf\\n' >/run/1
      printf 'secrets { ike-1 { secret = 0sab\\n} }\\n' >/run/2
      printf 'secrets { ike-1 { secret = good\\n id = 203.0.113.99\\n} }\\n' >/run/3
      none="connections: l2tp has no pre-shared key for 192.0.2.1 in $file"
      refused="connections: l2tp has no pre-shared key for 192.0.2.1: secret ike-1 was refused"
      for each in 1 2 3; do
        cat /run/whole.conf /run/$each >$file
        wanted=$none
        [ $each != 2 ] || wanted=$refused
        expect 0 validate-all OCF_CHECK_LEVEL=10
        [ "$reason" = "$wanted" ] || fail "$reason"
        expect 0 start
        expect 0 monitor
        expect 0 monitor OCF_CHECK_LEVEL=10
        [ "$reason" = "$wanted" ] || fail "$reason"
        expect 0 stop
      done
      printf 'secrets { ike-1 { secret = good\\n id = 192.0.2.1\\n} }\\n' | cat /run/whole.conf - >$file
      expect 0 validate-all OCF_CHECK_LEVEL=10
      expect 0 start
      expect 0 monitor OCF_CHECK_LEVEL=10
      [ -z "$reason" ] || fail "$reason"
      rm /run/whole.conf /run/1 /run/2 /run/3
      expect 0 stop
      nothingLeft
      """)
  }

  @Test("an error in one connection leaves the others, and is named in swanctl's words") func oneBadConnection() throws {
    try script(
      """
      export OCF_RESKEY_connections=l2tp
      file=/etc/swanctl/swanctl.conf
      cp $file /run/whole.conf
      bad() { printf 'connections { bad { %s\\n } }\\n' "$1" | cat /run/whole.conf - >$file; }
      bad 'local_adrs = 192.0.2.1'
      expect 0 validate-all OCF_CHECK_LEVEL=10
      case $reason in *"bad was refused: charon does not know 'local_adrs', did you mean 'local_addrs'?"*) ;; *) fail "$reason" ;; esac
      expect 0 start
      case $reason in *"bad was refused: unknown option: local_adrs, config discarded"*) ;; *) fail "$reason" ;; esac
      expect 0 monitor OCF_CHECK_LEVEL=10
      case $reason in *"bad was refused: unknown option: local_adrs"*) ;; *) fail "$reason" ;; esac
      # A reload with another error keeps what is there.
      bad 'proposals = nonsense'
      expect 0 reload-agent
      case $reason in *"loading connection 'bad' failed: invalid value for: proposals"*) ;; *) fail "$reason" ;; esac
      # Mended and loaded by hand.
      bad 'version = 2'
      swanctl --load-conns >/dev/null
      expect 0 monitor OCF_CHECK_LEVEL=10
      case $reason in *refused*) fail "$reason" ;; esac
      expect 0 stop
      # A pool ends swanctl before it comes to connections.
      printf 'pools { p { addrs = nonsense\\n } }\\n' | cat /run/whole.conf - >$file
      expect 0 start
      swanctl --list-conns | grep -q ^l2tp: || fail "l2tp is not loaded"
      expect 0 stop
      # Where it is the only one that is wanted, nobody could connect.
      bad 'local_adrs = 192.0.2.1'
      expect 1 validate-all OCF_CHECK_LEVEL=10 OCF_RESKEY_connections=bad
      expect 1 start OCF_RESKEY_connections=bad
      rm /run/whole.conf
      nothingLeft
      """)
  }

  @Test("a certificate without its key, or near its end, is a risk", .needs("/usr/bin/openssl")) func certificates() throws {
    try script(
      """
      mkdir /etc/swanctl/x509 /etc/swanctl/private
      printf 'connections { l2tp { local { auth = pubkey\\n certs = gw.pem\\n }\\n remote { auth = eap-mschapv2\\n }\\n children { net { } } } }\\n' >/etc/swanctl/swanctl.conf
      certificate() { openssl req -x509 -newkey rsa:2048 -nodes -keyout $1 -out /etc/swanctl/x509/gw.pem -days $2 -subj /CN=gw.example.org 2>/dev/null; }
      for row in "/etc/swanctl/private/gw.pem 100 -" "/etc/swanctl/private/gw.pem 5 *ends.at*" "/run/gw.pem 100 *no.private.key*"; do
        set -f
        set -- $row
        set +f
        rm -f /etc/swanctl/private/gw.pem
        certificate $1 $2
        expect 0 start
        expect 0 monitor OCF_CHECK_LEVEL=10
        case "${reason:--}" in ${3//./?}) ;; *) fail "$row: $reason" ;; esac
        expect 0 stop
      done
      rm /run/gw.pem
      nothingLeft
      """)
  }

  @Test("a standby initiates nothing, a promotion what start_action says") func initiating() throws {
    try script(
      """
      export OCF_RESKEY_CRM_meta_promoted_max=1 OCF_RESKEY_address=192.0.2.1
      printf 'connections { branch { remote_addrs = 192.0.2.99\\n local { auth = psk\\n }\\n remote { auth = psk\\n }\\n children { net {\\n' >>/etc/swanctl/swanctl.conf
      printf 'local_ts = 10.1.0.0/24\\n remote_ts = 10.2.0.0/24\\n start_action = start\\n } } } }\\n' >>/etc/swanctl/swanctl.conf
      states() { swanctl --list-sas --raw | sed -n 's/^list-sa event {branch {.*[ {]state=\\([A-Z]*\\) .*/\\1/p'; }
      # A member of no clone: charon does as the file says, which shows that the next part shows something.
      expect 0 start -u OCF_RESKEY_CRM_meta_promoted_max
      for wait in $(seq 50); do [ -z "$(states)" ] || break; sleep 0.1; done
      [ "$(states)" = CONNECTING ] || fail "nothing is initiated: $(states)"
      expect 0 stop
      expect 0 start
      swanctl --list-conns | grep '^branch' >/dev/null || fail "branch is not loaded"
      sleep 1
      [ -z "$(states)" ] || fail "a standby initiates: $(states)"
      expect 0 promote
      for wait in $(seq 50); do [ -z "$(states)" ] || break; sleep 0.1; done
      [ "$(states)" = CONNECTING ] || fail "nothing is initiated: $(states)"
      expect 0 stop
      nothingLeft
      """)
  }

  @Test("a healthy monitor starts no process", .needs("/usr/bin/strace")) func noFork() throws {
    try script(
      """
      expect 0 start
      strace -f -o /run/trace -e trace=execve,clone,clone3,fork,vfork /usr/lib/ocf/resource.d/vpnha/strongswan monitor
      [ $(grep -cE 'execve|clone|fork' /run/trace) -eq 1 ] || fail "$(cat /run/trace)"
      expect 0 stop
      """)
  }
}
