import Testing

/// Where an agent's lines go, seen from the other end of the socket.
@Suite(.needsNamespaces, .needs("/usr/bin/python3"))
struct LogTests {
  /// `listen SOCKET`: from now on what is sent to it is appended to /tmp/heard, one datagram after the other.
  static let listener = """
    mount -t tmpfs none /tmp
    cat >/tmp/listener <<'END'
    import os, socket, sys
    os.makedirs(os.path.dirname(sys.argv[1]), exist_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(sys.argv[1])
    heard = open("/tmp/heard", "ab", buffering=0)
    while True:
        heard.write(listener.recv(65536) + b"\\n")
    END
    listen() {
      python3 /tmp/listener $1 &
      until [ -S $1 ] && [ -e /tmp/heard ]; do sleep 0.02; done
    }
    heard() { sleep 0.2; cat /tmp/heard; }
    export HA_LOGFACILITY=daemon

    """

  @Test("a change is a line of syslog with the tag type(instance)[pid], a healthy monitor is none")
  func syslog() throws {
    let answer = try Sandbox.script(
      .vip,
      Self.listener + """
        listen /dev/log
        agent start </dev/null 2>&1
        agent monitor </dev/null 2>&1
        heard | sed 's/\\[[0-9]*\\]/[PID]/'
        """)
    let lines = answer.output.split(separator: "\n")
    #expect(lines.count == 1, "\(answer)")
    // <daemon.info>Nov 24 14:25:33 vip(vip)[PID]: …
    #expect(lines.first?.hasPrefix("<30>") == true)
    #expect(lines.first?.hasSuffix(" vip(vip)[PID]: INFO: added 192.0.2.10/24 to v0") == true, "\(answer.output)")
  }

  @Test("where journald runs, the line is one structured entry with the same tag")
  func journal() throws {
    let answer = try Sandbox.script(
      .vip,
      Self.listener + """
        listen /run/systemd/journal/socket
        agent start </dev/null 2>&1
        heard | sed 's/^SYSLOG_PID=[0-9]*$/SYSLOG_PID=PID/'
        """)
    let fields = Set(answer.output.split(separator: "\n"))
    for field in [
      "MESSAGE=INFO: added 192.0.2.10/24 to v0", "PRIORITY=6", "SYSLOG_FACILITY=3", "SYSLOG_IDENTIFIER=vip(vip)",
      "SYSLOG_PID=PID", "VPNHA_AGENT=vip", "VPNHA_RESOURCE=vip", "VPNHA_ACTION=start",
    ] {
      #expect(fields.contains(Substring(field)), "\(field) is not in \(answer)")
    }
  }

  @Test("a facility of none and no file: the caller's standard error")
  func neither() throws {
    let answer = try Sandbox.script(.vip, "HA_LOGFACILITY=none agent start </dev/null | wc -c")
    #expect(answer.output == "0\n")
    #expect(answer.error == "INFO: added 192.0.2.10/24 to v0\n")
  }

  @Test("closed standard streams are not taken for sockets")
  func closedStreams() throws {
    let answer = try Sandbox.script(
      .vip,
      """
      status() { if "$@"; then echo 0; else echo $?; fi; }
      status agent start <&- 2>&-
      { agent monitor >&- 2>&- <&- && echo 0; } || echo $?
      ip link set v1 down
      status agent monitor <&- 2>&-
      status agent stop <&- 2>&-
      """)
    #expect(answer.output == "0\n0\n1\n0\n", "\(answer)")
  }

  @Test("a failed action leaves a recording for qb-blackbox, and nothing on standard output")
  func recording() throws {
    let answer = try Sandbox.script(
      .vip,
      """
      mkdir -p /var/lib/vpnha && mount -t tmpfs none /var/lib/vpnha
      agent start </dev/null 2>/dev/null
      ip link set v1 down
      { agent monitor </dev/null || true; } | wc -c
      cd /var/lib/vpnha/blackbox
      stat -c '%a %n' * | sed 's/\\.20.*//'
      strings -a * | grep -c 'link v0: .* without carrier'
      ls /dev/shm | wc -l
      """)
    #expect(answer.output == "0\n600 vip-vip-monitor\n1\n0\n", "\(answer)")
    #expect(answer.reasons == ["v0 has no carrier"])
  }

  @Test("a healthy monitor opens none of the C libraries", arguments: Agent.allCases)
  func monitorIsLight(_ agent: Agent) throws {
    // The dynamic loader's own account of what it opens; a probe that finds nothing is as healthy as one that finds it.
    let answer = try Sandbox.script(agent, "LD_DEBUG=files agent monitor </dev/null || true")
    #expect(answer.error.contains("libc.so.6"))
    for library in ["libqb", "libsystemd", "libxml2"] { #expect(!answer.error.contains(library), "\(library)") }
  }
}
