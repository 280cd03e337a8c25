import Testing

private let unpacked = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/") + "/build/libreswan"
private let obstacle = Sandbox.obstacle("\(unpacked)/usr/libexec/ipsec/pluto", "/usr/sbin/charon-systemd")

/// A real pluto. The machine's kernel need not have ESP: what is seen here is IKE.
@Suite(.enabled(if: obstacle == nil, "\(obstacle ?? "")")) struct LibreswanLiveTests {
  private static let world = """
    mkdir /run/c
    . Tests/libreswan '\(unpacked)' 192.0.2.50 /run/c
    ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up
    address() { ip address $1 192.0.2.50/24 dev v0; }
    export OCF_RESOURCE_INSTANCE=libreswan OCF_RESKEY_config=/run/c/ipsec.conf OCF_RESKEY_connections=l2tp OCF_RESKEY_address=192.0.2.50
    on() { agent libreswan "$@"; }
    close() { OCF_CHECK_LEVEL=10 on monitor; }
    pluto() { cat /run/pluto/pluto.pid; }

    """

  @Test func aLife() throws {
    let story = try Sandbox(
      Self.world + """
        step absent on monitor
        step homeless on start
        address add
        step start on start
        step monitor on monitor
        step close close
        step validate env OCF_CHECK_LEVEL=10 bash -c "OCF_RESOURCE_TYPE=libreswan $AGENTS/libreswan validate-all"
        step again on start
        step reload on reload-agent
        # Of an address that comes after its addconn told it to listen pluto knows nothing until it is told again.
        step stop on stop
        address del
        (/usr/libexec/ipsec/pluto --config /run/c/ipsec.conf --rundir /run/pluto --nofork >/dev/null 2>&1 &)
        step byHand await bash -c '/usr/libexec/ipsec/whack --status | grep -qF 127.0.0.1:500'
        address add
        step unheard close
        step listen on start
        step heard close
        kill -KILL $(pluto); sleep 0.1
        step killed on monitor
        step startAfterKill on start
        suspend $(pluto)
        step suspended on monitor
        step stopSuspended on stop
        step gone on monitor
        step start2 on start
        echo 'garbage in' >>/run/c/ipsec.conf
        step broken close
        step stopBroken on stop
        step startBroken on start
        step left bash -c '[ -z "$(ls /run/pluto)" ] && [ -z "$(ls /run/resource-agents | grep -v lock)" ]'
        """)
    story.expect([
      "absent": 7, "homeless": 1, "start": 0, "monitor": 0, "close": 0, "validate": 0, "again": 0, "reload": 0, "stop": 0, "byHand": 0, "unheard": 1, "listen": 0, "heard": 0, "killed": 7,
      "startAfterKill": 0, "suspended": 1, "stopSuspended": 0, "gone": 7, "start2": 0, "broken": 0, "stopBroken": 0, "startBroken": 1, "left": 0,
    ])
    #expect(story["unheard"].output.contains("address: pluto does not listen on 192.0.2.50: ipsec whack --listen"))
    #expect(story["broken"].output.contains("config: /run/c/ipsec.conf:17: syntax error [garbage]"))
    #expect(story["killed"].output.contains("is gone, and the cluster did not stop it"))
  }

  @Test func aCertificateWithoutItsKeyIsARisk() throws {
    let story = try Sandbox(
      Self.world + """
        address add
        nss() { "\(unpacked)/usr/bin/$1" -d sql:/run/c/nss "${@:2}"; }
        openssl req -x509 -newkey rsa:2048 -nodes -keyout /run/c/key -out /run/c/cert -subj /CN=gw.example -days 15 2>/dev/null
        openssl pkcs12 -export -in /run/c/cert -inkey /run/c/key -out /run/c/p12 -name gw -passout pass:
        nss certutil -A -n gw -t ,, -a -i /run/c/cert
        sed -i 's/authby=secret/authby=rsasig\\n  leftcert=gw\\n  leftid=%fromcert/' /run/c/ipsec.conf
        step start on start
        step keyless close
        nss pk12util -i /run/c/p12 -W '' -K ''
        step again /usr/libexec/ipsec/whack --rereadcerts
        step whole close
        step stop on stop
        """)
    story.expect(["start": 0, "keyless": 0, "again": 0, "whole": 0, "stop": 0])
    #expect(story["keyless"].output.contains("connections: l2tp has no private key for its certificate gw"))
    #expect(!story["whole"].output.contains("certificate"), "\(story["whole"].output)")
  }

  @Test func charonIsLeftAlone() throws {
    let story = try Sandbox(
      Self.world + """
        address add
        (charon-systemd >/dev/null 2>&1 &)
        step charon await bash -c 'ss -lunH sport = :4500 | grep -q .'
        step start on start
        step probe on monitor
        step stop on stop
        step alive pgrep -x charon-systemd
        """)
    story.expect(["charon": 0, "start": 1, "probe": 7, "stop": 0, "alive": 0])
    #expect(story["start"].output.contains("UDP port 500 is taken by /usr/sbin/charon-systemd (pid "))
  }
}
