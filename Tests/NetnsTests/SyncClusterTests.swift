import Glibc
import Testing

/// conntrackd's members compare their caches through a real cluster's attribute daemons: what the standby lost is told as
/// a risk, fetched, and well again; the numbers never reach the CIB, and go when the daemon stops.
@Suite(.enabled(if: geteuid() == 0, "namespaces need root")) struct SyncClusterTests {
  @Test(.enabled(if: Story.hasCluster && Story.isHere("/usr/sbin/conntrackd"), "corosync, pacemaker, pcs, nft or conntrackd is missing"))
  func lostFlows() throws {
    let story = """
      for node in moon sun; do
        n=1; p=2; [ $node = moon ] || { n=2; p=1; }
        cat >/mnt/$node.conf <<END
      Sync {
        Mode FTFW { }
        UDP {
          IPv4_address 10.255.0.$n
          IPv4_Destination_Address 10.255.0.$p
          Port 3780
          Interface eth1
          Checksum on
        }
      }
      General {
        HashSize 32768
        HashLimit 131072
        NetlinkBufferSize 2097152
        NetlinkBufferSizeMaxGrowth 8388608
        LockFile /run/lock/conntrack.lock
        UNIX { Path /run/conntrackd.ctl }
      }
      END
        on $node cp /mnt/$node.conf /run/sync.conf
        # Flows without an answer stay for longer than this takes.
        on $node sysctl -qw net.netfilter.nf_conntrack_udp_timeout=300
        on $node nft 'add table ip t; add chain ip t c { type filter hook output priority 0; }; add rule ip t c ct state new accept'
      done
      on moon pcs property set stonith-enabled=false
      on moon pcs resource create conntrackd ocf:vpnha:conntrackd config=/run/sync.conf launcher=direct op monitor role=Promoted interval=3 OCF_CHECK_LEVEL=10 timeout=20 monitor role=Unpromoted interval=4 timeout=20 OCF_CHECK_LEVEL=10 promotable promoted-max=1 clone-max=2 interleave=true notify=false
      serving() { on moon crm_mon -1 | sed -n 's/.*Promoted: \\[ \\(moon\\|sun\\) \\]/\\1/p'; }
      somebody() { [ -n "$(serving)" ]; }
      await 40 somebody
      here=$(serving); there=moon; [ $here = sun ] || there=sun; peer=1; [ $here = sun ] || peer=2
      on $here ip route replace 192.0.2.0/24 via 10.255.0.$peer
      on $here python3 - <<'END'
      import socket
      s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
      for n in range(2000):
          s.sendto(b"x", ("192.0.2.%d" % (1 + n % 200), 2000 + n // 200))
      END
      external() { on $there conntrackd -C /run/sync.conf -s | awk '/^cache/ { e = /external/ } e && /current active/ { print $4 }'; }
      full() { [ "$(external)" -ge 2000 ]; }
      await 20 full
      told() { on moon attrd_updater -Q -n vpnha-flows-conntrackd -A | grep "host=\\"$here\\"" | grep 'value="2[0-9][0-9][0-9] '; }
      await 20 told
      on $there conntrackd -C /run/sync.conf -f external
      noticed() { on moon attrd_updater -Q -n vpnha-risk-conntrackd -A | grep 'replicated here'; }
      await 30 noticed
      noticed | sed 's/^/NOTICED /'
      await 20 full && echo FETCHED
      on moon cibadmin --query | grep -c vpnha-flows | sed 's/^/CIB /' || true
      well() { ! on moon attrd_updater -Q -n vpnha-risk-conntrackd -A | grep -q 'replicated here'; }
      await 30 well && echo WELL
      on moon pcs resource disable conntrackd-clone
      gone() { ! on moon attrd_updater -Q -n vpnha-flows-conntrackd -A | grep 'value="[0-9]'; }
      await 30 gone && echo WITHDRAWN
      """
    let (succeeded, output) = try Story.onCluster(story)
    #expect(succeeded, "\(output)")
    let lines = output.split(separator: "\n").map(String.init)
    for word in ["FETCHED", "CIB 0", "WELL", "WITHDRAWN"] { #expect(lines.contains(word), "\(word): \(output)") }
    #expect(lines.contains { $0.hasPrefix("NOTICED ") && $0.contains("only 0 of the peer's 20") }, "\(output)")
  }
}
