// swift-tools-version: 6.1
import PackageDescription

// A monitor is a fresh process every few seconds for every resource on every node, so the agents are linked for
// start-up time: relative relocations packed, symbols bound at once, libstdc++ and libgcc inside (`make` prepares
// .linkdir with the one archive that makes the linker prefer the static libstdc++), nothing exported. The C libraries, which pkg-config
// would have the linker take, are opened at run time. Of two definitions the first counts: CStartup's before those of
// another Swift's runtime (see there). Debug builds are untouched.
let startQuickly: [LinkerSetting] = [
  .unsafeFlags(
    [
      "-use-ld=lld", "-L", "\(Context.packageDirectory)/.linkdir", "-Xclang-linker", "-static-libgcc",
      "-Xlinker", "-z", "-Xlinker", "pack-relative-relocs", "-Xlinker", "-z", "-Xlinker", "now",
      "-Xlinker", "-z", "-Xlinker", "relro", "-Xlinker", "-z", "-Xlinker", "muldefs",
      "-Xlinker", "--remap-inputs=*/libqb.so=/dev/null", "-Xlinker", "--remap-inputs=*/libsystemd.so=/dev/null",
      "-Xlinker", "--remap-inputs=*/libxml2.so=/dev/null", "-Xlinker", "--no-export-dynamic",
    ], .when(platforms: [.linux], configuration: .release))
]

// An agent is a library, so that commands and tests know what it knows, and a program of a few lines.
let agents: [(type: String, library: String, dependencies: [Target.Dependency])] = [
  ("vip", "VIPAgent", []),
  ("strongswan", "StrongSwanAgent", ["Daemon", "Ledger", "Sessions", "VICI", "IKEProbe"]),
  ("xl2tpd", "XL2TPDAgent", ["Daemon", "Digests", "L2TP", "Ledger", "RADIUS", "Sessions"]),
  ("conntrackd", "ConntrackdAgent", ["ConntrackSync", "Daemon"]),
  ("probe", "ProbeAgent", ["Daemon", "IKEProbe", "RADIUS", "Resident"]),
  ("firewall", "FirewallAgent", ["Daemon"]),
  ("sessions", "SessionsAgent", ["Daemon", "Ledger"]),
  ("announce", "AnnounceAgent", ["BGP", "Daemon"]),
  ("libreswan", "LibreswanAgent", ["Daemon", "IKEProbe", "Pluto"]),
  ("balancer", "BalancerAgent", ["Daemon", "Sessions", "VICI"]),
]

let agentTargets: [Target] = agents.flatMap { type, library, dependencies in
  [
    .target(name: library, dependencies: ["Host", "OCF"] + dependencies, path: "agents/\(type)", exclude: ["Main.swift"]),
    .executableTarget(
      name: type, dependencies: ["CStartup", "LinuxHost", .target(name: library)], path: "agents/\(type)", sources: ["Main.swift"],
      linkerSettings: startQuickly),
  ]
}

let package = Package(
  name: "vpnha",
  products: ["vip", "strongswan", "xl2tpd", "conntrackd", "probe", "firewall", "sessions", "announce", "libreswan", "balancer", "vpnha-agents", "vpnha-alert", "vpnha-ledger", "vpnha"].map { .executable(name: $0, targets: [$0]) },
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0")
  ],
  targets: agentTargets + [
    // Headers of the kernel and of C libraries. The libraries are opened when they are needed (DynamicLibrary), never linked.
    .systemLibrary(name: "CLinux"),
    .systemLibrary(name: "CLibXML2", providers: [.apt(["libxml2-dev"])]),
    .systemLibrary(name: "CSystemd", providers: [.apt(["libsystemd-dev"])]),
    .systemLibrary(name: "CQB", providers: [.apt(["libqb-dev"])]),

    .target(name: "CStartup", cSettings: [.define("VPNHA_STATIC_RUNTIME", .when(configuration: .release))]),

    .target(name: "Host"),
    .target(name: "WatchedHost", dependencies: ["Host"]),
    .target(name: "Resident", dependencies: ["CLinux", "Host"]),
    .target(name: "OCF", dependencies: ["Digests", "Host"]),
    .target(name: "Daemon", dependencies: ["Host", "OCF"]),
    .target(name: "DynamicLibrary", dependencies: ["Host", "CLinux"]),
    .target(name: "OCFMetadata", dependencies: ["OCF", "DynamicLibrary", "CLibXML2"]),
    .target(name: "Netlink", dependencies: ["Host", "CLinux"]),
    .target(name: "VICI", dependencies: ["Host"]),
    .target(name: "Digests"),
    .target(name: "JSON"),
    .target(name: "L2TP", dependencies: ["Digests", "Host"]),
    .target(name: "RADIUS", dependencies: ["Digests", "Host"]),
    .target(name: "ConntrackSync", dependencies: ["Host"]),
    .target(name: "IKEProbe", dependencies: ["Host"]),
    .target(name: "BGP", dependencies: ["Host", "JSON"]),
    .target(name: "Pluto", dependencies: ["Host"]),
    .target(name: "Ledger", dependencies: ["CLinux", "DynamicLibrary", "Host", "RADIUS"]),
    .target(name: "Adoption", dependencies: ["CLinux", "Host", "L2TP", "Ledger", "Netlink", "RADIUS"]),
    .target(name: "Sessions", dependencies: ["Host", "L2TP"]),
    .target(name: "Systemd", dependencies: ["Host", "DynamicLibrary", "CLinux", "CSystemd"]),
    .target(
      name: "LinuxHost",
      dependencies: ["Host", "OCF", "OCFMetadata", "Netlink", "Systemd", "DynamicLibrary", "CLinux", "CQB", "WatchedHost"]),
    .target(name: "HostTestKit", dependencies: ["Host", "WatchedHost"]),

    .executableTarget(
      name: "vpnha-agents", dependencies: ["CStartup", "LinuxHost"] + agents.map { .target(name: $0.library) }, linkerSettings: startQuickly),
    .executableTarget(
      name: "vpnha-alert", dependencies: ["CStartup", "Host", "LinuxHost", "OCFMetadata", "Systemd"], path: "agents/alert",
      linkerSettings: startQuickly),
    .executableTarget(
      name: "vpnha-ledger", dependencies: ["Adoption", "CStartup", "CLinux", "Host", "L2TP", "Ledger", "LinuxHost", "RADIUS", "Resident", "Sessions"], linkerSettings: startQuickly),
    .executableTarget(
      name: "vpnha",
      dependencies: [
        "OCFMetadata", "LinuxHost", "ConntrackSync", "IKEProbe", "JSON", "L2TP", "Ledger", "Sessions", "VICI", "VIPAgent", "StrongSwanAgent", "XL2TPDAgent", "ConntrackdAgent", "SessionsAgent", "AnnounceAgent", "FirewallAgent", "LibreswanAgent", "BalancerAgent",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], linkerSettings: startQuickly),

    // Clients by the hundred for the lab: of the test tree, and in no package.
    .executableTarget(
      name: "vpnha-load",
      dependencies: ["CLinux", "DynamicLibrary", "Host", "IKEProbe", "L2TP", "LinuxHost", "Netlink", .product(name: "ArgumentParser", package: "swift-argument-parser")],
      path: "Tests/Load"),
    .testTarget(name: "LoadTests", dependencies: ["vpnha-load", "Host", "L2TP", "LinuxHost"], exclude: ["against-charon"]),

    .testTarget(
      name: "HostTests", dependencies: ["Host", "HostTestKit", "LinuxHost", "DynamicLibrary", "CLinux", "CQB", "Resident"]),
    .testTarget(name: "OCFTests", dependencies: ["OCF", "Host", "HostTestKit"]),
    .testTarget(
      name: "MetadataTests",
      dependencies: ["OCFMetadata", "CLibXML2", "DynamicLibrary", "LinuxHost", "VIPAgent", "StrongSwanAgent", "XL2TPDAgent", "ConntrackdAgent", "ProbeAgent", "FirewallAgent", "SessionsAgent", "AnnounceAgent", "LibreswanAgent", "BalancerAgent"]),
    .testTarget(name: "NetlinkTests", dependencies: ["Netlink", "HostTestKit"]),
    .testTarget(name: "VICITests", dependencies: ["VICI", "HostTestKit"]),
    .testTarget(name: "JSONTests", dependencies: ["Host", "JSON"]),
    .testTarget(name: "BGPTests", dependencies: ["BGP", "HostTestKit"]),
    .testTarget(name: "PlutoTests", dependencies: ["Pluto", "HostTestKit"]),
    .testTarget(name: "IKEProbeTests", dependencies: ["IKEProbe", "HostTestKit"]),
    .testTarget(name: "L2TPTests", dependencies: ["Digests", "L2TP", "HostTestKit"]),
    .testTarget(name: "RADIUSTests", dependencies: ["Digests", "Host", "RADIUS"]),
    .testTarget(name: "DaemonTests", dependencies: ["Daemon", "HostTestKit"]),
    .testTarget(name: "ConntrackSyncTests", dependencies: ["ConntrackSync", "HostTestKit"]),
    .testTarget(
      name: "SystemdTests", dependencies: ["Systemd", "DynamicLibrary", "HostTestKit", "LinuxHost"],
      exclude: ["mock_systemd.py"]),
    .testTarget(
      name: "AgentTests",
      dependencies: [
        "VIPAgent", "StrongSwanAgent", "XL2TPDAgent", "ConntrackdAgent", "ProbeAgent", "FirewallAgent", "SessionsAgent", "AnnounceAgent", "LibreswanAgent", "BalancerAgent", "Pluto", "IKEProbe", "Ledger", "Sessions", "Digests", "RADIUS", "Resident", "Daemon", "VICI", "L2TP", "ConntrackSync", "HostTestKit", "LinuxHost",
      ]),
    .testTarget(name: "AlertTests", dependencies: ["vpnha-alert", "HostTestKit", "LinuxHost"]),
    .testTarget(name: "CommandTests", dependencies: ["vpnha", "JSON", "Ledger", "Sessions", "ConntrackSync", "HostTestKit", "L2TP", "LinuxHost", "VICI"], exclude: ["pair-cib.xml", "type-pcs"]),
    .testTarget(name: "LedgerTests", dependencies: ["vpnha-ledger", "Adoption", "CLinux", "Ledger", "L2TP", "RADIUS", "HostTestKit", "LinuxHost"]),
    .testTarget(name: "AdoptionTests", dependencies: ["Adoption", "L2TP", "Ledger", "RADIUS", "HostTestKit"]),
    .testTarget(name: "SessionsTests", dependencies: ["L2TP", "Sessions", "HostTestKit", "LinuxHost"], exclude: ["pppd2.tdb"]),
    .testTarget(
      name: "BlackBoxTests", dependencies: ["vip", "strongswan", "xl2tpd", "conntrackd", "probe", "firewall", "sessions", "announce", "libreswan", "balancer", "vpnha-agents", "vpnha-alert", "vpnha-ledger", "vpnha"],
      exclude: ["sandbox", "kill-sweep", "ocft", "complete"]),
    .testTarget(
      name: "NetnsTests", dependencies: ["vip", "conntrackd", "firewall", "probe", "vpnha-alert", "L2TP", "Netlink", "LinuxHost", "CLinux"],
      exclude: ["debian-node", "stock-node", "arriving", "cluster-pair"]),
    .testTarget(name: "Site", exclude: ["site", "machines.py", "configured.py", "directory.py", "connection"]),
    .testTarget(name: "Bed", exclude: ["bed", "machines.py", "watching.py", "recipes.py", "events.py", "fence_bed", "release"]),
    .testTarget(
      name: "Lab", path: "Lab",
      exclude: [
        "lab", "sandbox.py", "nodes.py", "config.py", "cluster.py", "pair.py", "scenarios.py", "probes.py", "node",
        "baseline", "switchover", "path.py", "path-loss", "dead-daemon", "power-cut", "carryover.py", "carry-over", "carried.py", "carried", "accounted.py", "accounted", "radius.py",
        "sessions.py", "sessions", "seamless.py", "seamless",
        "unit.py", "unit", "seamless_cluster.py", "load.py", "load", "balanced.py", "balanced_cluster.py", "balanced",
      ]),
  ]
)

// libxml2's headers are not where the compiler looks. pkg-config would say where they are, and link the library as well.
for target in package.targets where target.type != .system {
  target.swiftSettings = (target.swiftSettings ?? []) + [.unsafeFlags(["-Xcc", "-I/usr/include/libxml2"])]
}
