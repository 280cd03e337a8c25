import Testing

/// Two gateways with strongSwan's ha plugin and a client, each in namespaces of its own; three real charons. IKE SAs only: ESP
/// in the kernel is the lab's.
///
/// charon answers TERM with a DELETE for every SA that is active, for the client and for the other gateway. Whatever comes
/// over the serving member, the client's SA must be on its peer afterwards.
@Suite(.needsNamespaces, .needs("/usr/sbin/charon-systemd", "/usr/sbin/swanctl"))
struct StrongSwanPairTests {
  @Test(
    "the client's SA survives whoever leaves",
    arguments: [
      "demoted": "a 0 moon demote; a 0 moon stop",
      "its charon is suspended":
        """
      on moon sh -c 'kill -STOP $(pidof charon-systemd)'
      a 1 moon demote
      a 0 moon stop
      [ $took -lt 3000 ] || fail "the stop took $took ms"
      """,
      "every worker is busy with a peer that does not answer":
        """
      for each in $(seq 24); do on moon swanctl --initiate --child dead --timeout 60 >/dev/null 2>&1 & done
      for wait in $(seq 100); do on moon timeout 1 swanctl --stats >/dev/null 2>&1 || break; sleep 0.1; done
      ! on moon timeout 1 swanctl --stats >/dev/null 2>&1 || fail "charon answers: the test shows nothing"
      a 0 moon demote
      [ $took -lt 5000 ] || fail "the demote took $took ms"
      a 0 moon stop
      """,
      "its promotion was cut short, and it is stopped": "on moon sh -c 'rm /run/resource-agents/*.role'; a 0 moon stop",
      "its promotion was cut short, and it is demoted":
        """
      on moon sh -c 'rm /run/resource-agents/*.role'
      a 0 moon demote
      [ "$(states moon)" = PASSIVE ] || fail "moon has $(states moon)"
      rules=$(on moon ip rule show)
      [[ $rules == *"from 10.77.0.50 unreachable"* ]] || fail "moon may speak: $rules"
      a 0 moon stop
      """,
    ])
  func survives(_ fault: String, _ script: String) throws {
    try run(
      """
      \(script)
      on moon ip address del 10.77.0.50/24 dev eth0
      on sun ip address add 10.77.0.50/24 dev eth0
      a 0 sun promote
      has sun ESTABLISHED
      has client ESTABLISHED
      """)
  }

  /// Its charon takes the segment when the other one gives it up: it is active, and no member was promoted.
  @Test("the client's SA survives a standby that is stopped between the two promotions") func standbyInBetween() throws {
    try run(
      """
      a 0 moon demote
      has sun ESTABLISHED
      a 0 sun stop
      a 0 moon promote
      has moon ESTABLISHED
      has client ESTABLISHED
      """)
  }

  private func run(_ text: String) throws {
    let answer = try Sandbox.script(.strongswan, Self.pair + text)
    #expect(answer.status == 0, "\(answer.output)\(answer.error)")
  }

  /// moon serves, sun stands by, and the client has an SA. `a STATUS NODE ACTION` runs the agent there, `on NODE` a command.
  private static let pair = #"""
    fail() { echo "FAILED: $*"; exit 1; }
    node() { # NAME ADDRESS
      unshare --net --mount --pid --fork --mount-proc --kill-child -- sh -c 'mount -t tmpfs none /run && mkdir -p /run/resource-agents /run/lock && exec sleep infinity' &
      local outer=$!
      for wait in $(seq 100); do
        pid=$(cat /proc/$outer/task/$outer/children 2>/dev/null | tr -d ' ') && [ -n "$pid" ] && nsenter -t $pid -m test -d /run/lock && break; sleep 0.05
      done
      eval "$1=$pid"
      ip link add to$1 master hub type veth peer name eth0 netns $pid
      ip link set to$1 up
      on $1 ip link set lo up
      on $1 ip link set eth0 up
      on $1 ip address add $2/24 dev eth0
    }
    on() { local pid=${!1}; shift; nsenter -t $pid -n -m -p -- "$@"; }
    ip link add hub type bridge
    ip link set hub up
    node moon 10.77.0.1
    node sun 10.77.0.2
    node client 10.77.0.9
    configure() { # NODE LOCAL REMOTE LOAD
      on $1 sh -c 'cat >/run/strongswan.conf && mount --bind /run/strongswan.conf /etc/strongswan.conf' <<END
    charon-systemd {
      load_modular = yes
      plugins {
        include /etc/strongswan.d/charon/*.conf
        ha {
          load = $4
          local = $2
          remote = $3
          monitor = no
        }
      }
      filelog { log {
        path = /run/charon.log
        flush_line = yes
      } }
    }
    END
    }
    configure moon 10.77.0.1 10.77.0.2 yes
    configure sun 10.77.0.2 10.77.0.1 yes
    configure client 10.77.0.9 10.77.0.8 no
    sed -i 's/local_addrs = .*/local_addrs = 10.77.0.50/' /etc/swanctl/swanctl.conf
    cat >>/etc/swanctl/swanctl.conf <<'END'
    connections { dead {
      remote_addrs = 10.77.0.77
      local { auth = psk }
      remote { auth = psk }
      children { dead { } } } }
    END
    on client sh -c 'mount -t tmpfs none /etc/swanctl; cat >/etc/swanctl/swanctl.conf' <<'END'
    connections { c {
      version = 1
      proposals = aes256-sha1-modp1024
      local_addrs = 10.77.0.9
      remote_addrs = 10.77.0.50
      local { auth = psk }
      remote { auth = psk }
      children { c { mode = transport
      esp_proposals = aes256-sha1
      } } } }
    secrets { ike { secret = sandbox } }
    END
    a() {
      local wanted=$1 node=$2 began=$(date +%s%3N) status=0
      shift 2
      output=$(on $node env OCF_ROOT=/usr/lib/ocf OCF_RESOURCE_INSTANCE=s OCF_RESOURCE_TYPE=strongswan OCF_RESKEY_CRM_meta_promoted_max=1 \
        OCF_RESKEY_CRM_meta_timeout=60000 OCF_RESKEY_CRM_meta_interval=10000 OCF_RESKEY_address=10.77.0.50 OCF_RESKEY_connections=l2tp \
        /usr/lib/ocf/resource.d/vpnha/strongswan $1 2>&1) || status=$?
      took=$(($(date +%s%3N) - began))
      echo "$node $*: $status in $took ms: $output"
      [ $status -eq $wanted ] || fail "$node $1: $status, not $wanted"
    }
    # What is sent again is installed a second time.
    states() { on $1 swanctl --list-sas --raw | grep -E '^list-sa event \{(c|l2tp) ' | sed 's/.*[ {]state=\([A-Z]*\) .*/\1/' | sort -u; }
    has() { # NODE STATE: of the client's SA, within five seconds
      for wait in $(seq 50); do [ "$(states $1)" = "$2" ] && return; sleep 0.1; done
      fail "$1 has $(states $1), not $2: $(on $1 tail -n 20 /run/charon.log)"
    }
    on client sh -c '/usr/sbin/charon-systemd >/dev/null 2>&1 &'
    a 0 moon start
    a 0 sun start
    # A second after its start each asks the other for every SA. One that it is given back of its own would be there twice.
    for node in moon sun; do
      for wait in $(seq 100); do on $node grep -q 'requesting HA resynchronization' /run/charon.log && break; sleep 0.1; done
    done
    on moon ip address add 10.77.0.50/24 dev eth0
    a 0 moon promote
    for wait in $(seq 100); do on client swanctl --load-all --noprompt >/dev/null 2>&1 && break; sleep 0.1; done
    on client swanctl --initiate --ike c --timeout 10 >/dev/null || fail "the client does not connect"
    has moon ESTABLISHED
    has sun PASSIVE

    """#
}
