import Testing

/// The alert agent as Pacemaker runs it: as hacluster, with everything in the environment.
@Suite(.needsNamespaces, .needs("/usr/bin/python3", "/usr/sbin/runuser"))
struct AlertTests {
  /// `alert NAME=VALUE …` runs it, `receiver BEHAVIOUR` is a web server on port 9095, and `journal` a journald that writes
  /// each entry it takes to /run/entries, with a line of two hyphens behind it.
  private func play(_ story: String) throws {
    let answer = try Sandbox.run([
      "bash", "-c",
      """
      set -euo pipefail
      install -m 755 '\(Built.folder)/vpnha-alert' /run/vpnha-alert
      alert() {
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin CRM_alert_kind=resource CRM_alert_node=moon CRM_alert_rsc=vip CRM_alert_task=monitor \
          CRM_alert_rc=1 CRM_alert_target_rc=0 CRM_alert_status=4 CRM_alert_timestamp_epoch=$(date +%s) "$@" \
          runuser -u hacluster -- /run/vpnha-alert
      }
      cat >/run/receiver.py <<'END'
      import socket, sys, time
      how = sys.argv[1]
      server = socket.create_server(("127.0.0.1", 9095))
      open("/run/ready", "w").close()
      peer, _ = server.accept()
      said = b""
      while b"\\r\\n\\r\\n" not in said or len(said.split(b"\\r\\n\\r\\n", 1)[1]) < int(said.lower().split(b"content-length: ")[1].split(b"\\r")[0]):
          said += peer.recv(65536)
      open("/run/said", "wb").write(said)
      if how == "takes":
          peer.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")
      elif how == "refuses":
          peer.sendall(b"HTTP/1.1 500 No\\r\\n\\r\\n")
      elif how == "trickles":
          while True:
              peer.sendall(b"H")
              time.sleep(0.2)
      else:
          time.sleep(60)
      END
      receiver() {
        rm -f /run/ready /run/said
        python3 /run/receiver.py $1 2>/dev/null & 
        receiver=$!
        until [ -e /run/ready ]; do sleep 0.02; done
      }
      journal() {
        rm -f /run/ready
        python3 -c '
      import os, socket
      os.makedirs("/run/systemd/journal", exist_ok=True)
      heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
      heard.bind("/run/systemd/journal/socket")
      os.chmod("/run/systemd/journal/socket", 0o666)
      open("/run/ready", "w").close()
      with open("/run/entries", "ab", 0) as file:
          while True:
              file.write(heard.recv(65536) + b"\\n--\\n")' &
        journal=$!
        until [ -e /run/ready ]; do sleep 0.02; done
      }
      \(story)
      """,
    ])
    #expect(answer.status == 0, "\(answer.output)\(answer.error)")
  }

  @Test("it ends with 0 whatever it is given, and says nothing") func quiet() throws {
    try play(
      """
      [ -z "$(alert 2>&1)" ]
      [ -z "$(alert CRM_alert_desc=$'a\\nb\\x1b"\\xff\\xfe' CRM_alert_rsc=$'\\xc3\\x28$(id)' 2>&1)" ]
      [ -z "$(alert CRM_alert_desc="$(head -c 120000 /dev/zero | tr '\\0' x)" 2>&1)" ]
      [ -z "$(alert CRM_alert_recipient=https://example.org/ 2>&1)" ]
      [ -z "$(alert CRM_alert_recipient=http://127.0.0.1:1/ 2>&1)" ]
      [ -z "$(env -i /run/vpnha-alert 2>&1)" ]
      """)
  }

  @Test("a receiver gets JSON; one that refuses, hangs or trickles holds it up no longer than its deadline") func webhook() throws {
    try play(
      """
      for how in takes refuses hangs trickles; do
        receiver $how
        timeout 14 bash -c "$(declare -f alert); alert CRM_alert_recipient=http://127.0.0.1:9095/alerts CRM_alert_desc=\\$'a\\"\\nb\\xff'"
        python3 -c '
      import json
      head, body = open("/run/said", "rb").read().split(b"\\r\\n\\r\\n", 1)
      assert head.startswith(b"POST /alerts HTTP/1.1"), head
      told = json.loads(body)
      assert told["desc"] == "a\\"\\nb\\ufffd" and told["rc"] == 1 and told["failure"], told
      '
        kill $receiver 2>/dev/null || true
        wait $receiver 2>/dev/null || true
      done
      """)
  }

  /// What each receiver documents, taken by a server that reads it as JSON; `--test` says what became of it.
  @Test("Slack, Alertmanager and PagerDuty are posted to in their own words, and a test says what became of it") func formats() throws {
    try play(
      """
      (umask 027; printf 'R0123\\n' >/run/key; chgrp haclient /run/key)
      options=()
      for format in slack alertmanager pagerduty; do
        receiver takes
        timeout 14 bash -c "$(declare -f alert); alert CRM_alert_recipient=http://127.0.0.1:9095/x format=$format routing_key_file=/run/key CRM_alert_desc=\\$'a\\"\\nb\\xff<'"
        wait $receiver
        python3 -c '
      import json, sys
      told = json.loads(open("/run/said", "rb").read().split(b"\\r\\n\\r\\n", 1)[1])
      text = "monitor of vip on moon: a\\" b\\ufffd< (rc 1)"
      if sys.argv[1] == "slack":
          assert told == {"text": text.replace("<", "&lt;")}, told
      elif sys.argv[1] == "alertmanager":
          (told,) = told
          assert told["labels"]["alertname"] == "vpnha" and told["annotations"]["summary"] == text, told
      else:
          assert told["routing_key"] == "R0123" and told["event_action"] == "trigger" and told["payload"]["summary"] == text, told
      ' $format
      done
      receiver takes
      [ "$(runuser -u hacluster -- /run/vpnha-alert --test http://127.0.0.1:9095/x format=slack)" = "delivered: 127.0.0.1 port 9095 answered 200" ]
      wait $receiver
      receiver refuses
      status=0
      said=$(echo http://127.0.0.1:9095/x | runuser -u hacluster -- /run/vpnha-alert --test -) || status=$?
      [ "$status $said" = "1 not delivered: posting to 127.0.0.1 port 9095: it answered 500" ]
      status=0
      /run/vpnha-alert --test >/dev/null || status=$?
      [ $status = 2 ]
      """)
  }

  /// Name servers that say nothing: the resolver's patience is longer than ours.
  @Test("without a name server that answers, it ends in time, and says in the journal what was not delivered") func silentNameServers() throws {
    try play(
      """
      journal
      # They are there, and say nothing.
      python3 -c '
      import socket, time
      sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
      for number, one in enumerate(sockets): one.bind(("127.0.0.%d" % (2 + number), 53))
      open("/run/silent", "w").close()
      time.sleep(60)' & silent=$!
      until [ -e /run/silent ]; do sleep 0.02; done
      printf 'nameserver 127.0.0.2\\nnameserver 127.0.0.3\\n' >/run/resolv.conf
      mount --bind /run/resolv.conf "$(readlink -f /etc/resolv.conf)"
      timeout 14 bash -c "$(declare -f alert); alert CRM_alert_recipient=http://hooks.example/x CRM_alert_timestamp_epoch=9223372036854775807"
      for _ in $(seq 200); do grep -q 'was not delivered' /run/entries && break; sleep 0.05; done
      grep -q 'MESSAGE=monitor of vip on moon' /run/entries
      grep 'was not delivered: posting to hooks.example port 80: ' /run/entries
      kill $journal $silent
      """)
  }

  /// `kill` sends what a trap raises, while the reason is looked for.
  @Test("a trap or a signal before the entry is written writes it all the same, once, without the reason", arguments: ["ILL", "TRAP", "SEGV", "ABRT", "TERM", "ALRM"])
  func traps(signal: String) throws {
    try play(
      """
      journal
      printf '#!/bin/sh\\nkill -\(signal) $PPID\\nsleep 5\\n' >/run/cibadmin; chmod 755 /run/cibadmin
      mount --bind /run/cibadmin /usr/sbin/cibadmin
      before=$SECONDS
      [ -z "$(alert CRM_alert_desc=$'two\\nlines' 2>&1)" ]
      [ $((SECONDS - before)) -le 3 ]
      for _ in $(seq 100); do grep -q -e -- /run/entries && break; sleep 0.05; done
      sleep 0.2
      [ $(grep -c -e '^--$' /run/entries) = 1 ]
      grep -q '^MESSAGE=monitor of vip on moon: .*(rc 1)$' /run/entries
      grep -q '^VPNHA_ALERT_RSC=vip$' /run/entries
      kill $journal
      """)
  }

  /// A real TLS server whose authority the node trusts, or does not.
  @Test("https is spoken by curl: a trusted receiver gets the JSON; any other, a slow one and a missing curl hold nothing up", .needs("/usr/bin/curl", "/usr/bin/openssl"))
  func tls() throws {
    try play(
      """
      cd /run
      openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 2>/dev/null
      cat >/run/tls.py <<'END'
      import socket, ssl, sys, time
      how = sys.argv[1]
      context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
      context.load_cert_chain("/run/cert.pem", "/run/key.pem")
      server = socket.create_server(("127.0.0.1", 9443))
      open("/run/ready", "w").close()
      peer, _ = server.accept()
      if how == "silent":
          time.sleep(60)
      peer = context.wrap_socket(peer, server_side=True)
      said = b""
      while b"\\r\\n\\r\\n" not in said or len(said.split(b"\\r\\n\\r\\n", 1)[1]) < int(said.lower().split(b"content-length: ")[1].split(b"\\r")[0]):
          said += peer.recv(65536)
      open("/run/said", "wb").write(said)
      if how == "redirects":
          peer.sendall(b"HTTP/1.1 302 Found\\r\\nLocation: http://127.0.0.1:9095/\\r\\nContent-Length: 0\\r\\n\\r\\n")
      elif how == "floods":
          peer.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n")
          while True:
              peer.sendall(b"x" * 65536)
      else:
          peer.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")
      END
      serve() {
        rm -f /run/ready /run/said
        python3 /run/tls.py $1 2>/dev/null &
        receiver=$!
        until [ -e /run/ready ]; do sleep 0.02; done
      }
      tell() {
        [ -z "$(timeout 14 bash -c "$(declare -f alert); alert CRM_alert_recipient='https://127.0.0.1:9443/T0/secret?x=%22' CRM_alert_desc=\\$'a\\"\\nb\\xff\\\\\\\\'" 2>&1)" ]
        kill $receiver 2>/dev/null || true
        wait $receiver 2>/dev/null || true
      }
      serve takes; tell; [ ! -e said ]    # nobody vouches for it
      mount --bind cert.pem /etc/ssl/certs/ca-certificates.crt
      for how in takes redirects floods; do
        serve $how; tell
        python3 -c '
      import json
      head, body = open("/run/said", "rb").read().split(b"\\r\\n\\r\\n", 1)
      assert head.startswith(b"POST /T0/secret?x=%22 HTTP/"), head
      assert b"Content-Type: application/json" in head, head
      told = json.loads(body)
      assert told["desc"] == "a\\"\\nb\\ufffd\\\\" and told["rc"] == 1, told
      '
      done
      serve silent; tell
      printf '#!/bin/sh\\ntr "\\\\0" "\\\\n" </proc/$$/cmdline >/run/arguments; cat >/run/configuration; echo 200\\n' >curl
      touch arguments configuration; chmod 666 arguments configuration; chmod 755 curl
      mount --bind curl /usr/bin/curl
      sleep 60 & receiver=$!; tell
      ! grep -q secret arguments && grep -q secret configuration
      umount /usr/bin/curl; mount --bind /run/ready /usr/bin/curl    # no program
      sleep 60 & receiver=$!
      tell
      """)
  }
}
