import Host
import LinuxHost
import Testing

@Suite struct LinuxClockTests {
  @Test func sleepsUntilTheInstantAndNoEarlier() {
    let clock = LinuxClock()
    let wanted = clock.now + .milliseconds(20)
    clock.sleep(until: wanted)
    #expect(clock.now >= wanted)
    let before = clock.now
    clock.sleep(until: Instant(nanoseconds: -5))
    clock.sleep(until: before)
    #expect(clock.now - before < .seconds(1))
  }
}
