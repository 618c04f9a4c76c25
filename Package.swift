// swift-tools-version: 6.2
import PackageDescription

/// Every Swift target starts from these; see Documentation/contributing.md for the reasons.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .treatAllWarnings(as: .error),
    .treatWarning("DeprecatedDeclaration", as: .warning),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableUpcomingFeature("InferIsolatedConformances"),
]
/// (The values that cross modules on the data path are `public`: the compiler inlines those across modules, and `package` ones not.)
/// Modules of plain values and pure state machines also prove that they touch no unsafe memory.
let pure = strict + [.strictMemorySafety()]
/// The relay takes its state by pointer once per event; dynamic exclusivity checks would cost ten times the access.
let dataPath = strict + [.unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release))]

let logging = Target.Dependency.product(name: "Logging", package: "swift-log")

let package = Package(
    name: "weft",
    products: [
        .executable(name: "weftd", targets: ["weftd"]),
        .executable(name: "weft", targets: ["weft"]),
        .executable(name: "weft-simulate", targets: ["weft-simulate"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-certificates.git", from: "1.21.1"),
        .package(url: "https://github.com/apple/swift-crypto.git", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-asn1.git", from: "1.7.4"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.2"),
        .package(url: "https://github.com/hummingbird-project/hummingbird.git", from: "2.28.1", traits: []),
    ],
    targets: [
        // C doors: system libraries and the few macros Swift can't import. No logic.
        .target(name: "CLinux"),
        .systemLibrary(name: "CNetfilter", pkgConfig: "libnftnl", providers: [.apt(["libnftnl-dev", "libmnl-dev"])]),
        .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CNGHTTP2", pkgConfig: "libnghttp2", providers: [.apt(["libnghttp2-dev"])]),
        .systemLibrary(name: "CYAML", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),

        // Values and pure machines.
        .target(name: "Platform", dependencies: ["CLinux"], swiftSettings: strict),
        .target(name: "MeshModel", dependencies: ["Platform"], swiftSettings: pure),
        .target(name: "YAML", dependencies: ["CYAML"], swiftSettings: strict),
        .target(name: "Settings", dependencies: ["Platform", "MeshModel", "YAML"], swiftSettings: strict),
        .target(name: "Telemetry", dependencies: ["Platform", logging], swiftSettings: strict),

        // Facilities that know nothing of meshes.
        .target(name: "Reactor", dependencies: ["Platform", "CLinux"], swiftSettings: strict),
        .target(name: "Netfilter", dependencies: ["Platform", "CLinux", "CNetfilter"], swiftSettings: strict),
        .target(name: "TLS", dependencies: ["Platform", "COpenSSL"], swiftSettings: strict),
        .target(name: "HTTPWire", dependencies: ["Platform", "CNGHTTP2"], swiftSettings: strict),
        .target(name: "SWIM", dependencies: ["Platform"], swiftSettings: pure),

        // The mesh.
        .target(name: "Plane", dependencies: ["Platform", "MeshModel", "Reactor", "TLS", logging], swiftSettings: strict),
        .target(name: "Capture", dependencies: ["Platform", "MeshModel", "Reactor", "Netfilter", "CLinux", logging], swiftSettings: strict),
        .target(
            name: "Identity",
            dependencies: [
                "Platform", "MeshModel", "Reactor", "TLS", "Plane",
                .product(name: "X509", package: "swift-certificates"), .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "SwiftASN1", package: "swift-asn1"), logging,
            ], swiftSettings: strict),
        .target(name: "Membership", dependencies: ["Platform", "MeshModel", "Reactor", "SWIM", "Identity", "COpenSSL", logging], swiftSettings: strict),
        .target(
            name: "Catalog",
            dependencies: ["Platform", "MeshModel", "Settings", "Reactor", "TLS", "HTTPWire", "Plane", "Identity", logging],
            swiftSettings: strict),
        .target(
            name: "Resources", dependencies: ["Platform", "MeshModel", "YAML", "Settings", "Reactor", "TLS", "Plane", "Identity", logging],
            swiftSettings: strict),
        .target(name: "Naming", dependencies: ["Platform", "MeshModel", "Reactor", logging], swiftSettings: strict),
        .target(name: "Traffic", dependencies: ["Platform", "MeshModel"], swiftSettings: pure),
        .target(
            name: "Proxy",
            dependencies: ["Platform", "MeshModel", "Telemetry", "Reactor", "Netfilter", "TLS", "HTTPWire", "Capture", "Traffic", "CLinux"],
            swiftSettings: dataPath),
        // Not in the package: the pure cores in virtual time.
        .target(name: "Simulation", dependencies: ["Platform", "MeshModel", "SWIM", "Catalog"], swiftSettings: dataPath),
        .executableTarget(
            name: "weft-simulate", dependencies: ["Platform", "Simulation", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            swiftSettings: strict),

        // Talking to people.
        .target(name: "ManagementAPI", dependencies: [], swiftSettings: strict),
        .target(
            name: "Management",
            dependencies: [
                "ManagementAPI", "CLinux", .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"), logging,
            ], swiftSettings: strict),
        .executableTarget(
            name: "weftd",
            dependencies: [
                "Platform", "MeshModel", "YAML", "Settings", "Telemetry", "Reactor", "Netfilter", "TLS", "SWIM", "Plane", "Capture", "Identity", "Membership",
                "Catalog", "Resources", "Naming", "Traffic", "Proxy", "ManagementAPI", "Management", "CLinux",
                .product(name: "ArgumentParser", package: "swift-argument-parser"), logging,
            ], swiftSettings: strict),
        .executableTarget(
            name: "weft",
            dependencies: [
                "ManagementAPI", .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"), .product(name: "NIOHTTP1", package: "swift-nio"),
            ], swiftSettings: strict),

        // Benchmarks.
        .executableTarget(
            name: "weft-pool",
            dependencies: [
                "Platform", "MeshModel", "Reactor", "SWIM", "Membership", .product(name: "ArgumentParser", package: "swift-argument-parser"), logging,
            ], path: "Benchmarks/pool", swiftSettings: strict),
        .executableTarget(
            name: "weft-peers",
            dependencies: [
                "Platform", "MeshModel", "Reactor", "SWIM", "Membership", "TLS", "Plane", "Identity", "Catalog",
                .product(name: "ArgumentParser", package: "swift-argument-parser"), logging,
            ], path: "Benchmarks/peers", swiftSettings: strict),

        // Tests.
        .testTarget(name: "PlatformTests", dependencies: ["Platform"], swiftSettings: strict),
        .testTarget(name: "MeshModelTests", dependencies: ["MeshModel", "Platform"], swiftSettings: strict),
        .testTarget(name: "YAMLTests", dependencies: ["YAML"], swiftSettings: strict),
        .testTarget(name: "SettingsTests", dependencies: ["Settings", "MeshModel", "Platform", "YAML"], swiftSettings: strict),
        .testTarget(name: "TelemetryTests", dependencies: ["Telemetry"], swiftSettings: strict),
        .testTarget(name: "ReactorTests", dependencies: ["Reactor", "Platform"], swiftSettings: strict),
        .testTarget(name: "NetfilterTests", dependencies: ["Netfilter", "Platform", "CLinux", "CNetfilter"], swiftSettings: strict),
        .testTarget(name: "TLSTests", dependencies: ["TLS", "Platform", "COpenSSL"], swiftSettings: strict),
        .testTarget(name: "HTTPWireTests", dependencies: ["HTTPWire", "Platform"], swiftSettings: strict),
        .testTarget(name: "SWIMTests", dependencies: ["SWIM", "Platform", "Membership"], exclude: ["Vectors"], swiftSettings: strict),
        .testTarget(name: "PlaneTests", dependencies: ["Plane", "TLS", "Reactor", "MeshModel", "Platform", "COpenSSL", logging], swiftSettings: strict),
        .testTarget(
            name: "CaptureTests", dependencies: ["Capture", "Platform", "MeshModel", "Reactor", "Netfilter", "CLinux", logging], exclude: ["Golden"],
            swiftSettings: strict),
        .testTarget(
            name: "IdentityTests",
            dependencies: [
                "Identity", "Platform", "MeshModel", "Reactor", "TLS", "Plane", logging, .product(name: "X509", package: "swift-certificates"),
                .product(name: "Crypto", package: "swift-crypto"), .product(name: "SwiftASN1", package: "swift-asn1"),
            ], swiftSettings: strict),
        .testTarget(name: "MembershipTests", dependencies: ["Membership", "SWIM", "Identity", "Platform", "MeshModel", "Reactor", logging], swiftSettings: strict),
        .testTarget(
            name: "CatalogTests",
            dependencies: ["Catalog", "Platform", "MeshModel", "Reactor", "Plane", "TLS", "Identity", "Settings", "COpenSSL", logging], swiftSettings: strict),
        .testTarget(
            name: "ResourcesTests",
            dependencies: ["Resources", "Identity", "Plane", "Settings", "YAML", "MeshModel", "Platform", "Reactor", logging], swiftSettings: strict),
        .testTarget(name: "SimulationTests", dependencies: ["Simulation", "Catalog", "SWIM", "Platform"], swiftSettings: strict),
        .testTarget(name: "NamingTests", dependencies: ["Naming", "MeshModel", "Platform", "Reactor", logging], swiftSettings: strict),
        .testTarget(name: "TrafficTests", dependencies: ["Traffic", "Platform"], swiftSettings: strict),
        .testTarget(name: "ProxyTests", dependencies: ["Proxy", "Capture", "MeshModel", "Platform", "Reactor", "TLS", "Traffic", "HTTPWire", "CNGHTTP2", "COpenSSL"], swiftSettings: strict),
        .testTarget(name: "AgentTests", dependencies: ["weftd", "Catalog", "Proxy", "MeshModel", "Platform"], swiftSettings: strict),
        .target(name: "ManagementTestSupport", dependencies: ["ManagementAPI", "Management", logging], path: "Tests/ManagementTestSupport", swiftSettings: strict),
        .testTarget(
            name: "ManagementTests", dependencies: ["ManagementAPI", "Management", "ManagementTestSupport", logging], exclude: ["check-openapi.py"],
            swiftSettings: strict),
        .testTarget(
            name: "CLITests",
            dependencies: ["weft", "ManagementAPI", "Management", "ManagementTestSupport", .product(name: "NIOCore", package: "swift-nio")], exclude: ["Snapshots"],
            swiftSettings: strict),
        // The bodies of the fuzz targets (Scripts/fuzz builds them with the fuzzer), and their corpora as tests.
        .target(
            name: "FuzzTargets",
            dependencies: [
                "Platform", "MeshModel", "YAML", "Settings", "Netfilter", "TLS", "HTTPWire", "SWIM", "Plane", "Identity", "Catalog", "Resources", "Naming",
                "Proxy", "ManagementAPI",
            ], path: "Tests/FuzzTargets", swiftSettings: strict),
        .testTarget(name: "FuzzTests", dependencies: ["FuzzTargets"], exclude: ["Corpus", "Found"], swiftSettings: strict),
        .testTarget(name: "LabTests", dependencies: ["Platform", "ManagementAPI"], path: "Tests/Lab", exclude: ["Programs"], swiftSettings: strict),
    ]
)
