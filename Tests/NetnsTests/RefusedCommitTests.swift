import Glibc
import Host
import LinuxHost
import Testing

/// A promotion whose flows the kernel does not take: its table of connections is full. The table's limit is the machine's,
/// so the test needs one of its own.
@Suite struct RefusedCommitTests {
  private static let name = "A commit that the kernel refuses leaves the member unpromoted"

  /// `moon` serves 200 flows, `sun` holds them in its external cache, and the table has room for ten.
  private static let story = """
    mkdir -p /run/t
    for node in moon sun; do ip netns add $node; ip -n $node link set lo up; done
    ip link add name eth1 netns moon type veth peer name eth1 netns sun
    ip -n moon address add 10.255.0.1/24 dev eth1; ip -n sun address add 10.255.0.2/24 dev eth1
    configure() {
      ip -n $1 link set eth1 up
      cat >/run/t/$1.conf <<END
    General {
      LockFile /run/lock/$1.lock
      UNIX { Path /run/$1.ctl }
    }
    Sync {
      Mode FTFW { }
      UDP {
        IPv4_address 10.255.0.$2
        IPv4_Destination_Address 10.255.0.$3
        Port 3780
        Interface eth1
      }
    }
    END
    }
    configure moon 1 2; configure sun 2 1
    export OCF_ROOT=/usr/lib/ocf OCF_RESKEY_launcher=direct OCF_RESKEY_CRM_meta_timeout=20000 OCF_RESKEY_CRM_meta_interval=10000
    export OCF_RESKEY_CRM_meta_promoted_max=1 OCF_RESOURCE_TYPE=conntrackd
    on() {
      OCF_RESKEY_config=/run/t/$1.conf OCF_RESOURCE_INSTANCE=$1 OCF_RESKEY_CRM_meta_on_node=$1 ip netns exec $1 $AGENT $2 2>&1
    }
    cached() { ip netns exec $1 conntrackd -C /run/t/$1.conf -s | awk "/^cache/ { in_it = /$2/ } in_it && /current active/ { print \\$4 }"; }
    step() { echo "$1 $("${@:2}"; echo $?)" | tr '\\n' ' '; echo; }
    on moon start >/dev/null; on moon promote >/dev/null; on sun start >/dev/null
    for n in $(seq 200); do echo "-A -s 10.255.0.1 -d 192.0.2.$n -p udp --sport 1000 --dport 2000 -t 600 -u ASSURED,SEEN_REPLY"; done >/run/t/flows
    ip netns exec moon conntrack -R /run/t/flows >/dev/null
    for _ in $(seq 100); do [ "$(cached sun external)" = 200 ] && break; sleep 0.1; done
    echo "replicated $(cached sun external)"
    sysctl -qw net.netfilter.nf_conntrack_max=10
    step refused on sun promote
    step unpromoted on sun monitor
    sysctl -qw net.netfilter.nf_conntrack_max=65536
    step taken on sun promote
    step promoted on sun monitor
    echo "tracked $(ip netns exec sun cat /proc/sys/net/netfilter/nf_conntrack_count)"
    on sun stop; on moon stop
    for node in moon sun; do ip netns delete $node; done
    """

  @Test("A commit that the kernel refuses leaves the member unpromoted")
  func refusedCommit() throws {
    try DebianNode.orHere(Self.name) {
      guard DebianNode.isHere else { throw MissingFeature(what: "a table of connections of one's own") }
      let me = try #require(try LinuxProcesses().process(getpid()))
      let agents = me.executable.split(separator: "/").dropLast().joined(separator: "/")
      let command = Command("/usr/bin/bash", ["-c", "AGENT=/\(agents)/conntrackd\n" + Self.story], outputLimit: 1 << 16)
      let said = String(decoding: try LinuxProcesses().run(command, before: LinuxClock().now + .seconds(60)).output, as: UTF8.self)
      func ends(_ step: String, _ end: String) -> Bool {
        said.split(separator: "\n").contains { $0.hasPrefix("\(step) ") && $0.hasSuffix(" \(end)") }
      }
      #expect(ends("replicated", "200"), "\(said)")
      #expect(said.contains("ocf-exit-reason:committing the peer's flows: "), "\(said)")
      #expect(ends("refused", "of 200 reached the kernel 1 ") && ends("unpromoted", "0 "), "\(said)")
      #expect(ends("taken", "0 ") && ends("promoted", "8 ") && ends("tracked", "200"), "\(said)")
    }
  }
}
