import Glibc
import Host
import LinuxHost
import Testing

/// The agent and nft in a network of their own, played by bash: `near` has the gateway's addresses, `far` is moved to the
/// network of a process `$THERE`. `/run` is the story's own.
@Suite(
  "The firewall agent on a real kernel",
  .enabled(if: noNamespaces == nil && access("/usr/sbin/nft", X_OK) == 0, "needs root, for a network namespace, and nft"))
struct FirewallTests {
  private static let folder = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")

  private static let prelude = """
    set -euo pipefail
    mount -t tmpfs none /run
    mount -t tmpfs none /var/lib
    export OCF_RESOURCE_INSTANCE=firewall OCF_RESKEY_CRM_meta_timeout=20000 OCF_RESKEY_CRM_meta_interval=10000
    export OCF_RESKEY_address="203.0.113.50 2001:db8::50" OCF_RESKEY_outside=near
    agent() { "$FIREWALL" "$@" 2>>/run/said; }
    # The status of an action and its reason, on a line.
    try() { local status=0; "$FIREWALL" "$@" 2>/run/answer || status=$?; echo "$status $(sed -n 's/^ocf-exit-reason://p' /run/answer)"; }
    started=()
    trap 'kill -KILL "${started[@]}" 2>/dev/null || true' EXIT
    # there VARIABLE: a network of somebody else's.
    there() {
      unshare -n sleep 300 & started+=($!)
      until [ "$(readlink /proc/$!/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
      printf -v "$1" %s $!
    }
    at() { nsenter -t "$1" -n "${@:2}"; }
    there THERE
    ip link set far netns $THERE
    at $THERE ip link set lo up
    at $THERE ip link set far up
    at $THERE ip address add 203.0.113.9/24 dev far
    at $THERE ip address add 2001:db8::9/64 dev far nodad
    ip address add 203.0.113.50/24 dev near
    ip address add 2001:db8::50/64 dev near nodad
    # arrived SOURCE-PORT HEX …: at the address, port 1701
    arrived() { "$ARRIVING" $THERE 203.0.113.50 1701 "$@"; }

    """

  private func story(_ script: String) throws -> [String] {
    var lines: [String] = []
    try PrivateNetwork.run { it in
      let mine = try #require(try it.processes.process(getpid())).executable
      let program = mine.split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" } + "/firewall"
      let result = try it.processes.run(
        Command(
          "/usr/bin/unshare", ["-m", "/bin/bash", "-c", Self.prelude + script],
          environment: ["FIREWALL": program, "ARRIVING": "\(Self.folder)/arriving"]),
        before: LinuxClock().now + .seconds(120))
      let error = String(decoding: result.error, as: UTF8.self)
      if error.contains("this kernel has no ESP") { throw MissingFeature(what: "this kernel has no ESP") }
      if !result.succeeded { Issue.record("the story ended as \(result.ending): \(error)") }
      lines = String(decoding: result.output, as: UTF8.self).split(separator: "\n").map { line in
        line.last == " " ? String(line.dropLast()) : String(line)
      }
    }
    return lines
  }

  /// L2TP: a request for a tunnel (SCCRQ to tunnel 0), a Hello in tunnel 5, a data packet of tunnel 5.
  private static let newTunnel = "c802000c0000000000000000"
  private static let oldTunnel = "c802000c0005000000000000"
  private static let data = "00020005000700ff03c021"

  @Test("Loaded, found whole, found changed by hand in every way, put right, removed; another table stays as it is")
  func life() throws {
    let lines = try story(
      """
      export OCF_RESKEY_pool="10.9.0.0/24 10.8.0.0/16 2001:db8:9::/64" OCF_RESKEY_nat=true
      nft 'add table inet other; add chain inet other input { type filter hook input priority 5; }; add rule inet other input udp dport 7 counter drop'
      other=$(nft list table inet other)
      OCF_RESKEY_CRM_meta_interval=0 try monitor
      try start
      try monitor
      ping -q -c 1 -w 5 127.0.0.1 >/dev/null
      handle() { nft -a list chain inet vpnha $1 | sed -n "s/.*$2.*# handle //p"; }
      nft delete rule inet vpnha l2tp handle $(handle l2tp ipsec)
      try monitor
      try start
      nft add rule inet vpnha input accept
      try monitor
      try start
      nft delete element inet vpnha address '{ 203.0.113.50 }'
      try monitor
      try start
      nft 'add chain inet vpnha input { policy drop; }'
      try monitor
      try start
      nft add counter inet vpnha mine
      try monitor
      try start
      nft 'add table inet vpnha { flags dormant; }'
      try monitor
      try start
      nft add element inet vpnha draining '{ 203.0.113.50 }'
      nft 'reset rules' >/dev/null 2>&1 || nft reset counters >/dev/null
      try monitor
      nft flush table inet vpnha
      try monitor
      nft delete table inet vpnha
      try monitor
      try stop
      try start
      try stop
      try stop
      nft list tables
      [ "$other" = "$(nft list table inet other)" ] && echo same
      find /run/resource-agents -type f -size +0
      """)
    #expect(
      lines == [
        "7", "0", "0", "1 chain l2tp: rule 2 is missing", "0", "1 chain input: rule 5 was added", "0",
        "1 set address: an element is missing", "0", "1 chain input is not what was loaded", "0",
        "1 object mine was added", "0", "1 table inet vpnha is dormant: no packet is looked at", "0", "0",
        "1 chain input: rule 1 is missing", "1 table inet vpnha is gone: flushed by another program", "0", "0", "0", "0",
        "table inet other", "same",
      ])
  }

  @Test("A mistake in the file of more rules is told with file and line, and leaves the rules in force as they were")
  func mistake() throws {
    let lines = try story(
      """
      export OCF_RESKEY_extra=/run/more.nft
      printf 'chain extra_input {\\n  tcp dport 22 accept\\n}\\n' >/run/more.nft
      try start
      before=$(nft list table inet vpnha)
      printf 'chain extra_input {\\n  tcp dprt 22 accept\\n}\\n' >/run/more.nft
      try monitor
      try reload-agent
      OCF_CHECK_LEVEL=10 try validate-all
      [ "$before" = "$(nft list table inet vpnha)" ] && echo same
      try monitor
      echo again
      try stop
      [ -z "$(nft list tables)" ] && echo removed
      try start
      [ "$before" = "$(nft list table inet vpnha)" ] && echo same
      try monitor
      echo damaged
      nft flush chain inet vpnha l2tp
      agent monitor || echo seen
      try start
      [ "$before" = "$(nft list table inet vpnha)" ] && echo same
      echo missing
      rm /run/more.nft
      try stop
      try start
      try monitor
      echo mended
      printf 'chain extra_input {\n  tcp dport 23 accept\n}\n' >/run/more.nft
      try monitor
      nft list table inet vpnha | grep -o 'tcp dport 23'
      find /var/lib/vpnha/firewall -type f -printf '%m %p\n'
      echo first
      try stop
      rm -r /var/lib/vpnha
      printf 'chain extra_input {\n' >/run/more.nft
      try start
      nft list tables
      try stop
      """)
    let refused = "refused: extra: /run/more.nft:2:7-10: syntax error, unexpected string; the last good rules are in force"
    let missing = "refused: extra: /run/more.nft is missing; the last good rules are in force"
    #expect(
      lines == [
        "0", "\(atRisk)loaded rules are out of date: parameters or /run/more.nft changed; run reload-agent",
        "0 extra: /run/more.nft:2:7-10: syntax error, unexpected string",
        "0 extra: /run/more.nft:2:7-10: syntax error, unexpected string, and the last good rules stay", "same", "\(atRisk)\(refused)",
        "again", "0", "removed", "\(atRisk)\(refused)", "same", "\(atRisk)\(refused)",
        "damaged", "seen", "\(atRisk)\(refused)", "same",
        "missing", "0", "\(atRisk)\(missing)", "\(atRisk)\(missing)",
        "mended", "0", "tcp dport 23", "600 /var/lib/vpnha/firewall/firewall-firewall.rules",
        "first", "0", "1 extra: /run/more.nft:1:1-1: syntax error, unexpected end of file", "0",
      ])
  }

  /// How an action says that something is at risk.
  private let atRisk = "0 "

  @Test(
    "stop removes the table wherever its notes and the lock of launches cannot be written or read",
    arguments: [
      "mount -o remount,ro /run", "rm /run/resource-agents/*; mkdir /run/resource-agents/vpnha-{launches.lock,firewall-firewall.ruleset}",
      "rm -f /run/resource-agents/*; ln -s /dev/null /run/resource-agents/vpnha-launches.lock",
      "rm -r /run/resource-agents; echo >/run/resource-agents",
    ])
  func stop(_ what: String) throws {
    let lines = try story(
      """
      try start
      \(what)
      "$FIREWALL" stop 2>/var/lib/answer && echo stopped || cat /var/lib/answer
      nft list tables
      """)
    #expect(lines == ["0", "stopped"])
  }

  @Test("A client does not send as another one, or as a neighbour of the gateway, neither through the gateway nor to it")
  func anotherClient() throws {
    let lines = try story(
      """
      echo 1 >/proc/sys/net/ipv4/ip_forward
      echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
      # What systemd sets on Debian.
      echo 2 >/proc/sys/net/ipv4/conf/all/rp_filter
      for number in 0 1; do
        there CLIENT$number
        client=CLIENT$number
        ip link add ppp$number type veth peer name far0
        ip link set far0 netns ${!client}
        echo 2 >/proc/sys/net/ipv4/conf/ppp$number/rp_filter
        ip link set ppp$number up
        at ${!client} sh -ec "
          echo 0 >/proc/sys/net/ipv6/conf/far0/accept_dad
          ip link set far0 up
          ip address add 10.9.0.1$number/32 dev far0
          ip address add 2001:db8:9::1$number/128 dev far0 nodad
          ip route add 10.9.0.1 dev far0
          ip route add default via 10.9.0.1
          ip route add 2001:db8:9::1 dev far0
          ip route add default via 2001:db8:9::1"
        ip address add 10.9.0.1 peer 10.9.0.1$number dev ppp$number
        ip address add 2001:db8:9::1 peer 2001:db8:9::1$number dev ppp$number nodad
      done
      at $THERE ip route add default via 203.0.113.50
      at $THERE ip route add default via 2001:db8::50
      # The first one lies.
      at $CLIENT0 ip address add 10.9.0.11/32 dev far0
      # A neighbour of the gateway's.
      at $CLIENT0 ip address add 203.0.113.77/32 dev far0
      at $CLIENT0 ip address add 2001:db8:9::11/128 dev far0 nodad
      export OCF_RESKEY_pool="10.9.0.0/24 2001:db8:9::/64"
      hears() {
        local heard=()
        for source in 10.9.0.10 10.9.0.11 203.0.113.77; do
          at $CLIENT0 ping -q -c 1 -W 1 -I $source 203.0.113.9 >/dev/null || true
          at $CLIENT0 ping -q -c 1 -W 1 -I $source 203.0.113.50 >/dev/null || true
        done
        for source in 2001:db8:9::10 2001:db8:9::11; do
          at $CLIENT0 ping -6 -q -c 1 -W 1 -I $source 2001:db8::9 >/dev/null || true
          at $CLIENT0 ping -6 -q -c 1 -W 1 -I $source 2001:db8::50 >/dev/null || true
        done
        nft list table inet seen | sed -n 's/.*saddr \\(.*\\) counter packets \\([0-9]*\\) .*/\\1 \\2/p'
      }
      # Behind the agent's chains.
      nft -f - <<'END'
      table inet seen {
        chain seen { ip saddr 10.9.0.10 counter; ip saddr 10.9.0.11 counter; ip saddr 203.0.113.77 counter; ip6 saddr 2001:db8:9::10 icmpv6 type echo-request counter; ip6 saddr 2001:db8:9::11 icmpv6 type echo-request counter; }
        chain forward { type filter hook forward priority 10; iifname "ppp0" jump seen; }
        chain input { type filter hook input priority 10; iifname "ppp0" icmp type echo-request jump seen; iifname "ppp0" icmpv6 type echo-request jump seen; }
      }
      END
      hears
      try start
      nft reset counters >/dev/null
      nft flush table inet seen
      nft -f - <<'END'
      table inet seen {
        chain seen { ip saddr 10.9.0.10 counter; ip saddr 10.9.0.11 counter; ip saddr 203.0.113.77 counter; ip6 saddr 2001:db8:9::10 icmpv6 type echo-request counter; ip6 saddr 2001:db8:9::11 icmpv6 type echo-request counter; }
        chain forward { iifname "ppp0" jump seen; }
        chain input { iifname "ppp0" icmp type echo-request jump seen; iifname "ppp0" icmpv6 type echo-request jump seen; }
      }
      END
      hears
      """)
    let sources = ["10.9.0.10", "10.9.0.11", "203.0.113.77", "2001:db8:9::10 icmpv6 type echo-request", "2001:db8:9::11 icmpv6 type echo-request"]
    #expect(lines == sources.map { "\($0) 2" } + ["0"] + zip(sources, [2, 0, 0, 2, 0]).map { "\($0) \($1)" })
  }

  @Test("L2TP on another port is filtered as on its own")
  func anotherPort() throws {
    let lines = try story(
      """
      export OCF_RESKEY_port=1703
      try start
      echo in
      "$ARRIVING" $THERE 203.0.113.50 1703 1703 \(Self.newTunnel)
      echo other
      "$ARRIVING" $THERE 203.0.113.50 1701 1701 aa
      echo out
      nft insert rule inet vpnha l2tp accept
      "$ARRIVING" $THERE 203.0.113.50 1703 1703 \(Self.oldTunnel)
      """)
    #expect(lines == ["0", "in", "other", "aa from 203.0.113.9", "out", "\(Self.oldTunnel) from 203.0.113.9 answer refused"])
  }

  @Test("L2TP in the clear is dropped, in and out; from this node it is let in; other packets are not ours")
  func inTheClear() throws {
    let lines = try story(
      """
      arrived 1701 \(Self.newTunnel)
      try start
      arrived 1701 \(Self.newTunnel) \(Self.oldTunnel) \(Self.data)
      echo from here
      "$ARRIVING" here 203.0.113.50 1701 4000 \(Self.newTunnel)
      echo IPv6
      "$ARRIVING" $THERE 2001:db8::50 1701 1701 \(Self.newTunnel)
      echo other ports
      "$ARRIVING" $THERE 203.0.113.50 4500 4500 aa
      "$ARRIVING" $THERE 203.0.113.50 7777 7777 bb
      echo out
      nft insert rule inet vpnha l2tp accept
      arrived 1701 \(Self.oldTunnel)
      """)
    #expect(
      lines == [
        "\(Self.newTunnel) from 203.0.113.9", "0", "from here", "\(Self.newTunnel) from 203.0.113.50", "IPv6", "other ports",
        "aa from 203.0.113.9", "bb from 203.0.113.9", "out", "\(Self.oldTunnel) from 203.0.113.9 answer refused",
      ])
  }

  @Test("Hundreds of packets a second lose none over many replacements, and nothing slips in between")
  func atomic() throws {
    let lines = try story(
      """
      try start
      at $THERE ping -q -n -i 0.002 -c 2000 203.0.113.50 >/run/ping & ping=$!
      # What must never arrive is sent all the time, too.
      python3 -c '
      import socket
      s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
      s.bind(("203.0.113.50", 1701))
      print("ready", flush=True)
      print(s.recv(100).hex(), flush=True)' >/run/slipped & listener=$!
      started+=($listener)
      until grep -q ready /run/slipped; do sleep 0.01; done
      at $THERE python3 -c '
      import socket, time
      s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
      while True:
          s.sendto(b"x", ("203.0.113.50", 1701))
          time.sleep(0.001)' & started+=($!)
      reloads=0
      while kill -0 $ping 2>/dev/null; do
        OCF_RESKEY_inside=lan$((reloads % 2)) OCF_RESKEY_pool=10.9.0.0/24 agent reload-agent
        reloads=$((reloads + 1))
      done
      wait $ping
      sed -n 's/^\\(.* packets transmitted, .* received\\), \\(.*\\)% packet loss.*/\\1, \\2/p' /run/ping
      [ $reloads -ge 10 ] && echo "many replacements" || echo "only $reloads replacements"
      dropped=$(nft list chain inet vpnha l2tp | sed -n 's/.*ipsec missing counter packets \\([0-9]*\\) .*/\\1/p')
      [ "$dropped" -gt 0 ] && echo "dropped since the last"
      cat /run/slipped
      """)
    #expect(lines == ["0", "2000 packets transmitted, 2000 received, 0", "many replacements", "dropped since the last", "ready"])
  }

  private static let esp = """
    sa() { ip xfrm state add "$@" enc 'cbc(aes)' 0x00112233445566778899aabbccddeeff auth 'hmac(sha256)' 0x00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff 2>/dev/null; }
    try_esp() { sa src 203.0.113.9 dst 203.0.113.50 proto esp spi 0x100 mode transport; }
    try_esp || { echo "this kernel has no ESP" >&2; exit 3; }
    export -f sa
    sa src 203.0.113.50 dst 203.0.113.9 proto esp spi 0x200 mode transport
    at $THERE bash -c 'sa src 203.0.113.9 dst 203.0.113.50 proto esp spi 0x100 mode transport; sa src 203.0.113.50 dst 203.0.113.9 proto esp spi 0x200 mode transport'
    transport() { ip xfrm policy add "$@" tmpl proto esp mode transport; }
    export -f transport

    """

  @Test("L2TP inside IPsec is let in and answered; while the address drains, no new tunnel is")
  func inside() throws {
    try StockNode.orHere("L2TP inside IPsec is let in and answered; while the address drains, no new tunnel is") {
      let lines = try story(
        Self.esp + """
          try start
          echo clear
          arrived 1701 \(Self.newTunnel)
          transport src 203.0.113.9 dst 203.0.113.50 proto udp dport 1701 dir in
          transport src 203.0.113.50 dst 203.0.113.9 proto udp sport 1701 dir out
          at $THERE bash -c 'transport src 203.0.113.9 dst 203.0.113.50 proto udp dport 1701 dir out'
          at $THERE bash -c 'transport src 203.0.113.50 dst 203.0.113.9 proto udp sport 1701 dir in'
          echo inside
          arrived 1701 \(Self.newTunnel) \(Self.oldTunnel) \(Self.data)
          echo draining
          nft add element inet vpnha draining '{ 203.0.113.50 }'
          arrived 1701 \(Self.newTunnel) \(Self.oldTunnel) \(Self.data)
          try monitor
          OCF_RESKEY_pool=10.9.0.0/24 try reload-agent
          arrived 1701 \(Self.newTunnel) \(Self.oldTunnel)
          nft delete element inet vpnha draining '{ 203.0.113.50 }'
          echo ended
          arrived 1701 \(Self.newTunnel)
          echo no SA policy out
          ip xfrm policy delete src 203.0.113.50 dst 203.0.113.9 proto udp sport 1701 dir out
          arrived 1701 \(Self.oldTunnel)
          try stop
          """)
      func from(_ message: String) -> String { "\(message) from 203.0.113.9" }
      #expect(
        lines == [
          "0", "clear", "inside", from(Self.newTunnel), from(Self.oldTunnel), from(Self.data), "draining", from(Self.oldTunnel),
          from(Self.data), "0", "0", from(Self.oldTunnel), "ended", from(Self.newTunnel), "no SA policy out",
          from(Self.oldTunnel) + " answer refused", "0",
        ])
    }
  }

  @Test("Clients are translated to the address, but not what leaves through IPsec; a foreign source is dropped")
  func exempt() throws {
    try StockNode.orHere("Clients are translated to the address, but not what leaves through IPsec; a foreign source is dropped") {
      let lines = try story(
        Self.esp + """
          export OCF_RESKEY_pool=10.9.0.0/24 OCF_RESKEY_nat=true OCF_RESKEY_ppp='cli*'
          echo 1 >/proc/sys/net/ipv4/ip_forward
          there CLIENT
          ip link add cli0 type veth peer name up0
          ip link set up0 netns $CLIENT
          ip link set cli0 up
          ip address add 10.9.0.1/24 dev cli0
          at $CLIENT ip link set up0 up
          at $CLIENT ip address add 10.9.0.10/24 dev up0
          at $CLIENT ip address add 10.66.0.1/32 dev up0
          at $CLIENT ip route add default via 10.9.0.1
          ip route add 198.51.100.0/24 via 203.0.113.9
          # Beyond the tunnel there is a network behind the peer.
          at $THERE ip address add 198.51.100.1/32 dev lo
          sa src 203.0.113.50 dst 203.0.113.9 proto esp spi 0x300 mode tunnel
          ip xfrm policy add src 10.9.0.0/24 dst 198.51.100.0/24 dir out tmpl src 203.0.113.50 dst 203.0.113.9 proto esp mode tunnel
          at $THERE bash -c 'sa src 203.0.113.50 dst 203.0.113.9 proto esp spi 0x300 mode tunnel'
          at $THERE ip xfrm policy add src 10.9.0.0/24 dst 198.51.100.0/24 dir in tmpl src 203.0.113.50 dst 203.0.113.9 proto esp mode tunnel
          # Nothing else may answer for the peer: it has no way back to the clients but through the address.
          try start
          try monitor
          echo out
          at $THERE "$ARRIVING" $CLIENT 203.0.113.9 7000 7000 aa
          echo through IPsec
          at $THERE "$ARRIVING" $CLIENT 198.51.100.1 7000 7000 bb
          echo monitor of level 10
          OCF_CHECK_LEVEL=10 try monitor
          echo foreign source
          # The end of this one comes from the right source.
          at $CLIENT ping -q -c 1 -W 1 -I 10.66.0.1 203.0.113.9 >/dev/null || echo silence
          nft list chain inet vpnha from_clients | sed -n 's/.*missing counter packets \\([0-9]*\\) .* drop/\\1 dropped/p'
          echo from outside
          at $THERE ip route add 10.9.0.0/24 via 203.0.113.50
          at $THERE ping -q -c 1 -W 1 10.9.0.10 >/dev/null || echo silence
          nft list chain inet vpnha to_clients | sed -n 's/.*iifname "near" counter packets \\([0-9]*\\) .* drop/\\1 dropped/p'
          """)
      #expect(
        lines == [
          "0", "0", "out", "aa from 203.0.113.50", "through IPsec", "bb from 10.9.0.10 no way back", "monitor of level 10", "0", "foreign source",
          "silence", "1 dropped", "from outside", "silence", "1 dropped",
        ])
    }
  }
}
