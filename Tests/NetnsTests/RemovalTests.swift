import Glibc
import Testing

/// The package, by dpkg itself, on a node of a real cluster: made of what the build left, with the scripts that are packed.
@Suite(.enabled(if: geteuid() == 0, "namespaces need root")) struct RemovalTests {
  @Test(
    "the package stays while the cluster runs an agent of it here, and an upgrade disturbs nothing",
    .enabled(if: Story.hasCluster && Story.isHere("/usr/bin/dpkg-deb"), "corosync, pacemaker, pcs, nft or dpkg-deb is missing"))
  func removal() throws {
    let story = """
      root=/mnt/package
      mkdir -p $root/DEBIAN $root/usr/sbin $root/usr/lib/ocf/resource.d/vpnha
      printf '%s\\n' 'Package: vpnha' 'Version: 99' 'Architecture: all' 'Maintainer: nobody <nobody@example.org>' 'Description: test' >$root/DEBIAN/control
      grep -v DEBHELPER '\(Story.folder)/../../Packaging/debian/vpnha.prerm' >$root/DEBIAN/prerm
      chmod 755 $root/DEBIAN/prerm
      cp $agents/vpnha $root/usr/sbin/
      cp $agents/vip $root/usr/lib/ocf/resource.d/vpnha/
      dpkg-deb --build $root /mnt/vpnha.deb >/dev/null
      for node in moon sun; do
        on $node bash -ec '
          for folder in usr var/lib/dpkg; do
            mkdir -p /mnt/'$node'/$folder/top /mnt/'$node'/$folder/work
            mount -t overlay overlay -o lowerdir=/$folder,upperdir=/mnt/'$node'/$folder/top,workdir=/mnt/'$node'/$folder/work /$folder
          done
          mount -t tmpfs none /usr/lib/ocf/resource.d/vpnha 2>/dev/null || mkdir -p /usr/lib/ocf/resource.d/vpnha
          dpkg --install /mnt/vpnha.deb' >/mnt/$node.dpkg 2>&1 || { cat /mnt/$node.dpkg; exit 1; }
      done
      on moon pcs property set stonith-enabled=false
      on moon pcs resource create vip ocf:vpnha:vip ip=203.0.113.50 cidr_netmask=24 nic=eth0 promotable promoted-max=1
      serving() { on moon crm_mon -1 | sed -n 's/.*Promoted: \\[ \\(moon\\|sun\\) \\]/\\1/p'; }
      ready() { [ -n "$(serving)" ] && on moon crm_mon -1 | grep -q 'Unpromoted: '; }
      await 90 ready
      here=$(serving); there=moon; [ $here = sun ] || there=sun
      failures() { on moon crm_mon -1f | grep -c 'fail-count' || true; }

      on $here vpnha run --resource vip monitor >/mnt/said && exit 1
      grep -q '^8 OCF_RUNNING_PROMOTED: running, promoted (monitor of vip' /mnt/said && grep -q '^the cluster: content$' /mnt/said && echo SERVES
      on $there vpnha run vip monitor >/mnt/said && grep -q '^the cluster: content$' /mnt/said && echo STANDS-BY
      for action in start promote; do
        status=0; on $there vpnha run --resource vip $action >/mnt/said || status=$?
        [ $status = 77 ] && grep -q "^not done: Pacemaker runs on this node and is in charge of vip, which is Unpromoted on $there" /mnt/said
      done
      ! on $there ip address show | grep -F 203.0.113.50 && echo UNTOUCHED
      on $here attrd_updater -Q -n master-vip:0 -A >/mnt/said 2>&1 || true
      ! grep -q value= /mnt/said && echo NO-SCORE

      for node in $here $there; do
        status=0; on $node dpkg --remove vpnha >/mnt/said 2>&1 || status=$?
        [ $status != 0 ] && grep -q 'vpnha is not removed' /mnt/said && grep -q 'vip (ocf:vpnha:vip): ' /mnt/said && grep -q 'pcs node standby' /mnt/said
        on $node test -x /usr/lib/ocf/resource.d/vpnha/vip
        on $node dpkg-query -W -f '${db:Status-Status}\\n' vpnha | grep -x installed
      done
      echo REFUSED
      on $here dpkg --install /mnt/vpnha.deb >/mnt/said 2>&1 && echo UPGRADED
      on $there killall -STOP pacemaker-based pacemakerd
      status=0; on $there dpkg --remove vpnha >/mnt/said 2>&1 || status=$?
      on $there killall -CONT pacemaker-based pacemakerd
      [ $status != 0 ] && grep -q 'gives no answer' /mnt/said && echo DOUBT
      on moon pcs node standby $there
      gone() { ! on $there vpnha active | grep -q .; }
      await 60 gone
      on $there dpkg --remove vpnha >/mnt/said 2>&1 && echo REMOVED
      ! on $there test -e /usr/lib/ocf/resource.d/vpnha/vip
      echo "FAILURES $(failures)"
      [ "$(serving)" = $here ] && echo STILL
      """
    let (succeeded, output) = try Story.onCluster(story, seconds: 420)
    #expect(succeeded, "\(output)")
    let lines = output.split(separator: "\n").map(String.init)
    for word in ["SERVES", "STANDS-BY", "UNTOUCHED", "NO-SCORE", "REFUSED", "UPGRADED", "DOUBT", "REMOVED", "FAILURES 0", "STILL"] {
      #expect(lines.contains(word), "\(word): \(output)")
    }
  }
}
