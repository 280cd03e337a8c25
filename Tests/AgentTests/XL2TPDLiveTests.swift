import Testing

private let obstacle = Sandbox.obstacle("/usr/sbin/xl2tpd", "/usr/sbin/pppd", "/usr/sbin/ip")

/// The real xl2tpd, as far as it goes without a kernel that knows PPP. Sessions are the lab's subject.
@Suite(.enabled(if: obstacle == nil, "\(obstacle ?? "")")) struct XL2TPDLiveTests {
  /// A node with the address at hand, and a kernel that seems to know PPP.
  static let world = """
    mkdir /run/dev /run/dev/pts /run/t
    for name in null zero urandom random tty; do touch /run/dev/$name; mount --bind /dev/$name /run/dev/$name; done
    mount -t devpts -o newinstance,ptmxmode=0666 devpts /run/dev/pts
    ln -s pts/ptmx /run/dev/ptmx
    mknod /run/dev/ppp c 108 0
    mount --rbind /run/dev /dev
    ip link add near type veth peer name far
    ip link set near up; ip link set far up
    arrive() { ip address add 203.0.113.50/24 dev near; }
    leave() { ip address del 203.0.113.50/24 dev near; }
    touch /run/t/options
    echo 'alice * secret *' >/run/t/chap-secrets
    mount --bind /run/t/chap-secrets /etc/ppp/chap-secrets
    cat >/run/t/xl2tpd.conf <<END
    [global]
    listen-addr = 203.0.113.50
    [lns default]
    ip range = 10.9.0.10-10.9.0.20
    local ip = 10.9.0.1
    pppoptfile = /run/t/options
    END
    export OCF_RESOURCE_INSTANCE=l2tp OCF_RESKEY_config=/run/t/xl2tpd.conf OCF_RESKEY_address=203.0.113.50
    pid() { cat /run/xl2tpd.pid; }
    level() { OCF_CHECK_LEVEL=$1 agent xl2tpd monitor; }
    left() { find /run -path /run/dev -prune -o -path /run/t -prune -o -not -type d -not -size 0 -print; pgrep -af '^/usr/sbin/xl2tpd '; }

    """

  @Test func aPlainResource() throws {
    let story = try Sandbox(
      Self.world + """
        step absent agent xl2tpd start
        arrive
        step probe agent xl2tpd monitor
        step start agent xl2tpd start
        step again agent xl2tpd start
        step basic level 0
        step service level 10
        suspend $(pid)
        { sleep 0.5; kill -CONT $(pid); } &
        step moment level 10
        wait $!
        suspend $(pid)
        step suspended level 0
        kill -CONT $(pid)
        step resumed level 10
        kill -KILL $(pid)
        await test ! -e /proc/$(pid)/exe
        step died level 0
        step restart agent xl2tpd start
        step stop agent xl2tpd stop
        step stopped level 0
        step stopAgain agent xl2tpd stop
        step left left
        """)
    story.expect([
      "absent": 1, "probe": 7, "start": 0, "again": 0, "basic": 0, "service": 0, "moment": 0, "suspended": 1, "resumed": 0, "died": 7,
      "restart": 0, "stop": 0, "stopped": 7, "stopAgain": 0,
    ])
    #expect(story["absent"].output.contains("203.0.113.50 is not on this node"))
    #expect(story["suspended"].output.contains("is suspended"))
    #expect(story["left"].output.filter { $0 != " " } == "")
  }

  @Test func aWarmStandbyTakesOverAndStepsBack() throws {
    let story = try Sandbox(
      Self.world + """
        export OCF_RESKEY_CRM_meta_promoted_max=1
        step start agent xl2tpd start
        step standby level 10
        step early agent xl2tpd promote
        arrive
        step promote agent xl2tpd promote
        step promoted level 10
        first=$(pid)
        # A peer with a tunnel is told when the daemon steps back.
        python3 - >/run/t/peer <<'END' &
        import socket
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.connect(("203.0.113.50", 1701)); s.settimeout(10)
        s.send(bytes.fromhex("c802003b000000000000000080080000000000018008000000020100800a0000000300000003"
                             "800d00000007686170726f62658008000000094321"))
        kinds = []
        while 4 not in kinds:
            m = s.recv(4096)
            if len(m) > 12: kinds.append(m[19])
            if kinds == [2]: print("open", flush=True)
        print("told", flush=True)
        END
        await grep -q open /run/t/peer
        step demote agent xl2tpd demote
        step told await grep -q told /run/t/peer
        step fresh sh -c "test $first != $(pid)"
        leave
        step back level 10
        arrive
        step promoteAgain agent xl2tpd promote
        leave
        step lost level 0
        arrive
        suspend $(pid)
        step hungDemote agent xl2tpd demote
        step healthy level 10
        step stop agent xl2tpd stop
        step left left
        """)
    story.expect([
      "start": 0, "standby": 0, "early": 1, "promote": 0, "promoted": 8, "demote": 0, "told": 0, "fresh": 0, "back": 0,
      "promoteAgain": 0, "lost": 9, "hungDemote": 0, "healthy": 0, "stop": 0,
    ])
    #expect(story["lost"].output.contains("promoted, and 203.0.113.50 is not on this node"))
    #expect(story["left"].output.filter { $0 != " " } == "")
    print("promote took \(story["promote"].milliseconds) ms, demote \(story["demote"].milliseconds) ms")
  }

  /// A file that no daemon starts with, by our reading and by the daemon's only: whoever runs goes on, and a demoted one is
  /// replaced by one that reads what it had read.
  @Test func aFileThatBreaksUnderARunningDaemon() throws {
    let story = try Sandbox(
      Self.world + """
        export OCF_RESKEY_CRM_meta_promoted_max=1
        arrive
        sysctl -qw net.ipv4.ip_forward=1
        cp /run/t/xl2tpd.conf /run/t/good
        for line in nonsense 'requrie chap = yes'; do
          cp /run/t/good /run/t/xl2tpd.conf
          agent xl2tpd start && agent xl2tpd promote || exit
          first=$(pid)
          echo "$line" >>/run/t/xl2tpd.conf
          step "monitor $line" level 0
          step "demote $line" agent xl2tpd demote
          step "fresh $line" sh -c "test $first != $(pid)"
          step "standby $line" level 10
          step "promote $line" agent xl2tpd promote
          step "serving $line" level 10
          leave
          step "lost $line" level 0
          arrive
          step "stop $line" agent xl2tpd stop
          step "left $line" left
          step "start $line" agent xl2tpd start
        done
        """)
    for line in ["nonsense", "requrie chap = yes"] {
      for (name, status) in [
        ("monitor", 8), ("demote", 0), ("fresh", 0), ("standby", 0), ("promote", 0), ("serving", 8), ("lost", 9), ("stop", 0), ("start", 1),
      ] {
        let step = story["\(name) \(line)"]
        #expect(step.status == status, "\(name) \(line): \(step.output)")
      }
      #expect(story["left \(line)"].output.filter { $0 != " " } == "")
    }
    #expect(story["serving nonsense"].output.contains("config: /run/t/xl2tpd.conf line 7: no '='"))
  }

  /// The gate, as clients meet it: before promote, after it, and after demote while the address is still here.
  @Test func nobodyNewGetsInBeforePromoteAndAfterDemote() throws {
    let story = try Sandbox(
      Self.world + """
        export OCF_RESKEY_CRM_meta_promoted_max=1
        ask() { python3 - <<END
        import socket
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.connect(("203.0.113.50", 1701)); s.settimeout(1)
        s.send(bytes.fromhex("c802003b000000000000000080080000000000018008000000020100800a0000000300000003"
                             "800d00000007686170726f62658008000000094321"))
        try: print("answered", s.recv(4096)[19])
        except (socket.timeout, ConnectionRefusedError): print("silence")
        END
        }
        step start agent xl2tpd start
        arrive
        step early ask
        step standby level 10
        step promote agent xl2tpd promote
        step serving ask
        step demote agent xl2tpd demote
        step after ask
        step healthy level 10
        step stop agent xl2tpd stop
        """)
    story.expect(["start": 0, "standby": 0, "promote": 0, "demote": 0, "healthy": 0, "stop": 0])
    #expect(story["early"].output.contains("silence"))
    #expect(story["serving"].output.contains("answered 2"))
    #expect(story["after"].output.contains("silence"))
  }

  /// Two daemons on one address are noticed and named; neither is harmed by the other's agent.
  @Test func anotherDaemonOnTheAddress() throws {
    let story = try Sandbox(
      Self.world + """
        arrive
        mkdir /run/xl2tpd
        sed s/options/other/ /run/t/xl2tpd.conf >/run/t/other.conf
        xl2tpd -D -l -c /run/t/other.conf -p /run/other.pid -C /run/xl2tpd/other &
        await test -p /run/xl2tpd/other
        step taken agent xl2tpd start
        step stop agent xl2tpd stop
        step alive kill -0 $(cat /run/other.pid)
        kill -KILL $(cat /run/other.pid); wait
        # A stale pid file that names any living process.
        echo $$ >/run/xl2tpd.pid
        step start agent xl2tpd start
        xl2tpd -D -l -c /run/t/other.conf -p /run/other.pid -C /run/xl2tpd/other &
        await test -s /run/other.pid
        step twice level 10
        """)
    story.expect(["taken": 1, "stop": 0, "alive": 0, "start": 0, "twice": 1])
    #expect(story["taken"].output.contains("port 1701 is taken by /usr/sbin/xl2tpd (pid "))
    #expect(story["twice"].output.contains("2 programs are bound to 203.0.113.50 port 1701 (another xl2tpd: pid "))
  }

  /// The pipe survives clients that are killed, and clients in a crowd; probes leave nothing behind.
  @Test func aThousandProbesLeaveNothing() throws {
    let story = try Sandbox(
      Self.world + """
        arrive
        agent xl2tpd start
        for _ in $(seq 20); do
          background xl2tpd monitor; client=$!
          sleep 0.0$((RANDOM % 4)); kill -KILL $client 2>/dev/null; wait $client 2>/dev/null
        done
        step afterKills level 0
        for _ in $(seq 20); do level 0 >/dev/null 2>&1 || echo no >>/run/t/failures & done; wait $(jobs -p)
        step crowd test ! -e /run/t/failures
        fds=$(ls /proc/$(pid)/fd | wc -l)
        probes() { for _ in $(seq 500); do level 10 >/run/t/said.$1 2>&1 || { cat /run/t/said.$1 >>/run/t/failed; return; }; done; }
        # And an operator's client, which takes no lock, swallows requests and has its own swallowed.
        operate() { until test -e /run/t/enough; do timeout 3 xl2tpd-control -c /run/xl2tpd/l2tp-control available; done >/dev/null 2>&1; }
        operate & operator=$!
        probes 1 & other=$!; probes 2; wait $other
        touch /run/t/enough; wait $operator
        touch /run/t/failed; step probes sh -c "cat /run/t/failed; test ! -s /run/t/failed"
        step level10 level 10
        step fds test $fds = $(ls /proc/$(pid)/fd | wc -l)
        step stop agent xl2tpd stop
        """, seconds: 300)
    story.expect(["afterKills": 0, "crowd": 0, "probes": 0, "level10": 0, "fds": 0, "stop": 0])
  }

  /// Whoever kills the agent, the next stop cleans up.
  @Test func killedAtAnyPointOfStart() throws {
    let story = try Sandbox(
      Self.world + """
        arrive
        for pause in 0 0.01 0.02 0.03 0.04 0.05 0.06 0.08 0.1 0.15; do
          background xl2tpd start; client=$!
          sleep $pause; kill -KILL $client 2>/dev/null; wait $client 2>/dev/null
          agent xl2tpd stop >/run/t/said 2>&1 || { cat /run/t/said; exit 1; }
          left >>/run/t/leftovers
        done
        step left cat /run/t/leftovers
        step monitor level 0
        """)
    story.expect(["left": 0, "monitor": 7])
    #expect(story["left"].output.filter { $0 != " " } == "")
  }

  /// Whoever kills the agent in the middle of a demote: the next demote finishes it, and stop leaves nothing.
  @Test func killedAtAnyPointOfDemote() throws {
    let story = try Sandbox(
      Self.world + """
        export OCF_RESKEY_CRM_meta_promoted_max=1
        arrive
        for pause in 0 0.02 0.04 0.08 0.15 0.3; do
          agent xl2tpd start && agent xl2tpd promote || exit
          # A peer with a tunnel, so that there is somebody to tell.
          python3 -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(("203.0.113.50", 1701)); s.settimeout(5)
        s.send(bytes.fromhex("c802003b000000000000000080080000000000018008000000020100800a0000000300000003800d00000007686170726f62658008000000094321")); s.recv(99)'
          background xl2tpd demote; client=$!
          sleep $pause; kill -KILL $client 2>/dev/null; wait $client 2>/dev/null
          status=0; level 0 >/dev/null 2>&1 || status=$?
          # 7: killed between the old daemon and the fresh one, which is then not there to be demoted.
          [ $status = 7 ] || agent xl2tpd demote >/run/t/said 2>&1 || { cat /run/t/said; exit 1; }
          [ $status = 7 ] || level 10 || exit
          agent xl2tpd stop || exit
          left >>/run/t/leftovers
        done
        step left cat /run/t/leftovers
        step monitor level 0
        """)
    story.expect(["left": 0, "monitor": 7])
    #expect(story["left"].output.filter { $0 != " " } == "")
  }
}
