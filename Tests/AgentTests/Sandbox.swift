import Glibc
import Host
import LinuxHost
import Testing

/// A story played by real agents and real daemons in namespaces of their own: network, mounts with an empty `/run`, and
/// processes, which all end with the story.
struct Sandbox {
  /// Why such a story cannot be played here, nil when it can.
  static func obstacle(_ programs: String...) -> String? {
    if geteuid() != 0 { return "namespaces need root" }
    let files = LinuxFiles()
    for program in programs + ["/usr/bin/unshare", "/usr/bin/bash", "/usr/bin/python3"] where !files.isExecutable(program) {
      return "\(program) is missing"
    }
    return nil
  }

  struct Step {
    var status: Int
    var milliseconds: Int
    /// Everything that was said, on one line.
    var output: String
  }

  private(set) var steps: [String: Step] = [:]

  /// Plays `script` in bash. `step NAME COMMAND …` runs a command and notes how it ended; `agent TYPE ACTION` runs one of ours.
  init(_ script: String, seconds: Int = 120) throws {
    let processes = LinuxProcesses()
    let me = try #require(try processes.process(getpid()))
    let products = me.executable.split(separator: "/").dropLast().joined(separator: "/")
    let prelude = """
      mount -t tmpfs none /run && mkdir -p /run/lock || exit 99
      ip link set lo up
      export OCF_ROOT=/usr/lib/ocf OCF_RESKEY_launcher=direct OCF_RESKEY_CRM_meta_timeout=20000 OCF_RESKEY_CRM_meta_interval=10000
      AGENTS=/\(products)
      agent() { OCF_RESOURCE_TYPE=$1 $AGENTS/$1 "${@:2}"; }
      # In the background, as process $!, which can be killed.
      background() { (exec env OCF_RESOURCE_TYPE=$1 $AGENTS/$1 "${@:2}" >/dev/null 2>&1) & }
      suspend() { kill -STOP $1; await grep -q '^State:.T' /proc/$1/status; }
      step() {
        local name=$1 from=$(date +%s%N) output status
        output=$("${@:2}" 2>&1); status=$?
        printf 'STEP\\t%s\\t%s\\t%s\\t%s\\n' "$name" $status $((($(date +%s%N) - from) / 1000000)) "$(tr '\\n\\t' '  ' <<<"$output")"
      }
      # until COMMAND …: for at most five seconds.
      await() { for _ in $(seq 100); do "$@" >/dev/null 2>&1 && return; sleep 0.05; done; return 1; }

      """
    let command = Command(
      "/usr/bin/unshare", ["-n", "-m", "-p", "-f", "--mount-proc", "--kill-child", "/usr/bin/bash", "-c", prelude + script],
      outputLimit: 1 << 20)
    let result = try processes.run(command, before: LinuxClock().now + .seconds(seconds))
    let output = String(decoding: result.output, as: UTF8.self)
    for line in output.split(separator: "\n") {
      let fields = line.split(separator: "\t", omittingEmptySubsequences: false)
      guard fields.count == 5, fields[0] == "STEP", let status = Int(fields[2]), let took = Int(fields[3]) else { continue }
      steps[String(fields[1])] = Step(status: status, milliseconds: took, output: String(fields[4]))
    }
    if !result.succeeded {
      Issue.record("the story ended as \(result.ending): \(String(decoding: result.error.suffix(2000), as: UTF8.self))")
    }
  }

  subscript(_ name: String) -> Step {
    steps[name] ?? Step(status: -1, milliseconds: 0, output: "this step was never reached")
  }

  /// How steps ended, with what they said where that is not what was expected.
  func expect(_ expected: KeyValuePairs<String, Int>, sourceLocation: SourceLocation = #_sourceLocation) {
    for (name, status) in expected {
      let step = self[name]
      #expect(step.status == status, "\(name): \(step.output)", sourceLocation: sourceLocation)
    }
  }
}
