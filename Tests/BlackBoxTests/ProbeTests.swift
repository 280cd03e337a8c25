import Testing

/// The prober against what really answers: a kernel, charon, FreeRADIUS.
struct ProbeTests {
  /// The cluster's tool is a script that keeps what it is told. `told VALUE`: until that is the last value; `settled`: until a
  /// value was told at all.
  static let world = """
    echo '#!/bin/sh
    echo "$*" >>/run/told' >/run/updater
    chmod 755 /run/updater; touch /run/told
    mount --bind /run/updater /usr/sbin/attrd_updater
    export OCF_RESKEY_CRM_meta_interval=10000 OCF_RESKEY_recovery=1
    unset OCF_RESKEY_ping
    for kind in ping arp ike radius vip; do
      export OCF_RESKEY_${kind}_interval=1 OCF_RESKEY_${kind}_timeout=1 OCF_RESKEY_${kind}_failures=2/2
    done
    # For at most ten seconds.
    await() { for _ in $(seq 200); do "$@" >/dev/null 2>&1 && return; sleep 0.05; done; echo "never: $*"; cat /run/told; return 1; }
    last() { [ "$(grep -e "-n $1 " /run/told | tail -n 1)" = "-n $1 $2" ]; }
    monitor() { local status=0; agent monitor || status=$?; [ $status -eq $1 ] || { echo "monitor: $status"; return 1; }; }

    """

  private func play(_ story: String) throws {
    let answer = try Sandbox.script(.probe, Self.world + story)
    #expect(answer.status == 0, "\(answer.output)\(answer.error)")
  }

  @Test("a neighbour's kernel answers pings, ARP and neighbour solicitations, until the cable is cut", .needsNamespaces)
  func neighbour() throws {
    try play(
      """
      ip netns add hop
      ip link add up0 type veth peer name up1 netns hop
      ip link set up0 up; ip -n hop link set up1 up
      ip address add 203.0.113.11/24 dev up0; ip -n hop address add 203.0.113.1/24 dev up1
      ip address add 2001:db8::11/64 dev up0 nodad; ip -n hop address add 2001:db8::1/64 dev up1 nodad
      for check in "ping=203.0.113.1" "ping=2001:db8::1" "arp=203.0.113.1" "arp=2001:db8::1"; do
        export "OCF_RESKEY_$check" OCF_RESKEY_nic=up0
        agent start
        await last vpnha-path '-B 1 -d 2s'
        monitor 0
        ip -n hop link set up1 down
        await last vpnha-path '-B 0 -d 3s'
        monitor 0
        ip -n hop link set up1 up
        ip -n hop address replace 2001:db8::1/64 dev up1 nodad
        await last vpnha-path '-B 1 -d 2s'
        agent stop
        last vpnha-path -D
        unset "OCF_RESKEY_${check%%=*}"
      done
      """)
  }

  @Test("a link-local next hop is asked on its link, by ping and IKE, and without one refused", .needsNamespaces, .needs("/usr/sbin/charon-systemd"))
  func linkLocal() throws {
    try play(
      """
      charon() { OCF_RESOURCE_INSTANCE=ike OCF_RESKEY_connections=l2tp OCF_RESKEY_drain_timeout=0 ip netns exec hop \(Agent.folder)/strongswan $1; }
      ip netns add hop
      ip link add up0 type veth peer name up1 netns hop
      # The same address on another link is nobody's.
      ip link add other type veth peer name none; ip link set other up; ip link set none up
      ip link set up0 up; ip -n hop link set up1 up; ip -n hop link set lo up
      ip -n hop address add fe80::1/64 dev up1 nodad
      await ping -c 1 -W 1 fe80::1%up0
      charon start
      for check in ping=fe80::1 ike=fe80::1; do
        export "OCF_RESKEY_$check"
        OCF_RESKEY_nic= agent validate-all && exit 1
        export OCF_RESKEY_nic=up0
        agent start
        await last vpnha-path '-B 1 -d 2s'
        monitor 0
        ! grep trouble /run/resource-agents/*.report
        ip -n hop link set up1 down
        await last vpnha-path "-B 0 -d 3s"
        ip -n hop link set up1 up
        ip -n hop address replace fe80::1/64 dev up1 nodad
        await last vpnha-path '-B 1 -d 2s'
        # Gone with its link it is no inability.
        ip link set up0 down
        await last vpnha-path "-B 0 -d 3s"
        ip link set up0 up
        await last vpnha-path '-B 1 -d 2s'
        agent stop
        unset "OCF_RESKEY_${check%%=*}"
      done
      charon stop
      """)
  }

  @Test("forged ICMP errors between question and answer prove nothing", .needsNamespaces)
  func forgery() throws {
    try play(
      """
      ip netns add hop
      ip link add up0 type veth peer name up1 netns hop
      ip link set up0 up; ip -n hop link set up1 up
      ip address add 203.0.113.11/24 dev up0; ip -n hop address add 203.0.113.1/24 dev up1
      ip address add 2001:db8::11/64 dev up0 nodad; ip -n hop address add 2001:db8::1/64 dev up1 nodad
      # It answers in place of its kernel: first with what anybody could send, "port unreachable" of a packet that was never sent.
      ip netns exec hop sh -c 'echo 1 >/proc/sys/net/ipv4/icmp_echo_ignore_all; echo 1 >/proc/sys/net/ipv6/icmp/echo_ignore_all'
      cat >/run/forger <<'END'
      import select, socket, struct, time
      def summed(message):
          total = sum(struct.unpack("!%dH" % (len(message) // 2), message))
          total = (total >> 16) + (total & 0xffff)
          return message[:2] + struct.pack("!H", ~(total + (total >> 16)) & 0xffff) + message[4:]
      old = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
      new = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
      while True:
          for ready in select.select([old, new], [], [])[0]:
              packet, source = ready.recvfrom(2048)
              echo = packet[20:] if ready is old else packet
              if ready is old and echo[0] == 8:
                  quoted = bytes.fromhex("4500002c0001000040010000") + socket.inet_aton(source[0]) + socket.inet_aton("203.0.113.1")
                  error = summed(bytes([3, 3, 0, 0, 0, 0, 0, 0]) + quoted + bytes([8, 0, 0, 0, 0, 0, 0, 0]))
                  answer = summed(bytes([0, 0, 0, 0]) + echo[4:])
              elif ready is new and echo[0] == 128:
                  ours, theirs = (socket.inet_pton(socket.AF_INET6, address) for address in ("2001:db8::1", source[0]))
                  error = bytes([1, 4, 0, 0, 0, 0, 0, 0]) + bytes.fromhex("6000000000103a40") + theirs + ours + bytes([128, 0, 0, 0, 0, 0, 0, 0])
                  answer = bytes([129, 0, 0, 0]) + echo[4:]
              else:
                  continue
              for _ in range(3):
                  ready.sendto(error, source)
                  time.sleep(0.01)
              ready.sendto(answer, source)
              ready.sendto(error, source)
      END
      ip netns exec hop python3 /run/forger &
      forger=$!
      for check in "ping=203.0.113.1" "ping=2001:db8::1"; do
        export "OCF_RESKEY_$check"
        agent start
        await last vpnha-path '-B 1 -d 2s'
        monitor 0
        ! grep trouble /run/resource-agents/*.report
        agent stop
      done
      # They do arrive: a socket like the prober's is told of them.
      python3 -c '
      import socket
      asking = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
      asking.connect(("203.0.113.1", 0))
      asking.settimeout(10)
      asking.send(bytes.fromhex("0800f7ff00000000"))
      try:
          asking.recv(100)
      except ConnectionRefusedError:
          print("refused")' | grep -x refused
      kill $forger
      """)
  }

  @Test("charon answers on 500 and 4500; stopped, its kernel refuses, which is no path that is down", .needsNamespaces, .needs("/usr/sbin/charon-systemd"))
  func charon() throws {
    try play(
      """
      charon() { OCF_RESOURCE_INSTANCE=ike OCF_RESKEY_connections=l2tp OCF_RESKEY_drain_timeout=0 ip netns exec sun \(Agent.folder)/strongswan $1; }
      ip netns add sun
      ip link add up0 type veth peer name up1 netns sun
      ip link set up0 up; ip -n sun link set up1 up; ip -n sun link set lo up
      ip address add 203.0.113.11/24 dev up0; ip -n sun address add 203.0.113.12/24 dev up1
      charon start
      for version in 1 2; do
        export OCF_RESKEY_ike=203.0.113.12 OCF_RESKEY_ike_version=$version
        agent start
        await last vpnha-path '-B 1 -d 2s'
        monitor 0
        agent stop
      done
      ! grep -q half-open /run/told
      [ -z "$(swanctl --list-sas)" ]
      agent start
      await last vpnha-path '-B 1 -d 2s'
      charon stop
      await grep -q 'trouble 203.0.113.12 has refused IKE on port 500 since' /run/resource-agents/*.report
      monitor 0
      last vpnha-path '-B 1 -d 2s'
      agent stop
      """)
  }

  @Test("a charon that hangs is a dead address, and one that lives is none", .needsNamespaces, .needs("/usr/sbin/charon-systemd"))
  func gatewaysAddress() throws {
    try play(
      """
      charon() { OCF_RESOURCE_INSTANCE=ike OCF_RESKEY_connections=l2tp OCF_RESKEY_drain_timeout=0 ip netns exec sun \(Agent.folder)/strongswan $1; }
      ip netns add sun
      ip link add up0 type veth peer name up1 netns sun
      ip link set up0 up; ip -n sun link set up1 up; ip -n sun link set lo up
      ip address add 203.0.113.11/24 dev up0; ip -n sun address add 203.0.113.12/24 dev up1; ip -n sun address add 203.0.113.50/24 dev up1
      charon start
      export OCF_RESKEY_ping=203.0.113.12 OCF_RESKEY_vip=203.0.113.50
      agent start
      await last vpnha-path-vip '-B 1 -d 2s'
      monitor 0
      pkill -STOP -x charon-systemd
      await last vpnha-path-vip '-B 0 -d 3s'
      monitor 0
      last vpnha-path '-B 1 -d 2s'
      ip -n sun address del 203.0.113.50/24 dev up1
      ip address add 203.0.113.50/24 dev up0
      await last vpnha-path-vip '-B 1 -d 2s'
      monitor 0
      agent stop
      last vpnha-path-vip -D
      charon stop
      """)
  }

  @Test("FreeRADIUS answers Status-Server to who knows the secret", .needsNamespaces, .needs("/usr/sbin/freeradius"))
  func radius() throws {
    try play(
      """
      mkdir /run/radius
      cat >/run/radius/radiusd.conf <<'END'
      prefix = /usr
      raddbdir = /run/radius
      libdir = /usr/lib/freeradius
      logdir = /run/radius
      run_dir = /run/radius
      pidfile = /run/radius/pid
      security { status_server = yes }
      log { destination = files
        file = /run/radius/log }
      modules { }
      client gateways { ipaddr = 192.0.2.0/24
        secret = "correct horse"
        require_message_authenticator = yes }
      server default {
        listen { type = auth
          ipaddr = 192.0.2.1
          port = 1812 }
        authorize { }
        authenticate { } }
      END
      freeradius -f -d /run/radius -n radiusd &
      server=$!
      await grep -q 'Ready to process requests' /run/radius/log
      (umask 077; echo 'correct horse' >/run/secret; echo 'wrong horse' >/run/other)
      export OCF_RESKEY_radius=192.0.2.1 OCF_RESKEY_radius_secret_file=/run/secret
      agent start
      await last vpnha-path '-B 1 -d 2s'
      monitor 0
      kill -STOP $server
      await last vpnha-path '-B 0 -d 3s'
      monitor 0
      kill -CONT $server
      await last vpnha-path '-B 1 -d 2s'
      ! tr '\\0' '\\n' </proc/$(pgrep -x probe)/environ | grep -q horse
      ! tr '\\0' '\\n' </proc/$(pgrep -x probe)/cmdline | grep -q horse
      agent stop
      OCF_RESKEY_radius_secret_file=/run/other agent start
      await last vpnha-path '-B 0 -d 3s'
      OCF_RESKEY_radius_secret_file=/run/other agent stop
      kill $server
      """)
  }

  @Test("killed under its agent, it is not running, and is started anew", .needsNamespaces)
  func killed() throws {
    try play(
      """
      export OCF_RESKEY_ping=192.0.2.2
      agent start
      pkill -KILL -x probe
      await monitor 7
      agent start
      monitor 0
      [ $(pgrep -c -x probe) -eq 1 ]
      agent stop
      [ -z "$(find /run/resource-agents -type f -size +0)" ]
      """)
  }
}
