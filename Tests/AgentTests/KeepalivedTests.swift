import Testing

private let obstacle = Sandbox.obstacle("/usr/sbin/keepalived", "/usr/sbin/ip", "/usr/bin/flock", "/usr/sbin/nft")

/// The examples for keepalived with a real keepalived on each of two nodes: vip is what they serve.
@Suite(.enabled(if: obstacle == nil, "\(obstacle ?? "")")) struct KeepalivedTests {
  @Test func oneServesAndTheOtherTakesOver() throws {
    let story = try Sandbox(
      """
      mount -t tmpfs -o mode=755 none /etc/keepalived && mkdir -p /run/t /run/resource-agents
      for node in moon sun; do ip netns add $node; ip -n $node link set lo up; done
      for link in eth0 eth1; do
        ip link add name $link netns moon type veth peer name $link netns sun
        for node in moon sun; do ip -n $node link set $link up; done
      done
      ip -n moon address add 203.0.113.11/24 dev eth0; ip -n sun address add 203.0.113.12/24 dev eth0
      ip -n moon address add 10.77.0.1/24 dev eth1; ip -n sun address add 10.77.0.2/24 dev eth1
      install -m 755 Packaging/examples/keepalived/gateway /etc/keepalived/gateway
      printf 'agents=vip\\nvpnha=%s\\n' $AGENTS/vpnha >/etc/keepalived/gateway.conf
      # A node has a /run of its own. Here everything is quicker.
      for node in moon sun; do
        sed "s/router_id moon/router_id $node/; s/priority 100/priority $([ $node = moon ] && echo 110 || echo 100)/; s/advert_int 1/advert_int 0.2/; s/interval 2/interval 1/; s/fall 2/fall 1/" \\
          Packaging/examples/keepalived/keepalived.conf >/etc/keepalived/$node.conf
        mkdir -p /run/t/$node
      done
      on() { ip netns exec $1 unshare -m bash -c "mount --bind /run/t/$1 /run; mkdir -p /run/resource-agents; ${*:2}"; }
      begin() { on $1 "exec keepalived -n -l -f /etc/keepalived/$1.conf -p /run/k.pid -r /run/v.pid" >/tmp/keepalived.$1 2>&1 & }
      holds() { ip -n $1 -o address show to 203.0.113.50 | grep -q eth0; }
      lacks() { ! holds $1; }
      # No longer than twenty seconds.
      soon() { await "$@" || await "$@" || await "$@" || await "$@"; }
      step startMoon on moon /etc/keepalived/gateway start
      step startSun on sun /etc/keepalived/gateway start
      step check on moon /etc/keepalived/gateway check
      begin moon; pid=$!
      step moon soon holds moon
      begin sun
      step promoted on moon /etc/keepalived/gateway check
      sleep 1
      step alone lacks sun
      # What the track script sees moves the service.
      ip -n moon address del 203.0.113.50/24 dev eth0
      step sun soon holds sun
      step away soon lacks moon
      step well soon on moon /etc/keepalived/gateway check
      # The link between the nodes is cut, and nobody is fenced: both serve. That is why Pacemaker is recommended.
      ip netns exec sun nft 'add table ip t; add chain ip t c { type filter hook input priority 0; }; add rule ip t c iifname eth1 drop'
      ip netns exec moon nft 'add table ip t; add chain ip t c { type filter hook input priority 0; }; add rule ip t c iifname eth1 drop'
      step split soon holds moon
      step bothServe holds sun
      """)
    story.expect(["startMoon": 0, "startSun": 0, "check": 0, "moon": 0, "promoted": 0, "alone": 0, "sun": 0, "away": 0, "well": 0, "split": 0, "bothServe": 0])
  }
}
