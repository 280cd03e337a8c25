import Testing

private let obstacle = Sandbox.obstacle("/usr/lib/frr/bgpd", "/usr/lib/frr/frr-reload.py", "/usr/bin/vtysh", "/usr/sbin/bird", "/usr/sbin/ip")

/// Two gateways with FRR, and the example's configuration, and a router with BIRD, which writes down all that it hears.
@Suite(.enabled(if: obstacle == nil, "\(obstacle ?? "")")) struct AnnounceFRRLiveTests {
  static let world = """
    mount -t tmpfs none /var/tmp
    mkdir /run/t
    for node in moon sun router; do
      ip netns add $node
      ip -n $node link set lo up
    done
    ip -n router link add br0 type bridge; ip -n router link set br0 up; ip -n router address add 10.77.1.254/24 dev br0
    for number in 1 2; do
      node=$([ $number = 1 ] && echo moon || echo sun)
      ip -n $node link add eth0 type veth peer name $node netns router
      ip -n router link set $node master br0 up
      ip -n $node link set eth0 up
      ip -n $node address add 10.77.1.$number/24 dev eth0
      mkdir /run/t/$node; : >/run/t/$node/vtysh.conf; : >/run/t/$node/none
      sed "s/router-id 10.77.1.1/router-id 10.77.1.$number/; s/transmit-interval 100/&\\n  detect-multiplier 20/; /^log/d" Packaging/examples/frr/frr.conf >/run/t/$node/frr.conf
      chown -R frr:frr /run/t/$node
    done
    cat >/run/t/router.conf <<END
    log stderr all;
    router id 10.77.1.254;
    protocol device { scan time 10; }
    protocol kernel { ipv4 { import none; export all; }; }
    protocol bfd { interface "br0" { min rx interval 100 ms; min tx interval 100 ms; multiplier 20; }; }
    template bgp gateways { debug { routes }; local as 65000; passive; bfd on; error wait time 1, 2; med metric on; ipv4 { import all; export none; }; }
    protocol bgp to_moon from gateways { neighbor 10.77.1.1 as 65001; }
    protocol bgp to_sun from gateways { neighbor 10.77.1.2 as 65001; }
    END
    one() { ip netns exec $1 /usr/lib/frr/$2 -d -f /run/t/$1/none --vty_socket /run/t/$1 -z /run/t/$1/zserv.api -i /run/t/$1/$2.pid "${@:3}" 2>/dev/null; }
    # As watchfrr does: the daemon, and then what frr.conf has.
    shell() { vtysh --vty_socket /run/t/$1 --config_dir /run/t/$1 "${@:2}" 2>/dev/null; }
    frr_on() { one $1 zebra; one $1 bfdd --bfdctl /run/t/$1/bfdd.sock; one $1 bgpd -P 0; shell $1 -b; }
    frr_reload() { /usr/lib/frr/frr-reload.py --reload --bindir /usr/bin --confdir /run/t/$1 --rundir /run/t/$1 --vty_socket /run/t/$1 /run/t/$1/frr.conf 2>/dev/null; }
    dies() { kill -9 $(cat /run/t/$1/$2.pid); rm /run/t/$1/$2.pid; }
    ask() { birdc -s /run/t/$1.ctl "${@:2}"; }
    router_on() { ip netns exec router bird -f -c /run/t/router.conf -s /run/t/router.ctl 2>>/run/t/router.log & }
    frr_on moon; frr_on sun; router_on
    up() { ask router show protocols to_$1 | grep -q Established && ask router show bfd sessions | grep -q "^$([ $1 = moon ] && echo 10.77.1.1 || echo 10.77.1.2) .* Up "; }
    export OCF_RESKEY_CRM_meta_promoted_max=1 OCF_RESOURCE_INSTANCE=announce OCF_RESKEY_prefixes=203.0.113.50 OCF_RESKEY_withdraw_wait=0 OCF_RESKEY_daemon=frr HA_LOGFILE=/run/t/log
    # Nodes have records of their own.
    on() {
      mkdir -p /run/t/$1.records
      OCF_RESKEY_control=/run/t/$1 OCF_RESKEY_CRM_meta_on_node=$1 OCF_RESOURCE_TYPE=announce \\
        ip netns exec $1 bash -c 'mkdir -p /run/resource-agents; mount --bind /run/t/$1.records /run/resource-agents; exec $AGENTS/announce "${@:2}"' - "$@"
    }
    level() { OCF_CHECK_LEVEL=$2 on $1 monitor; }
    address() { ip -n $1 address $2 203.0.113.50/32 dev eth0; }
    goes_to() { [ "$(ip -n router route show 203.0.113.50 | sed 's/.*via 10.77.1.\\([0-9]\\).*/\\1/')" = "$1" ]; }
    hears() { [ "$(ask router show route 203.0.113.50/32 all | grep -c "via 10.77.1.$1")" -gt 0 ]; }
    deaf() { ! hears $1; }
    # How often the router was told of the address by a gateway, ever.
    told_by() { grep -c "to_$1.* > added .*203.0.113.50/32" /run/t/router.log; }
    statements() { shell $1 -c 'show running-config' | grep -c "^  network 203.0.113.50/32"; }
    export AGENTS
    await_longer() { await "$@" || await "$@" || await "$@"; }
    await_longer up moon; await_longer up sun

    """

  @Test func aLife() throws {
    let story = try Sandbox(
      Self.world + """
        cp /run/t/moon/frr.conf /run/t/as-it-was
        step start on moon start; step startSun on sun start
        step idle on moon monitor
        step early on moon promote
        address moon add
        step silent deaf 1
        step promote on moon promote
        step told await goes_to 1
        step promoted level moon 10
        step again on moon promote
        # A standby says nothing, whatever it holds.
        address sun add
        step quietMonitor on sun monitor
        step quiet deaf 2
        address sun del
        # The announcement goes with the address, whoever removes it.
        address moon del
        step gone await deaf 1
        step lost on moon monitor
        address moon add
        step back await goes_to 1
        step demote on moon demote
        step withdrawn await deaf 1
        step demoted on moon monitor
        step promoteOnceMore on moon promote
        step stop on moon stop
        step stopped await deaf 1
        step notRunning on moon monitor
        step stopTwice on moon stop
        step nothingLeft bash -c '! ls /run/t/moon.records | grep list'
        step noStatement bash -c "$(declare -f statements shell); ! statements moon"
        step untouched cmp /run/t/moon/frr.conf /run/t/as-it-was
        step sunNever bash -c "$(declare -f told_by); ! told_by sun"
        """)
    story.expect([
      "start": 0, "startSun": 0, "idle": 0, "early": 1, "silent": 0, "promote": 0, "told": 0, "promoted": 8, "again": 0, "quietMonitor": 0, "quiet": 0, "gone": 0, "lost": 9, "back": 0, "demote": 0,
      "withdrawn": 0, "demoted": 0, "promoteOnceMore": 0, "stop": 0, "stopped": 0, "notRunning": 7, "stopTwice": 0, "nothingLeft": 0, "noStatement": 0, "untouched": 0, "sunNever": 0,
    ])
    #expect(story["early"].output.contains("203.0.113.50 is not on this node, and so it is not announced"))
    #expect(story["lost"].output.contains("203.0.113.50 is not on this node"))
  }

  /// Administrators restart and reload FRR as they like: what it forgot is given again, and nothing that a cluster sees as a failure has happened.
  @Test func whatAnAdministratorDoes() throws {
    let story = try Sandbox(
      Self.world + """
        on moon start; on sun start; address moon add; address sun add
        on moon promote; await goes_to 1
        frr_reload moon
        step reloadTook await deaf 1
        # Whoever only looks changes nothing.
        step looked ip netns exec moon bash -c 'mount --bind /run/t/moon.records /run/resource-agents; OCF_RESKEY_control=/run/t/moon OCF_RESOURCE_TYPE=announce exec $AGENTS/announce monitor'
        step stillSilent deaf 1
        step reloaded on moon monitor
        step again await goes_to 1
        step noticed grep -c 'FRR has lost network 203.0.113.50/32, as a restart or reload of it does; given again' /run/t/log
        # bgpd is killed, and back before anybody looks.
        dies moon bgpd
        step killed await deaf 1
        one moon bgpd -P 0; shell moon -b
        await_longer up moon
        step silentSince deaf 1
        step restarted on moon monitor
        step back await goes_to 1
        # What write memory leaves in the file is harmless on the standby that has no address, and goes with the next start.
        address sun del
        shell sun -c 'configure terminal' -c 'router bgp 65001' -c 'address-family ipv4 unicast' -c 'network 203.0.113.50/32'
        step saved on sun monitor
        step savedSilent deaf 2
        step stopSun on sun stop; step startSun on sun start
        step takenBack bash -c "$(declare -f statements shell); ! statements sun"
        # With the address it is one that nobody asked for.
        shell sun -c 'configure terminal' -c 'router bgp 65001' -c 'address-family ipv4 unicast' -c 'network 203.0.113.50/32'
        address sun add; await hears 2
        step open on sun monitor
        step restartSun bash -c "$(declare -f on); on sun stop && on sun start"
        step closed await deaf 2
        step last on moon stop
        """)
    story.expect([
      "reloadTook": 0, "looked": 9, "stillSilent": 0, "reloaded": 8, "again": 0, "noticed": 0, "killed": 0, "silentSince": 0, "restarted": 8, "back": 0, "saved": 0, "savedSilent": 0, "stopSun": 0, "startSun": 0,
      "takenBack": 0, "open": 1, "restartSun": 0, "closed": 0, "last": 0,
    ])
    #expect(story["looked"].output.contains("FRR has lost network 203.0.113.50/32"))
    #expect(story["open"].output.contains("10.77.1.254 is told of an address while this member is not promoted: FRR's own configuration announces it"))
  }

  @Test func whatBreaks() throws {
    let story = try Sandbox(
      Self.world + """
        on moon start; on sun start; address moon add
        on moon promote; await goes_to 1
        dies moon bgpd; await deaf 1
        step killed on moon monitor
        step demote on moon demote
        step standby on moon monitor
        address moon del; address sun add
        step other on sun promote
        step told await goes_to 2
        one moon bgpd -P 0; shell moon -b; await_longer up moon
        step whole on moon monitor
        # Without zebra an announcement would stay when the address goes.
        dies sun zebra
        step blind on sun monitor
        step blindStart env OCF_RESOURCE_INSTANCE=other bash -c "$(declare -f on); on sun start"
        step blindDemote on sun demote
        step blindSilent await deaf 2
        step blindStandby on sun monitor
        # Another zebra is none to a bgpd that has not found it yet.
        one sun zebra; shell sun -b
        step unconnected on sun promote
        dies sun bgpd; one sun bgpd -P 0; shell sun -b; await_longer up sun
        step seeing on sun promote
        step seen await goes_to 2
        # One that hangs is no silent one.
        pid=$(cat /run/t/sun/zebra.pid); kill -STOP $pid
        step hungZebra on sun monitor
        kill -CONT $pid
        pid=$(cat /run/t/sun/bgpd.pid); kill -STOP $pid
        step hung on sun monitor
        step hungDemote on sun demote
        step hungStop on sun stop
        step hungStill on sun monitor
        kill -CONT $pid; await_longer up sun
        step stop on sun stop
        step silentAgain await deaf 2
        step stopped on sun monitor
        # What FRR refuses, in its words; and without an instance of BGP none is made.
        shell sun -c 'configure terminal' -c 'no router bgp 65001'
        step none on sun start
        step noneMade bash -c "$(declare -f shell); ! shell sun -c 'show running-config' | grep 'router bgp'"
        step noneStopped on sun monitor
        shell sun -b; await_longer up sun
        # Nobody to tell: the promotion is taken back.
        step start on sun start
        kill -9 %?bird || kill -9 $(ip netns pids router | xargs -r ps -o pid=,comm= -p | awk '$2 == "bird" { print $1 }'); await bash -c "$(declare -f shell); ! shell sun -c 'show bgp summary json' | grep -q Established"
        step alone env OCF_RESKEY_CRM_meta_timeout=4000 bash -c "$(declare -f on); on sun promote"
        step takenBackStatement bash -c "$(declare -f statements shell); ! statements sun"
        step unfit on sun monitor
        step unfitSaid grep -c 'could not announce: 10.77.1.254: ' /run/t/log
        """)
    story.expect([
      "killed": 9, "demote": 0, "standby": 0, "other": 0, "told": 0, "whole": 0, "blind": 9, "blindStart": 1, "blindDemote": 0, "blindSilent": 0, "blindStandby": 0, "unconnected": 1, "seeing": 0, "seen": 0, "hungZebra": 9, "hung": 9,
      "hungDemote": 1, "hungStop": 1, "hungStill": 9, "stop": 0, "silentAgain": 0, "stopped": 7, "none": 1, "noneMade": 0, "noneStopped": 7, "start": 0, "alone": 1, "takenBackStatement": 0, "unfit": 0, "unfitSaid": 0,
    ])
    #expect(story["killed"].output.contains("FRR does not run: systemctl start frr (asking bgpd through /run/t/moon/bgpd.vty: "))
    #expect(story["blind"].output.contains("FRR does not run: systemctl start frr (asking zebra through /run/t/sun/zebra.vty: "))
    #expect(story["unconnected"].output.contains("FRR hangs: bgpd has no connection to zebra: systemctl restart frr"))
    #expect(story["hungZebra"].output.contains("FRR hangs: asking zebra through"))
    #expect(story["hungStop"].output.contains("kill FRR (systemctl kill -s KILL frr), the routers may go on sending to this node: FRR hangs"))
    #expect(story["none"].output.contains("FRR's configuration has no BGP neighbour"))
    #expect(story["alone"].output.contains("0 of 1 neighbours told: 10.77.1.254: "))
  }

  /// Where both nodes hold the address, the standby's path is the longer one.
  @Test func longerPaths() throws {
    let story = try Sandbox(
      Self.world + """
        address moon add; address sun add
        for standby in med prepend; do
          export OCF_RESKEY_standby=$standby
          on moon start; on sun start
          await hears 1; await hears 2
          on moon promote
          step $standby.moon await goes_to 1
          step $standby.both hears 2
          on moon demote; on sun promote
          step $standby.sun await goes_to 2
          step $standby.monitors bash -c "$(declare -f on); on moon monitor && ! on sun monitor"
          frr_reload moon; await deaf 1
          step $standby.given on moon monitor
          step $standby.longer await hears 1
          step $standby.still goes_to 2
          on moon stop; on sun stop
          step $standby.none await deaf 1
          step $standby.nothingLeft bash -c "$(declare -f shell); ! shell moon -c 'show running-config' | grep -e '  network' -e vpnha"
        done
        """)
    for standby in ["med", "prepend"] {
      for step in ["moon", "both", "sun", "monitors", "given", "longer", "still", "none", "nothingLeft"] { #expect(story["\(standby).\(step)"].status == 0, "\(standby).\(step): \(story["\(standby).\(step)"].output)") }
    }
  }

  @Test func whatWeakens() throws {
    let story = try Sandbox(
      Self.world + """
        export OCF_RESKEY_require_bfd=true
        bgp() { shell $1 -c 'configure terminal' -c 'router bgp 65001' "${@:2}"; }
        on moon start; address moon add; on moon promote; await goes_to 1
        step well level moon 10
        step noRisk bash -c '! grep "at risk" /run/t/log'
        bgp moon -c 'no bgp graceful-restart-disable' -c 'bgp graceful-restart'; shell moon -c 'clear bgp *'; await_longer up moon; await goes_to 1
        step graceful level moon 10
        step gracefulRisk grep -c 'at risk: 10.77.1.254 keeps the route for 120 s when this node is dead: take out bgp graceful-restart' /run/t/log
        bgp moon -c 'no bgp graceful-restart' -c 'no neighbor 10.77.1.254 bfd'; shell moon -c 'clear bgp *'; await_longer goes_to 1
        step bfd level moon 10
        step bfdRisk grep -c 'at risk: 10.77.1.254 has no BFD session that is up' /run/t/log
        bgp moon -c 'no bgp network import-check'
        step untied level moon 10
        step untiedRisk grep -c "at risk: FRR's configuration has no bgp network import-check" /run/t/log
        step untiedReload on moon reload-agent
        bgp sun -c 'no bgp network import-check'
        step untiedStart on sun start
        step untiedNothing on sun monitor
        bgp sun -c 'bgp network import-check'
        # An export policy that holds it back, named as what it may be.
        step start on sun start; address sun add
        shell sun -c 'configure terminal' -c 'no ip prefix-list gateway' -c 'ip prefix-list gateway deny any'; sleep 6
        step heldBack env OCF_RESKEY_CRM_meta_timeout=4000 bash -c "$(declare -f on); on sun promote"
        """)
    story.expect(["well": 8, "noRisk": 0, "graceful": 8, "gracefulRisk": 0, "bfd": 8, "bfdRisk": 0, "untied": 8, "untiedRisk": 0, "untiedReload": 0, "untiedStart": 1, "untiedNothing": 7, "start": 0, "heldBack": 1])
    #expect(story["untiedStart"].output.contains("FRR's configuration has no bgp network import-check: what is announced would outlive the address; take it out"))
    #expect(story["heldBack"].output.contains("0 of 1 neighbours told: 10.77.1.254: zebra has not found the address, or a policy for this neighbour holds it"))
  }

  /// Whoever is promoted is heard, and nobody else ever: the router writes down all that it was told.
  @Test func manyRoleChanges() throws {
    let story = try Sandbox(
      Self.world + """
        on moon start; on sun start; address moon add; address sun add
        told_by_both() { local a b; a=$(told_by moon); b=$(told_by sun); echo $a $b; }
        for turn in $(seq 10); do
          on moon promote && await goes_to 1 || break
          # Reloads of the standby on the way.
          frr_reload sun; on sun monitor || break
          on moon demote; await deaf 1 || break
          on sun promote && await goes_to 2 || break
          frr_reload moon; on moon monitor || break
          on sun demote; await deaf 2 || break
          [ "$(told_by_both)" = "$turn $turn" ] || break
        done
        step turns echo $turn
        step told told_by_both
        """)
    #expect(story["turns"].output == "10 " && story["told"].output == "10 10 ", "\(story["turns"].output), \(story["told"].output)")
  }
}
